/* The layers a program puts on itself.
 *
 * None can be taken off again by the process, nor by what it might start. Trusts nothing. Never opens anything but the
 * Landlock ruleset, and closes that.
 */
#include "jail/inside/inside.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MDWE_REFUSE_EXEC_GAIN = 1 };

void layer_not_dumpable(void)
{
	inside_require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, LAYER_DUMPABLE);
}

/* exec keeps it, where a service manager lets the host merge the launcher's pages (MemoryKSM=) with those that are
   alike: who has such a page can feel that. A kernel that merges no process as a whole knows neither call. */
void layer_own_pages(void)
{
	prctl(SET_MERGE_ALL, 0, 0, 0, 0);
	errno = 0;
	inside_require(prctl(GET_MERGE_ALL, 0, 0, 0, 0) <= 0, LAYER_DUMPABLE);
}

/* What a terminal or a service manager sends to the whole group is the launcher's business; write errors come as
   errors. */
void layer_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		inside_require(sigaction(ignored[i], &ignore, NULL) == 0, LAYER_DUMPABLE);
}

void layer_no_new_privs(void)
{
	inside_require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, LAYER_NO_NEW_PRIVS);
}

/* Every right that the kernel's Landlock knows is handled, and no rule grants any. */
struct landlock_attributes {
	uint64_t fs, net, scoped;
};

static const struct {
	struct landlock_attributes handled;
	size_t size; /* of the structure as that version has it */
} landlock_versions[] = {
    {{(1 << 13) - 1, 0, 0}, 8},  /* 1: execute … make_sym */
    {{(1 << 14) - 1, 0, 0}, 8},  /* 2: refer */
    {{(1 << 15) - 1, 0, 0}, 8},  /* 3: truncate */
    {{(1 << 15) - 1, 3, 0}, 16}, /* 4: bind and connect TCP */
    {{(1 << 16) - 1, 3, 0}, 16}, /* 5: ioctl on devices opened later */
    {{(1 << 16) - 1, 3, 3}, 24}, /* 6 and later: abstract sockets, signals */
};

long layer_landlock(bool may_lack)
{
	const long known = sizeof(landlock_versions) / sizeof(landlock_versions[0]);
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
	if (version < 1) {
		inside_require(may_lack && (errno == ENOSYS || errno == EOPNOTSUPP), LAYER_LANDLOCK);
		return 0;
	}
	long index = (version < known ? version : known) - 1;
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &landlock_versions[index].handled,
				   landlock_versions[index].size, 0);
	inside_require(ruleset >= 0, LAYER_LANDLOCK);
	inside_require(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0, LAYER_LANDLOCK);
	inside_require(close(ruleset) == 0, LAYER_LANDLOCK);
	return version;
}

bool layer_mdwe(void)
{
	if (prctl(SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
		return true;
	inside_require(errno == EINVAL, LAYER_MDWE);
	return false;
}

/* Not affected, or off and not to be turned on again. Where the kernel can do neither (EPERM, ENXIO), the answer is no.
 */
static bool speculation_off(unsigned long which)
{
	prctl(PR_SET_SPECULATION_CTRL, which, PR_SPEC_FORCE_DISABLE, 0, 0);
	return speculation_is_off(which);
}

bool speculation_is_off(unsigned long which)
{
	int state = prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);
	return state == PR_SPEC_NOT_AFFECTED || state == PR_SPEC_DISABLE ||
	       (state > 0 && (state & PR_SPEC_FORCE_DISABLE) != 0);
}

bool layer_speculation(void)
{
	bool store_bypass = speculation_off(PR_SPEC_STORE_BYPASS);
	bool indirect_branch = speculation_off(PR_SPEC_INDIRECT_BRANCH);
	return store_bypass && indirect_branch;
}
