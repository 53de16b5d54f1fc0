/* Reading a log against the evidence at hand (monitor/command/audit_evidence.h). Trusts the key and the anchor that the
 * operator names, and nothing in the log.
 */
#include "monitor/command/audit_evidence.h"

#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

/* ---- what is given ---- */

int audit_take_key(const char *given, struct verify *verify, char *why)
{
	char text[NOTE_KEY_TEXT_SIZE + 8];
	uint8_t log[NOTE_LOG_ID_SIZE];
	if (strchr(given, '+') != NULL && strlen(given) < sizeof(text))
		snprintf(text, sizeof(text), "%s", given);
	else if (audit_log_text(given, text, sizeof(text), why) < 0)
		return -1;
	text[strcspn(text, "\r\n")] = 0;
	verify->pinned = true;
	if (note_key_parse(text, strlen(text), log, verify->key))
		return 0;
	return because(why, 0, "%s is not a public key: it should read cofferdam/LOG+ID+KEY", given);
}

/* The signature on an anchor is not looked at: it counts because somebody kept it out of the host's reach. */
static int take_anchor(const char *path, struct verify *verify, char *why)
{
	char text[NOTE_MAX + 1];
	struct checkpoint checkpoint;
	int size = audit_log_text(path, text, sizeof(text), why);
	if (size < 0)
		return -1;
	if (note_open(text, (size_t)size, verify->key, &checkpoint) == NOTE_MALFORMED)
		return because(why, 0, "%s is not a checkpoint as `cofferdam audit anchor` prints it", path);
	verify->anchor = (struct verify_point){.given = true, .size = checkpoint.size};
	memcpy(verify->anchor.log, checkpoint.log, sizeof(checkpoint.log));
	memcpy(verify->anchor.root, checkpoint.root, sizeof(checkpoint.root));
	return 0;
}

/* ---- the log ---- */

static struct audit_log reader;

/* Waits until the file has changed. False when it cannot any more: it is sealed, or no longer under its name. */
static bool wait_for_more(int watch, const struct verify *verify)
{
	char bytes[sizeof(struct inotify_event) + NAME_MAX + 1] __attribute__((aligned(8)));
	if (watch < 0 || verify->sealed || fflush(stdout) != 0)
		return false;
	ssize_t size = read(watch, bytes, sizeof(bytes));
	const struct inotify_event *event = (const struct inotify_event *)bytes;
	return size >= (ssize_t)sizeof(*event) && (event->mask & IN_MODIFY) != 0;
}

static int go_through(struct audit_log *log, struct verify *verify, audit_line *each, void *context, char *why)
{
	const char *line;
	size_t size;
	int got;
	while ((got = audit_log_next(log, &line, &size, why)) > 0) {
		struct verify_line claim;
		json_t *record = audit_log_read(line, size, &claim);
		verify_add(verify, &claim);
		if (each != NULL)
			each(record, line, size, verify->lines, context);
		json_decref(record);
	}
	return got;
}

/* `watch`: an inotify descriptor on the file, to go on when it grows; -1: to its present end. */
static int read_through(const char *path, int watch, struct verify *verify, audit_line *each, void *context,
			struct verify_result *result, char *why)
{
	int got = audit_log_open(&reader, path, why);
	bool more = got == 0;
	while (more) {
		reader.ended = false;
		got = go_through(&reader, verify, each, context, why);
		more = got == 0 && wait_for_more(watch, verify);
	}
	audit_log_close(&reader);
	if (got < 0)
		return -1;
	*result = verify_end(verify, reader.torn);
	return 0;
}

/* ---- the host's log ---- */

/* What it says of one run. */
struct known_run {
	const char *wanted; /* its id in hex */
	bool started, ended;
	uint8_t key[NOTE_KEY_SIZE];
	uint64_t records;
	uint8_t root[TREE_HASH_SIZE];
};

