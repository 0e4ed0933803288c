/* Unit tests of src/codec/json.c: what is written is always valid JSON. */
#include "codec/json.h"
#include "unit.h"

static struct buf b;

static const char *
text(void)
{
	ck_assert_int_eq(buf_append_char(&b, '\0'), 0);
	b.n--;
	return b.p;
}

static void
setup(void)
{
	buf_init(&b, 1000);
}

static void
teardown(void)
{
	buf_clear(&b);
}

START_TEST(json_strings)
{
	static const struct {
		struct span in;
		const char *out;
	} rows[] = {
		{ SPAN_NONE, "\"\"" },
		{ SPAN_LIT("chat"), "\"chat\"" },
		{ SPAN_LIT("a\"b\\c"), "\"a\\\"b\\\\c\"" },
		{ SPAN_LIT("a\nb\0c\x1b\x7f"), "\"a\\u000ab\\u0000c\\u001b\\u007f\"" },
		{ SPAN_LIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
		    "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"" },
		/* not UTF-8 as a whole: cut short, overlong, a surrogate */
		{ SPAN_LIT("\xc3\xbc\xe2\x82"), "\"\\u00c3\\u00bc\\u00e2\\u0082\"" },
		{ SPAN_LIT("\xc0\x80"), "\"\\u00c0\\u0080\"" },
		{ SPAN_LIT("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\"" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		b.n = 0;
		ck_assert_int_eq(json_put_string(&b, rows[i].in), 0);
		ck_assert_str_eq(text(), rows[i].out);
	}
}
END_TEST

START_TEST(json_members)
{
	buf_append_char(&b, '{');
	ck_assert_int_eq(json_put_str(&b, "a", "x"), 0);
	ck_assert_int_eq(json_put_str(&b, "b", NULL), 0);
	ck_assert_int_eq(json_put_num(&b, "c", UINT64_MAX), 0);
	ck_assert_int_eq(json_put_null(&b, "d"), 0);
	ck_assert_int_eq(json_put_span(&b, "e", (struct span){ "", 0 }), 0);
	buf_append_str(&b, ",\"f\":[");
	buf_append_char(&b, '{');
	ck_assert_int_eq(json_put_span(&b, "g", SPAN_NONE), 0);
	ck_assert_str_eq(text(),
	    "{\"a\":\"x\",\"b\":null,\"c\":18446744073709551615,\"d\":null,\"e\":\"\",\"f\":[{\"g\":null");
}
END_TEST

START_TEST(json_says_when_it_is_full)
{
	buf_init(&b, 4);
	ck_assert_int_eq(json_put_string(&b, SPAN_LIT("ab")), 0);
	for (size_t max = 0; max < 4; max++) {
		buf_clear(&b);
		buf_init(&b, max);
		ck_assert_int_eq(json_put_string(&b, SPAN_LIT("ab")), -1);
	}
	for (size_t max = 0; max < 8; max++) {
		buf_clear(&b);
		buf_init(&b, max);
		ck_assert_int_eq(json_put_str(&b, "k", "ab"), -1);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		json_strings,
		json_members,
		json_says_when_it_is_full,
	};

	return unit_run_with("json", cases, UNIT_COUNT(cases), setup, teardown);
}
