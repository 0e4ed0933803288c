/*
 * A worker: a thread with a loop and a gateway of its own, or, when it is the only one, a gateway
 * on the main loop.  All functions are for the main thread; what they ask for is done on the
 * worker's by messages.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "gateway/gateway.h"
#include "io/loop.h"

struct worker;
struct admission;
struct counters;
struct ws_deflate_memory;
struct loop;

struct worker_env {
	unsigned index;
	struct loop *main;			  /* borrowed: where `drained` is called */
	bool alone;				  /* the only worker: it runs on the main loop */
	struct resolver *resolver;		  /* borrowed */
	struct admission *admission;		  /* borrowed */
	struct ws_deflate_memory *deflate_memory; /* borrowed */
	struct counters *counters;		  /* borrowed */
	struct log *log, *access;		  /* borrowed */
	void (*drained)(void *arg); /* on the main loop: nothing is left on this worker */
	void *arg;
};

struct worker *worker_new(const struct worker_env *env); /* started; NULL: errno tells */
/*
 * Stops and waits for the thread; every connection that is left is dropped.  worker_free does so
 * too, but as messages for the main loop stand in the worker, all have to be joined before the
 * first is freed.
 */
void worker_join(struct worker *w);
void worker_free(struct worker *w);

/*
 * Connections that it serves or that are on their way to it, without those that are only told of a
 * limit.
 */
size_t worker_load(const struct worker *w);

/* What it counts itself, beside its blocks of the counters. */
const struct gateway_counters *worker_counters(const struct worker *w);

/* Bytes of its connections that wait for who is to take them. */
uint64_t worker_queued(const struct worker *w);

/* Hand a connection over.  Everything in a is disposed of, whatever happens. */
void worker_accept(struct worker *w, const struct http_accepted *a);
void worker_retire(struct worker *w, struct config *current);
void worker_drain(struct worker *w, uint64_t spread_ms, double phase); /* gateway_drain; once */

/* WebSockets that are open now. */
uint64_t worker_websockets(const struct worker *w);

/*
 * Liveness: ask the worker's loop for a sign, if the last one has come; worker_answered says
 * whether it has.  A loop
 * that does nothing but wait answers at once.
 */
void worker_ping(struct worker *w);
bool worker_answered(const struct worker *w);

/*
 * Something to be done on the worker's thread with what it serves; embedded, and until fn is
 * called the worker's.  fn disposes of it, or posts a message back.
 */
struct worker_call {
	struct loop_msg m; /* the worker's */
	struct worker *w;  /* the worker's */
	void (*fn)(struct worker_call *c, struct gateway *gw);
};
void worker_call(struct worker *w, struct worker_call *c);

#endif
