/*
 * WebSockets.  See ws.h.
 *
 * A struct ws has a leg towards the client and, for a relay, one towards the
 * backend.  Bytes of one leg's stream run through its reader (codec/ws_msg), which applies the rules, and
 * go on to the other leg (the relay passes frames as they are, with the client's own mask towards the backend) or
 * back (the echo unmasks in place).  Nothing is gathered.
 *
 * Invariants: what goes out to a leg stands at a frame boundary exactly when the leg that feeds it is not MID_FRAME
 * (the echo cuts frames that come in pieces into fragments, so it always does); the gateway's own frames are
 * sent only there; after a Close nothing is sent to that leg any more; every ending goes through ws_finish, once, which writes
 * the access line.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_msg.h"
#include "codec/ws_mask.h"
#include "gateway/ws.h"
#include "gateway/ws_out.h"

#define WS_REASON_MAX 123	/* bytes of a close reason (RFC 6455 5.5.1) */
#define WS_TOKEN_N 8

enum ws_leg_flag {
	LEG_CLOSE_SENT = 1,	/* our Close is out: nothing may follow it */
	LEG_CLOSE_CAME = 2,	/* the peer's Close came */
	LEG_BROKEN = 4,		/* the reader saw an error: what comes is dropped */
	LEG_AWAIT_PONG = 8,	/* a keep-alive PING is out */
	LEG_PING_DUE = 16,	/* keep-alive is due, but a frame is being passed on */
	LEG_MID_MESSAGE = 32,	/* echo: the message's first fragment is out */
	LEG_MID_FRAME = 64,	/* relay: a frame of this leg is being passed on */
};

struct ws_leg {
	struct stream *s;		/* NULL: none, or over */
	struct ws_reader in;
	uint64_t last_rx_ms;
	uint64_t keepalive_ms;		/* AWAIT_PONG: when the PING went out; else the last unsolicited PONG */
	uint64_t token;			/* of the last PING */
	bool is_backend;
	uint8_t flags;
};

struct ws {
	struct session ss;		/* first */
	struct ws_leg client, backend;
	struct loop_timer timer;
	uint64_t messages_in, messages_out, bytes_in, bytes_out;
	uint64_t last_data_ms;
	uint64_t close_at_ms;		/* when a close handshake is given up; 0: none runs */
	uint16_t close_code;		/* for the access line; 0: open */
	uint16_t pending_code;		/* a Close that waits for a frame boundary; 0: none */
	uint8_t closed_by;
	bool finished;
	const char *reason;		/* static, or in reason_text */
	char *reason_text;		/* owned: the peer's close reason */
};

static const struct stream_events ws_events;

static struct ws *
ws_of_leg(struct ws_leg *leg)
{
	return leg->is_backend ?
	    (struct ws *)(void *)((char *)leg - offsetof(struct ws, backend)) :
	    (struct ws *)(void *)((char *)leg - offsetof(struct ws, client));
}

static bool
ws_is_echo(const struct ws *w)
{
	return w->ss.backend == NULL;
}

/* Where the bytes of a leg go. */
static struct ws_leg *
ws_sink(struct ws *w, struct ws_leg *leg)
{
	if (ws_is_echo(w))
		return &w->client;
	return leg->is_backend ? &w->client : &w->backend;
}

static const struct config_websocket *
ws_config(const struct ws *w)
{
	return &w->ss.route->ws;
}

static uint64_t
ws_now(const struct ws *w)
{
	return loop_now_ms(w->ss.gw->env.loop);
}

/* Whether a frame of our own may go out to the leg now. */
static bool
ws_at_boundary(struct ws *w, const struct ws_leg *leg)
{
	if (ws_is_echo(w))
		return true;
	return ((leg->is_backend ? &w->client : &w->backend)->flags & LEG_MID_FRAME) == 0;
}

