/*
 * The timing wheel.  Belongs to one worker, whose loop calls it; pure.
 *
 * Level L has slots of 64^L ticks.  A timer that is due in fewer than
 * 64^(L+1) ticks stands on the lowest such level, in slot
 * (tick >> 6L) mod 64.  It is looked at again when the wheel's time enters
 * that slot: due timers go on a list to be fired, others move down a level.
 *
 * Invariants: an armed timer is due 1 to WHEEL_SPAN - 1 ticks after
 * now_tick, so at level L its slot is 1 to 64 slots ahead (64 is the current
 * slot, one turn later) and 32 bits of tick say it without doubt; a bit in
 * `used` is set exactly when its slot has timers; count is the number of
 * armed timers, those on the due list too.
 */
#include "base/wheel.h"

#include <assert.h>
#include <string.h>

#define WHEEL_BITS 6
#define WHEEL_SPAN ((uint64_t)1 << (WHEEL_BITS * WHEEL_LEVELS))

_Static_assert(WHEEL_SLOTS == 1 << WHEEL_BITS, "a level is one word of bits");
_Static_assert(sizeof(struct wheel_timer) <= 32, "each connection has some");

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->start_ms = now_ms;
}

static void
wheel_push(struct wheel_timer **head, struct wheel_timer *t)
{
	t->next = *head;
	t->prev = head;
	if (t->next != NULL)
		t->next->prev = &t->next;
	*head = t;
}

/* Take t off its list, whichever that is. */
static void
wheel_unlink(struct wheel *w, struct wheel_timer *t)
{
	uintptr_t at = (uintptr_t)t->prev - (uintptr_t)&w->slot[0][0];
	size_t slot = at / sizeof(w->slot[0][0]);

	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else if (at < sizeof(w->slot)) /* was the only one of a slot */
		w->used[slot / WHEEL_SLOTS] &= ~((uint64_t)1 << slot % WHEEL_SLOTS);
	t->prev = NULL;
	t->next = NULL;
}

/* Put t into the slot for `left` ticks from now_tick. */
static void
wheel_place(struct wheel *w, struct wheel_timer *t, uint64_t left)
{
	uint64_t tick = w->now_tick + left;
	unsigned int level = 0, slot;

	while (left >= (uint64_t)WHEEL_SLOTS << (WHEEL_BITS * level))
		level++;
	assert(level < WHEEL_LEVELS);
	slot = (tick >> (WHEEL_BITS * level)) % WHEEL_SLOTS;
	t->tick = (uint32_t)tick;
	wheel_push(&w->slot[level][slot], t);
	w->used[level] |= (uint64_t)1 << slot;
}

void
wheel_arm(struct wheel *w, struct wheel_timer *t, uint64_t at_ms)
{
	uint64_t ms = at_ms > w->start_ms ? at_ms - w->start_ms : 0;
	/* Rounded up: never early. */
	uint64_t tick = ms / WHEEL_TICK_MS + (ms % WHEEL_TICK_MS != 0);
	uint64_t left = tick > w->now_tick ? tick - w->now_tick : 1;

	if (left >= WHEEL_SPAN)
		left = WHEEL_SPAN - 1;
	if (wheel_armed(t)) {
		/* Most moves are by less than a tick. */
		if (t->tick == (uint32_t)(w->now_tick + left))
			return;
		wheel_unlink(w, t);
	} else {
		w->count++;
	}
	wheel_place(w, t, left);
}

void
wheel_stop(struct wheel *w, struct wheel_timer *t)
{
	if (!wheel_armed(t))
		return;
	wheel_unlink(w, t);
	w->count--;
}

/* The used slots of a level that time enters on the way to target. */
static uint64_t
wheel_entered(const struct wheel *w, unsigned int level, uint64_t target)
{
	uint64_t from = w->now_tick >> (WHEEL_BITS * level);
	uint64_t steps = (target >> (WHEEL_BITS * level)) - from;
	unsigned int first = (from + 1) % WHEEL_SLOTS;
	uint64_t mask;

	if (steps >= WHEEL_SLOTS)
		return w->used[level];
	mask = ((uint64_t)1 << steps) - 1;
	if (first != 0)
		mask = mask << first | mask >> (WHEEL_SLOTS - first);
	return w->used[level] & mask;
}

/* Move every timer of the level's slots in `slots` over to *head. */
static void
wheel_drain(struct wheel *w, unsigned int level, uint64_t slots, struct wheel_timer **head)
{
	struct wheel_timer **list;
	struct wheel_timer *t;

	for (; slots != 0; slots &= slots - 1) {
		list = &w->slot[level][__builtin_ctzll(slots)];
		while ((t = *list) != NULL) {
			wheel_unlink(w, t);
			wheel_push(head, t);
		}
	}
}

/*
 * Set the time to target: what is due goes to *due, what is not moves down.
 */
static void
wheel_turn(struct wheel *w, uint64_t target, struct wheel_timer **due)
{
	struct wheel_timer *moved = NULL, *t;
	uint64_t before = w->now_tick, passed = target - before, left;

	for (unsigned int level = 0; level < WHEEL_LEVELS; level++)
		wheel_drain(w, level, wheel_entered(w, level, target), &moved);
	w->now_tick = target;
	while ((t = moved) != NULL) {
		wheel_unlink(w, t);
		left = (uint32_t)(t->tick - (uint32_t)before);
		if (left > passed) {
			wheel_place(w, t, left - passed);
			continue;
		}
		t->tick = (uint32_t)target;
		wheel_push(due, t);
	}
}

void
wheel_advance(struct wheel *w, uint64_t now_ms, wheel_fire_fn *fire, void *arg)
{
	struct wheel_timer *due = NULL, *t;
	uint64_t target;

	if (now_ms < w->start_ms)
		return;
	target = (now_ms - w->start_ms) / WHEEL_TICK_MS;
	if (target <= w->now_tick)
		return;
	wheel_turn(w, target, &due);
	/* The list is looked at anew each time: a callback may stop others. */
	while ((t = due) != NULL) {
		wheel_stop(w, t);
		fire(t, arg);
	}
}

uint64_t
wheel_next_ms(const struct wheel *w, uint64_t now_ms)
{
	uint64_t best = UINT64_MAX, cur, ahead, tick, at_ms;
	unsigned int first;

	for (unsigned int level = 0; level < WHEEL_LEVELS; level++) {
		if (w->used[level] == 0)
			continue;
		cur = w->now_tick >> (WHEEL_BITS * level);
		first = (cur + 1) % WHEEL_SLOTS;
		ahead = w->used[level] >> first;
		if (first != 0)
			ahead |= w->used[level] << (WHEEL_SLOTS - first);
		tick = (cur + 1 + (uint64_t)__builtin_ctzll(ahead)) << (WHEEL_BITS * level);
		if (tick < best)
			best = tick;
	}
	if (best == UINT64_MAX)
		return UINT64_MAX;
	at_ms = w->start_ms + best * WHEEL_TICK_MS;
	return at_ms > now_ms ? at_ms - now_ms : 0;
}
