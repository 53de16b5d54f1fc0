/* Promises of jail/inside/verify.c: a program that was started with one piece of the launcher's work left out notices,
 * and says which layer is missing.
 *
 * A jail of the same kind is built here by hand, so that each piece can be left out. Needs root.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum piece {
	NOTHING,
	ROOT,          /* the host's root stays */
	ROOT_EMPTY,    /* a file lies in it */
	ROOT_READONLY, /* it can be written */
	ROOT_NOSUID,
	ROOT_NODEV,
	ROOT_NOEXEC,
	PID_NAMESPACE,
	UTS_NAMESPACE,
	NET_NAMESPACE, /* a loopback that is up stands for the host's network */
	USER_NAMESPACES_FORBIDDEN,
	GROUPS,
	ROLE_UID,
	ROLE_GID,
	REAL_UID,
	BOUNDING_SET,
	SECURE_BITS_SET,
	SECURE_BITS_LOCKED,
	INHERITABLE,
};

static const struct {
	enum piece left_out;
	uint64_t layer; /* 0: nothing is missing */
} cases[] = {
    {NOTHING, 0},
    {ROOT, LAYER_ROOT},
    {ROOT_EMPTY, LAYER_ROOT},
    {ROOT_READONLY, LAYER_ROOT},
    {ROOT_NOSUID, LAYER_ROOT},
    {ROOT_NODEV, LAYER_ROOT},
    {ROOT_NOEXEC, LAYER_ROOT},
    {PID_NAMESPACE, LAYER_NAMESPACES},
    {UTS_NAMESPACE, LAYER_NAMESPACES},
    {NET_NAMESPACE, LAYER_NAMESPACES},
    {USER_NAMESPACES_FORBIDDEN, LAYER_NAMESPACES},
    {GROUPS, LAYER_IDS},
    {ROLE_UID, LAYER_IDS},
    {ROLE_GID, LAYER_IDS},
    {REAL_UID, LAYER_IDS},
    {BOUNDING_SET, LAYER_CAPABILITIES},
    {SECURE_BITS_SET, LAYER_CAPABILITIES},
    {SECURE_BITS_LOCKED, LAYER_CAPABILITIES},
    {INHERITABLE, LAYER_CAPABILITIES},
};

enum { STEP_FAILED = 77 };

static struct fake_vm vm;

static void must(bool done)
{
	if (!done)
		_exit(STEP_FAILED);
}

static void put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	must(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
	close(file);
}

static void raise_loopback(void)
{
	int probe = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq_with_flags {
		char name[16];
		short flags;
		char rest[24];
	} request = {.name = "lo", .flags = 1 /* IFF_UP */};
	must(ioctl(probe, 0x8914 /* SIOCSIFFLAGS */, &request) == 0);
	close(probe);
}

static unsigned long root_flags(enum piece left_out)
{
	const unsigned long all = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	switch (left_out) {
	case ROOT_READONLY:
		return all & ~(unsigned long)MS_RDONLY;
	case ROOT_NOSUID:
		return all & ~(unsigned long)MS_NOSUID;
	case ROOT_NODEV:
		return all & ~(unsigned long)MS_NODEV;
	case ROOT_NOEXEC:
		return all & ~(unsigned long)MS_NOEXEC;
	default:
		return all;
	}
}

static void make_root(enum piece left_out)
{
	must(mount("test", "/proc", "tmpfs", 0, "mode=0777") == 0 && chdir("/proc") == 0);
	if (left_out == ROOT_EMPTY)
		must(mkdir("something", 0755) == 0);
	must(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0);
	must(mount(NULL, "/", NULL, MS_REMOUNT | root_flags(left_out), NULL) == 0);
}

static unsigned long secure_bits(enum piece left_out)
{
	switch (left_out) {
	case SECURE_BITS_SET:
		return 0;
	case SECURE_BITS_LOCKED:
		return SECURE_BITS & ~SECURE_ALL_LOCKS;
	default:
		return SECURE_BITS;
	}
}

