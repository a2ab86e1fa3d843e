/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon has delivered: programs, maps, rings, slot arenas; and the memory for all tables.
 *
 * Rules: exchange code adds. What programs need (images, maps, rings and what describes them) is
 * *lent*: it goes all at once, when everything is restored and no thread is in a program. Tables
 * that a late trap reads, and slots, stay while the process lives. A later daemon's objects push
 * the earlier one's out of the lookup only.
 */
#include <errno.h>

#include "agent/agent.h"
#include "core/run/map/inner.h"

struct agent agent;

#define CHUNK (256u << 10)
#define LENT_CHUNK (64u << 10)
#define PROG_BUCKETS 256u
#define INNER_FIRST 8u /* room of the first set of inner maps */

static u8 *chunk;
static u64 chunk_left;
static struct agent_prog_entry *progs[PROG_BUCKETS];

void *agent_pages(u64 size, const char *name)
{
	long p = sys_mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (sys_is_err(p))
		return NULL;
	sys_name_memory((void *)p, size, name);
	return (void *)p;
}

void *agent_alloc(u64 size)
{
	u8 *p;

	size = ALIGN_UP(size, 16); /* little of it is ever written again */
	if (size > CHUNK / 4)
		return agent_pages(ALIGN_UP(size, EBPFRT_PAGE_SIZE), "ebpfrt-table");
	if (size > chunk_left) {
		p = agent_pages(CHUNK, "ebpfrt-table");
		if (!p)
			return NULL;
		chunk = p;
		chunk_left = CHUNK;
	}
	p = chunk;
	chunk += size;
	chunk_left -= size;
	return p;
}

/* --- lent memory -------------------------------------------------------------------------------
 */

struct lent_chunk {
	struct lent_chunk *next;
	u64 size, used;
};

struct lent_pages {
	struct lent_pages *next;
	void *addr;
	u64 size;
};

static struct lent_chunk *lent_chunks;
static struct lent_pages *lent_pages;

void *agent_lend(u64 size)
{
	struct lent_chunk *c = lent_chunks;
	u64 room;
	void *p;

	size = ALIGN_UP(size, 64);
	if (!c || c->size - c->used < size) {
		room = MAX((u64)LENT_CHUNK, ALIGN_UP(size + 64, EBPFRT_PAGE_SIZE));
		c = agent_pages(room, "ebpfrt-lent");
		if (!c)
			return NULL;
		*c = (struct lent_chunk){lent_chunks, room, 64};
		lent_chunks = c;
	}
	p = (u8 *)c + c->used;
	c->used += size;
	return p;
}

long agent_lend_pages(long addr, u64 size)
{
	struct lent_pages *l;

	if (sys_is_err(addr))
		return addr;
	l = agent_lend(sizeof(*l));
	if (!l) {
		sys_munmap((void *)addr, size);
		return -ENOMEM;
	}
	*l = (struct lent_pages){lent_pages, (void *)addr, size};
	lent_pages = l;
	return addr;
}

void agent_state_release(void)
{
	struct lent_chunk *c, *next;

	agent_state_forget();
	for (struct lent_pages *l = lent_pages; l; l = l->next)
		sys_munmap(l->addr, l->size);
	lent_pages = NULL;
	for (c = lent_chunks; c; c = next) {
		next = c->next;
		sys_munmap(c, c->size);
	}
	lent_chunks = NULL;
}

void agent_state_forget(void)
{
	for (u32 i = 0; i < PROG_BUCKETS; i++)
		store_release(&progs[i], NULL);
	agent.maps = NULL;
	agent.env.trace = NULL;
}

/* --- maps ---------------------------------------------------------------------------------------
 */

struct agent_map_entry *agent_map_find(u32 id)
{
	struct agent_map_entry *m = agent.maps;

	while (m && m->map.meta.id != id)
		m = m->next;
	return m;
}

static int map_pages(const struct agent_map *m, int fd, long *out)
{
	int prot = m->readonly ? PROT_READ : PROT_READ | PROT_WRITE;

	if (m->size == 0 || m->size > (1ULL << 40) || m->size % EBPFRT_PAGE_SIZE)
		return -EINVAL;
	*out = agent_lend_pages(sys_mmap(0, m->size, prot, MAP_SHARED, fd, 0), m->size);
	return sys_is_err(*out) ? (int)*out : 0;
}

