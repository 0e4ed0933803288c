/*
 * The seam: one stream, whatever carries it.  An HTTP/1.1 connection, an
 * HTTP/2 stream and a connection to a backend look the same from above.
 *
 * The carrier (http/) embeds a struct stream; the user (gateway/) attaches
 * its events and user pointer and calls the stream_* functions down.  Rules:
 *  - Up-calls come from the loop only, never from within a down-call, but
 *    for `budget`.
 *  - Bytes handed up are borrowed until the call returns, and the callee may write into them.
 *  - A stream is over for its user after stream_close or stream_abort, or
 *    after `reset` was called up: nothing is called up any more, and the user forgets
 *    the stream.  (The carrier lives on as long as it needs to: to flush, to
 *    linger, to take the next request.)
 *  - Holds are reason bits: bytes flow up only while no bit is set.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/span.h"
#include "codec/http1.h"
#include "config/config.h"

struct stream;
struct loop;
struct http_conn;

enum stream_hold {
	STREAM_HOLD_PEER = 1,	 /* the other side has not taken what it got */
	STREAM_HOLD_BACKEND = 2, /* the backend is not there yet */
	STREAM_HOLD_RATE = 4,	 /* past the client's rate */
};

enum stream_error {
	STREAM_E_PEER,	   /* reset or gone */
	STREAM_E_REFUSED,  /* backend: could not connect */
	STREAM_E_TIMEOUT,  /* backend: connect or response time-out */
	STREAM_E_PROTOCOL, /* the peer broke the protocol */
	/* a client's body is broken: it gets 400 from below, when nothing was answered */
	STREAM_E_BODY,
	STREAM_E_MEMORY,
	STREAM_E_SHUTDOWN, /* the gateway itself ends */
};

/* What the WebSocket handshake fields of a request say (RFC 6455 4.2.1, RFC 8441 5). */
enum ws_request {
	WS_REQUEST_NONE, /* an ordinary request */
	WS_REQUEST_OK,
	WS_REQUEST_BAD_VERSION, /* Sec-WebSocket-Version is not 13 */
	/* no or a bad key, wrong method or version of HTTP, a body...: 400 */
	WS_REQUEST_BAD,
	WS_REQUEST_FAILED, /* we have no memory for the answer: 500 */
};

/* A request as it comes from a client.  Spans are borrowed for the up-call. */
struct stream_request {
	const struct http_head *head; /* method, authority, path, query, fields */
	enum ws_request ws;
	const char *ws_why; /* static; what is wrong, for the log */
	/* set by the gateway: who a trusted proxy says it is; NULL: the peer */
	const struct sockaddr *client;
};

/*
 * What is known of a client's stream; valid until the next stream_info of any stream on this
 * worker.
 */
struct stream_info {
	const struct config *config; /* the snapshot that the connection came with */
	const struct config_listen *listen;
	uint64_t connection_id;
	uint32_t stream_id; /* of HTTP/2; 0: the connection is the stream */
	const struct sockaddr *client;
	const char *http;	      /* "1.0", "1.1", "2" */
	const char *tls;	      /* "TLSv1.3", NULL in the clear */
	const char *alpn;	      /* "h2"; empty: nothing was agreed on */
	const struct http_conn *conn; /* for http_server_local */
	bool refused;		      /* taken past a limit, to be told so */
	bool counted;		      /* in the limits, by its client */
	bool unannounced;	      /* its PROXY header has not come yet */
};

