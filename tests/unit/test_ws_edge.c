/*
 * Unit tests of src/gateway/ws_edge.c: a WebSocket of the test (unit_ws.h) whose client
 * compresses, before the echo, an http backend and raw ones.
 */
#include <zlib.h>

#include "base/mem.h"
#include "codec/ws_mask.h"
#include "gateway/ws_edge_int.h"
#include "unit_ws.h"

#define TEXT_N 3000
#define RSV1 WS_BIT_RSV1

static const struct ws_ext edge_takeover = { 0 };
static const struct ws_ext edge_alone = { .server_no_takeover = true, .client_no_takeover = true };

/* Words, of which a few repeat. */
static const char *
sample(size_t n)
{
	static char text[TEXT_N + 1];
	uint32_t r = 7;

	for (size_t i = 0; i < n; i++) {
		r = r * 1664525 + 1013904223;
		text[i] = i % 97 < 60 ? (char)('a' + i % 7) : (char)('A' + (r >> 24) % 26);
	}
	text[n] = '\0';
	return text;
}

/* ---- the client's end of the compression */

struct zipped {
	uint8_t p[TEXT_N * 2];
	size_t n;
};

/* A message of a client whose compressor is z; NULL: one for this message alone. */
static struct zipped
zip(z_stream *z, const char *text, size_t n)
{
	struct zipped out;
	z_stream own = { .next_in = NULL };

	if (z == NULL) {
		z = &own;
		ck_assert_int_eq(deflateInit2(z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	}
	z->next_in = (uint8_t *)(uintptr_t)text;
	z->avail_in = (uInt)n;
	z->next_out = out.p;
	z->avail_out = sizeof(out.p);
	ck_assert_int_eq(deflate(z, Z_SYNC_FLUSH), Z_OK);
	out.n = sizeof(out.p) - z->avail_out - 4;
	if (z == &own)
		deflateEnd(z);
	return out;
}

/* A masked frame of the client, appended to uw_said. */
static void
say_bytes(uint8_t first, const uint8_t *p, size_t n)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

	ck_assert_uint_le(uw_said.n + n + WS_HEADER_MAX, sizeof(uw_said.p));
	uw_said.n += ws_frame_write(uw_said.p + uw_said.n, first, n, mask);
	ws_mask_copy(uw_said.p + uw_said.n, p, n, mask, 0);
	uw_said.n += n;
}

static void
say_zipped(z_stream *z, uint8_t opcode, const char *text)
{
	struct zipped m = zip(z, text, strlen(text));

	say_bytes(FIN | RSV1 | opcode, m.p, m.n);
}

/* What was sent to a stream as frames: "T(abc)B()[x]<1000>", a "z" before what was compressed. */
static const char *
frames_of(const struct uw_fake *f, bool takeover)
{
	static char text[2 * UW_OUT_MAX];
	static uint8_t payload[UW_OUT_MAX], plain[UW_OUT_MAX];
	size_t n = 0, m = 0, at = 0;
	bool zipped = false;
	uint8_t opcode = 0;
	struct ws_frame h;
	z_stream z = { .next_in = NULL };

	ck_assert_int_eq(inflateInit2(&z, -15), Z_OK);
	for (; at < f->n; at += h.header_n + (size_t)h.length) {
		const uint8_t *p = f->out + at;

		ck_assert_int_eq(ws_frame_read(p, f->n - at, &h), WS_FRAME_OK);
		ck_assert_uint_le(h.header_n + h.length, f->n - at);
		ck_assert(!h.rsv1 || h.opcode == WS_TEXT || h.opcode == WS_BINARY);
		ws_mask_copy(payload + m, p + h.header_n, (size_t)h.length, h.mask, 0);
		if (h.opcode >= WS_CLOSE) {
			n += (size_t)sprintf(text + n, h.opcode == WS_CLOSE ? "<%d>" : "[%.*s]",
			    h.opcode == WS_CLOSE ? payload[m] << 8 | payload[m + 1] : (int)h.length,
			    payload + m);
			continue;
		}
		ck_assert_int_eq(h.opcode == WS_CONT, opcode != 0);
		if (opcode == 0)
			opcode = h.opcode, zipped = h.rsv1;
		m += (size_t)h.length;
		if (!h.fin)
			continue;
		n += (size_t)sprintf(
		    text + n, "%s%c(", zipped ? "z" : "", opcode == WS_TEXT ? 'T' : 'B');
		if (zipped) {
			memcpy(payload + m, "\0\0\377\377", 4);
			z.next_in = payload;
			z.avail_in = (uInt)m + 4;
			z.next_out = plain;
			z.avail_out = sizeof(plain);
			if (!takeover)
				inflateReset(&z);
			ck_assert_int_eq(inflate(&z, Z_SYNC_FLUSH), Z_OK);
			m = sizeof(plain) - z.avail_out;
		}
		memcpy(text + n, zipped ? plain : payload, m);
		n += m;
		text[n++] = ')';
		m = opcode = 0;
	}
	inflateEnd(&z);
	text[n] = '\0';
	return text;
}

/* Three messages, the middle one in fragments with a PING between them. */
static void
say_three(z_stream *z)
{
	struct zipped m;

	uw_said.n = 0;
	say_zipped(z, WS_TEXT, "one");
	m = zip(z, sample(600), 600);
	say_bytes(RSV1 | WS_BINARY, m.p, 100);
	uw_say(FIN | WS_PING, "ping");
	uw_say(WS_CONT, "");
	say_bytes(FIN | WS_CONT, m.p + 100, m.n - 100);
	say_zipped(z, WS_TEXT, "three");
}

/* Give all that was said, cut at two places. */
static void
give_cut(size_t i, size_t k)
{
	uw_give(&uw.client, uw_said.p, i);
	uw_give(&uw.client, uw_said.p + i, k - i);
	uw_give(&uw.client, uw_said.p + k, uw_said.n - k);
}

static void
check_all_cuts(
    const struct uw_fake *f, const struct ws_ext *ext, const char *client, const char *app)
{
	bool takeover = !ext->server_no_takeover;
	z_stream z = { .next_in = NULL };

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	say_three(ext->client_no_takeover ? NULL : &z);
	uw.ext = ext;
	for (size_t i = 0; i <= uw_said.n; i++)
		for (size_t k = i; k <= uw_said.n; k += 37) {
			const char *got;

			uw_open();
			give_cut(i, k);
			if (client != NULL) {
				/* How much of it is compressed depends on the cuts. */
				got = frames_of(&uw.client, takeover);
				ck_assert_ptr_nonnull(strstr(got, client));
			}
			if (app != NULL && f == NULL) {
				uw.app.out[uw.app.n] = '\0';
				ck_assert_str_eq((const char *)uw.app.out, app);
			} else if (app != NULL) {
				ck_assert_str_eq(frames_of(f, takeover), app);
			}
			uw_drop();
		}
	deflateEnd(&z);
}

START_TEST(ws_edge_sends_the_same_to_a_backend_for_any_cuts)
{
	const struct ws_ext *const exts[] = { &edge_takeover, &edge_alone };
	char wanted[TEXT_N + 40]; /* and what stands around it */

	for (size_t i = 0; i < UNIT_COUNT(exts); i++) {
		uw_setup("Compression=edge", "");
		snprintf(wanted, sizeof(wanted), "T(one)[ping]B(%s)T(three)", sample(600));
		check_all_cuts(&uw.app, exts[i], NULL, wanted);
		uw_clear();
	}
}
END_TEST

START_TEST(ws_edge_sends_the_same_to_raw_backends_for_any_cuts)
{
	char wanted[TEXT_N + 40]; /* and what stands around it */

	uw_setup("Compression=edge", "Protocol=lines\nMessageType=binary");
	snprintf(wanted, sizeof(wanted), "one\n%s\nthree\n", sample(600));
	check_all_cuts(NULL, &edge_alone, "[ping]", wanted);
	uw_clear();
	uw_setup("Compression=edge", "Protocol=stream");
	snprintf(wanted, sizeof(wanted), "one%sthree", sample(600));
	check_all_cuts(NULL, &edge_takeover, "[ping]", wanted);
	uw_clear();
}
END_TEST

START_TEST(ws_edge_echoes_for_any_cuts)
{
	uw_setup_echo("Compression=edge");
	check_all_cuts(NULL, &edge_takeover, "T(one)", NULL);
	check_all_cuts(NULL, &edge_alone, "T(three)", NULL);
	uw_clear();
}
END_TEST

START_TEST(ws_edge_compresses_what_comes_from_a_backend)
{
	char wanted[4 * TEXT_N], text[TEXT_N];
	uint8_t frame[TEXT_N + WS_HEADER_MAX];
	size_t n;

	uw_setup("Compression=edge", "");
	for (int alone = 0; alone < 2; alone++) {
		uw.ext = alone ? &edge_alone : &edge_takeover;
		uw_open();
		memcpy(text, sample(1000), 1001);
		n = ws_frame_write(frame, FIN | WS_TEXT, 1000, NULL);
		memcpy(frame + n, text, 1000);
		uw_give(&uw.app, frame, n + 1000);
		uw_give(&uw.app, frame, n + 1000);
		/* short ones, and control frames, go as they are */
		uw_give(&uw.app, "\x82\x02hi\x89\x01p", 7);
		/* in pieces: nobody knows how long it will be */
		uw_give(&uw.app, "\x02\x02hi\x8a\x01q\x80\x01!", 10);
		snprintf(wanted, sizeof(wanted), "zT(%s)zT(%s)B(hi)[p][q]zB(hi!)", text, text);
		ck_assert_str_eq(frames_of(&uw.client, !alone), wanted);
		/* cut anywhere it becomes fragments */
		uw.client.n = 0;
		uw_drop();
		uw_open();
		for (size_t i = 0; i < n + 1000; i += 50)
			uw_give(&uw.app, frame + i, n + 1000 - i < 50 ? n + 1000 - i : 50);
		snprintf(wanted, sizeof(wanted), "zT(%s)", text);
		ck_assert_str_eq(frames_of(&uw.client, !alone), wanted);
		uw_drop();
	}
	uw_clear();
}
END_TEST

START_TEST(ws_edge_takeover_keeps_zlib_state_and_alone_does_not)
{
	uint64_t spare, first;

	uw_setup_echo("Compression=edge\nCompressionMinSize=0");
	uw.ext = &edge_alone;
	uw_said.n = 0;
	say_zipped(NULL, WS_TEXT, "hello");
	uw_open();
	ck_assert_uint_eq(uw.deflate_memory.bytes, 0); /* not before the first message */
	uw_give(&uw.client, uw_said.p, uw_said.n);
	spare = uw.deflate_memory.bytes;
	for (int i = 0; i < 10; i++)
		uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.deflate_memory.bytes, spare);
	/* a message that is open has streams of its own, for any length, and gives them back */
	for (int i = 0; i < 2; i++) {
		uw_give(&uw.client, uw_said.p, uw_said.n - 1);
		ck_assert(i == 0 || uw.deflate_memory.bytes == spare);
		spare = uw.deflate_memory.bytes;
		uw_give(&uw.client, uw_said.p + uw_said.n - 1, 1);
	}
	ck_assert_uint_eq(uw.deflate_memory.bytes, spare);
	uw_drop();
	ck_assert_uint_eq(uw.deflate_memory.bytes, spare);
	uw_clear();

	uw_setup_echo("Compression=edge\nCompressionMinSize=0");
	uw.ext = &edge_takeover;
	uw_open();
	ck_assert_uint_eq(uw.deflate_memory.bytes, 0);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	first = uw.deflate_memory.bytes;
	ck_assert_uint_gt(first, 256 << 10);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.deflate_memory.bytes, first);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_edge_sends_no_more_than_the_receiver_may_have)
{
	static char zeros[60000];
	struct zipped m = zip(NULL, zeros, sizeof(zeros));
	size_t total = 0, turns = 0;

	ck_assert_uint_lt(m.n, 200);
	uw_setup("Compression=edge", "Protocol=stream");
	uw.ext = &edge_takeover;
	uw_said.n = 0;
	say_bytes(FIN | RSV1 | WS_BINARY, m.p, m.n);
	uw_say(FIN | WS_TEXT, "behind");
	uw_open();
	uw.app.slow = true;
	uw_give(&uw.client, uw_said.p, uw_said.n);
	while (uw.app.s.ev != NULL && uw.app.queued > 0 && turns++ < 1000) {
		ck_assert_uint_le(uw.app.queued, UW_LIMIT);
		total += uw.app.queued;
		if (total < sizeof(zeros))
			ck_assert(uw.client.s.holds != 0);
		uw.app.queued = 0;
		uw.app.s.ev->room(&uw.app.s);
	}
	ck_assert_uint_eq(total, sizeof(zeros) + 6);
	ck_assert_uint_ge(turns, sizeof(zeros) / UW_LIMIT);
	ck_assert_uint_eq(uw.client.s.holds, 0);
	ck_assert_mem_eq(uw.app.out + sizeof(zeros), "behind", 6);
	/* all over while it waits */
	uw_drop();
	for (int i = 0; i < 3; i++) {
		uw_open();
		uw.app.slow = true;
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert(uw.client.s.holds != 0);
		if (i == 0)
			uw_give_reset(&uw.app);
		else if (i == 1)
			uw_give_end(&uw.app);
		unit_loop_turns(uw.loop, 10);
		uw_drop();
	}
	uw_clear();
}
END_TEST

