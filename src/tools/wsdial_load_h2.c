/*
 * Several WebSockets of --load on each HTTP/2 connection, by extended CONNECT (RFC 8441).  See
 * wsdial_load.h.
 *
 * A connection is dialled when the first of its WebSockets is opened; the others wait until the
 * server's SETTINGS have come.  The windows are Chromium's: 6 MiB for a stream and 15 MiB for a
 * connection.  What nghttp2 has to send is gathered at the turn's end, for one write.
 *
 * nghttp2 is never called from its callbacks but for nghttp2_session_resume_data and
 * nghttp2_submit_request, which only queue.
 */
#include <stdio.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/mem.h"
#include "codec/http1.h"
#include "io/transport.h"
#include "tools/wsdial_load.h"

#define WSDIAL_H2_STREAM_WINDOW (6 * 1024 * 1024)
#define WSDIAL_H2_CONNECTION_WINDOW (15 * 1024 * 1024)
/* One write. */
#define WSDIAL_H2_OUT (256 * 1024)
/* nghttp2 gives out no more at a time: a frame of 16 KiB with its header. */
#define WSDIAL_H2_PIECE (17 * 1024)
/* :method, :protocol, :scheme, :path, :authority, sec-websocket-version */
#define WSDIAL_H2_PSEUDO 6
#define WSDIAL_H2_TEXT (256 * 1024)
/* What is kept of a response's subprotocol and extensions. */
#define WSDIAL_H2_VALUE 512

enum wsdial_h2_state { WSDIAL_H2_NONE, WSDIAL_H2_DIALLING, WSDIAL_H2_SETTINGS, WSDIAL_H2_READY };

struct wsdial_h2_value {
	char p[WSDIAL_H2_VALUE];
	size_t n;
	unsigned count;
};

struct wsdial_h2_conn {
	struct wsdial_load *load;  /* borrowed */
	struct wsdial_connect *wc; /* owned while it dials */
	struct transport t;
	nghttp2_session *ng; /* owned */
	struct loop_task flush;
	enum wsdial_h2_state state;
	struct wsdial_agreed agreed;
	/* of the response whose head is being read: heads do not interleave */
	char status[4];
	struct wsdial_h2_value protocol, extensions;
};

/* What all connections share. */
struct wsdial_h2 {
	struct wsdial_h2_conn *conn; /* owned */
	nghttp2_session_callbacks *callbacks;
	nghttp2_nv *nv; /* owned; the request, whose names and values stand in text */
	size_t n_nv;
	struct buf text;
	uint8_t *out; /* owned */
};

static struct wsdial_h2 *
wsdial_h2_of(const struct wsdial_h2_conn *c)
{
	return c->load->carried;
}

static struct wsdial_load_ws *
wsdial_h2_first(const struct wsdial_h2_conn *c)
{
	return c->load->ws + (size_t)(c - wsdial_h2_of(c)->conn) * c->load->env->o->streams;
}

/* ---- out */

static void
wsdial_h2_flush(struct wsdial_h2_conn *c)
{
	uint8_t *out = wsdial_h2_of(c)->out;
	const uint8_t *p;
	struct iovec iov;
	ssize_t n = 1;

	while (n > 0 && c->state >= WSDIAL_H2_SETTINGS && transport_queued(&c->t) == 0) {
		iov = (struct iovec){ out, 0 };
		while (WSDIAL_H2_OUT - iov.iov_len >= WSDIAL_H2_PIECE &&
		    (n = nghttp2_session_mem_send(c->ng, &p)) > 0) {
			memcpy(out + iov.iov_len, p, (size_t)n);
			iov.iov_len += (size_t)n;
		}
		if (n < 0)
			wsdial_load_fail(
			    c->load, WSDIAL_FAILED, false, "HTTP/2: %s", nghttp2_strerror((int)n));
		if (iov.iov_len == 0 || transport_write(&c->t, &iov, 1) == -1)
			break;
	}
	if (c->state >= WSDIAL_H2_SETTINGS && !nghttp2_session_want_read(c->ng) &&
	    !nghttp2_session_want_write(c->ng))
		wsdial_load_fail(
		    c->load, WSDIAL_FAILED, false, "the server does not keep to HTTP/2");
}

