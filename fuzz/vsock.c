/* Fuzzing vsock from both sides: the input is a stream of packets of a hostile guest, connections, bytes and ends of
 * the host's, and moments at which the device looks. Real sockets, real rings; guest memory is malloc'ed to its exact
 * size. Beyond what the sanitizers see: no packet to the guest is longer than its buffer or than its room, no
 * connection is made to a port that is not listed, and a driver's fault is told once.
 */
#include "monitor/channel.h"
#include "tests/unit/fake_ring.h"

#include "devices/device.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum operation {
	OP_PACKET,
	OP_CHAIN,
	OP_OFFER,
	OP_RUN,
	OP_CALLER,
	OP_GRANT,
	OP_HOST_SENDS,
	OP_HOST_ENDS,
	OP_RESET,
	OPERATIONS
};
enum {
	OPERATIONS_MAX = 256,
	SIZE = 16,
	CONNECTIONS = 4,
	CID = 7,
	PEERS = 16,
	PACKET = 0x8000,
	ROOM = 0xa000,
	ROOM_SIZE = 512,
};

struct header {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));

static struct {
	const uint8_t *input;
	size_t size;
	uint8_t *ram;
	struct guest_memory memory;
	struct plan_device plan;
	struct device device;
	struct fake_ring rings[3];
	int launcher, peers[PEERS];
	uint32_t asked;              /* by the device, last */
	uint32_t ports[CONNECTIONS]; /* of the host, in the last packets to the guest */
	unsigned packets;
	uint16_t heads; /* of the receiving queue that are out */
	uint64_t now;   /* ns: each look is a hundredth of a second later */
	unsigned faults;
} fuzz;

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

static uint8_t take8(void)
{
	return fuzz.size == 0 ? 0 : (fuzz.size--, *fuzz.input++);
}

static uint32_t take32(void)
{
	uint32_t value = take8();

	return value < 0xf0 ? value : value << 24 | (uint32_t)take8() << 16 | (uint32_t)take8() << 8 | take8();
}

static void interrupt(void *context, uint32_t cause)
{
	(void)context, (void)cause;
}

static void tell(void *context, const struct message *message)
{
	uint32_t type = message->type, code = message->code;

	(void)context;
	require(type == MESSAGE_FAULT ? code <= FAULT_REQUEST
		: type == MESSAGE_CAP
		    ? code == CAP_OPERATIONS || code == CAP_CONNECTIONS || code == CAP_BANDWIDTH
		    : type == MESSAGE_DENIED && message->value[0] > 0 &&
			  (code == DENIAL_SOURCE_ADDRESS || code == DENIAL_PORT || code == DENIAL_CALLER));
	fuzz.faults += type == MESSAGE_FAULT;
}

static uint64_t now(void *context)
{
	(void)context;
	return fuzz.now;
}

static void look(void)
{
	struct pollfd fds[DEVICE_POLL_MAX];
	unsigned count = fuzz.device.ops->poll(&fuzz.device, fds, 0);
	struct message message;
	uint32_t id, used;
	int none;

	fuzz.now += LIMITER_SECOND_NS / 100;
	poll(fds, count, 0);
	fuzz.device.ops->poll(&fuzz.device, fds, count);
	device_run(&fuzz.device, DEVICE_INPUT);
	require(fuzz.faults <= 1 && (fuzz.faults == 0 || !fuzz.device.is_active));
	while (channel_take(fuzz.launcher, &message, &none) == (ssize_t)sizeof(message)) {
		require(message.type == MESSAGE_VSOCK && message.value[0] == 5 && none < 0);
		fuzz.asked = message.code;
	}
	while (fake_ring_take(&fuzz.rings[0], &id, &used)) {
		require(id < SIZE && used >= sizeof(struct header) && used <= ROOM_SIZE);
		fuzz.heads &= (uint16_t) ~(1U << id);
		memcpy(&fuzz.ports[fuzz.packets++ % CONNECTIONS],
		       fuzz.ram + ROOM + id * ROOM_SIZE + offsetof(struct header, source_port), sizeof(uint32_t));
	}
	while (fake_ring_take(&fuzz.rings[1], &id, &used))
		require(used == 0);
}

static void activate(void)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	device_reset(&fuzz.device);
	fuzz.faults = fuzz.heads = 0;
	for (unsigned i = 0; i < 3; i++) {
		fake_ring_init(&fuzz.rings[i], fuzz.ram, UINT64_C(0x2000) * i, SIZE);
		queues[i] = fuzz.rings[i].layout;
	}
	require(device_activate(&fuzz.device, TRANSPORT_F_VERSION_1, queues) == FAULT_NONE);
}

