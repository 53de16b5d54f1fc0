/*
 * The network's speed, with the plainest driver there can be: UDP datagrams over IPv4 to the peer 10.7.0.1 at port 7,
 * whose card is 02:00:00:00:00:01. Many on their way at once, or one at a time with an answer to each; or many that
 * come, for the peer sends as many large ones as it is asked for (tests/bench/peer.c): two batches on their way, so
 * that none is lost for want of room.
 */
#include "tests.h"

enum {
	HEADER = 12,
	ETHERNET = 14,
	IP4 = 20,
	UDP = 8,
	ROOM = 2048,
	SMALL = 64,
	LARGE = 1472,
	PORT = 7,
	ANSWERS = RING_MAX / 2,
	BATCH = 200
};
#define F_MAC (1ull << 5)

static struct {
	struct virtio *device;
	struct queue in, out;
	uint8_t frame[HEADER + ETHERNET + IP4 + UDP + LARGE], answers[ANSWERS][ROOM];
	unsigned slots[RING_MAX]; /* which answer a head is */
} net;
static struct ring in_ring, out_ring;

static void offer(unsigned slot)
{
	struct segment segment = {net.answers[slot], ROOM, true};

	net.slots[queue_add(&net.in, &segment, 1)] = slot;
}

static void open_network(struct virtio *device)
{
	const char *wrong = virtio_begin(device, F_MAC | VIRTIO_F_EVENT_IDX);

	net.device = device;
	if (!wrong)
		wrong = virtio_queue(device, &net.in, 0, &in_ring, RING_MAX);
	if (!wrong)
		wrong = virtio_queue(device, &net.out, 1, &out_ring, RING_MAX);
	if (wrong)
		fail("network at %x: %s", device->base, wrong);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("network at %x: no interrupt controller has line %u", device->base, device->irq.gsi);
	for (unsigned i = 0; i < ANSWERS; i++)
		offer(i);
	queue_kick(device, &net.in);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void make_frame(uint32_t payload)
{
	static const uint8_t head[ETHERNET + IP4] = {2, 0, 0, 0, 0, 1,  0,  0, 0, 0,  0, 0, 8, 0,  0x45, 0, 0,
						     0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 7, 0, 7, 10, 7,    0, 1};
	uint8_t *frame = net.frame + HEADER, *ip = frame + ETHERNET;
	uint32_t sum = 0;

	memset(net.frame, 0, sizeof(net.frame));
	memcpy(frame, head, sizeof(head));
	for (unsigned i = 0; i < 6; i++)
		frame[6 + i] = mmio_read8((uintptr_t)net.device->base + VIRTIO_CONFIG + i);
	put16(ip + 2, IP4 + UDP + payload);
	for (unsigned i = 0; i < IP4; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	put16(ip + IP4, 4000);
	put16(ip + IP4 + 2, PORT);
	put16(ip + IP4 + 4, UDP + payload); /* no checksum: IPv4 allows that */
}

static bool is_answer(const uint8_t *frame)
{
	return frame[12] == 8 && frame[13] == 0 && frame[ETHERNET + 9] == 17;
}

static void await_answer(void)
{
	uint64_t deadline = machine_deadline(WAIT_MS);
	uint32_t length;

	for (;;) {
		if (!queue_wait(net.device, &net.in, deadline))
			fail("bench: no answer");
		int head = queue_take(&net.in, &length);
		if (head < 0)
			fail("bench: a wrong used entry");
		unsigned slot = net.slots[head];
		bool is_ours = is_answer(net.answers[slot] + HEADER);
		offer(slot);
		queue_kick(net.device, &net.in);
		if (is_ours)
			return;
	}
}

/* At least one frame that was sent is taken. */
static unsigned take_sent(void)
{
	unsigned taken = 0;
	uint32_t length;

	if (!queue_wait(net.device, &net.out, machine_deadline(WAIT_MS)))
		fail("bench: frames are not taken");
	while (queue_take(&net.out, &length) >= 0)
		taken++;
	return taken;
}

/* A datagram of so many bytes that wants BATCH large ones. */
static void ask_for_frames(void)
{
	static const uint8_t text[] = {'s', 'e', 'n', 'd', BATCH};
	struct segment segment = {net.frame, HEADER + ETHERNET + IP4 + UDP + SMALL, false};

	memcpy(net.frame + HEADER + ETHERNET + IP4 + UDP, text, sizeof(text));
	queue_add(&net.out, &segment, 1);
	queue_kick(net.device, &net.out);
	take_sent();
}

/* At least one buffer is used; how many of the frames were the peer's datagrams. */
static unsigned take_received(void)
{
	unsigned taken = 0;
	uint32_t length;
	int head;

	if (!queue_wait(net.device, &net.in, machine_deadline(WAIT_MS)))
		fail("bench: no frames come");
	while ((head = queue_take(&net.in, &length)) >= 0) {
		unsigned slot = net.slots[head];
		taken += is_answer(net.answers[slot] + HEADER);
		offer(slot);
	}
	queue_kick(net.device, &net.in);
	return taken;
}

void bench_receive(struct virtio *device, uint64_t frames)
{
	uint64_t asked = 0, taken = 0, start;

	open_network(device);
	make_frame(SMALL);
	start = bench_begins();
	while (taken < frames) {
		for (; asked < taken + BATCH + 1; asked += BATCH)
			ask_for_frames();
		taken += take_received();
	}
	bench_ends("frames received", taken, ETHERNET + IP4 + UDP + LARGE, start);
	virtio_reset(device);
}

void bench_network(struct virtio *device, bool echo, uint64_t frames)
{
	uint32_t payload = echo ? SMALL : LARGE, most = echo ? 1 : RING_MAX / 2;
	struct segment segment = {net.frame, HEADER + ETHERNET + IP4 + UDP + payload, false};
	uint64_t sent = 0, taken = 0, start;

	open_network(device);
	make_frame(payload);
	start = bench_begins();
	while (taken < frames) {
		for (; sent < frames && sent - taken < most; sent++)
			queue_add(&net.out, &segment, 1);
		queue_kick(device, &net.out);
		taken += take_sent();
		if (echo)
			await_answer();
	}
	bench_ends(echo ? "answers" : "frames sent", frames, segment.size - HEADER, start);
	virtio_reset(device);
}
