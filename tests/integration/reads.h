/* SPDX-License-Identifier: BSD-2-Clause */
/* What reads.bpf.c counts of each address that reads.c hands over. */
#pragma once

enum {
	READS_CALLS,
	READS_USER,	   /* bpf_probe_read_user() went well */
	READS_USER_FAULT,  /* -EFAULT */
	READS_OTHER,	   /* probe_read() and probe_read_kernel() went well, both counted */
	READS_OTHER_FAULT, /* -EFAULT */
	READS_SUM,	   /* of the words read by all three */
	READS_STR,	   /* the three for strings went well, each counted */
	READS_STR_FAULT,   /* -EFAULT */
	READS_STR_LEN,	   /* sum of what those return, without failures */
	READS_STR_SUM,	   /* of their first words */
	READS_DIRTY,	   /* a buffer that was not zeroed by a failure */
	READS_ODD,	   /* any other result */
	READS_FIELDS = 16,
};
#define READS_KINDS 24
#define READS_STR_ROOM 16
