/* CPUID of the guest: a table of what is taken away, and the leaves that say which processor this is.
 *
 * Trusts KVM. What is absent reads as zero. Never adds a feature but TSC-deadline, which KVM reports apart from the
 * others, and the two bits that say that there is a hypervisor and more than one processor.
 */
#include "monitor/vmm/cpuid.h"

#include <string.h>

enum {
	VENDOR_AMD = 0x68747541,   /* "Auth", EBX of leaf 0 */
	VENDOR_HYGON = 0x6f677948, /* "Hygo" */
	LEAF_EXTENDED_FEATURES = (int)0x80000001,
	LEAF_SIZES = (int)0x80000008,
	LEAF_AMD_CACHES = (int)0x8000001d,
	LEAF_AMD_TOPOLOGY = (int)0x8000001e,
};

#define BIT(n) (UINT32_C(1) << (n))
#define WHOLE .eax = ~0U, .ebx = ~0U, .ecx = ~0U, .edx = ~0U

/* Whole leaves, then bits; for KVM's own features the list says what stays. */
static const struct {
	uint32_t leaf, last; /* subleaf; the first is 0 */
	const char *reason;
	uint32_t eax, ebx, ecx, edx;
} absent[] = {
    {0x5, UINT32_MAX, "MONITOR and MWAIT: idling is the host's", WHOLE},
    {0xa, UINT32_MAX, "performance counters: a side channel, and host state to switch", WHOLE},
    {0xb, UINT32_MAX, "topology: made per vCPU below", WHOLE},
    {0xf, UINT32_MAX, "cache monitoring is the host's", WHOLE},
    {0x10, UINT32_MAX, "cache allocation is the host's", WHOLE},
    {0x12, UINT32_MAX, "SGX: memory that the host cannot see", WHOLE},
    {0x14, UINT32_MAX, "processor trace: a side channel", WHOLE},
    {0x1b, UINT32_MAX, "PCONFIG", WHOLE},
    {0x1c, UINT32_MAX, "last-branch records", WHOLE},
    {0x1f, UINT32_MAX, "topology: made per vCPU below", WHOLE},
    {0x23, UINT32_MAX, "performance counters", WHOLE},
    {0x8000000a, UINT32_MAX, "SVM: no nested guests", WHOLE},
    {0x8000001b, UINT32_MAX, "instruction-based sampling: a side channel", WHOLE},
    {0x8000001c, UINT32_MAX, "lightweight profiling", WHOLE},
    {0x8000001f, UINT32_MAX, "memory encryption: not set up", WHOLE},
    {0x80000022, UINT32_MAX, "performance counters", WHOLE},
    {0x1, 0, "debug store, performance capabilities", .ecx = BIT(2) | BIT(15)},
    {0x1, 0, "MONITOR", .ecx = BIT(3)},
    {0x1, 0, "VMX and SMX: no nested guests", .ecx = BIT(5) | BIT(6)},
    {0x1, 0, "SpeedStep and thermal monitor are the host's", .ecx = BIT(7) | BIT(8)},
    {0x1, 0, "TSC-deadline: as KVM_CHECK_EXTENSION says", .ecx = BIT(24)},
    {0x1, 0, "debug store, thermal control", .edx = BIT(21) | BIT(22) | BIT(29) | BIT(31)},
    {0x6, 0, "thermal and power: all but the always-running APIC timer", .eax = ~BIT(2)},
    {0x7, 0, "SGX", .ebx = BIT(2), .ecx = BIT(30)},
    {0x7, 0, "transactional memory: a side channel of its own", .ebx = BIT(4) | BIT(11)},
    {0x7, 0, "cache monitoring and allocation", .ebx = BIT(12) | BIT(15)},
    {0x7, 0, "processor trace", .ebx = BIT(25)},
    {0x7, 0, "WAITPKG: idling is the host's", .ecx = BIT(5)},
    {0x7, 0, "PCONFIG", .edx = BIT(18)},
    {0x7, 0, "last-branch records", .edx = BIT(19)},
    {0x80000001, 0, "SVM and SKINIT: no nested guests", .ecx = BIT(2) | BIT(12)},
    {0x80000001, 0, "sampling, profiling", .ecx = BIT(10) | BIT(15)},
    {0x80000001, 0, "watchdog", .ecx = BIT(13)},
    {0x80000001, 0, "node id MSR", .ecx = BIT(19)},
    {0x80000001, 0, "performance counters", .ecx = BIT(23) | BIT(24) | BIT(28)},
    {0x80000001, 0, "MWAITX", .ecx = BIT(29)},
    {0x80000008, 0, "number of processors: made per vCPU below", .ecx = ~0U},
    /* 0 and 3 clock, 1 no I/O delay, 5 steal time, 6 end of interrupt, 7 and 13 spin locks, 9 and 11 remote
       processors, 24 the clock is stable */
    {0x40000001, 0, "page faults of the host, memory encryption, migration, and what comes after them",
     .eax = ~(BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(9) | BIT(11) | BIT(13) | BIT(24))},
};

