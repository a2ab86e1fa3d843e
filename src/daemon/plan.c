/* SPDX-License-Identifier: BSD-2-Clause */
/* The planning worker: see plan.h. */
#include "daemon/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/plan_call.h"
#include "daemon/plan_jump.h"
#include "daemon/plan_unwind.h"
#include "daemon/target.h"

#define ARENA_TEXT ((u32)ARCH_STUB_RECORDS)
#define ARENA_SIZE (2 * ARENA_TEXT) /* and the records */
#define ARENA_DISTANCE (512ull << 20)
#define ARENA_TRIES 32u
#define KERNEL_ROOM (32ull << 20)
#define STUB_REACH ((1ull << 31) - ARENA_SIZE)
#define FILES_MAX 64u
#define TEXT_LEN 64u
#define SYSCALL_LEN 2u
#define OWN_SITES (1 + 3 * PLAN_SYSCALL_SITES + PLAN_UNWIND_SITES)  /* and the loader's */
#define RETURN_SITES(nitems) (2 * PROBE_RETURNS_MAX + 8 * (nitems)) /* untouched, mostly */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX RLIM_INFINITY
#else
#define MEMORY_MAX (2ull << 30)
#endif

struct planned_file {
	struct osl_ident ident;
	struct probe_elf *elf;
	s64 ctime_ns;
	int err;
	char why[PROBE_WHY_MAX];
};

struct worker {
	struct plan_out *o;
	const struct plan_job *job;
	struct probe_maps maps;
	struct planned_file files[FILES_MAX];
	u32 nfiles;
	bool at_returns; /* return addresses must not be replaced */
	bool native;	 /* there is a shadow stack: nor may calls be emulated */
	char exe[512];
	struct addr_index planned,
		entered;	  /* of the plan's sites; of the target's without its own */
	struct addr_index *known; /* of the target's */
	u32 near;		  /* the mapping that was asked for last */
	struct plan_pads pads;
	u64 exe_end; /* where its heap will begin; 0: it has begun */
};

static __printf_like(2, 3) void say(char why[PROBE_WHY_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, PROBE_WHY_MAX, fmt, ap);
	va_end(ap);
}

/* --- files ----------------------------------------------------------------------------------- */

static bool same_file(const char *path, const struct osl_ident *ident, s64 *ctime_ns)
{
	struct stat st;

	if (stat(path, &st) || st.st_dev != ident->dev || st.st_ino != ident->ino)
		return false;
	*ctime_ns = st.st_ctim.tv_sec * 1000000000ll + st.st_ctim.tv_nsec;
	return true;
}

/* In its root, which may lie deeper than the one its mappings are named from. */
static bool in_its_root(pid_t pid, const char *name, const struct osl_ident *ident, char *out,
			size_t size, s64 *ctime_ns)
{
	for (; name; name = strchr(name + 1, '/')) {
		snprintf(out, size, "/proc/%d/root%s", pid, name);
		if (same_file(out, ident, ctime_ns))
			return true;
	}
	return false;
}

/* A name under which we can open what the target has mapped: as people say it, or in its root. */
static bool find_name(const struct worker *w, const struct osl_ident *ident, const char *a,
		      const char *b, char *out, size_t size, s64 *ctime_ns)
{
	const char *names[] = {a, b};

	for (u32 i = 0; i < 2; i++) {
		if (!names[i] || names[i][0] != '/')
			continue;
		snprintf(out, size, "%s", names[i]);
		if (same_file(out, ident, ctime_ns))
			return true;
		if (in_its_root(w->job->pid, names[i], ident, out, size, ctime_ns))
			return true;
	}
	return false;
}

static struct planned_file *open_file(struct worker *w, const struct osl_ident *ident,
				      const char *mapped, const char *path)
{
	struct planned_file *f;
	char name[4400];

	for (u32 i = 0; i < w->nfiles; i++)
		if (w->files[i].ident.ino == ident->ino && w->files[i].ident.dev == ident->dev)
			return &w->files[i];
	if (w->nfiles == FILES_MAX)
		return NULL;
	f = &w->files[w->nfiles++];
	f->ident = *ident;
	if (find_name(w, ident, mapped, path, name, sizeof(name), &f->ctime_ns)) {
		f->err = probe_elf_open(name, &f->elf, f->why);
	} else {
		f->err = -ESTALE;
		say(f->why,
		    "%s is no longer the file that the process has mapped; restart the "
		    "process",
		    mapped && *mapped ? mapped : path);
	}
	return f;
}

static struct probe_elf *open_mapped(void *cookie, const struct probe_mapping *m)
{
	const struct planned_file *f = open_file(cookie, &m->file, m->path, m->path);

	return f && !f->err ? f->elf : NULL;
}

/* --- memory ---------------------------------------------------------------------------------- */

static ssize_t read_memory(const struct worker *w, u64 addr, void *buf, size_t len)
{
	ssize_t n = probe_read_memory(w->job->pid, addr, buf, len);

	if ((n != -EPERM && n != -EACCES) || w->job->mem < 0)
		return n;
	n = pread(w->job->mem, buf, len, (off_t)addr);
	return n < 0 ? -errno : n;
}

