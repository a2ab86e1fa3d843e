/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where control enters the agent: the injected call, the signal handlers, the way back from them,
 * and the stubs of the return instances.
 *
 * To unwinders what is here is the frame of a signal: what it leads to is not a call but the
 * instruction that was interrupted, at a site; the stub is passed over. Registers are said to be
 * where the hit's frame has them, also those that a function may change. Only the stack ends with
 * the function that a program calls (callee.c).
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
	.cfi_startproc
	.cfi_undefined rip
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
	.cfi_endproc

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
	.cfi_startproc
	testl	$flag_ac, uc_flags(%rdx)
	jz	\to
	pushfq
	.cfi_adjust_cfa_offset 8
	andl	$~flag_ac, (%rsp)
	popfq
	.cfi_adjust_cfa_offset -8
	jmp	\to
	.cfi_endproc
	.size \name, .-\name
	.endm

	handler agent_trap_entry, agent_on_trap
	handler agent_fault_entry, agent_on_fault
	handler agent_call_entry, agent_on_call
	handler agent_signal_entry, agent_on_signal	/* in place of the application's */

/* Goes on with the sleep that a signal has interrupted, as if it had none (call.c). */
	.p2align 4
	func agent_restart_syscall
	.cfi_startproc
	movl	$219, %eax
	syscall
	ret
	.cfi_endproc
	.size agent_restart_syscall, .-agent_restart_syscall

/* A return to a stub that is nobody's ends here: it is nobody's break. */
	.p2align 4
	func agent_ret_nowhere
	int3
	ud2
	.size agent_ret_nowhere, .-agent_ret_nowhere

/* agent_call_on(top, fn, arg): fn(arg) on another stack */
	.p2align 4
	func agent_call_on
	.cfi_startproc
	.cfi_signal_frame		/* the stacks may lie in any order */
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	call	*%rsi
	movq	%rbp, %rsp
	popq	%rbp
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	ret
	.cfi_endproc
	.size agent_call_on, .-agent_call_on

/* A program is executed, by exec.c, which goes on when that has failed. */
	.p2align 4
	func agent_exec
	syscall
	func agent_exec_back
	int3
	ud2
	.size agent_exec, .-agent_exec

/* Unwinders and debuggers know a signal frame by exactly these instructions. */
	.p2align 4
	nop
	func agent_restorer
	movq	$15, %rax
	syscall
	.size agent_restorer, .-agent_restorer

/* Faults of all kinds, 16 bytes each: SIGTRAP, SIGSEGV, SIGBUS (a stack where none can be), SIGFPE, SIGILL. */
	.p2align 4
	func agent_deaths
	int3
	.p2align 4
	hlt
	.p2align 4
	movabsq	$1 << 63, %rsp
	pushq	%rax
	.p2align 4
	xorl	%ecx, %ecx
	divl	%ecx
	.p2align 4
	ud2
	.size agent_deaths, .-agent_deaths

/* agent_hand_on(frame, handler, sig, info, uc): the frame is one as the kernel makes it. */
	.p2align 4
	func agent_hand_on
	.cfi_startproc
	.cfi_def_cfa rdi, 8
	movq	%rdi, %rsp
	.cfi_def_cfa rsp, 8
	movq	%rsi, %r11
	movl	%edx, %edi
	movq	%rcx, %rsi
	movq	%r8, %rdx
	xorl	%eax, %eax
	jmp	*%r11
	.cfi_endproc
	.size agent_hand_on, .-agent_hand_on

