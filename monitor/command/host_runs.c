/* What the host's log says of runs (monitor/command/host_log.h): their marks, and how their logs ended.
 *
 * `running/RUN` in the audit folder names the log of a run that has begun and that the host's log has not ended; it has
 * no key until the host's log has that. Its launcher holds it until the guest was let go, or the host's log has that
 * the run was refused: until then nobody else says what became of it. A mark only saves looking at every log; nobody
 * needs to believe it, for what it leads to is verified with the key it holds, or with the log's own when the launcher
 * was lost before the host's log knew it.
 *
 * A launcher holds a byte of the folder `running` locked for as long as it will itself say how its run ended, so that
 * one start among many asks of each other run a single question. Who looks after the log by hand believes no lock.
 */
#include "monitor/command/host_runs.h"

#include "monitor/command/audit_evidence.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/resources.h"
#include "monitor/command/segment.h"
#include "monitor/large.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEXT_MARK ".new"
enum { MARK_SIZE = 512, NEXT_MARK_S = 60, HASH_DIGITS = 2 * HASH_SIZE };

void view_set(struct audit_view *view, enum audit_field field, const void *bytes, size_t size)
{
	view->fields[field] = (struct audit_value){.bytes = bytes, .size = (uint16_t)size};
}

void view_set_text(struct audit_view *view, enum audit_field field, const char *text)
{
	view_set(view, field, text, strlen(text));
}

void view_set_number(struct audit_view *view, enum audit_field field, const uint64_t *number)
{
	view_set(view, field, number, sizeof(*number));
	view->fields[field].number = *number;
}

void context_keep(struct record_string *string, const char *text)
{
	size_t size = strlen(text);
	string->size = (uint16_t)(size < sizeof(string->bytes) ? size : sizeof(string->bytes));
	memcpy(string->bytes, text, string->size);
}

bool add_about(struct session *session, const struct audit_view *view, const char *vm)
{
	struct record_context *context = &session->store.context;
	context_keep(&context->vm, vm);
	bool added = host_store_add(&session->store, view);
	context->vm.size = 0;
	memset(context->policy, 0, sizeof(context->policy));
	return added;
}

bool runs_add(struct session *session, struct audit_view *view, const struct run *run)
{
	view_set(view, AUDIT_RUN_ID, run->id, sizeof(run->id));
	view_set_text(view, AUDIT_VM, run->vm);
	view_set_text(view, AUDIT_LOG, run->log);
	return add_about(session, view, run->vm);
}

/* ---- marks ---- */

static void run_digits(const struct run *run, char digits[static RUN_DIGITS + 1])
{
	sodium_bin2hex(digits, RUN_DIGITS + 1, run->id, sizeof(run->id));
}

/* With a key it is on disk: or a host that fails would leave one that names no log. Without, a VM's start does not wait
   for that. */
int runs_mark(const struct session *session, const struct run *run, int *held, char *why)
{
	bool lasts = run->key[0] != 0;
	char digits[RUN_DIGITS + 1], next[sizeof(digits) + sizeof(NEXT_MARK)], text[MARK_SIZE];
	run_digits(run, digits);
	snprintf(next, sizeof(next), "%s" NEXT_MARK, digits);
	int size = snprintf(text, sizeof(text), "%s\n%s\n%s\n", run->vm, run->log, run->key);
	AUTO_CLOSE int file =
	    openat(session->running, next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && (held == NULL || segment_hold(file)) && write(file, text, (size_t)size) == size &&
	    (!lasts || fdatasync(file) == 0) && renameat(session->running, next, session->running, digits) == 0 &&
	    (!lasts || fdatasync(session->running) == 0)) {
		if (held != NULL)
			*held = fcntl(file, F_DUPFD_CLOEXEC, 0);
		return 0;
	}
	return because(why, errno, "cannot note in %s/running that the VM runs", session->folder);
}

/* The byte's number is the run's, as good as: 2^62 of them. */
static struct flock byte_of(const uint8_t id[static NOTE_LOG_ID_SIZE], short type)
{
	uint64_t number;
	memcpy(&number, id, sizeof(number));
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(number >> 2), .l_len = 1};
}

