/* Promises of monitor/command/ending.c: how often the kernel held a VM to its caps is in the log once, with two moments
 * between which that was. The group is a folder of files like the kernel's. A supervisor that talks without end fills
 * nobody's terminal, journal or pipe.
 */
#include "jail/outside/outside.h"
#include "monitor/audit/event.h"
#include "monitor/command/ending.h"
#include "monitor/protocol.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct vm vm;
static struct vm_end ended;
static struct jail_cgroup group;
static char folder[64];
static int auditor;

static void count_in(const char *file, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static uint64_t later(void)
{
	int64_t now = monotonic_ms();
	while (monotonic_ms() == now)
		continue;
	return (uint64_t)monotonic_ms();
}

static void setup(void)
{
	int ends[2];
	strcpy(folder, "/tmp/cofferdam-group-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	auditor = ends[1];
	group = (struct jail_cgroup){.paths = {folder}};
	vm = (struct vm){.cgroup = &group,
			 .auditor = ends[0],
			 .capped_at = (int64_t)later(),
			 .caps = {.cpu_percent = 40, .tasks = 24, .memory_bytes = 80 << 20}};
	ended = (struct vm_end){.outcome = OUTCOME_POWER_OFF};
	count_in("cpu.stat", "usage_usec 7\nnr_periods 9\nnr_throttled 0\n");
	count_in("pids.events", "max 0\n");
	count_in("memory.events", "low 3\noom_kill 0\n");
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
	close(vm.auditor);
	close(auditor);
}

/* The next record that the launcher asks for. False: there is none. */
static bool next(struct audit_view *view)
{
	static uint8_t packet[AUDIT_PACKET_MAX];
	ssize_t size = recv(auditor, packet, sizeof(packet), 0);
	if (size < 0)
		return false;
	ck_assert(audit_parse(packet, (size_t)size, view));
	ck_assert_uint_eq(view->event, AUDIT_CAP_REACHED);
	return true;
}

static void expect(enum cap cap, uint64_t value, uint64_t count, uint64_t first, uint64_t last)
{
	struct audit_view view;
	ck_assert(next(&view));
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, cap);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, value);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, count);
	ck_assert_uint_eq(view.fields[AUDIT_FIRST].number, first);
	ck_assert_uint_ge(view.fields[AUDIT_LAST].number, last);
	ck_assert_uint_le(view.fields[AUDIT_LAST].number, (uint64_t)monotonic_ms());
}

START_TEST(what_was_not_reached_is_not_told)
{
	struct audit_view view;
	ending_look(&vm, &ended);
	ending_look_for_caps(&vm, &ended);
	ck_assert(!next(&view));
	vm.cgroup = NULL;
	ending_look_for_caps(&vm, &ended);
	ck_assert(!next(&view));
}
END_TEST

/* Of a look nothing is known but that what it saw was before, and what it did not see was after. */
START_TEST(a_count_lies_between_the_looks_around_it)
{
	struct audit_view view;
	ending_look(&vm, &ended);
	uint64_t looked = later(); /* the group's start is the look before this; it saw nothing */
	ending_look(&vm, &ended);
	ck_assert_uint_ge((uint64_t)ended.looked_at, looked);
	uint64_t before = (uint64_t)ended.looked_at;
	later();
	count_in("cpu.stat", "nr_throttled 5\n");
	ck_assert(ending_look(&vm, &ended));
	ck_assert(!ending_look(&vm, &ended)); /* nothing since */
	uint64_t event = later();
	count_in("cpu.stat", "nr_throttled 8\n");
	later();
	ending_look(&vm, &ended);
	uint64_t end = later();
	count_in("pids.events", "max 2\n");
	uint64_t tasks_before = (uint64_t)ended.looked_at;
	ending_look_for_caps(&vm, &ended);
	expect(CAP_CPU, 40, 8, before, event);
	ck_assert_uint_lt(ended.held[VM_HELD_CPU].last, end); /* the last look saw no more of it */
	expect(CAP_TASKS, 24, 2, tasks_before, end);
	ck_assert(!next(&view));
}
END_TEST

START_TEST(before_the_first_look_there_is_the_group_s_making)
{
	struct audit_view view;
	later();
	count_in("memory.events", "low 3\noom_kill 1\n");
	ended.outcome = OUTCOME_FAILURE;
	ending_look_for_caps(&vm, &ended);
	expect(CAP_MEMORY, 80 << 20, 1, (uint64_t)vm.capped_at, (uint64_t)vm.capped_at + 1);
	ck_assert(!next(&view));
	ck_assert_ptr_nonnull(strstr(ended.reason, "memory cap of 80 MiB"));
	ck_assert_uint_eq(ended.caps, 1U << CAP_MEMORY);
}
END_TEST

/* The last line is what is so, all the same: when the quota lets it through, and at the VM's end. */
START_TEST(lines_about_the_log_have_a_quota)
{
	struct vm_end end = {0};
	bool fails = _i > 0, in_time = _i == 2;
	FILE *said = tmpfile();
	int before = dup(STDERR_FILENO);
	unsigned lines = 0;
	snprintf(vm.plan.name, sizeof(vm.plan.name), "web");
	ck_assert_int_eq(dup2(fileno(said), STDERR_FILENO), STDERR_FILENO);
	for (unsigned i = 0; i < (fails ? 1001 : 1000); i++) {
		struct message message = {.type = MESSAGE_LOG, .error = i % 2 == 0 ? ENOSPC : 0};
		ending_log(&end, &message);
		ending_tell_log(&vm, &end, false);
	}
	bool told = ending_tell_log(&vm, &end, false);
	end.log_lines = in_time ? (struct quota){0} : end.log_lines;
	bool told_in_time = ending_tell_log(&vm, &end, false);
	bool told_at_the_end = ending_tell_log(&vm, &end, true);
	fflush(stderr);
	ck_assert_int_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
	rewind(said);
	char line[512];
	for (; fgets(line, sizeof(line), said) != NULL; lines++)
		ck_assert_ptr_nonnull(strstr(line, lines % 2 == 1                     ? "is written again"
						   : lines >= QUOTA_BURST && !in_time ? "could not be written"
										      : "cannot be written"));
	ck_assert_uint_eq(lines, fails ? QUOTA_BURST + 1 : QUOTA_BURST);
	ck_assert(told == !fails && told_in_time == (!fails || in_time) && told_at_the_end);
	ck_assert_int_eq(end.log_said, fails ? ENOSPC : 0);
	ck_assert_int_eq(end.log_error, ENOSPC); /* known all the same */
	fclose(said);
	close(before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command: ending");
	TCase *tests = tcase_create("ending");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_was_not_reached_is_not_told);
	tcase_add_test(tests, a_count_lies_between_the_looks_around_it);
	tcase_add_test(tests, before_the_first_look_there_is_the_group_s_making);
	tcase_add_loop_test(tests, lines_about_the_log_have_a_quota, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
