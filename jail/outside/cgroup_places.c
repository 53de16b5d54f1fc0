/* Where this host keeps its control groups: one v2 tree, v1 controllers on mounts of their own, or both.
 *
 * Trusts what the kernel says in /proc/self and nothing that a user could have put elsewhere. Root's groups lie at the
 * top of the mounts; an ordinary user's in the nearest ancestor of the own group that the user may write (systemd's
 * user manager delegates such a tree).
 */
#include "jail/outside/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const controller_names[CONTROLLERS] = {"memory", "pids", "cpu", "cpuset"};

static bool separated_has(const char *list, const char *name, const char *separators)
{
	size_t length = strlen(name);
	for (const char *at = list + strspn(list, separators); *at != 0; at += strspn(at, separators)) {
		size_t word = strcspn(at, separators);
		if (word == length && memcmp(at, name, length) == 0)
			return true;
		at += word;
	}
	return false;
}

bool cgroup_list_has(const char *list, const char *name)
{
	return separated_has(list, name, " \n");
}

void cgroup_read(const char *folder, const char *file, char text[static CGROUP_PATH_SIZE])
{
	char path[CGROUP_PATH_SIZE + 64];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	FILE *stream = fopen(path, "re");
	size_t size = stream != NULL ? fread(text, 1, CGROUP_PATH_SIZE - 1, stream) : 0;
	text[size] = 0;
	if (stream != NULL)
		fclose(stream);
}

/* "36 35 98:0 /root /mount/point options optional… - type source super-options"; \040 and the like in a path mean a
   place we don't want. */
static void take_mount(struct cgroup_places *places, char *line)
{
	char *dash = strstr(line, " - "), *rest = line, *point = NULL;
	if (dash == NULL)
		return;
	*dash = 0;
	for (int i = 0; i < 5; i++)
		point = strsep(&rest, " ");
	rest = dash + 3;
	const char *type = strsep(&rest, " ");
	strsep(&rest, " ");
	if (point == NULL || rest == NULL || strchr(point, '\\') != NULL || strlen(point) >= CGROUP_PATH_SIZE)
		return;
	if (strcmp(type, "cgroup2") == 0 && places->unified[0] == 0)
		snprintf(places->unified, CGROUP_PATH_SIZE, "%s", point);
	for (int i = 0; i < CONTROLLERS && strcmp(type, "cgroup") == 0; i++)
		if (separated_has(rest, controller_names[i], ",\n") && places->own_mount[i][0] == 0)
			snprintf(places->own_mount[i], CGROUP_PATH_SIZE, "%s", point);
}

/* The own group's path in the v2 tree, relative to its mount. */
static void own_group(char path[static CGROUP_PATH_SIZE])
{
	char line[CGROUP_PATH_SIZE + 16];
	FILE *stream = fopen("/proc/self/cgroup", "re");
	path[0] = 0;
	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL) {
		line[strcspn(line, "\n")] = 0;
		size_t length = strlen(line);
		if (strncmp(line, "0::", 3) == 0 && length - 3 < CGROUP_PATH_SIZE)
			memcpy(path, line + 3, length - 2);
	}
	if (stream != NULL)
		fclose(stream);
}

static bool may_write(const char *folder)
{
	char path[2 * CGROUP_PATH_SIZE + 16];
	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	return access(folder, W_OK) == 0 && access(path, W_OK) == 0;
}

/* The own group is not asked, though it may have been delegated: it has a process, this one, and so the kernel lets its
   children have no memory controller (EBUSY). To move this process into a child would not do: others may be in the
   group, such as the shell, and where they belong is their owner's business. The parent has been delegated as well
   wherever the delegation was meant to be used so: systemd's user manager, or a service's DelegateSubgroup=. */
static void find_delegated(struct cgroup_places *places)
{
	char own[CGROUP_PATH_SIZE], path[2 * CGROUP_PATH_SIZE];
	own_group(own);
	char *slash = strrchr(own, '/');
	while (slash != NULL && slash != own) {
		*slash = 0;
		snprintf(path, sizeof(path), "%s%s", places->unified, own);
		if (strlen(path) < CGROUP_PATH_SIZE && may_write(path)) {
			memcpy(places->unified, path, strlen(path) + 1);
			return;
		}
		slash = strrchr(own, '/');
	}
	places->unified[0] = 0;
}

static void find(struct cgroup_places *places)
{
	char controllers[CGROUP_PATH_SIZE], *line = NULL;
	size_t size = 0;
	FILE *stream = fopen("/proc/self/mountinfo", "re");
	while (stream != NULL && getline(&line, &size, stream) > 0)
		take_mount(places, line);
	free(line);
	if (stream != NULL)
		fclose(stream);
	if (geteuid() != 0) {
		find_delegated(places);
		memset(places->own_mount, 0, sizeof(places->own_mount));
	}
	cgroup_read(places->unified, "cgroup.controllers", controllers);
	for (int i = 0; i < CONTROLLERS; i++)
		places->in_unified[i] = cgroup_list_has(controllers, controller_names[i]);
}

const struct cgroup_places *cgroup_places(void)
{
	static struct cgroup_places places;
	static uid_t found_as = (uid_t)-1;
	if (geteuid() != found_as) {
		memset(&places, 0, sizeof(places));
		find(&places);
		found_as = geteuid();
	}
	return &places;
}
