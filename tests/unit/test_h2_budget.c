/* Token buckets. */
#include "http/h2_budget.h"

#include "unit.h"

START_TEST(h2_bucket_starts_full_and_refuses_when_empty)
{
	struct h2_bucket b;

	h2_bucket_init(&b, 5, 10, 1000);
	for (int i = 0; i < 5; i++)
		ck_assert(h2_bucket_take(&b, 1, 1000));
	ck_assert(!h2_bucket_take(&b, 1, 1000));
	ck_assert(!h2_bucket_take(&b, 1, 1099));
	ck_assert(h2_bucket_take(&b, 1, 1100));
	ck_assert(!h2_bucket_take(&b, 1, 1100));
}
END_TEST

START_TEST(h2_bucket_refusal_takes_nothing)
{
	struct h2_bucket b;

	h2_bucket_init(&b, 5, 1, 0);
	ck_assert(!h2_bucket_take(&b, 6, 0));
	ck_assert(h2_bucket_take(&b, 5, 0));
}
END_TEST

START_TEST(h2_bucket_fills_by_parts_of_a_token)
{
	struct h2_bucket b;
	unsigned taken = 0;

	/* 3 a second, asked for every millisecond, is 3 a second. */
	h2_bucket_init(&b, 10, 3, 0);
	ck_assert(h2_bucket_take(&b, 10, 0));
	for (uint64_t t = 1; t <= 100000; t++)
		taken += h2_bucket_take(&b, 1, t);
	ck_assert_uint_eq(taken, 300);
}
END_TEST

START_TEST(h2_bucket_never_holds_more_than_its_burst)
{
	struct h2_bucket b;

	h2_bucket_init(&b, 10, UINT32_MAX, 0);
	ck_assert(h2_bucket_take(&b, 10, 0));
	ck_assert(h2_bucket_take(&b, 10, UINT64_MAX / 2));
	ck_assert(!h2_bucket_take(&b, 1, UINT64_MAX / 2));
	h2_bucket_put(&b, UINT32_MAX);
	ck_assert(h2_bucket_take(&b, 10, UINT64_MAX / 2));
	ck_assert(!h2_bucket_take(&b, 1, UINT64_MAX / 2));
	h2_bucket_put(&b, 3);
	ck_assert(h2_bucket_take(&b, 3, UINT64_MAX / 2));
	ck_assert(!h2_bucket_take(&b, 1, UINT64_MAX / 2));
}
END_TEST

START_TEST(h2_bucket_clock_that_stands_or_goes_back_gives_nothing)
{
	struct h2_bucket b;

	h2_bucket_init(&b, 1, 1000, 500);
	ck_assert(h2_bucket_take(&b, 1, 500));
	ck_assert(!h2_bucket_take(&b, 1, 500));
	ck_assert(!h2_bucket_take(&b, 1, 100));
	ck_assert(h2_bucket_take(&b, 1, 501));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_bucket_starts_full_and_refuses_when_empty,
		h2_bucket_refusal_takes_nothing,
		h2_bucket_fills_by_parts_of_a_token,
		h2_bucket_never_holds_more_than_its_burst,
		h2_bucket_clock_that_stands_or_goes_back_gives_nothing,
	};

	return unit_run("h2_budget", cases, UNIT_COUNT(cases));
}
