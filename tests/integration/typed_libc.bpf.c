// SPDX-License-Identifier: BSD-2-Clause
/* Functions of the C library, by the types of its debug information. */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/ebpfrt_typed.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tm {
	int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year;
} __attribute__((preserve_access_index));

/* what it points to is filled by now */
SEC("uexit/libc.so.6:gmtime_r")
int BPF_PROG(off_gmtime, const long *clock, struct tm *tm, struct tm *ret)
{
	bpf_printk("gmtime %d %d %d", tm->tm_year + 1900, tm->tm_mon + 1, ret->tm_mday);
	return 0;
}

/* the library has it under other names */
SEC("uexit/libc.so.6:frexp")
int BPF_PROG(off_frexp, __u64 value, int *exponent, __u64 ret)
{
	int e = 0;

	bpf_probe_read_user(&e, sizeof(e), exponent);
	bpf_printk("frexp %lld %llx %d", ebpfrt_double_to_s64(value), ret, e);
	return 0;
}

struct ldiv { /* two words of the result */
	long quot, rem;
};

SEC("uexit/libc.so.6:ldiv")
int off_ldiv(__u64 *ctx)
{
	bpf_printk("ldiv %ld %ld", ctx[0], ctx[1]);
	bpf_printk("= %ld %ld", ctx[2], ctx[3]);
	return 0;
}

/* of four bytes each: both in one word */
SEC("uexit/libc.so.6:div")
int off_div(__u64 *ctx)
{
	bpf_printk("div %d = %d %d", (int)ctx[0], (int)ctx[2], (int)(ctx[2] >> 32));
	return 0;
}
