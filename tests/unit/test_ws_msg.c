/*
 * Unit tests of src/codec/ws_msg.[ch].
 *
 * A stream of bytes is fed in some cut and what comes out is written as text,
 * so that a case is one line and any two cuts can be compared:
 *   <818537fa213d D"Hello" !>  a data frame: header as it came, payload, "!" at
 *                              the message's end or "." at the frame's only
 *   [89 "Hello"]               a control frame, payload
 *   [88 1000 "bye"]            a Close
 *   BAD 1002, NOMEM
 */
#include "codec/ws_msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/ws_mask.h"
#include "unit.h"

#define MSG_LOG 8192

struct msg_log {
	char text[MSG_LOG];
	size_t n;
	bool in_data;	       /* a D"... is open: runs of payload are joined */
	bool ended;	       /* BAD or NOMEM came */
	uint64_t payload_n;    /* of the current frame */
	struct ws_frame frame; /* as WS_EV_FRAME had it */
};

static const struct ws_rules msg_client = { .check_utf8 = true }; /* reads what servers send */
static const struct ws_rules msg_server = { .masked = true, .check_utf8 = true };
static const struct ws_rules msg_deflate = { .check_utf8 = true, .allow_rsv1 = true };
static const struct ws_rules msg_ten = { .check_utf8 = true, .max_message = 10 };
static const struct ws_rules msg_ten_deflate = { .check_utf8 = true,
	.max_message = 10,
	.allow_rsv1 = true };
static const struct ws_rules msg_ten_inflated = { .check_utf8 = true,
	.max_message = 10,
	.allow_rsv1 = true,
	.inflated = true };
static const struct ws_rules msg_unchecked = { .check_utf8 = false };

static void __attribute__((format(printf, 2, 3))) msg_put(struct msg_log *log, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log->n += (size_t)vsnprintf(log->text + log->n, MSG_LOG - log->n, fmt, ap);
	va_end(ap);
	if (log->n >= MSG_LOG)
		ck_abort_msg("log is full");
}

