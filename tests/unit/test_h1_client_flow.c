/*
 * Unit tests of src/http/h1_client.[ch]: holds and budgets, writing, and closing.
 */
#include "unit_h1_client.h"

/* ---- holds and budgets */

START_TEST(h1_client_keeps_bytes_of_a_held_stream)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_response = true;
	uh1_peer_switch(UH1_HELLO);
	uh1_peer_say("later");
	user_assert_log("101;");
	user_release(STREAM_HOLD_BACKEND);
	user_assert_log("101;");
	uh1_turns(2);
	user_assert_log("101;bytes=" UH1_HELLO "later");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_reads_the_head_of_a_held_stream)
{
	uh1_begin();
	uh1_start(true);
	stream_hold(user.s, STREAM_HOLD_RATE);
	stream_hold(user.s, STREAM_HOLD_PEER);
	uh1_peer_switch(UH1_HELLO);
	user_assert_log("101;");
	user_release(STREAM_HOLD_RATE);
	uh1_turns(1);
	user_assert_log("101;");
	user_release(STREAM_HOLD_PEER);
	uh1_turns(1);
	user_assert_log("101;bytes=" UH1_HELLO);
	stream_hold(user.s, STREAM_HOLD_PEER);
	uh1_peer_say("x");
	user_assert_log("101;bytes=" UH1_HELLO);
	user_release(STREAM_HOLD_PEER);
	uh1_turns(1);
	user_assert_log("101;bytes=" UH1_HELLO "x");
	uh1_finish();
}
END_TEST

/* Held again before the task ran: nothing may come. */
START_TEST(h1_client_minds_a_hold_after_the_release)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_response = true;
	uh1_peer_switch(UH1_HELLO);
	user_release(STREAM_HOLD_BACKEND);
	stream_hold(user.s, STREAM_HOLD_PEER);
	uh1_turns(2);
	user_assert_log("101;");
	user_release(STREAM_HOLD_PEER);
	uh1_turns(1);
	user_assert_log("101;bytes=" UH1_HELLO);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_forgets_kept_bytes_of_a_closed_stream)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_response = true;
	uh1_peer_switch(UH1_HELLO);
	user_release(STREAM_HOLD_BACKEND);
	user_close(_i == 0 ? CLOSE_CLOSE : CLOSE_ABORT);
	uh1_turns(2);
	user_assert_log("101;");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	ck_assert(uh1_peer_at_eof());
	uh1_finish();
}
END_TEST

/*
 * Each run of a body (here a chunk: no more is asked for) holds; each release brings the next, and
 * the end after the last.
 */
