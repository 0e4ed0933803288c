/*
 * What the files of a connected socket share: transport.c (its life, and what it waits for),
 * transport_read.c and transport_write.c (bytes).  Nobody else includes this.
 */
#ifndef IO_TRANSPORT_INT_H
#define IO_TRANSPORT_INT_H

#include "io/transport.h"

/*
 * What is wanted, or what is left to read, may have changed: let the kernel, or the loop, come
 * back for it.
 */
void transport_update(struct transport *t);

/*
 * A turn of its own, whatever the kernel has: for what no event tells of, a break or bytes that
 * OpenSSL holds.
 */
void transport_kick(struct transport *t);

/* Tell the owner, unless it knows already. */
void transport_fail(struct transport *t, const char *why);

/* Send what OpenSSL left in the worker's buffer; 0, or -1 when the connection broke. */
int transport_put_tls(struct transport *t);

/* Our FIN, with TLS close_notify before it; nothing is queued. */
void transport_send_fin(struct transport *t);

/* The kernel takes bytes again; the socket, or OpenSSL, may have bytes or the end. */
void transport_on_writable(struct transport *t);
void transport_on_readable(struct transport *t);

#endif
