/*
 * One WebSocket of --load: what it sends, and the check of what comes back.  See wsdial_load.h.
 *
 * All WebSockets send the same frames out of one piece of memory that holds as many of them as one
 * write takes; `at` is where a WebSocket stands in it, and wraps around.  Control frames (a PONG,
 * our Close) go out between two of them.
 *
 * What comes is checked byte by byte, but by memcmp: an answer has to be what was sent, in the type
 * that was sent, however it is cut into frames; with --answer only its length counts.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/ws_mask.h"
#include "codec/ws_msg.h"
#include "io/loop.h"
#include "tools/wsdial_load.h"
#include "tools/wsdial_trace.h"

/* Frames for one write, unless a single one is longer. */
#define WSDIAL_FRAMES_BYTES (64 * 1024)
#define WSDIAL_FRAMES_MAX 256

static const char wsdial_no_echo[] = "a message came back otherwise than it was sent: --load needs "
				     "a server that echoes";

/* ---- the frames */

/* Text that compresses, but not to nothing. */
static void
wsdial_load_make_text(uint8_t *p, size_t n)
{
	uint32_t state = 2463534242;

	for (size_t i = 0; i < n; i++) {
		if (i % 4 == 0) { /* xorshift */
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
		}
		p[i] = (uint8_t)("etaoin shrdlucmf"[state >> (i % 4 * 4) & 15]);
	}
}

/* The payload that goes out for the message, compressed on its own; its length, or SIZE_MAX. */
static size_t
wsdial_load_compress(struct wsdial_load *load, const uint8_t *message, size_t n, struct buf *to)
{
	struct ws_ext ext = { .client_bits = load->client_bits, .client_no_takeover = true };
	struct wsdial_deflate d;
	int ret;

	wsdial_deflate_init(&d, load->env->pool, &ext, false);
	ret = wsdial_deflate_message(&d, message, n, to);
	wsdial_deflate_clear(&d);
	return ret == 0 ? to->n : SIZE_MAX;
}

static int
wsdial_load_fill_frames(struct wsdial_load *load, uint8_t first, const uint8_t *payload, size_t n)
{
	size_t header = ws_frame_header_size(n, true), count = WSDIAL_FRAMES_BYTES / (header + n);
	uint32_t random;
	uint8_t mask[4], *at;

	count = count == 0 ? 1 : count < WSDIAL_FRAMES_MAX ? count : WSDIAL_FRAMES_MAX;
	load->frame_n = header + n;
	load->frames_n = count * load->frame_n;
	if ((load->frames = mem_alloc(load->frames_n)) == NULL)
		return -1;
	at = load->frames;
	for (size_t i = 0; i < count; i++, at += load->frame_n) {
		random = loop_random(load->env->loop);
		memcpy(mask, &random, sizeof(mask));
		ws_frame_write(at, first, n, mask);
		ws_mask_copy(at + header, payload, n, mask, 0);
	}
	return 0;
}

int
wsdial_load_make_frames(struct wsdial_load *load)
{
	const struct wsdial_options *o = load->env->o;
	uint8_t first = WS_BIT_FIN | (o->binary ? WS_BINARY : WS_TEXT);
	const uint8_t *payload;
	size_t n = load->run.size;
	struct buf compressed;
	int ret = -1;

	wsdial_load_free_frames(load);
	buf_init(&compressed, n + n / 8 + 4096);
	if ((load->message = mem_alloc(n > 0 ? n : 1)) == NULL)
		return -1;
	wsdial_load_make_text(load->message, n);
	payload = load->message;
	if (load->deflate && !o->leave_plain && load->client_bits != WS_EXT_BITS_MIN) {
		first |= WS_BIT_RSV1; /* RFC 7692 6.1 */
		n = wsdial_load_compress(load, load->message, n, &compressed);
		payload = (const uint8_t *)compressed.p;
	}
	if (n != SIZE_MAX)
		ret = wsdial_load_fill_frames(load, first, payload, n);
	buf_clear(&compressed);
	return ret;
}

void
wsdial_load_free_frames(struct wsdial_load *load)
{
	mem_free(load->message);
	mem_free(load->frames);
	load->message = NULL;
	load->frames = NULL;
}

/* ---- its life */