static void
wsdial_h2_on_flush(struct loop_task *task)
{
	wsdial_h2_flush((struct wsdial_h2_conn *)(void *)((char *)task -
	    offsetof(struct wsdial_h2_conn, flush)));
}

static ssize_t
wsdial_h2_on_room(nghttp2_session *ng, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct wsdial_load_ws *ws = source->ptr;
	struct iovec iov;
	size_t done = 0;

	(void)ng, (void)id, (void)arg;
	while (done < n && wsdial_load_ws_piece(ws, n - done, &iov)) {
		memcpy(p + done, iov.iov_base, iov.iov_len);
		done += iov.iov_len;
		wsdial_load_ws_sent(ws, iov.iov_len);
	}
	if (ws->state == WSDIAL_LW_CLOSED && done == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (done == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)done;
}

static void
wsdial_h2_push(struct wsdial_load_ws *ws)
{
	struct wsdial_h2_conn *c = ws->carried;

	if (c == NULL || ws->id <= 0)
		return;
	/* refused where nghttp2 has not asked since the last bytes: then it asks anyway */
	(void)nghttp2_session_resume_data(c->ng, ws->id);
	loop_later(c->load->env->loop, &c->flush, wsdial_h2_on_flush);
}

/* ---- opening */

static int
wsdial_h2_request(struct wsdial_h2_conn *c, struct wsdial_load_ws *ws)
{
	struct wsdial_h2 *h2 = wsdial_h2_of(c);
	nghttp2_data_provider provider = { .source.ptr = ws, .read_callback = wsdial_h2_on_room };

	ws->id = nghttp2_submit_request(c->ng, NULL, h2->nv, h2->n_nv, &provider, ws);
	loop_later(c->load->env->loop, &c->flush, wsdial_h2_on_flush);
	return ws->id > 0 ? 0 : -1;
}

/* The server's SETTINGS are there. */
static void
wsdial_h2_ready(struct wsdial_h2_conn *c)
{
	struct wsdial_load_ws *ws = wsdial_h2_first(c);

	if (nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) !=
	    1) {
		wsdial_load_fail(c->load, WSDIAL_FAILED, false,
		    "the server does not take WebSockets over HTTP/2 (RFC 8441)");
		return;
	}
	c->state = WSDIAL_H2_READY;
	for (uint64_t i = 0; i < c->load->env->o->streams; i++)
		if (ws[i].state == WSDIAL_LW_OPENING && wsdial_h2_request(c, &ws[i]) == -1)
			wsdial_load_fail(c->load, WSDIAL_FAILED, false, "out of memory");
}

static void
wsdial_h2_keep_value(struct wsdial_h2_value *v, const uint8_t *p, size_t n)
{
	v->n = n < sizeof(v->p) ? n : 0;
	v->count++;
	memcpy(v->p, p, v->n);
}

static int
wsdial_h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct wsdial_h2_conn *c = arg;

	(void)ng, (void)frame;
	c->status[0] = '\0';
	c->protocol.count = c->extensions.count = 0;
	return 0;
}

static int
wsdial_h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_n, const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	struct wsdial_h2_conn *c = arg;
	struct span s = { (const char *)name, name_n };

	(void)ng, (void)frame, (void)flags;
	if (span_eq(s, SPAN_LIT(":status")) && n == 3)
		memcpy(c->status, value, 3);
	else if (span_eq(s, SPAN_LIT("sec-websocket-protocol")))
		wsdial_h2_keep_value(&c->protocol, value, n);
	else if (span_eq(s, SPAN_LIT("sec-websocket-extensions")))
		wsdial_h2_keep_value(&c->extensions, value, n);
	return 0;
}

