/* `cofferdam audit verify|show`: logs, read offline, on a copy, by whoever has the file. */
#ifndef MONITOR_COMMAND_AUDIT_H
#define MONITOR_COMMAND_AUDIT_H

/* argv[0] is "audit". Exit statuses: see its --help. */
struct host;
int command_audit(int argc, char **argv, const struct host *host);

#endif
