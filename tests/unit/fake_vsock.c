/* Tests: a vsock device between a guest and a launcher. See fake_vsock.h. */
#include "tests/unit/fake_vsock.h"

#include "monitor/channel.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct fake_device fake_vsock;
int vsock_launcher;
static int held; /* buffer of the packet that the test looks at, -1: none */

void vsock_activate(void)
{
	held = -1;
	ck_assert_int_eq(fake_device_activate(&fake_vsock, SIZE, 0), FAULT_NONE);
}

void vsock_start(struct plan_vsock vsock, uint64_t bandwidth, uint64_t operations)
{
	int channel[2];

	fake_vsock = (struct fake_device){
	    .plan = {.kind = DEVICE_VSOCK, .bandwidth = bandwidth, .operations = operations, .as.vsock = vsock}};
	fake_vsock.now = 1000 * LIMITER_SECOND_NS;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, channel), 0);
	vsock_launcher = channel[1];
	fake_device_start(&fake_vsock, channel[0], -1);
	vsock_activate();
}

void vsock_start_with_bandwidth(uint64_t bandwidth)
{
	vsock_start((struct plan_vsock){.cid = CID,
					.connections = CONNECTIONS,
					.buffer = BUFFER,
					.guest_may = {.count = 2, .ranges = {{1, 2}, {ALLOWED, ALLOWED}}},
					.host_may = {.count = 1, .ranges = {{LISTED, LISTED}}}},
		    bandwidth, 0);
}

void vsock_setup(void)
{
	vsock_start_with_bandwidth(0);
}

void vsock_teardown(void)
{
	device_reset(&fake_vsock.device);
	close(fake_vsock.device.backend);
	close(vsock_launcher);
	fake_device_end(&fake_vsock);
}

/* ---- the guest ---- */

void vsock_offer_one(unsigned i)
{
	const struct fake_buffer buffer = {IN + i * IN_SIZE, IN_SIZE, WRITE};

	fake_ring_add(&fake_vsock.rings[RECEIVE], (uint16_t)i, &buffer, 1);
}

void vsock_offer(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		vsock_offer_one(i);
}

void vsock_settle(void)
{
	struct pollfd fds[DEVICE_POLL_MAX + 1];
	unsigned wants = device_run(&fake_vsock.device, 0);

	for (unsigned runs = 0; runs < 10000; runs++) {
		unsigned count = fake_vsock.device.ops->poll(&fake_vsock.device, fds, 0);
		fds[count] = (struct pollfd){.fd = (wants & DEVICE_INPUT) != 0 ? fake_vsock.device.backend : -1,
					     .events = POLLIN};
		if (poll(fds, count + 1, 0) == 0 && (wants & DEVICE_AGAIN) == 0)
			return;
		fake_vsock.device.ops->poll(&fake_vsock.device, fds, count);
		wants = device_run(&fake_vsock.device, fds[count].revents != 0 ? DEVICE_INPUT : 0U);
	}
	ck_abort_msg("it spins");
}

void vsock_send_from(uint16_t head, const struct vsock_header *header, const void *data, uint32_t size)
{
	const struct fake_buffer buffers[] = {{OUT, sizeof(*header), 0}, {OUT + sizeof(*header), size, 0}};
	uint32_t id, used;

	memcpy(fake_vsock.ram + OUT, header, sizeof(*header));
	if (size > 0)
		memcpy(fake_vsock.ram + OUT + sizeof(*header), data, size);
	fake_ring_add(&fake_vsock.rings[TRANSMIT], head, buffers, 2);
	vsock_settle();
	while (fake_ring_take(&fake_vsock.rings[TRANSMIT], &id, &used))
		ck_assert_uint_eq(used, 0);
}

void vsock_send_header(const struct vsock_header *header, const void *data, uint32_t size)
{
	vsock_send_from(0, header, data, size);
}

struct vsock_header vsock_packet(uint32_t port, uint16_t operation, uint32_t size)
{
	return (struct vsock_header){CID, HOST, GUEST, port, size, 1, operation, 0, ROOM, 0};
}

void vsock_say(uint32_t port, uint16_t operation, const void *data, uint32_t size)
{
	const struct vsock_header header = vsock_packet(port, operation, size);

	vsock_send_header(&header, data, size);
}

const struct vsock_header *vsock_heard(void)
{
	uint32_t id, used;

	if (held >= 0) {
		vsock_offer_one((unsigned)held);
		held = -1;
		vsock_settle();
	}
	if (!fake_ring_take(&fake_vsock.rings[RECEIVE], &id, &used))
		return NULL;
	held = (int)id;
	const struct vsock_header *header =
	    (const struct vsock_header *)(const void *)(fake_vsock.ram + IN + id * IN_SIZE);
	ck_assert_uint_eq(used, sizeof(*header) + header->length);
	ck_assert(header->source_cid == HOST && header->destination_cid == CID &&
		  header->room == BUFFER * (header->operation != RST || header->room != 0));
	return header;
}

void vsock_expect(uint16_t operation, uint32_t port)
{
	const struct vsock_header *header = vsock_heard();

	ck_assert_ptr_nonnull(header);
	ck_assert_uint_eq(header->operation, operation);
	ck_assert_uint_eq(header->source_port, port);
	ck_assert_uint_eq(header->destination_port, GUEST);
	ck_assert_uint_eq(header->type, 1);
}

/* ---- the host ---- */

uint32_t vsock_asked(struct message *message)
{
	int none;

	if (channel_take(vsock_launcher, message, &none) != sizeof(*message))
		return 0;
	ck_assert_uint_eq(message->type, MESSAGE_VSOCK);
	ck_assert_int_eq(none, -1);
	return (uint32_t)message->value[0];
}

int vsock_hand_over(uint32_t code)
{
	const struct message message = {.type = MESSAGE_VSOCK, .code = code};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(channel_give(vsock_launcher, &message, pair[0]), 0);
	close(pair[0]);
	vsock_settle();
	return pair[1];
}

void vsock_refuse(uint32_t code)
{
	const struct message message = {.type = MESSAGE_VSOCK, .code = code};

	ck_assert_int_eq(channel_give(vsock_launcher, &message, -1), 0);
	vsock_settle();
}

int vsock_connected(void)
{
	struct message message;

	vsock_offer(8);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	int host = vsock_hand_over(message.code);
	vsock_expect(RESPONSE, ALLOWED);
	return host;
}

bool vsock_is_ended(int host)
{
	char byte;

	ssize_t size = recv(host, &byte, 1, 0);
	return size == 0 || (size < 0 && errno == ECONNRESET);
}

void vsock_expect_denied(uint32_t denial, uint32_t port)
{
	ck_assert_uint_eq(fake_vsock.told, 1);
	ck_assert_uint_eq(fake_vsock.messages[0].type, MESSAGE_DENIED);
	ck_assert_uint_eq(fake_vsock.messages[0].code, denial);
	ck_assert_uint_eq(fake_vsock.messages[0].value[0], 1);
	ck_assert_uint_eq(fake_vsock.messages[0].value[3], port);
}
