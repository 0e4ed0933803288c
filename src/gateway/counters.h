/*
 * What is counted for each route, backend and listener.  A set of counters is known by its kind
 * and name, so that counting goes on over a reload; each worker has a block of its own in it, and
 * the main thread one, which only that thread writes (base/counter.h).
 *
 * counters_attach makes the sets that a snapshot needs; they stay as long as it.  The sets of
 * names that no snapshot has any more are kept for a while, at most COUNTERS_KEPT of them, so that
 * what was counted last is still read, and a name that comes back goes on.
 *
 * Any thread; counting takes no lock.
 */
#ifndef GATEWAY_COUNTERS_H
#define GATEWAY_COUNTERS_H

#include <sys/queue.h>

#include "base/counter.h"
#include "config/config.h"

#define COUNTERS_KEPT 128

enum counters_kind { COUNTERS_ROUTE, COUNTERS_BACKEND, COUNTERS_LISTENER, COUNTERS_KINDS };

enum counters_direction { COUNTERS_IN, COUNTERS_OUT, COUNTERS_DIRECTIONS };
enum counters_http { COUNTERS_HTTP_1, COUNTERS_HTTP_2, COUNTERS_HTTPS };

/* Why a handshake was refused. */
enum counters_refusal {
	REFUSED_NO_ROUTE,
	REFUSED_NOT_WEBSOCKET, /* an ordinary request where only WebSockets are served */
	REFUSED_VERSION,
	REFUSED_BAD_REQUEST,
	REFUSED_ORIGIN,
	REFUSED_CONNECTION_LIMIT, /* with its connection, whatever was asked for */
	REFUSED_RATE,		  /* the same */
	REFUSED_DRAINING,
	REFUSED_BACKEND_FAILED, /* none could be reached, or it broke the protocol */
	REFUSED_BACKEND_TIMEOUT,
	REFUSED_BACKEND_FULL,
	REFUSED_BACKEND_REFUSED, /* it answered with another status */
	REFUSED_CLIENT_LEFT,
	REFUSED_INTERNAL, /* out of memory */
	REFUSED_REASONS
};
const char *counters_refusal_str(enum counters_refusal why);

/* Status codes that are told apart, then the others by class, then "none": no response was sent. */
#define COUNTERS_STATUSES 38
unsigned counters_status(unsigned status);	 /* its index */
const char *counters_status_str(unsigned index); /* "404", "4xx", "none" */

/* Close codes that are told apart, and "other". */
#define COUNTERS_CODES 15
unsigned counters_code(unsigned code);
const char *counters_code_str(unsigned index);

enum counters_side { COUNTERS_BY_CLIENT, COUNTERS_BY_BACKEND, COUNTERS_BY_GATEWAY, COUNTERS_SIDES };

/* All members are counters: they are summed up as an array. */
struct route_counters {
	struct counter messages[COUNTERS_DIRECTIONS]; /* of WebSockets, as their payload */
	struct counter bytes[COUNTERS_DIRECTIONS];
	struct counter ended[COUNTERS_HTTPS], opened[COUNTERS_HTTPS];
	/* of ordinary requests and their responses */
	struct counter body_bytes[COUNTERS_DIRECTIONS];
	struct counter inflate_in, inflate_out, deflate_in, deflate_out; /* bytes around zlib */
	/* by leg: client, backend */
	struct counter keepalive_timeouts[2];
	struct counter rate_delayed, rate_closed; /* MessageRate, ByteRate: times it took effect */
	struct counter refused[REFUSED_REASONS];
	struct counter requests[COUNTERS_STATUSES];
	struct counter closes[COUNTERS_CODES][COUNTERS_SIDES];
};

struct backend_counters {
	struct histogram connect;
	struct counter refused, timed_out; /* connects that failed */
	struct counter reused;		   /* requests on a connection that waited */
};

/* Why a connection ended without having been of use, or early. */
enum counters_trouble {
	TROUBLE_PROXY_HEADER,
	TROUBLE_TLS,
	TROUBLE_REQUEST, /* no good request, or none in time */
	TROUBLE_HTTP2,	 /* the client broke HTTP/2 or used up a budget */
	TROUBLE_LIMIT,	 /* MaxConnections, MaxConnectionsPerClient */
	TROUBLE_RATE,
	TROUBLE_REASONS
};
const char *counters_trouble_str(enum counters_trouble why);

struct listener_counters {
	struct counter closed, accepted; /* without those past a limit */
	struct counter trouble[TROUBLE_REASONS];
};

/* ---- sets */

struct counters;

struct counters_set {
	/*
	 * of the registry, under its lock: all, those without references, those with the same hash
	 */
	TAILQ_ENTRY(counters_set) all, kept;
	struct counters_set *chain;
	char *block;   /* of worker 0, aligned */
	size_t stride; /* from a worker's block to the next one's */
	void *memory;  /* owned: where the blocks are */
	unsigned refs; /* under the lock: snapshots */
	enum counters_kind kind;
	bool websockets; /* a route that can serve them; written by counters_attach only */
	char name[];
};

/* n_workers blocks, and the main thread's; NULL without memory. */
struct counters *counters_new(unsigned n_workers);
void counters_free(struct counters *cs); /* after every snapshot */

/*
 * Find or make the sets of c, for as long as c lives; before c is shared, once.  Main thread.  0,
 * or -1 without memory.
 */
int counters_attach(struct counters *cs, struct config *c);

/* What belongs to no route, in its worker's block: requests that none serves. */
struct counters_set *counters_no_route(struct counters *cs);
/* The main thread's block. */
unsigned counters_main(const struct counters *cs);

static inline void *
counters_block(const struct counters_set *set, unsigned worker)
{
	return set->block + worker * set->stride;
}

/* ---- reading */

/* The sums over all threads of each set of a kind, in the order in which the sets came to be. */
struct counters_totals {
	size_t n;
	struct counters_set **set; /* owned; the sets are borrowed until the totals are cleared */
	void *sums;		   /* owned: n structs of the kind */
};

/* 0, to be followed by counters_totals_clear; or -1 without memory. */
int counters_read(struct counters *cs, enum counters_kind kind, struct counters_totals *out);
void counters_totals_clear(struct counters *cs, struct counters_totals *t);

#endif