/*
 * What goes back to the registers at rdi, the kernel's: DW_CFA_expression, register, breg5 + where.
 * Two bytes of seven bits each.
 */
	.macro cfi_at reg, low, high
	.cfi_escape 0x10, \reg, 3, 0x75, 0x80 | \low, \high
	.endm

	.macro cfi_goes_back
	.cfi_signal_frame
	.cfi_escape 0x0f, 4, 0x75, 0xa0, 0x01, 0x06	/* CFA: breg5 + 160; deref */
	cfi_at	8, 40, 0
	cfi_at	9, 48, 0
	cfi_at	10, 56, 0
	cfi_at	11, 64, 0
	cfi_at	12, 72, 0
	cfi_at	13, 80, 0
	cfi_at	14, 88, 0
	cfi_at	15, 96, 0
	cfi_at	5, 104, 0
	cfi_at	4, 112, 0
	cfi_at	6, 120, 0
	cfi_at	3, 0, 1
	cfi_at	1, 8, 1
	cfi_at	0, 16, 1
	cfi_at	2, 24, 1
	cfi_at	16, 40, 1
	.endm

/* agent_sigreturn(uc) */
	.p2align 4
	func agent_sigreturn
	.cfi_startproc
	cfi_goes_back
	movq	%rdi, %rsp
	movl	$15, %eax
	syscall
	.cfi_endproc
	.size agent_sigreturn, .-agent_sigreturn

/*
 * agent_again(uc, to): as agent_sigreturn(), but the kernel learns nothing of it; the mask is set,
 * and all that a handler that comes in here has to find is above @to.
 */
	.set uc_r8, 40
	.set uc_fpstate, 224
	.set fp_magic_at, 464
	.set fp_features_at, 472
	.set fp_magic, 0x46505853
	.p2align 4
	func agent_again
	.cfi_startproc
	cfi_goes_back
	movq	%rsi, %rsp
	movq	uc_fpstate(%rdi), %rsi
	cmpl	$fp_magic, fp_magic_at(%rsi)
	jne	1f
	movl	fp_features_at(%rsi), %eax	/* what has room there; the CPU may read all of it */
	movl	fp_features_at + 4(%rsi), %edx
	xrstor64 (%rsi)
	jmp	2f
1:	fxrstor64 (%rsi)
2:	movq	uc_r8(%rdi), %r8
	movq	uc_r8 + 8(%rdi), %r9
	movq	uc_r8 + 16(%rdi), %r10
	movq	uc_r8 + 24(%rdi), %r11
	movq	uc_r8 + 32(%rdi), %r12
	movq	uc_r8 + 40(%rdi), %r13
	movq	uc_r8 + 48(%rdi), %r14
	movq	uc_r8 + 56(%rdi), %r15
	movq	uc_r8 + 72(%rdi), %rsi
	movq	uc_r8 + 80(%rdi), %rbp
	movq	uc_r8 + 88(%rdi), %rbx
	movq	uc_r8 + 96(%rdi), %rdx
	movq	uc_r8 + 104(%rdi), %rax
	movq	uc_r8 + 112(%rdi), %rcx
	movq	uc_r8 + 64(%rdi), %rdi
	.irp	reg, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15
	.cfi_same_value \reg
	.endr
	.cfi_escape 0x0f, 3, 0x77, 24, 0x06		/* CFA: breg7 + 24; deref */
	.cfi_escape 0x10, 16, 2, 0x77, 0
	iretq
	.cfi_endproc
	.size agent_again, .-agent_again

/* What is executed in no handler of ours: up to agent_jump_code_end. */
	.p2align 4
	.globl	agent_jump_code
	.hidden	agent_jump_code
agent_jump_code:
/* agent_trap_self(fn, arg): the handler takes the registers for what they are here. */
	.p2align 4
	func agent_trap_self
	.cfi_startproc
	xorl	%eax, %eax		/* a trap that isn't told (trap.c) has done nothing */
	.globl	agent_trap_self_break
	.hidden	agent_trap_self_break
agent_trap_self_break:
	int3
	ud2				/* trap_swallowed() */
	ret
	.cfi_endproc
	.size agent_trap_self, .-agent_trap_self

/* The signal of the hit with the frame in rsi comes in here. */
	.p2align 4
	func agent_let_in
	.cfi_startproc
	int3
	ud2
	ret
	.cfi_endproc
	.size agent_let_in, .-agent_let_in

