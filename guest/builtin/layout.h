/*
 * The fixed places of the built-in guest's image, shared by its assembly, its C and (as numbers) its linker script.
 *
 * The tables that the processor reads are laid out at link time, so that ring 0 executes about thirty instructions
 * in all: under a KVM that emulates ring 0, each costs most of a microsecond. Descriptors hold addresses cut in
 * pieces, which no relocation can express; hence fixed addresses here, checked by link.ld.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define IMAGE_BASE 0x200000
#define TSS_BASE (IMAGE_BASE + 0x6000)  /* after PML4, PDPT and four page directories */
#define STUB_BASE (IMAGE_BASE + 0x8000) /* after the page of TSSs and the page of GDT and IDT */

#define CPUS_MAX 32
#define TSS_STRIDE 128
#define STACK0_SIZE 512  /* ring 0, per CPU: interrupt frames and a small C function */
#define STACK3_SIZE 1024 /* ring 3, application processors */

#define SEL_CODE0 0x08
#define SEL_CODE32 0x10
#define SEL_DATA3 0x1b
#define SEL_CODE3 0x23
#define SEL_TSS 0x28 /* sixteen bytes for each CPU from here */

#define STUB_SIZE 32
#define VECTOR_SPURIOUS 47
#define VECTOR_TIMER 46
#define VECTOR_GSI 48 /* GSI 0 */
#define GSIS 48
#define VECTORS (VECTOR_GSI + GSIS)

/* The local APIC's end-of-interrupt register, through the page tables' alias of the last GiB below 4 GiB, where a
 * sign-extended 32-bit address reaches it in one instruction. */
#define LAPIC_EOI_ALIAS 0xfffffffffee000b0

#endif
