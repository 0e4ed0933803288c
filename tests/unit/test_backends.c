/*
 * Unit tests of src/gateway/backends.[ch]: one thread for the rules, several
 * for the counts.  Time is handed in; what is logged is read back from a file.
 */
#include "gateway/backends.h"

#include <pthread.h>

#include "base/mem.h"
#include "unit_config.h"
#include "unit_io.h"

#define NOW 1000000

static const uint8_t client[16];
static struct backends *b;
static struct unit_config uc;
static struct log *lg;
static char log_path[] = "/tmp/wsrelayd-backends-XXXXXX";

static struct config *
load(const char *backend)
{
	char text[1024];

	snprintf(text, sizeof(text),
	    "[route r]\nPath=/\nAction=forward\nBackend=app\n[backend app]\n%s\n" UNIT_CONFIG_REST,
	    backend);
	unit_config_load_text(&uc, text);
	ck_assert_msg(uc.c != NULL, "%s", unit_config_log(&uc));
	ck_assert_int_eq(backends_attach(b, uc.c), 0);
	return uc.c;
}

static void
setup(void)
{
	int fd;

	unit_config_init(&uc);
	strcpy(log_path + strlen(log_path) - 6, "XXXXXX");
	ck_assert_int_ne(fd = mkstemp(log_path), -1);
	close(fd);
	ck_assert_ptr_nonnull(lg = log_new(log_path, LOG_L_INFO, LOG_F_TEXT));
	ck_assert_ptr_nonnull(b = backends_new(lg));
}

static void
teardown(void)
{
	unit_config_clear(&uc);
	backends_free(b);
	log_free(lg);
	unlink(log_path);
}

static const struct config_backend *
cb(void)
{
	return &uc.c->backend[0];
}

/* Pick once, with addresses tried before or not: the index, or -1 full, -2 down. */
static int
pick_on(struct backends_tried *tried, uint64_t now_ms, struct backends_address **out)
{
	switch (backends_pick(uc.c, cb(), client, tried, now_ms, out)) {
	case BACKENDS_FULL:
		return -1;
	case BACKENDS_DOWN:
		return -2;
	case BACKENDS_PICKED:
		break;
	}
	for (size_t i = 0; i < cb()->address.n; i++)
		if (*out == backends_get(uc.c, cb(), i))
			return (int)i;
	return -3;
}

static int
pick(uint64_t now_ms, struct backends_address **out)
{
	struct backends_tried tried = { { 0 } };

	return pick_on(&tried, now_ms, out);
}

/* One whole connection. */
static int
visit(uint64_t now_ms, enum backends_outcome outcome)
{
	struct backends_address *a;
	int i = pick(now_ms, &a);

	if (i < 0)
		return i;
	backends_report(
	    a, cb(), outcome, outcome == BACKENDS_OK ? "it went well" : "no luck", now_ms);
	backends_release(a);
	return i;
}

static struct backends_status
status(size_t i)
{
	struct backends_status st;

	backends_status(backends_get(uc.c, cb(), i), &st);
	return st;
}

static void
fail_at(size_t i, unsigned times, enum backends_outcome outcome, uint64_t now_ms)
{
	while (times-- > 0)
		backends_report(backends_get(uc.c, cb(), i), cb(), outcome, "no luck", now_ms);
}

/* How often a text stands in the log. */
static unsigned
logged(const char *text)
{
	static char whole[1 << 22];
	FILE *f = fopen(log_path, "r");
	size_t n = fread(whole, 1, sizeof(whole) - 1, f);
	unsigned count = 0;

	fclose(f);
	whole[n] = '\0';
	for (const char *p = whole; (p = strstr(p, text)) != NULL; p++)
		count++;
	return count;
}

START_TEST(backends_counts_connections)
{
	struct backends_address *a[6];
	unsigned got[3] = { 0 };

	load("Address=unix:/a unix:/b h:1");
	for (int i = 0; i < 6; i++)
		got[pick(NOW, &a[i])]++;
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(got[i], 2);
		ck_assert_uint_eq(status(i).connections, 2);
	}
	backends_release(a[3]);
	ck_assert_int_ge(pick(NOW, &a[3]), 0);
	for (int i = 0; i < 6; i++)
		backends_release(a[i]);
	backends_release(NULL);
	ck_assert_str_eq(backends_addr(backends_get(uc.c, cb(), 1))->name, "/b");
}
END_TEST

