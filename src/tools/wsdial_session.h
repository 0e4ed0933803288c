/*
 * One WebSocket of wsdial's: connecting, whole messages both ways, keep-alive, the close handshake,
 * and how it ended.  One thread, the loop's.
 */
#ifndef TOOLS_WSDIAL_SESSION_H
#define TOOLS_WSDIAL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/wsdial_connect.h"

struct wsdial_session;

struct wsdial_session_events {
	/* The handshake is over: messages may be sent. */
	void (*open)(struct wsdial_session *ss);
	/* A whole message, borrowed for the call. */
	void (*message)(struct wsdial_session *ss, bool binary, const uint8_t *p, size_t n);
	/* A PONG, but not the answer to a keep-alive PING.  May be NULL. */
	void (*pong)(struct wsdial_session *ss, const uint8_t *p, size_t n);
	/* All that was queued is on its way, after wsdial_session_queued was not 0. */
	void (*room)(struct wsdial_session *ss);
	/*
	 * It is over, for the first of these reasons: it could not be opened, it broke, it was
	 * closed.  Exactly once, and nothing follows; wsdial_session_free comes next, or later.
	 */
	void (*over)(struct wsdial_session *ss, enum wsdial_status status, const char *why);
};

/* NULL only without memory.  Nothing is called up from within. */
struct wsdial_session *wsdial_session_start(
    const struct wsdial_env *env, const struct wsdial_session_events *ev, void *user);

/* Drop it, whatever its state; also from within an up-call.  NULL is nothing. */
void wsdial_session_free(struct wsdial_session *ss);

void *wsdial_session_user(const struct wsdial_session *ss);
const struct wsdial_agreed *wsdial_session_agreed(const struct wsdial_session *ss);

/*
 * Send a message, or a PING of at most 125 bytes; both are copied, and go out at the turn's end.
 * 0; -1 when the WebSocket is not open any more, or without memory (it is broken then).
 */
int wsdial_session_send(struct wsdial_session *ss, bool binary, const void *p, size_t n);
int wsdial_session_ping(struct wsdial_session *ss, const void *p, size_t n);

/* Bytes that were sent and that neither the kernel nor the peer's window has taken. */
size_t wsdial_session_queued(const struct wsdial_session *ss);

/*
 * Begin the close handshake with 1000, behind all that was sent; messages still come up.  When it
 * is closing already, or not open yet, nothing happens.
 */
void wsdial_session_close(struct wsdial_session *ss);

#endif
