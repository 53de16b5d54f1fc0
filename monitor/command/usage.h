/* What earlier runs of a VM used, as their logs say: advice for who writes its caps, no more. */
#ifndef MONITOR_COMMAND_USAGE_H
#define MONITOR_COMMAND_USAGE_H

#include "policy/host.h"
#include "policy/lint.h"

enum { USAGE_RUNS_MAX = 50 /* the newest are looked at */ };

/* Reads the logs of the VM in the host's audit folder, those that may be read. usage->runs 0: there are none. Believes
   them; `cofferdam audit verify` is for those who doubt. */
void usage_read(const struct host *host, const char *vm, struct lint_usage *usage);

#endif
