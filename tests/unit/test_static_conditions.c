/*
 * Unit tests of src/gateway/static.[ch]: conditional requests and ranges.
 */
#include <sys/stat.h>

#include "unit_static.h"

/* ---- conditions (RFC 9110 13) */

static const struct {
	const char *fields;
	unsigned status;
} conditions[] = {
	{ "If-None-Match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: W/" HELLO_TAG "\n", 304 },
	{ "If-None-Match: \"a\", " HELLO_TAG ", \"b\"\n", 304 },
	{ "If-None-Match: \"a\"\nif-none-match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: *\n", 304 },
	{ "If-None-Match: \"a\"\n", 200 },
	{ "If-None-Match: nonsense\n", 200 },
	{ "If-None-Match: " TAG("e") "\n", 200 },
	{ "If-Modified-Since: " DATE "\n", 304 },
	{ "If-Modified-Since: " LATER "\n", 304 },
	{ "If-Modified-Since: " EARLIER "\n", 200 },
	{ "If-Modified-Since: Thursday, 02-Jan-20 03:04:05 GMT\n", 304 },
	{ "If-Modified-Since: yesterday\n", 200 },
	{ "If-Modified-Since: " DATE "\nIf-Modified-Since: " DATE "\n", 200 },
	/* the tag wins */
	{ "If-None-Match: \"a\"\nIf-Modified-Since: " DATE "\n", 200 },
	{ "If-None-Match: " HELLO_TAG "\nIf-Modified-Since: " EARLIER "\n", 304 },
	{ "If-Match: " HELLO_TAG "\n", 200 },
	{ "If-Match: *\n", 200 },
	{ "If-Match: \"a\", " HELLO_TAG "\n", 200 },
	{ "If-Match: \"a\"\n", 412 },
	{ "If-Match: W/" HELLO_TAG "\n", 412 },
	{ "If-Match: \n", 412 },
	{ "If-Unmodified-Since: " DATE "\n", 200 },
	{ "If-Unmodified-Since: " LATER "\n", 200 },
	{ "If-Unmodified-Since: " EARLIER "\n", 412 },
	{ "If-Unmodified-Since: yesterday\n", 200 },
	{ "If-Match: " HELLO_TAG "\nIf-Unmodified-Since: " EARLIER "\n", 200 },
	{ "If-Match: \"a\"\nIf-None-Match: " HELLO_TAG "\n", 412 },
	{ "If-Match: " HELLO_TAG "\nIf-None-Match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: " HELLO_TAG "\nRange: bytes=0-0\n", 304 },
	{ "If-Match: \"a\"\nRange: bytes=0-0\n", 412 },
};

START_TEST(static_minds_conditions)
{
	for (size_t i = 0; i < UNIT_COUNT(conditions); i++)
		for (int head = 0; head < 2; head++) {
			us_get_whole(head ? "HEAD" : "GET", "/hello.txt", conditions[i].fields);
			ck_assert_msg(us.f.status == conditions[i].status, "%s: %u",
			    conditions[i].fields, us.f.status);
			if (us.f.status == 304)
				ck_assert_str_eq(us.f.fields,
				    "ETag: " HELLO_TAG "\n"
				    "Last-Modified: " DATE "\nCache-Control: no-cache\n");
			us_drop();
		}
}
END_TEST

START_TEST(static_conditions_need_a_file)
{
	us_get_whole("GET", "/nothing", "If-None-Match: *\n");
	ck_assert_uint_eq(us.f.status, 404);
	us_drop();
}
END_TEST

START_TEST(static_tag_changes_with_the_file)
{
	char tag[100];
	struct timespec ts[2] = { { MTIME, 678000001 }, { MTIME, 678000001 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, us_path("hello.txt"), ts, 0), 0);
	us_get_whole("GET", "/hello.txt", "If-None-Match: " HELLO_TAG "\n");
	ck_assert_uint_eq(us.f.status, 200);
	snprintf(tag, sizeof(tag), "If-None-Match: %s\n", us_field("ETag"));
	us_drop();
	us_get_whole("GET", "/hello.txt", tag);
	ck_assert_uint_eq(us.f.status, 304);
	us_drop();
}
END_TEST

