/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which share of the functions of a file takes a jump in a process that has it mapped: all of them
 * planned at once, as the daemon would, and none of them attached.
 *
 *	rungs PID FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "daemon/plan.h"
#include "daemon/target.h"

/* daemon/main.c is not linked */
void daemon_check_idle(struct daemon *d)
{
}

void daemon_leave(struct daemon *d)
{
}

#define FUNCTIONS_MAX 65536u

struct functions {
	u64 *offsets;
	u32 n;
};

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static int take(const struct probe_symbol *sym, void *cookie)
{
	struct functions *f = cookie;

	if (!sym->ifunc && f->n < FUNCTIONS_MAX)
		f->offsets[f->n++] = sym->offset;
	return 0;
}

/* The file offsets of the functions in @path, each once. */
static int functions_of(const char *path, struct functions *f)
{
	char why[PROBE_WHY_MAX];
	struct probe_elf *elf;
	u32 n = 0;

	if (probe_elf_open(path, &elf, why))
		return fprintf(stderr, "%s\n", why), -1;
	f->offsets = calloc(FUNCTIONS_MAX, sizeof(*f->offsets));
	if (!f->offsets)
		return -1;
	probe_elf_each(elf, take, f);
	qsort(f->offsets, f->n, sizeof(*f->offsets), by_value);
	for (u32 i = 0; i < f->n; i++)
		if (!n || f->offsets[n - 1] != f->offsets[i])
			f->offsets[n++] = f->offsets[i];
	f->n = n;
	probe_elf_free(&elf);
	return 0;
}

static void print(const char *path, const struct plan_out *o)
{
	u32 count[PROBE_RUNGS] = {0}, jumps = 0, pads = 0;

	for (u32 i = 0; i < o->nsites; i++) {
		const struct plan_site *s = &plan_sites((struct plan_out *)o)[i];

		if (s->flags || s->rung >= PROBE_RUNGS)
			continue;
		count[s->rung]++;
		count[0]++;
		jumps += probe_rung_is_jump(s->rung);
		pads += s->jump.to != s->jump.stub;
		if (getenv("RUNGS_ALL") && !probe_rung_is_jump(s->rung)) {
			printf("\t%llx %s:", (unsigned long long)s->offset,
			       probe_rung_why(s->rung));
			for (u32 k = 0; k < s->patch.len; k++)
				printf(" %02x", s->patch.insn[k]);
			printf(" kind %d\n", s->patch.kind);
		}
	}
	printf("%-40s %5u functions %5u jumps %6.2f %%: nop %u, long %u, pun %u, over %u (%u "
	       "pads)\n",
	       path, count[0], jumps, 100.0 * jumps / MAX(count[0], 1u), count[PROBE_RUNG_NOP],
	       count[PROBE_RUNG_LONG], count[PROBE_RUNG_PUN], count[PROBE_RUNG_OVER], pads);
	for (u32 i = PROBE_RUNG_BREAK; i < PROBE_RUNGS; i++)
		if (count[i])
			printf("\t%u breaks: %s\n", count[i], probe_rung_why(i));
}

static int measure(s32 pid, const char *path)
{
	struct plan_job job = {.pid = pid, .mem = -1, .jumps = true};
	_cleanup_free_ struct probe_maps *maps = calloc(1, sizeof(*maps));
	const struct probe_mapping *m = NULL;
	struct functions f = {0};
	struct plan plan;

	if (!maps || probe_maps_read(pid, maps))
		return fprintf(stderr, "no process %d\n", pid), -1;
	for (size_t i = 0; i < maps->n; i++)
		if (strstr(maps->v[i].path, path) && maps->v[i].file.ino)
			m = &maps->v[i];
	if (!m || functions_of(m->path, &f) || plan_init(&plan, NULL, f.n, 0))
		return fprintf(stderr, "%s is not mapped by %d\n", path, pid), -1;
	for (u32 i = 0; i < f.n; i++) {
		struct plan_item *it = &plan_items(plan.out)[i];

		it->file = m->file;
		it->path = m->path;
		it->offset = f.offsets[i];
	}
	plan_run(plan.out, &job);
	print(m->path, plan.out);
	munmap(plan.out, plan.out->size);
	free(f.offsets);
	probe_maps_free(maps);
	return 0;
}

int main(int argc, char **argv)
{
	int err = 0;

	for (int i = 2; i < argc; i++)
		err |= measure(atoi(argv[1]), argv[i]);
	return argc < 3 || err;
}
