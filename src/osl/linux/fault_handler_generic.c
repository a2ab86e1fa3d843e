/* SPDX-License-Identifier: BSD-2-Clause */
/* Where fallible copies are made by the kernel (cpu_generic.c) no handler is needed. */
#include "osl/osl.h"

void osl_fault_hook(bool (*fn)(struct arch_regs *regs))
{
}

int osl_fault_handler_install(void)
{
	return 0;
}
