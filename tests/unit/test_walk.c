/*
 * Unit tests of src/gateway/walk.c: what is there all the while is seen exactly once, however
 * small the slices are and whatever comes and goes between them.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/mem.h"
#include "gateway/walk.h"
#include "unit_ws.h"

#define SESSIONS 60

/* Handshakes that wait, told apart by their client, 10.0.0.I. */
static struct session *session[SESSIONS];
static unsigned seen[2][SESSIONS]; /* by walk */
static unsigned rounds;

static void
add(size_t i)
{
	struct sockaddr_in client = { .sin_family = AF_INET };
	struct http_head head = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/") };
	struct stream_request r = { .head = &head, .client = (struct sockaddr *)&client };
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%zu", i);
	inet_pton(AF_INET, text, &client.sin_addr);
	ck_assert_ptr_nonnull(session[i] = loop_object(uw.loop, sizeof(*session[i])));
	session_init(session[i], uw.gw, SESSION_FORWARD, &uw.client.s, &r, &uw.uc.c->route[0]);
}

static void
drop(size_t i)
{
	session_free(session[i]);
	session[i] = NULL;
}

static void
setup(void)
{
	uw_setup_echo("");
	uw_open(); /* makes the fake stream; it is not wanted here */
	uw_drop();
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < SESSIONS; i++)
		add(i);
}

static void
teardown(void)
{
	for (size_t i = 0; i < SESSIONS; i++)
		if (session[i] != NULL)
			drop(i);
	uw_clear();
}

static bool
on_seen(void *arg, const struct gateway_seen *s)
{
	unsigned *count = arg;
	char text[32];
	size_t i;

	ck_assert_int_eq(s->kind, GATEWAY_SHOW_HANDSHAKE);
	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(s->client));
	ck_assert_int_eq(sscanf(text, "10.0.0.%zu", &i), 1);
	ck_assert_ptr_nonnull(session[i]); /* never one that is gone */
	ck_assert_uint_eq(count[i]++, 0);
	return rounds % 3 != 0; /* a slice may end early */
}

START_TEST(walk_sees_all_in_slices_of_any_size)
{
	struct gateway_filter all = { .kinds = 0 };

	for (size_t max = 1; max < SESSIONS + 2; max++) {
		struct gateway_walk *k = gateway_walk_new(&all);

		memset(seen, 0, sizeof(seen));
		rounds = 1;
		while (gateway_walk_step(uw.gw, k, max, on_seen, seen[0]))
			rounds += 3;
		/* it is over, and stays so */
		ck_assert(!gateway_walk_step(uw.gw, k, max, on_seen, seen[0]));
		for (size_t i = 0; i < SESSIONS; i++)
			ck_assert_uint_eq(seen[0][i], 1);
		gateway_walk_free(k);
	}
}
END_TEST

/* By a seed: two walks at once, sessions that end and begin between their slices. */
START_TEST(walk_survives_what_comes_and_goes)
{
	uint32_t seed = (uint32_t)_i * 2654435761u + 1;
	struct gateway_filter all = { .kinds = 0 };
	struct gateway_walk *k[2] = { gateway_walk_new(&all), gateway_walk_new(&all) };
	bool stays[SESSIONS], more[2] = { true, true };

	for (size_t i = 0; i < SESSIONS; i++)
		stays[i] = true;
	for (rounds = 0; more[0] || more[1]; rounds++) {
		size_t w = (seed >> 16) % 2, i = (seed >> 18) % SESSIONS;

		if (more[w])
			more[w] =
			    gateway_walk_step(uw.gw, k[w], 1 + (seed >> 24) % 7, on_seen, seen[w]);
		stays[i] = false;
		if (session[i] != NULL)
			drop(i);
		else if (seen[0][i] == 0 && seen[1][i] == 0)
			add(i);
		if ((seed >> 28) == 0) /* the memory of those that ended goes */
			unit_loop_turns(uw.loop, 1);
		seed = seed * 1664525 + 1013904223;
	}
	for (size_t i = 0; i < SESSIONS; i++)
		if (stays[i])
			ck_assert(seen[0][i] == 1 && seen[1][i] == 1);
	gateway_walk_free(k[0]);
	gateway_walk_free(k[1]);
}
END_TEST

