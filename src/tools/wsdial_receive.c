/*
 * What comes over a WebSocket.  See wsdial_session_int.h.
 *
 * The bytes run through a ws_reader with a client's rules (frames that come are not masked, RFC
 * 6455 5.1).  A message that is not compressed and came with one read is handed up where it stands;
 * another one is put together in `message` first.
 *
 * Up-calls may close or free the session: after each of them wsdial_receiving says whether to go
 * on.
 */
#include <stdio.h>

#include "codec/ws_utf8.h"
#include "tools/wsdial_session_int.h"
#include "tools/wsdial_trace.h"

/* A large message's memory is given back. */
#define WSDIAL_MESSAGE_KEEP (1024 * 1024)

static bool
wsdial_receiving(const struct wsdial_session *ss)
{
	return ss->phase == WSDIAL_SS_OPEN || ss->phase == WSDIAL_SS_CLOSING;
}

/* The server broke the protocol (RFC 6455 7.1.7). */
static void
wsdial_receive_bad(struct wsdial_session *ss, unsigned code, const char *why)
{
	wsdial_session_say(ss, "the server broke the protocol: %s", why);
	if (ss->phase == WSDIAL_SS_OPEN)
		wsdial_session_send_close(ss, code, why);
	wsdial_session_ending(ss, WSDIAL_FAILED);
}

static void
wsdial_receive_too_big(struct wsdial_session *ss)
{
	if (ss->message.n < WSDIAL_MESSAGE_MAX - WS_DEFLATE_OUT_MIN) {
		wsdial_receive_bad(ss, WS_CLOSE_INTERNAL, "out of memory");
		wsdial_session_say(ss, "out of memory");
		return;
	}
	wsdial_receive_bad(ss, WS_CLOSE_TOO_BIG, "a message is too big");
	wsdial_session_say(ss, "a message is too big for wsdial");
}

static void
wsdial_receive_inflate(struct wsdial_session *ss, const uint8_t *p, size_t n, bool last)
{
	switch (wsdial_deflate_inflate(&ss->deflate, p, n, last, &ss->message)) {
	case WS_DEFLATE_OK:
		ss->message_n = ss->message.n;
		break;
	case WS_DEFLATE_BAD:
		wsdial_receive_bad(ss, WS_CLOSE_NOT_UTF8, "bad deflate data"); /* RFC 7692 7.2.2 */
		break;
	case WS_DEFLATE_FULL:
		wsdial_receive_too_big(ss);
		break;
	case WS_DEFLATE_NOMEM:
		wsdial_receive_bad(ss, WS_CLOSE_INTERNAL, "out of memory");
		break;
	}
}

/* A run of payload that is not compressed. */
static void
wsdial_receive_run(struct wsdial_session *ss, const struct ws_event *ev)
{
	ss->message_n += ev->n;
	if (ev->frame.fin && ss->message_n == ev->frame.length && ev->n == ev->frame.length)
		ss->run = ev->data;
	else if (buf_append(&ss->message, ev->data, ev->n) == -1)
		wsdial_receive_too_big(ss);
}

static void
wsdial_receive_frame(struct wsdial_session *ss, const struct ws_event *ev)
{
	wsdial_trace_frame(ss->env->out, false, &ev->frame, NULL);
	if (!ev->message_start)
		return;
	ss->message.n = 0;
	ss->message_n = 0;
	ss->run = NULL;
	ss->compressed = ev->frame.rsv1;
	ss->binary = ev->frame.opcode == WS_BINARY;
}

static bool
wsdial_is_utf8(const struct buf *b)
{
	uint8_t state = WS_UTF8_START;

	return ws_utf8_feed(&state, (const uint8_t *)b->p, b->n) && state == WS_UTF8_START;
}

