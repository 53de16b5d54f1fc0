/* Promises of a log in segments: read with the first, they are one log, and whatever is done to them, one of them gone
 * included, is found by `cofferdam audit verify` and docs/verify.py alike; one that is read alone is checked from the
 * tree that it begins with.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Three segments:
 *     1 opened  2  3 checkpoint, end of epoch 0  4  5 rotated  6 checkpoint
 *     7 continued  8  9 checkpoint, end of epoch 1  10 rotated  11 checkpoint
 *     12 continued  13  14 closed  15 checkpoint
 */
enum { SEGMENTS = 3, RECORDS = FAKE_SEGMENTED, FIRST = 6, SECOND = 11 };
static size_t ends[SEGMENTS]; /* lines before the next segment */
static bool absent[SEGMENTS];
static struct fake_writer after[RECORDS + 1];
static const char *tail; /* bytes at the end of the first segment, "": none */
static char anchor[80];  /* of the whole log: the note in its last record */

static void remove_files(void)
{
	char name[SEGMENT_PATH_SIZE];
	for (unsigned i = 2; i <= SEGMENTS; i++) {
		segment_path(path, i, name);
		unlink(name);
	}
}

static void write_files(void)
{
	size_t line = 0;
	remove_files();
	for (unsigned i = 0; i < SEGMENTS; i++) {
		char name[SEGMENT_PATH_SIZE];
		segment_path(path, i + 1, name);
		FILE *file = absent[i] ? NULL : fopen(name, "w");
		for (; line < ends[i]; line++)
			if (file != NULL)
				fprintf(file, "%s\n", log_.lines[line]);
		if (file != NULL && i == 0)
			fputs(tail, file);
		if (file != NULL)
			fclose(file);
	}
}

static void take_anchor(void)
{
	char why[WHY_SIZE];
	struct verify verify;
	struct verify_result result;
	snprintf(anchor, sizeof(anchor), "%s.anchor", path);
	ck_assert_int_eq(audit_judge(path, &(struct audit_evidence){0}, NULL, NULL, &verify, &result, why), 0);
	FILE *file = fopen(anchor, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(verify.last_note, 1, verify.last_note_size, file), verify.last_note_size);
	fclose(file);
}

static void setup(void)
{
	log_setup();
	fake_log_free(&log_);
	fake_log_in_segments(&log_, 1, after);
	ends[0] = FIRST, ends[1] = SECOND, ends[2] = RECORDS;
	memset(absent, 0, sizeof(absent));
	tail = "";
	write_files();
	take_anchor();
}

static void teardown(void)
{
	remove_files();
	unlink(anchor);
	log_teardown();
}

/* ---- the attacks ---- */

static void take(size_t index)
{
	fake_log_remove(&log_, index);
	for (unsigned i = 0; i < SEGMENTS; i++)
		ends[i] -= ends[i] > index;
}

