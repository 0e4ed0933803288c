/*
 * Unit tests of src/http/h1_client.[ch].
 *
 * One end of a socket pair is the connection's; the other is a backend that
 * follows the case's script.  What comes up is written down as text
 * ("101;bytes=abc;end;"), bytes that come one after another as one run.
 */
#include "http/h1_client.h"

#include "base/buf.h"
#include "base/mem.h"
#include "codec/ws_key.h"
#include "unit_io.h"

#define TIMEOUT_MS 20000
#define HELLO "\x81\x05hello"

enum close_how { CLOSE_NOT, CLOSE_CLOSE, CLOSE_ABORT };

/* The user of the stream: notes what comes up, and does as it was told. */
struct user {
	struct loop *loop;
	struct stream *s; /* NULL once it is over */
	int peer;	  /* the backend's end; -1: closed */
	struct buf log;
	bool in_run;	   /* the log ends in bytes */
	bool in_down_call; /* no up-call may come now */
	enum stream_error error;
	char why[120];
	char head[2000]; /* the fields of the response */
	unsigned rooms;
	uint64_t bytes;
	bool count_only;
	/* what to do */
	enum close_how close_in_response, close_in_bytes;
	bool hold_in_response, hold_in_bytes, release_in_bytes;
	bool stop_on_reset;
	bool has_budget;
	size_t budget;
	char key[WS_KEY_N + 1];
};

static struct user u;

static void
user_note(const char *text)
{
	ck_assert_int_eq(buf_append_str(&u.log, text), 0);
	u.in_run = false;
}

static struct user *
user_of(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	ck_assert_ptr_eq(s->user, &u);
	ck_assert(!u.in_down_call);
	return &u;
}

static void
user_close(enum close_how how)
{
	struct stream *s = u.s;

	if (how == CLOSE_NOT || s == NULL)
		return;
	u.s = NULL;
	if (how == CLOSE_CLOSE)
		stream_close(s, TIMEOUT_MS);
	else
		stream_abort(s);
}

static void
user_on_response(struct stream *s, const struct http_head *h)
{
	struct user *user = user_of(s);
	char text[24];
	size_t n = 0;

	snprintf(text, sizeof(text), "%u;", h->status);
	user_note(text);
	if (user->hold_in_response)
		stream_hold(s, STREAM_HOLD_BACKEND);
	user_close(user->close_in_response);
	/* The head is ours until we return, whatever became of the stream. */
	for (size_t i = 0; i < h->n_fields; i++)
		n += (size_t)snprintf(user->head + n, sizeof(user->head) - n, "%.*s=%.*s|",
		    SPAN_ARG(h->field[i].name), SPAN_ARG(h->field[i].value));
}

static void
user_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct user *user = user_of(s);

	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(s->holds, 0);
	user->bytes += n;
	if (user->has_budget) {
		ck_assert_uint_le(n, user->budget);
		user->budget -= n;
	}
	if (!user->count_only) {
		if (!user->in_run)
			user_note("bytes=");
		ck_assert_int_eq(buf_append(&user->log, p, n), 0);
		user->in_run = true;
	}
	/* They are ours to write into, and the room in front is too, as with any read. */
	memset(p - LOOP_HEADROOM, '!', LOOP_HEADROOM + n);
	if (user->hold_in_bytes)
		stream_hold(s, STREAM_HOLD_PEER);
	if (user->release_in_bytes)
		stream_release(s, STREAM_HOLD_PEER);
	user_close(user->close_in_bytes);
}

static void
user_on_room(struct stream *s)
{
	user_of(s)->rooms++;
	ck_assert_uint_eq(stream_queued(s), 0);
}

static void
user_on_end(struct stream *s)
{
	if (user_of(s)->in_run)
		user_note(";");
	user_note("end;");
}

static void
user_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct user *user = user_of(s);

	if (user->in_run)
		user_note(";");
	user_note("reset;");
	user->error = e;
	snprintf(user->why, sizeof(user->why), "%s", why);
	user->s = NULL;
	if (user->stop_on_reset)
		loop_stop(user->loop);
}

static size_t
user_budget(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	return u.has_budget ? u.budget : SIZE_MAX;
}

static const struct stream_events user_events = {
	.response = user_on_response,
	.bytes = user_on_bytes,
	.room = user_on_room,
	.end = user_on_end,
	.reset = user_on_reset,
	.budget = user_budget,
};

/* ---- the backend, and getting there */

