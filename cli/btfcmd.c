/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt btf: show the loaded type descriptions; make, print and write a binary's. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "btf/btf.h"
#include "cli/btfdiff.h"
#include "cli/btfdump.h"
#include "cli/btfmerge.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/select.h"
#include "cli/spec.h"

static struct {
	const char *output, *debuginfo, *object;
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

/* --- which types ------------------------------------------------------------------------------
 */

/* The file of a process, a path, or a library's name. */
static int find_file(const char *word, char path[PATH_MAX])
{
	struct spec_scope scope = {0};
	char why[SPEC_WHY_MAX];
	int pid = opt_pid(word);

	if (pid > 0 && access(word, F_OK)) {
		struct probe_process p;
		char reason[PROBE_WHY_MAX] = "";

		if (probe_process_read(pid, &p, reason))
			return out_error("%s", reason);
		snprintf(path, PATH_MAX, "/proc/%d/exe", pid);
		if (!access(path, R_OK))
			return 0;
		return out_error("cannot read the program of process %d: %s", pid, strerror(errno));
	}
	if (!access(word, F_OK)) {
		snprintf(path, PATH_MAX, "%s", word);
		return 0;
	}
	if (spec_find_file(word, &scope, path, why))
		return out_error("%s", why);
	return 0;
}

static struct btf_opts type_opts(void)
{
	return (struct btf_opts){.debuginfo_dir = config.debuginfo, .quiet = common.quiet};
}

static struct btf *open_file(const char *word)
{
	struct btf_opts opts = type_opts();
	char path[PATH_MAX], why[BTF_WHY_MAX];
	struct btf *btf = NULL;

	if (find_file(word, path))
		return NULL;
	if (btf_find(path, &opts, &btf, why, sizeof(why)))
		out_error("%s", why);
	return btf;
}

static struct btf *open_loaded(char **words, int n)
{
	_cleanup_close_ int fd = select_object(SELECT_BTF, words, n);
	struct bpf_btf_info info = {0};
	struct btf *btf = NULL;
	u32 len = sizeof(info);

	if (fd < 0)
		return NULL;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len))
		btf = btf__load_from_kernel_by_id(info.id);
	if (!btf)
		out_error("cannot read the types: %s", strerror(errno));
	return btf;
}

static bool is_loaded(char **words, int n)
{
	return n > 1 && (!strcmp(words[0], "id") || !strcmp(words[0], "name") ||
			 !strcmp(words[0], "tag") || !strcmp(words[0], "pinned"));
}

static struct btf *open_btf(char **words, int n)
{
	struct btf *btf = NULL;

	if (is_loaded(words, n))
		return open_loaded(words, n);
	if (!n) {
		out_error("say whose types: a file, a process, a library or id N");
		return NULL;
	}
	if (!strcmp(words[0], "builtin")) {
		if (btf_builtin(&btf))
			out_error("out of memory");
		return btf;
	}
	return open_file(n > 1 && !strcmp(words[0], "file") ? words[1] : words[0]);
}

/* --- what to do with them ---------------------------------------------------------------------
 */

static int dump(char **words, int n)
{
	const char *format = n > 1 && !strcmp(words[n - 2], "format") ? words[n - 1] : NULL;
	_cleanup_(free_btf) struct btf *btf = NULL;

	if (format && strcmp(format, "c") && strcmp(format, "raw") && strcmp(format, "json"))
		return opt_usage_error("btf", "'%s' is no format: use c, raw or json", format);
	btf = open_btf(words, format ? n - 2 : n);
	if (!btf)
		return EXIT_FAILURE;
	if (format && !strcmp(format, "c"))
		return btfdump_c(btf, NULL);
	if (out_json_on(&config.json) || (format && !strcmp(format, "json")))
		return btfdump_json(btf, &config.json);
	return btfdump_raw(btf);
}

static int header(char **words, int n)
{
	_cleanup_(free_btf) struct btf *btf = NULL;

	if (!n)
		return opt_usage_error("btf", "header of what? Name a library or a file");
	btf = open_btf(words, n);
	if (!btf)
		return EXIT_FAILURE;
	/* by which libbpf's headers know how registers are called */
	if (!strcmp(words[n - 1], "builtin"))
		puts("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n#endif");
	return btfdump_c(btf, words[n - 1]);
}

/* Complete or not at all: a reader never sees half of it. */
static int write_file(const char *path, const void *data, size_t len)
{
	char temporary[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int err = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid()) >= PATH_MAX)
		return out_error("%s: the name is too long", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return out_error("cannot write %s: %s", path, strerror(errno));
	err = write_full(fd, data, len, IO_HERE);
	if (!err && rename(temporary, path))
		err = -errno;
	if (!err)
		return EXIT_SUCCESS;
	unlink(temporary);
	return out_error("cannot write %s: %s", path, strerror(-err));
}

