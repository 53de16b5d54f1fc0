/* What goes into the host's log (monitor/command/host_log.h). A session runs in a child, so that the key is never in
 * the memory of a process that lives on.
 */
#include "monitor/command/host_log.h"

#include "monitor/audit/text.h"
#include "monitor/command/audit_evidence.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/host_runs.h"
#include "monitor/command/log.h"
#include "monitor/command/origin.h"
#include "monitor/command/resources.h"
#include "monitor/command/revision.h"
#include "monitor/command/segment.h"
#include "monitor/large.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEAL_TRIES = 200 };

/* What a session is for, beside settling what has ended. */
struct errand {
	struct run *started;              /* a run's log is open; NULL: none */
	const char *first_line, *of_path; /* of that log, which names the run's key */
	const struct policy *policy;
	bool is_signed;            /* the policy must be */
	const struct run *refused; /* a run did not start; NULL: none */
	const char *reason;
	const char *unfit; /* the path of a policy that was not taken, `reason` is why; NULL: none */
	uint64_t mistakes;
	const char *reset; /* the VM whose revisions are reset; NULL: none */
	uint64_t revision;
	const uint8_t *ended;      /* id of a run whose launcher asks; NULL: none */
	bool looks_after;          /* runs whose launcher lives are looked at as well */
	bool rotate;               /* the host's log goes on in another file */
	const struct log_use *use; /* somebody reads a log: nothing is settled; NULL: nobody */
};

static void describe(struct record_context *context, pid_t command)
{
	char host[65] = "";
	gethostname(host, sizeof(host) - 1);
	context_keep(&context->host, host);
	context_keep(&context->user, origin_user());
	context_keep(&context->version, COFFERDAM_VERSION);
	context_keep(&context->log, HOST_LOG_FILE);
	context->uid = getuid();
	context->login_uid = login_uid(getpid());
	context->pid = (uint64_t)command;
	origin_boot_id(context->boot);
}

static struct record_context of_another; /* `pid` 0: the process that asks speaks for itself */

void host_log_speak_for(pid_t command)
{
	host_store_has_owner();
	describe(&of_another, command);
}

static void set_context(struct record_context *context)
{
	if (of_another.pid == 0) {
		describe(context, getppid());
		return;
	}
	memcpy(of_another.run, context->run, sizeof(of_another.run));
	*context = of_another;
}

/* ---- sessions ---- */

static int begin(struct session *session, const char *folder, char *why)
{
	static char key[NOTE_KEY_TEXT_SIZE];
	session->folder = folder;
	session->running = -1;
	if (host_store_open(&session->store, folder, why) != 0)
		return -1;
	session->running = host_store_marks(folder, true, why);
	set_context(&session->store.context);
	struct audit_view view = {.event = AUDIT_LOG_OPENED};
	note_key_text(key, session->store.signer.log, session->store.signer.key.public_key);
	view_set_text(&view, AUDIT_KEY, key);
	if (session->store.signer.tree.count == 0)
		host_store_add(&session->store, &view);
	host_store_continue(&session->store);
	view = (struct audit_view){.event = AUDIT_LOG_REPAIRED};
	view_set_number(&view, AUDIT_SIZE, &session->store.cut);
	if (session->store.cut > 0)
		host_store_add(&session->store, &view);
	return session->running < 0 ? -1 : 0;
}

/* A mark gets its key when the log has the run's start for good: one without a key is looked into anew, and the start
   of a run may then be told twice, but never not at all. */
static int finish(struct session *session, char *why)
{
	int result = host_store_commit(&session->store, why);
	if (result == 0 && session->started != NULL)
		result = runs_mark(session, session->started, NULL, why);
	if (result == 0 && session->started != NULL)
		runs_note_policy(session);
	for (size_t i = 0; result == 0 && i < session->done_count; i++)
		unlinkat(session->running, session->done[i], 0);
	return result;
}

static bool until_signed(const json_t *record, const char *line, size_t size, uint64_t number, void *verify)
{
	(void)record, (void)line, (void)size, (void)number;
	return ((const struct verify *)verify)->signed_to == 0;
}