static void nothing(void)
{
}
static void second_gone(void)
{
	absent[1] = true;
}
static void last_gone(void)
{
	absent[2] = true;
}
static void both_gone(void)
{
	absent[1] = absent[2] = true;
}
static void end_of_first_cut(void)
{
	take(FIRST - 1);
	take(FIRST - 2);
}
static void seal_of_first_cut(void)
{
	take(FIRST - 1);
}
static void start_of_second_cut(void)
{
	take(FIRST);
}
static void second_edited(void)
{
	edit(FIRST + 1, "VM vm runs", "VM wm runs");
}
static void frontier_edited(void)
{
	char *hash = strstr(log_.lines[FIRST], "\"frontier\":[\"") + strlen("\"frontier\":[\"");
	*hash = *hash == '0' ? '1' : '0';
}
static void bytes_between(void)
{
	tail = "{\"half\":";
}
/* More than is read at once, so that nothing of it is left when the next file begins. */
static void many_bytes_between(void)
{
	static char many[RECORD_MAX + RECORD_MAX / 4];
	memset(many, 'x', sizeof(many) - 1);
	tail = many;
}
static void line_between(void)
{
	tail = "{\"whole\":1}\n";
}
static void second_of_another_run(void)
{
	static struct fake_writer others[RECORDS + 1];
	struct fake_log other;
	fake_log_in_segments(&other, 2, others);
	for (size_t i = FIRST; i < SECOND; i++) {
		take(i);
		fake_log_insert(&log_, i, other.lines[i], other.sizes[i]);
		for (unsigned j = 0; j < SEGMENTS; j++)
			ends[j] += ends[j] >= i;
	}
	fake_log_free(&other);
}
/* By the thief of the epoch's key: what follows `left` lines is written anew, from the writer as it was then. */
static void cut(size_t left)
{
	while (log_.count > left)
		fake_log_remove(&log_, log_.count - 1);
}
static void go_on(struct fake_writer *writer, enum audit_event event)
{
	fake_writer_add(writer, event);
	fake_writer_add(writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(writer, 0);
	ends[2] = log_.count;
}
static void no_start(void)
{
	struct fake_writer writer = after[4];
	cut(4);
	fake_writer_add(&writer, AUDIT_LOG_ROTATED);
	fake_writer_sign(&writer, 0);
	ends[1] = ends[0];
	go_on(&writer, AUDIT_VM_RUNNING);
}
/* `kept`: the forger's own tree is right, and what he signs; the segment's beginning alone is not. */
static void forge_start(bool kept)
{
	struct fake_writer writer = after[9];
	cut(9);
	fake_writer_add(&writer, AUDIT_LOG_ROTATED);
	fake_writer_sign(&writer, 0);
	const struct tree right = writer.signer.tree;
	writer.signer.tree.frontier[0][0] ^= 1;
	fake_writer_add(&writer, AUDIT_LOG_CONTINUED);
	if (kept) {
		writer.signer.tree = right;
		signer_add(&writer.signer, log_.lines[log_.count - 1], log_.sizes[log_.count - 1]);
	}
	go_on(&writer, AUDIT_VM_RUNNING);
}
static void start_with_another_tree(void)
{
	forge_start(true);
}
static void start_without_end(void)
{
	struct fake_writer writer = after[9];
	cut(9);
	ends[1] = 9;
	go_on(&writer, AUDIT_LOG_CONTINUED);
}

enum { LOG_ALONE, WITH_KEY, WITH_ANCHOR, EVIDENCE };
#define ALL(verdict)                                                                                                   \
	{                                                                                                              \
		verdict, verdict, verdict                                                                              \
	}
#define GONE                                                                                                           \
	{                                                                                                              \
		VERDICT_CONTINUED, VERDICT_CONTINUED, VERDICT_ROLLED_BACK                                              \
	}
static const struct {
	const char *name;
	void (*attack)(void);
	enum verdict verdicts[EVIDENCE]; /* the log alone; with its first key; with an anchor of its end */
} rows[] = {
    {"untouched", nothing, {VERDICT_SELF_SIGNED, VERDICT_SEALED, VERDICT_SELF_SIGNED}},
    {"second segment gone", second_gone, GONE},
    {"last segment gone", last_gone, GONE},
    {"all but the first gone", both_gone, GONE},
    {"end of the first cut off", end_of_first_cut, ALL(VERDICT_MISSING)},
    {"its last checkpoint cut off", seal_of_first_cut, ALL(VERDICT_MISSING)},
    {"start of the second cut off", start_of_second_cut, ALL(VERDICT_MISSING)},
    {"second edited", second_edited, ALL(VERDICT_EDITED)},
    {"its tree edited", frontier_edited, ALL(VERDICT_EDITED)},
    {"bytes between two", bytes_between, ALL(VERDICT_EDITED)},
    {"many bytes between two", many_bytes_between, ALL(VERDICT_EDITED)},
    {"a line between two", line_between, ALL(VERDICT_INSERTED)},
    {"second of another run", second_of_another_run, ALL(VERDICT_SPLICED)},
    {"a segment without its beginning", no_start, ALL(VERDICT_INSERTED)},
    {"a segment that begins with another tree", start_with_another_tree, ALL(VERDICT_REWRITTEN)},
    {"a segment whose forerunner has no end", start_without_end, ALL(VERDICT_INSERTED)},
};

START_TEST(an_attack_on_segments_gets_its_verdict_from_both)
{
	char why[WHY_SIZE], key[NOTE_KEY_TEXT_SIZE];
	note_key_text(key, after[1].signer.log, after[1].signer.key.public_key);
	rows[_i].attack();
	write_files();
	for (unsigned evidence = 0; evidence < EVIDENCE; evidence++) {
		struct verify verify;
		struct verify_result result;
		const struct audit_evidence given[EVIDENCE] = {
		    [WITH_KEY] = {.public_key = key}, [WITH_ANCHOR] = {.anchor = anchor}};
		const char *const options[EVIDENCE][3] = {
		    [WITH_KEY] = {"--pubkey", key}, [WITH_ANCHOR] = {"--anchor", anchor}};
		ck_assert_int_eq(audit_judge(path, &given[evidence], NULL, NULL, &verify, &result, why), 0);
		ck_assert_msg(result.verdict == rows[_i].verdicts[evidence], "%s: %s, not %s, with evidence %u",
			      rows[_i].name, verdict_word(result.verdict), verdict_word(rows[_i].verdicts[evidence]),
			      evidence);
		int status = script(options[evidence]);
		ck_assert_msg(status == verdict_status(result.verdict),
			      "%s: docs/verify.py says %d, not %d, with evidence %u", rows[_i].name, status,
			      verdict_status(result.verdict), evidence);
	}
}
END_TEST

/* The key is then the segment's own, and the records before are counted, not shown. */
START_TEST(a_segment_alone_is_checked_from_its_tree)
{
	char why[WHY_SIZE], name[SEGMENT_PATH_SIZE], first[SEGMENT_PATH_SIZE], key[NOTE_KEY_TEXT_SIZE];
	struct verify verify;
	struct verify_result result;
	write_files();
	segment_path(path, 3, name);
	note_key_text(key, after[SECOND + 1].signer.log, after[SECOND + 1].signer.key.public_key);
	const struct audit_evidence given = {.public_key = key};
	ck_assert_int_eq(audit_judge(name, &given, NULL, NULL, &verify, &result, why), 0);
	ck_assert_int_eq(result.verdict, VERDICT_SEALED);
	ck_assert_uint_eq(result.before, SECOND);
	ck_assert_uint_eq(result.lines, RECORDS - SECOND);
	ck_assert_uint_eq(verify.tree.count, RECORDS);
	segment_path(path, 2, name);
	ck_assert(segment_is_later("/a/b.2.jsonl", first) && strcmp(first, "/a/b.jsonl") == 0);
	ck_assert(!segment_is_later("/a/b.jsonl", first) && !segment_is_later("/a/.2.jsonl", first));
}
END_TEST

/* What an anchor says of a segment alone: the tree it begins with is the one that was. */
START_TEST(an_anchor_vouches_for_a_segment_alone)
{
	char why[WHY_SIZE], name[SEGMENT_PATH_SIZE];
	struct verify verify;
	struct verify_result result;
	segment_path(path, 3, name);
	const struct audit_evidence given = {.anchor = anchor};
	ck_assert_int_eq(audit_judge(name, &given, NULL, NULL, &verify, &result, why), 0);
	ck_assert_int_eq(result.verdict, VERDICT_SELF_SIGNED);
	forge_start(false); /* the same place in another tree */
	write_files();
	ck_assert_int_eq(audit_judge(name, &given, NULL, NULL, &verify, &result, why), 0);
	ck_assert_int_eq(result.verdict, VERDICT_ROLLED_BACK);
}
END_TEST

/* Its path to the root leads through hashes of all records: a later file has not got them. */
START_TEST(a_proof_is_made_from_the_first_segment)
{
	char first[sizeof(path)], name[SEGMENT_PATH_SIZE];
	ck_assert_int_eq(command("prove", "8"), 0);
	ck_assert_ptr_nonnull(strstr(output, "index 7\n"));
	segment_path(path, 2, name);
	memcpy(first, path, sizeof(path));
	snprintf(path, sizeof(path), "%.60s", name);
	int status = command("prove", "2");
	memcpy(path, first, sizeof(path));
	ck_assert_int_eq(status, EXIT_OURS);
	ck_assert_str_eq(output, "");
}
END_TEST

/* That it goes on where nobody looked contradicts nothing. */
START_TEST(a_log_whose_next_segment_is_gone_is_shown)
{
	second_gone();
	write_files();
	ck_assert_int_eq(command("verify", NULL), verdict_status(VERDICT_CONTINUED));
	ck_assert_int_eq(command("show", NULL), 0);
	ck_assert_int_eq(command("report", NULL), 0);
	ck_assert_int_eq(command("forward", NULL), 0);
	ck_assert_int_eq(command("anchor", NULL), 0);
	ck_assert_int_eq(command("prove", "2"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit segments");
	TCase *tests = tcase_create("segments");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, an_attack_on_segments_gets_its_verdict_from_both, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, a_segment_alone_is_checked_from_its_tree);
	tcase_add_test(tests, an_anchor_vouches_for_a_segment_alone);
	tcase_add_test(tests, a_proof_is_made_from_the_first_segment);
	tcase_add_test(tests, a_log_whose_next_segment_is_gone_is_shown);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
