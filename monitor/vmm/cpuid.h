/* What CPUID tells the guest: what KVM supports, less what a guest has no business with, plus who each vCPU is. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPUID_ENTRIES_MAX = 128 };

/* struct kvm_cpuid2 with room. */
struct cpuid {
	uint32_t count, padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};
_Static_assert(offsetof(struct cpuid, entries) == sizeof(struct kvm_cpuid2), "the same layout as KVM's");

/* Takes away (once for the VM). `cpuid` holds what KVM_GET_SUPPORTED_CPUID said. */
void cpuid_restrict(struct cpuid *cpuid, bool tsc_deadline);

/* Makes it that of vCPU `index`, whose APIC id is its index, of `count`. False: no room for the topology leaves. */
bool cpuid_personalise(struct cpuid *cpuid, uint32_t index, uint32_t count);

/* Bits of a guest-physical address. */
uint32_t cpuid_address_bits(const struct cpuid *cpuid);

#endif
