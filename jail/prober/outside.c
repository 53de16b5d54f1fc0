/* Attempts at what lies outside the jail: files, sockets, other processes, namespaces, mounts, programs, the host. */
#include "jail/prober/attempts.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define P(pointer) (long)(pointer)
#define ROOT P("/")
#define HERE AT_FDCWD
#define BOTH(thing) P(&(thing)), sizeof(thing)

enum {
	QUOTA_SYNC = 0x80000100 - 0x100000000,
	LISTMOUNT = 458, /* newer than the headers of some distributions that we build on */
	SO_PEER_PIDFD = 77,
};
static char scratch[4096];
static int number = 1;
static uint64_t words[16];
static const struct open_how how = {.flags = O_RDONLY};
static const struct timespec no_times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
static const struct iovec piece = {scratch, 1};
static const siginfo_t queued = {.si_code = SI_QUEUE};
static const struct mount_attr no_change = {.attr_set = 0};
static const struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
static struct mmsghdr messages = {.msg_hdr = {.msg_iov = (struct iovec *)(uintptr_t)&piece, .msg_iovlen = 1}};
static const struct {
	uint32_t size, type;
	uint8_t bytes[12];
} handle = {.size = 12, .type = 1};
static const uint64_t list_all[3] = {sizeof(list_all), UINT64_MAX}; /* of the root mount */
static socklen_t size = sizeof(scratch);

/* clang-format off */
#define CALL(class, name, control, ...) {class, name, control, 0, 0, {__VA_ARGS__}, NULL}
#define PAST(class, name, control, past, ...) {class, name, control, past, 0, {__VA_ARGS__}, NULL}
#define DEED(class, name, control, past, deed) {class, name, control, past, 0, {0}, deed}

