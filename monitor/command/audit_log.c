/* Reading a log (monitor/command/audit_log.h). Bounded in memory whatever the file holds. */
#include "monitor/command/audit_log.h"
#include "monitor/audit/text.h"
#include "monitor/command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_PIECE = 4096 };

int audit_log_open(struct audit_log *log, const char *path, char *why)
{
	log->descriptor = -1; /* not all of it at once: who reads a small log would hold all pages of the buffer */
	log->torn = log->has_begun = log->too_long = false;
	log->start = log->used = 0;
	return audit_log_go_on(log, path, why);
}

int audit_log_go_on(struct audit_log *log, const char *path, char *why)
{
	struct stat status;
	close_descriptor(&log->descriptor);
	log->ended = false;
	log->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (log->descriptor < 0)
		return because(why, errno, "cannot open %s", path);
	if (fstat(log->descriptor, &status) == 0 && S_ISREG(status.st_mode))
		return 0;
	audit_log_close(log);
	return because(why, 0, "%s is not a regular file", path);
}

void audit_log_close(struct audit_log *log)
{
	close_descriptor(&log->descriptor);
}

/* Reads more behind what is there. The first time it is little: who wants the first line alone, and lives on, would
   hold all pages of the buffer. */
static int fill(struct audit_log *log, char *why)
{
	size_t room = log->has_begun ? sizeof(log->buffer) : FIRST_PIECE;
	memmove(log->buffer, log->buffer + log->start, log->used - log->start);
	log->used -= log->start;
	log->start = 0;
	log->has_begun = true;
	ssize_t got;
	do
		got = read(log->descriptor, log->buffer + log->used, room - log->used);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return because(why, errno, "cannot read the log");
	log->used += (size_t)got;
	log->ended = got == 0;
	return 0;
}

int audit_log_next(struct audit_log *log, const char **line, size_t *size, char *why)
{
	for (;;) {
		const char *start = log->buffer + log->start;
		const char *end = memchr(start, '\n', log->used - log->start);
		if (end != NULL) {
			*size = (size_t)(end - start);
			*line = log->too_long || *size >= RECORD_MAX ? NULL : start;
			log->start += *size + 1;
			log->too_long = false;
			return 1;
		}
		if (log->ended) {
			log->torn = log->used > log->start || log->too_long;
			return 0;
		}
		if (log->used - log->start >= RECORD_MAX) {
			log->too_long = true; /* in the next file as well, where it may end */
			log->start = log->used;
		}
		if (fill(log, why) != 0)
			return -1;
	}
}

const char *audit_log_string(const json_t *text)
{
	const char *string = json_string_value(text);
	return string != NULL && strlen(string) == json_string_length(text) ? string : NULL;
}

bool audit_log_hex(const json_t *text, uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	if (!json_is_string(text) || json_string_length(text) != 2 * size)
		return false;
	const char *at = json_string_value(text);
	for (size_t i = 0; i < 2 * size; i++) {
		const char *digit = memchr(digits, at[i], sizeof(digits) - 1);
		if (digit == NULL)
			return false;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit - digits));
	}
	return true;
}

/* Readers differ in how deep they follow; no true record comes near this. */
enum { LEVELS_MAX = 32 };

static bool is_too_deep(json_t *value, unsigned level)
{
	bool deep = level == LEVELS_MAX;
	for (void *at = json_object_iter(value); at != NULL && !deep; at = json_object_iter_next(value, at))
		deep = is_too_deep(json_object_iter_value(at), level + 1);
	for (size_t i = 0; i < json_array_size(value) && !deep; i++)
		deep = is_too_deep(json_array_get(value, i), level + 1);
	return deep;
}

