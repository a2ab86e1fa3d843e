/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a typed program's values are in the target: the words of its context, and what it reads
 * through pointers.
 *
 * Model: a pointer to a structure of the target is a VT_BTF whose .obj is the structure's type
 * there. What is read through it is a number, such a pointer again, or a pointer to anything else,
 * a VT_MEM with VREG_MAYFAULT, of which any byte may be read; nothing is written. Whether the
 * memory is there decides the run: to the checker all of these are numbers (vstate.h). Messages
 * are the kernel's, for its fentry and fexit programs.
 *
 * Where we say otherwise: a structure or a float is its words, and an argument that is a pointer to
 * anything but a structure is a number, whatever it is.
 */
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_mem.h"

int verify_target_open(struct verify *v)
{
	int r;

	if (!ebpf_ctx_probes(v->prog->prog_type))
		return 0;
	if (!v->prog->target.data)
		return verify_fail(v, EINVAL, "Tracing programs must provide btf_id\n");
	r = ebpf_btf_open(&v->target, &v->prog->target);
	if (r)
		return r == -ENOMEM ? r : verify_fail(v, EINVAL, "the target's BTF is damaged\n");
	if (ebpf_target_sig(&v->target, v->prog->target_func, &v->sig))
		return verify_fail(v, EINVAL, "attach_btf_id %u is not a function\n",
				   v->prog->target_func);
	return 0;
}

void verify_target_close(struct verify *v)
{
	if (v->target.data)
		ebpf_btf_close(&v->target);
}

const char *verify_target_name(const struct verify *v, const struct ebpf_vreg *reg, char *buf)
{
	struct ebpf_btf_type t = {.name = ""};

	if (!reg->obj)
		return ebpf_ctx_struct(v->prog->prog_type);
	ebpf_btf_type(&v->target, reg->obj, &t);
	ebpf_btf_clean_name(buf, 64, t.name);
	return buf;
}

static u32 words_allowed(const struct verify *v)
{
	return v->prog->expected_attach_type == BPF_TRACE_FEXIT ? v->sig.nwords : v->sig.nargs;
}

/* The structure that word @w is a pointer to, or 0. */
static u32 pointee(const struct verify *v, const struct ebpf_target_word *w)
{
	struct ebpf_btf_type t;
	u32 id = w->type;

	if (!w->by_address)
		return w->first ? ebpf_target_pointee(&v->target, id) : 0;
	return ebpf_btf_skip(&v->target, &id, &t) ? id : 0;
}

static int unreadable(struct verify *v, const struct ebpf_target_word *w)
{
	struct ebpf_btf_type t;
	u32 id = w->type;

	if (!ebpf_btf_skip(&v->target, &id, &t))
		t.kind = 0;
	return verify_fail(v, EACCES,
			   "func '%s' arg%u has type %s, of which can't be told where it is\n",
			   v->sig.name, w->arg, ebpf_btf_kind_name(t.kind));
}

int verify_target_context(struct verify *v, u32 off, u32 size, u32 dst)
{
	const struct ebpf_target_word *w = &v->sig.word[off / 8];
	char name[64];
	u32 id;

	if (off % 8)
		return verify_fail(v, EACCES, "func '%s' offset %u is not multiple of 8\n",
				   v->sig.name, off);
	if (off / 8 >= words_allowed(v))
		return verify_fail(v, EACCES, "func '%s' doesn't have %u-th argument\n",
				   v->sig.name, off / 8 + 1);
	if (w->from.where == EBPF_WORD_NONE)
		return unreadable(v, w);
	id = pointee(v, w);
	if (id && size != 8)
		return verify_fail(v, EACCES, "func '%s' size %u must be 8\n", v->sig.name, size);
	if (dst == ~0u)
		return 0;
	if (!id) {
		verify_reg_unknown(v, verify_reg(v, dst));
		return 0;
	}
	verify_reg_pointer(verify_reg(v, dst), VT_BTF, id, 0);
	verify_log(v, "func '%s' arg%u has btf_id %u type STRUCT '%s'\n", v->sig.name, w->arg, id,
		   verify_target_name(v, verify_reg(v, dst), name));
	return 0;
}

int verify_member_only(struct verify *v, const struct verify_access *a, const char *name)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	char tnum[48];

	if (a->off < 0)
		return verify_fail(v, EACCES, "R%d is ptr_%s invalid negative access: off=%d\n",
				   a->regno, name, a->off);
	if (!ebpf_scalar_is_const(&reg->val) || reg->val.var_off.value)
		return verify_fail(v, EACCES,
				   "R%d is ptr_%s invalid variable offset: off=%d, var_off=%s\n",
				   a->regno, name, a->off, verify_tnum_text(&reg->val, tnum));
	return EBPF_MUTANT(142, a->write, false)
		       ? verify_fail(v, EACCES, "only read is supported\n")
		       : 0;
}

int verify_target_load(struct verify *v, const struct verify_access *a, u32 dst, bool sext)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	bool vague = reg->flags & VREG_MAYFAULT;
	char why[EBPF_TARGET_WHY] = "";
	u32 id;
	char name[64];
	int r = verify_member_only(v, a, verify_target_name(v, verify_reg(v, a->regno), name));

	r = r ? r : ebpf_target_field(&v->target, reg->obj, (u32)a->off, a->size, &id, &vague, why);
	if (r)
		return *why ? verify_fail(v, -r, "%s", why) : r;
	if (dst == ~0u)
		return 0;
	if (id == EBPF_TARGET_MEMORY && !sext)
		verify_reg_pointer(verify_reg(v, dst), VT_MEM, 0, VREG_RDONLY | VREG_MAYFAULT);
	else if (id && !sext)
		verify_reg_pointer(verify_reg(v, dst), VT_BTF, id, vague ? VREG_MAYFAULT : 0);
	else
		verify_reg_unknown(v, verify_reg(v, dst));
	return 0;
}
