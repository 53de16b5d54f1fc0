/* The network device (virtio 1.2, 5.1): a driver that takes frames in buffers smaller than they are, and what a guest
 * may and may not send over IPv4, from `ip=` on the command line. */
#include "network.h"

#include "tests.h"

enum {
	BUFFERS = 16,
	BUFFER = 512, /* so that larger frames come in several */
	FRAME_MAX = 12000,
	HEADER = 12,
	IP4 = 20,
	TCP = 20,
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	SEGMENT = 1000, /* of a frame that the host is to cut up */
};
#define F_CSUM (1ull << 0)
#define F_MAC (1ull << 5)
#define F_HOST_TSO4 (1ull << 11)
#define F_MRG_RXBUF (1ull << 15)

struct network_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

static struct {
	struct virtio *device;
	struct queue in, out;
	uint8_t mac[6], peer_mac[6], ip[4], peer[4];
	uint64_t sent, received;
} net;
static struct ring in_ring, out_ring;
static uint8_t buffers[BUFFERS][BUFFER], got[2048];
static unsigned slots[RING_MAX]; /* which buffer a head is */
static struct {
	struct network_header header;
	uint8_t frame[FRAME_MAX];
} sending;

/* ---- the driver ---- */

static void offer(unsigned buffer)
{
	struct segment segment = {buffers[buffer], BUFFER, true};

	slots[queue_add(&net.in, &segment, 1)] = buffer;
}

static void open_device(struct virtio *device)
{
	const char *wrong = virtio_begin(device, F_MAC | F_MRG_RXBUF | F_CSUM | F_HOST_TSO4 | VIRTIO_F_EVENT_IDX);

	net.device = device;
	if (!wrong)
		wrong = virtio_queue(device, &net.in, 0, &in_ring, RING_MAX);
	if (!wrong)
		wrong = virtio_queue(device, &net.out, 1, &out_ring, RING_MAX);
	if (wrong)
		fail("network at %x: %s", device->base, wrong);
	for (unsigned i = 0; i < sizeof(net.mac); i++)
		net.mac[i] = mmio_read8((uintptr_t)device->base + VIRTIO_CONFIG + i);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("network at %x: no interrupt controller has line %u", device->base, device->irq.gsi);
	for (unsigned i = 0; i < BUFFERS; i++)
		offer(i);
	queue_kick(device, &net.in);
}

/* Sends `sending`, whatever it says, in two pieces, and waits until it is taken. */
void network_send(uint32_t size)
{
	struct segment segments[] = {{&sending, HEADER, false}, {sending.frame, size, false}};
	uint32_t length;

	queue_add(&net.out, segments, size > 0 ? 2 : 1);
	queue_kick(net.device, &net.out);
	if (!queue_wait(net.device, &net.out, machine_deadline(WAIT_MS)) || queue_take(&net.out, &length) < 0)
		fail("network: a frame of %u bytes is not taken (device status %x)", size, virtio_status(net.device));
	net.sent++;
}

/* One buffer's bytes go to `got`. */
static uint32_t take_buffer(uint32_t at, uint64_t deadline)
{
	uint32_t length;
	int head;

	if (!queue_wait(net.device, &net.in, deadline))
		return 0;
	head = queue_take(&net.in, &length);
	if (head < 0 || length == 0 || length > BUFFER || length > sizeof(got) - at)
		fail("network: the device gave %u bytes in a buffer of %u", length, BUFFER);
	memcpy(got + at, buffers[slots[head]], length);
	offer(slots[head]);
	queue_kick(net.device, &net.in);
	return length;
}

/* The next frame is at got + HEADER; its size, 0: none came in time. */
uint32_t network_receive(uint64_t deadline)
{
	struct network_header header;
	uint32_t size = take_buffer(0, deadline);

	if (size == 0)
		return 0;
	memcpy(&header, got, sizeof(header));
	if (size < HEADER || header.flags != 0 || header.gso_type != 0 || header.num_buffers == 0)
		fail("network: a header of flags %x, type %x, %u buffers", header.flags, header.gso_type,
		     header.num_buffers);
	for (unsigned i = 1; i < header.num_buffers; i++) {
		if (size != i * BUFFER)
			fail("network: a buffer is not full, and more follow");
		size += take_buffer(size, deadline);
	}
	net.received++;
	return size - HEADER;
}

