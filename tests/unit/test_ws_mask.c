/*
 * Unit tests of src/codec/ws_mask.[ch].  The path without vectors is compiled
 * in here under another name, so that both are tested on every machine.
 */
#define WS_MASK_PORTABLE 1
#define ws_mask_copy mask_copy_portable
#include "codec/ws_mask.c"
#undef ws_mask_copy

void ws_mask_copy(
    uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4], uint64_t offset);

#include "unit.h"

#define MASK_ROOM 600
#define MASK_LONGEST 300

typedef void mask_function(uint8_t *, const uint8_t *, size_t, const uint8_t *, uint64_t);

static mask_function *const mask_functions[] = { ws_mask_copy, mask_copy_portable };
static const uint8_t mask_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static void
mask_fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 131 + 7);
}

/* Mask n bytes from room + from to room + to; compare all of room with the naive way. */
static void
mask_compare(mask_function *f, size_t from, size_t to, size_t n, uint64_t offset)
{
	uint8_t room[MASK_ROOM], wanted[MASK_ROOM], src[MASK_ROOM];

	mask_fill(room, sizeof(room));
	memcpy(wanted, room, sizeof(room));
	memcpy(src, room, sizeof(room));
	for (size_t i = 0; i < n; i++)
		wanted[to + i] = src[from + i] ^ mask_key[(offset + i) % 4];
	f(room + to, room + from, n, mask_key, offset);
	ck_assert_msg(memcmp(room, wanted, sizeof(room)) == 0, "from %zu to %zu n %zu offset %u",
	    from, to, n, (unsigned)offset);
}

START_TEST(ws_mask_in_place_is_as_the_naive_way_at_every_length_and_offset)
{
	for (size_t k = 0; k < UNIT_COUNT(mask_functions); k++)
		for (size_t n = 0; n <= MASK_LONGEST; n++)
			for (uint64_t offset = 0; offset < 9; offset++)
				mask_compare(mask_functions[k], 5, 5, n, offset);
}
END_TEST

START_TEST(ws_mask_works_at_every_alignment_of_both_sides)
{
	for (size_t k = 0; k < UNIT_COUNT(mask_functions); k++)
		for (size_t from = 0; from < 32; from++)
			for (size_t to = 0; to < 32; to++)
				for (size_t n = 120; n < 150; n += 9)
					mask_compare(mask_functions[k], 300 + from, to, n, 1);
}
END_TEST

START_TEST(ws_mask_reads_before_it_overwrites_when_dst_lies_before_src)
{
	for (size_t k = 0; k < UNIT_COUNT(mask_functions); k++)
		for (size_t gap = 0; gap <= 70; gap++)
			for (size_t n = 0; n <= MASK_LONGEST; n++)
				mask_compare(mask_functions[k], 8 + gap, 8, n, gap);
}
END_TEST

START_TEST(ws_mask_counts_the_offset_over_four_gigabytes)
{
	static const uint64_t offsets[] = { UINT32_MAX, (uint64_t)UINT32_MAX + 2, UINT64_C(1) << 62,
		(UINT64_C(1) << 63) - 3 };

	for (size_t k = 0; k < UNIT_COUNT(mask_functions); k++)
		for (size_t i = 0; i < UNIT_COUNT(offsets); i++)
			mask_compare(mask_functions[k], 3, 3, 77, offsets[i]);
}
END_TEST

START_TEST(ws_mask_in_pieces_is_as_in_one)
{
	for (size_t cut = 0; cut <= 200; cut++) {
		uint8_t one[200], two[200];

		mask_fill(one, sizeof(one));
		mask_fill(two, sizeof(two));
		ws_mask_copy(one, one, sizeof(one), mask_key, 0);
		ws_mask_copy(two, two, cut, mask_key, 0);
		ws_mask_copy(two + cut, two + cut, sizeof(two) - cut, mask_key, cut);
		ck_assert_mem_eq(one, two, sizeof(one));
	}
}
END_TEST

START_TEST(ws_mask_gives_the_example_of_rfc_6455)
{
	uint8_t hello[5] = { 'H', 'e', 'l', 'l', 'o' };
	static const uint8_t masked[5] = { 0x7f, 0x9f, 0x4d, 0x51, 0x58 }; /* 5.7 */

	ws_mask_copy(hello, hello, sizeof(hello), mask_key, 0);
	ck_assert_mem_eq(hello, masked, sizeof(masked));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_mask_in_place_is_as_the_naive_way_at_every_length_and_offset,
		ws_mask_works_at_every_alignment_of_both_sides,
		ws_mask_reads_before_it_overwrites_when_dst_lies_before_src,
		ws_mask_counts_the_offset_over_four_gigabytes,
		ws_mask_in_pieces_is_as_in_one,
		ws_mask_gives_the_example_of_rfc_6455,
	};

	return unit_run("ws_mask", cases, UNIT_COUNT(cases));
}
