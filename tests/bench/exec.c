/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns per run of the programs in exec.bpf.c: interpreted, compiled by our JIT, the same C compiled
 * natively, and, as root on a kernel that has BPF, by the kernel's JIT (BPF_PROG_TEST_RUN).
 *
 * All candidates of a program run alternately, a millisecond each, so that drift of the machine
 * hits all alike; printed are minimum, median and maximum over the rounds and the ratios of the
 * medians. Results are compared before anything is timed.
 */
#include <fcntl.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/engine.h"

#define WORDS 131072
#define ROUNDS 51
#define MAX_INSNS 512

/* what the BPF programs are compiled from, for native code */
#define SEC(name) __attribute__((noinline))
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
u64 data[WORDS];
u64 hist[64];
#define NATIVE
u32 log2_of(u64 v);
int prime(void *ctx);
int sum(void *ctx);
int log2hist(void *ctx);
#include "tests/bench/exec.bpf.c"

struct candidate {
	const char *name;
	u64 (*run)(struct candidate *c, u32 repeat); /* ns in all; *c->r0 */
	u32 r0;
	bool present;
	struct engine e;
	int (*fn)(void *);
	int fd;
	double ns[ROUNDS];
};

enum { NATIVE_AT = 2, KERNEL_AT = 3 }; /* among the candidates */

struct bench {
	const char *section, *function;
	int (*native)(void *);
	u32 repeat; /* in a round, of the fast candidates; the interpreter does one */
};

static const struct bench benches[] = {
	{"socket/prime", "prime", prime, 40},
	{"socket/sum", "sum", sum, 20},
	{"socket/log2hist", "log2hist", log2hist, 20},
};

/* --- the object: one section, what it calls of .text, its references to .bss -------------------
 */

static Elf *elf;
static size_t text_index, bss_index;

static Elf_Scn *section_named(const char *name)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;

	elf_getshdrstrndx(elf, &names);
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && !strcmp(elf_strptr(elf, names, sh.sh_name), name))
			return scn;
	return NULL;
}

static GElf_Sym symbol(u32 index)
{
	Elf_Scn *scn = section_named(".symtab");
	GElf_Sym sym = {0};

	gelf_getsym(elf_getdata(scn, NULL), (int)index, &sym);
	return sym;
}

static void relocate(struct bpf_insn *insns, u32 text_at, const GElf_Rel *rel)
{
	GElf_Sym sym = symbol(GELF_R_SYM(rel->r_info));
	u32 i = (u32)(rel->r_offset / sizeof(*insns));

	if (sym.st_shndx == bss_index) {
		insns[i].src_reg = BPF_PSEUDO_MAP_VALUE;
		insns[i + 1].imm = (s32)(insns[i].imm + (s32)sym.st_value);
		insns[i].imm = 3;
	} else if (sym.st_shndx == text_index) {
		insns[i].src_reg = BPF_PSEUDO_CALL;
		insns[i].imm = (s32)(text_at + sym.st_value / 8 - i - 1);
	}
}

static u32 extract(const struct bench *b, struct bpf_insn *insns)
{
	Elf_Data *code = elf_getdata(section_named(b->section), NULL);
	Elf_Data *text = elf_getdata(section_named(".text"), NULL), *rels;
	u32 n = (u32)(code->d_size / sizeof(*insns)), calls = 0, i;
	char name[64];
	GElf_Rel rel;
	Elf_Scn *scn;

	memcpy(insns, code->d_buf, code->d_size);
	memcpy(insns + n, text->d_buf, text->d_size);
	snprintf(name, sizeof(name), ".rel%s", b->section);
	scn = section_named(name);
	rels = scn ? elf_getdata(scn, NULL) : NULL;
	for (i = 0; rels && gelf_getrel(rels, (int)i, &rel); i++)
		relocate(insns, n, &rel);
	for (i = 0; i < n; i++)
		calls += insns[i].src_reg == BPF_PSEUDO_CALL && insns[i].code == 0x85;
	return calls ? n + (u32)(text->d_size / sizeof(*insns)) : n;
}

/* --- candidates --------------------------------------------------------------------------------
 */

/* .bss as the programs see it: data, then hist */
static u64 bss[WORDS + 64];

static const struct ebpf_map_meta *bss_map(void *cookie, s32 fd, bool is_index)
{
	static const struct ebpf_map_meta meta = {
		.id = 1, .type = BPF_MAP_TYPE_ARRAY, .value_size = sizeof(bss), .max_entries = 1};

	return &meta;
}

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static u64 run_engine(struct candidate *c, u32 repeat)
{
	struct ebpf_run run = {0};
	u64 start = now();

	while (repeat--)
		c->r0 = (u32)ebpf_prog_run(&c->e.prog, NULL, &run);
	return now() - start;
}

static u64 run_native(struct candidate *c, u32 repeat)
{
	u64 start = now();

	while (repeat--)
		c->r0 = (u32)c->fn(NULL);
	return now() - start;
}

static u64 run_kernel(struct candidate *c, u32 repeat)
{
	u8 packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = (int)repeat);

	if (bpf_prog_test_run_opts(c->fd, &opts))
		return 0;
	c->r0 = opts.retval;
	return (u64)opts.duration * repeat;
}

