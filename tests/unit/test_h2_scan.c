/* Frame headers in a client's bytes. */
#include "http/h2_scan.h"

#include <string.h>

#include "unit.h"

static const uint8_t stream[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				"\0\0\0\4\0\0\0\0\0"		 /* SETTINGS */
				"\0\0\5\0\1\200\0\0\3hello"	 /* DATA, with the reserved bit */
				"\0\0\0\377\377\177\377\377\377" /* a frame that nobody knows */
				"\0\1\2\1\4\0\0\0\5"; /* HEADERS of 258 bytes, which follow */

static const struct h2_scanned expected[] = {
	{ 0, 0, 4, 0 },
	{ 5, 3, 0, 1 },
	{ 0, INT32_MAX, 255, 255 },
	{ 258, 5, 1, 4 },
	{ 1, 7, 6, 0 },
};

START_TEST(h2_scan_finds_headers_however_they_are_cut)
{
	uint8_t all[sizeof(stream) - 1 + 258 + 9];
	size_t size = sizeof(all);

	memcpy(all, stream, sizeof(stream) - 1);
	memset(all + sizeof(stream) - 1, 0xff, 258);
	memcpy(all + sizeof(stream) - 1 + 258, "\0\0\1\6\0\0\0\0\7", 9);
	for (size_t step = 1; step <= size; step++) {
		struct h2_scanned got;
		struct h2_scan s;
		size_t found = 0;

		h2_scan_init(&s);
		for (size_t at = 0; at < size; at += step) {
			const uint8_t *p = all + at;
			size_t n = size - at < step ? size - at : step;

			while (h2_scan_next(&s, &p, &n, &got)) {
				ck_assert_uint_lt(found, UNIT_COUNT(expected));
				ck_assert_uint_eq(got.length, expected[found].length);
				ck_assert_int_eq(got.stream, expected[found].stream);
				ck_assert_uint_eq(got.type, expected[found].type);
				ck_assert_uint_eq(got.flags, expected[found].flags);
				found++;
			}
			ck_assert_uint_eq(n, 0);
		}
		ck_assert_uint_eq(found, UNIT_COUNT(expected));
	}
}
END_TEST

START_TEST(h2_scan_skips_the_largest_frame)
{
	uint8_t block[65536] = { 0 };
	const uint8_t *p = (const uint8_t *)"\377\377\377\0\0\0\0\0\1";
	struct h2_scanned got;
	struct h2_scan s;
	size_t n = 9, left = 0xffffff;

	h2_scan_init(&s);
	s.skip = 0;
	ck_assert(h2_scan_next(&s, &p, &n, &got));
	ck_assert_uint_eq(got.length, 0xffffff);
	while (left > 0) {
		p = block;
		n = left < sizeof(block) ? left : sizeof(block);
		left -= n;
		ck_assert(!h2_scan_next(&s, &p, &n, &got));
	}
	p = (const uint8_t *)"\0\0\0\6\0\0\0\0\0";
	n = 9;
	ck_assert(h2_scan_next(&s, &p, &n, &got));
	ck_assert_uint_eq(got.type, 6);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_scan_finds_headers_however_they_are_cut,
		h2_scan_skips_the_largest_frame,
	};

	return unit_run("h2_scan", cases, UNIT_COUNT(cases));
}
