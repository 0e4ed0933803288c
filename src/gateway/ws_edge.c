/*
 * Compression=edge: permessage-deflate (RFC 7692) between the client and the
 * gateway; whatever is behind sees plain messages.  See ws_int.h.
 *
 * Both directions stream.  What a read brings of a compressed message is inflated into a buffer of
 * the worker and goes on as a frame, a fragment where the message is not over; what is sent to the
 * client is deflated run by run, each flushed.  Nothing is gathered, and nothing waits for more.
 *
 * A few compressed bytes can become very many.  No more is inflated than the receiver may be sent
 * at once (BufferLimit), and no more than EDGE_TURN_MAX in a turn; then the rest of the read is
 * kept as it came, the client is held, and ws_resume goes on when there is room.
 *
 * Invariants: the worker's buffers are in use within one ws_pump only, at whose end what stands in
 * them has been written; while `waits`, the client's stream is held.  zlib state belongs to a
 * connection with context takeover, else to a message that is open; ws_edge_rest.c puts away what
 * is idle.
 *
 * Called by ws_data.c (events, ws_emit) and ws.c (life); calls codec/ws_deflate and ws_edge_rest.c.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_mask.h"
#include "codec/ws_utf8.h"
#include "gateway/ws_edge_int.h"

#define EDGE_TURN_MAX (1 << 20) /* bytes inflated until others get their turn */
#define EDGE_OUT_HEADER 4	/* of a server's frame below 64 KiB */
#define EDGE_OUT_MIN 2048	/* with less room left the deflated bytes are written first */

static void edge_on_timer(struct loop_timer *t);

static struct edge_worker *
edge_worker_get(struct gateway *gw)
{
	if (gw->edge == NULL && (gw->edge = mem_alloc(sizeof(*gw->edge))) != NULL) {
		ws_deflate_pool_init(&gw->edge->pool, gw->env.deflate_memory);
		gw->edge->rest_until_ms = gw->edge->rest_queue_ms = 0;
		gw->edge->rest_left = 0;
	}
	return gw->edge;
}

void
ws_edge_worker_free(struct edge_worker *ew)
{
	if (ew != NULL)
		ws_deflate_pool_clear(&ew->pool);
	mem_free(ew);
}

struct ws_edge *
ws_edge_new(struct ws *w, const struct ws_ext *ext)
{
	struct ws_edge *e;

	if (edge_worker_get(w->ss.gw) == NULL ||
	    (e = loop_object(w->ss.gw->env.loop, sizeof(*e))) == NULL)
		return NULL;
	e->w = w;
	e->ext = *ext;
	e->timer.fn = edge_on_timer;
	e->memory_max = stream_info(w->ss.s)->config->server.compression_memory;
	return e;
}

void
ws_edge_free(struct ws *w)
{
	struct ws_edge *e = w->edge;
	struct gateway *gw = w->ss.gw;

	if (e == NULL)
		return;
	w->edge = NULL;
	session_log(&w->ss, LOG_L_DEBUG, "deflate in=%llu inflated=%llu out=%llu deflated=%llu",
	    (unsigned long long)e->in_wire, (unsigned long long)e->in_plain,
	    (unsigned long long)e->out_plain, (unsigned long long)e->out_wire);
	loop_timer_stop(gw->env.loop, &e->timer);
	ws_edge_rest_free(e, &gw->edge->pool);
	loop_free_later(gw->env.loop, e->kept);
	loop_object_free_later(gw->env.loop, e);
}

static void
edge_count(struct counter *counter, uint64_t *own, size_t n)
{
	*own += n;
	counter_add(counter, n);
}

/* ---- from the client: inflate ---- */

static enum ws_went
edge_fail(struct ws *w, struct ws_out *o, unsigned code, const char *why)
{
	ws_out_flush(o);
	ws_protocol_error(w, &w->client, code, why);
	return WS_OVER;
}

