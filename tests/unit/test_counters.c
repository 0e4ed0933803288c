/* Unit tests of src/gateway/counters.[ch] and counters_names.c. */
#include "gateway/counters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define WORKERS 2
#define ROUTES 4

static struct counters *cs;

/* A snapshot with up to ROUTES routes, and a backend and a listener of the first one's name. */
struct snapshot {
	struct config c;
	struct config_route route[ROUTES];
	struct config_backend backend;
	struct config_listen listen;
	char name[ROUTES][16];
};

static void
setup(void)
{
	cs = counters_new(WORKERS);
	ck_assert_ptr_nonnull(cs);
}

static void
teardown(void)
{
	counters_free(cs);
}

static void
snapshot_init(struct snapshot *s, size_t n, const char *const *names)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < n; i++) {
		snprintf(s->name[i], sizeof(s->name[i]), "%s", names[i]);
		s->route[i].name = s->name[i];
	}
	s->backend.name = s->listen.name = s->name[0];
	s->c.route = s->route;
	s->c.n_route = n;
	s->c.backend = &s->backend;
	s->c.listen = &s->listen;
	s->c.n_backend = s->c.n_listen = 1;
}

static void
snapshot_attach(struct snapshot *s, size_t n, const char *const *names)
{
	snapshot_init(s, n, names);
	ck_assert_int_eq(counters_attach(cs, &s->c), 0);
}

static void
snapshot_drop(struct snapshot *s)
{
	s->c.attached_free[CONFIG_ATTACHED_COUNTERS](s->c.attached[CONFIG_ATTACHED_COUNTERS]);
}

static struct route_counters *
of_route(const struct snapshot *s, size_t i, unsigned worker)
{
	return counters_block(s->route[i].counters, worker);
}

/* What is told of a route; UINT64_MAX: nothing at all. */
static uint64_t
told(const char *name)
{
	uint64_t n = UINT64_MAX;
	struct counters_totals t;

	ck_assert_int_eq(counters_read(cs, COUNTERS_ROUTE, &t), 0);
	for (size_t i = 0; i < t.n; i++)
		if (strcmp(t.set[i]->name, name) == 0)
			n = counter_get(&((struct route_counters *)t.sums)[i].bytes[COUNTERS_IN]);
	counters_totals_clear(cs, &t);
	return n;
}

static size_t
count_sets(void)
{
	size_t n = 0;

	for (int kind = 0; kind < COUNTERS_KINDS; kind++) {
		struct counters_totals t;

		ck_assert_int_eq(counters_read(cs, (enum counters_kind)kind, &t), 0);
		n += t.n;
		counters_totals_clear(cs, &t);
	}
	return n;
}

START_TEST(counters_are_summed_over_all_threads)
{
	static const char *const names[] = { "a", "b" };
	struct snapshot s;

	snapshot_attach(&s, 2, names);
	for (unsigned w = 0; w < WORKERS; w++)
		counter_add(&of_route(&s, 0, w)->bytes[COUNTERS_IN], 10 + w);
	counter_add(&of_route(&s, 0, counters_main(cs))->bytes[COUNTERS_IN], 100);
	counter_add(
	    &((struct route_counters *)counters_block(counters_no_route(cs), 1))->bytes[0], 7);
	ck_assert_uint_eq(told("a"), 121);
	ck_assert_uint_eq(told("b"), 0);
	ck_assert_uint_eq(told(""), 7);
	ck_assert_uint_eq(told("c"), UINT64_MAX);
	snapshot_drop(&s);
}
END_TEST

START_TEST(counters_of_a_thread_share_no_cache_line)
{
	static const char *const names[] = { "a" };
	struct snapshot s;

	snapshot_attach(&s, 1, names);
	for (unsigned w = 0; w <= counters_main(cs); w++) {
		ck_assert_uint_eq((uintptr_t)of_route(&s, 0, w) % 64, 0);
		memset(of_route(&s, 0, w), 0x55, sizeof(struct route_counters));
		memset(
		    counters_block(s.backend.counters, w), 0x55, sizeof(struct backend_counters));
		memset(
		    counters_block(s.listen.counters, w), 0x55, sizeof(struct listener_counters));
	}
	ck_assert_uint_ge(s.backend.counters->stride, sizeof(struct backend_counters));
	snapshot_drop(&s);
}
END_TEST

