/*
 * Unit tests of src/io/transport.[ch] in the clear (TLS: test_tls.c).  One end
 * of each socket is a transport; the other is the test's own, read by an event
 * on the same loop.
 */
#include "io/transport.h"

#include <stdlib.h>

#include <event2/event.h>

#include "base/mem.h"
#include "unit_io.h"

enum close_in { CLOSE_NEVER, CLOSE_IN_READABLE, CLOSE_IN_DRAINED, CLOSE_IN_FAILED };

/* A transport with its owner's notes, and the peer's end. */
struct side {
	struct transport t;
	struct loop *loop;
	struct event *peer_ev;
	int peer; /* -1: closed */
	unsigned readable, drained, failed;
	char why[80];
	enum io_status read_status; /* of the last read */
	char read_why[80];
	bool in_down_call; /* no up-call may come now */
	bool stop_on_drained, stop_on_failed, stop_on_read_end, write_on_drained;
	enum close_in close_in;
	uint8_t got[4096]; /* what the transport read */
	size_t got_n, stop_on_got;
	size_t read_size; /* bytes a read; 0: does not read */
	/* the stream that the transport sends, by two random generators in step */
	uint32_t sent_seed, peer_seed, size_seed;
	size_t sent, peer_got, to_send, stop_on_peer_got;
	bool peer_eof;
};

static void
side_bytes(uint32_t *seed, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)unit_random(seed);
}

/* Send more of the stream in pieces of random size until the kernel refuses some. */
static void
side_pump(struct side *s)
{
	struct iovec iov[5];
	uint8_t data[5][3000];
	size_t sum;
	int n;

	while (s->sent < s->to_send && transport_queued(&s->t) == 0) {
		n = 1 + (int)(unit_random(&s->size_seed) % 5);
		sum = 0;
		for (int i = 0; i < n; i++) {
			iov[i].iov_base = data[i];
			iov[i].iov_len = unit_random(&s->size_seed) % sizeof(data[i]);
			if (s->sent + sum + iov[i].iov_len > s->to_send)
				iov[i].iov_len = s->to_send - s->sent - sum;
			side_bytes(&s->sent_seed, data[i], iov[i].iov_len);
			sum += iov[i].iov_len;
		}
		s->in_down_call = true;
		ck_assert_int_eq(transport_write(&s->t, iov, n), 0);
		s->in_down_call = false;
		memset(data, 0, sizeof(data)); /* borrowed for the call only */
		s->sent += sum;
	}
}

static struct side *
side_of(struct transport *t)
{
	struct side *s = (struct side *)t;

	ck_assert(!s->in_down_call);
	return s;
}

static void
side_close(struct side *s, bool reset)
{
	transport_close(&s->t, reset);
	ck_assert(transport_closed(&s->t));
	loop_stop(s->loop);
}

static void
side_on_ready(struct transport *t)
{
	(void)t;
	ck_abort_msg("there is no TLS here");
}

static void
side_on_readable(struct transport *t)
{
	struct side *s = side_of(t);
	const char *why = "";
	size_t n = 0;

	s->readable++;
	if (s->close_in == CLOSE_IN_READABLE) {
		side_close(s, false);
		return;
	}
	if (s->read_size == 0)
		return;
	ck_assert_uint_le(s->got_n + s->read_size, sizeof(s->got));
	s->read_status = transport_read(t, s->got + s->got_n, s->read_size, &n, &why);
	if (s->read_status == IO_OK) {
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_le(n, s->read_size);
		s->got_n += n;
		if (s->got_n == s->stop_on_got)
			loop_stop(s->loop);
		return;
	}
	snprintf(s->read_why, sizeof(s->read_why), "%s", why);
	if (s->read_status != IO_AGAIN && s->stop_on_read_end)
		loop_stop(s->loop);
}

static void
side_on_drained(struct transport *t)
{
	struct side *s = side_of(t);

	s->drained++;
	ck_assert_uint_eq(transport_queued(t), 0);
	if (s->write_on_drained)
		side_pump(s);
	if (s->close_in == CLOSE_IN_DRAINED)
		side_close(s, false);
	if (s->stop_on_drained)
		loop_stop(s->loop);
}

static void
side_on_failed(struct transport *t, const char *why)
{
	struct side *s = side_of(t);

	s->failed++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->close_in == CLOSE_IN_FAILED)
		side_close(s, true);
	if (s->stop_on_failed)
		loop_stop(s->loop);
}