const uint8_t *network_frame(void)
{
	return got + HEADER;
}

/* ---- frames ---- */

/* The Ethernet header; answers where the rest goes. */
uint8_t *network_begin(const uint8_t *to, uint32_t type)
{
	memset(&sending, 0, HEADER + 128);
	memcpy(sending.frame, to, 6);
	memcpy(sending.frame + 6, net.mac, 6);
	put16(sending.frame + 12, type);
	return sending.frame + ETHERNET;
}

/* An IPv4 header to the peer; answers where the rest, of `size` bytes, goes. */
static uint8_t *begin_ip4(uint8_t protocol, uint32_t size)
{
	uint8_t *ip = network_begin(net.peer_mac, 0x0800);

	ip[0] = 0x45;
	put16(ip + 2, IP4 + size);
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, net.ip, 4);
	memcpy(ip + 16, net.peer, 4);
	return ip + IP4;
}

static void sum_ip4(void)
{
	uint8_t *ip = sending.frame + ETHERNET;

	put16(ip + 10, 0);
	put16(ip + 10, fold(sum(ip, (ip[0] & 15) * 4u, 0)));
}

static uint32_t make_udp(uint32_t port, const char *text, uint32_t size)
{
	uint8_t *udp = begin_ip4(PROTOCOL_UDP, UDP + size);

	put16(udp, 4000);
	put16(udp + 2, port);
	put16(udp + 4, UDP + size);
	memcpy(udp + UDP, text, size); /* no checksum: IPv4 allows that */
	sum_ip4();
	return ETHERNET + IP4 + UDP + size;
}

static uint32_t make_arp(uint32_t operation, const uint8_t *mac, const uint8_t *ip, const uint8_t *target)
{
	static const uint8_t everybody[] = {255, 255, 255, 255, 255, 255}, fixed[] = {0, 1, 8, 0, 6, 4};
	uint8_t *arp = network_begin(everybody, 0x0806);

	memcpy(arp, fixed, sizeof(fixed));
	put16(arp + 6, operation);
	memcpy(arp + 8, mac, 6);
	memcpy(arp + 14, ip, 4);
	memcpy(arp + 24, target, 4);
	return ETHERNET + 28;
}

/* What stands in for the host's questions while we wait for an answer. */
static bool answer_arp(const uint8_t *frame, uint32_t size)
{
	uint8_t target[4];

	if (size < ETHERNET + 28 || get16(frame + 12) != 0x0806 || frame[21] != 1 || memcmp(frame + 38, net.ip, 4) != 0)
		return false;
	memcpy(target, frame + 28, 4);
	network_send(make_arp(2, net.mac, net.ip, target));
	return true;
}

/* The next packet of a protocol from the peer; its size behind the IP header, which is at *at; 0: none in time. */
static uint32_t receive_ip4(uint8_t protocol, const uint8_t **at)
{
	uint64_t deadline = machine_deadline(WAIT_MS);
	const uint8_t *frame = got + HEADER;

	for (uint32_t size; (size = network_receive(deadline)) > 0;) {
		if (answer_arp(frame, size) || size < ETHERNET + IP4 || get16(frame + 12) != 0x0800 ||
		    frame[23] != protocol || memcmp(frame + 26, net.peer, 4) != 0)
			continue;
		*at = frame + ETHERNET + IP4;
		return get16(frame + 16) - IP4;
	}
	return 0;
}

/* ---- what is done with it ---- */

static void resolve(void)
{
	uint64_t deadline = machine_deadline(WAIT_MS);
	const uint8_t *frame = got + HEADER;

	network_send(make_arp(1, net.mac, net.ip, net.peer));
	for (uint32_t size; (size = network_receive(deadline)) > 0;)
		if (size >= ETHERNET + 28 && get16(frame + 12) == 0x0806 && frame[21] == 2 &&
		    memcmp(frame + 28, net.peer, 4) == 0) {
			memcpy(net.peer_mac, frame + 22, 6);
			return;
		}
	fail("network: nobody has the peer's address");
}

