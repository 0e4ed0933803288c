/*
 * nghttp2: set-up, callbacks, and what is asked of it.  See h2_int.h.
 *
 * The callbacks record and return: what a stream's user has to know is put on
 * the list of pending things (h2_pend), payload becomes a run.  Nobody's code
 * but ours runs within them, so nghttp2_session_mem_recv and _mem_send are
 * never entered twice.
 *
 * Runs on the connection's worker.  Invariant: a stream that nghttp2 has open
 * has its h2_stream as user data, which lives until h2_process has seen
 * H2P_CLOSED.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "http/h2_int.h"
#include "http/h2_mem.h"

/* Fields of a response: the user's, :status, Date and Content-Length. */
#define H2_NV_MAX (HTTP1_MAX_FIELDS + 4)
/* PING and SETTINGS that wait for their ACK to be sent; the budget of glitches is smaller. */
#define H2_ACKS_MAX (H2_GLITCH_BURST + 500)
/* A stream's window, and a connection's as a multiple of it. */
#define H2_WINDOW_MIN 1024
#define H2_WINDOW_MAX (16 << 20)
#define H2_WINDOW_DEFAULT (256 << 10)
#define H2_WINDOW_STREAMS 16
#define H2_WINDOW_CONNECTION_MIN (1 << 20)

static struct h2_stream *
h2_stream_find(struct h2_server *h2c, int32_t id)
{
	return id == 0 ? NULL : nghttp2_session_get_stream_user_data(h2c->ng, id);
}

static uint64_t
h2_now(const struct h2_server *h2c)
{
	return loop_now_ms(h2c->c.t.loop);
}

/* ---- heads */

static void
h2_await_head(struct h2_server *h2c)
{
	h2c->head_at_ms = h2_now(h2c) + h2c->c.config->server.handshake_timeout_ms;
}

/* A header block behind the body (RFC 9113 8.1); one of a WebSocket means nothing. */
static int
h2_begin_trailers(struct h2_server *h2c, struct h2_stream *h2s)
{
	if (h2s == NULL || h2s->state == H2S_WEBSOCKET)
		return 0;
	h2_await_head(h2c);
	return h2_trailers_begin(&h2c->trailers, h2s, H2_TRAILERS_IN) == 0
	    ? 0
	    : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The stream ends for the client's fault, which counts as a reset of its own. */
static int
h2_malformed(struct h2_server *h2c, int32_t id)
{
	nghttp2_submit_rst_stream(h2c->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR);
	return h2_count_reset(h2c, "too many malformed requests") != 0
	    ? NGHTTP2_ERR_CALLBACK_FAILURE
	    : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_stream *h2s;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return h2_begin_trailers(h2c, h2_stream_find(h2c, id));
	if (h2c->n_streams >= h2c->c.listen->max_streams) {
		nghttp2_submit_rst_stream(
		    ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM); /* RFC 9113 5.1.2 */
		return h2_count_reset(h2c, "too many streams past MaxStreams") != 0
		    ? NGHTTP2_ERR_CALLBACK_FAILURE
		    : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if ((h2s = h2_stream_new(h2c, id)) == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(ng, id, h2s);
	h2_await_head(h2c);
	return 0;
}

static int
h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_stream *h2s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	struct h2_server *h2c = arg;

	(void)flags;
	if (h2s == NULL || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	/* Never into the head, also where that was not handed up yet (RFC 9110 6.5.1). */
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return h2s->state == H2S_WEBSOCKET ||
			h2_trailers_add(h2c->trailers, h2s, H2_TRAILERS_IN,
			    (struct span){ (const char *)name, name_n },
			    (struct span){ (const char *)value, value_n }) == 0
		    ? 0
		    : h2_malformed(h2c, frame->hd.stream_id);
	if (h2s->state != H2S_HEAD)
		return 0;
	switch (h2_head_add(h2s->head, (struct span){ (const char *)name, name_n },
	    (struct span){ (const char *)value, value_n })) {
	case H2_HEAD_ADDED:
		return 0;
	case H2_HEAD_IS_BOMB:
		return h2_fatal(h2c, NGHTTP2_ENHANCE_YOUR_CALM, "the header list is far too large");
	case H2_HEAD_NO_MEMORY:
		break;
	}
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* What nghttp2 would pass over makes the message malformed (RFC 9113 8.1.1, 8.2.1). */
static int
h2_on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	(void)ng, (void)name, (void)name_n, (void)value, (void)value_n, (void)flags;
	return h2_malformed(arg, frame->hd.stream_id);
}

/* ---- frames that are complete */

static void
h2_on_end_stream(struct h2_stream *h2s)
{
	if (h2s->end_in)
		return;
	h2s->end_in = true;
	h2_pend(h2s, H2P_END);
}

static int
h2_on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_stream *h2s = h2_stream_find(h2c, frame->hd.stream_id);
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		if (h2s != NULL && end)
			h2_on_end_stream(h2s);
		if (frame->hd.length == frame->data.padlen && !end)
			return h2_count_glitch(h2c, 1, "too many empty DATA frames");
		break;
	case NGHTTP2_HEADERS:
		h2c->head_at_ms = 0;
		if (h2s == NULL)
			break;
		if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
			h2s->end_in = h2s->no_body_in = end;
			h2_pend(h2s, H2P_REQUEST);
		} else if (end) {
			h2_on_end_stream(h2s);
		}
		break;
	case NGHTTP2_PING:
		/* A round trip after the notice: what was on its way has come (RFC 9113 6.8). */
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && h2c->goaway == H2_GOAWAY_NOTICE)
			h2_goaway_final(h2c);
		break;
	default:
		break;
	}
	return 0;
}

