/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planning a jump instead of a break.
 *
 * Model: the five bytes of a `jmp rel32` begin at the site, but only those of the site's own
 * instruction may change: threads are parked behind it, and loops lead there. Of a shorter
 * instruction the rest of the displacement is what already lies there, so the jump leads into a
 * range that the following code dictates. The *stub* it leads to steps over the red zone, calls the
 * agent with its distance from the site on the stack, and executes the displaced instruction with
 * the stack as it was, and those that follow it up to where the jump ends, where they can be: a CPU
 * that has learnt where the jump is begins anew each time it finds others there. It has no state:
 * signals, fork, longjmp and the death of a thread inside are harmless. Pure; process context.
 *
 * Where that range is not free the jump may be over the instructions that follow, too, as far as
 * the stub executes them. Where one of them begins a byte of the displacement is then a break
 * instruction: who goes on there, or comes there, goes on in the stub.
 */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/insn.h"
#include "arch/x86_64/patch.h"

#define RED_ZONE 128

static s32 displacement(const u8 *text)
{
	s32 rel;

	memcpy(&rel, text + 1, sizeof(rel));
	return rel;
}

/*
 * Old code jumps over the prefix where there is only one thread: that is within the instruction,
 * the one place known where somebody goes to.
 */
static bool has_lock(const struct arch_patch *p)
{
	static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3};
	u8 i = 0;

	while (i < p->len && memchr(prefixes, p->insn[i], sizeof(prefixes)))
		i++;
	return i < p->len && p->insn[i] == 0xf0;
}

static bool executable_in_stub(const struct arch_patch *p)
{
	if (has_lock(p))
		return false;
	switch (p->kind) {
	case ARCH_PATCH_SKIP:
	case ARCH_PATCH_SLOT:
	case ARCH_PATCH_PUSH:
	case ARCH_PATCH_JMP:
	case ARCH_PATCH_CALL:
	case ARCH_PATCH_JCC:
	case ARCH_PATCH_RET:
		return true;
	default:
		return false;
	}
}

bool arch_jump_executes(const struct arch_patch *p)
{
	return executable_in_stub(p);
}

bool arch_jump_range(const struct arch_patch *p, const u8 *text, size_t len, u64 *lo, u64 *hi)
{
	u32 chosen = p->len - 1, bits = 8 * MIN(chosen, 4u);
	s64 first, span = (1ll << bits) - 1, from = (s64)(p->addr + ARCH_JUMP_LEN);

	if (len < ARCH_JUMP_LEN || !executable_in_stub(p))
		return false;
	if (chosen >= 4)
		first = INT32_MIN;
	else
		first = displacement(text) & ~(s32)span;
	/* nothing is on the first page, or below */
	if (from + first + span < (s64)EBPFRT_PAGE_SIZE)
		return false;
	*lo = (u64)MAX(from + first, (s64)EBPFRT_PAGE_SIZE);
	*hi = (u64)(from + first + span);
	return *hi < 1ull << 47;
}

/* --- what follows the instruction --- */

/* By its one-byte opcode: moves, sums and comparisons, also of the stack pointer, and returns. */
static bool is_plain_op(const struct arch_insn *in)
{
	u8 op = in->opcode;

	if (op < 0x40)
		return (op & 7) < 6;
	if (op >= 0x80 && op <= 0x8b)
		return op != 0x82;
	if (op == 0xc6 || op == 0xc7)
		return insn_reg(in) == 0; /* others begin a transaction */
	return (op >= 0x50 && op <= 0x5f) || op == 0x63 || op == 0x68 || op == 0x6a || op == 0x8d ||
	       op == 0x90 || (op >= 0xb0 && op <= 0xbf) || op == 0xc3;
}

/* By its opcode behind 0f: no-ops, conditional and widening moves. */
static bool is_plain_0f(const struct arch_insn *in)
{
	u8 op = in->opcode;

	return op == 0x1f || (op & 0xf0) == 0x40 || (op & 0xf6) == 0xb6;
}

/* Does the same wherever it is, and goes on behind it without delay. */
static bool is_plain(const struct arch_insn *in)
{
	if (in->encoding != INSN_LEGACY || in->rip_relative ||
	    in->prefixes & (INSN_P_LOCK | INSN_P_REP | INSN_P_REPNE | INSN_P_ADDRSIZE))
		return false;
	return in->map == 0 ? is_plain_op(in) : in->map == 1 && is_plain_0f(in);
}

static bool goes_on(const struct arch_patch *p)
{
	return p->kind == ARCH_PATCH_SKIP || p->kind == ARCH_PATCH_SLOT ||
	       p->kind == ARCH_PATCH_PUSH;
}

u32 arch_jump_follows(const struct arch_patch *p, const u8 *text, size_t len)
{
	struct arch_insn in;
	u32 at = p->len;

	if (!goes_on(p))
		return 0;
	for (; at < ARCH_JUMP_LEN; at += in.len)
		if (at >= len || arch_insn_decode(text + at, len - at, &in) || !is_plain(&in))
			return 0;
	return at - p->len;
}