static void ping(uint32_t size)
{
	uint8_t *icmp = begin_ip4(PROTOCOL_ICMP, 8 + size);
	const uint8_t *answer;

	icmp[0] = 8;
	put16(icmp + 4, 77);
	for (uint32_t i = 0; i < size; i++)
		icmp[8 + i] = (uint8_t)(i * 7);
	put16(icmp + 2, 0);
	put16(icmp + 2, fold(sum(icmp, 8 + size, 0)));
	sum_ip4();
	network_send(ETHERNET + IP4 + 8 + size);
	if (receive_ip4(PROTOCOL_ICMP, &answer) != 8 + size || answer[0] != 0 ||
	    memcmp(answer + 8, icmp + 8, size) != 0)
		fail("network: a ping of %u bytes is not answered", size);
	note("  a ping of %u bytes was answered\n", size);
}

static void udp_echo(uint32_t port)
{
	static const char text[] = "is anybody there?";
	const uint8_t *answer;

	network_send(make_udp(port, text, sizeof(text)));
	if (receive_ip4(PROTOCOL_UDP, &answer) != UDP + sizeof(text) || memcmp(answer + UDP, text, sizeof(text)) != 0)
		fail("network: no answer from UDP port %u", port);
	note("  UDP port %u answered\n", port);
}

/* A TCP segment that is larger than any frame: the device, or the host behind it, cuts it up. */
static uint32_t make_large(uint32_t port, uint32_t size)
{
	uint8_t *tcp = begin_ip4(PROTOCOL_TCP, TCP + size);

	put16(tcp, 4000);
	put16(tcp + 2, port);
	tcp[12] = 0x50;
	tcp[13] = 0x10;
	put16(tcp + 16, (uint16_t)~fold(sum(net.ip, 4, sum(net.peer, 4, PROTOCOL_TCP + TCP + size))));
	sum_ip4();
	sending.header = (struct network_header){.flags = 1,
						 .gso_type = 1,
						 .hdr_len = ETHERNET + IP4 + TCP,
						 .gso_size = SEGMENT,
						 .csum_start = ETHERNET + IP4,
						 .csum_offset = 16};
	return ETHERNET + IP4 + TCP + size;
}

/* A good frame, with one byte changed. */
static void spoil(uint32_t port, uint32_t offset, uint8_t value)
{
	uint32_t size = make_udp(port, "spoilt", 6);

	sending.frame[offset] = value;
	sum_ip4();
	network_send(size);
}

static void insert_tag(uint32_t port, uint32_t type)
{
	uint32_t size = make_udp(port, "tagged", 6);

	for (uint32_t i = size; i-- > 12;)
		sending.frame[i + 4] = sending.frame[i];
	put16(sending.frame + 12, type);
	put16(sending.frame + 14, 5);
	network_send(size + 4);
}

static void lie_of_offload(uint32_t port, struct network_header header)
{
	uint32_t size = make_large(port, 4000);

	sending.header = header;
	network_send(size);
}