START_TEST(backends_keeps_to_max_connections)
{
	struct backends_address *a[5];

	load("Address=unix:/a unix:/b\nMaxConnections=2\nMaxFails=1");
	for (int i = 0; i < 4; i++)
		ck_assert_int_ge(pick(NOW, &a[i]), 0);
	ck_assert_int_eq(pick(NOW, &a[4]), -1);
	backends_release(a[2]);
	ck_assert_int_ge(pick(NOW, &a[2]), 0);
	/* One full, the other down: there will be room. */
	fail_at(0, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert_int_eq(pick(NOW, &a[4]), -1);
	/* All down, full or not. */
	fail_at(1, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert_int_eq(pick(NOW, &a[4]), -2);
	for (int i = 0; i < 4; i++)
		backends_release(a[i]);
	ck_assert_int_eq(pick(NOW, &a[4]), -2);
}
END_TEST

START_TEST(backends_counts_what_waits)
{
	struct backends_address *a, *other;

	load("Address=unix:/a\nMaxConnections=2");
	ck_assert_int_eq(pick(0, &a), 0);
	ck_assert(backends_idle_begin(a, cb())); /* its place is free in a moment */
	backends_release(a);
	ck_assert(!backends_idle_is_too_many(a));
	/* Two busy ones, and one that waits, are one too many. */
	ck_assert_int_eq(pick(0, &a), 0);
	ck_assert(!backends_is_crowded(a, cb()));
	ck_assert_int_eq(pick(0, &other), 0);
	ck_assert(backends_is_crowded(a, cb()) && backends_idle_is_too_many(a));
	ck_assert(!backends_idle_begin(other, cb()));
	backends_idle_end(a);
	ck_assert(!backends_is_crowded(a, cb()));
	ck_assert(backends_idle_begin(other, cb()));
	backends_release(a);
	backends_release(other);
	backends_idle_end(a);
	ck_assert(!backends_idle_is_too_many(a));
}
END_TEST

static void
on_crowded(void *arg)
{
	(*(unsigned *)arg)++;
}

START_TEST(backends_calls_the_pools_of_others)
{
	struct backends_pool mine = { .crowded = on_crowded }, its = { .crowded = on_crowded };
	unsigned called_me = 0, called_it = 0;
	struct backends_address *a;

	load("Address=unix:/a");
	ck_assert_int_eq(pick(0, &a), 0);
	ck_assert_ptr_nonnull(mine.loop = loop_new());
	ck_assert_ptr_nonnull(its.loop = loop_new());
	mine.arg = &called_me;
	its.arg = &called_it;
	backends_call_pools(a, mine.loop); /* there is none */
	backends_pool_leave(&its);
	for (int i = 0; i < 2; i++) {
		backends_pool_join(&mine, a);
		backends_pool_join(&its, a);
	}
	for (unsigned round = 1; round < 3; round++) {
		backends_call_pools(a, mine.loop);
		backends_call_pools(a, mine.loop);
		unit_loop_turns(its.loop, 1);
		unit_loop_turns(mine.loop, 1);
		ck_assert_uint_eq(called_it, round);
		ck_assert_uint_eq(called_me, 0);
	}
	backends_pool_leave(&its);
	backends_call_pools(a, mine.loop);
	backends_pool_leave(&mine);
	backends_release(a);
	loop_free(mine.loop);
	loop_free(its.loop);
}
END_TEST

START_TEST(backends_tries_each_address_once)
{
	struct backends_tried tried = { { 0 } };
	struct backends_address *a;
	unsigned seen = 0;
	int i;

	load("Address=unix:/a unix:/b unix:/c\nBalance=source");
	while ((i = pick_on(&tried, NOW, &a)) >= 0) {
		ck_assert_uint_eq(seen & 1u << i, 0);
		seen |= 1u << i;
		backends_report(a, cb(), BACKENDS_REFUSED, "no luck", NOW);
		backends_release(a);
	}
	ck_assert_int_eq(i, -2);
	ck_assert_uint_eq(seen, 7);
}
END_TEST

START_TEST(backends_rests_after_max_fails_in_a_row)
{
	load("Address=unix:/a unix:/b\nMaxFails=3\nFailTimeout=10s\nBalance=round-robin");
	fail_at(0, 2, BACKENDS_TIMED_OUT, NOW);
	fail_at(0, 1, BACKENDS_OK, NOW);
	fail_at(0, 2, BACKENDS_TIMED_OUT, NOW);
	ck_assert(status(0).up);
	ck_assert_uint_eq(status(0).fails, 2);
	fail_at(0, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert(!status(0).up);
	ck_assert_uint_eq(logged("backend=app address=unix:/a is down: no luck (3 in a row)"), 1);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW + 9999, BACKENDS_OK), 1);
	/*
	 * More failures, of connections that were under way: nothing new, but the rest begins
	 * anew.
	 */
	fail_at(0, 3, BACKENDS_TIMED_OUT, NOW + 5000);
	ck_assert_int_eq(visit(NOW + 14999, BACKENDS_OK), 1);
	ck_assert_uint_eq(logged("is down"), 1);
}
END_TEST

START_TEST(backends_lets_one_try_after_the_rest)
{
	struct backends_address *trial = NULL, *a;
	unsigned trials = 0;

	load("Address=unix:/a unix:/b\nMaxFails=1\nFailTimeout=10s\nBalance=round-robin");
	fail_at(0, 1, BACKENDS_TIMED_OUT, NOW);
	for (int i = 0; i < 10; i++) {
		if (pick(NOW + 10000, &a) == 0) {
			trial = a;
			trials++;
		} else {
			backends_release(a);
		}
	}
	ck_assert_uint_eq(trials, 1);
	/* It fails: the same again. */
	backends_report(trial, cb(), BACKENDS_TIMED_OUT, "still", NOW + 12000);
	backends_release(trial);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW + 21999, BACKENDS_OK), 1);
	/* Nobody ever hears of it: the next after another rest. */
	do
		ck_assert_int_ge(pick(NOW + 22000, &a), 0);
	while (a != backends_get(uc.c, cb(), 0) && (backends_release(a), true));
	backends_release(a);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW + 31999, BACKENDS_OK), 1);
	/* It succeeds. */
	while (visit(NOW + 32000, BACKENDS_OK) != 0)
		continue;
	ck_assert(status(0).up);
	ck_assert_uint_eq(status(0).fails, 0);
	ck_assert_uint_eq(logged("is down"), 1);
	ck_assert_uint_eq(logged("address=unix:/a is up: it went well"), 1);
}
END_TEST

