/* Unit tests of src/codec/ws_deflate.[ch]. */
#include "codec/ws_deflate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define NO_LIMIT UINT64_MAX
#define BIG (1 << 20)

static struct ws_deflate_memory memory;
static struct ws_deflate_pool pool;

static void
setup(void)
{
	memory.bytes = 0;
	ws_deflate_pool_init(&pool, &memory);
}

/* Whatever a case does, all is given back. */
static void
teardown(void)
{
	ws_deflate_pool_clear(&pool);
	ck_assert_uint_eq(memory.bytes, 0);
}

struct bytes {
	uint8_t *p;
	size_t n;
};

static void
bytes_free(struct bytes *b)
{
	free(b->p);
	b->p = NULL;
	b->n = 0;
}

/* Room of just this size, so that a byte too many is seen. */
static void
bytes_add(struct bytes *b, const uint8_t *p, size_t n)
{
	b->p = realloc(b->p, b->n + n + 1);
	ck_assert_ptr_nonnull(b->p);
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* Inflate a run through rooms of `room` bytes; then the message's end, if there is one. */
static enum ws_deflate_status
inflate_add(struct ws_inflate *z, const void *p, size_t n, bool end, size_t room, struct bytes *out)
{
	struct ws_deflate_in in = { p, n };
	uint8_t *chunk = malloc(room);
	enum ws_deflate_status status;
	size_t k;

	ck_assert_ptr_nonnull(chunk);
	do {
		status = ws_inflate_run(z, &in, chunk, room, &k);
		ck_assert_uint_le(k, room);
		bytes_add(out, chunk, k);
	} while (status == WS_DEFLATE_FULL);
	while (end && (status == WS_DEFLATE_OK || status == WS_DEFLATE_FULL)) {
		status = ws_inflate_end(z, chunk, room, &k);
		ck_assert_uint_le(k, room);
		bytes_add(out, chunk, k);
		if (status == WS_DEFLATE_OK)
			break;
	}
	free(chunk);
	return status;
}

static void
deflate_add(struct ws_deflate *z, const void *p, size_t n, enum ws_deflate_flush flush, size_t room,
    struct bytes *out)
{
	struct ws_deflate_in in = { p, n };
	uint8_t *chunk = malloc(room);
	enum ws_deflate_status status;
	size_t k;

	ck_assert_ptr_nonnull(chunk);
	do {
		status = ws_deflate_run(z, &in, flush, chunk, room, &k);
		ck_assert_uint_le(k, room);
		bytes_add(out, chunk, k);
	} while (status == WS_DEFLATE_FULL);
	ck_assert_int_eq(status, WS_DEFLATE_OK);
	ck_assert_uint_eq(in.n, 0);
	free(chunk);
}

/* Half of it is text that repeats, half is noise. */
static uint8_t *
sample(size_t n)
{
	uint8_t *p = malloc(n + 1);
	uint32_t r = 1;

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i++) {
		r = r * 1664525 + 1013904223;
		p[i] = (i / 512 & 1) != 0 ? (uint8_t)(r >> 24) : (uint8_t)('a' + i % 23);
	}
	return p;
}

static void
check_same(const struct bytes *got, const void *p, size_t n)
{
	ck_assert_uint_eq(got->n, n);
	ck_assert(n == 0 || memcmp(got->p, p, n) == 0);
}

