/* What takes a whole policy to see: defaults that depend on other keys, and mistakes. Opens nothing. */
#include "policy/layers.h"
#include "policy/schema.h"

#include <stdio.h>
#include <string.h>

enum { QUOTE_SIZE = 128 };

/* The same at every start, of one station, locally administered. */
static void derive_mac(const struct policy *policy, struct policy_network *network)
{
	char names[2 * POLICY_NAME_SIZE + 2];
	uint8_t hash[32];

	snprintf(names, sizeof(names), "%s/%s", policy->name.text, network->name.text);
	policy_hash(names, strlen(names), hash);
	snprintf(network->mac.text, sizeof(network->mac.text), "02:%02x:%02x:%02x:%02x:%02x", hash[0], hash[1], hash[2],
		 hash[3], hash[4]);
}

void policy_derive(struct policy *policy)
{
	struct policy_limits *limits = &policy->limits;

	if (limits->cpu.at.line == 0)
		limits->cpu.value = 100 * policy->machine.vcpus.value;
	if (limits->memory_overhead.at.line == 0)
		limits->memory_overhead.value = (UINT64_C(32) << 20) + policy->machine.memory.value / 32;
	for (uint32_t i = 0; i < policy->disk_count; i++) {
		struct policy_disk *disk = &policy->disks[i];

		if (disk->access.at.line == 0 && disk->scratch.value != 0)
			disk->access.value = POLICY_READ_WRITE;
		if (disk->serial.at.line == 0)
			memcpy(disk->serial.text, disk->name.text, POLICY_SERIAL_SIZE - 1); /* the rest is NUL */
	}
	for (uint32_t i = 0; i < policy->network_count; i++)
		if (policy->networks[i].mac.at.line == 0)
			derive_mac(policy, &policy->networks[i]);
}

static void check_disk(const struct policy_disk *disk, struct problems *problems)
{
	bool has_path = disk->path.at.line != 0, has_scratch = disk->scratch.at.line != 0;

	if (has_path && has_scratch)
		problems_add(problems, disk->scratch.at, "a disk is either a file or scratch",
			     "`scratch` beside `path`");
	if (!has_path && !has_scratch)
		problems_add(problems, disk->at, "add `path: FILE`, or `scratch: 64MiB` for an empty one",
			     "the disk has neither `path` nor `scratch`");
	if (has_scratch && disk->access.at.line != 0 && disk->access.value == POLICY_READ_ONLY)
		problems_add(problems, disk->access.at, "leave `access` out", "a scratch disk that cannot be written");
	if (disk->sha256.at.line != 0 && (has_scratch || disk->access.value == POLICY_READ_WRITE))
		problems_add(problems, disk->sha256.at, "pin images that are read-only",
			     "`sha256` of a disk that is written to");
}

/* The log and messages know a device by its name. */
static void check_device_name(const struct policy *policy, const struct policy_name *name, struct problems *problems)
{
	static const char *const taken[] = {"console", "entropy", "vsock", "balloon"};
	unsigned same = 0;

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		same += strcmp(name->text, taken[i]) == 0;
	for (uint32_t i = 0; i < policy->disk_count; i++) /* two disks are told apart below */
		same += name != &policy->disks[i].name && name >= &policy->networks[0].name &&
			strcmp(name->text, policy->disks[i].name.text) == 0;
	if (same > 0)
		problems_add(problems, name->at, "choose another name", "`%s` is the name of another device",
			     name->text);
}

/* Two disks that cannot be told apart, or would write to one image. */
static void check_disk_pair(const struct policy_disk *a, const struct policy_disk *b, struct problems *problems)
{
	char quote[QUOTE_SIZE], hint[64];

	if (a->name.text[0] != '\0' && strcmp(a->name.text, b->name.text) == 0) {
		snprintf(hint, sizeof(hint), "the first is on line %u", (unsigned)a->name.at.line);
		problems_add(problems, b->name.at, hint, "two disks are named `%s`", b->name.text);
	} else if (a->serial.text[0] != '\0' && strcmp(a->serial.text, b->serial.text) == 0) {
		problems_add(problems, b->serial.at.line != 0 ? b->serial.at : b->name.at,
			     "give one of them another `serial`", "two disks have the serial number `%s`",
			     b->serial.text);
	}
	if (a->path.text[0] != '\0' && strcmp(a->path.text, b->path.text) == 0 &&
	    (a->access.value == POLICY_READ_WRITE || b->access.value == POLICY_READ_WRITE))
		problems_add(problems, b->path.at, "only read-only disks can share an image",
			     "another disk of this VM has the image %s",
			     problem_quote(quote, sizeof(quote), b->path.text));
}

