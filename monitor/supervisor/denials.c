/* Frames that a network's device process did not let pass, vsock's packets and callers, as the log has them: of each
 * reason the first at once, then their number every DELAYS_EVERY_MS and at the end, with the other end of the last one.
 * Believes no number of the device's beyond its own frames.
 */
#include "monitor/supervisor/supervisor.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { PEER_SIZE = 64 };

static void describe_peer(const uint64_t where[static 3], char text[static PEER_SIZE])
{
	char address[INET6_ADDRSTRLEN] = "";
	unsigned family = (unsigned)(where[2] >> 32), protocol = where[2] >> 16 & 0xff, port = where[2] & 0xffff;
	const char *name = protocol == IPPROTO_TCP                                  ? " tcp"
			   : protocol == IPPROTO_UDP                                ? " udp"
			   : protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? " icmp"
										    : NULL;
	text[0] = 0;
	if ((family != 4 && family != 6) ||
	    inet_ntop(family == 4 ? AF_INET : AF_INET6, where, address, sizeof(address)) == NULL)
		return;
	int used = snprintf(text, PEER_SIZE, "%s", address);
	if (name == NULL)
		snprintf(text + used, PEER_SIZE - (size_t)used, " protocol %u", protocol);
	else if (port != 0)
		snprintf(text + used, PEER_SIZE - (size_t)used, "%s %u", name, port);
	else
		snprintf(text + used, PEER_SIZE - (size_t)used, "%s", name);
}

bool journal_may_deny(const struct supervisor *vm, uint32_t index, uint32_t denial)
{
	enum device_kind kind = vm->plan->devices[index - MEMBER_DEVICE].kind;
	bool is_vsocks = denial == DENIAL_PORT || denial == DENIAL_CALLER;
	if (kind == DEVICE_VSOCK)
		return is_vsocks || denial == DENIAL_SOURCE_ADDRESS;
	return kind == DEVICE_NETWORK && !is_vsocks && denial > DENIAL_NONE && denial < DENIALS;
}

static bool is_vsock(const struct supervisor *vm, uint32_t index)
{
	return vm->plan->devices[index - MEMBER_DEVICE].kind == DEVICE_VSOCK;
}

/* By reason; of a network's member and vsock's alone. */
static struct denied *denied_of(struct supervisor *vm, uint32_t index)
{
	const struct plan_device *device = &vm->plan->devices[index - MEMBER_DEVICE];
	return vm->denied[device->kind == DEVICE_VSOCK ? PLAN_NETWORKS_MAX : device->as.network];
}

static void send_denied(struct supervisor *vm, uint32_t index, uint32_t denial)
{
	struct denied *denied = &denied_of(vm, index)[denial];
	struct audit_packet packet;
	char peer[PEER_SIZE] = "";
	if (!is_vsock(vm, index))
		describe_peer(denied->where, peer);
	else if (denial != DENIAL_SOURCE_ADDRESS)
		snprintf(peer, sizeof(peer), "port %u", (unsigned)denied->where[2]);
	audit_begin(&packet, AUDIT_FRAMES_DENIED);
	audit_add_string(&packet, AUDIT_DEVICE, vm->plan->devices[index - MEMBER_DEVICE].name);
	audit_add_u64(&packet, AUDIT_DENIAL, denial);
	audit_add_string(&packet, AUDIT_PEER, peer);
	audit_add_u64(&packet, AUDIT_COUNT, denied->frames.count);
	audit_add_u64(&packet, AUDIT_FIRST, denied->frames.first);
	audit_add_u64(&packet, AUDIT_LAST, denied->frames.last);
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		denied->frames.count = 0;
}

void journal_denied(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	struct denied *denied = &denied_of(vm, index)[message->code];
	for (unsigned i = 0; i < 3; i++)
		denied->where[i] = message->value[1 + i];
	if (delays_add(&denied->frames, message->value[0], now))
		send_denied(vm, index, message->code);
}

void journal_settle_denied(struct supervisor *vm, uint32_t index)
{
	if (!is_vsock(vm, index) && vm->plan->devices[index - MEMBER_DEVICE].kind != DEVICE_NETWORK)
		return;
	for (uint32_t i = 0; i < DENIALS; i++)
		if (denied_of(vm, index)[i].frames.count > 0)
			send_denied(vm, index, i);
}
