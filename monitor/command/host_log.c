/* What goes into the host's log (monitor/command/host_log.h). A session runs in a child, so that the key is never in
 * the memory of a process that lives on.
 *
 * `running/RUN` in the audit folder names the log of a run that the host's log has begun and not ended. It only saves
 * looking at every log; nobody needs to believe it, for what it leads to is verified with the key it holds.
 */
#include "monitor/command/host_log.h"

#include "monitor/audit/text.h"
#include "monitor/command/audit_evidence.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/host_store.h"
#include "monitor/command/log.h"
#include "monitor/command/resources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_DIGITS = 2 * NOTE_LOG_ID_SIZE, LOG_NAME_SIZE = 161, MARK_SIZE = 512 };

/* A run as its mark has it. */
struct run {
	uint8_t id[NOTE_LOG_ID_SIZE];
	char vm[PLAN_NAME_SIZE];
	char log[LOG_NAME_SIZE];
	char key[NOTE_KEY_TEXT_SIZE];
};

struct session {
	struct host_store store;
	const char *folder;
	int running;                   /* the marks' folder */
	char done[64][RUN_DIGITS + 1]; /* marks to remove once the records are on disk */
	size_t done_count;
};

/* ---- records ---- */

static void set_bytes(struct audit_view *view, enum audit_field field, const void *bytes, size_t size)
{
	view->fields[field] = (struct audit_value){.bytes = bytes, .size = (uint16_t)size};
}

static void set_text(struct audit_view *view, enum audit_field field, const char *text)
{
	set_bytes(view, field, text, strlen(text));
}

static void set_number(struct audit_view *view, enum audit_field field, const uint64_t *number)
{
	set_bytes(view, field, number, sizeof(*number));
	view->fields[field].number = *number;
}

static void keep(struct record_string *string, const char *text)
{
	size_t size = strlen(text);
	string->size = (uint16_t)(size < sizeof(string->bytes) ? size : sizeof(string->bytes));
	memcpy(string->bytes, text, string->size);
}

static void set_context(struct record_context *context)
{
	char host[65] = "";
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof(host) - 1);
	keep(&context->host, host);
	keep(&context->user, user == NULL ? "" : user->pw_name);
	keep(&context->version, COFFERDAM_VERSION);
	keep(&context->log, HOST_LOG_FILE);
	context->uid = getuid();
	context->login_uid = login_uid(getpid());
	context->pid = (uint64_t)getppid();
	context->clock = host_clock();
	host_boot_id(context->boot);
}

static bool add_run(struct session *session, struct audit_view *view, const struct run *run)
{
	set_bytes(view, AUDIT_RUN_ID, run->id, sizeof(run->id));
	set_text(view, AUDIT_VM, run->vm);
	set_text(view, AUDIT_LOG, run->log);
	keep(&session->store.context.vm, run->vm);
	return host_store_add(&session->store, view);
}

/* ---- marks ---- */

static void run_digits(const struct run *run, char digits[static RUN_DIGITS + 1])
{
	sodium_bin2hex(digits, RUN_DIGITS + 1, run->id, sizeof(run->id));
}

static int write_mark(const struct session *session, const struct run *run, char *why)
{
	char digits[RUN_DIGITS + 1], text[MARK_SIZE];
	run_digits(run, digits);
	int size = snprintf(text, sizeof(text), "%s\n%s\n%s\n", run->vm, run->log, run->key);
	AUTO_CLOSE int file =
	    openat(session->running, digits, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && write(file, text, (size_t)size) == size)
		return 0;
	return because(why, errno, "cannot note in %s/running that the VM runs", session->folder);
}

static bool take_line(char **at, char *to, size_t size)
{
	char *line = strsep(at, "\n");
	return line != NULL && *at != NULL && snprintf(to, size, "%s", line) < (int)size;
}

