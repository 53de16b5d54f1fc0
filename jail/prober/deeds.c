/* Attempts of more than one system call. Each goes on after a refusal as far as it makes sense, and answers as a system
 * call does.
 */
#include "jail/prober/attempts.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	PAGE = 4096,
	BALLOON_PIECE = 2 << 20,
	NUMBERS_TO_POLL = 4096,
	METADATA = 0xa9fea9fe /* 169.254.169.254 */,
	EXECUTABLE_SEGMENT = 0100000
};

/* clang-format off */
const uint8_t prober_program[] = {
    0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,  /* 64 bits, little end first */
    2, 0, 0x3e, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0,  /* executable, x86-64, entry at 0x400078 */
    0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,        /* program header at 0x40 */
    0, 0, 0, 0, 0x40, 0, 0x38, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,           /* load, read and execute, all of the file … */
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,        /* … at 0x400000 */
    0x84, 0, 0, 0, 0, 0, 0, 0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
    0xb8, 0xe7, 0, 0, 0,            /* mov $231, %eax: exit_group */
    0xbf, PROBER_EXECUTED, 0, 0, 0, /* mov …, %edi */
    0x0f, 0x05,                     /* syscall */
};
/* clang-format on */
const size_t prober_program_size = sizeof(prober_program);

/* ---- descriptors ---- */

/* What poll answers for a number: the one call that every role has and that tells open ones from closed. */
static long is_open(const struct prober *prober, int number)
{
	struct pollfd polled[5] = {{.fd = number}, {.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
	const struct timespec now = {0};
	long count = prober->role >= ROLE_DEVICE ? 5 : prober->role == ROLE_AUDITOR ? 2 : 1;
	long result = TRY(__NR_ppoll, AS_LONG(polled), count, AS_LONG(&now), 0);
	return result < 0 ? result : (polled[0].revents & POLLNVAL) == 0;
}

/* The answer is EBADF when only what the role holds is open. */
long deed_poll_all(const struct prober *prober)
{
	for (int i = 0; i < NUMBERS_TO_POLL; i++) {
		long open = is_open(prober, i);
		if (open < 0)
			return open;
		if (open > 0 && (i >= PROBER_NUMBERS || (prober->holds & UINT64_C(1) << i) == 0))
			return i;
	}
	return -EBADF;
}

/* ---- network ---- */

static long reach(int type, uint32_t address)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(address)};
	long reached = TRY(__NR_socket, AF_INET, type, 0);
	return reached < 0 ? reached : TRY(__NR_connect, reached, AS_LONG(&to), sizeof(to));
}

long deed_connect_loopback(const struct prober *prober)
{
	(void)prober;
	return reach(SOCK_STREAM, INADDR_LOOPBACK);
}

long deed_connect_loopback_datagram(const struct prober *prober)
{
	(void)prober;
	return reach(SOCK_DGRAM, INADDR_LOOPBACK);
}

long deed_connect_metadata(const struct prober *prober)
{
	(void)prober;
	return reach(SOCK_STREAM, METADATA);
}

long deed_connect_metadata_datagram(const struct prober *prober)
{
	(void)prober;
	return reach(SOCK_DGRAM, METADATA);
}

static long with_abstract(long call, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, name, strlen(name));
	long own = TRY(__NR_socket, AF_UNIX, SOCK_STREAM, 0);
	return own < 0 ? own
		       : TRY(call, own, AS_LONG(&address),
			     (long)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

long deed_connect_abstract(const struct prober *prober)
{
	(void)prober;
	return with_abstract(__NR_connect, PROBER_ABSTRACT);
}

long deed_bind_abstract(const struct prober *prober)
{
	(void)prober;
	return with_abstract(__NR_bind, "cofferdam-prober-own");
}

long deed_other_families(const struct prober *prober)
{
	long answer = -PROBER_TRAPPED;
	(void)prober;
	for (int family = 0; family < AF_MAX; family++)
		for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
			long result = TRY(__NR_socket, family, type, 0);
			if (result >= 0)
				return result;
			answer = result == -PROBER_TRAPPED ? answer : result;
		}
	return answer;
}

