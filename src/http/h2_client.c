/*
 * HTTP/2 connections to servers, one WebSocket on each.  See h2_client.h.
 *
 * A byte's way: the transport reads into the loop's scratch, nghttp2 takes the frames apart
 * (h2_client_session.c), and the payload goes up from the scratch as one run when nghttp2 is done
 * with it.  What the user does not take waits in `in`, at most a window of it, as window is given
 * back for what was taken only.  What the user writes waits in `out` until the turn's end, when all
 * that nghttp2 may send goes out with one write.
 *
 * Runs on one loop; called by io/transport and io/loop (events) and by the user of its stream.
 * Invariants: nothing is called up from within nghttp2; in H2CL_LINGER and H2CL_DEAD nothing is
 * called up at all.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "http/h1_client_head.h"
#include "http/h2_client_int.h"

/* A frame of nghttp2's own (HEADERS, SETTINGS...) with its header, at most. */
#define H2CL_FRAME_MAX (16384 + H2_FRAME_HEADER)
/* How long the kernel may take over the last bytes of a closed stream, at least. */
#define H2CL_FLUSH_MS 5000
/* Bytes of a reason for a reset. */
#define H2CL_WHY_MAX 200

static const struct transport_events h2cl_transport_events;
static const struct stream_ops h2cl_ops;

static void h2cl_on_task(struct loop_task *task);

static struct h2_client *
h2cl_of_transport(struct transport *t)
{
	return (struct h2_client *)(void *)((char *)t - offsetof(struct h2_client, t));
}

static struct h2_client *
h2cl_of_stream(const struct stream *s)
{
	return (struct h2_client *)(uintptr_t)((const char *)s - offsetof(struct h2_client, s));
}

static void
h2cl_dirty(struct h2_client *c)
{
	if (c->state != H2CL_DEAD)
		loop_later(c->t.loop, &c->task, h2cl_on_task);
}

/* ---- the end */

static void
h2cl_destroy(struct h2_client *c, bool reset)
{
	struct loop *loop = c->t.loop;

	if (c->state == H2CL_DEAD)
		return;
	c->state = H2CL_DEAD;
	transport_close(&c->t, reset);
	loop_timer_stop(loop, &c->timer);
	loop_later_cancel(loop, &c->task);
	loop_disown(&c->orphan);
	nghttp2_session_del(c->ng);
	h2_queue_clear(&c->in);
	h2_queue_clear(&c->out);
	buf_clear(&c->request.text);
	buf_clear(&c->response.text);
	loop_free_later(loop, c);
}

/* The stream breaks under its user. */
static void
h2cl_fail(struct h2_client *c, enum stream_error e, const char *why)
{
	const struct stream_events *ev = c->s.ev;
	bool told = c->state == H2CL_LINGER || c->state == H2CL_DEAD;
	char text[H2CL_WHY_MAX];

	snprintf(text, sizeof(text), "%s", why); /* it may be the transport's */
	h2cl_destroy(c, false);
	c->s.ev = NULL;
	if (!told && ev != NULL)
		ev->reset(&c->s, e, text);
}

static void
h2cl_fail_protocol(struct h2_client *c)
{
	if (!c->settings_came)
		h2cl_fail(c, STREAM_E_PROTOCOL, "the backend does not speak HTTP/2");
	else
		h2cl_fail(
		    c, STREAM_E_PROTOCOL, c->why[0] != '\0' ? c->why : "the backend broke HTTP/2");
}

/* CONFIG_NEVER and 0 are no limit. */
static void
h2cl_arm(struct h2_client *c, uint64_t in_ms)
{
	uint64_t now = loop_now_ms(c->t.loop);

	if (in_ms == 0 || in_ms >= CONFIG_NEVER - now) {
		loop_timer_stop(c->t.loop, &c->timer);
		return;
	}
	c->deadline_ms = now + in_ms;
	loop_timer_arm(c->t.loop, &c->timer, c->deadline_ms);
}

