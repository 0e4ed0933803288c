/*
 * HTTP/1.1 connections to backends (RFC 9112 client side).  See h1_client.h.
 *
 * One request goes out, one response is read.  All that only the response's head and body need,
 * or bytes that a hold keeps back, or a linger, is in a struct h1_exchange; after a 101 that is
 * freed, and an open WebSocket costs the connection's struct and its event, nothing else.
 *
 * A byte's way: the transport reads into the loop's scratch (h1c_on_readable); head bytes are
 * scanned there, and copied only when the head is incomplete; body or WebSocket bytes are handed
 * up from there (h1c_hand), as many as the user's budget takes.  What a hold keeps back is copied
 * (at most one read) and comes again from a task at the turn's end, by the scratch too, so that
 * the user finds the scratch's headroom in front of it.
 *
 * All of it works on one state, and the order of closing, keeping and
 * freeing can only be seen in one place.  The response's head is in h1_client_response.c, what is
 * pure in h1_client_head.c, the start and what goes out in h1_client_request.c.
 *
 * Runs on one worker; called by io/transport and io/loop (events) and by the user of its stream
 * (operations).  Invariants: the exchange exists in H1C_HEAD, H1C_BODY and H1C_LINGER, and in
 * H1C_OPEN while bytes are kept; while bytes are kept nothing is read; in H1C_LINGER and
 * H1C_DEAD nothing is called up.
 */
#include <assert.h>
#include <stdio.h>

#include "http/h1_client_int.h"
#include "http/h1_trailers.h"

/* How long the kernel may take over the last bytes of a closed stream, at least. */
#define H1C_FLUSH_MS 5000
/* Bytes of a reason for a reset. */
#define H1C_WHY_MAX 200

static void h1c_on_timer(struct loop_timer *timer);
static void h1c_on_task(struct loop_task *task);

static struct h1_client *
h1c_of_transport(struct transport *t)
{
	return (struct h1_client *)(void *)((char *)t - offsetof(struct h1_client, t));
}

static const char *
h1c_state_str(enum h1c_state st)
{
	switch (st) {
	case H1C_HEAD:
		return "head";
	case H1C_BODY:
		return "body";
	case H1C_OPEN:
		return "open";
	case H1C_ENDED:
		return "ended";
	case H1C_IDLE:
		return "idle";
	case H1C_LINGER:
		return "linger";
	case H1C_DEAD:
		return "dead";
	}
	return "?";
}

/* The only place that changes the state. */
void
h1c_set_state(struct h1_client *h1c, enum h1c_state to)
{
	static const uint8_t edges[] = {
		[H1C_HEAD] = 1 << H1C_BODY | 1 << H1C_OPEN | 1 << H1C_LINGER | 1 << H1C_DEAD,
		[H1C_BODY] = 1 << H1C_ENDED | 1 << H1C_LINGER | 1 << H1C_DEAD,
		[H1C_OPEN] = 1 << H1C_ENDED | 1 << H1C_LINGER | 1 << H1C_DEAD,
		[H1C_ENDED] = 1 << H1C_IDLE | 1 << H1C_LINGER | 1 << H1C_DEAD,
		[H1C_IDLE] = 1 << H1C_HEAD | 1 << H1C_LINGER | 1 << H1C_DEAD,
		[H1C_LINGER] = 1 << H1C_DEAD,
		[H1C_DEAD] = 0,
	};

	assert((edges[h1c->s.carrier_state] & 1 << to) != 0 ||
	    (fprintf(
		 stderr, "h1c: %s to %s\n", h1c_state_str(h1c->s.carrier_state), h1c_state_str(to)),
		false));
	h1c->s.carrier_state = (uint8_t)to;
}

/* ---- the exchange's memory and time */

struct h1_exchange *
h1c_exchange_new(struct h1_client *h1c)
{
	struct h1_exchange *x;

	if ((x = loop_object(h1c->t.loop, sizeof(*x))) == NULL)
		return NULL;
	x->h1c = h1c;
	x->timer.fn = h1c_on_timer;
	buf_init(&x->kept, HTTP1_MAX_HEAD);
	buf_init(&x->trailers, HTTP1_MAX_TRAILER_BYTES);
	http1_scan_init(&x->scan, HTTP1_RESPONSE);
	http1_chunked_init(&x->chunked);
	return x;
}

