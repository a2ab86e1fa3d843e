/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where functions and instructions begin in a file's code.
 *
 * x86 code can be decoded in one direction only, from a place that is known to begin an
 * instruction: a symbol, or, in a stripped file, an entry of the unwinder's search table
 * (.eh_frame_hdr). Where neither exists nothing is guessed.
 */
#include "probe_priv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define FUNCTION_MAX (16u << 20) /* longest stretch that is decoded to reach a probe */
#define RELATIVE_RELOCATION 8	 /* R_X86_64_RELATIVE */

/* --- the unwinder's search table --- */

/* The encodings the linker writes; any other is left alone. */
#define EH_VERSION 1
#define EH_PCREL_SDATA4 0x1b
#define EH_UDATA4 0x03
#define EH_DATAREL_SDATA4 0x3b

struct eh_header {
	u8 version, frame_encoding, count_encoding, table_encoding;
	s32 frame;
	u32 count;
};
struct eh_entry {
	s32 start, fde; /* relative to the header */
};

static int eh_segment(const struct probe_elf *e, GElf_Phdr *out)
{
	size_t n;

	if (elf_getphdrnum(e->elf, &n))
		return -ENOENT;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(e->elf, (int)i, out) && out->p_type == PT_GNU_EH_FRAME)
			return 0;
	return -ENOENT;
}

static int read_eh_entry(const struct probe_elf *e, const GElf_Phdr *ph, u32 i,
			 struct eh_entry *out)
{
	return probe_elf_pread(e, ph->p_offset + sizeof(struct eh_header) + (u64)i * sizeof(*out),
			       out, sizeof(*out));
}

/* The last entry whose function starts at or below @addr. */
static int search_eh_table(const struct probe_elf *e, const GElf_Phdr *ph, u32 count, u64 addr,
			   struct eh_entry *out)
{
	u32 lo = 0, hi = count;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		struct eh_entry entry;

