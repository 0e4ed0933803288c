/* Unit tests of src/policy/rate.[ch]: a second's worth at once, and the rate after that. */
#include "policy/rate.h"

#include "unit.h"

#define SECOND RATE_SECOND_NS
#define START (UINT64_C(1000000) * SECOND) /* some time of the clock */

static const uint64_t rates[] = { 1, 2, 3, 7, 10, 999, 1000, 1000000, SECOND - 1, SECOND,
	UINT64_C(1) << 40 };

START_TEST(rate_lets_a_seconds_worth_come_at_once)
{
	for (size_t i = 0; i < UNIT_COUNT(rates); i++) {
		uint64_t through = 0, left = rates[i], part;

		ck_assert_uint_ge(
		    rate_credit(through, START, rates[i]), rates[i] - rates[i] / 1000);
		ck_assert_uint_le(rate_credit(through, START, rates[i]), rates[i]);
		for (int k = 0; left > 0; k++) {
			part = k < 10 && left > 10 ? left / 3 : left;
			through = rate_charge(through, START, part, rates[i]);
			left -= part;
		}
		ck_assert_uint_le(through, START + SECOND);
		ck_assert_uint_gt(
		    rate_charge(through, START, rates[i] / 500 + 1, rates[i]), START + SECOND);
	}
}
END_TEST

/* Whoever sends whenever there is credit sends at the rate. */
START_TEST(rate_holds_over_time)
{
	for (size_t i = 0; i < 8; i++) {
		uint64_t through = 0, sent = 0, now = START, n;

		for (; now < START + 20 * SECOND; now += SECOND / 64) {
			if ((n = rate_credit(through, now, rates[i])) == 0)
				continue;
			through = rate_charge(through, now, n, rates[i]);
			sent += n;
		}
		ck_assert_uint_le(sent, 21 * rates[i]);
		ck_assert_uint_ge(sent, 20 * rates[i]);
	}
}
END_TEST

START_TEST(rate_debt_has_to_be_paid)
{
	uint64_t through = rate_charge(0, START, 5000, 1000), at;

	ck_assert_uint_eq(rate_credit(through, START, 1000), 0);
	ck_assert_uint_eq(rate_credit(through, START + 4 * SECOND, 1000), 0);
	at = rate_when(through, 1, 1000);
	ck_assert_uint_eq(at, START + 4 * SECOND + SECOND / 1000);
	ck_assert_uint_eq(rate_credit(through, at - 1, 1000), 0);
	ck_assert_uint_eq(rate_credit(through, at, 1000), 1);
	ck_assert_uint_eq(rate_when(through, 1000, 1000), START + 5 * SECOND);
	ck_assert_uint_eq(rate_credit(through, START + 100 * SECOND, 1000), 1000);
}
END_TEST

START_TEST(rate_silence_saves_up_no_more_than_a_second)
{
	uint64_t through = rate_charge(0, START, 1, 10);

	for (int i = 0; i < 10; i++)
		through = rate_charge(through, START + 1000 * SECOND, 1, 10);
	ck_assert_uint_eq(rate_credit(through, START + 1000 * SECOND, 10), 0);
	/* but for what could not be sent */
	through = rate_charge(0, START, 10, 10);
	through = rate_charge(through, START, 50, 10);
	ck_assert_uint_eq(rate_credit(through, START + 5 * SECOND + SECOND / 10, 10), 1);
}
END_TEST

START_TEST(rate_of_absurd_sizes_does_not_wrap)
{
	ck_assert_uint_eq(rate_charge(UINT64_MAX - 5, START, 1, 1), UINT64_MAX);
	ck_assert_uint_ge(rate_charge(0, START, UINT64_MAX, 1), START + SECOND);
	ck_assert_uint_eq(rate_when(0, 1, 1), 0);
	ck_assert_uint_eq(rate_when(5, 1, UINT64_C(1) << 40), 0);
	ck_assert_uint_eq(rate_credit(UINT64_MAX, START, UINT64_C(1) << 40), 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = { rate_lets_a_seconds_worth_come_at_once, rate_holds_over_time,
		rate_debt_has_to_be_paid, rate_silence_saves_up_no_more_than_a_second,
		rate_of_absurd_sizes_does_not_wrap };

	return unit_run("rate", cases, UNIT_COUNT(cases));
}
