/* The stager: one short-lived process that makes what all processes of a VM share, then starts them.
 *
 * It runs trusted code only and sees nothing of the guest. In the new namespaces it has all capabilities over them, and
 * hands on none: the bounding set, the groups and the host's files are gone before the first program starts.
 * It dies with the launcher. Never returns into the launcher's code.
 */
#include "jail/lockdown.h"
#include "jail/outside/outside.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CHILD_STACK_SIZE = 16384,
	NO_PROGRAM = -1,
	POLICY_DEADLINE = 6 /* SCHED_DEADLINE, which C libraries may lack */
};

/* Those that this process leaves for all programs. The pid namespaces begin with their first processes, which see that
   they are the first (jail/inside/verify.c). */
enum namespace { USER, MOUNT, NETWORK, IPC, UTS, CGROUP, NAMESPACES };
static const char *const namespace_links[NAMESPACES] = {
    [USER] = "/proc/self/ns/user", [MOUNT] = "/proc/self/ns/mnt", [NETWORK] = "/proc/self/ns/net",
    [IPC] = "/proc/self/ns/ipc",   [UTS] = "/proc/self/ns/uts",   [CGROUP] = "/proc/self/ns/cgroup",
};
_Static_assert((int)STEP_LEAVE_CGROUP - STEP_LEAVE_USER == (int)CGROUP, "one step for each, in this order");
enum { NAMESPACE_NAME_SIZE = 32 };
typedef char namespace_names[NAMESPACES][NAMESPACE_NAME_SIZE]; /* such as "net:[4026531840]", zeros behind it */

static _Noreturn void give_up(struct staging *staging, enum step step)
{
	staging_fail(staging, step, errno, (uint32_t)NO_PROGRAM);
	_exit(EXIT_STAGING);
}

static void need(struct staging *staging, bool holds, enum step step)
{
	if (!holds)
		give_up(staging, step);
}

/* A change of ids clears the parent-death signal, so this is said again after each. */
static void die_with_launcher(struct staging *staging)
{
	need(staging, prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, STEP_PARENT);
	errno = ESRCH;
	need(staging, getppid() == staging->launcher, STEP_PARENT);
}

static void reset_signals(void)
{
	const struct sigaction usual = {.sa_handler = SIG_DFL};
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &usual, NULL); /* refused for two of them */
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* exec keeps it. Whoever debugs with addresses that are not random, or starts us from there, does so for himself. */
static void take_random_addresses(struct staging *staging)
{
	const unsigned long question = 0xffffffff;
	need(staging, personality(question) == PER_LINUX || personality(PER_LINUX) >= 0, STEP_ADDRESSES);
	errno = 0;
	need(staging, personality(question) == PER_LINUX, STEP_ADDRESSES);
}

/* One for all of the VM, apart from the operator's terminal: the kernel keeps a group of the scheduler's for each. None
   of the programs leads it, so none can take a terminal either. */
static void begin_session(struct staging *staging)
{
	need(staging, setsid() > 0, STEP_SESSION);
}

/* A launcher that is spared when memory is short has no guest that is: or nobody could be killed at the VM's cap. */
static void be_spared_no_more(struct staging *staging)
{
	static const char path[] = "/proc/self/oom_score_adj";
	char score = 0;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	need(staging, file >= 0 && read(file, &score, 1) == 1, STEP_SPARED);
	close(file);
	if (score != '-')
		return;
	file = open(path, O_WRONLY | O_CLOEXEC);
	need(staging, file >= 0 && write(file, "0", 1) == 1, STEP_SPARED);
	close(file);
}

static bool is_first_at_disks(void)
{
	long priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), level = priority & (IOPRIO_NR_LEVELS - 1);
	return IOPRIO_PRIO_CLASS(priority) == IOPRIO_CLASS_RT ||
	       (IOPRIO_PRIO_CLASS(priority) == IOPRIO_CLASS_BE && level < IOPRIO_BE_NORM);
}

/* exec keeps both. What the operator's own work is put before (`nice -n -5`, `ionice -c 1`, `ionice -n 0`) no guest's
   is; what it is put behind, a guest's is as well. */
static void wait_in_line(struct staging *staging)
{
	if (getpriority(PRIO_PROCESS, 0) < 0)
		need(staging, setpriority(PRIO_PROCESS, 0, 0) == 0, STEP_PRIORITY);
	if (is_first_at_disks())
		need(staging, syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) == 0, STEP_PRIORITY);
	errno = 0;
	need(staging, getpriority(PRIO_PROCESS, 0) >= 0 && !is_first_at_disks(), STEP_PRIORITY);
}

/* Where the kernel has no such namespace, unshare says so. */
static void note_namespaces(namespace_names names)
{
	for (int i = 0; i < NAMESPACES; i++)
		if (readlink(namespace_links[i], names[i], NAMESPACE_NAME_SIZE - 1) < 0)
			names[i][0] = 0;
}

/* unshare has said that it is done. No program could find out: there is no /proc where it lives. */
static void verify_left(struct staging *staging, namespace_names launchers, enum namespace first, enum namespace last)
{
	for (enum namespace i = first; i <= last; i++) {
		const enum step step = (enum step)(STEP_LEAVE_USER + (int)i);
		char name[NAMESPACE_NAME_SIZE] = {0};
		need(staging, readlink(namespace_links[i], name, sizeof(name) - 1) > 0, step);
		errno = 0;
		need(staging, launchers[i][0] != 0 && memcmp(name, launchers[i], sizeof(name)) != 0, step);
	}
}

static bool is_real_time(void)
{
	int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR || policy == POLICY_DEADLINE;
}