static const struct probe_mapping *mapping_of(struct worker *w, u64 addr)
{
	const struct probe_mapping *v = w->maps.v;

	if (w->near < w->maps.n && addr >= v[w->near].start && addr < v[w->near].end)
		return &v[w->near];
	for (size_t i = 0; i < w->maps.n; i++)
		if (addr >= v[i].start && addr < v[i].end) {
			w->near = (u32)i;
			return &v[i];
		}
	return NULL;
}

static u64 known_addr(const void *v, u32 i)
{
	return ((const struct site *)v)[i].site.patch.addr;
}

static const struct site *site_known(struct worker *w, u64 addr)
{
	int i = addr_index_find(w->known, addr, w->job->nsites, known_addr, w->job->sites);

	return i < 0 ? NULL : &w->job->sites[i];
}

/* Sites go with the file they are in; what is mapped there now is somebody else's. */
static bool is_gone(struct worker *w, const struct site *s)
{
	const struct probe_mapping *m = mapping_of(w, s->site.patch.addr);

	return !m || m->file.ino != s->file.ino || m->file.dev != s->file.dev ||
	       m->offset + (s->site.patch.addr - m->start) != s->offset;
}

static const struct site *site_in_text(struct worker *w, u64 addr)
{
	const struct site *s = site_known(w, addr);

	return s && (s->armed || s->lies) && !is_gone(w, s) ? s : NULL;
}

/* What was at the site, into the @len bytes at @text, which are those at @addr. */
static void put_back(const struct agent_site *s, u64 addr, u8 *text, u64 len)
{
	u32 own = s->jump.to ? MAX(s->jump.own, s->patch.len) : s->patch.len;

	for (u32 i = 0; i < own; i++)
		if (s->patch.addr + i - addr < len)
			text[s->patch.addr + i - addr] = arch_jump_was(&s->patch, &s->jump, i);
}

/* The target's text at @addr as it would be without us. */
static ssize_t read_text(struct worker *w, u64 addr, u8 *buf, size_t len)
{
	ssize_t n = read_memory(w, addr, buf, len);

	/* a jump before it may be over it */
	for (u64 at = addr - ARCH_JUMP_LEN + 1; n > 0 && at != addr + (u64)n; at++) {
		const struct site *site = site_in_text(w, at);

		if (site)
			put_back(&site->site, addr, buf, (u64)n);
	}
	return n;
}

/* --- slots ----------------------------------------------------------------------------------- */

static u64 slot_in(struct plan_arena *a, u64 lo, u64 hi)
{
	u64 slot = a->addr + a->used;

	if (a->used + ARCH_SLOT_SIZE > a->size || slot < lo || slot > hi)
		return 0;
	a->used += ARCH_SLOT_SIZE;
	return slot;
}

/* The maps we look for gaps in have to know what we are going to map. */
static void note_mapping(struct worker *w, u64 addr, u64 size, u32 prot)
{
	struct probe_maps *m = &w->maps;
	struct probe_mapping *v = realloc(m->v, (m->n + 1) * sizeof(*v));
	size_t i;

	if (!v)
		return;
	m->v = v;
	for (i = 0; i < m->n && v[i].start < addr; i++)
		;
	memmove(&v[i + 1], &v[i], (m->n - i) * sizeof(*v));
	memset(&v[i], 0, sizeof(v[i]));
	v[i].start = addr;
	v[i].end = addr + size;
	v[i].prot = prot;
	v[i].path = strdup("");
	m->n++;
}

static bool arena_fits(struct worker *w, u64 addr, u64 keep)
{
	return addr && probe_maps_above(&w->maps, addr) - addr >= keep &&
	       !plan_pads_lead_into(&w->pads, addr, ARENA_TEXT);
}

/* Room for an arena in [@lo, @hi], where no jump can be led astray to: near @near or elsewhere. */
static u64 arena_gap(struct worker *w, u64 lo, u64 hi, u64 near, u64 keep)
{
	u64 last = hi - ARENA_SIZE, addr;

	for (u32 i = 0; i <= ARENA_TRIES; i++) {
		addr = probe_maps_gap(&w->maps, lo, last, near, ARENA_SIZE);
		if (arena_fits(w, addr, keep))
			return addr;
		near = lo + (last - lo) / ARENA_TRIES * i;
	}
	return 0;
}

static u64 slot_near(struct worker *w, u64 near, u64 lo, u64 hi)
{
	struct plan_out *o = w->o;
	struct plan_arena *a;
	u64 addr, slot;

	for (u32 i = 0; i < o->narenas; i++) {
		slot = slot_in(&o->arenas[i], lo, hi);
		if (slot)
			return slot;
	}
	if (o->narenas == PLAN_ARENAS || hi - lo < ARENA_SIZE)
		return 0;
	/* not next to the module: that is where the kernel puts what is mapped next */
	near = near - lo > ARENA_DISTANCE ? near - ARENA_DISTANCE : lo;
	addr = arena_gap(w, lo, hi, near, KERNEL_ROOM);
	if (!addr)
		addr = arena_gap(w, lo, hi, near, 0);
	if (!addr)
		return 0;
	note_mapping(w, addr, ARENA_TEXT, PROT_READ | PROT_EXEC);
	note_mapping(w, addr + ARENA_TEXT, ARENA_SIZE - ARENA_TEXT, PROT_READ | PROT_WRITE);
	a = &o->arenas[o->narenas++];
	*a = (struct plan_arena){.addr = addr, .size = ARENA_TEXT};
	return slot_in(a, lo, hi);
}