static uint8_t *
ws_mask_for(struct ws *w, const struct ws_leg *leg, uint8_t mask[4])
{
	uint32_t r;

	if (!leg->is_backend)
		return NULL;		/* a server's frames are not masked (5.1) */
	r = loop_random(w->ss.gw->env.loop);
	memcpy(mask, &r, 4);
	return mask;
}

static void
ws_send_control(struct ws *w, struct ws_leg *leg, uint8_t opcode, const void *p, size_t n)
{
	uint8_t frame[WS_HEADER_MAX + WS_CONTROL_MAX], mask[4];
	struct iovec iov = { .iov_base = frame };

	if (leg->s == NULL || (leg->flags & LEG_CLOSE_SENT) != 0)
		return;
	iov.iov_len = ws_frame_control(frame, opcode, p, n, ws_mask_for(w, leg, mask));
	stream_write(leg->s, &iov, 1);
}

static void
ws_send_close(struct ws *w, struct ws_leg *leg, unsigned code, const void *reason, size_t n)
{
	uint8_t payload[WS_CONTROL_MAX];

	n = n < WS_REASON_MAX ? n : WS_REASON_MAX;
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	if (n > 0)
		memcpy(payload + 2, reason, n);
	ws_send_control(w, leg, WS_CLOSE, payload, code == WS_CLOSE_NO_STATUS ? 0 : n + 2);
	leg->flags |= LEG_CLOSE_SENT;
}

/* The first reason of an end is the one that is told. */
static void
ws_note_end(struct ws *w, unsigned code, enum session_side by, const char *reason)
{
	if (w->close_code != 0)
		return;
	w->close_code = (uint16_t)code;
	w->closed_by = (uint8_t)by;
	w->reason = reason;
}

/* Leave a stream behind: gracefully where its last frame is whole, else by an abort. */
static void
ws_leave(struct ws *w, struct ws_leg *leg, bool abort)
{
	struct stream *s = leg->s;

	leg->s = NULL;
	if (s == NULL)
		return;
	if (abort)
		stream_abort(s);
	else
		stream_close(s, ws_config(w)->close_timeout_ms);
}

/* The only end of a WebSocket: access line, streams, memory. */
static void
ws_finish(struct ws *w, bool abort_client)
{
	struct session_end e = { .status = 101, .is_websocket = true,
	    .messages_in = w->messages_in, .messages_out = w->messages_out,
	    .bytes_in = w->bytes_in, .bytes_out = w->bytes_out,
	    .close_code = w->close_code, .by = w->closed_by, .reason = w->reason };
	bool abort_backend;

	if (w->finished)
		return;
	w->finished = true;
	if (w->ss.s != NULL && stream_info(w->ss.s)->http[0] == '2')
		e.status = 200;
	session_access(&w->ss, &e);
	session_log(&w->ss, LOG_L_DEBUG, "websocket closed code=%u by=%u reason=%s",
	    e.close_code, (unsigned)e.by, e.reason != NULL ? e.reason : "-");
	/* A client that vanished: the backend is told (RFC 6455 7.4.1), if a frame can be sent. */
	if (w->backend.s != NULL && (w->backend.flags & LEG_CLOSE_SENT) == 0 &&
	    ws_at_boundary(w, &w->backend))
		ws_send_close(w, &w->backend, WS_CLOSE_GOING_AWAY, NULL, 0);
	abort_backend = (w->backend.flags & LEG_CLOSE_SENT) == 0;
	ws_leave(w, &w->client, abort_client);
	ws_leave(w, &w->backend, abort_backend);
	loop_timer_stop(w->ss.gw->env.loop, &w->timer);
	ws_reader_clear(&w->client.in);
	ws_reader_clear(&w->backend.in);
	mem_free(w->reason_text);
	w->reason_text = NULL;
	session_free(&w->ss);
}

