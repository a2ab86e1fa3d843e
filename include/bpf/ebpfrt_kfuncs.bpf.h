/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel functions that ebpfrt serves, for programs whose other headers don't declare them: a
 * libbpf before 1.2 has no bpf_for(), and a vmlinux.h no functions. Objects made with it run in a
 * kernel, too.
 */
#ifndef EBPFRT_KFUNCS_BPF_H
#define EBPFRT_KFUNCS_BPF_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif
#include <bpf/bpf_helpers.h>

#if !defined(__VMLINUX_H__) || defined(EBPFRT_TYPES)
#define EBPFRT_KFUNC(declaration) extern declaration __attribute__((weak)) __ksym

struct bpf_dynptr;
EBPFRT_KFUNC(int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end));
EBPFRT_KFUNC(int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone));
EBPFRT_KFUNC(__u32 bpf_dynptr_size(const struct bpf_dynptr *p));
EBPFRT_KFUNC(void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer,
				    __u32 buffer_size));
/* They return a bool: only the lowest byte means something, which old compilers don't know. */
EBPFRT_KFUNC(int bpf_dynptr_is_null(const struct bpf_dynptr *p));
EBPFRT_KFUNC(int bpf_dynptr_is_rdonly(const struct bpf_dynptr *p));
#define bpf_dynptr_is_null(p) ((bpf_dynptr_is_null(p) & 0xff) != 0)
#define bpf_dynptr_is_rdonly(p) ((bpf_dynptr_is_rdonly(p) & 0xff) != 0)

/*
 * How the call ended at whose end this uretprobe program runs. A program that calls it is run for
 * calls that do not return, too: when an exception has gone past them, just before the handler or
 * destructor goes on that it was thrown to, the innermost call first; the registers are those of
 * the thread at that moment, but ip and sp, which are what a return would have made of them, and ax
 * (PT_REGS_RC), which is 0. A program that doesn't call it never sees such calls: as in a kernel,
 * which has no such function, so look before:
 *
 *	if (ebpfrt_left && ebpfrt_left() != EBPFRT_RETURNED)
 *
 * Where returns are probed at the ret instructions (Go, shadow stacks), all calls have returned.
 * What longjmp() leaves is not told, only counted (`ebpfrt ps`): it is found later, by somebody
 * else. -EINVAL: not a uretprobe's program.
 */
enum ebpfrt_left {
	EBPFRT_RETURNED,
	EBPFRT_LEFT_BY_EXCEPTION,  /* thrown past it, as C++ does */
	EBPFRT_LEFT_BY_THREAD_END, /* pthread_exit() or a cancellation went past it */
};
EBPFRT_KFUNC(int ebpfrt_left(void));

/*
 * SEC("uprobe.session/..."): one program at the entry of a call and at its return, told apart by
 * bpf_session_is_return(). What it returns at the entry says whether it wants the return: 0 it
 * does, 1 it doesn't. bpf_session_cookie() is a word of its own that the return finds as the entry
 * left it; each call has another one, which is 0 at first.
 */
EBPFRT_KFUNC(int bpf_session_is_return(void));
#define bpf_session_is_return() ((bpf_session_is_return() & 0xff) != 0)
EBPFRT_KFUNC(__u64 *bpf_session_cookie(void));

/*
 * Half @half (0: the low one) of vector register @n, 0 to 7: by x86-64's convention arguments of a
 * function that are floating-point numbers come in the low halves of 0, 1 ..., in their order among
 * these; a result in that of 0. A hit of which they aren't known is counted as missed. What makes
 * integers of the bits is in bpf/ebpfrt_typed.bpf.h.
 */
EBPFRT_KFUNC(__u64 ebpfrt_vector(__u32 n, __u32 half));

/*
 * The kernel's object behind a context. A uprobe's context is the registers, and so is what is
 * behind it: a struct pt_regs, to be read.
 */
EBPFRT_KFUNC(void *bpf_cast_to_kern_ctx(void *ctx));

EBPFRT_KFUNC(void bpf_rcu_read_lock(void));
EBPFRT_KFUNC(void bpf_rcu_read_unlock(void));

/*
 * Over the bits that are set in up to 511 words: bpf_iter_bits_next() gives their numbers. What is
 * beyond the first word is read as the loop gets there.
 */
struct bpf_iter_bits___ebpfrt {
	__u64 opaque[2];
} __attribute__((aligned(8)));
EBPFRT_KFUNC(int bpf_iter_bits_new(struct bpf_iter_bits___ebpfrt *it, const __u64 *words,
				   __u32 count));
EBPFRT_KFUNC(int *bpf_iter_bits_next(struct bpf_iter_bits___ebpfrt *it));
EBPFRT_KFUNC(void bpf_iter_bits_destroy(struct bpf_iter_bits___ebpfrt *it));

#ifndef bpf_for
struct bpf_iter_num___ebpfrt {
	__u64 opaque;
};
EBPFRT_KFUNC(int bpf_iter_num_new(struct bpf_iter_num___ebpfrt *it, int start, int end));
EBPFRT_KFUNC(int *bpf_iter_num_next(struct bpf_iter_num___ebpfrt *it));
EBPFRT_KFUNC(void bpf_iter_num_destroy(struct bpf_iter_num___ebpfrt *it));

/*
 * for (i = start; i < end; i++), of any length up to 8388608: the verifier walks the body a few
 * times only. break, continue and return are allowed. @start and @end are evaluated each time; what
 * they are compared with tells the verifier where i lies.
 */
#define bpf_for(i, start, end)                                                                     \
	EBPFRT_LOOP(start, end, ((i) = *ebpfrt_next, (i) >= (start) && (i) < (end)))

/* @times times */
#define bpf_repeat(times) EBPFRT_LOOP(0, times, 1)

/* The second variable is there for its initialiser: the destructor must be named for its type. */
#define EBPFRT_LOOP(start, end, more)                                                              \
	for (struct bpf_iter_num___ebpfrt ebpfrt_it                                                \
	     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                           \
	     *ebpfrt_begin                                                                         \
	     __attribute__((unused)) = (bpf_iter_num_new(&ebpfrt_it, (start), (end)),              \
					(void)bpf_iter_num_destroy, (void *)0);                    \
	     ({                                                                                    \
		     int *ebpfrt_next = bpf_iter_num_next(&ebpfrt_it);                             \
		     ebpfrt_next && (more);                                                        \
	     });)
#endif
#endif
#endif
