/*
 * Unit tests of transport_may_widen, src/io/transport_write.c: the send buffer that grows once,
 * when the kernel first refuses bytes.
 */
#include "io/transport.h"

#include "unit_io.h"

#define SMALL 2048
#define BULK (64 * 1024)

static struct loop *loop;
static int end[2]; /* of the transport, whose it is; of the test */

static void
on_event(struct transport *t)
{
	(void)t;
}

static void
on_failed(struct transport *t, const char *why)
{
	(void)t;
	ck_abort_msg("%s", why);
}

static const struct transport_events events = { .ready = on_event,
	.readable = on_event,
	.drained = on_event,
	.failed = on_failed };

static int
send_buffer(void)
{
	socklen_t n = sizeof(int);
	int size;

	ck_assert_int_eq(getsockopt(end[0], SOL_SOCKET, SO_SNDBUF, &size, &n), 0);
	return size;
}

static void
open_transport(struct transport *t, void (*pair)(int fd[2]))
{
	int small = SMALL;

	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	pair(end);
	ck_assert_int_eq(setsockopt(end[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	ck_assert_int_eq(transport_start(t, loop, &events, end[0], NULL), 0);
}

static void
close_transport(struct transport *t)
{
	transport_close(t, false);
	close(end[1]);
	loop_free(loop);
}

static void
write_bytes(struct transport *t, size_t n)
{
	static char bulk[BULK];
	struct iovec iov[2] = { { bulk, n / 2 }, { bulk, n - n / 2 } };

	ck_assert_int_eq(transport_write(t, iov, 2), 0);
}

START_TEST(transport_widens_a_unix_socket_when_bytes_are_refused)
{
	static char got[BULK];
	struct transport t;
	size_t n = 0;
	ssize_t r;

	open_transport(&t, unit_unix_pair);
	transport_may_widen(&t);
	write_bytes(&t, 100);
	ck_assert_int_lt(send_buffer(), BULK); /* not before */
	write_bytes(&t, BULK - 100);
	ck_assert_int_gt(send_buffer(), BULK);
	/* All of it is the kernel's. */
	ck_assert_uint_eq(transport_queued(&t), 0);
	while (n < BULK && (r = recv(end[1], got + n, BULK - n, 0)) > 0)
		n += (size_t)r;
	ck_assert_uint_eq(n, BULK);
	close_transport(&t);
}
END_TEST

START_TEST(transport_widens_once)
{
	struct transport t;
	int small = SMALL;

	open_transport(&t, unit_unix_pair);
	transport_may_widen(&t);
	write_bytes(&t, BULK);
	ck_assert_uint_eq(transport_queued(&t), 0);
	ck_assert_int_eq(setsockopt(end[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	write_bytes(&t, BULK);
	ck_assert_uint_gt(transport_queued(&t), 0);
	close_transport(&t);
}
END_TEST

START_TEST(transport_leaves_other_sockets_as_they_are)
{
	void (*const pairs[])(int fd[2]) = { unit_unix_pair, unit_tcp_pair };
	struct transport t;

	for (size_t i = 0; i < UNIT_COUNT(pairs); i++) {
		open_transport(&t, pairs[i]);
		if (i == 1)
			transport_may_widen(&t); /* TCP's finds its size by itself */
		while (transport_queued(&t) == 0)
			write_bytes(&t, BULK);
		ck_assert_int_lt(send_buffer(), BULK);
		close_transport(&t);
	}
}
END_TEST

START_TEST(transport_widens_no_broken_socket)
{
	struct transport t;
	char bulk[BULK] = { 0 };
	struct iovec iov = { bulk, sizeof(bulk) };

	open_transport(&t, unit_unix_pair);
	transport_may_widen(&t);
	transport_read_on(&t);
	close(end[1]);
	end[1] = -1;
	ck_assert_int_eq(transport_write(&t, &iov, 1), -1);
	ck_assert_uint_eq(transport_queued(&t), 0);
	close_transport(&t);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		transport_widens_a_unix_socket_when_bytes_are_refused,
		transport_widens_once,
		transport_leaves_other_sockets_as_they_are,
		transport_widens_no_broken_socket,
	};

	return unit_run("transport_widen", cases, UNIT_COUNT(cases));
}
