/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside libebpfrt: requests over the surface's connection, and the sentence of the last failure.
 */
#pragma once

#include "ebpfrt/ebpfrt.h"
#include "proto/frame.h"

/* Make the calling thread's error sentence; returns @err so that a caller can say `return`. */
int client_fail(int err, const char *fmt, ...) __printf_like(2, 3);
void client_error_clear(void);

/*
 * One request. 0 or a positive result, with the reply's body in @reply (may be NULL; else
 * frame_deinit() is the caller's); or -errno, with the daemon's sentence, or "WHAT: strerror" where
 * it sent none, as the error.
 */
int client_request(u16 type, const void *body, size_t len, struct frame *reply, const char *what);

/* Rows of @size bytes from a reply into a malloc'ed array: a longer or torn reply is -EPROTO. */
int client_rows(const struct frame *reply, size_t size, size_t *n);

/*
 * ebpfrt_run_environment() for a program that wants the library @first (NULL: none) loaded before
 * all others. Then the agent hides what leads to it, for its children don't want that.
 */
int client_run_environment(char *const *env, const char *first, char ***out);

/* A number of our own process, by its name in /proc/self/status, or -1. */
long client_own_status(const char *field);

/* Find the file @name: $@env, else beside the running program or library, else in @dir. */
int client_find_file(const char *env, const char *name, const char *dir, char *path, size_t size);
