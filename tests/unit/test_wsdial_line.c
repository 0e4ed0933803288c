/* Unit tests of src/tools/wsdial_line.[ch]. */
#include "tools/wsdial_line.h"

#include <locale.h>

#include "unit.h"

static const struct wsdial_keys keys = { .erase = 0x7f,
	.kill = 0x15,
	.werase = 0x17,
	.eof = 0x04,
	.lnext = 0x16,
	.reprint = 0x12 };

static struct wsdial_line line;

static void
begin(void)
{
	wsdial_line_init(&line, 64);
}

static void
finish(void)
{
	wsdial_line_clear(&line);
}

/* Type; what the last byte led to. */
static enum wsdial_line_event
type(const char *text)
{
	enum wsdial_line_event e = WSDIAL_LINE_MORE;

	for (; *text != '\0'; text++)
		e = wsdial_line_feed(&line, &keys, (uint8_t)*text);
	return e;
}

static void
expect(const char *text)
{
	ck_assert_msg(span_eq(buf_span(&line.text), span_from_str(text)), "%.*s, not %s",
	    SPAN_ARG(buf_span(&line.text)), text);
}

static void
expect_shown(size_t columns, const char *text)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_int_eq(wsdial_line_show(&line, columns, &b), 0);
	ck_assert_msg(span_eq(buf_span(&b), span_from_str(text)), "%.*s, not %s",
	    SPAN_ARG(buf_span(&b)), text);
	buf_clear(&b);
}

START_TEST(wsdial_line_ends_with_a_newline)
{
	ck_assert_int_eq(type("hello"), WSDIAL_LINE_MORE);
	ck_assert_int_eq(type("\n"), WSDIAL_LINE_WHOLE);
	expect("hello");
	wsdial_line_clear(&line);
	ck_assert_int_eq(type("\n"), WSDIAL_LINE_WHOLE);
	expect("");
}
END_TEST

START_TEST(wsdial_line_erases_characters_whole)
{
	type("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	type("\x7f");
	expect("a\xc3\xa4\xe2\x82\xac");
	type("\x7f\x7f");
	expect("a");
	type("\x7f\x7f\x7f");
	expect("");
	/* what is no UTF-8 goes byte by byte */
	type("a\x80\x80");
	type("\x7f");
	expect("a\x80");
	type("\x7f");
	expect("a");
}
END_TEST

START_TEST(wsdial_line_erases_words_and_all)
{
	type("one two\t three  ");
	type("\x17");
	expect("one two\t ");
	type("\x17");
	expect("one ");
	type("two");
	type("\x15");
	expect("");
	type("\x17");
	expect("");
}
END_TEST

START_TEST(wsdial_line_takes_the_next_byte_literally)
{
	type("a\x16\x7f"
	     "b\x16\x04");
	expect("a\x7f"
	       "b\x04");
	ck_assert_int_eq(type("\x16\n"), WSDIAL_LINE_MORE);
	expect("a\x7f"
	       "b\x04\n");
}
END_TEST

START_TEST(wsdial_line_knows_the_end_of_the_input)
{
	ck_assert_int_eq(type("\x04"), WSDIAL_LINE_EOF);
	ck_assert_int_eq(type("a\x04"), WSDIAL_LINE_MORE);
	expect("a");
	ck_assert_int_eq(type("\x7f\x04"), WSDIAL_LINE_EOF);
	ck_assert_int_eq(type("\x12"), WSDIAL_LINE_REDRAW);
}
END_TEST

START_TEST(wsdial_line_minds_only_keys_that_there_are)
{
	static const struct wsdial_keys none = { .erase = 0 };

	ck_assert_int_eq(wsdial_line_feed(&line, &none, 0), WSDIAL_LINE_MORE);
	ck_assert_int_eq(wsdial_line_feed(&line, &none, 0x7f), WSDIAL_LINE_MORE);
	ck_assert_uint_eq(line.text.n, 2);
}
END_TEST

START_TEST(wsdial_line_has_a_maximum)
{
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(type("x"), WSDIAL_LINE_MORE);
	ck_assert_int_eq(type("y"), WSDIAL_LINE_FULL);
	ck_assert_int_eq(type("\x7f"), WSDIAL_LINE_MORE);
	ck_assert_int_eq(type("y"), WSDIAL_LINE_MORE);
	ck_assert_int_eq(type("\n"), WSDIAL_LINE_WHOLE);
}
END_TEST

START_TEST(wsdial_line_shows_its_end)
{
	type("0123456789");
	expect_shown(20, "0123456789");
	expect_shown(10, "0123456789");
	expect_shown(4, "6789");
	expect_shown(0, "");
	expect_shown(SIZE_MAX, "0123456789");
}
END_TEST

START_TEST(wsdial_line_shows_control_characters)
{
	type("a\x16\x1b[A\x16\x7f\tb");
	expect_shown(20, "a^[[A^? b");
	expect_shown(4, "^? b");
	expect_shown(3, " b");
}
END_TEST

START_TEST(wsdial_line_counts_columns_and_not_bytes)
{
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		return;
	type("\xe6\x97\xa5\xe6\x9c\xac\xc3\xa4"); /* two columns each, then one */
	expect_shown(5, "\xe6\x97\xa5\xe6\x9c\xac\xc3\xa4");
	expect_shown(4, "\xe6\x9c\xac\xc3\xa4");
	expect_shown(1, "\xc3\xa4");
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_line_ends_with_a_newline,
		wsdial_line_erases_characters_whole,
		wsdial_line_erases_words_and_all,
		wsdial_line_takes_the_next_byte_literally,
		wsdial_line_knows_the_end_of_the_input,
		wsdial_line_minds_only_keys_that_there_are,
		wsdial_line_has_a_maximum,
		wsdial_line_shows_its_end,
		wsdial_line_shows_control_characters,
		wsdial_line_counts_columns_and_not_bytes,
	};

	return unit_run_with("wsdial_line", cases, UNIT_COUNT(cases), begin, finish);
}
