/* Tests: a vsock device, a guest that talks to it packet by packet, and the launcher's end of its channel. */
#ifndef TESTS_UNIT_FAKE_VSOCK_H
#define TESTS_UNIT_FAKE_VSOCK_H

#include "tests/unit/fake_device.h"

enum {
	SIZE = 16,
	RECEIVE = 0,
	TRANSMIT = 1,
	CID = 7,
	HOST = 2,
	CONNECTIONS = 4,
	BUFFER = 4096,
	ROOM = 100000, /* that the guest says it has */
	GUEST = 1111,  /* its port */
	ALLOWED = 5000,
	LISTED = 80,  /* of the guest, for callers */
	OUT = 0x8000, /* where the guest's packet lies */
	IN = 0xa000,  /* and what it gets: each in so many bytes */
	IN_SIZE = 1024,
	REQUEST = 1,
	RESPONSE,
	RST,
	SHUTDOWN,
	DATA,
	CREDIT_UPDATE,
	CREDIT_REQUEST,
	VSOCK_STRAYS_MAX = 32, /* packets of no connection that wait for their answers */
};

struct vsock_header {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));

extern struct fake_device fake_vsock;
extern int vsock_launcher;

/* Active, with empty rings. */
void vsock_start(struct plan_vsock vsock, uint64_t bandwidth, uint64_t operations);
/* CONNECTIONS at a time; the guest may connect to ALLOWED, and to 1 and 2, a caller to LISTED. */
void vsock_start_with_bandwidth(uint64_t bandwidth);
/* After a reset. */
void vsock_activate(void);
/* As a test's fixture: that without limits of bandwidth. */
void vsock_setup(void);
void vsock_teardown(void);

/* The guest's buffers, each for one packet. */
void vsock_offer_one(unsigned i);
void vsock_offer(unsigned count);
/* Runs until nothing is ready any more. */
void vsock_settle(void);
void vsock_send_from(uint16_t head, const struct vsock_header *header, const void *data, uint32_t size);
void vsock_send_header(const struct vsock_header *header, const void *data, uint32_t size);
/* From GUEST to a port of the host's. */
struct vsock_header vsock_packet(uint32_t port, uint16_t operation, uint32_t size);
void vsock_say(uint32_t port, uint16_t operation, const void *data, uint32_t size);
/* The next packet that the guest got, good until the call after it; NULL: none. */
const struct vsock_header *vsock_heard(void);
void vsock_expect(uint16_t operation, uint32_t port);

/* What the device asks the launcher for; 0: nothing. */
uint32_t vsock_asked(struct message *message);
/* Hands a connection over, whose other end is the answer. */
int vsock_hand_over(uint32_t code);
void vsock_refuse(uint32_t code);
/* A connection of the guest's, up to the response; its host's end is the answer. */
int vsock_connected(void);
bool vsock_is_ended(int host);
/* The one message told so far is the first of this denial. */
void vsock_expect_denied(uint32_t denial, uint32_t port);

#endif
