/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping maps and rings as the kernel allows it, waiting for rings, and records that lie. */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fake.h"
#include "surface/surface.h"

TestSuite(ring, .init = fake_start, .fini = fake_stop, .timeout = 20);

#define PAGE 4096

static int map_errno(int fd, size_t len, int prot, int flags, off_t off)
{
	void *p = mmap(NULL, len, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, len);
	return 0;
}

Test(ring, arrays)
{
	int plain = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 10, 0);
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1000, BPF_F_MMAPABLE);
	int ro = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG);
	int hash = fake_map(BPF_MAP_TYPE_HASH, 4, 8, 10, 0);
	union bpf_attr a = {.map_fd = (u32)fd};

	cr_assert_eq(map_errno(plain, PAGE, PROT_READ, MAP_SHARED, 0), EINVAL);
	cr_assert_eq(map_errno(hash, PAGE, PROT_READ, MAP_SHARED, 0), 524);
	cr_assert_eq(map_errno(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0), 0);
	cr_assert_eq(map_errno(fd, 2 * PAGE, PROT_READ, MAP_PRIVATE, 0), EINVAL);
	cr_assert_eq(map_errno(fd, 3 * PAGE, PROT_READ, MAP_SHARED, 0), EINVAL);
	cr_assert_eq(map_errno(fd, 2 * PAGE, PROT_READ, MAP_SHARED, PAGE), EINVAL);
	cr_assert_eq(map_errno(ro, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0), EACCES);
	cr_assert_eq(map_errno(ro, PAGE, PROT_READ, MAP_SHARED, 0), 0);
	cr_assert_eq(bpf_call(BPF_MAP_FREEZE, &a, sizeof(a)), 0);
	cr_assert_eq(map_errno(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0), EPERM);
	cr_assert_eq(map_errno(fd, PAGE, PROT_READ, MAP_SHARED, 0), 0);
}

struct rb {
	int fd;
	u64 *cons;
	volatile u64 *prod;
	u8 *data;
	u8 *raw; /* the producer's side, written as an agent would */
};

/* As libbpf's ring_buffer__add() maps it, and once more as a producer does. */
static struct rb ringbuf(u32 size)
{
	struct rb r = {.fd = fake_map(BPF_MAP_TYPE_RINGBUF, 0, 0, size, 0)};
	u8 *p;

	cr_assert_geq(r.fd, 0);
	r.cons = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	cr_assert_neq(r.cons, MAP_FAILED);
	p = mmap(NULL, PAGE + 2 * size, PROT_READ, MAP_SHARED, r.fd, PAGE);
	cr_assert_neq(p, MAP_FAILED);
	r.prod = (volatile u64 *)p;
	r.data = p + PAGE;
	r.raw = (u8 *)syscall(SYS_mmap, NULL, 2 * PAGE + size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      r.fd, 0);
	cr_assert_neq(r.raw, MAP_FAILED);
	return r;
}

static void put_record(struct rb *r, u32 size, u32 len, u32 text)
{
	u64 pos = *r->prod, mask = size - 1;

	memcpy(r->raw + 2 * PAGE + (pos & mask), &len, 4);
	memcpy(r->raw + 2 * PAGE + ((pos + 8) & mask), &text, 4);
	store_release((u64 *)(r->raw + PAGE), pos + 16);
}

Test(ring, ringbuf_data_is_there_twice)
{
	struct rb r = ringbuf(2 * PAGE);

	strcpy((char *)r.raw + 2 * PAGE, "head");
	cr_assert_str_eq((char *)r.data, "head");
	cr_assert_str_eq((char *)r.data + 2 * PAGE, "head");
	cr_assert_eq(map_errno(r.fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE), EPERM);
	cr_assert_eq(map_errno(r.fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0), EPERM);
	cr_assert_eq(map_errno(r.fd, 6 * PAGE, PROT_READ, MAP_SHARED, PAGE), EINVAL);
	cr_assert_eq(map_errno(r.fd, 3 * PAGE, PROT_READ, MAP_SHARED, 3 * PAGE), 0);
}

Test(ring, the_pages_of_a_ringbuf_are_there)
{
	u32 pages = 64;
	struct rb r = ringbuf(pages * PAGE);
	u8 present[66];

	cr_assert_eq(mincore(r.raw, (pages + 2) * PAGE, present), 0);
	for (u32 i = 0; i < pages + 2; i++)
		cr_assert(present[i] & 1, "page %u", i);
}

