/* Puts the reports and the kernel's view together (monitor/command/control_jail.h).
 *
 * A report comes by the supervisor and is each process's own word from before it met the guest; /proc is the kernel's
 * and of now. Which process is which is read from its arguments, as the launcher gave them. Opens nothing but files
 * below /proc; prints nothing unescaped.
 */
#include "monitor/command/control_jail.h"

#include "jail/launch.h"
#include "jail/lockdown.h"
#include "monitor/audit/record.h"
#include "monitor/command/control_client.h"
#include "monitor/large.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_SIZE = 8192, DETAIL_SIZE = 512, LAYER_WIDTH = 16, STATE_WIDTH = 9 };

/* What the kernel says of one process, whose pid is 0 where it does not say. */
struct seen {
	pid_t pid, launcher;
	unsigned role;
	char status[FILE_SIZE], limits[FILE_SIZE];
};

static bool read_proc(pid_t pid, const char *name, char text[static FILE_SIZE])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	FILE *file = fopen(path, "re");
	size_t size = file == NULL ? 0 : fread(text, 1, FILE_SIZE - 1, file);
	text[size] = 0;
	if (file != NULL)
		fclose(file);
	return size > 0;
}

/* The value of "Key:\tvalue" of a status file; "" where there is none. */
static const char *status_of(const struct seen *seen, const char *key, char value[static DETAIL_SIZE])
{
	size_t length = strlen(key);
	value[0] = 0;
	for (const char *line = seen->status; *line != 0; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, key, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		line += strspn(line, " \t");
		snprintf(value, DETAIL_SIZE, "%.*s", (int)strcspn(line, "\n"), line);
		break;
	}
	for (size_t end = strlen(value); end > 0 && value[end - 1] == ' '; end--)
		value[end - 1] = 0;
	return value;
}

static unsigned role_of(pid_t pid)
{
	char words[FILE_SIZE] = "";
	if (!read_proc(pid, "cmdline", words))
		return 0;
	return (unsigned)strtoul(words + strlen(words) + 1, NULL, 10);
}

/* The launcher's child that has this role. */
static bool find(pid_t launcher, unsigned role, struct seen *seen)
{
	char value[DETAIL_SIZE];
	DIR *folder = launcher > 0 ? opendir("/proc") : NULL;
	*seen = (struct seen){.launcher = launcher, .role = role};
	for (const struct dirent *entry; folder != NULL && seen->pid == 0 && (entry = readdir(folder)) != NULL;) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
		if (pid > 0 && read_proc(pid, "status", seen->status) &&
		    strtol(status_of(seen, "PPid", value), NULL, 10) == launcher && role_of(pid) == role)
			seen->pid = pid;
	}
	if (folder != NULL)
		closedir(folder);
	if (seen->pid != 0 && !read_proc(seen->pid, "limits", seen->limits))
		seen->pid = 0; /* it has ended since: nothing contradicts what it reported */
	return seen->pid != 0;
}

/* ---- one layer: what to say of it, and whether the kernel agrees ---- */

static const char not_shown[] = "not shown by the kernel to this user";

/* False: who asks may not know. */
static bool namespace_of(pid_t pid, const char *kind, char text[static DETAIL_SIZE])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	ssize_t size = readlink(path, text, DETAIL_SIZE - 1);
	text[size > 0 ? size : 0] = 0;
	return size > 0;
}

/* The launcher's are the host's, or what the operator started it in. The auditor outlives the VM's pid namespace. */
static bool see_namespaces(const struct seen *seen, char *detail)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
	char theirs[DETAIL_SIZE], launchers[DETAIL_SIZE], shared[64] = "";
	unsigned apart = 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t used = strlen(shared);
		if (!namespace_of(seen->pid, kinds[i], theirs) || !namespace_of(seen->launcher, kinds[i], launchers)) {
			snprintf(detail, DETAIL_SIZE, "%s", not_shown);
			return true;
		}
		if (strcmp(theirs, launchers) != 0)
			apart++;
		else if (seen->role != ROLE_AUDITOR || strcmp(kinds[i], "pid") != 0)
			snprintf(shared + used, sizeof(shared) - used, " %s", kinds[i]);
	}
	snprintf(detail, DETAIL_SIZE, "%u apart from the launcher's%s%s", apart, shared[0] != 0 ? ", not:" : "",
		 shared);
	return shared[0] == 0;
}

