/*
 * The HTTP/2 server on a loop, with nghttp2's client at the other end of a socketpair: what its
 * user is told, and that every allocation may fail.  The scenarios (tests/scenario/http2*.py)
 * look at it from outside.
 */
#include <nghttp2/nghttp2.h>

#include "base/mem.h"
#include "http/http_server.h"
#include "unit_config.h"
#include "unit_io.h"

#define US_STREAMS 16

struct us_client_stream {
	int32_t id;
	int status;
	char body[65536];
	size_t n;
	bool closed;
	uint32_t error;
	/* to send */
	const char *out;
	size_t out_n;
	bool out_end;
};

static struct {
	struct loop *loop;
	struct unit_config uc;
	struct http_server_list list;
	struct http_handler handler;
	int fd;		     /* the client's; -1: closed */
	nghttp2_session *ng; /* the client's */
	struct us_client_stream stream[US_STREAMS];
	uint32_t goaway;
	unsigned n_goaways, n_closed, n_broken, n_refused, n_requests, n_resets, n_ends;
	bool hold;	     /* WebSockets are held from the start */
	bool silent;	     /* requests are not answered */
	struct stream *last; /* of the last request, while its user has it */
	size_t budget;
	size_t got; /* bytes that came up */
} us;

/* ---- the user of the server's streams: echoes WebSockets, answers requests with their path */

static void
user_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct iovec iov = { p, n };

	ck_assert_uint_eq(s->holds, 0);
	us.got += n;
	stream_write(s, &iov, 1);
}

static void
user_end(struct stream *s)
{
	us.n_ends++;
	if (us.silent)
		return;
	if (us.last == s)
		us.last = NULL;
	stream_end(s);
	stream_close(s, 1000);
}

static void
user_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	ck_assert_ptr_nonnull(why);
	if (us.last == s)
		us.last = NULL;
	us.n_resets++;
}

static size_t
user_budget(struct stream *s)
{
	(void)s;
	return us.budget;
}

static const struct stream_events user_events = {
	.bytes = user_bytes,
	.end = user_end,
	.reset = user_reset,
	.budget = user_budget,
};

static void
on_request(void *arg, struct stream *s, const struct stream_request *r)
{
	struct stream_response res = { .status = 200, .body = HTTP_BODY_EOF };
	struct iovec iov = { (void *)(uintptr_t)r->head->path.p, r->head->path.n };

	(void)arg;
	us.n_requests++;
	stream_attach(s, &user_events, &us);
	us.last = s;
	if (us.silent)
		return;
	if (r->ws == WS_REQUEST_OK) {
		stream_accept(s, NULL, 0);
		if (us.hold)
			stream_hold(s, STREAM_HOLD_PEER);
		return;
	}
	us.last = NULL;
	if (stream_respond(s, &res) == 0)
		stream_write(s, &iov, 1);
	stream_end(s);
	stream_close(s, 1000);
}

static void
on_refused(void *arg, const struct stream_info *info, const struct stream_request *r,
    unsigned status, const char *why)
{
	(void)arg, (void)info, (void)r, (void)status, (void)why;
	us.n_refused++;
}

static void
on_broken(void *arg, const struct stream_info *info, const char *why)
{
	(void)arg, (void)info;
	ck_assert_ptr_nonnull(why);
	us.n_broken++;
}

static void
on_closed(void *arg, const struct stream_info *info)
{
	(void)arg;
	ck_assert_ptr_eq(info->listen, &us.uc.c->listen[0]);
	us.n_closed++;
}

/* ---- the client */

static struct us_client_stream *
client_stream(int32_t id)
{
	for (size_t i = 0; i < US_STREAMS; i++)
		if (us.stream[i].id == id)
			return &us.stream[i];
	return NULL;
}

static int
client_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	(void)ng, (void)value_n, (void)flags, (void)arg;
	if (name_n == 7 && memcmp(name, ":status", 7) == 0)
		client_stream(f->hd.stream_id)->status = atoi((const char *)value);
	return 0;
}

