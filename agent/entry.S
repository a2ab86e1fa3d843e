/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where control enters the agent: the injected call, the signal handlers, the way back from them,
 * and the stubs of the return instances.
 */
	.text

	.macro func name
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	.endm

/*
 * agent_entry(reason, fd, withheld, back): called by the injection with a stack of its own. Ends in
 * a SIGURG to itself, with the result in rbx; the injector takes over from there. When that one is
 * gone the signal is ignored, as it is by default, and the way back comes next.
 *
 * Why that signal: a break trap would be death where there is nobody to take it.
 */
	.set sigurg, 23
	.set sig_unblock_how, 1
	.p2align 4
	func agent_entry
	cld
	andq	$-16, %rsp
	pushq	$1 << (sigurg - 1)
	pushq	%rcx
	movq	%rsp, agent_entry_sp(%rip)
	call	agent_enter
	movq	%rax, %rbx
1:	movq	$0, agent_entry_sp(%rip)
	movl	$14, %eax		/* rt_sigprocmask */
	movl	$sig_unblock_how, %edi
	leaq	8(%rsp), %rsi
	xorl	%edx, %edx
	movl	$8, %r10d
	syscall
	movl	$39, %eax		/* getpid */
	syscall
	movl	%eax, %r12d
	movl	$186, %eax		/* gettid */
	syscall
	movl	%eax, %esi
	movl	%r12d, %edi
	movl	$sigurg, %edx
	movl	$234, %eax		/* tgkill */
	syscall
	cmpq	$0, (%rsp)
	je	2f
	jmp	*(%rsp)
2:	ud2
	.size agent_entry, .-agent_entry

/* The fault handler sends an injected call that went wrong here: back with -EFAULT. */
	func agent_entry_abort
	movq	agent_entry_sp(%rip), %rsp
	movabsq	$0x1fffffff2, %rbx	/* -EFAULT, and the agent stays */
	jmp	1b

/*
 * Signal handlers. The kernel clears DF but leaves the application's AC flag, which would turn our
 * unaligned accesses into faults. What it leaves is what it saved: to look there is cheaper than to
 * write the flags each time.
 */
	.set uc_flags, 176
	.set flag_ac, 0x40000

	.macro handler name, to
	.p2align 4
	func \name
	testl	$flag_ac, uc_flags(%rdx)
	jz	\to
	pushfq
	andl	$~flag_ac, (%rsp)
	popfq
	jmp	\to
	.size \name, .-\name
	.endm

	handler agent_trap_entry, agent_on_trap
	handler agent_fault_entry, agent_on_fault
	handler agent_call_entry, agent_on_call

/* Goes on with the sleep that a signal has interrupted, as if it had none (call.c). */
	.p2align 4
	func agent_restart_syscall
	movl	$219, %eax
	syscall
	ret
	.size agent_restart_syscall, .-agent_restart_syscall

/* agent_call_on(top, fn, arg): fn(arg) on another stack */
	.p2align 4
	func agent_call_on
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	call	*%rsi
	movq	%rbp, %rsp
	popq	%rbp
	ret
	.size agent_call_on, .-agent_call_on

/* Unwinders and debuggers know a signal frame by exactly these instructions. */
	.p2align 4
	nop
	func agent_restorer
	movq	$15, %rax
	syscall
	.size agent_restorer, .-agent_restorer

/* agent_hand_on(frame, handler, sig, info, uc): the frame is one as the kernel makes it. */
	.p2align 4
	func agent_hand_on
	movq	%rdi, %rsp
	movq	%rsi, %r11
	movl	%edx, %edi
	movq	%rcx, %rsi
	movq	%r8, %rdx
	xorl	%eax, %eax
	jmp	*%r11
	.size agent_hand_on, .-agent_hand_on

/*
 * Stubs of return instances: 32 pages; the first quad of each is the distance to the page's part of
 * agent_ret_saved[]. Unwind rule of all of them: the return address is the quad at that distance
 * from the stub, the frame is empty. It starts one byte early, because unwinders look up the byte
 * before a return address; that byte belongs to the first quad.
 */
	.section .text.stubs, "ax", @progbits
	.p2align 12
	.globl	agent_ret_stubs
	.hidden	agent_ret_stubs
agent_ret_stubs:
	.cfi_startproc
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	/*
	 * DW_CFA_expression r16: breg16 0; dup; const2u 0xfff; not; and; deref; plus.
	 * A saved address of the register is what DW_CFA_expression computes.
	 */
	.cfi_escape 0x10, 16, 10, 0x80, 0, 0x12, 0x0a, 0xff, 0x0f, 0x20, 0x1a, 0x06, 0x22
	.set page, 0
	.rept 32
	.quad	agent_ret_saved + page - .
	.rept 511
	int3
	.byte 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x90
	.endr
	.set page, page + 4096
	.endr
	.cfi_endproc
	.globl	agent_ret_stubs_end
	.hidden	agent_ret_stubs_end
agent_ret_stubs_end:

	.section .bss
	.p2align 3
	.globl	agent_entry_sp
	.hidden	agent_entry_sp
agent_entry_sp:
	.zero 8

	.section .note.GNU-stack, "", @progbits
