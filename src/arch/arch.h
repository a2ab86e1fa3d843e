/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What depends on the instruction set. One folder per arch provides all of it; arch/generic/ is the
 * fallback (interpreter only, nothing patched: every arch_patch_* refuses with -EOPNOTSUPP,
 * arch_jit() likewise).
 *
 * Everything declared here is pure or works on the caller's buffers; it is safe in any context
 * unless it says otherwise. Who writes text, maps memory or takes a signal is osl/ and the agent.
 */
#pragma once

#include "base/macros.h"
#include "arch_regs.h" /* struct arch_regs: the registers as the kernel's pt_regs lays them out; from arch/<cpu>/ */

struct ebpf_image;

/* --- decoding and patching
 * ------------------------------------------------------------------------------------ */

#define ARCH_MAX_INSN 16
#define ARCH_SLOT_SIZE 64
#define ARCH_BREAK 0xcc	 /* x86-64's int3; its first byte where a port has more */
#define ARCH_BREAK_LEN 1 /* bytes of the break instruction that is written over a site */
#define ARCH_NOP 0x90	 /* as long as that */

/* how a displaced instruction gets executed */
enum arch_patch_kind {
	ARCH_PATCH_NONE,
	ARCH_PATCH_SKIP,     /* a nop: continue behind it */
	ARCH_PATCH_SLOT,     /* run the copy in the slot, which ends in a jump back */
	ARCH_PATCH_PUSH,     /* push reg (reg) or imm */
	ARCH_PATCH_JMP,	     /* ip = target */
	ARCH_PATCH_CALL,     /* push next; ip = target */
	ARCH_PATCH_JCC,	     /* condition code in cond; ip = target when it holds */
	ARCH_PATCH_LOOP,     /* loop, loope, loopne, jrcxz by opcode in cond; reg = 4 for the 32-bit
				forms */
	ARCH_PATCH_RET,	     /* pop ip; sp += imm */
	ARCH_PATCH_JMP_IND,  /* ip = operand */
	ARCH_PATCH_CALL_IND, /* push next; ip = operand */
	ARCH_PATCH_KINDS
};

/* a memory or register operand of an indirect branch */
struct arch_operand {
	u8 is_reg; /* reg holds the register */
	u8 reg;	 /* index into the x86 numbering: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7
		    rdi, 8.. r8 */
	u8 base; /* register or ARCH_NO_REG; absolute address in disp when neither base nor index */
	u8 index;  /* register or ARCH_NO_REG */
	u8 scale;  /* 1, 2, 4, 8 */
	u8 addr32; /* address is truncated to 32 bits */
	u8 seg; /* 0, or 4 for fs, 5 for gs: refused at planning unless the trap side can know the
		   base */
	u8 pad;
	s64 disp; /* displacement; for ip-relative operands the absolute address */
};
#define ARCH_NO_REG 0xff

/*
 * The plan for one instruction: made in the daemon by arch_patch_plan(), sent to the agent,
 * executed by arch_patch_step(). No pointers; every field is checked by arch_patch_valid() before
 * the agent uses it.
 */
struct arch_patch {
	u8 kind; /* enum arch_patch_kind */
	u8 len;	 /* of the displaced instruction */
	u8 cond;
	u8 reg;
	s32 imm;
	u64 addr;   /* of the instruction */
	u64 target; /* of direct branches */
	struct arch_operand op;
	u64 slot; /* address of the slot, 0 when the kind needs none */
	u8 slot_len;
	u8 pad[7];
	u8 insn[ARCH_MAX_INSN]; /* the displaced bytes, as expected in memory */
	u8 slot_bytes[ARCH_SLOT_SIZE];
};

/* why an instruction can't be probed: the reasons callers tell apart; an arch adds its own behind
 */
enum arch_refusal {
	ARCH_REFUSED_UNKNOWN = 1, /* does not decode */
	ARCH_REFUSED_CUT,	  /* the bytes end within it */
	ARCH_REFUSED_BREAK,	  /* a break instruction already */
	ARCH_REFUSED_SYSCALL,	  /* a system call: see arch_patch_plan_syscall() */
	ARCH_REFUSED_ARCH,	  /* first of the arch's own */
};
/* A short phrase for the sentence "cannot probe X: <phrase>"; @reason as arch_patch_plan() returned
 * it. */
