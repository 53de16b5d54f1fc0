/* Whether a frame may pass. See frames.h for what is trusted. Offsets are those of RFC 826, 791, 8200, 9293, 768, 792,
 * 4443 and 4861.
 */
#include "devices/frames.h"

#include <string.h>

enum {
	MAC_SIZE = 6,
	TYPE = 12, /* of what the frame carries, behind both MACs */
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IP6 = 0x86dd,
	FRAME_PADDED = 60, /* shorter ones are filled up to this */
	IP4_HEADER = 20,   /* without options */
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	TCP_SYN = 2,
	TCP_ACK = 16,
	ECHO_REPLY = 0,
	ECHO_REQUEST = 8,
	ECHO6_REQUEST = 128,
	ECHO6_REPLY = 129,
	ROUTER_SOLICITATION = 133,
	NEIGHBOUR_SOLICITATION = 135,
	NEIGHBOUR_ADVERTISEMENT = 136,
	NEIGHBOUR_LAST = 137, /* the first is ROUTER_SOLICITATION */
	OPTION_SOURCE = 1,
	OPTION_TARGET = 2,
	OPTION_NONCE = 14,
	OPTIONS_MAX = 16, /* bytes: an address and a nonce; many nonces could carry anything */
};

static const uint8_t nobody[16];

static uint16_t load16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* ---- addresses ---- */

