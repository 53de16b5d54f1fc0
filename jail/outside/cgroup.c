/* The control group of a VM: `cofferdam/` and the name that it is given, with the policy's caps.
 *
 * v2 where it has the controller, else the controller's own v1 mount (a host can have both). A cap that cannot be set
 * (cgroup_caps.c) fails the start: none is left out in silence. Touches nothing outside `cofferdam` but the switch that
 * lets groups below the top have the controllers. Trusts the group's name to be one path component and checks that.
 */
#include "jail/outside/cgroup.h"

#include "jail/outside/outside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REMOVE_TRIES = 50 };
_Static_assert((int)CONTROLLERS == (int)CGROUP_TASKS_MAX, "one v1 group for each controller");

/* A group that was just emptied is busy for a moment. */
static int remove_group(const char *path)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; rmdir(path) != 0; i++) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || i == REMOVE_TRIES)
			return -1;
		nanosleep(&moment, NULL);
	}
	return 0;
}

/* mkdir PLACE/cofferdam/NAME. Returns the path to free, or NULL with errno. */
static char *make_group(const char *place, const char *name)
{
	char path[CGROUP_GROUP_SIZE];
	snprintf(path, sizeof(path), "%s/cofferdam", place);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return NULL;
	snprintf(path, sizeof(path), "%s/cofferdam/%s", place, name);
	if (mkdir(path, 0755) != 0 && (errno != EEXIST || remove_group(path) != 0 || mkdir(path, 0755) != 0))
		return NULL;
	char *copy = strdup(path);
	if (copy == NULL)
		rmdir(path);
	return copy;
}

/* Lets the children of a v2 group have the controllers; written only when one is missing, for it stops the machine's
   forks for some milliseconds. */
static int let_children_have(const char *group, const struct cgroup_places *places, const struct jail_caps *caps)
{
	char have[CGROUP_PATH_SIZE], text[64] = "";
	cgroup_read(group, "cgroup.subtree_control", have);
	for (int i = 0; i < CONTROLLERS; i++) {
		size_t used = strlen(text);
		if (places->in_unified[i] && cgroup_wants(caps, i) && !cgroup_list_has(have, controller_names[i]))
			snprintf(text + used, sizeof(text) - used, "%s+%s", used > 0 ? " " : "", controller_names[i]);
	}
	return text[0] == 0 ? 0 : cgroup_write(group, "cgroup.subtree_control", text);
}

