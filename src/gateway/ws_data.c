/*
 * The bytes of a WebSocket: through the reader, and on to where they go. See ws_int.h.
 *
 * The relay passes on what came, as it came: frames keep their boundaries and, towards the
 * backend, the client's own mask.  Where frames are made anew (the echo, raw backends) each run
 * of payload that a read brought is a frame: the frame that came if it is all there, else a
 * fragment.
 */
#include <string.h>

#include "codec/ws_mask.h"
#include "codec/ws_whole.h"
#include "gateway/ws_int.h"

/* What an up-call brought, to the route's counters. */
static inline void
ws_tally(const struct ws *w, const struct ws_leg *leg, uint64_t messages, uint64_t bytes)
{
	struct route_counters *c = session_count(&w->ss);
	unsigned to = leg->is_backend ? COUNTERS_OUT : COUNTERS_IN;

	counter_add(&c->messages[to], messages);
	counter_add(&c->bytes[to], bytes);
	if (w->mode == WS_MODE_ECHO) {
		counter_add(&c->messages[COUNTERS_OUT], messages);
		counter_add(&c->bytes[COUNTERS_OUT], bytes);
	}
}

void
ws_tally_begin(struct ws *w, const struct ws_leg *leg)
{
	struct gateway_tally *t = &w->ss.gw->tally;

	t->leg = leg;
	t->messages = leg->is_backend ? w->messages_out : w->messages_in;
	t->bytes = leg->is_backend ? w->bytes_out : w->bytes_in;
}

void
ws_tally_end(struct ws *w)
{
	struct gateway_tally *t = &w->ss.gw->tally;
	const struct ws_leg *leg = t->leg;

	if (leg != &w->client && leg != &w->backend)
		return;
	t->leg = NULL;
	ws_tally(w, leg, (leg->is_backend ? w->messages_out : w->messages_in) - t->messages,
	    (leg->is_backend ? w->bytes_out : w->bytes_in) - t->bytes);
}

void
ws_count_data(struct ws *w, const struct ws_leg *leg, size_t n)
{
	if (!leg->is_backend)
		w->bytes_in += n;
	if (leg->is_backend || w->mode == WS_MODE_ECHO)
		w->bytes_out += n;
}

void
ws_count_messages(struct ws *w, const struct ws_leg *leg, uint64_t n)
{
	if (!leg->is_backend)
		w->messages_in += n;
	if (leg->is_backend || w->mode == WS_MODE_ECHO)
		w->messages_out += n;
}

uint8_t
ws_emit_first(struct ws *w, uint8_t opcode, bool last)
{
	uint8_t first = (w->client.flags & LEG_MID_MESSAGE) != 0 ? WS_CONT : opcode;

	if (last) {
		w->client.flags &= (uint8_t)~LEG_MID_MESSAGE;
		return first | WS_BIT_FIN;
	}
	w->client.flags |= LEG_MID_MESSAGE;
	return first;
}

void
ws_emit(struct ws *w, struct ws_out *o, uint8_t opcode, uint8_t *p, size_t n, bool last,
    uint64_t length)
{
	uint8_t first;

	if (w->edge != NULL && ws_edge_emit(w, o, opcode, p, n, last, length))
		return;
	first = ws_emit_first(w, opcode, last);
	ws_frame_write(ws_out_room(o, ws_frame_header_size(n, false)), first, n, NULL);
	ws_out_bytes(o, p, n);
}

/*
 * The echo of a run of payload.  *cursor is where the next byte may be written: the unmasked
 * frame is shorter than the masked one, so that it fits where that one stood but for headers
 * that came in pieces.
 */
static void
ws_echo_data(
    struct ws *w, struct ws_out *o, const struct ws_event *ev, uint8_t opcode, uint8_t **cursor)
{
	bool last = ev->frame.fin && ev->mask_offset + ev->n == ev->frame.length;
	size_t hn = ws_frame_header_size(ev->n, false);
	uint8_t first;

