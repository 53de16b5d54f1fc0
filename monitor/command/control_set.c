/* `cofferdam set`: a cap of a running VM, lowered, or raised again to the policy's value. */
#include "monitor/command/control_client.h"
#include "monitor/protocol.h"
#include "policy/describe.h"
#include "policy/schema.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 1, BITS = 8 };

static const char help[] =
    "Usage: cofferdam set NAME KEY=VALUE\n"
    "\n"
    "Changes a cap of a running VM: down, or up again to the value in its policy and no further. KEY and\n"
    "VALUE are written as in the policy: limits.cpu=50%, limits.cpuset=0-1 (where the policy names\n"
    "processors), limits.tasks=20, limits.memory_overhead=32MiB, limits.run_time=30min, limits.console=1MiB,\n"
    "limits.log=16MiB (these three from its start on), disks[data].limits.growth=1GiB (the same),\n"
    "disks[data].limits.bandwidth=1MiB/s, or operations, entropy.limits.bandwidth,\n"
    "networks[eth0].limits.bandwidth, or packets, vsock.limits.connections (those that are open stay),\n"
    "new_connections or bandwidth. machine.memory=256MiB asks the guest for what it has beyond that, by its\n"
    "balloon; the guest may keep it. What is changed lasts until the VM ends; `cofferdam inspect` shows what\n"
    "is in force. limits.open_files cannot be changed: each process has the open files that it was given and\n"
    "can make no more.\n"
    "\n"
    "Example: cofferdam set web-7 limits.cpu=50%\n"
    "\n"
    "Exit status: 0; 1 when no such VM runs, you may not, the policy does not allow it, or the host could not.\n";

/* The policy's keys that a running VM can have anew, and their names in the control protocol. */
static const struct settable {
	const char *path, *cap;
	unsigned divide;    /* the protocol counts bytes */
	const char *device; /* that is not named in brackets */
} settable[] = {
    {"limits.cpu", "cpu", 1, NULL},
    {"limits.cpuset", "cpuset", 1, NULL},
    {"limits.tasks", "tasks", 1, NULL},
    {"limits.memory_overhead", "memory_overhead", 1, NULL},
    {"limits.run_time", "run_time", 1, NULL},
    {"limits.log", "log", 1, NULL},
    {"machine.memory", "memory", 1, NULL},
    {"disks[].limits.bandwidth", "bandwidth", 1, NULL},
    {"disks[].limits.operations", "operations", 1, NULL},
    {"disks[].limits.growth", "growth", 1, NULL},
    {"limits.console", "console", 1, "console"},
    {"entropy.limits.bandwidth", "bandwidth", 1, "entropy"},
    {"networks[].limits.bandwidth", "bandwidth", BITS, NULL},
    {"networks[].limits.packets", "operations", 1, NULL},
    {"vsock.limits.connections", "connections", 1, "vsock"},
    {"vsock.limits.new_connections", "operations", 1, "vsock"},
    {"vsock.limits.bandwidth", "bandwidth", 1, "vsock"},
};

struct setting {
	const struct settable *settable;
	const struct schema_key *key;
	char path[DESCRIBE_PATH_SIZE], device[POLICY_NAME_SIZE];
	struct policy_number number;
	struct policy_cpus cpus; /* of limits.cpuset, in place of the number */
};

static void find_key(const char *path, const struct schema_key *key, void *context)
{
	struct setting *setting = context;
	if (strcmp(path, setting->path) == 0)
		setting->key = key;
}