/* A run of the message to an application that knows no WebSocket, as events of a frame. */
static bool
edge_to_raw(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool first, bool last)
{
	struct ws_event ev = { .kind = WS_EV_FRAME, .message_start = first, .data = p, .n = n };

	ev.frame.length = n;
	ev.frame.opcode = first ? w->edge->opcode : WS_CONT;
	ev.frame.fin = last;
	w->client.flags |= LEG_MID_FRAME;
	ws_out_mark(o);
	if (!ws_raw_event(w, o, &ev))
		return false;
	ev.kind = WS_EV_DATA;
	if (n > 0 && !ws_raw_event(w, o, &ev))
		return false;
	w->client.flags &= (uint8_t)~LEG_MID_FRAME;
	ev.kind = WS_EV_FRAME_END;
	ev.message_end = last;
	return ws_raw_event(w, o, &ev);
}

/* To an http backend: a frame with a mask of our own.  There is room for its header before p. */
static void
edge_to_backend(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool first, bool last)
{
	uint8_t mask[4], head = first ? w->edge->opcode : WS_CONT;
	size_t hn = ws_frame_header_size(n, true);

	ws_mask_for(w, &w->backend, mask);
	ws_frame_write(p - hn, last ? head | WS_BIT_FIN : head, n, mask);
	ws_mask_copy(p, p, n, mask, 0);
	ws_out_bytes(o, p - hn, hn + n);
}

/* Hand on what was inflated; last: the message ends with it.  False: the WebSocket is over. */
static bool
edge_deliver(struct ws *w, struct ws_out *o, bool last)
{
	struct edge_worker *ew = w->ss.gw->edge;
	struct ws_edge *e = w->edge;
	uint8_t *p = ew->inflated + ew->at + WS_HEADER_MAX;
	size_t n = ew->chunk_n;
	bool first = !e->mid;

	if (n == 0 && !last)
		return true;
	ew->at += WS_HEADER_MAX + n;
	ew->chunk_n = 0;
	e->mid = !last;
	if (w->mode == WS_MODE_ECHO)
		ws_emit(w, o, e->opcode, p, n, last, first && last ? n : WS_LENGTH_UNKNOWN);
	else if (w->mode == WS_MODE_RELAY)
		edge_to_backend(w, o, p, n, first, last);
	else
		return edge_to_raw(w, o, p, n, first, last);
	return true;
}

static size_t
edge_room(const struct edge_worker *ew)
{
	size_t used = ew->at + WS_HEADER_MAX + ew->chunk_n;

	return ew->end > used ? ew->end - used : 0;
}

/* Write what stands in the buffer, and see how much of it the receiver can be sent next. */
static enum ws_went
edge_make_room(struct ws *w, struct ws_out *o)
{
	struct edge_worker *ew = w->ss.gw->edge;
	uint64_t limit = ws_config(w)->buffer_limit, queued;

	if (!edge_deliver(w, o, false))
		return WS_OVER;
	ws_out_flush(o);
	ew->at = ew->end = 0;
	queued = stream_queued(o->to);
	if (queued > limit / 2 || ew->turn_n >= EDGE_TURN_MAX || ws_rate_is_spent(w))
		return WS_WAIT;
	ew->end = WS_HEADER_MAX + (size_t)(limit - queued);
	if (ew->end > EDGE_BUFFER)
		ew->end = EDGE_BUFFER;
	return WS_GO_ON;
}

/* Judge what came out of zlib, in the order in which it came. */
static enum ws_went
edge_judge(
    struct ws *w, struct ws_out *o, enum ws_deflate_status status, const uint8_t *p, size_t n)
{
	struct ws_edge *e = w->edge;
	uint64_t max = ws_config(w)->max_message_size;

	e->message_n += n;
	if (max != 0 && e->message_n > max)
		return edge_fail(w, o, WS_CLOSE_TOO_BIG, "message is too big");
	/* RFC 6455 8.1, on the message as it was before compression (RFC 7692 6.2). */
	if (e->opcode == WS_TEXT && ws_config(w)->validate_utf8 && !ws_utf8_feed(&e->utf8, p, n))
		return edge_fail(w, o, WS_CLOSE_NOT_UTF8, "text is not UTF-8");
	if (status == WS_DEFLATE_BAD)
		return edge_fail(w, o, WS_CLOSE_NOT_UTF8, "compressed data is bad");
	if (status == WS_DEFLATE_NOMEM)
		return edge_fail(w, o, WS_CLOSE_INTERNAL, "out of memory");
	edge_count(&session_count(&w->ss)->inflate_out, &e->in_plain, n);
	ws_count_data(w, &w->client, n);
	w->ss.gw->edge->turn_n += n;
	return WS_GO_ON;
}

