/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads test cases and prints one line for each, ready for a shell loop:
 *
 *	name TAB program in hex TAB memory in hex TAB expected r0 TAB expected error TAB maps
 *
 * maps are the options by which the plugin makes them.
 *
 * With --elf the program is an object file whose section .text holds it.
 *
 * A file is a list of sections headed by a line `-- WORD`, as in the public bpf_conformance suite,
 * so that its files can be read as well:
 *	-- asm      instructions, one a line (below)
 *	-- raw      instructions as 64-bit numbers, in place of those of asm
 *	-- mem      bytes in hex: the program's memory
 *	-- map      NAME TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES, one a line, the type as a number
 *	-- result   r0
 *	-- error    the program is refused; the text is part of the message
 * and, of ours, `-- case NAME` begins another case in the same file; without it the case has the
 * file's name. Other sections are skipped. # begins a comment.
 *
 * Instructions: mov %r0, 1 · add32 %r1, %r2 · movsx8 %r1, %r2 · be16 %r1 · ldxw %r0, [%r1+4] ·
 * ldxsb · stxw [%r1+4], %r2 · stw [%r1], 5 · lddw %r1, 0x1122334455667788 · lddw %r1,
 * map_by_fd(NAME) · lddw %r1, map_val(NAME)+8 · jeq %r1, %r2, label · ja +3 · ja32 label · call
 * [helper] 5 · call bpf_map_lookup_elem · call [helper] %r2 · call local label · call runtime 5 ·
 * lock [fetch] add[32] [%r1+0], %r2 · exit. A number may stand for a label as +N or -N.
 */
#include <ctype.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/uapi.h"

#define MAX_INSNS 512
#define MAX_LABELS 64
#define MAX_MEM 4096
#define MAX_WORDS 6
#define MAX_MAPS 8

struct insn {
	u8 code, regs;
	s16 off;
	s32 imm;
};
_Static_assert(sizeof(struct insn) == 8, "an instruction");

struct source {
	struct insn insns[MAX_INSNS];
	char fixup[MAX_INSNS][40]; /* label the instruction refers to */
	u32 n;
	struct {
		char name[40];
		u32 at;
	} labels[MAX_LABELS];
	u32 nlabels;
	struct {
		char name[40];
		u32 type, key, value, entries;
	} maps[MAX_MAPS];
	u32 nmaps;
	u8 mem[MAX_MEM];
	u32 nmem;
	char name[64], result[64], error[128];
	bool used, raw;
};

static struct source s;
static bool want_elf;
static const char *file;
static int line_no;

static void die(const char *what, const char *arg)
{
	fprintf(stderr, "assemble: %s:%d: %s %s\n", file, line_no, what, arg);
	exit(1);
}

static u64 number(const char *text)
{
	char *end;
	u64 v = *text == '-' ? (u64)strtoll(text, &end, 0) : strtoull(text, &end, 0);

	if (end == text || *end)
		die("not a number:", text);
	return v;
}

static u8 reg(const char *text)
{
	unsigned int r;

	text += *text == '%';
	if (*text != 'r' || sscanf(text + 1, "%u", &r) != 1 || r > 15)
		die("not a register:", text);
	return (u8)r;
}

static bool is_reg(const char *text)
{
	text += *text == '%';
	return *text == 'r' && isdigit((unsigned char)text[1]);
}

static void set_regs(struct insn *in, u8 dst, u8 src)
{
	in->regs = (u8)(src << 4 | dst);
}

/* "[%r1+4]" */
static u8 memory_operand(const char *text, s16 *off)
{
	const char *p = text + strcspn(text, "+-");

	if (*text != '[' || text[strlen(text) - 1] != ']')
		die("not a memory operand:", text);
	*off = *p ? (s16)strtol(p + (*p == '+'), NULL, 0) : 0;
	return reg(text + 1);
}

