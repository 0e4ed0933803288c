/*
 * Unit tests of src/http/raw_client.[ch]: connections to raw backends.
 *
 * One end of a socket pair is the connection's, the other the application's;
 * what comes up is written down as text ("abc;end;").
 */
#include "http/raw_client.h"

#include "base/mem.h"
#include "unit_io.h"

#define BIG 600000

static struct {
	struct loop *loop;
	struct stream *s; /* NULL once it is over */
	int fd;		  /* the application's end */
	char log[1 << 20];
	size_t n;
	size_t budget;
	unsigned rooms;
	bool stop_at_room, stop_at_end;
} u;

static void
note(const void *p, size_t n)
{
	ck_assert_uint_lt(u.n + n, sizeof(u.log));
	memcpy(u.log + u.n, p, n);
	u.n += n;
	u.log[u.n] = '\0';
}

static void
on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	ck_assert_ptr_eq(s, u.s);
	ck_assert_uint_le(n, u.budget);
	note(p, n);
}

static void
on_room(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	ck_assert_uint_eq(stream_queued(s), 0);
	u.rooms++;
	if (u.stop_at_room)
		loop_stop(u.loop);
}

static void
on_end(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	note("end;", 4);
	if (u.stop_at_end)
		loop_stop(u.loop);
}

static void
on_reset(struct stream *s, enum stream_error e, const char *why)
{
	ck_assert_ptr_eq(s, u.s);
	ck_assert_ptr_nonnull(why);
	note(e == STREAM_E_PROTOCOL ? "protocol;" : "reset;", e == STREAM_E_PROTOCOL ? 9 : 6);
	u.s = NULL;
	if (u.stop_at_end)
		loop_stop(u.loop);
}

static size_t
on_budget(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	return u.budget;
}

static const struct stream_events events = {
	.bytes = on_bytes,
	.room = on_room,
	.end = on_end,
	.reset = on_reset,
	.budget = on_budget,
};

static void
start(bool tcp)
{
	int fd[2];

	memset(&u, 0, sizeof(u));
	u.budget = 100000;
	u.stop_at_end = true;
	ck_assert_ptr_nonnull(u.loop = loop_new());
	tcp ? unit_tcp_pair(fd) : unit_unix_pair(fd);
	u.fd = fd[1];
	ck_assert_ptr_nonnull(u.s = raw_client_start(u.loop, fd[0], false, &events, NULL));
}

static void
finish(void)
{
	if (u.s != NULL)
		stream_close(u.s, 0);
	if (u.fd != -1)
		close(u.fd);
	loop_free(u.loop);
}

static void
say(const void *p, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };

	stream_write(u.s, &iov, 1);
}

/* Send more than the socket takes; how many bytes that were. */
static size_t
fill(void)
{
	static char big[BIG];
	size_t all = 0;

	memset(big, 'x', sizeof(big));
	for (; stream_queued(u.s) == 0; all += sizeof(big))
		say(big, sizeof(big));
	return all;
}

/* The application reads what is there. */
static size_t
drain_once(void)
{
	static char buf[BIG];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(u.fd, buf, sizeof(buf), 0)) > 0)
		all += (size_t)n;
	return all;
}

START_TEST(raw_client_tells_the_end_after_the_last_bytes)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(tcp);
		u.budget = 2;
		ck_assert_int_eq(send(u.fd, "words", 5, 0), 5);
		shutdown(u.fd, SHUT_WR);
		unit_loop_run(u.loop);
		ck_assert_str_eq(u.log, "wordsend;");
		say("answer", 6);
		stream_end(u.s);
		ck_assert_uint_eq(drain_once(), 6);
		finish();
	}
}
END_TEST

START_TEST(raw_client_tells_a_reset_after_the_last_bytes)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(tcp);
		say("unread", 6);
		unit_loop_turns(u.loop, 2);
		ck_assert_int_eq(send(u.fd, "words", 5, 0), 5);
		if (!tcp)
			unit_loop_turns(u.loop, 2);
		tcp ? unit_reset(u.fd) : close(u.fd);
		u.fd = -1;
		unit_loop_run(u.loop);
		ck_assert_msg(
		    strcmp(u.log, "wordsreset;") == 0 || (tcp && strcmp(u.log, "reset;") == 0),
		    "%s", u.log);
		finish();
	}
}
END_TEST

/* Writes that fail do not hide what was said before. */
START_TEST(raw_client_reads_on_when_a_write_fails)
{
	for (int reset = 0; reset < 2; reset++) {
		start(false);
		stream_hold(u.s, STREAM_HOLD_PEER);
		if (reset) {
			say("unread", 6);
			unit_loop_turns(u.loop, 2);
		}
		ck_assert_int_eq(send(u.fd, "last words", 10, 0), 10);
		close(u.fd);
		u.fd = -1;
		for (int i = 0; i < 3; i++) {
			say("to nobody", 9);
			unit_loop_turns(u.loop, 2);
		}
		ck_assert_uint_eq(stream_queued(u.s), 0);
		ck_assert_str_eq(u.log, "");
		stream_release(u.s, STREAM_HOLD_PEER);
		unit_loop_run(u.loop);
		ck_assert_str_eq(u.log, reset ? "last wordsreset;" : "last wordsend;");
		finish();
	}
}
END_TEST