START_TEST(ws_inflate_reads_the_examples_of_the_rfc)
{
	static const struct {
		const char *what;
		uint8_t p[16];
		size_t n;
		const char *text;
	} rows[] = {
		{ "7.2.3.1", { 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00 }, 7, "Hello" },
		{ "7.2.3.2, repeated with takeover", { 0xf2, 0x00, 0x11, 0x00, 0x00 }, 5, "Hello" },
		{ "7.2.3.3, not compressed",
		    { 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00 }, 11,
		    "Hello" },
		{ "7.2.3.4, BFINAL", { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00 }, 8,
		    "Hello" },
		{ "repeated across BFINAL", { 0xf2, 0x00, 0x11, 0x00, 0x00 }, 5, "Hello" },
		{ "7.2.3.5, two blocks",
		    { 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07,
			0x00 },
		    13, "Hello" },
		{ "7.2.3.6, empty", { 0x00 }, 1, "" },
		{ "an empty block by the fixed code before the tail", { 0x02, 0x00 }, 2, "" },
		{ "the last block is stored, empty and final", { 0x01 }, 1, "" },
	};
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct bytes out = { NULL, 0 };

		ck_assert_int_eq(
		    inflate_add(z, rows[i].p, rows[i].n, true, 64, &out), WS_DEFLATE_OK);
		ck_assert_msg(
		    out.n == strlen(rows[i].text) && memcmp(out.p, rows[i].text, out.n) == 0,
		    "%s: %zu bytes", rows[i].what, out.n);
		bytes_free(&out);
	}
	ws_inflate_put(&pool, z);
}
END_TEST

START_TEST(ws_inflate_refuses_what_is_no_message)
{
	static const struct {
		const char *what;
		uint8_t p[8];
		size_t n;
	} rows[] = {
		{ "reserved block type", { 0x06 }, 1 },
		{ "stored length and its complement differ", { 0x00, 0x01, 0x00, 0x00, 0x00 }, 5 },
		{ "a distance before the start", { 0xf2, 0x00, 0x11, 0x00, 0x00 }, 5 },
		{ "nothing at all", { 0 }, 0 },
		{ "the end is missing", { 0xf2, 0x48, 0xcd, 0xc9 }, 4 },
		{ "a stored block is cut", { 0x00, 0x06, 0x00, 0xf9, 0xff, 0x48 }, 6 },
		{ "BFINAL without the empty block behind it",
		    { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00 }, 7 },
		{ "bad codes", { 0x05, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 8 },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);
		struct bytes out = { NULL, 0 };

		ck_assert_msg(
		    inflate_add(z, rows[i].p, rows[i].n, true, 64, &out) == WS_DEFLATE_BAD, "%s",
		    rows[i].what);
		bytes_free(&out);
		ws_inflate_put(&pool, z);
	}
}
END_TEST

START_TEST(ws_deflate_writes_what_is_inflated_again)
{
	static const size_t sizes[] = { 0, 1, 5, 255, 256, 1000, 32768, 300000 };
	static const size_t rooms[] = { 64, 65, 1000, BIG };

	for (unsigned bits = 9; bits <= 15; bits++)
		for (size_t i = 0; i < UNIT_COUNT(sizes) * UNIT_COUNT(rooms); i++) {
			size_t n = sizes[i % UNIT_COUNT(sizes)];
			size_t room = rooms[i / UNIT_COUNT(sizes)];
			struct ws_deflate *d = ws_deflate_get(&pool, bits, 1 + i % 9, NO_LIMIT);
			struct ws_inflate *z = ws_inflate_get(&pool, bits, NO_LIMIT);
			struct bytes wire = { NULL, 0 }, out = { NULL, 0 };
			uint8_t *p = sample(n);

			deflate_add(d, p, n, WS_DEFLATE_END, room, &wire);
			ck_assert_uint_gt(wire.n, 0);
			ck_assert_int_eq(
			    inflate_add(z, wire.p, wire.n, true, room, &out), WS_DEFLATE_OK);
			check_same(&out, p, n);
			bytes_free(&wire);
			bytes_free(&out);
			free(p);
			ws_deflate_put(&pool, d);
			ws_inflate_put(&pool, z);
		}
}
END_TEST

