/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of helpers: ROW(name, function, where) for each, by the kernel's names; the function's
 * name is without its prefix (EBPF_HELPER()), where is of enum ebpf_helper_where. Who includes this
 * makes of ROW what it wants to know: the table that programs call by (helper.c), the numbers that
 * they may ask for (btf/builtin.c).
 */
#pragma once

/* clang-format off */
#define EBPF_HELPERS(ROW) \
	ROW(map_lookup_elem, map_lookup_elem, EBPF_H_ANY) \
	ROW(map_lookup_percpu_elem, map_lookup_percpu_elem, EBPF_H_ANY) \
	ROW(map_update_elem, map_update_elem, EBPF_H_ANY) \
	ROW(map_delete_elem, map_delete_elem, EBPF_H_ANY) \
	ROW(map_push_elem, map_push_elem, EBPF_H_ANY) \
	ROW(map_pop_elem, map_pop_elem, EBPF_H_ANY) \
	ROW(map_peek_elem, map_peek_elem, EBPF_H_ANY) \
	ROW(for_each_map_elem, for_each_map_elem, EBPF_H_ANY) \
	ROW(loop, loop, EBPF_H_ANY) \
	ROW(tail_call, tail_call, EBPF_H_ANY) \
	ROW(probe_read, probe_read, EBPF_H_TRACING) \
	ROW(probe_read_str, probe_read_str, EBPF_H_TRACING) \
	ROW(probe_read_user, probe_read, EBPF_H_ANY) \
	ROW(probe_read_kernel, probe_read, EBPF_H_ANY) \
	ROW(probe_read_user_str, probe_read_str, EBPF_H_ANY) \
	ROW(probe_read_kernel_str, probe_read_str, EBPF_H_ANY) \
	ROW(copy_from_user, copy_from_user, EBPF_H_TRACING) \
	ROW(ktime_get_ns, ktime_get_ns, EBPF_H_ANY) \
	ROW(ktime_get_boot_ns, ktime_get_boot_ns, EBPF_H_ANY) \
	ROW(ktime_get_coarse_ns, ktime_get_coarse_ns, EBPF_H_ANY) \
	ROW(ktime_get_tai_ns, ktime_get_tai_ns, EBPF_H_ANY) \
	ROW(jiffies64, jiffies64, EBPF_H_ANY) \
	ROW(get_prandom_u32, get_prandom_u32, EBPF_H_ANY) \
	ROW(get_smp_processor_id, get_smp_processor_id, EBPF_H_ANY) \
	ROW(get_numa_node_id, get_numa_node_id, EBPF_H_ANY) \
	ROW(get_current_pid_tgid, get_current_pid_tgid, EBPF_H_TRACING) \
	ROW(get_ns_current_pid_tgid, get_ns_current_pid_tgid, EBPF_H_ANY) \
	ROW(get_current_uid_gid, get_current_uid_gid, EBPF_H_TRACING) \
	ROW(get_current_comm, get_current_comm, EBPF_H_TRACING) \
	ROW(get_current_cgroup_id, get_current_cgroup_id, EBPF_H_TRACING) \
	ROW(get_attach_cookie, get_attach_cookie, EBPF_H_TRACING) \
	ROW(get_func_ip, get_func_ip, EBPF_H_TRACING) \
	ROW(get_func_arg, get_func_arg, EBPF_H_TYPED) \
	ROW(get_func_ret, get_func_ret, EBPF_H_TYPED) \
	ROW(get_func_arg_cnt, get_func_arg_cnt, EBPF_H_TYPED) \
	ROW(get_retval, get_retval, EBPF_H_TRACING) \
	ROW(trace_printk, trace_printk, EBPF_H_ANY) \
	ROW(trace_vprintk, trace_vprintk, EBPF_H_ANY) \
	ROW(snprintf, snprintf, EBPF_H_ANY) \
	ROW(strtol, strtol, EBPF_H_ANY) \
	ROW(strtoul, strtoul, EBPF_H_ANY) \
	ROW(strncmp, strncmp, EBPF_H_ANY) \
	ROW(ringbuf_output, ringbuf_output, EBPF_H_ANY) \
	ROW(ringbuf_reserve, ringbuf_reserve, EBPF_H_ANY) \
	ROW(ringbuf_submit, ringbuf_submit, EBPF_H_ANY) \
	ROW(ringbuf_discard, ringbuf_discard, EBPF_H_ANY) \
	ROW(ringbuf_query, ringbuf_query, EBPF_H_ANY) \
	ROW(user_ringbuf_drain, user_ringbuf_drain, EBPF_H_ANY) \
	ROW(perf_event_output, perf_event_output, EBPF_H_TRACING) \
	ROW(get_stackid, get_stackid, EBPF_H_TRACING) \
	ROW(get_stack, get_stack, EBPF_H_TRACING) \
	ROW(timer_init, timer_init, EBPF_H_ANY) \
	ROW(timer_set_callback, timer_set_callback, EBPF_H_ANY) \
	ROW(timer_start, timer_start, EBPF_H_ANY) \
	ROW(timer_cancel, timer_cancel, EBPF_H_ANY) \
	ROW(spin_lock, spin_lock, EBPF_H_ANY) \
	ROW(spin_unlock, spin_unlock, EBPF_H_ANY) \
	ROW(dynptr_from_mem, dynptr_from_mem, EBPF_H_ANY) \
	ROW(dynptr_read, dynptr_read, EBPF_H_ANY) \
	ROW(dynptr_write, dynptr_write, EBPF_H_ANY) \
	ROW(dynptr_data, dynptr_data, EBPF_H_ANY) \
	ROW(ringbuf_reserve_dynptr, ringbuf_reserve_dynptr, EBPF_H_ANY) \
	ROW(ringbuf_submit_dynptr, ringbuf_submit_dynptr, EBPF_H_ANY) \
	ROW(ringbuf_discard_dynptr, ringbuf_discard_dynptr, EBPF_H_ANY)
/* clang-format on */
