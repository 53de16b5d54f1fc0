/* Golden files: reading, writing and comparing them, and a process in which what is shown can go wrong. */
#include "tests/unit/fake_golden.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 1 << 20, EXIT_SKIPPED = 77 };

const char *golden_folder(void)
{
	const char *given = getenv("POLICY_GOLDEN");

	return given == NULL ? "tests/policy" : given;
}

char *golden_read(const char *name, const char *suffix, size_t *size)
{
	char path[4096];
	char *bytes = malloc(FILE_SIZE_MAX);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s%s", golden_folder(), name, suffix);
	file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "%s is missing", path);
	*size = fread(bytes, 1, FILE_SIZE_MAX - 1, file);
	bytes[*size] = '\0';
	fclose(file);
	return bytes;
}

static void write_file(const char *name, const char *bytes, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.expected", golden_folder(), name);
	file = fopen(path, "wb");
	ck_assert(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

void golden_compare(const char *name, const char *text, size_t length)
{
	size_t expected_length;
	char *expected;

	if (getenv("POLICY_GOLDEN_WRITE") != NULL)
		write_file(name, text, length);
	expected = golden_read(name, ".expected", &expected_length);
	ck_assert_msg(length == expected_length && memcmp(text, expected, length) == 0,
		      "%s gives\n%s\nand not the expected\n%s", name, text, expected);
	for (size_t i = 0; i < length; i++)
		ck_assert_msg(text[i] == '\n' || (unsigned char)text[i] >= 0x20, "a control character is shown");
	free(expected);
}

void golden_skip(const char *reason)
{
	cannot_run(reason);
	_exit(EXIT_SKIPPED);
}

void golden_show(const char *name, void (*show)(const void *of, FILE *out), const void *of)
{
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), status;
	char text[8192] = "";
	FILE *out = tmpfile();

	ck_assert(here >= 0 && out != NULL);
	make_folder();
	pid_t child = fork();
	if (child == 0) {
		problems_init(&problems);
		show(of, out);
		_exit(fflush(out) != 0); /* whoever looks for leaks at an exit needs what may be given up by now */
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	remove_folder();
	ck_assert(fchdir(here) == 0 && close(here) == 0);
	ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EXIT_SKIPPED),
		      "%s: status %#x", name, (unsigned)status);
	if (WEXITSTATUS(status) == EXIT_SKIPPED) {
		fclose(out);
		return;
	}
	rewind(out);
	size_t length = fread(text, 1, sizeof(text) - 1, out);
	fclose(out);
	ck_assert_msg(length > 0 && length < sizeof(text) - 1, "%s says nothing, or too much", name);
	golden_compare(name, text, length);
}

void golden_refuse_call(int number, unsigned index, unsigned bits, int error)
{
	const unsigned argument = (unsigned)offsetof(struct seccomp_data, args) + 8 * index;
	struct sock_filter rules[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, bits == 0 ? 0 : 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {sizeof(rules) / sizeof(rules[0]), rules};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}
