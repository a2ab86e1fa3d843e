/* SPDX-License-Identifier: BSD-2-Clause */
/* See howto.h. */
#include "cli/howto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/plan_jump.h"

#define CODE_LEN 64

int howto_open(struct howto *h, const char *path, char why[PROBE_WHY_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	*h = (struct howto){.fd = -1};
	if (fd < 0) {
		err = -errno;
		snprintf(why, PROBE_WHY_MAX, "%.200s: %s", path, strerror(-err));
		return err;
	}
	err = probe_elf_open(path, &h->elf, why);
	if (err)
		close(fd);
	else
		h->fd = fd;
	return err;
}

void howto_close(struct howto *h)
{
	probe_elf_free(&h->elf);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

static int plan(struct howto *h, u64 offset, u64 addr, u8 code[CODE_LEN], ssize_t n,
		struct arch_patch *patch, char why[PROBE_WHY_MAX])
{
	if (n <= 0) {
		snprintf(why, PROBE_WHY_MAX, "the file cannot be read there");
		return -EIO;
	}
	return probe_plan(h->elf, offset, addr, code, (size_t)n, patch, why);
}

bool howto_place(struct howto *h, u64 offset, const char *name, bool ret, char why[PROBE_WHY_MAX])
{
	struct arch_patch patch;
	u8 code[CODE_LEN];
	ssize_t n = pread(h->fd, code, sizeof(code), (off_t)offset);

	if (n > 0 && ret && probe_ret_refused(h->elf, name, why))
		return false;
	return !plan(h, offset, probe_elf_offset_to_addr(h->elf, offset), code, n, &patch, why);
}

/* --- which rung ------------------------------------------------------------------------------ */

static const struct probe_mapping *mapped_at(const struct howto *h, u64 offset)
{
	struct osl_ident file;

	if (!h->maps || osl_ident(h->fd, &file))
		return NULL;
	return probe_maps_find(h->maps, &file, offset);
}

/* Alone in that process, with a stub near by: is there room where its jump would lead? */
static u32 room_for(const struct howto *h, u64 offset, const struct arch_patch *p, const u8 *code,
		    size_t n, u32 rung)
{
	struct plan_pads pads = {0};
	struct arch_jump j = {.follow = (u8)probe_follows(h->elf, offset, p, code, n)};

	if (plan_jump(&pads, h->maps, 0, p, code, n, &j)) {
		plan_pads_free(&pads);
		return rung;
	}
	j.stub = p->addr;
	rung = j.follow && !probe_branches_into(h->elf, offset, ARCH_JUMP_LEN) &&
			       plan_jump_over(&pads, h->maps, 0, p, code, n, &j)
		       ? PROBE_RUNG_OVER
		       : PROBE_RUNG_TAKEN;
	plan_pads_free(&pads);
	return rung;
}

/* Where the kernel would put it, more or less. */
static u64 usual_addr(const struct howto *h, u64 offset)
{
	u64 addr = probe_elf_offset_to_addr(h->elf, offset);

	return probe_elf_is_fixed(h->elf) ? addr : addr + 0x7f0000000000;
}

u32 howto_rung(struct howto *h, u64 offset)
{
	const struct probe_mapping *m = mapped_at(h, offset);
	u64 addr = m ? m->start + (offset - m->offset) : usual_addr(h, offset);
	bool jumps = false, only_jumps;
	char why[PROBE_WHY_MAX];
	struct arch_patch patch;
	u8 code[CODE_LEN];
	ssize_t n = pread(h->fd, code, sizeof(code), (off_t)offset);
	u32 rung;

	if (plan(h, offset, addr, code, n, &patch, why))
		return PROBE_RUNG_UNKNOWN;
	probe_rungs_asked(getenv("EBPFRT_PROBE"), &jumps, &only_jumps);
	if (!jumps)
		return PROBE_RUNG_BREAK;
	rung = probe_rung_of(h->elf, &patch, code, (size_t)n);
	if (!m || (!probe_rung_is_jump(rung) && rung != PROBE_RUNG_TAKEN))
		return rung;
	return room_for(h, offset, &patch, code, (size_t)n, rung);
}

void howto_rung_text(u32 rung, char *out, size_t size)
{
	const char *why = probe_rung_why(rung);

	if (probe_rung_is_jump(rung))
		snprintf(out, size, "jump (%s)", probe_rung_name(rung));
	else
		snprintf(out, size, "%s%s%s", probe_rung_name(rung), why ? ": " : "",
			 why ? why : "");
}
