/* What all devices share: the table, activation, reset, and one run. See device.h. */
#include "devices/device.h"

#include <string.h>

static const struct device_ops *const devices[] = {&balloon_ops, &console_ops, &disk_ops,
						   &entropy_ops, &network_ops, &vsock_ops};

static uint64_t planned(const struct plan_device *plan, enum cap cap)
{
	if (cap == CAP_BANDWIDTH || cap == CAP_OPERATIONS)
		return cap == CAP_BANDWIDTH ? plan->bandwidth : plan->operations;
	if (cap == CAP_CONSOLE_OUTPUT && plan->kind == DEVICE_CONSOLE)
		return plan->as.console.output_max;
	if (cap == CAP_CONNECTIONS && plan->kind == DEVICE_VSOCK)
		return plan->as.vsock.connections;
	return cap == CAP_GROWTH && plan->kind == DEVICE_DISK ? plan->as.disk.growth : 0;
}

/* The cap that is not a rate: a device has one at most. */
static enum cap total_cap(const struct plan_device *plan)
{
	return plan->kind == DEVICE_DISK    ? CAP_GROWTH
	       : plan->kind == DEVICE_VSOCK ? CAP_CONNECTIONS
					    : CAP_CONSOLE_OUTPUT;
}

static bool has_rates(const struct device *device)
{
	return device->plan->bandwidth > 0 || device->plan->operations > 0;
}

static const struct device_ops *ops_of(const struct plan_device *plan)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (devices[i]->kind == plan->kind)
			return devices[i];
	return NULL;
}

size_t device_state_size(const struct plan_device *plan)
{
	const struct device_ops *ops = ops_of(plan);

	return ops == NULL ? 1 : ops->state_size + (ops->more_state != NULL ? ops->more_state(plan) : 0);
}

bool device_init(struct device *device)
{
	device->ops = ops_of(device->plan);
	if (device->ops == NULL)
		return false;
	if (device->ops->reset != NULL)
		device->ops->reset(device);
	device->total = planned(device->plan, total_cap(device->plan));
	for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
		limiter_init(&device->limiters[i], device->plan->bandwidth, device->plan->operations);
	return true;
}

struct transport_description device_describe(const struct device *device, uint8_t *config)
{
	struct transport_description description = {
	    .features = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX,
	    .queue_count = device->ops->queue_count,
	};

	memset(config, 0, TRANSPORT_CONFIG_SIZE);
	if (device->ops->describe != NULL)
		description.config_size = device->ops->describe(device, &description.features, config);
	return description;
}

enum fault device_activate(struct device *device, uint64_t features, const struct transport_queue *queues)
{
	bool event_idx = (features & TRANSPORT_F_EVENT_IDX) != 0;

	for (unsigned i = 0; i < TRANSPORT_QUEUES_MAX; i++) {
		enum fault fault = queues[i].size == 0 ? FAULT_NONE : FAULT_QUEUE_LAYOUT;
		if (i < device->ops->queue_count)
			fault = virtqueue_init(&device->queues[i], device->memory, &queues[i], event_idx);
		if (fault == FAULT_NONE)
			continue;
		device_reset(device);
		device->broken = i;
		return fault;
	}
	device->features = features;
	device->is_active = true;
	if (device->ops->activate != NULL)
		device->ops->activate(device);
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

struct chain *device_take(struct device *device, unsigned index)
{
	enum direction direction = device->ops->directions[index];
	struct virtqueue *queue = &device->queues[index];
	struct chain *chain = &device->chains[index];