static void
h2cl_on_timer(struct loop_timer *timer)
{
	struct h2_client *c =
	    (struct h2_client *)(void *)((char *)timer - offsetof(struct h2_client, timer));

	if (loop_now_ms(c->t.loop) < c->deadline_ms)
		loop_timer_arm(c->t.loop, timer, c->deadline_ms);
	else if (c->state == H2CL_LINGER)
		h2cl_destroy(c, false);
	else
		h2cl_fail(c, STREAM_E_TIMEOUT, "no response from the backend in time");
}

/* ---- what has come, outside nghttp2 */

/* A list of fields as the lines that HTTP/1.1 would have. */
static void
h2cl_trace(struct h2_client *c, bool sent, const struct h2cl_fields *f)
{
	struct buf b;

	if (c->s.ev->trace == NULL)
		return;
	buf_init(&b, 2 * H2CL_FIELDS * 4 + f->text.n);
	for (size_t i = 0; i < f->n; i++)
		if (buf_printf(&b, "%.*s: %.*s\r\n", SPAN_ARG(h2cl_fields_name(f, i)),
			SPAN_ARG(h2cl_fields_value(f, i))) == -1)
			break;
	c->s.ev->trace(&c->s, sent, buf_span(&b));
	buf_clear(&b);
}

static void
h2cl_process_settings(struct h2_client *c)
{
	if (!h2cl_session_has_connect(c)) {
		h2cl_fail(c, STREAM_E_REFUSED,
		    "the backend has no WebSockets over HTTP/2 (its "
		    "SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1)");
		return;
	}
	h2cl_trace(c, true, &c->request);
	if (h2cl_session_request(c) == -1) {
		h2cl_fail(c, STREAM_E_MEMORY, "out of memory");
		return;
	}
	buf_clear(&c->request.text);
	c->state = H2CL_HEAD;
	h2cl_dirty(c);
}

static void
h2cl_process_head(struct h2_client *c)
{
	struct http_head h;

	h2cl_trace(c, false, &c->response);
	if (c->head_bad || h2cl_make_head(&c->response, &h) == -1) {
		h2cl_fail(c, STREAM_E_PROTOCOL,
		    c->head_bad ? "the head of the backend's response is too large"
				: "the backend's response has no status");
		return;
	}
	loop_timer_stop(c->t.loop, &c->timer);
	c->state = H2CL_BODY;
	if (h.status >= 200 && h.status < 300) {
		c->state = H2CL_OPEN;
		h.status = 101;
	}
	c->s.ev->response(&c->s, &h);
	if (c->state != H2CL_DEAD)
		buf_clear(&c->response.text);
}

static bool
h2cl_is_flowing(const struct h2_client *c)
{
	return c->state == H2CL_OPEN || c->state == H2CL_BODY;
}

/* Hand p[0..n) up as far as it is wanted; how much was. */
static size_t
h2cl_hand(struct h2_client *c, uint8_t *p, size_t n)
{
	size_t off = 0, room;

	while (off < n && h2cl_is_flowing(c) && c->s.holds == 0) {
		room = c->s.ev->budget != NULL ? c->s.ev->budget(&c->s) : n;
		if (room == 0)
			break;
		room = room < n - off ? room : n - off;
		c->s.ev->bytes(&c->s, p + off, room);
		off += room;
		if (c->state != H2CL_DEAD)
			nghttp2_session_consume(c->ng, c->id, room);
	}
	if (off > 0)
		h2cl_dirty(c);
	return off;
}