static int open_unified(struct jail_cgroup *cgroup, const struct cgroup_places *places, const char *name,
			const struct jail_caps *caps)
{
	char parent[CGROUP_GROUP_SIZE];
	snprintf(parent, sizeof(parent), "%s/cofferdam", places->unified);
	if ((mkdir(parent, 0755) != 0 && errno != EEXIST) || let_children_have(places->unified, places, caps) != 0 ||
	    let_children_have(parent, places, caps) != 0)
		return -1;
	cgroup->paths[0] = make_group(places->unified, name);
	if (cgroup->paths[0] == NULL)
		return -1;
	for (int i = 0; i < CONTROLLERS; i++)
		if (places->in_unified[i] && cgroup_set(cgroup->paths[0], caps, i, true) != 0)
			return -1;
	cgroup->unified = open(cgroup->paths[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cgroup->unified >= 0 ? 0 : -1;
}

static int open_own_mount(struct jail_cgroup *cgroup, const char *place, const char *name, const struct jail_caps *caps,
			  enum controller controller)
{
	char tasks[CGROUP_GROUP_SIZE + 16], above[CGROUP_GROUP_SIZE];
	char *path = make_group(place, name);
	cgroup->paths[1 + controller] = path;
	snprintf(above, sizeof(above), "%s/cofferdam", place);
	if (path == NULL || (controller == CONTROLLER_CPUSET &&
			     (cgroup_inherit_cpuset(place, above) != 0 || cgroup_inherit_cpuset(above, path) != 0)))
		return -1;
	if (cgroup_set(path, caps, controller, false) != 0)
		return -1;
	snprintf(tasks, sizeof(tasks), "%s/tasks", path);
	cgroup->tasks[controller] = open(tasks, O_WRONLY | O_CLOEXEC);
	return cgroup->tasks[controller] >= 0 ? 0 : -1;
}

static bool name_is_one_component(const char *name)
{
	return name[0] != 0 && strlen(name) < JAIL_GROUP_SIZE && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

/* `name` NULL: no VM's in particular. */
static int explain(const char *place, const char *name, char why[static JAIL_WHY_SIZE])
{
	const char *remedy = "";
	if (errno == EBUSY)
		remedy = " (a VM of that name has processes left, or the cgroup above has some and may not pass "
			 "controllers on: start cofferdam in a group of its own)";
	else if (errno == EROFS)
		remedy =
		    " (the cgroup file system is mounted read-only: a container runtime does that; run outside it)";
	else if (errno == EACCES || errno == EPERM)
		remedy = " (the cgroup file system is not writable for this user)";
	else if (errno == ENODEV)
		remedy = " (limits: cpuset names a processor that this host or the cgroup above has not)";
	else if (errno == EOPNOTSUPP)
		remedy =
		    " (this kernel counts no swap, so what the guest has could grow past its memory into that: start "
		    "the kernel without swapaccount=0)";
	else if (errno == ENOENT)
		remedy = " (the kernel lacks that controller's file)";
	snprintf(why, JAIL_WHY_SIZE, "cannot make the control group %s/cofferdam%s%s with the VM's caps: %s%s", place,
		 name == NULL ? "" : "/", name == NULL ? "" : name, strerror(errno), remedy);
	return -1;
}

static int no_controller(enum controller controller, char why[static JAIL_WHY_SIZE])
{
	static const char *const caps[CONTROLLERS] = {"memory", "limits: tasks", "limits: cpu", "limits: cpuset"};
	snprintf(why, JAIL_WHY_SIZE, "the cap on %s cannot be had: no cgroup with the %s controller is writable here%s",
		 caps[controller], controller_names[controller],
		 geteuid() == 0 ? " (mount cgroup2)"
				: "; start it as: systemd-run --user --scope -p Delegate=yes cofferdam …, or have root "
				  "delegate a cgroup to you");
	return -1;
}

/* A v2 group that holds processes itself cannot pass controllers on; the top alone, which has no cgroup.type, can. */
static bool is_in_the_way(const struct cgroup_places *places, enum controller controller)
{
	char text[CGROUP_PATH_SIZE];
	cgroup_read(places->unified, "cgroup.subtree_control", text);
	if (cgroup_list_has(text, controller_names[controller]))
		return false;
	cgroup_read(places->unified, "cgroup.type", text);
	if (text[0] == 0)
		return false;
	cgroup_read(places->unified, "cgroup.procs", text);
	return text[0] != 0;
}

/* The top of a v2 tree has no caps: there only a group of ours shows it, when there has been one. */
static bool lacks_swap_cap(const char *place, bool unified)
{
	char ours[CGROUP_GROUP_SIZE];
	snprintf(ours, sizeof(ours), "%s/cofferdam", place);
	return cgroup_lacks_swap_cap(place, unified) || cgroup_lacks_swap_cap(ours, unified);
}

/* As for swap: an administrator may have given the group of all VMs less than the place has. */
static bool lacks_cpus(const char *place, bool unified, const char *cpus)
{
	char ours[CGROUP_GROUP_SIZE];
	snprintf(ours, sizeof(ours), "%s/cofferdam", place);
	return cgroup_lacks_cpus(place, unified, cpus) || cgroup_lacks_cpus(ours, unified, cpus);
}

/* 0, or the errno that a start would end with. */
static int obstacle(const struct cgroup_places *places, const struct jail_caps *caps, enum controller controller)
{
	bool unified = places->in_unified[controller];
	const char *place = unified ? places->unified : places->own_mount[controller];
	if (access(place, W_OK) != 0)
		return errno;
	if (unified && is_in_the_way(places, controller))
		return EBUSY;
	if (controller == CONTROLLER_CPUSET && lacks_cpus(place, unified, caps->cpus))
		return ENODEV;
	return controller == CONTROLLER_MEMORY && lacks_swap_cap(place, unified) ? EOPNOTSUPP : 0;
}

static int check(const struct cgroup_places *places, const struct jail_caps *caps, char why[static JAIL_WHY_SIZE])
{
	for (int i = 0; i < CONTROLLERS; i++) {
		const char *place = places->in_unified[i] ? places->unified : places->own_mount[i];
		if (!cgroup_wants(caps, i))
			continue;
		if (place[0] == 0)
			return no_controller(i, why);
		errno = obstacle(places, caps, i);
		if (errno != 0)
			return explain(place, NULL, why);
	}
	return 0;
}

int jail_cgroup_check(const struct jail_caps *caps, char why[static JAIL_WHY_SIZE])
{
	const struct cgroup_places *places = cgroup_places();
	if (check(places, caps, why) != 0)
		return -1;
	why[0] = 0;
	for (int i = 0; i < CONTROLLERS; i++) {
		size_t used = strlen(why);
		if (cgroup_wants(caps, i))
			snprintf(why + used, JAIL_WHY_SIZE - used, "%s%s: %s", used > 0 ? ", " : "",
				 controller_names[i], places->in_unified[i] ? "v2" : "v1");
	}
	return 0;
}

static int fill(struct jail_cgroup *cgroup, const char *name, const struct jail_caps *caps,
		char why[static JAIL_WHY_SIZE])
{
	const struct cgroup_places *places = cgroup_places();
	bool unified = false;
	if (check(places, caps, why) != 0)
		return -1;
	for (int i = 0; i < CONTROLLERS; i++)
		unified |= cgroup_wants(caps, i) && places->in_unified[i];
	if (unified && open_unified(cgroup, places, name, caps) != 0)
		return explain(places->unified, name, why);
	for (int i = 0; i < CONTROLLERS; i++)
		if (cgroup_wants(caps, i) && !places->in_unified[i] &&
		    open_own_mount(cgroup, places->own_mount[i], name, caps, i) != 0)
			return explain(places->own_mount[i], name, why);
	return 0;
}

struct jail_cgroup *jail_cgroup_create(const char *name, const struct jail_caps *caps, char why[static JAIL_WHY_SIZE])
{
	struct jail_cgroup *cgroup = name_is_one_component(name) ? calloc(1, sizeof(*cgroup)) : NULL;
	if (cgroup == NULL) {
		snprintf(why, JAIL_WHY_SIZE, "cannot make a control group named '%s'", name);
		return NULL;
	}
	cgroup->unified = -1;
	for (int i = 0; i < CGROUP_TASKS_MAX; i++)
		cgroup->tasks[i] = -1;
	if (fill(cgroup, name, caps, why) == 0)
		return cgroup;
	jail_cgroup_remove(cgroup);
	return NULL;
}

void jail_cgroup_remove(struct jail_cgroup *cgroup)
{
	if (cgroup == NULL)
		return;
	if (cgroup->unified >= 0)
		close(cgroup->unified);
	for (int i = 0; i < CGROUP_TASKS_MAX; i++)
		if (cgroup->tasks[i] >= 0)
			close(cgroup->tasks[i]);
	for (size_t i = 0; i < sizeof(cgroup->paths) / sizeof(cgroup->paths[0]); i++) {
		if (cgroup->paths[i] != NULL)
			remove_group(cgroup->paths[i]);
		free(cgroup->paths[i]);
	}
	free(cgroup);
}

bool jail_cgroup_collect(const char *name)
{
	const struct cgroup_places *places = cgroup_places();
	char path[CGROUP_GROUP_SIZE];
	bool gone = true;
	if (!name_is_one_component(name))
		return true; /* no VM can have it */
	for (int i = -1; i < CONTROLLERS; i++) {
		const char *place = i < 0 ? places->unified : places->own_mount[i];
		if (place[0] == 0)
			continue;
		snprintf(path, sizeof(path), "%s/cofferdam/%s", place, name);
		if (remove_group(path) != 0)
			gone = false;
	}
	return gone;
}

/* NAME.DEVICE-INODE, of a runtime folder (monitor/command/runtime.c); what else lies there is not a VM's. */
static bool is_of_a_vm(const char *group)
{
	static const char digits[] = "0123456789abcdef";
	const char *device = strrchr(group, '.');
	if (device == NULL || device == group)
		return false;
	const char *dash = device + 1 + strspn(device + 1, digits);
	return dash > device + 1 && *dash == '-' && dash[1] != 0 && dash[1 + strspn(dash + 1, digits)] == 0;
}

void jail_cgroup_each(void (*each)(const char *name, void *context), void *context)
{
	const struct cgroup_places *places = cgroup_places();
	char path[CGROUP_GROUP_SIZE];
	for (int i = -1; i < CONTROLLERS; i++) {
		const char *place = i < 0 ? places->unified : places->own_mount[i];
		snprintf(path, sizeof(path), "%s/cofferdam", place);
		DIR *folder = place[0] == 0 ? NULL : opendir(path);
		for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
			if (is_of_a_vm(entry->d_name))
				each(entry->d_name, context);
		if (folder != NULL)
			closedir(folder);
	}
}
