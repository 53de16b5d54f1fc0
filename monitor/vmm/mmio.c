/* The virtio-mmio register machine. See mmio.h for what is trusted and what every wrong access answers. */
#include "monitor/vmm/mmio.h"

#include <string.h>

enum { VIRTIO_MMIO_VERSION = 2, REGISTERS_END = TRANSPORT_CONFIG, SHM_REGISTERS = 4 };

/* ---- the page ---- */

static uint32_t *at(const struct mmio_device *device, uint32_t offset)
{
	return (uint32_t *)(void *)(device->page + offset);
}

static void show(const struct mmio_device *device, uint32_t offset, uint32_t value)
{
	__atomic_store_n(at(device, offset), value, __ATOMIC_RELEASE);
}

static void show_features(const struct mmio_device *device)
{
	uint32_t half = device->device_features_sel;
	show(device, REGISTER_DEVICE_FEATURES, half < 2 ? (uint32_t)(device->offered >> (32 * half)) : 0);
}

static void show_queue(const struct mmio_device *device)
{
	bool exists = device->queue_sel < device->queue_count;
	show(device, REGISTER_QUEUE_NUM_MAX, exists ? TRANSPORT_QUEUE_SIZE_MAX : 0);
	show(device, REGISTER_QUEUE_READY, exists && device->ready[device->queue_sel]);
}

static void show_all(const struct mmio_device *device)
{
	show(device, REGISTER_MAGIC, TRANSPORT_MAGIC);
	show(device, REGISTER_VERSION, VIRTIO_MMIO_VERSION);
	show(device, REGISTER_DEVICE_ID, device->device_id);
	show(device, REGISTER_VENDOR_ID, TRANSPORT_VENDOR);
	for (uint32_t i = 0; i < SHM_REGISTERS; i++)
		show(device, REGISTER_SHM_LEN_LOW + 4 * i, UINT32_MAX);
	show(device, REGISTER_INTERRUPT_STATUS, 0);
	show_features(device);
	show_queue(device);
	show(device, REGISTER_STATUS, device->status);
}

/* ---- life ---- */

bool mmio_init(struct mmio_device *device, uint8_t *page, uint32_t device_id,
	       const struct transport_description *description)
{
	if (!(description->features & TRANSPORT_F_VERSION_1) || description->queue_count < 1 ||
	    description->queue_count > TRANSPORT_QUEUES_MAX || description->config_size > TRANSPORT_CONFIG_SIZE)
		return false;
	device->page = page;
	device->device_id = device_id;
	device->offered = description->features;
	device->queue_count = description->queue_count;
	mmio_reset(device);
	return true;
}

void mmio_reset(struct mmio_device *device)
{
	*device = (struct mmio_device){
	    .page = device->page,
	    .device_id = device->device_id,
	    .offered = device->offered,
	    .queue_count = device->queue_count,
	};
	show_all(device);
}

void mmio_activation(const struct mmio_device *device, struct transport_message *message)
{
	*message = (struct transport_message){.type = TRANSPORT_ACTIVATE, .features = device->driver_features};
	for (uint32_t i = 0; i < device->queue_count; i++)
		if (device->ready[i])
			message->queues[i] = device->queues[i];
}

bool mmio_break(struct mmio_device *device)
{
	if ((device->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) != STATUS_DRIVER_OK)
		return false;
	device->status |= STATUS_NEEDS_RESET;
	show(device, REGISTER_STATUS, device->status);
	__atomic_fetch_or(at(device, REGISTER_INTERRUPT_STATUS), INTERRUPT_CONFIGURATION, __ATOMIC_SEQ_CST);
	return true;
}

/* ---- the guest's writes ---- */

static bool features_acceptable(const struct mmio_device *device)
{
	return device->driver_features & TRANSPORT_F_VERSION_1 && !(device->driver_features & ~device->offered);
}

