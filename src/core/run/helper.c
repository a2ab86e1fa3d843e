/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of helpers: one row each, by the kernel's number. A helper is added by writing its
 * function beside its kin and its row here.
 */
#include "core/run/helper_impl.h"

#define ROW(name, where) [BPF_FUNC_##name] = {"bpf_" #name, ebpf_h_##name, where}
#define ROW_AS(name, as, where) [BPF_FUNC_##name] = {"bpf_" #name, ebpf_h_##as, where}

const struct ebpf_helper ebpf_helpers[EBPF_MAX_HELPER_ID] = {
	ROW(map_lookup_elem, EBPF_H_ANY),
	ROW(map_lookup_percpu_elem, EBPF_H_ANY),
	ROW(map_update_elem, EBPF_H_ANY),
	ROW(map_delete_elem, EBPF_H_ANY),
	ROW(map_push_elem, EBPF_H_ANY),
	ROW(map_pop_elem, EBPF_H_ANY),
	ROW(map_peek_elem, EBPF_H_ANY),
	ROW(for_each_map_elem, EBPF_H_ANY),
	ROW(loop, EBPF_H_ANY),
	ROW(tail_call, EBPF_H_ANY),
	ROW(probe_read, EBPF_H_TRACING),
	ROW(probe_read_str, EBPF_H_TRACING),
	ROW_AS(probe_read_user, probe_read, EBPF_H_ANY),
	ROW_AS(probe_read_kernel, probe_read, EBPF_H_ANY),
	ROW_AS(probe_read_user_str, probe_read_str, EBPF_H_ANY),
	ROW_AS(probe_read_kernel_str, probe_read_str, EBPF_H_ANY),
	ROW(copy_from_user, EBPF_H_TRACING),
	ROW(ktime_get_ns, EBPF_H_ANY),
	ROW(ktime_get_boot_ns, EBPF_H_ANY),
	ROW(ktime_get_coarse_ns, EBPF_H_ANY),
	ROW(ktime_get_tai_ns, EBPF_H_ANY),
	ROW(jiffies64, EBPF_H_ANY),
	ROW(get_prandom_u32, EBPF_H_ANY),
	ROW(get_smp_processor_id, EBPF_H_ANY),
	ROW(get_numa_node_id, EBPF_H_ANY),
	ROW(get_current_pid_tgid, EBPF_H_TRACING),
	ROW(get_ns_current_pid_tgid, EBPF_H_ANY),
	ROW(get_current_uid_gid, EBPF_H_TRACING),
	ROW(get_current_comm, EBPF_H_TRACING),
	ROW(get_current_cgroup_id, EBPF_H_TRACING),
	ROW(get_attach_cookie, EBPF_H_TRACING),
	ROW(get_func_ip, EBPF_H_TRACING),
	ROW(get_func_arg, EBPF_H_TYPED),
	ROW(get_func_ret, EBPF_H_TYPED),
	ROW(get_func_arg_cnt, EBPF_H_TYPED),
	ROW(get_retval, EBPF_H_TRACING),
	ROW(trace_printk, EBPF_H_ANY),
	ROW(trace_vprintk, EBPF_H_ANY),
	ROW(snprintf, EBPF_H_ANY),
	ROW(strtol, EBPF_H_ANY),
	ROW(strtoul, EBPF_H_ANY),
	ROW(strncmp, EBPF_H_ANY),
	ROW(ringbuf_output, EBPF_H_ANY),
	ROW(ringbuf_reserve, EBPF_H_ANY),
	ROW(ringbuf_submit, EBPF_H_ANY),
	ROW(ringbuf_discard, EBPF_H_ANY),
	ROW(ringbuf_query, EBPF_H_ANY),
	ROW(user_ringbuf_drain, EBPF_H_ANY),
	ROW(perf_event_output, EBPF_H_TRACING),
	ROW(get_stackid, EBPF_H_TRACING),
	ROW(get_stack, EBPF_H_TRACING),
	ROW(timer_init, EBPF_H_ANY),
	ROW(timer_set_callback, EBPF_H_ANY),
	ROW(timer_start, EBPF_H_ANY),
	ROW(timer_cancel, EBPF_H_ANY),
	ROW(spin_lock, EBPF_H_ANY),
	ROW(spin_unlock, EBPF_H_ANY),
	ROW(dynptr_from_mem, EBPF_H_ANY),
	ROW(dynptr_read, EBPF_H_ANY),
	ROW(dynptr_write, EBPF_H_ANY),
	ROW(dynptr_data, EBPF_H_ANY),
	ROW(ringbuf_reserve_dynptr, EBPF_H_ANY),
	ROW(ringbuf_submit_dynptr, EBPF_H_ANY),
	ROW(ringbuf_discard_dynptr, EBPF_H_ANY),
};

#define KFUNC(id, name) [EKFUNC_##id] = ebpf_k_##name

static const ebpf_helper_fn kfuncs[EKFUNC_MAX] = {
	KFUNC(ITER_NUM_NEW, iter_num_new),
	KFUNC(ITER_NUM_NEXT, iter_num_next),
	KFUNC(ITER_NUM_DESTROY, iter_num_destroy),
	KFUNC(DYNPTR_ADJUST, dynptr_adjust),
	KFUNC(DYNPTR_SIZE, dynptr_size),
	KFUNC(DYNPTR_IS_NULL, dynptr_is_null),
	KFUNC(DYNPTR_IS_RDONLY, dynptr_is_rdonly),
	KFUNC(DYNPTR_CLONE, dynptr_clone),
	KFUNC(DYNPTR_SLICE, dynptr_slice),
	KFUNC(DYNPTR_SLICE_RDWR, dynptr_slice),
	KFUNC(ITER_BITS_NEW, iter_bits_new),
	KFUNC(ITER_BITS_NEXT, iter_bits_next),
	KFUNC(ITER_BITS_DESTROY, iter_bits_destroy),
	KFUNC(RCU_READ_LOCK, rcu_read_lock),
	KFUNC(RCU_READ_UNLOCK, rcu_read_unlock),
	KFUNC(LEFT, left),
	KFUNC(SESSION_IS_RETURN, session_is_return),
	KFUNC(SESSION_COOKIE, session_cookie),
	KFUNC(CAST_TO_KERN_CTX, cast_to_kern_ctx),
	KFUNC(VECTOR, vector),
	KFUNC(TARGET, target),
};

ebpf_helper_fn ebpf_helper_table[EBPF_MAX_HELPER_ID];

const struct ebpf_helper *ebpf_helper_get(u32 id)
{
	return id < EBPF_MAX_HELPER_ID && ebpf_helpers[id].name ? &ebpf_helpers[id] : NULL;
}

ebpf_helper_fn ebpf_kfunc_get(u32 id)
{
	return id < EKFUNC_MAX ? kfuncs[id] : NULL;
}

static u64 no_such_helper(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)
{
	return (u64)-EINVAL;
}

void ebpf_helper_table_init(void)
{
	for (u32 i = 0; i < EBPF_MAX_HELPER_ID; i++)
		ebpf_helper_table[i] = ebpf_helpers[i].fn ? ebpf_helpers[i].fn : no_such_helper;
	for (u32 i = 0; i < EKFUNC_MAX; i++)
		if (kfuncs[i])
			ebpf_helper_table[EBPF_HELPER_KFUNC + i] = kfuncs[i];
	ebpf_prog_internal_helpers(ebpf_helper_table);
}