static void refer(struct insn *in, const char *label, bool in_imm)
{
	if (*label == '+' || *label == '-') {
		if (in_imm)
			in->imm = (s32)strtol(label, NULL, 0);
		else
			in->off = (s16)strtol(label, NULL, 0);
		return;
	}
	snprintf(s.fixup[s.n], sizeof(s.fixup[0]), "%s", label);
}

/* index of @word in a list of names that are 16 apart in opcode space, or -1 */
static int find(const char *const *names, u32 n, const char *word, size_t len)
{
	for (u32 i = 0; i < n; i++)
		if (names[i] && strlen(names[i]) == len && !memcmp(names[i], word, len))
			return (int)i;
	return -1;
}

static const char *const alu_names[] = {"add", "sub", "mul", "div", "or",  "and", "lsh",
					"rsh", "neg", "mod", "xor", "mov", "arsh"};
static const char *const jmp_names[] = {NULL,	"jeq", "jgt", "jge", "jset", "jne",  "jsgt",
					"jsge", NULL,  NULL,  "jlt", "jle",  "jslt", "jsle"};

static void operand(struct insn *in, const char *text)
{
	if (is_reg(text)) {
		in->code |= BPF_X;
		in->regs |= (u8)(reg(text) << 4);
	} else {
		in->imm = (s32)number(text);
	}
}

static bool asm_alu(struct insn *in, char *w[])
{
	size_t len = strlen(w[0]);
	char name[16];
	int op;

	if (len >= sizeof(name))
		return false;
	strcpy(name, w[0]);
	in->code = BPF_ALU64;
	if (len > 2 && (!strcmp(name + len - 2, "32") || !strcmp(name + len - 2, "64"))) {
		in->code = name[len - 2] == '3' ? BPF_ALU : BPF_ALU64;
		name[len -= 2] = '\0';
	}
	if (!strncmp(name, "movsx", 5)) {
		/* movsx32 is the one whose number is not the operation's width */
		in->off = name[5] ? (s16)atoi(name + 5) : 32;
		in->code = name[5] ? in->code : BPF_ALU64;
		len = 3;
	} else if (!strcmp(name, "sdiv") || !strcmp(name, "smod")) {
		in->off = 1;
		memmove(name, name + 1, len--);
	}
	op = find(alu_names, ARRAY_SIZE(alu_names), name, len);
	if (op < 0)
		return false;
	in->code |= (u8)(op << 4);
	set_regs(in, reg(w[1]), 0);
	if (w[2])
		operand(in, w[2]);
	return true;
}

static bool asm_end(struct insn *in, char *w[])
{
	if (!strncmp(w[0], "swap", 4) || !strncmp(w[0], "bswap", 5))
		in->code = BPF_ALU64 | BPF_END;
	else if (!strncmp(w[0], "be", 2) && isdigit((unsigned char)w[0][2]))
		in->code = BPF_ALU | BPF_END | BPF_TO_BE;
	else if (!strncmp(w[0], "le", 2) && isdigit((unsigned char)w[0][2]))
		in->code = BPF_ALU | BPF_END | BPF_TO_LE;
	else
		return false;
	set_regs(in, reg(w[1]), 0);
	in->imm = atoi(w[0] + strcspn(w[0], "0123456789"));
	return true;
}

static int size_of(const char *suffix)
{
	static const char *const names[] = {"w", "h", "b", "dw"};
	int i = find(names, 4, suffix, strlen(suffix));

	return i < 0 ? -1 : i << 3;
}

static bool asm_mem(struct insn *in, char *w[])
{
	bool load = !strncmp(w[0], "ldx", 3), stx = !strncmp(w[0], "stx", 3);
	bool sx = load && w[0][3] == 's';
	int size;
	u8 base;

	if (!load && strncmp(w[0], "st", 2))
		return false;
	size = size_of(w[0] + (load || stx ? 3 : 2) + sx);
	if (size < 0 && sx && w[0][4] == 'x') /* ldxsxb is another spelling */
		size = size_of(w[0] + 5);
	if (size < 0 || !w[2])
		return false;
	in->code = (u8)(size | (sx ? BPF_MEMSX : BPF_MEM));
	in->code |= load ? BPF_LDX : stx ? BPF_STX : BPF_ST;
	base = memory_operand(w[load ? 2 : 1], &in->off);
	if (load)
		set_regs(in, reg(w[1]), base);
	else
		set_regs(in, base, stx ? reg(w[2]) : 0);
	if (!load && !stx)
		in->imm = (s32)number(w[2]);
	return true;
}

