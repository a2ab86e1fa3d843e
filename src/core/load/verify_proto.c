/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of functions programs can call: helpers by number, kfuncs by the place in their enum.
 * Facts from bpf-helpers(7) and from what the kernel accepts; where it is laxer about what a helper
 * writes than the helper is, the row says what is written.
 */
#include "core/load/verify_proto.h"

#include <string.h>

#include "arch/arch.h"
#include "core/load/vstate.h"
#include "core/uapi.h"

/* after the oldest headers we build with */
#define LAST_HELPER 211

/* --- sets of maps ---------------------------------------------------------------------------- */

#define M(type) (1ull << BPF_MAP_TYPE_##type)
#define MAPS_HASH (M(HASH) | M(PERCPU_HASH) | M(LRU_HASH) | M(LRU_PERCPU_HASH))
#define MAPS_PLAIN (MAPS_HASH | M(ARRAY) | M(PERCPU_ARRAY) | M(LPM_TRIE))
#define MAPS_OF_MAPS (M(ARRAY_OF_MAPS) | M(HASH_OF_MAPS))
#define MAPS_FIFO (M(QUEUE) | M(STACK))
#define MAPS_PERCPU (M(PERCPU_ARRAY) | M(PERCPU_HASH) | M(LRU_PERCPU_HASH))

/* --- sorts of arguments ---------------------------------------------------------------------- */

#define ANY EARG_ANY
#define MAP EARG_MAP
#define KEY EARG_MAP_KEY
#define VALUE EARG_MAP_VALUE
#define CTX EARG_CTX
#define IN (EARG_MEM | EARG_RDONLY)
#define IN_NULL (EARG_MEM | EARG_RDONLY | EARG_NULL)
#define OUT (EARG_MEM | EARG_UNINIT | EARG_WRITE)
#define OUT_WHOLE (OUT | EARG_WHOLE)
#define OUT8 (EARG_MEM | EARG_UNINIT | EARG_WRITE | EARG_FIXED | EARG_ALIGNED)
#define SIZE EARG_SIZE
#define SIZE0 EARG_SIZE0
#define STACK_NULL (EARG_STACK | EARG_NULL)
#define NEW_DYNPTR (EARG_DYNPTR | EARG_UNINIT | EARG_WRITE)
#define DYNPTR_RD (EARG_DYNPTR | EARG_RDONLY)
#define END_RINGBUF (EARG_DYNPTR | EARG_RINGBUF | EARG_RELEASE)