const char *arch_patch_refusal(int reason);

/*
 * Length of the instruction at @code, of which @len bytes are readable; -EINVAL when it does not
 * decode, -ENODATA when it is cut off. Own table-driven decoder: an unknown opcode is refused,
 * never guessed.
 */
int arch_insn_len(const u8 *code, size_t len);

/*
 * Plan the probe of the instruction at @addr whose bytes are @code (@len readable). 0, or a
 * negative reason for arch_patch_refusal(). @out->slot is 0; kinds that need a slot report so
 * through arch_patch_needs_slot().
 */
int arch_patch_plan(const u8 *code, size_t len, u64 addr, struct arch_patch *out);
bool arch_patch_needs_slot(const struct arch_patch *p);
/*
 * The same for a system call instruction whose number @nr the caller has proved. Without that
 * arch_patch_plan() refuses: the one that returns from a signal handler must stay where unwinders
 * look for it.
 */
int arch_patch_plan_syscall(const u8 *code, size_t len, u64 addr, u32 nr, struct arch_patch *out);
/*
 * Does @code begin with an instruction that loads a constant system call number, followed by the
 * system call, with at most a few instructions in between that certainly leave the number alone?
 * Then *nr is the number, and the offset of the system call instruction (less than
 * ARCH_SYSCALL_SITE_MAX) comes back; else -ENOENT. @call_len receives the length of that
 * instruction.
 */
#define ARCH_SYSCALL_SITE_MAX 128
int arch_syscall_site(const u8 *code, size_t len, u32 *nr, u32 *call_len);
/*
 * Where does control leave the function that @code is all of? Offsets of its returns and of its
 * jumps to a landing pad: how many, -EINVAL when it doesn't decode, -ENOSPC for more than @max.
 * With @lands it is one that unwinds for good: -ENOENT when no exit of it takes another stack
 * pointer along.
 */
int arch_unwind_exits(const u8 *code, size_t len, bool lands, u32 *offsets, u32 max);
/*
 * Where does the function that @code is all of return? Offsets: how many, -EINVAL when it doesn't
 * decode, -ENOSPC for more than @max, -EXDEV when it is also left by a jump (of which indirect ones
 * are a table's with @tables). *at is where that was found.
 */
int arch_returns(const u8 *code, size_t len, bool tables, u32 *offsets, u32 max, u32 *at);
/*
 * The same, but jumps away that are certainly taken are among them, and others are -EXDEV: where
 * control leaves the function, with what was on top of the stack when it was entered.
 */
int arch_leaves(const u8 *code, size_t len, u32 *offsets, u32 max);
/*
 * Where may the function that @code is all of read its return address, other than by returning? At
 * @at, where that is the word at DWARF register @reg plus @disp; @certain: it is; @follow: what
 * is so many bytes behind the start of @code may, to which it leaves with the stack untouched. How
 * many there are, of @max at most, or -EINVAL when the first instructions don't decode.
 */
struct arch_look {
	u32 at, reg;
	s64 disp, follow;
	bool certain;
};
int arch_looks(const u8 *code, size_t len, struct arch_look *v, u32 max);
/* A return is executed as it is, in a slot: where there is a shadow stack. False: it is a call. */
bool arch_patch_native(struct arch_patch *p);
/* ELF e_machine of what can be probed here, 0 when nothing can. */
extern const u16 arch_elf_machine;

/* Where may a slot for @p be? Inclusive range of slot addresses from which displacements and the
 * jump back reach. */
void arch_patch_slot_range(const struct arch_patch *p, u64 *lo, u64 *hi);

/* Fill slot_bytes for a slot at @slot. 0, -ERANGE when it is out of reach, -EINVAL when the copy,
 * decoded again, is not the same instruction. */
int arch_patch_relocate(struct arch_patch *p, u64 slot);

/* Is @p well-formed (kind, registers, lengths in range)? For the agent, which trusts nobody's
 * arithmetic. */
bool arch_patch_valid(const struct arch_patch *p);

/*
 * Do what the displaced instruction does: changes @regs (ip included), reads and writes the
 * target's memory only through osl_read()/osl_write(). 0, or -EFAULT: the CPU would have raised a
 * fault (an access that can't be, a target that no address can be); then *regs is unchanged.
 */
