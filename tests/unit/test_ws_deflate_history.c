/*
 * Unit tests of src/codec/ws_deflate.c: streams that are put away between messages, and what is
 * made of them again.  zlib itself is the peer.
 */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/mem.h"
#include "codec/ws_deflate.h"
#include "unit.h"

#define NO_LIMIT UINT64_MAX
#define WIRE_MAX 200000
#define TEXT_MAX 100000

enum rest { AWAKE, SAVED, PACKED, RESTS };

static struct ws_deflate_memory memory;
static struct ws_deflate_pool pool;
static z_stream peer;
static uint8_t text[TEXT_MAX], noise[TEXT_MAX];

static void
setup(void)
{
	uint32_t r = 99;

	memory.bytes = 0;
	ws_deflate_pool_init(&pool, &memory);
	for (size_t i = 0; i < TEXT_MAX; i++) {
		r = r * 1664525 + 1013904223;
		noise[i] = (uint8_t)(r >> 24);
		text[i] = i >= 400 && (r >> 20 & 63) != 0 ? text[i - 400 + i / 900 % 7]
							  : (uint8_t)('a' + (r >> 24) % 26);
	}
}

static void
teardown(void)
{
	ws_deflate_pool_clear(&pool);
	ck_assert_uint_eq(memory.bytes, 0);
}

/* ---- the peer's messages */

static uint8_t wire[WIRE_MAX];
static size_t wire_n;

