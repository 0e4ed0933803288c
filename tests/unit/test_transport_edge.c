/*
 * Unit tests of src/io/transport.[ch] and poller.[ch]: the kernel tells of each thing once, and
 * nothing of it is lost, whatever was left in the socket, and why.  A lost edge is a loop that
 * never stops.
 */
#include <stdlib.h>

#include <openssl/ssl.h>

#include "base/mem.h"
#include "io/poller.h"
#include "io/transport.h"
#include "unit_io.h"
#include "unit_tls.h"

/* A transport that reads, and its peer's end, which the test writes to. */
struct end {
	struct transport t;
	struct loop *loop;
	int peer;	  /* -1: closed */
	size_t read_size; /* bytes a read; 0: does not read */
	uint32_t seed;	  /* of the stream that is expected */
	size_t got, stop_on_got;
	unsigned readable, drained, failed, reads;
	enum io_status last;
	bool stop_on_end, stop_on_drained;
	void (*hook)(struct end *e); /* instead of a read */
};

static void
end_bytes(uint32_t *seed, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)unit_random(seed);
}

static void
end_read(struct end *e)
{
	uint8_t got[70000], want[70000];
	size_t n = 0;

	ck_assert_uint_le(e->read_size, sizeof(got));
	e->reads++;
	e->last = transport_read(&e->t, got, e->read_size, &n, NULL);
	if (e->last == IO_OK) {
		end_bytes(&e->seed, want, n);
		ck_assert_mem_eq(got, want, n);
		e->got += n;
		if (e->stop_on_got != 0 && e->got >= e->stop_on_got)
			loop_stop(e->loop);
	} else if (e->last != IO_AGAIN && e->stop_on_end) {
		loop_stop(e->loop);
	}
}

static void
end_on_ready(struct transport *t)
{
	(void)t;
}

static void
end_on_readable(struct transport *t)
{
	struct end *e = (struct end *)t;

	e->readable++;
	if (e->hook != NULL)
		e->hook(e);
	else if (e->read_size > 0)
		end_read(e);
}

static void
end_on_drained(struct transport *t)
{
	struct end *e = (struct end *)t;

	e->drained++;
	if (e->stop_on_drained)
		loop_stop(e->loop);
}

static void
end_on_failed(struct transport *t, const char *why)
{
	struct end *e = (struct end *)t;

	(void)why;
	e->failed++;
	loop_stop(e->loop);
}

static const struct transport_events end_events = {
	.ready = end_on_ready,
	.readable = end_on_readable,
	.drained = end_on_drained,
	.failed = end_on_failed,
};

static void
end_start(struct end *e, struct loop *l, const int fd[2], struct tls_ctx *ctx)
{
	memset(e, 0, sizeof(*e));
	e->loop = l;
	e->peer = fd[1];
	e->read_size = 1000;
	e->seed = 4711;
	e->stop_on_end = true;
	ck_assert_int_eq(transport_start(&e->t, l, &end_events, fd[0], ctx), 0);
}

/* Both kinds of sockets: a case runs once for each. */
static void
end_new(struct end *e, bool tcp)
{
	struct loop *l = loop_new();
	int fd[2];

	ck_assert_ptr_nonnull(l);
	if (tcp)
		unit_tcp_pair(fd);
	else
		unit_unix_pair(fd);
	end_start(e, l, fd, NULL);
}

static void
end_clear(struct end *e)
{
	transport_close(&e->t, false);
	if (e->peer != -1)
		close(e->peer);
	loop_free(e->loop);
}

