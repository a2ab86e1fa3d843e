/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping the memory of maps and events as the kernel would, and looking over ring records before
 * their reader gets them.
 *
 * A user ring, which this process writes and programs read, is ready when there is room in it.
 *
 * A ring buffer's memfd is the kernel's layout once: consumer page, producer page, data. The
 * program sees the data twice in a row, so the mapping is put together from pieces.
 *
 * The records are written by other processes, and libbpf's readers trust the lengths in them. So,
 * each time the program waits, what is unread is walked here: a record that leaves the ring, or a
 * position that makes no sense, discards everything unread, with one line to the person. Every
 * field is read once.
 *
 * What this can't catch: a reader that never waits (ring_buffer__consume() alone) makes no call
 * that could be diverted, and a producer that changes a record after the walk is not seen. Handing
 * out a private copy of the ring instead would cost every record a copy and break the reader's
 * consumer position, which producers must see in the shared page. So a reader that has to bear
 * hostile producers polls before it consumes, as ring_buffer__poll() does; `ebpfrt` itself does.
 */
#include <linux/perf_event.h>
#include <string.h>

#include "core/run/map/ringbuf.h"
#include "surface/internal.h"

#define PAGE EBPFRT_PAGE_SIZE
#define PERF_RECORD_ALIGN 8u
#define FILLED_MAX (128u << 20)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

bool surface_is_ring(const struct surface_obj *o)
{
	return o->kind == MSG_OBJ_PERF || (o->kind == MSG_OBJ_MAP && ebpf_is_ring(o->meta.type));
}

u32 surface_ring_wants(const struct surface_obj *o)
{
	return o->kind == MSG_OBJ_MAP && o->meta.type == BPF_MAP_TYPE_USER_RINGBUF ? EPOLLOUT
										   : EPOLLIN;
}

/*
 * The daemon has taken the memory; to clear it is work, which a large ring's creator does itself,
 * as it would wait for the kernel. Pages that are there are mapped sixteen at a time by those who
 * come to them, others one by one, which for a producer is more than all the rest of a record.
 */
void surface_ring_fill(int fd, const struct ebpf_map_meta *meta)
{
	u64 size = ebpf_map_shm_size(meta);
	void *p;

	if (meta->type != BPF_MAP_TYPE_RINGBUF || size > FILLED_MAX)
		return;
	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sys_is_err(p))
		return;
	sys_call3(SYS_madvise, p, size, MADV_POPULATE_WRITE);
	sys_munmap(p, size);
}

/* --- mmap ----------------------------------------------------------------------------------------
 */

static bool is_shared(int flags)
{
	return (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
}

/* May this be mapped? The kernel's rules for arrays; SURFACE_PASS when it may. */
static long check_array(struct surface_obj *o, size_t len, int prot, int flags, off_t off)
{
	u64 values = (u64)ALIGN_UP(o->meta.value_size, 8u) * o->meta.max_entries;

	if (o->meta.type != BPF_MAP_TYPE_ARRAY)
		return -SURFACE_ENOTSUPP;
	if (!is_shared(flags))
		return -EINVAL;
	if ((prot & PROT_WRITE) && o->frozen)
		return -EPERM;
	if ((prot & PROT_WRITE) && (o->meta.map_flags & BPF_F_RDONLY_PROG))
		return -EACCES;
	if (!(o->meta.map_flags & BPF_F_MMAPABLE))
		return -EINVAL;
	if ((u64)off + ALIGN_UP(len, PAGE) > ALIGN_UP(values, (u64)PAGE))
		return -EINVAL;
	return SURFACE_PASS;
}

/* Put [off, off + len) of the doubled view together at @base. */
static long map_pieces(u8 *base, size_t len, int prot, int fd, u64 off, u64 data)
{
	u64 end = off + len, once = 2 * PAGE + data;
	u64 mid = MAX(off, MIN(end, once));
	void *p;

	if (mid > off) {
		p = sys_mmap(base, mid - off, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)off);
		if (sys_is_err(p))
			return (long)p;
	}
	if (end > mid) {
		p = sys_mmap(base + (mid - off), end - mid, prot, MAP_SHARED | MAP_FIXED, fd,
			     (off_t)(mid - data));
		if (sys_is_err(p))
			return (long)p;
	}
	return (long)base;
}

/* Whoever consumes may write the first page only, whoever produces all but that one. */
static bool may_write(const struct surface_obj *o, size_t len, off_t off)
{
	if (o->meta.type == BPF_MAP_TYPE_USER_RINGBUF)
		return off != 0;
	return off == 0 && len == PAGE;
}

static long map_ringbuf(struct surface_obj *o, void *addr, size_t len, int prot, int flags, int fd,
			off_t off)
{
	int place = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	u64 data = o->meta.max_entries;
	void *base;
	long ret;

	len = ALIGN_UP(len, PAGE);
	if (!is_shared(flags))
		return -EINVAL;
	if ((prot & PROT_WRITE) && (o->frozen || !may_write(o, len, off)))
		return -EPERM;
	if (len == 0 || (u64)off % PAGE || (u64)off > 2 * PAGE + 2 * data ||
	    len > 2 * PAGE + 2 * data - (u64)off)
		return -EINVAL;
	base = sys_mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | place, -1, 0);
	if (sys_is_err(base))
		return (long)base;
	ret = map_pieces(base, len, prot, fd, (u64)off, data);
	if (ret < 0 && ret > -4096)
		sys_munmap(base, len);
	return ret;
}

