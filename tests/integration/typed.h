/* SPDX-License-Identifier: BSD-2-Clause */
/* What the target of typed programs passes around, for itself and for the program that is told. */
#pragma once

enum color { RED = -7, GREEN = 40000 };
enum wide { FAR = 0x123456789abcdefll };

struct node {
	int x;
	struct node *next;
	short y, z;
	unsigned low : 3, high : 9;
	char name[12];
	struct {
		long n;
		struct node *far;
	} in;
	union {
		struct node *p;
		long bits;
	} u;
	struct node *list[2];
};

struct pair { /* in a general and a vector register */
	int a;
	double d;
};

struct floats { /* in one vector register */
	float x, y;
};

struct words { /* in two general registers */
	long a, b;
};

struct large { /* in memory */
	long v[5];
};
