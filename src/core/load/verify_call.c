/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of the program: calls, callbacks, returns.
 *
 * Model: a static function is walked with the values of each call, in a frame of its own. A global
 * one is verified once, from the types of its arguments; a call of it checks these and gets a
 * number. A callback that a helper calls before it returns is a path that goes through the callback
 * and back to the call of the helper, where it converges; one that runs later starts from nothing.
 */
#include <errno.h>
#include <stdio.h>

#include "core/load/mutant.h"
#include "core/load/verify_node.h"

int verify_push_frame(struct ebpf_vstate *st, struct verify_path *path, u32 subprog, u32 callsite)
{
	struct ebpf_vframe *f;
	u32 i;
	int r = ebpf_vframe_push(st);

	if (r)
		return r;
	f = ebpf_vframe(st);
	for (i = 0; i < EBPF_VREGS; i++)
		verify_reg_none(&f->regs[i]);
	verify_reg_pointer(&f->regs[10], VT_STACK, st->curframe, 0);
	f->subprog = subprog;
	f->callsite = callsite;
	/* what is read here was in no frame before */
	path->written[st->curframe] = ~0ull;
	return 0;
}

static int too_deep(struct verify *v)
{
	if (v->cur->curframe + 1 < EBPF_MAX_FRAMES)
		return 0;
	return verify_fail(v, E2BIG, "the call stack of %u frames is too deep\n",
			   v->cur->curframe + 2);
}

/* --- calls ----------------------------------------------------------------------------------- */

static int call_global(struct verify *v, u32 sub)
{
	const struct verify_subprog *s = &v->subprog[sub];
	int r;

	if (verify_locked(v))
		return verify_fail(v, EINVAL,
				   "global function calls are not allowed while holding a lock,\n"
				   "use static function instead\n");
	r = verify_global_args(v, sub);
	if (r) {
		if (r != -ENOMEM)
			verify_log(v, "Caller passes invalid args into func#%u ('%s')\n", sub,
				   s->name);
		return r;
	}
	verify_log(v, "Func#%u ('%s') is global and assumed valid.\n", sub, s->name);
	v->subprog[sub].called = true;
	verify_clobber(v);
	verify_reg_unknown(v, verify_reg(v, 0));
	v->insn_idx++;
	return 0;
}

static void log_call(struct verify *v)
{
	if (!(v->log->level & 3))
		return;
	verify_log(v, "caller:\n");
	verify_log_frame(v, v->cur, v->cur->curframe - 1, true);
	verify_log(v, "callee:\n");
	verify_log_frame(v, v->cur, v->cur->curframe, true);
}

static int call_static(struct verify *v, u32 sub)
{
	struct ebpf_vframe *caller = ebpf_vframe(v->cur), *callee;
	u32 i;
	int r = too_deep(v);

	r = r ? r : verify_push_frame(v->cur, v->path, sub, v->insn_idx);
	if (r)
		return r;
	callee = ebpf_vframe(v->cur);
	for (i = 0; i <= 5; i++) {
		if (i)
			callee->regs[i] = caller->regs[i];
		verify_reg_none(&caller->regs[i]);
	}
	log_call(v);
	v->scratched_regs |= 1u << 10;
	v->insn_idx = v->subprog[sub].start;
	return 0;
}

int verify_subprog_call(struct verify *v)
{
	u32 to = v->insn_idx + 1 + (u32)verify_at(v, v->insn_idx)->imm;
	u32 sub = verify_subprog_at(v, to);

	v->scratched_regs |= 0x3f;
	return v->subprog[sub].global ? call_global(v, sub) : call_static(v, sub);
}

/* --- callbacks ------------------------------------------------------------------------------- */

static int callback_later(struct verify *v, u32 sub, verify_cb_setup setup)
{
	struct ebpf_vstate *st;
	struct ebpf_vframe *f;
	int r;

	v->subprog[sub].async = true;
	st = verify_push_async(v, v->subprog[sub].start);
	if (!st)
		return -ENOMEM;
	r = verify_push_frame(st, verify_pushed_path(v), sub, ~0u);
	if (r)
		return r;
	f = ebpf_vframe(st);
	f->async = true;
	verify_pushed_path(v)->async_entry = v->path->async_entry + 1;
	return setup(v, ebpf_vframe(v->cur), f);
}

