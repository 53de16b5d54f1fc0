/* Promises of monitor/supervisor/caps.c: a cap of a running VM goes down, and up again to the policy's value; whoever
 * keeps it is told, and so is the log. */
#include "tests/unit/fake_supervisor.h"
#include "tests/unit/run_suite.h"

#include <string.h>

enum { T0 = 1000 };

static struct cap_change change;

static void setup(void)
{
	fake_supervisor_begin(T0);
	fake.plan.cpu_percent = 150;
	fake.plan.tasks = 32;
	fake.plan.memory_overhead = 64 << 20;
	fake.plan.log_max = 16 << 20;
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].bandwidth = 1 << 20;
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].as.disk.growth = 1 << 20;
	fake.plan.devices[FAKE_CONSOLE - MEMBER_DEVICE].as.console.output_max = 65536;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
}

static const char *find(const char *word, const char *device, uint64_t value)
{
	return caps_find(&fake.plan, word, device, value, &change);
}

START_TEST(a_change_is_within_the_policy)
{
	static const struct {
		const char *word, *device;
		uint64_t least, most;
	} caps[] = {
	    {"cpu", NULL, 1, 150},
	    {"tasks", NULL, 1, 32},
	    {"memory_overhead", NULL, 4 << 20, 64 << 20},
	    {"run_time", NULL, 1, 60000},
	    {"log", NULL, 1 << 20, 16 << 20},
	    {"bandwidth", "root", 1, 1 << 20},
	    {"growth", "root", 1, 1 << 20},
	    {"console", "console", 1, 65536},
	};
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		ck_assert_ptr_null(find(caps[i].word, caps[i].device, caps[i].most));
		ck_assert_uint_eq(change.value, caps[i].most);
		ck_assert_ptr_null(find(caps[i].word, caps[i].device, caps[i].least));
		ck_assert_str_eq(find(caps[i].word, caps[i].device, caps[i].most + 1), "the policy allows no more");
		ck_assert_str_eq(find(caps[i].word, caps[i].device, UINT64_MAX), "the policy allows no more");
		ck_assert_str_eq(find(caps[i].word, caps[i].device, caps[i].least - 1), "that is less than it can be");
	}
}
END_TEST

START_TEST(what_is_no_cap_is_refused)
{
	ck_assert_ptr_nonnull(strstr(find(NULL, NULL, 1), "\"cap\" must be"));
	ck_assert_ptr_nonnull(strstr(find("memory", NULL, 1), "no balloon"));
	ck_assert_ptr_nonnull(strstr(find("ram", NULL, 1), "\"cap\" must be"));
	ck_assert_ptr_nonnull(strstr(find("", NULL, 1), "\"cap\" must be"));
	ck_assert_str_eq(find("cpu", "root", 1), "this cap is not of a device");
	ck_assert_str_eq(find("bandwidth", NULL, 1), "\"device\" is missing");
	ck_assert_str_eq(find("bandwidth", "other", 1), "there is no such device");
	ck_assert_str_eq(find("operations", "root", 1), "this device has no such limit");
	ck_assert_str_eq(find("bandwidth", "console", 1), "this device has no such limit");
	ck_assert_str_eq(find("growth", "console", 1), "this device has no such limit");
	ck_assert_str_eq(find("console", "root", 1), "this device has no such limit");
	ck_assert_str_eq(find("connections", "root", 1), "this device has no such limit");
	fake.plan.run_time_ms = 0;
	ck_assert_ptr_nonnull(find("run_time", NULL, 1));
}
END_TEST

START_TEST(vsock_is_told_its_connections)
{
	fake.plan.devices[1] =
	    (struct plan_device){.kind = DEVICE_VSOCK, .name = "vsock", .bandwidth = 65536, .as.vsock.connections = 32};
	ck_assert_str_eq(find("connections", "vsock", 33), "the policy allows no more");
	ck_assert_str_eq(find("connections", "vsock", 0), "that is less than it can be");
	ck_assert_ptr_null(find("connections", "vsock", 2));
	caps_change(&fake.vm, &change);
	ck_assert_uint_eq(fake.to_device.type, MESSAGE_LIMIT);
	ck_assert_uint_eq(fake.to_device.code, CAP_CONNECTIONS);
	ck_assert_uint_eq(fake.to_device.value[0], 2);
	ck_assert_uint_eq(caps_in_force(&fake.vm, 2, CAP_CONNECTIONS), 2);
	ck_assert_str_eq(find("bandwidth", "vsock", 65537), "the policy allows no more");
	ck_assert_ptr_null(find("bandwidth", "vsock", 65536));
}
END_TEST

/* A log that is full has room for one change alone: what gives it all that the policy allows. */
START_TEST(only_the_policy_s_size_of_the_log_makes_room)
{
	ck_assert_ptr_null(find("log", NULL, 16 << 20));
	ck_assert(caps_are_launchers(&change));
	ck_assert(!caps_make_room(&fake.vm, &change)); /* it has that */
	ck_assert_ptr_null(find("log", NULL, 1 << 20));
	caps_note(&fake.vm, &change);
	ck_assert_ptr_null(find("log", NULL, 8 << 20));
	ck_assert(!caps_make_room(&fake.vm, &change));
	ck_assert_ptr_null(find("log", NULL, 16 << 20));
	ck_assert(caps_make_room(&fake.vm, &change));
	ck_assert_ptr_null(find("cpu", NULL, 150));
	ck_assert(!caps_make_room(&fake.vm, &change));
}
END_TEST

