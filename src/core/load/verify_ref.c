/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is held: references to be given back, locks, sections (RCU, preemption).
 *
 * Model: a list in the state, in the order of acquisition (vstate.h). One belongs to the frame that
 * acquired it; when that function returns, to its caller. A callback can neither leave one behind
 * nor give back its caller's: it may run any number of times.
 */
#include <stdio.h>
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_mem.h"
#include "core/load/verify_proto.h"
#include "core/uapi.h"

/* --- references ------------------------------------------------------------------------------ */

static int add_ref(struct verify *v, struct ebpf_vref *ref)
{
	if (v->cur->nrefs == EBPF_MAX_VREFS)
		return verify_fail(v, E2BIG, "more than %u references are held\n", EBPF_MAX_VREFS);
	ref->insn = v->insn_idx;
	ref->frame = v->cur->curframe;
	ref->id = verify_new_id(v);
	return ebpf_vref_add(v->cur, ref);
}

int verify_ref_acquire(struct verify *v, u32 kind, u32 *id)
{
	struct ebpf_vref ref = {.kind = kind};
	int r = add_ref(v, &ref);

	if (!r)
		*id = ref.id;
	return r;
}

static struct ebpf_vref *find_ref(const struct verify *v, u32 id)
{
	for (u32 i = 0; i < v->cur->nrefs; i++)
		if (v->cur->refs[i].id == id)
			return &v->cur->refs[i];
	return NULL;
}

/* The innermost frame that a callback's execution started with; 0: none. */
static u32 callback_frame(const struct verify *v)
{
	u32 i = v->cur->curframe;

	while (i && !v->cur->frame[i]->callback)
		i--;
	return i;
}

static int not_acquired(struct verify *v)
{
	const struct bpf_insn *in = verify_at(v, v->insn_idx);
	const struct ebpf_proto *kfunc =
		in->src_reg == BPF_PSEUDO_KFUNC_CALL ? ebpf_proto_kfunc((u32)in->imm) : NULL;

	if (kfunc)
		return verify_fail(v, EINVAL,
				   "kfunc %s#%d reference has not been acquired before\n",
				   kfunc->name, in->imm);
	return verify_fail(v, EINVAL, "func %s#%d reference has not been acquired before\n",
			   ebpf_proto_name((u32)in->imm), in->imm);
}

struct forget {
	struct verify *v;
	u32 id;
};

static void forget_value(struct ebpf_vreg *reg, void *arg)
{
	const struct forget *f = arg;

	if (reg->ref_id == f->id && !(reg->flags & VREG_SLICE) && ebpf_vreg_is_ptr(reg))
		verify_reg_unknown(f->v, reg);
}

int verify_ref_release(struct verify *v, u32 id)
{
	const struct ebpf_vref *ref = find_ref(v, id);
	struct forget f = {v, id};

	if (!id || !ref || ref->frame < callback_frame(v))
		return not_acquired(v);
	ebpf_vref_del(v->cur, id);
	if (EBPF_MUTANT(115, true, false))
		verify_each_reg(v->cur, forget_value, &f);
	return 0;
}

void verify_refs_returned(struct ebpf_vstate *st)
{
	for (u32 i = 0; i < st->nrefs; i++)
		st->refs[i].frame = MIN(st->refs[i].frame, st->curframe);
}

/* --- locks and sections ---------------------------------------------------------------------- */

u32 verify_held(const struct verify *v, u32 kind)
{
	u32 n = 0;

	for (u32 i = 0; i < v->cur->nrefs; i++)
		n += v->cur->refs[i].kind == kind;
	return n;
}

bool verify_locked(const struct verify *v)
{
	return verify_held(v, VREF_LOCK);
}

int verify_section_leave(struct verify *v, u32 kind)
{
	for (u32 i = v->cur->nrefs; i-- > 0;) {
		const struct ebpf_vref *ref = &v->cur->refs[i];

		if (ref->kind == kind && ref->frame >= callback_frame(v)) {
			ebpf_vref_del(v->cur, ref->id);
			return 0;
		}
	}
	return -ENOENT;
}

