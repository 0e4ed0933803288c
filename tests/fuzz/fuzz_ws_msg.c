/*
 * Fuzzes src/codec/ws_msg.c, ws_frame.c and ws_mask.c.  Input: 1 byte of rules
 * (bits 0 masked, 1 check_utf8, 2 allow_rsv1, 3 a limit of 100 bytes, 4
 * inflated), 1 for the cuts, 1 for the allocation that fails, then frames.
 *
 * What comes out is written as a string of bytes in which runs of payload are joined.  Oracles:
 * the same bytes whole, cut and byte by byte give the same; and so does a naive decoder below,
 * which has all of the stream before it.  With an allocation failing it is a prefix of that.  And
 * ws_whole.c takes those messages that the reader gives as one frame of which all is there, and no
 * others.
 */
#include "codec/ws_msg.h"

#include "base/mem.h"
#include "codec/ws_mask.h"
#include "codec/ws_whole.h"
#include "oracle.h"

enum { LOG_FRAME = 'F', LOG_END = 'E', LOG_CONTROL = 'C', LOG_BAD = 'B', LOG_NOMEM = 'N' };

struct msg_log {
	uint8_t *p;
	size_t n;
	size_t size;
	bool ended;
};

static void
log_bytes(struct msg_log *log, const void *p, size_t n)
{
	ORACLE(n <= log->size - log->n);
	if (n != 0)
		memcpy(log->p + log->n, p, n);
	log->n += n;
}

static void
log_mark(struct msg_log *log, uint8_t kind, unsigned value)
{
	const uint8_t mark[] = { kind, (uint8_t)(value >> 8), (uint8_t)value };

	log_bytes(log, mark, sizeof(mark));
}

static void
log_init(struct msg_log *log, size_t n)
{
	*log = (struct msg_log){ .size = 64 + 8 * n };
	if ((log->p = malloc(log->size)) == NULL)
		abort();
}

static void
log_event(struct msg_log *log, const struct ws_event *ev)
{
	uint8_t *plain;

	switch (ev->kind) {
	case WS_EV_MORE:
		break;
	case WS_EV_FRAME:
		ORACLE(ev->frame.opcode <= WS_BINARY);
		ORACLE(ev->message_start == (ev->frame.opcode != WS_CONT));
		log_mark(log, LOG_FRAME, 0);
		log_bytes(log, ev->raw, ev->frame.header_n);
		break;
	case WS_EV_DATA:
		ORACLE(ev->n > 0 && ev->mask_offset + ev->n <= ev->frame.length);
		plain = oracle_copy(ev->data, ev->n);
		ws_mask_copy(plain, plain, ev->n, ev->frame.mask, ev->mask_offset);
		log_bytes(log, plain, ev->n);
		free(plain);
		break;
	case WS_EV_FRAME_END:
		log_mark(log, LOG_END, ev->message_end);
		break;
	case WS_EV_CONTROL:
		ORACLE(ev->n == ev->frame.length);
		log_mark(log, LOG_CONTROL, ev->frame.opcode);
		log_mark(log, LOG_CONTROL, ev->frame.opcode == WS_CLOSE ? ev->code : 0);
		log_bytes(log, ev->data, ev->n);
		break;
	case WS_EV_BAD:
		ORACLE(ev->why != NULL);
		log_mark(log, LOG_BAD, ev->close_code);
		log->ended = true;
		break;
	case WS_EV_NOMEM:
		log_mark(log, LOG_NOMEM, 0);
		log->ended = true;
		break;
	}
}

/* Feed it in pieces by the seed; `whole` in one. */
static void
msg_run(const struct ws_rules *rules, const uint8_t *p, size_t n, bool whole, uint32_t seed,
    struct msg_log *log)
{
	struct ws_reader r;
	size_t at = 0;

	log_init(log, n);
	ws_reader_init(&r);
	while (at < n && !log->ended) {
		size_t k = whole ? n : oracle_piece(&seed, n - at), done = 0, used;
		uint8_t *piece = oracle_copy(p + at, k);
		struct ws_event ev;

		do {
			memset(&ev, 0xa5, sizeof(ev));
			ws_reader_next(&r, rules, piece + done, k - done, &used, &ev);
			ORACLE(used <= k - done);
			done += used;
			log_event(log, &ev);
		} while (ev.kind != WS_EV_MORE && !log->ended);
		ORACLE(log->ended || done == k);
		free(piece);
		at += k;
	}
	ORACLE(log->ended || !ws_reader_at_frame_boundary(&r) || r.hold == NULL);
	ws_reader_clear(&r);
}

