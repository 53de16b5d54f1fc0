/* Promises of monitor/supervisor/control.c: who may ask is what the launcher says, every request is a
 * record, a stop is on disk before it is done, and nothing is done that cannot be recorded. What callers cannot
 * do to the supervisor is tests/unit/supervisor_callers.c's.
 */
#include "tests/unit/fake_control.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- requests ---- */

START_TEST(ps_tells_the_truth)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"ps\"}\n");
	serve(T0 + 2500);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, "{\"ok\":true,\"name\":\"web-7\",\"state\":\"running\",\"vcpus\":2,"
				 "\"memory_bytes\":67108864,\"uptime_ms\":2500}\n");
	expect_record(AUDIT_CONTROL_GRANTED, "ps", FAKE_OWNER);
	vm_stop(&fake.vm, "x", 1000, T0);
	ask(connection, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"state\":\"stopping\""));
}
END_TEST

START_TEST(inspect_shows_the_plan_and_each_jail)
{
	int connection = connect_as(0);
	fake.vm.members[2].locked = false;
	fake.plan.cpu_percent = 150;
	fake.plan.tasks = 32;
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].bandwidth = 1 << 20;
	fake.vm.changed[0][CAP_CPU] = 30;
	fake.vm.changed[FAKE_DISK_MEMBER][CAP_BANDWIDTH] = 4096;
	ask(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	static const char *const parts[] = {
	    "\"run\":\"aabb0000",
	    "\"policy_sha256\":\"cc00",
	    "\"owner_uid\":1234",
	    "\"cmdline\":\"quiet \\\"x\\\"\"",
	    "\"cpu_percent\":30,\"policy_cpu_percent\":150,\"tasks\":32,\"run_time_ms\"",
	    "\"bandwidth_bytes_per_s\":4096,\"policy_bandwidth_bytes_per_s\":1048576",
	    "\"grace_ms\":5000",
	    "\"log\":\"good\"",
	    "\"kind\":\"console\"",
	    "\"read_only\":true",
	    "\"size_bytes\":1048576",
	    "\"process\":\"monitor\",\"locked\":true,\"layers\":2047,\"absent\":0",
	    "\"process\":\"auditor\",\"locked\":false}",
	    "\"locked\":false,\"ready\":true,\"device\":\"root\"}"};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		ck_assert_msg(strstr(answer, parts[i]) != NULL, "%s not in %s", parts[i], answer);
	expect_record(AUDIT_CONTROL_GRANTED, "inspect", 0);
}
END_TEST

/* Every plan's inspection fits, whatever bytes its strings hold. */
START_TEST(the_longest_inspection_fits)
{
	int connection = connect_as(0);
	fake.plan.device_count = PLAN_DEVICES_MAX;
	fake.vm.member_count = MEMBERS_MAX;
	memset(fake.plan.cmdline, _i == 0 ? 0x01 : 0xff, sizeof(fake.plan.cmdline) - 1);
	for (uint32_t i = 0; i < PLAN_DEVICES_MAX; i++) {
		fake.plan.devices[i] = (struct plan_device){.kind = i % 2 ? DEVICE_CONSOLE : DEVICE_DISK,
							    .bandwidth = INT64_MAX,
							    .operations = INT64_MAX,
							    .as.disk.sectors = UINT64_MAX / 512};
		if (fake.plan.devices[i].kind == DEVICE_DISK)
			fake.plan.devices[i].as.disk.growth = INT64_MAX;
		else
			fake.plan.devices[i].as.console.output_max = INT64_MAX;
		for (uint32_t cap = 0; cap <= CAP_BALLOON; cap++)
			fake.vm.changed[0][cap] = fake.vm.changed[MEMBER_DEVICE + i][cap] = INT64_MAX - 1;
		memset(fake.plan.devices[i].name, _i == 0 ? 0x01 : 0xff, PLAN_NAME_SIZE - 1);
		fake.vm.members[1 + i] = (struct member){.locked = true, .layers = INT64_MAX, .absent = INT64_MAX};
	}
	ask(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_int_eq(strncmp(answer, "{\"ok\":true", 10), 0);
	ck_assert_int_eq(answer[strlen(answer) - 1], '\n');
}
END_TEST

START_TEST(a_stop_is_on_disk_before_it_is_done)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, _i == 0 ? "{\"request\":\"stop\"}\n" : "{\"request\":\"stop\",\"grace_ms\":1}\n");
	serve(T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_GRANTED);
	ck_assert_uint_eq(view.fields[AUDIT_GRACE].number, _i == 0 ? 5000 : 1);
	ck_assert_uint_ne(view.ticket, AUDIT_NO_TICKET);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	ck_assert(!hear(connection));
	control_durable(&control, &fake.vm, view.ticket + 1, T0); /* somebody else's */
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	control_durable(&control, &fake.vm, view.ticket, T0);
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
	ck_assert_uint_eq(fake.vm.force_at, T0 + (_i == 0 ? 5000 : 1));
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 1].type, MESSAGE_POWER_BUTTON);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, _i == 0 ? "{\"ok\":true,\"grace_ms\":5000}\n" : "{\"ok\":true,\"grace_ms\":1}\n");
	ck_assert(!is_closed(connection)); /* its end will tell of the VM's */
	control_deadlines(&control, &fake.vm, T0 + 3600 * 1000);
	ck_assert(!is_closed(connection));
}
END_TEST

