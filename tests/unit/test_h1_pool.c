/*
 * Unit tests of src/http/h1_pool.[ch]: connections get in by an exchange that is over, the
 * backend's ends are the case's.
 */
#include "http/h1_pool.h"

#include "base/mem.h"
#include "unit_io.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct loop *loop;
static struct h1_pool *pool;
static struct addr addr_a, addr_b;
static const struct addr *put_to; /* where the stream goes at its end */

static void
on_response(struct stream *s, const struct http_head *h)
{
	(void)s, (void)h;
}

static void
on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	(void)s, (void)p, (void)n;
}

static unsigned n_gone;

static void
on_gone(void *arg)
{
	(void)arg;
	n_gone++;
}

static void
on_end(struct stream *s)
{
	h1_pool_put(pool, put_to, s, on_gone, NULL);
}

static void
on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)s;
	if (e != STREAM_E_MEMORY)
		ck_abort_msg("reset: %s", why);
}

static const struct stream_events events = {
	.response = on_response,
	.bytes = on_bytes,
	.end = on_end,
	.reset = on_reset,
};

static struct h1_request request = { .method = SPAN_LIT("GET"),
	.path = SPAN_LIT("/"),
	.authority = SPAN_LIT("a"),
	.keep = true };

static void
begin(void)
{
	addr_a = unit_addr("unix:/a");
	addr_b = unit_addr("127.0.0.1:1");
	ck_assert_ptr_nonnull(loop = loop_new());
	ck_assert_ptr_nonnull(pool = h1_pool_new(loop));
}

static void
finish(void)
{
	h1_pool_free(pool);
	unit_loop_turns(loop, 1);
	loop_free(loop);
}

/* Put a connection in; its other end. */
static int
put(const struct addr *to, const char *response)
{
	const char *why;
	int fd[2];

	put_to = to;
	unit_unix_pair(fd);
	ck_assert_ptr_nonnull(h1_client_start(loop, fd[0], &request, 0, &events, NULL, &why));
	ck_assert_int_gt(send(fd[1], response, strlen(response), 0), 0);
	unit_loop_turns(loop, 2);
	return fd[1];
}

static struct stream *
get(const struct addr *to)
{
	return h1_pool_start(pool, to, &request, 0, &events, NULL);
}

static bool
at_eof(int fd)
{
	char text[200];
	ssize_t n;

	while ((n = recv(fd, text, sizeof(text), MSG_DONTWAIT)) > 0)
		;
	return n == 0;
}

START_TEST(h1_pool_gives_what_waited_last_by_address)
{
	int first, second, other;
	struct stream *s;

	begin();
	ck_assert_ptr_null(get(&addr_a));
	first = put(&addr_a, OK);
	second = put(&addr_a, OK);
	other = put(&addr_b, OK);
	ck_assert_uint_eq(h1_pool_count(pool), 3);
	ck_assert_ptr_nonnull(s = get(&addr_a));
	stream_abort(s);
	ck_assert(at_eof(second) && !at_eof(first) && !at_eof(other));
	ck_assert_ptr_nonnull(s = get(&addr_a));
	stream_abort(s);
	ck_assert(at_eof(first));
	ck_assert_ptr_null(get(&addr_a));
	ck_assert_uint_eq(h1_pool_count(pool), 1);
	close(first), close(second), close(other);
	finish();
}
END_TEST

