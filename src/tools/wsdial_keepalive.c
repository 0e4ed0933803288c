/*
 * Keep-alive.  See wsdial_keepalive.h.
 *
 * What comes only notes its time; the timer looks when it fires.  A PONG that is late is given one
 * more turn of the loop: wsdial may have waited for its own output, and the PONG be there unread.
 */
#include "tools/wsdial_keepalive.h"

#include <string.h>

#include "codec/ws_frame.h"

/* A turn later, as seen by the timer. */
#define WSDIAL_GRACE_MS 20

static void
wsdial_keepalive_arm(struct wsdial_keepalive *k, uint64_t at_ms)
{
	k->at_ms = at_ms;
	loop_timer_arm(k->loop, &k->timer, at_ms);
}

static void
wsdial_keepalive_ping(struct wsdial_keepalive *k, uint64_t now)
{
	/* 64 bits that the peer cannot know before. */
	for (size_t i = 0; i < WSDIAL_TOKEN_N; i++)
		k->token[i] = (uint8_t)(loop_random(k->loop) >> 24);
	k->awaiting = true;
	k->overdue = false;
	wsdial_keepalive_arm(k, now + k->timeout_ms);
	k->ops->send(k->arg, WS_PING, k->token, sizeof(k->token));
}

static void
wsdial_keepalive_on_timer(struct loop_timer *timer)
{
	struct wsdial_keepalive *k = (struct wsdial_keepalive *)(void *)((char *)timer -
	    offsetof(struct wsdial_keepalive, timer));
	uint64_t now = loop_now_ms(k->loop);

	if (now < k->at_ms) {
		wsdial_keepalive_arm(k, k->at_ms);
	} else if (k->timeout_ms == 0) {
		wsdial_keepalive_arm(k, now + k->interval_ms);
		k->ops->send(k->arg, WS_PONG, NULL, 0);
	} else if (k->awaiting && !k->overdue) {
		k->overdue = true;
		wsdial_keepalive_arm(k, now + WSDIAL_GRACE_MS);
	} else if (k->awaiting) {
		k->awaiting = false;
		k->ops->failed(k->arg);
	} else if (now < k->heard_ms + k->interval_ms) {
		wsdial_keepalive_arm(k, k->heard_ms + k->interval_ms);
	} else {
		wsdial_keepalive_ping(k, now);
	}
}

void
wsdial_keepalive_start(struct wsdial_keepalive *k, struct loop *loop, uint64_t interval_ms,
    uint64_t timeout_ms, const struct wsdial_keepalive_ops *ops, void *arg)
{
	memset(k, 0, sizeof(*k));
	k->loop = loop;
	k->ops = ops;
	k->arg = arg;
	k->interval_ms = interval_ms;
	k->timeout_ms = timeout_ms;
	k->timer.fn = wsdial_keepalive_on_timer;
	k->heard_ms = loop_now_ms(loop);
	if (interval_ms != 0)
		wsdial_keepalive_arm(k, k->heard_ms + interval_ms);
}

void
wsdial_keepalive_stop(struct wsdial_keepalive *k)
{
	if (k->loop != NULL)
		loop_timer_stop(k->loop, &k->timer);
}

void
wsdial_keepalive_heard(struct wsdial_keepalive *k)
{
	k->heard_ms = loop_now_ms(k->loop);
}

bool
wsdial_keepalive_take(struct wsdial_keepalive *k, const void *p, size_t n)
{
	if (!k->awaiting || n != sizeof(k->token) || memcmp(p, k->token, n) != 0)
		return false;
	k->awaiting = false;
	wsdial_keepalive_arm(k, k->heard_ms + k->interval_ms);
	return true;
}
