/*
 * What a unit test program needs besides Check: running an array of cases as
 * one suite.  Each case has 60 seconds, which sanitizers need.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

#define UNIT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A case, and how many times it runs, with _i from 0 to times - 1. */
struct unit_case {
	const TTest *test;
	int times;
};

static inline int
unit_run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * Run them, each between setup and teardown (NULL is none); the exit status
 * of main.  CK_* of the environment apply.
 */
static inline int
unit_run_cases(const char *name, const struct unit_case *cases, size_t n, void (*setup)(void),
    void (*teardown)(void))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < n; i++)
		tcase_add_loop_test(tc, cases[i].test, 0, cases[i].times);
	suite_add_tcase(suite, tc);
	return unit_run_suite(suite);
}

/* The same, with each case once. */
static inline int
unit_run_with(const char *name, const TTest *const *cases, size_t n, void (*setup)(void),
    void (*teardown)(void))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, cases[i]);
	suite_add_tcase(suite, tc);
	return unit_run_suite(suite);
}

static inline int
unit_run(const char *name, const TTest *const *cases, size_t n)
{
	return unit_run_with(name, cases, n, NULL, NULL);
}

#endif
