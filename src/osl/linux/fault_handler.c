/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SIGSEGV and SIGBUS handler for processes of our own (client, daemon's workers, tests): makes
 * osl_read() and its like survive a wrong address. The agent has its own.
 *
 * Rules: what is not ours goes to the handler that was there before; when that was the default,
 * the default is put back and the access repeated, so that the process dies as it would have.
 */
#include <errno.h>
#include <signal.h>

#include "osl/linux/ucontext.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

static struct sigaction previous[2]; /* SIGSEGV, SIGBUS */
static bool (*hook)(struct arch_regs *regs);

static void pass_on(int sig, siginfo_t *info, void *uc)
{
	struct sigaction *old = &previous[sig == SIGBUS];

	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, uc);
	else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
		old->sa_handler(sig);
	else
		sigaction(sig, old, NULL);
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	struct arch_regs regs;

	osl_regs_from_ucontext(&regs, uc);
	/* si_code <= 0: sent by somebody, not caused by an instruction */
	if (info->si_code > 0 && (osl_fault_fixup(&regs) || (hook && hook(&regs))))
		osl_regs_to_ucontext(&regs, uc);
	else
		pass_on(sig, info, uc);
}

void osl_fault_hook(bool (*fn)(struct arch_regs *regs))
{
	hook = fn;
}

int osl_fault_handler_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	static const int sigs[] = {SIGSEGV, SIGBUS};
	static bool installed;

	if (installed)
		return 0;
	sigemptyset(&sa.sa_mask);
	for (u32 i = 0; i < ARRAY_SIZE(sigs); i++)
		if (sigaction(sigs[i], &sa, &previous[i]))
			return -errno;
	installed = true;
	return 0;
}
