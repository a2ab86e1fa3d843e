/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF files from strangers: open, list, look up, plan. */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "probe/probe.h"
#include "tests/fuzz/fuzz.h"

#define MAX_SYMBOLS 200

struct walk {
	struct probe_elf *elf;
	const u8 *data;
	size_t size;
	u32 n;
};

static int look_at(const struct probe_symbol *sym, void *cookie)
{
	struct walk *w = cookie;
	char why[PROBE_WHY_MAX];
	struct probe_symbol found;
	struct arch_patch patch;
	u64 returns[PROBE_RETURNS_MAX];

	FUZZ_CHECK(sym->name && strlen(sym->name) < FUZZ_MAX);
	probe_elf_symbol(w->elf, sym->name, &found, why);
	probe_elf_symbol_at(w->elf, sym->offset, &found);
	probe_elf_offset_to_addr(w->elf, sym->offset);
	if (sym->offset < w->size)
		probe_plan(w->elf, sym->offset, sym->addr, w->data + sym->offset,
			   MIN(w->size - sym->offset, (size_t)16), &patch, why);
	probe_plan(w->elf, sym->offset + 1, sym->addr + 1, w->data, MIN(w->size, (size_t)16),
		   &patch, why);
	probe_ret_refused(w->elf, sym->name, why);
	probe_ret_at(w->elf, sym->offset, sym->name, why);
	for (u64 at = 0; at < 16; at++)
		probe_ret_at(w->elf, sym->offset + at, "", why);
	probe_returns(w->elf, sym->offset, returns, why);
	return ++w->n == MAX_SYMBOLS;
}

static int never(u32 nr, u64 load_offset, u64 call_offset, void *cookie)
{
	FUZZ_CHECK(load_offset <= call_offset);
	return 0;
}

static void explore(struct probe_elf *elf, const u8 *data, size_t size)
{
	struct walk w = {elf, data, size, 0};
	char why[PROBE_WHY_MAX];
	struct probe_symbol found;
	u64 addr;

	probe_elf_each(elf, look_at, &w);
	FUZZ_CHECK(probe_elf_symbol(elf, "no such function", &found, why) < 0);
	FUZZ_CHECK(memchr(why, 0, sizeof(why)));
	for (u64 at = 0; at < size; at += 64)
		probe_elf_symbol_at(elf, at, &found);
	probe_elf_data_symbol(elf, "_r_debug", &addr);
	probe_elf_is_go(elf);
	probe_libc_syscall_sites(elf, (const u32[]){14}, 1, never, NULL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64], why[PROBE_WHY_MAX] = "";
	struct probe_elf *elf = NULL;

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (probe_elf_open(path, &elf, why)) {
		FUZZ_CHECK(!elf && *why);
		return 0;
	}
	explore(elf, data, size);
	probe_elf_free(&elf);
	FUZZ_CHECK(!elf);
	return 0;
}

/* the unwinder's search table, with the entry of one function */
struct unwind {
	u8 encodings[4];
	s32 frame;
	u32 count;
	s32 function, fde;
	struct {
		u32 len, id;
		u8 bytes[16];
	} cie;
	struct {
		u32 len, cie;
		s32 start;
		u32 size;
		u8 bytes[8];
	} entry;
};

/* a shared object with two functions, a variable, and the tables that name them */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Shdr sh[5];
	Elf64_Sym sym[4];
	char str[32];
	char shstr[40];
	struct unwind unwind;
	u8 text[64];
};

static Elf64_Shdr section(u32 name, u32 type, size_t at, size_t size, u32 link, size_t entry)
{
	return (Elf64_Shdr){.sh_name = name,
			    .sh_type = type,
			    .sh_flags = SHF_ALLOC,
			    .sh_addr = at,
			    .sh_offset = at,
			    .sh_size = size,
			    .sh_link = link,
			    .sh_addralign = 1,
			    .sh_entsize = entry};
}

