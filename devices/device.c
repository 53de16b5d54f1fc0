/* What all devices share: the table, activation, reset, and one run. See device.h. */
#include "devices/device.h"

#include <string.h>

static const struct device_ops *const devices[] = {&console_ops, &disk_ops, &entropy_ops};

bool device_init(struct device *device)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (devices[i]->kind == device->plan->kind)
			device->ops = devices[i];
	return device->ops != NULL;
}

struct transport_description device_describe(const struct device *device, uint8_t *config)
{
	struct transport_description description = {
	    .features = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX,
	    .queue_count = device->ops->queue_count,
	};

	memset(config, 0, TRANSPORT_CONFIG_SIZE);
	description.config_size = device->ops->describe(device->plan, &description.features, config);
	return description;
}

enum fault device_activate(struct device *device, uint64_t features, const struct transport_queue *queues)
{
	bool event_idx = (features & TRANSPORT_F_EVENT_IDX) != 0;
	enum fault fault = FAULT_NONE;

	for (unsigned i = 0; i < TRANSPORT_QUEUES_MAX && fault == FAULT_NONE; i++) {
		if (i < device->ops->queue_count)
			fault = virtqueue_init(&device->queues[i], device->memory, &queues[i], event_idx);
		else if (queues[i].size != 0)
			fault = FAULT_QUEUE_LAYOUT;
	}
	if (fault != FAULT_NONE) {
		device_reset(device);
		return fault;
	}
	device->features = features;
	device->is_active = true;
	return FAULT_NONE;
}

void device_reset(struct device *device)
{
	device->is_active = false;
	device->features = 0;
	memset(device->queues, 0, sizeof(device->queues));
	if (device->ops->reset != NULL)
		device->ops->reset(device);
}

unsigned device_run(struct device *device, unsigned ready)
{
	unsigned wants = device->ops->run(device, ready);
	bool interrupt = false;

	if (!device->is_active)
		return wants;
	for (unsigned i = 0; i < device->ops->queue_count; i++)
		if (virtqueue_should_interrupt(&device->queues[i]))
			interrupt = true;
	if (interrupt)
		device->host.interrupt(device->host.context);
	for (unsigned i = 0; i < device->ops->queue_count && device->is_active; i++) {
		if (device->queues[i].fault == FAULT_NONE)
			continue;
		device->is_active = false;
		device->host.tell(device->host.context, MESSAGE_FAULT, device->queues[i].fault, i);
	}
	return wants;
}
