/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sites at those who look at return addresses: see plan_unwind.h.
 *
 * Rule: what is suspended at an entry goes on at an exit, so an entry whose exits are not all known
 * puts the addresses back for good.
 */
#include "daemon/plan_unwind.h"

#include <string.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "base/macros.h"
#include "proto/shm_abi.h"

#define UNWIND_EXITS 8u

struct unwinder {
	const char *name;
	bool lands; /* ends in a landing pad and not, or not only, in a return */
	u32 flags;
};

/* The first is called by cleanups that were landed in: without it the next can't be suspended. */
static const struct unwinder unwinders[] = {
	{"_Unwind_Resume", true, AGENT_SITE_AGAIN},
	{"_Unwind_RaiseException", true, AGENT_SITE_THROWS},
	{"_Unwind_ForcedUnwind", true, AGENT_SITE_ENDS},
	{"_Unwind_Resume_or_Rethrow", true, AGENT_SITE_AGAIN},
	{"_Unwind_Backtrace", false, 0},
	{"unw_backtrace", false, 0},
};

/* They begin a walk that the program itself makes step by step: nobody sees its end. */
static const char *const walkers[] = {
	"unw_init_local",
	"__unw_init_local",
	"_UL" ARCH_LIBUNWIND "_init_local",
	"_UL" ARCH_LIBUNWIND "_init_local2",
	"_U" ARCH_LIBUNWIND "_init_local",
	"_U" ARCH_LIBUNWIND "_init_local2",
	"_U" ARCH_LIBUNWIND "_init_remote",
};

static bool unwind_symbol(const struct probe_mapping *m, struct probe_elf *elf, const char *name,
			  struct probe_symbol *out)
{
	char why[PROBE_WHY_MAX];

	return probe_elf_symbol(elf, name, out, why) == 0 && out->offset >= m->offset &&
	       out->offset - m->offset < m->end - m->start;
}

/*
 * Of one that raises exceptions the returns alone are good for something: there it says that nobody
 * catches this one (agent/callee.c).
 */
static int find_exits(struct probe_elf *elf, const struct probe_symbol *sym,
		      const struct unwinder *u, u64 exits[UNWIND_EXITS], bool *lands)
{
	int n = probe_unwind_exits(elf, sym, u->lands, exits, UNWIND_EXITS);

	*lands = n > 0;
	if (n <= 0 && u->flags & AGENT_SITE_THROWS)
		n = probe_unwind_exits(elf, sym, false, exits, UNWIND_EXITS);
	return n;
}

/* All exits of the function: without one of them, what is suspended would stay so. */
static bool unwind_exits(const struct plan_unwind_view *v, const struct probe_mapping *m,
			 struct probe_elf *elf, const struct unwinder *u)
{
	u64 exits[UNWIND_EXITS];
	struct probe_symbol sym;
	bool lands;
	int n;

	if (!unwind_symbol(m, elf, u->name, &sym))
		return false;
	n = find_exits(elf, &sym, u, exits, &lands);
	for (int i = 0; i < n; i++)
		if (!v->want(v->cookie, m, elf, exits[i],
			     AGENT_SITE_RESUME | (u->flags & AGENT_SITE_THROWS)))
			return false;
	return lands;
}

/*
 * Where an exit is not found (other unwinders leave through code of their own) return addresses are
 * put back for good.
 */
static void unwind_file(const struct plan_unwind_view *v, const struct probe_mapping *m,
			struct probe_elf *elf)
{
	struct probe_symbol sym;
	bool lands = true, known[ARRAY_SIZE(unwinders)];

	for (u32 i = 0; i < ARRAY_SIZE(unwinders); i++) {
		known[i] = unwind_exits(v, m, elf, &unwinders[i]);
		if (unwinders[i].lands && !known[i])
			lands &= i && !unwind_symbol(m, elf, unwinders[i].name, &sym);
	}
	for (u32 i = 0; i < ARRAY_SIZE(unwinders); i++) {
		bool suspend = known[i] && (lands || !unwinders[i].lands);

		if (unwind_symbol(m, elf, unwinders[i].name, &sym) && (i || suspend))
			v->want(v->cookie, m, elf, sym.offset,
				AGENT_SITE_UNWIND | unwinders[i].flags |
					(suspend ? AGENT_SITE_SUSPEND : 0));
	}
	for (u32 i = 0; i < ARRAY_SIZE(walkers); i++)
		if (unwind_symbol(m, elf, walkers[i], &sym))
			v->want(v->cookie, m, elf, sym.offset, AGENT_SITE_UNWIND);
}

