/*
 * WebSockets: the echo and the relay to an http backend, with keep-alive,
 * limits and the close handshake.  Internal to gateway/.
 */
#ifndef GATEWAY_WS_H
#define GATEWAY_WS_H

#include "gateway/session.h"

/*
 * A WebSocket whose handshake the gateway has accepted on ss->s (stream_accept was done): the session moves into
 * a new struct ws, which is the stream's user from now on.  backend: the stream to an http backend, with 101 received; NULL: echo.
 * Takes over both streams.  -1 without memory: nothing is changed.
 */
int ws_start(struct session *ss, struct stream *backend);

#endif
