/* The network device and IPv6: who has an address, an echo, and what may not leave. Addresses: `ip6=` and `peer6=` on
 * the command line. */
#include "network.h"

#include "tests.h"

enum {
	ICMP6 = 58,
	ECHO = 128,
	ECHO_REPLY = 129,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
	NEIGHBOUR = 32, /* bytes of either, with the link's address */
	PING = 56,
	ASKS = 40, /* a host takes a while before it uses its own address */
	ASK_AGAIN_MS = 250,
};

static struct {
	uint8_t own[16], peer[16], card[6];
} net6;

/* ---- what is sent ---- */

static uint8_t *begin_ip6(const uint8_t *to, const uint8_t *card, uint8_t next, uint32_t size)
{
	uint8_t *ip = network_begin(card, 0x86dd);

	ip[0] = 0x60;
	put16(ip + 4, size);
	ip[6] = next;
	ip[7] = 255;
	memcpy(ip + 8, net6.own, 16);
	memcpy(ip + 24, to, 16);
	return ip + IP6;
}

/* With the checksum at `place`, which IPv6 does not do without. */
static void send_ip6(uint8_t *rest, unsigned place, uint32_t size)
{
	const uint8_t *ip = rest - IP6;
	uint16_t checksum = fold(sum(rest, size, sum(ip + 8, 32, size + ip[6])));

	put16(rest + place, checksum ? checksum : 0xffff);
	network_send(ETHERNET + IP6 + size);
}

static void send_neighbour(uint8_t type, const uint8_t *to, const uint8_t *card, const uint8_t *of)
{
	uint8_t *rest = begin_ip6(to, card, ICMP6, NEIGHBOUR);

	rest[0] = type;
	rest[4] = type == ADVERTISEMENT ? 0x60 : 0;
	memcpy(rest + 8, of, 16);
	rest[24] = type == ADVERTISEMENT ? 2 : 1;
	rest[25] = 1;
	memcpy(rest + 26, rest - IP6 - ETHERNET + 6, 6);
	send_ip6(rest, 2, NEIGHBOUR);
}

/* ---- what comes ---- */

static bool answer_solicitation(const uint8_t *frame, uint32_t size)
{
	const uint8_t *rest = frame + ETHERNET + IP6;
	uint8_t asker[16], card[6];

	if (frame[ETHERNET + 6] != ICMP6 || rest[0] != SOLICITATION || size < ETHERNET + IP6 + 24 ||
	    memcmp(rest + 8, net6.own, 16) != 0)
		return false;
	memcpy(asker, frame + ETHERNET + 8, 16);
	memcpy(card, frame + 6, 6);
	send_neighbour(ADVERTISEMENT, asker, card, net6.own);
	return true;
}

/* What follows the IP header of the next packet that is wanted; NULL: none in time. An advertisement may come from any
   address of whom it is about. */
static const uint8_t *receive_ip6(uint8_t next, uint8_t type, uint64_t milliseconds)
{
	uint64_t deadline = machine_deadline(milliseconds);
	const uint8_t *frame = network_frame(), *ip = frame + ETHERNET, *rest = ip + IP6;

	for (uint32_t size; (size = network_receive(deadline)) > 0;) {
		if (size < ETHERNET + IP6 + UDP || get16(frame + 12) != 0x86dd || answer_solicitation(frame, size))
			continue;
		const uint8_t *about = next == ICMP6 && type == ADVERTISEMENT ? rest + 8 : ip + 8;
		if (ip[6] == next && (next != ICMP6 || rest[0] == type) && memcmp(about, net6.peer, 16) == 0)
			return rest;
	}
	return NULL;
}

/* ---- what is done with it ---- */

static void resolve(void)
{
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff}, card[6] = {0x33, 0x33, 0xff};

	memcpy(group + 13, net6.peer + 13, 3);
	memcpy(card + 3, net6.peer + 13, 3);
	for (unsigned i = 0; i < ASKS; i++) {
		send_neighbour(SOLICITATION, group, card, net6.peer);
		if (receive_ip6(ICMP6, ADVERTISEMENT, ASK_AGAIN_MS)) {
			memcpy(net6.card, network_frame() + 6, 6);
			return;
		}
	}
	fail("network: nobody has the peer's IPv6 address");
}

