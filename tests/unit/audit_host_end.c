/* Promises of a recorded end: of a run whose end the host's log has, a log that goes on after it is found, whoever's
 * key signed that, by both verifiers. Where the host's log has no end, because the log's files were not there when it
 * took that, or lines of it were gone, the true log is not accused once it is back.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/host_log.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The run's log, if nothing happens to it:
 *     1 opened  2  3 checkpoint  4  5 checkpoint, end of epoch 0  6  7  8 checkpoint  9 closed  10 checkpoint
 */
enum { FIRST_SIGNATURE = 3, TURN = 5, UNSIGNED = 7, SIGNED = 8, RECORDS = 10 };
static struct fake_writer after[RECORDS + 1]; /* its writer after so many records, keys included */
static size_t left;                           /* records that were there at the run's end */

static void make_log(void)
{
	struct fake_writer writer_now;
	fake_log_free(&run_log);
	fake_writer_begin(&writer_now, &run_log, 1, 1);
	after[1] = writer_now;
	for (size_t i = 2; i <= RECORDS; i++) {
		if (i == FIRST_SIGNATURE || i == TURN || i == SIGNED || i == RECORDS)
			fake_writer_sign(&writer_now, i == TURN ? 9 : 0);
		else
			fake_writer_add(&writer_now, i == RECORDS - 1 ? AUDIT_LOG_CLOSED : AUDIT_VM_RUNNING);
		after[i] = writer_now;
	}
}

static void write_lines(const char *name, size_t begin, size_t end, const char *bytes)
{
	FILE *file = fopen(name, "w");
	ck_assert_ptr_nonnull(file);
	for (size_t i = begin; i < end; i++)
		fprintf(file, "%s\n", run_log.lines[i]);
	fputs(bytes, file);
	fclose(file);
}

static void setup(void)
{
	host_setup();
	make_log();
}

/* ---- what there was at the end ---- */

static void leave(size_t records, const char *bytes)
{
	left = records;
	write_lines(log_path, 0, records, bytes);
}
static void all_signed(void)
{
	leave(SIGNED, "");
}
static void first_signature(void)
{
	leave(FIRST_SIGNATURE, "");
}
static void not_signed(void)
{
	leave(UNSIGNED, "");
}
static void torn(void)
{
	leave(SIGNED, "{\"metadata\":");
}
static void sealed(void)
{
	leave(RECORDS, "");
}
static void cut_before_the_first_signature(void)
{
	leave(FIRST_SIGNATURE - 1, "");
}
static void emptied(void)
{
	leave(0, "");
}
static void away(void)
{
	ck_assert_int_eq(unlink(log_path), 0);
}
/* Line TURN twice, so that the next is not where it should be. */
static void spoilt(void)
{
	char *line = run_log.lines[TURN];
	run_log.lines[TURN] = run_log.lines[TURN - 1];
	leave(RECORDS, "");
	run_log.lines[TURN] = line;
}
/* What the host's log has is then of the line as it was. */
static void edited(void)
{
	char *message = strstr(run_log.lines[TURN], "VM vm runs");
	ck_assert_ptr_nonnull(message);
	memcpy(message, "VM wm", 5);
	leave(RECORDS, "");
	memcpy(message, "VM vm", 5);
}

/* By a thief of the first key, with as many records as the host's log knew of. */
static void forked(void)
{
	struct fake_log whole = run_log;
	struct fake_writer thief = after[1];
	run_log = (struct fake_log){0};
	fake_log_insert(&run_log, 0, whole.lines[0], whole.sizes[0]);
	fake_writer_add(&thief, AUDIT_VM_STOPPED);
	fake_writer_sign(&thief, 0);
	write_run();
	fake_log_free(&run_log);
	run_log = whole;
}

/* ---- what was done afterwards ---- */

