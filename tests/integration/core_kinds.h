/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structures that core_kinds.c has and core_kinds.bpf.c reads. Without a LAYOUT they are what the programs were compiled
 * with; each LAYOUT is what a later version of a target may have made of them.
 */
#pragma once

#define PLAIN 0
#define MOVED 1
#define WIDER 2	   /* resized, and other signs */
#define BITFIELD 3 /* and bitfields elsewhere */
#define RENAMED 4
#define POINTER 5
#define REMOVED 6
#define NESTED 7 /* in members without a name, within unions */

#ifndef LAYOUT
#define LAYOUT PLAIN
#endif

#if LAYOUT != REMOVED
enum colour {
	RED,
#if LAYOUT == WIDER
	BLUE = 0x1234567890,
	GREEN = -5,
#elif LAYOUT == MOVED
	VIOLET,
	GREEN,
	BLUE = 77,
#elif LAYOUT == RENAMED
	GREEN,
#else
	GREEN,
	BLUE,
#endif
};
#endif

struct sub {
#if LAYOUT == MOVED
	char first[3];
#endif
#if LAYOUT == WIDER
	long x;
#else
	int x;
#endif
	short y;
};

#if LAYOUT != REMOVED
union either {
	int i;
	char bytes[LAYOUT == WIDER ? 24 : 12];
};
typedef struct {
	char bytes[LAYOUT == MOVED ? 40 : 20];
} blob_t;
#endif

#if LAYOUT == PLAIN
struct rec {
	int value;
	unsigned int flags : 3;
	int mode : 6;
	int numbers[4];
	struct sub subs[3];
	struct sub sub;
	char *name;
};
#elif LAYOUT == MOVED
struct rec {
	char *name;
	struct sub sub;
	unsigned long other;
	int mode : 6;
	unsigned int hole : 20;
	unsigned int flags : 3;
	struct sub subs[5];
	char pad[5];
	int numbers[4];
	int value;
};
#elif LAYOUT == WIDER
struct rec {
	unsigned long flags;
	long mode;
	struct sub subs[3];
	struct sub sub;
	short numbers[7];
	short value;
	char *name;
};
#elif LAYOUT == BITFIELD
struct rec {
	long front : 13;
	long value : 21;
	long flags : 3;
	unsigned long mode : 27;
	int numbers[4];
	struct sub subs[3];
	struct sub sub;
	char *name;
};
#elif LAYOUT == RENAMED
struct rec {
	long front;
	int count;
	unsigned int bits : 3;
	int mode : 6;
	int digits[4];
	struct sub subs[3];
	struct sub sub;
	char *name;
};
#elif LAYOUT == POINTER
struct rec {
	int *value;
	unsigned int *flags;
	int mode;
	int *numbers;
	struct sub *subs;
	struct sub *sub;
	char *name;
};
#elif LAYOUT == REMOVED
struct rec {
	char *name;
};
#elif LAYOUT == NESTED
struct rec {
	union {
		long tag;
		struct {
			int head;
			union {
				struct {
					short one;
					int value;
				};
				int numbers[4];
			};
		};
	};
	struct {
		unsigned char flags : 3;
		signed char mode : 6;
		struct sub subs[3];
	};
	struct sub sub;
	char *name;
};
#endif
