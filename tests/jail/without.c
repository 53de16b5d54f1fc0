/* Runs a command on a kernel that lacks something, or that says it did what it did not.
 *
 *     without WHAT COMMAND...
 *
 * A seccomp filter answers the calls of WHAT in the kernel's place, for the command and all that it starts. It can only
 * make the kernel worse; it takes CAP_SYS_ADMIN, so that the command keeps its privileges.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ANY = -1, LIE = 0, SET_MDWE = 65, SCHED_CORE = 62, SET_MODE_FILTER = 1 };

static const struct {
	const char *what;
	int call;
	int first; /* value of the first argument, ANY */
	int error; /* LIE: answers success and does nothing */
} answers[] = {
    {"landlock", SCMP_SYS(landlock_create_ruleset), ANY, ENOSYS},
    {"landlock-at-boot", SCMP_SYS(landlock_create_ruleset), ANY, EOPNOTSUPP},
    {"mdwe", SCMP_SYS(prctl), SET_MDWE, EINVAL},
    {"core-scheduling", SCMP_SYS(prctl), SCHED_CORE, EINVAL},
    {"smt", SCMP_SYS(prctl), SCHED_CORE, ENODEV},
    {"true-landlock", SCMP_SYS(landlock_restrict_self), ANY, LIE},
    {"true-mdwe", SCMP_SYS(prctl), SET_MDWE, LIE},
    {"true-core-scheduling", SCMP_SYS(prctl), SCHED_CORE, LIE},
    {"true-not-dumpable", SCMP_SYS(prctl), PR_SET_DUMPABLE, LIE},
    {"true-no-new-privs", SCMP_SYS(prctl), PR_SET_NO_NEW_PRIVS, LIE},
    {"true-bounding-set", SCMP_SYS(prctl), PR_CAPBSET_DROP, LIE},
    {"true-groups", SCMP_SYS(setgroups), ANY, LIE},
    {"true-uid", SCMP_SYS(setresuid), ANY, LIE},
    {"true-gid", SCMP_SYS(setresgid), ANY, LIE},
    {"true-limits", SCMP_SYS(prlimit64), ANY, LIE},
    {"true-root", SCMP_SYS(pivot_root), ANY, LIE},
    {"true-host-name", SCMP_SYS(sethostname), ANY, LIE},
    {"true-seccomp", SCMP_SYS(seccomp), SET_MODE_FILTER, LIE},
    {"true-close-range", SCMP_SYS(close_range), ANY, LIE},
};

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	unsigned rules = 0;
	if (argc < 3 || filter == NULL)
		return 126;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct scmp_arg_cmp arguments[] = {
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)answers[i].first),
		    SCMP_A1(SCMP_CMP_EQ, 0), /* flags: with others libseccomp only asks what there is */
		};
		unsigned compared = answers[i].first == ANY ? 0 : answers[i].call == SCMP_SYS(seccomp) ? 2 : 1;
		if (strcmp(answers[i].what, argv[1]) != 0)
			continue;
		if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)answers[i].error), answers[i].call,
					   compared, arguments) != 0)
			return 126;
		rules++;
	}
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (rules != 1 || seccomp_load(filter) != 0) {
		fprintf(stderr, "without: cannot take away '%s'\n", argv[1]);
		return 126;
	}
	execvp(argv[2], argv + 2);
	return 127;
}
