/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every form of instruction that libc, libcrypto and libstdc++ consist of, with the CPU as the
 * oracle: it runs natively and as a displaced one (emulated, or from its slot), and all registers,
 * flags, vector and x87 state, memory, and the signal that it may end in must come out alike. Then
 * the same bytes, and random ones, at the end of a page: the CPU says how long they are.
 *
 * What can't be run by a user, or would leave the process, is listed by name with the reason.
 * EBPFRT_TEST_WHOLE=1 tries ten times as many states.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <capstone/capstone.h>
#include <criterion/criterion.h>

#include "forms.h"
#include "machine.h"
#include "osl/osl_trap.h"
#include "probe/probe_priv.h"

#define PAGE 4096
#define MIDDLE 0x8000 /* of the data: where operands are */
#define STACK 0xc000
#define FLAG_DF 0x400
#define FLAG_AC 0x40000
#define ELSEWHERE 0x300000000000 /* nothing is mapped near */

/* What the step is given is in the data area, or nowhere; its own variables are on the stack. */
static bool nowhere(const void *p, size_t len)
{
	u64 at = (u64)p - (u64)machine_data, own_stack = (u64)p - (u64)&at;

	return at > MACHINE_AREA - len && own_stack > 4096;
}

int osl_read(void *dst, const void *src, size_t len)
{
	if (nowhere(src, len) || nowhere(dst, len))
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int osl_write(void *dst, const void *src, size_t len)
{
	return osl_read(dst, src, len);
}

/* The CPU says it: movzbl (%rdi),%eax; lock orb $0,(%rdi) */
int osl_touch(u64 addr, bool write, struct osl_fault *out)
{
	static const u8 read_code[] = {0x0f, 0xb6, 0x07, 0xcc},
			write_code[] = {0xf0, 0x80, 0x0f, 0};
	static struct machine m;
	u8 *at = machine_code;

	m.regs = (struct arch_regs){.di = addr, .ip = (u64)at, .flags = MACHINE_FLAGS_FIXED};
	machine_fill_xstate(&m, 0);
	memcpy(at, write ? write_code : read_code, 4);
	machine_run(&m);
	memset(at, 0xcc, 4);
	*out = (struct osl_fault){m.sig, m.code, m.addr, (u32)m.trapno, (u32)m.err};
	return m.sig == SIGTRAP ? 0 : -EFAULT;
}

static struct forms forms;
static csh capstone;
static u64 seed;

static void setup(void)
{
	const char *given = getenv("EBPFRT_TEST_SEED");
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one); /* cpuid tells */
	if (!machine_setup(false))
		cr_skip_test("no writable and executable memory here");
	if (given)
		machine_seed = strtoull(given, NULL, 0);
	seed = machine_seed;
	for (size_t i = 0; i < ARRAY_SIZE(forms_libraries); i++)
		forms_collect(forms_libraries[i], &forms);
	if (!forms.n)
		cr_skip_test("none of the libraries is here");
	cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &capstone), 0);
	fprintf(stderr, "%lu instructions, %zu forms; EBPFRT_TEST_SEED=%#lx\n", forms.instructions,
		forms.n, seed);
}

TestSuite(forms, .init = setup, .timeout = 120);

/* "66 0f 6f 05 .. : movdqa xmm0, ..." */
static const char *name_of(const u8 *bytes, size_t len)
{
	static char text[256];
	cs_insn *insn;
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x ", bytes[i]);
	if (cs_disasm(capstone, bytes, len, 0, 1, &insn) != 1)
		return text;
	snprintf(text + n, sizeof(text) - n, "(%s %s)", insn->mnemonic, insn->op_str);
	cs_free(insn, 1);
	return text;
}

/* --- a state in which an instruction has something to do --- */

static u32 wild; /* one in so many operands is nowhere */