int verify_field_arg(struct verify *v, u32 regno, u32 kind, const char *name)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	const struct ebpf_vmap *map = &v->prog->maps[reg->obj];
	const struct ebpf_field *f = NULL;
	s64 at;

	if (!ebpf_scalar_is_const(&reg->val))
		return verify_fail(v, EINVAL,
				   "R%d doesn't have constant offset. %s has to be at the constant "
				   "offset\n",
				   regno, name);
	if (!map->has_btf)
		return verify_fail(v, EINVAL, "map '%s' has to have BTF in order to use %s\n",
				   map->meta.name, name);
	for (u32 i = 0; i < map->nfields && !(reg->flags & VREG_INNER); i++)
		if (map->fields[i].kind == kind)
			f = &map->fields[i];
	if (!f)
		return verify_fail(v, EINVAL, "map '%s' has no valid %s\n", map->meta.name, name);
	at = (s64)reg->val.var_off.value + reg->off;
	if (at != f->off)
		return verify_fail(v, EINVAL,
				   "off %lld doesn't point to 'struct %s' that is at %d\n",
				   (long long)at, name, f->off);
	return 0;
}

/* Values of one map are told apart by the ids lookups gave them. */
static int which_lock(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	const struct ebpf_map_meta *meta = verify_map_meta(v, reg);

	if (reg->id || (meta->type == BPF_MAP_TYPE_ARRAY && meta->max_entries == 1))
		return 0;
	return verify_fail(v, EINVAL,
			   "R%d may be any value of map '%s', so may its bpf_spin_lock\n", regno,
			   meta->name);
}

static int take_lock(struct verify *v, const struct ebpf_vreg *reg)
{
	struct ebpf_vref ref = {.kind = VREF_LOCK, .obj = reg->obj, .uid = reg->id};

	if (verify_locked(v))
		return verify_fail(v, EINVAL, "Locking two bpf_spin_locks are not allowed\n");
	return add_ref(v, &ref);
}

static int drop_lock(struct verify *v, const struct ebpf_vreg *reg)
{
	for (u32 i = 0; i < v->cur->nrefs; i++) {
		const struct ebpf_vref *ref = &v->cur->refs[i];

		if (ref->kind != VREF_LOCK)
			continue;
		if (ref->obj != reg->obj || ref->uid != reg->id)
			return verify_fail(v, EINVAL, "bpf_spin_unlock of different lock\n");
		ebpf_vref_del(v->cur, ref->id);
		return 0;
	}
	return verify_fail(v, EINVAL, "bpf_spin_unlock without taking a lock\n");
}

int verify_lock_arg(struct verify *v, u32 regno, bool lock)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r = verify_field_arg(v, regno, EBPF_FIELD_SPIN_LOCK, "bpf_spin_lock");

	r = r ? r : which_lock(v, regno);
	if (r)
		return r;
	return lock ? take_lock(v, reg) : drop_lock(v, reg);
}

/* --- nothing may be held --------------------------------------------------------------------- */

/* At an exit of the program all of it, of a callback what it acquired. */
static bool lingers(const struct verify *v, const struct ebpf_vref *ref)
{
	return !ebpf_vframe(v->cur)->callback || ref->frame >= v->cur->curframe;
}

static int check_leaks(struct verify *v)
{
	int r = 0;

	for (u32 i = 0; i < v->cur->nrefs; i++) {
		const struct ebpf_vref *ref = &v->cur->refs[i];

		if (ref->kind == VREF_PTR && lingers(v, ref))
			r = verify_fail(v, EINVAL, "Unreleased reference id=%d alloc_insn=%d\n",
					ref->id, ref->insn);
	}
	return r;
}

