/* Unit tests of src/tools/wsrelayctl_rates.c. */
#include <stdio.h>

#include "base/mem.h"
#include "tools/wsrelayctl_rates.h"
#include "unit.h"

#define HEAD "id\tage_ms\tmessages_in\tmessages_out\tbytes_in\tbytes_out\n"

static struct ctl_rates *r;

static void
look(const char *lines, bool whole)
{
	ck_assert_int_eq(ctl_rates_look(r, span_from_str(lines), whole), 0);
}

/* The ids of the rates, in their order. */
static const char *
ids(enum ctl_sort sort)
{
	static char text[200];
	const struct ctl_rate *v;
	size_t n;

	v = ctl_rates_sorted(r, sort, &n);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s ",
		    (int)((const char *)memchr(v[i].line.p, '\t', v[i].line.n) - v[i].line.p),
		    v[i].line.p);
	return text;
}

START_TEST(rates_are_differences)
{
	struct ctl_rate sums;
	const struct ctl_rate *v;
	size_t n;

	r = ctl_rates_new();
	look(HEAD "1\t5\t100\t100\t1000\t1000\n2\t5\t7\t7\t70\t70\n3.1\t5\t0\t0\t0\t0\n", true);
	ck_assert_str_eq(ids(CTL_SORT_MESSAGES), "");
	/* 2 is as before, 3.3 is new; 3.1 is another one */
	look(HEAD
	    "1\t5\t101\t100\t9000\t1000\n2\t5\t7\t7\t70\t70\n3.1\t5\t5\t5\t5\t5\n3.3\t5\t1\t2\t3\t4\n",
	    true);
	ck_assert_str_eq(ids(CTL_SORT_MESSAGES), "3.1 3.3 1 ");
	ck_assert_str_eq(ids(CTL_SORT_BYTES), "1 3.1 3.3 ");
	v = ctl_rates_sorted(r, CTL_SORT_BYTES, &n);
	ck_assert_uint_eq(v[2].messages_in, 1);
	ck_assert_uint_eq(v[2].messages_out, 2);
	ck_assert_uint_eq(v[2].bytes_in, 3);
	ck_assert_uint_eq(v[2].bytes_out, 4);
	ctl_rates_sums(r, &sums);
	ck_assert_uint_eq(sums.messages_in, 7);
	ck_assert_uint_eq(sums.bytes_in, 8008);
	ck_assert_uint_eq(ctl_rates_lines(r), 4);
	ctl_rates_free(r);
}
END_TEST

START_TEST(rates_of_looks_that_are_not_whole)
{
	r = ctl_rates_new();
	look(HEAD "1\t5\t10\t0\t0\t0\n2\t5\t20\t0\t0\t0\n", true);
	look(HEAD "1\t5\t11\t0\t0\t0\n", false);
	ck_assert_str_eq(ids(CTL_SORT_MESSAGES), "1 ");
	/* 2 was not shown, but is known */
	look(HEAD "2\t5\t23\t0\t0\t0\n", false);
	ck_assert_uint_eq(ctl_rates_sorted(r, CTL_SORT_BYTES, &(size_t){ 0 })->messages_in, 3);
	/* gone, and forgotten: who comes under this id is new */
	look(HEAD "1\t5\t11\t0\t0\t0\n", true);
	look(HEAD "2\t5\t23\t0\t0\t0\n", false);
	ck_assert_uint_eq(ctl_rates_sorted(r, CTL_SORT_BYTES, &(size_t){ 0 })->messages_in, 23);
	/* a request without messages, and a counter that went back */
	look(HEAD "2\t5\t3\t-\t9\t-\n", false);
	ck_assert_uint_eq(ctl_rates_sorted(r, CTL_SORT_BYTES, &(size_t){ 0 })->messages_in, 0);
	ctl_rates_free(r);
}
END_TEST

START_TEST(rates_of_many)
{
	static char text[400000];

	r = ctl_rates_new();
	for (int round = 0; round < 4; round++) {
		size_t n = (size_t)snprintf(text, sizeof(text), HEAD);

		for (int i = 0; i < 5000; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%d.%d\t5\t%d\t0\t0\t0\n",
			    i / 7, i % 7 * 2 + 1, i * round);
		look(text, round % 2 == 1);
		ck_assert_uint_eq(ctl_rates_lines(r), 5000);
		if (round > 0) {
			const struct ctl_rate *v;

			v = ctl_rates_sorted(r, CTL_SORT_MESSAGES, &n);
			ck_assert_uint_eq(n, 4999);
			for (size_t i = 0; i < n; i++)
				ck_assert_uint_eq(v[i].messages_in, 4999 - i);
		}
	}
	ctl_rates_free(r);
}
END_TEST

START_TEST(rates_refuse_what_is_no_table)
{
	static const char *const rows[] = { "", "id\n", "hello\n", HEAD "x\t5\t1\t1\t1\t1\n",
		HEAD "1\t5\tx\t1\t1\t1\n", HEAD "\n", HEAD "1.\t5\t1\t1\t1\t1\n" };

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		r = ctl_rates_new();
		ck_assert_msg(ctl_rates_look(r, span_from_str(rows[i]), true) == -1, "%zu", i);
		ctl_rates_free(r);
	}
}
END_TEST

START_TEST(rates_without_memory)
{
	for (unsigned long n = 1;; n++) {
		int ret = 0;

		mem_fail_nth(n);
		if ((r = ctl_rates_new()) != NULL) {
			ret = ctl_rates_look(r, SPAN_LIT(HEAD "1\t5\t1\t1\t1\t1\n"), true);
			if (ret == 0)
				ret = ctl_rates_look(r, SPAN_LIT(HEAD "1\t5\t2\t1\t1\t1\n"), true);
		}
		ctl_rates_free(r);
		if (mem_fail_pending()) {
			mem_fail_nth(0);
			break;
		}
		ck_assert(r == NULL || ret == -1);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		rates_are_differences,
		rates_of_looks_that_are_not_whole,
		rates_of_many,
		rates_refuse_what_is_no_table,
		rates_without_memory,
	};

	return unit_run("wsrelayctl_rates", cases, UNIT_COUNT(cases));
}
