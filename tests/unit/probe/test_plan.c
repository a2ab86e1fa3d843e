/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planning probes in real files: in functions of this program, written byte by byte, and at the
 * system call sites of libc. Every refusal's words are here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "probe/probe.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define BIAS 0x7f1234560000ull

/* +0 push, +1 mov, +4 call, +9 syscall, +11 mov $39, +16 syscall, +18 mov $15, +23 syscall,
 * +25 int3, +26 cli, +27 pop, +28 ret */
__asm__(".text\n.globl plan_target\n.type plan_target, @function\n"
	"plan_target:\n"
	".byte 0x55, 0x48, 0x89, 0xe5, 0xe8, 0, 0, 0, 0, 0x0f, 0x05\n"
	".byte 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xb8, 15, 0, 0, 0, 0x0f, 0x05\n"
	".byte 0xcc, 0xfa, 0x5d, 0xc3\n"
	".size plan_target, . - plan_target\n"
	/* a byte that is no opcode, then a nop */
	".globl plan_undecodable\n.type plan_undecodable, @function\n"
	"plan_undecodable: .byte 0x06, 0x90\n.size plan_undecodable, . - plan_undecodable\n"
	/* +0 an addition of APX, which capstone doesn't know, +6 ret */
	".globl plan_new\n.type plan_new, @function\n"
	"plan_new: .byte 0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc8, 0xc3\n.size plan_new, . - plan_new\n"
	/* a restartable sequence: nop, nop, nop, ret */
	".globl plan_rseq\n.type plan_rseq, @function\n"
	"plan_rseq: .byte 0x90\n.Lbegin: .byte 0x90, 0x90\n.Lend: .byte 0xc3\n"
	".size plan_rseq, . - plan_rseq\n"
	/* no symbol, but an unwind entry */
	".cfi_startproc\n.Lunnamed: .byte 0x48, 0x31, 0xc0, 0xc3\n.cfi_endproc\n"
	/* neither */
	".Lnameless: .byte 0x90, 0xc3\n"
	".section .data.rel.ro, \"aw\"\n.globl plan_unnamed, plan_nameless\n"
	"plan_unnamed: .quad .Lunnamed\nplan_nameless: .quad .Lnameless\n"
	".section __rseq_cs, \"aw\"\n.balign 32\n"
	".long 0, 0\n.quad .Lbegin, .Lend - .Lbegin, plan_rseq\n.text\n");

extern const u8 plan_target[], plan_undecodable[], plan_rseq[], plan_new[];
extern const u8 *const plan_unnamed, *const plan_nameless;

static struct probe_elf *elf;

static void setup(void)
{
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_elf_open("/proc/self/exe", &elf, why), 0, "%s", why);
}

static void teardown(void)
{
	probe_elf_free(&elf);
}

TestSuite(plan, .init = setup, .fini = teardown);

/* Where in the file the loader found what is now at @p. */
static u64 offset_of(const void *p)
{
	struct probe_maps maps = {0};
	u64 offset = 0;

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps.n; i++)
		if ((u64)p >= maps.v[i].start && (u64)p < maps.v[i].end)
			offset = (u64)p - maps.v[i].start + maps.v[i].offset;
	probe_maps_free(&maps);
	return offset;
}

static int plan_at(const u8 *code, struct arch_patch *out, char why[PROBE_WHY_MAX])
{
	return probe_plan(elf, offset_of(code), (u64)code, code, 16, out, why);
}

static void planned(const u8 *code, u8 kind)
{
	struct arch_patch p = {0};
	char why[PROBE_WHY_MAX] = "";

	cr_expect_eq(plan_at(code, &p, why), 0, "%s", why);
	cr_expect(p.kind == kind && p.addr == (u64)code && p.slot == 0);
}

static void refused(const u8 *code, int err, const char *place, const char *reason)
{
	struct arch_patch p = {.kind = 99};
	char why[PROBE_WHY_MAX] = "", expected[PROBE_WHY_MAX];
	int got = plan_at(code, &p, why);

	snprintf(expected, sizeof(expected), "cannot probe %s in /proc/self/exe: %s", place,
		 reason);
	cr_expect_eq(got, err, "%s: %d (%s)", place, got, why);
	cr_expect_str_eq(why, expected);
	cr_expect_eq(p.kind, 99, "unchanged");
}

