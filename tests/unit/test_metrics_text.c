/* Unit tests of src/codec/metrics_text.[ch]. */
#include "codec/metrics_text.h"

#include <string.h>

#include "base/mem.h"
#include "unit.h"

static struct buf b;
static struct metrics_text m;

static void
setup(void)
{
	buf_init(&b, 1 << 20);
	metrics_text_init(&m, &b);
}

static void
teardown(void)
{
	buf_clear(&b);
}

static void
text_is(const char *want)
{
	ck_assert(!m.failed);
	ck_assert_int_eq(buf_append_char(&b, '\0'), 0);
	ck_assert_str_eq(b.p, want);
}

START_TEST(metrics_text_writes_help_type_and_samples)
{
	static const struct metrics_family c = { "a_total", METRICS_COUNTER, "All of it." };
	static const struct metrics_family g = { "g_bytes", METRICS_GAUGE, "Now." };
	const struct metrics_label v[] = { { "x", "1" }, { "y", "two" } };

	metrics_text_begin(&m, &c);
	metrics_text_uint(&m, NULL, 0, 0);
	metrics_text_uint(&m, v, 1, 7);
	metrics_text_uint(&m, v, 2, UINT64_MAX);
	metrics_text_begin(&m, &g);
	metrics_text_double(&m, NULL, 0, 1.5);
	metrics_text_double(&m, NULL, 0, 1800000000.25);
	text_is("# HELP a_total All of it.\n# TYPE a_total counter\n"
		"a_total 0\na_total{x=\"1\"} 7\n"
		"a_total{x=\"1\",y=\"two\"} 18446744073709551615\n"
		"# HELP g_bytes Now.\n# TYPE g_bytes gauge\ng_bytes 1.5\ng_bytes 1800000000.25\n");
}
END_TEST

START_TEST(metrics_text_escapes_values_and_help)
{
	static const struct metrics_family f = { "f", METRICS_GAUGE, "a\\b\n\"c\"" };
	const struct metrics_label v[] = { { "x", "\"q\\\n\"" }, { "y", "\n" }, { "z", "" },
		{ "u", "\xc3\xa4 {}=," } };

	metrics_text_begin(&m, &f);
	metrics_text_uint(&m, v, 4, 1);
	text_is("# HELP f a\\\\b\\n\"c\"\n# TYPE f gauge\n"
		"f{x=\"\\\"q\\\\\\n\\\"\",y=\"\\n\",z=\"\",u=\"\xc3\xa4 {}=,\"} 1\n");
}
END_TEST

START_TEST(metrics_text_shows_bytes_that_are_not_utf8)
{
	static const struct metrics_family f = { "f", METRICS_GAUGE, "F." };
	const struct metrics_label v[] = { { "x", "\xc3\xa4\xff\"" }, { "y", "\xc3" },
		{ "z", "\xc3\xa4" } };

	metrics_text_begin(&m, &f);
	metrics_text_uint(&m, v, 3, 1);
	text_is("# HELP f F.\n# TYPE f gauge\n"
		"f{x=\"\\\\xc3\\\\xa4\\\\xff\\\"\",y=\"\\\\xc3\",z=\"\xc3\xa4\"} 1\n");
}
END_TEST

START_TEST(metrics_text_histogram_is_cumulative_and_in_seconds)
{
	static const struct metrics_family f = { "h_seconds", METRICS_HISTOGRAM, "H." };
	static const uint64_t bound[] = { 500, 1000, 2500000, 10000000 };
	static const uint64_t count[] = { 2, 0, 3, 1, 4 };
	const struct metrics_histogram h = { bound, count, 4, 43000001 };
	const struct metrics_label v = { "b", "x" };

	metrics_text_begin(&m, &f);
	metrics_text_histogram(&m, &v, 1, &h);
	text_is("# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
		"h_seconds_bucket{b=\"x\",le=\"0.0005\"} 2\n"
		"h_seconds_bucket{b=\"x\",le=\"0.001\"} 2\n"
		"h_seconds_bucket{b=\"x\",le=\"2.5\"} 5\n"
		"h_seconds_bucket{b=\"x\",le=\"10\"} 6\n"
		"h_seconds_bucket{b=\"x\",le=\"+Inf\"} 10\n"
		"h_seconds_sum{b=\"x\"} 43.000001\nh_seconds_count{b=\"x\"} 10\n");
}
END_TEST

START_TEST(metrics_text_histogram_without_labels_or_values)
{
	static const struct metrics_family f = { "h_seconds", METRICS_HISTOGRAM, "H." };
	static const uint64_t bound[] = { 1000000 };
	static const uint64_t count[] = { 0, 0 };
	const struct metrics_histogram h = { bound, count, 1, 0 };

	metrics_text_begin(&m, &f);
	metrics_text_histogram(&m, NULL, 0, &h);
	text_is("# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
		"h_seconds_bucket{le=\"1\"} 0\nh_seconds_bucket{le=\"+Inf\"} 0\n"
		"h_seconds_sum 0\nh_seconds_count 0\n");
}
END_TEST

static void
write_some(void)
{
	static const struct metrics_family f = { "f", METRICS_GAUGE, "\\help" };
	const struct metrics_label v = { "x", "\"" };

	metrics_text_begin(&m, &f);
	for (unsigned i = 0; i < 100; i++)
		metrics_text_uint(&m, &v, 1, i);
}

START_TEST(metrics_text_fails_at_the_maximum_and_without_memory)
{
	size_t whole;

	write_some();
	ck_assert(!m.failed);
	whole = b.n;
	for (size_t max = 0; max < whole; max++) {
		buf_clear(&b);
		buf_init(&b, max);
		metrics_text_init(&m, &b);
		write_some();
		ck_assert_msg(m.failed, "with room for %zu of %zu bytes", max, whole);
	}
	for (unsigned long n = 1;; n++) {
		buf_clear(&b);
		setup();
		mem_fail_nth(n);
		write_some();
		if (mem_fail_pending())
			break;
		ck_assert(m.failed);
	}
	mem_fail_nth(0);
	ck_assert(!m.failed);
	ck_assert_uint_eq(b.n, whole);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		metrics_text_writes_help_type_and_samples,
		metrics_text_escapes_values_and_help,
		metrics_text_shows_bytes_that_are_not_utf8,
		metrics_text_histogram_is_cumulative_and_in_seconds,
		metrics_text_histogram_without_labels_or_values,
		metrics_text_fails_at_the_maximum_and_without_memory,
	};

	return unit_run_with("metrics_text", cases, UNIT_COUNT(cases), setup, teardown);
}