/* Who asks for its caller by its return address must be told the true one. */
static void ask_file(const struct plan_unwind_view *v, const struct probe_mapping *m,
		     struct probe_elf *elf)
{
	struct probe_symbol sym;

	for (const char *const *name = probe_askers; *name; name++) {
		u64 exits[UNWIND_EXITS];
		bool suspend;
		int n;

		if (!unwind_symbol(m, elf, *name, &sym))
			continue;
		n = probe_asker_exits(elf, &sym, exits, UNWIND_EXITS);
		suspend = n > 0;
		for (int i = 0; i < n; i++)
			suspend &= v->want(v->cookie, m, elf, exits[i],
					   AGENT_SITE_RESUME | AGENT_SITE_ASKS);
		v->want(v->cookie, m, elf, sym.offset,
			AGENT_SITE_UNWIND | AGENT_SITE_ASKS | (suspend ? AGENT_SITE_SUSPEND : 0));
	}
}

static bool has_unwinder(const struct probe_mapping *m, const char *exe)
{
	const char *base = strrchr(m->path, '/');

	return (m->prot & PROT_EXEC) && m->file.ino && base &&
	       (!strcmp(m->path, exe) || !strncmp(base, "/libgcc_s", 9) ||
		!strncmp(base, "/libunwind", 10));
}

void plan_unwind(const struct plan_unwind_view *v)
{
	for (size_t i = 0; i < v->maps->n; i++) {
		const struct probe_mapping m = v->maps->v[i];
		struct probe_elf *elf;

		if (!has_unwinder(&m, v->exe) &&
		    !((m.prot & PROT_EXEC) && m.file.ino && probe_is_libc(m.path)))
			continue;
		elf = v->open(v->cookie, &m);
		if (elf)
			probe_is_libc(m.path) ? ask_file(v, &m, elf) : unwind_file(v, &m, elf);
	}
}

const char *plan_throws_unseen(const struct plan_unwind_view *v)
{
	static const struct unwinder *const raises = &unwinders[1];

	for (size_t i = 0; i < v->maps->n; i++) {
		const struct probe_mapping *m = &v->maps->v[i];
		struct probe_elf *elf = has_unwinder(m, v->exe) ? v->open(v->cookie, m) : NULL;
		u64 exits[UNWIND_EXITS];
		struct probe_symbol sym;
		bool lands;

		m = &v->maps->v[i];
		if (elf && unwind_symbol(m, elf, raises->name, &sym) &&
		    find_exits(elf, &sym, raises, exits, &lands) <= 0)
			return m->path;
	}
	return NULL;
}

#define JUMP_START 12u /* bytes before anything that depends on where they are */

/*
 * glibc has the same function again, right behind, for itself, under no name that is kept. The site
 * is harmless in any other: it is looked at what the argument points to.
 */
static u64 twin_of(const struct plan_unwind_view *v, const struct probe_mapping *m,
		   const struct probe_symbol *sym)
{
	u64 twin = (sym->offset + sym->size + 15) & ~15ull;

	return v->same_text(v->cookie, m->start + (sym->offset - m->offset),
			    m->start + (twin - m->offset), JUMP_START)
		       ? twin
		       : 0;
}

/* The end of a thread ends in a jump of the C library's to where the thread began. */
void plan_left(const struct plan_unwind_view *v)
{
	for (size_t i = 0; i < v->maps->n; i++) {
		const struct probe_mapping m = v->maps->v[i];
		struct probe_elf *elf;
		struct probe_symbol sym;
		u64 twin;

		if (!(m.prot & PROT_EXEC) || !m.file.ino ||
		    !(probe_is_libc(m.path) || !strcmp(m.path, v->exe)))
			continue;
		elf = v->open(v->cookie, &m);
		if (!elf || !unwind_symbol(&m, elf, "siglongjmp", &sym))
			continue;
		v->want(v->cookie, &m, elf, sym.offset, AGENT_SITE_JUMP);
		twin = twin_of(v, &m, &sym);
		if (twin)
			v->want(v->cookie, &m, elf, twin, AGENT_SITE_JUMP);
	}
}