/* The next n bytes of the stream, from its peer. */
static void
end_send(struct end *e, uint32_t *seed, size_t n)
{
	uint8_t p[70000];

	ck_assert_uint_le(n, sizeof(p));
	end_bytes(seed, p, n);
	ck_assert_int_eq(send(e->peer, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void
end_peer_close(struct end *e)
{
	close(e->peer);
	e->peer = -1;
}

START_TEST(edge_a_filled_read_is_followed_by_another)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, tcp);
		e.read_size = 100;
		end_send(&e, &seed, 10000);
		e.stop_on_got = 10000;
		unit_loop_run(e.loop);
		ck_assert_uint_eq(e.reads, 100);
		end_clear(&e);
	}
}
END_TEST

START_TEST(edge_a_short_read_needs_no_other)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, tcp);
		for (unsigned i = 1; i <= 3; i++) {
			end_send(&e, &seed, 125);
			unit_loop_turns(e.loop, 5);
			ck_assert_uint_eq(e.got, 125 * i);
			ck_assert_uint_eq(e.reads, i);
		}
		end_clear(&e);
	}
}
END_TEST

START_TEST(edge_data_and_end_at_once_are_both_read)
{
	for (int i = 0; i < 8; i++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, i & 1);
		e.read_size = (i & 4) != 0 ? 125 : 1000;
		end_send(&e, &seed, 125);
		if ((i & 2) != 0)
			shutdown(e.peer, SHUT_WR);
		else
			end_peer_close(&e);
		unit_loop_run(e.loop);
		ck_assert_uint_eq(e.got, 125);
		ck_assert_int_eq(e.last, IO_EOF);
		e.readable = 0;
		unit_loop_turns(e.loop, 5);
		ck_assert_uint_eq(e.readable, 0);
		end_clear(&e);
	}
}
END_TEST

START_TEST(edge_an_end_behind_a_read_is_told)
{
	for (int i = 0; i < 4; i++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, i & 1);
		end_send(&e, &seed, 125);
		unit_loop_turns(e.loop, 5);
		ck_assert_uint_eq(e.got, 125);
		if ((i & 2) != 0)
			shutdown(e.peer, SHUT_WR);
		else
			end_peer_close(&e);
		unit_loop_run(e.loop);
		ck_assert_int_eq(e.last, IO_EOF);
		end_clear(&e);
	}
}
END_TEST

START_TEST(edge_data_and_reset_at_once_are_told)
{
	uint32_t seed = 4711;
	struct end e;

	end_new(&e, true);
	end_send(&e, &seed, 125);
	unit_reset(e.peer);
	e.peer = -1;
	unit_loop_run(e.loop);
	ck_assert_int_eq(e.last, IO_ERROR);
	end_clear(&e);
}
END_TEST

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	bool rang;
};

static void
alarm_on_timer(struct loop_timer *t)
{
	struct alarm *a = (struct alarm *)t;

	a->rang = true;
	loop_stop(a->loop);
}

static void
alarm_set(struct alarm *a, struct loop *l, uint64_t in_ms)
{
	memset(a, 0, sizeof(*a));
	a->timer.fn = alarm_on_timer;
	a->loop = l;
	loop_timer_arm(l, &a->timer, loop_now_ms(l) + in_ms);
}

/* A callback that does not read comes again in each turn, and starves nothing else. */
START_TEST(edge_who_does_not_read_is_called_again_and_starves_nobody)
{
	struct end e, other;
	struct alarm a;
	uint32_t seed = 4711;
	int fd[2];

	end_new(&e, false);
	unit_unix_pair(fd);
	end_start(&other, e.loop, fd, NULL);
	e.read_size = 0;
	end_send(&e, &seed, 125);
	alarm_set(&a, e.loop, 20);
	unit_loop_run(e.loop);
	ck_assert(a.rang);
	ck_assert_uint_ge(e.readable, 10);
	seed = 4711;
	end_send(&other, &seed, 500);
	other.stop_on_got = 500;
	unit_loop_run(e.loop);
	e.read_size = 1000;
	e.stop_on_got = 125;
	unit_loop_run(e.loop);
	e.readable = 0;
	unit_loop_turns(e.loop, 5);
	ck_assert_uint_eq(e.readable, 0);
	transport_close(&other.t, false);
	close(other.peer);
	end_clear(&e);
}
END_TEST