static void
h1c_exchange_free(struct h1_client *h1c)
{
	struct h1_exchange *x = h1c->x;

	if (x == NULL)
		return;
	loop_timer_stop(h1c->t.loop, &x->timer);
	loop_later_cancel(h1c->t.loop, &x->task);
	loop_disown(&x->orphan);
	buf_clear(&x->kept);
	buf_clear(&x->trailers);
	loop_object_free_later(h1c->t.loop, x);
	h1c->x = NULL;
}

/* CONFIG_NEVER and 0 are no limit. */
void
h1c_arm(struct h1_client *h1c, uint64_t in_ms)
{
	struct loop *loop = h1c->t.loop;

	if (in_ms == 0 || in_ms >= CONFIG_NEVER - loop_now_ms(loop)) {
		loop_timer_stop(loop, &h1c->x->timer);
		return;
	}
	h1c->x->deadline_ms = loop_now_ms(loop) + in_ms;
	loop_timer_arm(loop, &h1c->x->timer, h1c->x->deadline_ms);
}

/* The end of the connection; nothing is called up.  From here on h1c->x must not be looked at. */
void
h1c_destroy(struct h1_client *h1c, bool reset)
{
	struct loop *loop = h1c->t.loop;

	if (h1c->s.carrier_state == H1C_DEAD)
		return;
	h1c_set_state(h1c, H1C_DEAD);
	transport_close(&h1c->t, reset);
	h1c_exchange_free(h1c);
	loop_object_free_later(loop, h1c);
}

void
h1c_fail(struct h1_client *h1c, enum stream_error e, const char *why)
{
	const struct stream_events *ev = h1c->s.ev;
	bool told = h1c->s.carrier_state == H1C_LINGER || h1c->s.carrier_state == H1C_DEAD;
	char text[H1C_WHY_MAX];

	snprintf(text, sizeof(text), "%s", why); /* it may be the transport's */
	h1c_destroy(h1c, false);
	h1c->s.ev = NULL;
	if (!told && ev != NULL)
		ev->reset(&h1c->s, e, text);
}

void
h1c_fail_protocol(struct h1_client *h1c, const char *why)
{
	h1c_fail(h1c, STREAM_E_PROTOCOL, why);
}

void
h1c_fail_memory(struct h1_client *h1c)
{
	h1c_fail(h1c, STREAM_E_MEMORY, "out of memory");
}

/* ---- payload: a body's or a WebSocket's */

/* How many bytes may go up now. */
static size_t
h1c_room(struct h1_client *h1c, size_t max)
{
	size_t room;

	if (h1c->s.holds != 0)
		return 0;
	if (h1c->s.ev->budget == NULL)
		return max;
	room = h1c->s.ev->budget(&h1c->s);
	return room < max ? room : max;
}

static void
h1c_hand_up(struct h1_client *h1c, uint8_t *p, size_t n)
{
	if (n > 0)
		h1c->s.ev->bytes(&h1c->s, p, n);
}

static void
h1c_end_up(struct h1_client *h1c)
{
	struct buf trailers;

	buf_init(&trailers, HTTP1_MAX_TRAILER_BYTES);
	if (h1c->x != NULL) {
		trailers = h1c->x->trailers;
		buf_init(&h1c->x->trailers, HTTP1_MAX_TRAILER_BYTES);
	}
	h1c_set_state(h1c, H1C_ENDED);
	h1c_exchange_free(h1c);
	/* What is behind a body is nobody's; where a request may follow it would be noticed. */
	if (!h1c_may_keep(h1c))
		transport_want_read(&h1c->t, false);
	h1_trailers_up(&h1c->s, &trailers);
	if (h1c->s.ev != NULL) /* it may have been closed */
		h1c->s.ev->end(&h1c->s);
}

