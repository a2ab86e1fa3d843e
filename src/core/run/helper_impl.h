/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The helpers' functions and what they share. Internal to core/run.
 *
 * Model: arguments are taken as if no verifier had seen the program. Memory that a helper touches
 * for the program is reached through osl_read() and osl_write(), or copied first; a map argument
 * must be one of the maps the program refers to. Dynptrs and iterators are the exception: that
 * their slots of the stack hold what these functions left there is the verifier's word.
 */
#pragma once

#include "core/run/helper.h"
#include "core/run/map/map.h"
#include "core/uapi.h"
#include "osl/osl_trap.h"

#define EBPF_HELPER(name)                                                                          \
	u64 ebpf_h_##name(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)

/* kfuncs are helpers of the engines (kfunc.h) */
#define EBPF_KFUNC(name)                                                                           \
	u64 ebpf_k_##name(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)

EBPF_HELPER(map_lookup_elem);
EBPF_HELPER(map_lookup_percpu_elem);
EBPF_HELPER(map_update_elem);
EBPF_HELPER(map_delete_elem);
EBPF_HELPER(map_push_elem);
EBPF_HELPER(map_pop_elem);
EBPF_HELPER(map_peek_elem);
EBPF_HELPER(for_each_map_elem);
EBPF_HELPER(loop);
EBPF_HELPER(tail_call);
EBPF_HELPER(probe_read);
EBPF_HELPER(probe_read_str);
EBPF_HELPER(copy_from_user);
EBPF_HELPER(ktime_get_ns);
EBPF_HELPER(ktime_get_boot_ns);
EBPF_HELPER(ktime_get_coarse_ns);
EBPF_HELPER(ktime_get_tai_ns);
EBPF_HELPER(jiffies64);
EBPF_HELPER(get_prandom_u32);
EBPF_HELPER(get_smp_processor_id);
EBPF_HELPER(get_numa_node_id);
EBPF_HELPER(get_current_pid_tgid);
EBPF_HELPER(get_ns_current_pid_tgid);
EBPF_HELPER(get_current_uid_gid);
EBPF_HELPER(get_current_comm);
EBPF_HELPER(get_current_cgroup_id);
EBPF_HELPER(get_attach_cookie);
EBPF_HELPER(get_func_ip);
EBPF_HELPER(get_func_arg);
EBPF_HELPER(get_func_ret);
EBPF_HELPER(get_func_arg_cnt);
EBPF_HELPER(get_retval);
EBPF_HELPER(trace_printk);
EBPF_HELPER(trace_vprintk);
EBPF_HELPER(snprintf);
EBPF_HELPER(strtol);
EBPF_HELPER(strtoul);
EBPF_HELPER(strncmp);
EBPF_HELPER(ringbuf_output);
EBPF_HELPER(ringbuf_reserve);
EBPF_HELPER(ringbuf_submit);
EBPF_HELPER(ringbuf_discard);
EBPF_HELPER(ringbuf_query);
EBPF_HELPER(user_ringbuf_drain);
EBPF_HELPER(perf_event_output);
EBPF_HELPER(get_stackid);
EBPF_HELPER(get_stack);
EBPF_HELPER(timer_init);
EBPF_HELPER(timer_set_callback);
EBPF_HELPER(timer_start);
EBPF_HELPER(timer_cancel);
EBPF_HELPER(spin_lock);
EBPF_HELPER(spin_unlock);

EBPF_HELPER(dynptr_from_mem);
EBPF_HELPER(dynptr_read);
EBPF_HELPER(dynptr_write);
EBPF_HELPER(dynptr_data);
EBPF_HELPER(ringbuf_reserve_dynptr);
EBPF_HELPER(ringbuf_submit_dynptr);
EBPF_HELPER(ringbuf_discard_dynptr);

EBPF_KFUNC(dynptr_adjust);
EBPF_KFUNC(dynptr_size);
EBPF_KFUNC(dynptr_is_null);
EBPF_KFUNC(dynptr_is_rdonly);
EBPF_KFUNC(dynptr_clone);
EBPF_KFUNC(dynptr_slice);
EBPF_KFUNC(iter_num_new);
EBPF_KFUNC(iter_num_next);
EBPF_KFUNC(iter_num_destroy);
EBPF_KFUNC(iter_bits_new);
EBPF_KFUNC(iter_bits_next);
EBPF_KFUNC(iter_bits_destroy);
EBPF_KFUNC(left);
EBPF_KFUNC(session_is_return);
EBPF_KFUNC(session_cookie);
EBPF_KFUNC(vector);
EBPF_KFUNC(target);
EBPF_KFUNC(rcu_read_lock);
EBPF_KFUNC(rcu_read_unlock);
EBPF_KFUNC(cast_to_kern_ctx);

/* largest size a verifier would let a program name (the kernel's BPF_MAX_VAR_SIZ) */
#define EBPF_MAX_SIZE (1u << 29)

/* The map that argument @arg names, or NULL when it is none of this program's. */
struct ebpf_map *ebpf_arg_map(u64 arg, const struct ebpf_run *run);

/* Is every page of @len bytes at @p readable just now? For what is too large to be copied. */
bool ebpf_readable(const void *p, u64 len);
