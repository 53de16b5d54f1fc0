/* Promises of monitor/audit/record_table.c: each sender has its own events, each event its own type, an event without
 * what it must carry is refused, the worst record fits, and whatever has a number has a name.
 */
#include "jail/lockdown.h"
#include "monitor/audit/record.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <string.h>

START_TEST(each_sender_has_its_own_events)
{
	static const struct {
		enum audit_event event;
		unsigned senders;
	} rules[] = {
	    {AUDIT_LOG_OPENED, SENDER_LAUNCHER},
	    {AUDIT_POLICY_LOADED, SENDER_LAUNCHER},
	    {AUDIT_RESOURCE_OPENED, SENDER_LAUNCHER},
	    {AUDIT_PLAN_MADE, SENDER_LAUNCHER},
	    {AUDIT_JAIL_EXCEPTION, SENDER_LAUNCHER},
	    {AUDIT_SPACE_LOW, SENDER_LAUNCHER},
	    {AUDIT_VM_STARTING, SENDER_LAUNCHER},
	    {AUDIT_PROCESS_STARTED, SENDER_LAUNCHER},
	    {AUDIT_START_REFUSED, SENDER_LAUNCHER},
	    {AUDIT_OVERLAY_DISCARDED, SENDER_LAUNCHER},
	    {AUDIT_OVERLAY_KEPT, SENDER_LAUNCHER},
	    {AUDIT_PROCESS_ENDED, SENDER_LAUNCHER},
	    {AUDIT_PASST_STARTED, SENDER_LAUNCHER},
	    {AUDIT_PASST_ENDED, SENDER_LAUNCHER},
	    {AUDIT_VIOLATION, SENDER_LAUNCHER},
	    {AUDIT_LOG_ROTATED, SENDER_LAUNCHER | SENDER_HOST},
	    {AUDIT_ROTATION_FAILED, SENDER_LAUNCHER},
	    {AUDIT_VM_STOPPED, SENDER_LAUNCHER | SENDER_SUPERVISOR},
	    {AUDIT_VM_CRASHED, SENDER_LAUNCHER | SENDER_SUPERVISOR},
	    {AUDIT_VM_RUNNING, SENDER_SUPERVISOR},
	    {AUDIT_VM_PAUSED, SENDER_SUPERVISOR},
	    {AUDIT_VM_RESUMED, SENDER_SUPERVISOR},
	    {AUDIT_VM_STOPPING, SENDER_SUPERVISOR},
	    {AUDIT_CONTROL_GRANTED, SENDER_SUPERVISOR},
	    {AUDIT_CONTROL_DENIED, SENDER_SUPERVISOR},
	    {AUDIT_DEVICE_FAULT, SENDER_SUPERVISOR},
	    {AUDIT_CAP_CHANGED, SENDER_LAUNCHER | SENDER_SUPERVISOR},
	    {AUDIT_CAP_REACHED, SENDER_LAUNCHER | SENDER_SUPERVISOR | SENDER_AUDITOR},
	    {AUDIT_FRAMES_DENIED, SENDER_SUPERVISOR},
	    {AUDIT_RECORDS_DROPPED, SENDER_LAUNCHER | SENDER_SUPERVISOR | SENDER_AUDITOR},
	    {AUDIT_RUN_STARTED, SENDER_HOST},
	    {AUDIT_REVISION_RESET, SENDER_HOST},
	    {AUDIT_RUN_SEALED, SENDER_HOST},
	    {AUDIT_RUN_UNSEALED, SENDER_HOST},
	    {AUDIT_RUN_REFUSED, SENDER_HOST},
	    {AUDIT_POLICY_REFUSED, SENDER_HOST},
	    {AUDIT_LOG_REPAIRED, SENDER_HOST},
	    {AUDIT_LOG_READ, SENDER_HOST},
	    {AUDIT_LOG_VERIFIED, SENDER_HOST},
	    {AUDIT_LOG_DOUBTED, SENDER_HOST},
	    {AUDIT_CHECKPOINT, SENDER_AUDITOR | SENDER_HOST},
	    {AUDIT_LOG_CONTINUED, SENDER_AUDITOR | SENDER_HOST},
	    {AUDIT_LOG_FULL, SENDER_AUDITOR},
	    {AUDIT_LOG_CLOSED, SENDER_AUDITOR},
	};
	ck_assert_uint_eq(sizeof(rules) / sizeof(rules[0]), AUDIT_EVENTS - 1);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct audit_packet packet;
		fake_event(&packet, rules[i].event);
		struct audit_view view = fake_view(&packet);
		for (unsigned sender = SENDER_LAUNCHER; sender <= SENDER_HOST; sender <<= 1)
			ck_assert_int_eq(record_acceptable(&view, sender), (rules[i].senders & sender) != 0);
	}
}
END_TEST