static bool is_within(const struct plan_prefix *prefix, uint32_t family, const uint8_t *address)
{
	uint32_t whole = prefix->bits / 8, rest = prefix->bits % 8;

	return prefix->family == family && memcmp(prefix->bytes, address, whole) == 0 &&
	       (rest == 0 || ((prefix->bytes[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

static bool is_guests(const struct plan_network *network, uint32_t family, const uint8_t *address)
{
	for (uint32_t i = 0; i < network->address_count; i++)
		if (is_within(&network->addresses[i], family, address))
			return true;
	return false;
}

/* ---- what a frame is ---- */

/* The first bytes are ports, or type and code. */
static void read_start(const uint8_t *at, struct frame *frame)
{
	frame->source = load16(at);
	frame->port = load16(at + 2);
	frame->type = at[0];
	frame->code = at[1];
}

static enum denial parse_transport(const uint8_t *bytes, struct frame *frame)
{
	const uint8_t *at = bytes + frame->transport;
	uint32_t size = frame->end - frame->transport, header = ICMP_HEADER;

	if (frame->protocol == PROTOCOL_TCP) {
		if (size < TCP_HEADER)
			return DENIAL_MALFORMED;
		header = (at[12] >> 4) * 4U;
		if (header < TCP_HEADER)
			return DENIAL_MALFORMED;
		frame->flags = at[13];
	} else if (frame->protocol == PROTOCOL_UDP) {
		if (size < UDP_HEADER || load16(at + 4) != size)
			return DENIAL_MALFORMED;
		header = UDP_HEADER;
	} else if (frame->protocol != (frame->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6)) {
		return DENIAL_PROTOCOL;
	}
	if (size < header)
		return DENIAL_MALFORMED;
	frame->payload = frame->transport + header;
	read_start(at, frame);
	return DENIAL_NONE;
}

static enum denial parse_ip4(const uint8_t *bytes, uint32_t size, struct frame *frame)
{
	const uint8_t *at = bytes + FRAME_HEADER;

	if (size < FRAME_HEADER + IP4_HEADER || at[0] >> 4 != 4 || (at[0] & 15) < IP4_HEADER / 4)
		return DENIAL_MALFORMED;
	if ((at[0] & 15) > IP4_HEADER / 4) /* one of them names where the packet really goes */
		return DENIAL_OPTIONS;
	uint32_t total = load16(at + 2);
	if (total < IP4_HEADER || total > size - FRAME_HEADER)
		return DENIAL_MALFORMED;
	if ((load16(at + 6) & 0xbfff) != 0) /* all but Don't Fragment */
		return DENIAL_FRAGMENT;
	frame->family = 4;
	frame->protocol = at[9];
	frame->from = at + 12;
	frame->to = at + 16;
	frame->transport = FRAME_HEADER + IP4_HEADER;
	frame->end = FRAME_HEADER + total;
	return DENIAL_NONE;
}

static enum denial parse_ip6(const uint8_t *bytes, uint32_t size, struct frame *frame)
{
	/* hop-by-hop, routing, encryption, authentication, no next, destination, mobility, identity, shim */
	static const uint8_t extensions[] = {0, 43, 50, 51, 59, 60, 135, 139, 140};
	const uint8_t *at = bytes + FRAME_HEADER;

	if (size < FRAME_HEADER + IP6_HEADER || at[0] >> 4 != 6)
		return DENIAL_MALFORMED;
	uint32_t length = load16(at + 4);
	if (length > size - FRAME_HEADER - IP6_HEADER)
		return DENIAL_MALFORMED;
	if (at[6] == 44)
		return DENIAL_FRAGMENT;
	if (memchr(extensions, at[6], sizeof(extensions)) != NULL)
		return DENIAL_OPTIONS;
	frame->family = 6;
	frame->protocol = at[6];
	frame->hops = at[7];
	frame->from = at + 8;
	frame->to = at + 24;
	frame->transport = FRAME_HEADER + IP6_HEADER;
	frame->end = frame->transport + length;
	return DENIAL_NONE;
}

static enum denial parse(const uint8_t *bytes, uint32_t size, struct frame *frame)
{
	*frame = (struct frame){.network = FRAME_HEADER, .end = size, .rule = TRAFFIC_LINK};
	if (size < FRAME_HEADER)
		return DENIAL_MALFORMED;
	uint16_t type = load16(bytes + TYPE);
	if (type == TYPE_ARP)
		return DENIAL_NONE;
	if (type != TYPE_IP4 && type != TYPE_IP6) /* 802.3's lengths, and VLAN tags, are among these */
		return DENIAL_PROTOCOL;
	enum denial denial = (type == TYPE_IP4 ? parse_ip4 : parse_ip6)(bytes, size, frame);
	if (denial == DENIAL_NONE && frame->end != size && size > FRAME_PADDED)
		return DENIAL_MALFORMED;
	return denial != DENIAL_NONE ? denial : parse_transport(bytes, frame);
}

/* ---- ARP and neighbour discovery: the guest speaks for itself alone ---- */

static enum denial check_arp(const struct plan_network *network, const uint8_t *bytes, uint32_t size)
{
	static const uint8_t ethernet_ip4[] = {0, 1, 8, 0, 6, 4, 0};
	const uint8_t *at = bytes + FRAME_HEADER;

	if (size < FRAME_HEADER + 28 || size > FRAME_PADDED || memcmp(at, ethernet_ip4, sizeof(ethernet_ip4)) != 0 ||
	    (at[7] != 1 && at[7] != 2) || memcmp(at + 8, network->mac, MAC_SIZE) != 0)
		return DENIAL_ARP;
	if (is_guests(network, 4, at + 14))
		return DENIAL_NONE;
	/* RFC 5227: whether somebody has the address that it is to have */
	return at[7] == 1 && memcmp(at + 14, nobody, 4) == 0 && is_guests(network, 4, at + 24) ? DENIAL_NONE
											       : DENIAL_ARP;
}

static bool are_options_good(const struct plan_network *network, const uint8_t *at, uint32_t size)
{
	for (uint32_t length; size > 0; at += length, size -= length) {
		length = size >= 8 ? at[1] * 8U : 0;
		if (length != 8 || (at[0] != OPTION_SOURCE && at[0] != OPTION_TARGET && at[0] != OPTION_NONCE))
			return false;
		if (at[0] != OPTION_NONCE && memcmp(at + 2, network->mac, MAC_SIZE) != 0)
			return false;
	}
	return true;
}

/* On the link, as far as an address shows it: what routers pass on could carry anything to anybody. */
static bool is_on_link(const struct plan_network *network, const uint8_t *address)
{
	static const struct plan_prefix links[] = {{6, 16, {0xff, 0x02}}, {6, 10, {0xfe, 0x80}}};

	if (is_within(&links[0], 6, address) || is_within(&links[1], 6, address))
		return true;
	for (uint32_t i = 0; i < network->address_count; i++)
		if (network->addresses[i].family == 6 && memcmp(network->addresses[i].bytes, address, 8) == 0)
			return true;
	return false;
}

static enum denial check_neighbour(const struct plan_network *network, const uint8_t *bytes, const struct frame *frame)
{
	const uint8_t *at = bytes + frame->transport, *target = at + 8;
	uint32_t size = frame->end - frame->transport, fixed = frame->type == ROUTER_SOLICITATION ? 8 : 24;
	bool is_nobodys = memcmp(frame->from, nobody, 16) == 0;

	if (size < fixed || size - fixed > OPTIONS_MAX || frame->hops != 255 || frame->code != 0 ||
	    !is_on_link(network, frame->to) || !are_options_good(network, at + fixed, size - fixed) ||
	    (!is_nobodys && !is_guests(network, 6, frame->from)))
		return DENIAL_NEIGHBOUR;
	/* A solicitation of nobody's asks whether somebody has the address that it is to have. */
	if (frame->type == ROUTER_SOLICITATION || (frame->type == NEIGHBOUR_SOLICITATION && !is_nobodys))
		return DENIAL_NONE;
	bool is_about_itself = frame->type == (is_nobodys ? NEIGHBOUR_SOLICITATION : NEIGHBOUR_ADVERTISEMENT);
	return is_about_itself && is_guests(network, 6, target) ? DENIAL_NONE : DENIAL_NEIGHBOUR;
}

static bool is_neighbour_discovery(const struct frame *frame)
{
	return frame->protocol == PROTOCOL_ICMP6 && frame->type >= ROUTER_SOLICITATION && frame->type <= NEIGHBOUR_LAST;
}

/* ---- rules ---- */

static bool has_port(const struct plan_network *network, const struct plan_rule *rule, uint32_t protocol, uint16_t port)
{
	bool is_tcp = protocol == PROTOCOL_TCP;
	const struct plan_ports *ports = network->ports + rule->first_port + (is_tcp ? 0 : rule->tcp_count);

	for (uint32_t count = is_tcp ? rule->tcp_count : rule->udp_count; count > 0; count--, ports++)
		if (port >= ports->first && port <= ports->last)
			return true;
	return false;
}

/* Whether the rule lets a frame pass that begins something (or goes on with it), or one that answers. */
static bool is_allowed(const struct plan_network *network, const struct plan_rule *rule, const struct frame *frame,
		       const uint8_t *peer, bool is_answer)
{
	bool is_first = (frame->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	uint8_t wanted =
	    frame->family == 4 ? (is_answer ? ECHO_REPLY : ECHO_REQUEST) : (is_answer ? ECHO6_REPLY : ECHO6_REQUEST);

	if (!is_within(&rule->peer, frame->family, peer))
		return false;
	if (frame->protocol == PROTOCOL_ICMP || frame->protocol == PROTOCOL_ICMP6)
		return rule->icmp != 0 && frame->type == wanted && frame->code == 0;
	if (is_answer && frame->protocol == PROTOCOL_TCP && is_first)
		return false;
	return has_port(network, rule, frame->protocol, is_answer ? frame->source : frame->port);
}

/* By a rule of its own direction, or as the answer to what one of the other lets pass. */
static bool passes(const struct plan_network *network, struct frame *frame, const uint8_t *peer, bool is_egress)
{
	for (uint32_t i = 0; i < network->egress_count + network->ingress_count; i++) {
		bool is_out = i < network->egress_count;
		uint32_t at = is_out ? i : i - network->egress_count;
		const struct plan_rule *rule = is_out ? &network->egress[at] : &network->ingress[at];
		if (is_allowed(network, rule, frame, peer, is_out != is_egress)) {
			frame->rule = at + (is_out ? TRAFFIC_EGRESS : TRAFFIC_INGRESS);
			return true;
		}
	}
	return false;
}

/* 0.0.0.0/8, 127.0.0.0/8 and ::/80: on no network, but for a program that has sockets, as passt, they are the host
   itself, or (::ffff:10.0.0.1) IPv4, of which the rules for IPv6 say nothing. */
static bool is_of_sockets(const struct frame *frame)
{
	return frame->family == 4 ? frame->to[0] == 0 || frame->to[0] == 127 : memcmp(frame->to, nobody, 10) == 0;
}

enum denial frame_check_egress(const struct plan_network *network, const uint8_t *bytes, uint32_t size,
			       struct frame *frame)
{
	enum denial denial = parse(bytes, size, frame);

	if (size >= FRAME_HEADER && memcmp(bytes + MAC_SIZE, network->mac, MAC_SIZE) != 0)
		return DENIAL_SOURCE_MAC;
	if (denial != DENIAL_NONE)
		return denial;
	if (frame->family == 0)
		return check_arp(network, bytes, size);
	if (is_neighbour_discovery(frame))
		return check_neighbour(network, bytes, frame);
	if (!is_guests(network, frame->family, frame->from))
		return DENIAL_SOURCE_ADDRESS;
	return !is_of_sockets(frame) && passes(network, frame, frame->to, true) ? DENIAL_NONE : DENIAL_EGRESS;
}

/* What says that something could not be delivered, and how large it may be: no guest works well without. It repeats the
   start of what it is about: a packet that may leave here, or it is no error but whatever its sender likes. */
static bool is_error(const struct plan_network *network, const uint8_t *bytes, const struct frame *frame)
{
	bool is_4 = frame->family == 4;
	bool is_kind =
	    is_4 ? frame->type == 3 || frame->type == 11 || frame->type == 12 : frame->type >= 1 && frame->type <= 4;
	uint32_t header = is_4 ? IP4_HEADER : IP6_HEADER;
	const uint8_t *at = bytes + frame->payload;

	if (frame->protocol != (is_4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6) || !is_kind ||
	    frame->end - frame->payload < header + ICMP_HEADER || (is_4 ? at[0] != 0x45 : at[0] >> 4 != 6))
		return false;
	struct frame about = {.family = frame->family, .protocol = at[is_4 ? 9 : 6]};
	read_start(at + header, &about);
	return is_guests(network, about.family, at + (is_4 ? 12 : 8)) &&
	       passes(network, &about, at + (is_4 ? 16 : 24), true);
}

enum denial frame_check_ingress(const struct plan_network *network, const uint8_t *bytes, uint32_t size,
				struct frame *frame)
{
	if (parse(bytes, size, frame) != DENIAL_NONE ||
	    ((bytes[0] & 1) == 0 && memcmp(bytes, network->mac, MAC_SIZE) != 0))
		return DENIAL_INGRESS;
	if (frame->family == 0 || (is_neighbour_discovery(frame) && frame->hops == 255))
		return DENIAL_NONE;
	if (!is_guests(network, frame->family, frame->to))
		return DENIAL_INGRESS;
	return is_error(network, bytes, frame) || passes(network, frame, frame->from, false) ? DENIAL_NONE
											     : DENIAL_INGRESS;
}