/* The client's errors make us reset streams: they cost it as much as resets of its own. */
static int
h2_on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_server *h2c = arg;

	(void)ng, (void)error;
	h2c->head_at_ms = 0;
	return frame->hd.stream_id != 0 ? h2_count_reset(h2c, "too many frames with errors") : 0;
}

/* Payload: a run goes on, or ends. */
static int
h2_on_data_chunk(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_stream *h2s = h2_stream_find(h2c, id);
	struct h2_run *run = &h2c->run;
	uint8_t *mine = (uint8_t *)(uintptr_t)p; /* what we handed to mem_recv */

	(void)flags;
	if (h2s == NULL) {
		nghttp2_session_consume(ng, id, n);
		return 0;
	}
	if (run->s == NULL) {
		*run = (struct h2_run){ h2s, mine, n };
		return 0;
	}
	if (run->s == h2s) {
		/* Up to the run, over frame headers that nghttp2 has read. */
		if (run->p + run->n != mine)
			memmove(run->p + run->n, mine, n);
		run->n += n;
		return 0;
	}
	h2c->chunk = (struct h2_run){ h2s, mine, n };
	return NGHTTP2_ERR_PAUSE;
}

static int
h2_on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_stream *h2s = nghttp2_session_get_stream_user_data(ng, id);

	if (h2s == NULL)
		return 0;
	if (h2s->state == H2S_HEAD)
		h2c->head_at_ms = 0;
	if (h2s->end_in) {
		h2c->ended[h2c->ended_next] = id;
		h2c->ended_next = (uint8_t)((h2c->ended_next + 1) % H2_ENDED);
	}
	h2s->closed = true;
	h2s->error = error;
	h2c->n_streams--;
	h2_pend(h2s, H2P_CLOSED);
	/*
	 * One past a limit was told: only now, as some clients look at no response behind a
	 * GOAWAY.
	 */
	if (h2c->c.refuse != 0 && h2c->goaway != H2_GOAWAY_FINAL)
		h2_goaway_final(h2c);
	return 0;
}

/* ---- sending */

static void
h2_nv_add(nghttp2_nv *nv, size_t *n, struct span name, struct span value)
{
	nv[*n].name = (uint8_t *)(uintptr_t)name.p;
	nv[*n].namelen = name.n;
	nv[*n].value = (uint8_t *)(uintptr_t)value.p;
	nv[*n].valuelen = value.n;
	nv[(*n)++].flags = NGHTTP2_NV_FLAG_NONE;
}