static void nothing(void)
{
}
static void put_back(void)
{
	write_lines(log_path, 0, RECORDS, "");
}
/* With the key of the moment, by whoever has it. */
static void go_on(bool sign, bool close)
{
	struct fake_writer thief = after[left];
	while (run_log.count > left)
		fake_log_remove(&run_log, run_log.count - 1);
	fake_writer_add(&thief, AUDIT_VM_STOPPED);
	if (close)
		fake_writer_add(&thief, AUDIT_LOG_CLOSED);
	if (sign)
		fake_writer_sign(&thief, 0);
	write_run();
}
static void add(void)
{
	go_on(false, false);
}
static void add_and_sign(void)
{
	go_on(true, false);
}
static void seal(void)
{
	go_on(true, true);
}
static void tear(void)
{
	write_lines(log_path, 0, left, "{\"metadata\":");
}
static void add_what_is_none(void)
{
	write_lines(log_path, 0, left, "nothing\n");
}
/* Its end was told too early, of a copy: the host's log takes the true one, too. */
static void tell_again(void)
{
	put_back();
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
	end_run();
}

/* The log was longer then, and spoilt: what that was the end of is not known. */
static void tell_again_spoilt(void)
{
	spoilt();
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
	end_run();
	put_back();
}

static const struct {
	const char *name;
	void (*end)(void), (*afterwards)(void);
	enum verdict verdict;
} rows[] = {
    {"signed to its end", all_signed, nothing, VERDICT_UNSEALED},
    {"signed, then sealed", all_signed, seal, VERDICT_REPLACED},
    {"signed, then more, signed", all_signed, add_and_sign, VERDICT_REPLACED},
    {"signed, then more, not signed", all_signed, add, VERDICT_REPLACED},
    {"signed, then torn", all_signed, tear, VERDICT_TORN},
    {"signed, then a line that is none", all_signed, add_what_is_none, VERDICT_EDITED},
    {"ended at its first signature", first_signature, nothing, VERDICT_UNSEALED},
    {"ended at its first signature, then sealed", first_signature, seal, VERDICT_REPLACED},
    {"not signed", not_signed, nothing, VERDICT_UNSIGNED},
    {"not signed, then sealed", not_signed, seal, VERDICT_REPLACED},
    {"torn", torn, nothing, VERDICT_TORN},
    {"torn, then sealed", torn, seal, VERDICT_REPLACED},
    {"sealed", sealed, nothing, VERDICT_SEALED},
    {"sealed, then more", sealed, add_and_sign, VERDICT_INSERTED},
    {"a copy at the end, the true log since", all_signed, put_back, VERDICT_REPLACED},
    {"a copy at the end, the true log's told as well", all_signed, tell_again, VERDICT_SEALED},
    {"a copy at the end, told again when spoilt, then back", first_signature, tell_again_spoilt, VERDICT_SEALED},
    {"forked, then back", forked, put_back, VERDICT_SEALED},
    {"away, then back", away, put_back, VERDICT_SEALED},
    {"emptied, then back", emptied, put_back, VERDICT_SEALED},
    {"spoilt, then back", spoilt, put_back, VERDICT_SEALED},
    {"edited, then back", edited, put_back, VERDICT_REPLACED},
    {"cut below what was known, then back", cut_before_the_first_signature, put_back, VERDICT_SEALED},
};

START_TEST(a_log_that_goes_on_after_its_end_is_found)
{
	write_lines(log_path, 0, FIRST_SIGNATURE, "");
	start_run();
	rows[_i].end();
	end_run();
	rows[_i].afterwards();
	enum verdict found = judge(true);
	ck_assert_msg(found == rows[_i].verdict, "%s: %s", rows[_i].name, verdict_word(found));
}
END_TEST

