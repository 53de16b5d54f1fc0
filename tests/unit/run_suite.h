/* How a unit test program ends: every test case of the suite is run, and the exit status says whether all passed. And
 * how a test case says that this host lacks what it needs. */
#ifndef TESTS_UNIT_RUN_SUITE_H
#define TESTS_UNIT_RUN_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* This test case, which has a process of its own, cannot be run here, or not to its end. The caller then returns from
   it: what tidies up after a test is run all the same. Check calls that passed; tests/unit/run counts these lines. */
static inline void cannot_run(const char *reason)
{
	static bool said;
	if (!said)
		dprintf(STDOUT_FILENO, "SKIPPED: %s\n", reason);
	said = true;
}

/* Frees the suite. The status main returns. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
