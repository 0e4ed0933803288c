/*
 * What the files of the HTTP/2 client share: h2_client.c (the connection: bytes in and out, timers,
 * the seam), h2_client_session.c (nghttp2), h2_client_head.c (heads).  Nobody else includes this.
 */
#ifndef HTTP_H2_CLIENT_INT_H
#define HTTP_H2_CLIENT_INT_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "http/h2_client.h"
#include "http/h2_out.h"
#include "http/h2_queue.h"
#include "io/transport.h"

/* Pseudo-header fields and the version, beside a request's own. */
#define H2CL_OWN_FIELDS 6
#define H2CL_FIELDS (HTTP1_MAX_FIELDS + H2CL_OWN_FIELDS)

enum h2cl_state {
	H2CL_SETTINGS, /* the server's SETTINGS are awaited */
	H2CL_HEAD,     /* the request is out */
	H2CL_OPEN,     /* a WebSocket's bytes */
	H2CL_BODY,     /* of a response that is no WebSocket */
	H2CL_ENDED,    /* the peer's end was told; writing may go on */
	H2CL_LINGER,   /* closed by the user: what is queued goes out, what comes is dropped */
	H2CL_DEAD,     /* freed at the turn's end */
};

/* A list of fields, as text: names and values behind one another. */
struct h2cl_fields {
	struct buf text;
	struct {
		uint32_t off, name_n, value_n;
	} v[H2CL_FIELDS];
	size_t n;
};

struct h2_client {
	struct stream s;
	struct transport t;
	nghttp2_session *ng;   /* owned */
	struct loop_task task; /* what is pending, then the flush */
	struct loop_timer timer;
	struct loop_orphan orphan; /* while it lingers */
	uint64_t deadline_ms, linger_ms;
	struct h2_queue in, out; /* for the user; for the peer */
	uint8_t *run;		 /* within a read only: payload that came, in the scratch */
	size_t run_n;
	struct h2_out *gather;	       /* within the flush only */
	struct h2cl_fields request;    /* until it is sent */
	struct h2cl_fields response;   /* until it was handed up */
	int32_t id;		       /* of the stream; -1: not yet */
	uint32_t error;		       /* with closed */
	uint8_t state;		       /* enum h2cl_state */
	bool settings_came, head_came; /* the final head */
	bool head_bad;		       /* it is too large */
	bool end_in, end_out, end_sent;
	bool closed;	    /* nghttp2 has forgotten the stream */
	bool attached_data; /* nghttp2 asks for its bytes when it may send them */
	bool waited;	    /* bytes had to wait: `room` is due when they are out */
	bool going;	    /* the last GOAWAY is on its way */
	bool eof;
	char why[160]; /* why nghttp2 ends the connection */
};

/* h2_client_session.c */

int h2cl_session_start(struct h2_client *c); /* 0, or -1 without memory */

/* Hand what was read to nghttp2; 0, or -1 with c->why. */
int h2cl_session_recv(struct h2_client *c, const uint8_t *p, size_t n);

/* Whether the server takes extended CONNECT (RFC 8441 3). */
bool h2cl_session_has_connect(const struct h2_client *c);

/* The request goes out; 0, or -1 without memory. */
int h2cl_session_request(struct h2_client *c);

/* Let nghttp2 send what stands in the queue, and the end. */
void h2cl_session_resume(struct h2_client *c);

/* h2_client_head.c */

/* Add a field; lower: its name in lower case.  0, or -1: there are too many, or no memory. */
int h2cl_fields_add(struct h2cl_fields *f, struct span name, struct span value, bool lower);
struct span h2cl_fields_name(const struct h2cl_fields *f, size_t i);
struct span h2cl_fields_value(const struct h2cl_fields *f, size_t i);

/* The request's fields, their names in lower case (RFC 9113 8.2).  0, or -1 without memory. */
int h2cl_put_request(struct h2cl_fields *f, const struct h1_request *r, bool https);

/* The response as the head that HTTP/1.1 would have made of it; 0, or -1: it is none. */
int h2cl_make_head(const struct h2cl_fields *f, struct http_head *h);

#endif
