/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGSEGV, SIGBUS, SIGFPE and SIGILL.
 *
 * Whose fault is it? A copy that may fail (osl_read() and its like): continue at its error return.
 * A program: cut its run short. The agent itself during an injected call: give the call up. All
 * else is the application's, whose handler must see the address of its own instruction, not of the
 * slot in which that ran.
 *
 * Everything is blocked here, faults of ours too, until a hit is to be served.
 */
#include <errno.h>

#include "agent/agent.h"

extern u8 __ehdr_start[] __hidden;
extern u8 _end[] __hidden;

#define ENTRY_STACK (1u << 20) /* an injected call uses less */
#define RESTART_LEN 8u	       /* of agent_restart_syscall() */

bool agent_contains(u64 ip)
{
	return ip >= (u64)__ehdr_start && ip < (u64)_end;
}

bool agent_works(u64 ip)
{
	return agent_contains(ip) && ip - (u64)agent_restart_syscall >= RESTART_LEN;
}

bool agent_handles(u64 ip)
{
	return agent_works(ip) && !(ip >= (u64)agent_jump_code && ip < (u64)agent_jump_code_end);
}

static bool recovered(struct arch_regs *regs)
{
	struct agent_active *a = active_here(regs->sp);

	if (osl_fault_fixup(regs) || agent_prog_resume(regs))
		return true;
	if (leaf_faulted(regs))
		return true;
	if (agent_contains(regs->ip) && arch_thread_self_failed(regs))
		return true;
	if (a && a->run && load_relaxed(&a->link) &&
	    (agent_contains(regs->ip) || agent_prog_contains(regs->ip)))
		return ebpf_run_abort(a->run, regs);
	if (agent_contains(regs->ip) && agent_entry_sp - regs->sp < ENTRY_STACK) {
		regs->ip = (u64)agent_entry_abort;
		poke_alone(false);
		return true;
	}
	return false;
}

static bool served_as_trap(siginfo_t *info, struct osl_ucontext *uc)
{
	if (!defer_rewind(uc) && !jump_astray(uc, uc->ip))
		return false;
	if (likely(!stack_cramped(uc)))
		sig_open();
	if (trap_at(info, uc))
		return true;
	sig_close();
	return false;
}

/* One of the breaks in the agent's own text whose address ends so, or 0. */
static u64 own_break(u32 low)
{
	const u64 own[] = {(u64)agent_trap_self_break, (u64)agent_let_in, (u64)agent_exec_back};
	u64 stub = (u64)agent_ret_stubs + (u32)(low - (u32)(u64)agent_ret_stubs);

	if (ret_is_stub(stub))
		return stub;
	for (u32 i = 0; i < ARRAY_SIZE(own); i++)
		if ((u32)own[i] == low)
			return own[i];
	return 0;
}

/*
 * gdb moves a thread that has just trapped back to the break. When it does so while it attaches it
 * takes the process for one of 32 bits, and cuts the address in half, from where the thread goes on
 * to a fault. It is put where gdb wanted it.
 */
static bool was_cut(int sig, const siginfo_t *info, struct osl_ucontext *uc)
{
	u64 to;

	if (sig != SIGSEGV || info->si_code <= 0 || uc->trapno != TRAP_PAGE || uc->cr2 != uc->ip ||
	    uc->ip >> 32)
		return false;
	to = own_break((u32)uc->ip);
	if (!to)
		to = site_ending((u32)uc->ip);
	if (!to || to == uc->ip)
		return false;
	frame_set_ip(uc, to);
	return true;
}

void agent_on_fault(int sig, siginfo_t *info, struct osl_ucontext *uc)
{
	const struct agent_place *p;
	struct arch_regs regs;

	if (info->si_code <= 0 && trap_untold(info, uc))
		return;
	if (sig == SIGILL && info->si_code > 0 && trap_swallowed(uc)) {
		info->si_signo = SIGTRAP;
		info->si_code = SI_KERNEL;
		agent_on_trap(SIGTRAP, info, uc);
		return;
	}
	if (sig == SIGSEGV && info->si_code > 0 && handling_ended(uc))
		return;
	if (was_cut(sig, info, uc))
		return;
	osl_regs_from_ucontext(&regs, uc);
	if (info->si_code > 0)
		osl_fault_tell(&regs, &(struct osl_fault){sig, info->si_code, (u64)info->si_addr,
							  (u32)uc->trapno, (u32)uc->err});
	if (info->si_code > 0 && recovered(&regs)) {
		osl_regs_to_ucontext(&regs, uc);
		return;
	}
	/* no stack for the hit: as a trap it needs none */
	if (info->si_code > 0 && served_as_trap(info, uc))
		return;
	p = info->si_code > 0 ? site_of_slot(regs.ip) : NULL;
	if (p) {
		site_unslot(p, &regs);
		osl_regs_to_ucontext(&regs, uc);
		if (sig == SIGFPE || sig == SIGILL) /* theirs is the instruction's */
			info->si_addr = (void *)frame_ip(uc);
	}
	sig_chain(sig, info, uc, info->si_code > 0);
}

/* The kernel would have sent this had the instruction run. It is handed on from the thread's stack.
 */
bool fault_raise(const struct arch_patch *patch, const struct arch_regs *regs, siginfo_t *info,
		 struct osl_ucontext *uc)
{
	struct osl_fault f = {0};

	frame_set_ip(uc, patch->addr);
	if (!arch_patch_fault(patch, regs, &f)) /* somebody has mended it: once more */
		return false;
	frame_complete_fault(&f);
	frame_set_fault(uc, &f);
	info->si_signo = f.sig;
	info->si_code = f.code;
	info->si_addr = (void *)f.addr;
	return true;
}