static void check_network(const struct policy_network *network, struct problems *problems)
{
	bool has_tap = network->tap.at.line != 0, has_passt = network->passt.at.line != 0;

	if (has_tap && has_passt)
		problems_add(problems, network->passt.at, "a network has one way out", "`passt` beside `tap`");
	if (!has_tap && !has_passt)
		problems_add(problems, network->at, "add `tap: INTERFACE`, or `passt: SOCKET` if you are not root",
			     "the network has neither `tap` nor `passt`");
	for (uint32_t i = 0; i < network->egress_count; i++) {
		const struct policy_egress *rule = &network->egress[i];

		if (problems->count == 0 && rule->tcp_count + rule->udp_count == 0 && rule->icmp.value == POLICY_OFF)
			problems_add(problems, rule->at, "add `tcp: [443]`, `udp: [53]` or `icmp: on`",
				     "a rule that lets nothing through");
	}
}

static void check_network_pair(const struct policy_network *a, const struct policy_network *b,
			       struct problems *problems)
{
	char hint[64];

	if (a->name.text[0] != '\0' && strcmp(a->name.text, b->name.text) == 0) {
		snprintf(hint, sizeof(hint), "the first is on line %u", (unsigned)a->name.at.line);
		problems_add(problems, b->name.at, hint, "two networks are named `%s`", b->name.text);
		return;
	}
	if (a->tap.text[0] != '\0' && strcmp(a->tap.text, b->tap.text) == 0)
		problems_add(problems, b->tap.at, "make a tap for each", "two networks have the tap `%s`", b->tap.text);
	if (a->passt.text[0] != '\0' && strcmp(a->passt.text, b->passt.text) == 0)
		problems_add(problems, b->passt.at, "start a passt for each", "two networks have the same passt");
	if (a->mac.text[0] != '\0' && strcmp(a->mac.text, b->mac.text) == 0)
		problems_add(problems, b->mac.at, "leave `mac` out", "two networks have the address %s", b->mac.text);
}

/* Who watches a VM's log may not be who runs it. */
static void check_roles(const struct policy_control *control, struct problems *problems)
{
	for (uint32_t i = 0; i < control->operator_count; i++)
		for (uint32_t j = 0; j < control->auditor_count; j++)
			if (strcmp(control->operators[i].text, control->auditors[j].text) == 0)
				problems_add(problems, control->auditors[j].at, "take it out of one of the two",
					     "`%s` is both operator and auditor", control->auditors[j].text);
}

static void check_devices(const struct policy *policy, struct problems *problems)
{
	uint32_t devices = 2 + policy->disk_count + policy->network_count + (policy->vsock.at.line != 0) +
			   (policy->balloon.at.line != 0);

	for (uint32_t i = 0; i < policy->disk_count; i++) {
		check_disk(&policy->disks[i], problems);
		check_device_name(policy, &policy->disks[i].name, problems);
		for (uint32_t j = 0; j < i; j++)
			check_disk_pair(&policy->disks[j], &policy->disks[i], problems);
	}
	for (uint32_t i = 0; i < policy->network_count; i++) {
		check_network(&policy->networks[i], problems);
		check_device_name(policy, &policy->networks[i].name, problems);
		for (uint32_t j = 0; j < i; j++)
			check_network_pair(&policy->networks[j], &policy->networks[i], problems);
	}
	if (devices > PLAN_DEVICES_MAX)
		problems_add(problems, (struct policy_at){0}, "take some out",
			     "%u devices with console and entropy; a VM has at most %d", (unsigned)devices,
			     PLAN_DEVICES_MAX);
	if (policy->balloon.at.line != 0 && policy->balloon.minimum.value > policy->machine.memory.value)
		problems_add(problems, policy->balloon.minimum.at, "lower it, or raise `machine: memory`",
			     "`minimum` is more than the VM has");
}

void policy_check(const struct policy *policy, struct problems *problems)
{
	uint64_t tasks = POLICY_TASKS_FIXED + policy->machine.vcpus.value + policy->disk_count + 2 +
			 policy->network_count + (policy->vsock.at.line != 0) + (policy->balloon.at.line != 0);
	char hint[64];

	check_devices(policy, problems);
	check_roles(&policy->control, problems);
	if (policy->limits.tasks.value < tasks) {
		snprintf(hint, sizeof(hint), "write `tasks: %u`, or more", (unsigned)tasks);
		problems_add(problems, policy->limits.tasks.at, hint,
			     "too few tasks: a VM with these vCPUs and disks takes %u", (unsigned)tasks);
	}
}