/* The trailers that wait for the end of the body; how many fields they are, or -1. */
static int
h2_submit_trailers(struct h2_stream *h2s)
{
	struct h2_server *h2c = h2s->h2c;
	struct h2_trailers *tr = h2_trailers_take(&h2c->trailers, h2s, H2_TRAILERS_OUT);
	struct http_field field[HTTP1_MAX_TRAILERS];
	nghttp2_nv nv[HTTP1_MAX_TRAILERS];
	size_t n = 0, fields = tr != NULL ? h2_trailers_fields(tr, field) : 0;
	int ret = 0;

	while (n < fields)
		h2_nv_add(nv, &n, field[n].name, field[n].value);
	if (n > 0)
		ret = nghttp2_submit_trailer(h2c->ng, h2s->id, nv, n) == 0 ? (int)n : -1;
	h2_trailers_free(tr);
	return ret;
}

/* How much may go out with the next DATA frame of a stream. */
static ssize_t
h2_on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct h2_stream *h2s = source->ptr;
	size_t n = h2_queue_bytes(&h2s->out) < max ? h2_queue_bytes(&h2s->out) : max;
	int trailers;

	(void)ng, (void)id, (void)buf, (void)arg;
	*flags = NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == h2_queue_bytes(&h2s->out)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		trailers = h2s->end_out ? h2_submit_trailers(h2s) : 0;
		if (trailers == -1)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		h2s->attached_data = trailers > 0; /* behind them nothing is asked for */
		if (!h2s->end_out || trailers > 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	}
	return (ssize_t)n;
}

static int
h2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *hd, size_t n,
    nghttp2_data_source *source, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_out *o = h2c->out;
	struct h2_stream *h2s = source->ptr;

	(void)ng, (void)frame;
	if (!h2_out_has_room(o, n)) {
		o->full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	h2_out_copy(o, hd, H2_FRAME_HEADER);
	h2_out_payload(o, &h2s->out, n);
	return 0;
}

/* DATA went out, or END_STREAM with whatever. */
static void
h2_on_stream_sent(struct h2_stream *h2s, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_DATA && h2_queue_bytes(&h2s->out) == 0)
		h2_pend(h2s, H2P_ROOM);
	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
		/* What was written after nghttp2 had asked for it. */
		if (h2_queue_bytes(&h2s->out) > 0 || h2s->end_out)
			h2_session_resume(h2s);
		if (h2s->s.ev == NULL && h2s->state == H2S_REQUEST && h2s->end_out)
			h2_stream_flushes(h2s);
	} else {
		h2s->end_sent = true;
		/* A response that is over before its request (RFC 9113 8.1). */
		if (h2s->s.ev == NULL && h2s->state == H2S_REQUEST && !h2s->end_in)
			h2_session_reset(h2s, NGHTTP2_NO_ERROR);
	}
}

static int
h2_on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_server *h2c = arg;
	struct h2_stream *h2s = h2_stream_find(h2c, frame->hd.stream_id);

	(void)ng;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
	    h2c->why[0] == '\0')
		snprintf(h2c->why, sizeof(h2c->why), "%s: %.*s",
		    nghttp2_http2_strerror(frame->goaway.error_code),
		    (int)frame->goaway.opaque_data_len, (const char *)frame->goaway.opaque_data);
	if (frame->hd.type == NGHTTP2_DATA)
		h2_bucket_put(&h2c->window_updates, H2_WINDOW_PER_DATA);
	if (h2s != NULL && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		h2_on_stream_sent(h2s, frame);
	return 0;
}

/* ---- set-up */

static nghttp2_session_callbacks *
h2_callbacks(void)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, h2_on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, h2_on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, h2_on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, h2_on_frame_send);
	return cb;
}

static nghttp2_option *
h2_options(void)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
#ifdef HAVE_NGHTTP2_RESET_RATE
	/* Ours is the budget; nghttp2's own is smaller and says INTERNAL_ERROR. */
	nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
