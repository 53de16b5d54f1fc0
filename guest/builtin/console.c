/*
 * The console's driver. It is the first thing that runs, before there are interrupts, and the last: a failure must
 * still be able to say so. If the device does not take its output in time, the rest goes to the UART.
 */
#include "console.h"

enum { RECEIVE_QUEUE, TRANSMIT_QUEUE };
enum { BUFFERS = 16, BUFFER_SIZE = 256, INPUTS = 8, INPUT_SIZE = 64 };

#define UART 0x3f8

static struct {
	struct ring ring;
	char buffers[BUFFERS][BUFFER_SIZE];
} transmit_memory __attribute__((section(".bss.hot")));

static struct {
	struct ring ring;
	char buffers[INPUTS][INPUT_SIZE];
} receive_memory;

static struct {
	struct virtio *device;
	struct queue transmit, receive;
	uint8_t buffer_of[BUFFERS]; /* by head */
	uint16_t free;              /* a bit for each buffer */
	const char *input;          /* of a completion partly read */
	uint16_t input_head;
	uint32_t input_left;
} console;

static void offer_input(void)
{
	while (console.receive.free_count) {
		/* One descriptor each, so the next free one names its buffer. */
		char *buffer = receive_memory.buffers[console.receive.free];
		struct segment segment = {buffer, INPUT_SIZE, true};

		queue_add(&console.receive, &segment, 1);
	}
	queue_kick(console.device, &console.receive);
}

static const char *open_queues(struct virtio *device)
{
	const char *wrong = NULL;

	if (!device->brief)
		wrong = virtio_queue(device, &console.receive, RECEIVE_QUEUE, &receive_memory.ring, INPUTS);
	if (!wrong)
		wrong = virtio_queue(device, &console.transmit, TRANSMIT_QUEUE, &transmit_memory.ring, BUFFERS);
	if (wrong)
		return wrong;
	virtio_ready(device);
	console.free = UINT16_MAX;
	console.input_left = 0;
	console.device = device;
	return NULL;
}

const char *console_open_briefly(struct virtio *device)
{
	const char *wrong = virtio_begin_briefly(device);

	return wrong ? wrong : open_queues(device);
}

const char *console_reopen(bool wait)
{
	struct virtio *device = console.device;
	const char *wrong;

	if (wait)
		console_drain();
	console.device = NULL;
	if (!device)
		return NULL;
	wrong = virtio_begin(device, VIRTIO_F_EVENT_IDX);
	return wrong ? wrong : open_queues(device);
}

static void reap(void)
{
	uint32_t length;
	int head;

	while ((head = queue_take(&console.transmit, &length)) >= 0)
		console.free = (uint16_t)(console.free | 1u << console.buffer_of[head]);
	if (head == -2)
		console.device = NULL;
}

static bool wait_for_buffer(void)
{
	reap();
	while (console.device && !console.free) {
		if (!queue_wait(console.device, &console.transmit, machine_deadline(WAIT_MS)))
			console.device = NULL;
		else
			reap();
	}
	return console.device != NULL;
}

void console_write(const char *text, size_t size)
{
	while (size && console.device && wait_for_buffer()) {
		unsigned buffer = (unsigned)__builtin_ctz(console.free);
		size_t part = size < BUFFER_SIZE ? size : BUFFER_SIZE;
		struct segment segment = {transmit_memory.buffers[buffer], (uint32_t)part, false};
		int head;

		memcpy(segment.at, text, part);
		head = queue_add(&console.transmit, &segment, 1);
		if (head < 0)
			break;
		console.buffer_of[head] = (uint8_t)buffer;
		console.free = (uint16_t)(console.free & ~(1u << buffer));
		queue_kick(console.device, &console.transmit);
		text += part;
		size -= part;
	}
	for (; size; size--)
		out8(UART, (uint8_t)*text++);
}

void console_drain(void)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	if (!console.device)
		return;
	reap();
	while (console.device && console.transmit.free_count < console.transmit.size &&
	       queue_wait(console.device, &console.transmit, deadline))
		reap();
}

size_t console_read(char *buffer, size_t size)
{
	size_t done = 0;

	while (console.device && done == 0) {
		if (console.input_left == 0) {
			int head;

			offer_input();
			while (!queue_wait(console.device, &console.receive, UINT64_MAX))
				;
			head = queue_take(&console.receive, &console.input_left);
			if (head < 0 || console.input_left > INPUT_SIZE)
				return 0;
			console.input = receive_memory.buffers[head];
		}
		for (; done < size && console.input_left; console.input_left--)
			buffer[done++] = *console.input++;
	}
	return done;
}

struct virtio *console_device(void)
{
	return console.device;
}
