/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USER_RINGBUF: what a program gets of what a process wrote, right or wrong; one consumer at a
 * time, one that dies or is cut short included.
 */
#include "map_test.h"

#include "core/run/dynptr.h"
#include "core/run/helper_impl.h"
#include "core/run/map/ringbuf.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define BELL 5
#define SIZE 4096u

static struct osl_bells bells;
static struct ebpf_map ring;

static struct {
	struct ebpf_image img;
	struct ebpf_image_ref ref;
} image = {.img = {.nrefs = 1, .refs = sizeof(struct ebpf_image)}, .ref = {.kind = EBPF_REF_MAP}};
static u64 refs[1] = {(u64)&ring};
static struct ebpf_prog prog = {.image = &image.img, .refs = refs};

static void init(void)
{
	struct osl_self self = {.tgid = (u32)getpid(), .bells = &bells};
	struct ebpf_map_meta meta = test_meta(BPF_MAP_TYPE_USER_RINGBUF, 0, 0, SIZE, 0);
	struct ebpf_map_part part[2];
	int fd = memfd_create("ring", 0);
	u8 *base;

	osl_trap_init(&self);
	test_participants();
	meta.bell = BELL;
	cr_assert_eq(ebpf_map_check(&meta), 0);
	cr_assert_eq(ftruncate(fd, (off_t)ebpf_map_shm_size(&meta)), 0);
	base = test_mmap(ebpf_ringbuf_layout(&meta, part));
	for (u32 i = 0; i < 2; i++)
		cr_assert_neq(mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd, (off_t)part[i].off),
			      MAP_FAILED);
	close(fd);
	cr_assert_eq(ebpf_map_bind(&ring, &meta, base, ebpf_map_shm_size(&meta)), 0);
}

TestSuite(userring, .init = init);

static bool rung(void)
{
	u64 bit = 1ull << BELL;

	return __atomic_fetch_and(&bells.pending[0], ~bit, __ATOMIC_SEQ_CST) & bit;
}

static u64 *cons_pos(void)
{
	return (u64 *)ring.base;
}

static u64 *prod_pos(void)
{
	return (u64 *)(ring.base + 4096);
}

static u32 *lock_word(void)
{
	return (u32 *)(ring.base + 64);
}

/* As libbpf's user_ring_buffer__submit(). */
static void produce(u32 word, u32 len, u64 value)
{
	u64 pos = *prod_pos();
	u8 *at = ring.base + 2 * 4096 + (pos & (SIZE - 1));

	*(u32 *)at = word;
	memcpy(at + 8, &value, MIN(len, 8u));
	*prod_pos() = pos + ALIGN_UP(len + 8, 8u);
}

static u64 seen, seen_sum, stop_after;

static u64 take(struct ebpf_run *run, u64 fn, u64 dynptr, u64 ctx, u64 r3, u64 r4, u64 r5)
{
	struct ebpf_dynptr *d = ebpf_dynptr(dynptr);
	u64 value = 0;

	cr_assert_eq(fn, 11);
	cr_assert_eq(ctx, 22);
	cr_assert_eq(d->start, 0);
	memcpy(&value, d->data, MIN(d->size, 8u));
	seen++;
	seen_sum += value;
	return seen == stop_after;
}

static s64 drain_as(struct ebpf_run *run, u64 flags)
{
	run->prog = &prog;
	run->refs = refs;
	seen = seen_sum = 0;
	return (s64)ebpf_h_user_ringbuf_drain((u64)&ring, 11, 22, flags, 0, run);
}

static s64 drain(u64 flags)
{
	struct ebpf_run run = {.callback = take};

	return drain_as(&run, flags);
}

Test(userring, samples_come_in_order_and_once)
{
	for (u32 round = 0; round < 50; round++) { /* round and round */
		for (u32 i = 1; i <= 20; i++)
			produce(8 + i % 3, 8 + i % 3, i);
		cr_assert_eq(drain(0), 20);
		cr_assert_eq(seen_sum, 210);
		cr_assert_eq(*cons_pos(), *prod_pos());
		cr_assert(rung());
		cr_assert_eq(drain(0), 0);
		cr_assert_not(rung(), "nothing was drained");
	}
}

Test(userring, flags)
{
	produce(8, 8, 1);
	cr_assert_eq(drain(4), -EINVAL);
	cr_assert_eq(drain(BPF_RB_NO_WAKEUP), 1);
	cr_assert_not(rung());
	cr_assert_eq(drain(BPF_RB_FORCE_WAKEUP), 0);
	cr_assert(rung());
}

Test(userring, busy_and_discarded_samples)
{
	produce(8 | BPF_RINGBUF_DISCARD_BIT, 8, 100);
	produce(8, 8, 1);
	produce(8 | BPF_RINGBUF_BUSY_BIT, 8, 2);
	produce(8, 8, 4);
	cr_assert_eq(drain(0), 1);
	cr_assert_eq(seen_sum, 1);
	*(u32 *)(ring.base + 2 * 4096 + 32) = 8;
	cr_assert_eq(drain(0), 2);
	cr_assert_eq(seen_sum, 6);
}