static enum ws_went
edge_message_end(struct ws *w, struct ws_out *o)
{
	struct ws_edge *e = w->edge;

	e->ending = false;
	if (e->opcode == WS_TEXT && ws_config(w)->validate_utf8 && e->utf8 != WS_UTF8_START)
		return edge_fail(w, o, WS_CLOSE_NOT_UTF8, "text ends inside a character");
	e->in_open = false;
	if (e->ext.client_no_takeover) {
		ws_inflate_put(&w->ss.gw->edge->pool, e->in);
		e->in = NULL;
	} else {
		ws_edge_rest_inflated(e);
	}
	if (!edge_deliver(w, o, true))
		return WS_OVER;
	ws_count_messages(w, &w->client, 1);
	return WS_GO_ON;
}

/* Inflate e->data, and the message's tail when it is ending. */
static enum ws_went
edge_inflate(struct ws *w, struct ws_out *o)
{
	struct edge_worker *ew = w->ss.gw->edge;
	struct ws_edge *e = w->edge;
	enum ws_deflate_status status;
	enum ws_went went;
	uint8_t *p;
	size_t n, had;

	do {
		had = e->data.n;
		if (edge_room(ew) < WS_DEFLATE_OUT_MIN && (went = edge_make_room(w, o)) != WS_GO_ON)
			return went;
		p = ew->inflated + ew->at + WS_HEADER_MAX + ew->chunk_n;
		status = e->ending ? ws_inflate_end(e->in, p, edge_room(ew), &n)
				   : ws_inflate_run(e->in, &e->data, p, edge_room(ew), &n);
		if ((went = edge_judge(w, o, status, p, n)) != WS_GO_ON)
			return went;
		if (w->limited && !ws_rate_inflated(w, o, had - e->data.n, n))
			return WS_OVER;
		ew->chunk_n += n;
	} while (status == WS_DEFLATE_FULL);
	return e->ending ? edge_message_end(w, o) : WS_GO_ON;
}

static enum ws_went
edge_message_start(struct ws *w, struct ws_out *o, uint8_t opcode)
{
	struct ws_edge *e = w->edge;

	e->opcode = opcode;
	e->utf8 = WS_UTF8_START;
	e->message_n = 0;
	e->mid = false;
	if (!ws_edge_wake_inflater(e))
		return edge_fail(w, o, WS_CLOSE_OVERLOAD, "no memory to decompress with");
	e->in_open = true;
	return WS_GO_ON;
}

