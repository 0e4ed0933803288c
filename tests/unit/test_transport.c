/*
 * Unit tests of src/io/transport.[ch] in the clear (TLS: test_tls.c): what is read and written.
 */
#include <stdlib.h>

#include "unit_transport.h"

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
		transport_does_not_read_while_it_is_not_wanted,
		transport_drains_while_reading_is_not_wanted,
		transport_survives_random_use,
	};

	return unit_run("transport", cases, UNIT_COUNT(cases));
}
