/* Whether a frame may pass, by a network's part of the plan: pure functions of its bytes.
 *
 * Trusts the plan's ranges (plan_is_valid) and no byte of the frame, which the caller keeps where nobody changes it
 * meanwhile. What is not understood to its last header is denied, so that nothing can hide behind it: VLAN tags, IP
 * options, extension headers, fragments, lengths that do not agree. Keeps no state: an answer is known by its ports,
 * and by not being the first segment of a TCP connection.
 */
#ifndef DEVICES_FRAMES_H
#define DEVICES_FRAMES_H

#include "monitor/protocol.h"

#include <stdint.h>

enum {
	FRAME_HEADER = 14, /* Ethernet's */
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMP6 = 58,
};

/* What was understood of a frame that passed. Offsets are from its start. */
struct frame {
	uint32_t family;                 /* 4, 6; 0: ARP */
	uint32_t protocol;               /* of the above */
	const uint8_t *from, *to;        /* addresses of the family's size */
	uint32_t network, transport;     /* offsets of the IP header and of what it carries */
	uint32_t end;                    /* of the packet */
	uint32_t rule;                   /* enum traffic_kind: what let it pass */
	uint32_t payload;                /* offset of what follows the header at `transport` */
	uint16_t source, port;           /* TCP and UDP */
	uint8_t flags, type, code, hops; /* TCP; ICMP; ICMP; IPv6 */
};

/* A frame of `size` bytes from the guest: DENIAL_NONE, or why it must not leave. */
enum denial frame_check_egress(const struct plan_network *network, const uint8_t *bytes, uint32_t size,
			       struct frame *frame);

/* The same for one that came for the guest. */
enum denial frame_check_ingress(const struct plan_network *network, const uint8_t *bytes, uint32_t size,
				struct frame *frame);

#endif
