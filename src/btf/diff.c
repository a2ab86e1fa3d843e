/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changed between two BTFs.
 *
 * Model: the named types of each are sorted by kind, name and a hash of what is in them, and the
 * two rows are merged. Of those of one name, what has the same hash is the same; what remains is
 * compared in pairs, and what then remains of one side is only there. A declaration counts where
 * its side has nothing more of that name.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "btf/shape.h"

struct item {
	const char *name;
	u64 hash;
	u32 id, kind;
};

struct side {
	const struct btf *btf;
	struct item *v;
	u32 n;
};

struct diff {
	struct side side[2];
	int (*fn)(const struct btf_shape *from, const struct btf_shape *to, void *cookie);
	void *cookie;
};

static int by_name(const struct item *a, const struct item *b)
{
	return a->kind != b->kind ? (a->kind > b->kind) - (a->kind < b->kind)
				  : strcmp(a->name, b->name);
}

static int by_all(const void *one, const void *other)
{
	const struct item *a = one, *b = other;
	int order = by_name(a, b);

	if (order)
		return order;
	return a->hash != b->hash ? (a->hash > b->hash) - (a->hash < b->hash)
				  : (a->id > b->id) - (a->id < b->id);
}

static int collect(struct side *s)
{
	u32 n = btf__type_cnt(s->btf);

	s->v = calloc(n, sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	for (u32 id = 1; id < n; id++) {
		struct btf_shape shape;
		int err;

		if (btf_shape_kind(s->btf, id) == SHAPE_NONE)
			continue;
		err = btf_shape_make(s->btf, id, &shape);
		s->v[s->n++] = (struct item){shape.name, btf_shape_hash(&shape), id, shape.kind};
		btf_shape_free(&shape);
		if (err)
			return err;
	}
	qsort(s->v, s->n, sizeof(*s->v), by_all);
	return 0;
}

/* Where those of the same name as @at end; declarations at the front are passed over. */
static u32 group_end(const struct side *s, u32 *at)
{
	u32 end = *at;

	while (end < s->n && !by_name(s->v + *at, s->v + end))
		end++;
	while (*at + 1 < end && !s->v[*at].hash)
		++*at;
	return end;
}

static int tell(struct diff *d, const struct item *a, const struct item *b)
{
	struct btf_shape from = {0}, to = {0};
	int err = a ? btf_shape_make(d->side[0].btf, a->id, &from) : 0;

	if (!err && b)
		err = btf_shape_make(d->side[1].btf, b->id, &to);
	if (!err)
		err = d->fn(a ? &from : NULL, b ? &to : NULL, d->cookie);
	btf_shape_free(&from);
	btf_shape_free(&to);
	return err;
}

/* Take out of [@at, @end) of @s what is in [@other, @oend) of @o, too. Both ends move. */
static void drop_same(struct side *s, u32 at, u32 *end, struct side *o, u32 other, u32 *oend)
{
	u32 kept = at, okept = other, i = at, j = other;

	while (i < *end || j < *oend) {
		if (i < *end && j < *oend && s->v[i].hash == o->v[j].hash)
			i++, j++;
		else if (j == *oend || (i < *end && s->v[i].hash < o->v[j].hash))
			s->v[kept++] = s->v[i++];
		else
			o->v[okept++] = o->v[j++];
	}
	*end = kept;
	*oend = okept;
}

/* Those of one name: what is left once what is the same is gone, one by one. */
static int compare_group(struct diff *d, u32 a, u32 a_end, u32 b, u32 b_end)
{
	struct item *from = d->side[0].v, *to = d->side[1].v;
	int err = 0;

	drop_same(d->side, a, &a_end, d->side + 1, b, &b_end);
	for (; !err && (a < a_end || b < b_end); a++, b++)
		err = tell(d, a < a_end ? from + a : NULL, b < b_end ? to + b : NULL);
	return err;
}

static int merge(struct diff *d)
{
	struct side *a = d->side, *b = d->side + 1;
	u32 i = 0, j = 0;
	int err = 0;

	while (!err && (i < a->n || j < b->n)) {
		int order = i == a->n ? 1 : j == b->n ? -1 : by_name(a->v + i, b->v + j);
		u32 i_end = i, j_end = j;

		if (order <= 0)
			i_end = group_end(a, &i);
		if (order >= 0)
			j_end = group_end(b, &j);
		err = compare_group(d, i, i_end, j, j_end);
		i = i_end;
		j = j_end;
	}
	return err;
}

int btf_diff(const struct btf *a, const struct btf *b,
	     int (*fn)(const struct btf_shape *from, const struct btf_shape *to, void *cookie),
	     void *cookie)
{
	struct diff d = {.side = {{.btf = a}, {.btf = b}}, .fn = fn, .cookie = cookie};
	int err = collect(d.side);

	if (!err)
		err = collect(d.side + 1);
	if (!err)
		err = merge(&d);
	free(d.side[0].v);
	free(d.side[1].v);
	return err;
}
