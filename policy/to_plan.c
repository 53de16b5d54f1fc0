/* Turns a policy that was checked into what the jailed programs know of it. Opens nothing, knows no file's size. */
#include "policy/policy.h"
#include "policy/schema.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)POLICY_PORTS_MAX <= (int)PLAN_PORTS_MAX, "room for the ports of one rule");
_Static_assert(POLICY_DISKS_MAX + 2 == PLAN_DEVICES_MAX, "console, disks, entropy");

static struct plan_device *add_device(struct plan *plan, enum device_kind kind, const char *name)
{
	struct plan_device *device = &plan->devices[plan->device_count++];

	assert(plan->device_count <= PLAN_DEVICES_MAX);
	device->kind = kind;
	strncpy(device->name, name, sizeof(device->name) - 1);
	return device;
}

static void add_balloon(struct plan *plan, const struct policy_balloon *balloon)
{
	struct plan_device *device = add_device(plan, DEVICE_BALLOON, "balloon");

	device->as.balloon.minimum = balloon->minimum.value;
	device->as.balloon.reporting = balloon->reporting.value == POLICY_ON;
}

static void add_vsock_ports(struct plan_vsock_ports *ports, const struct policy_number *ranges, uint32_t count)
{
	_Static_assert((int)PLAN_VSOCK_PORTS_MAX == (int)POLICY_PORTS_MAX, "room for all that a policy may list");
	for (ports->count = 0; ports->count < count; ports->count++) {
		ports->ranges[ports->count].first = (uint32_t)SCHEMA_PORT_FIRST(ranges[ports->count].value);
		ports->ranges[ports->count].last = (uint32_t)SCHEMA_PORT_LAST(ranges[ports->count].value);
	}
}

static void add_vsock(struct plan *plan, const struct policy_vsock *vsock)
{
	struct plan_device *device = add_device(plan, DEVICE_VSOCK, "vsock");

	device->bandwidth = vsock->limits.bandwidth.value;
	device->operations = vsock->limits.new_connections.value;
	device->as.vsock.cid = (uint32_t)vsock->cid.value;
	device->as.vsock.connections = (uint32_t)vsock->limits.connections.value;
	device->as.vsock.buffer = (uint32_t)vsock->limits.buffer.value;
	add_vsock_ports(&device->as.vsock.guest_may, vsock->guest_may_connect, vsock->port_count);
	add_vsock_ports(&device->as.vsock.host_may, vsock->host_may_connect, vsock->host_port_count);
}

static void add_disk(struct plan *plan, const struct policy_disk *disk)
{
	struct plan_device *device = add_device(plan, DEVICE_DISK, disk->name.text);

	device->bandwidth = disk->limits.bandwidth.value;
	device->operations = disk->limits.operations.value;
	device->as.disk.sectors = disk->scratch.value / 512;
	device->as.disk.overlay = (uint32_t)disk->overlay.value;
	device->as.disk.read_only = disk->access.value == POLICY_READ_ONLY && disk->overlay.value == PLAN_OVERLAY_NONE;
	memcpy(device->as.disk.serial, disk->serial.text, strlen(disk->serial.text));
}

/* The text was checked; whole: an address without a prefix. */
static struct plan_prefix to_prefix(const char *text)
{
	struct plan_prefix prefix = {.family = strchr(text, ':') == NULL ? 4 : 6};
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');

	snprintf(address, sizeof(address), "%.*s", (int)strcspn(text, "/"), text);
	inet_pton(prefix.family == 4 ? AF_INET : AF_INET6, address, prefix.bytes);
	prefix.bits = slash != NULL ? (uint32_t)strtoul(slash + 1, NULL, 10) : prefix.family == 4 ? 32 : 128;
	return prefix;
}

static void add_ports(struct plan_network *plan, uint32_t *used, const struct policy_number *ports, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		assert(*used < PLAN_PORTS_MAX);
		plan->ports[(*used)++] =
		    (struct plan_ports){.first = (uint16_t)(ports[i].value >> 32), .last = (uint16_t)ports[i].value};
	}
}

