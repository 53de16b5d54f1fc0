/* The id maps of a VM's user namespace: ids 0 to ROLE_IDS - 1 inside are `first` and following outside.
 *
 * As root the launcher writes them; an ordinary user's are written by newuidmap and newgidmap, which check them against
 * /etc/subuid and /etc/subgid; with a single id it is the
 * caller's own. Never maps an id that the caller was not given.
 */
#include "jail/outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_file(pid_t pid, const char *file, const char *text)
{
	char path[64];
	ssize_t size = (ssize_t)strlen(text);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	int descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (descriptor < 0)
		return -1;
	ssize_t done = write(descriptor, text, (size_t)size);
	int error = errno;
	close(descriptor);
	errno = error;
	return done == size ? 0 : -1;
}

static int write_map(pid_t pid, const char *file, uid_t inside, uid_t first, unsigned count)
{
	char map[48];
	snprintf(map, sizeof(map), "%u %u %u\n", (unsigned)inside, (unsigned)first, count);
	return write_file(pid, file, map);
}

/* The kernel lets everyone map the own ids, once setgroups is off the table for good. */
static int maps_single(pid_t pid)
{
	return write_file(pid, "setgroups", "deny") != 0 || write_map(pid, "uid_map", SINGLE_ID, geteuid(), 1) != 0
		   ? -1
		   : write_map(pid, "gid_map", SINGLE_ID, getegid(), 1);
}

static int spawn_helper(const char *const paths[2], pid_t pid, uid_t first, pid_t *helper)
{
	char pid_text[16], first_text[16], count_text[16];
	char zero[] = "0", empty[] = "PATH=/usr/bin:/bin";
	snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	snprintf(first_text, sizeof(first_text), "%u", (unsigned)first);
	snprintf(count_text, sizeof(count_text), "%u", (unsigned)ROLE_IDS);
	char *const environment[] = {empty, NULL};
	int error = ENOENT;
	for (int i = 0; i < 2 && error == ENOENT; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%s", paths[i]);
		char *const arguments[] = {name, pid_text, zero, first_text, count_text, NULL};
		error = posix_spawn(helper, paths[i], NULL, NULL, arguments, environment);
	}
	return error;
}

static int helper_done(pid_t helper)
{
	int status;
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* Both run at the same time: they take a few milliseconds each. */
static int maps_by_helpers(uid_t first, pid_t pid, char why[static JAIL_WHY_SIZE])
{
	static const char *const names[2][2] = {{"/usr/bin/newuidmap", "/bin/newuidmap"},
						{"/usr/bin/newgidmap", "/bin/newgidmap"}};
	static const char *const files[2] = {"/etc/subuid", "/etc/subgid"};
	pid_t helpers[2];
	int errors[2], result = 0;
	for (int i = 0; i < 2; i++)
		errors[i] = spawn_helper(names[i], pid, first, &helpers[i]);
	for (int i = 1; i >= 0; i--) { /* the first one's message stays */
		if (errors[i] != 0) {
			snprintf(why, JAIL_WHY_SIZE,
				 "cannot run %s: %s (install the package that has it, uidmap on Debian)", names[i][0],
				 strerror(errors[i]));
			result = -1;
		} else if (helper_done(helpers[i]) != 0) {
			snprintf(
			    why, JAIL_WHY_SIZE,
			    "%s refused ids %u to %u (the user needs a range of at least %u ids in %s that holds them)",
			    names[i][0], (unsigned)first, (unsigned)first + ROLE_IDS - 1, (unsigned)ROLE_IDS, files[i]);
			result = -1;
		}
	}
	return result;
}

int maps_write(const struct jail_ids *ids, pid_t pid, char why[static JAIL_WHY_SIZE])
{
	if (ids->by_helper)
		return maps_by_helpers(ids->first, pid, why);
	if (ids->single && maps_single(pid) == 0)
		return 0;
	if (ids->single || write_map(pid, "uid_map", 0, ids->first, ROLE_IDS) != 0 ||
	    write_map(pid, "gid_map", 0, ids->first, ROLE_IDS) != 0)
		return step_why(STEP_ID_MAPS, errno, NULL, why);
	return 0;
}
