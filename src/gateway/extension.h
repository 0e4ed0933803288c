/*
 * permessage-deflate in handshakes, by the route's Compression.  Internal to gateway/.
 */
#ifndef GATEWAY_EXTENSION_H
#define GATEWAY_EXTENSION_H

#include "codec/ws_ext.h"
#include "gateway/session.h"

/*
 * Whether the client's offers, where the route looks at them, are in the form that RFC 6455 9.1
 * demands; a handshake with others has failed.
 */
bool extension_offers_good(const struct http_head *head, const struct config_route *route);

/*
 * Compression=edge: what the gateway answers.  False: nothing, because nothing that it can do was
 * offered, or there is no CompressionMemory left.
 */
bool extension_answer(
    const struct session *ss, const struct http_head *head, struct ws_ext *answer);

/* Whether an http backend's 101 declines `edge` for its connection. */
bool extension_declined(const struct http_head *h);

/*
 * Compression=passthrough: judge the backend's answer to what was offered to it (a field value;
 * n 0: nothing).  NULL, or what is wrong; *any: there is an answer, which is in *answer then.
 */
const char *extension_judge(
    struct span offered, const struct http_head *h, struct ws_ext *answer, bool *any);

/*
 * Say it to the client: text is filled, and a field made that borrows it.  The session's access
 * line will have it.  0, or -1 without memory.
 */
int extension_say(
    struct session *ss, const struct ws_ext *x, char text[WS_EXT_TEXT], struct http_field *field);

#endif
