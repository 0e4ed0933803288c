/* Unit tests of src/base/num.[ch]. */
#include "base/num.h"

#include <inttypes.h>
#include <string.h>

#include "unit.h"

struct num_row {
	const char *text;
	uint64_t value;
};

static void
num_expect(int (*parse)(struct span, uint64_t *), const struct num_row *rows, size_t n)
{
	uint64_t v;

	for (size_t i = 0; i < n; i++) {
		v = ~rows[i].value;
		ck_assert_msg(
		    parse(span_from_str(rows[i].text), &v) == 0, "\"%s\" is refused", rows[i].text);
		ck_assert_msg(v == rows[i].value, "\"%s\" gives %" PRIu64, rows[i].text, v);
	}
}

/* Refused, and *out left alone. */
static void
num_refuse(int (*parse)(struct span, uint64_t *), const char *const *texts, size_t n)
{
	uint64_t v;

	for (size_t i = 0; i < n; i++) {
		v = 4711;
		ck_assert_msg(
		    parse(span_from_str(texts[i]), &v) == -1, "\"%s\" is taken", texts[i]);
		ck_assert_uint_eq(v, 4711);
	}
	ck_assert_int_eq(parse(SPAN_NONE, &v), -1);
}

START_TEST(num_uint_takes_digits)
{
	static const struct num_row rows[] = {
		{ "0", 0 },
		{ "00", 0 },
		{ "007", 7 },
		{ "42", 42 },
		{ "18446744073709551615", UINT64_MAX },
		{ "00018446744073709551615", UINT64_MAX },
	};

	num_expect(num_parse_uint, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(num_uint_refuses_all_else)
{
	static const char *const texts[] = { "", " ", "-1", "+1", "1 ", " 1", "1a", "0x1", "1.0",
		"1,000", "18446744073709551616", "18446744073709551620", "99999999999999999999",
		"184467440737095516150", "/", ":" };
	uint64_t v = 1;

	num_refuse(num_parse_uint, texts, UNIT_COUNT(texts));
	ck_assert_int_eq(num_parse_uint(SPAN_LIT("1\0"), &v), -1);
}
END_TEST

START_TEST(num_uint_reads_no_further_than_the_span)
{
	uint64_t v;

	ck_assert_int_eq(num_parse_uint((struct span){ "1234", 2 }, &v), 0);
	ck_assert_uint_eq(v, 12);
}
END_TEST

START_TEST(num_hex_digit_is_one_in_either_case)
{
	static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

	for (int c = 0; c < 256; c++) {
		const char *at = c == 0 ? NULL : strchr(digits, c);
		int want = at != NULL ? (int)(at - digits) : -1;

		if (at == NULL && c != 0 && (at = strchr(upper, c)) != NULL)
			want = (int)(at - upper);
		ck_assert_int_eq(num_hex_digit((char)c), want);
	}
}
END_TEST

START_TEST(num_bool_takes_each_word_in_any_case)
{
	static const char *const yes[] = { "yes", "true", "on", "1", "YES", "True", "oN" };
	static const char *const no[] = { "no", "false", "off", "0", "NO", "False", "OfF" };
	bool b;

	for (size_t i = 0; i < UNIT_COUNT(yes); i++) {
		b = false;
		ck_assert_int_eq(num_parse_bool(span_from_str(yes[i]), &b), 0);
		ck_assert(b);
	}
	for (size_t i = 0; i < UNIT_COUNT(no); i++) {
		b = true;
		ck_assert_int_eq(num_parse_bool(span_from_str(no[i]), &b), 0);
		ck_assert(!b);
	}
}
END_TEST

START_TEST(num_bool_refuses_other_words)
{
	static const char *const texts[] = { "", "y", "n", "2", "00", "yes ", "tru", "truee", "o" };
	bool b = true;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		ck_assert_int_eq(num_parse_bool(span_from_str(texts[i]), &b), -1);
		ck_assert(b);
	}
	ck_assert_int_eq(num_parse_bool(SPAN_NONE, &b), -1);
}
END_TEST

START_TEST(num_time_takes_each_unit)
{
	static const struct num_row rows[] = {
		{ "0", 0 },
		{ "0ms", 0 },
		{ "500ms", 500 },
		{ "30s", 30000 },
		{ "30", 30000 },
		{ "2min", 120000 },
		{ "2m", 120000 },
		{ "1h", 3600000 },
		{ "1d", 86400000 },
		{ "infinity", NUM_TIME_INFINITY },
		{ "Infinity", NUM_TIME_INFINITY },
		{ "18446744073709551614ms", UINT64_MAX - 1 },
		{ "18446744073709551", 18446744073709551000U },
		{ "213503982334d", 213503982334U * 86400000U },
	};

	num_expect(num_parse_time_ms, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(num_time_refuses_unknown_unit)
{
	static const char *const texts[] = { "1us", "1sec", "1M", "1S", "1H", "1w", "1y", "1mins",
		"1 s", "1s ", "1h30m", "1.5s", "5%" };

	num_refuse(num_parse_time_ms, texts, UNIT_COUNT(texts));
}
END_TEST

START_TEST(num_time_refuses_no_number)
{
	static const char *const texts[] = { "", "s", "ms", "-1", "-1s", "+1s", "infinit",
		"infinityy", "inf", "never" };

	num_refuse(num_parse_time_ms, texts, UNIT_COUNT(texts));
}
END_TEST

START_TEST(num_time_refuses_what_does_not_fit)
{
	static const char *const texts[] = { "18446744073709551615ms", /* would be infinity */
		"18446744073709551616ms", "18446744073709552", "18446744073709552s",
		"213503982335d", "99999999999999999999d" };

	num_refuse(num_parse_time_ms, texts, UNIT_COUNT(texts));
}
END_TEST

START_TEST(num_size_takes_each_unit)
{
	static const struct num_row rows[] = {
		{ "0", 0 },
		{ "0G", 0 },
		{ "1", 1 },
		{ "64K", 65536 },
		{ "64k", 65536 },
		{ "16M", 16777216 },
		{ "16m", 16777216 },
		{ "1G", 1073741824 },
		{ "1g", 1073741824 },
		{ "18446744073709551615", UINT64_MAX },
		{ "17179869183G", 17179869183U << 30 },
	};

	num_expect(num_parse_size, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(num_size_refuses_all_else)
{
	static const char *const texts[] = { "", "K", "1T", "1KB", "1KiB", "1 K", "1K ", "-1",
		"1.5M", "infinity", "17179869184G", "18014398509481984K", "18446744073709551616" };

	num_refuse(num_parse_size, texts, UNIT_COUNT(texts));
}
END_TEST

START_TEST(num_format_gives_the_largest_unit)
{
	static const struct num_row times[] = {
		{ "0", 0 },
		{ "1ms", 1 },
		{ "999ms", 999 },
		{ "1s", 1000 },
		{ "1500ms", 1500 },
		{ "90s", 90000 },
		{ "2min", 120000 },
		{ "5min", 300000 },
		{ "1h", 3600000 },
		{ "25h", 90000000 },
		{ "1d", 86400000 },
		{ "infinity", UINT64_MAX },
		{ "18446744073709551614ms", UINT64_MAX - 1 },
	};
	static const struct num_row sizes[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "1023", 1023 },
		{ "1K", 1024 },
		{ "1025", 1025 },
		{ "16M", 1 << 24 },
		{ "1536K", 3 << 19 },
		{ "1G", 1 << 30 },
		{ "18446744073709551615", UINT64_MAX },
	};
	char out[24];

	for (size_t i = 0; i < UNIT_COUNT(times); i++) {
		num_format_time_ms(times[i].value, out, sizeof(out));
		ck_assert_str_eq(out, times[i].text);
	}
	for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
		num_format_size(sizes[i].value, out, sizeof(out));
		ck_assert_str_eq(out, sizes[i].text);
	}
}
END_TEST

START_TEST(num_format_parses_back)
{
	uint64_t v = 1, back;
	char out[24];

	for (int i = 0; i < 100000; i++) {
		v = v * 6364136223846793005U + 1442695040888963407U;
		uint64_t some = v >> (v & 63);

		num_format_time_ms(some, out, sizeof(out));
		ck_assert_int_eq(num_parse_time_ms(span_from_str(out), &back), 0);
		ck_assert_uint_eq(back, some);
		num_format_size(some << (v & 31), out, sizeof(out));
		ck_assert_int_eq(num_parse_size(span_from_str(out), &back), 0);
		ck_assert_uint_eq(back, some << (v & 31));
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		num_uint_takes_digits,
		num_uint_refuses_all_else,
		num_uint_reads_no_further_than_the_span,
		num_hex_digit_is_one_in_either_case,
		num_bool_takes_each_word_in_any_case,
		num_bool_refuses_other_words,
		num_time_takes_each_unit,
		num_time_refuses_unknown_unit,
		num_time_refuses_no_number,
		num_time_refuses_what_does_not_fit,
		num_size_takes_each_unit,
		num_size_refuses_all_else,
		num_format_gives_the_largest_unit,
		num_format_parses_back,
	};

	return unit_run("num", cases, UNIT_COUNT(cases));
}