START_TEST(counters_go_on_over_snapshots)
{
	static const char *const one[] = { "a", "b" }, *const two[] = { "c", "a" };
	struct snapshot s, next;

	snapshot_attach(&s, 2, one);
	counter_add(&of_route(&s, 0, 0)->bytes[COUNTERS_IN], 1);
	snapshot_attach(&next, 2, two);
	ck_assert_ptr_eq(next.route[1].counters, s.route[0].counters);
	counter_add(&of_route(&s, 0, 0)->bytes[COUNTERS_IN], 2);
	counter_add(&of_route(&next, 1, 1)->bytes[COUNTERS_IN], 4);
	counter_add(&of_route(&s, 1, 1)->bytes[COUNTERS_IN], 8);
	snapshot_drop(&s);
	ck_assert_uint_eq(told("a"), 7);
	/* b is gone, and what it counted is still told; when it comes back it goes on */
	ck_assert_uint_eq(told("b"), 8);
	snapshot_drop(&next);
	ck_assert_uint_eq(told("a"), 7);
	snapshot_attach(&s, 2, one);
	counter_add(&of_route(&s, 1, 0)->bytes[COUNTERS_IN], 8);
	ck_assert_uint_eq(told("b"), 16);
	snapshot_drop(&s);
}
END_TEST

START_TEST(counters_of_different_kinds_are_apart)
{
	static const char *const names[] = { "a" };
	struct counters_totals t;
	struct snapshot s;

	snapshot_attach(&s, 1, names);
	ck_assert_ptr_ne(s.route[0].counters, s.backend.counters);
	ck_assert_ptr_ne(s.backend.counters, s.listen.counters);
	counter_add(
	    &((struct listener_counters *)counters_block(s.listen.counters, 0))->accepted, 3);
	ck_assert_int_eq(counters_read(cs, COUNTERS_LISTENER, &t), 0);
	ck_assert_uint_eq(t.n, 1);
	ck_assert_uint_eq(counter_get(&((struct listener_counters *)t.sums)->accepted), 3);
	ck_assert_uint_eq(counter_get(&((struct listener_counters *)t.sums)->closed), 0);
	counters_totals_clear(cs, &t);
	snapshot_drop(&s);
}
END_TEST

/* Names that come and go: the last ones are remembered, and no more. */
START_TEST(counters_of_names_that_are_gone_are_bounded)
{
	static const char *const stays[] = { "stays" };
	struct snapshot s, passing;
	char text[16];
	const char *name = text;

	snapshot_attach(&s, 1, stays);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "r%u", i);
		snapshot_attach(&passing, 1, &name);
		counter_add(&of_route(&passing, 0, 0)->bytes[COUNTERS_IN], i);
		counter_add(&of_route(&s, 0, 0)->bytes[COUNTERS_IN], 1);
		snapshot_drop(&passing);
		/* the live ones: "" and three of the name that stays */
		ck_assert_uint_le(count_sets(), COUNTERS_KEPT + 4);
	}
	ck_assert_uint_eq(count_sets(), COUNTERS_KEPT + 4);
	ck_assert_uint_eq(told("stays"), 1000);
	ck_assert_uint_eq(told("r999"), 999);
	ck_assert_uint_eq(told("r0"), UINT64_MAX);
	ck_assert_uint_eq(told("r900"), UINT64_MAX);
	snapshot_drop(&s);
	ck_assert_uint_eq(count_sets(), COUNTERS_KEPT + 1);
	ck_assert_uint_eq(told("stays"), 1000);
}
END_TEST

/* What is being read is not freed, though its snapshot and many more go. */
START_TEST(counters_that_are_being_read_stay)
{
	static const char *const names[] = { "a" };
	struct counters_totals t;
	struct snapshot s;
	char text[16];
	const char *name = text;

	snapshot_attach(&s, 1, names);
	counter_add(&of_route(&s, 0, 0)->bytes[COUNTERS_IN], 5);
	ck_assert_int_eq(counters_read(cs, COUNTERS_ROUTE, &t), 0);
	snapshot_drop(&s);
	for (unsigned i = 0; i < COUNTERS_KEPT; i++) {
		snprintf(text, sizeof(text), "r%u", i);
		snapshot_attach(&s, 1, &name);
		snapshot_drop(&s);
	}
	ck_assert_uint_eq(t.n, 2);
	ck_assert_str_eq(t.set[0]->name, "");
	ck_assert_str_eq(t.set[1]->name, "a");
	ck_assert_uint_eq(counter_get(&((struct route_counters *)t.sums)[1].bytes[COUNTERS_IN]), 5);
	counters_totals_clear(cs, &t);
	ck_assert_uint_eq(count_sets(), COUNTERS_KEPT + 1);
	ck_assert_uint_eq(told("a"), UINT64_MAX);
}
END_TEST

