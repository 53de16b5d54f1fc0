/* Each layer of the jail holds by itself. In a running VM the layers mask one another: the filter refuses what nobody
 * else would have to. Here a process has one layer and no other, put on by the code of the jail; its own attempts must
 * then be refused, and succeed in the same place without it. Root only; see place.h, layer_steps.c.
 */
#include "tests/jail/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ATTEMPTS_MAX = 26, NAME_SIZE = 40 };

static const struct layer_case {
	const char *layer;
	struct place_step step;
	const char *const attempts[ATTEMPTS_MAX]; /* "class: name"; class "own": of layer_steps.c */
} cases[] = {
    {"user namespace",
     {.layer = layer_user_namespace},
     {"host: settimeofday", "host: clock_settime", "host: adjtimex", "host: reboot", "host: sethostname",
      "mounts: mount a tmpfs", "mounts: swapon", "files: mknod a device", "sockets: raw IPv4",
      "sockets: larger buffers on each descriptor"}},
    {"mount namespace", {.before = before_observed, .layer = layer_mount_namespace}, {"own: a mount that others see"}},
    {"pid namespace",
     {.layer = layer_pid_namespace},
     {"processes: kill another", "processes: tkill another", "processes: tgkill another", "processes: pidfd_open",
      "processes: ptrace attach", "processes: ptrace seize", "processes: read another's memory",
      "processes: write another's memory", "processes: another's priority", "processes: another's limits",
      "processes: another's session", "processes: signal every process"}},
    {"network namespace",
     {.layer = layer_network_namespace},
     {"sockets: connect to loopback by TCP", "sockets: connect to loopback by UDP",
      "sockets: connect to the metadata address by TCP", "sockets: connect to the metadata address by UDP",
      "sockets: connect to an abstract socket"}},
    {"ipc namespace",
     {.before = before_ipc, .layer = layer_ipc_namespace},
     {"own: another's shared memory", "own: another's semaphores", "own: another's message queue",
      "own: another's POSIX queue"}},
    {"uts namespace", {.before = before_observed, .layer = layer_uts_namespace}, {"own: a host name that others see"}},
    {"cgroup namespace",
     {.before = before_cgroup, .layer = layer_cgroup_namespace},
     {"own: the cgroup's place on the host"}},
    {"no user namespaces",
     {.before = layer_user_namespace, .layer = layer_no_user_namespaces},
     {"namespaces: unshare user", "own: clone into a user namespace"}},
    {"empty root",
     {.layer = layer_empty_root},
     {"files: open /etc/passwd",
      "files: open /etc/passwd to write",
      "files: open /proc/self/mem",
      "files: open /proc/self/maps",
      "files: open the own executable",
      "files: open /proc/sys/kernel/core_pattern",
      "files: open /sys/kernel",
      "files: open /sys/fs/cgroup",
      "files: open /dev/null",
      "files: creat /probe",
      "files: open a nameless file",
      "files: mkdir",
      "files: mknod a device",
      "files: mknod a socket",
      "files: symlink",
      "files: link",
      "files: rename",
      "files: unlink",
      "files: chmod /",
      "processes: open /proc/1/mem",
      "processes: open /proc/1/root",
      "namespaces: open /proc/1/ns/net",
      "terminal: open /dev/ptmx",
      "programs: execve"}},
    {"uid",
     {.layer = layer_ids, .after = without_capabilities},
     {"files: open /etc/passwd",
      "files: open /etc/passwd to write",
      "files: creat /probe",
      "files: mkdir",
      "files: symlink",
      "files: rename",
      "files: unlink",
      "files: rmdir",
      "files: truncate",
      "files: chmod /",
      "files: chown /",
      "processes: kill another",
      "processes: tgkill another",
      "processes: queue a signal to another",
      "identity: setuid",
      "identity: setgid",
      "identity: setreuid",
      "identity: setregid",
      "identity: setresuid",
      "identity: setresgid",
      "identity: setfsuid"}},
    {"no capabilities",
     {.layer = without_capabilities},
     {"mounts: mount a tmpfs",
      "mounts: bind-mount",
      "mounts: remount / writable",
      "mounts: pivot_root",
      "mounts: chroot",
      "mounts: fsopen",
      "mounts: open_tree",
      "mounts: swapon",
      "files: mknod a device",

      "namespaces: unshare mount",
      "namespaces: unshare pid",
      "namespaces: unshare network",
      "namespaces: enter by each descriptor",
      "sockets: raw IPv4",
      "sockets: larger buffers on each descriptor",
      "processes: ptrace attach",
      "host: settimeofday",
      "host: adjtimex",
      "host: reboot",
      "host: sethostname",
      "identity: setgroups",
      "identity: capset",
      "memory: memory at address 0",
      "limits: setpriority"}},
    {"bounding set", {.layer = layer_bounding_set, .after = without_capabilities}, {"own: capabilities by a program"}},
    {"keyring", {.before = before_key, .layer = layer_empty_keyring}, {"own: a key of who started it"}},
    {"no_new_privs",
     {.before = before_setuid_program, .layer = layer_without_new_privileges},
     {"own: root by a program"}},
    {"Landlock",
     {.layer = layer_no_files},
     {"files: open /",
      "files: open ../..",
      "files: open /etc/passwd",
      "files: open /etc/passwd to write",
      "files: openat /",
      "files: openat beneath each descriptor",
      "files: openat2 /",
      "files: creat /probe",
      "files: open a nameless file",
      "files: open /dev/null",
      "files: open /sys/kernel",
      "files: open the own executable",
      "files: mkdir",
      "files: mknod a device",
      "files: mknod a socket",
      "files: symlink",
      "files: link",
      "files: rename",
      "files: unlink",
      "files: rmdir",
      "mounts: mount a tmpfs",
      "mounts: pivot_root",
      "processes: ptrace attach",
      "programs: execve"}},
    {"Landlock 3", {.before = before_landlock_3, .layer = layer_no_files}, {"files: truncate"}},
    {"Landlock 4", {.before = before_landlock_4, .layer = layer_no_files}, {"sockets: connect to loopback by TCP"}},
    {"Landlock 6",
     {.before = before_landlock_6, .layer = layer_no_files},
     {"sockets: connect to an abstract socket", "processes: kill another", "processes: tkill another",
      "processes: tgkill another", "processes: queue a signal to another",
      "processes: queue a signal to another's thread", "processes: signal by each descriptor"}},
    {"limits",
     {.before = before_limits, .layer = layer_limits},
     {"tasks: fork", "tasks: vfork", "tasks: clone", "tasks: clone3", "tasks: a thread", "descriptors: dup",
      "descriptors: dup2 beyond the limit", "descriptors: dup3 beyond the limit", "descriptors: duplicate by fcntl",
      "memory: lock memory", "memory: memory file", "ipc: mq_open", "limits: raise core size",
      "limits: raise file size", "limits: raise stack size", "own: a file that grows"}},
    {"not dumpable",
     {.layer = layer_victim_not_dumpable, .without = victim_dumpable, .after = layer_ids},
     {"processes: ptrace attach", "processes: ptrace seize", "processes: read another's memory",
      "processes: write another's memory", "own: another's memory file", "own: another's descriptor"}},
    {"no writable code",
     {.layer = layer_no_writable_code},
     {"memory: writable and executable memory", "memory: make data executable", "memory: make data executable, by key",
      "memory: make code writable"}},
    {"memory files",
     {.layer = layer_memory_file, .without = plain_memory_file, .after = layer_ids},
     {"programs: execute guest memory"}},
    {"list of descriptors",
     {.layer = layer_descriptors},
     {"files: openat beneath each descriptor", "files: openat .. of each descriptor",
      "files: openat2 beneath each descriptor", "files: getdents64 of each descriptor",
      "files: fchdir to each descriptor", "namespaces: enter by each descriptor",
      "processes: signal by each descriptor", "processes: take a descriptor by each", "descriptors: ftruncate each",
      "descriptors: seal each", "descriptors: vmsplice into each", "terminal: type into each",
      "sockets: listen on each descriptor", "descriptors: descriptors it should not hold"}},
    {"no speculation", {.layer = layer_no_speculation}, {"own: speculation"}},
};

