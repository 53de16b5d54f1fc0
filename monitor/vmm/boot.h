/* How a loaded kernel starts: what depends on it of the boot parameters, and its registers. */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "devices/guest_memory.h"
#include "monitor/vmm/kernel.h"
#include "policy/plan.h"

#include <linux/kvm.h>

/* Adds what depends on the kernel to what the launcher has left in conventional memory (monitor/layout.h): Linux's
   setup header; for PVH where the initrd is. Errors: FAILURE_CMDLINE, FAILURE_MEMORY (RAM is not where it should be).
 */
struct problem boot_write(const struct guest_memory *memory, const struct plan *plan, const struct kernel *kernel,
			  uint64_t initrd_address);

/* The first vCPU's registers. `special` holds what KVM made of them at reset. */
void boot_registers(const struct kernel *kernel, struct kvm_regs *general, struct kvm_sregs *special);

#endif