static int
client_on_data(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct us_client_stream *c = client_stream(id);

	(void)ng, (void)flags, (void)arg;
	ck_assert_uint_lt(c->n + n, sizeof(c->body));
	memcpy(c->body + c->n, p, n);
	c->n += n;
	return 0;
}

static int
client_on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	(void)ng, (void)arg;
	client_stream(id)->closed = true;
	client_stream(id)->error = error;
	return 0;
}

static int
client_on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	(void)ng, (void)arg;
	if (f->hd.type == NGHTTP2_GOAWAY) {
		us.goaway = f->goaway.error_code;
		us.n_goaways++;
	}
	return 0;
}

static ssize_t
client_on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct us_client_stream *c = source->ptr;
	size_t n = c->out_n < max ? c->out_n : max;

	(void)ng, (void)id, (void)arg;
	if (n == 0 && !c->out_end)
		return NGHTTP2_ERR_DEFERRED;
	memcpy(buf, c->out, n);
	c->out += n;
	c->out_n -= n;
	if (c->out_n == 0 && c->out_end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void
client_pump(void)
{
	const uint8_t *p;
	uint8_t buf[16384];
	ssize_t n;

	while (us.fd != -1 && (n = nghttp2_session_mem_send(us.ng, &p)) > 0)
		if (send(us.fd, p, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	while (us.fd != -1 && (n = recv(us.fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		if (nghttp2_session_mem_recv(us.ng, buf, (size_t)n) < 0)
			break;
}

static void
turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		client_pump();
		unit_loop_turns(us.loop, 2);
	}
	client_pump();
}

#define NV(n, v)                                                                     \
	{                                                                            \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, \
		    sizeof(v) - 1, NGHTTP2_NV_FLAG_NONE                              \
	}

static struct us_client_stream *
client_request(bool websocket, const char *out, size_t out_n, bool end)
{
	static const nghttp2_nv get[] = { NV(":method", "GET"), NV(":scheme", "http"),
		NV(":path", "/the/path"), NV(":authority", "localhost"), NV("cookie", "a=b") };
	static const nghttp2_nv ws[] = { NV(":method", "CONNECT"), NV(":protocol", "websocket"),
		NV(":scheme", "http"), NV(":path", "/ws"), NV(":authority", "localhost"),
		NV("sec-websocket-version", "13") };
	struct us_client_stream *c = client_stream(0);
	nghttp2_data_provider from = { .source.ptr = c, .read_callback = client_on_read };

	ck_assert_ptr_nonnull(c);
	c->out = out;
	c->out_n = out_n;
	c->out_end = end;
	c->id = websocket
	    ? nghttp2_submit_request(us.ng, NULL, ws, 6, &from, NULL)
	    : nghttp2_submit_request(us.ng, NULL, get, 5, out_n > 0 ? &from : NULL, NULL);
	ck_assert_int_gt(c->id, 0);
	return c;
}

/* ---- both */

static void
setup(void)
{
	unit_config_good(&us.uc,
	    "[listen first]\nAddress=127.0.0.1:0\nMaxStreams=10\n"
	    "[websocket]\nBufferLimit=20000\n");
	us.handler.request = on_request;
	us.handler.refused = on_refused;
	us.handler.broken = on_broken;
	us.handler.closed = on_closed;
	us.list.handler = &us.handler;
	us.budget = 20000;
	us.fd = -1;
	ck_assert_ptr_nonnull(us.loop = loop_new());
}

static void
teardown(void)
{
	loop_free(us.loop);
	unit_config_clear(&us.uc);
}

static int
try_connect(void)
{
	struct http_accepted a = {
		.config = config_ref(us.uc.c), .listen = &us.uc.c->listen[0], .connection_id = 1
	};
	nghttp2_session_callbacks *cb;
	int fd[2];

	unit_unix_pair(fd);
	memset(us.stream, 0, sizeof(us.stream));
	us.n_closed = us.n_broken = us.n_requests = us.n_resets = us.n_goaways = us.n_ends = 0;
	us.got = 0;
	us.last = NULL;
	us.fd = fd[0];
	ck_assert_int_eq(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, client_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, client_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, client_on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, client_on_frame);
	ck_assert_int_eq(nghttp2_session_client_new(&us.ng, cb, NULL), 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(us.ng, NGHTTP2_FLAG_NONE, NULL, 0);
	a.fd = fd[1];
	return http_server_start(us.loop, &us.list, &a);
}

static void
disconnect(void)
{
	if (us.fd != -1)
		close(us.fd);
	us.fd = -1;
	nghttp2_session_del(us.ng);
}

static void
connect_client(void)
{
	ck_assert_int_eq(try_connect(), 0);
	turns(3);
}

START_TEST(h2_server_serves_requests_and_websockets)
{
	struct us_client_stream *get, *ws;

	connect_client();
	get = client_request(false, NULL, 0, true);
	ws = client_request(true, "echo this", 9, true);
	turns(5);
	ck_assert_int_eq(get->status, 200);
	ck_assert_uint_eq(get->n, 9);
	ck_assert_mem_eq(get->body, "/the/path", 9);
	ck_assert(get->closed && get->error == 0);
	ck_assert_int_eq(ws->status, 200);
	ck_assert_uint_eq(ws->n, 9);
	ck_assert_mem_eq(ws->body, "echo this", 9);
	ck_assert(ws->closed && ws->error == 0);
	ck_assert_uint_eq(us.n_ends, 1); /* the request's stream was closed before */
	ck_assert_uint_eq(us.n_broken, 0);
	disconnect();
	turns(2);
	ck_assert_uint_eq(us.n_closed, 1);
	ck_assert_ptr_null(us.list.first);
}
END_TEST

START_TEST(h2_server_held_stream_gets_its_bytes_later_and_in_order)
{
	static char text[30000];
	struct us_client_stream *ws;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	us.hold = true;
	connect_client();
	ws = client_request(true, text, sizeof(text), true);
	turns(8);
	ck_assert_uint_eq(us.got, 0);
	/* The window (BufferLimit) is what may wait. */
	ck_assert_uint_eq(sizeof(text) - ws->out_n, 20000);
	us.budget = 7;
	stream_release(us.last, STREAM_HOLD_PEER);
	turns(8);
	ck_assert_uint_eq(us.got, sizeof(text));
	ck_assert_uint_eq(ws->n, sizeof(text));
	ck_assert_mem_eq(ws->body, text, sizeof(text));
	ck_assert(ws->closed && ws->error == 0);
	ck_assert_uint_eq(us.n_ends, 1);
	disconnect();
	turns(2);
}
END_TEST

START_TEST(h2_server_budget_of_none_is_a_hold)
{
	struct us_client_stream *ws;

	connect_client();
	us.budget = 0;
	ws = client_request(true, "abc", 3, false);
	turns(4);
	ck_assert_uint_eq(us.got, 0);
	us.budget = 2;
	stream_hold(us.last, STREAM_HOLD_PEER);
	stream_release(us.last, STREAM_HOLD_PEER);
	turns(4);
	ck_assert_uint_eq(ws->n, 3);
	disconnect();
	turns(2);
	ck_assert_uint_eq(us.n_resets, 1);
}
END_TEST

START_TEST(h2_server_abort_is_cancel_and_broken_response_an_error)
{
	struct stream_response res = {
		.status = 200, .body = HTTP_BODY_LENGTH, .content_length = 5
	};
	struct us_client_stream *ws, *get;
	struct iovec iov = { (void *)(uintptr_t) "abc", 3 };

	connect_client();
	ws = client_request(true, NULL, 0, false);
	turns(3);
	stream_abort(us.last);
	turns(3);
	ck_assert(ws->closed);
	ck_assert_uint_eq(ws->error, NGHTTP2_CANCEL);
	us.silent = true;
	get = client_request(false, NULL, 0, true);
	turns(3);
	ck_assert_int_eq(stream_respond(us.last, &res), 0);
	ck_assert_int_eq(stream_respond(us.last, &res), -1);
	ck_assert_int_eq(stream_write(us.last, &iov, 1), 0);
	ck_assert_int_eq(stream_write(us.last, &iov, 1), -1); /* more than was announced */
	stream_end(us.last);
	stream_close(us.last, 0);
	turns(3);
	ck_assert(get->closed);
	ck_assert_uint_eq(get->error, NGHTTP2_INTERNAL_ERROR);
	us.silent = false;
	disconnect();
	turns(2);
	ck_assert_uint_eq(us.n_resets, 0);
}
END_TEST

START_TEST(h2_server_drain_ends_when_the_last_stream_does)
{
	struct us_client_stream *ws;

	connect_client();
	ws = client_request(true, "x", 1, false);
	turns(4);
	http_server_drain(&us.list);
	turns(6);
	ck_assert_uint_eq(us.n_goaways, 2);
	ck_assert_uint_eq(us.goaway, NGHTTP2_NO_ERROR);
	ck_assert_uint_eq(us.n_closed, 0);
	ck_assert_uint_eq(ws->n, 1);
	stream_abort(us.last);
	turns(4);
	disconnect();
	turns(3);
	ck_assert_uint_eq(us.n_closed, 1);
	ck_assert_uint_eq(us.n_broken, 0);
}
END_TEST

START_TEST(h2_server_abort_all_tells_every_user)
{
	connect_client();
	for (int i = 0; i < 5; i++)
		client_request(true, "x", 1, false);
	turns(4);
	http_server_abort_all(&us.list);
	ck_assert_uint_eq(us.n_resets, 5);
	ck_assert_uint_eq(us.n_closed, 1);
	ck_assert_ptr_null(us.list.first);
	disconnect();
	turns(2);
}
END_TEST

/* Whatever cannot be allocated: nobody is called twice, nothing is lost, the connection ends. */
START_TEST(h2_server_survives_without_memory)
{
	static char text[25000];
	unsigned long nth, failures = 0;
	bool pending = false;

	for (nth = 1; !pending; nth++) {
		mem_fail_nth(nth);
		if (try_connect() == 0) {
			turns(2);
			us.hold = nth % 2 == 0;
			client_request(false, NULL, 0, true);
			client_request(true, text, sizeof(text), true);
			client_request(true, "small", 5, false);
			turns(4);
			if (us.last != NULL)
				stream_release(us.last, STREAM_HOLD_PEER);
			turns(4);
			if (nth % 3 == 0) {
				http_server_drain(&us.list);
				us.list.draining = false;
				turns(3);
			}
			pending = mem_fail_pending();
			mem_fail_nth(0);
			disconnect();
			turns(4);
			ck_assert_uint_eq(us.n_closed, 1);
		} else {
			mem_fail_nth(0);
			disconnect();
			turns(1);
			ck_assert_uint_eq(us.n_closed, 0);
		}
		ck_assert_ptr_null(us.list.first);
		failures++;
		ck_assert_uint_lt(nth, 1000);
	}
	ck_assert_uint_gt(failures, 12);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_server_serves_requests_and_websockets,
		h2_server_held_stream_gets_its_bytes_later_and_in_order,
		h2_server_budget_of_none_is_a_hold,
		h2_server_abort_is_cancel_and_broken_response_an_error,
		h2_server_drain_ends_when_the_last_stream_does,
		h2_server_abort_all_tells_every_user,
		h2_server_survives_without_memory,
	};

	return unit_run_with("h2_server", cases, UNIT_COUNT(cases), setup, teardown);
}
