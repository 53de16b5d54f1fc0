/* Tests and fuzzing: frames of a guest with MAC 02:00:00:00:00:07, 10.0.0.7 and fd00::7, and its network's rules. */
#ifndef TESTS_UNIT_FAKE_FRAMES_H
#define TESTS_UNIT_FAKE_FRAMES_H

#include "devices/frames.h"

enum {
	FAKE_FRAME_MAX = 256,
	NETWORK_FRAME_MAX = 14 + 65535, /* bytes of the largest that passes */
	NETWORK_OUT_MAX = 12 + NETWORK_FRAME_MAX,
};

/* virtio 1.2, 5.1.6 */
struct network_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

enum fake_frame {
	FAKE_TCP4, /* SYN to 10.0.0.9 port 443, from 4000, with 6 bytes of data */
	FAKE_UDP4, /* port 53 */
	FAKE_PING4,
	FAKE_TCP6, /* to fd00::9, as the above */
	FAKE_UDP6,
	FAKE_PING6,
	FAKE_ARP_REQUEST, /* who has 10.0.0.9? */
	FAKE_ARP_REPLY,
	FAKE_SOLICITATION,  /* who has fd00::9? with our link-layer address */
	FAKE_ADVERTISEMENT, /* fd00::7 is ours */
	FAKE_ROUTER_SOLICITATION,
	FAKE_FRAMES,
};

/* MTU 1500. egress: 10.0.0.0/24 and fd00::/64: TCP 443 and 8000 to 8080, UDP 53, pings. ingress: 10.0.0.0/25 and
   fd00::/64: TCP 22, UDP 5000, pings. */
extern const struct plan_network fake_network;

/* Writes the frame into `bytes`, zeroed before; answers its size. */
uint32_t fake_frame(enum fake_frame which, uint8_t bytes[static FAKE_FRAME_MAX]);

/* The same, of TCP, UDP or a ping, as the peer would send it: MAC and IP addresses and ports the other way round. */
uint32_t fake_frame_turned(enum fake_frame which, uint8_t bytes[static FAKE_FRAME_MAX]);

#endif
