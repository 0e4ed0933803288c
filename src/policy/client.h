/*
 * Who the client is: behind proxies that are trusted (TrustedProxies) what they say of it, else
 * the peer of the connection.  Pure.
 */
#ifndef POLICY_CLIENT_H
#define POLICY_CLIENT_H

#include <sys/socket.h>

#include "codec/http1.h"
#include "config/config.h"

/* Whether peer is one of the listener's TrustedProxies; never for a Unix socket's. */
bool client_is_trusted(const struct config_listen *l, const struct sockaddr *peer);

/*
 * The client of a request into *out (its length is returned).  If peer is not trusted it is the
 * client itself.  Else the right-most address of X-Forwarded-For that is not trusted; the
 * left-most when all are; where there is no X-Forwarded-For, the same by the for parameters of
 * Forwarded (RFC 7239 4).  What is no address ("unknown", an obfuscated name, garbage) ends the
 * search: who is right of it stands for the client.  The port is 0 unless one was given.
 */
socklen_t client_find(const struct config_listen *l, const struct sockaddr *peer,
    const struct http_head *h, struct sockaddr_storage *out);

/* One node of RFC 7239 6 or an X-Forwarded-For element: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
 * `[2001:db8::1]`, `[2001:db8::1]:80`. 0 or -1. */
int client_parse_node(struct span text, struct sockaddr_storage *out);

#endif
