/* Unit tests of src/tools/wsdial_escape.[ch]. */
#include "tools/wsdial_escape.h"

#include <string.h>

#include "unit.h"

#define ALL "a\n\t\"\\\x1b[2J\x7f\xc3\xa4"

static void
expect(enum wsdial_escape how, const char *in, const char *out)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_int_eq(wsdial_escape(&b, how, in, strlen(in)), 0);
	ck_assert_msg(
	    span_eq(buf_span(&b), span_from_str(out)), "%.*s, not %s", SPAN_ARG(buf_span(&b)), out);
	buf_clear(&b);
}

START_TEST(wsdial_escape_keeps_what_is_text)
{
	expect(WSDIAL_ESCAPE_MESSAGE, ALL, "a\n\t\"\\\\x1b[2J\\x7f\xc3\xa4");
	expect(WSDIAL_ESCAPE_LINE, ALL, "a\\x0a\t\"\\\\x1b[2J\\x7f\xc3\xa4");
	expect(WSDIAL_ESCAPE_QUOTED, ALL, "a\\x0a\t\\x22\\x5c\\x1b[2J\\x7f\xc3\xa4");
	expect(WSDIAL_ESCAPE_BINARY, ALL, "a\\x0a\\x09\"\\x5c\\x1b[2J\\x7f\\xc3\\xa4");
}
END_TEST

START_TEST(wsdial_escape_takes_c1_controls_and_bad_utf8_apart)
{
	expect(WSDIAL_ESCAPE_MESSAGE,
	    "\xc2\x9b"
	    "2J",
	    "\\xc2\\x9b2J");
	expect(WSDIAL_ESCAPE_MESSAGE,
	    "\x9b"
	    "2J",
	    "\\x9b2J");
	expect(WSDIAL_ESCAPE_MESSAGE, "\xc2\xa0\xc2\x80", "\xc2\xa0\\xc2\\x80");
	expect(WSDIAL_ESCAPE_LINE, "\xc3", "\\xc3");
	expect(WSDIAL_ESCAPE_LINE, "\xe2\x82", "\\xe2\\x82");
	expect(WSDIAL_ESCAPE_LINE, "\xed\xa0\x80", "\\xed\\xa0\\x80");
	expect(WSDIAL_ESCAPE_LINE, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(wsdial_escape_stops_where_it_is_full)
{
	struct buf b;

	buf_init(&b, 6);
	ck_assert_int_eq(wsdial_escape(&b, WSDIAL_ESCAPE_LINE,
			     "abc\x01"
			     "d",
			     5),
	    -1);
	ck_assert(span_eq(buf_span(&b), SPAN_LIT("abc")));
	buf_clear(&b);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_escape_keeps_what_is_text,
		wsdial_escape_takes_c1_controls_and_bad_utf8_apart,
		wsdial_escape_stops_where_it_is_full,
	};

	return unit_run("wsdial_escape", cases, UNIT_COUNT(cases));
}
