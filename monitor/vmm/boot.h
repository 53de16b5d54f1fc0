/* What a loaded kernel finds when it starts: memory map, command line, boot parameters, page tables, registers. */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "devices/guest_memory.h"
#include "monitor/vmm/kernel.h"
#include "policy/plan.h"

#include <linux/kvm.h>

/* Types of the memory map; e820 and PVH have the same. */
enum { MEMORY_RAM = 1, MEMORY_RESERVED = 2 };
enum { MEMORY_RANGES_MAX = 4 };

struct memory_range {
	uint64_t address, size;
	uint32_t type;
};

struct boot {
	const struct plan *plan;
	struct kernel kernel;
	uint64_t initrd_address, initrd_size; /* size 0: none */
	uint64_t rsdp;
};

/* The guest's memory map, in ascending order; returns how many ranges it has. */
unsigned boot_memory_map(const struct plan *plan, struct memory_range ranges[static MEMORY_RANGES_MAX]);

/* Writes everything to conventional memory. Errors: FAILURE_CMDLINE, FAILURE_MEMORY (RAM is not where it should be). */
struct problem boot_write(const struct guest_memory *memory, const struct boot *boot);

/* The first vCPU's registers. `special` holds what KVM made of them at reset. */
void boot_registers(const struct kernel *kernel, struct kvm_regs *general, struct kvm_sregs *special);

#endif
