/*
 * Unit tests of src/io/transport.[ch] in the clear: how a connection ends, breaks and is closed.
 */
#include "base/mem.h"
#include "unit_transport.h"

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

	/*
	 * The queue, its first block, or a later one cannot be had; for the event there is a
	 * reserve.
	 */
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

int
main(void)
{
	const TTest *const cases[] = {
		transport_tells_of_a_failed_write_once_and_from_the_loop,
		transport_tells_of_a_failed_write_after_the_peers_fin,
		transport_tells_of_a_reset_while_bytes_wait,
		transport_read_reports_a_reset,
		transport_fin_follows_queued_bytes,
		transport_fin_is_sent_at_once_when_nothing_waits,
		transport_may_be_closed_in_readable,
		transport_may_be_closed_in_drained,
		transport_may_be_closed_in_failed,
		transport_is_silent_when_closed_before_the_failure_was_told,
		transport_close_sends_a_fin_or_a_reset,
		transport_that_cannot_start_closes_the_fd,
		transport_that_cannot_queue_fails_once,
	};

	return unit_run("transport_end", cases, UNIT_COUNT(cases));
}
