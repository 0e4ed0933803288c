/*
 * The answers that the gateway gives by itself: status by the carrier's version (INTERFACE.md
 * "What a client gets"), fields that go with it, and a short text body.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "http/stream.h"

enum reply {
	REPLY_LAST,	      /* 200 to OPTIONS that is to go no further */
	REPLY_BAD_REQUEST,    /* 400 */
	REPLY_ORIGIN_REFUSED, /* 403 */
	REPLY_FORBIDDEN,      /* 403: static file that may not be read */
	REPLY_NO_ROUTE,	      /* 404 */
	REPLY_NOT_FOUND,      /* 404: no such file */
	REPLY_METHOD,	      /* 405 with Allow: GET, HEAD */
	REPLY_NOT_WEBSOCKET,  /* 426 with Upgrade: websocket; HTTP/2: 400 */
	REPLY_WS_VERSION, /* 426 with Sec-WebSocket-Version: 13; HTTP/2: 400 with the same field */
	REPLY_WS_BAD,	  /* 400 and the connection is closed */
	REPLY_REQUEST_TIMEOUT, /* 408 and the connection is closed */
	REPLY_TOO_MANY,	       /* 429 */
	REPLY_INTERNAL,	       /* 500 */
	REPLY_NOT_IMPLEMENTED, /* 501 */
	REPLY_BAD_GATEWAY,     /* 502 */
	REPLY_UNAVAILABLE,     /* 503 with Retry-After */
	REPLY_GATEWAY_TIMEOUT, /* 504 */
};

const char *reply_reason(unsigned status); /* the standard phrase; "" when unknown */

/* The status that goes with it, by the version that the stream's client speaks. */
unsigned reply_status(const struct stream *s, enum reply r);

/*
 * Answer and close the stream (stream_close).  why goes into the body, as one plain line. head:
 * the request was a HEAD.  The last thing that is done with a request: its connection may go at
 * once, and the snapshot with it.
 */
void reply_send(struct stream *s, enum reply r, bool head, const char *why);

#endif
