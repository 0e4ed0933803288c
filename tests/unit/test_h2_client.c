/*
 * Unit tests of src/http/h2_client*.[ch].
 *
 * One end of a socket pair is the connection's; at the other nghttp2 plays a server, by the case's
 * wishes.  What comes up is written down as text ("101;bytes=abc;end;"), bytes that come one after
 * another as one run.
 */
#include "http/h2_client.h"

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/transport.h"
#include "unit_io.h"

#define TIMEOUT_MS 20000

enum close_how { CLOSE_NOT, CLOSE_CLOSE, CLOSE_ABORT };

struct peer {
	int fd;
	nghttp2_session *ng;
	/* wishes */
	bool no_connect;    /* SETTINGS without ENABLE_CONNECT_PROTOCOL */
	const char *status; /* NULL: no answer */
	bool interim;	    /* a 103 first */
	bool echo;
	int32_t window; /* of its streams; 0: the usual one */
	/* what came */
	struct buf head; /* "name=value|" */
	struct buf body;
	int32_t id;
	bool end, closed, goaway, eof;
	uint32_t error; /* with closed */
	/* what is to be sent */
	struct buf out;
	bool out_end, attached;
};

/* The user of the stream, and the server. */
struct user {
	struct loop *loop;
	struct stream *s; /* NULL once it is over */
	struct buf log;
	bool in_run, in_down_call;
	enum stream_error error;
	char why[160];
	unsigned rooms;
	bool hold_in_bytes, count_only;
	size_t bytes;
	enum close_how close_in_response, close_in_bytes;
	bool has_budget;
	size_t budget;
	struct buf trace;
	struct peer peer;
};

static struct user u;

/* ---- the user */

static void
user_note(const char *text)
{
	ck_assert_int_eq(buf_append_str(&u.log, text), 0);
	u.in_run = false;
}

static void
user_check(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	ck_assert(!u.in_down_call);
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
	char text[24];

	user_check(s);
	snprintf(text, sizeof(text), "%u;", h->status);
	user_note(text);
	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq(h->field[i].name, SPAN_LIT("x-test")))
			user_note("x-test;");
	user_close(u.close_in_response);
}

static void
user_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	user_check(s);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(s->holds, 0);
	u.bytes += n;
	if (u.has_budget) {
		ck_assert_uint_le(n, u.budget);
		u.budget -= n;
	}
	if (!u.count_only) {
		if (!u.in_run)
			user_note("bytes=");
		ck_assert_int_eq(buf_append(&u.log, p, n), 0);
		u.in_run = true;
	}
	memset(p - LOOP_HEADROOM, '!', LOOP_HEADROOM + n); /* they are ours */
	if (u.hold_in_bytes)
		stream_hold(s, STREAM_HOLD_PEER);
	user_close(u.close_in_bytes);
}

static void
user_on_room(struct stream *s)
{
	user_check(s);
	u.rooms++;
	ck_assert_uint_eq(stream_queued(s), 0);
}

static void
user_on_end(struct stream *s)
{
	user_check(s);
	user_note(u.in_run ? ";end;" : "end;");
}

static void
user_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	user_check(s);
	user_note(u.in_run ? ";reset;" : "reset;");
	u.error = e;
	snprintf(u.why, sizeof(u.why), "%s", why);
	u.s = NULL;
}

static size_t
user_budget(struct stream *s)
{
	ck_assert_ptr_eq(s, u.s);
	return u.has_budget ? u.budget : SIZE_MAX;
}

static void
user_on_trace(struct stream *s, bool sent, struct span head)
{
	(void)s;
	ck_assert_int_eq(buf_append_str(&u.trace, sent ? ">" : "<"), 0);
	ck_assert_int_eq(buf_append_span(&u.trace, head), 0);
}

static const struct stream_events user_events = {
	.response = user_on_response,
	.bytes = user_on_bytes,
	.room = user_on_room,
	.end = user_on_end,
	.reset = user_on_reset,
	.budget = user_budget,
	.trace = user_on_trace,
};

/* ---- the server */

static ssize_t
peer_on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct peer *p = arg;
	size_t n = p->out.n < max ? p->out.n : max;

	(void)ng;
	(void)id;
	(void)source;
	if (n == 0 && !p->out_end)
		return NGHTTP2_ERR_DEFERRED;
	if (n > 0)
		memcpy(buf, p->out.p, n);
	buf_consume(&p->out, n);
	if (p->out.n == 0 && p->out_end)
		*flags = NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void
