/* Private to the host's log: one session, and the runs that it is about. */
#ifndef MONITOR_COMMAND_HOST_RUNS_H
#define MONITOR_COMMAND_HOST_RUNS_H

#include "monitor/command/host_store.h"

enum { RUN_DIGITS = 2 * NOTE_LOG_ID_SIZE, LOG_NAME_SIZE = 161, RUNS_AT_ONCE = 64 };

/* A run as its mark has it. */
struct run {
	uint8_t id[NOTE_LOG_ID_SIZE];
	char vm[PLAN_NAME_SIZE];
	char log[LOG_NAME_SIZE];
	char key[NOTE_KEY_TEXT_SIZE];
	bool is_held; /* it has no key, and its launcher has yet to say what becomes of it */
};

struct session {
	struct host_store store;
	const char *folder;
	int running;                             /* the marks' folder */
	const struct run *started;               /* whose start this session records; NULL: none */
	const uint8_t *own;                      /* id of the run that this session is about; NULL: of none */
	bool looks_at_all;                       /* at runs whose launcher lives as well */
	const uint8_t *policy;                   /* its policy's hash */
	char done[RUNS_AT_ONCE][RUN_DIGITS + 1]; /* marks to remove once the records are on disk */
	size_t done_count;
};

void view_set(struct audit_view *view, enum audit_field field, const void *bytes, size_t size);
void view_set_text(struct audit_view *view, enum audit_field field, const char *text);
/* The number is borrowed. */
void view_set_number(struct audit_view *view, enum audit_field field, const uint64_t *number);
void context_keep(struct record_string *string, const char *text);

/* Adds a record about this VM, and about the policy that the context has: the next is about neither. False when the
   batch is full. */
bool add_about(struct session *session, const struct audit_view *view, const char *vm);
/* Adds a record about the run. False when the batch is full. */
bool runs_add(struct session *session, struct audit_view *view, const struct run *run);
/* Notes that it runs, with its key if it has one, and is then on disk; a crash leaves the mark as it was. *held, unless
   that is NULL, is a descriptor of the mark: what no session settles while it is open, the mark having no key. 0, or -1
   with why. */
int runs_mark(const struct session *session, const struct run *run, int *held, char *why);
/* Holds the run's byte of the folder of marks, which this is, until it is closed: a session of another's leaves the run
   alone meanwhile. Where that cannot be had they look at it. */
void runs_hold(int marks, const struct run *run);
/* The first line of a log, for `free`, or NULL with why; the key that it names; both. 0, or -1 with why. */
char *runs_first_line(const char *path, char *why);
int runs_key_of(const char *line, const char *path, char key[static NOTE_KEY_TEXT_SIZE], char *why);
int runs_first_key(const char *path, char key[static NOTE_KEY_TEXT_SIZE], char *why);
/* Notes the policy that the run which this session has begun goes by, for host_log_policy_before. A note that cannot be
   made is gone, so that no run is told of a policy before the last. */
void runs_note_policy(const struct session *session);
/* Whether nobody writes to the log any more, whose first segment this is. */
bool runs_is_over(const char *path);
/* How every run ended that has; but for those whose launcher lives, of which it will tell itself, unless this session
   is about them or looks at all. */
void runs_settle(struct session *session);
/* A run that did not start. */
void runs_refuse(struct session *session, const struct run *run, const char *reason);

#endif