static u64 pointer(void)
{
	static const u64 nowheres[] = {0x8000000000000000, 0x7fff00000000000, 0x1000};

	if (wild && machine_random() % wild == 0)
		return nowheres[machine_random() % 3];
	return (u64)machine_data + MIDDLE + (machine_random() & 0xfc0) +
	       (machine_random() % 4 ? 0 : machine_random() & 0x3f);
}

/* Into the code area, which holds breaks there. */
static u64 target(void)
{
	return (u64)machine_code + 0x8000 + machine_random() % 0x4000;
}

static u8 extended(u8 low, u8 rex, u8 bit)
{
	return (low & 7) | (rex & bit ? 8 : 0);
}

/* VSIB: the index is a vector, its elements have to be small. */
static bool is_gather(const struct arch_insn *in)
{
	return in->encoding >= INSN_VEX && in->map == 2 &&
	       ((in->opcode >= 0x90 && in->opcode <= 0x93) ||
		(in->encoding == INSN_EVEX && in->opcode >= 0xa0 && in->opcode <= 0xa3));
}

static void aim_sib(const struct arch_insn *in, struct machine *m, u64 at)
{
	u8 base = extended(in->sib, in->rex, INSN_REX_B);
	u8 index = extended(in->sib >> 3, in->rex, INSN_REX_X), scale = in->sib >> 6;
	bool no_base = !insn_mod(in) && (in->sib & 7) == 5;
	u64 *b = machine_word(&m->regs, base), *i = machine_word(&m->regs, index);

	if (is_gather(in) || index == 4) {
		if (!no_base)
			*b = at;
	} else if (no_base) {
		*i = (u64)((s64)at >> scale);
	} else if (base == index) {
		*b = at / (1 + (1u << scale));
	} else {
		*i = machine_random() % 2 ? machine_random() % 64 : -(machine_random() % 64);
		*b = at - (*i << scale);
	}
}

/* The operand in memory is in the data. An EVEX disp8 counts in units that depend on the operand:
 * the middle of the area is far enough from its ends. */
static void aim(const struct arch_insn *in, u8 *bytes, u64 addr, struct machine *m)
{
	u64 at = pointer();
	bool scaled = in->encoding == INSN_EVEX && in->disp_len == 1;
	s32 disp;

	if (!in->has_modrm || insn_mod(in) == 3)
		return;
	if (in->rip_relative) {
		at = (u64)machine_data + MIDDLE + (machine_random() & 0xfff);
		disp = (s32)(at - (addr + in->len));
		memcpy(bytes + in->disp_off, &disp, sizeof(disp));
		return;
	}
	if (!scaled)
		at -= (u64)(s64)in->disp;
	else
		at = ((u64)machine_data + MIDDLE) & ~63ull;
	if (in->seg == 0x64) {
		m->fs_base = ELSEWHERE;
		at -= m->fs_base;
		if (in->has_sib && !insn_mod(in) && (in->sib & 7) == 5 && (in->sib >> 3 & 7) == 4)
			m->fs_base = pointer() - (u64)(s64)in->disp;
	}
	if (in->has_sib)
		aim_sib(in, m, at);
	else
		*machine_word(&m->regs, extended(in->modrm, in->rex, INSN_REX_B)) = at;
}

