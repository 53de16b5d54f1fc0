/* Promises of policy/load.c and policy/layers.c with real files: what extends what, from where, and what a layer may
 * change. How ceilings are refused is also in tests/policy (ceiling-*). */
#include "policy/drift.h"
#include "policy/host.h"
#include "policy/policy.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE                                                                                                           \
	"cofferdam: 1\ncmdline: quiet\nmachine: {vcpus: 4, memory: 256MiB}\n"                                          \
	"disks:\n  - {name: data, path: data.img, access: read-write}\n  - {name: root, path: root.img}\n"             \
	"console: {input: stdin}\nlimits: {run_time: 1h, tasks: 40}\n"

static struct host *host;

static void setup(void)
{
	make_folder();
	ck_assert_int_eq(mkdir("vm", 0755) | mkdir("vm/sub", 0755) | mkdir("roots", 0755), 0);
	unsetenv("SUDO_UID");
	problems_init(&problems);
}

static void teardown(void)
{
	host_free(host);
	host = NULL;
	problems_free(&problems);
	remove_folder();
}

static struct policy *load(const char *top)
{
	char text[4096];

	snprintf(text, sizeof(text), HEAD "%s", top);
	make_file("vm/p.yaml", text, 0644);
	problems_free(&problems);
	return policy_load("vm/p.yaml", host, &problems);
}

static struct policy *load_good(const char *top)
{
	struct policy *policy = load(top);

	ck_assert_msg(policy != NULL, "refused: %s", problems.list[0].message);
	return policy;
}

static void refuse(const char *top, uint32_t line, const char *says)
{
	struct policy *policy = load(top);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	problems_print(&problems, out);
	fclose(out);
	ck_assert_msg(policy == NULL, "accepted: %s", top);
	ck_assert_msg(strstr(text, says) != NULL, "%s\nsays not %s but\n%s", top, says, text);
	ck_assert_uint_eq(problems.list[0].at.line, line);
	free(text);
}

START_TEST(base_fills_what_is_not_written)
{
	struct policy *policy;

	make_file("vm/base.yaml", BASE, 0644);
	policy = load_good("extends: base.yaml\nmachine: {vcpus: 2}\n");
	ck_assert_uint_eq(policy->machine.vcpus.value, 2);
	ck_assert_uint_eq(policy->machine.memory.value, 256 << 20);
	ck_assert_uint_eq(policy->machine.memory.at.file, PROBLEM_FILE_BASE);
	ck_assert_uint_eq(policy->machine.memory.at.line, 3);
	ck_assert_str_eq(policy->files[PROBLEM_FILE_BASE], "base.yaml");
	ck_assert_str_eq(policy->cmdline.text, "quiet");
	ck_assert_uint_eq(policy->disk_count, 2);
	ck_assert_uint_eq(policy->limits.run_time.value, 3600000);
	ck_assert_str_eq(policy->extends.text, "base.yaml");
	ck_assert_uint_eq(policy->kernel.builtin.value, 1);
	policy_free(policy);
}
END_TEST

START_TEST(named_items_are_narrowed)
{
	struct policy *policy;

	make_file("vm/base.yaml", BASE, 0644);
	policy = load_good("extends: base.yaml\ndisks: [{name: data, access: read-only}]\n");
	ck_assert_uint_eq(policy->disk_count, 1);
	ck_assert_str_eq(policy->disks[0].path.text, "data.img");
	ck_assert_uint_eq(policy->disks[0].access.value, POLICY_READ_ONLY);
	policy_free(policy);
}
END_TEST

static const struct {
	const char *top;
	uint32_t line;
	const char *says;
} loosened[] = {
    {"extends: base.yaml\nmachine: {vcpus: 8}\n", 5,
     "`machine.vcpus`: `8` is looser than `4` of the policy it extends, base.yaml:3"},
    {"extends: base.yaml\nmachine: {memory: 258MiB}\n", 5, "base.yaml:3"},
    {"extends: base.yaml\nlimits: {run_time: 2h}\n", 5, "vm/p.yaml:5:20: error: `limits.run_time`"},
    {"extends: base.yaml\ncmdline: verbose\n", 5,
     "`cmdline`: `verbose` changes `quiet` of the policy it extends, base.yaml:2"},
    {"extends: base.yaml\ndisks: [{name: root, access: read-write}]\n", 5,
     "`disks[root].access`: `read-write` is looser than `read-only` of the policy it extends, base.yaml:6"},
    {"extends: base.yaml\ndisks: [{name: root, path: other.img}]\n", 5,
     "`disks[root].path`: `other.img` changes `root.img`"},
    {"extends: base.yaml\ndisks: [{name: more, scratch: 1MiB}]\n", 5,
     "`disks[more]`: `more` is not allowed by the policy it extends, base.yaml:5"},
    {"extends: base.yaml\nkernel: builtin\n", 5, "written twice"},
};