/* Whether all that a keep-alive strategy needs is configured; interval and timeout by side. */
static void
ws_keepalive(const struct ws *w, const struct ws_leg *leg, uint64_t *interval, uint64_t *timeout)
{
	const struct config_route *r = w->ss.route;

	*interval = leg->is_backend ? r->backend->keepalive_interval_ms : r->ws.keepalive_interval_ms;
	*timeout = leg->is_backend ? r->backend->keepalive_timeout_ms : r->ws.keepalive_timeout_ms;
	if (*interval == CONFIG_NEVER)
		*interval = 0;
	if (*timeout == CONFIG_NEVER)
		*timeout = 0;
}

static uint64_t
ws_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When the leg's keep-alive wants to be looked at next. */
static uint64_t
ws_leg_deadline(const struct ws *w, const struct ws_leg *leg)
{
	uint64_t interval, timeout;

	if (leg->s == NULL || (leg->flags & (LEG_PING_DUE | LEG_CLOSE_SENT)) != 0)
		return UINT64_MAX;
	ws_keepalive(w, leg, &interval, &timeout);
	if (interval == 0)
		return UINT64_MAX;
	if (timeout == 0)
		return leg->keepalive_ms + interval;
	if ((leg->flags & LEG_AWAIT_PONG) != 0)
		return leg->keepalive_ms + timeout;
	return leg->last_rx_ms + interval;
}

static void
ws_arm(struct ws *w)
{
	const struct config_websocket *c = ws_config(w);
	uint64_t at;

	if (w->close_at_ms != 0) {
		at = w->close_at_ms;
	} else {
		at = ws_min(ws_leg_deadline(w, &w->client), ws_leg_deadline(w, &w->backend));
		if (c->idle_timeout_ms != CONFIG_NEVER && c->idle_timeout_ms != 0)
			at = ws_min(at, w->last_data_ms + c->idle_timeout_ms);
		if (c->max_age_ms != CONFIG_NEVER && c->max_age_ms != 0)
			at = ws_min(at, w->ss.start_ms + c->max_age_ms);
	}
	if (at == UINT64_MAX)
		loop_timer_stop(w->ss.gw->env.loop, &w->timer);
	else
		loop_timer_arm(w->ss.gw->env.loop, &w->timer, at);
}

/* Both sides are through with the close handshake, as far as they are there. */
static bool
ws_close_done(const struct ws *w)
{
	return (w->client.flags & LEG_CLOSE_SENT) != 0 &&
	    (w->client.flags & (LEG_CLOSE_CAME | LEG_BROKEN)) != 0;
}

static void
ws_closing(struct ws *w)
{
	if (w->close_at_ms == 0)
		w->close_at_ms = ws_now(w) + ws_config(w)->close_timeout_ms;
	/* Whatever was held back: the peer's Close is what is wanted now. */
	if (w->client.s != NULL)
		stream_release(w->client.s, STREAM_HOLD_PEER);
	if (w->backend.s != NULL)
		stream_release(w->backend.s, STREAM_HOLD_PEER);
	ws_arm(w);
}

/*
 * The gateway closes: a Close with this code to the client, GOING_AWAY (or
 * backend_code) to the backend.  reason is a static text.
 */
static void
ws_close(struct ws *w, unsigned code, unsigned backend_code, const char *reason)
{
	ws_note_end(w, code, SESSION_BY_GATEWAY, reason);
	if ((w->client.flags & LEG_CLOSE_SENT) == 0) {
		if (ws_at_boundary(w, &w->client))
			ws_send_close(w, &w->client, code, reason, strlen(reason));
		else
			w->pending_code = (uint16_t)code;
	}
	if (w->backend.s != NULL && (w->backend.flags & LEG_CLOSE_SENT) == 0 &&
	    ws_at_boundary(w, &w->backend))
		ws_send_close(w, &w->backend, backend_code, NULL, 0);
	ws_closing(w);
}

