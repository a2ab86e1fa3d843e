/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lookup without the helper: that of an array, and of a hash table's key of 4, 8, ... 40 bytes
 * that is the first of its bucket, is done in place, with per-CPU values, too; any other goes
 * straight to the map's own code, as updates and deletions do. What the map is and where its parts
 * lie is in the reference's shape, of which the code is made, and ebpf_prog_bind() makes sure of;
 * only the address of its memory is loaded, from the process's private struct ebpf_map.
 *
 * In shared memory lie the bucket's link, the element's key and an LRU table's mark of use. The
 * link is loaded once and compared with the number of elements before it leads anywhere, as in
 * hashtab.c; no chain is walked.
 */
#include "jit_map.h"

#include "base/hash.h"
#include "core/run/helper.h"

/* offsets in struct ebpf_run, struct ebpf_map and struct ebpf_map_ops, asserted in core/run/prog.c
 */
enum { RUN_CPU_PART = 276, MAP_OPS = 64, MAP_BASE = 72 };
enum { OPS_LOOKUP = 32, OPS_UPDATE = 40, OPS_DELETE = 48 };
/* and in the tables of htab_impl.h, asserted in htab_pool.c */
#define KEY_MAX 40u /* five words: a longer one is compared by a loop */
enum { BUCKET_SIZE = 8, BUCKET_HEAD = 4, ELEM_SMALL = 12, ELEM_END = 16 };

static u32 type_of(const struct ebpf_map_shape *map)
{
	return map->kind >> 8;
}

static u32 key_size(const struct ebpf_map_shape *map)
{
	return map->kind & 0xff;
}

static bool is_array(const struct ebpf_map_shape *map)
{
	return type_of(map) == BPF_MAP_TYPE_ARRAY || type_of(map) == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static void load(struct emit *e, bool wide, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, wide, 0x8b, dst, base, disp, false);
}

/* @dst = @index * @size / 8, for an address that counts in eights; returns the register it is in */
static u8 scaled(struct emit *e, u8 dst, u8 index, u32 size)
{
	u32 words = size / 8, odd = words >> __builtin_ctz(words);
	u8 shift = (u8)__builtin_ctz(words);

	if (words == 1)
		return index;
	if (odd == 1)
		emit_mov(e, false, dst, index);
	else if (odd == 3 || odd == 5 || odd == 9)
		emit_rm_index(e, true, 0x8d, dst, index, index, (u8)(odd - 1), 0);
	else
		emit_imul_imm(e, true, dst, index, (s32)odd);
	if (shift)
		emit_shift_imm(e, true, X86_SHL, dst, shift);
	return dst;
}

/* By the register the size needs. */
static void copy_guarded(struct emit *e, u32 size, const u32 *slow)
{
	emit_guard(e, slow);
	if (size == 1)
		emit_rm(e, 0, false, 0x0fb6, RAX, RDX, 0, false);
	else if (size == 2)
		emit_rm(e, 0, false, 0x0fb7, RAX, RDX, 0, false);
	else
		load(e, size == 8, RAX, RDX, 0);
	emit_rm(e, size == 2 ? 0x66 : 0, size == 8, size == 1 ? 0x88 : 0x89, RAX, RDI, 0, false);
	emit_alu(e, false, X86_XOR, RAX, RAX);
}

bool jit_probe_read(struct emit *e, u32 size, const u32 *slow)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	copy_guarded(e, size, slow);
	return true;
}

/* rax: from the first CPU's values to this one's */
static void cpu_offset(struct emit *e, const struct ebpf_map_shape *map)
{
	load(e, false, RAX, R12, RUN_CPU_PART);
	if (IS_POW2(map->area))
		emit_shift_imm(e, true, X86_SHL, RAX, (u8)__builtin_ctz(map->area));
	else
		emit_imul_imm(e, true, RAX, RAX, (s32)map->area);
}

/* rax: the value of element rcx, whose map's memory begins at rdx, per CPU */
static void percpu_value(struct emit *e, const struct ebpf_map_shape *map)
{
	u8 at = scaled(e, RCX, RCX, map->value_stride);

	cpu_offset(e, map);
	emit_rm_index(e, true, 0x8d, RDX, RDX, at, 8, (s32)map->values);
	emit_alu(e, true, X86_ADD, RAX, RDX);
}

bool jit_map_element(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, u32 index)
{
	s32 at;

	if (!is_array(map) || index >= map->nr_elems)
		return false;
	at = map->nr_cpus ? (s32)(map->values + index * map->value_stride)
			  : (s32)(map->elems + index * map->stride);
	if (map->nr_cpus)
		cpu_offset(e, map);
	load(e, true, map->nr_cpus ? RDX : RAX, at_map, MAP_BASE);
	if (map->nr_cpus)
		emit_rm_index(e, true, 0x8d, RAX, RDX, RAX, 1, at);
	else if (at)
		emit_alu_imm(e, true, X86_ADD, RAX, at);
	return true;
}