static int gen(char **words, int n)
{
	_cleanup_(free_btf) struct btf *btf = NULL;
	struct btf_opts opts = type_opts();
	char path[PATH_MAX], why[BTF_WHY_MAX];
	const void *data;
	u32 len;

	if (n != 1 || !config.output)
		return opt_usage_error("btf", "gen takes one binary, and -o FILE");
	if (find_file(words[0], path))
		return EXIT_FAILURE;
	opts.no_cache = true;
	if (btf_convert(path, &opts, &btf, why, sizeof(why)))
		return out_error("%s", why);
	data = btf__raw_data(btf, &len);
	if (!data)
		return out_error("out of memory");
	return write_file(config.output, data, len);
}

/* One of the two that are compared, or of those that are joined: a word, or two (id 3). */
static struct btf *open_next(char ***words, int *n)
{
	int used = is_loaded(*words, *n) ? 2 : 1;
	struct btf *btf = open_btf(*words, used);

	*words += used;
	*n -= used;
	return btf;
}

static int diff(char **words, int n)
{
	_cleanup_(free_btf) struct btf *a = NULL, *b = NULL;
	char **second = words + (is_loaded(words, n) ? 2 : 1);
	struct btfdiff_side side[2] = {{words[0], NULL}, {second[0], NULL}};
	int left = n;

	if (n < 2 || second - words >= n ||
	    second - words + (is_loaded(second, n - (int)(second - words)) ? 2 : 1) != n)
		return opt_usage_error("btf", "diff takes two: files, processes or libraries");
	a = open_next(&words, &left);
	if (a)
		b = open_next(&words, &left);
	if (!a || !b)
		return DIFF_TROUBLE;
	side[0].btf = a;
	side[1].btf = b;
	if (config.object)
		return btfdiff_object(side, config.object, &config.json);
	return btfdiff_types(side, &config.json);
}

static int write_merged(const struct btfmerge_part *parts, u32 n)
{
	_cleanup_(free_btf) struct btf *all = NULL;
	const void *data;
	u32 len;

	if (btfmerge(parts, n, &all))
		return EXIT_FAILURE;
	data = btf__raw_data(all, &len);
	return data ? write_file(config.output, data, len) : out_error("out of memory");
}

static int merge(char **words, int n)
{
	_cleanup_free_ struct btfmerge_part *parts = calloc((size_t)n + 1, sizeof(*parts));
	int status = EXIT_SUCCESS;
	u32 nparts = 0;

	if (!parts)
		return out_error("out of memory");
	if (!n || !config.output)
		return opt_usage_error("btf", "merge takes files, and -o FILE");
	while (n > 0 && !status) {
		parts[nparts].word = is_loaded(words, n) ? words[1] : words[0];
		parts[nparts].btf = open_next(&words, &n);
		if (!parts[nparts++].btf)
			status = EXIT_FAILURE;
	}
	if (!status)
		status = write_merged(parts, nparts);
	while (nparts--)
		btf__free(parts[nparts].btf);
	return status;
}

static int run(const struct args *args)
{
	static const struct verb verbs[] = {{"show", show}, {"list", show}, {"dump", dump}, {0}};
	char **words = args->v + 1;
	int n = args->n - 1;

	/* a file's types need no daemon */
	if (args->n && !strcmp(args->v[0], "gen"))
		return gen(words, n);
	if (args->n && !strcmp(args->v[0], "header"))
		return header(words, n);
	if (args->n && !strcmp(args->v[0], "diff"))
		return diff(words, n);
	if (args->n && !strcmp(args->v[0], "merge"))
		return merge(words, n);
	if (args->n && !strcmp(args->v[0], "dump") && !is_loaded(words, n))
		return dump(words, n);
	return select_verb("btf", verbs, args->v, args->n);
}

static const struct opt opts[] = {
	{'o', "output", "FILE", OPT_STRING, offsetof(__typeof__(config), output),
	 "gen, merge: where to write the BTF"},
	{0, "debuginfo", "DIR", OPT_STRING, offsetof(__typeof__(config), debuginfo),
	 "folder of separate debug files, before /usr/lib/debug"},
	{'P', "object", "FILE.o", OPT_STRING, offsetof(__typeof__(config), object),
	 "diff: only which of its relocations come out differently"},
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_btf = {
	.name = "btf",
	.usage = "{show|list} [BTF]\ndump {BTF|FILE|PID|LIB|builtin} [format {raw|c|json}]\n"
		 "gen BINARY -o FILE.btf\nheader LIB\ndiff A B [--object FILE.o]\nmerge A... -o "
		 "FILE.btf",
	.summary = "show, make, print and compare type descriptions",
	.details = "BTF is id N. FILE, LIB and the program of PID have BTF, or debug information\n"
		   "that it is made from; gen writes it to a file, header as C for programs.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