/* The backend is gone or broke the protocol: the client gets 1014, if a frame can still be sent to it. */
static void
ws_backend_lost(struct ws *w, const char *reason)
{
	bool can_tell = (w->client.flags & LEG_CLOSE_SENT) != 0 || ws_at_boundary(w, &w->client);

	if (w->close_code == 0)
		session_log(&w->ss, LOG_L_INFO, "backend lost: %s", reason);
	ws_note_end(w, WS_CLOSE_BACKEND, SESSION_BY_BACKEND, reason);
	if (!can_tell || ws_close_done(w)) {
		ws_finish(w, !can_tell);
		return;
	}
	ws_close(w, WS_CLOSE_BACKEND, WS_CLOSE_PROTOCOL, "the backend went away");
	if (ws_close_done(w))
		ws_finish(w, false);
}

/* The peer's bytes cannot be understood any more. */
static void
ws_protocol_error(struct ws *w, struct ws_leg *leg, unsigned code, const char *why)
{
	leg->flags |= LEG_BROKEN;
	session_log(&w->ss, LOG_L_DEBUG, "%s broke the protocol: %s",
	    leg->is_backend ? "backend" : "client", why);
	if (leg->is_backend) {
		if (ws_at_boundary(w, &w->backend) && (leg->flags & LEG_CLOSE_SENT) == 0)
			ws_send_close(w, leg, code, why, strlen(why));
		ws_leave(w, leg, (leg->flags & LEG_CLOSE_SENT) == 0);
		ws_backend_lost(w, why);
		return;
	}
	if (w->close_code != 0 && (leg->flags & LEG_CLOSE_SENT) != 0) {
		ws_finish(w, false);
		return;
	}
	/* The backend sees its client vanish. */
	ws_note_end(w, code, SESSION_BY_GATEWAY, why);
	if (!ws_at_boundary(w, leg)) {
		ws_finish(w, true);
		return;
	}
	ws_send_close(w, leg, code, why, strlen(why));
	ws_finish(w, false);
}

/* A Close came from one side: the other gets the same, or the echo answers it. */
static void
ws_on_close(struct ws *w, struct ws_leg *leg, const struct ws_event *ev)
{
	struct ws_leg *other = ws_sink(w, leg);
	const uint8_t *reason = ev->n > 2 ? ev->data + 2 : NULL;
	size_t reason_n = ev->n > 2 ? ev->n - 2 : 0;

	leg->flags |= LEG_CLOSE_CAME;
	if (w->close_code == 0) {
		if (reason_n > 0 && (w->reason_text = mem_strndup((const char *)reason, reason_n)) != NULL)
			w->reason = w->reason_text;
		ws_note_end(w, ev->code, leg->is_backend ? SESSION_BY_BACKEND : SESSION_BY_CLIENT,
		    w->reason);
	}
	if ((other->flags & LEG_CLOSE_SENT) == 0 && other->s != NULL)
		ws_send_close(w, other, ev->code, reason, reason_n);
	if (ws_close_done(w)) {
		ws_finish(w, false);
		return;
	}
	ws_closing(w);
}

static void
ws_relay_control(struct ws *w, struct ws_leg *to, struct ws_out *o, const struct ws_event *ev)
{
	uint8_t mask[4], frame[WS_HEADER_MAX + WS_CONTROL_MAX];
	size_t n;

	if (to->s == NULL || (to->flags & LEG_CLOSE_SENT) != 0)
		return;
	n = ws_frame_control(frame, ev->frame.opcode, ev->data, ev->n, ws_mask_for(w, to, mask));
	memcpy(ws_out_room(o, n), frame, n);
}

/* A PONG that answers our own PING goes no further. */
static bool
ws_is_own_pong(struct ws *w, struct ws_leg *leg, const struct ws_event *ev)
{
	uint8_t token[WS_TOKEN_N];

	if (leg->token == 0 || ev->n != WS_TOKEN_N)
		return false;
	for (int i = 0; i < WS_TOKEN_N; i++)
		token[i] = (uint8_t)(leg->token >> (56 - 8 * i));
	if (memcmp(token, ev->data, WS_TOKEN_N) != 0)
		return false;
	leg->flags &= (uint8_t)~LEG_AWAIT_PONG;
	ws_arm(w);
	return true;
}