/* By the numbers that OCSF 1.8.0 gives them: a collector knows no others. */
START_TEST(each_event_is_what_it_is_called_in_ocsf)
{
	static const struct {
		enum audit_event event;
		unsigned type; /* class and activity */
	} types[] = {
	    {AUDIT_LOG_OPENED, 100806},      {AUDIT_LOG_CONTINUED, 100806},     {AUDIT_LOG_CLOSED, 100807},
	    {AUDIT_LOG_ROTATED, 100805},     {AUDIT_ROTATION_FAILED, 100805},   {AUDIT_LOG_READ, 100899},
	    {AUDIT_LOG_VERIFIED, 100899},    {AUDIT_LOG_DOUBTED, 100899},       {AUDIT_CHECKPOINT, 100899},
	    {AUDIT_RECORDS_DROPPED, 100899}, {AUDIT_VIOLATION, 200401},         {AUDIT_DEVICE_FAULT, 200401},
	    {AUDIT_CAP_REACHED, 200401},     {AUDIT_FRAMES_DENIED, 200401},     {AUDIT_JAIL_EXCEPTION, 200401},
	    {AUDIT_VM_STARTING, 300401},     {AUDIT_START_REFUSED, 300401},     {AUDIT_RESOURCE_OPENED, 300402},
	    {AUDIT_CAP_CHANGED, 300403},     {AUDIT_OVERLAY_DISCARDED, 300404}, {AUDIT_POLICY_LOADED, 300410},
	    {AUDIT_POLICY_REFUSED, 300410},  {AUDIT_VM_RUNNING, 300410},        {AUDIT_VM_STOPPED, 300411},
	    {AUDIT_VM_CRASHED, 300411},      {AUDIT_VM_PAUSED, 300412},         {AUDIT_VM_RESUMED, 300413},
	    {AUDIT_PLAN_MADE, 300499},       {AUDIT_PROCESS_STARTED, 600203},   {AUDIT_PASST_STARTED, 600203},
	    {AUDIT_PROCESS_ENDED, 600204},   {AUDIT_PASST_ENDED, 600204},       {AUDIT_CONTROL_GRANTED, 600399},
	    {AUDIT_CONTROL_DENIED, 600399},
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct record_rule *rule = &record_rules[types[i].event];
		ck_assert_msg(rule->class_uid * 100U + rule->activity == types[i].type, "%s: %u", rule->code,
			      rule->class_uid * 100U + rule->activity);
	}
}
END_TEST

START_TEST(an_event_without_a_required_field_is_refused)
{
	struct audit_packet packet;
	enum audit_event event = (enum audit_event)_i;
	fake_event(&packet, event);
	for (unsigned i = 0; i < RECORD_REQUIRED_MAX; i++) {
		struct audit_view view = fake_view(&packet);
		if (record_rules[event].required[i] == AUDIT_FIELD_NONE)
			continue;
		view.fields[record_rules[event].required[i]].size = 0;
		ck_assert(!record_acceptable(&view, fake_sender(event)));
	}
}
END_TEST

START_TEST(every_layer_has_a_name)
{
	ck_assert_str_eq(record_layer(0), "namespaces");
	ck_assert_str_eq(record_layer(10), "seccomp");
	ck_assert_str_eq(record_layer(12), "core_scheduling");
	ck_assert_str_eq(record_layer(13), "memory_files");
	ck_assert_ptr_null(record_layer(14));
	ck_assert_str_eq(record_word(AUDIT_OUTCOME, OUTCOME_STOPPED), "stopped by force");
	ck_assert_ptr_null(record_word(AUDIT_OUTCOME, OUTCOME_NONE));
	ck_assert_ptr_null(record_word(AUDIT_OUTCOME, 1000));
	ck_assert_str_eq(record_word(AUDIT_ROLE, ROLE_DEVICE + 3), "device");
	ck_assert_ptr_null(record_word(AUDIT_UID, 1));
	for (uint64_t fault = FAULT_QUEUE_LAYOUT; fault <= FAULT_REQUEST; fault++)
		ck_assert_ptr_nonnull(record_word(AUDIT_FAULT, fault));
	for (uint64_t failure = FAILURE_PLAN; failure <= FAILURE_MEMBER; failure++)
		ck_assert_ptr_nonnull(record_word(AUDIT_FAILURE, failure));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit record table");
	TCase *tests = tcase_create("record");
	tcase_add_test(tests, each_sender_has_its_own_events);
	tcase_add_test(tests, each_event_is_what_it_is_called_in_ocsf);
	tcase_add_loop_test(tests, an_event_without_a_required_field_is_refused, 1, AUDIT_EVENTS);
	tcase_add_test(tests, every_layer_has_a_name);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
