/*
 * Where idle sockets wait without a struct event: an epoll set of the loop's own, which libevent
 * watches as one descriptor.  A socket that is silent for a while is parked and costs no memory of ours; it is
 * woken by its first byte (or its end) and is libevent's again while it is busy, so that the busy path has one
 * epoll_wait a turn.  Internal to io/; the loop's thread.
 */
#ifndef IO_PARK_H
#define IO_PARK_H

#include <stdbool.h>

struct loop;
struct park;

/* A sweep comes this often; what no event touched since the one before is parked. */
#define PARK_SWEEP_MS 2000

/* Embedded in what a socket needs while it is awake. */
struct park_entry {
	struct park_entry *next, **prev;	/* the awake ones */
	bool touched;				/* an event came since the last sweep */
};

/* Called in a sweep for an entry that was not touched: park it (park_sleep, park_unwatch) or leave it. */
typedef void park_idle_fn(struct park_entry *e);
/* Called when a parked socket has something: arg as given to park_sleep, still in the set. */
typedef void park_ready_fn(void *arg);

struct park *park_new(struct loop *l, park_idle_fn *idle, park_ready_fn *ready);	/* NULL: errno */
void park_free(struct park *p);

void park_watch(struct park *p, struct park_entry *e);
void park_unwatch(struct park_entry *e);

/* Put a descriptor into the set, which waits for input; 0 or -1 with errno. */
int park_sleep(struct park *p, int fd, void *arg);
/* Take it out again.  Closing it does so, too. */
void park_wake(struct park *p, int fd);

/* What the timer does; for tests as well. */
void park_sweep(struct park *p);

#endif
