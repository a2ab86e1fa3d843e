/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services of the OS in process context: shared memory, executable images, time. Used by core/load
 * and everything above; never by the agent. Functions return 0 (or a descriptor) or -errno; they
 * are thread-safe and not signal-safe.
 */
#pragma once

#include "base/macros.h"

/* can't shrink or grow: what a map has */
#define OSL_SEAL_SIZE 1u
/* can't be written any more by anyone: what an image has */
#define OSL_SEAL_WRITE 2u
/* existing mappings keep writing, no new ones can: a frozen map */
#define OSL_SEAL_FUTURE_WRITE 4u

/* A new shared-memory object of @size zeroed bytes, backed so that it can't run out later. Owned
 * descriptor, CLOEXEC. */
int osl_shm_create(const char *name, u64 size);
/* Map @size bytes from @offset; @write or read-only. Unmap with osl_shm_unmap(). */
int osl_shm_map(int fd, u64 offset, u64 size, bool write, void **out);
void osl_shm_unmap(void *p, u64 size);
int osl_shm_seal(int fd, u32 seals);
/* The OSL_SEAL_* bits in force, or -errno (-EINVAL: not a sealable object). */
int osl_shm_seals(int fd);
/* Sealed image from @len bytes: written, OSL_SEAL_SIZE | OSL_SEAL_WRITE. Owned descriptor. */
int osl_image_create(const char *name, const void *data, u64 len);
/* Map an image for execution (read+exec). */
int osl_image_map(int fd, u64 size, void **out);
/* Bytes of the object, or -errno. */
s64 osl_shm_size(int fd);
/* Identity of an open object: equal for every descriptor of the same object. */
struct osl_ident {
	u64 dev, ino;
};
int osl_ident(int fd, struct osl_ident *out);

u32 osl_nr_cpus(void); /* possible CPUs, as libbpf counts them */
u64 osl_now_ns(void);  /* CLOCK_MONOTONIC */
/* Install the SIGSEGV/SIGBUS handler that osl_read() needs, in a process of our own. Idempotent. */
int osl_fault_handler_install(void);
/* What else that handler asks before it passes a fault on: true when @regs were changed so that the
 * process can go on (ebpf_prog_fixup() of the running program). NULL: nothing. */
struct arch_regs;
void osl_fault_hook(bool (*fn)(struct arch_regs *regs));
/* What /proc and the auxiliary vector say of the calling process; bells and life are NULL. */
struct osl_self;
void osl_self_fill(struct osl_self *out);
/* osl_trap_init() with what /proc and the auxiliary vector say of the calling process. */
int osl_trap_init_self(void);
