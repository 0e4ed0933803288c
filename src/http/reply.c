/* The gateway's own answers.  See reply.h. */
#include <string.h>

#include "http/reply.h"

struct reply_kind {
	uint16_t h1, h2;	  /* status by the carrier's version */
	bool close;		  /* HTTP/1.1: the connection ends */
	const char *name, *value; /* the field that goes with it */
};

static const struct reply_kind reply_kinds[] = {
	[REPLY_LAST] = { 200, 200, false, NULL, NULL },
	[REPLY_BAD_REQUEST] = { 400, 400, true, NULL, NULL },
	[REPLY_ORIGIN_REFUSED] = { 403, 403, false, NULL, NULL },
	[REPLY_FORBIDDEN] = { 403, 403, false, NULL, NULL },
	[REPLY_NO_ROUTE] = { 404, 404, false, NULL, NULL },
	[REPLY_NOT_FOUND] = { 404, 404, false, NULL, NULL },
	[REPLY_METHOD] = { 405, 405, false, "Allow", "GET, HEAD" },
	[REPLY_NOT_WEBSOCKET] = { 426, 400, false, "Upgrade", "websocket" },
	[REPLY_WS_VERSION] = { 426, 400, false, "Sec-WebSocket-Version", "13" },
	[REPLY_WS_BAD] = { 400, 400, true, NULL, NULL },
	[REPLY_REQUEST_TIMEOUT] = { 408, 408, true, NULL, NULL },
	[REPLY_TOO_MANY] = { 429, 429, false, "Retry-After", "1" },
	[REPLY_INTERNAL] = { 500, 500, true, NULL, NULL },
	[REPLY_NOT_IMPLEMENTED] = { 501, 501, false, NULL, NULL },
	[REPLY_BAD_GATEWAY] = { 502, 502, false, NULL, NULL },
	[REPLY_UNAVAILABLE] = { 503, 503, false, "Retry-After", "5" },
	[REPLY_GATEWAY_TIMEOUT] = { 504, 504, false, NULL, NULL },
};

const char *
reply_reason(unsigned status)
{
	static const struct {
		uint16_t status;
		const char *phrase;
	} phrases[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 103, "Early Hints" },
		{ 200, "OK" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 414, "URI Too Long" },
		{ 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "";
}

static void
reply_add(struct stream_response *r, struct http_field *field, const char *name, const char *value)
{
	field[r->n_fields].name = span_from_str(name);
	field[r->n_fields++].value = span_from_str(value);
	r->field = field;
}

static bool
reply_is_h2(const struct stream *s)
{
	return stream_info(s)->http[0] == '2';
}

unsigned
reply_status(const struct stream *s, enum reply kind)
{
	return reply_is_h2(s) ? reply_kinds[kind].h2 : reply_kinds[kind].h1;
}

void
reply_send(struct stream *s, enum reply kind, bool head, const char *why)
{
	const struct reply_kind *k = &reply_kinds[kind];
	bool h2 = reply_is_h2(s);
	struct stream_response r = { .status = reply_status(s, kind), .close = k->close };
	struct http_field field[4];
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)why, strlen(why) },
		{ (void *)(uintptr_t) "\n", 1 },
	};

	/* Upgrade belongs to HTTP/1.1 only (RFC 9113 8.2.2). */
	if (k->name != NULL && !(h2 && kind == REPLY_NOT_WEBSOCKET))
		reply_add(&r, field, k->name, k->value);
	if (!h2 && r.status == 426 && kind == REPLY_WS_VERSION)
		reply_add(&r, field, "Upgrade", "websocket"); /* RFC 9110 15.5.22 */
	if (!h2 && r.status == 426)
		reply_add(&r, field, "Connection", "Upgrade");
	reply_add(&r, field, "Content-Type", "text/plain; charset=utf-8");
	r.body = HTTP_BODY_LENGTH;
	r.content_length = strlen(why) + 1;
	if (stream_respond(s, &r) == 0 && !head)
		stream_write(s, iov, 2);
	stream_end(s);
	stream_close(s, 2000);
}