peer_answer(struct peer *p)
{
	nghttp2_data_provider from = { .read_callback = peer_on_read };
	nghttp2_nv early = { .name = (uint8_t *)(uintptr_t) ":status",
		.namelen = 7,
		.value = (uint8_t *)(uintptr_t) "103",
		.valuelen = 3 };
	nghttp2_nv nv[] = {
		{ .name = early.name,
		    .namelen = 7,
		    .value = (uint8_t *)(uintptr_t)p->status,
		    .valuelen = strlen(p->status) },
		{ .name = (uint8_t *)(uintptr_t) "x-test",
		    .namelen = 6,
		    .value = (uint8_t *)(uintptr_t) "1",
		    .valuelen = 1 },
	};

	if (p->interim)
		ck_assert_int_eq(nghttp2_submit_headers(p->ng, 0, p->id, NULL, &early, 1, NULL), 0);
	ck_assert_int_eq(nghttp2_submit_response(p->ng, p->id, nv, 2, &from), 0);
}

static int
peer_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct peer *p = arg;

	(void)ng;
	(void)frame;
	(void)flags;
	buf_append(&p->head, name, name_n);
	buf_append_char(&p->head, '=');
	buf_append(&p->head, value, value_n);
	buf_append_char(&p->head, '|');
	return 0;
}

static int
peer_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct peer *p = arg;

	(void)ng;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		p->id = frame->hd.stream_id;
		if (p->status != NULL)
			peer_answer(p);
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		p->end = true;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		p->goaway = true;
	return 0;
}

static int
peer_on_data(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *arg)
{
	struct peer *p = arg;

	(void)flags;
	ck_assert_int_eq(buf_append(p->echo ? &p->out : &p->body, data, n), 0);
	if (p->echo)
		(void)nghttp2_session_resume_data(ng, id);
	return 0;
}

static int
peer_on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct peer *p = arg;

	(void)ng;
	ck_assert_int_eq(id, p->id);
	p->closed = true;
	p->error = error;
	return 0;
}

static void
peer_begin(struct peer *p)
{
	nghttp2_settings_entry iv[2] = { { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 } };
	nghttp2_session_callbacks *cb;
	size_t n = p->no_connect ? 0 : 1;

	ck_assert_int_eq(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, peer_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, peer_on_close);
	ck_assert_int_eq(nghttp2_session_server_new(&p->ng, cb, p), 0);
	nghttp2_session_callbacks_del(cb);
	if (p->window != 0)
		iv[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
			(uint32_t)p->window };
	ck_assert_int_eq(nghttp2_submit_settings(p->ng, 0, iv, n), 0);
}

/* Read what there is, send what there is. */
static void
peer_turn(struct peer *p)
{
	uint8_t data[65536];
	const uint8_t *out;
	ssize_t n;

	while ((n = recv(p->fd, data, sizeof(data), 0)) > 0)
		if (nghttp2_session_mem_recv(p->ng, data, (size_t)n) < 0)
			break;
	p->eof |= n == 0;
	if (p->id != 0 && !p->closed && p->status != NULL)
		(void)nghttp2_session_resume_data(p->ng, p->id);
	while ((n = nghttp2_session_mem_send(p->ng, &out)) > 0)
		for (ssize_t sent = 0, k; sent < n; sent += k) {
			k = send(p->fd, out + sent, (size_t)(n - sent), MSG_NOSIGNAL);
			if (k == -1 && errno == EAGAIN) {
				unit_loop_turns(u.loop, 1);
				k = 0;
			} else if (k == -1) {
				return;
			}
		}
}

static void
turns(unsigned n)
{
	while (n-- > 0) {
		unit_loop_turns(u.loop, 2);
		if (u.peer.ng != NULL)
			peer_turn(&u.peer);
	}
	unit_loop_turns(u.loop, 2);
}

static void
peer_send(const char *text)
{
	ck_assert_int_eq(buf_append_str(&u.peer.out, text), 0);
}

/* ---- getting there */

static const struct http_field fields[] = {
	{ SPAN_LIT("Origin"), SPAN_LIT("https://app.example.com") },
	{ SPAN_LIT("X-Mixed"), SPAN_LIT("MiXeD") },
};

