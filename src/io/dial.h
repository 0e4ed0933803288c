/*
 * Opening connections: to a Unix socket, an IP address or a name (looked up
 * without blocking the loop, see io/resolve.h), with a time limit.
 */
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <stdint.h>

#include "base/addr.h"
#include "io/loop.h"

struct resolver;
struct dial;

enum dial_status {
	DIAL_OK,
	DIAL_REFUSED,	/* refused, no such file, no such name, unreachable...: 502 */
	DIAL_TIMEOUT,	/* 504 */
	DIAL_NO_MEMORY,	/* also no descriptors left: 503 */
};

/*
 * The outcome, exactly once and never from within dial_start: fd (non-blocking, close-on-exec, TCP_NODELAY
 * on TCP) goes over to the callee with DIAL_OK, else -1 and why, a short text for the log ("Connection refused",
 * "name does not resolve: ..."; borrowed for the call).  The dial is gone when it returns.
 */
typedef void dial_done_fn(void *arg, enum dial_status st, int fd, const char *why);

/*
 * Connect.  A Unix socket whose backlog is full (EAGAIN) is tried again after 5 ms, 10 ms... at most
 * 100 ms until the time is over.  A name's addresses are tried in the resolver's order.  to is copied as far as needed.
 * NULL only without memory.
 */
struct dial *dial_start(struct loop *loop, struct resolver *r, const struct addr *to,
    uint64_t timeout_ms, dial_done_fn *done, void *arg);

/* Give up: done is not called any more. */
void dial_cancel(struct dial *d);

#endif
