/* Fuzzing the devices from the driver's side: the input is a stream of what a hostile driver and an unlucky host can
 * do, against the real disk, console, entropy, network and balloon code.
 *
 * The first two bytes choose the device and its setup; then each operation is one byte (enum operation) and its
 * operands. Guest memory is malloc'ed to its exact size, so that the address sanitizer judges every access, and it is
 * poisoned while the device must not touch it. Beyond that the harness checks what the devices promise: nothing past
 * the disk's capacity, no write to a read-only one, no more output than the cap, no read or write that poll has not
 * allowed, one interrupt a run, one report a fault.
 */
#include "fuzz/backend/virtqueue.h"
#include "tests/unit/fake_frames.h"

#include <sanitizer/asan_interface.h>
#include <string.h>

enum operation {
	OP_RUN,        /* readiness bits, and time that passed before, in 10 ms */
	OP_CHAIN,      /* head, count, then for each: address (in units of 16), length, flags */
	OP_REQUEST,    /* disk: type, sector, data size (in units of 64), shape */
	OP_WRITE,      /* address, size, bytes */
	OP_DESCRIBE,   /* index, address, length, flags, next: each in full */
	OP_RING,       /* which field, value */
	OP_CHANGE,     /* at which of the next reads, address, value: a double fetch's other half */
	OP_BACKEND,    /* the results of the next calls: full, short, failed */
	OP_TYPE,       /* size, bytes: the operator's input; size 0 is the end */
	OP_RESET,      /* … and activation with a right layout */
	OP_LAYOUT,     /* reset, and activation with these sizes and addresses */
	OP_DEACTIVATE, /* reset alone */
	OP_FRAME, /* network: head, which good frame, a byte of it to change and its value, pieces; its header's bytes
		   */
	OPERATIONS,
};

enum {
	OPERATIONS_MAX = 256, /* for speed */
	HEADER = 0x7000,      /* of the first request; 16 bytes each */
	STATUS = 0x7800,
	STATE_CLEARED = 8192, /* for each input: what a network has behind it, its frames, is too large for that */
};

struct fuzz fuzz;
static _Alignas(max_align_t) uint8_t state[1 << 19];
static uint8_t *ram; /* FAKE_RAM_SIZE bytes, for all inputs */

/* ---- the input ---- */

static uint8_t take8(void)
{
	if (fuzz.input_size == 0)
		return 0;
	fuzz.input_size--;
	return *fuzz.input++;
}

static uint16_t take16(void)
{
	uint8_t low = take8();

	return (uint16_t)(low | take8() << 8);
}

static uint64_t take64(void)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 64; i += 8)
		value |= (uint64_t)take8() << i;
	return value;
}

/* ---- the host ---- */

static void interrupt(void *context, uint32_t cause)
{
	(void)context, (void)cause;
	fuzz.interrupts++;
}

static void tell(void *context, const struct message *message)
{
	uint32_t code = message->code;
	uint64_t value = message->value[0];

	(void)context;
	switch (message->type) {
	case MESSAGE_FAULT:
		require(code > FAULT_NONE && code <= FAULT_REQUEST && value < DEVICE_QUEUES_MAX);
		fuzz.faults++;
		break;
	case MESSAGE_DENIED:
		require(fuzz.plan.kind == DEVICE_NETWORK && code > DENIAL_NONE && code < DENIALS && value > 0);
		break;
	case MESSAGE_CAP:
		require(fuzz.plan.kind == DEVICE_CONSOLE
			    ? code == CAP_CONSOLE_OUTPUT
			    : fuzz.plan.bandwidth > 0 && (code == CAP_BANDWIDTH || code == CAP_OPERATIONS) &&
				  value > 0);
		break;
	default:
		require(message->type == MESSAGE_KEY && code == 'x' && fuzz.plan.as.console.is_terminal);
		break;
	}
}

static void configure(void *context, uint32_t offset, uint32_t value)
{
	(void)context, (void)value;
	require(fuzz.plan.kind == DEVICE_BALLOON && offset == 0);
}

static uint64_t now(void *context)
{
	(void)context;
	return fuzz.now;
}

static void change(void *host, size_t size)
{
	(void)host, (void)size;
	if (fuzz.change_in > 0 && --fuzz.change_in == 0)
		ram[fuzz.change_at] = fuzz.change_value;
}

/* ---- operations ---- */

static void run(void)
{
	uint8_t bits = take8();

	fuzz.ready = bits & (DEVICE_INPUT | DEVICE_OUTPUT);
	fuzz.now += (bits >> 2) * UINT64_C(10000000);
	if (fuzz.typed_size == 0 && !fuzz.is_input_ended)
		fuzz.ready &= ~(unsigned)DEVICE_INPUT;
	if (!fuzz.device.is_active)
		__asan_poison_memory_region(ram, FAKE_RAM_SIZE);
	fuzz.interrupts = 0;
	unsigned wants = device_run(&fuzz.device, fuzz.ready);
	__asan_unpoison_memory_region(ram, FAKE_RAM_SIZE);
	require((wants & DEVICE_LATER) == 0 ||
		((fuzz.plan.kind == DEVICE_CONSOLE || fuzz.plan.kind == DEVICE_NETWORK || fuzz.plan.bandwidth > 0) &&
		 fuzz.device.wait_ns > 0));
	require(fuzz.interrupts <= 1 && fuzz.faults <= 1);
	require(fuzz.faults == 0 || !fuzz.device.is_active);
}