START_TEST(a_stop_at_once_is_answered_and_done)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, _i == 0 ? "{\"request\":\"stop\",\"grace_ms\":0}\n" : "{\"request\":\"kill\"}\n");
	serve(T0);
	ck_assert(!fake.vm.over);
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	ck_assert(hear(connection));
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

/* Recorded, then asked of the launcher, then answered. */
START_TEST(a_cap_of_the_control_group_is_changed_by_the_launcher)
{
	static const struct {
		int error;
		const char *answer;
	} answers[] = {{0, "{\"ok\":true}\n"},
		       {EBUSY, "the VM has more memory than that already"},
		       {ENOENT, "this VM has no control group"},
		       {ERANGE, "the policy allows no more"},
		       {ENOTSUP, "its policy names no processors"},
		       {EINVAL, "the control group does not take that value"}};
	fake.plan.cpu_percent = 100;
	int connection = connect_as(FAKE_OWNER), other = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":50}\n");
	serve(T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_GRANTED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, CAP_CPU);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, 50);
	unsigned before = fake.to_launcher_count;
	control_durable(&control, &fake.vm, view.ticket, T0);
	ck_assert_uint_eq(fake.to_launcher_count, before + 1);
	struct message done = fake.to_launcher[before];
	ck_assert_uint_eq(done.type, MESSAGE_CHANGE);
	ck_assert_uint_eq(done.code, CAP_CPU);
	ck_assert_uint_eq(done.value[0], 50);
	ck_assert(!hear(connection));
	struct message wrong = done;
	wrong.index++;
	control_changed(&control, &fake.vm, &wrong, T0); /* somebody else's */
	control_durable(&control, &fake.vm, AUDIT_NO_TICKET, T0);
	ck_assert_uint_eq(fake.to_launcher_count, before + 1); /* asked once */
	ck_assert(!hear(connection));
	done.error = answers[_i].error;
	control_changed(&control, &fake.vm, &done, T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, answers[_i].answer));
	if (done.error != 0)
		expect_record(AUDIT_CONTROL_DENIED, "set", FAKE_OWNER);
	ck_assert(!hear(other));
	control_changed(&control, &fake.vm, &done, T0); /* said twice */
	ck_assert(!hear(connection));
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
}
END_TEST

/* What is asked reaches the launcher, who shows it, and the log. */
START_TEST(a_list_of_processors_is_changed_by_the_launcher)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":\"0-3,8,10-11,13-14,16-17,19,21,23\"}\n");
	serve(T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_CONTROL_DENIED); /* 32 characters */
	connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":\"0-3,8,10-11,13-14,16-17,19,21,2\"}\n");
	serve(T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_GRANTED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, CAP_PROCESSORS);
	ck_assert_uint_eq(view.fields[AUDIT_PROCESSORS].size, 31);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].size, 0);
	unsigned before = fake.to_launcher_count;
	control_durable(&control, &fake.vm, view.ticket, T0);
	struct message done = fake.to_launcher[before];
	ck_assert_uint_eq(done.type, MESSAGE_CHANGE);
	ck_assert_uint_eq(done.code, CAP_PROCESSORS);
	ck_assert_str_eq((const char *)done.value, "0-3,8,10-11,13-14,16-17,19,21,2");
	control_changed(&control, &fake.vm, &done, T0);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, "{\"ok\":true}\n");
}
END_TEST

