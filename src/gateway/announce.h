/*
 * The PROXY header that a connection to a backend begins with (SendProxyProtocol).
 * Internal to gateway/.
 */
#ifndef GATEWAY_ANNOUNCE_H
#define GATEWAY_ANNOUNCE_H

#include "config/config.h"
#include "http/stream.h"

struct announce;

/*
 * What is to be said of the client of r, whose stream's facts are info: who a trusted proxy says
 * that it is, else its own address; where it connected to; in version 2 also TLS, ALPN and the
 * host that it asked for.  The caller frees (mem_free).  NULL without memory; version is not OFF.
 */
struct announce *announce_new(enum config_proxy_protocol version, const struct stream_info *info,
    const struct stream_request *r);

/*
 * Send it as the first bytes of a connected fd.  0; -1 when the socket is broken or takes less
 * than that: errno tells, and the caller closes.
 */
int announce_send(const struct announce *a, int fd);

/* The same in one, for a connection of the gateway's own; OFF: nothing is sent. */
int announce_send_local(enum config_proxy_protocol version, int fd);

#endif
