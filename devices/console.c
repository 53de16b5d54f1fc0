/* Console (virtio 1.2, section 5.3): one port, output to a descriptor, input from another.
 *
 * Trusts neither side's bytes. Output passes the escape filter where the plan says so, and stops at
 * output_max, or what it was lowered to; a chain is given back when its bytes are written, so what the guest knows to
 * be printed is printed. Never changes a flag of the descriptors, which others share, never writes more than
 * CONSOLE_PIECE bytes after poll has allowed it, and never spins on an end-of-file, nor on a terminal that poll calls
 * writable and that takes nothing.
 *
 * On a terminal Ctrl-A is the command key: `x` asks the supervisor to stop the VM, Ctrl-A sends one, `h` and `?`
 * help. It works in every state of the guest: typed text that finds no room is dropped instead.
 */
#include "devices/device.h"
#include "devices/escape_filter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define F_SIZE (UINT64_C(1) << 0)

enum {
	QUEUE_RECEIVE = 0,
	QUEUE_TRANSMIT = 1,
	COMMAND_KEY = 0x01,  /* Ctrl-A */
	CONSOLE_PIECE = 256, /* bytes of output that are taken at once, and written at once */
	CONSOLE_INPUT = 256, /* bytes typed that the driver has no buffer for yet */
	PIECES_MAX = 64,     /* taken in one run */
	STUCK_NS = 10000000, /* until a backend that took nothing is asked again */
};

struct console {
	uint8_t in[CONSOLE_INPUT], out[ESCAPE_FILTER_ROOM(CONSOLE_PIECE)];
	uint32_t in_size, out_start, out_size; /* what waits: in[0…in_size), out[out_start…out_size) */
	struct escape_filter filter;
	bool is_input_closed, is_output_closed;
	bool is_stuck;    /* poll said that it could be written, and it took nothing */
	bool is_command;  /* the last byte typed was the command key */
	bool is_help_due; /* print the help line when nothing waits */
};

static const char help[] = "\r\ncofferdam: Ctrl-A x stops the VM, Ctrl-A Ctrl-A sends Ctrl-A\r\n";
_Static_assert(sizeof(help) <= ESCAPE_FILTER_ROOM(CONSOLE_PIECE), "the help line fits the buffer");

static uint16_t clamp16(uint32_t value)
{
	return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

static uint32_t console_describe(const struct device *device, uint64_t *features, uint8_t *config)
{
	const struct plan_console *console = &device->plan->as.console;
	const uint16_t size[] = {clamp16(console->columns), clamp16(console->rows)}; /* 5.3.4 */

	if (size[0] == 0 || size[1] == 0)
		return 0;
	*features |= F_SIZE;
	memcpy(config, size, sizeof(size));
	return sizeof(size);
}

/* ---- input ---- */

static void type(struct device *device, uint8_t byte)
{
	struct console *console = device->state;
	bool is_command = console->is_command;

	console->is_command = false;
	if (device->plan->as.console.is_terminal && !is_command && byte == COMMAND_KEY)
		console->is_command = true;
	else if ((!is_command || byte == COMMAND_KEY) && console->in_size < sizeof(console->in))
		console->in[console->in_size++] = byte;
	else if (is_command && byte == 'x')
		device->host.tell(device->host.context, &(struct message){.type = MESSAGE_KEY, .code = byte});
	else if (is_command && (byte == 'h' || byte == '?'))
		console->is_help_due = true;
}

static void read_input(struct device *device)
{
	struct console *console = device->state;
	uint8_t typed[CONSOLE_INPUT];
	ssize_t size = read(device->backend, typed, sizeof(typed));

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0)
		console->is_input_closed = true;
	for (ssize_t i = 0; i < size; i++)
		type(device, typed[i]);
}

/* A terminal is read even if nobody takes what is typed, for the command key; other input waits for its turn. */
static bool wants_input(const struct device *device)
{
	const struct plan_console *plan = &device->plan->as.console;
	const struct console *console = device->state;

	return plan->has_input && !console->is_input_closed && (plan->is_terminal || console->in_size == 0);
}

static void deliver_input(struct device *device)
{
	struct console *console = device->state;
	struct chain *chain;

	while (console->in_size > 0 && (chain = device_take(device, QUEUE_RECEIVE)) != NULL) {
		uint32_t size = (uint32_t)guest_buffers_write(&chain->writable, console->in, console->in_size);
		console->in_size -= size;
		memmove(console->in, console->in + size, console->in_size);
		virtqueue_push(&device->queues[QUEUE_RECEIVE], chain, size);
		device_account(device, QUEUE_RECEIVE, size, 1);
	}
}

/* ---- output ---- */

static bool is_output_pending(const struct console *console)
{
	return console->out_start < console->out_size;
}

static void write_output(struct device *device)
{
	struct console *console = device->state;
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

/* Nothing waits to be written: moves the next bytes of the chain that is out into `out`. */
static void take_piece(struct device *device)
{
	struct console *console = device->state;
	struct guest_buffers *buffers = &device->chains[QUEUE_TRANSMIT].readable;
	uint8_t piece[CONSOLE_PIECE];

	if (device->is_total_told || console->is_output_closed) {
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
	if (console->out_size >
	    device_left(device)) { /* what is about to be written is cut off, and no more is taken */
		console->out_size = (uint32_t)device_left(device);
		device->is_total_told = true;
		device->host.tell(
		    device->host.context,
		    &(struct message){.type = MESSAGE_CAP, .code = CAP_CONSOLE_OUTPUT, .value = {device->total}});
	}
	device->used += console->out_size;
	device_account(device, QUEUE_TRANSMIT, console->out_size, 0);
}

/* Goes on with the chain that is out, or takes the next. False: the driver has none. */
static bool send_piece(struct device *device)
{
	struct chain *chain = device_take(device, QUEUE_TRANSMIT);

	if (chain == NULL)
		return false;
	if (chain->readable.size > 0) {
		take_piece(device);
		return true;
	}
	virtqueue_push(&device->queues[QUEUE_TRANSMIT], chain, 0);
	device_account(device, QUEUE_TRANSMIT, 0, 1);
	return true;
}

static unsigned console_run(struct device *device, unsigned ready)
{
	struct console *console = device->state;
	unsigned pieces = 0;

	console->is_stuck = false;
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
	unsigned wants = (wants_input(device) ? DEVICE_INPUT : 0U) | (pieces == PIECES_MAX ? DEVICE_AGAIN : 0U);
	if (is_output_pending(console))
		wants |= console->is_stuck ? device_later(device, STUCK_NS) : DEVICE_OUTPUT;
	return wants;
}

const struct device_ops console_ops = {
    .kind = DEVICE_CONSOLE,
    .queue_count = 2,
    .directions = {[QUEUE_RECEIVE] = TO_DRIVER},
    .state_size = sizeof(struct console),
    .describe = console_describe,
    .run = console_run,
};