static enum mmio_effect write_status(struct mmio_device *device, uint32_t value)
{
	static const uint32_t order[] = {STATUS_ACKNOWLEDGE, STATUS_DRIVER, STATUS_FEATURES_OK, STATUS_DRIVER_OK};
	uint32_t before = device->status;

	if (value == 0) {
		if (device->status & STATUS_DRIVER_OK) /* the device process has the queues */
			return MMIO_RESET;
		mmio_reset(device);
		return MMIO_NOTHING;
	}
	if (before & (STATUS_NEEDS_RESET | STATUS_FAILED))
		return MMIO_NOTHING;
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (device->status & order[i])
			continue;
		if (!(value & order[i]) || (order[i] == STATUS_FEATURES_OK && !features_acceptable(device)))
			break;
		device->status |= order[i];
	}
	device->status |= value & STATUS_FAILED;
	show(device, REGISTER_STATUS, device->status);
	return device->status & ~before & STATUS_DRIVER_OK ? MMIO_ACTIVATE : MMIO_NOTHING;
}

static void set_half(uint64_t *whole, uint32_t half, uint32_t value)
{
	if (half < 2)
		*whole = (*whole & ~((uint64_t)UINT32_MAX << (32 * half))) | (uint64_t)value << (32 * half);
}

static bool size_acceptable(uint32_t size)
{
	return size != 0 && size <= TRANSPORT_QUEUE_SIZE_MAX && (size & (size - 1)) == 0;
}

static void write_queue(struct mmio_device *device, uint32_t offset, uint32_t value)
{
	uint32_t phase = device->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK | STATUS_FAILED);

	if (phase != STATUS_FEATURES_OK || device->queue_sel >= device->queue_count)
		return;
	struct transport_queue *queue = &device->queues[device->queue_sel];
	bool *ready = &device->ready[device->queue_sel];
	if (offset == REGISTER_QUEUE_READY) {
		*ready = value == 1 && size_acceptable(queue->size);
		show_queue(device);
		return;
	}
	if (*ready)
		return;
	/* What is none of these is read-only, unknown, or a QueueNotify that the ioeventfd does not take. */
	uint32_t half = offset / sizeof(value) % 2;
	uint32_t low = offset - half * (uint32_t)sizeof(value);
	if (offset == REGISTER_QUEUE_NUM)
		queue->size = value;
	else if (low == REGISTER_QUEUE_DESC_LOW)
		set_half(&queue->descriptors, half, value);
	else if (low == REGISTER_QUEUE_DRIVER_LOW)
		set_half(&queue->driver, half, value);
	else if (low == REGISTER_QUEUE_DEVICE_LOW)
		set_half(&queue->device, half, value);
}

enum mmio_effect mmio_write(struct mmio_device *device, uint32_t offset, const uint8_t *data, uint32_t size)
{
	uint32_t value;

	if (size != sizeof(value) || offset % sizeof(value) != 0 || offset >= REGISTERS_END)
		return MMIO_NOTHING;
	memcpy(&value, data, sizeof(value));
	switch (offset) {
	case REGISTER_DEVICE_FEATURES_SEL:
		device->device_features_sel = value;
		show_features(device);
		break;
	case REGISTER_DRIVER_FEATURES_SEL:
		device->driver_features_sel = value;
		break;
	case REGISTER_DRIVER_FEATURES:
		if (!(device->status & (STATUS_FEATURES_OK | STATUS_FAILED)))
			set_half(&device->driver_features, device->driver_features_sel, value);
		break;
	case REGISTER_QUEUE_SEL:
		device->queue_sel = value;
		show_queue(device);
		break;
	case REGISTER_INTERRUPT_ACK:
		__atomic_fetch_and(at(device, REGISTER_INTERRUPT_STATUS), ~(value & INTERRUPT_CONFIGURATION),
				   __ATOMIC_SEQ_CST);
		break;
	case REGISTER_STATUS:
		return write_status(device, value);
	default:
		write_queue(device, offset, value);
	}
	return MMIO_NOTHING;
}
