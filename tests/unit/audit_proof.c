/* Promises of `cofferdam audit prove` and `check-proof`: every signed record can be proved with the log's first key and
 * nothing else of the log, whatever epoch signed it; a proof of anything else is refused.
 */
#include "monitor/command/audit.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct host no_host; /* its folder of logs is nowhere */

enum { RECORDS = 12, SIGNED = 10 };
static char proof_path[80], key_text[NOTE_KEY_TEXT_SIZE];
static struct fake_writer first, second; /* with the keys of the first and the second epoch */

/* Two epochs and a bit of a third; the last two records are not signed. */
static void setup(void)
{
	struct fake_writer writer;
	log_setup();
	fake_log_free(&log_);
	fake_writer_begin(&writer, &log_, 1, 1);
	note_key_text(key_text, writer.signer.log, writer.signer.key.public_key);
	first = writer;
	for (uint8_t count = 2; count <= RECORDS; count++) {
		second = count == 5 ? writer : second;
		if (count == 4 || count == 7 || count == SIGNED)
			fake_writer_sign(&writer, count == SIGNED ? 0 : count);
		else
			fake_writer_add(&writer, AUDIT_VM_RUNNING);
	}
	write_log(&log_);
	snprintf(proof_path, sizeof(proof_path), "%s.proof", path);
}

static void teardown(void)
{
	unlink(proof_path);
	log_teardown();
}

/* `cofferdam audit` with these words; what it prints goes into the file `to`. */
static int audit(char **words, int count, const char *to)
{
	int file = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	optind = 0;
	int status = command_audit(count, words, &no_host);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(file);
	close(saved);
	return status;
}

static int prove(unsigned record)
{
	char number[16];
	snprintf(number, sizeof(number), "%u", record);
	char *words[] = {(char[]){"audit"}, (char[]){"prove"}, path, number, NULL};
	return audit(words, 4, proof_path);
}

/* What it prints is in `output`. */
static int check(const char *key)
{
	char printed[96], *words[] = {(char[]){"audit"},    (char[]){"check-proof"},
				      (char[]){"--pubkey"}, (char *)(uintptr_t)key,
				      proof_path,           NULL};
	snprintf(printed, sizeof(printed), "%s.out", path);
	int status = audit(words, 5, printed);
	FILE *in = fopen(printed, "r");
	output[fread(output, 1, sizeof(output) - 1, in)] = 0;
	fclose(in);
	unlink(printed);
	return status;
}

START_TEST(each_signed_record_is_proved)
{
	for (unsigned record = 1; record < SIGNED; record++) {
		ck_assert_int_eq(prove(record), 0);
		ck_assert_int_eq(check(key_text), 0);
		ck_assert_int_eq(strncmp(output, log_.lines[record - 1], log_.sizes[record - 1]), 0);
	}
}
END_TEST

START_TEST(what_is_not_signed_is_not_proved)
{
	ck_assert_int_eq(prove(SIGNED), EXIT_OURS); /* the checkpoint itself: the next one would cover it */
	ck_assert_int_eq(prove(RECORDS), EXIT_OURS);
	ck_assert_int_eq(prove(RECORDS + 1), EXIT_OURS);
	ck_assert_int_eq(prove(0), EXIT_USAGE);
	edit(2, "VM vm runs", "VM wm runs");
	write_log(&log_);
	ck_assert_int_eq(prove(2), verdict_status(VERDICT_EDITED));
}
END_TEST

/* The proof says nothing of other records but hashes. */
START_TEST(a_proof_shows_no_other_record)
{
	static char proof[1 << 16];
	ck_assert_int_eq(prove(3), 0);
	FILE *in = fopen(proof_path, "r");
	proof[fread(proof, 1, sizeof(proof) - 1, in)] = 0;
	fclose(in);
	ck_assert_ptr_null(strstr(proof, "VM vm runs"));
	for (unsigned i = 0; i < RECORDS; i++) {
		char *salt = strstr(log_.lines[i], "\"salt\":\"");
		char text[41] = "";
		memcpy(text, salt, 40);
		ck_assert_ptr_null(strstr(proof, text));
	}
}
END_TEST