static void lookup_array(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, s32 key,
			 const u32 *slow)
{
	u8 at;

	load(e, false, RCX, RBP, key);
	emit_alu_imm(e, false, X86_CMP, RCX, (s32)map->nr_elems);
	emit_jcc32(e, CC_AE, slow);
	load(e, true, RDX, at_map, MAP_BASE);
	if (map->nr_cpus) {
		percpu_value(e, map);
	} else {
		at = scaled(e, RCX, RCX, map->stride);
		emit_rm_index(e, true, 0x8d, RAX, RDX, at, 8, (s32)map->elems);
	}
}

/* r11: the hash of the key at rbp + @key, of which the topmost bits count */
static void hash(struct emit *e, const struct ebpf_map_shape *map, s32 key)
{
	u32 size = key_size(map);
	bool wide = size != 4;

	load(e, wide, RAX, RBP, key);
	emit_mov_imm(e, R11, wide ? hash_seed(map->seed) : map->seed);
	emit_mov_imm(e, RCX, HASH_INT);
	emit_alu(e, wide, X86_XOR, R11, RAX);
	emit_imul(e, true, R11, RCX);
	for (u32 at = 8; at < size; at += 8) {
		load(e, size - at >= 8, RAX, RBP, key + (s32)at);
		emit_shift_imm(e, true, X86_ROL, R11, 32);
		emit_alu(e, true, X86_XOR, R11, RAX);
		emit_imul(e, true, R11, RCX);
	}
}

/* Is the key of the element at rdx + @at * 8 that at rbp + @key? */
static void compare_key(struct emit *e, const struct ebpf_map_shape *map, u8 at, s32 key,
			const u32 *slow)
{
	u32 size = key_size(map);
	s32 theirs = (s32)map->elems + (size == 4 ? ELEM_SMALL : ELEM_END);
	u32 start;

	for (u32 off = 0; off < size; off += 8) {
		bool wide = size - off >= 8;

		if (off || size > 8)
			load(e, wide, RAX, RBP, key + (s32)off);
		start = e->len;
		emit_rm_index(e, wide, 0x39, RAX, RDX, at, 8, theirs + (s32)off);
		emit_fuses(e, start);
		emit_jcc32(e, CC_NE, slow);
	}
}

static void lookup_hash(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, s32 key,
			const u32 *slow)
{
	s32 end = ELEM_END + (key_size(map) == 4 ? 0 : (s32)ALIGN_UP(key_size(map), 8u));
	u8 at;

	hash(e, map, key);
	load(e, true, RDX, at_map, MAP_BASE);
	emit_shift_imm(e, true, X86_SHR, R11, (u8)map->shift);
	emit_rm_index(e, false, 0x8b, RCX, RDX, R11, BUCKET_SIZE, (s32)map->buckets + BUCKET_HEAD);
	emit_alu_imm(e, false, X86_SUB, RCX, 1);
	emit_alu_imm(e, false, X86_CMP, RCX, (s32)map->nr_elems);
	emit_jcc32(e, CC_AE, slow);
	at = scaled(e, R8, RCX, map->stride);
	compare_key(e, map, at, key, slow);
	if (map->used) { /* what is not marked yet is marked by the map's own code */
		emit_rm_index(e, false, 0x80, X86_CMP, RDX, RCX, 1, (s32)map->used);
		emit_bytes(e, 0, 1);
		emit_jcc32(e, CC_E, slow);
	}
	if (map->nr_cpus)
		percpu_value(e, map);
	else
		emit_rm_index(e, true, 0x8d, RAX, RDX, at, 8, (s32)map->elems + end);
}

static void call_op(struct emit *e, s32 op)
{
	load(e, true, RAX, RDI, MAP_OPS);
	emit_rm(e, 0, false, 0xff, 2, RAX, op, false);
}

void jit_map_lookup_slow(struct emit *e, s32 key)
{
	emit_lea(e, RSI, RBP, key);
	call_op(e, OPS_LOOKUP);
}

/* r0 is an int's value */
void jit_map_change(struct emit *e, u32 helper)
{
	call_op(e, helper == BPF_FUNC_map_update_elem ? OPS_UPDATE : OPS_DELETE);
	emit_bytes(e, 0x9848, 2); /* cltq */
}

static bool is_short_hash(const struct ebpf_map_shape *map)
{
	return !is_array(map) && key_size(map) % 4 == 0 && key_size(map) <= KEY_MAX;
}

bool jit_map_in_place(const struct ebpf_map_shape *map)
{
	return map->nr_elems && (is_array(map) || is_short_hash(map));
}

void jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, s32 key,
		    const u32 *slow)
{
	if (is_array(map))
		lookup_array(e, map, at_map, key, slow);
	else
		lookup_hash(e, map, at_map, key, slow);
}