static const struct transport_events side_events = {
	.ready = side_on_ready,
	.readable = side_on_readable,
	.drained = side_on_drained,
	.failed = side_on_failed,
};

/* The peer reads a random number of bytes and compares. */
static void
side_on_peer(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	uint8_t got[5000], want[5000];
	ssize_t n = recv(fd, got, 1 + unit_random(&s->size_seed) % sizeof(got), 0);

	(void)what;
	ck_assert_int_ge(n, 0);
	if (n == 0) {
		s->peer_eof = true;
		event_del(s->peer_ev);
		loop_stop(s->loop);
		return;
	}
	side_bytes(&s->peer_seed, want, (size_t)n);
	ck_assert_mem_eq(got, want, (size_t)n);
	s->peer_got += (size_t)n;
	if (s->peer_got == s->stop_on_peer_got)
		loop_stop(s->loop);
}

static struct side *
side_new(const int fd[2])
{
	struct side *s = mem_zalloc(sizeof(*s));

	ck_assert_ptr_nonnull(s);
	s->loop = loop_new();
	ck_assert_ptr_nonnull(s->loop);
	s->peer = fd[1];
	s->sent_seed = s->peer_seed = 4711;
	s->size_seed = 42;
	s->read_size = 100;
	ck_assert_int_eq(transport_start(&s->t, s->loop, &side_events, fd[0], NULL), 0);
	s->peer_ev = event_new(loop_base(s->loop), fd[1], EV_READ | EV_PERSIST, side_on_peer, s);
	return s;
}

static struct side *
side_new_unix(void)
{
	int fd[2];

	unit_unix_pair(fd);
	return side_new(fd);
}

static struct side *
side_new_tcp(void)
{
	int fd[2];

	unit_tcp_pair(fd);
	return side_new(fd);
}

static void
side_small_buffers(struct side *s)
{
	int size = 2048;

	setsockopt(s->t.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void
side_peer_reset(struct side *s)
{
	event_del(s->peer_ev);
	unit_reset(s->peer);
	s->peer = -1;
}

static void
side_free(struct side *s)
{
	transport_close(&s->t, false);
	event_free(s->peer_ev);
	if (s->peer != -1)
		close(s->peer);
	loop_free(s->loop);
	mem_free(s);
}

static int
side_write(struct side *s, const void *p, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	int rc;

	s->in_down_call = true;
	rc = transport_write(&s->t, &iov, 1);
	s->in_down_call = false;
	return rc;
}

START_TEST(transport_reads_at_most_what_was_asked_for)
{
	struct side *s = side_new_unix();

	s->read_size = 3;
	s->stop_on_got = 10;
	ck_assert_int_eq(send(s->peer, "0123456789", 10, 0), 10);
	unit_loop_run(s->loop);
	ck_assert_mem_eq(s->got, "0123456789", 10);
	ck_assert_uint_eq(s->readable, 4);
	ck_assert_int_eq(transport_read(&s->t, s->got, 3, &s->got_n, NULL), IO_AGAIN);
	ck_assert_ptr_null(transport_tls_version(&s->t));
	ck_assert_str_eq(transport_alpn(&s->t), "");
	side_free(s);
}
END_TEST

/* The owner of a transport that moves with its first bytes. */
struct mover {
	struct transport t;
	struct side *to;
	bool moved;
};

static void
mover_on_readable(struct transport *t)
{
	struct mover *m = (struct mover *)t;
	uint8_t p[3];
	size_t n = 0;

	ck_assert(!m->moved);
	ck_assert_int_eq(transport_read(t, p, sizeof(p), &n, NULL), IO_OK);
	ck_assert_uint_eq(n, 3);
	m->moved = true;
	transport_move(&m->to->t, t, &side_events);
	ck_assert(transport_closed(t));
}

static const struct transport_events mover_events = {
	.ready = side_on_ready,
	.readable = mover_on_readable,
	.drained = side_on_drained,
	.failed = side_on_failed,
};

/* warm: it has an event of its own when it moves, as bytes wait. */
static void
check_move(bool warm)
{
	struct mover m = { .moved = false };
	struct side *s;
	int fd[2];

	unit_unix_pair(fd);
	s = side_new(fd);
	m.to = s;
	transport_move(&m.t, &s->t, &mover_events);
	ck_assert(transport_closed(&s->t));
	ck_assert_ptr_eq(m.t.loop, s->loop);
	if (warm) {
		uint8_t zero[100000] = { 0 };
		struct iovec iov = { zero, sizeof(zero) };

		while (transport_queued(&m.t) == 0)
			ck_assert_int_eq(transport_write(&m.t, &iov, 1), 0);
	}
	s->read_size = 4;
	s->stop_on_got = 7;
	ck_assert_int_eq(send(s->peer, "0123456789", 10, 0), 10);
	unit_loop_run(s->loop);
	ck_assert(m.moved);
	ck_assert_mem_eq(s->got, "3456789", 7);
	ck_assert((transport_queued(&s->t) > 0) == warm);
	ck_assert_uint_eq(transport_queued(&m.t), 0);
	transport_close(&m.t, false); /* nothing */
	ck_assert(!transport_closed(&s->t));
	side_free(s);
}

START_TEST(transport_moves_to_another_owner_with_all_that_waits)
{
	check_move(false);
	check_move(true);
}
END_TEST

START_TEST(transport_reports_eof_and_then_is_quiet)
{
	struct side *s = side_new_tcp();
	size_t n;

	ck_assert_int_eq(send(s->peer, "bye", 3, 0), 3);
	shutdown(s->peer, SHUT_WR);
	s->stop_on_read_end = true;
	unit_loop_run(s->loop);
	ck_assert_int_eq(s->read_status, IO_EOF);
	ck_assert_uint_eq(s->got_n, 3);
	ck_assert_uint_eq(s->readable, 2);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->readable, 2);
	ck_assert_int_eq(transport_read(&s->t, s->got, 1, &n, NULL), IO_EOF);
	/* the other direction still works */
	s->to_send = s->stop_on_peer_got = 1000;
	event_add(s->peer_ev, NULL);
	side_pump(s);
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->failed, 0);
	side_free(s);
}
END_TEST

