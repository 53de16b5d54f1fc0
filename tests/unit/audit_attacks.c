/* Promises of the log's signatures: an attack table. Each row is a way to tamper with a log, and the strongest verdict
 * that each body of evidence can carry: the log alone, its first key, an anchor kept elsewhere, the host's log once the
 * run has ended, and both of these. `cofferdam audit verify` and docs/verify.py, which share no line, both have to say
 * it. Who has the present key leaves a log that is whole for who has no more than the log and its first key.
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
#include <unistd.h>

/* The log that is attacked: three epochs, thirteen records.
 *     1 opened  2  3 checkpoint  4  5 checkpoint, end of epoch 0  6  7  8 checkpoint  9  10 checkpoint, end of epoch 1
 *     11  12 closed  13 checkpoint
 */
enum { RECORDS = 13, TURN_1 = 5, TURN_2 = 10 };
/* Its writer as it was after so many records, keys included, and that of another run's log. */
static struct fake_writer after[RECORDS + 1], others[RECORDS + 1];
static struct fake_log other;

static void make(struct fake_log *log, uint8_t run, uint8_t seed, struct fake_writer states[])
{
	struct fake_writer writer;
	*log = (struct fake_log){0};
	fake_writer_begin(&writer, log, run, seed);
	for (size_t count = 1; count <= RECORDS; count++) {
		bool turn = count == TURN_1 || count == TURN_2;
		if (turn || count == 3 || count == 8 || count == RECORDS)
			fake_writer_sign(&writer, turn ? (uint8_t)(seed + count) : 0);
		else if (count > 1)
			fake_writer_add(&writer, count == RECORDS - 1 ? AUDIT_LOG_CLOSED : AUDIT_VM_RUNNING);
		if (states != NULL)
			states[count] = writer;
	}
}

static void cut(size_t left)
{
	while (log_.count > left)
		fake_log_remove(&log_, log_.count - 1);
}

/* Goes on after `left` records with the keys of the moment when `keys` had been written, to a seal. */
static void go_on(size_t left, size_t keys)
{
	struct fake_writer writer = after[left];
	cut(left);
	writer.signer.key = after[keys].signer.key;
	writer.signer.epoch = after[keys].signer.epoch;
	fake_writer_add(&writer, AUDIT_VM_STOPPED);
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
}