/* One mount, which nothing can be written to nor executed from. */
static bool see_root(const struct seen *seen, char *detail)
{
	static const char wanted[] = "ro,nosuid,nodev,noexec";
	char text[FILE_SIZE], point[64] = "", options[128] = "";
	if (!read_proc(seen->pid, "mountinfo", text)) {
		snprintf(detail, DETAIL_SIZE, "%s", not_shown);
		return true;
	}
	bool one = strchr(text, '\n') == text + strlen(text) - 1;
	sscanf(text, "%*s %*s %*s %*s %63s %127s", point, options);
	snprintf(detail, DETAIL_SIZE, "%s: %s", one ? "one mount" : "several mounts", options);
	return one && strcmp(point, "/") == 0 && strncmp(options, wanted, strlen(wanted)) == 0;
}

/* Root's is nobody's here, whoever started the VM. */
static bool see_ids(const struct seen *seen, char *detail)
{
	char uid[DETAIL_SIZE], gid[DETAIL_SIZE], groups[DETAIL_SIZE];
	unsigned long ids[8];
	status_of(seen, "Uid", uid);
	status_of(seen, "Gid", gid);
	status_of(seen, "Groups", groups);
	int found = sscanf(uid, "%lu %lu %lu %lu", &ids[0], &ids[1], &ids[2], &ids[3]) +
		    sscanf(gid, "%lu %lu %lu %lu", &ids[4], &ids[5], &ids[6], &ids[7]);
	if (found != 8)
		return false;
	snprintf(detail, DETAIL_SIZE, "uid %lu, gid %lu, groups: %.200s", ids[0], ids[4],
		 groups[0] != 0 ? groups : "none");
	for (int i = 1; i < 8; i++)
		if (ids[i] != ids[i < 4 ? 0 : 4])
			return false;
	return ids[0] != 0;
}

static bool see_capabilities(const struct seen *seen, char *detail)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	unsigned long long all = 0;
	char value[DETAIL_SIZE];
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		all |= strtoull(status_of(seen, sets[i], value), NULL, 16);
	snprintf(detail, DETAIL_SIZE, all == 0 ? "none in any of five sets" : "%llx", all);
	return all == 0;
}

static bool see_no_new_privs(const struct seen *seen, char *detail)
{
	char value[DETAIL_SIZE];
	bool set = strcmp(status_of(seen, "NoNewPrivs", value), "1") == 0;
	snprintf(detail, DETAIL_SIZE, "%s", set ? "set" : "not set");
	return set;
}

static bool see_seccomp(const struct seen *seen, char *detail)
{
	char mode[DETAIL_SIZE], filters[DETAIL_SIZE];
	status_of(seen, "Seccomp_filters", filters); /* since Linux 5.9 */
	snprintf(detail, DETAIL_SIZE, "%.16s in force", filters);
	return strcmp(status_of(seen, "Seccomp", mode), "2") == 0;
}

static bool see_rlimits(const struct seen *seen, char *detail)
{
	static const struct {
		const char *key, *name;
	} limits[] = {{"Max open files", "files"},
		      {"Max processes", "tasks"},
		      {"Max file size", "file size"},
		      {"Max core file size", "core"},
		      {"Max locked memory", "locked memory"},
		      {"Max stack size", "stack"}};
	size_t used = 0;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const char *line = strstr(seen->limits, limits[i].key);
		char soft[24] = "?", hard[24] = "?";
		if (line == NULL || sscanf(line + strlen(limits[i].key), "%23s %23s", soft, hard) != 2 ||
		    strcmp(soft, hard) != 0)
			return false;
		used += (size_t)snprintf(detail + used, DETAIL_SIZE - used, "%s%s %s", i > 0 ? ", " : "",
					 limits[i].name, hard);
	}
	return true;
}

static const struct {
	enum lockdown_layer layer;
	bool (*see)(const struct seen *seen, char *detail);
} views[] = {{LAYER_NAMESPACES, see_namespaces},
	     {LAYER_ROOT, see_root},
	     {LAYER_IDS, see_ids},
	     {LAYER_CAPABILITIES, see_capabilities},
	     {LAYER_NO_NEW_PRIVS, see_no_new_privs},
	     {LAYER_SECCOMP, see_seccomp},
	     {LAYER_RLIMITS, see_rlimits}};

/* What the process itself measured. */
static void add_measures(const json_t *process, enum lockdown_layer layer, char *detail)
{
	size_t used = strlen(detail);
	const json_t *vcpu = json_object_get(process, "filter_vcpu");
	if (layer == LAYER_LANDLOCK)
		snprintf(detail, DETAIL_SIZE, "version %" JSON_INTEGER_FORMAT, control_number(process, "landlock"));
	else if (layer == LAYER_SECCOMP)
		snprintf(detail + used, DETAIL_SIZE - used, "%smain %" JSON_INTEGER_FORMAT " instructions",
			 used > 0 ? ", " : "", control_number(process, "filter_main"));
	used = strlen(detail);
	if (layer == LAYER_SECCOMP && vcpu != NULL)
		snprintf(detail + used, DETAIL_SIZE - used, ", vcpu %" JSON_INTEGER_FORMAT, json_integer_value(vcpu));
}

