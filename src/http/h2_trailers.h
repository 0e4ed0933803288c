/*
 * Trailer sections of an HTTP/2 connection's streams (RFC 9113 8.1) that wait: those that came,
 * for the stream's user to take the body before them, and those to be sent, for the body to go
 * out.  They are few and short-lived, so they stand in a list of the connection and cost a stream
 * nothing.  Internal to http/; one thread.
 */
#ifndef HTTP_H2_TRAILERS_H
#define HTTP_H2_TRAILERS_H

#include <stdbool.h>

#include "codec/http1.h"

struct h2_stream;
struct h2_trailers;

enum h2_trailers_way { H2_TRAILERS_IN, H2_TRAILERS_OUT };

/* Begin an empty section of h2s on the list; -1 without memory, or when there is one already. */
int h2_trailers_begin(
    struct h2_trailers **list, const struct h2_stream *h2s, enum h2_trailers_way way);

/*
 * Add a field to the section of h2s; one that may not stand there (http_trailer_allowed) is
 * dropped without a word.  0; -1: there is no section, no memory, or it would have more than
 * HTTP1_MAX_TRAILERS fields or HTTP1_MAX_TRAILER_BYTES (counted as HTTP/1.1 would write them; what
 * is dropped counts too).
 */
int h2_trailers_add(struct h2_trailers *list, const struct h2_stream *h2s, enum h2_trailers_way way,
    struct span name, struct span value);

/* Take the section of h2s off the list; NULL: there is none. */
struct h2_trailers *h2_trailers_take(
    struct h2_trailers **list, const struct h2_stream *h2s, enum h2_trailers_way way);

/* Its fields, whose spans are good until it is freed, into v; their number. */
size_t h2_trailers_fields(const struct h2_trailers *tr, struct http_field v[HTTP1_MAX_TRAILERS]);
void h2_trailers_free(struct h2_trailers *tr); /* off the list; NULL is nothing */

/* Free what there is of h2s, both ways. */
void h2_trailers_drop(struct h2_trailers **list, const struct h2_stream *h2s);

#endif
