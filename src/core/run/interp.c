/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter: the reference semantics of every instruction (RFC 9669, up to cpu v4), plain
 * before fast.
 *
 * Model: one exec() per BPF stack frame, recursing for bpf-to-bpf calls and callbacks; each has its
 * registers and its 512 bytes of stack. A tail call replaces the program of the current frame.
 *
 * Rules: the image has passed the structural check, so registers, jump targets and opcodes are in
 * range and the call depth is bounded; it is counted here all the same, since callbacks and tail
 * calls combine programs. Loads and stores go through osl_read() and osl_write(): a wrong address
 * sets run->aborted and unwinds. Atomics are probed with a read first.
 */
#include "core/run/helper.h"
#include "core/run/interp.h"
#include "osl/osl_trap.h"

#define HELPER_TAIL_CALL 12
#define FUNC_TAG 0xebf0000000000000ULL /* a BPF_PSEUDO_FUNC value: tag | pc */
#define FUNC_MASK 0xffffffff00000000ULL
#define MAX_DEPTH (2 * EBPF_MAX_FRAMES) /* frames of one run, those of callbacks included */

struct interp {
	u32 depth;
};

struct frame {
	struct ebpf_run *run;
	const struct ebpf_prog *prog;
	const struct bpf_insn *insns;
	u64 *refs;
	u64 regs[11];
	u64 stack[EBPF_STACK_SIZE / sizeof(u64)];
	u64 guard; /* takes the rest of a store that begins inside the stack and ends outside */
};

struct word {
	u64 v;
} __packed_struct;

static u64 exec(struct ebpf_run *run, u32 pc, const u64 args[5]);

static void frame_set_prog(struct frame *f, const struct ebpf_prog *prog)
{
	f->prog = prog;
	f->insns = ebpf_image_insns(prog->image);
	f->refs = prog->refs;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static u64 sdiv64(s64 a, s64 b)
{
	if (!b)
		return 0;
	return b == -1 ? 0 - (u64)a : (u64)(a / b);
}

static u64 smod64(s64 a, s64 b)
{
	if (!b)
		return (u64)a;
	return b == -1 ? 0 : (u64)(a % b);
}

static u32 sdiv32(s32 a, s32 b)
{
	if (!b)
		return 0;
	return b == -1 ? 0 - (u32)a : (u32)(a / b);
}

static u32 smod32(s32 a, s32 b)
{
	if (!b)
		return (u32)a;
	return b == -1 ? 0 : (u32)(a % b);
}

static u64 sign_extend(u64 v, s16 bits)
{
	switch (bits) {
	case 8:
		return (u64)(s64)(s8)v;
	case 16:
		return (u64)(s64)(s16)v;
	case 32:
		return (u64)(s64)(s32)v;
	default:
		return v;
	}
}

static u64 swap_bytes(const struct bpf_insn *in, u64 v)
{
	bool swap = BPF_CLASS(in->code) == BPF_ALU64 || BPF_SRC(in->code) == BPF_TO_BE;

	switch (in->imm) {
	case 16:
		return swap ? __builtin_bswap16((u16)v) : (u16)v;
	case 32:
		return swap ? __builtin_bswap32((u32)v) : (u32)v;
	default:
		return swap ? __builtin_bswap64(v) : v;
	}
}

static inline u64 alu64(const struct bpf_insn *in, u64 dst, u64 src)
{
	switch (BPF_OP(in->code)) {
	case BPF_ADD:
		return dst + src;
	case BPF_SUB:
		return dst - src;
	case BPF_MUL:
		return dst * src;
	case BPF_DIV:
		if (in->off)
			return sdiv64((s64)dst, (s64)src);
		return src ? dst / src : 0;
	case BPF_MOD:
		if (in->off)
			return smod64((s64)dst, (s64)src);
		return src ? dst % src : dst;
	case BPF_OR:
		return dst | src;
	case BPF_AND:
		return dst & src;
	case BPF_XOR:
		return dst ^ src;
	case BPF_LSH:
		return dst << (src & 63);
	case BPF_RSH:
		return dst >> (src & 63);
	case BPF_ARSH:
		return (u64)((s64)dst >> (src & 63));
	case BPF_NEG:
		return 0 - dst;
	case BPF_MOV:
		return sign_extend(src, in->off);
	default:
		return swap_bytes(in, dst);
	}
}

/* the 64-bit value of END is truncated by nobody: it is the one ALU operation that is not 32-bit */
static inline u64 alu32(const struct bpf_insn *in, u32 dst, u32 src)
{
	switch (BPF_OP(in->code)) {
	case BPF_ADD:
		return (u32)(dst + src);
	case BPF_SUB:
		return (u32)(dst - src);
	case BPF_MUL:
		return (u32)(dst * src);
	case BPF_DIV:
		if (in->off)
			return sdiv32((s32)dst, (s32)src);
		return src ? dst / src : 0;
	case BPF_MOD:
		if (in->off)
			return smod32((s32)dst, (s32)src);
		return src ? dst % src : dst;
	case BPF_OR:
		return dst | src;
	case BPF_AND:
		return dst & src;
	case BPF_XOR:
		return dst ^ src;
	case BPF_LSH:
		return (u32)(dst << (src & 31));
	case BPF_RSH:
		return dst >> (src & 31);
	case BPF_ARSH:
		return (u32)((s32)dst >> (src & 31));
	case BPF_NEG:
		return (u32)(0 - dst);
	default:
		return (u32)sign_extend(src, in->off);
	}
}

static inline u64 operand(const struct frame *f, const struct bpf_insn *in)
{
	return BPF_SRC(in->code) == BPF_X ? f->regs[in->src_reg] : (u64)(s64)in->imm;
}

static void do_alu(struct frame *f, const struct bpf_insn *in)
{
	u64 *dst = &f->regs[in->dst_reg];

	if (BPF_CLASS(in->code) == BPF_ALU64)
		*dst = alu64(in, *dst, operand(f, in));
	else if (BPF_OP(in->code) == BPF_END)
		*dst = swap_bytes(in, *dst);
	else
		*dst = alu32(in, (u32)*dst, (u32)operand(f, in));
}

static inline bool compare(u8 op, u64 a, u64 b, s64 sa, s64 sb)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return (a & b) != 0;
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	default:
		return sa <= sb;
	}
}