/* "disks[data].limits.bandwidth" is "disks[].limits.bandwidth" of "data". */
static bool split(const char *word, size_t length, struct setting *setting)
{
	const char *open = memchr(word, '[', length), *close = memchr(word, ']', length);
	size_t name = open == NULL || close == NULL || close < open ? 0 : (size_t)(close - open - 1);
	if (length >= sizeof(setting->path) || name >= sizeof(setting->device))
		return false;
	snprintf(setting->device, sizeof(setting->device), "%.*s", (int)name, open == NULL ? "" : open + 1);
	if (name == 0)
		snprintf(setting->path, sizeof(setting->path), "%.*s", (int)length, word);
	else
		snprintf(setting->path, sizeof(setting->path), "%.*s[]%.*s", (int)(open - word), word,
			 (int)(word + length - close - 1), close + 1);
	return true;
}

static bool parse(const char *word, struct setting *setting)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];
	const char *equals = strchr(word, '=');
	*setting = (struct setting){.settable = NULL};
	if (equals == NULL) {
		say("set: '%s' is not KEY=VALUE, such as limits.cpu=50%%", word);
		return false;
	}
	for (size_t i = 0; split(word, (size_t)(equals - word), setting) && i < sizeof(settable) / sizeof(settable[0]);
	     i++)
		if (strcmp(settable[i].path, setting->path) == 0)
			setting->settable = &settable[i];
	if (setting->settable != NULL)
		describe_each(policy_keys, find_key, setting);
	if (strcmp(setting->path, "limits.open_files") == 0) {
		say("set: limits.open_files cannot be changed while a VM runs: each process has the open files that it "
		    "was given and can make no more; those of connections have vsock.limits.connections");
		return false;
	}
	if (setting->settable == NULL || setting->key == NULL) {
		say("set: %.*s cannot be changed while a VM runs; `cofferdam set --help` lists what can",
		    (int)(equals - word), word);
		return false;
	}
	if (setting->device[0] == 0 && strchr(setting->path, '[') != NULL) {
		say("set: %.*s: whose? Its name stands in the brackets, such as disks[data]", (int)(equals - word),
		    word);
		return false;
	}
	if (setting->settable->device != NULL)
		snprintf(setting->device, sizeof(setting->device), "%s", setting->settable->device);
	void *field = setting->key->type == SCHEMA_CPUS ? (void *)&setting->cpus : &setting->number;
	bool is_good = scalar_convert(setting->key, equals + 1, field, message, hint);
	if (!is_good)
		say("set: %.*s: %s; %s", (int)(equals - word), word, message, hint);
	else if (strlen(setting->cpus.text) >= CAP_PROCESSORS_SIZE)
		say("set: %.*s: the list is too long for a VM that runs; %d characters are the most",
		    (int)(equals - word), word, CAP_PROCESSORS_SIZE - 1);
	return is_good && strlen(setting->cpus.text) < CAP_PROCESSORS_SIZE;
}

int command_set(int argc, char **argv, const struct control_folders *folders)
{
	struct setting setting;
	struct control_session session;
	char why[WHY_SIZE];
	json_t *answer = NULL;
	int usage = take_words(argc, argv, NULL, help, 2, "the name of one VM, and KEY=VALUE");
	if (usage != GO_ON)
		return usage;
	if (!parse(argv[optind + 1], &setting))
		return EXIT_USAGE;
	json_t *value = setting.cpus.text[0] != 0
			    ? json_string(setting.cpus.text)
			    : json_integer((json_int_t)(setting.number.value / setting.settable->divide));
	json_t *request = json_pack("{s:s, s:s, s:o}", "request", "set", "cap", setting.settable->cap, "value", value);
	if (setting.device[0] != 0)
		json_object_set_new(request, "device", json_string(setting.device));
	if (setting.device[0] != 0 && setting.settable->device == NULL)
		json_object_set_new(request, "kind", json_string(setting.path[0] == 'd' ? "disk" : "network"));
	int result = control_connect(&session, folders, argv[optind], why);
	if (result == 0)
		result = control_ask(&session, request, &answer, why);
	json_decref(request);
	json_decref(answer);
	control_disconnect(&session);
	if (result != 0)
		say("%s", why);
	return result == 0 ? 0 : EXIT_NOT_DONE;
}
