/*
 * Unit tests of src/http/h2_client*.[ch].
 */
#include "base/mem.h"
#include "unit_h2_client.h"

/* ---- the handshake */

START_TEST(h2_client_sends_extended_connect)
{
	uh2_start();
	uh2_turns(4);
	ck_assert(span_eq(buf_span(&uh2.head),
	    SPAN_LIT(":method=CONNECT|:protocol=websocket|:scheme=https|"
		     ":authority=app.example.com:8080|:path=/chat?x=1|sec-websocket-version=13|"
		     "origin=https://app.example.com|x-mixed=MiXeD|")));
	ck_assert(!uh2.end);
	uh2_expect_log("101;");
}
END_TEST

START_TEST(h2_client_waits_for_the_settings)
{
	const char *why;

	ck_assert(uh2_try_start(SPAN_LIT("/"), USER_TIMEOUT_MS, &why));
	uh2_turns(3);
	uh2_peer_begin(&uh2);
	/* The request is not there before the server has said that it may come. */
	uint8_t data[4096];
	ssize_t n = recv(uh2.fd, data, sizeof(data), 0);

	ck_assert_int_gt(n, 24);
	ck_assert_ptr_null(memmem(data, (size_t)n, "example", 7));
	ck_assert_int_ge(nghttp2_session_mem_recv(uh2.ng, data, (size_t)n), 0);
	uh2_turns(4);
	ck_assert(uh2_peer_has(":protocol=websocket|"));
	uh2_expect_log("101;");
}
END_TEST

START_TEST(h2_client_shows_heads)
{
	uh2_start();
	uh2_turns(4);
	ck_assert_ptr_nonnull(memmem(user.trace.p, user.trace.n, ">:method: CONNECT\r\n", 19));
	ck_assert_ptr_nonnull(
	    memmem(user.trace.p, user.trace.n, "<:status: 200\r\nx-test: 1\r\n", 26));
}
END_TEST

START_TEST(h2_client_is_refused_without_connect_protocol)
{
	uh2.no_connect = true;
	uh2_start();
	uh2_turns(4);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_REFUSED, "ENABLE_CONNECT_PROTOCOL");
	ck_assert_uint_eq(uh2.head.n, 0);
}
END_TEST

START_TEST(h2_client_hands_up_other_answers_whole)
{
	uh2.status = "403";
	uh2.out_end = true;
	uh2_peer_send("go away");
	uh2_start();
	uh2_turns(5);
	uh2_expect_log("403;bytes=go away;end;");
	ck_assert_str_eq(user.head, "x-test=1|");
}
END_TEST

/* At once with the head, and when that was handed up already. */
START_TEST(h2_client_passes_over_trailers)
{
	uh2.status = _i < 2 ? "403" : "200";
	uh2.trailers = true;
	uh2.out_end = _i % 2 == 0;
	uh2_peer_send("hello");
	uh2_start();
	uh2_turns(5);
	uh2_expect_log(_i == 0 ? "403;bytes=hello;end;"
		: _i == 1      ? "403;bytes=hello"
		: _i == 2      ? "101;bytes=hello;end;"
			       : "101;bytes=hello");
	if (_i % 2 == 0)
		return;
	uh2.out_end = true;
	uh2_peer_send("!");
	uh2_turns(3);
	uh2_expect_log("bytes=!;end;");
}
END_TEST

START_TEST(h2_client_passes_over_interim_answers)
{
	uh2.interim = true;
	uh2_open_websocket();
	uh2_write_text("hi");
	uh2_turns(3);
	ck_assert(span_eq(buf_span(&uh2.body), SPAN_LIT("hi")));
}
END_TEST

START_TEST(h2_client_knows_who_speaks_no_http2)
{
	static const char *const said[] = { "HTTP/1.1 400 Bad Request\r\n\r\n",
		"\0\0\0\0\0\0\0\0\0", "SSH-2.0-x\r\n................." };

	for (size_t i = 0; i < UNIT_COUNT(said); i++) {
		const char *why;

		ck_assert(uh2_try_start(SPAN_LIT("/"), USER_TIMEOUT_MS, &why));
		uh2_turns(2);
		ck_assert_int_gt(send(uh2.fd, said[i], i == 1 ? 9 : strlen(said[i]), 0), 0);
		uh2_turns(3);
		uh2_expect_log("reset;");
		uh2_expect_reset(STREAM_E_PROTOCOL, "does not speak HTTP/2");
		close(uh2.fd);
	}
	uh2.fd = 0;
}
END_TEST