static void ask_full(const char *request, enum audit_event event, bool fills)
{
	int connection = connect_as(FAKE_OWNER);
	uint64_t unsent = fake.vm.unsent;
	fake.vm.log_full = true;
	ask(connection, request);
	serve(T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, event);
	ck_assert_uint_eq(fake.vm.unsent, unsent + (event == AUDIT_NONE)); /* what is not recorded is counted */
	if (event == AUDIT_NONE) {
		ck_assert(hear(connection));
		ck_assert_ptr_nonnull(strstr(answer, "limits.log allows"));
		return;
	}
	unsigned before = fake.to_launcher_count;
	control_durable(&control, &fake.vm, view.ticket, T0);
	struct message done = fake.to_launcher[before];
	ck_assert_uint_eq(done.code, CAP_LOG);
	ck_assert(!fake.vm.log_full);
	fake.vm.log_full = fills; /* the auditor says so at once: the launcher's answer is not the last word */
	control_changed(&control, &fake.vm, &done, T0);
	ck_assert(hear(connection));
	ck_assert(fake.vm.log_full == fills);
	control_changed(&control, &fake.vm, &(struct message){.code = CAP_LOG, .error = ERANGE}, T0);
	close(connection);
}

START_TEST(a_full_log_has_room_again_by_the_policy_s_size)
{
	fake.plan.log_max = 8 << 20;
	fake.plan.cpu_percent = 100;
	caps_note(&fake.vm, &(struct cap_change){.cap = CAP_LOG, .value = 1 << 20});
	ask_full("{\"request\":\"set\",\"cap\":\"log\",\"value\":2097152}\n", AUDIT_NONE, false);
	ask_full("{\"request\":\"set\",\"cap\":\"cpu\",\"value\":50}\n", AUDIT_NONE, false);
	ask_full("{\"request\":\"set\",\"cap\":\"log\",\"value\":8388608}\n", AUDIT_CONTROL_GRANTED, false);
	caps_note(&fake.vm, &(struct cap_change){.cap = CAP_LOG, .value = 1 << 20});
	ask_full("{\"request\":\"set\",\"cap\":\"log\",\"value\":8388608}\n", AUDIT_CONTROL_GRANTED, true);
	ask_full("{\"request\":\"set\",\"cap\":\"log\",\"value\":8388608}\n", AUDIT_NONE, false);
}
END_TEST

START_TEST(a_full_log_whose_cap_does_not_change_stays_full)
{
	int connection = connect_as(FAKE_OWNER);
	fake.plan.log_max = 8 << 20;
	caps_note(&fake.vm, &(struct cap_change){.cap = CAP_LOG, .value = 1 << 20});
	fake.vm.log_full = true;
	ask(connection, "{\"request\":\"set\",\"cap\":\"log\",\"value\":8388608}\n");
	serve(T0);
	unsigned before = fake.to_launcher_count;
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	struct message done = fake.to_launcher[before];
	done.error = EAGAIN;
	control_changed(&control, &fake.vm, &done, T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "too many changes"));
	ck_assert(fake.vm.log_full);
}
END_TEST

START_TEST(a_launcher_that_does_not_answer_costs_the_connection)
{
	fake.plan.tasks = 64;
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"set\",\"cap\":\"tasks\",\"value\":20}\n");
	serve(T0);
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	control_deadlines(&control, &fake.vm, T0 + CONTROL_DURABLE_MS - 1);
	ck_assert(!is_closed(connection));
	control_deadlines(&control, &fake.vm, T0 + CONTROL_DURABLE_MS);
	ck_assert(is_closed(connection));
}
END_TEST

START_TEST(what_no_cap_can_be_is_refused_and_recorded)
{
	static const char *const bad[] = {
	    "{\"request\":\"set\"}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\"}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":-1}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":1.5}\n",
	    "{\"request\":\"set\",\"cap\":7,\"value\":1}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":101}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":1,\"more\":1}\n",
	    "{\"request\":\"set\",\"cap\":\"cpu\",\"value\":1,\"device\":\"root\"}\n",
	    "{\"request\":\"set\",\"cap\":\"bandwidth\",\"value\":1,\"device\":[]}\n",
	    "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":1}\n",
	    "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":\"\"}\n",
	    "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":\"0;1\"}\n",
	    "{\"request\":\"set\",\"cap\":\"cpuset\",\"value\":\"0\",\"device\":\"root\"}\n",
	};
	fake.plan.cpu_percent = 100;
	int connection = connect_as(FAKE_OWNER);
	unsigned before = fake.to_launcher_count;
	ask(connection, bad[_i]);
	serve(T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_CONTROL_DENIED);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"ok\":false"));
	ck_assert_uint_eq(fake.to_launcher_count, before);
}
END_TEST

