/*
 * The watchdog and the status line.  See watch.h.
 *
 * The sign of life is the workers' own: each is asked by a message to its loop, and only when all
 * have answered is systemd told so, which tells of this thread as well.  A round begins each third
 * of the watchdog's interval, so that a worker may take two thirds of it for one turn.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"

#define WATCH_STATUS_MS 5000
#define WATCH_MIN_MS 10

static void
watch_stuck(struct daemon *d, size_t worker, uint64_t now_ms)
{
	if (d->watch.stuck)
		return;
	d->watch.stuck = true;
	log_error(d->log,
	    "worker-%zu has not answered for %llu ms: the watchdog is not told that all is well",
	    worker, (unsigned long long)(now_ms - d->watch.asked_at_ms));
}

static void
watch_on_watchdog(struct loop_timer *t)
{
	struct watch *w = (struct watch *)(void *)((char *)t - offsetof(struct watch, watchdog));
	struct daemon *d = w->d;
	uint64_t now_ms = loop_now_ms(d->loop);

	loop_timer_arm(d->loop, t, now_ms + w->watchdog_ms);
	for (size_t i = 0; i < d->n_workers; i++) {
		if (!worker_answered(d->worker[i])) {
			watch_stuck(d, i, now_ms);
			return;
		}
	}
	if (w->stuck)
		log_warn(d->log, "all workers answer again");
	w->stuck = false;
	notify_alive();
	w->asked_at_ms = now_ms;
	for (size_t i = 0; i < d->n_workers; i++)
		worker_ping(d->worker[i]);
}

static void
watch_format(const struct daemon *d, char *out, size_t size)
{
	snprintf(out, size, "%s %zu connections, %llu WebSockets%s",
	    d->draining ? "Draining" : "Serving", daemon_load(d),
	    (unsigned long long)daemon_websockets(d),
	    d->life.last_reload_failed ? "; the last reload was refused, see the log" : "");
}

void
watch_tell(struct daemon *d)
{
	char text[sizeof(d->watch.told)];

	if (!notify_wanted())
		return;
	watch_format(d, text, sizeof(text));
	if (strcmp(text, d->watch.told) == 0)
		return;
	memcpy(d->watch.told, text, sizeof(text));
	notify_status(text);
}

static void
watch_on_status(struct loop_timer *t)
{
	struct watch *w = (struct watch *)(void *)((char *)t - offsetof(struct watch, status));

	watch_tell(w->d);
	loop_timer_arm(w->d->loop, t, loop_now_ms(w->d->loop) + WATCH_STATUS_MS);
}

void
watch_start(struct daemon *d)
{
	struct watch *w = &d->watch;

	w->d = d;
	if (notify_wanted()) {
		w->status.fn = watch_on_status;
		watch_on_status(&w->status);
	}
	if (notify_watchdog_us() == 0)
		return;
	w->watchdog_ms = notify_watchdog_us() / 3000;
	if (w->watchdog_ms < WATCH_MIN_MS)
		w->watchdog_ms = WATCH_MIN_MS;
	w->watchdog.fn = watch_on_watchdog;
	watch_on_watchdog(&w->watchdog);
}

void
watch_stop(struct daemon *d)
{
	loop_timer_stop(d->loop, &d->watch.watchdog);
	loop_timer_stop(d->loop, &d->watch.status);
}
