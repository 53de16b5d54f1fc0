/* Promises of devices/console.c on input: it waits for its turn, its end is the end of polling, and the command key
 * works in every state of the guest. */
#include "tests/unit/fake_console.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- input ---- */

static void offer_buffer(uint16_t head, uint64_t address, uint32_t size)
{
	fake_ring_add(&fake_console.rings[RECEIVE], head, &(struct fake_buffer){address, size, WRITE}, 1);
}

START_TEST(input_arrives)
{
	uint32_t used;

	start_console(&plain);
	offer_buffer(0, FAKE_DATA, 4);
	offer_buffer(1, FAKE_DATA + 16, 64);
	type_text("some \x01x text");
	fake_device_settle(&fake_console, BOTH);
	ck_assert(came_back(RECEIVE, &used));
	ck_assert_uint_eq(used, 4);
	ck_assert_mem_eq(fake_console.ram + FAKE_DATA, "some\0", 5);
	ck_assert(came_back(RECEIVE, &used));
	ck_assert_uint_eq(used, 8);
	ck_assert_mem_eq(fake_console.ram + FAKE_DATA + 16, " \x01x text\0", 9); /* no terminal, no command key */
	ck_assert_uint_eq(fake_console.told, 0);
	ck_assert_uint_eq(fake_console.interrupts, 1);
	end_console();
}
END_TEST

START_TEST(input_waits_for_the_driver)
{
	char text[1000];
	uint32_t used;
	int waiting;

	start_console(&plain);
	device_reset(&fake_console.device);
	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(write(typing, text, sizeof(text)), sizeof(text));
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), 0); /* it took what it can keep, and left the rest */
	ck_assert(ioctl(typing, FIONREAD, &waiting) == 0 && waiting == (int)sizeof(text) - CONSOLE_INPUT);
	ck_assert_int_eq(fake_device_activate(&fake_console, SIZE, 0), FAULT_NONE);
	for (unsigned i = 0; i < 4; i++)
		offer_buffer((uint16_t)i, FAKE_DATA + 300 * i, 300);
	fake_device_settle(&fake_console, BOTH);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert(came_back(RECEIVE, &used));
		ck_assert_uint_eq(used, i < 3 ? 256 : 1000 - 3 * 256);
	}
	end_console();
}
END_TEST

START_TEST(the_end_of_input_is_the_end_of_polling)
{
	uint32_t used;

	start_console(&plain);
	offer_buffer(0, FAKE_DATA, 64);
	type_text("last");
	close(typing);
	typing = -1;
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), 0);
	ck_assert(came_back(RECEIVE, &used));
	ck_assert_uint_eq(used, 4);
	print(0, FAKE_DATA, "on", 2);
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), 0);
	check_shown("on");
	end_console();
}
END_TEST

START_TEST(no_input_is_never_polled)
{
	start_console(&(struct plan_console){.output_max = 100});
	type_text("ignored");
	ck_assert_uint_eq(device_run(&fake_console.device, DEVICE_INPUT), 0);
	end_console();
}
END_TEST

/* ---- the command key ---- */

#define HELP "\r\ncofferdam: Ctrl-A x stops the VM, Ctrl-A Ctrl-A sends Ctrl-A\r\n"

static const struct {
	const char *typed[2];
	const char *received, *shown;
	unsigned keys;
} commands[] = {
    {{"plain"}, "plain", "", 0},        {{"\x01x"}, "", "", 1},        {{"\x01", "x"}, "", "", 1},
    {{"a\x01xb\x01xc"}, "abc", "", 2},  {{"\x01\x01"}, "\x01", "", 0}, {{"\x01\x01x"}, "\x01x", "", 0},
    {{"\x01\x01\x01x"}, "\x01", "", 1}, {{"\x01h"}, "", HELP, 0},      {{"\x01?"}, "", HELP, 0},
    {{"\x01y\x01\x03z"}, "z", "", 0},
};

START_TEST(the_command_key_is_heard)
{
	uint32_t used = 0;

	start_console(&terminal);
	offer_buffer(0, FAKE_DATA, 64);
	for (unsigned i = 0; i < 2 && commands[_i].typed[i] != NULL; i++) {
		type_text(commands[_i].typed[i]);
		fake_device_settle(&fake_console, BOTH);
	}
	came_back(RECEIVE, &used);
	ck_assert_uint_eq(used, strlen(commands[_i].received));
	ck_assert_mem_eq(fake_console.ram + FAKE_DATA, commands[_i].received, used);
	check_shown(commands[_i].shown);
	ck_assert_uint_eq(fake_console.told, commands[_i].keys);
	for (unsigned i = 0; i < fake_console.told; i++) {
		ck_assert_uint_eq(fake_console.messages[i].type, MESSAGE_KEY);
		ck_assert_uint_eq(fake_console.messages[i].code, 'x');
	}
	end_console();
}
END_TEST

START_TEST(the_command_key_works_when_nobody_takes_input)
{
	char text[600];

	start_console(&terminal);
	device_reset(&fake_console.device);
	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(write(typing, text, sizeof(text)), sizeof(text));
	fake_device_settle(&fake_console, BOTH);
	ck_assert_uint_eq(fake_console.told, 0);
	type_text("\x01x");
	ck_assert_uint_eq(fake_device_settle(&fake_console, BOTH), DEVICE_INPUT);
	ck_assert_uint_eq(fake_console.told, 1);
	end_console();
}
END_TEST

START_TEST(help_waits_for_the_guest_s_output)
{
	start_console(&terminal);
	print(0, FAKE_DATA, "text", 4);
	print(1, FAKE_DATA + 16, "more", 4);
	device_run(&fake_console.device, 0); /* the first text waits */
	type_text("\x01h");
	fake_device_settle(&fake_console, DEVICE_INPUT);
	fake_device_settle(&fake_console, BOTH);
	check_shown("text" HELP "more");
	end_console();
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/console, input");
	TCase *tests = tcase_create("console_input");

	tcase_add_test(tests, input_arrives);
	tcase_add_test(tests, input_waits_for_the_driver);
	tcase_add_test(tests, the_end_of_input_is_the_end_of_polling);
	tcase_add_test(tests, no_input_is_never_polled);
	tcase_add_loop_test(tests, the_command_key_is_heard, 0, ROWS(commands));
	tcase_add_test(tests, the_command_key_works_when_nobody_takes_input);
	tcase_add_test(tests, help_waits_for_the_guest_s_output);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