/* Closes it where its second epoch ended, otherwise than it was. */
static void close_otherwise(struct fake_writer *writer)
{
	cut(TURN_2);
	fake_writer_add(writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(writer, 0);
}

/* Makes the chain right again from `index` on, as whoever may write the file can, and no signature. */
static void mend(size_t index)
{
	for (; index < log_.count; index++) {
		uint8_t hash[TREE_HASH_SIZE];
		hash_of(index - 1, hash);
		forge(&log_, index, index + 1, hash);
	}
}

static void insert_copy(size_t at)
{
	fake_log_insert(&log_, at, log_.lines[1], log_.sizes[1]);
}

static void swap(size_t a, size_t b)
{
	char *line = log_.lines[a];
	size_t size = log_.sizes[a];
	log_.lines[a] = log_.lines[b];
	log_.sizes[a] = log_.sizes[b];
	log_.lines[b] = line;
	log_.sizes[b] = size;
}

static void take_other(size_t from)
{
	cut(from);
	for (size_t i = from; i < other.count; i++)
		fake_log_insert(&log_, i, other.lines[i], other.sizes[i]);
}

/* ---- the attacks ---- */

static void nothing(void)
{
}
static void edit_a_record(void)
{
	edit(3, "VM vm runs", "VM wm runs");
}
static void edit_a_checkpoint(void)
{
	edit(7, "\"sender\":\"auditor\"", "\"sender\":\"auditer\"");
}
static void edit_a_signature(void)
{
	edit(7, "\\u000a\"}}}}", "\\u000A\"}}}}");
}
static void edit_the_last_line(void)
{
	edit(RECORDS - 1, "\"time\":1700000000", "\"time\":1600000000");
}
static void edit_the_first_key(void)
{
	edit(0, "\"key\":\"cof", "\"kez\":\"cof");
}
static void delete_a_record(void)
{
	fake_log_remove(&log_, 5);
}
static void delete_a_checkpoint(void)
{
	fake_log_remove(&log_, 2);
}
static void insert_a_line(void)
{
	insert_copy(6);
}
static void swap_two(void)
{
	swap(5, 6);
}
static void cut_at_a_checkpoint(void)
{
	cut(TURN_2);
}
static void cut_between(void)
{
	cut(RECORDS - 1);
}
static void cut_before_any_signature(void)
{
	cut(2);
}
static void truncate_in_a_line(void)
{
	cut(9);
} /* and half a line, which the row adds */
static void empty_it(void)
{
	cut(0);
}
static void replace_by_another_run_s(void)
{
	take_other(0);
}
static void take_another_run_s_tail(void)
{
	take_other(7);
}
static void add_after_the_seal(void)
{
	go_on(RECORDS, RECORDS);
}
static void edit_and_mend(void)
{
	edit_a_record();
	mend(4);
}
static void delete_and_mend(void)
{
	fake_log_remove(&log_, 6);
	mend(6);
}
static void add_unsigned(void)
{
	struct fake_writer writer = after[TURN_2];
	cut(TURN_2);
	fake_writer_add(&writer, AUDIT_VM_STOPPED);
}
/* CVE-2023-31439's idea: an old epoch's records made anew with the newest key. */
static void sign_the_past_with_the_newest_key(void)
{
	struct fake_writer writer = after[3];
	cut(3);
	writer.signer.key = after[RECORDS].signer.key;
	fake_writer_add(&writer, AUDIT_VM_STOPPED);
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
}
/* CVE-2023-31438's: going on in an epoch that was closed. */
static void go_back_an_epoch(void)
{
	go_on(TURN_1, 3);
}
static void sign_with_another_run_s_key(void)
{
	struct fake_writer writer = after[TURN_2];
	writer.signer.key = others[TURN_2].signer.key;
	close_otherwise(&writer);
}
/* The whole log made anew, under the same run's id, with a key of the forger's. */
static void forge_it_all(void)
{
	fake_log_free(&log_);
	make(&log_, 1, 99, NULL);
}
/* Who has the key of an epoch while it lasts can write its records as he likes, and everything after them. */
static void rewrite_the_present_epoch_with_its_key(void)
{
	go_on(TURN_2, TURN_2);
}
static void rewrite_a_past_epoch_with_the_present_key(void)
{
	go_on(7, RECORDS);
}
static void a_name_that_is_no_utf8(void)
{
	struct fake_writer writer = after[TURN_2];
	memcpy(writer.context.vm.bytes, "\xff\xc0", 2);
	close_otherwise(&writer);
}
static void a_clock_that_was_set_back(void)
{
	struct fake_writer writer = after[TURN_2];
	writer.time_ms = 1000;
	close_otherwise(&writer);
}
/* The one byte of a signature that the row changes is one of base64's all the same. */
static void spoil_the_last_signature(void)
{
	char *digit = log_.lines[RECORDS - 1] + log_.sizes[RECORDS - 1] - strlen("\\u000a\"}}}}") - 20;
	*digit = *digit == 'A' ? 'B' : 'A';
}
/* By whoever holds the key: signed well, and not over these records. */
static void sign_a_root_of_other_records(void)
{
	struct fake_writer writer = after[TURN_2];
	cut(TURN_2);
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	writer.signer.tree.frontier[0][0] ^= 1;
	fake_writer_sign(&writer, 0);
}
static void a_huge_line(void)
{
	static char huge[4 * RECORD_MAX];
	memset(huge, 'x', sizeof(huge));
	fake_log_remove(&log_, 6);
	fake_log_insert(&log_, 6, huge, sizeof(huge));
}

enum { LOG_ALONE, WITH_KEY, WITH_ANCHOR, WITH_HOST, WITH_BOTH, EVIDENCE };
#define ALL(verdict)                                                                                                   \
	{                                                                                                              \
		verdict, verdict, verdict, verdict                                                                     \
	}
#define BUT_THE_HOST(verdict, host)                                                                                    \
	{                                                                                                              \
		verdict, verdict, verdict, host                                                                        \
	}
static const struct {
	const char *name;
	void (*attack)(void);
	/* The log alone; with its first key; with an anchor of 9 records too; with the host's log and its key. */
	enum verdict verdicts[WITH_BOTH];
} rows[] = {
    {"untouched", nothing, {VERDICT_SELF_SIGNED, VERDICT_SEALED, VERDICT_SEALED, VERDICT_SEALED}},
    {"record edited", edit_a_record, ALL(VERDICT_EDITED)},
    {"checkpoint edited", edit_a_checkpoint, ALL(VERDICT_EDITED)},
    {"signature written otherwise", edit_a_signature, ALL(VERDICT_EDITED)},
    {"last line edited", edit_the_last_line, ALL(VERDICT_REWRITTEN)},
    {"first key edited", edit_the_first_key, ALL(VERDICT_EDITED)},
    {"record deleted", delete_a_record, ALL(VERDICT_MISSING)},
    {"checkpoint deleted", delete_a_checkpoint, ALL(VERDICT_MISSING)},
    {"line inserted", insert_a_line, ALL(VERDICT_INSERTED)},
    {"lines swapped", swap_two, ALL(VERDICT_ORDER)},
    {"tail cut at a checkpoint", cut_at_a_checkpoint, BUT_THE_HOST(VERDICT_UNSEALED, VERDICT_CUT)},
    {"tail cut between", cut_between, BUT_THE_HOST(VERDICT_UNSIGNED, VERDICT_CUT)},
    {"all signatures cut",
     cut_before_any_signature,
     {VERDICT_UNSIGNED, VERDICT_UNSIGNED, VERDICT_ROLLED_BACK, VERDICT_CUT}},
    {"truncated in a line", truncate_in_a_line, BUT_THE_HOST(VERDICT_TORN, VERDICT_CUT)},
    {"emptied", empty_it, {VERDICT_EMPTY, VERDICT_EMPTY, VERDICT_ROLLED_BACK, VERDICT_CUT}},
    {"another run's log",
     replace_by_another_run_s,
     {VERDICT_SELF_SIGNED, VERDICT_UNKNOWN_KEY, VERDICT_UNKNOWN_KEY, VERDICT_UNKNOWN_KEY}},
    {"spliced", take_another_run_s_tail, ALL(VERDICT_SPLICED)},
    {"added after the seal", add_after_the_seal, ALL(VERDICT_INSERTED)},
    {"edited, chain mended", edit_and_mend, ALL(VERDICT_REWRITTEN)},
    {"deleted, chain mended", delete_and_mend, ALL(VERDICT_REWRITTEN)},
    {"added, not signed", add_unsigned, BUT_THE_HOST(VERDICT_UNSIGNED, VERDICT_CUT)},
    {"the past signed with the newest key", sign_the_past_with_the_newest_key, ALL(VERDICT_UNKNOWN_KEY)},
    {"back in a closed epoch", go_back_an_epoch, ALL(VERDICT_OLD_EPOCH)},
    {"signed with another run's key", sign_with_another_run_s_key, ALL(VERDICT_UNKNOWN_KEY)},
    {"past epoch, present key", rewrite_a_past_epoch_with_the_present_key, ALL(VERDICT_UNKNOWN_KEY)},
    {"all forged", forge_it_all, {VERDICT_SELF_SIGNED, VERDICT_UNKNOWN_KEY, VERDICT_UNKNOWN_KEY, VERDICT_REPLACED}},
    {"present epoch, its key",
     rewrite_the_present_epoch_with_its_key,
     {VERDICT_SELF_SIGNED, VERDICT_SEALED, VERDICT_SEALED, VERDICT_REPLACED}},
    {"ended otherwise, with no UTF-8 in a name",
     a_name_that_is_no_utf8,
     {VERDICT_SELF_SIGNED, VERDICT_SEALED, VERDICT_SEALED, VERDICT_CUT}},
    {"ended otherwise, with the clock set back",
     a_clock_that_was_set_back,
     {VERDICT_SELF_SIGNED, VERDICT_SEALED, VERDICT_SEALED, VERDICT_CUT}},
    {"last signature spoilt", spoil_the_last_signature, ALL(VERDICT_REWRITTEN)},
    {"a root of other records", sign_a_root_of_other_records, ALL(VERDICT_REWRITTEN)},
    {"huge line", a_huge_line, ALL(VERDICT_EDITED)},
};

/* ---- both verifiers ---- */

static char anchor_path[80], host_folder[40], host_path[64];
static char key_text[NOTE_KEY_TEXT_SIZE], host_key[NOTE_KEY_TEXT_SIZE];

/* The host's log has the run, under the attacked file's name, from its start to its seal; of one that runs no seal. */
static void tell_the_host(bool runs)
{
	static struct host host;
	static struct policy policy;
	static struct vm vm;
	char why[WHY_SIZE], link[128];
	strcpy(host_folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host_folder));
	snprintf(host_path, sizeof(host_path), "%s/host.jsonl", host_folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", host_folder);
	snprintf(link, sizeof(link), "%s/%s", host_folder, strrchr(path, '/') + 1);
	ck_assert_int_eq(rename(path, link), 0);
	AUTO_CLOSE int writer = open(link, O_WRONLY | O_CLOEXEC);
	ck_assert(!runs || segment_hold(writer));
	vm = (struct vm){.host = &host, .policy = &policy};
	memcpy(vm.plan.run_id, after[1].context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "vm");
	strcpy(vm.log_path, link);
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_log_key(&host, host_key, why) == 0, "%s", why); /* and settles what is over */
	ck_assert_int_eq(rename(link, path), 0);
}

