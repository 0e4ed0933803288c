/*
 * Unit tests of src/http/h1_client.[ch]: other answers and their bodies, how they end, and how
 * long they may take.
 */
#include "unit_h1_client.h"

static const struct {
	const char *method, *text;
	bool eof;
	const char *log;
} bodies[] = {
	{ "GET", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello", false,
	    "403;bytes=hello;end;" },
	{ "GET", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello", true,
	    "403;bytes=hello;end;" },
	{ "GET", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhelloEXTRA", false,
	    "403;bytes=hello;end;" },
	{ "GET", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, "403;end;" },
	{ "GET", "HTTP/1.1 204 No\r\n\r\n", false, "204;end;" },
	{ "GET", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", false, "304;end;" },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, "200;end;" },
	{ "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, "200;end;" },
	{ "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, "200;bytes=until the end;end;" },
	{ "GET", "HTTP/1.0 200 OK\r\n\r\n", true, "200;end;" },
	{ "GET",
	    "HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5;a=b\r\nhello\r\n1\r\n \r\n006\r\nworld!\r\n0\r\nT: x\r\n\r\nEXTRA",
	    false, "502;bytes=hello world!;end;" },
	{ "GET", "HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false,
	    "502;end;" },
	{ "GET", UH1_INTERIM "HTTP/1.1 301 x\r\nContent-Length: 2\r\n\r\nab", false,
	    "301;bytes=ab;end;" },
	/* cut short, broken */
	{ "GET", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhell", true,
	    "403;bytes=hell;reset;" },
	{ "GET", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true,
	    "403;bytes=hello;reset;" },
	{ "GET", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", true,
	    "403;bytes=hello;reset;" },
	{ "GET", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!", false,
	    "403;bytes=hello;reset;" },
	{ "GET", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nxyz", false, "403;reset;" },
};

static void
play_body(int i, size_t step, bool websocket)
{
	struct h1_request r = uh1_request(websocket);
	size_t n = strlen(bodies[i].text);
	const char *p = bodies[i].text;

	r.method = span_from_str(bodies[i].method);
	uh1_begin();
	uh1_start_request(&r);
	for (size_t at = 0; at < n && user.s != NULL; at += step) {
		/* What comes behind a body may meet a connection that is gone. */
		send(uh1.peer, p + at, step < n - at ? step : n - at, MSG_NOSIGNAL);
		uh1_turns(1);
	}
	if (bodies[i].eof)
		shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	user_assert_log(bodies[i].log);
	uh1_finish();
}

START_TEST(h1_client_hands_up_bodies)
{
	for (int i = 0; i < (int)UNIT_COUNT(bodies); i++) {
		play_body(i, SIZE_MAX, false);
		play_body(i, SIZE_MAX, true);
	}
}
END_TEST

START_TEST(h1_client_hands_up_bodies_in_pieces)
{
	for (size_t step = 1; step < 60; step++)
		play_body(_i, step, step % 2 == 0);
}
END_TEST

START_TEST(h1_client_tells_how_a_body_broke)
{
	uh1_begin();
	uh1_start(true);
	uh1_peer_say("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhell");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	uh1_assert_reset(STREAM_E_PEER, "backend cut the response's body short");
	uh1_finish();
	uh1_begin();
	uh1_start(true);
	uh1_peer_say("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz");
	uh1_assert_reset(
	    STREAM_E_PROTOCOL, "the chunked coding of the backend's response is broken");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_tells_of_a_backend_that_leaves)
{
	uh1_begin();
	uh1_start(true);
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	user_assert_log("reset;");
	uh1_assert_reset(STREAM_E_PEER, "backend closed without a response");
	uh1_finish();
	uh1_begin();
	uh1_start(true);
	uh1_peer_say("HTTP/1.1 101 Sw");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	user_assert_log("reset;");
	uh1_assert_reset(STREAM_E_PEER, "backend closed within the response's head");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_tells_of_a_broken_connection)
{
	struct h1_request r = uh1_request(true);
	struct iovec iov = { (void *)(uintptr_t)UH1_HELLO, 7 };
	const char *why;
	int fd[2];

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	close(uh1.peer);
	uh1.peer = -1;
	user.in_down_call = true;
	ck_assert_int_eq(stream_write(user.s, &iov, 1), -1);
	user.in_down_call = false;
	uh1_turns(1);
	user_assert_log("101;reset;");
	ck_assert_int_eq(user.error, STREAM_E_PEER);
	uh1_finish();

	/* gone before the request */
	uh1_begin();
	unit_unix_pair(fd);
	close(fd[1]);
	user.in_down_call = true;
	user.s = h1_client_start(user.loop, fd[0], &r, USER_TIMEOUT_MS, &user_events, &user, &why);
	user.in_down_call = false;
	ck_assert_ptr_nonnull(user.s);
	uh1_turns(1);
	user_assert_log("reset;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_hands_up_the_end_of_a_websocket)
{
	struct iovec iov = { (void *)(uintptr_t)UH1_HELLO, 7 };
	char text[64];

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch(UH1_HELLO);
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(2);
	user_assert_log("101;bytes=" UH1_HELLO ";end;");
	/* The other way is still open. */
	ck_assert_int_eq(stream_write(user.s, &iov, 1), 0);
	ck_assert_uint_eq(uh1_peer_read(text, sizeof(text)), 7);
	uh1_finish();
}
END_TEST

/* A RST while the head is awaited, while the WebSocket is open, and while nobody listens. */
START_TEST(h1_client_tells_of_a_reset_by_the_peer)
{
	struct h1_request r = uh1_request(true);
	const char *why;
	char text[4096];
	int fd[2];

	uh1_begin();
	unit_tcp_pair(fd);
	uh1.peer = fd[1];
	user.s = h1_client_start(user.loop, fd[0], &r, USER_TIMEOUT_MS, &user_events, &user, &why);
	ck_assert_ptr_nonnull(user.s);
	while (uh1_peer_read(text, sizeof(text)) == 0)
		uh1_turns(1);
	memcpy(uh1.key, strstr(text, "Sec-WebSocket-Key: ") + 19, WS_KEY_N);
	if (_i > 0)
		uh1_peer_switch("");
	while (_i > 0 && user.log.n == 0)
		uh1_turns(1);
	if (_i == 2)
		user_close(CLOSE_CLOSE);
	unit_reset(uh1.peer);
	uh1.peer = -1;
	for (int i = 0; i < 1000 && unit_fd_open(fd[0]); i++)
		uh1_turns(1);
	ck_assert(!unit_fd_open(fd[0]));
	ck_assert_ptr_null(user.s);
	user_assert_log(_i == 0 ? "reset;" : _i == 1 ? "101;reset;" : "101;");
	ck_assert(_i == 2 || user.error == STREAM_E_PEER);
	uh1_finish();
}
END_TEST

/* The peer ended, we wrote on, and then it is gone: somebody has to be told. */
START_TEST(h1_client_tells_of_a_broken_connection_after_the_end)
{
	struct iovec iov = { (void *)(uintptr_t)UH1_HELLO, 7 };

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	shutdown(uh1.peer, SHUT_WR);
	uh1_turns(1);
	user_assert_log("101;end;");
	close(uh1.peer);
	uh1.peer = -1;
	ck_assert_int_eq(stream_write(user.s, &iov, 1), -1);
	uh1_turns(2);
	user_assert_log("101;end;reset;");
	uh1_finish();
}
END_TEST

/* ---- time */

START_TEST(h1_client_gives_up_on_a_silent_backend)
{
	struct h1_request r = uh1_request(true);
	const char *why;

	uh1_begin();
	user.stop_on_reset = true;
	ck_assert(uh1_try_start(&r, 30, &why));
	/* Interim responses do not count. */
	uh1_peer_say(UH1_INTERIM);
	if (user.s != NULL)
		unit_loop_run(user.loop);
	user_assert_log("reset;");
	uh1_assert_reset(STREAM_E_TIMEOUT, "no response from the backend in time");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_has_no_limit_after_the_head)
{
	struct h1_request r = uh1_request(false);
	const char *why;

	uh1_begin();
	ck_assert(uh1_try_start(&r, 400, &why));
	uh1_peer_say("HTTP/1.1 200 OK\r\n\r\n");
	unit_wait_ms(user.loop, 450);
	user_assert_log("200;");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_waits_forever_when_told_so)
{
	struct h1_request r = uh1_request(false);
	const char *why;

	uh1_begin();
	ck_assert(uh1_try_start(&r, CONFIG_NEVER, &why));
	unit_wait_ms(user.loop, 30);
	uh1_peer_say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	user_assert_log("200;end;");
	uh1_finish();
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h1_client_hands_up_bodies, 1 },
		{ h1_client_hands_up_bodies_in_pieces, UNIT_COUNT(bodies) },
		{ h1_client_tells_how_a_body_broke, 1 },
		{ h1_client_tells_of_a_backend_that_leaves, 1 },
		{ h1_client_tells_of_a_broken_connection, 1 },
		{ h1_client_hands_up_the_end_of_a_websocket, 1 },
		{ h1_client_tells_of_a_reset_by_the_peer, 3 },
		{ h1_client_tells_of_a_broken_connection_after_the_end, 1 },
		{ h1_client_gives_up_on_a_silent_backend, 1 },
		{ h1_client_has_no_limit_after_the_head, 1 },
		{ h1_client_waits_forever_when_told_so, 1 },
	};

	return unit_run_cases("h1_client_answer", cases, UNIT_COUNT(cases), NULL, NULL);
}
