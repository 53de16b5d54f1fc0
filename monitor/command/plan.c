/* `cofferdam plan POLICY`: what `run` would open, make and limit, and every filter. Changes nothing. */
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "monitor/command/network.h"
#include "monitor/command/overlay.h"
#include "monitor/command/plan_filters.h"
#include "monitor/command/readiness.h"
#include "monitor/command/resources.h"
#include "monitor/command/revision.h"
#include "monitor/command/vm.h"
#include "monitor/command/vsock.h"
#include "monitor/large.h"
#include "policy/open.h"
#include "policy/schema.h"
#include "policy/signature.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam plan [--filters] [--json] POLICY\n"
    "\n"
    "Shows what `run` would open, make and limit on this host, and changes nothing. That a VM of this\n"
    "name runs already, or that a kernel's file is no kernel, `run` alone finds.\n"
    "\n"
    "  --filters  each rule of each system call filter: the call, why, and what its arguments must be\n"
    "  --json     for scripts; has every rule\n"
    "\n"
    "Exit status: 0 when `run` would start, 125 when it would be refused.\n";

struct values {
	const struct policy *policy;
	json_t *list;
};

static void add_value(const struct policy_value *value, void *context)
{
	const struct values *values = context;
	const struct schema_key *key = value->schema;
	bool is_set = value->text[0] != 0 && (value->at.line != 0 || key->fallback != NULL || key->derived != NULL);
	json_t *entry = json_pack("{s:s, s:s?, s:s?}", "key", value->key, "value", is_set ? value->text : NULL,
				  "enforced_by", key->enforced_by);
	if (value->at.line != 0) {
		json_object_set_new(entry, "file", json_string(values->policy->files[value->at.file]));
		json_object_set_new(entry, "line", json_integer(value->at.line));
	}
	json_array_append_new(values->list, entry);
}

static void add_disk(json_t *files, const struct policy *policy, const struct host *host,
		     const struct policy_disk *disk, struct plan_disk *plan, int *refused)
{
	bool write = disk->access.value == POLICY_READ_WRITE;
	char why[WHY_SIZE] = "";
	uint64_t size = 0;
	struct vm_image image = {0};
	snprintf(image.label, sizeof(image.label), "%s", disk->name.text);
	snprintf(image.path, sizeof(image.path), "%s", disk->path.text);
	AUTO_CLOSE int file = policy_look_at_file(policy, host, &disk->path,
						  write ? POLICY_OPEN_DISK_WRITE : POLICY_OPEN_DISK_READ, &size, why);
	bool has_overlay = disk->overlay.value != PLAN_OVERLAY_NONE;
	*refused |= file < 0 || (has_overlay && overlay_check(policy, host, disk, size / 512, plan, why) != 0) ||
		    (!has_overlay &&
		     !policy_image_growth(file, disk->path.text, disk->limits.growth.value, &plan->growth, why)) ||
		    vm_check_disk_pin(disk, file, &image, why) != 0;
	json_array_append_new(files, json_pack("{s:s, s:s, s:I, s:s}", "what", disk->name.text, "path", disk->path.text,
					       "bytes", (json_int_t)size, "refused", why));
}

/* A kernel or initrd: copied and hashed as `run` does, for it may not fit, or not be the file that is pinned. */
static uint64_t add_image(json_t *files, const struct policy *policy, const struct host *host, const struct plan *plan,
			  const char *what, const struct policy_path *path, const struct policy_digest *pin,
			  int *refused)
{
	char why[WHY_SIZE] = "";
	struct vm_image image = {0};
	snprintf(image.label, sizeof(image.label), "%s", what);
	snprintf(image.path, sizeof(image.path), "%s", path->text);
	AUTO_CLOSE int copy = vm_copy_image(policy, host, plan, path, pin, &image, why);
	*refused |= copy < 0;
	json_array_append_new(files, json_pack("{s:s, s:s, s:I, s:s}", "what", what, "path", path->text, "bytes",
					       (json_int_t)image.size, "refused", why));
	return copy < 0 ? 0 : image.size;
}

static json_t *plan_files(const struct policy *policy, const struct host *host, struct plan *plan, int *refused)
{
	json_t *files = json_array();
	if (!policy->kernel.builtin.value)
		plan->kernel_size = add_image(files, policy, host, plan, "kernel", &policy->kernel.path,
					      &policy->kernel.sha256, refused);
	if (policy->initrd.at.line != 0)
		add_image(files, policy, host, plan, "initrd", &policy->initrd.path, &policy->initrd.sha256, refused);
	for (size_t i = 0; i < policy->disk_count; i++)
		if (policy->disks[i].path.text[0] != 0)
			add_disk(files, policy, host, &policy->disks[i], &plan->devices[1 + i].as.disk, refused);
	return files;
}

