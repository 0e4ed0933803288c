/*
 * The rules for a sequence of frames (RFC 6455 5) in one direction.  Pure but
 * for the allocation of `hold`; a reader belongs to one connection and its
 * thread.  The gateway and wsdial call it; it calls ws_frame, ws_mask, ws_utf8.
 *
 * A reader stands in one of the states below.  Between frames the header is
 * read in place; only what the caller's bytes cut (a header, or a control
 * frame, which is handed out whole) is gathered in `hold`, byte for byte no
 * more than it needs, so that nothing has to be given back.  hold outlives
 * the event that was made from it until the next call, which frees it.
 *
 * All judging is done on the bytes in the order in which they come, so a
 * stream gives the same events however it is cut, but for the cuts of
 * WS_EV_DATA.
 */
#include "codec/ws_msg.h"

#include <string.h>

#include "base/mem.h"
#include "codec/ws_mask.h"
#include "codec/ws_utf8.h"

enum reader_state {
	READER_HEAD,	/* between frames */
	READER_HELD,	/* a header or control frame is being gathered in hold */
	READER_PAYLOAD, /* in a data frame, or at its end before it is told */
	READER_BAD,	/* WS_EV_BAD or WS_EV_NOMEM was told */
};

#define CONTROL_MAX (2 + 4 + WS_CONTROL_MAX) /* whole masked control frame, bytes */

bool
ws_close_code_valid(unsigned code)
{
	/* RFC 6455 7.4.1, 7.4.2: 1004 is reserved, 1005, 1006 and 1015 never on the wire. */
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	    (code >= 3000 && code <= 4999);
}

void
ws_reader_init(struct ws_reader *r)
{
	memset(r, 0, sizeof(*r));
	r->state = READER_HEAD;
	r->utf8 = WS_UTF8_START;
}

void
ws_reader_clear(struct ws_reader *r)
{
	mem_free(r->hold);
	ws_reader_init(r);
}

static void
reader_bad(struct ws_reader *r, struct ws_event *ev, uint16_t close_code, const char *why)
{
	r->state = READER_BAD;
	ev->kind = WS_EV_BAD;
	ev->close_code = close_code;
	ev->why = why;
}

/* What is wrong with the first byte of a header, or NULL. */
static const char *
reader_check_first(const struct ws_reader *r, const struct ws_rules *rules, uint8_t b)
{
	unsigned op = b & 0x0f, rsv = b & WS_BIT_RSV;

	if (op >= WS_CLOSE) {
		if (op > WS_PONG)
			return "reserved control opcode"; /* RFC 6455 5.2 */
		if (rsv != 0)
			return "reserved bit in a control frame"; /* RFC 6455 5.2, RFC 7692 6.1 */
		if ((b & WS_BIT_FIN) == 0)
			return "fragmented control frame"; /* RFC 6455 5.5 */
		return NULL;
	}
	if (op > WS_BINARY)
		return "reserved data opcode"; /* RFC 6455 5.2 */
	if (op == WS_CONT) {
		if (r->opcode == 0)
			return "continuation without a message"; /* RFC 6455 5.4 */
	} else {
		if (r->opcode != 0)
			return "new message inside a message"; /* RFC 6455 5.4 */
		if (rules->allow_rsv1)
			rsv &= ~WS_BIT_RSV1; /* on the first frame only (RFC 7692 6.1) */
	}
	if (rsv != 0)
		return "reserved bit set"; /* RFC 6455 5.2 */
	return NULL;
}

/* The same for the second byte; the first one has passed. */
static const char *
reader_check_second(const struct ws_rules *rules, const uint8_t *p)
{
	if (((p[1] & 0x80) != 0) != rules->masked) /* RFC 6455 5.1 */
		return rules->masked ? "frame is not masked" : "frame is masked";
	if ((p[0] & 0x0f) >= WS_CLOSE && (p[1] & 0x7f) > WS_CONTROL_MAX)
		return "control frame is too long"; /* RFC 6455 5.5 */
	return NULL;
}

/*
 * Read and judge the header at p[0..n) into ev->frame.  WS_FRAME_BAD has
 * filled ev; WS_FRAME_MORE has judged what there is.
 */
static enum ws_frame_status
reader_header(struct ws_reader *r, const struct ws_rules *rules, const uint8_t *p, size_t n,
    struct ws_event *ev)
{
	const char *why = NULL;
	enum ws_frame_status status;

	if (n >= 1)
		why = reader_check_first(r, rules, p[0]);
	if (why == NULL && n >= 2)
		why = reader_check_second(rules, p);
	if (why != NULL) {
		reader_bad(r, ev, WS_CLOSE_PROTOCOL, why);
		return WS_FRAME_BAD;
	}
	status = ws_frame_read(p, n, &ev->frame);
	if (status == WS_FRAME_BAD)
		reader_bad(r, ev, WS_CLOSE_PROTOCOL, "payload length is not minimal");
	return status;
}

