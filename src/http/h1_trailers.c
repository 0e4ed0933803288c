/*
 * Trailer sections of HTTP/1.1 connections.  See h1_trailers.h; called by h1_server and h1_client.
 */
#include "http/h1_trailers.h"

int
h1_trailers_keep(struct stream *s, struct buf *b, struct span lines)
{
	if (s->ev == NULL || s->ev->trailers == NULL)
		return 0;
	return buf_append_span(b, lines);
}

void
h1_trailers_up(struct stream *s, struct buf *b)
{
	struct http_field field[HTTP1_MAX_TRAILERS];
	struct buf own = *b; /* whatever the user closes in the call */
	size_t n;

	if (own.n == 0)
		return;
	buf_init(b, own.max);
	n = http1_parse_trailers(own.p, own.n, field);
	if (n > 0 && s->ev != NULL && s->ev->trailers != NULL)
		s->ev->trailers(s, field, n);
	buf_clear(&own);
}

int
h1_trailers_put(struct buf *b, const struct http_field *field, size_t n_fields)
{
	if (buf_append_str(b, "0\r\n") == -1)
		return -1;
	for (size_t i = 0; i < n_fields; i++) {
		if (!http_is_token(field[i].name) || !http_is_field_value(field[i].value))
			continue;
		if (buf_append_span(b, field[i].name) == -1 || buf_append(b, ": ", 2) == -1 ||
		    buf_append_span(b, field[i].value) == -1 || buf_append(b, "\r\n", 2) == -1)
			return -1;
	}
	return buf_append(b, "\r\n", 2);
}
