/* Each layer is proved by an attempt to undo it.
 *
 * Runs before the filter, which would kill the attempt. Every attempt is a raw system call: the C libraries' wrappers
 * for ids visit all threads first. An attempt that succeeds ends the program, so nothing here needs putting back.
 */
#include "jail/descriptors.h"
#include "jail/inside/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
	DESCRIPTORS_SEEN = 512,
	DESCRIPTORS_ASKED = 64, /* at a time: more would be a page of the stack that nothing else needs */
	CAPABILITIES_MAX = 64,
	TMPFS_MAGIC_NUMBER = 0x01021994,
	LANDLOCK_WITH_NETWORK = 4,
	LANDLOCK_WITH_SCOPE = 6,
	REGISTERS_SIZE = 4096, /* devices/transport.h */
};

/* Whether the call fails, and with one of the two errors given. */
static bool refused(long result, int error, int or_error)
{
	return result == -1 && (errno == error || errno == or_error);
}

/* One poll tells of so many numbers which are open. */
static void verify_some_descriptors(unsigned first, unsigned given)
{
	struct pollfd numbers[DESCRIPTORS_ASKED];
	for (unsigned i = 0; i < DESCRIPTORS_ASKED; i++)
		numbers[i] = (struct pollfd){.fd = (int)(first + i)};
	inside_require(poll(numbers, DESCRIPTORS_ASKED, 0) >= 0, LAYER_DESCRIPTORS);
	errno = 0;
	for (unsigned i = 0; i < DESCRIPTORS_ASKED; i++) {
		unsigned number = first + i;
		bool open = !(numbers[i].revents & POLLNVAL);
		bool wanted = number == FD_CHANNEL || number == FD_FILTERS || (number >= FD_ROLE && number < given);
		if (open != wanted)
			lockdown_fail(FAILURE_DESCRIPTORS, open ? EEXIST : EBADF, number);
	}
}

/* Those that are higher are closed unseen. */
void verify_descriptors(unsigned role, const struct plan *plan)
{
	unsigned given = descriptors_given(role, plan);
	_Static_assert(DESCRIPTORS_SEEN % DESCRIPTORS_ASKED == 0, "all of them are asked for");
	for (unsigned i = 0; i < DESCRIPTORS_SEEN; i += DESCRIPTORS_ASKED)
		verify_some_descriptors(i, given);
	inside_require(syscall(SYS_close_range, DESCRIPTORS_SEEN, ~0U, 0) == 0, LAYER_DESCRIPTORS);
}

/* The plan can only be read, the report is written to, and the launcher makes all others as it makes these. An owner,
   which every process is where there is a single uid, could change an unsealed one's mode. */
bool verify_exec_seals(void)
{
	static const int files[] = {FD_PLAN, FD_REPORT};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int seals = fcntl(files[i], F_GET_SEALS);
		if (seals < 0 || !(seals & SEAL_EXEC))
			return false;
		inside_require(refused(fchmod(files[i], 0700), EPERM, EPERM), LAYER_MEMORY_FILES);
	}
	return true;
}

bool is_sealed(int descriptor, int seals)
{
	int held = fcntl(descriptor, F_GET_SEALS); /* -1: no memory file, and every bit */
	return held >= 0 && (held & seals) == seals;
}

static void verify_memory_file(unsigned number, uint64_t size, int seals)
{
	struct stat status;
	errno = 0;
	if (fstat((int)number, &status) != 0 || (uint64_t)status.st_size != size ||
	    !is_sealed((int)number, seals | SEALS_OF_SIZE))
		lockdown_fail(FAILURE_DESCRIPTORS, errno, number);
}

/* Others hold them too. One that could shrink would end whoever reaches where it was; an image that could be written
   need not be the one that was hashed. */
void verify_memory_files(unsigned role, const struct plan *plan)
{
	if (role == ROLE_MONITOR) {
		verify_memory_file(MONITOR_FD_RAM, plan->ram_size, 0);
		verify_memory_file(MONITOR_FD_KERNEL, plan->kernel_size, F_SEAL_WRITE);
		verify_memory_file(MONITOR_FD_INITRD, plan->initrd_size, F_SEAL_WRITE);
		for (unsigned i = 0; i < plan->device_count; i++)
			verify_memory_file(MONITOR_FD_DEVICE + i * MONITOR_FD_PER_DEVICE + MONITOR_FD_DEVICE_REGISTERS,
					   REGISTERS_SIZE, 0);
	} else if (role >= ROLE_DEVICE) {
		verify_memory_file(DEVICE_FD_RAM, plan->ram_size, 0);
		verify_memory_file(DEVICE_FD_REGISTERS, REGISTERS_SIZE, 0);
	}
}

