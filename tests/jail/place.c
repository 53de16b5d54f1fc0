/* See place.h. */
#include "tests/jail/place.h"

#include "monitor/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FIRST_EXTRA = 20,
	SECONDS = 60, /* even beside others */
	EXIT_FAILED = 3,
	EXIT_LACKS = 4,
	KVM_MINOR = 232,
	VM_AT = 50,
	VCPU_AT = 51,
	OTHER_VCPU_AT = 52,
	FIRST_FREE = 64,
	ERRORS = 100
};

static int *answer; /* shared with the attempt's process */

_Noreturn void place_fail(const char *what)
{
	dprintf(fcntl(ERRORS, F_GETFD) >= 0 ? ERRORS : STDERR_FILENO, "place: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FAILED);
}

_Noreturn void place_lacks(void)
{
	_exit(EXIT_LACKS);
}

static void need(bool done, const char *what)
{
	if (!done)
		place_fail(what);
}

static int opened(int descriptor, const char *what)
{
	need(descriptor >= 0, what);
	return descriptor;
}

/* ---- network ---- */

static void set_address(int by, const char *name, uint32_t address)
{
	struct ifreq request = {0};
	struct sockaddr_in *own = (struct sockaddr_in *)(void *)&request.ifr_addr;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	own->sin_family = AF_INET;
	own->sin_addr.s_addr = htonl(address);
	need(ioctl(by, SIOCSIFADDR, &request) == 0, "loopback's address");
	request.ifr_flags = IFF_UP;
	need(ioctl(by, SIOCSIFFLAGS, &request) == 0, "loopback up");
}

static void make_network(void)
{
	int by = opened(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	set_address(by, "lo", INADDR_LOOPBACK);
	set_address(by, "lo:1", 0xa9fea9fe);
	close(by);
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0" PROBER_ABSTRACT};
	int listens = opened(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(PROBER_ABSTRACT));
	need(bind(listens, (const struct sockaddr *)&address, size) == 0 && listen(listens, SOMAXCONN) == 0,
	     "abstract socket");
}

void place_make(void)
{
	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(answer != MAP_FAILED, "shared page");
	need(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) == 0,
	     "namespaces");
	need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
	pid_t first = fork();
	need(first >= 0, "fork");
	if (first > 0) {
		int status;
		while (waitpid(first, &status, 0) < 0 && errno == EINTR)
			continue;
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(setsid() > 0, "session");
	make_network();
}

bool place_has_kvm(void)
{
	return access("/dev/kvm", R_OK | W_OK) == 0;
}

/* ---- files ---- */

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
	int file = opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode), path);
	need(write(file, bytes, size) == (ssize_t)size && fchmod(file, mode) == 0 && close(file) == 0, path);
}

static void make_device(const char *path, unsigned major_number, unsigned minor_number)
{
	need(mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number)) == 0, path);
}

