/*
 * Unit tests of src/io/transport_file.c: files that go out unread, over TCP and over a Unix
 * socket.
 */
#include "io/transport.h"

#include <signal.h>
#include <stdlib.h>

#include "unit_io.h"

#define BIG (8 << 20)

static struct loop *loop;
static struct transport t;
static int peer, file;
static unsigned drained, failed;
static char *bytes; /* of the file */

static void
on_nothing(struct transport *which)
{
	(void)which;
}

static void
on_drained(struct transport *which)
{
	(void)which;
	drained++;
}

static void
on_failed(struct transport *which, const char *why)
{
	(void)which;
	(void)why;
	failed++;
}

static const struct transport_events events = {
	.ready = on_nothing,
	.readable = on_nothing,
	.drained = on_drained,
	.failed = on_failed,
};

static void
setup(void)
{
	char name[] = "/tmp/file-XXXXXX";
	uint32_t seed = 1;

	signal(SIGPIPE, SIG_IGN);
	drained = failed = 0;
	ck_assert_ptr_nonnull(bytes = malloc(BIG));
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)unit_random(&seed);
	ck_assert_int_ne(file = mkstemp(name), -1);
	unlink(name);
	ck_assert_int_eq(write(file, bytes, BIG), BIG);
	ck_assert_ptr_nonnull(loop = loop_new());
}

static void
start(bool tcp)
{
	int fd[2];

	if (tcp)
		unit_tcp_pair(fd);
	else
		unit_unix_pair(fd);
	peer = fd[1];
	ck_assert_int_eq(transport_start(&t, loop, &events, fd[0], NULL), 0);
	transport_want_read(&t, false);
}

static void
teardown(void)
{
	transport_close(&t, false);
	unit_loop_turns(loop, 1);
	close(peer);
	loop_free(loop);
	close(file);
	free(bytes);
}