static bool root_is_empty(void)
{
	uint64_t entries[64]; /* struct linux_dirent64: ino, off, reclen, type, name */
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long size = root < 0 ? -1 : syscall(SYS_getdents64, root, entries, sizeof(entries));
	if (root >= 0)
		close(root);
	/* "." and "..": 24 bytes each */
	return size == 48;
}

void verify_root(void)
{
	const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	struct statfs root;
	inside_require(statfs("/", &root) == 0, LAYER_ROOT);
	errno = 0;
	inside_require(root.f_type == TMPFS_MAGIC_NUMBER && ((unsigned long)root.f_flags & wanted) == wanted,
		       LAYER_ROOT);
	inside_require(root_is_empty(), LAYER_ROOT);
	inside_require(refused(syscall(SYS_mkdir, "/x", 0700), EROFS, EROFS), LAYER_ROOT);
	struct stat here = {0}, there = {0};
	inside_require(stat("..", &here) == 0 && stat("/", &there) == 0, LAYER_ROOT);
	errno = 0;
	inside_require(here.st_dev == there.st_dev && here.st_ino == there.st_ino, LAYER_ROOT);
	inside_require(refused(syscall(SYS_mount, NULL, "/", NULL, 0x20L /* MS_REMOUNT */, NULL), EPERM, EPERM),
		       LAYER_ROOT);
}

/* By their effects: PID 1 or a parent that cannot be seen, our host name, a network that leads nowhere, no right to
   make further ones. */
void verify_namespaces(unsigned role)
{
	bool first = role == ROLE_SUPERVISOR || role == ROLE_AUDITOR;
	errno = 0;
	inside_require((getpid() == 1) == first && getppid() == 0, LAYER_NAMESPACES);
	struct utsname name;
	inside_require(uname(&name) == 0 && strcmp(name.nodename, "cofferdam") == 0, LAYER_NAMESPACES);
	inside_require(refused(syscall(SYS_sethostname, "x", 1L), EPERM, EPERM), LAYER_NAMESPACES);
	inside_require(refused(syscall(SYS_unshare, CLONE_NEWUSER), ENOSPC, EPERM), LAYER_NAMESPACES);
	inside_require(refused(syscall(SYS_unshare, CLONE_NEWNET), EPERM, EPERM), LAYER_NAMESPACES);

	struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_port = htons(9)};
	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (probe < 0) { /* a kernel without IPv4 leads nowhere too */
		inside_require(errno == EAFNOSUPPORT, LAYER_NAMESPACES);
		return;
	}
	inside_require(
	    refused(connect(probe, (struct sockaddr *)&loopback, sizeof(loopback)), ENETUNREACH, ENETUNREACH),
	    LAYER_NAMESPACES);
	inside_require(close(probe) == 0, LAYER_NAMESPACES);
}

void verify_ids(unsigned role, const struct plan *plan)
{
	bool single = (plan->jail & PLAN_JAIL_SINGLE_ID) != 0;
	unsigned id = single ? SINGLE_ID : role;
	uid_t uid[3] = {0};
	gid_t gid[3] = {0};
	inside_require(getresuid(&uid[0], &uid[1], &uid[2]) == 0 && getresgid(&gid[0], &gid[1], &gid[2]) == 0,
		       LAYER_IDS);
	errno = 0;
	for (int i = 0; i < 3; i++)
		inside_require(uid[i] == id && gid[i] == id, LAYER_IDS);
	inside_require(single || getgroups(0, NULL) == 0, LAYER_IDS);
	/* EINVAL: with a single id no other exists. */
	inside_require(refused(syscall(SYS_setresuid, 0, 0, 0), EPERM, single ? EINVAL : EPERM), LAYER_IDS);
	inside_require(refused(syscall(SYS_setresgid, 0, 0, 0), EPERM, single ? EINVAL : EPERM), LAYER_IDS);
	inside_require(refused(syscall(SYS_setgroups, 0, NULL), EPERM, EPERM), LAYER_IDS);
}