static void
msg_put_bytes(struct msg_log *log, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		msg_put(log, p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' ? "%c" : "\\x%02x", p[i]);
}

/* The frame that comes with DATA and FRAME_END says the same as that of FRAME. */
static void
msg_check_frame(const struct msg_log *log, const struct ws_frame *f)
{
	const struct ws_frame *g = &log->frame;

	ck_assert(f->length == g->length && f->opcode == g->opcode && f->fin == g->fin);
	ck_assert(f->masked == g->masked && memcmp(f->mask, g->mask, 4) == 0);
	ck_assert(f->rsv1 == g->rsv1 && !f->rsv2 && !f->rsv3 && f->header_n == g->header_n);
}

static void
msg_put_data(struct msg_log *log, const struct ws_event *ev)
{
	uint8_t *plain = malloc(ev->n);

	ck_assert_ptr_nonnull(plain);
	ck_assert_uint_gt(ev->n, 0);
	ck_assert_uint_eq(ev->mask_offset, log->payload_n);
	msg_check_frame(log, &ev->frame);
	ws_mask_copy(plain, ev->data, ev->n, ev->frame.mask, ev->mask_offset);
	log->payload_n += ev->n;
	if (!log->in_data)
		msg_put(log, " D\"");
	log->in_data = true;
	msg_put_bytes(log, plain, ev->n);
	free(plain);
}

static void
msg_put_event(struct msg_log *log, const struct ws_event *ev)
{
	if (log->in_data && ev->kind != WS_EV_DATA && ev->kind != WS_EV_MORE) {
		msg_put(log, "\"");
		log->in_data = false;
	}
	switch (ev->kind) {
	case WS_EV_MORE:
		break;
	case WS_EV_FRAME:
		msg_put(log, "<");
		for (size_t i = 0; i < ev->frame.header_n; i++)
			msg_put(log, "%02x", ev->raw[i]);
		ck_assert(ev->message_start == (ev->frame.opcode != WS_CONT));
		log->frame = ev->frame;
		log->payload_n = 0;
		break;
	case WS_EV_DATA:
		msg_put_data(log, ev);
		break;
	case WS_EV_FRAME_END:
		msg_check_frame(log, &ev->frame);
		ck_assert_uint_eq(log->payload_n, ev->frame.length);
		msg_put(log, ev->message_end ? " !>" : " .>");
		break;
	case WS_EV_CONTROL:
		msg_put(log, "[%02x ", 0x80 | ev->frame.opcode);
		if (ev->frame.opcode == WS_CLOSE)
			msg_put(log, "%u ", ev->code);
		msg_put(log, "\"");
		if (ev->frame.opcode == WS_CLOSE && ev->n >= 2)
			msg_put_bytes(log, ev->data + 2, ev->n - 2);
		else
			msg_put_bytes(log, ev->data, ev->n);
		msg_put(log, "\"]");
		break;
	case WS_EV_BAD:
		ck_assert_ptr_nonnull(ev->why);
		msg_put(log, "BAD %u", ev->close_code);
		log->ended = true;
		break;
	case WS_EV_NOMEM:
		msg_put(log, "NOMEM");
		log->ended = true;
		break;
	}
}

/* Feed a copy of p[0..n), which lies in a block of just its size. */
static void
msg_feed(struct ws_reader *r, const struct ws_rules *rules, const uint8_t *p, size_t n,
    struct msg_log *log)
{
	uint8_t *copy = malloc(n != 0 ? n : 1);
	struct ws_event ev;
	size_t at = 0, used;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, n);
	while (!log->ended) {
		memset(&ev, 0xa5, sizeof(ev));
		ws_reader_next(r, rules, copy + at, n - at, &used, &ev);
		ck_assert_uint_le(used, n - at);
		at += used;
		msg_put_event(log, &ev);
		if (ev.kind == WS_EV_MORE) {
			ck_assert_uint_eq(at, n);
			break;
		}
	}
	free(copy);
}

/* What comes out when p[0..n) is cut at a and b (a <= b). */
static void
msg_run(const struct ws_rules *rules, const uint8_t *p, size_t n, size_t a, size_t b,
    struct msg_log *log)
{
	struct ws_reader r;

	memset(log, 0, sizeof(*log));
	ws_reader_init(&r);
	msg_feed(&r, rules, p, a, log);
	msg_feed(&r, rules, p + a, b - a, log);
	msg_feed(&r, rules, p + b, n - b, log);
	if (!log->ended && ws_reader_at_frame_boundary(&r))
		ck_assert_ptr_null(r.hold); /* idle readers own nothing */
	ws_reader_clear(&r);
	ck_assert_ptr_null(r.hold);
}

static void
msg_run_bytewise(const struct ws_rules *rules, const uint8_t *p, size_t n, struct msg_log *log)
{
	struct ws_reader r;

	memset(log, 0, sizeof(*log));
	ws_reader_init(&r);
	for (size_t i = 0; i < n; i++)
		msg_feed(&r, rules, p + i, 1, log);
	ws_reader_clear(&r);
}

/* Each allocation fails in its turn: what came before stays the same. */
static void
msg_run_without_memory(const struct ws_rules *rules, const uint8_t *p, size_t n, const char *wanted)
{
	for (unsigned long k = 1;; k++) {
		struct msg_log log;
		char *end;

		mem_fail_nth(k);
		msg_run_bytewise(rules, p, n, &log);
		if (mem_fail_pending()) {
			mem_fail_nth(0);
			ck_assert_str_eq(log.text, wanted);
			return;
		}
		end = strstr(log.text, "NOMEM");
		ck_assert_ptr_nonnull(end);
		ck_assert_msg(
		    strncmp(log.text, wanted, (size_t)(end - log.text)) == 0, "%s", log.text);
	}
}