Test(plan, instructions_of_a_function)
{
	planned(plan_target, ARCH_PATCH_PUSH);
	planned(plan_target + 1, ARCH_PATCH_SLOT);
	planned(plan_target + 4, ARCH_PATCH_CALL);
	planned(plan_target + 11, ARCH_PATCH_SLOT);
	planned(plan_target + 16, ARCH_PATCH_SLOT);
	planned(plan_target + 28, ARCH_PATCH_RET);
}

Test(plan, words_of_refusal)
{
	refused(plan_target + 2, -EINVAL, "plan_target+0x2",
		"not an instruction boundary (the one at +0x1 has 3 bytes)");
	refused(plan_target + 9, -EOPNOTSUPP, "plan_target+0x9",
		"it is a system call whose number is not a constant just before it");
	refused(plan_target + 18, -EOPNOTSUPP, "plan_target+0x12",
		"it returns from a signal handler");
	refused(plan_target + 23, -EOPNOTSUPP, "plan_target+0x17",
		"it returns from a signal handler");
	refused(plan_target + 25, -EOPNOTSUPP, "plan_target+0x19",
		"the instruction is a breakpoint already");
	refused(plan_target + 26, -EOPNOTSUPP, "plan_target+0x1a",
		"it is a privileged instruction");
	refused(plan_undecodable, -EOPNOTSUPP, "plan_undecodable", "unknown opcode");
	refused(plan_undecodable + 1, -EINVAL, "plan_undecodable+0x1",
		"code before it does not decode (at +0x0)");
	refused(plan_new, -EOPNOTSUPP, "plan_new",
		"only one of two decoders knows the instruction");
	planned(plan_new + 6, ARCH_PATCH_RET);
}

Test(plan, restartable_sequences)
{
	planned(plan_rseq, ARCH_PATCH_SKIP);
	refused(plan_rseq + 1, -EOPNOTSUPP, "plan_rseq+0x1",
		"it lies in a restartable sequence (rseq), which a trap would abort each time");
	refused(plan_rseq + 2, -EOPNOTSUPP, "plan_rseq+0x2",
		"it lies in a restartable sequence (rseq), which a trap would abort each time");
	planned(plan_rseq + 3, ARCH_PATCH_RET);
}

Test(plan, without_a_symbol)
{
	char name[64];

	planned(plan_unnamed, ARCH_PATCH_SLOT);
	planned(plan_unnamed + 3, ARCH_PATCH_RET);
	snprintf(name, sizeof(name), "offset 0x%lx", offset_of(plan_unnamed + 1));
	refused(plan_unnamed + 1, -EINVAL, name,
		"not an instruction boundary (the one at +0x0 has 3 bytes)");
	snprintf(name, sizeof(name), "offset 0x%lx", offset_of(plan_nameless));
	refused(plan_nameless, -EINVAL, name,
		"no symbol and no unwind entry tells where instructions begin there");
}

Test(plan, not_code)
{
	static const u8 rodata[16] = {0x90};
	char name[64];

	snprintf(name, sizeof(name), "offset 0x%lx", offset_of(rodata));
	refused(rodata, -EINVAL, name, "that part of the file is not code");
}

Test(plan, memory_that_is_not_the_file)
{
	char why[PROBE_WHY_MAX];
	struct arch_patch p;
	u8 text[16];
	u64 offset = offset_of(plan_target + 1), addr = (u64)(plan_target + 1);

	memcpy(text, plan_target + 1, sizeof(text));
	text[0] = 0xcc;
	cr_expect_eq(probe_plan(elf, offset, addr, text, sizeof(text), &p, why), -EBUSY);
	cr_expect_str_eq(why, "cannot probe plan_target+0x1 in /proc/self/exe: a breakpoint is "
			      "there already (a debugger's?)");
	text[0] = 0x48, text[1] = 0x8b;
	cr_expect_eq(probe_plan(elf, offset, addr, text, sizeof(text), &p, why), -EBUSY);
	cr_expect_str_eq(why, "cannot probe plan_target+0x1 in /proc/self/exe: the process has "
			      "other code there than the file; something patched it");
	cr_expect_eq(probe_plan(elf, offset, addr, plan_target + 1, 2, &p, why), -EBUSY, "short");
}

/* --- libc --- */

struct sites {
	u64 load[64], call[64];
	size_t n;
};

