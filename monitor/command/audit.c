/* `cofferdam audit`. Prints nothing of a log unescaped: a log may hold what a guest or an attacker chose. */
#include "monitor/command/audit.h"

#include "monitor/audit/text.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "Usage: cofferdam audit verify [--json] LOG\n"
    "       cofferdam audit show [--json] LOG\n"
    "\n"
    "verify checks the log's hash chain: each record carries the SHA-256 of the line before it.\n"
    "show prints the records as a table (--json: one a line), and says on standard error when the\n"
    "chain is broken.\n"
    "\n"
    "Exit status, with the verdict:\n"
    "   0 closed        unbroken, and its last record closes it\n"
    "  10 unclosed      unbroken, not closed: the VM still runs, the host crashed, or the end was cut\n"
    "                   off between two records; the chain cannot tell these apart\n"
    "  11 torn          the same, and the last line is not whole\n"
    "  12 edited        a line is not as it was written\n"
    "  13 missing       records were taken out\n"
    "  14 inserted      a line was added\n"
    "  15 out-of-order  a line is not where it was written\n"
    "  16 spliced       a line is from the log of another run\n"
    "  17 empty         no record at all\n"
    "  18 not-a-log\n"
    "   2 wrong usage, 125 the file cannot be read\n"
    "show exits 0 for closed and unclosed.\n"
    "\n"
    "The chain is not signed: whoever may write the file can make every record from some point on\n"
    "anew, or change the last one, and no verdict here can show that.\n";

/* ---- verify ---- */

static void describe(const struct verify_result *result, char *text, size_t size)
{
	switch (result->verdict) {
	case VERDICT_CLOSED:
		snprintf(text, size, "unbroken and closed, records: %" PRIu64, result->good);
		break;
	case VERDICT_UNCLOSED:
		snprintf(text, size,
			 "unbroken to record %" PRIu64 ", not closed: the VM still runs, the host crashed, "
			 "or the end was cut off",
			 result->good);
		break;
	case VERDICT_TORN:
		snprintf(text, size,
			 "unbroken to record %" PRIu64 "; the last line is not whole: a crash, a full disk, "
			 "or a cut",
			 result->good);
		break;
	case VERDICT_EDITED:
		snprintf(text, size, "line %" PRIu64 " is not as it was written%s", result->line,
			 result->line + 1 == result->lines ? ", or the last line is not" : "");
		break;
	case VERDICT_MISSING:
		snprintf(text, size, "records are missing before line %" PRIu64 ": %" PRIu64, result->line,
			 result->count);
		break;
	case VERDICT_INSERTED:
		snprintf(text, size, "line %" PRIu64 " was added", result->line);
		break;
	case VERDICT_ORDER:
		snprintf(text, size, "line %" PRIu64 " is not where it was written", result->line);
		break;
	case VERDICT_SPLICED:
		snprintf(text, size, "line %" PRIu64 " is from the log of another run", result->line);
		break;
	case VERDICT_EMPTY:
		snprintf(text, size, "no record at all: nothing was written, or everything was removed");
		break;
	default:
		snprintf(text, size, "this is not an audit log of cofferdam");
		break;
	}
}

static int report(const char *path, const struct verify_result *result, const struct verify *verify, bool json)
{
	char text[256], head[2 * CHAIN_HASH_SIZE + 1] = "";
	describe(result, text, sizeof(text));
	for (size_t i = 0; i < CHAIN_HASH_SIZE && result->good > 0; i++)
		snprintf(head + 2 * i, 3, "%02x", verify->good_last.hash[i]);
	if (json) {
		json_t *object =
		    json_pack("{s:s, s:i, s:s, s:I, s:I, s:s?}", "verdict", verdict_word(result->verdict), "status",
			      verdict_status(result->verdict), "text", text, "lines", (json_int_t)result->lines,
			      "unbroken", (json_int_t)result->good, "head", result->good > 0 ? head : NULL);
		if (result->line > 0)
			json_object_set_new(object, "line", json_integer((json_int_t)result->line));
		if (result->verdict == VERDICT_MISSING)
			json_object_set_new(object, "missing", json_integer((json_int_t)result->count));
		json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
		json_decref(object);
	} else {
		printf("%s: %s: %s\n", path, verdict_word(result->verdict), text);
		if (result->good > 0)
			printf("last record of the unbroken chain: %s\n", head);
	}
	return verdict_status(result->verdict);
}