void
wsdial_load_ws_init(struct wsdial_load_ws *ws)
{
	wsdial_load_ws_clear(ws);
	ws->state = WSDIAL_LW_OPENING;
	ws->aged = false;
	ws->at = 0;
	ws->owed = 0;
	ws->first = 0;
	ws->n = 0;
	ws->left = 0;
	ws->message_n = 0;
	ws->raw_n = 0;
	ws->in_message = false;
	ws->close_waits = false;
}

void
wsdial_load_ws_clear(struct wsdial_load_ws *ws)
{
	mem_free(ws->control);
	ws->control = NULL;
	if (ws->deflate != NULL)
		wsdial_deflate_clear(ws->deflate);
	mem_free(ws->deflate);
	ws->deflate = NULL;
	ws->state = WSDIAL_LW_NONE;
}

/* ---- out */

void
wsdial_load_ws_send(struct wsdial_load_ws *ws, uint64_t n, uint64_t now_us)
{
	uint64_t in_flight = ws->load->run.in_flight;

	if (n > ws->allowance)
		n = ws->allowance;
	if (n == 0 || ws->state != WSDIAL_LW_OPEN)
		return;
	ws->allowance -= n;
	ws->load->out += n;
	ws->owed += n * ws->load->frame_n;
	for (; n > 0; n--)
		ws->sent_us[(ws->first + ws->n++) % in_flight] = now_us;
	ws->load->carrier->push(ws);
}

/* Behind what was begun; an earlier control frame that waits still is let go. */
static void
wsdial_load_ws_control(struct wsdial_load_ws *ws, uint8_t opcode, const void *p, size_t n)
{
	uint32_t random = loop_random(ws->load->env->loop);
	uint8_t mask[4];

	if (ws->control != NULL && ws->control_at > 0)
		return; /* a PONG for each PING is not owed: RFC 6455 5.5.3 */
	memcpy(mask, &random, sizeof(mask));
	if (ws->control == NULL &&
	    (ws->control = mem_alloc(WS_HEADER_MAX + WS_CONTROL_MAX)) == NULL) {
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false, "out of memory");
		return;
	}
	ws->control_at = 0;
	ws->control_n = (uint8_t)ws_frame_control(ws->control, opcode, p, n, mask);
	ws->load->carrier->push(ws);
}

/* How far the frame that was begun has to go on. */
static size_t
wsdial_load_ws_rest(const struct wsdial_load_ws *ws)
{
	size_t frame_n = ws->load->frame_n;

	return frame_n > 0 && ws->at % frame_n > 0 ? frame_n - ws->at % frame_n : 0;
}

void
wsdial_load_ws_close(struct wsdial_load_ws *ws)
{
	static const uint8_t normal[2] = { WS_CLOSE_NORMAL >> 8, WS_CLOSE_NORMAL & 0xff };

	if (ws->state != WSDIAL_LW_OPEN)
		return;
	ws->state = WSDIAL_LW_CLOSING;
	if (wsdial_load_ws_rest(ws) < ws->owed)
		ws->owed = wsdial_load_ws_rest(ws); /* what was not begun is not sent */
	if (ws->control != NULL && ws->control_at > 0) {
		ws->close_waits = true; /* for the PONG: see wsdial_load_ws_sent */
		return;
	}
	wsdial_load_ws_control(ws, WS_CLOSE, normal, sizeof(normal));
}

bool
wsdial_load_ws_piece(struct wsdial_load_ws *ws, size_t max, struct iovec *out)
{
	struct wsdial_load *load = ws->load;
	size_t n, rest = wsdial_load_ws_rest(ws);

	if (ws->control != NULL && rest == 0) {
		out->iov_base = ws->control + ws->control_at;
		n = (size_t)(ws->control_n - ws->control_at);
	} else if (ws->owed > 0) {
		out->iov_base = load->frames + ws->at;
		n = load->frames_n - ws->at;
		if (n > ws->owed)
			n = ws->owed;
		if (ws->control != NULL && n > rest)
			n = rest;
	} else {
		return false;
	}
	out->iov_len = n < max ? n : max;
	return true;
}

