/* Private to the control commands: their words, one connection to one VM, and how an answer is printed. */
#ifndef MONITOR_COMMAND_CONTROL_CLIENT_H
#define MONITOR_COMMAND_CONTROL_CLIENT_H

#include "monitor/command/control.h"
#include "policy/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct control_session {
	int descriptor;
	pid_t launcher; /* who listens: the `cofferdam run` of this VM; 0: unknown */
	int error;      /* errno of the connect that failed */
};

/* 0, or -1 with why. */
int control_connect(struct control_session *session, const char *folder, const char *name, char *why);
/* As control_request. */
int control_ask(struct control_session *session, json_t *request, json_t **answer, char *why);
void control_disconnect(struct control_session *session);

/* Calls `each` for every socket in the folder, by name. A folder that is not there has none. */
int control_each(const char *folder, void (*each)(const char *name, void *context), void *context, char *why);
bool control_is_there(const char *folder, const char *name);

int64_t control_now_ms(void);

/* ---- control_commands.c: words ---- */

struct control_options {
	bool json, no_wait;
	long grace_s; /* -1: the policy's */
	const char *name;
};
/* `accepted`: j (--json), g (--grace), n (--no-wait), N (a name follows). 0: go on; otherwise exit with *status. */
int control_parse(int argc, char **argv, const char *accepted, const char *help, struct control_options *options,
		  int *status);

/* ---- control_print.c: answers, which a taken-over supervisor may have written ---- */

/* Escaped, at least `width` wide. */
void control_print(const char *string, int width);
void control_print_json(const json_t *value);
void control_print_uptime(json_int_t ms, int width);
/* "?" or 0 where the answer has none. */
const char *control_string(const json_t *object, const char *key);
json_int_t control_number(const json_t *object, const char *key);

#endif
