/*
 * What the files of the HTTP/2 server share: h2_server.c (the connection: bytes in and out,
 * timers, its end), h2_session.c (nghttp2: set-up and callbacks), h2_judge.c (what frames cost),
 * h2_stream.c (the seam's operations, what waits for a stream's user).  Nobody else includes
 * this, but for their tests.
 */
#ifndef HTTP_H2_INT_H
#define HTTP_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "http/h2_budget.h"
#include "http/h2_head.h"
#include "http/h2_out.h"
#include "http/h2_queue.h"
#include "http/h2_scan.h"
#include "http/h2_trailers.h"
#include "http/http_conn.h"

struct h2_server;

/*
 * Closed streams that are remembered, so that frames behind their END_STREAM are seen to be
 * errors.
 */
#define H2_ENDED 8

enum h2_stream_state {
	H2S_HEAD,      /* its head is being collected, or is about to be handed up */
	H2S_REQUEST,   /* a request is being served, or was */
	H2S_WEBSOCKET, /* the bytes are frames */
};

/* What is to be told to a stream's user, or done for it, outside nghttp2. */
enum h2_pending {
	H2P_REQUEST = 1, /* the head is complete */
	H2P_DELIVER = 2, /* bytes wait and nobody holds them */
	H2P_END = 4,	 /* END_STREAM came */
	H2P_ROOM = 8,	 /* all that waited went out */
	H2P_CLOSED = 16, /* nghttp2 has closed it */
};

struct h2_stream {
	/* Of the connection.  First: who frees it later writes there. */
	struct h2_stream *next, **prev;
	struct stream s;
	struct h2_server *h2c;	     /* borrowed: the owner */
	struct h2_stream *pend_next; /* of the connection's list of those with pend */
	struct h2_queue in, out;     /* for the user; for the peer */
	union {
		struct h2_head *head;	/* H2S_HEAD: owned */
		uint64_t response_left; /* H2S_REQUEST with length_known: of the response's body */
		/*
		 * Closed by its user: what is left of it is awaited until then; 0: it is not.
		 * H2S_WEBSOCKET: the peer's END_STREAM; H2S_REQUEST: that it takes more.
		 */
		uint64_t linger_at_ms;
	};
	int32_t id;
	uint32_t error;		/* with closed: of RST_STREAM, or NO_ERROR */
	uint8_t state;		/* enum h2_stream_state */
	uint8_t pend;		/* enum h2_pending bits */
	bool listed : 1;	/* in the pend list */
	bool end_in : 1;	/* END_STREAM came */
	bool no_body_in : 1;	/* with the request's head */
	bool end_told : 1;	/* `end` was called up */
	bool end_out : 1;	/* no more will be written */
	bool end_sent : 1;	/* END_STREAM went out */
	bool closed : 1;	/* nghttp2 has forgotten it */
	bool reset : 1;		/* we have sent, or will send, RST_STREAM */
	bool attached_data : 1; /* nghttp2 asks for its bytes when it may send them */
	bool is_websocket : 1;	/* the request is for one */
	bool is_head : 1;
	bool responded : 1;
	bool length_known : 1; /* of the response */
	bool no_body : 1;      /* the response has none, whatever is written */
};

/* An idle WebSocket has one. */
_Static_assert(sizeof(struct h2_stream) <= 104, "struct h2_stream has grown");

enum h2_state {
	H2_OPEN,
	H2_CLOSING, /* the last GOAWAY is on its way; what comes is dropped */
	H2_LINGER,  /* our FIN is out too */
	H2_DEAD,    /* freed at the turn's end */
};

enum h2_goaway {
	H2_GOAWAY_NONE,
	H2_GOAWAY_NOTICE, /* "no new streams soon" (2^31-1) is out */
	H2_GOAWAY_FINAL,  /* the last stream's id is told */
};

/* Payload of one stream that came in pieces, put together in the memory that it came in. */
struct h2_run {
	struct h2_stream *s; /* NULL: none */
	uint8_t *p;
	size_t n;
};