static bool asm_lock(struct insn *in, char *w[])
{
	bool fetch = w[1] && !strcmp(w[1], "fetch");
	char *op = w[1 + fetch], *end;
	int i;

	if (strcmp(w[0], "lock") || !op || !w[3 + fetch])
		return false;
	in->code = BPF_STX | BPF_ATOMIC | BPF_DW;
	end = op + strlen(op) - 2;
	if (end > op && !strcmp(end, "32")) {
		in->code = BPF_STX | BPF_ATOMIC | BPF_W;
		*end = '\0';
	}
	i = find(alu_names, 11, op, strlen(op));
	if (!strcmp(op, "xchg"))
		in->imm = BPF_XCHG;
	else if (!strcmp(op, "cmpxchg"))
		in->imm = BPF_CMPXCHG;
	else if (i >= 0)
		in->imm = (i << 4) | (fetch ? BPF_FETCH : 0);
	else
		return false;
	set_regs(in, memory_operand(w[2 + fetch], &in->off), reg(w[3 + fetch]));
	return true;
}

/* The calls that cases with maps make have names; all others are numbers. */
static s32 helper_number(const char *text)
{
	static const char *const names[] = {NULL, "bpf_map_lookup_elem", "bpf_map_update_elem",
					    "bpf_map_delete_elem"};
	int i = find(names, ARRAY_SIZE(names), text, strlen(text));

	return i > 0 ? i : (s32)number(text);
}

static void asm_call(struct insn *in, char *w[])
{
	bool local = !strcmp(w[1], "local"), runtime = !strcmp(w[1], "runtime");
	char *to = w[2] ? w[2] : w[1];

	in->code = BPF_JMP | BPF_CALL;
	set_regs(in, 0, local ? BPF_PSEUDO_CALL : runtime ? BPF_PSEUDO_KFUNC_CALL : 0);
	if (is_reg(to)) {
		in->code |= BPF_X;
		set_regs(in, reg(to), 0);
	} else if (local) {
		refer(in, to, true);
	} else {
		in->imm = runtime ? (s32)number(to) : helper_number(to);
	}
}

static void add(struct insn in)
{
	if (s.n >= MAX_INSNS)
		die("too many instructions", "");
	s.insns[s.n++] = in;
}

/* A map by its place in the list: a program's descriptors are ours to number. */
static s32 map_number(const char *name, size_t len)
{
	for (u32 i = 0; i < s.nmaps; i++)
		if (strlen(s.maps[i].name) == len && !memcmp(s.maps[i].name, name, len))
			return (s32)i;
	die("no such map:", name);
	return -1;
}

/* "map_by_fd(NAME)", "map_val(NAME)+OFFSET", or a number */
static void asm_lddw(char *w[])
{
	struct insn in[2] = {{BPF_LD | BPF_IMM | BPF_DW, reg(w[1]), 0, 0}, {0}};
	const char *open = strchr(w[2], '('), *end = open ? strchr(open, ')') : NULL;
	u64 v;

	if (!end) {
		v = number(w[2]);
		in[0].imm = (s32)v;
		in[1].imm = (s32)(v >> 32);
	} else {
		if (!strncmp(w[2], "map_val(", 8) && end[1] == '+')
			in[1].imm = (s32)number(end + 2);
		else if (strncmp(w[2], "map_by_fd(", 10) || end[1])
			die("not a constant:", w[2]);
		in[0].imm = map_number(open + 1, (size_t)(end - open - 1));
		set_regs(&in[0], reg(w[1]), end[1] ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD);
	}
	add(in[0]);
	add(in[1]);
}

