/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: what the explorer does, in the layout of the kernel's verifier, which libbpf prints and
 * tools read.
 *
 * Model: an instruction is a line; what it changed is appended to that line from column 40 on, so
 * the end of the last line is remembered and taken back when nothing was written since. Names and
 * source come from whoever made the object: control characters are printed as '?'.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/log_format.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_node.h"
#include "core/load/verify_proto.h"

#define LEVEL_1_2 3u
#define COLUMN 40u
#define TAB 8u

static void put(struct verify *v, const char *fmt, va_list ap)
{
	char line[1024];

	int n = ebpf_log_vformat(line, sizeof(line), fmt, ap);

	if (n > 0)
		ebpf_log_write(v->log, line, MIN((u32)n, (u32)sizeof(line) - 1));
}

void verify_log(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	if (!v->log->level)
		return;
	va_start(ap, fmt);
	put(v, fmt, ap);
	va_end(ap);
}

int verify_fail(struct verify *v, int err, const char *fmt, ...)
{
	va_list ap;

	if (v->log->level) {
		va_start(ap, fmt);
		put(v, fmt, ap);
		va_end(ap);
	}
	return -err;
}

int verify_bug(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	if (v->log->level) {
		va_start(ap, fmt);
		ebpf_log_printf(v->log, "verifier bug: ");
		put(v, fmt, ap);
		va_end(ap);
	}
	return -EFAULT;
}

/* --- values ---------------------------------------------------------------------------------- */

static const char *type_text(const struct ebpf_vreg *reg)
{
	static const char *const text[] = {
		[VT_NONE] = "?",
		[VT_SCALAR] = "scalar",
		[VT_CTX] = "ctx",
		[VT_MAP] = "map_ptr",
		[VT_MAP_VALUE] = "map_value",
		[VT_MAP_KEY] = "map_key",
		[VT_STACK] = "fp",
		[VT_MEM] = "mem",
		[VT_FUNC] = "func",
		[VT_DYNPTR] = "dynptr_ptr",
		[VT_BTF] = "ptr_",
		[VT_PKT] = "pkt",
		[VT_OTHER] = "ptr_",
	};
	static const char *const packet[] = {"pkt", "pkt_meta", "pkt_end"};

	if (reg->type == VT_PKT && reg->obj < ARRAY_SIZE(packet))
		return packet[reg->obj];
	/* the inner map, before the test: what the lookup in the outer one gave */
	if (reg->type == VT_MAP && (reg->flags & VREG_NULL))
		return "map_value";
	return reg->type < ARRAY_SIZE(text) ? text[reg->type] : "?";
}

const char *verify_type_name(const struct ebpf_vreg *reg, char *buf)
{
	bool btf = reg->type == VT_BTF || reg->type == VT_OTHER;

	ebpf_log_format(buf, 64, "%s%s%s%s%s%s", reg->type == VT_BTF && !reg->obj ? "trusted_" : "",
			reg->type != VT_DYNPTR && (reg->flags & VREG_RDONLY) ? "rdonly_" : "",
			reg->flags & VREG_RINGBUF ? "ringbuf_" : "",
			reg->flags & VREG_MAYFAULT ? "untrusted_" : "", type_text(reg),
			reg->flags & VREG_NULL ? (btf ? "or_null_" : "_or_null") : "");
	return buf;
}

static void log_unum(struct verify *v, u64 n)
{
	verify_log(v, n <= UINT16_MAX ? "%llu" : "%#llx", (unsigned long long)n);
}

static void log_snum(struct verify *v, s64 n)
{
	verify_log(v, n >= INT16_MIN && n <= INT16_MAX ? "%lld" : "%#llx", (long long)n);
}

