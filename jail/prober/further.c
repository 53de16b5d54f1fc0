/* Attempts by the calls that the other lists do without: other names for what they name, newer and older forms of the
 * same call, settings and requests that undo a layer bit by bit, and what one may do to a process without its memory.
 */
#include "jail/prober/attempts.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#define P(pointer) (long)(pointer)
#define ROOT P("/")
#define HERE AT_FDCWD
#define BOTH(thing) P(&(thing)), sizeof(thing)

enum {
	PAGE = 4096,
	HIGH = 900, /* a descriptor number beyond every role's limit */
	PIDS = 1000,
	PTRACE_USUAL_END = 32, /* requests of ptrace come in two ranges */
	PTRACE_NEWER = 0x4200,
	PTRACE_NEWER_END = 0x4210,
	VSYSCALL_TIME = -10484736, /* 0xffffffffff600400 */
	/* Newer than the headers of some distributions that we build on. */
	CACHESTAT = 451,
	FCHMODAT2 = 452,
	FUTEX_WAKE_ALONE = 454,
	LSM_GET_SELF = 459,
	LSM_LIST = 461,
	LISTXATTRAT = 465,
	OPEN_TREE_ATTR = 467,
	FILE_GETATTR = 468,
	NEW_TIME = 0x80,
	OF_THIS_ROOT = 0x10,           /* RESOLVE_IN_ROOT */
	EMPTY_PATH = 0x1000,           /* AT_EMPTY_PATH */
	NAME_MEMORY = 0x53564d41,      /* PR_SET_VMA */
	USER_DISPATCH = 59,            /* PR_SET_SYSCALL_USER_DISPATCH */
	FLUSHER = 57,                  /* PR_SET_IO_FLUSHER */
	MERGE_ALL = 67,                /* PR_SET_MEMORY_MERGE */
	SHARE_CORE_TO = 2,             /* of PR_SCHED_CORE */
	PRIORITY_BEST_EFFORT = 0x4007, /* ioprio */
	CLOCK_THAT_WAKES = 8,          /* CLOCK_REALTIME_ALARM */
	CLOCK_RAW = 4,
	NAMESPACE_OWNER = 0xb701, /* NS_GET_USERNS */
	NAMESPACE_KIND = 0xb703,  /* NS_GET_NSTYPE */
	SOCKETS_FILE = 0x89e0,    /* SIOCUNIXFILE */
	CLONE_FILE = 0x40049409,  /* FICLONE */
	NO_RANDOM_ADDRESSES = 0x0040000,
	CTRL_LOG_SIZE = 10,
	PERSISTENT_KEYRING = 22,
	KEY_CAPABILITIES = 31,
	BPF_NEXT_PROGRAM = 11,
};

static _Alignas(PAGE) char page[PAGE];
static char byte = 'x';
static int number = 1;
static uint32_t words[64];
static socklen_t size = sizeof(page);
static const struct open_how in_root = {.flags = O_RDONLY, .resolve = OF_THIS_ROOT};
static const struct timespec no_time;
static struct {
	uint32_t size, type;
	uint8_t bytes[128];
} handle = {.size = sizeof(handle.bytes)};
static const struct iovec piece = {&byte, 1};
static const struct mount_attr no_times = {.attr_set = MOUNT_ATTR_NODIRATIME};
static const struct flock whole = {.l_type = F_RDLCK};
static const sigset_t all_signals = {{ULONG_MAX}};
static const struct rlimit nothing = {0, 0};
static const struct itimerval never;
static const struct sock_filter pass[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
static const struct sock_fprog pass_all = {1, (struct sock_filter *)(uintptr_t)pass};
static const struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(event)};
static const struct __user_cap_header_struct of_process_1 = {_LINUX_CAPABILITY_VERSION_3, 1};
static const struct {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
} usual_scheduling = {.size = sizeof(usual_scheduling)};
static const struct {
	uint64_t fs, net, scoped;
} landlock = {1, 0, 0};

/* ---- attempts of more than one call ---- */

