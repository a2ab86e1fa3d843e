/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the client's instructions to an image: check, resolve the map references, lay out, compile.
 *
 * Rules: nothing of the caller's is changed before success; the reason of every refusal is in the
 * log. A program that the JIT leaves alone becomes an image without code: the interpreter runs it.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/cleanup.h"
#include "core/load/check.h"
#include "core/load/target.h"
#include "core/load/vprog.h"
#include "core/run/helper.h"
#include "core/run/prog.h"

#define JIT_CAP_MIN 4096u
#define JIT_CAP_MAX (256u << 20)
#define MAX_VALUE_OFF (1u << 29)
#define HELPER_TAIL_CALL 12
#define REF_SEARCH 256u
#define ERR_NOTSUPP 524 /* what the kernel returns where user space has no name for it */

struct build {
	struct ebpf_load *load;
	struct bpf_insn *insns;	 /* copy, brought to image form */
	struct bpf_insn *vinsns; /* copy, brought to the form that is verified */
	struct ebpf_image_ref *refs;
	u32 nrefs;
	u32 maps[EBPF_MAX_USED_MAPS];
	u32 nmaps;
	u32 flags;
	u64 start_ns;
	u64 zeros[EBPF_MAX_SUBPROGS]; /* stack slots to clear, of each function */
};

static int use_map(struct build *b, u32 id, u32 *index)
{
	u32 i;

	for (i = 0; i < b->nmaps && b->maps[i] != id; i++)
		;
	if (i == EBPF_MAX_USED_MAPS) {
		ebpf_log_printf(
			b->load->log,
			"The total number of maps per program has reached the limit of %u\n",
			EBPF_MAX_USED_MAPS);
		return -E2BIG;
	}
	if (i == b->nmaps)
		b->maps[b->nmaps++] = id;
	*index = i;
	return 0;
}

static int check_value_off(struct build *b, const struct ebpf_map_meta *meta, u32 off)
{
	struct ebpf_log *log = b->load->log;

	if (meta->type != BPF_MAP_TYPE_ARRAY) {
		ebpf_log_printf(log, "no direct value access support for this map type\n");
		return -EINVAL;
	}
	if (off >= MAX_VALUE_OFF) {
		ebpf_log_printf(log, "direct value offset of %u is not allowed\n", off);
		return -EINVAL;
	}
	if (meta->max_entries == 1 && off < meta->value_size)
		return 0;
	ebpf_log_printf(log, "invalid access to map value pointer, value_size=%u off=%u\n",
			meta->value_size, off);
	return meta->max_entries == 1 ? -EINVAL : -ERR_NOTSUPP;
}

/* A repeated reference is usually a recent one; the search is bounded, a duplicate does no harm. */
static u32 add_ref(struct build *b, struct ebpf_image_ref ref)
{
	u32 i;

	for (i = b->nrefs; i-- > 0 && b->nrefs - i <= REF_SEARCH;)
		if (!memcmp(&b->refs[i], &ref, sizeof(ref)))
			return i;
	b->refs[b->nrefs] = ref;
	return b->nrefs++;
}

static int resolve_map(struct build *b, struct bpf_insn *in)
{
	bool index = in->src_reg == BPF_PSEUDO_MAP_IDX || in->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
	bool value = in->src_reg == BPF_PSEUDO_MAP_VALUE || in->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
	struct ebpf_image_ref ref = {.kind = value ? EBPF_REF_MAP_VALUE : EBPF_REF_MAP};
	const struct ebpf_map_meta *meta;
	int r;

	meta = b->load->map_by_fd ? b->load->map_by_fd(b->load->cookie, in->imm, index) : NULL;
	if (!meta) {
		ebpf_log_printf(b->load->log, "fd %d is not pointing to valid bpf_map\n", in->imm);
		return -EBADF;
	}
	if (value) {
		ref.off = (u32)in[1].imm;
		r = check_value_off(b, meta, ref.off);
		if (r)
			return r;
	} else {
		ebpf_map_shape(meta, &ref.shape);
	}
	r = use_map(b, meta->id, &ref.map);
	if (r)
		return r;
	b->vinsns[in - b->insns].src_reg = value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
	b->vinsns[in - b->insns].imm = (s32)ref.map;
	in->src_reg = EBPF_LD_REF;
	in->imm = (s32)add_ref(b, ref);
	in[1].imm = 0;
	return 0;
}

/* Of a kernel function that is there no more is to be known than that its address is not 0. */
static void resolve_function(struct build *b, u32 i)
{
	struct bpf_insn *v[] = {&b->insns[i], &b->vinsns[i]};

	for (u32 k = 0; k < ARRAY_SIZE(v); k++) {
		v[k]->src_reg = 0;
		v[k]->imm = 1;
	}
}