int arch_patch_step(const struct arch_patch *p, struct arch_regs *regs);
/*
 * What the CPU would have raised when arch_patch_step() failed. False: nothing, by now. When a page
 * is at fault *out is all that the kernel says of it, else only its trap is set.
 */
struct osl_fault;
bool arch_patch_fault(const struct arch_patch *p, const struct arch_regs *regs,
		      struct osl_fault *out);
/*
 * A thread was stopped right behind the first byte of @p, where a break is, for a reason of its
 * own, and the last trap was a break's: has it executed the instruction (true), or that break,
 * without it being told? Inside of an instruction nobody is but for a break. Of a short one it is
 * told by what it leaves behind: as far as that can be.
 */
bool arch_patch_done(const struct arch_patch *p, const struct arch_regs *regs);

/* --- a jump instead of the break
 * ------------------------------------------------------------------------------------ */

#define ARCH_JUMP 0xe9		  /* the first byte of a jump that is written over a site */
#define ARCH_CALL 0xe8		  /* that of a call, which is as long */
#define ARCH_UNDEFINED 0x0f, 0x0b /* an instruction that no CPU executes */
#define ARCH_JUMP_LEN 5
#define ARCH_STUB_SIZE 64
/* A stub's *record*, of as many bytes, is so far behind it: its first quad is where it calls. */
#define ARCH_STUB_RECORDS 16384

/*
 * A site whose instruction leads into a *stub*: that calls the agent with the registers, executes
 * the displaced instruction and goes on behind it. No signal, no system call. Made in the daemon;
 * the agent has a break there first, and goes back to it before it restores anything.
 */
struct arch_jump {
	u64 to;	     /* where the jump at the site leads; 0: there is none, the break stays */
	u64 stub;    /* the same, or @to only holds a jump to it */
	u8 stub_len; /* of .bytes */
	u8 tail;     /* offset of the displaced instruction: the stack is the application's again */
	u8 tail_len; /* its bytes; behind them are */
	u8 follow;   /* so many of those that follow it in the text, then a jump */
	u8 own;	  /* bytes at the site that the jump changes: its instruction's, or more of those */
	u8 inner; /* which of them, as bits, begin others of those: they are break instructions */
	u8 pad[2];
	u8 bytes[ARCH_STUB_SIZE];
};

/*
 * Where may a jump at the site of @p lead when no byte behind its instruction changes? @text: @len
 * bytes at the site. True and the inclusive range; false when no jump fits, or @p is of a kind that
 * a stub doesn't execute.
 */
bool arch_jump_range(const struct arch_patch *p, const u8 *text, size_t len, u64 *lo, u64 *hi);
/* Is @p of a kind that a stub executes? */
bool arch_jump_executes(const struct arch_patch *p);
/*
 * How many bytes of the @len of @text, the site's, can be executed in the stub as they are, behind
 * the displaced instruction: whole instructions up to the first that begins behind the jump, none
 * of which minds where it is or leads elsewhere. 0: there is one that does, or there are none.
 * A jump's own bytes can then stay unexecuted: CPUs that predict a branch there, where another
 * instruction is, begin anew.
 */
u32 arch_jump_follows(const struct arch_patch *p, const u8 *text, size_t len);
/*
 * The stub of @p at @stub, which calls what the quad at @entry points to, and executes @follow
 * bytes of @text behind the displaced instruction. 0, or -ERANGE when something is out of reach of
 * it. @out->to is set to @stub. What it calls returns to a jump, which goes where the quad 24 bytes
 * below the stack pointer says: behind that jump, ARCH_STUB_BACK, or somewhere from where it comes
 * there with the same stack pointer.
 */
int arch_jump_stub(const struct arch_patch *p, const u8 *text, u32 follow, u64 stub, u64 entry,
		   struct arch_jump *out);
/* Is @j well-formed for @p? For the agent, as arch_patch_valid(). Any context. */
bool arch_jump_valid(const struct arch_patch *p, const struct arch_jump *j);
/*
 * Does the function whose code @code is branch to a place between @from and @to, both excluded?
 * Also true where that can't be told.
 */
bool arch_branches_into(const u8 *code, size_t len, u32 from, u32 to);
/* The byte at offset @i of the site as it is without us, @i below @j->own. Any context. */
static inline u8 arch_jump_was(const struct arch_patch *p, const struct arch_jump *j, u32 i)
{
	return i < p->len ? p->insn[i] : j->bytes[j->tail + j->tail_len + i - p->len];
}
/*
 * Where the stub executes the instruction that begins at offset @i of the site, one of @j->inner:
 * the way on for a thread that has met the break there. Any context.
 */
