/* Console: its state, which is all that a device keeps between two runs. See console.c. */
#ifndef DEVICES_CONSOLE_H
#define DEVICES_CONSOLE_H

#include "devices/escape_filter.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CONSOLE_PIECE = 256, /* bytes of output that are taken at once, and written at once */
	CONSOLE_INPUT = 256, /* bytes typed that the driver has no buffer for yet */
};

struct console {
	uint8_t in[CONSOLE_INPUT], out[ESCAPE_FILTER_ROOM(CONSOLE_PIECE)];
	uint32_t in_size, out_start, out_size; /* what waits: in[0…in_size), out[out_start…out_size) */
	uint64_t written;                      /* of the guest's output, towards output_max */
	struct escape_filter filter;
	bool is_cap_told;
	bool is_input_closed, is_output_closed;
	bool is_stuck;    /* poll said that it could be written, and it took nothing */
	bool is_command;  /* the last byte typed was the command key */
	bool is_help_due; /* print the help line when nothing waits */
	bool is_sending;  /* chains[1] is out, partly written */
};

#endif