/* Of calls that build on one another: what the last one that came past the filter was answered. */
static long later(long before, long after)
{
	return after == -PROBER_TRAPPED ? before : after;
}

static long signal_every_process(const struct prober *prober)
{
	long answer = -PROBER_TRAPPED;
	(void)prober;
	for (int i = 1; i <= PIDS && answer < 0; i++)
		answer = later(answer, TRY(__NR_kill, i, 0));
	return answer;
}

static long every_request_of_ptrace(const struct prober *prober)
{
	long answer = -PROBER_TRAPPED;
	for (int i = 1; i < PTRACE_USUAL_END && answer < 0; i++)
		answer = later(answer, TRY(__NR_ptrace, i, prober->victim, 0, 0));
	for (int i = PTRACE_NEWER; i < PTRACE_NEWER_END && answer < 0; i++)
		answer = later(answer, TRY(__NR_ptrace, i, prober->victim, 0, 0));
	return answer;
}

static long new_mount(const struct prober *prober)
{
	(void)prober;
	long context = TRY(__NR_fsopen, P("tmpfs"), 0);
	long at = context < 0 ? FD_CHANNEL : context;
	long made = TRY(__NR_fsconfig, at, FSCONFIG_CMD_CREATE, 0, 0, 0);
	return later(later(context, made), TRY(__NR_fsmount, at, 0, 0));
}

static long copied_mount(const struct prober *prober)
{
	(void)prober;
	long tree = TRY(__NR_open_tree, HERE, ROOT, OPEN_TREE_CLONE);
	long at = tree < 0 ? FD_CHANNEL : tree;
	return later(tree, TRY(__NR_move_mount, at, P(""), HERE, P("/empty"), MOVE_MOUNT_F_EMPTY_PATH));
}

static long restrict_itself(const struct prober *prober)
{
	(void)prober;
	long ruleset = TRY(__NR_landlock_create_ruleset, P(&landlock), 8, 0);
	long at = ruleset < 0 ? FD_CHANNEL : ruleset;
	long added = TRY(__NR_landlock_add_rule, at, 0, P(words), 0);
	return later(later(ruleset, added), TRY(__NR_landlock_restrict_self, at, 0));
}

static long copy_in_pipes(const struct prober *prober)
{
	int from[2] = {FD_CHANNEL, FD_CHANNEL}, to[2] = {FD_CHANNEL, FD_CHANNEL};
	(void)prober;
	long answer = later(TRY(__NR_pipe2, P(from), 0), TRY(__NR_pipe2, P(to), 0));
	if (answer >= 0)
		answer = TRY(__NR_write, from[1], P(&byte), 1);
	return later(answer, TRY(__NR_tee, from[0], to[1], 1, 2 /* SPLICE_F_NONBLOCK */));
}

static long sibling(const struct prober *prober)
{
	(void)prober;
	return try_spawn((const long[7]){__NR_clone, CLONE_PARENT | SIGCHLD});
}

static long task_in_new_time(const struct prober *prober)
{
	const struct clone_args arguments = {.flags = NEW_TIME, .exit_signal = SIGCHLD};
	(void)prober;
	return try_spawn((const long[7]){__NR_clone3, P(&arguments), sizeof(arguments)});
}

/* A control group's folder may be among what it should not hold. */
static long task_in_group_of_each(const struct prober *prober)
{
	long answer = -PROBER_TRAPPED;
	(void)prober;
	for (int i = 0; i < PROBER_NUMBERS && answer < 0; i++) {
		const struct clone_args arguments = {
		    .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)i};
		answer = later(answer, try_spawn((const long[7]){__NR_clone3, P(&arguments), sizeof(arguments)}));
	}
	return answer;
}

static long time_by_vsyscall(const struct prober *prober)
{
	(void)prober;
	return try_jump(VSYSCALL_TIME);
}

