/* Kernel images: from a file of a stranger to bytes in the guest's RAM and an entry point.
 *
 * No header field is trusted: each is checked against the image's size, the RAM's, and the others before it is used.
 * Nothing below LAYOUT_HIGH is written, nothing outside low RAM. A rejected image may leave bytes in RAM, which
 * nobody runs. RAM is fresh: what the image does not fill is zero.
 */
#ifndef VMM_KERNEL_H
#define VMM_KERNEL_H

#include "monitor/vmm/image.h"

#include <asm/bootparam.h>

enum kernel_protocol {
	KERNEL_LINUX, /* 64-bit entry, RSI: boot_params */
	KERNEL_PVH,   /* 32-bit entry, EBX: start info */
};

struct kernel {
	enum kernel_protocol protocol;
	uint64_t entry;            /* guest-physical */
	uint64_t start, end;       /* what it occupies, the space it unpacks itself to included */
	uint64_t initrd_end;       /* an initrd must end here or before */
	uint32_t cmdline_max;      /* bytes, without the NUL */
	struct setup_header setup; /* KERNEL_LINUX: what boot_params starts from */
};

/* Looks at the first bytes and loads what it finds. `ram_end`: end of low RAM, above LAYOUT_HIGH. */
struct problem kernel_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			   struct kernel *kernel);

/* The two kinds, by their first bytes, which these do not look at again. */
struct problem bzimage_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			    struct kernel *kernel);
struct problem elf_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			struct kernel *kernel);

/* Puts the initrd as high in low RAM as the kernel allows, on a page of its own. An empty one: *address is 0. */
struct problem initrd_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			   const struct kernel *kernel, uint64_t *address);

#endif