/*
 * Where the stubs of jumps call (arch_jump_stub()): on the stack are the return address, the
 * distance from there to the site, the red zone. What follows becomes a struct jump_frame. Up to
 * the last of the *steps* nothing but the stack has changed, so a signal can put the thread back to
 * the site; the table says how. Flags are written back without popf, which is slow, unless DF or AC
 * was set. A C function leaves rbx, rbp and r12 to r15 as they were.
 *
 * A hit that is like the one before on this stack (lean.c) is served here: all that may have changed
 * is looked at once, and where it has, C goes on. rbp is the frame, rdi the thread's place, which is
 * entered first, rsi the stack of ours. So much is asked that branches are laid out for the answers
 * that lead straight through.
 */
	.set stack_origin, 32256	/* of struct agent_stack: lean.c */
	.set stack_code, stack_origin + 8
	.set stack_a, stack_origin + 16
	.set stack_lane, stack_origin + 24
	.set stack_more, stack_origin + 60
	.set stack_changes, stack_origin + 80
	.set stack_link, stack_origin + 88
	.set stack_at, stack_origin + 96
	.set stack_counter, stack_origin + 104
	.set stack_key, stack_origin + 112
	.set stack_alternate, stack_origin + 120
	.set stack_run, stack_origin + 160
	.set run_ctx, stack_run + 40
	.set run_recover, stack_run + 88
	.set run_aborted, stack_run + 152	/* and nresv */
	.set run_may_goto, stack_run + 224
	.set run_lock, stack_run + 232
	.set run_drain, stack_run + 256
	.set max_loops, 0x800000
	.set alternate_at, 8
	.set alternate_size, 16
	.set active_frame, 8
	.set active_link, 24
	.set active_ready, 48
	.set active_shift, 7			/* of ACTIVE_SIZE */
	.set active_slots, 1024
	.set agent_changes, 56
	.set agent_life, 136
	.set life_disturbed, 1 << 32 | 0x40000000	/* statistics of run times, owner died */
	.set stack_needed, 4096 - 128	/* a whole page would look like what was just stored */
	.set frame_deferred, 8
	.set frame_stack, 24
	.set frame_regs, 32
	.set frame_mark, 0x5eed5eed
	.set regs_bp, frame_regs + 32
	.set regs_r11, frame_regs + 48
	.set regs_ip, frame_regs + 128
	.set regs_cs, frame_regs + 136
	.set regs_flags, frame_regs + 144
	.set regs_sp, frame_regs + 152
	.set regs_ss, frame_regs + 160
	.set frame_ret, frame_regs + 168
	.set frame_distance, frame_ret + 8
	.set frame_size, frame_ret + 16
	.set red_zone, 128
	.set cfa_of_frame, frame_size + red_zone	/* its site's stack pointer is as far above */
	.set stub_next, 4		/* ARCH_STUB_BACK less ARCH_STUB_HEAD */
	.set user_cs, 0x33
	.set user_ss, 0x2b
	.set flags_odd, 0x40400		/* AC, DF */
	.set hash_k1, 0x9e3779b97f4a7c15	/* base/hash.h */
	.set vectors_there, 128		/* of what lies below the frame: JUMP_VECTORS */
	.set vectors_size, 144

	.section .rodata.steps, "a", @progbits
	.p2align 3
	.globl	agent_jump_steps
	.hidden	agent_jump_steps
agent_jump_steps:
	.text

	.set depth, 0
	.macro step grows
.Lstep\@:
	.pushsection .rodata.steps, "a", @progbits
	.long	.Lstep\@ - agent_jump_entry, depth
	.popsection
	.set depth, depth + \grows
	.endm

	.macro push_step what
	step	8
	pushq	\what
	.cfi_adjust_cfa_offset 8
	.endm

	.macro push_reg reg
	push_step %\reg
	.cfi_rel_offset \reg, 0
	.endm

