/* Promises of monitor/supervisor/vm.c: the guest runs only when every jail is verified and the log is on
 * disk; whatever a member says out of turn ends the VM; every end has its reason.
 */
#include "tests/unit/fake_supervisor.h"
#include "tests/unit/run_suite.h"

#include <errno.h>

enum { T0 = 1000 };

static void setup(void)
{
	fake_supervisor_begin(T0);
}

static void expect_failure(uint32_t index, uint32_t code)
{
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.type, MESSAGE_FAILED);
	ck_assert_uint_eq(fake.vm.last.index, index);
	ck_assert_uint_eq(fake.vm.last.code, code);
}

static bool was_told_to_run(void)
{
	return fake.to_monitor_count > 0 && fake.to_monitor[0].type == MESSAGE_RUN;
}

/* ---- the start ---- */

/* Each single condition that is missing keeps the guest from running. */
START_TEST(the_guest_runs_only_when_all_is_well)
{
	const struct message go = {.type = MESSAGE_GO};
	int missing = _i; /* 0 to 5: one of six messages of three members; 6: go; 7: nothing */
	for (uint32_t i = 0; i < fake.vm.member_count; i++) {
		if (missing == (int)(2 * i))
			continue; /* READY would be out of turn without LOCKED */
		fake_member_says(i, MESSAGE_LOCKED, 0, 0x7ff, T0);
		if (missing != (int)(2 * i + 1))
			fake_member_says(i, MESSAGE_READY, 0, 0, T0);
	}
	if (missing != 6)
		vm_from_launcher(&fake.vm, &go, T0);
	ck_assert(!fake.vm.over);
	ck_assert_int_eq(was_told_to_run(),
			 missing == 7 || missing == 1); /* the monitor runs it when it has loaded it */
	ck_assert_str_eq(vm_state_word(&fake.vm), "starting");
}
END_TEST

static void all_but_the_monitor_are_ready(void)
{
	const struct message go = {.type = MESSAGE_GO};
	vm_from_launcher(&fake.vm, &go, T0);
	for (uint32_t i = 0; i < fake.vm.member_count; i++) {
		fake_member_says(i, MESSAGE_LOCKED, 0, 0x7ff, T0);
		if (i != MEMBER_MONITOR)
			fake_member_says(i, MESSAGE_READY, 0, 0, T0);
	}
	ck_assert(was_told_to_run());
}

/* It is told to run before it has loaded the guest; that it is late, or runs without, ends the start all the same. */
START_TEST(a_monitor_that_was_told_early_must_be_ready)
{
	all_but_the_monitor_are_ready();
	if (_i == 0) {
		ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + START_MS);
		vm_deadlines(&fake.vm, T0 + START_MS);
		expect_failure(MEMBER_MONITOR, FAILURE_DEVICE);
	} else if (_i == 1) {
		fake_member_says(MEMBER_MONITOR, MESSAGE_RUNNING, 0, 0, T0);
		expect_failure(MEMBER_MONITOR, FAILURE_PROTOCOL);
	} else {
		if (_i == 3)
			vm_stop(&fake.vm, "before it is loaded", 3000, T0);
		fake_member_says(MEMBER_MONITOR, MESSAGE_READY, 0, 0, T0);
		fake_member_says(MEMBER_MONITOR, MESSAGE_RUNNING, 0, 0, T0);
		ck_assert(!fake.vm.over);
		ck_assert_uint_eq(fake.to_monitor_count, _i == 3 ? 2 : 1);
		ck_assert_str_eq(vm_state_word(&fake.vm), _i == 3 ? "stopping" : "running");
		fake_member_says(MEMBER_MONITOR, MESSAGE_READY, 0, 0, T0);
		expect_failure(MEMBER_MONITOR, FAILURE_PROTOCOL);
	}
}
END_TEST

START_TEST(the_order_of_the_conditions_does_not_matter)
{
	const struct message go = {.type = MESSAGE_GO};
	vm_from_launcher(&fake.vm, &go, T0);
	for (uint32_t i = fake.vm.member_count; i-- > 0;) {
		ck_assert(!was_told_to_run());
		fake_member_says(i, MESSAGE_LOCKED, 0, 0x7ff, T0);
		fake_member_says(i, MESSAGE_READY, 0, 0, T0);
	}
	ck_assert(was_told_to_run());
	ck_assert_uint_eq(fake.to_monitor_count, 1);
}
END_TEST

