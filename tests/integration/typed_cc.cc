// SPDX-License-Identifier: BSD-2-Clause
/*
 * Functions of C++ that are left by return and by exception, and what a typed program has to say of them.
 *
 *	go N      calls N times; answers "went N"
 */
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <unistd.h>

#define EXPORT __attribute__((noinline, visibility("default")))
#define HERE __asm__ volatile("" ::: "memory")

static FILE *want;
#define say(...) fprintf(want, __VA_ARGS__)

namespace shop {
struct item {
	int price;
	item *next;
	EXPORT virtual int total(int times, double rebate);
	virtual ~item() = default;
};

int item::total(int times, double rebate)
{
	HERE;
	if (times % 3 == 2)
		throw std::runtime_error("sold out");
	return (int)(price * times * rebate);
}

struct label { // passed by its address, which no type says
	std::string text;
};

EXPORT int labelled(int n, label l, int m)
{
	HERE;
	return n + m + (int)l.text.size();
}
} // namespace shop

/* thrown through: the calls inside are left, too */
extern "C" EXPORT int nested(int n)
{
	shop::item none;

	HERE;
	none.price = 0;
	if (!n)
		return none.total(2, 1);
	n = nested(n - 1);
	HERE;
	return n;
}

static void go(int i)
{
	shop::item second, first;

	second.price = 7;
	second.next = nullptr;
	first.price = 3 + i;
	first.next = &second;
	for (int n = 0; n < 6; n++) {
		double rebate = 0.5 + n;
		unsigned long long bits;

		memcpy(&bits, &rebate, sizeof(bits));
		say("in total %d %d %llx\n", 3 + i, n, bits);
		say("in total %d\n", 7);
		try {
			int r = first.total(n, rebate);

			say("out total %d %d %d\n", 3 + i, n, r);
		} catch (const std::runtime_error &) {
		}
	}
	say("out labelled %d\n", i);
	shop::labelled(i, {"tag"}, 4);
	say("in nested 3\nin nested 2\nin nested 1\nin nested 0\nin total %d %d %llx\nin total 0\n", 0, 2, 0x3ff0000000000000ull);
	try {
		nested(3);
	} catch (const std::runtime_error &) {
	}
}

int main()
{
	char line[64];
	int n;

	setvbuf(stdout, nullptr, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %d", &n) == 1) {
		want = fopen("typed.want", "w");
		for (int i = 0; i < n; i++)
			go(i);
		fclose(want);
		printf("went %d\n", n);
	}
	return 0;
}