void
wsdial_load_ws_sent(struct wsdial_load_ws *ws, size_t n)
{
	static const uint8_t normal[2] = { WS_CLOSE_NORMAL >> 8, WS_CLOSE_NORMAL & 0xff };

	if (ws->control != NULL && wsdial_load_ws_rest(ws) == 0) {
		ws->control_at += (uint8_t)n;
		if (ws->control_at < ws->control_n)
			return;
		mem_free(ws->control);
		ws->control = NULL;
		if (ws->close_waits) {
			ws->close_waits = false;
			wsdial_load_ws_control(ws, WS_CLOSE, normal, sizeof(normal));
		}
		return;
	}
	ws->owed -= n;
	ws->at += n;
	if (ws->at == ws->load->frames_n)
		ws->at = 0;
}

/* ---- in */

/* The peer's Close, in raw. */
static void
wsdial_load_take_close(struct wsdial_load_ws *ws)
{
	unsigned code = WS_CLOSE_NO_STATUS;
	char quoted[4 * WS_CONTROL_MAX + 16] = "";

	if (ws->raw_n >= 2)
		code = (unsigned)ws->raw[0] << 8 | ws->raw[1];
	if (ws->state == WSDIAL_LW_CLOSING &&
	    (code == WS_CLOSE_NORMAL || code == WS_CLOSE_NO_STATUS)) {
		ws->state = WSDIAL_LW_CLOSED;
		ws->aged = false;
		return;
	}
	if (code == WS_CLOSE_NORMAL || code == WS_CLOSE_NO_STATUS) {
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false, "the server closed a connection");
		return;
	}
	if (ws->raw_n > 2)
		wsdial_quote(quoted, sizeof(quoted),
		    (struct span){ (const char *)ws->raw + 2, ws->raw_n - 2u });
	wsdial_load_fail(ws->load, WSDIAL_FAILED, false, "the server closed with %u%s%s", code,
	    ws->raw_n > 2 ? " " : "", quoted);
}

static void
wsdial_load_take_control(struct wsdial_load_ws *ws, const uint8_t *p, size_t n)
{
	memcpy(ws->raw + ws->raw_n, p, n);
	ws->raw_n += (uint8_t)n;
	if (ws->left > 0)
		return;
	if (ws->frame.opcode == WS_CLOSE)
		wsdial_load_take_close(ws);
	else if (ws->frame.opcode == WS_PING && ws->state == WSDIAL_LW_OPEN)
		wsdial_load_ws_control(ws, WS_PONG, ws->raw, ws->raw_n);
	ws->raw_n = 0;
}

/* Whether the rules allow the frame that begins. */
static bool
wsdial_load_good_frame(struct wsdial_load_ws *ws)
{
	const struct ws_frame *f = &ws->frame;

	if (f->opcode >= WS_CLOSE)
		return f->opcode <= WS_PONG && f->fin && f->length <= WS_CONTROL_MAX && !f->rsv1 &&
		    !f->masked && !f->rsv2 && !f->rsv3;
	if (f->opcode > WS_BINARY || f->masked || f->rsv2 || f->rsv3 ||
	    (f->opcode == WS_CONT) != ws->in_message)
		return false;
	return !f->rsv1 || (ws->deflate != NULL && f->opcode != WS_CONT);
}

/* A header is whole; false: all is over. */
static bool
wsdial_load_take_header(struct wsdial_load_ws *ws)
{
	const struct ws_frame *f = &ws->frame;

	if (!wsdial_load_good_frame(ws)) {
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false,
		    "the server broke the protocol: bad frame header");
		return false;
	}
	ws->left = f->length;
	if (f->opcode >= WS_CLOSE || f->opcode == WS_CONT)
		return true;
	ws->in_message = true;
	ws->compressed = f->rsv1;
	ws->message_n = 0;
	if (f->opcode == (ws->load->env->o->binary ? WS_BINARY : WS_TEXT) ||
	    ws->load->env->o->answer != UINT64_MAX)
		return true;
	wsdial_load_fail(ws->load, WSDIAL_FAILED, true, wsdial_no_echo);
	return false;
}

/* Part of an answer, as it was before it was compressed. */
static bool
wsdial_load_compare(struct wsdial_load_ws *ws, const void *p, size_t n)
{
	const struct wsdial_load *load = ws->load;
	uint64_t expected = load->env->o->answer, at = ws->message_n;

	ws->message_n += n;
	if (expected != UINT64_MAX)
		return ws->message_n <= expected;
	return ws->message_n <= load->run.size && memcmp(load->message + at, p, n) == 0;
}

