/* Taking out what KVM put in. See ring.h. Trusts KVM for the entries, not for the sizes that index memory. */
#include "monitor/vmm/ring.h"

#include "monitor/layout.h"

enum { ENTRIES = (LAYOUT_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio) };

void ring_take(struct ring *ring, ring_write *write, void *context)
{
	struct kvm_coalesced_mmio_ring *page = ring->page;

	lock_take(&ring->lock);
	for (uint32_t first = page->first % ENTRIES;
	     first != __atomic_load_n(&page->last, __ATOMIC_ACQUIRE) % ENTRIES;) {
		const struct kvm_coalesced_mmio entry = page->coalesced_mmio[first];
		if (entry.len <= sizeof(entry.data))
			write(context, entry.phys_addr, entry.data, entry.len);
		first = (first + 1) % ENTRIES;
		__atomic_store_n(&page->first, first, __ATOMIC_RELEASE);
	}
	lock_release(&ring->lock);
}
