/* Looks for what a VM left behind: control group, socket and lock files, mounts, network interfaces of this process's
 * namespace, a raw terminal, and beside the logs what is no log, nor what the host's log needs.
 * Processes are the caller's to wait for. Changes nothing but the terminal. */
#include "tests/jail/left.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* RUN.new, which becomes the mark of a run. Who was to name it so is dead, and a session of the host's log takes it
   away when it is a minute old. */
enum { NEXT_MARK_S = 2 * 60 };

static void slurp(const char *path, char text[static LEFT_TEXT])
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	for (ssize_t got; file >= 0 && (got = read(file, text + used, LEFT_TEXT - 1 - used)) > 0;)
		used += (size_t)got;
	text[used] = 0;
	if (file >= 0)
		close(file);
}

/* Names of the interfaces; counters would differ. */
static void interfaces(char text[static LEFT_TEXT])
{
	struct if_nameindex *all = if_nameindex();
	size_t used = 0;
	text[0] = 0;
	for (struct if_nameindex *each = all; each != NULL && each->if_name != NULL && used < LEFT_TEXT - 300; each++)
		used += (size_t)sprintf(text + used, "%s ", each->if_name);
	if (all != NULL)
		if_freenameindex(all);
}

void left_begin(struct left *left)
{
	tcgetattr(left->terminal, &left->before);
	slurp("/proc/self/mountinfo", left->mounts);
	interfaces(left->interfaces);
}

static void note(char *what, size_t size, const char *kind, const char *name)
{
	size_t used = strlen(what);
	snprintf(what + used, size - used, "%s%s %s", used > 0 ? ", " : "", kind, name);
}

static void find_files(const char *path, char *what, size_t size)
{
	DIR *folder = opendir(path);
	for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "slots") != 0)
			note(what, size, "file", entry->d_name);
	if (folder != NULL)
		closedir(folder);
}

static void find_cgroups_in(const struct left *left, const char *mount, const char *group, char *what, size_t size)
{
	char path[4096 + 256];
	size_t length = strlen(left->name);
	snprintf(path, sizeof(path), "%s/%s", mount, group);
	DIR *folder = opendir(path);
	for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
		if (strncmp(entry->d_name, left->name, length) == 0 &&
		    (entry->d_name[length] == 0 || entry->d_name[length] == '.'))
			note(what, size, "cgroup", entry->d_name);
	if (folder != NULL)
		closedir(folder);
}

/* The fifth word of a line of mountinfo is where it is mounted. */
static void find_cgroups(const struct left *left, char *what, size_t size)
{
	static char mounts[LEFT_TEXT];
	char *rest_of_file;
	memcpy(mounts, left->mounts, sizeof(mounts));
	for (char *line = strtok_r(mounts, "\n", &rest_of_file); line != NULL;
	     line = strtok_r(NULL, "\n", &rest_of_file)) {
		char point[4096];
		if (strstr(line, " - cgroup") == NULL || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
			continue;
		find_cgroups_in(left, point, "cofferdam", what, size);
		find_cgroups_in(left, point, "cofferdam-test-user/cofferdam", what, size); /* as-user's */
	}
}

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), wanted = strlen(end);
	return size >= wanted && strcmp(name + size - wanted, end) == 0;
}

static void find_marks(const struct left *left, char *what, size_t size)
{
	char path[4096 + 16];
	struct stat status;
	snprintf(path, sizeof(path), "%s/running", left->logs);
	DIR *folder = opendir(path);
	if (folder == NULL)
		note(what, size, "no folder", path);
	for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
		bool recent = ends_with(entry->d_name, ".new") &&
			      fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
			      status.st_mtime + NEXT_MARK_S > time(NULL);
		if (entry->d_name[0] != '.' && !recent)
			note(what, size, "mark", entry->d_name);
	}
	if (folder != NULL)
		closedir(folder);
}

static bool stays(const char *name)
{
	static const char *const kept[] = {".", "..", "host.key", "host.lock", "running", "policies"};
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (strcmp(name, kept[i]) == 0)
			return true;
	return ends_with(name, ".jsonl") || ends_with(name, ".console");
}

static void find_beside_logs(const struct left *left, char *what, size_t size)
{
	bool host_log = false;
	DIR *folder = opendir(left->logs);
	for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
		host_log |= strcmp(entry->d_name, "host.jsonl") == 0;
		if (!stays(entry->d_name))
			note(what, size, "beside the logs", entry->d_name);
	}
	if (!host_log)
		note(what, size, "no host's log in", left->logs);
	if (folder != NULL)
		closedir(folder);
	find_marks(left, what, size);
}

bool left_to_settle(const struct left *left)
{
	char what[1024] = "";
	find_beside_logs(left, what, sizeof(what));
	return what[0] != 0;
}

bool left_nothing(const struct left *left, char *what, size_t size)
{
	static char now[LEFT_TEXT];
	struct termios after;
	find_files(left->runtime, what, size);
	find_files(left->sockets, what, size);
	find_cgroups(left, what, size);
	find_beside_logs(left, what, size);
	slurp("/proc/self/mountinfo", now);
	if (strcmp(now, left->mounts) != 0)
		note(what, size, "mounts", "changed");
	interfaces(now);
	if (strcmp(now, left->interfaces) != 0)
		note(what, size, "interfaces", now);
	if (tcgetattr(left->terminal, &after) != 0 || after.c_iflag != left->before.c_iflag ||
	    after.c_oflag != left->before.c_oflag || after.c_lflag != left->before.c_lflag ||
	    memcmp(after.c_cc, left->before.c_cc, sizeof(after.c_cc)) != 0) {
		note(what, size, "terminal", "in another mode");
		tcsetattr(left->terminal, TCSANOW, &left->before);
	}
	return what[0] == 0;
}
