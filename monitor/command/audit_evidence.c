/* Reading a log against the evidence at hand (monitor/command/audit_evidence.h). Trusts the key and the anchor that the
 * operator names, and nothing in the log.
 */
#include "monitor/command/audit_evidence.h"

#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/command/segment.h"
#include "monitor/large.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- what is given ---- */

int audit_take_key(const char *given, struct verify *verify, char *why)
{
	char text[NOTE_KEY_TEXT_SIZE + 8];
	if (strchr(given, '+') != NULL && strlen(given) < sizeof(text))
		snprintf(text, sizeof(text), "%s", given);
	else if (audit_log_text(given, text, sizeof(text), why) < 0)
		return -1;
	text[strcspn(text, "\r\n")] = 0;
	verify->pinned = verify->is_named = note_key_parse(text, strlen(text), verify->log, verify->key);
	return verify->pinned ? 0
			      : because(why, 0, "%s is not a public key: it should read cofferdam/LOG+ID+KEY", given);
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

static LARGE_MEMORY struct audit_log reader;

#define WATCHED (IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF)
struct follower {
	int watch; /* an inotify descriptor on the file, -1: its present end is the end */
	bool gone; /* the file is no longer under its name: what it holds now is all */
};

/* Waits until the file has changed. False when it cannot any more. One read may bring several events. */
static bool wait_for_more(struct follower *follower, const struct verify *verify)
{
	struct inotify_event events[16];
	if (follower->watch < 0 || follower->gone || verify->sealed || fflush(stdout) != 0)
		return false;
	ssize_t size = read(follower->watch, events, sizeof(events)); /* a file's events carry no name */
	for (size_t i = 0; size > 0 && i < (size_t)size / sizeof(events[0]); i++)
		follower->gone |= (events[i].mask & IN_MODIFY) == 0;
	return size > 0;
}

/* The first that is not empty of the segments after *segment; 0: none. A rotation that failed leaves an empty one. */
static unsigned next_segment(const char *first, unsigned segment, bool empty_too, char path[static SEGMENT_PATH_SIZE])
{
	struct stat status;
	if (strlen(first) + sizeof(".9999") >= SEGMENT_PATH_SIZE)
		return 0;
	while (++segment <= SEGMENTS_MAX) {
		segment_path(first, segment, path);
		if (stat(path, &status) != 0)
			return 0;
		if (status.st_size > 0 || empty_too)
			return segment;
	}
	return 0;
}

/* 1: `each` wants no more; 0: the end; -1 with why. */
static int go_through(struct audit_log *log, struct verify *verify, audit_line *each, void *context, char *why)
{
	const char *line;
	size_t size;
	int got;
	while ((got = audit_log_next(log, &line, &size, why)) > 0) {
		struct verify_line claim;
		json_t *record = audit_log_read(line, size, &claim);
		verify_add(verify, &claim);
		bool enough = each != NULL && !each(record, line, size, verify->lines, context);
		json_decref(record);
		if (enough)
			return 1;
	}
	return got;
}

static int read_through(const char *path, int watch, struct verify *verify, audit_line *each, void *context,
			struct verify_result *result, char *why)
{
	struct follower follower = {.watch = watch};
	char first[SEGMENT_PATH_SIZE];
	int got = audit_log_open(&reader, path, why);
	/* By its name: else who takes the first away could put the next in its place. */
	verify->is_later = segment_is_later(path, first);
	for (unsigned segment = 1; got == 0;) {
		char next[SEGMENT_PATH_SIZE];
		unsigned later = next_segment(path, segment, watch >= 0 && verify->rotated, next);
		reader.ended = false; /* once more when there is a next: it was begun after the last line of this */
		got = go_through(&reader, verify, each, context, why);
		if (got != 0 || (later == 0 && next_segment(path, segment, watch >= 0 && verify->rotated, next) == 0)) {
			if (got != 0 || !wait_for_more(&follower, verify))
				break;
		} else if (later != 0) {
			got = audit_log_go_on(&reader, next, why);
			segment = later;
			follower.gone = watch >= 0 && inotify_add_watch(watch, next, WATCHED) < 0;
		}
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
	char id[2 * NOTE_LOG_ID_SIZE + 1]; /* in hex */
	char log[NAME_MAX + 1];            /* its log's name; "": it has none */
	bool started;
	uint8_t key[NOTE_KEY_SIZE], key_log[NOTE_LOG_ID_SIZE]; /* the key, and whose it says it is */
	uint64_t records;                                      /* that its log had for certain, 0: none … */
	uint8_t root[TREE_HASH_SIZE];                          /* … and the root over them */
	bool ended;                                            /* with these */
};

/* What one record of it says of a run. */
struct told {
	const char *id, *log, *code;
	const json_t *details;
};

static bool tells_of_run(const json_t *record, struct told *told)
{
	told->details = json_object_get(json_object_get(json_object_get(record, "unmapped"), "cofferdam"), "details");
	told->id = audit_log_string(json_object_get(told->details, "run"));
	told->log = audit_log_string(json_object_get(told->details, "log"));
	told->code = audit_log_string(json_object_get(json_object_get(record, "metadata"), "event_code"));
	return told->id != NULL && told->code != NULL;
}

static bool is_event(const struct told *told, enum audit_event event)
{
	return strcmp(told->code, record_rules[event].code) == 0;
}

/* Whether that was the log's end. Of one that was not there, went on in a file that was not, or did not verify it was
   not: the true one may be back. */
static bool tells_of_end(const struct told *told)
{
	static const enum verdict whole[] = {VERDICT_UNSEALED, VERDICT_UNSIGNED, VERDICT_TORN};
	const char *reason = audit_log_string(json_object_get(told->details, "reason"));
	if (!is_event(told, AUDIT_RUN_UNSEALED))
		return is_event(told, AUDIT_RUN_SEALED) || is_event(told, AUDIT_RUN_REFUSED);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (reason != NULL && strcmp(reason, verdict_word(whole[i])) == 0)
			return true;
	return false;
}

/* Of what is said of its log the most counts: who cuts it while it runs has the host's log say so at its end. */
static void learn(struct known_run *run, const struct told *told)
{
	const char *key = audit_log_string(json_object_get(told->details, "key"));
	json_int_t count = json_integer_value(json_object_get(told->details, "count"));
	uint8_t root[TREE_HASH_SIZE];
	bool begins = is_event(told, AUDIT_RUN_STARTED) || is_event(told, AUDIT_RUN_REFUSED);
	if (begins && !run->started && key != NULL && told->log != NULL) {
		run->started = note_key_parse(key, strlen(key), run->key_log, run->key);
		snprintf(run->log, sizeof(run->log), "%s", told->log);
	}
	if ((!begins && !is_event(told, AUDIT_RUN_SEALED) && !is_event(told, AUDIT_RUN_UNSEALED)) || count <= 0 ||
	    (uint64_t)count < run->records ||
	    !audit_log_hex(json_object_get(told->details, "root"), root, sizeof(root)))
		return;
	if ((uint64_t)count > run->records) {
		run->ended = false;
		run->records = (uint64_t)count;
		memcpy(run->root, root, sizeof(run->root));
	}
	run->ended |= tells_of_end(told) && memcmp(run->root, root, sizeof(root)) == 0;
}

/* One run is looked for, by its id or, where that is NULL, by its log's name. */
struct search {
	const char *id, *log;
	struct known_run run;
	bool others; /* the name is another run's */
};

static bool look_for_run(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct search *search = context;
	struct told told;
	(void)line, (void)size, (void)number;
	if (!tells_of_run(record, &told))
		return true;
	bool named = told.log != NULL && strcmp(told.log, search->log) == 0;
	bool is_it = search->id != NULL ? strcmp(told.id, search->id) == 0 : named;
	if (is_it)
		learn(&search->run, &told);
	search->others |= named && !is_it;
	return true;
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

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

static void expect_run(const struct known_run *run, struct verify *verify)
{
	struct verify_point *final = &verify->final;
	verify->pinned = verify->is_named = true;
	verify->is_nobodys = !run->started;
	memcpy(verify->key, run->key, sizeof(verify->key));
	memcpy(verify->log, run->key_log, sizeof(verify->log));
	final->given = run->records > 0;
	final->size = run->records;
	final->is_end = run->ended;
	for (size_t i = 0; i < sizeof(final->log); i++)
		sscanf(run->id + 2 * i, "%2hhx", &final->log[i]);
	memcpy(final->root, run->root, sizeof(run->root));
}

static int judge_host_log(const struct audit_evidence *evidence, audit_line *each, void *context,
			  struct verify_result *result, char *why)
{
	static LARGE_MEMORY struct verify host;
	verify_begin(&host);
	if (evidence->public_key != NULL && audit_take_key(evidence->public_key, &host, why) != 0)
		return -1;
	return read_through(evidence->host_log, -1, &host, each, context, result, why);
}

struct first_lines {
	audit_line *each;
	void *context;
	uint64_t count;
};

static bool is_among_the_first(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	const struct first_lines *first = context;
	return number <= first->count && first->each(record, line, size, number, first->context);
}

/* The host's log must itself be whole, and what nobody signed at its end is not heard: anybody who could write the file
   may have added it. 0; 1: it is not whole, and *result says why; -1 with why. */
static int read_host_log(const struct audit_evidence *evidence, audit_line *each, void *context,
			 struct verify_result *result, char *why)
{
	struct verify_result again;
	if (judge_host_log(evidence, NULL, NULL, result, why) != 0)
		return -1;
	result->of_host_log = result->verdict > VERDICT_TORN;
	struct first_lines all_signed = {.each = each, .context = context, .count = result->signed_to};
	return result->of_host_log ? 1 : judge_host_log(evidence, is_among_the_first, &all_signed, &again, why);
}

/* Takes the run's key and end from the host's log. 0; 1: there is nothing to read, and *result says why; 2: the host
   does not know the run; 3: it knows another run's log under this name; -1 with why. */
static int take_host_log(const char *path, const struct audit_evidence *evidence, struct verify *verify,
			 struct verify_result *result, char *why)
{
	static struct search search;
	uint8_t id[NOTE_LOG_ID_SIZE];
	char first[SEGMENT_PATH_SIZE], digits[2 * NOTE_LOG_ID_SIZE + 1];
	bool is_later = segment_is_later(path, first);
	bool is_there = is_later || access(path, F_OK) == 0 || errno != ENOENT;
	bool says = run_of(path, id, why); /* a log without a first line is looked up as one that is gone is */
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(digits + 2 * i, 3, "%02x", id[i]);
	search = (struct search){.id = says || is_later ? digits : NULL, .log = name_of(is_later ? first : path)};
	int got = read_host_log(evidence, look_for_run, &search, result, why);
	if (got != 0)
		return got;
	if (!is_there && search.run.started) {
		*result = (struct verify_result){.verdict = VERDICT_RUN_MISSING};
		return 1;
	}
	memcpy(search.run.id, digits, sizeof(digits));
	expect_run(&search.run, verify);
	verify->is_first_key = search.run.started;
	if (!search.run.started)
		return 2;
	return search.others && strcmp(search.run.log, search.log) != 0 ? 3 : 0;
}

static bool is_same_log(const char *one, const char *other)
{
	struct stat ours, theirs;
	return strcmp(name_of(one), name_of(other)) == 0 && stat(one, &ours) == 0 && stat(other, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* The host's log knows nothing of itself: what is known of that is its key, and an anchor. A run's log that leads there
   by another name is not meant. */
static bool is_host_log(const char *path, const char *host_log)
{
	char first[SEGMENT_PATH_SIZE];
	return is_same_log(path, host_log) || (segment_is_later(path, first) && is_same_log(first, host_log));
}

/* `host`: what take_host_log returned. */
static void weigh(const struct audit_evidence *evidence, int host, struct verify_result *result)
{
	if (result->verdict == VERDICT_UNKNOWN_KEY && result->line == 1 && host != 2)
		result->verdict = VERDICT_REPLACED;
	result->of_no_run = result->verdict == VERDICT_UNKNOWN_KEY && result->line == 1;
	if (result->verdict <= VERDICT_TORN && host == 3)
		result->verdict = VERDICT_REPLACED;
	if (result->verdict == VERDICT_SEALED &&
	    evidence->public_key == NULL) /* whose host's log that is nobody said */
		result->verdict = VERDICT_SELF_SIGNED;
}

/* ---- every run of the host's log ---- */

struct runs {
	struct known_run *all;
	size_t count, room;
	bool no_memory;
};

/* A run's records are near one another. */
static bool collect_run(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct runs *runs = context;
	struct told told;
	(void)line, (void)size, (void)number;
	if (!tells_of_run(record, &told))
		return true;
	size_t i = runs->count;
	while (i > 0 && strcmp(runs->all[i - 1].id, told.id) != 0)
		i--;
	if (i == 0 && runs->count == runs->room) {
		struct known_run *more = realloc(runs->all, (runs->room + 256) * sizeof(*more));
		runs->no_memory = more == NULL;
		if (runs->no_memory)
			return false;
		runs->all = more;
		runs->room += 256;
	}
	if (i == 0) {
		i = ++runs->count;
		runs->all[i - 1] = (struct known_run){.started = false};
		snprintf(runs->all[i - 1].id, sizeof(runs->all[i - 1].id), "%s", told.id);
	}
	learn(&runs->all[i - 1], &told);
	return true;
}

static int judge_run(const struct audit_evidence *evidence, const struct known_run *run, audit_run *each, void *context,
		     char *why)
{
	static LARGE_MEMORY struct verify verify;
	struct verify_result result = {.verdict = VERDICT_RUN_MISSING};
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%.*s%s", (int)(name_of(evidence->host_log) - evidence->host_log),
		 evidence->host_log, run->log);
	verify_begin(&verify);
	expect_run(run, &verify);
	if (strchr(run->log, '/') == NULL && (access(path, F_OK) == 0 || errno != ENOENT)) {
		if (read_through(path, -1, &verify, NULL, NULL, &result, why) != 0)
			return -1;
		weigh(evidence, 0, &result);
	}
	each(path, &verify, &result, context);
	return 0;
}

int audit_judge_all(const struct audit_evidence *evidence, audit_run *each, void *context, struct verify_result *host,
		    char *why)
{
	struct runs runs = {.all = NULL};
	int got = read_host_log(evidence, collect_run, &runs, host, why);
	if (runs.no_memory)
		got = because(why, 0, "not enough memory for the runs of %s", evidence->host_log);
	for (size_t i = 0; got == 0 && i < runs.count; i++)
		if (runs.all[i].started)
			got = judge_run(evidence, &runs.all[i], each, context, why);
	free(runs.all);
	return got;
}

/* ---- one log ---- */

int audit_judge(const char *path, const struct audit_evidence *evidence, audit_line *each, void *context,
		struct verify *verify, struct verify_result *result, char *why)
{
	int host = 0;
	bool asks_host = evidence->host_log != NULL && !is_host_log(path, evidence->host_log);
	verify_begin(verify);
	if (asks_host)
		host = take_host_log(path, evidence, verify, result, why);
	else if (evidence->public_key != NULL)
		host = audit_take_key(evidence->public_key, verify, why);
	verify->is_first_key |= evidence->host_log != NULL && !asks_host;
	if (host < 0 || (evidence->anchor != NULL && take_anchor(evidence->anchor, verify, why) != 0))
		return -1;
	if (host == 1)
		return 0;
	AUTO_CLOSE int watch = evidence->follow ? inotify_init1(IN_CLOEXEC) : -1;
	if (evidence->follow && inotify_add_watch(watch, path, WATCHED) < 0)
		return because(why, errno, "cannot follow %s", path);
	if (read_through(path, watch, verify, each, context, result, why) != 0)
		return -1;
	if (asks_host)
		weigh(evidence, host, result);
	return 0;
}