#endif
	return o;
}

/* What every WebSocket route lets wait for a slow receiver is what a stream may send unasked. */
static uint32_t
h2_initial_window(const struct config *c)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < c->n_route; i++)
		if (c->route[i].action != CONFIG_ACTION_STATIC &&
		    c->route[i].ws.buffer_limit < least)
			least = c->route[i].ws.buffer_limit;
	if (least == UINT64_MAX)
		return H2_WINDOW_DEFAULT;
	if (least < H2_WINDOW_MIN)
		return H2_WINDOW_MIN;
	return least > H2_WINDOW_MAX ? H2_WINDOW_MAX : (uint32_t)least;
}

static int
h2_session_greet(struct h2_server *h2c)
{
	uint64_t connection = (uint64_t)h2c->window * H2_WINDOW_STREAMS;
	nghttp2_settings_entry iv[] = {
		/* MAX_CONCURRENT_STREAMS: h2_session_greeting */
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2c->window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_LIST_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 }, /* RFC 8441 3 */
		/*
		 * All streams are equal: what a client says of priorities would let one starve
		 * others.
		 */
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	if (connection < H2_WINDOW_CONNECTION_MIN)
		connection = H2_WINDOW_CONNECTION_MIN;
	return nghttp2_submit_settings(
		   h2c->ng, NGHTTP2_FLAG_NONE, iv, sizeof(iv) / sizeof(iv[0])) == 0 &&
		nghttp2_session_set_local_window_size(
		    h2c->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)connection) == 0
	    ? 0
	    : -1;
}

int
h2_session_start(struct h2_server *h2c, struct loop *loop)
{
	nghttp2_session_callbacks *cb = h2_callbacks();
	nghttp2_option *o = h2_options();
	nghttp2_mem mem = h2_mem(loop);
	int ret = -1;

	if (cb != NULL && o != NULL && nghttp2_session_server_new3(&h2c->ng, cb, h2c, o, &mem) == 0)
		ret = 0;
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	h2c->window = h2_initial_window(h2c->c.config);
	return ret == 0 ? h2_session_greet(h2c) : -1;
}

size_t
h2_session_greeting(const struct h2_server *h2c, uint8_t *frame, size_t n)
{
	uint32_t streams = (uint32_t)h2c->c.listen->max_streams;
	const uint8_t entry[] = { 0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		(uint8_t)(streams >> 24), (uint8_t)(streams >> 16), (uint8_t)(streams >> 8),
		(uint8_t)streams };

	if (n < H2_FRAME_HEADER || frame[3] != NGHTTP2_SETTINGS ||
	    frame[2] > UINT8_MAX - sizeof(entry))
		return n;
	memcpy(frame + n, entry, sizeof(entry));
	frame[2] = (uint8_t)(frame[2] + sizeof(entry));
	return n + sizeof(entry);
}

/* ---- what is asked of nghttp2 */

ssize_t
h2_session_recv(struct h2_server *h2c, const uint8_t *p, size_t n)
{
	ssize_t used;

	/* What nghttp2 has left over was looked at. */
	if (n > h2c->judged) {
		if (h2_judge(h2c, p + h2c->judged, n - h2c->judged) == -1)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		h2c->judged = n;
	}
	used = nghttp2_session_mem_recv(h2c->ng, p, n);
	if (used > 0)
		h2c->judged -= (size_t)used;
	return used;
}

void
h2_session_resume(struct h2_stream *h2s)
{
	nghttp2_data_provider from = { .source.ptr = h2s, .read_callback = h2_on_read };
	struct h2_server *h2c = h2s->h2c;
	int ret;

	if (h2s->closed || h2s->reset || h2s->end_sent)
		return;
	h2_dirty(h2c);
	if (h2s->attached_data)
		return;
	ret = nghttp2_submit_data(h2c->ng, NGHTTP2_FLAG_END_STREAM, h2s->id, &from);
	if (ret == NGHTTP2_ERR_NOMEM) {
		h2c->ng_broken = true;
		transport_break(&h2c->c.t, ENOMEM);
	}
	/* NGHTTP2_ERR_DATA_EXIST: its last frame waits to be sent; it is tried again after that. */
	h2s->attached_data = ret == 0;
}