static void
ws_on_control(struct ws *w, struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev)
{
	struct ws_event reply = *ev;

	switch (ev->frame.opcode) {
	case WS_PING:
		if (ws_is_echo(w))
			reply.frame.opcode = WS_PONG;
		ws_relay_control(w, ws_sink(w, leg), o, &reply);
		break;
	case WS_PONG:
		if (!ws_is_own_pong(w, leg, ev) && !ws_is_echo(w))
			ws_relay_control(w, ws_sink(w, leg), o, ev);
		break;
	default:
		ws_out_flush(o);
		ws_on_close(w, leg, ev);
		break;
	}
}

static void
ws_count_data(struct ws *w, const struct ws_leg *leg, size_t n)
{
	if (!leg->is_backend)
		w->bytes_in += n;
	if (leg->is_backend || ws_is_echo(w))
		w->bytes_out += n;
}

static void
ws_count_message(struct ws *w, const struct ws_leg *leg)
{
	if (!leg->is_backend)
		w->messages_in++;
	if (leg->is_backend || ws_is_echo(w))
		w->messages_out++;
}

/*
 * The echo of a run of payload, as a frame of its own: the frame that came if the run is all of it, else a
 * fragment.  *w is where the next byte may be written: the unmasked frame is shorter, so it
 * fits where the masked one stood but for headers that came in pieces.
 */
static void
ws_echo_data(struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev, uint8_t **cursor)
{
	bool last = ev->mask_offset + ev->n == ev->frame.length;
	uint8_t first = (leg->flags & LEG_MID_MESSAGE) != 0 ? WS_CONT : leg->in.opcode;
	size_t hn = ws_frame_header_size(ev->n, false);
	uint8_t *h;

	if (last && ev->frame.fin)
		first |= WS_BIT_FIN;
	leg->flags |= LEG_MID_MESSAGE;
	if ((size_t)(ev->data - *cursor) >= hn) {
		h = *cursor;
		*cursor += hn;
		ws_frame_write(h, first, ev->n, NULL);
		ws_out_bytes(o, h, hn);
	} else {
		ws_frame_write(ws_out_room(o, hn), first, ev->n, NULL);
	}
	ws_mask_copy(*cursor, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
	ws_out_bytes(o, *cursor, ev->n);
	*cursor += ev->n;
}

static void
ws_echo_event(struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev, uint8_t **cursor)
{
	uint8_t first;

	switch (ev->kind) {
	case WS_EV_DATA:
		ws_echo_data(leg, o, ev, cursor);
		break;
	case WS_EV_FRAME_END:
		if (ev->frame.length == 0) {
			first = (leg->flags & LEG_MID_MESSAGE) != 0 ? WS_CONT : ev->frame.opcode;
			first |= ev->frame.fin ? WS_BIT_FIN : 0;
			ws_frame_write(ws_out_room(o, 2), first, 0, NULL);
			leg->flags |= LEG_MID_MESSAGE;
		}
		if (ev->message_end)
			leg->flags &= (uint8_t)~LEG_MID_MESSAGE;
		break;
	case WS_EV_FRAME:
	case WS_EV_CONTROL:
	case WS_EV_MORE:
	case WS_EV_BAD:
	case WS_EV_NOMEM:
		break;
	}
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
		else
			memcpy(ws_out_room(o, ev->frame.header_n), ev->raw, ev->frame.header_n);
	}
}

static void ws_send_keepalive(struct ws *w, struct ws_leg *leg);