int verify_callback(struct verify *v, u32 sub, verify_cb_setup setup, bool async)
{
	struct ebpf_vstate *st;
	struct ebpf_vframe *caller, *callee;
	int r;

	v->subprog[sub].callback = true;
	if (async)
		return callback_later(v, sub, setup);
	r = too_deep(v);
	if (r)
		return r;
	st = verify_push(v, v->subprog[sub].start, v->insn_idx);
	if (!st)
		return -ENOMEM;
	caller = ebpf_vframe(st);
	r = verify_push_frame(st, verify_pushed_path(v), sub, v->insn_idx);
	if (r)
		return r;
	callee = ebpf_vframe(st);
	callee->callback = true;
	callee->ret_min = 0;
	callee->ret_max = 1;
	r = setup(v, caller, callee);
	caller->cb_depth++;
	verify_pushed_path(v)->callback_depth++;
	ebpf_vframe(v->cur)->cb_depth = 0;
	return r;
}

/* --- returns --------------------------------------------------------------------------------- */

static int invalid_return(struct verify *v, const struct ebpf_vframe *f)
{
	const struct ebpf_scalar *val = &f->regs[0].val;
	char min[40] = "", max[40] = "";

	if (val->smin > INT64_MIN)
		snprintf(min, sizeof(min), " smin=%lld", (long long)val->smin);
	if (val->smax < INT64_MAX)
		snprintf(max, sizeof(max), " smax=%lld", (long long)val->smax);
	return verify_fail(v, EINVAL,
			   "At callback return the register R0 has%s%s%s should have been in [%d, "
			   "%d]\n",
			   min, max, min[0] || max[0] ? "" : " unknown scalar value", f->ret_min,
			   f->ret_max);
}

static int check_callback_return(struct verify *v, const struct ebpf_vframe *f)
{
	const struct ebpf_scalar *val = &f->regs[0].val;
	int r;

	if (f->regs[0].type != VT_SCALAR)
		return verify_fail(v, EACCES, "R0 not a scalar value\n");
	r = verify_precise(v, 0);
	if (r)
		return r;
	if (EBPF_MUTANT(118, val->smin < f->ret_min || val->smax > f->ret_max, false))
		return invalid_return(v, f);
	return 0;
}

static void log_return(struct verify *v, u32 to)
{
	if (!(v->log->level & 3))
		return;
	verify_log(v, "returning from callee:\n");
	verify_log_frame(v, v->cur, v->cur->curframe, true);
	verify_log(v, "to caller at %u:\n", to);
	verify_log_frame(v, v->cur, v->cur->curframe - 1, true);
}

/* Back at the call that calls back: what the callback changed and did not matter is unknown. */
static void widen_after_callback(struct verify *v)
{
	struct verify_node *prev = verify_previous(v, v->path->parent, v->cur, v->insn_idx);

	if (prev)
		verify_widen_to(prev, v->cur);
}

static int return_to_caller(struct verify *v)
{
	struct ebpf_vframe *callee = ebpf_vframe(v->cur);
	struct ebpf_vframe *caller = v->cur->frame[v->cur->curframe - 1];
	bool callback = callee->callback;
	u32 to = callee->callsite + (callback ? 0 : 1);
	int r;

	if (callee->regs[0].type == VT_STACK)
		return verify_fail(v, EINVAL, "cannot return stack pointer to the caller\n");
	if (callback) {
		r = check_callback_return(v, callee);
		if (r)
			return r;
	} else {
		caller->regs[0] = callee->regs[0];
	}
	log_return(v, to);
	ebpf_vframe_pop(v->cur);
	verify_refs_returned(v->cur);
	v->insn_idx = to;
	if (callback)
		widen_after_callback(v);
	return 0;
}

int verify_exit(struct verify *v, bool *done)
{
	bool main = !v->cur->curframe;
	int r;

	*done = false;
	if (main || ebpf_vframe(v->cur)->callback) {
		r = verify_refs_empty(v, false, "BPF_EXIT instruction in main prog");
		if (r)
			return r;
	}
	if (!main)
		return return_to_caller(v);
	*done = true;
	r = verify_readable(v, 0);
	return r ? r : verify_return(v, 0, "R0");
}
