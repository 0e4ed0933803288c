/*
 * What the files of the HTTP/1.1 client share: h1_client.c (the state, the
 * payload, the end), h1_client_response.c (the response's head) and
 * h1_client_request.c (the start, the request and its body, what is kept for
 * the next one).  Nobody else includes this.
 */
#ifndef HTTP_H1_CLIENT_INT_H
#define HTTP_H1_CLIENT_INT_H

#include "base/buf.h"
#include "codec/ws_key.h"
#include "http/h1_client.h"
#include "http/h1_client_head.h"
#include "io/transport.h"

enum h1c_state {
	H1C_HEAD,   /* the response's head is awaited */
	H1C_BODY,   /* the response's body is read */
	H1C_OPEN,   /* a WebSocket's bytes, after the 101 */
	H1C_ENDED,  /* the peer's end was told; writing may go on */
	H1C_IDLE,   /* waits for another request; the peer has nothing to say */
	H1C_LINGER, /* closed by the user: what is queued goes out, what comes is dropped */
	H1C_DEAD,   /* freed at the turn's end */
};

/* What the user may still write. */
enum h1c_out {
	H1C_OUT_RAW,	 /* whatever it likes, until its FIN */
	H1C_OUT_LENGTH,	 /* a request's body: x->out_left bytes */
	H1C_OUT_CHUNKED, /* the same, of a length not known */
	H1C_OUT_DONE,	 /* nothing: the request is complete */
};

/* What an open WebSocket does not need. */
struct h1_exchange {
	struct h1_client *h1c;	   /* borrowed: the owner */
	struct loop_timer timer;   /* the response's head, or the linger */
	struct loop_task task;	   /* gives away what was kept */
	struct loop_orphan orphan; /* while it lingers */
	uint64_t deadline_ms;	   /* of the timer */
	uint64_t linger_ms;
	uint64_t body_left; /* HTTP_BODY_LENGTH */
	struct http1_scan scan;
	struct http1_chunked chunked; /* HTTP_BODY_CHUNKED */
	struct buf kept;	      /* an incomplete head; behind it, what was held */
	struct buf trailers;	      /* of the response */
	uint64_t out_left;	      /* of the request's body, H1C_OUT_LENGTH */
	uint64_t timeout_ms;	      /* for the response's head; 0 and CONFIG_NEVER: none */
	enum http_body body;
	uint8_t interim; /* responses before the final one */
	bool websocket, is_head;
	char accept[WS_ACCEPT_N + 1]; /* what the 101 must have */
};

/* Of carrier_keep_s; more than that is as good as the most. */
#define KEEP_UNSAID 255

struct h1_client {
	/* First, as it is overwritten when the struct waits to be freed; owned, may be NULL. */
	struct h1_exchange *x;
	struct stream s; /* carrier_state: enum h1c_state; carrier_out: enum h1c_out */
	struct transport t;
};

/* One for each forwarded WebSocket. */
_Static_assert(sizeof(struct h1_client) <= sizeof(struct transport) + 40, "h1_client is too big");

extern const struct transport_events h1c_transport_events;
extern const struct stream_ops h1c_ops;

/* h1_client.c */

void h1c_set_state(struct h1_client *h1c, enum h1c_state to); /* the only place that changes it */
struct h1_exchange *h1c_exchange_new(struct h1_client *h1c);  /* NULL without memory */
void h1c_arm(struct h1_client *h1c, uint64_t in_ms);	      /* CONFIG_NEVER and 0 are no limit */

/* The end of the connection; nothing is called up.  From here on h1c->x must not be looked at. */
void h1c_destroy(struct h1_client *h1c, bool reset);

/* The stream breaks under its user, who is told, and the connection ends as with h1c_destroy. */
void h1c_fail(struct h1_client *h1c, enum stream_error e, const char *why);
void h1c_fail_protocol(struct h1_client *h1c, const char *why);
void h1c_fail_memory(struct h1_client *h1c);

/*
 * Payload that was read (nothing is kept) goes up, or waits.  It may have ended when this returns.
 */
void h1c_take(struct h1_client *h1c, uint8_t *p, size_t n);

/* h1_client_response.c: in H1C_HEAD something can be read. */

void h1c_read_head(struct h1_client *h1c);

/* h1_client_request.c: the stream's operations, and what the response needs of them. */

int h1c_op_write(struct stream *s, const struct iovec *iov, int n);
void h1c_op_trailers(struct stream *s, const struct http_field *field, size_t n_fields);
void h1c_op_end(struct stream *s);

/* In H1C_ENDED: another request may follow. */
bool h1c_may_keep(const struct h1_client *h1c);
/* In H1C_IDLE: the peer has neither left nor said anything. */
bool h1c_is_quiet(struct h1_client *h1c);

/* The response's time runs only while it is the backend that is waited for. */
void h1c_arm_response(struct h1_client *h1c);

static inline struct h1_client *
h1c_of_stream(const struct stream *s)
{
	return (struct h1_client *)(uintptr_t)((const char *)s - offsetof(struct h1_client, s));
}

#endif
