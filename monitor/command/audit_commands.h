/* The subcommands of `cofferdam audit`, each given its operands, with NULL after the last; they return exit statuses.
 */
#ifndef MONITOR_COMMAND_AUDIT_COMMANDS_H
#define MONITOR_COMMAND_AUDIT_COMMANDS_H

#include "monitor/command/audit_evidence.h"
#include "policy/host.h"

/* Which records `show` shows: those that every part lets through. */
struct audit_filter {
	const char *vm, *user, *event; /* NULL: any */
	long class_uid;                /* 0: any */
	uint64_t since_ms, until_ms;
};
#define AUDIT_FILTER_NONE                                                                                              \
	{                                                                                                              \
		.until_ms = UINT64_MAX                                                                                 \
	}

struct audit_options {
	struct audit_evidence evidence;
	struct audit_filter filter;
	const struct host *host;
	const char *to, *form, *cursor; /* of `forward`; NULL: not given */
	bool json;
};

/* Takes --vm and its like by their letter. False, said, when the argument is no such thing. */
bool audit_filter_take(struct audit_filter *filter, int letter, const char *argument);
bool audit_filter_passes(const struct audit_filter *filter, const json_t *record);

/* That logs are read by this command, or were verified, goes into this host's log where they are its own, and on
   standard error where it cannot: neither is a reason not to read them. */
void audit_note_read(const struct audit_options *options, const char *command, char **logs, size_t count);
/* `verdict`: in words. `log`: NULL, those of all runs, `count` of them. */
void audit_note_verified(const struct audit_options *options, const char *log, size_t count, const char *verdict,
			 bool doubted);

int audit_verify(char **operands, const struct audit_options *options);
int audit_show(char **operands, const struct audit_options *options);
int audit_report(char **operands, const struct audit_options *options);
int audit_forward(char **operands, const struct audit_options *options);
int audit_rotate(char **operands, const struct audit_options *options);
int audit_anchor(char **operands, const struct audit_options *options);
int audit_prove(char **operands, const struct audit_options *options);
int audit_keygen(char **operands, const struct audit_options *options);
int audit_settle(char **operands, const struct audit_options *options);
int audit_check_proof(char **operands, const struct audit_options *options);

#endif