START_TEST(a_dead_disk_does_not_keep_a_vm_alive)
{
	int connection = connect_as(FAKE_OWNER);
	if (_i == 1)
		vm_log_failed(&fake.vm, EIO, true, T0);
	ask(connection, "{\"request\":\"stop\"}\n");
	serve(T0);
	if (_i == 0) { /* the failure comes while it waits */
		ck_assert_int_eq(fake.vm.state, VM_RUNNING);
		vm_log_failed(&fake.vm, EIO, true, T0);
		control_durable(&control, &fake.vm, AUDIT_NO_TICKET, T0);
	} else if (_i == 2) { /* no answer comes at all */
		ck_assert_uint_eq(control_next_deadline(&control), T0 + CONTROL_DURABLE_MS);
		control_deadlines(&control, &fake.vm, T0 + CONTROL_DURABLE_MS);
	}
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
	ck_assert(hear(connection));
}
END_TEST

/* What a log that cannot be written lets happen: to see and to end the VM always, all else by the policy's choice. */
START_TEST(a_log_that_failed_refuses_what_the_policy_says)
{
	static const char *const requests[] = {"ps", "kill", "rotate"};
	bool lasting = _i % 2 == 0, waits = _i / 2 % 2 == 0, kept = _i / 4 % 2 == 0;
	const char *request = requests[_i / 8];
	char line[64];
	fake.plan.log_failure = kept ? PLAN_LOG_CONTINUE : PLAN_LOG_REFUSE;
	int connection = connect_as(FAKE_OWNER);
	snprintf(line, sizeof(line), "{\"request\":\"%s\"}\n", request);
	if (!waits)
		vm_log_failed(&fake.vm, ENOSPC, lasting, T0);
	ask(connection, line);
	serve(T0);
	if (waits) {
		vm_log_failed(&fake.vm, ENOSPC, lasting, T0);
		control_durable(&control, &fake.vm, AUDIT_NO_TICKET, T0);
	}
	if (kept && strcmp(request, "rotate") == 0) /* the launcher answers */
		ck_assert_uint_eq(fake.to_launcher[fake.to_launcher_count - 1].code, DEED_ROTATE);
	else if (kept || strcmp(request, "rotate") != 0)
		ck_assert(hear(connection));
	else
		expect_refusal(connection, "on_failure");
	ck_assert_int_eq(fake.vm.over, strcmp(request, "kill") == 0);
}
END_TEST

