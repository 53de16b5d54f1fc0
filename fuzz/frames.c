/* Fuzzing what decides whether a frame may pass: the input is a way, a few changes to the network's rules, and a frame.
 * It lies in memory of its exact size. What passes is held to what was promised by code that reads it differently: from
 * the fields' own places, with no more than one shape allowed.
 */
#include "tests/unit/fake_frames.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SETUP = 4 }; /* bytes before the frame */

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

static bool is_one_of(const struct plan_network *network, const uint8_t *address, uint32_t family)
{
	for (uint32_t i = 0; i < network->address_count; i++)
		if (network->addresses[i].family == family &&
		    memcmp(network->addresses[i].bytes, address, family == 4 ? 4 : 16) == 0)
			return true;
	return false;
}

/* In the /64 of an address of the guest's. */
static bool is_beside(const struct plan_network *network, const uint8_t *address)
{
	for (uint32_t i = 0; i < network->address_count; i++)
		if (network->addresses[i].family == 6 && memcmp(network->addresses[i].bytes, address, 8) == 0)
			return true;
	return false;
}

static bool bits_agree(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
	for (uint32_t i = 0; i < bits; i++)
		if (((a[i / 8] ^ b[i / 8]) & 0x80 >> i % 8) != 0)
			return false;
	return true;
}

static bool has_peer(const struct plan_rule *rules, uint32_t count, const uint8_t *address, uint32_t family)
{
	for (uint32_t i = 0; i < count; i++)
		if (rules[i].peer.family == family && bits_agree(rules[i].peer.bytes, address, rules[i].peer.bits))
			return true;
	return false;
}

static bool has_port(const struct plan_network *network, unsigned port)
{
	for (unsigned i = 0; i < PLAN_PORTS_MAX; i++)
		if (port >= network->ports[i].first && port <= network->ports[i].last && port != 0)
			return true;
	return false;
}

/* Of what passed: the address of the other end, of a family whose packets it is. */
static void check_ip(const struct plan_network *network, const uint8_t *bytes, uint32_t size, bool is_egress)
{
	bool is_four = bytes[12] == 8;
	uint32_t header = is_four ? 34 : 54, family = is_four ? 4 : 6, length = is_four ? 4 : 16;
	const uint8_t *from = bytes + (is_four ? 26 : 22), *to = from + length;
	unsigned protocol = bytes[is_four ? 23 : 20];

	require(size >= header + 8);
	if (is_four) /* one shape of header, whole, and nothing behind the packet but padding */
		require(bytes[14] == 0x45 && (bytes[20] & ~0x40) == 0 && bytes[21] == 0 &&
			(14 + bytes[16] * 256U + bytes[17] == size || size <= 60));
	else
		require(bytes[14] >> 4 == 6 && (54 + bytes[18] * 256U + bytes[19] == size || size <= 60));
	require(protocol == 6 || protocol == 17 || protocol == (is_four ? 1 : 58));
	unsigned type = bytes[header];
	if (protocol == 58 && type >= 133 && type <= 137) {
		require(bytes[21] == 255);
		if (is_egress)
			require(type != 134 && type != 137 &&
				(to[0] == 0xff || to[0] == 0xfe || is_beside(network, to)));
		if (is_egress && type == 136)
			require(size >= header + 24 && is_one_of(network, bytes + header + 8, 6));
		return;
	}
	require(is_one_of(network, is_egress ? from : to, family));
	bool is_error = protocol == 1 ? type == 3 || type == 11 || type == 12 : protocol == 58 && type - 1 < 4;
	if (!is_egress && is_error) { /* about a packet of the guest's, to somebody */
		const uint8_t *about = bytes + header + 8;
		require(size >= header + 8 + (is_four ? 28 : 48) && about[0] >> 4 == family);
		require(is_one_of(network, about + (is_four ? 12 : 8), family));
		from = bytes + header + 8 + (is_four ? 16 : 24);
		require(has_peer(network->egress, network->egress_count, from, family) ||
			has_peer(network->ingress, network->ingress_count, from, family));
		return;
	}
	const uint8_t *peer = is_egress ? to : from;
	if (is_egress) /* not to the host itself, nor to IPv4 in IPv6's clothes */
		require(is_four ? to[0] != 0 && to[0] != 127 : memcmp(to, (const uint8_t[10]){0}, 10) != 0);
	require(has_peer(network->egress, network->egress_count, peer, family) ||
		has_peer(network->ingress, network->ingress_count, peer, family));
	if (protocol == 6 || protocol == 17)
		require(has_port(network, bytes[header] * 256U + bytes[header + 1]) ||
			has_port(network, bytes[header + 2] * 256U + bytes[header + 3]));
	else
		require(type == 0 || type == 8 || type == 128 || type == 129);
}

static void check(const struct plan_network *network, const uint8_t *bytes, uint32_t size, bool is_egress)
{
	require(size >= 14);
	if (is_egress)
		require(memcmp(bytes + 6, network->mac, 6) == 0);
	if (bytes[12] == 8 && bytes[13] == 6) {
		if (is_egress)
			require(size >= 42 && memcmp(bytes + 22, network->mac, 6) == 0 &&
				(is_one_of(network, bytes + 28, 4) || is_one_of(network, bytes + 38, 4)));
		return;
	}
	require((bytes[12] == 8 && bytes[13] == 0) || (bytes[12] == 0x86 && bytes[13] == 0xdd));
	check_ip(network, bytes, size, is_egress);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct plan_network network = fake_network;
	struct frame frame;

	if (size < SETUP || size > SETUP + 65549)
		return 0;
	bool is_egress = (input[0] & 1) != 0;
	network.egress_count = input[0] >> 1 & 1 ? 0 : 2;
	network.ingress_count = input[0] >> 2 & 1 ? 0 : 2;
	network.address_count = input[0] >> 3 & 1 ? 1 : 2;
	network.egress[0].peer.bits = input[1] % 33;
	network.egress[1].peer.bits = input[2] % 129;
	network.egress[1].peer.bytes[15] = input[3];
	uint32_t length = (uint32_t)(size - SETUP);
	uint8_t *bytes = malloc(length > 0 ? length : 1); /* so that the address sanitizer knows its end */
	require(bytes != NULL);
	memcpy(bytes, input + SETUP, length);
	enum denial denial = is_egress ? frame_check_egress(&network, bytes, length, &frame)
				       : frame_check_ingress(&network, bytes, length, &frame);
	require(denial < DENIALS);
	if (denial == DENIAL_NONE)
		check(&network, bytes, length, is_egress);
	free(bytes);
	return 0;
}
