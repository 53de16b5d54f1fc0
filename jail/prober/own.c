/* Attempts at more than the process was given: memory, kernel interfaces, rights, limits, what its descriptors are not
 * for, and the layers of the jail itself.
 */
#include "jail/prober/attempts.h"

#include <asm/prctl.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/tiocl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/uio.h>

#define P(pointer) (long)(pointer)
#define BOTH(thing) P(&(thing)), sizeof(thing)

enum {
	PAGE = 4096,
	HIGH = 900, /* a descriptor number beyond every role's limit */
	CTRL_LOG_READ_ALL = 3,
	REBOOT_MAGIC = 0xfee1dead - 0x100000000,
	REBOOT_MAGIC_TOO = 672274793,
	NO_COMMAND = 0x12345678,
	RING_MAPPED = 0x10, /* newer than the headers of some distributions that we build on */
	SET_MDWE = 65,
	MAP_SHADOW_STACK = 453,
	CPU_TIME_OF_1 = -14, /* ~pid << 3 | 2 */
	MSEAL = 462,
	LSM_SET_SELF = 460,
	PAGE_OUT = 21, /* advice that musl does not know of yet */
	POPULATE = 23,
	CLASS_REALTIME = 1 << 13,      /* ioprio */
	ALWAYS_EXECUTABLE = 0x0400000, /* READ_IMPLIES_EXEC of personality(2) */
};

