/*
 * The life of a WebSocket and its close handshake.  See ws.h and ws_int.h.
 *
 * A struct ws has a leg towards the client and, but for the echo, one towards the backend.
 * Invariants: frames of the gateway's own go out only at a frame boundary; after a Close
 * nothing is sent to that leg any more; every ending goes through ws_finish, once, which writes
 * the access line.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/ws_int.h"

#define WS_REASON_MAX 123 /* bytes of a close reason (RFC 6455 5.5.1) */

static const struct stream_events ws_events;

uint8_t *
ws_mask_for(struct ws *w, const struct ws_leg *leg, uint8_t mask[4])
{
	uint32_t r;

	if (!leg->is_backend)
		return NULL; /* a server's frames are not masked (5.1) */
	r = loop_random(w->ss.gw->env.loop);
	memcpy(mask, &r, 4);
	return mask;
}

void
ws_send_control(struct ws *w, struct ws_leg *leg, uint8_t opcode, const void *p, size_t n)
{
	uint8_t frame[WS_HEADER_MAX + WS_CONTROL_MAX], mask[4];
	struct iovec iov = { .iov_base = frame };

	if (leg->s == NULL || (leg->flags & LEG_CLOSE_SENT) != 0 ||
	    (leg->is_backend && ws_is_raw(w)))
		return;
	iov.iov_len = ws_frame_control(frame, opcode, p, n, ws_mask_for(w, leg, mask));
	/* A server ends the connection with the last Close (RFC 6455 7.1.1). */
	if (opcode == WS_CLOSE && !leg->is_backend &&
	    (leg->flags & (LEG_CLOSE_CAME | LEG_BROKEN)) != 0)
		stream_write_end(leg->s, &iov, 1);
	else
		stream_write(leg->s, &iov, 1);
}

void
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
void
ws_note_end(struct ws *w, unsigned code, enum session_side by, const char *reason)
{
	if (w->ss.close_code != 0)
		return;
	w->ss.close_code = (uint16_t)code;
	w->ss.closed_by = (uint8_t)by;
	w->reason = reason;
}

/* Leave a stream behind: gracefully where its last frame is whole, else by an abort. */
void
ws_leave(struct ws *w, struct ws_leg *leg, bool abort)
{
	struct stream *s = leg->s;

	leg->s = NULL;
	if (s == NULL)
		return;
	if (abort)
		stream_abort(s);
	else
		/*
		 * Behind its Close a peer says nothing more (RFC 6455 5.5.1), but it may still
		 * have to read.
		 */
		stream_close(s,
		    (leg->flags & LEG_CLOSE_CAME) != 0 && stream_queued(s) == 0
			? 0
			: ws_config(w)->close_timeout_ms);
}

static void
ws_drop_reader(struct ws *w, struct ws_leg *leg)
{
	if (leg->in == NULL)
		return;
	ws_reader_clear(leg->in);
	gateway_put_reader(w->ss.gw, leg->in);
	leg->in = NULL;
}

static void
ws_count_start(struct ws *w)
{
	struct route_counters *c = session_count(&w->ss);
	unsigned http = session_http(&w->ss);

	counter_add(&w->ss.gw->count.opened, 1);
	counter_add(&c->opened[http], 1);
	counter_add(&c->requests[counters_status(http == COUNTERS_HTTP_2 ? 200 : 101)], 1);
}

static void
ws_count_end(struct ws *w)
{
	static const uint8_t sides[] = { [SESSION_BY_NONE] = COUNTERS_BY_GATEWAY,
		[SESSION_BY_CLIENT] = COUNTERS_BY_CLIENT,
		[SESSION_BY_BACKEND] = COUNTERS_BY_BACKEND,
		[SESSION_BY_GATEWAY] = COUNTERS_BY_GATEWAY };
	struct route_counters *c = session_count(&w->ss);

	counter_add(&w->ss.gw->count.ended, 1);
	counter_add(&c->ended[session_http(&w->ss)], 1);
	counter_add(&c->closes[counters_code(w->ss.close_code)][sides[w->ss.closed_by]], 1);
}

