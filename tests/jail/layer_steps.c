/* Puts on one layer. What the launcher's side does is in static functions of two files, which are included for that. */
#include "tests/jail/layers.h"

#include "jail/inside/inside.h"
#define give_up stager_give_up
#include "jail/outside/stager.c"
#undef give_up
#define give_up child_give_up
#include "jail/outside/child.c"
#undef give_up

#include "policy/open.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { FIRST_HOST_ID = 500000, LANDLOCK_VERSION = 1, HIGH_NUMBER = 64 };

static struct staging staging;
static struct child child = {&staging, 0};

static const struct plan plan = {
    .magic = PLAN_MAGIC,
    .size = sizeof(plan),
    .name = "layers",
    .vcpus = 1,
    .device_count = 1,
    .ram_size = PLAN_RAM_MIN,
    .devices = {{.kind = DEVICE_DISK, .name = "disk", .as.disk = {.sectors = 8}}},
};

static void must(bool done, const char *what)
{
	if (!done)
		place_fail(what);
}

static void put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	must(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && close(file) == 0, path);
}

/* ---- namespaces ---- */

/* The maps are written from outside, as the launcher does. */
void layer_user_namespace(struct prober *prober)
{
	int apart[2], mapped[2];
	char byte = 0;
	(void)prober;
	must(pipe2(apart, O_CLOEXEC) == 0 && pipe2(mapped, O_CLOEXEC) == 0, "pipe");
	pid_t self = getpid(), writer = fork();
	if (writer == 0) {
		static const char *const files[] = {"uid_map", "gid_map"};
		must(read(apart[0], &byte, 1) == 1, "read");
		for (int i = 0; i < 2; i++) {
			char path[64], map[64];
			snprintf(path, sizeof(path), "/proc/%d/%s", (int)self, files[i]);
			snprintf(map, sizeof(map), "0 %d %d", (int)FIRST_HOST_ID, (int)ROLE_IDS);
			put(path, map);
		}
		_exit(0);
	}
	int status;
	must(writer > 0 && unshare(CLONE_NEWUSER) == 0 && write(apart[1], "", 1) == 1, "user namespace");
	must(waitpid(writer, &status, 0) == writer && status == 0, "maps");
	must(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "id 0");
	for (int i = 0; i < 2; i++)
		must(close(apart[i]) == 0 && close(mapped[i]) == 0, "close");
}

void layer_mount_namespace(struct prober *prober)
{
	(void)prober;
	must(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount namespace");
}

/* The attempt is then made by the namespace's process 1. */
void layer_pid_namespace(struct prober *prober)
{
	int status;
	(void)prober;
	must(unshare(CLONE_NEWPID) == 0, "pid namespace");
	pid_t first = fork();
	if (first == 0)
		return;
	must(first > 0 && waitpid(first, &status, 0) == first, "fork");
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_STAGING);
}

void layer_network_namespace(struct prober *prober)
{
	(void)prober;
	must(unshare(CLONE_NEWNET) == 0, "network namespace");
}

void layer_ipc_namespace(struct prober *prober)
{
	(void)prober;
	must(unshare(CLONE_NEWIPC) == 0, "ipc namespace");
}

void layer_uts_namespace(struct prober *prober)
{
	(void)prober;
	must(unshare(CLONE_NEWUTS) == 0, "uts namespace");
}

void layer_cgroup_namespace(struct prober *prober)
{
	(void)prober;
	must(unshare(CLONE_NEWCGROUP) == 0, "cgroup namespace");
}

void layer_no_user_namespaces(struct prober *prober)
{
	(void)prober;
	forbid_user_namespaces(&staging);
}

/* ---- the launcher's other steps ---- */

void layer_empty_root(struct prober *prober)
{
	(void)prober;
	empty_root(&staging);
}

void layer_ids(struct prober *prober)
{
	must(setgroups(0, NULL) == 0, "groups");
	drop_privileges(&child, prober->role);
}

