/*
 * Unit tests of src/base/wheel.[ch].
 *
 * The model beside the wheel is an array of deadlines, looked through at each
 * step.  It knows the wheel's promises only: never early, at most one tick
 * late, each timer once.
 */
#include "base/wheel.h"

#include <inttypes.h>
#include <string.h>

#include "unit.h"

#define TICK ((uint64_t)WHEEL_TICK_MS)
#define SPAN_MS (((uint64_t)1 << 30) * TICK)
#define DAY_MS ((uint64_t)86400000)

#define MODEL_TIMERS 300

/* When a timer that is armed at `now` for `at` must fire at the latest. */
struct model_timer {
	struct wheel_timer t;
	bool armed;
	uint64_t not_before;
	uint64_t not_after;
};

struct model {
	struct wheel w;
	struct model_timer timers[MODEL_TIMERS];
	size_t armed;
	uint64_t now;
	uint64_t random;
	bool rearm; /* callbacks arm and stop others */
	size_t fired;
};

static uint64_t
model_random(struct model *m)
{
	/* xorshift64*: tests must repeat. */
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return m->random * 2685821657736338717U;
}

/* Up to a number of ms whose magnitude is random too. */
static uint64_t
model_span(struct model *m, unsigned int max_bits)
{
	unsigned int bits = (unsigned int)(model_random(m) % (max_bits + 1));

	return model_random(m) & (((uint64_t)1 << bits) - 1);
}

static void
model_arm(struct model *m, struct model_timer *mt, uint64_t at)
{
	/* Past the span it fires at the end of the span as of the last turn. */
	uint64_t turn = m->w.start_ms + m->w.now_tick * TICK;
	uint64_t end = turn + SPAN_MS - TICK;

	wheel_arm(&m->w, &mt->t, at);
	if (!mt->armed)
		m->armed++;
	mt->armed = true;
	mt->not_before = at < end ? at : end;
	mt->not_after = mt->not_before > turn ? mt->not_before + TICK : turn + TICK;
}

static void
model_stop(struct model *m, struct model_timer *mt)
{
	wheel_stop(&m->w, &mt->t);
	if (mt->armed)
		m->armed--;
	mt->armed = false;
}

static void
model_fire(struct wheel_timer *t, void *arg)
{
	struct model *m = arg;
	struct model_timer *mt = &m->timers[t->kind];

	if (&mt->t != t || !mt->armed || wheel_armed(t))
		ck_abort_msg("timer %u fires without being armed", t->kind);
	if (m->now < mt->not_before)
		ck_abort_msg("%" PRIu64 " ms early", mt->not_before - m->now);
	mt->armed = false;
	m->armed--;
	m->fired++;
	if (!m->rearm)
		return;
	/* Itself, at once or later; another one; one less. */
	if (model_random(m) % 2 == 0)
		model_arm(m, mt, m->now + model_span(m, 20));
	if (model_random(m) % 4 == 0)
		model_arm(
		    m, &m->timers[model_random(m) % MODEL_TIMERS], m->now + model_span(m, 12));
	if (model_random(m) % 4 == 0)
		model_stop(m, &m->timers[model_random(m) % MODEL_TIMERS]);
}

/* What has to be true between two steps. */
static void
model_check(struct model *m)
{
	uint64_t due = UINT64_MAX, next = wheel_next_ms(&m->w, m->now);

	if (m->w.count != m->armed)
		ck_abort_msg("count is %zu, not %zu", m->w.count, m->armed);
	for (size_t i = 0; i < MODEL_TIMERS; i++) {
		struct model_timer *mt = &m->timers[i];

		if (wheel_armed(&mt->t) != mt->armed)
			ck_abort_msg("timer %zu: armed differs", i);
		if (!mt->armed)
			continue;
		if (mt->not_after <= m->now)
			ck_abort_msg("timer %zu: %" PRIu64 " ms late", i, m->now - mt->not_after);
		if (mt->not_after < due)
			due = mt->not_after;
	}
	if (m->armed == 0 && next != UINT64_MAX)
		ck_abort_msg("a wait without timers");
	if (m->armed != 0 && m->now + next > due)
		ck_abort_msg("a wait past the next timer");
}

static void
model_advance(struct model *m, uint64_t ms)
{
	m->now += ms;
	wheel_advance(&m->w, m->now, model_fire, m);
	model_check(m);
}