static unsigned failures;

static const char *text_of(int answer, char text[static NAME_SIZE])
{
	const char *name = answer > 0 && answer < PROBER_TRAPPED ? strerrorname_np(answer) : NULL;
	if (answer <= 0)
		return answer == 0 ? "succeeds" : answer == PLACE_BROKEN ? "its process was killed" : "lacking";
	snprintf(text, NAME_SIZE, "%s", answer == PROBER_TRAPPED ? "seccomp" : name != NULL ? name : "refused");
	return text;
}

static void wrong(const char *layer, const struct attempt *attempt, int without, int with)
{
	char text[2][NAME_SIZE];
	failures++;
	printf("FAILED %s: %s: %s: without: %s, with it alone: %s\n", layer, attempt->class, attempt->name,
	       text_of(without, text[0]), text_of(with, text[1]));
}

static const struct attempt *find(const char *name)
{
	const struct attempt *attempt = NULL;
	const char *colon = strstr(name, ": ");
	for (size_t i = 0; (attempt = strncmp(name, "own", 3) == 0 ? layer_attempt_at(i) : attempt_at(i)) != NULL; i++)
		if (strncmp(attempt->class, name, (size_t)(colon - name)) == 0 && strcmp(attempt->name, colon + 2) == 0)
			return attempt;
	printf("FAILED there is no attempt '%s'\n", name);
	failures++;
	return NULL;
}

