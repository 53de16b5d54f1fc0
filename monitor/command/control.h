/* The client's side of the control sockets: `ps`, `inspect`, `stop`. */
#ifndef MONITOR_COMMAND_CONTROL_H
#define MONITOR_COMMAND_CONTROL_H

#include "monitor/command/command.h"

#include <jansson.h>
#include <sys/types.h>

/* Asks the VM `name` in the runtime folder. 0 with *answer, which the caller gives to json_decref; its "ok" is true.
   -1 with why: no such VM, no permission, no answer in time, or refused, with the supervisor's reason. `request` is
   borrowed. */
int control_request(const char *runtime_folder, const char *name, json_t *request, json_t **answer, char why[WHY_SIZE]);

/* argv[0] is the command's name. Exit statuses: see their --help. */
int command_ps(int argc, char **argv, const char *runtime_folder);
int command_inspect(int argc, char **argv, const char *runtime_folder);
int command_stop(int argc, char **argv, const char *runtime_folder);

#endif
