/* SPDX-License-Identifier: BSD-2-Clause */
/* What callees.c has and callees.bpf.c calls. */
#pragma once

struct pair {
	int a, b;
};
struct mixed {
	long n;
	double x;
};
struct point {
	double x, y;
};
struct large {
	long v[5];
};
struct node {
	int key;
	short small;
	const char *name;
};
