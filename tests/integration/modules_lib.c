// SPDX-License-Identifier: BSD-2-Clause
/* A library in versions (-DVERSION=1, 2, 3), whose struct item nobody else knows. The third has no `value`. */
#include <stdlib.h>
#include <string.h>

#include "usdt.h"

#if VERSION == 1
struct item {
	int value;
	char name[8];
	long weight;
};
#elif VERSION == 2
struct item {
	char name[24];
	long weight;
	short flags;
	int value;
};
#else
struct item {
	char name[24];
	long weight;
	struct {
		int number;
	} amount;
};
#define value amount.number
#endif

struct item *item_new(int value_, long weight)
{
	struct item *it = calloc(1, sizeof(*it));

	memset(it->name, 0x5a, sizeof(it->name));
	it->value = value_;
	it->weight = weight;
	return it;
}

__attribute__((noinline)) int item_use(struct item *it, void *cookie)
{
	/* a USDT probe that has its arguments otherwise in each version */
#if VERSION == 1
	__asm__ volatile(USDT(NOP, "mod", "used", "0", "-8@%%rbx -4@$1") ::"b"(it), "r"(cookie) : "memory");
#else
	register struct item *in_r12 __asm__("r12") = it;

	__asm__ volatile(USDT(NOP5, "mod", "used", "0", "-2@$2 8@%%r12") ::"r"(in_r12), "r"(cookie) : "memory");
#endif
	return it->value;
}
