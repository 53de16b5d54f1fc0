/*
 * What the processor reads: page tables, GDT, one TSS per CPU, IDT. All of it is data of the image (see layout.h).
 *
 * Everything is open to ring 3, which is the point: the guest's own code runs there. Accessed and dirty bits are
 * set beforehand, so that neither the processor nor a shadow pager has to come back for them.
 */
#include "layout.h"

#define TABLE 0x27    /* present, writable, user, accessed */
#define PAGE 0xe7     /* the same, dirty, 2 MiB */
#define PAGE_MMIO 0xff /* the same, uncached */

	.section .tables, "aw", @progbits
	.balign 4096
	.globl pml4, pdpt, tss, gdt_pointer, idt_pointer

pml4:
	.quad pdpt + TABLE
	.fill 510, 8, 0
	.quad pdpt + TABLE /* with the last entry below: LAPIC_EOI_ALIAS */

pdpt: /* memory.c adds entries for memory above 4 GiB */
	.quad directories + TABLE
	.quad directories + 0x1000 + TABLE
	.quad directories + 0x2000 + TABLE
	.quad directories + 0x3000 + TABLE
	.fill 507, 8, 0
	.quad directories + 0x3000 + TABLE

directories:
	.set address, 0
	.rept 1536
	.quad address + PAGE
	.set address, address + 0x200000
	.endr
	.rept 512
	.quad address + PAGE_MMIO
	.set address, address + 0x200000
	.endr

tss:
	.set cpu, 0
	.rept CPUS_MAX
	.long 0
	.quad stacks0 + (cpu + 1) * STACK0_SIZE /* RSP0 */
	.fill 90, 1, 0
	.word io_bitmap_offset - cpu * TSS_STRIDE
	.fill TSS_STRIDE - 104, 1, 0
	.set cpu, cpu + 1
	.endr

gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* SEL_CODE0 */
	.quad 0x00cf9b000000ffff /* SEL_CODE32 */
	.quad 0x00cff3000000ffff /* SEL_DATA3 */
	.quad 0x00affb000000ffff /* SEL_CODE3 */
	.set base, TSS_BASE
	.rept CPUS_MAX
	.word 0xffff
	.word base & 0xffff
	.byte (base >> 16) & 0xff
	.byte 0x89, 0
	.byte base >> 24
	.quad 0
	.set base, base + TSS_STRIDE
	.endr
gdt_end:

	.balign 16
idt:
	.set stub, STUB_BASE
	.rept VECTORS
	.word stub & 0xffff
	.word SEL_CODE0
	.byte 0, 0x8e
	.word stub >> 16
	.quad 0
	.set stub, stub + STUB_SIZE
	.endr
idt_end:

	.balign 8
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.balign 8
idt_pointer:
	.word idt_end - idt - 1
	.quad idt
	.balign 4096

/* All ports are ring 3's. The bitmap's last byte stands for none; the processor reads bits in pairs of bytes. */
	.section .bss.bitmap, "aw", @nobits
	.globl io_bitmap
io_bitmap:
	.skip 8193

	.section .bss, "aw", @nobits
	.balign 16
	.globl stacks0
stacks0:
	.skip CPUS_MAX * STACK0_SIZE

	.section .note.GNU-stack, "", @progbits