static int collect(u32 nr, u64 load, u64 call, void *cookie)
{
	struct sites *s = cookie;

	if (s->n < ARRAY_SIZE(s->load)) {
		s->load[s->n] = load;
		s->call[s->n] = call;
	}
	s->n++;
	return 0;
}

static void refused_in_libc(struct probe_elf *libc, FILE *f, u64 offset)
{
	char why[PROBE_WHY_MAX];
	struct arch_patch p;
	u8 text[16];

	cr_assert(!fseek(f, (long)offset, SEEK_SET) && fread(text, 1, 16, f) == 16);
	cr_expect_eq(probe_plan(libc, offset, BIAS + offset, text, 16, &p, why), -EOPNOTSUPP, "%s",
		     why);
	cr_expect(strstr(why, "the runtime itself watches this system call"), "%s", why);
}

Test(plan, signal_system_calls_of_libc)
{
	struct probe_elf *libc = NULL;
	struct sites sites = {0};
	char why[PROBE_WHY_MAX];
	FILE *f = fopen(LIBC, "re");
	u8 bytes[2];

	if (!f)
		cr_skip_test("no %s", LIBC);
	cr_assert_eq(probe_elf_open(LIBC, &libc, why), 0, "%s", why);
	cr_assert_eq(probe_libc_syscall_sites(libc, (const u32[]){13}, 1, collect, &sites), 0);
	cr_expect_geq(sites.n, 1, "sigaction");
	cr_assert_eq(probe_libc_syscall_sites(libc, (const u32[]){14}, 1, collect, &sites), 0);
	cr_expect(sites.n >= 5 && sites.n < ARRAY_SIZE(sites.load), "%zu sites", sites.n);
	for (size_t i = 0; i < sites.n; i++) {
		cr_assert(!fseek(f, (long)sites.call[i], SEEK_SET) && fread(bytes, 1, 2, f) == 2);
		cr_expect(bytes[0] == 0x0f && bytes[1] == 0x05);
		refused_in_libc(libc, f, sites.load[i]);
		refused_in_libc(libc, f, sites.call[i]);
	}
	fclose(f);
	probe_elf_free(&libc);
}

struct sweep {
	struct probe_elf *elf;
	FILE *f;
	size_t planned, refused;
};

static int plan_entry(const struct probe_symbol *sym, void *cookie)
{
	struct sweep *s = cookie;
	char why[PROBE_WHY_MAX];
	struct arch_patch p;
	u8 text[16];

	if (fseek(s->f, (long)sym->offset, SEEK_SET) || fread(text, 1, 16, s->f) != 16)
		return 0;
	if (probe_plan(s->elf, sym->offset, BIAS + sym->addr, text, 16, &p, why)) {
		cr_log_info("%s", why);
		s->refused++;
	} else {
		s->planned++;
	}
	return 0;
}

/* Nearly every function of libc can be probed at its entry. */
Test(plan, entries_of_libc)
{
	struct sweep s = {.f = fopen(LIBC, "re")};
	char why[PROBE_WHY_MAX];

	if (!s.f)
		cr_skip_test("no %s", LIBC);
	cr_assert_eq(probe_elf_open(LIBC, &s.elf, why), 0, "%s", why);
	probe_elf_each(s.elf, plan_entry, &s);
	cr_expect_gt(s.planned, 1000);
	cr_expect_leq(s.refused * 200, s.planned, "%zu of %zu refused", s.refused, s.planned);
	fclose(s.f);
	probe_elf_free(&s.elf);
}

/* --- return probes --- */

Test(plan, returns_twice)
{
	char why[PROBE_WHY_MAX];

	cr_expect_eq(probe_ret_refused(NULL, "vfork", why), -EOPNOTSUPP);
	cr_expect_str_eq(why, "cannot probe the return of vfork: it returns more than once; use a "
			      "uprobe at its entry");
	cr_expect_eq(probe_ret_refused(NULL, "__sigsetjmp@GLIBC_2.2.5", why), -EOPNOTSUPP);
	cr_expect_eq(probe_ret_refused(NULL, "malloc", why), 0);
	cr_expect_eq(probe_ret_refused(NULL, "vforked", why), 0);
}