START_TEST(edge_what_came_during_a_hold_is_read_after_it)
{
	for (int i = 0; i < 8; i++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, i & 1);
		unit_loop_turns(e.loop, 2);
		transport_want_read(&e.t, false);
		end_send(&e, &seed, 125);
		if ((i & 2) != 0)
			unit_loop_turns(e.loop, 3); /* the kernel has told */
		end_send(&e, &seed, 125);
		if ((i & 4) != 0)
			shutdown(e.peer, SHUT_WR);
		unit_loop_turns(e.loop, 3);
		ck_assert_uint_eq(e.readable, 0);
		transport_want_read(&e.t, true);
		ck_assert_uint_eq(e.readable, 0); /* not within the down-call */
		e.stop_on_got = (i & 4) != 0 ? 0 : 250;
		unit_loop_run(e.loop);
		ck_assert_uint_eq(e.got, 250);
		if ((i & 4) != 0)
			ck_assert_int_eq(e.last, IO_EOF);
		end_clear(&e);
	}
}
END_TEST

static void
hook_hold_with_some_left(struct end *e)
{
	e->read_size = 50;
	end_read(e);
	transport_want_read(&e->t, false);
	e->hook = NULL;
}

static void
hook_off_and_on(struct end *e)
{
	transport_want_read(&e->t, false);
	transport_want_read(&e->t, true);
	e->hook = hook_hold_with_some_left;
}

START_TEST(edge_what_a_held_reader_left_is_read_after_the_hold)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, tcp);
		e.hook = hook_off_and_on;
		end_send(&e, &seed, 1000);
		unit_loop_turns(e.loop, 10);
		ck_assert_uint_eq(e.got, 50);
		ck_assert_uint_eq(e.readable, 2);
		for (unsigned i = 2; i <= 5; i++) {
			e.hook = hook_hold_with_some_left;
			transport_want_read(&e.t, true);
			unit_loop_turns(e.loop, 10);
			ck_assert_uint_eq(e.got, 50 * i);
		}
		transport_want_read(&e.t, true);
		e.stop_on_got = 1000;
		unit_loop_run(e.loop);
		end_clear(&e);
	}
}
END_TEST

static void
hook_peek(struct end *e)
{
	uint8_t p[1000];
	size_t n = 0;

	ck_assert_int_eq(transport_peek(&e->t, p, sizeof(p), &n, NULL), IO_OK);
	if (e->readable == 3)
		e->hook = NULL;
}

START_TEST(edge_a_peek_has_read_nothing)
{
	uint32_t seed = 4711;
	struct end e;

	end_new(&e, true);
	e.hook = hook_peek;
	end_send(&e, &seed, 125);
	e.stop_on_got = 125;
	unit_loop_run(e.loop);
	ck_assert_uint_eq(e.readable, 4);
	end_clear(&e);
}
END_TEST

/* Urgent data (RFC 9293 3.8.5) cuts a read short, and more stands behind it. */
START_TEST(edge_an_urgent_byte_hides_nothing)
{
	uint32_t seed = 4711;
	struct end e;

	end_new(&e, true);
	end_send(&e, &seed, 100);
	ck_assert_int_eq(send(e.peer, "!", 1, MSG_OOB), 1);
	end_send(&e, &seed, 100);
	e.stop_on_got = 200;
	unit_loop_run(e.loop);
	end_clear(&e);
}
END_TEST

