/*
 * Opening connections: to a Unix socket, an IP address or a name (looked up
 * without blocking the loop, see io/resolve.h), with a time limit.
 */
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "io/loop.h"

struct resolver;
struct dial;

enum dial_status {
	DIAL_OK,
	DIAL_REFUSED,	/* refused, no such file, no such name, unreachable...: 502 */
	DIAL_TIMEOUT,	/* 504 */
	DIAL_NO_MEMORY, /* also no descriptors left: 503 */
};

/*
 * The outcome, exactly once and never from within dial_start: fd (non-blocking, close-on-exec,
 * TCP_NODELAY on TCP) goes over to the callee with DIAL_OK, else -1 and why, a short text for the
 * log ("Connection refused", "name does not resolve: ..."; borrowed for the call).  The dial is
 * gone when it returns.
 */
typedef void dial_done_fn(void *arg, enum dial_status st, int fd, const char *why);

/*
 * Connect.  A Unix socket whose backlog is full (EAGAIN) is tried again after 5 ms, 10 ms... at
 * most 100 ms until the time is over.  A name's addresses are tried in the resolver's order, each
 * for an equal share of the time that is left, so that one that does not answer leaves time for
 * the next.  timeout_ms UINT64_MAX: none.  to is copied as far as needed; r is asked for ADDR_NAME
 * only (else it may be NULL).
 * packets: a SOCK_SEQPACKET socket (Unix addresses only), else SOCK_STREAM.
 * NULL only without memory.
 */
struct dial *dial_start(struct loop *loop, struct resolver *r, const struct addr *to, bool packets,
    uint64_t timeout_ms, dial_done_fn *done, void *arg);

/*
 * Give up: done is not called any more.  Not from within done; dials are cancelled before
 * loop_free.
 */
void dial_cancel(struct dial *d);

#endif