static u32 lingering(const struct verify *v, u32 kind)
{
	u32 n = 0;

	for (u32 i = 0; i < v->cur->nrefs; i++)
		n += v->cur->refs[i].kind == kind && lingers(v, &v->cur->refs[i]);
	return n;
}

static int sections_at_exit(struct verify *v)
{
	u32 n = lingering(v, VREF_PREEMPT);

	if (lingering(v, VREF_LOCK))
		return verify_fail(v, EINVAL, "bpf_spin_unlock is missing\n");
	if (lingering(v, VREF_RCU))
		return verify_fail(v, EINVAL, "bpf_rcu_read_unlock is missing\n");
	if (n)
		return verify_fail(v, EINVAL, "%d bpf_preempt_enable%s missing\n", n,
				   n == 1 ? " is" : "(s) are");
	return 0;
}

static int sections_before(struct verify *v, const char *what)
{
	static const struct {
		u32 kind;
		const char *name;
	} sections[] = {
		{VREF_LOCK, "bpf_spin_lock"},
		{VREF_RCU, "bpf_rcu_read_lock"},
		{VREF_PREEMPT, "bpf_preempt_disable"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(sections); i++)
		if (verify_held(v, sections[i].kind))
			return verify_fail(v, EINVAL, "%s cannot be used inside %s-ed region\n",
					   what, sections[i].name);
	return 0;
}

int verify_refs_empty(struct verify *v, bool exception, const char *what)
{
	bool leave = !strncmp(what, "BPF_EXIT", 8) && !exception;
	int r;

	if (leave) {
		r = sections_at_exit(v);
		return r ? r : check_leaks(v);
	}
	if (verify_locked(v))
		return sections_before(v, what);
	r = check_leaks(v);
	if (!r)
		return sections_before(v, what);
	verify_log(v,
		   strcmp(what, "tail_call") ? "%s cannot be mixed with socket references\n"
					     : "%s would lead to reference leak\n",
		   what);
	return r;
}

/* --- what a program returns ------------------------------------------------------------------ */

static int out_of_range(struct verify *v, const char *when, const struct ebpf_scalar *val,
			const char *name, s32 min, s32 max)
{
	char lo[40] = "", hi[40] = "";

	if (val->smin > INT64_MIN)
		snprintf(lo, sizeof(lo), " smin=%lld", (long long)val->smin);
	if (val->smax < INT64_MAX)
		snprintf(hi, sizeof(hi), " smax=%lld", (long long)val->smax);
	return verify_fail(v, EINVAL, "%s the register %s has%s%s%s should have been in [%d, %d]\n",
			   when, name, lo, hi, *lo || *hi ? "" : " unknown scalar value", min, max);
}

static int in_range(struct verify *v, const char *when, u32 regno, const char *name, s32 min,
		    s32 max)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	char type[64];
	int r;

	if (reg->type != VT_SCALAR)
		return verify_fail(v, EINVAL, "%s the register R%d is not a known value (%s)\n",
				   when, regno, verify_type_name(reg, type));
	r = verify_precise(v, regno);
	if (r)
		return r;
	if (reg->val.smin < min || reg->val.smax > max)
		return out_of_range(v, when, &reg->val, name, min, max);
	return 0;
}

int verify_return(struct verify *v, u32 regno, const char *name)
{
	const struct ebpf_vframe *entry = v->cur->frame[0];
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	char type[64];
	s32 min, max;
	int r = verify_readable(v, regno);

	if (r)
		return r;
	if (entry->async)
		return in_range(v, "At async callback return", regno, name, 0, 0);
	if (entry->subprog) {
		if (reg->type == VT_SCALAR)
			return 0;
		return verify_fail(v, EINVAL,
				   "At subprogram exit the register R%d is not a scalar value "
				   "(%s)\n",
				   regno, verify_type_name(reg, type));
	}
	if (!ebpf_ctx_returns(v->prog->prog_type, v->prog->expected_attach_type, &min, &max))
		return 0;
	return in_range(v, "At program exit", regno, name, min, max);
}