static int give_slot(struct worker *w, struct arch_patch *p, char why[PROBE_WHY_MAX])
{
	u64 lo, hi, slot;
	int err;

	if (!arch_patch_needs_slot(p))
		return 0;
	arch_patch_slot_range(p, &lo, &hi);
	slot = slot_near(w, p->addr, lo, hi);
	err = slot ? arch_patch_relocate(p, slot) : -ENOMEM;
	if (err == -EINVAL)
		say(why, "the displaced instruction of %#llx is not the same elsewhere",
		    (unsigned long long)p->addr);
	else if (err)
		say(why,
		    "there is no free memory near enough to %#llx for the displaced "
		    "instruction",
		    (unsigned long long)p->addr);
	return err;
}

/* --- jumps ----------------------------------------------------------------------------------- */

static void keep_near(u64 first, u64 last, u64 *lo, u64 *hi)
{
	*lo = MAX(*lo, last > STUB_REACH ? last - STUB_REACH : 0);
	*hi = MIN(*hi, first + STUB_REACH);
}

/* A stub reaches its site, and is in reach of what the jump may lead to: [*lo, *hi]. */
static void stub_range(const struct arch_patch *p, u64 *lo, u64 *hi)
{
	u64 first = *lo, last = *hi;

	arch_patch_slot_range(p, lo, hi);
	keep_near(p->addr, p->addr, lo, hi);
	if (p->len < ARCH_JUMP_LEN)
		keep_near(first, last, lo, hi);
}

/* Will the bytes of a jump at @addr stay together: is it all of one mapping? */
static bool in_one_mapping(const struct worker *w, u64 addr)
{
	for (size_t i = 0; i < w->maps.n; i++)
		if (addr - w->maps.v[i].start < w->maps.v[i].end - w->maps.v[i].start)
			return w->maps.v[i].end - addr >= ARCH_JUMP_LEN;
	return false;
}

/* Stacks of Go are small, and move; with shadow stacks a call must not be emulated. */
static enum probe_rung best_rung(struct worker *w, struct probe_elf *elf, const struct plan_site *s,
				 const u8 *text, size_t len)
{
	if (!w->job->jumps)
		return PROBE_RUNG_ASKED;
	if (w->native)
		return PROBE_RUNG_SHADOW;
	if (!in_one_mapping(w, s->patch.addr))
		return PROBE_RUNG_ENDS;
	return probe_rung_of(elf, &s->patch, text, len);
}

/* Room for the stub: in reach of where the bytes behind a short instruction lead, or just near. */
static u64 give_stub(struct worker *w, const struct arch_patch *p, const u8 *text, size_t len)
{
	u64 lo = p->addr, hi = p->addr, stub = 0;

	if (arch_jump_range(p, text, len, &lo, &hi)) {
		stub_range(p, &lo, &hi);
		stub = lo < hi ? slot_near(w, p->addr, lo, hi) : 0;
	}
	if (stub || p->len >= ARCH_JUMP_LEN)
		return stub;
	lo = hi = p->addr;
	stub_range(p, &lo, &hi);
	return lo < hi ? slot_near(w, p->addr, lo, hi) : 0;
}

/* Where the jump leads; how, by its rung. */
static enum probe_rung lead(struct worker *w, struct probe_elf *elf, u64 offset,
			    const struct arch_patch *p, const u8 *text, size_t len,
			    struct arch_jump *j)
{
	if (plan_jump(&w->pads, &w->maps, w->exe_end, p, text, len, j))
		return PROBE_RUNG_PUN;
	if (!j->follow || probe_branches_into(elf, offset, ARCH_JUMP_LEN) ||
	    !plan_jump_over(&w->pads, &w->maps, w->exe_end, p, text, len, j))
		return PROBE_RUNG_TAKEN;
	return PROBE_RUNG_OVER;
}

static enum probe_rung give_jump(struct worker *w, struct probe_elf *elf, u64 offset,
				 struct plan_site *s, const u8 *text, size_t len)
{
	enum probe_rung best = best_rung(w, elf, s, text, len), rung;
	struct arch_jump j = {0};
	u32 npads = w->pads.n, follow;
	u64 stub;

	memset(&s->jump, 0, sizeof(s->jump));
	s->sheet = 0;
	if (!probe_rung_is_jump(best) && best != PROBE_RUNG_TAKEN)
		return best;
	follow = probe_follows(elf, offset, &s->patch, text, len);
	stub = give_stub(w, &s->patch, text, len);
	if (!stub || arch_jump_stub(&s->patch, text, follow, stub, stub + ARCH_STUB_RECORDS, &j))
		return PROBE_RUNG_FAR;
	rung = lead(w, elf, offset, &s->patch, text, len, &j);
	if (rung == PROBE_RUNG_TAKEN)
		return rung;
	if (rung == PROBE_RUNG_OVER)
		best = rung;
	if (w->pads.n != npads)
		note_mapping(w, ALIGN_DOWN(j.to, EBPFRT_PAGE_SIZE), EBPFRT_PAGE_SIZE,
			     PROT_READ | PROT_EXEC);
	s->jump = j;
	s->sheet = j.to == j.stub ? 0 : plan_pads_sheet(&w->pads, j.to);
	return best;
}

