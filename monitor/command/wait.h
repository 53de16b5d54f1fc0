/* The launcher after the start: waits, hands control connections on, ends the VM, reaps every process. */
#ifndef MONITOR_COMMAND_WAIT_H
#define MONITOR_COMMAND_WAIT_H

#include "monitor/command/command.h"
#include "monitor/command/vm.h"

struct vm_end {
	uint32_t outcome;       /* enum outcome */
	uint32_t caps;          /* reached: a bit for each enum cap */
	uint32_t signals;       /* that asked for the end */
	uint64_t exit_register; /* for OUTCOME_EXIT */
	bool ran;               /* the vCPUs ran */
	char reason[WHY_SIZE];  /* why it failed, "" when it did not */
};

/* Waits until the supervisor has ended the VM and every process is reaped. `started` is called once when the vCPUs run.
 */
void vm_wait(struct vm *vm, struct vm_end *end, void (*started)(const struct vm *vm, void *context), void *context);

#endif
