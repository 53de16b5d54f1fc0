/*
 * The rest of ring 0: interrupts count and are acknowledged, faults go to fault_ring3, and two gates serve ring 3.
 *
 * The gates are `hlt` instructions at known addresses. At CPL 3 they raise #GP, which works everywhere, where
 * `int` and `syscall` don't on a KVM that emulates ring 0.
 */
#include "layout.h"

	.section .stubs, "ax", @progbits
	.set vector, 0
	.rept 32
	.balign STUB_SIZE
	.if vector == 13
	jmp general_protection
	.elseif vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	pushq $vector
	jmp fault
	.else
	pushq $0
	pushq $vector
	jmp fault
	.endif
	.set vector, vector + 1
	.endr
	.rept VECTORS - 32
	.balign STUB_SIZE
	incl irq_counts + (vector - 32) * 4
	.if vector != VECTOR_SPURIOUS
	movl $0, LAPIC_EOI_ALIAS
	.endif
	iretq
	.set vector, vector + 1
	.endr
	.balign STUB_SIZE

	.text
general_protection: /* error code, RIP, CS, RFLAGS, RSP, SS */
	cmpl $gate_wait, 8(%rsp)
	jne 1f
	cmpl (%rdi), %esi
	jne 2f
	sti
	hlt
	cli
2:	incq 8(%rsp)
	addq $8, %rsp
	iretq
1:	cmpl $gate_call, 8(%rsp)
	jne 3f
	call *%rdi
	jmp 2b
3:	pushq $13

fault: /* vector, error code, RIP, … */
	popq fault_vector
	popq fault_error
	popq fault_rip
	movq %cr2, %rax
	movq %rax, fault_address
	movl $fault_frame, %esp
	iretq

/* void gate_wait(const volatile uint32_t *counter, uint32_t seen): halts for an interrupt unless *counter has moved
 * on from `seen`. The comparison is made with interrupts off, so no wake-up is lost. */
	.globl gate_wait
gate_wait:
	hlt
	ret

/* void gate_call(void (*function)(void)): runs a function in ring 0. */
	.globl gate_call
gate_call:
	hlt
	ret

	.section .bss, "aw", @nobits
	.balign 8
	.globl irq_counts, fault_vector, fault_error, fault_rip, fault_address
irq_counts:
	.skip (VECTORS - 32) * 4
fault_vector:
	.skip 8
fault_error:
	.skip 8
fault_rip:
	.skip 8
fault_address:
	.skip 8

	.section .note.GNU-stack, "", @progbits
