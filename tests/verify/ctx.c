/* SPDX-License-Identifier: BSD-2-Clause */
/* The context, and what programs return. */
#include "tests/verify/verify.h"

#include <linux/bpf_perf_event.h>

#include "arch_regs.h"

/* struct pt_regs here */
#define REGS_SIZE ARCH_REGS_SIZE
#define STR_(x) #x
#define STR(x) STR_(x)

static const struct vcase cases[] = {
#ifdef __x86_64__
	OK("the first register", LDX(BPF_DW, 0, 1, 0), EXIT()),
	OK("the last", LDX(BPF_DW, 0, 1, REGS_SIZE - 8), EXIT()),
	NO("behind the registers", EACCES,
	   "invalid bpf_context access off=" STR(REGS_SIZE) " size=8", LDX(BPF_DW, 0, 1, REGS_SIZE),
	   EXIT()),
	NO("a word behind", EACCES, "invalid bpf_context access off=" STR(REGS_SIZE) " size=4",
	   LDX(BPF_W, 0, 1, REGS_SIZE), EXIT()),
	NO("before them", EACCES, "invalid bpf_context access off=-8 size=8", LDX(BPF_DW, 0, 1, -8),
	   EXIT()),
	OK("half a register", LDX(BPF_W, 0, 1, 8), EXIT()),
	OK("a byte of one", LDX(BPF_B, 0, 1, 9), EXIT()),
	NO("across two", EACCES, "invalid bpf_context access off=4 size=8", LDX(BPF_DW, 0, 1, 4),
	   EXIT()),
	NO("stored to", EACCES, "invalid bpf_context access off=0 size=8", ST(BPF_DW, 1, 0, 0),
	   RET(0)),
	NO("stored to from a register", EACCES, "invalid bpf_context access off=0 size=8",
	   MOV_IMM(2, 0), STX(BPF_DW, 1, 2, 0), RET(0)),
	NO("an atomic", EACCES, "BPF_ATOMIC stores into R1 ctx is not allowed", MOV_IMM(2, 0),
	   ATOMIC(BPF_DW, BPF_ADD, 1, 2, 0), RET(0)),
	NO("a fixed offset added", EACCES, "dereference of modified ctx ptr R1 off=8 disallowed",
	   ALU64_IMM(BPF_ADD, 1, 8), LDX(BPF_DW, 0, 1, 8), EXIT()),
	OK("added and taken away", ALU64_IMM(BPF_ADD, 1, 8), ALU64_IMM(BPF_ADD, 1, -8),
	   LDX(BPF_DW, 0, 1, 8), EXIT()),
	NO("a changed context as an argument", EACCES,
	   "dereference of modified ctx ptr R1 off=8 disallowed", ALU64_IMM(BPF_ADD, 1, 8),
	   CALL(BPF_FUNC_get_attach_cookie), RET(0)),
	NO("a negative offset as an argument", EACCES,
	   "negative offset ctx ptr R1 off=-8 disallowed", ALU64_IMM(BPF_ADD, 1, -8),
	   CALL(BPF_FUNC_get_attach_cookie), RET(0)),
	OK("the context as an argument", CALL(BPF_FUNC_get_attach_cookie), RET(0)),
	NO("something else as the context", EACCES, "R1 type=fp expected=ctx", MOV_REG(1, 10),
	   CALL(BPF_FUNC_get_attach_cookie), RET(0)),
	NO("a sign-extending load of it", EACCES, "R9 !read_ok", LDX(BPF_DW, 2, 1, 0),
	   JMP_IMM(BPF_JEQ, 2, 0, 1), MOV_REG(0, 9), RET(0)),
	/* other types */
	OKW("tracepoint: behind its header", (TYPE(TRACEPOINT)), LDX(BPF_DW, 0, 1, 8), EXIT()),
	NOW("tracepoint: its header", (TYPE(TRACEPOINT)), EACCES,
	    "invalid bpf_context access off=0 size=8", LDX(BPF_DW, 0, 1, 0), EXIT()),
	NOW("tracepoint: behind its largest record", (TYPE(TRACEPOINT)), EACCES,
	    "invalid bpf_context access off=8192 size=8", LDX(BPF_DW, 0, 1, 8192), EXIT()),
	NOW("tracepoint: unaligned", (TYPE(TRACEPOINT)), EACCES,
	    "invalid bpf_context access off=12 size=8", LDX(BPF_DW, 0, 1, 12), EXIT()),
	OKW("raw tracepoint: an argument", (TYPE(RAW_TRACEPOINT)), LDX(BPF_DW, 0, 1, 88), EXIT()),
	NOW("raw tracepoint: too many", (TYPE(RAW_TRACEPOINT)), EACCES,
	    "invalid bpf_context access off=96 size=8", LDX(BPF_DW, 0, 1, 96), EXIT()),
	OKW("perf event: period", (TYPE(PERF_EVENT)),
	    LDX(BPF_DW, 0, 1, offsetof(struct bpf_perf_event_data, sample_period)), EXIT()),
	OKW("perf event: a register", (TYPE(PERF_EVENT)), LDX(BPF_DW, 0, 1, 16), EXIT()),
	NOW("perf event: half a register", (TYPE(PERF_EVENT)), EACCES,
	    "invalid bpf_context access off=16 size=4", LDX(BPF_W, 0, 1, 16), EXIT()),
	OKW("syscall: anything below 64 KiB", (TYPE(SYSCALL), FLAGS(BPF_F_SLEEPABLE)),
	    LDX(BPF_DW, 0, 1, 1000), ST(BPF_B, 1, 7, 1), EXIT()),
	NOW("socket filter: none of the packet", (TYPE(SOCKET_FILTER)), EACCES,
	    "invalid bpf_context access off=76 size=4",
	    LDX(BPF_W, 0, 1, offsetof(struct __sk_buff, data)), EXIT()),
	OKW("socket filter: its length", (TYPE(SOCKET_FILTER)), LDX(BPF_W, 0, 1, 0), EXIT()),
	NOW("socket filter: length is no 8 bytes", (TYPE(SOCKET_FILTER)), EACCES,
	    "invalid bpf_context access off=0 size=8", LDX(BPF_DW, 0, 1, 0), EXIT()),
#endif
	/* results */
	NO("nothing returned", EACCES, "R0 !read_ok", EXIT()),
	OK("any number from a kprobe", LDX(BPF_DW, 0, 1, 0), EXIT()),
	NO("R0 lost in a call that returns nothing", EACCES, "R0 !read_ok", RANDOM(6),
	   LDMAP(1, M_RING), MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve),
	   JMP_IMM(BPF_JEQ, 0, 0, 3), MOV_REG(1, 0), MOV_IMM(2, 0), CALL(BPF_FUNC_ringbuf_submit),
	   EXIT()),