void
h2_session_reset(struct h2_stream *h2s, uint32_t code)
{
	if (h2s->closed || h2s->reset)
		return;
	h2s->reset = true;
	nghttp2_submit_rst_stream(h2s->h2c->ng, NGHTTP2_FLAG_NONE, h2s->id, code);
	h2_dirty(h2s->h2c);
}

void
h2_session_consume(struct h2_stream *h2s, size_t n)
{
	if (n == 0)
		return;
	nghttp2_session_consume(h2s->h2c->ng, h2s->id, n);
	h2_dirty(h2s->h2c);
}

/* RFC 9113 8.2.2; whoever made the field. */
static bool
h2_field_may_go(const struct http_field *f)
{
	static const struct span never[] = { SPAN_LIT("connection"), SPAN_LIT("keep-alive"),
		SPAN_LIT("proxy-connection"), SPAN_LIT("transfer-encoding"), SPAN_LIT("upgrade"),
		SPAN_LIT("content-length") };

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (span_eq_nocase(f->name, never[i]))
			return false;
	return http_is_token(f->name) && http_is_field_value(f->value);
}

int
h2_session_respond(struct h2_stream *h2s, unsigned status, const struct http_field *field,
    size_t n_fields, bool clean, const uint64_t *content_length, bool end)
{
	char status_text[16], length[24];
	struct buf digits;
	struct span date;
	nghttp2_nv nv[H2_NV_MAX];
	bool has_date = false;
	size_t n = 0;

	buf_init_over(&digits, status_text, sizeof(status_text));
	buf_append_uint(&digits, status);
	h2_nv_add(nv, &n, SPAN_LIT(":status"), buf_span(&digits));
	for (size_t i = 0; i < n_fields && n < H2_NV_MAX - 2; i++) {
		if (!clean && !h2_field_may_go(&field[i]))
			continue;
		has_date |= span_eq_nocase(field[i].name, SPAN_LIT("date"));
		/* nghttp2 makes the names lower case. */
		h2_nv_add(nv, &n, field[i].name, span_trim(field[i].value));
	}
	if (!has_date) {
		date = http_conn_date(&h2s->h2c->c);
		date.p += sizeof(HTTP_DATE_NAME) - 1;
		date.n -= sizeof(HTTP_DATE_NAME) - 1 + 2;
		h2_nv_add(nv, &n, SPAN_LIT("date"), date);
	}
	if (content_length != NULL) {
		buf_init_over(&digits, length, sizeof(length));
		buf_append_uint(&digits, *content_length);
		h2_nv_add(nv, &n, SPAN_LIT("content-length"), buf_span(&digits));
	}
	h2_dirty(h2s->h2c);
	return nghttp2_submit_headers(h2s->h2c->ng,
		   end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, h2s->id, NULL, nv, n,
		   NULL) == 0
	    ? 0
	    : -1;
}

int
h2_session_inform(
    struct h2_stream *h2s, unsigned status, const struct http_field *field, size_t n_fields)
{
	nghttp2_nv nv[H2_NV_MAX];
	char status_text[16];
	size_t n = 0;

	snprintf(status_text, sizeof(status_text), "%u", status);
	h2_nv_add(nv, &n, SPAN_LIT(":status"), span_from_str(status_text));
	for (size_t i = 0; i < n_fields && n < H2_NV_MAX; i++)
		if (h2_field_may_go(&field[i]))
			h2_nv_add(nv, &n, field[i].name, span_trim(field[i].value));
	h2_dirty(h2s->h2c);
	return nghttp2_submit_headers(
		   h2s->h2c->ng, NGHTTP2_FLAG_NONE, h2s->id, NULL, nv, n, NULL) == 0
	    ? 0
	    : -1;
}