/* All is ready then, the guest's kernel loaded; nobody but who asks lets it run, and its run time counts from there. */
START_TEST(one_that_is_held_runs_when_it_is_started)
{
	const struct message go = {.type = MESSAGE_GO, .code = GO_ON_HOLD};
	fake.vm.run_time_ms = 5000;
	vm_from_launcher(&fake.vm, &go, T0);
	for (uint32_t i = fake.vm.member_count; i-- > 0;) {
		fake_member_says(i, MESSAGE_LOCKED, 0, 0x7ff, T0);
		ck_assert_str_eq(vm_state_word(&fake.vm), "starting");
		fake_member_says(i, MESSAGE_READY, 0, 0, T0);
	}
	ck_assert_uint_eq(fake.to_launcher[fake.to_launcher_count - 1].type, MESSAGE_ON_HOLD);
	ck_assert_str_eq(vm_state_word(&fake.vm), "held");
	ck_assert(!was_told_to_run());
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), NEVER);
	vm_pause(&fake.vm);
	vm_resume(&fake.vm);
	ck_assert_uint_eq(fake.to_monitor_count, 0);
	switch (_i) {
	case 0: /* it runs */
		vm_start(&fake.vm, T0 + 9000);
		ck_assert(was_told_to_run());
		ck_assert_str_eq(vm_state_word(&fake.vm), "starting");
		fake_member_says(MEMBER_MONITOR, MESSAGE_RUNNING, 0, 0, T0 + 9001);
		ck_assert_str_eq(vm_state_word(&fake.vm), "running");
		ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 9000 + 5000);
		vm_start(&fake.vm, T0 + 9002);
		ck_assert_uint_eq(fake.to_monitor_count, 1);
		break;
	case 1: /* no guest hears a power button */
		vm_stop(&fake.vm, "while it is held", 3000, T0);
		ck_assert(fake.vm.over);
		ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
		vm_start(&fake.vm, T0);
		ck_assert(!was_told_to_run());
		break;
	case 2: /* it cannot run by itself */
		fake_member_says(MEMBER_MONITOR, MESSAGE_RUNNING, 0, 0, T0);
		expect_failure(MEMBER_MONITOR, FAILURE_PROTOCOL);
		break;
	default:
		vm_from_launcher(&fake.vm, &(struct message){.type = MESSAGE_GO}, T0);
		expect_failure(MEMBER_SUPERVISOR, FAILURE_PROTOCOL);
	}
}
END_TEST

START_TEST(the_launcher_hears_of_each_member_by_its_true_index)
{
	fake_supervisor_run(T0);
	ck_assert_uint_eq(fake.to_launcher_count, 4); /* that one is ready is not its business */
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(fake.to_launcher[i].type, MESSAGE_LOCKED);
		ck_assert_uint_eq(fake.to_launcher[i].index, i);
		ck_assert_uint_eq(fake.to_launcher[i].value[0], 0x7ff);
	}
	ck_assert_uint_eq(fake.to_launcher[3].type, MESSAGE_RUNNING);
	fake_expect_event(AUDIT_VM_RUNNING);
	ck_assert_str_eq(vm_state_word(&fake.vm), "running");
}
END_TEST

START_TEST(a_member_that_is_late_ends_the_start)
{
	fake_member_says(0, MESSAGE_LOCKED, 0, 0, T0);
	fake_member_says(0, MESSAGE_READY, 0, 0, T0);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + START_MS);
	vm_deadlines(&fake.vm, T0 + START_MS - 1);
	ck_assert(!fake.vm.over);
	vm_deadlines(&fake.vm, T0 + START_MS);
	expect_failure(MEMBER_DEVICE, FAILURE_DEVICE);
	ck_assert_uint_eq(fake.vm.last.value[0], 0);
}
END_TEST

START_TEST(nothing_starts_without_a_log)
{
	vm_log_failed(&fake.vm, ENOSPC, _i == 0, T0);
	expect_failure(MEMBER_AUDITOR, FAILURE_LOG);
	ck_assert_int_eq(fake.vm.last.error, ENOSPC);
}
END_TEST

START_TEST(a_vm_that_runs_goes_on_without_a_log)
{
	fake_supervisor_run(T0);
	vm_log_failed(&fake.vm, ENOSPC, true, T0);
	ck_assert(!fake.vm.over);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_VM_RUNNING);
	ck_assert_int_eq(journal_send(&fake.vm, &packet, AUDIT_NO_TICKET), -1);
	ck_assert_int_eq(errno, EIO);
	vm_log_again(&fake.vm); /* what is lost does not come again */
	ck_assert(fake.vm.log_failed);
}
END_TEST

