/* What the tests of the network device share: frames out, frames in, and numbers of the network's order. */
#ifndef GUEST_NETWORK_H
#define GUEST_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

enum { ETHERNET = 14, IP6 = 40, UDP = 8, PROTOCOL_UDP = 17 };

/* The Ethernet header of the frame that is sent next, and 128 zeroed bytes; answers where the rest goes. */
uint8_t *network_begin(const uint8_t *to, uint32_t type);
/* Sends it, whatever it says, in two pieces, and waits until it is taken. */
void network_send(uint32_t size);
/* Waits for a frame; its size, 0: none came in time. It is at network_frame(). */
uint32_t network_receive(uint64_t deadline);
const uint8_t *network_frame(void);

/* network6.c: whether `peer6=` is there, and answers at UDP `port` (0: not asked) and pings. */
void network6_ask(uint32_t port, bool pings);
/* What must not leave, from fd00:: and this last byte. */
void network6_attack(uint8_t last);

static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static inline uint32_t sum(const uint8_t *bytes, uint32_t size, uint32_t start)
{
	for (uint32_t i = 0; i < size; i++)
		start += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return start;
}

static inline uint16_t fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return (uint16_t)~value;
}

#endif
