/* Promises of whose a log's key is: a key that is given names its log and speaks for no other, a run that the host's
 * log does not know has no key at all, and before a log names one nothing in it is signed. `cofferdam audit verify` and
 * docs/verify.py, which share no line, both say so.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>

static char folder[40], host_path[64], host_key[NOTE_KEY_TEXT_SIZE], why[WHY_SIZE];

static void setup(void)
{
	log_setup();
	fake_log_free(&log_);
}

/* A host's log that knows no run. */
static void make_host(void)
{
	static struct host host;
	strcpy(folder, "/tmp/cofferdam-keys-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(host_path, sizeof(host_path), "%s/host.jsonl", folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
	ck_assert_msg(host_log_key(&host, host_key, why) == 0, "%s", why);
}

static void remove_host(void)
{
	char command[80];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* By both verifiers; NULL: that is not given. */
static void expect_with(const char *key, const char *host_log, enum verdict wanted)
{
	struct verify verify;
	struct verify_result result;
	const struct audit_evidence evidence = {.public_key = key, .host_log = host_log};
	const char *options[] = {"--pubkey", key, "--host-log", host_log, NULL};
	options[key == NULL ? 0 : host_log == NULL ? 2 : 4] = NULL;
	ck_assert_msg(audit_judge(path, &evidence, NULL, NULL, &verify, &result, why) == 0, "%s", why);
	ck_assert_msg(result.verdict == wanted, "%s, not %s", verdict_word(result.verdict), verdict_word(wanted));
	ck_assert_int_eq(script(options), verdict_status(wanted));
}

/* Who has stolen one run's key makes the log of another with it: whoever looks for that run's key finds it another's.
 */
START_TEST(a_key_is_of_the_log_that_it_names)
{
	struct fake_writer writer;
	char ours[NOTE_KEY_TEXT_SIZE], others[NOTE_KEY_TEXT_SIZE];
	fake_writer_begin(&writer, &log_, 1, 7);
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
	write_log(&log_);
	note_key_text(ours, writer.signer.log, writer.signer.key.public_key);
	writer.signer.log[0] ^= 1;
	note_key_text(others, writer.signer.log, writer.signer.key.public_key);
	expect_with(NULL, NULL, VERDICT_SELF_SIGNED);
	expect_with(ours, NULL, VERDICT_SEALED);
	expect_with(others, NULL, VERDICT_UNKNOWN_KEY);
}
END_TEST

/* Whatever it is, of zeros as well, and the run's id, which something that is not there may be compared as. */
START_TEST(a_run_that_the_host_does_not_know_has_no_key)
{
	struct fake_writer writer = {.log = &log_, .time_ms = 1700000000000};
	fake_context(&writer.context);
	if (_i == 1)
		memset(writer.context.run, 0, sizeof(writer.context.run));
	signer_begin(&writer.signer, writer.context.run, (const uint8_t[NOTE_SEED_SIZE]){1});
	if (_i < 2)
		memset(writer.signer.key.public_key, 0, NOTE_KEY_SIZE);
	fake_writer_add(&writer, AUDIT_LOG_OPENED);
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	write_log(&log_);
	make_host();
	expect_with(host_key, host_path, VERDICT_UNKNOWN_KEY);
	remove_host();
	expect_with(NULL, NULL, VERDICT_UNSIGNED);
	command("verify", NULL);
	ck_assert_ptr_nonnull(strstr(output, "unsigned-tail: no record in it is signed")); /* at no time, then */
}
END_TEST

/* A checkpoint in the place of the record that names the key: nobody has looked at its signature, and nobody can. */
START_TEST(nothing_is_signed_before_there_is_a_key)
{
	struct fake_writer writer = {.log = &log_, .time_ms = 1700000000000};
	fake_context(&writer.context);
	signer_begin(&writer.signer, writer.context.run, (const uint8_t[NOTE_SEED_SIZE]){1});
	fake_writer_sign(&writer, 0);
	for (int i = 0; i < _i; i++)
		fake_writer_add(&writer, AUDIT_VM_RUNNING);
	write_log(&log_);
	expect_with(NULL, NULL, VERDICT_UNKNOWN_KEY);
	ck_assert_int_eq(command("anchor", NULL), verdict_status(VERDICT_UNKNOWN_KEY));
	ck_assert_str_eq(output, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit keys");
	TCase *tests = tcase_create("keys");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, log_teardown);
	tcase_add_test(tests, a_key_is_of_the_log_that_it_names);
	tcase_add_loop_test(tests, a_run_that_the_host_does_not_know_has_no_key, 0, 3);
	tcase_add_loop_test(tests, nothing_is_signed_before_there_is_a_key, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
