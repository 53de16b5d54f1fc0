/* Promises of monitor/command/revision.c: a revision that was set back is found, and a start that comes meanwhile is
 * not taken for that.
 */
#include <stdint.h>

struct host;
static uint64_t fake_log(const struct host *host, const char *vm, const char *signer);
#define host_log_revision fake_log
#include "monitor/command/revision.c"
#undef host_log_revision

#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <sys/stat.h>

static struct host host;
static struct policy policy;
static char why[WHY_SIZE];
static const char note[] = "0000000000000000-a"; /* of a key of zeros */
static uint64_t ran;                             /* the highest revision that the log has */
static const char *meanwhile;                    /* what a start notes before the log is read; NULL: there is none */

static uint64_t fake_log(const struct host *of, const char *vm, const char *signer)
{
	(void)of, (void)vm, (void)signer;
	if (meanwhile != NULL)
		make_file(note, meanwhile, 0600);
	return ran;
}

static void setup(void)
{
	make_folder();
	snprintf(host.folders.state.text, sizeof(host.folders.state.text), "%s", folder);
	host.policies.require_signed.value = POLICY_ON;
	snprintf(policy.name.text, sizeof(policy.name.text), "a");
	policy.revision.value = 5;
	make_file(note, "4\n", 0600);
}

/* 0: somebody set the note back, or the host's log has what never ran here; 1: a start notes 5, and the log has it. */
START_TEST(a_start_meanwhile_sets_nothing_back)
{
	ran = 5;
	meanwhile = _i == 1 ? "5\n" : NULL;
	ck_assert_int_eq(revision_check(&policy, &host, why), _i - 1);
	ck_assert(_i == 1 || strstr(why, "was set back") != NULL);
}
END_TEST

START_TEST(an_older_revision_is_refused)
{
	policy.revision.value = 3;
	ck_assert_int_eq(revision_check(&policy, &host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "revision 3"));
	policy.revision.value = 5;
	ck_assert_msg(revision_advance(&policy, &host, why) == 0, "%s", why);
	policy.revision.value = 4;
	ck_assert_int_eq(revision_advance(&policy, &host, why), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("revision");
	TCase *tests = tcase_create("revision");
	tcase_add_checked_fixture(tests, setup, remove_folder);
	tcase_add_loop_test(tests, a_start_meanwhile_sets_nothing_back, 0, 2);
	tcase_add_test(tests, an_older_revision_is_refused);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
