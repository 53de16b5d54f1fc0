/* Promises of jail/outside: what a jailed program looks like from outside. Starts that fail are
 * tests/unit/jail_no_start.c's. Needs root; the programs are the probe.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIT(number) (UINT64_C(1) << ((number)-1))

enum { MERGE_ALL = 67, FIRST = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0) }; /* PR_SET_MEMORY_MERGE, Linux 6.4 */

static struct fake_vm vm;

static void score_write(const char *score)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	(void)!write(file, score, strlen(score)); /* takes a right */
	close(file);
}

/* Each as far as this kernel, and what rights we have, let us. */
static void come_first(void)
{
	(void)setpriority(PRIO_PROCESS, 0, -5);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, FIRST);
	(void)prctl(MERGE_ALL, 1, 0, 0, 0);
}

/* A launcher that hands on what it should not. */
static void burden(void)
{
	const gid_t group = 7;
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	ck_assert_int_eq(setgroups(1, &group), 0);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
	ck_assert_ptr_ne(signal(SIGUSR2, SIG_IGN), SIG_ERR);
	ck_assert_int_eq(setenv("SECRET", "of the operator", 1), 0);
	ck_assert_int_ge(personality(ADDR_NO_RANDOMIZE), 0);
	score_write("-500");
	come_first();
}

static void start(void)
{
	burden();
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		struct message message = fake_vm_hear(&vm, i);
		ck_assert_msg(message.type == MESSAGE_LOCKED,
			      "program %d: message %u, failure %u, error %d, detail %#lx", i, message.type,
			      message.code, message.error, (unsigned long)message.value[0]);
	}
}

static int count_entries(pid_t pid, const char *which)
{
	char path[64];
	int count = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s/", (int)pid, which);
	DIR *folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static bool has_descriptor(pid_t pid, unsigned number)
{
	char path[64];
	struct stat status;
	snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, number);
	return lstat(path, &status) == 0;
}

static ino_t namespace_of(pid_t pid, const char *kind)
{
	char path[64];
	struct stat status;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	ck_assert_int_eq(stat(path, &status), 0);
	return status.st_ino;
}

/* The first line of a file that the kernel has of the process; valid until the next call. */
static const char *line_of(pid_t pid, const char *file)
{
	static char line[64];
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	FILE *stream = fopen(path, "re");
	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
	fclose(stream);
	return line;
}

static ssize_t environment_size(pid_t pid)
{
	char path[64], byte;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(file, &byte, 1);
	close(file);
	return size;
}

/* "mg" among the flags of a mapping. */
static bool merges_pages(pid_t pid)
{
	char path[64], line[512];
	bool merges = false;
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *stream = fopen(path, "re");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		merges |= strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " mg ") != NULL;
	fclose(stream);
	return merges;
}

START_TEST(each_has_its_id_and_nothing_else)
{
	if (!fake_may_jail())
		return;
	static const char *const empty_sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	start();
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		char ids[64];
		unsigned id = FAKE_FIRST_ID + vm.programs[i].role;
		pid_t pid = vm.programs[i].pid;
		snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", id, id, id, id);
		ck_assert_str_eq(fake_status(pid, "Uid"), ids);
		ck_assert_str_eq(fake_status(pid, "Gid"), ids);
		ck_assert_str_eq(fake_status(pid, "Groups"), "");
		for (size_t j = 0; j < sizeof(empty_sets) / sizeof(empty_sets[0]); j++)
			ck_assert_str_eq(fake_status(pid, empty_sets[j]), "0000000000000000");
		ck_assert_str_eq(fake_status(pid, "NoNewPrivs"), "1");
		ck_assert_str_eq(fake_status(pid, "Seccomp"), "2");
		ck_assert_str_eq(fake_status(pid, "Seccomp_filters"), "1");
		ck_assert_str_eq(fake_status(pid, "SigBlk"), "0000000000000000");
		ck_assert_uint_eq(strtoull(fake_status(pid, "SigIgn"), NULL, 16) & BIT(SIGUSR2), 0);
		ck_assert_uint_ne(strtoull(fake_status(pid, "SigIgn"), NULL, 16) & BIT(SIGTERM), 0);
		ck_assert_uint_ne(strtoull(fake_status(pid, "SigCgt"), NULL, 16) & BIT(SIGSYS), 0);
		ck_assert_int_eq(environment_size(pid), 0);
		ck_assert_int_eq(getsid(pid), getsid(vm.programs[0].pid));
		ck_assert_int_ne(getsid(pid), getsid(0));
		ck_assert_int_ne(getsid(pid), pid);
		ck_assert_str_eq(line_of(pid, "personality"), "00000000\n");
		ck_assert_int_ge(atoi(line_of(pid, "oom_score_adj")), 0);
		ck_assert_int_ge(getpriority(PRIO_PROCESS, (id_t)pid), 0);
		ck_assert_int_ne(IOPRIO_PRIO_CLASS(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid)), IOPRIO_CLASS_RT);
		ck_assert(!merges_pages(pid));
	}
	ck_assert_str_ne(line_of(getpid(), "personality"), "00000000\n");
	fake_vm_end(&vm);
}
END_TEST

