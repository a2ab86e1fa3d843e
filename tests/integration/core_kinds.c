// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target with one LAYOUT of core_kinds.h. It says, a line each, what a program that reads its
 * struct rec should find: the compiler's own word for it.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_kinds.h"

#define HAS(layouts) (((layouts) >> LAYOUT) & 1)
#define ALL_BUT(...) (0xff & ~(__VA_ARGS__))
#define IS(l) (1 << (l))

__attribute__((noinline)) int use(struct rec *r)
{
	__asm__ volatile("" ::: "memory");
	return r->name[0];
}

static void say(const char *name, long value)
{
	printf("%s %ld\n", name, value);
}

static void fill(struct rec *r, char *name)
{
	memset(r, 0xa5, sizeof(*r));
	r->name = name;
#if LAYOUT == RENAMED
	r->count = -42;
	r->bits = 5;
	r->digits[2] = 1002;
#elif LAYOUT == POINTER
	r->value = malloc(sizeof(*r->value));
	*r->value = -42;
	r->flags = malloc(sizeof(*r->flags));
	*r->flags = 5;
	r->numbers = calloc(4, sizeof(*r->numbers));
	r->numbers[2] = 1002;
	r->subs = calloc(3, sizeof(*r->subs));
	r->sub = malloc(sizeof(*r->sub));
#elif LAYOUT != REMOVED
	r->numbers[2] = 1002;
	r->value = -42;
	r->flags = 5;
#endif
#if LAYOUT != REMOVED
	r->mode = LAYOUT == BITFIELD ? 9 : -9;
	r->subs[1].x = 2001;
	r->subs[1].y = -3;
#endif
#if LAYOUT == POINTER
	r->sub->x = 2002;
#elif LAYOUT != REMOVED
	r->sub.x = 2002;
#endif
}

/* What a reader finds, and where; nothing of it is there when it is removed. */
static void say_values(const struct rec *r)
{
#if LAYOUT != REMOVED
	say("value", -42);
#if LAYOUT == RENAMED
	say("value_offset", offsetof(struct rec, count));
	say("flags", r->bits);
#elif LAYOUT == POINTER
	say("flags", *r->flags);
#else
	say("flags", r->flags);
#endif
	say("mode", LAYOUT == BITFIELD ? 9 : -9);
	say("number", 1002);
#if LAYOUT != POINTER
	say("subs_x_offset", offsetof(struct rec, subs[1].x));
	say("sub_y_offset", offsetof(struct rec, sub.y));
	say("subs_size", sizeof(r->subs));
#endif
	say("subs_x", 2001);
	say("subs_y", -3);
	say("sub_x", 2002);
#if LAYOUT != POINTER && LAYOUT != RENAMED && LAYOUT != BITFIELD
	say("value_offset", offsetof(struct rec, value));
	say("value_size", sizeof(r->value));
#endif
#if LAYOUT != POINTER && LAYOUT != RENAMED
	say("numbers_size", sizeof(r->numbers));
	say("number_offset", offsetof(struct rec, numbers[2]));
#endif
	say("mode_signed", LAYOUT != BITFIELD);
	say("either_size", sizeof(union either));
	say("blob_size", sizeof(blob_t));
	say("green", GREEN);
	say("colour_size", sizeof(enum colour));
#if LAYOUT != RENAMED
	say("blue", BLUE);
#endif
#endif
}

static void say_what_exists(void)
{
	say("value_exists", HAS(ALL_BUT(IS(RENAMED) | IS(POINTER) | IS(REMOVED))));
	say("sub_exists", HAS(ALL_BUT(IS(POINTER) | IS(REMOVED))));
	say("numbers_exist", HAS(ALL_BUT(IS(POINTER) | IS(REMOVED) | IS(RENAMED))));
	say("name_exists", 1);
	say("rec_exists", 1);
	say("nothing_exists", 0);
	say("either_exists", HAS(ALL_BUT(IS(REMOVED))));
	say("blob_exists", HAS(ALL_BUT(IS(REMOVED))));
	say("colour_exists", HAS(ALL_BUT(IS(REMOVED))));
	say("green_exists", HAS(ALL_BUT(IS(REMOVED))));
	say("blue_exists", HAS(ALL_BUT(IS(REMOVED) | IS(RENAMED))));
	/* the same members of the same types, wherever they are */
	say("sub_matches", HAS(ALL_BUT(IS(WIDER))));
	say("rec_matches", HAS(IS(PLAIN)));
	say("either_matches", HAS(ALL_BUT(IS(REMOVED) | IS(WIDER))));
	say("local_id", 1);
	say("target_id", 1);
}

int main(void)
{
	struct rec *r = calloc(1, sizeof(*r));
	char name[] = "name";

	fill(r, name);
	say_values(r);
	say_what_exists();
	say("name", name[1]);
	say("name_offset", offsetof(struct rec, name));
	say("rec_size", sizeof(struct rec));
	say("sub_size", sizeof(struct sub));
	return use(r) != 'n';
}
