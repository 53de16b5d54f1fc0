/* Promises of the filters: each rule lets its call pass with its arguments and with no others, what no table names is
 * refused, and what is printed is what is compiled. Needs no privilege: filters are installed in children.
 */
#include "jail/descriptors.h"
#include "jail/launch.h"
#include "jail/outside/filter.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 6, DESCRIPTORS_TRIED = 64, NOT_INSTALLED = 99 };

static const struct plan plan = {
    .magic = PLAN_MAGIC,
    .version = PLAN_VERSION,
    .size = sizeof(plan),
    .name = "filters",
    .vcpus = 3,
    .device_count = 5,
    .ram_size = PLAN_RAM_MIN,
    .devices = {{.kind = DEVICE_DISK, .name = "read-only", .operations = 1, .as.disk = {.sectors = 1, .read_only = 1}},
		{.kind = DEVICE_DISK, .name = "read-write", .as.disk = {.sectors = 1}},
		{.kind = DEVICE_CONSOLE, .name = "with-input", .as.console = {.has_input = 1}},
		{.kind = DEVICE_CONSOLE, .name = "output-only"},
		{.kind = DEVICE_ENTROPY, .name = "entropy", .bandwidth = 1}},
};

/* Every thread of every process that this plan makes. */
static const struct {
	unsigned role;
	enum lockdown_thread thread;
} threads[] = {
    {ROLE_SUPERVISOR, THREAD_MAIN}, {ROLE_MONITOR, THREAD_MAIN},    {ROLE_MONITOR, THREAD_VCPU},
    {ROLE_AUDITOR, THREAD_MAIN},    {ROLE_DEVICE, THREAD_MAIN},     {ROLE_DEVICE + 1, THREAD_MAIN},
    {ROLE_DEVICE + 2, THREAD_MAIN}, {ROLE_DEVICE + 3, THREAD_MAIN}, {ROLE_DEVICE + 4, THREAD_MAIN},
};
enum { THREADS = sizeof(threads) / sizeof(threads[0]) };

/* ---- what the tables say, worked out without libseccomp ---- */

static bool rule_is_for(const struct rule *rule, unsigned role)
{
	const struct plan_device *device = role >= ROLE_DEVICE ? &plan.devices[role - ROLE_DEVICE] : NULL;
	switch (rule->when) {
	case ALWAYS:
		return true;
	case DISK:
		return device->kind == DEVICE_DISK;
	case DISK_WRITABLE:
		return device->kind == DEVICE_DISK && !device->as.disk.read_only;
	case CONSOLE:
		return device->kind == DEVICE_CONSOLE;
	case CONSOLE_INPUT:
		return device->kind == DEVICE_CONSOLE && device->as.console.has_input;
	case ENTROPY:
		return device->kind == DEVICE_ENTROPY;
	default:
		return device->bandwidth > 0 || device->operations > 0;
	}
}

static bool each_has(const struct condition *condition, uint64_t value)
{
	unsigned devices = plan.device_count;
	uint64_t from = condition->value, monitor = MONITOR_FD_DEVICE + 4 * devices;
	switch (condition->each) {
	case EACH_ONE:
		return value == from;
	case EACH_DEVICE:
		return value >= from && (value - from) % 4 == 0 && (value - from) / 4 < devices;
	case EACH_MEMBER:
		return value >= from && value - from < 1 + devices;
	case EACH_CONNECTION:
		return (value >= 1 && value <= 3) ||
		       (value >= SUPERVISOR_FD_MEMBER + 1 + devices && value < SUPERVISOR_FD_MEMBER + 1 + devices + 6);
	default:
		return value > monitor && value <= monitor + plan.vcpus;
	}
}

static bool condition_holds(const struct condition *condition, const uint64_t arguments[ARGUMENTS])
{
	uint64_t value = arguments[condition->argument];
	switch (condition->comparison) {
	case IS_32:
		return each_has(condition, (uint32_t)value);
	case IS_64:
		return value == condition->value;
	case AT_MOST:
		return value <= condition->value;
	default:
		return true;
	}
}

static bool table_allows(int which, int call, const uint64_t arguments[ARGUMENTS])
{
	size_t count;
	const struct rule *rules = filter_rules(threads[which].role, threads[which].thread, &count);
	for (size_t i = 0; i < count; i++) {
		bool holds = rules[i].call == call && rule_is_for(&rules[i], threads[which].role);
		for (size_t j = 0; holds && j < CONDITIONS_MAX; j++)
			holds = condition_holds(&rules[i].conditions[j], arguments);
		if (holds)
			return true;
	}
	return false;
}

/* ---- what the filter does ---- */

static const struct filters_header *filters;

static void load(int which)
{
	char why[JAIL_WHY_SIZE];
	struct stat status;
	int memfd = jail_filters(threads[which].role, &plan, why);
	ck_assert_msg(memfd >= 0, "%s", why);
	ck_assert_int_eq(fstat(memfd, &status), 0);
	filters = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, memfd, 0);
	ck_assert_ptr_ne(filters, MAP_FAILED);
	size_t instructions = filters->count[THREAD_MAIN] + filters->count[THREAD_VCPU];
	ck_assert_uint_eq((size_t)status.st_size, sizeof(*filters) + instructions * sizeof(struct sock_filter));
	close(memfd);
}

