/* See tests/unit/fake_host.h. */
#include "tests/unit/fake_host.h"

#include "monitor/command/audit_evidence.h"
#include "monitor/command/host_log.h"
#include "monitor/command/host_store.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_log_file.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct host host;
struct policy policy;
struct vm vm;
struct fake_log run_log;
char host_folder[64], log_path[128], host_path[128], key[NOTE_KEY_TEXT_SIZE], why[WHY_SIZE];
int writer = -1;

void write_run(void)
{
	FILE *file = fopen(log_path, "w");
	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < run_log.count; i++)
		fprintf(file, "%s\n", run_log.lines[i]);
	fclose(file);
}

void host_setup(void)
{
	strcpy(host_folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host_folder));
	snprintf(log_path, sizeof(log_path), "%s/run.jsonl", host_folder);
	snprintf(host_path, sizeof(host_path), "%s/" HOST_LOG_FILE, host_folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", host_folder);
	fake_log_make(&run_log, 8, true, 1);
	write_run();
	vm = (struct vm){.host = &host, .policy = &policy};
	struct record_context context;
	fake_context(&context);
	context.run[0] = 1;
	memcpy(vm.plan.run_id, context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "web");
	strcpy(vm.log_path, log_path);
}

void host_teardown(void)
{
	char command[128];
	fake_log_free(&run_log);
	close_descriptor(&writer);
	snprintf(command, sizeof(command), "rm -rf %s", host_folder);
	ck_assert_int_eq(system(command), 0);
}

void start_run(void)
{
	writer = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert(segment_hold(writer));
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
}

void end_run(void)
{
	close_descriptor(&writer);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
}

unsigned count(const char *text)
{
	static char whole[1 << 20];
	FILE *file = fopen(host_path, "r");
	unsigned found = 0;
	ck_assert_ptr_nonnull(file);
	whole[fread(whole, 1, sizeof(whole) - 1, file)] = 0;
	fclose(file);
	for (const char *at = whole; (at = strstr(at, text)) != NULL; at++)
		found++;
	return found;
}

void keep_file(const char *name, const char *as)
{
	char command[300];
	snprintf(command, sizeof(command), "cd %s && cp -p %s %s", host_folder, name, as);
	ck_assert_int_eq(system(command), 0);
}

enum verdict judge_log(const char *log, bool with_key)
{
	struct verify verify;
	struct verify_result result;
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = with_key ? key : NULL};
	ck_assert_msg(audit_judge(log, &evidence, NULL, NULL, &verify, &result, why) == 0, "%s", why);
	const char *const options[] = {"--host-log", host_path, with_key ? "--pubkey" : NULL, key, NULL};
	snprintf(path, sizeof(path), "%.60s", log);
	ck_assert_int_eq(script(options), verdict_status(result.verdict)); /* docs/verify.py */
	return result.verdict;
}

enum verdict judge(bool with_key)
{
	return judge_log(log_path, with_key);
}

enum verdict judge_host(void)
{
	struct verify verify;
	struct verify_result result;
	const struct audit_evidence evidence = {.public_key = key};
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	ck_assert_int_eq(audit_judge(host_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	return result.verdict;
}