#define WRPKRU 0xef
/* Operands that are not in ModRM, or that must be tame for anything to happen. */
static void tame(const struct arch_insn *in, u8 *bytes, struct machine *m)
{
	u8 reg = extended(insn_reg(in), in->rex, INSN_REX_R);
	bool bits = forms_is(in, 1, 0xa3, 0xa3) || forms_is(in, 1, 0xab, 0xab) ||
		    forms_is(in, 1, 0xb3, 0xb3) || forms_is(in, 1, 0xbb, 0xbb);
	bool near = forms_is(in, 0, 0x70, 0x7f) || forms_is(in, 0, 0xe0, 0xe3) ||
		    forms_is(in, 0, 0xeb, 0xeb);
	s32 rel;

	if (near) /* not onto itself */
		bytes[in->imm_off] = (u8)(machine_random() & 0x80) + 0x20 + machine_random() % 0x20;
	if (bits && insn_mod(in) != 3)
		*machine_word(&m->regs, reg) = machine_random() & 0x1ff;
	if (in->prefixes & (INSN_P_REP | INSN_P_REPNE) &&
	    (forms_is(in, 0, 0xa4, 0xa7) || forms_is(in, 0, 0xaa, 0xaf)))
		m->regs.cx = machine_random() & 0x1f;
	if (forms_is(in, 1, 0x01, 0x01)) /* xgetbv */
		m->regs.cx = machine_random() & 1;
	if (forms_is(in, 1, 0x01, 0x01) && in->modrm == WRPKRU) /* it would take our memory away */
		m->regs.dx |= 1;
	if (is_gather(in))
		for (u32 i = 160; i < machine_xstate_size; i += 8)
			if (i < 416 || i >= 576)
				memset(m->xstate + i + 1, 0, 7);
	if (in->imm_len == 4 && (forms_is(in, 0, 0xe8, 0xe9) || forms_is(in, 1, 0x80, 0x8f))) {
		rel = (s32)(target() - (m->regs.ip + in->len));
		memcpy(bytes + in->imm_off, &rel, sizeof(rel));
	}
}

static void random_state(struct machine *m, u32 kind)
{
	struct arch_regs *r = &m->regs;

	for (u8 i = 0; i < 16; i++)
		*machine_word(r, i) = machine_value(machine_random() % 3 ? kind : 0);
	r->di = pointer();
	r->si = pointer();
	r->bx = machine_random() % 2 ? pointer() : r->bx;
	r->bp = (u64)machine_data + STACK + 0x800;
	r->sp = wild && machine_random() % wild == 0 ? pointer() : (u64)machine_data + STACK;
	r->sp += machine_random() & (wild ? 0x3ff : 0x3f8);
	r->flags = MACHINE_FLAGS_FIXED | (machine_random() & MACHINE_FLAGS_VARY) |
		   (machine_random() % 4 ? 0 : FLAG_DF) | (machine_random() % 16 ? 0 : FLAG_AC);
	m->fs_base = 0;
	machine_fill_xstate(m, kind);
}

/* --- natively and displaced --- */

struct subject {
	const struct form *form;
	u8 bytes[ARCH_MAX_INSN]; /* with operands that exist */
	u8 *at;
	struct arch_patch patch;
	struct machine native, displaced;
	u8 before[MACHINE_AREA], after[MACHINE_AREA];
};

static bool branches_through_memory(const struct arch_patch *p)
{
	return p->kind == ARCH_PATCH_RET || p->kind == ARCH_PATCH_JMP_IND ||
	       p->kind == ARCH_PATCH_CALL_IND;
}

static u8 templates[MACHINE_KINDS + 1][2 * MACHINE_AREA];

static void make_templates(void)
{
	for (u32 kind = 0; kind < MACHINE_KINDS; kind++)
		machine_fill(templates[kind], 2 * MACHINE_AREA, kind);
	for (size_t i = 0; i < 2 * MACHINE_AREA; i += 8) {
		u64 v = target();

		memcpy(templates[MACHINE_KINDS] + i, &v, sizeof(v));
	}
}

static void fill_data(const struct arch_patch *p, u32 kind)
{
	u32 which = branches_through_memory(p) ? MACHINE_KINDS : kind % MACHINE_KINDS;

	memcpy(machine_data, templates[which] + machine_random() % (MACHINE_AREA / 8) * 8,
	       MACHINE_AREA);
}

