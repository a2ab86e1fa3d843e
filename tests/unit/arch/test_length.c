/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long is an instruction? The CPU is asked: its bytes lie at the end of a page, and the next
 * page can't be fetched from. As long as it faults there before the instruction has begun, it wants
 * more. That must be so for every shorter length than the decoder's, and not for that one.
 *
 * Registers, stack and the bases of segments point to where nothing is, so what is executed changes
 * nothing, and a step is all that it takes (TF). What would enter the kernel is not run.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "forms.h"
#include "machine.h"

#define NOWHERE 0x8000000000000000
#define ELSEWHERE 0x300000000000
#define FLAG_TF 0x100
#define MAX_LEN 15
#define FETCH 0x10 /* of a page fault's error code */

static bool intel;
static u64 seed;

static void setup(void)
{
	const char *given = getenv("EBPFRT_TEST_SEED");

	if (!machine_setup(false))
		cr_skip_test("no writable and executable memory here");
	if (given)
		machine_seed = strtoull(given, NULL, 0);
	seed = machine_seed;
	intel = __builtin_cpu_is("intel");
	fprintf(stderr, "EBPFRT_TEST_SEED=%#lx\n", seed);
}

TestSuite(length, .init = setup, .timeout = 120);

enum verdict { MORE, ENOUGH, UNKNOWN };

static enum verdict ask(const u8 *bytes, u32 n)
{
	static struct machine m;
	u64 end = (u64)machine_code + MACHINE_AREA, at = end - n;

	for (u8 i = 0; i < 16; i++)
		*machine_word(&m.regs, i) = NOWHERE;
	m.regs.ip = at;
	m.regs.flags = MACHINE_FLAGS_FIXED | FLAG_TF;
	m.fs_base = ELSEWHERE;
	memcpy((u8 *)at, bytes, n);
	machine_run(&m);
	if (m.sig == SIGILL)
		return UNKNOWN;
	return m.sig == SIGSEGV && m.trapno == 14 && m.err & FETCH && m.cr2 == end &&
			       m.regs.ip == at
		       ? MORE
		       : ENOUGH;
}

/* System calls, and what a hypervisor might answer. */
static bool must_not_run(const struct arch_insn *in)
{
	return forms_is(in, 0, 0xcd, 0xcd) || forms_is(in, 1, 0x05, 0x05) ||
	       forms_is(in, 1, 0x07, 0x07) || forms_is(in, 1, 0x34, 0x35) ||
	       (forms_is(in, 1, 0x01, 0x01) && insn_mod(in) == 3 &&
		(in->modrm < 0xc8 || (in->modrm >= 0xd8 && in->modrm < 0xe0)));
}

/* AMD's CPUs read 16 bits of displacement where Intel's read 32. */
static bool differs_by_vendor(const struct arch_insn *in)
{
	return !intel && in->prefixes & INSN_P_OPSIZE &&
	       (forms_is(in, 0, 0xe8, 0xe9) || forms_is(in, 1, 0x80, 0x8f));
}

/* What this CPU may be too old for, or of another make: it reads on and only then says so. */
static bool too_new(const u8 *bytes, const struct arch_insn *in)
{
	return (in->encoding == INSN_XOP || in->encoding == INSN_REX2 ||
		(in->encoding == INSN_EVEX && in->map >= 4)) &&
	       ask(bytes, MAX_LEN) == UNKNOWN;
}

static struct {
	u32 agreed, unknown, not_run, refused, more_than_us;
} tally;

static const char *hex(const u8 *bytes, u32 n)
{
	static char text[64];
	size_t used = 0;

	for (u32 i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%02x ", bytes[i]);
	return text;
}

/* All shorter lengths, or only the next one. */
static void check(const u8 *bytes, const struct arch_insn *in, bool all)
{
	enum verdict v;

	if (must_not_run(in) || differs_by_vendor(in)) {
		tally.not_run++;
		return;
	}
	for (u32 n = all ? 1 : in->len - 1u; n < in->len; n++) {
		v = n ? ask(bytes, n) : MORE;
		cr_expect(v != ENOUGH, "%s: %u bytes are enough, not %u", hex(bytes, MAX_LEN), n,
			  in->len);
		if (v != MORE)
			break;
	}
	v = ask(bytes, in->len);
	if (v == MORE && too_new(bytes, in))
		v = UNKNOWN;
	cr_expect(v != MORE, "%s: %u bytes are not enough", hex(bytes, MAX_LEN), in->len);
	if (v == UNKNOWN)
		tally.unknown++;
	else
		tally.agreed++;
}

static void say(const char *what)
{
	fprintf(stderr, "%s: %u lengths as the CPU's; %u it doesn't know, %u not run\n", what,
		tally.agreed, tally.unknown, tally.not_run);
}

Test(length, forms_of_libraries)
{
	struct forms forms = {0};

	for (size_t i = 0; i < ARRAY_SIZE(forms_libraries); i++)
		forms_collect(forms_libraries[i], &forms);
	if (!forms.n)
		cr_skip_test("none of the libraries is here");
	for (size_t i = 0; i < forms.n; i++)
		check(forms.v[i].bytes, &forms.v[i].in, true);
	say("libraries");
	cr_expect_gt(tally.agreed, 3000);
	forms_free(&forms);
}

/* Prefixes and escapes more often than chance would have them. */
static void random_bytes(u8 *bytes)
{
	static const u8 leads[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x40, 0x48,
				   0x4f, 0x0f, 0x0f, 0x0f, 0xc4, 0xc5, 0x62, 0x8f, 0xd5};
	u32 n = machine_random() % 4;

	for (u32 i = 0; i < MAX_LEN; i++)
		bytes[i] = (u8)(machine_random() >> 20);
	for (u32 i = 0; i < n; i++)
		bytes[i] = leads[machine_random() % sizeof(leads)];
	if (n && bytes[n - 1] == 0x0f && machine_random() % 2)
		bytes[n] = machine_random() % 2 ? 0x38 : 0x3a;
}

Test(length, random_bytes)
{
	u32 tries = getenv("EBPFRT_TEST_WHOLE") ? 3000000 : 60000;

	for (u32 i = 0; i < tries; i++) {
		u8 bytes[MAX_LEN];
		struct arch_insn in;

		random_bytes(bytes);
		if (arch_insn_decode(bytes, sizeof(bytes), &in) == 0) {
			check(bytes, &in, false);
			continue;
		}
		/* what we refuse the CPU mostly refuses, too */
		tally.refused++;
		if (ask(bytes, MAX_LEN) == ENOUGH && tally.more_than_us++ < 20)
			fprintf(stderr, "refused, but known to the CPU: %s\n", hex(bytes, MAX_LEN));
	}
	say("random");
	fprintf(stderr, "%u refused, %u of them known to the CPU\n", tally.refused,
		tally.more_than_us);
	cr_expect_leq(tally.more_than_us, tally.refused / 100, "the decoder knows too little");
	cr_expect_gt(tally.agreed, tries / 10);
}
