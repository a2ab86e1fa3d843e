/* SPDX-License-Identifier: BSD-2-Clause */
/* Dynptrs: memory with its length, on the stack, through helpers only. */
#include "tests/verify/verify.h"

#include "core/load/verify_proto.h"

/* a dynptr over a map's value at fp-16; r6 = the value. */
#define FROM_MEM                                                                                   \
	LOOKUP4(M_ARRAY), NONNULL, MOV_REG(6, 0), MOV_REG(1, 0), MOV_IMM(2, 16), MOV_IMM(3, 0),    \
		MOV_REG(4, 10), ALU64_IMM(BPF_ADD, 4, -16), CALL(BPF_FUNC_dynptr_from_mem)
/* one over a ring-buffer sample at fp-16 */
#define RING(size)                                                                                 \
	LDMAP(1, M_RING), MOV_IMM(2, size), MOV_IMM(3, 0), MOV_REG(4, 10),                         \
		ALU64_IMM(BPF_ADD, 4, -16), CALL(BPF_FUNC_ringbuf_reserve_dynptr)
#define END(how)                                                                                   \
	MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0),                                 \
		CALL(BPF_FUNC_ringbuf_##how##_dynptr)
#define DATA(off, len)                                                                             \
	MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, off), MOV_IMM(3, len),              \
		CALL(BPF_FUNC_dynptr_data)
/* read 8 bytes at 0 of the dynptr at r3 to fp-32 */
#define READ(where)                                                                                \
	MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -32), MOV_IMM(2, 8), MOV_REG(3, 10),                 \
		ALU64_IMM(BPF_ADD, 3, where), MOV_IMM(4, 0), MOV_IMM(5, 0),                        \
		CALL(BPF_FUNC_dynptr_read)

