/* Unit tests of src/codec/ws_frame.[ch]. */
#include "codec/ws_frame.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static const uint8_t frame_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* Read p[0..n) from a block of just that size, where a sanitizer sees a byte too much. */
static enum ws_frame_status
frame_read(const void *p, size_t n, struct ws_frame *f)
{
	uint8_t *copy = malloc(n != 0 ? n : 1);
	enum ws_frame_status status;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, n);
	memset(f, 0xa5, sizeof(*f));
	status = ws_frame_read(copy, n, f);
	free(copy);
	return status;
}

START_TEST(ws_frame_reads_the_examples_of_rfc_6455)
{
	static const struct {
		uint8_t bytes[WS_HEADER_MAX];
		size_t n;
		uint8_t opcode;
		bool fin, masked;
		uint64_t length;
	} rows[] = {
		/* 5.7 */
		{ { 0x81, 0x05 }, 2, WS_TEXT, true, false, 5 },
		{ { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, WS_TEXT, true, true, 5 },
		{ { 0x01, 0x03 }, 2, WS_TEXT, false, false, 3 },
		{ { 0x80, 0x02 }, 2, WS_CONT, true, false, 2 },
		{ { 0x89, 0x05 }, 2, WS_PING, true, false, 5 },
		{ { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, WS_PONG, true, true, 5 },
		{ { 0x82, 0x7e, 0x01, 0x00 }, 4, WS_BINARY, true, false, 256 },
		{ { 0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, WS_BINARY, true, false, 65536 },
	};
	struct ws_frame f;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_int_eq(frame_read(rows[i].bytes, rows[i].n, &f), WS_FRAME_OK);
		ck_assert_uint_eq(f.header_n, rows[i].n);
		ck_assert_uint_eq(f.opcode, rows[i].opcode);
		ck_assert_uint_eq(f.length, rows[i].length);
		ck_assert(f.fin == rows[i].fin && f.masked == rows[i].masked);
		ck_assert(!f.rsv1 && !f.rsv2 && !f.rsv3);
		ck_assert_mem_eq(f.mask, rows[i].masked ? frame_key : (const uint8_t[4]){ 0 }, 4);
	}
}
END_TEST

/* What is read is written again as the same bytes, and each cut of it asks for more. */
START_TEST(ws_frame_reads_what_it_writes_and_asks_for_more_at_every_cut)
{
	static const uint64_t lengths[] = { 0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535,
		65536, 65537, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX };

	for (unsigned first = 0; first < 256; first += 5) /* each bit on and off */
		for (size_t i = 0; i < UNIT_COUNT(lengths); i++)
			for (int masked = 0; masked < 2; masked++) {
				uint8_t out[WS_HEADER_MAX + 1], again[WS_HEADER_MAX];
				struct ws_frame f;
				size_t n;

				n = ws_frame_write(
				    out, (uint8_t)first, lengths[i], masked ? frame_key : NULL);
				ck_assert_uint_eq(n, ws_frame_header_size(lengths[i], masked));
				ck_assert_uint_le(n, WS_HEADER_MAX);
				for (size_t cut = 0; cut < n; cut++)
					if (frame_read(out, cut, &f) != WS_FRAME_MORE)
						ck_abort_msg("first %u cut %zu", first, cut);
				ck_assert_int_eq(frame_read(out, n, &f), WS_FRAME_OK);
				ck_assert_uint_eq(f.length, lengths[i]);
				ck_assert_uint_eq(f.header_n, n);
				ck_assert_uint_eq(f.opcode, first & 0x0f);
				ck_assert(f.fin == (first >> 7 & 1) && f.rsv1 == (first >> 6 & 1) &&
				    f.rsv2 == (first >> 5 & 1) && f.rsv3 == (first >> 4 & 1));
				ck_assert(f.masked == masked);
				ck_assert_uint_eq(ws_frame_write(again, (uint8_t)first, f.length,
						      f.masked ? f.mask : NULL),
				    n);
				ck_assert_mem_eq(out, again, n);
				out[n] = 0xee; /* payload behind it changes nothing */
				ck_assert_int_eq(frame_read(out, n + 1, &f), WS_FRAME_OK);
				ck_assert_uint_eq(f.length, lengths[i]);
			}
}
END_TEST

START_TEST(ws_frame_refuses_non_minimal_length)
{
	struct ws_frame f;

	for (unsigned length = 0; length < 126; length++) {
		const uint8_t p[] = { 0x82, 0x7e, 0, (uint8_t)length };

		ck_assert_int_eq(frame_read(p, 4, &f), WS_FRAME_BAD);
	}
	for (unsigned length = 0; length < 65536; length++) {
		const uint8_t p[] = { 0x82, 0x7f, 0, 0, 0, 0, 0, 0, (uint8_t)(length >> 8),
			(uint8_t)length };

		if (ws_frame_read(p, 10, &f) != WS_FRAME_BAD)
			ck_abort_msg("%u", length);
	}
}
END_TEST

START_TEST(ws_frame_refuses_a_length_with_the_top_bit)
{
	static const uint8_t p[] = { 0x82, 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0 };
	static const uint8_t q[] = { 0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct ws_frame f;

	ck_assert_int_eq(frame_read(p, sizeof(p), &f), WS_FRAME_BAD);
	ck_assert_int_eq(frame_read(q, sizeof(q), &f), WS_FRAME_BAD);
}
END_TEST

START_TEST(ws_frame_refuses_as_soon_as_it_is_certain)
{
	static const uint8_t top[] = { 0x82, 0x7f, 0x80 };
	static const uint8_t small64[] = { 0x82, 0xff, 0, 0, 0, 0, 0, 0 };
	static const uint8_t small16[] = { 0x82, 0xfe, 0, 125 };
	struct ws_frame f;

	ck_assert_int_eq(frame_read(top, 2, &f), WS_FRAME_MORE);
	ck_assert_int_eq(frame_read(top, 3, &f), WS_FRAME_BAD);
	ck_assert_int_eq(frame_read(small64, 7, &f), WS_FRAME_MORE);
	ck_assert_int_eq(frame_read(small64, 8, &f), WS_FRAME_BAD);
	ck_assert_int_eq(frame_read(small16, 3, &f), WS_FRAME_MORE);
	ck_assert_int_eq(frame_read(small16, 4, &f), WS_FRAME_BAD);
}
END_TEST

START_TEST(ws_frame_control_makes_whole_frames)
{
	static const uint8_t ping[] = { 0x89, 5, 'H', 'e', 'l', 'l', 'o' };
	static const uint8_t pong[] = { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51,
		0x58 };
	static const uint8_t empty[] = { 0x88, 0 };
	uint8_t out[WS_HEADER_MAX + WS_CONTROL_MAX], big[WS_CONTROL_MAX + 10] = { 1 };

	ck_assert_uint_eq(ws_frame_control(out, WS_PING, "Hello", 5, NULL), sizeof(ping));
	ck_assert_mem_eq(out, ping, sizeof(ping));
	ck_assert_uint_eq(ws_frame_control(out, WS_PONG, "Hello", 5, frame_key), sizeof(pong));
	ck_assert_mem_eq(out, pong, sizeof(pong));
	ck_assert_uint_eq(ws_frame_control(out, WS_CLOSE, NULL, 0, NULL), sizeof(empty));
	ck_assert_mem_eq(out, empty, sizeof(empty));
	ck_assert_uint_eq(
	    ws_frame_control(out, WS_PING, big, WS_CONTROL_MAX, frame_key), 6 + WS_CONTROL_MAX);
	ck_assert_uint_eq(
	    ws_frame_control(out, WS_PING, big, sizeof(big), NULL), 2 + WS_CONTROL_MAX);
	ck_assert_uint_eq(out[1], WS_CONTROL_MAX);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_frame_reads_the_examples_of_rfc_6455,
		ws_frame_reads_what_it_writes_and_asks_for_more_at_every_cut,
		ws_frame_refuses_non_minimal_length,
		ws_frame_refuses_a_length_with_the_top_bit,
		ws_frame_refuses_as_soon_as_it_is_certain,
		ws_frame_control_makes_whole_frames,
	};

	return unit_run("ws_frame", cases, UNIT_COUNT(cases));
}
