/*
 * One HTTP/1.1 connection to a backend (RFC 9112 client side): one request,
 * its body, its response, or after a 101 a WebSocket's bytes (RFC 6455 4.1).
 */
#ifndef HTTP_H1_CLIENT_H
#define HTTP_H1_CLIENT_H

#include "http/stream.h"

struct transport;

/*
 * A request to send.  All spans are borrowed for the call; none may hold CR, LF or NUL (checked).
 */
struct h1_request {
	struct span method;
	struct span path;      /* as the client sent it */
	struct span query;     /* p NULL: none */
	struct span authority; /* Host */
	/* End-to-end fields: no Host, no framing, none of the handshake's own (refused). */
	const struct http_field *field;
	size_t n_fields;
	/* Upgrade, Connection, Sec-WebSocket-Key and -Version are added; the answer's status,
	 * Upgrade, Connection and Accept are checked. */
	bool websocket;
	/*
	 * Bytes that follow with stream_write, and then stream_end; never with websocket.
	 * LENGTH 0 is said too.
	 */
	enum http_body body; /* NONE, LENGTH or CHUNKED */
	uint64_t content_length;
	/*
	 * The client takes trailers: "TE: trailers" is sent (RFC 9110 10.1.4); not with websocket.
	 */
	bool te_trailers;
	/*
	 * The connection may serve another request afterwards: no "Connection: close" is sent.
	 * See h1_client_keep.
	 */
	bool keep;
	/*
	 * Who asks will ask again when a kept connection turns out to have ended: see
	 * h1_pool_start.
	 */
	bool repeatable;
};

/*
 * Start on a connected fd (ownership goes over, also on failure) and send the request.  The
 * response (event `response`) must have come within response_timeout_ms, else reset with
 * STREAM_E_TIMEOUT.  1xx other than 101 come as `interim`.  A broken response is reset with
 * STREAM_E_PROTOCOL and a text that says which check failed ("backend's Sec-WebSocket-Accept is
 * wrong").  With websocket and a status other than 101 the response's body comes as bytes
 * (chunked coding taken off) and end; a body cut short is reset, never end.  After 101, bytes
 * behind the head come as bytes right after `response` returned, unless held.  The stream
 * starts without holds; attach follows: ev and user are set here.  NULL without memory or when
 * a span is not clean (*why set).
 *
 * A request with a body: its bytes are framed here; more or fewer than content_length break the
 * connection.  The response may come, and end, before the body is complete.
 * response_timeout_ms then runs only while the body is complete or the backend does not take
 * it.
 */
struct stream *h1_client_start(struct loop *loop, int fd, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why);

/*
 * The same on a transport whose handshake is over (also with TLS): it is moved out of, or
 * closed on failure.
 */
struct stream *h1_client_start_on(struct transport *from, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why);

/* Whether any byte of a response came; also in and after `reset`, until the turn's end. */
bool h1_client_answered(const struct stream *s);

/*
 * After `end` (also within it): the connection waits for another request, if one may follow on
 * it (RFC 9112 9.3): keep was set, the backend agrees, the request is complete and nothing came
 * behind the response.  Meanwhile only ev's `reset` comes, when its peer leaves or says
 * something.  Else false, and nothing is changed.
 */
bool h1_client_keep(struct stream *s, const struct stream_events *ev, void *user);

/*
 * How long it may wait, so that the backend does not close it first: less than its "Keep-Alive:
 * timeout=" by a fifth, at most a second; unsaid_ms where it said nothing.
 */
uint64_t h1_client_keep_ms(const struct stream *s, uint64_t unsaid_ms);

/*
 * Send another request on a connection that waits, as h1_client_start does.  look: the kernel is
 * asked first whether its peer has closed it or said something that the loop has not told yet.  0,
 * or -1: the connection is no longer good, or there is no memory, or the request is not clean; the
 * stream is over.
 */
int h1_client_again(struct stream *s, const struct h1_request *r, uint64_t response_timeout_ms,
    const struct stream_events *ev, void *user, bool look);

#endif
