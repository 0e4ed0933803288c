/* base/slab: objects stay apart, memory comes and goes. */
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/mem.h"
#include "base/slab.h"
#include "unit.h"

#define MANY 3000

START_TEST(slab_objects_do_not_overlap_and_are_zeroed)
{
	static unsigned char *v[MANY];
	struct slab s;

	slab_init(&s, 100);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++) {
			ck_assert_ptr_nonnull(v[i] = slab_alloc(&s));
			ck_assert_uint_eq((uintptr_t)v[i] % 8, 0);
			for (int k = 0; k < 100; k++)
				ck_assert_uint_eq(v[i][k], 0);
			memset(v[i], i & 0xff, 100);
		}
		for (int i = 0; i < MANY; i++)
			for (int k = 0; k < 100; k++)
				ck_assert_uint_eq(v[i][k], (unsigned char)i);
		for (int i = 0; i < MANY; i++)
			slab_free(v[(i * 7) % MANY]);
		ck_assert_uint_eq(s.used, 0);
	}
	slab_clear(&s);
}
END_TEST

START_TEST(slab_gives_empty_slabs_back)
{
	static void *v[MANY];
	struct slab s;
	size_t most;

	slab_init(&s, 256);
	for (int i = 0; i < MANY; i++)
		v[i] = slab_alloc(&s);
	most = s.n_pages;
	ck_assert_uint_le(s.n_empty, 0);
	for (int i = 0; i < MANY; i++)
		slab_free(v[i]);
	ck_assert_uint_le(s.n_pages, 4);
	ck_assert_uint_eq(s.n_pages, s.n_empty);
	ck_assert(most == 0 || most > 10); /* 0: a sanitizer watches each object */
	slab_clear(&s);
	ck_assert_uint_eq(s.n_pages, 0);
}
END_TEST

START_TEST(slab_trim_keeps_what_is_in_use)
{
	static unsigned char *v[MANY];
	struct slab s;
	size_t used;

	slab_init(&s, 256);
	slab_trim(&s);
	for (int i = 0; i < MANY; i++)
		memset(v[i] = slab_alloc(&s), i & 0xff, 256);
	slab_trim(&s);
	/* What is left is in two of the slabs, and in each of those there are holes. */
	for (int i = 0; i < MANY; i++)
		if (i >= 400 || i % 3 != 0)
			slab_free(v[i]);
	ck_assert(s.n_pages == 0 || s.n_empty == 4);
	slab_trim(&s);
	ck_assert_uint_eq(s.n_empty, 0);
	ck_assert_uint_le(s.n_pages, 2);
	used = s.used;
	for (int i = 0; i < 400; i++)
		for (int k = 0; i % 3 == 0 && k < 256; k++)
			ck_assert_uint_eq(v[i][k], i & 0xff);
	for (int i = 400; i < MANY; i++)
		ck_assert_ptr_nonnull(v[i] = slab_alloc(&s));
	ck_assert_uint_eq(s.used, used + MANY - 400);
	for (int i = 0; i < MANY; i++)
		if (i >= 400 || i % 3 == 0)
			slab_free(v[i]);
	slab_trim(&s);
	ck_assert_uint_eq(s.n_pages, 0);
	slab_clear(&s);
}
END_TEST

START_TEST(slab_survives_random_use)
{
	static unsigned char *v[500];
	struct slab s;

	srand(1);
	slab_init(&s, 40);
	for (int i = 0; i < 200000; i++) {
		int k = rand() % 500;

		if (v[k] != NULL) {
			ck_assert_uint_eq(v[k][39], (unsigned char)k);
			slab_free(v[k]);
			v[k] = NULL;
		} else {
			v[k] = slab_alloc(&s);
			v[k][39] = (unsigned char)k;
		}
	}
	for (int k = 0; k < 500; k++)
		slab_free(v[k]);
	slab_clear(&s);
}
END_TEST

START_TEST(slab_without_memory_returns_null)
{
	struct slab s;

	slab_init(&s, 64);
	mem_fail_nth(1);
	ck_assert_ptr_null(slab_alloc(&s));
	ck_assert_uint_eq(s.used, 0);
	slab_free(NULL);
	slab_clear(&s);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		slab_objects_do_not_overlap_and_are_zeroed,
		slab_gives_empty_slabs_back,
		slab_trim_keeps_what_is_in_use,
		slab_survives_random_use,
		slab_without_memory_returns_null,
	};

	return unit_run("slab", cases, UNIT_COUNT(cases));
}
