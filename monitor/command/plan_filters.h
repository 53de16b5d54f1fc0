/* The part of `cofferdam plan` that shows system call filters. */
#ifndef MONITOR_COMMAND_PLAN_FILTERS_H
#define MONITOR_COMMAND_PLAN_FILTERS_H

#include "policy/plan.h"

#include <jansson.h>
#include <stdbool.h>

/* The filters of one process (ROLE_… plus a device's index), one object for each of its threads: thread, calls,
   instructions, sha256, rules. Empty, after a message, when they cannot be compiled. */
json_t *plan_filters_to_json(unsigned role, const struct plan *plan);

/* Prints a process with the members process, id and threads. */
void plan_filters_print(const json_t *process, bool with_rules);

#endif
