/* Promises of policy/host.c and policy/file.c: what holds without a host file, what the file may say, and which files
 * are refused because of who could have written them. */
#include "policy/host.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST "cofferdam: 1\nuids: {first: 2000000, count: 64}\n"

static void setup(void)
{
	make_folder();
	make_file("p.yaml", HEAD, 0644);
	make_file("host.yaml", HOST, 0644);
	unsetenv("SUDO_UID");
	problems_init(&problems);
}

static void teardown(void)
{
	problems_free(&problems);
	remove_folder();
}

static struct host *parse_host(const char *text)
{
	problems_free(&problems);
	return host_parse_buffer("host.yaml", text, strlen(text), &problems);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

START_TEST(defaults_of_root)
{
	struct host *host;

	if (geteuid() != 0) {
		cannot_run("the defaults of root need root");
		return;
	}
	setenv("XDG_RUNTIME_DIR", "/elsewhere", 1); /* root's environment decides nothing */
	setenv("XDG_STATE_HOME", "/elsewhere", 1);
	host = parse_host("");
	ck_assert_ptr_nonnull(host);
	ck_assert(!host->loaded);
	ck_assert_uint_eq(host->uids.first.value, 1879048192);
	ck_assert_uint_eq(host->uids.count.value, 65536);
	ck_assert_str_eq(host->folders.runtime.text, "/run/cofferdam");
	ck_assert_str_eq(host->folders.audit.text, "/var/log/cofferdam");
	ck_assert_str_eq(host->folders.programs.text, "");
	ck_assert_uint_eq(host->folders.root_count, 0);
	host_free(host);
}
END_TEST

static const struct {
	const char *runtime, *state, *home; /* the environment */
	const char *is_runtime, *is_audit;  /* the defaults */
} users[] = {
    {"/run/user/9", "/h/state", "/h", "/run/user/9/cofferdam", "/h/state/cofferdam"},
    {NULL, NULL, "/h", "/run/user/54321/cofferdam", "/h/.local/state/cofferdam"},
    {"relative", "relative", "/h", "/run/user/54321/cofferdam", "/h/.local/state/cofferdam"},
    {"/a/../b", "/a/../b", "/h", "/run/user/54321/cofferdam", "/h/.local/state/cofferdam"},
    {"", "", "/h", "/run/user/54321/cofferdam", "/h/.local/state/cofferdam"},
    {"/x", "", "relative", "/x/cofferdam", NULL}, /* no folder for the log: refused */
};

static void set(const char *name, const char *value)
{
	if (value == NULL)
		unsetenv(name);
	else
		setenv(name, value, 1);
}

START_TEST(defaults_of_an_ordinary_user)
{
	struct host *host;

	if (geteuid() != 0) {
		cannot_run("to be several users needs root");
		return;
	}
	ck_assert_int_eq(seteuid(54321), 0);
	set("XDG_RUNTIME_DIR", users[_i].runtime);
	set("XDG_STATE_HOME", users[_i].state);
	set("HOME", users[_i].home);
	host = parse_host("");
	if (users[_i].is_audit == NULL) {
		ck_assert_ptr_null(host);
		ck_assert_str_eq(problems.list[0].message, "no folder for the audit log");
	} else {
		ck_assert_ptr_nonnull(host);
		ck_assert_str_eq(host->folders.runtime.text, users[_i].is_runtime);
		ck_assert_str_eq(host->folders.audit.text, users[_i].is_audit);
	}
	host_free(host);
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(file_says_it_all)
{
	struct host *host = parse_host("cofferdam: 1\nuids: {first: 65536, count: 32}\n"
				       "folders:\n  runtime: /r\n  audit: /a/b\n  programs: /usr/libexec/cofferdam\n"
				       "  roots:\n    - /srv/images\n    - /data\n");

	ck_assert_ptr_nonnull(host);
	ck_assert(host->loaded);
	ck_assert_uint_eq(host->uids.first.value, 65536);
	ck_assert_uint_eq(host->uids.count.value, 32);
	ck_assert_str_eq(host->folders.runtime.text, "/r");
	ck_assert_str_eq(host->folders.audit.text, "/a/b");
	ck_assert_str_eq(host->folders.programs.text, "/usr/libexec/cofferdam");
	ck_assert_uint_eq(host->folders.root_count, 2);
	ck_assert_str_eq(host->folders.roots[1].text, "/data");
	ck_assert_uint_eq(host->folders.roots[1].at.line, 9);
	host_free(host);
	ck_assert_ptr_null(parse_host("cofferdam: 1\nuids: {first: 4294967008, count: 33}\n"));
	host = parse_host("cofferdam: 1\nuids: {first: 4294967008, count: 32}\n");
	ck_assert_ptr_nonnull(host);
	host_free(host);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Loads both kinds; the reason of a refusal must hold `says`, NULL: it is read. */
static void load_policy(const char *path, const char *says)
{
	struct policy *policy = policy_load(path, NULL, &problems);

	ck_assert_msg((policy != NULL) == (says == NULL), "policy %s: %s", path, problems.list[0].message);
	ck_assert_msg(says == NULL || strstr(problems.list[0].message, says) != NULL, "%s", problems.list[0].message);
	policy_free(policy);
	problems_free(&problems);
}

static void load_host(const char *path, const char *says)
{
	struct host *host = host_load(path, &problems);

	ck_assert_msg((host != NULL) == (says == NULL), "host %s: %s", path, problems.list[0].message);
	ck_assert_msg(says == NULL || strstr(problems.list[0].message, says) != NULL, "%s", problems.list[0].message);
	host_free(host);
	problems_free(&problems);
}

START_TEST(good_files_are_read)
{
	char path[128];
	struct policy *policy;
	struct stat here, there;

	load_policy("p.yaml", NULL);
	load_policy("./p.yaml", NULL);
	snprintf(path, sizeof(path), "%s/p.yaml", folder);
	policy = policy_load(path, NULL, &problems);
	ck_assert_ptr_nonnull(policy);
	ck_assert_int_eq(stat(folder, &here), 0);
	ck_assert_int_eq(fstat(policy->folders[0], &there), 0);
	ck_assert_uint_eq(here.st_ino, there.st_ino);
	policy_free(policy);
	problems_free(&problems);
	load_host("host.yaml", NULL);
	if (access(HOST_FILE, F_OK) != 0)
		load_host(NULL, NULL); /* absent: the defaults */
}
END_TEST

START_TEST(others_may_not_write_the_file)
{
	static const mode_t modes[] = {0664, 0646, 0666, 0620, 0602, 0777};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		chmod("p.yaml", modes[i]);
		chmod("host.yaml", modes[i]);
		load_policy("p.yaml", "it can be written by others");
		load_host("host.yaml", "it can be written by others");
	}
	chmod("p.yaml", 0400);
	load_policy("p.yaml", NULL);
}
END_TEST

START_TEST(others_may_not_write_the_folder)
{
	chmod(folder, 0770);
	load_policy("p.yaml", "its folder can be written by others");
	load_host("host.yaml", "its folder can be written by others");
	chmod(folder, 01777); /* as /tmp: only the owner can put another file in its place */
	load_policy("p.yaml", NULL);
	chmod(folder, 0755);
	load_policy("p.yaml", NULL);
}
END_TEST

START_TEST(owner_is_root_or_the_caller)
{
	if (geteuid() != 0) {
		cannot_run("to give a file away needs root");
		return;
	}
	ck_assert_int_eq(chown("p.yaml", 12345, 12345) | chown("host.yaml", 12345, 12345), 0);
	load_policy("p.yaml", "belongs to user 12345");
	load_host("host.yaml", "belongs to user 12345");
	setenv("SUDO_UID", "12345", 1);
	load_policy("p.yaml", NULL); /* sudo: the user's own policy */
	load_host("host.yaml", "belongs to user 12345");
	setenv("SUDO_UID", "12345x", 1);
	load_policy("p.yaml", "belongs to user 12345");
	setenv("SUDO_UID", "4294979641", 1); /* 12345 in 32 bits */
	load_policy("p.yaml", "belongs to user 12345");
	unsetenv("SUDO_UID");
	ck_assert_int_eq(chown("p.yaml", 0, 0) | chown(folder, 12345, 12345), 0);
	load_policy("p.yaml", "its folder belongs to user 12345");
	ck_assert_int_eq(chown("p.yaml", 12345, 12345) | seteuid(12345), 0);
	load_policy("p.yaml", NULL);
	ck_assert_int_eq(seteuid(0) | chmod(folder, 0755) | seteuid(54321), 0);
	setenv("SUDO_UID", "12345", 1); /* means nothing without root's rights */
	load_policy("p.yaml", "belongs to user 12345");
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(only_regular_files_are_read)
{
	ck_assert_int_eq(symlink("p.yaml", "link"), 0);
	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	ck_assert_int_eq(mkdir("sub", 0700), 0);
	load_policy("link", "this is a symbolic link");
	load_policy("fifo", "this is a FIFO");
	load_policy("sub", "this is a directory");
	load_policy("sub/", "this is a directory");
	load_policy(".", "this is a directory");
	load_policy("/", "this is a directory");
	load_policy("/dev/null", "this is a device or socket");
	load_policy("missing", "No such file");
	load_policy("missing/p.yaml", "No such file");
	load_policy("", "the file's name is empty");
	load_host("link", "this is a symbolic link");
	load_host("missing", "No such file"); /* named, so it must be there */
}
END_TEST

START_TEST(file_is_bounded)
{
	ck_assert_int_eq(truncate("p.yaml", POLICY_FILE_MAX + 1), 0);
	load_policy("p.yaml", "larger than 64 KiB");
	ck_assert_int_eq(truncate("p.yaml", POLICY_FILE_MAX), 0);
	load_policy("p.yaml", "NUL byte");
	make_file("empty", "", 0600);
	load_policy("empty", "the file is empty");
	load_host("empty", "the file is empty");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_host");
	TCase *tcase = tcase_create("host");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, defaults_of_root);
	tcase_add_loop_test(tcase, defaults_of_an_ordinary_user, 0, sizeof(users) / sizeof(users[0]));
	tcase_add_test(tcase, file_says_it_all);
	tcase_add_test(tcase, good_files_are_read);
	tcase_add_test(tcase, others_may_not_write_the_file);
	tcase_add_test(tcase, others_may_not_write_the_folder);
	tcase_add_test(tcase, owner_is_root_or_the_caller);
	tcase_add_test(tcase, only_regular_files_are_read);
	tcase_add_test(tcase, file_is_bounded);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
