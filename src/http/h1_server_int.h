/*
 * What the files of the HTTP/1.1 server share: h1_server.c (the states, bytes as they come, the
 * end), h1_server_request.c (heads and bodies of requests) and h1_server_response.c (the stream's
 * operations: all that goes to the client).  Nobody else includes this.
 */
#ifndef HTTP_H1_SERVER_INT_H
#define HTTP_H1_SERVER_INT_H

#include "base/buf.h"
#include "codec/ws_key.h"
#include "http/http_conn.h"

enum h1_state {
	H1_HEAD,      /* between requests, or a head is incomplete */
	H1_REQUEST,   /* a request is being served */
	H1_WEBSOCKET, /* the bytes are frames */
	H1_LINGER,    /* our FIN is out; what comes is dropped */
	H1_DEAD,      /* closed; freed at the turn's end */
};

/* What HTTP needs and a WebSocket does not. */
struct h1_http {
	struct loop_timer timer; /* head, idle, what waits for the client, linger: by the state */
	struct loop_task task;	 /* flush the head, next request, deliver the stash */
	struct h1_server *h1c;	 /* borrowed: the owner */
	struct http1_scan scan;
	struct buf stash;	      /* an incomplete head, or bytes that wait */
	struct buf out;		      /* response head that waits for its first body bytes */
	struct buf trailers;	      /* of the request, until all of them are there */
	uint64_t body_left;	      /* request body, HTTP_BODY_LENGTH */
	struct http1_chunked chunked; /* request body, HTTP_BODY_CHUNKED */
	uint64_t response_left;	      /* response body, HTTP_BODY_LENGTH */
	uint64_t linger_ms;	      /* once nothing waits any more, H1_LINGER */
	size_t queued;		      /* what waited when the timer was armed, if flushing */
	enum http_body body;	      /* NONE once the request's body is over */
	enum http_body response_body; /* as framed: CHUNKED for an unknown length in 1.1 */
	char accept[WS_ACCEPT_N + 1];
	bool first;   /* no request came yet */
	bool started; /* bytes of the next head came */
	bool keep_alive, is_head, is_websocket, minor0;
	bool responded, response_done, no_body, released, next_wanted;
	bool expects; /* 100 (Continue) is awaited: the body may never come */
	/* the end of a response, or of a WebSocket, waits for the client to take it */
	bool flushing;
	/*
	 * of linger_ms that are left to the end of a WebSocket, as long as the client takes some
	 * in each
	 */
	uint8_t steps;
};

struct h1_server {
	struct http_conn c; /* first */
	struct stream s;
	struct h1_http *http; /* owned; NULL for an open WebSocket */
};

extern const struct stream_ops h1_ops;

static inline struct h1_server *
h1_of_stream(const struct stream *s)
{
	return (struct h1_server *)(uintptr_t)((const char *)s - offsetof(struct h1_server, s));
}

/* h1_server.c */

void h1_set_state(struct h1_server *h1c, enum h1_state to); /* the only place that changes it */

/* The timer of what HTTP needs; CONFIG_NEVER stops it. */
void h1_arm(struct h1_server *h1c, uint64_t in_ms);

/* At the turn's end: the head goes out, the next request or the stash is looked at. */
void h1_later(struct h1_server *h1c);

/* The end of a connection; nothing is called up but `closed`.  reset: the peer sees a RST. */
void h1_destroy(struct h1_server *h1c, bool reset);

/* The stream breaks under its user, or the connection under nobody; why is for the log. */
void h1_fail(struct h1_server *h1c, enum stream_error e, const char *why);

/* HTTP's memory goes away, with what waited in it; a second time does nothing. */
void h1_http_free(struct h1_server *h1c);

/* Send what is left and our FIN, then drop what comes until the peer ends too, or for linger_ms. */
void h1_linger(struct h1_server *h1c, uint64_t linger_ms);

/* h1_server_request.c: takes of writable bytes p[0..n), n > 0; returns how many were taken. */

size_t h1_feed_head(struct h1_server *h1c, uint8_t *p, size_t n);
size_t h1_feed_body(struct h1_server *h1c, uint8_t *p, size_t n);

/* Refuse what never became a request: an answer, and the end of the connection; why is static. */
void h1_refuse(struct h1_server *h1c, unsigned status, const char *why);

/* h1_server_response.c */

/* Send a response head that no body bytes took along. */
void h1_flush_head(struct h1_server *h1c);

#endif
