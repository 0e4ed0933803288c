/* Unit tests of src/base/counter.[ch]. */
#include "base/counter.h"

#include <string.h>

#include "unit.h"

START_TEST(counter_adds_and_takes_away)
{
	struct counter c = { 0 };

	counter_add(&c, 5);
	counter_add(&c, 0);
	counter_sub(&c, 2);
	ck_assert_uint_eq(counter_get(&c), 3);
	counter_set(&c, UINT64_MAX);
	ck_assert_uint_eq(counter_get(&c), UINT64_MAX);
}
END_TEST

START_TEST(histogram_bounds_are_ascending)
{
	for (unsigned i = 1; i < HISTOGRAM_BOUNDS; i++)
		ck_assert_uint_lt(histogram_bound_us[i - 1], histogram_bound_us[i]);
}
END_TEST

/* A value that equals a bound is within it: `le` is less or equal. */
START_TEST(histogram_puts_each_value_into_its_bucket)
{
	struct histogram h;
	uint64_t sum = 0;

	memset(&h, 0, sizeof(h));
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		histogram_add(&h, histogram_bound_us[i]);
		histogram_add(&h, histogram_bound_us[i] + 1);
		sum += 2 * histogram_bound_us[i] + 1;
	}
	histogram_add(&h, 0);
	ck_assert_uint_eq(counter_get(&h.count[0]), 2);
	for (unsigned i = 1; i < HISTOGRAM_BOUNDS; i++)
		ck_assert_uint_eq(counter_get(&h.count[i]), 2);
	ck_assert_uint_eq(counter_get(&h.count[HISTOGRAM_BOUNDS]), 1);
	ck_assert_uint_eq(counter_get(&h.sum_us), sum);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		counter_adds_and_takes_away,
		histogram_bounds_are_ascending,
		histogram_puts_each_value_into_its_bucket,
	};

	return unit_run("counter", cases, UNIT_COUNT(cases));
}