	if (w->edge != NULL) {
		ws_mask_copy(ev->data, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
		ws_emit(w, o, opcode, ev->data, ev->n, last,
		    ev->frame.fin ? ev->frame.length : WS_LENGTH_UNKNOWN);
		return;
	}
	first = ws_emit_first(w, opcode, last);
	if ((size_t)(ev->data - *cursor) >= hn) {
		ws_frame_write(*cursor, first, ev->n, NULL);
		ws_out_bytes(o, *cursor, hn);
		*cursor += hn;
	} else {
		ws_frame_write(ws_out_room(o, hn), first, ev->n, NULL);
	}
	ws_mask_copy(*cursor, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
	ws_out_bytes(o, *cursor, ev->n);
	*cursor += ev->n;
}

/* The relay passes on what came, as it came. */
static void
ws_relay_event(struct ws_out *o, const struct ws_event *ev, const uint8_t *p, size_t n)
{
	if (ev->kind == WS_EV_DATA) {
		ws_out_bytes(o, ev->data, ev->n);
	} else if (ev->kind == WS_EV_FRAME) {
		if (ev->raw >= p && ev->raw < p + n)
			ws_out_bytes(o, (uint8_t *)(uintptr_t)ev->raw, ev->frame.header_n);
		else if (o->to != NULL)
			memcpy(ws_out_room(o, ev->frame.header_n), ev->raw, ev->frame.header_n);
	}
}

static void
ws_relay_control(
    struct ws *w, struct ws_leg *to, struct ws_out *o, const struct ws_event *ev, uint8_t opcode)
{
	uint8_t mask[4], frame[WS_HEADER_MAX + WS_CONTROL_MAX];
	size_t n;

	if (o->to == NULL || (to->flags & LEG_CLOSE_SENT) != 0)
		return;
	n = ws_frame_control(frame, opcode, ev->data, ev->n, ws_mask_for(w, to, mask));
	memcpy(ws_out_room(o, n), frame, n);
}

/*
 * A PING is answered here where no WebSocket is behind us, and so by a frame to where it came
 * from.
 */
static void
ws_answer_ping(struct ws *w, struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev)
{
	if (w->mode == WS_MODE_ECHO)
		ws_relay_control(w, leg, o, ev, WS_PONG);
	else
		ws_raw_answer_ping(w, ev);
}

static void
ws_on_control(struct ws *w, struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev)
{
	switch (ev->frame.opcode) {
	case WS_PING:
		if (w->mode == WS_MODE_RELAY)
			ws_relay_control(w, ws_sink(w, leg), o, ev, WS_PING);
		else
			ws_answer_ping(w, leg, o, ev);
		break;
	case WS_PONG:
		if (!ws_is_own_pong(w, leg, ev) && w->mode == WS_MODE_RELAY)
			ws_relay_control(w, ws_sink(w, leg), o, ev, WS_PONG);
		break;
	default:
		ws_out_flush(o);
		ws_on_close(w, leg, ev);
		break;
	}
}

/* What waited for the end of a frame towards `to`. */
static void
ws_at_frame_end(struct ws *w, struct ws_leg *to, struct ws_out *o)
{
	if (w->pending_code == 0 && (to->flags & LEG_PING_DUE) == 0)
		return;
	ws_out_flush(o);
	if (w->pending_code != 0 && to == &w->client && (to->flags & LEG_CLOSE_SENT) == 0) {
		ws_send_close(
		    w, to, w->pending_code, w->reason, w->reason != NULL ? strlen(w->reason) : 0);
		w->pending_code = 0;
		o->to = NULL;
	} else if ((to->flags & LEG_PING_DUE) != 0) {
		to->flags &= (uint8_t)~LEG_PING_DUE;
		ws_send_keepalive(w, to);
		ws_arm(w);
	}
}

static enum ws_went
ws_on_data_event(struct ws *w, struct ws_leg *leg, const struct ws_reader *r, struct ws_out *o,
    struct ws_event *ev, const uint8_t *p, size_t n, uint8_t **cursor)
{
	if (ev->kind == WS_EV_DATA) {
		ws_count_data(w, leg, ev->n);
	} else if (ev->kind == WS_EV_FRAME) {
		leg->flags |= LEG_MID_FRAME;
		ws_out_mark(o);
	} else {
		leg->flags &= (uint8_t)~LEG_MID_FRAME;
	}
	if (ev->kind == WS_EV_FRAME_END && ev->message_end)
		ws_count_messages(w, leg, 1);
	if (w->mode == WS_MODE_RELAY) {
		ws_relay_event(o, ev, p, n);
		if (ev->kind == WS_EV_FRAME_END)
			ws_at_frame_end(w, ws_sink(w, leg), o);
	} else if (w->mode == WS_MODE_ECHO) {
		if (ev->kind == WS_EV_DATA)
			ws_echo_data(w, o, ev, r->opcode, cursor);
		else if (ev->kind == WS_EV_FRAME_END && ev->frame.length == 0)
			ws_emit(w, o, ev->frame.opcode, NULL, 0, ev->frame.fin,
			    ev->frame.fin ? 0 : WS_LENGTH_UNKNOWN);
	} else {
		if (ev->kind == WS_EV_DATA)
			ws_mask_copy(ev->data, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
		return ws_raw_event(w, o, ev) ? WS_GO_ON : WS_OVER;
	}
	return WS_GO_ON;
}

/* Whether what the leg sends has to wait. */
static bool
ws_is_full(struct ws *w, struct ws_leg *leg)
{
	struct ws_leg *to = ws_sink(w, leg);
	size_t queued = to->s != NULL ? stream_queued(to->s) : 0;

	return queued != 0 && (to->flags & LEG_CLOSE_SENT) == 0 &&
	    queued > ws_config(w)->buffer_limit / 2;
}

void
ws_flow(struct ws *w, struct ws_leg *leg)
{
	if (leg->s != NULL && ws_is_full(w, leg))
		stream_hold(leg->s, STREAM_HOLD_PEER);
}

/* A control frame among what comes from the leg. */
static enum ws_went
ws_pump_control(struct ws *w, struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev)
{
	bool awaited = (leg->flags & LEG_AWAIT_PONG) != 0;

	if (w->edge != NULL && !ws_edge_settle(w, leg, o))
		return WS_OVER;
	ws_on_control(w, leg, o, ev);
	/* Nothing may follow a Close (5.5.1): what does is dropped. */
	if (w->finished || (leg->flags & LEG_CLOSE_CAME) != 0)
		return WS_OVER;
	/* The answer to our own PING is free. */
	if (!w->limited || leg->is_backend || (awaited && (leg->flags & LEG_AWAIT_PONG) == 0))
		return WS_GO_ON;
	if (!ws_rate_message(w, o))
		return WS_OVER;
	return ws_rate_is_spent(w) ? WS_HOLD : WS_GO_ON;
}

/* A part of a data message of the leg. */
static enum ws_went
ws_pump_data(struct ws *w, struct ws_leg *leg, const struct ws_reader *r, struct ws_out *o,
    struct ws_event *ev, const uint8_t *p, size_t n, uint8_t **cursor)
{
	const bool limited = w->limited && !leg->is_backend;
	enum ws_went went;

	w->ss.last_data = leg->last_rx;
	if (limited && ev->kind == WS_EV_FRAME && ev->message_start && !ws_rate_message(w, o))
		return WS_OVER;
	went = w->edge != NULL ? ws_edge_event(w, leg, r, o, ev) : WS_PASS;
	if (went == WS_PASS)
		went = ws_on_data_event(w, leg, r, o, ev, p, n, cursor);
	if (limited && went <= WS_GO_ON && ev->kind == WS_EV_FRAME_END && ev->message_end &&
	    ws_rate_is_spent(w))
		return WS_HOLD;
	return went;
}

static void
ws_fill_rules(const struct ws *w, const struct ws_leg *leg, struct ws_rules *rules)
{
	const struct config_websocket *c = ws_config(w);

	rules->max_message = c->max_message_size;
	rules->masked = !leg->is_backend;
	rules->check_utf8 = c->validate_utf8;
	rules->inflated = w->edge != NULL;
	rules->allow_rsv1 = w->passes || (rules->inflated && !leg->is_backend);
}

/* Messages of the leg that came whole go on; used, the bytes that they were. */
static inline size_t
ws_went_whole(struct ws *w, struct ws_leg *leg, uint64_t messages, size_t bytes, size_t used)
{
	if (used == 0)
		return 0;
	w->ss.last_data = leg->last_rx;
	ws_count_data(w, leg, bytes);
	ws_count_messages(w, leg, messages);
	ws_tally(w, leg, messages, bytes);
	return used;
}

/* ws_take_whole of the echo: each message's echo is made where it stood, or before it. */
__attribute__((noinline)) static size_t
ws_echo_whole(struct ws *w, struct ws_leg *leg, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *out_n)
{
	size_t frame_n, at = 0, bytes = 0;
	uint64_t messages = 0;
	uint8_t mask[4], *out = p;
	struct ws_whole m;

	while (at < n && (frame_n = ws_whole_read(rules, p + at, n - at, &m)) != 0) {
		memcpy(mask, p + at + m.header_n - 4, 4);
		out += ws_frame_write(out, p[at], m.length, NULL);
		ws_mask_copy(out, p + at + m.header_n, m.length, mask, 0);
		out += m.length;
		at += frame_n;
		bytes += m.length;
		messages++;
	}
	*out_n = (size_t)(out - p);
	return ws_went_whole(w, leg, messages, bytes, at);
}

/*
 * Messages at the start of p[0..n) that came whole, one frame each, between messages: most of
 * the traffic, and nothing of it is to be remembered.  How many bytes they are; with the rest
 * begins what only the reader can judge. What goes on of them stands at p then, *out_n bytes.
 */
static inline size_t
ws_take_whole(struct ws *w, struct ws_leg *leg, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *out_n)
{
	size_t frame_n, at = 0, bytes = 0;
	uint64_t messages = 0;
	struct ws_whole m;

	if (ws_is_raw(w) || w->edge != NULL || w->pending_code != 0 ||
	    (w->limited && !leg->is_backend) || (ws_sink(w, leg)->flags & LEG_PING_DUE) != 0)
		return 0;
	if (w->mode == WS_MODE_ECHO)
		return ws_echo_whole(w, leg, rules, p, n, out_n);
	while (at < n && (frame_n = ws_whole_read(rules, p + at, n - at, &m)) != 0) {
		at += frame_n;
		bytes += m.length;
		messages++;
	}
	*out_n = at;
	return ws_went_whole(w, leg, messages, bytes, at);
}

/* Run bytes through the reader into o; cursor is where an echo may write. */
static void
ws_pump(struct ws *w, struct ws_leg *leg, struct ws_reader *r, const struct ws_rules *rules,
    struct ws_out *o, uint8_t *p, size_t n, uint8_t *cursor)
{
	const bool edge = w->edge != NULL;
	enum ws_went went = edge ? ws_edge_begin(w, leg, o) : WS_GO_ON;
	struct ws_event ev;
	size_t used, at = 0;

	while (went <= WS_GO_ON) {
		ws_reader_next(r, rules, p + at, n - at, &used, &ev);
		at += used;
		switch (ev.kind) {
		case WS_EV_MORE:
			if (edge && !ws_edge_settle(w, leg, o))
				return;
			ws_out_flush(o);
			ws_flow(w, leg);
			return;
		case WS_EV_FRAME:
		case WS_EV_DATA:
		case WS_EV_FRAME_END:
			went = ws_pump_data(w, leg, r, o, &ev, p, n, &cursor);
			break;
		case WS_EV_CONTROL:
			went = ws_pump_control(w, leg, o, &ev);
			break;
		case WS_EV_BAD:
			/*
			 * Nothing of the bad frame has gone out when all of it came with this
			 * read.
			 */
			if (w->mode == WS_MODE_RELAY && (leg->flags & LEG_MID_FRAME) != 0 &&
			    ws_out_revert(o))
				leg->flags &= (uint8_t)~LEG_MID_FRAME;
			if (ws_is_raw(w))
				ws_raw_take_back(w, o);
			ws_out_flush(o);
			ws_protocol_error(w, leg, ev.close_code, ev.why);
			return;
		case WS_EV_NOMEM:
			ws_out_flush(o);
			ws_protocol_error(w, leg, WS_CLOSE_INTERNAL, "out of memory");
			return;
		}
	}
	if (went == WS_WAIT) {
		ws_edge_wait(w, o, p + at, n - at);
	} else if (went == WS_HOLD && (!edge || ws_edge_settle(w, leg, o))) {
		ws_out_flush(o);
		ws_rate_keep(w, p + at, n - at);
	}
}

/* Between messages the reader has nothing to remember and is not kept. */
static void
ws_keep_reader(struct ws *w, struct ws_leg *leg, struct ws_reader *r, struct ws_reader *on_stack)
{
	bool idle = ws_reader_at_message_boundary(r) && r->hold == NULL;

	if (w->finished) {
		if (r == on_stack)
			ws_reader_clear(r);
		return; /* ws_finish disposed of leg->in, if r is it */
	}
	if (idle || (leg->flags & (LEG_BROKEN | LEG_CLOSE_CAME)) != 0) {
		ws_reader_clear(r);
		if (r != on_stack)
			gateway_put_reader(w->ss.gw, r);
		leg->in = NULL;
	} else if (r == on_stack) {
		if ((leg->in = gateway_get_reader(w->ss.gw)) != NULL) {
			*leg->in = *r;
			return;
		}
		ws_reader_clear(r);
		ws_protocol_error(w, leg, WS_CLOSE_INTERNAL, "out of memory");
	}
}

/* Bytes that the reader has to judge, from p + used on; before that stand out_n that go on. */
static void
ws_take_rest(struct ws *w, struct ws_leg *leg, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t used, size_t out_n)
{
	struct ws_leg *to = ws_sink(w, leg);
	struct ws_reader fresh, *r = leg->in;
	struct ws_out o;

	ws_out_init(&o, (to->flags & LEG_CLOSE_SENT) != 0 ? NULL : to->s);
	ws_out_bytes(&o, p, out_n);
	if (r == NULL) {
		ws_reader_init(&fresh);
		r = &fresh;
	}
	ws_tally_begin(w, leg);
	ws_pump(w, leg, r, rules, &o, p + used, n - used, p + out_n);
	ws_tally_end(w);
	ws_keep_reader(w, leg, r, &fresh);
}

void
ws_take(struct ws *w, struct ws_leg *leg, uint8_t *p, size_t n)
{
	struct ws_rules rules;
	struct ws_leg *to;
	struct iovec iov = { .iov_base = p, .iov_len = 0 };
	size_t used = 0;

	leg->last_rx = ws_stamp(w);
	if ((leg->flags & (LEG_BROKEN | LEG_CLOSE_CAME)) != 0)
		return;
	ws_fill_rules(w, leg, &rules);
	if (leg->in == NULL)
		used = ws_take_whole(w, leg, &rules, p, n, &iov.iov_len);
	if (used == 0 || used < n) {
		ws_take_rest(w, leg, &rules, p, n, used, iov.iov_len);
		return;
	}
	to = ws_sink(w, leg);
	if (to->s == NULL || (to->flags & LEG_CLOSE_SENT) != 0)
		return;
	stream_write(to->s, &iov, 1); /* broken: a reset follows from the loop */
	if (stream_queued(to->s) != 0)
		ws_flow(w, leg);
}

/* Of a client that has a rate. */
static void
ws_take_limited(struct ws *w, uint8_t *p, size_t n)
{
	if (!ws_rate_bytes(w, n))
		return;
	ws_take(w, &w->client, p, n);
	if (!w->finished)
		ws_rate_hold(w);
}

void
ws_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	if (w->limited && !leg->is_backend)
		ws_take_limited(w, p, n);
	else
		ws_take(w, leg, p, n);
}

void
ws_resume(struct ws *w)
{
	struct ws_leg *leg = &w->client;
	uint8_t *p;
	size_t n;

	if (!ws_edge_waits(w))
		return;
	p = ws_edge_kept(w, &n);
	ws_take(w, leg, p, n);
	if (w->finished || ws_edge_waits(w))
		return;
	ws_edge_forget(w);
	if (!ws_is_full(w, leg))
		stream_release(leg->s, STREAM_HOLD_PEER);
}

/* A leg took all that waited: its sender goes on. */
void
ws_on_room(struct stream *s)
{
	struct ws_leg *leg = s->user, *from;
	struct ws *w = ws_of_leg(leg);

	if (ws_is_raw(w) && !leg->is_backend)
		ws_raw_on_client_room(w);
	from = w->mode == WS_MODE_ECHO ? leg : leg->is_backend ? &w->client : &w->backend;
	if (from->s == NULL || (from->s->holds & STREAM_HOLD_PEER) == 0)
		return;
	/* Its PONG may be among what we did not read: the time starts anew. */
	if ((from->flags & LEG_AWAIT_PONG) != 0 && w->close_at == 0)
		from->keepalive = ws_stamp(w);
	if (!from->is_backend && ws_edge_waits(w))
		ws_resume(w);
	else
		stream_release(from->s, STREAM_HOLD_PEER);
	if (w->limited && !from->is_backend && !w->finished) {
		ws_rate_forgive(w);
		ws_rate_go_on(w);
	}
}

/* Bytes of a client that one turn makes packets of: the shortest masked frame has 6. */
#define WS_PACKET_TURN (16 * 1024)

size_t
ws_budget(struct stream *s)
{
	struct ws_leg *leg = s->user, *to;
	struct ws *w = ws_of_leg(leg);
	size_t limit = (size_t)ws_config(w)->buffer_limit, queued;

	to = ws_sink(w, leg);
	if (to->s == NULL || (to->flags & LEG_CLOSE_SENT) != 0)
		return limit;
	queued = stream_queued(to->s);
	limit = queued < limit ? limit - queued : 1;
	/*
	 * A packet is a call of its own: others get their turn after so many of the smallest
	 * messages.
	 */
	if (w->mode == WS_MODE_PACKET && !leg->is_backend && limit > WS_PACKET_TURN)
		limit = WS_PACKET_TURN;
	return w->limited && !leg->is_backend ? ws_rate_budget(w, limit) : limit;
}
