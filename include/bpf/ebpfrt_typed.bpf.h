/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Typed programs: SEC("uentry/FILE:FUNCTION") and SEC("uexit/FILE:FUNCTION"), to user space what
 * fentry and fexit are to the kernel. The verifier knows the function's types from the target's
 * own (debug information or BTF), so that pointers to structures are followed as in C:
 *
 *	SEC("uexit/libfoo.so:parse")
 *	int BPF_PROG(on_parsed, struct doc *doc, int flags, int ret)
 *	{
 *		bpf_printk("%d: %d nodes", ret, doc->root->count);
 *		return 0;
 *	}
 *
 * What can't be read is 0, and nothing is written. BPF_PROG() is that of bpf_tracing.h. At an exit
 * the arguments are those of the entry, and what is returned is behind them; calls that an
 * exception or longjmp() leaves have no exit. These programs return 0.
 *
 * The context is an array of 64-bit words, as the calling convention has the arguments, in the
 * order of the prototype:
 *	a number, enum or pointer	one word, extended with its sign where its type has one
 *	a float or double		one word: its bits, to be declared as __u64 for BPF_PROG()
 *	a structure of up to 16 bytes	its words (one or two)
 *	a larger one			its address: declare a pointer to it
 * What is returned is the same, behind the last argument. At most fourteen words are arguments. A
 * long double, and what follows a type that isn't known as a whole or, in C++, a class that is
 * passed itself, can't be told: a program that reads it is refused.
 *
 * BPF has no floating point; there are functions here that make integers of what the words hold.
 *
 * Without types there is SEC("uprobe/FILE:FUNCTION") with BPF_UPROBE(), which a libbpf before 1.2
 * doesn't have: arguments are named in the same way, and read with BPF_CORE_READ().
 */
#ifndef EBPFRT_TYPED_BPF_H
#define EBPFRT_TYPED_BPF_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif
#include <bpf/bpf_helpers.h>

#ifndef BPF_UPROBE
#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#endif
#ifndef BPF_URETPROBE
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)
#endif

/* The number that the bits of a double are, towards zero; the nearest there is; NaN is 0. */
static __always_inline __s64 ebpfrt_double_to_s64(__u64 bits)
{
	const __u64 mantissa = (bits & ((1ull << 52) - 1)) | 1ull << 52;
	const __u32 exponent = bits >> 52 & 0x7ff;
	__s64 v;

	if (exponent < 1023)
		return 0;
	if (exponent == 0x7ff && (bits & ((1ull << 52) - 1)))
		return 0;
	if (exponent >= 1023 + 63)
		return bits >> 63 ? (__s64)(1ull << 63) : (__s64)((1ull << 63) - 1);
	if (exponent >= 1075)
		v = (__s64)(mantissa << ((exponent - 1075) & 63));
	else
		v = (__s64)(mantissa >> ((1075 - exponent) & 63));
	return bits >> 63 ? -v : v;
}

/* The bits of the double that is what the bits of a float are; what is too small for one is 0. */
static __always_inline __u64 ebpfrt_float_to_double(__u32 bits)
{
	const __u64 sign = (__u64)(bits >> 31) << 63, mantissa = (__u64)(bits & 0x7fffff) << 29;
	const __u32 exponent = bits >> 23 & 0xff;

	if (!exponent)
		return sign;
	if (exponent == 0xff)
		return sign | 0x7ffull << 52 | mantissa;
	return sign | (__u64)(exponent - 127 + 1023) << 52 | mantissa;
}

static __always_inline __s64 ebpfrt_float_to_s64(__u32 bits)
{
	return ebpfrt_double_to_s64(ebpfrt_float_to_double(bits));
}
#endif