static bool is_branch(const struct arch_insn *in)
{
	u8 op = in->opcode;

	if (in->encoding != INSN_LEGACY)
		return false;
	if (in->map == 1)
		return (op & 0xf0) == 0x80;
	return in->map == 0 &&
	       ((op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0 || op == 0xe9 || op == 0xeb);
}

bool arch_branches_into(const u8 *code, size_t len, u32 from, u32 to)
{
	struct arch_insn in;

	for (size_t at = 0; at < len; at += in.len) {
		s64 target;

		if (arch_insn_decode(code + at, len - at, &in))
			return true;
		target = (s64)(at + in.len) + in.imm;
		if (is_branch(&in) && target > (s64)from && target < (s64)to)
			return true;
	}
	return false;
}

/* --- the stub --- */

struct stub {
	u64 at;
	u8 bytes[ARCH_STUB_SIZE + ARCH_MAX_INSN];
	u8 len;
};

static void put(struct stub *s, const void *bytes, u8 len)
{
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static void put32(struct stub *s, const char *opcode, u8 len, s64 value)
{
	s32 v = (s32)value;

	put(s, opcode, len);
	put(s, &v, sizeof(v));
}

static u64 here(const struct stub *s)
{
	return s->at + s->len;
}

static void put_jump(struct stub *s, u64 to)
{
	s->len += patch_put_jump(s->bytes + s->len, here(s), to);
}

static bool near(u64 from, u64 to)
{
	s64 d = (s64)(to - from);

	return d == (s32)d;
}

/*
 * The agent learns the site from the distance between it and the return address, and may have the
 * stub go on by a call of its own, behind which the CPU expects the function to return (entry.S).
 */
static int put_call(struct stub *s, const struct arch_patch *p, u64 entry)
{
	u64 behind = s->at + ARCH_STUB_HEAD;

	if (!near(behind, p->addr) || !near(behind, entry))
		return -ERANGE;
	put(s, "\x48\x8d\x64\x24\x80", 5);			 /* lea -128(%rsp),%rsp */
	put32(s, "\x68", 1, (s64)(p->addr - behind));		 /* push $distance */
	put32(s, "\xff\x15", 2, (s64)(entry - behind));		 /* call *entry(%rip) */
	put(s, "\xff\x64\x24\xe8", 4);				 /* jmp *-24(%rsp) */
	put32(s, "\x48\x8d\xa4\x24", 4, RED_ZONE + sizeof(u64)); /* lea 136(%rsp),%rsp */
	return 0;
}

/* What a call would push is where the displaced one came from. */
static void put_push64(struct stub *s, u64 value)
{
	put32(s, "\x68", 1, (s64)value);		     /* push $low */
	put32(s, "\xc7\x44\x24\x04", 4, (s64)(value >> 32)); /* movl $high,4(%rsp) */
}

static int put_displaced(struct stub *s, const struct arch_patch *p)
{
	u64 next = p->addr + p->len;

	switch (p->kind) {
	case ARCH_PATCH_SLOT:
	case ARCH_PATCH_PUSH:
	case ARCH_PATCH_RET:
		if (patch_put_copy(p, here(s), s->bytes + s->len))
			return -ERANGE;
		s->len += p->len;
		return 0;
	case ARCH_PATCH_CALL:
		put_push64(s, next);
		return 0;
	case ARCH_PATCH_JCC:
		if (!near(here(s) + 6, p->target))
			return -ERANGE;
		put(s, "\x0f", 1);
		put32(s, (char[]){(char)(0x80 | p->cond)}, 1, (s64)(p->target - (here(s) + 5)));
		return 0;
	default:
		return 0;
	}
}

int arch_jump_stub(const struct arch_patch *p, const u8 *text, u32 follow, u64 stub, u64 entry,
		   struct arch_jump *out)
{
	bool to_target = p->kind == ARCH_PATCH_JMP || p->kind == ARCH_PATCH_CALL;
	struct arch_jump j = {
		.to = stub, .stub = stub, .own = (u8)MIN((u32)p->len, (u32)ARCH_JUMP_LEN)};
	struct stub s = {.at = stub};

	if (!executable_in_stub(p) || put_call(&s, p, entry))
		return -ERANGE;
	j.tail = s.len;
	if (put_displaced(&s, p))
		return -ERANGE;
	j.tail_len = s.len - j.tail;
	if (s.len + follow + FAR_JUMP_MAX <= ARCH_STUB_SIZE) {
		j.follow = (u8)follow;
		put(&s, text + p->len, j.follow);
	}
	put_jump(&s, to_target ? p->target : p->addr + p->len + j.follow);
	if (s.len > ARCH_STUB_SIZE)
		return -ERANGE;
	j.stub_len = s.len;
	memcpy(j.bytes, s.bytes, s.len);
	*out = j;
	return 0;
}
