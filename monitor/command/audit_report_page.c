/* The report as one page of HTML: no script, nothing from elsewhere, readable in print and without colour.
 *
 * Every string that comes from a log or a file's name goes through put(), which escapes what HTML would read and what
 * would not show; the page forbids everything but its own style to whatever displays it.
 */
#include "monitor/command/audit_report.h"

#include "monitor/audit/text.h"
#include "monitor/command/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>cofferdam: audit report</title>\n<style>\n"
    ":root { color-scheme: light; }\n"
    "body { font: 14px/1.45 system-ui, sans-serif; color: #1a2530; background: #fff; margin: 2rem auto; "
    "max-width: 75rem; padding: 0 1rem; }\n"
    "h1 { font-size: 1.7rem; margin: 0 0 .3rem; }\n"
    "h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; border-bottom: 2px solid #1f5f8b; padding-bottom: .2rem; }\n"
    "p { margin: .4rem 0; max-width: 60rem; }\n"
    "table { border-collapse: collapse; width: 100%; margin: .5rem 0; }\n"
    "th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #d5dde3; "
    "overflow-wrap: anywhere; min-width: 4rem; }\n"
    "th { white-space: nowrap; font-size: .8rem; color: #4a5a66; border-bottom-color: #8fa1ad; }\n"
    "td.when, td.word { white-space: nowrap; }\n"
    "code { font: .85em/1.3 ui-monospace, monospace; }\n"
    ".totals { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }\n"
    ".totals div { border: 1px solid #d5dde3; border-radius: .3rem; padding: .4rem .9rem; min-width: 6.5rem; }\n"
    ".totals b { display: block; font-size: 1.4rem; }\n"
    ".good, .open, .bad { font-weight: 600; padding: .05rem .4rem; border-radius: .2rem; border: 1px solid; }\n"
    ".good { color: #14603a; background: #e5f4ec; } .open { color: #7a4d00; background: #fdf2dc; } "
    ".bad { color: #8e1b1b; background: #fbe6e6; }\n"
    ".quiet { color: #4a5a66; }\n"
    "@page { margin: 14mm; }\n"
    "@media print { body { font-size: 9.5pt; margin: 0; max-width: none; padding: 0; } "
    "tr, .totals { break-inside: avoid; } h2 { break-after: avoid; } thead { display: table-header-group; } }\n"
    "</style>\n</head>\n<body>\n";

/* ---- text ---- */

static void put_character(char character)
{
	switch (character) {
	case '&':
		fputs("&amp;", stdout);
		break;
	case '<':
		fputs("&lt;", stdout);
		break;
	case '>':
		fputs("&gt;", stdout);
		break;
	case '"':
		fputs("&quot;", stdout);
		break;
	case '\'':
		fputs("&#39;", stdout);
		break;
	default:
		putchar(character);
	}
}

static void put_bytes(const char *string, size_t size)
{
	char plain[TEXT_EXPANSION * REPORT_TEXT_MAX];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	if (size > 0)
		text_plain(&text, string, size > REPORT_TEXT_MAX ? REPORT_TEXT_MAX : size);
	for (size_t i = 0; i < text.used; i++)
		put_character(plain[i]);
	if (size > REPORT_TEXT_MAX)
		fputs(" …", stdout);
}

/* Anybody's string. */
static void put(const char *string)
{
	put_bytes(string, strlen(string));
}

/* A record's, in which a NUL is a character like others: what stands behind it is shown. No string: nothing. */
static void put_text(const json_t *value)
{
	put_bytes(json_string_value(value), json_string_length(value));
}

static void put_time(const json_t *time)
{
	char text[AUDIT_TIME_SIZE];
	json_int_t ms = json_integer_value(time);
	audit_time(json_is_integer(time) && ms >= 0 ? (uint64_t)ms : UINT64_MAX, text);
	put(text);
}

static const json_t *own(const json_t *record)
{
	return json_object_get(json_object_get(record, "unmapped"), "cofferdam");
}

static const json_t *detail(const json_t *record, const char *key)
{
	return json_object_get(json_object_get(own(record), "details"), key);
}