/* A break at the end of the copy is seen at the end of the instruction, a fault in it there. */
static void translate(const struct arch_patch *p, struct machine *m)
{
	u64 x87;

	if (!p->slot)
		return;
	if (m->regs.ip - p->slot < p->len)
		m->regs.ip = p->addr;
	if (m->addr - p->slot < p->len && (m->sig == SIGILL || m->sig == SIGFPE))
		m->addr += p->addr - p->slot;
	memcpy(&x87, m->xstate + 8, sizeof(x87));
	if (x87 == p->slot)
		memcpy(m->xstate + 8, &p->addr, sizeof(x87));
}

static void prepare(struct subject *s, u32 kind)
{
	const struct arch_insn *in = &s->form->in;

	s->at = machine_code + 0x1000 + machine_random() % 0x4000;
	memcpy(s->bytes, s->form->bytes, in->len);
	random_state(&s->native, kind);
	s->native.regs.ip = (u64)s->at;
	aim(in, s->bytes, (u64)s->at, &s->native);
	tame(in, s->bytes, &s->native);
	memcpy(s->at, s->bytes, in->len);
}

static void place_slot(struct subject *s)
{
	u64 slot = (u64)machine_slots + machine_random() % 0x8000;

	cr_assert_eq(arch_patch_relocate(&s->patch, slot), 0);
	cr_assert(arch_patch_valid(&s->patch));
	memcpy((u8 *)slot, s->patch.slot_bytes, s->patch.slot_len);
}

/* What frame.h of the agent makes of a fault, from what the CPU says of the access. */
static void raise_fault(struct subject *s, struct machine *m)
{
	struct osl_fault f = {0};
	u64 fixed = m->regs.flags;

	cr_expect(arch_patch_fault(&s->patch, &m->regs, &f), "no fault, after all");
	m->regs.ip = s->patch.addr;
	m->regs.flags = fixed & MACHINE_FLAGS_SEEN;
	m->sig = f.trap == 14 ? f.sig : f.trap == 13 ? SIGSEGV : SIGBUS;
	m->code = f.trap == 14 ? f.code : f.trap == 17 ? BUS_ADRALN : SI_KERNEL;
	m->addr = m->cr2 = f.trap == 14 ? f.addr : 0;
	m->trapno = f.trap;
	m->err = f.trap == 14 ? f.err : 0;
}

static void run_displaced(struct subject *s)
{
	struct machine *m = &s->displaced;

	m->regs.ip = s->patch.addr + 1;
	if (arch_patch_step(&s->patch, &m->regs) == 0) {
		machine_run(m);
		return;
	}
	raise_fault(s, m);
}

/* What the CPU gives a new value each time */
static void ignore_volatile(const struct arch_insn *in, struct machine *a, struct machine *b)
{
	bool clock =
		forms_is(in, 1, 0x31, 0x31) || (forms_is(in, 1, 0x01, 0x01) && in->modrm == 0xf9);
	bool dice = forms_is(in, 1, 0xc7, 0xc7) && insn_mod(in) == 3;
	u8 reg = extended(in->modrm, in->rex, INSN_REX_B);

	if (clock)
		b->regs.ax = a->regs.ax, b->regs.dx = a->regs.dx;
	if (dice)
		*machine_word(&b->regs, reg) = *machine_word(&a->regs, reg);
}

static const char *differs(struct subject *s, u32 kind)
{
	const char *d;

	fill_data(&s->patch, kind);
	if (forms_is(&s->form->in, 0, 0x9d, 0x9d)) /* popf: steps are the application's business */
		*(u64 *)s->native.regs.sp &= ~0x100ull;
	if (s->patch.kind >= ARCH_PATCH_JMP_IND && s->patch.op.is_reg)
		*machine_word(&s->native.regs, s->patch.op.reg) = target();
	s->displaced = s->native;
	memcpy(s->before, machine_data, MACHINE_AREA);
	machine_run(&s->native);
	memcpy(s->after, machine_data, MACHINE_AREA);
	memcpy(machine_data, s->before, MACHINE_AREA);
	if (arch_patch_needs_slot(&s->patch))
		place_slot(s);
	run_displaced(s);
	translate(&s->patch, &s->displaced);
	ignore_volatile(&s->form->in, &s->native, &s->displaced);
	d = machine_difference(&s->native, &s->displaced);
	return *d || !memcmp(machine_data, s->after, MACHINE_AREA) ? d : "memory differs";
}

