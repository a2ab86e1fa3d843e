// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls functions of all sorts of types and writes down, line by line, what a program that is told their arguments and
 * results has to say.
 *
 *	go N      all of it N times; answers "went N"
 *	quit
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "typed.h"

#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#define HERE __asm__ volatile("" ::: "memory")

long other_twin(long n);

static FILE *want;
#define say(...) fprintf(want, __VA_ARGS__)

/* what is below an argument's width in its register is anything */
EXPORT long ints(signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f, long g, bool h, enum color i,
		 signed char j)
{
	HERE;
	return a + b + c + d + e + (long)f + g + h + i + j;
}

EXPORT signed char narrow(long v)
{
	HERE;
	return (signed char)v;
}

EXPORT bool truth(enum wide w)
{
	HERE;
	return w == FAR;
}

EXPORT int walk(const struct node *p)
{
	int sum = 0;

	HERE;
	for (; p; p = p->next)
		sum += p->x;
	return sum;
}

EXPORT double mix(double a, int b, float c, long d, double e)
{
	HERE;
	return a * b + (double)c + (double)d + e;
}

EXPORT float half(float v)
{
	HERE;
	return v / 2;
}

EXPORT double nine(double a, double b, double c, double d, double e, double f, double g, double h, double i)
{
	HERE;
	return a + b + c + d + e + f + g + h + i;
}

EXPORT struct words structs(struct pair p, struct floats f, struct words w, struct large l, struct words late)
{
	HERE;
	return (struct words){p.a + (long)p.d + l.v[4], w.a + w.b + late.a + late.b + (long)f.x + (long)f.y};
}

EXPORT struct pair both(int a)
{
	HERE;
	return (struct pair){a, a / 4.0};
}

EXPORT struct large filled(int a, int b)
{
	struct large l;

	HERE;
	for (int i = 0; i < 5; i++)
		l.v[i] = a + b * i;
	return l;
}

EXPORT void whole(double d, float f)
{
	HERE;
}

EXPORT int recurse(int n)
{
	int below = 0;

	HERE;
	if (n) {
		say("in recurse %d\n", n - 1);
		below = recurse(n - 1);
		say("out recurse %d %d\n", n - 1, below);
	}
	HERE;
	return below + n;
}

static jmp_buf back;

EXPORT int left(int n)
{
	HERE;
	if (n % 2)
		longjmp(back, 1);
	return n * 10;
}

EXPORT int plain(struct node *p, int n)
{
	HERE;
	return p->x * n;
}

EXPORT void nothing(int n)
{
	HERE;
}

EXPORT long changed(struct node *p, long n)
{
	HERE;
	p->x += 100; /* seen at the exit, by the pointer of the entry */
	n = -1;
	p = NULL;
	HERE;
	return n;
}

EXPORT long double longest(long double v)
{
	HERE;
	return v * 2;
}

/* nobody says what it takes */
__asm__(".text\n.globl unknown\n.type unknown, @function\nunknown: ret\n.size unknown, . - unknown\n");

/* another one of that name is in typed_other.c */
static __attribute__((noinline, noclone)) int twin(int n)
{
	HERE;
	return n + 1;
}

static unsigned long long bits(double d)
{
	unsigned long long b;

	memcpy(&b, &d, sizeof(b));
	return b;
}

static unsigned bits_of(float f)
{
	unsigned b;

	memcpy(&b, &f, sizeof(b));
	return b;
}

static void numbers(int i)
{
	long sum;

	say("in ints %d %d %d\nin ints %d %d %u\nin ints %ld %d %d\nin ints %d\n", -1 - i, 200, -300, 60000, -70000, 4000000000u,
	    -5000000000l, 1, RED, -128);
	sum = ints((signed char)(-1 - i), 200, -300, 60000, -70000, 4000000000u, -5000000000l, true, RED, -128);
	say("out ints %d %u %ld\n", -1 - i, 4000000000u, sum);
	say("out narrow %ld %d\n", 0x1234567890l + i, narrow(0x1234567890l + i));
	say("out truth %d\n", truth(i % 2 ? FAR : 0));
}

