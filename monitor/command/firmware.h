/* What a kernel finds in memory when it starts: ACPI tables, memory map, command line, page tables, descriptors.
 *
 * All that depends on the plan alone, for any kernel: the launcher writes it before there is a process that will face
 * the guest. The monitor adds what depends on the image: Linux's setup header and where the initrd lies
 * (monitor/vmm/boot.h).
 */
#ifndef MONITOR_COMMAND_FIRMWARE_H
#define MONITOR_COMMAND_FIRMWARE_H

#include "policy/plan.h"

/* Types of the memory map; e820 and PVH have the same. */
enum { MEMORY_RAM = 1, MEMORY_RESERVED = 2 };
enum { MEMORY_RANGES_MAX = 4 };

struct memory_range {
	uint64_t address, size;
	uint32_t type;
};

/* The guest's memory map, in ascending order; returns how many ranges it has. */
unsigned firmware_memory_map(const struct plan *plan, struct memory_range ranges[static MEMORY_RANGES_MAX]);

/* Writes everything to the VM's memory, a memfd that nothing was written to yet. The plan's initrd_size is known.
   False: errno says why. */
bool firmware_write(int ram, const struct plan *plan);

#endif