void cpuid_restrict(struct cpuid *cpuid, bool tsc_deadline)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->count; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		for (size_t j = 0; j < sizeof(absent) / sizeof(absent[0]); j++)
			if (entry->function == absent[j].leaf && entry->index <= absent[j].last) {
				entry->eax &= ~absent[j].eax;
				entry->ebx &= ~absent[j].ebx;
				entry->ecx &= ~absent[j].ecx;
				entry->edx &= ~absent[j].edx;
			}
		if (entry->function == 1)
			entry->ecx |= BIT(31) | (tsc_deadline ? BIT(24) : 0);
		/* What is not there reads as zero, so zeros need not be. */
		if ((entry->eax | entry->ebx | entry->ecx | entry->edx) != 0)
			cpuid->entries[kept++] = *entry;
	}
	cpuid->count = kept;
}

/* Bits that number `count` processors. */
static uint32_t id_bits(uint32_t count)
{
	uint32_t bits = 0;
	while (BIT(bits) < count)
		bits++;
	return bits;
}

/* Intel leaf 4 and AMD leaf 0x8000001d: the last level is everyone's, those below are each processor's own. */
static void share_caches(struct kvm_cpuid_entry2 *entry, uint32_t count)
{
	const uint32_t level = entry->eax >> 5 & 7, last = 3;
	uint32_t sharing = level >= last ? BIT(id_bits(count)) - 1 : 0;

	if ((entry->eax & 0x1f) == 0) /* no more caches */
		return;
	entry->eax = (entry->eax & 0x3fff) | sharing << 14;
	if (entry->function == 4)
		entry->eax |= (BIT(id_bits(count)) - 1) << 26;
}

static void personalise_entry(struct kvm_cpuid_entry2 *entry, uint32_t index, uint32_t count, bool amd)
{
	switch (entry->function) {
	case 0x1:
		entry->ebx = (entry->ebx & 0xffff) | count << 16 | index << 24;
		entry->edx = count > 1 ? entry->edx | BIT(28) : entry->edx & ~BIT(28);
		break;
	case 0x4:
	case (uint32_t)LEAF_AMD_CACHES:
		share_caches(entry, count);
		break;
	case (uint32_t)LEAF_EXTENDED_FEATURES:
		if (amd)
			entry->ecx = count > 1 ? entry->ecx | BIT(1) : entry->ecx & ~BIT(1);
		break;
	case (uint32_t)LEAF_SIZES:
		if (amd)
			entry->ecx = (count - 1) | id_bits(count) << 12;
		break;
	case (uint32_t)LEAF_AMD_TOPOLOGY:
		entry->eax = index;
		entry->ebx = index; /* core id; one thread a core */
		entry->ecx = 0;     /* one node */
		break;
	}
}

/* Extended topology: level 0 one thread a core, level 1 the cores. */
static bool add_topology(struct cpuid *cpuid, uint32_t leaf, uint32_t index, uint32_t count)
{
	const struct kvm_cpuid_entry2 levels[] = {
	    {.function = leaf, .index = 0, .eax = 0, .ebx = 1, .ecx = 0 | 1 << 8, .edx = index},
	    {.function = leaf, .index = 1, .eax = id_bits(count), .ebx = count, .ecx = 1 | 2 << 8, .edx = index},
	    {.function = leaf, .index = 2, .ecx = 2, .edx = index},
	};
	const uint32_t added = sizeof(levels) / sizeof(levels[0]);

	if (added > CPUID_ENTRIES_MAX - cpuid->count)
		return false;
	for (uint32_t i = 0; i < added; i++) {
		cpuid->entries[cpuid->count] = levels[i];
		cpuid->entries[cpuid->count++].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
	return true;
}

bool cpuid_personalise(struct cpuid *cpuid, uint32_t index, uint32_t count)
{
	uint32_t highest = 0, vendor = 0;

	for (uint32_t i = 0; i < cpuid->count; i++)
		if (cpuid->entries[i].function == 0) {
			highest = cpuid->entries[i].eax;
			vendor = cpuid->entries[i].ebx;
		}
	for (uint32_t i = 0; i < cpuid->count; i++)
		personalise_entry(&cpuid->entries[i], index, count, vendor == VENDOR_AMD || vendor == VENDOR_HYGON);
	if (highest >= 0xb && !add_topology(cpuid, 0xb, index, count))
		return false;
	return highest < 0x1f || add_topology(cpuid, 0x1f, index, count);
}

uint32_t cpuid_address_bits(const struct cpuid *cpuid)
{
	const uint32_t without_leaf = 36;

	for (uint32_t i = 0; i < cpuid->count; i++)
		if (cpuid->entries[i].function == (uint32_t)LEAF_SIZES)
			return cpuid->entries[i].eax & 0xff;
	return without_leaf;
}
