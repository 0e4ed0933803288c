/*
 * The inside of a WebSocket, shared by ws.c (life and close handshake), ws_data.c (bytes and
 * frames), ws_edge.c and ws_edge_rest.c (compression), ws_rate.c (rates), ws_raw.c (backends that
 * know no WebSocket) and ws_keepalive.c (timers).  Nobody else includes it.
 */
#ifndef GATEWAY_WS_INT_H
#define GATEWAY_WS_INT_H

#include "codec/ws_ext.h"
#include "codec/ws_msg.h"
#include "gateway/session.h"
#include "gateway/ws.h"
#include "gateway/ws_out.h"

enum ws_mode {
	WS_MODE_ECHO,
	WS_MODE_RELAY,	/* an http backend: frames pass */
	WS_MODE_STREAM, /* raw backends */
	WS_MODE_LINES,
	WS_MODE_PACKET,
};

enum ws_leg_flag {
	LEG_CLOSE_SENT = 1,   /* our Close is out: nothing may follow it */
	LEG_CLOSE_CAME = 2,   /* the peer's Close came */
	LEG_BROKEN = 4,	      /* the reader saw an error: what comes is dropped */
	LEG_AWAIT_PONG = 8,   /* a keep-alive PING is out */
	LEG_PING_DUE = 16,    /* keep-alive is due, but a frame is being passed on */
	LEG_MID_MESSAGE = 32, /* a message's first fragment was sent to this leg by ws_emit */
	LEG_MID_FRAME = 64,   /* relay: a frame that came from this leg is being passed on */
};

/* Time stamps of a leg: 16 ms units, modulo 2^32 (two years), rounded up. */
#define WS_STAMP_MS 16

struct ws_leg {
	struct stream *s; /* NULL: none, or over */
	union {
		struct ws_reader *in; /* owned; NULL while it stands between messages */
		struct ws_raw *raw;   /* owned; towards a raw backend, which sends no frames */
	};
	uint32_t last_rx; /* stamp */
	union {
		/* stamp; AWAIT_PONG: when the PING went out; else the last unsolicited PONG */
		uint32_t keepalive;
		/* client, once close_at runs: bytes that it had not taken then */
		uint32_t close_queued;
	};
	uint32_t token; /* of the last PING, added to the gateway's base; 0: none */
	bool is_backend;
	uint8_t flags;
};

struct ws_raw;
struct ws_edge;

struct ws {
	struct session ss; /* first */
	struct ws_leg client, backend;
	struct loop_timer timer;
	/* owned; NULL unless the gateway compresses for the client */
	struct ws_edge *edge;
	uint64_t messages_in, messages_out, bytes_in, bytes_out;
	const char *reason; /* static; or owned: the peer's close reason */
	/* stamp: when a close handshake is given up; 0: none runs */
	uint32_t close_at;
	uint16_t pending_code; /* a Close that waits for a frame boundary; 0: none */
	uint8_t mode;
	bool finished : 1;
	bool reason_owned : 1;
	bool passes : 1; /* compressed frames pass: Compression=passthrough */
	/* MessageRate or ByteRate: a struct ws_rate stands behind this one */
	bool limited : 1;
};

/* Checked by `make bench` as well: what an idle WebSocket costs above its streams. */
_Static_assert(sizeof(struct ws) <= 224, "struct ws has grown");

static inline struct ws *
ws_of_leg(struct ws_leg *leg)
{
	return leg->is_backend ? (struct ws *)(void *)((char *)leg - offsetof(struct ws, backend))
			       : (struct ws *)(void *)((char *)leg - offsetof(struct ws, client));
}

/* The leg that takes what comes from this one. */
static inline struct ws_leg *
ws_sink(struct ws *w, struct ws_leg *leg)
{
	return w->mode == WS_MODE_ECHO || leg->is_backend ? &w->client : &w->backend;
}

static inline bool
ws_is_raw(const struct ws *w)
{
	return w->mode >= WS_MODE_STREAM;
}

static inline const struct config_websocket *
ws_config(const struct ws *w)
{
	return &w->ss.route->ws;
}

static inline uint64_t
ws_now(const struct ws *w)
{
	return loop_now_ms(w->ss.gw->env.loop);
}

static inline uint32_t
ws_stamp(const struct ws *w)
{
	return (uint32_t)((ws_now(w) + WS_STAMP_MS - 1) / WS_STAMP_MS);
}