static void add_rules(struct plan_network *plan, uint32_t *used, const struct policy_rule *rules, uint32_t count,
		      struct plan_rule *to)
{
	for (uint32_t i = 0; i < count; i++) {
		to[i] = (struct plan_rule){.peer = to_prefix(rules[i].peer.text),
					   .first_port = *used,
					   .tcp_count = rules[i].tcp_count,
					   .udp_count = rules[i].udp_count,
					   .icmp = rules[i].icmp.value == POLICY_ON};
		add_ports(plan, used, rules[i].tcp, rules[i].tcp_count);
		add_ports(plan, used, rules[i].udp, rules[i].udp_count);
	}
}

static void add_network(struct plan *plan, const struct policy_network *network)
{
	struct plan_device *device = add_device(plan, DEVICE_NETWORK, network->name.text);
	struct plan_network *to = &plan->networks[plan->network_count];
	uint32_t ports = 0;

	device->bandwidth = network->limits.bandwidth.value / 8;
	device->operations = network->limits.packets.value;
	device->as.network = plan->network_count++;
	for (size_t i = 0; i < sizeof(to->mac); i++)
		to->mac[i] = (uint8_t)strtoul(network->mac.text + 3 * i, NULL, 16);
	to->mtu = (uint16_t)network->mtu.value;
	to->is_passt = network->tap.text[0] == '\0';
	to->address_count = network->address_count;
	for (uint32_t i = 0; i < network->address_count; i++)
		to->addresses[i] = to_prefix(network->addresses[i].text);
	to->egress_count = network->egress_count;
	add_rules(to, &ports, network->egress, network->egress_count, to->egress);
	to->ingress_count = network->ingress_count;
	add_rules(to, &ports, network->ingress, network->ingress_count, to->ingress);
}

/* What is zero stays as it is: the launcher's pages of it are not there yet, and most need never be. */
static void clear(struct plan *plan)
{
	const uint8_t *bytes = (const uint8_t *)plan;

	if (bytes[0] != 0 || memcmp(bytes, bytes + 1, sizeof(*plan) - 1) != 0)
		memset(plan, 0, sizeof(*plan));
}

void policy_to_plan(const struct policy *policy, struct plan *plan)
{
	struct plan_device *console;

	clear(plan);
	plan->magic = PLAN_MAGIC;
	plan->version = plan_version();
	plan->size = sizeof(*plan);
	memcpy(plan->name, policy->name.text, sizeof(plan->name));
	memcpy(plan->policy_hash, policy->hash, sizeof(plan->policy_hash));
	plan->vcpus = (uint32_t)policy->machine.vcpus.value;
	plan->ram_size = policy->machine.memory.value;
	plan->run_time_ms = policy->limits.run_time.value;
	plan->memory_overhead = policy->limits.memory_overhead.value;
	plan->cpu_percent = policy->limits.cpu.value;
	plan->tasks = policy->limits.tasks.value;
	plan->log_max = policy->limits.log.value;
	plan->grace_ms = policy->control.grace.value;
	if (policy->jail.smt.value == POLICY_SMT_EXCLUSIVE)
		plan->jail |= PLAN_JAIL_CORE;
	if (policy->jail.no_landlock.value == POLICY_WITHOUT_ALLOW)
		plan->jail |= PLAN_JAIL_NO_LANDLOCK;
	plan->log_failure = policy->audit.on_failure.value == POLICY_HALT       ? PLAN_LOG_HALT
			    : policy->audit.on_failure.value == POLICY_CONTINUE ? PLAN_LOG_CONTINUE
										: PLAN_LOG_REFUSE;
	memcpy(plan->cmdline, policy->cmdline.text, sizeof(plan->cmdline));

	console = add_device(plan, DEVICE_CONSOLE, "console");
	console->as.console.output_max = policy->limits.console.value;
	console->as.console.has_input = policy->console.input.value != POLICY_INPUT_NONE;
	console->as.console.filter_escapes = policy->console.escapes.value == POLICY_ESCAPES_FILTER;
	for (uint32_t i = 0; i < policy->disk_count; i++)
		add_disk(plan, &policy->disks[i]);
	for (uint32_t i = 0; i < policy->network_count; i++)
		add_network(plan, &policy->networks[i]);
	add_device(plan, DEVICE_ENTROPY, "entropy")->bandwidth = policy->entropy.limits.bandwidth.value;
	if (policy->balloon.at.line != 0)
		add_balloon(plan, &policy->balloon);
	if (policy->vsock.at.line != 0)
		add_vsock(plan, &policy->vsock);
}
