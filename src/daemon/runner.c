/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs in a worker: see runner.h. */
#include "daemon/runner.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "core/run/map/inner.h"

#define PROGS_MAX 64u
static struct {
	struct ebpf_prog prog[PROGS_MAX];
	u32 n;
	u32 ctx_max;
} run_progs;

static void count_one(struct ebpf_map_obj *inner, void *cookie)
{
	++*(u32 *)cookie;
}

static void add_one(struct ebpf_map_obj *inner, void *cookie)
{
	ebpf_inner_add(cookie, &inner->map);
}

/* What a program finds in a map of maps. */
static void load_inner(struct ebpf_map_obj *m)
{
	struct ebpf_inner *set;
	u32 n = 0;

	if (!m->outer || m->map.inner)
		return;
	ebpf_inner_each(m, count_one, &n);
	set = calloc(1, ebpf_inner_size(n));
	if (!set)
		return;
	ebpf_inner_init(set, n);
	ebpf_inner_each(m, add_one, set);
	m->map.inner = set;
}

static u64 resolve(const struct ebpf_prog_obj *p, const struct ebpf_image_ref *ref)
{
	struct ebpf_map *m;

	if (ref->map >= p->nmaps)
		return 0;
	load_inner(p->maps[ref->map]);
	m = &p->maps[ref->map]->map;
	if (ref->kind == EBPF_REF_MAP)
		return (u64)m;
	return m->ops->value_addr ? (u64)m->ops->value_addr(m, ref->off) : 0;
}

/* Programs are mapped before the first run: a tail call finds them without a system call. */
static const struct ebpf_prog *load_prog(const struct ebpf_prog_obj *p)
{
	struct ebpf_prog *out = &run_progs.prog[run_progs.n];
	const struct ebpf_image *img;
	void *base;
	u64 *refs;

	if (run_progs.n == PROGS_MAX || osl_image_map(p->obj.fd, p->image_size, &base))
		return NULL;
	img = base;
	if (img->ctx_size > run_progs.ctx_max)
		return NULL;
	refs = calloc(img->nrefs ? img->nrefs : 1, sizeof(*refs));
	if (!refs)
		return NULL;
	for (u32 i = 0; i < img->nrefs; i++)
		refs[i] = resolve(p, &ebpf_image_refs(img)[i]);
	if (ebpf_prog_bind(out, base, p->image_size, refs, p->obj.id))
		return NULL;
	run_progs.n++;
	return out;
}

static const struct ebpf_prog *prog_by_id(u32 id)
{
	for (u32 i = 0; i < run_progs.n; i++)
		if (run_progs.prog[i].id == id)
			return &run_progs.prog[i];
	return NULL;
}

/* What @p may tail-call, and what that may. */
static void load_tail_calls(const struct ebpf_prog_obj *p)
{
	for (u32 i = 0; i < p->nmaps; i++) {
		struct ebpf_map_obj *m = p->maps[i];

		for (u32 k = 0; m->slots && k < m->meta.max_entries; k++) {
			struct ebpf_obj *o = m->slots[k];

			if (!o || o->kind != EBPF_OBJ_PROG || prog_by_id(o->id))
				continue;
			if (load_prog(ebpf_obj_prog(o)))
				load_tail_calls(ebpf_obj_prog(o));
		}
	}
}

static bool fix_fault(struct arch_regs *regs)
{
	for (u32 i = 0; i < run_progs.n; i++)
		if (ebpf_prog_fixup(&run_progs.prog[i], regs))
			return true;
	return false;
}

void runner_env(struct daemon *d, struct ebpf_env *env)
{
	static u64 dropped;

	*env = (struct ebpf_env){.trace = d->trace_map ? &d->trace_map->map : NULL,
				 .trace_dropped = &dropped,
				 .prog_by_id = prog_by_id};
}

const struct ebpf_prog *runner_init(struct daemon *d, const struct ebpf_prog_obj *p,
				    u32 participant, u32 ctx_max)
{
	const struct ebpf_prog *prog;
	struct osl_self self;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	osl_self_fill(&self);
	self.bells = d->bells;
	self.life = d->life;
	osl_trap_init(&self);
	ebpf_map_self = participant;
	run_progs.ctx_max = ctx_max;
	prog = load_prog(p);
	if (!prog)
		return NULL;
	load_tail_calls(p);
	osl_fault_hook(fix_fault);
	return prog;
}