static void
peer_deflates(unsigned bits, int level)
{
	memset(&peer, 0, sizeof(peer));
	ck_assert_int_eq(
	    deflateInit2(&peer, level, Z_DEFLATED, -(int)bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
}

static void
peer_says(const uint8_t *p, size_t n, int flush)
{
	peer.next_in = (uint8_t *)(uintptr_t)p;
	peer.avail_in = (uInt)n;
	peer.next_out = wire;
	peer.avail_out = WIRE_MAX;
	deflate(&peer, flush);
	ck_assert_uint_eq(peer.avail_in, 0);
	wire_n = WIRE_MAX - peer.avail_out;
	if (flush == Z_SYNC_FLUSH && wire_n >= 4)
		wire_n -= 4;
	else if (flush == Z_SYNC_FLUSH)
		wire[wire_n++] = 0; /* nothing new: RFC 7692 7.2.3.6 */
}

/* What is made of the message in `wire`, cut in two at a place. */
static void
inflate_is(struct ws_inflate *z, size_t cut, const uint8_t *p, size_t n)
{
	static uint8_t out[TEXT_MAX + 64];
	size_t at = cut < wire_n ? cut : wire_n, total, k;
	struct ws_deflate_in in = { wire, at };

	ck_assert_int_eq(ws_inflate_run(z, &in, out, sizeof(out), &k), WS_DEFLATE_OK);
	total = k;
	in = (struct ws_deflate_in){ wire + at, wire_n - at };
	ck_assert_int_eq(
	    ws_inflate_run(z, &in, out + total, sizeof(out) - total, &k), WS_DEFLATE_OK);
	total += k;
	ck_assert_int_eq(ws_inflate_end(z, out + total, sizeof(out) - total, &k), WS_DEFLATE_OK);
	ck_assert_uint_eq(total + k, n);
	ck_assert(n == 0 || memcmp(out, p, n) == 0);
}

/* ---- putting away */

static uint8_t room[65536];

static void
disturb(unsigned bits)
{
	static const uint8_t hello[] = { 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07 };
	struct ws_deflate_in in = { hello, sizeof(hello) };
	struct ws_inflate *z = ws_inflate_get(&pool, bits, NO_LIMIT);
	struct ws_deflate *d = ws_deflate_get(&pool, bits, 9, NO_LIMIT);
	uint8_t out[64];
	size_t n;

	ws_inflate_run(z, &in, out, sizeof(out), &n);
	in = (struct ws_deflate_in){ noise, 32 };
	ws_deflate_run(d, &in, WS_DEFLATE_FLUSH, out, sizeof(out), &n);
	ws_inflate_put(&pool, z);
	ws_deflate_put(&pool, d);
}

static struct ws_history *
inflate_put_away(struct ws_inflate *z, enum rest how)
{
	struct ws_history *h = ws_inflate_save(&pool, z);

	ck_assert_ptr_nonnull(h);
	if (how == PACKED) {
		ws_history_pack(&pool, &h, room, sizeof(room), NO_LIMIT);
		ck_assert(ws_history_was_packed(h));
	}
	return h;
}

static struct ws_inflate *
inflate_rest(struct ws_inflate *z, unsigned bits, enum rest how)
{
	struct ws_history *h;

	if (how == AWAKE)
		return z;
	h = inflate_put_away(z, how);
	disturb(bits); /* others use the streams of the pool */
	ck_assert_ptr_nonnull(z = ws_inflate_restore(&pool, h, NO_LIMIT));
	return z;
}

static const struct {
	size_t at, n;
} messages[] = { { 0, 300 }, { 100, 200 }, { 0, 0 }, { 0, 300 }, { 0, 1 }, { 5000, 20000 },
	{ 0, 300 }, { 12000, 9000 }, { 24000, 300 }, { 0, 70000 }, { 40000, 30000 },
	{ 69000, 999 } };

START_TEST(ws_deflate_history_of_an_inflater_is_whole_for_every_window)
{
	for (unsigned bits = 9; bits <= 15; bits++)
		for (enum rest how = SAVED; how < RESTS; how++)
			for (int noisy = 0; noisy < 2; noisy++) {
				const uint8_t *p = noisy ? noise : text;
				struct ws_inflate *z = ws_inflate_get(&pool, bits, NO_LIMIT);

				peer_deflates(bits, 9);
				for (size_t i = 0; i < UNIT_COUNT(messages); i++) {
					z = inflate_rest(z, bits, how);
					peer_says(p + messages[i].at, messages[i].n, Z_SYNC_FLUSH);
					inflate_is(
					    z, wire_n / 2, p + messages[i].at, messages[i].n);
				}
				ws_inflate_put(&pool, z);
				deflateEnd(&peer);
			}
}
END_TEST

START_TEST(ws_deflate_history_reaches_as_far_back_as_the_window)
{
	/* Noise of nearly a window twice: what comes again is all reference. */
	for (unsigned bits = 9; bits <= 15; bits++)
		for (enum rest how = SAVED; how < RESTS; how++) {
			struct ws_inflate *z = ws_inflate_get(&pool, bits, NO_LIMIT);
			size_t n = (1u << bits) - 300;

			peer_deflates(bits, 9);
			peer_says(noise, n, Z_SYNC_FLUSH);
			inflate_is(z, n, noise, n);
			z = inflate_rest(z, bits, how);
			peer_says(noise, n / 2, Z_SYNC_FLUSH);
			ck_assert_uint_lt(wire_n, n / 4);
			inflate_is(z, wire_n / 2, noise, n / 2);
			ws_inflate_put(&pool, z);
			deflateEnd(&peer);
		}
}
END_TEST

START_TEST(ws_deflate_history_for_a_message_that_is_cut_anywhere)
{
	for (enum rest how = SAVED; how < RESTS; how++)
		for (size_t cut = 0, n = 1; cut <= n; cut++) {
			struct ws_inflate *z = ws_inflate_get(&pool, 12, NO_LIMIT);

			peer_deflates(12, 9);
			peer_says(text, 3000, Z_SYNC_FLUSH);
			inflate_is(z, 100, text, 3000);
			z = inflate_rest(z, 12, how);
			peer_says(text + 500, 600, Z_SYNC_FLUSH);
			n = wire_n;
			ck_assert_uint_lt(n, 200);
			inflate_is(z, cut, text + 500, 600);
			ws_inflate_put(&pool, z);
			deflateEnd(&peer);
		}
}
END_TEST

START_TEST(ws_deflate_history_behind_a_last_block)
{
	static const uint8_t bfinal[] = { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00 };
	static const uint8_t again[] = { 0xf2, 0x00, 0x11, 0x00, 0x00 };
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);

	memcpy(wire, bfinal, wire_n = sizeof(bfinal)); /* RFC 7692 7.2.3.4 */
	inflate_is(z, 3, (const uint8_t *)"Hello", 5);
	z = inflate_rest(z, 15, PACKED);
	memcpy(wire, again, wire_n = sizeof(again)); /* 7.2.3.2 */
	inflate_is(z, 1, (const uint8_t *)"Hello", 5);
	/* A distance before the start of all is still refused. */
	z = inflate_rest(z, 15, SAVED);
	peer_deflates(15, 9);
	deflateSetDictionary(&peer, noise, 1000);
	peer_says(noise, 500, Z_SYNC_FLUSH);
	ck_assert_int_eq(
	    ws_inflate_run(z, &(struct ws_deflate_in){ wire, wire_n }, room, sizeof(room), &wire_n),
	    WS_DEFLATE_BAD);
	ws_inflate_put(&pool, z);
	deflateEnd(&peer);
}
END_TEST

/* ---- the compressor */

static size_t
deflate_says(struct ws_deflate *d, const uint8_t *p, size_t n)
{
	struct ws_deflate_in in = { p, n };

	ck_assert_int_eq(
	    ws_deflate_run(d, &in, WS_DEFLATE_END, wire, WIRE_MAX - 4, &wire_n), WS_DEFLATE_OK);
	return wire_n;
}

static void
peer_hears(const uint8_t *p, size_t n)
{
	static uint8_t out[TEXT_MAX + 1];

	memcpy(wire + wire_n, "\0\0\377\377", 4);
	peer.next_in = wire;
	peer.avail_in = (uInt)wire_n + 4;
	peer.next_out = out;
	peer.avail_out = sizeof(out);
	ck_assert_int_eq(inflate(&peer, Z_SYNC_FLUSH), Z_OK);
	ck_assert_uint_eq(sizeof(out) - peer.avail_out, n);
	ck_assert(n == 0 || memcmp(out, p, n) == 0);
}

START_TEST(ws_deflate_history_of_a_deflater_keeps_the_ratio)
{
	for (unsigned bits = 9; bits <= 15; bits++)
		for (unsigned level = 1; level <= 9; level += 4) {
			struct ws_deflate *d = ws_deflate_get(&pool, bits, level, NO_LIMIT);
			size_t total[2] = { 0, 0 };

			for (int rest = 0; rest < 2; rest++) {
				memset(&peer, 0, sizeof(peer));
				ck_assert_int_eq(inflateInit2(&peer, -(int)bits), Z_OK);
				for (size_t i = 0; i < UNIT_COUNT(messages); i++) {
					const uint8_t *p = text + messages[i].at;

					if (rest) {
						struct ws_history *h = ws_deflate_save(&pool, d);

						ck_assert_ptr_nonnull(h);
						disturb(bits);
						d = ws_deflate_restore(&pool, h, level, NO_LIMIT);
						ck_assert_ptr_nonnull(d);
					}
					total[rest] += deflate_says(d, p, messages[i].n);
					peer_hears(p, messages[i].n);
				}
				inflateEnd(&peer);
				ws_deflate_put(&pool, d);
				d = ws_deflate_get(&pool, bits, level, NO_LIMIT);
			}
			/* zlib forgets a little with small windows, where it slides. */
			ck_assert_uint_le(total[1], total[0] + total[0] / 10);
			ws_deflate_put(&pool, d);
		}
}
END_TEST

/* A deflater that forgot is one that is made anew: the peer's window is just not referred to. */
START_TEST(ws_deflate_that_forgets_is_understood)
{
	memset(&peer, 0, sizeof(peer));
	ck_assert_int_eq(inflateInit2(&peer, -15), Z_OK);
	for (size_t i = 0; i < UNIT_COUNT(messages); i++) {
		struct ws_deflate *d = ws_deflate_get(&pool, 15, 6, NO_LIMIT);

		deflate_says(d, text + messages[i].at, messages[i].n);
		peer_hears(text + messages[i].at, messages[i].n);
		ws_deflate_put(&pool, d);
	}
	inflateEnd(&peer);
}
END_TEST

/* ---- memory */

START_TEST(ws_deflate_history_is_as_small_as_what_it_holds)
{
	static const size_t sizes[] = { 0, 10, 500, 5000, 32768, 90000 };

	for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
		size_t n = sizes[i], seen = n < 32768 ? n : 32768;
		struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);
		struct ws_deflate *d = ws_deflate_get(&pool, 15, 6, NO_LIMIT);
		struct ws_history *in, *out;

		deflate_says(d, text, n);
		inflate_is(z, wire_n, text, n);
		in = ws_inflate_save(&pool, z);
		out = ws_deflate_save(&pool, d);
		ws_deflate_pool_clear(&pool);
		ck_assert_uint_ge(memory.bytes, 2 * seen);
		ck_assert_uint_le(memory.bytes, 2 * (seen + 64));
		ws_history_free(&pool, out);
		ws_history_pack(&pool, &in, room, sizeof(room), NO_LIMIT);
		ck_assert(ws_history_was_packed(in));
		ws_deflate_pool_clear(&pool);
		ck_assert_uint_le(memory.bytes, seen / 2 + 96);
		ws_history_free(&pool, in);
		ck_assert_uint_eq(memory.bytes, 0);
	}
}
END_TEST