Test(plan, never_called)
{
	struct probe_elf *e = NULL;
	struct probe_symbol sym;
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_elf_open("/proc/self/exe", &e, why), 0, "%s", why);
	cr_expect_eq(probe_ret_refused(e, "_start", why), -EOPNOTSUPP);
	cr_expect_str_eq(why, "cannot probe the return of _start: it is where the program starts, "
			      "not called, and has no return address; use a uprobe at its entry");
	cr_assert_eq(probe_elf_symbol(e, "_init", &sym, why), 0, "%s", why);
	cr_expect_eq(probe_ret_refused(e, "_init", why), 0, "%s", why);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init", why), 0);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init.cold", why), -EOPNOTSUPP);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init.cold.12", why), -EOPNOTSUPP);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init.__part.1", why), -EOPNOTSUPP);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init.part.0", why), 0);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_init.colder", why), 0);
	cr_expect_eq(probe_ret_at(e, sym.offset, "_dl_runtime_resolve_xsavec", why), -EOPNOTSUPP);
	probe_elf_free(&e);
}

/* What lies on top of the stack: each place with its offset. */
__asm__(".text\n"
	/* as compilers begin functions */
	".globl ret_plain\n.type ret_plain, @function\nret_plain:\n.cfi_startproc\n"
	"endbr64\nnop\nmov %edi, %eax\n"			  /* +0 +4 +5 */
	"push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset 3, -16\n" /* +7 */
	"mov %eax, %ebx\npop %rbx\n.cfi_def_cfa_offset 8\n"	  /* +8 +10 */
	"ret\n.cfi_endproc\n.size ret_plain, . - ret_plain\n"	  /* +11 */
	/* by hand, and not saying what it does */
	".globl ret_lying\n.type ret_lying, @function\nret_lying:\n.cfi_startproc\n"
	"nop\npush %rbx\npop %rbx\nret\n.cfi_endproc\n" /* +0 +1 +2 +3 */
	".size ret_lying, . - ret_lying\n"
	/* what is called begins within */
	".globl ret_here\n.type ret_here, @function\nret_here:\n.cfi_startproc\n"
	"call 1f\n1: nop\nlea 8(%rsp), %rsp\nret\n.cfi_endproc\n" /* +0 +5 +6 */
	".size ret_here, . - ret_here\n"
	/* no unwind entry */
	".globl ret_bare\n.type ret_bare, @function\nret_bare: nop\nret\n"
	".size ret_bare, . - ret_bare\n"
	/* parts of functions, and where a signal's handler returns to */
	".globl ret_part\n.type ret_part, @function\nret_part:\n.cfi_startproc\n"
	".cfi_def_cfa_offset 32\nnop\nadd $24, %rsp\nret\n.cfi_endproc\n"
	".size ret_part, . - ret_part\n"
	".globl ret_framed\n.type ret_framed, @function\nret_framed:\n.cfi_startproc\n"
	".cfi_def_cfa 6, 16\nnop\nret\n.cfi_endproc\n.size ret_framed, . - ret_framed\n"
	".globl ret_first\n.type ret_first, @function\nret_first:\n.cfi_startproc\n"
	".cfi_undefined 16\nnop\nret\n.cfi_endproc\n.size ret_first, . - ret_first\n"
	".globl ret_signal\n.type ret_signal, @function\nret_signal:\n.cfi_startproc\n"
	".cfi_signal_frame\nnop\nret\n.cfi_endproc\n.size ret_signal, . - ret_signal\n"
	/* as in a procedure linkage table: breg7 8; deref; def_cfa_expression */
	".globl ret_linked\n.type ret_linked, @function\nret_linked:\n.cfi_startproc\n"
	".cfi_escape 0x0f, 3, 0x77, 8, 0x06\nnop\nret\n.cfi_endproc\n"
	".size ret_linked, . - ret_linked\n"
	/* rows that are remembered, and what is skipped */
	".globl ret_rows\n.type ret_rows, @function\nret_rows:\n.cfi_startproc\n"
	".cfi_personality 0x9b, ret_personality\n"
	"nop\n.cfi_remember_state\n.cfi_def_cfa_offset 24\n"
	".cfi_escape 0x2e, 16\n.cfi_escape 0x10, 3, 2, 0x77, 8\n.cfi_escape 0x09, 3, 4\n"
	"nop\n.cfi_restore_state\nnop\nret\n.cfi_endproc\n" /* +1: 24, +2: 8 */
	".size ret_rows, . - ret_rows\n"
	/* an instruction that few know, about another register */
	".globl ret_odd\n.type ret_odd, @function\nret_odd:\n.cfi_startproc\n"
	".cfi_escape 0x2f, 3, 1\nnop\nret\n.cfi_endproc\n.size ret_odd, . - ret_odd\n"
	/* without symbols: a function, and a part of one */
	".cfi_startproc\n.Lunnamed_function: nop\nret\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa_offset 16\n.Lunnamed_part: nop\npop %rax\nret\n"
	".cfi_endproc\n"
	".section .data.rel.ro, \"aw\"\n.globl ret_unnamed\n"
	"ret_unnamed: .quad .Lunnamed_function, .Lunnamed_part\n"
	"ret_personality: .quad 0\n.text\n");