static void send_packet(void)
{
	uint16_t head = (uint16_t)(fuzz.rings[1].avail_index * 2U % SIZE);
	uint64_t at = PACKET + 0x200U * head;
	uint32_t size = take8() * 2U, what = take8();
	struct header header = {CID,           2,        take8() % 4, 5 + take8() % 2, size, 1, (uint16_t)(what % 9),
				what >> 4 & 3, take32(), take32()};
	const struct fake_buffer buffers[] = {{at, sizeof(header), 0}, {at + sizeof(header), size, 0}};

	if (what >= 0xf0) { /* one that lies */
		header.length = take32();
		header.type = take8();
		header.source_cid = take32();
		header.destination_port = (uint32_t)1 << 30 | take8();
	}
	if (header.operation != 1 && take8() % 2 == 0)
		header.destination_port = fuzz.ports[take8() % CONNECTIONS];
	memcpy(fuzz.ram + (at & 0x1fff) + PACKET, &header, sizeof(header));
	fake_ring_add(
	    &fuzz.rings[1], head,
	    (const struct fake_buffer[]){{(at & 0x1fff) + PACKET, sizeof(header), 0}, {PACKET, buffers[1].length, 0}},
	    size > 0 ? 2 : 1);
}

static void add_peer(int code)
{
	const struct message message = {.type = MESSAGE_VSOCK, .code = (uint32_t)code};
	unsigned place = take8() % PEERS;
	int pair[2];

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	channel_give(fuzz.launcher, &message, place % 4 == 3 ? -1 : pair[0]);
	close(pair[0]);
	if (fuzz.peers[place] >= 0)
		close(fuzz.peers[place]);
	fuzz.peers[place] = pair[1];
}

static void host_sends(void)
{
	static const char *const lines[] = {"CONNECT 9\n", "CONNECT 9", "CONNECT 10\n", "\n"};
	int peer = fuzz.peers[take8() % PEERS];
	uint8_t what = take8();
	char bytes[256] = {0};

	if (peer >= 0 && what < 4)
		send(peer, lines[what], strlen(lines[what]), MSG_NOSIGNAL);
	else if (peer >= 0)
		send(peer, bytes, what, MSG_NOSIGNAL);
	if (peer >= 0)
		(void)!recv(peer, bytes, what, 0);
}

static void operate(void)
{
	uint8_t place;

	switch ((enum operation)(take8() % OPERATIONS)) {
	case OP_PACKET:
		send_packet();
		break;
	case OP_CHAIN:
		place = take8();
		fake_ring_describe(&fuzz.rings[place & 1], take8() % SIZE, take32(), take32(), take8() & 7,
				   take8() % 32);
		fake_ring_offer(&fuzz.rings[place & 1], take8());
		break;
	case OP_OFFER:
		place = take8() % SIZE;
		if ((fuzz.heads >> place & 1) == 0)
			fake_ring_add(&fuzz.rings[0], place,
				      &(struct fake_buffer){ROOM + place * ROOM_SIZE, ROOM_SIZE, WRITE}, 1);
		fuzz.heads |= (uint16_t)(1U << place);
		break;
	case OP_RUN:
		look();
		break;
	case OP_CALLER:
		add_peer(0);
		break;
	case OP_GRANT:
		add_peer((int)fuzz.asked);
		break;
	case OP_HOST_SENDS:
		host_sends();
		break;
	case OP_HOST_ENDS:
		place = take8();
		if (fuzz.peers[place % PEERS] >= 0 && place >= 0x80)
			shutdown(fuzz.peers[place % PEERS], place & 0x40 ? SHUT_WR : SHUT_RD);
		else if (fuzz.peers[place % PEERS] >= 0) {
			close(fuzz.peers[place % PEERS]);
			fuzz.peers[place % PEERS] = -1;
		}
		break;
	case OP_RESET:
	case OPERATIONS:
		activate();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	int channel[2];

	memset(&fuzz, 0, sizeof(fuzz));
	memset(fuzz.peers, -1, sizeof(fuzz.peers));
	fuzz.input = input;
	fuzz.size = size;
	fuzz.now = LIMITER_SECOND_NS;
	fuzz.ram = calloc(1, FAKE_RAM_SIZE);
	fuzz.plan = (struct plan_device){
	    .kind = DEVICE_VSOCK,
	    .bandwidth = 200000,
	    .operations = 100,
	    .as.vsock = {CID, CONNECTIONS, 256, {1, {{5, 5}}}, {1, {{9, 9}}}},
	};
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, channel) == 0);
	fuzz.launcher = channel[1];
	require(guest_memory_add(&fuzz.memory, 0, FAKE_RAM_SIZE, fuzz.ram));
	fuzz.device = (struct device){.plan = &fuzz.plan,
				      .memory = &fuzz.memory,
				      .host = {.interrupt = interrupt, .tell = tell, .now = now},
				      .backend = channel[0],
				      .state = calloc(1, device_state_size(&fuzz.plan))};
	require(device_init(&fuzz.device));
	activate();
	for (unsigned i = 0; i < OPERATIONS_MAX && fuzz.size > 0; i++)
		operate();
	device_reset(&fuzz.device);
	for (unsigned i = 0; i < PEERS; i++)
		if (fuzz.peers[i] >= 0)
			close(fuzz.peers[i]);
	close(channel[0]), close(channel[1]);
	free(fuzz.device.state);
	free(fuzz.ram);
	return 0;
}