static void add_made(json_t *list, const char *what, const char *path, const char *why)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", what, "path", path, "refused", why));
}

/* The overlay of a disk; whether one that is there will do, add_disk has asked. */
static void add_overlay(json_t *list, const struct policy *policy, const struct policy_disk *disk)
{
	const struct policy_path path = overlay_path(policy, disk);
	int folder = policy->folders[PROBLEM_FILE_POLICY];
	if (disk->overlay.value == PLAN_OVERLAY_DISCARD)
		add_made(list, disk->name.text, "a nameless overlay in the policy's folder", "");
	else if (faccessat(folder, path.text, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		add_made(list, disk->name.text, path.text, "");
}

/* What `run` makes in folders of the host; taps are networks' affair. */
static json_t *plan_made(const struct policy *policy, const struct host *host, int *refused)
{
	json_t *list = json_array();
	char why[WHY_SIZE] = "", path[2 * POLICY_PATH_SIZE];
	if (policy->console.log.text[0] != 0) {
		*refused |= policy_check_log(policy, host, &policy->console.log, why) != 0;
		add_made(list, "console", policy->console.log.text, why);
	}
	for (size_t i = 0; i < policy->disk_count; i++)
		if (policy->disks[i].overlay.value != PLAN_OVERLAY_NONE)
			add_overlay(list, policy, &policy->disks[i]);
	why[0] = 0;
	if (policy->vsock.at.line != 0) {
		*refused |= vsock_check(policy, host, why) != 0;
		add_made(list, "vsock", policy->vsock.path.text, why);
	}
	snprintf(path, sizeof(path), "%s/%s-TIME-RUN.jsonl", host->folders.audit.text, policy->name.text);
	add_made(list, "log", path, "");
	snprintf(path, sizeof(path), "%s/%s.sock", host->folders.runtime.text, policy->name.text);
	add_made(list, "control", path, "");
	return list;
}

static json_t *plan_networks(const struct policy *policy, const struct host *host, int *refused)
{
	json_t *list = json_array();
	for (size_t i = 0; i < policy->network_count; i++) {
		const struct policy_network *network = &policy->networks[i];
		char why[WHY_SIZE] = "";
		*refused |= network_check(policy, host, network, why) != 0;
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "what", network->name.text, "tap",
						      network->tap.text[0] == 0 ? "passt" : network->tap.text,
						      "created", network->create.at.line != 0, "refused", why));
	}
	return list;
}

static void add_readiness(const struct readiness *readiness, void *context)
{
	json_array_append_new(context, json_pack("{s:s, s:b, s:s}", "what", readiness->name, "ready", readiness->ready,
						 "text", readiness->text));
}

/* What `run` asks of the host, whatever files it names. */
static json_t *plan_host(const struct policy *policy, const struct host *host, int *refused)
{
	const struct jail_caps caps = vm_caps(policy);
	json_t *list = json_array();
	char why[WHY_SIZE];
	size_t i;
	const json_t *entry;
	readiness_each(host, &caps, &policy->jail, add_readiness, list);
	if (resource_memory_check(policy->machine.memory.value, why) != 0)
		json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "what", "memory", "ready", 0, "text", why));
	if (claims_check(policy, host, why) != 0)
		json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "what", "other VMs", "ready", 0, "text", why));
	if (revision_check(policy, host, why) != 0)
		json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "what", "revision", "ready", 0, "text", why));
	json_array_foreach(list, i, entry)
	{
		*refused |= !json_is_true(json_object_get(entry, "ready"));
	}
	return list;
}

static void add_process(json_t *list, const char *name, unsigned role, const struct plan *plan)
{
	json_array_append_new(list, json_pack("{s:s, s:i, s:o}", "process", name, "id", (int)role, "threads",
					      plan_filters_to_json(role, plan)));
}

