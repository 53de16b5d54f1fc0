/* Promises of devices/console.c on output: it arrives filtered, capped and before the driver hears of it; nobody at the
 * other end can stop, block or spin the device. Input: devices_console_input.c. */
#include "tests/unit/fake_console.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* ---- what the driver is told ---- */

static const struct {
	uint32_t columns, rows;
	uint64_t feature;
	uint8_t config[4];
} screens[] = {
    {0, 0, 0, {0}},
    {80, 0, 0, {0}},
    {0, 25, 0, {0}},
    {80, 25, 1, {80, 0, 25, 0}},
    {300, 70, 1, {44, 1, 70, 0}},
    {70000, 1, 1, {255, 255, 1, 0}},
};

START_TEST(the_size_is_offered_when_known)
{
	start_console(&(struct plan_console){.columns = screens[_i].columns, .rows = screens[_i].rows});
	ck_assert_uint_eq(fake_console.offered, TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | screens[_i].feature);
	ck_assert_mem_eq(fake_console.config, screens[_i].config, 4);
	end_console();
}
END_TEST

/* ---- output ---- */

START_TEST(output_arrives_in_order)
{
	uint32_t used;

	start_console(&plain);
	print(0, FAKE_DATA, "one ", 4);
	print(1, FAKE_DATA + 16, "two\x1b]0;raw\a", 11);
	fake_device_settle(&fake_console, BOTH);
	check_shown("one two\x1b]0;raw\a");
	ck_assert(came_back(TRANSMIT, &used));
	ck_assert_uint_eq(used, 0);
	ck_assert(came_back(TRANSMIT, &used));
	ck_assert_uint_ge(fake_console.interrupts, 1);
	end_console();
}
END_TEST

START_TEST(output_is_filtered_across_chains)
{
	start_console(&terminal);
	print(0, FAKE_DATA, "a\x1b]52;c;", 8);
	print(1, FAKE_DATA + 16, "ZXZpbA==\ab\x1b[3", 13);
	print(2, FAKE_DATA + 32, "1mc\xff", 4);
	fake_device_settle(&fake_console, BOTH);
	check_shown("ab\x1b[31mc\xef\xbf\xbd");
	end_console();
}
END_TEST

START_TEST(a_large_buffer_goes_out_in_pieces)
{
	char text[20000], got[20001];
	const struct fake_buffer buffers[] = {
	    {FAKE_DATA, 7000, 0}, {FAKE_DATA + 7000, 1, 0}, {FAKE_DATA + 7001, 12999, 0}};

	start_console(&plain);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 % 251);
	memcpy(fake_console.ram + FAKE_DATA, text, sizeof(text));
	fake_ring_add(&fake_console.rings[TRANSMIT], 0, buffers, 3);
	fake_device_settle(&fake_console, BOTH);
	ck_assert_uint_eq(shown(got, sizeof(got)), sizeof(text));
	ck_assert_mem_eq(got, text, sizeof(text));
	end_console();
}
END_TEST

START_TEST(what_the_filter_makes_longer_goes_out_in_pieces_too)
{
	char text[CONSOLE_PIECE], got[4096];

	start_console(&terminal);
	memset(text, 0xff, sizeof(text));
	print(0, FAKE_DATA, text, sizeof(text));
	device_run(&fake_console.device, 0);
	for (unsigned i = 0; i < 3; i++) {
		device_run(&fake_console.device, DEVICE_OUTPUT);
		ck_assert_uint_eq(shown(got, sizeof(got)), CONSOLE_PIECE);
	}
	ck_assert_uint_eq(device_run(&fake_console.device, DEVICE_OUTPUT), DEVICE_INPUT);
	ck_assert_uint_eq(shown(got, sizeof(got)), 0);
	end_console();
}
END_TEST

START_TEST(the_driver_hears_after_the_operator)
{
	uint32_t used;

	start_console(&plain);
	print(0, FAKE_DATA, "text", 4);
	ck_assert_uint_eq(device_run(&fake_console.device, 0), DEVICE_INPUT | DEVICE_OUTPUT);
	check_shown(""); /* poll has not allowed it yet */
	ck_assert(!came_back(TRANSMIT, &used));
	device_run(&fake_console.device, DEVICE_OUTPUT);
	check_shown("text");
	ck_assert(came_back(TRANSMIT, &used));
	end_console();
}
END_TEST

