/* Least privilege: what a policy grants that it may not need. Findings have names that stay; waivers in the policy
 * accept them until a day. */
#ifndef POLICY_LINT_H
#define POLICY_LINT_H

#include "policy/policy.h"

enum lint_id {
	LINT_WRITABLE_DISK,
	LINT_UNPINNED_KERNEL,
	LINT_UNPINNED_DISK,
	LINT_DEFAULT_CAP,
	LINT_LONG_RUN_TIME,
	LINT_UNUSED_CAP,
	LINT_RAW_CONSOLE,
	LINT_CONSOLE_INPUT,
	LINT_NO_EGRESS,
	LINT_WIDE_EGRESS,
	LINT_VSOCK_PORTS,
	LINT_EXPIRED_WAIVER,
	LINT_UNUSED_WAIVER,
	LINT_IDS,
};

extern const char *const lint_ids[]; /* their names, NULL-terminated */

struct lint_finding {
	enum lint_id id;
	const char *of; /* the disk's or network's name, or the key */
	struct policy_at at;
	const char *message, *hint;
};

/* The most that any of some earlier runs used; runs 0: nothing is known. */
struct lint_usage {
	unsigned runs;
	uint64_t ran_for_ms, cpu_percent, memory_peak, console_bytes; /* 0: not known */
};

/* Calls `each` for every finding that no waiver accepts on `today` (such as 2027-01-31). Returns how many there were.
 */
unsigned lint_policy(const struct policy *policy, const struct lint_usage *usage, const char *today,
		     void (*each)(const struct lint_finding *finding, void *context), void *context);

#endif
