/* Promises of the host's auditor of a running VM (monitor/command/host_auditor.h): it writes what the launcher, which
 * could not read the key, asks it to; each thing once; it keeps two capabilities and one channel, and is gone with the
 * channel.
 */
#include "monitor/command/host_auditor.h"

#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/host_store.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct host host;
static struct policy policy;
static struct vm vm;
static char folder[32], why[WHY_SIZE];

static void setup(void)
{
	struct fake_log log;
	struct record_context context;
	strcpy(folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
	vm = (struct vm){.host = &host, .policy = &policy};
	snprintf(vm.log_path, sizeof(vm.log_path), "%s/run.jsonl", folder);
	fake_log_make(&log, 8, true, 1);
	FILE *file = fopen(vm.log_path, "w");
	for (size_t i = 0; i < log.count; i++)
		fprintf(file, "%s\n", log.lines[i]);
	fclose(file);
	fake_log_free(&log);
	fake_context(&context);
	context.run[0] = 1;
	memcpy(vm.plan.run_id, context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "web");
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_auditor_start(&vm, why) == 0, "%s", why);
}

static void teardown(void)
{
	char command[128];
	host_auditor_end(&vm);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* Asks, and waits. */
static int started(void)
{
	int result = host_auditor_started(&vm, why);
	return result == 0 && vm.host_auditor_asked ? host_auditor_answer(&vm, why) : result;
}

static unsigned count(const char *text)
{
	static char whole[1 << 20];
	char file_path[64];
	snprintf(file_path, sizeof(file_path), "%s/" HOST_LOG_FILE, folder);
	FILE *file = fopen(file_path, "r");
	unsigned found = 0;
	if (file == NULL)
		return 0;
	whole[fread(whole, 1, sizeof(whole) - 1, file)] = 0;
	fclose(file);
	for (const char *at = whole; (at = strstr(at, text)) != NULL; at++)
		found++;
	return found;
}

START_TEST(what_the_launcher_asks_is_written)
{
	char launcher[32];
	snprintf(launcher, sizeof(launcher), "\"pid\":%d", getpid());
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
	ck_assert_uint_eq(count("\"run_sealed\""), 1); /* nobody holds its log */
	ck_assert_uint_gt(count(launcher), 0);         /* in whose name */
	ck_assert_msg(host_auditor_ended(&vm, true, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_sealed\""), 1);
}
END_TEST

START_TEST(an_end_waits_for_the_start_to_be_written)
{
	ck_assert_msg(host_auditor_started(&vm, why) == 0, "%s", why);
	ck_assert(vm.host_auditor_asked);
	ck_assert_msg(host_auditor_ended(&vm, true, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
	ck_assert(!vm.host_auditor_asked);
}
END_TEST

START_TEST(an_end_before_it_was_asked_begins_the_run_as_well)
{
	ck_assert_msg(host_auditor_ended(&vm, false, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
	ck_assert_uint_eq(count("\"run_sealed\""), 1);
}
END_TEST

START_TEST(nothing_is_written_twice)
{
	ck_assert_msg(host_auditor_refused(&vm, "the first reason", why) == 0, "%s", why);
	ck_assert_int_eq(host_auditor_refused(&vm, "the second reason", why), -1);
	ck_assert_ptr_nonnull(strstr(why, "is gone"));
	ck_assert_uint_eq(count("\"run_refused\""), 1);
	ck_assert_uint_gt(count("the first reason"), 0);
	ck_assert_uint_eq(count("the second reason"), 0);
	ck_assert_int_eq(host_auditor_ended(&vm, true, why), -1);
}
END_TEST

START_TEST(without_one_the_launcher_writes_itself)
{
	host_auditor_end(&vm);
	ck_assert_int_le(vm.host_auditor, 0);
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
}
END_TEST

START_TEST(what_it_says_of_a_failure_is_passed_on)
{
	char file_path[64];
	snprintf(file_path, sizeof(file_path), "%s/host.key", folder);
	FILE *file = fopen(file_path, "w");
	fputs("no key", file);
	fclose(file);
	ck_assert_int_eq(started(), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.key"));
}
END_TEST

START_TEST(the_key_is_nobodys_who_gave_up_his_capabilities)
{
	char file_path[64];
	struct stat status;
	snprintf(file_path, sizeof(file_path), "%s/host.key", folder);
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_int_eq(stat(file_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	if (geteuid() == 0)
		ck_assert_uint_eq(status.st_uid, 4294967040);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host's auditor");
	TCase *tests = tcase_create("auditor");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_the_launcher_asks_is_written);
	tcase_add_test(tests, an_end_waits_for_the_start_to_be_written);
	tcase_add_test(tests, an_end_before_it_was_asked_begins_the_run_as_well);
	tcase_add_test(tests, nothing_is_written_twice);
	tcase_add_test(tests, without_one_the_launcher_writes_itself);
	tcase_add_test(tests, what_it_says_of_a_failure_is_passed_on);
	tcase_add_test(tests, the_key_is_nobodys_who_gave_up_his_capabilities);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