START_TEST(how_long_it_was_is_said)
{
	struct verify verify;
	struct verify_result result;
	char text[AUDIT_TEXT_SIZE];
	all_signed();
	start_run();
	end_run();
	seal();
	ck_assert_int_eq(judge(true), VERDICT_REPLACED);
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = key};
	ck_assert_int_eq(audit_judge(log_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	audit_describe(&result, text);
	ck_assert_msg(strstr(text, "with records 1 to 8; this log has records up to 11") != NULL, "%s", text);
}
END_TEST

/* Nobody started it, and its log may hold something all the same. */
START_TEST(so_is_one_of_a_run_that_was_refused)
{
	all_signed();
	ck_assert_msg(host_log_refused(&vm, "no such luck", why) == 0, "%s", why);
	ck_assert_int_eq(judge(true), VERDICT_UNSEALED);
	seal();
	ck_assert_int_eq(judge(true), VERDICT_REPLACED);
}
END_TEST

/* ---- what nobody signed ---- */

/* Without the signature of its last session the host's log has that session's records, and anybody may have added them.
   0: of the run's start, 1: of its end. */
START_TEST(what_nobody_signed_in_the_host_s_log_is_not_heard)
{
	struct verify verify;
	struct verify_result result;
	char shorter[128];
	sealed();
	start_run();
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	if (_i == 1)
		end_run();
	snprintf(shorter, sizeof(shorter), "cd %s && sed '$d' host.jsonl >shorter.jsonl", host_folder);
	ck_assert_int_eq(system(shorter), 0);
	snprintf(shorter, sizeof(shorter), "%s/shorter.jsonl", host_folder);
	snprintf(path, sizeof(path), "%.60s", log_path);
	if (_i == 1)
		write_lines(log_path, 0, SIGNED, "");
	const struct audit_evidence evidence = {.host_log = shorter, .public_key = key};
	const char *const options[] = {"--host-log", shorter, "--pubkey", key, NULL};
	ck_assert_int_eq(audit_judge(log_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	ck_assert_msg(result.verdict == (_i == 0 ? VERDICT_UNKNOWN_KEY : VERDICT_UNSEALED), "%s",
		      verdict_word(result.verdict));
	ck_assert_int_eq(script(options), verdict_status(result.verdict));
}
END_TEST

/* ---- in segments ---- */

enum { FIRST = 6, SECOND = 11, MIDST_OF_SECOND = 9 };

static void in_segments(size_t end)
{
	static struct fake_writer states[FAKE_SEGMENTED + 1];
	const size_t ends[] = {0, FIRST, SECOND, FAKE_SEGMENTED};
	char name[SEGMENT_PATH_SIZE];
	fake_log_free(&run_log);
	fake_log_in_segments(&run_log, 1, states);
	for (unsigned i = 1; i <= 3; i++) {
		segment_path(log_path, i, name);
		unlink(name);
		if (end > ends[i - 1])
			write_lines(name, ends[i - 1], end < ends[i] ? end : ends[i], "");
	}
}

/* Its writer was in a later one, which was not there: where the log ended the host's log does not have. */
START_TEST(a_log_whose_later_files_were_away_is_not_accused)
{
	in_segments(FIRST);
	start_run();
	end_run();
	ck_assert_uint_eq(count("\"reason\":\"continued\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_CONTINUED);
	in_segments(FAKE_SEGMENTED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

START_TEST(so_is_one_that_goes_on_in_segments_alone_or_not)
{
	char name[SEGMENT_PATH_SIZE];
	in_segments(MIDST_OF_SECOND);
	start_run();
	end_run();
	ck_assert_int_eq(judge(true), VERDICT_UNSEALED);
	in_segments(FAKE_SEGMENTED);
	ck_assert_int_eq(judge(true), VERDICT_REPLACED);
	for (unsigned i = 2; i <= 3; i++) {
		segment_path(log_path, i, name);
		ck_assert_int_eq(judge_log(name, true), VERDICT_REPLACED);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit host end");
	TCase *tests = tcase_create("end");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, host_teardown);
	tcase_add_loop_test(tests, a_log_that_goes_on_after_its_end_is_found, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, how_long_it_was_is_said);
	tcase_add_test(tests, so_is_one_of_a_run_that_was_refused);
	tcase_add_loop_test(tests, what_nobody_signed_in_the_host_s_log_is_not_heard, 0, 2);
	tcase_add_test(tests, a_log_whose_later_files_were_away_is_not_accused);
	tcase_add_test(tests, so_is_one_that_goes_on_in_segments_alone_or_not);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
