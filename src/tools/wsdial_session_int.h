/*
 * The inside of a session, shared by wsdial_session.c (its life, what is sent) and wsdial_receive.c
 * (what comes).  Nobody else includes it.
 */
#ifndef TOOLS_WSDIAL_SESSION_INT_H
#define TOOLS_WSDIAL_SESSION_INT_H

#include "base/buf.h"
#include "codec/ws_msg.h"
#include "io/loop.h"
#include "tools/wsdial_deflate.h"
#include "tools/wsdial_keepalive.h"
#include "tools/wsdial_session.h"

enum wsdial_session_phase {
	WSDIAL_SS_CONNECTING,
	WSDIAL_SS_OPEN,
	WSDIAL_SS_CLOSING,
	WSDIAL_SS_ENDING,
	WSDIAL_SS_OVER,
};

struct wsdial_session {
	const struct wsdial_env *env; /* borrowed */
	const struct wsdial_session_events *ev;
	void *user;		   /* borrowed */
	struct wsdial_connect *wc; /* owned; NULL once connected */
	struct stream *s;	   /* ref; NULL: not yet, or gone */
	enum wsdial_session_phase phase;
	struct wsdial_agreed agreed;
	struct wsdial_keepalive keepalive;
	struct wsdial_deflate deflate;
	struct ws_rules rules;
	struct ws_reader in;
	struct buf message; /* the message that comes, where it came in pieces or was inflated */
	const uint8_t *run; /* borrowed from the read: all of it, where it came in one piece */
	size_t message_n;   /* its bytes so far, as they are handed up */
	bool compressed;    /* it is */
	bool binary;
	bool freed;
	struct buf out; /* frames for the next write */
	struct loop_task flush;
	struct loop_timer timer;   /* of the close handshake and the end */
	uint64_t deadline_ms;	   /* UINT64_MAX: none */
	size_t queued;		   /* when the timer was armed */
	enum wsdial_status status; /* with ENDING */
	char why[512];
};

void wsdial_session_say(struct wsdial_session *ss, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* It ends here; nothing may be done with it afterwards but what an up-call may do. */
void wsdial_session_over(struct wsdial_session *ss, enum wsdial_status status, bool abort);

/* Only the connection's end is waited for. */
void wsdial_session_ending(struct wsdial_session *ss, enum wsdial_status status);

/* Wait (again) for the peer's Close. */
void wsdial_session_wait_close(struct wsdial_session *ss);

/* Send a frame, whatever the phase.  0, or -1 without memory: it is ENDING then. */
int wsdial_session_frame(struct wsdial_session *ss, uint8_t opcode, const void *p, size_t n);

/* Send a Close at once; WS_CLOSE_NO_STATUS: without a code. */
void wsdial_session_send_close(struct wsdial_session *ss, unsigned code, const char *reason);

/* wsdial_receive.c: the stream's bytes. */
void wsdial_receive(struct stream *s, uint8_t *p, size_t n);

#endif
