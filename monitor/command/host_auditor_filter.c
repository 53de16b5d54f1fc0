/* What the host's auditor, and each process that it makes to write, may ask of the kernel. Anything else kills who
 * asks, and the launcher finds the channel closed, or is told that the writer was killed.
 *
 * They read what processes wrote that a guest faces, and have two capabilities. Which files they reach is for Landlock
 * to say, since a filter sees no paths. Nothing here connects, executes, signals, traces, maps code, changes an id, a
 * mode, a limit or a layer, or makes a thread, namespace, socket, device or link. No handler of a signal is set, so
 * none returns. Made by libseccomp in the process that it is for, beside the launcher's work, which does not wait for
 * it.
 */
#include "monitor/command/host_auditor.h"

#include "jail/lockdown.h"
#include "jail/outside/filter_memory.h"
#include "monitor/command/command.h"
#include "monitor/command/host_store.h"
#include "policy/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CONDITIONS_MAX = 2 };

struct allowed {
	int call;
	struct scmp_arg_cmp conditions[CONDITIONS_MAX]; /* all of them must hold */
};

/* clang-format off */
#define CALL(name) .call = SCMP_SYS(name)
#define IS(argument, value) {(argument), SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value)} /* in 32 bits: ids, flags */
#define LACKS(argument, bits) {(argument), SCMP_CMP_MASKED_EQ, (bits), 0}
/* clang-format on */

static const struct allowed allowed[] = {
    /* Its channel. */
    {CALL(recvfrom), {IS(0, HOST_AUDITOR_CHANNEL)}}, /* a question */
    {CALL(sendto), {IS(0, HOST_AUDITOR_CHANNEL)}},   /* the answer */
    {CALL(poll), {{0}}},                             /* waits for the guest's first steps, or the next question */
    {CALL(getppid), {{0}}},                          /* whether its launcher is there */

    /* A process for each session, which alone reads the key; no other kind of task. */
    {CALL(clone), {IS(0, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)}}, /* glibc's fork */
    {CALL(set_robust_list), {{0}}},                                              /* … in the new process */
    {CALL(rt_sigprocmask), {{0}}}, /* … of later versions, which hold signals back meanwhile */
    {CALL(pipe2), {{0}}},          /* what it has to say comes back by one */
    {CALL(wait4), {{0}}},
    {CALL(exit_group), {{0}}},

    /* Logs, marks, notes and the key: read, … */
    {CALL(openat), {{0}}},
    {CALL(close), {{0}}},
    {CALL(read), {{0}}},
    {CALL(newfstatat), {{0}}},           /* fstat, stat and lstat … */
    {CALL(fstat), {{0}}},                /* … of glibc before and after 2.39 */
    {CALL(getdents64), {{0}}},           /* the folder of marks: */
    {CALL(lseek), {{0}}},                /* … from its beginning */
    {CALL(dup), {{0}}},                  /* … by a descriptor that closedir closes */
    {CALL(fcntl), {IS(1, F_GETFL)}},     /* … which fdopendir looks at, */
    {CALL(fcntl), {IS(1, F_SETFD)}},     /* … and sets close-on-exec */
    {CALL(fcntl), {IS(1, F_OFD_GETLK)}}, /* whether a run has a launcher, */
    {CALL(fcntl), {IS(1, F_OFD_SETLK)}}, /* … and its log a writer */
    {CALL(flock), {{0}}},                /* one session at a time */
    /* … written, renamed, removed, and on disk. */
    {CALL(write), {{0}}},
    {CALL(fdatasync), {{0}}},
    {CALL(ftruncate), {{0}}}, /* an unfinished session's bytes; room for last words */
    {CALL(renameat), {{0}}},
    {CALL(unlinkat), {{0}}},
    {CALL(unlink), {{0}}}, /* a log without a record, of a run that did not start */
    {CALL(mkdirat), {{0}}},
    {CALL(mkdir), {{0}}},                               /* mostly there already */
    {CALL(geteuid), {{0}}},                             /* whether they are the caller's */
    {CALL(fchown), {IS(1, HOST_KEY_OWNER), IS(2, -1)}}, /* the key and the marks, to nobody; a group to none */

    /* What a record says: when, and a salt. The first three where the vDSO cannot tell. */
    {CALL(clock_gettime), {{0}}},
    {CALL(gettimeofday), {{0}}}, /* and jansson, which seeds its tables where /dev/urandom is out of reach … */
    {CALL(time), {{0}}},
    {CALL(getpid), {{0}}},                          /* … by this as well */
    {CALL(clock_adjtime), {IS(0, CLOCK_REALTIME)}}, /* whether that is synchronised; to set it takes CAP_SYS_TIME */
    {CALL(adjtimex), {{0}}},                        /* … of glibc before 2.31 */
    {CALL(getrandom), {{0}}},                       /* and the next key's seed */

    /* A run that did not start: until its log has no writer. */
    {CALL(clock_nanosleep), {{0}}},
    {CALL(restart_syscall), {{0}}}, /* that, or poll, when it was stopped meanwhile */

    /* Memory, never code. */
    {CALL(brk), {{0}}},
    {CALL(mmap), {LACKS(2, PROT_EXEC)}},
    {CALL(mremap), {{0}}}, /* moves what is there, with the rights that it has */
    {CALL(munmap), {{0}}},
    {CALL(madvise), {{0}}}, /* gives pages back when it has answered */
#ifdef UNDER_SANITIZER
    {CALL(sigaltstack), {{0}}}, /* it looks at its stacks before the end, */
    {CALL(sched_yield), {{0}}}, /* and its locks … */
    {CALL(futex), {{0}}},       /* … wait */
    {CALL(gettid), {{0}}},
#endif
};

static int add(scmp_filter_ctx filter, const struct allowed *one)
{
	unsigned count = 0;
	while (count < CONDITIONS_MAX && one->conditions[count].op != 0)
		count++;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, one->call, count, one->conditions);
}

static int add_all(scmp_filter_ctx filter)
{
	int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(FILTERS_SENTINEL_ERRNO), FILTERS_SENTINEL, 0);
	for (size_t i = 0; result == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		result = add(filter, &allowed[i]);
	return result;
}

/* A kernel that says that it took it is not believed. */
static bool is_in_force(void)
{
	errno = 0;
	return syscall(FILTERS_SENTINEL) == -1 && errno == FILTERS_SENTINEL_ERRNO;
}

int host_auditor_filter(char *why)
{
	filter_memory_begin();
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result = filter == NULL ? -ENOMEM : add_all(filter);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	filter_memory_end();
	if (result == 0 && is_in_force())
		return 0;
	return because(why, -result, "cannot filter the system calls of the host's auditor");
}
