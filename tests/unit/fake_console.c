/* Tests: a console between two pipes. See fake_console.h. */
#include "tests/unit/fake_console.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct fake_device fake_console;
int typing, reading;

void start_console(const struct plan_console *plan)
{
	int in[2], out[2];

	signal(SIGPIPE, SIG_IGN);
	ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	typing = in[1];
	reading = out[0];
	ck_assert_int_eq(fcntl(reading, F_SETFL, O_NONBLOCK), 0);
	fake_console = (struct fake_device){.plan = {.kind = DEVICE_CONSOLE, .as.console = *plan}};
	fake_device_start(&fake_console, in[0], out[1]);
	ck_assert_int_eq(fake_device_activate(&fake_console, SIZE, 0), FAULT_NONE);
}

void end_console(void)
{
	/* its flags are as they were: others share the descriptions */
	ck_assert_int_eq(fcntl(fake_console.device.backend, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fake_console.device.backend_out, F_GETFL) & O_NONBLOCK, 0);
	close(fake_console.device.backend);
	close(fake_console.device.backend_out);
	if (typing >= 0)
		close(typing);
	if (reading >= 0)
		close(reading);
	fake_device_end(&fake_console);
}

const struct plan_console plain = {.output_max = 1 << 20, .has_input = 1};
const struct plan_console terminal = {
    .output_max = 1 << 20, .has_input = 1, .is_terminal = 1, .filter_escapes = 1, .columns = 132, .rows = 50};

void print(uint16_t head, uint64_t address, const char *text, uint32_t size)
{
	memcpy(fake_console.ram + address, text, size);
	fake_ring_add(&fake_console.rings[TRANSMIT], head, &(struct fake_buffer){address, size, 0}, 1);
}

size_t shown(char *text, size_t size)
{
	ssize_t n = read(reading, text, size);

	return n > 0 ? (size_t)n : 0;
}

void check_shown(const char *expected)
{
	char text[8192];
	size_t size = shown(text, sizeof(text));

	ck_assert_msg(size == strlen(expected) && memcmp(text, expected, size) == 0, "shown: \"%.*s\"", (int)size,
		      text);
}

bool came_back(unsigned queue, uint32_t *used)
{
	uint32_t id;

	return fake_ring_take(&fake_console.rings[queue], &id, used);
}

void type_text(const char *text)
{
	ck_assert_int_eq(write(typing, text, strlen(text)), strlen(text));
}