static const struct http_field fields[] = {
	{ SPAN_LIT("Origin"), SPAN_LIT("https://app.example.com") },
	{ SPAN_LIT("Cookie"), SPAN_LIT("a=b; c=\"\t\xc3\xa9\"") },
};

static struct h1_request
request(bool websocket)
{
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/chat/%41"),
		.query = SPAN_LIT("x=1&y={}"),
		.authority = SPAN_LIT("app.example.com:8080"),
		.field = fields,
		.n_fields = 2,
		.websocket = websocket };

	return r;
}

static void
turns(unsigned n)
{
	unit_loop_turns(u.loop, n);
}

static void
begin(void)
{
	memset(&u, 0, sizeof(u));
	u.peer = -1;
	buf_init(&u.log, 1 << 20);
	ck_assert_ptr_nonnull(u.loop = loop_new());
}

/* End whatever is left; nothing may be lost, so that LeakSanitizer can tell. */
static void
finish(void)
{
	user_close(CLOSE_ABORT);
	turns(2);
	if (u.peer != -1)
		close(u.peer);
	buf_clear(&u.log);
	loop_free(u.loop);
}

static bool
try_start(const struct h1_request *r, uint64_t timeout_ms, const char **why)
{
	int fd[2];

	unit_unix_pair(fd);
	u.peer = fd[1];
	u.in_down_call = true;
	u.s = h1_client_start(u.loop, fd[0], r, timeout_ms, &user_events, &u, why);
	u.in_down_call = false;
	return u.s != NULL;
}

