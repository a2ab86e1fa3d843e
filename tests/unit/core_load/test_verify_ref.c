/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is held, under the explorer: samples, dynptrs and iterators that must be given back, locks,
 * sections. Each case is also given to the running kernel, where there is one and it has such a
 * map.
 */
#include "core/load/verify_proto.h"
#include "tests/unit/core_load/verify_case.h"

#define OK .err = 0
#define FAIL(e, w) .err = -(e), .words = (w)
#define OURS .local = true
#define DONE MOV_IMM(0, 0), EXIT()
#define KFUNC(id) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)
#define STACK(reg, off) MOV_REG(reg, 10), ALU64_IMM(BPF_ADD, reg, off)

/* R6 = a sample of 16 bytes, not NULL; the program ends when there is none */
#define RESERVE                                                                                    \
	MAP(1, CASE_RINGBUF), MOV_IMM(2, 16), MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve),       \
		JMP_IMM(BPF_JNE, 0, 0, 1), EXIT(), MOV_REG(6, 0)
#define SUBMIT MOV_REG(1, 6), MOV_IMM(2, 0), CALL(BPF_FUNC_ringbuf_submit)
/* R6 = a value with lock and timer */
#define VALUE                                                                                      \
	ST(BPF_DW, 10, -8, 0), STACK(2, -8), MAP(1, CASE_FIELDS), CALL(BPF_FUNC_map_lookup_elem),  \
		JMP_IMM(BPF_JNE, 0, 0, 1), EXIT(), MOV_REG(6, 0)
#define LOCK MOV_REG(1, 6), CALL(BPF_FUNC_spin_lock)
#define UNLOCK MOV_REG(1, 6), CALL(BPF_FUNC_spin_unlock)
#define RESERVE_DYNPTR                                                                             \
	MAP(1, CASE_RINGBUF), MOV_IMM(2, 16), MOV_IMM(3, 0), STACK(4, -16),                        \
		CALL(BPF_FUNC_ringbuf_reserve_dynptr)
#define DISCARD_DYNPTR STACK(1, -16), MOV_IMM(2, 0), CALL(BPF_FUNC_ringbuf_discard_dynptr)
#define LOCAL_DYNPTR                                                                               \
	VALUE_AT(1, CASE_ARRAY, 0), MOV_IMM(2, 48), MOV_IMM(3, 0), STACK(4, -16),                  \
		CALL(BPF_FUNC_dynptr_from_mem)
#define NEW_ITER STACK(1, -8), MOV_IMM(2, 0), MOV_IMM(3, 10), KFUNC(EKFUNC_ITER_NUM_NEW)
#define NEXT STACK(1, -8), KFUNC(EKFUNC_ITER_NUM_NEXT)
#define END_ITER STACK(1, -8), KFUNC(EKFUNC_ITER_NUM_DESTROY)