/* What waited goes up, from the scratch like all that is read: the queue may be freed meanwhile. */
static void
h2cl_deliver_queue(struct h2_client *c)
{
	uint8_t *p = loop_scratch(c->t.loop);
	const struct h2_block *b;
	size_t n, used;

	while (h2_queue_bytes(&c->in) > 0 && h2cl_is_flowing(c) && c->s.holds == 0) {
		b = c->in.first;
		n = b->n - b->off < LOOP_SCRATCH ? b->n - b->off : LOOP_SCRATCH;
		memcpy(p, b->data + b->off, n);
		if ((used = h2cl_hand(c, p, n)) == 0 || !h2cl_is_flowing(c))
			return;
		h2_queue_consume(&c->in, used);
	}
}

/* What is left of the run waits behind what waits already. */
static void
h2cl_keep_run(struct h2_client *c, size_t used)
{
	if (used < c->run_n &&
	    h2_queue_append(&c->in, c->t.loop, c->run + used, c->run_n - used) == -1)
		h2cl_fail(c, STREAM_E_MEMORY, "out of memory");
	c->run_n = 0;
}

/* The peer's END_STREAM, or its RST_STREAM, once all before it was taken. */
static void
h2cl_process_end(struct h2_client *c)
{
	char why[80];

	if (h2_queue_bytes(&c->in) > 0 || c->state == H2CL_LINGER)
		return;
	if (h2cl_is_flowing(c) && c->end_in) {
		if (c->s.holds != 0)
			return;
		c->state = H2CL_ENDED;
		c->s.ev->end(&c->s);
	} else if (c->closed && !(c->state == H2CL_ENDED && c->error == NGHTTP2_NO_ERROR)) {
		snprintf(why, sizeof(why), "the backend reset the stream: %s",
		    nghttp2_http2_strerror(c->error));
		h2cl_fail(c, STREAM_E_PEER, why);
	}
}

static void
h2cl_process(struct h2_client *c)
{
	size_t used;

	if (h2_queue_bytes(&c->in) > 0 && c->run_n > 0)
		h2cl_keep_run(c, 0); /* the scratch is needed */
	if (c->state == H2CL_SETTINGS && c->settings_came)
		h2cl_process_settings(c);
	if (c->state == H2CL_HEAD && c->head_came)
		h2cl_process_head(c);
	h2cl_deliver_queue(c);
	if (c->run_n > 0 && h2cl_is_flowing(c)) {
		used = h2cl_hand(c, c->run, c->run_n);
		if (h2cl_is_flowing(c))
			h2cl_keep_run(c, used);
	}
	if (c->state != H2CL_DEAD)
		h2cl_process_end(c);
}

/* ---- what goes out */

/* Fill o; whether there is more. */
static bool
h2cl_gather(struct h2_client *c, struct h2_out *o)
{
	const uint8_t *p;
	ssize_t n;

	o->full = false;
	while (o->bytes == 0 ||
	    (H2_OUT_ARENA - o->arena_n >= H2CL_FRAME_MAX && h2_out_has_room(o, H2CL_FRAME_MAX))) {
		if ((n = nghttp2_session_mem_send(c->ng, &p)) == 0)
			return o->full;
		if (n < 0) {
			transport_break(&c->t, ENOMEM);
			return false;
		}
		h2_out_copy(o, p, (size_t)n);
	}
	return true;
}

static void
h2cl_flush(struct h2_client *c)
{
	struct h2_out o;
	bool more = true;

	c->gather = &o;
	h2_out_init(&o);
	while (more && transport_queued(&c->t) == 0) {
		more = h2cl_gather(c, &o);
		if (o.n_iov > 0 && transport_write(&c->t, o.iov, o.n_iov) == -1)
			more = false; /* broken: `failed` follows from the loop */
		h2_out_clear(&o);
	}
	c->gather = NULL;
}

/* Closed by the user: GOAWAY and FIN behind what was written, then the peer's end is waited for. */
static void
h2cl_linger(struct h2_client *c)
{
	bool done = c->closed || c->end_sent || c->id == -1;

	if (!done || transport_queued(&c->t) > 0)
		return;
	if (!c->going) {
		c->going = true;
		(void)nghttp2_session_terminate_session(c->ng, NGHTTP2_NO_ERROR);
		h2cl_flush(c);
		transport_fin(&c->t);
		h2cl_arm(c, c->linger_ms);
	}
	if (c->eof || c->linger_ms == 0)
		h2cl_destroy(c, false);
}