static void install(int which)
{
	struct sock_filter *first = (struct sock_filter *)(uintptr_t)(filters + 1);
	struct sock_fprog program = {
	    .len = (unsigned short)filters->count[threads[which].thread],
	    .filter = threads[which].thread == THREAD_VCPU ? first + filters->count[THREAD_MAIN] : first,
	};
	syscall(SYS_close_range, 0U, ~0U, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		syscall(SYS_exit_group, NOT_INSTALLED);
}

static long make_call(int call, const uint64_t arguments[ARGUMENTS])
{
	return syscall(call, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

/* Whether the call gets past the filter. No descriptor is open and no pointer is good, so that it does nothing. A
   filter is its thread's alone and the descriptors are a copy, so vfork will do, thousands of times. */
static bool filter_allows(int which, int call, const uint64_t arguments[ARGUMENTS])
{
	int status;
	pid_t child = vfork();
	if (child == 0) {
		install(which);
		make_call(call, arguments);
		syscall(SYS_exit_group, 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		ck_assert_int_ne(WEXITSTATUS(status), NOT_INSTALLED);
		return true;
	}
	ck_assert_int_eq(WTERMSIG(status), SIGSYS);
	return false;
}

static void check_call(int which, const char *name, int call, const uint64_t a[ARGUMENTS])
{
	bool should = table_allows(which, call, a), does = filter_allows(which, call, a);
	ck_assert_msg(should == does, "role %u thread %u: %s(%lx, %lx, %lx, %lx, %lx) is %s", threads[which].role,
		      threads[which].thread, name, a[0], a[1], a[2], a[3], a[4], does ? "allowed" : "refused");
}

/* Arguments that a rule allows: the first descriptor of several; what it leaves open is a pointer to nothing. */
static void fill(const struct rule *rule, uint64_t arguments[ARGUMENTS])
{
	for (int i = 0; i < ARGUMENTS; i++)
		arguments[i] = 1;
	for (int i = 0; i < CONDITIONS_MAX; i++) {
		const struct condition *condition = &rule->conditions[i];
		uint64_t value = condition->value;
		if (condition->comparison == ANYTHING)
			continue;
		while (condition->each != EACH_ONE && !each_has(condition, value))
			value++;
		arguments[condition->argument] = value;
	}
}

START_TEST(each_rule_allows_its_arguments_and_no_others)
{
	size_t count;
	load(_i);
	const struct rule *rules = filter_rules(threads[_i].role, threads[_i].thread, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t arguments[ARGUMENTS];
		fill(&rules[i], arguments);
		ck_assert_int_eq(table_allows(_i, rules[i].call, arguments), rule_is_for(&rules[i], threads[_i].role));
		check_call(_i, rules[i].name, rules[i].call, arguments);
		for (int j = 0; j < CONDITIONS_MAX; j++) {
			const struct condition *condition = &rules[i].conditions[j];
			if (condition->comparison == ANYTHING)
				continue;
			uint64_t *argument = &arguments[condition->argument], kept = *argument;
			static const uint64_t changes[] = {
			    1, 2, 64, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63};
			for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
				*argument = kept ^ changes[k];
				check_call(_i, rules[i].name, rules[i].call, arguments);
			}
			*argument = kept;
		}
	}
}
END_TEST

/* Every number for every rule that names one: this is where joining the numbers of several descriptors could go wrong.
 */
START_TEST(descriptors_are_exactly_those_named)
{
	size_t count;
	load(_i);
	const struct rule *rules = filter_rules(threads[_i].role, threads[_i].thread, &count);
	for (size_t i = 0; i < count; i++) {
		if (rules[i].conditions[0].each == EACH_ONE || !rule_is_for(&rules[i], threads[_i].role))
			continue;
		uint64_t arguments[ARGUMENTS];
		fill(&rules[i], arguments);
		for (arguments[0] = 0; arguments[0] < DESCRIPTORS_TRIED; arguments[0]++)
			check_call(_i, rules[i].name, rules[i].call, arguments);
	}
}
END_TEST

START_TEST(what_no_table_names_is_refused)
{
	static const struct {
		int call;
		const char *name;
	} calls[] = {
/* clang-format off */
#define REFUSED(name) {SYS_##name, #name}
	    REFUSED(open), REFUSED(openat), REFUSED(openat2), REFUSED(creat), REFUSED(socket), REFUSED(socketpair),
	    REFUSED(connect), REFUSED(bind), REFUSED(accept4), REFUSED(execve), REFUSED(execveat), REFUSED(fork),
	    REFUSED(vfork), REFUSED(clone), REFUSED(clone3), REFUSED(mmap), REFUSED(mprotect), REFUSED(mremap),
	    REFUSED(munmap), REFUSED(brk), REFUSED(madvise), REFUSED(memfd_create), REFUSED(pkey_mprotect),
	    REFUSED(kill), REFUSED(tgkill), REFUSED(tkill), REFUSED(rt_sigqueueinfo), REFUSED(pidfd_open),
	    REFUSED(pidfd_getfd), REFUSED(ptrace), REFUSED(process_vm_readv), REFUSED(process_vm_writev),
	    REFUSED(unshare), REFUSED(setns), REFUSED(mount), REFUSED(umount2), REFUSED(pivot_root), REFUSED(chroot),
	    REFUSED(io_uring_setup), REFUSED(io_uring_enter), REFUSED(io_setup), REFUSED(bpf), REFUSED(keyctl),
	    REFUSED(add_key), REFUSED(userfaultfd), REFUSED(perf_event_open), REFUSED(seccomp), REFUSED(prctl),
	    REFUSED(arch_prctl), REFUSED(personality), REFUSED(setuid), REFUSED(setresuid), REFUSED(capset),
	    REFUSED(prlimit64), REFUSED(dup), REFUSED(dup2), REFUSED(dup3), REFUSED(fcntl), REFUSED(close_range),
	    REFUSED(pipe2), REFUSED(eventfd2), REFUSED(timerfd_create), REFUSED(signalfd4), REFUSED(inotify_init1),
	    REFUSED(fanotify_init), REFUSED(epoll_create1), REFUSED(rt_sigreturn), REFUSED(rt_sigaction),
	    REFUSED(sigaltstack), REFUSED(shmget), REFUSED(msgget), REFUSED(semget), REFUSED(mq_open),
	    REFUSED(ftruncate), REFUSED(fallocate), REFUSED(unlink), REFUSED(getpid), REFUSED(getcwd),
	    REFUSED(sched_setaffinity), REFUSED(set_tid_address), REFUSED(modify_ldt), REFUSED(iopl), REFUSED(ioperm),
	    REFUSED(landlock_create_ruleset), REFUSED(sendmsg), REFUSED(splice), REFUSED(vmsplice), REFUSED(sendfile),
	    /* clang-format on */
	};
	static const uint64_t nothing[ARGUMENTS];
	load(_i);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		ck_assert_msg(!filter_allows(_i, calls[i].call, nothing), "role %u may call %s", threads[_i].role,
			      calls[i].name);
}
END_TEST

START_TEST(the_sentinel_answers)
{
	int status;
	load(_i);
	pid_t child = fork();
	if (child == 0) {
		install(_i);
		long result = syscall(FILTERS_SENTINEL);
		syscall(SYS_exit_group, result == -1 && errno == FILTERS_SENTINEL_ERRNO ? 42 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}
END_TEST

static bool prints(unsigned role, const char *call, const char *condition)
{
	struct jail_rule_text rules[JAIL_RULES_MAX];
	size_t count = jail_filter_rules(role, &plan, rules);
	for (size_t i = 0; i < count; i++)
		if (strcmp(rules[i].call, call) == 0 && strcmp(rules[i].condition, condition) == 0)
			return true;
	return false;
}

START_TEST(rules_are_printed_with_their_numbers)
{
	ck_assert(prints(ROLE_DEVICE, "preadv", "fd = 9 (DEVICE_FD_BACKEND), count <= 256"));
	ck_assert(!prints(ROLE_DEVICE, "fdatasync", "fd = 9 (DEVICE_FD_BACKEND)"));
	ck_assert(prints(ROLE_DEVICE + 1, "fdatasync", "fd = 9 (DEVICE_FD_BACKEND)"));
	ck_assert(prints(ROLE_MONITOR, "ioctl", "fd in 29 30 31 (vCPUs), request = KVM_RUN, argument = 0"));
	ck_assert(prints(ROLE_MONITOR, "write", "fd in 11 15 19 23 27 (device interrupts), size = 8"));
}
END_TEST

START_TEST(each_printed_rule_has_a_reason)
{
	struct jail_rule_text rules[JAIL_RULES_MAX];
	size_t count = jail_filter_rules(threads[_i].role, &plan, rules);
	ck_assert_uint_gt(count, 0);
	for (size_t i = 0; i < count; i++) {
		ck_assert_str_ne(rules[i].reason, "");
	}
}
END_TEST

int main(void)
{
	const struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	TCase *cases = tcase_create("filters");
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, each_rule_allows_its_arguments_and_no_others, 0, THREADS);
	tcase_add_loop_test(cases, descriptors_are_exactly_those_named, 0, THREADS);
	tcase_add_loop_test(cases, what_no_table_names_is_refused, 0, THREADS);
	tcase_add_loop_test(cases, the_sentinel_answers, 0, THREADS);
	tcase_add_test(cases, rules_are_printed_with_their_numbers);
	tcase_add_loop_test(cases, each_printed_rule_has_a_reason, 0, THREADS);
	Suite *suite = suite_create("jail/outside: filters");
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
