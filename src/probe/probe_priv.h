/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of probe/ share. */
#pragma once

#include <elfutils/libdw.h>
#include <libelf.h>
#include <gelf.h>

#include "probe/probe.h"

struct probe_segment {
	u64 addr, offset, size; /* what the file backs of a PT_LOAD */
	bool exec;
};

struct probe_function {
	const char *name;    /* base name */
	const char *version; /* NULL: none */
	char *full;	     /* owned: name@version of versions that are not the default one */
	u64 addr, size;
	u64 reach; /* highest end of this and all functions before it */
	bool ifunc, local, hidden_version;
};

struct probe_elf {
	int fd;
	Elf *elf;
	Dwarf_CFI *cfi; /* NULL: not asked for yet */
	char *path;
	u64 file_size;
	struct probe_segment *segments;
	size_t nsegments;
	struct probe_function *functions; /* by address, then name */
	size_t nfunctions;
	u32 *by_name;	    /* indices into functions, by name */
	bool knows_returns; /* a symbol says so: probe_elf_knows_returns() */
};

/* elf.c */
const struct probe_segment *probe_elf_segment(const struct probe_elf *elf, u64 addr);
const struct probe_segment *probe_elf_segment_at(const struct probe_elf *elf, u64 offset);
Elf_Scn *probe_elf_section(const struct probe_elf *elf, const char *name, GElf_Shdr *shdr);
/* @len bytes at file offset @offset, all of them, or -errno. */
int probe_elf_pread(const struct probe_elf *elf, u64 offset, void *buf, size_t len);

/* symbols.c */
int probe_elf_load_symbols(struct probe_elf *elf);
/* Is a file with symbol @name one of those of probe_elf_knows_returns()? */
bool probe_marks_returns(const char *name, bool defined);
const char *probe_function_name(const struct probe_function *f);
/* All functions that start at @addr: how many, and the first of them. */
size_t probe_functions_at(const struct probe_elf *elf, u64 addr, const struct probe_function **v);

/* near.c */
/* Append to @why ` (did you mean a, b, c?)` when function names of @elf resemble @name. */
void probe_near_misses(const struct probe_elf *elf, const char *name, char why[PROBE_WHY_MAX]);

/* process.c */
/* Why ptrace is denied under Yama's @scope (0: not by it), and the remedy. */
void probe_denied_reason(long scope, int err, char *reason, size_t size);

/* code.c */
/* Bounds of the function around virtual address @addr, from its symbol or its unwind entry. */
int probe_code_bounds(struct probe_elf *elf, u64 addr, u64 *start, u64 *end);
/* Those of the unwind entry (FDE) that covers @addr. 0 or -ENOENT. */
int probe_unwind_bounds(const struct probe_elf *e, u64 addr, u64 *start, u64 *end);
/* Is @addr inside a restartable sequence (rseq)? */
bool probe_code_in_rseq(struct probe_elf *elf, u64 addr);

/* The file's bytes of [@start, @start + @len), shortened to what its segment has. */
int probe_read_code(const struct probe_elf *e, u64 start, u64 len, u8 **out, size_t *out_len);

#define PROBE_SITE_LEN 64 /* a load of a system call number with its system call */
/*
 * Is @addr within a constant system call site? Then *nr, the addresses of the load and of the call
 * come back.
 */
struct probe_site {
	u64 load, call;
	u32 nr;
};
bool probe_code_syscall_site(struct probe_elf *elf, u64 addr, struct probe_site *out);
/* Walk the instructions of [@start, @addr): 0 when one begins at @addr, else -EINVAL and the one
 * that contains it in *insn, *len (0: does not decode). */
int probe_code_boundary(struct probe_elf *elf, u64 start, u64 addr, u64 *insn, int *len);

/* crosscheck.c */
/* Does a second decoder agree about @p, where it is and where it would be in a slot? NULL, or how
 * it doesn't. */
const char *probe_crosscheck(const struct arch_patch *p);
/* The same of @len bytes of instructions at @addr, which will be executed elsewhere as they are. */
const char *probe_crosscheck_run(const u8 *code, size_t len, u64 addr);

/* Do all instructions of @code, from first to last byte, certainly leave the stack pointer alone?
 */
bool probe_leaves_stack(const u8 *code, size_t len);

/* frame.c */
enum probe_top {
	PROBE_TOP_RETURN, /* the return address */
	PROBE_TOP_OTHER,
	PROBE_TOP_UNKNOWN,
};
/* What does the stack pointer point to where the instruction at file offset @offset begins? */
enum probe_top probe_top_of_stack(struct probe_elf *elf, u64 offset);
/* Does the function around @offset read its return address, other than by returning? At +*where. */
bool probe_looks_at_return(struct probe_elf *elf, u64 offset, u32 *where);

int __printf_like(2, 3) probe_why(char why[PROBE_WHY_MAX], const char *fmt, ...);