static void
model_init(struct model *m, uint64_t seed, uint64_t now)
{
	memset(m, 0, sizeof(*m));
	m->random = seed * 7919 + 1;
	m->now = now;
	wheel_init(&m->w, now);
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		m->timers[i].t.kind = (uint32_t)i;
}

/* Let all that is armed fire, waiting as wheel_next_ms says. */
static size_t
model_drain(struct model *m)
{
	size_t steps = 0;

	m->rearm = false;
	for (; m->armed > 0; steps++) {
		uint64_t wait = wheel_next_ms(&m->w, m->now);

		model_advance(m, wait != 0 ? wait : 1);
	}
	return steps;
}

/* steps of random arming, moving, stopping and advancing */
static void
model_run(struct model *m, int steps, unsigned int arm_bits, unsigned int advance_bits)
{
	for (int i = 0; i < steps; i++) {
		struct model_timer *mt = &m->timers[model_random(m) % MODEL_TIMERS];
		uint64_t at;

		switch (model_random(m) % 8) {
		case 0:
			model_stop(m, mt);
			break;
		case 1:
			model_advance(m, model_span(m, advance_bits));
			break;
		case 2:
			/* A time that has passed. */
			at = model_span(m, arm_bits);
			model_arm(m, mt, at < m->now ? m->now - at : 0);
			break;
		default:
			model_arm(m, mt, m->now + model_span(m, arm_bits));
			break;
		}
	}
	model_check(m);
	model_drain(m);
}

START_TEST(wheel_agrees_with_model_at_short_spans)
{
	struct model m;

	for (uint64_t seed = 0; seed < 20; seed++) {
		model_init(&m, seed, 1000003 * seed);
		m.rearm = seed % 2;
		model_run(&m, 4000, 12, 8);
		ck_assert_uint_gt(m.fired, 100);
	}
}
END_TEST

START_TEST(wheel_agrees_with_model_at_all_spans)
{
	struct model m;

	for (uint64_t seed = 0; seed < 20; seed++) {
		model_init(&m, seed, 1000003 * seed);
		m.rearm = seed % 2;
		model_run(&m, 4000, 33, 33);
		ck_assert_uint_gt(m.fired, 100);
	}
}
END_TEST

START_TEST(wheel_agrees_with_model_past_the_span)
{
	struct model m;

	for (uint64_t seed = 0; seed < 20; seed++) {
		model_init(&m, seed, 1000003 * seed);
		m.rearm = seed % 2;
		/* Jumps of years: the 32 bits of a tick go round. */
		model_run(&m, 4000, 40, 38);
		ck_assert_uint_gt(m.fired, 100);
	}
}
END_TEST

START_TEST(wheel_agrees_with_model_where_ticks_wrap)
{
	const uint64_t wrap = ((uint64_t)1 << 32) * TICK;
	struct model m;

	for (uint64_t seed = 0; seed < 10; seed++) {
		model_init(&m, seed, 12345);
		model_advance(&m, wrap - 20000);
		model_run(&m, 4000, 16, 8);
		ck_assert_uint_gt(m.w.now_tick, (uint64_t)1 << 32);
	}
}
END_TEST

/* Each distance around each level's borders, from each place in a turn. */
START_TEST(wheel_fires_on_its_tick_at_level_borders)
{
	static const uint64_t offsets[] = { 0, 1, 62, 63, 64, 65, 4095, 4096, 262143, 262144 };
	struct model m;

	for (size_t o = 0; o < UNIT_COUNT(offsets); o++) {
		for (unsigned int level = 0; level < WHEEL_LEVELS; level++) {
			for (int delta = -2; delta <= 2; delta++) {
				uint64_t ticks =
				    ((uint64_t)1 << 6 * level) + (uint64_t)(int64_t)delta;

				if (ticks == 0 || ticks > 1 << 30)
					continue;
				model_init(&m, 1, 0);
				model_advance(&m, offsets[o] * TICK);
				model_arm(&m, &m.timers[0], m.now + ticks * TICK);
				model_advance(&m, ticks * TICK - 1);
				ck_assert_uint_eq(m.fired, 0);
				model_advance(&m, 1);
				ck_assert_uint_eq(m.fired, 1);
			}
		}
	}
}
END_TEST

START_TEST(wheel_never_fires_early_inside_a_tick)
{
	struct model m;

	for (uint64_t at = 1; at <= 3 * TICK; at++) {
		model_init(&m, 1, 5);
		model_arm(&m, &m.timers[0], 5 + at);
		for (uint64_t now = 1; now < at; now++) {
			model_advance(&m, 1);
			ck_assert_uint_eq(m.fired, 0);
		}
		model_advance(&m, TICK);
		ck_assert_uint_eq(m.fired, 1);
	}
}
END_TEST

