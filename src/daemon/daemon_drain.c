/*
 * The end of the daemon: the drain, and the end at once.  See daemon_int.h.
 *
 * The workers spread their closes by themselves (gateway_drain) and tell when nothing is left; the main thread
 * keeps the time.
 */
#include <stddef.h>

#include "base/log.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"

/* How much of DrainTimeout is left for the last close handshakes. */
#define DAEMON_DRAIN_RESERVE_MS 5000

static void
daemon_on_drain_timeout(struct loop_timer *t)
{
	struct daemon *d = (struct daemon *)(void *)((char *)t - offsetof(struct daemon, drain_timer));

	log_warn(d->log, "DrainTimeout is over: %zu connections are dropped", daemon_load(d));
	loop_stop(d->loop);
}

void
daemon_end(struct daemon *d, const char *why)
{
	log_info(d->log, "%s again: ending at once", why);
	loop_stop(d->loop);
}

bool
daemon_drain(struct daemon *d, const char *why)
{
	uint64_t timeout = d->config->server.drain_timeout_ms, reserve;

	if (d->draining)
		return false;
	d->draining = true;
	notify_stopping();
	log_info(d->log, "%s: draining %zu connections", why, daemon_load(d));
	for (size_t i = 0; i < d->front.n; i++)
		listener_stop(d->front.v[i].l);
	front_clear(&d->front);		/* nobody waits in a backlog that is not served */
	d->drain_timer.fn = daemon_on_drain_timeout;
	if (timeout != CONFIG_NEVER)
		loop_timer_arm(d->loop, &d->drain_timer, loop_now_ms(d->loop) + timeout);
	else
		timeout = 0;
	reserve = timeout / 4 < DAEMON_DRAIN_RESERVE_MS ? timeout / 4 : DAEMON_DRAIN_RESERVE_MS;
	for (size_t i = 0; i < d->n_workers; i++)
		worker_drain(d->worker[i], timeout - reserve);
	return true;
}