/* The backend reads what is there, a C string. */
static size_t
peer_read(char *out, size_t size)
{
	ssize_t n = recv(u.peer, out, size - 1, 0);

	if (n == -1)
		ck_assert(errno == EAGAIN || errno == ECONNRESET);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static bool
peer_at_eof(void)
{
	char c;

	return recv(u.peer, &c, 1, 0) == 0;
}

/* Whether the connection's own descriptor is gone. */
static bool
peer_alone(void)
{
	return send(u.peer, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE;
}

static void
peer_send(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(u.peer, p, n, MSG_NOSIGNAL);

		if (sent == -1) {
			ck_assert_int_eq(errno, EAGAIN);
			turns(1);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static void
peer_say(const char *text)
{
	peer_send(text, strlen(text));
	turns(1);
}

/* Start, and let the backend read the request. */
static void
start_request(const struct h1_request *r)
{
	const char *why = "?", *key;
	char text[4096];

	ck_assert(try_start(r, TIMEOUT_MS, &why));
	ck_assert_ptr_null(why);
	peer_read(text, sizeof(text));
	if (r->websocket) {
		key = strstr(text, "Sec-WebSocket-Key: ");
		ck_assert_ptr_nonnull(key);
		memcpy(u.key, key + 19, WS_KEY_N);
	}
}

static void
start(bool websocket)
{
	struct h1_request r = request(websocket);

	start_request(&r);
}

/* Text with the accept value put in for each '@'. */
static size_t
fill(char *out, const char *text, size_t n)
{
	char accept[WS_ACCEPT_N + 1];
	size_t m = 0;

	ck_assert_int_eq(ws_key_accept(span_from_str(u.key), accept), 0);
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '@') {
			memcpy(out + m, accept, WS_ACCEPT_N);
			m += WS_ACCEPT_N;
		} else {
			out[m++] = text[i];
		}
	}
	out[m] = '\0';
	return m;
}

#define SWITCH                                                       \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
	"Connection: Upgrade\r\nSec-WebSocket-Accept: @\r\n\r\n"

static void
peer_switch(const char *behind)
{
	char text[8192], out[8192];

	snprintf(text, sizeof(text), "%s%s", SWITCH, behind);
	fill(out, text, strlen(text));
	peer_say(out);
}

static const char *
logged(void)
{
	ck_assert_int_eq(buf_append_char(&u.log, '\0'), 0);
	u.log.n--;
	return u.log.p;
}

#define assert_log(text) ck_assert_str_eq(logged(), text)

static void
assert_reset(enum stream_error e, const char *why)
{
	ck_assert_ptr_null(u.s);
	ck_assert_int_eq(u.error, e);
	ck_assert_str_eq(u.why, why);
	turns(1);
	ck_assert(peer_alone());
}

/* ---- the request */

START_TEST(h1_client_sends_websocket_request_exactly)
{
	struct h1_request r = request(true);
	char text[4096], want[4096];
	const char *why, *key;

	begin();
	ck_assert(try_start(&r, TIMEOUT_MS, &why));
	peer_read(text, sizeof(text));
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
	finish();
}
END_TEST

START_TEST(h1_client_sends_plain_request_exactly)
{
	struct h1_request r = { .method = SPAN_LIT("OPTIONS"), .path = SPAN_LIT("*") };
	char text[4096];
	const char *why;

	begin();
	ck_assert(try_start(&r, TIMEOUT_MS, &why));
	peer_read(text, sizeof(text));
	ck_assert_str_eq(text, "OPTIONS * HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n");
	finish();
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

	begin();
	ck_assert(try_start(&r, TIMEOUT_MS, &why));
	peer_read(text, sizeof(text));
	ck_assert_str_eq(text, "GET /? HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n");
	finish();
}
END_TEST

START_TEST(h1_client_makes_a_fresh_key_each_time)
{
	char first[WS_KEY_N + 1];

	begin();
	start(true);
	memcpy(first, u.key, sizeof(first));
	user_close(CLOSE_ABORT);
	close(u.peer);
	start(true);
	ck_assert_str_ne(first, u.key);
	finish();
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
	begin();
	for (size_t i = 0; i < UNIT_COUNT(unclean); i++) {
		struct http_field f = { SPAN_LIT("Name"), SPAN_LIT("value") };
		struct h1_request r = request(true);
		struct span *place[] = { &r.method, &r.path, &r.query, &r.authority, &f.name,
			&f.value };
		const char *why = NULL;

		r.field = &f;
		r.n_fields = 1;
		*place[unclean[i].where] = unclean[i].text;
		ck_assert_msg(!try_start(&r, TIMEOUT_MS, &why), "%zu", i);
		ck_assert_ptr_nonnull(why);
		ck_assert_msg(peer_at_eof(), "%zu: the descriptor is lost", i);
		close(u.peer);
		u.peer = -1;
	}
	finish();
}
END_TEST

START_TEST(h1_client_refuses_a_head_that_is_too_large)
{
	static char large[70000];
	struct http_field f = { SPAN_LIT("X"), { large, sizeof(large) } };
	struct h1_request r = request(true);
	const char *why = NULL;

	begin();
	memset(large, 'x', sizeof(large));
	r.field = &f;
	r.n_fields = 1;
	ck_assert(!try_start(&r, TIMEOUT_MS, &why));
	ck_assert_str_eq(why, "the request's head is too large");
	turns(1);
	ck_assert(peer_alone());
	finish();
}
END_TEST

/* ---- the 101 */

START_TEST(h1_client_opens_a_websocket)
{
	char text[64];
	struct iovec iov = { (void *)(uintptr_t)HELLO, 7 };

	begin();
	start(true);
	peer_switch("");
	assert_log("101;");
	ck_assert_ptr_nonnull(strstr(u.head, "Upgrade=websocket|Connection=Upgrade|"));
	ck_assert_int_eq(stream_write(u.s, &iov, 1), 0);
	ck_assert_uint_eq(peer_read(text, sizeof(text)), 7);
	peer_say(HELLO);
	peer_say("more");
	assert_log("101;bytes=" HELLO "more");
	finish();
}
END_TEST

START_TEST(h1_client_hands_up_bytes_behind_the_101)
{
	begin();
	start(true);
	peer_switch(HELLO);
	assert_log("101;bytes=" HELLO);
	finish();
}
END_TEST

START_TEST(h1_client_takes_fields_in_any_case_and_lists)
{
	char out[1000];
	static const char text[] =
	    "HTTP/1.1 101\x20\r\nUPGRADE: WebSocket\r\n"
	    "connection: keep-alive\r\nconnection: , upGrade\r\n"
	    "sec-websocket-accept:  @ \r\nSec-WebSocket-Protocol: chat\r\n\r\n";

	begin();
	start(true);
	fill(out, text, sizeof(text) - 1);
	peer_say(out);
	assert_log("101;");
	ck_assert_ptr_nonnull(strstr(u.head, "Sec-WebSocket-Protocol=chat|"));
	finish();
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

	begin();
	start(true);
	fill(out, bad_switches[_i].text, strlen(bad_switches[_i].text));
	peer_say(out);
	ck_assert_msg(u.s == NULL, "%d is taken", _i);
	assert_log("reset;");
	ck_assert_str_eq(u.why, bad_switches[_i].why);
	assert_reset(STREAM_E_PROTOCOL, bad_switches[_i].why);
	finish();
}
END_TEST

START_TEST(h1_client_refuses_switch_without_being_asked)
{
	begin();
	start(false);
	peer_switch(HELLO);
	assert_log("reset;");
	assert_reset(STREAM_E_PROTOCOL, "backend switched protocols without being asked");
	finish();
}
END_TEST

START_TEST(h1_client_refuses_an_endless_head)
{
	static char text[40000];

	begin();
	start(true);
	memset(text, 'a', sizeof(text));
	memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
	peer_send(text, sizeof(text) / 2);
	turns(1);
	assert_log("");
	peer_send(text + sizeof(text) / 2, sizeof(text) / 2);
	turns(3);
	assert_log("reset;");
	ck_assert_int_eq(u.error, STREAM_E_PROTOCOL);
	ck_assert_str_eq(u.why, "the head of the backend's response is too large");
	finish();
}
END_TEST

START_TEST(h1_client_passes_over_interim_responses)
{
	begin();
	start(true);
	peer_say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	peer_say("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 ?\r\n");
	assert_log("");
	peer_say("\r\n");
	peer_switch(HELLO);
	assert_log("101;bytes=" HELLO);
	finish();
}
END_TEST

/* Everything in one script, in two reads at every byte and byte by byte. */
#define INTERIM "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

START_TEST(h1_client_reads_a_switch_split_anywhere)
{
	static const char text[] = INTERIM SWITCH HELLO "ABC";
	char out[1000];
	size_t n = 100;

	for (size_t at = 0; at <= n; at++) {
		begin();
		start(true);
		n = fill(out, text, sizeof(text) - 1);
		peer_send(out, at);
		turns(1);
		peer_send(out + at, n - at);
		turns(2);
		assert_log("101;bytes=" HELLO "ABC");
		finish();
	}
	begin();
	start(true);
	n = fill(out, text, sizeof(text) - 1);
	for (size_t at = 0; at < n; at++) {
		peer_send(out + at, 1);
		turns(1);
	}
	assert_log("101;bytes=" HELLO "ABC");
	finish();
}
END_TEST

/* ---- other answers and their bodies */

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
	{ "GET", INTERIM "HTTP/1.1 301 x\r\nContent-Length: 2\r\n\r\nab", false,
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
	struct h1_request r = request(websocket);
	size_t n = strlen(bodies[i].text);
	const char *p = bodies[i].text;

	r.method = span_from_str(bodies[i].method);
	begin();
	start_request(&r);
	for (size_t at = 0; at < n && u.s != NULL; at += step) {
		/* What comes behind a body may meet a connection that is gone. */
		send(u.peer, p + at, step < n - at ? step : n - at, MSG_NOSIGNAL);
		turns(1);
	}
	if (bodies[i].eof)
		shutdown(u.peer, SHUT_WR);
	turns(2);
	assert_log(bodies[i].log);
	finish();
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
	begin();
	start(true);
	peer_say("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhell");
	shutdown(u.peer, SHUT_WR);
	turns(1);
	assert_reset(STREAM_E_PEER, "backend cut the response's body short");
	finish();
	begin();
	start(true);
	peer_say("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz");
	assert_reset(STREAM_E_PROTOCOL, "the chunked coding of the backend's response is broken");
	finish();
}
END_TEST

START_TEST(h1_client_tells_of_a_backend_that_leaves)
{
	begin();
	start(true);
	shutdown(u.peer, SHUT_WR);
	turns(1);
	assert_log("reset;");
	assert_reset(STREAM_E_PEER, "backend closed without a response");
	finish();
	begin();
	start(true);
	peer_say("HTTP/1.1 101 Sw");
	shutdown(u.peer, SHUT_WR);
	turns(1);
	assert_log("reset;");
	assert_reset(STREAM_E_PEER, "backend closed within the response's head");
	finish();
}
END_TEST

START_TEST(h1_client_tells_of_a_broken_connection)
{
	struct h1_request r = request(true);
	struct iovec iov = { (void *)(uintptr_t)HELLO, 7 };
	const char *why;
	int fd[2];

	begin();
	start(true);
	peer_switch("");
	close(u.peer);
	u.peer = -1;
	u.in_down_call = true;
	ck_assert_int_eq(stream_write(u.s, &iov, 1), -1);
	u.in_down_call = false;
	turns(1);
	assert_log("101;reset;");
	ck_assert_int_eq(u.error, STREAM_E_PEER);
	finish();

	/* gone before the request */
	begin();
	unit_unix_pair(fd);
	close(fd[1]);
	u.in_down_call = true;
	u.s = h1_client_start(u.loop, fd[0], &r, TIMEOUT_MS, &user_events, &u, &why);
	u.in_down_call = false;
	ck_assert_ptr_nonnull(u.s);
	turns(1);
	assert_log("reset;");
	finish();
}
END_TEST

START_TEST(h1_client_hands_up_the_end_of_a_websocket)
{
	struct iovec iov = { (void *)(uintptr_t)HELLO, 7 };
	char text[64];

	begin();
	start(true);
	peer_switch(HELLO);
	shutdown(u.peer, SHUT_WR);
	turns(2);
	assert_log("101;bytes=" HELLO ";end;");
	/* The other way is still open. */
	ck_assert_int_eq(stream_write(u.s, &iov, 1), 0);
	ck_assert_uint_eq(peer_read(text, sizeof(text)), 7);
	finish();
}
END_TEST

/* A RST while the head is awaited, while the WebSocket is open, and while nobody listens. */
START_TEST(h1_client_tells_of_a_reset_by_the_peer)
{
	struct h1_request r = request(true);
	const char *why;
	char text[4096];
	int fd[2];

	begin();
	unit_tcp_pair(fd);
	u.peer = fd[1];
	u.s = h1_client_start(u.loop, fd[0], &r, TIMEOUT_MS, &user_events, &u, &why);
	ck_assert_ptr_nonnull(u.s);
	while (peer_read(text, sizeof(text)) == 0)
		turns(1);
	memcpy(u.key, strstr(text, "Sec-WebSocket-Key: ") + 19, WS_KEY_N);
	if (_i > 0)
		peer_switch("");
	while (_i > 0 && u.log.n == 0)
		turns(1);
	if (_i == 2)
		user_close(CLOSE_CLOSE);
	unit_reset(u.peer);
	u.peer = -1;
	for (int i = 0; i < 1000 && unit_fd_open(fd[0]); i++)
		turns(1);
	ck_assert(!unit_fd_open(fd[0]));
	ck_assert_ptr_null(u.s);
	assert_log(_i == 0 ? "reset;" : _i == 1 ? "101;reset;" : "101;");
	ck_assert(_i == 2 || u.error == STREAM_E_PEER);
	finish();
}
END_TEST

/* The peer ended, we wrote on, and then it is gone: somebody has to be told. */
START_TEST(h1_client_tells_of_a_broken_connection_after_the_end)
{
	struct iovec iov = { (void *)(uintptr_t)HELLO, 7 };

	begin();
	start(true);
	peer_switch("");
	shutdown(u.peer, SHUT_WR);
	turns(1);
	assert_log("101;end;");
	close(u.peer);
	u.peer = -1;
	ck_assert_int_eq(stream_write(u.s, &iov, 1), -1);
	turns(2);
	assert_log("101;end;reset;");
	finish();
}
END_TEST

/* ---- time */

START_TEST(h1_client_gives_up_on_a_silent_backend)
{
	struct h1_request r = request(true);
	const char *why;

	begin();
	u.stop_on_reset = true;
	ck_assert(try_start(&r, 30, &why));
	/* Interim responses do not count. */
	peer_say(INTERIM);
	if (u.s != NULL)
		unit_loop_run(u.loop);
	assert_log("reset;");
	assert_reset(STREAM_E_TIMEOUT, "no response from the backend in time");
	finish();
}
END_TEST

static void
on_stop(struct loop_timer *t)
{
	(void)t;
	loop_stop(u.loop);
}

static void
wait_ms(uint64_t ms)
{
	struct loop_timer t = { .fn = on_stop };

	loop_timer_arm(u.loop, &t, loop_now_ms(u.loop) + ms);
	unit_loop_run(u.loop);
}

START_TEST(h1_client_has_no_limit_after_the_head)
{
	struct h1_request r = request(false);
	const char *why;

	begin();
	ck_assert(try_start(&r, 400, &why));
	peer_say("HTTP/1.1 200 OK\r\n\r\n");
	wait_ms(450);
	assert_log("200;");
	finish();
}
END_TEST

START_TEST(h1_client_waits_forever_when_told_so)
{
	struct h1_request r = request(false);
	const char *why;

	begin();
	ck_assert(try_start(&r, CONFIG_NEVER, &why));
	wait_ms(30);
	peer_say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_log("200;end;");
	finish();
}
END_TEST

/* ---- holds and budgets */

static void
release(enum stream_hold why)
{
	u.in_down_call = true;
	stream_release(u.s, why);
	u.in_down_call = false;
}

START_TEST(h1_client_keeps_bytes_of_a_held_stream)
{
	begin();
	start(true);
	u.hold_in_response = true;
	peer_switch(HELLO);
	peer_say("later");
	assert_log("101;");
	release(STREAM_HOLD_BACKEND);
	assert_log("101;");
	turns(2);
	assert_log("101;bytes=" HELLO "later");
	finish();
}
END_TEST

START_TEST(h1_client_reads_the_head_of_a_held_stream)
{
	begin();
	start(true);
	stream_hold(u.s, STREAM_HOLD_RATE);
	stream_hold(u.s, STREAM_HOLD_PEER);
	peer_switch(HELLO);
	assert_log("101;");
	release(STREAM_HOLD_RATE);
	turns(1);
	assert_log("101;");
	release(STREAM_HOLD_PEER);
	turns(1);
	assert_log("101;bytes=" HELLO);
	stream_hold(u.s, STREAM_HOLD_PEER);
	peer_say("x");
	assert_log("101;bytes=" HELLO);
	release(STREAM_HOLD_PEER);
	turns(1);
	assert_log("101;bytes=" HELLO "x");
	finish();
}
END_TEST

/* Held again before the task ran: nothing may come. */
START_TEST(h1_client_minds_a_hold_after_the_release)
{
	begin();
	start(true);
	u.hold_in_response = true;
	peer_switch(HELLO);
	release(STREAM_HOLD_BACKEND);
	stream_hold(u.s, STREAM_HOLD_PEER);
	turns(2);
	assert_log("101;");
	release(STREAM_HOLD_PEER);
	turns(1);
	assert_log("101;bytes=" HELLO);
	finish();
}
END_TEST

START_TEST(h1_client_forgets_kept_bytes_of_a_closed_stream)
{
	begin();
	start(true);
	u.hold_in_response = true;
	peer_switch(HELLO);
	release(STREAM_HOLD_BACKEND);
	user_close(_i == 0 ? CLOSE_CLOSE : CLOSE_ABORT);
	turns(2);
	assert_log("101;");
	shutdown(u.peer, SHUT_WR);
	turns(2);
	ck_assert(peer_at_eof());
	finish();
}
END_TEST

/* Each run of a body holds; each release brings the next, and the end after the last. */
START_TEST(h1_client_holds_within_a_body)
{
	static const char chunked[] = "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n";
	static const char length[] = "HTTP/1.1 200 x\r\nContent-Length: 3\r\n\r\nabc";

	begin();
	start(true);
	u.hold_in_bytes = true;
	peer_say(_i == 0 ? chunked : length);
	assert_log(_i == 0 ? "200;bytes=a" : "200;bytes=abc");
	for (int i = 0; i < 2 && _i == 0; i++) {
		turns(2);
		release(STREAM_HOLD_PEER);
		turns(2);
	}
	assert_log("200;bytes=abc");
	release(STREAM_HOLD_PEER);
	assert_log("200;bytes=abc");
	turns(1);
	assert_log("200;bytes=abc;end;");
	finish();
}
END_TEST

START_TEST(h1_client_holds_and_releases_within_bytes)
{
	begin();
	start(true);
	u.hold_in_bytes = u.release_in_bytes = true;
	peer_say("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
	turns(1);
	assert_log("200;bytes=abc;end;");
	finish();
}
END_TEST

START_TEST(h1_client_holds_back_an_empty_body_too)
{
	begin();
	start(true);
	u.hold_in_response = true;
	peer_say("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
	turns(2);
	assert_log("403;");
	release(STREAM_HOLD_BACKEND);
	turns(1);
	assert_log("403;end;");
	finish();
}
END_TEST

START_TEST(h1_client_asks_for_the_budget)
{
	begin();
	start(true);
	u.has_budget = true;
	u.budget = 3;
	peer_switch(HELLO); /* three of the bytes behind the head */
	turns(2);
	assert_log("101;bytes=\x81\x05h");
	u.budget = 2;
	stream_hold(u.s, STREAM_HOLD_RATE);
	release(STREAM_HOLD_RATE);
	turns(2);
	assert_log("101;bytes=\x81\x05hel");
	u.budget = 6;
	stream_hold(u.s, STREAM_HOLD_RATE);
	release(STREAM_HOLD_RATE);
	turns(1);
	assert_log("101;bytes=" HELLO);
	peer_say("0123456789"); /* by the budget of reads */
	turns(2);
	assert_log("101;bytes=" HELLO "0123");
	u.budget = 100;
	turns(2);
	assert_log("101;bytes=" HELLO "0123");
	stream_hold(u.s, STREAM_HOLD_RATE);
	release(STREAM_HOLD_RATE);
	turns(1);
	assert_log("101;bytes=" HELLO "0123456789");
	finish();
}
END_TEST

START_TEST(h1_client_keeps_no_more_than_one_read)
{
	static char text[300000];
	size_t sent = 0;
	ssize_t n;

	begin();
	start(true);
	u.count_only = true;
	u.hold_in_response = true;
	peer_switch("");
	/* All that the kernel takes, while nobody reads. */
	while ((n = send(u.peer, text, sizeof(text), MSG_NOSIGNAL)) > 0) {
		sent += (size_t)n;
		turns(1);
	}
	ck_assert_uint_lt(sent, 4 * sizeof(text));
	release(STREAM_HOLD_BACKEND);
	for (int i = 0; i < 1000 && u.bytes < sent; i++)
		turns(1);
	ck_assert_uint_eq(u.bytes, sent);
	finish();
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
	while (stream_queued(u.s) == 0) {
		ck_assert_int_eq(stream_write(u.s, &iov, 1), 0);
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
		got = peer_read(text, sizeof(text));
		n += got;
		idle = got == 0 ? idle + 1 : 0;
		turns(1);
	}
	return n;
}

START_TEST(h1_client_tells_of_room)
{
	size_t n;

	begin();
	start(true);
	peer_switch("");
	n = write_until_queued();
	turns(2);
	ck_assert_uint_eq(u.rooms, 0);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert_uint_eq(u.rooms, 1);
	ck_assert_uint_eq(stream_queued(u.s), 0);
	finish();
}
END_TEST

START_TEST(h1_client_ends_behind_what_is_queued)
{
	size_t n;

	begin();
	start(true);
	peer_switch("");
	n = write_until_queued();
	stream_end(u.s);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(peer_at_eof());
	/* The backend may go on. */
	peer_say("x");
	assert_log("101;bytes=x");
	finish();
}
END_TEST

START_TEST(h1_client_close_flushes_and_reads_on_until_the_peer_ends)
{
	size_t n;

	begin();
	start(true);
	peer_switch("");
	n = write_until_queued();
	user_close(CLOSE_CLOSE);
	peer_say("nobody hears this");
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(peer_at_eof());
	peer_say("nor this");
	ck_assert(!peer_alone());
	shutdown(u.peer, SHUT_WR);
	turns(1);
	assert_log("101;");
	ck_assert_int_eq(send(u.peer, "x", 1, MSG_NOSIGNAL), -1);
	finish();
}
END_TEST

START_TEST(h1_client_close_flushes_after_the_peer_ended)
{
	size_t n;

	begin();
	start(true);
	peer_switch("");
	shutdown(u.peer, SHUT_WR);
	turns(1);
	n = write_until_queued();
	user_close(CLOSE_CLOSE);
	ck_assert_uint_eq(peer_drain(), n);
	ck_assert(peer_at_eof());
	assert_log("101;end;");
	finish();
}
END_TEST

START_TEST(h1_client_close_gives_up_lingering)
{
	struct stream *s;

	begin();
	start(true);
	peer_switch("");
	s = u.s;
	u.s = NULL;
	stream_close(s, 300);
	turns(1);
	ck_assert(peer_at_eof());
	ck_assert(!peer_alone());
	wait_ms(350);
	ck_assert(peer_alone());
	finish();
}
END_TEST

START_TEST(h1_client_close_without_linger_is_at_once)
{
	struct stream *s;

	begin();
	start(true);
	peer_switch("");
	s = u.s;
	u.s = NULL;
	stream_close(s, 0);
	ck_assert(peer_alone());
	finish();
}
END_TEST

/* Without time to linger, what is queued is delivered nevertheless. */
START_TEST(h1_client_close_without_linger_flushes)
{
	struct stream *s;
	size_t n;

	begin();
	start(true);
	peer_switch("");
	n = write_until_queued();
	s = u.s;
	u.s = NULL;
	stream_close(s, 0);
	ck_assert_uint_eq(peer_drain(), n);
	turns(1);
	ck_assert(peer_alone());
	finish();
}
END_TEST

START_TEST(h1_client_closes_before_the_response)
{
	begin();
	start(true);
	user_close(_i == 0 ? CLOSE_CLOSE : CLOSE_ABORT);
	if (_i == 0) {
		ck_assert(peer_at_eof());
		peer_switch(HELLO);
		shutdown(u.peer, SHUT_WR);
		turns(1);
	}
	assert_log("");
	ck_assert(peer_at_eof());
	finish();
}
END_TEST

/* In each up-call, with the head in one piece and in two. */
START_TEST(h1_client_may_be_closed_from_within_response)
{
	char out[1000];
	size_t n, cut = _i % 2 == 0 ? 0 : 50;

	begin();
	start(true);
	u.close_in_response = _i / 2 == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	n = fill(out, SWITCH HELLO, sizeof(SWITCH HELLO) - 1);
	peer_send(out, cut);
	turns(1);
	peer_send(out + cut, n - cut);
	turns(2);
	assert_log("101;");
	ck_assert_ptr_nonnull(strstr(u.head, "Upgrade=websocket|Connection=Upgrade|"));
	shutdown(u.peer, SHUT_WR);
	turns(2);
	finish();
}
END_TEST

START_TEST(h1_client_may_be_closed_from_within_bytes)
{
	static const char *const text[] = {
		"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\na",
	};

	begin();
	start(true);
	u.close_in_bytes = _i % 2 == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	if (_i / 2 == 2)
		peer_switch("a");
	else
		peer_say(text[_i / 2]);
	turns(1);
	assert_log(_i / 2 == 2 ? "101;bytes=a" : "200;bytes=a");
	ck_assert_ptr_null(u.s);
	shutdown(u.peer, SHUT_WR);
	turns(2);
	finish();
}
END_TEST

/* ...and when they had been kept. */
START_TEST(h1_client_may_be_closed_from_within_kept_bytes)
{
	begin();
	start(true);
	u.hold_in_response = true;
	u.close_in_bytes = _i == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	peer_switch("abc");
	release(STREAM_HOLD_BACKEND);
	turns(2);
	assert_log("101;bytes=abc");
	shutdown(u.peer, SHUT_WR);
	turns(2);
	finish();
}
END_TEST

START_TEST(h1_client_is_no_server)
{
	struct stream_response r = { .status = 200 };

	begin();
	start(true);
	ck_assert_int_eq(stream_respond(u.s, &r), -1);
	ck_assert_int_eq(stream_accept(u.s, NULL, 0), -1);
	ck_assert_ptr_null(stream_info(u.s));
	finish();
}
END_TEST

/* ---- memory */

/* Whether the n-th allocation was never asked for. */
static bool
start_without_memory(unsigned long n)
{
	struct h1_request r = request(true);
	const char *why = NULL;
	bool started, pending;

	begin();
	mem_fail_nth(n);
	started = try_start(&r, TIMEOUT_MS, &why);
	pending = mem_fail_pending();
	mem_fail_nth(0);
	ck_assert(started == pending);
	if (!started) {
		ck_assert_str_eq(why, "out of memory");
		turns(1);
		ck_assert(peer_alone());
	}
	finish();
	return pending;
}

START_TEST(h1_client_survives_start_without_memory)
{
	unsigned long n = 1;

	while (!start_without_memory(n))
		ck_assert_uint_lt(n++, 100);
	ck_assert_uint_ge(n, 4);
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
		begin();
		ck_assert_int_eq(buf_reserve(&u.log, 1000), 0);
		start(true);
		len = fill(out, SWITCH HELLO, sizeof(SWITCH HELLO) - 1);
		u.hold_in_response = true;
		mem_fail_nth(n);
		for (size_t at = 0; at < len && u.s != NULL; at += 60) {
			send(u.peer, out + at, len - at < 60 ? len - at : 60, MSG_NOSIGNAL);
			turns(1);
		}
		if (u.s != NULL) {
			release(STREAM_HOLD_BACKEND);
			turns(1);
			stream_hold(u.s, STREAM_HOLD_PEER);
		}
		user_close(CLOSE_CLOSE);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		if (strstr(logged(), "reset;") != NULL)
			assert_reset(STREAM_E_MEMORY, "out of memory");
		else
			assert_log("101;bytes=" HELLO);
		shutdown(u.peer, SHUT_WR);
		turns(2);
		finish();
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
		{ h1_client_is_no_server, 1 },
		{ h1_client_survives_start_without_memory, 1 },
		{ h1_client_survives_without_memory_later, 1 },
	};

	return unit_run_cases("h1_client", cases, UNIT_COUNT(cases), NULL, NULL);
}