static void drop(enum piece left_out)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {{0}, {0}};
	const gid_t one = 7;
	must(setgroups(left_out == GROUPS ? 1 : 0, &one) == 0);
	must(prctl(PR_SET_SECUREBITS, secure_bits(left_out)) == 0);
	if (left_out == INHERITABLE) {
		must(syscall(SYS_capget, &header, sets) == 0);
		sets[0].inheritable = 1 << CAP_CHOWN;
		must(syscall(SYS_capset, &header, sets) == 0);
	}
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (left_out != BOUNDING_SET || i != CAP_SYS_CHROOT)
			must(prctl(PR_CAPBSET_DROP, i) == 0);
	uid_t uid = left_out == ROLE_UID ? ROLE_DEVICE + 1 : ROLE_DEVICE;
	gid_t gid = left_out == ROLE_GID ? ROLE_DEVICE + 1 : ROLE_DEVICE;
	must(setresgid(gid, gid, gid) == 0);
	must(setresuid(left_out == REAL_UID ? ROLE_DEVICE + 2 : uid, uid, uid) == 0);
	if (left_out == INHERITABLE)
		return;
	memset(sets, 0, sizeof(sets));
	must(syscall(SYS_capset, &header, sets) == 0);
}

static void place(const struct jail_program *device)
{
	for (unsigned i = 0; i < device->count; i++)
		must(dup2(device->descriptors[i], (int)(500 + i)) >= 0);
	must(dup3(device->program, 400, O_CLOEXEC) >= 0);
	for (unsigned i = 0; i < device->count; i++)
		must(dup2((int)(500 + i), (int)i) >= 0);
	must(syscall(SYS_close_range, device->count, 399U, 0) == 0 && syscall(SYS_close_range, 401U, ~0U, 0) == 0);
}

static _Noreturn void become_program(enum piece left_out, int mapped)
{
	char name[] = "hold", role[] = "4", byte;
	char *const arguments[] = {name, role, NULL}, *const environment[] = {NULL};
	must(read(mapped, &byte, 1) == 1);
	must(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
	if (left_out != USER_NAMESPACES_FORBIDDEN)
		put("/proc/sys/user/max_user_namespaces", "0");
	if (left_out != UTS_NAMESPACE)
		must(sethostname("cofferdam", 9) == 0);
	if (left_out == NET_NAMESPACE)
		raise_loopback();
	if (left_out != ROOT)
		make_root(left_out);
	place(&vm.programs[FAKE_DEVICE]);
	drop(left_out);
	syscall(SYS_execveat, 400, "", arguments, environment, AT_EMPTY_PATH);
	_exit(STEP_FAILED);
}

static void write_maps(pid_t pid)
{
	static const char *const files[] = {"uid_map", "gid_map"};
	for (int i = 0; i < 2; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		put(path, "0 500000 32");
	}
}

/* Stands between the test and the program. Its first child stands in for PID 1 and goes with it, so that the program is
   a later one, with a parent that it cannot see. Ends as the program does. */
static _Noreturn void parent_of_program(enum piece left_out)
{
	const unsigned long namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
	int mapped[2], status;
	must(pipe(mapped) == 0);
	must(left_out == PID_NAMESPACE || unshare(CLONE_NEWPID) == 0);
	pid_t first = fork();
	if (first == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(vm.descriptors[FAKE_DEVICE][FD_CHANNEL]);
		for (;;)
			pause();
	}
	pid_t pid = (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		become_program(left_out, mapped[0]);
	close(vm.descriptors[FAKE_DEVICE][FD_CHANNEL]);
	must(first > 0 && pid > 0);
	write_maps(pid);
	must(write(mapped[1], "m", 1) == 1);
	must(waitpid(pid, &status, 0) == pid);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : STEP_FAILED);
}

START_TEST(what_is_left_out_is_noticed)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	pid_t parent = fork();
	if (parent == 0)
		parent_of_program(cases[_i].left_out);
	close(vm.descriptors[FAKE_DEVICE][FD_CHANNEL]);
	struct message message = fake_vm_hear(&vm, FAKE_DEVICE);
	if (cases[_i].layer == 0) {
		ck_assert_uint_eq(message.type, MESSAGE_LOCKED);
	} else {
		int status;
		ck_assert_uint_eq(message.type, MESSAGE_FAILED);
		ck_assert_uint_eq(message.code, FAILURE_JAIL);
		ck_assert_uint_eq(message.value[0], cases[_i].layer);
		ck_assert_int_eq(waitpid(parent, &status, 0), parent);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 125);
	}
	kill(parent, SIGKILL);
	fake_vm_end(&vm);
}
END_TEST

int main(void)
{
	TCase *jail = tcase_create("verify");
	tcase_set_timeout(jail, 20);
	tcase_add_loop_test(jail, what_is_left_out_is_noticed, 0, sizeof(cases) / sizeof(cases[0]));
	Suite *suite = suite_create("jail/inside: verification");
	suite_add_tcase(suite, jail);
	return run_suite(suite);
}
