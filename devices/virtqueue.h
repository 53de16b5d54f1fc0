/* Split virtqueues, the device's side (virtio 1.2, section 2.7), with EVENT_IDX and without indirect descriptors.
 *
 * Trusts nothing that the guest wrote: every index, address and flag is copied once and then checked. What breaks
 * the specification sets the queue's fault, after which it gives no more chains; nothing is guessed or repaired.
 * One chain is out at a time: the device gives a chain back before it takes the next. What goes into several chains is
 * staged, and the driver sees all of them at once, or takes none for used. Allocates nothing.
 */
#ifndef DEVICES_VIRTQUEUE_H
#define DEVICES_VIRTQUEUE_H

#include "devices/guest_memory.h"
#include "devices/transport.h"
#include "monitor/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* A request. Its iovecs are the device-readable ones, then the device-writable ones. */
struct chain {
	uint16_t head;
	struct guest_buffers readable, writable; /* together less than 4 GiB (2.7.4) */
	struct iovec iov[TRANSPORT_QUEUE_SIZE_MAX];
};

struct virtqueue {
	const struct guest_memory *memory;
	struct guest_window descriptors, avail, used;
	uint16_t size; /* 0: not made ready; gives no chains */
	bool event_idx;
	bool is_out; /* a chain is out */
	enum fault fault;
	uint16_t next_avail;                           /* index of the next chain to take */
	uint16_t seen_avail;                           /* the driver's index when it was last read */
	uint16_t next_used;                            /* index of the next chain to give back */
	uint16_t staged;                               /* chains given back that the driver does not see yet */
	uint16_t signalled;                            /* next_used when the driver was last interrupted */
	uint64_t taken[TRANSPORT_QUEUE_SIZE_MAX / 64]; /* heads taken since seen_avail was read */
};

/* A queue that the driver made ready. Errors: FAULT_QUEUE_LAYOUT (the queue is then as if not ready), else
   FAULT_NONE. A size of 0 makes a queue that is not ready. */
enum fault virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory,
			  const struct transport_queue *layout, bool event_idx);

/* Takes the next chain. False: there is none, and the driver was asked to kick at the next; or queue->fault. */
bool virtqueue_pop(struct virtqueue *queue, struct chain *chain);

/* Gives the chain back. `written`: how many bytes were written, from the first writable one on without a gap. */
void virtqueue_push(struct virtqueue *queue, const struct chain *chain, uint32_t written);

/* The same, but the driver sees it only when it is published. */
void virtqueue_stage(struct virtqueue *queue, const struct chain *chain, uint32_t written);
void virtqueue_publish(struct virtqueue *queue);
/* Instead: what is out or staged was never taken, and will be the next to be. */
void virtqueue_unstage(struct virtqueue *queue);

/* The device found the chain that is out malformed: it is not given back. Answers false. */
bool virtqueue_fail(struct virtqueue *queue, enum fault fault);

/* Whether the driver wants an interrupt for what was given back since this was last called. */
bool virtqueue_should_interrupt(struct virtqueue *queue);

#endif