/* The frame of either of them, whose flags are written back already: the registers, up to .ret */
	.macro get reg, at
	movq	\at(%rsp), %\reg
	.cfi_restore \reg
	.endm

	.macro restore
	.cfi_remember_state
	.cfi_def_cfa rsp, cfa_of_frame
	.irp reg, rbx, r12, r13, r14, r15
	.cfi_restore \reg
	.endr
	get	rbp, regs_bp
	get	r11, regs_r11
	get	r10, regs_r11 + 8
	get	r9, regs_r11 + 16
	get	r8, regs_r11 + 24
	get	rax, regs_r11 + 32
	get	rcx, regs_r11 + 40
	get	rdx, regs_r11 + 48
	get	rsi, regs_r11 + 56
	get	rdi, regs_r11 + 64
	leaq	frame_ret(%rsp), %rsp
	.cfi_adjust_cfa_offset -frame_ret
	.endm

	/* behind what ends a way */
	.macro in_hit
	.cfi_restore_state
	.endm

	/* fn(frame, rdi) with the registers that pass arguments below the frame, if some program wants
	   to know them */
	.macro call_on_jump fn
	movq	%rbp, %rsp
	andq	$-16, %rsp
	movzbl	agent_vectors(%rip), %eax
	leaq	-vectors_size(%rsp), %rsp
	movq	%rax, vectors_there(%rsp)
	testl	%eax, %eax
	jz	.Lnone\@
	call	12f
.Lnone\@:
	movq	%rdi, %rsi
	movq	%rbp, %rdi
	call	\fn
	.endm

	/* A site's stub is returned to, and goes where is said here (arch_jump_stub()). */
	.macro stub_goes_on
	movq	frame_ret(%rsp), %rcx
	addq	$stub_next, %rcx
	movq	%rcx, regs_sp(%rsp)
	.endm

	.macro write_flags
	movzbl	regs_flags + 1(%rsp), %ecx
	movb	regs_flags(%rsp), %ah
	andl	$8, %ecx
	addb	$0x78, %cl		/* OF */
	sahf				/* the others */
	.endm

/*
 * Where the stubs of return instances call that are no breaks. The word they push is where the
 * function's return address was; it says whose return this is (ret.c), and stays until that is
 * known, as does all that a signal would leave alone. Then it is as if a site's stub had called, at
 * a distance that none has; agent_on_jump_back() puts the true return address where it was, for the
 * jump behind the stub's call.
 */
	.set ret_distance, -5
	.set ret_distance_paired, -4	/* none has it either */
	.p2align 4
	func agent_ret_entry
	.cfi_startproc
	.cfi_signal_frame
	/* what leads here is the stub: DW_CFA_val_expression r16: lit8; minus; deref; lit5; minus */
	.cfi_escape 0x16, 16, 5, 0x38, 0x1c, 0x06, 0x35, 0x1c
	leaq	8 - red_zone(%rsp), %rsp
	.cfi_def_cfa_offset red_zone
	.globl	agent_ret_step1
	.hidden	agent_ret_step1
agent_ret_step1:
	pushq	$ret_distance
	.cfi_adjust_cfa_offset 8
	.globl	agent_ret_step2
	.hidden	agent_ret_step2
agent_ret_step2:
	pushq	red_zone(%rsp)
	.cfi_adjust_cfa_offset 8
	.globl	agent_ret_step3
	.hidden	agent_ret_step3
agent_ret_step3:
	jmp	agent_jump_entry
	.cfi_endproc
	.size agent_ret_entry, .-agent_ret_entry

/* The function that was left goes on in its caller, where the CPU expects it. */
	.p2align 4
	.cfi_startproc
	.cfi_def_cfa_offset red_zone
	nop				/* unwinders look up the byte before */
	func agent_ret_home
	leaq	red_zone - 8(%rsp), %rsp
	.cfi_def_cfa_offset 8
	.globl	agent_ret_home2
	.hidden	agent_ret_home2
