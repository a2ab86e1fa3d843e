/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forms of instructions that the code of real libraries consists of.
 *
 * A form is an opcode with its prefixes, the kinds of its operands (register, each way to address
 * memory, length of the immediate, vector length, masking) and the extension bits of its registers;
 * two instructions of one form differ in registers' low bits, displacements and immediates.
 */
#pragma once

#include "arch/arch.h"
#include "arch/x86_64/insn.h"

struct form {
	u64 key;
	struct arch_insn in;
	u8 bytes[ARCH_MAX_INSN];
	u32 seen; /* how often */
};
struct forms {
	struct form *v;
	size_t n, cap;
	u64 instructions, undecoded;
};

/* Add those of @file's code, every stretch of it. -ENOENT: no such file, or no ELF file. */
int forms_collect(const char *file, struct forms *out);
/* The libraries that the tests look at. */
extern const char *const forms_libraries[3];
void forms_free(struct forms *f);

/* Offsets within the instruction; 0: it has none. */
static inline bool forms_is(const struct arch_insn *in, u8 map, u8 lo, u8 hi)
{
	return in->encoding <= INSN_REX2 && in->map == map && in->opcode >= lo && in->opcode <= hi;
}
