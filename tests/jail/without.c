/* Runs a command on a kernel that lacks something, or that says it did what it did not.
 *
 *     without WHAT COMMAND...
 *
 * A seccomp filter answers the calls of WHAT in the kernel's place, for the command and all that it starts. Where a
 * call does several things and the kernel shall do all but one, the filter stops the caller, and a tracer takes away
 * the bits that ask for the one. It can only make the kernel worse; it takes CAP_SYS_ADMIN, so that the command keeps
 * its privileges.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SET_MDWE = 65, SCHED_CORE = 62, SET_MODE_FILTER = 1, SEALED_AGAINST_EXECUTION = 8 /* MFD_NOEXEC_SEAL */ };
enum { FAILED = 126 };

/* Instead of an error. */
enum {
	LIE = 0,     /* answers success and does nothing */
	FORGET = -1, /* does the rest of it, and answers that */
};

enum which { EVERY, EQUAL, SET }; /* calls: each; whose argument has this value; whose argument has these bits */

static const struct answer {
	const char *what;
	int call;
	enum which which;
	unsigned argument;
	uint64_t value;
	int error; /* or LIE, FORGET */
} answers[] = {
    {"landlock", SCMP_SYS(landlock_create_ruleset), EVERY, 0, 0, ENOSYS},
    {"landlock-at-boot", SCMP_SYS(landlock_create_ruleset), EVERY, 0, 0, EOPNOTSUPP},
    {"mdwe", SCMP_SYS(prctl), EQUAL, 0, SET_MDWE, EINVAL},
    {"memory-seal", SCMP_SYS(memfd_create), SET, 1, SEALED_AGAINST_EXECUTION, EINVAL},
    {"core-scheduling", SCMP_SYS(prctl), EQUAL, 0, SCHED_CORE, EINVAL},
    {"smt", SCMP_SYS(prctl), EQUAL, 0, SCHED_CORE, ENODEV},
    {"namespaces", SCMP_SYS(unshare), SET, 0, CLONE_NEWNS, EINVAL},
    {"cgroup-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWCGROUP, EINVAL},
    {"pid-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWPID, EINVAL},
    {"root", SCMP_SYS(pivot_root), EVERY, 0, 0, EINVAL},
    {"bounding-set", SCMP_SYS(prctl), EQUAL, 0, PR_CAPBSET_DROP, EINVAL},
    {"capset", SCMP_SYS(capset), EVERY, 0, 0, ENOSYS},
    {"not-dumpable", SCMP_SYS(prctl), EQUAL, 0, PR_SET_DUMPABLE, EINVAL},
    {"seccomp", SCMP_SYS(seccomp), EQUAL, 0, SET_MODE_FILTER, ENOSYS},

    {"true-landlock", SCMP_SYS(landlock_restrict_self), EVERY, 0, 0, LIE},
    {"true-mdwe", SCMP_SYS(prctl), EQUAL, 0, SET_MDWE, LIE},
    {"true-core-scheduling", SCMP_SYS(prctl), EQUAL, 0, SCHED_CORE, LIE},
    {"true-not-dumpable", SCMP_SYS(prctl), EQUAL, 0, PR_SET_DUMPABLE, LIE},
    {"true-no-new-privs", SCMP_SYS(prctl), EQUAL, 0, PR_SET_NO_NEW_PRIVS, LIE},
    {"true-bounding-set", SCMP_SYS(prctl), EQUAL, 0, PR_CAPBSET_DROP, LIE},
    {"true-securebits", SCMP_SYS(prctl), EQUAL, 0, PR_SET_SECUREBITS, LIE},
    {"true-capset", SCMP_SYS(capset), EVERY, 0, 0, LIE},
    {"true-groups", SCMP_SYS(setgroups), EVERY, 0, 0, LIE},
    {"true-uid", SCMP_SYS(setresuid), EVERY, 0, 0, LIE},
    {"true-gid", SCMP_SYS(setresgid), EVERY, 0, 0, LIE},
    {"true-limits", SCMP_SYS(prlimit64), EVERY, 0, 0, LIE},
    {"true-root", SCMP_SYS(pivot_root), EVERY, 0, 0, LIE},
    {"true-host-name", SCMP_SYS(sethostname), EVERY, 0, 0, LIE},
    {"true-seccomp", SCMP_SYS(seccomp), EQUAL, 0, SET_MODE_FILTER, LIE},
    {"true-close-range", SCMP_SYS(close_range), EVERY, 0, 0, LIE},

    {"true-user-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWUSER, FORGET},
    {"true-mount-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWNS, FORGET},
    {"true-network-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWNET, FORGET},
    {"true-ipc-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWIPC, FORGET},
    {"true-uts-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWUTS, FORGET},
    {"true-cgroup-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWCGROUP, FORGET},
    {"true-pid-namespace", SCMP_SYS(unshare), SET, 0, CLONE_NEWPID, FORGET},
    {"true-auditors-pid-namespace", SCMP_SYS(clone), SET, 0, CLONE_NEWPID, FORGET},
    {"true-read-only-root", SCMP_SYS(mount), SET, 3, MS_RDONLY, FORGET},
    {"true-nosuid-root", SCMP_SYS(mount), SET, 3, MS_NOSUID, FORGET},
    {"true-nodev-root", SCMP_SYS(mount), SET, 3, MS_NODEV, FORGET},
    {"true-noexec-root", SCMP_SYS(mount), SET, 3, MS_NOEXEC, FORGET},
    {"true-memory-seal", SCMP_SYS(memfd_create), SET, 1, SEALED_AGAINST_EXECUTION, FORGET},
};

static const struct answer *find(const char *what)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(answers[i].what, what) == 0)
			return &answers[i];
	return NULL;
}

static bool answer_calls(const struct answer *answer)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	const struct scmp_arg_cmp compared[] = {
	    answer->which == SET ? SCMP_CMP(answer->argument, SCMP_CMP_MASKED_EQ, answer->value, answer->value)
				 : SCMP_CMP(answer->argument, SCMP_CMP_EQ, answer->value),
	    SCMP_A1(SCMP_CMP_EQ, 0), /* flags: with others libseccomp only asks what there is */
	};
	unsigned count = answer->which == EVERY ? 0 : answer->call == SCMP_SYS(seccomp) ? 2 : 1;
	uint32_t action = answer->error == FORGET ? SCMP_ACT_TRACE(0) : SCMP_ACT_ERRNO((uint32_t)answer->error);
	return filter != NULL && seccomp_rule_add_array(filter, action, answer->call, count, compared) == 0 &&
	       seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) == 0 && seccomp_load(filter) == 0;
}

/* ---- the tracer ---- */

/* The task stands before its call, and goes on with the registers as they are then. */
static void forget(pid_t task, const struct answer *answer)
{
	static const size_t registers[] = {
	    offsetof(struct user_regs_struct, rdi), offsetof(struct user_regs_struct, rsi),
	    offsetof(struct user_regs_struct, rdx), offsetof(struct user_regs_struct, r10),
	    offsetof(struct user_regs_struct, r8),  offsetof(struct user_regs_struct, r9),
	};
	void *at = (void *)(uintptr_t)registers[answer->argument];
	errno = 0;
	uint64_t value = (uint64_t)ptrace(PTRACE_PEEKUSER, task, at, NULL);
	if (errno == 0)
		ptrace(PTRACE_POKEUSER, task, at, (void *)(uintptr_t)(value & ~answer->value));
}

/* Until all are gone. Returns as the command ended. */
static int trace(pid_t command, const struct answer *answer)
{
	int status, result = FAILED;
	for (;;) {
		pid_t task = waitpid(-1, &status, __WALL);
		if (task < 0 && errno == EINTR)
			continue;
		if (task < 0)
			return result;
		if (WIFSTOPPED(status)) {
			int event = status >> 16;
			if (event == PTRACE_EVENT_SECCOMP)
				forget(task, answer);
			ptrace(PTRACE_CONT, task, NULL, (void *)(uintptr_t)(event == 0 ? WSTOPSIG(status) : 0));
		} else if (task == command) {
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
	}
}

/* What the command starts is traced from its birth. A tracer that is killed takes all along. */
static pid_t seize_child(void)
{
	const unsigned long options =
	    PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	int seized[2];
	char byte;
	if (pipe(seized) != 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		close(seized[1]);
		if (read(seized[0], &byte, 1) != 1)
			_exit(FAILED);
		close(seized[0]);
		return 0;
	}
	bool done =
	    child > 0 && ptrace(PTRACE_SEIZE, child, NULL, (void *)options) == 0 && write(seized[1], "", 1) == 1;
	close(seized[0]);
	close(seized[1]); /* not written to: the child ends */
	return done ? child : -1;
}

int main(int argc, char **argv)
{
	const struct answer *answer = argc < 3 ? NULL : find(argv[1]);
	pid_t child = answer != NULL && answer->error == FORGET ? seize_child() : 0;
	if (child > 0)
		return trace(child, answer);
	if (answer == NULL || child < 0 || !answer_calls(answer)) {
		fprintf(stderr, "without: cannot take away '%s'\n", argc < 2 ? "" : argv[1]);
		return FAILED;
	}
	execvp(argv[2], argv + 2);
	return 127;
}