static inline u64 arch_jump_inner(const struct arch_patch *p, const struct arch_jump *j, u32 i)
{
	return j->stub + j->tail + j->tail_len + i - p->len;
}
/*
 * As arch_patch_done(), of the instruction that begins there. Few come to the break, and all of the
 * others to what is right behind a short one: what can't be told has been executed.
 */
bool arch_jump_done(const struct arch_patch *p, const struct arch_jump *j, u32 i,
		    const struct arch_regs *regs);
/*
 * The head of a stub, up to and with its call: is this one, at @stub, and of which site? And how
 * many bytes is the stack pointer below where it was, before the instruction at @offset of it? Any
 * context.
 */
#define ARCH_STUB_HEAD 16
#define ARCH_STUB_BACK (ARCH_STUB_HEAD + 4)
bool arch_jump_site(const u8 *head, u64 stub, u64 *site);
u32 arch_jump_depth(u32 offset);
/* The bytes of a jump at @from to @to, which is in reach. Any context. */
void arch_jump_bytes(u64 from, u64 to, u8 out[ARCH_JUMP_LEN]);
/* Where that leads to when those of its bytes, as bits, are break instructions. Any context. */
u64 arch_jump_astray(u64 from, u64 to, u32 breaks);
/* Every set of bytes behind an instruction of @len bytes, as bits, but the empty one. */
#define arch_for_each_breaks(breaks, len)                                                          \
	for (u32 breaks = 1u << (len); breaks < 1u << ARCH_JUMP_LEN; breaks += 1u << (len))

/* --- system calls in code ----------------------------------------------------------------------
 */

#define ARCH_SYSCALL_LEN 2 /* bytes of the instruction */
#define ARCH_SYSCALL_TEXT 12
#define ARCH_SIGRETURN_LEN 9

/* Are the ARCH_SYSCALL_LEN bytes at @code a system call? Any context, as all of these. */
bool arch_is_syscall(const u8 *code);
/*
 * The number of the system call that @text ends with, when it is seen to be loaded there, or -1:
 * that can't be told, or isn't there. (Whether it is a system call: arch_is_syscall().)
 */
int arch_syscall_number(const u8 text[ARCH_SYSCALL_TEXT]);
/*
 * Where does the system call end that begins with the instruction of @p: itself, or the load of its
 * number right before it? 0: there is none. @nr: its number, of a thread with @regs there.
 */
u64 arch_syscall_end(const struct arch_patch *p, const struct arch_regs *regs, u64 *nr);
/* Does @code return from a signal handler, in a form that unwinders know? */
bool arch_is_sigreturn(const u8 code[ARCH_SIGRETURN_LEN]);

/* --- raw system calls, thread pointer
 * ------------------------------------------------------------------------- */

static inline long arch_syscall6(long nr, long a, long b, long c, long d, long e, long f);
static inline u64 arch_thread_pointer(void);
static inline u64 arch_thread_self(void);
static inline bool arch_thread_self_failed(struct arch_regs *regs);
static inline void arch_relax(void);
static inline void arch_count(u64 *counter);

#include "arch_inline.h" /* the static inlines above; from arch/<cpu>/ */

/* --- BPF code
 * -------------------------------------------------------------------------------------------------
 */

/* What arch_jit() emitted: the code and, behind it, its table of faults. */
struct arch_code {
	u32 len;    /* of both, bytes */
	u32 size;   /* of the code */
	u32 entry;  /* offset of `u64 entry(void *ctx, struct ebpf_run *run)` */
	u32 faults; /* offset of struct ebpf_image_fault[nfaults] */
	u32 nfaults;
};

/*
 * Emit position-independent code for the instructions of @img (checked, in image form) into @out,
 * at most @cap bytes. 0, -ENOSPC (double @cap and retry), -EOPNOTSUPP (no JIT here, or an
 * instruction the JIT leaves to the interpreter). Pure; process context.
 */
int arch_jit(const struct ebpf_image *img, u8 *out, size_t cap, struct arch_code *code);

