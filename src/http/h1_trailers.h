/*
 * Trailer sections of HTTP/1.1 connections (RFC 9112 7.1.2), in both directions and on both sides
 * of the gateway.  Internal to http/.
 */
#ifndef HTTP_H1_TRAILERS_H
#define HTTP_H1_TRAILERS_H

#include "base/buf.h"
#include "http/stream.h"

/*
 * Keep a run of trailer lines for h1_trailers_up, if s has a user who wants them; b was initialised
 * with HTTP1_MAX_TRAILER_BYTES.  0, or -1 without memory.
 */
int h1_trailers_keep(struct stream *s, struct buf *b, struct span lines);

/* Hand up what was kept, if that is any field that may stand there; b is empty then. */
void h1_trailers_up(struct stream *s, struct buf *b);

/*
 * Write the last chunk, the trailer section and the empty line behind what is in b.  Fields that
 * could not be told from framing are left out.  0, or -1 when it does not fit or without memory.
 */
int h1_trailers_put(struct buf *b, const struct http_field *field, size_t n_fields);

#endif