/* What waited for the end of a frame towards `to`. */
static void
ws_at_frame_end(struct ws *w, struct ws_leg *to, struct ws_out *o)
{
	if (w->pending_code == 0 && (to->flags & LEG_PING_DUE) == 0)
		return;
	ws_out_flush(o);
	if (w->pending_code != 0 && to == &w->client && (to->flags & LEG_CLOSE_SENT) == 0) {
		ws_send_close(w, to, w->pending_code, w->reason,
		    w->reason != NULL ? strlen(w->reason) : 0);
		w->pending_code = 0;
		o->to = NULL;
	} else if ((to->flags & LEG_PING_DUE) != 0) {
		to->flags &= (uint8_t)~LEG_PING_DUE;
		ws_send_keepalive(w, to);
		ws_arm(w);
	}
}

/* One event that is neither an error nor a control frame. */
static void
ws_on_data_event(struct ws *w, struct ws_leg *leg, struct ws_out *o, const struct ws_event *ev,
    const uint8_t *p, size_t n, uint8_t **cursor)
{
	w->last_data_ms = ws_now(w);
	if (ev->kind == WS_EV_DATA)
		ws_count_data(w, leg, ev->n);
	if (ws_is_echo(w))
		ws_echo_event(leg, o, ev, cursor);
	else
		ws_relay_event(o, ev, p, n);
	if (ev->kind == WS_EV_FRAME)
		leg->flags |= LEG_MID_FRAME;
	if (ev->kind == WS_EV_FRAME_END) {
		leg->flags &= (uint8_t)~LEG_MID_FRAME;
		if (ev->message_end)
			ws_count_message(w, leg);
		ws_at_frame_end(w, ws_sink(w, leg), o);
	}
}

/* Hold the sender while the receiver has not taken what it got. */
static void
ws_flow(struct ws *w, struct ws_leg *leg)
{
	struct ws_leg *to = ws_sink(w, leg);

	if (to->s != NULL && (to->flags & LEG_CLOSE_SENT) == 0 && leg->s != NULL &&
	    stream_queued(to->s) > ws_config(w)->buffer_limit / 2)
		stream_hold(leg->s, STREAM_HOLD_PEER);
}

static void
ws_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct ws_leg *leg = s->user, *to;
	struct ws *w = ws_of_leg(leg);
	struct ws_rules rules = { .max_message = ws_config(w)->max_message_size,
	    .masked = !leg->is_backend, .check_utf8 = ws_config(w)->validate_utf8 };
	uint8_t *cursor = p;
	struct ws_event ev;
	struct ws_out o;
	size_t used, at = 0;

	leg->last_rx_ms = ws_now(w);
	if ((leg->flags & (LEG_BROKEN | LEG_CLOSE_CAME)) != 0)
		return;
	to = ws_sink(w, leg);
	ws_out_init(&o, (to->flags & LEG_CLOSE_SENT) != 0 ? NULL : to->s);
	for (;;) {
		ws_reader_next(&leg->in, &rules, p + at, n - at, &used, &ev);
		at += used;
		switch (ev.kind) {
		case WS_EV_MORE:
			ws_out_flush(&o);
			ws_flow(w, leg);
			return;
		case WS_EV_FRAME:
		case WS_EV_DATA:
		case WS_EV_FRAME_END:
			ws_on_data_event(w, leg, &o, &ev, p, n, &cursor);
			break;
		case WS_EV_CONTROL:
			ws_on_control(w, leg, &o, &ev);
			/* Nothing may follow a Close (5.5.1): what does is dropped. */
			if (w->finished || (leg->flags & LEG_CLOSE_CAME) != 0)
				return;
			break;
		case WS_EV_BAD:
			ws_out_flush(&o);
			ws_protocol_error(w, leg, ev.close_code, ev.why);
			return;
		case WS_EV_NOMEM:
			ws_out_flush(&o);
			ws_protocol_error(w, leg, WS_CLOSE_INTERNAL, "out of memory");
			return;
		}
	}
}

/* A leg took all that waited: its sender goes on. */
static void
ws_on_room(struct stream *s)
{
	struct ws_leg *leg = s->user, *from;
	struct ws *w = ws_of_leg(leg);

	from = ws_is_echo(w) ? leg : ws_sink(w, leg);
	if (from->s == NULL || (from->s->holds & STREAM_HOLD_PEER) == 0)
		return;
	/* Its PONG may be among what we did not read: the time starts anew. */
	if ((from->flags & LEG_AWAIT_PONG) != 0)
		from->keepalive_ms = ws_now(w);
	stream_release(from->s, STREAM_HOLD_PEER);
}

