/*
 * One HTTP/1.1 connection to a backend (RFC 9112 client side): one request,
 * its response, or after a 101 a WebSocket's bytes (RFC 6455 4.1).
 */
#ifndef HTTP_H1_CLIENT_H
#define HTTP_H1_CLIENT_H

#include "http/stream.h"

struct transport;

/* A request to send.  All spans are borrowed for the call; none may hold CR, LF or NUL (checked). */
struct h1_request {
	struct span method;
	struct span path;		/* as the client sent it */
	struct span query;		/* p NULL: none */
	struct span authority;		/* Host */
	/* End-to-end fields: no Host, no framing, none of the handshake's own (refused). */
	const struct http_field *field;
	size_t n_fields;
	/* Upgrade, Connection, Sec-WebSocket-Key and -Version are added; the answer's status,
	 * Upgrade, Connection and Accept are checked. */
	bool websocket;
};

/*
 * Start on a connected fd (ownership goes over, also on failure) and send the request.  The response
 * (event `response`) must have come within response_timeout_ms, else reset with STREAM_E_TIMEOUT.  1xx other than
 * 101 are passed over.  A broken response is reset with STREAM_E_PROTOCOL and a text that says which check
 * failed ("backend's Sec-WebSocket-Accept is wrong").  With websocket and a status other than 101 the response's body comes as
 * bytes (chunked coding taken off) and end; a body cut short is reset, never end.  After 101, bytes behind the head
 * come as bytes right after `response` returned, unless held.  The stream starts without holds; attach follows: ev and user
 * are set here.  NULL without memory or when a span is not clean (*why set).
 */
struct stream *h1_client_start(struct loop *loop, int fd, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why);

/*
 * The same on a transport whose handshake is over (also with TLS): it is moved out of, or closed on failure.
 */
struct stream *h1_client_start_on(struct transport *from, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why);

#endif