void runs_hold(int marks, const struct run *run)
{
	struct flock byte = byte_of(run->id, F_RDLCK); /* of a folder nobody has any other */
	(void)fcntl(marks, F_OFD_SETLK, &byte);
}

static bool is_left_alone(const struct session *session, const uint8_t id[static NOTE_LOG_ID_SIZE])
{
	struct flock byte = byte_of(id, F_WRLCK);
	if (session->looks_at_all || (session->own != NULL && memcmp(session->own, id, NOTE_LOG_ID_SIZE) == 0))
		return false;
	return fcntl(session->running, F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
}

/* ---- policies ---- */

/* `policies/VM`: the policy's hash in hex, and a line feed. The host's log is locked while it is written. */
static int open_notes(const char *folder, char *why)
{
	char path[POLICY_PATH_SIZE + 16];
	snprintf(path, sizeof(path), "%s/policies", folder);
	return runtime_folder(path, 0700, why);
}

void runs_note_policy(const struct session *session)
{
	char why[WHY_SIZE], text[HASH_DIGITS + 2];
	AUTO_CLOSE int folder = open_notes(session->folder, why);
	if (folder < 0)
		return;
	sodium_bin2hex(text, sizeof(text), session->policy, HASH_SIZE);
	text[HASH_DIGITS] = '\n';
	AUTO_CLOSE int file = openat(folder, NEXT_MARK, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0 || write(file, text, HASH_DIGITS + 1) != HASH_DIGITS + 1 ||
	    renameat(folder, NEXT_MARK, folder, session->started->vm) != 0)
		unlinkat(folder, session->started->vm, 0);
}

bool host_log_policy_before(const struct host *host, const char *vm, uint8_t hash[static HASH_SIZE])
{
	char path[POLICY_PATH_SIZE + 16 + PLAN_NAME_SIZE], text[HASH_DIGITS + 2] = "";
	const char *end = text;
	size_t size;
	snprintf(path, sizeof(path), "%s/policies/%s", host->folders.audit.text, vm);
	AUTO_CLOSE int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return file >= 0 && read(file, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1 &&
	       sodium_hex2bin(hash, HASH_SIZE, text, sizeof(text) - 1, NULL, &size, &end) == 0 && size == HASH_SIZE &&
	       strcmp(end, "\n") == 0;
}

static bool take_line(char **at, char *to, size_t size)
{
	char *line = strsep(at, "\n");
	return line != NULL && *at != NULL && snprintf(to, size, "%s", line) < (int)size;
}

static bool id_of(const char *digits, uint8_t id[static NOTE_LOG_ID_SIZE])
{
	size_t used;
	return sodium_hex2bin(id, NOTE_LOG_ID_SIZE, digits, strlen(digits), NULL, &used, NULL) == 0 &&
	       used == NOTE_LOG_ID_SIZE;
}

static bool read_mark(const struct session *session, const char *digits, struct run *run)
{
	char text[MARK_SIZE], *at = text;
	uint8_t log[NOTE_LOG_ID_SIZE], key[NOTE_KEY_SIZE];
	AUTO_CLOSE int file = openat(session->running, digits, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (size <= 0)
		return false;
	text[size] = 0;
	if (!take_line(&at, run->vm, sizeof(run->vm)) || !take_line(&at, run->log, sizeof(run->log)) ||
	    !take_line(&at, run->key, sizeof(run->key)) || strchr(run->log, '/') != NULL || run->log[0] == '.')
		return false;
	run->is_held = run->key[0] == 0 && !segment_is_free(file);
	return run->key[0] == 0 ||
	       (note_key_parse(run->key, strlen(run->key), log, key) && memcmp(log, run->id, sizeof(log)) == 0);
}

char *runs_first_line(const char *path, char *why)
{
	static LARGE_MEMORY struct audit_log log;
	const char *line = NULL;
	size_t size = 0;
	if (audit_log_open(&log, path, why) != 0)
		return NULL;
	bool is_there = audit_log_next(&log, &line, &size, why) > 0 && line != NULL;
	char *copy = strndup(is_there ? line : "", is_there ? size : 0);
	audit_log_close(&log);
	if (copy == NULL)
		because(why, ENOMEM, "cannot read %s", path);
	return copy;
}

int runs_key_of(const char *line, const char *path, char key[static NOTE_KEY_TEXT_SIZE], char *why)
{
	struct verify_line claim = {0};
	json_decref(audit_log_read(line, strlen(line), &claim));
	if (!claim.has_key)
		return because(why, 0, "%s does not begin with a key", path);
	note_key_text(key, claim.run, claim.key);
	return 0;
}

int runs_first_key(const char *path, char key[static NOTE_KEY_TEXT_SIZE], char *why)
{
	char *line = runs_first_line(path, why);
	int result = line == NULL ? -1 : runs_key_of(line, path, key, why);
	free(line);
	return result;
}

/* ---- ends ---- */

static bool is_held(const char *path)
{
	AUTO_CLOSE int log = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return log >= 0 && !segment_is_free(log);
}

/* Whether any segment is written to, where one that came before it was moved away: then the names do not lead there. */
static bool a_later_one_is_held(const char *first)
{
	const char *slash = strrchr(first, '/');
	char path[SEGMENT_PATH_SIZE], of[SEGMENT_PATH_SIZE];
	size_t size = slash == NULL ? 0 : (size_t)(slash - first);
	snprintf(path, sizeof(path), "%.*s", (int)size, first);
	DIR *folder = size == 0 ? NULL : opendir(path);
	bool held = false;
	for (const struct dirent *entry; !held && folder != NULL && (entry = readdir(folder)) != NULL;) {
		int length = snprintf(path + size, sizeof(path) - size, "/%s", entry->d_name);
		held = (size_t)length < sizeof(path) - size && segment_is_later(path, of) && strcmp(of, first) == 0 &&
		       is_held(path);
	}
	if (folder != NULL)
		closedir(folder);
	return held;
}

/* Whether the log has no writer any more. A log that is gone has none. Its writer has locked the next segment before it
   lets go of one, so that the last that is there when the one before it was found free tells. */
bool runs_is_over(const char *first)
{
	for (unsigned segment = 1; segment <= SEGMENTS_MAX; segment++) {
		char path[SEGMENT_PATH_SIZE];
		segment_path(first, segment, path);
		AUTO_CLOSE int log = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		if (log < 0)
			return errno == ENOENT && !a_later_one_is_held(first);
		if (!segment_is_free(log))
			return false;
	}
	return true;
}

/* Gives back the room that was taken for last words. What nobody signed, nobody may have put on disk: it is before the
   host's log has it, or a host that fails would leave a log that seems cut. */
static void trim(const char *first, bool sync)
{
	struct stat status;
	for (unsigned segment = 1; segment <= SEGMENTS_MAX; segment++) {
		char path[SEGMENT_PATH_SIZE];
		segment_path(first, segment, path);
		AUTO_CLOSE int log = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		if (log < 0 || fstat(log, &status) != 0)
			return;
		(void)!ftruncate(log, status.st_size);
		if (sync)
			fdatasync(log);
	}
}

/* The first key that a log names. False, and "" in `key`: none. */
static bool own_key(const char *path, const struct run *run, char key[static NOTE_KEY_TEXT_SIZE])
{
	char why[WHY_SIZE], prefix[NOTE_NAME_SIZE + 1] = "cofferdam/";
	run_digits(run, prefix + strlen(prefix));
	if (runs_first_key(path, key, why) == 0 && strncmp(key, prefix, strlen(prefix)) == 0)
		return true;
	key[0] = 0;
	return false;
}

static bool is_empty(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
}

/* One run's end: how many records its log has, and the root over them. False when the batch is full. */
static bool add_end(struct session *session, const struct run *run, const char *path)
{
	struct verify verify = {0};
	struct verify_result result = {.verdict = VERDICT_EMPTY};
	struct audit_view view = {.event = AUDIT_RUN_UNSEALED};
	const struct audit_evidence evidence = {.public_key = run->key};
	char why[WHY_SIZE], reason[AUDIT_TEXT_SIZE + 32];
	uint8_t root[TREE_HASH_SIZE];
	if (audit_judge(path, &evidence, NULL, NULL, &verify, &result, why) != 0)
		snprintf(reason, sizeof(reason), "%.300s", why);
	else
		snprintf(reason, sizeof(reason), "%s", verdict_word(result.verdict));
	tree_root(&verify.tree, root);
	view_set_number(&view, AUDIT_COUNT, &verify.tree.count);
	view_set(&view, AUDIT_ROOT, root, sizeof(root));
	if (result.verdict == VERDICT_SEALED)
		view.event = AUDIT_RUN_SEALED;
	else
		view_set_text(&view, AUDIT_REASON, reason);
	trim(path, result.verdict != VERDICT_SEALED);
	return runs_add(session, &view, run);
}

/* A run that did not start, and what its log holds of that. A log without a record is removed. */
static bool add_refused(struct session *session, const struct run *run, const char *path, const char *reason)
{
	struct verify verify = {0};
	struct verify_result result;
	struct audit_view view = {.event = AUDIT_RUN_REFUSED};
	struct run named = *run;
	char why[WHY_SIZE];
	uint8_t root[TREE_HASH_SIZE];
	view_set_text(&view, AUDIT_REASON, reason);
	if (is_empty(path))
		unlink(path);
	trim(path, true);
	if (own_key(path, run, named.key)) {
		const struct audit_evidence evidence = {.public_key = named.key};
		view_set_text(&view, AUDIT_KEY, named.key);
		if (audit_judge(path, &evidence, NULL, NULL, &verify, &result, why) == 0) {
			tree_root(&verify.tree, root);
			view_set_number(&view, AUDIT_COUNT, &verify.tree.count);
			view_set(&view, AUDIT_ROOT, root, sizeof(root));
		}
	} else {
		named.log[0] = 0;
	}
	return runs_add(session, &view, &named);
}

/* The launcher was lost before the host's log knew of the run, which its log may have seen start. */
static bool add_found(struct session *session, struct run *run, const char *path)
{
	struct audit_view view = {.event = AUDIT_RUN_STARTED};
	if (!own_key(path, run, run->key))
		return add_refused(session, run, path, "the launcher was lost before the log began");
	view_set_text(&view, AUDIT_KEY, run->key);
	return runs_add(session, &view, run) && add_end(session, run, path);
}

static void settle_one(struct session *session, const char *digits)
{
	struct run run;
	char path[2 * POLICY_PATH_SIZE];
	for (size_t i = 0; i < session->done_count; i++)
		if (strcmp(session->done[i], digits) == 0)
			return;
	if (session->done_count == sizeof(session->done) / sizeof(session->done[0]) || !id_of(digits, run.id) ||
	    is_left_alone(session, run.id) || !read_mark(session, digits, &run))
		return;
	snprintf(path, sizeof(path), "%s/%s", session->folder, run.log);
	bool is_ours = session->started != NULL && memcmp(session->started->id, run.id, sizeof(run.id)) == 0;
	if ((run.is_held && !is_ours) || !runs_is_over(path))
		return;
	if (is_ours)
		run = *session->started; /* it has ended already */
	if (run.key[0] == 0 ? add_found(session, &run, path) : add_end(session, &run, path))
		memcpy(session->done[session->done_count++], digits, RUN_DIGITS + 1);
}

/* What a killed launcher was about to make a mark. */
static void remove_forgotten(const struct session *session, const char *name)
{
	struct stat status;
	if (fstatat(session->running, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_mtime + NEXT_MARK_S < time(NULL))
		unlinkat(session->running, name, 0);
}

void runs_settle(struct session *session)
{
	int copy = dup(session->running);
	DIR *marks = copy < 0 ? NULL : fdopendir(copy);
	if (marks == NULL)
		return;
	rewinddir(marks);
	for (const struct dirent *entry; (entry = readdir(marks)) != NULL;)
		if (strlen(entry->d_name) == RUN_DIGITS)
			settle_one(session, entry->d_name);
		else if (strstr(entry->d_name, NEXT_MARK) != NULL)
			remove_forgotten(session, entry->d_name);
	closedir(marks);
}

void runs_refuse(struct session *session, const struct run *run, const char *reason)
{
	char path[2 * POLICY_PATH_SIZE], digits[RUN_DIGITS + 1];
	snprintf(path, sizeof(path), "%s/%s", session->folder, run->log[0] == 0 ? "-" : run->log);
	if (add_refused(session, run, path, reason)) {
		run_digits(run, digits);
		memcpy(session->done[session->done_count++], digits, RUN_DIGITS + 1);
	}
}
