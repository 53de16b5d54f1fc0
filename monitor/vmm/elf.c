/* ELF images: 64-bit x86 executables at their physical addresses, entered through the PVH note where there is one
 * and through Linux's 64-bit entry otherwise. See kernel.h for what is trusted (nothing).
 */
#include "monitor/layout.h"
#include "monitor/vmm/kernel.h"

#include <elf.h>
#include <string.h>

enum {
	SEGMENTS_MAX = 32,
	NOTES_MAX = 4096,      /* bytes of each note segment that are looked at */
	XEN_PHYS32_ENTRY = 18, /* XEN_ELFNOTE_PHYS32_ENTRY */
	LINUX_CMDLINE_MAX = 2047,
	LINUX_VERSION = 0x020c, /* boot protocol that vmlinux has no header to tell of */
	LINUX_INITRD_MAX = 0x7fffffff,
	LINUX_ALIGNMENT = 0x200000,
};

struct elf {
	const struct image *image;
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS_MAX];
};

static const struct problem none = {.failure = FAILURE_NONE};

static struct problem read_headers(struct elf *elf)
{
	const Elf64_Ehdr *header = &elf->header;
	struct problem problem = image_take(elf->image, 0, &elf->header, sizeof(elf->header));
	if (problem.failure != FAILURE_NONE)
		return problem;
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return kernel_format(KERNEL_PROBLEM_NOT_64_BIT);
	if (header->e_type != ET_EXEC || header->e_phentsize != sizeof(Elf64_Phdr))
		return kernel_format(KERNEL_PROBLEM_HEADER);
	if (header->e_phnum == 0 || header->e_phnum > SEGMENTS_MAX)
		return kernel_format(KERNEL_PROBLEM_SEGMENTS);
	return image_take(elf->image, header->e_phoff, elf->segments, header->e_phnum * sizeof(Elf64_Phdr));
}

static bool overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
	return a->p_paddr < b->p_paddr + b->p_memsz && b->p_paddr < a->p_paddr + a->p_memsz;
}

/* Every segment in RAM and in the image, none over another. Afterwards paddr + memsz does not wrap. */
static struct problem check_segments(const struct elf *elf, uint64_t ram_end)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		if (segment->p_type != PT_LOAD)
			continue;
		if (segment->p_filesz > segment->p_memsz)
			return kernel_format(KERNEL_PROBLEM_HEADER);
		if (!range_within(segment->p_offset, segment->p_filesz, elf->image->size))
			return kernel_format(KERNEL_PROBLEM_TRUNCATED);
		if (segment->p_paddr < LAYOUT_HIGH)
			return kernel_format(KERNEL_PROBLEM_LOW);
		if (!range_within(segment->p_paddr, segment->p_memsz, ram_end))
			return kernel_range(segment->p_paddr, segment->p_memsz);
		for (unsigned j = 0; j < i; j++)
			if (elf->segments[j].p_type == PT_LOAD && overlap(segment, &elf->segments[j]))
				return kernel_format(KERNEL_PROBLEM_SEGMENTS);
	}
	return none;
}

/* The entry has to be in one of them. */
static struct problem load_segments(const struct elf *elf, const struct guest_memory *memory, struct kernel *kernel)
{
	bool has_entry = false;

	kernel->start = UINT64_MAX;
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
			continue;
		if (segment->p_paddr < kernel->start)
			kernel->start = segment->p_paddr;
		if (segment->p_paddr + segment->p_memsz > kernel->end)
			kernel->end = segment->p_paddr + segment->p_memsz;
		struct problem problem = image_place(elf->image, segment->p_offset, segment->p_filesz, memory,
						     segment->p_paddr, FAILURE_KERNEL_RANGE);
		if (problem.failure != FAILURE_NONE)
			return problem;
		has_entry |= kernel->entry >= segment->p_paddr && kernel->entry - segment->p_paddr < segment->p_filesz;
	}
	return has_entry ? none : kernel_format(KERNEL_PROBLEM_ENTRY);
}

static uint64_t round_up(uint64_t size)
{
	return (size + 3) & ~UINT64_C(3);
}

/* Looks for the PVH entry in the notes. They are records of three words, then name and descriptor, each padded. */
static bool find_pvh(const uint8_t *notes, uint64_t size, uint64_t *entry)
{
	uint64_t at = 0;
	Elf64_Nhdr note;

	while (range_within(at, sizeof(note), size)) {
		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		uint64_t name = at, description = name + round_up(note.n_namesz);
		if (!range_within(description, note.n_descsz, size))
			return false;
		at = description + round_up(note.n_descsz);
		if (note.n_type != XEN_PHYS32_ENTRY || note.n_namesz != 4 || memcmp(notes + name, "Xen", 4) != 0)
			continue;
		if (note.n_descsz != 4 && note.n_descsz != 8)
			return false;
		*entry = 0;
		memcpy(entry, notes + description, note.n_descsz);
		return true;
	}
	return false;
}

static struct problem find_entry(const struct elf *elf, struct kernel *kernel)
{
	uint8_t notes[NOTES_MAX];

	kernel->protocol = KERNEL_LINUX;
	kernel->entry = elf->header.e_entry;
	for (unsigned i = 0; i < elf->header.e_phnum && kernel->protocol == KERNEL_LINUX; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		if (segment->p_type != PT_NOTE)
			continue;
		if (!range_within(segment->p_offset, segment->p_filesz, elf->image->size))
			return kernel_format(KERNEL_PROBLEM_TRUNCATED);
		uint64_t size = segment->p_filesz < NOTES_MAX ? segment->p_filesz : NOTES_MAX;
		struct problem problem = image_take(elf->image, segment->p_offset, notes, (size_t)size);
		if (problem.failure != FAILURE_NONE)
			return problem;
		if (find_pvh(notes, size, &kernel->entry))
			kernel->protocol = KERNEL_PVH;
	}
	return none;
}

struct problem elf_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			struct kernel *kernel)
{
	struct elf elf = {.image = image};

	struct problem problem = read_headers(&elf);
	if (problem.failure == FAILURE_NONE)
		problem = check_segments(&elf, ram_end);
	if (problem.failure == FAILURE_NONE)
		problem = find_entry(&elf, kernel);
	if (problem.failure != FAILURE_NONE)
		return problem;
	kernel->cmdline_max = LINUX_CMDLINE_MAX;
	kernel->initrd_end = kernel->protocol == KERNEL_PVH ? ram_end : (uint64_t)LINUX_INITRD_MAX + 1;
	kernel->setup = (struct setup_header){
	    .boot_flag = 0xaa55,
	    .header = 0x53726448, /* "HdrS" */
	    .version = LINUX_VERSION,
	    .loadflags = LOADED_HIGH,
	    .kernel_alignment = LINUX_ALIGNMENT,
	    .initrd_addr_max = LINUX_INITRD_MAX,
	    .cmdline_size = LINUX_CMDLINE_MAX,
	};
	return load_segments(&elf, memory, kernel);
}
