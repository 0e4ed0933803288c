/* Unit tests of src/io/resolve.[ch]. */
#include "io/resolve.h"

#include <pthread.h>

#include "base/mem.h"
#include "unit_io.h"
#include "unit_names.h"

/* A name that no resolver asks anybody about: its label is too long (RFC 1035 2.3.4). */
#define LABEL_16 "aaaaaaaaaaaaaaaa"
#define NAME_UNKNOWN LABEL_16 LABEL_16 LABEL_16 LABEL_16

struct look {
	struct resolve *query;
	struct loop *loop;
	unsigned *left; /* stops the loop at 0 */
	bool asking;	/* within resolve_start */
	unsigned answers;
	size_t n;
	struct resolve_addr v[RESOLVE_MAX_ADDRS];
	char error[128];
};

static void
look_on_done(void *arg, const struct resolve_addr *v, size_t n, const char *error)
{
	struct look *k = arg;

	ck_assert(!k->asking);
	ck_assert_uint_le(n, RESOLVE_MAX_ADDRS);
	ck_assert_int_eq(n == 0, error != NULL);
	k->query = NULL;
	k->answers++;
	k->n = n;
	memcpy(k->v, v, n * sizeof(*v));
	snprintf(k->error, sizeof(k->error), "%s", error != NULL ? error : "");
	if (k->left != NULL && --*k->left == 0)
		loop_stop(k->loop);
}

static void
look_start(struct look *k, struct resolver *r, struct loop *l, const char *name, uint16_t port,
    unsigned *left)
{
	memset(k, 0, sizeof(*k));
	k->loop = l;
	k->left = left;
	k->asking = true;
	k->query = resolve_start(r, l, name, port, look_on_done, k);
	k->asking = false;
	ck_assert_ptr_nonnull(k->query);
}

/* Look up and wait for the answer. */
static void
look_up(struct look *k, struct resolver *r, struct loop *l, const char *name, uint16_t port)
{
	unsigned left = 1;

	look_start(k, r, l, name, port, &left);
	unit_loop_run(l);
	ck_assert_uint_eq(k->answers, 1);
}

static const char *
look_text(const struct look *k, size_t i)
{
	static char text[ADDR_SA_TEXT];

	ck_assert_uint_lt(i, k->n);
	return addr_format_sa(
	    (const struct sockaddr *)&k->v[i].ss, k->v[i].len, true, text, sizeof(text));
}

struct world {
	struct loop *l;
	struct resolver *r;
};

static struct world
world_new(void)
{
	struct world w = { loop_new(), resolver_new() };

	ck_assert_ptr_nonnull(w.l);
	ck_assert_ptr_nonnull(w.r);
	return w;
}

static void
world_free(struct world *w)
{
	loop_free(w->l);
	resolver_free(w->r);
}

START_TEST(resolve_localhost_is_a_loopback_address)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "localhost", 8080);
	ck_assert_uint_ge(k.n, 1);
	for (size_t i = 0; i < k.n; i++)
		ck_assert(strcmp(look_text(&k, i), "127.0.0.1:8080") == 0 ||
		    strcmp(look_text(&k, i), "[::1]:8080") == 0);
	world_free(&w);
}
END_TEST

START_TEST(resolve_unknown_name_is_an_error_with_a_text)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, NAME_UNKNOWN, 80);
	ck_assert_uint_eq(k.n, 0);
	ck_assert_str_ne(k.error, "");
	look_up(&k, w.r, w.l, "fail.test", 80);
	ck_assert_str_eq(k.error, gai_strerror(EAI_AGAIN));
	look_up(&k, w.r, w.l, "system.test", 80);
	ck_assert_str_eq(k.error, "Input/output error");
	world_free(&w);
}
END_TEST