/* Between what the policy's balloon leaves and what the machine has. */
START_TEST(memory_is_asked_of_the_balloon)
{
	const uint64_t mib = 1 << 20;
	fake.plan.devices[1] =
	    (struct plan_device){.kind = DEVICE_BALLOON, .name = "root", .as.balloon.minimum = 16 * mib};
	ck_assert_ptr_nonnull(strstr(find("memory", NULL, 16 * mib - 1), "leaves the guest more"));
	ck_assert_str_eq(find("memory", NULL, 64 * mib + 1), "the policy allows no more");
	ck_assert_ptr_null(find("memory", NULL, 64 * mib));
	ck_assert_ptr_null(find("memory", NULL, 16 * mib));
	ck_assert(!caps_are_launchers(&change));
	caps_change(&fake.vm, &change);
	ck_assert_uint_eq(fake.to_device_member, 2);
	ck_assert_uint_eq(fake.to_device.type, MESSAGE_BALLOON);
	ck_assert_uint_eq(fake.to_device.code, BALLOON_RESIZE);
	ck_assert_uint_eq(fake.to_device.value[0], 48 * mib);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_CHANGED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, CAP_BALLOON);
}
END_TEST

static void expect_changed(uint32_t cap, uint64_t value, const char *device)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_CHANGED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, cap);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, value);
	ck_assert_uint_eq(view.fields[AUDIT_DEVICE].size, device == NULL ? 0 : strlen(device));
}

START_TEST(a_device_is_told_its_limit)
{
	ck_assert_ptr_null(find("bandwidth", "root", 4096));
	caps_change(&fake.vm, &change);
	ck_assert_uint_eq(fake.to_device.type, MESSAGE_LIMIT);
	ck_assert_uint_eq(fake.to_device.code, CAP_BANDWIDTH);
	ck_assert_uint_eq(fake.to_device.value[0], 4096);
	ck_assert_uint_eq(fake.to_device_member, FAKE_DISK_MEMBER);
	expect_changed(CAP_BANDWIDTH, 4096, "root");
}
END_TEST

START_TEST(what_is_in_force_is_what_was_set)
{
	const struct cap_change cpu = {.cap = CAP_CPU, .value = 30};
	ck_assert_uint_eq(caps_in_force(&fake.vm, FAKE_DISK_MEMBER, CAP_BANDWIDTH), 1 << 20);
	ck_assert_uint_eq(caps_in_force(&fake.vm, FAKE_CONSOLE, CAP_BANDWIDTH), 0);
	ck_assert_ptr_null(find("bandwidth", "root", 4096));
	caps_change(&fake.vm, &change);
	caps_note(&fake.vm, &cpu);
	ck_assert_uint_eq(caps_in_force(&fake.vm, FAKE_DISK_MEMBER, CAP_BANDWIDTH), 4096);
	ck_assert_uint_eq(caps_in_force(&fake.vm, FAKE_DISK_MEMBER, CAP_GROWTH), 1 << 20);
	ck_assert_uint_eq(caps_in_force(&fake.vm, 0, CAP_CPU), 30);
	ck_assert_uint_eq(caps_in_force(&fake.vm, 0, CAP_TASKS), 32);
	expect_changed(CAP_BANDWIDTH, 4096, "root");
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH, 3, T0 + 2);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, 4096);
}
END_TEST

START_TEST(the_run_time_counts_from_the_start_whenever_it_is_changed)
{
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 60000);
	ck_assert_ptr_null(find("run_time", NULL, 20000));
	caps_change(&fake.vm, &change);
	expect_changed(CAP_RUN_TIME, 20000, NULL);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 20000);
	ck_assert_ptr_null(find("run_time", NULL, 60000));
	caps_change(&fake.vm, &change);
	expect_changed(CAP_RUN_TIME, 60000, NULL);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 60000);
	ck_assert_ptr_null(find("run_time", NULL, 5)); /* it is over */
	caps_change(&fake.vm, &change);
	expect_changed(CAP_RUN_TIME, 5, NULL);
	vm_deadlines(&fake.vm, T0 + 30000);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, 5);
	ck_assert_str_eq(vm_state_word(&fake.vm), "stopping");
	fake_expect_event(AUDIT_VM_STOPPING);
	vm_set_run_time(&fake.vm, 60000); /* no way back */
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 30000 + fake.plan.grace_ms);
}
END_TEST

/* A change that the log has is in force, whether the vCPUs run, are about to stand still or do. */
START_TEST(the_run_time_can_be_changed_during_a_pause)
{
	vm_pause(&fake.vm);
	if (_i == 1)
		fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	ck_assert_str_eq(vm_state_word(&fake.vm), _i == 0 ? "pausing" : "paused");
	ck_assert_ptr_null(find("run_time", NULL, 20000));
	caps_change(&fake.vm, &change);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 20000);
	ck_assert_ptr_null(find("run_time", NULL, 60000));
	caps_change(&fake.vm, &change);
	ck_assert_uint_eq(vm_next_deadline(&fake.vm), T0 + 60000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor caps");
	TCase *tests = tcase_create("caps");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_change_is_within_the_policy);
	tcase_add_test(tests, what_is_no_cap_is_refused);
	tcase_add_test(tests, vsock_is_told_its_connections);
	tcase_add_test(tests, only_the_policy_s_size_of_the_log_makes_room);
	tcase_add_test(tests, memory_is_asked_of_the_balloon);
	tcase_add_test(tests, a_device_is_told_its_limit);
	tcase_add_test(tests, what_is_in_force_is_what_was_set);
	tcase_add_test(tests, the_run_time_counts_from_the_start_whenever_it_is_changed);
	tcase_add_loop_test(tests, the_run_time_can_be_changed_during_a_pause, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