#define STAT_START_BRK 47

/* Where the kernel says its heap begins, or 0. */
static u64 heap_start(s32 pid)
{
	char path[64], buf[1024], *at;
	_cleanup_fclose_ FILE *f = NULL;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	buf[n] = 0;
	at = strrchr(buf, ')'); /* its name, field 2, may be anything */
	for (u32 i = 2; at && i < STAT_START_BRK; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* What pads hold already, what arenas found in their way, and where the heap will be. */
static void know_pads(struct worker *w)
{
	for (u32 i = 0; i < w->o->narenas; i++)
		if (!w->o->arenas[i].size)
			note_mapping(w, w->o->arenas[i].addr, w->o->arenas[i].used,
				     PROT_READ | PROT_EXEC);
	for (u32 i = 0; i < w->job->nsites; i++) {
		const struct agent_site *s = &w->job->sites[i].site;

		if (s->jump.to)
			plan_pads_note(&w->pads, &s->patch, &s->jump, w->job->sites[i].sheet);
	}
	for (size_t i = 0; i < w->maps.n; i++) {
		const struct probe_mapping *m = &w->maps.v[i];

		if (!strcmp(m->path, "[heap]")) {
			w->exe_end = 0;
			return;
		}
		/* what is not initialised has no name */
		if (!strcmp(m->path, w->exe) || (!*m->path && m->start == w->exe_end))
			w->exe_end = m->end;
	}
	w->exe_end = MAX(w->exe_end, heap_start(w->job->pid));
}

/* --- one site -------------------------------------------------------------------------------- */

static u64 planned_addr(const void *v, u32 i)
{
	return ((const struct plan_site *)v)[i].patch.addr;
}

static int site_at(struct worker *w, u64 addr)
{
	return addr_index_find(&w->planned, addr, w->o->nsites, planned_addr, plan_sites(w->o));
}

/* A site we had there before, whose slot can serve again: the same instruction. */
static const struct site *known_site(struct worker *w, u64 addr, const u8 *text, size_t len)
{
	const struct site *s = site_known(w, addr);
	const struct arch_patch *p = s ? &s->site.patch : NULL;

	return p && len >= p->len && !memcmp(p->insn, text, p->len) ? s : NULL;
}

static int plan_patch(struct worker *w, struct probe_elf *elf, u64 offset, u64 addr,
		      struct plan_site *s, char why[PROBE_WHY_MAX])
{
	const struct site *known;
	u8 text[TEXT_LEN];
	ssize_t n = read_text(w, addr, text, sizeof(text));
	int err;

	if (n <= 0) {
		say(why, "cannot read the process's memory at %#llx: %s", (unsigned long long)addr,
		    strerror(n ? -n : EIO));
		return n ? (int)n : -EIO;
	}
	known = known_site(w, addr, text, n);
	if (known) {
		s->patch = known->site.patch;
		s->jump = known->site.jump;
		s->rung = known->rung;
		s->sheet = known->sheet;
		return 0;
	}
	err = probe_plan(elf, offset, addr, text, n, &s->patch, why);
	if (!err && w->at_returns && !arch_patch_native(&s->patch) && w->native) {
		say(why, "cannot probe the call at %#llx: the process has a shadow stack",
		    (unsigned long long)addr);
		err = -EOPNOTSUPP;
	}
	if (!err)
		err = give_slot(w, &s->patch, why);
	if (err)
		return err;
	s->rung = give_jump(w, elf, offset, s, text, n);
	/* the agent's own sites are breaks in any case */
	if (!probe_rung_is_jump(s->rung) && w->job->only_jumps && !s->flags) {
		say(why, "cannot put a jump at %#llx, as EBPFRT_PROBE=jump asks for: %s",
		    (unsigned long long)addr, probe_rung_why(s->rung));
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Index of the site at @addr, planned when it is new; or -errno. */
static int want_site(struct worker *w, struct probe_elf *elf, const struct osl_ident *file,
		     u64 offset, u64 addr, u32 flags, char why[PROBE_WHY_MAX])
{
	const struct osl_ident of = *file; /* it moves when memory is noted for the site */
	struct plan_out *o = w->o;
	struct plan_site *s;
	int i = site_at(w, addr), err;

	if (i >= 0) {
		plan_sites(o)[i].flags |= flags;
		return i;
	}
	if (o->nsites == o->max_sites)
		return -ENOSPC;
	s = &plan_sites(o)[o->nsites];
	s->flags = flags;
	err = plan_patch(w, elf, offset, addr, s, why);
	if (err)
		return err;
	s->file = of;
	s->offset = offset;
	return o->nsites++;
}

static void name_symbol(struct plan_item *it, struct probe_elf *elf)
{
	struct probe_symbol sym;

	if (probe_elf_symbol_at(elf, it->offset, &sym) || !sym.name)
		return;
	if (sym.offset == it->offset)
		snprintf(it->symbol, sizeof(it->symbol), "%s", sym.name);
	else
		snprintf(it->symbol, sizeof(it->symbol), "%.72s+0x%llx", sym.name,
			 (unsigned long long)(it->offset - sym.offset));
}

static bool is_base_file(const struct worker *w, const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strcmp(path, w->exe) || !strncmp(name, "libc.so", 7) ||
	       !strncmp(name, "libc-", 5) || !strncmp(name, "ld-", 3);
}

/* The writable mapping of the file that holds the counter. */
static u64 counter_address(const struct worker *w, const struct plan_item *it)
{
	for (size_t i = 0; i < w->maps.n; i++) {
		const struct probe_mapping *m = &w->maps.v[i];

		if ((m->prot & PROT_WRITE) && m->file.ino == it->file.ino &&
		    m->file.dev == it->file.dev && it->ref_ctr >= m->offset &&
		    it->ref_ctr - m->offset + sizeof(u16) <= m->end - m->start)
			return m->start + (it->ref_ctr - m->offset);
	}
	return 0;
}

/* Instead of replacing return addresses: each return of the function is a site. */
static int plan_returns(struct worker *w, struct planned_file *f, struct plan_item *it)
{
	u64 offsets[PROBE_RETURNS_MAX];
	int n = probe_returns(f->elf, it->offset, offsets, it->why), i = 0;

	for (int k = 0; k < n && i >= 0; k++) {
		struct plan_site *s;

		i = want_site(w, f->elf, &it->file, offsets[k], it->addr + offsets[k] - it->offset,
			      AGENT_SITE_RETURN, it->why);
		if (i == -ENOSPC)
			say(it->why, "too many returns are probed at a time");
		if (i < 0)
			break;
		s = &plan_sites(w->o)[i];
		if (s->func && s->func != it->addr) {
			say(it->why,
			    "cannot probe the return of %.90s: another function that is "
			    "probed returns there, too",
			    it->symbol);
			i = -EBUSY;
		}
		s->func = it->addr;
	}
	return n < 0 ? n : MIN(i, 0);
}

/* A ret instruction doesn't tell which call's entry it belongs to. */
static int refuse_session(struct plan_item *it)
{
	say(it->why,
	    "%s cannot be probed by a session: return addresses must stay as they are here (Go, "
	    "Java, V8 or "
	    "the like, a shadow stack, or EBPFRT_RETURNS=sites); attach a uprobe and a uretprobe "
	    "program",
	    it->symbol[0] ? it->symbol : it->path);
	return -EOPNOTSUPP;
}

/* NULL: it is a jump. */
static const char *why_break(const struct worker *w, const struct plan_site *s)
{
	if (s->jump.to)
		return NULL;
	return w->job->jumps ? "no jump can be there"
			     : "the daemon was started with EBPFRT_PROBE=trap";
}

static int plan_callees(struct worker *w, struct plan_item *it)
{
	const struct plan_unwind_view unwind = {&w->maps, w->exe, open_mapped, NULL, NULL, w};
	const struct plan_call_view v = {
		.maps = &w->maps,
		.exe = w->exe,
		.pid = w->job->pid,
		.unseen = plan_throws_unseen(&unwind),
		.open = open_mapped,
		.cookie = w,
	};

	return plan_calls(&v, it);
}

static void plan_one(struct worker *w, struct plan_item *it)
{
	const struct probe_mapping *m = probe_maps_find(&w->maps, &it->file, it->offset);
	struct planned_file *f;
	int i;

	if (!m) {
		it->pending = true;
		say(it->why, "%s is not loaded yet", it->path);
		return;
	}
	it->addr = m->start + (it->offset - m->offset);
	it->fixed = is_base_file(w, m->path);
	f = open_file(w, &it->file, m->path, it->path);
	it->err = f ? f->err : -EMFILE;
	if (it->err) {
		if (f)
			memcpy(it->why, f->why, sizeof(it->why));
		return;
	}
	name_symbol(it, f->elf);
	it->err = it->ncallees ? plan_callees(w, it) : 0;
	if (it->err)
		return;
	if (it->is_ret)
		it->err = probe_ret_at(f->elf, it->offset, it->symbol, it->why);
	it->at_returns = it->is_ret && (w->at_returns || probe_elf_knows_returns(f->elf));
	if (!it->err && it->at_returns)
		it->err = it->is_session ? refuse_session(it) : plan_returns(w, f, it);
	if (it->err)
		return;
	i = want_site(w, f->elf, &it->file, it->offset, it->addr, 0, it->why);
	it->err = MIN(i, 0);
	if (i >= 0)
		it->site = i;
	if (i >= 0 && it->ncallees)
		it->err = plan_calls_at(it, why_break(w, &plan_sites(w->o)[i]));
	if (i >= 0 && it->ref_ctr)
		it->sema = counter_address(w, it);
}

/* --- what the target needs besides ----------------------------------------------------------- */

/* A thread that blocks SIGTRAP would be killed by the first break instruction it meets. */
static bool task_blocks_trap(s32 pid, const char *tid)
{
	unsigned long long blocked = 0;
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", pid, tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
			break;
	return blocked & (1ull << (SIGTRAP - 1));
}

static int check_masks(const struct plan_job *job, char why[PROBE_WHY_MAX])
{
	char path[64];
	struct dirent *e;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", job->pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!err && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || atoi(e->d_name) == job->tid)
			continue;
		if (!task_blocks_trap(job->pid, e->d_name))
			continue;
		say(why,
		    "thread %.16s of process %d blocks SIGTRAP, a probe would kill it; start the "
		    "program with `ebpfrt run`, which keeps the signal unblocked",
		    e->d_name, job->pid);
		err = -EBUSY;
	}
	closedir(dir);
	return err;
}

/* The loader calls an empty function whenever its list of libraries has changed: r_debug.r_brk. */
static void plan_hook(struct worker *w)
{
	const struct probe_mapping *m;
	struct planned_file *f;
	char why[PROBE_WHY_MAX];
	u64 brk = 0, offset;

	if (!w->job->dl_debug ||
	    read_memory(w, w->job->dl_debug + 16, &brk, sizeof(brk)) != sizeof(brk))
		return;
	m = mapping_of(w, brk);
	if (!m || !m->file.ino || !(m->prot & PROT_EXEC))
		return;
	f = open_file(w, &m->file, m->path, m->path);
	if (!f || f->err)
		return;
	offset = brk - m->start + m->offset;
	if (want_site(w, f->elf, &m->file, offset, brk, AGENT_SITE_MODULES, why) >= 0)
		w->o->hooked = true;
}

/* system calls that change masks and actions, that wait with a mask of their own, that take
 * signals that are blocked, that filter system calls, that execute a program,
 * and by which a process is going to be traced */
#define SYS_EPOLL_PWAIT2 441
static const u32 guarded_calls[] = {SYS_rt_sigaction,	 SYS_rt_sigprocmask, SYS_rt_sigpending,
				    SYS_rt_sigtimedwait, SYS_rt_sigsuspend,  SYS_pselect6,
				    SYS_ppoll,		 SYS_epoll_pwait,    SYS_EPOLL_PWAIT2,
				    SYS_prctl,		 SYS_seccomp,	     SYS_execve,
				    SYS_execveat,	 SYS_ptrace};

#define ANY_CALL UINT32_MAX /* of syscall(): the number is in a register */

static int scan_add(u32 nr, u64 load, u64 call, void *cookie)
{
	struct plan_scan *scan = cookie;

	if (scan->n == PLAN_SYSCALL_SITES)
		return 1;
	scan->calls[scan->n].load = load;
	scan->calls[scan->n].call = call;
	scan->calls[scan->n++].nr = nr;
	return 0;
}

static int scan_add_any(u32 nr, u64 load, u64 call, void *cookie)
{
	(void)nr;
	return scan_add(ANY_CALL, load, call, cookie);
}

static bool scan_is_of(const struct plan_scan *scan, const struct planned_file *f)
{
	return scan->file.ino == f->ident.ino && scan->file.dev == f->ident.dev &&
	       scan->ctime_ns == f->ctime_ns;
}

/* Looking through a C library takes tens of milliseconds: once, then it is remembered. */
static const struct plan_scan *scan_file(struct worker *w, const struct planned_file *f)
{
	struct plan_scan *scan;
	u64 call;

	for (u32 i = 0; i < w->job->nscans; i++)
		if (scan_is_of(&w->job->scans[i], f))
			return &w->job->scans[i];
	for (u32 i = 0; i < w->o->nscans; i++)
		if (scan_is_of(&w->o->scans[i], f))
			return &w->o->scans[i];
	if (w->o->nscans == PLAN_SCANS)
		return NULL;
	scan = &w->o->scans[w->o->nscans++];
	scan->file = f->ident;
	scan->ctime_ns = f->ctime_ns;
	if (probe_libc_syscall(f->elf, &call) == 0)
		scan_add(ANY_CALL, call, call, scan);
	probe_libc_syscall_sites(f->elf, guarded_calls, ARRAY_SIZE(guarded_calls), scan_add, scan);
	if (probe_has_sanitizer(f->elf))
		probe_unknown_syscalls(f->elf, scan_add_any, scan);
	return scan;
}

/* The site of a call is at the load of the number where that stands right before it. */
static int sanitise_patch(struct worker *w, u64 addr, bool is_call, u32 nr,
			  struct arch_patch *patch)
{
	char why[PROBE_WHY_MAX];
	const struct site *known;
	u8 text[TEXT_LEN];
	ssize_t n = read_text(w, addr, text, sizeof(text));
	int err;

	if (n <= 0)
		return -EIO;
	known = known_site(w, addr, text, n);
	if (known) {
		*patch = known->site.patch;
		return 0;
	}
	err = is_call ? arch_patch_plan_syscall(text, n, addr, nr, patch)
		      : arch_patch_plan(text, n, addr, patch);
	return err ? -EOPNOTSUPP : give_slot(w, patch, why);
}

static u32 guard_flags(u32 nr)
{
	return nr == SYS_rt_sigaction ? AGENT_SITE_SIGACTION
	       : nr == ANY_CALL	      ? AGENT_SITE_SIGACTION | AGENT_SITE_SIGMASK
				      : AGENT_SITE_SIGMASK;
}

/* A function that begins with its call, as execve() does, may be probed: that trap guards, too. */
static bool guard_probed(struct worker *w, u64 addr, u32 nr)
{
	int i = site_at(w, addr);

	if (i < 0)
		return false;
	plan_sites(w->o)[i].flags |= guard_flags(nr);
	plan_sites(w->o)[i].jump = (struct arch_jump){0};
	return true;
}

static bool sanitise_at(struct worker *w, const struct probe_mapping *m, u64 offset, bool is_call,
			u32 nr)
{
	u64 addr = m->start + (offset - m->offset);
	struct plan_out *o = w->o;
	struct plan_site *s = &plan_sites(o)[o->nsites];

	/* one is kept for the loader's notification point */
	if (offset < m->offset || offset - m->offset >= m->end - m->start ||
	    o->nsites + 1 >= o->max_sites || site_at(w, addr) >= 0)
		return false;
	if (sanitise_patch(w, addr, is_call, nr, &s->patch))
		return false;
	s->jump = (struct arch_jump){0};
	s->file = m->file;
	s->offset = offset;
	s->flags = guard_flags(nr);
	o->nsites++;
	return true;
}

static bool waits_with_mask(u32 nr)
{
	return nr == SYS_rt_sigtimedwait || nr == SYS_rt_sigsuspend || nr == SYS_pselect6 ||
	       nr == SYS_ppoll || nr == SYS_epoll_pwait || nr == SYS_EPOLL_PWAIT2;
}

static void sanitise_one(struct worker *w, const struct probe_mapping *m, u64 load, u64 call,
			 u32 nr)
{
	bool waits = waits_with_mask(nr);
	bool at_load = call - load == 5;

	if (!waits && guard_probed(w, m->start + ((at_load ? load : call) - m->offset), nr))
		return;
	/* what is changed before the call is put back behind it: both or none */
	if (waits && !sanitise_at(w, m, call + SYSCALL_LEN, false, nr))
		return;
	if (!sanitise_at(w, m, at_load ? load : call, !at_load, nr) && waits)
		w->o->nsites--;
}

/* The places where signals are blocked and their handlers set: the agent keeps its own open. */
static void plan_sanitise(struct worker *w)
{
	for (size_t i = 0; i < w->maps.n; i++) {
		/* a copy: planning may enter new mappings and so move the others */
		const struct probe_mapping m = w->maps.v[i];
		const struct plan_scan *scan;
		struct planned_file *f;

		if (!(m.prot & PROT_EXEC) || !m.file.ino ||
		    !(probe_calls_kernel(m.path) || !strcmp(m.path, w->exe)))
			continue;
		f = open_file(w, &m.file, m.path, m.path);
		scan = f && !f->err ? scan_file(w, f) : NULL;
		for (u32 k = 0; scan && k < scan->n; k++)
			sanitise_one(w, &m, scan->calls[k].load, scan->calls[k].call,
				     scan->calls[k].nr);
	}
	w->o->sanitised = true;
}

/* Only libraries that can come and go are a reason to watch the loader, an unwinder included. */
static bool wants_hook(const struct worker *w)
{
	for (u32 i = 0; i < w->o->nitems; i++) {
		const struct plan_item *it = &plan_items(w->o)[i];

		if (it->pending || (!it->err && !it->fixed))
			return true;
	}
	return w->job->want_unwind;
}

static void read_exe(struct worker *w)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", w->job->pid);
	n = readlink(link, w->exe, sizeof(w->exe) - 1);
	w->exe[MAX(n, 0)] = 0;
}

/*
 * Python's greenlets share a stack, and what one has on it is elsewhere while another runs: nobody
 * can put a return address back there. Their module has this name.
 */
static bool copies_stacks(const struct probe_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++) {
		const char *name = strrchr(maps->v[i].path, '/');

		if (name && maps->v[i].prot & PROT_EXEC && !strncmp(name, "/_greenlet.", 11))
			return true;
	}
	return false;
}

/* What the kernel says of shadow stacks, and what the user wants. */
static void read_returns(struct worker *w)
{
	const char *env = getenv("EBPFRT_RETURNS");
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", w->job->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		w->native |= !strncmp(line, "x86_Thread_features:", 20) && strstr(line, "shstk");
	w->at_returns = w->native || (env && !strcmp(env, "sites")) || copies_stacks(&w->maps);
}

static void worker_deinit(struct worker *w)
{
	for (u32 i = 0; i < w->nfiles; i++)
		probe_elf_free(&w->files[i].elf);
	free(w->planned.v);
	free(w->entered.v);
	probe_maps_free(&w->maps);
	plan_pads_free(&w->pads);
}

static bool armed_at(struct worker *w, u64 addr, u32 flags)
{
	const struct site *s = site_known(w, addr);

	return s && s->armed && (s->site.flags & flags);
}

/* --- who looks at return addresses: plan_unwind.c ----------------------------------------------
 */

static bool want_own(void *cookie, const struct probe_mapping *m, struct probe_elf *elf, u64 offset,
		     u32 flags)
{
	u64 addr = m->start + (offset - m->offset);
	struct worker *w = cookie;
	char why[PROBE_WHY_MAX];

	return armed_at(w, addr, flags) ||
	       want_site(w, elf, &m->file, offset, addr, flags, why) >= 0;
}

static bool same_text(void *cookie, u64 addr, u64 other, size_t len)
{
	u8 a[TEXT_LEN], b[TEXT_LEN];

	return len <= sizeof(a) && read_text(cookie, addr, a, len) == (ssize_t)len &&
	       read_text(cookie, other, b, len) == (ssize_t)len && memcmp(a, b, len) == 0;
}

static void plan_walkers(struct worker *w)
{
	const struct plan_unwind_view v = {&w->maps, w->exe, open_mapped, want_own, same_text, w};

	if (w->job->want_unwind)
		plan_unwind(&v);
	if (w->job->want_left)
		plan_left(&v);
}

static void take_stock(struct worker *w)
{
	w->known = w->job->known ? w->job->known : &w->entered;
	for (u32 i = 0; i < w->job->nsites; i++) {
		const struct site *s = &w->job->sites[i];

		if (s->armed && is_gone(w, s) && w->o->ngone < w->o->max_gone)
			plan_gone(w->o)[w->o->ngone++] = s->site.patch.addr;
	}
}

static bool any_site_wanted(const struct plan_out *o)
{
	for (u32 i = 0; i < o->nsites; i++)
		if (!plan_sites((struct plan_out *)o)[i].flags)
			return true;
	return false;
}

static void guard(struct worker *w)
{
	if (w->job->want_sanitise)
		plan_sanitise(w);
	/* the injector looks at the masks while all threads are stopped */
	if (w->job->tid)
		w->o->err = check_masks(w->job, w->o->why);
}

/* For what the target may execute. Nothing is lost without them but that. */
static void guard_only(struct worker *w)
{
	u32 n = w->o->nsites;

	guard(w);
	if (!w->o->err)
		return;
	w->o->err = 0;
	w->o->nsites = n;
}

void plan_run(struct plan_out *o, const struct plan_job *job)
{
	struct worker w = {.o = o, .job = job};

	o->err = probe_maps_read(job->pid, &w.maps);
	if (o->err) {
		say(o->why, "cannot read the memory map of process %d: %s", job->pid,
		    strerror(-o->err));
		return;
	}
	read_exe(&w);
	read_returns(&w);
	take_stock(&w);
	know_pads(&w);
	for (u32 i = 0; i < o->nitems; i++)
		plan_one(&w, &plan_items(o)[i]);
	if (job->want_hook && wants_hook(&w))
		plan_hook(&w);
	plan_walkers(&w);
	if (any_site_wanted(o))
		guard(&w);
	else if (job->want_guards && job->want_sanitise)
		guard_only(&w);
	worker_deinit(&w);
}

/* --- in the daemon --------------------------------------------------------------------------- */

int plan_init(struct plan *p, struct loop *loop, u32 nitems, u32 nknown)
{
	size_t size = sizeof(*p->out) +
		      nitems * (sizeof(struct plan_item) + sizeof(struct plan_site)) +
		      (OWN_SITES + RETURN_SITES(nitems)) * sizeof(struct plan_site) +
		      nknown * sizeof(u64);
	struct plan_out *o =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (o == MAP_FAILED)
		return -errno;
	memset(p, 0, sizeof(*p));
	p->loop = loop;
	p->out = o;
	o->size = size;
	o->nitems = nitems;
	o->max_sites = nitems + OWN_SITES + RETURN_SITES(nitems);
	o->max_gone = nknown;
	list_init(&p->timer.node);
	p->child.src.fd = -1;
	return 0;
}

static void __attribute__((noreturn)) worker_main(struct plan_out *o, const struct plan_job *job)
{
	struct rlimit cpu = {10, 11}, data = {MEMORY_MAX, MEMORY_MAX};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_DATA, &data);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	plan_run(o, job);
	store_release(&o->done, 1);
	_exit(0);
}