START_TEST(resolve_keeps_the_order_drops_doubles_and_has_a_maximum)
{
	static const char *const want[] = { "127.0.0.9:1", "[::1]:1", "127.0.0.8:1", "127.0.0.7:1",
		"127.0.0.6:1", "127.0.0.5:1", "127.0.0.4:1", "127.0.0.3:1" };
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "many.test", 1);
	ck_assert_uint_eq(k.n, RESOLVE_MAX_ADDRS);
	for (size_t i = 0; i < k.n; i++)
		ck_assert_str_eq(look_text(&k, i), want[i]);
	world_free(&w);
}
END_TEST

START_TEST(resolve_equal_names_share_one_look_up)
{
	struct world w = world_new();
	struct look k[3];
	unsigned left = 3;

	look_start(&k[0], w.r, w.l, "gated.test", 1, &left);
	fake_await_gate();
	look_start(&k[1], w.r, w.l, "Gated.Test", 2, &left);
	look_start(&k[2], w.r, w.l, "gated.test", 3, &left);
	fake_set_gate(true);
	unit_loop_run(w.l);
	ck_assert_str_eq(look_text(&k[0], 0), "127.0.0.1:1");
	ck_assert_str_eq(look_text(&k[1], 0), "127.0.0.1:2");
	ck_assert_str_eq(look_text(&k[2], 0), "127.0.0.1:3");
	ck_assert_uint_eq(fake_count_calls(), 1);
	world_free(&w);
}
END_TEST

START_TEST(resolve_keeps_answers_for_a_while)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "one.test", 1);
	look_up(&k, w.r, w.l, "ONE.test", 2);
	ck_assert_str_eq(look_text(&k, 0), "127.0.0.1:2");
	atomic_fetch_add(&fake_skew_s, RESOLVE_CACHE_MS / 1000 - 2);
	look_up(&k, w.r, w.l, "one.test", 1);
	ck_assert_uint_eq(fake_count_calls(), 1);
	atomic_fetch_add(&fake_skew_s, RESOLVE_STALE_MS / 1000);
	look_up(&k, w.r, w.l, "one.test", 1);
	ck_assert_uint_eq(fake_count_calls(), 2);
	world_free(&w);
}
END_TEST

START_TEST(resolve_answers_with_the_old_while_it_asks_anew)
{
	struct world w = world_new();
	struct look k, gated;
	unsigned left = 1;

	fake_set_gate(true);
	look_up(&k, w.r, w.l, "gated.test", 1);
	look_up(&k, w.r, w.l, "one.test", 1);
	fake_set_gate(false);
	atomic_fetch_add(&fake_skew_s, RESOLVE_CACHE_MS / 1000 + 1);
	/* The name server hangs: neither this name waits for it nor another. */
	for (int i = 0; i < 3; i++) {
		look_up(&k, w.r, w.l, "gated.test", 7);
		ck_assert_str_eq(look_text(&k, 0), "127.0.0.1:7");
		fake_await_gate();
		look_up(&k, w.r, w.l, "one.test", 8);
		ck_assert_str_eq(look_text(&k, 0), "127.0.0.1:8");
	}
	ck_assert_uint_eq(fake_count_calls(), 3);
	/* For a while only. */
	atomic_fetch_add(&fake_skew_s, RESOLVE_STALE_MS / 1000);
	look_start(&gated, w.r, w.l, "gated.test", 1, &left);
	unit_loop_turns(w.l, 3);
	ck_assert_uint_eq(gated.answers, 0);
	fake_set_gate(true);
	unit_loop_run(w.l);
	ck_assert_uint_eq(gated.n, 1);
	/* Each was asked for once, behind one another. */
	look_up(&k, w.r, w.l, "two.test", 1);
	ck_assert_uint_eq(fake_count_calls(), 5);
	world_free(&w);
}
END_TEST

