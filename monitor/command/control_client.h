/* Private to the control commands: their words, one connection to one VM, and how an answer is printed. */
#ifndef MONITOR_COMMAND_CONTROL_CLIENT_H
#define MONITOR_COMMAND_CONTROL_CLIENT_H

#include "monitor/command/control.h"
#include "policy/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct control_session {
	int descriptor;
	int file;           /* the socket's in its folder (O_PATH) */
	int given[2];       /* the descriptors that came with an answer, -1: none */
	pid_t launcher;     /* who listens: the `cofferdam run` of this VM; 0: unknown */
	int error;          /* errno of the connect that failed; EACCES as well where the VM refuses for want of a role,
			       ECONNRESET where it hung up before it answered */
	const char *folder; /* that the socket lies in; borrowed */
};

/* 0, or -1 with why. */
int control_connect(struct control_session *session, const struct control_folders *folders, const char *name,
		    char *why);
int control_connect_in(struct control_session *session, const char *folder, const char *name, char *why);
/* As control_request. For ever: until the VM has ended. */
int control_ask(struct control_session *session, const json_t *request, json_t **answer, char *why);
int control_ask_for_ever(struct control_session *session, const json_t *request, json_t **answer, char *why);
void control_disconnect(struct control_session *session);

/* Calls `each` for every socket, folder by folder, by name. A folder that is not there has none. */
int control_each(const struct control_folders *folders,
		 void (*each)(const char *folder, const char *name, void *context), void *context, char *why);
bool control_is_there(const struct control_session *session, const char *name);
/* Whether the socket that is connected to has been removed, whatever has its name now. */
bool control_is_gone(const struct control_session *session);

/* ---- control_print.c: answers, which a taken-over supervisor may have written ---- */

/* Escaped, at least `width` wide. */
void control_print(const char *string, int width);
/* A message on standard error: `what`, then an answer's text, escaped. */
void control_say(const char *what, const char *string);
void control_print_json(const json_t *value);
void control_print_uptime(json_int_t ms, int width);
/* "?" or 0 where the answer has none. */
const char *control_string(const json_t *object, const char *key);
json_int_t control_number(const json_t *object, const char *key);

#endif