START_TEST(walk_can_be_given_up)
{
	struct gateway_filter all = { .kinds = 0 };
	struct gateway_walk *k = gateway_walk_new(&all);
	size_t n = 0;

	rounds = 1;
	ck_assert(gateway_walk_step(uw.gw, k, 5, on_seen, seen[0]));
	gateway_walk_stop(k);
	gateway_walk_stop(k);
	ck_assert(!gateway_walk_step(uw.gw, k, 5, on_seen, seen[0]));
	gateway_walk_free(k);
	for (const struct session *ss = uw.gw->sessions; ss != NULL; ss = ss->next, n++)
		ck_assert_int_eq(ss->kind, SESSION_FORWARD);
	ck_assert_uint_eq(n, SESSIONS);
	/* one that was never begun */
	k = gateway_walk_new(&all);
	gateway_walk_stop(k);
	gateway_walk_free(k);
}
END_TEST

static size_t
count(const struct gateway_filter *f)
{
	struct gateway_walk *k = gateway_walk_new(f);
	size_t n = 0;

	memset(seen, 0, sizeof(seen));
	rounds = 1;
	while (gateway_walk_step(uw.gw, k, 7, on_seen, seen[0]))
		continue;
	gateway_walk_free(k);
	for (size_t i = 0; i < SESSIONS; i++)
		n += seen[0][i];
	return n;
}

START_TEST(walk_filters)
{
	struct gateway_filter f = { .kinds = GATEWAY_SHOW_HANDSHAKE };

	ck_assert_uint_eq(count(&f), SESSIONS);
	f.kinds = GATEWAY_SHOW_WEBSOCKET;
	ck_assert_uint_eq(count(&f), 0);
	f.kinds = 0;
	snprintf(f.route, sizeof(f.route), "w");
	ck_assert_uint_eq(count(&f), SESSIONS);
	snprintf(f.route, sizeof(f.route), "W");
	ck_assert_uint_eq(count(&f), 0);
	f.route[0] = '\0';
	f.by_client = true;
	ck_assert_int_eq(addr_cidr_parse(SPAN_LIT("10.0.0.16/28"), &f.client), 0);
	ck_assert_uint_eq(count(&f), 16);
	ck_assert_uint_eq(seen[0][16] + seen[0][31], 2);
	ck_assert_int_eq(addr_cidr_parse(SPAN_LIT("::/0"), &f.client), 0);
	ck_assert_uint_eq(count(&f), 0);
}
END_TEST

static enum gateway_closed
close_by(uint64_t id, size_t max)
{
	struct gateway_filter f = { .by_id = true, .connection_id = id };
	struct gateway_walk *k = gateway_walk_new(&f);
	enum gateway_closed ret;

	while ((ret = gateway_walk_close(uw.gw, k, max)) == GATEWAY_CLOSE_GOES_ON)
		continue;
	gateway_walk_stop(k);
	gateway_walk_free(k);
	return ret;
}

START_TEST(walk_closes_by_id)
{
	uint64_t id = uw.info.connection_id;

	/* handshakes are not closed */
	ck_assert_int_eq(close_by(id, 3), GATEWAY_CLOSE_NOT_OPEN);
	ck_assert_int_eq(close_by(id + 1, 3), GATEWAY_CLOSE_NONE);
	for (size_t i = 0; i < SESSIONS; i++)
		drop(i);
	ck_assert_int_eq(close_by(id, 3), GATEWAY_CLOSE_NONE);
	uw_open();
	ck_assert_int_eq(close_by(id + 1, 1), GATEWAY_CLOSE_NONE);
	ck_assert_str_eq(uw_heard(false), "");
	ck_assert_int_eq(close_by(id, 1), GATEWAY_CLOSE_SENT);
	ck_assert_str_eq(uw_heard(false), "<1008>");
	ck_assert_int_eq(close_by(id, 1), GATEWAY_CLOSE_ALREADY);
	uw_drop();
}
END_TEST

START_TEST(walk_without_memory)
{
	struct gateway_filter all = { .kinds = 0 };

	mem_fail_nth(1);
	ck_assert_ptr_null(gateway_walk_new(&all));
	gateway_walk_free(NULL);
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ walk_sees_all_in_slices_of_any_size, 1 },
		{ walk_survives_what_comes_and_goes, 200 },
		{ walk_can_be_given_up, 1 },
		{ walk_filters, 1 },
		{ walk_closes_by_id, 1 },
		{ walk_without_memory, 1 },
	};

	return unit_run_cases("walk", cases, UNIT_COUNT(cases), setup, teardown);
}
