/* Checks the plan. Runs in every jailed program on what the launcher wrote; trusts none of it. */
#include "policy/plan.h"

#include <string.h>

static bool ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool flag(uint32_t value)
{
	return value <= 1;
}

static bool prefix_is_valid(const struct plan_prefix *prefix)
{
	return (prefix->family == 4 && prefix->bits <= 32) || (prefix->family == 6 && prefix->bits <= 128);
}

static bool rule_is_valid(const struct plan_rule *rule)
{
	return prefix_is_valid(&rule->peer) && flag(rule->icmp) && rule->first_port <= PLAN_PORTS_MAX &&
	       rule->tcp_count <= PLAN_PORTS_MAX - rule->first_port &&
	       rule->udp_count <= PLAN_PORTS_MAX - rule->first_port - rule->tcp_count;
}

static bool network_is_valid(const struct plan_network *network)
{
	if ((network->mac[0] & 1) != 0 || network->mtu < PLAN_MTU_MIN || network->mtu > PLAN_MTU_MAX ||
	    !flag(network->is_passt) || network->address_count > PLAN_ADDRESSES_MAX ||
	    network->egress_count > PLAN_RULES_MAX || network->ingress_count > PLAN_RULES_MAX)
		return false;
	for (uint32_t i = 0; i < network->address_count; i++)
		if (!prefix_is_valid(&network->addresses[i]) ||
		    network->addresses[i].bits != (network->addresses[i].family == 4 ? 32 : 128))
			return false;
	for (uint32_t i = 0; i < network->egress_count; i++)
		if (!rule_is_valid(&network->egress[i]))
			return false;
	for (uint32_t i = 0; i < network->ingress_count; i++)
		if (!rule_is_valid(&network->ingress[i]))
			return false;
	return true;
}

static bool vsock_is_valid(const struct plan_vsock *vsock)
{
	return vsock->connections > 0 && vsock->connections <= PLAN_VSOCK_CONNECTIONS_MAX && vsock->buffer > 0 &&
	       vsock->buffer <= PLAN_VSOCK_BUFFER_MAX && (vsock->buffer & (vsock->buffer - 1)) == 0 &&
	       vsock->guest_may.count <= PLAN_VSOCK_PORTS_MAX && vsock->host_may.count <= PLAN_VSOCK_PORTS_MAX;
}

static bool device_is_valid(const struct plan *plan, const struct plan_device *device)
{
	if (!ends(device->name, sizeof(device->name)))
		return false;
	switch (device->kind) {
	case DEVICE_DISK:
		return flag(device->as.disk.read_only) && device->as.disk.sectors > 0 &&
		       device->as.disk.sectors <= UINT64_MAX / 512 && device->as.disk.overlay <= PLAN_OVERLAY_KEEP &&
		       (device->as.disk.overlay == PLAN_OVERLAY_NONE ||
			(device->as.disk.read_only == 0 && device->as.disk.sectors <= PLAN_OVERLAY_SECTORS_MAX));
	case DEVICE_CONSOLE:
		return flag(device->as.console.has_input) && flag(device->as.console.is_terminal) &&
		       flag(device->as.console.filter_escapes) && device->as.console.columns <= UINT16_MAX &&
		       device->as.console.rows <= UINT16_MAX;
	case DEVICE_BALLOON:
		return flag(device->as.balloon.reporting) && device->as.balloon.minimum <= PLAN_RAM_MAX;
	case DEVICE_VSOCK:
		return vsock_is_valid(&device->as.vsock);
	case DEVICE_ENTROPY:
		return true;
	case DEVICE_NETWORK:
		return device->as.network < plan->network_count;
	default:
		return false;
	}
}

#ifndef PLAN_VERSION /* the Makefile's: a hash of the headers that the programs of one build share */
#define PLAN_VERSION 1
#endif
uint32_t plan_version(void)
{
	return PLAN_VERSION;
}

bool plan_is_valid(const struct plan *plan)
{
	if (plan->magic != PLAN_MAGIC || plan->version != plan_version() || plan->size != sizeof(*plan))
		return false;
	if (!ends(plan->name, sizeof(plan->name)) || !ends(plan->cmdline, sizeof(plan->cmdline)))
		return false;
	if (plan->vcpus < 1 || plan->vcpus > PLAN_VCPUS_MAX || plan->device_count > PLAN_DEVICES_MAX)
		return false;
	if (plan->ram_size < PLAN_RAM_MIN || plan->ram_size > PLAN_RAM_MAX || plan->ram_size % (UINT64_C(2) << 20) != 0)
		return false;
	if ((plan->jail & ~(uint32_t)PLAN_JAIL_ALL) != 0)
		return false;
	if (plan->network_count > PLAN_NETWORKS_MAX)
		return false;
	for (uint32_t i = 0; i < plan->network_count; i++)
		if (!network_is_valid(&plan->networks[i]))
			return false;
	if (plan->log_failure > PLAN_LOG_CONTINUE)
		return false;
	for (uint32_t i = 0; i < plan->device_count; i++)
		if (!device_is_valid(plan, &plan->devices[i]))
			return false;
	return true;
}
