// SPDX-License-Identifier: BSD-2-Clause
/*
 * The smallest one: a line in the log for every getenv() of libc.
 *
 *	ebpfrt run -P hello.bpf.o -- bash -c 'echo hi'
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe/libc.so.6:getenv")
int BPF_KPROBE(hello, const char *name)
{
	char text[32];

	if (bpf_probe_read_user_str(text, sizeof(text), name) < 0)
		return 0;
	bpf_printk("getenv(%s) in process %d", text, (int)(bpf_get_current_pid_tgid() >> 32));
	return 0;
}
