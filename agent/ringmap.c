/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping of rings: the shared ring of a RINGBUF map, whose data is mapped twice in a row so that a
 * record never wraps; and the per-CPU rings of a PERF_EVENT_ARRAY.
 */
#include <errno.h>

#include "agent/agent.h"
#include "core/run/map/perf.h"
#include "core/run/map/ringbuf.h"

/*
 * A record into a page that was never touched here costs a page fault, which is more than all the
 * rest of what it costs. The pages that come first are taken now; not all of a large ring, since a
 * thread waits for us. Where the kernel can't, the records pay.
 */
static void prefault(long at, u64 size)
{
	SYS3(__NR_madvise, at, MIN(size, AGENT_RING_PRESENT), SYS_MADV_POPULATE_WRITE);
}

int agent_ring_pages(const struct agent_map *m, int fd, long *out)
{
	int prot = m->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
	struct ebpf_map_part part[2];
	u64 size;
	long p, q = 0;

	if (!ebpf_is_ring(m->meta.type) || ebpf_map_check(&m->meta) ||
	    m->size != ebpf_map_shm_size(&m->meta))
		return -EINVAL;
	size = ebpf_ringbuf_layout(&m->meta, part);
	p = sys_mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_is_err(p))
		return (int)p;
	for (u32 i = 0; i < 2 && !sys_is_err(q); i++)
		q = sys_mmap((u64)p + part[i].at, part[i].len, prot, MAP_SHARED | MAP_FIXED, fd,
			     part[i].off);
	if (sys_is_err(q)) {
		sys_munmap((void *)p, size);
		return (int)q;
	}
	if (!m->readonly && m->meta.id != agent.trace_map)
		prefault(p, part[0].len);
	*out = agent_lend_pages(p, size);
	return sys_is_err(*out) ? (int)*out : 0;
}

static struct ebpf_map *perf_ring_new(const struct agent_perf_ring *r, int fd)
{
	struct ebpf_map_meta meta = {
		.id = r->id,
		.type = EBPF_MAP_PERF_RING,
		.max_entries = (u32)(r->size - EBPFRT_PAGE_SIZE),
		.bell = r->bell,
	};
	struct ebpf_map *map = agent_lend(sizeof(*map));
	long p;

	if (!map)
		return NULL;
	p = agent_lend_pages(sys_mmap(0, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
			     r->size);
	if (sys_is_err(p) || ebpf_map_bind(map, &meta, (void *)p, r->size))
		return NULL;
	return map;
}

int agent_perf_ring_set(const struct agent_perf_ring *r, int fd)
{
	struct agent_map_entry *e = agent_map_find(r->map);
	struct ebpf_map *ring = NULL;

	if (!e || !e->rings || r->index >= e->map.meta.max_entries)
		return -ENOENT;
	if (r->size == EBPFRT_PAGE_SIZE || r->size % EBPFRT_PAGE_SIZE || r->size > (1ULL << 31))
		return -EINVAL;
	if (r->size) {
		ring = perf_ring_new(r, fd);
		if (!ring)
			return -EINVAL;
	}
	/* a ring that is replaced stays mapped: a run may be writing to it */
	store_release(&e->rings[r->index], ring);
	return 0;
}