void without_capabilities(struct prober *prober)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {{0}, {0}};
	(void)prober;
	must(syscall(SYS_capset, &header, none) == 0, "capset");
}

void layer_bounding_set(struct prober *prober)
{
	(void)prober;
	drop_bounding_set(&staging);
}

void layer_empty_keyring(struct prober *prober)
{
	(void)prober;
	take_empty_keyring(&staging);
}

static void replace_ram(struct prober *prober, int memory)
{
	must(memory >= 0 && ftruncate(memory, PLACE_FILE_SIZE) == 0, "memory file");
	prober->ram = mmap(NULL, PLACE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	must(prober->ram != MAP_FAILED && dup2(memory, DEVICE_FD_RAM) == DEVICE_FD_RAM, "memory file");
}

void layer_memory_file(struct prober *prober)
{
	replace_ram(prober, policy_memory_file("ram"));
}

void plain_memory_file(struct prober *prober)
{
	replace_ram(prober, memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/* Keeps the channel and three more; the program and the pipe follow, as they do until exec. */
void layer_descriptors(struct prober *prober)
{
	(void)prober;
	struct staged_program program = {.count = FD_ROLE, .program = FD_PLAN};
	for (int i = 0; i < FD_ROLE; i++)
		program.descriptors[i] = i;
	staging.report = FD_PLAN;
	place_descriptors(&child, &program);
}

/* ---- the programs' own ---- */

void layer_without_new_privileges(struct prober *prober)
{
	(void)prober;
	layer_no_new_privs();
}

void layer_no_files(struct prober *prober)
{
	(void)prober;
	layer_landlock(false);
}

static void need_landlock(long version)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION) < version)
		place_lacks();
}

void before_landlock_3(struct prober *prober)
{
	(void)prober;
	need_landlock(3);
}

void before_landlock_4(struct prober *prober)
{
	(void)prober;
	need_landlock(4);
}

void before_landlock_6(struct prober *prober)
{
	(void)prober;
	need_landlock(6);
}

/* Root's limits on tasks do not count. */
void before_limits(struct prober *prober)
{
	layer_signals();
	layer_ids(prober);
}

void layer_limits(struct prober *prober)
{
	limits_apply(prober->role, &plan);
}

/* Another process of the attempt's uid, with what the layer makes of it or without. */
static void replace_victim(struct prober *prober, bool dumpable)
{
	int ready[2];
	char byte;
	must(pipe2(ready, O_CLOEXEC) == 0, "pipe");
	pid_t victim = fork();
	if (victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		layer_ids(prober);
		must(prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
		if (!dumpable)
			layer_not_dumpable();
		must(write(ready[1], "", 1) == 1, "write");
		for (;;)
			pause();
	}
	must(victim > 0 && read(ready[0], &byte, 1) == 1, "victim");
	prober->victim = victim;
}

void layer_victim_not_dumpable(struct prober *prober)
{
	replace_victim(prober, false);
}

void victim_dumpable(struct prober *prober)
{
	replace_victim(prober, true);
}

void layer_no_writable_code(struct prober *prober)
{
	(void)prober;
	if (!layer_mdwe())
		place_lacks();
}

void layer_no_speculation(struct prober *prober)
{
	(void)prober;
	if (prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0) % (int)(2 * PR_SPEC_PRCTL) == 0)
		place_lacks();
	(void)layer_speculation();
}

void layer_filter(struct prober *prober)
{
	char why[JAIL_WHY_SIZE];
	static union {
		struct filters_header header;
		uint8_t bytes[sizeof(struct filters_header) + THREADS_MAX * BPF_MAXINSNS * sizeof(struct sock_filter)];
	} filters;
	int memfd = jail_filters(prober->role, &plan, why);
	must(memfd >= 0 && pread(memfd, &filters, sizeof(filters), 0) > 0 && close(memfd) == 0, "filters");
	struct sock_fprog program = {
	    .len = (unsigned short)filters.header.count[THREAD_MAIN],
	    .filter = (struct sock_filter *)(void *)(filters.bytes + sizeof(filters.header)),
	};
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
}
