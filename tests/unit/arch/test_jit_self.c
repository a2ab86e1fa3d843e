/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which thread it is that runs a program: what code says without the helper is what the kernel
 * says, for any thread, in children, and whatever is in the words that tell.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/arch.h"
#include "tests/support/engine.h"

#define THREADS 40 /* at a time */
#define TIMES 8	   /* more in all than there are entries */
#define BOTH_ENGINES(jit) for (int jit = 0; jit <= (arch_jit_machine != 0); jit++)

static struct engine engines[2];

static bool fix(struct arch_regs *regs)
{
	return ebpf_prog_fixup(&engines[1].prog, regs);
}

static void init(void)
{
	static const struct bpf_insn p[] = {CALL(BPF_FUNC_get_current_pid_tgid), EXIT()};

	osl_trap_init_self();
	ebpf_helper_table_init();
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_fault_hook(fix);
	BOTH_ENGINES(jit)
	cr_assert_eq(engine_load(&engines[jit], p, ARRAY_SIZE(p), jit), 0);
}

TestSuite(jit_self, .init = init);

static u64 ask(int jit)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};

	return ebpf_prog_run(&engines[jit].prog, NULL, &run);
}

static u64 kernel_says(void)
{
	return (u64)getpid() << 32 | (u32)syscall(SYS_gettid);
}

/* The first time a thread asks it is not known, the next times it is. */
static bool all_right(void)
{
	u64 want = kernel_says();
	bool right = true;

	BOTH_ENGINES(jit)
	for (u32 i = 0; i < 4; i++)
		right = right && ask(jit) == want;
	return right;
}

static pthread_barrier_t all_there;

static void *thread(void *arg)
{
	u64 right = all_right();

	pthread_barrier_wait(&all_there);
	for (u32 i = 0; i < 50; i++)
		right = right && all_right();
	return (void *)(uintptr_t)right;
}

Test(jit_self, every_thread)
{
	static pthread_t threads[THREADS];
	void *right;

	for (u32 round = 0; round < TIMES;
	     round++) { /* stacks, and what is in them, are used again */
		pthread_barrier_init(&all_there, NULL, THREADS);
		for (u32 i = 0; i < THREADS; i++)
			cr_assert_eq(pthread_create(&threads[i], NULL, thread, NULL), 0);
		for (u32 i = 0; i < THREADS; i++) {
			pthread_join(threads[i], &right);
			cr_assert(right, "thread %u of round %u", i, round);
		}
	}
	cr_assert(all_right());
}

static void right_in_child(pid_t pid, const char *what)
{
	int status;

	cr_assert_geq(pid, 0);
	if (!pid) {
		osl_trap_init_self();
		_exit(all_right() ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%s", what);
}

/* One of libc's, and one with a stale word: it looks like its parent, who is known. */
Test(jit_self, children)
{
	cr_assert(all_right());
	right_in_child(fork(), "fork");
	right_in_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), "clone");
	cr_assert(all_right());
}

static void *another(void *tid)
{
	all_right();
	*(u32 *)tid = (u32)syscall(SYS_gettid);
	pthread_barrier_wait(&all_there);
	pthread_barrier_wait(&all_there);
	return NULL;
}

/* The word that tells says anything: another thread's number, one of the same entry, or none's. */
Test(jit_self, any_word)
{
	static __thread u32 word;
	u32 tid = (u32)syscall(SYS_gettid), other;
	pthread_t t;

	cr_assert(all_right());
	if (!osl_thread_pointer())
		return;
	pthread_barrier_init(&all_there, NULL, 2);
	cr_assert_eq(pthread_create(&t, NULL, another, &other), 0);
	pthread_barrier_wait(&all_there);
	u32 words[] = {other, tid + OSL_WHO_SLOTS, tid ^ 1, 0, ~0u, tid};

	osl_who.tid_at = (s64)((u64)(uintptr_t)&word - osl_thread_pointer());
	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		word = words[i];
		cr_assert(all_right(), "%u", word);
	}
	pthread_barrier_wait(&all_there);
	pthread_join(t, NULL);
}

Test(jit_self, word_is_nowhere)
{
	static const s64 places[] = {(s64)1 << 62, -4096, 0, INT64_MIN, 1 << 30};

	cr_assert(all_right());
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		osl_who.tid_at = places[i];
		cr_assert(all_right(), "%lld", (long long)places[i]);
	}
}

/* An entry is somebody else's, or was changed half. */
Test(jit_self, any_entry)
{
	u32 at = (u32)syscall(SYS_gettid) % OSL_WHO_SLOTS;

	cr_assert(all_right());
	osl_who.by_tid[at].tp ^= 64;
	cr_assert(all_right());
	osl_who.by_tid[at].pid_tgid ^= OSL_WHO_SLOTS;
	cr_assert(all_right());
	osl_who.by_tid[at].pid_tgid ^= 1;
	osl_who.by_tid[at].tp = 0;
	cr_assert(all_right());
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#include <asm/prctl.h>

static u64 ask_with(u64 thread_pointer, u64 own)
{
	u64 got;

	arch_syscall6(SYS_arch_prctl, ARCH_SET_FS, (long)thread_pointer, 0, 0, 0, 0);
	got = ask(1);
	arch_syscall6(SYS_arch_prctl, ARCH_SET_FS, (long)own, 0, 0, 0, 0);
	return got;
}

/* A thread that has no control block, or a copy of another's. */
Test(jit_self, no_control_block)
{
	static u8 zeroes[8192] __attribute__((aligned(64)));
	static u64 copy[512] __attribute__((aligned(64)));
	u64 own = osl_thread_pointer(), want = kernel_says();

	cr_assert(all_right());
	if (!own)
		return;
	cr_assert_eq(ask_with((u64)(uintptr_t)zeroes + 4096, own), want);
	cr_assert_eq(ask_with(4096 * 16, own), want);
	memcpy(copy, (void *)(uintptr_t)own, MIN(sizeof(copy), 0x700u));
	cr_assert_eq(ask_with((u64)(uintptr_t)copy, own), want);
	cr_assert(all_right());
}
#endif
