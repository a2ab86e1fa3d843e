// SPDX-License-Identifier: BSD-2-Clause
/* The target of core.bpf.o, built once with each layout of struct data (-DWITH_B) and with its types as BTF. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct data {
	int a;
#ifdef WITH_B
	int b;
#endif
	int c;
	int d;
};

__attribute__((noinline)) int add_test(struct data *d)
{
	__asm__ volatile("" ::: "memory");
	return d->a + d->c;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	struct data d = {.a = 1, .c = 3, .d = 4};
	int sum = 0;

	for (int i = 0; i < rounds; i++) {
		sum = add_test(&d);
		if (i + 1 < rounds)
			usleep(100000);
	}
	printf("%d\n", sum);
	return 0;
}