static int map_rings_alloc(struct agent_map_entry *e)
{
	if (e->map.meta.type != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return 0;
	e->rings = agent_lend((u64)e->map.meta.max_entries * sizeof(e->rings[0]));
	return e->rings ? 0 : -ENOMEM;
}

int agent_map_add(const struct agent_map *m, int fd)
{
	struct agent_map_entry *e;
	long base;
	int ret;

	if (agent_map_find(m->meta.id))
		return 0;
	e = agent_lend(sizeof(*e));
	if (!e)
		return -ENOMEM;
	ret = m->ring ? agent_ring_pages(m, fd, &base) : map_pages(m, fd, &base);
	if (ret)
		return ret;
	ret = ebpf_map_bind(&e->map, &m->meta, (void *)base, m->size);
	if (ret)
		return ret;
	e->map.readonly = m->readonly;
	ret = map_rings_alloc(e);
	if (ret)
		return ret;
	e->next = agent.maps;
	agent.maps = e;
	if (m->meta.id == agent.trace_map)
		store_release(&agent.env.trace, &e->map);
	return 0;
}

/* A set with room for one more; threads may be looking into the one that it replaces. */
static struct ebpf_inner *larger_set(const struct ebpf_inner *old)
{
	u32 room = old ? old->n : INNER_FIRST;
	struct ebpf_inner *set = agent_lend(ebpf_inner_size(room));

	if (!set)
		return NULL;
	ebpf_inner_init(set, room);
	if (old)
		ebpf_inner_copy(set, old);
	return set;
}

int agent_inner_add(const struct agent_inner_map *m)
{
	struct agent_map_entry *outer = agent_map_find(m->outer), *inner = agent_map_find(m->inner);
	struct ebpf_inner *set;
	int ret;

	if (!outer || !inner || !ebpf_is_map_of_maps(outer->map.meta.type))
		return -ENOENT;
	set = outer->map.inner;
	ret = set ? ebpf_inner_add(set, &inner->map) : -ENOSPC;
	if (ret != -ENOSPC)
		return ret;
	set = larger_set(set);
	if (!set)
		return -ENOMEM;
	ret = ebpf_inner_add(set, &inner->map);
	store_release(&outer->map.inner, set);
	return ret;
}

struct ebpf_map *agent_perf_ring_at(struct ebpf_map *array, u32 index)
{
	struct agent_map_entry *e = container_of(array, struct agent_map_entry, map);

	if (!e->rings || index >= e->map.meta.max_entries)
		return NULL;
	return load_acquire(&e->rings[index]);
}

/* --- programs -----------------------------------------------------------------------------------
 */

const struct ebpf_prog *agent_prog_find(u32 id)
{
	struct agent_prog_entry *e = load_acquire(&progs[id % PROG_BUCKETS]);

	while (e && e->prog.id != id)
		e = e->chain;
	return e ? &e->prog : NULL;
}

static const struct ebpf_prog *prog_around(u64 ip)
{
	for (u32 i = 0; i < PROG_BUCKETS; i++)
		for (struct agent_prog_entry *e = load_acquire(&progs[i]); e; e = e->chain)
			if (ip - (u64)e->prog.image < e->prog.image->size)
				return &e->prog;
	return NULL;
}

bool agent_prog_contains(u64 ip)
{
	return prog_around(ip);
}

bool agent_prog_resume(struct arch_regs *regs)
{
	const struct ebpf_prog *prog = prog_around(regs->ip);

	return prog && ebpf_prog_resume(prog, regs);
}

static int resolve_ref(const struct ebpf_image_ref *ref, const u32 *map_ids, u32 nmaps, u64 *out)
{
	struct agent_map_entry *e;
	struct ebpf_map *map;

	if (ref->map >= nmaps)
		return -EINVAL;
	e = agent_map_find(map_ids[ref->map]);
	if (!e)
		return -ENOENT;
	map = &e->map;
	*out = (u64)map;
	if (ref->kind == EBPF_REF_MAP)
		return 0;
	*out = map->ops->value_addr ? (u64)map->ops->value_addr(map, ref->off) : 0;
	return *out ? 0 : -EINVAL;
}

static int resolve_refs(const struct ebpf_image *img, const struct agent_prog *p,
			const u32 *map_ids, u64 *refs)
{
	const struct ebpf_image_ref *ref = ebpf_image_refs(img);
	int ret = 0;

	for (u32 i = 0; i < img->nrefs && ret == 0; i++)
		ret = resolve_ref(&ref[i], map_ids, p->nmaps, &refs[i]);
	return ret;
}

/* The parts this file reads lie inside the mapping; the image is sealed, so this stays true. */
static bool image_fits(const struct ebpf_image *img, u32 size)
{
	return img->magic == EBPF_IMAGE_MAGIC && img->size <= size && img->refs <= size &&
	       (u64)img->nrefs * sizeof(struct ebpf_image_ref) <= size - img->refs;
}

/* And a page of our own behind it. */
static long image_pages(u32 size, int fd)
{
	u64 whole = ALIGN_UP((u64)size, (u64)EBPFRT_PAGE_SIZE) + EBPFRT_PAGE_SIZE;
	long p = sys_mmap(0, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long image;

	if (sys_is_err(p))
		return p;
	image = sys_mmap((u64)p, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
	if (!sys_is_err(image))
		return agent_lend_pages(p, whole);
	sys_munmap((void *)p, whole);
	return image;
}

int agent_prog_add(const struct agent_prog *p, const u32 *map_ids, int fd)
{
	struct agent_prog_entry *e, **head = &progs[p->id % PROG_BUCKETS];
	const struct ebpf_image *img;
	u64 *refs;
	long base;
	int ret;

	if (agent_prog_find(p->id))
		return 0;
	if (p->size < sizeof(*img))
		return -EINVAL;
	base = image_pages(p->size, fd);
	if (sys_is_err(base))
		return (int)base;
	img = (const void *)base;
	e = agent_lend(sizeof(*e));
	refs = e && image_fits(img, p->size) ? agent_lend(8 + (u64)img->nrefs * 8) : NULL;
	ret = refs ? resolve_refs(img, p, map_ids, refs) : e ? -EINVAL : -ENOMEM;
	if (ret == 0)
		ret = ebpf_prog_bind(&e->prog, img, p->size, refs, p->id);
	if (ret)
		return ret;
	ret = leaf_bind(&e->prog,
			(u64 *)(base + (long)ALIGN_UP((u64)p->size, (u64)EBPFRT_PAGE_SIZE)));
	if (ret)
		return ret;
	if (img->ncallees)
		leaf_calls();
	e->prog.slot = p->stat;
	memcpy(e->calls, p->calls, sizeof(e->calls));
	e->prog.callees = e->calls;
	e->chain = *head;
	store_release(head, e);
	return 0;
}

/* --- slot arenas --------------------------------------------------------------------------------
 */

bool agent_arena_holds(u64 addr, u64 len)
{
	for (struct agent_arena_entry *a = load_acquire(&agent.arenas); a; a = a->next)
		if (addr >= a->addr && addr - a->addr <= a->size &&
		    len <= a->size - (addr - a->addr))
			return true;
	return false;
}

/* Never executable. */
static int records_map(const struct agent_arena *a)
{
	u64 at = a->addr + a->size;
	long p;

	if (!a->records)
		return 0;
	p = sys_mmap(at, a->records, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (sys_is_err(p))
		return (int)p;
	sys_name_memory((void *)p, a->records, "ebpfrt-table");
	return 0;
}

bool agent_arena_has_stub(u64 addr)
{
	for (struct agent_arena_entry *a = load_acquire(&agent.arenas); a; a = a->next)
		if (addr - a->addr < a->records && addr % ARCH_STUB_SIZE == 0)
			return true;
	return false;
}

int agent_arena_add(const struct agent_arena *a)
{
	struct agent_arena_entry *e;
	u64 size = a->size + a->records;
	long p;

	if (!a->size || (a->addr | a->size | a->records) % EBPFRT_PAGE_SIZE ||
	    (a->records && (a->size != ARCH_STUB_RECORDS || a->records != a->size)))
		return -EINVAL;
	if (agent_arena_holds(a->addr, a->size))
		return 0;
	/* never writable: slots are written as text is; first of all, or what is allocated here
	 * might come to lie there */
	p = sys_mmap(a->addr, size, PROT_READ | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (sys_is_err(p))
		return (int)p;
	if ((u64)p != a->addr) { /* a kernel that takes the address as a hint */
		sys_munmap((void *)p, size);
		return -EEXIST;
	}
	e = agent_alloc(sizeof(*e));
	if (!e || records_map(a)) {
		sys_munmap((void *)p, size);
		return -ENOMEM;
	}
	sys_name_memory((void *)p, a->size, "ebpfrt-slots");
	*e = (struct agent_arena_entry){agent.arenas, a->addr, a->size, a->records};
	store_release(&agent.arenas, e);
	return 0;
}
