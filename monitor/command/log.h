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

/* The host's boot id; whether its clock is synchronised. */
bool host_boot_id(uint8_t id[static 16]);
enum record_clock host_clock(void);

void log_process_started(const struct vm *vm, const struct message *locked);
/* Whether a process that ended so broke its jail's rules, or faulted in trying. */
bool log_is_violation(const siginfo_t *info);
/* A process of vm->programs ended; a violation, and what the process reported of it, is recorded with it. */
void log_process_ended(const struct vm *vm, size_t index, const siginfo_t *info);
/* A cap that the launcher saw reached; value in the cap's unit. */
void log_cap_reached(const struct vm *vm, uint32_t cap, uint64_t value);
void log_vm_ended(const struct vm *vm, const struct vm_end *end);

#endif