/* The worker is gone: what it wrote is ours alone now; its counts are still only numbers. */
static void plan_over(struct plan *p)
{
	struct plan_out *o = p->out;

	loop_timer_stop(p->loop, &p->timer);
	p->over = true;
	if (!o->done) {
		o->err = -EIO;
		say(o->why, "the files of the process could not be examined (the worker crashed or "
			    "took too long)");
	}
	if (o->nsites > o->max_sites || o->ngone > o->max_gone || o->narenas > PLAN_ARENAS ||
	    o->nscans > PLAN_SCANS)
		o->err = -EPROTO;
	p->fn(p);
}

static void plan_child_done(struct loop_child *c, int status)
{
	plan_over(container_of(c, struct plan, child));
}

static void plan_overdue(struct loop_timer *t)
{
	struct plan *p = container_of(t, struct plan, timer);

	loop_child_kill(p->loop, &p->child);
	plan_over(p);
}

int plan_start(struct plan *p, const struct plan_job *job, void (*fn)(struct plan *p))
{
	pid_t pid;
	int err;

	p->fn = fn;
	p->child.fn = plan_child_done;
	loop_timer_init(&p->timer, plan_overdue);
	pid = fork();
	if (!pid)
		worker_main(p->out, job);
	if (pid < 0)
		return -errno;
	err = loop_child_watch(p->loop, &p->child, pid);
	if (!err)
		loop_timer_arm(p->loop, &p->timer, PLAN_TIMEOUT_NS);
	return err;
}

void plan_deinit(struct plan *p)
{
	if (!p->out)
		return;
	loop_timer_stop(p->loop, &p->timer);
	loop_child_kill(p->loop, &p->child);
	munmap(p->out, p->out->size);
	p->out = NULL;
}