static void forget_the_host(void)
{
	char command[80];
	snprintf(command, sizeof(command), "rm -rf %s", host_folder);
	ck_assert_int_eq(system(command), 0);
}

static void setup(void)
{
	char why[WHY_SIZE];
	struct verify verify;
	struct verify_result result;
	log_setup();
	fake_log_free(&log_);
	make(&log_, 1, 1, after);
	make(&other, 2, 50, others);
	note_key_text(key_text, after[1].signer.log, after[1].signer.key.public_key);
	snprintf(anchor_path, sizeof(anchor_path), "%s.anchor", path);
	struct fake_log part = log_;
	part.count = TURN_2;
	write_log(&part);
	ck_assert_int_eq(audit_judge(path, &(struct audit_evidence){0}, NULL, NULL, &verify, &result, why), 0);
	FILE *file = fopen(anchor_path, "w");
	ck_assert_uint_eq(fwrite(verify.last_note, 1, verify.last_note_size, file), verify.last_note_size);
	fclose(file);
	write_log(&log_);
	tell_the_host(false);
}

static void teardown(void)
{
	fake_log_free(&other);
	unlink(anchor_path);
	forget_the_host();
	log_teardown();
}

/* By both verifiers, of the file as it is. */
static void expect_with(unsigned evidence, enum verdict wanted, const char *name)
{
	char why[WHY_SIZE];
	struct verify verify;
	struct verify_result result;
	const struct audit_evidence all[EVIDENCE] = {
	    [WITH_KEY] = {.public_key = key_text},
	    [WITH_ANCHOR] = {.public_key = key_text, .anchor = anchor_path},
	    [WITH_HOST] = {.public_key = host_key, .host_log = host_path},
	    [WITH_BOTH] = {.public_key = host_key, .host_log = host_path, .anchor = anchor_path}};
	const char *const options[EVIDENCE][7] = {
	    [WITH_KEY] = {"--pubkey", key_text},
	    [WITH_ANCHOR] = {"--pubkey", key_text, "--anchor", anchor_path},
	    [WITH_HOST] = {"--pubkey", host_key, "--host-log", host_path},
	    [WITH_BOTH] = {"--pubkey", host_key, "--host-log", host_path, "--anchor", anchor_path}};
	ck_assert_int_eq(audit_judge(path, &all[evidence], NULL, NULL, &verify, &result, why), 0);
	ck_assert_msg(result.verdict == wanted, "%s: %s, not %s, with evidence %u", name, verdict_word(result.verdict),
		      verdict_word(wanted), evidence);
	int status = script(options[evidence]);
	ck_assert_msg(status == verdict_status(wanted), "%s: docs/verify.py says %d, not %d (%s), with evidence %u",
		      name, status, verdict_status(wanted), verdict_word(wanted), evidence);
}

