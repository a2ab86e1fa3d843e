/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs one program for an outside judge: the plugin protocol of the public bpf_conformance suite
 * (README.md here says how to run that suite).
 *
 *	plugin [MEMORY] [--interpret | --jit] [--elf] [--map SPEC] [--debug] [--program HEX]
 *
 * The program is one line of hex bytes on standard input: instructions, or with --elf an object
 * whose first executable section they are. It runs with r1 = address and r2 = length of MEMORY (hex
 * bytes). r0 is printed in hex, exit status 0; a program that is refused, faults or does not end
 * gives a message on standard error and status 1.
 *
 * Maps are made empty, as the options say; descriptor 0 in the program is the first, 1 the next.
 *
 * An execution here has one argument, so two instructions that load r2 and r1 from a pair of words
 * precede the program; they are checked with it.
 */
#include <ctype.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/load/load.h"
#include "core/run/helper.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define PROLOG 2
#define TIME_LIMIT 20 /* seconds: the suites' programs end at once */
#define MAPS_MAX 8

struct bytes {
	u8 *p;
	size_t len;
};

struct options {
	const char *memory;
	const char *program; /* instead of standard input */
	bool jit;
	bool elf;
	bool debug;
	bool help;
	const char *maps[MAPS_MAX];
	u32 nmaps;
};

struct args {
	u64 r1, r2;
};

static struct ebpf_prog prog;

static struct ebpf_map maps[MAPS_MAX];
static u32 nmaps;

static const char usage[] = "usage: plugin [MEMORY] [--interpret | --jit] [--elf] [--debug] "
			    "[--map TYPE,KEY,VALUE,ENTRIES] [--program HEX]\n";

static const char help[] =
	"Runs one BPF program with ebpfrt's engines and prints r0 in hex: the plugin of the\n"
	"bpf_conformance suite.\n"
	"\n"
	"The program is one line of hex bytes on standard input. It gets r1 = address and\n"
	"r2 = length of MEMORY, hex bytes as well (blanks between bytes do not count).\n"
	"\n"
	"  --interpret    run with the interpreter (default)\n"
	"  --jit          compile to machine code and run that\n"
	"  --elf          the bytes are an object: run its first executable section\n"
	"  --map TYPE,KEY,VALUE,ENTRIES\n"
	"                 a map: its type's number, sizes in bytes; may be given again.\n"
	"                 lddw with source 1 and number 0 is the first one's address\n"
	"  --debug        print the program and the checker's log on standard error\n"
	"  --program HEX  the program, instead of standard input\n"
	"  --help         this text\n"
	"\n"
	"Exit status: 0 r0 was printed; 1 the program was refused, faulted or did not end (the\n"
	"reason is on standard error); 2 wrong usage.\n"
	"\n"
	"Example: echo b700000007000000 9500000000000000 | plugin --jit\n";

static int hex_digit(int c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* Hex digits in pairs; blanks between them do not count. */
static int parse_hex(const char *text, struct bytes *out)
{
	_cleanup_free_ u8 *p = calloc(strlen(text) / 2 + 1, 1);
	size_t n = 0;

	if (!p)
		return -ENOMEM;
	for (; *text; text++) {
		if (isspace((unsigned char)*text))
			continue;
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			return -EINVAL;
		p[n++] = (u8)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text++;
	}
	out->p = TAKE_PTR(p);
	out->len = n;
	return 0;
}

/* One line: a caller need not close its end of the pipe. */
static int read_program(const struct options *opt, struct bytes *out)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	if (opt->program)
		return parse_hex(opt->program, out);
	if (getline(&line, &cap, stdin) < 0)
		return -ENODATA;
	return parse_hex(line, out);
}

static int elf_section(const struct bytes *file, u32 index, Elf64_Shdr *out)
{
	Elf64_Ehdr eh;
	u64 off;

	memcpy(&eh, file->p, sizeof(eh));
	off = eh.e_shoff + (u64)index * sizeof(*out);
	if (eh.e_shoff > file->len || off + sizeof(*out) > file->len)
		return -EINVAL;
	memcpy(out, file->p + off, sizeof(*out));
	if (out->sh_type == SHT_NOBITS || out->sh_offset > file->len ||
	    out->sh_size > file->len - out->sh_offset)
		return -EINVAL;
	return 0;
}

/* Code that refers to maps or to other sections would run with zeroes in their place. */
static bool has_relocations(const struct bytes *file, const Elf64_Ehdr *eh, u32 section)
{
	Elf64_Shdr sh;
	u32 i;

	for (i = 1; i < eh->e_shnum; i++)
		if (!elf_section(file, i, &sh) && sh.sh_size && sh.sh_info == section &&
		    (sh.sh_type == SHT_REL || sh.sh_type == SHT_RELA))
			return true;
	return false;
}

