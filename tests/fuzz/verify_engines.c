/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interpreter and JIT code on the checked interpreter's world: the helper table is the world's, the
 * maps have its operations, so all that may differ is the code.
 */
#include "tests/fuzz/verify_engines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/load/check.h"
#include "core/run/helper.h"
#include "tests/support/engine.h"

static struct checked_world *world;

static u64 call(u32 id, const u64 arg[5], struct ebpf_run *run)
{
	bool back = id == BPF_FUNC_loop || id == BPF_FUNC_for_each_map_elem;
	u32 times = back ? checked_times(world, id, arg) : 0;
	u64 a[5], stop = 0;

	for (u32 i = 0; i < times && !stop; i++) {
		checked_callback_args(world, id, arg, i, a);
		stop = run->callback(run, arg[1], a[0], a[1], a[2], a[3], a[4]);
	}
	return checked_helper(world, id, arg);
}

#define HELPERS(X)                                                                                 \
	X(map_lookup_elem)                                                                         \
	X(map_update_elem)                                                                         \
	X(map_delete_elem)                                                                         \
	X(probe_read)                                                                              \
	X(probe_read_user)                                                                         \
	X(probe_read_kernel)                                                                       \
	X(probe_read_str)                                                                          \
	X(probe_read_user_str)                                                                     \
	X(probe_read_kernel_str)                                                                   \
	X(ktime_get_ns)                                                                            \
	X(get_prandom_u32)                                                                         \
	X(get_smp_processor_id)                                                                    \
	X(get_current_pid_tgid)                                                                    \
	X(get_current_uid_gid)                                                                     \
	X(get_current_comm)                                                                        \
	X(loop)                                                                                    \
	X(for_each_map_elem)                                                                       \
	X(ringbuf_reserve)                                                                         \
	X(ringbuf_submit)                                                                          \
	X(ringbuf_discard)                                                                         \
	X(ringbuf_output)                                                                          \
	X(spin_lock)                                                                               \
	X(spin_unlock)

#define THUNK(name)                                                                                \
	static u64 do_##name(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)         \
	{                                                                                          \
		return call(BPF_FUNC_##name, (const u64[]){r1, r2, r3, r4, r5}, run);              \
	}
HELPERS(THUNK)

static u64 supported[4];

/* again after each load, which fills the table with the real ones */
static void install(void)
{
	ebpf_helper_table_init();
#define INSTALL(name)                                                                              \
	ebpf_helper_table[BPF_FUNC_##name] = do_##name;                                            \
	supported[BPF_FUNC_##name / 64] |= 1ull << BPF_FUNC_##name % 64;
	HELPERS(INSTALL)
}

static const struct ebpf_map_meta *map_by_fd(void *cookie, s32 fd, bool is_index)
{
	static struct ebpf_map_meta meta;

	(void)cookie;
	(void)is_index;
	meta = checked_maps[fd].meta;
	meta.id = (u32)fd + 1;
	/* a hash of the world is none in memory: no code is to be made that looks into one */
	if (meta.type == BPF_MAP_TYPE_HASH)
		meta.key_size = 15;
	return &meta;
}

static int load(struct engine *e, const struct ebpf_vprog *prog, const struct ebpf_facts *facts,
		bool jit)
{
	_cleanup_free_ struct bpf_insn *insns = NULL;
	int r;

	e->load.facts = facts;
	e->load.map_by_fd = map_by_fd;
	e->load.check_flags = EBPF_CHECK_STRUCTURE | EBPF_CHECK_VERIFIED | EBPF_CHECK_ANY_HELPER;
	insns = calloc(prog->ninsns, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	memcpy(insns, prog->insns, prog->ninsns * sizeof(*insns));
	ebpf_clean_dead(insns, prog->ninsns, facts);
	arch_jit_asks = true;
	r = engine_load(e, insns, prog->ninsns, jit);
	install();
	return r;
}

/* false: more references than there is room for */
static bool resolve(struct engine *e, struct checked_world *w)
{
	const struct ebpf_image *img = e->prog.image;
	const struct ebpf_image_ref *refs = ebpf_image_refs(img);

	if (img->nrefs > ENGINE_REFS)
		return false;
	for (u32 i = 0; i < img->nrefs; i++) {
		u32 map = e->load.used_maps[refs[i].map] - 1;

		e->refs[i] = refs[i].kind == EBPF_REF_MAP ? (u64)&w->maps[map]
							  : (u64)w->value[map] + refs[i].off;
	}
	return true;
}

static bool comparable(const struct checked *k)
{
	return k->exited && !k->depends && !k->unlike;
}

struct result {
	u64 r0, hash;
	bool aborted;
};

/* What the frames of the run find on the stack. */
__attribute__((noinline)) static void soil_stack(u64 seed)
{
	volatile u64 words[2048];

	for (u32 i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = seed = seed * 6364136223846793005ull + 1;
}

/*
 * What the image says isn't read of the context need not be there: a stub may leave it out. Done
 * twice, it is as before.
 */
static void soil_ctx(const struct ebpf_image *img, u8 *ctx)
{
	for (u32 i = 0; i < CHECKED_CTX && !(img->flags & EBPF_IMAGE_CTX_ESCAPES); i++)
		if (!(img->ctx_read >> MIN(i / 8, 63u) & 1))
			ctx[i] ^= 0xa5;
}

static void run_one(struct engine *e, const struct checked *k, u64 seed, struct result *out)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};

	world = k->w;
	checked_world_reset(k->w, seed);
	soil_stack(seed);
	soil_ctx(e->prog.image, k->w->ctx);
	out->r0 = ebpf_prog_run(&e->prog, k->w->ctx, &run);
	soil_ctx(e->prog.image, k->w->ctx);
	out->aborted = run.aborted;
	out->hash = checked_world_hash(k->w);
}

static int engine(const struct ebpf_vprog *prog, const struct ebpf_facts *facts,
		  struct checked *const *k, u32 n, bool jit, char *why, u64 *compared)
{
	struct engine e __attribute__((cleanup(engine_close))) = {0};
	struct result got;

	if (load(&e, prog, facts, jit)) {
		snprintf(why, 200, "not loaded: %.150s", e.text);
		return -1;
	}
	if (!resolve(&e, k[0]->w))
		return 0;
	for (u32 i = 0; i < n; i++) {
		if (!comparable(k[i]))
			continue;
		run_one(&e, k[i], k[i]->seed, &got);
		++*compared;
		if (!got.aborted && got.r0 == k[i]->r0 && got.hash == k[i]->hash)
			continue;
		snprintf(why, 200, "%s, seed %llu: r0 %llx memory %llx, not %llx %llx%s",
			 jit ? "JIT" : "interpreter", (unsigned long long)k[i]->seed,
			 (unsigned long long)got.r0, (unsigned long long)got.hash,
			 (unsigned long long)k[i]->r0, (unsigned long long)k[i]->hash,
			 got.aborted ? ", aborted" : "");
		return -1;
	}
	return 0;
}

int verify_engines(const struct ebpf_vprog *prog, const struct ebpf_facts *facts,
		   struct checked *const *k, u32 n, char *why, u64 *compared)
{
	u32 left = 0;

	install();
	for (u32 i = 0; i < 4; i++)
		if (facts->helpers[i] & ~supported[i])
			return 0;
	for (u32 i = 0; i < n; i++)
		left += comparable(k[i]);
	if (!left)
		return 0;
	return engine(prog, facts, k, n, false, why, compared) ||
			       engine(prog, facts, k, n, true, why, compared)
		       ? -1
		       : 0;
}