/* The same of a time to come, never 0; in_ms is at most WS_STAMP_AHEAD_MS. */
#define WS_STAMP_AHEAD_MS (2 * 3600 * 1000)
static inline uint32_t
ws_stamp_in(const struct ws *w, uint64_t in_ms)
{
	uint32_t stamp = (uint32_t)((ws_now(w) + in_ms + WS_STAMP_MS - 1) / WS_STAMP_MS);

	return stamp != 0 ? stamp : 1;
}

/* The time of a stamp, at most 16 ms late: of the past, or to come. */
static inline uint64_t
ws_stamp_ms(const struct ws *w, uint32_t stamp)
{
	uint64_t now = (ws_now(w) + WS_STAMP_MS - 1) / WS_STAMP_MS;
	uint32_t ahead = stamp - (uint32_t)now;

	if (ahead <= WS_STAMP_AHEAD_MS / WS_STAMP_MS + 1)
		return (now + ahead) * WS_STAMP_MS;
	return (now - (uint32_t)((uint32_t)now - stamp)) * WS_STAMP_MS;
}

/*
 * Whether a frame of the gateway's own may go out to the leg now. Frames that ws_emit makes are
 * whole, so only the relay has to look.
 */
static inline bool
ws_at_boundary(const struct ws *w, const struct ws_leg *leg)
{
	return w->mode != WS_MODE_RELAY ||
	    ((leg->is_backend ? &w->client : &w->backend)->flags & LEG_MID_FRAME) == 0;
}

/* ws.c: the close handshake.  After each of these w may be finished (w->finished). */
void ws_note_end(struct ws *w, unsigned code, enum session_side by, const char *reason);
void ws_close(struct ws *w, unsigned code, unsigned backend_code, const char *reason);
void ws_closing(struct ws *w);
/* Bytes that wait for the client, at most UINT32_MAX. */
uint32_t ws_client_queued(const struct ws *w);
bool ws_close_done(const struct ws *w);
void ws_backend_lost(struct ws *w, const char *reason);
void ws_protocol_error(struct ws *w, struct ws_leg *leg, unsigned code, const char *why);
void ws_on_close(struct ws *w, struct ws_leg *leg, const struct ws_event *ev);
void ws_on_reset(struct stream *s, enum stream_error e, const char *why);
void ws_leave(struct ws *w, struct ws_leg *leg, bool abort);
void ws_finish(struct ws *w, bool abort_client);

/* Control frames of our own; nothing after a Close. */
uint8_t *ws_mask_for(struct ws *w, const struct ws_leg *leg, uint8_t mask[4]);
void ws_send_control(struct ws *w, struct ws_leg *leg, uint8_t opcode, const void *p, size_t n);
void ws_send_close(struct ws *w, struct ws_leg *leg, unsigned code, const void *reason, size_t n);

/* ws_data.c: the events of a leg whose bytes are frames. */
void ws_on_bytes(struct stream *s, uint8_t *p, size_t n);
void ws_on_room(struct stream *s);
size_t ws_budget(struct stream *s);
/* What came from the leg, or was kept of it.  w may be finished afterwards. */
void ws_take(struct ws *w, struct ws_leg *leg, uint8_t *p, size_t n);
/* Hold the sender while the receiver has not taken what it got. */
void ws_flow(struct ws *w, struct ws_leg *leg);
/*
 * Send a run of a message's payload to the client as a frame of its own: the first of its message
 * has the opcode, the last has FIN.  length is the message's, as far as it is known at its first
 * run.  p is borrowed until o is flushed.
 */
#define WS_LENGTH_UNKNOWN UINT64_MAX
void ws_emit(struct ws *w, struct ws_out *o, uint8_t opcode, uint8_t *p, size_t n, bool last,
    uint64_t length);
/* First header byte of the next frame that is made for the client. */
uint8_t ws_emit_first(struct ws *w, uint8_t opcode, bool last);
/*
 * The route's counters: what an up-call brought of the leg is added once.  Begin and end stand
 * around what may count any number of runs and messages, and may finish w; ws_finish ends it too.
 */
void ws_tally_begin(struct ws *w, const struct ws_leg *leg);
void ws_tally_end(struct ws *w);
/* Payload, and the ends of messages, that came from the leg and goes on. */
void ws_count_data(struct ws *w, const struct ws_leg *leg, size_t n);
void ws_count_messages(struct ws *w, const struct ws_leg *leg, uint64_t n);
/* The client's bytes that ws_edge_wait has kept go on, as far as they can. */
void ws_resume(struct ws *w);

