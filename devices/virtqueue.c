/* Split virtqueues. See virtqueue.h for what is trusted and what never happens. Section numbers are virtio 1.2's. */
#include "devices/virtqueue.h"

#include <stdatomic.h>
#include <string.h>

/* 2.7.5 */
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
/* 2.7.8 */
struct used_entry {
	uint32_t id, length;
};
_Static_assert(sizeof(struct descriptor) == 16 && sizeof(struct used_entry) == 8, "the specification's layout");

enum {
	DESCRIPTOR_NEXT = 1,
	DESCRIPTOR_WRITE = 2,
	DESCRIPTOR_INDIRECT = 4,
	AVAIL_NO_INTERRUPT = 1,
	/* Both rings (2.7.6, 2.7.8): flags, index, entries, then the event index. */
	RING_FLAGS = 0,
	RING_INDEX = 2,
	RING_ENTRIES = 4,
	RING_OVERHEAD = 6,
	AVAIL_ENTRY = 2,
	USED_ENTRY = sizeof(struct used_entry),
};
_Static_assert((TRANSPORT_QUEUE_SIZE_MAX & (TRANSPORT_QUEUE_SIZE_MAX - 1)) == 0, "a power of two");
_Static_assert(TRANSPORT_QUEUE_SIZE_MAX >= 64 && TRANSPORT_QUEUE_SIZE_MAX <= 32768, "2.7: index arithmetic in 16 bits");

/* Both ranges are known to lie in RAM. */
static bool is_apart(uint64_t a, size_t a_size, uint64_t b, size_t b_size)
{
	return a < b ? b - a >= a_size : a - b >= b_size;
}

enum fault virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory,
			  const struct transport_queue *layout, bool event_idx)
{
	uint32_t size = layout->size;

	*queue = (struct virtqueue){.memory = memory, .event_idx = event_idx};
	if (size == 0)
		return FAULT_NONE;
	if (size > TRANSPORT_QUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return FAULT_QUEUE_LAYOUT;

	size_t descriptors = sizeof(struct descriptor) * size;
	size_t avail = RING_OVERHEAD + AVAIL_ENTRY * size, used = RING_OVERHEAD + USED_ENTRY * size;
	if (!guest_memory_window(memory, layout->descriptors, descriptors, 16, &queue->descriptors) ||
	    !guest_memory_window(memory, layout->driver, avail, 2, &queue->avail) ||
	    !guest_memory_window(memory, layout->device, used, 4, &queue->used) ||
	    !is_apart(layout->descriptors, descriptors, layout->driver, avail) ||
	    !is_apart(layout->descriptors, descriptors, layout->device, used) ||
	    !is_apart(layout->driver, avail, layout->device, used))
		return FAULT_QUEUE_LAYOUT;
	queue->size = (uint16_t)size;
	return FAULT_NONE;
}

bool virtqueue_fail(struct virtqueue *queue, enum fault fault)
{
	queue->fault = fault;
	queue->is_out = false;
	return false;
}

/* Reads the driver's index; when it shows nothing new, asks for a kick and looks once more, for the driver may have
   added a chain before it could see that we ask (2.7.10). */
static bool look_for_chains(struct virtqueue *queue)
{
	uint16_t index = guest_window_load16(&queue->avail, RING_INDEX);

	if (index == queue->next_avail && queue->event_idx) {
		guest_window_store16(&queue->used, RING_ENTRIES + (size_t)USED_ENTRY * queue->size, index);
		atomic_thread_fence(memory_order_seq_cst);
		index = guest_window_load16(&queue->avail, RING_INDEX);
	}
	/* No chain is out, and the driver has not seen the staged ones come back: with them no more than the ring's
	   size can be waiting. So the ring bounds what is staged as well, however fast a driver adds. */
	if ((uint16_t)(index - queue->next_avail) > queue->size - queue->staged)
		return virtqueue_fail(queue, FAULT_AVAIL_INDEX);
	queue->seen_avail = index;
	memset(queue->taken, 0, sizeof(queue->taken));
	return index != queue->next_avail;
}

/* What waited at the same time has heads of its own: a head that comes twice is the driver's error. */
static bool take_head(struct virtqueue *queue, uint16_t head)
{
	if (head >= queue->size || (queue->taken[head / 64] >> (head % 64) & 1) != 0)
		return false;
	queue->taken[head / 64] |= UINT64_C(1) << (head % 64);
	return true;
}

static enum fault add_buffer(struct virtqueue *queue, struct chain *chain, const struct descriptor *descriptor)
{
	bool is_writable = (descriptor->flags & DESCRIPTOR_WRITE) != 0;
	struct guest_buffers *buffers = is_writable ? &chain->writable : &chain->readable;

	if (descriptor->length == 0)
		return FAULT_NONE;
	if (descriptor->length > UINT32_MAX - chain->readable.size - chain->writable.size)
		return FAULT_ADDRESS;
	struct iovec *iov = &chain->iov[chain->readable.count + chain->writable.count];
	if (!guest_memory_iovec(queue->memory, descriptor->address, descriptor->length, iov))
		return FAULT_ADDRESS;
	buffers->count++;
	buffers->size += descriptor->length;
	return FAULT_NONE;
}

static enum fault walk(struct virtqueue *queue, struct chain *chain)
{
	uint16_t index = chain->head, seen_flags = 0;

	for (unsigned hops = 0; hops < queue->size; hops++) {
		struct descriptor descriptor;
		guest_window_read(&queue->descriptors, sizeof(descriptor) * index, &descriptor, sizeof(descriptor));
		if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0)
			return FAULT_INDIRECT;
		if ((seen_flags & ~descriptor.flags & DESCRIPTOR_WRITE) != 0)
			return FAULT_CHAIN_ORDER;
		seen_flags |= descriptor.flags;
		enum fault fault = add_buffer(queue, chain, &descriptor);
		if (fault != FAULT_NONE || (descriptor.flags & DESCRIPTOR_NEXT) == 0)
			return fault;
		index = descriptor.next;
		if (index >= queue->size)
			return FAULT_HEAD;
	}
	return FAULT_CHAIN_LOOP;
}

