/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt btf: show the loaded type descriptions, and dump one, or a file's, as C. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "btf/btf.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/select.h"

static struct {
	struct out_json json;
} config;

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static int show_one(u32 id, int fd, void *cookie)
{
	char name[64] = "", clean[256];
	struct bpf_btf_info info = {.name = (u64)(uintptr_t)name, .name_len = sizeof(name)};
	struct json_object *o;
	u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return out_error("cannot read BTF %u: %s", id, strerror(errno)), -errno;
	name[sizeof(name) - 1] = 0;
	out_clean(name, clean, sizeof(clean));
	if (!out_json_on(&config.json)) {
		printf("%u: name %s  size %uB\n", info.id, clean[0] ? clean : "<anon>",
		       info.btf_size);
		return 0;
	}
	o = json_object_new_object();
	out_add_u64(o, "id", info.id);
	out_add_str(o, "name", clean);
	out_add_u64(o, "size", info.btf_size);
	if (cookie)
		out_push(cookie, o);
	else
		out_json_put(&config.json, o);
	return 0;
}

static int show(char **words, int n)
{
	struct json_object *doc = NULL;
	int err;

	if (n) {
		_cleanup_close_ int fd = select_object(SELECT_BTF, words, n);

		return fd < 0 || show_one(0, fd, NULL) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (out_json_on(&config.json))
		doc = json_object_new_array();
	err = select_each(SELECT_BTF, show_one, doc);
	if (doc)
		out_json_put(&config.json, doc);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_c(void *ctx, const char *fmt, va_list ap)
{
	vprintf(fmt, ap);
}

static int dump_c(struct btf *btf)
{
	struct btf_dump *d = btf_dump__new(btf, print_c, NULL, NULL);
	u32 n = btf__type_cnt(btf);
	int err = 0;

	if (!d)
		return out_error("cannot print the types: %s", strerror(errno));
	for (u32 id = 1; !err && id < n; id++)
		err = btf_dump__dump_type(d, id);
	btf_dump__free(d);
	return err ? out_error("cannot print the types: %s", strerror(-err)) : EXIT_SUCCESS;
}

static const char *kind_name(const struct btf_type *t)
{
	static const char *const names[] = {
		"UNKN", "INT",	   "PTR",      "ARRAY",	   "STRUCT",   "UNION", "ENUM",
		"FWD",	"TYPEDEF", "VOLATILE", "CONST",	   "RESTRICT", "FUNC",	"FUNC_PROTO",
		"VAR",	"DATASEC", "FLOAT",    "DECL_TAG", "TYPE_TAG", "ENUM64"};

	return btf_kind(t) < ARRAY_SIZE(names) ? names[btf_kind(t)] : "?";
}

static int dump_raw(struct btf *btf)
{
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL, *all;

	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);
		struct json_object *o;
		char clean[512];

		out_clean(name && *name ? name : "(anon)", clean, sizeof(clean));
		if (!doc) {
			printf("[%u] %s '%s' size=%lld vlen=%u\n", id, kind_name(t), clean,
			       (long long)btf__resolve_size(btf, id), btf_vlen(t));
			continue;
		}
		o = json_object_new_object();
		out_add_u64(o, "id", id);
		out_add_str(o, "kind", kind_name(t));
		out_add_str(o, "name", clean);
		out_add_s64(o, "size", btf__resolve_size(btf, id));
		out_push(doc, o);
	}
	if (!doc)
		return EXIT_SUCCESS;
	all = json_object_new_object();
	out_add(all, "types", doc);
	out_json_put(&config.json, all);
	return EXIT_SUCCESS;
}

static struct btf *open_btf(char **words, int n)
{
	struct btf *btf = NULL;
	char why[512];
	u32 len;

	if (n > 1 && !strcmp(words[0], "file")) {
		if (btf_read_file(words[1], &btf, why, sizeof(why)))
			out_error("%s", why);
		return btf;
	}
	if (n && !strcmp(words[0], "builtin")) {
		if (btf_builtin(&btf))
			out_error("out of memory");
		return btf;
	} else {
		_cleanup_close_ int fd = select_object(SELECT_BTF, words, n);
		struct bpf_btf_info info = {0};

		len = sizeof(info);
		if (fd < 0)
			return NULL;
		if (!bpf_obj_get_info_by_fd(fd, &info, &len))
			btf = btf__load_from_kernel_by_id(info.id);
		if (!btf)
			out_error("cannot read the types: %s", strerror(errno));
		return btf;
	}
}

static int dump(char **words, int n)
{
	_cleanup_(free_btf) struct btf *btf = open_btf(words, n);
	bool c = n > 1 && !strcmp(words[n - 2], "format") && !strcmp(words[n - 1], "c");

	if (!btf)
		return EXIT_FAILURE;
	return c ? dump_c(btf) : dump_raw(btf);
}

static int run(const struct args *args)
{
	static const struct verb verbs[] = {{"show", show}, {"list", show}, {"dump", dump}, {0}};

	/* a file's types need no daemon */
	if (args->n > 1 && !strcmp(args->v[0], "dump") &&
	    (!strcmp(args->v[1], "file") || !strcmp(args->v[1], "builtin")))
		return dump(args->v + 1, args->n - 1);
	return select_verb("btf", verbs, args->v, args->n);
}

static const struct opt opts[] = {
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_btf = {
	.name = "btf",
	.usage = "{show|list} [BTF]\ndump BTF [format {raw|c}]\ndump file FILE [format {raw|c}]\n"
		 "dump builtin [format {raw|c}]",
	.summary = "show and dump type descriptions",
	.details = "BTF is id N. A FILE is BTF, or a binary with a .BTF section.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