static const struct vcase cases[] = {
	OK("over a map's value", FROM_MEM, READ(-16), RET(0)),
	OK("written through", FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0),
	   ST(BPF_DW, 10, -32, 5), MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -32), MOV_IMM(4, 8),
	   MOV_IMM(5, 0), CALL(BPF_FUNC_dynptr_write), RET(0)),
	NO("over the stack", EACCES, "Unsupported reg type fp for bpf_dynptr_from_mem data",
	   ST(BPF_DW, 10, -32, 0), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -32), MOV_IMM(2, 8),
	   MOV_IMM(3, 0), MOV_REG(4, 10), ALU64_IMM(BPF_ADD, 4, -16),
	   CALL(BPF_FUNC_dynptr_from_mem), RET(0)),
	NO("over more than the value", EACCES,
	   "invalid access to map value, value_size=16 off=0 size=17", LOOKUP4(M_ARRAY), NONNULL,
	   MOV_REG(1, 0), MOV_IMM(2, 17), MOV_IMM(3, 0), MOV_REG(4, 10), ALU64_IMM(BPF_ADD, 4, -16),
	   CALL(BPF_FUNC_dynptr_from_mem), RET(0)),
	NO("never made", EINVAL, "Expected an initialized dynptr as arg #2", READ(-16), RET(0)),
	NO("half of it", EINVAL, "cannot pass in dynptr at an offset", FROM_MEM, READ(-15), RET(0)),
	NO("its second slot", EINVAL, "cannot pass in dynptr at an offset=-8", FROM_MEM, READ(-8),
	   RET(0)),
	NO("the second slot of one, the first of another", EINVAL,
	   "Expected an initialized dynptr as arg #2", FROM_MEM, MOV_REG(1, 6), MOV_IMM(2, 16),
	   MOV_IMM(3, 0), MOV_REG(4, 10), ALU64_IMM(BPF_ADD, 4, -32),
	   CALL(BPF_FUNC_dynptr_from_mem), MOV_REG(1, 6), MOV_IMM(2, 8), MOV_REG(3, 10),
	   ALU64_IMM(BPF_ADD, 3, -24), MOV_IMM(4, 0), MOV_IMM(5, 0), CALL(BPF_FUNC_dynptr_read),
	   RET(0)),
	NO("across the frame pointer", EINVAL, "cannot pass in dynptr at an offset=-8",
	   LOOKUP4(M_ARRAY), NONNULL, MOV_REG(1, 0), MOV_IMM(2, 16), MOV_IMM(3, 0), MOV_REG(4, 10),
	   ALU64_IMM(BPF_ADD, 4, -8), CALL(BPF_FUNC_dynptr_from_mem), RET(0)),
	NO("overwritten", EINVAL, "Expected an initialized dynptr as arg #2", FROM_MEM,
	   ST(BPF_DW, 10, -16, 0), READ(-16), RET(0)),
	NO("a byte of it overwritten", EINVAL, "Expected an initialized dynptr as arg #2", FROM_MEM,
	   ST(BPF_B, 10, -1, 0), READ(-16), RET(0)),
	NO("overwritten by a helper", EACCES, "potential write to dynptr at off=-16 disallowed",
	   FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 16),
	   CALL(BPF_FUNC_get_current_comm), RET(0)),
	NO("its bytes read", EACCES, "invalid read from stack off -16+0 size 8", FROM_MEM,
	   LDX(BPF_DW, 0, 10, -16), RET(0)),
	NOW("its bytes as a key", (ANY_WORDS), EACCES, "read from stack R2 off -16+0 size 8",
	    FROM_MEM, LDMAP(1, M_HASH), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16),
	    CALL(BPF_FUNC_map_lookup_elem), RET(0)),
	NO("at a variable place", EINVAL, "R3", RANDOM(7), FROM_MEM, ALU64_IMM(BPF_AND, 7, 8),
	   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -32), MOV_IMM(2, 8), MOV_REG(3, 10),
	   ALU64_IMM(BPF_ADD, 3, -24), ALU64_REG(BPF_ADD, 3, 7), MOV_IMM(4, 0), MOV_IMM(5, 0),
	   CALL(BPF_FUNC_dynptr_read), RET(0)),
	OK("made anew over a local one", FROM_MEM, MOV_REG(1, 6), MOV_IMM(2, 8), MOV_IMM(3, 0),
	   MOV_REG(4, 10), ALU64_IMM(BPF_ADD, 4, -16), CALL(BPF_FUNC_dynptr_from_mem), READ(-16),
	   RET(0)),
	/* its memory */
	OK("a slice", FROM_MEM, DATA(0, 8), JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 0, 1), RET(0)),
	NO("beyond the slice", EACCES, "invalid access to memory, mem_size=8 off=1 size=8",
	   FROM_MEM, DATA(0, 8), JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 1, 1), RET(0)),
	NO("a slice, not checked", EACCES, "R0 invalid mem access 'mem_or_null'", FROM_MEM,
	   DATA(0, 8), ST(BPF_DW, 0, 0, 1), RET(0)),
	NO("a slice of a length that varies", EACCES, "R3 is not a known constant", RANDOM(7),
	   FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0), MOV_REG(3, 7),
	   CALL(BPF_FUNC_dynptr_data), RET(0)),
	NO("a slice after its dynptr was overwritten", EACCES, "R7 invalid mem access 'scalar'",
	   FROM_MEM, DATA(0, 8), NONNULL, MOV_REG(7, 0), ST(BPF_DW, 10, -16, 0),
	   ST(BPF_DW, 7, 0, 1), RET(0)),
	/* ring buffer */
	OK("of the ring buffer, submitted", RING(16), END(submit), RET(0)),
	OK("of the ring buffer, discarded", RING(16), END(discard), RET(0)),
	NO("forgotten", EINVAL, "Unreleased reference id=", RING(16), RET(0)),
	NO("overwritten", EINVAL, "cannot overwrite referenced dynptr", RING(16),
	   ST(BPF_DW, 10, -16, 0), END(submit), RET(0)),
	NO("submitted twice", EINVAL, "arg 1 is an unacquired reference", RING(16), END(submit),
	   END(submit), RET(0)),
	NO("a local one submitted", EINVAL, "arg 1 is an unacquired reference", FROM_MEM,
	   END(submit), RET(0)),
	NO("a slice used after it was submitted", EACCES, "R7 invalid mem access 'scalar'",
	   RING(16), DATA(0, 8), JMP_IMM(BPF_JEQ, 0, 0, 6), MOV_REG(7, 0), END(submit),
	   ST(BPF_DW, 7, 0, 1), END(submit), RET(0)),
	OK("a slice used before", RING(16), DATA(0, 8), JMP_IMM(BPF_JEQ, 0, 0, 1),
	   ST(BPF_DW, 0, 0, 1), END(submit), RET(0)),
	NO("reserved over one", EINVAL, "cannot overwrite referenced dynptr", RING(16), RING(16),
	   END(submit), RET(0)),
	/* more of them by kernel functions */
	OK("its size", FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16),
	   KFUNC(EKFUNC_DYNPTR_SIZE), RET(0)),
	OK("adjusted", FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 4),
	   MOV_IMM(3, 8), KFUNC(EKFUNC_DYNPTR_ADJUST), RET(0)),
	OK("cloned", FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_REG(2, 10),
	   ALU64_IMM(BPF_ADD, 2, -48), KFUNC(EKFUNC_DYNPTR_CLONE), READ(-48), RET(0)),
	NO("a clone of nothing", EINVAL, "Expected an initialized dynptr", MOV_REG(1, 10),
	   ALU64_IMM(BPF_ADD, 1, -16), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -48),
	   KFUNC(EKFUNC_DYNPTR_CLONE), RET(0)),
	NO("a clone used after the first was submitted", EINVAL, "Expected an initialized dynptr",
	   RING(16), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_REG(2, 10),
	   ALU64_IMM(BPF_ADD, 2, -48), KFUNC(EKFUNC_DYNPTR_CLONE), END(submit), READ(-48), RET(0)),
	OK("a read slice", FROM_MEM, MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0),
	   MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -32), MOV_IMM(4, 8), KFUNC(EKFUNC_DYNPTR_SLICE),
	   JMP_IMM(BPF_JEQ, 0, 0, 1), LDX(BPF_DW, 1, 0, 0), RET(0)),
	NO("a read slice written", EACCES, "R0 cannot write into rdonly_mem", FROM_MEM,
	   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0), MOV_REG(3, 10),
	   ALU64_IMM(BPF_ADD, 3, -32), MOV_IMM(4, 8), KFUNC(EKFUNC_DYNPTR_SLICE),
	   JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 0, 1), RET(0)),
	NO("a slice of a length that varies, by kernel function", EINVAL,
	   "R4 must be a known constant", RANDOM(7), FROM_MEM, MOV_REG(1, 10),
	   ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0), MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -32),
	   MOV_REG(4, 7), ALU64_IMM(BPF_AND, 4, 7), KFUNC(EKFUNC_DYNPTR_SLICE), RET(0)),
};

VERIFY_THEME(dynptrs)