extern const u8 ret_plain[], ret_lying[], ret_here[], ret_bare[], ret_part[], ret_framed[],
	ret_first[], ret_signal[], ret_linked[], ret_rows[], ret_odd[];
extern const u8 *const ret_unnamed[2];

Test(plan, return_address_on_top)
{
	static const char other[] = "what is on top of the stack there is no return address",
			  unknown[] = "nothing tells that a return address is on top of the stack";
	const struct {
		const u8 *at;
		const char *why;
	} places[] = {
		{ret_plain, NULL},	   {ret_plain + 4, NULL},
		{ret_plain + 5, NULL},	   {ret_plain + 7, NULL},
		{ret_plain + 8, other},	   {ret_plain + 10, other},
		{ret_plain + 11, unknown}, {ret_lying, NULL},
		{ret_lying + 1, NULL},	   {ret_lying + 2, unknown},
		{ret_lying + 3, unknown},  {ret_here, NULL},
		{ret_here + 5, unknown},   {ret_here + 6, unknown},
		{ret_bare, NULL},	   {ret_bare + 1, unknown},
		{ret_part, other},	   {ret_framed, other},
		{ret_first, other},	   {ret_signal, other},
		{ret_linked, other},	   {ret_rows, NULL},
		{ret_rows + 1, other},	   {ret_rows + 2, NULL},
		{ret_odd, NULL},	   {ret_odd + 1, NULL},
		{ret_unnamed[0], NULL},	   {ret_unnamed[0] + 1, NULL},
		{ret_unnamed[1], other},   {ret_unnamed[1] + 1, other},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char why[PROBE_WHY_MAX] = "";
		int err = probe_ret_at(elf, offset_of(places[i].at), "it", why);

		if (!places[i].why) {
			cr_expect_eq(err, 0, "%zu: %s", i, why);
			continue;
		}
		cr_expect_eq(err, -EOPNOTSUPP, "%zu", i);
		cr_expect(strstr(why, places[i].why), "%zu: %s", i, why);
		cr_expect(strstr(why, "the return of it: "), "%zu: %s", i, why);
	}
}

/* They look at their return address: at once, from a frame of each kind, by a jump to another. */
__asm__(".text\n"
	".globl own_top\n.type own_top, @function\nown_top:\n.cfi_startproc\n"
	"nop\nmov (%rsp), %rax\nret\n.cfi_endproc\n.size own_top, . - own_top\n"
	".globl own_popped\n.type own_popped, @function\nown_popped: pop %rax\npush %rax\nret\n"
	".size own_popped, . - own_popped\n"
	".globl own_deep\n.type own_deep, @function\nown_deep:\n.cfi_startproc\n"
	"push %rbx\n.cfi_def_cfa_offset 16\nsub $16, %rsp\n.cfi_def_cfa_offset 32\n"
	"mov 24(%rsp), %rax\nadd $16, %rsp\n.cfi_def_cfa_offset 16\n"
	"pop %rbx\n.cfi_def_cfa_offset 8\nret\n.cfi_endproc\n.size own_deep, . - own_deep\n"
	".globl own_framed\n.type own_framed, @function\nown_framed:\n.cfi_startproc\n"
	"push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\nmov %rsp, %rbp\n"
	".cfi_def_cfa_register 6\nmov 8(%rbp), %rax\npop %rbp\n.cfi_def_cfa 7, 8\nret\n"
	".cfi_endproc\n.size own_framed, . - own_framed\n"
	".globl own_jump\n.type own_jump, @function\nown_jump:\n.cfi_startproc\n"
	"xor %esi, %esi\njmp own_top\n.cfi_endproc\n.size own_jump, . - own_jump\n"
	/* what was saved, an argument, another function's frame pointer */
	".globl own_saved\n.type own_saved, @function\nown_saved:\n.cfi_startproc\n"
	"push %rbx\n.cfi_def_cfa_offset 16\nmov (%rsp), %rax\nmov 16(%rsp), %rax\n"
	"mov 8(%rbp), %rax\npop %rbx\n.cfi_def_cfa_offset 8\nret\n"
	".cfi_endproc\n.size own_saved, . - own_saved\n");