/* clang-format off */
#define CALL(class, name, control, ...) {class, name, control, 0, 0, {__VA_ARGS__}, NULL}
#define PAST(class, name, control, past, ...) {class, name, control, past, 0, {__VA_ARGS__}, NULL}
#define DEED(class, name, control, past, deed) {class, name, control, past, 0, {0}, deed}
#define PRCTL(name, control, ...) CALL("settings", name, control, __NR_prctl, __VA_ARGS__)
#define SOCKET_OPTION(name, control, option, ...) \
	CALL("options of sockets", name, control, __NR_setsockopt, EACH, SOL_SOCKET, option, __VA_ARGS__)
#define REQUEST(name, control, ...) CALL("requests", name, control, __NR_ioctl, EACH, __VA_ARGS__)
#define CONTROL(name, control, ...) CALL("requests", name, control, __NR_fcntl, EACH, __VA_ARGS__)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static const struct attempt list[] = {
    CALL("names", "open /proc/self/root", MUST, __NR_open, P("/proc/self/root/"), O_RDONLY | O_DIRECTORY),
    CALL("names", "open /proc/thread-self/cwd", MUST, __NR_open, P("/proc/thread-self/cwd/"), O_RDONLY | O_DIRECTORY),
    CALL("names", "open /proc/self/fd/4", MUST, __NR_open, P("/proc/self/fd/4"), O_RDWR),
    CALL("names", "open a name with detours", MUST, __NR_open, P("//proc/.././etc/../../etc/passwd"), O_RDONLY),
    CALL("names", "openat /etc/passwd beneath a socket", MUST, __NR_openat, FD_CHANNEL, P("/etc/passwd"), O_RDONLY),
    CALL("names", "openat2 /etc/passwd in this root", MUST, __NR_openat2, HERE, P("/etc/passwd"), BOTH(in_root)),
    CALL("names", "stat each, without a name", MUST, __NR_newfstatat, EACH, P(""), P(page), EMPTY_PATH),
    CALL("names", "statx of each, without a name", MUST, __NR_statx, EACH, P(""), EMPTY_PATH, 0, P(page)),
    CALL("names", "chown each, without a name", MUST, __NR_fchownat, EACH, P(""), 0, 0, EMPTY_PATH),
    CALL("names", "times of each, without a name", MUST, __NR_utimensat, EACH, 0, 0, 0),
    CALL("names", "handle of each, without a name", HOST_HAS, __NR_name_to_handle_at, EACH, P(""), P(&handle), P(&number), EMPTY_PATH),
    CALL("names", "settings of the mount of each", MUST, __NR_mount_setattr, EACH, P(""), EMPTY_PATH, BOTH(no_times)),

    CALL("other forms", "mknodat", MUST, __NR_mknodat, HERE, P("/probe"), S_IFIFO | 0600, 0),
    CALL("other forms", "symlinkat", MUST, __NR_symlinkat, ROOT, HERE, P("/probe")),
    CALL("other forms", "renameat", MUST, __NR_renameat, HERE, P("/etc/passwd"), HERE, P("/etc/probe")),
    CALL("other forms", "renameat2", MUST, __NR_renameat2, HERE, P("/etc/passwd"), HERE, P("/etc/probe"), 0),
    CALL("other forms", "unlinkat", MUST, __NR_unlinkat, HERE, P("/empty"), AT_REMOVEDIR),
    CALL("other forms", "readlinkat", MUST, __NR_readlinkat, HERE, P("/proc/self/exe"), P(page), PAGE),
    CALL("other forms", "fchmodat", MUST, __NR_fchmodat, HERE, P("/etc/passwd"), 0600),
    CALL("other forms", "fchmodat2", HOST_HAS, FCHMODAT2, HERE, P("/etc/passwd"), 0600, 0),
    CALL("other forms", "faccessat2", MUST, __NR_faccessat2, HERE, ROOT, 0, 0),
    CALL("other forms", "file_getattr", HOST_HAS, FILE_GETATTR, HERE, ROOT, P(page), 24, 0),
    CALL("other forms", "stat", MUST, __NR_stat, ROOT, P(page)),
    CALL("other forms", "lstat", MUST, __NR_lstat, ROOT, P(page)),
    CALL("other forms", "access", MUST, __NR_access, ROOT, 0),
    CALL("other forms", "utime", MUST, __NR_utime, P("/etc/passwd"), 0),
    CALL("other forms", "lchown", MUST, __NR_lchown, ROOT, 0, 0),
    CALL("other forms", "getdents of each", MUST, __NR_getdents, EACH, P(page), PAGE),
    CALL("other forms", "listxattr", HOST_HAS, __NR_listxattr, ROOT, P(page), PAGE),
    CALL("other forms", "listxattrat", HOST_HAS, LISTXATTRAT, HERE, ROOT, 0, P(page), PAGE),
    CALL("other forms", "fsetxattr of each", HOST_HAS, __NR_fsetxattr, EACH, P("trusted.probe"), P("x"), 1, 0),
    CALL("other forms", "flistxattr of each", HOST_HAS, __NR_flistxattr, EACH, P(page), PAGE),
    CALL("other forms", "pipe", MUST, __NR_pipe, P(words)),
    CALL("other forms", "eventfd", MUST, __NR_eventfd, 0),
    CALL("other forms", "signalfd", MUST, __NR_signalfd, -1, P(&all_signals), 8),
    CALL("other forms", "epoll_create", MUST, __NR_epoll_create, 1),
    CALL("other forms", "inotify_init", MUST, __NR_inotify_init),
    CALL("other forms", "setitimer", MUST, __NR_setitimer, 0, P(&never), 0),
    CALL("other forms", "alarm", MUST, __NR_alarm, 60),
    PAST("other forms", "accept on each", MUST, EAGAIN, __NR_accept, EACH, 0, 0),
    CALL("other forms", "preadv of each", MUST, __NR_preadv, EACH, P(&piece), 1, 0, 0),
    CALL("other forms", "pwritev to each", MUST, __NR_pwritev, EACH, P(&piece), 1, 0, 0),
    {"other forms", "pread64 of each", MUST, 0, 1U << ROLE_SUPERVISOR | 1U << ROLE_AUDITOR | 1U << ROLE_DEVICE, {__NR_pread64, EACH, P(page), 1, 0}, NULL},
    CALL("other forms", "fsync each", MUST, __NR_fsync, EACH),
    CALL("other forms", "syncfs of each", MUST, __NR_syncfs, EACH),
    CALL("other forms", "fadvise64 of each", MUST, __NR_fadvise64, EACH, 0, 0, 0),
    CALL("other forms", "fstatfs of each", MUST, __NR_fstatfs, EACH, P(page)),
    CALL("other forms", "cachestat of each", HOST_HAS, CACHESTAT, EACH, P(words), P(page), 0),
    DEED("other forms", "tee between pipes", MUST, 0, copy_in_pipes),
    DEED("other forms", "the time by the vsyscall page", HOST_HAS, 0, time_by_vsyscall),

    DEED("other mounts", "a new one by fsopen and fsmount", MUST, 0, new_mount),
    DEED("other mounts", "a copy by open_tree and move_mount", MUST, 0, copied_mount),
    CALL("other mounts", "open_tree_attr", HOST_HAS, OPEN_TREE_ATTR, HERE, ROOT, OPEN_TREE_CLONE, BOTH(no_times)),
    CALL("other mounts", "quotactl_fd of each", HOST_HAS, __NR_quotactl_fd, EACH, 0x80000100 - 0x100000000, 0, 0),

    DEED("other processes", "signal them one by one", MUST, 0, signal_every_process),
    DEED("other processes", "every request of ptrace", MUST, 0, every_request_of_ptrace),
    DEED("other processes", "a sibling", MUST, 0, sibling),
    DEED("other processes", "one with another time", HOST_HAS, 0, task_in_new_time),
    DEED("other processes", "one in the control group of each", HOST_HAS, 0, task_in_group_of_each),
    PAST("other processes", "wait for any", MUST, ECHILD, __NR_wait4, -1, 0, 1, 0),
    PAST("other processes", "wait for any, by waitid", MUST, ECHILD, __NR_waitid, 0, 0, P(page), 5, 0),
    CALL("other processes", "limit another", MUST, __NR_prlimit64, VICTIM, RLIMIT_CORE, P(&nothing), 0),
    CALL("other processes", "another's scheduling", MUST, __NR_sched_setscheduler, VICTIM, SCHED_BATCH, P(words)),
    CALL("other processes", "another's scheduling, by attributes", MUST, __NR_sched_setattr, VICTIM, P(&usual_scheduling), 0),
    CALL("other processes", "bind another to a processor", MUST, __NR_sched_setaffinity, VICTIM, 8, P(&(const uint64_t){UINT64_MAX})),
    CALL("other processes", "another's input and output", MUST, __NR_ioprio_set, 1, VICTIM, PRIORITY_BEST_EFFORT),
    CALL("other processes", "another's group", MUST, __NR_getpgid, VICTIM),
    CALL("other processes", "a group of its own", MUST, __NR_setpgid, 0, 0),
    CALL("other processes", "capabilities of process 1", MUST, __NR_capget, P(&of_process_1), P(page)),
    CALL("other processes", "move another's memory", HOST_HAS, __NR_migrate_pages, VICTIM, 8, P(words), P(words)),
    PAST("other processes", "take back memory by each", HOST_HAS, EINVAL, __NR_process_mrelease, EACH, 0),
    CALL("other processes", "count another's events", HOST_HAS, __NR_perf_event_open, P(&event), VICTIM, -1, -1, 0),
    PAST("other processes", "take signals before their handlers", MUST, EAGAIN, __NR_rt_sigtimedwait, P(&all_signals), 0, P(&no_time), 8),

    PRCTL("a filter that allows all, by prctl", MUST, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, P(&pass_all)),
    CALL("settings", "a filter for all threads", MUST, __NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, P(&pass_all)),
    CALL("settings", "sizes of the filter's notes", MUST, __NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, P(page)),
    DEED("settings", "restrict itself anew", HOST_HAS, 0, restrict_itself),
    PRCTL("calls taken by the process itself", HOST_HAS, USER_DISPATCH, 0, 0, 0, 0),
    PRCTL("drop from the bounding set", MUST, PR_CAPBSET_DROP, CAP_AUDIT_READ),
    PRCTL("a flusher of memory", WITH_RESOURCE, FLUSHER, 1, 0, 0, 0),
    PRCTL("merge all memory", HOST_HAS, MERGE_ALL, 0, 0, 0, 0),
    PRCTL("name memory", HOST_HAS, NAME_MEMORY, 0, P(page), PAGE, 0),
    PRCTL("give another its core", HOST_HAS, 62, SHARE_CORE_TO, VICTIM, 0, 0),
    PRCTL("exact timers", MUST, PR_SET_TIMERSLACK, 1),
    CALL("settings", "addresses that are not random", MUST, __NR_personality, NO_RANDOM_ADDRESSES),
    CALL("settings", "umask", MUST, __NR_umask, 077),
    CALL("settings", "where the kernel clears a thread's id", MUST, __NR_set_tid_address, P(words)),
    CALL("settings", "where the kernel looks for held futexes", MUST, __NR_set_robust_list, P(words), 24),
    CALL("settings", "setfsgid", MUST, __NR_setfsgid, 0),

    REQUEST("inherit each", MUST, FIONCLEX, 0),
    REQUEST("let each not wait", MUST, FIONBIO, P(&number)),
    REQUEST("what is ready in each", MUST, FIONREAD, P(page)),
    REQUEST("copy each into each other", HOST_HAS, CLONE_FILE, EACH_TOO),
    REQUEST("owner of the namespace of each", HOST_HAS, NAMESPACE_OWNER, 0),
    REQUEST("kind of the namespace of each", MUST, NAMESPACE_KIND, 0),
    REQUEST("file of the socket of each", HOST_HAS, SOCKETS_FILE, 0),
    CONTROL("inherit each, by fcntl", MUST, F_SETFD, 0),
    CONTROL("another signal of each", MUST, F_SETSIG, SIGUSR1),
    CONTROL("be told of changes by each", HOST_HAS, F_NOTIFY, 1),
    CONTROL("size of the pipe of each", MUST, F_SETPIPE_SZ, PAGE),
    CONTROL("lock each by its open file", MUST, F_OFD_SETLK, P(&whole)),
    CONTROL("duplicate each beyond the limit", MUST, F_DUPFD_CLOEXEC, HIGH),

    SOCKET_OPTION("mark what each sends", HOST_HAS, SO_MARK, BOTH(number)),
    SOCKET_OPTION("larger buffers to receive", MUST, SO_RCVBUFFORCE, BOTH(number)),
    SOCKET_OPTION("who sends, with each message", MUST, SO_PASSCRED, BOTH(number)),
    SOCKET_OPTION("keep the filter of each", MUST, SO_LOCK_FILTER, BOTH(number)),
    SOCKET_OPTION("bind each to loopback", HOST_HAS, SO_BINDTODEVICE, P("lo"), 3),
    CALL("options of sockets", "getsockname of each", MUST, __NR_getsockname, EACH, P(page), P(&size)),
    PAST("options of sockets", "look at what comes next to each", MUST, EAGAIN, __NR_recvfrom, EACH, P(page), 1, MSG_PEEK | MSG_DONTWAIT, 0, 0),
    CALL("options of sockets", "a message that is too long", MUST, __NR_sendto, FD_CHANNEL, P(page), sizeof(struct message) + 1, MSG_NOSIGNAL, 0, 0),

    CALL("other memory", "new memory over old", MUST, __NR_mmap, P(page), PAGE, PROT_READ | PROT_WRITE, ANON | MAP_FIXED, -1, 0),
    CALL("other memory", "memory that grows by itself", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_WRITE, ANON | MAP_GROWSDOWN, -1, 0),
    CALL("other memory", "leave pages out of a fork", MUST, __NR_madvise, P(page), PAGE, MADV_DONTFORK),
    CALL("other memory", "which pages are there", MUST, __NR_mincore, P(page), PAGE, P(words)),
    CALL("other memory", "lock memory as it is used", MUST, __NR_mlock2, P(page), PAGE, 1),
    CALL("other memory", "a protection key", HOST_HAS, __NR_pkey_alloc, 0, 0),

    CALL("other interfaces", "wake by a shared futex", MUST, __NR_futex, P(words), 1, 1, 0, 0, 0),
    CALL("other interfaces", "futex_wake", HOST_HAS, FUTEX_WAKE_ALONE, P(words), 1, 1, 2),
    CALL("other interfaces", "random bytes that do not wait", MUST, __NR_getrandom, P(page), 1, 1),
    CALL("other interfaces", "a clock that no role reads", MUST, __NR_clock_gettime, CLOCK_RAW, P(page)),
    CALL("other interfaces", "a timer that wakes the host", HOST_HAS, __NR_timerfd_create, CLOCK_THAT_WAKES, 0),
    CALL("other interfaces", "security modules", HOST_HAS, LSM_LIST, P(page), P(&size), 0),
    CALL("other interfaces", "own security attributes", HOST_HAS, LSM_GET_SELF, 100, P(page), P(&size), 0),
    CALL("other interfaces", "keyctl: what it can", HOST_HAS, __NR_keyctl, KEY_CAPABILITIES, P(page), 8),
    CALL("other interfaces", "keyctl: a keyring that stays", HOST_HAS, __NR_keyctl, PERSISTENT_KEYRING, -1, -2),
    CALL("other interfaces", "bpf: programs of others", HOST_HAS, __NR_bpf, BPF_NEXT_PROGRAM, P(words), 12),
    CALL("other interfaces", "size of the kernel's messages", HOST_HAS, __NR_syslog, CTRL_LOG_SIZE, 0, 0),
};
/* clang-format on */

const struct attempts attempts_further = {list, sizeof(list) / sizeof(list[0])};