static int wait_one(int epfd, int timeout, u64 *data)
{
	struct epoll_event ev[4] = {0};
	int n = epoll_wait(epfd, ev, 4, timeout);

	*data = ev[0].data.u64;
	return n;
}

Test(ring, epoll_is_level_triggered)
{
	struct rb r = ringbuf(PAGE);
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 1234};
	int epfd = epoll_create1(0);
	u64 data;

	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, r.fd, &ev), 0);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, r.fd, &ev), -1);
	cr_assert_eq(errno, EEXIST);
	cr_assert_eq(wait_one(epfd, 0, &data), 0);
	put_record(&r, PAGE, 4, 7);
	cr_assert_eq(wait_one(epfd, 0, &data), 1);
	cr_assert_eq(data, 1234);
	cr_assert_eq(wait_one(epfd, -1, &data), 1, "still unread");
	*r.cons = 16;
	cr_assert_eq(wait_one(epfd, 0, &data), 0);
	/* a wake-up by the daemon ends a wait */
	put_record(&r, PAGE, 4 | BPF_RINGBUF_BUSY_BIT, 7);
	cr_assert_eq(wait_one(epfd, 0, &data), 0, "not committed yet");
	fake_ring();
	cr_assert_eq(wait_one(epfd, -1, &data), 1);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_DEL, r.fd, NULL), 0);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_DEL, r.fd, NULL), -1);
	cr_assert_eq(errno, ENOENT);
}

Test(ring, closing_the_ring_ends_its_registration)
{
	struct rb r = ringbuf(PAGE);
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(0);
	u64 data;

	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, r.fd, &ev), 0);
	put_record(&r, PAGE, 4, 7);
	close(r.fd);
	fake_ring();
	cr_assert_eq(wait_one(epfd, 50, &data), 0);
}

Test(ring, poll_sees_records)
{
	struct rb r = ringbuf(PAGE);
	struct pollfd p[2] = {{.fd = r.fd, .events = POLLIN}, {.fd = -1}};

	cr_assert_eq(poll(p, 2, 0), 0);
	cr_assert_eq(poll(p, 2, 20), 0);
	put_record(&r, PAGE, 4, 7);
	cr_assert_eq(poll(p, 2, -1), 1);
	cr_assert_eq(p[0].revents, POLLIN);
	cr_assert_eq(p[0].fd, r.fd);
}

Test(ring, select_sees_records)
{
	struct rb r = ringbuf(PAGE);
	struct timeval tv = {.tv_usec = 20000};
	struct timespec ts = {.tv_nsec = 1000000};
	fd_set in, out;
	int p[2];

	cr_assert_eq(pipe(p), 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(r.fd, &in);
	FD_SET(p[0], &in);
	cr_assert_eq(select(r.fd + p[0] + 1, &in, NULL, NULL, &tv), 0);
	cr_assert_not(FD_ISSET(r.fd, &in));
	cr_assert_eq(tv.tv_sec + tv.tv_usec, 0, "all of it was spent");
	put_record(&r, PAGE, 4, 7);
	FD_SET(r.fd, &in);
	FD_SET(p[0], &in);
	FD_SET(p[1], &out);
	cr_assert_eq(select(r.fd + p[1] + 1, &in, &out, NULL, NULL), 2);
	cr_assert(FD_ISSET(r.fd, &in));
	cr_assert_not(FD_ISSET(p[0], &in));
	cr_assert(FD_ISSET(p[1], &out));
	*r.cons = 16;
	cr_assert_eq(pselect(r.fd + 1, &in, NULL, NULL, &ts, NULL), 0);
	cr_assert_eq(ts.tv_nsec, 1000000, "pselect leaves it alone");
	/* none of ours: the kernel's own call */
	FD_ZERO(&in);
	FD_SET(p[0], &in);
	cr_assert_eq(select(p[0] + 1, &in, NULL, NULL, &(struct timeval){0}), 0);
	close(p[0]);
	FD_SET(p[0], &in);
	cr_assert_eq(select(p[0] + 1, &in, NULL, NULL, &(struct timeval){0}), -1);
	cr_assert_eq(errno, EBADF);
	FD_SET(r.fd, &in);
	cr_assert_eq(select(r.fd + p[0] + 1, &in, NULL, NULL, &(struct timeval){0}), -1);
	cr_assert_eq(errno, EBADF);
}

static u32 reports;
static void count_report(const char *text)
{
	reports++;
}

Test(ring, a_record_that_leaves_the_ring_is_discarded)
{
	struct rb r = ringbuf(PAGE);
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(0);
	u64 data;

	surface_set_reporter(count_report);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, r.fd, &ev), 0);
	put_record(&r, PAGE, 4, 7);
	put_record(&r, PAGE, 4000, 7);
	cr_assert_eq(wait_one(epfd, 0, &data), 0);
	cr_assert_eq(*r.cons, 32);
	cr_assert_eq(reports, 1);
	/* a position that makes no sense */
	store_release((u64 *)(r.raw + PAGE), 1ULL << 40);
	cr_assert_eq(wait_one(epfd, 0, &data), 0);
	cr_assert_eq(*r.cons, 1ULL << 40);
	cr_assert_eq(reports, 1, "once is enough");
}