/* v1: a process that moves itself by `tasks` waits for nobody; moving another waits for a grace period. Its cpu group
   takes no real-time process; v2's takes it, and caps it no more. */
static void join_cgroups(struct staging *staging, namespace_names launchers)
{
	errno = EINVAL;
	need(staging, !is_real_time(), STEP_CGROUP);
	for (int i = 0; i < CGROUP_TASKS_MAX; i++)
		if (staging->tasks[i] >= 0)
			need(staging, write(staging->tasks[i], "0", 1) == 1, STEP_CGROUP);
	need(staging, unshare(CLONE_NEWCGROUP) == 0, STEP_CGROUP_NAMESPACE);
	verify_left(staging, launchers, CGROUP, CGROUP);
}

/* What is born of this process has the cookie too. */
static void take_core_cookie(struct staging *staging)
{
	if (staging->core)
		need(staging, prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD, 0) == 0,
		     STEP_CORE);
}

static void forbid_user_namespaces(struct staging *staging)
{
	int limit = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	need(staging, limit >= 0 && write(limit, "0", 1) == 1, STEP_USER_NAMESPACES);
	close(limit);
}

/* The new root covers /proc, which is there for certain, and then takes the old one's place. One page, one inode,
   read-only from its birth. */
static void empty_root(struct staging *staging)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
	need(staging, mount("cofferdam", "/proc", "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") == 0, STEP_ROOT);
	need(staging, chdir("/proc") == 0, STEP_ROOT);
	need(staging, syscall(SYS_pivot_root, ".", ".") == 0, STEP_ROOT);
	need(staging, umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, STEP_ROOT);
	umask(077);
}

/* With a single id there is no other to take, and the kernel keeps the groups: nobody may drop what may be a denial. */
static void take_ids(struct staging *staging)
{
	unsigned id = staging->single_id ? SINGLE_ID : 0;
	need(staging, staging->single_id || setgroups(0, NULL) == 0, STEP_GROUPS);
	need(staging, syscall(SYS_setresgid, id, id, id) == 0 && syscall(SYS_setresuid, id, id, id) == 0,
	     STEP_STAGE_IDS);
	die_with_launcher(staging);
}

/* What opens the operator's disks and network file systems may lie in his keyring, and who possesses that has its keys.
   A launcher that is kept from keys altogether (EPERM: a container runtime's filter) hands that on as well. */
static void take_empty_keyring(struct staging *staging)
{
	errno = 0;
	long keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	need(staging, keyring > 0 || errno == ENOSYS || errno == EPERM, STEP_KEYRING);
}

static void drop_bounding_set(struct staging *staging)
{
	need(staging, prctl(PR_SET_SECUREBITS, (unsigned long)SECURE_BITS) == 0, STEP_BOUNDING);
	capng_setpid(0); /* whatever the launcher had it look at */
	capng_clear(CAPNG_SELECT_ALL);
	need(staging, capng_apply(CAPNG_SELECT_BOUNDS) == 0, STEP_BOUNDING);
}

/* Verified before anything is done that would otherwise be done to the host. */
static void make_namespaces(struct staging *staging, namespace_names launchers)
{
	const uint64_t one = 1;
	need(staging, unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0,
	     STEP_NAMESPACES);
	verify_left(staging, launchers, USER, UTS);
	need(staging, write(staging->apart, &one, sizeof(one)) == sizeof(one), STEP_PARENT);
}

static void wait_for_go(struct staging *staging)
{
	uint64_t count;
	need(staging, read(staging->go, &count, sizeof(count)) == sizeof(count), STEP_PARENT);
}

/* The kernel fills in the pidfd before the child runs. */
static void start_program(struct staging *staging, struct child *child, unsigned char *stack, int flags)
{
	struct staged_program *program = &staging->programs[child->index];
	int pid = clone(child_run, stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_PARENT | CLONE_PIDFD | flags, child,
			&program->pidfd);
	if (pid < 0) {
		program->pidfd = -1; /* may have been filled in before it failed, and taken by the launcher since */
		staging_fail(staging, STEP_CLONE, errno, child->index);
		_exit(EXIT_STAGING);
	}
	program->pid = pid;
}

static void start_programs(struct staging *staging)
{
	static struct child children[STAGED_PROGRAMS_MAX];
	if (staging->count == 0)
		return; /* jail_try */
	unsigned char *stacks = mmap(NULL, (size_t)CHILD_STACK_SIZE * staging->count, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	need(staging, stacks != MAP_FAILED, STEP_MEMORY);
	for (uint32_t i = 0; i < staging->count; i++) {
		children[i] = (struct child){staging, i};
		bool auditor = staging->programs[i].role == ROLE_AUDITOR;
		if (i == 1)
			need(staging, unshare(CLONE_NEWPID) == 0, STEP_PID_NAMESPACE);
		start_program(staging, &children[i], stacks + (size_t)i * CHILD_STACK_SIZE, auditor ? CLONE_NEWPID : 0);
	}
}

_Noreturn void stager_run(struct staging *staging)
{
	namespace_names launchers = {{0}};
	die_with_launcher(staging);
	reset_signals();
	begin_session(staging);
	take_random_addresses(staging);
	be_spared_no_more(staging);
	note_namespaces(launchers);
	make_namespaces(staging, launchers);
	join_cgroups(staging, launchers);
	wait_in_line(staging);
	take_core_cookie(staging);
	forbid_user_namespaces(staging);
	need(staging, sethostname("cofferdam", sizeof("cofferdam") - 1) == 0, STEP_HOST_NAME);
	empty_root(staging);
	drop_bounding_set(staging);
	wait_for_go(staging);
	take_ids(staging);
	take_empty_keyring(staging);
	start_programs(staging);
	_exit(0);
}