/* An event of a compressed message of the client. */
static enum ws_went
edge_in(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	struct ws_edge *e = w->edge;

	if (o->to == NULL)
		return WS_GO_ON; /* nobody takes it any more */
	if (ev->kind == WS_EV_FRAME)
		return ev->message_start ? edge_message_start(w, o, ev->frame.opcode) : WS_GO_ON;
	if (ev->kind == WS_EV_DATA) {
		ws_mask_copy(ev->data, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
		edge_count(&session_count(&w->ss)->inflate_in, &e->in_wire, ev->n);
		e->data = (struct ws_deflate_in){ ev->data, ev->n };
		return edge_inflate(w, o);
	}
	if (!ev->message_end)
		return WS_GO_ON;
	e->ending = true;
	return edge_inflate(w, o);
}

/* ---- waiting ---- */

enum ws_went
ws_edge_begin(struct ws *w, const struct ws_leg *leg, struct ws_out *o)
{
	struct edge_worker *ew = w->ss.gw->edge;
	struct ws_edge *e = w->edge;

	ew->at = ew->end = ew->chunk_n = ew->turn_n = ew->out_at = 0;
	if (leg->is_backend || !e->waits)
		return WS_GO_ON;
	e->waits = false;
	if (o->to != NULL)
		return edge_inflate(w, o);
	e->data.n = 0;
	e->ending = false;
	return WS_GO_ON;
}

bool
ws_edge_settle(struct ws *w, const struct ws_leg *leg, struct ws_out *o)
{
	return leg->is_backend || edge_deliver(w, o, false);
}

void
ws_edge_wait(struct ws *w, struct ws_out *o, const uint8_t *rest, size_t n)
{
	struct ws_edge *e = w->edge;
	size_t all = e->data.n + n;

	/* What is left of a run of payload stands right before the rest. */
	if (e->data.n > 0)
		rest = e->data.p;
	if (e->kept == NULL && all > 0) {
		if ((e->kept = mem_alloc(all > LOOP_FREE_MIN ? all : LOOP_FREE_MIN)) == NULL) {
			edge_fail(w, o, WS_CLOSE_INTERNAL, "out of memory");
			return;
		}
		rest = memcpy(e->kept, rest, all);
	}
	e->data.p = all > 0 ? rest : NULL;
	e->kept_n = n;
	e->waits = true;
	stream_hold(w->client.s, STREAM_HOLD_PEER);
	if (w->limited)
		ws_rate_hold(w);
	/* Where the receiver has not taken it all, its `room` goes on. */
	if (w->ss.gw->edge->turn_n >= EDGE_TURN_MAX)
		ws_edge_go_on_soon(w);
}

uint8_t *
ws_edge_kept(const struct ws *w, size_t *n)
{
	const struct ws_edge *e = w->edge;

	*n = e->kept_n;
	return *n > 0 ? e->kept + (e->data.p - e->kept) + e->data.n : NULL;
}

void
ws_edge_forget(struct ws *w)
{
	struct ws_edge *e = w->edge;

	loop_timer_stop(w->ss.gw->env.loop, &e->timer);
	loop_free_later(w->ss.gw->env.loop, e->kept);
	e->kept = NULL;
	e->kept_n = 0;
	ws_edge_rest_watch(e);
}

bool
ws_edge_waits(const struct ws *w)
{
	return w->edge != NULL && w->edge->waits;
}

void
ws_edge_go_on_soon(struct ws *w)
{
	loop_timer_arm(w->ss.gw->env.loop, &w->edge->timer, ws_now(w) + 1);
}

static void
edge_on_timer(struct loop_timer *t)
{
	struct ws_edge *e = (struct ws_edge *)(void *)((char *)t - offsetof(struct ws_edge, timer));
	struct ws *w = e->w; /* until the turn's end, which ws_resume may leave e to */

	/* A WebSocket that waits is not idle. */
	if (e->waits)
		ws_resume(w);
	else
		ws_edge_rest(w, ws_now(w));
	if (w->edge != NULL)
		ws_edge_rest_watch(e);
}

/* ---- to the client: deflate ---- */

/*
 * At a message's first frame: whether it is compressed, and by which stream.  A compressor that
 * remembers is for as long as there is CompressionMemory left, and one of the pool serves a
 * client as well; past twice that, messages go out as they are (RFC 7692 6.1 lets us).
 */
static void
edge_decide(struct ws *w, uint8_t opcode, uint64_t length)
{
	struct ws_deflate_pool *pool = &w->ss.gw->edge->pool;
	const struct config_websocket *c = ws_config(w);
	struct ws_edge *e = w->edge;
	unsigned bits = ws_ext_bits(e->ext.server_bits), level = (unsigned)c->compression_level;

	e->out_opcode = opcode;
	e->out_on = false;
	if (length < c->compression_min_size)
		return;
	if (!e->ext.server_no_takeover)
		ws_edge_wake_deflater(e, bits, level);
	if (e->out == NULL)
		e->out = ws_deflate_get(
		    pool, ws_deflate_bits_for(length, bits), level, 2 * e->memory_max);
	e->out_on = e->out != NULL;
}

/* Where the next deflated bytes go, behind room for their header. */
static uint8_t *
edge_out_room(struct edge_worker *ew, struct ws_out *o, size_t *size)
{
	if (EDGE_BUFFER - ew->out_at < EDGE_OUT_MIN) {
		ws_out_flush(o);
		ew->out_at = 0;
	}
	*size = EDGE_BUFFER - ew->out_at - EDGE_OUT_HEADER;
	return ew->deflated + ew->out_at + EDGE_OUT_HEADER;
}

static void
edge_deflate(struct ws *w, struct ws_out *o, struct ws_deflate_in in, bool last)
{
	struct edge_worker *ew = w->ss.gw->edge;
	struct ws_edge *e = w->edge;
	bool done;

	edge_count(&session_count(&w->ss)->deflate_in, &e->out_plain, in.n);
	do {
		size_t size, n, hn;
		uint8_t *p = edge_out_room(ew, o, &size), first = 0;

		done = ws_deflate_run(e->out, &in, last ? WS_DEFLATE_END : WS_DEFLATE_FLUSH, p,
			   size, &n) == WS_DEFLATE_OK;
		if (n == 0 && !(last && done))
			continue;
		if ((w->client.flags & LEG_MID_MESSAGE) == 0)
			first = WS_BIT_RSV1; /* on the first frame only (RFC 7692 6.1) */
		first |= ws_emit_first(w, e->out_opcode, last && done);
		hn = ws_frame_header_size(n, false);
		ws_frame_write(p - hn, first, n, NULL);
		ws_out_bytes(o, p - hn, hn + n);
		ew->out_at += EDGE_OUT_HEADER + n;
		edge_count(&session_count(&w->ss)->deflate_out, &e->out_wire, n);
	} while (!done);
}

/* A run of a message that is compressed. */
static void
edge_run(struct ws *w, struct ws_out *o, struct ws_deflate_in in, bool last)
{
	struct ws_edge *e = w->edge;

	if (o->to == NULL)
		return;
	edge_deflate(w, o, in, last);
	if (!last)
		return;
	e->out_on = false;
	if (!e->out_kept) {
		ws_deflate_put(&w->ss.gw->edge->pool, e->out);
		e->out = NULL;
	}
}

bool
ws_edge_emit(struct ws *w, struct ws_out *o, uint8_t opcode, const uint8_t *p, size_t n, bool last,
    uint64_t length)
{
	/* Empty fragments may have begun a message of which no byte has gone out. */
	if ((w->client.flags & LEG_MID_MESSAGE) == 0 && !w->edge->out_on)
		edge_decide(w, opcode, length);
	if (!w->edge->out_on)
		return false;
	edge_run(w, o, (struct ws_deflate_in){ p, n }, last);
	return true;
}

/* An event of an http backend's message: compressed, or WS_PASS, as it came. */
static enum ws_went
edge_out(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	struct ws_edge *e = w->edge;
	bool end = ev->mask_offset + ev->n == ev->frame.length;

	if (ev->kind == WS_EV_FRAME && ev->message_start)
		edge_decide(
		    w, ev->frame.opcode, ev->frame.fin ? ev->frame.length : WS_LENGTH_UNKNOWN);
	if (!e->out_on)
		return WS_PASS;
	if (ev->kind == WS_EV_DATA) {
		ws_count_data(w, &w->backend, ev->n);
		/* The run ends with its frame, or with what has come of it. */
		edge_run(w, o, (struct ws_deflate_in){ ev->data, ev->n }, ev->frame.fin && end);
	} else if (ev->kind == WS_EV_FRAME_END) {
		if (ev->frame.length == 0)
			edge_run(w, o, (struct ws_deflate_in){ NULL, 0 }, ev->frame.fin);
		if (ev->message_end)
			ws_count_messages(w, &w->backend, 1);
	}
	return WS_GO_ON;
}

enum ws_went
ws_edge_event(struct ws *w, const struct ws_leg *leg, const struct ws_reader *r, struct ws_out *o,
    const struct ws_event *ev)
{
	if (leg->is_backend)
		return edge_out(w, o, ev);
	return r->compressed ? edge_in(w, o, ev) : WS_PASS;
}
