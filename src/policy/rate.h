/*
 * Limits of so many units a second: the generic cell rate algorithm, whose whole state is one time
 * stamp.  Pure.
 *
 * Each unit takes 1/rate of a second; `through` is when all that came so far would be through, one
 * after another (0: nothing came yet).  A client may be a second's worth ahead of the clock: that
 * is the burst, which it has again after a second of silence.  Whoever goes past it is in debt,
 * and what comes next has to wait until it is paid.
 */
#ifndef POLICY_RATE_H
#define POLICY_RATE_H

#include <stdint.h>

#define RATE_SECOND_NS UINT64_C(1000000000)

/*
 * n units have come: the new `through`.  from_ns is the earliest time that they can count from,
 * which is now; an earlier one forgives what a client could not send because it was not read.
 * rate: units a second, not 0.
 */
uint64_t rate_charge(uint64_t through, uint64_t from_ns, uint64_t n, uint64_t rate);

/* How many units may come now within the burst; 0 in debt. At most a second's worth. */
uint64_t rate_credit(uint64_t through, uint64_t now_ns, uint64_t rate);

/* When so many units (at most a second's worth) may come at once; 0 or a time of the past: now. */
uint64_t rate_when(uint64_t through, uint64_t n, uint64_t rate);

#endif