/* Is the budget of the run's may_goto used up? Then it jumps, this time and from now on. */
static bool may_goto(struct ebpf_run *run)
{
	if (!run->may_goto)
		return true;
	run->may_goto--;
	return false;
}

/* how far from the next instruction the program goes on */
static inline s32 jump(const struct frame *f, const struct bpf_insn *in)
{
	u64 a = f->regs[in->dst_reg], b = operand(f, in);
	u8 op = BPF_OP(in->code);
	bool taken;

	if (BPF_CLASS(in->code) == BPF_JMP32) {
		if (op == BPF_JA)
			return in->imm;
		taken = compare(op, (u32)a, (u32)b, (s32)a, (s32)b);
	} else if (unlikely(op == BPF_JCOND)) {
		taken = may_goto(f->run);
	} else {
		taken = op == BPF_JA || compare(op, a, b, (s64)a, (s64)b);
	}
	return taken ? in->off : 0;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* the frame's own stack needs no fault protection */
static inline bool on_stack(const struct frame *f, u64 addr)
{
	return addr - (u64)(uintptr_t)f->stack <= EBPF_STACK_SIZE - sizeof(u64);
}

static inline u64 truncate_to(u64 v, u32 size)
{
	return size == 8 ? v : v & ((1ULL << 8 * size) - 1);
}

/*
 * The bytes of a value in memory order are its low ones: true of the little-endian machines we run
 * on.
 */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads assume little endian");

static bool do_load(struct frame *f, const struct bpf_insn *in)
{
	u64 addr = f->regs[in->src_reg] + (u64)(s64)in->off;
	u32 size = ebpf_insn_bytes(in);
	const bool probes = ebpf_insn_probes(in);
	u64 v = 0;

	if (on_stack(f, addr)) {
		v = truncate_to(((const struct word *)(uintptr_t)addr)->v, size);
	} else if (osl_read(&v, (const void *)(uintptr_t)addr, size)) {
		f->run->aborted = !probes;
		v = 0;
		if (!probes)
			return false;
	}
	if (BPF_MODE(in->code) == BPF_MEMSX || BPF_MODE(in->code) == EBPF_PROBE_MEMSX)
		v = sign_extend(v, (s16)(8 * size));
	f->regs[in->dst_reg] = v;
	return true;
}

static bool do_store(struct frame *f, const struct bpf_insn *in)
{
	u64 addr = f->regs[in->dst_reg] + (u64)(s64)in->off;
	u64 v = BPF_CLASS(in->code) == BPF_STX ? f->regs[in->src_reg] : (u64)(s64)in->imm;

	if (!osl_write((void *)(uintptr_t)addr, &v, ebpf_insn_bytes(in)))
		return true;
	f->run->aborted = 1;
	return false;
}

#define ATOMIC(type, f, in, addr)                                                                  \
	do {                                                                                       \
		type *p = (type *)(uintptr_t)(addr);                                               \
		u64 *src = &(f)->regs[(in)->src_reg], *r0 = &(f)->regs[0];                         \
		type v = (type)*src, old = (type)*r0;                                              \
                                                                                                   \
		switch ((in)->imm) {                                                               \
		case BPF_ADD:                                                                      \
			__atomic_fetch_add(p, v, __ATOMIC_RELAXED);                                \
			break;                                                                     \
		case BPF_AND:                                                                      \
			__atomic_fetch_and(p, v, __ATOMIC_RELAXED);                                \
			break;                                                                     \
		case BPF_OR:                                                                       \
			__atomic_fetch_or(p, v, __ATOMIC_RELAXED);                                 \
			break;                                                                     \
		case BPF_XOR:                                                                      \
			__atomic_fetch_xor(p, v, __ATOMIC_RELAXED);                                \
			break;                                                                     \
		case BPF_ADD | BPF_FETCH:                                                          \
			*src = __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                         \
			break;                                                                     \
		case BPF_AND | BPF_FETCH:                                                          \
			*src = __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                         \
			break;                                                                     \
		case BPF_OR | BPF_FETCH:                                                           \
			*src = __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                          \
			break;                                                                     \
		case BPF_XOR | BPF_FETCH:                                                          \
			*src = __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                         \
			break;                                                                     \
		case BPF_XCHG:                                                                     \
			*src = __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                        \
			break;                                                                     \
		default: /* BPF_CMPXCHG */                                                         \
			__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST,           \
						    __ATOMIC_SEQ_CST);                             \
			*r0 = old;                                                                 \
		}                                                                                  \
	} while (0)