static bool is_bpf_object(const struct bytes *file, Elf64_Ehdr *eh)
{
	if (file->len < sizeof(*eh))
		return false;
	memcpy(eh, file->p, sizeof(*eh));
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh->e_ident[EI_DATA] == ELFDATA2LSB && eh->e_machine == EM_BPF;
}

/* Replace an object by its first section that holds code. */
static int extract_code(struct bytes *file)
{
	Elf64_Ehdr eh;
	Elf64_Shdr sh;
	u32 i;

	if (!is_bpf_object(file, &eh))
		return -ENOEXEC;
	for (i = 1; i < eh.e_shnum; i++) {
		if (elf_section(file, i, &sh) || sh.sh_type != SHT_PROGBITS ||
		    !(sh.sh_flags & SHF_EXECINSTR) || !sh.sh_size)
			continue;
		if (has_relocations(file, &eh, i))
			return -EOPNOTSUPP;
		memmove(file->p, file->p + sh.sh_offset, sh.sh_size);
		file->len = sh.sh_size;
		return 0;
	}
	return -ENOEXEC;
}

static struct bpf_insn *with_prolog(const struct bytes *code, u32 *n)
{
	static const struct bpf_insn prolog[PROLOG] = {
		{.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 2, .src_reg = 1, .off = 8},
		{.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 1, .off = 0},
	};
	struct bpf_insn *insns;

	*n = PROLOG + (u32)(code->len / sizeof(*insns));
	insns = calloc(*n, sizeof(*insns));
	if (!insns)
		return NULL;
	memcpy(insns, prolog, sizeof(prolog));
	memcpy(insns + PROLOG, code->p, code->len);
	return insns;
}

/* The image goes through a sealed object and an executable mapping, as in every process. */
static int map_image(const struct ebpf_load *load, void **base)
{
	_cleanup_close_ int fd = osl_image_create("conformance", load->image, load->image_size);

	return fd < 0 ? fd : osl_image_map(fd, load->image_size, base);
}

