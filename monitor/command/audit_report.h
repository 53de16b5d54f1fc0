/* What `cofferdam audit report` gathered from the logs it was given, for the page to print. */
#ifndef MONITOR_COMMAND_AUDIT_REPORT_H
#define MONITOR_COMMAND_AUDIT_REPORT_H

#include "monitor/audit/record.h"
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"

enum {
	REPORT_ROWS_MAX = 5000, /* of one section, over all logs; what is beyond is counted */
	REPORT_TEXT_MAX = 2047, /* bytes of a log's string that the page shows */
};

enum report_section {
	REPORT_NONE, /* counted, not shown */
	REPORT_ACTIONS,
	REPORT_REFUSALS,
	REPORT_FINDINGS,
	REPORT_INPUTS,
	REPORT_JAILS,
	REPORT_KEEPING,
	REPORT_SECTIONS,
};

struct report_row {
	json_t *record; /* a reference */
	size_t log;
	uint64_t number; /* the record's line in its log */
};
struct report_rows {
	struct report_row *rows;
	size_t count, room;
	uint64_t more; /* that were left out */
};

struct report_log {
	const char *path;
	bool read; /* false: `text` says why not, and nothing else is there */
	struct verify_result result;
	char text[AUDIT_TEXT_SIZE + WHY_SIZE]; /* the verdict in a sentence */
	char root[2 * TREE_HASH_SIZE + 1];
	json_t *opened, *policy, *ended;      /* records, each a reference or NULL */
	uint64_t opened_number, ended_number; /* their lines */
	uint64_t shown, behind;               /* records that pass the filter; of them behind a break */
};

struct report {
	const struct audit_options *options;
	struct report_log *logs;
	size_t log_count;
	struct report_rows sections[REPORT_SECTIONS];
	uint64_t counts[AUDIT_EVENTS]; /* records that pass the filter */
	struct verify verify;          /* of the log that is read */
	bool out_of_memory;
};

/* Prints the page on standard output. */
void report_page(const struct report *report);

/* Controls that the records support: one line of docs/compliance.md each. */
enum { REPORT_EVENTS_MAX = 12 };
struct report_control {
	const char *what;
	enum audit_event events[REPORT_EVENTS_MAX]; /* none: each record */
	const char *supports;
};
extern const struct report_control report_controls[];
extern const size_t report_control_count;

#endif
