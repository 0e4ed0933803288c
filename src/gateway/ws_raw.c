/*
 * Backends that know no WebSocket: message payloads as a byte stream, as
 * lines or as packets.  See ws_int.h and INTERFACE.md, Protocol.
 *
 * Nothing is gathered but a message that must become one packet: a line that comes in pieces
 * goes to the client as fragments of a message, and a long message to the application as it
 * arrives.  A message that ends badly when a part of it is with the application already ends its
 * connection by an abort, so that the part does not look whole.
 *
 * Called by ws_data.c for what the client sent, and by http/raw_client.c for what the application
 * said.
 */
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_utf8.h"
#include "gateway/ws_int.h"
#include "http/raw_client.h"

struct ws_raw {
	struct buf packet; /* of a message that came in pieces */
	uint8_t *ping;	   /* owned: of the PING that is not answered yet; NULL: none */
	uint64_t line_n;   /* bytes of the line so far, towards the client */
	uint8_t opcode;	   /* of the messages that are made; text is checked */
	uint8_t utf8;	   /* state of the line towards the client */
	uint8_t carry_n;   /* stream of text: bytes of a character that is not complete */
	uint8_t carry[3];
	uint8_t ping_n;
	bool cr;	    /* lines: a CR came that may belong to CRLF */
	bool open;	    /* lines: one has begun towards the client */
	bool partial;	    /* the application has a part of the client's message */
	bool frame_partial; /* the same, before the frame that is being read */
	bool sent;	    /* packet: the client's message has gone out */
};

struct ws_raw *
ws_raw_new(const struct ws *w)
{
	const struct config_backend *b = w->ss.route->backend;
	struct ws_raw *r;
	bool text;

	if ((r = loop_object(w->ss.gw->env.loop, sizeof(*r))) == NULL)
		return NULL;
	text = b->message_type == CONFIG_MESSAGE_TEXT ||
	    (b->message_type == CONFIG_MESSAGE_BY_PROTOCOL && w->mode == WS_MODE_LINES);
	r->opcode = text ? WS_TEXT : WS_BINARY;
	buf_init(&r->packet, RAW_PACKET_MAX);
	return r;
}

void
ws_raw_free(struct ws *w)
{
	struct ws_raw *r = w->backend.raw;

	if (r == NULL)
		return;
	w->backend.raw = NULL;
	buf_clear(&r->packet);
	mem_free(r->ping);
	loop_object_free_later(w->ss.gw->env.loop, r);
}

bool
ws_raw_is_partial(const struct ws *w)
{
	return w->backend.raw->partial;
}

/*
 * A client that does not take what is sent to it is owed one PONG at most, that of its most recent
 * PING (RFC 6455 5.5.3); else PINGs could fill its queue without end.
 */
void
ws_raw_answer_ping(struct ws *w, const struct ws_event *ev)
{
	struct ws_raw *r = w->backend.raw;

	mem_free(r->ping);
	r->ping = NULL;
	if (w->client.s == NULL || stream_queued(w->client.s) <= ws_config(w)->buffer_limit / 2) {
		ws_send_control(w, &w->client, WS_PONG, ev->data, ev->n);
		return;
	}
	if ((r->ping = mem_alloc(ev->n)) == NULL)
		return;
	if (ev->n > 0)
		memcpy(r->ping, ev->data, ev->n);
	r->ping_n = (uint8_t)ev->n;
}

void
ws_raw_on_client_room(struct ws *w)
{
	struct ws_raw *r = w->backend.raw;

	if (r->ping == NULL)
		return;
	ws_send_control(w, &w->client, WS_PONG, r->ping, r->ping_n);
	mem_free(r->ping);
	r->ping = NULL;
}

/* ---- client to application ---- */

void
ws_raw_take_back(struct ws *w, struct ws_out *o)
{
	/* In a stream the bytes before the bad one are good; a line is not. */
	if (w->mode == WS_MODE_LINES && (w->client.flags & LEG_MID_FRAME) != 0 && ws_out_revert(o))
		w->backend.raw->partial = w->backend.raw->frame_partial;
}

/* The client sent what the protocol cannot carry. The messages before it are good. */
static bool
ws_raw_refuse(struct ws *w, struct ws_out *o, unsigned code, const char *why)
{
	ws_raw_take_back(w, o);
	ws_out_flush(o);
	ws_protocol_error(w, &w->client, code, why);
	return false;
}

static bool
ws_raw_to_lines(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	if (ev->kind == WS_EV_FRAME && ev->message_start && ev->frame.opcode != WS_TEXT &&
	    w->backend.raw->opcode == WS_TEXT)
		return ws_raw_refuse(w, o, WS_CLOSE_UNSUPPORTED, "only text messages can be lines");
	if (ev->kind == WS_EV_DATA) {
		if (memchr(ev->data, '\n', ev->n) != NULL)
			return ws_raw_refuse(
			    w, o, WS_CLOSE_NOT_UTF8, "a line feed inside a message");
		ws_out_bytes(o, ev->data, ev->n);
	} else if (ev->kind == WS_EV_FRAME_END && ev->message_end && o->to != NULL) {
		*ws_out_room(o, 1) = '\n';
	}
	return true;
}