START_TEST(ws_deflate_flush_lets_the_peer_have_all_so_far)
{
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 1, NO_LIMIT);
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);
	struct bytes wire = { NULL, 0 }, out = { NULL, 0 };
	uint8_t *p = sample(5000);
	size_t at = 0;

	for (size_t n = 1; n < 100; n++) {
		size_t had = wire.n;

		deflate_add(d, p + at, n / 2, WS_DEFLATE_MORE, 64, &wire);
		deflate_add(d, p + at + n / 2, n - n / 2, WS_DEFLATE_FLUSH, 64, &wire);
		at += n;
		ck_assert_int_eq(
		    inflate_add(z, wire.p + had, wire.n - had, false, 64, &out), WS_DEFLATE_OK);
		check_same(&out, p, at);
		/* Twice is not more. */
		had = wire.n;
		deflate_add(d, NULL, 0, WS_DEFLATE_FLUSH, 64, &wire);
		ck_assert_uint_eq(wire.n, had);
	}
	/* The end of a message of which all is out already: RFC 7692 7.2.3.6. */
	wire.n = 0;
	deflate_add(d, NULL, 0, WS_DEFLATE_END, 64, &wire);
	ck_assert_uint_eq(wire.n, 1);
	ck_assert_uint_eq(wire.p[0], 0);
	ck_assert_int_eq(inflate_add(z, wire.p, 1, true, 64, &out), WS_DEFLATE_OK);
	check_same(&out, p, at);
	bytes_free(&wire);
	bytes_free(&out);
	free(p);
	ws_deflate_put(&pool, d);
	ws_inflate_put(&pool, z);
}
END_TEST

/* A message several times, through a stream that is kept or one of the pool each time. */
static void
repeat_message(bool takeover, size_t wire_n[3])
{
	struct ws_deflate *d = NULL;
	struct ws_inflate *z = NULL;
	uint8_t *p = sample(500);

	for (int i = 0; i < 3; i++) {
		struct bytes wire = { NULL, 0 }, out = { NULL, 0 };

		if (d == NULL)
			d = ws_deflate_get(&pool, 15, 6, NO_LIMIT);
		if (z == NULL)
			z = ws_inflate_get(&pool, 15, NO_LIMIT);
		deflate_add(d, p, 500, WS_DEFLATE_END, 100, &wire);
		ck_assert_int_eq(inflate_add(z, wire.p, wire.n, true, 100, &out), WS_DEFLATE_OK);
		check_same(&out, p, 500);
		wire_n[i] = wire.n;
		if (!takeover) {
			ws_deflate_put(&pool, d);
			ws_inflate_put(&pool, z);
			d = NULL;
			z = NULL;
		}
		bytes_free(&wire);
		bytes_free(&out);
	}
	free(p);
	ws_deflate_put(&pool, d);
	ws_inflate_put(&pool, z);
}

START_TEST(ws_deflate_remembers_with_takeover_only)
{
	size_t kept[3], alone[3];

	repeat_message(true, kept);
	repeat_message(false, alone);
	ck_assert_uint_lt(kept[1], kept[0] / 2);
	ck_assert_uint_lt(kept[2], kept[0] / 2);
	ck_assert_uint_eq(alone[0], kept[0]);
	ck_assert_uint_eq(alone[1], alone[0]);
	ck_assert_uint_eq(alone[2], alone[0]);
}
END_TEST

START_TEST(ws_deflate_a_spare_stream_knows_nothing_of_its_last_user)
{
	static const uint8_t back[] = { 0xf2, 0x00, 0x11, 0x00, 0x00 }; /* "the same again" */
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT), *same;
	struct bytes out = { NULL, 0 };
	static const uint8_t hello[] = { 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00 };

	ck_assert_int_eq(inflate_add(z, hello, 7, true, 64, &out), WS_DEFLATE_OK);
	/* In the middle of a message, and of its tail. */
	ck_assert_int_eq(inflate_add(z, hello, 3, false, 64, &out), WS_DEFLATE_OK);
	ws_inflate_put(&pool, z);
	same = ws_inflate_get(&pool, 15, NO_LIMIT);
	ck_assert_ptr_eq(same, z);
	ck_assert_int_eq(inflate_add(same, back, 5, true, 64, &out), WS_DEFLATE_BAD);
	ws_inflate_put(&pool, same);
	/* After an error as well. */
	same = ws_inflate_get(&pool, 15, NO_LIMIT);
	ck_assert_ptr_eq(same, z);
	out.n = 0;
	ck_assert_int_eq(inflate_add(same, hello, 7, true, 64, &out), WS_DEFLATE_OK);
	check_same(&out, "Hello", 5);
	ws_inflate_put(&pool, same);
	bytes_free(&out);
}
END_TEST

