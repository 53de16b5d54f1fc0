/* Promises of `cofferdam audit verify --host-log` without a LOG: every run that the host's log has gets the verdict
 * that its log, read alone with the host's log, gets; two runs cannot pass off one log as both. docs/verify.py, which
 * shares no line, says the same of each.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 8 };

/* A run, in the order of their starts; what is done to its log afterwards, and what it is then. */
static const struct row {
	const char *log;
	enum { LEFT, CUT, GONE, OTHERS, EDITED, EMPTIED, LONGER } deed; /* LONGER: than when it ended */
	enum verdict verdict;
} rows[] = {
    {"sealed.jsonl", LEFT, VERDICT_SEALED},
    {"cut.jsonl", CUT, VERDICT_CUT},
    {"gone.jsonl", GONE, VERDICT_RUN_MISSING},
    {"others.jsonl", OTHERS, VERDICT_REPLACED},
    {"edited.jsonl", EDITED, VERDICT_EDITED},
    {"emptied.jsonl", EMPTIED, VERDICT_CUT},
    {"longer.jsonl", LONGER, VERDICT_REPLACED},
    {"one-name.jsonl", LEFT, VERDICT_REPLACED}, /* two logs with one name: the file is the later one's */
    {"one-name.jsonl", LEFT, VERDICT_SEALED},
    {"last.jsonl", LEFT, VERDICT_SEALED},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct host host;
static struct policy policy;
static char folder[32], host_path[64], key[NOTE_KEY_TEXT_SIZE], why[WHY_SIZE];

static void place(const char *name, const struct fake_log *log, size_t lines)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < lines; i++)
		fprintf(file, "%s\n", log->lines[i]);
	fclose(file);
}

static void run_of_row(size_t i, struct fake_log *log)
{
	struct record_context context;
	struct vm vm = {.host = &host, .policy = &policy};
	fake_log_make(log, RECORDS, true, (uint8_t)(i + 1));
	place(rows[i].log, log, rows[i].deed == LONGER ? 4 : RECORDS);
	fake_context(&context);
	context.run[0] = (uint8_t)(i + 1);
	memcpy(vm.plan.run_id, context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "web");
	strcpy(vm.log_path, path);
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
}

static void tamper(size_t i)
{
	struct fake_log log;
	fake_log_make(&log, RECORDS, true, (uint8_t)(rows[i].deed == OTHERS ? 1 : i + 1));
	if (rows[i].deed == EDITED)
		memcpy(strstr(log.lines[3], "VM vm"), "VM wm", 5);
	if (rows[i].deed != LEFT)
		place(rows[i].log, &log, rows[i].deed == CUT ? 4 : rows[i].deed == EMPTIED ? 0 : RECORDS);
	if (rows[i].deed == GONE)
		ck_assert_int_eq(unlink(path), 0);
	fake_log_free(&log);
}

static void setup(void)
{
	struct fake_log log;
	strcpy(folder, "/tmp/cofferdam-all-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(host_path, sizeof(host_path), "%s/host.jsonl", folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	for (size_t i = 0; i < ROWS; i++) {
		run_of_row(i, &log);
		fake_log_free(&log);
		ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	}
	for (size_t i = 0; i < ROWS; i++)
		tamper(i);
}

static void teardown(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* What both verifiers say, as docs/verify.py writes it. */
static char ours[4096], theirs[4096];

static void note(const char *log, const struct verify *verify, const struct verify_result *result, void *context)
{
	size_t used = strlen(ours);
	(void)verify, (void)context;
	snprintf(ours + used, sizeof(ours) - used, "%s: %s\n", log, verdict_word(result->verdict));
}

static int script_on_all(void)
{
	char command[512];
	snprintf(command, sizeof(command), "python3 docs/verify.py --pubkey '%s' --host-log %s", key, host_path);
	FILE *printed = popen(command, "r");
	ck_assert_ptr_nonnull(printed);
	theirs[fread(theirs, 1, sizeof(theirs) - 1, printed)] = 0;
	return WEXITSTATUS(pclose(printed));
}

START_TEST(each_run_gets_its_verdict_from_both)
{
	struct verify_result result;
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = key};
	char expected[4096] = "";
	ours[0] = 0;
	ck_assert_msg(audit_judge_all(&evidence, note, NULL, &result, why) == 0, "%s", why);
	for (size_t i = 0; i < ROWS; i++) {
		size_t used = strlen(expected);
		snprintf(expected + used, sizeof(expected) - used, "%s/%s: %s\n", folder, rows[i].log,
			 verdict_word(rows[i].verdict));
	}
	ck_assert_str_eq(ours, expected);
	ck_assert_int_eq(script_on_all(), verdict_status(VERDICT_RUN_MISSING)); /* the gravest */
	ck_assert_str_eq(theirs, expected);
}
END_TEST

