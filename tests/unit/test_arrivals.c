/* Unit tests of src/policy/arrivals.[ch]: new connections a second, in a table of fixed size. */
#include "policy/arrivals.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define START UINT64_C(123456789)

static struct arrivals *a;

static void
setup(void)
{
	ck_assert_ptr_nonnull(a = arrivals_new());
}

static void
teardown(void)
{
	arrivals_free(a);
}

/* The k-th of many clients. */
static const uint8_t *
client(uint64_t k)
{
	static _Thread_local uint8_t c[16];

	memset(c, 0, sizeof(c));
	c[0] = 0x20;
	for (int i = 0; i < 7; i++)
		c[1 + i] = (uint8_t)(k >> (48 - 8 * i));
	return c;
}

static bool
add(const char *listen, uint64_t k, uint64_t rate, uint64_t now_ms)
{
	return arrivals_add(a, listen, client(k), rate, now_ms) == ARRIVAL_OK;
}

START_TEST(arrivals_past_the_rate_wait_for_their_share_of_a_second)
{
	int n = 0;

	for (int i = 0; i < 10; i++)
		ck_assert(add("main", 1, 10, START));
	for (int i = 0; i < 5; i++)
		ck_assert(!add("main", 1, 10, START));
	ck_assert(!add("main", 1, 10, START + 99));
	ck_assert(add("main", 1, 10, START + 100));
	ck_assert(!add("main", 1, 10, START + 100));
	for (uint64_t ms = 101; ms <= 10100; ms++)
		n += add("main", 1, 10, START + ms);
	ck_assert_int_eq(n, 100);
	/* after a second of silence all of it is there again */
	for (int i = 0; i < 10; i++)
		ck_assert(add("main", 1, 10, START + 12000));
}
END_TEST

START_TEST(arrivals_are_counted_for_each_client_and_listener)
{
	for (uint64_t k = 0; k < 1000; k++) {
		ck_assert(add("main", k, 1, START));
		ck_assert(add("other", k, 1, START));
		ck_assert(!add("main", k, 1, START));
		ck_assert(!add("other", k, 1, START + 999));
		ck_assert(add("main", k, 1, START + 1000));
	}
}
END_TEST

START_TEST(arrivals_past_the_rate_are_told_apart_once_a_second)
{
	int first = 0;

	ck_assert(add("main", 1, 1, START));
	for (uint64_t ms = 0; ms < 999; ms++) {
		enum arrival how = arrivals_add(a, "main", client(1), 1, START + ms);

		ck_assert_int_eq(how, ms == 0 ? ARRIVAL_PAST_FIRST : ARRIVAL_PAST);
	}
	/* one that never stops */
	for (uint64_t ms = 999; ms < 100999; ms++)
		first += arrivals_add(a, "main", client(1), 1, START + ms) == ARRIVAL_PAST_FIRST;
	ck_assert_int_ge(first, 99);
	ck_assert_int_le(first, 101);
}
END_TEST

/* A quarter of the table in one second: next to nobody is forgotten. */
START_TEST(arrivals_of_very_many_clients_forget_nobody)
{
	const uint64_t n = ARRIVALS_MAX / 4;
	uint64_t again = 0;

	for (uint64_t k = 0; k < n; k++)
		ck_assert(add("main", k, 1, START));
	for (uint64_t k = 0; k < n; k++)
		again += add("main", k, 1, START);
	ck_assert_uint_le(again, n / 100);
	/* and a second later there is room for as many others */
	for (uint64_t k = n; k < 2 * n; k++)
		ck_assert(add("main", k, 1, START + 1000));
	for (uint64_t k = n; k < 2 * n; k++)
		again += add("main", k, 1, START + 1000);
	ck_assert_uint_le(again, n / 50);
}
END_TEST

/* More than it holds: whoever has come most, and so waits longest, is remembered. */
START_TEST(arrivals_of_more_clients_than_fit_do_not_free_the_worst)
{
	for (int i = 0; i < 100; i++)
		add("main", 0, 100, START);
	ck_assert(!add("main", 0, 100, START));
	for (uint64_t k = 1; k < 3 * ARRIVALS_MAX; k++)
		ck_assert(add("main", k, 100, START));
	ck_assert(!add("main", 0, 100, START));
}
END_TEST

static void *
adds(void *arg)
{
	unsigned *n = arg;

	for (int i = 0; i < 20000; i++)
		*n += add("main", 7, 1000, START);
	return NULL;
}

START_TEST(arrivals_from_two_threads_share_one_rate)
{
	unsigned n[2] = { 0, 0 };
	pthread_t other;

	ck_assert_int_eq(pthread_create(&other, NULL, adds, &n[1]), 0);
	adds(&n[0]);
	pthread_join(other, NULL);
	ck_assert_uint_eq(n[0] + n[1], 1000);
}
END_TEST

START_TEST(arrivals_new_survives_without_memory)
{
	struct arrivals *b;

	for (unsigned nth = 1;; nth++) {
		mem_fail_nth(nth);
		b = arrivals_new();
		if (mem_fail_pending())
			break;
		ck_assert_ptr_null(b);
	}
	mem_fail_nth(0);
	arrivals_free(b);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = { arrivals_past_the_rate_wait_for_their_share_of_a_second,
		arrivals_are_counted_for_each_client_and_listener,
		arrivals_past_the_rate_are_told_apart_once_a_second,
		arrivals_of_very_many_clients_forget_nobody,
		arrivals_of_more_clients_than_fit_do_not_free_the_worst,
		arrivals_from_two_threads_share_one_rate, arrivals_new_survives_without_memory };

	return unit_run_with("arrivals", cases, UNIT_COUNT(cases), setup, teardown);
}