/* With both the host's log is heard first: where that finds nothing the anchor may. */
START_TEST(an_attack_gets_the_verdict_that_the_evidence_carries)
{
	const enum verdict *verdicts = rows[_i].verdicts;
	rows[_i].attack();
	write_log(&log_);
	if (rows[_i].attack == truncate_in_a_line)
		write_bytes("{\"metadata\":", 12, true);
	for (unsigned evidence = LOG_ALONE; evidence < WITH_BOTH; evidence++)
		expect_with(evidence, verdicts[evidence], rows[_i].name);
	bool host_finds = verdicts[WITH_HOST] > VERDICT_TORN;
	expect_with(WITH_BOTH, verdicts[host_finds ? WITH_HOST : WITH_ANCHOR], rows[_i].name);
}
END_TEST

/* A thief of the first epoch's key can make all that follows anew, and deceive the host's log while the run lasts. */
START_TEST(a_fork_from_a_stolen_key_is_shown_by_an_anchor_alone)
{
	forget_the_host();
	tell_the_host(true);
	go_on(3, 3);
	write_log(&log_);
	expect_with(WITH_KEY, VERDICT_SEALED, "fork");
	expect_with(WITH_ANCHOR, VERDICT_ROLLED_BACK, "fork");
	expect_with(WITH_HOST, VERDICT_SEALED, "fork");
	expect_with(WITH_BOTH, VERDICT_ROLLED_BACK, "fork");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit attacks");
	TCase *tests = tcase_create("attacks");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, an_attack_gets_the_verdict_that_the_evidence_carries, 0,
			    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, a_fork_from_a_stolen_key_is_shown_by_an_anchor_alone);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