START_TEST(transport_writes_at_once)
{
	struct side *s = side_new_unix();
	char got[16];

	ck_assert_int_eq(side_write(s, "", 0), 0);
	ck_assert_int_eq(side_write(s, "hello", 5), 0);
	ck_assert_uint_eq(transport_queued(&s->t), 0);
	ck_assert_int_eq(recv(s->peer, got, sizeof(got), 0), 5);
	ck_assert_mem_eq(got, "hello", 5);
	unit_loop_turns(s->loop, 3);
	ck_assert_uint_eq(s->drained, 0); /* nothing was refused */
	side_free(s);
}
END_TEST

START_TEST(transport_queues_what_the_kernel_refuses_and_tells_when_drained)
{
	struct side *s = side_new_unix();
	size_t queued;

	side_small_buffers(s);
	s->to_send = SIZE_MAX;
	side_pump(s);
	queued = transport_queued(&s->t);
	ck_assert_uint_gt(queued, 0);
	s->to_send = s->sent;
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(transport_queued(&s->t), queued);
	ck_assert_uint_eq(s->drained, 0);
	s->stop_on_drained = true;
	event_add(s->peer_ev, NULL);
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->drained, 1);
	s->stop_on_drained = false;
	s->stop_on_peer_got = s->sent;
	if (s->peer_got < s->sent)
		unit_loop_run(s->loop);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->drained, 1);
	side_free(s);
}
END_TEST

/* All bytes come, whole and in order, when most writes are partial. */
static void
transport_test_stream(struct side *s, size_t bytes)
{
	side_small_buffers(s);
	s->to_send = s->stop_on_peer_got = bytes;
	s->write_on_drained = true;
	event_add(s->peer_ev, NULL);
	side_pump(s);
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->peer_got, bytes);
	ck_assert_uint_eq(transport_queued(&s->t), 0);
	ck_assert_uint_gt(s->drained, 10);
	ck_assert_uint_eq(s->failed, 0);
	side_free(s);
}

START_TEST(transport_keeps_bytes_exact_over_partial_writes_unix)
{
	transport_test_stream(side_new_unix(), 1 << 20);
}
END_TEST

START_TEST(transport_keeps_bytes_exact_over_partial_writes_tcp)
{
	transport_test_stream(side_new_tcp(), 1 << 20);
}
END_TEST