START_TEST(nothing_is_done_that_cannot_be_recorded)
{
	struct audit_packet packet;
	int connection = connect_as(FAKE_OWNER);
	audit_begin(&packet, AUDIT_VM_RUNNING);
	while (journal_send(&fake.vm, &packet, AUDIT_NO_TICKET) == 0)
		continue;
	ask(connection, _i == 0 ? "{\"request\":\"ps\"}\n" : "{\"request\":\"stop\"}\n");
	serve(T0);
	expect_refusal(connection, "the audit log is behind");
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

/* What the log has as granted, and comes to be on disk too late, or never: that it was not done is there as well. */
START_TEST(what_was_granted_and_comes_too_late_is_recorded_as_refused)
{
	int connection = connect_as(FAKE_OWNER);
	if (_i == 2)
		vm_log_failed(&fake.vm, ENOSPC, false, T0);
	ask(connection, "{\"request\":\"pause\"}\n");
	serve(T0);
	expect_record(AUDIT_CONTROL_GRANTED, "pause", FAKE_OWNER);
	if (_i == 0)
		control_deadlines(&control, &fake.vm, T0 + CONTROL_DURABLE_MS);
	if (_i == 1) {
		vm_log_failed(&fake.vm, ENOSPC, false, T0);
		control_durable(&control, &fake.vm, AUDIT_NO_TICKET, T0);
	}
	expect_refusal(connection, _i == 0 ? "the audit log is behind" : "on_failure");
	expect_record(AUDIT_CONTROL_DENIED, "pause", FAKE_OWNER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

/* ---- who may ask ---- */

START_TEST(a_stranger_is_turned_away_unheard)
{
	static const uint32_t strangers[] = {STRANGER, UINT32_MAX, 65534};
	int connection = connect_as(strangers[_i]);
	expect_refusal(connection, "you have no role in this VM");
	expect_record(AUDIT_CONTROL_DENIED, "connect", strangers[_i]);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		ck_assert_int_eq(control.connections[i].descriptor, -1);
}
END_TEST

/* Each role, and each pair, times each request. */
START_TEST(each_role_may_what_the_table_says)
{
	static const struct {
		const char *request;
		uint32_t may;
	} table[] = {{"ps", CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER},
		     {"inspect", CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER},
		     {"stop", CALLER_OWNER | CALLER_OPERATOR},
		     {"kill", CALLER_OWNER | CALLER_OPERATOR},
		     {"stats", CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER},
		     {"drift", CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER},
		     {"wait", CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER},
		     {"log", CALLER_OWNER | CALLER_AUDITOR},
		     {"console_log", CALLER_OWNER | CALLER_OPERATOR},
		     {"rotate", CALLER_OWNER | CALLER_AUDITOR}};
	static const uint32_t deeds[] = {DEED_STATS, DEED_DRIFT, DEED_WAIT, DEED_LOG, DEED_CONSOLE_LOG, DEED_ROTATE};
	uint32_t roles = (uint32_t)_i % 16, both = CALLER_OPERATOR | CALLER_AUDITOR;
	bool may = (table[_i / 16].may & roles) != 0 && ((roles & both) != both || (roles & CALLER_OWNER) != 0);
	char line[64];
	int connection = connect_with(STRANGER, roles);
	if (roles == 0) {
		expect_refusal(connection, "no role");
		return;
	}
	snprintf(line, sizeof(line), "{\"request\":\"%s\"}\n", table[_i / 16].request);
	ask(connection, line);
	serve(T0);
	expect_record(may ? AUDIT_CONTROL_GRANTED : AUDIT_CONTROL_DENIED, table[_i / 16].request, STRANGER);
	control_durable(&control, &fake.vm, control.last_ticket, T0);
	ck_assert_int_eq(fake.vm.state == VM_STOPPING, may && (_i / 16 == 2 || _i / 16 == 3));
	const struct message *last = &fake.to_launcher[fake.to_launcher_count - 1];
	bool handed_on = last->type == MESSAGE_DEED;
	ck_assert_int_eq(handed_on, may && _i / 16 >= 4);
	if (handed_on) {
		ck_assert_uint_eq(last->code, deeds[_i / 16 - 4]);
		ck_assert_uint_eq(last->value[0], roles);
		ck_assert(!hear(connection)); /* the launcher answers */
		ck_assert_int_eq(is_closed(connection), deeds[_i / 16 - 4] == DEED_WAIT);
	} else if (!may)
		expect_refusal(connection, roles == 0               ? "no role"
					   : (roles & both) == both ? "both operator and auditor"
								    : "does not allow");
	else
		ck_assert(hear(connection) && strstr(answer, "\"ok\":true") != NULL);
}
END_TEST

static void say_durable(void)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_GRANTED);
	ck_assert_uint_ne(view.ticket, AUDIT_NO_TICKET);
	control_durable(&control, &fake.vm, view.ticket, T0);
}

START_TEST(a_pause_is_answered_when_no_vcpu_runs)
{
	int connection = connect_as(FAKE_OWNER), other = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"pause\"}\n{\"request\":\"ps\"}\n");
	serve(T0);
	say_durable();
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 1].type, MESSAGE_PAUSE);
	ask(other, "{\"request\":\"ps\"}\n");
	serve(T0);
	control_state(&control, &fake.vm, T0);
	ck_assert(hear(other) && strstr(answer, "\"pausing\"") != NULL);
	ck_assert(!hear(connection));
	fake_auditor_hears();
	fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_PAUSED);
	control_state(&control, &fake.vm, T0);
	serve(T0);
	ck_assert(hear(connection) && strstr(answer, "{\"ok\":true}\n{\"ok\":true,\"name\"") != NULL);
	ck_assert_ptr_nonnull(strstr(answer, "\"paused\""));
	fake_auditor_hears();
	ask(connection, "{\"request\":\"resume\"}\n");
	serve(T0);
	say_durable();
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 1].type, MESSAGE_RESUME);
	control_state(&control, &fake.vm, T0);
	ck_assert(!hear(connection));
	ck_assert_str_eq(vm_state_word(&fake.vm), "paused");
	fake_member_says(MEMBER_MONITOR, MESSAGE_RESUMED, 0, 0, T0);
	control_state(&control, &fake.vm, T0);
	ck_assert(hear(connection) && strstr(answer, "{\"ok\":true}") != NULL);
	ck_assert_str_eq(vm_state_word(&fake.vm), "running");
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_RESUMED);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
}
END_TEST

