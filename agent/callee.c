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
 * An exception that nobody in the function catches would end the process: to unwinders the stack
 * ends with the call. They say so to who throws (the return of _Unwind_RaiseException() is a site),
 * and it is as if that one had asked for a forced unwinding instead, up to the call: cleanups run,
 * then C++ is told that the exception was caught, and the call is cut. The
 * end of a thread (pthread_exit(), a cancellation) is a forced unwinding, too: when that comes to
 * the call the hit is over, and it goes on as if the caller of the probed function had ended. Where
 * no function begins that can't be said: then it ends there, and cleanups above are left out.
 *
 * What the thread hits meanwhile counts as missed.
 *
 * In a hit by a trap this is a signal handler: only what the user says is safe there is called, on
 * the handler's stack; the kernel keeps the registers.
 */
#include <errno.h>

#include "agent/agent.h"

#define BEYOND 4096u /* of C frames of ours below what is known of a stack */
#define ROOM (32u << 10)
#define ROOM_OF_POOL (20u << 10)
#define PAGE 4096u

/* without a result */
enum left { BY_RETURN, BY_FAULT, BY_EXCEPTION, BY_END };

struct target_call {
	struct ebpf_native_call n; /* entry.S knows offsets up to .f */
	u64 back;
	u64 fn;
	struct jump_frame *f; /* of a hit by a jump, else NULL */
	struct agent_active *a;
	u64 mark;      /* a->calling */
	u8 *state;     /* the application's registers */
	u8 *registers; /* what the function gets and gives */
	int *errno_at, saved_errno;
	u64 raised, raised_sp; /* what was thrown last, and where that would return */
	u64 stop, stop_arg;    /* by which a forced unwinding is to be asked */
	u64 forced;	       /* who does that */
	u32 left;	       /* enum left */
	u64 begin_catch, end_catch;
	void *copy[EBPF_CALLEE_ARGS];
};
_Static_assert(offsetof(struct target_call, back) == 2720, "entry.S: call_back");
_Static_assert(offsetof(struct ebpf_native_call, rax) == 112, "entry.S: call_rax");
_Static_assert(offsetof(struct ebpf_native_call, nvector) == 144, "entry.S: call_nvector");

static u32 state_size; /* 0: this CPU can't keep it */
static u32 serial;