/* Every byte matters: one bit of the proof changed is never a proof of another record. */
START_TEST(a_spoilt_proof_is_refused)
{
	static char proof[1 << 16];
	ck_assert_int_eq(prove(5), 0);
	FILE *in = fopen(proof_path, "r+");
	size_t size = fread(proof, 1, sizeof(proof), in);
	for (size_t i = (size_t)_i; i < size; i += 16) {
		char was = proof[i];
		proof[i] ^= 1;
		rewind(in);
		fwrite(proof, 1, size, in);
		fflush(in);
		int status = check(key_text);
		ck_assert_msg(status != 0 || strncmp(output, log_.lines[4], log_.sizes[4]) == 0, "byte %zu", i);
		ck_assert_msg(status != 0, "byte %zu of %zu does not matter", i, size);
		proof[i] = was;
	}
	fclose(in);
}
END_TEST

/* What is wrong with it is said, as of a log: the record, the signature, all of it. */
static const struct {
	const char *before; /* what is spoilt comes so many bytes after it */
	size_t after;
	enum verdict verdict;
} spoilt[] = {
    {"extra ", 40, VERDICT_EDITED},
    {"\xe2\x80\x94 cofferdam/", NOTE_NAME_SIZE, VERDICT_REWRITTEN},
    {"c2sp.org", 0, VERDICT_NOT_A_LOG},
};

START_TEST(a_refusal_says_what_is_wrong)
{
	static char proof[1 << 16];
	ck_assert_int_eq(prove(5), 0);
	FILE *in = fopen(proof_path, "r+");
	size_t size = fread(proof, 1, sizeof(proof) - 1, in);
	char *at = strstr(proof, spoilt[_i].before);
	ck_assert_ptr_nonnull(at);
	at += strlen(spoilt[_i].before) + spoilt[_i].after;
	*at = *at == 'A' ? 'B' : 'A';
	rewind(in);
	ck_assert_uint_eq(fwrite(proof, 1, size, in), size);
	fclose(in);
	ck_assert_int_eq(check(key_text), verdict_status(spoilt[_i].verdict));
	ck_assert_str_eq(output, "");
}
END_TEST

/* The log's first record, with this message; `run`: of which run it says it is. */
static const char *record_of(uint8_t run, const char *message)
{
	static char record[2048];
	char digits[2 * NOTE_LOG_ID_SIZE + 1];
	uint8_t id[NOTE_LOG_ID_SIZE];
	memcpy(id, first.signer.log, sizeof(id));
	id[0] = run;
	sodium_bin2hex(digits, sizeof(digits), id, sizeof(id));
	snprintf(
	    record, sizeof(record),
	    "{\"metadata\":{\"event_code\":\"vm_running\"},\"time\":1,\"message\":\"%s\",\"unmapped\":{\"cofferdam\":{"
	    "\"sequence\":1,\"previous\":\"%064d\",\"run\":\"%s\",\"details\":{}}}}",
	    message, 0, digits);
	return record;
}

/* A proof of one record of a log that is no longer than that, signed by whoever has the key; `run`: of which run the
   note says it is. */
static void forge_proof_of(uint8_t run, const char *record, uint64_t epoch, const struct note_key *signer,
			   const char *turn)
{
	struct checkpoint checkpoint = {.size = 1, .epoch = epoch};
	char note[NOTE_MAX], base64[4096];
	tree_leaf(record, strlen(record), checkpoint.root); /* of a tree of one leaf */
	memcpy(checkpoint.log, first.signer.log, sizeof(checkpoint.log));
	checkpoint.log[0] = run;
	size_t size = note_sign(note, &checkpoint, signer);
	sodium_bin2base64(base64, sizeof(base64), (const uint8_t *)record, strlen(record),
			  sodium_base64_VARIANT_ORIGINAL);
	FILE *out = fopen(proof_path, "w");
	ck_assert_ptr_nonnull(out);
	fprintf(out, "c2sp.org/tlog-proof@v1\nextra %s\nindex 0\n\n%.*s%s", base64, (int)size, note, turn);
	fclose(out);
}

