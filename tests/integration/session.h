/* SPDX-License-Identifier: BSD-2-Clause */
/* What session.c, session.bpf.c and the target of session.sh share. */
#pragma once

/* Of each program, by its attach cookie. */
#define SESSION_SLOTS 32
struct slot {
	long long entries, returns;
	long long wrong; /* returns with another word than the entry left */
	long long sum;	 /* of the words, weighted by the order they came in */
};