		if (read_eh_entry(e, ph, mid, &entry))
			return -ENOENT;
		if (ph->p_vaddr + (u64)(s64)entry.start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? read_eh_entry(e, ph, lo - 1, out) : -ENOENT;
}

/*
 * Length of the function an FDE describes: length, CIE, start (pc-relative), size. That its start
 * agrees with the table's also proves the encoding.
 */
static int fde_size(const struct probe_elf *e, u64 fde, u64 start, u64 *size)
{
	const struct probe_segment *s = probe_elf_segment(e, fde);
	struct {
		u32 length, cie;
		s32 start;
		u32 size;
	} head;

	if (!s || probe_elf_pread(e, s->offset + (fde - s->addr), &head, sizeof(head)))
		return -ENOENT;
	if (head.length == UINT32_MAX ||
	    fde + offsetof(__typeof__(head), start) + (u64)(s64)head.start != start)
		return -ENOENT;
	*size = head.size;
	return 0;
}

int probe_unwind_bounds(const struct probe_elf *e, u64 addr, u64 *start, u64 *end)
{
	struct eh_header header;
	struct eh_entry entry;
	GElf_Phdr ph;
	u64 at, size;

	if (eh_segment(e, &ph) || probe_elf_pread(e, ph.p_offset, &header, sizeof(header)))
		return -ENOENT;
	if (header.version != EH_VERSION || header.frame_encoding != EH_PCREL_SDATA4 ||
	    header.count_encoding != EH_UDATA4 || header.table_encoding != EH_DATAREL_SDATA4)
		return -ENOENT;
	if (search_eh_table(e, &ph, header.count, addr, &entry))
		return -ENOENT;
	at = ph.p_vaddr + (u64)(s64)entry.start;
	if (fde_size(e, ph.p_vaddr + (u64)(s64)entry.fde, at, &size) || addr - at >= size)
		return -ENOENT;
	*start = at;
	*end = at + size;
	return 0;
}

static int symbol_bounds(struct probe_elf *e, u64 addr, u64 *start, u64 *end)
{
	const struct probe_segment *s = probe_elf_segment(e, addr);
	struct probe_symbol sym;

	if (!s || probe_elf_symbol_at(e, s->offset + (addr - s->addr), &sym))
		return -ENOENT;
	*start = sym.addr;
	*end = sym.size ? sym.addr + sym.size : s->addr + s->size;
	return 0;
}

int probe_code_bounds(struct probe_elf *elf, u64 addr, u64 *start, u64 *end)
{
	return symbol_bounds(elf, addr, start, end) ? probe_unwind_bounds(elf, addr, start, end)
						    : 0;
}

/* --- instruction boundaries --- */

int probe_read_code(const struct probe_elf *e, u64 start, u64 len, u8 **out, size_t *out_len)
{
	const struct probe_segment *s = probe_elf_segment(e, start);
	_cleanup_free_ u8 *code = NULL;
	int err;

	if (!s || !s->exec)
		return -EINVAL;
	len = MIN(len, s->size - (start - s->addr));
	code = malloc(len);
	if (!code)
		return -ENOMEM;
	err = probe_elf_pread(e, s->offset + (start - s->addr), code, len);
	if (err)
		return err;
	*out = TAKE_PTR(code);
	*out_len = len;
	return 0;
}

int probe_code_boundary(struct probe_elf *elf, u64 start, u64 addr, u64 *insn, int *len)
{
	_cleanup_free_ u8 *code = NULL;
	size_t n, at = 0;
	int err;

	*insn = start;
	*len = 0;
	if (addr - start > FUNCTION_MAX)
		return -EFBIG;
	err = probe_read_code(elf, start, addr - start + ARCH_MAX_INSN, &code, &n);
	if (err)
		return err;
	while (start + at < addr) {
		*insn = start + at;
		*len = arch_insn_len(code + at, n - at);
		if (*len <= 0) {
			*len = 0;
			return -EINVAL;
		}
		at += (size_t)*len;
	}
	return start + at == addr ? 0 : -EINVAL;
}

/* --- exits --- */

#define EXITS_MAX 16u

int probe_unwind_exits(struct probe_elf *elf, const struct probe_symbol *sym, bool lands,
		       u64 *offsets, u32 max)
{
	_cleanup_free_ u8 *code = NULL;
	u32 at[EXITS_MAX];
	u64 start, end;
	size_t len;
	int n;

	n = probe_code_bounds(elf, sym->addr, &start, &end);
	if (n || start != sym->addr || end - start > FUNCTION_MAX)
		return -ENOENT;
	n = probe_read_code(elf, start, end - start, &code, &len);
	if (!n)
		n = arch_unwind_exits(code, len, lands, at, MIN(max, EXITS_MAX));
	for (int i = 0; i < n; i++)
		offsets[i] = sym->offset + at[i];
	return n;
}

/* Where the function that starts at @addr ends, if that is known. */
static int function_end(struct probe_elf *elf, u64 addr, u64 *end)
{
	struct probe_symbol sym;
	u64 start;
	const struct probe_segment *s = probe_elf_segment(elf, addr);

	if (!s || !s->exec)
		return -ENOENT;
	if (!probe_elf_symbol_at(elf, s->offset + (addr - s->addr), &sym) && sym.size &&
	    sym.addr == addr) {
		*end = addr + sym.size;
		return 0;
	}
	return probe_unwind_bounds(elf, addr, &start, end) || start != addr ? -ENOENT : 0;
}

/* Of what follows the function at @addr, is there another one before @end? */
static bool another_begins(struct probe_elf *elf, u64 addr, u64 from, u64 end)
{
	u64 start, ignored;

	for (u64 at = from; at < end; at++)
		if (probe_code_bounds(elf, at, &start, &ignored) == 0 && start > addr)
			return true;
	return false;
}

bool probe_branches_into(struct probe_elf *elf, u64 offset, u32 own)
{
	_cleanup_free_ u8 *code = NULL;
	u64 addr = probe_elf_offset_to_addr(elf, offset), start, end;
	size_t len;

	if (probe_code_bounds(elf, addr, &start, &end) || end - start > FUNCTION_MAX ||
	    another_begins(elf, addr, end, addr + own) ||
	    probe_read_code(elf, start, end - start, &code, &len))
		return true;
	return arch_branches_into(code, len, (u32)(addr - start), (u32)(addr - start) + own);
}

static int say_returns(int err, u32 at, char why[PROBE_WHY_MAX])
{
	if (err == -EXDEV)
		probe_why(
			why,
			"cannot probe the return: return addresses must not be replaced there, and "
			"the function may be left by the jump at +0x%x, too (a tail call); use a "
			"uprobe at its entry",
			at);
	else if (err == -ENOSPC)
		probe_why(why, "cannot probe the return: the function has more than %u returns",
			  PROBE_RETURNS_MAX);
	else
		probe_why(
			why,
			"cannot probe the return: return addresses must not be replaced there, and "
			"the function's returns are not known (its %s); use a uprobe at its entry",
			err == -ENOENT ? "size is not" : "code does not decode");
	return -EOPNOTSUPP;
}

int probe_returns(struct probe_elf *elf, u64 offset, u64 offsets[PROBE_RETURNS_MAX],
		  char why[PROBE_WHY_MAX])
{
	_cleanup_free_ u8 *code = NULL;
	u64 addr = probe_elf_offset_to_addr(elf, offset), end;
	u32 found[PROBE_RETURNS_MAX], at = 0;
	size_t len = 0;
	int n = function_end(elf, addr, &end);

	if (!n && end - addr > FUNCTION_MAX)
		n = -ENOENT;
	if (!n)
		n = probe_read_code(elf, addr, end - addr, &code, &len);
	if (!n)
		n = len == end - addr ? 0 : -ENOENT;
	if (!n)
		n = arch_returns(code, len, probe_elf_is_go(elf), found, PROBE_RETURNS_MAX, &at);
	if (n < 0)
		return say_returns(n, at, why);
	for (int i = 0; i < n; i++)
		offsets[i] = offset + found[i];
	return n;
}

/* --- who asks where it was called from --- */

bool probe_is_libc(const char *path)
{
	static const char *const begins[] = {"libc.so", "libc-", "ld-musl", "libdl.so", "libdl-"};
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (!strncmp(name, begins[i], strlen(begins[i])))
			return true;
	return false;
}

const char *const probe_askers[] = {"dlopen", "dlmopen", "dlsym",      "dlvsym",
				    "mcount", "_mcount", "__fentry__", NULL};

int probe_asker_exits(struct probe_elf *elf, const struct probe_symbol *sym, u64 *offsets, u32 max)
{
	_cleanup_free_ u8 *code = NULL;
	u32 at[EXITS_MAX];
	u64 end;
	size_t len;
	int n = function_end(elf, sym->addr, &end);

	if (n || end - sym->addr > FUNCTION_MAX)
		return -ENOENT;
	n = probe_read_code(elf, sym->addr, end - sym->addr, &code, &len);
	if (!n)
		n = arch_leaves(code, len, at, MIN(max, EXITS_MAX));
	for (int i = 0; i < n; i++)
		offsets[i] = sym->offset + at[i];
	return n;
}

/* --- system call sites --- */

bool probe_code_syscall_site(struct probe_elf *elf, u64 addr, struct probe_site *out)
{
	const struct probe_segment *s = probe_elf_segment(elf, addr);
	u64 before = s ? MIN(addr - s->addr, PROBE_SITE_LEN - 1ull) : 0;
	_cleanup_free_ u8 *code = NULL;
	size_t n;

	if (probe_read_code(elf, addr - before, before + PROBE_SITE_LEN, &code, &n))
		return false;
	for (u64 back = 0; back <= before; back++) {
		u64 from = before - back;
		u32 nr, call_len;
		int at = arch_syscall_site(code + from, MIN(n - from, (u64)PROBE_SITE_LEN), &nr,
					   &call_len);

		if (at < 0 || back >= (u64)at + call_len)
			continue;
		*out = (struct probe_site){addr - back, addr - back + (u64)at, nr};
		return true;
	}
	return false;
}

/* False when it is certain that no instruction begins at @addr. */
static bool may_be_boundary(struct probe_elf *elf, u64 addr)
{
	u64 start, end, insn;
	int len;

	if (probe_code_bounds(elf, addr, &start, &end))
		return true;
	return probe_code_boundary(elf, start, addr, &insn, &len) != -EINVAL || !len;
}

static bool among(u32 nr, const u32 *nrs, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (nrs[i] == nr)
			return true;
	return false;
}

static int sites_in_segment(struct probe_elf *elf, const struct probe_segment *s, const u32 *nrs,
			    u32 nnrs, probe_syscall_fn fn, void *cookie)
{
	_cleanup_free_ u8 *code = NULL;
	u32 found, call_len;
	size_t n;
	int err = probe_read_code(elf, s->addr, s->size, &code, &n);

	for (size_t i = 0; !err && i < n; i++) {
		int at = arch_syscall_site(code + i, n - i, &found, &call_len);

		if (at < 0 || !among(found, nrs, nnrs) || !may_be_boundary(elf, s->addr + i))
			continue;
		err = fn(found, s->offset + i, s->offset + i + (u64)at, cookie);
	}
	return err;
}

int probe_libc_syscall_sites(struct probe_elf *elf, const u32 *nrs, u32 n, probe_syscall_fn fn,
			     void *cookie)
{
	for (size_t i = 0; i < elf->nsegments; i++) {
		int err = 0;

		if (elf->segments[i].exec)
			err = sites_in_segment(elf, &elf->segments[i], nrs, n, fn, cookie);
		if (err)
			return err;
	}
	return 0;
}

bool probe_calls_kernel(const char *path)
{
	static const char *const begins[] = {"libc.so",	    "libc-",	    "ld-musl",
					     "libtsan.so",  "libasan.so",   "liblsan.so",
					     "libubsan.so", "libhwasan.so", "libclang_rt."};
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (!strncmp(name, begins[i], strlen(begins[i])))
			return true;
	return false;
}

bool probe_has_sanitizer(struct probe_elf *elf)
{
	char why[PROBE_WHY_MAX];
	struct probe_symbol sym;

	return probe_elf_symbol(elf, "__sanitizer_set_report_path", &sym, why) == 0;
}

static bool is_unknown_call(struct probe_elf *elf, u64 addr)
{
	struct probe_site site;

	return !(probe_code_syscall_site(elf, addr, &site) && site.call == addr) &&
	       may_be_boundary(elf, addr);
}

int probe_unknown_syscalls(struct probe_elf *elf, probe_syscall_fn fn, void *cookie)
{
	for (size_t i = 0; i < elf->nsegments; i++) {
		const struct probe_segment *s = &elf->segments[i];
		_cleanup_free_ u8 *code = NULL;
		size_t n = 0;

		if (!s->exec || probe_read_code(elf, s->addr, s->size, &code, &n))
			continue;
		for (size_t at = 0; at + 1 < n; at++) {
			if (!arch_is_syscall(code + at) || !is_unknown_call(elf, s->addr + at))
				continue;
			if (fn(0, s->offset + at, s->offset + at, cookie))
				return 1;
		}
	}
	return 0;
}

int probe_libc_syscall(struct probe_elf *elf, u64 *offset)
{
	_cleanup_free_ u8 *code = NULL;
	char why[PROBE_WHY_MAX];
	struct probe_symbol sym;
	struct arch_patch ignored;
	u64 start, end;
	size_t n;
	int len;

	if (probe_elf_symbol(elf, "syscall", &sym, why) ||
	    probe_code_bounds(elf, sym.addr, &start, &end) || start != sym.addr ||
	    probe_read_code(elf, start, MIN(end - start, 256ul), &code, &n))
		return -ENOENT;
	for (size_t i = 0; i < n; i += (size_t)len) {
		len = arch_insn_len(code + i, n - i);
		if (len <= 0)
			break;
		if (arch_patch_plan_syscall(code + i, n - i, start + i, 0, &ignored) == 0) {
			*offset = sym.offset + i;
			return 0;
		}
	}
	return -ENOENT;
}

/* --- restartable sequences --- */

struct rseq_descriptor { /* the kernel's struct rseq_cs */
	u32 version, flags;
	u64 start, length, abort;
};

/* What the loader would write at @addr when the file leaves it to a relocation. */
static u64 relocated(const struct probe_elf *e, u64 addr)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = probe_elf_section(e, ".rela.dyn", &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t n = data && shdr.sh_entsize ? data->d_size / shdr.sh_entsize : 0;
	GElf_Rela rela;

	for (size_t i = 0; i < n && i < INT32_MAX; i++)
		if (gelf_getrela(data, (int)i, &rela) && rela.r_offset == addr &&
		    GELF_R_TYPE(rela.r_info) == RELATIVE_RELOCATION)
			return (u64)rela.r_addend;
	return 0;
}

bool probe_code_in_rseq(struct probe_elf *elf, u64 addr)
{
	struct rseq_descriptor d;
	GElf_Shdr shdr;
	Elf_Scn *scn = probe_elf_section(elf, "__rseq_cs", &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;

	for (size_t at = 0; data && data->d_buf && at + sizeof(d) <= data->d_size;
	     at += sizeof(d)) {
		memcpy(&d, (const u8 *)data->d_buf + at, sizeof(d));
		if (!d.start)
			d.start = relocated(elf, shdr.sh_addr + at +
							 offsetof(struct rseq_descriptor, start));
		if (d.start && addr - d.start < d.length)
			return true;
	}
	return false;
}