START_TEST(ws_deflate_a_spare_stream_is_full_or_of_another_level)
{
	struct ws_deflate *d = ws_deflate_get(&pool, 9, 9, NO_LIMIT), *same;
	uint8_t *p = sample(5000), room[64];
	struct ws_deflate_in in = { p, 5000 };
	struct bytes first = { NULL, 0 }, second = { NULL, 0 };
	size_t n;

	ck_assert_int_eq(
	    ws_deflate_run(d, &in, WS_DEFLATE_END, room, sizeof(room), &n), WS_DEFLATE_FULL);
	ws_deflate_put(&pool, d);
	same = ws_deflate_get(&pool, 9, 1, NO_LIMIT);
	ck_assert_ptr_eq(same, d);
	d = ws_deflate_get(&pool, 9, 1, NO_LIMIT);
	ck_assert_ptr_ne(same, d);
	deflate_add(same, p, 5000, WS_DEFLATE_END, 64, &first);
	deflate_add(d, p, 5000, WS_DEFLATE_END, BIG, &second);
	/* Rooms cut the output, they do not change it but for flushes that just fill one. */
	ck_assert_uint_le(first.n - second.n, 5);
	bytes_free(&first);
	bytes_free(&second);
	free(p);
	ws_deflate_put(&pool, d);
	ws_deflate_put(&pool, same);
}
END_TEST

START_TEST(ws_deflate_counts_its_memory_and_stops_at_the_limit)
{
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 1, NO_LIMIT), *small;
	uint64_t one = memory.bytes;

	/* RFC 7692 8: a window of 32 KiB and zlib's tables, 256 KiB and a little. */
	ck_assert_uint_ge(one, 256 << 10);
	ck_assert_uint_le(one, 272 << 10);
	ck_assert_ptr_null(ws_deflate_get(&pool, 15, 1, one));
	ck_assert_ptr_null(ws_inflate_get(&pool, 15, one));
	small = ws_deflate_get(&pool, 9, 1, one + 1);
	ck_assert_ptr_nonnull(small);
	ck_assert_uint_le(memory.bytes - one, 20 << 10);
	/* A spare one costs nothing. */
	ws_deflate_put(&pool, d);
	ck_assert_ptr_eq(ws_deflate_get(&pool, 15, 1, 0), d);
	ws_deflate_put(&pool, d);
	ws_deflate_put(&pool, small);
	/* One of each size is kept. */
	d = ws_deflate_get(&pool, 9, 1, NO_LIMIT);
	small = ws_deflate_get(&pool, 9, 1, NO_LIMIT);
	ws_deflate_put(&pool, d);
	one = memory.bytes;
	ws_deflate_put(&pool, small);
	ck_assert_uint_lt(memory.bytes, one);
}
END_TEST

START_TEST(ws_deflate_survives_every_allocation_that_fails)
{
	for (unsigned nth = 1; nth < 12; nth++) {
		struct ws_deflate *d;
		struct ws_inflate *z;
		struct bytes wire = { NULL, 0 }, out = { NULL, 0 };
		uint8_t *p = sample(2000);
		enum ws_deflate_status status = WS_DEFLATE_NOMEM;

		mem_fail_nth(nth);
		d = ws_deflate_get(&pool, 15, 1, NO_LIMIT);
		z = ws_inflate_get(&pool, 15, NO_LIMIT);
		if (d != NULL)
			deflate_add(d, p, 2000, WS_DEFLATE_END, 64, &wire);
		if (d != NULL && z != NULL)
			status = inflate_add(z, wire.p, wire.n, true, 64, &out);
		if (status == WS_DEFLATE_OK)
			check_same(&out, p, 2000);
		else
			ck_assert_int_eq(status, WS_DEFLATE_NOMEM);
		ck_assert(status != WS_DEFLATE_OK || mem_fail_pending());
		mem_fail_nth(0);
		ws_deflate_put(&pool, d);
		ws_inflate_put(&pool, z);
		bytes_free(&wire);
		bytes_free(&out);
		free(p);
		ws_deflate_pool_clear(&pool);
	}
}
END_TEST

