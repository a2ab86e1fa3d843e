/* SPDX-License-Identifier: BSD-2-Clause */
/* Two versions of a library's types, VERSION 1 and 2, with a change of each kind. */
struct moved {
	int first;
#if VERSION == 2
	int fresh;
#endif
	int second;
};

struct changed {
#if VERSION == 1
	int grown;
	int retyped;
	int gone;
	unsigned bits : 3;
#else
	long grown;
	unsigned retyped;
	short fresh;
	unsigned bits : 5;
#endif
	struct moved inside;
	union {
		int one;
		char other;
#if VERSION == 2
		short third;
#endif
	};
	int (*call)(struct moved *m, int n);
};

enum color {
	RED,
	GREEN = VERSION + 4,
#if VERSION == 2
	BLUE,
#endif
};

typedef struct {
	int a[VERSION];
} holder_t;

#if VERSION == 1
struct only_before {
	int x;
} only_before;
struct opaque;
#else
struct only_after {
	int x, y;
} only_after;
struct opaque {
	int seen;
};
#endif

struct same {
	struct moved *m;
	const char *name;
	struct same *next;
} same;

struct changed changed;
enum color color;
holder_t holder;
struct opaque *opaque;

#if VERSION == 1
int api(struct moved *m, int n)
{
	return m->second + n;
}
#else
long api(struct moved *m, int n, const char *why)
{
	return m->second + n + !why;
}
#endif

int alike(struct same *s)
{
	return s->next != 0;
}

int main(void)
{
	return alike(&same);
}