START_TEST(transport_keeps_order_of_a_long_queue)
{
	struct side *s = side_new_unix();
	uint8_t data[2500];
	size_t n;

	side_small_buffers(s);
	/* Many blocks, more than go out with one call. */
	for (int i = 0; i < 400; i++) {
		n = unit_random(&s->size_seed) % sizeof(data);
		side_bytes(&s->sent_seed, data, n);
		ck_assert_int_eq(side_write(s, data, n), 0);
		s->sent += n;
	}
	ck_assert_uint_gt(transport_queued(&s->t), 100000);
	s->stop_on_peer_got = s->sent;
	event_add(s->peer_ev, NULL);
	unit_loop_run(s->loop);
	unit_loop_turns(s->loop, 2);
	ck_assert_uint_eq(s->drained, 1);
	side_free(s);
}
END_TEST

/* Until the kernel has the RST or the FIN. */
static void
transport_test_wait_end(int fd)
{
	struct timeval tv = { .tv_sec = UNIT_IO_DEADLINE_MS / 1000 };
	fd_set r;

	FD_ZERO(&r);
	FD_SET(fd, &r);
	ck_assert_int_eq(select(fd + 1, &r, NULL, NULL, &tv), 1);
}

START_TEST(transport_tells_of_a_failed_write_once_and_from_the_loop)
{
	struct side *s = side_new_tcp();

	transport_want_read(&s->t, false);
	side_peer_reset(s);
	transport_test_wait_end(s->t.fd);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	ck_assert_uint_eq(s->failed, 0);
	s->stop_on_failed = true;
	unit_loop_run(s->loop);
	ck_assert_str_eq(s->why, "Connection reset by peer");
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	transport_want_read(&s->t, true);
	transport_fin(&s->t);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->failed, 1);
	ck_assert_uint_eq(s->readable, 0);
	side_free(s);
}
END_TEST

START_TEST(transport_tells_of_a_failed_write_after_the_peers_fin)
{
	struct side *s = side_new_tcp();

	shutdown(s->peer, SHUT_WR);
	s->stop_on_read_end = true;
	unit_loop_run(s->loop);
	ck_assert_int_eq(s->read_status, IO_EOF);
	side_peer_reset(s);
	transport_test_wait_end(s->t.fd);
	while (side_write(s, "x", 1) == 0)
		continue;
	s->stop_on_failed = true;
	unit_loop_run(s->loop);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->failed, 1);
	side_free(s);
}
END_TEST

START_TEST(transport_tells_of_a_reset_while_bytes_wait)
{
	struct side *s = side_new_tcp();

	side_small_buffers(s);
	transport_want_read(&s->t, false);
	s->to_send = SIZE_MAX;
	side_pump(s);
	side_peer_reset(s);
	s->stop_on_failed = true;
	unit_loop_run(s->loop);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->failed, 1);
	ck_assert_uint_eq(s->drained, 0);
	side_free(s);
}
END_TEST

START_TEST(transport_read_reports_a_reset)
{
	struct side *s = side_new_tcp();

	side_peer_reset(s);
	s->stop_on_read_end = true;
	unit_loop_run(s->loop);
	ck_assert_int_eq(s->read_status, IO_ERROR);
	ck_assert_str_eq(s->read_why, "Connection reset by peer");
	/* The owner knows; a write that fails now is not a second failure. */
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->failed, 0);
	ck_assert_uint_eq(s->readable, 1);
	side_free(s);
}
END_TEST

START_TEST(transport_fin_follows_queued_bytes)
{
	struct side *s = side_new_tcp();

	side_small_buffers(s);
	s->to_send = SIZE_MAX;
	side_pump(s);
	ck_assert_uint_gt(transport_queued(&s->t), 0);
	transport_fin(&s->t);
	transport_fin(&s->t);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	event_add(s->peer_ev, NULL);
	unit_loop_run(s->loop);
	ck_assert(s->peer_eof);
	ck_assert_uint_eq(s->peer_got, s->sent);
	ck_assert_uint_eq(s->drained, 1);
	/* the peer's bytes still come */
	s->stop_on_got = 3;
	ck_assert_int_eq(send(s->peer, "end", 3, 0), 3);
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->failed, 0);
	side_free(s);
}
END_TEST

START_TEST(transport_fin_is_sent_at_once_when_nothing_waits)
{
	struct side *s = side_new_unix();
	char c;

	transport_fin(&s->t);
	ck_assert_int_eq(recv(s->peer, &c, 1, 0), 0);
	side_free(s);
}
END_TEST

