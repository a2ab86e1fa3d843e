/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that may fault. Everything between osl_fault_begin and osl_fault_end is a leaf that
 * never moves the stack pointer, so that one fixup serves all of it: osl_fault_fixup() continues at
 * osl_fault_return, which returns -EFAULT to the caller. Keep it that way: no push, no call.
 */
	.section .text.hot, "ax", @progbits
	.hidden	osl_fault_begin, osl_fault_end, osl_fault_return
	.globl	osl_fault_begin, osl_fault_end, osl_fault_return

	.macro	FUNC name
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	.endm

	.balign	64
osl_fault_begin:
	.cfi_startproc

/*
 * int osl_read(void *dst, const void *src, size_t len)
 * int osl_write(void *dst, const void *src, size_t len)
 */
FUNC osl_read
FUNC osl_write
	cmp	$8, %rdx
	jne	1f
	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	xor	%eax, %eax
	ret
1:	cmp	$4, %rdx
	jne	8f
	mov	(%rsi), %eax
	mov	%eax, (%rdi)
	xor	%eax, %eax
	ret
8:	cmp	$8, %rdx
	jb	5f
	cmp	$16, %rdx
	ja	2f
	mov	(%rsi), %rax
	mov	-8(%rsi,%rdx), %rcx
	mov	%rax, (%rdi)
	mov	%rcx, -8(%rdi,%rdx)
	xor	%eax, %eax
	ret
2:	cmp	$256, %rdx
	jae	4f
	lea	-16(%rdx), %r8
	xor	%ecx, %ecx
3:	mov	(%rsi,%rcx), %rax	/* 16 bytes at a time, the last ones perhaps twice */
	mov	8(%rsi,%rcx), %r9
	mov	%rax, (%rdi,%rcx)
	mov	%r9, 8(%rdi,%rcx)
	add	$16, %rcx
	cmp	%r8, %rcx
	jb	3b
	mov	(%rsi,%r8), %rax
	mov	8(%rsi,%r8), %r9
	mov	%rax, (%rdi,%r8)
	mov	%r9, 8(%rdi,%r8)
	xor	%eax, %eax
	ret
4:	mov	%rdx, %rcx
	cld
	rep movsb
	xor	%eax, %eax
	ret
5:	cmp	$4, %edx
	jb	6f
	mov	(%rsi), %eax
	mov	-4(%rsi,%rdx), %ecx
	mov	%eax, (%rdi)
	mov	%ecx, -4(%rdi,%rdx)
	xor	%eax, %eax
	ret
6:	test	%edx, %edx
	jz	7f
	movzbl	(%rsi), %eax
	mov	%al, (%rdi)
	test	$2, %dl
	jz	7f
	movzwl	-2(%rsi,%rdx), %eax
	mov	%ax, -2(%rdi,%rdx)
7:	xor	%eax, %eax
	ret
	.size	osl_read, . - osl_read
	.size	osl_write, . - osl_write

/* int osl_zero(void *dst, size_t len) */
	.balign	16
FUNC osl_zero
	mov	%rsi, %rcx
	xor	%eax, %eax
	cld
	rep stosb
	ret
	.size	osl_zero, . - osl_zero

/* int osl_exchange(u64 *at, u64 old, u64 new) */
	.balign	16
FUNC osl_exchange
	mov	%rsi, %rax
	lock cmpxchg	%rdx, (%rdi)
	setne	%al
	movzbl	%al, %eax
	ret
	.size	osl_exchange, . - osl_exchange

/*
 * s64 osl_fault_copy_str(char *dst, const char *src, size_t len)
 * Eight bytes at a time while they hold no NUL and do not leave the page.
 */
	.balign	16
FUNC osl_fault_copy_str
	xor	%eax, %eax
	movabs	$0x0101010101010101, %r8
	movabs	$0x8080808080808080, %r9
1:	lea	8(%rax), %rcx
	cmp	%rdx, %rcx
	ja	2f
	lea	(%rsi,%rax), %rcx
	and	$4095, %ecx
	cmp	$4088, %ecx
	ja	2f
	mov	(%rsi,%rax), %rcx
	mov	%rcx, %r10
	mov	%rcx, %r11
	sub	%r8, %r10
	not	%r11
	and	%r11, %r10
	test	%r9, %r10
	jnz	2f
	mov	%rcx, (%rdi,%rax)
	add	$8, %rax
	jmp	1b
2:	cmp	%rdx, %rax
	jae	3f
	movzbl	(%rsi,%rax), %ecx
	mov	%cl, (%rdi,%rax)
	inc	%rax
	test	%cl, %cl
	jnz	1b
3:	ret
	.size	osl_fault_copy_str, . - osl_fault_copy_str

/* u64 osl_fault_self_pointer(void) */
	.balign	16
FUNC osl_fault_self_pointer
	mov	%fs:0, %rax
	ret
	.size	osl_fault_self_pointer, . - osl_fault_self_pointer

/* u64 osl_fault_cycles(void) */
	.balign	16
FUNC osl_fault_cycles
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	ret
	.size	osl_fault_cycles, . - osl_fault_cycles

/* s64 osl_fault_cpu(void), which costs no registers but these */
	.hidden	osl_cpu_at
	.balign	16
FUNC osl_fault_cpu
	mov	osl_cpu_at(%rip), %rdi
	test	%rdi, %rdi
	jz	osl_fault_return
	mov	%fs:(%rdi), %eax
	ret
	.size	osl_fault_cpu, . - osl_fault_cpu

/* osl_touch()'s access; the handler says what went wrong in rcx, r8 and r9 */
	.hidden	osl_fault_touch, osl_fault_touch_end
	.globl	osl_fault_touch, osl_fault_touch_end
	.balign	16
osl_fault_touch:
	test	%esi, %esi
	jnz	1f
	movzbl	(%rdi), %eax
	xor	%eax, %eax
	ret
1:	lock orb $0, (%rdi)
	xor	%eax, %eax
	ret
osl_fault_touch_end:

osl_fault_end:

osl_fault_return:
	mov	$-14, %rax
	ret

/* int osl_touch(u64 addr, bool write, struct osl_fault *out) */
	.balign	16
FUNC osl_touch
	xor	%ecx, %ecx
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	call	osl_fault_touch
	test	%eax, %eax
	jz	1f
	mov	%rcx, (%rdx)
	mov	%r8, 8(%rdx)
	mov	%r9, 16(%rdx)
1:	ret
	.size	osl_touch, . - osl_touch

/* u32 osl_hw_cpu_node(void) */
	.balign	16
FUNC osl_hw_cpu_node
	rdpid	%rax
	ret
	.size	osl_hw_cpu_node, . - osl_hw_cpu_node

	.cfi_endproc
	.section .note.GNU-stack, "", @progbits