START_TEST(a_log_without_room_is_told_and_may_come_again)
{
	fake_supervisor_run(T0);
	unsigned before = fake.to_launcher_count;
	vm_log_failed(&fake.vm, ENOSPC, false, T0);
	vm_log_failed(&fake.vm, ENOSPC, false, T0);
	ck_assert_uint_eq(fake.to_launcher_count, before + 1);
	ck_assert_uint_eq(fake.to_launcher[before].type, MESSAGE_LOG);
	ck_assert_int_eq(fake.to_launcher[before].error, ENOSPC);
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_VM_RUNNING);
	ck_assert_int_eq(journal_send(&fake.vm, &packet, AUDIT_NO_TICKET), 0); /* the auditor counts it */
	vm_log_again(&fake.vm);
	vm_log_again(&fake.vm);
	ck_assert(!fake.vm.log_failed);
	ck_assert_uint_eq(fake.to_launcher_count, before + 2);
	ck_assert_int_eq(fake.to_launcher[before + 1].error, 0);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

START_TEST(a_vm_that_is_to_halt_is_stopped_with_its_log)
{
	fake.plan.log_failure = PLAN_LOG_HALT;
	fake_supervisor_run(T0);
	vm_log_failed(&fake.vm, EIO, _i == 0, T0);
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + fake.plan.grace_ms);
}
END_TEST

/* ---- out of turn ---- */

static const struct {
	const char *what;
	bool running; /* after the guest runs */
	uint32_t member, type, code;
} wrong[] = {
    {"ready before locked", false, 0, MESSAGE_READY, 0},
    {"running before run", false, 0, MESSAGE_RUNNING, 0},
    {"ended before run", false, 0, MESSAGE_ENDED, OUTCOME_POWER_OFF},
    {"a fault before run", false, FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD},
    {"locked while running", true, 0, MESSAGE_LOCKED, 0},
    {"ready while running", true, 1, MESSAGE_READY, 0},
    {"running twice", true, 0, MESSAGE_RUNNING, 0},
    {"a device that says running", true, 1, MESSAGE_RUNNING, 0},
    {"a device that says ended", true, 1, MESSAGE_ENDED, OUTCOME_POWER_OFF},
    {"no outcome", true, 0, MESSAGE_ENDED, OUTCOME_NONE},
    {"the supervisor's own outcome", true, 0, MESSAGE_ENDED, OUTCOME_STOPPED},
    {"an outcome past the last", true, 0, MESSAGE_ENDED, 1000},
    {"the monitor with a device's fault", true, 0, MESSAGE_FAULT, FAULT_HEAD},
    {"the monitor with a key", true, 0, MESSAGE_KEY, 'x'},
    {"a disk with a key", true, FAKE_DISK_MEMBER, MESSAGE_KEY, 'x'},
    {"a disk with the console's cap", true, FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_CONSOLE_OUTPUT},
    {"a limit that the disk has not", true, FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH},
    {"a limit of operations that the disk has not", true, FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS},
    {"a disk with the balloon's answer", true, FAKE_DISK_MEMBER, MESSAGE_BALLOON, 0},
    {"the monitor with the balloon's answer", true, 0, MESSAGE_BALLOON, 0},
    {"a cap past the last", true, FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS + 1},
    {"a console with the VM's cap", true, FAKE_CONSOLE, MESSAGE_CAP, CAP_RUN_TIME},
    {"no fault", true, FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_NONE},
    {"a fault past the last", true, FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_REQUEST + 1},
    {"the launcher's word", true, 0, MESSAGE_GO, 0},
    {"the launcher's stop", true, 1, MESSAGE_STOP, 0},
    {"the supervisor's word", true, 0, MESSAGE_RUN, 0},
    {"the auditor's word", true, 0, MESSAGE_DURABLE, 0},
    {"nothing", true, 0, MESSAGE_NONE, 0},
    {"a type past the last", true, 0, 0xffffffff, 0},
};

START_TEST(a_word_out_of_turn_ends_the_vm)
{
	if (wrong[_i].running)
		fake_supervisor_run(T0);
	fake_member_says(wrong[_i].member, wrong[_i].type, wrong[_i].code, 0, T0);
	ck_assert_msg(fake.vm.over, "%s", wrong[_i].what);
	expect_failure(wrong[_i].member, FAILURE_PROTOCOL);
}
END_TEST

