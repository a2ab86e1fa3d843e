/* SPDX-License-Identifier: BSD-2-Clause */
/* A 32-bit program without a C library: pause(), over and over. */
	.globl _start
_start:
	movl $29, %eax
	int $0x80
	jmp _start
	.section .note.GNU-stack, "", @progbits