/* programs of sockets, only judged */
#define SOCK (TYPE(CGROUP_SOCK))
	OKW("a socket's family", SOCK, LDX(BPF_W, 0, 1, 4), ALU64_IMM(BPF_AND, 0, 1), EXIT()),
	OKW("a byte of a socket's type", SOCK, LDX(BPF_B, 2, 1, 8), RET(1)),
	OKW("a socket's device set", SOCK, ST(BPF_W, 1, 0, 1), RET(0)),
	NOW("half a socket's device", SOCK, EACCES, "invalid bpf_context access off=0 size=2",
	    LDX(BPF_H, 2, 1, 0), RET(0)),
	NOW("a socket's family set", SOCK, EACCES, "invalid bpf_context access off=4 size=4",
	    ST(BPF_W, 1, 4, 1), RET(0)),
	NOW("a socket's address before it has one", SOCK, EACCES,
	    "invalid bpf_context access off=24 size=4", LDX(BPF_W, 2, 1, 24), RET(0)),
	NOW("2 of a socket", SOCK, EINVAL, "should have been in [0, 1]", RET(2)),
	NOW("any number of a socket", SOCK, EINVAL, "should have been in [0, 1]",
	    LDX(BPF_W, 0, 1, 0), EXIT()),
	NOW("the context of a socket returned", SOCK, EINVAL, "R0 is not a known value (ctx)",
	    MOV_REG(0, 1), EXIT()),
/* packets: how far one reaches where the end is compared with byte 7 */
#define XDP_TO_7 LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 3, 1, 4), MOV_REG(4, 2), ALU64_IMM(BPF_ADD, 4, 7)
#define XDP (TYPE(XDP))
	OKW("byte 7 isn't at or above the end", XDP, XDP_TO_7, JMP_REG(BPF_JGE, 4, 3, 1),
	    LDX(BPF_DW, 0, 2, 0), RET(1)),
	OKW("byte 7 is below the end", XDP, XDP_TO_7, JMP_REG(BPF_JLT, 4, 3, 2), RET(1),
	    LDX(BPF_DW, 0, 2, 0), RET(1)),
	OKW("the end is above byte 7", XDP, XDP_TO_7, JMP_REG(BPF_JGT, 3, 4, 2), RET(1),
	    LDX(BPF_DW, 0, 2, 0), RET(1)),
	OKW("the end isn't at or below byte 7", XDP, XDP_TO_7, JMP_REG(BPF_JLE, 3, 4, 1),
	    LDX(BPF_DW, 0, 2, 0), RET(1)),
	OKW("byte 7 is at the end or below", XDP, XDP_TO_7, JMP_REG(BPF_JLE, 4, 3, 2), RET(1),
	    LDX(BPF_B, 0, 2, 6), RET(1)),
	NOW("byte 7, which may be the end", XDP, EACCES, "invalid access to packet, off=7 size=1",
	    XDP_TO_7, JMP_REG(BPF_JLE, 4, 3, 2), RET(1), LDX(BPF_B, 0, 2, 7), RET(1)),
	NOW("byte 7, when it isn't above the end", XDP, EACCES,
	    "invalid access to packet, off=7 size=1", XDP_TO_7, JMP_REG(BPF_JGT, 4, 3, 1),
	    LDX(BPF_B, 0, 2, 7), RET(1)),
	NOW("byte 7, when the end is at or above it", XDP, EACCES,
	    "invalid access to packet, off=7 size=1", XDP_TO_7, JMP_REG(BPF_JGE, 3, 4, 2), RET(1),
	    LDX(BPF_B, 0, 2, 7), RET(1)),
	NOW("byte 7, when the end isn't below it", XDP, EACCES,
	    "invalid access to packet, off=7 size=1", XDP_TO_7, JMP_REG(BPF_JLT, 3, 4, 1),
	    LDX(BPF_B, 0, 2, 7), RET(1)),
	NOW("byte 8, when byte 7 is below the end", XDP, EACCES,
	    "invalid access to packet, off=8 size=1", XDP_TO_7, JMP_REG(BPF_JLT, 4, 3, 2), RET(1),
	    LDX(BPF_B, 0, 2, 8), RET(1)),
	NOW("9 bytes, when byte 7 is below the end", XDP, EACCES,
	    "invalid access to packet, off=1 size=8", XDP_TO_7, JMP_REG(BPF_JLT, 4, 3, 2), RET(1),
	    LDX(BPF_DW, 0, 2, 1), RET(1)),
};

VERIFY_THEME(context)
