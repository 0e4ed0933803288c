/*
 * The heads of a connection to a backend: the request's is made, the
 * response's judged (RFC 9112, RFC 6455 4.1).  Internal to http/h1_client.c.
 */
#ifndef HTTP_H1_CLIENT_HEAD_H
#define HTTP_H1_CLIENT_HEAD_H

#include "base/buf.h"
#include "http/h1_client.h"

/* A request's head at most: a client's, and what the gateway adds to it. */
#define H1C_HEAD_MAX_REQUEST (2 * HTTP1_MAX_HEAD)

/*
 * Whether all of a request is clean: nothing in it can end its line or its place in the line,
 * no field is one that the connection makes itself, and it fits.  NULL, or what is wrong (static).
 */
const char *h1c_head_judge_request(const struct h1_request *r);

/* Write a request that was judged clean; key: with r->websocket.  0, or -1 without memory. */
int h1c_head_put_request(struct buf *b, const struct h1_request *r, struct span key);

/*
 * The checks of RFC 6455 4.1 on a 101; accept is what Sec-WebSocket-Accept must be.  NULL, or
 * which one it does not pass (static).
 */
const char *h1c_head_judge_switch(const struct http_head *h, bool websocket, const char *accept);

/* What http1_scan or http1_parse_response found wrong; static. */
const char *h1c_head_error_str(enum http1_status st);

#endif
