/*
 * From the loader to ring 3, for the first processor (PVH: 32-bit protected mode, no paging, EBX = start info) and
 * for the others (16-bit real mode, in the page that smp.c copied the trampoline to).
 *
 * Ring 0 ends here but for traps.S. Nothing is cleared or built: see tables.S.
 */
#include "layout.h"

#define CR0_LONG 0x80010033 /* PG, WP, NE, ET, MP, PE */
#define CR4_LONG 0x620      /* PAE, and SSE for who wants it */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long pvh_entry

	.macro enter_long_mode target
	movl $pml4, %eax
	movl %eax, %cr3
	movl $CR4_LONG, %eax
	movl %eax, %cr4
	movl $MSR_EFER, %ecx
	movl $EFER_LME, %eax
	xorl %edx, %edx
	wrmsr
	movl $CR0_LONG, %eax
	movl %eax, %cr0
	ljmp $SEL_CODE0, $\target
	.endm

	.text
	.globl pvh_entry
	.code32
pvh_entry:
	rdtsc
	movl %eax, %esi
	movl %edx, %edi
	lgdt gdt_pointer
	enter_long_mode first_long

	.code64
first_long:
	lidt idt_pointer
	movl $SEL_TSS, %eax
	ltr %ax
	movl $first_frame, %esp
	iretq

first_ring3: /* guest_main(start info, time stamp of the entry) */
	shlq $32, %rdi
	orq %rdi, %rsi
	movl %ebx, %edi
	xorl %ebp, %ebp
	call guest_main
	ud2

	.globl trampoline, trampoline_end, trampoline_gdt
	.code16
trampoline:
	cli
	lgdtl %cs:(trampoline_gdt - trampoline)
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $SEL_CODE32, $other_protected
	.balign 8
trampoline_gdt:
	.skip 6 /* a copy of gdt_pointer's limit and low half */
trampoline_end:

	.code32
other_protected:
	enter_long_mode other_long

	.code64
other_long:
	lidt idt_pointer
	movl $1, %edi
	lock xaddl %edi, cpus_entered
	cmpl $CPUS_MAX, %edi
	jae 1f
	movl %edi, %eax
	shll $4, %eax
	addl $SEL_TSS, %eax
	ltr %ax
	leal 1(%rdi), %eax
	imull $STACK0_SIZE, %eax, %esp
	addl $stacks0, %esp
	imull $STACK3_SIZE, %eax, %eax
	addl $stacks3 - 8, %eax
	pushq $SEL_DATA3
	pushq %rax
	pushq $0x202
	pushq $SEL_CODE3
	pushq $smp_other_main
	iretq
1:	cli
	hlt
	jmp 1b

	.data
	.balign 8
first_frame:
	.quad first_ring3, SEL_CODE3, 0x202, first_stack_end, SEL_DATA3
	.globl fault_frame
fault_frame:
	.quad fault_ring3, SEL_CODE3, 0x202, fault_stack_end - 8, SEL_DATA3
	.globl cpus_entered
cpus_entered:
	.long 1

	.section .bss.hot, "aw", @nobits
	.balign 16
	.skip 4096
first_stack_end:

	.section .bss, "aw", @nobits
	.balign 16
	.skip 2048
fault_stack_end:
stacks3:
	.skip CPUS_MAX * STACK3_SIZE

	.section .note.GNU-stack, "", @progbits