static void
ws_raw_send_packet(struct ws_out *o, const void *p, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };

	stream_write(o->to, &iov, 1);
}

/* Judged by the lengths that the frames announce, before anything is kept. */
static bool
ws_raw_to_packet(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	struct ws_raw *r = w->backend.raw;
	struct buf *b = &r->packet;

	if (o->to == NULL)
		return true;
	if (ev->kind == WS_EV_FRAME) {
		if (ev->frame.length > raw_client_packet_max(o->to) - b->n)
			return ws_raw_refuse(
			    w, o, WS_CLOSE_TOO_BIG, "the message does not fit into a packet");
	} else if (ev->kind == WS_EV_DATA) {
		if (b->n == 0 && ev->frame.fin && ev->n == ev->frame.length) {
			ws_raw_send_packet(o, ev->data, ev->n);
			r->sent = true;
		} else if (buf_append(b, ev->data, ev->n) == -1) {
			return ws_raw_refuse(w, o, WS_CLOSE_INTERNAL, "out of memory");
		}
	} else if (ev->message_end) {
		if (!r->sent)
			ws_raw_send_packet(o, b->n > 0 ? b->p : "", b->n);
		r->sent = false;
		buf_clear(b);
	}
	return true;
}

bool
ws_raw_event(struct ws *w, struct ws_out *o, const struct ws_event *ev)
{
	struct ws_raw *r = w->backend.raw;

	if (w->mode == WS_MODE_PACKET)
		return ws_raw_to_packet(w, o, ev);
	if (ev->kind == WS_EV_FRAME)
		r->frame_partial = r->partial;
	if (w->mode == WS_MODE_STREAM) {
		if (ev->kind == WS_EV_DATA)
			ws_out_bytes(o, ev->data, ev->n);
	} else if (!ws_raw_to_lines(w, o, ev)) {
		return false;
	}
	if (ev->kind == WS_EV_DATA && o->to != NULL)
		r->partial = true;
	else if (ev->kind == WS_EV_FRAME_END && ev->message_end)
		r->partial = false;
	return true;
}

/* ---- application to client ---- */

static const char ws_raw_not_text[] = "the application sent text that is not UTF-8";
static const char ws_raw_too_long[] = "the application sent what is longer than MaxMessageSize";

static void
ws_raw_emit(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool last)
{
	ws_emit(w, o, w->backend.raw->opcode, p, n, last, last ? n : WS_LENGTH_UNKNOWN);
	w->bytes_out += n;
	w->messages_out += last;
}

/* A run of a line; NULL, or why it may not be one. */
static const char *
ws_raw_emit_line(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool last)
{
	struct ws_raw *r = w->backend.raw;

	if (r->opcode == WS_TEXT &&
	    (!ws_utf8_feed(&r->utf8, p, n) || (last && r->utf8 != WS_UTF8_START)))
		return ws_raw_not_text;
	ws_raw_emit(w, o, p, n, last);
	return NULL;
}

/* A piece of a line without its LF; a CR at its end is held back until it is known what follows. */
static const char *
ws_raw_line_piece(struct ws *w, struct ws_out *o, uint8_t *p, size_t n, bool last)
{
	static uint8_t cr[1] = { '\r' };
	struct ws_raw *r = w->backend.raw;
	uint64_t max = ws_config(w)->max_message_size;
	const char *why;

	if (r->cr && n > 0) {
		r->line_n++;
		if ((why = ws_raw_emit_line(w, o, cr, 1, false)) != NULL)
			return why;
	}
	if (n > 0 || last)
		r->cr = false;
	if (n > 0 && p[n - 1] == '\r') {
		n--;
		r->cr = !last;
	}
	r->line_n += n;
	if (max != 0 && r->line_n > max)
		return ws_raw_too_long;
	r->open = !last;
	if (last)
		r->line_n = 0;
	return n == 0 && !last ? NULL : ws_raw_emit_line(w, o, p, n, last);
}

static const char *
ws_raw_from_lines(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	const char *why;
	uint8_t *lf;

	while (n > 0 && (lf = memchr(p, '\n', n)) != NULL) {
		size_t line = (size_t)(lf - p);

		if ((why = ws_raw_line_piece(w, o, p, line, true)) != NULL)
			return why;
		p += line + 1;
		n -= line + 1;
	}
	return n == 0 ? NULL : ws_raw_line_piece(w, o, p, n, false);
}

/* Where to cut n bytes of a stream so that no message is longer than max. */
static size_t
ws_raw_cut(const struct ws_raw *r, const uint8_t *p, size_t n, uint64_t max)
{
	size_t cut;

	if (max == 0 || n <= max)
		return n;
	if (r->opcode != WS_TEXT)
		return (size_t)max;
	cut = ws_utf8_cut(p, (size_t)max);
	return cut > 0 ? cut : ws_utf8_cut(p, n < 4 ? n : 4); /* a character is longer than max */
}

