/*
 * Numbers that one thread counts and any thread reads.  An add is a plain load and store, without a
 * lock: each counter has one writer.  What is read is some recent value; two counters are not read
 * at the same moment.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
	_Atomic uint64_t n;
};

static inline uint64_t
counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->n, memory_order_relaxed);
}

static inline void
counter_set(struct counter *c, uint64_t n)
{
	atomic_store_explicit(&c->n, n, memory_order_relaxed);
}

static inline void
counter_add(struct counter *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

/* For one that also goes down: what waits now. */
static inline void
counter_sub(struct counter *c, uint64_t n)
{
	counter_set(c, counter_get(c) - n);
}

/* Durations, from half a millisecond to ten seconds. */
#define HISTOGRAM_BOUNDS 14
extern const uint64_t histogram_bound_us[HISTOGRAM_BOUNDS];

struct histogram {
	struct counter count[HISTOGRAM_BOUNDS + 1]; /* the last: longer than all bounds */
	struct counter sum_us;
};

void histogram_add(struct histogram *h, uint64_t us);

#endif