START_TEST(h2_client_tells_of_a_server_that_leaves)
{
	const char *why;

	ck_assert(uh2_try_start(SPAN_LIT("/"), USER_TIMEOUT_MS, &why));
	uh2_turns(1);
	shutdown(uh2.fd, SHUT_WR);
	uh2_turns(2);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_PEER, "without a response");
	close(uh2.fd);

	uh2_open_websocket();
	shutdown(uh2.fd, SHUT_WR);
	uh2_turns(2);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_PEER, "ended the connection");
}
END_TEST

START_TEST(h2_client_gives_up_on_a_silent_server)
{
	const char *why;
	unsigned limit = 0;

	uh2.status = NULL;
	uh2_peer_begin(&uh2);
	ck_assert(uh2_try_start(SPAN_LIT("/"), 50, &why));
	while (user.s != NULL && limit++ < 10000) {
		uh2_turns(1);
		usleep(1000);
	}
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_TIMEOUT, "in time");
}
END_TEST

START_TEST(h2_client_refuses_unclean_requests)
{
	const char *why = NULL;

	ck_assert(!uh2_try_start(SPAN_LIT("/a b"), USER_TIMEOUT_MS, &why));
	ck_assert_ptr_nonnull(strstr(why, "path"));
}
END_TEST

/* ---- bytes */

START_TEST(h2_client_carries_bytes_both_ways)
{
	uh2.echo = true;
	uh2_open_websocket();
	uh2_write_text("one ");
	uh2_write_text("two ");
	ck_assert_uint_eq(stream_queued(user.s), 8);
	uh2_turns(4);
	uh2_write_text("three");
	uh2_turns(4);
	uh2_expect_log("bytes=one two three");
	ck_assert_uint_eq(stream_queued(user.s), 0);
	ck_assert_uint_eq(user.rooms, 2); /* what is written waits for the turn's end */
}
END_TEST

START_TEST(h2_client_minds_the_servers_window)
{
	char text[5001];

	uh2.window = 1000;
	uh2_open_websocket();
	nghttp2_session_set_local_window_size(uh2.ng, 0, 0, 1 << 20);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	uh2_write_text(text);
	/* nghttp2 gives the window back as it reads. */
	uh2_turns(20);
	ck_assert_uint_eq(uh2.body.n, 5000);
	ck_assert_uint_eq(stream_queued(user.s), 0);
	ck_assert_uint_eq(user.rooms, 1);
}
END_TEST

START_TEST(h2_client_holds_back_no_more_than_a_window)
{
	char text[65536];

	uh2_open_websocket();
	stream_hold(user.s, STREAM_HOLD_PEER);
	memset(text, 'y', sizeof(text));
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(buf_append(&uh2.out, text, sizeof(text)), 0);
	uh2_turns(60);
	uh2_expect_log("");
	ck_assert_uint_ge(uh2.out.n, (64 - 16) * sizeof(text)); /* a window is 1 MiB */
	user.count_only = true;
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(100);
	ck_assert_uint_eq(user.bytes, 64 * sizeof(text));
}
END_TEST

START_TEST(h2_client_keeps_bytes_of_a_held_stream)
{
	uh2_open_websocket();
	user.hold_in_bytes = true;
	uh2_peer_send("one");
	uh2_turns(2);
	uh2_peer_send("two");
	uh2_turns(2);
	uh2_expect_log("bytes=one");
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(2);
	uh2_expect_log("bytes=two");
	user.hold_in_bytes = false;
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_peer_send("three");
	uh2_turns(2);
	uh2_expect_log("bytes=three");
}
END_TEST

START_TEST(h2_client_asks_for_the_budget)
{
	uh2_open_websocket();
	user.has_budget = true;
	user.budget = 2;
	uh2_peer_send("abcdef");
	uh2_turns(3);
	uh2_expect_log("bytes=ab");
	user.budget = 3;
	stream_hold(user.s, STREAM_HOLD_PEER);
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(2);
	uh2_expect_log("bytes=cde");
	user.budget = 10;
	stream_hold(user.s, STREAM_HOLD_PEER);
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(2);
	uh2_expect_log("bytes=f");
}
END_TEST

