/*
 * Keep-alive and the other clocks of a WebSocket: one timer each, armed for
 * the next thing that is due.  Bytes only note their time; the timer looks when it fires, so
 * that traffic costs nothing.  See ws_int.h.
 */
#include <string.h>

#include "base/log.h"
#include "gateway/ws_int.h"

#define WS_TOKEN_N 8

/* Interval and timeout of the leg's side; 0 where it is off. */
static void
ws_keepalive(const struct ws *w, const struct ws_leg *leg, uint64_t *interval, uint64_t *timeout)
{
	const struct config_route *r = w->ss.route;

	if (leg->is_backend && w->mode != WS_MODE_RELAY) {
		*interval = *timeout = 0;
		return;
	}
	*interval =
	    leg->is_backend ? r->backend->keepalive_interval_ms : r->ws.keepalive_interval_ms;
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
		return ws_stamp_ms(w, leg->keepalive) + interval;
	if ((leg->flags & LEG_AWAIT_PONG) != 0)
		return ws_stamp_ms(w, leg->keepalive) + timeout;
	return ws_stamp_ms(w, leg->last_rx) + interval;
}

/* When a limit of the route is reached; UINT64_MAX: never. */
static uint64_t
ws_idle_deadline(const struct ws *w)
{
	uint64_t t = ws_config(w)->idle_timeout_ms;

	/* Past its rate a client is not idle, whatever it looks like. */
	if (w->client.s != NULL && (w->client.s->holds & STREAM_HOLD_RATE) != 0)
		return UINT64_MAX;
	return t == CONFIG_NEVER || t == 0 ? UINT64_MAX : ws_stamp_ms(w, w->ss.last_data) + t;
}

static uint64_t
ws_age_deadline(const struct ws *w)
{
	uint64_t t = ws_config(w)->max_age_ms;

	return t == CONFIG_NEVER || t == 0 ? UINT64_MAX : w->ss.start_ms + t;
}

void
ws_arm(struct ws *w)
{
	uint64_t at;

	if (w->close_at != 0) {
		at = ws_stamp_ms(w, w->close_at);
	} else {
		at = ws_min(ws_leg_deadline(w, &w->client), ws_leg_deadline(w, &w->backend));
		at = ws_min(at, ws_min(ws_idle_deadline(w), ws_age_deadline(w)));
	}
	if (at == UINT64_MAX)
		loop_timer_stop(w->ss.gw->env.loop, &w->timer);
	else
		loop_timer_arm(w->ss.gw->env.loop, &w->timer, at);
}

static void
ws_token(const struct ws *w, const struct ws_leg *leg, uint8_t out[WS_TOKEN_N])
{
	uint64_t token = w->ss.gw->token_base | leg->token;

	for (int i = 0; i < WS_TOKEN_N; i++)
		out[i] = (uint8_t)(token >> (56 - 8 * i));
}

/* A PING with a fresh token, or the unsolicited PONG (RFC 6455 5.5.2, 5.5.3). */
void
ws_send_keepalive(struct ws *w, struct ws_leg *leg)
{
	uint64_t interval, timeout;
	uint8_t token[WS_TOKEN_N];

	ws_keepalive(w, leg, &interval, &timeout);
	leg->keepalive = ws_stamp(w);
	if (timeout == 0) {
		/* A receiver that does not read gets no more of them. */
		if (stream_queued(leg->s) == 0)
			ws_send_control(w, leg, WS_PONG, NULL, 0);
		return;
	}
	if ((leg->token = ++w->ss.gw->last_token) == 0)
		leg->token = ++w->ss.gw->last_token;
	ws_token(w, leg, token);
	leg->flags |= LEG_AWAIT_PONG;
	ws_send_control(w, leg, WS_PING, token, WS_TOKEN_N);
}

bool
ws_is_own_pong(struct ws *w, struct ws_leg *leg, const struct ws_event *ev)
{
	uint8_t token[WS_TOKEN_N];

	if (leg->token == 0 || ev->n != WS_TOKEN_N)
		return false;
	ws_token(w, leg, token);
	if (memcmp(token, ev->data, WS_TOKEN_N) != 0)
		return false;
	leg->flags &= (uint8_t)~LEG_AWAIT_PONG;
	ws_arm(w);
	return true;
}

/* A peer did not answer: no close handshake with it. */
static void
ws_keepalive_failed(struct ws *w, struct ws_leg *leg)
{
	counter_add(&session_count(&w->ss)->keepalive_timeouts[leg->is_backend], 1);
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
ws_pong_excused(struct ws *w, const struct ws_leg *leg)
{
	uint64_t interval, timeout;

	if (leg->s->holds != 0)
		return true;
	ws_keepalive(w, leg, &interval, &timeout);
	return leg->in != NULL && !ws_reader_at_frame_boundary(leg->in) &&
	    ws_now(w) < ws_stamp_ms(w, leg->last_rx) + timeout;
}

/* False when the WebSocket is finished. */
static bool
ws_leg_tick(struct ws *w, struct ws_leg *leg)
{
	if (ws_leg_deadline(w, leg) > ws_now(w))
		return true;
	if ((leg->flags & LEG_AWAIT_PONG) != 0) {
		if (!ws_pong_excused(w, leg)) {
			ws_keepalive_failed(w, leg);
			return !w->finished;
		}
		leg->keepalive = ws_stamp(w);
	} else if (leg->s->holds != 0) {
		/* Silent only because we do not read it. */
		leg->last_rx = leg->keepalive = ws_stamp(w);
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
	bool client_waits =
	    (w->client.flags & LEG_CLOSE_CAME) != 0 && (w->client.flags & LEG_CLOSE_SENT) == 0;
	uint32_t queued;
	bool told;

	if (client_waits && ws_at_boundary(w, &w->client))
		ws_send_close(w, &w->client, WS_CLOSE_BACKEND, NULL, 0);
	queued = ws_client_queued(w);
	/*
	 * What the kernel has may be on its way to a slow client yet: a reset would take it away,
	 * our Close too.  Who has taken some of what waits here gets the rest, as long as that
	 * goes on (h1_server.c).
	 */
	told = (w->client.flags & LEG_CLOSE_SENT) != 0 && w->client.s != NULL &&
	    (queued == 0 || queued < w->client.close_queued);
	ws_finish(w, !told && !ws_close_done(w));
}

void
ws_on_timer(struct loop_timer *t)
{
	struct ws *w = (struct ws *)(void *)((char *)t - offsetof(struct ws, timer));
	uint64_t now = ws_now(w);

	if (w->close_at != 0) {
		if (now >= ws_stamp_ms(w, w->close_at))
			ws_close_timeout(w);
		else
			ws_arm(w);
	} else if (now >= ws_age_deadline(w)) {
		ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "maximum age");
	} else if (now >= ws_idle_deadline(w)) {
		ws_close(w, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, "idle timeout");
	} else if (ws_leg_tick(w, &w->client) && ws_leg_tick(w, &w->backend)) {
		ws_arm(w);
	}
}
