/* Unit tests of src/io/packet.[ch]. */
#include "io/packet.h"

#include <sys/un.h>

#include "unit_io.h"

static int a, b; /* two ends; b's address is known to a when it is bound */

static void
open_pair(void)
{
	int fd[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	a = fd[0];
	b = fd[1];
}

/* As a backend's connections are: b comes from a socket that is bound to a name. */
static void
open_bound(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t); /* the kernel picks a name */
	int l = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(l, (struct sockaddr *)&un, len), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	len = sizeof(un);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&un, &len), 0);
	a = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(a, (struct sockaddr *)&un, len), 0);
	b = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ne(b, -1);
	close(l);
}

static void
expect(const char *packet)
{
	char buf[64];
	bool end = true;

	ck_assert_int_eq(packet_recv(a, buf, sizeof(buf), &end), (int)strlen(packet));
	ck_assert(!end);
	ck_assert_int_eq(memcmp(buf, packet, strlen(packet)), 0);
}

static void
expect_end(void)
{
	char buf[64];
	bool end = false;

	ck_assert_int_eq(packet_recv(a, buf, sizeof(buf), &end), 0);
	ck_assert(end);
}

START_TEST(packet_keeps_boundaries)
{
	static const char *const packets[] = { "one", "", "", "two", "" };
	char buf[64];
	bool end;

	for (int bound = 0; bound < 2; bound++) {
		bound ? open_bound() : open_pair();
		for (size_t i = 0; i < UNIT_COUNT(packets); i++)
			ck_assert_int_eq(packet_send(b, packets[i], strlen(packets[i])), 1);
		for (size_t i = 0; i < UNIT_COUNT(packets); i++)
			expect(packets[i]);
		ck_assert_int_eq(packet_recv(a, buf, sizeof(buf), &end), -1);
		ck_assert_int_eq(errno, EAGAIN);
		ck_assert_int_eq(packet_send(b, "cut", 3), 1);
		ck_assert_int_eq(packet_recv(a, buf, 2, &end), 2);
		close(a);
		close(b);
	}
}
END_TEST

START_TEST(packet_tells_empty_ones_from_the_end)
{
	open_bound();
	ck_assert_int_eq(packet_send(b, "", 0), 1);
	ck_assert_int_eq(packet_send(b, "said", 4), 1);
	ck_assert_int_eq(packet_send(b, "", 0), 1);
	close(b);
	expect("");
	expect("said");
	expect("");
	expect_end();
	expect_end();
	close(a);
	/* Where the sender has no name an empty one is seen as long as it is there. */
	open_pair();
	ck_assert_int_eq(packet_send(b, "", 0), 1);
	expect("");
	close(b);
	expect_end();
	close(a);
}
END_TEST

START_TEST(packet_send_tells_full_from_broken)
{
	static char big[16384];
	unsigned n = 0;

	open_pair();
	while (packet_send(a, big, sizeof(big)) == 1)
		n++;
	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(packet_send(a, big, sizeof(big)), 0);
	close(b);
	ck_assert_int_eq(packet_send(a, "x", 1), -1);
	ck_assert(errno == EPIPE || errno == ECONNRESET);
	close(a);
}
END_TEST

START_TEST(packet_max_is_what_can_be_sent)
{
	static char big[1 << 20];
	size_t max;

	open_pair();
	max = packet_max(a, sizeof(big));
	ck_assert_uint_gt(max, 10000);
	ck_assert_uint_lt(max, sizeof(big));
	ck_assert_int_eq(packet_send(a, big, max), 1);
	ck_assert_int_eq(packet_send(a, big, sizeof(big)), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(packet_max(a, 100), 100);
	close(a);
	close(b);
	ck_assert_uint_eq(packet_max(a, 100), 1);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		packet_keeps_boundaries,
		packet_tells_empty_ones_from_the_end,
		packet_send_tells_full_from_broken,
		packet_max_is_what_can_be_sent,
	};

	return unit_run("packet", cases, UNIT_COUNT(cases));
}