START_TEST(transport_does_not_read_while_it_is_not_wanted)
{
	struct side *s = side_new_unix();

	transport_want_read(&s->t, false);
	ck_assert_int_eq(send(s->peer, "12345", 5, 0), 5);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->readable, 0);
	transport_want_read(&s->t, true);
	transport_want_read(&s->t, true);
	s->stop_on_got = 5;
	unit_loop_run(s->loop);
	ck_assert_mem_eq(s->got, "12345", 5);
	/* off and on within a turn is on; on and off is off */
	transport_want_read(&s->t, false);
	transport_want_read(&s->t, true);
	transport_want_read(&s->t, false);
	ck_assert_int_eq(send(s->peer, "6", 1, 0), 1);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->got_n, 5);
	transport_want_read(&s->t, true);
	s->stop_on_got = 6;
	unit_loop_run(s->loop);
	side_free(s);
}
END_TEST

START_TEST(transport_drains_while_reading_is_not_wanted)
{
	struct side *s = side_new_unix();

	side_small_buffers(s);
	transport_want_read(&s->t, false);
	ck_assert_int_eq(send(s->peer, "12345", 5, 0), 5);
	s->to_send = SIZE_MAX;
	side_pump(s);
	event_add(s->peer_ev, NULL);
	s->stop_on_drained = true;
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->readable, 0);
	side_free(s);
}
END_TEST

static void
transport_test_closed(struct side *s)
{
	unsigned readable = s->readable, drained = s->drained, failed = s->failed;
	size_t n;

	ck_assert(transport_closed(&s->t));
	ck_assert_uint_eq(transport_queued(&s->t), 0);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	ck_assert_int_eq(transport_read(&s->t, s->got, 1, &n, NULL), IO_EOF);
	transport_want_read(&s->t, false);
	transport_want_read(&s->t, true);
	transport_fin(&s->t);
	transport_close(&s->t, true);
	unit_loop_turns(s->loop, 5);
	ck_assert_uint_eq(s->readable, readable);
	ck_assert_uint_eq(s->drained, drained);
	ck_assert_uint_eq(s->failed, failed);
	side_free(s);
}

START_TEST(transport_may_be_closed_in_readable)
{
	struct side *s = side_new_unix();
	int fd = s->t.fd;

	side_small_buffers(s);
	s->to_send = SIZE_MAX;
	side_pump(s); /* writable in the same turn, too */
	event_add(s->peer_ev, NULL);
	s->close_in = CLOSE_IN_READABLE;
	ck_assert_int_eq(send(s->peer, "x", 1, 0), 1);
	unit_loop_run(s->loop);
	event_del(s->peer_ev);
	ck_assert(!unit_fd_open(fd));
	ck_assert_uint_eq(s->readable, 1);
	transport_test_closed(s);
}
END_TEST

START_TEST(transport_may_be_closed_in_drained)
{
	struct side *s = side_new_unix();
	char buf[4096];

	side_small_buffers(s);
	s->to_send = SIZE_MAX;
	side_pump(s);
	while (recv(s->peer, buf, sizeof(buf), 0) > 0)
		continue;
	ck_assert_int_eq(send(s->peer, "x", 1, 0), 1); /* readable in the same turn, too */
	s->close_in = CLOSE_IN_DRAINED;
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->drained, 1);
	transport_test_closed(s);
}
END_TEST

START_TEST(transport_may_be_closed_in_failed)
{
	struct side *s = side_new_tcp();

	transport_want_read(&s->t, false);
	side_peer_reset(s);
	transport_test_wait_end(s->t.fd);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	s->close_in = CLOSE_IN_FAILED;
	unit_loop_run(s->loop);
	ck_assert_uint_eq(s->failed, 1);
	transport_test_closed(s);
}
END_TEST

START_TEST(transport_is_silent_when_closed_before_the_failure_was_told)
{
	struct side *s = side_new_tcp();

	transport_want_read(&s->t, false);
	side_peer_reset(s);
	transport_test_wait_end(s->t.fd);
	ck_assert_int_eq(side_write(s, "x", 1), -1);
	transport_close(&s->t, false);
	ck_assert_uint_eq(s->failed, 0);
	transport_test_closed(s);
}
END_TEST

