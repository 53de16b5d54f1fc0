/* The jails of one VM for `inspect`: what each process verified and reported at its lockdown, beside what the kernel
 * says of it now. */
#ifndef MONITOR_COMMAND_CONTROL_JAIL_H
#define MONITOR_COMMAND_CONTROL_JAIL_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* Adds to each entry of an answer's `processes` the list "jail": {"layer", "state", "detail"}, and "pid", taking
   "layers" and "absent" away. States: "verified", "missing" (this host has it not), "differs" (the kernel says
   otherwise), "in force" (the kernel alone says so). False when one differs. `launcher` 0: unknown, nothing of the
   kernel's. `group`: what the VM's control group is called, NULL: unknown, or there is none. */
bool jail_summarise(json_t *processes, pid_t launcher, const char *group);
/* Prints one entry. */
void jail_print(const json_t *process);

#endif
