/* The channel between the monitor and one device process. See device_link.h. */
#include "monitor/vmm/device_link.h"

#include "jail/lockdown.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_to_device(const struct device_link *link, const struct transport_message *message)
{
	ssize_t sent;
	do
		sent = send(link->channel, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent != (ssize_t)sizeof(*message) && errno != EPIPE)
		lockdown_fail(FAILURE_DEVICE, errno, link->index);
}

enum receipt { RECEIVED, NOTHING_THERE, CLOSED };

static enum receipt receive(const struct device_link *link, struct transport_message *message)
{
	ssize_t size;
	do
		size = recv(link->channel, message, sizeof(*message), MSG_DONTWAIT | MSG_TRUNC);
	while (size < 0 && errno == EINTR);
	if (size == (ssize_t)sizeof(*message))
		return RECEIVED;
	if (size < 0 && errno == EAGAIN)
		return NOTHING_THERE;
	if (size == 0 || (size < 0 && errno == ECONNRESET))
		return CLOSED;
	lockdown_fail(FAILURE_PROTOCOL, size < 0 ? errno : 0, link->index);
}

/* The next message, or the end of the VM. */
static void await(const struct device_link *link, struct transport_message *message)
{
	struct pollfd channel = {.fd = link->channel, .events = POLLIN};
	enum receipt receipt = receive(link, message);

	while (receipt != RECEIVED) {
		const struct timespec patience = {.tv_sec = receipt == CLOSED ? LINK_CLOSED_S : LINK_ANSWER_S};
		int events = ppoll(&channel, receipt == CLOSED ? 0 : 1, &patience, NULL);
		if (events == 0)
			lockdown_fail(FAILURE_DEVICE, receipt == CLOSED ? EPIPE : ETIMEDOUT, link->index);
		if (events > 0)
			receipt = receive(link, message);
	}
}

/* Returns what DONE says; 0 is well. A device breaks once between two activations, and may have said so before it heard
   the question: one such message, or a process that drips them would hold the vCPU. */
static uint32_t ask_device(const struct device_link *link, const struct transport_message *question)
{
	struct transport_message message;

	send_to_device(link, question);
	await(link, &message);
	if (message.type == TRANSPORT_BROKEN)
		await(link, &message);
	if (message.type != TRANSPORT_DONE)
		lockdown_fail(FAILURE_PROTOCOL, 0, link->index);
	return message.result;
}

static void break_device(struct device_link *link)
{
	const uint64_t one = 1;
	if (mmio_break(&link->mmio) && write(link->irq, &one, sizeof(one)) < 0)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, (uint64_t)link->irq);
}

void link_open(struct device_link *link, uint8_t *page, uint32_t device_id)
{
	struct transport_message message;

	await(link, &message);
	if (message.type != TRANSPORT_HELLO || !mmio_init(&link->mmio, page, device_id, &message.description))
		lockdown_fail(FAILURE_PROTOCOL, 0, link->index);
}

void link_write(struct device_link *link, uint32_t offset, const uint8_t *data, uint32_t size)
{
	struct transport_message message;

	lock_take(&link->lock);
	enum mmio_effect effect = mmio_write(&link->mmio, offset, data, size);
	if (effect == MMIO_ACTIVATE) {
		mmio_activation(&link->mmio, &message);
		if (ask_device(link, &message) != FAULT_NONE)
			break_device(link);
	} else if (effect == MMIO_RESET) {
		ask_device(link, &(struct transport_message){.type = TRANSPORT_RESET});
		mmio_reset(&link->mmio);
	}
	lock_release(&link->lock);
}

bool link_receive(struct device_link *link)
{
	struct transport_message message;

	lock_take(&link->lock);
	enum receipt receipt = receive(link, &message);
	if (receipt == RECEIVED) {
		if (message.type != TRANSPORT_BROKEN)
			lockdown_fail(FAILURE_PROTOCOL, 0, link->index);
		break_device(link);
	}
	lock_release(&link->lock);
	return receipt != CLOSED;
}
