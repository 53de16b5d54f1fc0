/* Reads tests/jail/filters.txt, the list of what each thread may ask of the kernel; that file says how it is written.
 */
#ifndef TESTS_UNIT_FAKE_RULES_H
#define TESTS_UNIT_FAKE_RULES_H

#include "policy/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_ARGUMENTS = 6, FAKE_VALUES_MAX = 16, FAKE_RULES_MAX = 32, FAKE_THREADS = 16 };

struct fake_argument {
	enum { FAKE_ANYTHING, FAKE_LOW, FAKE_WHOLE, FAKE_AT_MOST } kind;
	uint64_t values[FAKE_VALUES_MAX];
	size_t count;
};

struct fake_rule {
	char call[32];
	int number;
	unsigned line; /* of the file */
	struct fake_argument arguments[FAKE_ARGUMENTS];
};

struct fake_thread {
	char name[32];
	unsigned role;
	unsigned thread; /* as in lockdown_thread */
	unsigned most;   /* system calls */
	struct fake_rule rules[FAKE_RULES_MAX];
	size_t count;
};

/* Of the VM that the file is about. */
extern const struct plan fake_rules_plan;

/* Fails the test when the file is not as it should be. */
void fake_rules_read(struct fake_thread threads[static FAKE_THREADS]);

bool fake_argument_allows(const struct fake_argument *argument, uint64_t value);
bool fake_thread_allows(const struct fake_thread *thread, int number, const uint64_t arguments[static FAKE_ARGUMENTS]);

#endif
