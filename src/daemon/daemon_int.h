/*
 * The daemon's state, and what its files, the admin endpoint among them, ask of one another.
 * Internal to daemon/; everything here is the main thread's.
 */
#ifndef DAEMON_DAEMON_INT_H
#define DAEMON_DAEMON_INT_H

#include "codec/ws_deflate.h"
#include "daemon/daemon.h"
#include "daemon/front.h"
#include "daemon/metrics.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "io/loop.h"

#define DAEMON_SIGNALS 5

struct admin;
struct admission;
struct backends;
struct counters;
struct event;
struct log;
struct prober;
struct resolver;

/* A drain that is under way (daemon_drain.c). */
struct daemon_draining {
	struct loop_timer timer, progress;
	size_t began_with, step_told;
};

struct daemon {
	const struct daemon_options *options;
	struct config *config; /* ref: in force for new connections */
	struct front front;
	struct log *log, *access;		 /* owned */
	struct loop *loop;			 /* owned */
	struct resolver *resolver;		 /* owned */
	struct admission *admission;		 /* owned */
	struct ws_deflate_memory deflate_memory; /* of all workers */
	struct backends *backends;		 /* owned */
	struct counters *counters;		 /* owned */
	struct prober *prober;			 /* owned */
	struct worker **worker;			 /* owned */
	size_t n_workers, next_worker, n_drained;
	uint64_t max_connections, nofile, next_id;
	struct event *signal[DAEMON_SIGNALS];
	struct daemon_draining drain;
	struct watch watch;
	bool draining, over_limit;
	struct metrics_life life;
	struct admin *admin; /* owned */
};

/* Connections that are served or on their way to a worker. */
size_t daemon_load(const struct daemon *d);
/* WebSockets that are open. */
uint64_t daemon_websockets(const struct daemon *d);

/* ---- accepting (daemon_accept.c) */

/*
 * Begin to accept from the sockets of f that were not taken over from an older front.  0 or -1
 * without memory.
 */
int daemon_listen(struct daemon *d, struct front *f);

/* ---- reload (daemon_reload.c) */

enum daemon_reload_result {
	DAEMON_RELOADED,
	/* the new configuration has errors, or the system refused what it asks for */
	DAEMON_RELOAD_REFUSED,
	DAEMON_RELOAD_DRAINING, /* too late */
};

/*
 * Read the configuration anew and put it in force for new connections, whole or not at all;
 * systemd is told.  Each error and warning is logged and told to report (may be NULL) as well: the
 * lines that --test writes.
 */
enum daemon_reload_result daemon_reload(struct daemon *d, config_report_fn *report, void *arg);

/* ---- drain (daemon_drain.c) */

/*
 * Stop listening, close what is open within DrainTimeout, and end then: loop_run returns.  `why`
 * is for the log ("SIGTERM").  False: it drains already, nothing is changed.  Whether it does is
 * d->draining.
 */
bool daemon_drain(struct daemon *d, const char *why);

/* End at once, whatever is open. */
void daemon_end(struct daemon *d, const char *why);

/*
 * Used by daemon.c: what auto means, with a warning if the limit on open files is too low for what
 * is wished.
 */
void daemon_set_max_connections(struct daemon *d);

#endif
