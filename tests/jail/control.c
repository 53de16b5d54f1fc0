/* The prober's attempts are real: where there is no jail each of them succeeds, unless it is said to depend on the host
 * or to be refused to everybody (enum prober_control). An attempt that fails for a reason of its own would prove
 * nothing when a jail refuses it. Root only; see place.h.
 */
#include "tests/jail/place.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_SIZE = 40 };

static const char *why(int answer, char text[static NAME_SIZE])
{
	const char *name = answer > 0 && answer < PROBER_TRAPPED ? strerrorname_np(answer) : NULL;
	if (answer == PLACE_BROKEN)
		return "its process was killed";
	snprintf(text, NAME_SIZE, "%s", name != NULL ? name : "a filter that should not be there");
	return text;
}

static bool has_resource(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];
	return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & 1U << CAP_SYS_RESOURCE) != 0;
}

int main(void)
{
	if (geteuid() != 0) {
		puts("  skipped: without a jail: needs root");
		return 0;
	}
	const bool must_succeed[] = {[MUST] = true,
				     [WITH_KVM] = place_has_kvm(),
				     [WITH_RESOURCE] = has_resource(),
				     [HOST_HAS] = false,
				     [NOBODY] = false};
	place_make();
	unsigned succeeded = 0, wrong = 0, lacking = 0, nobody = 0;
	const struct place_step nothing = {0};
	const struct attempt *attempt;
	for (size_t i = 0; (attempt = attempt_at(i)) != NULL; i++) {
		char text[NAME_SIZE];
		int answer = place_attempt(attempt, &nothing, false);
		bool must = must_succeed[attempt->control];
		succeeded += answer == 0;
		nobody += attempt->control == NOBODY;
		if (answer != 0 && !must && attempt->control != NOBODY) {
			lacking++;
			printf("  skipped: without a jail: %s: %s: not on this host: %s\n", attempt->class,
			       attempt->name, why(answer, text));
		}
		if ((answer != 0 && must) || (answer == 0 && attempt->control == NOBODY)) {
			wrong++;
			printf("FAILED %s: %s: %s\n", attempt->class, attempt->name,
			       answer == 0 ? "succeeds, though it is said that it never does" : why(answer, text));
		}
		fflush(stdout);
	}
	printf(
	    "control: without a jail %u attempts succeed, %u are not to be had on this host, %u by nobody; %u wrong\n",
	    succeeded, lacking, nobody, wrong);
	return wrong != 0;
}
