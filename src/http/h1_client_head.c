/*
 * The request's head that goes to a backend, and what may be wrong with the
 * head that comes back.  Pure; any thread; called by http/h1_client.c only.
 */
#include "http/h1_client_head.h"

/* Bytes that the connection's own lines take, at most. */
#define H1C_HEAD_OWN 1024

/* Only what may stand in a request-target: nothing there ends the line or the target. */
static bool
h1c_head_is_target_part(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '#')
			return false;
	return true;
}

/* Fields that the connection makes itself: a second one would be a way to smuggle. */
static bool
h1c_head_is_own_field(struct span name, bool websocket)
{
	static const struct span own[] = {
		SPAN_LIT("Host"),
		SPAN_LIT("Connection"),
		SPAN_LIT("Upgrade"),
		SPAN_LIT("Transfer-Encoding"),
		SPAN_LIT("Content-Length"),
		SPAN_LIT("Sec-WebSocket-Key"),
		SPAN_LIT("Sec-WebSocket-Version"),
	};
	size_t n = websocket ? 7 : 5;

	for (size_t i = 0; i < n; i++)
		if (span_eq_nocase(name, own[i]))
			return true;
	return false;
}

const char *
h1c_head_judge_request(const struct h1_request *r)
{
	size_t n;

	if (!http_is_token(r->method))
		return "the request's method is not clean";
	if (r->path.n == 0 || !h1c_head_is_target_part(r->path) ||
	    memchr(r->path.p, '?', r->path.n) != NULL)
		return "the request's path is not clean";
	if (!h1c_head_is_target_part(r->query))
		return "the request's query is not clean";
	/* An empty Host is sent for an authority that is not known (RFC 9112 3.2). */
	if (r->authority.n > 0 && !http_is_authority(r->authority))
		return "the request's authority is not clean";
	if (r->websocket && r->body != HTTP_BODY_NONE)
		return "a WebSocket handshake has no body";
	n = r->method.n + r->path.n + r->query.n + r->authority.n;
	for (size_t i = 0; i < r->n_fields; i++) {
		n += r->field[i].name.n + r->field[i].value.n + 4;
		if (!http_is_token(r->field[i].name) || !http_is_field_value(r->field[i].value))
			return "a field of the request is not clean";
		if (h1c_head_is_own_field(r->field[i].name, r->websocket))
			return "a field of the request is the connection's own";
	}
	return n <= H1C_HEAD_MAX_REQUEST - H1C_HEAD_OWN ? NULL : "the request's head is too large";
}

static int
h1c_head_put_line(struct buf *b, const char *name, struct span value)
{
	if (buf_append_str(b, name) == -1 || buf_append_str(b, ": ") == -1 ||
	    buf_append_span(b, value) == -1)
		return -1;
	return buf_append_str(b, "\r\n");
}

static int
h1c_head_put_start(struct buf *b, const struct h1_request *r)
{
	if (buf_append_span(b, r->method) == -1 || buf_append_char(b, ' ') == -1 ||
	    buf_append_span(b, r->path) == -1)
		return -1;
	if (r->query.p != NULL &&
	    (buf_append_char(b, '?') == -1 || buf_append_span(b, r->query) == -1))
		return -1;
	if (buf_append_str(b, " HTTP/1.1\r\n") == -1)
		return -1;
	return h1c_head_put_line(b, "Host", r->authority);
}

/* The body's framing is always our own (RFC 9112 6). */
static int
h1c_head_put_framing(struct buf *b, const struct h1_request *r)
{
	switch (r->body) {
	case HTTP_BODY_NONE:
		return 0;
	case HTTP_BODY_LENGTH:
		return buf_append_str(b, "Content-Length: ") == -1 ||
			buf_append_uint(b, r->content_length) == -1
		    ? -1
		    : buf_append(b, "\r\n", 2);
	case HTTP_BODY_CHUNKED:
	case HTTP_BODY_EOF:
		break;
	}
	return h1c_head_put_line(b, "Transfer-Encoding", SPAN_LIT("chunked"));
}

/* Whether this is the connection's only request, and that trailers are taken. */
static int
h1c_head_put_options(struct buf *b, const struct h1_request *r)
{
	if (!r->te_trailers)
		return r->keep ? 0 : buf_append_str(b, "Connection: close\r\n");
	return buf_append_str(b,
	    r->keep ? "Connection: TE\r\nTE: trailers\r\n"
		    : "Connection: close, TE\r\nTE: trailers\r\n");
}

/* The client's half of the handshake (RFC 6455 4.1); or the body's framing, and whether this is the
 * connection's only request. */
static int
h1c_head_put_connection(struct buf *b, const struct h1_request *r, struct span key)
{
	if (!r->websocket && h1c_head_put_framing(b, r) == -1)
		return -1;
	if (!r->websocket)
		return h1c_head_put_options(b, r);
	if (h1c_head_put_line(b, "Upgrade", SPAN_LIT("websocket")) == -1 ||
	    h1c_head_put_line(b, "Connection", SPAN_LIT("Upgrade")) == -1 ||
	    h1c_head_put_line(b, "Sec-WebSocket-Key", key) == -1)
		return -1;
	return h1c_head_put_line(b, "Sec-WebSocket-Version", SPAN_LIT("13"));
}

int
h1c_head_put_request(struct buf *b, const struct h1_request *r, struct span key)
{
	if (h1c_head_put_start(b, r) == -1 || h1c_head_put_connection(b, r, key) == -1)
		return -1;
	for (size_t i = 0; i < r->n_fields; i++)
		if (buf_append_span(b, r->field[i].name) == -1 || buf_append(b, ": ", 2) == -1 ||
		    buf_append_span(b, r->field[i].value) == -1 || buf_append(b, "\r\n", 2) == -1)
			return -1;
	return buf_append_str(b, "\r\n");
}

const char *
h1c_head_judge_switch(const struct http_head *h, bool websocket, const char *accept)
{
	const struct http_field *f;

	if (!websocket)
		return "backend switched protocols without being asked";
	if (h->minor == 0)
		return "backend's 101 is HTTP/1.0"; /* RFC 9110 7.8 */
	f = http_head_find(h, "Upgrade");
	if (f == NULL || http_head_count(h, "Upgrade") != 1 ||
	    !span_eq_nocase(f->value, SPAN_LIT("websocket")))
		return "backend's Upgrade is not websocket";
	if (!http_head_list_has(h, "Connection", "upgrade"))
		return "backend's Connection has no upgrade";
	f = http_head_find(h, "Sec-WebSocket-Accept");
	if (f == NULL)
		return "backend's Sec-WebSocket-Accept is missing";
	if (http_head_count(h, "Sec-WebSocket-Accept") != 1 ||
	    !span_eq(f->value, span_from_str(accept)))
		return "backend's Sec-WebSocket-Accept is wrong";
	return NULL;
}

const char *
h1c_head_error_str(enum http1_status st)
{
	switch (st) {
	case HTTP1_OK:
	case HTTP1_MORE:
		break;
	case HTTP1_BAD:
		return "the backend's response is not well-formed HTTP";
	case HTTP1_BAD_VERSION:
		return "the backend's response has an unknown HTTP version";
	case HTTP1_BAD_CODING:
		return "the backend's response has an unknown transfer coding";
	case HTTP1_TARGET_TOO_LONG:
	case HTTP1_TOO_LARGE:
		return "the head of the backend's response is too large";
	}
	return "?";
}
