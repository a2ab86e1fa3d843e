/* SPDX-License-Identifier: BSD-2-Clause */
/* See howto.h. */
#include "cli/howto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CODE_LEN 64

int howto_open(struct howto *h, const char *path, char why[PROBE_WHY_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	h->elf = NULL;
	h->fd = -1;
	if (fd < 0) {
		err = -errno;
		snprintf(why, PROBE_WHY_MAX, "%.200s: %s", path, strerror(-err));
		return err;
	}
	err = probe_elf_open(path, &h->elf, why);
	if (err)
		close(fd);
	else
		h->fd = fd;
	return err;
}

void howto_close(struct howto *h)
{
	probe_elf_free(&h->elf);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

bool howto_place(struct howto *h, u64 offset, const char *name, bool ret, char why[PROBE_WHY_MAX])
{
	struct arch_patch patch;
	u8 code[CODE_LEN];
	ssize_t n = pread(h->fd, code, sizeof(code), (off_t)offset);

	if (n <= 0) {
		snprintf(why, PROBE_WHY_MAX, "the file cannot be read there");
		return false;
	}
	if (ret && probe_ret_refused(h->elf, name, why))
		return false;
	return !probe_plan(h->elf, offset, probe_elf_offset_to_addr(h->elf, offset), code,
			   (size_t)n, &patch, why);
}
