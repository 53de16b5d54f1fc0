/* Private to control.c and control_commands.c: one connection to one VM. */
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

#endif