static void look_for_run(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct known_run *run = context;
	const json_t *details =
	    json_object_get(json_object_get(json_object_get(record, "unmapped"), "cofferdam"), "details");
	const char *id = json_string_value(json_object_get(details, "run"));
	const char *code = json_string_value(json_object_get(json_object_get(record, "metadata"), "event_code"));
	const char *key = json_string_value(json_object_get(details, "key"));
	uint8_t log[NOTE_LOG_ID_SIZE];
	(void)line;
	(void)size;
	(void)number;
	if (id == NULL || code == NULL || strcmp(id, run->wanted) != 0)
		return;
	if (strcmp(code, record_rules[AUDIT_RUN_STARTED].code) == 0 && !run->started)
		run->started = key != NULL && note_key_parse(key, strlen(key), log, run->key);
	if (strcmp(code, record_rules[AUDIT_RUN_SEALED].code) != 0 &&
	    strcmp(code, record_rules[AUDIT_RUN_UNSEALED].code) != 0)
		return;
	run->records = (uint64_t)json_integer_value(json_object_get(details, "count"));
	run->ended = audit_log_hex(json_object_get(details, "root"), run->root, sizeof(run->root));
}

/* The id of the run whose log this is: of its first line, which need not be true to be looked up. */
static bool run_of(const char *path, uint8_t id[static NOTE_LOG_ID_SIZE], char *why)
{
	const char *line;
	size_t size;
	struct verify_line claim = {0};
	if (audit_log_open(&reader, path, why) == 0 && audit_log_next(&reader, &line, &size, why) > 0)
		json_decref(audit_log_read(line, size, &claim));
	audit_log_close(&reader);
	memcpy(id, claim.run, NOTE_LOG_ID_SIZE);
	return claim.is_record;
}

/* Takes the run's key and end from the host's log, which must itself be whole. 1: it is not, and *result says why. */
static int take_host_log(const char *path, const struct audit_evidence *evidence, struct verify *verify,
			 struct verify_result *result, char *why)
{
	static struct verify host;
	char id[2 * NOTE_LOG_ID_SIZE + 1];
	uint8_t bytes[NOTE_LOG_ID_SIZE];
	struct known_run run = {.wanted = id};
	verify_begin(&host);
	if (evidence->public_key != NULL && audit_take_key(evidence->public_key, &host, why) != 0)
		return -1;
	run_of(path, bytes, why); /* a log without a first line is judged all the same */
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	if (read_through(evidence->host_log, -1, &host, look_for_run, &run, result, why) != 0)
		return -1;
	if (result->verdict > VERDICT_TORN) {
		result->of_host_log = true;
		return 1;
	}
	verify->pinned = true; /* by a key of zeros, which nobody has, when the host does not know the run */
	memcpy(verify->key, run.key, sizeof(verify->key));
	verify->final = (struct verify_point){.given = run.ended && run.records > 0, .size = run.records};
	memcpy(verify->final.log, bytes, sizeof(bytes));
	memcpy(verify->final.root, run.root, sizeof(run.root));
	return run.started ? 0 : 2;
}

