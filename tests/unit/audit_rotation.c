/* Promises of a log's rotation, the launcher's part and the auditor's program together: it is over when it is said to
 * be, and what was closed is then whole; one that fails says why, and the log is no worse for it.
 */
#include "tests/unit/fake_auditor.h"
#include "tests/unit/run_suite.h"

#include "monitor/command/segment.h"

#include <string.h>

static struct vm vm;
static char why[WHY_SIZE], second[SEGMENT_PATH_SIZE];
static uint64_t records;

static void begin_log(void)
{
	segment_path(path, 2, second);
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	vm = (struct vm){.auditor = launcher};
	snprintf(vm.log_path, sizeof(vm.log_path), "%s", path);
}

static void setup_rotation(void)
{
	setup();
	begin_log();
}

static void setup_full(void)
{
	setup();
	shared->log_max = 64 << 10;
	begin_log();
}

static void teardown_rotation(void)
{
	char third[SEGMENT_PATH_SIZE];
	segment_path(path, 3, third);
	unlink(second);
	unlink(third);
	teardown();
}

static off_t size_of(const char *file)
{
	struct stat status;
	return stat(file, &status) == 0 ? status.st_size : -1;
}

START_TEST(what_was_closed_is_whole_when_it_is_said)
{
	send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	ck_assert_msg(segment_next(&vm, &records, why) == 0, "%s", why);
	off_t closed = size_of(path);
	struct verify_result result = read_log();
	ck_assert_int_eq(result.verdict, VERDICT_CONTINUED);
	ck_assert_uint_eq(result.lines, records);
	ck_assert_int_gt(size_of(second), 0);
	send_event(launcher, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(size_of(path), closed);
}
END_TEST

START_TEST(a_rotation_that_fails_says_why)
{
	static const int errors[] = {EIO, EIO, ENOSPC};
	shared->sync_error = _i == 0 ? EIO : 0;
	shared->write_error = _i == 1 ? EIO : 0;
	shared->no_room = _i == 2;
	while (shared->no_room) { /* what room was taken before is used up first */
		send_event(launcher, AUDIT_POLICY_LOADED, 2);
		if (audit_wait(launcher, 2, SOON_MS, NULL, NULL) != 0)
			break;
	}
	ck_assert_int_eq(segment_next(&vm, &records, why), -1);
	ck_assert_msg(strstr(why, "does not go on in") != NULL && strstr(why, strerror(errors[_i])) != NULL, "%s", why);
	ck_assert_int_eq(size_of(second), 0);
	if (_i == 2) { /* with room it is done, whatever was said of the want of it meanwhile */
		shared->no_room = false;
		shared->later += WRITER_ROOM_MS / 1000 + 1;
		ck_assert_msg(segment_next(&vm, &records, why) == 0, "%s", why);
	}
	ck_assert_int_eq(end(), _i == 2 ? 0 : EXIT_NOT_DURABLE);
	ck_assert_int_eq(read_log().verdict, _i == 2   ? VERDICT_CONTINUED
					     : _i == 1 ? VERDICT_UNSEALED
						       : VERDICT_CONTINUED);
}
END_TEST

/* Nobody waits for ever, and a late answer is not taken for the next one's. */
START_TEST(a_writer_that_does_not_answer_is_not_waited_for)
{
	pause_auditor();
	ck_assert_int_eq(segment_next(&vm, &records, why), -1);
	ck_assert_msg(strstr(why, "may do so yet") != NULL, "%s", why);
	kill(process, SIGCONT);
	ck_assert_msg(segment_next(&vm, &records, why) == 0, "%s", why);
	uint64_t first = read_log().lines;
	ck_assert_uint_eq(records, first + 4); /* the second: continued, rotated, a checkpoint each */
	ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(a_writer_that_is_gone_is_said_to_be)
{
	kill(process, SIGKILL);
	ck_assert_int_eq(waitpid(process, NULL, 0), process);
	ck_assert_int_eq(segment_next(&vm, &records, why), -1);
	ck_assert_msg(strstr(why, "auditor") != NULL, "%s", why);
	ck_assert_int_eq(size_of(second), -1);
}
END_TEST

/* However often a supervisor that was taken over asks. */
START_TEST(rotations_have_a_quota)
{
	unsigned may = 0;
	while (may < 1000 && segment_may_begin(&vm, why))
		may++;
	ck_assert_uint_ge(may, 4);
	ck_assert_uint_lt(may, 32);
	ck_assert_msg(strstr(why, "too often") != NULL, "%s", why);
	vm.rotations = (struct quota){0};
	vm.segments = SEGMENTS_MAX - 2;
	ck_assert_msg(segment_may_begin(&vm, why), "%s", why);
	vm.segments++;
	ck_assert(!segment_may_begin(&vm, why));
	ck_assert_msg(strstr(why, "9999") != NULL, "%s", why);
}
END_TEST

/* A log that is full goes on nowhere, and leaves no file for that; what was closed is what was written. */
START_TEST(a_rotation_that_was_refused_leaves_nothing)
{
	for (int tries = 0; tries < 3; tries++) {
		struct audit_packet packet;
		audit_begin(&packet, AUDIT_CAP_CHANGED);
		audit_add_u64(&packet, AUDIT_CAP, CAP_CPU);
		audit_add_u64(&packet, AUDIT_VALUE, 1);
		while (audit_send(launcher, &packet, 2, true) == 0 && audit_wait(launcher, 2, SOON_MS, NULL, NULL) == 0)
			continue;
		ck_assert_int_eq(errno, EFBIG);
		ck_assert_int_eq(segment_next(&vm, &records, why), -1);
		ck_assert_msg(strstr(why, strerror(EFBIG)) != NULL, "%s", why);
		ck_assert_int_eq(size_of(second), -1);
		ck_assert_uint_eq(vm.segments, 0);
	}
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

START_TEST(what_was_closed_keeps_no_room)
{
	struct stat status;
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_ge(status.st_blocks, WRITER_RESERVE / 512);
	ck_assert_msg(segment_next(&vm, &records, why) == 0, "%s", why);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_le(status.st_blocks, status.st_size / 512 + 8);
	ck_assert_int_eq(end(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit rotation");
	TCase *tests = tcase_create("rotation"), *full = tcase_create("full");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup_rotation, teardown_rotation);
	tcase_add_test(tests, what_was_closed_is_whole_when_it_is_said);
	tcase_add_loop_test(tests, a_rotation_that_fails_says_why, 0, 3);
	tcase_add_test(tests, a_writer_that_does_not_answer_is_not_waited_for);
	tcase_add_test(tests, a_writer_that_is_gone_is_said_to_be);
	tcase_add_test(tests, rotations_have_a_quota);
	tcase_add_test(tests, what_was_closed_keeps_no_room);
	tcase_add_test(full, a_rotation_that_was_refused_leaves_nothing);
	tcase_add_checked_fixture(full, setup_full, teardown_rotation);
	tcase_set_timeout(full, 60);
	suite_add_tcase(suite, full);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