static json_t *plan_processes(const struct plan *plan)
{
	json_t *list = json_array();
	char name[PLAN_NAME_SIZE + 32];
	add_process(list, "cofferdam-auditor", ROLE_AUDITOR, plan);
	add_process(list, "cofferdam-supervisor", ROLE_SUPERVISOR, plan);
	add_process(list, "cofferdam-monitor", ROLE_MONITOR, plan);
	for (uint32_t i = 0; i < plan->device_count; i++) {
		snprintf(name, sizeof(name), "cofferdam-device %s", plan->devices[i].name);
		add_process(list, name, ROLE_DEVICE + i, plan);
	}
	return list;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

static void print(const json_t *plan, bool filters)
{
	size_t i;
	const json_t *entry;
	json_array_foreach(json_object_get(plan, "values"), i, entry)
	{
		const char *enforced_by = text_of(entry, "enforced_by");
		if (json_is_null(json_object_get(entry, "value")))
			continue;
		printf("%-28s %-*s%s%s\n", text_of(entry, "key"), enforced_by[0] == 0 ? 0 : 24, text_of(entry, "value"),
		       enforced_by[0] == 0 ? "" : " ", enforced_by);
	}
	puts("\nhost");
	json_array_foreach(json_object_get(plan, "host"), i, entry)
	{
		printf("  %-14s %s%s\n", text_of(entry, "what"),
		       json_is_true(json_object_get(entry, "ready")) ? "" : "REFUSED: ", text_of(entry, "text"));
	}
	puts(json_array_size(json_object_get(plan, "files")) > 0 ? "\nfiles"
								 : "\nno file of the host is opened for the guest");
	json_array_foreach(json_object_get(plan, "files"), i, entry)
	{
		bool refused = text_of(entry, "refused")[0] != 0;
		printf("  %-10s %-32s %s%s\n", text_of(entry, "what"), text_of(entry, "path"),
		       refused ? "REFUSED: " : "opens", text_of(entry, "refused"));
	}
	puts("\nmade");
	json_array_foreach(json_object_get(plan, "made"), i, entry)
	{
		bool refused = text_of(entry, "refused")[0] != 0;
		printf("  %-10s %-32s %s%s\n", text_of(entry, "what"), text_of(entry, "path"),
		       refused ? "REFUSED: " : "makes", text_of(entry, "refused"));
	}
	if (json_array_size(json_object_get(plan, "networks")) > 0)
		puts("\nnetworks");
	json_array_foreach(json_object_get(plan, "networks"), i, entry)
	{
		bool refused = text_of(entry, "refused")[0] != 0;
		bool created = json_is_true(json_object_get(entry, "created"));
		printf("  %-10s %-32s %s%s\n", text_of(entry, "what"), text_of(entry, "tap"),
		       refused                                       ? "REFUSED: "
		       : strcmp(text_of(entry, "tap"), "passt") == 0 ? "starts passt"
		       : created                                     ? "makes the tap"
								     : "opens the tap",
		       text_of(entry, "refused"));
	}
	puts("\nprocesses, each in its jail with these system call filters");
	json_array_foreach(json_object_get(plan, "processes"), i, entry)
	{
		plan_filters_print(entry, filters);
	}
}

static int make_plan(const struct policy *policy, const struct host *host, bool filters, bool json)
{
	static LARGE_MEMORY struct plan plan;
	int refused = 0;
	policy_to_plan(policy, &plan);
	struct values values = {policy, json_array()};
	policy_each_value(policy, add_value, &values);
	json_t *files = plan_files(policy, host, &plan, &refused);
	json_t *here = plan_host(policy, host, &refused), *networks = plan_networks(policy, host, &refused);
	json_t *made = plan_made(policy, host, &refused);
	json_t *all = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "name", plan.name, "refused", refused,
				"values", values.list, "host", here, "files", files, "made", made, "networks", networks,
				"processes", plan_processes(&plan));
	if (json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print(all, filters);
	}
	if (refused)
		say("`run` would refuse this%s", json ? "" : ": see REFUSED above");
	json_decref(all);
	return refused ? EXIT_OURS : 0;
}

int command_plan(int argc, char **argv, const struct host *host)
{
	bool json = false, filters = false;
	const struct command_option options[] = {
	    {.name = "json", .flag = &json}, {.name = "filters", .flag = &filters}, {0}};
	int usage = take_words(argc, argv, options, help, 1, "one policy file");
	if (usage != GO_ON)
		return usage;
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], host, &problems);
	bool runs = policy != NULL && policy_may_run(policy, host, &problems);
	problems_print(&problems, stderr);
	int status = !runs ? EXIT_OURS : make_plan(policy, host, filters, json);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