/* The only end of a WebSocket: access line, streams, memory. */
void
ws_finish(struct ws *w, bool abort_client)
{
	struct session_end e = { .status = 101,
		.is_websocket = true,
		.messages_in = w->messages_in,
		.messages_out = w->messages_out,
		.bytes_in = w->bytes_in,
		.bytes_out = w->bytes_out,
		.close_code = w->ss.close_code,
		.by = w->ss.closed_by,
		.reason = w->reason };
	char reason[4 * WS_REASON_MAX + 4];
	bool abort_backend;

	if (w->finished)
		return;
	w->finished = true;
	ws_tally_end(w);
	ws_count_end(w);
	if (w->ss.s != NULL && stream_info(w->ss.s)->http[0] == '2')
		e.status = 200;
	session_access(&w->ss, &e);
	session_log(&w->ss, LOG_L_DEBUG, "websocket closed code=%u by=%u reason=\"%s\"",
	    e.close_code, (unsigned)e.by,
	    log_escape(reason, sizeof(reason), span_from_str(e.reason), WS_REASON_MAX));
	ws_edge_free(w);
	ws_rate_clear(w);
	/* A client that vanished: the backend is told (RFC 6455 7.4.1), if a frame can be sent. */
	if (w->backend.s != NULL && (w->backend.flags & LEG_CLOSE_SENT) == 0 &&
	    ws_at_boundary(w, &w->backend))
		ws_send_close(w, &w->backend, WS_CLOSE_GOING_AWAY, NULL, 0);
	abort_backend =
	    ws_is_raw(w) ? ws_raw_is_partial(w) : (w->backend.flags & LEG_CLOSE_SENT) == 0;
	/* The client last: the route may go with its connection's snapshot. */
	ws_leave(w, &w->backend, abort_backend);
	ws_leave(w, &w->client, abort_client);
	loop_timer_stop(w->ss.gw->env.loop, &w->timer);
	ws_drop_reader(w, &w->client);
	if (ws_is_raw(w))
		ws_raw_free(w);
	else
		ws_drop_reader(w, &w->backend);
	if (w->reason_owned)
		mem_free((char *)(uintptr_t)w->reason);
	w->reason = NULL;
	session_free(&w->ss);
}

/* Both sides are through with the close handshake, as far as they are there. */
bool
ws_close_done(const struct ws *w)
{
	return (w->client.flags & LEG_CLOSE_SENT) != 0 &&
	    (w->client.flags & (LEG_CLOSE_CAME | LEG_BROKEN)) != 0;
}

