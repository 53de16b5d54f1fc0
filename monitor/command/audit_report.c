/* `cofferdam audit report`: gathers what a reviewer asks about from one or more logs, while each is verified.
 *
 * Trusts no line of a log: a record is kept as it was parsed, and where the verdict names a break, the page says of
 * each later record that nothing vouches for it. Memory is bounded by REPORT_ROWS_MAX.
 */
#include "monitor/command/audit_report.h"
#include "monitor/command/command.h"
#include "monitor/large.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t section_of[AUDIT_EVENTS] = {
    [AUDIT_VM_STARTING] = REPORT_ACTIONS,     [AUDIT_VM_RUNNING] = REPORT_ACTIONS,
    [AUDIT_VM_PAUSED] = REPORT_ACTIONS,       [AUDIT_VM_RESUMED] = REPORT_ACTIONS,
    [AUDIT_VM_STOPPING] = REPORT_ACTIONS,     [AUDIT_VM_STOPPED] = REPORT_ACTIONS,
    [AUDIT_VM_CRASHED] = REPORT_ACTIONS,      [AUDIT_CONTROL_GRANTED] = REPORT_ACTIONS,
    [AUDIT_CAP_CHANGED] = REPORT_ACTIONS,     [AUDIT_REVISION_RESET] = REPORT_ACTIONS,
    [AUDIT_CONTROL_DENIED] = REPORT_REFUSALS, [AUDIT_START_REFUSED] = REPORT_REFUSALS,
    [AUDIT_RUN_REFUSED] = REPORT_REFUSALS,    [AUDIT_POLICY_REFUSED] = REPORT_REFUSALS,
    [AUDIT_VIOLATION] = REPORT_FINDINGS,      [AUDIT_DEVICE_FAULT] = REPORT_FINDINGS,
    [AUDIT_CAP_REACHED] = REPORT_FINDINGS,    [AUDIT_JAIL_EXCEPTION] = REPORT_FINDINGS,
    [AUDIT_POLICY_LOADED] = REPORT_INPUTS,    [AUDIT_OVERLAY_DISCARDED] = REPORT_INPUTS,
    [AUDIT_OVERLAY_KEPT] = REPORT_INPUTS,     [AUDIT_RESOURCE_OPENED] = REPORT_INPUTS,
    [AUDIT_PROCESS_STARTED] = REPORT_JAILS,   [AUDIT_LOG_OPENED] = REPORT_KEEPING,
    [AUDIT_LOG_CLOSED] = REPORT_KEEPING,      [AUDIT_RECORDS_DROPPED] = REPORT_KEEPING,
    [AUDIT_RUN_STARTED] = REPORT_KEEPING,     [AUDIT_RUN_SEALED] = REPORT_KEEPING,
    [AUDIT_RUN_UNSEALED] = REPORT_KEEPING,    [AUDIT_LOG_REPAIRED] = REPORT_KEEPING,
    [AUDIT_LOG_ROTATED] = REPORT_KEEPING,     [AUDIT_LOG_CONTINUED] = REPORT_KEEPING,
    [AUDIT_LOG_FULL] = REPORT_KEEPING,        [AUDIT_SPACE_LOW] = REPORT_KEEPING,
    [AUDIT_ROTATION_FAILED] = REPORT_KEEPING, [AUDIT_LOG_READ] = REPORT_KEEPING,
    [AUDIT_LOG_VERIFIED] = REPORT_KEEPING,    [AUDIT_LOG_DOUBTED] = REPORT_FINDINGS,
    [AUDIT_FRAMES_DENIED] = REPORT_FINDINGS,
};

static enum audit_event event_of(const json_t *record)
{
	const char *code = json_string_value(json_object_get(json_object_get(record, "metadata"), "event_code"));
	for (unsigned i = 1; code != NULL && i < AUDIT_EVENTS; i++)
		if (strcmp(record_rules[i].code, code) == 0)
			return i;
	return AUDIT_NONE;
}

