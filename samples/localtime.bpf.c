// SPDX-License-Identifier: BSD-2-Clause
/*
 * A typed program: what localtime_r() gives, by the C library's own types (its debug information,
 * Debian's libc6-dbg).
 *
 *	ebpfrt run -P localtime.bpf.o -- date +%R
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* what is read of it: where that is, is found out when it is loaded */
struct tm {
	int tm_min, tm_hour;
} __attribute__((preserve_access_index));

SEC("uexit/libc.so.6:localtime_r")
int BPF_PROG(on_localtime, const long *clock, struct tm *tm)
{
	bpf_printk("%d:%d", tm->tm_hour, tm->tm_min);
	return 0;
}
