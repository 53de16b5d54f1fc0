/* Policies from memory and a folder to lay files in, for the policy's tests. */
#include "tests/unit/fake_policy.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct problems problems;
char folder[64];

struct policy *parse(const char *text)
{
	problems_free(&problems);
	return policy_parse_buffer("test.yaml", text, strlen(text), NULL, &problems);
}

struct policy *parse_good(const char *text)
{
	struct policy *policy = parse(text);

	ck_assert_msg(policy != NULL, "refused: %s\n%s", problems.count > 0 ? problems.list[0].message : "?", text);
	return policy;
}

void make_folder(void)
{
	strcpy(folder, "/tmp/cofferdam-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
}

void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

void make_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}
