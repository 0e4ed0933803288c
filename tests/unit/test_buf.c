/* Unit tests of src/base/buf.[ch]. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

static void
buf_expect(const struct buf *b, const char *text)
{
	ck_assert_uint_eq(b->n, strlen(text));
	ck_assert(span_eq(buf_span(b), span_from_str(text)));
	ck_assert_uint_le(b->n, b->cap);
	ck_assert_uint_le(b->cap, b->max);
}

START_TEST(buf_allocates_nothing_before_the_first_byte)
{
	struct buf b;

	mem_fail_nth(1);
	buf_init(&b, 10);
	ck_assert_int_eq(buf_append(&b, NULL, 0), 0);
	ck_assert_int_eq(buf_append_str(&b, ""), 0);
	ck_assert_int_eq(buf_append_span(&b, SPAN_NONE), 0);
	ck_assert_int_eq(buf_printf(&b, "%s", ""), 0);
	ck_assert_int_eq(buf_reserve(&b, 0), 0);
	buf_consume(&b, 0);
	ck_assert_ptr_null(b.p);
	buf_clear(&b);
	ck_assert_int_ne(mem_fail_pending(), 0);
	mem_fail_nth(0);
}
END_TEST

START_TEST(buf_appends_numbers)
{
	static const uint64_t rows[] = { 0, 7, 10, 99, 100, 12345678901, UINT64_MAX };
	char expected[24];
	struct buf b;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		int n = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)rows[i]);

		buf_init(&b, (size_t)n);
		ck_assert_int_eq(buf_append_uint(&b, rows[i]), 0);
		ck_assert(span_eq(buf_span(&b), span_from_str(expected)));
		ck_assert_int_eq(buf_append_uint(&b, rows[i]), -1);
		ck_assert_uint_eq(b.n, (size_t)n);
		buf_clear(&b);
	}
}
END_TEST

START_TEST(buf_appends_every_kind)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_int_eq(buf_append(&b, "abc", 2), 0);
	ck_assert_int_eq(buf_append_str(&b, "cd"), 0);
	ck_assert_int_eq(buf_append_char(&b, 'e'), 0);
	ck_assert_int_eq(buf_append_span(&b, SPAN_LIT("fg")), 0);
	ck_assert_int_eq(buf_printf(&b, "%d-%s", 42, "x"), 0);
	buf_expect(&b, "abcdefg42-x");
	buf_clear(&b);
	buf_expect(&b, "");
	ck_assert_int_eq(buf_append_str(&b, "again"), 0);
	buf_expect(&b, "again");
	buf_clear(&b);
}
END_TEST

START_TEST(buf_fills_to_its_maximum_and_no_further)
{
	struct buf b;

	for (size_t max = 0; max < 300; max++) {
		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			ck_assert_int_eq(buf_append_char(&b, 'x'), 0);
		ck_assert_int_eq(buf_append_char(&b, 'y'), -1);
		ck_assert_int_eq(buf_printf(&b, "%c", 'y'), -1);
		ck_assert_int_eq(buf_reserve(&b, 1), -1);
		ck_assert_int_eq(buf_append(&b, "", 0), 0);
		ck_assert_uint_eq(b.n, max);
		for (size_t i = 0; i < max; i++)
			ck_assert_int_eq(b.p[i], 'x');
		buf_clear(&b);
	}
}
END_TEST

START_TEST(buf_printf_fits_exactly_at_the_maximum)
{
	struct buf b;

	for (size_t max = 1; max < 300; max++) {
		buf_init(&b, max);
		ck_assert_int_eq(buf_printf(&b, "%*d", (int)max + 1, 1), -1);
		ck_assert_uint_eq(b.n, 0);
		ck_assert_int_eq(buf_append_char(&b, 'a'), 0);
		ck_assert_int_eq(buf_printf(&b, "%*d", (int)max, 1), -1);
		buf_expect(&b, "a");
		if (max > 1)
			ck_assert_int_eq(buf_printf(&b, "%*d", (int)max - 1, 7), 0);
		ck_assert_uint_eq(b.n, max);
		ck_assert_int_eq(b.p[max - 1], max > 1 ? '7' : 'a');
		buf_clear(&b);
	}
}
END_TEST

START_TEST(buf_reserve_makes_room_that_stays)
{
	struct buf b;
	char *p;

	buf_init(&b, SIZE_MAX);
	ck_assert_int_eq(buf_reserve(&b, 1000), 0);
	ck_assert_uint_ge(b.cap - b.n, 1000);
	ck_assert_uint_eq(b.n, 0);
	p = b.p;
	memset(b.p, 'z', 1000);
	b.n = 1000;
	ck_assert_int_eq(buf_reserve(&b, 0), 0);
	ck_assert_ptr_eq(b.p, p);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -1);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 1000), -1);
	ck_assert_uint_eq(b.n, 1000);
	ck_assert_int_eq(b.p[999], 'z');
	buf_clear(&b);
}
END_TEST

START_TEST(buf_consume_drops_from_the_front)
{
	struct buf b;

	buf_init(&b, 6);
	ck_assert_int_eq(buf_append_str(&b, "abcdef"), 0);
	buf_consume(&b, 2);
	buf_expect(&b, "cdef");
	ck_assert_int_eq(buf_append_str(&b, "gh"), 0);
	buf_expect(&b, "cdefgh");
	buf_consume(&b, 6);
	buf_expect(&b, "");
	ck_assert_int_eq(buf_append_str(&b, "ijklmn"), 0);
	buf_expect(&b, "ijklmn");
	buf_clear(&b);
}
END_TEST

START_TEST(buf_is_unchanged_when_memory_is_out)
{
	static const char fill[] =
	    "0123456789012345678901234567890123456789012345678901234567890123";
	struct buf b;

	buf_init(&b, 1000);
	mem_fail_nth(1);
	ck_assert_int_eq(buf_append_str(&b, "x"), -1);
	buf_expect(&b, "");
	ck_assert_int_eq(buf_append_str(&b, "keep"), 0);
	mem_fail_nth(1);
	ck_assert_int_eq(buf_append_str(&b, fill), -1);
	buf_expect(&b, "keep");
	mem_fail_nth(1);
	ck_assert_int_eq(buf_printf(&b, "%s", fill), -1);
	buf_expect(&b, "keep");
	mem_fail_nth(1);
	ck_assert_int_eq(buf_reserve(&b, 900), -1);
	buf_expect(&b, "keep");
	ck_assert_int_eq(mem_fail_pending(), 0);
	buf_clear(&b);
}
END_TEST

START_TEST(buf_growth_needs_few_allocations)
{
	unsigned int grown = 0;
	struct buf b;
	size_t cap;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < 1 << 20; i++) {
		cap = b.cap;
		if (buf_append_char(&b, (char)i) == -1)
			ck_abort_msg("refused at %zu", i);
		grown += b.cap != cap;
	}
	ck_assert_uint_le(grown, 20);
	for (size_t i = 0; i < 1 << 20; i++)
		if (b.p[i] != (char)i)
			ck_abort_msg("byte %zu differs", i);
	buf_clear(&b);
}
END_TEST

START_TEST(buf_over_the_callers_memory_never_allocates)
{
	char room[9];
	struct buf b;

	mem_fail_nth(1);
	buf_init_over(&b, room, sizeof(room));
	ck_assert_int_eq(buf_append_str(&b, "1234"), 0);
	ck_assert_int_eq(buf_printf(&b, "%d", 56789), -1);
	ck_assert_int_eq(buf_printf(&b, "%d", 5678), 0);
	ck_assert_int_eq(buf_append_char(&b, '9'), -1);
	ck_assert_int_ne(mem_fail_pending(), 0);
	mem_fail_nth(0);
	ck_assert_ptr_eq(b.p, room);
	ck_assert_uint_eq(b.n, 8);
	ck_assert_mem_eq(room, "12345678", 8);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		buf_allocates_nothing_before_the_first_byte,
		buf_appends_numbers,
		buf_appends_every_kind,
		buf_fills_to_its_maximum_and_no_further,
		buf_printf_fits_exactly_at_the_maximum,
		buf_reserve_makes_room_that_stays,
		buf_consume_drops_from_the_front,
		buf_is_unchanged_when_memory_is_out,
		buf_growth_needs_few_allocations,
		buf_over_the_callers_memory_never_allocates,
	};

	return unit_run("buf", cases, UNIT_COUNT(cases));
}
