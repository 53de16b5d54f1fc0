/* Runs a command on a kernel that lacks something, or that says it did what it did not; or on one that has what this
 * machine's has not, as far as a process can see.
 *
 *     without WHAT COMMAND...
 *
 * A seccomp filter answers the calls of WHAT in the kernel's place, for the command and all that it starts. Where a
 * call does several things and the kernel shall do all but one, the filter stops the caller, and a tracer takes away
 * the bits that ask for the one. Where the kernel shall have what it has not, the tracer answers, and keeps for each
 * task what a kernel would. Nothing is there because of that; it takes CAP_SYS_ADMIN, so that the command keeps its
 * privileges.
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
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SET_MDWE = 65, SCHED_CORE = 62, SET_MODE_FILTER = 1, SEALED_AGAINST_EXECUTION = 8 /* MFD_NOEXEC_SEAL */ };
enum { CORE_GET = 0, CORE_CREATE = 1 }; /* of SCHED_CORE */
enum { FAILED = 126, TASKS_MAX = 512, FLAWS = 2 };

/* Instead of an error. */
enum {
	LIE = 0,        /* answers success and does nothing */
	FORGET = -1,    /* does the rest of it, and answers that */
	SPECULATE = -2, /* has speculation controls */
	RELAPSE = -3,   /* … of which what is off for good can be turned on again */
	CORES = -4,     /* has core scheduling; writes "TASK COOKIE" to the file $COOKIES, for each task that is born */
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
    {"keyrings", SCMP_SYS(keyctl), EVERY, 0, 0, ENOSYS},
    {"room-for-keys", SCMP_SYS(keyctl), EVERY, 0, 0, EDQUOT},

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
    {"true-addresses", SCMP_SYS(personality), EQUAL, 0, PER_LINUX, LIE},
    {"true-priority", SCMP_SYS(setpriority), EVERY, 0, 0, LIE},
    {"true-keyrings", SCMP_SYS(keyctl), EVERY, 0, 0, LIE},

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

    /* The size says which of the rules the attributes are of. */
    {"true-landlock-network", SCMP_SYS(landlock_create_ruleset), SET, 1, 16, FORGET},
    {"true-landlock-scope", SCMP_SYS(landlock_create_ruleset), SET, 1, 8, FORGET},

