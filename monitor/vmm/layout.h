/* The guest's physical address space, all of it. Addresses only; tests and the ACPI tables read the same ones.
 *
 *     0            loader's structures (free for the guest once it has read them)
 *     0xE0000      ACPI tables and the reset stub (reserved in the memory map)
 *     1 MiB        kernel … initrd at the end of low RAM
 *     3 GiB        hole: platform page, one page per device, interrupt controllers
 *     4 GiB        the rest of RAM
 */
#ifndef VMM_LAYOUT_H
#define VMM_LAYOUT_H

#include "devices/transport.h"
#include "policy/plan.h"

#define LAYOUT_GDT UINT64_C(0x5000)
#define LAYOUT_START_INFO UINT64_C(0x6000)  /* PVH: start info, module list, memory map */
#define LAYOUT_BOOT_PARAMS UINT64_C(0x7000) /* Linux: the zero page */
#define LAYOUT_PAGE_TABLES UINT64_C(0x9000) /* PML4, PDPT, four page directories */
#define LAYOUT_PAGE_TABLES_SIZE UINT64_C(0x6000)
#define LAYOUT_CMDLINE UINT64_C(0x20000)
#define LAYOUT_LOW_END UINT64_C(0xa0000) /* end of conventional memory */
#define LAYOUT_ACPI UINT64_C(0xe0000)    /* the RSDP, then the tables */
#define LAYOUT_ACPI_SIZE UINT64_C(0x10000)
#define LAYOUT_RESET_STUB UINT64_C(0xffff0) /* F000:FFF0 */
#define LAYOUT_HIGH UINT64_C(0x100000)      /* kernel images go from here on */

#define LAYOUT_PANIC UINT64_C(0xcffff000)    /* pvpanic has a page of its own: Linux maps it differently */
#define LAYOUT_PLATFORM UINT64_C(0xd0000000) /* platform.h */
#define LAYOUT_DEVICES UINT64_C(0xd0001000)  /* + TRANSPORT_PAGE_SIZE * index */
#define LAYOUT_IOAPIC UINT64_C(0xfec00000)
#define LAYOUT_LAPIC UINT64_C(0xfee00000)
#define LAYOUT_IDENTITY_MAP UINT64_C(0xfffbc000) /* one page that Intel's KVM uses for real mode */
#define LAYOUT_TSS UINT64_C(0xfffbd000)          /* three pages, likewise */

enum {
	LAYOUT_PAGE = 4096,
	GSI_EVENT = 4,  /* generic event device */
	GSI_DEVICE = 5, /* + index */
	GSI_COUNT = 24, /* pins of the one IOAPIC */
};

_Static_assert((int)GSI_DEVICE + (int)PLAN_DEVICES_MAX <= (int)GSI_COUNT, "every device has a pin");
_Static_assert((int)TRANSPORT_PAGE_SIZE == (int)LAYOUT_PAGE, "a device's registers are a page");
_Static_assert(LAYOUT_CMDLINE + PLAN_CMDLINE_SIZE <= LAYOUT_LOW_END, "the command line is in conventional memory");
_Static_assert(LAYOUT_PAGE_TABLES + LAYOUT_PAGE_TABLES_SIZE <= LAYOUT_CMDLINE, "page tables end before it");
_Static_assert(LAYOUT_PANIC >= PLAN_RAM_HOLE_START && LAYOUT_TSS < PLAN_RAM_HOLE_END, "devices are in the hole");
_Static_assert(PLAN_RAM_MIN > LAYOUT_HIGH, "low RAM reaches past the first MiB");

#endif
