/* What the operator is told on standard error when a cap is reached and when the VM ends. */
#ifndef MONITOR_COMMAND_ENDING_H
#define MONITOR_COMMAND_ENDING_H

#include "monitor/command/vm.h"
#include "monitor/command/wait.h"

/* A line for a cap (enum cap) that the VM reached and lives on with, for now. `value`: what the cap was then, as a
   process of the VM has it. */
void ending_cap(const struct vm *vm, uint32_t cap, uint64_t value);

/* MESSAGE_LOG: the log cannot be written, or is again. */
void ending_log(struct vm_end *end, const struct message *message);
/* A line, when that is not what was said last. While the VM runs no more lines than a quota has, for the supervisor may
   have been taken over; false: that is why nothing was said, and what was said last is not so any more. */
bool ending_tell_log(const struct vm *vm, struct vm_end *end, bool at_end);
/* Where the policy lets the VM end with its log, that is why it ended. */
void ending_look_for_log(const struct vm *vm, struct vm_end *end);

/* Looks how often the kernel has held the VM to its caps. It counts without saying when, so the times are those of the
   looks around. True: it has, since the last look. */
bool ending_look(const struct vm *vm, struct vm_end *end);

/* A last look; then these caps go into the log, once each, with how often and when they were reached. A process that
   the kernel killed for want of memory ended unexpectedly; the cap is why, and goes into the end's reason. The
   processes must be reaped, the cgroup must still be there. */
void ending_look_for_caps(const struct vm *vm, struct vm_end *end);

/* Why the VM ended, without its name; "" when the guest just powered off. */
void ending_text(const struct vm *vm, const struct vm_end *end, char text[static WHY_SIZE]);

#endif