/* How the refusals are called, each once. */
static void note(char words[static 128], int answer)
{
	char text[NAME_SIZE];
	const char *word = text_of(answer, text);
	if (strstr(words, word) == NULL && strlen(words) + strlen(word) + 2 < 128)
		strcat(strcat(words, words[0] != 0 ? ", " : ""), word);
}

static void try_case(const struct layer_case *one)
{
	char words[128] = "";
	unsigned count = 0;
	for (; count < ATTEMPTS_MAX && one->attempts[count] != NULL; count++) {
		const struct attempt *attempt = find(one->attempts[count]);
		if (attempt == NULL)
			continue;
		int free = place_attempt(attempt, &one->step, false), held = place_attempt(attempt, &one->step, true);
		if (held == PLACE_NO_LAYER) {
			printf("  skipped: the layer %s alone: not to be had here\n", one->layer);
			return;
		}
		if (free != 0 || held <= 0)
			wrong(one->layer, attempt, free, held);
		note(words, held);
	}
	printf("%-20s %2u: without succeed, with refused: %s\n", one->layer, count, words);
	fflush(stdout);
}

/* The filter alone refuses every attempt. */
static void try_filter(void)
{
	const struct place_step step = {.layer = layer_filter};
	const struct attempt *attempt;
	unsigned count = 0;
	for (size_t i = 0; (attempt = attempt_at(i)) != NULL; i++) {
		if (attempt->control != MUST)
			continue;
		int held = place_attempt(attempt, &step, true);
		if (held != PROBER_TRAPPED && strcmp(attempt->name, "descriptors it should not hold") != 0)
			wrong("filter", attempt, 0, held);
		count++;
	}
	printf("%-20s %2u: without succeed (jail-control), with refused: seccomp\n", "filter", count);
}

int main(int argc, char **argv)
{
	(void)argc;
	if (geteuid() != 0) {
		puts("  skipped: single layers: need root");
		return 0;
	}
	layers_open_program(argv[0]);
	place_make();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		try_case(&cases[i]);
	try_filter();
	printf("layers: each by itself; %u wrong\n", failures);
	return failures != 0;
}