uint32_t
ws_client_queued(const struct ws *w)
{
	size_t n = w->client.s != NULL ? stream_queued(w->client.s) : 0;

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

void
ws_closing(struct ws *w)
{
	if (w->close_at == 0) {
		w->close_at = ws_stamp_in(w, ws_config(w)->close_timeout_ms);
		w->client.flags &= (uint8_t)~LEG_PING_DUE;
		w->client.close_queued = ws_client_queued(w);
	}
	if (w->limited)
		ws_rate_closing(w);
	/* Whatever was held back: the peer's Close is what is wanted now. */
	if (ws_edge_waits(w))
		ws_edge_go_on_soon(w);
	else if (w->client.s != NULL)
		stream_release(w->client.s, STREAM_HOLD_PEER);
	if (w->backend.s != NULL)
		stream_release(w->backend.s, STREAM_HOLD_PEER);
	ws_arm(w);
}

/*
 * The gateway closes: a Close with this code to the client, GOING_AWAY (or
 * backend_code) to the backend.  reason is a static text.
 */
void
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

/*
 * The backend is gone or broke the protocol: the client gets 1014, if a frame can still be sent to
 * it.
 */
void
ws_backend_lost(struct ws *w, const char *reason)
{
	bool can_tell = (w->client.flags & LEG_CLOSE_SENT) != 0 || ws_at_boundary(w, &w->client);

	if (w->ss.close_code == 0)
		session_log(&w->ss, LOG_L_INFO, "backend lost: %s", reason);
	ws_note_end(w, WS_CLOSE_BACKEND, SESSION_BY_BACKEND, reason);
	if (!can_tell || ws_close_done(w)) {
		ws_finish(w, !can_tell);
		return;
	}
	ws_close(w, WS_CLOSE_BACKEND, WS_CLOSE_PROTOCOL,
	    (w->backend.flags & LEG_BROKEN) == 0 ? "the backend went away"
		: ws_is_raw(w)			 ? reason
						 : "the backend broke the protocol");
	if (ws_close_done(w))
		ws_finish(w, false);
}

/* The peer's bytes cannot be understood any more. */
void
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
	if (w->ss.close_code != 0 && (leg->flags & LEG_CLOSE_SENT) != 0) {
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
void
ws_on_close(struct ws *w, struct ws_leg *leg, const struct ws_event *ev)
{
	struct ws_leg *other = ws_sink(w, leg);
	const uint8_t *reason = ev->n > 2 ? ev->data + 2 : NULL;
	size_t reason_n = ev->n > 2 ? ev->n - 2 : 0;
	char *text = NULL;

	leg->flags |= LEG_CLOSE_CAME;
	if (w->ss.close_code == 0) {
		if (reason_n > 0 && (text = mem_strndup((const char *)reason, reason_n)) != NULL)
			w->reason_owned = true;
		ws_note_end(
		    w, ev->code, leg->is_backend ? SESSION_BY_BACKEND : SESSION_BY_CLIENT, text);
	}
	if (other->is_backend && ws_is_raw(w)) {
		/* The application may finish what it has to say. */
		if (other->s != NULL)
			stream_end(other->s);
		else if ((w->client.flags & LEG_CLOSE_SENT) == 0)
			ws_send_close(w, &w->client, ev->code, reason, reason_n);
	} else if ((other->flags & LEG_CLOSE_SENT) == 0 && other->s != NULL) {
		ws_send_close(w, other, ev->code, reason, reason_n);
	} else if (other->s == NULL && (leg->flags & LEG_CLOSE_SENT) == 0) {
		ws_send_close(w, leg, ev->code, reason, reason_n); /* nobody else answers */
	}
	if (ws_close_done(w)) {
		ws_finish(w, false);
		return;
	}
	ws_closing(w);
}

/*
 * The backend's connection is over, one way or the other.  A client that waits for the answer to
 * its Close gets it from us.
 */
static void
ws_backend_over(struct ws *w, const char *why)
{
	if ((w->backend.flags & LEG_CLOSE_CAME) != 0)
		return; /* the close handshake with the client goes on */
	if ((w->client.flags & (LEG_CLOSE_CAME | LEG_CLOSE_SENT)) == LEG_CLOSE_CAME &&
	    ws_at_boundary(w, &w->client)) {
		ws_send_close(w, &w->client, w->ss.close_code, NULL, 0);
		ws_finish(w, false);
	} else if ((w->client.flags & LEG_CLOSE_SENT) == 0) {
		ws_backend_lost(w, why);
	}
}

/* The peer ended its direction without (or after) a Close. */
static void
ws_on_end(struct stream *s)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	if (leg->is_backend) {
		ws_leave(w, leg, (leg->flags & LEG_CLOSE_SENT) == 0);
		ws_backend_over(w, "the backend closed without a Close frame");
		return;
	}
	/*
	 * It has nothing to say after its Close (browsers end their HTTP/2 stream with it), but
	 * waits for ours.
	 */
	if ((leg->flags & LEG_CLOSE_CAME) != 0)
		return;
	ws_note_end(
	    w, WS_CLOSE_ABNORMAL, SESSION_BY_CLIENT, "the client left without a Close frame");
	ws_finish(w, false);
}

void
ws_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	leg->s = NULL;
	if (leg->is_backend) {
		ws_backend_over(w, "the backend's connection broke");
		return;
	}
	session_log(&w->ss, LOG_L_DEBUG, "client reset: %s", why);
	if (e == STREAM_E_SHUTDOWN)
		ws_note_end(w, WS_CLOSE_ABNORMAL, SESSION_BY_GATEWAY, "the drain took too long");
	else if (e == STREAM_E_MEMORY)
		ws_note_end(w, WS_CLOSE_ABNORMAL, SESSION_BY_GATEWAY, "out of memory");
	else
		ws_note_end(
		    w, WS_CLOSE_ABNORMAL, SESSION_BY_CLIENT, "the client's connection broke");
	ws_finish(w, true);
}