static bool
wsdial_load_take_data(struct wsdial_load_ws *ws, const uint8_t *p, size_t n)
{
	struct wsdial_load *load = ws->load;
	bool last = ws->left == 0 && ws->frame.fin;

	if (!ws->compressed)
		return wsdial_load_compare(ws, p, n);
	load->text.n = 0;
	return wsdial_deflate_inflate(ws->deflate, p, n, last, &load->text) == WS_DEFLATE_OK &&
	    wsdial_load_compare(ws, load->text.p, load->text.n);
}

/* n bytes of payload; false: all is over. */
static bool
wsdial_load_take_payload(struct wsdial_load_ws *ws, const uint8_t *p, size_t n, uint64_t now_us)
{
	uint64_t expected = ws->load->env->o->answer;

	ws->left -= n;
	if (ws->frame.opcode >= WS_CLOSE) {
		wsdial_load_take_control(ws, p, n);
		return ws->load->status == WSDIAL_OK && ws->state != WSDIAL_LW_CLOSED;
	}
	if (!wsdial_load_take_data(ws, p, n))
		goto bad;
	if (ws->left > 0 || !ws->frame.fin)
		return true;
	ws->in_message = false;
	if (ws->message_n != (expected != UINT64_MAX ? expected : ws->load->run.size) || ws->n == 0)
		goto bad;
	wsdial_load_came(ws, now_us);
	return true;
bad:
	wsdial_load_fail(ws->load, WSDIAL_FAILED, true, wsdial_no_echo);
	return false;
}

/* The next header out of p[0..n), *used of them; whether it is whole. */
static enum ws_frame_status
wsdial_load_read_header(struct wsdial_load_ws *ws, const uint8_t *p, size_t n, size_t *used)
{
	enum ws_frame_status st = WS_FRAME_MORE;

	*used = 0;
	if (ws->raw_n == 0 && (st = ws_frame_read(p, n, &ws->frame)) != WS_FRAME_MORE) {
		*used = ws->frame.header_n;
		return st;
	}
	while (*used < n && st == WS_FRAME_MORE) {
		ws->raw[ws->raw_n++] = p[(*used)++];
		st = ws_frame_read(ws->raw, ws->raw_n, &ws->frame);
	}
	if (st == WS_FRAME_OK)
		ws->raw_n = 0;
	return st;
}

static void
wsdial_load_take_frames(struct wsdial_load_ws *ws, uint8_t *p, size_t n, uint64_t now_us)
{
	size_t used;
	bool header = ws->left == 0;

	while (n > 0 || !header) {
		if (header) {
			switch (wsdial_load_read_header(ws, p, n, &used)) {
			case WS_FRAME_MORE:
				return;
			case WS_FRAME_BAD:
				ws->frame.opcode = 0xf; /* is judged there */
				break;
			case WS_FRAME_OK:
				break;
			}
			p += used;
			n -= used;
			if (!wsdial_load_take_header(ws))
				return;
		}
		used = ws->left < n ? (size_t)ws->left : n;
		if ((used > 0 || ws->left == 0) && !wsdial_load_take_payload(ws, p, used, now_us))
			return;
		p += used;
		n -= used;
		header = ws->left == 0;
		if (!header && n == 0)
			return;
	}
}

void
wsdial_load_ws_take(struct wsdial_load_ws *ws, uint8_t *p, size_t n)
{
	struct wsdial_load *load = ws->load;
	uint64_t now_us = clock_mono_us(), before = load->out;

	if (ws->state != WSDIAL_LW_OPEN && ws->state != WSDIAL_LW_CLOSING)
		return;
	load->heard_ms = loop_now_ms(load->env->loop);
	wsdial_load_take_frames(ws, p, n, now_us);
	if (load->phase == WSDIAL_LOAD_RUNNING && ws->state == WSDIAL_LW_OPEN)
		wsdial_load_ws_send(ws, before - load->out, now_us);
}

void
wsdial_load_ws_end(struct wsdial_load_ws *ws, const char *why)
{
	if (ws->state == WSDIAL_LW_CLOSED) {
		wsdial_load_done(ws);
		return;
	}
	if (why == NULL)
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false,
		    "the server ended the connection without a Close");
	else
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false, "the connection broke: %s", why);
	wsdial_load_leave(ws);
}