static long send_descriptor(long by, long flags)
{
	char byte = 0;
	struct iovec piece = {&byte, 1};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	const int sent = FD_ROLE;
	struct msghdr message = {
	    .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	memcpy(CMSG_DATA(&control.header), &sent, sizeof(sent));
	return TRY(__NR_sendmsg, by, AS_LONG(&message), flags);
}

long deed_send_descriptor(const struct prober *prober)
{
	(void)prober;
	return send_descriptor(FD_CHANNEL, MSG_NOSIGNAL);
}

/* A vsock's process has a channel to the launcher, and one connection after the other. */
long deed_send_descriptor_by_each(const struct prober *prober)
{
	long answer = -PROBER_TRAPPED;
	(void)prober;
	for (int i = 0; i < PROBER_NUMBERS; i++) {
		long result = send_descriptor(i, MSG_NOSIGNAL);
		if (result >= 0)
			return result;
		answer = result == -PROBER_TRAPPED ? answer : result;
	}
	return answer;
}

/* ---- guest memory ---- */

/* What a balloon's process may do, and it alone. */
long deed_give_back(const struct prober *prober)
{
	return TRY(__NR_madvise, AS_LONG(prober->ram), PAGE, MADV_REMOVE);
}

/* More than a balloon's process may at once. Of pages that cannot be given back, so that a hole does no harm: that they
   cannot, the kernel says when it has been let through. */
long deed_give_back_more(const struct prober *prober)
{
	uintptr_t code = (uintptr_t)&deed_give_back_more & ~(uintptr_t)(PAGE - 1);
	(void)prober;
	long result = TRY(__NR_madvise, (long)code, BALLOON_PIECE + PAGE, MADV_REMOVE);
	return result == -PROBER_TRAPPED ? result : 0;
}

long deed_dump_guest_memory(const struct prober *prober)
{
	return TRY(__NR_madvise, AS_LONG(prober->ram), PAGE, MADV_DODUMP);
}

/* ---- files ---- */

long deed_open_by_handle(const struct prober *prober)
{
	struct {
		uint32_t size, type;
		uint8_t bytes[120];
	} handle = {.size = sizeof(handle.bytes)};
	int mount;
	(void)prober;
	long named = TRY(__NR_name_to_handle_at, AT_FDCWD, AS_LONG("/"), AS_LONG(&handle), AS_LONG(&mount), 0);
	long opened = TRY(__NR_open_by_handle_at, AT_FDCWD, AS_LONG(&handle), O_RDONLY);
	return named < 0 && opened == -PROBER_TRAPPED ? named : opened;
}

long deed_become_file_root(const struct prober *prober)
{
	(void)prober;
	long before = TRY(__NR_setfsuid, 0);
	if (before < 0)
		return before;
	return TRY(__NR_setfsuid, -1) == 0 ? 0 : -EPERM;
}

/* ---- tasks ---- */

#define SPAWN(...) try_spawn((const long[7]){__VA_ARGS__})

static long clone3_with(uint64_t flags)
{
	const struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
	return SPAWN(__NR_clone3, AS_LONG(&arguments), sizeof(arguments));
}

long deed_fork(const struct prober *prober)
{
	(void)prober;
	return SPAWN(__NR_fork);
}

long deed_vfork(const struct prober *prober)
{
	(void)prober;
	return SPAWN(__NR_vfork);
}

long deed_clone(const struct prober *prober)
{
	(void)prober;
	return SPAWN(__NR_clone, SIGCHLD);
}

long deed_clone3(const struct prober *prober)
{
	(void)prober;
	return clone3_with(0);
}

long deed_thread(const struct prober *prober)
{
	(void)prober;
	return SPAWN(__NR_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0, 1);
}

long deed_share_memory(const struct prober *prober)
{
	(void)prober;
	return SPAWN(__NR_clone, CLONE_VM | CLONE_FILES | SIGCHLD);
}

static const unsigned namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
				      CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWUSER | CLONE_NEWNET};
enum { NAMESPACES = sizeof(namespaces) / sizeof(namespaces[0]) };

static long each_namespace(bool by_clone3)
{
	long answer = -PROBER_TRAPPED;
	for (int i = 0; i < NAMESPACES; i++) {
		long result =
		    by_clone3 ? clone3_with(namespaces[i]) : SPAWN(__NR_clone, (long)(namespaces[i] | SIGCHLD));
		if (result >= 0)
			return result;
		answer = result == -PROBER_TRAPPED ? answer : result;
	}
	return answer;
}

long deed_clone_namespaces(const struct prober *prober)
{
	(void)prober;
	return each_namespace(false);
}

long deed_clone3_namespaces(const struct prober *prober)
{
	(void)prober;
	return each_namespace(true);
}

/* ---- code ---- */

static long execute(long descriptor)
{
	static const char *const nothing[] = {NULL};
	return TRY(__NR_execveat, descriptor, AS_LONG(""), AS_LONG(nothing), AS_LONG(nothing), AT_EMPTY_PATH);
}

long deed_execute_memory_file(const struct prober *prober)
{
	(void)prober;
	long file = TRY(__NR_memfd_create, AS_LONG("program"), 1 /* MFD_CLOEXEC */);
	if (file < 0)
		return file;
	long written = TRY(__NR_write, file, AS_LONG(prober_program), (long)prober_program_size);
	return written < 0 ? written : execute(file);
}

/* What a guest may put into its memory: no call is needed for that. */
long deed_execute_guest_memory(const struct prober *prober)
{
	if (prober->ram != NULL)
		memcpy(prober->ram, prober_program, prober_program_size);
	return execute(prober->role == ROLE_MONITOR ? MONITOR_FD_RAM : DEVICE_FD_RAM);
}

long deed_make_code_writable(const struct prober *prober)
{
	(void)prober;
	uintptr_t code = (uintptr_t)&deed_make_code_writable & ~(uintptr_t)(PAGE - 1);
	return TRY(__NR_mprotect, (long)code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

long deed_attach_executable_segment(const struct prober *prober)
{
	(void)prober;
	long segment = TRY(__NR_shmget, IPC_PRIVATE, PAGE, 0700);
	return segment < 0 ? segment : TRY(__NR_shmat, segment, 0, EXECUTABLE_SEGMENT);
}

/* ---- calls of other architectures ---- */

static long deed_old_call(const struct prober *prober)
{
	long result = 20; /* getpid there */
	(void)prober;
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static const struct attempt list[] = {
    {"architecture", "a 32-bit system call", HOST_HAS, 0, 0, {0}, deed_old_call},
    {"architecture", "an x32 system call", HOST_HAS, 0, 0, {0x40000000 + __NR_getpid}, NULL},
};

const struct attempts attempts_fatal = {list, sizeof(list) / sizeof(list[0])};
