/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel functions (kfuncs) that are served here: their numbers, and how an image calls them.
 *
 * A program names one by the id of its FUNC in the BTF that stands for the kernel's, where
 * src/btf/builtin.c puts them first, in this order: 1, 2, ... In an image such a call is that of a
 * helper whose number no program can write: EBPF_HELPER_KFUNC + id. So the engines know nothing of
 * kfuncs.
 */
#pragma once

enum ebpf_kfunc {
	EKFUNC_NONE,
	EKFUNC_ITER_NUM_NEW,
	EKFUNC_ITER_NUM_NEXT,
	EKFUNC_ITER_NUM_DESTROY,
	EKFUNC_DYNPTR_ADJUST,
	EKFUNC_DYNPTR_SIZE,
	EKFUNC_DYNPTR_IS_NULL,
	EKFUNC_DYNPTR_IS_RDONLY,
	EKFUNC_DYNPTR_CLONE,
	EKFUNC_DYNPTR_SLICE,
	EKFUNC_DYNPTR_SLICE_RDWR,
	EKFUNC_RCU_READ_LOCK,
	EKFUNC_RCU_READ_UNLOCK,
	EKFUNC_ITER_BITS_NEW,
	EKFUNC_ITER_BITS_NEXT,
	EKFUNC_ITER_BITS_DESTROY,
	EKFUNC_LEFT, /* ours: no kernel has it */
	EKFUNC_SESSION_IS_RETURN,
	EKFUNC_SESSION_COOKIE,
	EKFUNC_CAST_TO_KERN_CTX,
	EKFUNC_VECTOR, /* ours */
	/* judged, but not served: user space can't, so no BTF of ours names them */
	EKFUNC_PREEMPT_DISABLE,
	EKFUNC_PREEMPT_ENABLE,
	EKFUNC_TARGET, /* a function of the target (callee.h): the image's name for it */
	EKFUNC_MAX,
};

/* What EKFUNC_LEFT says of the end of a call: enum ebpfrt_left of bpf/ebpfrt_kfuncs.bpf.h. */
enum ebpf_left {
	EBPF_LEFT_RETURNED,
	EBPF_LEFT_EXCEPTION,
	EBPF_LEFT_THREAD_END,
};

/* While a program is checked: that, and the number of one of its callees. */
#define EBPF_KFUNC_CALLEE 0x7fff0000

#define EBPF_HELPER_KFUNC 224