static void log_text(struct verify *v, const char *s, size_t max)
{
	char clean[256];
	size_t i;

	for (i = 0; i < MIN(max, sizeof(clean) - 1) && s[i]; i++)
		clean[i] = (s[i] >= 0 && s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f ? '?' : s[i];
	clean[i] = '\0';
	verify_log(v, "%s", clean);
}

static const struct ebpf_map_meta *map_of(const struct verify *v, const struct ebpf_vreg *reg)
{
	const struct ebpf_vmap *map;

	if ((reg->type != VT_MAP && reg->type != VT_MAP_VALUE && reg->type != VT_MAP_KEY) ||
	    reg->obj >= v->prog->nmaps)
		return NULL;
	map = &v->prog->maps[reg->obj];
	/* not tested yet: the outer map's value */
	if (map->inner && (reg->flags & VREG_INNER) && !(reg->flags & VREG_NULL))
		return map->inner;
	return &map->meta;
}

#define ATTR(...) (verify_log(v, "%s", *sep), verify_log(v, __VA_ARGS__), *sep = ",")

static void log_object(struct verify *v, const struct ebpf_vreg *reg, const char **sep)
{
	const struct ebpf_map_meta *meta = map_of(v, reg);

	if (meta) {
		if (meta->name[0]) {
			ATTR("map=");
			log_text(v, meta->name, sizeof(meta->name));
		}
		ATTR("ks=%u,vs=%u", meta->key_size, meta->value_size);
	}
	if (reg->type != VT_SCALAR && reg->off) {
		ATTR("off=");
		log_snum(v, reg->off);
	}
	if (reg->type == VT_PKT) {
		ATTR("r=");
		log_unum(v, reg->mem_size);
	}
	if (reg->type == VT_MEM) {
		ATTR("sz=");
		log_unum(v, reg->mem_size);
	}
}

static const char *dynptr_text(u32 kind)
{
	static const char *const text[] = {"<invalid>", "local", "ringbuf", "skb", "xdp"};

	return kind < ARRAY_SIZE(text) ? text[kind] : "<unknown>";
}

static void log_attrs(struct verify *v, const struct ebpf_vreg *reg)
{
	const char *first = "", **sep = &first;
	char ranges[512];

	verify_log(v, "(");
	if (reg->id)
		ATTR("id=%u", reg->id);
	if (reg->flags & VREG_DELTA)
		verify_log(v, "%+d", reg->delta);
	if (reg->ref_id)
		ATTR("ref_obj_id=%u", reg->ref_id);
	log_object(v, reg, sep);
	if (reg->type == VT_DYNPTR)
		ATTR("type=%s", dynptr_text(reg->dyn));
	if (!ebpf_scalar_is_const(&reg->val)) {
		ebpf_scalar_print(&reg->val, ranges, sizeof(ranges));
		if (ranges[0])
			ATTR("%s", ranges);
	} else if (reg->val.umin) {
		ATTR("imm=");
		log_snum(v, reg->val.smin);
	}
	verify_log(v, ")");
}

static void log_reg(struct verify *v, const struct ebpf_vreg *reg, u32 frameno, bool precise)
{
	bool known = ebpf_scalar_is_const(&reg->val);
	char name[64];

	if (reg->type == VT_SCALAR && precise)
		verify_log(v, "P");
	if (reg->type == VT_SCALAR && known) {
		log_snum(v, reg->val.smin);
		return;
	}
	verify_log(v, "%s", verify_type_name(reg, name));
	if (reg->type == VT_BTF)
		verify_log(v, "%s", verify_target_name(v, reg, name));
	if (reg->type == VT_STACK && reg->obj != frameno)
		verify_log(v, "[%u]", reg->obj);
	if (reg->type == VT_STACK && known) {
		log_snum(v, reg->val.smin + reg->off);
		return;
	}
	log_attrs(v, reg);
}

/* --- states ---------------------------------------------------------------------------------- */

static void slot_text(const struct ebpf_vslot *s, char text[9])
{
	static const char kind[] = {
		[VB_NONE] = '?',   [VB_MISC] = 'm', [VB_ZERO] = '0', [VB_SPILL] = 'r',
		[VB_DYNPTR] = 'd', [VB_ITER] = 'i', [VB_IRQ] = 'f',
	};
	u32 i;

	/* what lies above a spill of less than eight bytes; else all, from the top */
	for (i = 0; i < 8; i++) {
		u8 k = s->kind[7 - i];

		if (k == VB_SPILL)
			break;
		text[i] = k < sizeof(kind) ? kind[k] : '?';
	}
	text[i] = '\0';
}

static void log_iter(struct verify *v, const struct ebpf_vreg *it)
{
	verify_log(v, "=iter_%s(ref_id=%u,state=%s,depth=%u)",
		   it->dyn == VITER_BITS ? "bits" : "num", it->ref_id,
		   it->obj == VITER_ACTIVE ? "active" : "drained", it->mem_size);
}

static void log_dynptr(struct verify *v, const struct ebpf_vreg *d)
{
	const char *sep = "";

	verify_log(v, "=dynptr_%s(", dynptr_text(d->dyn));
	if (d->id) {
		verify_log(v, "id=%u", d->id);
		sep = ",";
	}
	if (d->ref_id)
		verify_log(v, "%sref_id=%u", sep, d->ref_id);
	verify_log(v, ")");
}

static bool slot_empty(const struct ebpf_vslot *s)
{
	static const u8 none[8];

	return !memcmp(s->kind, none, 8);
}

/* The low part of a number of which nothing was known: so the kernel tells it. */
static bool unknown_part(const struct ebpf_vslot *s)
{
	u32 size = ebpf_vslot_spill_size(s);

	return size < 8 && s->spilled.type == VT_SCALAR && !s->spilled.id && !s->spilled.val.umin &&
	       s->spilled.val.umax == (1ull << size * 8) - 1 &&
	       s->spilled.val.var_off.mask == s->spilled.val.umax;
}

static void log_slot(struct verify *v, const struct ebpf_vslot *s, u32 i, u32 frameno)
{
	struct ebpf_vreg whole;
	char text[9];

	/* an object is told once, at its first slot */
	if (slot_empty(s) || (s->kind[0] == VB_DYNPTR && s->spilled.uid != 1) ||
	    (s->kind[0] == VB_ITER && s->spilled.uid == 2))
		return;
	verify_log(v, " fp%d", -(s32)(i + 1) * 8);
	switch (s->kind[0]) {
	case VB_DYNPTR:
		log_dynptr(v, &s->spilled);
		return;
	case VB_ITER:
		log_iter(v, &s->spilled);
		return;
	default:
		slot_text(s, text);
		verify_log(v, "=%s", text);
		if (s->kind[0] != VB_SPILL)
			return;
		if (unknown_part(s))
			verify_reg_unknown(NULL, &whole);
		log_reg(v, unknown_part(s) ? &whole : &s->spilled, frameno,
			v->log_marks && v->log_marks->slots >> i & 1);
	}
}

static void log_refs(struct verify *v, const struct ebpf_vstate *st)
{
	const char *sep = " refs=";
	u32 i;

	for (i = 0; i < st->nrefs; i++) {
		if (st->refs[i].kind != VREF_PTR)
			continue;
		verify_log(v, "%s%u", sep, st->refs[i].id);
		sep = ",";
	}
}

void verify_log_frame(struct verify *v, const struct ebpf_vstate *st, u32 frameno, bool all)
{
	const struct ebpf_vframe *f = st->frame[frameno];
	u32 i;

	if (!v->log->level)
		return;
	if (frameno)
		verify_log(v, " frame%u:", frameno);
	for (i = 0; i < EBPF_VREGS; i++) {
		if (f->regs[i].type == VT_NONE || !(all || (v->scratched_regs >> i & 1)))
			continue;
		verify_log(v, " R%u=", i);
		log_reg(v, &f->regs[i], frameno, v->log_marks && v->log_marks->regs >> i & 1);
	}
	for (i = 0; i < f->nslots; i++)
		if (all || (v->scratched_slots >> i & 1))
			log_slot(v, &f->slots[i], i, frameno);
	log_refs(v, st);
	if (f->callback)
		verify_log(v, " cb");
	if (f->async)
		verify_log(v, " async_cb");
	verify_log(v, "\n");
	if (!all) {
		v->scratched_regs = 0;
		v->scratched_slots = 0;
	}
}

void verify_log_state(struct verify *v, bool all)
{
	if (v->log->level & LEVEL_1_2)
		verify_log_frame(v, v->cur, v->cur->curframe, all);
}

static u32 padding(u32 len)
{
	return ALIGN_UP(MAX(len + TAB / 2, COLUMN), TAB) - len - 1;
}

void verify_log_result(struct verify *v)
{
	if (!(v->log->level & LEVEL_1_2))
		return;
	if (v->log_line_end && v->log_line_end == v->log->pos) {
		ebpf_log_reset(v->log, v->log_line_end - 1);
		verify_log(v, "%*c;", (int)padding(v->log_line_len), ' ');
	} else {
		verify_log(v, "%u:", v->insn_idx);
	}
	verify_log_state(v, false);
}

/* --- instructions and source ----------------------------------------------------------------- */

bool verify_kfunc_name(const struct verify *v, s32 id, char *out, size_t size)
{
	const struct ebpf_kfunc_name *k = v->prog->kfuncs;
	u32 i, n = 0;

	for (i = 0; i < v->prog->nkfuncs && k[i].id != (u32)id;)
		i++;
	if (i == v->prog->nkfuncs || !k[i].name[0])
		return false;
	for (; k[i].name[n] && n < size - 1; n++)
		out[n] = k[i].name[n] > ' ' && k[i].name[n] < 0x7f ? k[i].name[n] : '?';
	out[n] = '\0';
	return true;
}

static void insn_text(const struct verify *v, const struct bpf_insn *in, char *text, size_t size)
{
	char name[64];

	if (in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_KFUNC_CALL && !in->off &&
	    !ebpf_proto_kfunc((u32)in->imm) && verify_kfunc_name(v, in->imm, name, sizeof(name)))
		ebpf_log_format(text, size, "call %s#%d", name, in->imm);
	else
		ebpf_disasm(in, text, size);
}

void verify_log_insn(struct verify *v, u32 insn_idx)
{
	char text[128];

	if (!(v->log->level & LEVEL_1_2))
		return;
	if (v->scratched_regs || v->scratched_slots)
		verify_log_result(v);
	verify_log_line(v, insn_idx);
	v->log_line_end = v->log->pos;
	insn_text(v, verify_at(v, insn_idx), text, sizeof(text));
	verify_log(v, "%u: (%02x) %s\n", insn_idx, verify_at(v, insn_idx)->code, text);
	v->log_line_len = (u32)(v->log->pos - v->log_line_end);
	v->log_line_end = v->log->pos;
}

/* The BTF passed its check: what is left to check is that the offset lies in its strings. */
static const char *btf_string(const struct ebpf_vbtf *btf, u32 off)
{
	struct btf_header h;

	if (!btf->data || btf->size < sizeof(h))
		return NULL;
	memcpy(&h, btf->data, sizeof(h));
	if (off >= h.str_len || (u64)h.hdr_len + h.str_off + h.str_len > btf->size)
		return NULL;
	return (const char *)btf->data + h.hdr_len + h.str_off + off;
}

static const struct bpf_line_info *source_of(const struct verify *v, u32 insn)
{
	u32 lo = 0, hi = v->prog->nlines;

	if (!hi || v->prog->lines[0].insn_off > insn)
		return NULL;
	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (v->prog->lines[mid].insn_off <= insn)
			lo = mid;
		else
			hi = mid;
	}
	return &v->prog->lines[lo];
}