START_TEST(loosening_names_both_lines)
{
	make_file("vm/base.yaml", BASE, 0644);
	refuse(loosened[_i].top, loosened[_i].line, loosened[_i].says);
}
END_TEST

START_TEST(chain_is_followed_and_ends)
{
	struct policy *policy;

	make_file("vm/sub/one.yaml", "cofferdam: 1\nextends: two.yaml\nlimits: {tasks: 30}\n", 0644);
	make_file("vm/sub/two.yaml", "cofferdam: 1\nextends: three.yaml\nmachine: {vcpus: 2}\n", 0644);
	make_file("vm/sub/three.yaml", "cofferdam: 1\nmachine: {memory: 64MiB}\nlimits: {tasks: 31}\n", 0644);
	policy = load_good("extends: sub/one.yaml\n");
	ck_assert_uint_eq(policy->limits.tasks.value, 30);
	ck_assert_uint_eq(policy->machine.vcpus.value, 2);
	ck_assert_uint_eq(policy->machine.memory.value, 64 << 20);
	policy_free(policy);
	make_file("vm/sub/three.yaml", "cofferdam: 1\nextends: four.yaml\n", 0644);
	make_file("vm/sub/four.yaml", "cofferdam: 1\n", 0644);
	refuse("extends: sub/one.yaml\n", 2, "more than 3 files");
	make_file("vm/sub/three.yaml", "cofferdam: 1\nlimits: {tasks: 29}\n", 0644);
	refuse("extends: sub/one.yaml\n", 3, "sub/one.yaml:3:17: error: `limits.tasks`: `30` is looser than `29`");
}
END_TEST

START_TEST(circles_are_found)
{
	make_file("vm/one.yaml", "cofferdam: 1\nextends: two.yaml\n", 0644);
	make_file("vm/two.yaml", "cofferdam: 1\nextends: one.yaml\n", 0644);
	refuse("extends: one.yaml\n", 2, "goes in a circle");
	refuse("extends: p.yaml\n", 4, "goes in a circle");
}
END_TEST

START_TEST(base_lies_beneath_the_folder_or_a_root)
{
	char text[256];
	struct policy *policy;

	make_file("base.yaml", BASE, 0644);
	make_file("roots/base.yaml", BASE, 0644);
	refuse("extends: ../base.yaml\n", 4, "leads upwards");
	snprintf(text, sizeof(text), "extends: %s/roots/base.yaml\n", folder);
	refuse(text, 4, "outside the policy's folder");
	ck_assert_int_eq(symlink("../base.yaml", "vm/link.yaml") | symlink("..", "vm/up"), 0);
	refuse("extends: link.yaml\n", 4, "symbolic link");
	refuse("extends: up/base.yaml\n", 4, "Not a directory");
	refuse("extends: missing.yaml\n", 4, "No such file");
	refuse("extends: sub\n", 4, "this is a directory");
	problems_free(&problems);
	snprintf(text, sizeof(text), "cofferdam: 1\nfolders: {roots: [%s/roots]}\n", folder);
	host = host_parse_buffer("host.yaml", text, strlen(text), &problems);
	ck_assert_ptr_nonnull(host);
	snprintf(text, sizeof(text), "extends: %s/roots/base.yaml\n", folder);
	policy = load_good(text);
	ck_assert_int_ge(policy->folders[PROBLEM_FILE_BASE], 0); /* its paths start there */
	ck_assert_uint_eq(policy->disks[0].path.at.file, PROBLEM_FILE_BASE);
	policy_free(policy);
}
END_TEST

START_TEST(others_may_not_write_the_base)
{
	make_file("vm/base.yaml", BASE, 0644);
	chmod("vm/base.yaml", 0664);
	refuse("extends: base.yaml\n", 4, "`extends`: it can be written by others");
	chmod("vm/base.yaml", 0644);
	make_file("vm/sub/base.yaml", BASE, 0644);
	chmod("vm/sub", 0775);
	refuse("extends: sub/base.yaml\n", 4, "its folder can be written by others");
	if (geteuid() != 0) {
		cannot_run("to give a file away needs root");
		return;
	}
	ck_assert_int_eq(chown("vm/base.yaml", 12345, 12345), 0);
	refuse("extends: base.yaml\n", 4, "belongs to user 12345");
}
END_TEST