/* A part of a body goes up; the bytes of p[0..n) that it was, its framing too. */
static size_t
h1c_hand_body(struct h1_client *h1c, uint8_t *p, size_t n)
{
	struct h1_exchange *x = h1c->x;
	struct span data;
	size_t used = n;

	switch (x->body) {
	case HTTP_BODY_NONE:
		return n;
	case HTTP_BODY_LENGTH:
		if (used > x->body_left)
			used = (size_t)x->body_left;
		x->body_left -= used;
		h1c_hand_up(h1c, p, used);
		return used;
	case HTTP_BODY_EOF:
		h1c_hand_up(h1c, p, n);
		return n;
	case HTTP_BODY_CHUNKED:
		break;
	}
	switch (http1_chunked_gather(&x->chunked, (char *)p, n, &used, &data)) {
	case HTTP1_CHUNK_MORE:
		break;
	case HTTP1_CHUNK_DATA:
		h1c_hand_up(h1c, p + (data.p - (const char *)p), data.n);
		break;
	case HTTP1_CHUNK_TRAILER:
		if (h1_trailers_keep(&h1c->s, &x->trailers, data) == -1)
			h1c_fail_memory(h1c);
		break;
	case HTTP1_CHUNK_END:
		x->body = HTTP_BODY_NONE;
		break;
	case HTTP1_CHUNK_BAD:
		h1c_fail_protocol(h1c, "the chunked coding of the backend's response is broken");
		break;
	}
	return used;
}

static bool
h1c_body_is_over(const struct h1_client *h1c)
{
	return h1c->s.carrier_state == H1C_BODY &&
	    (h1c->x->body == HTTP_BODY_NONE ||
		(h1c->x->body == HTTP_BODY_LENGTH && h1c->x->body_left == 0));
}

/* Hand p[0..n) up as far as it is wanted, and the end when it is reached; how much was taken. */
static size_t
h1c_hand(struct h1_client *h1c, uint8_t *p, size_t n)
{
	size_t off = 0, room;

	while (off < n && !h1c_body_is_over(h1c)) {
		if (h1c->s.carrier_state != H1C_OPEN && h1c->s.carrier_state != H1C_BODY)
			return n; /* closed by the user, or broken */
		if ((room = h1c_room(h1c, n - off)) == 0)
			return off;
		if (h1c->s.carrier_state == H1C_OPEN) {
			h1c_hand_up(h1c, p + off, room);
			off += room;
		} else {
			off += h1c_hand_body(h1c, p + off, room);
		}
	}
	if (h1c_body_is_over(h1c) && h1c->s.holds == 0) {
		h1c->s.carrier_keep &= off == n; /* whose answer would that be? (RFC 9112 9.2) */
		h1c_end_up(h1c);
		return n;
	}
	return off;
}

/* Wait for more, unless something of before has to go up first. */
static void
h1c_wait(struct h1_client *h1c)
{
	bool kept;

	if (h1c->s.carrier_state != H1C_OPEN && h1c->s.carrier_state != H1C_BODY)
		return;
	kept = h1c->x != NULL && h1c->x->kept.n > 0;
	if (h1c->s.carrier_state == H1C_OPEN && !kept)
		h1c_exchange_free(h1c);
	transport_want_read(&h1c->t, !kept && h1c->s.holds == 0 && !h1c_body_is_over(h1c));
}

/* Keep p[0..n) until the hold is over. */
static void
h1c_keep(struct h1_client *h1c, const uint8_t *p, size_t n)
{
	if (h1c->x == NULL && (h1c->x = h1c_exchange_new(h1c)) == NULL) {
		h1c_fail_memory(h1c);
		return;
	}
	h1c->x->kept.max = LOOP_SCRATCH;
	if (buf_append(&h1c->x->kept, p, n) == -1)
		h1c_fail_memory(h1c);
}

void
h1c_take(struct h1_client *h1c, uint8_t *p, size_t n)
{
	size_t used = h1c_hand(h1c, p, n);

	if (used < n)
		h1c_keep(h1c, p + used, n - used);
	h1c_wait(h1c);
}

/* At the turn's end, after the release: what was kept, from the scratch like all that is read. */
static void
h1c_on_task(struct loop_task *task)
{
	struct h1_exchange *x =
	    (struct h1_exchange *)(void *)((char *)task - offsetof(struct h1_exchange, task));
	struct h1_client *h1c = x->h1c;
	uint8_t *p = loop_scratch(h1c->t.loop);
	size_t used, n = x->kept.n;

	if (h1c->s.holds != 0)
		return;
	if (n > 0)
		memcpy(p, x->kept.p, n);
	used = h1c_hand(h1c, p, n);
	if (h1c->s.carrier_state != H1C_OPEN && h1c->s.carrier_state != H1C_BODY)
		return; /* x is gone */
	if (used == n)
		buf_clear(&x->kept);
	else
		buf_consume(&x->kept, used);
	h1c_wait(h1c);
}

