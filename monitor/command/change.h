/* What the launcher changes of a running VM. */
#ifndef MONITOR_COMMAND_CHANGE_H
#define MONITOR_COMMAND_CHANGE_H

#include "monitor/command/vm.h"

/* Does what MESSAGE_CHANGE says, and answers it. */
void vm_change(struct vm *vm, const struct message *message);

#endif