/* Read what there is behind the n bytes that are there; the new n. */
static size_t
read_more(char *p, size_t n, size_t max)
{
	ssize_t got;

	while (n < max && (got = recv(peer, p + n, max - n, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	return n;
}

START_TEST(transport_file_follows_its_head)
{
	char got[3000];
	size_t n = 0;

	start(_i == 1);
	ck_assert(transport_takes_files(&t));
	ck_assert_int_eq(transport_send_file(&t, SPAN_LIT("head:"), file, 1000, 2000), 2000);
	while (n < 2005)
		n = read_more(got, n, sizeof(got));
	ck_assert_uint_eq(n, 2005);
	ck_assert(memcmp(got, "head:", 5) == 0);
	ck_assert(memcmp(got + 5, bytes + 1000, 2000) == 0);
	ck_assert_int_eq(lseek(file, 0, SEEK_CUR), BIG); /* nobody's business */
}
END_TEST

/*
 * Behind what the kernel refuses a few bytes are written, and `drained` tells when it takes more.
 */
START_TEST(transport_file_waits_as_for_bytes)
{
	char *got = malloc(BIG);
	struct iovec iov;
	size_t sent = 0, n = 0;
	unsigned waits = 0, seen;
	ssize_t now;

	start(_i == 1);
	while (sent < BIG) {
		now = transport_send_file(&t, SPAN_NONE, file, sent, BIG - sent);
		ck_assert_int_ge(now, 0);
		sent += (size_t)now;
		if (sent == BIG)
			break;
		iov.iov_base = bytes + sent;
		iov.iov_len = BIG - sent < 4096 ? BIG - sent : 4096;
		ck_assert_int_eq(transport_write(&t, &iov, 1), 0);
		sent += iov.iov_len;
		if (transport_queued(&t) == 0)
			continue;
		waits++;
		seen = drained;
		/* Nothing may pass what waits. */
		ck_assert_int_eq(transport_send_file(&t, SPAN_NONE, file, 0, 100), 0);
		while (drained == seen) {
			n = read_more(got, n, BIG);
			unit_loop_turns(loop, 1);
		}
	}
	while (n < BIG) {
		n = read_more(got, n, BIG);
		unit_loop_turns(loop, 1);
	}
	ck_assert_uint_gt(waits, 0);
	ck_assert(memcmp(got, bytes, BIG) == 0);
	ck_assert_uint_eq(failed, 0);
	free(got);
}
END_TEST

/* A head that finds no room is queued, and the file does not pass it. */
START_TEST(transport_file_head_is_queued)
{
	char *got = malloc(BIG + 10);
	size_t sent = 0, n = 0;
	ssize_t now;

	start(_i == 1);
	while ((now = transport_send_file(&t, SPAN_NONE, file, 0, 100000)) > 0)
		sent += (size_t)now;
	ck_assert_int_eq(now, 0);
	ck_assert_int_eq(transport_send_file(&t, SPAN_LIT("head:"), file, 0, 100), 0);
	ck_assert_uint_gt(transport_queued(&t), 0);
	while (drained == 0) {
		n = read_more(got, n, BIG + 10);
		unit_loop_turns(loop, 1);
	}
	while (n < sent + 5)
		n = read_more(got, n, BIG + 10);
	ck_assert_uint_eq(n, sent + 5);
	ck_assert(memcmp(got + sent, "head:", 5) == 0);
	free(got);
}
END_TEST

START_TEST(transport_file_that_ends_is_told)
{
	start(true);
	ck_assert_int_eq(ftruncate(file, 1000), 0);
	ck_assert_int_eq(transport_send_file(&t, SPAN_NONE, file, 0, 2000), 1000);
	ck_assert_int_eq(transport_send_file(&t, SPAN_NONE, file, 1000, 1000), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_int_eq(transport_send_file(&t, SPAN_NONE, file, 5000, 1), -1);
	ck_assert_int_eq(errno, ENODATA);
	unit_loop_turns(loop, 2);
	ck_assert_uint_eq(failed, 0);
}
END_TEST

/* What cannot be sent so is no fault of the connection. */
START_TEST(transport_file_of_another_kind_is_told)
{
	struct iovec iov = { bytes, 10 };
	int fd[2];

	start(true);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	ck_assert_int_eq(transport_send_file(&t, SPAN_NONE, fd[0], 0, 10), -1);
	ck_assert_msg(errno == EOPNOTSUPP, "%s", strerror(errno));
	close(fd[0]);
	close(fd[1]);
	ck_assert_int_eq(transport_write(&t, &iov, 1), 0);
	unit_loop_turns(loop, 2);
	ck_assert_uint_eq(failed, 0);
}
END_TEST

START_TEST(transport_file_tells_of_a_broken_connection_once)
{
	start(_i == 1);
	close(peer);
	peer = -1;
	for (int i = 0; i < 1000 && transport_send_file(&t, SPAN_NONE, file, 0, 1000) >= 0; i++)
		ck_assert_int_lt(i, 999);
	ck_assert_int_ne(errno, EOPNOTSUPP);
	ck_assert_int_ne(errno, ENODATA);
	ck_assert_uint_eq(failed, 0);
	unit_loop_turns(loop, 2);
	ck_assert_uint_eq(failed, 1);
	ck_assert_int_eq(transport_send_file(&t, SPAN_LIT("head"), file, 0, 1000), -1);
	unit_loop_turns(loop, 2);
	ck_assert_uint_eq(failed, 1);
	peer = dup(0);
}
END_TEST

START_TEST(transport_file_is_not_sent_behind_the_end)
{
	start(true);
	transport_fin(&t);
	ck_assert_int_eq(transport_send_file(&t, SPAN_LIT("head"), file, 0, 1000), -1);
	transport_close(&t, false);
	ck_assert_int_eq(transport_send_file(&t, SPAN_LIT("head"), file, 0, 1000), -1);
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ transport_file_follows_its_head, 2 },
		{ transport_file_waits_as_for_bytes, 2 },
		{ transport_file_head_is_queued, 2 },
		{ transport_file_that_ends_is_told, 1 },
		{ transport_file_of_another_kind_is_told, 1 },
		{ transport_file_tells_of_a_broken_connection_once, 2 },
		{ transport_file_is_not_sent_behind_the_end, 1 },
	};

	return unit_run_cases("transport_file", cases, UNIT_COUNT(cases), setup, teardown);
}
