/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of helpers, by the kernel's number. A helper is added by writing its function beside
 * its kin and its row in helper_list.h.
 */
#include "core/run/helper_impl.h"
#include "core/run/helper_list.h"

#define ROW(name, fn, where) [BPF_FUNC_##name] = {"bpf_" #name, ebpf_h_##fn, where},
const struct ebpf_helper ebpf_helpers[EBPF_MAX_HELPER_ID] = {EBPF_HELPERS(ROW)};
#undef ROW

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