static void
wsdial_receive_message(struct wsdial_session *ss)
{
	const uint8_t *p = ss->run;

	if (ss->compressed) {
		wsdial_receive_inflate(ss, NULL, 0, true);
		if (!wsdial_receiving(ss))
			return;
		/* What is not compressed the reader has checked. */
		if (!ss->binary && ss->message.n > 0 && !wsdial_is_utf8(&ss->message)) {
			wsdial_receive_bad(ss, WS_CLOSE_NOT_UTF8, "text is not UTF-8");
			return;
		}
	}
	if (p == NULL)
		p = (const uint8_t *)(ss->message.p != NULL ? ss->message.p : "");
	ss->ev->message(ss, ss->binary, p, ss->message_n);
	if (!ss->freed && ss->message.cap > WSDIAL_MESSAGE_KEEP)
		buf_clear(&ss->message);
}

/* The peer's Close. */
static void
wsdial_receive_close(struct wsdial_session *ss, const struct ws_event *ev)
{
	struct span reason = { (const char *)ev->data + 2, ev->n > 2 ? ev->n - 2 : 0 };
	enum wsdial_status status = WSDIAL_OK;
	char quoted[4 * WS_CONTROL_MAX + 16] = "";

	if (ev->code != WS_CLOSE_NORMAL && ev->code != WS_CLOSE_NO_STATUS) {
		status = WSDIAL_FAILED;
		if (reason.n > 0)
			wsdial_quote(quoted, sizeof(quoted), reason);
		wsdial_session_say(
		    ss, "the server closed with %u%s%s", ev->code, reason.n > 0 ? " " : "", quoted);
	}
	if (ss->phase == WSDIAL_SS_OPEN) /* RFC 6455 5.5.1: the answer has the same code */
		wsdial_session_send_close(ss, ev->code, "");
	wsdial_session_ending(ss, status);
}

static void
wsdial_receive_control(struct wsdial_session *ss, const struct ws_event *ev)
{
	wsdial_trace_frame(ss->env->out, false, &ev->frame, ev->data);
	switch (ev->frame.opcode) {
	case WS_PING:
		if (ss->phase == WSDIAL_SS_OPEN)
			(void)wsdial_session_frame(ss, WS_PONG, ev->data, ev->n);
		break;
	case WS_PONG:
		if (!wsdial_keepalive_take(&ss->keepalive, ev->data, ev->n) && ss->ev->pong != NULL)
			ss->ev->pong(ss, ev->data, ev->n);
		break;
	default:
		wsdial_receive_close(ss, ev);
		break;
	}
}

static void
wsdial_receive_event(struct wsdial_session *ss, const struct ws_event *ev)
{
	switch (ev->kind) {
	case WS_EV_MORE:
		break;
	case WS_EV_FRAME:
		wsdial_receive_frame(ss, ev);
		break;
	case WS_EV_DATA:
		if (ss->compressed)
			wsdial_receive_inflate(ss, ev->data, ev->n, false);
		else
			wsdial_receive_run(ss, ev);
		break;
	case WS_EV_FRAME_END:
		if (ev->message_end)
			wsdial_receive_message(ss);
		break;
	case WS_EV_CONTROL:
		wsdial_receive_control(ss, ev);
		break;
	case WS_EV_BAD:
		wsdial_receive_bad(ss, ev->close_code, ev->why);
		break;
	case WS_EV_NOMEM:
		wsdial_receive_bad(ss, WS_CLOSE_INTERNAL, "out of memory");
		break;
	}
}

void
wsdial_receive(struct stream *s, uint8_t *p, size_t n)
{
	struct wsdial_session *ss = s->user;
	struct ws_event ev;
	size_t at = 0, used;

	if (!wsdial_receiving(ss))
		return; /* nothing is of interest behind the Close */
	wsdial_keepalive_heard(&ss->keepalive);
	if (ss->phase == WSDIAL_SS_CLOSING)
		wsdial_session_wait_close(ss);
	do {
		ws_reader_next(&ss->in, &ss->rules, p + at, n - at, &used, &ev);
		at += used;
		wsdial_receive_event(ss, &ev);
	} while (ev.kind != WS_EV_MORE && wsdial_receiving(ss));
}
