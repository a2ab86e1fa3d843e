/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * u64 arch_prog_enter(arch_prog_fn fn, void *ctx, struct ebpf_run *run)
 *
 * Calls fn(ctx, run). run->recover[0] and [1] receive the stack pointer and the address from which
 * the call returns as if fn had returned: arch_prog_recover() puts a faulting thread there. All
 * callee-saved registers are on the stack above that point, so nothing fn did to them matters.
 */
#define RUN_RECOVER 88

	.section .text.hot, "ax", @progbits
	.globl arch_prog_enter
	.hidden arch_prog_enter
	.type arch_prog_enter, @function
arch_prog_enter:
	.cfi_startproc
	push %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	push %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	push %r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	push %r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	push %r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	sub $8, %rsp
	.cfi_adjust_cfa_offset 8
	mov %rdi, %rax
	mov %rsi, %rdi
	mov %rdx, %rsi
	lea .Lback(%rip), %rcx
	mov %rsp, RUN_RECOVER(%rsi)
	mov %rcx, RUN_RECOVER + 8(%rsi)
	call *%rax
.Lback:
	add $8, %rsp
	.cfi_adjust_cfa_offset -8
	pop %r15
	.cfi_adjust_cfa_offset -8
	pop %r14
	.cfi_adjust_cfa_offset -8
	pop %r13
	.cfi_adjust_cfa_offset -8
	pop %r12
	.cfi_adjust_cfa_offset -8
	pop %rbx
	.cfi_adjust_cfa_offset -8
	pop %rbp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size arch_prog_enter, . - arch_prog_enter

/*
 * void arch_prog_leave(struct ebpf_run *run)
 *
 * From anywhere inside the call: it returns 0 now.
 */
	.globl arch_prog_leave
	.hidden arch_prog_leave
	.type arch_prog_leave, @function
arch_prog_leave:
	.cfi_startproc
	xor %eax, %eax
	mov RUN_RECOVER + 8(%rdi), %rcx
	mov RUN_RECOVER(%rdi), %rsp
	.cfi_def_cfa rsp, 64
	jmp *%rcx
	.cfi_endproc
	.size arch_prog_leave, . - arch_prog_leave

	.section .note.GNU-stack, "", @progbits