bool virtqueue_pop(struct virtqueue *queue, struct chain *chain)
{
	if (queue->is_out)
		__builtin_trap();
	if (queue->size == 0 || queue->fault != FAULT_NONE)
		return false;
	if (queue->next_avail == queue->seen_avail && !look_for_chains(queue))
		return false;

	size_t slot = queue->next_avail & (queue->size - 1U);
	chain->head = guest_window_load16(&queue->avail, RING_ENTRIES + AVAIL_ENTRY * slot);
	chain->readable = chain->writable = (struct guest_buffers){0};
	enum fault fault = take_head(queue, chain->head) ? walk(queue, chain) : FAULT_HEAD;
	if (fault != FAULT_NONE)
		return virtqueue_fail(queue, fault);
	chain->readable.iov = chain->iov;
	chain->writable.iov = chain->iov + chain->readable.count;
	queue->next_avail++;
	queue->is_out = true;
	return true;
}

void virtqueue_stage(struct virtqueue *queue, const struct chain *chain, uint32_t written)
{
	struct used_entry entry = {.id = chain->head, .length = written};
	size_t slot = (queue->next_used + queue->staged) & (queue->size - 1U);

	if (!queue->is_out)
		__builtin_trap();
	queue->is_out = false;
	guest_window_write(&queue->used, RING_ENTRIES + USED_ENTRY * slot, &entry, sizeof(entry));
	queue->staged++;
}

void virtqueue_publish(struct virtqueue *queue)
{
	queue->next_used = (uint16_t)(queue->next_used + queue->staged);
	queue->staged = 0;
	guest_window_store16(&queue->used, RING_INDEX, queue->next_used);
}

void virtqueue_unstage(struct virtqueue *queue)
{
	queue->next_avail = (uint16_t)(queue->next_avail - queue->staged - queue->is_out);
	queue->staged = 0;
	queue->is_out = false;
	queue->seen_avail = queue->next_avail; /* their heads will come again: look anew */
}

void virtqueue_push(struct virtqueue *queue, const struct chain *chain, uint32_t written)
{
	virtqueue_stage(queue, chain, written);
	virtqueue_publish(queue);
}

bool virtqueue_should_interrupt(struct virtqueue *queue)
{
	uint16_t given_back = (uint16_t)(queue->next_used - queue->signalled);

	if (given_back == 0)
		return false;
	queue->signalled = queue->next_used;
	/* The driver must see our index before we read what it asked for: it writes and looks in the other order. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue->event_idx)
		return (guest_window_load16(&queue->avail, RING_FLAGS) & AVAIL_NO_INTERRUPT) == 0;
	uint16_t event = guest_window_load16(&queue->avail, RING_ENTRIES + (size_t)AVAIL_ENTRY * queue->size);
	return (uint16_t)(queue->next_used - event - 1) < given_back;
}
