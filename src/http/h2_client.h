/*
 * One HTTP/2 connection to a server (RFC 9113 client side) with one WebSocket on it, by extended
 * CONNECT (RFC 8441).
 */
#ifndef HTTP_H2_CLIENT_H
#define HTTP_H2_CLIENT_H

#include "http/h1_client.h"

/*
 * Start on a transport whose handshake is over: by ALPN, or in the clear by prior knowledge (RFC
 * 9113 3.3).  It is moved out of, or closed on failure.  r->websocket has to be set, its method is
 * not looked at; https: the :scheme.
 *
 * The server's SETTINGS are awaited first: without SETTINGS_ENABLE_CONNECT_PROTOCOL the stream is
 * reset with STREAM_E_REFUSED.  A 2xx comes up as `response` with status 101, so that the user need
 * not know the carrier; any other status as it is, with its body and `end`.  All else is as with
 * h1_client_start_on.
 */
struct stream *h2_client_start_on(struct transport *from, const struct h1_request *r, bool https,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user, const char **why);

#endif
