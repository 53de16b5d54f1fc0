/* Promises of `cofferdam audit forward` with a cursor: where a crash left records that nothing signed, and the host's
 * log cut them off and says so, it goes on after the last signature; a log that says nothing of it is not the one that
 * was handed on.
 */
#include "monitor/command/command.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char cursor_path[80], cursor_word[96];

static void setup(void)
{
	log_setup();
	fake_log_free(&log_);
	snprintf(cursor_path, sizeof(cursor_path), "%s.cursor", path);
	snprintf(cursor_word, sizeof(cursor_word), "--cursor=%s", cursor_path);
}

static void teardown(void)
{
	unlink(cursor_path);
	log_teardown();
}

/* Whether just these lines of the log, counted from 0, were handed on, in this order. */
static void expect_handed_on(size_t first, size_t end)
{
	const char *at = output;
	for (size_t i = first; i < end; i++) {
		const char *found = strstr(at, log_.lines[i]);
		ck_assert_msg(found != NULL, "line %zu was not", i);
		at = found + log_.sizes[i];
		ck_assert_int_eq(*at++, '\n');
	}
	ck_assert_str_eq(at, "");
	size_t count = 0;
	for (const char *line = output; (line = strchr(line, '\n')) != NULL; line++)
		count++;
	ck_assert_uint_eq(count, end - first);
}

/* Signed to record 3; two more, which nothing signs, are handed on as well. The writer as it was at the signature. */
static struct fake_writer hand_on_an_unsigned_end(void)
{
	struct fake_writer writer, then;
	fake_writer_begin(&writer, &log_, 1, 1);
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	fake_writer_sign(&writer, 5);
	then = writer;
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	write_log(&log_);
	ck_assert_int_eq(command("forward", cursor_word), 0);
	expect_handed_on(0, 5);
	ck_assert_int_eq(command("forward", cursor_word), 0);
	ck_assert_str_eq(output, ""); /* nothing twice */
	while (log_.count > 3)
		fake_log_remove(&log_, log_.count - 1);
	then.time_ms += 1000;
	return then;
}

START_TEST(after_a_repair_it_goes_on_from_the_last_signature)
{
	struct fake_writer writer = hand_on_an_unsigned_end();
	fake_writer_add(&writer, _i == 0 ? AUDIT_LOG_REPAIRED : AUDIT_VM_RUNNING);
	for (int i = 0; i < 3; i++)
		fake_writer_add(&writer, AUDIT_VM_RUNNING);
	fake_writer_sign(&writer, 6);
	write_log(&log_);
	ck_assert_int_eq(command("forward", cursor_word), _i == 0 ? 0 : verdict_status(VERDICT_ROLLED_BACK));
	expect_handed_on(3, _i == 0 ? log_.count : 3);
	ck_assert_int_eq(command("forward", cursor_word), _i == 0 ? 0 : verdict_status(VERDICT_ROLLED_BACK));
	ck_assert_str_eq(output, "");
}
END_TEST

/* However far the log came: it may be shorter than what was handed on. */
START_TEST(a_repaired_log_may_be_shorter)
{
	struct fake_writer writer = hand_on_an_unsigned_end();
	fake_writer_add(&writer, AUDIT_LOG_REPAIRED);
	write_log(&log_);
	ck_assert_int_eq(command("forward", cursor_word), 0);
	expect_handed_on(3, 4);
	fake_writer_sign(&writer, 6);
	write_log(&log_);
	ck_assert_int_eq(command("forward", cursor_word), 0);
	ck_assert_ptr_nonnull(strstr(output, log_.lines[4]));
}
END_TEST

/* What was signed is not cut off by any repair. */
START_TEST(a_repair_is_believed_after_the_last_signature_alone)
{
	struct fake_writer writer = hand_on_an_unsigned_end();
	fake_log_free(&log_);
	fake_writer_begin(&writer, &log_, 1, 1);
	writer.time_ms += 7000;
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	fake_writer_sign(&writer, 5);
	fake_writer_add(&writer, AUDIT_LOG_REPAIRED);
	fake_writer_sign(&writer, 6);
	write_log(&log_);
	ck_assert_int_eq(command("forward", cursor_word), verdict_status(VERDICT_ROLLED_BACK));
	ck_assert_str_eq(output, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit forward");
	TCase *tests = tcase_create("forward");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, after_a_repair_it_goes_on_from_the_last_signature, 0, 2);
	tcase_add_test(tests, a_repaired_log_may_be_shorter);
	tcase_add_test(tests, a_repair_is_believed_after_the_last_signature_alone);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
