/* Promises of what the host's log says of runs: each one's first key before its end, and where its log ended; with that
 * a cut, a replaced and a forged log are found.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/host_log.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SYNCS_MAX = 64 };
static struct {
	unsigned count;
	ino_t files[SYNCS_MAX];
} * synced; /* shared with the processes that write the host's log; NULL: not looked at */

/* In libc's place. */
int fdatasync(int descriptor)
{
	struct stat status;
	if (synced != NULL && synced->count < SYNCS_MAX && fstat(descriptor, &status) == 0)
		synced->files[synced->count++] = status.st_ino;
	return (int)syscall(SYS_fdatasync, descriptor);
}

static void watch_syncs(void)
{
	synced = mmap(NULL, sizeof(*synced), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(synced, MAP_FAILED);
}

/* How often; *last: the last of them, counted from 1 among all. */
static unsigned syncs_of(const char *file, unsigned *last)
{
	struct stat status;
	unsigned often = 0;
	*last = 0;
	ck_assert_int_eq(stat(file, &status), 0);
	for (unsigned i = 0; i < synced->count; i++)
		if (synced->files[i] == status.st_ino) {
			often++;
			*last = i + 1;
		}
	return often;
}

/* Or a host that fails then would leave a log that seems cut. What is sealed is on disk already. */
START_TEST(what_the_host_s_log_has_of_an_end_is_on_disk)
{
	unsigned last;
	watch_syncs();
	if (_i > 0)
		fake_log_remove(&run_log, 7);
	write_run();
	if (_i < 2) {
		start_run();
		end_run();
	} else {
		ck_assert_msg(host_log_refused(&vm, "no such luck", why) == 0, "%s", why);
	}
	ck_assert_uint_eq(count(_i == 0   ? "\"event_code\":\"run_sealed\""
				: _i == 1 ? "\"event_code\":\"run_unsealed\""
					  : "\"event_code\":\"run_refused\""),
			  1);
	ck_assert_uint_eq(syncs_of(log_path, &last), _i > 0);
}
END_TEST

/* Or a host that fails while the VM runs would leave none that names its log, and nobody would say how the run ended.
 */
START_TEST(the_mark_of_a_run_that_the_host_s_log_has_is_on_disk)
{
	char folder[128], mark[256];
	unsigned at_log, at_mark, at_folder;
	watch_syncs();
	start_run();
	snprintf(folder, sizeof(folder), "%s/running", host_folder);
	int size = snprintf(mark, sizeof(mark), "%s/", folder);
	for (size_t i = 0; i < sizeof(vm.plan.run_id); i++)
		size += snprintf(mark + size, sizeof(mark) - (size_t)size, "%02x", vm.plan.run_id[i]);
	syncs_of(host_path, &at_log);
	syncs_of(mark, &at_mark);
	syncs_of(folder, &at_folder);
	ck_assert_uint_gt(at_log, 0);
	ck_assert_uint_gt(at_mark, at_log);
	ck_assert_uint_gt(at_folder, at_mark);
}
END_TEST

START_TEST(a_run_is_begun_and_sealed)
{
	start_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0);
	ck_assert_int_eq(host_log_settle(&host, why), 0); /* while it runs: nothing */
	ck_assert_uint_eq(count("\"event_code\":\"run_"), 1);
	end_run();
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
	ck_assert_int_eq(judge(false), VERDICT_SELF_SIGNED); /* whose host log that is nobody said */
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

/* With no more than its start known: who cuts behind the first signature is found while the VM runs, and afterwards. */
START_TEST(a_log_that_lost_its_first_signature_is_found_while_it_runs)
{
	start_run();
	ck_assert_int_eq(judge(true), VERDICT_SEALED); /* its bytes are whole, whoever holds it */
	ck_assert_uint_eq(count("\"count\":8"), 1);
	for (size_t left = run_log.count - 1; left > 0; left--) {
		fake_log_remove(&run_log, left);
		write_run();
		ck_assert_int_eq(judge(true), VERDICT_CUT);
	}
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 0);
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_CUT);
}
END_TEST

START_TEST(a_run_that_died_is_marked)
{
	fake_log_remove(&run_log, 7);
	write_run();
	start_run();
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
	ck_assert_uint_eq(count("unsigned-tail"), 3); /* the reason: in message, status_detail and details */
	ck_assert_int_eq(judge(true), VERDICT_UNSIGNED);
	fake_log_remove(&run_log, 6);
	write_run();
	ck_assert_int_eq(judge(true), VERDICT_CUT);
}
END_TEST