START_TEST(ws_deflate_history_that_does_not_shrink_stays_as_it_is)
{
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);
	struct ws_history *h, *same;
	uint64_t had;

	peer_deflates(15, 9);
	peer_says(noise, 40000, Z_SYNC_FLUSH);
	inflate_is(z, wire_n, noise, 40000);
	same = h = ws_inflate_save(&pool, z);
	disturb(15); /* the streams that packing needs are spare */
	had = memory.bytes;
	ws_history_pack(&pool, &h, room, sizeof(room), NO_LIMIT);
	ck_assert_ptr_eq(h, same);
	ck_assert(ws_history_was_packed(h));
	ck_assert_uint_eq(memory.bytes, had);
	z = ws_inflate_restore(&pool, h, NO_LIMIT);
	peer_says(noise + 10000, 20000, Z_SYNC_FLUSH);
	ck_assert_uint_lt(wire_n, 1000);
	inflate_is(z, wire_n, noise + 10000, 20000);
	ws_inflate_put(&pool, z);
	deflateEnd(&peer);
}
END_TEST

START_TEST(ws_deflate_history_heeds_the_limit)
{
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT), *other;
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 6, NO_LIMIT);
	struct ws_history *in, *out;

	deflate_says(d, text, 2000);
	inflate_is(z, wire_n, text, 2000);
	in = ws_inflate_save(&pool, z);
	out = ws_deflate_save(&pool, d);
	other = ws_inflate_get(&pool, 15, NO_LIMIT);
	d = ws_deflate_get(&pool, 15, 6, NO_LIMIT);
	/* No stream is spare, and there may be no more. */
	ck_assert_ptr_null(ws_inflate_restore(&pool, in, 100));
	ck_assert_ptr_null(ws_deflate_restore(&pool, out, 6, 100));
	ws_history_pack(&pool, &in, room, sizeof(room), 100);
	ck_assert(!ws_history_was_packed(in));
	/* A spare one will do. */
	ws_inflate_put(&pool, other);
	ws_deflate_put(&pool, d);
	ck_assert_ptr_nonnull(z = ws_inflate_restore(&pool, in, 100));
	ck_assert_ptr_nonnull(d = ws_deflate_restore(&pool, out, 6, 100));
	ck_assert_uint_lt(deflate_says(d, text, 2000), 60);
	inflate_is(z, 5, text, 2000);
	ws_inflate_put(&pool, z);
	ws_deflate_put(&pool, d);
}
END_TEST