int audit_judge(const char *path, const struct audit_evidence *evidence, audit_line *each, void *context,
		struct verify *verify, struct verify_result *result, char *why)
{
	int host = 0;
	verify_begin(verify);
	if (evidence->host_log != NULL)
		host = take_host_log(path, evidence, verify, result, why);
	else if (evidence->public_key != NULL)
		host = audit_take_key(evidence->public_key, verify, why);
	if (host < 0 || (evidence->anchor != NULL && take_anchor(evidence->anchor, verify, why) != 0))
		return -1;
	if (host == 1)
		return 0;
	AUTO_CLOSE int watch = evidence->follow ? inotify_init1(IN_CLOEXEC) : -1;
	if (evidence->follow && inotify_add_watch(watch, path, IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		return because(why, errno, "cannot follow %s", path);
	if (read_through(path, watch, verify, each, context, result, why) != 0)
		return -1;
	if (evidence->host_log == NULL)
		return 0;
	if (result->verdict == VERDICT_UNKNOWN_KEY && result->line == 1 && host == 0)
		result->verdict = VERDICT_REPLACED;
	if (result->verdict == VERDICT_SEALED &&
	    evidence->public_key == NULL) /* whose host's log that is nobody said */
		result->verdict = VERDICT_SELF_SIGNED;
	return 0;
}

/* ---- in words ---- */

void audit_time(uint64_t ms, char text[static AUDIT_TIME_SIZE])
{
	struct tm utc;
	time_t seconds = (time_t)(ms / 1000);
	char stamp[24];
	if (ms > INT64_MAX || gmtime_r(&seconds, &utc) == NULL ||
	    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		snprintf(text, AUDIT_TIME_SIZE, "?");
	else
		snprintf(text, AUDIT_TIME_SIZE, "%s.%03uZ", stamp, (unsigned)(ms % 1000));
}

/* In these %1 is the line, %2 records signed, %3 when, %4 records missing, %5 all lines, %6 the line after those
 * signed. */
static const char *const texts[VERDICTS] = {
    [VERDICT_SEALED] = "whole, all signed, closed by its writer; records: %5",
    [VERDICT_SELF_SIGNED] =
	"whole, all signed and closed, by a key that nobody outside has named: give --pubkey; records: %5",
    [VERDICT_UNSEALED] =
	"signed to record %2 at %3, not closed: it still runs, the host crashed, or it is an old or a cut copy",
    [VERDICT_UNSIGNED] =
	"signed to record %2 at %3; records %6 to %5 are not: a crash before that, or somebody added them",
    [VERDICT_TORN] = "signed to record %2 at %3; the last line is not whole: a crash, a full disk, or a cut",
    [VERDICT_EDITED] = "line %1 is not as it was written",
    [VERDICT_MISSING] = "records are missing before line %1: %4",
    [VERDICT_INSERTED] = "line %1 was added",
    [VERDICT_ORDER] = "line %1 is not where it was written",
    [VERDICT_SPLICED] = "line %1 is from the log of another run",
    [VERDICT_REWRITTEN] = "lines %6 to %1 were made anew: they are not what was signed",
    [VERDICT_UNKNOWN_KEY] = "line %1 has a key that is not this log's",
    [VERDICT_OLD_EPOCH] = "line %1 was signed with a key of an epoch that had been closed before it",
    [VERDICT_CUT] = "records are missing at the end: the host's log knows of more than these %5",
    [VERDICT_REPLACED] = "this is not the log that the host's log knows for this run",
    [VERDICT_ROLLED_BACK] = "the anchor is not in it: records that were there are gone or changed",
    [VERDICT_EMPTY] = "no record at all: nothing was written, or everything was removed",
    [VERDICT_NOT_A_LOG] = "this is not an audit log of cofferdam",
};

void audit_describe(const struct verify_result *result, char text[static AUDIT_TEXT_SIZE])
{
	const uint64_t numbers[] = {
	    0, result->line, result->signed_to, 0, result->count, result->lines, result->signed_to + 1};
	char when[AUDIT_TIME_SIZE];
	size_t used = 0;
	audit_time(result->signed_ms, when);
	for (const char *at = texts[result->verdict]; *at != 0 && used < AUDIT_TEXT_SIZE - 1; at++) {
		if (*at != '%') {
			text[used++] = *at;
			continue;
		}
		size_t room = AUDIT_TEXT_SIZE - used;
		unsigned which = (unsigned)(*++at - '0');
		int length = which == 3 ? snprintf(text + used, room, "%s", when)
					: snprintf(text + used, room, "%" PRIu64, numbers[which]);
		used += (size_t)length < room ? (size_t)length : room - 1;
	}
	text[used] = 0;
}