	if (queue->is_out)
		return chain;
	if (!virtqueue_pop(queue, chain))
		return NULL;
	device->delays.is_counted[index] = false;
	if ((direction == FROM_DRIVER && chain->writable.size > 0) ||
	    (direction == TO_DRIVER && (chain->readable.size > 0 || chain->writable.size == 0))) {
		virtqueue_fail(queue, FAULT_REQUEST);
		return NULL;
	}
	return chain;
}

/* ---- limits ---- */

static void tell_delays(struct device *device, uint64_t now)
{
	const enum cap caps[LIMITER_KINDS + 1] = {
	    [LIMITER_BYTES] = CAP_BANDWIDTH,
	    [LIMITER_OPERATIONS] = CAP_OPERATIONS,
	    [LIMITER_KINDS] = total_cap(device->plan),
	};

	if (now < device->delays.next_at)
		return;
	for (unsigned i = 0; i <= LIMITER_KINDS; i++) {
		if (device->delays.counts[i] == 0)
			continue;
		device->host.tell(
		    device->host.context,
		    &(struct message){.type = MESSAGE_CAP, .code = caps[i], .value = {device->delays.counts[i]}});
		device->delays.counts[i] = 0;
		device->delays.next_at = now + TELL_EVERY_MS * UINT64_C(1000000);
	}
}

unsigned device_later(struct device *device, uint64_t ns)
{
	if (device->wait_ns == 0 || ns < device->wait_ns)
		device->wait_ns = ns;
	return DEVICE_LATER;
}

bool device_may_go_on(struct device *device, unsigned index)
{
	if (!has_rates(device))
		return true;
	enum limiter_kind kind = LIMITER_BYTES;
	uint64_t now = device->host.now(device->host.context);
	uint64_t wait = limiter_wait(&device->limiters[index], now, &kind);
	if (wait > 0) {
		device->delays.counts[kind] += !device->delays.is_counted[index];
		device->delays.is_counted[index] = true;
		device_later(device, wait);
	}
	tell_delays(device, now);
	return wait == 0;
}

bool device_is_limited(const struct device *device)
{
	return has_rates(device) || planned(device->plan, total_cap(device->plan)) > 0;
}

bool device_limit(struct device *device, enum cap cap, uint64_t value)
{
	if (value == 0 || value > planned(device->plan, cap))
		return false;
	if (cap == total_cap(device->plan)) {
		device->total = value;
		device->is_total_told &= device->used >= (int64_t)value; /* a console prints again */
		return true;
	}
	for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
		limiter_change(&device->limiters[i], cap == CAP_BANDWIDTH ? LIMITER_BYTES : LIMITER_OPERATIONS, value);
	return true;
}

uint64_t device_left(const struct device *device)
{
	int64_t left = (int64_t)device->total - device->used; /* below 0: the cap was lowered to less */

	return left > 0 ? (uint64_t)left : 0;
}

void device_account(struct device *device, unsigned index, uint32_t bytes, uint32_t operations)
{
	device->tally.bytes += bytes;
	device->tally.requests += operations;
	if (has_rates(device))
		limiter_take(&device->limiters[index], bytes, operations, device->host.now(device->host.context));
}

bool device_refused(struct device *device)
{
	device->delays.counts[LIMITER_KINDS]++;
	tell_delays(device, device->host.now(device->host.context));
	return false;
}

/* ---- what is denied ---- */

uint64_t *device_deny(struct device *device, enum denial denial)
{
	struct message *message = &device->denied.messages[denial];

	*message = (struct message){.type = MESSAGE_DENIED, .code = denial, .value = {message->value[0] + 1}};
	device->denied.waiting |= 1U << denial;
	return message->value;
}

/* The first of a reason at once, all others together every TELL_EVERY_MS. DEVICE_LATER: some are left to be told. */
static unsigned tell_denied(struct device *device)
{
	const uint64_t every = TELL_EVERY_MS * UINT64_C(1000000);

	if (device->denied.waiting == 0)
		return 0;
	uint64_t now = device->host.now(device->host.context);
	if (now >= device->denied.next_at) {
		device->denied.next_at = now + every;
		device->denied.told = 0;
	}
	for (unsigned i = 0, due = device->denied.waiting & ~device->denied.told; i < DENIALS; i++)
		if ((due >> i & 1) != 0) {
			device->host.tell(device->host.context, &device->denied.messages[i]);
			device->denied.messages[i].value[0] = 0;
			device->denied.waiting &= ~(1U << i);
			device->denied.told |= 1U << i;
		}
	return device->denied.waiting == 0 ? 0 : device_later(device, device->denied.next_at - now);
}

/* ---- a run ---- */

unsigned device_run(struct device *device, unsigned ready)
{
	bool interrupt = false;

	device->wait_ns = 0;
	unsigned wants = device->ops->run(device, ready);
	wants |= tell_denied(device);
	if (!device->is_active)
		return wants;
	for (unsigned i = 0; i < device->ops->queue_count; i++) {
		if (device->queues[i].staged > 0)
			virtqueue_publish(&device->queues[i]);
		interrupt |= virtqueue_should_interrupt(&device->queues[i]);
	}
	if (interrupt)
		device->host.interrupt(device->host.context, INTERRUPT_USED_BUFFER);
	for (unsigned i = 0; i < device->ops->queue_count && device->is_active; i++) {
		if (device->queues[i].fault == FAULT_NONE)
			continue;
		device->is_active = false;
		device->host.tell(
		    device->host.context,
		    &(struct message){.type = MESSAGE_FAULT, .code = device->queues[i].fault, .value = {i}});
	}
	return wants | (device->wait_ns > 0 ? DEVICE_LATER : 0U);
}
