/* The guest's writes that KVM keeps for later: those that no read shows and nothing waits for (machine.c says
 * which). KVM fills the ring; when it is full, a write exits as any other. Documentation/virt/kvm/api.rst, 4.116.
 */
#ifndef VMM_RING_H
#define VMM_RING_H

#include "monitor/vmm/sync.h"

#include <linux/kvm.h>
#include <stdint.h>

struct ring {
	struct kvm_coalesced_mmio_ring *page; /* KVM's, shared with it; the guest has no access to it */
	struct lock lock;                     /* `first`, and that what is taken out is done before the next */
};

typedef void ring_write(void *context, uint64_t address, const uint8_t *data, uint32_t size);

/* Does, oldest first, what was written and not done yet. In a vCPU's thread, before it answers an exit: so the order
   of one vCPU's writes is kept, and of several's where they keep one themselves. */
void ring_take(struct ring *ring, ring_write *write, void *context);

#endif