START_TEST(resolve_answers_with_the_old_when_a_look_up_fails)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "one.test", 1);
	fake_fails = true;
	atomic_fetch_add(&fake_skew_s, RESOLVE_STALE_MS / 1000 + 1);
	for (int i = 0; i < 2; i++) {
		look_up(&k, w.r, w.l, "one.test", 2);
		ck_assert_uint_eq(k.n, 1);
		ck_assert_str_eq(look_text(&k, 0), "127.0.0.1:2");
		ck_assert_uint_eq(fake_count_calls(), (unsigned)i + 2);
		atomic_fetch_add(&fake_skew_s, 2);
	}
	atomic_fetch_add(&fake_skew_s, RESOLVE_KEEP_MS / 1000);
	look_up(&k, w.r, w.l, "one.test", 1);
	ck_assert_uint_eq(k.n, 0);
	ck_assert_str_eq(k.error, gai_strerror(EAI_AGAIN));
	fake_fails = false;
	atomic_fetch_add(&fake_skew_s, 2);
	look_up(&k, w.r, w.l, "one.test", 1);
	ck_assert_uint_eq(k.n, 1);
	world_free(&w);
	/* Check's own account of the time has 32 bits of microseconds */
	atomic_store(&fake_skew_s, 0);
}
END_TEST

START_TEST(resolve_keeps_failures_only_shortly)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "fail.test", 1);
	atomic_fetch_add(&fake_skew_s, 2);
	look_up(&k, w.r, w.l, "fail.test", 1);
	ck_assert_uint_eq(fake_count_calls(), 2);
	world_free(&w);
}
END_TEST

START_TEST(resolve_cache_has_a_maximum)
{
	struct world w = world_new();
	struct look k;
	char name[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		look_up(&k, w.r, w.l, name, 80);
		ck_assert_uint_eq(k.n, 1);
	}
	ck_assert_uint_eq(fake_count_calls(), 200);
	look_up(&k, w.r, w.l, "n199.test", 80);
	ck_assert_uint_eq(fake_count_calls(), 200);
	look_up(&k, w.r, w.l, "n0.test", 80);
	ck_assert_uint_eq(fake_count_calls(), 201);
	world_free(&w);
}
END_TEST

START_TEST(resolve_cancelled_while_waiting_is_not_looked_up)
{
	struct world w = world_new();
	struct look gated, one, two[2];
	unsigned left = 2;

	look_start(&gated, w.r, w.l, "gated.test", 1, &left);
	fake_await_gate();
	look_start(&one, w.r, w.l, "one.test", 1, NULL);
	look_start(&two[0], w.r, w.l, "two.test", 1, NULL);
	look_start(&two[1], w.r, w.l, "two.test", 1, &left);
	resolve_cancel(one.query);
	resolve_cancel(two[0].query);
	fake_set_gate(true);
	unit_loop_run(w.l);
	unit_loop_turns(w.l, 3);
	ck_assert_uint_eq(fake_count_calls(), 2);
	ck_assert_uint_eq(one.answers + two[0].answers, 0);
	world_free(&w);
}
END_TEST

START_TEST(resolve_cancelled_while_running_is_not_answered)
{
	struct world w = world_new();
	struct look gated, one;

	look_start(&gated, w.r, w.l, "gated.test", 1, NULL);
	fake_await_gate();
	resolve_cancel(gated.query);
	fake_set_gate(true);
	look_up(&one, w.r, w.l, "one.test", 1);
	ck_assert_uint_eq(gated.answers, 0);
	/* Its answer was kept all the same. */
	look_up(&gated, w.r, w.l, "gated.test", 1);
	ck_assert_uint_eq(fake_count_calls(), 2);
	world_free(&w);
}
END_TEST

START_TEST(resolve_cancelled_while_posted_is_not_answered)
{
	struct world w = world_new();
	struct look k;

	look_up(&k, w.r, w.l, "one.test", 1);
	look_start(&k, w.r, w.l, "one.test", 1, NULL);
	resolve_cancel(k.query);
	unit_loop_turns(w.l, 3);
	ck_assert_uint_eq(k.answers, 0);
	world_free(&w);
}
END_TEST

