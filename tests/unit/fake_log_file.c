/* A log in a file, ways to spoil it, and what `cofferdam audit` says of it. */
#include "tests/unit/fake_log_file.h"
#include "monitor/command/audit.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"

#include <check.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct host no_host; /* its folder of logs is nowhere */

struct fake_log log_;
char path[64], output[1 << 20];

void log_setup(void)
{
	strcpy(path, "/tmp/cofferdam-test-XXXXXX");
	int file = mkstemp(path);
	ck_assert_int_ge(file, 0);
	close(file);
	fake_log_make(&log_, LINES, true, 1);
}

void log_teardown(void)
{
	fake_log_free(&log_);
	unlink(path);
}

void write_bytes(const void *bytes, size_t size, bool more)
{
	int file = open(path, O_WRONLY | O_CLOEXEC | (more ? O_APPEND : O_TRUNC));
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
	close(file);
}

void write_log(const struct fake_log *log)
{
	write_bytes("", 0, false);
	for (size_t i = 0; i < log->count; i++) {
		write_bytes(log->lines[i], log->sizes[i], true);
		write_bytes("\n", 1, true);
	}
}

int command(const char *first, const char *second)
{
	char *words[] = {(char[]){"audit"}, (char *)(uintptr_t)first, path, (char *)(uintptr_t)second, NULL};
	char out[] = "/tmp/cofferdam-out-XXXXXX";
	int file = mkstemp(out), saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	optind = 0;
	int status = command_audit(second == NULL ? 3 : 4, words, &no_host);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	ssize_t size = pread(file, output, sizeof(output) - 1, 0);
	ck_assert_int_ge(size, 0);
	output[size] = 0;
	close(file);
	close(saved);
	unlink(out);
	return status;
}

struct verify_result verdict(void)
{
	static struct audit_log log;
	const char *line;
	size_t size;
	char why[WHY_SIZE];
	struct verify verify;
	int got;
	verify_begin(&verify);
	ck_assert_int_eq(audit_log_open(&log, path, why), 0);
	while ((got = audit_log_next(&log, &line, &size, why)) > 0) {
		struct verify_line claim;
		json_decref(audit_log_read(line, size, &claim));
		verify_add(&verify, &claim);
	}
	ck_assert_int_eq(got, 0);
	audit_log_close(&log);
	return verify_end(&verify, log.torn);
}

void expect(enum verdict expected, uint64_t line)
{
	struct verify_result result = verdict();
	ck_assert_msg(result.verdict == expected && (line == 0 || result.line == line),
		      "%s at line %lu, not %s at line %lu", verdict_word(result.verdict), (unsigned long)result.line,
		      verdict_word(expected), (unsigned long)line);
	ck_assert_int_eq(command("verify", NULL), verdict_status(expected));
	ck_assert_ptr_nonnull(strstr(output, verdict_word(expected)));
	ck_assert_int_eq(script((const char *const[]){NULL}), verdict_status(expected));
}

int script(const char *const options[])
{
	enum { OWN = 4 }; /* words: it needs no package and no environment */
	char *words[12] = {(char[]){"python3"}, (char[]){"-I"}, (char[]){"-S"}, (char[]){"docs/verify.py"}};
	size_t count = OWN;
	while (options[count - OWN] != NULL) {
		words[count] = (char *)(uintptr_t)options[count - OWN];
		count++;
	}
	words[count] = path;
	pid_t child;
	int status;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	ck_assert_int_eq(posix_spawnp(&child, words[0], &actions, NULL, words, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void edit(size_t index, const char *from, const char *to)
{
	char *found = strstr(log_.lines[index], from);
	ck_assert_ptr_nonnull(found);
	ck_assert_uint_eq(strlen(from), strlen(to));
	memcpy(found, to, strlen(to));
}

void forge(struct fake_log *log, size_t index, uint64_t sequence, const uint8_t *previous)
{
	static char line[RECORD_MAX];
	char *own = strstr(log->lines[index], "\"sequence\":"), *rest = strstr(own, ",\"salt\"");
	size_t before = (size_t)(own - log->lines[index]);
	int used = snprintf(line, sizeof(line), "%.*s\"sequence\":%lu,\"previous\":\"", (int)before, log->lines[index],
			    (unsigned long)sequence);
	for (size_t i = 0; i < TREE_HASH_SIZE; i++)
		used += snprintf(line + used, sizeof(line) - (size_t)used, "%02x", previous[i]);
	used += snprintf(line + used, sizeof(line) - (size_t)used, "\"%s", rest);
	fake_log_remove(log, index);
	fake_log_insert(log, index, line, (size_t)used);
}

void hash_of(size_t index, uint8_t hash[static TREE_HASH_SIZE])
{
	tree_leaf(log_.lines[index], log_.sizes[index], hash);
}
