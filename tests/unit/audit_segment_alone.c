/* Promises of a segment that is read without those before it: an attack table. Each row is what was done to one segment
 * of a log, and the verdict that each body of evidence can carry; `cofferdam audit verify` and docs/verify.py, which
 * share no line, both have to say it. What a key, an anchor or the host's log says of another segment says nothing of
 * this one: neither that it is true nor that it is not.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Three segments, of an epoch each:
 *     1 opened  2  3 checkpoint, end of epoch 0  4  5 rotated  6 checkpoint
 *     7 continued  8  9 checkpoint, end of epoch 1  10 rotated  11 checkpoint
 *     12 continued  13  14 closed  15 checkpoint
 * Two anchors were taken: the notes in records 9 and 15. The host's log knows the first signature and the end, or, if
 * the run is not over, the first signature.
 */
enum { RECORDS = FAKE_SEGMENTED, FIRST = 6, SECOND = 11, EARLY = 9 };
static struct fake_writer after[RECORDS + 1];
static struct host host;
static struct policy policy;
static char folder[32], first[SEGMENT_PATH_SIZE], early[64], late[64], ended[64], runs[64], why[WHY_SIZE];
static char key[NOTE_KEY_TEXT_SIZE], host_keys[2][NOTE_KEY_TEXT_SIZE];
static unsigned segment;  /* which is looked at */
static size_t from, to;   /* its lines in log_ */
static const char *bytes; /* at its end, "": none */
static bool misnamed;     /* it has the first's name */

static void write_lines(const char *name, size_t begin, size_t end)
{
	FILE *file = fopen(name, "w");
	ck_assert_ptr_nonnull(file);
	for (size_t i = begin; i < end; i++)
		fprintf(file, "%s\n", log_.lines[i]);
	fputs(bytes, file);
	fclose(file);
}

static void take_anchor(const char *name, size_t lines)
{
	struct verify verify;
	struct verify_result result;
	write_lines(first, 0, lines);
	ck_assert_int_eq(audit_judge(first, &(struct audit_evidence){0}, NULL, NULL, &verify, &result, why), 0);
	FILE *file = fopen(name, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(verify.last_note, 1, verify.last_note_size, file), verify.last_note_size);
	fclose(file);
}

/* In a folder of its own, with the log; `over`: the run is. */
static void tell_the_host(const char *name, bool over, char *host_key)
{
	char log[64], part[SEGMENT_PATH_SIZE];
	struct vm vm = {.host = &host, .policy = &policy};
	const size_t ends[] = {0, FIRST, SECOND, RECORDS};
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s/%s", folder, over ? "ended" : "runs");
	snprintf(log, sizeof(log), "%s/%s/log.jsonl", folder, over ? "ended" : "runs");
	ck_assert_int_eq(mkdir(host.folders.audit.text, 0700), 0);
	for (unsigned i = 1; i <= 3; i++) {
		segment_path(log, i, part);
		write_lines(part, ends[i - 1], ends[i]);
	}
	AUTO_CLOSE int writer = open(log, O_WRONLY | O_CLOEXEC);
	ck_assert(over || segment_hold(writer));
	memcpy(vm.plan.run_id, after[1].context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "vm");
	snprintf(vm.log_path, sizeof(vm.log_path), "%s", log);
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_log_key(&host, host_key, why) == 0, "%s", why); /* and settles what is over */
	ck_assert_int_eq(access(name, F_OK), 0);
}