static _Alignas(PAGE) char page[PAGE];
static const char byte = 'x';
static int number = 1;
static uint64_t words[32];
static struct msghdr taken;
static const struct iovec piece = {(void *)(uintptr_t)&byte, 1}, into = {page, 1};
static const struct sock_filter pass[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
static const struct sock_fprog pass_all = {1, (struct sock_filter *)(uintptr_t)pass};
static const struct bpf_insn nothing[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
static const union bpf_attr program = {
    .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2, .insns = (uintptr_t)nothing, .license = (uintptr_t) "GPL"};
static const union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
static const struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(event)};
static const struct __user_cap_header_struct capability_version = {.version = _LINUX_CAPABILITY_VERSION_3};
static const struct __user_cap_data_struct administrator[2] = {{1U << CAP_SYS_ADMIN, 1U << CAP_SYS_ADMIN, 0}};
static const struct rlimit plenty = {1 << 16, 1 << 16}, deep = {1 << 21, 1 << 21};
static const int first[1] = {1}; /* struct sched_param as the kernel has it */
static const struct {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
} scheduling = {.size = sizeof(scheduling), .policy = SCHED_FIFO, .priority = 1};
static const sigset_t all_signals = {{ULONG_MAX}};
static const struct {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
} ignore = {(void *)1, 0, NULL, 0};
static struct timex impossible = {.modes = ADJ_TICK};
static struct termios terminal;
static struct winsize window;
static const char select_paste[] = {TIOCL_PASTESEL};
static const uint32_t descriptor_table[16] = {1, 0, 0xfffff, 0x51};
static const struct {
	uint64_t fs, net, scoped;
} landlock = {1, 0, 0};

/* clang-format off */
#define CALL(class, name, control, ...) {class, name, control, 0, 0, {__VA_ARGS__}, NULL}
#define PAST(class, name, control, past, ...) {class, name, control, past, 0, {__VA_ARGS__}, NULL}
#define DEED(class, name, control, past, deed) {class, name, control, past, 0, {0}, deed}
#define GUESTS (1U << ROLE_MONITOR | 1U << ROLE_DEVICE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS), -1, 0
#define PRCTL(class, name, control, ...) CALL(class, name, control, __NR_prctl, __VA_ARGS__)
#define RAISE(name, resource, control) CALL("limits", "raise " name, control, __NR_prlimit64, 0, resource, P(&plenty), 0)

static const struct attempt list[] = {
    DEED("tasks", "fork", MUST, 0, deed_fork),
    DEED("tasks", "vfork", MUST, 0, deed_vfork),
    DEED("tasks", "clone", MUST, 0, deed_clone),
    DEED("tasks", "clone3", MUST, 0, deed_clone3),
    DEED("tasks", "a thread", MUST, 0, deed_thread),
    DEED("tasks", "a process in the same memory", MUST, 0, deed_share_memory),

    CALL("memory", "writable and executable memory", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, ANON),
    CALL("memory", "executable memory", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_EXEC, ANON),
    CALL("memory", "each descriptor as executable memory", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, EACH, 0),
    CALL("memory", "each descriptor as private code", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, EACH, 0),
    CALL("memory", "more memory", MUST, __NR_mmap, 0, 64L << 20, PROT_READ | PROT_WRITE, ANON),
    CALL("memory", "memory at address 0", MUST, __NR_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | ANON),
    CALL("memory", "make data executable", MUST, __NR_mprotect, P(page), PAGE, PROT_READ | PROT_EXEC),
    CALL("memory", "make data executable, by key", MUST, __NR_pkey_mprotect, P(page), PAGE, PROT_READ | PROT_EXEC, -1),
    DEED("memory", "make code writable", MUST, 0, deed_make_code_writable),
    DEED("memory", "attach an executable segment", MUST, 0, deed_attach_executable_segment),
    CALL("memory", "grow the heap", MUST, __NR_brk, 0),
    CALL("memory", "mremap", MUST, __NR_mremap, P(page), PAGE, PAGE, MREMAP_MAYMOVE),
    CALL("memory", "munmap", MUST, __NR_munmap, P(page), PAGE),
    CALL("memory", "merge pages", HOST_HAS, __NR_madvise, P(page), PAGE, 12),
    CALL("memory", "drop pages", MUST, __NR_madvise, P(page), PAGE, MADV_DONTNEED),
    CALL("memory", "free pages later", HOST_HAS, __NR_madvise, P(page), PAGE, MADV_FREE),
    CALL("memory", "page out", HOST_HAS, __NR_madvise, P(page), PAGE, PAGE_OUT),
    CALL("memory", "populate", HOST_HAS, __NR_madvise, P(page), PAGE, POPULATE),
    CALL("memory", "large pages", HOST_HAS, __NR_madvise, P(page), PAGE, MADV_HUGEPAGE),
    CALL("memory", "other advice by each descriptor", HOST_HAS, __NR_process_madvise, EACH, P(&into), 1, PAGE_OUT, 0),
    {"memory", "give guest memory back", MUST, 0, GUESTS | NOT_OF(DEVICE_BALLOON), {0}, deed_give_back},
    {"memory", "give more of it back at once", MUST, 0, GUESTS, {0}, deed_give_back_more},
    {"memory", "guest memory in dumps", MUST, 0, GUESTS, {0}, deed_dump_guest_memory},
    CALL("memory", "lock memory", MUST, __NR_mlock, P(page), PAGE),
    CALL("memory", "lock all memory", MUST, __NR_mlockall, 1),
    CALL("memory", "memory file", MUST, __NR_memfd_create, P("probe"), 0),
    CALL("memory", "secret memory", HOST_HAS, __NR_memfd_secret, 0),
    CALL("memory", "shadow stack", HOST_HAS, MAP_SHADOW_STACK, 0, PAGE, 0),
    CALL("memory", "seal memory", HOST_HAS, MSEAL, P(page), PAGE, 0),
    CALL("memory", "userfaultfd", HOST_HAS, __NR_userfaultfd, 0),
    CALL("memory", "memory policy", HOST_HAS, __NR_set_mempolicy, 0, 0, 0),
    CALL("memory", "local descriptor table", HOST_HAS, __NR_modify_ldt, 1, P(descriptor_table), 16),

    CALL("kernel", "io_uring_setup", HOST_HAS, __NR_io_uring_setup, 1, P(page)),
    CALL("kernel", "io_uring_enter on each descriptor", HOST_HAS, __NR_io_uring_enter, EACH, 0, 0, 0, 0),
    CALL("kernel", "io_uring_register on each descriptor", HOST_HAS, __NR_io_uring_register, EACH, 8, P(page), 1),
    CALL("kernel", "io_setup", HOST_HAS, __NR_io_setup, 1, P(words)),
    CALL("kernel", "bpf: load a program", HOST_HAS, __NR_bpf, BPF_PROG_LOAD, BOTH(program)),
    CALL("kernel", "bpf: make a map", HOST_HAS, __NR_bpf, BPF_MAP_CREATE, BOTH(map)),
    CALL("kernel", "socket filter on each descriptor", MUST, __NR_setsockopt, EACH, SOL_SOCKET, SO_ATTACH_FILTER, BOTH(pass_all)),
    CALL("kernel", "perf_event_open", HOST_HAS, __NR_perf_event_open, P(&event), 0, -1, -1, 0),
    CALL("kernel", "keyctl: session keyring", HOST_HAS, __NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1),
    CALL("kernel", "keyctl: join a session", HOST_HAS, __NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0),
    CALL("kernel", "add_key", HOST_HAS, __NR_add_key, P("user"), P("probe"), P("x"), 1, KEY_SPEC_PROCESS_KEYRING),
    PAST("kernel", "request_key", HOST_HAS, ENOKEY, __NR_request_key, P("user"), P("probe"), 0, 0),
    CALL("kernel", "inotify_init1", MUST, __NR_inotify_init1, 0),
    CALL("kernel", "epoll_create1", MUST, __NR_epoll_create1, 0),
    CALL("kernel", "timerfd_create", MUST, __NR_timerfd_create, 1, 0),
    CALL("kernel", "signalfd4", MUST, __NR_signalfd4, -1, P(&all_signals), 8, 0),
    CALL("kernel", "eventfd2", MUST, __NR_eventfd2, 0, 0),
    CALL("kernel", "pipe2", MUST, __NR_pipe2, P(words), 0),
    CALL("kernel", "membarrier", HOST_HAS, __NR_membarrier, 0, 0, 0),
    CALL("kernel", "sysinfo", MUST, __NR_sysinfo, P(page)),
    CALL("kernel", "uname", MUST, __NR_uname, P(page)),
    CALL("kernel", "getpid", MUST, __NR_getpid),
    CALL("kernel", "processor time of process 1", MUST, __NR_clock_gettime, CPU_TIME_OF_1, P(words)),

    DEED("descriptors", "descriptors it should not hold", MUST, 0, deed_poll_all),
    CALL("descriptors", "dup", MUST, __NR_dup, FD_CHANNEL),
    CALL("descriptors", "dup2 beyond the limit", MUST, __NR_dup2, FD_CHANNEL, HIGH),
    CALL("descriptors", "dup3 beyond the limit", MUST, __NR_dup3, FD_CHANNEL, HIGH, 0),
    CALL("descriptors", "duplicate by fcntl", MUST, __NR_fcntl, FD_CHANNEL, F_DUPFD, HIGH),
    CALL("descriptors", "close its channel", MUST, __NR_close, FD_CHANNEL),
    CALL("descriptors", "close_range", MUST, __NR_close_range, 0, 0, 0),
    CALL("descriptors", "undo append-only", MUST, __NR_fcntl, EACH, F_SETFL, 0),
    CALL("descriptors", "readv of each", MUST, __NR_readv, EACH, P(&into), 1),
    PAST("descriptors", "take descriptors that stay open", MUST, EAGAIN, __NR_recvmsg, EACH, P(&taken), MSG_DONTWAIT),
    DEED("descriptors", "send one away by each", MUST, 0, deed_send_descriptor_by_each),
    CALL("descriptors", "seal each", MUST, __NR_fcntl, EACH, F_ADD_SEALS, 8),
    CALL("descriptors", "lock each", MUST, __NR_flock, EACH, 2 | 4),
    CALL("descriptors", "pwrite64 to each", MUST, __NR_pwrite64, EACH, P(&byte), 1, 0),
    CALL("descriptors", "writev to each", MUST, __NR_writev, EACH, P(&piece), 1),
    CALL("descriptors", "pwritev2 to each", MUST, __NR_pwritev2, EACH, P(&piece), 1, 0, 0, RWF_DSYNC),
    CALL("descriptors", "preadv2 of each", MUST, __NR_preadv2, EACH, P(&into), 1, 0, 0, RWF_HIPRI),
    CALL("descriptors", "lseek of each", MUST, __NR_lseek, EACH, 0, 0),
    CALL("descriptors", "ftruncate each", MUST, __NR_ftruncate, EACH, 0),
    CALL("descriptors", "fallocate in each", MUST, __NR_fallocate, EACH, 0, 0, 1),
    {"descriptors", "punch a hole in each", MUST, 0, ~(1U << ROLE_DEVICE), {__NR_fallocate, EACH, 3, 0, PAGE}, NULL},
    CALL("descriptors", "shift what is in each", HOST_HAS, __NR_fallocate, EACH, 8, 0, PAGE),
    CALL("descriptors", "lay zeros over each", HOST_HAS, __NR_fallocate, EACH, 16, 0, PAGE),
    CALL("descriptors", "vmsplice into each", MUST, __NR_vmsplice, EACH, P(&piece), 1, 0),
    CALL("descriptors", "sendfile from each to each", MUST, __NR_sendfile, EACH, EACH_TOO, 0, 1),
    CALL("descriptors", "splice from each to each", MUST, __NR_splice, EACH, 0, EACH_TOO, 0, 1, 2),
    CALL("descriptors", "copy_file_range from each to each", MUST, __NR_copy_file_range, EACH, 0, EACH_TOO, 0, 1, 0),
    CALL("descriptors", "chmod each", MUST, __NR_fchmod, EACH, 0777),
    CALL("descriptors", "chown each", MUST, __NR_fchown, EACH, 0, 0),
    CALL("descriptors", "stat each", MUST, __NR_fstat, EACH, P(page)),
    CALL("descriptors", "sync all disks", MUST, __NR_sync),
    CALL("descriptors", "inode flags of each", HOST_HAS, __NR_ioctl, EACH, 0x40086602, P(&number)),
    CALL("descriptors", "asynchronous I/O on each", MUST, __NR_ioctl, EACH, 0x5452, P(&number)),

    CALL("taps", "keep each", HOST_HAS, __NR_ioctl, EACH, TUNSETPERSIST, 1),
    CALL("taps", "give each away", HOST_HAS, __NR_ioctl, EACH, TUNSETOWNER, 0),
    CALL("taps", "what each is called", HOST_HAS, __NR_ioctl, EACH, TUNGETIFF, P(page)),
    CALL("taps", "make each another interface", NOBODY, __NR_ioctl, EACH, TUNSETIFF, P(page)),
    CALL("taps", "filter of each", HOST_HAS, __NR_ioctl, EACH, TUNATTACHFILTER, P(&pass_all)),
    CALL("taps", "MAC address of each", HOST_HAS, __NR_ioctl, EACH, SIOCGIFHWADDR, P(page)),
    CALL("taps", "header of each", HOST_HAS, __NR_ioctl, EACH, TUNSETVNETHDRSZ, P(&(const int){12})),
    CALL("taps", "carrier of each", HOST_HAS, __NR_ioctl, EACH, TUNSETCARRIER, P(&number)),
    CALL("taps", "network namespace of each", HOST_HAS, __NR_ioctl, EACH, SIOCGSKNS, 0),
    CALL("taps", "other offloads of each", HOST_HAS, __NR_ioctl, EACH, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO),

    CALL("terminal", "type into each", MUST, __NR_ioctl, EACH, TIOCSTI, P("")),
    CALL("terminal", "paste into each", HOST_HAS, __NR_ioctl, EACH, TIOCLINUX, P(select_paste)),
    CALL("terminal", "steal each", HOST_HAS, __NR_ioctl, EACH, TIOCSCTTY, 1),
    CALL("terminal", "settings of each", MUST, __NR_ioctl, EACH, TCGETS, P(page)),
    {"terminal", "set each", MUST, 0, GUESTS | 1U << ROLE_AUDITOR, {__NR_ioctl, EACH, TCSETS, P(&terminal)}, NULL},
    CALL("terminal", "set each, once written", MUST, __NR_ioctl, EACH, TCSETSW, P(&terminal)),
    CALL("terminal", "set each and flush", MUST, __NR_ioctl, EACH, TCSETSF, P(&terminal)),
    CALL("terminal", "line discipline of each", MUST, __NR_ioctl, EACH, TIOCSETD, P(&(const int){0})),
    CALL("terminal", "size of each", MUST, __NR_ioctl, EACH, TIOCSWINSZ, P(&window)),
    CALL("terminal", "exclusive use of each", MUST, __NR_ioctl, EACH, TIOCEXCL),
    CALL("terminal", "hang up each", HOST_HAS, __NR_ioctl, EACH, TIOCVHANGUP),
    CALL("terminal", "other end of each", HOST_HAS, __NR_ioctl, EACH, TIOCGPTPEER, 2),
    CALL("terminal", "foreground group of each", HOST_HAS, __NR_ioctl, EACH, TIOCSPGRP, P(&number)),
    CALL("terminal", "open /dev/tty", HOST_HAS, __NR_open, P("/dev/tty"), O_RDWR),
    CALL("terminal", "open /dev/ptmx", MUST, __NR_open, P("/dev/ptmx"), O_RDWR | O_NOCTTY),
    CALL("terminal", "vhangup", HOST_HAS, __NR_vhangup),

    CALL("identity", "setuid", MUST, __NR_setuid, 0),
    CALL("identity", "setgid", MUST, __NR_setgid, 0),
    CALL("identity", "setreuid", MUST, __NR_setreuid, 0, 0),
    CALL("identity", "setregid", MUST, __NR_setregid, 0, 0),
    CALL("identity", "setresuid", MUST, __NR_setresuid, 0, 0, 0),
    CALL("identity", "setresgid", MUST, __NR_setresgid, 0, 0, 0),
    CALL("identity", "setgroups", MUST, __NR_setgroups, 1, P(&(const uint32_t){0})),
    DEED("identity", "setfsuid", MUST, 0, deed_become_file_root),
    CALL("identity", "capset", MUST, __NR_capset, P(&capability_version), P(administrator)),
    PRCTL("identity", "ambient capability", HOST_HAS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0),
    PRCTL("identity", "secure bits", MUST, PR_SET_SECUREBITS, 0),
    PRCTL("identity", "keep capabilities", MUST, PR_SET_KEEPCAPS, 1),

    PRCTL("layers", "allow new privileges", NOBODY, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0),
    PRCTL("layers", "become dumpable", MUST, PR_SET_DUMPABLE, 1),
    PRCTL("layers", "allow writable code", HOST_HAS, SET_MDWE, 0, 0, 0, 0),
    PRCTL("layers", "allow speculation", HOST_HAS, PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_ENABLE, 0, 0),
    PRCTL("layers", "leave the filter", NOBODY, PR_SET_SECCOMP, 0),
    CALL("layers", "a filter that allows all", MUST, __NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, P(&pass_all)),
    CALL("layers", "a filter with a listener", MUST, __NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, P(&pass_all)),
    CALL("layers", "what the filter answers", MUST, __NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, P(&(const uint32_t){SECCOMP_RET_ALLOW})),
    CALL("layers", "another Landlock ruleset", HOST_HAS, __NR_landlock_create_ruleset, P(&landlock), 8, 0),
    CALL("layers", "security attributes", HOST_HAS, LSM_SET_SELF, 100, P(page), PAGE, 0),
    CALL("layers", "ignore SIGSYS", MUST, __NR_rt_sigaction, SIGSYS, P(&ignore), 0, 8),
    CALL("layers", "block every signal", MUST, __NR_rt_sigprocmask, 0, P(&all_signals), 0, 8),
    CALL("layers", "another signal stack", MUST, __NR_sigaltstack, 0, P(page)),
    CALL("layers", "allow user namespaces", WITH_RESOURCE, __NR_open, P("/proc/sys/user/max_user_namespaces"), O_WRONLY),
    CALL("layers", "other id maps", MUST, __NR_open, P("/proc/self/uid_map"), O_WRONLY),
    PRCTL("layers", "outlive the parent", MUST, PR_SET_PDEATHSIG, 0),
    PRCTL("layers", "adopt orphans", MUST, PR_SET_CHILD_SUBREAPER, 1),
    PRCTL("layers", "let anybody trace it", HOST_HAS, 0x59616d61, -1),
    PRCTL("layers", "another memory map", HOST_HAS, PR_SET_MM, PR_SET_MM_MAP_SIZE, P(words), 0, 0),
    PRCTL("layers", "fault on rdtsc", MUST, PR_SET_TSC, PR_TSC_ENABLE),
    PRCTL("layers", "share a core", HOST_HAS, 62, 1, 0, 0, P(words)),
    PRCTL("layers", "another name", MUST, PR_SET_NAME, P("probe")),
    CALL("layers", "another execution domain", MUST, __NR_personality, ALWAYS_EXECUTABLE),
    CALL("layers", "segment registers", MUST, __NR_arch_prctl, ARCH_GET_FS, P(words)),
    CALL("layers", "no processor identification", HOST_HAS, __NR_arch_prctl, ARCH_SET_CPUID, 1),

    RAISE("open files", RLIMIT_NOFILE, WITH_RESOURCE),
    RAISE("tasks", RLIMIT_NPROC, MUST),
    RAISE("file size", RLIMIT_FSIZE, MUST),
    RAISE("core size", RLIMIT_CORE, MUST),
    RAISE("locked memory", RLIMIT_MEMLOCK, MUST),
    RAISE("message queues", RLIMIT_MSGQUEUE, MUST),
    CALL("limits", "raise stack size", MUST, __NR_prlimit64, 0, RLIMIT_STACK, P(&deep), 0),
    RAISE("priority", RLIMIT_NICE, WITH_RESOURCE),
    RAISE("real-time priority", RLIMIT_RTPRIO, WITH_RESOURCE),
    CALL("limits", "setrlimit", WITH_RESOURCE, __NR_setrlimit, RLIMIT_NOFILE, P(&plenty)),
    CALL("limits", "setpriority", MUST, __NR_setpriority, PRIO_PROCESS, 0, -20),
    CALL("limits", "real-time scheduling", HOST_HAS, __NR_sched_setscheduler, 0, SCHED_FIFO, P(first)),
    CALL("limits", "real-time scheduling, by attributes", HOST_HAS, __NR_sched_setattr, 0, P(&scheduling), 0),
    CALL("limits", "every processor", MUST, __NR_sched_setaffinity, 0, 8, P(&(const uint64_t){UINT64_MAX})),
    CALL("limits", "real-time input and output", MUST, __NR_ioprio_set, 1, 0, CLASS_REALTIME),
    CALL("limits", "open /sys/fs/cgroup/cgroup.procs", HOST_HAS, __NR_open, P("/sys/fs/cgroup/cgroup.procs"), O_WRONLY),

    CALL("ipc", "shmget", MUST, __NR_shmget, 0, PAGE, 0600),
    CALL("ipc", "semget", MUST, __NR_semget, 0, 1, 0600),
    CALL("ipc", "msgget", MUST, __NR_msgget, 0, 0600),
    CALL("ipc", "segments of all", MUST, __NR_shmctl, 0, 14, P(page)),
    CALL("ipc", "mq_open", MUST, __NR_mq_open, P("probe"), O_CREAT | O_RDWR, 0600, 0),
    PAST("ipc", "mq_unlink", MUST, ENOENT, __NR_mq_unlink, P("probe")),

    PAST("host", "reboot", MUST, EINVAL, __NR_reboot, REBOOT_MAGIC, REBOOT_MAGIC_TOO, NO_COMMAND),
    PAST("host", "kexec_load", HOST_HAS, EINVAL, __NR_kexec_load, 0, 1000, 0, 0),
    PAST("host", "kexec_file_load", HOST_HAS, EBADF, __NR_kexec_file_load, -1, -1, 0, 0, 0),
    PAST("host", "init_module", HOST_HAS, ENOEXEC, __NR_init_module, P(page), 1, P("")),
    PAST("host", "finit_module", HOST_HAS, EBADF, __NR_finit_module, -1, P(""), 0),
    PAST("host", "delete_module", HOST_HAS, ENOENT, __NR_delete_module, P("probe"), 0),
    PAST("host", "acct", HOST_HAS, ENOENT, __NR_acct, P("/absent")),
    CALL("host", "read the kernel's messages", HOST_HAS, __NR_syslog, CTRL_LOG_READ_ALL, BOTH(page)),
    CALL("host", "settimeofday", MUST, __NR_settimeofday, 0, 0),
    PAST("host", "clock_settime", MUST, EINVAL, __NR_clock_settime, 0, P(&(const int64_t[2]){0})),
    PAST("host", "adjtimex", MUST, EINVAL, __NR_adjtimex, P(&impossible)),
    PAST("host", "clock_adjtime", MUST, EINVAL, __NR_clock_adjtime, 0, P(&impossible)),
    CALL("host", "iopl", HOST_HAS, __NR_iopl, 3),
    CALL("host", "ioperm", HOST_HAS, __NR_ioperm, 0x80, 1, 1),
    CALL("host", "sethostname", MUST, __NR_sethostname, P("cofferdam"), 9),
    CALL("host", "setdomainname", MUST, __NR_setdomainname, P("cofferdam"), 9),
};

const struct attempts attempts_own = {list, sizeof(list) / sizeof(list[0])};