struct stream_events {
	/*
	 * A backend's final response head has come (for a WebSocket request: 101 with every check
	 * passed, or any other status).  Client-side carriers only.
	 */
	void (*response)(struct stream *s, const struct http_head *h);
	/*
	 * An interim response's head came (1xx but 101); client-side carriers only.  NULL: nobody
	 * cares.
	 */
	void (*interim)(struct stream *s, const struct http_head *h);
	/* Payload: body bytes, or the WebSocket's bytes. */
	void (*bytes)(struct stream *s, uint8_t *p, size_t n);
	/* stream_queued has fallen to 0 after bytes had to wait. */
	void (*room)(struct stream *s);
	/*
	 * Trailer fields came behind the body (RFC 9110 6.5), borrowed for the call; `end`
	 * follows.  Only those that may stand there (http_trailer_allowed).  NULL: they are
	 * dropped.
	 */
	void (*trailers)(struct stream *s, const struct http_field *field, size_t n_fields);
	/* The peer has sent its last byte (FIN, END_STREAM, the body's end). */
	void (*end)(struct stream *s);
	/*
	 * Server side: the client has ended its side behind a complete request, and most likely
	 * left.  The response can still be sent.  NULL: it is.
	 */
	void (*gone)(struct stream *s);
	/*
	 * The stream is broken and gone; why is for the log (borrowed for the call).  Nothing
	 * follows.
	 */
	void (*reset)(struct stream *s, enum stream_error e, const char *why);
	/*
	 * Client-side carriers only: a head as it was sent (then also from within the start), or
	 * as it came, whatever is wrong with it; HTTP/2's as lines.  For people who look for an
	 * error; NULL: nobody does.
	 */
	void (*trace)(struct stream *s, bool sent, struct span head);
	/*
	 * How many bytes the user can take now, at most; 0 is as good as a hold, and bytes come
	 * again after the next stream_release.  NULL: any number.
	 */
	size_t (*budget)(struct stream *s);
};

/* A response to send. */
struct stream_response {
	unsigned status;
	struct span reason; /* empty: the standard phrase */
	/* end-to-end fields without framing; borrowed for the call */
	const struct http_field *field;
	size_t n_fields;
	/*
	 * empty, or the same fields, well-formed, end-to-end and without a Date, as lines that end
	 * in CRLF each: HTTP/1.1 puts them as they are
	 */
	struct span lines;
	enum http_body body; /* NONE, LENGTH, or EOF for a length not known */
	/* with LENGTH; for HEAD and 304 it is announced, not sent */
	uint64_t content_length;
	bool close; /* end the connection after it (400, 408) */
};

struct stream_ops {
	int (*respond)(struct stream *s, const struct stream_response *r);
	int (*inform)(
	    struct stream *s, unsigned status, const struct http_field *field, size_t n_fields);
	int (*accept)(struct stream *s, const struct http_field *field, size_t n_fields);
	int (*write)(struct stream *s, const struct iovec *iov, int n);
	/* NULL: write, then end */
	int (*write_end)(struct stream *s, const struct iovec *iov, int n);
	/* NULL: EOPNOTSUPP */
	ssize_t (*send_file)(struct stream *s, int fd, uint64_t off, size_t n);
	void (*trailers)(struct stream *s, const struct http_field *field, size_t n_fields);
	void (*end)(struct stream *s);
	void (*close)(struct stream *s, uint64_t linger_ms);
	void (*abort)(struct stream *s);
	void (*flow)(struct stream *s); /* holds became none, or some */
	size_t (*queued)(const struct stream *s);
	size_t (*piece)(const struct stream *s); /* NULL: any number */
	const struct stream_info *(*info)(const struct stream *s);
};

struct stream {
	const struct stream_ops *ops;	/* static */
	const struct stream_events *ev; /* static; NULL while nobody is attached */
	void *user;			/* the user's; borrowed */
	uint8_t holds;			/* enum stream_hold bits */
	uint8_t carrier_state;		/* the carrier's own, in what would be padding */
	bool carrier_eof;		/* the peer's FIN came */
	/* The same, of an HTTP/1.1 connection to a backend. */
	uint8_t carrier_out;	   /* what may still be written */
	uint8_t carrier_keep_s;	   /* how long it is kept, as the backend says */
	bool carrier_answered : 1; /* a byte of a response came */
	/* both sides want it to live on behind the response */
	bool carrier_keep : 1;
};

static inline void
stream_attach(struct stream *s, const struct stream_events *ev, void *user)
{
	s->ev = ev;
	s->user = user;
}

/*
 * Server side: send a response head (and let body bytes follow with stream_write, then stream_end).
 * 0; -1 when the stream is broken (a reset comes from the loop).
 */
static inline int
stream_respond(struct stream *s, const struct stream_response *r)
{
	return s->ops->respond(s, r);
}

/*
 * Server side: send an interim response (1xx but 101, RFC 9110 15.2) before the final one; fields
 * as with it.  0; -1 when it cannot be sent any more, or not to this client, which is no harm.
 */