/* A data frame's header is in ev->frame, its bytes at raw: go into its payload. */
static void
reader_begin_data(
    struct ws_reader *r, const struct ws_rules *rules, const uint8_t *raw, struct ws_event *ev)
{
	const struct ws_frame *f = &ev->frame;
	uint64_t before = f->opcode == WS_CONT ? r->message_n : 0;
	bool compressed = f->opcode == WS_CONT ? r->compressed : f->rsv1;

	if (rules->max_message != 0 && !(compressed && rules->inflated) &&
	    (before > rules->max_message || f->length > rules->max_message - before)) {
		reader_bad(r, ev, WS_CLOSE_TOO_BIG, "message is too big");
		return;
	}
	if (f->opcode != WS_CONT) {
		r->opcode = f->opcode;
		r->compressed = compressed;
		r->utf8 = WS_UTF8_START;
	}
	r->message_n = before + f->length;
	if (r->message_n < before)
		r->message_n = UINT64_MAX; /* frames of 2^63 each; without a limit nobody minds */
	r->length = r->left = f->length;
	memcpy(r->mask, f->mask, 4);
	r->first = raw[0];
	r->state = READER_PAYLOAD;
	ev->kind = WS_EV_FRAME;
	ev->raw = raw;
	ev->message_start = f->opcode != WS_CONT;
}

/* The whole control frame in ev->frame has its payload at data. */
static void
reader_take_control(struct ws_reader *r, uint8_t *data, struct ws_event *ev)
{
	size_t n = (size_t)ev->frame.length;
	uint8_t utf8 = WS_UTF8_START;

	if (ev->frame.masked)
		ws_mask_copy(data, data, n, ev->frame.mask, 0);
	r->state = READER_HEAD;
	ev->kind = WS_EV_CONTROL;
	ev->data = data;
	ev->n = n;
	ev->code = WS_CLOSE_NO_STATUS;
	if (ev->frame.opcode != WS_CLOSE || n == 0)
		return;
	if (n == 1) { /* RFC 6455 5.5.1: the body MUST start with a 2-byte code */
		reader_bad(r, ev, WS_CLOSE_PROTOCOL, "Close with half a code");
		return;
	}
	ev->code = (uint16_t)(data[0] << 8 | data[1]);
	if (!ws_close_code_valid(ev->code)) /* RFC 6455 7.4 */
		reader_bad(r, ev, WS_CLOSE_PROTOCOL, "Close with a code that may not be sent");
	else if (!ws_utf8_feed(&utf8, data + 2, n - 2) || utf8 != WS_UTF8_START)
		reader_bad(r, ev, WS_CLOSE_NOT_UTF8, "Close reason is not UTF-8"); /* 5.5.1 */
}

/* Start to gather: p[0..n), n > 0, is the start of a header or control frame. */
static void
reader_hold(struct ws_reader *r, const uint8_t *p, size_t n, struct ws_event *ev)
{
	r->hold = mem_alloc((p[0] & 0x0f) >= WS_CLOSE ? CONTROL_MAX : WS_HEADER_MAX);
	if (r->hold == NULL) {
		r->state = READER_BAD;
		ev->kind = WS_EV_NOMEM;
		return;
	}
	memcpy(r->hold, p, n);
	r->hold_n = (uint8_t)n;
	r->state = READER_HELD;
}

/* How many bytes must be in hold to go on, as far as the n that are there tell. */
static size_t
reader_hold_target(const uint8_t *hold, size_t n)
{
	size_t header, length;

	if (n < 2)
		return 2;
	length = hold[1] & 0x7f;
	header = (hold[1] & 0x80) != 0 ? 6 : 2;
	if (length > WS_CONTROL_MAX)
		return header + (length == 126 ? 2 : 8);
	return (hold[0] & 0x0f) >= WS_CLOSE ? header + length : header;
}

/* Gather on from p[0..n) until there is an event. */
static void
reader_next_held(struct ws_reader *r, const struct ws_rules *rules, const uint8_t *p, size_t n,
    size_t *used, struct ws_event *ev)
{
	for (;;) {
		size_t want = reader_hold_target(r->hold, r->hold_n) - r->hold_n;
		size_t k = want < n - *used ? want : n - *used;
		enum ws_frame_status status;

		memcpy(r->hold + r->hold_n, p + *used, k);
		r->hold_n += (uint8_t)k;
		*used += k;
		status = reader_header(r, rules, r->hold, r->hold_n, ev);
		if (status == WS_FRAME_BAD)
			return;
		if (status == WS_FRAME_OK && ev->frame.opcode < WS_CLOSE) {
			reader_begin_data(r, rules, r->hold, ev);
			return;
		}
		if (status == WS_FRAME_OK && r->hold_n == ev->frame.header_n + ev->frame.length) {
			reader_take_control(r, r->hold + ev->frame.header_n, ev);
			return;
		}
		if (*used == n)
			return;
	}
}