START_TEST(locked_or_ready_twice_ends_the_vm)
{
	fake_member_says(0, MESSAGE_LOCKED, 0, 0, T0);
	if (_i == 1)
		fake_member_says(0, MESSAGE_READY, 0, 0, T0);
	fake_member_says(0, _i == 1 ? MESSAGE_READY : MESSAGE_LOCKED, 0, 0, T0);
	expect_failure(0, FAILURE_PROTOCOL);
}
END_TEST

START_TEST(the_first_end_is_the_one_that_counts)
{
	fake_supervisor_run(T0);
	fake_member_says(0, MESSAGE_ENDED, OUTCOME_PANIC, 0, T0);
	vm_member_gone(&fake.vm, 0);
	fake_member_says(1, MESSAGE_FAILED, FAILURE_MEMORY, 0, T0);
	vm_stop(&fake.vm, "late", 0, T0);
	ck_assert_uint_eq(fake.vm.last.type, MESSAGE_ENDED);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_PANIC);
}
END_TEST

START_TEST(a_member_that_is_gone_ends_the_vm)
{
	fake_supervisor_run(T0);
	vm_member_gone(&fake.vm, FAKE_DISK_MEMBER);
	expect_failure(FAKE_DISK_MEMBER, FAILURE_MEMBER);
}
END_TEST

START_TEST(a_member_s_own_failure_is_handed_on)
{
	fake_member_says(1, MESSAGE_FAILED, FAILURE_JAIL, 16, T0);
	expect_failure(1, FAILURE_JAIL);
	ck_assert_uint_eq(fake.vm.last.value[0], 16);
}
END_TEST

/* ---- stopping ---- */

START_TEST(a_stop_presses_the_button_then_ends_by_force)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	vm_stop(&fake.vm, "why not", 3000, T0);
	ck_assert_uint_eq(fake.to_monitor[1].type, MESSAGE_POWER_BUTTON);
	ck_assert_str_eq(vm_state_word(&fake.vm), "stopping");
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_VM_STOPPING);
	ck_assert_mem_eq(view.fields[AUDIT_REASON].bytes, "why not", 7);
	ck_assert_uint_eq(view.fields[AUDIT_GRACE].number, 3000);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 3000);
	vm_deadlines(&fake.vm, T0 + 2999);
	ck_assert(!fake.vm.over);
	vm_deadlines(&fake.vm, T0 + 3000);
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.type, MESSAGE_ENDED);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
	ck_assert_uint_eq(fake.vm.last.index, MEMBER_SUPERVISOR);
}
END_TEST

START_TEST(a_guest_that_powers_off_in_time_is_believed)
{
	fake_supervisor_run(T0);
	vm_stop(&fake.vm, "why not", 3000, T0);
	fake_member_says(0, MESSAGE_ENDED, OUTCOME_POWER_OFF, 0, T0 + 10);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_POWER_OFF);
}
END_TEST

START_TEST(a_second_stop_only_brings_the_end_nearer)
{
	fake_supervisor_run(T0);
	vm_stop(&fake.vm, "a", 3000, T0);
	vm_stop(&fake.vm, "b", 100000, T0);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 3000);
	vm_stop(&fake.vm, "c", 1000, T0);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 1000);
	ck_assert_uint_eq(fake.to_monitor_count, 2); /* the button is pressed once */
	vm_stop(&fake.vm, "d", 0, T0);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

START_TEST(a_stop_before_the_guest_runs_is_at_once)
{
	const struct message stop = {.type = MESSAGE_STOP, .value = {5000}};
	vm_from_launcher(&fake.vm, &stop, T0);
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
	ck_assert(!was_told_to_run());
}
END_TEST

START_TEST(a_grace_without_end_does_not_wrap)
{
	fake.plan.run_time_ms = fake.vm.run_time_ms = _i == 0 ? 0 : NEVER - T0 - 2;
	fake_supervisor_run(T0);
	vm_stop(&fake.vm, "a", UINT64_MAX, T0);
	vm_deadlines(&fake.vm, T0 + 1000000);
	ck_assert(!fake.vm.over);
}
END_TEST

START_TEST(the_key_asks_first_then_ends)
{
	fake_supervisor_run(T0);
	fake_member_says(FAKE_CONSOLE, MESSAGE_KEY, 'q', 0, T0);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	fake_member_says(FAKE_CONSOLE, MESSAGE_KEY, 'x', 0, T0);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 5000);
	fake_member_says(FAKE_CONSOLE, MESSAGE_KEY, 'x', 0, T0);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

