/*
 * permessage-deflate (RFC 7692) of one WebSocket's client: whole messages out, runs of messages in,
 * on the streams of codec/ws_deflate.h.
 */
#ifndef TOOLS_WSDIAL_DEFLATE_H
#define TOOLS_WSDIAL_DEFLATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "codec/ws_deflate.h"
#include "codec/ws_ext.h"

/* Embedded. */
struct wsdial_deflate {
	struct ws_deflate_pool *pool; /* borrowed */
	struct ws_inflate *in;	      /* owned; NULL while none is needed */
	struct ws_deflate *out;	      /* the same */
	struct ws_ext ext;
	bool compresses; /* what is sent; what comes may be compressed anyway */
};

void wsdial_deflate_init(struct wsdial_deflate *d, struct ws_deflate_pool *pool,
    const struct ws_ext *agreed, bool leave_plain);
void wsdial_deflate_clear(struct wsdial_deflate *d);

/* The compressed payload of a message, appended to out.  0, or -1: out is full, or no memory. */
int wsdial_deflate_message(struct wsdial_deflate *d, const void *p, size_t n, struct buf *out);

/*
 * A run of a compressed message's payload, inflated and appended to out; last: it is the message's
 * end.  WS_DEFLATE_OK; WS_DEFLATE_FULL: out is; BAD; NOMEM.
 */
enum ws_deflate_status wsdial_deflate_inflate(
    struct wsdial_deflate *d, const void *p, size_t n, bool last, struct buf *out);

#endif