/* What the run's log is at its first signature: who has less of it has a cut one, while it runs as well. */
static bool first_signature(const struct session *session, const struct run *run, struct verify *verify)
{
	struct verify_result result;
	char path[2 * POLICY_PATH_SIZE], why[WHY_SIZE];
	const struct audit_evidence evidence = {.public_key = run->key};
	snprintf(path, sizeof(path), "%s/%s", session->folder, run->log);
	return audit_judge(path, &evidence, until_signed, verify, verify, &result, why) == 0 && verify->signed_to > 0;
}

static void note_start(struct session *session, const struct errand *errand)
{
	static LARGE_MEMORY struct verify verify;
	struct audit_view view = {.event = AUDIT_RUN_STARTED};
	char signer[SIGNER_SIZE];
	uint8_t root[TREE_HASH_SIZE];
	if (first_signature(session, errand->started, &verify)) {
		tree_root(&verify.tree, root);
		view_set_number(&view, AUDIT_COUNT, &verify.tree.count);
		view_set(&view, AUDIT_ROOT, root, sizeof(root));
	}
	view_set_text(&view, AUDIT_KEY, errand->started->key);
	view_set(&view, AUDIT_POLICY_HASH, errand->policy->hash, HASH_SIZE);
	if (errand->is_signed) {
		revision_signer(errand->policy, signer);
		view_set_number(&view, AUDIT_REVISION, &errand->policy->revision.value);
		view_set_text(&view, AUDIT_SIGNER, signer);
	}
	memcpy(session->store.context.policy, errand->policy->hash, sizeof(session->store.context.policy));
	if (!runs_add(session, &view, errand->started))
		return;
	session->started = errand->started;
	session->policy = errand->policy->hash;
}

static void note_reset(struct session *session, const struct errand *errand)
{
	struct audit_view view = {.event = AUDIT_REVISION_RESET};
	view_set_text(&view, AUDIT_VM, errand->reset);
	view_set_number(&view, AUDIT_REVISION, &errand->revision);
	add_about(session, &view, errand->reset);
}

/* In a record a name ends where the field does. */
static void set_short_text(struct audit_view *view, enum audit_field field, const char *text)
{
	view_set(view, field, text, strnlen(text, audit_field_rules[field].size));
}

static void note_unfit(struct session *session, const struct errand *errand)
{
	struct audit_view view = {.event = AUDIT_POLICY_REFUSED};
	set_short_text(&view, AUDIT_PATH, errand->unfit);
	set_short_text(&view, AUDIT_REASON, errand->reason);
	if (errand->mistakes > 1)
		view_set_number(&view, AUDIT_COUNT, &errand->mistakes);
	host_store_add(&session->store, &view);
}

static void note_use(struct session *session, const struct log_use *use)
{
	struct audit_view view = {.event = use->operation != NULL ? AUDIT_LOG_READ
					   : use->doubted         ? AUDIT_LOG_DOUBTED
								  : AUDIT_LOG_VERIFIED};
	if (use->operation != NULL)
		view_set_text(&view, AUDIT_OPERATION, use->operation);
	set_short_text(&view, AUDIT_LOG, use->log);
	if (use->reason != NULL)
		set_short_text(&view, AUDIT_REASON, use->reason);
	if (use->logs != 1)
		view_set_number(&view, AUDIT_VALUE, &use->logs);
	host_store_add(&session->store, &view);
}

static void say_closed(const struct session *session, char *why)
{
	char closed[SEGMENT_PATH_SIZE], next[SEGMENT_PATH_SIZE];
	segment_path(HOST_LOG_FILE, session->store.segment, closed);
	segment_path(HOST_LOG_FILE, session->store.segment + 1, next);
	snprintf(why, WHY_SIZE, "%.60s is closed, signed to record %" PRIu64 "; the log goes on in %.60s", closed,
		 session->store.signer.tree.count, next);
}