void verify_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	inside_require(syscall(SYS_capget, &header, data) == 0, LAYER_CAPABILITIES);
	errno = 0;
	for (int i = 0; i < 2; i++)
		inside_require((data[i].effective | data[i].permitted | data[i].inheritable) == 0, LAYER_CAPABILITIES);
	for (int i = 0; i < CAPABILITIES_MAX; i++) {
		int held = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
		if (held < 0) /* past the kernel's last */
			break;
		inside_require(held == 0, LAYER_CAPABILITIES);
	}
	inside_require(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == SECURE_BITS, LAYER_CAPABILITIES);
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = UINT32_MAX;
	inside_require(refused(syscall(SYS_capset, &header, data), EPERM, EPERM), LAYER_CAPABILITIES);
}

void verify_not_dumpable(void)
{
	errno = 0;
	inside_require(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, LAYER_DUMPABLE);
}

void verify_no_new_privs(void)
{
	errno = 0;
	inside_require(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, LAYER_NO_NEW_PRIVS);
	inside_require(refused(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL, EINVAL), LAYER_NO_NEW_PRIVS);
}

/* An abstract socket, of a name that the kernel finds, which Landlock's scope must hide later. */
int verify_landlock_begin(void)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	int outside = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inside_require(outside >= 0, LAYER_LANDLOCK);
	inside_require(bind(outside, (const struct sockaddr *)&any, sizeof(any.sun_family)) == 0, LAYER_LANDLOCK);
	return outside;
}

static int try_address(int family, int type, const void *address, socklen_t size,
		       int (*how)(int, const struct sockaddr *, socklen_t))
{
	int probe = socket(family, type | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return errno;
	int result = how(probe, address, size) == 0 ? 0 : errno;
	close(probe);
	return result;
}

/* The root could be listed a moment ago; a TCP socket could be bound and an abstract one reached, were it not for the
   rules of later versions. */
void verify_landlock(long version, int outside)
{
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(9)};
	inside_require(refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES, EACCES), LAYER_LANDLOCK);
	if (version >= LANDLOCK_WITH_NETWORK) {
		errno = try_address(AF_INET, SOCK_STREAM, &any, sizeof(any), bind);
		inside_require(errno == EACCES || errno == EAFNOSUPPORT, LAYER_LANDLOCK);
		errno = try_address(AF_INET, SOCK_STREAM, &any, sizeof(any), connect);
		inside_require(errno == EACCES || errno == EAFNOSUPPORT, LAYER_LANDLOCK);
	}
	if (version >= LANDLOCK_WITH_SCOPE) {
		struct sockaddr_un name;
		socklen_t size = sizeof(name);
		inside_require(getsockname(outside, (struct sockaddr *)&name, &size) == 0, LAYER_LANDLOCK);
		errno = try_address(AF_UNIX, SOCK_DGRAM, &name, size, connect);
		inside_require(errno == EPERM, LAYER_LANDLOCK);
	}
	inside_require(close(outside) == 0, LAYER_LANDLOCK);
}

void verify_mdwe(void)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	inside_require(map == MAP_FAILED && (errno == EACCES || errno == EPERM), LAYER_MDWE);
	inside_require(refused(prctl(SET_MDWE, 0, 0, 0, 0), EPERM, EPERM), LAYER_MDWE);
}

void verify_speculation(void)
{
	static const unsigned long all[] = {PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* Where the processor does not have the flaw this may answer that it is done. */
		prctl(PR_SET_SPECULATION_CTRL, all[i], PR_SPEC_ENABLE, 0, 0);
		inside_require(speculation_is_off(all[i]), LAYER_SPECULATION);
	}
}

/* The stager took the cookie, and we were born with it. There is no call that gives one back. */
void verify_core(void)
{
	uint64_t cookie = 0;
	inside_require(prctl(SCHED_CORE, SCHED_CORE_GET, 0, 0 /* this thread */, &cookie) == 0, LAYER_CORE);
	errno = 0;
	inside_require(cookie != 0, LAYER_CORE);
}