static void floats(int i)
{
	double r;

	say("in mix %llx %d %x\nin mix %ld %llx\n", bits(i + 0.5), i, bits_of(1.25f), -3l, bits(1e300));
	r = mix(i + 0.5, i, 1.25f, -3, 1e300);
	say("out mix %llx %llx\n", bits(1e300), bits(r));
	say("out half %x %x\n", bits_of((float)i), bits_of(half((float)i)));
	r = nine(1, 2, 3, 4, 5, 6, 7, 8, i + 0.25);
	say("out nine %llx %llx %llx\n", bits(8), bits(i + 0.25), bits(r));
}

/* towards zero, the nearest there is; NaN is 0 */
static long nearest(double d)
{
	if (d != d)
		return 0;
	return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (long)d;
}

static void wholes(void)
{
	static const double v[] = {0,	 -0.75,	  1,	 -1.5,	  4503599627370497.5, -9e15, 9007199254740993., 1e18,
				   1e19, -1e300, 0x1p63, -0x1p63, 0.0 / 0.0,	      1e-40, 1e38,		-3e9};

	for (unsigned k = 0; k < sizeof(v) / sizeof(*v); k++) {
		float f = (float)v[k] < 1e-38f && v[k] > 0 ? 0 : (float)v[k];

		say("in whole %ld %ld\nin whole %llx\n", nearest(v[k]), nearest(f), bits(f));
		whole(v[k], f);
	}
}

static void aggregates(int i)
{
	struct large l = {{1, 2, 3, 4, 50 + i}};
	struct words w = structs((struct pair){i, 2.5}, (struct floats){1.5f, -2.5f}, (struct words){7, -8}, l,
				 (struct words){1000, i});
	struct pair p;

	say("out structs %d %llx %llx\n", i, bits(2.5), (unsigned long long)bits_of(-2.5f) << 32 | bits_of(1.5f));
	say("out structs %d %d %ld\nout structs %d %d\nout structs %ld %ld\n", 7, -8, l.v[4], 1000, i, w.a, w.b);
	p = both(i);
	say("out both %d %d %llx\n", i, p.a, bits(p.d));
	l = filled(i, 3);
	say("out filled %d %d %ld\n", i, 3, l.v[4]);
}

static void pointers(int i)
{
	struct node c = {.x = 3, .y = -4, .low = 5, .high = 300, .name = "third", .u.bits = 0x55};
	struct node b = {.x = 2, .next = &c, .name = "second"};
	struct node a = {.x = i, .next = &b, .name = "first", .in = {-6, &c}, .u.p = &c, .list = {&b, &c}};
	/* nobody walks these but the program: nothing there can be read */
	struct node wild = {.x = 9, .in.far = (void *)0x8000000000000000ull, .u.bits = 16, .list = {NULL, (void *)-8l}};

	say("in walk %d %d %d\nin walk %d %d %d\nin walk %ld %d %d\nin walk %d %s\n", i, 2, 3, c.y, c.low, c.high, a.in.n, 3, 3, 3,
	    "second");
	say("out walk %d\n", walk(&a));
	say("in walk %d %d %d\nin walk %d %d %d\nin walk %d %d %d\nin walk %d %s\n", 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, "");
	say("out walk %d\n", walk(&wild));
	say("in walk %d %d %d\nin walk %d %d %d\nin walk %d %d %d\nin walk %d %s\n", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "");
	say("out walk %d\n", walk(NULL));
	say("in plain %d %d %d\n", i, 2, -5);
	say("out plain %d\n", plain(&a, -5));
	say("out changed %d %d %ld\n", i + 100, 77, changed(&a, 77));
}

static void ends(int i)
{
	int sum;

	say("in recurse 5\n");
	sum = recurse(5);
	say("out recurse 5 %d\n", sum);
	for (int n = 0; n < 4; n++)
		if (!setjmp(back))
			say("out left %d %d\n", n, left(n));
	nothing(i);
	if (i < 0)
		twin((int)longest(i) + (int)other_twin(i));
	say("out nothing %d\n", i);
}

int main(void)
{
	char line[64];
	int n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %d", &n) == 1) {
		want = fopen("typed.want", "w");
		for (int i = 0; i < n; i++) {
			numbers(i);
			floats(i);
			aggregates(i);
			wholes();
			pointers(i);
			ends(i);
		}
		fclose(want);
		printf("went %d\n", n);
	}
	return 0;
}