static void
begin(void)
{
	memset(&u, 0, sizeof(u));
	buf_init(&u.log, 1 << 20);
	buf_init(&u.trace, 1 << 16);
	buf_init(&u.peer.head, 1 << 16);
	buf_init(&u.peer.body, 1 << 24);
	buf_init(&u.peer.out, 1 << 24);
	u.peer.status = "200";
	ck_assert_ptr_nonnull(u.loop = loop_new());
}

static void
finish(void)
{
	user_close(CLOSE_ABORT);
	unit_loop_turns(u.loop, 2);
	if (u.peer.fd != 0)
		close(u.peer.fd);
	nghttp2_session_del(u.peer.ng);
	buf_clear(&u.log);
	buf_clear(&u.trace);
	buf_clear(&u.peer.head);
	buf_clear(&u.peer.body);
	buf_clear(&u.peer.out);
	loop_free(u.loop);
}

static const struct transport_events no_events = { .ready = NULL };

static bool
try_start(struct span path, uint64_t timeout_ms, const char **why)
{
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = path,
		.query = SPAN_LIT("x=1"),
		.authority = SPAN_LIT("app.example.com:8080"),
		.field = fields,
		.n_fields = 2,
		.websocket = true };
	struct transport t;
	int fd[2];

	unit_unix_pair(fd);
	u.peer.fd = fd[1];
	if (transport_start(&t, u.loop, &no_events, fd[0], NULL) == -1)
		return false;
	u.in_down_call = true;
	u.s = h2_client_start_on(&t, &r, true, timeout_ms, &user_events, &u, why);
	u.in_down_call = false;
	ck_assert(transport_closed(&t));
	return u.s != NULL;
}

static void
start(void)
{
	const char *why = "";

	u.why[0] = '\0';
	peer_begin(&u.peer);
	ck_assert_msg(try_start(SPAN_LIT("/chat"), TIMEOUT_MS, &why), "%s", why);
	ck_assert_ptr_null(why);
}

static void
open_websocket(void)
{
	start();
	turns(4);
	ck_assert_str_eq(u.why, "");
	ck_assert(span_eq(buf_span(&u.log), SPAN_LIT("101;x-test;")));
	u.log.n = 0;
}

static void
write_text(const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	u.in_down_call = true;
	ck_assert_int_eq(stream_write(u.s, &iov, 1), 0);
	u.in_down_call = false;
}

static void
expect_log(const char *text)
{
	ck_assert_msg(span_eq(buf_span(&u.log), span_from_str(text)), "%.*s, not %s",
	    SPAN_ARG(buf_span(&u.log)), text);
	u.log.n = 0;
	u.in_run = false;
}

static void
expect_reset(enum stream_error e, const char *word)
{
	ck_assert_ptr_null(u.s);
	ck_assert_int_eq(u.error, e);
	ck_assert_msg(strstr(u.why, word) != NULL, "\"%s\" is not about %s", u.why, word);
}

static bool
peer_has(const char *text)
{
	return memmem(u.peer.head.p, u.peer.head.n, text, strlen(text)) != NULL;
}

/* ---- the handshake */

START_TEST(h2_client_sends_extended_connect)
{
	start();
	turns(4);
	ck_assert(span_eq(buf_span(&u.peer.head),
	    SPAN_LIT(":method=CONNECT|:protocol=websocket|:scheme=https|"
		     ":authority=app.example.com:8080|:path=/chat?x=1|sec-websocket-version=13|"
		     "origin=https://app.example.com|x-mixed=MiXeD|")));
	ck_assert(!u.peer.end);
	expect_log("101;x-test;");
}
END_TEST

START_TEST(h2_client_waits_for_the_settings)
{
	const char *why;

	ck_assert(try_start(SPAN_LIT("/"), TIMEOUT_MS, &why));
	turns(3);
	peer_begin(&u.peer);
	/* The request is not there before the server has said that it may come. */
	uint8_t data[4096];
	ssize_t n = recv(u.peer.fd, data, sizeof(data), 0);

	ck_assert_int_gt(n, 24);
	ck_assert_ptr_null(memmem(data, (size_t)n, "example", 7));
	ck_assert_int_ge(nghttp2_session_mem_recv(u.peer.ng, data, (size_t)n), 0);
	turns(4);
	ck_assert(peer_has(":protocol=websocket|"));
	expect_log("101;x-test;");
}
END_TEST

