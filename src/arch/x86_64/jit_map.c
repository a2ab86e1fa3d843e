/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lookup without the helper: that of an array, and of a hash table's key of 4 or 8 bytes that is
 * the first of its bucket, is done in place; any other goes straight to the map's own code. What
 * the map is the reference says, and ebpf_prog_bind() makes sure of; its geometry comes from the
 * process's private struct ebpf_map.
 *
 * In shared memory lie the bucket's link, the element's key and an LRU table's mark of use. The
 * link is loaded once and compared with the number of elements before it leads anywhere, as in
 * hashtab.c; no chain is walked.
 */
#include "jit_map.h"

#include "base/hash.h"
#include "core/run/image.h"

/* offsets in struct ebpf_map and struct ebpf_map_ops, asserted in core/run/prog.c */
enum { MAP_MAX_ENTRIES = 16, MAP_SEED = 56, MAP_OPS = 64, MAP_BASE = 72, MAP_STRIDE = 92 };
enum { MAP_BUCKETS = 96, MAP_ELEMS = 104, MAP_USED = 112, MAP_NR_ELEMS = 136, MAP_SHIFT = 152 };
enum { OPS_LOOKUP = 32 };
/* and in the tables of htab_impl.h, asserted in htab_pool.c */
enum { BUCKET_HEAD = 4, ELEM_SMALL = 12, ELEM_END = 16 };

#define ARRAY EBPF_MAP_SHAPE(BPF_MAP_TYPE_ARRAY, 4)
#define HASH(key_size) EBPF_MAP_SHAPE(BPF_MAP_TYPE_HASH, key_size)
#define LRU_HASH(key_size) EBPF_MAP_SHAPE(BPF_MAP_TYPE_LRU_HASH, key_size)

static void load(struct emit *e, bool wide, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, wide, 0x8b, dst, base, disp, false);
}

static void multiply_by(struct emit *e, u8 dst, u64 by)
{
	emit_mov_imm(e, R11, by);
	emit_imul(e, true, dst, R11);
}

static void lookup_array(struct emit *e)
{
	u32 beyond;

	load(e, false, RCX, RSI, 0);
	emit_alu(e, false, X86_XOR, RAX, RAX);
	emit_rm(e, 0, false, 0x3b, RCX, RDI, MAP_MAX_ENTRIES, false);
	beyond = emit_jcc8(e, CC_AE);
	load(e, false, RAX, RDI, MAP_STRIDE);
	emit_imul(e, true, RAX, RCX);
	emit_rm(e, 0, true, 0x03, RAX, RDI, MAP_BASE, false);
	emit_patch8(e, beyond);
}

/* rcx: the bucket of the key in rax (base/hash.h, bucket_of()) */
static void hash_bucket(struct emit *e, bool wide)
{
	load(e, false, RCX, RDI, MAP_SEED);
	emit_alu(e, wide, X86_XOR, RCX, RAX);
	multiply_by(e, RCX, HASH_K1);
	if (wide) {
		emit_mov(e, true, RDX, RCX);
		emit_shift_imm(e, true, X86_SHR, RDX, 32);
		emit_alu(e, true, X86_XOR, RCX, RDX);
		multiply_by(e, RCX, HASH_K2);
	}
	load(e, false, RDX, RDI, MAP_SHIFT);
	emit_shiftx(e, true, X86_SHR, RCX, RCX, RDX);
}

static void lookup_hash(struct emit *e, bool wide, bool lru, u32 slow)
{
	load(e, wide, RAX, RSI, 0);
	hash_bucket(e, wide);
	load(e, true, RDX, RDI, MAP_BUCKETS);
	emit_rm_index(e, false, 0x8b, RCX, RDX, RCX, 8, BUCKET_HEAD);
	emit_alu_imm(e, false, X86_SUB, RCX, 1);
	emit_rm(e, 0, false, 0x3b, RCX, RDI, MAP_NR_ELEMS, false);
	emit_jcc32(e, CC_AE, slow);
	load(e, false, RDX, RDI, MAP_STRIDE);
	emit_imul(e, true, RDX, RCX);
	emit_rm(e, 0, true, 0x03, RDX, RDI, MAP_ELEMS, false);
	emit_rm(e, 0, wide, 0x39, RAX, RDX, wide ? ELEM_END : ELEM_SMALL, false);
	emit_jcc32(e, CC_NE, slow);
	if (lru) { /* what is not marked yet is marked by the map's own code */
		load(e, true, R8, RDI, MAP_USED);
		emit_rm_index(e, false, 0x80, X86_CMP, R8, RCX, 1, 0);
		emit_bytes(e, 0, 1);
		emit_jcc32(e, CC_E, slow);
	}
	emit_lea(e, RAX, RDX, wide ? ELEM_END + 8 : ELEM_END);
}

void jit_map_lookup_slow(struct emit *e)
{
	load(e, true, RAX, RDI, MAP_OPS);
	emit_rm(e, 0, false, 0xff, 2, RAX, OPS_LOOKUP, false);
}

bool jit_map_lookup(struct emit *e, u32 shape, u32 slow)
{
	bool lru = shape == LRU_HASH(4) || shape == LRU_HASH(8);
	bool hash = e->bmi2 && (lru || shape == HASH(4) || shape == HASH(8));

	if (shape != ARRAY && !hash) {
		jit_map_lookup_slow(e);
		return false;
	}
	if (hash)
		lookup_hash(e, shape == HASH(8) || shape == LRU_HASH(8), lru, slow);
	else
		lookup_array(e);
	return hash;
}
