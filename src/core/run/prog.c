/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a program: choosing the engine, callbacks into JIT code, tail calls, and cutting an
 * execution short.
 *
 * Rules: no state but the caller's run; every run enters through arch_prog_enter(), so that a fault
 * anywhere below has a way back.
 */
#include "arch/arch.h"
#include "core/run/helper.h"
#include "core/run/interp.h"
#include "core/run/map/map.h"
#include "osl/osl_trap.h"

/* what emitted code relies on */
_Static_assert(offsetof(struct ebpf_run, helpers) == 0, "jit: helpers");
_Static_assert(offsetof(struct ebpf_run, prog) == 8, "jit: prog");
_Static_assert(offsetof(struct ebpf_run, refs) == 16, "jit: refs");
_Static_assert(offsetof(struct ebpf_run, ctx) == 40, "jit: ctx");
_Static_assert(offsetof(struct ebpf_run, recover) == 88, "enter.S: recover");
_Static_assert(offsetof(struct ebpf_run, may_goto) == 224, "jit: may_goto");
_Static_assert(offsetof(struct ebpf_run, cpu) == 272, "jit_self: cpu");
_Static_assert(offsetof(struct ebpf_run, callee) == 280, "jit_self: callee");
_Static_assert(offsetof(struct ebpf_run, cpu_part) == 276, "jit_map: cpu_part");
_Static_assert(offsetof(struct osl_who, tid_at) == 0 && offsetof(struct osl_who, by_tid) == 16 &&
		       sizeof(osl_who.by_tid[0]) == 16 && OSL_WHO_SLOTS == 256,
	       "jit_self: who");
_Static_assert(offsetof(struct ebpf_map, ops) == 64, "jit_map: ops");
_Static_assert(offsetof(struct ebpf_map, base) == 72, "jit_map: base");
_Static_assert(offsetof(struct ebpf_map_ops, lookup) == 32, "jit_map: lookup");
_Static_assert(offsetof(struct ebpf_map_ops, update) == 40, "jit_map: update");
_Static_assert(offsetof(struct ebpf_map_ops, del) == 48, "jit_map: delete");

static u64 no_such_helper(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)
{
	return (u64)-EINVAL;
}

static void run_init(const struct ebpf_prog *prog, void *ctx, struct ebpf_run *run)
{
	run->helpers = ebpf_helper_table;
	run->prog = prog;
	run->refs = prog->refs;
	run->tail_calls = 0;
	run->ctx = ctx;
	run->engine = NULL;
	run->aborted = 0;
	run->nresv = 0;
	run->may_goto = EBPF_MAX_LOOPS;
	run->lock = NULL;
	run->drain.map = NULL;
}

static bool in_code(const struct ebpf_prog *prog, u64 addr)
{
	const struct ebpf_image *img = prog->image;
	u64 start = (u64)(uintptr_t)img + img->code;

	return prog->code && addr - start < img->code_size;
}

/*
 * A callback's value comes from the program; code is entered at nothing else than code of the
 * program.
 */
static u64 jit_callback(struct ebpf_run *run, u64 fn, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	const struct ebpf_prog *prog = run->prog;
	u64 ret;

	if (!in_code(prog, fn)) {
		run->aborted = 1;
		return 1;
	}
	ret = ((ebpf_helper_fn)(uintptr_t)fn)(r1, r2, r3, r4, r5, run);
	run->prog = prog;
	run->refs = prog->refs;
	return ret;
}

bool ebpf_callback_pc(const struct ebpf_run *run, u64 fn, u32 *pc)
{
	if (run->engine)
		return ebpf_interp_callback(run->prog->image, fn, pc);
	if (!in_code(run->prog, fn - sizeof(*pc)) || !in_code(run->prog, fn))
		return false;
	__builtin_memcpy(pc, (const void *)(uintptr_t)(fn - sizeof(*pc)), sizeof(*pc));
	return true;
}

static u64 run_end(struct ebpf_run *run, u64 ret)
{
	if (unlikely(run->nresv || run->lock || run->drain.map))
		ebpf_run_finish(run);
	return run->aborted ? 0 : ret;
}

void ebpf_run_prepare(struct ebpf_run *run)
{
	*run = (struct ebpf_run){.helpers = ebpf_helper_table, .callback = jit_callback};
}

