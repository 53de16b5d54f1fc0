/* See fake_rules.h. */
#include "tests/unit/fake_rules.h"

#include <check.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 256 };

const struct plan fake_rules_plan = {
    .magic = PLAN_MAGIC,
    .size = sizeof(struct plan),
    .name = "filters",
    .vcpus = 3,
    .device_count = 10,
    .ram_size = PLAN_RAM_MIN,
    .devices =
	{{.kind = DEVICE_DISK, .name = "read-only", .as.disk = {.sectors = 1, .read_only = 1}},
	 {.kind = DEVICE_DISK, .name = "read-write", .operations = 1, .as.disk = {.sectors = 1, .growth = 1}},
	 {.kind = DEVICE_CONSOLE, .name = "with-input", .as.console = {.has_input = 1, .output_max = 1}},
	 {.kind = DEVICE_CONSOLE, .name = "output-only"},
	 {.kind = DEVICE_ENTROPY, .name = "entropy", .bandwidth = 1},
	 {.kind = DEVICE_NETWORK, .name = "tap", .as.network = 0, .bandwidth = 1},
	 {.kind = DEVICE_NETWORK, .name = "passt", .as.network = 1},
	 {.kind = DEVICE_BALLOON, .name = "balloon"},
	 {.kind = DEVICE_VSOCK, .name = "vsock", .operations = 1, .as.vsock = {.connections = 5, .buffer = 4096}},
	 {.kind = DEVICE_DISK, .name = "kept", .as.disk = {.sectors = 1, .overlay = PLAN_OVERLAY_KEEP, .growth = 1}}},
    .network_count = 2,
    .networks = {{.mtu = PLAN_MTU_MIN}, {.mtu = PLAN_MTU_MIN, .is_passt = 1}},
};

static void read_argument(struct fake_argument *argument, char *text)
{
	char *rest;
	if (strcmp(text, "*") == 0)
		return;
	argument->kind = text[0] == '<' ? FAKE_AT_MOST : FAKE_LOW;
	for (char *at = text + (text[0] == '<' ? 2 : 0);; at = rest + 1) {
		ck_assert_uint_lt(argument->count, FAKE_VALUES_MAX);
		argument->values[argument->count++] = strtoull(at, &rest, 0);
		ck_assert_msg(rest != at, "no number: %s", text);
		if (*rest == 'L') {
			argument->kind = FAKE_WHOLE;
			rest++;
		}
		if (*rest == 0)
			return;
		ck_assert_msg(*rest == ',', "not a list: %s", text);
	}
}

static void read_rule(struct fake_thread *thread, char *call, unsigned line)
{
	ck_assert_uint_lt(thread->count, FAKE_RULES_MAX);
	struct fake_rule *rule = &thread->rules[thread->count++];
	rule->line = line;
	rule->number = seccomp_syscall_resolve_name(call);
	ck_assert_msg(rule->number >= 0, "line %u: no such call: %s", line, call);
	snprintf(rule->call, sizeof(rule->call), "%s", call);
	size_t used = 0;
	for (char *text; (text = strtok(NULL, " \n")) != NULL;) {
		ck_assert_uint_lt(used, FAKE_ARGUMENTS);
		read_argument(&rule->arguments[used++], text);
	}
}

static void read_thread(struct fake_thread *thread, const char *line)
{
	ck_assert_int_eq(
	    sscanf(line, "thread %31s %u %u %u", thread->name, &thread->role, &thread->thread, &thread->most), 4);
}

void fake_rules_read(struct fake_thread threads[static FAKE_THREADS])
{
	char line[LINE_MAX_SIZE];
	size_t count = 0;
	FILE *file = fopen("tests/jail/filters.txt", "re");
	ck_assert_msg(file != NULL, "run me from the top");
	memset(threads, 0, FAKE_THREADS * sizeof(*threads));
	for (unsigned number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		if (strncmp(line, "thread ", 7) == 0) {
			ck_assert_uint_lt(count, FAKE_THREADS);
			read_thread(&threads[count++], line);
		} else if (line[0] != '#' && line[0] != '\n') {
			ck_assert_uint_gt(count, 0);
			read_rule(&threads[count - 1], strtok(line, " \n"), number);
		}
	}
	fclose(file);
	ck_assert_uint_eq(count, FAKE_THREADS);
}

bool fake_argument_allows(const struct fake_argument *argument, uint64_t value)
{
	if (argument->kind == FAKE_ANYTHING)
		return true;
	if (argument->kind == FAKE_AT_MOST)
		return value <= argument->values[0];
	for (size_t i = 0; i < argument->count; i++)
		if (argument->values[i] == (argument->kind == FAKE_LOW ? (uint32_t)value : value))
			return true;
	return false;
}

bool fake_thread_allows(const struct fake_thread *thread, int number, const uint64_t arguments[static FAKE_ARGUMENTS])
{
	for (size_t i = 0; i < thread->count; i++) {
		bool allows = thread->rules[i].number == number;
		for (size_t j = 0; allows && j < FAKE_ARGUMENTS; j++)
			allows = fake_argument_allows(&thread->rules[i].arguments[j], arguments[j]);
		if (allows)
			return true;
	}
	return false;
}
