// SPDX-License-Identifier: BSD-2-Clause
/* Calls every helper there is and leaves what each said in global data, for helpers.c to judge. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "helpers.h"

#define LOW_ADDRESS ((void *)16)
#define KERNEL_ADDRESS ((void *)0xffffffff81000000)
#define NO_ADDRESS ((void *)0x0123456789abcdef) /* not canonical: a general protection fault */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__uint(value_size, 8 * 16);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");

struct results r;				     /* .bss */
__u64 initial = 4711;				     /* .data */
const volatile __u64 pid_ns_dev = 1, pid_ns_ino = 1; /* .rodata */
const volatile char constant[8] = "abc";
const volatile __u32 in_kernel = 0;

static long each(void *map, __u32 *key, __u64 *value, void *ctx)
{
	r.each_calls++;
	r.each_keys += *key;
	return 0;
}

static void maps(void)
{
	__u32 key = 7;
	__u64 value = 70, *p;

	r.map_missing = bpf_map_lookup_elem(&table, &key) == 0;
	r.map_update_exist = bpf_map_update_elem(&table, &key, &value, BPF_EXIST);
	r.map_update = bpf_map_update_elem(&table, &key, &value, BPF_ANY);
	r.map_update_noexist = bpf_map_update_elem(&table, &key, &value, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&table, &key);
	r.map_value = p ? *p : -1;
	key = 8;
	bpf_map_update_elem(&table, &key, &value, BPF_NOEXIST);
	r.each_ret = bpf_for_each_map_elem(&table, each, 0, 0);
	r.map_delete = bpf_map_delete_elem(&table, &key);
	r.map_delete_again = bpf_map_delete_elem(&table, &key);
}

static void memory(const char *arg)
{
	r.read = bpf_probe_read(r.read_text, 4, arg);
	r.read_user = bpf_probe_read_user(r.read_user_text, 4, arg);
	r.read_kernel = bpf_probe_read_kernel(r.read_kernel_text, 4, (const void *)constant);
	r.read_str = bpf_probe_read_str(r.read_text, sizeof(r.read_text), (const void *)constant);
	r.read_user_str = bpf_probe_read_user_str(r.read_user_text, sizeof(r.read_user_text), arg);
	r.read_kernel_str = bpf_probe_read_kernel_str(
		r.read_kernel_text, sizeof(r.read_kernel_text), (const void *)constant);
	r.str_cut = bpf_probe_read_user_str(r.str_cut_text, 3, arg);
}

static void wrong_addresses(void)
{
	char buf[16];

	r.read_null = bpf_probe_read_user(&r.zeroed, sizeof(r.zeroed), 0);
	r.read_wrong = bpf_probe_read_user(buf, sizeof(buf), LOW_ADDRESS);
	r.read_kernel_wrong = bpf_probe_read_user(buf, sizeof(buf), KERNEL_ADDRESS);
	r.read_nowhere = bpf_probe_read_kernel(buf, sizeof(buf), NO_ADDRESS);
	r.read_str_wrong = bpf_probe_read_user_str(buf, sizeof(buf), LOW_ADDRESS);
}

static void clocks(int i)
{
	r.ktime[i] = bpf_ktime_get_ns();
	r.boot[i] = bpf_ktime_get_boot_ns();
	if (!in_kernel) /* where programs of this type can't have it */
		r.coarse[i] = bpf_ktime_get_coarse_ns();
	r.tai[i] = bpf_ktime_get_tai_ns();
	r.jiffies[i] = bpf_jiffies64();
}

static void who(void)
{
	struct bpf_pidns_info ns = {};

	r.pid_tgid = bpf_get_current_pid_tgid();
	r.uid_gid = bpf_get_current_uid_gid();
	r.cgroup = bpf_get_current_cgroup_id();
	r.comm_ret = bpf_get_current_comm(r.comm, sizeof(r.comm));
	r.cpu = bpf_get_smp_processor_id();
	r.node = bpf_get_numa_node_id();
	r.random[0] = bpf_get_prandom_u32();
	r.random[1] = bpf_get_prandom_u32();
	r.random[2] = bpf_get_prandom_u32();
	r.random[3] = bpf_get_prandom_u32();
	r.ns_ret = bpf_get_ns_current_pid_tgid(pid_ns_dev, pid_ns_ino, &ns, sizeof(ns));
	r.ns_pid = ns.pid;
	r.ns_tgid = ns.tgid;
	r.ns_wrong = bpf_get_ns_current_pid_tgid(pid_ns_dev, pid_ns_ino + 1, &ns, sizeof(ns));
}