static bool same_line(const struct bpf_line_info *a, const struct bpf_line_info *b)
{
	return a == b ||
	       (a && b && a->file_name_off == b->file_name_off &&
		BPF_LINE_INFO_LINE_NUM(a->line_col) == BPF_LINE_INFO_LINE_NUM(b->line_col));
}

void verify_log_line(struct verify *v, u32 insn_idx)
{
	const struct bpf_line_info *l = source_of(v, insn_idx);
	const char *text, *file, *base;

	if (!v->log->level || !l || same_line(l, v->log_source))
		return;
	text = btf_string(&v->prog->btf, l->line_off);
	file = btf_string(&v->prog->btf, l->file_name_off);
	if (!text || !file)
		return;
	while (*text == ' ' || *text == '\t')
		text++;
	base = strrchr(file, '/');
	verify_log(v, "; ");
	log_text(v, text, SIZE_MAX);
	verify_log(v, " @ ");
	log_text(v, base ? base + 1 : file, SIZE_MAX);
	verify_log(v, ":%u\n", BPF_LINE_INFO_LINE_NUM(l->line_col));
	v->log_source = l;
}

/* --- the last line --------------------------------------------------------------------------- */

void verify_log_stats(struct verify *v)
{
	struct ebpf_log_stats stats = {
		.start_ns = v->start_ns,
		.insns = v->insn_processed,
		.most_states = v->max_states_per_insn,
		.states = v->total_states,
		.peak_states = v->peak_states,
		.nsubprogs = v->nsubprogs,
	};

	for (u32 i = 0; i < v->nsubprogs; i++)
		stats.depth[i] = v->subprog[i].needed;
	ebpf_log_stats(v->log, &stats);
}