START_TEST(h2_client_shows_heads)
{
	start();
	turns(4);
	ck_assert_ptr_nonnull(memmem(u.trace.p, u.trace.n, ">:method: CONNECT\r\n", 19));
	ck_assert_ptr_nonnull(memmem(u.trace.p, u.trace.n, "<:status: 200\r\nx-test: 1\r\n", 26));
}
END_TEST

START_TEST(h2_client_is_refused_without_connect_protocol)
{
	u.peer.no_connect = true;
	start();
	turns(4);
	expect_log("reset;");
	expect_reset(STREAM_E_REFUSED, "ENABLE_CONNECT_PROTOCOL");
	ck_assert_uint_eq(u.peer.head.n, 0);
}
END_TEST

START_TEST(h2_client_hands_up_other_answers_whole)
{
	u.peer.status = "403";
	u.peer.out_end = true;
	peer_send("go away");
	start();
	turns(5);
	expect_log("403;x-test;bytes=go away;end;");
}
END_TEST

START_TEST(h2_client_passes_over_interim_answers)
{
	u.peer.interim = true;
	open_websocket();
	write_text("hi");
	turns(3);
	ck_assert(span_eq(buf_span(&u.peer.body), SPAN_LIT("hi")));
}
END_TEST

START_TEST(h2_client_knows_who_speaks_no_http2)
{
	static const char *const said[] = { "HTTP/1.1 400 Bad Request\r\n\r\n",
		"\0\0\0\0\0\0\0\0\0", "SSH-2.0-x\r\n................." };

	for (size_t i = 0; i < UNIT_COUNT(said); i++) {
		const char *why;

		ck_assert(try_start(SPAN_LIT("/"), TIMEOUT_MS, &why));
		turns(2);
		ck_assert_int_gt(send(u.peer.fd, said[i], i == 1 ? 9 : strlen(said[i]), 0), 0);
		turns(3);
		expect_log("reset;");
		expect_reset(STREAM_E_PROTOCOL, "does not speak HTTP/2");
		close(u.peer.fd);
	}
	u.peer.fd = 0;
}
END_TEST

START_TEST(h2_client_tells_of_a_server_that_leaves)
{
	const char *why;

	ck_assert(try_start(SPAN_LIT("/"), TIMEOUT_MS, &why));
	turns(1);
	shutdown(u.peer.fd, SHUT_WR);
	turns(2);
	expect_log("reset;");
	expect_reset(STREAM_E_PEER, "without a response");
	close(u.peer.fd);

	open_websocket();
	shutdown(u.peer.fd, SHUT_WR);
	turns(2);
	expect_log("reset;");
	expect_reset(STREAM_E_PEER, "ended the connection");
}
END_TEST

START_TEST(h2_client_gives_up_on_a_silent_server)
{
	const char *why;
	unsigned limit = 0;

	u.peer.status = NULL;
	peer_begin(&u.peer);
	ck_assert(try_start(SPAN_LIT("/"), 50, &why));
	while (u.s != NULL && limit++ < 10000) {
		turns(1);
		usleep(1000);
	}
	expect_log("reset;");
	expect_reset(STREAM_E_TIMEOUT, "in time");
}
END_TEST

START_TEST(h2_client_refuses_unclean_requests)
{
	const char *why = NULL;

	ck_assert(!try_start(SPAN_LIT("/a b"), TIMEOUT_MS, &why));
	ck_assert_ptr_nonnull(strstr(why, "path"));
}
END_TEST

/* ---- bytes */

START_TEST(h2_client_carries_bytes_both_ways)
{
	u.peer.echo = true;
	open_websocket();
	write_text("one ");
	write_text("two ");
	ck_assert_uint_eq(stream_queued(u.s), 8);
	turns(4);
	write_text("three");
	turns(4);
	expect_log("bytes=one two three");
	ck_assert_uint_eq(stream_queued(u.s), 0);
	ck_assert_uint_eq(u.rooms, 2); /* what is written waits for the turn's end */
}
END_TEST