/* Who was given the log to read cannot seem to write it, whatever lock he takes: its end is told all the same. */
START_TEST(a_reader_does_not_hide_the_end)
{
	struct flock whole = {.l_type = _i == 0 ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	AUTO_CLOSE int reader = open(log_path, O_RDONLY | O_CLOEXEC);
	start_run();
	int locked = _i == 2 ? flock(reader, LOCK_EX) : fcntl(reader, F_OFD_SETLK, &whole);
	close_descriptor(&writer);
	if (locked != 0 && _i == 0)
		locked = fcntl(reader, F_OFD_SETLK, &whole);
	ck_assert_int_eq(locked, _i == 1 ? -1 : 0);
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
}
END_TEST

START_TEST(a_log_that_is_gone_is_marked)
{
	start_run();
	unlink(log_path);
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_RUN_MISSING);
}
END_TEST

/* Of a rotated log the files before the one that is written to may have been taken away: the run goes on. */
START_TEST(a_log_whose_first_files_are_gone_goes_on)
{
	char later[SEGMENT_PATH_SIZE];
	start_run();
	segment_path(log_path, (unsigned)_i, later);
	int next = open(later, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	ck_assert(segment_hold(next));
	close_descriptor(&writer);
	unlink(log_path);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 0);
	close_descriptor(&next);
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
}
END_TEST

START_TEST(a_cut_of_a_sealed_log_is_found)
{
	start_run();
	end_run();
	for (size_t left = run_log.count - 1; left > 0; left--) {
		fake_log_remove(&run_log, left);
		write_run();
		ck_assert_int_eq(judge(true), VERDICT_CUT);
	}
}
END_TEST

START_TEST(another_log_of_the_run_is_found)
{
	struct fake_writer forger;
	start_run();
	end_run();
	fake_log_free(&run_log);
	fake_writer_begin(&forger, &run_log, 1,
			  _i == 0 ? 1 : 9); /* with the stolen key of the run, or one of his own */
	fake_writer_add(&forger, AUDIT_VM_STOPPED);
	while (run_log.count < 6)
		fake_writer_add(&forger, AUDIT_VM_RUNNING);
	fake_writer_add(&forger, AUDIT_LOG_CLOSED);
	fake_writer_sign(&forger, 0);
	write_run();
	ck_assert_int_eq(judge(true), VERDICT_REPLACED);
}
END_TEST

START_TEST(a_run_that_the_host_does_not_know_is_found)
{
	struct verify verify;
	struct verify_result result;
	char text[AUDIT_TEXT_SIZE];
	start_run();
	end_run();
	fake_log_free(&run_log);
	fake_log_make(&run_log, 8, true, 2);
	write_run();
	ck_assert_int_eq(judge(true), VERDICT_UNKNOWN_KEY);
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = key};
	ck_assert_int_eq(audit_judge(log_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	audit_describe(&result, text);
	ck_assert_msg(strstr(text, "the host's log has no run whose log begins with the key of line 1") != NULL, "%s",
		      text);
}
END_TEST

/* Who names all logs of a folder names the host's own, too: it is no run's, and is judged by its key. */
START_TEST(the_host_s_log_among_the_logs_is_judged_by_its_key)
{
	char later[128];
	start_run();
	end_run();
	ck_assert_int_eq(judge_log(host_path, true), VERDICT_UNSEALED);
	ck_assert_int_eq(judge_log(host_path, false), VERDICT_UNSEALED);
	ck_assert_msg(host_log_rotate(&host, why) == 0, "%s", why);
	ck_assert_msg(host_log_reset(&host, "other", 3, why) == 0, "%s", why);
	snprintf(later, sizeof(later), "%s/host.2.jsonl", host_folder);
	ck_assert_int_eq(judge_log(later, true), VERDICT_UNSEALED);
	ck_assert_int_eq(unlink(log_path), 0); /* it does not pass for a run's */
	ck_assert_int_eq(symlink(host_path, log_path), 0);
	ck_assert_int_eq(judge(true), VERDICT_UNKNOWN_KEY);
}
END_TEST

START_TEST(a_run_that_is_over_when_it_is_told_of)
{
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

/* 0: its launcher has let go of the log, and is about to say that it did not start the run; 1: it was lost then. */
START_TEST(no_session_tells_of_a_run_that_its_launcher_is_to_refuse)
{
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	ck_assert_int_ge(vm.mark, 0);
	if (_i == 1)
		close_descriptor(&vm.mark);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), _i);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), _i);
	if (_i == 1)
		return;
	ck_assert_msg(host_log_refused(&vm, "no such luck", why) == 0, "%s", why);
	close_descriptor(&vm.mark);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_refused\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_"), 1);
}
END_TEST