/* Between frames, with n > 0 bytes at p. */
static void
reader_next_head(struct ws_reader *r, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *used, struct ws_event *ev)
{
	enum ws_frame_status status = reader_header(r, rules, p, n, ev);

	if (status == WS_FRAME_BAD)
		return;
	if (status == WS_FRAME_OK) {
		size_t header = ev->frame.header_n;

		if (ev->frame.opcode < WS_CLOSE) {
			*used = header;
			reader_begin_data(r, rules, p, ev);
			return;
		}
		if (n - header >= ev->frame.length) {
			*used = header + (size_t)ev->frame.length;
			reader_take_control(r, p + header, ev);
			return;
		}
	}
	*used = n;
	reader_hold(r, p, n, ev);
}

static const char reader_half_character[] = "text ends inside a character";

/* How many of p[0..n), payload of a checked text, are valid from r->utf8 on; moves it. */
static size_t
reader_check_text(struct ws_reader *r, const struct ws_rules *rules, const uint8_t *p, size_t n)
{
	uint64_t offset = r->length - r->left;
	uint8_t before = r->utf8, next;
	size_t i;

	if (rules->masked ? ws_utf8_feed_masked(&r->utf8, p, n, r->mask, offset)
			  : ws_utf8_feed(&r->utf8, p, n))
		return n;
	/* Once in a connection's life: find the byte, and stand before it. */
	for (i = 0, next = before; i < n; i++, before = next)
		if (!ws_utf8_feed_masked(&next, p + i, 1, r->mask, offset + i))
			break;
	r->utf8 = before;
	return i;
}

/*
 * The same, at the end of the message too (RFC 6455 8.1): 0 with *why when the text cannot go on
 * with p[0].  The last byte of one that ends inside a character is held back: with it, what is
 * handed on would be a whole message.
 */
static size_t
reader_take_text(
    struct ws_reader *r, const struct ws_rules *rules, const uint8_t *p, size_t n, const char **why)
{
	uint8_t before = r->utf8;
	size_t k = reader_check_text(r, rules, p, n);

	*why = "text is not UTF-8";
	if (k != r->left || (r->first & WS_BIT_FIN) == 0 || r->utf8 == WS_UTF8_START)
		return k;
	*why = reader_half_character;
	r->utf8 = before;
	return k == 1 ? 0 : reader_check_text(r, rules, p, k - 1);
}

/* In a data frame: ev->frame again for a caller whose event is a new one. */
static void
reader_fill_frame(const struct ws_reader *r, const struct ws_rules *rules, struct ws_frame *f)
{
	f->length = r->length;
	memcpy(f->mask, r->mask, 4);
	f->opcode = r->first & 0x0f;
	f->header_n = (uint8_t)ws_frame_header_size(r->length, rules->masked);
	f->fin = (r->first & WS_BIT_FIN) != 0;
	f->rsv1 = (r->first & WS_BIT_RSV1) != 0;
	f->rsv2 = f->rsv3 = false; /* refused by reader_check_first */
	f->masked = rules->masked;
}

static void
reader_next_payload(struct ws_reader *r, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *used, struct ws_event *ev)
{
	bool check = rules->check_utf8 && r->opcode == WS_TEXT && !r->compressed;
	const char *why;

	if (r->left != 0) {
		size_t k = r->left < n ? (size_t)r->left : n;

		if (n == 0)
			return;
		if (check && (k = reader_take_text(r, rules, p, k, &why)) == 0) {
			reader_bad(r, ev, WS_CLOSE_NOT_UTF8, why);
			return;
		}
		reader_fill_frame(r, rules, &ev->frame);
		ev->kind = WS_EV_DATA;
		ev->data = p;
		ev->n = *used = k;
		ev->mask_offset = r->length - r->left;
		r->left -= k;
		return;
	}
	ev->message_end = (r->first & WS_BIT_FIN) != 0;
	if (check && ev->message_end && r->utf8 != WS_UTF8_START) {
		reader_bad(r, ev, WS_CLOSE_NOT_UTF8, reader_half_character); /* 8.1 */
		return;
	}
	reader_fill_frame(r, rules, &ev->frame);
	ev->kind = WS_EV_FRAME_END;
	r->state = READER_HEAD;
	if (ev->message_end) {
		r->opcode = 0;
		r->message_n = 0;
	}
}

void
ws_reader_next(struct ws_reader *r, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *used, struct ws_event *ev)
{
	*used = 0;
	ev->kind = WS_EV_MORE;
	if (r->hold != NULL && r->state != READER_HELD) {
		mem_free(r->hold); /* the event that was made from it is over */
		r->hold = NULL;
		r->hold_n = 0;
	}
	switch ((enum reader_state)r->state) {
	case READER_HEAD:
		if (n > 0)
			reader_next_head(r, rules, p, n, used, ev);
		break;
	case READER_HELD:
		if (n > 0)
			reader_next_held(r, rules, p, n, used, ev);
		break;
	case READER_PAYLOAD:
		reader_next_payload(r, rules, p, n, used, ev);
		break;
	case READER_BAD:
		reader_bad(r, ev, WS_CLOSE_PROTOCOL, "bytes after a protocol error");
		break;
	}
}

bool
ws_reader_at_frame_boundary(const struct ws_reader *r)
{
	return r->state == READER_HEAD;
}

bool
ws_reader_at_message_boundary(const struct ws_reader *r)
{
	return r->state == READER_HEAD && r->opcode == 0;
}