static void load_engine(struct candidate *c, const struct bench *b, bool jit)
{
	struct bpf_insn insns[MAX_INSNS];
	u32 n = extract(b, insns), i;

	c->e.load.map_by_fd = bss_map;
	if (engine_load(&c->e, insns, n, jit)) {
		fprintf(stderr, "bench: %s: %s", b->section, c->e.text);
		return;
	}
	for (i = 0; i < c->e.prog.image->nrefs; i++)
		c->e.refs[i] = (u64)(uintptr_t)bss + ebpf_image_refs(c->e.prog.image)[i].off;
	c->present = !jit || c->e.prog.code;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static struct bpf_object *kernel_load(const char *path)
{
	struct bpf_program *p;
	struct bpf_object *obj;
	struct bpf_map *map;
	u32 zero = 0;

	libbpf_set_print(quiet);
	obj = bpf_object__open_file(path, NULL);
	if (!obj)
		return NULL;
	bpf_object__for_each_program(p, obj) bpf_program__set_type(p, BPF_PROG_TYPE_SOCKET_FILTER);
	if (bpf_object__load(obj))
		return NULL;
	map = bpf_object__find_map_by_name(obj, ".bss");
	if (!map)
		map = bpf_object__next_map(obj, NULL);
	return map && !bpf_map_update_elem(bpf_map__fd(map), &zero, bss, 0) ? obj : NULL;
}

/* --- measuring ---------------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* From a clean histogram all must come to the same result. */
static void compare(const struct bench *b, struct candidate *c, u32 n)
{
	u32 i, want = 0;
	bool known = false;

	for (i = 0; i < n; i++) {
		memset(bss + WORDS, 0, sizeof(bss) - sizeof(data));
		memset(hist, 0, sizeof(hist));
		c[i].present = c[i].present && c[i].run(&c[i], 1);
		if (!c[i].present)
			continue;
		if (known && c[i].r0 != want) {
			fprintf(stderr, "bench: %s: %s computes %u, not %u\n", b->function,
				c[i].name, c[i].r0, want);
			c[i].present = false;
		}
		want = known ? want : c[i].r0;
		known = true;
	}
}

static void print_ratio(const struct candidate *c, const struct candidate *to)
{
	if (c->present && to->present)
		printf(" %9.2f", c->ns[ROUNDS / 2] / to->ns[ROUNDS / 2]);
	else
		printf(" %9s", "-");
}

static void print(const struct bench *b, const struct candidate *c, const struct candidate *native,
		  const struct candidate *kernel)
{
	if (!c->present) {
		printf("%-10s %-25s skipped: %s\n", b->function, c->name,
		       c == kernel ? "needs root and a kernel with BPF" : "not available here");
		return;
	}
	printf("%-10s %-25s %10.0f %10.0f %10.0f", b->function, c->name, c->ns[0],
	       c->ns[ROUNDS / 2], c->ns[ROUNDS - 1]);
	print_ratio(c, native);
	print_ratio(c, kernel);
	printf("\n");
}

static void measure(const struct bench *b, struct candidate *c, u32 n)
{
	u32 round, i;

	compare(b, c, n);
	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < n; i++) {
			u32 repeat = c[i].run == run_engine && !c[i].e.prog.code ? 1 : b->repeat;

			if (c[i].present)
				c[i].ns[round] = (double)c[i].run(&c[i], repeat) / repeat;
		}
	for (i = 0; i < n; i++)
		qsort(c[i].ns, ROUNDS, sizeof(double), by_value);
	for (i = 0; i < n; i++)
		print(b, &c[i], &c[NATIVE_AT], &c[KERNEL_AT]);
}

static void one(const struct bench *b, struct bpf_object *kernel)
{
	struct candidate c[] = {
		{.name = "ebpfrt, interpreted", .run = run_engine},
		{.name = "ebpfrt, compiled (JIT)", .run = run_engine},
		[NATIVE_AT] = {.name = "native, gcc",
			       .run = run_native,
			       .fn = b->native,
			       .present = true},
		[KERNEL_AT] = {.name = "kernel, compiled (JIT)", .run = run_kernel},
	};
	struct bpf_program *p = NULL;

	load_engine(&c[0], b, false);
	load_engine(&c[1], b, true);
	if (kernel)
		p = bpf_object__find_program_by_name(kernel, b->function);
	if (p) {
		c[KERNEL_AT].fd = bpf_program__fd(p);
		c[KERNEL_AT].present = true;
	}
	measure(b, c, ARRAY_SIZE(c));
	engine_close(&c[0].e);
	engine_close(&c[1].e);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "tests/bench/exec.bpf.o";
	struct bpf_object *kernel;
	u32 i;
	int fd;

	/* each in turn, so that neither has but every other page of the cache */
	memset(bss, 0xff, sizeof(data));
	memset(data, 0xff, sizeof(data));
	for (i = 0; i < WORDS; i++)
		bss[i] = data[i] = (0x9e3779b97f4a7c15ULL * (i + 1)) >> (i * 7 % 64);
	elf_version(EV_CURRENT);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (!elf) {
		fprintf(stderr, "bench: cannot read %s: build it with clang -target bpf\n", path);
		return 1;
	}
	text_index = elf_ndxscn(section_named(".text"));
	bss_index = elf_ndxscn(section_named(".bss"));
	kernel = kernel_load(path);
	printf("%-36s %10s %10s %10s %9s %9s\n", "program, ns per run", "min", "median", "max",
	       "x-native", "x-kernel");
	for (i = 0; i < ARRAY_SIZE(benches); i++)
		one(&benches[i], kernel);
	return 0;
}
