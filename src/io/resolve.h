/*
 * Name look-ups by getaddrinfo on one thread of their own, so that hosts files, nsswitch and the
 * like work as administrators expect and no worker waits.  Answers are kept for RESOLVE_CACHE_MS,
 * failures for a second; equal look-ups under way share one call.  Addresses up to
 * RESOLVE_STALE_MS old are answered with at once while they are looked up anew; up to
 * RESOLVE_KEEP_MS old, when that fails.
 */
#ifndef IO_RESOLVE_H
#define IO_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/loop.h"

#define RESOLVE_CACHE_MS 5000
#define RESOLVE_STALE_MS 60000
#define RESOLVE_KEEP_MS 3600000
#define RESOLVE_MAX_ADDRS 8

struct resolver;
struct resolve;

struct resolve_addr {
	socklen_t len;
	struct sockaddr_storage ss;
};

/* On the loop that asked; n == 0: error is a text.  Borrowed for the call. */
typedef void resolve_done_fn(void *arg, const struct resolve_addr *v, size_t n, const char *error);

struct resolver *resolver_new(void);	/* the thread starts at the first look-up */
void resolver_free(struct resolver *r); /* after all loops ended; waits for the thread */

/* Any thread.  NULL only without memory; done is never called from within. */
struct resolve *resolve_start(struct resolver *r, struct loop *loop, const char *name,
    uint16_t port, resolve_done_fn *done, void *arg);
/* On the loop that asked, before done and before loop_free: done is not called any more. */
void resolve_cancel(struct resolve *q);

#endif
