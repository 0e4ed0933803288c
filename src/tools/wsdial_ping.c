/*
 * Round-trip times of PINGs, printed as ping(8) does.  See wsdial_mode.h.
 *
 * A PING goes out each second; its payload tells which it is.  A peer may answer only the last of
 * several PINGs (RFC 6455 5.5.3), so that an answer that does not come is a loss, not an error.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/loop.h"
#include "tools/wsdial_mode.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_report.h"
#include "tools/wsdial_session.h"

#define WSDIAL_PING_EVERY_MS 1000
#define WSDIAL_PING_N 8 /* bytes of payload: which run, which PING */
/* How long the last answers are waited for, unless --timeout says otherwise. */
#define WSDIAL_PING_WAIT_MS 10000

struct wsdial_ping {
	struct wsdial_mode mode;      /* first */
	const struct wsdial_env *env; /* borrowed */
	struct wsdial_session *ss;    /* owned */
	struct loop_timer timer;      /* the next PING; after the last one: its answer */
	uint64_t deadline_ms;
	uint64_t *sent_us; /* owned: when each went out; 0: it was answered, or not sent */
	uint64_t *rtt_us;  /* owned: of each; UINT64_MAX: none */
	uint64_t sent;
	uint64_t began_us, last_us; /* of the first PING, and of the last thing that happened */
	uint32_t run;
	struct wsdial_rtt rtt;
	enum wsdial_status status;
	bool opened, closing, over;
};

static void
wsdial_ping_close(struct wsdial_ping *ping)
{
	ping->closing = true;
	loop_timer_stop(ping->env->loop, &ping->timer);
	wsdial_session_close(ping->ss);
}

static void
wsdial_ping_arm(struct wsdial_ping *ping, uint64_t in_ms)
{
	uint64_t now = loop_now_ms(ping->env->loop);

	ping->deadline_ms = in_ms < UINT64_MAX - now ? now + in_ms : UINT64_MAX;
	if (ping->deadline_ms != UINT64_MAX)
		loop_timer_arm(ping->env->loop, &ping->timer, ping->deadline_ms);
}