/* ---- ranges (RFC 9110 14) */

static const struct {
	const char *fields;
	unsigned status;
	const char *range, *body;
} ranges[] = {
	{ "Range: bytes=0-0\n", 206, "bytes 0-0/10", "0" },
	{ "Range: bytes=2-4\n", 206, "bytes 2-4/10", "234" },
	{ "Range: bytes=7-\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=7-99\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=-3\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=-99\n", 206, "bytes 0-9/10", "0123456789" },
	{ "Range: bytes=0-\n", 206, "bytes 0-9/10", "0123456789" },
	{ "Range: bytes=10-\n", 416, "bytes */10", "" },
	{ "Range: bytes=10-20\n", 416, "bytes */10", "" },
	{ "Range: bytes=-0\n", 416, "bytes */10", "" },
	{ "Range: bytes=99999999999999999999-\n", 416, "bytes */10", "" },
	/* ignored */
	{ "Range: bytes=4-2\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2,4-5\n", 200, "", "0123456789" },
	{ "Range: lines=1-2\n", 200, "", "0123456789" },
	{ "Range: bytes=x\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nRange: bytes=1-2\n", 200, "", "0123456789" },
	/* If-Range */
	{ "Range: bytes=1-2\nIf-Range: " TAG("a") "\n", 206, "bytes 1-2/10", "12" },
	{ "Range: bytes=1-2\nIf-Range: W/" TAG("a") "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: \"x\"\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: \"x\", " TAG("a") "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: *\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: " DATE "\n", 206, "bytes 1-2/10", "12" },
	{ "Range: bytes=1-2\nIf-Range: " LATER "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: " TAG("a") "\nIf-Range: " TAG("a") "\n", 200, "",
	    "0123456789" },
	{ "Range: bytes=99-\nIf-Range: \"x\"\n", 200, "", "0123456789" },
};

START_TEST(static_sends_ranges)
{
	for (size_t i = 0; i < UNIT_COUNT(ranges); i++) {
		us_get_whole("GET", "/digits", ranges[i].fields);
		ck_assert_msg(
		    us.f.status == ranges[i].status, "%s: %u", ranges[i].fields, us.f.status);
		ck_assert_str_eq(us_field("Content-Range"), ranges[i].range);
		ck_assert_msg(us_body_is(ranges[i].body), "%s", ranges[i].fields);
		if (us.f.status != 416)
			ck_assert_str_eq(us_field("ETag"), TAG("a"));
		us_drop();
	}
	us_get_whole("GET", "/empty.js", "Range: bytes=0-\n");
	ck_assert_uint_eq(us.f.status, 416);
	ck_assert_str_eq(us_field("Content-Range"), "bytes */0");
	us_drop();
}
END_TEST

/* A date of this very second may still change: it is no strong validator (RFC 9110 8.8.2.2). */
START_TEST(static_takes_no_fresh_date_for_a_range)
{
	char fields[200];
	struct timespec ts[2] = { { 4000000000, 0 }, { 4000000000, 0 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, us_path("digits"), ts, 0), 0);
	for (int i = 0; i < 50; i++) {
		us_get_whole("GET", "/digits", "");
		snprintf(fields, sizeof(fields), "Range: bytes=1-2\nIf-Range: %s\n",
		    us_field("Last-Modified"));
		us_drop();
		us_get_whole("GET", "/digits", fields);
		ck_assert_uint_eq(us.f.status, 200);
		us_drop();
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		static_minds_conditions,
		static_conditions_need_a_file,
		static_tag_changes_with_the_file,
		static_sends_ranges,
		static_takes_no_fresh_date_for_a_range,
	};

	return unit_run_with("static_conditions", cases, UNIT_COUNT(cases), us_setup, us_teardown);
}
