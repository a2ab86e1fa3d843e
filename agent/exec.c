/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that this process executes: where its children are followed, so are they.
 *
 * Model: the sites that guard the masks include those where libc executes a program. When the
 * environment that is given there doesn't lead to our agent, the system call gets a copy of it that
 * does, behind the application's own variables; what was in LD_PRELOAD stays behind the agent
 * there, and before that is only the library of a sanitizer that insists on it. The new program's
 * agent takes that out again (environ.c). The call is made in agent_exec(), with the application's
 * stack, signals and mask; when it comes back it has failed, and everything is as the application
 * had it. An environment that names a session already, or turns the agent off, is left alone.
 *
 * A child of vfork() executes in the memory of its parent, which goes on then: a copy is never
 * freed but used again, by the next call with the same thread pointer, as then this one is over.
 * For the same reason nothing here is held while the call is made.
 *
 * A child that asks to be traced (PTRACE_TRACEME) must not trap any more: its debugger would take
 * that for something else, or waits for vfork() to return. In memory of its own it gives up its
 * sites; in its parent's it is traced only when it executes its program.
 *
 * What can't be followed gets what the application gave, and is noted for the daemon, who says so.
 */
#include <errno.h>
#include <linux/ptrace.h>

#include "agent/agent.h"

#define BLOCKS 64u
#define VARIABLES (1u << 16)
#define PRELOAD "LD_PRELOAD="
#define PRELOAD_LEN (sizeof(PRELOAD) - 1)
#define OURS_MAX 4u /* variables of ours in a copy */
#define TEXT_ROOM 512u

static struct agent_follow follow;

