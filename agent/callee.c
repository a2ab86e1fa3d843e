/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of the target that programs call.
 *
 * Model: a function of the application may do what it likes: use all registers and a lot of stack,
 * block, be interrupted by signals, hit probes, never come back. So it is called where the
 * application itself might call it: on the thread's own stack, below the hit, signals let in. What
 * the application has in vector registers, and its errno, are kept on that stack, too. Nothing it
 * gets points to memory of ours: what a program hands over is copied there and back.
 *
 * Meanwhile the hit is *lent*: its place is marked as calling, and who wants it to be over (a
 * detachment, a hit of the same thread behind a longjmp) takes the mark away, which nobody waits
 * for. The function may come back later, or never: then the mark is gone, the program is not gone
 * on with, and the hit ends with what lies in its frame. So nothing of the pool's stack, of the
 * program's or of the session's is looked at before the mark is seen to be there.
 *
 * What the thread hits meanwhile counts as missed.
 *
 * In a hit by a trap this is a signal handler: only what the user says is safe there is called, on
 * the handler's stack; the kernel keeps the registers.
 */
#include <errno.h>

#include "agent/agent.h"

#define LEGACY 512u
#define HEADER 64u
#define STATE_MAX 16384u
#define STATE                                                                                      \
	(~(1u << 9)) /* but for protection keys, which are no registers to be kept at a call */
#define BEYOND 4096u /* of C frames of ours below what is known of a stack */
#define ROOM (32u << 10)
#define ROOM_OF_POOL (20u << 10)
#define PAGE 4096u
/* in the legacy area */
#define AT_FSW 2u
#define AT_FTW 4u
#define AT_XMM 160u

struct target_call {
	struct ebpf_native_call n; /* entry.S knows offsets up to .f */
	u64 back;
	u64 fn;
	struct jump_frame *f; /* of a hit by a jump, else NULL */
	struct agent_active *a;
	u64 mark;      /* a->calling */
	u8 *state;     /* the application's registers, LEGACY + HEADER + more */
	u8 *registers; /* LEGACY bytes: what the function gets and gives */
	int *errno_at, saved_errno;
	bool faulted;
	void *copy[EBPF_CALLEE_ARGS];
};
_Static_assert(offsetof(struct target_call, back) == 2720, "entry.S: call_back");
_Static_assert(offsetof(struct ebpf_native_call, rax) == 112, "entry.S: call_rax");
_Static_assert(offsetof(struct ebpf_native_call, nvector) == 144, "entry.S: call_nvector");

static u32 state_size; /* 0: this CPU can't keep it */
static u32 serial;

static void cpuid(u32 leaf, u32 sub, u32 *a, u32 *b, u32 *c, u32 *d)
{
	__asm__("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "a"(leaf), "c"(sub));
}

void callee_init(void)
{
	u32 a, b, c, d;

	cpuid(1, 0, &a, &b, &c, &d);
	if (!(c >> 27 & 1)) /* OSXSAVE */
		return;
	cpuid(0xd, 0, &a, &b, &c, &d);
	state_size = b <= STATE_MAX ? b : 0;
}

/* --- registers ----------------------------------------------------------------------------------
 */

static void keep_state(u8 *state)
{
	memset(state + LEGACY, 0, HEADER);
	__asm__ volatile("xsave64 (%0)" : : "r"(state), "a"(STATE), "d"(~0u) : "memory");
}

static void give_state_back(const u8 *state)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(state), "a"(STATE), "d"(~0u) : "memory");
}

/* As at a call: modes as they are, nothing on the stack of the x87. */
static void set_registers(const struct target_call *c)
{
	u8 *r = c->registers;

	__asm__ volatile("fxsave64 (%0)" : : "r"(r) : "memory");
	memset(r + AT_FSW, 0, 2);
	r[AT_FTW] = 0;
	for (u32 i = 0; i < c->n.nvector; i++) {
		memset(r + AT_XMM + i * 16, 0, 16);
		memcpy(r + AT_XMM + i * 16, &c->n.vector[i], 8);
	}
	__asm__ volatile("fxrstor64 (%0)" : : "r"(r) : "memory");
}