/* ---- ends */

START_TEST(h2_client_tells_of_the_end_and_may_write_on)
{
	uh2_open_websocket();
	uh2_peer_send("bye");
	uh2.out_end = true;
	uh2_turns(3);
	uh2_expect_log("bytes=bye;end;");
	uh2_write_text("more");
	uh2_turns(2);
	ck_assert(span_eq(buf_span(&uh2.body), SPAN_LIT("more")));
	stream_end(user.s);
	uh2_turns(2);
	ck_assert(uh2.end);
}
END_TEST

START_TEST(h2_client_tells_of_the_end_behind_what_is_held)
{
	uh2_open_websocket();
	stream_hold(user.s, STREAM_HOLD_PEER);
	uh2_peer_send("bye");
	uh2.out_end = true;
	uh2_turns(3);
	uh2_expect_log("");
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(2);
	uh2_expect_log("bytes=bye;end;");
}
END_TEST

START_TEST(h2_client_tells_of_a_reset)
{
	uh2_open_websocket();
	nghttp2_submit_rst_stream(uh2.ng, 0, uh2.id, NGHTTP2_ENHANCE_YOUR_CALM);
	uh2_turns(3);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_PEER, "ENHANCE_YOUR_CALM");
}
END_TEST

START_TEST(h2_client_tells_of_a_reset_before_the_answer)
{
	uh2.status = NULL;
	uh2_start();
	uh2_turns(3);
	nghttp2_submit_rst_stream(uh2.ng, 0, uh2.id, NGHTTP2_REFUSED_STREAM);
	uh2_turns(3);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_PEER, "REFUSED_STREAM");
}
END_TEST

START_TEST(h2_client_stays_when_the_server_says_goaway)
{
	uh2_open_websocket();
	nghttp2_submit_goaway(uh2.ng, 0, uh2.id, NGHTTP2_NO_ERROR, NULL, 0);
	uh2_turns(2);
	uh2_peer_send("still here");
	uh2_turns(2);
	uh2_expect_log("bytes=still here");
}
END_TEST

START_TEST(h2_client_tells_of_a_broken_protocol)
{
	static const uint8_t bad[] = { 0, 0, 1, 0x6, 0, 0, 0, 0, 0, 0 }; /* a PING of one byte */

	uh2_open_websocket();
	ck_assert_int_eq(send(uh2.fd, bad, sizeof(bad), 0), sizeof(bad));
	uh2_turns(3);
	uh2_expect_log("reset;");
	uh2_expect_reset(STREAM_E_PROTOCOL, "FRAME_SIZE_ERROR");
}
END_TEST

START_TEST(h2_client_ends_behind_what_is_queued)
{
	char text[3001];

	uh2.window = 1000;
	uh2_open_websocket();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	uh2_write_text(text);
	stream_end(user.s);
	uh2_turns(20);
	ck_assert_uint_eq(uh2.body.n, 3000);
	ck_assert(uh2.end);
	uh2_peer_send("answer");
	uh2_turns(2);
	uh2_expect_log("bytes=answer");
}
END_TEST

START_TEST(h2_client_close_flushes_and_says_goaway)
{
	uh2_open_websocket();
	uh2_write_text("last words");
	user_close(CLOSE_CLOSE);
	uh2_peer_send("too late");
	uh2_turns(4);
	ck_assert(span_eq(buf_span(&uh2.body), SPAN_LIT("last words")));
	ck_assert(uh2.end);
	ck_assert(uh2.goaway);
	ck_assert(uh2.eof);
	uh2_expect_log("");
}
END_TEST

START_TEST(h2_client_lingers_no_longer_than_the_loop)
{
	uh2_open_websocket();
	uh2.window = 0;
	user_close(CLOSE_CLOSE);
	uh2_turns(1);
	/* uh2_finish() frees the loop; nothing may be left of the connection. */
}
END_TEST

START_TEST(h2_client_abort_resets_the_stream)
{
	uh2_open_websocket();
	user_close(CLOSE_ABORT);
	uh2_turns(3);
	ck_assert(uh2.closed);
	ck_assert_uint_eq(uh2.error, NGHTTP2_CANCEL);
	ck_assert(uh2.eof);
}
END_TEST

