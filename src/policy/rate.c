/* Rates.  See rate.h. */
#include "policy/rate.h"

/* Up to here a rate times a second in nanoseconds fits; past it a thousandth is precise enough. */
#define RATE_EXACT (UINT64_MAX / RATE_SECOND_NS)

/* The time that n units take, rounded down so that `rate` of them always fit into a second. */
static uint64_t
rate_time(uint64_t n, uint64_t rate)
{
	uint64_t seconds = n / rate, rest = n % rate;

	rest =
	    rate <= RATE_EXACT ? rest * RATE_SECOND_NS / rate : rest / (rate / RATE_SECOND_NS + 1);
	return seconds >= RATE_EXACT ? UINT64_MAX : seconds * RATE_SECOND_NS + rest;
}

uint64_t
rate_charge(uint64_t through, uint64_t from_ns, uint64_t n, uint64_t rate)
{
	uint64_t from = through > from_ns ? through : from_ns, time = rate_time(n, rate);

	return from > UINT64_MAX - time ? UINT64_MAX : from + time;
}

uint64_t
rate_credit(uint64_t through, uint64_t now_ns, uint64_t rate)
{
	uint64_t ahead_ns = through > now_ns ? through - now_ns : 0, left_ns;

	if (ahead_ns >= RATE_SECOND_NS)
		return 0;
	left_ns = RATE_SECOND_NS - ahead_ns;
	/* In two steps: the product of a large rate would not fit. */
	if (rate <= RATE_EXACT)
		return left_ns * rate / RATE_SECOND_NS;
	return left_ns / 1000 * (rate / (RATE_SECOND_NS / 1000));
}

uint64_t
rate_when(uint64_t through, uint64_t n, uint64_t rate)
{
	uint64_t time = rate_time(n, rate),
		 needs = time < RATE_SECOND_NS ? RATE_SECOND_NS - time : 0;

	return through > needs ? through - needs : 0;
}
