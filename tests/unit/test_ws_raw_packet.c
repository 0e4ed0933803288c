/*
 * Unit tests of src/gateway/ws_raw.c, Protocol=packet: a WebSocket of the test (unit_ws.h) before
 * the real connection of http/raw_client.c, with an application at the other end of its socket
 * pair.
 */
#include <poll.h>

#include "base/mem.h"
#include "http/raw_client.h"
#include "unit_ws.h"

/* Messages whole, empty and in pieces: "(one)()(in pieces)". */
static void
say_good(void)
{
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "one");
	uw_say(FIN | WS_TEXT, "");
	uw_say(WS_TEXT, "in ");
	uw_say(FIN | WS_PING, "ping");
	uw_say(WS_CONT, "");
	uw_say(FIN | WS_CONT, "pieces");
}

static int packet_fd = -1; /* the application's end */

static void
open_packets(void)
{
	int fd[2];
	struct stream *s;

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	packet_fd = fd[1];
	ck_assert_ptr_nonnull(s = raw_client_start(uw.loop, fd[0], true, NULL, NULL));
	ck_assert_int_eq(uw_try_open(s), 0);
}

/* What came to the application: "(one)()(three)", and "." at the end. */
static const char *
packets(void)
{
	static char text[UW_OUT_MAX];
	struct pollfd p = { .fd = packet_fd, .events = POLLIN | POLLRDHUP };
	char buf[UW_OUT_MAX];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(packet_fd, buf, sizeof(buf), 0)) != -1) {
		if (got == 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP) != 0) {
			text[n++] = '.';
			break;
		}
		n += (size_t)sprintf(text + n, "(%.*s)", (int)got, buf);
	}
	text[n] = '\0';
	return text;
}

static void
drop_packets(void)
{
	close(packet_fd);
	if (uw.client.s.ev != NULL)
		uw_give_reset(&uw.client);
	unit_loop_turns(uw.loop, 3);
	ck_assert_ptr_null(uw.gw->sessions);
}

START_TEST(ws_raw_makes_the_same_packets_of_any_split)
{
	say_good();
	uw_say(WS_BINARY, "");
	uw_say(FIN | WS_CONT, "end");
	uw_say(WS_BINARY, "begin");
	uw_say(FIN | WS_CONT, "");
	uw_say(WS_BINARY, "");
	uw_say(FIN | WS_CONT, "");
	uw_setup("", "Protocol=packet");
	for (size_t i = 0; i <= uw_said.n; i++)
		for (size_t k = i; k <= uw_said.n; k += 3) {
			open_packets();
			uw_give(&uw.client, uw_said.p, i);
			uw_give(&uw.client, uw_said.p + i, k - i);
			uw_give(&uw.client, uw_said.p + k, uw_said.n - k);
			ck_assert_str_eq(packets(), "(one)()(in pieces)(end)(begin)()");
			ck_assert_str_eq(uw_heard(false), "[ping]");
			drop_packets();
		}
	uw_clear();
}
END_TEST

START_TEST(ws_raw_makes_so_many_packets_in_one_turn_and_no_more)
{
	uw_setup("BufferLimit=1M", "Protocol=packet");
	open_packets();
	ck_assert_uint_eq(uw.client.s.ev->budget(&uw.client.s), 16 * 1024);
	drop_packets();
	uw_clear();
	uw_setup("BufferLimit=4K", "Protocol=packet");
	open_packets();
	ck_assert_uint_eq(uw.client.s.ev->budget(&uw.client.s), 4 * 1024);
	drop_packets();
	uw_clear();
}
END_TEST

START_TEST(ws_raw_makes_messages_of_packets)
{
	uw_setup("MaxMessageSize=10", "Protocol=packet\nMessageType=text");
	open_packets();
	ck_assert_int_eq(send(packet_fd, "one", 3, 0), 3);
	ck_assert_int_eq(send(packet_fd, "", 0, 0), 0);
	ck_assert_int_eq(send(packet_fd, "ten bytes.", 10, 0), 10);
	unit_loop_turns(uw.loop, 10);
	ck_assert_str_eq(uw_heard(false), "T(one)T()T(ten bytes.)");
	ck_assert_int_eq(send(packet_fd, "11 bytes...", 11, 0), 11);
	unit_loop_turns(uw.loop, 10);
	ck_assert_str_eq(uw_heard(false), "T(one)T()T(ten bytes.)<1014>");
	drop_packets();

	open_packets();
	ck_assert_int_eq(send(packet_fd, "\377", 1, 0), 1);
	unit_loop_turns(uw.loop, 10);
	ck_assert_str_eq(uw_heard(false), "<1014>");
	drop_packets();

	open_packets();
	ck_assert_int_eq(send(packet_fd, "all", 3, 0), 3);
	shutdown(packet_fd, SHUT_WR);
	unit_loop_turns(uw.loop, 10);
	ck_assert_str_eq(uw_heard(false), "T(all)<1000>");
	drop_packets();
	uw_clear();
}
END_TEST

START_TEST(ws_raw_refuses_what_does_not_fit_into_a_packet)
{
	static const uint8_t whole[] = { FIN | WS_BINARY, 0xff, 0, 0, 0, 0, 0, 0x0a, 0, 0, 1, 2, 3,
		4 };
	static const uint8_t rest[] = { WS_CONT, 0xff, 0, 0, 0, 0, 0, 0x0a, 0, 0, 1, 2, 3, 4 };

	uw_setup("", "Protocol=packet");
	for (int fragments = 0; fragments < 2; fragments++) {
		open_packets();
		uw_said.n = 0;
		uw_say(FIN | WS_BINARY, "good");
		if (fragments)
			uw_say(WS_BINARY, "begin");
		uw_give(&uw.client, uw_said.p, uw_said.n);
		if (fragments)
			uw_give(&uw.client, rest, sizeof(rest));
		else
			uw_give(&uw.client, whole, sizeof(whole));
		ck_assert_str_eq(uw_heard(false), "<1009>");
		ck_assert_str_eq(packets(), "(good).");
		drop_packets();
	}
	uw_clear();
}
END_TEST

static bool
packets_without(unsigned long n)
{
	bool pending;
	int fd[2];
	struct stream *s;

	uw_setup("", "Protocol=packet");
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	packet_fd = fd[1];
	mem_fail_nth(n);
	s = raw_client_start(uw.loop, fd[0], true, NULL, NULL);
	if (s != NULL && uw_try_open(s) == -1)
		stream_close(s, 0);
	else if (s != NULL)
		uw_give(&uw.client, uw_said.p, uw_said.n);
	pending = mem_fail_pending();
	mem_fail_nth(0);
	if (pending)
		ck_assert_str_eq(packets(), "(one)()(in pieces)");
	drop_packets();
	uw_clear();
	return !pending;
}

START_TEST(ws_raw_packets_without_memory)
{
	unsigned long n;

	say_good();
	for (n = 1; packets_without(n); n++)
		ck_assert_uint_lt(n, 1000);
	ck_assert_uint_gt(n, 3);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_raw_makes_the_same_packets_of_any_split,
		ws_raw_makes_so_many_packets_in_one_turn_and_no_more,
		ws_raw_makes_messages_of_packets,
		ws_raw_refuses_what_does_not_fit_into_a_packet,
		ws_raw_packets_without_memory,
	};

	return unit_run("ws_raw_packet", cases, UNIT_COUNT(cases));
}
