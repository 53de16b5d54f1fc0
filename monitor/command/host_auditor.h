/* The host's auditor of a running VM: a child of the launcher that was forked while that had its capabilities, waits
 * for the VM's end, and alone can write the host's log for it. The launcher that waits beside it has none left, and the
 * host's key is a file that its uid does not own (monitor/command/host_store.h).
 *
 * It holds its channel and nothing else; of capabilities it keeps those to write what another uid owns. It answers each
 * question once, by what it knew before the VM's processes were started. It dies with its launcher.
 */
#ifndef MONITOR_COMMAND_HOST_AUDITOR_H
#define MONITOR_COMMAND_HOST_AUDITOR_H

#include "monitor/command/vm.h"

/* Forks it; vm->host_auditor is the channel to it. 0, or -1 with why. */
int host_auditor_start(struct vm *vm, char *why);
/* As host_log_started, host_log_settle and host_log_refused; without a host's auditor they do it themselves. Each waits
   for its answer. 0, or -1 with why. */
int host_auditor_started(const struct vm *vm, char *why);
int host_auditor_ended(const struct vm *vm, char *why);
int host_auditor_refused(const struct vm *vm, const char *reason, char *why);
/* It ends, and has ended when this returns. */
void host_auditor_end(struct vm *vm);

#endif
