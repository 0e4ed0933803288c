/*
 * What the whole daemon knows of its backends' addresses: how many connections each has, and
 * whether it is up.  Shared by all workers and the prober (gateway/prober.h), so that
 * balancing, MaxConnections and health hold for the daemon; an address is known by its backend's
 * name and its text, so that what is known of it survives a reload.
 *
 * Any thread.  A request picks an address, reports how it went, and releases it when its
 * connection is over; a failure may pick again.
 */
#ifndef GATEWAY_BACKENDS_H
#define GATEWAY_BACKENDS_H

#include "config/config.h"
#include "io/loop.h"
#include "policy/balance.h"

struct log;
struct backends;
struct backends_address;

struct backends *backends_new(struct log *log); /* NULL without memory; log is borrowed */
void backends_free(struct backends *b);		/* after every snapshot and every pick is gone */

/* Find or make what c's addresses need, for as long as c lives; before c is shared, once.  0, or -1
 * without memory. */
int backends_attach(struct backends *b, struct config *c);

enum backends_verdict {
	BACKENDS_PICKED,
	BACKENDS_FULL, /* what is up has MaxConnections: 503 */
	BACKENDS_DOWN, /* nothing (more) to try: 502 */
};

/* The addresses that one request has tried; zeroed at first. */
struct backends_tried {
	uint64_t bit[BALANCE_MAX / 64];
};

/*
 * Pick an address of cb (in c, which was attached) that this request has not tried yet, and count
 * a connection to it.  One that rests after failures is not picked until FailTimeout is over: then
 * one request tries it.  Only where no other is up are those picked as well whose last failure was
 * a refusal, as that costs no time: an application that comes back is found at once.  client is
 * addr_client_key's.  PICKED: *out is the caller's, until backends_release.
 */
enum backends_verdict backends_pick(const struct config *c, const struct config_backend *cb,
    const uint8_t client[16], struct backends_tried *tried, uint64_t now_ms,
    struct backends_address **out);

/* The connection is over; NULL is nothing. */
void backends_release(struct backends_address *a);

/*
 * Behind a response, while the pick is still held: its connection may wait for another request if
 * that is no more than MaxConnections of them, busy and waiting ones together.  True: it is
 * counted as waiting until backends_idle_end (whose argument is the address).
 */
bool backends_idle_begin(struct backends_address *a, const struct config_backend *cb);
void backends_idle_end(void *a);

/*
 * Whether one more connection is too many because of those that wait; for one that waits (an
 * address as backends_idle_end's), by the MaxConnections that it came with.
 */
bool backends_is_crowded(const struct backends_address *a, const struct config_backend *cb);
bool backends_idle_is_too_many(void *a);

/*
 * A worker's pool of connections that wait.  Embedded in its owner, zeroed, with loop, crowded and
 * arg set; known to others from backends_pool_join (again: nothing) until backends_pool_leave,
 * both on its thread.  crowded is called on its thread when somebody needs room that its
 * connections may have.
 */
struct backends_pool {
	struct backends_pool *next;
	struct backends *owner; /* NULL: not known */
	struct loop *loop;	/* borrowed */
	void (*crowded)(void *arg);
	void *arg; /* borrowed */
	struct loop_msg msg;
	bool posted; /* msg is on its way; under the owner's lock */
};
void backends_pool_join(struct backends_pool *p, struct backends_address *a);
void backends_pool_leave(struct backends_pool *p);

/* Call all pools but the one of this loop. */
void backends_call_pools(struct backends_address *a, const struct loop *but);

const struct addr *backends_addr(const struct backends_address *a);

enum backends_outcome {
	BACKENDS_OK,	    /* connected, and an http backend's response head came */
	BACKENDS_REFUSED,   /* failed at once */
	BACKENDS_TIMED_OUT, /* failed after a time-out */
};

/* How it went (MaxFails, FailTimeout of cb); why is for the log, borrowed. */
void backends_report(struct backends_address *a, const struct config_backend *cb,
    enum backends_outcome outcome, const char *why, uint64_t now_ms);

/* ---- for the prober and for whoever shows it */

/* Address i of cb; valid as long as c. */
struct backends_address *backends_get(
    const struct config *c, const struct config_backend *cb, size_t i);

/* What an active check found; a good one ends a rest, too. */
void backends_checked(struct backends_address *a, bool up, const char *why);
/* It is not checked any more: what checks found is forgotten. */
void backends_unchecked(struct backends_address *a);

struct backends_status {
	uint64_t connections;
	unsigned fails; /* in a row */
	bool up;
};
void backends_status(const struct backends_address *a, struct backends_status *out);

/*
 * Whether no address of cb is up.  One whose FailTimeout is over counts as up again: the next
 * request tries it, which nobody would do for whom a balancer waits until it is up.
 */
bool backends_all_down(const struct config *c, const struct config_backend *cb, uint64_t now_ms);

#endif