/* A read of payload has brought none. */
static void
h1c_read_nothing(struct h1_client *h1c, enum io_status st, const char *why)
{
	if (st == IO_ERROR) {
		h1c_fail(h1c, STREAM_E_PEER, why);
		return;
	}
	if (st != IO_EOF)
		return;
	h1c->s.carrier_eof = true;
	/* A body is over by its length only, or it was cut short (RFC 9112 8). */
	if (h1c->s.carrier_state == H1C_BODY && h1c->x->body != HTTP_BODY_EOF)
		h1c_fail(h1c, STREAM_E_PEER, "backend cut the response's body short");
	else
		h1c_end_up(h1c);
}

static inline void
h1c_read_payload(struct h1_client *h1c)
{
	size_t n, room = h1c_room(h1c, LOOP_SCRATCH);
	enum io_status st;
	uint8_t *p = loop_scratch(h1c->t.loop);
	const char *why = "connection error";

	if (room == 0) {
		transport_want_read(&h1c->t, false); /* until a release */
		return;
	}
	st = transport_read(&h1c->t, p, room, &n, &why);
	if (st != IO_OK)
		h1c_read_nothing(h1c, st, why);
	/* Not more was read than the user can take; what it wants then, it says by holds. */
	else if (h1c->s.carrier_state == H1C_OPEN && h1c->x == NULL)
		h1c->s.ev->bytes(&h1c->s, p, n);
	else
		h1c_take(h1c, p, n);
}

/* ---- the transport's events */

/* Its end, or bytes that answer nothing (RFC 9112 9.2): no request follows. */
static void
h1c_read_idle(struct h1_client *h1c)
{
	if (!h1c_is_quiet(h1c))
		h1c_fail(h1c, STREAM_E_PEER, "the connection ended while it waited");
}

/* After the user closed: nothing that comes is of use but the end. */
static void
h1c_read_linger(struct h1_client *h1c)
{
	size_t n;

	switch (transport_read(&h1c->t, loop_scratch(h1c->t.loop), LOOP_SCRATCH, &n, NULL)) {
	case IO_OK:
	case IO_AGAIN:
		break;
	case IO_EOF:
		h1c->s.carrier_eof = true;
		if (transport_queued(&h1c->t) == 0)
			h1c_destroy(h1c, false);
		break;
	case IO_ERROR:
		h1c_destroy(h1c, false);
		break;
	}
}

static void
h1c_on_readable(struct transport *t)
{
	struct h1_client *h1c = h1c_of_transport(t);

	/* What nearly all of them are. */
	if (h1c->s.carrier_state == H1C_OPEN) {
		h1c_read_payload(h1c);
		return;
	}
	switch ((enum h1c_state)h1c->s.carrier_state) {
	case H1C_HEAD:
		h1c_read_head(h1c);
		break;
	case H1C_BODY:
	case H1C_OPEN:
		h1c_read_payload(h1c);
		break;
	case H1C_LINGER:
		h1c_read_linger(h1c);
		break;
	case H1C_IDLE:
		h1c_read_idle(h1c);
		break;
	case H1C_ENDED:
		transport_want_read(t, false);
		break;
	case H1C_DEAD:
		break;
	}
}

/* All is out, the FIN too: from now on only the peer is waited for. */
static void
h1c_lingered_queue(struct h1_client *h1c)
{
	if (h1c->s.carrier_eof || h1c->x->linger_ms == 0)
		h1c_destroy(h1c, false);
	else
		h1c_arm(h1c, h1c->x->linger_ms);
}

static void
h1c_on_drained(struct transport *t)
{
	struct h1_client *h1c = h1c_of_transport(t);

	switch ((enum h1c_state)h1c->s.carrier_state) {
	case H1C_BODY:
	case H1C_OPEN:
	case H1C_ENDED:
		if (h1c->s.ev->room != NULL)
			h1c->s.ev->room(&h1c->s);
		break;
	case H1C_LINGER:
		h1c_lingered_queue(h1c);
		break;
	case H1C_HEAD:
		h1c_arm_response(h1c);
		/* It was the request's head that waited, or its body. */
		if (h1c->s.carrier_out != H1C_OUT_RAW && h1c->s.ev->room != NULL)
			h1c->s.ev->room(&h1c->s);
		break;
	case H1C_IDLE:
	case H1C_DEAD:
		break;
	}
}

