/*
 * Where idle sockets wait without a struct event: an epoll set of the loop's own, which libevent
 * watches as one descriptor.  A socket starts here and costs no memory but its owner's; when it gets busy it becomes libevent's
 * (io/transport.c says when), so that the busy path has one epoll_wait a turn, and comes back when it was silent for a while.
 * libevent keeps some bytes for ever for each descriptor number that it once had: most never get there.
 * Internal to io/; the loop's thread.
 */
#ifndef IO_PARK_H
#define IO_PARK_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct park;

/* A sweep comes this often; what no event touched since the one before is parked. */
#define PARK_SWEEP_MS 2000

/* Embedded in what a socket needs while it is libevent's. */
struct park_entry {
	struct park_entry *next, **prev;	/* of those */
	bool touched;				/* an event came since the last sweep */
};

/* Called in a sweep for an entry that was not touched: park it (park_sleep, park_unwatch) or leave it. */
typedef void park_idle_fn(struct park_entry *e);
/* Called when a parked socket has something: arg as given to park_sleep, still in the set. */
typedef void park_ready_fn(void *arg);

struct park *park_new(struct loop *l, size_t entry_bytes, park_idle_fn *idle,
    park_ready_fn *ready);	/* NULL: errno */
void park_free(struct park *p);

/*
 * An object of entry_bytes that begins with a struct park_entry: out of the loop's slabs or, without memory, the
 * one that the set keeps for this (a connection that breaks for want of memory must still be told so). NULL when that is
 * out as well.  park_put gives it back at the turn's end.
 */
void *park_get(struct park *p);
void park_put(struct park *p, void *entry);

void park_watch(struct park *p, struct park_entry *e);
void park_unwatch(struct park_entry *e);

/* Put a descriptor into the set, which waits for input; 0 or -1 with errno. */
int park_sleep(struct park *p, int fd, void *arg);
/* The descriptor is in the set: its argument becomes arg; 0 or -1 with errno. */
int park_move(struct park *p, int fd, void *arg);
/* Take it out again.  Closing it does so, too. */
void park_wake(struct park *p, int fd);

/* What the timer does; for tests as well. */
void park_sweep(struct park *p);

#endif