START_TEST(mistakes_of_a_base_are_its_own)
{
	make_file("vm/base.yaml", "cofferdam: 1\nlimits: {tasks: 0}\n", 0644);
	refuse("extends: base.yaml\n", 2,
	       "base.yaml:2:17: error: `tasks`: `0` is too small\n    2 | limits: {tasks: 0}");
	make_file("vm/base.yaml", "limits: {tasks: 20}\n", 0644);
	refuse("extends: base.yaml\n", 1, "base.yaml:1:1: error: key `cofferdam` is missing");
	make_file("vm/base.yaml", "cofferdam: 1\nkernel: {sha256: ab}\n", 0644);
	refuse("extends: base.yaml\n", 2, "key `path` is missing");
}
END_TEST

START_TEST(ceilings_and_defaults_reach_through_the_chain)
{
	static const char text[] = "cofferdam: 1\nceilings: {limits: {run_time: 30min, cpu: 200%}}\n"
				   "defaults: {limits: {run_time: 10min, tasks: 50}}\n";
	struct policy *policy;

	host = host_parse_buffer("host.yaml", text, strlen(text), &problems);
	ck_assert_ptr_nonnull(host);
	make_file("vm/base.yaml", BASE, 0644);
	refuse("extends: base.yaml\n", 8,
	       "base.yaml:8:20: error: `limits.run_time`: `1h` is looser than `30min` of the host "
	       "file's ceilings, host.yaml:2");
	policy = load_good("machine: {vcpus: 4}\n");
	ck_assert_uint_eq(policy->limits.run_time.value, 600000);
	ck_assert_uint_eq(policy->limits.tasks.value, 50);
	ck_assert_uint_eq(policy->limits.cpu.value, 200); /* and not 100 for each vCPU */
	ck_assert_uint_eq(policy->limits.cpu.at.file, PROBLEM_FILE_HOST);
	policy_free(policy);
}
END_TEST

START_TEST(hash_is_of_all_files)
{
	struct policy *a, *b;

	make_file("vm/base.yaml", BASE, 0644);
	a = load_good("extends: base.yaml\n");
	make_file("vm/base.yaml", BASE "# another\n", 0644);
	b = load_good("extends: base.yaml\n");
	ck_assert_int_ne(memcmp(a->hash, b->hash, 32), 0);
	policy_free(a);
	policy_free(b);
}
END_TEST

/* Of a running VM: any file that it was read from, changed, gone, or no longer what it was. */
START_TEST(drift_is_of_any_file)
{
	char why[PROBLEM_TEXT_SIZE] = "";

	make_file("vm/base.yaml", BASE, 0644);
	struct policy *policy = load_good("extends: base.yaml\n");
	ck_assert_int_eq(policy_drift(policy, why), 0);
	make_file("vm/base.yaml", BASE "# another\n", 0644);
	ck_assert_int_eq(policy_drift(policy, why), 1);
	make_file("vm/base.yaml", BASE, 0644);
	ck_assert_int_eq(policy_drift(policy, why), 0);
	make_file("vm/p.yaml", HEAD "extends: base.yaml\n# another\n", 0644);
	ck_assert_int_eq(policy_drift(policy, why), 1);
	make_file("vm/p.yaml", HEAD "extends: base.yaml\n", 0644);
	ck_assert_int_eq(policy_drift(policy, why), 0);
	ck_assert_int_eq(rename("vm/base.yaml", "vm/other.yaml"), 0);
	ck_assert_int_eq(policy_drift(policy, why), -1);
	ck_assert_str_eq(why, "base.yaml: cannot be opened: No such file or directory");
	ck_assert_int_eq(symlink("other.yaml", "vm/base.yaml"), 0);
	ck_assert_int_eq(policy_drift(policy, why), -1);
	ck_assert_str_eq(why, "base.yaml: this is a symbolic link");
	policy_free(policy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_layers");
	TCase *tcase = tcase_create("layers");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, base_fills_what_is_not_written);
	tcase_add_test(tcase, named_items_are_narrowed);
	tcase_add_loop_test(tcase, loosening_names_both_lines, 0, sizeof(loosened) / sizeof(loosened[0]));
	tcase_add_test(tcase, chain_is_followed_and_ends);
	tcase_add_test(tcase, circles_are_found);
	tcase_add_test(tcase, base_lies_beneath_the_folder_or_a_root);
	tcase_add_test(tcase, others_may_not_write_the_base);
	tcase_add_test(tcase, mistakes_of_a_base_are_its_own);
	tcase_add_test(tcase, ceilings_and_defaults_reach_through_the_chain);
	tcase_add_test(tcase, hash_is_of_all_files);
	tcase_add_test(tcase, drift_is_of_any_file);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