agent_ret_home2:
	ret
	.cfi_endproc
	.size agent_ret_home, .-agent_ret_home

	.p2align 6
	func agent_jump_entry
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa rsp, 16 + red_zone
	/* the site, the sum of what was pushed: const1u; minus; dup; deref; swap; plus_uconst; deref; plus */
	.cfi_escape 0x16, 16, 10, 0x08, 16 + red_zone, 0x1c, 0x12, 0x06, 0x16, 0x23, 8, 0x06, 0x22
	push_step $user_ss
	push_step -stack_needed(%rsp)	/* faults here or nowhere (fault.c); the place of sp */
	step	8
	pushfq
	.cfi_adjust_cfa_offset 8
	push_step $user_cs
	push_step $0			/* the place of ip */
	push_step $-1			/* orig_ax */
	push_reg rdi
	push_reg rsi
	push_reg rdx
	push_reg rcx
	push_reg rax
	push_reg r8
	push_reg r9
	push_reg r10
	push_reg r11
	push_reg rbx
	push_reg rbp
	push_reg r12
	push_reg r13
	push_reg r14
	push_reg r15
	step	16			/* what is not set has no meaning yet */
	leaq	-16(%rsp), %rsp
	.cfi_adjust_cfa_offset 16
	push_step $0
	step	0
	leaq	frame_mark - 8(%rsp), %rbp
	.globl	agent_jump_last_step
	.hidden	agent_jump_last_step
agent_jump_last_step:
	push_step %rbp
	movq	frame_distance(%rsp), %rax
	movq	frame_ret(%rsp), %rcx
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	addq	%rax, %rcx
	movq	%rcx, regs_ip(%rsp)
	.cfi_offset rip, regs_ip - cfa_of_frame
	leaq	frame_size + red_zone(%rsp), %rdx
	movq	%rdx, regs_sp(%rsp)
	testl	$flags_odd, regs_flags(%rsp)
	jnz	3f
	.byte	0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0	/* movq %fs:0, %rax: arch_thread_self() */
	movabsq	$hash_k1, %rdi
	orq	$1, %rax
	movq	%rax, %r8
	imulq	%rax, %rdi
	shrq	$40 - active_shift, %rdi
	andl	$(active_slots - 1) << active_shift, %edi
	leaq	agent_active_slots(%rip), %rax
	addq	%rax, %rdi
	movq	active_ready(%rdi), %rsi
	xorl	%eax, %eax
	lock cmpxchgq %r8, (%rdi)
	jne	14f
	cmpq	%rsi, active_ready(%rdi)
	jne	15f
	testq	%rsi, %rsi
	jz	15f
	cmpq	%r8, stack_key(%rsi)
	jne	15f
	movq	stack_alternate(%rsi), %rdx
	movq	%rbp, %rax
	subq	alternate_at(%rdx), %rax
	cmpq	alternate_size(%rdx), %rax
	jb	15f
	movq	agent + agent_life(%rip), %rdx
	movabsq	$life_disturbed, %rax
	testq	%rax, (%rdx)
	jnz	15f
	movq	%rbp, active_frame(%rdi)
	cmpq	%rcx, stack_at(%rsi)
	jne	11f
	/* from here on it is to be seen what runs, if it does (active_runs()) */
	movq	stack_link(%rsi), %rax
	movq	%rax, active_link(%rdi)
	movq	agent + agent_changes(%rip), %rdx
	movq	stack_changes(%rsi), %rax
	cmpq	%rax, (%rdx)
	jne	15f
	movq	stack_lane(%rsi), %rax
	leaq	frame_regs(%rbp), %rdi
	movq	%rsi, frame_stack(%rbp)
	movq	%rbp, stack_origin(%rsi)
	movq	%rdi, run_ctx(%rsi)
	movq	%rbp, run_recover(%rsi)
	movl	$max_loops, run_may_goto(%rsi)
	incq	(%rax)				/* hits */
