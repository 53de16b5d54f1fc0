/* Shared by the launcher and the monitor: the guest's physical address space, all of it, and the platform's registers.
 * Numbers only. The launcher's ACPI tables name what the monitor answers to; both read it here.
 *
 *     0            loader's structures (free for the guest once it has read them)
 *     0xE0000      ACPI tables and the reset stub (reserved in the memory map)
 *     1 MiB        kernel … initrd at the end of low RAM
 *     3 GiB        hole: platform page, one page per device, interrupt controllers
 *     4 GiB        the rest of RAM
 */
#ifndef MONITOR_LAYOUT_H
#define MONITOR_LAYOUT_H

#include "devices/transport.h"
#include "policy/plan.h"

#define LAYOUT_GDT UINT64_C(0x5000)
#define LAYOUT_START_INFO UINT64_C(0x6000) /* PVH: start info, module list, memory map */
#define LAYOUT_START_MODULE (LAYOUT_START_INFO + 56)
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
#define LAYOUT_PLATFORM UINT64_C(0xd0000000) /* PLATFORM_… */
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

/* Of the table at LAYOUT_GDT. */
enum {
	SELECTOR_CODE_32 = 0x08,
	SELECTOR_CODE = 0x10, /* Linux wants these two numbers */
	SELECTOR_DATA = 0x18,
	SELECTOR_TSS = 0x20,
};

/* Offsets into the platform page. */
enum {
	PLATFORM_EVENT = 0x00,         /* u32, read: events that happened since the last read */
	PLATFORM_SLEEP_CONTROL = 0x10, /* u8, write: SLP_EN with SLP_TYP 5 */
	PLATFORM_SLEEP_STATUS = 0x11,  /* u8 */
	PLATFORM_RESET = 0x12,         /* u8, write: any value */
	PLATFORM_PANIC = 0x40,         /* u8, read: events understood, write: event; on the page LAYOUT_PANIC */
};

enum {
	EVENT_POWER_BUTTON = 1 << 0,
	SLEEP_ENABLE = 1 << 5, /* ACPI 6.4, 4.8.3.7: sleep control register */
	SLEEP_TYPE_SHIFT = 2,
	SLEEP_TYPE_MASK = 7,
	SLEEP_TYPE_OFF = 5,
	RESET_VALUE = 1, /* what the FADT says to write */
	PANIC_PANICKED = 1 << 0,
	PORT_EXIT = 0x501,  /* one byte: the VM ends with it */
	PORT_RESET = 0xcf9, /* any write */
};

_Static_assert((int)GSI_DEVICE + (int)PLAN_DEVICES_MAX <= (int)GSI_COUNT, "every device has a pin");
_Static_assert((int)TRANSPORT_PAGE_SIZE == (int)LAYOUT_PAGE, "a device's registers are a page");
_Static_assert(LAYOUT_CMDLINE + PLAN_CMDLINE_SIZE <= LAYOUT_LOW_END, "the command line is in conventional memory");
_Static_assert(LAYOUT_PAGE_TABLES + LAYOUT_PAGE_TABLES_SIZE <= LAYOUT_CMDLINE, "page tables end before it");
_Static_assert(LAYOUT_PANIC >= PLAN_RAM_HOLE_START && LAYOUT_TSS < PLAN_RAM_HOLE_END, "devices are in the hole");
_Static_assert(PLAN_RAM_MIN > LAYOUT_HIGH, "low RAM reaches past the first MiB");

#endif