static bool read_mark(const struct session *session, const char *digits, struct run *run)
{
	char text[MARK_SIZE], *at = text;
	size_t used;
	uint8_t log[NOTE_LOG_ID_SIZE], key[NOTE_KEY_SIZE];
	AUTO_CLOSE int file = openat(session->running, digits, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (size <= 0 || sodium_hex2bin(run->id, sizeof(run->id), digits, strlen(digits), NULL, &used, NULL) != 0 ||
	    used != sizeof(run->id))
		return false;
	text[size] = 0;
	return take_line(&at, run->vm, sizeof(run->vm)) && take_line(&at, run->log, sizeof(run->log)) &&
	       take_line(&at, run->key, sizeof(run->key)) && strchr(run->log, '/') == NULL && run->log[0] != '.' &&
	       note_key_parse(run->key, strlen(run->key), log, key) && memcmp(log, run->id, sizeof(log)) == 0;
}

/* ---- ends ---- */

/* Whether the log has no writer any more. A log that is gone has none. */
static bool is_over(const char *path)
{
	AUTO_CLOSE int log = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return log < 0 ? errno == ENOENT : flock(log, LOCK_SH | LOCK_NB) == 0;
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
	set_number(&view, AUDIT_COUNT, &verify.tree.count);
	set_bytes(&view, AUDIT_ROOT, root, sizeof(root));
	if (result.verdict == VERDICT_SEALED)
		view.event = AUDIT_RUN_SEALED;
	else
		set_text(&view, AUDIT_REASON, reason);
	return add_run(session, &view, run);
}

static void settle_one(struct session *session, const char *digits)
{
	struct run run;
	char path[2 * POLICY_PATH_SIZE];
	if (session->done_count == sizeof(session->done) / sizeof(session->done[0]) ||
	    !read_mark(session, digits, &run))
		return;
	snprintf(path, sizeof(path), "%s/%s", session->folder, run.log);
	if (is_over(path) && add_end(session, &run, path))
		memcpy(session->done[session->done_count++], digits, RUN_DIGITS + 1);
}

static void settle_all(struct session *session)
{
	int copy = dup(session->running);
	DIR *marks = copy < 0 ? NULL : fdopendir(copy);
	if (marks == NULL)
		return;
	rewinddir(marks);
	for (const struct dirent *entry; (entry = readdir(marks)) != NULL;)
		if (strlen(entry->d_name) == RUN_DIGITS)
			settle_one(session, entry->d_name);
	closedir(marks);
}

/* ---- sessions ---- */

static int begin(struct session *session, const char *folder, char *why)
{
	char path[POLICY_PATH_SIZE + 16];
	static char key[NOTE_KEY_TEXT_SIZE];
	session->folder = folder;
	session->running = -1;
	if (host_store_open(&session->store, folder, why) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/running", folder);
	session->running = runtime_folder(path, 0700, why);
	set_context(&session->store.context);
	struct audit_view view = {.event = AUDIT_LOG_OPENED};
	note_key_text(key, session->store.signer.log, session->store.signer.key.public_key);
	set_text(&view, AUDIT_KEY, key);
	if (session->store.signer.tree.count == 0)
		host_store_add(&session->store, &view);
	view = (struct audit_view){.event = AUDIT_LOG_REPAIRED};
	set_number(&view, AUDIT_SIZE, &session->store.cut);
	if (session->store.cut > 0)
		host_store_add(&session->store, &view);
	return session->running < 0 ? -1 : 0;
}

static int finish(struct session *session, char *why)
{
	int result = host_store_commit(&session->store, why);
	for (size_t i = 0; result == 0 && i < session->done_count; i++)
		unlinkat(session->running, session->done[i], 0);
	return result;
}

static int hold_session(const char *folder, const struct run *started, const uint8_t *policy, char *why)
{
	static struct session session;
	session = (struct session){.done_count = 0};
	struct audit_view view = {.event = AUDIT_RUN_STARTED};
	int result = begin(&session, folder, why);
	if (result == 0 && started != NULL) {
		set_text(&view, AUDIT_KEY, started->key);
		set_bytes(&view, AUDIT_POLICY_HASH, policy, HASH_SIZE);
		add_run(&session, &view, started);
		result = write_mark(&session, started, why);
	}
	if (result == 0)
		settle_all(&session);
	if (result == 0)
		result = finish(&session, why);
	host_store_close(&session.store);
	close_descriptor(&session.running);
	return result;
}

/* In a child, whose message comes back through a pipe. */
static int hold_session_apart(const char *folder, const struct run *started, const uint8_t *policy, char *why)
{
	int pipe_ends[2], status = -1;
	if (pipe2(pipe_ends, O_CLOEXEC) != 0)
		return because(why, errno, "cannot write the host's log");
	pid_t child = fork();
	if (child == 0) {
		int result = hold_session(folder, started, policy, why);
		if (result != 0)
			(void)!write(pipe_ends[1], why, strnlen(why, WHY_SIZE - 1));
		_exit(result == 0 ? 0 : 1);
	}
	int error = errno;
	close(pipe_ends[1]);
	char text[WHY_SIZE] = "";
	ssize_t size = child < 0 ? 0 : read(pipe_ends[0], text, sizeof(text) - 1);
	close(pipe_ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (child < 0)
		return because(why, error, "cannot write the host's log");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return because(why, 0, "%s", size > 0 ? text : "the process that writes the host's log was killed");
}

/* The first line of a log: its key. */
static int first_key(const char *path, char key[static NOTE_KEY_TEXT_SIZE], char *why)
{
	static struct audit_log log;
	const char *line;
	size_t size;
	struct verify_line claim = {0};
	int got = audit_log_open(&log, path, why);
	if (got == 0 && audit_log_next(&log, &line, &size, why) > 0)
		json_decref(audit_log_read(line, size, &claim));
	audit_log_close(&log);
	if (got != 0)
		return -1;
	if (!claim.has_key)
		return because(why, 0, "%s does not begin with a key", path);
	note_key_text(key, claim.run, claim.key);
	return 0;
}

int host_log_started(const struct vm *vm, char *why)
{
	struct run run = {.vm = ""};
	char file[sizeof(vm->log_path)];
	snprintf(file, sizeof(file), "%s", vm->log_path);
	memcpy(run.id, vm->plan.run_id, sizeof(run.id));
	snprintf(run.vm, sizeof(run.vm), "%s", vm->plan.name);
	snprintf(run.log, sizeof(run.log), "%.*s", LOG_NAME_SIZE - 1, basename(file));
	if (first_key(vm->log_path, run.key, why) != 0)
		return -1;
	return hold_session_apart(vm->host->folders.audit.text, &run, vm->policy->hash, why);
}

int host_log_settle(const struct host *host, char *why)
{
	return hold_session_apart(host->folders.audit.text, NULL, NULL, why);
}

int host_log_key(const struct host *host, char key[static NOTE_KEY_TEXT_SIZE], char *why)
{
	char path[POLICY_PATH_SIZE + 16];
	if (hold_session_apart(host->folders.audit.text, NULL, NULL, why) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/" HOST_LOG_FILE, host->folders.audit.text);
	return first_key(path, key, why);
}