START_TEST(each_has_exactly_its_descriptors)
{
	if (!fake_may_jail())
		return;
	int leak = dup2(0, 444); /* no close-on-exec: ours, not theirs */
	start();
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		unsigned given = descriptors_given(vm.programs[i].role, &vm.plan);
		pid_t pid = vm.programs[i].pid;
		ck_assert_int_eq(count_entries(pid, "fd"), (int)given - 3);
		for (unsigned j = 0; j < given; j++)
			ck_assert_int_eq(has_descriptor(pid, j), j < FD_PLAN || j > FD_REPORT);
	}
	close(leak);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(the_root_is_empty)
{
	if (!fake_may_jail())
		return;
	start();
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		ck_assert_int_eq(count_entries(vm.programs[i].pid, "root"), 0);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(the_namespaces_are_the_vms)
{
	if (!fake_may_jail())
		return;
	static const char *const kinds[] = {"user", "mnt", "net", "ipc", "uts", "cgroup", "pid"};
	start();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		ino_t the_vms = namespace_of(vm.programs[FAKE_SUPERVISOR].pid, kinds[i]);
		ck_assert_uint_ne(the_vms, namespace_of(getpid(), kinds[i]));
		for (int j = FAKE_MONITOR; j < FAKE_PROGRAMS; j++)
			ck_assert_uint_eq(namespace_of(vm.programs[j].pid, kinds[i]), the_vms);
		ino_t auditors = namespace_of(vm.programs[FAKE_AUDITOR].pid, kinds[i]);
		ck_assert_int_eq(auditors == the_vms, strcmp(kinds[i], "pid") != 0);
		ck_assert_uint_ne(auditors, namespace_of(getpid(), kinds[i]));
	}
	fake_vm_end(&vm);
}
END_TEST

/* Everything but the auditor, which has a log to seal. */
START_TEST(the_supervisors_end_is_the_vms)
{
	if (!fake_may_jail())
		return;
	start();
	syscall(SYS_pidfd_send_signal, vm.programs[FAKE_SUPERVISOR].pidfd, SIGKILL, NULL, 0);
	for (int i = FAKE_MONITOR; i < FAKE_PROGRAMS; i++) {
		siginfo_t info = {0};
		struct pollfd end = {.fd = vm.programs[i].pidfd, .events = POLLIN};
		ck_assert_int_eq(poll(&end, 1, 2000), 1);
		ck_assert_int_eq(waitid(P_PIDFD, (id_t)vm.programs[i].pidfd, &info, WEXITED), 0);
		ck_assert_int_eq(info.si_code, CLD_KILLED);
		close(vm.programs[i].pidfd);
		vm.programs[i].pidfd = -1;
	}
	ck_assert_int_eq(
	    waitid(P_PIDFD, (id_t)vm.programs[FAKE_AUDITOR].pidfd, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT), 0);
	ck_assert_int_eq(kill(vm.programs[FAKE_AUDITOR].pid, 0), 0);
	fake_vm_end(&vm);
}
END_TEST

/* Holders of a key, as /proc/keys has them; -1: no such key. */
static int holders_of(long key)
{
	char line[256];
	int holders = -1;
	FILE *stream = fopen("/proc/keys", "re");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strtol(line, NULL, 16) == key)
			sscanf(line, "%*s %*s %d", &holders);
	fclose(stream);
	return holders;
}

/* Each process that has a keyring holds it; those that have ended let go of it a moment later. */
START_TEST(the_launchers_keyring_is_its_own)
{
	enum { TRIES = 500, TRY_MS = 10 };
	if (!fake_may_jail())
		return;
	long keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (keyring < 0 || access("/proc/keys", R_OK) != 0) {
		cannot_run("this kernel has no keyrings");
		return;
	}
	int before = holders_of(keyring);
	ck_assert_int_gt(before, 0);
	start();
	for (int i = 0; i < TRIES && holders_of(keyring) > before; i++)
		poll(NULL, 0, TRY_MS);
	ck_assert_int_le(holders_of(keyring), before);
	fake_vm_end(&vm);
}
END_TEST

