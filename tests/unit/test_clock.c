/* Unit tests of src/base/clock.[ch]. */
#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static int
clock_parse(const char *s, time_t *out)
{
	return clock_parse_http_date(s, strlen(s), out);
}

START_TEST(clock_mono_never_goes_back)
{
	uint64_t us = clock_mono_us(), ms = clock_mono_ms(), now;

	ck_assert_uint_gt(us, 0);
	for (int i = 0; i < 10000; i++) {
		now = clock_mono_us();
		ck_assert_uint_ge(now, us);
		us = now;
	}
	now = clock_mono_ms();
	ck_assert_uint_ge(now, ms);
	ck_assert_uint_ge(now, us / 1000);
	ck_assert_uint_le(now, us / 1000 + 10000);
}
END_TEST

START_TEST(clock_rfc3339_has_its_form_and_is_now)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	struct tm tm;
	char out[25];
	time_t before = time(NULL), t;

	clock_rfc3339(out, sizeof(out));
	ck_assert_uint_eq(strlen(out), 24);
	for (size_t i = 0; i < 24; i++) {
		if (form[i] == '0')
			ck_assert(isdigit((unsigned char)out[i]));
		else
			ck_assert_int_eq(out[i], form[i]);
	}
	memset(&tm, 0, sizeof(tm));
	ck_assert_ptr_nonnull(strptime(out, "%Y-%m-%dT%H:%M:%S", &tm));
	t = timegm(&tm);
	/* time(2) may be a tick behind clock_gettime(2). */
	ck_assert_int_ge(t, before - 1);
	ck_assert_int_le(t, time(NULL) + 1);
}
END_TEST

START_TEST(clock_http_date_writes_imf_fixdate)
{
	char out[30];

	clock_http_date(784111777, out, sizeof(out));
	ck_assert_str_eq(out, "Sun, 06 Nov 1994 08:49:37 GMT");
	clock_http_date(0, out, sizeof(out));
	ck_assert_str_eq(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	clock_http_date(-1, out, sizeof(out));
	ck_assert_str_eq(out, "Wed, 31 Dec 1969 23:59:59 GMT");
	clock_http_date(1709251199, out, sizeof(out));
	ck_assert_str_eq(out, "Thu, 29 Feb 2024 23:59:59 GMT");
}
END_TEST

START_TEST(clock_http_date_is_bounded_at_the_ends_of_time)
{
	const time_t last = 253402300799, first = -62167219200;
	char out[30], same[30];

	clock_http_date(last, out, sizeof(out));
	ck_assert_str_eq(out, "Fri, 31 Dec 9999 23:59:59 GMT");
	clock_http_date(last + 1, same, sizeof(same));
	ck_assert_str_eq(same, out);
	clock_http_date((time_t)INT64_MAX, same, sizeof(same));
	ck_assert_str_eq(same, out);
	clock_http_date(first, out, sizeof(out));
	ck_assert_str_eq(out, "Sat, 01 Jan 0000 00:00:00 GMT");
	clock_http_date((time_t)INT64_MIN, same, sizeof(same));
	ck_assert_str_eq(same, out);
}
END_TEST

START_TEST(clock_parse_takes_all_three_forms)
{
	static const char *const texts[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sun Nov 06 08:49:37 1994" };
	time_t t;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		t = 0;
		ck_assert_msg(clock_parse(texts[i], &t) == 0, "%s", texts[i]);
		ck_assert_int_eq(t, 784111777);
	}
	ck_assert_int_eq(clock_parse("Wed Nov 16 08:49:37 1994", &t), 0);
	ck_assert_int_eq(t, 784111777 + 864000);
	ck_assert_int_eq(clock_parse("Sat, 31 Dec 2016 23:59:60 GMT", &t), 0);
	ck_assert_int_eq(t, 1483228800);
}
END_TEST

START_TEST(clock_parse_refuses_what_is_no_date)
{
	static const char *const texts[] = { "", " ", "0", "Sun", "Sun,", "Sunday", "Sunday,",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT", "Sux, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT",
		"Mon, 29 Feb 1900 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
		"Sunday, 06 Nov 94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
		"Sun Nov  6 08:49:37 1994 GMT", "Sun Nov  0 08:49:37 1994",
		"Sun Nov   08:49:37 1994" };
	time_t t = 4711;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		ck_assert_msg(clock_parse(texts[i], &t) == -1, "%s taken", texts[i]);
		ck_assert_int_eq(t, 4711);
	}
}
END_TEST

/* From memory of exactly that size, so that a sanitizer sees a read past it. */
START_TEST(clock_parse_refuses_every_prefix)
{
	static const char *const texts[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };
	time_t t;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		for (size_t n = 0; n < strlen(texts[i]); n++) {
			char *copy = malloc(n + (n == 0));

			memcpy(copy, texts[i], n);
			ck_assert_int_eq(clock_parse_http_date(copy, n, &t), -1);
			free(copy);
		}
	}
}
END_TEST

START_TEST(clock_parse_takes_two_digit_years_at_most_50_years_ahead)
{
	char text[40];
	time_t t, now = time(NULL);
	struct tm tm, got;

	gmtime_r(&now, &tm);
	for (int year = 0; year < 100; year++) {
		snprintf(text, sizeof(text), "Sunday, 01-Mar-%02d 00:00:00 GMT", year);
		ck_assert_int_eq(clock_parse(text, &t), 0);
		gmtime_r(&t, &got);
		ck_assert_int_eq(got.tm_year % 100, year);
		ck_assert_int_le(got.tm_year, tm.tm_year + 50);
		ck_assert_int_ge(got.tm_year, tm.tm_year - 99);
	}
}
END_TEST

START_TEST(clock_parse_reads_back_what_was_written)
{
	char out[30];
	time_t t, back;

	/* All the years there are, at changing times of the day. */
	for (t = -62167219200; t < 253402300799; t += 86400 * 13 + 3607) {
		clock_http_date(t, out, sizeof(out));
		ck_assert_int_eq(clock_parse(out, &back), 0);
		if (back != t)
			ck_abort_msg("%s", out);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		clock_mono_never_goes_back,
		clock_rfc3339_has_its_form_and_is_now,
		clock_http_date_writes_imf_fixdate,
		clock_http_date_is_bounded_at_the_ends_of_time,
		clock_parse_takes_all_three_forms,
		clock_parse_refuses_what_is_no_date,
		clock_parse_refuses_every_prefix,
		clock_parse_takes_two_digit_years_at_most_50_years_ahead,
		clock_parse_reads_back_what_was_written,
	};

	return unit_run("clock", cases, UNIT_COUNT(cases));
}