/* Whatever must not leave: from a frame that may, to `port`, by one change each. */
static void attack_ip4(uint32_t port)
{
	uint8_t other[] = {2, 9, 9, 9, 9, 9}, foreign[] = {10, 99, 99, 99};

	spoil(port, 6, 0x06);           /* source MAC */
	spoil(port, ETHERNET + 15, 99); /* source address */
	spoil(port, ETHERNET + 16, 99); /* a destination that no rule has */
	spoil(port, ETHERNET + IP4 + 3, (uint8_t)(port + 1));
	spoil(port, ETHERNET + 6, 0x20); /* the first fragment */
	spoil(port, ETHERNET + 7, 2);    /* a later one */
	spoil(port, ETHERNET, 0x46);     /* options */
	spoil(port, ETHERNET, 0x44);
	spoil(port, ETHERNET + 2, 0xff); /* longer than the frame */
	spoil(port, ETHERNET + 3, 27);
	spoil(port, ETHERNET + 9, 47); /* GRE */
	spoil(port, ETHERNET + IP4 + 5, 200);
	insert_tag(port, 0x8100);
	insert_tag(port, 0x88a8);
	network_send(make_arp(2, net.mac, foreign, net.peer));
	network_send(make_arp(1, other, net.ip, net.peer));
	begin_ip4(PROTOCOL_ICMP, 8)[0] = 5; /* redirect */
	sum_ip4();
	network_send(ETHERNET + IP4 + 8);
	for (uint32_t size = 0; size < ETHERNET + IP4 + UDP; size += 7) {
		make_udp(port, "cut", 3);
		network_send(size);
	}
}

static void attack_offload(uint32_t port)
{
	const struct network_header good = {1, 1, 54, SEGMENT, ETHERNET + IP4, 16, 0};
	struct network_header header;

	header = good, header.gso_size = 1, lie_of_offload(port, header);
	header = good, header.gso_size = 1461, lie_of_offload(port, header);
	header = good, header.gso_type = 4, lie_of_offload(port, header);
	header = good, header.gso_type = 3, lie_of_offload(port, header);
	header = good, header.gso_type = 0, lie_of_offload(port, header);
	header = good, header.flags = 0, lie_of_offload(port, header);
	header = good, header.flags = 3, lie_of_offload(port, header);
	header = good, header.csum_start = 14, lie_of_offload(port, header);
	header = good, header.csum_offset = 60000, lie_of_offload(port, header);
	lie_of_offload((uint16_t)(port + 1), good);
}

static void parse_ip(const char *value, uint8_t ip[4])
{
	for (unsigned i = 0; value && i < 4; i++) {
		ip[i] = (uint8_t)parse_number(&value);
		value += *value == '.';
	}
}

static uint32_t number_of(const char *word)
{
	const char *value = word_value(word);

	return value ? (uint32_t)parse_number(&value) : 0;
}

void test_network(struct virtio *device)
{
	uint32_t port = number_of("udp=");
	bool has_peer = word_value("peer=") != NULL;

	open_device(device);
	note("network at %x: %02x:%02x:%02x:%02x:%02x:%02x\n", device->base, net.mac[0], net.mac[1], net.mac[2],
	     net.mac[3], net.mac[4], net.mac[5]);
	parse_ip(word_value("ip="), net.ip);
	parse_ip(word_value("peer="), net.peer);
	if (has_peer)
		resolve();
	if (has_peer && word("ping")) {
		ping(0);
		ping(56);
		ping(1400);
	}
	if (has_peer && port)
		udp_echo(port);
	if (word_value("peer6="))
		network6_ask(port, word("ping"));
	if (word("attack")) {
		attack_ip4(port);
		network6_attack(net.ip[3]);
		attack_offload(number_of("tcp="));
		udp_echo(port);
	}
	if (number_of("tcp="))
		network_send(make_large(number_of("tcp="), number_of("large=")));
	note("  frames sent: %lu, received: %lu\n", net.sent, net.received);
	virtio_reset(device);
}

/* Resets the device with frames on their way. What it was given must stay as it is afterwards. */
void reset_network(struct virtio *device)
{
	const char *wrong;
	uint64_t end;

	open_device(device);
	for (unsigned i = 0; i < 8; i++) {
		struct segment segment = {&sending, HEADER + 60, false};
		queue_add(&net.out, &segment, 1);
	}
	queue_kick(device, &net.out);
	wrong = virtio_reset(device);
	if (wrong)
		fail("network: %s", wrong);
	memset(buffers, 0x5a, sizeof(buffers));
	for (end = rdtsc() + 1000000; rdtsc() < end;)
		pause();
	for (unsigned i = 0; i < sizeof(buffers); i++)
		if (buffers[i / BUFFER][i % BUFFER] != 0x5a)
			fail("network: a frame arrived after reset");
}