static int hold_session(const char *folder, const struct errand *errand, char *why)
{
	static LARGE_MEMORY struct session session;
	session = (struct session){.looks_at_all = errand->looks_after,
				   .own = errand->started != NULL ? errand->started->id : errand->ended};
	if (errand->started != NULL && runs_key_of(errand->first_line, errand->of_path, errand->started->key, why) != 0)
		return -1;
	int result = begin(&session, folder, why);
	if (result == 0 && errand->started != NULL)
		note_start(&session, errand);
	if (result == 0 && errand->refused != NULL)
		runs_refuse(&session, errand->refused, errand->reason);
	if (result == 0 && errand->reset != NULL)
		note_reset(&session, errand);
	if (result == 0 && errand->unfit != NULL)
		note_unfit(&session, errand);
	if (result == 0 && errand->use != NULL)
		note_use(&session, errand->use);
	if (result == 0 && errand->use == NULL && errand->unfit == NULL)
		runs_settle(&session);
	if (result == 0 && errand->rotate)
		host_store_rotate(&session.store);
	if (result == 0)
		result = finish(&session, why);
	if (result == 0 && errand->rotate)
		say_closed(&session, why);
	host_store_close(&session.store);
	close_descriptor(&session.running);
	return result;
}

/* In a child, whose message comes back through a pipe. */
static int hold_session_apart(const char *folder, const struct errand *errand, char *why)
{
	int pipe_ends[2], status = -1;
	if (pipe2(pipe_ends, O_CLOEXEC) != 0)
		return because(why, errno, "cannot write the host's log");
	pid_t child = fork();
	if (child == 0) {
		int result = hold_session(folder, errand, why);
		if (result != 0 || errand->rotate)
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
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		snprintf(why, errand->rotate ? WHY_SIZE : 0, "%s", text);
		return 0;
	}
	return because(why, 0, "%s", size > 0 ? text : "the process that writes the host's log was killed");
}

/* Everything but its key. */
static void run_of(const struct vm *vm, struct run *run)
{
	char file[sizeof(vm->log_path)];
	*run = (struct run){.vm = ""};
	snprintf(file, sizeof(file), "%s", vm->log_path);
	memcpy(run->id, vm->plan.run_id, sizeof(run->id));
	snprintf(run->vm, sizeof(run->vm), "%s", vm->plan.name);
	if (file[0] != 0)
		snprintf(run->log, sizeof(run->log), "%.*s", LOG_NAME_SIZE - 1, basename(file));
}

int host_log_announce(struct vm *vm, char *why)
{
	static LARGE_MEMORY struct session session; /* large, and most of it never touched */
	struct run run;
	session.folder = vm->host->folders.audit.text;
	run_of(vm, &run);
	session.running = host_store_marks(session.folder, false, why);
	if (session.running < 0)
		return -1;
	runs_hold(session.running, &run);
	vm->marks = session.running;
	return runs_mark(&session, &run, &vm->mark, why);
}

char *host_log_first_line(const struct vm *vm, char *why)
{
	return runs_first_line(vm->log_path, why);
}

int host_log_started_with(const struct vm *vm, const char *line, char *why)
{
	struct run run;
	const struct errand errand = {.started = &run,
				      .first_line = line,
				      .of_path = vm->log_path,
				      .policy = vm->policy,
				      .is_signed = vm->host->policies.require_signed.value == POLICY_ON};
	run_of(vm, &run);
	return hold_session_apart(vm->host->folders.audit.text, &errand, why);
}

int host_log_started(const struct vm *vm, char *why)
{
	char *line = host_log_first_line(vm, why);
	int result = line == NULL ? -1 : host_log_started_with(vm, line, why);
	free(line);
	return result;
}

int host_log_refused(const struct vm *vm, const char *reason, char *why)
{
	struct run run;
	const struct errand errand = {.refused = &run, .reason = reason};
	const struct timespec moment = {.tv_nsec = 5000000};
	bool is_over = vm->log_path[0] == 0;
	run_of(vm, &run);
	for (int i = 0; !is_over && i < SEAL_TRIES; i++) {
		is_over = runs_is_over(vm->log_path);
		if (!is_over)
			nanosleep(&moment, NULL);
	}
	if (!is_over)
		return because(why, 0, "the log of VM '%s' is being written: it was started", vm->plan.name);
	return hold_session_apart(vm->host->folders.audit.text, &errand, why);
}