static int resolve_lddw(struct build *b, u32 i)
{
	struct bpf_insn *in = &b->insns[i];

	switch (in->src_reg) {
	case 0:
		return 0;
	case BPF_PSEUDO_FUNC:
		in->imm += (s32)i + 1;
		return 0;
	case BPF_PSEUDO_BTF_ID:
		resolve_function(b, i);
		return 0;
	default:
		return resolve_map(b, in);
	}
}

static bool is_call(const struct bpf_insn *in, u8 src)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == src;
}

static void resolve_kfunc(struct build *b, struct bpf_insn *in)
{
	const struct ebpf_callee *callee = ebpf_vprog_callee(b->load, in->imm);

	in->src_reg = 0;
	if (callee) {
		in->off = (s16)(callee - b->load->callees);
		in->imm = EKFUNC_TARGET;
		if (!(callee->flags & EBPF_CALLEE_SIGNAL_SAFE))
			b->flags |= EBPF_IMAGE_CALLS;
	}
	in->imm = (s32)((u32)in->imm + EBPF_HELPER_KFUNC);
}

static int resolve(struct build *b)
{
	u32 i;
	int r;

	for (i = 0; i < b->load->ninsns; i++) {
		struct bpf_insn *in = &b->insns[i];

		if (is_call(in, 0) && in->imm == HELPER_TAIL_CALL)
			b->flags |= EBPF_IMAGE_TAIL_CALLS;
		if (is_call(in, BPF_PSEUDO_KFUNC_CALL)) {
			if (in->imm == EKFUNC_LEFT)
				b->flags |= EBPF_IMAGE_ASKS_LEFT;
			resolve_kfunc(b, in);
		}
		if (in->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		r = resolve_lddw(b, i++);
		if (r)
			return r;
	}
	return 0;
}

static u32 count_lddw(const struct bpf_insn *insns, u32 n)
{
	u32 i, count = 0;

	for (i = 0; i < n; i++)
		count += insns[i].code == (BPF_LD | BPF_IMM | BPF_DW);
	return count;
}

/* Compile into *image. -EOPNOTSUPP is not an error: the image stays without code. */
static int add_code(u8 **image, u32 *size)
{
	struct arch_code out;
	int r = -ENOSPC;
	u32 cap;

	for (cap = JIT_CAP_MIN; r == -ENOSPC && cap <= JIT_CAP_MAX; cap *= 2) {
		_cleanup_free_ u8 *code = malloc(cap);

		if (!code)
			return -ENOMEM;
		r = arch_jit((const struct ebpf_image *)*image, code, cap, &out);
		if (!r)
			r = ebpf_image_add_code(image, size, code, &out);
	}
	return r == -EOPNOTSUPP ? 0 : r;
}

/* Most programs are none. */
static int add_leaf(u8 **image, u32 *size)
{
	u8 code[ARCH_LEAF_MAX];
	struct arch_leaf leaf;
	int r = arch_jit_leaf((const struct ebpf_image *)*image, code, &leaf);

	if (!r)
		r = ebpf_image_add_leaf(image, size, code, &leaf);
	return r == -EOPNOTSUPP ? 0 : r;
}

static u32 fact_flags(const struct ebpf_facts *facts, u32 n)
{
	u32 flags = 0;

	for (u32 i = 0; i < n; i++) {
		if (facts->insn[i] & EBPF_FACT_MAY_FAULT)
			flags |= EBPF_IMAGE_MAY_FAULT;
		if (facts->insn[i] & EBPF_FACT_CTX_ESCAPES)
			flags |= EBPF_IMAGE_CTX_ESCAPES;
	}
	return flags;
}

/* Loads that a checked program may do from anywhere become those that go on when they fault. */
static void mark_probes(struct build *b, const struct ebpf_facts *facts)
{
	for (u32 i = 0; facts->insn && i < b->load->ninsns; i++) {
		u8 *code = &b->insns[i].code;

		if (facts->insn[i] & EBPF_FACT_PROBES)
			*code = (u8)((*code & ~0xe0) |
				     (BPF_MODE(*code) == BPF_MEMSX ? EBPF_PROBE_MEMSX
								   : EBPF_PROBE_MEM));
	}
}

/* What those learn who make code of the image and run it. Without a proof, the worst. */
static void hand_on(const struct build *b, const struct ebpf_layout *layout,
		    const struct ebpf_facts *facts, struct ebpf_image_parts *parts)
{
	static const u64 all[4] = {~0ull, ~0ull, ~0ull, ~0ull};
	bool proved = facts->nsubprogs;

	parts->flags |= proved ? fact_flags(facts, b->load->ninsns)
			       : EBPF_IMAGE_MAY_FAULT | EBPF_IMAGE_CTX_ESCAPES;
	parts->stack_depth = proved ? facts->stack_depth : layout->frames * EBPF_STACK_SIZE;
	parts->ctx_size = facts->ctx_size;
	parts->ctx_read = proved ? facts->ctx_read : ~0ull;
	parts->helpers = proved ? facts->helpers : all;
	parts->timers = facts->timer;
	parts->ntimers = facts->ntimers;
}

/* Which words of its context a program reads, by itself or by helpers that give it any. */
static u64 words_read(const struct ebpf_image_parts *parts)
{
	const u64 any = 1ull << BPF_FUNC_get_func_arg % 64 | 1ull << BPF_FUNC_get_func_ret % 64;

	return parts->helpers[BPF_FUNC_get_func_arg / 64] & any ? ~0ull : parts->ctx_read;
}
_Static_assert(BPF_FUNC_get_func_arg / 64 == BPF_FUNC_get_func_ret / 64, "one word of bits");

/* Is some of that in vector registers? */
static bool reads_vectors(const struct ebpf_target_sig *sig, u64 ctx_read)
{
	for (u32 i = 0; i < sig->nwords; i++) {
		const u8 where = sig->word[i].from.where;

		if ((ctx_read >> i & 1) &&
		    (where == EBPF_WORD_SSE || where == EBPF_WORD_SSE_HIGH ||
		     where == EBPF_WORD_RET_SSE || where == EBPF_WORD_RET_SSE_HIGH))
			return true;
	}
	return false;
}

/* Does what is left of a program ask for them? */
static bool calls_for_vectors(const struct build *b)
{
	for (u32 i = 0; i < b->load->ninsns; i++) {
		const struct bpf_insn *in = &b->insns[i];

		if (is_call(in, 0) && (u32)in->imm == EBPF_HELPER_KFUNC + EKFUNC_VECTOR)
			return true;
		i += in->code == (BPF_LD | BPF_IMM | BPF_DW);
	}
	return false;
}

/* How the context of a typed program is made: *sig for @parts. */
static int typed(const struct build *b, struct ebpf_image_parts *parts, struct ebpf_target_sig *sig)
{
	const struct ebpf_vbtf data = {b->load->target, b->load->target_size};
	struct ebpf_btf btf;
	int r = ebpf_btf_open(&btf, &data);

	if (r)
		return r;
	r = ebpf_target_sig(&btf, b->load->target_func, sig);
	ebpf_btf_close(&btf);
	parts->sig = sig;
	parts->flags |= EBPF_IMAGE_TYPED;
	if (b->load->expected_attach_type == BPF_TRACE_FEXIT)
		parts->flags |= EBPF_IMAGE_AT_EXIT;
	if (reads_vectors(sig, words_read(parts)))
		parts->flags |= EBPF_IMAGE_VECTORS;
	return r;
}

static int make_image(struct build *b, const struct ebpf_layout *layout,
		      const struct ebpf_facts *facts)
{
	struct ebpf_target_sig sig;
	struct ebpf_image_parts parts = {
		.insns = b->insns,
		.ninsns = b->load->ninsns,
		.refs = b->refs,
		.nrefs = b->nrefs,
		.nmaps = b->nmaps,
		.prog_type = b->load->prog_type,
		.flags = b->flags,
		.layout = layout,
		.zeros = b->zeros,
		.callees = b->load->callees,
		.ncallees = b->load->ncallees,
	};
	_cleanup_free_ u8 *image = NULL;
	u32 size;
	int r;

	hand_on(b, layout, facts, &parts);
	if (calls_for_vectors(b))
		parts.flags |= EBPF_IMAGE_VECTORS;
	r = b->load->target ? typed(b, &parts, &sig) : 0;
	mark_probes(b, facts);
	r = r ? r : ebpf_image_build(&parts, &image, &size);
	if (!r && b->load->want_jit)
		r = add_code(&image, &size);
	if (!r && ((const struct ebpf_image *)image)->arch)
		r = add_leaf(&image, &size);
	if (r)
		return r;
	b->load->image = TAKE_PTR(image);
	b->load->image_size = size;
	b->load->nused_maps = b->nmaps;
	memcpy(b->load->used_maps, b->maps, sizeof(b->maps));
	return 0;
}

static int view_maps(const struct build *b, struct ebpf_vmap *maps)
{
	int r = 0;

	for (u32 i = 0; !r && i < b->nmaps; i++)
		r = b->load->map_view(b->load->cookie, b->maps[i], &maps[i]);
	return r;
}

static int verify(const struct build *b, struct ebpf_facts *facts)
{
	const struct ebpf_load *load = b->load;
	_cleanup_free_ struct ebpf_vmap *maps = calloc(b->nmaps + 1, sizeof(*maps));
	struct ebpf_vprog prog = {
		.insns = b->vinsns,
		.ninsns = load->ninsns,
		.prog_type = load->prog_type,
		.expected_attach_type = load->expected_attach_type,
		.prog_flags = load->prog_flags,
		.nr_cpus = load->nr_cpus,
		.gpl = load->gpl,
		.maps = maps,
		.nmaps = b->nmaps,
		.btf = {load->btf, load->btf_size},
		.funcs = load->funcs,
		.nfuncs = load->nfuncs,
		.lines = load->lines,
		.nlines = load->nlines,
		.kfuncs = load->kfuncs,
		.nkfuncs = load->nkfuncs,
		.target = {load->target, load->target_size},
		.target_func = load->target_func,
		.callees = load->callees,
		.ncallees = load->ncallees,
		.served = true,
	};
	int r = maps ? view_maps(b, maps) : -ENOMEM;

	return r ? r : ebpf_verify(&prog, load->log, facts);
}

/*
 * Slots that the proof says may be read before they are written. Of a function it does not speak
 * of, and without a proof, all.
 */
static void stack_to_clear(struct build *b, const struct ebpf_layout *layout,
			   const struct ebpf_facts *facts)
{
	memset(b->zeros, 0xff, sizeof(b->zeros));
	for (u32 i = 0, s = 0; i < facts->nsubprogs; i++) {
		while (s < layout->nsubprogs && layout->starts[s] != facts->subprog[i].start)
			s++;
		if (s == layout->nsubprogs)
			return;
		b->zeros[s] = facts->subprog[i].zero;
	}
}

/* --- what no path comes to ------------------------------------------------------------------- */

static void clean_jump(struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code), wide = BPF_CLASS(in->code) == BPF_JMP32;
	struct bpf_insn was = *in;

	*in = (struct bpf_insn){.code = was.code};
	if (op == BPF_CALL && was.src_reg == BPF_PSEUDO_CALL) {
		in->src_reg = was.src_reg;
		in->imm = was.imm;
	} else if (op == BPF_CALL) {
		in->code = BPF_JMP | BPF_JA;
	} else if (op == BPF_JA && wide) {
		in->imm = was.imm;
	} else if (op != BPF_EXIT) {
		in->off = was.off;
	}
}

