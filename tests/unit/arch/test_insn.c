/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The length decoder: encodings by hand, every prefix of each (cut off), and what objdump says of
 * real libraries. EBPFRT_TEST_WHOLE=1 compares whole files rather than samples.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"

struct sample {
	const char *hex;
	int len;
	const char *what;
};

static size_t unhex(const char *hex, u8 *out, size_t cap)
{
	size_t n = 0;
	unsigned int b;
	int used;

	while (n < cap && sscanf(hex, " %2x%n", &b, &used) == 1) {
		out[n++] = (u8)b;
		hex += used;
	}
	return n;
}

/* clang-format off */
static const struct sample samples[] = {
	{ "90", 1, "nop" },
	{ "f3 0f 1e fa", 4, "endbr64" },
	{ "66 66 2e 0f 1f 84 00 00 00 00 00", 11, "nopw cs:" },
	{ "66 66 66 66 66 66 2e 0f 1f 84 00 00 00 00 00", 15, "the longest" },
	{ "66 66 66 66 66 66 66 2e 0f 1f 84 00 00 00 00 00", -EINVAL, "one too long" },
	{ "48 b8 01 02 03 04 05 06 07 08", 10, "movabs" },
	{ "66 b8 01 02", 4, "mov imm16" },
	{ "66 48 b8 01 02 03 04 05 06 07 08", 11, "REX.W beats 66" },
	{ "48 66 b8 01 02", 5, "a REX that is not last is ignored" },
	{ "a1 01 02 03 04 05 06 07 08", 9, "moffs" },
	{ "67 a1 01 02 03 04", 6, "moffs32" },
	{ "c8 10 00 01", 4, "enter" },
	{ "c2 08 00", 3, "ret imm16" },
	{ "66 68 01 02", 4, "push imm16" },
	{ "e8 01 02 03 04", 5, "call" },
	{ "66 e8 01 02 03 04", 6, "call with 66, as Intel reads it" },
	{ "66 66 48 e8 01 02 03 04", 8, "call of the TLS idiom" },
	{ "0f 84 01 02 03 04", 6, "je" },
	{ "f6 05 01 02 03 04 05", 7, "test imm8, ip-relative" },
	{ "f6 15 01 02 03 04", 6, "not" },
	{ "66 f7 05 01 02 03 04 05 06", 9, "testw imm16" },
	{ "f7 05 01 02 03 04 05 06 07 08", 10, "testl imm32" },
	{ "f7 d8", 2, "neg" },
	{ "8b 04 25 01 02 03 04", 7, "absolute through SIB" },
	{ "8b 44 24 08", 4, "disp8 with SIB" },
	{ "8b 84 24 08 00 00 00", 7, "disp32 with SIB" },
	{ "0f 20 05", 3, "mov from cr0: mod is ignored" },
	{ "66 0f 78 c0 01 02", 6, "extrq" },
	{ "0f 0f ca b4", 4, "3DNow pfmul" },
	{ "c7 f8 01 02 03 04", 6, "xbegin" },
	{ "66 c7 f8 01 02", 5, "xbegin rel16" },
	{ "c6 f8 01", 3, "xabort" },
	{ "66 0f 3a 0f c1 08", 6, "palignr" },
	{ "66 0f 38 00 05 01 02 03 04", 9, "pshufb" },
	{ "c5 f8 77", 3, "vzeroupper" },
	{ "c5 f9 70 c0 01", 5, "vpshufd" },
	{ "c4 e3 7d 39 c8 01", 6, "vextracti128" },
	{ "c4 e2 7b f7 05 01 02 03 04", 9, "shrx" },
	{ "c4 e2 7d 90 04 08", 6, "vpgatherdd" },
	{ "c5 f8 ae 14 24", 5, "vldmxcsr" },
	{ "62 f1 fe 48 6f 05 01 02 03 04", 10, "vmovdqu64 ip-relative" },
	{ "62 f3 7d 48 3e 4e 01 04", 8, "vpcmpub with disp8 and imm8" },
	{ "62 f4 7c 18 81 c0 01 02 03 04", 10, "APX add" },
	{ "62 f4 7d 18 81 c0 01 02", 8, "APX add, 16 bits" },
	{ "62 f4 7c 18 ff f0", 6, "APX push2" },
	{ "8f e8 78 c0 c1 03", 6, "XOP vprotb imm8" },
	{ "8f ea 78 10 c1 01 02 03 04", 9, "TBM bextr imm32" },
	{ "8f e9 78 01 c9", 5, "TBM" },
	{ "8f 00", 2, "pop to memory" },
	{ "d5 18 8b 00", 4, "REX2 mov" },
	{ "d5 80 af c0", 4, "REX2 imul" },
	{ "d5 00 a1 01 02 03 04 05 06 07 08", 11, "jmpabs" },
	{ "cc", 1, "int3" },
	{ "0f 05", 2, "syscall" },
	{ "06", -EINVAL, "push es" },
	{ "9a 01 02 03 04 05 06", -EINVAL, "lcall" },
	{ "ce", -EINVAL, "into" },
	{ "ff f8", -EINVAL, "ff /7" },
	{ "fe d0", -EINVAL, "fe /2" },
	{ "8f e0", -EINVAL, "8f /4" },
	{ "0f 04", -EINVAL, "0f 04" },
	{ "0f 3a ff c0 00", -EINVAL, "0f 3a ff" },
	{ "66 c5 f8 28 c0", -EINVAL, "66 before VEX" },
	{ "48 c5 f8 28 c0", -EINVAL, "REX before VEX" },
	{ "f0 62 f1 fe 48 6f c0", -EINVAL, "lock before EVEX" },
	{ "c4 e4 78 10 c0", -EINVAL, "VEX map 4" },
	{ "d5 00 70 00", -EINVAL, "REX2 jo" },
	{ "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", -EINVAL, "prefixes only" },
};
/* clang-format on */

