/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USDT probes: notes of the owner "stapsdt" in .note.stapsdt. Each has the addresses of the site,
 * of a section to tell prelinking by, and of a counter, then three strings: provider, name,
 * arguments. Every length is the file's word and checked.
 */
#include "probe_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define NOTES_MAX (16u << 20)
#define NT_STAPSDT 3u

struct note {
	const char *at;
	size_t left;
};

static const char *take_string(struct note *n)
{
	const char *s = n->at;
	size_t len = strnlen(s, n->left);

	if (len == n->left)
		return NULL;
	n->at += len + 1;
	n->left -= len + 1;
	return s;
}

/* The section's address in the file tells how far the addresses have been moved since. */
static u64 moved_by(struct probe_elf *elf, u64 base)
{
	GElf_Shdr sh;

	return probe_elf_section(elf, ".stapsdt.base", &sh) ? sh.sh_addr - base : 0;
}

static bool parse_note(struct probe_elf *elf, struct note n, struct probe_usdt *out)
{
	const struct probe_segment *s;
	u64 v[3], by;

	if (n.left < sizeof(v))
		return false;
	memcpy(v, n.at, sizeof(v));
	n.at += sizeof(v);
	n.left -= sizeof(v);
	by = moved_by(elf, v[1]);
	*out = (struct probe_usdt){.addr = v[0] + by, .semaphore = v[2] ? v[2] + by : 0};
	out->provider = take_string(&n);
	out->name = out->provider ? take_string(&n) : NULL;
	out->args = out->name ? take_string(&n) : NULL;
	s = probe_elf_segment(elf, out->addr);
	if (!out->args || !s)
		return false;
	out->offset = out->addr - s->addr + s->offset;
	return true;
}

int probe_elf_each_usdt(struct probe_elf *elf, int (*fn)(const struct probe_usdt *u, void *cookie),
			void *cookie)
{
	_cleanup_free_ char *data = NULL;
	size_t at = 0;
	GElf_Shdr sh;
	int err = 0;

	if (!probe_elf_section(elf, ".note.stapsdt", &sh) || sh.sh_size > NOTES_MAX)
		return 0;
	data = malloc(sh.sh_size + 1);
	if (!data)
		return -ENOMEM;
	err = probe_elf_pread(elf, sh.sh_offset, data, sh.sh_size);
	while (!err && sh.sh_size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		struct probe_usdt u;
		size_t name, desc;

		memcpy(&h, data + at, sizeof(h));
		at += sizeof(h);
		name = ALIGN_UP((size_t)h.n_namesz, 4);
		desc = ALIGN_UP((size_t)h.n_descsz, 4);
		if (name > sh.sh_size - at || desc > sh.sh_size - at - name)
			break;
		if (h.n_type == NT_STAPSDT && h.n_namesz == sizeof("stapsdt") &&
		    !memcmp(data + at, "stapsdt", sizeof("stapsdt")) &&
		    parse_note(elf, (struct note){data + at + name, h.n_descsz}, &u))
			err = fn(&u, cookie);
		at += name + desc;
	}
	return err;
}