START_TEST(who_is_not_in_the_state_is_refused)
{
	int connection = connect_as(FAKE_OWNER);
	unsigned sent = fake.to_monitor_count;
	if (_i == 1)
		vm_pause(&fake.vm);
	sent += _i == 1;
	ask(connection, _i == 0   ? "{\"request\":\"resume\"}\n"
			: _i == 1 ? "{\"request\":\"pause\"}\n"
				  : "{\"request\":\"start\"}\n");
	serve(T0);
	say_durable();
	expect_refusal(connection, _i == 0   ? "the VM is not paused"
				   : _i == 1 ? "the VM is not running"
					     : "the VM is not held: it has been started");
	ck_assert_uint_eq(fake.to_monitor_count, sent);
	expect_record(AUDIT_CONTROL_DENIED, _i == 0 ? "resume" : _i == 1 ? "pause" : "start", FAKE_OWNER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
}
END_TEST

START_TEST(a_stop_overtakes_a_pause)
{
	int pausing = connect_as(FAKE_OWNER), stopping = connect_as(FAKE_OWNER);
	ask(pausing, "{\"request\":\"pause\"}\n");
	serve(T0);
	say_durable();
	if (_i == 1)
		fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	ck_assert_int_eq(fake_auditor_hears().event, _i == 1 ? AUDIT_VM_PAUSED : AUDIT_NONE);
	ask(stopping, "{\"request\":\"stop\"}\n");
	serve(T0);
	say_durable();
	control_state(&control, &fake.vm, T0);
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 2].type, MESSAGE_RESUME);
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 1].type, MESSAGE_POWER_BUTTON);
	expect_refusal(pausing, "told to stop meanwhile");
	if (_i == 0)
		fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	for (int again = 0; again < 2; again++) /* it is recorded once */
		fake_member_says(MEMBER_MONITOR, MESSAGE_RESUMED, 0, 0, T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_STOPPING);
	ck_assert_int_eq(fake_auditor_hears().event, _i == 1 ? AUDIT_VM_RESUMED : AUDIT_NONE);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert_str_eq(vm_state_word(&fake.vm), "stopping");
	ck_assert(!fake.vm.over);
}
END_TEST

/* One vCPU of several can power off before the others are awake; the pause is over all the same. */
START_TEST(who_ends_it_has_gone_on)
{
	int pausing = connect_as(FAKE_OWNER), stopping = connect_as(FAKE_OWNER);
	ask(pausing, "{\"request\":\"pause\"}\n");
	serve(T0);
	say_durable();
	fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_PAUSED);
	ask(stopping, "{\"request\":\"stop\"}\n");
	serve(T0);
	say_durable();
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_STOPPING);
	fake_member_says(MEMBER_MONITOR, MESSAGE_ENDED, OUTCOME_POWER_OFF, 0, T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_RESUMED);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert(fake.vm.over);
}
END_TEST

/* Nobody waits for ever for vCPUs that do not stop. */
START_TEST(a_pause_that_does_not_come_ends_the_wait)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"pause\"}\n");
	serve(T0);
	say_durable();
	control_deadlines(&control, &fake.vm, T0 + CONTROL_IDLE_MS);
	ck_assert(is_closed(connection));
	fake_member_says(MEMBER_MONITOR, MESSAGE_PAUSED, 0, 0, T0);
	control_state(&control, &fake.vm, T0 + CONTROL_IDLE_MS);
	ck_assert_str_eq(vm_state_word(&fake.vm), "paused");
}
END_TEST

START_TEST(a_monitor_may_not_say_that_it_paused_unasked)
{
	fake_member_says(MEMBER_MONITOR, _i == 0 ? MESSAGE_PAUSED : MESSAGE_RESUMED, 0, 0, T0);
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.code, FAILURE_PROTOCOL);
}
END_TEST

