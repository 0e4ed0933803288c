/* Unit tests of src/tools/wsdial_stats.[ch]. */
#include "tools/wsdial_stats.h"

#include <string.h>

#include "unit.h"

START_TEST(wsdial_rtt_sums_up)
{
	struct wsdial_rtt r = { .n = 0 };

	wsdial_rtt_add(&r, 4);
	wsdial_rtt_add(&r, 2);
	wsdial_rtt_add(&r, 4);
	wsdial_rtt_add(&r, 4);
	wsdial_rtt_add(&r, 5);
	wsdial_rtt_add(&r, 5);
	wsdial_rtt_add(&r, 7);
	wsdial_rtt_add(&r, 9);
	ck_assert_uint_eq(r.n, 8);
	ck_assert_uint_eq(r.min_us, 2);
	ck_assert_uint_eq(r.max_us, 9);
	ck_assert_double_eq_tol(wsdial_rtt_avg(&r), 5, 1e-9);
	ck_assert_double_eq_tol(wsdial_rtt_mdev(&r), 2, 1e-9);
}
END_TEST

START_TEST(wsdial_rtt_of_one_deviates_by_nothing)
{
	struct wsdial_rtt r = { .n = 0 };

	wsdial_rtt_add(&r, 123456789);
	ck_assert_double_eq_tol(wsdial_rtt_avg(&r), 123456789, 1e-3);
	ck_assert_double_eq_tol(wsdial_rtt_mdev(&r), 0, 1);
}
END_TEST

START_TEST(wsdial_histogram_gives_exact_small_values)
{
	struct wsdial_histogram h = { .all = { .n = 0 } };

	ck_assert_uint_eq(wsdial_histogram_value(&h, 500), 0);
	for (uint64_t us = 1; us <= 100; us++)
		wsdial_histogram_add(&h, us);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 500), 50);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 900), 90);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 990), 99);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 999), 100);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 1000), 100);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 0), 1);
}
END_TEST

START_TEST(wsdial_histogram_is_near_to_large_values)
{
	struct wsdial_histogram h;
	uint64_t got;

	for (uint64_t us = 1; us < (uint64_t)1 << 35; us += us / 50 + 1) {
		memset(&h, 0, sizeof(h));
		wsdial_histogram_add(&h, us);
		wsdial_histogram_add(&h, us * 2);
		got = wsdial_histogram_value(&h, 500);
		ck_assert_uint_ge(got, us);
		ck_assert_uint_le(got, us + us / 64);
		ck_assert_uint_eq(wsdial_histogram_value(&h, 1000), us * 2);
	}
}
END_TEST

START_TEST(wsdial_histogram_takes_any_value)
{
	struct wsdial_histogram h = { .all = { .n = 0 } };

	wsdial_histogram_add(&h, 0);
	wsdial_histogram_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.all.n, 2);
	ck_assert_uint_eq(wsdial_histogram_value(&h, 500), 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_rtt_sums_up,
		wsdial_rtt_of_one_deviates_by_nothing,
		wsdial_histogram_gives_exact_small_values,
		wsdial_histogram_is_near_to_large_values,
		wsdial_histogram_takes_any_value,
	};

	return unit_run("wsdial_stats", cases, UNIT_COUNT(cases));
}