/* The head of a response is whole. */
static void
wsdial_h2_answered(struct wsdial_h2_conn *c, struct wsdial_load_ws *ws)
{
	struct http_head h = { .n_fields = 0 };
	struct wsdial_agreed agreed = c->agreed;
	const char *why;

	if (c->status[0] == '1')
		return;
	if (c->status[0] != '2') {
		wsdial_load_fail(
		    c->load, WSDIAL_REFUSED, false, "the handshake was refused: %.3s", c->status);
		return;
	}
	for (unsigned i = 0; i < c->protocol.count && i < 2; i++)
		h.field[h.n_fields++] = (struct http_field){ SPAN_LIT("Sec-WebSocket-Protocol"),
			{ c->protocol.p, c->protocol.n } };
	for (unsigned i = 0; i < c->extensions.count && i < 2; i++)
		h.field[h.n_fields++] = (struct http_field){ SPAN_LIT("Sec-WebSocket-Extensions"),
			{ c->extensions.p, c->extensions.n } };
	if (wsdial_connect_check(c->load->env->o, &h, &agreed, &why))
		wsdial_load_opened(ws, &agreed);
	else
		wsdial_load_fail(c->load, WSDIAL_FAILED, false, "%s", why);
}

/* ---- in */

static int
wsdial_h2_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct wsdial_h2_conn *c = arg;
	struct wsdial_load_ws *ws;
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 &&
	    c->state == WSDIAL_H2_SETTINGS)
		wsdial_h2_ready(c);
	if (frame->hd.type == NGHTTP2_GOAWAY && c->load->phase != WSDIAL_LOAD_CLOSING)
		wsdial_load_fail(
		    c->load, WSDIAL_FAILED, false, "the server ends a connection (GOAWAY)");
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	ws = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (ws != NULL && frame->hd.type == NGHTTP2_HEADERS && ws->state == WSDIAL_LW_OPENING)
		wsdial_h2_answered(c, ws);
	if (ws != NULL && end && ws->state == WSDIAL_LW_CLOSED)
		wsdial_h2_push(ws); /* our END_STREAM; then the stream is closed */
	else if (ws != NULL && end)
		wsdial_load_ws_end(ws, NULL);
	return 0;
}

static int
wsdial_h2_on_data(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct wsdial_load_ws *ws = nghttp2_session_get_stream_user_data(ng, id);

	(void)flags, (void)arg;
	if (ws != NULL) /* the bytes are ours: what we handed to mem_recv */
		wsdial_load_ws_take(ws, (uint8_t *)(uintptr_t)p, n);
	if (ws != NULL && ws->state == WSDIAL_LW_CLOSED)
		wsdial_h2_push(ws);
	return 0;
}

static int
wsdial_h2_on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct wsdial_load_ws *ws = nghttp2_session_get_stream_user_data(ng, id);

	(void)arg;
	if (ws == NULL)
		return 0;
	ws->id = 0;
	wsdial_load_ws_end(ws, code == NGHTTP2_NO_ERROR ? NULL : nghttp2_http2_strerror(code));
	return 0;
}

/* ---- a connection */

static struct wsdial_h2_conn *
wsdial_h2_of_transport(struct transport *t)
{
	return (struct wsdial_h2_conn *)(void *)((char *)t - offsetof(struct wsdial_h2_conn, t));
}

static void
wsdial_h2_broken(struct wsdial_h2_conn *c, const char *why)
{
	struct wsdial_load_ws *ws = wsdial_h2_first(c);

	c->state = WSDIAL_H2_NONE;
	transport_close(&c->t, false);
	for (uint64_t i = 0; i < c->load->env->o->streams; i++)
		if (ws[i].state != WSDIAL_LW_NONE)
			wsdial_load_ws_end(&ws[i], why);
}

static void
wsdial_h2_on_readable(struct transport *t)
{
	struct wsdial_h2_conn *c = wsdial_h2_of_transport(t);
	uint8_t *p = loop_scratch(c->load->env->loop);
	const char *why = "the server closed it";
	ssize_t used;
	size_t n;

	switch (transport_read(t, p, LOOP_SCRATCH, &n, &why)) {
	case IO_OK:
		break;
	case IO_AGAIN:
		return;
	case IO_EOF:
	case IO_ERROR:
		wsdial_h2_broken(c, why);
		return;
	}
	if ((used = nghttp2_session_mem_recv(c->ng, p, n)) < 0)
		wsdial_load_fail(
		    c->load, WSDIAL_FAILED, false, "HTTP/2: %s", nghttp2_strerror((int)used));
	loop_later(c->load->env->loop, &c->flush, wsdial_h2_on_flush);
}

static void
wsdial_h2_on_drained(struct transport *t)
{
	wsdial_h2_flush(wsdial_h2_of_transport(t));
}