Test(userring, the_callback_may_stop)
{
	for (u32 i = 1; i <= 5; i++)
		produce(8, 8, i);
	stop_after = 2;
	cr_assert_eq(drain(0), 2);
	stop_after = 0;
	cr_assert_eq(drain(0), 3);
	cr_assert_eq(seen_sum, 12);
}

/* The kernel's answers to what no producer writes. */
Test(userring, nonsense)
{
	*prod_pos() = 4;
	cr_assert_eq(drain(0), -EINVAL);
	*prod_pos() = 8;
	*(u32 *)(ring.base + 2 * 4096) = 8;
	cr_assert_eq(drain(0), -EINVAL, "longer than what was produced");
	*prod_pos() = 1ull << 40;
	*(u32 *)(ring.base + 2 * 4096) = SIZE;
	cr_assert_eq(drain(0), -E2BIG, "longer than the ring");
	*(u32 *)(ring.base + 2 * 4096) = 0x3fffffff;
	cr_assert_eq(drain(0), -E2BIG);
	*cons_pos() = 1ull << 41;
	cr_assert_eq(drain(0), 0, "a position from the future");
	cr_assert_eq(*lock_word(), 0);
}

Test(userring, scribbling_leads_nowhere_else)
{
	test_seed();
	for (u32 i = 0; i < 100000; i++) {
		struct ebpf_user_sample s;

		*cons_pos() = test_rand() % 3 ? test_rand() % 8192 : (u64)test_rand() << 32;
		*prod_pos() = test_rand() % 3 ? test_rand() % 16384 & ~7u : ~0ull & ~7ull;
		for (u32 k = 0; k < 4; k++)
			*(u32 *)(ring.base + 2 * 4096 + test_rand() % 1024 * 4) =
				test_rand() % 2 ? test_rand() : test_rand() % 5000;
		if (ebpf_user_ring_peek(&ring, &s))
			continue;
		cr_assert_geq((u8 *)s.data, ring.base + 2 * 4096);
		cr_assert_leq((u8 *)s.data + s.size, ring.base + 2 * 4096 + 2 * SIZE);
	}
}

static u64 nest(struct ebpf_run *run, u64 fn, u64 dynptr, u64 ctx, u64 r3, u64 r4, u64 r5)
{
	cr_assert_eq((s64)ebpf_h_user_ringbuf_drain((u64)&ring, 11, 22, 0, 0, run), -EBUSY);
	cr_assert_eq(drain(0), -EBUSY, "nor another thread");
	seen = 1;
	return 0;
}

Test(userring, one_consumer_at_a_time)
{
	struct ebpf_run run = {.callback = nest};

	produce(8, 8, 1);
	cr_assert_eq(drain_as(&run, 0), 1);
	cr_assert_eq(seen, 1);
	produce(8, 8, 2);
	cr_assert_eq(drain(0), 1);
}

Test(userring, a_dead_consumer_is_taken_over)
{
	const u32 owners[] = {77, OSL_MAX_PARTICIPANTS, 0xdeadbeef};

	shared->dead[77] = 1;
	for (u32 i = 0; i < ARRAY_SIZE(owners); i++) {
		produce(8, 8, 1);
		*lock_word() = owners[i];
		cr_assert_eq(drain(0), 1);
		cr_assert_eq(*lock_word(), 0);
	}
	*lock_word() = 77;
	cr_assert_eq(ebpf_map_reap(&ring), 1);
	cr_assert_eq(*lock_word(), 0);
	*lock_word() = 78; /* alive */
	cr_assert_eq(ebpf_map_reap(&ring), 0);
	cr_assert_eq(drain(0), -EBUSY);
}

/* A run that faulted in the callback: the next one goes on behind that sample. */
Test(userring, a_run_that_is_cut_short)
{
	struct ebpf_user_sample s;
	struct ebpf_run run = {0};

	produce(8, 8, 1);
	produce(8, 8, 2);
	cr_assert_eq(ebpf_user_ring_lock(&ring), 0);
	cr_assert_eq(ebpf_user_ring_peek(&ring, &s), 0);
	run.drain.map = &ring;
	run.drain.next = s.next;
	ebpf_run_finish(&run);
	cr_assert_null(run.drain.map);
	cr_assert(rung());
	cr_assert_eq(drain(0), 1);
	cr_assert_eq(seen_sum, 2);
}

/* ---- killed in the middle ---- */

static u64 linger(struct ebpf_run *run, u64 fn, u64 dynptr, u64 ctx, u64 r3, u64 r4, u64 r5)
{
	__atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
	while (pause())
		;
	return 0;
}

Test(userring, killed_in_the_callback, .timeout = 20)
{
	for (u32 who = 2; who < 12; who++) {
		struct ebpf_run run = {.callback = linger};
		pid_t pid;

		shared->go = 0;
		produce(8, 8, who);
		pid = test_fork(who);
		if (!pid)
			drain_as(&run, 0);
		while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
			usleep(100);
		cr_assert_eq(drain(0), -EBUSY);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		shared->dead[who] = 1;
		cr_assert_eq(drain(0), 1, "the sample it had is not lost");
		cr_assert_eq(seen_sum, who);
	}
}
