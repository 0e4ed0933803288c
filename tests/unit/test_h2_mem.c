/* http/h2_mem: what nghttp2 allocates. */
#include "http/h2_mem.h"

#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "unit.h"

static struct loop *loop;
static nghttp2_mem mem;

static void
setup(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	mem = h2_mem(loop);
}

static void
teardown(void)
{
	loop_free(loop);
}

static void
fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + 1);
}

static void
expect(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(p[i], (uint8_t)(i * 7 + 1));
}

START_TEST(h2_mem_pieces_of_all_sizes_stay_apart)
{
	uint8_t *v[1200];

	for (size_t n = 0; n < UNIT_COUNT(v); n++) {
		ck_assert_ptr_nonnull(v[n] = mem.malloc(n, mem.mem_user_data));
		ck_assert_uint_eq((uintptr_t)v[n] % 8, 0);
		fill(v[n], n);
	}
	for (size_t n = 0; n < UNIT_COUNT(v); n++) {
		expect(v[n], n);
		mem.free(v[n], mem.mem_user_data);
	}
	mem.free(NULL, mem.mem_user_data);
}
END_TEST

START_TEST(h2_mem_realloc_keeps_what_was_there)
{
	static const size_t size[] = { 1, 100, 504, 505, 3000, 16383, 16384, 100000, 16384, 16383,
		3000, 100000, 504, 40000, 100, 1 };
	uint8_t *p = NULL;
	size_t had = 0;

	for (size_t i = 0; i < UNIT_COUNT(size); i++) {
		ck_assert_ptr_nonnull(p = mem.realloc(p, size[i], mem.mem_user_data));
		expect(p, had < size[i] ? had : size[i]);
		fill(p, size[i]);
		had = size[i];
	}
	mem.free(p, mem.mem_user_data);
}
END_TEST

START_TEST(h2_mem_calloc_gives_zeros)
{
	uint8_t *p;

	for (int i = 0; i < 2; i++) { /* the second has the memory of the first */
		ck_assert_ptr_nonnull(p = mem.calloc(3, 40, mem.mem_user_data));
		for (int k = 0; k < 120; k++)
			ck_assert_uint_eq(p[k], 0);
		memset(p, 1, 120);
		mem.free(p, mem.mem_user_data);
	}
}
END_TEST

START_TEST(h2_mem_refuses_what_is_too_large)
{
	ck_assert_ptr_null(mem.calloc(SIZE_MAX / 2, 4, mem.mem_user_data));
	ck_assert_ptr_null(mem.malloc(SIZE_MAX, mem.mem_user_data));
}
END_TEST

START_TEST(h2_mem_without_memory_returns_null)
{
	uint8_t *p = mem.malloc(300, mem.mem_user_data);

	fill(p, 300);
	mem_fail_nth(1);
	ck_assert_ptr_null(mem.malloc(40, mem.mem_user_data));
	mem_fail_nth(1);
	ck_assert_ptr_null(mem.realloc(p, 5000, mem.mem_user_data));
	mem_fail_nth(0);
	expect(p, 300);
	mem.free(p, mem.mem_user_data);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_mem_pieces_of_all_sizes_stay_apart,
		h2_mem_realloc_keeps_what_was_there,
		h2_mem_calloc_gives_zeros,
		h2_mem_refuses_what_is_too_large,
		h2_mem_without_memory_returns_null,
	};

	return unit_run_with("h2_mem", cases, UNIT_COUNT(cases), setup, teardown);
}