START_TEST(resolver_free_disposes_of_what_nobody_took)
{
	struct world w = world_new();
	struct look k[4];

	resolver_free(resolver_new()); /* its thread never ran */
	resolver_free(NULL);
	look_up(&k[0], w.r, w.l, "one.test", 1);
	look_start(&k[0], w.r, w.l, "one.test", 1, NULL);
	look_start(&k[1], w.r, w.l, "one.test", 1, NULL);
	resolve_cancel(k[1].query);
	look_start(&k[2], w.r, w.l, "gated.test", 1, NULL);
	look_start(&k[3], w.r, w.l, "two.test", 1, NULL);
	fake_await_gate();
	fake_set_gate(true);
	resolver_free(w.r);
	loop_free(w.l);
	ck_assert_uint_eq(k[0].answers + k[1].answers + k[2].answers + k[3].answers, 0);
}
END_TEST

START_TEST(resolve_start_without_memory_is_null)
{
	struct world w = world_new();
	struct look k;

	memset(&k, 0, sizeof(k));
	for (unsigned long nth = 1; nth <= 2; nth++) {
		mem_fail_nth(nth);
		ck_assert_ptr_null(resolve_start(w.r, w.l, "one.test", 1, look_on_done, &k));
		ck_assert_int_eq(mem_fail_pending(), 0);
	}
	mem_fail_nth(1);
	ck_assert_ptr_null(resolver_new());
	ck_assert_uint_eq(k.answers, 0);
	look_up(&k, w.r, w.l, "one.test", 1);
	world_free(&w);
}
END_TEST

#define CROWD_THREADS 4
#define CROWD_LOOKS 100

struct crowd {
	pthread_t thread;
	struct resolver *r;
	uint32_t seed;
};

static void *
crowd_thread(void *arg)
{
	struct crowd *c = arg;
	struct loop *l = loop_new();
	struct look *k = mem_zalloc(CROWD_LOOKS * sizeof(*k));
	unsigned left = 1;
	char name[32];

	for (unsigned i = 0; i < CROWD_LOOKS; i++) {
		snprintf(name, sizeof(name), "n%u.test", unit_random(&c->seed) % 20);
		left++;
		look_start(&k[i], c->r, l, name, (uint16_t)i, &left);
		if (unit_random(&c->seed) % 4 == 0)
			unit_loop_turns(l, 1);
		if (k[i].query != NULL && unit_random(&c->seed) % 4 == 0) {
			resolve_cancel(k[i].query);
			left--;
		}
	}
	if (--left != 0)
		unit_loop_run(l);
	loop_free(l);
	mem_free(k);
	return NULL;
}

START_TEST(resolve_serves_loops_of_many_threads)
{
	struct resolver *r = resolver_new();
	struct crowd c[CROWD_THREADS];

	for (int i = 0; i < CROWD_THREADS; i++) {
		c[i] = (struct crowd){ .r = r, .seed = 77 + (uint32_t)i };
		ck_assert_int_eq(pthread_create(&c[i].thread, NULL, crowd_thread, &c[i]), 0);
	}
	for (int i = 0; i < CROWD_THREADS; i++)
		pthread_join(c[i].thread, NULL);
	ck_assert_uint_le(fake_count_calls(), 20);
	resolver_free(r);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		resolve_localhost_is_a_loopback_address,
		resolve_unknown_name_is_an_error_with_a_text,
		resolve_keeps_the_order_drops_doubles_and_has_a_maximum,
		resolve_equal_names_share_one_look_up,
		resolve_keeps_answers_for_a_while,
		resolve_answers_with_the_old_while_it_asks_anew,
		resolve_answers_with_the_old_when_a_look_up_fails,
		resolve_keeps_failures_only_shortly,
		resolve_cache_has_a_maximum,
		resolve_cancelled_while_waiting_is_not_looked_up,
		resolve_cancelled_while_running_is_not_answered,
		resolve_cancelled_while_posted_is_not_answered,
		resolver_free_disposes_of_what_nobody_took,
		resolve_start_without_memory_is_null,
		resolve_serves_loops_of_many_threads,
	};

	return unit_run("resolve", cases, UNIT_COUNT(cases));
}