START_TEST(h2_client_minds_the_servers_window)
{
	char text[5001];

	u.peer.window = 1000;
	open_websocket();
	nghttp2_session_set_local_window_size(u.peer.ng, 0, 0, 1 << 20);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_text(text);
	/* nghttp2 gives the window back as it reads. */
	turns(20);
	ck_assert_uint_eq(u.peer.body.n, 5000);
	ck_assert_uint_eq(stream_queued(u.s), 0);
	ck_assert_uint_eq(u.rooms, 1);
}
END_TEST

START_TEST(h2_client_holds_back_no_more_than_a_window)
{
	char text[65536];

	open_websocket();
	stream_hold(u.s, STREAM_HOLD_PEER);
	memset(text, 'y', sizeof(text));
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(buf_append(&u.peer.out, text, sizeof(text)), 0);
	turns(60);
	expect_log("");
	ck_assert_uint_ge(u.peer.out.n, (64 - 16) * sizeof(text)); /* a window is 1 MiB */
	u.count_only = true;
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(100);
	ck_assert_uint_eq(u.bytes, 64 * sizeof(text));
}
END_TEST

START_TEST(h2_client_keeps_bytes_of_a_held_stream)
{
	open_websocket();
	u.hold_in_bytes = true;
	peer_send("one");
	turns(2);
	peer_send("two");
	turns(2);
	expect_log("bytes=one");
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(2);
	expect_log("bytes=two");
	u.hold_in_bytes = false;
	stream_release(u.s, STREAM_HOLD_PEER);
	peer_send("three");
	turns(2);
	expect_log("bytes=three");
}
END_TEST

START_TEST(h2_client_asks_for_the_budget)
{
	open_websocket();
	u.has_budget = true;
	u.budget = 2;
	peer_send("abcdef");
	turns(3);
	expect_log("bytes=ab");
	u.budget = 3;
	stream_hold(u.s, STREAM_HOLD_PEER);
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(2);
	expect_log("bytes=cde");
	u.budget = 10;
	stream_hold(u.s, STREAM_HOLD_PEER);
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(2);
	expect_log("bytes=f");
}
END_TEST

/* ---- ends */

START_TEST(h2_client_tells_of_the_end_and_may_write_on)
{
	open_websocket();
	peer_send("bye");
	u.peer.out_end = true;
	turns(3);
	expect_log("bytes=bye;end;");
	write_text("more");
	turns(2);
	ck_assert(span_eq(buf_span(&u.peer.body), SPAN_LIT("more")));
	stream_end(u.s);
	turns(2);
	ck_assert(u.peer.end);
}
END_TEST

START_TEST(h2_client_tells_of_the_end_behind_what_is_held)
{
	open_websocket();
	stream_hold(u.s, STREAM_HOLD_PEER);
	peer_send("bye");
	u.peer.out_end = true;
	turns(3);
	expect_log("");
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(2);
	expect_log("bytes=bye;end;");
}
END_TEST

START_TEST(h2_client_tells_of_a_reset)
{
	open_websocket();
	nghttp2_submit_rst_stream(u.peer.ng, 0, u.peer.id, NGHTTP2_ENHANCE_YOUR_CALM);
	turns(3);
	expect_log("reset;");
	expect_reset(STREAM_E_PEER, "ENHANCE_YOUR_CALM");
}
END_TEST

START_TEST(h2_client_tells_of_a_reset_before_the_answer)
{
	u.peer.status = NULL;
	start();
	turns(3);
	nghttp2_submit_rst_stream(u.peer.ng, 0, u.peer.id, NGHTTP2_REFUSED_STREAM);
	turns(3);
	expect_log("reset;");
	expect_reset(STREAM_E_PEER, "REFUSED_STREAM");
}
END_TEST

START_TEST(h2_client_stays_when_the_server_says_goaway)
{
	open_websocket();
	nghttp2_submit_goaway(u.peer.ng, 0, u.peer.id, NGHTTP2_NO_ERROR, NULL, 0);
	turns(2);
	peer_send("still here");
	turns(2);
	expect_log("bytes=still here");
}
END_TEST

START_TEST(h2_client_tells_of_a_broken_protocol)
{
	static const uint8_t bad[] = { 0, 0, 1, 0x6, 0, 0, 0, 0, 0, 0 }; /* a PING of one byte */

	open_websocket();
	ck_assert_int_eq(send(u.peer.fd, bad, sizeof(bad), 0), sizeof(bad));
	turns(3);
	expect_log("reset;");
	expect_reset(STREAM_E_PROTOCOL, "FRAME_SIZE_ERROR");
}
END_TEST