/* Whatever fails: the stream, or its history, is as it was, and goes on when there is memory. */
static bool
survives(unsigned nth, enum rest how)
{
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT), *z2 = NULL;
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 1, NO_LIMIT), *d2 = NULL;
	struct ws_history *in, *out;
	bool whole;

	deflate_says(d, text, 9000);
	inflate_is(z, wire_n, text, 9000);
	mem_fail_nth(nth);
	in = ws_inflate_save(&pool, z);
	out = ws_deflate_save(&pool, d);
	if (in != NULL && out != NULL)
		ws_deflate_pool_clear(&pool); /* nothing is spare */
	if (in != NULL && how == PACKED)
		ws_history_pack(&pool, &in, room, sizeof(room), NO_LIMIT);
	if (in != NULL)
		z2 = ws_inflate_restore(&pool, in, NO_LIMIT);
	if (out != NULL)
		d2 = ws_deflate_restore(&pool, out, 1, NO_LIMIT);
	whole = mem_fail_pending();
	mem_fail_nth(0);
	if (in != NULL)
		z = z2 != NULL ? z2 : ws_inflate_restore(&pool, in, NO_LIMIT);
	if (out != NULL)
		d = d2 != NULL ? d2 : ws_deflate_restore(&pool, out, 1, NO_LIMIT);
	ck_assert_uint_lt(deflate_says(d, text + 100, 8000), 400);
	inflate_is(z, wire_n / 3, text + 100, 8000);
	ws_inflate_put(&pool, z);
	ws_deflate_put(&pool, d);
	return whole;
}

START_TEST(ws_deflate_history_survives_every_allocation_that_fails)
{
	for (enum rest how = SAVED; how < RESTS; how++) {
		unsigned nth = 1;

		while (!survives(nth, how))
			nth++;
		ck_assert_uint_gt(nth, 8);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_deflate_history_of_an_inflater_is_whole_for_every_window,
		ws_deflate_history_reaches_as_far_back_as_the_window,
		ws_deflate_history_for_a_message_that_is_cut_anywhere,
		ws_deflate_history_behind_a_last_block,
		ws_deflate_history_of_a_deflater_keeps_the_ratio,
		ws_deflate_that_forgets_is_understood,
		ws_deflate_history_is_as_small_as_what_it_holds,
		ws_deflate_history_that_does_not_shrink_stays_as_it_is,
		ws_deflate_history_heeds_the_limit,
		ws_deflate_history_survives_every_allocation_that_fails,
	};

	return unit_run_with("ws_deflate_history", cases, UNIT_COUNT(cases), setup, teardown);
}