bool ebpf_run_clean(struct ebpf_run *run)
{
	bool aborted = run->aborted;

	ebpf_run_finish(run);
	run->drain.map = NULL;
	run->aborted = 0;
	return aborted;
}

__hot u64 ebpf_prog_run(const struct ebpf_prog *prog, void *ctx, struct ebpf_run *run)
{
	u64 ret;

	if (!prog->code)
		return ebpf_prog_run_interp(prog, ctx, run);
	run_init(prog, ctx, run);
	run->callback = jit_callback;
	ret = arch_prog_enter((arch_prog_fn)(uintptr_t)prog->code, ctx, run);
	return run_end(run, ret);
}

u64 ebpf_prog_run_interp(const struct ebpf_prog *prog, void *ctx, struct ebpf_run *run)
{
	u64 ret;

	run_init(prog, ctx, run);
	ret = arch_prog_enter(ebpf_interp, ctx, run);
	run->engine = NULL;
	return run_end(run, ret);
}

u64 ebpf_prog_call(const struct ebpf_prog *prog, u32 pc, const u64 args[3], void *timer,
		   struct ebpf_run *run)
{
	struct ebpf_interp_call call = {.pc = pc, .args = {args[0], args[1], args[2]}};
	u64 ret;

	run_init(prog, timer, run);
	ret = arch_prog_enter(ebpf_interp_call, &call, run);
	run->engine = NULL;
	return run_end(run, ret);
}

static bool part_ok(const struct ebpf_image *img, u32 off, u32 count, u32 size)
{
	return off >= sizeof(*img) && off <= img->size && count <= (img->size - off) / size;
}

static bool image_ok(const struct ebpf_image *img, size_t len)
{
	return len >= sizeof(*img) && img->magic == EBPF_IMAGE_MAGIC &&
	       img->version == EBPF_IMAGE_VERSION && img->size <= len && img->ninsns &&
	       img->nsubprogs && part_ok(img, img->insns, img->ninsns, sizeof(struct bpf_insn)) &&
	       part_ok(img, img->refs, img->nrefs, sizeof(struct ebpf_image_ref)) &&
	       part_ok(img, img->subprogs, img->nsubprogs, sizeof(u32)) &&
	       part_ok(img, img->zeros, img->nsubprogs, sizeof(u64)) &&
	       !(img->zeros % sizeof(u64)) &&
	       (!img->ntimers ||
		part_ok(img, img->timers, img->ntimers, sizeof(struct ebpf_image_timer))) &&
	       img->ncallees <= EBPF_CALLEES_MAX &&
	       (!img->ncallees ||
		part_ok(img, img->callees, img->ncallees, sizeof(struct ebpf_callee))) &&
	       part_ok(img, img->code, img->code_size, 1) &&
	       (!img->nfaults ||
		part_ok(img, img->faults, img->nfaults, sizeof(struct ebpf_image_fault))) &&
	       (!img->code_size || img->entry < img->code_size) && img->nargs <= EBPF_IMAGE_ARGS &&
	       img->nwords <= EBPF_IMAGE_WORDS;
}

/* Code that looks into a map itself was made for a map that lies in memory as this one does. */
static bool maps_fit(const struct ebpf_image *img, const u64 *refs)
{
	const struct ebpf_image_ref *ref = ebpf_image_refs(img);
	struct ebpf_map_shape shape;

	for (u32 i = 0; refs && i < img->nrefs; i++) {
		const struct ebpf_map *map = (const void *)(uintptr_t)refs[i];

		if (!map || ref[i].kind != EBPF_REF_MAP)
			continue;
		ebpf_map_shape(&map->meta, &shape);
		if (__builtin_memcmp(&ref[i].shape, &shape, sizeof(shape)))
			return false;
	}
	return true;
}

int ebpf_prog_bind(struct ebpf_prog *prog, const void *base, size_t len, u64 *refs, u32 id)
{
	const struct ebpf_image *img = base;

	if (!image_ok(img, len) || !maps_fit(img, refs))
		return -EINVAL;
	prog->image = img;
	prog->code = NULL;
	if (img->code_size && img->arch && img->arch == arch_jit_machine)
		prog->code = (const u8 *)base + img->code + img->entry;
	prog->refs = refs;
	prog->callees = NULL;
	prog->id = id;
	prog->slot = ~0u;
	return 0;
}