START_TEST(transport_close_sends_a_fin_or_a_reset)
{
	struct side *s;
	char c;

	s = side_new_tcp();
	transport_close(&s->t, false);
	transport_test_wait_end(s->peer);
	ck_assert_int_eq(recv(s->peer, &c, 1, 0), 0);
	side_free(s);
	s = side_new_tcp();
	transport_close(&s->t, true);
	transport_test_wait_end(s->peer);
	ck_assert_int_eq(recv(s->peer, &c, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	side_free(s);
}
END_TEST

START_TEST(transport_that_cannot_start_closes_the_fd)
{
	struct loop *l = loop_new();
	struct transport t;
	int fd = open("/dev/null", O_RDWR); /* nothing that can be waited for */

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(transport_start(&t, l, &side_events, fd, NULL), -1);
	ck_assert(transport_closed(&t));
	ck_assert(!unit_fd_open(fd));
	transport_close(&t, true);
	loop_free(l);
}
END_TEST

START_TEST(transport_that_cannot_queue_fails_once)
{
	struct side *s;
	uint8_t data[700];

	/* The queue, its first block, or a later one cannot be had; for the event there is a reserve. */
	for (unsigned long nth = 1; nth <= 6; nth += nth < 2 ? 1 : 4) {
		s = side_new_unix();
		side_small_buffers(s);
		memset(data, 0, sizeof(data));
		mem_fail_nth(nth);
		while (side_write(s, data, sizeof(data)) == 0)
			ck_assert_uint_le(transport_queued(&s->t), nth * 2048);
		ck_assert_int_eq(mem_fail_pending(), 0);
		ck_assert_uint_eq(s->failed, 0);
		s->stop_on_failed = true;
		unit_loop_run(s->loop);
		ck_assert_str_eq(s->why, "Cannot allocate memory");
		unit_loop_turns(s->loop, 5);
		ck_assert_uint_eq(s->failed, 1);
		side_free(s);
	}
}
END_TEST

START_TEST(transport_survives_random_use)
{
	struct side *s;
	uint32_t seed = 99;
	uint8_t data[4000];
	int rc;

	for (int round = 0; round < 200; round++) {
		s = round % 2 != 0 ? side_new_tcp() : side_new_unix();
		side_small_buffers(s);
		s->read_size = 1;
		event_add(s->peer_ev, NULL);
		for (int step = 0; step < 30; step++) {
			size_t n = unit_random(&seed) % sizeof(data);

			switch (unit_random(&seed) % 8) {
			case 0:
				transport_want_read(&s->t, unit_random(&seed) % 2);
				break;
			case 1:
				if (s->peer != -1)
					rc = (int)send(s->peer, "abc", 3, MSG_NOSIGNAL);
				break;
			case 2:
				unit_loop_turns(s->loop, 1 + unit_random(&seed) % 3);
				break;
			case 3:
				if (unit_random(&seed) % 16 == 0)
					transport_fin(&s->t);
				break;
			case 4:
				if (unit_random(&seed) % 16 == 0 && s->peer != -1)
					side_peer_reset(s);
				break;
			default:
				if (transport_closed(&s->t) || s->t.fin_wanted)
					break;
				side_bytes(&s->sent_seed, data, n);
				rc = side_write(s, data, n);
				if (rc == -1)
					step = 30; /* the stream has a hole now */
				break;
			}
		}
		ck_assert_uint_le(s->failed, 1);
		side_free(s);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		transport_reads_at_most_what_was_asked_for,
		transport_moves_to_another_owner_with_all_that_waits,
		transport_reports_eof_and_then_is_quiet,
		transport_writes_at_once,
		transport_queues_what_the_kernel_refuses_and_tells_when_drained,
		transport_keeps_bytes_exact_over_partial_writes_unix,
		transport_keeps_bytes_exact_over_partial_writes_tcp,
		transport_keeps_order_of_a_long_queue,
		transport_tells_of_a_failed_write_once_and_from_the_loop,
		transport_tells_of_a_failed_write_after_the_peers_fin,
		transport_tells_of_a_reset_while_bytes_wait,
		transport_read_reports_a_reset,
		transport_fin_follows_queued_bytes,
		transport_fin_is_sent_at_once_when_nothing_waits,
		transport_does_not_read_while_it_is_not_wanted,
		transport_drains_while_reading_is_not_wanted,
		transport_may_be_closed_in_readable,
		transport_may_be_closed_in_drained,
		transport_may_be_closed_in_failed,
		transport_is_silent_when_closed_before_the_failure_was_told,
		transport_close_sends_a_fin_or_a_reset,
		transport_that_cannot_start_closes_the_fd,
		transport_that_cannot_queue_fails_once,
		transport_survives_random_use,
	};

	return unit_run("transport", cases, UNIT_COUNT(cases));
}
