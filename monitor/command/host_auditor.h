/* The host's auditor of a running VM: a child of the launcher that was forked while that had its capabilities, waits
 * for the VM's end, and alone can write the host's log for it. The launcher that waits beside it has none left, and the
 * host's key is a file that its uid does not own (monitor/command/host_store.h).
 *
 * It holds its channel and nothing else; of capabilities it keeps those to write what another uid owns. It answers each
 * question once, by what it knew before the guest ran; of a file system it sees the folder of the logs alone; of the
 * kernel it may ask what host_auditor_filter.c lists. It dies with its launcher, and keeps it from no end.
 */
#ifndef MONITOR_COMMAND_HOST_AUDITOR_H
#define MONITOR_COMMAND_HOST_AUDITOR_H

#include "monitor/command/vm.h"

/* The number of its channel: its only descriptor but three that lead nowhere. */
enum { HOST_AUDITOR_CHANNEL = 3 };
/* The time that it has to answer, which may wait for another's session. */
enum { HOST_AUDITOR_MS = 60000 };
/* The time that it then has to end by itself. */
enum { HOST_AUDITOR_END_MS = 10000 };

/* Forks it; vm->host_auditor is the channel to it. 0, or -1 with why. */
int host_auditor_start(struct vm *vm, char *why);
/* Before the guest is let go: as host_log_started, but does not wait for the answer, unless there is no host's auditor:
   then it is written here. 0, or -1 with why. */
int host_auditor_started(struct vm *vm, char *why);
/* The answer to a question that waits for one (vm->host_auditor_asked), if it is there within `ms`: of the time that it
   has, what is left. 0, or -1 with why. */
int host_auditor_answer(struct vm *vm, int ms, char *why);
/* As host_log_ended; on disk when this returns. 0, or -1 with why. */
int host_auditor_ended(struct vm *vm, char *why);
/* As host_log_refused. */
int host_auditor_refused(struct vm *vm, const char *reason, char *why);
/* It ends, or is ended after `ms` with what it was about to write, and has ended when this returns. A run's end that is
   not in the host's log then is for the next session to tell. */
void host_auditor_end(struct vm *vm, int ms);
/* host_auditor_filter.c: filters the system calls of the calling process and of what it makes, for good. 0, or -1 with
   why: they are not filtered. */
int host_auditor_filter(char *why);

#endif