static void make_root(void)
{
	static const char *const folders[] = {"proc", "sys", "dev", "dev/pts", "dev/net", "etc", "empty", "files"};
	umask(0);
	need(unshare(CLONE_NEWNS) == 0 && mount("place", "/tmp", "tmpfs", 0, "mode=0755") == 0 && chdir("/tmp") == 0,
	     "root");
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		need(mkdir(folders[i], 0755) == 0, folders[i]);
	need(mount("proc", "proc", "proc", 0, NULL) == 0, "proc");
	need(mount("sysfs", "sys", "sysfs", 0, NULL) == 0, "sysfs");
	if (mount("cgroup", "sys/fs/cgroup", "cgroup2", 0, NULL) != 0)
		need(mount("cgroup", "sys/fs/cgroup", "tmpfs", 0, NULL) == 0, "cgroup");
	need(mount("devpts", "dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0, "devpts");
	need(symlink("pts/ptmx", "dev/ptmx") == 0, "ptmx");
	make_device("dev/null", 1, 3);
	make_device("dev/mem", 1, 1);
	make_device("dev/tty", 5, 0);
	make_device("dev/net/tun", 10, 200);
	make_device("dev/kvm", 10, KVM_MINOR);
	write_file("etc/passwd", "root\n", 5, 0600);
	write_file("program", prober_program, prober_program_size, 0755);
	need(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot_root");
}

/* ---- descriptors ---- */

/* Out of the way of the numbers that are given out. */
static int high(int descriptor, const char *what)
{
	int far = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD, FIRST_FREE);
	need(far >= 0 && close(descriptor) == 0, what);
	return far;
}

static void put(int descriptor, int number)
{
	need(dup2(descriptor, number) == number && close(descriptor) == 0, "dup2");
}

static int make_listener(void)
{
	const struct sockaddr unnamed = {.sa_family = AF_UNIX};
	int listens = opened(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
	need(bind(listens, &unnamed, sizeof(unnamed.sa_family)) == 0 && listen(listens, 1) == 0, "listen");
	return listens;
}

static int make_file(void)
{
	int file = opened(open("/files", O_RDWR | O_TMPFILE, 0600), "file");
	need(ftruncate(file, PLACE_FILE_SIZE) == 0, "file");
	return file;
}

static int make_terminal(int *other)
{
	int zero = 0;
	*other = high(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), "ptmx");
	need(ioctl(*other, TIOCSPTLCK, &zero) == 0, "unlock");
	return ioctl(*other, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
}

/* Where the administrator lets root have one. */
static int make_ring(void)
{
	static uint32_t parameters[30];
	int ring = (int)syscall(SYS_io_uring_setup, 1, parameters);
	return ring < 0 ? dup(FD_PLAN) : ring;
}

static bool wants_tap; /* which is seen on the host while it is there */

/* Where the host has the driver. */
static int make_tap(void)
{
	struct ifreq request = {.ifr_name = "cfprobe%d", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int tap = wants_tap ? open("/dev/net/tun", O_RDWR | O_NONBLOCK) : -1;
	return tap >= 0 && ioctl(tap, TUNSETIFF, &request) == 0 ? tap : dup(FD_PLAN);
}

/* One of each kind that an attempt on EACH wants, at numbers that no role has. */
static void make_extras(int victim)
{
	int pipes[2], other, terminal = high(make_terminal(&other), "terminal");
	need(pipe2(pipes, O_NONBLOCK) == 0 && write(pipes[1], "x", 1) == 1, "pipe");
	const int made[] = {
	    high(pipes[0], "pipe"),
	    high(pipes[1], "pipe"),
	    high(open("/", O_RDONLY | O_DIRECTORY), "/"),
	    high(open("/proc/1/ns/net", O_RDONLY), "namespace"),
	    high((int)syscall(SYS_pidfd_open, victim, 0), "pidfd"),
	    high(open("/program", O_RDONLY), "program"),
	    high(open("/files/log", O_RDWR | O_CREAT | O_APPEND, 0600), "log"),
	    high(make_file(), "file"),
	    high(make_file(), "file"),
	    high(memfd_create("sealable", MFD_ALLOW_SEALING), "memfd"),
	    high(inotify_init1(IN_NONBLOCK), "inotify"),
	    high(make_listener(), "listener"),
	    high(make_ring(), "ring"),
	    high(make_tap(), "tap"),
	    terminal,
	    other,
	};
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		put(made[i], FIRST_EXTRA + (int)i);
}

static void make_vm(struct prober *prober)
{
	int kvm = open("/dev/kvm", O_RDWR);
	if (kvm < 0)
		return;
	put(high(kvm, "KVM"), prober->role == ROLE_MONITOR ? MONITOR_FD_KVM : MONITOR_FD_RAM);
	put(high(ioctl(prober->role == ROLE_MONITOR ? MONITOR_FD_KVM : MONITOR_FD_RAM, KVM_CREATE_VM, 0), "VM"), VM_AT);
	need(ioctl(VM_AT, KVM_CREATE_IRQCHIP, 0) == 0, "irqchip");
	put(high(ioctl(VM_AT, KVM_CREATE_VCPU, 0), "vCPU"), VCPU_AT);
	put(high(ioctl(VM_AT, KVM_CREATE_VCPU, 1), "vCPU"), OTHER_VCPU_AT);
	struct kvm_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, OTHER_VCPU_AT, 0);
	need(run != MAP_FAILED, "vCPU");
	run->immediate_exit = 1;
	prober->vm = VM_AT;
	prober->vcpu = VCPU_AT;
	prober->other = OTHER_VCPU_AT;
}

static void make_descriptors(struct prober *prober)
{
	int pair[2], ram = memfd_create("ram", MFD_ALLOW_SEALING);
	need(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, ERRORS) == ERRORS, "standard error");
	need(ftruncate(ram, 4096) == 0, "ram");
	prober->ram = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	need(prober->ram != MAP_FAILED, "ram");
	ram = high(ram, "ram");
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0, "channel");
	pair[0] = high(pair[0], "channel");
	pair[1] = high(pair[1], "channel");
	syscall(SYS_close_range, 0U, FIRST_FREE - 1U, 0);
	put(pair[0], FD_CHANNEL);
	for (int i = FD_PLAN; i < FIRST_EXTRA; i++)
		need(open("/dev/null", O_RDWR) == i, "/dev/null");
	need(dup2(ram, prober->role == ROLE_MONITOR ? MONITOR_FD_RAM : DEVICE_FD_RAM) >= 0, "ram");
	prober->holds = (UINT64_C(1) << FIRST_EXTRA) - 1;
	make_extras(prober->victim);
	make_vm(prober);
}

/* ---- the attempt ---- */

static int make_victim(void)
{
	pid_t victim = fork();
	if (victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		for (;;)
			pause();
	}
	return victim;
}

static void take(void (*part)(struct prober *prober), struct prober *prober)
{
	if (part != NULL)
		part(prober);
}

/* What no device is to try is tried as the monitor. */
static bool is_the_monitors(const struct attempt *attempt)
{
	return !attempt_is_for(attempt, &(struct prober){.role = ROLE_DEVICE, .kind = KINDS}) &&
	       attempt_is_for(attempt, &(struct prober){.role = ROLE_MONITOR});
}

static _Noreturn void attempt_here(const struct attempt *attempt, const struct place_step *step, bool layer, int victim)
{
	const bool monitor = is_the_monitors(attempt);
	struct prober prober = {
	    .role = monitor ? ROLE_MONITOR : ROLE_DEVICE, .victim = victim, .vm = -1, .vcpu = -1, .other = -1};
	wants_tap = strcmp(attempt->class, "taps") == 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(SECONDS);
	make_root();
	make_descriptors(&prober);
	trap_install();
	take(step->before, &prober);
	take(layer ? step->layer : step->without, &prober);
	take(step->after, &prober);
	*answer = attempt_make(attempt, &prober);
	syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

int place_attempt(const struct attempt *attempt, const struct place_step *step, bool layer)
{
	int status;
	*answer = PLACE_BROKEN; /* before there is anybody to give one */
	pid_t victim = make_victim(), child = fork();
	if (child == 0)
		attempt_here(attempt, step, layer, victim);
	need(victim > 0 && child > 0 && waitpid(child, &status, 0) == child, "fork");
	kill(victim, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0 || waitpid(victim, NULL, 0) == victim) /* the victim, and orphans */
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PROBER_EXECUTED)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LACKS)
		return PLACE_NO_LAYER;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PLACE_EXIT_REFUSED)
		return EPERM;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return *answer;
	dprintf(STDERR_FILENO, "place: %s: %s: its process %s %d\n", attempt->class, attempt->name,
		WIFEXITED(status) ? "ended with" : "was ended by signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return PLACE_BROKEN;
}