/* At the turn's end. */
static void
h2cl_on_task(struct loop_task *task)
{
	struct h2_client *c =
	    (struct h2_client *)(void *)((char *)task - offsetof(struct h2_client, task));

	h2cl_process(c);
	if (c->state == H2CL_DEAD)
		return;
	h2cl_flush(c);
	if (c->state == H2CL_LINGER) {
		h2cl_linger(c);
		return;
	}
	/* nghttp2 has ended the connection: its GOAWAY is out. */
	if (nghttp2_session_want_read(c->ng) == 0 && nghttp2_session_want_write(c->ng) == 0 &&
	    c->state != H2CL_ENDED) {
		h2cl_fail_protocol(c);
		return;
	}
	if (c->waited && h2_queue_bytes(&c->out) == 0 && transport_queued(&c->t) == 0) {
		c->waited = false;
		if (c->s.ev->room != NULL && c->state != H2CL_SETTINGS && c->state != H2CL_HEAD)
			c->s.ev->room(&c->s);
	}
}

/* ---- the transport's events */

static void
h2cl_on_eof(struct h2_client *c)
{
	c->eof = true;
	if (c->state == H2CL_LINGER) {
		h2cl_destroy(c, false);
		return;
	}
	if (c->state == H2CL_ENDED)
		return;
	h2cl_fail(c, STREAM_E_PEER,
	    c->state == H2CL_SETTINGS || c->state == H2CL_HEAD ? "backend closed without a response"
							       : "backend ended the connection");
}

static void
h2cl_on_readable(struct transport *t)
{
	struct h2_client *c = h2cl_of_transport(t);
	const char *why = "connection error";
	size_t n;

	switch (transport_read(t, loop_scratch(t->loop), LOOP_SCRATCH, &n, &why)) {
	case IO_OK:
		c->run = NULL;
		c->run_n = 0;
		if (h2cl_session_recv(c, loop_scratch(t->loop), n) == -1) {
			h2cl_fail_protocol(c);
			return;
		}
		h2cl_process(c);
		h2cl_dirty(c);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		h2cl_on_eof(c);
		break;
	case IO_ERROR:
		h2cl_fail(c, STREAM_E_PEER, why);
		break;
	}
}

static void
h2cl_on_drained(struct transport *t)
{
	h2cl_dirty(h2cl_of_transport(t));
}

static void
h2cl_on_failed(struct transport *t, const char *why)
{
	h2cl_fail(h2cl_of_transport(t), t->err == ENOMEM ? STREAM_E_MEMORY : STREAM_E_PEER, why);
}

static const struct transport_events h2cl_transport_events = {
	.ready = NULL, /* the handshake is over before the start */
	.readable = h2cl_on_readable,
	.drained = h2cl_on_drained,
	.failed = h2cl_on_failed,
};

/* ---- the stream's operations */

static int
h2cl_op_respond(struct stream *s, const struct stream_response *r)
{
	(void)s;
	(void)r;
	return -1;
}

static int
h2cl_op_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	(void)s;
	(void)field;
	(void)n_fields;
	return -1;
}

static int
h2cl_op_write(struct stream *s, const struct iovec *iov, int n)
{
	struct h2_client *c = h2cl_of_stream(s);

	if (c->state == H2CL_LINGER || c->state == H2CL_DEAD || c->end_out || c->closed)
		return -1;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len > 0 &&
		    h2_queue_append(&c->out, c->t.loop, iov[i].iov_base, iov[i].iov_len) == -1) {
			transport_break(&c->t, ENOMEM);
			return -1;
		}
	}
	c->waited = true; /* for the turn's end at least */
	h2cl_session_resume(c);
	h2cl_dirty(c);
	return 0;
}

