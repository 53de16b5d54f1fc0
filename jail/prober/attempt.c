/* Makes one attempt: fills in its arguments, tries them all, says how it was stopped. */
#include "jail/prober/attempts.h"

#include <errno.h>

static const struct attempts *const lists[] = {&attempts_outside, &attempts_own,      &attempts_further,
					       &attempts_kvm,     &attempts_requests, &attempts_fatal};
enum { LISTS = sizeof(lists) / sizeof(lists[0]) };

const struct attempt *attempt_at(size_t index)
{
	for (size_t i = 0; i < LISTS; i++) {
		if (index < lists[i]->count)
			return &lists[i]->list[index];
		index -= lists[i]->count;
	}
	return NULL;
}

bool attempt_is_fatal(const struct attempt *attempt)
{
	return attempt >= attempts_fatal.list && attempt < attempts_fatal.list + attempts_fatal.count;
}

bool attempt_is_for(const struct attempt *attempt, const struct prober *prober)
{
	bool is_device = prober->role >= ROLE_DEVICE;
	if (is_device && prober->kind < KINDS && (attempt->roles & NOT_OF(prober->kind)) != 0)
		return false;
	unsigned roles = attempt->roles & (NOT_OF(0) - 1);
	return roles == 0 || (roles & 1U << (is_device ? (unsigned)ROLE_DEVICE : prober->role)) != 0;
}

/* One combination of the numbers that EACH and EACH_TOO go through. */
static long call_with(const struct attempt *attempt, const struct prober *prober, long each, long each_too)
{
	long call[7];
	for (int i = 0; i < 7; i++) {
		long given = attempt->call[i];
		call[i] = given == EACH         ? each
			  : given == EACH_TOO   ? each_too
			  : given == VICTIM     ? prober->victim
			  : given == VM         ? prober->vm
			  : given == VCPU       ? prober->vcpu
			  : given == OTHER_VCPU ? prober->other
						: given;
	}
	return try(call);
}

static bool has(const struct attempt *attempt, long placeholder)
{
	for (int i = 1; i < 7; i++)
		if (attempt->call[i] == placeholder)
			return true;
	return false;
}

/* Success wins, then what comes later than the filter, so that a call of many that the filter let through shows. */
static int worse(int a, int b)
{
	if (a == 0 || b == 0)
		return 0;
	if (a == PROBER_TRAPPED)
		return b;
	return b == PROBER_TRAPPED || b == EBADF ? a : b;
}

static int outcome(const struct attempt *attempt, long result)
{
	return result >= 0 || (attempt->past != 0 && result == -attempt->past) ? 0 : (int)-result;
}

int attempt_make(const struct attempt *attempt, const struct prober *prober)
{
	if (attempt->deed != NULL)
		return outcome(attempt, attempt->deed(prober));
	int each_end = has(attempt, EACH) ? PROBER_NUMBERS : 1;
	int too_end = has(attempt, EACH_TOO) ? PROBER_NUMBERS : 1;
	int answer = outcome(attempt, call_with(attempt, prober, 0, 0));
	for (int i = 0; i < each_end && answer != 0; i++)
		for (int j = 0; j < too_end && answer != 0; j++)
			answer = worse(answer, outcome(attempt, call_with(attempt, prober, i, j)));
	return answer;
}
