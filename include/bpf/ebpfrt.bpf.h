/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a BPF program for ebpfrt may include in place of a vmlinux.h: the context of a uprobe and
 * the integer names, nothing that needs the kernel's types. Works with bpf/bpf_helpers.h and
 * bpf/bpf_tracing.h, included after this; kernel functions are in bpf/ebpfrt_kfuncs.bpf.h.
 *
 * The members carry the kernel's names and CO-RE access (preserve_access_index), so that an object
 * built with this header and one built with a vmlinux.h are the same.
 */
#ifndef EBPFRT_BPF_H
#define EBPFRT_BPF_H

#ifndef __VMLINUX_H__
#define __VMLINUX_H__ /* bpf_tracing.h: registers have the kernel's names */
#define EBPFRT_TYPES  /* but this is not it */

#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef int pid_t;

#ifndef __bool_true_false_are_defined
typedef _Bool bool;
#define true 1
#define false 0
#endif

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
} __attribute__((preserve_access_index));
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
} __attribute__((preserve_access_index));
struct pt_regs {
	struct user_pt_regs user_regs;
} __attribute__((preserve_access_index));
#else
#error "compile with -D__TARGET_ARCH_x86 (or the name of your CPU)"
#endif
#endif
#endif