static void ping(void)
{
	uint8_t *rest = begin_ip6(net6.peer, net6.card, ICMP6, 8 + PING);
	const uint8_t *answer;

	rest[0] = ECHO;
	put16(rest + 4, 77);
	for (unsigned i = 0; i < PING; i++)
		rest[8 + i] = (uint8_t)(i * 7);
	send_ip6(rest, 2, 8 + PING);
	answer = receive_ip6(ICMP6, ECHO_REPLY, WAIT_MS);
	for (unsigned i = 0; answer && i < PING; i++)
		if (answer[8 + i] != (uint8_t)(i * 7))
			answer = NULL;
	if (!answer)
		fail("network: a ping over IPv6 is not answered");
	note("  a ping over IPv6 was answered\n");
}

static void udp_echo(uint32_t port)
{
	static const char text[] = "is anybody there?";
	uint8_t *rest = begin_ip6(net6.peer, net6.card, PROTOCOL_UDP, UDP + sizeof(text));
	const uint8_t *answer;

	put16(rest, 4000);
	put16(rest + 2, port);
	put16(rest + 4, UDP + sizeof(text));
	memcpy(rest + UDP, text, sizeof(text));
	send_ip6(rest, 6, UDP + sizeof(text));
	answer = receive_ip6(PROTOCOL_UDP, 0, WAIT_MS);
	if (!answer || get16(answer) != port || get16(answer + 4) != UDP + sizeof(text) ||
	    memcmp(answer + UDP, text, sizeof(text)) != 0)
		fail("network: no answer from UDP port %u over IPv6", port);
	note("  UDP port %u answered over IPv6\n", port);
}

static unsigned digit_of(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static void parse_ip6(const char *value, uint8_t ip[16])
{
	uint8_t groups[16] = {0};
	unsigned count = 0, gap = 8;

	for (; value && count < 8; value++) {
		uint32_t group = 0;
		unsigned digits = 0;

		if (*value == ':') { /* the second of two */
			gap = count;
			continue;
		}
		for (; digit_of(*value) < 16; value++, digits++)
			group = group * 16 + digit_of(*value);
		if (digits == 0)
			break;
		put16(groups + 2 * count++, group);
		if (*value != ':')
			break;
	}
	memset(ip, 0, 16);
	for (unsigned i = 0; i < count; i++)
		memcpy(ip + 2 * (i < gap ? i : i + 8 - count), groups + 2 * i, 2);
}

void network6_ask(uint32_t port, bool pings)
{
	parse_ip6(word_value("ip6="), net6.own);
	parse_ip6(word_value("peer6="), net6.peer);
	resolve();
	if (pings)
		ping();
	if (port)
		udp_echo(port);
}

/* ---- what must not leave ---- */

/* UDP to fd00::1, or ICMPv6 of a type to everybody on the link. Answers where the frame begins. */
static uint8_t *make(uint8_t next, uint8_t type, uint32_t size)
{
	static const uint8_t all[] = {0x33, 0x33, 0, 0, 0, 1};
	const uint8_t to[16] = {type ? 0xff : 0xfd, type ? 0x02 : 0, [15] = 1};
	uint8_t *rest = begin_ip6(to, all, next, size);

	rest[0] = type;
	if (type == 0) {
		put16(rest + 2, 7);
		put16(rest + 4, size);
	}
	return rest - IP6 - ETHERNET;
}

static void attack(uint8_t next, uint8_t type, uint32_t size)
{
	make(next, type, size);
	network_send(ETHERNET + IP6 + size);
}

void network6_attack(uint8_t last)
{
	memset(net6.own, 0, 16);
	net6.own[0] = 0xfd;
	net6.own[15] = last;
	make(PROTOCOL_UDP, 0, UDP)[ETHERNET + 22] = 9; /* source address */
	network_send(ETHERNET + IP6 + UDP);
	make(PROTOCOL_UDP, 0, UDP)[6] = 6; /* source MAC */
	network_send(ETHERNET + IP6 + UDP);
	attack(0, 0, 16); /* hop-by-hop */
	attack(43, 0, 16);
	attack(44, 0, 16); /* fragment */
	attack(60, 0, 16);
	attack(ICMP6, 134, 16); /* router advertisement */
	attack(ICMP6, 136, 24); /* of the address :: */
	attack(ICMP6, 137, 40); /* redirect */
	attack(ICMP6, ECHO, 8);
}