8:	leaq	stack_origin(%rsi), %rsp
	leaq	frame_regs(%rbp), %rdi
	leaq	stack_run(%rsi), %rsi
	call	*stack_code - stack_origin(%rsp)
	leaq	-stack_origin(%rsp), %rsi
	movq	%rbp, %rsp			/* before the stack is somebody else's */
	movl	stack_more(%rsi), %eax
	orq	run_aborted(%rsi), %rax
	orq	run_lock(%rsi), %rax
	orq	run_drain(%rsi), %rax
	jnz	7f
	movq	stack_counter(%rsi), %rax
	movq	stack_a(%rsi), %rdi
	incq	(%rax)
	movq	$0, active_link(%rdi)
	movq	$0, active_frame(%rdi)
	movq	$0, (%rdi)
	movq	$0, (%rsp)
1:	cmpq	$0, frame_deferred(%rsp)
	jne	2f
	cmpq	$ret_distance, frame_distance(%rsp)
	jae	6f			/* or $ret_distance_paired, no other */
	stub_goes_on
	cmpl	$user_ss, regs_ss(%rsp)
	jne	13f
	write_flags
	restore
	ret
	in_hit
6:	jne	16f
	write_flags
	restore
	ret	$8 + red_zone
	in_hit
13:	write_flags
	restore
	ret	$8
	in_hit
16:	leaq	agent_ret_home(%rip), %rax
	movq	%rax, frame_distance(%rsp)	/* what is behind the stub's call finds it */
	.cfi_remember_state
	.cfi_offset rip, -8		/* the return address is where it was */
	write_flags
	restore
	ret	$8
	in_hit
	.cfi_restore_state
	/* a return, or another place */
11:	movq	%rsi, %rdi
	call_on_jump agent_again_on_jump
	movq	%rax, %rsi
	testq	%rax, %rax
	jnz	8b
	jmp	9f
	/* C serves it: the place has been entered, or it hasn't */
14:	xorl	%edi, %edi
15:	call_on_jump agent_on_jump
	movq	%rax, %rsi
	testq	%rax, %rax
	jnz	8b
9:	movq	%rbp, %rsp
	movq	$0, (%rsp)		/* from here on no signal is deferred */
	jmp	1b
2:	movq	%rsp, %rsi
	call	agent_let_in
	jmp	1b
	/* more programs, or more to be done than that */
7:	movq	%rbp, %rdi
	movq	%rbp, %rsp
	andq	$-16, %rsp
	leaq	-vectors_size(%rsp), %rsp
	call	agent_next_on_jump
	movq	%rax, %rsi
	testq	%rax, %rax
	jnz	8b
	jmp	9b
	/* one was cut short: rsp is the frame's, the other registers of the thread are there */
	func agent_jump_cut
	.cfi_def_cfa_register rsp
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	frame_regs(%rsp), %r15
	movq	frame_regs + 8(%rsp), %r14
	movq	frame_regs + 16(%rsp), %r13
	movq	frame_regs + 24(%rsp), %r12
	movq	frame_regs + 40(%rsp), %rbx
	movq	frame_stack(%rsp), %rsi
	jmp	7b
	/* rdi: a hit whose program called a function that came back when nobody waited for it */
	func agent_jump_abandon
	.cfi_def_cfa_register rdi
	movq	%rdi, %rbp
	.cfi_def_cfa_register rbp
	movq	frame_regs(%rdi), %r15
	movq	frame_regs + 8(%rdi), %r14
	movq	frame_regs + 16(%rdi), %r13
	movq	frame_regs + 24(%rdi), %r12
	movq	frame_regs + 40(%rdi), %rbx
	testl	$flags_odd, regs_flags(%rdi)
	jz	9b
	movq	%rbp, %rsp
	movq	$0, (%rsp)
	jmp	4f
	/* flags that C does not want */
