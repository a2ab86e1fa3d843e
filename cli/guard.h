/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libbpf at work on somebody's object file, in this process.
 *
 * Model: looking at a file happens in a child (object.h); relocating, loading and attaching can't,
 * because the descriptors belong to the process that traces. When libbpf crashes there, the guard
 * says so and ends the process: the daemon takes its descriptors' end for a detachment, so nothing
 * stays behind. Only system calls are made then: the heap may be what is broken.
 */
#pragma once

/* @what is done with @file: "opening", "loading". Until guard_end(). */
void guard_begin(const char *what, const char *file);
void guard_end(void);
/* The exit status of such an end; EXIT_FAILURE when nothing was said. */
void guard_status(int status);
