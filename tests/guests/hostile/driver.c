/* The hostile guest's own driver: registers and rings by hand, so that every part of them can be wrong. */
#include "hostile.h"

uint32_t get(const struct target *target, uint32_t offset)
{
	return mmio_read32((uintptr_t)target->device->base + offset);
}

void set(const struct target *target, uint32_t offset, uint32_t value)
{
	mmio_write32((uintptr_t)target->device->base + offset, value);
}

uint64_t ram_end(void)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < firmware.memory_count; i++)
		if (firmware.memory[i].type == 1 && firmware.memory[i].address < 1ull << 32)
			end = firmware.memory[i].address + firmware.memory[i].size;
	return end;
}

static void negotiate(struct target *target)
{
	uint64_t accepted = (virtio_offered(target->device) & target->kind->features) | VIRTIO_F_VERSION_1;

	set(target, STATUS, ACKNOWLEDGED);
	set(target, STATUS, DRIVER);
	set(target, DRIVER_FEATURES_SEL, 0);
	set(target, DRIVER_FEATURES, (uint32_t)accepted);
	set(target, DRIVER_FEATURES_SEL, 1);
	set(target, DRIVER_FEATURES, (uint32_t)(accepted >> 32));
	set(target, STATUS, FEATURES_OK);
}

static void set_address(const struct target *target, uint32_t offset, const volatile void *at)
{
	set(target, offset, (uint32_t)(uintptr_t)at);
	set(target, offset + 4, (uint32_t)((uint64_t)(uintptr_t)at >> 32));
}

static bool has_helper(const struct target *target)
{
	return target->kind->hears || target->kind->prod;
}

static void helper_offer(struct helper *helper, unsigned slot, uint32_t size, uint16_t flags)
{
	helper->descriptors[slot] = (struct descriptor){(uintptr_t)helper->slots[slot], size, flags, 0};
	helper->available[2 + helper->added % QUEUE_SIZE] = (uint16_t)slot;
	barrier();
	helper->available[1] = ++helper->added;
}

static void give_helper(struct target *target)
{
	struct helper *helper = target->helper;

	memset(helper, 0, sizeof(*helper));
	helper->available[0] = 1;
	set(target, QUEUE_SEL, target->kind->helper_queue);
	set(target, QUEUE_NUM, QUEUE_SIZE);
	set_address(target, QUEUE_DESC, helper->descriptors);
	set_address(target, QUEUE_DRIVER, helper->available);
	set_address(target, QUEUE_DEVICE, &helper->used);
	set(target, QUEUE_READY, 1);
	for (unsigned i = 0; i < QUEUE_SIZE && target->kind->hears; i++)
		helper_offer(helper, i, HELPER_SLOT, WRITE);
}

/* Unless all slots are on their way. */
static void prod(struct target *target)
{
	struct helper *helper = target->helper;
	unsigned slot = helper->added % QUEUE_SIZE;

	if ((uint16_t)(helper->added - helper->used.index) >= QUEUE_SIZE)
		return;
	helper_offer(helper, slot, target->kind->prod(target, helper->slots[slot]), 0);
	full_barrier();
	set(target, QUEUE_NOTIFY, target->kind->helper_queue);
}

uint32_t hear(struct target *target, const uint8_t **bytes, uint64_t milliseconds)
{
	struct helper *helper = target->helper;
	uint64_t deadline = machine_deadline(milliseconds);
	const struct used *entry = &helper->used.entries[helper->taken % QUEUE_SIZE];

	if (helper->added != (uint16_t)(helper->taken + QUEUE_SIZE)) { /* the one that was heard last */
		helper_offer(helper, helper->used.entries[(uint16_t)(helper->taken - 1) % QUEUE_SIZE].id % QUEUE_SIZE,
			     HELPER_SLOT, WRITE);
		full_barrier();
		set(target, QUEUE_NOTIFY, target->kind->helper_queue);
	}
	while (helper->used.index == helper->taken) {
		if (rdtsc() > deadline || get(target, STATUS) & NEEDS_RESET)
			return 0;
		pause();
	}
	barrier();
	helper->taken++;
	*bytes = helper->slots[entry->id % QUEUE_SIZE];
	return entry->length <= HELPER_SLOT ? entry->length : 0;
}

void give_queue(struct target *target, uint16_t size)
{
	struct arena *arena = target->arena;

	if (has_helper(target))
		give_helper(target);
	memset(arena, 0, offsetof(struct arena, data));
	memset(arena->data, PATTERN, sizeof(arena->data));
	arena->available[0] = 1; /* no interrupts: this driver looks */
	target->size = size;
	target->added = target->taken = 0;
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, QUEUE_NUM, size);
	set_address(target, QUEUE_DESC, arena->descriptors);
	set_address(target, QUEUE_DRIVER, arena->available);
	set_address(target, QUEUE_DEVICE, &arena->used);
	set(target, QUEUE_READY, 1);
}

void bring(struct target *target, enum state state, uint16_t size)
{
	const char *refused = virtio_reset(target->device);

	if (refused)
		wrong("%s", refused);
	if (state >= NEGOTIATED)
		negotiate(target);
	if (state >= READY)
		give_queue(target, size);
	if (state >= LIVE)
		set(target, STATUS, RUNNING);
}

void describe(struct target *target, unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	target->arena->descriptors[index] = (struct descriptor){address, length, flags, next};
}

void offer_quietly(struct target *target, uint16_t head)
{
	target->arena->available[2 + target->added % target->size] = head;
	barrier();
	target->arena->available[1] = ++target->added;
}

void kick(struct target *target)
{
	if (target->kind->prod && !(get(target, STATUS) & NEEDS_RESET))
		prod(target);
	full_barrier();
	set(target, QUEUE_NOTIFY, target->kind->queue);
}

void offer(struct target *target, uint16_t head)
{
	offer_quietly(target, head);
	kick(target);
}

bool await_used(struct target *target, uint16_t count)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	while ((uint16_t)(target->arena->used.index - target->taken) < count) {
		if (rdtsc() > deadline || get(target, STATUS) & NEEDS_RESET)
			return false;
		pause();
	}
	target->taken = (uint16_t)(target->taken + count);
	barrier();
	return true;
}

bool await_status(struct target *target, uint32_t bits)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	while (!(get(target, STATUS) & bits)) {
		if (rdtsc() > deadline)
			return false;
		pause();
	}
	return true;
}

bool works(struct target *target)
{
	const struct used *entry = &target->arena->used.entries[target->taken % target->size];

	if (target->kind->request(target) == 0)
		return get(target, STATUS) == RUNNING;
	offer(target, 0);
	if (!await_used(target, 1)) {
		wrong("%s %u: no answer, status %x", virtio_name(target->device->id), target->number,
		      get(target, STATUS));
		return false;
	}
	if (entry->id != 0 || !target->kind->answered(target, entry->length)) {
		wrong("%s %u: answer of %u bytes to head %u is not right", virtio_name(target->device->id),
		      target->number, entry->length, entry->id);
		return false;
	}
	return true;
}