static void text(void)
{
	static const char fmt[] = "%d %s %x %lld", line[] = "printk %d %s";
	__u64 args[4] = {42, 0, 0xff, (__u64)-1};
	long v = 0;
	unsigned long u = 0;

	args[1] = (__u64)constant;
	r.printk = bpf_trace_printk(line, sizeof(line), 1, constant);
	r.vprintk = bpf_trace_vprintk(fmt, sizeof(fmt), args, sizeof(args));
	r.snprintf =
		bpf_snprintf(r.snprintf_text, sizeof(r.snprintf_text), fmt, args, sizeof(args));
	r.snprintf_cut =
		bpf_snprintf(r.snprintf_short, sizeof(r.snprintf_short), fmt, args, sizeof(args));
	r.strtol_none = bpf_strtol("x", 1, 0, &v);
	r.strtol = bpf_strtol(" -123x", 6, 0, &v);
	r.strtol_value = v;
	r.strtoul = bpf_strtoul("0xfeed", 6, 0, &u);
	r.strtoul_value = u;
	r.cmp_equal = bpf_strncmp("abc", 4, (const char *)constant);
	r.cmp_less = bpf_strncmp("abb", 4, (const char *)constant);
	r.cmp_more = bpf_strncmp("abd", 4, (const char *)constant);
}

static void rings(void *ctx)
{
	__u64 *record, value = 5;

	r.ring_output = bpf_ringbuf_output(&ring, &value, sizeof(value), 0);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (record) {
		r.ring_reserved = 1;
		*record = 6;
		bpf_ringbuf_submit(record, 0);
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
	r.ring_avail = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	r.ring_size = bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
	record = bpf_ringbuf_reserve(&ring, 4096, 0);
	r.ring_too_big = !record;
	if (record)
		bpf_ringbuf_discard(record, 0);
	r.perf = bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &value, sizeof(value));
	r.perf_wrong_cpu = bpf_perf_event_output(ctx, &samples, 4000, &value, sizeof(value));
}

static long turn(__u32 i, void *ctx)
{
	r.loop_sum += i;
	return 0;
}

static long until_five(__u32 i, void *ctx)
{
	return i == 5;
}

static void loops(void)
{
	r.loop = bpf_loop(100, turn, 0, 0);
	r.loop_stopped = bpf_loop(100, until_five, 0, 0);
}

SEC("uprobe")
int after_tail_call(struct pt_regs *ctx)
{
	r.tail_called++;
	return 0;
}

SEC("uprobe")
int enter(struct pt_regs *ctx)
{
	r.enters++;
	clocks(0);
	maps();
	memory((const char *)PT_REGS_PARM1(ctx));
	wrong_addresses();
	who();
	text();
	rings(ctx);
	loops();
	r.stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	r.stack_len = bpf_get_stack(ctx, r.stack, sizeof(r.stack), BPF_F_USER_STACK);
	r.cookie = bpf_get_attach_cookie(ctx);
	r.func_ip = bpf_get_func_ip(ctx);
	r.ip = PT_REGS_IP(ctx);
	clocks(1);
	bpf_tail_call(ctx, &jumps, 0);
	r.tail_missed++;
	return 0;
}

/* the kernel has this one in programs that may sleep */
SEC("uprobe.s")
int sleeper(struct pt_regs *ctx)
{
	char buf[16];

	r.copy = bpf_copy_from_user(r.copy_text, 4, (const void *)PT_REGS_PARM1(ctx));
	r.copy_wrong = bpf_copy_from_user(buf, sizeof(buf), KERNEL_ADDRESS);
	return 0;
}

SEC("uretprobe")
int leave(struct pt_regs *ctx)
{
	r.func_ip_leave = bpf_get_func_ip(ctx);
	r.ret_leave = PT_REGS_RC(ctx);
	r.cookie_leave = bpf_get_attach_cookie(ctx);
	return 0;
}

/* the kernel does not have this one at uprobes */
SEC("uretprobe")
int value_of_return(struct pt_regs *ctx)
{
	r.retval = bpf_get_retval();
	return 0;
}