START_TEST(raw_client_makes_room_when_nobody_takes_what_waits)
{
	start(false);
	fill();
	stream_hold(u.s, STREAM_HOLD_PEER);
	u.stop_at_room = true;
	close(u.fd);
	u.fd = -1;
	unit_loop_run(u.loop);
	ck_assert_uint_eq(u.rooms, 1);
	ck_assert_str_eq(u.log, "");
	finish();
}
END_TEST

static void
on_turn(struct loop_timer *t)
{
	size_t *all = (size_t *)(void *)((char *)t + sizeof(*t));
	size_t n = drain_once();
	char c;

	*all += n;
	if (recv(u.fd, &c, 1, MSG_PEEK) == 0)
		loop_stop(u.loop);
	else
		loop_timer_arm(u.loop, t, loop_now_ms(u.loop) + 1);
}

/* However it is closed, what was written is delivered, then its end. */
START_TEST(raw_client_delivers_what_was_written_before_the_close)
{
	for (int how = 0; how < 3; how++) {
		struct {
			struct loop_timer t;
			size_t all;
		} reader = { .t.fn = on_turn };
		size_t all;

		start(false);
		all = fill();
		if (how == 2) {
			/* The application ends its direction first. */
			shutdown(u.fd, SHUT_WR);
			unit_loop_run(u.loop);
		}
		stream_close(u.s, how == 1 ? 0 : 1000);
		u.s = NULL;
		if (how == 0)
			shutdown(u.fd, SHUT_WR); /* and here while it lingers */
		loop_timer_arm(u.loop, &reader.t, loop_now_ms(u.loop));
		unit_loop_run(u.loop);
		loop_timer_stop(u.loop, &reader.t);
		ck_assert_uint_eq(reader.all, all);
		finish();
	}
}
END_TEST

START_TEST(raw_client_refuses_a_packet_that_is_too_large)
{
	static char big[LOOP_SCRATCH + 10];
	int fd[2], size = 4 * LOOP_SCRATCH;

	memset(&u, 0, sizeof(u));
	u.stop_at_end = true;
	u.budget = sizeof(u.log);
	ck_assert_ptr_nonnull(u.loop = loop_new());
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	u.fd = fd[1];
	setsockopt(u.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	ck_assert_ptr_nonnull(u.s = raw_client_start(u.loop, fd[0], true, &events, NULL));
	if (send(u.fd, big, sizeof(big), 0) == -1) {
		finish(); /* not allowed to have a larger buffer */
		return;
	}
	unit_loop_run(u.loop);
	ck_assert_str_eq(u.log, "protocol;");
	finish();
}
END_TEST

START_TEST(raw_client_counts_empty_packets_that_wait)
{
	int fd[2];

	memset(&u, 0, sizeof(u));
	u.budget = 1;
	ck_assert_ptr_nonnull(u.loop = loop_new());
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	u.fd = fd[1];
	ck_assert_ptr_nonnull(u.s = raw_client_start(u.loop, fd[0], true, &events, NULL));
	for (int i = 0; i < 100000 && stream_queued(u.s) == 0; i++)
		say("", 0);
	ck_assert_uint_gt(stream_queued(u.s), 0);
	u.stop_at_room = true;
	for (int i = 0; i < 1000000 && u.rooms == 0; i++) {
		char c;

		while (recv(u.fd, &c, 1, 0) == 0)
			;
		unit_loop_turns(u.loop, 1);
	}
	ck_assert_uint_eq(u.rooms, 1);
	finish();
}
END_TEST

START_TEST(raw_client_without_memory)
{
	int fd[2], before = unit_count_fds();
	struct stream *s = NULL;
	unsigned long n;

	for (n = 1; s == NULL; n++) {
		struct loop *loop = loop_new();

		unit_unix_pair(fd);
		mem_fail_nth(n);
		s = raw_client_start(loop, fd[0], false, &events, NULL);
		mem_fail_nth(0);
		if (s != NULL)
			stream_abort(s);
		close(fd[1]);
		loop_free(loop);
		ck_assert_int_eq(unit_count_fds(), before);
	}
	ck_assert_uint_gt(n, 2);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		raw_client_tells_the_end_after_the_last_bytes,
		raw_client_tells_a_reset_after_the_last_bytes,
		raw_client_reads_on_when_a_write_fails,
		raw_client_makes_room_when_nobody_takes_what_waits,
		raw_client_delivers_what_was_written_before_the_close,
		raw_client_refuses_a_packet_that_is_too_large,
		raw_client_counts_empty_packets_that_wait,
		raw_client_without_memory,
	};

	return unit_run("raw_client", cases, UNIT_COUNT(cases));
}