START_TEST(h1_pool_takes_no_connection_that_is_not_fit)
{
	int peer;

	begin();
	peer = put(&addr_a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	ck_assert_uint_eq(h1_pool_count(pool), 0);
	ck_assert(at_eof(peer));
	close(peer);
	finish();
}
END_TEST

/* With turns in between, and at once. */
START_TEST(h1_pool_notices_that_a_connection_is_dead)
{
	int peer;

	begin();
	peer = put(&addr_a, OK);
	close(peer);
	if (_i == 0) {
		unit_loop_turns(loop, 2);
		ck_assert_uint_eq(h1_pool_count(pool), 0);
	}
	ck_assert_ptr_null(get(&addr_a));
	finish();
}
END_TEST

/* One that has just been put in is given without a look for who can ask again. */
START_TEST(h1_pool_looks_at_what_has_waited)
{
	struct stream *s;
	uint64_t until;
	int peer;

	begin();
	for (int waits = 0; waits < 2; waits++) {
		peer = put(&addr_a, OK);
		until = loop_now_ms(loop) + (waits ? H1_POOL_FRESH_MS : 0);
		while (loop_now_ms(loop) < until)
			unit_loop_turns(loop, 1);
		close(peer);
		request.repeatable = true;
		s = get(&addr_a);
		request.repeatable = false;
		ck_assert((s == NULL) == (waits == 1));
		if (s != NULL)
			stream_abort(s);
	}
	finish();
}
END_TEST

START_TEST(h1_pool_drops_a_connection_that_says_something)
{
	int peer;

	begin();
	peer = put(&addr_a, OK);
	ck_assert_int_eq(send(peer, "H", 1, 0), 1);
	if (_i == 0) {
		unit_loop_turns(loop, 2);
		ck_assert_uint_eq(h1_pool_count(pool), 0);
	}
	ck_assert_ptr_null(get(&addr_a));
	ck_assert(at_eof(peer));
	close(peer);
	finish();
}
END_TEST

START_TEST(h1_pool_keeps_so_many_for_an_address)
{
	int peer[H1_POOL_PER_ADDRESS + 3];

	begin();
	for (int i = 0; i < H1_POOL_PER_ADDRESS + 3; i++)
		peer[i] = put(&addr_a, OK);
	ck_assert_uint_eq(h1_pool_count(pool), H1_POOL_PER_ADDRESS);
	for (int i = 0; i < H1_POOL_PER_ADDRESS + 3; i++) {
		ck_assert_int_eq(at_eof(peer[i]), i < 3);
		close(peer[i]);
	}
	finish();
}
END_TEST

START_TEST(h1_pool_tells_what_waits_no_more)
{
	int taken, dropped, unfit, ended;
	struct stream *s;

	begin();
	n_gone = 0;
	dropped = put(&addr_a, OK);
	ended = put(&addr_a, OK);
	taken = put(&addr_a, OK);
	ck_assert_uint_eq(n_gone, 0);
	unfit = put(&addr_a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	ck_assert_uint_eq(n_gone, 1);
	ck_assert_ptr_nonnull(s = get(&addr_a));
	ck_assert_uint_eq(n_gone, 2);
	stream_abort(s);
	h1_pool_drop(pool, &addr_a);
	h1_pool_drop(pool, &addr_b);
	ck_assert_uint_eq(n_gone, 3);
	ck_assert(at_eof(dropped) && at_eof(taken) && !at_eof(ended));
	close(taken), close(dropped), close(unfit), close(ended);
	finish();
	ck_assert_uint_eq(n_gone, 4);
}
END_TEST

static bool
every_other(void *arg)
{
	static unsigned asked;

	(void)arg;
	return ++asked % 2 == 0;
}

START_TEST(h1_pool_sweeps_what_is_pointed_out)
{
	int peer[5], left = 0;

	begin();
	h1_pool_sweep(pool, every_other);
	for (int i = 0; i < 5; i++)
		peer[i] = put(i < 3 ? &addr_a : &addr_b, OK);
	h1_pool_sweep(pool, every_other);
	ck_assert_uint_eq(h1_pool_count(pool), 3);
	for (int i = 0; i < 5; i++) {
		left += !at_eof(peer[i]);
		close(peer[i]);
	}
	ck_assert_int_eq(left, 3);
	finish();
}
END_TEST

/* A fifth less than its word, and none at all where that is nothing. */
START_TEST(h1_pool_believes_the_backend_how_long_it_keeps)
{
	uint64_t until;
	int peer;

	begin();
	peer = put(&addr_a,
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=9, Timeout=2\r\n\r\n");
	until = loop_now_ms(loop) + 1600;
	while (loop_now_ms(loop) < until - 500)
		unit_loop_turns(loop, 1);
	ck_assert_uint_eq(h1_pool_count(pool), 1);
	while (h1_pool_count(pool) > 0 && loop_now_ms(loop) < until + 1600)
		unit_loop_turns(loop, 1);
	ck_assert(at_eof(peer));
	close(peer);
	peer =
	    put(&addr_a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=0\r\n\r\n");
	ck_assert_uint_eq(h1_pool_count(pool), 0);
	close(peer);
	peer =
	    put(&addr_a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=100\r\n\r\n");
	until = loop_now_ms(loop) + H1_POOL_IDLE_MS + 1000;
	while (loop_now_ms(loop) < until)
		unit_loop_turns(loop, 1);
	ck_assert_uint_eq(h1_pool_count(pool), 1);
	close(peer);
	finish();
}
END_TEST

START_TEST(h1_pool_ends_what_waits_too_long)
{
	uint64_t until;
	int peer;

	begin();
	peer = put(&addr_a, OK);
	until = loop_now_ms(loop) + H1_POOL_IDLE_MS;
	while (loop_now_ms(loop) < until - 500)
		unit_loop_turns(loop, 1);
	ck_assert_uint_eq(h1_pool_count(pool), 1);
	while (h1_pool_count(pool) > 0 && loop_now_ms(loop) < until + 10000)
		unit_loop_turns(loop, 1);
	ck_assert(at_eof(peer));
	close(peer);
	finish();
}
END_TEST

START_TEST(h1_pool_closes_all_at_its_end)
{
	int a, b, before = unit_count_fds();

	begin();
	a = put(&addr_a, OK);
	b = put(&addr_b, OK);
	finish();
	ck_assert(at_eof(a) && at_eof(b));
	close(a), close(b);
	ck_assert_int_eq(unit_count_fds(), before);
}
END_TEST

START_TEST(h1_pool_survives_without_memory)
{
	bool pending = false;
	struct stream *s;
	const char *why;
	int fd[2];

	for (unsigned long n = 1; !pending; n++) {
		ck_assert_uint_lt(n, 50);
		begin();
		put_to = &addr_a;
		unit_unix_pair(fd);
		ck_assert_ptr_nonnull(
		    h1_client_start(loop, fd[0], &request, 0, &events, NULL, &why));
		ck_assert_int_gt(send(fd[1], OK, strlen(OK), 0), 0);
		mem_fail_nth(n);
		unit_loop_turns(loop, 2);
		if ((s = get(&addr_a)) != NULL)
			stream_abort(s);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		ck_assert_uint_eq(h1_pool_count(pool), 0);
		unit_loop_turns(loop, 1);
		ck_assert(at_eof(fd[1]));
		close(fd[1]);
		finish();
	}
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h1_pool_gives_what_waited_last_by_address, 1 },
		{ h1_pool_takes_no_connection_that_is_not_fit, 1 },
		{ h1_pool_notices_that_a_connection_is_dead, 2 },
		{ h1_pool_drops_a_connection_that_says_something, 2 },
		{ h1_pool_looks_at_what_has_waited, 1 },
		{ h1_pool_keeps_so_many_for_an_address, 1 },
		{ h1_pool_tells_what_waits_no_more, 1 },
		{ h1_pool_sweeps_what_is_pointed_out, 1 },
		{ h1_pool_believes_the_backend_how_long_it_keeps, 1 },
		{ h1_pool_ends_what_waits_too_long, 1 },
		{ h1_pool_closes_all_at_its_end, 1 },
		{ h1_pool_survives_without_memory, 1 },
	};

	return unit_run_cases("h1_pool", cases, UNIT_COUNT(cases), NULL, NULL);
}
