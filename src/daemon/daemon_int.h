/*
 * The running daemon's state, for the files of daemon/ that work on it.  The main thread's.
 */
#ifndef DAEMON_DAEMON_INT_H
#define DAEMON_DAEMON_INT_H

#include "codec/ws_deflate.h"
#include "daemon/daemon.h"
#include "daemon/front.h"
#include "daemon/metrics.h"
#include "daemon/worker.h"

#define DAEMON_SIGNALS 5

struct backends;
struct event;
struct prober;

struct daemon {
	const struct daemon_options *options;
	struct config *config;		/* ref: in force for new connections */
	struct front front;
	struct log *log, *access;	/* owned */
	struct loop *loop;		/* owned */
	struct resolver *resolver;	/* owned */
	struct limits *limits;		/* owned */
	struct ws_deflate_memory deflate_memory;	/* of all workers */
	struct backends *backends;	/* owned */
	struct prober *prober;		/* owned */
	struct worker **worker;		/* owned */
	size_t n_workers, next_worker, n_drained;
	uint64_t max_connections, nofile, next_id;
	struct event *signal[DAEMON_SIGNALS];
	struct loop_timer drain_timer;
	bool draining, over_limit;
	struct metrics_life life;
};

#endif
