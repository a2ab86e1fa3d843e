/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows a type in BTF (the kernel's Documentation/bpf/btf.rst), for all who go through types
 * of strangers. Pure; any context.
 */
#pragma once

#include "core/uapi.h"

/* kinds after the oldest headers we build with */
#define KIND_DECL_TAG 17
#define KIND_TYPE_TAG 18
#define KIND_ENUM64 19

/* Bytes behind the struct btf_type whose info is @info; -1: no such kind. */
static inline s64 btf_kind_tail(u32 info)
{
	s64 n = BTF_INFO_VLEN(info);
	u32 kind = BTF_INFO_KIND(info);

	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case KIND_ENUM64:
		return n * 12;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return n * 8;
	default:
		return kind && kind < KIND_ENUM64 ? 0 : -1;
	}
}

/* Does the type itself say how large values of it are? */
static inline bool btf_kind_is_sized(u32 kind)
{
	return kind == BTF_KIND_INT || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION ||
	       kind == BTF_KIND_ENUM || kind == BTF_KIND_FLOAT || kind == BTF_KIND_DATASEC ||
	       kind == KIND_ENUM64;
}