START_TEST(counters_without_memory_change_nothing)
{
	static const char *const names[] = { "a", "b", "c" }, *const had[] = { "b" };
	struct counters_totals t;
	struct snapshot s, other;
	unsigned long n;

	snapshot_attach(&other, 1, had);
	counter_add(&of_route(&other, 0, 0)->bytes[COUNTERS_IN], 3);
	for (n = 1;; n++) {
		snapshot_init(&s, 3, names);
		mem_fail_nth(n);
		if (counters_attach(cs, &s.c) == 0)
			break;
		mem_fail_nth(0);
		ck_assert_ptr_null(s.c.attached[CONFIG_ATTACHED_COUNTERS]);
		ck_assert_uint_eq(told("b"), 3);
		/* what the failed one has made is remembered as if it had been there */
		snapshot_drop(&other);
		counters_free(cs);
		setup();
		snapshot_attach(&other, 1, had);
		counter_add(&of_route(&other, 0, 0)->bytes[COUNTERS_IN], 3);
	}
	mem_fail_nth(0);
	ck_assert_uint_gt(n, 4);
	for (n = 1;; n++) {
		mem_fail_nth(n);
		if (counters_read(cs, COUNTERS_ROUTE, &t) == 0)
			break;
		mem_fail_nth(0);
	}
	mem_fail_nth(0);
	ck_assert_uint_gt(n, 1);
	counters_totals_clear(cs, &t);
	snapshot_drop(&s);
	snapshot_drop(&other);
	for (n = 1;; n++) {
		struct counters *made;

		mem_fail_nth(n);
		made = counters_new(1);
		mem_fail_nth(0);
		counters_free(made);
		if (made != NULL)
			break;
	}
	ck_assert_uint_gt(n, 2);
}
END_TEST

struct writer {
	struct snapshot *s;
	unsigned worker;
};

#define ADDS 20000

static void *
write_some(void *arg)
{
	const struct writer *w = arg;

	for (unsigned i = 0; i < ADDS; i++)
		counter_add(&of_route(w->s, 0, w->worker)->bytes[COUNTERS_IN], 1);
	return NULL;
}

START_TEST(counters_are_read_while_they_are_written)
{
	static const char *const names[] = { "a" };
	struct writer w[WORKERS];
	pthread_t thread[WORKERS];
	uint64_t last = 0, now;
	struct snapshot s;

	snapshot_attach(&s, 1, names);
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct writer){ &s, i };
		ck_assert_int_eq(pthread_create(&thread[i], NULL, write_some, &w[i]), 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		now = told("a");
		ck_assert_uint_ge(now, last);
		ck_assert_uint_le(now, WORKERS * ADDS);
		last = now;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(told("a"), WORKERS * ADDS);
	snapshot_drop(&s);
}
END_TEST

START_TEST(counters_of_each_status_have_a_text)
{
	char text[8];

	for (unsigned status = 0; status < 1100; status++) {
		unsigned i = counters_status(status);
		const char *s = counters_status_str(i);

		ck_assert_uint_lt(i, COUNTERS_STATUSES);
		if (status < 200 || status > 599) {
			ck_assert_str_eq(s, status == 101 ? "101" : "none");
			continue;
		}
		snprintf(text, sizeof(text), "%u", status);
		if (strcmp(s, text) == 0)
			continue;
		snprintf(text, sizeof(text), "%uxx", status / 100);
		ck_assert_str_eq(s, text);
	}
	/* what the gateway itself answers is told apart */
	for (const char *const *p = (const char *const[]){ "101", "200", "206", "301", "304", "400",
		 "403", "404", "405", "408", "412", "414", "416", "426", "429", "431", "500", "501",
		 "502", "503", "504", "505", NULL };
	     *p != NULL; p++)
		ck_assert_str_eq(counters_status_str(counters_status((unsigned)atoi(*p))), *p);
}
END_TEST

START_TEST(counters_of_each_close_code_have_a_text)
{
	char text[8];

	for (unsigned code = 0; code < 5001; code++) {
		const char *s = counters_code_str(counters_code(code));

		snprintf(text, sizeof(text), "%u", code);
		if (code >= 1000 && code <= 1014 && code != 1004)
			ck_assert_str_eq(s, text);
		else
			ck_assert_str_eq(s, "other");
	}
}
END_TEST

START_TEST(counters_of_each_reason_have_a_text_of_their_own)
{
	for (int i = 0; i < REFUSED_REASONS; i++) {
		ck_assert_str_ne(counters_refusal_str((enum counters_refusal)i), "?");
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(counters_refusal_str((enum counters_refusal)i),
			    counters_refusal_str((enum counters_refusal)k));
	}
	for (int i = 0; i < TROUBLE_REASONS; i++)
		ck_assert_str_ne(counters_trouble_str((enum counters_trouble)i), "?");
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		counters_are_summed_over_all_threads,
		counters_of_a_thread_share_no_cache_line,
		counters_go_on_over_snapshots,
		counters_of_different_kinds_are_apart,
		counters_of_names_that_are_gone_are_bounded,
		counters_that_are_being_read_stay,
		counters_without_memory_change_nothing,
		counters_are_read_while_they_are_written,
		counters_of_each_status_have_a_text,
		counters_of_each_close_code_have_a_text,
		counters_of_each_reason_have_a_text_of_their_own,
	};

	return unit_run_with("counters", cases, UNIT_COUNT(cases), setup, teardown);
}