/*
 * Nobody looked at them, as in the kernel: calls of what isn't there, fields that should be empty.
 * They become what does nothing, and where it could go on stays the same.
 */
static void clean(struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		if (in->code == (BPF_LD | BPF_IMM | BPF_DW))
			return;
		/* fall through */
	case BPF_ALU:
	case BPF_ALU64:
		*in = (struct bpf_insn){.code = BPF_JMP | BPF_JA};
		break;
	case BPF_JMP:
	case BPF_JMP32:
		clean_jump(in);
	}
}

void ebpf_clean_dead(struct bpf_insn *insns, u32 n, const struct ebpf_facts *facts)
{
	for (u32 i = 0; i < n; i++) {
		if (!(facts->insn[i] & EBPF_FACT_SEEN))
			clean(&insns[i]);
		else if (insns[i].code == (BPF_JMP | BPF_EXIT))
			insns[i].off = 0;
		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW))
			i++;
	}
}

/* --- the whole ------------------------------------------------------------------------------- */

static int check(const struct ebpf_load *load, const struct bpf_insn *insns, u32 flags,
		 struct ebpf_layout *layout)
{
	return ebpf_check_layout(insns, load->ninsns, load->prog_type, flags, load->log, layout);
}

/* Which arguments of a callee are memory of the program, as the checker has seen it. */
static void tell_memory(struct build *b, const struct ebpf_facts *facts)
{
	for (u32 i = 0; i < b->load->ninsns; i++) {
		struct bpf_insn *in = &b->insns[i];
		u32 memory = 0;

		if (!is_call(in, 0) || in->imm != EBPF_HELPER_KFUNC + EKFUNC_TARGET)
			continue;
		for (u32 k = 0; k < EBPF_CALLEE_ARGS; k++)
			if (facts->insn[i] & EBPF_FACT_MEMORY(k))
				memory |= 1u << (4 + k);
		in->off = (s16)(EBPF_CALLEE_INDEX(in->off) | memory);
	}
}

