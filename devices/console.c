/* Console (virtio 1.2, section 5.3): one port, output to a descriptor, input from another.
 *
 * Trusts neither side's bytes. Output passes the escape filter where the plan says so, and stops for good at
 * output_max; a chain is given back when its bytes are written, so what the guest knows to be printed is printed.
 * Never changes a flag of the descriptors, which others share, never writes more than CONSOLE_PIECE bytes after poll
 * has allowed it, and never spins on an end-of-file, nor on a terminal that poll calls writable and that takes nothing.
 *
 * On a terminal Ctrl-A is the command key: `x` asks the supervisor to stop the VM, Ctrl-A sends one, `h` and `?`
 * help. It works in every state of the guest: typed text that finds no room is dropped instead.
 */
#include "devices/device.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define F_SIZE (UINT64_C(1) << 0)

enum {
	QUEUE_RECEIVE = 0,
	QUEUE_TRANSMIT = 1,
	COMMAND_KEY = 0x01,  /* Ctrl-A */
	PIECES_MAX = 64,     /* taken in one run */
	STUCK_NS = 10000000, /* until a backend that took nothing is asked again */
};

static const char help[] = "\r\ncofferdam: Ctrl-A x stops the VM, Ctrl-A Ctrl-A sends Ctrl-A\r\n";
_Static_assert(sizeof(help) <= ESCAPE_FILTER_ROOM(CONSOLE_PIECE), "the help line fits the buffer");

static uint16_t clamp16(uint32_t value)
{
	return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

static uint32_t console_describe(const struct plan_device *plan, uint64_t *features, uint8_t *config)
{
	const struct plan_console *console = &plan->as.console;
	const uint16_t size[] = {clamp16(console->columns), clamp16(console->rows)}; /* 5.3.4 */

	if (size[0] == 0 || size[1] == 0)
		return 0;
	*features |= F_SIZE;
	memcpy(config, size, sizeof(size));
	return sizeof(size);
}

/* Typed text stays: the driver's first reset comes after it. */
static void console_reset(struct device *device)
{
	device->console.is_sending = false;
}

/* ---- input ---- */

static void keep(struct console *console, uint8_t byte)
{
	if (console->in_size < sizeof(console->in))
		console->in[console->in_size++] = byte;
}

static void type(struct device *device, uint8_t byte)
{
	struct console *console = &device->console;
	bool is_command = console->is_command;

	console->is_command = false;
	if (device->plan->as.console.is_terminal && !is_command && byte == COMMAND_KEY)
		console->is_command = true;
	else if (!is_command || byte == COMMAND_KEY)
		keep(console, byte);
	else if (byte == 'x')
		device->host.tell(device->host.context, MESSAGE_KEY, byte, 0);
	else if (byte == 'h' || byte == '?')
		console->is_help_due = true;
}

static void read_input(struct device *device)
{
	uint8_t typed[CONSOLE_INPUT];
	ssize_t size = read(device->backend, typed, sizeof(typed));

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0)
		device->console.is_input_closed = true;
	for (ssize_t i = 0; i < size; i++)
		type(device, typed[i]);
}

/* A terminal is read even if nobody takes what is typed, for the command key; other input waits for its turn. */
static bool wants_input(const struct device *device)
{
	const struct plan_console *plan = &device->plan->as.console;

	return plan->has_input && !device->console.is_input_closed &&
	       (plan->is_terminal || device->console.in_size == 0);
}

static void deliver_input(struct device *device)
{
	struct console *console = &device->console;
	struct virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	struct chain *chain = &device->chains[QUEUE_RECEIVE];

	while (console->in_size > 0 && virtqueue_pop(queue, chain)) {
		if (chain->readable.size > 0 || chain->writable.size == 0) {
			virtqueue_fail(queue, FAULT_REQUEST);
			return;
		}
		uint32_t size = (uint32_t)guest_buffers_write(&chain->writable, console->in, console->in_size);
		console->in_size -= size;
		memmove(console->in, console->in + size, console->in_size);
		virtqueue_push(queue, chain, size);
	}
}