static void
h2cl_op_end(struct stream *s)
{
	struct h2_client *c = h2cl_of_stream(s);

	if (c->state == H2CL_LINGER || c->state == H2CL_DEAD || c->end_out)
		return;
	c->end_out = true;
	h2cl_session_resume(c);
	h2cl_dirty(c);
}

/* The loop ends while we linger. */
static void
h2cl_on_orphaned(struct loop_orphan *o)
{
	h2cl_destroy(
	    (struct h2_client *)(void *)((char *)o - offsetof(struct h2_client, orphan)), false);
}

static void
h2cl_op_close(struct stream *s, uint64_t linger_ms)
{
	struct h2_client *c = h2cl_of_stream(s);

	if (c->state == H2CL_LINGER || c->state == H2CL_DEAD)
		return;
	c->end_out = true;
	c->linger_ms = linger_ms;
	c->state = H2CL_LINGER;
	c->orphan.end = h2cl_on_orphaned;
	loop_adopt(c->t.loop, &c->orphan);
	h2_queue_clear(&c->in);
	h2cl_session_resume(c);
	h2cl_arm(c, H2CL_FLUSH_MS + linger_ms);
	h2cl_dirty(c);
}

static void
h2cl_op_abort(struct stream *s)
{
	struct h2_client *c = h2cl_of_stream(s);

	if (c->state == H2CL_DEAD)
		return;
	/* nghttp2 sends nothing but the GOAWAY once it was asked for that. */
	if (c->id > 0 && !c->closed &&
	    nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, c->id, NGHTTP2_CANCEL) == 0)
		h2cl_flush(c);
	(void)nghttp2_session_terminate_session(c->ng, NGHTTP2_NO_ERROR);
	h2cl_flush(c);
	h2cl_destroy(c, false);
}

static void
h2cl_op_flow(struct stream *s)
{
	/* What comes while there is a hold is bounded by the window. */
	if (s->holds == 0)
		h2cl_dirty(h2cl_of_stream(s));
}

static size_t
h2cl_op_queued(const struct stream *s)
{
	const struct h2_client *c = h2cl_of_stream(s);

	return h2_queue_bytes(&c->out) + transport_queued(&c->t);
}

static const struct stream_info *
h2cl_op_info(const struct stream *s)
{
	(void)s;
	return NULL;
}

static const struct stream_ops h2cl_ops = {
	.respond = h2cl_op_respond,
	.accept = h2cl_op_accept,
	.write = h2cl_op_write,
	.end = h2cl_op_end,
	.close = h2cl_op_close,
	.abort = h2cl_op_abort,
	.flow = h2cl_op_flow,
	.queued = h2cl_op_queued,
	.info = h2cl_op_info,
};

/* ---- the start */

struct stream *
h2_client_start_on(struct transport *from, const struct h1_request *r, bool https,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why)
{
	struct h2_client *c = NULL;

	assert(r->websocket);
	if ((*why = h1c_head_judge_request(r)) == NULL) {
		*why = "out of memory";
		c = mem_zalloc(sizeof(*c));
	}
	if (c == NULL) {
		transport_close(from, false);
		return NULL;
	}
	c->s.ops = &h2cl_ops;
	stream_attach(&c->s, ev, user);
	c->id = -1;
	c->timer.fn = h2cl_on_timer;
	buf_init(&c->request.text, H1C_HEAD_MAX_REQUEST);
	buf_init(&c->response.text, 2 * HTTP1_MAX_HEAD);
	transport_move(&c->t, from, &h2cl_transport_events);
	if (h2cl_put_request(&c->request, r, https) == -1 || h2cl_session_start(c) == -1) {
		h2cl_destroy(c, false);
		return NULL;
	}
	h2cl_arm(c, response_timeout_ms);
	h2cl_dirty(c);
	*why = NULL;
	return &c->s;
}