extern const u8 own_top[], own_popped[], own_deep[], own_framed[], own_jump[], own_saved[];

Test(plan, looks_at_its_return_address)
{
	const struct {
		const u8 *at;
		const char *where; /* NULL: it doesn't */
	} places[] = {
		{own_top, "0x1"},    {own_popped, "0x0"}, {own_deep, "0x5"},
		{own_framed, "0x4"}, {own_jump, "0x2"},	  {own_saved, NULL},
	};
	char why[PROBE_WHY_MAX], want[160];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int err = probe_ret_at(elf, offset_of(places[i].at), "it", why);

		cr_expect_eq(err, places[i].where ? -EOPNOTSUPP : 0, "%zu: %s", i, why);
		snprintf(want, sizeof(want),
			 "cannot probe the return of it: it reads its own return address (at "
			 "+%s), as setjmp does; use a uprobe at its entry",
			 places[i].where);
		if (places[i].where)
			cr_expect_str_eq(why, want);
	}
}

/* Those that are guarded may be probed; one that asks, and is not, may not. */
Test(plan, askers_of_libc)
{
	struct probe_elf *libc = NULL;
	char why[PROBE_WHY_MAX];

	if (probe_elf_open(LIBC, &libc, why))
		cr_skip_test("no %s", LIBC);
	cr_expect_eq(probe_ret_refused(libc, "dlsym", why), 0, "%s", why);
	cr_expect_eq(probe_ret_refused(libc, "dlopen", why), 0, "%s", why);
	cr_expect_eq(probe_ret_refused(libc, "dl_iterate_phdr", why), -EOPNOTSUPP);
	cr_expect(strstr(why, "it reads its own return address"), "%s", why);
	probe_elf_free(&libc);
}

/* By whatever name, and wherever in them. */
Test(plan, returns_twice_at)
{
	struct probe_elf *libc = NULL;
	char why[PROBE_WHY_MAX];
	struct probe_symbol sym;

	if (probe_elf_open(LIBC, &libc, why))
		cr_skip_test("no %s", LIBC);
	cr_assert_eq(probe_elf_symbol(libc, "vfork", &sym, why), 0, "%s", why);
	cr_expect_eq(probe_ret_at(libc, sym.offset, "", why), -EOPNOTSUPP);
	cr_expect(strstr(why, "it returns more than once"), "%s", why);
	cr_expect_eq(probe_ret_at(libc, sym.offset + 4, "other", why), -EOPNOTSUPP);
	cr_expect(strstr(why, "it returns more than once"), "%s", why);
	cr_assert_eq(probe_elf_symbol(libc, "malloc", &sym, why), 0, "%s", why);
	cr_expect_eq(probe_ret_at(libc, sym.offset, "malloc", why), 0, "%s", why);
	probe_elf_free(&libc);
}

static int return_at_entry(const struct probe_symbol *sym, void *cookie)
{
	struct sweep *s = cookie;
	char why[PROBE_WHY_MAX];

	if (!probe_ret_at(s->elf, sym->offset, sym->name, why)) {
		s->planned++;
	} else if (!strstr(why, "more than once") && !strstr(why, "own return address")) {
		cr_log_info("%s", why);
		s->refused++;
	}
	return 0;
}

/* The unwind entries of libc say of no function that it is entered without a return address. */
Test(plan, returns_of_libc)
{
	struct sweep s = {0};
	char why[PROBE_WHY_MAX];

	if (probe_elf_open(LIBC, &s.elf, why))
		cr_skip_test("no %s", LIBC);
	probe_elf_each(s.elf, return_at_entry, &s);
	cr_expect_gt(s.planned, 1000);
	cr_expect_leq(s.refused * 200, s.planned, "%zu of %zu refused", s.refused, s.planned);
	probe_elf_free(&s.elf);
}
