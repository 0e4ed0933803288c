/*
 * Unit tests of transport_write_fin, src/io/transport_write.c (TLS: tls_write_last, test_tls.c):
 * last bytes that leave together with the FIN.
 */
#include "io/transport.h"

#include <linux/tcp.h>

#include <poll.h>

#include "unit_io.h"

static struct loop *loop;
static int end[2]; /* of the transport, whose it is; of the test */
static bool drained;

static void
on_nothing(struct transport *t)
{
	(void)t;
}

static void
on_drained(struct transport *t)
{
	(void)t;
	drained = true;
	loop_stop(loop);
}

static void
on_failed(struct transport *t, const char *why)
{
	(void)t;
	ck_abort_msg("%s", why);
}

static const struct transport_events events = { .ready = on_nothing,
	.readable = on_nothing,
	.drained = on_drained,
	.failed = on_failed };

static void
open_transport(struct transport *t, void (*pair)(int fd[2]))
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	pair(end);
	drained = false;
	ck_assert_int_eq(transport_start(t, loop, &events, end[0], NULL), 0);
}

static void
close_transport(struct transport *t)
{
	transport_close(t, false);
	close(end[1]);
	loop_free(loop);
}

static int
write_fin(struct transport *t, const char *p, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };

	return transport_write_fin(t, &iov, 1);
}

/* What the peer gets until the end: -1 when that is a reset. */
static ssize_t
peer_read(char *p, size_t size)
{
	struct pollfd pfd = { .fd = end[1], .events = POLLIN };
	size_t n = 0;
	ssize_t got;

	for (;;) {
		ck_assert_int_eq(poll(&pfd, 1, UNIT_IO_DEADLINE_MS), 1);
		got = recv(end[1], p + n, size - n, 0);
		if (got <= 0)
			return got == 0 ? (ssize_t)n : -1;
		n += (size_t)got;
		ck_assert_uint_lt(n, size);
	}
}

START_TEST(transport_write_fin_sends_bytes_and_the_end)
{
	void (*const pairs[])(int fd[2]) = { unit_tcp_pair, unit_unix_pair };
	struct transport t;
	char got[16];

	for (size_t i = 0; i < UNIT_COUNT(pairs); i++) {
		open_transport(&t, pairs[i]);
		ck_assert_int_eq(write_fin(&t, "last words", 10), 0);
		ck_assert_int_eq(peer_read(got, sizeof(got)), 10);
		ck_assert_mem_eq(got, "last words", 10);
		/* Nothing more is written, and nothing is left to do. */
		ck_assert_int_eq(write_fin(&t, "x", 1), -1);
		ck_assert(transport_finish(&t));
		transport_fin(&t);
		/* The other direction is open. */
		ck_assert_int_eq(send(end[1], "more", 4, 0), 4);
		close_transport(&t);
	}
}
END_TEST

START_TEST(transport_write_fin_takes_one_segment)
{
	struct tcp_info before, after;
	socklen_t n = sizeof(before);
	struct transport t;

	open_transport(&t, unit_tcp_pair);
	ck_assert_int_eq(getsockopt(end[0], IPPROTO_TCP, TCP_INFO, &before, &n), 0);
	ck_assert_int_eq(write_fin(&t, "last words", 10), 0);
	n = sizeof(after);
	ck_assert_int_eq(getsockopt(end[0], IPPROTO_TCP, TCP_INFO, &after, &n), 0);
	ck_assert_uint_eq(after.tcpi_segs_out, before.tcpi_segs_out + 1);
	close_transport(&t);
}
END_TEST

/*
 * A close with unread bytes is a reset (RFC 2525 2.17): what was written before it must be on its
 * way.
 */
START_TEST(transport_write_fin_is_not_lost_to_a_reset)
{
	struct transport t;
	char got[16];

	open_transport(&t, unit_tcp_pair);
	ck_assert_int_eq(send(end[1], "unread", 6, 0), 6);
	ck_assert_int_eq(write_fin(&t, "last words", 10), 0);
	transport_close(&t, false);
	ck_assert_int_eq(recv(end[1], got, sizeof(got), MSG_WAITALL | MSG_PEEK), 10);
	ck_assert_mem_eq(got, "last words", 10);
	close_transport(&t);
}
END_TEST

START_TEST(transport_write_fin_follows_what_waits)
{
	static char bulk[1 << 20], got[(1 << 20) + 100];
	struct iovec iov = { bulk, sizeof(bulk) };
	struct transport t;
	size_t n = 0;

	open_transport(&t, unit_unix_pair);
	ck_assert_int_eq(transport_write(&t, &iov, 1), 0);
	ck_assert_uint_gt(transport_queued(&t), 0);
	ck_assert_int_eq(write_fin(&t, "last words", 10), 0);
	ck_assert(!transport_finish(&t));
	while (!drained) {
		ssize_t r = recv(end[1], got + n, sizeof(got) - n, 0);

		if (r > 0)
			n += (size_t)r;
		else
			unit_loop_turns(loop, 1);
	}
	n += (size_t)peer_read(got + n, sizeof(got) - n);
	ck_assert_uint_eq(n, sizeof(bulk) + 10);
	ck_assert_mem_eq(got + sizeof(bulk), "last words", 10);
	close_transport(&t);
}
END_TEST

START_TEST(transport_write_fin_of_a_broken_connection_fails)
{
	struct transport t;

	open_transport(&t, unit_unix_pair);
	transport_read_on(&t);
	close(end[1]);
	end[1] = -1;
	ck_assert_int_eq(write_fin(&t, "x", 1), -1);
	close_transport(&t);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		transport_write_fin_sends_bytes_and_the_end,
		transport_write_fin_takes_one_segment,
		transport_write_fin_is_not_lost_to_a_reset,
		transport_write_fin_follows_what_waits,
		transport_write_fin_of_a_broken_connection_fails,
	};

	return unit_run("transport_fin", cases, UNIT_COUNT(cases));
}