Test(ring, random_rings_never_pass_a_bad_length)
{
	struct rb r = ringbuf(PAGE);
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned int seed = (unsigned int)getpid();
	int epfd = epoll_create1(0);
	u64 data;

	cr_log_info("seed %u", seed);
	surface_set_reporter(NULL);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, r.fd, &ev), 0);
	for (int round = 0; round < 2000; round++) {
		u64 prod = *r.cons + rand_r(&seed) % (2 * PAGE);

		if (rand_r(&seed) % 4)
			prod &= ~7ULL;
		for (u32 i = 0; i < PAGE; i += 8) {
			u32 len = rand_r(&seed) % 64;

			if (rand_r(&seed) % 16 == 0)
				len = (u32)rand_r(&seed) * 2;
			memcpy(r.raw + 2 * PAGE + i, &len, 4);
		}
		store_release((u64 *)(r.raw + PAGE), prod);
		if (wait_one(epfd, 0, &data) == 0)
			continue;
		/* what libbpf would read now stays inside */
		for (u64 pos = *r.cons; pos < prod;) {
			u32 len = *(u32 *)(r.data + (pos & (PAGE - 1)));

			if (len & BPF_RINGBUF_BUSY_BIT)
				break;
			len &= ~BPF_RINGBUF_DISCARD_BIT;
			pos += ALIGN_UP(len + 8ULL, 8);
			cr_assert_leq(pos, prod);
			cr_assert_leq(len, PAGE);
		}
		*r.cons = prod;
	}
}

/* --- perf --- */

static int output_event(void)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_SOFTWARE,
				       .config = PERF_COUNT_SW_BPF_OUTPUT,
				       .sample_period = 1,
				       .wakeup_events = 1};

	return (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

Test(ring, perf_buffer)
{
	struct perf_event_mmap_page *page;
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 5};
	int fd = output_event(), epfd = epoll_create1(0);
	u64 data;
	u32 *rec;

	cr_assert_geq(fd, 0);
	cr_assert_eq(map_errno(fd, 4 * PAGE, PROT_READ, MAP_SHARED, 0), EINVAL);
	page = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(page, MAP_FAILED);
	cr_assert_eq(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), 0);
	cr_assert_eq(fake->last_ioctl.request, PERF_EVENT_IOC_ENABLE);
	cr_assert_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), 0);
	rec = (u32 *)((u8 *)page + PAGE);
	rec[0] = PERF_RECORD_SAMPLE;
	rec[1] = 24 << 16;
	rec[2] = 12;
	store_release(&page->data_head, 24);
	cr_assert_eq(wait_one(epfd, -1, &data), 1);
	cr_assert_eq(data, 5);
	cr_assert_eq(page->data_tail, 0);
	rec[2] = 13; /* more than the record holds */
	surface_set_reporter(count_report);
	cr_assert_eq(wait_one(epfd, 0, &data), 0);
	cr_assert_eq(page->data_tail, 24);
	cr_assert_eq(reports, 1);
}

Test(ring, uprobe_event)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .type = MSG_PERF_TYPE_UPROBE};
	int fd, prog = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
	struct osl_ident id;

	attr.uprobe_path = (u64) "/bin/true";
	attr.probe_offset = 0x1234;
	fd = (int)syscall(SYS_perf_event_open, &attr, 42, -1, -1, PERF_FLAG_FD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_str_eq(fake->last_path, realpath("/bin/true", NULL));
	cr_assert_eq(fake->last_open.pid, 42);
	cr_assert_eq(ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog), 0);
	cr_assert_eq(osl_ident(prog, &id), 0);
	cr_assert_eq(fake->last_ioctl.prog.ino, id.ino);
	attr.uprobe_path = 8;
	cr_assert_eq(syscall(SYS_perf_event_open, &attr, 42, -1, -1, 0), -1);
	cr_assert_eq(errno, EFAULT);
}
