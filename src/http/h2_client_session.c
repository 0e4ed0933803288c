/*
 * nghttp2's client side: set-up, callbacks, and what is asked of it.  See h2_client_int.h.
 *
 * The callbacks record and return; nobody's code but ours runs within them.  Payload of one read is
 * put together in the memory that it came in: what it is moved over are frame headers that nghttp2
 * has read already.
 */
#include <stdio.h>
#include <string.h>

#include "http/h2_client_int.h"
#include "http/h2_mem.h"

/* What the server may send before the user has taken any of it. */
#define H2CL_WINDOW (1024 * 1024)

/* ---- what comes */

static bool
h2cl_is_ours(const struct h2_client *c, const nghttp2_frame *frame)
{
	return c->id != -1 && frame->hd.stream_id == c->id;
}

static int
h2cl_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_client *c = arg;

	(void)ng;
	if (!h2cl_is_ours(c, frame) || c->head_came)
		return 0; /* trailers: nobody asks for them */
	c->response.n = 0;
	c->response.text.n = 0;
	return 0;
}

static int
h2cl_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_client *c = arg;

	(void)ng;
	(void)flags;
	if (h2cl_is_ours(c, frame) && !c->head_came &&
	    h2cl_fields_add(&c->response, (struct span){ (const char *)name, name_n },
		(struct span){ (const char *)value, value_n }, false) == -1)
		c->head_bad = true;
	return 0;
}

/* RFC 9110 15.2: 1xx are passed over.  nghttp2 has seen to it that :status is there, and first. */
static bool
h2cl_is_final(const struct h2_client *c)
{
	return c->response.n > 0 && h2cl_fields_value(&c->response, 0).p[0] != '1';
}

static int
h2cl_on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_client *c = arg;
	uint8_t flags = frame->hd.flags;

	(void)ng;
	if (frame->hd.type == NGHTTP2_SETTINGS && (flags & NGHTTP2_FLAG_ACK) == 0)
		c->settings_came = true;
	if (!h2cl_is_ours(c, frame))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && !c->head_came && h2cl_is_final(c))
		c->head_came = true;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (flags & NGHTTP2_FLAG_END_STREAM) != 0)
		c->end_in = true;
	return 0;
}

static int
h2cl_on_data_chunk(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_client *c = arg;

	(void)flags;
	if (id != c->id || c->state == H2CL_LINGER) {
		nghttp2_session_consume(ng, id, n);
		return 0;
	}
	if (c->run == NULL)
		c->run = (uint8_t *)(uintptr_t)p; /* what we handed to mem_recv */
	else if (c->run + c->run_n != p)
		memmove(c->run + c->run_n, p, n);
	c->run_n += n;
	return 0;
}

static int
h2cl_on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct h2_client *c = arg;

	(void)ng;
	if (id == c->id) {
		c->closed = true;
		c->error = error;
	}
	return 0;
}

/* ---- what is sent */

static ssize_t
h2cl_on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct h2_client *c = arg;
	size_t n = h2_queue_bytes(&c->out) < max ? h2_queue_bytes(&c->out) : max;

	(void)ng;
	(void)id;
	(void)buf;
	(void)source;
	*flags = NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == h2_queue_bytes(&c->out)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		c->attached_data = false;
		if (!c->end_out)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	}
	return (ssize_t)n;
}

static int
h2cl_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *hd, size_t n,
    nghttp2_data_source *source, void *arg)
{
	struct h2_client *c = arg;

	(void)ng;
	(void)frame;
	(void)source;
	if (!h2_out_has_room(c->gather, n)) {
		c->gather->full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	h2_out_copy(c->gather, hd, H2_FRAME_HEADER);
	h2_out_payload(c->gather, &c->out, n);
	return 0;
}

static int
h2cl_on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_client *c = arg;

	(void)ng;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		snprintf(c->why, sizeof(c->why), "the backend broke HTTP/2: %s%s%.*s",
		    nghttp2_http2_strerror(frame->goaway.error_code),
		    frame->goaway.opaque_data_len > 0 ? ": " : "",
		    (int)frame->goaway.opaque_data_len, (const char *)frame->goaway.opaque_data);
	if (frame->hd.type != NGHTTP2_DATA || frame->hd.stream_id != c->id)
		return 0;
	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		c->end_sent = true;
	else if (h2_queue_bytes(&c->out) > 0 || c->end_out)
		h2cl_session_resume(c); /* written after nghttp2 had asked for it */
	return 0;
}

/* ---- set-up */

static nghttp2_session_callbacks *
h2cl_callbacks(void)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, h2cl_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2cl_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2cl_on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2cl_on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2cl_on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, h2cl_on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, h2cl_on_frame_send);
	return cb;
}

static int
h2cl_session_greet(struct h2_client *c)
{
	static const nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2CL_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP1_MAX_HEAD },
	};

	return nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, iv, sizeof(iv) / sizeof(iv[0])) ==
		    0 &&
		nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, H2CL_WINDOW) == 0
	    ? 0
	    : -1;
}

int
h2cl_session_start(struct h2_client *c)
{
	nghttp2_session_callbacks *cb = h2cl_callbacks();
	nghttp2_option *o = NULL;
	nghttp2_mem mem = h2_mem(c->t.loop);
	int ret = -1;

	if (cb != NULL && nghttp2_option_new(&o) == 0) {
		nghttp2_option_set_no_auto_window_update(o, 1);
		if (nghttp2_session_client_new3(&c->ng, cb, c, o, &mem) == 0)
			ret = h2cl_session_greet(c);
	}
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	return ret;
}

/* ---- what is asked of it */

int
h2cl_session_recv(struct h2_client *c, const uint8_t *p, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(c->ng, p, n);

	if (used >= 0)
		return 0;
	snprintf(
	    c->why, sizeof(c->why), "the backend broke HTTP/2: %s", nghttp2_strerror((int)used));
	return -1;
}

bool
h2cl_session_has_connect(const struct h2_client *c)
{
	return nghttp2_session_get_remote_settings(
		   c->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

int
h2cl_session_request(struct h2_client *c)
{
	nghttp2_nv nv[H2CL_FIELDS];
	struct span name, value;

	for (size_t i = 0; i < c->request.n; i++) {
		name = h2cl_fields_name(&c->request, i);
		value = h2cl_fields_value(&c->request, i);
		nv[i] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p,
			.namelen = name.n,
			.value = (uint8_t *)(uintptr_t)value.p,
			.valuelen = value.n };
	}
	c->id = nghttp2_submit_headers(c->ng, NGHTTP2_FLAG_NONE, -1, NULL, nv, c->request.n, NULL);
	return c->id > 0 ? 0 : -1;
}

void
h2cl_session_resume(struct h2_client *c)
{
	nghttp2_data_provider from = { .source.ptr = c, .read_callback = h2cl_on_read };

	if (c->closed || c->end_sent || c->id <= 0)
		return;
	/* Fails while its last frame waits to be sent: it is tried again after that. */
	if (!c->attached_data &&
	    nghttp2_submit_data(c->ng, NGHTTP2_FLAG_END_STREAM, c->id, &from) == 0)
		c->attached_data = true;
}
