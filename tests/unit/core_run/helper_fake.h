/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of helpers share: a run of a program that refers to one map, and addresses that
 * must not crash anybody.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/run/helper_impl.h"
#include "osl/osl.h"

static struct {
	struct ebpf_image img;
	struct ebpf_image_ref ref;
} fake_image = {.img = {.nrefs = 1, .refs = sizeof(struct ebpf_image)},
		.ref = {.kind = EBPF_REF_MAP}};
static struct ebpf_map fake_map;
static u64 fake_refs[1];
static struct ebpf_prog fake_prog = {.image = &fake_image.img, .refs = fake_refs};
static struct ebpf_env fake_env;
static struct ebpf_run run = {.prog = &fake_prog, .refs = fake_refs, .env = &fake_env};
static u8 *edge; /* first byte that can't be touched */
static u64 bad[6];

static inline void fake_start(void)
{
	u8 *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("t", 0);

	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	mprotect(p + 3 * 4096, 4096, PROT_NONE);
	edge = p + 3 * 4096;
	cr_assert_eq(ftruncate(fd, 4096), 0);
	bad[0] = 0;
	bad[1] = (u64)edge;
	bad[2] = (u64)edge - 1; /* straddles */
	bad[3] = 0x8000000000000000;
	bad[4] = (u64)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bad[5] = ~0ull - 3;
	cr_assert_eq(ftruncate(fd, 0), 0);
	fake_refs[0] = (u64)&fake_map;
}

#define CALL(name, ...) CALL_(name, __VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(name, a, b, c, d, e, ...)                                                            \
	((s64)ebpf_h_##name((u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), &run))