static void
h1c_on_failed(struct transport *t, const char *why)
{
	h1c_fail(h1c_of_transport(t), t->err == ENOMEM ? STREAM_E_MEMORY : STREAM_E_PEER, why);
}

static void
h1c_on_timer(struct loop_timer *timer)
{
	struct h1_exchange *x =
	    (struct h1_exchange *)(void *)((char *)timer - offsetof(struct h1_exchange, timer));
	struct h1_client *h1c = x->h1c;

	/* Times past the wheel's span fire early. */
	if (loop_now_ms(h1c->t.loop) < x->deadline_ms)
		loop_timer_arm(h1c->t.loop, timer, x->deadline_ms);
	else if (h1c->s.carrier_state == H1C_HEAD)
		h1c_fail(h1c, STREAM_E_TIMEOUT, "no response from the backend in time");
	else if (h1c->s.carrier_state == H1C_LINGER)
		h1c_destroy(h1c, false);
}

/* ---- the stream's operations */

static int
h1c_op_respond(struct stream *s, const struct stream_response *r)
{
	(void)s;
	(void)r;
	return -1;
}

static int
h1c_op_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	(void)s;
	(void)field;
	(void)n_fields;
	return -1;
}

/* The loop ends while we linger. */
static void
h1c_on_orphaned(struct loop_orphan *o)
{
	struct h1_exchange *x =
	    (struct h1_exchange *)(void *)((char *)o - offsetof(struct h1_exchange, orphan));

	h1c_destroy(x->h1c, false);
}

static void
h1c_op_close(struct stream *s, uint64_t linger_ms)
{
	struct h1_client *h1c = h1c_of_stream(s);
	bool queued = transport_queued(&h1c->t) > 0;

	if (h1c->s.carrier_state == H1C_LINGER || h1c->s.carrier_state == H1C_DEAD)
		return;
	h1c_exchange_free(h1c);
	if (linger_ms != 0 || !transport_finish(&h1c->t))
		transport_fin(&h1c->t);
	h1c_set_state(h1c, H1C_LINGER);
	if ((!queued && (h1c->s.carrier_eof || linger_ms == 0)) ||
	    (h1c->x = h1c_exchange_new(h1c)) == NULL) {
		h1c_destroy(h1c, false);
		return;
	}
	h1c->x->linger_ms = linger_ms;
	h1c->x->orphan.end = h1c_on_orphaned;
	loop_adopt(h1c->t.loop, &h1c->x->orphan);
	h1c_arm(h1c, queued && linger_ms < H1C_FLUSH_MS ? H1C_FLUSH_MS : linger_ms);
	transport_want_read(&h1c->t, true);
}

static void
h1c_op_abort(struct stream *s)
{
	h1c_destroy(h1c_of_stream(s), true);
}

static void
h1c_op_flow(struct stream *s)
{
	struct h1_client *h1c = h1c_of_stream(s);

	/* A head is awaited whatever is held: it is no payload. */
	if (h1c->s.carrier_state != H1C_BODY && h1c->s.carrier_state != H1C_OPEN)
		return;
	if (s->holds == 0 && h1c->x != NULL && (h1c->x->kept.n > 0 || h1c_body_is_over(h1c)))
		loop_later(h1c->t.loop, &h1c->x->task, h1c_on_task);
	else
		transport_want_read(&h1c->t, s->holds == 0);
}

static size_t
h1c_op_queued(const struct stream *s)
{
	return transport_queued(&h1c_of_stream(s)->t);
}

static const struct stream_info *
h1c_op_info(const struct stream *s)
{
	(void)s;
	return NULL;
}

const struct transport_events h1c_transport_events = {
	.ready = NULL, /* a TLS handshake is over before h1_client_start_on */
	.readable = h1c_on_readable,
	.drained = h1c_on_drained,
	.failed = h1c_on_failed,
};

const struct stream_ops h1c_ops = {
	.respond = h1c_op_respond,
	.accept = h1c_op_accept,
	.write = h1c_op_write,
	.trailers = h1c_op_trailers,
	.end = h1c_op_end,
	.close = h1c_op_close,
	.abort = h1c_op_abort,
	.flow = h1c_op_flow,
	.queued = h1c_op_queued,
	.info = h1c_op_info,
};