/* ---- show ---- */

static const char *text_at(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text == NULL ? "?" : text;
}

static void print_escaped(const char *string, int width)
{
	char escaped[TEXT_EXPANSION * 2048];
	struct text text = {.bytes = escaped, .size = sizeof(escaped)};
	size_t size = strnlen(string, 2047);
	escaped[0] = 0;
	text_plain(&text, string, size);
	printf("%-*.*s", width, (int)text.used, escaped);
}

static void print_time(const json_t *time)
{
	char stamp[64] = "?";
	struct tm utc;
	json_int_t ms = json_integer_value(time);
	time_t seconds = (time_t)(ms / 1000);
	if (ms >= 0 && gmtime_r(&seconds, &utc) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	printf("%s.%03dZ  ", stamp, ms >= 0 ? (int)(ms % 1000) : 0);
}

static void print_record(const json_t *record, uint64_t line, bool json)
{
	if (record == NULL && json) {
		printf("null\n");
	} else if (record == NULL) {
		printf("line %" PRIu64 ": not a record\n", line);
	} else if (json) {
		json_dumpf(record, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);
		putchar('\n');
	} else {
		print_time(json_object_get(record, "time"));
		print_escaped(text_at(json_object_get(record, "metadata"), "event_code"), 16);
		printf("  ");
		print_escaped(text_at(record, "status"), 8);
		printf("  ");
		print_escaped(text_at(record, "message"), 0);
		putchar('\n');
	}
}

/* ---- both ---- */

static int go_through(struct audit_log *log, struct verify *verify, bool show, bool json, char *why)
{
	const char *line;
	size_t size;
	int got;
	while ((got = audit_log_next(log, &line, &size, why)) > 0) {
		struct verify_line claim;
		json_t *record = audit_log_read(line, size, &claim);
		verify_add(verify, &claim);
		if (show && record == NULL && verify->lines == 1)
			return 0; /* not a log: the verdict says so, once */
		if (show && !json && verify->lines == 1)
			printf("%-24s  %-16s  %-8s  %s\n", "TIME", "EVENT", "OUTCOME", "MESSAGE");
		if (show)
			print_record(record, verify->lines, json);
		json_decref(record);
	}
	return got;
}

static int verify_or_show(const char *path, bool show, bool json)
{
	static struct audit_log log;
	char why[WHY_SIZE], text[256];
	struct verify verify;
	verify_begin(&verify);
	int got = audit_log_open(&log, path, why);
	if (got == 0)
		got = go_through(&log, &verify, show, json, why);
	audit_log_close(&log);
	if (got < 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	struct verify_result result = verify_end(&verify, log.torn);
	if (!show)
		return report(path, &result, &verify, json);
	if (result.verdict == VERDICT_CLOSED || result.verdict == VERDICT_UNCLOSED)
		return 0;
	describe(&result, text, sizeof(text));
	fflush(stdout);
	say("%s: %s: %s", path, verdict_word(result.verdict), text);
	return verdict_status(result.verdict);
}

int command_audit(int argc, char **argv)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option != 'j')
			return EXIT_USAGE;
		json = true;
	}
	bool show = argc - optind == 2 && strcmp(argv[optind], "show") == 0;
	if (!show && (argc - optind != 2 || strcmp(argv[optind], "verify") != 0)) {
		say("`cofferdam audit` needs verify or show, and one log; `cofferdam audit --help` explains");
		return EXIT_USAGE;
	}
	return verify_or_show(argv[optind + 1], show, json);
}
