/*
 * The drain of one worker's connections.  See gateway.h.
 *
 * The closes (1001) have a time each, `interval` apart, so that clients that come back do not come
 * as a wave.  What is open is counted again now and then: WebSockets end by themselves, and
 * handshakes that were on their way become some.  The workers' first closes are shifted against
 * one another (phase), or a few WebSockets on many workers would be closed together.
 */
#include <stddef.h>

#include "gateway/session.h"

/* Closes go out in steps of at least this, and what is open is counted after at most that. */
#define DRAIN_STEP_MS 20
#define DRAIN_COUNT_MS 1000
/* The same when the spread is over: what opens now is closed soon. */
#define DRAIN_LATE_MS 100

static size_t
gateway_count_websockets(const struct gateway *gw)
{
	size_t n = 0;

	for (const struct session *ss = gw->sessions; ss != NULL; ss = ss->next)
		n += ss->kind == SESSION_WEBSOCKET && !ws_is_closing(ss);
	return n;
}

/* Close up to n WebSockets; returns how many it were. */
static size_t
gateway_close_some(struct gateway *gw, size_t n)
{
	struct session *ss, *next;
	size_t done = 0;

	for (ss = gw->sessions; ss != NULL && done < n; ss = next) {
		next = ss->next;
		done += ss->kind == SESSION_WEBSOCKET && ws_drain(ss);
	}
	return done;
}

/* Set the pace for what is open now. */
static void
gateway_drain_count(struct gateway *gw, uint64_t now_ms)
{
	struct gateway_drain *dr = &gw->drain;
	size_t n = gateway_count_websockets(gw);

	dr->count_at_ms =
	    now_ms + (now_ms + DRAIN_COUNT_MS <= dr->end_ms ? DRAIN_COUNT_MS : DRAIN_LATE_MS);
	dr->interval_ms = 0;
	if (n > 0 && dr->end_ms > now_ms)
		dr->interval_ms = (double)(dr->end_ms - now_ms) / (double)n;
	if (dr->next_ms <= (double)now_ms)
		dr->next_ms = (double)now_ms + dr->phase * dr->interval_ms;
}

static void
gateway_on_drain_timer(struct loop_timer *t)
{
	struct gateway *gw =
	    (struct gateway *)(void *)((char *)t - offsetof(struct gateway, drain.timer));
	struct gateway_drain *dr = &gw->drain;
	uint64_t now_ms = loop_now_ms(gw->env.loop), at_ms;
	size_t due = SIZE_MAX;

	if (dr->interval_ms > 0)
		for (due = 0; dr->next_ms <= (double)now_ms; due++)
			dr->next_ms += dr->interval_ms;
	if (gateway_close_some(gw, due) < due || now_ms >= dr->count_at_ms)
		gateway_drain_count(gw, now_ms);
	/* Connections without a WebSocket may still bring one. */
	if (gw->n_connections == 0)
		return;
	at_ms = dr->count_at_ms;
	if (dr->interval_ms > 0 && dr->next_ms < (double)at_ms)
		at_ms = (uint64_t)dr->next_ms;
	if (at_ms < now_ms + DRAIN_STEP_MS)
		at_ms = now_ms + DRAIN_STEP_MS;
	loop_timer_arm(gw->env.loop, &dr->timer, at_ms);
}

void
gateway_check_drained(struct gateway *gw)
{
	void (*done)(void *) = gw->drain.done;

	if (gw->n_connections > 0 || done == NULL)
		return;
	gw->drain.done = NULL;
	done(gw->drain.arg);
}

void
gateway_drain(
    struct gateway *gw, uint64_t spread_ms, double phase, void (*done)(void *arg), void *arg)
{
	struct gateway_drain *dr = &gw->drain;
	uint64_t now_ms = loop_now_ms(gw->env.loop);

	dr->timer.fn = gateway_on_drain_timer;
	dr->done = done;
	dr->arg = arg;
	dr->end_ms = now_ms + spread_ms;
	dr->phase = phase;
	http_server_drain(&gw->connections);
	gateway_drain_count(gw, now_ms);
	gateway_on_drain_timer(&dr->timer);
	gateway_check_drained(gw);
}
