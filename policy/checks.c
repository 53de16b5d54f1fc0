/* What takes a whole policy to see: defaults that depend on other keys, and mistakes. Opens nothing. */
#include "policy/layers.h"
#include "policy/schema.h"

#include <stdio.h>
#include <string.h>

enum { QUOTE_SIZE = 128 };

/* With the console and the entropy device. */
static uint32_t count_devices(const struct policy *policy)
{
	return 2 + policy->disk_count + policy->network_count + (policy->vsock.at.line != 0) +
	       (policy->balloon.at.line != 0);
}

/* Of the process that has most: the monitor, or one with many connections. */
static uint64_t count_files(const struct policy *policy)
{
	uint64_t monitor =
	    POLICY_FILES_FIXED + policy->machine.vcpus.value + POLICY_FILES_EACH * (uint64_t)count_devices(policy);
	uint64_t vsock = POLICY_FILES_VSOCK + policy->vsock.limits.connections.value;

	return policy->vsock.at.line == 0 || monitor > vsock ? monitor : vsock;
}

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
	if (limits->open_files.at.line == 0)
		limits->open_files.value = count_files(policy);
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
	if (has_scratch && disk->limits.growth.at.line != 0)
		problems_add(problems, disk->limits.growth.at, "leave it out",
			     "`growth` of a scratch disk, whose memory is all counted from the start");
	if (has_scratch && disk->access.at.line != 0 && disk->access.value == POLICY_READ_ONLY)
		problems_add(problems, disk->access.at, "leave `access` out", "a scratch disk that cannot be written");
	if (disk->overlay.value != PLAN_OVERLAY_NONE && (has_scratch || disk->access.value == POLICY_READ_WRITE))
		problems_add(problems, disk->overlay.at, "leave one of the two out",
			     "`overlay` of a disk that is written to itself");
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

static bool is_ip6(const char *address)
{
	return strchr(address, ':') != NULL;
}

/* Answers how many ports and ranges it has. */
static unsigned check_rule(const struct policy_network *network, const struct policy_rule *rule,
			   struct problems *problems)
{
	bool has_family = false;

	if (problems->count == 0 && rule->tcp_count + rule->udp_count == 0 && rule->icmp.value == POLICY_OFF)
		problems_add(problems, rule->at, "add `tcp: [443]`, `udp: [53]` or `icmp: on`",
			     "a rule that lets nothing through");
	for (uint32_t i = 0; i < network->address_count; i++)
		has_family = has_family || is_ip6(network->addresses[i].text) == is_ip6(rule->peer.text);
	if (problems->count == 0 && !has_family)
		problems_add(problems, rule->peer.at, "add one to `addresses`, or take the rule out",
			     "a rule for %s, and the guest has no address of that kind",
			     is_ip6(rule->peer.text) ? "IPv6" : "IPv4");
	return rule->tcp_count + rule->udp_count;
}

static void check_create(const struct policy_network *network, struct problems *problems)
{
	const struct policy_create *create = &network->create;
	bool has_address = create->address.at.line != 0, has_bridge = create->bridge.at.line != 0;

	if (create->at.line == 0)
		return;
	if (network->tap.at.line == 0)
		problems_add(problems, create->at, "add `tap: INTERFACE`, or leave it out", "`create` without a tap");
	if (has_address == has_bridge)
		problems_add(problems, create->at, "add `address: 10.0.0.1` or `bridge: br0`",
			     has_address ? "a tap in a bridge has no address of its own" : "a tap that leads nowhere");
	if (has_address && create->prefix.value > (is_ip6(create->address.text) ? 128 : 32))
		problems_add(problems, create->prefix.at, "at most 32 for IPv4", "a prefix longer than the address");
	for (uint32_t i = 0; has_address && i < network->address_count; i++)
		if (strcmp(network->addresses[i].text, create->address.text) == 0)
			problems_add(problems, create->address.at, "give the host another",
				     "%s is an address of the guest", create->address.text);
}

static void check_network(const struct policy_network *network, struct problems *problems)
{
	bool has_tap = network->tap.at.line != 0, has_passt = network->passt.value == POLICY_ON;
	unsigned ports = 0;

	if (has_tap && has_passt)
		problems_add(problems, network->passt.at, "a network has one way out", "`passt` beside `tap`");
	if (!has_tap && !has_passt)
		problems_add(problems, network->at, "add `tap: INTERFACE`, or `passt: on` if you are not root",
			     "the network has neither `tap` nor `passt`");
	if (!has_tap && network->netns.at.line != 0)
		problems_add(problems, network->netns.at, "add `tap: INTERFACE`, or leave it out",
			     "`netns` without a tap");
	check_create(network, problems);
	for (uint32_t i = 0; i < network->egress_count; i++)
		ports += check_rule(network, &network->egress[i], problems);
	for (uint32_t i = 0; i < network->ingress_count; i++)
		ports += check_rule(network, &network->ingress[i], problems);
	if (ports > PLAN_PORTS_MAX)
		problems_add(problems, network->at, "write ranges, such as 8000-8080",
			     "%u ports and ranges in the rules of one network; at most %d", ports, PLAN_PORTS_MAX);
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
	if (a->tap.text[0] != '\0' && strcmp(a->tap.text, b->tap.text) == 0 &&
	    strcmp(a->netns.text, b->netns.text) == 0)
		problems_add(problems, b->tap.at, "make a tap for each", "two networks have the tap `%s`", b->tap.text);
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
	uint32_t devices = count_devices(policy);

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
	if ((policy->vsock.limits.buffer.value & (policy->vsock.limits.buffer.value - 1)) != 0)
		problems_add(problems, policy->vsock.limits.buffer.at, "write 64KiB, or 128KiB",
			     "the `buffer` of a vsock connection is a power of two");
	if (policy->balloon.at.line != 0 && policy->balloon.minimum.value > policy->machine.memory.value)
		problems_add(problems, policy->balloon.minimum.at, "lower it, or raise `machine: memory`",
			     "`minimum` is more than the VM has");
}

void policy_check(const struct policy *policy, struct problems *problems)
{
	uint64_t tasks = POLICY_TASKS_FIXED + policy->machine.vcpus.value + count_devices(policy);
	uint64_t files = count_files(policy);
	char hint[64];

	check_devices(policy, problems);
	check_roles(&policy->control, problems);
	if (policy->limits.tasks.value < tasks) {
		snprintf(hint, sizeof(hint), "write `tasks: %u`, or more", (unsigned)tasks);
		problems_add(problems, policy->limits.tasks.at, hint,
			     "too few tasks: a VM with these vCPUs and disks takes %u", (unsigned)tasks);
	}
	if (policy->limits.open_files.value < files) {
		snprintf(hint, sizeof(hint), "write `open_files: %u`, or leave it out", (unsigned)files);
		problems_add(problems, policy->limits.open_files.at, hint,
			     "too few open files: a VM with these vCPUs and devices takes %u in one process",
			     (unsigned)files);
	}
}