START_TEST(h2_client_may_be_closed_from_within)
{
	static const enum close_how how[] = { CLOSE_CLOSE, CLOSE_ABORT };

	if (_i < 2)
		user.close_in_response = how[_i];
	else
		user.close_in_bytes = how[_i % 2];
	uh2_start();
	uh2_peer_send("hello");
	uh2_turns(4);
	uh2_expect_log(_i < 2 ? "101;" : "101;bytes=hello");
	ck_assert_ptr_null(user.s);
}
END_TEST

START_TEST(h2_client_may_be_closed_from_within_kept_bytes)
{
	uh2_open_websocket();
	stream_hold(user.s, STREAM_HOLD_PEER);
	uh2_peer_send("hello");
	uh2_turns(2);
	user.close_in_bytes = _i == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	stream_release(user.s, STREAM_HOLD_PEER);
	uh2_turns(2);
	uh2_expect_log("bytes=hello");
}
END_TEST

START_TEST(h2_client_is_no_server)
{
	struct stream_response r = { .status = 200 };

	uh2_open_websocket();
	ck_assert_int_eq(stream_respond(user.s, &r), -1);
	ck_assert_int_eq(stream_accept(user.s, NULL, 0), -1);
	ck_assert_ptr_null(stream_info(user.s));
}
END_TEST

START_TEST(h2_client_survives_start_without_memory)
{
	const char *why;
	bool pending;

	for (unsigned long n = 1;; n++) {
		mem_fail_nth(n);
		(void)uh2_try_start(SPAN_LIT("/"), USER_TIMEOUT_MS, &why);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		user_close(CLOSE_ABORT);
		unit_loop_turns(user.loop, 1);
		close(uh2.fd);
		uh2.fd = 0;
		if (pending)
			break;
	}
}
END_TEST

START_TEST(h2_client_survives_without_memory_later)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };

	/* What runs after the n-th allocation has failed may do anything but crash or leak. */
	uh2.echo = true;
	uh2_start();
	for (unsigned i = 0; i < (unsigned)_i; i++)
		uh2_turns(1);
	mem_fail_nth(1);
	uh2_turns(1);
	if (user.s != NULL)
		(void)stream_write(user.s, &iov, 1);
	uh2_turns(2);
	mem_fail_nth(0);
	uh2_turns(2);
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h2_client_sends_extended_connect, 1 },
		{ h2_client_waits_for_the_settings, 1 },
		{ h2_client_shows_heads, 1 },
		{ h2_client_is_refused_without_connect_protocol, 1 },
		{ h2_client_hands_up_other_answers_whole, 1 },
		{ h2_client_passes_over_trailers, 4 },
		{ h2_client_passes_over_interim_answers, 1 },
		{ h2_client_knows_who_speaks_no_http2, 1 },
		{ h2_client_tells_of_a_server_that_leaves, 1 },
		{ h2_client_gives_up_on_a_silent_server, 1 },
		{ h2_client_refuses_unclean_requests, 1 },
		{ h2_client_carries_bytes_both_ways, 1 },
		{ h2_client_minds_the_servers_window, 1 },
		{ h2_client_holds_back_no_more_than_a_window, 1 },
		{ h2_client_keeps_bytes_of_a_held_stream, 1 },
		{ h2_client_asks_for_the_budget, 1 },
		{ h2_client_tells_of_the_end_and_may_write_on, 1 },
		{ h2_client_tells_of_the_end_behind_what_is_held, 1 },
		{ h2_client_tells_of_a_reset, 1 },
		{ h2_client_tells_of_a_reset_before_the_answer, 1 },
		{ h2_client_stays_when_the_server_says_goaway, 1 },
		{ h2_client_tells_of_a_broken_protocol, 1 },
		{ h2_client_ends_behind_what_is_queued, 1 },
		{ h2_client_close_flushes_and_says_goaway, 1 },
		{ h2_client_lingers_no_longer_than_the_loop, 1 },
		{ h2_client_abort_resets_the_stream, 1 },
		{ h2_client_may_be_closed_from_within, 4 },
		{ h2_client_may_be_closed_from_within_kept_bytes, 2 },
		{ h2_client_is_no_server, 1 },
		{ h2_client_survives_start_without_memory, 1 },
		{ h2_client_survives_without_memory_later, 4 },
	};

	return unit_run_cases("h2_client", cases, UNIT_COUNT(cases), uh2_begin, uh2_finish);
}
