/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of the checked interpreter: maps, a context, helpers. The engines under test get the
 * same memory and, for the same seed, the same answers in the same order.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/load/verify_proto.h"
#include "tests/support/checked.h"

#define NR_CPUS 4u
#define PAGE 4096u

static const u8 rodata[32] = "%d %s\0\1\2\3\4\5\6\7\xff\xff\xff\xff\x80";
static const struct ebpf_map_meta inner_meta = {
	.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 32, .max_entries = 2};

#define MAP(t, k, v, n, ...)                                                                       \
	{                                                                                          \
		.meta = {                                                                          \
			.type = BPF_MAP_TYPE_##t,                                                  \
			.key_size = (k),                                                           \
			.value_size = (v),                                                         \
			.max_entries = (n),                                                        \
			##__VA_ARGS__                                                              \
		}
const struct ebpf_vmap checked_maps[CMAP_COUNT] = {[CMAP_ARRAY] = MAP(ARRAY, 4, 48, CMAP_ENTRIES)},
		       [CMAP_HASH] = MAP(HASH, 8, 16, CMAP_ENTRIES)
}
, [CMAP_RING] = MAP(RINGBUF, 0, 0, 4096)
}
, [CMAP_DATA] = MAP(ARRAY, 4, 64, 1)
}
, [CMAP_RODATA] = MAP(ARRAY, 4, 32, 1, .map_flags = BPF_F_RDONLY_PROG), .frozen = true,
  .contents = rodata
}
, [CMAP_LOCKED] = MAP(HASH, 4, 24, CMAP_ENTRIES), .fields = {{EBPF_FIELD_SPIN_LOCK, 4, 4}},
  .nfields = 1, .has_btf = true
}
, [CMAP_OUTER] = MAP(ARRAY_OF_MAPS, 4, 4, 2), .inner = &inner_meta
}
,
}
;

u64 checked_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 checked_edge(u64 *state)
{
	u64 r = checked_random(state), near = r % 5 - 2, bit = 1ull << (r >> 8) % 64;

	switch ((r >> 16) % 8) {
	case 0:
		return near;
	case 1:
		return bit + near;
	case 2:
		return (u32)(bit + near);
	case 3:
		return 0x80000000ull + near;
	case 4:
		return ~(bit - 1) + near;
	case 5:
		return (r >> 20) % 64;
	case 6:
		return (u32)(r >> 20);
	default:
		return checked_random(state);
	}
}

static u64 draw(struct checked_world *w)
{
	u64 state = w->seed + ++w->calls * 0x2545f4914f6cdd1dull;

	return checked_edge(&state);
}

static u32 choose(struct checked_world *w, u32 n)
{
	u64 state = w->seed ^ ++w->calls * 0x9fb21c651e98df25ull;

	return (u32)(checked_random(&state) % n);
}

/* --- maps ------------------------------------------------------------------------------------ */

static struct checked_world *world; /* map operations have no other way to it */

static u32 key_hash(const u8 *key, u32 size)
{
	u32 h = 2166136261u;

	for (u32 i = 0; i < size; i++)
		h = (h ^ key[i]) * 16777619u;
	return h ^ h >> 15;
}

static void *array_at(const struct ebpf_map *map, const void *key)
{
	u32 i;

	memcpy(&i, key, 4);
	return i < map->meta.max_entries ? map->base + (u64)i * map->stride : NULL;
}

static void *lookup(struct ebpf_map *map, const void *key)
{
	u32 at;

	switch (map->meta.type) {
	case BPF_MAP_TYPE_ARRAY:
		return array_at(map, key);
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		memcpy(&at, key, 4);
		return at < map->meta.max_entries ? &world->inner : NULL;
	default:
		at = key_hash(key, map->meta.key_size) + (u32)world->seed;
		return at % 5 < CMAP_ENTRIES ? map->base + (u64)(at % 5) * map->stride : NULL;
	}
}

/* What these helpers return is an int, whoever calls them; nothing changes here. */
static int update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return (int)draw(world);
}

static int delete (struct ebpf_map *map, const void *key)
{
	return (int)draw(world);
}

const struct ebpf_map_ops *checked_map_ops(void)
{
	static const struct ebpf_map_ops ops = {
		.name = "checked", .lookup = lookup, .update = update, .del = delete};

	return &ops;
}

static void bind(struct ebpf_map *map, const struct ebpf_map_meta *meta, u8 *base)
{
	*map = (struct ebpf_map){.meta = *meta, .ops = checked_map_ops(), .base = base};
	map->stride = ALIGN_UP(meta->value_size, 8);
}

int checked_world_init(struct checked_world *w)
{
	u8 *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	memset(w, 0, sizeof(*w));
	w->memory = p;
	for (u32 i = 0; i < CMAP_COUNT; i++) {
		w->value[i] = p + i * 256;
		bind(&w->maps[i], &checked_maps[i].meta, w->value[i]);
	}
	w->inner_value = p + CMAP_COUNT * 256;
	bind(&w->inner, &inner_meta, w->inner_value);
	w->sample = p + PAGE;
	w->key = p + 2 * PAGE;
	w->ctx = p + 3 * PAGE;
	return 0;
}

