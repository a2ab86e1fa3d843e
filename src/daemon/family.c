/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that targets execute.
 *
 * Model: what a target is covered by and follows its children is a *family*: sessions, and the
 * process whose links cover its children, too. The agent there knows the family's number; with it
 * the agent of a program that was executed says where it belongs, when nothing else is left of who
 * executed it. Targets of which all that is the same share a family, which lives as long as one of
 * its sessions.
 *
 * What a target has executed and where no agent can come to is in its page of statistics, which the
 * daemon looks through now and then, and at the target's end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/exchange.h"

#define FAMILIES_MAX 1024u

static bool same(const struct family *a, const struct family *b)
{
	return a->root == b->root && a->n == b->n &&
	       !memcmp(a->sessions, b->sessions, a->n * sizeof(a->sessions[0]));
}

static void describe(const struct target *t, struct family *f)
{
	*f = (struct family){.root = t->follow_of ? t->follow_of : t->pid};
	for (u32 i = 0; i < t->nmembers && f->n < ARRAY_SIZE(f->sessions); i++)
		if (t->members[i].follow)
			f->sessions[f->n++] = t->members[i].session;
}

struct family *family_by_token(struct daemon *d, u64 token)
{
	struct family *f;

	list_for_each_entry (f, &d->families, node)
		if (token && f->token == token)
			return f;
	return NULL;
}

static struct family *family_new(struct daemon *d, const struct family *like)
{
	struct family *f = d->nfamilies < FAMILIES_MAX ? malloc(sizeof(*f)) : NULL;

	if (!f)
		return NULL;
	*f = *like;
	if (getrandom(&f->token, sizeof(f->token), 0) != sizeof(f->token) || !f->token) {
		free(f);
		return NULL;
	}
	list_add_tail(&f->node, &d->families);
	d->nfamilies++;
	return f;
}

u64 family_of(struct target *t)
{
	struct family *f, like;

	describe(t, &like);
	if (!like.n)
		return 0;
	list_for_each_entry (f, &t->d->families, node)
		if (same(f, &like))
			return f->token;
	f = family_new(t->d, &like);
	return f ? f->token : 0;
}

static void family_free(struct daemon *d, struct family *f)
{
	list_del_init(&f->node);
	d->nfamilies--;
	free(f);
}

void family_prune(struct daemon *d, bool (*alive)(struct daemon *d, u32 session))
{
	struct family *f, *tmp;

	list_for_each_entry_safe (f, tmp, &d->families, node) {
		u32 i;

		for (i = 0; i < f->n && !alive(d, f->sessions[i]); i++)
			;
		if (i == f->n)
			family_free(d, f);
	}
}

/* --- what can't be followed --------------------------------------------------------------------
 */

static const char *const whys[AGENT_EXEC_WHYS] = {
	[AGENT_EXEC_STATIC] = "it is statically linked",
	[AGENT_EXEC_PRIVILEGED] = "it changes its user or gets more privileges",
	[AGENT_EXEC_FOREIGN] = "it is not a 64-bit program of this machine",
	[AGENT_EXEC_HIDDEN] = "the agent or the daemon's socket can't be reached from there",
	[AGENT_EXEC_UNREADABLE] = "its file can't be read",
	[AGENT_EXEC_NO_ROOM] = "there is no room for more variables in its environment",
};

/* The process writes them: they may be anything, and change. */
static struct agent_exec_note read_note(const struct target *t, u64 i)
{
	struct agent_exec_note n;

	memcpy(&n, &t->stats->execs[i % AGENT_EXEC_NOTES], sizeof(n));
	n.path[sizeof(n.path) - 1] = 0;
	return n;
}

static bool is_over(const struct target *t, u64 i)
{
	struct agent_exec_note n = read_note(t, i);

	return !n.why || agent_look((s32)n.pid, t->base) != AGENT_THERE;
}

static bool tell_one(struct target *t, u64 i)
{
	/* after it was seen to be over: a failure has been noted by then */
	struct agent_exec_note n = read_note(t, i);
	char why[PROBE_WHY_MAX];

	if (!n.why || n.why >= AGENT_EXEC_WHYS)
		return false;
	snprintf(why, sizeof(why), "process %d has executed %s, which is not probed: %s",
		 (int)n.pid, n.path[0] ? n.path : "a program", whys[n.why]);
	target_event(t->d, t, MSG_EVENT_UNFOLLOWED, 1, 0, why);
	return true;
}

/* Those that were noted before the last ones. */
static void tell_others(struct target *t, u64 n)
{
	s64 more = (s64)(n - READ_ONCE(t->stats->execs_failed) - t->execs_said);

	if (more <= 0)
		return;
	t->execs_said += (u64)more;
	target_event(t->d, t, MSG_EVENT_UNFOLLOWED, (u32)MIN((u64)more, (u64)UINT32_MAX), 0, NULL);
}

void family_tell(struct target *t)
{
	u64 n = READ_ONCE(t->stats->nexecs), i = t->execs_told;
	bool many = n - i > AGENT_EXEC_NOTES;

	if (many)
		i = n - AGENT_EXEC_NOTES;
	for (; i != n && is_over(t, i); i++)
		t->execs_said += tell_one(t, i);
	t->execs_told = i;
	if (many)
		tell_others(t, i);
}