START_TEST(ws_inflate_keeps_its_output_in_bounds_whatever_the_ratio)
{
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 9, NO_LIMIT);
	struct ws_inflate *z = ws_inflate_get(&pool, 15, NO_LIMIT);
	struct bytes wire = { NULL, 0 };
	uint8_t *zeros = calloc(1, 8 * BIG), room[64];
	struct ws_deflate_in in;
	size_t n, total = 0, before;

	ck_assert_ptr_nonnull(zeros);
	deflate_add(d, zeros, 8 * BIG, WS_DEFLATE_END, BIG, &wire);
	ck_assert_uint_lt(wire.n, 8 * BIG / 900);
	in = (struct ws_deflate_in){ wire.p, wire.n };
	before = memory.bytes;
	while (ws_inflate_run(z, &in, room, sizeof(room), &n) == WS_DEFLATE_FULL)
		total += n;
	total += n;
	while (ws_inflate_end(z, room, sizeof(room), &n) == WS_DEFLATE_FULL)
		total += n;
	ck_assert_uint_eq(total + n, 8 * BIG);
	ck_assert_uint_le(memory.bytes - before, 33 << 10); /* the window */
	free(zeros);
	bytes_free(&wire);
	ws_deflate_put(&pool, d);
	ws_inflate_put(&pool, z);
}
END_TEST

START_TEST(ws_inflate_does_not_look_back_further_than_its_window)
{
	struct ws_deflate *d = ws_deflate_get(&pool, 15, 9, NO_LIMIT);
	struct ws_inflate *small = ws_inflate_get(&pool, 9, NO_LIMIT);
	struct bytes wire = { NULL, 0 }, out = { NULL, 0 };
	uint8_t *p = sample(2048);

	memcpy(p + 1536, p + 512, 512); /* noise, 1024 bytes back */
	deflate_add(d, p, 2048, WS_DEFLATE_END, BIG, &wire);
	ck_assert_int_eq(inflate_add(small, wire.p, wire.n, true, 64, &out), WS_DEFLATE_BAD);
	bytes_free(&wire);
	bytes_free(&out);
	free(p);
	ws_deflate_put(&pool, d);
	ws_inflate_put(&pool, small);
}
END_TEST

START_TEST(ws_deflate_picks_a_window_for_a_length)
{
	ck_assert_uint_eq(ws_deflate_bits_for(0, 15), 9);
	ck_assert_uint_eq(ws_deflate_bits_for(250, 15), 9);
	ck_assert_uint_eq(ws_deflate_bits_for(251, 15), 10);
	ck_assert_uint_eq(ws_deflate_bits_for(1024 - 262, 15), 10);
	ck_assert_uint_eq(ws_deflate_bits_for(16384, 15), 15);
	ck_assert_uint_eq(ws_deflate_bits_for(UINT64_MAX, 15), 15);
	ck_assert_uint_eq(ws_deflate_bits_for(UINT64_MAX, 9), 9);
	ck_assert_uint_eq(ws_deflate_bits_for(5000, 12), 12);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_inflate_reads_the_examples_of_the_rfc,
		ws_inflate_refuses_what_is_no_message,
		ws_deflate_writes_what_is_inflated_again,
		ws_deflate_flush_lets_the_peer_have_all_so_far,
		ws_deflate_remembers_with_takeover_only,
		ws_deflate_a_spare_stream_knows_nothing_of_its_last_user,
		ws_deflate_a_spare_stream_is_full_or_of_another_level,
		ws_deflate_counts_its_memory_and_stops_at_the_limit,
		ws_deflate_survives_every_allocation_that_fails,
		ws_inflate_keeps_its_output_in_bounds_whatever_the_ratio,
		ws_inflate_does_not_look_back_further_than_its_window,
		ws_deflate_picks_a_window_for_a_length,
	};

	return unit_run_with("ws_deflate", cases, UNIT_COUNT(cases), setup, teardown);
}