static void activate(const struct transport_queue *queues)
{
	device_reset(&fuzz.device);
	fuzz.faults = 0;
	enum fault fault = device_activate(&fuzz.device, fuzz.offered, queues);
	require(fuzz.device.is_active == (fault == FAULT_NONE));
}

static void activate_rightly(void)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	for (unsigned i = 0; i < fuzz.device.ops->queue_count; i++) {
		fake_ring_init(&fuzz.rings[i], ram, UINT64_C(0x2000) * i, fuzz.rings[i].layout.size);
		queues[i] = fuzz.rings[i].layout;
	}
	activate(queues);
}

static void activate_with_layout(void)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
		queues[i] = (struct transport_queue){
		    .size = take16(), .descriptors = take16(), .driver = take16(), .device = take16()};
	activate(queues);
}

static struct fake_ring *take_ring(uint8_t bits)
{
	if (fuzz.plan.kind == DEVICE_BALLOON)
		return &fuzz.rings[(bits >> 4) % fuzz.device.ops->queue_count];
	return &fuzz.rings[bits >> 7 & (fuzz.device.ops->queue_count - 1)];
}

static void add_chain(void)
{
	struct fake_buffer buffers[16];
	uint8_t head = take8(), count = take8();
	struct fake_ring *ring = take_ring(head);
	uint16_t start = head & 0x7f & (ring->layout.size - 1);
	unsigned room = ring->layout.size - start;

	count = (uint8_t)(1 + count % (room < 16 ? room : 16));
	for (unsigned i = 0; i < count; i++) {
		uint32_t address = take16() * 16U, length = take16();
		uint8_t flags = take8();
		buffers[i] = (struct fake_buffer){address, length, flags & (WRITE | INDIRECT)};
	}
	fake_ring_add(ring, start, buffers, count);
}

static void add_request(void)
{
	uint32_t type = take8(), size = take8() * 64U;
	uint64_t sector = take16();
	uint8_t shape = take8();
	uint16_t data_flags = type == 1 || type == 11 || type == 13 ? 0 : WRITE; /* 11, 13: ranges */
	uint16_t head = (uint16_t)(fuzz.rings[0].avail_index * 4U & (fuzz.rings[0].layout.size - 4U));
	uint64_t header = HEADER + 4U * head; /* each has its own */
	const struct fake_buffer buffers[] = {{header, 16, 0},
					      {FAKE_DATA, size, data_flags},
					      {FAKE_DATA + (shape & 0xf0) * 16U, shape & 7U, data_flags},
					      {STATUS, 1, WRITE}};

	if (sector > 0x8000)
		sector = (sector & 0xff) - 0x80; /* near the end of 64 bits, and near 0 */
	memset(ram + header, 0, 16);
	memcpy(ram + header, &type, 4);
	memcpy(ram + header + 8, &sector, 8);
	fake_ring_add(&fuzz.rings[0], head, buffers, 4);
}

static void write_memory(void)
{
	uint16_t address = take16();

	for (uint8_t size = take8() % 32; size > 0; size--)
		ram[address++] = take8();
}

static void describe(void)
{
	uint8_t index = take8();
	struct fake_ring *ring = take_ring(index);
	uint64_t address = take64();
	uint32_t length = take16();

	length |= (uint32_t)take16() << 16;
	uint16_t flags = take16();
	fake_ring_describe(ring, index & (ring->layout.size - 1), address, length, flags, take16());
}

static void set_ring(void)
{
	uint8_t which = take8();
	uint16_t value = take16();
	struct fake_ring *ring = take_ring(which);

	switch (which & 3) {
	case 0:
		fake_ring_offer(ring, value);
		break;
	case 1:
		fake_ring_set_avail_index(ring, value);
		break;
	case 2:
		fake_ring_set_avail_flags(ring, value);
		break;
	default:
		fake_ring_set_used_event(ring, value);
		break;
	}
}

static void type_input(void)
{
	uint8_t size = take8() % (sizeof(fuzz.typed) + 1);

	fuzz.is_input_ended = fuzz.is_input_ended || size == 0;
	if (fuzz.is_input_ended)
		return;
	fuzz.typed_size = size;
	for (uint8_t i = 0; i < size; i++) {
		fuzz.typed[i] = take8();
		fuzz.keys++;
	}
}

