/* A loaded kernel's start. See boot.h.
 *
 * Two ways in. Linux's 64-bit entry: long mode, the first 4 GiB mapped to themselves, RSI at `boot_params`. PVH:
 * 32-bit protected mode without paging, EBX at `hvm_start_info`.
 */
#include "monitor/vmm/boot.h"

#include "monitor/layout.h"

#include <string.h>

enum {
	SEGMENT_CODE = 11, /* execute, read, accessed */
	SEGMENT_DATA = 3,  /* read, write, accessed */
	SEGMENT_TSS = 11,  /* busy */
	FLAGS_RESERVED = 2,
	LOADER_UNKNOWN = 0xff,
};

#define CR0_PROTECTED UINT64_C(0x11)    /* PE, ET */
#define CR0_PAGING UINT64_C(0x80010033) /* PG, WP, NE, ET, MP, PE */
#define CR4_PAE UINT64_C(0x20)
#define EFER_LONG UINT64_C(0x500) /* LMA, LME */

static bool put(const struct guest_memory *memory, uint64_t address, const void *from, size_t size)
{
	struct guest_window window;

	if (!guest_memory_window(memory, address, size, 1, &window))
		return false;
	guest_window_write(&window, 0, from, size);
	return true;
}

struct problem boot_write(const struct guest_memory *memory, const struct plan *plan, const struct kernel *kernel,
			  uint64_t initrd_address)
{
	struct setup_header setup = kernel->setup;
	bool done;

	setup.type_of_loader = LOADER_UNKNOWN;
	setup.cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
	setup.ramdisk_image = (uint32_t)initrd_address;
	setup.ramdisk_size = (uint32_t)plan->initrd_size;
	setup.setup_data = 0;
	if (strlen(plan->cmdline) > kernel->cmdline_max)
		return (struct problem){.failure = FAILURE_CMDLINE, .detail = kernel->cmdline_max};
	if (kernel->protocol == KERNEL_LINUX)
		done = put(memory, LAYOUT_BOOT_PARAMS + offsetof(struct boot_params, hdr), &setup, sizeof(setup));
	else
		done = put(memory, LAYOUT_START_MODULE, &initrd_address, sizeof(initrd_address));
	return (struct problem){.failure = done ? FAILURE_NONE : FAILURE_MEMORY};
}

void boot_registers(const struct kernel *kernel, struct kvm_regs *general, struct kvm_sregs *special)
{
	bool is_long = kernel->protocol == KERNEL_LINUX;
	const struct kvm_segment data = {
	    .limit = UINT32_MAX,
	    .selector = SELECTOR_DATA,
	    .type = SEGMENT_DATA,
	    .present = 1,
	    .db = 1,
	    .s = 1,
	    .g = 1,
	};

	special->cs = data;
	special->cs.selector = is_long ? SELECTOR_CODE : SELECTOR_CODE_32;
	special->cs.type = SEGMENT_CODE;
	special->cs.db = !is_long;
	special->cs.l = is_long;
	special->ds = special->es = special->fs = special->gs = special->ss = data;
	special->tr = (struct kvm_segment){.limit = 0x67, .selector = SELECTOR_TSS, .type = SEGMENT_TSS, .present = 1};
	special->gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = SELECTOR_TSS + 8 - 1};
	special->idt = (struct kvm_dtable){.limit = 0};
	special->cr0 = is_long ? CR0_PAGING : CR0_PROTECTED;
	special->cr3 = is_long ? LAYOUT_PAGE_TABLES : 0;
	special->cr4 = is_long ? CR4_PAE : 0;
	special->efer = is_long ? EFER_LONG : 0;
	*general = (struct kvm_regs){.rflags = FLAGS_RESERVED, .rip = kernel->entry};
	if (is_long)
		general->rsi = LAYOUT_BOOT_PARAMS;
	else
		general->rbx = LAYOUT_START_INFO;
}