long surface_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	_cleanup_obj_ struct surface_obj *o = surface_obj_known(fd);

	if (!o)
		return SURFACE_PASS;
	if (o->kind == MSG_OBJ_PERF)
		return surface_perf_mmap(o, addr, len, prot, flags, off);
	if (o->kind != MSG_OBJ_MAP)
		return -ENODEV;
	if (ebpf_is_ring(o->meta.type))
		return map_ringbuf(o, addr, len, prot, flags, fd, off);
	return check_array(o, len, prot, flags, off);
}

/* --- looking over records
 * ------------------------------------------------------------------------- */

struct ring {
	const u8 *data;
	u64 size; /* power of two */
	u64 head, tail;
};

static u32 ring_u32(const struct ring *r, u64 pos)
{
	return READ_ONCE(*(const u32 *)(r->data + (pos & (r->size - 1))));
}

static bool positions_ok(const struct ring *r)
{
	return r->head - r->tail <= r->size && r->head % 8 == 0 && r->tail % 8 == 0;
}

/* 1: something to read. 0: nothing yet. -EPROTO: a record leaves the ring. */
static int walk_ringbuf(const struct ring *r)
{
	u64 pos = r->tail;

	if (!positions_ok(r))
		return -EPROTO;
	while (pos != r->head) {
		u32 head = ring_u32(r, pos);
		u64 len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		len = ALIGN_UP(len + BPF_RINGBUF_HDR_SZ, 8ULL);
		if (len > r->head - pos)
			return -EPROTO;
		if (head & BPF_RINGBUF_BUSY_BIT)
			break;
		pos += len;
	}
	return pos != r->tail;
}

/* @raw: where in a sample the length of its raw data is. */
static int walk_perf(const struct ring *r, u32 raw)
{
	u64 pos = r->tail;

	if (!positions_ok(r))
		return -EPROTO;
	while (pos != r->head) {
		u32 type = ring_u32(r, pos), size = ring_u32(r, pos + 4) >> 16;

		if (size < sizeof(struct perf_event_header) || size % PERF_RECORD_ALIGN ||
		    size > r->head - pos)
			return -EPROTO;
		if (type == PERF_RECORD_SAMPLE &&
		    (size < raw + 8 || ring_u32(r, pos + raw) > size - raw - 4))
			return -EPROTO;
		if (type == PERF_RECORD_LOST && size < 24)
			return -EPROTO;
		pos += size;
	}
	return pos != r->tail;
}

static void complain(struct surface_obj *o, const char *what, u64 dropped)
{
	if (o->reported)
		return;
	o->reported = true;
	surface_report("%s '%s' (id %u): a record's length leaves the ring; discarded %llu unread "
		       "bytes: a process that writes to it is corrupt",
		       what, o->meta.name, o->id, (unsigned long long)dropped);
}

static bool ringbuf_ready(struct surface_obj *o)
{
	u64 *cons = (u64 *)o->ring, *prod = (u64 *)(o->ring + PAGE);
	struct ring r = {.data = o->ring + 2 * PAGE, .size = o->meta.max_entries};
	int ret;

	r.tail = load_acquire(cons);
	r.head = load_acquire(prod);
	ret = walk_ringbuf(&r);
	if (ret >= 0)
		return ret;
	complain(o, "ring buffer", r.head - r.tail);
	store_release(cons, r.head);
	return false;
}

static bool perf_ready(struct surface_obj *o)
{
	struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)o->ring;
	struct ring r = {.data = o->ring + PAGE, .size = o->ring_size - PAGE};
	int ret;

	r.tail = load_acquire(&page->data_tail);
	r.head = load_acquire(&page->data_head);
	ret = walk_perf(&r, sizeof(struct perf_event_header) + (o->ring_timed ? sizeof(u64) : 0));
	if (ret >= 0)
		return ret && o->ring_writable;
	complain(o, "perf buffer", r.head - r.tail);
	store_release(&page->data_tail, r.head);
	return false;
}

/* Is there any room? It is the program that is hurt by what lies there, and it checks. */
static bool user_ring_ready(struct surface_obj *o)
{
	u64 cons = load_acquire((u64 *)o->ring), prod = load_acquire((u64 *)(o->ring + PAGE));

	return prod - cons < o->meta.max_entries;
}

bool surface_ring_ready(struct surface_obj *o)
{
	if (!load_acquire(&o->ring))
		return false;
	if (surface_ring_wants(o) == EPOLLOUT)
		return user_ring_ready(o);
	return o->kind == MSG_OBJ_PERF ? perf_ready(o) : ringbuf_ready(o);
}
