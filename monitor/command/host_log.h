/* The host's log (of a user of his own, when he is not root): which runs there were, with the first key of each one's
 * log, and where each log ended. Written by short-lived children of the launcher, which alone read the key; there is no
 * daemon. A log is locked by its writer for its life, so a run whose log nobody locks is over: whoever comes next says
 * in the host's log how it ended, sealed or not.
 */
#ifndef MONITOR_COMMAND_HOST_LOG_H
#define MONITOR_COMMAND_HOST_LOG_H

#include "monitor/command/vm.h"

/* The run's log is open: its first key goes into the host's log, on disk when this returns; what ended meanwhile is
   settled. 0, or -1 with why. */
int host_log_started(const struct vm *vm, char *why);
/* Settles what has ended. `wait`: for a session of somebody else's. 0, or -1 with why. */
int host_log_settle(const struct host *host, char *why);
/* Makes the log and its key where there is none, and writes the first public key, NUL-terminated. 0, or -1 with why. */
int host_log_key(const struct host *host, char key[static 97], char *why);

#endif
