// SPDX-License-Identifier: BSD-2-Clause
/* Kernel functions as programs use them, found by name in the kernel's BTF; kfuncs.c prints. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/ebpfrt_kfuncs.bpf.h>

#include "kfuncs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern void bpf_no_such_function(void) __weak __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct results r;
const volatile int ten = 10, three = 3;

static __noinline long long sum_to(int end)
{
	long long sum = 0;
	int i;

	bpf_for (i, 0, end)
		sum += i;
	return sum;
}

static long callback(__u32 index, void *ctx)
{
	long long sum = 0;
	int i;

	bpf_for (i, index, index + three)
		sum += i;
	r.in_callback += sum;
	return 0;
}

static char bytes[32];

static char bytes[32];

static void loops(void)
{
	int i, j;

	bpf_for (i, 0, ten)
		r.for_sum += 100 + i;
	bpf_for (i, ten, ten)
		r.for_empty++;
	bpf_for (i, ten, three)
		r.for_backwards++;
	bpf_for (i, 0, (8 << 20) + ten)
		r.for_too_many++;
	bpf_for (i, -ten, three)
		r.for_negative += i;
	bpf_for (i, 0, 1 << 20) {
		if (i == ten)
			break;
		r.for_break++;
	}
	bpf_for (i, 0, ten) {
		bpf_for (j, i, ten)
			r.for_nested += 1 + j;
	}
	bpf_repeat (100000)
		r.repeat++;
	bpf_for (i, 0, (int)sizeof(bytes)) {
		if (i == three)
			continue;
		bytes[i] = i;
	}
	r.for_bounded = bytes[3] * 10000 + bytes[7] * 100 + bytes[31];
}

/* 1000 + n, summed over the bits that are set; or what new said */
static __noinline long long bits_of(const __u64 *words, __u32 n)
{
	struct bpf_iter_bits___ebpfrt it;
	long long sum = 0;
	int *bit, err;

	err = bpf_iter_bits_new(&it, words, n);
	while ((bit = bpf_iter_bits_next(&it)))
		sum += 1000 + *bit;
	bpf_iter_bits_destroy(&it);
	return err ? err : sum;
}

static void bits(void)
{
	static __u64 words[3] = {1ull << 63 | 1ull << 5, 0, 1ull << 63 | 2};

	r.bits_word = bits_of(words, 1);
	r.bits_words = bits_of(words, 3);
	r.bits_null = bits_of(0, 1);
	r.bits_none = bits_of(words, 0);
	r.bits_too_many = bits_of(words, 512);
	r.bits_wrong = bits_of((void *)-4095l, 4);
}

static void fill(struct value *v)
{
	int i;

	bpf_for (i, 0, 8)
		v->words[i] = 0x1111111111111111ull * i;
}

static void no_memory(struct value *v)
{
	struct bpf_dynptr d, copy;
	__u64 word;

	r.mem_flags = bpf_dynptr_from_mem(v, sizeof(*v), 1, &d);
	r.mem_null_read = bpf_dynptr_read(&word, 8, &d, 0, 0);
	r.mem_null_data = !bpf_dynptr_data(&d, 0, 8);
	r.mem_null_size = (int)bpf_dynptr_size(&d);
	r.mem_null_adjust = bpf_dynptr_adjust(&d, 0, 0);
	r.mem_null_clone = bpf_dynptr_clone(&d, &copy);
	r.mem_null_is_null = bpf_dynptr_is_null(&copy);
}

static void accesses(struct value *v, const struct bpf_dynptr *d)
{
	__u64 word = 0, buf[2] = {0}, *p;

	r.read = bpf_dynptr_read(&word, 8, d, 4, 0);
	r.read_value = word;
	r.read_end = bpf_dynptr_read(&word, 1, d, 63, 0);
	r.read_beyond = bpf_dynptr_read(&word, 2, d, 63, 0);
	r.read_far = bpf_dynptr_read(&word, 8, d, (__u32)-4, 0);
	r.read_flags = bpf_dynptr_read(&word, 8, d, 0, 1);
	word = 0x123456789abcdef;
	r.write = bpf_dynptr_write(d, 3, &word, 8, 0);
	r.write_value = v->words[1];
	r.write_beyond = bpf_dynptr_write(d, 57, &word, 8, 0);
	r.write_flags = bpf_dynptr_write(d, 0, &word, 8, 1);
	r.write_overlap = bpf_dynptr_write(d, 3, v, 40, 0);
	r.write_overlap_value = v->words[0] ^ v->words[1] ^ v->words[2] ^ v->words[4] ^ v->words[5];
	p = bpf_dynptr_data(d, 8, 8);
	r.data = p ? *p : -1;
	r.data_beyond = !bpf_dynptr_data(d, 57, 8);
	p = bpf_dynptr_slice(d, 16, buf, 8);
	r.slice = p ? *p : -1;
	r.slice_beyond = !bpf_dynptr_slice(d, 57, buf, 8);
}

