/* For the network's tests: a device on a socket in place of a tap or of passt, and its driver's side. One file of a
 * test includes it. */
#ifndef TESTS_UNIT_FAKE_NETWORK_H
#define TESTS_UNIT_FAKE_NETWORK_H

#include "tests/unit/fake_device.h"
#include "tests/unit/fake_frames.h"

#include <check.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 16, HEADER = 12, RECEIVE = 0, TRANSMIT = 1 };
#define F_MRG_RXBUF (UINT64_C(1) << 15)
#define F_HOST_TSO4 (UINT64_C(1) << 11)
#define F_GUEST_CSUM (UINT64_C(1) << 1)
#define F_GUEST_TSO4 (UINT64_C(1) << 7)

static struct fake_device fake;
static int host; /* the other end of the backend */
static unsigned long offloads;
static uint8_t frame[NETWORK_FRAME_MAX];
static const struct network_header plain;

/* A socket has no offloads. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	offloads = va_arg(arguments, unsigned long);
	va_end(arguments);
	return fd == fake.device.backend && request == TUNSETOFFLOAD ? 0 : -1;
}

static void start(bool is_passt, uint64_t without, struct plan_device plan)
{
	int pair[2];

	plan.kind = DEVICE_NETWORK;
	fake = (struct fake_device){.plan = plan, .network = fake_network, .now = 1000 * LIMITER_SECOND_NS};
	fake.network.is_passt = is_passt;
	ck_assert_int_eq(socketpair(AF_UNIX, (is_passt ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_NONBLOCK, 0, pair), 0);
	host = pair[1];
	fake_device_start(&fake, pair[0], pair[0]);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, without), FAULT_NONE);
}

__attribute__((unused)) static void setup(void)
{
	start(false, 0, (struct plan_device){0});
}

static void setup_passt(void)
{
	start(true, 0, (struct plan_device){0});
}

static void teardown(void)
{
	close(fake.device.backend);
	close(host);
	fake_device_end(&fake);
}

/* Puts header and frame into memory and makes them available, in pieces of `piece` bytes. */
__attribute__((unused)) static void offer_frame(const struct network_header *header, const uint8_t *bytes,
						uint32_t size, uint32_t piece)
{
	struct fake_buffer buffers[SIZE];
	unsigned count = 0;

	memcpy(fake.ram + FAKE_DATA, header, HEADER);
	memcpy(fake.ram + FAKE_DATA + HEADER, bytes, size);
	for (uint32_t at = 0; at < size + HEADER; at += piece)
		buffers[count++] =
		    (struct fake_buffer){FAKE_DATA + at, size + HEADER - at < piece ? size + HEADER - at : piece, 0};
	fake_ring_add(&fake.rings[TRANSMIT], 0, buffers, count);
}

static void run_all(void)
{
	fake_device_settle(&fake, DEVICE_INPUT | DEVICE_OUTPUT);
}

__attribute__((unused)) static ssize_t take_sent(uint8_t *bytes, size_t size)
{
	return recv(host, bytes, size, MSG_DONTWAIT);
}

__attribute__((unused)) static bool is_given_back(unsigned queue, uint32_t *length)
{
	uint32_t id;

	return fake_ring_take(&fake.rings[queue], &id, length);
}

#endif