/* --- tail calls ------------------------------------------------------------------------------ */

static u32 program_id_at(struct ebpf_map *map, u32 index)
{
	const u32 *slot;

	if (!map || map->meta.type != BPF_MAP_TYPE_PROG_ARRAY || index >= map->meta.max_entries)
		return 0;
	slot = map->ops->lookup(map, &index);
	return slot ? READ_ONCE(*slot) : 0;
}

const struct ebpf_prog *ebpf_tail_call_target(struct ebpf_run *run, struct ebpf_map *map, u64 index)
{
	const struct ebpf_prog *prog;
	u32 id;

	if (run->tail_calls >= EBPF_MAX_TAIL_CALLS)
		return NULL;
	id = program_id_at(map, (u32)index);
	if (!id || !run->env || !run->env->prog_by_id)
		return NULL;
	run->tail_calls++;
	prog = run->env->prog_by_id(id);
	if (!prog || (!run->engine && !prog->code))
		return NULL;
	run->prog = prog;
	run->refs = prog->refs;
	return prog;
}

/* For JIT code: where to jump, or 0. */
static u64 tail_call_code(u64 ctx, u64 map, u64 index, u64 r4, u64 r5, struct ebpf_run *run)
{
	const struct ebpf_prog *prog;

	prog = ebpf_tail_call_target(run, (struct ebpf_map *)(uintptr_t)map, index);
	return prog ? (u64)(uintptr_t)prog->code : 0;
}

void ebpf_prog_internal_helpers(ebpf_helper_fn *table)
{
	u32 i;

	for (i = 0; i < EBPF_MAX_HELPER_ID; i++)
		if (!table[i])
			table[i] = no_such_helper;
	table[EBPF_HELPER_TAIL_CALL] = tail_call_code;
	table[EBPF_HELPER_CPU_AT] = (ebpf_helper_fn)(uintptr_t)osl_cpu_at;
	table[EBPF_HELPER_WHO] = (ebpf_helper_fn)(uintptr_t)&osl_who;
}

/* --- cutting a run short --------------------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
/* Frames that never return leave the sanitizer's marks on the stack. */
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);

static void forget_frames(u64 from, u64 to)
{
	if (from < to)
		__asan_unpoison_memory_region((void *)(uintptr_t)from, to - from);
}
#else
static void forget_frames(u64 from, u64 to)
{
}
#endif

void ebpf_run_leave(struct ebpf_run *run)
{
	run->aborted = 1;
	forget_frames((u64)(uintptr_t)__builtin_frame_address(0), run->recover[0]);
	arch_prog_leave(run);
}

bool ebpf_run_abort(struct ebpf_run *run, struct arch_regs *regs)
{
	u64 sp = regs->sp;

	if (!arch_prog_recover(regs, run->recover))
		return false;
	forget_frames(sp, regs->sp);
	run->aborted = 1;
	return true;
}

bool ebpf_prog_resume(const struct ebpf_prog *prog, struct arch_regs *regs)
{
	const struct ebpf_image *img = prog->image;
	const struct ebpf_image_fault *f = (const void *)((const u8 *)img + img->faults);
	u64 start = (u64)(uintptr_t)img + img->code;
	u32 low = 0, high = img->nfaults, mid;

	if (!in_code(prog, regs->ip))
		return false;
	while (low < high) {
		mid = low + (high - low) / 2;
		if (f[mid].at < regs->ip - start)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == img->nfaults || f[low].at != regs->ip - start || f[low].to >= img->code_size)
		return false;
	regs->ip = start + f[low].to;
	return true;
}

/*
 * The run is named by a register, which a program can't change; it is read with care all the same,
 * since a fault may come before it is set.
 */
bool ebpf_prog_fixup(const struct ebpf_prog *prog, struct arch_regs *regs)
{
	struct ebpf_run *run = arch_prog_run_of(regs);
	struct ebpf_run copy;

	if (ebpf_prog_resume(prog, regs))
		return true;
	if (!in_code(prog, regs->ip) || !run || osl_read(&copy, run, sizeof(copy)) ||
	    copy.prog != prog)
		return false;
	return ebpf_run_abort(run, regs);
}
