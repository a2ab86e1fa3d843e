/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services for any context: identity, doorbells.
 *
 * Model: what a process is does not change (struct osl_self); what a thread is gets cached in a
 * table keyed by the thread pointer, because there is no thread-local storage here. An entry is
 * used only while a word in the thread's control block still holds the thread's tid, as glibc and
 * musl keep it there; that catches control blocks reused by a later thread. Where no such word is
 * found, every question is a system call.
 *
 * Rules: no lock is waited for. An entry is taken with a compare-and-swap on its key and given back
 * by storing the key; whoever finds it taken does without. A child that shares its parent's control
 * block (vfork, posix_spawn before exec) is seen as its parent.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/stat.h>

#include "osl/linux/clock.h"
#include "osl/linux/cpu.h"
#include "osl/linux/vdso.h"
#include "osl/osl_trap.h"

#define THREADS 1024 /* entries, in sets of WAYS */
#define WAYS 4
#define BUSY 1ull	 /* key of an entry being filled; no control block is there */
#define TCB_SIZE 0x800u	 /* where in a control block the tid is looked for */
#define TCB_TRIES 8	 /* threads that may be searched before we give up */
#define TID_SCAN_MIN 64u /* smaller tids are too easily found by accident */
#define RSEQ_CPU 4	 /* offset of the CPU's number in struct rseq */
#define MAX_CPUS 0x1000u
#define COMM_AGE_NS 10000000ull

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

struct thread {
	u64 tp; /* key */
	u32 tid;
	u32 epoch;   /* state.epoch it belongs to: others are a parent's */
	u64 comm_at; /* coarse clock */
	u64 comm[OSL_COMM_LEN / 8];
} __cacheline_aligned;

static struct {
	struct osl_self self;
	long (*getcpu)(u32 *cpu, u32 *node, void *unused);
	u64 pidns_dev, pidns_ino; /* 0: could not be seen */
	bool cpu_node;		  /* osl_hw_cpu_node() works */
	bool thread_pointer;	  /* osl_hw_thread_pointer() works */
	u32 epoch;
	u32 tid_off; /* of the tid in a control block, 0: not known */
	u32 tries;
} state;

s64 osl_cpu_at;
struct osl_who osl_who __cacheline_aligned;
bool osl_walled;
static u64 random_state __cacheline_aligned;
static struct thread threads[THREADS];

/* --- system calls --- */

static long kernel(long nr, long a, long b, long c, long d)
{
	return unlikely(load_relaxed(&osl_walled)) ? -EPERM : osl_hw_syscall(nr, a, b, c, d);
}

void osl_wall(void)
{
	struct osl_bells *b = state.self.bells;

	if (osl_walled)
		return;
	osl_clock_calm(true);
	if (b) { /* the last time that the waker can be woken */
		__atomic_store_n(&b->mute, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&b->seq, 1, __ATOMIC_SEQ_CST);
		kernel(__NR_futex, (long)&b->seq, FUTEX_WAKE, 1, 0);
	}
	store_relaxed(&osl_walled, true);
}

/* --- CPU --- */

static __noinline u32 cpu_node(void)
{
	u32 cpu = 0, node = 0;

	if (likely(state.cpu_node))
		return osl_hw_cpu_node();
	if (!state.getcpu || state.getcpu(&cpu, &node, NULL))
		kernel(__NR_getcpu, (long)&cpu, (long)&node, 0, 0);
	return node << 12 | (cpu & 0xfff);
}

u32 osl_cpu(void)
{
	s64 cpu = osl_fault_cpu();

	/* a thread that registered no struct rseq has a number there that is no CPU's */
	return likely((u64)cpu < MAX_CPUS) ? (u32)cpu : cpu_node() & 0xfff;
}

u32 osl_numa_node(void)
{
	return cpu_node() >> 12;
}

/* --- process --- */

u32 osl_tgid(void)
{
	return state.self.tgid;
}

u64 osl_uid_gid(void)
{
	return (u64)state.self.gid << 32 | state.self.uid;
}

