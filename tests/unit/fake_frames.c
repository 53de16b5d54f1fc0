/* See fake_frames.h. */
#include "tests/unit/fake_frames.h"

#include <string.h>

#define MAC_OURS 2, 0, 0, 0, 0, 7
#define MAC_PEER 2, 0, 0, 0, 0, 9
#define IP4_OURS 10, 0, 0, 7
#define IP4_PEER 10, 0, 0, 9
#define IP6_OURS 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7
#define IP6_PEER 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9
#define IP6_ALL 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
#define TO_PEER MAC_PEER, MAC_OURS
#define TO_ALL 255, 255, 255, 255, 255, 255, MAC_OURS
#define PEERS4                                                                                                         \
	4, 24,                                                                                                         \
	{                                                                                                              \
		10, 0, 0, 0                                                                                            \
	}
#define PEERS6                                                                                                         \
	6, 64,                                                                                                         \
	{                                                                                                              \
		0xfd                                                                                                   \
	}

const struct plan_network fake_network = {
    .mac = {MAC_OURS},
    .mtu = 1500,
    .address_count = 2,
    .addresses = {{4, 32, {IP4_OURS}}, {6, 128, {IP6_OURS}}},
    .egress_count = 2,
    .egress = {{{PEERS4}, 0, 2, 1, 1}, {{PEERS6}, 0, 2, 1, 1}},
    .ingress_count = 2,
    .ingress = {{{4, 25, {10, 0, 0, 0}}, 3, 1, 1, 1}, {{PEERS6}, 3, 1, 1, 1}},
    .ports = {{443, 443}, {8000, 8080}, {53, 53}, {22, 22}, {5000, 5000}},
};

/* clang-format off */
#define IP4(size, protocol) 8, 0, 0x45, 0, 0, 20 + (size), 0, 1, 0x40, 0, 64, (protocol), 0, 0, IP4_OURS, IP4_PEER
#define IP6(size, protocol, to) 0x86, 0xdd, 0x60, 0, 0, 0, 0, (size), (protocol), 255, IP6_OURS, to
#define TCP_SYN 15, 160, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 1, 0, 0, 0, 0, 'd', 'a', 't', 'a', '!', '!'
#define UDP_53 15, 160, 0, 53, 0, 12, 0, 0, 'a', 's', 'k', '?'
#define ARP(operation) 8, 6, 0, 1, 8, 0, 6, 4, 0, (operation), MAC_OURS, IP4_OURS, 0, 0, 0, 0, 0, 0, IP4_PEER

static const struct {
	uint32_t size;
	uint8_t bytes[128];
} frames[FAKE_FRAMES] = {
    [FAKE_TCP4] = {60, {TO_PEER, IP4(26, 6), TCP_SYN}},
    [FAKE_UDP4] = {46, {TO_PEER, IP4(12, 17), UDP_53}},
    [FAKE_PING4] = {42, {TO_PEER, IP4(8, 1), 8, 0, 0, 0, 0, 1, 0, 1}},
    [FAKE_TCP6] = {80, {TO_PEER, IP6(26, 6, IP6_PEER), TCP_SYN}},
    [FAKE_UDP6] = {66, {TO_PEER, IP6(12, 17, IP6_PEER), UDP_53}},
    [FAKE_PING6] = {62, {TO_PEER, IP6(8, 58, IP6_PEER), 128, 0, 0, 0, 0, 1, 0, 1}},
    [FAKE_ARP_REQUEST] = {42, {TO_ALL, ARP(1)}},
    [FAKE_ARP_REPLY] = {42, {TO_PEER, ARP(2)}},
    [FAKE_SOLICITATION] = {86, {TO_ALL, IP6(32, 58, IP6_ALL), 135, 0, 0, 0, 0, 0, 0, 0, IP6_PEER, 1, 1, MAC_OURS}},
    [FAKE_ADVERTISEMENT] = {86, {TO_ALL, IP6(32, 58, IP6_ALL), 136, 0, 0, 0, 0x60, 0, 0, 0, IP6_OURS, 2, 1, MAC_OURS}},
    [FAKE_ROUTER_SOLICITATION] = {70, {TO_ALL, IP6(16, 58, IP6_ALL), 133, 0, 0, 0, 0, 0, 0, 0, 1, 1, MAC_OURS}},
};
/* clang-format on */

uint32_t fake_frame(enum fake_frame which, uint8_t bytes[static FAKE_FRAME_MAX])
{
	memset(bytes, 0, FAKE_FRAME_MAX);
	memcpy(bytes, frames[which].bytes, frames[which].size);
	return frames[which].size;
}

uint32_t fake_frame_turned(enum fake_frame which, uint8_t bytes[static FAKE_FRAME_MAX])
{
	enum { ADDRESSES4 = 26, ADDRESSES6 = 22, PORTS4 = 34, PORTS6 = 54 };
	bool is_six = which >= FAKE_TCP6;
	const uint8_t *was = frames[which].bytes;
	uint32_t ip = is_six ? ADDRESSES6 : ADDRESSES4, length = is_six ? 16 : 4, ports = is_six ? PORTS6 : PORTS4;
	uint32_t size = fake_frame(which, bytes);

	memcpy(bytes, was + 6, 6);
	memcpy(bytes + 6, was, 6);
	memcpy(bytes + ip, was + ip + length, length);
	memcpy(bytes + ip + length, was + ip, length);
	if (which != FAKE_PING4 && which != FAKE_PING6) {
		memcpy(bytes + ports, was + ports + 2, 2);
		memcpy(bytes + ports + 2, was + ports, 2);
	}
	return size;
}