void exec_follow(const struct agent_follow *f)
{
	store_relaxed(&follow.token, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	follow.filters = f->filters;
	memcpy(follow.agent, f->agent, sizeof(follow.agent));
	follow.agent[sizeof(follow.agent) - 1] = 0;
	store_release(&follow.token, f->token);
}

/* --- copies ------------------------------------------------------------------------------------
 */

/* one call under way, at the beginning of its copy */
struct copy {
	u64 given; /* the environment as the application has it */
	u64 nr;
	u64 behind; /* the call */
	struct agent_exec_note *note;
	bool ours; /* it gets .env */
	u64 env[];
};

static struct {
	u64 thread; /* thread pointer | 1, 0: free */
	struct copy *copy;
	u64 size;
	u32 traced; /* child in this memory that asked to be traced, 0: none */
} blocks[BLOCKS];

static u32 block_of(u64 thread)
{
	u64 key = thread | 1;

	for (u32 i = 0; i < BLOCKS; i++) {
		u64 none = 0;

		if (load_relaxed(&blocks[i].thread) == key ||
		    __atomic_compare_exchange_n(&blocks[i].thread, &none, key, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return i;
	}
	return BLOCKS;
}

static struct copy *copy_new(u64 size)
{
	u32 i = block_of(arch_thread_pointer());
	struct copy *c;

	if (i == BLOCKS)
		return NULL;
	if (blocks[i].size >= size)
		return blocks[i].copy;
	size = ALIGN_UP(size, EBPFRT_PAGE_SIZE);
	c = agent_pages(size, "ebpfrt-exec");
	if (!c)
		return NULL;
	if (blocks[i].copy)
		sys_munmap(blocks[i].copy, blocks[i].size);
	blocks[i].copy = c;
	blocks[i].size = size;
	return c;
}

/* --- the environment ---------------------------------------------------------------------------
 */

struct environment {
	u64 at; /* 0: none */
	u64 n;
	u64 preload; /* number of LD_PRELOAD; n: there is none */
	u64 preload_len;
	bool named;	       /* a session is */
	bool leads;	       /* to our agent, or another's like it */
	bool refuses;	       /* to none */
	char first[FIRST_LEN]; /* what has to be before it, "": nothing */
};

static bool length(u64 at, u64 *len)
{
	char part[256];
	s64 n;

	for (*len = 0; *len < (1u << 20); *len += (u64)n - 1) {
		n = osl_read_str(part, (const char *)(at + *len), sizeof(part));
		if (n < 1)
			return false;
		if (n < (s64)sizeof(part)) {
			*len += (u64)n - 1;
			return true;
		}
	}
	return false;
}

#define PRELOAD_LOOKED_AT 1024u

static bool contains(const char *s, const char *what)
{
	while (*s && !text_begins(s, what))
		s++;
	return *s;
}

static bool has_agent(u64 preload)
{
	char text[PRELOAD_LOOKED_AT];

	return osl_read_str(text, (const char *)preload, sizeof(text)) > 0 &&
	       (contains(text, AGENT_FILE) || contains(text, follow.agent));
}

/* What the application has there before all others; a name that is too long is none. */
static void first_of(u64 preload, char first[FIRST_LEN])
{
	u32 n = 0;

	if (osl_read_str(first, (const char *)preload, FIRST_LEN) < 0 || !execfile_is_first(first))
		first[0] = 0;
	while (first[n] && first[n] != ':' && first[n] != ' ')
		n++;
	first[n < FIRST_LEN - 1 ? n : 0] = 0;
}

static bool look_at_variable(struct environment *e, u64 i, u64 at)
{
	char name[32];

	if (osl_read_str(name, (const char *)at, sizeof(name)) < 0)
		return false;
	e->named |= text_begins(name, AGENT_ENV_TOKEN "=");
	e->refuses |= text_begins(name, AGENT_ENV_DISABLE "=1");
	if (!text_begins(name, PRELOAD))
		return true;
	e->preload = i;
	e->leads = has_agent(at);
	if (!e->first[0])
		first_of(at + PRELOAD_LEN, e->first);
	return length(at, &e->preload_len);
}

/* False: it can't be read, which the kernel will say. As many as VARIABLES are too many. */
static bool read_environment(struct environment *e, u64 at)
{
	u64 variable;

	e->at = at;
	e->preload = VARIABLES;
	for (; at && e->n < VARIABLES; e->n++) {
		if (osl_read(&variable, (const u64 *)at + e->n, sizeof(variable)))
			return false;
		if (!variable)
			return true;
		if (!look_at_variable(e, e->n, variable))
			return false;
	}
	return true;
}

/* "LD_PRELOAD=AGENT" and, behind a colon, what was there, which may be nothing. */
static char *put_preload(char *to, const struct environment *e)
{
	u64 was;

	to = put_text(to, PRELOAD);
	if (e->first[0])
		to = put_text(put_text(to, e->first), ":");
	to = put_text(to, follow.agent);
	if (e->preload == VARIABLES)
		return to + 1;
	*to++ = ':';
	if (osl_read(&was, (const u64 *)e->at + e->preload, sizeof(was)) ||
	    osl_read(to, (const char *)was + PRELOAD_LEN, e->preload_len - PRELOAD_LEN))
		return NULL;
	to += e->preload_len - PRELOAD_LEN;
	*to = 0;
	return to + 1;
}

/* All but what is left of an earlier one of ours. Where LD_PRELOAD is, or @n. */
static u64 *copy_variables(struct copy *c, const struct environment *e, u64 *n)
{
	u64 *preload = NULL;
	char name[32];

	for (u64 i = 0; i < e->n; i++) {
		u64 *to = &c->env[*n];

		if (osl_read(to, (const u64 *)e->at + i, sizeof(*to)) ||
		    osl_read_str(name, (const char *)*to, sizeof(name)) < 0)
			return NULL;
		if (i == e->preload)
			preload = to;
		*n += !environ_is_ours(name);
	}
	return preload ? preload : &c->env[(*n)++];
}

/* The number of variables that come must be even: environ.c. */
static bool fill(struct copy *c, const struct environment *e)
{
	char *text = (char *)(c->env + e->n + OURS_MAX + 1);
	u64 n = 0, *preload = copy_variables(c, e, &n);

	if (!preload)
		return false;
	*preload = (u64)text;
	text = put_preload(text, e);
	if (!text)
		return false;
	c->env[n++] = (u64)text;
	text = put_text(put_text(text, AGENT_ENV_SOCKET "="), agent.socket) + 1;
	c->env[n++] = (u64)text;
	text = put_number(put_text(text, AGENT_ENV_TOKEN "="), follow.token);
	text = put_number(put_text(text, ":"), follow.filters);
	text = put_text(text, AGENT_TOKEN_HIDE) + 1;
	if (e->preload == VARIABLES) {
		c->env[n++] = (u64)text;
		put_text(text, AGENT_ENV_PAD "=");
	}
	c->env[n] = 0;
	return true;
}

static u64 room_for(const struct environment *e)
{
	return (e->n + OURS_MAX + 1) * sizeof(u64) + e->preload_len + sizeof(follow.agent) +
	       sizeof(agent.socket) + FIRST_LEN + TEXT_ROOM;
}

/* --- notes for the daemon ----------------------------------------------------------------------
 */

static struct agent_exec_note *note(u32 why, const char *path)
{
	struct agent_exec_note *n;
	u64 i;

	if (!agent.stats)
		return NULL;
	i = __atomic_fetch_add(&agent.stats->nexecs, 1, __ATOMIC_RELAXED);
	n = &agent.stats->execs[i % AGENT_EXEC_NOTES];
	store_release(&n->why, 0);
	n->pid = sys_getpid();
	if (osl_read_str(n->path, path, sizeof(n->path)) < 0)
		n->path[0] = 0;
	store_release(&n->why, why);
	return n;
}

/* One in the memory of its parent leaves the parent where it is. */
static void leaving(enum agent_leaving how)
{
	if (agent.stats && sys_getpid() == agent.pid)
		store_relaxed(&agent.stats->leaving, how);
}

/* --- traced children ---------------------------------------------------------------------------
 */

static bool in_parents_memory(void)
{
	return load_acquire(agent.mark) == FORK_KNOWN && sys_getpid() != agent.pid;
}

bool exec_trace_me(u64 nr, struct arch_regs *regs)
{
	u32 i;

	if (likely(nr != __NR_ptrace) || regs->di != PTRACE_TRACEME)
		return false;
	if (!in_parents_memory()) {
		agent_go_inert(false);
		return false;
	}
	i = block_of(arch_thread_pointer());
	if (i == BLOCKS)
		return false;
	blocks[i].traced = sys_getpid();
	regs->ax = 0;
	return true;
}

static bool asked_for_tracing(u32 i)
{
	return i < BLOCKS && blocks[i].traced && blocks[i].traced == sys_getpid();
}

static void be_traced(u32 i)
{
	blocks[i].traced = 0;
	SYS_APP6(__NR_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0);
}

/* --- the call ----------------------------------------------------------------------------------
 */

struct call {
	int dir, flags;
	const char *path;
	u64 *env; /* the register */
};

static struct call call_of(u64 nr, struct arch_regs *regs)
{
	if (nr == __NR_execve)
		return (struct call){AT_FDCWD, 0, (const char *)regs->di, &regs->dx};
	return (struct call){(int)regs->di, (int)regs->r8 & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW),
			     (const char *)regs->si, &regs->r10};
}

static bool followed(void)
{
	return load_acquire(&follow.token) && agent.socket[0] && !load_relaxed(&osl_walled) &&
	       !load_relaxed(&agent.inert);
}

/* As execfile_look(): the last trap before the program is over then. */
static int look(const struct call *c, char first[FIRST_LEN])
{
	u32 i = block_of(arch_thread_pointer());
	bool traced = asked_for_tracing(i);
	int why = -1;

	if (traced || followed())
		why = execfile_look(c->dir, c->path, c->flags, follow.agent, first);
	if (traced && why >= 0)
		be_traced(i);
	return why;
}

bool exec_guard(u64 nr, u64 behind, struct arch_regs *regs)
{
	struct environment e = {0};
	struct call call;
	struct copy *c;
	int why;

	if (likely(nr != __NR_execve && nr != __NR_execveat))
		return false;
	call = call_of(nr, regs);
	why = look(&call, e.first);
	if (why < 0 || !followed())
		return false;
	if (!read_environment(&e, *call.env) || e.refuses)
		return false;
	if (e.named && e.leads && !why && !e.first[0]) {
		leaving(LEAVING_WITH_AGENT);
		return false;
	}
	if (!why && e.n == VARIABLES)
		why = AGENT_EXEC_NO_ROOM;
	c = copy_new(sizeof(*c) + (why ? 0 : room_for(&e)));
	if (!c) {
		note(AGENT_EXEC_NO_ROOM, call.path);
		return false;
	}
	c->given = *call.env;
	c->nr = nr;
	c->behind = behind;
	c->ours = !why && fill(c, &e);
	if (!c->ours && !why)
		return false;
	c->note = why ? note((u32)why, call.path) : NULL;
	leaving(c->ours ? LEAVING_WITH_AGENT : LEAVING_ALONE);
	*call.env = c->ours ? (u64)c->env : c->given;
	regs->ax = nr;
	regs->ip = (u64)agent_exec;
	return true;
}

/*
 * It has failed. With a little more room in the environment that can be our fault: without us,
 * then.
 */
void exec_failed(struct osl_ucontext *uc)
{
	struct copy *c = blocks[block_of(arch_thread_pointer()) % BLOCKS].copy;
	struct arch_regs regs;
	struct call call;

	osl_regs_from_ucontext(&regs, uc);
	call = call_of(c->nr, &regs);
	*call.env = c->given;
	if (c->note) {
		store_release(&c->note->why, 0);
		agent_count(&agent.stats->execs_failed);
	}
	leaving(STAYING);
	if (c->ours && (s64)regs.ax == -E2BIG) {
		c->ours = false;
		c->note = note(AGENT_EXEC_NO_ROOM, call.path);
		leaving(LEAVING_ALONE);
		regs.ax = c->nr;
		regs.ip = (u64)agent_exec;
	} else {
		regs.ip = c->behind;
		regs.cx = c->behind;
	}
	osl_regs_to_ucontext(&regs, uc);
}