Test(insn, by_hand)
{
	u8 code[32];

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		size_t n = unhex(samples[i].hex, code, sizeof(code));

		cr_expect_eq(arch_insn_len(code, n), samples[i].len, "%s (%s): %d, not %d",
			     samples[i].what, samples[i].hex, arch_insn_len(code, n),
			     samples[i].len);
	}
}

Test(insn, cut_off)
{
	u8 code[32];

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		unhex(samples[i].hex, code, sizeof(code));
		for (int n = 0; n < samples[i].len; n++)
			cr_expect_eq(arch_insn_len(code, (size_t)n), -ENODATA, "%s cut to %d",
				     samples[i].hex, n);
	}
}

/* Random bytes decode to something inside their bounds, or to an error. */
Test(insn, random_bytes)
{
	unsigned int seed = (unsigned int)getpid();
	u8 code[20];

	cr_log_info("seed %u", seed);
	for (int i = 0; i < 2000000; i++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(code);
		struct arch_insn in;
		int err;

		for (size_t k = 0; k < n; k++)
			code[k] = (u8)(rand_r(&seed) >> 7);
		err = arch_insn_decode(code, n, &in);
		cr_assert(err == -EINVAL || (err == -ENODATA && n < 15) || !err, "seed %u", seed);
		if (err)
			continue;
		cr_assert(in.len >= 1 && in.len <= 15 && in.len <= n, "seed %u", seed);
		cr_assert(in.imm_off + in.imm_len == in.len, "seed %u", seed);
		cr_assert(!in.disp_len || in.disp_off + in.disp_len == in.imm_off, "seed %u", seed);
	}
}

/* --- against objdump --- */

/*
 * Where data lies among the code objdump prints prefixes and fwait as instructions of their own, or
 * as part of the next; and it reads 66 before a near branch as AMD does.
 */