START_TEST(a_reader_that_waits_does_not_block)
{
	char text[4096];
	uint32_t used;
	size_t total = 0, n;

	start_console(&plain);
	memset(text, 'x', sizeof(text));
	for (uint16_t i = 0; i < SIZE; i++) /* twice what the pipe holds */
		print(i, FAKE_DATA, text, sizeof(text));
	ck_assert_int_eq(fcntl(reading, F_SETPIPE_SZ, 32768), 32768);
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), BOTH);
	while ((n = shown(text, sizeof(text))) > 0) {
		total += n;
		fake_device_settle(&fake_console, BOTH);
	}
	ck_assert_uint_eq(total, SIZE * sizeof(text));
	for (unsigned i = 0; i < SIZE; i++)
		ck_assert(came_back(TRANSMIT, &used));
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), DEVICE_INPUT);
	end_console();
}
END_TEST

START_TEST(a_reader_that_goes_does_not_stop_the_guest)
{
	uint32_t used;

	start_console(&plain);
	close(reading);
	reading = -1;
	print(0, FAKE_DATA, "text", 4);
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), DEVICE_INPUT);
	ck_assert(came_back(TRANSMIT, &used));
	print(0, FAKE_DATA, "text", 4);
	ck_assert_uint_eq(device_run(&fake_console.device, 0), DEVICE_INPUT); /* nothing is written any more */
	ck_assert(came_back(TRANSMIT, &used));
	ck_assert_uint_eq(fake_console.told, 0);
	end_console();
}
END_TEST

static const struct {
	uint64_t max;
	const char *shown;
	unsigned told;
} caps[] = {
    {9, "onetwoone", 1}, {12, "onetwoonetwo", 1}, {10, "onetwoonet", 1}, {0, "", 1}, {18, "onetwoonetwoonetwo", 0}};

START_TEST(what_exceeds_the_cap_is_dropped_and_told_once)
{
	uint32_t used;

	start_console(&(struct plan_console){.output_max = caps[_i].max});
	for (unsigned i = 0; i < 3; i++) {
		print(0, FAKE_DATA, "one", 3);
		print(1, FAKE_DATA + 16, "two", 3);
		fake_device_settle(&fake_console, BOTH);
		ck_assert(came_back(TRANSMIT, &used) && came_back(TRANSMIT, &used));
	}
	check_shown(caps[_i].shown);
	ck_assert_uint_eq(fake_console.told, caps[_i].told);
	if (fake_console.told > 0) {
		ck_assert_uint_eq(fake_console.messages[0].type, MESSAGE_CAP);
		ck_assert_uint_eq(fake_console.messages[0].code, CAP_CONSOLE_OUTPUT);
		ck_assert_uint_eq(fake_console.messages[0].value[0], caps[_i].max);
	}
	device_reset(&fake_console.device); /* the cap is the VM's, not the driver's */
	ck_assert_int_eq(fake_device_activate(&fake_console, SIZE, 0), FAULT_NONE);
	print(0, FAKE_DATA, "more", 4);
	fake_device_settle(&fake_console, BOTH);
	check_shown("");
	ck_assert_uint_eq(fake_console.told, 1);
	end_console();
}
END_TEST

static void print_text(const char *text)
{
	uint32_t used;
	print(0, FAKE_DATA, text, (uint32_t)strlen(text));
	fake_device_settle(&fake_console, BOTH);
	ck_assert(came_back(TRANSMIT, &used));
}