static const struct attempt list[] = {
    CALL("files", "open /", MUST, __NR_open, ROOT, O_RDONLY | O_DIRECTORY),
    CALL("files", "open ../..", MUST, __NR_open, P("../.."), O_RDONLY | O_DIRECTORY),
    CALL("files", "open / by O_PATH", MUST, __NR_open, ROOT, O_PATH),
    CALL("files", "open a nameless file", MUST, __NR_open, ROOT, O_TMPFILE | O_RDWR, 0600),
    CALL("files", "open /etc/passwd", MUST, __NR_open, P("/etc/passwd"), O_RDONLY),
    CALL("files", "open /etc/passwd to write", MUST, __NR_open, P("/etc/passwd"), O_RDWR),
    CALL("files", "openat /", MUST, __NR_openat, HERE, ROOT, O_RDONLY | O_DIRECTORY),
    CALL("files", "openat beneath each descriptor", MUST, __NR_openat, EACH, P("."), O_RDONLY | O_DIRECTORY),
    CALL("files", "openat .. of each descriptor", MUST, __NR_openat, EACH, P(".."), O_RDONLY | O_DIRECTORY),
    CALL("files", "openat2 /", MUST, __NR_openat2, HERE, ROOT, BOTH(how)),
    CALL("files", "openat2 beneath each descriptor", MUST, __NR_openat2, EACH, P("."), BOTH(how)),
    CALL("files", "creat /probe", MUST, __NR_creat, P("/probe"), 0600),
    CALL("files", "name_to_handle_at /", MUST, __NR_name_to_handle_at, HERE, ROOT, P(words), P(&number), 0),
    DEED("files", "open_by_handle_at of /", MUST, 0, deed_open_by_handle),
    PAST("files", "open_by_handle_at of each descriptor", MUST, ESTALE, __NR_open_by_handle_at, EACH, P(&handle), O_RDONLY),
    CALL("files", "open /proc/self/mem", MUST, __NR_open, P("/proc/self/mem"), O_RDWR),
    CALL("files", "open /proc/self/maps", MUST, __NR_open, P("/proc/self/maps"), O_RDONLY),
    CALL("files", "open the own executable", MUST, __NR_open, P("/proc/self/exe"), O_RDONLY),
    CALL("files", "open /proc/self/fd", MUST, __NR_open, P("/proc/self/fd"), O_RDONLY | O_DIRECTORY),
    CALL("files", "open /proc/sys/kernel/core_pattern", MUST, __NR_open, P("/proc/sys/kernel/core_pattern"), O_RDONLY),
    CALL("files", "open /sys/kernel", MUST, __NR_open, P("/sys/kernel"), O_RDONLY | O_DIRECTORY),
    CALL("files", "open /sys/fs/cgroup", MUST, __NR_open, P("/sys/fs/cgroup"), O_RDONLY | O_DIRECTORY),
    CALL("files", "open /dev/null", MUST, __NR_open, P("/dev/null"), O_RDWR),
    CALL("files", "open /dev/kvm", WITH_KVM, __NR_open, P("/dev/kvm"), O_RDWR),
    CALL("files", "open /dev/mem", HOST_HAS, __NR_open, P("/dev/mem"), O_RDONLY),
    CALL("files", "open /dev/net/tun", HOST_HAS, __NR_open, P("/dev/net/tun"), O_RDWR),
    CALL("files", "mkdir", MUST, __NR_mkdir, P("/probe"), 0700),
    CALL("files", "mkdirat each descriptor", MUST, __NR_mkdirat, EACH, P("probe"), 0700),
    CALL("files", "mknod a device", MUST, __NR_mknod, P("/probe"), S_IFCHR | 0600, 0x103),
    CALL("files", "mknod a socket", MUST, __NR_mknod, P("/probe"), S_IFSOCK | 0600, 0),
    CALL("files", "symlink", MUST, __NR_symlink, ROOT, P("/probe")),
    CALL("files", "link", MUST, __NR_link, P("/etc/passwd"), P("/probe")),
    CALL("files", "link each descriptor to a name", MUST, __NR_linkat, EACH, P(""), HERE, P("/probe"), AT_EMPTY_PATH),
    CALL("files", "rename", MUST, __NR_rename, P("/etc/passwd"), P("/etc/probe")),
    CALL("files", "unlink", MUST, __NR_unlink, P("/etc/passwd")),
    CALL("files", "rmdir", MUST, __NR_rmdir, P("/empty")),
    CALL("files", "truncate", MUST, __NR_truncate, P("/etc/passwd"), 0),
    CALL("files", "chmod /", MUST, __NR_chmod, ROOT, 0777),
    CALL("files", "chown /", MUST, __NR_chown, ROOT, 0, 0),
    CALL("files", "utimensat /", MUST, __NR_utimensat, HERE, ROOT, P(no_times), 0),
    CALL("files", "setxattr /", HOST_HAS, __NR_setxattr, ROOT, P("trusted.probe"), P("x"), 1, 0),
    CALL("files", "stat /", MUST, __NR_newfstatat, HERE, ROOT, P(scratch), 0),
    CALL("files", "statx /", MUST, __NR_statx, HERE, ROOT, 0, 0, P(scratch)),
    CALL("files", "access /", MUST, __NR_faccessat, HERE, ROOT, 0),
    CALL("files", "statfs /", MUST, __NR_statfs, ROOT, P(scratch)),
    CALL("files", "readlink /proc/self/exe", MUST, __NR_readlink, P("/proc/self/exe"), BOTH(scratch)),
    CALL("files", "getdents64 of each descriptor", MUST, __NR_getdents64, EACH, BOTH(scratch)),
    CALL("files", "chdir /", MUST, __NR_chdir, ROOT),
    CALL("files", "fchdir to each descriptor", MUST, __NR_fchdir, EACH),
    CALL("files", "getcwd", MUST, __NR_getcwd, BOTH(scratch)),
    CALL("files", "watch / by inotify", MUST, __NR_inotify_add_watch, EACH, ROOT, 1),
    CALL("files", "fanotify_init", HOST_HAS, __NR_fanotify_init, 0, O_RDONLY),

    CALL("sockets", "Unix stream", MUST, __NR_socket, AF_UNIX, SOCK_STREAM, 0),
    CALL("sockets", "Unix datagram", MUST, __NR_socket, AF_UNIX, SOCK_DGRAM, 0),
    CALL("sockets", "Unix seqpacket", MUST, __NR_socket, AF_UNIX, SOCK_SEQPACKET, 0),
    CALL("sockets", "TCP", MUST, __NR_socket, AF_INET, SOCK_STREAM, 0),
    CALL("sockets", "UDP", MUST, __NR_socket, AF_INET, SOCK_DGRAM, 0),
    CALL("sockets", "raw IPv4", MUST, __NR_socket, AF_INET, SOCK_RAW, 1),
    CALL("sockets", "TCP over IPv6", HOST_HAS, __NR_socket, AF_INET6, SOCK_STREAM, 0),
    CALL("sockets", "raw IPv6", HOST_HAS, __NR_socket, AF_INET6, SOCK_RAW, 58),
    CALL("sockets", "netlink route", MUST, __NR_socket, AF_NETLINK, SOCK_RAW, 0),
    CALL("sockets", "netlink audit", HOST_HAS, __NR_socket, AF_NETLINK, SOCK_RAW, 9),
    CALL("sockets", "netlink kobject events", HOST_HAS, __NR_socket, AF_NETLINK, SOCK_RAW, 15),
    CALL("sockets", "packet", HOST_HAS, __NR_socket, AF_PACKET, SOCK_RAW, 0x300),
    CALL("sockets", "vsock", HOST_HAS, __NR_socket, AF_VSOCK, SOCK_STREAM, 0),
    CALL("sockets", "kernel crypto", HOST_HAS, __NR_socket, AF_ALG, SOCK_SEQPACKET, 0),
    CALL("sockets", "XDP", HOST_HAS, __NR_socket, AF_XDP, SOCK_RAW, 0),
    CALL("sockets", "Bluetooth", HOST_HAS, __NR_socket, AF_BLUETOOTH, SOCK_RAW, 1),
    DEED("sockets", "every other family and type", MUST, 0, deed_other_families),
    CALL("sockets", "socketpair", MUST, __NR_socketpair, AF_UNIX, SOCK_STREAM, 0, P(scratch)),
    DEED("sockets", "connect to loopback by TCP", MUST, ECONNREFUSED, deed_connect_loopback),
    DEED("sockets", "connect to loopback by UDP", MUST, 0, deed_connect_loopback_datagram),
    DEED("sockets", "connect to the metadata address by TCP", MUST, ECONNREFUSED, deed_connect_metadata),
    DEED("sockets", "connect to the metadata address by UDP", MUST, 0, deed_connect_metadata_datagram),
    DEED("sockets", "connect to an abstract socket", MUST, 0, deed_connect_abstract),
    DEED("sockets", "bind an abstract socket", MUST, 0, deed_bind_abstract),
    CALL("sockets", "bind each descriptor", MUST, __NR_bind, EACH, P(&unnamed), sizeof(sa_family_t)),
    PAST("sockets", "connect each descriptor anew", MUST, ECONNREFUSED, __NR_connect, EACH, P(&unnamed), sizeof(unnamed)),
    CALL("sockets", "listen on each descriptor", MUST, __NR_listen, EACH, 1),
    PAST("sockets", "accept on each descriptor", MUST, EAGAIN, __NR_accept4, EACH, 0, 0, SOCK_NONBLOCK),
    CALL("sockets", "shutdown of each descriptor", MUST, __NR_shutdown, EACH, SHUT_RDWR),
    CALL("sockets", "larger buffers on each descriptor", MUST, __NR_setsockopt, EACH, SOL_SOCKET, SO_SNDBUFFORCE, BOTH(number)),
    CALL("sockets", "who is behind each descriptor", MUST, __NR_getsockopt, EACH, SOL_SOCKET, SO_PEERCRED, P(scratch), P(&size)),
    CALL("sockets", "a pidfd of who is behind each", HOST_HAS, __NR_getsockopt, EACH, SOL_SOCKET, SO_PEER_PIDFD, P(scratch), P(&size)),
    CALL("sockets", "getpeername of each descriptor", MUST, __NR_getpeername, EACH, P(scratch), P(&size)),
    CALL("sockets", "sendto with an address", MUST, __NR_sendto, FD_CHANNEL, P(scratch), 1, MSG_NOSIGNAL, P(&unnamed), sizeof(unnamed)),
    DEED("sockets", "send a descriptor away", MUST, 0, deed_send_descriptor),
    CALL("sockets", "sendmmsg", MUST, __NR_sendmmsg, FD_CHANNEL, P(&messages), 1, MSG_NOSIGNAL),
    PAST("sockets", "recvmmsg", MUST, EAGAIN, __NR_recvmmsg, FD_CHANNEL, P(&messages), 1, MSG_DONTWAIT, 0),

    CALL("processes", "signal every process", MUST, __NR_kill, -1, 0),
    CALL("processes", "kill another", MUST, __NR_kill, VICTIM, 0),
    CALL("processes", "tkill another", MUST, __NR_tkill, VICTIM, 0),
    CALL("processes", "tgkill another", MUST, __NR_tgkill, VICTIM, VICTIM, 0),
    CALL("processes", "queue a signal to another", MUST, __NR_rt_sigqueueinfo, VICTIM, 0, P(&queued)),
    CALL("processes", "queue a signal to another's thread", MUST, __NR_rt_tgsigqueueinfo, VICTIM, VICTIM, 0, P(&queued)),
    CALL("processes", "pidfd_open", MUST, __NR_pidfd_open, VICTIM, 0),
    CALL("processes", "signal by each descriptor", MUST, __NR_pidfd_send_signal, EACH, 0, 0, 0),
    CALL("processes", "take a descriptor by each", MUST, __NR_pidfd_getfd, EACH, 0, 0),
    CALL("processes", "have another signalled by I/O", MUST, __NR_fcntl, EACH, F_SETOWN, VICTIM),
    CALL("processes", "ptrace attach", MUST, __NR_ptrace, PTRACE_ATTACH, VICTIM, 0, 0),
    CALL("processes", "ptrace seize", MUST, __NR_ptrace, PTRACE_SEIZE, VICTIM, 0, 0),
    CALL("processes", "ask to be traced", MUST, __NR_ptrace, PTRACE_TRACEME, 0, 0, 0),
    CALL("processes", "read another's memory", MUST, __NR_process_vm_readv, VICTIM, P(&piece), 1, P(&piece), 1, 0),
    CALL("processes", "write another's memory", MUST, __NR_process_vm_writev, VICTIM, P(&piece), 1, P(&piece), 1, 0),
    CALL("processes", "open /proc/1/mem", MUST, __NR_open, P("/proc/1/mem"), O_RDWR),
    CALL("processes", "open /proc/1/environ", MUST, __NR_open, P("/proc/1/environ"), O_RDONLY),
    CALL("processes", "open /proc/1/root", MUST, __NR_open, P("/proc/1/root/"), O_RDONLY | O_DIRECTORY),
    CALL("processes", "compare with another", HOST_HAS, __NR_kcmp, VICTIM, VICTIM, 1, 0, 0),
    CALL("processes", "another's robust futexes", HOST_HAS, __NR_get_robust_list, VICTIM, P(words), P(words)),
    CALL("processes", "another's limits", MUST, __NR_prlimit64, VICTIM, 7, 0, P(scratch)),
    CALL("processes", "another's priority", MUST, __NR_setpriority, 0, VICTIM, 19),
    CALL("processes", "another's processors", MUST, __NR_sched_getaffinity, VICTIM, sizeof(scratch), P(scratch)),
    CALL("processes", "another's pages", HOST_HAS, __NR_move_pages, VICTIM, 0, 0, 0, 0, 0),
    CALL("processes", "another's session", MUST, __NR_getsid, VICTIM),
    CALL("processes", "a session of its own", MUST, __NR_setsid),
    CALL("processes", "a timer that signals", MUST, __NR_timer_create, 1, 0, P(scratch)),

    CALL("namespaces", "unshare user", MUST, __NR_unshare, CLONE_NEWUSER),
    CALL("namespaces", "unshare mount", MUST, __NR_unshare, CLONE_NEWNS),
    CALL("namespaces", "unshare pid", MUST, __NR_unshare, CLONE_NEWPID),
    CALL("namespaces", "unshare network", MUST, __NR_unshare, CLONE_NEWNET),
    CALL("namespaces", "unshare ipc", MUST, __NR_unshare, CLONE_NEWIPC),
    CALL("namespaces", "unshare uts", MUST, __NR_unshare, CLONE_NEWUTS),
    CALL("namespaces", "unshare cgroup", MUST, __NR_unshare, CLONE_NEWCGROUP),
    CALL("namespaces", "unshare time", HOST_HAS, __NR_unshare, 0x80),
    CALL("namespaces", "unshare files", MUST, __NR_unshare, CLONE_FILES | CLONE_FS),
    CALL("namespaces", "enter by each descriptor", MUST, __NR_setns, EACH, 0),
    CALL("namespaces", "open /proc/1/ns/net", MUST, __NR_open, P("/proc/1/ns/net"), O_RDONLY),
    DEED("namespaces", "clone into each kind", MUST, 0, deed_clone_namespaces),
    DEED("namespaces", "clone3 into each kind", MUST, 0, deed_clone3_namespaces),

    CALL("mounts", "mount a tmpfs", MUST, __NR_mount, P("x"), ROOT, P("tmpfs"), 0, 0),
    CALL("mounts", "mount proc", MUST, __NR_mount, P("x"), ROOT, P("proc"), 0, 0),
    CALL("mounts", "bind-mount", MUST, __NR_mount, ROOT, ROOT, 0, MS_BIND, 0),
    CALL("mounts", "remount / writable", MUST, __NR_mount, 0, ROOT, 0, MS_REMOUNT, 0),
    CALL("mounts", "make / shared", MUST, __NR_mount, 0, ROOT, 0, MS_SHARED, 0),
    PAST("mounts", "unmount /", MUST, EBUSY, __NR_umount2, ROOT, 0),
    PAST("mounts", "pivot_root", MUST, EBUSY, __NR_pivot_root, P("."), P(".")),
    CALL("mounts", "chroot", MUST, __NR_chroot, ROOT),
    CALL("mounts", "fsopen", MUST, __NR_fsopen, P("tmpfs"), 0),
    CALL("mounts", "fspick", MUST, __NR_fspick, HERE, ROOT, 0),
    CALL("mounts", "open_tree", MUST, __NR_open_tree, HERE, ROOT, 1),
    PAST("mounts", "move_mount", MUST, ELOOP, __NR_move_mount, HERE, ROOT, HERE, ROOT, 0),
    CALL("mounts", "mount_setattr", MUST, __NR_mount_setattr, HERE, ROOT, 0, BOTH(no_change)),
    CALL("mounts", "listmount", HOST_HAS, LISTMOUNT, P(list_all), P(words), 1, 0),
    PAST("mounts", "swapon", MUST, EINVAL, __NR_swapon, P("/etc/passwd"), 0),
    PAST("mounts", "swapoff", MUST, EINVAL, __NR_swapoff, P("/etc/passwd")),
    PAST("mounts", "quotactl", HOST_HAS, 0, __NR_quotactl, QUOTA_SYNC, 0, 0, 0),

    CALL("programs", "execve", MUST, __NR_execve, P("/program"), P(words), P(words)),
    CALL("programs", "execveat", MUST, __NR_execveat, HERE, P("/program"), P(words), P(words), 0),
    CALL("programs", "execute each descriptor", MUST, __NR_execveat, EACH, P(""), P(words), P(words), AT_EMPTY_PATH),
    DEED("programs", "execute a memory file", MUST, 0, deed_execute_memory_file),
    {"programs", "execute guest memory", MUST, 0, 1 << ROLE_MONITOR | 1 << ROLE_DEVICE, {0}, deed_execute_guest_memory},
};

const struct attempts attempts_outside = {list, sizeof(list) / sizeof(list[0])};
