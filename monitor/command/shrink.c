/* What a waiting launcher need not keep (monitor/command/shrink.h): the pages of its programs and libraries that are as
 * their files have them, freed pages of the heap, and the stack below its caller. Four fifths of a launcher are that.
 *
 * Never lets go of a page that was written: code and constants are mapped from files, and no segment that may be
 * written is touched, not even what became read-only after its relocation.
 */
#include "monitor/command/shrink.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 4096, STACK_MAX = 256 << 10 /* what the start may have taken of it; nothing is mapped near below */ };

/* The last segment first: the first has what is read here of all of them, and would be fetched back. */
static int drop_clean(struct dl_phdr_info *object, size_t size, void *context)
{
	(void)size;
	(void)context;
	for (unsigned i = object->dlpi_phnum; i-- > 0;) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0)
			continue;
		uintptr_t begin = (object->dlpi_addr + segment->p_vaddr) & -(uintptr_t)PAGE;
		uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
		madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
	return 0;
}

/* The caller's frames lie above; a page is left for what runs meanwhile. */
__attribute__((noinline)) static void drop_stack(void)
{
	uintptr_t end = ((uintptr_t)__builtin_frame_address(0) & -(uintptr_t)PAGE) - PAGE;
	madvise((void *)(end - STACK_MAX), STACK_MAX, MADV_DONTNEED);
}

void shrink(void)
{
	malloc_trim(0);
	drop_stack();
	dl_iterate_phdr(drop_clean, NULL);
}
