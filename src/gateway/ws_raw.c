/*
 * Backends that know no WebSocket: message payloads as a byte stream, as
 * lines or as packets.  See ws_int.h and INTERFACE.md, Protocol.
 *
 * Nothing is gathered but a message that must become one packet: a line or a stream that
 * comes in pieces goes to the client as fragments of a message, and a long message to the application
 * as it arrives.
 */
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_utf8.h"
#include "gateway/ws_int.h"
#include "http/raw_client.h"

struct ws_raw {
	struct buf packet;		/* of a message that came in pieces */
	uint64_t line_n;		/* bytes of the line so far, towards the client */
	uint8_t opcode;			/* of the messages that are made */
	uint8_t utf8;			/* state of the text towards the client */
	uint8_t carry_n;		/* stream of text: bytes of a character that is not complete */
	uint8_t carry[4];
	bool cr;			/* lines: a CR came that may belong to CRLF */
	bool open;			/* lines: a fragment of the line is out */
	bool check;			/* text to the client is checked */
};

struct ws_raw *
ws_raw_new(const struct ws *w)
{
	const struct config_backend *b = w->ss.route->backend;
	struct ws_raw *r;
	bool text;

	if ((r = mem_zalloc(sizeof(*r))) == NULL)
		return NULL;
	text = b->message_type == CONFIG_MESSAGE_TEXT ||
	    (b->message_type == CONFIG_MESSAGE_BY_PROTOCOL && w->mode == WS_MODE_LINES);
	r->opcode = text ? WS_TEXT : WS_BINARY;
	r->check = text;
	buf_init(&r->packet, RAW_PACKET_MAX);
	return r;
}

void
ws_raw_free(struct ws_raw *r)
{
	if (r == NULL)
		return;
	buf_clear(&r->packet);
	mem_free(r);
}

/* ---- client to application ---- */

/* The client sent what the protocol cannot carry. What the application got of it must not look whole. */
static bool
ws_raw_refuse(struct ws *w, struct ws_out *o, unsigned code, const char *why)
{
	o->n = 0;
	o->to = NULL;
	ws_leave(w, &w->backend, true);
	ws_close(w, code, code, why);
	w->client.flags |= LEG_BROKEN;
	ws_finish(w, false);
	return false;
}

static bool
ws_raw_to_lines(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	if (ev->kind == WS_EV_FRAME && ev->message_start && ev->frame.opcode != WS_TEXT)
		return ws_raw_refuse(w, o, WS_CLOSE_UNSUPPORTED, "only text messages can be lines");
	if (ev->kind == WS_EV_DATA) {
		if (memchr(ev->data, '\n', ev->n) != NULL)
			return ws_raw_refuse(w, o, WS_CLOSE_NOT_UTF8, "a line feed inside a message");
		ws_out_bytes(o, ev->data, ev->n);
	} else if (ev->kind == WS_EV_FRAME_END && ev->message_end && o->to != NULL) {
		*ws_out_room(o, 1) = '\n';
	}
	return true;
}

static bool
ws_raw_send_packet(struct ws *w, struct ws_out *o, void *p, size_t n)
{
	struct iovec iov = { .iov_base = p, .iov_len = n };

	if (o->to == NULL)
		return true;
	if (n > raw_client_packet_max(o->to))
		return ws_raw_refuse(w, o, WS_CLOSE_TOO_BIG, "the message does not fit into a packet");
	stream_write(o->to, &iov, 1);
	return true;
}

static bool
ws_raw_to_packet(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	struct buf *b = &w->raw->packet;
	bool sent = true;

	if (ev->kind == WS_EV_DATA) {
		if (b->n == 0 && ev->frame.fin && ev->n == ev->frame.length &&
		    ev->frame.opcode != WS_CONT)
			return ws_raw_send_packet(w, o, ev->data, ev->n);
		if (buf_append(b, ev->data, ev->n) == -1)
			return ws_raw_refuse(w, o, WS_CLOSE_TOO_BIG, "the message does not fit into a packet");
	} else if (ev->kind == WS_EV_FRAME_END && ev->message_end) {
		/* Gathered, or empty; a whole one has gone out already. */
		if (b->n > 0 || (ev->frame.length == 0 && ev->frame.opcode != WS_CONT))
			sent = ws_raw_send_packet(w, o, b->p, b->n);
		if (sent)
			buf_clear(b);
	}
	return sent;
}

bool
ws_raw_event(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	if (w->mode == WS_MODE_LINES)
		return ws_raw_to_lines(w, o, ev);
	if (w->mode == WS_MODE_PACKET)
		return ws_raw_to_packet(w, o, ev);
	if (ev->kind == WS_EV_DATA)
		ws_out_bytes(o, ev->data, ev->n);
	return true;
}

/* ---- application to client ---- */

/* A run of a message; false when it may not be text. */
static bool
ws_raw_emit(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool last)
{
	struct ws_raw *r = w->raw;

	if (r->check && (!ws_utf8_feed(&r->utf8, p, n) || (last && r->utf8 != WS_UTF8_START)))
		return false;
	ws_emit(w, o, r->opcode, p, n, last);
	w->bytes_out += n;
	w->messages_out += last;
	return true;
}