/* "uid 1000, logged in as 1001": the login uid is what su and sudo do not change. */
static void put_ids(const json_t *holder)
{
	const json_t *login = json_object_get(holder, "login_uid");
	printf("uid %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(holder, "uid")));
	if (json_is_integer(login) && json_integer_value(login) != UINT32_MAX)
		printf(", logged in as uid %" JSON_INTEGER_FORMAT, json_integer_value(login));
}

/* The caller of a control request; else on whose behalf the VM runs. */
static void put_who(const json_t *record)
{
	const json_t *details = json_object_get(own(record), "details"), *actor = json_object_get(own(record), "actor");
	if (json_integer_value(json_object_get(record, "class_uid")) == CLASS_API) {
		put_ids(details);
		return;
	}
	const json_t *name = json_object_get(actor, "name");
	if (json_is_string(name)) {
		put_text(name);
		fputs(" (", stdout);
	}
	put_ids(actor);
	if (json_is_string(name))
		fputs(")", stdout);
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

/* ---- parts ---- */

static void begin_table(const char *columns)
{
	fputs("<table>\n<thead><tr>", stdout);
	for (const char *at = columns; *at != 0;) {
		size_t size = strcspn(at, "|");
		printf("<th scope=\"col\">%.*s</th>", (int)size, at);
		at += size + (at[size] == '|');
	}
	fputs("</tr></thead>\n<tbody>\n", stdout);
}

static void end_table(void)
{
	fputs("</tbody>\n</table>\n", stdout);
}

static void put_total(uint64_t number, const char *what)
{
	printf("<div><b>%" PRIu64 "</b>%s</div>\n", number, what);
}

/* The first of its lines that nothing vouches for although the chain is whole there; UINT64_MAX: none. What an anchor
   misses may have been anywhere. */
static uint64_t first_of_another(const struct verify_result *result)
{
	if (result->verdict == VERDICT_REPLACED)
		return result->count > result->before ? result->count - result->before + 1 : 1;
	return result->verdict == VERDICT_ROLLED_BACK ? 1 : UINT64_MAX;
}

static void put_totals(const struct report *report)
{
	const uint64_t *counts = report->counts;
	uint64_t contradicted = 0, unvouched = 0;
	for (size_t i = 0; i < report->log_count; i++) {
		const struct report_log *log = &report->logs[i];
		contradicted += !log->read || log->result.verdict > VERDICT_TORN;
		unvouched += first_of_another(&log->result) != UINT64_MAX ? log->shown : log->behind;
	}
	fputs("<div class=\"totals\">\n", stdout);
	put_total(report->log_count, "logs");
	put_total(contradicted, "logs not good");
	put_total(counts[AUDIT_VM_RUNNING], "VMs that ran");
	put_total(counts[AUDIT_CONTROL_GRANTED], "requests granted");
	put_total(counts[AUDIT_CONTROL_DENIED] + counts[AUDIT_START_REFUSED] + counts[AUDIT_RUN_REFUSED] +
		      counts[AUDIT_POLICY_REFUSED],
		  "refusals");
	put_total(counts[AUDIT_VIOLATION], "jail violations");
	put_total(counts[AUDIT_DEVICE_FAULT] + counts[AUDIT_CAP_REACHED], "device faults and caps");
	fputs("</div>\n", stdout);
	if (unvouched > 0)
		printf("<p>Records that are counted on this page and lie behind a break, or in a log that is not the "
		       "one that was written: %" PRIu64 ". Nothing vouches for them.</p>\n",
		       unvouched);
}

static void put_verdict(const struct report_log *log)
{
	bool whole = log->read && log->result.verdict == VERDICT_SEALED;
	bool open = log->read && log->result.verdict <= VERDICT_TORN;
	printf("<span class=\"%s\">%s</span>",
	       whole  ? "good"
	       : open ? "open"
		      : "bad",
	       log->read ? verdict_word(log->result.verdict) : "not read");
}

static void put_verification(const struct report *report)
{
	const struct audit_evidence *evidence = &report->options->evidence;
	fputs("<h2>Verification</h2>\n<p>Every record's hash, the tree over them and the signatures over that were "
	      "checked against ",
	      stdout);
	printf("%s%s%s. No verdict says more than that can carry.</p>\n",
	       evidence->host_log != NULL ? "the host's log"
	       : evidence->public_key != NULL
		   ? "the public key given"
		   : "the key that each log itself names, which proves nothing about who wrote it",
	       evidence->host_log != NULL && evidence->public_key == NULL ? " (no key was given for that)" : "",
	       evidence->anchor != NULL ? ", and an anchor" : "");
	begin_table("Log|Verdict|In words|Records|Signed to|Root of the tree over the records");
	for (size_t i = 0; i < report->log_count; i++) {
		const struct report_log *log = &report->logs[i];
		fputs("<tr><td><code>", stdout);
		put(file_name(log->path));
		fputs("</code></td><td class=\"word\">", stdout);
		put_verdict(log);
		fputs("</td><td>", stdout);
		put(log->text);
		printf("</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td><td><code>%s</code></td></tr>\n",
		       log->result.lines, log->result.signed_to, log->root);
	}
	end_table();
}

static void put_code(const json_t *text)
{
	fputs("<code>", stdout);
	put_text(text);
	fputs("</code>", stdout);
}

/* Where the log does not vouch for a record, that stands beside it. */
static void put_mark(const struct report_log *log, uint64_t number)
{
	const struct verify_result *result = &log->result;
	if (log->read && result->verdict > VERDICT_TORN && number > result->good)
		fputs(" <span class=\"bad\">after the break</span>", stdout);
	else if (log->read && number >= first_of_another(result))
		printf(" <span class=\"bad\">%s</span>", verdict_word(result->verdict));
	else if (number > result->signed_to)
		fputs(" <span class=\"open\">not signed</span>", stdout);
}

static void put_runs(const struct report *report)
{
	fputs("<h2>What ran</h2>\n", stdout);
	begin_table("VM|Started|Ended|How|By|Policy|Run");
	for (size_t i = 0; i < report->log_count; i++) {
		const struct report_log *log = &report->logs[i];
		const json_t *vm = json_object_get(own(log->opened), "vm");
		if (!json_is_string(vm))
			continue; /* a host's log */
		fputs("<tr><td>", stdout);
		put_text(vm);
		fputs("</td><td class=\"when\">", stdout);
		put_time(json_object_get(log->opened, "time"));
		put_mark(log, log->opened_number);
		fputs("</td><td class=\"when\">", stdout);
		if (log->ended != NULL)
			put_time(json_object_get(log->ended, "time"));
		fputs("</td><td>", stdout);
		if (log->ended == NULL)
			put("not in this log");
		put_text(json_object_get(log->ended, "message"));
		if (log->ended != NULL)
			put_mark(log, log->ended_number);
		fputs("</td><td>", stdout);
		put_who(log->opened);
		fputs("</td><td>", stdout);
		put_text(detail(log->policy, "path"));
		fputs(" ", stdout);
		put_code(json_object_get(own(log->opened), "policy"));
		fputs("</td><td>", stdout);
		put_code(json_object_get(own(log->opened), "run"));
		fputs("</td></tr>\n", stdout);
	}
	end_table();
}

static void put_place(const struct report *report, const struct report_row *row)
{
	const struct report_log *log = &report->logs[row->log];
	printf("<td>%" PRIu64 " of <code>", row->number);
	put(file_name(log->path));
	fputs("</code>", stdout);
	put_mark(log, row->number);
	fputs("</td></tr>\n", stdout);
}

static void put_names(const json_t *names)
{
	size_t count = json_array_size(names);
	for (size_t i = 0; i < count; i++) {
		put_text(json_array_get(names, i));
		fputs(i + 1 < count ? ", " : "", stdout);
	}
}

static void put_row(const struct report *report, enum report_section section, const struct report_row *row)
{
	const json_t *record = row->record;
	fputs("<tr><td class=\"when\">", stdout);
	put_time(json_object_get(record, "time"));
	fputs("</td><td>", stdout);
	put_text(json_object_get(own(record), "vm"));
	fputs("</td><td>", stdout);
	put_text(json_object_get(record, "message"));
	fputs("</td><td>", stdout);
	if (section == REPORT_ACTIONS || section == REPORT_REFUSALS || section == REPORT_KEEPING) {
		put_who(record);
	} else if (section == REPORT_JAILS) {
		put_names(detail(record, "layers_absent"));
	} else if (section == REPORT_INPUTS) {
		const json_t *hash = detail(record, "sha256");
		put_code(json_is_string(hash) ? hash : detail(record, "policy"));
	} else {
		put_text(json_object_get(record, "severity"));
	}
	fputs("</td>", stdout);
	put_place(report, row);
}

static const struct {
	enum report_section section;
	const char *title, *columns, *text, *none;
} parts[] = {
    {REPORT_ACTIONS, "Who did what", "Time|VM|What|Who|Record", "", "Nothing."},
    {REPORT_REFUSALS, "Refusals", "Time|VM|What|Who|Record", "", "None."},
    {REPORT_FINDINGS, "Violations, faults and caps", "Time|VM|What|Severity|Record",
     "A violation is a process that broke its jail's rules: its death is a fact, what it reported of itself is its own "
     "word. A fault is a guest's driver that broke its device's rules, a cap is a limit of the policy that was "
     "reached.",
     "None."},
    {REPORT_INPUTS, "What it ran from", "Time|VM|What|SHA-256|Record", "", "Nothing."},
    {REPORT_JAILS, "Jails as verified", "Time|VM|What|Layers that the host lacks|Record",
     "Each process tried to undo each layer of its jail before the guest ran.", "None."},
    {REPORT_KEEPING, "The logs themselves", "Time|VM|What|On whose behalf|Record", "", "Nothing."},
};

static void put_section(const struct report *report, size_t part)
{
	const struct report_rows *rows = &report->sections[parts[part].section];
	printf("<h2>%s</h2>\n", parts[part].title);
	if (parts[part].text[0] != 0)
		printf("<p class=\"quiet\">%s</p>\n", parts[part].text);
	if (rows->count == 0) {
		printf("<p>%s</p>\n", parts[part].none);
		return;
	}
	begin_table(parts[part].columns);
	for (size_t i = 0; i < rows->count; i++)
		put_row(report, parts[part].section, &rows->rows[i]);
	end_table();
	if (rows->more > 0)
		printf("<p>And %" PRIu64 " more: `cofferdam audit show` has them.</p>\n", rows->more);
}

static void put_controls(const struct report *report)
{
	fputs("<h2>Controls that the records support</h2>\n<p class=\"quiet\">What a record supports, a reviewer "
	      "judges; no program is compliant.</p>\n",
	      stdout);
	begin_table("Records|Supports|In this report");
	for (size_t i = 0; i < report_control_count; i++) {
		const struct report_control *control = &report_controls[i];
		uint64_t count = 0;
		for (unsigned j = 0; j < AUDIT_EVENTS; j++)
			for (unsigned k = 0; k < REPORT_EVENTS_MAX; k++)
				if (control->events[0] == AUDIT_NONE ? k == 0 : j != 0 && control->events[k] == j)
					count += report->counts[j];
		fputs("<tr><td>", stdout);
		put(control->what);
		fputs("</td><td>", stdout);
		put(control->supports);
		printf("</td><td>%" PRIu64 "</td></tr>\n", count);
	}
	end_table();
}

static void put_filter(const struct audit_filter *filter)
{
	char since[AUDIT_TIME_SIZE], until[AUDIT_TIME_SIZE];
	const struct {
		const char *word, *value;
	} words[] = {{"VM", filter->vm}, {"user", filter->user}, {"event", filter->event}};
	fputs("<p>Filtered", stdout);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (words[i].value == NULL)
			continue;
		printf("; %s ", words[i].word);
		put(words[i].value);
	}
	if (filter->class_uid != 0)
		printf("; class %ld", filter->class_uid);
	audit_time(filter->since_ms, since);
	audit_time(filter->until_ms, until);
	if (filter->since_ms != 0)
		printf("; since %s", since);
	if (filter->until_ms != UINT64_MAX)
		printf("; until %s", until);
	fputs(". Verification is of the whole logs.</p>\n", stdout);
}

void report_page(const struct report *report)
{
	const struct audit_filter *filter = &report->options->filter;
	char now[AUDIT_TIME_SIZE];
	struct timespec clock;
	clock_gettime(CLOCK_REALTIME, &clock);
	audit_time((uint64_t)clock.tv_sec * 1000, now);
	fputs(head, stdout);
	printf("<h1>Audit report</h1>\n<p class=\"quiet\">Made %s by cofferdam " COFFERDAM_VERSION
	       " from the logs named below; times are those of the host that wrote them, in UTC.</p>\n",
	       now);
	if (filter->vm != NULL || filter->user != NULL || filter->event != NULL || filter->class_uid != 0 ||
	    filter->since_ms != 0 || filter->until_ms != UINT64_MAX)
		put_filter(filter);
	put_totals(report);
	put_verification(report);
	put_runs(report);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		put_section(report, i);
	put_controls(report);
	fputs("</body>\n</html>\n", stdout);
}
