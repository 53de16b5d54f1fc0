/* The launcher's part of the audit log: what it knows at first hand. The supervisor sends the rest. */
#ifndef MONITOR_COMMAND_LOG_H
#define MONITOR_COMMAND_LOG_H

#include "monitor/audit/record.h"
#include "monitor/command/vm.h"
#include "monitor/command/wait.h"

#include <signal.h>

/* Log opened, policy loaded, each resource opened, plan made. Queued; log_intent_durable waits for the disk. */
int log_intent(const struct vm *vm, char *why);
/* Waits until all of log_intent is on disk. 0, or -1 with why. */
int log_intent_durable(const struct vm *vm, char *why);

/* For the log, if its auditor lives. */
void log_start_refused(const struct vm *vm, const char *reason);
void log_process_started(const struct vm *vm, const struct message *locked);
/* Whether a process that ended so broke its jail's rules, or faulted in trying. */
bool log_is_violation(const siginfo_t *info);
/* A process of vm->programs ended; a violation, and what the process reported of it, is recorded with it. */
void log_process_ended(const struct vm *vm, size_t index, const siginfo_t *info);
/* `count`: how many of that kind this record stands for. */
void log_rotation_failed(const struct vm *vm, const char *why, uint64_t count);
/* A cap that the kernel held the VM to; value in the cap's unit. */
void log_cap_reached(const struct vm *vm, uint32_t cap, uint64_t value, const struct vm_held *held);
/* Somebody changed a cap that the launcher keeps. The auditor takes CAP_LOG from this. `processors`: "", or which. */
void log_cap_changed(const struct vm *vm, uint32_t cap, uint64_t value, const char *processors);
void log_vm_ended(const struct vm *vm, const struct vm_end *end);

/* Whether the log, as far as it was written last, is still under its name. */
bool log_is_there(const struct vm *vm);

#endif
