// SPDX-License-Identifier: BSD-2-Clause
/* What tools that bring a vmlinux.h do with it: read registers and a task, ask what there is, call kernel functions. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int LINUX_KERNEL_VERSION __kconfig;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;
extern void ebpfrt_no_such_function(void) __ksym __weak;

/* that only a later kernel has, by its number */
enum bpf_func_id___later {
	BPF_FUNC_of_tomorrow___later = 900,
};
enum bpf_func_id___now {
	BPF_FUNC_ringbuf_output___now = 1,
	BPF_FUNC_get_attach_cookie___now = 1,
};
struct bpf_ringbuf___asked {
	int nothing;
};
struct task_struct___not {
	int nobody_has_this;
};

long argument, result, address, stack, version, ringbuf, cookie, tomorrow, task, not_in_task, sum, absent, wide;

SEC("uprobe/libc.so.6:getenv")
int BPF_KPROBE(on_getenv, const char *name)
{
	char text[8] = "";

	bpf_probe_read_user_str(text, sizeof(text), name);
	argument = text[0];
	address = PT_REGS_IP(ctx) == PT_REGS_IP_CORE(ctx);
	stack = PT_REGS_SP(ctx) > 4096;
	wide = sizeof(bool) + sizeof(u64) + sizeof(__be16);
	version = LINUX_KERNEL_VERSION >= 0x030000;
	ringbuf = bpf_core_type_exists(struct bpf_ringbuf___asked);
	cookie = bpf_core_enum_value_exists(enum bpf_func_id___now, BPF_FUNC_get_attach_cookie___now);
	tomorrow = bpf_core_enum_value_exists(enum bpf_func_id___later, BPF_FUNC_of_tomorrow___later);
	task = bpf_core_field_exists(struct task_struct, tgid) + bpf_core_field_exists(struct task_struct, comm);
	not_in_task = bpf_core_field_exists(struct task_struct___not, nobody_has_this);
	absent = ebpfrt_no_such_function ? 1 : 2;
	return 0;
}

SEC("uretprobe/libc.so.6:getenv")
int BPF_KRETPROBE(on_getenv_end, const char *value)
{
	struct bpf_iter_num it;
	int *n;
	long s = 0;

	result |= value != 0;
	if (!bpf_iter_num_new)
		return 0;
	bpf_iter_num_new(&it, 1, 5);
	while ((n = bpf_iter_num_next(&it)))
		s += *n;
	bpf_iter_num_destroy(&it);
	sum = s;
	return 0;
}