/* A piece of a line without its LF; the CR of a CRLF is held back until it is known what follows. */
static bool
ws_raw_line_piece(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool last)
{
	static uint8_t cr[1] = { '\r' };
	struct ws_raw *r = w->raw;
	uint64_t max = ws_config(w)->max_message_size;

	if (r->cr && (n > 0 || !last)) {
		r->cr = false;
		r->line_n++;
		if (!ws_raw_emit(w, o, cr, 1, false))
			return false;
	}
	if (n > 0 && p[n - 1] == '\r') {
		n--;
		r->cr = !last;
	} else if (last) {
		r->cr = false;
	}
	r->line_n += n;
	if (max != 0 && r->line_n > max)
		return false;
	r->open = !last;
	if (last) {
		r->line_n = 0;
		return ws_raw_emit(w, o, p, n, true);
	}
	return n == 0 || ws_raw_emit(w, o, p, n, false);
}

static bool
ws_raw_from_lines(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	uint8_t *lf;

	while ((lf = memchr(p, '\n', n)) != NULL) {
		size_t line = (size_t)(lf - p);

		if (!ws_raw_line_piece(w, o, p, line, true))
			return false;
		p += line + 1;
		n -= line + 1;
	}
	return n == 0 || ws_raw_line_piece(w, o, p, n, false);
}

/* Text is cut between characters only: the rest of one waits for the next read. */
static bool
ws_raw_from_text_stream(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	struct ws_raw *r = w->raw;
	size_t whole;

	while (r->carry_n > 0 && n > 0) {
		r->carry[r->carry_n++] = *p++;
		n--;
		if (!ws_utf8_feed(&r->utf8, r->carry + r->carry_n - 1, 1))
			return false;
		if (r->utf8 != WS_UTF8_START)
			continue;
		memcpy(ws_out_room(o, 2), (uint8_t[]){ WS_BIT_FIN | WS_TEXT, r->carry_n }, 2);
		memcpy(ws_out_room(o, r->carry_n), r->carry, r->carry_n);
		w->bytes_out += r->carry_n;
		w->messages_out++;
		r->carry_n = 0;
	}
	if (n == 0)
		return true;
	if ((whole = ws_utf8_cut(p, n)) > 0 && !ws_raw_emit(w, o, p, whole, true))
		return false;
	if (!ws_utf8_feed(&r->utf8, p + whole, n - whole))
		return false;
	memcpy(r->carry, p + whole, n - whole);
	r->carry_n = (uint8_t)(n - whole);
	return true;
}

static void
ws_raw_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);
	uint64_t max = ws_config(w)->max_message_size;
	struct ws_out o;
	bool good;

	w->last_data = leg->last_rx = ws_stamp(w);
	if ((w->client.flags & LEG_CLOSE_SENT) != 0)
		return;
	ws_out_init(&o, w->client.s);
	if (w->mode == WS_MODE_LINES)
		good = ws_raw_from_lines(w, &o, p, n);
	else if (w->mode == WS_MODE_STREAM && w->raw->opcode == WS_TEXT)
		good = ws_raw_from_text_stream(w, &o, p, n);
	else
		good = (w->mode == WS_MODE_STREAM || max == 0 || n <= max) &&
		    ws_raw_emit(w, &o, p, n, true);
	ws_out_flush(&o);
	if (good) {
		ws_flow(w, leg);
		return;
	}
	session_log(&w->ss, LOG_L_INFO, "the application sent what cannot be a message");
	ws_leave(w, leg, true);
	ws_backend_lost(w, "the application sent what cannot be a message");
}

/* The application has said all: a Close 1000, or the answer to the client's. */
static void
ws_raw_on_end(struct stream *s)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);
	bool whole = w->raw->carry_n == 0;
	struct ws_out o;

	if (w->raw->open && (w->client.flags & LEG_CLOSE_SENT) == 0) {
		/* A last line without its LF. */
		ws_out_init(&o, w->client.s);
		whole = ws_raw_line_piece(w, &o, NULL, 0, true);
		ws_out_flush(&o);
	}
	if ((w->client.flags & (LEG_CLOSE_CAME | LEG_CLOSE_SENT)) == LEG_CLOSE_CAME) {
		ws_leave(w, leg, false);
		ws_send_close(w, &w->client, w->close_code, w->reason,
		    w->reason != NULL ? strlen(w->reason) : 0);
		ws_finish(w, false);
		return;
	}
	if (!whole) {
		ws_leave(w, leg, true);
		ws_backend_lost(w, "the application's text ends within a character");
		return;
	}
	if ((w->client.flags & LEG_CLOSE_SENT) == 0) {
		ws_note_end(w, WS_CLOSE_NORMAL, SESSION_BY_BACKEND, NULL);
		ws_send_close(w, &w->client, WS_CLOSE_NORMAL, NULL, 0);
		ws_leave(w, leg, false);
		ws_closing(w);
	}
}

const struct stream_events ws_raw_events = {
	.bytes = ws_raw_on_bytes,
	.room = ws_on_room,
	.end = ws_raw_on_end,
	.reset = ws_on_reset,
	.budget = ws_budget,
};
