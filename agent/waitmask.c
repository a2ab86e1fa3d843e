/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls that wait with another signal mask: sigsuspend, ppoll, pselect, epoll_pwait.
 *
 * Model: a handler that interrupts such a wait runs with that mask. Where it blocks one of the
 * agent's signals, a probe in the handler would be death. So the call gets a copy of the mask
 * without them: at the site before the call the register that points to the mask is made to point
 * to the copy, at the site behind it the register is put back.
 *
 * Copies are found by the address that the application gave, of which there are few (a thread's own
 * stack, or one for all). They are never freed: a call that is restarted reads its copy again. When
 * a window is full, one is overwritten: its owner is inside the call already.
 */
#include <errno.h>

#include "agent/agent.h"

#define MASKS 1024u
#define WINDOW 16u
#define MASK_BYTES 8

struct wait_mask {
	u64 given; /* the application's address, 0: free */
	u64 mask;
	struct {
		u64 mask, size;
	} pair; /* what pselect wants */
};

static struct wait_mask masks[MASKS];

static struct wait_mask *entry_of(u64 given)
{
	u32 start = hash_quick(given) % MASKS;
	struct wait_mask *m = NULL;

	for (u32 i = 0; i < WINDOW; i++) {
		u64 none = 0;

		m = &masks[(start + i) % MASKS];
		if (load_relaxed(&m->given) == given ||
		    __atomic_compare_exchange_n(&m->given, &none, given, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED) ||
		    none == given)
			return m;
	}
	store_relaxed(&m->given, given);
	return m;
}

/* The register that points to the mask of system call @nr, and where the mask's size is. */
static u64 *mask_register(u64 nr, struct arch_regs *regs, u64 *size)
{
	switch (nr) {
	case __NR_rt_sigsuspend:
		*size = regs->si;
		return &regs->di;
	case __NR_ppoll:
		*size = regs->r8;
		return &regs->r10;
	case __NR_epoll_pwait:
	case 441: /* epoll_pwait2 */
		*size = regs->r9;
		return &regs->r8;
	case __NR_pselect6:
		*size = 0;
		return &regs->r9;
	default:
		return NULL;
	}
}

typedef int read_words(void *to, const void *from, size_t len);

static bool read_mask(u64 nr, struct arch_regs *regs, u64 *mask, read_words *read)
{
	u64 size, where[2], *reg = mask_register(nr, regs, &size);

	if (!reg || !*reg)
		return false;
	where[0] = *reg;
	where[1] = size;
	if (nr == __NR_pselect6 && read(where, (void *)*reg, sizeof(where)))
		return false;
	return where[0] && where[1] == MASK_BYTES &&
	       read(mask, (void *)where[0], sizeof(*mask)) == 0;
}

bool waitmask_of(u64 nr, struct arch_regs *regs, u64 *mask)
{
	return read_mask(nr, regs, mask, osl_read);
}

/*
 * Faults of ours may be blocked, so the kernel is asked: it reads a mask before it finds that there
 * is nothing to be done with it.
 */
static int read_calmly(void *to, const void *from, size_t len)
{
	for (size_t at = 0; at < len; at += MASK_BYTES)
		if (SYS6(__NR_rt_sigprocmask, -1, (u64)from + at, NULL, MASK_BYTES, 0, 0) ==
		    -EFAULT)
			return -EFAULT;
	memcpy(to, from, len);
	return 0;
}

bool waitmask_ended(u64 nr, struct arch_regs *regs, u64 *mask)
{
	return read_mask(nr, regs, mask, read_calmly);
}

bool waitmask_before(u64 nr, struct arch_regs *regs)
{
	u64 size, mask, *reg = mask_register(nr, regs, &size);
	bool pair = nr == __NR_pselect6;
	struct wait_mask *m;

	if (!waitmask_of(nr, regs, &mask) || !(mask & SIG_OURS))
		return false;
	m = entry_of(*reg);
	store_relaxed(&m->mask, mask & ~SIG_OURS);
	m->pair.mask = (u64)&m->mask;
	m->pair.size = MASK_BYTES;
	*reg = pair ? (u64)&m->pair : (u64)&m->mask;
	return true;
}

static bool put_back(u64 *reg)
{
	u64 at = *reg - (u64)masks;

	if (at >= sizeof(masks))
		return false;
	*reg = load_relaxed(&masks[at / sizeof(masks[0])].given);
	return true;
}

bool waitmask_behind(struct arch_regs *regs)
{
	bool any = put_back(&regs->di);

	any |= put_back(&regs->r8);
	any |= put_back(&regs->r9);
	any |= put_back(&regs->r10);
	return any;
}