static inline int
stream_inform(struct stream *s, unsigned status, const struct http_field *field, size_t n_fields)
{
	return s->ops->inform != NULL ? s->ops->inform(s, status, field, n_fields) : -1;
}

/* Server side: accept a WebSocket request (101 with Sec-WebSocket-Accept, or 200); fields:
 * Sec-WebSocket-Protocol and the like.  Same returns.  From then on bytes are frames. */
static inline int
stream_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	return s->ops->accept(s, field, n_fields);
}

/*
 * Send payload: at once, what is refused waits in a queue of the carrier.  Bytes are borrowed for
 * the call.  0, or -1 when the stream is broken (a reset comes from the loop).
 */
static inline int
stream_write(struct stream *s, const struct iovec *iov, int n)
{
	return s->ops->write(s, iov, n);
}

/* No more is written: the body's end, a FIN, END_STREAM, behind what waits. */
static inline void
stream_end(struct stream *s)
{
	s->ops->end(s);
}

/*
 * stream_write and then stream_end: both leave in one piece if they can.  Returns as stream_write.
 */
static inline int
stream_write_end(struct stream *s, const struct iovec *iov, int n)
{
	int ret;

	if (s->ops->write_end != NULL)
		return s->ops->write_end(s, iov, n);
	ret = s->ops->write(s, iov, n);
	s->ops->end(s);
	return ret;
}

/*
 * The same with these fields behind the body (RFC 9110 6.5), borrowed for the call.  Where the
 * message has no place for them (a length that was told or no body at all over HTTP/1.1, HTTP/1.0,
 * a WebSocket) they are dropped.
 */
static inline void
stream_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	if (s->ops->trailers != NULL)
		s->ops->trailers(s, field, n_fields);
	else
		s->ops->end(s);
}

/*
 * The user is done with the stream; what was written is still delivered and the end is sent if it
 * was not.  A response that is not complete is broken off.  The carrier reads on and drops what
 * comes for at most linger_ms, so that the peer sees the last bytes and not a RST; 0: the peer has
 * said that nothing more will come.
 */
static inline void
stream_close(struct stream *s, uint64_t linger_ms)
{
	s->ev = NULL;
	s->user = NULL;
	s->ops->close(s, linger_ms);
}

/* Drop the stream now, without an end (a RST, RST_STREAM CANCEL). */
static inline void
stream_abort(struct stream *s)
{
	s->ev = NULL;
	s->user = NULL;
	s->ops->abort(s);
}

static inline void
stream_hold(struct stream *s, enum stream_hold why)
{
	uint8_t had = s->holds;

	s->holds |= (uint8_t)why;
	if (had == 0)
		s->ops->flow(s);
}

static inline void
stream_release(struct stream *s, enum stream_hold why)
{
	uint8_t had = s->holds;

	s->holds &= (uint8_t)~why;
	if (had != 0 && s->holds == 0)
		s->ops->flow(s);
}

/* Bytes written that the kernel (or the peer's window) has not taken yet. */
static inline size_t
stream_queued(const struct stream *s)
{
	return s->ops->queued(s);
}

/*
 * Server side: write n bytes (at least 1) of an open file from offset off without reading them, as
 * far as the kernel takes them now; the offset of fd is neither used nor changed.  Returns how
 * many were sent: fewer than n, 0 too, where it takes no more, and `room` does not tell when it
 * does: write something.  -1: errno EOPNOTSUPP when this carrier or this file cannot do it (read
 * it and write), ENODATA when the file ends there, or else the stream is broken, as with
 * stream_write.
 */
static inline ssize_t
stream_send_file(struct stream *s, int fd, uint64_t off, size_t n)
{
	if (s->ops->send_file != NULL)
		return s->ops->send_file(s, fd, off, n);
	errno = EOPNOTSUPP;
	return -1;
}

/*
 * How much is best written at once by who could write any amount (a file, a body that is passed
 * on): many streams of one connection share what may wait in memory for a peer that does not read.
 */
static inline size_t
stream_piece(const struct stream *s)
{
	return s->ops->piece != NULL ? s->ops->piece(s) : SIZE_MAX;
}

/* Server side only. */
static inline const struct stream_info *
stream_info(const struct stream *s)
{
	return s->ops->info(s);
}

#endif