/* Whitespace-separated hex bytes; "..." stands for its characters. */
static size_t
msg_bytes(const char *s, uint8_t *out, size_t size)
{
	size_t n = 0;

	while (*s != '\0') {
		unsigned byte;

		ck_assert_uint_lt(n, size);
		if (*s == ' ') {
			s++;
		} else if (*s == '"') {
			for (s++; *s != '"'; s++)
				out[n++] = (uint8_t)*s;
			s++;
		} else {
			ck_assert_int_eq(sscanf(s, "%2x", &byte), 1);
			out[n++] = (uint8_t)byte;
			s += 2;
		}
	}
	return n;
}

/* The bytes give the log, in whatever pieces and with whatever lack of memory. */
static void
msg_check_bytes(const struct ws_rules *rules, const uint8_t *p, size_t n, const char *wanted)
{
	struct msg_log log;

	msg_run(rules, p, n, n, n, &log);
	ck_assert_str_eq(log.text, wanted);
	for (size_t a = 0; a <= n; a++)
		for (size_t b = a; b <= n; b += n > 60 ? 7 : 1) {
			msg_run(rules, p, n, a, b, &log);
			ck_assert_msg(
			    strcmp(log.text, wanted) == 0, "cut at %zu, %zu: %s", a, b, log.text);
		}
	msg_run_bytewise(rules, p, n, &log);
	ck_assert_str_eq(log.text, wanted);
	msg_run_without_memory(rules, p, n, wanted);
}

static void
msg_check(const struct ws_rules *rules, const char *hex, const char *wanted)
{
	uint8_t bytes[512];
	size_t n = msg_bytes(hex, bytes, sizeof(bytes));

	msg_check_bytes(rules, bytes, n, wanted);
}

struct msg_row {
	const struct ws_rules *rules;
	const char *hex, *wanted;
};

static void
msg_check_rows(const struct msg_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		msg_check(rows[i].rules, rows[i].hex, rows[i].wanted);
}

