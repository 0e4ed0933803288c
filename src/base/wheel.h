/*
 * A hierarchical timing wheel: arming, moving and stopping a timer is O(1)
 * whatever their number.  Pure: time is handed in.  One thread.
 *
 * A timer is embedded in its owner and zeroed before its first use.
 * Resolution is WHEEL_TICK_MS; a timer never fires early, and at most one
 * tick late.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_TICK_MS 8
#define WHEEL_LEVELS 5
#define WHEEL_SLOTS 64

struct wheel_timer {
	struct wheel_timer *next;  /* borrowed: the slot's list */
	struct wheel_timer **prev; /* NULL when not armed */
	uint32_t tick;		   /* due at this tick of the wheel */
	uint32_t kind;		   /* the owner's, for its dispatch */
};

struct wheel {
	struct wheel_timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t used[WHEEL_LEVELS]; /* bit set where a slot has timers */
	uint64_t now_tick;
	uint64_t start_ms;
	size_t count;
};

typedef void wheel_fire_fn(struct wheel_timer *t, void *arg);

void wheel_init(struct wheel *w, uint64_t now_ms);

/* Arm, or move when armed already, to fire at or after at_ms (absolute,
 * same clock as wheel_init).  Times past the wheel's span (about 99 days)
 * fire at its end; owners re-check their deadline. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, uint64_t at_ms);

/* Disarm; nothing happens when t is not armed. */
void wheel_stop(struct wheel *w, struct wheel_timer *t);

static inline bool
wheel_armed(const struct wheel_timer *t)
{
	return t->prev != NULL;
}

/* Fire all that are due, in no certain order, each disarmed before its call;
 * a callback may arm and stop any timer, itself too, and free its owner, but
 * not advance the wheel.  What a callback arms fires in a later call. */
void wheel_advance(struct wheel *w, uint64_t now_ms, wheel_fire_fn *fire, void *arg);

/* Milliseconds from now_ms until the next call of wheel_advance is of use
 * (may be early, by a cascade), UINT64_MAX when no timer is armed. */
uint64_t wheel_next_ms(const struct wheel *w, uint64_t now_ms);

#endif
