/* Unit tests of src/codec/http_range.[ch]. */
#include "codec/http_range.h"

#include "unit.h"

#define NONE HTTP_RANGE_NONE
#define ONE HTTP_RANGE_ONE
#define UNSAT HTTP_RANGE_UNSATISFIABLE

START_TEST(http_range_judges_a_range_by_the_size)
{
	static const struct {
		const char *value;
		uint64_t size;
		enum http_range wanted;
		uint64_t first, last;
	} rows[] = {
		{ "bytes=0-499", 10000, ONE, 0, 499 }, /* RFC 9110 14.1.2 */
		{ "bytes=500-999", 10000, ONE, 500, 999 },
		{ "bytes=-500", 10000, ONE, 9500, 9999 },
		{ "bytes=9500-", 10000, ONE, 9500, 9999 },
		{ "bytes=0-0", 10000, ONE, 0, 0 },
		{ "bytes=0-0,-1", 10000, NONE, 0, 0 }, /* two ranges */
		{ "bytes= 0-999, 4500-5499, -1000", 10000, NONE, 0, 0 },
		{ "BYTES=1-2", 10, ONE, 1, 2 }, /* units know no case */
		{ " \tbytes=1-2 ", 10, ONE, 1, 2 },
		{ "bytes=, 1-2 ,", 10, ONE, 1, 2 },
		{ "bytes=0-10", 10, ONE, 0, 9 }, /* cut */
		{ "bytes=9-9", 10, ONE, 9, 9 },
		{ "bytes=10-", 10, UNSAT, 0, 0 },
		{ "bytes=10-20", 10, UNSAT, 0, 0 },
		{ "bytes=-11", 10, ONE, 0, 9 },
		{ "bytes=-10", 10, ONE, 0, 9 },
		{ "bytes=-0", 10, UNSAT, 0, 0 },
		{ "bytes=-0", 0, UNSAT, 0, 0 },
		{ "bytes=0-", 0, UNSAT, 0, 0 },
		{ "bytes=-5", 0, NONE, 0, 0 },
		{ "bytes=5-4", 10, NONE, 0, 0 },
		{ "bytes=50-40", 10, NONE, 0, 0 },
		{ "bytes=18446744073709551615-", 10, UNSAT, 0, 0 },
		{ "bytes=18446744073709551616-", 10, UNSAT, 0, 0 },
		{ "bytes=1-99999999999999999999999", 10, ONE, 1, 9 },
		{ "bytes=-99999999999999999999999", 10, ONE, 0, 9 },
		{ "bytes=0000000000000000000000001-2", 10, ONE, 1, 2 },
		{ "bytes=0-", UINT64_MAX, ONE, 0, UINT64_MAX - 1 },
		{ "", 10, NONE, 0, 0 },
		{ "bytes", 10, NONE, 0, 0 },
		{ "bytes=", 10, NONE, 0, 0 },
		{ "bytes=,", 10, NONE, 0, 0 },
		{ "bytes=-", 10, NONE, 0, 0 },
		{ "bytes=--1", 10, NONE, 0, 0 },
		{ "bytes=1", 10, NONE, 0, 0 },
		{ "bytes=+1-2", 10, NONE, 0, 0 },
		{ "bytes=1-+2", 10, NONE, 0, 0 },
		{ "bytes=1 -2", 10, NONE, 0, 0 },
		{ "bytes=1- 2", 10, NONE, 0, 0 },
		{ "bytes=1-2-3", 10, NONE, 0, 0 },
		{ "bytes=a-b", 10, NONE, 0, 0 },
		{ "bytes=0x1-2", 10, NONE, 0, 0 },
		{ "bytes =1-2", 10, NONE, 0, 0 },
		{ "items=1-2", 10, NONE, 0, 0 },
		{ "bytess=1-2", 10, NONE, 0, 0 },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uint64_t first = 0, last = 0;
		enum http_range got =
		    http_range_parse(span_from_str(rows[i].value), rows[i].size, &first, &last);

		ck_assert_msg(got == rows[i].wanted, "%s: %d", rows[i].value, (int)got);
		if (got == ONE) {
			ck_assert_msg(first == rows[i].first, "%s", rows[i].value);
			ck_assert_msg(last == rows[i].last, "%s", rows[i].value);
		}
	}
}
END_TEST

START_TEST(http_etag_list_compares_weakly_and_strongly)
{
	static const struct {
		const char *list, *tag;
		bool weak, wanted;
	} rows[] = {
		/* RFC 9110 8.8.3.2 */
		{ "W/\"1\"", "W/\"1\"", false, false },
		{ "W/\"1\"", "W/\"1\"", true, true },
		{ "W/\"1\"", "W/\"2\"", true, false },
		{ "W/\"1\"", "\"1\"", false, false },
		{ "W/\"1\"", "\"1\"", true, true },
		{ "\"1\"", "W/\"1\"", false, false },
		{ "\"1\"", "W/\"1\"", true, true },
		{ "\"1\"", "\"1\"", false, true },
		{ "\"1\"", "\"1\"", true, true },
		{ "*", "\"1\"", false, true },
		{ " * ", "W/\"1\"", true, true },
		{ "\"*\"", "\"1\"", true, false },
		{ "\"a\", \"b\",W/\"c\" ,\t\"d\"", "\"d\"", false, true },
		{ "\"a\", \"b\",W/\"c\" ,\t\"d\"", "\"c\"", true, true },
		{ "\"a,b\", \"c\"", "\"c\"", true, true },
		{ "\"a,b\", \"c\"", "\"a,b\"", true, true },
		{ "\"a\\\", \"c\"", "\"c\"", true, true }, /* no escapes in a tag */
		{ "\"\"", "\"\"", false, true },
		{ ",,\"1\"", "\"1\"", false, true },
		{ "", "\"1\"", true, false },
		{ "1", "\"1\"", true, false },
		{ "\"1", "\"1\"", true, false },
		{ "x\"1\"", "\"1\"", true, false },
		{ "w/\"1\"", "\"1\"", true, false }, /* W/ has case */
		{ "\"A\"", "\"a\"", true, false },
		{ "\"1\"", "1", true, false },
		{ "\"1\"", "\"1\"x", true, false },
		{ "\"1\"", "", true, false },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_msg(http_etag_list_has(span_from_str(rows[i].list),
				  span_from_str(rows[i].tag), rows[i].weak) == rows[i].wanted,
		    "%s: %s, weak %d", rows[i].list, rows[i].tag, rows[i].weak);
	ck_assert(!http_etag_list_has(SPAN_NONE, SPAN_LIT("\"1\""), true));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http_range_judges_a_range_by_the_size,
		http_etag_list_compares_weakly_and_strongly,
	};

	return unit_run("http_range", cases, UNIT_COUNT(cases));
}