struct h2_server {
	struct http_conn c;    /* first */
	nghttp2_session *ng;   /* owned */
	struct loop_task task; /* what is pending, then the flush */
	struct loop_timer timer;
	struct h2_stream *streams; /* owned: all */
	struct h2_stream *pend_first, **pend_tail;
	struct h2_trailers *trailers; /* owned: those that wait */
	struct h2_run run, chunk;     /* within h2_feed only */
	struct h2_scan scan;
	size_t judged;	    /* bytes that the scan is ahead of nghttp2; within h2_feed */
	struct h2_out *out; /* within the flush only */
	size_t n_streams;   /* that nghttp2 has open */
	struct h2_bucket resets, glitches, window_updates;
	uint64_t first_at_ms;  /* the first request must be there; 0: it is */
	uint64_t head_at_ms;   /* the header block that comes in must be complete; 0: none does */
	uint64_t idle_at_ms;   /* end without streams; 0: there are some; CONFIG_NEVER */
	uint64_t stall_at_ms;  /* end when nothing of what is queued was taken; 0: nothing is */
	uint64_t goaway_at_ms; /* NOTICE: send the final one; 0: not now */
	uint64_t linger_at_ms; /* the earliest of the streams', or the connection's; 0: none */
	size_t stalled_bytes;
	uint32_t window; /* a stream's initial window */
	uint32_t flushed_turn;
	uint32_t fatal;	     /* code of h2_fatal; 0: none */
	uint32_t raw_goaway; /* with raw: nghttp2 cannot say it any more */
	int32_t last_id;     /* the highest stream so far */
	/* The ids that were passed over last: they are closed (RFC 9113 5.1.1). */
	int32_t gap_first, gap_last;
	int32_t ended[H2_ENDED]; /* streams that the client has ended and that are closed: a ring */
	uint8_t ended_next;
	uint8_t state, goaway;
	uint8_t continuations; /* CONTINUATION frames in a row */
	bool raw, told, greeted;
	/* nghttp2 ran out of memory where it then frees something twice: it is left alone. */
	bool ng_broken;
	char why[96]; /* the first error, for the log */
};

/* h2_server.c */

void h2_dirty(struct h2_server *h2c); /* the task runs at the turn's end */
void h2_arm(struct h2_server *h2c);   /* the timer, after one of the times changed */

/*
 * End the connection: GOAWAY with this code, every stream is reset.  why is for the log; told
 * once, as the client's fault if code is not NO_ERROR.  Not from within nghttp2's callbacks.
 */
void h2_terminate(struct h2_server *h2c, uint32_t code, const char *why);

/*
 * From within nghttp2's callbacks: the same, as soon as they are over.  The callback returns what
 * this returns.
 */
int h2_fatal(struct h2_server *h2c, uint32_t code, const char *why);

/* Send the last GOAWAY of a graceful end; new streams are not looked at any more. */
void h2_goaway_final(struct h2_server *h2c);

/* h2_judge.c: each returns 0, or what h2_fatal does when the client's budget is used up */

/* Look at the frames that begin in p[0..n), before nghttp2 does. */
int h2_judge(struct h2_server *h2c, const uint8_t *p, size_t n);

/* A stream was reset by the client, or by us because of an error of the client's. */
int h2_count_reset(struct h2_server *h2c, const char *why);

/* n frames that are of no use. */
int h2_count_glitch(struct h2_server *h2c, uint32_t n, const char *why);

/* h2_session.c */

int h2_session_start(struct h2_server *h2c, struct loop *loop); /* 0, or -1 without memory */

/*
 * Our first frame, on its way out (frame[0..n), with H2_GREETING_ROOM behind it), is nghttp2's
 * SETTINGS: add MAX_CONCURRENT_STREAMS to it.  nghttp2 does not know of the limit, since for a
 * stream too many it would end the connection where RFC 9113 5.1.2 wants a stream error.  The new
 * length.
 */
#define H2_GREETING_ROOM 6
size_t h2_session_greeting(const struct h2_server *h2c, uint8_t *frame, size_t n);

/*
 * Hand p[0..n) (writable) to nghttp2: bytes that were taken, or a negative nghttp2 error.  May
 * stop early, with a chunk.
 */
ssize_t h2_session_recv(struct h2_server *h2c, const uint8_t *p, size_t n);

/* Let nghttp2 send to the stream what stands in its queue, and its end. */
void h2_session_resume(struct h2_stream *h2s);
void h2_session_reset(struct h2_stream *h2s, uint32_t code);

/*
 * The head of a response; clean: the fields are the gateway's own, and none is one that may not
 * go.  0 or -1.
 */
int h2_session_respond(struct h2_stream *h2s, unsigned status, const struct http_field *field,
    size_t n_fields, bool clean, const uint64_t *content_length, bool end);

/* The head of an interim response.  0 or -1. */
int h2_session_inform(
    struct h2_stream *h2s, unsigned status, const struct http_field *field, size_t n_fields);

/* Give n bytes of window back. */
void h2_session_consume(struct h2_stream *h2s, size_t n);

/* h2_stream.c */

struct h2_stream *h2_stream_new(struct h2_server *h2c, int32_t id);
void h2_pend(struct h2_stream *h2s, enum h2_pending what);
void h2_process(struct h2_server *h2c);	    /* everything that is pending */
void h2_deliver_run(struct h2_server *h2c); /* the run goes to its stream */

/* Tell all users. */
void h2_streams_reset(struct h2_server *h2c, enum stream_error e, const char *why);
void h2_streams_free(struct h2_server *h2c);

/*
 * A request's stream whose user is gone: the peer has an idle connection's time to take more of
 * what waits.
 */
void h2_stream_flushes(struct h2_stream *h2s);

/* Reset those whose time is over. */
void h2_streams_linger(struct h2_server *h2c, uint64_t now_ms);

#endif