static void expect_of_one(const char *name, enum verdict expected)
{
	struct verify verify;
	struct verify_result result;
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = key};
	const char *const options[] = {"--pubkey", key, "--host-log", host_path, NULL};
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	ck_assert_msg(audit_judge(path, &evidence, NULL, NULL, &verify, &result, why) == 0, "%s", why);
	ck_assert_msg(result.verdict == expected, "%s is %s", name, verdict_word(result.verdict));
	ck_assert_int_eq(script(options), verdict_status(expected));
}

/* The log of one run under the name of another is found; a copy under a name that is nobody's is what it is a copy of,
   and so is either of two that had one name. */
START_TEST(a_log_has_the_name_of_its_run_or_nobodys)
{
	struct fake_log log;
	expect_of_one("others.jsonl", VERDICT_REPLACED);
	expect_of_one("sealed.jsonl", VERDICT_SEALED);
	for (uint8_t run = 8; run <= 9; run++) { /* rows of that name, from 1 */
		fake_log_make(&log, RECORDS, true, run);
		place("one-name.jsonl", &log, RECORDS);
		expect_of_one("one-name.jsonl", VERDICT_SEALED);
		place("copy.jsonl", &log, RECORDS);
		expect_of_one("copy.jsonl", VERDICT_SEALED);
		place("last.jsonl", &log, RECORDS - 2);
		expect_of_one("last.jsonl", VERDICT_CUT);
		fake_log_free(&log);
	}
}
END_TEST

/* Whichever known run it says it is, under whichever name: it does not begin with that run's key. */
START_TEST(a_forged_log_of_a_known_run_is_found_under_any_name)
{
	static const char *const names[] = {"sealed.jsonl", "last.jsonl", "copy.jsonl"};
	struct fake_log log = {0};
	struct fake_writer forger;
	fake_writer_begin(&forger, &log, ROWS, 99);
	fake_writer_add(&forger, AUDIT_LOG_CLOSED);
	fake_writer_sign(&forger, 0);
	place(names[_i], &log, log.count);
	expect_of_one(names[_i], VERDICT_REPLACED);
	fake_log_free(&log);
}
END_TEST

START_TEST(no_run_is_judged_by_a_host_log_that_is_not_whole)
{
	struct verify_result result;
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = key};
	char expected[128];
	FILE *file = fopen(host_path, "r+");
	ck_assert_int_eq(fseek(file, 40, SEEK_SET), 0);
	fputc('#', file);
	fclose(file);
	ours[0] = 0;
	ck_assert_int_eq(audit_judge_all(&evidence, note, NULL, &result, why), 1);
	ck_assert_str_eq(ours, "");
	snprintf(expected, sizeof(expected), "%s: %s\n", host_path, verdict_word(result.verdict));
	ck_assert_int_eq(script_on_all(), verdict_status(result.verdict));
	ck_assert_str_eq(theirs, expected);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit all runs");
	TCase *tests = tcase_create("all runs");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, each_run_gets_its_verdict_from_both);
	tcase_add_test(tests, a_log_has_the_name_of_its_run_or_nobodys);
	tcase_add_loop_test(tests, a_forged_log_of_a_known_run_is_found_under_any_name, 0, 3);
	tcase_add_test(tests, no_run_is_judged_by_a_host_log_that_is_not_whole);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
