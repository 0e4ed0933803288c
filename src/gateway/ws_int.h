/*
 * The inside of a WebSocket, shared by ws.c (life and close handshake),
 * ws_data.c (bytes and frames), ws_raw.c (backends that know no WebSocket) and
 * ws_keepalive.c (timers).  Nobody else includes it.
 */
#ifndef GATEWAY_WS_INT_H
#define GATEWAY_WS_INT_H

#include "codec/ws_msg.h"
#include "gateway/session.h"
#include "gateway/ws.h"
#include "gateway/ws_out.h"

enum ws_mode {
	WS_MODE_ECHO,
	WS_MODE_RELAY,		/* an http backend: frames pass */
	WS_MODE_STREAM,		/* raw backends */
	WS_MODE_LINES,
	WS_MODE_PACKET,
};

enum ws_leg_flag {
	LEG_CLOSE_SENT = 1,	/* our Close is out: nothing may follow it */
	LEG_CLOSE_CAME = 2,	/* the peer's Close came */
	LEG_BROKEN = 4,		/* the reader saw an error: what comes is dropped */
	LEG_AWAIT_PONG = 8,	/* a keep-alive PING is out */
	LEG_PING_DUE = 16,	/* keep-alive is due, but a frame is being passed on */
	LEG_MID_MESSAGE = 32,	/* a message's first fragment was sent to this leg by ws_emit */
	LEG_MID_FRAME = 64,	/* relay: a frame that came from this leg is being passed on */
};

/* Time stamps of a leg: 16 ms units, modulo 2^32 (two years), rounded up. */
#define WS_STAMP_MS 16

struct ws_leg {
	struct stream *s;		/* NULL: none, or over */
	struct ws_reader *in;		/* owned; NULL while it stands between messages */
	uint32_t last_rx;		/* stamp */
	uint32_t keepalive;		/* stamp; AWAIT_PONG: when the PING went out; else the last unsolicited
					 * PONG */
	uint32_t token;			/* of the last PING, added to the gateway's base; 0: none */
	bool is_backend;
	uint8_t flags;
};

struct ws_raw;

struct ws {
	struct session ss;		/* first */
	struct ws_leg client, backend;
	struct loop_timer timer;
	struct ws_raw *raw;		/* owned; raw modes only */
	uint64_t messages_in, messages_out, bytes_in, bytes_out;
	uint64_t close_at_ms;		/* when a close handshake is given up; 0: none runs */
	const char *reason;		/* static; or owned: the peer's close reason */
	uint32_t last_data;		/* stamp */
	uint16_t close_code;		/* for the access line; 0: open */
	uint16_t pending_code;		/* a Close that waits for a frame boundary; 0: none */
	uint8_t closed_by;
	uint8_t mode;
	bool finished;
	bool reason_owned;
};

/* Checked by `make bench` as well: what an idle WebSocket costs above its streams. */
_Static_assert(sizeof(struct ws) <= 248, "struct ws has grown");

static inline struct ws *
ws_of_leg(struct ws_leg *leg)
{
	return leg->is_backend ?
	    (struct ws *)(void *)((char *)leg - offsetof(struct ws, backend)) :
	    (struct ws *)(void *)((char *)leg - offsetof(struct ws, client));
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

/* The time of a stamp of the past, at most 16 ms late. */
static inline uint64_t
ws_stamp_ms(const struct ws *w, uint32_t stamp)
{
	uint64_t now = (ws_now(w) + WS_STAMP_MS - 1) / WS_STAMP_MS;

	return (now - (uint32_t)((uint32_t)now - stamp)) * WS_STAMP_MS;
}

/*
 * Whether a frame of the gateway's own may go out to the leg now. Frames that ws_emit makes are whole, so only the relay
 * has to look.
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
/* Hold the sender while the receiver has not taken what it got. */
void ws_flow(struct ws *w, struct ws_leg *leg);
/*
 * Send a run of a message's payload to the client as a frame of its own: the first of its message has the opcode, the last has FIN.
 * p is borrowed until o is flushed.
 */
void ws_emit(struct ws *w, struct ws_out *o, uint8_t opcode, uint8_t *p, size_t n, bool last);

/* ws_raw.c */
struct ws_raw *ws_raw_new(const struct ws *w);	/* NULL without memory */
void ws_raw_free(struct ws *w);			/* w->raw; NULL is nothing */
/* A data event of the client, payload unmasked; false: w was closed by it. */
bool ws_raw_event(struct ws *w, struct ws_out *o, const struct ws_event *ev);
/* The frame that is being read is bad: what must not look whole is taken back out of o, if it can be. */
void ws_raw_take_back(struct ws *w, struct ws_out *o);
/* Whether the application has got a part of a message whose end will not come. */
bool ws_raw_is_partial(const struct ws *w);
/* A PING of the client; and it took all that waited. */
void ws_raw_answer_ping(struct ws *w, const struct ws_event *ev);
void ws_raw_on_client_room(struct ws *w);
extern const struct stream_events ws_raw_events;	/* of the backend's stream */

/* ws_keepalive.c */
void ws_arm(struct ws *w);
void ws_send_keepalive(struct ws *w, struct ws_leg *leg);
/* Whether it is the answer to our own PING; then it goes no further. */
bool ws_is_own_pong(struct ws *w, struct ws_leg *leg, const struct ws_event *ev);
void ws_on_timer(struct loop_timer *t);

#endif