START_TEST(backends_never_rests_with_max_fails_0)
{
	load("Address=unix:/a\nMaxFails=0");
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(visit(NOW, BACKENDS_TIMED_OUT), 0);
	ck_assert(status(0).up);
	ck_assert_uint_eq(logged("is down"), 0);
}
END_TEST

/* What refuses costs no time: it is tried when nothing else is left, and only then. */
START_TEST(backends_hopes_for_what_refuses)
{
	load("Address=unix:/a unix:/b\nMaxFails=1\nFailTimeout=10s");
	fail_at(0, 1, BACKENDS_REFUSED, NOW);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW, BACKENDS_OK), 1);
	fail_at(1, 1, BACKENDS_TIMED_OUT, NOW);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW, BACKENDS_REFUSED), 0);
	ck_assert_int_eq(visit(NOW, BACKENDS_OK), 0);
	ck_assert(status(0).up);
	fail_at(0, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert_int_eq(visit(NOW, BACKENDS_OK), -2);
	ck_assert_uint_eq(logged("address=unix:/a is down"), 2);
	ck_assert_uint_eq(logged("address=unix:/b is down"), 1);
}
END_TEST

START_TEST(backends_believes_active_checks)
{
	struct backends_address *a;

	load("Address=unix:/a unix:/b\nMaxFails=1\nHealthCheckInterval=1");
	a = backends_get(uc.c, cb(), 0);
	backends_checked(a, true, "health check passed");
	ck_assert_uint_eq(logged("is up"), 0);
	backends_checked(a, false, "health check: status 500");
	backends_checked(a, false, "health check: status 500");
	ck_assert_uint_eq(logged("address=unix:/a is down: health check: status 500"), 1);
	ck_assert(!status(0).up);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(visit(NOW, BACKENDS_OK), 1);
	/* Not by hope, nor after any rest, nor by a connection that was under way. */
	fail_at(0, 1, BACKENDS_REFUSED, NOW);
	fail_at(1, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert_int_eq(visit(NOW, BACKENDS_OK), -2);
	fail_at(0, 1, BACKENDS_OK, NOW);
	ck_assert_int_eq(visit(NOW, BACKENDS_OK), -2);
	ck_assert_uint_eq(logged("address=unix:/a is"), 1);
	/* A good one ends a rest, too. */
	backends_checked(a, true, "health check passed");
	backends_checked(backends_get(uc.c, cb(), 1), true, "health check passed");
	ck_assert(status(0).up && status(1).up);
	ck_assert_uint_eq(logged("is up: health check passed"), 2);
	backends_checked(a, false, "health check: status 500");
	backends_unchecked(a);
	ck_assert(status(0).up);
	backends_unchecked(a);
	ck_assert_uint_eq(logged("is up: it is not checked any more"), 1);
}
END_TEST

START_TEST(backends_survives_a_reload)
{
	struct config *old = load("Address=unix:/a unix:/b\nMaxFails=1\nFailTimeout=10s");
	struct backends_address *a, *first = backends_get(old, &old->backend[0], 0), *open = NULL;

	fail_at(0, 1, BACKENDS_TIMED_OUT, NOW);
	ck_assert_int_eq(pick(NOW, &open), 1);
	/* The same addresses in another order, and a new one. */
	load("Address=unix:/c unix:/b unix:/a\nMaxFails=1\nFailTimeout=10s");
	ck_assert_ptr_eq(backends_get(uc.c, cb(), 2), first);
	ck_assert(!status(2).up);
	ck_assert_uint_eq(status(1).connections, 1);
	ck_assert_int_eq(pick(NOW, &a), 0);
	backends_release(a);
	config_unref(old);
	ck_assert(!status(2).up);
	backends_release(open);
	ck_assert_uint_eq(status(1).connections, 0);
	/* Without any snapshot that has it, but with a connection, it is known; then forgotten. */
	ck_assert_int_ge(pick(NOW, &a), 0);
	old = uc.c;
	load("Address=unix:/d\nMaxFails=1");
	config_unref(old);
	backends_release(a);
	old = uc.c;
	load("Address=unix:/a\nMaxFails=1");
	config_unref(old);
	ck_assert(status(0).up);
	ck_assert_uint_eq(logged("is up"), 0);
}
END_TEST

START_TEST(backends_of_two_names_are_two)
{
	load("Address=unix:/a\nMaxFails=1\n[route q]\nPath=/q\nAction=forward\nBackend=other\n"
	     "[backend other]\nAddress=unix:/a");
	ck_assert_ptr_ne(
	    backends_get(uc.c, &uc.c->backend[0], 0), backends_get(uc.c, &uc.c->backend[1], 0));
}
END_TEST

START_TEST(backends_attach_without_memory)
{
	unsigned long n;
	int st;

	load("Address=unix:/a unix:/b\n[route q]\nPath=/q\nAction=forward\nBackend=other\n"
	     "[backend other]\nAddress=unix:/a");
	for (n = 1;; n++) {
		struct config *old = uc.c;

		unit_config_load(&uc, NULL, 0);
		uc.c->backend[0].name[0] = 'A'; /* so that it is not known yet */
		mem_fail_nth(n);
		st = backends_attach(b, uc.c);
		mem_fail_nth(0);
		config_unref(old);
		if (st == 0)
			break;
		ck_assert_ptr_null(uc.c->attached[CONFIG_ATTACHED_BACKENDS]);
		unit_config_drop(&uc);
		load("Address=unix:/a unix:/b\n[route q]\nPath=/q\nAction=forward\n"
		     "Backend=other\n[backend other]\nAddress=unix:/a");
	}
	ck_assert_uint_gt(n, 4);
}
END_TEST

/* ---- several threads ---- */

#define THREADS 8
#define ROUNDS 4000
#define MAX_EACH 3

static _Atomic unsigned in_use[4];

static void *
worker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct backends_address *held[4] = { NULL };
	int at[4] = { 0 };

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned k = (unsigned)rand_r(&seed) % 4;

		if (held[k] != NULL) {
			atomic_fetch_sub(&in_use[at[k]], 1);
			backends_release(held[k]);
			held[k] = NULL;
		} else if ((at[k] = pick(NOW, &held[k])) >= 0) {
			ck_assert_uint_lt(atomic_fetch_add(&in_use[at[k]], 1), MAX_EACH);
		} else {
			held[k] = NULL;
		}
	}
	for (int k = 0; k < 4; k++)
		if (held[k] != NULL) {
			atomic_fetch_sub(&in_use[at[k]], 1);
			backends_release(held[k]);
		}
	return NULL;
}

