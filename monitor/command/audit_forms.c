/* Records as syslog messages and journal entries (monitor/command/audit_forward.h). What stands outside the record's
 * own bytes is cut down to what the form allows there.
 */
#include "monitor/command/audit_forward.h"

#include "monitor/audit/text.h"
#include "monitor/command/audit_evidence.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

enum { FACILITY_AUDIT = 13, HOSTNAME_MAX = 255, WORD_MAX = 32, SEQUENCE_MAX = 2147483647 };

static const json_t *own(const json_t *record)
{
	return json_object_get(json_object_get(record, "unmapped"), "cofferdam");
}

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

static const char *event_code(const json_t *record)
{
	return text_at(json_object_get(record, "metadata"), "event_code");
}

/* OCSF's severity as syslog has it: informational, notice, warning, error, critical. */
static unsigned priority(const json_t *record)
{
	static const unsigned priorities[] = {6, 6, 5, 4, 3, 2};
	json_int_t severity = json_integer_value(json_object_get(record, "severity_id"));
	return severity > 0 && severity <= 5 ? priorities[severity] : 6;
}

static void put(struct text *text, const void *bytes, size_t size)
{
	if (text->full || size > text->size - text->used) {
		text->full = true;
		return;
	}
	memcpy(text->bytes + text->used, bytes, size);
	text->used += size;
}

/* A word of a header: what is not printable ASCII becomes '_', nothing becomes '-' (RFC 5424, section 6). */
static void put_word(struct text *text, const char *word, size_t most)
{
	for (size_t i = 0; i < most && word[i] != 0; i++)
		put(text, word[i] > ' ' && word[i] < 0x7f ? &word[i] : "_", 1);
	text_raw(text, word[0] == 0 ? "- " : " ");
}

size_t forward_syslog(char message[static FORWARD_MAX], const json_t *record, const char *line, size_t size)
{
	struct text text = {.bytes = message, .size = FORWARD_MAX};
	const json_t *reporter = json_object_get(json_object_get(record, "metadata"), "reporter");
	json_int_t time = json_integer_value(json_object_get(record, "time"));
	json_int_t sequence = json_integer_value(json_object_get(own(record), "sequence"));
	char when[AUDIT_TIME_SIZE];
	audit_time(time < 0 ? UINT64_MAX : (uint64_t)time, when);
	text_raw(&text, "<");
	text_number(&text, FACILITY_AUDIT * UINT64_C(8) + priority(record));
	text_raw(&text, ">1 ");
	put_word(&text, when[0] == '?' ? "" : when, sizeof(when));
	put_word(&text, text_at(reporter, "hostname"), HOSTNAME_MAX);
	text_raw(&text, "cofferdam ");
	put_word(&text, text_at(own(record), "run"), WORD_MAX);
	put_word(&text, event_code(record), WORD_MAX);
	text_raw(&text, "[origin software=\"cofferdam\"]");
	if (sequence > 0 && sequence <= SEQUENCE_MAX) {
		text_raw(&text, "[meta sequenceId=\"");
		text_number(&text, (uint64_t)sequence);
		text_raw(&text, "\"]");
	}
	text_raw(&text, " ");
	put(&text, line, size);
	return text.full ? 0 : text.used;
}

/* A value with a newline has its size before it; any may. */
static void put_field(struct text *text, const char *name, const void *value, size_t size)
{
	const uint64_t length = htole64(size);
	text_raw(text, name);
	if (memchr(value, '\n', size) != NULL) {
		text_raw(text, "\n");
		put(text, &length, sizeof(length));
	} else {
		text_raw(text, "=");
	}
	put(text, value, size);
	text_raw(text, "\n");
}

static void put_string(struct text *text, const char *name, const char *value)
{
	if (value[0] != 0)
		put_field(text, name, value, strlen(value));
}

/* A record's, in which a NUL is a character like others. */
static void put_text(struct text *text, const char *name, const json_t *value)
{
	if (json_string_length(value) > 0)
		put_field(text, name, json_string_value(value), json_string_length(value));
}

static void put_number(struct text *text, const char *name, json_int_t value)
{
	char digits[24];
	snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, value);
	put_string(text, name, digits);
}

size_t forward_journal(char message[static FORWARD_MAX], const json_t *record, const char *line, size_t size)
{
	struct text text = {.bytes = message, .size = FORWARD_MAX};
	put_text(&text, "MESSAGE", json_object_get(record, "message"));
	put_number(&text, "PRIORITY", priority(record));
	put_number(&text, "SYSLOG_FACILITY", FACILITY_AUDIT);
	put_string(&text, "SYSLOG_IDENTIFIER", "cofferdam");
	put_string(&text, "COFFERDAM_EVENT", event_code(record));
	put_text(&text, "COFFERDAM_VM", json_object_get(own(record), "vm"));
	put_string(&text, "COFFERDAM_RUN", text_at(own(record), "run"));
	put_number(&text, "COFFERDAM_SEQUENCE", json_integer_value(json_object_get(own(record), "sequence")));
	put_number(&text, "COFFERDAM_TIME_MS", json_integer_value(json_object_get(record, "time")));
	put_field(&text, "COFFERDAM_RECORD", line, size);
	return text.full ? 0 : text.used;
}