/*
 * In the kernel's order: descriptors are resolved by now, the explorer judges what it walks. All
 * that goes into the image is checked again as a whole.
 */
static int check_and_verify(struct build *b, struct ebpf_facts *facts)
{
	const struct ebpf_load *load = b->load;
	_cleanup_free_ struct bpf_insn *insns = calloc(load->ninsns, sizeof(*insns));
	struct ebpf_layout layout;
	int r = insns ? verify(b, facts) : -ENOMEM;

	if (r)
		return r;
	memcpy(insns, load->insns, load->ninsns * sizeof(*insns));
	ebpf_clean_dead(insns, load->ninsns, facts);
	ebpf_clean_dead(b->insns, load->ninsns, facts);
	tell_memory(b, facts);
	return check(load, insns, EBPF_CHECK_PATHS, &layout);
}

/* Refused before any instruction was walked: the log of a load ends as it always does. */
static int not_walked(const struct build *b, const struct ebpf_layout *layout, int r)
{
	struct ebpf_log_stats stats = {.start_ns = b->start_ns, .nsubprogs = layout->nsubprogs};

	if (!b->load->check_flags)
		ebpf_log_stats(b->load->log, &stats);
	return r;
}

static int prepare(struct build *b, const struct ebpf_layout *layout)
{
	struct ebpf_load *load = b->load;
	_cleanup_free_ struct ebpf_facts *facts = calloc(1, sizeof(*facts));
	int r;

	if (!facts)
		return -ENOMEM;
	memcpy(b->insns, load->insns, load->ninsns * sizeof(*b->insns));
	memcpy(b->vinsns, load->insns, load->ninsns * sizeof(*b->vinsns));
	r = resolve(b);
	r = r ? not_walked(b, layout, r) : 0;
	if (!r && !load->check_flags)
		r = check_and_verify(b, facts);
	stack_to_clear(b, layout, load->facts ? load->facts : facts);
	r = r ? r : make_image(b, layout, load->facts ? load->facts : facts);
	ebpf_facts_free(facts);
	return r;
}

