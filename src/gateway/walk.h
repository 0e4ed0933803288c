/*
 * A walk over what a worker is serving, for people who look inside: slice by slice, so that its
 * connections do not wait for it, while others come and go.  Everything that is there all the
 * while is seen exactly once; what comes later is not.  On the worker's thread.
 */
#ifndef GATEWAY_WALK_H
#define GATEWAY_WALK_H

#include "base/addr.h"
#include "gateway/gateway.h"

struct gateway_walk;

enum gateway_show {
	GATEWAY_SHOW_WEBSOCKET = 1, /* open */
	GATEWAY_SHOW_HANDSHAKE = 2, /* waits for its backend */
	GATEWAY_SHOW_HTTP = 4,	    /* an ordinary request and its response */
};

#define GATEWAY_FILTER_ROUTE 128

/* Zeroed: everything. */
struct gateway_filter {
	char route[GATEWAY_FILTER_ROUTE]; /* its name; empty: any */
	bool by_client;			  /* in this block (never a Unix socket's) */
	struct addr_cidr client;
	unsigned kinds;	    /* enum gateway_show bits; 0: all */
	uint64_t active_ms; /* data came or went within so much time; 0: does not matter */
	bool by_id;
	uint64_t connection_id;
	uint32_t stream_id; /* 0: HTTP/1.1 */
};

/* One request or WebSocket.  Texts are borrowed for the call. */
struct gateway_seen {
	enum gateway_show kind;
	uint64_t connection_id;
	uint32_t stream_id; /* of HTTP/2; 0: the connection has only this one */
	struct span client, subprotocol;
	const char *listener, *route, *backend; /* backend NULL: none */
	const char *http, *tls;			/* tls NULL: in the clear */
	uint64_t age_ms, idle_ms;
	uint64_t messages_in, messages_out; /* WebSockets only */
	uint64_t bytes_in, bytes_out;
	uint64_t queued_bytes; /* that wait in the gateway for either side */
};

/*
 * NULL without memory.  The walk may be made and freed on any thread while it is not begun, or
 * over.
 */
struct gateway_walk *gateway_walk_new(const struct gateway_filter *f);
void gateway_walk_free(struct gateway_walk *k);

/* False ends the slice: the next one goes on behind this one. */
typedef bool gateway_walk_fn(void *arg, const struct gateway_seen *seen);

/*
 * Look at most at max more; true while there may be more, false: it is over. The first call begins
 * it.
 */
bool gateway_walk_step(
    struct gateway *gw, struct gateway_walk *k, size_t max, gateway_walk_fn *fn, void *arg);

/* Give a walk up that is not over. */
void gateway_walk_stop(struct gateway_walk *k);

enum gateway_closed {
	GATEWAY_CLOSE_GOES_ON, /* not found so far */
	GATEWAY_CLOSE_NONE,    /* there is none on this worker */
	GATEWAY_CLOSE_SENT,
	GATEWAY_CLOSE_ALREADY,	/* it is being closed */
	GATEWAY_CLOSE_NOT_OPEN, /* it is no WebSocket, or not yet */
};

/* The same walk for the one session that its filter names (by_id): its client gets Close 1008. */
enum gateway_closed gateway_walk_close(struct gateway *gw, struct gateway_walk *k, size_t max);

#endif
