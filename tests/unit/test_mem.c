/* Unit tests of src/base/mem.[ch]. */
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "unit.h"

START_TEST(mem_zalloc_gives_zeroes)
{
	static const char zeroes[100];
	char *p = mem_zalloc(sizeof(zeroes));

	ck_assert_ptr_nonnull(p);
	ck_assert_mem_eq(p, zeroes, sizeof(zeroes));
	mem_free(p);
}
END_TEST

START_TEST(mem_size_zero_is_an_allocation)
{
	void *a = mem_alloc(0), *b = mem_zalloc(0), *c = mem_realloc(NULL, 0);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_nonnull(c);
	c = mem_realloc(c, 0);
	ck_assert_ptr_nonnull(c);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(NULL);
}
END_TEST

START_TEST(mem_strndup_copies_and_terminates)
{
	char *a = mem_strdup("hello"), *b = mem_strndup("hello", 3);
	char *c = mem_strndup(NULL, 0);

	ck_assert_str_eq(a, "hello");
	ck_assert_str_eq(b, "hel");
	ck_assert_str_eq(c, "");
	errno = 0;
	ck_assert_ptr_null(mem_strndup("x", SIZE_MAX));
	ck_assert_int_eq(errno, ENOMEM);
	mem_free(a);
	mem_free(b);
	mem_free(c);
}
END_TEST

START_TEST(mem_fail_nth_fails_once_with_enomem)
{
	void *p;

	mem_fail_nth(2);
	p = mem_alloc(1);
	ck_assert_ptr_nonnull(p);
	mem_free(p);
	ck_assert_int_ne(mem_fail_pending(), 0);
	errno = 0;
	ck_assert_ptr_null(mem_alloc(1));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(mem_fail_pending(), 0);
	p = mem_alloc(1);
	ck_assert_ptr_nonnull(p);
	mem_free(p);
}
END_TEST

START_TEST(mem_fail_nth_counts_every_kind)
{
	char *p = mem_strdup("kept"), *old = p;

	mem_fail_nth(1);
	ck_assert_ptr_null(mem_zalloc(1));
	mem_fail_nth(1);
	ck_assert_ptr_null(mem_strdup("x"));
	mem_fail_nth(1);
	ck_assert_ptr_null(mem_realloc(p, 4096));
	ck_assert_ptr_eq(p, old);
	ck_assert_str_eq(p, "kept");
	mem_free(p);
}
END_TEST

START_TEST(mem_map_gives_zeroes_of_any_size)
{
	char *p = mem_map(70000);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < 70000; i++)
		ck_assert_int_eq(p[i], 0);
	memset(p, 1, 70000);
	mem_map_free(p, 70000);
	mem_fail_nth(1);
	ck_assert_ptr_null(mem_map(1));
}
END_TEST

START_TEST(mem_fail_nth_zero_switches_off)
{
	void *p;

	mem_fail_nth(1);
	mem_fail_nth(0);
	ck_assert_int_eq(mem_fail_pending(), 0);
	p = mem_alloc(1);
	ck_assert_ptr_nonnull(p);
	mem_free(p);
}
END_TEST

static void *
mem_other_thread(void *arg)
{
	void *p = mem_alloc(1);

	*(int *)arg = p != NULL && mem_fail_pending() == 0;
	mem_free(p);
	return NULL;
}

START_TEST(mem_fail_nth_spares_other_threads)
{
	pthread_t thread;
	int ok = 0;

	mem_fail_nth(1);
	ck_assert_int_eq(pthread_create(&thread, NULL, mem_other_thread, &ok), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(ok, 1);
	ck_assert_int_ne(mem_fail_pending(), 0);
	mem_fail_nth(0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		mem_zalloc_gives_zeroes,
		mem_size_zero_is_an_allocation,
		mem_strndup_copies_and_terminates,
		mem_fail_nth_fails_once_with_enomem,
		mem_fail_nth_counts_every_kind,
		mem_map_gives_zeroes_of_any_size,
		mem_fail_nth_zero_switches_off,
		mem_fail_nth_spares_other_threads,
	};

	return unit_run("mem", cases, UNIT_COUNT(cases));
}
