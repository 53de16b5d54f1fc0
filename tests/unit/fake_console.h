/* Tests: a console between two pipes, of which the test holds the operator's ends. */
#ifndef TESTS_UNIT_FAKE_CONSOLE_H
#define TESTS_UNIT_FAKE_CONSOLE_H

#include "tests/unit/fake_device.h"

enum {
	SIZE = 16,
	RECEIVE = 0,
	TRANSMIT = 1,
	BOTH = DEVICE_INPUT | DEVICE_OUTPUT,
	CONSOLE_PIECE = 256, /* bytes taken and written at once */
	CONSOLE_INPUT = 256, /* bytes typed that wait for the driver */
};

extern struct fake_device fake_console;
extern int typing, reading; /* -1 when the test has closed it */
extern const struct plan_console plain, terminal;

void start_console(const struct plan_console *plan);
void end_console(void);
/* The guest prints: a chain of one buffer that holds `text`. */
void print(uint16_t head, uint64_t address, const char *text, uint32_t size);
/* What the operator has got since the last call. */
size_t shown(char *text, size_t size);
void check_shown(const char *expected);
bool came_back(unsigned queue, uint32_t *used);
void type_text(const char *text);

#endif
