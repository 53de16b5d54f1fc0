/* The logs' last words (monitor/command/usage.h): of each run, what its vm_stopped or vm_crashed record says was used.
 */
#include "monitor/command/usage.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/large.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAMP_SIZE = 16 /* 20261121T104343Z */, RUN_SIZE = 8, SHORT_RUN_MS = 1000 };

static uint64_t number_of(const json_t *details, const char *name)
{
	json_int_t number = json_integer_value(json_object_get(details, name));
	return number > 0 ? (uint64_t)number : 0;
}

static void raise(uint64_t *most, uint64_t number)
{
	if (number > *most)
		*most = number;
}

static void take(const json_t *details, struct lint_usage *usage)
{
	uint64_t ran_for = number_of(details, "ran_for_ms"), cpu = number_of(details, "cpu_time_ms");
	usage->runs++;
	raise(&usage->ran_for_ms, ran_for + 1);
	raise(&usage->memory_peak, number_of(details, "memory_peak"));
	raise(&usage->console_bytes, number_of(details, "console_bytes"));
	if (ran_for >= SHORT_RUN_MS && cpu <= UINT64_MAX / 100) /* the start counts too, and would count most */
		raise(&usage->cpu_percent, (100 * cpu + ran_for - 1) / ran_for);
}

/* The last record of an end; none in a log whose launcher was killed. */
static void read_one(const char *path, struct lint_usage *usage)
{
	static LARGE_MEMORY struct audit_log log;
	char why[WHY_SIZE];
	const char *line;
	size_t size;
	if (audit_log_open(&log, path, why) != 0)
		return;
	while (audit_log_next(&log, &line, &size, why) > 0) {
		struct verify_line claim;
		if (line == NULL || memmem(line, size, "\"ran_for_ms\"", 12) == NULL)
			continue;
		json_t *record = audit_log_read(line, size, &claim);
		const json_t *ours = json_object_get(json_object_get(record, "unmapped"), "cofferdam");
		take(json_object_get(ours, "details"), usage);
		json_decref(record);
	}
	audit_log_close(&log);
}

static const char *wanted; /* for scandir */

/* NAME-STAMP-RUN.jsonl, and not a longer name that begins alike. */
static int is_of_vm(const struct dirent *entry)
{
	size_t length = strlen(wanted);
	return strncmp(entry->d_name, wanted, length) == 0 && entry->d_name[length] == '-' &&
	       strlen(entry->d_name) == length + 1 + STAMP_SIZE + 1 + RUN_SIZE + strlen(".jsonl") &&
	       strcmp(entry->d_name + length + 1 + STAMP_SIZE + 1 + RUN_SIZE, ".jsonl") == 0;
}

void usage_read(const struct host *host, const char *vm, struct lint_usage *usage)
{
	struct dirent **entries;
	*usage = (struct lint_usage){0};
	wanted = vm;
	int count = scandir(host->folders.audit.text, &entries, is_of_vm, alphasort); /* by time */
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/%s", host->folders.audit.text, entries[i]->d_name);
		if (i >= count - USAGE_RUNS_MAX)
			read_one(path, usage);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}