static bool objdumps_own_way(const char *text, const u8 *code, size_t n)
{
	static const char *const words[] = {"(bad)", ".byte", "rex",  "data16", "addr32",
					    "repz",  "repnz", "jmpw", "callw",	"lock"};

	static const u8 alone[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67, 0x9b, 0xf3};

	if (memchr(alone, code[0], sizeof(alone)) && (n == 1 || code[0] == 0x9b))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

static void compare_line(char *line, const char *file, unsigned long *compared)
{
	char *bytes = strchr(line, '\t'), *text = bytes ? strchr(bytes + 1, '\t') : NULL;
	u8 code[16];
	size_t n;
	int len;

	if (!text)
		return;
	*text++ = 0;
	text[strcspn(text, "\n")] = 0;
	n = unhex(bytes + 1, code, sizeof(code));
	if (!n)
		return;
	len = arch_insn_len(code, n);
	++*compared;
	if (len != (int)n && !objdumps_own_way(text, code, n))
		cr_expect_fail("%s: %s [%s] %s: %d, not %zu", file, line, bytes + 1, text, len, n);
}

static unsigned long compare_range(const char *file, unsigned long from, unsigned long to)
{
	unsigned long compared = 0;
	char cmd[512], line[512];
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		 "objdump -d -w --start-address=0x%lx --stop-address=0x%lx '%s' 2>/dev/null", from,
		 to, file);
	f = popen(cmd, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (line[0] == ' ')
			compare_line(line, file, &compared);
	pclose(f);
	return compared;
}

static bool text_section(const char *file, unsigned long *start, unsigned long *size)
{
	char cmd[512], line[512];
	bool found = false;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "objdump -h -w -j .text '%s' 2>/dev/null", file);
	f = popen(cmd, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		found |= sscanf(line, " %*u .text %lx %lx", size, start) == 2;
	pclose(f);
	return found;
}

static void compare_file(const char *file)
{
	unsigned long start, size, step, compared = 0;

	if (access(file, R_OK) || !text_section(file, &start, &size)) {
		cr_log_info("%s: no file or no objdump, left out", file);
		return;
	}
	if (getenv("EBPFRT_TEST_WHOLE")) {
		compared = compare_range(file, start, start + size);
	} else {
		step = size / 4;
		for (unsigned long at = 0; at + step <= size; at += step)
			compared += compare_range(file, start + at, start + at + 0x6000);
	}
	cr_log_info("%s: %lu instructions compared", file, compared);
	cr_expect_gt(compared, 1000, "%s: only %lu instructions", file, compared);
}

Test(insn, as_objdump_says_of_libc)
{
	compare_file("/lib/x86_64-linux-gnu/libc.so.6");
}

Test(insn, as_objdump_says_of_libcrypto)
{
	compare_file("/lib/x86_64-linux-gnu/libcrypto.so.3");
}

Test(insn, as_objdump_says_of_libstdcxx)
{
	compare_file("/lib/x86_64-linux-gnu/libstdc++.so.6");
}

/* --- exits of an unwinder
 * ----------------------------------------------------------------------------------------------------
 */

static int exits_of(const char *hex, bool lands, u32 *offsets)
{
	unsigned char code[64];
	size_t n = 0;

	for (; hex[0]; hex += 3, n++) {
		code[n] = (unsigned char)strtoul(hex, NULL, 16);
		if (!hex[2])
			break;
	}
	return arch_unwind_exits(code, n + (hex[0] != 0), lands, offsets, 2);
}

Test(insn, exits_of_an_unwinder)
{
	u32 at[2] = {0};

	/* ret; mov %rcx,%rsp; pop %rcx; jmp *%rcx */
	cr_expect_eq(exits_of("c3 48 89 cc 59 ff e1", true, at), 2);
	cr_expect(at[0] == 0 && at[1] == 5);
	/* mov %rcx,%rsp; ret: as compilers without shadow stacks do it */
	cr_expect_eq(exits_of("90 48 89 cc c3", true, at), 1);
	cr_expect_eq(at[0], 4);
	/* a jump table is no exit, and a plain return does not land */
	cr_expect_eq(exits_of("ff e1 c3", false, at), 1);
	cr_expect_eq(at[0], 2);
	cr_expect_eq(exits_of("59 ff e1 c3", true, at), -ENOENT);
	/* mov %rbp,%rsp; ret is how a function with a frame ends */
	cr_expect_eq(exits_of("48 89 ec 5d c3", true, at), -ENOENT);
	cr_expect_eq(exits_of("c3 c3 c3", false, at), -ENOSPC);
	cr_expect_eq(exits_of("c3 06", false, at), -EINVAL);
	cr_expect_eq(exits_of("90", false, at), 0);
}

/* --- returns of a function
 * ----------------------------------------------------------------------------------------------------
 */

static size_t bytes_of(const char *hex, unsigned char *code)
{
	size_t n = 0;

	for (char *end; hex[0]; hex = end + (*end == ' '))
		code[n++] = (unsigned char)strtoul(hex, &end, 16);
	return n;
}

static int returns_of(const char *hex, bool tables, u32 *offsets, u32 *at)
{
	unsigned char code[64];

	return arch_returns(code, bytes_of(hex, code), tables, offsets, 3, at);
}

Test(insn, returns_of_a_function)
{
	u32 v[3] = {0}, at = 99;

	/* test %edi,%edi; je +1; ret; ret $8 */
	cr_expect_eq(returns_of("85 ff 74 01 c3 c2 08 00", false, v, &at), 2);
	cr_expect(v[0] == 4 && v[1] == 5);
	/* back to the start is a loop */
	cr_expect_eq(returns_of("90 eb fd c3", false, v, &at), 1);
	cr_expect_eq(returns_of("90 0f 84 f9 ff ff ff c3", false, v, &at), 1);
	/* behind the end, by each kind of jump, and before the start */
	cr_expect_eq(returns_of("c3 eb 00", false, v, &at), -EXDEV);
	cr_expect_eq(at, 1);
	cr_expect_eq(returns_of("e9 10 00 00 00 c3", false, v, &at), -EXDEV);
	cr_expect_eq(at, 0);
	cr_expect_eq(returns_of("c3 90 0f 85 f7 ff ff ff", false, v, &at), -EXDEV);
	cr_expect_eq(at, 2);
	cr_expect_eq(returns_of("e3 7f c3", false, v, &at), -EXDEV);
	/* jmp *%rax: a table's only where that is known, or with notrack */
	cr_expect_eq(returns_of("ff e0 c3", false, v, &at), -EXDEV);
	cr_expect_eq(returns_of("ff e0 c3", true, v, &at), 1);
	cr_expect_eq(returns_of("3e ff e0 c3", false, v, &at), 1);
	/* lret, iretq, a cut instruction, too many */
	cr_expect_eq(returns_of("cb", false, v, &at), -EXDEV);
	cr_expect_eq(returns_of("48 cf", true, v, &at), -EXDEV);
	cr_expect_eq(returns_of("c3 e9 00 00", false, v, &at), -EINVAL);
	cr_expect_eq(at, 1);
	cr_expect_eq(returns_of("c3 c3 c3 c3", false, v, &at), -ENOSPC);
	/* none: it never returns */
	cr_expect_eq(returns_of("f4 eb fd", false, v, &at), 0);
}

/* --- where control leaves, and who looks at the return address ---------------------------------
 */

static int leaves_of(const char *hex, u32 *offsets)
{
	unsigned char code[64];

	return arch_leaves(code, bytes_of(hex, code), offsets, 3);
}

Test(insn, leaves_of_a_function)
{
	u32 v[3] = {0};

	/* je +2; jmp *%rax; ret; jmp behind the end */
	cr_expect_eq(leaves_of("74 02 ff e0 c3 e9 10 00 00 00", v), 3);
	cr_expect(v[0] == 2 && v[1] == 4 && v[2] == 5);
	/* a table's jump, and one within */
	cr_expect_eq(leaves_of("3e ff e0 eb fb c3", v), 1);
	cr_expect_eq(v[0], 5);
	/* a jump away that may not be taken, or no jump of this kind */
	cr_expect_eq(leaves_of("74 10 c3", v), -EXDEV);
	cr_expect_eq(leaves_of("0f 84 10 00 00 00 c3", v), -EXDEV);
	cr_expect_eq(leaves_of("e3 10 c3", v), -EXDEV);
	cr_expect_eq(leaves_of("cb", v), -EXDEV);
	cr_expect_eq(leaves_of("c3 c3 c3 c3", v), -ENOSPC);
	cr_expect_eq(leaves_of("c3 06", v), -EINVAL);
}

static int looks_of(const char *hex, struct arch_look *v)
{
	unsigned char code[64];

	memset(v, 0, 3 * sizeof(*v));
	return arch_looks(code, bytes_of(hex, code), v, 3);
}

Test(insn, looks_at_the_return_address)
{
	struct arch_look v[3];

	/* mov %rbx,(%rdi); mov (%rsp),%rdx; mov %rdx,0x38(%rdi); ret: setjmp */
	cr_expect_eq(looks_of("48 89 1f 48 8b 14 24 48 89 57 38 c3", v), 1);
	cr_expect(v[0].at == 3 && v[0].certain);
	/* pop %rdi; mov $0x3a,%eax; syscall; push %rdi: vfork */
	cr_expect_eq(looks_of("5f b8 3a 00 00 00 0f 05 57", v), 1);
	cr_expect(v[0].at == 0 && v[0].certain);
	/* push %rbp; push %rbx; sub $0x38,%rsp; mov 0x48(%rsp),%rax; mov 0x40(%rsp),%rax: the
	 * second is the same or what was saved, which the unwind tables tell */
	cr_expect_eq(looks_of("55 53 48 83 ec 38 48 8b 44 24 48 48 8b 44 24 40", v), 1);
	cr_expect(v[0].at == 6 && v[0].reg == 7 && v[0].disp == 0x48 && !v[0].certain);
	/* sub $0x88,%rsp; mov 0x88(%rsp),%rax */
	cr_expect_eq(looks_of("48 81 ec 88 00 00 00 48 8b 84 24 88 00 00 00", v), 1);
	cr_expect(v[0].at == 7 && v[0].disp == 0x88 && !v[0].certain);
	/* push %rbp; mov %rsp,%rbp; mov 8(%rbp),%rax; mov 16(%rbp),%rax */
	cr_expect_eq(looks_of("55 48 89 e5 48 8b 45 08 48 8b 45 10", v), 1);
	cr_expect(v[0].at == 4 && v[0].reg == 6 && v[0].disp == 8 && !v[0].certain);
	/* not those: another size, an index, another segment, what was pushed, r12 */
	cr_expect_eq(looks_of("8b 04 24 48 8b 04 04 64 48 8b 04 24 c3", v), 0);
	cr_expect_eq(looks_of("53 5b c3", v), 0);
	cr_expect_eq(looks_of("49 8b 04 24 c3", v), 0);
	/* xor %esi,%esi; jmp -0x30: the other does */
	cr_expect_eq(looks_of("31 f6 e9 c9 ff ff ff", v), 1);
	cr_expect(v[0].at == 2 && v[0].follow == -0x30);
	/* a loop, and a jump with the stack changed */
	cr_expect_eq(looks_of("90 eb fd", v), 0);
	cr_expect_eq(looks_of("53 e9 c9 ff ff ff", v), 0);
	cr_expect_eq(looks_of("06", v), -EINVAL);
}