static void
wsdial_h2_on_failed(struct transport *t, const char *why)
{
	wsdial_h2_broken(wsdial_h2_of_transport(t), why);
}

static void
wsdial_h2_on_ready(struct transport *t)
{
	(void)t; /* the TLS handshake was over before */
}

static const struct transport_events wsdial_h2_events = {
	.ready = wsdial_h2_on_ready,
	.readable = wsdial_h2_on_readable,
	.drained = wsdial_h2_on_drained,
	.failed = wsdial_h2_on_failed,
};

static int
wsdial_h2_greet(struct wsdial_h2_conn *c)
{
	static const nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WSDIAL_H2_STREAM_WINDOW },
	};

	return nghttp2_session_client_new(&c->ng, wsdial_h2_of(c)->callbacks, c) == 0 &&
		nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, iv, sizeof(iv) / sizeof(iv[0])) ==
		    0 &&
		nghttp2_session_set_local_window_size(
		    c->ng, NGHTTP2_FLAG_NONE, 0, WSDIAL_H2_CONNECTION_WINDOW) == 0
	    ? 0
	    : -1;
}

static void
wsdial_h2_on_connected(void *arg, enum wsdial_status status, struct transport *t,
    const struct wsdial_agreed *agreed, const char *why)
{
	struct wsdial_h2_conn *c = arg;

	c->wc = NULL;
	if (status != WSDIAL_OK) {
		wsdial_load_fail(c->load, status, false, "%s", why);
		return;
	}
	transport_move(&c->t, t, &wsdial_h2_events);
	c->agreed = *agreed;
	c->state = WSDIAL_H2_SETTINGS;
	if (wsdial_h2_greet(c) == -1)
		wsdial_load_fail(c->load, WSDIAL_FAILED, false, "out of memory");
	loop_later(c->load->env->loop, &c->flush, wsdial_h2_on_flush);
}

/* ---- the carrier */

static int
wsdial_h2_open(struct wsdial_load_ws *ws)
{
	struct wsdial_h2 *h2 = ws->load->carried;
	struct wsdial_h2_conn *c =
	    &h2->conn[(uint64_t)(ws - ws->load->ws) / ws->load->env->o->streams];

	ws->carried = c;
	ws->id = 0;
	if (c->state == WSDIAL_H2_READY)
		return wsdial_h2_request(c, ws);
	if (c->state != WSDIAL_H2_NONE)
		return 0;
	c->state = WSDIAL_H2_DIALLING;
	c->wc = wsdial_connect_start_raw(ws->load->env, wsdial_h2_on_connected, c);
	return c->wc != NULL ? 0 : -1;
}

static void
wsdial_h2_leave(struct wsdial_load_ws *ws)
{
	struct wsdial_h2_conn *c = ws->carried;

	if (c != NULL && c->ng != NULL && ws->id > 0 && c->state == WSDIAL_H2_READY) {
		nghttp2_session_set_stream_user_data(c->ng, ws->id, NULL);
		nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, ws->id, NGHTTP2_CANCEL);
		loop_later(c->load->env->loop, &c->flush, wsdial_h2_on_flush);
	}
	ws->id = 0;
	ws->carried = NULL;
}

static int
wsdial_h2_init_callbacks(struct wsdial_h2 *h2)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&h2->callbacks) != 0)
		return -1;
	cb = h2->callbacks;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, wsdial_h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, wsdial_h2_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, wsdial_h2_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, wsdial_h2_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, wsdial_h2_on_stream_close);
	return 0;
}

