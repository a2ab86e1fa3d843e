/* SPDX-License-Identifier: BSD-2-Clause */
/* What is compiled with debug information: the shapes, and functions and variables that use them.
 */
#include "shapes.h"

struct everything everything;
static int counter = 3;
const char *const names[] = {"a", "b"};
static __thread int per_thread;

struct everything *shapes_find(struct everything *all, const char *name, double weight, int nr,
			       ...);
int shapes_call(callback_t call, struct hidden *hidden);
static __attribute__((noinline)) void forget(word_t word);

static __attribute__((noinline)) void forget(word_t word)
{
	counter += (int)word;
	per_thread = counter;
}

struct everything *shapes_find(struct everything *all, const char *name, double weight, int nr, ...)
{
	struct inner {
		int here;
		long there;
	} inner = {nr, (long)weight};

	forget((word_t)(inner.here + inner.there));
	return name ? all : &everything;
}

int shapes_call(callback_t call, struct hidden *hidden)
{
	return call(hidden, names[per_thread & 1]);
}