static size_t
ws_budget(struct stream *s)
{
	struct ws_leg *leg = s->user, *to;
	struct ws *w = ws_of_leg(leg);
	size_t limit = (size_t)ws_config(w)->buffer_limit, queued;

	to = ws_sink(w, leg);
	if (to->s == NULL || (to->flags & LEG_CLOSE_SENT) != 0)
		return limit;
	queued = stream_queued(to->s);
	return queued < limit ? limit - queued : 1;
}

/* The peer ended its direction without (or after) a Close. */
static void
ws_on_end(struct stream *s)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	if (leg->is_backend) {
		ws_leave(w, leg, false);
		if ((leg->flags & LEG_CLOSE_CAME) != 0 || w->close_code != 0)
			return;		/* the close handshake with the client goes on */
		ws_backend_lost(w, "the backend closed without a Close frame");
		return;
	}
	ws_note_end(w, WS_CLOSE_ABNORMAL, SESSION_BY_CLIENT, "the client left without a Close frame");
	ws_finish(w, false);
}

static void
ws_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	(void)e;
	leg->s = NULL;
	if (leg->is_backend) {
		if ((leg->flags & LEG_CLOSE_CAME) == 0)
			ws_backend_lost(w, "the backend's connection broke");
		return;
	}
	session_log(&w->ss, LOG_L_DEBUG, "client reset: %s", why);
	ws_note_end(w, WS_CLOSE_ABNORMAL, SESSION_BY_CLIENT, "the client's connection broke");
	ws_finish(w, true);
}

/* PING with a fresh token, or the unsolicited PONG (RFC 6455 5.5.3). */
static void
ws_send_keepalive(struct ws *w, struct ws_leg *leg)
{
	uint64_t interval, timeout;
	uint8_t token[WS_TOKEN_N];

	ws_keepalive(w, leg, &interval, &timeout);
	leg->keepalive_ms = ws_now(w);
	if (timeout == 0) {
		/* A receiver that does not read gets no more of them. */
		if (stream_queued(leg->s) == 0)
			ws_send_control(w, leg, WS_PONG, NULL, 0);
		return;
	}
	leg->token = w->ss.gw->next_token++;
	for (int i = 0; i < WS_TOKEN_N; i++)
		token[i] = (uint8_t)(leg->token >> (56 - 8 * i));
	leg->flags |= LEG_AWAIT_PONG;
	ws_send_control(w, leg, WS_PING, token, WS_TOKEN_N);
}

/* A peer did not answer: no close handshake with it. */
static void
ws_keepalive_failed(struct ws *w, struct ws_leg *leg)
{
	atomic_fetch_add_explicit(&w->ss.gw->count.keepalive_timeouts, 1, memory_order_relaxed);
	session_log(&w->ss, LOG_L_INFO, "keep-alive timeout: no PONG from the %s",
	    leg->is_backend ? "backend" : "client");
	if (leg->is_backend) {
		ws_leave(w, leg, true);
		ws_backend_lost(w, "keep-alive timeout: no PONG from the backend");
		return;
	}
	ws_note_end(w, WS_CLOSE_ABNORMAL, SESSION_BY_GATEWAY,
	    "keep-alive timeout: no PONG from the client");
	ws_finish(w, true);
}

/* Whether we were not reading the peer, or it is busy with one frame that keeps coming. */
static bool
ws_pong_excused(struct ws *w, const struct ws_leg *leg, uint64_t now)
{
	uint64_t interval, timeout;

	if ((leg->s->holds & STREAM_HOLD_PEER) != 0)
		return true;
	ws_keepalive(w, leg, &interval, &timeout);
	return (leg->flags & LEG_MID_FRAME) != 0 && now - leg->last_rx_ms < timeout;
}