static void setup(void)
{
	strcpy(folder, "/tmp/cofferdam-alone-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(first, sizeof(first), "%s/log.jsonl", folder);
	snprintf(early, sizeof(early), "%s/early", folder);
	snprintf(late, sizeof(late), "%s/late", folder);
	snprintf(ended, sizeof(ended), "%s/ended/host.jsonl", folder);
	snprintf(runs, sizeof(runs), "%s/runs/host.jsonl", folder);
	bytes = "";
	misnamed = false;
	fake_log_in_segments(&log_, 1, after);
	take_anchor(early, EARLY);
	take_anchor(late, RECORDS);
	tell_the_host(ended, true, host_keys[0]);
	tell_the_host(runs, false, host_keys[1]);
}

static void teardown(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
	fake_log_free(&log_);
}

/* ---- the attacks ---- */

static void second(void)
{
	segment = 2;
	from = FIRST;
	to = SECOND;
}
static void third(void)
{
	segment = 3;
	from = SECOND;
	to = RECORDS;
}
static void second_cut_at_a_checkpoint(void)
{
	second();
	to = EARLY;
}
static void second_cut_between(void)
{
	second();
	to = EARLY + 1;
}
static void third_cut(void)
{
	third();
	to = RECORDS - 2;
}
static void second_torn(void)
{
	second_cut_at_a_checkpoint();
	bytes = "{\"half\":";
}
static void second_torn_in_its_first_line(void)
{
	second();
	to = from;
	bytes = "{\"half\":";
}
static void second_emptied(void)
{
	second();
	to = from;
}
static void second_edited(void)
{
	second();
	edit(FIRST + 1, "VM vm runs", "VM wm runs");
}
static void second_without_its_beginning(void)
{
	second();
	from++;
}
static char *first_hash(void)
{
	return strstr(log_.lines[FIRST], "\"frontier\":[\"") + strlen("\"frontier\":[\"");
}
static void its_tree_edited(void)
{
	second();
	*first_hash() = *first_hash() == '0' ? '1' : '0';
}
static void its_tree_no_tree(void)
{
	second();
	*first_hash() = 'x';
}
static void third_in_the_first_s_place(void)
{
	third();
	misnamed = true;
}
static void third_of_another_run(void)
{
	static struct fake_writer others[RECORDS + 1];
	third();
	fake_log_free(&log_);
	fake_log_in_segments(&log_, 2, others);
}
static void added_after_the_seal(void)
{
	third();
	fake_writer_add(&after[RECORDS], AUDIT_VM_RUNNING);
	to = log_.count;
}
/* By the thief of the epoch's key: all is signed well, over a tree that never was. */
static void forge_segment(size_t last, unsigned level)
{
	struct fake_writer writer = after[last];
	while (log_.count > last)
		fake_log_remove(&log_, log_.count - 1);
	fake_writer_add(&writer, AUDIT_LOG_ROTATED);
	fake_writer_sign(&writer, 0);
	writer.signer.tree.frontier[level][0] ^= 1;
	fake_writer_add(&writer, AUDIT_LOG_CONTINUED);
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	fake_writer_sign(&writer, last == 4 ? 77 : 0);
	fake_writer_add(&writer, last == 4 ? AUDIT_LOG_ROTATED : AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
}
static void second_over_another_tree(void)
{
	second();
	forge_segment(4, 1);
}
static void third_over_another_tree(void)
{
	third();
	forge_segment(9, 0);
	to = log_.count;
}

enum { ALONE, WITH_KEY, WITH_EARLY, WITH_LATE, WITH_HOST, WITH_RUNS, EVIDENCE };
#define ALL(verdict)                                                                                                   \
	{                                                                                                              \
		verdict, verdict, verdict, verdict, verdict, verdict                                                   \
	}
#define UNSEALED VERDICT_UNSEALED
#define UNSIGNED VERDICT_UNSIGNED
#define CONTINUED VERDICT_CONTINUED
#define SELF VERDICT_SELF_SIGNED
#define SEALED VERDICT_SEALED
#define CUT VERDICT_CUT
#define BACK VERDICT_ROLLED_BACK
static const struct {
	const char *name;
	void (*attack)(void);
	/* The segment alone; with its epoch's key; an anchor of record 8; of 14; with the host's log; while it runs. */
	enum verdict verdicts[EVIDENCE];
} rows[] = {
    {"second, untouched", second, ALL(CONTINUED)},
    {"third, untouched", third, {SELF, SEALED, SELF, SELF, SEALED, SELF}},
    {"second cut at a checkpoint", second_cut_at_a_checkpoint, {UNSEALED, UNSEALED, UNSEALED, BACK, CUT, UNSEALED}},
    {"second cut between", second_cut_between, {UNSIGNED, UNSIGNED, UNSIGNED, BACK, CUT, UNSIGNED}},
    {"third cut", third_cut, {UNSIGNED, UNSIGNED, UNSIGNED, BACK, CUT, UNSIGNED}},
    {"second torn", second_torn, {VERDICT_TORN, VERDICT_TORN, VERDICT_TORN, BACK, CUT, VERDICT_TORN}},
    {"second torn in its first line",
     second_torn_in_its_first_line,
     {VERDICT_TORN, VERDICT_TORN, BACK, BACK, VERDICT_TORN, VERDICT_TORN}},
    {"second emptied", second_emptied, {VERDICT_EMPTY, VERDICT_EMPTY, BACK, BACK, VERDICT_EMPTY, VERDICT_EMPTY}},
    {"second edited", second_edited, ALL(VERDICT_EDITED)},
    {"second without its beginning", second_without_its_beginning, ALL(VERDICT_MISSING)},
    {"the tree it begins with edited", its_tree_edited, ALL(VERDICT_EDITED)},
    {"no tree where it begins", its_tree_no_tree, ALL(VERDICT_NOT_A_LOG)},
    {"third in the first's place", third_in_the_first_s_place, ALL(VERDICT_MISSING)},
    {"third of another run",
     third_of_another_run,
     {SELF, VERDICT_UNKNOWN_KEY, BACK, BACK, VERDICT_UNKNOWN_KEY, VERDICT_UNKNOWN_KEY}},
    {"added after the seal", added_after_the_seal, ALL(VERDICT_INSERTED)},
    {"second over another tree, by its key",
     second_over_another_tree,
     {CONTINUED, CONTINUED, BACK, CONTINUED, CONTINUED, CONTINUED}},
    {"third over another tree, by its key",
     third_over_another_tree,
     {SELF, SEALED, SELF, BACK, VERDICT_REPLACED, SELF}},
};

START_TEST(an_attack_on_one_segment_gets_its_verdict_from_both)
{
	const struct audit_evidence all[EVIDENCE] = {[ALONE] = {0},
						     [WITH_KEY] = {.public_key = key},
						     [WITH_EARLY] = {.anchor = early},
						     [WITH_LATE] = {.anchor = late},
						     [WITH_HOST] = {.public_key = host_keys[0], .host_log = ended},
						     [WITH_RUNS] = {.public_key = host_keys[1], .host_log = runs}};
	const char *const options[EVIDENCE][5] = {[ALONE] = {NULL},
						  [WITH_KEY] = {"--pubkey", key},
						  [WITH_EARLY] = {"--anchor", early},
						  [WITH_LATE] = {"--anchor", late},
						  [WITH_HOST] = {"--pubkey", host_keys[0], "--host-log", ended},
						  [WITH_RUNS] = {"--pubkey", host_keys[1], "--host-log", runs}};
	char name[SEGMENT_PATH_SIZE];
	struct verify verify;
	struct verify_result result;
	rows[_i].attack();
	const struct signer *signer = &after[segment == 2 ? FIRST + 1 : SECOND + 1].signer;
	note_key_text(key, signer->log, signer->key.public_key);
	segment_path(first, misnamed ? 1 : segment, name);
	snprintf(path, sizeof(path), "%.*s", (int)sizeof(path) - 1, name);
	write_lines(path, from, to);
	for (unsigned evidence = 0; evidence < EVIDENCE; evidence++) {
		const enum verdict wanted = rows[_i].verdicts[evidence];
		ck_assert_int_eq(audit_judge(path, &all[evidence], NULL, NULL, &verify, &result, why), 0);
		ck_assert_msg(result.verdict == wanted, "%s: %s, not %s, with evidence %u", rows[_i].name,
			      verdict_word(result.verdict), verdict_word(wanted), evidence);
		int status = script(options[evidence]);
		ck_assert_msg(status == verdict_status(wanted),
			      "%s: docs/verify.py says %d, not %d (%s), with evidence %u", rows[_i].name, status,
			      verdict_status(wanted), verdict_word(wanted), evidence);
	}
}
END_TEST

/* What was not looked at is said: the verdict's words are of the segment. */
START_TEST(that_others_come_before_is_said)
{
	char text[AUDIT_TEXT_SIZE], name[SEGMENT_PATH_SIZE];
	struct verify verify;
	struct verify_result result;
	third();
	segment_path(first, segment, name);
	write_lines(name, from, to);
	ck_assert_int_eq(audit_judge(name, &(struct audit_evidence){0}, NULL, NULL, &verify, &result, why), 0);
	audit_describe(&result, text);
	ck_assert_msg(strstr(text, "records 1 to 11 are in segments before this") != NULL, "%s", text);
}
END_TEST

/* Of the host's log, too: what nobody signed is not heard, be it all that is there. */
START_TEST(a_host_s_log_that_is_an_unsigned_segment_says_nothing)
{
	struct verify verify;
	struct verify_result result;
	char host_log[SEGMENT_PATH_SIZE];
	segment_path(first, 2, host_log);
	write_lines(host_log, FIRST, FIRST + 1);
	snprintf(path, sizeof(path), "%s/another.jsonl", folder);
	write_lines(path, 0, FIRST);
	const struct audit_evidence evidence = {.host_log = host_log};
	ck_assert_int_eq(audit_judge(path, &evidence, NULL, NULL, &verify, &result, why), 0);
	ck_assert_str_eq(verdict_word(result.verdict), verdict_word(VERDICT_UNKNOWN_KEY));
	const char *const options[] = {"--host-log", host_log, NULL};
	ck_assert_int_eq(script(options), verdict_status(VERDICT_UNKNOWN_KEY));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit segment alone");
	TCase *tests = tcase_create("alone");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, an_attack_on_one_segment_gets_its_verdict_from_both, 0,
			    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, that_others_come_before_is_said);
	tcase_add_test(tests, a_host_s_log_that_is_an_unsigned_segment_says_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