static bool asm_jump(struct insn *in, char *w[])
{
	size_t len = strlen(w[0]);
	bool narrow = len > 2 && !strcmp(w[0] + len - 2, "32");
	int op = find(jmp_names, ARRAY_SIZE(jmp_names), w[0], len - (narrow ? 2 : 0));

	in->code = narrow ? BPF_JMP32 : BPF_JMP;
	if (!strncmp(w[0], "ja", 2)) {
		refer(in, w[1], narrow);
	} else if (!strcmp(w[0], "exit")) {
		in->code |= BPF_EXIT;
	} else if (!strcmp(w[0], "call")) {
		asm_call(in, w);
	} else if (op >= 0 && w[3]) {
		in->code |= (u8)(op << 4);
		set_regs(in, reg(w[1]), 0);
		operand(in, w[2]);
		refer(in, w[3], false);
	} else {
		return false;
	}
	return true;
}

static void label(const char *name, size_t len)
{
	if (s.nlabels == MAX_LABELS || len >= sizeof(s.labels[0].name))
		die("too many labels:", name);
	memcpy(s.labels[s.nlabels].name, name, len);
	s.labels[s.nlabels].name[len] = '\0';
	s.labels[s.nlabels++].at = s.n;
}

static void asm_line(char *text)
{
	char *w[MAX_WORDS + 1] = {0};
	struct insn in = {0};
	u32 n = 0;

	for (char *p = strtok(text, " \t,"); p && n < MAX_WORDS; p = strtok(NULL, " \t,"))
		w[n++] = p;
	if (!n)
		return;
	if (w[0][strlen(w[0]) - 1] == ':') {
		label(w[0], strlen(w[0]) - 1);
		return;
	}
	if (!strcmp(w[0], "lddw") && w[2]) {
		asm_lddw(w);
		return;
	}
	if (!asm_end(&in, w) && !asm_lock(&in, w) && !asm_mem(&in, w) && !asm_jump(&in, w) &&
	    !asm_alu(&in, w))
		die("unknown instruction:", w[0]);
	add(in);
}

static void resolve(void)
{
	for (u32 i = 0; i < s.n; i++) {
		struct insn *in = &s.insns[i];
		u32 k;

		if (!s.fixup[i][0])
			continue;
		for (k = 0; k < s.nlabels && strcmp(s.labels[k].name, s.fixup[i]); k++)
			;
		if (k == s.nlabels) { /* the first exit is a label of its own */
			for (k = 0; k < s.n && s.insns[k].code != (BPF_JMP | BPF_EXIT); k++)
				;
			if (strcmp(s.fixup[i], "exit") || k == s.n)
				die("no such label:", s.fixup[i]);
			in->off = (s16)(k - i - 1);
			continue;
		}
		if (in->code == (BPF_JMP | BPF_CALL) || in->code == (BPF_JMP32 | BPF_JA))
			in->imm = (s32)(s.labels[k].at - i - 1);
		else
			in->off = (s16)(s.labels[k].at - i - 1);
	}
}

static void print_hex(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", ((const u8 *)p)[i]);
}

/* header, two sections (none and code), code */
static void print_elf_head(size_t n)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Shdr sh[2];
	} head = {
		.eh = {.e_ident = ELFMAG,
		       .e_type = ET_REL,
		       .e_machine = EM_BPF,
		       .e_version = EV_CURRENT,
		       .e_shoff = sizeof(Elf64_Ehdr),
		       .e_ehsize = sizeof(Elf64_Ehdr),
		       .e_shentsize = sizeof(Elf64_Shdr),
		       .e_shnum = 2},
		.sh[1] = {.sh_type = SHT_PROGBITS,
			  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
			  .sh_offset = sizeof(head),
			  .sh_size = n},
	};

	head.eh.e_ident[EI_CLASS] = ELFCLASS64;
	head.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	head.eh.e_ident[EI_VERSION] = EV_CURRENT;
	print_hex(&head, sizeof(head));
}