static void parts(struct bpf_dynptr *d)
{
	struct bpf_dynptr copy;
	__u64 word = 0;

	r.adjust_beyond = bpf_dynptr_adjust(d, 3, 65);
	r.adjust_backwards = bpf_dynptr_adjust(d, 4, 3);
	r.adjust = bpf_dynptr_adjust(d, 3, 60);
	r.adjust_size = bpf_dynptr_size(d);
	r.clone = bpf_dynptr_clone(d, &copy);
	r.adjust += bpf_dynptr_adjust(d, 2, 12);
	bpf_dynptr_read(&word, 8, d, 2, 0);
	r.adjust_value = word;
	bpf_dynptr_read(&word, 8, &copy, 0, 0);
	r.clone_value = word;
	r.clone_size = bpf_dynptr_size(&copy) * 100 + bpf_dynptr_size(d);
}

static void memory(struct value *v)
{
	struct bpf_dynptr d;

	fill(v);
	no_memory(v);
	r.mem = bpf_dynptr_from_mem(v, sizeof(*v), 0, &d);
	r.is_null = bpf_dynptr_is_null(&d);
	r.is_rdonly = bpf_dynptr_is_rdonly(&d);
	r.size = bpf_dynptr_size(&d);
	accesses(v, &d);
	parts(&d);
}

static void rings(void)
{
	struct bpf_dynptr d;
	__u64 word = 5, *p;
	__u32 i;

	/* of a size that only the run knows */
	bpf_for (i, 1, three + 2) {
		r.ring += bpf_ringbuf_reserve_dynptr(&ring, 8 * i, 0, &d);
		r.ring_write += bpf_dynptr_write(&d, 8 * i - 8, &word, 8, 0);
		r.ring_size += bpf_dynptr_size(&d);
		p = bpf_dynptr_data(&d, 0, 8);
		if (p)
			*p += 1000 * i;
		if (i == 2)
			bpf_ringbuf_discard_dynptr(&d, 0);
		else
			bpf_ringbuf_submit_dynptr(&d, 0);
	}
	r.ring_flags = bpf_ringbuf_reserve_dynptr(&ring, 8, 1, &d);
	bpf_ringbuf_submit_dynptr(&d, 0);
	r.ring_too_big = bpf_ringbuf_reserve_dynptr(&ring, 4096, 0, &d);
	bpf_ringbuf_submit_dynptr(&d, 0);
	r.ring_huge = bpf_ringbuf_reserve_dynptr(&ring, 1 << 24, 0, &d);
	bpf_ringbuf_discard_dynptr(&d, 0);
}

/* What is behind the context has the same registers. A copy goes through the stack. */
static __noinline void behind(struct pt_regs *ctx)
{
	const struct pt_regs *kern = bpf_cast_to_kern_ctx(ctx);
	__u64 di = 0;

	r.behind_same = kern->rip == ctx->rip && kern->rsp == ctx->rsp;
	r.behind_arg = (int)kern->rdi;
	bpf_probe_read_kernel(&di, sizeof(di), &kern->rdi);
	r.behind_copy = (int)di;
}

SEC("uprobe")
int probe(struct pt_regs *ctx)
{
	struct value *v;
	__u32 key = 0;

	r.runs++;
	v = bpf_map_lookup_elem(&values, &key);
	if (v)
		memory(v);
	rings();
	loops();
	bits();
	r.in_subprogram = sum_to(ten) + sum_to(three);
	bpf_loop(4, callback, 0, 0);
	bpf_rcu_read_lock();
	r.in_rcu = r.runs;
	bpf_rcu_read_unlock();
	r.absent = !bpf_no_such_function;
	behind(ctx);
	return 0;
}
