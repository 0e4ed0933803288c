/*
 * The end of the daemon: the drain, and the end at once.  See daemon_int.h.
 *
 * The workers spread their closes by themselves (gateway_drain) and tell when nothing is left; the
 * main thread keeps the time and tells how far it is.
 */
#include <stddef.h>

#include "base/log.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"

/* How much of DrainTimeout is left for the last close handshakes. */
#define DAEMON_DRAIN_RESERVE_MS 5000
/* How often its progress is told; a supervisor is promised the next word within ten times that. */
#define DAEMON_PROGRESS_MS 1000
/* Steps in which the log tells it. */
#define DAEMON_PROGRESS_STEPS 10

static void
daemon_on_drain_timeout(struct loop_timer *t)
{
	struct daemon *d =
	    (struct daemon *)(void *)((char *)t - offsetof(struct daemon, drain.timer));

	log_warn(d->log, "DrainTimeout is over: %zu connections are dropped", daemon_load(d));
	loop_stop(d->loop);
}

static void
daemon_on_progress(struct loop_timer *t)
{
	struct daemon *d =
	    (struct daemon *)(void *)((char *)t - offsetof(struct daemon, drain.progress));
	size_t n = daemon_load(d), step;

	loop_timer_arm(d->loop, t, loop_now_ms(d->loop) + DAEMON_PROGRESS_MS);
	watch_tell(d);
	notify_still_stopping(DAEMON_PROGRESS_MS * 10 * 1000);
	step = d->drain.began_with == 0 || n > d->drain.began_with
	    ? 0
	    : DAEMON_PROGRESS_STEPS - n * DAEMON_PROGRESS_STEPS / d->drain.began_with;
	if (step <= d->drain.step_told)
		return;
	d->drain.step_told = step;
	log_info(d->log, "draining: %zu of %zu connections left, %llu WebSockets", n,
	    d->drain.began_with, (unsigned long long)daemon_websockets(d));
}

void
daemon_end(struct daemon *d, const char *why)
{
	log_info(d->log, "%s while it drains: ending at once", why);
	loop_stop(d->loop);
}

static void
daemon_start_timers(struct daemon *d, uint64_t timeout_ms)
{
	uint64_t now_ms = loop_now_ms(d->loop);

	d->drain.timer.fn = daemon_on_drain_timeout;
	if (timeout_ms != CONFIG_NEVER)
		loop_timer_arm(d->loop, &d->drain.timer, now_ms + timeout_ms);
	d->drain.began_with = daemon_load(d);
	d->drain.progress.fn = daemon_on_progress;
	daemon_on_progress(&d->drain.progress);
}

bool
daemon_drain(struct daemon *d, const char *why)
{
	uint64_t timeout = d->config->server.drain_timeout_ms, spread, reserve;

	if (d->draining)
		return false;
	d->draining = true;
	notify_stopping();
	front_accept_rest(&d->front);
	front_clear(&d->front);
	log_info(d->log, "%s: draining %zu connections, %llu WebSockets", why, daemon_load(d),
	    (unsigned long long)daemon_websockets(d));
	daemon_start_timers(d, timeout);
	spread = timeout != CONFIG_NEVER ? timeout : 0;
	reserve = spread / 4 < DAEMON_DRAIN_RESERVE_MS ? spread / 4 : DAEMON_DRAIN_RESERVE_MS;
	for (size_t i = 0; i < d->n_workers; i++)
		worker_drain(
		    d->worker[i], spread - reserve, ((double)i + 0.5) / (double)d->n_workers);
	return true;
}