3:	movl	regs_flags(%rsp), %eax
	andl	$~flags_odd, %eax
	pushq	%rax
	popfq
	call_on_jump jump_serve
	movq	%rbp, %rsp
	movq	$0, (%rsp)
4:	cmpq	$0, frame_deferred(%rsp)
	je	5f
	movq	%rsp, %rsi
	call	agent_let_in
	jmp	4b
5:	movq	regs_flags(%rsp), %rax
	cmpq	$ret_distance, frame_distance(%rsp)
	je	10f
	stub_goes_on
	pushq	%rax
	popfq
	restore
	ret
	in_hit
10:	pushq	%rax
	popfq
	restore
	ret	$8 + red_zone
	in_hit
	/* Below the frame, behind whether they are there: that they are stored changes none. */
12:	movups	%xmm0, 8(%rsp)
	movups	%xmm1, 24(%rsp)
	movups	%xmm2, 40(%rsp)
	movups	%xmm3, 56(%rsp)
	movups	%xmm4, 72(%rsp)
	movups	%xmm5, 88(%rsp)
	movups	%xmm6, 104(%rsp)
	movups	%xmm7, 120(%rsp)
	ret
	.cfi_endproc
	.size agent_jump_entry, .-agent_jump_entry
	.globl	agent_jump_code_end
	.hidden	agent_jump_code_end
agent_jump_code_end:

/*
 * agent_call_away(c, sp): the function of struct target_call is called on another stack, on which c
 * and, at sp, its arguments are. Behind it, on that stack, agent_call_over() says whether there is
 * a way back: else the hit is over. Signals that were put off until now come in first.
 */
	.set call_rax, 112
	.set call_rdx, 120
	.set call_nvector, 144
	.set call_back, 2720
	.set call_fn, call_back + 8
	.set call_frame, call_back + 16
	.p2align 4
	/* agent_call_left(c): the function was unwound */
	func agent_call_left
	movq	%rdi, %rbx
	jmp	agent_call_back
	/*
	 * The end of the hit's thread goes on as if the probed function's caller had asked for it: in
	 * r10 _Unwind_ForcedUnwind(), in r11 its exception, where the other two arguments are kept.
	 */
	.set exception_stop, 16
	.p2align 4
	func agent_end_above
	leaq	8 + red_zone(%rsp), %rsp
	movq	%r11, %rdi
	movq	exception_stop(%r11), %rsi
	movq	exception_stop + 8(%r11), %rdx
	jmp	*%r10
	.p2align 4
	func agent_call_away
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, call_back(%rdi)
	movq	%rdi, %rbx
	movq	%rsi, %rsp
	movq	call_frame(%rbx), %r12
	testq	%r12, %r12
	jz	2f
	movq	regs_bp(%r12), %rbp
1:	cmpq	$0, frame_deferred(%r12)
	je	2f
	movq	%r12, %rsi
	call	agent_let_in
	jmp	1b
2:	movq	(%rbx), %rdi
	movq	8(%rbx), %rsi
	movq	16(%rbx), %rdx
	movq	24(%rbx), %rcx
	movq	32(%rbx), %r8
	movq	40(%rbx), %r9
	movq	call_nvector(%rbx), %rax
	call	*call_fn(%rbx)		/* an unwinder knows nothing of here: the end of its stack */
	cld
	movq	%rax, call_rax(%rbx)
	movq	%rdx, call_rdx(%rbx)
	func agent_call_back
	movq	%rbx, %rsp
	movq	%rbx, %rdi
	call	agent_call_over
	testb	%al, %al
	jz	4f
	movq	call_back(%rbx), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
4:	movq	call_frame(%rbx), %rdi
	jmp	agent_jump_abandon
	.size agent_call_away, .-agent_call_away

	.section .rodata.steps, "a", @progbits
	.globl	agent_jump_steps_end
	.hidden	agent_jump_steps_end
