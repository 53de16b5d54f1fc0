/* Talking to the vsock device packet by packet, for the cases of vsock.c and vsock_connections.c. The policy and what
 * listens on the host are hostile.py's: 5000 echoes, 5001 takes nothing, 5002 sends 10000 bytes and ends, nobody
 * listens at 5003. */
#ifndef HOSTILE_VSOCK_H
#define HOSTILE_VSOCK_H

#include "hostile.h"

enum {
	HOST = 2,
	STREAM = 1,
	REQUEST = 1,
	RESPONSE = 2,
	RST = 3,
	SHUTDOWN = 4,
	RW = 5,
	CREDIT_UPDATE = 6,
	CREDIT_REQUEST = 7,
	ROOM = 1 << 16,
	ECHO = 5000,
	SINK = 5001,
	SOURCE = 5002,
	NOBODY = 5003,
	UNLISTED = 6000,
	PORT = 70, /* ours, the first */
	SOON_MS = 8,
	DATA = 48, /* where a packet's bytes lie in the arena */
};

struct packet {
	uint64_t source, destination;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));
_Static_assert(sizeof(struct packet) == 44, "5.10.6");

struct packet vsock_packet(const struct target *target, uint16_t operation, uint32_t from, uint32_t to);
/* With as many bytes as it says. */
void vsock_send(struct target *target, struct packet packet);
/* The next packet that is not about credit; operation 0: none in that time. */
struct packet vsock_next(struct target *target, uint64_t milliseconds);
void vsock_expect(struct target *target, uint16_t operation, uint32_t from, uint32_t to);
void vsock_expect_silence(struct target *target);
/* A connection to a port of the host's; ours. */
uint32_t vsock_connect(struct target *target, uint32_t port, uint32_t room);

#define SAY(name, attack, argument)                                                                                    \
	{                                                                                                              \
		name, 22, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, false, false, attack, argument                              \
	}
#define AGAIN(name, attack, argument)                                                                                  \
	{                                                                                                              \
		name, 13, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, true, false, attack, argument                               \
	}

#endif