    {"nothing-but-speculation", SCMP_SYS(prctl), SET, 0, PR_GET_SPECULATION_CTRL &PR_SET_SPECULATION_CTRL, SPECULATE},
    {"true-speculation", SCMP_SYS(prctl), SET, 0, PR_GET_SPECULATION_CTRL &PR_SET_SPECULATION_CTRL, RELAPSE},
    {"nothing-but-cores", SCMP_SYS(prctl), EQUAL, 0, SCHED_CORE, CORES},
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
	uint32_t action = answer->error < 0 ? SCMP_ACT_TRACE(0) : SCMP_ACT_ERRNO((uint32_t)answer->error);
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

/* ---- a kernel that has more ---- */

/* What such a kernel knows of a task, which it has from the one that made it. */
static struct task {
	pid_t id;     /* 0: free */
	bool is_held; /* it was seen before its birth was, and waits for that */
	uint64_t cookie;
	unsigned speculation[FLAWS];
} tasks[TASKS_MAX];
static FILE *cookies;

static struct task *task_of(pid_t id)
{
	for (size_t i = 0; i < TASKS_MAX; i++)
		if (tasks[i].id == id)
			return &tasks[i];
	return NULL;
}

static struct task *add_task(pid_t id)
{
	struct task *task = task_of(0);
	if (task == NULL)
		exit(FAILED); /* and all that is traced with it */
	*task = (struct task){.id = id, .speculation = {PR_SPEC_ENABLE, PR_SPEC_ENABLE}};
	return task;
}

static void note_cookie(const struct task *task)
{
	if (cookies != NULL && fprintf(cookies, "%d %ju\n", (int)task->id, (uintmax_t)task->cookie) > 0)
		fflush(cookies);
}

/* The maker stands in the call that made it. */
static void inherit(pid_t maker)
{
	unsigned long id = 0;
	const struct task *from = task_of(maker);
	if (ptrace(PTRACE_GETEVENTMSG, maker, NULL, &id) != 0 || from == NULL)
		return;
	struct task *to = task_of((pid_t)id);
	bool was_held = to != NULL && to->is_held;
	if (to == NULL)
		to = add_task((pid_t)id);
	*to = *from;
	to->id = (pid_t)id;
	note_cookie(to);
	if (was_held)
		ptrace(PTRACE_CONT, to->id, NULL, NULL);
}

static long answer_core(struct task *task, const struct user_regs_struct *asked)
{
	static uint64_t last;
	if (asked->rdx != 0 || asked->r10 != 0) /* of another, of a whole process: nobody here asks that */
		return -EINVAL;
	if (asked->rsi == CORE_GET)
		return ptrace(PTRACE_POKEDATA, task->id, (void *)(uintptr_t)asked->r8, (void *)(uintptr_t)task->cookie);
	if (asked->rsi != CORE_CREATE)
		return -EINVAL;
	task->cookie = ++last;
	note_cookie(task);
	return 0;
}

static long answer_speculation(struct task *task, const struct user_regs_struct *asked, bool for_good)
{
	if (asked->rsi >= FLAWS)
		return -ENODEV;
	unsigned *state = &task->speculation[asked->rsi];
	if (asked->rdi == PR_GET_SPECULATION_CTRL)
		return (long)(PR_SPEC_PRCTL | *state);
	if (for_good && *state == PR_SPEC_FORCE_DISABLE && asked->rdx != PR_SPEC_FORCE_DISABLE)
		return -EPERM;
	*state = (unsigned)asked->rdx;
	return 0;
}

/* The kernel does nothing, and answers what is in the registers. */
static void play(pid_t id, const struct answer *answer)
{
	struct user_regs_struct registers;
	struct task *task = task_of(id);
	if (task == NULL || ptrace(PTRACE_GETREGS, id, NULL, &registers) != 0)
		return;
	bool of_speculation = registers.rdi == PR_GET_SPECULATION_CTRL || registers.rdi == PR_SET_SPECULATION_CTRL;
	if (answer->error != CORES && !of_speculation)
		return;
	registers.rax = (unsigned long long)(answer->error == CORES
						 ? answer_core(task, &registers)
						 : answer_speculation(task, &registers, answer->error == SPECULATE));
	registers.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, id, NULL, &registers);
}

/* Whether the task may go on. */
static bool follow(pid_t id, int event, const struct answer *answer)
{
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
		inherit(id);
	} else if (event == PTRACE_EVENT_SECCOMP) {
		play(id, answer);
	} else if (event == PTRACE_EVENT_STOP && task_of(id) == NULL) {
		add_task(id)->is_held = true;
		return false;
	}
	return true;
}

/* Until all are gone. Returns as the command ended. */
static int trace(pid_t command, const struct answer *answer)
{
	int status, result = FAILED;
	const char *path = getenv("COOKIES");
	cookies = answer->error == CORES && path != NULL ? fopen(path, "we") : NULL;
	add_task(command);
	for (;;) {
		pid_t task = waitpid(-1, &status, __WALL);
		if (task < 0 && errno == EINTR)
			continue;
		if (task < 0)
			return result;
		if (WIFSTOPPED(status)) {
			int event = status >> 16;
			if (answer->error == FORGET && event == PTRACE_EVENT_SECCOMP)
				forget(task, answer);
			if (answer->error == FORGET || follow(task, event, answer))
				ptrace(PTRACE_CONT, task, NULL, (void *)(uintptr_t)(event == 0 ? WSTOPSIG(status) : 0));
			continue;
		}
		struct task *gone = task_of(task);
		if (gone != NULL)
			gone->id = 0;
		if (task == command)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
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
	pid_t child = answer != NULL && answer->error < 0 ? seize_child() : 0;
	if (child > 0)
		return trace(child, answer);
	if (answer == NULL || child < 0 || !answer_calls(answer)) {
		fprintf(stderr, "without: cannot take away '%s'\n", argc < 2 ? "" : argv[1]);
		return FAILED;
	}
	execvp(argv[2], argv + 2);
	return 127;
}
