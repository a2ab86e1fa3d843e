/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * May this place be probed, and how? Every refusal is a sentence that names the place as a person
 * would: symbol+offset, file, reason.
 */
#include "probe_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the agent itself replaces in a target: the system calls that set signal actions and masks.
 */
#define NR_RT_SIGACTION 13
#define NR_RT_SIGPROCMASK 14
#define NR_RT_SIGRETURN 15

struct place {
	struct probe_elf *elf;
	u64 offset, file_addr; /* the same place in the file and in its address space */
	u64 addr;	       /* and in the target */
	const u8 *text;
	size_t text_len;
	char name[120]; /* symbol+0x10, or the file offset */
	char *why;
};

static int __printf_like(3, 4) refuse(const struct place *p, int err, const char *fmt, ...)
{
	char reason[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	probe_why(p->why, "cannot probe %s in %.80s: %s", p->name, p->elf->path, reason);
	return err;
}

static void name_place(struct place *p)
{
	struct probe_symbol sym;

	if (probe_elf_symbol_at(p->elf, p->offset, &sym))
		snprintf(p->name, sizeof(p->name), "offset 0x%lx", (unsigned long)p->offset);
	else if (sym.offset == p->offset)
		snprintf(p->name, sizeof(p->name), "%.100s", sym.name);
	else
		snprintf(p->name, sizeof(p->name), "%.90s+0x%lx", sym.name,
			 (unsigned long)(p->offset - sym.offset));
}

static int check_in_code(struct place *p)
{
	const struct probe_segment *s = probe_elf_segment_at(p->elf, p->offset);

	if (!s || !s->exec)
		return refuse(p, -EINVAL, "that part of the file is not code");
	p->file_addr = s->addr + (p->offset - s->offset);
	return 0;
}

static int check_boundary(struct place *p)
{
	u64 start, end, insn;
	int len, err;

	if (probe_code_bounds(p->elf, p->file_addr, &start, &end))
		return refuse(p, -EINVAL,
			      "no symbol and no unwind entry tells where instructions begin there");
	err = probe_code_boundary(p->elf, start, p->file_addr, &insn, &len);
	if (err == -EFBIG)
		return refuse(p, err, "it lies too far inside a function");
	if (err == -EINVAL && !len)
		return refuse(p, err, "code before it does not decode (at +0x%lx)",
			      (unsigned long)(insn - start));
	if (err == -EINVAL)
		return refuse(p, err,
			      "not an instruction boundary (the one at +0x%lx has %d bytes)",
			      (unsigned long)(insn - start), len);
	return err ? refuse(p, err, "%s", strerror(-err)) : 0;
}

/* The bytes of the whole instruction, in memory as in the file. */
static int check_text(struct place *p, const u8 *file, size_t file_len)
{
	struct arch_patch ignored;
	int len = arch_insn_len(file, file_len);

	if (arch_patch_plan(p->text, p->text_len, p->addr, &ignored) == -ARCH_REFUSED_BREAK &&
	    (!file_len || p->text[0] != file[0]))
		return refuse(p, -EBUSY, "a breakpoint is there already (a debugger's?)");
	if (len > 0 && (p->text_len < (size_t)len || memcmp(p->text, file, (size_t)len)))
		return refuse(
			p, -EBUSY,
			"the process has other code there than the file; something patched it");
	return 0;
}

static int plan_instruction(struct place *p, struct arch_patch *out)
{
	struct probe_site site;
	int err = arch_patch_plan(p->text, p->text_len, p->addr, out);
	bool known = probe_code_syscall_site(p->elf, p->file_addr, &site);

	if (known && site.nr == NR_RT_SIGRETURN)
		return refuse(p, -EOPNOTSUPP, "it returns from a signal handler");
	if (known && (site.nr == NR_RT_SIGACTION || site.nr == NR_RT_SIGPROCMASK))
		return refuse(p, -EOPNOTSUPP,
			      "the runtime itself watches this system call; probe the function's "
			      "start");
	if (err == -ARCH_REFUSED_SYSCALL && known && site.call == p->file_addr)
		err = arch_patch_plan_syscall(p->text, p->text_len, p->addr, site.nr, out);
	return err ? refuse(p, -EOPNOTSUPP, "%s", arch_patch_refusal(err)) : 0;
}

static int ask_second(const struct place *p, const struct arch_patch *patch)
{
	const char *why = probe_crosscheck(patch);

	return why ? refuse(p, -EOPNOTSUPP, "%s", why) : 0;
}

/* glibc compares the instruction pointer with the bounds of this function to cancel a thread. */
static bool in_cancellation_range(struct place *p)
{
	struct probe_symbol sym;

	return !probe_elf_symbol_at(p->elf, p->offset, &sym) &&
	       !strncmp(sym.name, "__syscall_cancel_arch", 21);
}

static int check_surroundings(struct place *p)
{
	if (probe_code_in_rseq(p->elf, p->file_addr))
		return refuse(p, -EOPNOTSUPP,
			      "it lies in a restartable sequence (rseq), which a trap would abort "
			      "each time");
	if (in_cancellation_range(p))
		return refuse(p, -EOPNOTSUPP, "glibc cancels threads by their position there");
	return 0;
}

int probe_plan(struct probe_elf *elf, u64 offset, u64 addr, const u8 *text, size_t text_len,
	       struct arch_patch *out, char why[PROBE_WHY_MAX])
{
	struct place p = {.elf = elf,
			  .offset = offset,
			  .addr = addr,
			  .text = text,
			  .text_len = text_len,
			  .why = why};
	struct arch_patch patch;
	u8 file[ARCH_MAX_INSN];
	size_t file_len = MIN(sizeof(file), elf->file_size - MIN(offset, elf->file_size));
	int err;

	name_place(&p);
	err = check_in_code(&p);
	if (!err && probe_elf_pread(elf, offset, file, file_len))
		err = refuse(&p, -EIO, "the file cannot be read there");
	if (!err)
		err = check_boundary(&p);
	if (!err)
		err = check_text(&p, file, file_len);
	if (!err)
		err = check_surroundings(&p);
	if (!err)
		err = plan_instruction(&p, &patch);
	if (!err)
		err = ask_second(&p, &patch);
	if (!err)
		*out = patch;
	return err;
}

u32 probe_follows(struct probe_elf *elf, u64 offset, const struct arch_patch *p, const u8 *text,
		  size_t text_len)
{
	u32 n = arch_jump_follows(p, text, text_len);
	struct place at = {.elf = elf, .offset = offset};

	name_place(&at);
	for (u32 i = p->len; i < p->len + n; i++)
		if (probe_code_in_rseq(elf, at.file_addr + i))
			return 0;
	return n && probe_crosscheck_run(text + p->len, n, p->addr + p->len) ? 0 : n;
}

/* --- return probes --- */

/* They return a second time through a frame that is gone by then, or never pop theirs. */
static const char *const returns_twice[] = {
	"setjmp",      "_setjmp", "__sigsetjmp", "sigsetjmp", "savectx",     "vfork",
	"__vfork",     "fork",	  "__fork",	 "_Fork",     "__libc_fork", "getcontext",
	"swapcontext", "clone",	  "__clone",	 "clone3",    "__clone3",    "__clone_internal",
};

static bool returns_more_than_once(const char *symbol)
{
	size_t len = strcspn(symbol, "@");

	for (size_t i = 0; i < ARRAY_SIZE(returns_twice); i++)
		if (strlen(returns_twice[i]) == len && !strncmp(symbol, returns_twice[i], len))
			return true;
	return false;
}

/*
 * Not called, but jumped to: the loader's ways to a function that is called for the first time,
 * and what a compiler moved out of functions (.cold, .__part.N).
 */
static bool is_jumped_to(const char *symbol)
{
	static const char *const begins[] = {"_dl_runtime_resolve", "_dl_runtime_profile",
					     "_dl_start_user"};
	const char *cold = strstr(symbol, ".cold");

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (!strncmp(symbol, begins[i], strlen(begins[i])))
			return true;
	return (cold && (!cold[5] || cold[5] == '.')) || strstr(symbol, ".__part.");
}

/* The first name of the function around @offset that is one of those, or NULL. */
static const char *any_name(struct probe_elf *elf, u64 offset,
			    bool (*is)(const struct probe_elf *elf, const char *name))
{
	const struct probe_function *v;
	struct probe_symbol sym;
	size_t n;

	if (probe_elf_symbol_at(elf, offset, &sym))
		return NULL;
	n = probe_functions_at(elf, sym.addr, &v);
	for (size_t i = 0; i < n; i++)
		if (is(elf, v[i].name))
			return v[i].name;
	return NULL;
}

static bool is_twice_name(const struct probe_elf *elf, const char *name)
{
	return returns_more_than_once(name);
}

/* Does the function around @offset return twice, by any of its names? */
static const char *twice_name(struct probe_elf *elf, u64 offset)
{
	return any_name(elf, offset, is_twice_name);
}

static int refuse_twice(const char *symbol, char why[PROBE_WHY_MAX])
{
	probe_why(why,
		  "cannot probe the return of %.80s: it returns more than once; use a uprobe at "
		  "its entry",
		  symbol);
	return -EOPNOTSUPP;
}

/* Is it where a program starts, or jumped to? How. */
static const char *uncalled(struct probe_elf *elf, u64 offset, const char *symbol)
{
	GElf_Ehdr ehdr;

	if (gelf_getehdr(elf->elf, &ehdr) && ehdr.e_entry &&
	    probe_elf_offset_to_addr(elf, offset) == ehdr.e_entry)
		return "where the program starts";
	return is_jumped_to(symbol) ? "jumped to" : NULL;
}

/* Something else than a return address must not be replaced. */
static int check_top(struct probe_elf *elf, u64 offset, const char *symbol, char why[PROBE_WHY_MAX])
{
	const char *name = symbol[0] ? symbol : "that place";
	u64 start, end;

	if (probe_code_bounds(elf, probe_elf_offset_to_addr(elf, offset), &start, &end))
		return 0; /* refused for that */
	switch (probe_top_of_stack(elf, offset)) {
	case PROBE_TOP_RETURN:
		return 0;
	case PROBE_TOP_OTHER:
		probe_why(why,
			  "cannot probe the return of %.80s: what is on top of the stack there is "
			  "no return address; probe the start of a function",
			  name);
		return -EOPNOTSUPP;
	default:
		probe_why(why,
			  "cannot probe the return of %.80s: nothing tells that a return address "
			  "is on top of the stack there; probe the start of a function",
			  name);
		return -EOPNOTSUPP;
	}
}

static bool is_file(const struct probe_elf *elf, const char *begin)
{
	const char *name = strrchr(elf->path, '/');

	name = name ? name + 1 : elf->path;
	return !strncmp(name, begin, strlen(begin));
}

/* The C library's askers, and unwinders. */
static bool is_guarded_name(const struct probe_elf *elf, const char *name)
{
	if (!strncmp(name, "_Unwind_", 8))
		return is_file(elf, "libgcc_s") || is_file(elf, "libunwind");
	for (const char *const *asker = probe_askers; *asker && probe_is_libc(elf->path); asker++)
		if (!strcmp(name, *asker))
			return true;
	return false;
}

/* Are return addresses put back where the function is entered? By any of its names. */
static bool is_guarded(struct probe_elf *elf, u64 offset)
{
	return any_name(elf, offset, is_guarded_name) != NULL;
}

/* What it makes of the return address is nobody's business. */
static int check_looks(struct probe_elf *elf, u64 offset, const char *symbol,
		       char why[PROBE_WHY_MAX])
{
	u32 where;

	if (is_guarded(elf, offset) || !probe_looks_at_return(elf, offset, &where))
		return 0;
	probe_why(
		why,
		"cannot probe the return of %.80s: it reads its own return address (at +0x%x), as "
		"setjmp does; use a uprobe at its entry",
		symbol[0] ? symbol : "that place", where);
	return -EOPNOTSUPP;
}

int probe_ret_at(struct probe_elf *elf, u64 offset, const char *symbol, char why[PROBE_WHY_MAX])
{
	const char *twice = twice_name(elf, offset), *how = uncalled(elf, offset, symbol);
	int err;

	if (twice)
		return refuse_twice(twice, why);
	if (!how) {
		err = check_top(elf, offset, symbol, why);
		return err ? err : check_looks(elf, offset, symbol, why);
	}
	probe_why(why,
		  "cannot probe the return of %.80s: it is %s, not called, and has no return "
		  "address; use a uprobe at its entry",
		  symbol[0] ? symbol : "that place", how);
	return -EOPNOTSUPP;
}

int probe_ret_refused(struct probe_elf *elf, const char *symbol, char why[PROBE_WHY_MAX])
{
	u64 offsets[PROBE_RETURNS_MAX];
	struct probe_symbol sym;
	int n;

	if (returns_more_than_once(symbol))
		return refuse_twice(symbol, why);
	if (!elf)
		return 0;
	n = probe_elf_symbol(elf, symbol, &sym, why);
	if (!n && probe_ret_at(elf, sym.offset, symbol, why))
		return -EOPNOTSUPP;
	if (!probe_elf_knows_returns(elf))
		return 0;
	if (!n)
		n = probe_returns(elf, sym.offset, offsets, why);
	return MIN(n, 0);
}
