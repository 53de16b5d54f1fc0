/* Who reads or verifies a log of this host is in the host's log himself: one record a command, however many logs it
 * reads, before it reads them; a verdict after it was found. A copy elsewhere, and a log of another host or user, is
 * nobody's affair here: only what lies in this user's own folder of logs is noted, and nothing is made for that.
 */
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_SIZE = 512 };

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

/* Whether the folder has a host's log that is written here, and the file is named in it. */
static bool is_here(const char *path, const char *folder)
{
	struct stat ours, theirs;
	char parent[POLICY_PATH_SIZE];
	int length = (int)(name_of(path) - path);
	if (snprintf(parent, sizeof(parent), "%.*s", length, path) >= (int)sizeof(parent))
		return false;
	AUTO_CLOSE int logs = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return logs >= 0 && faccessat(logs, "host.key", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && fstat(logs, &ours) == 0 &&
	       stat(length == 0 ? "." : parent, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino;
}

static void note(const struct audit_options *options, const struct log_use *use)
{
	char why[WHY_SIZE];
	if (host_log_use(options->host, use, why) != 0)
		say("the host's log does not have that %s was %s: %s", use->log,
		    use->operation == NULL ? "verified" : "read", why);
}

void audit_note_read(const struct audit_options *options, const char *command, char **logs, size_t count)
{
	char names[NAMES_SIZE] = "";
	struct log_use use = {.operation = command};
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(names);
		if (!is_here(logs[i], options->host->folders.audit.text))
			continue;
		if (use.logs++ == 0)
			use.log = name_of(logs[i]);
		else
			snprintf(names + used, sizeof(names) - used, "%s%s", used == 0 ? "" : " ", name_of(logs[i]));
	}
	use.reason = names[0] == 0 ? NULL : names;
	if (use.logs > 0)
		note(options, &use);
}

void audit_note_verified(const struct audit_options *options, const char *log, size_t count, const char *verdict,
			 bool doubted)
{
	const char *at = log == NULL ? options->evidence.host_log : log;
	const struct log_use use = {.log = name_of(at), .reason = verdict, .logs = count, .doubted = doubted};
	if (is_here(at, options->host->folders.audit.text))
		note(options, &use);
}