START_TEST(the_run_time_cap_ends_the_vm)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 60000);
	vm_deadlines(&fake.vm, T0 + 60000);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, CAP_RUN_TIME);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, 60000);
	fake_expect_event(AUDIT_VM_STOPPING);
	ck_assert_uint_eq(fake.to_monitor[1].type, MESSAGE_POWER_BUTTON);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 65000);
	vm_deadlines(&fake.vm, T0 + 65000);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

/* Who may stop it may give it more time than the policy does, and not more than it had. */
START_TEST(no_stop_goes_beyond_the_run_time_and_its_grace)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	vm_stop(&fake.vm, "with much patience", _i == 0 ? 3600000 : 64999 - 1000, T0 + 1000);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_VM_STOPPING);
	ck_assert_uint_eq(view.fields[AUDIT_GRACE].number, _i == 0 ? 64000 : 63999);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), _i == 0 ? T0 + 65000 : T0 + 64999);
	vm_deadlines(&fake.vm, T0 + 65000);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

START_TEST(nothing_ticks_without_a_cap)
{
	fake.plan.run_time_ms = fake.vm.run_time_ms = 0;
	fake_supervisor_run(T0);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), NEVER);
}
END_TEST

/* ---- the balloon ---- */

START_TEST(the_balloon_is_asked_and_heard)
{
	fake.plan.devices[1] = (struct plan_device){.kind = DEVICE_BALLOON, .as.balloon.minimum = 16 << 20};
	fake_supervisor_run(T0);
	ck_assert(vm_balloon(&fake.vm, BALLOON_RESIZE, 4096));
	ck_assert_uint_eq(fake.to_device_member, 2);
	ck_assert_uint_eq(fake.to_device.type, MESSAGE_BALLOON);
	ck_assert_uint_eq(fake.to_device.code, BALLOON_RESIZE);
	ck_assert_uint_eq(fake.to_device.value[0], 4096);
	fake_member_says(2, MESSAGE_BALLOON, 0, 4096, T0);
	ck_assert(!fake.vm.over);
	ck_assert_uint_eq(fake.vm.balloon[0], 4096);
}
END_TEST

START_TEST(without_a_balloon_nobody_is_asked)
{
	fake_supervisor_run(T0);
	ck_assert(!vm_balloon(&fake.vm, BALLOON_ASK, 0));
	ck_assert_uint_eq(fake.to_device.type, MESSAGE_NONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor");
	TCase *tests = tcase_create("vm");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_loop_test(tests, the_guest_runs_only_when_all_is_well, 0, 8);
	tcase_add_loop_test(tests, a_monitor_that_was_told_early_must_be_ready, 0, 4);
	tcase_add_test(tests, the_order_of_the_conditions_does_not_matter);
	tcase_add_loop_test(tests, one_that_is_held_runs_when_it_is_started, 0, 4);
	tcase_add_test(tests, the_launcher_hears_of_each_member_by_its_true_index);
	tcase_add_test(tests, a_member_that_is_late_ends_the_start);
	tcase_add_loop_test(tests, nothing_starts_without_a_log, 0, 2);
	tcase_add_test(tests, a_vm_that_runs_goes_on_without_a_log);
	tcase_add_test(tests, a_log_without_room_is_told_and_may_come_again);
	tcase_add_loop_test(tests, a_vm_that_is_to_halt_is_stopped_with_its_log, 0, 2);
	tcase_add_loop_test(tests, a_word_out_of_turn_ends_the_vm, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_loop_test(tests, locked_or_ready_twice_ends_the_vm, 0, 2);
	tcase_add_test(tests, the_first_end_is_the_one_that_counts);
	tcase_add_test(tests, a_member_that_is_gone_ends_the_vm);
	tcase_add_test(tests, a_member_s_own_failure_is_handed_on);
	tcase_add_test(tests, a_stop_presses_the_button_then_ends_by_force);
	tcase_add_test(tests, a_guest_that_powers_off_in_time_is_believed);
	tcase_add_test(tests, a_second_stop_only_brings_the_end_nearer);
	tcase_add_test(tests, a_stop_before_the_guest_runs_is_at_once);
	tcase_add_loop_test(tests, a_grace_without_end_does_not_wrap, 0, 2);
	tcase_add_test(tests, the_key_asks_first_then_ends);
	tcase_add_test(tests, the_run_time_cap_ends_the_vm);
	tcase_add_loop_test(tests, no_stop_goes_beyond_the_run_time_and_its_grace, 0, 2);
	tcase_add_test(tests, nothing_ticks_without_a_cap);
	tcase_add_test(tests, the_balloon_is_asked_and_heard);
	tcase_add_test(tests, without_a_balloon_nobody_is_asked);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