static void
wsdial_put_be32(uint8_t *out, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t
wsdial_get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
wsdial_ping_send(struct wsdial_ping *ping)
{
	uint64_t wait = ping->env->o->timeout_ms;
	uint8_t payload[WSDIAL_PING_N];

	wsdial_put_be32(payload, ping->run);
	wsdial_put_be32(payload + 4, (uint32_t)ping->sent);
	ping->last_us = ping->sent_us[ping->sent] = clock_mono_us();
	if (ping->sent++ == 0)
		ping->began_us = ping->last_us;
	(void)wsdial_session_ping(ping->ss, payload, sizeof(payload));
	if (ping->sent < ping->env->o->pings)
		wsdial_ping_arm(ping, WSDIAL_PING_EVERY_MS);
	else
		wsdial_ping_arm(ping, wait != 0 ? wait : WSDIAL_PING_WAIT_MS);
}

static void
wsdial_ping_on_timer(struct loop_timer *timer)
{
	struct wsdial_ping *ping =
	    (struct wsdial_ping *)(void *)((char *)timer - offsetof(struct wsdial_ping, timer));

	if (loop_now_ms(ping->env->loop) < ping->deadline_ms)
		loop_timer_arm(ping->env->loop, timer, ping->deadline_ms);
	else if (ping->sent < ping->env->o->pings)
		wsdial_ping_send(ping);
	else
		wsdial_ping_close(ping);
}

static void
wsdial_ping_on_pong(struct wsdial_session *ss, const uint8_t *p, size_t n)
{
	struct wsdial_ping *ping = wsdial_session_user(ss);
	uint64_t now = clock_mono_us(), us;
	uint32_t seq;

	if (n != WSDIAL_PING_N || wsdial_get_be32(p) != ping->run)
		return; /* unsolicited */
	seq = wsdial_get_be32(p + 4);
	if (seq >= ping->sent || ping->sent_us[seq] == 0)
		return;
	us = now - ping->sent_us[seq];
	ping->sent_us[seq] = 0;
	ping->last_us = now;
	ping->rtt_us[seq] = us;
	wsdial_rtt_add(&ping->rtt, us);
	if (!ping->env->o->json)
		wsdial_out_line(ping->env->out, "%u bytes from %s: seq=%" PRIu32 " time=%.3f ms",
		    WSDIAL_PING_N, wsdial_session_agreed(ss)->peer, seq + 1, (double)us / 1000);
	if (ping->rtt.n == ping->env->o->pings && !ping->closing)
		wsdial_ping_close(ping);
}

static void
wsdial_ping_on_open(struct wsdial_session *ss)
{
	struct wsdial_ping *ping = wsdial_session_user(ss);

	ping->opened = true;
	ping->run = loop_random(ping->env->loop);
	if (!ping->env->o->json)
		wsdial_out_line(ping->env->out, "PING %s (%s) %u bytes of data.",
		    ping->env->o->url_text, wsdial_session_agreed(ss)->peer, WSDIAL_PING_N);
	wsdial_ping_send(ping);
}

static void
wsdial_ping_on_message(struct wsdial_session *ss, bool binary, const uint8_t *p, size_t n)
{
	(void)ss;
	(void)binary;
	(void)p;
	(void)n;
}

static void
wsdial_ping_on_over(struct wsdial_session *ss, enum wsdial_status status, const char *why)
{
	struct wsdial_ping *ping = wsdial_session_user(ss);

	ping->over = true;
	ping->status = status;
	if (status != WSDIAL_OK)
		wsdial_out_error(ping->env->out, "%s", why);
	loop_stop(ping->env->loop);
}

static const struct wsdial_session_events wsdial_ping_events = {
	.open = wsdial_ping_on_open,
	.message = wsdial_ping_on_message,
	.pong = wsdial_ping_on_pong,
	.over = wsdial_ping_on_over,
};

/* ---- the mode */

static void
wsdial_ping_free(struct wsdial_ping *ping)
{
	loop_timer_stop(ping->env->loop, &ping->timer);
	wsdial_session_free(ping->ss);
	mem_free(ping->sent_us);
	mem_free(ping->rtt_us);
	mem_free(ping);
}

static struct wsdial_mode *
wsdial_ping_start(const struct wsdial_env *env)
{
	struct wsdial_ping *ping;
	uint64_t n = env->o->pings;

	if ((ping = mem_zalloc(sizeof(*ping))) == NULL)
		return NULL;
	ping->mode.ops = &wsdial_ping_ops;
	ping->env = env;
	ping->timer.fn = wsdial_ping_on_timer;
	ping->sent_us = mem_zalloc(n * sizeof(*ping->sent_us));
	ping->rtt_us = mem_alloc(n * sizeof(*ping->rtt_us));
	if (ping->sent_us == NULL || ping->rtt_us == NULL ||
	    (ping->ss = wsdial_session_start(env, &wsdial_ping_events, ping)) == NULL) {
		wsdial_ping_free(ping);
		return NULL;
	}
	for (uint64_t i = 0; i < n; i++)
		ping->rtt_us[i] = UINT64_MAX;
	return &ping->mode;
}

static void
wsdial_ping_interrupt(struct wsdial_mode *m)
{
	struct wsdial_ping *ping = (struct wsdial_ping *)m;

	if (ping->opened && !ping->closing)
		wsdial_ping_close(ping);
	else if (!ping->opened)
		loop_stop(ping->env->loop);
}

static bool
wsdial_ping_suspend(struct wsdial_mode *m)
{
	(void)m;
	return false;
}

static enum wsdial_status
wsdial_ping_finish(struct wsdial_mode *m)
{
	struct wsdial_ping *ping = (struct wsdial_ping *)m;
	enum wsdial_status status = ping->over ? ping->status : WSDIAL_FAILED;
	struct wsdial_ping_result r = { .sent = ping->sent,
		.rtt = &ping->rtt,
		.rtt_us = ping->rtt_us,
		.took_us = ping->last_us - ping->began_us };

	if (ping->sent > 0)
		wsdial_report_ping(ping->env, wsdial_session_agreed(ping->ss), &r);
	if (status == WSDIAL_OK && ping->rtt.n == 0)
		status = WSDIAL_FAILED;
	wsdial_ping_free(ping);
	return status;
}

const struct wsdial_mode_ops wsdial_ping_ops = {
	.start = wsdial_ping_start,
	.interrupt = wsdial_ping_interrupt,
	.suspend = wsdial_ping_suspend,
	.finish = wsdial_ping_finish,
};