START_TEST(backends_counts_right_with_many_threads)
{
	pthread_t thread[THREADS];

	load("Address=unix:/a unix:/b unix:/c unix:/d\nMaxConnections=3");
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(status(i).connections, 0);
}
END_TEST

/* With least-connections nobody is placed where somebody else just was. */
static void *
leveller(void *arg)
{
	struct backends_address **mine = arg;

	ck_assert_int_ge(pick(NOW, mine), 0);
	return NULL;
}

START_TEST(backends_levels_out_over_threads)
{
	struct backends_address *held[THREADS];
	pthread_t thread[THREADS];

	load("Address=unix:/a unix:/b unix:/c unix:/d");
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < THREADS; i++)
			ck_assert_int_eq(pthread_create(&thread[i], NULL, leveller, &held[i]), 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
		for (size_t i = 0; i < 4; i++)
			ck_assert_uint_eq(status(i).connections, THREADS / 4);
		for (int i = 0; i < THREADS; i++)
			backends_release(held[i]);
	}
}
END_TEST

static void *
trouble(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t now = NOW + round;
		struct backends_address *a;

		if (pick(now, &a) >= 0) {
			backends_report(
			    a, cb(), (enum backends_outcome)(rand_r(&seed) % 3), "trouble", now);
			backends_release(a);
		}
		if (rand_r(&seed) % 16 == 0)
			backends_checked(backends_get(uc.c, cb(), (size_t)rand_r(&seed) % 4),
			    rand_r(&seed) % 2 == 0, "checked");
	}
	return NULL;
}

