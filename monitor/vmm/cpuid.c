/* CPUID of the guest: two tables of what is taken away, and the leaves that say which processor this is.
 *
 * Trusts KVM. What is absent reads as zero. Never adds a feature but TSC-deadline, which KVM reports apart from the
 * others, and the two bits that say that there is a hypervisor and more than one processor.
 */
#include "monitor/vmm/cpuid.h"

#include <string.h>

enum cpuid_register { EAX, EBX, ECX, EDX };

enum {
	VENDOR_AMD = 0x68747541,   /* "Auth", EBX of leaf 0 */
	VENDOR_HYGON = 0x6f677948, /* "Hygo" */
	LEAF_KVM_FEATURES = 0x40000001,
	LEAF_EXTENDED_FEATURES = (int)0x80000001,
	LEAF_SIZES = (int)0x80000008,
	LEAF_AMD_CACHES = (int)0x8000001d,
	LEAF_AMD_TOPOLOGY = (int)0x8000001e,
};

#define BIT(n) (UINT32_C(1) << (n))

/* Whole leaves, every subleaf. */
static const struct {
	uint32_t leaf;
	const char *reason;
} absent_leaves[] = {
    {0x00000005, "MONITOR and MWAIT: idling is the host's"},
    {0x0000000a, "performance counters: a side channel, and host state to switch"},
    {0x0000000b, "topology: made per vCPU below"},
    {0x0000000f, "cache monitoring is the host's"},
    {0x00000010, "cache allocation is the host's"},
    {0x00000012, "SGX: memory that the host cannot see"},
    {0x00000014, "processor trace: a side channel"},
    {0x0000001b, "PCONFIG"},
    {0x0000001c, "last-branch records"},
    {0x0000001f, "topology: made per vCPU below"},
    {0x00000023, "performance counters"},
    {0x8000000a, "SVM: no nested guests"},
    {0x8000001b, "instruction-based sampling: a side channel"},
    {0x8000001c, "lightweight profiling"},
    {0x8000001f, "memory encryption: not set up"},
    {0x80000022, "performance counters"},
};

/* Single bits; for KVM's own features the list says what stays. */
static const struct {
	uint32_t leaf, index;
	enum cpuid_register where;
	uint32_t bits;
	const char *reason;
} absent_bits[] = {
    {0x1, 0, ECX, BIT(2) | BIT(15), "debug store, performance capabilities"},
    {0x1, 0, ECX, BIT(3), "MONITOR"},
    {0x1, 0, ECX, BIT(5) | BIT(6), "VMX and SMX: no nested guests"},
    {0x1, 0, ECX, BIT(7) | BIT(8), "SpeedStep and thermal monitor are the host's"},
    {0x1, 0, ECX, BIT(24), "TSC-deadline: as KVM_CHECK_EXTENSION says"},
    {0x1, 0, EDX, BIT(21) | BIT(22) | BIT(29) | BIT(31), "debug store, thermal control"},
    {0x6, 0, EAX, ~BIT(2), "thermal and power: all but the always-running APIC timer"},
    {0x7, 0, EBX, BIT(2), "SGX"},
    {0x7, 0, EBX, BIT(4) | BIT(11), "transactional memory: a side channel of its own"},
    {0x7, 0, EBX, BIT(12) | BIT(15), "cache monitoring and allocation"},
    {0x7, 0, EBX, BIT(25), "processor trace"},
    {0x7, 0, ECX, BIT(5), "WAITPKG: idling is the host's"},
    {0x7, 0, ECX, BIT(30), "SGX"},
    {0x7, 0, EDX, BIT(18), "PCONFIG"},
    {0x7, 0, EDX, BIT(19), "last-branch records"},
    {0x80000001, 0, ECX, BIT(2) | BIT(12), "SVM and SKINIT: no nested guests"},
    {0x80000001, 0, ECX, BIT(10) | BIT(15), "sampling, profiling"},
    {0x80000001, 0, ECX, BIT(13), "watchdog"},
    {0x80000001, 0, ECX, BIT(19), "node id MSR"},
    {0x80000001, 0, ECX, BIT(23) | BIT(24) | BIT(28), "performance counters"},
    {0x80000001, 0, ECX, BIT(29), "MWAITX"},
    {0x80000008, 0, ECX, ~0U, "number of processors: made per vCPU below"},
    /* 0 and 3 clock, 1 no I/O delay, 5 steal time, 6 end of interrupt, 7 and 13 spin locks, 9 and 11 remote
       processors, 24 the clock is stable */
    {0x40000001, 0, EAX, ~(BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(9) | BIT(11) | BIT(13) | BIT(24)),
     "page faults of the host, memory encryption, migration, and what comes after them"},
};

static uint32_t *part(struct kvm_cpuid_entry2 *entry, enum cpuid_register where)
{
	switch (where) {
	case EAX:
		return &entry->eax;
	case EBX:
		return &entry->ebx;
	case ECX:
		return &entry->ecx;
	default:
		return &entry->edx;
	}
}

static bool stays(const struct kvm_cpuid_entry2 *entry)
{
	for (size_t i = 0; i < sizeof(absent_leaves) / sizeof(absent_leaves[0]); i++)
		if (entry->function == absent_leaves[i].leaf)
			return false;
	/* What is not there reads as zero, so zeros need not be. */
	return (entry->eax | entry->ebx | entry->ecx | entry->edx) != 0;
}

void cpuid_restrict(struct cpuid *cpuid, bool tsc_deadline)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->count; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		for (size_t j = 0; j < sizeof(absent_bits) / sizeof(absent_bits[0]); j++)
			if (entry->function == absent_bits[j].leaf && entry->index == absent_bits[j].index)
				*part(entry, absent_bits[j].where) &= ~absent_bits[j].bits;
		if (entry->function == 1)
			entry->ecx |= BIT(31) | (tsc_deadline ? BIT(24) : 0);
		if (stays(entry))
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