/* ---- output ---- */

static bool is_output_pending(const struct console *console)
{
	return console->out_start < console->out_size;
}

static void write_output(struct device *device)
{
	struct console *console = &device->console;
	size_t size = console->out_size - console->out_start;

	if (size > CONSOLE_PIECE)
		size = CONSOLE_PIECE;
	ssize_t written = write(device->backend_out, console->out + console->out_start, size);
	if (written >= 0) {
		console->out_start += (uint32_t)written;
	} else if (errno != EAGAIN && errno != EINTR) { /* nobody reads any more: the guest goes on without */
		console->is_output_closed = true;
		console->out_start = console->out_size;
	} else {
		console->is_stuck = errno == EAGAIN;
	}
}

/* Counts what is about to be written, and cuts it off at the cap: nothing is taken after that. */
static void account(struct device *device)
{
	struct console *console = &device->console;
	uint64_t max = device->plan->as.console.output_max;

	if (console->out_size > max - console->written) {
		console->out_size = (uint32_t)(max - console->written);
		console->is_cap_told = true;
		device->host.tell(device->host.context, MESSAGE_CAP, CAP_CONSOLE_OUTPUT, max);
	}
	console->written += console->out_size;
}

/* Nothing waits to be written: moves the next bytes of the chain that is out into `out`. */
static void take_piece(struct device *device)
{
	struct console *console = &device->console;
	struct guest_buffers *buffers = &device->chains[QUEUE_TRANSMIT].readable;
	uint8_t piece[CONSOLE_PIECE];

	if (console->is_cap_told || console->is_output_closed) {
		guest_buffers_skip(buffers, buffers->size);
		return;
	}
	size_t size = guest_buffers_read(buffers, piece, sizeof(piece));
	console->out_start = 0;
	if (device->plan->as.console.filter_escapes) {
		console->out_size = (uint32_t)escape_filter(&console->filter, piece, size, console->out);
	} else {
		memcpy(console->out, piece, size);
		console->out_size = (uint32_t)size;
	}
	account(device);
}

/* Goes on with the chain that is out, or takes the next. False: the driver has none. */
static bool send_piece(struct device *device)
{
	struct console *console = &device->console;
	struct virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	struct chain *chain = &device->chains[QUEUE_TRANSMIT];

	if (!console->is_sending && !virtqueue_pop(queue, chain))
		return false;
	console->is_sending = true;
	if (chain->writable.size > 0) {
		console->is_sending = false;
		virtqueue_fail(queue, FAULT_REQUEST);
		return false;
	}
	if (chain->readable.size > 0) {
		take_piece(device);
	} else {
		console->is_sending = false;
		virtqueue_push(queue, chain, 0);
	}
	return true;
}

static unsigned console_run(struct device *device, unsigned ready)
{
	struct console *console = &device->console;
	unsigned pieces = 0;

	console->is_stuck = false;
	device->wait_ns = STUCK_NS;
	if ((ready & DEVICE_INPUT) != 0 && wants_input(device))
		read_input(device);
	if ((ready & DEVICE_OUTPUT) != 0 && is_output_pending(console))
		write_output(device);
	if (console->is_help_due && !is_output_pending(console) && !console->is_output_closed) {
		console->is_help_due = false;
		console->out_start = 0;
		console->out_size = sizeof(help) - 1;
		memcpy(console->out, help, sizeof(help) - 1);
	}
	if (device->is_active) {
		deliver_input(device);
		while (!is_output_pending(console) && pieces < PIECES_MAX && send_piece(device))
			pieces++;
	}
	unsigned output = !is_output_pending(console) ? 0U : console->is_stuck ? DEVICE_LATER : DEVICE_OUTPUT;
	return (wants_input(device) ? DEVICE_INPUT : 0U) | output | (pieces == PIECES_MAX ? DEVICE_AGAIN : 0U);
}

const struct device_ops console_ops = {
    .kind = DEVICE_CONSOLE,
    .queue_count = 2,
    .describe = console_describe,
    .reset = console_reset,
    .run = console_run,
};
