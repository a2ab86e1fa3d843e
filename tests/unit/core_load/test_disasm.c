/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of text for every kind of instruction, in the kernel's notation. */
#include <criterion/criterion.h>

#include "base/macros.h"
#include "tests/support/engine.h"

static const struct {
	struct bpf_insn insn[2];
	const char *text;
} cases[] = {
	{{MOV_IMM(0, -1)}, "r0 = -1"},
	{{MOV_REG(6, 1)}, "r6 = r1"},
	{{ALU32_REG(BPF_MOV, 6, 1)}, "w6 = w1"},
	{{INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, 8, 0)}, "r1 = (s8)r2"},
	{{INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 2, 16, 0)}, "w1 = (s16)w2"},
	{{ALU64_IMM(BPF_ADD, 2, -8)}, "r2 += -8"},
	{{ALU32_IMM(BPF_AND, 2, 255)}, "w2 &= 255"},
	{{ALU64_REG(BPF_ARSH, 3, 4)}, "r3 s>>= r4"},
	{{ALU64_REG(BPF_DIV, 3, 4)}, "r3 /= r4"},
	{{INSN(BPF_ALU64 | BPF_DIV | BPF_X, 3, 4, 1, 0)}, "r3 s/= r4"},
	{{INSN(BPF_ALU | BPF_MOD | BPF_K, 3, 0, 1, 7)}, "w3 s%= 7"},
	{{ALU64_IMM(BPF_NEG, 5, 0)}, "r5 = -r5"},
	{{INSN(BPF_ALU | BPF_END | BPF_TO_BE, 1, 0, 0, 16)}, "r1 = be16 r1"},
	{{INSN(BPF_ALU | BPF_END | BPF_TO_LE, 1, 0, 0, 64)}, "r1 = le64 r1"},
	{{INSN(BPF_ALU64 | BPF_END, 1, 0, 0, 32)}, "r1 = bswap32 r1"},
	{{LDX(BPF_W, 0, 1, 4)}, "r0 = *(u32 *)(r1 +4)"},
	{{INSN(BPF_LDX | BPF_MEMSX | BPF_B, 0, 1, -4, 0)}, "r0 = *(s8 *)(r1 -4)"},
	{{STX(BPF_DW, 10, 1, -8)}, "*(u64 *)(r10 -8) = r1"},
	{{ST(BPF_H, 10, -2, 5)}, "*(u16 *)(r10 -2) = 5"},
	{{INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD)}, "lock *(u64 *)(r1 +0) += r2"},
	{{INSN(BPF_STX | BPF_ATOMIC | BPF_W, 1, 2, 0, BPF_OR | BPF_FETCH)},
	 "r2 = atomic_fetch_or((u32 *)(r1 +0), r2)"},
	{{INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_XCHG)},
	 "r2 = atomic64_xchg((u64 *)(r1 +0), r2)"},
	{{INSN(BPF_STX | BPF_ATOMIC | BPF_W, 1, 2, 8, BPF_CMPXCHG)},
	 "r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)"},
	{{LDDW(1, 0x1122334455667788)}, "r1 = 0x1122334455667788"},
	{{LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 3)}, "r1 = map[fd:3]"},
	{{LDDW_KIND(1, BPF_PSEUDO_MAP_VALUE, 3 | 16ULL << 32)}, "r1 = map[fd:3][0]+16"},
	{{JA(-3)}, "goto pc-3"},
	{{INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, 70000)}, "gotol pc+70000"},
	{{JMP_IMM(BPF_JEQ, 0, 0, 4)}, "if r0 == 0x0 goto pc+4"},
	{{INSN(BPF_JMP32 | BPF_JSLE | BPF_X, 1, 2, -4, 0)}, "if w1 s<= w2 goto pc-4"},
	{{CALL_BPF(5)}, "call pc+5"},
	{{CALL(1)}, "call bpf_map_lookup_elem#1"},
	{{CALL(254)}, "call unknown#254"},
	{{EXIT()}, "exit"},
};

Test(disasm, every_kind)
{
	char buf[128];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool wide = cases[i].insn[0].code == (BPF_LD | BPF_IMM | BPF_DW);

		cr_assert_eq(ebpf_disasm(cases[i].insn, buf, sizeof(buf)), wide ? 2 : 1);
		cr_assert_str_eq(buf, cases[i].text);
	}
}

Test(disasm, any_bytes_print_something)
{
	struct bpf_insn in[2] = {{0}};
	char buf[64];
	u32 code, regs;

	for (code = 0; code < 256; code++)
		for (regs = 0; regs < 256; regs += 17) {
			in[0] = INSN(code, regs, regs >> 4, -1, -1);
			buf[0] = '\0';
			ebpf_disasm(in, buf, sizeof(buf));
			cr_assert_neq(buf[0], '\0', "opcode %02x", code);
		}
}

Test(disasm, a_small_buffer_is_cut)
{
	struct bpf_insn in = STX(BPF_DW, 10, 1, -8);
	char buf[6];

	ebpf_disasm(&in, buf, sizeof(buf));
	cr_assert_str_eq(buf, "*(u64");
}