static void keep_row(struct report *report, struct report_rows *rows, const struct report_row *row)
{
	if (rows->count == REPORT_ROWS_MAX) {
		rows->more++;
		return;
	}
	if (rows->count == rows->room) {
		size_t room = rows->room == 0 ? 64 : 2 * rows->room;
		struct report_row *more = reallocarray(rows->rows, room, sizeof(*more));
		if (more == NULL) {
			report->out_of_memory = true;
			return;
		}
		rows->rows = more;
		rows->room = room;
	}
	rows->rows[rows->count] = *row;
	json_incref(rows->rows[rows->count++].record);
}

/* The first of its kind, but for the end: how a VM ended is said last. */
static void keep_one(json_t **kept, json_t *record, bool last)
{
	if (*kept != NULL && !last)
		return;
	json_decref(*kept);
	*kept = json_incref(record);
}

static bool take_record(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct report *report = context;
	struct report_log *log = &report->logs[report->log_count];
	struct report_row row = {.record = (json_t *)(uintptr_t)record, .log = report->log_count, .number = number};
	enum audit_event event = event_of(record);
	(void)line;
	(void)size;
	if (record == NULL || event == AUDIT_NONE)
		return true;
	if (event == AUDIT_LOG_OPENED && log->opened == NULL)
		log->opened_number = number;
	if (event == AUDIT_LOG_OPENED)
		keep_one(&log->opened, row.record, false);
	else if (event == AUDIT_POLICY_LOADED)
		keep_one(&log->policy, row.record, false);
	else if (event == AUDIT_VM_STOPPED || event == AUDIT_VM_CRASHED) {
		keep_one(&log->ended, row.record, true);
		log->ended_number = number;
	}
	if (!audit_filter_passes(&report->options->filter, record))
		return true;
	log->shown++;
	log->behind += report->verify.broken;
	report->counts[event]++;
	if (section_of[event] != REPORT_NONE)
		keep_row(report, &report->sections[section_of[event]], &row);
	return !report->out_of_memory;
}

/* Verifies one log and takes its records. Returns the verdict's exit status. */
static int take_log(struct report *report, const char *path)
{
	struct report_log *log = &report->logs[report->log_count];
	struct verify *verify = &report->verify;
	uint8_t root[TREE_HASH_SIZE];
	char why[WHY_SIZE];
	*log = (struct report_log){.path = path};
	int got = audit_judge(path, &report->options->evidence, take_record, report, verify, &log->result, why);
	report->log_count++;
	log->read = got == 0;
	if (!log->read) {
		snprintf(log->text, sizeof(log->text), "%s", why);
		say("%s", why);
		return EXIT_OURS;
	}
	audit_describe(&log->result, log->text);
	tree_root(&verify->tree, root);
	for (size_t i = 0; i < sizeof(root); i++)
		snprintf(log->root + 2 * i, 3, "%02x", root[i]);
	return log->result.verdict <= VERDICT_TORN ? 0 : verdict_status(log->result.verdict);
}

static void forget(struct report *report)
{
	for (size_t i = 0; i < REPORT_SECTIONS; i++) {
		for (size_t j = 0; j < report->sections[i].count; j++)
			json_decref(report->sections[i].rows[j].record);
		free(report->sections[i].rows);
	}
	for (size_t i = 0; i < report->log_count; i++) {
		json_decref(report->logs[i].opened);
		json_decref(report->logs[i].policy);
		json_decref(report->logs[i].ended);
	}
	free(report->logs);
}

int audit_report(char **operands, const struct audit_options *options)
{
	static LARGE_MEMORY struct report report;
	report = (struct report){.options = options};
	size_t count = 0;
	int worst = 0;
	while (operands[count] != NULL)
		count++;
	report.logs = calloc(count + 1, sizeof(*report.logs));
	if (report.logs == NULL) {
		say("out of memory");
		return EXIT_OURS;
	}
	for (size_t i = 0; i < count; i++) {
		int status = take_log(&report, operands[i]);
		worst = status > worst ? status : worst;
	}
	if (report.out_of_memory) {
		say("out of memory: this is too much for one report; narrow it with --since and --until");
		worst = EXIT_OURS;
	} else {
		report_page(&report);
	}
	forget(&report);
	return worst;
}
