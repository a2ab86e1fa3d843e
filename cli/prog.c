/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt prog: show, list and dump programs, with bpftool's words and field names. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/select.h"
#include "core/load/load.h"

static struct {
	struct out_json json;
	bool opcodes;
} config;

#define MAPS_MAX 64

struct prog {
	struct bpf_prog_info info;
	u32 maps[MAPS_MAX];
	char tag[2 * BPF_TAG_SIZE + 1];
	char name[64];
};

static int read_prog(int fd, struct prog *p)
{
	u32 len = sizeof(p->info);

	memset(p, 0, sizeof(*p));
	p->info.nr_map_ids = MAPS_MAX;
	p->info.map_ids = (u64)(uintptr_t)p->maps;
	if (bpf_obj_get_info_by_fd(fd, &p->info, &len))
		return out_error("cannot read a program: %s", strerror(errno)), -errno;
	for (int i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(p->tag + 2 * i, 3, "%02x", p->info.tag[i]);
	p->info.name[BPF_OBJ_NAME_LEN - 1] = 0;
	out_clean(p->info.name, p->name, sizeof(p->name));
	p->info.nr_map_ids = MIN(p->info.nr_map_ids, (u32)MAPS_MAX);
	return 0;
}

/*
 * Seconds since the epoch: the kernel counts from boot. The difference is taken to the nanosecond:
 * of whole seconds it would be another one each time they are read at different parts of a second.
 */
static s64 loaded_at(const struct prog *p)
{
	struct timespec real, boot;
	s64 ns;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	ns = real.tv_nsec - boot.tv_nsec + (s64)p->info.load_time;
	return real.tv_sec - boot.tv_sec + ns / 1000000000;
}

static const char *type_name(u32 type)
{
	const char *name = libbpf_bpf_prog_type_str((enum bpf_prog_type)type);

	return name ? name : "unknown";
}

static struct json_object *prog_json(const struct prog *p)
{
	struct json_object *o = json_object_new_object(), *maps = json_object_new_array();

	out_add_u64(o, "id", p->info.id);
	out_add_str(o, "type", type_name(p->info.type));
	if (p->name[0])
		out_add_str(o, "name", p->name);
	out_add_str(o, "tag", p->tag);
	out_add_bool(o, "gpl_compatible", p->info.gpl_compatible);
	out_add_s64(o, "loaded_at", loaded_at(p));
	out_add_u64(o, "uid", p->info.created_by_uid);
	out_add_u64(o, "bytes_xlated", p->info.xlated_prog_len);
	out_add_bool(o, "jited", p->info.jited_prog_len != 0);
	if (p->info.jited_prog_len)
		out_add_u64(o, "bytes_jited", p->info.jited_prog_len);
	if (p->info.run_cnt) {
		out_add_u64(o, "run_time_ns", p->info.run_time_ns);
		out_add_u64(o, "run_cnt", p->info.run_cnt);
	}
	for (u32 i = 0; i < p->info.nr_map_ids; i++)
		out_push(maps, json_object_new_uint64(p->maps[i]));
	if (p->info.nr_map_ids)
		out_add(o, "map_ids", maps);
	else
		json_object_put(maps);
	if (p->info.btf_id)
		out_add_u64(o, "btf_id", p->info.btf_id);
	return o;
}

static void prog_print(const struct prog *p)
{
	time_t at = loaded_at(p);
	char when[32] = "?";
	struct tm tm;

	if (localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%FT%T%z", &tm);
	printf("%u: %s", p->info.id, type_name(p->info.type));
	if (p->name[0])
		printf("  name %s", p->name);
	printf("  tag %s%s\n", p->tag, p->info.gpl_compatible ? "  gpl" : "");
	printf("\tloaded_at %s  uid %u\n\txlated %uB", when, p->info.created_by_uid,
	       p->info.xlated_prog_len);
	if (p->info.jited_prog_len)
		printf("  jited %uB", p->info.jited_prog_len);
	else
		printf("  not jited");
	for (u32 i = 0; i < p->info.nr_map_ids; i++)
		printf("%s%u", i ? "," : "  map_ids ", p->maps[i]);
	if (p->info.run_cnt)
		printf("\n\trun_cnt %llu  run_time_ns %llu", (unsigned long long)p->info.run_cnt,
		       (unsigned long long)p->info.run_time_ns);
	if (p->info.btf_id)
		printf("\n\tbtf_id %u", p->info.btf_id);
	putchar('\n');
}

static int show_one(u32 id, int fd, void *cookie)
{
	struct prog p;
	int err = read_prog(fd, &p);

	if (err)
		return err;
	if (cookie)
		out_push(cookie, prog_json(&p));
	else
		prog_print(&p);
	return 0;
}

static int show(char **words, int n)
{
	struct json_object *doc = NULL;
	int err;

	if (n) {
		_cleanup_close_ int fd = select_object(SELECT_PROG, words, n);
		struct prog p;

		if (fd < 0 || read_prog(fd, &p))
			return EXIT_FAILURE;
		if (out_json_on(&config.json))
			out_json_put(&config.json, prog_json(&p));
		else
			prog_print(&p);
		return EXIT_SUCCESS;
	}
	if (out_json_on(&config.json))
		doc = json_object_new_array();
	err = select_each(SELECT_PROG, show_one, doc);
	if (doc)
		out_json_put(&config.json, doc);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- dump --- */

static int dump_xlated(const void *code, u32 len)
{
	const struct bpf_insn *insns = code;
	u32 n = len / sizeof(*insns);
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL;

	for (u32 i = 0; i < n;) {
		char text[128];
		int slots = ebpf_disasm(&insns[i], text, sizeof(text));

		if (doc) {
			struct json_object *o = json_object_new_object();

			out_add_str(o, "disasm", text);
			out_push(doc, o);
		} else {
			printf("%4u: (%02x) %s\n", i, insns[i].code, text);
			for (int s = 0; config.opcodes && s < MAX(slots, 1) && i + s < n; s++) {
				const u8 *b = (const u8 *)&insns[i + s];

				printf("       %02x %02x %02x %02x %02x %02x %02x %02x\n", b[0],
				       b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
			}
		}
		i += MAX(slots, 1);
	}
	if (doc)
		out_json_put(&config.json, doc);
	return EXIT_SUCCESS;
}

static void show_native(const cs_insn *in, struct json_object *doc)
{
	char text[256], offset[32];

	snprintf(text, sizeof(text), "%s%s%s", in->mnemonic, in->op_str[0] ? " " : "", in->op_str);
	if (doc) {
		struct json_object *o = json_object_new_object();

		snprintf(offset, sizeof(offset), "0x%" PRIx64, in->address);
		out_add_str(o, "pc", offset);
		out_add_str(o, "operation", text);
		out_push(doc, o);
		return;
	}
	printf("%4" PRIx64 ":\t%s\n", in->address, text);
	if (config.opcodes) {
		putchar('\t');
		for (int i = 0; i < in->size; i++)
			printf("%02x ", in->bytes[i]);
		putchar('\n');
	}
}

static int dump_jited(const void *code, u32 len)
{
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL;
	const uint8_t *p = code;
	size_t left = len;
	uint64_t at = 0;
	cs_insn *in;
	csh cs;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return out_error("the disassembler can't be started");
	cs_option(cs, CS_OPT_SKIPDATA, CS_OPT_ON);
	in = cs_malloc(cs);
	while (cs_disasm_iter(cs, &p, &left, &at, in))
		show_native(in, doc);
	cs_free(in, 1);
	cs_close(&cs);
	if (doc)
		out_json_put(&config.json, doc);
	return EXIT_SUCCESS;
}

static int dump_code(int fd, bool jited)
{
	struct bpf_prog_info info = {0}, fetch = {0};
	_cleanup_free_ void *code = NULL;
	u32 len = sizeof(info), size;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return out_error("cannot read the program: %s", strerror(errno));
	size = jited ? info.jited_prog_len : info.xlated_prog_len;
	if (!size)
		return out_error(jited ? "the program was not compiled: it is interpreted"
				       : "the program's instructions are not kept");
	code = calloc(1, size);
	if (!code)
		return out_error("out of memory");
	if (jited) {
		fetch.jited_prog_len = size;
		fetch.jited_prog_insns = (u64)(uintptr_t)code;
	} else {
		fetch.xlated_prog_len = size;
		fetch.xlated_prog_insns = (u64)(uintptr_t)code;
	}
	len = sizeof(fetch);
	if (bpf_obj_get_info_by_fd(fd, &fetch, &len))
		return out_error("cannot read the program's code: %s", strerror(errno));
	return jited ? dump_jited(code, size) : dump_xlated(code, size);
}

static int dump(char **words, int n)
{
	bool jited = n && !strcmp(words[0], "jited");
	_cleanup_close_ int fd = -1;

	if (!n || (!jited && strcmp(words[0], "xlated")))
		return opt_usage_error("prog", "dump what? xlated or jited");
	fd = select_object(SELECT_PROG, words + 1, n - 1);
	if (fd < 0)
		return EXIT_FAILURE;
	if (n > 3 && !strcmp(words[3], "opcodes"))
		config.opcodes = true;
	return dump_code(fd, jited);
}

static int run(const struct args *args)
{
	static const struct verb verbs[] = {{"show", show}, {"list", show}, {"dump", dump}, {0}};

	return select_verb("prog", verbs, args->v, args->n);
}

static const struct opt opts[] = {
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_prog = {
	.name = "prog",
	.usage = "{show|list} [PROG]\ndump {xlated|jited} PROG [opcodes]",
	.summary = "show and dump the loaded programs",
	.details = "PROG is id N, name NAME, tag TAG or pinned FILE.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