static void get_registers(struct target_call *c)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(c->registers) : "memory");
	memcpy(&c->n.xmm0, c->registers + AT_XMM, 8);
	memcpy(&c->n.xmm1, c->registers + AT_XMM + 16, 8);
}

/* --- memory -------------------------------------------------------------------------------------
 */

static bool copy_text(u8 *to, u64 from, u32 size)
{
	u32 i = 0;

	do {
		if (osl_read(to + i, (void *)(from + i), 1))
			return false;
	} while (to[i] && ++i < size - 1);
	to[i] = 0;
	return true;
}

static bool copy_in(const struct ebpf_callee *f, const u64 *args, struct target_call *c)
{
	for (u32 i = 0; i < ebpf_callee_nargs(f); i++) {
		const struct ebpf_callee_value *v = &f->arg[i];

		if (!c->copy[i])
			continue;
		memset(c->copy[i], 0, v->size);
		if (v->kind == ECALLEE_RESULT)
			continue;
		if (v->flags & ECALLEE_STRING ? !copy_text(c->copy[i], args[i], v->size)
					      : osl_read(c->copy[i], (void *)args[i], v->size))
			return false;
	}
	return true;
}

static void copy_out(const struct ebpf_callee *f, const u64 *args, const struct target_call *c)
{
	for (u32 i = 0; i < ebpf_callee_nargs(f); i++) {
		const struct ebpf_callee_value *v = &f->arg[i];

		if (c->copy[i] && v->kind != ECALLEE_STRUCT && !(v->flags & ECALLEE_CONST))
			osl_write((void *)args[i], c->copy[i], v->size);
	}
}

static u64 take(u64 *top, u64 size, u64 align)
{
	return *top = ALIGN_DOWN(*top - size, align);
}

/* What the function needs below @top: all of it, from there down; 0: there is no room. */
static struct target_call *make_room(const struct ebpf_callee *f, u32 off, u64 *top)
{
	u8 *state = (u8 *)take(top, state_size, 64), *registers = (u8 *)take(top, LEGACY, 64);
	void *copy[EBPF_CALLEE_ARGS] = {NULL};
	struct target_call *c;

	for (u32 i = 0; i < ebpf_callee_nargs(f); i++)
		if (EBPF_CALLEE_IS_MEMORY(off, i))
			copy[i] = (void *)take(top, f->arg[i].size, 16);
	c = (struct target_call *)take(top, sizeof(*c), 64);
	c->state = state;
	c->registers = registers;
	memcpy(c->copy, copy, sizeof(copy));
	return c;
}

/* A signal handler that is not on a stack of ours is on one of which nothing is known. */
static bool has_room(u64 top, bool open)
{
	u64 word;
	s32 i = stack_index(top);

	if (i >= 0 || !open)
		return i >= 0 && top - (u64)agent_stacks[i].room >= ROOM_OF_POOL;
	for (u64 at = top; at > top - ROOM; at -= PAGE)
		if (osl_read(&word, (void *)at, sizeof(word)))
			return false;
	return true;
}

/* --- the call -----------------------------------------------------------------------------------
 */

