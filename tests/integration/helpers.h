/* SPDX-License-Identifier: BSD-2-Clause */
/* What helpers.bpf.c leaves for helpers.c: one member a result, named after the helper. */
#pragma once

struct results {
	/* maps */
	long map_missing, map_update, map_update_noexist, map_update_exist, map_value, map_delete,
		map_delete_again;
	long each_ret, each_calls, each_keys;
	/* memory */
	long read, read_user, read_kernel, read_str, read_user_str, read_kernel_str, str_cut, copy;
	char read_text[8], read_user_text[8], read_kernel_text[8], str_cut_text[8], copy_text[8];
	long read_null, read_wrong, read_kernel_wrong, read_nowhere, read_str_wrong, copy_wrong,
		zeroed;
	/* clocks, in pairs that must not run backwards */
	unsigned long long ktime[2], boot[2], coarse[2], tai[2], jiffies[2];
	/* who and where */
	unsigned long long pid_tgid, uid_gid, cgroup;
	long comm_ret, ns_ret, ns_pid, ns_tgid, ns_wrong;
	char comm[16];
	unsigned int cpu, node, random[4];
	/* text */
	long printk, vprintk, snprintf, snprintf_cut, strtol, strtol_value, strtol_none, strtoul,
		cmp_equal, cmp_less, cmp_more;
	unsigned long strtoul_value;
	char snprintf_text[64], snprintf_short[8];
	/* rings */
	long ring_output, ring_reserved, ring_avail, ring_size, ring_too_big, perf, perf_wrong_cpu;
	/* stacks */
	long stack_id, stack_len;
	unsigned long long stack[16];
	/* the hit */
	unsigned long long cookie, func_ip, ip, cookie_leave, func_ip_leave, ret_leave;
	long retval;
	/* control */
	long loop, loop_sum, loop_stopped, enters, tail_called, tail_missed;
};