u64 osl_cgroup_id(void)
{
	return state.self.cgroup_id;
}

bool osl_pidns_is(u64 dev, u64 ino)
{
	return state.pidns_ino && dev == state.pidns_dev && ino == state.pidns_ino;
}

/* splitmix64: one shared counter, mixed by its reader; unpredictable enough for sampling */
u32 osl_random(void)
{
	u64 z = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (u32)((z ^ (z >> 31)) >> 32);
}

/* --- threads --- */

u64 osl_thread_pointer(void)
{
	u64 tp;

	if (likely(state.thread_pointer))
		return arch_thread_pointer();
	tp = osl_fault_self_pointer();
	return (s64)tp == -EFAULT ? 0 : tp;
}

/* Within walls the word in the control block has to do, where it was found before. */
static u32 gettid(void)
{
	u32 off = load_relaxed(&state.tid_off), word = 0;
	long tid = kernel(__NR_gettid, 0, 0, 0, 0);

	if (likely(tid > 0))
		return (u32)tid;
	if (off)
		osl_read(&word, (const void *)(osl_thread_pointer() + off), sizeof(word));
	return word ? word : state.self.tgid;
}

static struct thread *thread_set(u64 tp)
{
	u64 h = (tp >> 6) * 0x9e3779b97f4a7c15ull;

	return &threads[(h >> 32) % (THREADS / WAYS) * WAYS];
}

static struct thread *thread_find(u64 tp)
{
	struct thread *t = thread_set(tp);

	for (u32 i = 0; i < WAYS; i++)
		if (load_acquire(&t[i].tp) == tp && load_relaxed(&t[i].epoch) == state.epoch)
			return &t[i];
	return NULL;
}

/* Does the control block at @tp hold @tid at @off? */
static bool tcb_holds(u64 tp, u32 off, u32 tid)
{
	u32 word;

	return off && !osl_read(&word, (const void *)(tp + off), sizeof(word)) && word == tid;
}

/*
 * Where glibc has its tid is where the kernel shall clear it when the thread ends; that address is
 * certain but not every kernel tells. Else the first word that looks right is taken.
 */
static u32 tcb_search(u64 tp, u32 tid)
{
	u64 addr = 0;

	if (!kernel(__NR_prctl, PR_GET_TID_ADDRESS, (long)&addr, 0, 0) && addr > tp &&
	    addr - tp < TCB_SIZE && tcb_holds(tp, (u32)(addr - tp), tid))
		return (u32)(addr - tp);
	if (tid < TID_SCAN_MIN)
		return 0;
	for (u32 off = 8; off < TCB_SIZE; off += 4)
		if (tcb_holds(tp, off, tid))
			return off;
	return 0;
}

/* Is the tid's place in the control block of this thread known, or can it be found now? */
static bool tcb_known(u64 tp, u32 tid)
{
	u32 off = load_relaxed(&state.tid_off);

	if (tcb_holds(tp, off, tid))
		return true;
	if (load_relaxed(&state.tries) >= TCB_TRIES)
		return false;
	__atomic_fetch_add(&state.tries, 1, __ATOMIC_RELAXED);
	off = tcb_search(tp, tid);
	if (off) {
		store_relaxed(&state.tid_off, off);
		store_relaxed(&osl_who.tid_at, off);
	}
	return off;
}

/* Take an entry for @tp: its own, a free or a parent's one, else one chosen by chance. */
static struct thread *thread_take(u64 tp)
{
	struct thread *set = thread_set(tp), *t = NULL;
	u64 old;