static void forge_proof(const char *record, uint64_t epoch, const struct note_key *signer, const char *turn)
{
	forge_proof_of(1, record, epoch, signer, turn);
}

/* The note that handed the first key on, with the line before it, as a proof has it. */
static const char *first_turn(void)
{
	static char proof[1 << 16];
	ck_assert_int_eq(prove(5), 0); /* of the second epoch */
	FILE *in = fopen(proof_path, "r");
	proof[fread(proof, 1, sizeof(proof) - 1, in)] = 0;
	fclose(in);
	char *at = strstr(proof, "\n\ncofferdam/"); /* the checkpoint; its own empty line has a dash after it */
	ck_assert_ptr_nonnull(at);
	at = strstr(at + 2, "\n\ncofferdam/");
	ck_assert_ptr_nonnull(at);
	return at + 1;
}

/* Who steals the present key proves nothing of what was signed before his time. */
START_TEST(a_record_is_proved_by_its_own_epoch)
{
	const char *record = record_of(1, "nothing happened"), *turn = first_turn();
	forge_proof(record, 0, &first.signer.key, "");
	ck_assert_int_eq(check(key_text), 0); /* of its own epoch it would be one */
	forge_proof(record, 1, &second.signer.key, turn);
	ck_assert_int_eq(check(key_text), verdict_status(VERDICT_REWRITTEN));
	ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(what_a_terminal_obeys_is_escaped)
{
	forge_proof(record_of(1, "\xc2\x9b"
				 "2J"),
		    0, &first.signer.key, "");
	ck_assert_int_eq(check(key_text), 0);
	ck_assert_ptr_null(strstr(output, "\xc2\x9b"));
	ck_assert_ptr_nonnull(strstr(output, "\"message\":\"\\u009b2J\""));
}
END_TEST

/* Who has one run's key proves nothing in another run's name, neither the note's nor the record's, and nothing that
   verify would not take for a record at that place. */
START_TEST(a_key_proves_records_of_its_own_log)
{
	const struct {
		uint8_t note, record;
		const char *instead;
		enum verdict verdict;
	} forged[] = {
	    {1, 2, NULL, VERDICT_SPLICED},         {2, 2, NULL, VERDICT_UNKNOWN_KEY},
	    {2, 1, NULL, VERDICT_UNKNOWN_KEY},     {1, 1, "{\"message\":\"stopped\"}", VERDICT_EDITED},
	    {1, 1, log_.lines[2], VERDICT_EDITED}, /* true, of another place */
	};
	const char *record = forged[_i].instead != NULL ? forged[_i].instead : record_of(forged[_i].record, "stopped");
	forge_proof_of(forged[_i].note, record, 0, &first.signer.key, "");
	ck_assert_int_eq(check(key_text), verdict_status(forged[_i].verdict));
	ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(another_key_is_refused)
{
	struct note_key key;
	char text[NOTE_KEY_TEXT_SIZE];
	uint8_t seed[NOTE_SEED_SIZE] = {9}, log[NOTE_LOG_ID_SIZE] = {1};
	ck_assert_int_eq(prove(2), 0);
	note_key_make(&key, seed);
	note_key_text(text, log, key.public_key);
	ck_assert_int_eq(check(text), verdict_status(VERDICT_UNKNOWN_KEY));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit proof");
	TCase *tests = tcase_create("proof");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, each_signed_record_is_proved);
	tcase_add_test(tests, what_is_not_signed_is_not_proved);
	tcase_add_test(tests, a_proof_shows_no_other_record);
	tcase_add_loop_test(tests, a_spoilt_proof_is_refused, 0, 16);
	tcase_add_loop_test(tests, a_refusal_says_what_is_wrong, 0, sizeof(spoilt) / sizeof(spoilt[0]));
	tcase_add_test(tests, a_record_is_proved_by_its_own_epoch);
	tcase_add_test(tests, what_a_terminal_obeys_is_escaped);
	tcase_add_loop_test(tests, a_key_proves_records_of_its_own_log, 0, 5);
	tcase_add_test(tests, another_key_is_refused);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