static void too_long(int sig)
{
	static const char text[] = "plugin: the program did not end\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

static bool fault(struct arch_regs *regs)
{
	return ebpf_prog_fixup(&prog, regs);
}

/* --- maps --- */

static const struct ebpf_map_meta *map_by_fd(void *cookie, s32 fd, bool is_index)
{
	return fd >= 0 && (u32)fd < nmaps ? &maps[fd].meta : NULL;
}

/* "TYPE,KEY,VALUE,ENTRIES" */
static int make_map(const char *spec)
{
	struct ebpf_map_meta m = {.id = nmaps + 1, .nr_cpus = osl_nr_cpus()};
	void *base;
	u64 size;

	if (nmaps == MAPS_MAX ||
	    sscanf(spec, "%u,%u,%u,%u", &m.type, &m.key_size, &m.value_size, &m.max_entries) != 4)
		return -EINVAL;
	if (!ebpf_map_ops_of(m.type) || ebpf_map_check(&m))
		return -EINVAL;
	size = ALIGN_UP(ebpf_map_shm_size(&m), (u64)EBPFRT_PAGE_SIZE);
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	ebpf_map_self = 1;
	return ebpf_map_bind(&maps[nmaps++], &m, base, size);
}

static int make_maps(const struct options *opt)
{
	for (u32 i = 0; i < opt->nmaps; i++) {
		if (make_map(opt->maps[i])) {
			fprintf(stderr, "plugin: no map can be made of %s\n", opt->maps[i]);
			return -EINVAL;
		}
	}
	return 0;
}

/* What the program's references to maps are in this process. */
static u64 *resolve_refs(const struct ebpf_load *load, const struct ebpf_image *image)
{
	u64 *refs = calloc(image->nrefs + 1, sizeof(*refs));

	for (u32 i = 0; refs && i < image->nrefs; i++) {
		const struct ebpf_image_ref *r = &ebpf_image_refs(image)[i];
		struct ebpf_map *m = &maps[load->used_maps[r->map] - 1];

		refs[i] = r->kind == EBPF_REF_MAP ? (u64)(uintptr_t)m
			  : m->ops->value_addr != NULL
				  ? (u64)(uintptr_t)m->ops->value_addr(m, r->off)
				  : 0;
	}
	return refs;
}

static int run(const struct ebpf_load *load, const struct options *opt, struct bytes *memory)
{
	struct args args = {(u64)(uintptr_t)memory->p, memory->len};
	struct ebpf_run r = {.kind = EBPF_RUN_TEST};
	_cleanup_free_ u64 *refs = NULL;
	void *base;
	u64 ret;
	int err;

	err = map_image(load, &base);
	if (!err && !(refs = resolve_refs(load, base)))
		err = -ENOMEM;
	if (!err)
		err = ebpf_prog_bind(&prog, base, load->image_size, refs, 1);
	if (err)
		return err;
	if (opt->jit && !prog.code) {
		fprintf(stderr, "plugin: there is no JIT for this machine: use --interpret\n");
		return -EOPNOTSUPP;
	}
	ebpf_helper_table_init();
	osl_trap_init_self();
	osl_fault_hook(fault);
	osl_fault_handler_install();
	signal(SIGALRM, too_long);
	alarm(TIME_LIMIT);
	ret = opt->jit ? ebpf_prog_run(&prog, &args, &r) : ebpf_prog_run_interp(&prog, &args, &r);
	if (r.aborted) {
		fprintf(stderr, "plugin: the program touched memory that is not there\n");
		return -EFAULT;
	}
	printf("%llx\n", (unsigned long long)ret);
	return 0;
}

static void show(const struct bpf_insn *insns, u32 n)
{
	char text[128];
	u32 i;

	for (i = 0; i < n; i++) {
		fprintf(stderr, "%u: ", i < PROLOG ? 0 : i - PROLOG);
		i += (u32)ebpf_disasm(&insns[i], text, sizeof(text)) - 1;
		fprintf(stderr, "%s\n", text);
	}
}

static int load_and_run(const struct options *opt, const struct bytes *code, struct bytes *memory)
{
	char text[4096] = "";
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	_cleanup_free_ struct bpf_insn *insns = NULL;
	struct ebpf_load load = {.prog_type = BPF_PROG_TYPE_KPROBE, .log = &log};
	int err;

	if (code->len % sizeof(*insns)) {
		fprintf(stderr, "plugin: the program is %zu bytes, not a multiple of %zu\n",
			code->len, sizeof(*insns));
		return -EINVAL;
	}
	load.insns = insns = with_prolog(code, &load.ninsns);
	load.want_jit = opt->jit;
	load.map_by_fd = map_by_fd;
	load.check_flags = EBPF_CHECK_ISA | EBPF_CHECK_CALLX | EBPF_CHECK_ANY_HELPER;
	if (!insns)
		return -ENOMEM;
	err = ebpf_load_build(&load);
	if (opt->debug)
		show(insns, load.ninsns);
	if (err) {
		fprintf(stderr, "plugin: program refused: %s", *text ? text : strerror(-err));
		return err;
	}
	err = run(&load, opt, memory);
	free(load.image);
	return err;
}

static bool parse_flag(const char *arg, struct options *opt)
{
	if (!strcmp(arg, "--jit"))
		opt->jit = true;
	else if (!strcmp(arg, "--interpret"))
		opt->jit = false;
	else if (!strcmp(arg, "--elf"))
		opt->elf = true;
	else if (!strcmp(arg, "--debug"))
		opt->debug = true;
	else if (!strcmp(arg, "--help") || !strcmp(arg, "-h"))
		opt->help = true;
	else
		return false;
	return true;
}

/* Runners pass an empty argument where they have no options or no memory. */
static int parse_options(int argc, char **argv, struct options *opt)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--program") && i + 1 < argc)
			opt->program = argv[++i];
		else if (!strcmp(argv[i], "--map") && i + 1 < argc && opt->nmaps < MAPS_MAX)
			opt->maps[opt->nmaps++] = argv[++i];
		else if (parse_flag(argv[i], opt) || !*argv[i])
			continue;
		else if (*argv[i] == '-' || *opt->memory)
			return -EINVAL;
		else
			opt->memory = argv[i];
	}
	return 0;
}

static int read_input(const struct options *opt, struct bytes *code, struct bytes *memory)
{
	int err = parse_hex(opt->memory, memory);

	if (err) {
		fprintf(stderr, "plugin: the memory is not hex bytes: %s\n", opt->memory);
		return err;
	}
	err = read_program(opt, code);
	if (err)
		fprintf(stderr, "plugin: the program is not a line of hex bytes\n");
	else if (opt->elf && (err = extract_code(code)))
		fprintf(stderr,
			err == -EOPNOTSUPP
				? "plugin: the object has relocations, there is nothing to resolve "
				  "them here\n"
				: "plugin: this is no 64-bit little-endian BPF object with code\n");
	return err;
}

int main(int argc, char **argv)
{
	struct options opt = {.memory = ""};
	struct bytes code = {0}, memory = {0};
	int err;

	if (parse_options(argc, argv, &opt)) {
		fputs(usage, stderr);
		return 2;
	}
	if (opt.help) {
		fputs(usage, stdout);
		fputs(help, stdout);
		return 0;
	}
	err = read_input(&opt, &code, &memory);
	if (!err)
		err = make_maps(&opt);
	if (!err)
		err = load_and_run(&opt, &code, &memory);
	free(code.p);
	free(memory.p);
	return err ? 1 : 0;
}
