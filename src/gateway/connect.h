/*
 * A connection to one of the addresses of a route's backend: picks one (gateway/backends.h),
 * connects, and goes on to the next when that fails, each within ConnectTimeout.
 * Internal to gateway/.
 */
#ifndef GATEWAY_CONNECT_H
#define GATEWAY_CONNECT_H

#include "gateway/session.h"

struct announce;
struct dial;

/*
 * A connected fd, which goes over; or -1 when no address is left: then kind and why say how to
 * answer.  From the loop, never from within connect_next.
 */
typedef void connect_done_fn(void *arg, int fd);

/* Embedded; zeroed before connect_init. */
struct connect {
	struct session *ss;	   /* borrowed; its `backend` is the address that is tried */
	struct dial *dial;	   /* owned while connecting */
	struct announce *announce; /* owned; what each connection begins with; NULL: nothing */
	connect_done_fn *done;
	void *arg;	  /* borrowed */
	uint64_t dial_us; /* when the address began to be tried (clock_mono_us) */
	struct backends_tried tried;
	uint8_t client[16]; /* addr_client_key */
	enum reply kind;    /* why the last address failed */
	char why[120];	    /* the same for the log; "" while none has failed */
};

/* For the request r of ss, whose route has a backend. */
void connect_init(struct connect *c, struct session *ss, const struct stream_request *r,
    connect_done_fn *done, void *arg);

/*
 * Try the next address: true, and done is called later; false: none is left, which kind and why
 * tell (502 down or refused, 503 full, 504 timed out, 500 without memory).  Its two halves: pick
 * the address; connect to the one that was picked, and to the next when that fails.
 */
bool connect_next(struct connect *c);
bool connect_pick(struct connect *c);
bool connect_dial(struct connect *c);

/* The connection was of use: the address is up. */
void connect_succeeded(struct connect *c);

/* It broke before that: counted against the address; connect_next may follow. */
void connect_failed(struct connect *c, enum stream_error e, const char *why);

/*
 * A connection to the picked address that waited is used, and none is dialled: for the count only.
 */
void connect_reused(struct connect *c);

/* done is not called any more, and nothing is owned. */
void connect_cancel(struct connect *c);

#endif
