/* SPDX-License-Identifier: BSD-2-Clause */
/* The rungs of the ladder from a jump down to a break, and their words: see probe.h. */
#include "probe_priv.h"

#include <string.h>

static const struct {
	const char *name, *why;
} words[PROBE_RUNGS] = {
	[PROBE_RUNG_NOP] = {"nop", NULL},
	[PROBE_RUNG_LONG] = {"long", NULL},
	[PROBE_RUNG_PUN] = {"pun", NULL},
	[PROBE_RUNG_OVER] = {"over", NULL},
	[PROBE_RUNG_BREAK] = {"trap", NULL},
	[PROBE_RUNG_ASKED] = {"trap", "EBPFRT_PROBE asks for breaks"},
	[PROBE_RUNG_SHADOW] = {"trap", "the process has a shadow stack"},
	[PROBE_RUNG_GO] = {"trap", "stacks of Go move"},
	[PROBE_RUNG_ENDS] = {"trap", "its memory ends there"},
	[PROBE_RUNG_EMULATED] = {"trap", "its first instruction can only be emulated"},
	[PROBE_RUNG_FAR] = {"trap", "no memory near enough to it is free"},
	[PROBE_RUNG_TAKEN] = {"trap",
			      "what follows its first instruction would lead a jump to where no "
			      "room is"},
	[PROBE_RUNG_KEPT] = {"trap", "it is not made a jump in this process as it is now"},
	[PROBE_RUNG_OWN] = {"trap", "the agent guards itself there"},
};

const char *probe_rung_name(u32 rung)
{
	return rung < PROBE_RUNGS && words[rung].name ? words[rung].name : "";
}

const char *probe_rung_why(u32 rung)
{
	return rung < PROBE_RUNGS ? words[rung].why : NULL;
}

enum probe_rung probe_rung_of(struct probe_elf *elf, const struct arch_patch *p, const u8 *text,
			      size_t len)
{
	u64 lo, hi;

	if (probe_elf_is_go(elf))
		return PROBE_RUNG_GO;
	if (!arch_jump_executes(p))
		return PROBE_RUNG_EMULATED;
	if (!arch_jump_range(p, text, len, &lo, &hi))
		return len < ARCH_JUMP_LEN ? PROBE_RUNG_ENDS : PROBE_RUNG_TAKEN;
	if (p->len < ARCH_JUMP_LEN)
		return PROBE_RUNG_PUN;
	return p->kind == ARCH_PATCH_SKIP ? PROBE_RUNG_NOP : PROBE_RUNG_LONG;
}

bool probe_rungs_asked(const char *env, bool *jumps, bool *only_jumps)
{
	const char *s = env && *env ? env : PROBE_RUNGS_DEFAULT;

	*only_jumps = !strcmp(s, "jump");
	*jumps = *only_jumps || !strcmp(s, "auto");
	return *jumps || !strcmp(s, "trap");
}
