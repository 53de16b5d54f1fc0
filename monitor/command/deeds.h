/* What the supervisor has allowed and recorded, and only the launcher can do: read the control group, open files, say
 * how the VM ended. The answer goes out on the caller's connection, of which no byte is ever read here.
 */
#ifndef MONITOR_COMMAND_DEEDS_H
#define MONITOR_COMMAND_DEEDS_H

#include "monitor/command/vm.h"

#include <jansson.h>

/* Does what MESSAGE_DEED says. `connection` stays the caller's to close. */
void deed_do(struct vm *vm, const struct message *message, int connection);

/* Before the record of the VM's end: what was refused and is in no record yet. */
void deeds_settle(const struct vm *vm);

/* The VM has ended and everything is tidied up: tells all who wait for it, `story` being borrowed, and lets them go. */
void deeds_tell_end(const json_t *story);

#endif
