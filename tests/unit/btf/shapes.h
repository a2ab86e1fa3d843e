/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kind of type that C has, to be compiled twice: into the test, which asks the compiler where
 * everything is, and by the test with debug information, which is converted.
 */
#pragma once

#include <stdint.h>

struct hidden; /* never defined */

enum small { SMALL_ZERO, SMALL_ONE = 1, SMALL_BIG = 200 };
enum negative { NEGATIVE_ONE = -1, NEGATIVE_MAX = 0x7fffffff };
enum wide { WIDE_LOW = 1, WIDE_HIGH = 1ull << 40 };
enum wide_negative { WIDE_NEGATIVE = -(1ll << 40), WIDE_POSITIVE = 3 };
enum packed_enum { PACKED_A, PACKED_B } __attribute__((packed));
enum unsigned_top { UNSIGNED_TOP = 0xffffffffu };

typedef unsigned long word_t;
typedef const volatile word_t cv_word_t;
typedef int (*callback_t)(struct hidden *, const char *name, ...);

struct numbers {
	char c;
	signed char sc;
	unsigned char uc;
	short s;
	_Bool b;
	int i;
	long l;
	long long ll;
	float f;
	double d;
	long double ld;
	__int128 wide;
	_Complex double cd;
	uint64_t u64;
};

struct bits {
	unsigned int first : 1;
	int second : 7;
	unsigned long long third : 40;
	unsigned int : 0;
	unsigned int fourth : 31;
	unsigned char fifth : 2;
	_Bool flag : 1;
	enum small in_enum : 9;
	word_t after;
};

struct __attribute__((packed)) packed_bits {
	char lead;
	unsigned int a : 3;
	unsigned int b : 30;
	unsigned long long c : 50;
	short tail;
};

union either {
	int number;
	float real;
	struct {
		char low, high;
	} parts;
	unsigned int bit : 5;
};

struct anonymous {
	int before;
	union {
		long one;
		struct {
			short two;
			char three[3];
		};
	};
	struct {
		int four;
	} named;
	enum { ANON_VALUE = 7 } choice;
};

struct arrays {
	int one[3];
	char two[2][5];
	short three[4][3][2];
	word_t *pointers[7];
	struct bits nested[2];
	int none[0];
	int flexible[];
};

struct pointers {
	struct pointers *next, **end;
	const char *text;
	char *const *restrict vector;
	volatile int *reg;
	void *any;
	const void *const_any;
	callback_t call;
	void (*plain)(void);
	int (*table[4])(int, double);
	int (*row)[6];
	_Atomic int *atomic;
	struct hidden *hidden;
	cv_word_t *cv;
};

struct __attribute__((aligned(64))) aligned {
	char c;
	int __attribute__((aligned(16))) i;
};

struct everything {
	struct numbers numbers;
	struct bits bits;
	struct packed_bits packed_bits;
	union either either;
	struct anonymous anonymous;
	struct pointers pointers;
	struct aligned aligned;
	enum small small;
	enum negative negative;
	enum wide wide;
	enum wide_negative wide_negative;
	enum packed_enum packed;
	enum unsigned_top top;
	cv_word_t cv;
	struct arrays arrays;
};