static void add_frame(void)
{
	struct fake_buffer buffers[FAKE_FRAME_MAX];
	uint8_t head = take8() & 15, which = take8() % FAKE_FRAMES, place = take8(), value = take8(), piece = take8();
	uint8_t frame[FAKE_FRAME_MAX];
	uint32_t size = fake_frame((enum fake_frame)which, frame), at = FAKE_DATA + head * UINT32_C(512), count = 0;

	if (fuzz.plan.kind != DEVICE_NETWORK)
		return;
	frame[place] = place < size && value != 0 ? value : frame[place];
	for (uint32_t i = 0; i < sizeof(struct network_header); i++)
		ram[at + i] = piece & 0x80 ? take8() : 0;
	memcpy(ram + at + sizeof(struct network_header), frame, size);
	size += (uint32_t)sizeof(struct network_header);
	piece = (uint8_t)(8 + (piece & 0x7f));
	for (uint32_t done = 0; done < size && count < 12; done += piece)
		buffers[count++] = (struct fake_buffer){at + done, size - done < piece ? size - done : piece, 0};
	if (fuzz.rings[1].layout.size >= head + count)
		fake_ring_add(&fuzz.rings[1], head, buffers, count);
}

static void operate(void)
{
	switch ((enum operation)(take8() % OPERATIONS)) {
	case OP_RUN:
		run();
		break;
	case OP_CHAIN:
		add_chain();
		break;
	case OP_REQUEST:
		add_request();
		break;
	case OP_WRITE:
		write_memory();
		break;
	case OP_DESCRIBE:
		describe();
		break;
	case OP_RING:
		set_ring();
		break;
	case OP_CHANGE:
		fuzz.change_in = take8();
		fuzz.change_at = take16();
		fuzz.change_value = take8();
		break;
	case OP_BACKEND:
		fuzz.backend = take16();
		break;
	case OP_TYPE:
		type_input();
		break;
	case OP_RESET:
		activate_rightly();
		break;
	case OP_LAYOUT:
		activate_with_layout();
		break;
	case OP_FRAME:
		add_frame();
		break;
	case OP_DEACTIVATE:
	case OPERATIONS:
		device_reset(&fuzz.device);
		break;
	}
}

static void start(void)
{
	static const uint32_t kinds[] = {DEVICE_DISK, DEVICE_CONSOLE, DEVICE_ENTROPY, DEVICE_NETWORK, DEVICE_BALLOON};
	uint8_t kind = take8(), setup = take8();
	uint8_t config[TRANSPORT_CONFIG_SIZE];

	fuzz.plan.kind = kinds[kind % 5];
	if (fuzz.plan.kind == DEVICE_DISK)
		fuzz.plan.as.disk = (struct plan_disk){.sectors = SECTORS, .read_only = setup & 1};
	if (fuzz.plan.kind == DEVICE_CONSOLE)
		fuzz.plan.as.console = (struct plan_console){.output_max = setup & 8 ? 40 : 1 << 20,
							     .has_input = setup & 1,
							     .is_terminal = setup >> 1 & 1,
							     .filter_escapes = setup >> 2 & 1};
	if (fuzz.plan.kind != DEVICE_CONSOLE && fuzz.plan.kind != DEVICE_BALLOON && (setup & 0x80) != 0) {
		fuzz.plan.bandwidth = 100000;
		fuzz.plan.operations = 50;
	}
	if (fuzz.plan.kind == DEVICE_BALLOON)
		fuzz.plan.as.balloon.reporting = setup & 1;
	if (fuzz.plan.kind == DEVICE_NETWORK) {
		fuzz.plan_network = fake_network;
		fuzz.plan_network.is_passt = setup & 1;
	}
	require(device_state_size(&fuzz.plan) <= sizeof(state));
	memset(state, 0, STATE_CLEARED);
	require(guest_memory_add(&fuzz.memory, 0, FAKE_RAM_SIZE, ram));
	fuzz.device =
	    (struct device){.plan = &fuzz.plan,
			    .plan_network = &fuzz.plan_network,
			    .state = state,
			    .memory = &fuzz.memory,
			    .host = {.interrupt = interrupt, .tell = tell, .now = now, .configure = configure},
			    .backend = FD_IN,
			    .backend_out = FD_OUT};
	require(device_init(&fuzz.device));
	fuzz.offered = device_describe(&fuzz.device, config).features;
	if (setup & 0x10)
		fuzz.offered &= ~TRANSPORT_F_EVENT_IDX;
	if (setup & 0x20)
		fuzz.offered &= ~(UINT64_C(1) << 9); /* the disk's flush */
	for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
		fuzz.rings[i].layout.size = (uint16_t)(setup & 0x40 ? TRANSPORT_QUEUE_SIZE_MAX : 16);
	fake_hook = change;
	activate_rightly();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	if (ram == NULL)
		ram = aligned_alloc(4096, FAKE_RAM_SIZE);
	require(ram != NULL);
	memset(ram, 0, FAKE_RAM_SIZE);
	memset(&fuzz, 0, sizeof(fuzz));
	fuzz.input = input;
	fuzz.input_size = size;
	start();
	for (unsigned i = 0; i < OPERATIONS_MAX && fuzz.input_size > 0; i++)
		operate();
	return 0;
}