START_TEST(ws_edge_errors_are_told_to_the_client)
{
	static const struct {
		const char *route;
		uint8_t opcode;
		const char *payload;
		size_t n;
		const char *wanted;
	} rows[] = {
		{ "", FIN | RSV1 | WS_TEXT, "\x06", 1, "<1007>" },
		{ "", FIN | RSV1 | WS_TEXT, "", 0, "<1007>" },
		{ "", FIN | RSV1 | WS_TEXT, "\xf2\x00\x11\x00\x00", 5, "<1007>" },
		{ "", FIN | RSV1 | WS_TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "T(Hello)" },
		{ "MaxMessageSize=4", FIN | RSV1 | WS_TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7,
		    "<1009>" },
		{ "MaxMessageSize=5", FIN | RSV1 | WS_TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7,
		    "T(Hello)" },
		/* stored: "\xff", "\xc3" */
		{ "", FIN | RSV1 | WS_TEXT, "\0\1\0\xfe\xff\xff\0", 7, "<1007>" },
		{ "", FIN | RSV1 | WS_TEXT, "\0\1\0\xfe\xff\xc3\0", 7, "<1007>" },
		{ "ValidateUTF8=no", FIN | RSV1 | WS_TEXT, "\0\1\0\xfe\xff\xc3\0", 7, "T(\xc3)" },
		{ "", FIN | RSV1 | WS_BINARY, "\0\1\0\xfe\xff\xc3\0", 7, "B(\xc3)" },
		{ "", FIN | RSV1 | WS_CONT, "", 0, "<1002>" },
		{ "", FIN | RSV1 | WS_PING, "", 0, "<1002>" },
		{ "", FIN | RSV1 | 0x20 | WS_TEXT, "", 0, "<1002>" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uw_setup_echo(*rows[i].route ? rows[i].route : "MaxAge=0");
		uw.ext = &edge_takeover;
		uw_said.n = 0;
		say_bytes(rows[i].opcode, (const uint8_t *)rows[i].payload, rows[i].n);
		uw_open();
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert_msg(strcmp(frames_of(&uw.client, true), rows[i].wanted) == 0,
		    "row %zu: %s", i, frames_of(&uw.client, true));
		uw_drop();
		uw_clear();
	}
}
END_TEST

START_TEST(ws_edge_survives_every_allocation_that_fails)
{
	for (int mode = 0; mode < 3; mode++) {
		bool echo = mode == 2, whole = false;

		if (echo)
			uw_setup_echo("Compression=edge");
		else
			uw_setup("Compression=edge", mode == 0 ? "" : "Protocol=stream");
		for (unsigned nth = 1; !whole && nth < 60; nth++) {
			struct uw_fake *to = echo ? &uw.client : &uw.app;
			int opened;

			uw.ext = &edge_takeover;
			say_three(NULL);
			mem_fail_nth(nth);
			if ((opened = uw_try_open(NULL)) == 0) {
				to->slow = true;
				give_cut(50, 200);
				to->queued = 0;
				if (to->s.ev != NULL)
					to->s.ev->room(&to->s);
				unit_loop_turns(uw.loop, 3);
			}
			whole = mem_fail_pending();
			mem_fail_nth(0);
			if (opened == 0)
				uw_drop();
			gateway_free(uw.gw);
			ck_assert_uint_eq(uw.deflate_memory.bytes, 0);
			ck_assert_ptr_nonnull(uw.gw = gateway_new(&uw.env));
		}
		ck_assert(whole);
		uw_clear();
	}
}
END_TEST

/* ---- idle: gateway/ws_edge_rest.c */

static struct ws *
the_ws(void)
{
	return ws_of_leg(uw.client.s.user);
}

/* So many looks of the connection's timer, each as much later as its work allows. */
static void
look(int times)
{
	static uint64_t at;

	if (at == 0)
		at = loop_now_ms(uw.loop);
	for (int i = 0; i < times; i++)
		ws_edge_rest(the_ws(), at += 1000);
}

static const int rest_looks[] = { 0, 1, 2, 4, 5, 6, 15, 16, 40 };

START_TEST(ws_edge_rest_is_not_seen_by_the_peers)
{
	char wanted[4 * TEXT_N], text[TEXT_N];
	uint8_t frame[TEXT_N + WS_HEADER_MAX];
	z_stream z = { .next_in = NULL };
	size_t n, plain;

	memcpy(text, sample(2500), 2501);
	n = ws_frame_write(frame, FIN | WS_TEXT, 2500, NULL);
	memcpy(frame + n, text, 2500);
	n += 2500;
	uw_setup("Compression=edge", "");
	uw.ext = &edge_takeover;
	for (size_t i = 0; i < UNIT_COUNT(rest_looks); i++) {
		uw_open();
		ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
		for (int k = 0; k < 3; k++) {
			uw.app.n = uw_said.n = 0;
			say_zipped(&z, WS_TEXT, text);
			ck_assert(k == 0 || uw_said.n < 100);
			uw_give(&uw.client, uw_said.p, uw_said.n);
			snprintf(wanted, sizeof(wanted), "T(%s)", text);
			ck_assert_str_eq(frames_of(&uw.app, false), wanted);
			plain = uw.client.n;
			uw_give(&uw.app, frame, n);
			/* What it was told before is known until it is forgotten. */
			if (k > 0 && rest_looks[i] < 16)
				ck_assert_uint_lt(uw.client.n - plain, 100);
			else
				ck_assert_uint_gt(uw.client.n - plain, 100);
			look(rest_looks[i]);
		}
		snprintf(wanted, sizeof(wanted), "zT(%s)zT(%s)zT(%s)", text, text, text);
		ck_assert_str_eq(frames_of(&uw.client, true), wanted);
		deflateEnd(&z);
		uw_drop();
		unit_loop_turns(uw.loop, 1);
	}
	uw_clear();
}
END_TEST

START_TEST(ws_edge_rest_gives_memory_back_step_by_step)
{
	uint64_t awake, spare;

	uw_setup_echo("Compression=edge");
	uw.ext = &edge_takeover;
	uw_open();
	uw_said.n = 0;
	say_zipped(NULL, WS_TEXT, sample(TEXT_N));
	uw_give(&uw.client, uw_said.p, uw_said.n);
	awake = uw.deflate_memory.bytes;
	ck_assert_uint_gt(awake, 290 << 10);
	look(1); /* it may have been used just now */
	ck_assert_uint_eq(uw.deflate_memory.bytes, awake);
	look(1);
	/* The streams are the worker's spare ones now. */
	spare = awake + 2 * (TEXT_N + 64);
	ck_assert_uint_le(uw.deflate_memory.bytes, spare);
	/* A second WebSocket takes them: one more costs what it said. */
	look(3);
	ck_assert_uint_lt(uw.deflate_memory.bytes, awake + TEXT_N + TEXT_N / 2 + 64);
	look(11);
	ck_assert_uint_lt(uw.deflate_memory.bytes, awake + TEXT_N / 2 + 64);
	ck_assert_uint_gt(uw.deflate_memory.bytes, awake);
	/* Used again, it is not idle; what it said is not wanted any more. */
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.deflate_memory.bytes, awake);
	for (int i = 0; i < 5; i++) {
		look(1);
		ck_assert_uint_eq(uw.deflate_memory.bytes, awake);
		uw_give(&uw.client, uw_said.p, uw_said.n);
	}
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_edge_rest_leaves_alone_what_is_in_the_middle_of_a_message)
{
	uint64_t had;

	uw_setup_echo("Compression=edge");
	uw.ext = &edge_takeover;
	uw_open();
	uw_said.n = 0;
	say_zipped(NULL, WS_TEXT, sample(TEXT_N));
	uw_give(&uw.client, uw_said.p, uw_said.n / 2);
	had = uw.deflate_memory.bytes;
	look(30);
	ck_assert_uint_eq(uw.deflate_memory.bytes, had);
	uw_give(&uw.client, uw_said.p + uw_said.n / 2, uw_said.n - uw_said.n / 2);
	ck_assert_ptr_nonnull(strstr(frames_of(&uw.client, true), sample(TEXT_N)));
	look(3);
	ck_assert_uint_ne(uw.deflate_memory.bytes, had);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_edge_rest_work_of_a_moment_is_bounded)
{
	uint64_t awake, at, rested;
	int rests = 0;

	uw_setup_echo("Compression=edge");
	uw.ext = &edge_takeover;
	uw_said.n = 0;
	say_zipped(NULL, WS_TEXT, sample(600));
	uw_open();
	uw_give(&uw.client, uw_said.p, uw_said.n);
	awake = uw.deflate_memory.bytes;
	at = loop_now_ms(uw.loop) / 32 * 32;
	do {
		ws_edge_rest(the_ws(), at);
		ws_edge_rest(the_ws(), at + 31);
		rested = uw.deflate_memory.bytes;
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert_uint_eq(uw.deflate_memory.bytes, awake);
	} while (rested != awake && rests++ < 100);
	ck_assert_int_ge(rests, 4);
	ck_assert_int_le(rests, 16);
	/* It is not forgotten, only later. */
	ws_edge_rest(the_ws(), at + 32);
	ws_edge_rest(the_ws(), at + 32);
	ck_assert_uint_ne(uw.deflate_memory.bytes, awake);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_edge_rest_makes_room_when_memory_is_short)
{
	uint64_t awake;

	uw_setup_echo("Compression=edge");
	uw.ext = &edge_takeover;
	uw_said.n = 0;
	say_zipped(NULL, WS_TEXT, sample(TEXT_N));
	uw_open();
	uw_give(&uw.client, uw_said.p, uw_said.n);
	awake = uw.deflate_memory.bytes;
	/* Three quarters of CompressionMemory (256M): what is not used is forgotten at once. */
	atomic_fetch_add(&uw.deflate_memory.bytes, 192 << 20);
	look(2);
	uw.deflate_memory.bytes -= 192 << 20;
	ck_assert_uint_lt(uw.deflate_memory.bytes, awake + TEXT_N + 64);
	ws_deflate_pool_clear(&uw.gw->edge->pool);
	/* Past all of it, nothing is kept awake between messages, and nobody is refused. */
	atomic_fetch_add(&uw.deflate_memory.bytes, 300 << 20);
	for (int i = 0; i < 5; i++) {
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ws_deflate_pool_clear(&uw.gw->edge->pool);
		ck_assert_uint_lt(uw.deflate_memory.bytes - (300 << 20), 7 * TEXT_N);
	}
	ck_assert_ptr_null(strchr(frames_of(&uw.client, true), '<'));
	uw.deflate_memory.bytes -= 300 << 20;
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_edge_rest_survives_every_allocation_that_fails)
{
	for (int looks = 2; looks <= 16; looks += 7) {
		bool whole = false;
		int refused = 0;

		for (unsigned nth = 1; !whole && nth < 60; nth++) {
			const char *got, *text = sample(TEXT_N);
			z_stream z = { .next_in = NULL };

			uw_setup_echo("Compression=edge");
			uw.ext = &edge_takeover;
			uw_open();
			ck_assert_int_eq(
			    deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
			uw_said.n = 0;
			say_zipped(&z, WS_TEXT, text);
			uw_give(&uw.client, uw_said.p, uw_said.n);
			uw_said.n = 0;
			say_zipped(&z, WS_TEXT, text);
			mem_fail_nth(nth);
			look(looks);
			/* Nothing is spare. */
			ws_deflate_pool_clear(&uw.gw->edge->pool);
			uw_give(&uw.client, uw_said.p, uw_said.n);
			whole = mem_fail_pending();
			mem_fail_nth(0);
			got = frames_of(&uw.client, true);
			ck_assert(strncmp(got + (*got == 'z'), "T(", 2) == 0);
			got = strchr(got, ')') + 1;
			refused += *got == '<';
			/* The second is there, or the client is told. */
			ck_assert_msg(strncmp(got + (*got == 'z'), "T(", 2) == 0 ||
				strcmp(got, "<1013>") == 0 || strcmp(got, "<1011>") == 0,
			    "%s", got);
			deflateEnd(&z);
			uw_drop();
			gateway_free(uw.gw);
			ck_assert_uint_eq(uw.deflate_memory.bytes, 0);
			ck_assert_ptr_nonnull(uw.gw = gateway_new(&uw.env));
			uw_clear();
		}
		ck_assert(whole);
		ck_assert(refused > 0);
	}
}
END_TEST

START_TEST(ws_edge_passthrough_looks_at_nothing)
{
	uw_setup("Compression=passthrough", "");
	uw.ext = &edge_takeover;
	uw_said.n = 0;
	say_bytes(RSV1 | WS_TEXT, (const uint8_t *)"\xff\xfe", 2);
	say_bytes(FIN | WS_CONT, (const uint8_t *)"\xfd", 1);
	uw_open();
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.app.n, uw_said.n);
	ck_assert_mem_eq(uw.app.out, uw_said.p, uw_said.n);
	uw_give(&uw.app, "\xc1\x01\xff", 3);
	ck_assert_uint_eq(uw.client.n, 3);
	ck_assert_mem_eq(uw.client.out, "\xc1\x01\xff", 3);
	ck_assert_uint_eq(uw.deflate_memory.bytes, 0);
	uw_drop();
	uw_clear();
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_edge_sends_the_same_to_a_backend_for_any_cuts,
		ws_edge_sends_the_same_to_raw_backends_for_any_cuts,
		ws_edge_echoes_for_any_cuts,
		ws_edge_compresses_what_comes_from_a_backend,
		ws_edge_takeover_keeps_zlib_state_and_alone_does_not,
		ws_edge_sends_no_more_than_the_receiver_may_have,
		ws_edge_errors_are_told_to_the_client,
		ws_edge_survives_every_allocation_that_fails,
		ws_edge_rest_is_not_seen_by_the_peers,
		ws_edge_rest_gives_memory_back_step_by_step,
		ws_edge_rest_leaves_alone_what_is_in_the_middle_of_a_message,
		ws_edge_rest_work_of_a_moment_is_bounded,
		ws_edge_rest_makes_room_when_memory_is_short,
		ws_edge_rest_survives_every_allocation_that_fails,
		ws_edge_passthrough_looks_at_nothing,
	};

	return unit_run("ws_edge", cases, UNIT_COUNT(cases));
}
