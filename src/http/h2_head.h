/*
 * A request's head as HTTP/2 brings it: pseudo-header fields and fields one
 * by one, then judged as a whole and shown as the head that HTTP/1.1 would
 * have made of it (RFC 9113 8.2, 8.3; RFC 8441 4).  nghttp2 checks much of
 * this before; nothing here relies on it.  Pure but for memory.  Internal to
 * http/.
 */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H

#include "http/stream.h"

/* SETTINGS_MAX_HEADER_LIST_SIZE: names, values and 32 for each field (RFC 9113 6.5.2). */
#define H2_HEAD_LIST_MAX HTTP1_MAX_HEAD
/* Past so much of one list it is an attack, not a mistake. */
#define H2_HEAD_LIST_BOMB (16 * H2_HEAD_LIST_MAX)

struct h2_head;

struct h2_head *h2_head_new(void); /* NULL without memory */
void h2_head_free(struct h2_head *hd);

enum h2_head_add { H2_HEAD_ADDED, H2_HEAD_IS_BOMB, H2_HEAD_NO_MEMORY };

/* Take one field; what is past a limit is dropped and remembered. */
enum h2_head_add h2_head_add(struct h2_head *hd, struct span name, struct span value);

/*
 * The whole list has come; no_body: with END_STREAM.  0: *out (spans point into hd) and r (which
 * points to out) are a request to hand up.  Else the status to refuse it with (400, 431, 501) and
 * *why, a static text; r->head is set then too when the method and path could be read, else
 * NULL.
 */
unsigned h2_head_judge(struct h2_head *hd, bool no_body, struct http_head *out,
    struct stream_request *r, const char **why);

#endif