START_TEST(the_cap_is_lowered_and_raised_again)
{
	start_console(&(struct plan_console){.output_max = 12});
	print_text("12345678");
	check_shown("12345678");
	ck_assert(device_limit(&fake_console.device, CAP_CONSOLE_OUTPUT, 4)); /* has printed more already */
	print_text("no");
	check_shown("");
	ck_assert_uint_eq(fake_console.told, 1);
	ck_assert_uint_eq(fake_console.messages[0].value[0], 4);
	ck_assert(device_limit(&fake_console.device, CAP_CONSOLE_OUTPUT, 10));
	print_text("yes");
	check_shown("ye");
	ck_assert_uint_eq(fake_console.told, 2);
	ck_assert(!device_limit(&fake_console.device, CAP_CONSOLE_OUTPUT, 13));
	ck_assert(!device_limit(&fake_console.device, CAP_CONSOLE_OUTPUT, 0));
	ck_assert(!device_limit(&fake_console.device, CAP_GROWTH, 1));
	print_text("no");
	check_shown("");
	ck_assert(device_limit(&fake_console.device, CAP_CONSOLE_OUTPUT, 12));
	print_text("on and on");
	check_shown("on");
	end_console();
}
END_TEST

START_TEST(dropped_output_keeps_the_other_channels_alive)
{
	static const struct fake_buffer all[] = {{0, FAKE_RAM_SIZE, 0}, {0, FAKE_RAM_SIZE, 0}};

	start_console(&terminal);
	memset(fake_console.ram + FAKE_DATA, 0, 0x8000); /* the filter drops these, so no write makes a pause */
	fake_ring_add(&fake_console.rings[TRANSMIT], 0, all, 2);
	ck_assert_uint_ne(device_run(&fake_console.device, 0) & DEVICE_AGAIN, 0);
	ck_assert_uint_eq(fake_console.rings[TRANSMIT].used_index, fake_console.device.queues[TRANSMIT].next_used);
	end_console();
}
END_TEST

/* ---- wrong drivers, reset ---- */

static const struct {
	unsigned queue;
	struct fake_buffer buffers[2];
	unsigned count;
} wrong[] = {
    {TRANSMIT, {{FAKE_DATA, 4, 0}, {FAKE_DATA, 4, WRITE}}, 2},
    {TRANSMIT, {{FAKE_DATA, 4, WRITE}}, 1},
    {RECEIVE, {{FAKE_DATA, 4, 0}, {FAKE_DATA, 4, WRITE}}, 2},
    {RECEIVE, {{FAKE_DATA, 4, 0}}, 1},
    {RECEIVE, {{FAKE_DATA, 0, WRITE}}, 1},
};

START_TEST(a_buffer_has_the_queue_s_direction)
{
	start_console(&plain);
	type_text("text");
	fake_ring_add(&fake_console.rings[wrong[_i].queue], 0, wrong[_i].buffers, wrong[_i].count);
	fake_device_settle(&fake_console, BOTH);
	check_shown("");
	ck_assert_uint_eq(fake_console.told, 1);
	ck_assert_uint_eq(fake_console.messages[0].type, MESSAGE_FAULT);
	ck_assert_uint_eq(fake_console.messages[0].code, FAULT_REQUEST);
	ck_assert_uint_eq(fake_console.messages[0].value[0], wrong[_i].queue);
	end_console();
}
END_TEST