/* A field of the request; text has room.  Names are in lower case (RFC 9113 8.2). */
static void
wsdial_h2_add(struct wsdial_h2 *h2, struct span name, struct span value)
{
	char *p = h2->text.p + h2->text.n;

	for (size_t i = 0; i < name.n; i++)
		p[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
	memcpy(p + name.n, value.p, value.n);
	h2->text.n += name.n + value.n;
	h2->nv[h2->n_nv++] = (nghttp2_nv){ .name = (uint8_t *)p,
		.namelen = name.n,
		.value = (uint8_t *)p + name.n,
		.valuelen = value.n };
}

static void
wsdial_h2_add_pseudo(struct wsdial_h2 *h2, const struct wsdial_options *o, struct span path)
{
	wsdial_h2_add(h2, SPAN_LIT(":method"), SPAN_LIT("CONNECT"));
	wsdial_h2_add(h2, SPAN_LIT(":protocol"), SPAN_LIT("websocket"));
	wsdial_h2_add(h2, SPAN_LIT(":scheme"), o->url.tls ? SPAN_LIT("https") : SPAN_LIT("http"));
	wsdial_h2_add(h2, SPAN_LIT(":path"), path);
	wsdial_h2_add(h2, SPAN_LIT(":authority"), span_from_str(o->url.authority));
	wsdial_h2_add(h2, SPAN_LIT("sec-websocket-version"), SPAN_LIT("13"));
}

/* field has room for all of them. */
static int
wsdial_h2_put_request(
    struct wsdial_h2 *h2, const struct wsdial_options *o, struct http_field *field)
{
	char extensions[WS_EXT_TEXT];
	struct buf path;
	size_t n = wsdial_connect_fields(o, field, extensions), bytes = 1024;
	int ret = -1;

	buf_init(&path, WSDIAL_H2_TEXT / 2);
	if (buf_append_span(&path, o->url.path) == 0 &&
	    (o->url.query.p == NULL ||
		(buf_append_char(&path, '?') == 0 && buf_append_span(&path, o->url.query) == 0))) {
		for (size_t i = 0; i < n; i++)
			bytes += field[i].name.n + field[i].value.n;
		ret = buf_reserve(&h2->text, bytes + path.n);
	}
	if (ret == 0)
		wsdial_h2_add_pseudo(h2, o, buf_span(&path));
	for (size_t i = 0; i < n && ret == 0; i++)
		wsdial_h2_add(h2, field[i].name, field[i].value);
	buf_clear(&path);
	return ret;
}

static int
wsdial_h2_make_request(struct wsdial_h2 *h2, const struct wsdial_options *o)
{
	size_t n = WSDIAL_OWN_FIELDS + o->n_fields;
	struct http_field *field = mem_alloc(n * sizeof(*field));
	int ret = -1;

	buf_init(&h2->text, WSDIAL_H2_TEXT);
	h2->nv = mem_alloc((WSDIAL_H2_PSEUDO + n) * sizeof(*h2->nv));
	if (field != NULL && h2->nv != NULL)
		ret = wsdial_h2_put_request(h2, o, field);
	mem_free(field);
	return ret;
}

static int
wsdial_h2_start(struct wsdial_load *load)
{
	const struct wsdial_options *o = load->env->o;
	struct wsdial_h2 *h2;

	if ((load->carried = h2 = mem_zalloc(sizeof(*h2))) == NULL ||
	    (h2->conn = mem_zalloc(o->connections * sizeof(*h2->conn))) == NULL ||
	    (h2->out = mem_alloc(WSDIAL_H2_OUT)) == NULL || wsdial_h2_init_callbacks(h2) == -1)
		return -1;
	for (uint64_t i = 0; i < o->connections; i++)
		h2->conn[i].load = load;
	return wsdial_h2_make_request(h2, o);
}

static void
wsdial_h2_free(struct wsdial_load *load)
{
	struct wsdial_h2 *h2 = load->carried;

	if (h2 == NULL)
		return;
	for (uint64_t i = 0; h2->conn != NULL && i < load->env->o->connections; i++) {
		struct wsdial_h2_conn *c = &h2->conn[i];

		loop_later_cancel(load->env->loop, &c->flush);
		if (c->wc != NULL)
			wsdial_connect_cancel(c->wc);
		if (c->state >= WSDIAL_H2_SETTINGS)
			transport_close(&c->t, false);
		nghttp2_session_del(c->ng);
	}
	nghttp2_session_callbacks_del(h2->callbacks);
	mem_free(h2->conn);
	mem_free(h2->nv);
	mem_free(h2->out);
	buf_clear(&h2->text);
	mem_free(h2);
	load->carried = NULL;
}

const struct wsdial_load_carrier wsdial_load_h2 = {
	.start = wsdial_h2_start,
	.open = wsdial_h2_open,
	.push = wsdial_h2_push,
	.leave = wsdial_h2_leave,
	.free = wsdial_h2_free,
};