#define ARGS(...)                                                                                  \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define HELPER(name, who, result, args, ...)                                                       \
	[BPF_FUNC_##name] = {.progs = (who), .ret = (result), .arg = args, __VA_ARGS__}

static const struct ebpf_proto helpers[] = {
	/* maps */
	HELPER(map_lookup_elem, EPROG_ANY, ERET_MAP_VALUE, ARGS(MAP, KEY),
	       .maps = MAPS_PLAIN | MAPS_OF_MAPS, .flags = EPROTO_PKT),
	HELPER(map_update_elem, EPROG_ANY, ERET_INT, ARGS(MAP, KEY, VALUE, ANY), .maps = MAPS_PLAIN,
	       .flags = EPROTO_PKT | EPROTO_CHANGES_MAP),
	HELPER(map_delete_elem, EPROG_ANY, ERET_INT, ARGS(MAP, KEY), .maps = MAPS_PLAIN,
	       .flags = EPROTO_PKT | EPROTO_CHANGES_MAP),
	HELPER(map_push_elem, EPROG_ANY, ERET_INT, ARGS(MAP, VALUE, ANY),
	       .maps = MAPS_FIFO | M(BLOOM_FILTER), .flags = EPROTO_PKT | EPROTO_CHANGES_MAP),
	HELPER(map_pop_elem, EPROG_ANY, ERET_INT, ARGS(MAP, VALUE | EARG_UNINIT | EARG_WRITE),
	       .maps = MAPS_FIFO, .flags = EPROTO_CHANGES_MAP),
	HELPER(map_peek_elem, EPROG_ANY, ERET_INT, ARGS(MAP, VALUE | EARG_UNINIT | EARG_WRITE),
	       .maps = MAPS_FIFO | M(BLOOM_FILTER)),
	HELPER(map_lookup_percpu_elem, EPROG_ANY, ERET_MAP_VALUE, ARGS(MAP, KEY, ANY),
	       .maps = MAPS_PERCPU, .flags = EPROTO_PKT),
	HELPER(for_each_map_elem, EPROG_ANY, ERET_INT, ARGS(MAP, EARG_FUNC, STACK_NULL, ANY),
	       .maps = MAPS_HASH | M(ARRAY) | M(PERCPU_ARRAY), .callback = ECB_FOR_EACH),
	HELPER(tail_call, EPROG_ANY, ERET_VOID, ARGS(CTX, MAP, ANY), .maps = M(PROG_ARRAY),
	       .flags = EPROTO_MOVES_PKT | EPROTO_LEAVES),

	/* control */
	HELPER(loop, EPROG_ANY, ERET_INT, ARGS(EARG_SCALAR, EARG_FUNC, STACK_NULL, ANY),
	       .callback = ECB_LOOP),
	HELPER(spin_lock, EPROG_ANY, ERET_VOID, ARGS(EARG_SPIN_LOCK), .section = VREF_LOCK,
	       .flags = EPROTO_ENTERS),
	HELPER(spin_unlock, EPROG_ANY, ERET_VOID, ARGS(EARG_SPIN_LOCK), .section = VREF_LOCK),
	HELPER(timer_init, EPROG_ANY, ERET_INT, ARGS(EARG_TIMER, MAP, ANY), .maps = MAPS_PLAIN,
	       .flags = EPROTO_GPL),
	HELPER(timer_set_callback, EPROG_ANY, ERET_INT, ARGS(EARG_TIMER, EARG_FUNC),
	       .callback = ECB_TIMER, .flags = EPROTO_GPL),
	HELPER(timer_start, EPROG_ANY, ERET_INT, ARGS(EARG_TIMER, ANY, ANY), .flags = EPROTO_GPL),
	HELPER(timer_cancel, EPROG_ANY, ERET_INT, ARGS(EARG_TIMER), .flags = EPROTO_GPL),

	/* memory of the process */
	HELPER(probe_read, EPROG_TRACING, ERET_INT, ARGS(OUT_WHOLE, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(probe_read_user, EPROG_ANY, ERET_INT, ARGS(OUT_WHOLE, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(probe_read_kernel, EPROG_ANY, ERET_INT, ARGS(OUT_WHOLE, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(probe_read_str, EPROG_TRACING, ERET_LENGTH, ARGS(OUT, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(probe_read_user_str, EPROG_ANY, ERET_LENGTH, ARGS(OUT, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(probe_read_kernel_str, EPROG_ANY, ERET_LENGTH, ARGS(OUT, SIZE0, ANY),
	       .flags = EPROTO_GPL),
	HELPER(copy_from_user, EPROG_TRACING, ERET_INT, ARGS(OUT_WHOLE, SIZE0, ANY),
	       .flags = EPROTO_SLEEPS),

	/* time, place, identity */
	HELPER(ktime_get_ns, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(ktime_get_boot_ns, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(ktime_get_coarse_ns, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(ktime_get_tai_ns, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(jiffies64, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(get_prandom_u32, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(get_smp_processor_id, EPROG_ANY, ERET_CPU, ARGS()),
	HELPER(get_numa_node_id, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(get_current_pid_tgid, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(get_ns_current_pid_tgid, EPROG_ANY, ERET_INT, ARGS(ANY, ANY, OUT, SIZE)),
	HELPER(get_current_uid_gid, EPROG_TRACING | EPROG_CGROUP_SKB, ERET_INT, ARGS()),
	HELPER(get_current_comm, EPROG_TRACING | EPROG_CGROUP_SKB, ERET_INT, ARGS(OUT_WHOLE, SIZE)),
	HELPER(get_current_cgroup_id, EPROG_ANY, ERET_INT, ARGS()),
	HELPER(get_attach_cookie, EPROG_TRACING & ~EPROG_SYSCALL, ERET_INT, ARGS(CTX)),
	HELPER(get_func_ip, EPROG_TRACING, ERET_INT, ARGS(CTX), .flags = EPROTO_GPL),
	HELPER(get_func_arg, EPROG_KPROBE, ERET_INT, ARGS(CTX, ANY, OUT8), .fixed = 8),
	HELPER(get_func_ret, EPROG_KPROBE, ERET_INT, ARGS(CTX, OUT8), .fixed = 8),
	HELPER(get_func_arg_cnt, EPROG_KPROBE, ERET_INT, ARGS(CTX)),
	HELPER(get_retval, EPROG_TRACING | EPROG_CGROUP_SKB, ERET_INT, ARGS()),

	/* text */
	HELPER(trace_printk, EPROG_ANY, ERET_INT, ARGS(IN, SIZE), .flags = EPROTO_GPL),
	HELPER(trace_vprintk, EPROG_ANY, ERET_INT, ARGS(IN, SIZE, IN_NULL, SIZE0),
	       .flags = EPROTO_GPL),
	HELPER(snprintf, EPROG_ANY, ERET_INT,
	       ARGS(EARG_MEM | EARG_NULL | EARG_WRITE, SIZE0, EARG_CONST_STR, IN_NULL, SIZE0),
	       .flags = EPROTO_GPL),
	HELPER(strtol, EPROG_ANY, ERET_INT, ARGS(IN, SIZE, ANY, OUT8), .fixed = 8),
	HELPER(strtoul, EPROG_ANY, ERET_INT, ARGS(IN, SIZE, ANY, OUT8), .fixed = 8),
	HELPER(strncmp, EPROG_ANY, ERET_INT, ARGS(IN, SIZE, EARG_CONST_STR)),

	/* events */
	HELPER(ringbuf_output, EPROG_ANY, ERET_INT, ARGS(MAP, IN, SIZE0, ANY), .maps = M(RINGBUF)),
	HELPER(ringbuf_reserve, EPROG_ANY, ERET_RINGBUF_MEM, ARGS(MAP, EARG_ALLOC_SIZE, ANY),
	       .maps = M(RINGBUF)),
	HELPER(ringbuf_submit, EPROG_ANY, ERET_VOID, ARGS(EARG_RINGBUF_MEM | EARG_RELEASE, ANY)),
	HELPER(ringbuf_discard, EPROG_ANY, ERET_VOID, ARGS(EARG_RINGBUF_MEM | EARG_RELEASE, ANY)),
	HELPER(ringbuf_query, EPROG_ANY, ERET_INT, ARGS(MAP, ANY), .maps = M(RINGBUF)),
	HELPER(user_ringbuf_drain, EPROG_ANY, ERET_INT, ARGS(MAP, EARG_FUNC, STACK_NULL, ANY),
	       .maps = M(USER_RINGBUF), .callback = ECB_RINGBUF),
	HELPER(perf_event_output, EPROG_ANY, ERET_INT, ARGS(CTX, MAP, ANY, IN, SIZE0),
	       .maps = M(PERF_EVENT_ARRAY), .flags = EPROTO_GPL),
	HELPER(get_stackid, EPROG_TRACING & ~EPROG_SYSCALL, ERET_INT, ARGS(CTX, MAP, ANY),
	       .maps = M(STACK_TRACE), .flags = EPROTO_GPL),
	HELPER(get_stack, EPROG_TRACING & ~EPROG_SYSCALL, ERET_LENGTH, ARGS(CTX, OUT, SIZE0, ANY),
	       .flags = EPROTO_GPL),

	/* dynptrs */
	HELPER(dynptr_from_mem, EPROG_ANY, ERET_INT,
	       ARGS(OUT, SIZE0, ANY, NEW_DYNPTR | EARG_LOCAL)),
	HELPER(dynptr_read, EPROG_ANY, ERET_INT, ARGS(OUT, SIZE0, DYNPTR_RD, ANY, ANY)),
	HELPER(dynptr_write, EPROG_ANY, ERET_INT, ARGS(DYNPTR_RD, ANY, IN, SIZE0, ANY)),
	HELPER(dynptr_data, EPROG_ANY, ERET_DYNPTR_MEM, ARGS(DYNPTR_RD, ANY, EARG_ALLOC_SIZE)),
	HELPER(ringbuf_reserve_dynptr, EPROG_ANY, ERET_INT,
	       ARGS(MAP, ANY, ANY, NEW_DYNPTR | EARG_RINGBUF), .maps = M(RINGBUF)),
	HELPER(ringbuf_submit_dynptr, EPROG_ANY, ERET_VOID, ARGS(END_RINGBUF, ANY)),
	HELPER(ringbuf_discard_dynptr, EPROG_ANY, ERET_VOID, ARGS(END_RINGBUF, ANY)),

	/* packets: only judged */
	HELPER(skb_load_bytes, EPROG_SKB, ERET_INT, ARGS(CTX, ANY, OUT, SIZE)),
	HELPER(skb_store_bytes, EPROG_SCHED, ERET_INT, ARGS(CTX, ANY, IN, SIZE, ANY),
	       .flags = EPROTO_MOVES_PKT),
	HELPER(skb_pull_data, EPROG_SCHED, ERET_INT, ARGS(CTX, ANY), .flags = EPROTO_MOVES_PKT),
	HELPER(skb_change_head, EPROG_SCHED, ERET_INT, ARGS(CTX, ANY, ANY),
	       .flags = EPROTO_MOVES_PKT),
	HELPER(get_hash_recalc, EPROG_SCHED, ERET_INT, ARGS(CTX)),
	HELPER(csum_update, EPROG_SCHED, ERET_INT, ARGS(CTX, ANY)),
	HELPER(csum_diff, EPROG_SCHED | EPROG_XDP, ERET_INT,
	       ARGS(IN_NULL, SIZE0, IN_NULL, SIZE0, ANY), .flags = EPROTO_PKT),
	HELPER(xdp_adjust_head, EPROG_XDP, ERET_INT, ARGS(CTX, ANY), .flags = EPROTO_MOVES_PKT),
	HELPER(xdp_adjust_meta, EPROG_XDP, ERET_INT, ARGS(CTX, ANY), .flags = EPROTO_MOVES_PKT),
	HELPER(xdp_adjust_tail, EPROG_XDP, ERET_INT, ARGS(CTX, ANY), .flags = EPROTO_MOVES_PKT),
};

#define KFUNC(id, text, result, args, ...)                                                         \
	[EKFUNC_##id] = {.name = "bpf_" text,                                                      \
			 .progs = EPROG_ANY,                                                       \
			 .ret = (result),                                                          \
			 .arg = args,                                                              \
			 __VA_ARGS__}

#define SLICE_BUF (EARG_MEM | EARG_NULL | EARG_WRITE)

static const struct ebpf_proto kfuncs[EKFUNC_MAX] = {
	KFUNC(ITER_NUM_NEW, "iter_num_new", ERET_S32,
	      ARGS(EARG_ITER_NUM | EARG_UNINIT | EARG_WRITE, EARG_SCALAR, EARG_SCALAR),
	      .flags = EPROTO_ITER_NEW),
	KFUNC(ITER_NUM_NEXT, "iter_num_next", ERET_INT_PTR, ARGS(EARG_ITER_NUM),
	      .flags = EPROTO_ITER_NEXT, .fixed = 4),
	KFUNC(ITER_NUM_DESTROY, "iter_num_destroy", ERET_VOID, ARGS(EARG_ITER_NUM | EARG_RELEASE),
	      .flags = EPROTO_ITER_DESTROY),
	KFUNC(DYNPTR_ADJUST, "dynptr_adjust", ERET_S32, ARGS(DYNPTR_RD, EARG_SCALAR, EARG_SCALAR)),
	KFUNC(DYNPTR_SIZE, "dynptr_size", ERET_U32, ARGS(DYNPTR_RD)),
	KFUNC(DYNPTR_IS_NULL, "dynptr_is_null", ERET_BOOL, ARGS(DYNPTR_RD)),
	KFUNC(DYNPTR_IS_RDONLY, "dynptr_is_rdonly", ERET_BOOL, ARGS(DYNPTR_RD)),
	KFUNC(DYNPTR_CLONE, "dynptr_clone", ERET_S32, ARGS(DYNPTR_RD, NEW_DYNPTR)),
	KFUNC(DYNPTR_SLICE, "dynptr_slice", ERET_SLICE,
	      ARGS(DYNPTR_RD, EARG_SCALAR, SLICE_BUF, EARG_SIZE | EARG_CONST)),
	KFUNC(DYNPTR_SLICE_RDWR, "dynptr_slice_rdwr", ERET_SLICE,
	      ARGS(DYNPTR_RD, EARG_SCALAR, SLICE_BUF, EARG_SIZE | EARG_CONST)),
	KFUNC(RCU_READ_LOCK, "rcu_read_lock", ERET_VOID, ARGS(), .section = VREF_RCU,
	      .flags = EPROTO_ENTERS),
	KFUNC(RCU_READ_UNLOCK, "rcu_read_unlock", ERET_VOID, ARGS(), .section = VREF_RCU),
	KFUNC(ITER_BITS_NEW, "iter_bits_new", ERET_S32,
	      ARGS(EARG_ITER_BITS | EARG_UNINIT | EARG_WRITE, ANY, EARG_SCALAR),
	      .flags = EPROTO_ITER_NEW),
	KFUNC(ITER_BITS_NEXT, "iter_bits_next", ERET_INT_PTR, ARGS(EARG_ITER_BITS),
	      .flags = EPROTO_ITER_NEXT, .fixed = 4),
	KFUNC(ITER_BITS_DESTROY, "iter_bits_destroy", ERET_VOID,
	      ARGS(EARG_ITER_BITS | EARG_RELEASE), .flags = EPROTO_ITER_DESTROY),
	[EKFUNC_LEFT] = {.name = "ebpfrt_left", .progs = EPROG_ANY, .ret = ERET_S32, .arg = ARGS()},
	KFUNC(SESSION_IS_RETURN, "session_is_return", ERET_BOOL, ARGS(), .session = true),
	KFUNC(SESSION_COOKIE, "session_cookie", ERET_MEM, ARGS(), .session = true, .fixed = 8),
	KFUNC(CAST_TO_KERN_CTX, "cast_to_kern_ctx", ERET_KERN_CTX, ARGS(CTX),
	      .fixed = sizeof(struct arch_regs)),
	[EKFUNC_VECTOR] = {.name = "ebpfrt_vector",
			   .progs = EPROG_KPROBE,
			   .ret = ERET_INT,
			   .arg = ARGS(EARG_SCALAR, EARG_SCALAR)},
	KFUNC(PREEMPT_DISABLE, "preempt_disable", ERET_VOID, ARGS(), .section = VREF_PREEMPT,
	      .flags = EPROTO_ENTERS),
	KFUNC(PREEMPT_ENABLE, "preempt_enable", ERET_VOID, ARGS(), .section = VREF_PREEMPT),
};

/* --- access ---------------------------------------------------------------------------------- */

static u32 prog_bit(u32 prog_type)
{
	switch (prog_type) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACING:
		return EPROG_KPROBE;
	case BPF_PROG_TYPE_TRACEPOINT:
		return EPROG_TRACEPOINT;
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
		return EPROG_RAW_TRACEPOINT;
	case BPF_PROG_TYPE_PERF_EVENT:
		return EPROG_PERF_EVENT;
	case BPF_PROG_TYPE_SYSCALL:
		return EPROG_SYSCALL;
	case BPF_PROG_TYPE_SOCKET_FILTER:
		return EPROG_SOCKET_FILTER;
	case BPF_PROG_TYPE_SCHED_CLS:
	case BPF_PROG_TYPE_SCHED_ACT:
		return EPROG_SCHED;
	case BPF_PROG_TYPE_XDP:
		return EPROG_XDP;
	case BPF_PROG_TYPE_CGROUP_SKB:
		return EPROG_CGROUP_SKB;
	case BPF_PROG_TYPE_CGROUP_SOCK:
		return EPROG_CGROUP_SOCK;
	default:
		return 0;
	}
}

const struct ebpf_proto *ebpf_proto_helper(u32 id, u32 prog_type)
{
	if (id >= ARRAY_SIZE(helpers) || !(helpers[id].progs & prog_bit(prog_type)))
		return NULL;
	/* the other program might take the context for registers */
	if (id == BPF_FUNC_tail_call && prog_type == BPF_PROG_TYPE_TRACING)
		return NULL;
	if (id >= BPF_FUNC_get_func_arg && id <= BPF_FUNC_get_func_arg_cnt &&
	    prog_type != BPF_PROG_TYPE_TRACING)
		return NULL;
	return &helpers[id];
}

bool ebpf_proto_known(u32 id)
{
	return id <= LAST_HELPER;
}

#define TEXT(name, ...) "bpf_" #name

const char *ebpf_proto_name(u32 id)
{
	static const char *const names[] = {__BPF_FUNC_MAPPER(TEXT)};
	static const char *const later[] = {"bpf_cgrp_storage_get", "bpf_cgrp_storage_delete"};

	if (id < ARRAY_SIZE(names))
		return names[id];
	if (id <= LAST_HELPER && id >= LAST_HELPER + 1 - ARRAY_SIZE(later))
		return later[id - (LAST_HELPER + 1 - ARRAY_SIZE(later))];
	return "unknown";
}

const u32 *ebpf_proto_callback(u32 callback)
{
	static const u32 args[][5] = {
		[ECB_FOR_EACH] = {MAP, KEY, VALUE, ANY},
		[ECB_LOOP] = {EARG_SCALAR, ANY},
		[ECB_TIMER] = {MAP, KEY, VALUE},
		[ECB_RINGBUF] = {EARG_DYNPTR, ANY},
	};

	return args[callback];
}

const struct ebpf_proto *ebpf_proto_kfunc(u32 id)
{
	return id && id < EKFUNC_TARGET ? &kfuncs[id] : NULL;
}

u32 ebpf_proto_kfunc_id(const char *name)
{
	for (u32 i = 1; i < EKFUNC_TARGET; i++)
		if (!strcmp(kfuncs[i].name, name))
			return i;
	return EKFUNC_NONE;
}

u32 ebpf_proto_callee(const struct ebpf_callee_value *v, bool number, u32 *size)
{
	const bool constant = v->kind == ECALLEE_STRUCT || (v->flags & ECALLEE_CONST);

	*size = v->flags & ECALLEE_STRING ? 1 : v->size;
	if (v->kind == ECALLEE_NUMBER || v->kind == ECALLEE_FLOAT)
		return number ? EARG_SCALAR : 0;
	if (number)
		return v->kind == ECALLEE_ADDRESS ? EARG_SCALAR : 0;
	if (!*size)
		return 0;
	if (v->kind == ECALLEE_RESULT)
		return OUT_WHOLE | EARG_FIXED;
	return EARG_MEM | EARG_FIXED | (constant ? 0 : EARG_WRITE);
}

bool ebpf_callee_copies(u32 type)
{
	return type == VT_STACK || type == VT_MAP_VALUE || type == VT_MEM;
}