	for (u32 i = 0; i < WAYS && !t; i++)
		if (load_relaxed(&set[i].tp) == tp)
			t = &set[i];
	for (u32 i = 0; i < WAYS && !t; i++)
		if (!load_relaxed(&set[i].tp) || load_relaxed(&set[i].epoch) != state.epoch)
			t = &set[i];
	if (!t)
		t = &set[osl_random() % WAYS];
	old = load_relaxed(&t->tp);
	if (old == BUSY && load_relaxed(&t->epoch) == state.epoch)
		return NULL;
	if (!__atomic_compare_exchange_n(&t->tp, &old, BUSY, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return NULL;
	return t;
}

static u32 thread_register(u64 tp)
{
	u32 tid = gettid();
	struct thread *t;

	if (!tp || !tcb_known(tp, tid))
		return tid;
	t = thread_take(tp);
	if (!t)
		return tid;
	store_relaxed(&t->epoch, state.epoch);
	store_relaxed(&t->tid, tid);
	store_relaxed(&t->comm_at, 0);
	store_release(&t->tp, tp);
	return tid;
}

/*
 * For code that asks by itself, through the self pointer. Two threads that come to the same slot at
 * once may leave an entry that is nobody's.
 */
static void who_note(u64 tp, u32 tid)
{
	u64 pid_tgid = (u64)osl_tgid() << 32 | tid;
	u32 at = tid % OSL_WHO_SLOTS;

	if (load_relaxed(&osl_who.by_tid[at].tp) == tp &&
	    load_relaxed(&osl_who.by_tid[at].pid_tgid) == pid_tgid)
		return;
	if (osl_fault_self_pointer() != tp)
		return;
	store_relaxed(&osl_who.by_tid[at].pid_tgid, pid_tgid);
	store_relaxed(&osl_who.by_tid[at].tp, tp);
}

/*
 * A child's threads are others, and its tgid. A slot without an entry has a number that is not one
 * of its own, so that not even zeroes near a thread pointer find it.
 */
static void who_forget(void)
{
	for (u32 i = 0; i < OSL_WHO_SLOTS; i++) {
		if (load_relaxed(&osl_who.by_tid[i].pid_tgid))
			store_relaxed(&osl_who.by_tid[i].pid_tgid, !i);
		if (load_relaxed(&osl_who.by_tid[i].tp))
			store_relaxed(&osl_who.by_tid[i].tp, 0);
	}
	store_relaxed(&osl_who.by_tid[0].pid_tgid, 1);
}

/* The entry of the running thread if its tid is still that of the control block. */
static struct thread *thread_current(u64 tp, u32 *tid)
{
	struct thread *t = tp ? thread_find(tp) : NULL;

	if (!t)
		return NULL;
	*tid = load_relaxed(&t->tid);
	return tcb_holds(tp, load_relaxed(&state.tid_off), *tid) ? t : NULL;
}

u32 osl_tid(void)
{
	u64 tp = osl_thread_pointer();
	u32 tid;

	if (unlikely(!thread_current(tp, &tid)))
		return thread_register(tp);
	who_note(tp, tid);
	return tid;
}

static void comm_fetch(u64 comm[2])
{
	comm[0] = comm[1] = 0;
	kernel(__NR_prctl, PR_GET_NAME, (long)comm, 0, 0);
}

/* Copy the cached name out; false when it is too old or the entry changed hands meanwhile. */
static bool comm_cached(struct thread *t, u64 tp, u64 now, u64 comm[2])
{
	u64 at = load_relaxed(&t->comm_at);

	if (!at || (now - at > COMM_AGE_NS && !load_relaxed(&osl_walled)))
		return false;
	comm[0] = load_relaxed(&t->comm[0]);
	comm[1] = load_relaxed(&t->comm[1]);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return load_relaxed(&t->tp) == tp;
}

static void comm_store(struct thread *t, u64 tp, u64 now, const u64 comm[2])
{
	u64 old = tp;

	if (!__atomic_compare_exchange_n(&t->tp, &old, BUSY, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	store_relaxed(&t->comm[0], comm[0]);
	store_relaxed(&t->comm[1], comm[1]);
	store_relaxed(&t->comm_at, now);
	store_release(&t->tp, tp);
}

void osl_comm(char out[OSL_COMM_LEN])
{
	u64 tp = osl_thread_pointer(), now = osl_ktime_coarse_ns(), comm[2];
	struct thread *t;
	u32 tid;

	t = thread_current(tp, &tid);
	if (!t) {
		thread_register(tp);
		t = thread_current(tp, &tid);
	}
	if (!t || !comm_cached(t, tp, now, comm)) {
		comm_fetch(comm);
		if (t)
			comm_store(t, tp, now, comm);
	}
	__builtin_memcpy(out, comm, OSL_COMM_LEN);
}

/* --- strings, doorbells, life --- */

s64 osl_read_str(char *dst, const char *src, size_t len)
{
	s64 n = osl_fault_copy_str(dst, src, len);

	if (unlikely(n < 0)) {
		osl_zero(dst, len);
		return -EFAULT;
	}
	if (n == (s64)len && len)
		dst[len - 1] = 0;
	return n;
}

void osl_ring(u32 bell)
{
	struct osl_bells *b = state.self.bells;

	if (!bell || bell >= OSL_BELLS || !b)
		return;
	__atomic_fetch_or(&b->pending[bell / 64], 1ull << bell % 64, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&b->seq, 1, __ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&b->asleep, __ATOMIC_SEQ_CST)))
		kernel(__NR_futex, (long)&b->seq, FUTEX_WAKE, 1, 0);
}

bool osl_daemon_dead(void)
{
	const struct osl_life *life = state.self.life;

	return life && (load_relaxed(&life->alive) & OSL_LIFE_OWNER_DIED);
}

/* --- start --- */

static u64 auxv_find(const u64 *auxv, long bytes, u64 type)
{
	for (long i = 0; i + 16 <= bytes; i += 16, auxv += 2)
		if (auxv[0] == type)
			return auxv[1];
	return 0;
}

/* AT_HWCAP2, from the kernel: the vector on the stack is not ours to find. 0 when unknown. */
static u64 hwcap2(void)
{
	u64 auxv[64];
	long n, fd;

	n = osl_hw_syscall(__NR_prctl, PR_GET_AUXV, (long)auxv, sizeof(auxv), 0);
	if (n > 0)
		return auxv_find(auxv, MIN(n, (long)sizeof(auxv)), AT_HWCAP2);
	fd = osl_hw_syscall(__NR_openat, AT_FDCWD, (long)"/proc/self/auxv", O_RDONLY | O_CLOEXEC,
			    0);
	if (fd < 0)
		return 0;
	n = osl_hw_syscall(__NR_read, fd, (long)auxv, sizeof(auxv), 0);
	osl_hw_syscall(__NR_close, fd, 0, 0, 0);
	return n > 0 ? auxv_find(auxv, n, AT_HWCAP2) : 0;
}

static u64 makedev(u64 major, u64 minor)
{
	return (major & 0xfff) << 8 | (major & ~0xfffull) << 32 | (minor & 0xff) |
	       (minor & ~0xffull) << 12;
}

static void find_pidns(void)
{
	struct statx st;

	state.pidns_ino = 0;
	if (arch_syscall6(__NR_statx, AT_FDCWD, (long)"/proc/self/ns/pid", 0, STATX_INO, (long)&st,
			  0))
		return;
	state.pidns_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	state.pidns_ino = st.stx_ino;
}

static void seed_random(void)
{
	u64 seed = 0;

	osl_hw_syscall(__NR_getrandom, (long)&seed, sizeof(seed), 1 /* GRND_NONBLOCK */, 0);
	random_state = seed ^ osl_ktime_ns() ^ (u64)gettid() << 32;
}

void osl_trap_init(const struct osl_self *self)
{
	s64 off;

	state.self = *self;
	state.epoch++;
	state.tries = 0;
	who_forget();
	osl_clock_init(self->vdso);
	state.getcpu = osl_vdso_sym(self->vdso, "__vdso_getcpu");
	state.cpu_node = osl_hw_has_cpu_node();
	state.thread_pointer = osl_hw_has_thread_pointer(hwcap2());
	off = osl_rseq_find();
	store_relaxed(&osl_cpu_at, off ? off + RSEQ_CPU : 0);
	find_pidns();
	seed_random();
	osl_tid();
}