START_TEST(wheel_fires_past_times_within_a_tick)
{
	struct model m;

	model_init(&m, 1, 1000);
	model_advance(&m, 500);
	model_arm(&m, &m.timers[0], 0);
	model_arm(&m, &m.timers[1], m.now);
	ck_assert_uint_le(wheel_next_ms(&m.w, m.now), TICK);
	model_advance(&m, TICK);
	ck_assert_uint_eq(m.fired, 2);
}
END_TEST

START_TEST(wheel_fires_at_the_end_of_its_span)
{
	struct model m;

	model_init(&m, 1, 1000);
	model_arm(&m, &m.timers[0], UINT64_MAX);
	model_arm(&m, &m.timers[1], m.now + SPAN_MS);
	model_arm(&m, &m.timers[2], m.now + SPAN_MS - TICK);
	model_advance(&m, 99 * DAY_MS);
	ck_assert_uint_eq(m.fired, 0);
	model_advance(&m, DAY_MS / 2);
	ck_assert_uint_eq(m.fired, 3);
	/* From a wheel that has turned, too. */
	model_arm(&m, &m.timers[0], UINT64_MAX);
	model_advance(&m, 99 * DAY_MS);
	ck_assert_uint_eq(m.fired, 3);
	model_drain(&m);
	ck_assert_uint_eq(m.fired, 4);
}
END_TEST

START_TEST(wheel_moving_replaces_the_deadline)
{
	struct model m;

	model_init(&m, 1, 0);
	model_arm(&m, &m.timers[0], 100);
	model_arm(&m, &m.timers[0], 100000);
	ck_assert_uint_eq(m.w.count, 1);
	model_advance(&m, 99999);
	ck_assert_uint_eq(m.fired, 0);
	model_arm(&m, &m.timers[0], 100008);
	model_advance(&m, 1);
	ck_assert_uint_eq(m.fired, 0);
	model_advance(&m, TICK);
	ck_assert_uint_eq(m.fired, 1);
}
END_TEST

START_TEST(wheel_stop_is_idempotent)
{
	struct model m;

	model_init(&m, 1, 0);
	wheel_stop(&m.w, &m.timers[0].t);
	ck_assert_uint_eq(m.w.count, 0);
	model_arm(&m, &m.timers[0], 100);
	model_stop(&m, &m.timers[0]);
	model_stop(&m, &m.timers[0]);
	ck_assert_uint_eq(m.w.count, 0);
	ck_assert_uint_eq(wheel_next_ms(&m.w, 0), UINT64_MAX);
	for (unsigned int level = 0; level < WHEEL_LEVELS; level++)
		ck_assert_uint_eq(m.w.used[level], 0);
	model_advance(&m, 1000);
	ck_assert_uint_eq(m.fired, 0);
}
END_TEST

START_TEST(wheel_ignores_a_clock_that_goes_back)
{
	struct model m;

	model_init(&m, 1, 10000);
	model_arm(&m, &m.timers[0], 10100);
	wheel_advance(&m.w, 0, model_fire, &m);
	model_advance(&m, 50);
	wheel_advance(&m.w, 10000, model_fire, &m);
	ck_assert_uint_eq(m.fired, 0);
	ck_assert_uint_ge(wheel_next_ms(&m.w, 10000), 100);
	ck_assert_uint_eq(wheel_next_ms(&m.w, 20000), 0);
	model_advance(&m, 60);
	ck_assert_uint_eq(m.fired, 1);
}
END_TEST

/* A loop that sleeps as told wakes up once for each level at most. */
START_TEST(wheel_next_ms_needs_few_wakeups)
{
	struct model m;

	for (uint64_t at = 1; at < SPAN_MS; at = at * 3 + 1) {
		model_init(&m, at, 777);
		model_advance(&m, 12345);
		model_arm(&m, &m.timers[0], m.now + at);
		ck_assert_uint_le(model_drain(&m), WHEEL_LEVELS + 1);
		ck_assert_uint_eq(m.fired, 1);
	}
}
END_TEST

static void
wheel_fire_rearm(struct wheel_timer *t, void *arg)
{
	struct model *m = arg;

	m->fired++;
	wheel_arm(&m->w, t, 0);
}

