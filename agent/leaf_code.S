/* SPDX-License-Identifier: BSD-2-Clause */
/* Of leaves (leaf.c), what is no C. */
	.text

	.set leaf_claims, 128		/* AGENT_LEAF_LANES */
	.set lane_shift, 15
	.set window_below, 3 << 16	/* of 1 << ARCH_LEAF_WINDOW */
	.set agent_mark, 112
	.set fork_known, 2
	.set entry_low, 8
	.set entry_lane, 16

/*
 * A leaf's thread has found that the entry at rcx is not its own; rax is its thread pointer. What it
 * has in rax, rcx and the flags is below the stack pointer, and rdx comes there. When the entry is
 * free it is the thread's from here on. Then the hit is the agent's.
 */
	.p2align 4
	.globl	agent_leaf_claim
	.hidden	agent_leaf_claim
	.type	agent_leaf_claim, @function
agent_leaf_claim:
	movq	%rdx, -40(%rsp)
	cmpq	$0, (%rcx)
	jne	1f
	movq	agent + agent_mark(%rip), %rdx
	cmpl	$fork_known, (%rdx)
	jne	1f
	cmpq	$0, agent_leaf_lanes(%rip)
	je	1f
	cmpl	$leaf_claims, agent_leaf_next(%rip)
	jae	1f
	leaq	1(%rax), %rdx
	xorl	%eax, %eax
	lock cmpxchgq %rdx, (%rcx)
	jne	1f
	movq	agent_leaf_used(%rip), %rax
	lock incq (%rax)			/* before a lane is taken: none is ever above */
	movl	$1, %eax
	lock xaddl %eax, agent_leaf_next(%rip)
	cmpl	$leaf_claims, %eax
	jae	1f
	movq	agent_leaf_lanes(%rip), %rdx
	testq	%rdx, %rdx			/* since it was asked they may be to be given back */
	jz	1f
	shlq	$lane_shift, %rax
	addq	%rdx, %rax
	movq	%rax, entry_lane(%rcx)
	leaq	-window_below(%rsp), %rax
	movq	%rax, entry_low(%rcx)
	movq	(%rcx), %rdx
	decq	%rdx
	movq	%rdx, (%rcx)
1:	movl	-24(%rsp), %eax
	addb	$0x7f, %al
	sahf
	movq	-40(%rsp), %rdx
	movq	-32(%rsp), %rcx
	movq	-8(%rsp), %rax
	jmp	agent_jump_entry
	.globl	agent_leaf_claim_end
	.hidden	agent_leaf_claim_end
agent_leaf_claim_end:
	.size agent_leaf_claim, .-agent_leaf_claim

/*
 * agent_leaf_finish(uc, depth): run what is left of the leaf in which @uc is, on a copy of its
 * frame, which is @depth bytes. The registers of @uc become what they are then, but for where it
 * and its stack are. Pointers into the frame lead to the thread's own.
 */
	.set uc_r8, 40
	.set uc_r12, 72
	.set uc_di, 104
	.set uc_si, 112
	.set uc_bp, 120
	.set uc_bx, 128
	.set uc_dx, 136
	.set uc_ax, 144
	.set uc_cx, 152
	.set uc_sp, 160
	.set uc_ip, 168
	.set uc_flags, 176
	.set flags_of_results, 0x8d5
	.p2align 4
	.globl	agent_leaf_finish
	.hidden	agent_leaf_finish
	.type	agent_leaf_finish, @function
agent_leaf_finish:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi
	leaq	2f(%rip), %rax
	pushq	%rax
	movq	uc_sp(%rdi), %rdx
	subq	%rsi, %rsp
	movq	%rsi, %rcx
1:	movq	-8(%rdx,%rcx), %rax
	movq	%rax, -8(%rsp,%rcx)
	subq	$8, %rcx
	jnz	1b
	movq	uc_flags(%rdi), %rax
	andl	$flags_of_results, %eax
	pushq	%rax
	popfq
	movq	uc_ip(%rdi), %rax
	movq	%rax, -16(%rsp)
	movq	uc_r8(%rdi), %r8
	movq	uc_r8 + 8(%rdi), %r9
	movq	uc_r8 + 16(%rdi), %r10
	movq	uc_r8 + 24(%rdi), %r11
	movq	uc_r12(%rdi), %r12
	movq	uc_r12 + 8(%rdi), %r13
	movq	uc_r12 + 16(%rdi), %r14
	movq	uc_r12 + 24(%rdi), %r15
	movq	uc_si(%rdi), %rsi
	movq	uc_bp(%rdi), %rbp
	movq	uc_bx(%rdi), %rbx
	movq	uc_dx(%rdi), %rdx
	movq	uc_ax(%rdi), %rax
	movq	uc_cx(%rdi), %rcx
	movq	uc_di(%rdi), %rdi
	jmp	*-16(%rsp)
	/* it has returned */
2:	movq	%rax, -16(%rsp)
	movq	(%rsp), %rax
	movq	%rdi, uc_di(%rax)
	movq	%rcx, uc_cx(%rax)
	movq	%rdx, uc_dx(%rax)
	movq	%rbx, uc_bx(%rax)
	movq	%rbp, uc_bp(%rax)
	movq	%rsi, uc_si(%rax)
	movq	%r8, uc_r8(%rax)
	movq	%r9, uc_r8 + 8(%rax)
	movq	%r10, uc_r8 + 16(%rax)
	movq	%r11, uc_r8 + 24(%rax)
	movq	%r12, uc_r12(%rax)
	movq	%r13, uc_r12 + 8(%rax)
	movq	%r14, uc_r12 + 16(%rax)
	movq	%r15, uc_r12 + 24(%rax)
	movq	-16(%rsp), %rcx
	movq	%rcx, uc_ax(%rax)
	pushfq
	popq	%rcx
	andl	$flags_of_results, %ecx
	andq	$~flags_of_results, uc_flags(%rax)
	orq	%rcx, uc_flags(%rax)
	popq	%rdi
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size agent_leaf_finish, .-agent_leaf_finish

	.section .note.GNU-stack, "", @progbits
