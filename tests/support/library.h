/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that the loader would take for a library: its header, and nothing else. */
#pragma once

#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

static inline void library_make(const char *path)
{
	const Elf64_Ehdr eh = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, &eh, sizeof(eh)), sizeof(eh));
	close(fd);
}