static const struct verify_case cases[] = {
	/* samples */
	{"reserve and submit", OK, .insns = {RESERVE, ST(BPF_DW, 6, 8, 1), SUBMIT, DONE}},
	{"behind the sample", FAIL(EACCES, "invalid access to memory, mem_size=16 off=16 size=8"),
	 .insns = {RESERVE, ST(BPF_DW, 6, 16, 1), SUBMIT, DONE}},
	{"not submitted", FAIL(EINVAL, "Unreleased reference id="), .insns = {RESERVE, DONE}},
	{"submitted twice", FAIL(EACCES, "R1 type=scalar expected=ringbuf_mem"),
	 .insns = {RESERVE, SUBMIT, SUBMIT, DONE}},
	{"written after submit", FAIL(EACCES, "R6 invalid mem access 'scalar'"),
	 .insns = {RESERVE, SUBMIT, ST(BPF_DW, 6, 0, 1), DONE}},
	{"spilled copies end too", FAIL(EACCES, "R1 invalid mem access 'scalar'"),
	 .insns = {RESERVE, STX(BPF_DW, 10, 6, -8), SUBMIT, LDX(BPF_DW, 1, 10, -8),
		   ST(BPF_DW, 1, 0, 1), DONE}},
	{"not its start",
	 FAIL(EINVAL, "R1 must have zero offset when passed to release func or trusted arg"),
	 .insns = {RESERVE, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 8), MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_submit), DONE}},
	{"before the null test", FAIL(EACCES, "R1 type=ringbuf_mem_or_null expected=ringbuf_mem"),
	 .insns = {MAP(1, CASE_RINGBUF), MOV_IMM(2, 16), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_ringbuf_reserve), MOV_REG(1, 0), MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_submit), DONE}},
	{"submitted by a function", OK,
	 .insns = {RESERVE, MOV_REG(1, 6), CALL_BPF(2), DONE, MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_submit), DONE}},
	{"reserved by a function", OK,
	 .insns = {CALL_BPF(6), JMP_IMM(BPF_JEQ, 0, 0, 3), MOV_REG(1, 0), MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_submit), DONE, MAP(1, CASE_RINGBUF), MOV_IMM(2, 16),
		   MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve), EXIT()}},
	{"left behind by a callback", FAIL(EINVAL, "Unreleased reference id="),
	 .insns = {MOV_IMM(1, 10), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_loop),
		   DONE, MAP(1, CASE_RINGBUF), MOV_IMM(2, 16), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_ringbuf_reserve), DONE}},
	{"tail call with a sample", FAIL(EINVAL, "tail_call would lead to reference leak"),
	 .insns = {MOV_REG(7, 1), RESERVE, MOV_REG(1, 7), MAP(2, CASE_PROGS), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_tail_call), DONE}},

	/* dynptrs */
	{"a ring buffer's dynptr", OK, .insns = {RESERVE_DYNPTR, DISCARD_DYNPTR, DONE}},
	{"kept", FAIL(EINVAL, "Unreleased reference id="), .insns = {RESERVE_DYNPTR, DONE}},
	{"overwritten", FAIL(EINVAL, "cannot overwrite referenced dynptr"),
	 .insns = {RESERVE_DYNPTR, ST(BPF_DW, 10, -8, 0), DISCARD_DYNPTR, DONE}},
	{"given back twice", FAIL(EINVAL, "arg 1 is an unacquired reference"),
	 .insns = {RESERVE_DYNPTR, DISCARD_DYNPTR, DISCARD_DYNPTR, DONE}},
	{"its bytes read", FAIL(EACCES, "invalid read from stack off -8+0 size 8"),
	 .insns = {RESERVE_DYNPTR, LDX(BPF_DW, 6, 10, -8), DISCARD_DYNPTR, DONE}},
	{"half of it named", FAIL(EINVAL, "cannot pass in dynptr at an offset=-8"),
	 .insns = {RESERVE_DYNPTR, STACK(1, -8), MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_discard_dynptr), DONE}},
	{"a slice of it", OK,
	 .insns = {RESERVE_DYNPTR, STACK(1, -16), MOV_IMM(2, 0), MOV_IMM(3, 8),
		   CALL(BPF_FUNC_dynptr_data), JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 0, 1),
		   DISCARD_DYNPTR, DONE}},
	{"a slice that is too long", FAIL(EACCES, "invalid access to memory, mem_size=8 off=8"),
	 .insns = {RESERVE_DYNPTR, STACK(1, -16), MOV_IMM(2, 0), MOV_IMM(3, 8),
		   CALL(BPF_FUNC_dynptr_data), JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 8, 1),
		   DISCARD_DYNPTR, DONE}},
	{"a slice after its dynptr", FAIL(EACCES, "R6 invalid mem access 'scalar'"),
	 .insns = {RESERVE_DYNPTR, STACK(1, -16), MOV_IMM(2, 0), MOV_IMM(3, 8),
		   CALL(BPF_FUNC_dynptr_data), JMP_IMM(BPF_JEQ, 0, 0, 8), MOV_REG(6, 0),
		   DISCARD_DYNPTR, ST(BPF_DW, 6, 0, 1), DONE, DISCARD_DYNPTR, DONE}},
	{"a local dynptr", OK,
	 .insns = {LOCAL_DYNPTR, STACK(1, -32), MOV_IMM(2, 8), STACK(3, -16), MOV_IMM(4, 0),
		   MOV_IMM(5, 0), CALL(BPF_FUNC_dynptr_read), LDX(BPF_DW, 0, 10, -32), EXIT()}},
	{"a local dynptr is overwritten, its slice ends",
	 FAIL(EACCES, "R6 invalid mem access 'scalar'"),
	 .insns = {LOCAL_DYNPTR, STACK(1, -16), MOV_IMM(2, 0), MOV_IMM(3, 8),
		   CALL(BPF_FUNC_dynptr_data), JMP_IMM(BPF_JEQ, 0, 0, 3), MOV_REG(6, 0),
		   ST(BPF_DW, 10, -8, 0), ST(BPF_DW, 6, 0, 1), DONE}},
	{"memory of the stack",
	 FAIL(EACCES, "Unsupported reg type fp for bpf_dynptr_from_mem data"),
	 .insns = {ST(BPF_DW, 10, -24, 0), STACK(1, -24), MOV_IMM(2, 8), MOV_IMM(3, 0),
		   STACK(4, -16), CALL(BPF_FUNC_dynptr_from_mem), DONE}},
	{"no dynptr", FAIL(EINVAL, "Expected an initialized dynptr as arg #"), .drift = true,
	 .insns = {ST(BPF_DW, 10, -8, 0), ST(BPF_DW, 10, -16, 0), STACK(1, -16), MOV_IMM(2, 0),
		   MOV_IMM(3, 8), CALL(BPF_FUNC_dynptr_data), DONE}},

	/* iterators; the kernel has other ids for these functions */
	{"iterate", OK, OURS,
	 .insns = {NEW_ITER, NEXT, JMP_IMM(BPF_JEQ, 0, 0, 2), LDX(BPF_W, 1, 0, 0), JA(-6), END_ITER,
		   DONE}},
	{"not destroyed", FAIL(EINVAL, "Unreleased reference id="), OURS,
	 .insns = {NEW_ITER, DONE}},
	{"destroyed twice", FAIL(EINVAL, "expected an initialized iter_num as arg #"), OURS,
	 .insns = {NEW_ITER, END_ITER, END_ITER, DONE}},
	{"never made", FAIL(EINVAL, "expected an initialized iter_num as arg #"), OURS,
	 .insns = {ST(BPF_DW, 10, -8, 0), NEXT, DONE}},
	{"made twice", FAIL(EINVAL, "expected uninitialized iter_num as arg #"), OURS,
	 .insns = {NEW_ITER, NEW_ITER, END_ITER, DONE}},
	{"the iterator overwritten", FAIL(EINVAL, "expected an initialized iter_num as arg #"),
	 OURS, .insns = {NEW_ITER, ST(BPF_B, 10, -8, 0), END_ITER, DONE}},
	{"an element after the end", FAIL(EACCES, "R6 invalid mem access 'scalar'"), OURS,
	 .insns = {MOV_IMM(6, 0), NEW_ITER, NEXT, JMP_IMM(BPF_JEQ, 0, 0, 1), MOV_REG(6, 0),
		   END_ITER, JMP_IMM(BPF_JEQ, 6, 0, 1), LDX(BPF_W, 1, 6, 0), DONE}},
	{"an element is not written", FAIL(EACCES, "R0 cannot write into rdonly_mem"), OURS,
	 .insns = {NEW_ITER, NEXT, JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_W, 0, 0, 1), END_ITER, DONE}},

	/* locks; the kernel has none for this type of program */
	{"lock and unlock", OK, OURS, .insns = {VALUE, LOCK, ST(BPF_W, 6, 4, 1), UNLOCK, DONE}},
	{"not unlocked", FAIL(EINVAL, "bpf_spin_unlock is missing"), OURS,
	 .insns = {VALUE, LOCK, DONE}},
	{"locked twice", FAIL(EINVAL, "function calls are not allowed while holding a lock"), OURS,
	 .insns = {VALUE, LOCK, LOCK, UNLOCK, DONE}},
	{"never locked", FAIL(EINVAL, "bpf_spin_unlock without taking a lock"), OURS,
	 .insns = {VALUE, UNLOCK, DONE}},
	{"a helper under a lock", FAIL(EINVAL, "function calls are not allowed while holding a"),
	 OURS, .insns = {VALUE, LOCK, RANDOM(), UNLOCK, DONE}},
	{"another value's lock", FAIL(EINVAL, "bpf_spin_unlock of different lock"), OURS,
	 .insns = {VALUE, MOV_REG(7, 6), VALUE, LOCK, MOV_REG(1, 7), CALL(BPF_FUNC_spin_unlock),
		   DONE}},
	{"beside the lock",
	 FAIL(EINVAL, "off 4 doesn't point to 'struct bpf_spin_lock' that is at"), OURS,
	 .insns = {VALUE, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 4), CALL(BPF_FUNC_spin_lock), DONE}},
	{"a map without", FAIL(EINVAL, "map 'a' has to have BTF in order to use bpf_spin_lock"),
	 .insns = {VALUE_AT(1, CASE_ARRAY, 0), CALL(BPF_FUNC_spin_lock), DONE}},

	/* timers */
	{"a timer", OK, OURS,
	 .insns = {VALUE, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 8), MAP(2, CASE_FIELDS),
		   MOV_IMM(3, 1), CALL(BPF_FUNC_timer_init), MOV_REG(1, 6),
		   ALU64_IMM(BPF_ADD, 1, 8), FUNC(2, 4), CALL(BPF_FUNC_timer_set_callback), DONE,
		   MOV_IMM(0, 0), EXIT()}},
	{"another map's timer", FAIL(EINVAL, "timer pointer in R1 map_uid=0 doesn't match map "),
	 OURS,
	 .insns = {VALUE, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 8), MAP(2, CASE_HASH), MOV_IMM(3, 1),
		   CALL(BPF_FUNC_timer_init), DONE}},
	{"what a timer's callback returns",
	 FAIL(EINVAL, "At async callback return the register R0 has smin=1 smax=1 should have"),
	 OURS,
	 .insns = {VALUE, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 8), FUNC(2, 4),
		   CALL(BPF_FUNC_timer_set_callback), DONE, MOV_IMM(0, 1), EXIT()}},

	/* sections */
	{"a section", OK, OURS,
	 .insns = {KFUNC(EKFUNC_RCU_READ_LOCK), KFUNC(EKFUNC_RCU_READ_UNLOCK), DONE}},
	{"left open", FAIL(EINVAL, "bpf_rcu_read_unlock is missing"), OURS,
	 .insns = {KFUNC(EKFUNC_RCU_READ_LOCK), DONE}},
	{"one in another", FAIL(EINVAL, "nested rcu read lock (kernel function bpf_rcu_read_lock)"),
	 OURS, .insns = {KFUNC(EKFUNC_RCU_READ_LOCK), KFUNC(EKFUNC_RCU_READ_LOCK), DONE}},
	{"no section to leave", FAIL(EINVAL, "unmatched rcu read unlock (kernel function bpf_rcu"),
	 OURS, .insns = {KFUNC(EKFUNC_RCU_READ_UNLOCK), DONE}},
	{"preemption off", FAIL(EINVAL, "2 bpf_preempt_enable(s) are missing"), OURS,
	 .insns = {KFUNC(EKFUNC_PREEMPT_DISABLE), KFUNC(EKFUNC_PREEMPT_DISABLE), DONE}},
	{"preemption on", FAIL(EINVAL, "unmatched attempt to enable preemption (kernel function"),
	 OURS, .insns = {KFUNC(EKFUNC_PREEMPT_ENABLE), DONE}},
};

Test(verify_ref, cases)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		case_check(&cases[i]);
}