static bool do_atomic(struct frame *f, const struct bpf_insn *in)
{
	u64 addr = f->regs[in->dst_reg] + (u64)(s64)in->off;
	u64 probe;

	if (osl_read(&probe, (const void *)(uintptr_t)addr, ebpf_insn_bytes(in))) {
		f->run->aborted = 1;
		return false;
	}
	if (BPF_SIZE(in->code) == BPF_DW)
		ATOMIC(u64, f, in, addr);
	else
		ATOMIC(u32, f, in, addr);
	return true;
}

static void do_lddw(struct frame *f, const struct bpf_insn *in)
{
	u64 *dst = &f->regs[in->dst_reg];

	if (in->src_reg == EBPF_LD_REF)
		*dst = f->refs[in->imm];
	else if (in->src_reg == BPF_PSEUDO_FUNC)
		*dst = FUNC_TAG | (u32)in->imm;
	else
		*dst = (u32)in[0].imm | (u64)(u32)in[1].imm << 32;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* A callee may have replaced the program by a tail call; helpers look at run->prog. */
static void restore_prog(struct frame *f)
{
	f->run->prog = f->prog;
	f->run->refs = f->refs;
}

static bool call_bpf(struct frame *f, u32 pc)
{
	struct interp *it = f->run->engine;

	if (it->depth >= MAX_DEPTH) {
		f->run->aborted = 1;
		return false;
	}
	f->regs[0] = exec(f->run, pc, &f->regs[1]);
	restore_prog(f);
	return !f->run->aborted;
}

static bool call_helper(struct frame *f, u64 id, s16 off)
{
	u64 *r = f->regs;

	f->run->callee = (u16)off;
	if (id >= EBPF_HELPER_CALLABLE)
		r[0] = (u64)-EINVAL;
	else
		r[0] = f->run->helpers[id](r[1], r[2], r[3], r[4], r[5], f->run);
	return !f->run->aborted;
}

/* The stack holds what earlier calls left; the slots a function may read first are cleared. */
static void clear_stack(struct frame *f, u32 pc)
{
	const struct ebpf_image *img = f->prog->image;
	const u32 *starts = ebpf_image_subprogs(img);
	u64 mask = ~0ULL;

	for (u32 s = 0; s < img->nsubprogs; s++)
		if (starts[s] == pc)
			mask = ebpf_image_zeros(img)[s];
	for (u32 slot = 0; mask; slot++, mask >>= 1)
		if (mask & 1)
			f->stack[ARRAY_SIZE(f->stack) - 1 - slot] = 0;
}

/* True when the frame now runs another program, from its start. */
static bool tail_call(struct frame *f)
{
	const struct ebpf_prog *next;

	next = ebpf_tail_call_target(f->run, (struct ebpf_map *)(uintptr_t)f->regs[2], f->regs[3]);
	if (!next)
		return false;
	frame_set_prog(f, next);
	f->regs[1] = (u64)(uintptr_t)f->run->ctx;
	clear_stack(f, 0);
	return true;
}

static bool do_call(struct frame *f, const struct bpf_insn *in, u32 *pc)
{
	if (BPF_SRC(in->code) == BPF_X)
		return call_helper(f, f->regs[in->dst_reg], 0);
	if (in->src_reg == BPF_PSEUDO_CALL)
		return call_bpf(f, *pc + (u32)in->imm);
	if (in->imm != HELPER_TAIL_CALL)
		return call_helper(f, (u32)in->imm, in->off);
	if (tail_call(f))
		*pc = 0;
	return true;
}

static bool is_subprog(const struct ebpf_image *img, u32 pc)
{
	const u32 *starts = ebpf_image_subprogs(img);
	u32 i;

	for (i = 1; i < img->nsubprogs; i++)
		if (starts[i] == pc)
			return true;
	return false;
}

static u64 callback(struct ebpf_run *run, u64 fn, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	const struct ebpf_prog *prog = run->prog;
	const u64 args[5] = {r1, r2, r3, r4, r5};
	struct interp *it = run->engine;
	u64 ret;

	if ((fn & FUNC_MASK) != FUNC_TAG || it->depth >= MAX_DEPTH ||
	    !is_subprog(prog->image, (u32)fn)) {
		run->aborted = 1;
		return 1;
	}
	ret = exec(run, (u32)fn, args);
	run->prog = prog;
	run->refs = prog->refs;
	return run->aborted ? 1 : ret;
}

/* --- the loop -------------------------------------------------------------------------------- */

static u64 run_frame(struct frame *f, u32 pc)
{
	for (;;) {
		const struct bpf_insn *in = &f->insns[pc++];
		bool ok = true;

		switch (BPF_CLASS(in->code)) {
		case BPF_ALU:
		case BPF_ALU64:
			do_alu(f, in);
			break;
		case BPF_LDX:
			ok = do_load(f, in);
			break;
		case BPF_ST:
			ok = do_store(f, in);
			break;
		case BPF_STX:
			ok = BPF_MODE(in->code) == BPF_ATOMIC ? do_atomic(f, in) : do_store(f, in);
			break;
		case BPF_LD:
			do_lddw(f, in);
			pc++;
			break;
		default:
			if (in->code == (BPF_JMP | BPF_EXIT))
				return f->regs[0];
			if (BPF_OP(in->code) == BPF_CALL)
				ok = do_call(f, in, &pc);
			else
				pc += (u32)jump(f, in);
		}
		if (unlikely(!ok))
			return 0;
	}
}

static u64 exec(struct ebpf_run *run, u32 pc, const u64 args[5])
{
	struct interp *it = run->engine;
	struct frame f;
	u64 ret;
	u32 i;

	f.run = run;
	frame_set_prog(&f, run->prog);
	for (i = 0; i < ARRAY_SIZE(f.regs); i++)
		f.regs[i] = i >= 1 && i <= 5 ? args[i - 1] : 0;
	f.regs[BPF_REG_10] = (u64)(uintptr_t)(f.stack + ARRAY_SIZE(f.stack));
	clear_stack(&f, pc);
	it->depth++;
	ret = run_frame(&f, pc);
	it->depth--;
	return ret;
}

static u64 start(struct ebpf_run *run, u32 pc, const u64 args[5])
{
	struct interp it = {0};
	u64 ret;

	run->engine = &it;
	run->callback = callback;
	ret = exec(run, pc, args);
	run->engine = NULL;
	return run->aborted ? 0 : ret;
}

u64 ebpf_interp(void *ctx, struct ebpf_run *run)
{
	const u64 args[5] = {(u64)(uintptr_t)ctx};

	return start(run, 0, args);
}

u64 ebpf_interp_call(void *ctx, struct ebpf_run *run)
{
	const struct ebpf_interp_call *call = ctx;

	return start(run, call->pc, call->args);
}

bool ebpf_interp_callback(const struct ebpf_image *img, u64 fn, u32 *pc)
{
	if ((fn & FUNC_MASK) != FUNC_TAG || !is_subprog(img, (u32)fn))
		return false;
	*pc = (u32)fn;
	return true;
}
