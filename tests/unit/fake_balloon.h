/* For the balloon's tests: a device, its driver's side, and the supervisor's end of its channel. One file of a test
 * includes it. */
#ifndef TESTS_UNIT_FAKE_BALLOON_H
#define TESTS_UNIT_FAKE_BALLOON_H

#include "tests/unit/fake_device.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	RAM = 256 << 20,
	PAGES = RAM / PAGE,
	HIGH = 4, /* pages above the hole */
	SIZE = 16,
	NUMBERS = 0x10000, /* where the driver keeps its lists */
	FIRST = 0x40,      /* the first page of those that are filled */
	FILLED = 64,
	INFLATE = 0,
	DEFLATE,
	STATISTICS,
	REPORTING_OF_LINUX,
	REPORTING,
};
#define HOLE_END (UINT64_C(1) << 32)
#define F_REPORTING (UINT64_C(1) << 5)

static struct fake_device fake;
static int ram, supervisor;

static void start(bool reporting)
{
	int channel[2];

	ram = memfd_create("ram", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(ram, RAM + HIGH * PAGE), 0);
	fake = (struct fake_device){.plan = {.kind = DEVICE_BALLOON, .as.balloon.reporting = reporting}};
	ck_assert(guest_memory_map(&fake.memory, ram, RAM + HIGH * PAGE, RAM, HOLE_END));
	fake.ram = fake.memory.regions[0].host;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel), 0);
	supervisor = channel[1];
	fake_device_start(&fake, channel[0], -1);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	for (unsigned i = 0; i < FILLED; i++)
		memset(fake.ram + (FIRST + i) * PAGE, 0xa0, PAGE);
}

static void setup(void)
{
	start(true);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++)
		munmap(fake.memory.regions[i].host, fake.memory.regions[i].size);
	fake.ram = NULL;
	fake_device_end(&fake);
	close(fake.device.backend);
	close(supervisor);
	close(ram);
}

/* Pages of RAM that the host has to keep. */
static unsigned kept(void)
{
	struct stat status;

	ck_assert_int_eq(fstat(ram, &status), 0);
	return (unsigned)(status.st_blocks * 512 / PAGE);
}

static bool is_filled(unsigned page, uint8_t with)
{
	for (unsigned i = 0; i < PAGE; i++)
		if (fake.ram[page * PAGE + i] != with)
			return false;
	return true;
}

static bool request(unsigned queue, const struct fake_buffer *buffers, unsigned count)
{
	uint32_t id, used;

	fake_ring_add(&fake.rings[queue], 0, buffers, count);
	fake_device_settle(&fake, 0);
	bool is_back = fake_ring_take(&fake.rings[queue], &id, &used);
	ck_assert(!is_back || used == 0);
	return is_back;
}

static void ask(uint32_t code, uint64_t value)
{
	const struct message message = {.type = MESSAGE_BALLOON, .code = code, .value = {value}};

	ck_assert_int_eq(send(supervisor, &message, sizeof(message), 0), sizeof(message));
	fake_device_settle(&fake, DEVICE_INPUT);
}

/* False: no answer yet. */
static bool answer(struct message *message)
{
	return recv(supervisor, message, sizeof(*message), MSG_DONTWAIT) == sizeof(*message) &&
	       message->type == MESSAGE_BALLOON;
}

static uint64_t held(void)
{
	struct message message;

	ask(BALLOON_ASK, 0);
	ck_assert(answer(&message));
	return message.value[0];
}

#endif