START_TEST(edge_one_event_empties_a_queue_of_many_pieces)
{
	int small = 2048;

	for (int tcp = 0; tcp < 2; tcp++) {
		static uint8_t data[3000];
		struct iovec iov = { data, sizeof(data) };
		static uint8_t got[400000];
		size_t sent = 0, n = 0;
		struct end e;

		end_new(&e, tcp);
		setsockopt(e.t.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		/*
		 * A queue of more pieces than one call takes, and of fewer bytes than the peer's
		 * socket does.
		 */
		while (transport_queued(&e.t) < 100000) {
			ck_assert_int_eq(transport_write(&e.t, &iov, 1), 0);
			sent += sizeof(data);
		}
		small = 4000000;
		setsockopt(e.t.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		small = 2048;
		e.stop_on_drained = true;
		while (n < sent && e.drained == 0) {
			ssize_t r = recv(e.peer, got, sizeof(got), 0);

			if (r > 0)
				n += (size_t)r;
			unit_loop_turns(e.loop, 1);
		}
		ck_assert_uint_eq(transport_queued(&e.t), 0);
		ck_assert_uint_eq(e.drained, 1);
		end_clear(&e);
	}
}
END_TEST

struct mover {
	struct transport t;
	struct end *to;
	bool read;
};

static void
mover_on_readable(struct transport *t)
{
	struct mover *m = (struct mover *)t;
	uint8_t got[100], want[100];
	size_t n;

	if (m->read) {
		ck_assert_int_eq(transport_read(t, got, sizeof(got), &n, NULL), IO_OK);
		end_bytes(&m->to->seed, want, n);
		ck_assert_mem_eq(got, want, n);
		m->to->got += n;
	}
	transport_move(&m->to->t, t, &end_events);
}

static const struct transport_events mover_events = {
	.ready = end_on_ready,
	.readable = mover_on_readable,
	.drained = end_on_drained,
	.failed = end_on_failed,
};

START_TEST(edge_what_the_first_owner_left_is_the_next_ones)
{
	for (int i = 0; i < 12; i++) {
		struct mover m = { .read = (i & 1) != 0 };
		uint32_t seed = 4711;
		struct end e;

		end_new(&e, (i & 2) != 0);
		m.to = &e;
		transport_move(&m.t, &e.t, &mover_events);
		if (i < 4) {
			end_send(&e, &seed, 300);
		} else if (i < 8) {
			/* An end behind it. */
			end_send(&e, &seed, 300);
			shutdown(e.peer, SHUT_WR);
		} else {
			/* Moved while it is on the list. */
			transport_want_read(&m.t, false);
			end_send(&e, &seed, 300);
			unit_loop_turns(e.loop, 3);
			transport_want_read(&m.t, true);
			transport_move(&e.t, &m.t, &end_events);
		}
		e.stop_on_got = i < 4 || i >= 8 ? 300 : 0;
		unit_loop_run(e.loop);
		ck_assert_uint_eq(e.got, 300);
		end_clear(&e);
	}
}
END_TEST

START_TEST(edge_each_packet_is_read)
{
	uint32_t seed = 4711;
	struct loop *l = loop_new();
	struct end e;
	int fd[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	end_start(&e, l, fd, NULL);
	ck_assert_uint_ge(transport_set_packets(&e.t, 1000), 1000);
	for (unsigned i = 1; i <= 10; i++)
		end_send(&e, &seed, 10 * i);
	end_peer_close(&e);
	unit_loop_run(l);
	ck_assert_uint_eq(e.got, 550);
	ck_assert_int_eq(e.last, IO_EOF);
	end_clear(&e);
}
END_TEST

/*
 * The list of those that have their turn grows with them; without memory the kernel's help is
 * enough.
 */
START_TEST(edge_many_have_their_turn_without_memory_too)
{
	enum { MANY = 300 };
	struct loop *l = loop_new();
	struct end *v[MANY];
	int fd[2];

	for (int memory = 0; memory < 2; memory++) {
		for (int i = 0; i < MANY; i++) {
			uint32_t seed = 4711;

			ck_assert_ptr_nonnull(v[i] = mem_alloc(sizeof(*v[i])));
			unit_unix_pair(fd);
			end_start(v[i], l, fd, NULL);
			v[i]->read_size = 10;
			end_send(v[i], &seed, 35);
		}
		/* All are on the list together, and some are closed there. */
		if (memory == 0)
			mem_fail_nth(1);
		unit_loop_turns(l, 2);
		ck_assert_int_eq(mem_fail_pending(), 0);
		for (int i = 0; i < MANY; i++) {
			if (i % 7 != 0)
				continue;
			ck_assert_uint_lt(v[i]->got, 35);
			transport_close(&v[i]->t, false);
			close(v[i]->peer);
			mem_free(v[i]);
		}
		unit_loop_turns(l, 10);
		for (int i = 0; i < MANY; i++) {
			if (i % 7 == 0)
				continue;
			ck_assert_uint_eq(v[i]->got, 35);
			transport_close(&v[i]->t, false);
			close(v[i]->peer);
			mem_free(v[i]);
		}
	}
	loop_free(l);
}
END_TEST

/* ---- what libevent has, and sleep */

static void
hook_return_the_ball(struct end *e)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	uint8_t c;
	size_t n;

	if (transport_read(&e->t, &c, 1, &n, NULL) == IO_OK)
		ck_assert_int_eq(transport_write(&e->t, &iov, 1), 0);
}

START_TEST(edge_busy_sockets_leave_the_rest_its_turn_and_silent_ones_sleep)
{
	struct loop *l = loop_new();
	struct end a, b;
	struct alarm alarm;
	uint32_t turn;
	int fd[2];

	unit_unix_pair(fd);
	end_start(&a, l, fd, NULL);
	fd[0] = a.peer;
	a.peer = fd[1] = -1;
	end_start(&b, l, fd, NULL);
	a.hook = b.hook = hook_return_the_ball;
	ck_assert_int_eq(send(b.t.fd, "x", 1, 0), 1);
	/* The mailbox is libevent's. */
	for (int i = 0; i < 5; i++)
		unit_loop_turns(l, 30);
	ck_assert_uint_ge(a.readable, 100);
	/*
	 * The ball is held: a turn for the alarm, and few that were under way or belong to the
	 * wheel.
	 */
	transport_want_read(&a.t, false);
	transport_want_read(&b.t, false);
	unit_loop_turns(l, 5);
	turn = loop_turn(l);
	alarm_set(&alarm, l, 300);
	unit_loop_run(l);
	ck_assert(alarm.rang);
	ck_assert_uint_le(loop_turn(l) - turn, 20);
	transport_close(&b.t, false);
	end_clear(&a);
}
END_TEST

/* ---- TLS */

struct tls_peer {
	struct end e;
	SSL *ssl;
	SSL_CTX *client;
	struct tls_ctx *ctx;
};

/* settled: the server's last words, its tickets, are read, so that no reset answers them. */
static void
tls_peer_open(struct tls_peer *p, bool settled)
{
	struct loop *l = loop_new();
	int fd[2], rc;
	char c;

	p->ctx = ut_plain_ctx();
	p->client = ut_client_ctx();
	unit_tcp_pair(fd);
	end_start(&p->e, l, fd, p->ctx);
	p->ssl = SSL_new(p->client);
	SSL_set_fd(p->ssl, fd[1]);
	for (int i = 0; i < 100 && (rc = SSL_connect(p->ssl)) != 1; i++)
		unit_loop_turns(l, 1);
	ck_assert_int_eq(rc, 1);
	if (!settled)
		return;
	unit_loop_turns(l, 5);
	ck_assert_int_eq(SSL_read(p->ssl, &c, 1), -1);
}

static void
tls_peer_send(struct tls_peer *p, uint32_t *seed, size_t n)
{
	uint8_t data[70000];

	end_bytes(seed, data, n);
	ck_assert_int_eq(SSL_write(p->ssl, data, (int)n), (int)n);
}

static void
tls_peer_close(struct tls_peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->client);
	end_clear(&p->e);
	tls_ctx_unref(p->ctx);
}

/* Many sizes of reads and of what comes, with each way to end. */
START_TEST(edge_tls_is_read_to_its_end)
{
	static const size_t sizes[] = { 1, 125, 16384, 70000 };

	for (unsigned i = 0; i < 4 * 4 * 4; i++) {
		struct tls_peer p;
		uint32_t seed = 4711;
		size_t n = sizes[i % 4];

		tls_peer_open(&p, true);
		p.e.read_size = sizes[i / 4 % 4] < n / 64 ? n / 64 : sizes[i / 4 % 4];
		if ((i & 32) != 0)
			transport_want_read(&p.e.t, false);
		tls_peer_send(&p, &seed, n);
		if ((i & 16) != 0)
			SSL_shutdown(p.ssl);
		end_peer_close(&p.e);
		if ((i & 32) != 0) {
			unit_loop_turns(p.e.loop, 4);
			ck_assert_uint_eq(p.e.readable, 0);
			transport_want_read(&p.e.t, true);
		}
		unit_loop_run(p.e.loop);
		ck_assert_uint_eq(p.e.got, n);
		ck_assert_int_eq(p.e.last, IO_EOF);
		tls_peer_close(&p);
	}
}
END_TEST

/*
 * The socket is empty then, and nothing else comes: in more turns of reading than one has, and
 * after a hold.
 */
START_TEST(edge_tls_bytes_that_openssl_holds_are_read)
{
	for (int held = 0; held < 2; held++) {
		struct tls_peer p;
		uint32_t seed = 4711;

		tls_peer_open(&p, true);
		p.e.read_size = 100;
		p.e.stop_on_got = 16000;
		if (held)
			p.e.hook = hook_hold_with_some_left;
		tls_peer_send(&p, &seed, 16000);
		if (held) {
			unit_loop_turns(p.e.loop, 5);
			ck_assert_uint_eq(p.e.got, 50);
			transport_want_read(&p.e.t, true);
		}
		unit_loop_run(p.e.loop);
		ck_assert_uint_ge(p.e.got, 16000);
		tls_peer_close(&p);
	}
}
END_TEST

START_TEST(edge_tls_behind_the_handshake_is_read)
{
	/* The client's last flight, data and end come before the server has its turn. */
	for (int i = 0; i < 2; i++) {
		struct tls_peer p;
		uint32_t seed = 4711;

		tls_peer_open(&p, false);
		p.e.read_size = 70000;
		tls_peer_send(&p, &seed, i == 0 ? 125 : 70000);
		end_peer_close(&p.e);
		unit_loop_run(p.e.loop);
		ck_assert_uint_eq(p.e.got, i == 0 ? 125 : 70000);
		tls_peer_close(&p);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		edge_a_filled_read_is_followed_by_another,
		edge_a_short_read_needs_no_other,
		edge_data_and_end_at_once_are_both_read,
		edge_an_end_behind_a_read_is_told,
		edge_data_and_reset_at_once_are_told,
		edge_who_does_not_read_is_called_again_and_starves_nobody,
		edge_what_came_during_a_hold_is_read_after_it,
		edge_what_a_held_reader_left_is_read_after_the_hold,
		edge_a_peek_has_read_nothing,
		edge_an_urgent_byte_hides_nothing,
		edge_one_event_empties_a_queue_of_many_pieces,
		edge_what_the_first_owner_left_is_the_next_ones,
		edge_each_packet_is_read,
		edge_many_have_their_turn_without_memory_too,
		edge_busy_sockets_leave_the_rest_its_turn_and_silent_ones_sleep,
		edge_tls_is_read_to_its_end,
		edge_tls_bytes_that_openssl_holds_are_read,
		edge_tls_behind_the_handshake_is_read,
	};

	return ut_main("transport_edge", cases, UNIT_COUNT(cases));
}