START_TEST(wheel_callback_that_arms_itself_at_once_fires_once_a_call)
{
	struct model m;

	model_init(&m, 1, 0);
	wheel_arm(&m.w, &m.timers[0].t, 1);
	for (size_t i = 1; i <= 3; i++) {
		wheel_advance(&m.w, i * 1000000, wheel_fire_rearm, &m);
		ck_assert_uint_eq(m.fired, i);
	}
	wheel_stop(&m.w, &m.timers[0].t);
}
END_TEST

/* All but itself: stopped, or moved a year on. */
static void
wheel_fire_only_one(struct wheel_timer *t, void *arg)
{
	struct model *m = arg;

	m->fired++;
	for (size_t i = 0; i < MODEL_TIMERS; i++) {
		if (&m->timers[i].t == t)
			continue;
		if (i % 2 == 0)
			wheel_stop(&m->w, &m->timers[i].t);
		else
			wheel_arm(&m->w, &m->timers[i].t, 1000 * DAY_MS);
	}
}

START_TEST(wheel_callback_may_stop_and_move_timers_that_are_due)
{
	struct model m;

	model_init(&m, 1, 0);
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		wheel_arm(&m.w, &m.timers[i].t, i * i);
	wheel_advance(&m.w, DAY_MS, wheel_fire_only_one, &m);
	ck_assert_uint_eq(m.fired, 1);
	ck_assert_uint_ge(m.w.count, MODEL_TIMERS / 2 - 1);
	ck_assert_uint_le(m.w.count, MODEL_TIMERS / 2);
}
END_TEST

/* A due timer that a callback moves by exactly one turn of its 32 bits. */
static void
wheel_fire_move_other(struct wheel_timer *t, void *arg)
{
	struct model *m = arg;
	struct wheel_timer *other = &m->timers[1 - t->kind].t;

	m->fired++;
	if (wheel_armed(other))
		wheel_arm(&m->w, other, m->now + 10 * TICK);
}

START_TEST(wheel_moves_a_due_timer_after_a_year)
{
	const uint64_t turn = ((uint64_t)1 << 32) * TICK;
	struct model m;

	model_init(&m, 1, 0);
	wheel_arm(&m.w, &m.timers[0].t, 20 * TICK);
	wheel_arm(&m.w, &m.timers[1].t, 20 * TICK);
	m.now = turn + 10 * TICK;
	wheel_advance(&m.w, m.now, wheel_fire_move_other, &m);
	ck_assert_uint_eq(m.fired, 1);
	wheel_advance(&m.w, m.now + 10 * TICK, wheel_fire_move_other, &m);
	ck_assert_uint_eq(m.fired, 2);
}
END_TEST

static void
wheel_fire_free(struct wheel_timer *t, void *arg)
{
	++*(size_t *)arg;
	free(t);
}

START_TEST(wheel_callback_may_free_the_owner)
{
	struct wheel_timer *t;
	struct wheel w;
	size_t freed = 0;

	wheel_init(&w, 0);
	for (uint64_t i = 0; i < 1000; i++) {
		t = calloc(1, sizeof(*t));
		ck_assert_ptr_nonnull(t);
		wheel_arm(&w, t, i * i);
	}
	wheel_advance(&w, 500 * 500, wheel_fire_free, &freed);
	ck_assert_uint_eq(freed, 501);
	wheel_advance(&w, DAY_MS, wheel_fire_free, &freed);
	ck_assert_uint_eq(freed, 1000);
	ck_assert_uint_eq(w.count, 0);
}
END_TEST

START_TEST(wheel_timer_is_small)
{
	ck_assert_uint_le(sizeof(struct wheel_timer), 32);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wheel_agrees_with_model_at_short_spans,
		wheel_agrees_with_model_at_all_spans,
		wheel_agrees_with_model_past_the_span,
		wheel_agrees_with_model_where_ticks_wrap,
		wheel_fires_on_its_tick_at_level_borders,
		wheel_never_fires_early_inside_a_tick,
		wheel_fires_past_times_within_a_tick,
		wheel_fires_at_the_end_of_its_span,
		wheel_moving_replaces_the_deadline,
		wheel_stop_is_idempotent,
		wheel_ignores_a_clock_that_goes_back,
		wheel_next_ms_needs_few_wakeups,
		wheel_callback_that_arms_itself_at_once_fires_once_a_call,
		wheel_callback_may_stop_and_move_timers_that_are_due,
		wheel_moves_a_due_timer_after_a_year,
		wheel_callback_may_free_the_owner,
		wheel_timer_is_small,
	};

	return unit_run("wheel", cases, UNIT_COUNT(cases));
}
