/*
 * WebSockets: the echo, the relay to an http backend and the raw backends, with
 * keep-alive, limits and the close handshake.  Internal to gateway/.
 */
#ifndef GATEWAY_WS_H
#define GATEWAY_WS_H

#include "gateway/session.h"

struct ws_ext;

/*
 * A WebSocket whose handshake the gateway accepts on ss->s right after this: the session moves into
 * a new struct ws, which is the user of both streams from now on.  backend: the stream to the
 * route's backend (http: with its 101 received); NULL: echo.  ext: permessage-deflate as the client
 * is answered, by the gateway or by the backend as the route's Compression says; NULL: none.  -1
 * without memory: nothing is changed.
 */
int ws_start(struct session *ss, struct stream *backend, const struct ws_ext *ext);

#endif