static void flush(void)
{
	if (s.used && s.n) {
		resolve();
		printf("%s\t", s.name);
		if (want_elf)
			print_elf_head(s.n * sizeof(s.insns[0]));
		print_hex(s.insns, s.n * sizeof(s.insns[0]));
		putchar('\t');
		print_hex(s.mem, s.nmem);
		printf("\t%s\t%s\t", s.result, s.error);
		for (u32 i = 0; i < s.nmaps; i++)
			printf("%s--map %u,%u,%u,%u", i ? " " : "", s.maps[i].type, s.maps[i].key,
			       s.maps[i].value, s.maps[i].entries);
		putchar('\n');
	}
	memset(&s, 0, sizeof(s));
}

static void hex_line(char *text)
{
	for (char *p = strtok(text, " \t"); p; p = strtok(NULL, " \t")) {
		if (s.nmem == MAX_MEM)
			die("too much memory", "");
		s.mem[s.nmem++] = (u8)strtoul(p, NULL, 16);
	}
}

static void map_line(const char *text)
{
	u32 n = s.nmaps;

	if (!*text)
		return;
	if (n == MAX_MAPS)
		die("too many maps:", text);
	if (sscanf(text, "%39s %u %u %u %u", s.maps[n].name, &s.maps[n].type, &s.maps[n].key,
		   &s.maps[n].value, &s.maps[n].entries) != 5)
		die("not a map:", text);
	s.nmaps++;
}

/* The words stand for what asm said, whichever section comes first. */
static void begin_raw(void)
{
	s.raw = true;
	s.n = 0;
	memset(s.fixup, 0, sizeof(s.fixup));
}

static void raw_line(char *text)
{
	if (!s.raw)
		begin_raw();
	for (char *p = strtok(text, " \t"); p; p = strtok(NULL, " \t")) {
		u64 v = number(p);
		struct insn in;

		memcpy(&in, &v, sizeof(in));
		add(in);
	}
}

static void begin_case(const char *name)
{
	flush();
	snprintf(s.name, sizeof(s.name), "%s", name);
	s.used = true;
}

/* what a "-- WORD" line opens; 0: a section we skip */
static char section(const char *word)
{
	if (!strncmp(word, "case ", 5)) {
		begin_case(word + 5);
		return 0;
	}
	if (!strcmp(word, "error"))
		snprintf(s.error, sizeof(s.error), "refused");
	if (!strcmp(word, "map"))
		return 'M';
	if (!strcmp(word, "asm") || !strcmp(word, "mem") || !strcmp(word, "result") ||
	    !strcmp(word, "error"))
		return *word;
	return 0;
}

static void body(char kind, char *text)
{
	if (kind == 'a' && !s.raw)
		asm_line(text);
	else if (kind == 'm')
		hex_line(text);
	else if (kind == 'M')
		map_line(text);
	else if (kind == 'w')
		raw_line(text);
	else if (kind == 'r' && *text)
		snprintf(s.result, sizeof(s.result), "%llx", (unsigned long long)number(text));
	else if (kind == 'e' && *text)
		snprintf(s.error, sizeof(s.error), "%s", text);
}

static char *trim(char *text, bool comments)
{
	size_t n = comments ? strcspn(text, "#\r\n") : strcspn(text, "\r\n");

	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
	return text + strspn(text, " \t");
}

static void read_file(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "r");
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char line[512], name[64], kind = 0;

	if (!f)
		die("cannot open", path);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	file = path;
	line_no = 0;
	begin_case(name);
	while (fgets(line, sizeof(line), f)) {
		char *text = trim(line, kind != 'e');

		line_no++;
		if (!strncmp(text, "-- ", 3))
			kind = !strcmp(text + 3, "raw") ? 'w' : section(text + 3);
		else
			body(kind, text);
	}
	flush();
}

int main(int argc, char **argv)
{
	want_elf = argc > 1 && strcmp(argv[1], "--elf") == 0;
	for (int i = 1 + want_elf; i < argc; i++)
		read_file(argv[i]);
	return 0;
}