struct naive {
	const struct ws_rules *rules;
	struct msg_log *log;
	uint8_t *message; /* payload of the message so far */
	size_t message_n;
	uint64_t announced; /* by its headers */
	int opcode;	    /* of the message, -1 between */
	bool compressed;
};

/* What the first bytes of a header break; 0 is nothing yet. */
static unsigned
naive_judge(const struct naive *d, const uint8_t *p, size_t n)
{
	unsigned op = p[0] & 15, rsv = p[0] >> 4 & 7;
	bool control = op >= 8, first = op == 1 || op == 2;

	if (op > 10 || (op > 2 && op < 8) || (control && p[0] < 0x80))
		return 1002;
	if (rsv != 0 && !(rsv == 4 && d->rules->allow_rsv1 && first))
		return 1002;
	if ((first && d->opcode >= 0) || (op == 0 && d->opcode < 0))
		return 1002;
	if (n >= 2 && ((p[1] >= 128) != d->rules->masked || (control && p[1] % 128 > 125)))
		return 1002;
	return 0;
}

/* The payload of a data frame, as much of it as there is; false when it ends the stream. */
static bool
naive_data(struct naive *d, const uint8_t *payload, size_t n, bool complete, bool fin)
{
	size_t before = d->message_n, good = 0;
	bool text = d->opcode == WS_TEXT && d->rules->check_utf8 && !d->compressed, whole = true;

	memcpy(d->message + before, payload, n);
	d->message_n += n;
	if (text)
		good = oracle_utf8(d->message, d->message_n, &whole);
	else
		good = d->message_n;
	/* The last byte of a text that ends inside a character is held back. */
	log_bytes(d->log, payload,
	    good - before - (complete && fin && n > 0 && good == d->message_n && !whole));
	if (good < d->message_n || (complete && fin && !whole)) {
		log_mark(d->log, LOG_BAD, 1007);
		return false;
	}
	if (!complete)
		return false;
	log_mark(d->log, LOG_END, fin);
	if (fin)
		d->opcode = -1;
	return true;
}

static bool
naive_control(struct naive *d, unsigned op, const uint8_t *payload, size_t n)
{
	unsigned code = n >= 2 ? payload[0] * 256u + payload[1] : 1005;
	bool whole;

	if (op == WS_CLOSE && n > 0) {
		unsigned bad = 0;

		if (n == 1 || code < 1000 || code > 4999 || (code > 1014 && code < 3000) ||
		    (code > 1003 && code < 1007))
			bad = 1002;
		else if (oracle_utf8(payload + 2, n - 2, &whole) != n - 2 || !whole)
			bad = 1007;
		if (bad != 0) {
			log_mark(d->log, LOG_BAD, bad);
			return false;
		}
	}
	log_mark(d->log, LOG_CONTROL, op);
	log_mark(d->log, LOG_CONTROL, op == WS_CLOSE ? code : 0);
	log_bytes(d->log, payload, n);
	return true;
}

/* What the bytes of the extended length that are there already rule out. */
static bool
naive_length_is_bad(const uint8_t *p, size_t n, size_t width, uint64_t length)
{
	if (width == 2 && n >= 4 && length < 126)
		return true;
	if (width == 8 && n >= 3 && p[2] >= 128)
		return true;
	if (width == 8 && n >= 8) /* then the last two can not make it 2^16 any more */
		return p[2] == 0 && p[3] == 0 && p[4] == 0 && p[5] == 0 && p[6] == 0 && p[7] == 0;
	return false;
}

