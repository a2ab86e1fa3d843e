/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls of a CPU whose instruction for them we don't know: libc's function, the one behind
 * whatever name of it our own program puts in front (the surface does). errno stays as it was.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include "arch/arch.h"

typedef long (*syscall_fn)(long nr, ...);

static syscall_fn find(void)
{
	static syscall_fn found;
	syscall_fn fn = __atomic_load_n(&found, __ATOMIC_RELAXED);

	if (!fn) {
		fn = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
		if (!fn)
			abort(); /* a libc without syscall(3): nothing of ours can run */
		__atomic_store_n(&found, fn, __ATOMIC_RELAXED);
	}
	return fn;
}

long arch_libc_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long r = find()(nr, a, b, c, d, e, f);

	if (r == -1)
		r = -errno;
	errno = saved;
	return r;
}