START_TEST(a_reset_forgets_the_chain_that_is_out)
{
	char text[2000];
	uint32_t used;

	start_console(&plain);
	memset(text, 'x', sizeof(text));
	print(0, FAKE_DATA, text, sizeof(text));
	device_run(&fake_console.device, 0);
	device_run(&fake_console.device, DEVICE_OUTPUT); /* one piece is out, the next waits */
	device_reset(&fake_console.device);
	fake_device_settle(&fake_console, BOTH);
	ck_assert_uint_eq(shown(text, sizeof(text)), 2 * CONSOLE_PIECE); /* what was taken is still written */
	ck_assert_int_eq(fake_device_activate(&fake_console, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), DEVICE_INPUT);
	ck_assert(!came_back(TRANSMIT, &used));
	print(0, FAKE_DATA, "new", 3);
	fake_device_settle(&fake_console, BOTH);
	check_shown("new");
	end_console();
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* ---- a reader that does not read ---- */

/* A terminal takes a part of a write, or nothing though poll said it would: the device still answers. */
START_TEST(a_terminal_that_nobody_reads_blocks_no_reset)
{
	enum { BYTES = 24000 };
	static char text[BYTES], got[BYTES + 1];
	const struct fake_buffer buffer = {FAKE_DATA, BYTES, 0};
	struct termios raw;
	size_t size = 0;
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	start_console(&plain);
	ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	ck_assert_int_ge(slave, 0);
	ck_assert_int_eq(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	ck_assert_int_eq(tcsetattr(slave, TCSANOW, &raw), 0);
	int pipe_end = fake_console.device.backend_out;
	fake_console.device.backend_out = slave;
	for (unsigned i = 0; i < BYTES; i++)
		text[i] = (char)('!' + i % 90);
	memcpy(fake_console.ram + FAKE_DATA, text, BYTES);
	fake_ring_add(&fake_console.rings[TRANSMIT], 0, &buffer, 1);
	ck_assert((fake_device_settle(&fake_console, DEVICE_OUTPUT) & (DEVICE_OUTPUT | DEVICE_LATER)) != 0);
	if (_i == 0) { /* read at last, all of it comes */
		for (int round = 0; size < BYTES && round < 1000; round++) {
			struct pollfd readable = {.fd = master, .events = POLLIN};
			ck_assert_int_eq(poll(&readable, 1, 5000), 1);
			size += (size_t)read(master, got + size, sizeof(got) - size);
			fake_device_settle(&fake_console, DEVICE_OUTPUT);
		}
		ck_assert_uint_eq(size, BYTES);
		ck_assert_mem_eq(got, text, BYTES);
	} else {
		device_reset(&fake_console.device);
		ck_assert(!fake_console.device.is_active);
		ck_assert_int_eq(fake_device_activate(&fake_console, SIZE, 0), FAULT_NONE);
	}
	fake_console.device.backend_out = pipe_end;
	close(slave);
	close(master);
	end_console();
}
END_TEST

START_TEST(a_backend_that_takes_nothing_is_asked_now_and_then)
{
	char filler[4096] = {0};

	start_console(&plain);
	int shared = fake_console.device.backend_out;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", shared);
	int own = open(path, O_WRONLY | O_NONBLOCK);
	while (write(own, filler, sizeof(filler)) > 0)
		continue;
	fake_console.device.backend_out = own;
	print(0, FAKE_DATA, "late", 4);
	ck_assert_uint_eq(device_run(&fake_console.device, 0) & (DEVICE_OUTPUT | DEVICE_LATER), DEVICE_OUTPUT);
	/* poll lies */
	ck_assert_uint_eq(device_run(&fake_console.device, DEVICE_OUTPUT) & (DEVICE_OUTPUT | DEVICE_LATER),
			  DEVICE_LATER);
	ck_assert_uint_gt(fake_console.device.wait_ns, 1000000);
	ck_assert_uint_eq(device_run(&fake_console.device, 0) & (DEVICE_OUTPUT | DEVICE_LATER), DEVICE_OUTPUT);
	fake_console.device.backend_out = shared;
	close(own);
	end_console();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/console");
	TCase *tests = tcase_create("console");

	tcase_add_loop_test(tests, the_size_is_offered_when_known, 0, ROWS(screens));
	tcase_add_test(tests, output_arrives_in_order);
	tcase_add_test(tests, output_is_filtered_across_chains);
	tcase_add_test(tests, a_large_buffer_goes_out_in_pieces);
	tcase_add_test(tests, what_the_filter_makes_longer_goes_out_in_pieces_too);
	tcase_add_test(tests, the_driver_hears_after_the_operator);
	tcase_add_test(tests, a_reader_that_waits_does_not_block);
	tcase_add_test(tests, a_reader_that_goes_does_not_stop_the_guest);
	tcase_add_loop_test(tests, what_exceeds_the_cap_is_dropped_and_told_once, 0, ROWS(caps));
	tcase_add_test(tests, the_cap_is_lowered_and_raised_again);
	tcase_add_test(tests, dropped_output_keeps_the_other_channels_alive);
	tcase_add_loop_test(tests, a_buffer_has_the_queue_s_direction, 0, ROWS(wrong));
	tcase_add_test(tests, a_reset_forgets_the_chain_that_is_out);
	tcase_add_loop_test(tests, a_terminal_that_nobody_reads_blocks_no_reset, 0, 2);
	tcase_add_test(tests, a_backend_that_takes_nothing_is_asked_now_and_then);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
