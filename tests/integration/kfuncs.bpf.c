// SPDX-License-Identifier: BSD-2-Clause
/* Kernel functions as programs use them, found by name in the kernel's BTF; kfuncs.c prints. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "kfuncs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* as vmlinux.h and newer headers of libbpf have them */
struct bpf_iter_num___t {
	__u64 opaque;
};
extern int bpf_iter_num_new(struct bpf_iter_num___t *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num___t *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num___t *it) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
extern void bpf_no_such_function(void) __weak __ksym;

#define FOR(i, start, end)                                                                         \
	for (struct bpf_iter_num___t it_                                                           \
	     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                           \
	     *at_ __attribute__((unused)) =                                                        \
		     (bpf_iter_num_new(&it_, start, end), (void)bpf_iter_num_destroy, (void *)0);  \
	     ({                                                                                    \
		     int *n_ = bpf_iter_num_next(&it_);                                            \
		     (i) = n_ ? *n_ : 0;                                                           \
		     n_;                                                                           \
	     });)
struct results r;
const volatile int ten = 10, three = 3;

static __noinline long long sum_to(int end)
{
	long long sum = 0;
	int i;

	FOR(i, 0, end)
	sum += i;
	return sum;
}

static long callback(__u32 index, void *ctx)
{
	long long sum = 0;
	int i;

	FOR(i, index, index + three)
	sum += i;
	r.in_callback += sum;
	return 0;
}

static void loops(void)
{
	int i, j;

	FOR(i, 0, ten)
	r.for_sum += 100 + i;
	FOR(i, ten, ten)
	r.for_empty++;
	FOR(i, ten, three)
	r.for_backwards++;
	FOR(i, 0, (8 << 20) + ten)
	r.for_too_many++;
	FOR(i, -ten, three)
	r.for_negative += i;
	FOR(i, 0, 1 << 20)
	{
		if (i == ten)
			break;
		r.for_break++;
	}
	FOR(i, 0, ten)
	{
		FOR(j, i, ten)
		r.for_nested += 1 + j;
	}
	FOR(i, 0, 100000)
	r.repeat++;
}

SEC("uprobe")
int probe(struct pt_regs *ctx)
{
	r.runs++;
	loops();
	r.in_subprogram = sum_to(ten) + sum_to(three);
	bpf_loop(4, callback, 0, 0);
	bpf_rcu_read_lock();
	r.in_rcu = r.runs;
	bpf_rcu_read_unlock();
	r.absent = !bpf_no_such_function;
	return 0;
}