/* Each read is a message, or several where the largest is shorter. */
static void
ws_raw_emit_stream(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t cut = ws_raw_cut(w->backend.raw, p, n, ws_config(w)->max_message_size);

		ws_raw_emit(w, o, p, cut, true);
		p += cut;
		n -= cut;
	}
}

/*
 * Text is cut between characters only: the rest of one waits for the next read, and
 * then stands in front of it, in the scratch's headroom.
 */
static const char *
ws_raw_from_text_stream(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	struct ws_raw *r = w->backend.raw;
	uint8_t state = WS_UTF8_START;
	size_t whole;

	if (r->carry_n > 0) {
		p -= r->carry_n;
		n += r->carry_n;
		memcpy(p, r->carry, r->carry_n);
	}
	if (!ws_utf8_feed(&state, p, n))
		return ws_raw_not_text;
	whole = ws_utf8_cut(p, n);
	r->carry_n = (uint8_t)(n - whole);
	memcpy(r->carry, p + whole, r->carry_n);
	ws_raw_emit_stream(w, o, p, whole);
	return NULL;
}

/* NULL, or why it cannot be a message, or messages. */
static const char *
ws_raw_from_backend(struct ws *w, struct ws_out *o, uint8_t *p, size_t n)
{
	uint64_t max = ws_config(w)->max_message_size;
	uint8_t state = WS_UTF8_START;

	if (w->mode == WS_MODE_LINES)
		return ws_raw_from_lines(w, o, p, n);
	if (w->mode == WS_MODE_STREAM) {
		if (w->backend.raw->opcode == WS_TEXT)
			return ws_raw_from_text_stream(w, o, p, n);
		ws_raw_emit_stream(w, o, p, n);
		return NULL;
	}
	if (max != 0 && n > max)
		return ws_raw_too_long;
	if (w->backend.raw->opcode == WS_TEXT &&
	    (!ws_utf8_feed(&state, p, n) || state != WS_UTF8_START))
		return ws_raw_not_text;
	ws_raw_emit(w, o, p, n, true);
	return NULL;
}

/* The application broke its protocol: who reads the client's Close is told how. */
static void
ws_raw_bad(struct ws *w, const char *why)
{
	w->backend.flags |= LEG_BROKEN;
	ws_leave(w, &w->backend, true);
	ws_backend_lost(w, why);
}

static void
ws_raw_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);
	const char *why;
	struct ws_out o;

	w->ss.last_data = leg->last_rx = ws_stamp(w);
	if ((w->client.flags & LEG_CLOSE_SENT) != 0)
		return;
	/* The client has closed, and the application finishes what it has to say. */
	if (w->close_at != 0)
		w->close_at = ws_stamp_in(w, ws_config(w)->close_timeout_ms);
	ws_out_init(&o, w->client.s);
	ws_tally_begin(w, leg);
	why = ws_raw_from_backend(w, &o, p, n);
	ws_tally_end(w);
	ws_out_flush(&o);
	if (why == NULL) {
		ws_flow(w, leg);
		return;
	}
	ws_raw_bad(w, why);
}

/* What stands before the application's end: a last line without its LF. False: it is not whole. */
static bool
ws_raw_finish_text(struct ws *w)
{
	static uint8_t cr[1] = { '\r' };
	struct ws_raw *r = w->backend.raw;
	struct ws_out o;
	bool whole = r->carry_n == 0;

	if (r->open) {
		ws_out_init(&o, w->client.s);
		ws_tally_begin(w, &w->backend);
		whole = (r->cr ? ws_raw_emit_line(w, &o, cr, 1, true)
			       : ws_raw_line_piece(w, &o, cr, 0, true)) == NULL;
		r->open = false;
		ws_tally_end(w);
		ws_out_flush(&o);
	}
	return whole;
}

/* The application has said all: a Close 1000, or the answer to the client's. */
static void
ws_raw_on_end(struct stream *s)
{
	struct ws_leg *leg = s->user;
	struct ws *w = ws_of_leg(leg);

	ws_leave(w, leg, false);
	if ((w->client.flags & LEG_CLOSE_SENT) != 0)
		return; /* the client's Close is awaited */
	if (!ws_raw_finish_text(w)) {
		ws_raw_bad(w, "the application's text ends within a character");
		return;
	}
	if ((w->client.flags & LEG_CLOSE_CAME) != 0) {
		ws_send_close(w, &w->client, w->ss.close_code, w->reason,
		    w->reason != NULL ? strlen(w->reason) : 0);
		ws_finish(w, false);
		return;
	}
	ws_note_end(w, WS_CLOSE_NORMAL, SESSION_BY_BACKEND, NULL);
	ws_send_close(w, &w->client, WS_CLOSE_NORMAL, NULL, 0);
	ws_closing(w);
}

const struct stream_events ws_raw_events = {
	.bytes = ws_raw_on_bytes,
	.room = ws_on_room,
	.end = ws_raw_on_end,
	.reset = ws_on_reset,
	.budget = ws_budget,
};
