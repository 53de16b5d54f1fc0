/* `cofferdam audit show`: the records as a table, or those that a filter lets through. Every string is escaped. */
#include "monitor/audit/record.h"
#include "monitor/audit/text.h"
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the filter ---- */

static bool take_time(const char *text, uint64_t *ms)
{
	struct tm utc = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
	int day = utc.tm_mday;
	time_t seconds = timegm(&utc); /* which makes the 3rd of March of the 31st of February */
	if (rest == NULL || *rest != 0 || seconds < 0 || utc.tm_mday != day) {
		say("'%s' is no time: write it like 2026-11-21T07:00:00Z", text);
		return false;
	}
	*ms = (uint64_t)seconds * 1000;
	return true;
}

bool audit_filter_take(struct audit_filter *filter, int letter, const char *argument)
{
	char *rest = NULL;
	switch (letter) {
	case 'v':
		filter->vm = argument;
		return true;
	case 'u':
		filter->user = argument;
		return true;
	case 'e':
		filter->event = argument;
		return true;
	case 's':
		return take_time(argument, &filter->since_ms);
	case 't':
		return take_time(argument, &filter->until_ms);
	case 'c':
		filter->class_uid = strtol(argument, &rest, 10);
		if (*rest == 0 && filter->class_uid > 0)
			return true;
		say("'%s' is no class: give a number, such as 6003 (control requests) or 2004 (findings)", argument);
		return false;
	default:
		return false;
	}
}

static const json_t *at(const json_t *object, const char *first, const char *second)
{
	return json_object_get(json_object_get(object, first), second);
}

static bool is_text(const json_t *value, const char *wanted)
{
	return json_is_string(value) && json_string_length(value) == strlen(wanted) &&
	       memcmp(json_string_value(value), wanted, strlen(wanted)) == 0;
}

static bool is_number(const json_t *holder, const char *key, const char *wanted)
{
	const json_t *number = json_object_get(holder, key);
	char digits[24];
	snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
	return json_is_integer(number) && strcmp(digits, wanted) == 0;
}

/* Who acts in the record, or on whose behalf the VM runs: by name, uid or login uid. A caller's login uid is what su
   and sudo leave of who he was. */
static bool is_user(const json_t *record, const char *wanted)
{
	const json_t *user = at(json_object_get(record, "actor"), "user", "uid");
	const json_t *own = at(record, "unmapped", "cofferdam"), *owner = json_object_get(own, "actor");
	bool asks = json_integer_value(json_object_get(record, "class_uid")) == CLASS_API;
	return is_text(user, wanted) || is_text(json_object_get(owner, "name"), wanted) ||
	       is_number(owner, "uid", wanted) || is_number(owner, "login_uid", wanted) ||
	       (asks && is_number(json_object_get(own, "details"), "login_uid", wanted));
}

bool audit_filter_passes(const struct audit_filter *filter, const json_t *record)
{
	json_int_t time = json_integer_value(json_object_get(record, "time"));
	if (time < 0 || (uint64_t)time < filter->since_ms || (uint64_t)time > filter->until_ms)
		return false;
	if (filter->class_uid != 0 && json_integer_value(json_object_get(record, "class_uid")) != filter->class_uid)
		return false;
	if (filter->event != NULL && !is_text(at(record, "metadata", "event_code"), filter->event))
		return false;
	if (filter->vm != NULL && !is_text(json_object_get(at(record, "unmapped", "cofferdam"), "vm"), filter->vm))
		return false;
	return filter->user == NULL || is_user(record, filter->user);
}

/* ---- the table ---- */

enum { SHOWN_MAX = 2047 };

/* A NUL in it is a character like others: what stands behind it is shown. */
static void print_escaped(const json_t *value, int width)
{
	char escaped[TEXT_EXPANSION * SHOWN_MAX];
	struct text text = {.bytes = escaped, .size = sizeof(escaped)};
	const char *string = json_is_string(value) ? json_string_value(value) : "?";
	size_t size = json_is_string(value) ? json_string_length(value) : 1;
	escaped[0] = 0;
	text_plain(&text, string, size < SHOWN_MAX ? size : SHOWN_MAX);
	printf("%-*.*s", width, (int)text.used, escaped);
}

struct shown {
	const struct audit_options *options;
	bool is_log; /* its first line is a record */
};

static bool print_record(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct shown *shown = context;
	const struct audit_options *options = shown->options;
	char when[AUDIT_TIME_SIZE];
	(void)line;
	(void)size;
	shown->is_log = shown->is_log || (record != NULL && number == 1);
	if (!shown->is_log) /* the verdict says so, once */
		return true;
	if (!options->json && number == 1)
		printf("%-24s  %-16s  %-8s  %s\n", "TIME", "EVENT", "OUTCOME", "MESSAGE");
	if (record != NULL && !audit_filter_passes(&options->filter, record))
		return true;
	if (options->json) {
		if (record == NULL)
			printf("null");
		else
			json_dumpf(record, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);
	} else if (record == NULL) {
		printf("line %" PRIu64 ": not a record", number);
	} else {
		json_int_t time = json_integer_value(json_object_get(record, "time"));
		audit_time(time < 0 ? UINT64_MAX : (uint64_t)time, when);
		printf("%-24s  ", when);
		print_escaped(at(record, "metadata", "event_code"), 16);
		printf("  ");
		print_escaped(json_object_get(record, "status"), 8);
		printf("  ");
		print_escaped(json_object_get(record, "message"), 0);
	}
	putchar('\n');
	return true;
}

int audit_show(char **operands, const struct audit_options *options)
{
	struct verify verify;
	struct verify_result result;
	char why[WHY_SIZE], text[AUDIT_TEXT_SIZE];
	struct shown shown = {.options = options};
	if (audit_judge(operands[0], &options->evidence, print_record, &shown, &verify, &result, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	if (result.verdict <= VERDICT_TORN)
		return 0;
	audit_describe(&result, text);
	fflush(stdout);
	say("%s: %s: %s", operands[0], verdict_word(result.verdict), text);
	return verdict_status(result.verdict);
}
