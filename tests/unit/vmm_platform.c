/* Promises of monitor/vmm/platform.h: what each port and platform register does at every width, and that all the rest
 * answers all ones. */
#include "monitor/vmm/platform.h"
#include "tests/unit/run_suite.h"

#include <stdbool.h>
#include <string.h>

static struct platform platform;

static uint64_t read_at(uint32_t offset, uint32_t size)
{
	uint8_t data[8] = {0};
	uint64_t value = 0;

	platform_read(&platform, offset, data, size);
	memcpy(&value, data, size);
	return value;
}

static uint64_t ones(uint32_t size)
{
	return size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

START_TEST(events_are_taken_once)
{
	platform.events = EVENT_POWER_BUTTON;
	ck_assert_uint_eq(read_at(PLATFORM_EVENT, 1), 0xff);
	ck_assert_uint_eq(read_at(PLATFORM_EVENT, 8), UINT64_MAX);
	ck_assert_uint_eq(read_at(PLATFORM_EVENT + 1, 4), 0xffffffff);
	ck_assert_uint_eq(read_at(PLATFORM_EVENT, 4), EVENT_POWER_BUTTON);
	ck_assert_uint_eq(read_at(PLATFORM_EVENT, 4), 0);
}
END_TEST

START_TEST(other_reads_are_all_ones)
{
	for (uint32_t offset = 0; offset <= 4096; offset++)
		for (uint32_t size = 1; size <= 8; size++) {
			bool known = (offset == PLATFORM_EVENT && size == 4) ||
				     (size == 1 && ((offset >= PLATFORM_SLEEP_CONTROL && offset <= PLATFORM_RESET) ||
						    offset == PLATFORM_PANIC));
			if (!known && read_at(offset, size) != ones(size))
				ck_abort_msg("offset %x size %u", offset, size);
		}
	ck_assert_uint_eq(read_at(PLATFORM_PANIC, 1), PANIC_PANICKED);
	ck_assert_uint_eq(read_at(PLATFORM_SLEEP_STATUS, 1), 0);
}
END_TEST

START_TEST(registers_end_the_vm)
{
	static const struct {
		uint32_t offset;
		uint8_t value;
		enum outcome outcome;
	} rows[] = {
	    {PLATFORM_SLEEP_CONTROL, 0x34, OUTCOME_POWER_OFF},
	    {PLATFORM_SLEEP_CONTROL, 0xf7, OUTCOME_POWER_OFF}, /* other bits aside */
	    {PLATFORM_SLEEP_CONTROL, 0x14, OUTCOME_NONE},      /* no SLP_EN */
	    {PLATFORM_SLEEP_CONTROL, 0x20, OUTCOME_NONE},      /* S0 */
	    {PLATFORM_SLEEP_CONTROL, 0x3c, OUTCOME_NONE},
	    {PLATFORM_SLEEP_STATUS, 0x80, OUTCOME_NONE},
	    {PLATFORM_RESET, 0, OUTCOME_RESET},
	    {PLATFORM_RESET, 1, OUTCOME_RESET},
	    {PLATFORM_PANIC, 1, OUTCOME_PANIC},
	    {PLATFORM_PANIC, 2, OUTCOME_NONE}, /* the guest's own crash kernel takes over */
	    {PLATFORM_EVENT, 1, OUTCOME_NONE},
	    {0x50, 0xff, OUTCOME_NONE},
	};
	const uint8_t data[8] = {rows[_i].value};

	ck_assert_int_eq(platform_write(rows[_i].offset, data, 1).outcome, rows[_i].outcome);
	for (uint32_t size = 2; size <= 8; size++)
		ck_assert_int_eq(platform_write(rows[_i].offset, data, size).outcome, OUTCOME_NONE);
}
END_TEST

START_TEST(every_port_has_an_answer)
{
	static const uint8_t data[4] = {42, 1, 2, 3};

	for (uint32_t port = 0; port <= UINT16_MAX; port++)
		for (uint32_t size = 1; size <= 4; size *= 2) {
			struct ending ending = port_write((uint16_t)port, data, size, 1);
			enum outcome expected = port == PORT_RESET               ? OUTCOME_RESET
						: port == PORT_EXIT && size == 1 ? OUTCOME_EXIT
										 : OUTCOME_NONE;
			if (ending.outcome != expected)
				ck_abort_msg("port %x size %u", port, size);
			if (expected == OUTCOME_EXIT)
				ck_assert_uint_eq(ending.value, 42);
		}
}
END_TEST

START_TEST(string_instructions_are_whole)
{
	static uint8_t data[4097];
	static const uint8_t exit_with[] = {7, 8, 9};

	data[4096] = 0x55;
	port_read(data, 4, 1024);
	bool all_ones = data[0] == 0xff && memcmp(data, data + 1, 4095) == 0;
	ck_assert(all_ones);
	ck_assert_uint_eq(data[4096], 0x55);
	ck_assert_uint_eq(port_write(PORT_EXIT, exit_with, 1, 3).value, 7); /* the first byte ends it */
	ck_assert_int_eq(port_write(PORT_EXIT, NULL, 1, 0).outcome, OUTCOME_NONE);
	ck_assert_int_eq(port_write(PORT_RESET, NULL, 1, 0).outcome, OUTCOME_NONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("platform");
	TCase *tests = tcase_create("registers and ports");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, events_are_taken_once);
	tcase_add_test(tests, other_reads_are_all_ones);
	tcase_add_loop_test(tests, registers_end_the_vm, 0, 12);
	tcase_add_test(tests, every_port_has_an_answer);
	tcase_add_test(tests, string_instructions_are_whole);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
