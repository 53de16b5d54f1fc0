/* Promises of jail/inside: a program locks itself down completely or ends with the reason, and a forbidden system call
 * ends it, written down.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fake_vm vm;

static const uint64_t always = LAYER_NAMESPACES | LAYER_ROOT | LAYER_IDS | LAYER_CAPABILITIES | LAYER_DESCRIPTORS |
			       LAYER_DUMPABLE | LAYER_RLIMITS | LAYER_NO_NEW_PRIVS | LAYER_LANDLOCK | LAYER_SECCOMP;

START_TEST(every_layer_is_in_force)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		struct message message = fake_vm_hear(&vm, i);
		ck_assert_uint_eq(message.type, MESSAGE_LOCKED);
		ck_assert_uint_eq(message.value[0] & always, always);
		ck_assert_uint_eq(message.value[0] & message.value[1], 0);
		ck_assert_uint_eq(message.value[0] | message.value[1],
				  always | LAYER_MDWE | LAYER_SPECULATION | LAYER_MEMORY_FILES);
	}
	fake_vm_end(&vm);
}
END_TEST

static struct rlimit limit_of(int program, int resource)
{
	struct rlimit limit;
	ck_assert_int_eq(prlimit(vm.programs[program].pid, resource, NULL, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
	return limit;
}

START_TEST(limits_are_what_the_role_needs)
{
	const struct rlimit plenty = {30, 30};
	if (!fake_may_jail())
		return;
	(void)setrlimit(RLIMIT_NICE, &plenty); /* takes a right */
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		ck_assert_uint_eq(fake_vm_hear(&vm, i).type, MESSAGE_LOCKED);
		ck_assert_uint_eq(limit_of(i, RLIMIT_NOFILE).rlim_max,
				  descriptors_limit(vm.programs[i].role, &vm.plan));
		ck_assert_uint_eq(limit_of(i, RLIMIT_NPROC).rlim_max, i == FAKE_MONITOR ? 1 + 2 + 1 : 1);
		ck_assert_uint_eq(limit_of(i, RLIMIT_CORE).rlim_max, 0);
		ck_assert_uint_eq(limit_of(i, RLIMIT_MEMLOCK).rlim_max, 0);
		ck_assert_uint_eq(limit_of(i, RLIMIT_NICE).rlim_max, 0);
		ck_assert_uint_eq(limit_of(i, RLIMIT_STACK).rlim_max, 1 << 20);
	}
	ck_assert_uint_eq(limit_of(FAKE_DISK, RLIMIT_FSIZE).rlim_max, 8 * 512);
	ck_assert_uint_eq(limit_of(FAKE_DEVICE, RLIMIT_FSIZE).rlim_max, 0);
	ck_assert_uint_eq(limit_of(FAKE_MONITOR, RLIMIT_FSIZE).rlim_max, 0);
	ck_assert_uint_eq(limit_of(FAKE_AUDITOR, RLIMIT_FSIZE).rlim_max, RLIM_INFINITY);
	fake_vm_end(&vm);
}
END_TEST

/* ---- a jail that is not what it should be ---- */