/* The tree before a segment. False: it is none over as many records as there are before this one. */
static bool read_start(const json_t *details, struct verify_line *claim)
{
	const json_t *epoch = json_object_get(details, "epoch"), *frontier = json_object_get(details, "frontier");
	const size_t hashes = (size_t)__builtin_popcountll(claim->sequence - 1);
	if (!json_is_integer(epoch) || json_integer_value(epoch) < 0 || !json_is_array(frontier) ||
	    json_array_size(frontier) != hashes)
		return false;
	claim->epoch = (uint64_t)json_integer_value(epoch);
	for (size_t i = 0; i < hashes; i++, claim->frontier_size += TREE_HASH_SIZE)
		if (!audit_log_hex(json_array_get(frontier, i), claim->frontier + claim->frontier_size, TREE_HASH_SIZE))
			return false;
	return true;
}

/* What the first record and a checkpoint carry beside. */
static void read_signing(const char *line, size_t size, const char *code, const json_t *own, struct verify_line *claim)
{
	uint8_t log[NOTE_LOG_ID_SIZE];
	const char *key = audit_log_string(json_object_get(json_object_get(own, "details"), "key"));
	claim->rotates = strcmp(code, record_rules[AUDIT_LOG_ROTATED].code) == 0;
	claim->has_key = (claim->continues || strcmp(code, record_rules[AUDIT_LOG_OPENED].code) == 0) && key != NULL &&
			 note_key_parse(key, strlen(key), log, claim->key) && memcmp(log, claim->run, sizeof(log)) == 0;
	claim->is_checkpoint = strcmp(code, record_rules[AUDIT_CHECKPOINT].code) == 0;
	if (claim->is_checkpoint && !signer_find_note(line, size, claim->note, &claim->note_size, claim->before_note))
		claim->note_size = 0;
}

json_t *audit_log_read(const char *line, size_t size, struct verify_line *claim)
{
	json_error_t error;
	*claim = (struct verify_line){0};
	if (line == NULL)
		return NULL;
	tree_leaf(line, size, claim->hash);
	json_t *record = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	const json_t *own = json_object_get(json_object_get(record, "unmapped"), "cofferdam");
	const json_t *sequence = json_object_get(own, "sequence"), *time = json_object_get(record, "time");
	const char *code = audit_log_string(json_object_get(json_object_get(record, "metadata"), "event_code"));
	if (!json_is_integer(sequence) || json_integer_value(sequence) < 1 ||
	    json_integer_value(sequence) > (json_int_t)TEXT_INTEGER_MAX || !json_is_integer(time) || code == NULL ||
	    !json_is_object(json_object_get(own, "details")) || is_too_deep(record, 0) ||
	    !audit_log_hex(json_object_get(own, "previous"), claim->previous, sizeof(claim->previous)) ||
	    !audit_log_hex(json_object_get(own, "run"), claim->run, sizeof(claim->run))) {
		json_decref(record);
		return NULL;
	}
	bool continues = strcmp(code, record_rules[AUDIT_LOG_CONTINUED].code) == 0;
	claim->sequence = (uint64_t)json_integer_value(sequence);
	if (continues && !read_start(json_object_get(own, "details"), claim)) {
		json_decref(record);
		return NULL;
	}
	claim->is_record = true;
	claim->continues = continues;
	claim->time_ms = json_integer_value(time) < 0 ? 0 : (uint64_t)json_integer_value(time);
	claim->closes = strcmp(code, record_rules[AUDIT_LOG_CLOSED].code) == 0;
	read_signing(line, size, code, own, claim);
	return record;
}

int audit_log_text(const char *path, char *text, size_t size, char *why)
{
	AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (file < 0)
		return because(why, errno, "cannot open %s", path);
	size_t used = 0;
	for (ssize_t got = 1; got > 0 && used < size - 1;) {
		got = read(file, text + used, size - 1 - used);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return because(why, errno, "cannot read %s", path);
		else
			used += (size_t)got;
	}
	if (used == size - 1)
		return because(why, 0, "%s is too long for what it should be", path);
	text[used] = 0;
	return (int)used;
}
