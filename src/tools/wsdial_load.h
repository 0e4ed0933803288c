/*
 * What the files of --load and --opens share: wsdial_load.c (the mode: opening, runs, the end),
 * wsdial_load_ws.c (one WebSocket: frames out and in), wsdial_load_one.c (a connection for each
 * WebSocket) and wsdial_load_h2.c (several on each HTTP/2 connection).  Nobody else includes this.
 *
 * The generator has to cost less than what it measures: frames are made and masked once and for
 * all, answers are compared where they stand, and one read is answered with one write.
 */
#ifndef TOOLS_WSDIAL_LOAD_H
#define TOOLS_WSDIAL_LOAD_H

#include <sys/uio.h>

#include "codec/ws_frame.h"
#include "io/loop.h"
#include "tools/wsdial_deflate.h"
#include "tools/wsdial_mode.h"
#include "tools/wsdial_stats.h"

struct wsdial_input;
struct wsdial_load;
struct wsdial_load_ws;

enum wsdial_load_ws_state {
	WSDIAL_LW_NONE, /* not started, or over */
	WSDIAL_LW_OPENING,
	WSDIAL_LW_OPEN,
	WSDIAL_LW_CLOSING, /* our Close is on its way */
	WSDIAL_LW_CLOSED,  /* both Closes are done: the server ends the connection or stream */
};

/* How WebSockets reach the server. */
struct wsdial_load_carrier {
	/* 0, or -1 without memory.  load->carried is the carrier's. */
	int (*start)(struct wsdial_load *load);
	/* Begin to open: wsdial_load_opened or wsdial_load_fail follow, never from within.  0, or
	 * -1 without memory. */
	int (*open)(struct wsdial_load_ws *ws);
	/* There is something to send: ask wsdial_load_ws_piece. */
	void (*push)(struct wsdial_load_ws *ws);
	/* It is over: nothing is called up any more. */
	void (*leave)(struct wsdial_load_ws *ws);
	void (*free)(struct wsdial_load *load);
};

extern const struct wsdial_load_carrier wsdial_load_one;
extern const struct wsdial_load_carrier wsdial_load_h2;

struct wsdial_load_ws {
	struct wsdial_load *load; /* borrowed */
	void *carried;		  /* the carrier's */
	int32_t id;		  /* the same */
	uint8_t state;		  /* enum wsdial_load_ws_state */
	bool aged;		  /* CLOSED since the last tick */
	bool close_waits;	  /* for a control frame that is half sent */

	/* out */
	uint64_t *sent_us;  /* borrowed: in_flight places, a ring */
	uint32_t first, n;  /* of those that are out */
	uint64_t allowance; /* messages that this run may still send */
	size_t at;	    /* in load->frames: where the next byte stands */
	uint64_t owed;	    /* bytes that are to be sent from there on */
	uint8_t *control;   /* owned: a control frame that goes out at the next boundary; NULL */
	uint8_t control_at, control_n;

	/* in */
	struct ws_frame frame; /* the current one */
	uint64_t left;	       /* payload bytes of it that are to come */
	uint64_t message_n;    /* payload bytes of the current message so far */
	uint8_t raw[WS_HEADER_MAX + WS_CONTROL_MAX]; /* a header, or a control frame's payload */
	uint8_t raw_n;
	bool in_message, compressed;
	struct wsdial_deflate *deflate; /* owned; NULL: not agreed on */

	uint64_t began_us; /* the opening */
};

/* What a run is asked for. */
struct wsdial_load_run {
	uint64_t in_flight, size, duration_ms;
	uint64_t count; /* messages for each WebSocket, at most; UINT64_MAX: any number */
};

enum wsdial_load_phase {
	WSDIAL_LOAD_OPENING,
	WSDIAL_LOAD_READY, /* a line is awaited */
	WSDIAL_LOAD_RUNNING,
	WSDIAL_LOAD_DRAINING, /* the time is over: what is out comes back */
	WSDIAL_LOAD_CLOSING,
};

struct wsdial_load {
	struct wsdial_mode mode;      /* first */
	const struct wsdial_env *env; /* borrowed */
	const struct wsdial_load_carrier *carrier;
	void *carried;		   /* the carrier's */
	struct wsdial_load_ws *ws; /* owned: n of them */
	uint64_t n, started, opened, over;
	struct wsdial_input *input; /* owned; NULL: no --on-input */
	bool input_over;
	struct buf lines;      /* that came, whole ones */
	struct loop_task next; /* to obey one of them */

	uint8_t *message,
	    *payload;		  /* owned: size bytes; what a frame carries, perhaps compressed */
	uint8_t *frames;	  /* owned: whole frames, masked */
	size_t frames_n, frame_n; /* bytes of all, and of one */
	uint64_t *ring;		  /* owned: all WebSockets' sent_us */
	struct buf text;	  /* of an answer that is inflated */
	uint8_t client_bits;	  /* with which the payload was compressed */
	bool deflate;

	struct wsdial_load_run run;
	enum wsdial_load_phase phase;
	struct loop_timer timer; /* the run's end */
	struct loop_timer tick;	 /* once a second */
	uint64_t deadline_ms, heard_ms;
	uint64_t began_us, ended_us;
	uint64_t messages; /* that came back; with --opens WebSockets that were opened */
	uint64_t out;	   /* messages, or openings, that are on their way */
	enum wsdial_status status;
	struct wsdial_agreed agreed; /* of the first one */
	struct wsdial_histogram latency;
};

/* ---- wsdial_load.c, called by the carriers and by wsdial_load_ws.c */

/* The handshake is over. */
void wsdial_load_opened(struct wsdial_load_ws *ws, const struct wsdial_agreed *agreed);

/* It is over in order. */
void wsdial_load_done(struct wsdial_load_ws *ws);

/* It is over, however: the carrier forgets it. */
void wsdial_load_leave(struct wsdial_load_ws *ws);

/* Something went wrong, and all ends; polite: with a Close for each. */
void wsdial_load_fail(struct wsdial_load *load, enum wsdial_status status, bool polite,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A message came back as it has to be. */
void wsdial_load_came(struct wsdial_load_ws *ws, uint64_t now_us);

/* ---- wsdial_load_ws.c */

/* What all send: frames of load->run.size bytes.  0, or -1 without memory. */
int wsdial_load_make_frames(struct wsdial_load *load);
void wsdial_load_free_frames(struct wsdial_load *load);

/* A new handshake begins; and an old one is forgotten. */
void wsdial_load_ws_init(struct wsdial_load_ws *ws);
void wsdial_load_ws_clear(struct wsdial_load_ws *ws);

/* Send n more messages; the carrier is pushed. */
void wsdial_load_ws_send(struct wsdial_load_ws *ws, uint64_t n, uint64_t now_us);

/* Begin the close handshake with 1000. */
void wsdial_load_ws_close(struct wsdial_load_ws *ws);

/* The next bytes to send, at most max of them, borrowed until _sent; false: there are none. */
bool wsdial_load_ws_piece(struct wsdial_load_ws *ws, size_t max, struct iovec *out);
void wsdial_load_ws_sent(struct wsdial_load_ws *ws, size_t n);

/* Bytes came.  The WebSocket may be over afterwards. */
void wsdial_load_ws_take(struct wsdial_load_ws *ws, uint8_t *p, size_t n);

/* The server has ended the connection, or stream; why NULL: in order, by a FIN. */
void wsdial_load_ws_end(struct wsdial_load_ws *ws, const char *why);

#endif