/* Starts the VM; this program must fail with that. The others are then ended. */
static void expect_refusal_by(int program, enum failure failure, uint64_t detail)
{
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	struct message message = fake_vm_hear(&vm, program);
	ck_assert_uint_eq(message.type, MESSAGE_FAILED);
	ck_assert_uint_eq(message.code, failure);
	ck_assert_uint_eq(message.value[0], detail);
	siginfo_t info = {0};
	ck_assert_int_eq(waitid(P_PIDFD, (id_t)vm.programs[program].pidfd, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(info.si_code, CLD_EXITED);
	ck_assert_int_eq(info.si_status, 125);
	fake_vm_end(&vm);
}

static void expect_refusal(enum failure failure, uint64_t detail)
{
	expect_refusal_by(FAKE_DEVICE, failure, detail);
}

START_TEST(one_descriptor_too_many_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct jail_program *device = &vm.programs[FAKE_DEVICE];
	vm.descriptors[FAKE_DEVICE][device->count++] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect_refusal(FAILURE_DESCRIPTORS, DEVICE_FD_END);
}
END_TEST

START_TEST(one_descriptor_too_few_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct jail_program *device = &vm.programs[FAKE_DEVICE];
	close(vm.descriptors[FAKE_DEVICE][--device->count]);
	expect_refusal(FAILURE_DESCRIPTORS, DEVICE_FD_END - 1);
}
END_TEST

static void replace(int program, unsigned number, int descriptor)
{
	close(vm.descriptors[program][number]);
	vm.descriptors[program][number] = descriptor;
}

START_TEST(a_plan_that_does_not_check_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct plan plan = vm.plan;
	plan.vcpus = PLAN_VCPUS_MAX + 1;
	replace(FAKE_DEVICE, FD_PLAN, fake_sealed(&plan, sizeof(plan)));
	expect_refusal(FAILURE_PLAN, ROLE_DEVICE);
}
END_TEST

/* Launcher and program were built with other headers. */
START_TEST(another_builds_plan_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct plan plan = vm.plan;
	plan.version++;
	replace(FAKE_DEVICE, FD_PLAN, fake_sealed(&plan, sizeof(plan)));
	expect_refusal(FAILURE_PLAN, ROLE_DEVICE);
}
END_TEST

START_TEST(a_plan_without_this_device_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct plan plan = vm.plan;
	plan.device_count = 0;
	replace(FAKE_DEVICE, FD_PLAN, fake_sealed(&plan, sizeof(plan)));
	expect_refusal(FAILURE_PLAN, ROLE_DEVICE);
}
END_TEST

START_TEST(a_plan_that_can_change_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	int open_to_all = memfd_create("plan", MFD_CLOEXEC);
	ck_assert_int_eq(write(open_to_all, &vm.plan, sizeof(vm.plan)), sizeof(vm.plan));
	replace(FAKE_DEVICE, FD_PLAN, open_to_all);
	expect_refusal(FAILURE_DESCRIPTORS, FD_PLAN);
}
END_TEST

/* A file of a disk has no seals at all, which the kernel says by an error. */
START_TEST(a_plan_that_is_no_memory_file_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	replace(FAKE_DEVICE, FD_PLAN, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	expect_refusal(FAILURE_DESCRIPTORS, FD_PLAN);
}
END_TEST

enum { GROW = F_SEAL_GROW, SHRINK = F_SEAL_SHRINK, BOTH = GROW | SHRINK, OF_RAM = 1 };
static const struct {
	int program;
	unsigned number;
	uint64_t size; /* OF_RAM: as much as the plan says */
	int seals;
} memory_files[] = {
    {FAKE_DEVICE, FD_REPORT, 4096, GROW},
    {FAKE_DEVICE, FD_REPORT, 4096, SHRINK},
    {FAKE_DEVICE, DEVICE_FD_RAM, OF_RAM, GROW},
    {FAKE_DEVICE, DEVICE_FD_RAM, OF_RAM, SHRINK},
    {FAKE_DEVICE, DEVICE_FD_RAM, 4096, BOTH},
    {FAKE_DISK, DEVICE_FD_REGISTERS, 4096, GROW},
    {FAKE_DISK, DEVICE_FD_REGISTERS, 0, BOTH},
    {FAKE_MONITOR, MONITOR_FD_RAM, OF_RAM, GROW},
    {FAKE_MONITOR, MONITOR_FD_RAM, 4096, BOTH},
    {FAKE_MONITOR, MONITOR_FD_KERNEL, 0, BOTH},
    {FAKE_MONITOR, MONITOR_FD_INITRD, 0, BOTH},
    {FAKE_MONITOR, MONITOR_FD_INITRD, 4096, BOTH | F_SEAL_WRITE},
    {FAKE_MONITOR, MONITOR_FD_DEVICE + MONITOR_FD_PER_DEVICE + MONITOR_FD_DEVICE_REGISTERS, 4096, GROW},
};

START_TEST(memory_that_can_change_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	uint64_t size = memory_files[_i].size == OF_RAM ? vm.plan.ram_size : memory_files[_i].size;
	replace(memory_files[_i].program, memory_files[_i].number, fake_memory(size, memory_files[_i].seals));
	expect_refusal_by(memory_files[_i].program, FAILURE_DESCRIPTORS, memory_files[_i].number);
}
END_TEST

START_TEST(another_roles_filters_are_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	replace(FAKE_DEVICE, FD_FILTERS, fake_sent(jail_filters(ROLE_MONITOR, &vm.plan, vm.why)));
	expect_refusal(FAILURE_DESCRIPTORS, FD_FILTERS);
}
END_TEST

START_TEST(cut_filters_are_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct filters_header header = {.magic = FILTERS_MAGIC, .count = {10, 0}, .sentinel = FILTERS_SENTINEL};
	replace(FAKE_DEVICE, FD_FILTERS, fake_sent(fake_sealed(&header, sizeof(header))));
	expect_refusal(FAILURE_DESCRIPTORS, FD_FILTERS);
}
END_TEST

/* A filter that lets everything pass has no answer of its own for the sentinel. */
START_TEST(a_filter_without_the_sentinel_is_refused)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	struct {
		struct filters_header header;
		struct {
			uint16_t code;
			uint8_t jt, jf;
			uint32_t k;
		} allow;
	} filters = {{.magic = FILTERS_MAGIC, .count = {1, 0}, .sentinel = FILTERS_SENTINEL}, {0x06, 0, 0, 0x7fff0000}};
	replace(FAKE_DEVICE, FD_FILTERS, fake_sent(fake_sealed(&filters, sizeof(filters))));
	expect_refusal(FAILURE_JAIL, LAYER_SECCOMP);
}
END_TEST

START_TEST(filters_that_come_late_are_waited_for)
{
	if (!fake_may_jail())
		return;
	int pair[2];
	fake_vm_make(&vm);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	replace(FAKE_DEVICE, FD_FILTERS, pair[0]);
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	ck_assert_uint_eq(fake_vm_hear(&vm, FAKE_DISK).type, MESSAGE_LOCKED);
	int filters = jail_filters(vm.programs[FAKE_DEVICE].role, &vm.plan, vm.why);
	ck_assert_int_eq(recv(vm.ours[FAKE_DEVICE], &(struct message){0}, sizeof(struct message), MSG_DONTWAIT), -1);
	ck_assert_msg(jail_filters_send(pair[1], filters, vm.why) == 0, "%s", vm.why);
	ck_assert_uint_eq(fake_vm_hear(&vm, FAKE_DEVICE).type, MESSAGE_LOCKED);
	ck_assert_msg(jail_filters_send(pair[1], filters, vm.why) == 0, "a program that no longer listens");
	close(pair[1]);
	close(filters);
	fake_vm_end(&vm);
}
END_TEST

/* The launcher is gone, or gave up. */
START_TEST(without_filters_there_is_no_program)
{
	if (!fake_may_jail())
		return;
	int pair[2];
	fake_vm_make(&vm);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	replace(FAKE_DEVICE, FD_FILTERS, pair[0]);
	close(pair[1]);
	expect_refusal(FAILURE_DESCRIPTORS, FD_FILTERS);
}
END_TEST

/* ---- violations ---- */

static siginfo_t end_of(int program)
{
	siginfo_t info = {0};
	ck_assert_int_eq(waitid(P_PIDFD, (id_t)vm.programs[program].pidfd, &info, WEXITED | WNOWAIT), 0);
	return info;
}

static int run_deed(int program, const char *deed)
{
	fake_vm_make(&vm);
	vm.programs[program].name = deed;
	/* A supervisor may be gone before the last program is made, and then nothing starts: try again. */
	for (int tries = 0; fake_vm_start(&vm, NULL) != 0; tries++) {
		ck_assert_msg(program == FAKE_SUPERVISOR && tries < 50, "%s", vm.why);
		fake_vm_end(&vm);
		fake_vm_make(&vm);
		vm.programs[program].name = deed;
	}
	for (int i = FAKE_MONITOR; i < FAKE_PROGRAMS && program == FAKE_SUPERVISOR; i++) {
		/* killed by the end of their PID 1, which waits until they are reaped */
		ck_assert_int_eq(waitid(P_PIDFD, (id_t)vm.programs[i].pidfd, &(siginfo_t){0}, WEXITED), 0);
		close(vm.programs[i].pidfd);
		vm.programs[i].pidfd = -1;
	}
	siginfo_t info = end_of(program);
	ck_assert_msg(info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED, "code %d status %d", info.si_code,
		      info.si_status);
	return info.si_status;
}

static void check_report(int program, unsigned thread)
{
	const struct violation *report = vm.reports[program];
	ck_assert_uint_eq(report->filled, 1);
	ck_assert_uint_eq(report->thread, thread);
	ck_assert_uint_eq(report->number, SYS_socket);
	for (uint64_t i = 0; i < 6; i++)
		ck_assert_uint_eq(report->arguments[i], 0x1111 * (i + 1));
	ck_assert_uint_ne(report->instruction_pointer, 0);
}

START_TEST(a_forbidden_call_kills_and_is_written_down)
{
	static const int programs[] = {FAKE_AUDITOR, FAKE_SUPERVISOR, FAKE_MONITOR, FAKE_DEVICE, FAKE_DISK};
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(programs[_i], "forbidden"), SIGSYS);
	check_report(programs[_i], THREAD_MAIN);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(a_vcpu_threads_forbidden_call_kills_the_process)
{
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(FAKE_MONITOR, "vcpu-forbidden"), SIGSYS);
	check_report(FAKE_MONITOR, THREAD_VCPU + 1);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(a_forbidden_call_without_a_stack_is_written_down)
{
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(FAKE_DEVICE, "no-stack"), SIGSYS);
	ck_assert_uint_eq(vm.reports[FAKE_DEVICE]->filled, 1);
	ck_assert_uint_eq(vm.reports[FAKE_DEVICE]->number, SYS_socket);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(another_architectures_call_kills)
{
	static const char *const deeds[] = {"old-call", "x32-call"};
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(FAKE_DEVICE, deeds[_i]), SIGSYS);
	ck_assert_uint_eq(vm.reports[FAKE_DEVICE]->filled, 0);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(a_thread_that_overruns_its_stack_kills_the_process)
{
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(FAKE_MONITOR, "vcpu-overrun"), SIGSEGV);
	ck_assert_uint_eq(vm.reports[FAKE_MONITOR]->filled, 0);
	fake_vm_end(&vm);
}
END_TEST

/* A taken-over process can keep its report back, or lie in it; it cannot go on. */
static const struct {
	const char *deed;
	int signal;
	uint32_t filled;
	uint64_t number; /* reported */
} handler_deeds[] = {
    {"block", SIGSYS, 1, SYS_rt_sigprocmask},
    {"ignore", SIGSYS, 1, SYS_rt_sigaction},
    {"return", SIGSYS, 1, SYS_rt_sigreturn},
    {"silent", SIGSYS, 0, 0},
    {"liar", SIGSYS, 1, UINT64_MAX},
    {"no-page", SIGSEGV, 0, 0},
    {"no-room", SIGSEGV, 0, 0},
    {"enter", SIGSYS, 1, SYS_ppoll},
    {"overrun", SIGSEGV, 0, 0},
};

START_TEST(the_handler_cannot_be_got_round)
{
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(run_deed(FAKE_DEVICE, handler_deeds[_i].deed), handler_deeds[_i].signal);
	ck_assert_uint_eq(vm.reports[FAKE_DEVICE]->filled, handler_deeds[_i].filled);
	ck_assert_uint_eq(vm.reports[FAKE_DEVICE]->number, handler_deeds[_i].number);
	fake_vm_end(&vm);
}
END_TEST

int main(void)
{
	TCase *jail = tcase_create("jail");
	tcase_set_timeout(jail, 20);
	tcase_add_test(jail, every_layer_is_in_force);
	tcase_add_test(jail, limits_are_what_the_role_needs);
	tcase_add_test(jail, one_descriptor_too_many_is_refused);
	tcase_add_test(jail, one_descriptor_too_few_is_refused);
	tcase_add_test(jail, a_plan_that_does_not_check_is_refused);
	tcase_add_test(jail, another_builds_plan_is_refused);
	tcase_add_test(jail, a_plan_without_this_device_is_refused);
	tcase_add_test(jail, a_plan_that_can_change_is_refused);
	tcase_add_test(jail, a_plan_that_is_no_memory_file_is_refused);
	tcase_add_loop_test(jail, memory_that_can_change_is_refused, 0, sizeof(memory_files) / sizeof(memory_files[0]));
	tcase_add_test(jail, another_roles_filters_are_refused);
	tcase_add_test(jail, cut_filters_are_refused);
	tcase_add_test(jail, a_filter_without_the_sentinel_is_refused);
	tcase_add_test(jail, filters_that_come_late_are_waited_for);
	tcase_add_test(jail, without_filters_there_is_no_program);
	tcase_add_loop_test(jail, a_forbidden_call_kills_and_is_written_down, 0, 5);
	tcase_add_test(jail, a_vcpu_threads_forbidden_call_kills_the_process);
	tcase_add_test(jail, a_thread_that_overruns_its_stack_kills_the_process);
	tcase_add_test(jail, a_forbidden_call_without_a_stack_is_written_down);
	tcase_add_loop_test(jail, another_architectures_call_kills, 0, 2);
	tcase_add_loop_test(jail, the_handler_cannot_be_got_round, 0, sizeof(handler_deeds) / sizeof(handler_deeds[0]));
	Suite *suite = suite_create("jail/inside: lockdown");
	suite_add_tcase(suite, jail);
	return run_suite(suite);
}