START_TEST(h1_client_holds_within_a_body)
{
	static const char chunked[] = "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n";
	static const char length[] = "HTTP/1.1 200 x\r\nContent-Length: 3\r\n\r\nabc";

	uh1_begin();
	uh1_start(true);
	user.hold_in_bytes = true;
	user.has_budget = _i == 0;
	user.budget = sizeof("1\r\na\r\n") - 1;
	uh1_peer_say(_i == 0 ? chunked : length);
	user_assert_log(_i == 0 ? "200;bytes=a" : "200;bytes=abc");
	for (int i = 0; i < 2 && _i == 0; i++) {
		uh1_turns(2);
		user_release(STREAM_HOLD_PEER);
		uh1_turns(2);
	}
	user_assert_log("200;bytes=abc");
	user_release(STREAM_HOLD_PEER);
	user_assert_log("200;bytes=abc");
	uh1_turns(1);
	user_assert_log("200;bytes=abc;end;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_holds_and_releases_within_bytes)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_bytes = user.release_in_bytes = true;
	uh1_peer_say("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
	uh1_turns(1);
	user_assert_log("200;bytes=abc;end;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_holds_back_an_empty_body_too)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_response = true;
	uh1_peer_say("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
	uh1_turns(2);
	user_assert_log("403;");
	user_release(STREAM_HOLD_BACKEND);
	uh1_turns(1);
	user_assert_log("403;end;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_asks_for_the_budget)
{
	uh1_begin();
	uh1_start(true);
	user.has_budget = true;
	user.budget = 3;
	uh1_peer_switch(UH1_HELLO); /* three of the bytes behind the head */
	uh1_turns(2);
	user_assert_log("101;bytes=\x81\x05h");
	user.budget = 2;
	stream_hold(user.s, STREAM_HOLD_RATE);
	user_release(STREAM_HOLD_RATE);
	uh1_turns(2);
	user_assert_log("101;bytes=\x81\x05hel");
	user.budget = 6;
	stream_hold(user.s, STREAM_HOLD_RATE);
	user_release(STREAM_HOLD_RATE);
	uh1_turns(1);
	user_assert_log("101;bytes=" UH1_HELLO);
	uh1_peer_say("0123456789"); /* by the budget of reads */
	uh1_turns(2);
	user_assert_log("101;bytes=" UH1_HELLO "0123");
	user.budget = 100;
	uh1_turns(2);
	user_assert_log("101;bytes=" UH1_HELLO "0123");
	stream_hold(user.s, STREAM_HOLD_RATE);
	user_release(STREAM_HOLD_RATE);
	uh1_turns(1);
	user_assert_log("101;bytes=" UH1_HELLO "0123456789");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_keeps_no_more_than_one_read)
{
	static char text[300000];
	size_t sent = 0;
	ssize_t n;

	uh1_begin();
	uh1_start(true);
	user.count_only = true;
	user.hold_in_response = true;
	uh1_peer_switch("");
	/* All that the kernel takes, while nobody reads. */
	while ((n = send(uh1.peer, text, sizeof(text), MSG_NOSIGNAL)) > 0) {
		sent += (size_t)n;
		uh1_turns(1);
	}
	ck_assert_uint_lt(sent, 4 * sizeof(text));
	user_release(STREAM_HOLD_BACKEND);
	for (int i = 0; i < 1000 && user.bytes < sent; i++)
		uh1_turns(1);
	ck_assert_uint_eq(user.bytes, sent);
	uh1_finish();
}
END_TEST

/* ---- writing, closing */

static size_t
write_until_queued(void)
{
	static char block[65536];
	struct iovec iov = { block, sizeof(block) };
	size_t n = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)i;
	while (stream_queued(user.s) == 0) {
		ck_assert_int_eq(stream_write(user.s, &iov, 1), 0);
		n += sizeof(block);
	}
	return n;
}

static size_t
peer_drain(void)
{
	char text[65536];
	size_t n = 0, got;
	unsigned idle = 0;

	while (idle < 3) {
		got = uh1_peer_read(text, sizeof(text));
		n += got;
		idle = got == 0 ? idle + 1 : 0;
		uh1_turns(1);
	}
	return n;
}

START_TEST(h1_client_tells_of_room)
{
	size_t n;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	n = write_until_queued();
	uh1_turns(2);
	ck_assert_uint_eq(user.rooms, 0);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert_uint_eq(user.rooms, 1);
	ck_assert_uint_eq(stream_queued(user.s), 0);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_ends_behind_what_is_queued)
{
	size_t n;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	n = write_until_queued();
	stream_end(user.s);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(uh1_peer_at_eof());
	/* The backend may go on. */
	uh1_peer_say("x");
	user_assert_log("101;bytes=x");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_close_flushes_and_reads_on_until_the_peer_ends)
{
	size_t n;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	n = write_until_queued();
	user_close(CLOSE_CLOSE);
	uh1_peer_say("nobody hears this");
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(uh1_peer_at_eof());
	uh1_peer_say("nor this");
	ck_assert(!uh1_peer_alone());
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	user_assert_log("101;");
	ck_assert_int_eq(send(uh1.peer, "x", 1, MSG_NOSIGNAL), -1);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_close_flushes_after_the_peer_ended)
{
	size_t n;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	n = write_until_queued();
	user_close(CLOSE_CLOSE);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(uh1_peer_at_eof());
	user_assert_log("101;end;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_close_gives_up_lingering)
{
	struct stream *s;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	s = user.s;
	user.s = NULL;
	stream_close(s, 300);
	uh1_turns(1);
	ck_assert(uh1_peer_at_eof());
	ck_assert(!uh1_peer_alone());
	unit_wait_ms(user.loop, 350);
	ck_assert(uh1_peer_alone());
	uh1_finish();
}
END_TEST

START_TEST(h1_client_close_without_linger_is_at_once)
{
	struct stream *s;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	s = user.s;
	user.s = NULL;
	stream_close(s, 0);
	ck_assert(uh1_peer_alone());
	uh1_finish();
}
END_TEST

/* Without time to linger, what is queued is delivered nevertheless. */
START_TEST(h1_client_close_without_linger_flushes)
{
	struct stream *s;
	size_t n;

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	n = write_until_queued();
	s = user.s;
	user.s = NULL;
	stream_close(s, 0);
	ck_assert_uint_eq(peer_drain(), n);
	uh1_turns(1);
	ck_assert(uh1_peer_alone());
	uh1_finish();
}
END_TEST

START_TEST(h1_client_closes_before_the_response)
{
	uh1_begin();
	uh1_start(true);
	user_close(_i == 0 ? CLOSE_CLOSE : CLOSE_ABORT);
	if (_i == 0) {
		ck_assert(uh1_peer_at_eof());
		uh1_peer_switch(UH1_HELLO);
		shutdown(uh1.peer, SHUT_WR);
		uh1_turns(1);
	}
	user_assert_log("");
	ck_assert(uh1_peer_at_eof());
	uh1_finish();
}
END_TEST

/* In each up-call, with the head in one piece and in two. */
START_TEST(h1_client_may_be_closed_from_within_response)
{
	char out[1000];
	size_t n, cut = _i % 2 == 0 ? 0 : 50;

	uh1_begin();
	uh1_start(true);
	user.close_in_response = _i / 2 == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	n = uh1_fill(out, UH1_SWITCH UH1_HELLO, sizeof(UH1_SWITCH UH1_HELLO) - 1);
	uh1_peer_send(out, cut);
	uh1_turns(1);
	uh1_peer_send(out + cut, n - cut);
	uh1_turns(2);
	user_assert_log("101;");
	ck_assert_ptr_nonnull(strstr(user.head, "Upgrade=websocket|Connection=Upgrade|"));
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_may_be_closed_from_within_bytes)
{
	static const char *const text[] = {
		"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\na",
	};

	uh1_begin();
	uh1_start(true);
	user.close_in_bytes = _i % 2 == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	if (_i / 2 == 2)
		uh1_peer_switch("a");
	else
		uh1_peer_say(text[_i / 2]);
	uh1_turns(1);
	user_assert_log(_i / 2 == 2 ? "101;bytes=a" : _i / 2 == 1 ? "200;bytes=a" : "200;bytes=ab");
	ck_assert_ptr_null(user.s);
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	uh1_finish();
}
END_TEST

/* ...and when they had been kept. */
START_TEST(h1_client_may_be_closed_from_within_kept_bytes)
{
	uh1_begin();
	uh1_start(true);
	user.hold_in_response = true;
	user.close_in_bytes = _i == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	uh1_peer_switch("abc");
	user_release(STREAM_HOLD_BACKEND);
	uh1_turns(2);
	user_assert_log("101;bytes=abc");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	uh1_finish();
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h1_client_keeps_bytes_of_a_held_stream, 1 },
		{ h1_client_reads_the_head_of_a_held_stream, 1 },
		{ h1_client_minds_a_hold_after_the_release, 1 },
		{ h1_client_forgets_kept_bytes_of_a_closed_stream, 2 },
		{ h1_client_holds_within_a_body, 2 },
		{ h1_client_holds_and_releases_within_bytes, 1 },
		{ h1_client_holds_back_an_empty_body_too, 1 },
		{ h1_client_asks_for_the_budget, 1 },
		{ h1_client_keeps_no_more_than_one_read, 1 },
		{ h1_client_tells_of_room, 1 },
		{ h1_client_ends_behind_what_is_queued, 1 },
		{ h1_client_close_flushes_and_reads_on_until_the_peer_ends, 1 },
		{ h1_client_close_flushes_after_the_peer_ended, 1 },
		{ h1_client_close_gives_up_lingering, 1 },
		{ h1_client_close_without_linger_is_at_once, 1 },
		{ h1_client_close_without_linger_flushes, 1 },
		{ h1_client_closes_before_the_response, 2 },
		{ h1_client_may_be_closed_from_within_response, 4 },
		{ h1_client_may_be_closed_from_within_bytes, 6 },
		{ h1_client_may_be_closed_from_within_kept_bytes, 2 },
	};

	return unit_run_cases("h1_client_flow", cases, UNIT_COUNT(cases), NULL, NULL);
}