/*
 * A program as a *leaf*: code that stubs call in place of the agent, for programs that need nothing
 * of it. It is on the thread's own stack, changes nothing that the thread has, not even flags, and
 * counts the hit itself. A page of the process's own is right behind its page, and has:
 */
#define ARCH_LEAF_MAX 4096u
enum arch_leaf_own {
	ARCH_LEAF_ENTRIES, /* address of the table of threads (agent/leaf.c) */
	ARCH_LEAF_LIFE,	   /* address of the life page */
	ARCH_LEAF_AGENT,   /* where to go when the hit is the agent's, as stubs do; */
	ARCH_LEAF_CLAIM,   /* and when the thread's entry is not its own: rcx is its address */
	ARCH_LEAF_REFS,	   /* the image's references follow */
};
/* An entry of that table is found by the thread pointer's lower half: a hash of so many bits. */
#define ARCH_LEAF_HASH (-1640531535) /* 2^32 / phi */
#define ARCH_LEAF_HASH_BITS 9
#define ARCH_LEAF_ENTRY_SHIFT 5
/* log2 of how far apart the stack pointers of a thread's hits may be */
#define ARCH_LEAF_WINDOW 18
/* words of a stub's record */
enum arch_leaf_record {
	ARCH_LEAF_REC_CALL,
	ARCH_LEAF_REC_STAT, /* from a lane's start to the counter */
	ARCH_LEAF_REC_SITE,
	ARCH_LEAF_REC_AGENT, /* what is called where no leaf is */
};
/*
 * Up to here of a leaf nothing of the thread's has changed; the same but for rax; and up to
 * .commit, and from .cold on, rax, rcx and the flags (as lahf; seto %al have them) are at -8, -16
 * and -24 from the stack pointer, which has not changed yet.
 */
#define ARCH_LEAF_KEPT 18
#define ARCH_LEAF_FLAGS 26
struct arch_leaf {
	u32 len;
	u32 commit; /* from here on the hit counts, and the stack pointer is .depth lower */
	u32 cut;    /* where the program has ended, or is to end */
	u32 ret;    /* its return: the stack pointer is where it was */
	u32 cold;
	u32 depth;
};
/* At most ARCH_LEAF_MAX bytes. -EOPNOTSUPP: the program can't be one. As arch_jit(). */
int arch_jit_leaf(const struct ebpf_image *img, u8 *out, struct arch_leaf *leaf);

/* For tests whose helpers are not the real ones: code calls those that only tell or copy, too. */
extern bool arch_jit_asks;

/* ELF machine number of the code arch_jit() emits (EM_X86_64), 0 when there is none. */
extern const u32 arch_jit_machine;

/*
 * A call of a function of the application's, which may change every register. What the application
 * has in those that C code of ours doesn't use is kept meanwhile: so many bytes, aligned to 64; 0:
 * it can't be, and none of these is called.
 */
u32 arch_state_size(void);
void arch_state_keep(u8 *state);
void arch_state_give_back(const u8 *state);
/*
 * What the function gets in its first @n registers for floating-point numbers, and gave in the
 * first two; by way of ARCH_CALL_REGISTERS bytes, aligned to 64.
 */
#define ARCH_CALL_REGISTERS 512u
void arch_call_set(u8 *registers, const u64 *vector, u32 n);
void arch_call_get(u8 *registers, u64 *first, u64 *second);

/*
 * Call @fn(ctx, run) with a way back: run->recover describes this call, so that
 * arch_prog_recover() can make it return 0. Any context.
 */
struct ebpf_run;
typedef u64 (*arch_prog_fn)(void *ctx, struct ebpf_run *run);
u64 arch_prog_enter(arch_prog_fn fn, void *ctx, struct ebpf_run *run);

/*
 * From a helper: arch_prog_enter() returns 0 at once. Comes back where the arch has no such way;
 * there only the interpreter runs, which looks at run->aborted after every call.
 */
void arch_prog_leave(struct ebpf_run *run);

/*
 * Change @regs, taken inside the call that filled @recover, so that arch_prog_enter() returns 0.
 * False where the arch has no such way; then *regs is unchanged.
 */
bool arch_prog_recover(struct arch_regs *regs, const u64 *recover);

/* The execution that JIT code interrupted at @regs belongs to (unverified), NULL without a JIT. */
struct ebpf_run *arch_prog_run_of(const struct arch_regs *regs);