static void name_callee(const struct ebpf_load *load, struct bpf_insn *in)
{
	for (u32 k = 0; k < load->ncallees; k++)
		if (load->callees[k].id == (u32)in->imm && in->imm >= EKFUNC_MAX) {
			in->imm = (s32)(EBPF_KFUNC_CALLEE + k);
			return;
		}
}

/* Calls of what a client's types call by these numbers are known by their callee's from here on. */
static struct bpf_insn *name_callees(const struct ebpf_load *load)
{
	struct bpf_insn *insns = calloc(load->ninsns, sizeof(*insns));

	if (insns)
		memcpy(insns, load->insns, load->ninsns * sizeof(*insns));
	for (u32 i = 0; insns && i < load->ninsns; i++) {
		struct bpf_insn *in = &insns[i];

		const bool wide = in->code == (BPF_LD | BPF_IMM | BPF_DW);

		i += wide;
		if (wide ? in->src_reg == BPF_PSEUDO_BTF_ID
			 : is_call(in, BPF_PSEUDO_KFUNC_CALL) && !in->off)
			name_callee(load, in);
	}
	return insns;
}

static int build(struct ebpf_load *load)
{
	_cleanup_free_ struct bpf_insn *insns = NULL, *vinsns = NULL;
	_cleanup_free_ struct ebpf_image_ref *refs = NULL;
	struct build b = {.load = load, .start_ns = ebpf_log_now()};
	struct ebpf_layout layout = {0};
	int r;

	r = check(load, load->insns,
		  load->check_flags ? load->check_flags : EBPF_CHECK_PATHS | EBPF_CHECK_LATER,
		  &layout);
	if (r)
		return not_walked(&b, &layout, r);
	insns = b.insns = calloc(load->ninsns, sizeof(*insns));
	vinsns = b.vinsns = calloc(load->ninsns, sizeof(*vinsns));
	refs = b.refs = calloc(count_lddw(load->insns, load->ninsns) + 1, sizeof(*refs));
	if (!insns || !vinsns || !refs)
		return -ENOMEM;
	return prepare(&b, &layout);
}

int ebpf_load_build(struct ebpf_load *load)
{
	const struct bpf_insn *sent = load->insns;
	_cleanup_free_ struct bpf_insn *named = NULL;
	int r;

	if (load->ncallees && load->ninsns <= EBPF_MAX_INSNS) {
		named = name_callees(load);
		if (!named)
			return -ENOMEM;
		load->insns = named;
	}
	r = build(load);
	load->insns = sent;
	ebpf_log_end(load->log);
	return r;
}