int host_log_policy_refused(const struct host *host, const char *path, const char *reason, uint64_t mistakes, char *why)
{
	const struct errand errand = {.unfit = path, .reason = reason, .mistakes = mistakes};
	return hold_session_apart(host->folders.audit.text, &errand, why);
}

int host_log_ended(const struct vm *vm, char *why)
{
	return hold_session_apart(vm->host->folders.audit.text, &(struct errand){.ended = vm->plan.run_id}, why);
}

int host_log_settle(const struct host *host, char *why)
{
	return hold_session_apart(host->folders.audit.text, &(struct errand){.looks_after = true}, why);
}

int host_log_rotate(const struct host *host, char *why)
{
	return hold_session_apart(host->folders.audit.text, &(struct errand){.looks_after = true, .rotate = true}, why);
}

int host_log_use(const struct host *host, const struct log_use *use, char *why)
{
	return hold_session_apart(host->folders.audit.text, &(struct errand){.use = use}, why);
}

int host_log_reset(const struct host *host, const char *vm, uint64_t revision, char *why)
{
	const struct errand errand = {.reset = vm, .revision = revision};
	return hold_session_apart(host->folders.audit.text, &errand, why);
}

/* What one record says of the VM's revision. */
static void read_revision(const json_t *record, const char *vm, const char *signer, uint64_t *highest)
{
	const json_t *ours = json_object_get(json_object_get(record, "unmapped"), "cofferdam");
	const json_t *details = json_object_get(ours, "details");
	const char *code = json_string_value(json_object_get(json_object_get(record, "metadata"), "event_code"));
	const char *name = json_string_value(json_object_get(details, "vm"));
	const char *by = json_string_value(json_object_get(details, "signed_by"));
	json_int_t revision = json_integer_value(json_object_get(details, "revision"));
	if (code == NULL || name == NULL || strcmp(name, vm) != 0)
		return;
	if (strcmp(code, record_rules[AUDIT_REVISION_RESET].code) == 0)
		*highest = 0;
	else if (by != NULL && (signer == NULL || strcmp(by, signer) == 0) && revision > 0 &&
		 (uint64_t)revision > *highest)
		*highest = (uint64_t)revision;
}

/* One of the host log's files. False: it is not there. */
static bool read_revisions(const char *path, const char *vm, const char *signer, uint64_t *highest)
{
	static LARGE_MEMORY struct audit_log log;
	char why[WHY_SIZE];
	const char *line;
	size_t size;
	if (access(path, F_OK) != 0 || audit_log_open(&log, path, why) != 0)
		return false;
	while (audit_log_next(&log, &line, &size, why) > 0) {
		struct verify_line claim;
		if (line == NULL || memmem(line, size, "\"revision\"", 10) == NULL)
			continue;
		json_t *record = audit_log_read(line, size, &claim);
		read_revision(record, vm, signer, highest);
		json_decref(record);
	}
	audit_log_close(&log);
	return true;
}

/* The first files may have been taken away; from there on they are in a row. */
uint64_t host_log_revision(const struct host *host, const char *vm, const char *signer)
{
	char first[POLICY_PATH_SIZE + 16], path[SEGMENT_PATH_SIZE];
	uint64_t highest = 0;
	bool found = false;
	snprintf(first, sizeof(first), "%s/" HOST_LOG_FILE, host->folders.audit.text);
	for (unsigned segment = 1; segment <= SEGMENTS_MAX; segment++) {
		segment_path(first, segment, path);
		bool there = read_revisions(path, vm, signer, &highest);
		if (found && !there)
			break;
		found |= there;
	}
	return highest;
}

int host_log_key(const struct host *host, char key[static NOTE_KEY_TEXT_SIZE], char *why)
{
	char path[POLICY_PATH_SIZE + 16];
	if (host_log_settle(host, why) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/" HOST_LOG_FILE, host->folders.audit.text);
	return runs_first_key(path, key, why);
}