agent_jump_steps_end:
	.text

/*
 * What the CPU expects of a return is what the last call said that wasn't returned to yet. A call
 * whose return is probed is said to return to its caller, then its stub comes to be. So there is
 * another call right before the stub, by which a hit goes that has put the stub's address on the
 * stack (ret_pair()): a site's stub comes there, with the stack pointer red_zone below what it was,
 * and goes on in the site's stub. What it pushes is nothing to anybody but the CPU, which then
 * expects the return to the stub, then that of the stub's own call, and, at agent_ret_home, that to
 * the caller. Calls that weren't paired are left by a jump.
 *
 * Stubs of return instances: 32 pages; the first quad of each is the distance to the page's part of
 * agent_ret_saved[]. Unwind rule of all of them: the return address is the quad at that distance
 * from the stub, the frame is empty. It starts one byte early, because unwinders look up the byte
 * before a return address; that byte belongs to the first quad. Behind the first instruction of one
 * that is a call the return address is what is there next, perhaps agent_ret_home. At a call before
 * a stub the function is about to begin; its frame is told to be over already.
 *
 * In the first pages a stub can be a call, and is twice as long. What is behind its call, and the
 * call before it, never change.
 */
	.section .text.stubs, "ax", @progbits
	.p2align 12
	.globl	agent_ret_stubs
	.hidden	agent_ret_stubs
agent_ret_stubs:
	.cfi_startproc
	.cfi_undefined %rip
	/*
	 * Only what valgrind can read: it reads this of every program that is run with the agent, and
	 * ends at what it doesn't know. With a: (ip & 15) == 12, and b: (ip & 7 and no a):
	 * CFA, DW_CFA_def_cfa_expression: rsp + a * 136
	 * x: *(ip & -4096) + ip + (a << 2)
	 * where the return address is, DW_CFA_expression r16: x + (rsp - 8 - x) * b
	 */
	.cfi_escape 0x0f, 12, 0x77, 0, 0x80, 0, 0x3f, 0x1a, 0x3c, 0x29, 0x08, 136, 0x1e, 0x22
	.cfi_escape 0x10, 16, 56
	.cfi_escape 0x80, 0, 0x0b, 0x00, 0xf0, 0x1a, 0x06, 0x80, 0, 0x22, 0x80, 0, 0x3f, 0x1a, 0x3c, 0x29, 0x32, 0x24, 0x22
	.cfi_escape 0x77, 0x78
	.cfi_escape 0x80, 0, 0x0b, 0x00, 0xf0, 0x1a, 0x06, 0x80, 0, 0x22, 0x80, 0, 0x3f, 0x1a, 0x3c, 0x29, 0x32, 0x24, 0x22
	.cfi_escape 0x1c
	.cfi_escape 0x80, 0, 0x37, 0x1a, 0x30, 0x2e, 0x80, 0, 0x3f, 0x1a, 0x3c, 0x29, 0x1c
	.cfi_escape 0x1e, 0x22
	.set raised, 8 * 4096		/* RAISED */
	.set stub_next_at, regs_sp - frame_distance - 8	/* what the site's stub would have found */
	.set page, 0
	.rept 32
	.quad	agent_ret_saved + page - .
	.if page < raised
	.fill	4, 1, 0xcc
	call	*stub_next_at(%rsp)
	.rept 255
	int3
	.byte 0x0f, 0x0b, 0x0f, 0x0b
	jmp	*-8(%rsp)		/* to where the function returns to, or agent_ret_home */
	.fill	3, 1, 0xcc
	call	*stub_next_at(%rsp)
	.endr
	.else
	.rept 511
	int3
	.byte 0x0f, 0x0b, 0x0f, 0x0b
	.fill	3, 1, 0xcc
	.endr
	.endif
	.set page, page + 4096
	.org	agent_ret_stubs + page, 0xcc
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