bool
ws_drain(struct session *ss)
{
	struct ws *w = (struct ws *)(void *)ss;

	if (w->close_at != 0)
		return false;
	ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "the gateway is shutting down");
	return true;
}

bool
ws_close_by_admin(struct session *ss)
{
	struct ws *w = (struct ws *)(void *)ss;

	if (w->close_at != 0)
		return false;
	ws_close(w, WS_CLOSE_POLICY, WS_CLOSE_GOING_AWAY, "closed by the administrator");
	return true;
}

void
ws_traffic(const struct session *ss, struct session_traffic *out)
{
	const struct ws *w = (const struct ws *)(const void *)ss;
	uint64_t now = ws_now(w), last = ws_stamp_ms(w, w->ss.last_data);

	out->messages_in = w->messages_in;
	out->messages_out = w->messages_out;
	out->bytes_in = w->bytes_in;
	out->bytes_out = w->bytes_out;
	out->idle_ms = now > last ? now - last : 0; /* a stamp is rounded up */
	if (w->client.s != NULL)
		out->queued_bytes += stream_queued(w->client.s);
	if (w->backend.s != NULL)
		out->queued_bytes += stream_queued(w->backend.s);
}

bool
ws_is_closing(const struct session *ss)
{
	return ((const struct ws *)(const void *)ss)->close_at != 0;
}

static const struct stream_events ws_events = {
	.bytes = ws_on_bytes,
	.room = ws_on_room,
	.end = ws_on_end,
	.reset = ws_on_reset,
	.budget = ws_budget,
};

static void
ws_leg_init(struct ws *w, struct ws_leg *leg, struct stream *s, bool is_backend)
{
	leg->s = s;
	leg->is_backend = is_backend;
	leg->last_rx = leg->keepalive = ws_stamp(w);
	if (s != NULL)
		stream_attach(s, is_backend && ws_is_raw(w) ? &ws_raw_events : &ws_events, leg);
}

static enum ws_mode
ws_mode_of(const struct config_route *r)
{
	if (r->backend == NULL)
		return WS_MODE_ECHO;
	switch (r->backend->protocol) {
	case CONFIG_PROTOCOL_HTTP:
		return WS_MODE_RELAY;
	case CONFIG_PROTOCOL_STREAM:
		return WS_MODE_STREAM;
	case CONFIG_PROTOCOL_LINES:
		return WS_MODE_LINES;
	case CONFIG_PROTOCOL_PACKET:
		return WS_MODE_PACKET;
	}
	return WS_MODE_RELAY;
}

/* What a struct ws owns besides; 0, or -1 without memory. */
static int
ws_init_parts(struct ws *w, const struct ws_ext *ext)
{
	if (ws_is_raw(w) && (w->backend.raw = ws_raw_new(w)) == NULL)
		return -1;
	w->passes = ext != NULL && ws_config(w)->compression == CONFIG_COMPRESSION_PASSTHROUGH;
	if (ext == NULL || w->passes || (w->edge = ws_edge_new(w, ext)) != NULL)
		return 0;
	ws_raw_free(w);
	return -1;
}

int
ws_start(struct session *ss, struct stream *backend, const struct ws_ext *ext)
{
	size_t rate_n = ws_rate_size(&ss->route->ws);
	struct ws *w;

	if ((w = loop_object(ss->gw->env.loop, sizeof(*w) + rate_n)) == NULL)
		return -1;
	w->ss = *ss;
	w->mode = (uint8_t)ws_mode_of(ss->route);
	if (ws_init_parts(w, ext) == -1) {
		loop_object_free_later(ss->gw->env.loop, w);
		return -1;
	}
	if (rate_n > 0)
		ws_rate_init(w);
	session_move(&w->ss, ss, SESSION_WEBSOCKET);
	w->timer.fn = ws_on_timer;
	w->ss.last_data = ws_stamp(w);
	ws_leg_init(w, &w->client, w->ss.s, false);
	ws_leg_init(w, &w->backend, backend, true);
	ws_count_start(w);
	ws_arm(w);
	return 0;
}