/* False when the WebSocket is finished. */
static bool
ws_leg_tick(struct ws *w, struct ws_leg *leg, uint64_t now)
{
	if (ws_leg_deadline(w, leg) > now)
		return true;
	if ((leg->flags & LEG_AWAIT_PONG) != 0) {
		if (!ws_pong_excused(w, leg, now)) {
			ws_keepalive_failed(w, leg);
			return !w->finished;
		}
		leg->keepalive_ms = now;
	} else if ((leg->s->holds & STREAM_HOLD_PEER) != 0) {
		leg->last_rx_ms = now;	/* silent only because we do not read it */
		leg->keepalive_ms = now;
	} else if (ws_at_boundary(w, leg)) {
		ws_send_keepalive(w, leg);
	} else {
		leg->flags |= LEG_PING_DUE;
	}
	return true;
}

/* The close handshake has taken too long. */
static void
ws_close_timeout(struct ws *w)
{
	bool client_waits = (w->client.flags & LEG_CLOSE_CAME) != 0 &&
	    (w->client.flags & LEG_CLOSE_SENT) == 0;

	if (client_waits && ws_at_boundary(w, &w->client))
		ws_send_close(w, &w->client, WS_CLOSE_BACKEND, NULL, 0);
	ws_finish(w, (w->client.flags & LEG_CLOSE_SENT) == 0 ||
	    (w->client.flags & LEG_CLOSE_CAME) == 0);
}

static void
ws_on_timer(struct loop_timer *t)
{
	struct ws *w = (struct ws *)(void *)((char *)t - offsetof(struct ws, timer));
	const struct config_websocket *c = ws_config(w);
	uint64_t now = ws_now(w);

	if (w->close_at_ms != 0) {
		if (now >= w->close_at_ms)
			ws_close_timeout(w);
		else
			ws_arm(w);
		return;
	}
	if (c->max_age_ms != CONFIG_NEVER && c->max_age_ms != 0 &&
	    now - w->ss.start_ms >= c->max_age_ms) {
		ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "maximum age");
		return;
	}
	if (c->idle_timeout_ms != CONFIG_NEVER && c->idle_timeout_ms != 0 &&
	    now - w->last_data_ms >= c->idle_timeout_ms) {
		ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "idle timeout");
		return;
	}
	if (ws_leg_tick(w, &w->client, now) && ws_leg_tick(w, &w->backend, now))
		ws_arm(w);
}

bool
ws_drain(struct session *ss)
{
	struct ws *w = (struct ws *)(void *)ss;

	if (w->close_at_ms != 0)
		return false;
	ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "the gateway is shutting down");
	return true;
}

static const struct stream_events ws_events = {
	.bytes = ws_on_bytes,
	.room = ws_on_room,
	.end = ws_on_end,
	.reset = ws_on_reset,
	.budget = ws_budget,
};

static void
ws_leg_init(struct ws_leg *leg, struct stream *s, bool is_backend, uint64_t now)
{
	leg->s = s;
	leg->is_backend = is_backend;
	leg->last_rx_ms = leg->keepalive_ms = now;
	ws_reader_init(&leg->in);
	if (s != NULL)
		stream_attach(s, &ws_events, leg);
}

int
ws_start(struct session *ss, struct stream *backend)
{
	struct ws *w;
	uint64_t now;

	if ((w = mem_zalloc(sizeof(*w))) == NULL)
		return -1;
	session_move(&w->ss, ss, SESSION_WEBSOCKET);
	now = ws_now(w);
	w->timer.fn = ws_on_timer;
	w->last_data_ms = now;
	ws_leg_init(&w->client, w->ss.s, false, now);
	ws_leg_init(&w->backend, backend, true, now);
	atomic_fetch_add_explicit(&w->ss.gw->count.websockets, 1, memory_order_relaxed);
	ws_arm(w);
	return 0;
}
