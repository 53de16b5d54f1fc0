/* The host's log (of a user of his own, when he is not root): which runs there were, with the first key of each one's
 * log and what that was at its first signature, and where each log ended. Written by short-lived children,
 * which alone read the key: of a command, or of the host's auditor of a VM that runs (monitor/command/host_auditor.h);
 * there is no daemon. A log is locked by its writer for its life, so a run whose
 * log nobody locks is over: whoever comes next says in the host's log how it ended, sealed or not.
 */
#ifndef MONITOR_COMMAND_HOST_LOG_H
#define MONITOR_COMMAND_HOST_LOG_H

#include "monitor/command/vm.h"

/* The run's log is open: its first key and its first signature go into the host's log, on disk when this returns; what
   ended meanwhile is settled. 0, or -1 with why. */
int host_log_started(const struct vm *vm, char *why);
/* The same in two steps: a first line that was read before the guest ran is the log's, whoever has written to it since;
   what key it names is looked at later. For `free`, or NULL with why. 0, or -1 with why. */
char *host_log_first_line(const struct vm *vm, char *why);
int host_log_started_with(const struct vm *vm, const char *line, char *why);
/* The run's log is made, and nothing in it yet: notes it, so that it is not forgotten whatever becomes of the launcher.
   While vm->mark is open nobody else says in the host's log what became of it; while vm->marks is, nobody who starts or
   ends another VM looks. 0, or -1 with why. */
int host_log_announce(struct vm *vm, char *why);
/* The run was not started, and nothing of it runs. 0, or -1 with why. */
int host_log_refused(const struct vm *vm, const char *reason, char *why);
/* A policy that `run` did not take: why, and how many mistakes it has; nothing is settled. 0, or -1 with why. */
int host_log_policy_refused(const struct host *host, const char *path, const char *reason, uint64_t mistakes,
			    char *why);
/* The host's log goes on in another file. 0, and `why` says what was closed; or -1 with why. */
int host_log_rotate(const struct host *host, char *why);
/* The highest revision of a signed policy of this VM that the log has a run with since the last reset; `signer` NULL:
   whoever signed it. 0: none. Believes the log; that it is whole is for `cofferdam audit verify` to say. */
uint64_t host_log_revision(const struct host *host, const char *vm, const char *signer);
/* Hash of the policy of the last run of this VM that the host's log has begun. False: none is known. Believes a note in
   the folder of logs; the runs of the host's log themselves have the same. */
bool host_log_policy_before(const struct host *host, const char *vm, uint8_t hash[static 32]);
/* Somebody reads or verifies a log of this host. Strings are borrowed. */
struct log_use {
	const char *operation; /* the command's word; NULL: it verified, and `reason` is the verdict */
	const char *log;       /* the first one's name */
	const char *reason;    /* NULL: nothing to add */
	uint64_t logs;         /* how many there are; 1: no more than that */
	bool doubted;          /* the verdict contradicts the log */
};
/* Notes that, and settles nothing. 0, or -1 with why. */
int host_log_use(const struct host *host, const struct log_use *use, char *why);
/* Policies of this VM that are older than `revision` may run again: on disk when this returns. 0, or -1 with why. */
int host_log_reset(const struct host *host, const char *vm, uint64_t revision, char *why);
/* The command that the records of this process's sessions name, when it is not this process. What they say of the host
   is read now, and no file outside the folder of the logs later. */
void host_log_speak_for(pid_t command);
/* The VM has ended: says how, and how others did whose launcher could not. 0, or -1 with why. */
int host_log_ended(const struct vm *vm, char *why);
/* Says how every run ended that has, whoever holds what; waits for a session of somebody else's. 0, or -1 with why. */
int host_log_settle(const struct host *host, char *why);
/* Makes the log and its key where there is none, and writes the first public key, NUL-terminated. 0, or -1 with why. */
int host_log_key(const struct host *host, char key[static 97], char *why);

#endif