void checked_world_free(struct checked_world *w)
{
	if (w->memory)
		munmap(w->memory, 4 * PAGE);
}

void checked_world_reset(struct checked_world *w, u64 seed)
{
	u64 state = seed;

	world = w;
	w->seed = seed;
	w->calls = 0;
	w->samples = 0;
	for (u32 i = 0; i < 4 * PAGE; i += 8) {
		u64 n = i >= 2 * PAGE + 64 && i < 3 * PAGE ? 0 : checked_edge(&state);

		memcpy(w->memory + i, &n, 8);
	}
	memcpy(w->value[CMAP_RODATA], rodata, sizeof(rodata));
}

u64 checked_world_hash(const struct checked_world *w)
{
	return key_hash(w->memory, 2 * PAGE) | (u64)key_hash(w->ctx, CHECKED_CTX) << 32;
}

/* --- helpers --------------------------------------------------------------------------------- */

static const struct ebpf_proto *proto_of(u32 id)
{
	return ebpf_proto_helper(id, BPF_PROG_TYPE_KPROBE);
}

static const struct ebpf_map *map_arg(const struct ebpf_proto *p, const u64 arg[5])
{
	for (u32 i = 0; i < 5; i++)
		if ((p->arg[i] & EARG_KIND) == EARG_MAP)
			return (const struct ebpf_map *)arg[i];
	return NULL;
}

static void fill(struct checked_world *w, u64 to, u64 size)
{
	u64 state = w->seed + ++w->calls;

	for (u64 i = 0; i < size; i++)
		((u8 *)to)[i] = (u8)checked_random(&state);
}

static void write_args(struct checked_world *w, const struct ebpf_proto *p, const u64 arg[5])
{
	const struct ebpf_map *map = map_arg(p, arg);

	for (u32 i = 0; i < 5; i++) {
		u32 kind = p->arg[i] & EARG_KIND;

		if (!(p->arg[i] & EARG_WRITE) || !arg[i])
			continue;
		if (kind == EARG_MEM)
			fill(w, arg[i], p->arg[i] & EARG_FIXED ? p->fixed : arg[i + 1]);
		else if (kind == EARG_MAP_VALUE && map)
			fill(w, arg[i], map->meta.value_size);
	}
}

static u64 length(struct checked_world *w, const struct ebpf_proto *p, const u64 arg[5])
{
	u64 longest = 0;

	for (u32 i = 0; i < 5; i++)
		if ((p->arg[i] & EARG_KIND) == EARG_SIZE || (p->arg[i] & EARG_KIND) == EARG_SIZE0)
			longest = MAX(longest, arg[i]);
	switch (choose(w, 4)) {
	case 0:
		return (u64)(s64)-EFAULT;
	case 1:
		return longest;
	case 2:
		return (u64)-4095ll;
	default:
		return choose(w, (u32)longest + 1);
	}
}

static u64 sample(struct checked_world *w)
{
	if (w->samples == CHECKED_SAMPLES || !choose(w, 4))
		return 0;
	return (u64)(w->sample + w->samples++ * CHECKED_SAMPLE_SIZE);
}

u64 checked_helper(struct checked_world *w, u32 id, const u64 arg[5])
{
	const struct ebpf_proto *p = proto_of(id);

	if (id == BPF_FUNC_map_update_elem || id == BPF_FUNC_map_delete_elem)
		return (u64)(s64)(int)draw(w);
	write_args(w, p, arg);
	switch (p->ret) {
	case ERET_VOID:
		return 0;
	case ERET_LENGTH:
		return length(w, p, arg);
	case ERET_CPU:
		return choose(w, NR_CPUS);
	case ERET_MAP_VALUE:
		return (u64)lookup((struct ebpf_map *)arg[0], (const void *)arg[1]);
	case ERET_RINGBUF_MEM:
		return sample(w);
	default:
		return draw(w);
	}
}

u32 checked_times(struct checked_world *w, u32 id, const u64 arg[5])
{
	u32 n = choose(w, 4);

	return id == BPF_FUNC_loop && arg[0] < n ? (u32)arg[0] : n;
}

void checked_callback_args(struct checked_world *w, u32 id, const u64 arg[5], u32 turn, u64 out[5])
{
	struct ebpf_map *map = (struct ebpf_map *)arg[0];

	memset(out, 0, 5 * sizeof(*out));
	if (id == BPF_FUNC_loop) {
		out[0] = turn;
		out[1] = arg[2];
		return;
	}
	out[0] = arg[0];
	out[1] = (u64)w->key;
	out[2] = (u64)(map->base + turn % map->meta.max_entries * map->stride);
	out[3] = arg[2];
}
