/*
 * What the files of a connected socket share: transport.c (its life, and what it waits for),
 * transport_read.c and transport_write.c (bytes).  Nobody else includes this.
 */
#ifndef IO_TRANSPORT_INT_H
#define IO_TRANSPORT_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "io/park.h"
#include "io/transport.h"

/* What a socket needs while it is warm. */
struct transport_io {
	struct park_entry park; /* first */
	struct event ev;
};

/* Let the event wait for exactly what is wanted now. */
void transport_update(struct transport *t);

/*
 * Call transport_on_readable from the loop, whatever the kernel has: no event tells of a break,
 * or of bytes that OpenSSL holds.
 */
void transport_kick(struct transport *t);

/* Tell the owner, unless it knows already. */
void transport_fail(struct transport *t, const char *why);

/* Send what OpenSSL left in the worker's buffer; 0, or -1 when the connection broke. */
int transport_put_tls(struct transport *t);

/* Our FIN, with TLS close_notify before it; nothing is queued. */
void transport_send_fin(struct transport *t);

/* The kernel takes bytes again; the kernel has bytes, or the end. */
void transport_on_writable(struct transport *t);
void transport_on_readable(struct transport *t);

#endif