/* Another VM's start does not look at its log, over as that is. 0: its launcher is lost; 1: says so; 2: whoever looks
   after the log believes no launcher. */
START_TEST(a_start_leaves_runs_alone_whose_launcher_lives)
{
	struct vm other = vm;
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	close_descriptor(&vm.mark);
	start_run();
	close_descriptor(&writer);
	other.plan.run_id[0] = 2;
	strcpy(other.plan.name, "other");
	ck_assert_msg(host_log_started(&other, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 2);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0);
	if (_i == 0) {
		close_descriptor(&vm.marks);
		ck_assert_msg(host_log_started(&other, why) == 0, "%s", why);
	} else {
		ck_assert_msg((_i == 1 ? host_log_ended(&vm, why) : host_log_settle(&host, why)) == 0, "%s", why);
	}
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	close_descriptor(&vm.marks);
}
END_TEST

static bool is_of(const char *line, const char *event)
{
	return strstr(line, event) != NULL;
}

/* And about nothing else: a signature is nobody's, and no VM's is the one after it. */
START_TEST(a_record_names_the_vm_and_the_policy_that_it_is_about)
{
	static char line[RECORD_MAX];
	unsigned lines = 0, named = 0;
	policy.hash[0] = 7;
	start_run();
	end_run();
	ck_assert_msg(host_log_reset(&host, "other", 3, why) == 0, "%s", why);
	ck_assert_msg(host_log_rotate(&host, why) == 0, "%s", why);
	FILE *file = fopen(host_path, "r");
	for (; fgets(line, sizeof(line), file) != NULL; lines++) {
		const char *own = strstr(line, "\"sender\":\"host\"");
		bool starts = is_of(line, "\"run_started\""), resets = is_of(line, "\"revision_reset\"");
		ck_assert_ptr_nonnull(own);
		line[own - line] = 0; /* the record's context, before its details */
		bool web = is_of(line, "\"vm\":\"web\""), other = is_of(line, "\"vm\":\"other\"");
		ck_assert_msg(web == (starts || is_of(line, "\"run_sealed\"")), "%s", line);
		ck_assert_msg(other == resets, "%s", line);
		ck_assert_msg(is_of(line, "\"policy\":\"0700") == starts, "%s", line);
		named += web + other;
	}
	fclose(file);
	ck_assert_uint_eq(named, 3);
	ck_assert_uint_eq(lines, 9); /* opened, rotated, and a signature a session */
	policy.hash[0] = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit host runs");
	TCase *tests = tcase_create("runs");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, host_setup, host_teardown);
	tcase_add_test(tests, a_run_is_begun_and_sealed);
	tcase_add_test(tests, a_log_that_lost_its_first_signature_is_found_while_it_runs);
	tcase_add_loop_test(tests, what_the_host_s_log_has_of_an_end_is_on_disk, 0, 3);
	tcase_add_test(tests, the_mark_of_a_run_that_the_host_s_log_has_is_on_disk);
	tcase_add_test(tests, a_run_that_died_is_marked);
	tcase_add_loop_test(tests, a_reader_does_not_hide_the_end, 0, 3);
	tcase_add_test(tests, a_log_that_is_gone_is_marked);
	tcase_add_loop_test(tests, a_log_whose_first_files_are_gone_goes_on, 2, 4);
	tcase_add_test(tests, a_cut_of_a_sealed_log_is_found);
	tcase_add_loop_test(tests, another_log_of_the_run_is_found, 0, 2);
	tcase_add_test(tests, a_run_that_the_host_does_not_know_is_found);
	tcase_add_test(tests, the_host_s_log_among_the_logs_is_judged_by_its_key);
	tcase_add_test(tests, a_run_that_is_over_when_it_is_told_of);
	tcase_add_loop_test(tests, no_session_tells_of_a_run_that_its_launcher_is_to_refuse, 0, 2);
	tcase_add_loop_test(tests, a_start_leaves_runs_alone_whose_launcher_lives, 0, 3);
	tcase_add_test(tests, a_record_names_the_vm_and_the_policy_that_it_is_about);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