/* What is put behind others stays there. */
START_TEST(who_is_to_wait_waits)
{
	const int last = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(setpriority(PRIO_PROCESS, 0, 19), 0);
	ck_assert_int_eq(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, last), 0);
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t)vm.programs[i].pid), 19);
		ck_assert_int_eq(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, vm.programs[i].pid), last);
	}
	fake_vm_end(&vm);
}
END_TEST

/* Everybody may put his own work before others' that is as usual. */
START_TEST(who_comes_first_at_the_disks_does_no_more)
{
	const int best = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 0);
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, best), 0);
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		ck_assert_int_ne(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, vm.programs[i].pid), best);
	fake_vm_end(&vm);
}
END_TEST

/* The launcher goes to another of its processors for a moment. */
START_TEST(all_keep_the_launchers_processors)
{
	cpu_set_t before, after;
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(before), &before), 0);
	start();
	ck_assert_int_eq(sched_getaffinity(0, sizeof(after), &after), 0);
	ck_assert(CPU_EQUAL(&before, &after));
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		ck_assert_int_eq(sched_getaffinity(vm.programs[i].pid, sizeof(after), &after), 0);
		ck_assert(CPU_EQUAL(&before, &after));
	}
	fake_vm_end(&vm);
}
END_TEST

/* The launcher's own numbers may lie anywhere, those that the program shall have among them. */
START_TEST(descriptors_that_overlap_find_their_places)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	/* Puts the device's descriptors at the numbers that its others shall have, in reverse, and the program at 1. */
	struct jail_program *device = &vm.programs[FAKE_DEVICE];
	int *given = vm.descriptors[FAKE_DEVICE];
	int spare[DEVICE_FD_END];
	for (unsigned i = 0; i < device->count; i++)
		spare[i] = fcntl(given[i], F_DUPFD_CLOEXEC, 200);
	int keep[3] = {fcntl(0, F_DUPFD_CLOEXEC, 300), fcntl(1, F_DUPFD_CLOEXEC, 300), fcntl(2, F_DUPFD_CLOEXEC, 300)};
	int program = fcntl(device->program, F_DUPFD_CLOEXEC, 200);
	dup3(spare[FD_FILTERS], FD_PLAN, O_CLOEXEC);
	dup3(spare[FD_PLAN], FD_FILTERS, O_CLOEXEC);
	dup3(program, FD_CHANNEL, O_CLOEXEC);
	int plan = given[FD_PLAN], filters = given[FD_FILTERS], own_program = device->program;
	given[FD_PLAN] = FD_FILTERS;
	given[FD_FILTERS] = FD_PLAN;
	device->program = FD_CHANNEL;
	const struct jail_ids ids = {.first = FAKE_FIRST_ID};
	int result = jail_start(&ids, NULL, vm.programs, FAKE_PROGRAMS, vm.why);
	for (int i = 0; i < 3; i++)
		dup2(keep[i], i);
	given[FD_PLAN] = plan;
	given[FD_FILTERS] = filters;
	device->program = own_program;
	ck_assert_msg(result == 0, "%s", vm.why);
	struct message message = fake_vm_hear(&vm, FAKE_DEVICE);
	ck_assert_msg(message.type == MESSAGE_LOCKED, "failure %u error %d detail %lu", message.code, message.error,
		      (unsigned long)message.value[0]);
	fake_vm_end(&vm);
}
END_TEST

int main(void)
{
	TCase *jail = tcase_create("jail");
	tcase_set_timeout(jail, 20);
	tcase_add_test(jail, each_has_its_id_and_nothing_else);
	tcase_add_test(jail, each_has_exactly_its_descriptors);
	tcase_add_test(jail, the_root_is_empty);
	tcase_add_test(jail, the_namespaces_are_the_vms);
	tcase_add_test(jail, the_supervisors_end_is_the_vms);
	tcase_add_test(jail, all_keep_the_launchers_processors);
	tcase_add_test(jail, the_launchers_keyring_is_its_own);
	tcase_add_test(jail, who_is_to_wait_waits);
	tcase_add_test(jail, who_comes_first_at_the_disks_does_no_more);
	tcase_add_test(jail, descriptors_that_overlap_find_their_places);
	Suite *suite = suite_create("jail/outside: launch");
	suite_add_tcase(suite, jail);
	return run_suite(suite);
}
