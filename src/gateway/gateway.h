/*
 * The gateway of one worker: takes requests from the seam, routes and judges
 * them, and hands each to one of the actions.  It cannot tell which HTTP version
 * or transport carries a stream.  One thread.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "http/http_server.h"

struct counters;
struct log;
struct resolver;
struct session;
struct ws_deflate_memory;
struct gateway;

/*
 * Counted by the worker, read by anybody; what has a route, a backend or a listener is in
 * gateway/counters.h.
 */
struct gateway_counters {
	struct counter opened, ended; /* WebSockets */
	/* of WebSockets: from the whole request head to the answer that accepts it */
	struct histogram handshake;
};

/*
 * Asked when the client of a connection is known only now (behind a PROXY header), on the worker's
 * thread: 0, or the status that it is refused with; it is counted in either case, until `closed`.
 */
typedef unsigned gateway_admit_fn(void *arg, const struct stream_info *info);

/* Told of each connection's end, on the worker's thread. */
typedef void gateway_closed_fn(void *arg, const struct stream_info *info);

struct gateway_env {
	struct loop *loop;			  /* borrowed */
	struct ws_deflate_memory *deflate_memory; /* borrowed, shared */
	struct resolver *resolver;		  /* borrowed, shared */
	struct counters *counters; /* borrowed, shared; every snapshot is attached to it */
	/* of the worker: which blocks of the counters are its own */
	unsigned index;
	struct log *log, *access; /* borrowed, shared */
	gateway_admit_fn *admit;
	gateway_closed_fn *closed;
	void *arg;
};

struct gateway *gateway_new(const struct gateway_env *env); /* NULL without memory */
void gateway_free(struct gateway *gw); /* all sessions and connections are gone before */

/* Serve an accepted connection; everything in a is disposed of. */
void gateway_accept(struct gateway *gw, const struct http_accepted *a);

/* A reload: connections of older snapshots take no new requests. */
void gateway_retire(struct gateway *gw, const struct config *current);

/*
 * Drain: connections end after the request that is under way (or was sent before the client could
 * know), WebSockets
 * are closed with 1001 one after another, evenly spread over spread_ms; done (once) is called when
 * nothing is left.  phase, 0 to 1, says when in the first interval the first close is.
 * gateway_end drops what is left at once.
 */
void gateway_drain(
    struct gateway *gw, uint64_t spread_ms, double phase, void (*done)(void *arg), void *arg);
void gateway_end(struct gateway *gw);

const struct gateway_counters *gateway_counters(const struct gateway *gw);

#endif
