/* What the operator is told on standard error when a cap is reached and when the VM ends. */
#ifndef MONITOR_COMMAND_ENDING_H
#define MONITOR_COMMAND_ENDING_H

#include "monitor/command/vm.h"
#include "monitor/command/wait.h"

/* A line for a cap (enum cap) that the VM reached and lives on with, for now. */
void ending_cap(const struct vm *vm, uint32_t cap);

/* A process that the kernel killed for want of memory ended unexpectedly; the cap is why. Puts that into the end's
   reason and into the log. The processes must be reaped, the cgroup must still be there. */
void ending_look_for_memory(const struct vm *vm, struct vm_end *end);

/* Why the VM ended, without its name; "" when the guest just powered off. */
void ending_text(const struct vm *vm, const struct vm_end *end, char text[static WHY_SIZE]);

#endif
