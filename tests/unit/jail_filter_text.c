/* Promises of what is told of the filters: the rules in words, each with a reason, as many as are compiled; hashes. */
#include "jail/launch.h"
#include "jail/outside/filter.h"
#include "tests/unit/fake_rules.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool prints(unsigned role, const char *call, const char *condition)
{
	struct jail_rule_text rules[JAIL_RULES_MAX];
	size_t count = jail_filter_rules(role, &fake_rules_plan, rules);
	for (size_t i = 0; i < count; i++)
		if (strcmp(rules[i].call, call) == 0 && strcmp(rules[i].condition, condition) == 0)
			return true;
	return false;
}

START_TEST(rules_are_printed_in_words)
{
	ck_assert(prints(ROLE_DEVICE, "preadv2", "fd = 9 (DEVICE_FD_BACKEND), count <= 256, flags within RWF_NOWAIT"));
	ck_assert(!prints(ROLE_DEVICE, "fdatasync", "fd = 9 (DEVICE_FD_BACKEND)"));
	ck_assert(prints(ROLE_DEVICE + 1, "fdatasync", "fd = 9 (DEVICE_FD_BACKEND)"));
	ck_assert(prints(ROLE_MONITOR, "ioctl", "fd in 49 50 51 (each its own vCPU), request = KVM_RUN, argument = 0"));
	ck_assert(prints(ROLE_MONITOR, "futex", "operation = FUTEX_WAIT_PRIVATE, timeout = 0"));
	ck_assert(prints(ROLE_MONITOR, "write", "fd in 11 15 19 23 27 31 35 39 43 47 (device interrupts), size = 8"));
}
END_TEST

START_TEST(each_printed_rule_has_a_reason)
{
	struct jail_rule_text rules[JAIL_RULES_MAX];
	static struct fake_thread threads[FAKE_THREADS];
	fake_rules_read(threads);
	const struct fake_thread *thread = &threads[_i];
	size_t printed = 0, count = jail_filter_rules(thread->role, &fake_rules_plan, rules);
	for (size_t i = 0; i < count; i++) {
		ck_assert_str_ne(rules[i].reason, "");
		printed += rules[i].thread == (thread->thread == THREAD_MAIN ? THREAD_MAIN : THREAD_VCPU);
	}
	ck_assert_uint_eq(printed, thread->count);
}
END_TEST

#define ENDS(text) (memchr((text), 0, sizeof(text)) != NULL)

/* A text that just fills its place in the table would go on into the next. */
START_TEST(each_text_of_a_rule_ends_in_its_place)
{
	static struct fake_thread threads[FAKE_THREADS];
	fake_rules_read(threads);
	const struct fake_thread *thread = &threads[_i];
	size_t count;
	const struct rule *rules =
	    filter_rules(thread->role, thread->thread == THREAD_MAIN ? THREAD_MAIN : THREAD_VCPU, &count);
	ck_assert_uint_gt(count, 0);
	for (size_t i = 0; i < count; i++) {
		ck_assert(ENDS(rules[i].name) && rules[i].name[0] != 0);
		ck_assert(ENDS(rules[i].reason));
		for (size_t j = 0; j < CONDITIONS_MAX; j++)
			ck_assert(ENDS(rules[i].conditions[j].label) && ENDS(rules[i].conditions[j].text));
	}
}
END_TEST

START_TEST(a_hash_is_of_one_threads_instructions)
{
	struct jail_filter monitor[THREAD_KINDS], again[THREAD_KINDS], device[THREAD_KINDS];
	const unsigned roles[] = {ROLE_MONITOR, ROLE_MONITOR, ROLE_DEVICE};
	struct jail_filter *const facts[] = {monitor, again, device};
	char why[JAIL_WHY_SIZE];
	for (size_t i = 0; i < 3; i++) {
		int memfd = jail_filters(roles[i], &fake_rules_plan, why);
		ck_assert(memfd >= 0 && jail_filter_facts(memfd, facts[i]));
		close(memfd);
	}
	ck_assert_mem_eq(monitor[THREAD_VCPU].sha256, again[THREAD_VCPU].sha256, JAIL_HASH_SIZE);
	ck_assert_mem_ne(monitor[THREAD_MAIN].sha256, monitor[THREAD_VCPU].sha256, JAIL_HASH_SIZE);
	ck_assert_mem_ne(monitor[THREAD_MAIN].sha256, device[THREAD_MAIN].sha256, JAIL_HASH_SIZE);
	ck_assert_uint_eq(device[THREAD_VCPU].instructions, 0);
	ck_assert(!jail_filter_facts(-1, device));
}
END_TEST

/* The comment at the top of each program is for its readers; a call that it leaves out misleads them. */
START_TEST(each_call_is_named_where_it_is_made)
{
	static const struct {
		unsigned role;
		bool is_vcpu;
		const char *file;
	} files[] = {
	    {ROLE_SUPERVISOR, false, "monitor/supervisor/main.c"},
	    {ROLE_MONITOR, false, "monitor/vmm/main.c"},
	    {ROLE_MONITOR, true, "monitor/vmm/vcpu.c"},
	    {ROLE_AUDITOR, false, "monitor/audit/main.c"},
	    {ROLE_DEVICE, false, "devices/main.c"},
	};
	static struct fake_thread threads[FAKE_THREADS];
	char comment[4096] = "";
	fake_rules_read(threads);
	const struct fake_thread *thread = &threads[_i];
	unsigned role = thread->role < ROLE_DEVICE ? thread->role : ROLE_DEVICE;
	size_t at = 0;
	while (files[at].role != role || files[at].is_vcpu != (thread->thread != THREAD_MAIN))
		at++;
	FILE *file = fopen(files[at].file, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_gt(fread(comment, 1, sizeof(comment) - 1, file), 0);
	fclose(file);
	char *end = strstr(comment, "*/");
	ck_assert_ptr_nonnull(end);
	*end = 0;
	for (size_t i = 0; i < thread->count; i++)
		ck_assert_msg(strstr(comment, thread->rules[i].call) != NULL, "%s says nothing of %s", files[at].file,
			      thread->rules[i].call);
}
END_TEST

START_TEST(system_calls_have_names)
{
	char name[JAIL_CALL_SIZE];
	ck_assert_str_eq(jail_call_name(41, name), "socket");
	ck_assert_str_eq(jail_call_name(0x7ff0, name), "number 32752");
	ck_assert_str_eq(jail_call_name(UINT64_MAX, name), "number 18446744073709551615");
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("text");
	tcase_add_test(cases, rules_are_printed_in_words);
	tcase_add_loop_test(cases, each_printed_rule_has_a_reason, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, each_text_of_a_rule_ends_in_its_place, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, each_call_is_named_where_it_is_made, 0, FAKE_THREADS);
	tcase_add_test(cases, a_hash_is_of_one_threads_instructions);
	tcase_add_test(cases, system_calls_have_names);
	Suite *suite = suite_create("jail/outside: filters in words");
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
