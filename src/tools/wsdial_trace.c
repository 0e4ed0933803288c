/* What -v shows.  See wsdial_trace.h. */
#include "tools/wsdial_trace.h"

#include <stdio.h>

#include "codec/ws_msg.h"
#include "tools/wsdial_escape.h"
#include "tools/wsdial_out.h"

/* Bytes of a line, or of a quoted text, that are shown. */
#define WSDIAL_TRACE_SHOWN 4000

/* The text up to the next end of a line, which is taken off. */
static struct span
wsdial_next_line(struct span *text)
{
	const char *end = memchr(text->p, '\n', text->n);
	struct span line = { text->p, end != NULL ? (size_t)(end - text->p) : text->n };
	size_t used = end != NULL ? line.n + 1 : line.n;

	text->p += used;
	text->n -= used;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static void
wsdial_trace_lines(struct wsdial_out *o, char mark, struct span text)
{
	struct span line;
	struct buf b;

	buf_init(&b, WSDIAL_TRACE_SHOWN);
	while (text.n > 0) {
		line = wsdial_next_line(&text);
		b.n = 0;
		(void)wsdial_escape(&b, WSDIAL_ESCAPE_LINE, line.p, line.n); /* or its start */
		wsdial_out_trace(o, "%c %.*s", mark, SPAN_ARG(buf_span(&b)));
	}
	buf_clear(&b);
}

void
wsdial_trace_head(struct wsdial_out *o, bool sent, struct span head)
{
	if (!o->verbose)
		return;
	while (head.n > 0 && (head.p[head.n - 1] == '\n' || head.p[head.n - 1] == '\r'))
		head.n--;
	wsdial_trace_lines(o, sent ? '>' : '<', head);
}

void
wsdial_trace_body(struct wsdial_out *o, struct span body)
{
	if (o->verbose)
		wsdial_trace_lines(o, '|', body);
}

static const char *
wsdial_escaped(char *out, size_t size, struct span text, enum wsdial_escape how, const char *quote)
{
	struct buf b;
	bool whole;

	buf_init(&b, size - sizeof("\"...\"") - 1);
	whole = wsdial_escape(&b, how, text.p, text.n) == 0;
	snprintf(out, size, "%s%.*s%s%s", quote, SPAN_ARG(buf_span(&b)), quote, whole ? "" : "...");
	buf_clear(&b);
	return out;
}

const char *
wsdial_plain(char *out, size_t size, struct span text)
{
	return wsdial_escaped(out, size, text, WSDIAL_ESCAPE_LINE, "");
}

const char *
wsdial_quote(char *out, size_t size, struct span text)
{
	return wsdial_escaped(out, size, text, WSDIAL_ESCAPE_QUOTED, "\"");
}

static const char *
wsdial_opcode_str(uint8_t opcode)
{
	switch (opcode) {
	case WS_CONT:
		return "continuation";
	case WS_TEXT:
		return "text";
	case WS_BINARY:
		return "binary";
	case WS_CLOSE:
		return "close";
	case WS_PING:
		return "ping";
	case WS_PONG:
		return "pong";
	default:
		return "?";
	}
}

/* " payload=..." of a PING or PONG, " code=1000 reason="..."" of a Close. */
static void
wsdial_payload_str(char *out, size_t size, const struct ws_frame *f, const uint8_t *p)
{
	struct span text = { (const char *)p, (size_t)f->length };
	char quoted[4 * WS_CONTROL_MAX + 16];
	struct buf b;

	out[0] = '\0';
	if (f->opcode < WS_CLOSE || p == NULL || text.n == 0)
		return;
	if (f->opcode == WS_CLOSE && text.n >= 2) {
		text.p += 2;
		text.n -= 2;
		snprintf(out, size, " code=%u%s%s", (unsigned)(p[0] << 8 | p[1]),
		    text.n > 0 ? " reason=" : "",
		    text.n > 0 ? wsdial_quote(quoted, sizeof(quoted), text) : "");
		return;
	}
	buf_init(&b, 4 * WS_CONTROL_MAX);
	(void)wsdial_escape(&b, WSDIAL_ESCAPE_BINARY, text.p, text.n);
	snprintf(out, size, " payload=%.*s", SPAN_ARG(buf_span(&b)));
	buf_clear(&b);
}

void
wsdial_trace_frame(struct wsdial_out *o, bool sent, const struct ws_frame *f, const void *payload)
{
	char shown[4 * WS_CONTROL_MAX + 64];

	if (!o->verbose)
		return;
	wsdial_payload_str(shown, sizeof(shown), f, payload);
	wsdial_out_trace(o, "%c frame %s%s%s length=%llu%s", sent ? '>' : '<',
	    wsdial_opcode_str(f->opcode), f->fin ? " fin" : "", f->rsv1 ? " rsv1" : "",
	    (unsigned long long)f->length, shown);
}