/* On the thread's own stack: is the hit still this call's? */
bool agent_call_over(struct target_call *c)
{
	struct agent_active *a = c->a;
	u64 mark = c->mark;

	if (!c->faulted)
		get_registers(c);
	*c->errno_at = c->saved_errno;
	if (!c->f)
		return true;
	give_state_back(c->state);
	if (!__atomic_compare_exchange_n(&a->calling, &mark, 0, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	store_release(&a->open, a->open & ~(u32)ACTIVE_EXPOSED);
	return true;
}

static u32 stat_of(const struct ebpf_run *run)
{
	s32 i = stack_index((u64)run);

	return i >= 0 && run == &agent_stacks[i].run ? agent_stacks[i].h->stat : run->stat;
}

static void lend(struct target_call *c, struct ebpf_run *run)
{
	struct agent_active *a = c->a;

	keep_state(c->state);
	c->mark = (u64)c | (__atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED) & 63);
	a->run = NULL;
	a->call_stat = stat_of(run);
	a->lent = run;
	store_release(&a->open, a->open | ACTIVE_EXPOSED);
	store_release(&a->calling, c->mark);
}

static void make_call(struct target_call *c, const struct ebpf_callee *f, u64 sp, u64 fn)
{
	c->fn = fn;
	c->faulted = false;
	c->saved_errno = *c->errno_at;
	memcpy((void *)sp, c->n.stack, c->n.nstack * 8);
	set_registers(c);
	agent_call_away(c, sp);
}

/* Below what is known to be in use of the stack that the thread itself is on. */
static u64 below(const struct agent_active *a, u64 here)
{
	return (a->open ? stack_origin(here) : here) - BEYOND;
}

static bool call(struct ebpf_run *run, const struct ebpf_callee *f, const u64 *args, u64 fn,
		 u64 errno_fn, struct agent_active *a, u64 *result)
{
	u64 top = below(a, (u64)__builtin_frame_address(0)), sp;
	struct target_call *c;

	if (!has_room(top, a->open) || (a->open && !active_at_home(a)))
		return false;
	c = make_room(f, run->callee, &top);
	c->a = a;
	c->f = a->open ? (struct jump_frame *)a->frame : NULL;
	c->errno_at = ((int *(*)(void))errno_fn)();
	if (!copy_in(f, args, c))
		return false;
	ebpf_native_prepare(f, args, c->copy, &c->n);
	sp = take(&top, c->n.nstack * 8ull, 16);
	if (c->f)
		lend(c, run);
	a->closed = c->f ? NULL : c;
	make_call(c, f, sp, fn);
	a->closed = NULL;
	a->run = run;
	if (c->faulted)
		return false;
	*result = ebpf_native_result(f, &c->n, c->copy[0]);
	copy_out(f, args, c);
	return true;
}

u64 callee_call(struct ebpf_run *run, const u64 *args)
{
	const struct ebpf_image *img = run->prog->image;
	const u32 i = EBPF_CALLEE_INDEX(run->callee);
	const struct ebpf_callee *f = &ebpf_image_callees(img)[i];
	const u64 *at = run->prog->callees;
	struct agent_active *a = active_here((u64)__builtin_frame_address(0));
	u64 result;

	if (i < img->ncallees && at && at[i] && at[img->ncallees] && a && state_size &&
	    (a->open || f->flags & EBPF_CALLEE_SIGNAL_SAFE) &&
	    call(run, f, args, at[i], at[img->ncallees], a, &result))
		return result;
	ebpf_run_leave(run);
	return 0;
}

/* What @a says is there, unless the thread has left it and used its stack for something else. */
static struct target_call *lent_call(const struct agent_active *a)
{
	u64 mark = load_relaxed(&a->calling), there;
	struct target_call *c = (struct target_call *)(mark & ~63ull);

	return osl_read(&there, &c->mark, sizeof(there)) == 0 && there == mark ? c : NULL;
}

static struct target_call *under_way(const struct osl_ucontext *uc)
{
	u64 thread = arch_thread_pointer();
	struct agent_active *a = active_caller(thread);

	if (a && active_calling(thread, uc->sp))
		return lent_call(a);
	a = active_here(uc->sp);
	return a && !a->open ? a->closed : NULL;
}

/* Where it would be the end of the process: an address that a program made up, for example. */
bool callee_faulted(struct osl_ucontext *uc)
{
	struct target_call *c = under_way(uc);

	if (!c || uc->sp > (u64)c)
		return false;
	c->faulted = true;
	uc->bx = (u64)c;
	uc->ip = (u64)agent_call_back;
	return true;
}
