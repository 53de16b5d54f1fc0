/* What all devices share: the table, activation, reset, and one run. See device.h. */
#include "devices/device.h"

#include <string.h>

static const struct device_ops *const devices[] = {&console_ops, &disk_ops, &entropy_ops};

bool device_init(struct device *device)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (devices[i]->kind == device->plan->kind)
			device->ops = devices[i];
	if (device->ops == NULL)
		return false;
	if (device->plan->bandwidth > 0 || device->plan->operations > 0)
		limiter_init(&device->limiter, device->plan->bandwidth, device->plan->operations,
			     device->host.now(device->host.context));
	return true;
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
	device->is_busy = false;
	device->features = features;
	device->is_active = true;
	return FAULT_NONE;
}

void device_reset(struct device *device)
{
	device->is_active = false;
	device->is_busy = false;
	device->features = 0;
	memset(device->queues, 0, sizeof(device->queues));
	if (device->ops->reset != NULL)
		device->ops->reset(device);
}

struct chain *device_take(struct device *device)
{
	struct chain *chain = &device->chains[0];

	if (device->is_busy)
		return chain;
	device->is_busy = virtqueue_pop(&device->queues[0], chain);
	device->delays.is_counted = false;
	return device->is_busy ? chain : NULL;
}

void device_give_back(struct device *device, uint32_t used)
{
	device->is_busy = false;
	virtqueue_push(&device->queues[0], &device->chains[0], used);
}

/* ---- limits ---- */

static void tell_delays(struct device *device, uint64_t now)
{
	static const enum cap caps[LIMITER_KINDS] = {
	    [LIMITER_BYTES] = CAP_BANDWIDTH, [LIMITER_OPERATIONS] = CAP_OPERATIONS};

	if (device->delays.is_told && now - device->delays.told_at < TELL_EVERY_MS * UINT64_C(1000000))
		return;
	for (unsigned i = 0; i < LIMITER_KINDS; i++) {
		if (device->delays.counts[i] == 0)
			continue;
		device->host.tell(device->host.context, MESSAGE_CAP, caps[i], device->delays.counts[i]);
		device->delays.counts[i] = 0;
		device->delays.is_told = true;
		device->delays.told_at = now;
	}
}

bool device_may_go_on(struct device *device)
{
	if (device->plan->bandwidth == 0 && device->plan->operations == 0)
		return true;
	enum limiter_kind kind = LIMITER_BYTES;
	uint64_t now = device->host.now(device->host.context);
	device->wait_ns = limiter_wait(&device->limiter, now, &kind);
	if (device->wait_ns > 0 && !device->delays.is_counted) {
		device->delays.counts[kind]++;
		device->delays.is_counted = true;
	}
	tell_delays(device, now);
	return device->wait_ns == 0;
}

void device_account(struct device *device, uint32_t bytes, uint32_t operations)
{
	if (device->plan->bandwidth > 0 || device->plan->operations > 0)
		limiter_take(&device->limiter, bytes, operations, device->host.now(device->host.context));
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
