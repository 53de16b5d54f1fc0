/* The built-in guest's ELF image, as bytes: `kernel: builtin`. Copied into a sealed memfd, never run here. */
	.section .rodata
	.globl builtin_guest, builtin_guest_end
	.balign 16
builtin_guest:
	.incbin BUILTIN_GUEST
builtin_guest_end:
	.section .note.GNU-stack, "", @progbits
