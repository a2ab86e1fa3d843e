# SPDX-License-Identifier: BSD-2-Clause
"""Assembly of functions that jump into what a longer patch of their first instruction would cover.

    generate.py SEED FUNCTIONS

Each is called with (n, seed): a block of short instructions is entered n times, at the first of them, then through a jump table
at any, as a generator of numbers says that the caller can follow. The first ones lie across a cache line or a page in some.
gen_table lists them: function, number of instructions, how many of them can be entered, their addresses (8)."""
import random
import sys

SITES = 8
SHORT = {
    1: ["nop", "cwtl", "clc", "cmc"],
    2: ["inc %eax", "xor %edi, %eax", "add %edi, %eax", ".byte 0x74, 0", ".byte 0xeb, 0", "xchg %ax, %ax"],
    3: ["add $7, %eax", "rol $3, %eax", "lea 5(%rax), %eax", "imul %edi, %eax"],
    4: ["lea 1(%rax), %rax", "imul $7, %rax, %rax", "nopl 0(%rax)", "endbr64", "xor %rax, 8(%rsp)"],
    5: ["add $0x12345, %eax", "call gen_helper"],
    7: ["add gen_number(%rip), %rax", "lea gen_number(%rip), %r10"],
}


def function(rnd, i):
    insns = [rnd.choice(SHORT[rnd.choice([1, 1, 2, 2, 3, 3, 4, 4, 5, 7])]) for _ in range(rnd.randint(3, SITES))]
    entries = [k for k in range(len(insns))]
    where = rnd.choice([(4, 0), (6, 64 - rnd.randint(1, 4)), (12, 4096 - rnd.randint(1, 4))])
    yield f".p2align {where[0]}\n.skip {where[1]}, 0xcc" if where[1] else f".p2align {where[0]}"
    # the block comes first, so that its first instruction is the symbol's
    yield f".globl gen_block_{i}\n.type gen_block_{i}, @function\ngen_block_{i}:"
    for k, insn in enumerate(insns):
        yield f".Ls{i}_{k}: {insn}"
    yield f"""	dec %r8
	jz .Lout{i}
	imul $69069, %r9d
	add $12345, %r9d
	mov %r9d, %ecx
	shr $16, %ecx
	mov %rax, (%rsp)
	mov %ecx, %eax
	mov %edx, 16(%rsp)
	xor %edx, %edx
	mov ${len(entries)}, %ecx
	div %ecx
	mov %edx, %ecx
	mov 16(%rsp), %edx
	mov (%rsp), %rax
	lea .Lt{i}(%rip), %r11
	movslq (%r11,%rcx,4), %rcx
	add %r11, %rcx
	{rnd.choice(["jmp *%rcx", "notrack jmp *%rcx"])}
.Lout{i}: add $24, %rsp
	ret
	.size gen_block_{i}, . - gen_block_{i}
.p2align 4
.globl gen_{i}
.type gen_{i}, @function
gen_{i}:
	sub $24, %rsp
	mov %rdi, %r8
	mov %esi, %r9d
	mov $3, %edi
	xor %eax, %eax
	movq $0, 8(%rsp)
	jmp gen_block_{i}
	.size gen_{i}, . - gen_{i}
.section .rodata
.p2align 2
.Lt{i}:"""
    for k in entries:
        yield f"	.long .Ls{i}_{k} - .Lt{i}"
    yield ".section .data.rel, \"aw\"\n	.quad gen_%d, %d" % (i, len(insns))
    for k in range(SITES):
        yield f"	.quad {f'.Ls{i}_{k}' if k < len(insns) else 0}"
    yield ".text"


seed, n = int(sys.argv[1]), int(sys.argv[2])
rnd = random.Random(seed)
print("""/* seed %d */
.section .note.GNU-stack, "", @progbits
.section .data.rel, "aw"
.globl gen_table, gen_count
gen_count: .quad %d
gen_number: .quad 0x1234567
.globl gen_number
.hidden gen_number
gen_table:
.text
.type gen_helper, @function
gen_helper: xor $0x55, %%eax
	ret
.size gen_helper, . - gen_helper""" % (seed, n))
for i in range(n):
    print("\n".join(function(rnd, i)))