START_TEST(backends_changes_states_once_with_many_threads)
{
	pthread_t thread[THREADS];
	unsigned downs, ups, down_now = 0;

	load("Address=unix:/a unix:/b unix:/c unix:/d\nMaxFails=2\nFailTimeout=5ms\n"
	     "HealthCheckInterval=1");
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, trouble, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	/* Downs and ups alternate. */
	for (size_t i = 0; i < 4; i++) {
		char text[64];

		snprintf(text, sizeof(text), "address=unix:/%c is down", (int)('a' + i));
		downs = logged(text);
		snprintf(text, sizeof(text), "address=unix:/%c is up", (int)('a' + i));
		ups = logged(text);
		down_now = !status(i).up;
		ck_assert_uint_eq(status(i).connections, 0);
		ck_assert_uint_gt(downs, 0);
		ck_assert_uint_eq(downs, ups + down_now);
	}
}
END_TEST

static _Atomic bool reloading;

/* A thread with a snapshot of its own of the same addresses, as reloads make them. */
static void *
reloader(void *arg)
{
	struct unit_config own;

	(void)arg;
	unit_config_init(&own);
	while (atomic_load(&reloading)) {
		unit_config_good(&own,
		    "[route r]\nPath=/\nAction=forward\nBackend=app\n[backend app]\n"
		    "Address=unix:/z unix:/a unix:/y\n");
		ck_assert_int_eq(backends_attach(b, own.c), 0);
		unit_config_clear(&own);
	}
	return NULL;
}

START_TEST(backends_are_found_while_others_go)
{
	pthread_t thread[4];

	load("Address=unix:/a unix:/b unix:/c unix:/d\nMaxConnections=3");
	atomic_store(&reloading, true);
	ck_assert_int_eq(pthread_create(&thread[0], NULL, reloader, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread[1], NULL, reloader, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread[2], NULL, worker, (void *)(uintptr_t)7), 0);
	worker((void *)(uintptr_t)8);
	pthread_join(thread[2], NULL);
	atomic_store(&reloading, false);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	ck_assert_uint_eq(status(0).connections, 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		backends_counts_connections,
		backends_keeps_to_max_connections,
		backends_counts_what_waits,
		backends_calls_the_pools_of_others,
		backends_tries_each_address_once,
		backends_rests_after_max_fails_in_a_row,
		backends_lets_one_try_after_the_rest,
		backends_never_rests_with_max_fails_0,
		backends_hopes_for_what_refuses,
		backends_believes_active_checks,
		backends_survives_a_reload,
		backends_of_two_names_are_two,
		backends_attach_without_memory,
		backends_counts_right_with_many_threads,
		backends_levels_out_over_threads,
		backends_changes_states_once_with_many_threads,
		backends_are_found_while_others_go,
	};

	return unit_run_with("backends", cases, UNIT_COUNT(cases), setup, teardown);
}