static void head(struct image *m)
{
	memcpy(m->eh.e_ident, ELFMAG, SELFMAG);
	m->eh.e_ident[EI_CLASS] = ELFCLASS64;
	m->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	m->eh.e_ident[EI_VERSION] = EV_CURRENT;
	m->eh.e_type = ET_DYN;
	m->eh.e_machine = EM_X86_64;
	m->eh.e_version = EV_CURRENT;
	m->eh.e_phoff = offsetof(struct image, ph);
	m->eh.e_shoff = offsetof(struct image, sh);
	m->eh.e_ehsize = sizeof(Elf64_Ehdr);
	m->eh.e_phentsize = sizeof(Elf64_Phdr);
	m->eh.e_phnum = 2;
	m->eh.e_shentsize = sizeof(Elf64_Shdr);
	m->eh.e_shnum = 5;
	m->eh.e_shstrndx = 3;
	m->ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				.p_flags = PF_R | PF_X,
				.p_filesz = sizeof(*m),
				.p_memsz = sizeof(*m),
				.p_align = 4096};
}

static void body(struct image *m)
{
	size_t text = offsetof(struct image, text);

	m->sh[1] = section(1, SHT_SYMTAB, offsetof(struct image, sym), sizeof(m->sym), 2,
			   sizeof(Elf64_Sym));
	m->sh[2] = section(9, SHT_STRTAB, offsetof(struct image, str), sizeof(m->str), 0, 0);
	m->sh[3] = section(17, SHT_STRTAB, offsetof(struct image, shstr), sizeof(m->shstr), 0, 0);
	m->sh[4] = section(27, SHT_PROGBITS, text, sizeof(m->text), 0, 0);
	memcpy(m->shstr, "\0.symtab\0.strtab\0.shstrtab\0.text", 33);
	memcpy(m->str, "\0first\0second\0_r_debug", 23);
	m->sym[1] = (Elf64_Sym){1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 4, text, 32};
	m->sym[2] = (Elf64_Sym){7, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 4, text + 32, 32};
	m->sym[3] = (Elf64_Sym){14, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 4, text, 8};
	memset(m->text, 0x90, sizeof(m->text));
	/* push %rbp; mov $14,%eax; syscall; ret */
	memcpy(m->text, "\x55\xb8\x0e\0\0\0\x0f\5\xc3", 9);
}

/* def_cfa rsp+8, return address at -8; behind the push 16, behind the system call what was before
 */
static void unwind(struct image *m)
{
	struct unwind *u = &m->unwind;
	s32 here = offsetof(struct image, unwind), text = offsetof(struct image, text),
	    entry = here + (s32)offsetof(struct unwind, entry);

	m->ph[1] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME,
				.p_offset = (u64)here,
				.p_vaddr = (u64)here,
				.p_filesz = sizeof(*u)};
	*u = (struct unwind){.encodings = {1, 0x1b, 0x03, 0x3b}, .count = 1};
	u->function = text - here;
	u->fde = entry - here;
	u->cie.len = sizeof(u->cie) - sizeof(u32);
	memcpy(u->cie.bytes, "\1zR\0\1\x78\x10\1\x1b\x0c\7\x08\x90\1\0", 16);
	u->entry.len = sizeof(u->entry) - sizeof(u32);
	u->entry.cie = offsetof(struct unwind, entry) + sizeof(u32) - offsetof(struct unwind, cie);
	u->entry.start = text - entry - (s32)offsetof(__typeof__(u->entry), start);
	u->entry.size = 32;
	memcpy(u->entry.bytes, "\0\x41\x0a\x0e\x10\x47\x0b", 8);
}

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	struct image m;

	if (i)
		return 0;
	memset(&m, 0, sizeof(m));
	head(&m);
	body(&m);
	unwind(&m);
	memcpy(out, &m, sizeof(m));
	return sizeof(m);
}