/* One frame off p[0..n), n > 0; its bytes, or 0 when the stream ends in it. */
static size_t
naive_frame(struct naive *d, const uint8_t *p, size_t n)
{
	unsigned bad = naive_judge(d, p, n), op = p[0] & 15;
	size_t width = 0, header, have;
	uint64_t length = 0;
	uint8_t payload[4096 * 16];
	bool ok;

	if (bad == 0 && n >= 2) {
		length = p[1] % 128;
		width = length == 126 ? 2 : length == 127 ? 8 : 0;
		for (size_t i = 0; width != 0 && i < width && 2 + i < n; i++)
			length = (i == 0 ? 0 : length << 8) | p[2 + i];
		if (naive_length_is_bad(p, n, width, length))
			bad = 1002;
	}
	header = 2 + width + (d->rules->masked ? 4 : 0);
	if (bad == 0 && n < header)
		return 0;
	if (bad == 0 && op <= 2) {
		bool counted =
		    !d->rules->inflated || !(op == 0 ? d->compressed : (p[0] & 0x40) != 0);

		d->announced = (op == 0 ? d->announced : 0) + length;
		if (d->rules->max_message != 0 && counted &&
		    (d->announced > d->rules->max_message || length > d->rules->max_message))
			bad = 1009;
	}
	if (bad != 0) {
		log_mark(d->log, LOG_BAD, bad);
		return 0;
	}
	have = length < n - header ? (size_t)length : n - header;
	ORACLE(have <= sizeof(payload));
	for (size_t i = 0; i < have; i++)
		payload[i] = p[header + i] ^ (d->rules->masked ? p[header - 4 + i % 4] : 0);
	if (op >= 8)
		return have == length && naive_control(d, op, payload, have) ? header + have : 0;
	if (op != 0) {
		d->opcode = (int)op;
		d->compressed = (p[0] & 0x40) != 0;
		d->message_n = 0;
	}
	log_mark(d->log, LOG_FRAME, 0);
	log_bytes(d->log, p, header);
	ok = naive_data(d, payload, have, have == length, p[0] >= 0x80);
	return ok ? header + have : 0;
}

static void
naive_run(const struct ws_rules *rules, const uint8_t *p, size_t n, struct msg_log *log)
{
	struct naive d = { .rules = rules, .log = log, .opcode = -1 };
	size_t at = 0, k;

	log_init(log, n);
	d.message = oracle_copy(p, n); /* room for all there can be */
	while (at < n && (k = naive_frame(&d, p + at, n - at)) != 0)
		at += k;
	free(d.message);
}

/* The bytes of a whole message in one frame at the start, by the reader; 0: something else. */
static size_t
reader_whole(const struct ws_rules *rules, const uint8_t *p, size_t n, struct ws_frame *frame)
{
	uint8_t *copy = oracle_copy(p, n);
	size_t done = 0, used, whole = 0;
	struct ws_reader r;
	struct ws_event ev;

	ws_reader_init(&r);
	do {
		ws_reader_next(&r, rules, copy + done, n - done, &used, &ev);
		done += used;
	} while (ev.kind == WS_EV_FRAME || ev.kind == WS_EV_DATA);
	if (ev.kind == WS_EV_FRAME_END && ev.frame.fin) {
		whole = done;
		*frame = ev.frame;
	}
	ws_reader_clear(&r);
	free(copy);
	return whole;
}

static void
whole_run(const struct ws_rules *rules, const uint8_t *p, size_t n)
{
	size_t at = 0, k;

	do {
		uint8_t *copy = oracle_copy(p + at, n - at);
		struct ws_whole m;
		struct ws_frame f;

		k = ws_whole_read(rules, copy, n - at, &m);
		free(copy);
		ORACLE(k == reader_whole(rules, p + at, n - at, &f));
		ORACLE(k == 0 || (m.header_n == f.header_n && m.length == f.length));
		at += k;
	} while (k != 0);
}

static bool
log_same(const struct msg_log *a, const struct msg_log *b)
{
	return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_log wanted, got;
	struct ws_rules rules;
	const uint8_t *p = data + 3;
	size_t n;

	if (size < 3 || size > 60000)
		return 0;
	n = size - 3;
	rules = (struct ws_rules){ .masked = data[0] & 1,
		.check_utf8 = data[0] & 2,
		.allow_rsv1 = data[0] & 4,
		.inflated = data[0] & 16,
		.max_message = data[0] & 8 ? 100 : 0 };
	naive_run(&rules, p, n, &wanted);
	msg_run(&rules, p, n, true, 0, &got);
	ORACLE(log_same(&wanted, &got));
	free(got.p);
	msg_run(&rules, p, n, false, data[1], &got);
	ORACLE(log_same(&wanted, &got));
	free(got.p);
	msg_run(&rules, p, n, false, 0, &got);
	ORACLE(log_same(&wanted, &got));
	free(got.p);

	whole_run(&rules, p, n);
	mem_fail_nth(data[2]);
	msg_run(&rules, p, n, false, data[1], &got);
	mem_fail_nth(0);
	if (got.n >= 3 && got.ended && got.p[got.n - 3] == LOG_NOMEM) {
		ORACLE(got.n - 3 <= wanted.n && memcmp(got.p, wanted.p, got.n - 3) == 0);
	} else {
		ORACLE(log_same(&wanted, &got));
	}
	free(got.p);
	free(wanted.p);
	return 0;
}