START_TEST(a_busy_launcher_is_said)
{
	int connection = connect_as(FAKE_OWNER);
	fake.launcher_is_busy = true;
	ask(connection, "{\"request\":\"wait\"}\n");
	serve(T0);
	expect_record(AUDIT_CONTROL_GRANTED, "wait", FAKE_OWNER);
	expect_refusal(connection, "the launcher is busy");
	expect_record(AUDIT_CONTROL_DENIED, "wait", FAKE_OWNER);
}
END_TEST

START_TEST(a_deed_leaves_the_connection_for_the_next_request)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"stats\"}\n{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connection) && strstr(answer, "running") != NULL);
	ck_assert_uint_eq(control_next_deadline(&control), T0 + CONTROL_IDLE_MS);
}
END_TEST

/* The name comes from the launcher; a line cannot claim another. */
START_TEST(a_line_names_nobody)
{
	int connection = connect_with(STRANGER, CALLER_AUDITOR);
	ask(connection, _i == 0 ? "{\"request\":\"ps\",\"uid\":0}\n" : "{\"request\":\"ps\",\"roles\":1}\n");
	serve(T0);
	expect_refusal(connection, "does not allow");
}
END_TEST

/* What is one is in supervisor_request.c. */
START_TEST(what_is_no_request_is_refused_and_recorded)
{
	static const char *const bad[] = {"\n", "garbage\n", "{\"request\":\"halt\"}\n"};
	int connection = connect_as(FAKE_OWNER);
	ask(connection, bad[_i]);
	serve(T0);
	expect_refusal(connection, _i < 2 ? "JSON object" : "no such");
	expect_record(AUDIT_CONTROL_DENIED, "invalid", FAKE_OWNER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor control");
	TCase *tests = tcase_create("control");
	tcase_add_checked_fixture(tests, control_setup, NULL);
	tcase_add_test(tests, ps_tells_the_truth);
	tcase_add_test(tests, inspect_shows_the_plan_and_each_jail);
	tcase_add_loop_test(tests, the_longest_inspection_fits, 0, 2);
	tcase_add_loop_test(tests, a_stop_is_on_disk_before_it_is_done, 0, 2);
	tcase_add_loop_test(tests, a_stop_at_once_is_answered_and_done, 0, 2);
	tcase_add_loop_test(tests, a_cap_of_the_control_group_is_changed_by_the_launcher, 0, 6);
	tcase_add_test(tests, a_list_of_processors_is_changed_by_the_launcher);
	tcase_add_test(tests, a_full_log_has_room_again_by_the_policy_s_size);
	tcase_add_test(tests, a_full_log_whose_cap_does_not_change_stays_full);
	tcase_add_test(tests, a_launcher_that_does_not_answer_costs_the_connection);
	tcase_add_loop_test(tests, what_no_cap_can_be_is_refused_and_recorded, 0, 13);
	tcase_add_loop_test(tests, a_dead_disk_does_not_keep_a_vm_alive, 0, 3);
	tcase_add_loop_test(tests, a_log_that_failed_refuses_what_the_policy_says, 0, 24);
	tcase_add_loop_test(tests, nothing_is_done_that_cannot_be_recorded, 0, 2);
	tcase_add_loop_test(tests, what_was_granted_and_comes_too_late_is_recorded_as_refused, 0, 3);
	tcase_add_loop_test(tests, a_stranger_is_turned_away_unheard, 0, 3);
	tcase_add_loop_test(tests, each_role_may_what_the_table_says, 0, 160);
	tcase_add_test(tests, a_pause_is_answered_when_no_vcpu_runs);
	tcase_add_loop_test(tests, who_is_not_in_the_state_is_refused, 0, 3);
	tcase_add_loop_test(tests, a_stop_overtakes_a_pause, 0, 2);
	tcase_add_test(tests, who_ends_it_has_gone_on);
	tcase_add_test(tests, a_pause_that_does_not_come_ends_the_wait);
	tcase_add_loop_test(tests, a_monitor_may_not_say_that_it_paused_unasked, 0, 2);
	tcase_add_test(tests, a_busy_launcher_is_said);
	tcase_add_test(tests, a_deed_leaves_the_connection_for_the_next_request);
	tcase_add_loop_test(tests, a_line_names_nobody, 0, 2);
	tcase_add_loop_test(tests, what_is_no_request_is_refused_and_recorded, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
