/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Typed programs: SEC("uentry/FILE:FUNCTION") and SEC("uexit/FILE:FUNCTION"). libbpf loads them as
 * it loads the kernel's fentry and fexit programs; what it can't know, the function's types in the
 * target, it is given here while it loads.
 */
#pragma once

#include "cli/object.h"

/* libbpf knows the sections from now on. 0 or -errno. */
int typed_register(void);

/* Does --prog leave typed programs typed, and the others untyped? Says what is wrong (out_error).
 */
int typed_check(const struct object *obj);

/*
 * What libbpf loads from now on, until typed_end(), are programs of @obj's @edition. typed_end():
 * 0, or -errno when a program's types couldn't be had, which was said.
 */
void typed_begin(const struct object *obj, u32 edition, const struct btf_request *types);
int typed_end(void);

/*
 * The types of the function at @place alone, as btf_slice(), for somebody else's program @name. 0,
 * or -errno after a message.
 */
int typed_slice(const char *name, const struct place *place, const struct object_opts *opts,
		struct btf **out);

/*
 * The function at @offset of @elf by another of its names, which @name (SPEC_TEXT_MAX bytes) is
 * then: types made from DWARF know all, others one. As btf_slice().
 */
struct probe_elf;
int typed_slice_by_alias(const struct btf *btf, struct probe_elf *elf, u64 offset, char *name,
			 struct btf **out);
