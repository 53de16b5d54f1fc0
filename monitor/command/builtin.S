/* The built-in guest's ELF image, as bytes: `kernel: builtin`. Copied into a sealed memfd, never run here. */
	.section .rodata
	.globl builtin_guest, builtin_guest_size
	.balign 16
builtin_guest:
	.incbin BUILTIN_GUEST
builtin_guest_end:
	.balign 8
builtin_guest_size:
	.quad builtin_guest_end - builtin_guest
	.globl builtin_guest_hash
builtin_guest_hash: /* its SHA-256: hashing at each launch would cost what the programs' start costs */
#include BUILTIN_HASH
	.section .note.GNU-stack, "", @progbits