START_TEST(ws_msg_reads_the_examples_of_rfc_6455)
{
	static const struct msg_row rows[] = {
		/* 5.7 */
		{ &msg_client, "81 05 48 65 6c 6c 6f", "<8105 D\"Hello\" !>" },
		{ &msg_server, "81 85 37 fa 21 3d 7f 9f 4d 51 58", "<818537fa213d D\"Hello\" !>" },
		{ &msg_client, "01 03 48 65 6c  80 02 6c 6f", "<0103 D\"Hel\" .><8002 D\"lo\" !>" },
		{ &msg_client, "89 05 48 65 6c 6c 6f", "[89 \"Hello\"]" },
		{ &msg_server, "8a 85 37 fa 21 3d 7f 9f 4d 51 58", "[8a \"Hello\"]" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_reads_long_frames_of_both_encodings)
{
	static const size_t lengths[] = { 125, 126, 256, 65535, 65536, 70000 };

	for (size_t i = 0; i < UNIT_COUNT(lengths); i++) {
		size_t n = lengths[i], header, at = 0, used, payload = 0;
		uint8_t *p = calloc(1, WS_HEADER_MAX + n);
		struct ws_reader r;
		struct ws_event ev;

		ck_assert_ptr_nonnull(p);
		header = ws_frame_write(p, WS_BIT_FIN | WS_BINARY, n, NULL);
		ws_reader_init(&r);
		do {
			size_t piece = header + n - at < 9 ? header + n - at : 9;

			ws_reader_next(&r, &msg_client, p + at, piece, &used, &ev);
			at += used;
			if (ev.kind == WS_EV_DATA)
				payload += ev.n;
			else if (ev.kind == WS_EV_FRAME && ev.frame.length != n)
				ck_abort();
		} while (ev.kind != WS_EV_FRAME_END && ev.kind != WS_EV_BAD);
		ck_assert_int_eq(ev.kind, WS_EV_FRAME_END);
		ck_assert_uint_eq(payload, n);
		ck_assert_uint_eq(at, header + n);
		ws_reader_clear(&r);
		free(p);
	}
}
END_TEST

START_TEST(ws_msg_takes_fragments_with_control_frames_between)
{
	static const struct msg_row rows[] = {
		{ &msg_client, "0101\"a\" 8901\"b\" 0001\"c\" 8a00 8001\"d\"",
		    "<0101 D\"a\" .>[89 \"b\"]<0001 D\"c\" .>[8a \"\"]<8001 D\"d\" !>" },
		{ &msg_client, "0200 0000 8000", "<0200 .><0000 .><8000 !>" },
		{ &msg_client, "8100 8200", "<8100 !><8200 !>" },
		{ &msg_server, "8180 01020304 8980 01020304", "<818001020304 !>[89 \"\"]" },
		{ &msg_client, "0203\"abc\" 8800 8003\"def\"",
		    "<0203 D\"abc\" .>[88 1005 \"\"]<8003 D\"def\" !>" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_refuses_what_rfc_6455_5_forbids)
{
	static const struct msg_row rows[] = {
		/* 5.2: reserved bits and opcodes */
		{ &msg_client, "c100", "BAD 1002" },
		{ &msg_client, "a100", "BAD 1002" },
		{ &msg_client, "9100", "BAD 1002" },
		{ &msg_client, "f200", "BAD 1002" },
		{ &msg_client, "8300", "BAD 1002" },
		{ &msg_client, "8400", "BAD 1002" },
		{ &msg_client, "8500", "BAD 1002" },
		{ &msg_client, "8600", "BAD 1002" },
		{ &msg_client, "8700", "BAD 1002" },
		{ &msg_client, "8b00", "BAD 1002" },
		{ &msg_client, "8c00", "BAD 1002" },
		{ &msg_client, "8d00", "BAD 1002" },
		{ &msg_client, "8e00", "BAD 1002" },
		{ &msg_client, "8f00", "BAD 1002" },
		{ &msg_client, "c900", "BAD 1002" },
		{ &msg_client, "a800", "BAD 1002" },
		{ &msg_client, "9a00", "BAD 1002" },
		/* 5.2: lengths that are not minimal or have the top bit */
		{ &msg_client, "827e007d", "BAD 1002" },
		{ &msg_client, "827f000000000000ffff", "BAD 1002" },
		{ &msg_client, "827f8000000000000000", "BAD 1002" },
		{ &msg_server, "82fe0001 01020304", "BAD 1002" },
		/* 5.5: control frames */
		{ &msg_client, "0900", "BAD 1002" },
		{ &msg_client, "0800", "BAD 1002" },
		{ &msg_client, "0a00", "BAD 1002" },
		{ &msg_client, "897e007e", "BAD 1002" },
		{ &msg_client, "887f0000000000010000", "BAD 1002" },
		{ &msg_server, "8afe", "BAD 1002" },
		/* 5.4: fragments */
		{ &msg_client, "8000", "BAD 1002" },
		{ &msg_client, "0000", "BAD 1002" },
		{ &msg_client, "8100 8000", "<8100 !>BAD 1002" },
		{ &msg_client, "0101\"a\" 8101\"b\"", "<0101 D\"a\" .>BAD 1002" },
		{ &msg_client, "0201\"a\" 0201\"b\"", "<0201 D\"a\" .>BAD 1002" },
		{ &msg_client, "0201\"a\" 8900 8100", "<0201 D\"a\" .>[89 \"\"]BAD 1002" },
		/* 5.1: masking */
		{ &msg_server, "8105\"Hello\"", "BAD 1002" },
		{ &msg_server, "8900", "BAD 1002" },
		{ &msg_client, "8185 37fa213d 7f9f4d5158", "BAD 1002" },
		{ &msg_client, "8980 00000000", "BAD 1002" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

/* A header is judged byte by byte: the first one alone is enough where it is wrong. */
START_TEST(ws_msg_refuses_a_header_at_its_first_bad_byte)
{
	static const struct {
		const struct ws_rules *rules;
		const char *hex;
	} rows[] = {
		{ &msg_client, "83" },
		{ &msg_client, "8b" },
		{ &msg_client, "09" },
		{ &msg_client, "80" },
		{ &msg_client, "c1" },
		{ &msg_server, "8100" },
		{ &msg_client, "8180" },
		{ &msg_client, "897e" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uint8_t bytes[8];
		size_t n = msg_bytes(rows[i].hex, bytes, sizeof(bytes));
		struct msg_log log;

		msg_run_bytewise(rows[i].rules, bytes, n, &log);
		ck_assert_str_eq(log.text, "BAD 1002");
	}
}
END_TEST

START_TEST(ws_msg_allows_rsv1_on_the_first_frame_of_a_message_only)
{
	static const struct msg_row rows[] = {
		/* RFC 7692 6 */
		{ &msg_deflate, "c101\"a\"", "<c101 D\"a\" !>" },
		{ &msg_deflate, "4101\"a\" 8001\"b\" 8101\"c\"",
		    "<4101 D\"a\" .><8001 D\"b\" !><8101 D\"c\" !>" },
		{ &msg_deflate, "4201\"a\" 8900 0001\"b\" 8001\"c\"",
		    "<4201 D\"a\" .>[89 \"\"]<0001 D\"b\" .><8001 D\"c\" !>" },
		{ &msg_deflate, "4101\"a\" c001\"b\"", "<4101 D\"a\" .>BAD 1002" },
		{ &msg_deflate, "0101\"a\" c001\"b\"", "<0101 D\"a\" .>BAD 1002" },
		{ &msg_deflate, "c900", "BAD 1002" },
		{ &msg_deflate, "e100", "BAD 1002" },
		{ &msg_deflate, "d100", "BAD 1002" },
		/* compressed text is not UTF-8; text behind it is looked at again */
		{ &msg_deflate, "c102 ff80", "<c102 D\"\\xff\\x80\" !>" },
		{ &msg_deflate, "c102 ff80 8101 ff", "<c102 D\"\\xff\\x80\" !><8101BAD 1007" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_refuses_text_at_its_first_bad_byte)
{
	static const struct msg_row rows[] = {
		/* RFC 6455 8.1 */
		{ &msg_client, "8103 e6bca2", "<8103 D\"\\xe6\\xbc\\xa2\" !>" },
		{ &msg_client, "8104 \"ab\" ff \"c\"", "<8104 D\"ab\"BAD 1007" },
		{ &msg_client, "8103 ff\"ab\"", "<8103BAD 1007" },
		{ &msg_client, "8105 \"a\" eda080 \"b\"", "<8105 D\"a\\xed\"BAD 1007" },
		/* cut off: what is handed on is never a whole message */
		{ &msg_client, "8102 \"a\" c3", "<8102 D\"a\"BAD 1007" },
		{ &msg_client, "8101 c3", "<8101BAD 1007" },
		{ &msg_client, "8104 \"a\" f09080", "<8104 D\"a\\xf0\\x90\"BAD 1007" },
		{ &msg_client, "0101 c3 8001 c3", "<0101 D\"\\xc3\" .><8001BAD 1007" },
		{ &msg_client, "0102 \"a\" c3 8000", "<0102 D\"a\\xc3\" .><8000BAD 1007" },
		/* a character may be cut by frames, with a control frame between */
		{ &msg_client, "0101 e6 8901 ff 0001 bc 8001 a2",
		    "<0101 D\"\\xe6\" .>[89 \"\\xff\"]<0001 D\"\\xbc\" .><8001 D\"\\xa2\" !>" },
		{ &msg_client, "0101 e6 0001 bc 8001 \"a\"",
		    "<0101 D\"\\xe6\" .><0001 D\"\\xbc\" .><8001BAD 1007" },
		/* each message starts anew; binary is not looked at */
		{ &msg_client, "8202 e6ff 8101 \"a\"", "<8202 D\"\\xe6\\xff\" !><8101 D\"a\" !>" },
		{ &msg_client, "0201 ff 8001 ff", "<0201 D\"\\xff\" .><8001 D\"\\xff\" !>" },
		{ &msg_unchecked, "8102 ff80", "<8102 D\"\\xff\\x80\" !>" },
		/* masked: 0x7f ^ 0x80 is 0xff */
		{ &msg_server, "8182 00800000 617f", "<818200800000 D\"a\"BAD 1007" },
		{ &msg_server, "8183 01020304 e7bea1", "<818301020304 D\"\\xe6\\xbc\\xa2\" !>" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_refuses_long_text_at_its_first_bad_byte)
{
	static const uint8_t mask[4] = { 0x11, 0x92, 0xa3, 0x04 };
	uint8_t text[200], masked[WS_HEADER_MAX + sizeof(text)];

	for (size_t bad = 0; bad < sizeof(text); bad += 3) {
		size_t header = ws_frame_write(masked, WS_BIT_FIN | WS_TEXT, sizeof(text), mask);
		struct msg_log log;
		char wanted[sizeof(text) + 64] = "<81fe00c81192a304";

		memset(text, 'x', sizeof(text));
		text[bad] = 0xc0;
		ws_mask_copy(masked + header, text, sizeof(text), mask, 0);
		if (bad > 0) {
			strcat(wanted, " D\"");
			strncat(wanted, (const char *)text, bad);
			strcat(wanted, "\"");
		}
		strcat(wanted, "BAD 1007");
		msg_run(&msg_server, masked, header + sizeof(text), 0, 0, &log);
		ck_assert_str_eq(log.text, wanted);
		msg_run(&msg_server, masked, header + sizeof(text), 50, 121, &log);
		ck_assert_str_eq(log.text, wanted);
	}
}
END_TEST

START_TEST(ws_msg_reads_closes_and_refuses_bad_ones)
{
	static const struct msg_row rows[] = {
		/* RFC 6455 5.5.1, 7.4 */
		{ &msg_client, "8800", "[88 1005 \"\"]" },
		{ &msg_client, "8802 03e8", "[88 1000 \"\"]" },
		{ &msg_client, "8805 03e9 \"bye\"", "[88 1001 \"bye\"]" },
		{ &msg_server, "8885 01020304 02eb 61 7d 64", "[88 1001 \"bye\"]" },
		{ &msg_client, "8804 1387 c3a4", "[88 4999 \"\\xc3\\xa4\"]" },
		{ &msg_client, "8801 03", "BAD 1002" },
		{ &msg_client, "8802 03ed", "BAD 1002" }, /* 1005 */
		{ &msg_client, "8802 0000", "BAD 1002" },
		{ &msg_client, "8805 03e8 \"a\" c328", "BAD 1007" },
		{ &msg_client, "8803 03e8 c3", "BAD 1007" }, /* cut character */
		{ &msg_unchecked, "8803 03e8 ff", "BAD 1007" },
		{ &msg_client, "8803 03ee ff", "BAD 1002" }, /* the code is judged first */
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_knows_the_close_codes_that_may_be_sent)
{
	static const unsigned named[] = { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
		1012, 1013, 1014 };

	for (unsigned code = 0; code <= 0x10000; code++) {
		bool wanted = code >= 3000 && code < 5000;

		for (size_t i = 0; i < UNIT_COUNT(named); i++)
			wanted |= code == named[i];
		if (ws_close_code_valid(code) != wanted)
			ck_abort_msg("%u", code);
	}
}
END_TEST

START_TEST(ws_msg_refuses_a_message_that_is_too_big_before_its_first_byte_too_much)
{
	static const struct msg_row rows[] = {
		{ &msg_ten, "820a \"0123456789\" 820a \"0123456789\"",
		    "<820a D\"0123456789\" !><820a D\"0123456789\" !>" },
		{ &msg_ten, "820b \"0123456789a\"", "BAD 1009" },
		{ &msg_ten, "820b", "BAD 1009" },
		{ &msg_ten, "827f7fffffffffffffff", "BAD 1009" },
		{ &msg_ten, "0206\"012345\" 8004\"6789\"",
		    "<0206 D\"012345\" .><8004 D\"6789\" !>" },
		{ &msg_ten, "0206\"012345\" 8005\"6789a\"", "<0206 D\"012345\" .>BAD 1009" },
		{ &msg_ten, "020a\"0123456789\" 0000 8000",
		    "<020a D\"0123456789\" .><0000 .><8000 !>" },
		{ &msg_ten, "020a\"0123456789\" 8001\"a\"", "<020a D\"0123456789\" .>BAD 1009" },
		/* control frames do not count */
		{ &msg_ten, "0208\"01234567\" 890b\"0123456789a\" 8002\"89\"",
		    "<0208 D\"01234567\" .>[89 \"0123456789a\"]<8002 D\"89\" !>" },
		/* compressed ones, when nobody inflates them */
		{ &msg_ten_deflate, "c10b", "BAD 1009" },
		{ &msg_ten_deflate, "420a\"0123456789\" 8001\"a\"",
		    "<420a D\"0123456789\" .>BAD 1009" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_leaves_the_length_of_what_is_inflated_to_the_caller)
{
	static const struct msg_row rows[] = {
		{ &msg_ten_inflated, "c10b\"0123456789a\"", "<c10b D\"0123456789a\" !>" },
		{ &msg_ten_inflated, "420a\"0123456789\" 8001\"a\" 820b",
		    "<420a D\"0123456789\" .><8001 D\"a\" !>BAD 1009" },
		{ &msg_ten_inflated, "020a\"0123456789\" 8001\"a\"",
		    "<020a D\"0123456789\" .>BAD 1009" },
	};

	msg_check_rows(rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(ws_msg_counts_without_overflow)
{
	struct ws_reader r;
	uint8_t header[WS_HEADER_MAX];
	struct ws_event ev;
	size_t n, used;

	ws_reader_init(&r);
	for (int i = 0; i < 4; i++) {
		n = ws_frame_write(header, i == 0 ? WS_BINARY : WS_CONT, INT64_MAX, NULL);
		ws_reader_next(&r, &msg_client, header, n, &used, &ev);
		ck_assert_int_eq(ev.kind, WS_EV_FRAME);
		r.left = 0; /* as if 2^63 - 1 bytes had come */
		ws_reader_next(&r, &msg_client, header, 0, &used, &ev);
		ck_assert_int_eq(ev.kind, WS_EV_FRAME_END);
	}
	ck_assert_uint_eq(r.message_n, UINT64_MAX);
	n = ws_frame_write(header, WS_BIT_FIN | WS_CONT, 1, NULL);
	ws_reader_next(&r, &msg_ten, header, n, &used, &ev);
	ck_assert_int_eq(ev.kind, WS_EV_BAD);
	ck_assert_uint_eq(ev.close_code, WS_CLOSE_TOO_BIG);
}
END_TEST

START_TEST(ws_msg_unmasks_control_payload_where_it_lies)
{
	uint8_t bytes[] = { 0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
		0x81 };
	struct ws_reader r;
	struct ws_event ev;
	size_t used;

	ws_reader_init(&r);
	ws_reader_next(&r, &msg_server, bytes, sizeof(bytes), &used, &ev);
	ck_assert_int_eq(ev.kind, WS_EV_CONTROL);
	ck_assert_uint_eq(used, 11);
	ck_assert_ptr_eq(ev.data, bytes + 6);
	ck_assert_mem_eq(bytes + 6, "Hello", 5);
	ck_assert_uint_eq(bytes[11], 0x81);
	ck_assert_ptr_null(r.hold);
}
END_TEST

START_TEST(ws_msg_hands_out_payload_and_headers_in_place)
{
	uint8_t bytes[] = { 0x82, 0x83, 1, 2, 3, 4, 'x', 'y', 'z', 0x82, 0x80, 1, 2, 3, 4 };
	struct ws_reader r;
	struct ws_event ev;
	size_t used;

	ws_reader_init(&r);
	ws_reader_next(&r, &msg_server, bytes, sizeof(bytes), &used, &ev);
	ck_assert_int_eq(ev.kind, WS_EV_FRAME);
	ck_assert_ptr_eq(ev.raw, bytes);
	ck_assert_uint_eq(used, 6);
	ws_reader_next(&r, &msg_server, bytes + 6, sizeof(bytes) - 6, &used, &ev);
	ck_assert_int_eq(ev.kind, WS_EV_DATA);
	ck_assert_ptr_eq(ev.data, bytes + 6);
	ck_assert_uint_eq(ev.n, 3);
	ck_assert_mem_eq(bytes + 6, "xyz", 3); /* still masked */
	ws_reader_next(&r, &msg_server, bytes + 9, 6, &used, &ev);
	ck_assert_int_eq(ev.kind, WS_EV_FRAME_END);
	ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(ws_msg_tells_where_it_stands)
{
	static const uint8_t stream[] = { 0x01, 0x02, 'a', 'b', 0x89, 0x01, 'c', 0x80, 0x00 };
	/* behind that many bytes: between frames, between messages */
	static const bool frame[] = { 1, 0, 0, 0, 1, 0, 0, 1, 0, 1 };
	static const bool message[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
	struct msg_log log = { .n = 0 };
	struct ws_reader r;

	ws_reader_init(&r);
	for (size_t i = 0;; i++) {
		ck_assert_msg(ws_reader_at_frame_boundary(&r) == frame[i], "%zu", i);
		ck_assert_msg(ws_reader_at_message_boundary(&r) == message[i], "%zu", i);
		if (i == sizeof(stream))
			break;
		msg_feed(&r, &msg_client, stream + i, 1, &log);
	}
	ws_reader_clear(&r);
}
END_TEST

START_TEST(ws_msg_stays_bad)
{
	uint8_t bytes[] = { 0x83, 0x00, 0x81, 0x00 };
	struct ws_reader r;
	struct ws_event ev;
	size_t used;

	ws_reader_init(&r);
	for (int i = 0; i < 3; i++) {
		ws_reader_next(&r, &msg_client, bytes + i, 1, &used, &ev);
		ck_assert_int_eq(ev.kind, WS_EV_BAD);
		ck_assert_uint_eq(ev.close_code, WS_CLOSE_PROTOCOL);
	}
	ck_assert(!ws_reader_at_frame_boundary(&r));
	ws_reader_clear(&r);
	ck_assert(ws_reader_at_message_boundary(&r));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_msg_reads_the_examples_of_rfc_6455,
		ws_msg_reads_long_frames_of_both_encodings,
		ws_msg_takes_fragments_with_control_frames_between,
		ws_msg_refuses_what_rfc_6455_5_forbids,
		ws_msg_refuses_a_header_at_its_first_bad_byte,
		ws_msg_allows_rsv1_on_the_first_frame_of_a_message_only,
		ws_msg_refuses_text_at_its_first_bad_byte,
		ws_msg_refuses_long_text_at_its_first_bad_byte,
		ws_msg_reads_closes_and_refuses_bad_ones,
		ws_msg_knows_the_close_codes_that_may_be_sent,
		ws_msg_refuses_a_message_that_is_too_big_before_its_first_byte_too_much,
		ws_msg_leaves_the_length_of_what_is_inflated_to_the_caller,
		ws_msg_counts_without_overflow,
		ws_msg_unmasks_control_payload_where_it_lies,
		ws_msg_hands_out_payload_and_headers_in_place,
		ws_msg_tells_where_it_stands,
		ws_msg_stays_bad,
	};

	return unit_run("ws_msg", cases, UNIT_COUNT(cases));
}