/* ws_edge.c: Compression=edge. */
enum ws_went {	 /* from WS_WAIT on no more bytes are looked at */
	WS_PASS, /* nothing was done: the event goes the usual way */
	WS_GO_ON,
	WS_WAIT, /* the rest of the bytes has to wait: ws_edge_wait */
	WS_HOLD, /* the same, for the client's rate: ws_rate_keep */
	WS_OVER, /* the WebSocket was closed */
};
struct ws_edge *ws_edge_new(struct ws *w, const struct ws_ext *ext); /* NULL without memory */
void ws_edge_free(struct ws *w);				     /* w->edge; NULL is nothing */
/* At the start of ws_pump; goes on with what waited. */
enum ws_went ws_edge_begin(struct ws *w, const struct ws_leg *leg, struct ws_out *o);
/* A data event. */
enum ws_went ws_edge_event(struct ws *w, const struct ws_leg *leg, const struct ws_reader *r,
    struct ws_out *o, const struct ws_event *ev);
/* What was inflated so far goes on; false: w was closed by it. */
bool ws_edge_settle(struct ws *w, const struct ws_leg *leg, struct ws_out *o);
/* Hold the client and keep what is left: of the event's payload, and the n bytes behind it. */
void ws_edge_wait(struct ws *w, struct ws_out *o, const uint8_t *rest, size_t n);
bool ws_edge_waits(const struct ws *w);
/* ws_resume is called from the loop. */
void ws_edge_go_on_soon(struct ws *w);
/* For ws_resume: the bytes behind the payload that waits; and nothing is kept any more. */
uint8_t *ws_edge_kept(const struct ws *w, size_t *n);
void ws_edge_forget(struct ws *w);
/* As ws_emit; false: the message is not compressed, and nothing was done. */
bool ws_edge_emit(struct ws *w, struct ws_out *o, uint8_t opcode, const uint8_t *p, size_t n,
    bool last, uint64_t length);

/* ws_edge_rest.c: put away what is idle.  Called by the connection's timer. */
void ws_edge_rest(struct ws *w, uint64_t now_ms);

/* ws_raw.c */
struct ws_raw *ws_raw_new(const struct ws *w); /* NULL without memory */
void ws_raw_free(struct ws *w);		       /* w->raw; NULL is nothing */
/* A data event of the client, payload unmasked; false: w was closed by it. */
bool ws_raw_event(struct ws *w, struct ws_out *o, const struct ws_event *ev);
/*
 * The frame that is being read is bad: what must not look whole is taken back out of o, if it can
 * be.
 */
void ws_raw_take_back(struct ws *w, struct ws_out *o);
/* Whether the application has got a part of a message whose end will not come. */
bool ws_raw_is_partial(const struct ws *w);
/* A PING of the client; and it took all that waited. */
void ws_raw_answer_ping(struct ws *w, const struct ws_event *ev);
void ws_raw_on_client_room(struct ws *w);
extern const struct stream_events ws_raw_events; /* of the backend's stream */

/* ws_rate.c: MessageRate, ByteRate.  All but the first two only where w->limited, or as said. */
/* bytes behind a struct ws; 0: no limit is set */
size_t ws_rate_size(const struct config_websocket *c);
void ws_rate_init(struct ws *w);
void ws_rate_clear(struct ws *w); /* nothing without a limit */
/* How much of `budget` is read of the client at once; at least 1. */
size_t ws_rate_budget(struct ws *w, size_t budget);
/* Count what came from the client; false: it was too much, and w was closed with 1008. */
bool ws_rate_bytes(struct ws *w, size_t n);
bool ws_rate_message(struct ws *w, struct ws_out *o);
/* wire_n bytes, counted already, have become n. */
bool ws_rate_inflated(struct ws *w, struct ws_out *o, size_t wire_n, size_t n);
/* Whether the client has to wait now; false without a limit. */
bool ws_rate_is_spent(struct ws *w);
/*
 * Read the client no more until it may go on, if it has to wait.  ws_rate_keep: p[0..n) waits as
 * well.
 */
void ws_rate_hold(struct ws *w);
void ws_rate_keep(struct ws *w, const uint8_t *p, size_t n);
/* Go on as far as the rate, the receiver and the inflater let it. */
void ws_rate_go_on(struct ws *w);
/* The client could not send for a while because it was not read: that is made up for. */
void ws_rate_forgive(struct ws *w);
/* A close handshake runs: nothing is held back any more (from the loop). */
void ws_rate_closing(struct ws *w);

/* ws_keepalive.c */
void ws_arm(struct ws *w);
void ws_send_keepalive(struct ws *w, struct ws_leg *leg);
/* Whether it is the answer to our own PING; then it goes no further. */
bool ws_is_own_pong(struct ws *w, struct ws_leg *leg, const struct ws_event *ev);
void ws_on_timer(struct loop_timer *t);

#endif
