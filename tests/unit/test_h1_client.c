/*
 * Unit tests of src/http/h1_client.[ch]: the request, the 101 that answers it, and no memory for
 * either.
 */
#include "base/mem.h"
#include "unit_h1_client.h"

/* ---- the request */

START_TEST(h1_client_sends_websocket_request_exactly)
{
	struct h1_request r = uh1_request(true);
	char text[4096], want[4096];
	const char *why, *key;

	uh1_begin();
	ck_assert(uh1_try_start(&r, USER_TIMEOUT_MS, &why));
	uh1_peer_read(text, sizeof(text));
	key = strstr(text, "Sec-WebSocket-Key: ");
	ck_assert_ptr_nonnull(key);
	ck_assert(ws_key_valid((struct span){ key + 19, WS_KEY_N }));
	snprintf(want, sizeof(want),
	    "GET /chat/%%41?x=1&y={} HTTP/1.1\r\n"
	    "Host: app.example.com:8080\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Key: %.24s\r\n"
	    "Sec-WebSocket-Version: 13\r\n"
	    "Origin: https://app.example.com\r\n"
	    "Cookie: a=b; c=\"\t\xc3\xa9\"\r\n\r\n",
	    key + 19);
	ck_assert_str_eq(text, want);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_sends_plain_request_exactly)
{
	struct h1_request r = { .method = SPAN_LIT("OPTIONS"), .path = SPAN_LIT("*") };
	char text[4096];
	const char *why;

	uh1_begin();
	ck_assert(uh1_try_start(&r, USER_TIMEOUT_MS, &why));
	uh1_peer_read(text, sizeof(text));
	ck_assert_str_eq(text, "OPTIONS * HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_keeps_an_empty_query)
{
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/"),
		.query = SPAN_LIT(""),
		.authority = SPAN_LIT("[::1]") };
	char text[4096];
	const char *why;

	uh1_begin();
	ck_assert(uh1_try_start(&r, USER_TIMEOUT_MS, &why));
	uh1_peer_read(text, sizeof(text));
	ck_assert_str_eq(text, "GET /? HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_makes_a_fresh_key_each_time)
{
	char first[WS_KEY_N + 1];

	uh1_begin();
	uh1_start(true);
	memcpy(first, uh1.key, sizeof(first));
	user_close(CLOSE_ABORT);
	close(uh1.peer);
	uh1_start(true);
	ck_assert_str_ne(first, uh1.key);
	uh1_finish();
}
END_TEST

enum where { IN_METHOD, IN_PATH, IN_QUERY, IN_AUTHORITY, IN_NAME, IN_VALUE };

static const struct {
	enum where where;
	struct span text;
} unclean[] = {
	{ IN_METHOD, SPAN_LIT("") },
	{ IN_METHOD, SPAN_LIT("GE T") },
	{ IN_METHOD, SPAN_LIT("GET\r\n") },
	{ IN_PATH, SPAN_LIT("") },
	{ IN_PATH, SPAN_LIT("/a b") },
	{ IN_PATH, SPAN_LIT("/a\tb") },
	{ IN_PATH, SPAN_LIT("/a\rb") },
	{ IN_PATH, SPAN_LIT("/a\nb") },
	{ IN_PATH, SPAN_LIT("/a\0b") },
	{ IN_PATH, SPAN_LIT("/a\x7f") },
	{ IN_PATH, SPAN_LIT("/a\xc3\xa9") },
	{ IN_PATH, SPAN_LIT("/a?b") },
	{ IN_PATH, SPAN_LIT("/a#b") },
	{ IN_QUERY, SPAN_LIT("a b") },
	{ IN_QUERY, SPAN_LIT("a\r\nX: y") },
	{ IN_QUERY, SPAN_LIT("a\0") },
	{ IN_QUERY, SPAN_LIT("a#b") },
	{ IN_AUTHORITY, SPAN_LIT("a b") },
	{ IN_AUTHORITY, SPAN_LIT("a\r\nX: y") },
	{ IN_AUTHORITY, SPAN_LIT("a\0") },
	{ IN_AUTHORITY, SPAN_LIT("u@a") },
	{ IN_NAME, SPAN_LIT("") },
	{ IN_NAME, SPAN_LIT("a b") },
	{ IN_NAME, SPAN_LIT("a:") },
	{ IN_NAME, SPAN_LIT("a\r\nb") },
	{ IN_NAME, SPAN_LIT("a\0b") },
	{ IN_VALUE, SPAN_LIT("a\rb") },
	{ IN_VALUE, SPAN_LIT("a\nb") },
	{ IN_VALUE, SPAN_LIT("a\0b") },
	{ IN_VALUE, SPAN_LIT("a\x1b") },
	{ IN_VALUE, SPAN_LIT("a\x7f") },
	/* the connection's own */
	{ IN_NAME, SPAN_LIT("host") },
	{ IN_NAME, SPAN_LIT("CONNECTION") },
	{ IN_NAME, SPAN_LIT("Upgrade") },
	{ IN_NAME, SPAN_LIT("Content-Length") },
	{ IN_NAME, SPAN_LIT("Transfer-Encoding") },
	{ IN_NAME, SPAN_LIT("Sec-WebSocket-Key") },
	{ IN_NAME, SPAN_LIT("Sec-WebSocket-Version") },
};

START_TEST(h1_client_refuses_unclean_spans)
{
	uh1_begin();
	for (size_t i = 0; i < UNIT_COUNT(unclean); i++) {
		struct http_field f = { SPAN_LIT("Name"), SPAN_LIT("value") };
		struct h1_request r = uh1_request(true);
		struct span *place[] = { &r.method, &r.path, &r.query, &r.authority, &f.name,
			&f.value };
		const char *why = NULL;

		r.field = &f;
		r.n_fields = 1;
		*place[unclean[i].where] = unclean[i].text;
		ck_assert_msg(!uh1_try_start(&r, USER_TIMEOUT_MS, &why), "%zu", i);
		ck_assert_ptr_nonnull(why);
		ck_assert_msg(uh1_peer_at_eof(), "%zu: the descriptor is lost", i);
		close(uh1.peer);
		uh1.peer = -1;
	}
	uh1_finish();
}
END_TEST

START_TEST(h1_client_refuses_a_head_that_is_too_large)
{
	static char large[70000];
	struct http_field f = { SPAN_LIT("X"), { large, sizeof(large) } };
	struct h1_request r = uh1_request(true);
	const char *why = NULL;

	uh1_begin();
	memset(large, 'x', sizeof(large));
	r.field = &f;
	r.n_fields = 1;
	ck_assert(!uh1_try_start(&r, USER_TIMEOUT_MS, &why));
	ck_assert_str_eq(why, "the request's head is too large");
	uh1_turns(1);
	ck_assert(uh1_peer_alone());
	uh1_finish();
}
END_TEST

/* ---- the 101 */

START_TEST(h1_client_opens_a_websocket)
{
	char text[64];
	struct iovec iov = { (void *)(uintptr_t)UH1_HELLO, 7 };

	uh1_begin();
	uh1_start(true);
	uh1_peer_switch("");
	user_assert_log("101;");
	ck_assert_ptr_nonnull(strstr(user.head, "Upgrade=websocket|Connection=Upgrade|"));
	ck_assert_int_eq(stream_write(user.s, &iov, 1), 0);
	ck_assert_uint_eq(uh1_peer_read(text, sizeof(text)), 7);
	uh1_peer_say(UH1_HELLO);
	uh1_peer_say("more");
	user_assert_log("101;bytes=" UH1_HELLO "more");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_hands_up_bytes_behind_the_101)
{
	uh1_begin();
	uh1_start(true);
	uh1_peer_switch(UH1_HELLO);
	user_assert_log("101;bytes=" UH1_HELLO);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_takes_fields_in_any_case_and_lists)
{
	char out[1000];
	static const char text[] =
	    "HTTP/1.1 101\x20\r\nUPGRADE: WebSocket\r\n"
	    "connection: keep-alive\r\nconnection: , upGrade\r\n"
	    "sec-websocket-accept:  @ \r\nSec-WebSocket-Protocol: chat\r\n\r\n";

	uh1_begin();
	uh1_start(true);
	uh1_fill(out, text, sizeof(text) - 1);
	uh1_peer_say(out);
	user_assert_log("101;");
	ck_assert_ptr_nonnull(strstr(user.head, "Sec-WebSocket-Protocol=chat|"));
	uh1_finish();
}
END_TEST

#define UP "Upgrade: websocket\r\n"
#define CO "Connection: Upgrade\r\n"
#define AC "Sec-WebSocket-Accept: @\r\n"
#define ST "HTTP/1.1 101 Switching Protocols\r\n"

static const struct {
	const char *text, *why;
} bad_switches[] = {
	{ ST CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST "Upgrade: \r\n" CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST "Upgrade: h2c\r\n" CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST "Upgrade: websocket, h2c\r\n" CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST "Upgrade: websocket/13\r\n" CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST UP UP CO AC "\r\n", "backend's Upgrade is not websocket" },
	{ ST UP AC "\r\n", "backend's Connection has no upgrade" },
	{ ST UP "Connection: close\r\n" AC "\r\n", "backend's Connection has no upgrade" },
	{ ST UP "Connection: upgraded\r\n" AC "\r\n", "backend's Connection has no upgrade" },
	{ ST UP CO "\r\n", "backend's Sec-WebSocket-Accept is missing" },
	{ ST UP CO "Sec-WebSocket-Accept: \r\n\r\n", "backend's Sec-WebSocket-Accept is wrong" },
	{ ST UP CO "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	    "backend's Sec-WebSocket-Accept is wrong" },
	{ ST UP CO "Sec-WebSocket-Accept: @=\r\n\r\n", "backend's Sec-WebSocket-Accept is wrong" },
	{ ST UP CO "Sec-WebSocket-Accept: @, @\r\n\r\n",
	    "backend's Sec-WebSocket-Accept is wrong" },
	{ ST UP CO AC AC "\r\n", "backend's Sec-WebSocket-Accept is wrong" },
	{ "HTTP/1.0 101 Switching Protocols\r\n" UP CO AC "\r\n", "backend's 101 is HTTP/1.0" },
	/* what is no HTTP at all */
	{ "SSH-2.0-OpenSSH\r\n\r\n", "the backend's response is not well-formed HTTP" },
	{ "HTTP/1.1 101 ok\nUpgrade: websocket\n\n",
	    "the backend's response is not well-formed HTTP" },
	{ ST " " UP CO AC "\r\n", "the backend's response is not well-formed HTTP" },
	{ ST "Upgrade : websocket\r\n" CO AC "\r\n",
	    "the backend's response is not well-formed HTTP" },
	{ "HTTP/1.1 600 ok\r\n\r\n", "the backend's response is not well-formed HTTP" },
	{ "HTTP/3.0 200 ok\r\n\r\n", "the backend's response has an unknown HTTP version" },
	{ "HTTP/1.1 200 ok\r\nTransfer-Encoding: br\r\n\r\n",
	    "the backend's response has an unknown transfer coding" },
};

START_TEST(h1_client_refuses_bad_switches)
{
	char out[2000];

	uh1_begin();
	uh1_start(true);
	uh1_fill(out, bad_switches[_i].text, strlen(bad_switches[_i].text));
	uh1_peer_say(out);
	ck_assert_msg(user.s == NULL, "%d is taken", _i);
	user_assert_log("reset;");
	ck_assert_str_eq(user.why, bad_switches[_i].why);
	uh1_assert_reset(STREAM_E_PROTOCOL, bad_switches[_i].why);
	uh1_finish();
}
END_TEST

START_TEST(h1_client_refuses_switch_without_being_asked)
{
	uh1_begin();
	uh1_start(false);
	uh1_peer_switch(UH1_HELLO);
	user_assert_log("reset;");
	uh1_assert_reset(STREAM_E_PROTOCOL, "backend switched protocols without being asked");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_refuses_an_endless_head)
{
	static char text[40000];

	uh1_begin();
	uh1_start(true);
	memset(text, 'a', sizeof(text));
	memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
	uh1_peer_send(text, sizeof(text) / 2);
	uh1_turns(1);
	user_assert_log("");
	uh1_peer_send(text + sizeof(text) / 2, sizeof(text) / 2);
	uh1_turns(3);
	user_assert_log("reset;");
	ck_assert_int_eq(user.error, STREAM_E_PROTOCOL);
	ck_assert_str_eq(user.why, "the head of the backend's response is too large");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_passes_over_interim_responses)
{
	uh1_begin();
	uh1_start(true);
	uh1_peer_say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	uh1_peer_say("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 ?\r\n");
	user_assert_log("");
	uh1_peer_say("\r\n");
	uh1_peer_switch(UH1_HELLO);
	user_assert_log("101;bytes=" UH1_HELLO);
	uh1_finish();
}
END_TEST

/* Everything in one script, in two reads at every byte and byte by byte. */

START_TEST(h1_client_reads_a_switch_split_anywhere)
{
	static const char text[] = UH1_INTERIM UH1_SWITCH UH1_HELLO "ABC";
	char out[1000];
	size_t n = 100;

	for (size_t at = 0; at <= n; at++) {
		uh1_begin();
		uh1_start(true);
		n = uh1_fill(out, text, sizeof(text) - 1);
		uh1_peer_send(out, at);
		uh1_turns(1);
		uh1_peer_send(out + at, n - at);
		uh1_turns(2);
		user_assert_log("101;bytes=" UH1_HELLO "ABC");
		uh1_finish();
	}
	uh1_begin();
	uh1_start(true);
	n = uh1_fill(out, text, sizeof(text) - 1);
	for (size_t at = 0; at < n; at++) {
		uh1_peer_send(out + at, 1);
		uh1_turns(1);
	}
	user_assert_log("101;bytes=" UH1_HELLO "ABC");
	uh1_finish();
}
END_TEST

START_TEST(h1_client_is_no_server)
{
	struct stream_response r = { .status = 200 };

	uh1_begin();
	uh1_start(true);
	ck_assert_int_eq(stream_respond(user.s, &r), -1);
	ck_assert_int_eq(stream_accept(user.s, NULL, 0), -1);
	ck_assert_ptr_null(stream_info(user.s));
	uh1_finish();
}
END_TEST

/* ---- memory */

/* Whether the n-th allocation was never asked for. */
static bool
start_without_memory(unsigned long n)
{
	struct h1_request r = uh1_request(true);
	const char *why = NULL;
	bool started, pending;

	uh1_begin();
	mem_fail_nth(n);
	started = uh1_try_start(&r, USER_TIMEOUT_MS, &why);
	pending = mem_fail_pending();
	mem_fail_nth(0);
	ck_assert(started == pending);
	if (!started) {
		ck_assert_str_eq(why, "out of memory");
		uh1_turns(1);
		ck_assert(uh1_peer_alone());
	}
	uh1_finish();
	return pending;
}

START_TEST(h1_client_survives_start_without_memory)
{
	unsigned long n = 1;

	while (!start_without_memory(n))
		ck_assert_uint_lt(n++, 100);
	ck_assert_uint_ge(n, 3);
}
END_TEST

/* From the response on: a 101 in pieces, held, released and closed. */
START_TEST(h1_client_survives_without_memory_later)
{
	char out[1000];
	size_t len;
	bool pending = false;

	for (unsigned long n = 1; !pending; n++) {
		ck_assert_uint_lt(n, 50);
		uh1_begin();
		uh1_start(true);
		len = uh1_fill(out, UH1_SWITCH UH1_HELLO, sizeof(UH1_SWITCH UH1_HELLO) - 1);
		user.hold_in_response = true;
		mem_fail_nth(n);
		for (size_t at = 0; at < len && user.s != NULL; at += 60) {
			send(uh1.peer, out + at, len - at < 60 ? len - at : 60, MSG_NOSIGNAL);
			uh1_turns(1);
		}
		if (user.s != NULL) {
			user_release(STREAM_HOLD_BACKEND);
			uh1_turns(1);
			stream_hold(user.s, STREAM_HOLD_PEER);
		}
		user_close(CLOSE_CLOSE);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		if (strstr(user_logged(), "reset;") != NULL)
			uh1_assert_reset(STREAM_E_MEMORY, "out of memory");
		else
			user_assert_log("101;bytes=" UH1_HELLO);
		shutdown(uh1.peer, SHUT_WR);
		uh1_turns(2);
		uh1_finish();
	}
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h1_client_sends_websocket_request_exactly, 1 },
		{ h1_client_sends_plain_request_exactly, 1 },
		{ h1_client_keeps_an_empty_query, 1 },
		{ h1_client_makes_a_fresh_key_each_time, 1 },
		{ h1_client_refuses_unclean_spans, 1 },
		{ h1_client_refuses_a_head_that_is_too_large, 1 },
		{ h1_client_opens_a_websocket, 1 },
		{ h1_client_hands_up_bytes_behind_the_101, 1 },
		{ h1_client_takes_fields_in_any_case_and_lists, 1 },
		{ h1_client_refuses_bad_switches, UNIT_COUNT(bad_switches) },
		{ h1_client_refuses_switch_without_being_asked, 1 },
		{ h1_client_refuses_an_endless_head, 1 },
		{ h1_client_passes_over_interim_responses, 1 },
		{ h1_client_reads_a_switch_split_anywhere, 1 },
		{ h1_client_is_no_server, 1 },
		{ h1_client_survives_start_without_memory, 1 },
		{ h1_client_survives_without_memory_later, 1 },
	};

	return unit_run_cases("h1_client", cases, UNIT_COUNT(cases), NULL, NULL);
}