START_TEST(h2_client_ends_behind_what_is_queued)
{
	char text[3001];

	u.peer.window = 1000;
	open_websocket();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_text(text);
	stream_end(u.s);
	turns(20);
	ck_assert_uint_eq(u.peer.body.n, 3000);
	ck_assert(u.peer.end);
	peer_send("answer");
	turns(2);
	expect_log("bytes=answer");
}
END_TEST

START_TEST(h2_client_close_flushes_and_says_goaway)
{
	open_websocket();
	write_text("last words");
	user_close(CLOSE_CLOSE);
	peer_send("too late");
	turns(4);
	ck_assert(span_eq(buf_span(&u.peer.body), SPAN_LIT("last words")));
	ck_assert(u.peer.end);
	ck_assert(u.peer.goaway);
	ck_assert(u.peer.eof);
	expect_log("");
}
END_TEST

START_TEST(h2_client_lingers_no_longer_than_the_loop)
{
	open_websocket();
	u.peer.window = 0;
	user_close(CLOSE_CLOSE);
	turns(1);
	/* finish() frees the loop; nothing may be left of the connection. */
}
END_TEST

START_TEST(h2_client_abort_resets_the_stream)
{
	open_websocket();
	user_close(CLOSE_ABORT);
	turns(3);
	ck_assert(u.peer.closed);
	ck_assert_uint_eq(u.peer.error, NGHTTP2_CANCEL);
	ck_assert(u.peer.eof);
}
END_TEST

START_TEST(h2_client_may_be_closed_from_within)
{
	static const enum close_how how[] = { CLOSE_CLOSE, CLOSE_ABORT };

	if (_i < 2)
		u.close_in_response = how[_i];
	else
		u.close_in_bytes = how[_i % 2];
	start();
	peer_send("hello");
	turns(4);
	expect_log(_i < 2 ? "101;x-test;" : "101;x-test;bytes=hello");
	ck_assert_ptr_null(u.s);
}
END_TEST

START_TEST(h2_client_may_be_closed_from_within_kept_bytes)
{
	open_websocket();
	stream_hold(u.s, STREAM_HOLD_PEER);
	peer_send("hello");
	turns(2);
	u.close_in_bytes = _i == 0 ? CLOSE_CLOSE : CLOSE_ABORT;
	stream_release(u.s, STREAM_HOLD_PEER);
	turns(2);
	expect_log("bytes=hello");
}
END_TEST

START_TEST(h2_client_is_no_server)
{
	struct stream_response r = { .status = 200 };

	open_websocket();
	ck_assert_int_eq(stream_respond(u.s, &r), -1);
	ck_assert_int_eq(stream_accept(u.s, NULL, 0), -1);
	ck_assert_ptr_null(stream_info(u.s));
}
END_TEST

START_TEST(h2_client_survives_start_without_memory)
{
	const char *why;
	bool pending;

	for (unsigned long n = 1;; n++) {
		mem_fail_nth(n);
		(void)try_start(SPAN_LIT("/"), TIMEOUT_MS, &why);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		user_close(CLOSE_ABORT);
		unit_loop_turns(u.loop, 1);
		close(u.peer.fd);
		u.peer.fd = 0;
		if (pending)
			break;
	}
}
END_TEST

START_TEST(h2_client_survives_without_memory_later)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };

	/* What runs after the n-th allocation has failed may do anything but crash or leak. */
	u.peer.echo = true;
	start();
	for (unsigned i = 0; i < (unsigned)_i; i++)
		turns(1);
	mem_fail_nth(1);
	turns(1);
	if (u.s != NULL)
		(void)stream_write(u.s, &iov, 1);
	turns(2);
	mem_fail_nth(0);
	turns(2);
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
		{ h2_client_is_no_server, 1 },
		{ h2_client_survives_start_without_memory, 1 },
		{ h2_client_may_be_closed_from_within, 4 },
		{ h2_client_may_be_closed_from_within_kept_bytes, 2 },
		{ h2_client_survives_without_memory_later, 4 },
	};

	return unit_run_cases("h2_client", cases, UNIT_COUNT(cases), begin, finish);
}
