/*
 * What `bench=` measures: accesses, disks, a network, a vsock. Says a line when it begins and one when it is over, with
 * the time between the two by the guest's own clock; whoever measures from outside finds his marks there.
 */
#include "block.h"

#define F_FLUSH (1ull << 9) /* without it each write waits until it is on the disk (5.2.6.2) */

enum { DEPTH_MAX = 32, REQUEST_MAX = 128 << 10 };

static void read_register(void)
{
	(void)virtio_status(console_device());
}

static void read_controller(void)
{
	(void)machine_apic_id();
}

static void write_port(void)
{
	out8(0x80, 0);
}

static void empty(void)
{
}

static void call_ring0(void)
{
	gate_call(empty);
}

static void bench_access(const char *what, void (*access)(void), uint64_t times)
{
	uint64_t start = rdtsc(), cycles;

	for (uint64_t i = 0; i < times; i++)
		access();
	cycles = rdtsc() - start;
	say("bench: %s, %lu times: %s each\n", what, times, duration(times ? cycles / times : 0));
}

uint64_t bench_begins(void)
{
	say("bench: begins\n");
	return rdtsc();
}

void bench_ends(const char *what, uint64_t times, uint32_t bytes, uint64_t start)
{
	uint64_t cycles = rdtsc() - start;

	say("bench: %s, %lu of %u bytes: %s each, %lu a second\n", what, times, bytes,
	    duration(times ? cycles / times : 0), per_second(times, cycles));
}

/* ---- disks ---- */

static struct {
	struct virtio *device;
	struct queue queue;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} headers[DEPTH_MAX];
	uint8_t status[DEPTH_MAX], *data;
	unsigned slots[RING_MAX]; /* which of them a head is */
	uint32_t size;
	uint64_t places, seed; /* of `size` bytes on the disk */
} disk;
static struct ring ring;

static void open_disk(struct virtio *device, uint32_t size)
{
	const char *wrong = virtio_begin(device, F_FLUSH | VIRTIO_F_EVENT_IDX);

	disk.device = device;
	if (!wrong)
		wrong = virtio_queue(device, &disk.queue, 0, &ring, RING_MAX);
	if (wrong)
		fail("disk at %x: %s", device->base, wrong);
	disk.data = firmware_room();
	disk.size = size;
	disk.places = virtio_config64(device, 0) * SECTOR / size;
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("disk at %x: no interrupt controller has line %u", device->base, device->irq.gsi);
	if (!disk.data || disk.places == 0 || disk.queue.size < 3 * DEPTH_MAX)
		fail("bench: the disk, its queue or the memory is too small");
}

static void submit(unsigned slot, uint32_t type, uint64_t number, bool random)
{
	bool reads = type == BLOCK_READ;
	struct segment segments[] = {{&disk.headers[slot], sizeof(disk.headers[slot]), false},
				     {disk.data + (size_t)slot * REQUEST_MAX, disk.size, reads},
				     {&disk.status[slot], 1, true}};

	disk.seed = disk.seed * 6364136223846793005u + 1442695040888963407u;
	disk.headers[slot].type = type;
	disk.headers[slot].sector = (random ? disk.seed >> 33 : number) % disk.places * (disk.size / SECTOR);
	disk.status[slot] = 0xff;
	disk.slots[queue_add(&disk.queue, segments, 3)] = slot;
}

/* Takes what is done and fills the places; returns how many were done. */
static uint64_t turn_over(uint32_t type, uint64_t *asked, uint64_t times, bool random)
{
	uint64_t done = 0;
	uint32_t length;

	if (!queue_wait(disk.device, &disk.queue, machine_deadline(WAIT_MS)))
		fail("bench: the disk does not answer");
	for (int head; (head = queue_take(&disk.queue, &length)) != -1; done++) {
		if (head < 0 || *(volatile uint8_t *)&disk.status[disk.slots[head]] != BLOCK_OK)
			fail("bench: a request failed");
		if (*asked < times)
			submit(disk.slots[head], type, (*asked)++, random);
	}
	queue_kick(disk.device, &disk.queue);
	return done;
}

static uint32_t number_of(const char *name, uint32_t otherwise)
{
	const char *value = word_value(name);

	return value ? (uint32_t)parse_number(&value) : otherwise;
}

static void bench_disk(struct virtio *device, uint32_t type, uint64_t times)
{
	uint32_t size = number_of("size=", 4096), depth = number_of("depth=", 1);
	bool random = word("random");
	uint64_t asked = 0, start;

	if (size == 0 || size % SECTOR || size > REQUEST_MAX || depth == 0 || depth > DEPTH_MAX || times == 0)
		fail("bench: no such request");
	open_disk(device, size);
	start = bench_begins();
	while (asked < depth && asked < times) {
		submit((unsigned)asked, type, asked, random);
		asked++;
	}
	queue_kick(device, &disk.queue);
	for (uint64_t done = 0; done < times;)
		done += turn_over(type, &asked, times, random);
	bench_ends(type == BLOCK_READ ? "disk reads" : "disk writes", times, size, start);
	virtio_reset(device);
}

/* ---- which ---- */

static struct virtio *need(uint32_t id)
{
	struct virtio *device = find_device(id);

	if (!device)
		fail("bench: there is no %s", virtio_name(id));
	return device;
}

void bench(const char *value)
{
	const char *number = value;
	uint64_t times;

	while (*number && *number++ != ':')
		;
	times = parse_number(&number);
	if (memcmp(value, "mmio:", 5) == 0)
		need(VIRTIO_CONSOLE), bench_access("device register read", read_register, times);
	else if (memcmp(value, "lapic:", 6) == 0)
		bench_access("local APIC register read", read_controller, times);
	else if (memcmp(value, "port:", 5) == 0)
		bench_access("port write", write_port, times);
	else if (memcmp(value, "ring0:", 6) == 0)
		bench_access("call of ring 0", call_ring0, times);
	else if (memcmp(value, "blk:", 4) == 0)
		bench_disk(need(VIRTIO_BLOCK), BLOCK_READ, times);
	else if (memcmp(value, "write:", 6) == 0)
		bench_disk(need(VIRTIO_BLOCK), BLOCK_WRITE, times);
	else if (memcmp(value, "send:", 5) == 0)
		bench_network(need(VIRTIO_NETWORK), false, times);
	else if (memcmp(value, "receive:", 8) == 0)
		bench_receive(need(VIRTIO_NETWORK), times);
	else if (memcmp(value, "udp:", 4) == 0)
		bench_network(need(VIRTIO_NETWORK), true, times);
	else if (memcmp(value, "vsock:", 6) == 0)
		bench_vsock(need(VIRTIO_VSOCK), times);
	else if (memcmp(value, "vsock-receive:", 14) == 0)
		bench_vsock_receive(need(VIRTIO_VSOCK), times);
	else if (memcmp(value, "connect:", 8) == 0)
		bench_connections(need(VIRTIO_VSOCK), times);
	else
		fail("bench: no such measurement here");
}