struct tally {
	size_t slots, emulated, refused, absent, faulted_only;
	u64 reasons; /* of refusal, as bits */
};

static void cleanup(struct subject *s)
{
	memset(s->at, 0xcc, ARCH_MAX_INSN);
	if (s->patch.slot)
		memset((u8 *)s->patch.slot, 0xcc, ARCH_SLOT_SIZE);
}

/* False when the CPU doesn't know it. */
static bool compare_form(struct subject *s, u32 times, bool *completed)
{
	bool known = true;

	*completed = false;
	for (u32 i = 0; known && i < times; i++) {
		const char *d;
		u64 from = machine_seed;

		prepare(s, i);
		cr_assert_eq(arch_patch_plan(s->bytes, s->form->in.len, (u64)s->at, &s->patch), 0);
		d = differs(s, i);
		cr_expect(!*d, "%s: %s (state %#lx)", name_of(s->bytes, s->form->in.len), d, from);
		known = s->native.sig != SIGILL;
		*completed |= s->native.sig == SIGTRAP;
		cleanup(s);
	}
	return known;
}

static void refused_by_name(const struct form *f, int reason, struct tally *t)
{
	t->refused++;
	t->reasons |= 1ull << -reason;
	fprintf(stderr, "not run: %s: %s\n", name_of(f->bytes, f->in.len),
		arch_patch_refusal(reason));
}

/* Emulated forms with operands and stacks that are nowhere, or misaligned while that matters. */
Test(forms, faults_of_the_emulated)
{
	static struct subject s;
	u32 faults = 0;
	bool completed;

	make_templates();
	wild = 4;
	for (size_t i = 0; i < forms.n; i++) {
		s.form = &forms.v[i];
		if (arch_patch_plan(s.form->bytes, s.form->in.len, (u64)machine_code, &s.patch) ||
		    arch_patch_needs_slot(&s.patch))
			continue;
		for (int k = 0; k < 10; k++) {
			compare_form(&s, 1, &completed);
			faults += s.native.sig != SIGTRAP;
		}
	}
	fprintf(stderr, "%u faults\n", faults);
	cr_expect_gt(faults, 300);
}

Test(forms, as_native)
{
	static struct subject s;
	u32 times = getenv("EBPFRT_TEST_WHOLE") ? 40 : MACHINE_KINDS;
	struct tally t = {0};

	make_templates();
	for (size_t i = 0; i < forms.n; i++) {
		int err;
		bool completed;

		s.form = &forms.v[i];
		err = arch_patch_plan(s.form->bytes, s.form->in.len, (u64)machine_code, &s.patch);
		if (err) {
			refused_by_name(s.form, err, &t);
			continue;
		}
		if (!compare_form(&s, times, &completed)) {
			t.absent++;
			fprintf(stderr, "unknown to this CPU: %s\n",
				name_of(s.form->bytes, s.form->in.len));
			continue;
		}
		if (!completed)
			fprintf(stderr, "only ever faulted: %s signal %d\n",
				name_of(s.form->bytes, s.form->in.len), s.native.sig);
		t.faulted_only += !completed;
		t.slots += arch_patch_needs_slot(&s.patch);
		t.emulated += !arch_patch_needs_slot(&s.patch);
	}
	fprintf(stderr,
		"%zu forms from slots, %zu emulated; %zu not run, %zu unknown to this CPU, %zu "
		"only "
		"ever faulted\n",
		t.slots, t.emulated, t.refused, t.absent, t.faulted_only);
	cr_expect_gt(t.slots, 3000);
	cr_expect_gt(t.emulated, 100);
	cr_expect_leq(t.faulted_only * 20, t.slots);
}
