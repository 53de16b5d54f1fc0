/* The client's side of the control sockets: `ps`, `inspect`, `stop` and their like. */
#ifndef MONITOR_COMMAND_CONTROL_H
#define MONITOR_COMMAND_CONTROL_H

#include "monitor/command/command.h"

#include <jansson.h>
#include <sys/types.h>

struct control_folders {
	const char *path[2];     /* where VMs are looked for, in this order; NULL: no more */
	const char *audit;       /* and the logs of those that ended */
	const struct host *host; /* whose folders they are */
};
/* The host's runtime folder; for an ordinary user, in which of root's VMs he may have a role, root's too unless the
   host file says that all have the same. */
struct control_folders control_folders(const struct host *host);

/* Asks the VM `name`. 0 with *answer, which the caller gives to json_decref; its "ok" is true.
   -1 with why: no such VM, no permission, no answer in time, or refused, with the supervisor's reason. `request` is
   borrowed. */
int control_request(const struct control_folders *folders, const char *name, const json_t *request, json_t **answer,
		    char why[WHY_SIZE]);

/* argv[0] is the command's name. Exit statuses: see their --help. */
int command_ps(int argc, char **argv, const struct control_folders *folders);
int command_inspect(int argc, char **argv, const struct control_folders *folders);
int command_stop(int argc, char **argv, const struct control_folders *folders);
int command_kill(int argc, char **argv, const struct control_folders *folders);
int command_console(int argc, char **argv, const struct control_folders *folders);
int command_start(int argc, char **argv, const struct control_folders *folders);
int command_pause(int argc, char **argv, const struct control_folders *folders);
int command_resume(int argc, char **argv, const struct control_folders *folders);
int command_stats(int argc, char **argv, const struct control_folders *folders);
int command_logs(int argc, char **argv, const struct control_folders *folders);
int command_wait(int argc, char **argv, const struct control_folders *folders);
int command_set(int argc, char **argv, const struct control_folders *folders);

#endif
