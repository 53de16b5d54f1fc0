/* `cofferdam audit rotate`: a log goes on in another file, so that what was written so far can be copied whole. A
 * running VM's is asked for on its control socket, of an owner or auditor; the host's own is whoever's who owns its
 * folder.
 */
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"
#include "monitor/command/control_client.h"
#include "monitor/command/host_log.h"

#include <stdio.h>

enum { EXIT_NOT_DONE = 1 };

/* The names are a supervisor's word. */
static void print_rotated(const json_t *answer)
{
	control_print(control_string(answer, "closed"), 0);
	printf(" is closed, signed to record %" JSON_INTEGER_FORMAT "; the log goes on in ",
	       control_number(answer, "records"));
	control_print(control_string(answer, "next"), 0);
	putchar('\n');
}

static int rotate_vm(const char *name, const struct host *host)
{
	char why[WHY_SIZE];
	const struct control_folders folders = control_folders(host);
	struct control_session session;
	json_t *request = json_pack("{s:s}", "request", "rotate"), *answer = NULL;
	int result = control_connect(&session, &folders, name, why);
	bool there = result == 0 || control_is_there(&session, name);
	if (result == 0) {
		result = control_ask(&session, request, &answer, why);
		control_disconnect(&session);
	}
	if (result == 0)
		print_rotated(answer);
	json_decref(request);
	json_decref(answer);
	if (result == 0)
		return 0;
	say("%s%s", why, there ? "" : "; the log of a VM that has ended is never written again");
	return EXIT_NOT_DONE;
}

int audit_rotate(char **operands, const struct audit_options *options)
{
	char why[WHY_SIZE];
	if (operands[0] != NULL)
		return rotate_vm(operands[0], options->host);
	if (host_log_rotate(options->host, why) == 0) {
		puts(why);
		return 0;
	}
	say("%s", why);
	return EXIT_OURS;
}