void callee_init(void)
{
	state_size = arch_state_size();
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
	u8 *state = (u8 *)take(top, state_size, 64),
	   *registers = (u8 *)take(top, ARCH_CALL_REGISTERS, 64);
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

/* --- exceptions ---------------------------------------------------------------------------------
 */

/* of the C++ ABI's unwinding library */
#define UNWIND_END_OF_STACK_ACTION 16u
#define UNWIND_FOREIGN_CAUGHT 1u
#define UNWIND_END_OF_STACK 5u
#define CLASS_LANGUAGE 0xffffff00u
#define CLASS_CXX 0x432b2b00u		 /* ....C++. */
#define CLASS_RUST 0x4d4f5a0052555354ULL /* MOZ.RUST */

struct exception {
	u64 class;
	void (*cleanup)(u32 reason, struct exception *e);
	u64 stop, stop_arg; /* of a forced unwinding */
};
_Static_assert(offsetof(struct exception, stop) == 16, "entry.S: exception_stop");

typedef int (*stop_fn)(int version, u32 actions, u64 class, struct exception *e, void *context,
		       void *arg);

static __attribute__((noreturn)) void leave(struct target_call *c, enum left how)
{
	c->left = how;
	agent_call_left(c);
}

/* Of each frame: it is left; behind the last one is the call. */
static int stop_throwing(int version, u32 actions, u64 class, struct exception *e, void *context,
			 void *arg)
{
	if (!(actions & UNWIND_END_OF_STACK_ACTION))
		return 0;
	leave(arg, BY_EXCEPTION);
}

/* As somebody who catches everything. What a panic of Rust's has counted only Rust could undo. */
static void throw_away(const struct target_call *c)
{
	struct exception *e = (struct exception *)c->raised;

	if ((e->class & CLASS_LANGUAGE) == CLASS_CXX && c->begin_catch && c->end_catch) {
		((void *(*)(struct exception *))c->begin_catch)(e);
		((void (*)(void))c->end_catch)();
	} else if (e->class != CLASS_RUST && e->cleanup) {
		e->cleanup(UNWIND_FOREIGN_CAUGHT, e);
	}
}

/* The forced unwinding of the same unwinder as @p's; 0: it has none. */
static u64 forced_unwinding(const struct agent_place *p)
{
	const u32 wanted = AGENT_SITE_UNWIND | AGENT_SITE_ENDS;

	for (const struct agent_place *q = load_acquire(&agent.places); q; q = q->older) {
		const struct agent_plan *plan = load_acquire(&q->plan);

		if (plan && (plan->flags & wanted) == wanted && plan->module == p->plan->module &&
		    load_acquire(&q->state) == SITE_ARMED)
			return q->addr;
	}
	return 0;
}

/* Nobody catches it: it is thrown by force. */
static bool end_throwing(struct target_call *c, const struct agent_place *p, struct arch_regs *regs)
{
	u64 forced = regs->sp == c->raised_sp && (u32)regs->ax == UNWIND_END_OF_STACK
			     ? forced_unwinding(p)
			     : 0;

	if (!forced)
		return false;
	frame_set_arguments(regs, c->raised, (u64)stop_throwing, (u64)c);
	regs->ip = forced;
	return true;
}

/* --- the end of a thread ------------------------------------------------------------------------
 */

/* Does what is called return to its caller's next instruction, as at a function's entry? */
static bool at_entry(const struct jump_frame *f)
{
	bool is_return = f->distance == RET_DISTANCE || f->distance == RET_DISTANCE_PAIRED;
	const struct agent_place *p = is_return ? NULL : site_find(f->regs.ip);
	const struct agent_hooks *hooks = p ? load_acquire(&p->hooks) : NULL;

	for (u32 i = 0; hooks && i < hooks->n; i++)
		if (hooks->v[i].entry)
			return true;
	return false;
}

/* The function's frames are left, and so is the hit: then the caller's come. */
static int stop_ending(int version, u32 actions, u64 class, struct exception *e, void *context,
		       void *arg)
{
	struct target_call *c = arg;

	if (!(actions & UNWIND_END_OF_STACK_ACTION) || !c->f || !at_entry(c->f))
		return ((stop_fn)c->stop)(version, actions, class, e, context, (void *)c->stop_arg);
	e->stop = c->stop;
	e->stop_arg = c->stop_arg;
	frame_set_scratch(&c->f->regs, c->forced, (u64)e);
	c->f->ret = (u64)agent_end_above;
	leave(c, BY_END);
}

static struct target_call *under_way(const struct osl_ucontext *uc);

bool callee_unwinds(const struct agent_place *p, struct arch_regs *regs, struct osl_ucontext *uc)
{
	struct target_call *c = under_way(uc);
	const u32 flags = p->plan->flags;

	if (!c || uc->sp > (u64)c)
		return false;
	if (flags & AGENT_SITE_RESUME) {
		if (!end_throwing(c, p, regs))
			return false;
		osl_regs_to_ucontext(regs, uc);
		return true;
	}
	if (flags & AGENT_SITE_THROWS) {
		c->raised = frame_argument(regs, 0);
		c->raised_sp = regs->sp;
	} else if (frame_argument(regs, 1) != (u64)stop_throwing) {
		c->stop = frame_argument(regs, 1);
		c->stop_arg = frame_argument(regs, 2);
		c->forced = p->addr;
		frame_set_arguments(regs, frame_argument(regs, 0), (u64)stop_ending, (u64)c);
		osl_regs_to_ucontext(regs, uc);
	}
	return false;
}

/* --- the call -----------------------------------------------------------------------------------
 */

/* On the thread's own stack: is the hit still this call's? */
bool agent_call_over(struct target_call *c)
{
	struct agent_active *a = c->a;
	u64 mark = c->mark;

	if (c->left == BY_EXCEPTION)
		throw_away(c);
	if (c->left == BY_RETURN)
		arch_call_get(c->registers, &c->n.xmm0, &c->n.xmm1);
	*c->errno_at = c->saved_errno;
	if (!c->f)
		return true;
	arch_state_give_back(c->state);
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

	arch_state_keep(c->state);
	c->mark = (u64)c | (__atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED) & 63);
	a->run = NULL;
	a->call_stat = stat_of(run);
	a->call_tid = osl_tid();
	a->lent = run;
	store_release(&a->open, a->open | ACTIVE_EXPOSED);
	store_release(&a->calling, c->mark);
}

static void make_call(struct target_call *c, const struct ebpf_callee *f, u64 sp, u64 fn)
{
	c->fn = fn;
	c->left = BY_RETURN;
	c->raised_sp = 0;
	c->saved_errno = *c->errno_at;
	memcpy((void *)sp, c->n.stack, c->n.nstack * 8);
	arch_call_set(c->registers, c->n.vector, c->n.nvector);
	agent_call_away(c, sp);
}

/* Below what is known to be in use of the stack that the thread itself is on. */
static u64 below(const struct agent_active *a, u64 here)
{
	return (a->open ? stack_origin(here) : here) - BEYOND;
}

static bool call(struct ebpf_run *run, const struct ebpf_callee *f, const u64 *args, u64 fn,
		 const u64 *aids, struct agent_active *a, u64 *result)
{
	u64 top = below(a, (u64)__builtin_frame_address(0)), sp;
	struct target_call *c;

	if (!has_room(top, a->open) || (a->open && !active_at_home(a)))
		return false;
	c = make_room(f, run->callee, &top);
	c->a = a;
	c->f = a->open ? (struct jump_frame *)a->frame : NULL;
	c->errno_at = ((int *(*)(void))aids[ECALLEE_ERRNO])();
	c->begin_catch = aids[ECALLEE_BEGIN_CATCH];
	c->end_catch = aids[ECALLEE_END_CATCH];
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
	if (c->left != BY_RETURN)
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
	    call(run, f, args, at[i], at + img->ncallees, a, &result))
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
	c->left = BY_FAULT;
	frame_call_back(uc, (u64)c, (u64)agent_call_back);
	return true;
}