static void add(json_t *jail, const char *layer, const char *state, const char *detail)
{
	json_array_append_new(jail, json_pack("{s:s, s:s, s:s}", "layer", layer, "state", state, "detail", detail));
}

static bool add_layer(json_t *jail, const json_t *process, unsigned bit, const struct seen *seen)
{
	char detail[DETAIL_SIZE] = "";
	bool agrees = true;
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]) && seen->pid > 0; i++)
		if (views[i].layer == (enum lockdown_layer)(1 << bit))
			agrees = views[i].see(seen, detail);
	add_measures(process, (enum lockdown_layer)(1 << bit), detail);
	add(jail, record_layer(bit), agrees ? "verified" : "differs", detail);
	return agrees;
}

/* Each of the places, as jail_cgroup_of has them. */
static bool are_in_group(const char *places, const char *group)
{
	const size_t length = strlen(group);
	for (const char *place = places, *next; place != NULL; place = next == NULL ? NULL : next + 2) {
		next = strstr(place, ", ");
		size_t size = next == NULL ? strlen(place) : (size_t)(next - place);
		if (size <= length || place[size - length - 1] != '/' ||
		    memcmp(place + size - length, group, length) != 0)
			return false;
	}
	return true;
}

/* The launcher says what the VM's group is called; NULL: nothing, for there may be none where the policy says so. */
static bool add_cgroup(json_t *jail, const struct seen *seen, const char *group)
{
	char detail[JAIL_CGROUP_TEXT_SIZE], limits[FILE_SIZE];
	jail_cgroup_of(seen->pid, detail);
	bool has_ended = !read_proc(seen->pid, "limits", limits); /* since: it contradicts nothing */
	bool agrees = group == NULL || are_in_group(detail, group) || has_ended;
	add(jail, "cgroup",
	    !agrees          ? "differs"
	    : detail[0] != 0 ? "in force"
			     : "missing",
	    detail[0] != 0 ? detail : "none of the VM's own");
	return agrees;
}

static bool summarise(json_t *process, const struct seen *seen, const char *group)
{
	uint64_t layers = (uint64_t)control_number(process, "layers"),
		 absent = (uint64_t)control_number(process, "absent");
	json_t *jail = json_array();
	bool agrees = true;
	for (unsigned bit = 0; record_layer(bit) != NULL; bit++) {
		if ((layers >> bit & 1) != 0)
			agrees = add_layer(jail, process, bit, seen) && agrees;
		else if ((absent >> bit & 1) != 0)
			add(jail, record_layer(bit), "missing", "not offered by this host");
	}
	if (seen->pid > 0) {
		json_object_set_new(process, "pid", json_integer(seen->pid));
		agrees = add_cgroup(jail, seen, group) && agrees;
	}
	json_object_del(process, "layers");
	json_object_del(process, "absent");
	json_object_set_new(process, "jail", jail);
	return agrees;
}

bool jail_summarise(json_t *processes, pid_t launcher, const char *group)
{
	static LARGE_MEMORY struct seen seen;
	unsigned device = ROLE_DEVICE;
	bool agrees = true;
	size_t index;
	json_t *process;
	json_array_foreach(processes, index, process)
	{
		const char *name = control_string(process, "process");
		unsigned role = strcmp(name, "auditor") == 0      ? ROLE_AUDITOR
				: strcmp(name, "supervisor") == 0 ? ROLE_SUPERVISOR
				: strcmp(name, "monitor") == 0    ? ROLE_MONITOR
								  : device++;
		find(launcher, role, &seen);
		if (json_is_true(json_object_get(process, "locked")))
			agrees = summarise(process, &seen, group) && agrees;
	}
	return agrees;
}

void jail_print(const json_t *process)
{
	size_t index;
	const json_t *layer;
	printf("  ");
	control_print(control_string(process, "process"), 0);
	if (json_object_get(process, "device") != NULL) {
		printf(" ");
		control_print(control_string(process, "device"), 0);
	}
	if (json_object_get(process, "pid") != NULL)
		printf(" (pid %" JSON_INTEGER_FORMAT ")", control_number(process, "pid"));
	printf(json_is_true(json_object_get(process, "locked")) ? "\n" : ": not yet locked\n");
	json_array_foreach(json_object_get(process, "jail"), index, layer)
	{
		printf("    ");
		control_print(control_string(layer, "layer"), LAYER_WIDTH);
		const char *detail = control_string(layer, "detail");
		control_print(control_string(layer, "state"), detail[0] != 0 ? STATE_WIDTH : 0);
		control_print(detail, 0);
		putchar('\n');
	}
}
