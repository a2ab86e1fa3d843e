/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt map: show, read and write maps, with bpftool's words and field names. Keys and values are
 * given as bytes, as hex bytes, or typed (key 2, key '{"pid": 1}').
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/maps.h"
#include "cli/select.h"

static struct {
	struct out_json json;
} config;

struct open_map {
	int fd;
	struct btf *btf;
	struct map_view view;
	u8 *key, *value; /* room for one element */
};

static void close_map(struct open_map *m)
{
	free(m->key);
	free(m->value);
	if (m->fd >= 0)
		close(m->fd);
	btf__free(m->btf);
}

/* Types of the map, for a map that knows them. Not having any is no error. */
static void load_types(struct open_map *m)
{
	if (!m->view.info.btf_id)
		return;
	m->btf = btf__load_from_kernel_by_id(m->view.info.btf_id);
	if (!m->btf)
		return;
	m->view.btf = m->btf;
	m->view.key_type = m->view.info.btf_key_type_id;
	m->view.value_type = m->view.info.btf_value_type_id;
}

static int open_map(char **words, int n, struct open_map *m)
{
	int err;

	m->fd = select_object(SELECT_MAP, words, n);
	m->btf = NULL;
	if (m->fd < 0)
		return m->fd;
	err = map_view_init(&m->view, m->fd);
	if (err)
		return out_error("cannot read the map: %s", strerror(-err)), err;
	load_types(m);
	m->key = calloc(1, MAX(m->view.info.key_size, 1u));
	m->value = calloc(1, MAX(m->view.user_value_size, (size_t)8));
	return m->key && m->value ? 0 : out_error("out of memory");
}

/* --- show --- */

static const char *type_name(u32 type)
{
	const char *name = libbpf_bpf_map_type_str((enum bpf_map_type)type);

	return name ? name : "unknown";
}

/* Memory it holds: it is a file of that size. */
static u64 bytes_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (u64)st.st_size;
}

static struct json_object *map_json(const struct bpf_map_info *info, const char *name, int fd)
{
	struct json_object *o = json_object_new_object();

	out_add_u64(o, "id", info->id);
	out_add_str(o, "type", type_name(info->type));
	if (*name)
		out_add_str(o, "name", name);
	out_add_u64(o, "flags", info->map_flags);
	out_add_u64(o, "bytes_key", info->key_size);
	out_add_u64(o, "bytes_value", info->value_size);
	out_add_u64(o, "max_entries", info->max_entries);
	out_add_u64(o, "bytes_memlock", bytes_of(fd));
	if (info->btf_id)
		out_add_u64(o, "btf_id", info->btf_id);
	return o;
}

static void map_print(const struct bpf_map_info *info, const char *name, int fd)
{
	printf("%u: %s", info->id, type_name(info->type));
	if (*name)
		printf("  name %s", name);
	printf("  flags 0x%x\n\tkey %uB  value %uB  max_entries %u  memlock %lluB\n",
	       info->map_flags, info->key_size, info->value_size, info->max_entries,
	       (unsigned long long)bytes_of(fd));
	if (info->btf_id)
		printf("\tbtf_id %u\n", info->btf_id);
}

static int show_one(u32 id, int fd, void *cookie)
{
	struct map_view view;
	char name[80];
	int err = map_view_init(&view, fd);

	if (err)
		return out_error("cannot read map %u: %s", id, strerror(-err)), err;
	view.info.name[BPF_OBJ_NAME_LEN - 1] = 0;
	out_clean(view.info.name, name, sizeof(name));
	if (cookie)
		out_push(cookie, map_json(&view.info, name, fd));
	else if (out_json_on(&config.json))
		out_json_put(&config.json, map_json(&view.info, name, fd));
	else
		map_print(&view.info, name, fd);
	return 0;
}

static int show(char **words, int n)
{
	struct json_object *doc = NULL;
	int err;

	if (n) {
		_cleanup_close_ int fd = select_object(SELECT_MAP, words, n);

		return fd < 0 || show_one(0, fd, NULL) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (out_json_on(&config.json))
		doc = json_object_new_array();
	err = select_each(SELECT_MAP, show_one, doc);
	if (doc)
		out_json_put(&config.json, doc);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- elements --- */

static struct json_object *values_json(const struct map_view *view, const void *value, bool typed)
{
	struct map_view plain = *view;

	if (!typed)
		plain.btf = NULL;
	return map_value_json(&plain, value);
}

static const char *value_key(const struct map_view *view)
{
	return map_is_percpu(view->info.type) ? "values" : "value";
}

/* As bpftool: by type for people; bytes, and "formatted" by type, for programs. */
static struct json_object *outer_json(const struct map_view *view, const void *key,
				      const void *value, bool bytes)
{
	struct json_object *o = json_object_new_object();
	u32 id;

	memcpy(&id, value, sizeof(id));
	out_add(o, "key",
		bytes ? value_bytes_json(key, view->info.key_size)
		      : value_json(view->btf, view->key_type, key, view->info.key_size));
	out_add_u64(o, "inner_map_id", id);
	return o;
}

static struct json_object *element_json(const struct map_view *view, const void *key,
					const void *value, bool bytes_too)
{
	struct json_object *typed, *o;

	if (map_is_outer(view->info.type))
		return outer_json(view, key, value, bytes_too);
	typed = json_object_new_object();
	out_add(typed, "key", value_json(view->btf, view->key_type, key, view->info.key_size));
	out_add(typed, value_key(view), values_json(view, value, true));
	if (!bytes_too)
		return typed;
	o = json_object_new_object();
	out_add(o, "key", value_bytes_json(key, view->info.key_size));
	out_add(o, value_key(view), values_json(view, value, false));
	if (view->btf && view->value_type)
		out_add(o, "formatted", typed);
	else
		json_object_put(typed);
	return o;
}

static void print_bytes(const char *what, const u8 *data, size_t size)
{
	printf("%s:", what);
	for (size_t i = 0; i < size; i++)
		printf(" %02x", data[i]);
}

static void element_print(const struct map_view *view, const void *key, const void *value)
{
	size_t stride = ALIGN_UP((size_t)view->info.value_size, 8);

	u32 id;

	print_bytes("key", key, view->info.key_size);
	if (map_is_outer(view->info.type)) {
		memcpy(&id, value, sizeof(id));
		printf("  inner_map_id: %u\n", id);
		return;
	}
	if (!map_is_percpu(view->info.type)) {
		print_bytes("  value", value, view->info.value_size);
		putchar('\n');
		return;
	}
	putchar('\n');
	for (size_t cpu = 0; (cpu + 1) * stride <= view->user_value_size; cpu++) {
		printf("value (CPU %02zu)", cpu);
		print_bytes("", (const u8 *)value + cpu * stride, view->info.value_size);
		putchar('\n');
	}
}

struct dump {
	struct json_object *doc; /* NULL: print bytes */
	u32 n;
};

static int dump_one(const struct map_view *view, const void *key, const void *value, void *cookie)
{
	struct dump *d = cookie;

	d->n++;
	if (d->doc)
		out_push(d->doc, element_json(view, key, value, out_json_on(&config.json)));
	else
		element_print(view, key, value);
	return 0;
}

static int take_next(const struct open_map *m, bool keep);

static int dump(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};
	static const struct out_json pretty = {.pretty = true};
	struct dump d = {0};
	int err;

	if (open_map(words, n, &m))
		return EXIT_FAILURE;
	if (m.view.info.type == BPF_MAP_TYPE_BLOOM_FILTER)
		return out_error("a map of type bloom_filter does not say what is in it");
	if (map_is_fifo(m.view.info.type)) {
		out_note("a %s shows no more than its next element", type_name(m.view.info.type));
		return take_next(&m, true);
	}
	if (out_json_on(&config.json) || (m.view.btf && m.view.value_type))
		d.doc = json_object_new_array();
	err = map_each(&m.view, dump_one, &d);
	if (d.doc)
		out_json_put(out_json_on(&config.json) ? &config.json : &pretty, d.doc);
	else
		printf("Found %u element%s\n", d.n, d.n == 1 ? "" : "s");
	if (err)
		return out_error("cannot read the elements: %s", strerror(-err));
	return EXIT_SUCCESS;
}

/* Words from @from up to the word @stop (or the end). */
static int words_until(char **words, int n, int from, const char *stop)
{
	int i = from;

	while (i < n && (!stop || strcmp(words[i], stop)))
		i++;
	return i - from;
}

/* "key ..." after the selector. Number of words used, or after a message the exit status, negative.
 */
static int parse_key(const struct open_map *m, char **words, int n)
{
	char why[256];
	int count;

	if (n < 2 || strcmp(words[0], "key"))
		return -opt_usage_error("map", "which element? key DATA");
	count = words_until(words, n, 1, "value");
	if (value_parse(m->view.btf, m->view.key_type, words + 1, count, m->key,
			m->view.info.key_size, why, sizeof(why)))
		return -out_error("the key: %s", why);
	return 1 + count;
}

/* Why bpf(2) did not do it, in words of the map. */
static int element_error(const struct open_map *m, int err)
{
	const char *type = libbpf_bpf_map_type_str(m->view.info.type);

	switch (err) {
	case ENOENT:
		return out_error("there is no such element");
	case EEXIST:
		return out_error("the element is there already");
	case E2BIG:
		return out_error("there is no room: the map holds at most %u elements",
				 m->view.info.max_entries);
	case EPERM:
		return out_error("the map is read-only: it is frozen or was made so");
	case EINVAL:
		return out_error("a map of type %s does not allow that", type ? type : "unknown");
	default:
		return out_error("cannot use the element: %s", strerror(err));
	}
}

static int lookup(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};
	static const struct out_json pretty = {.pretty = true};
	int used;

	if (open_map(words, n, &m))
		return EXIT_FAILURE;
	used = parse_key(&m, words + 2, n - 2);
	if (used < 0)
		return -used;
	if (bpf_map_lookup_elem(m.fd, m.key, m.value))
		return element_error(&m, errno);
	if (out_json_on(&config.json))
		out_json_put(&config.json, element_json(&m.view, m.key, m.value, true));
	else if (m.view.btf && m.view.value_type)
		out_json_put(&pretty, element_json(&m.view, m.key, m.value, false));
	else
		element_print(&m.view, m.key, m.value);
	return EXIT_SUCCESS;
}

static int parse_flags(const char *word, u64 *flags)
{
	static const char *const names[] = {
		[BPF_ANY] = "any", [BPF_NOEXIST] = "noexist", [BPF_EXIST] = "exist"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(word, names[i])) {
			*flags = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* One value for every CPU: a person who sets a per-CPU counter sets all of them. */
static void spread(const struct map_view *view, u8 *value)
{
	size_t stride = ALIGN_UP((size_t)view->info.value_size, 8);

	for (size_t at = stride; at + stride <= view->user_value_size; at += stride)
		memcpy(value + at, value, stride);
}

/* The value: DATA, or for a map of maps which MAP. An inner map's descriptor stays in *inner. */
static int parse_update(const struct open_map *m, char **words, int n, int *inner)
{
	char why[256];

	if (!map_is_outer(m->view.info.type)) {
		if (value_parse(m->view.btf, m->view.value_type, words, n, m->value,
				m->view.info.value_size, why, sizeof(why)))
			return out_error("the value: %s", why);
		spread(&m->view, m->value);
		return 0;
	}
	*inner = select_object(SELECT_MAP, words, n);
	if (*inner < 0)
		return *inner;
	memcpy(m->value, inner, sizeof(*inner));
	return 0;
}

static int update(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};
	_cleanup_close_ int inner = -1;
	u64 flags = BPF_ANY;
	int used;

	if (open_map(words, n, &m))
		return EXIT_FAILURE;
	used = parse_key(&m, words + 2, n - 2);
	if (used < 0)
		return -used;
	words += 2 + used;
	n -= 2 + used;
	if (n > 1 && !parse_flags(words[n - 1], &flags))
		n--;
	if (n < 2)
		return opt_usage_error("map", "which value? value DATA");
	if (parse_update(&m, words + 1, n - 1, &inner))
		return EXIT_FAILURE;
	if (bpf_map_update_elem(m.fd, m.key, m.value, flags))
		return element_error(&m, errno);
	return EXIT_SUCCESS;
}

static int delete (char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};
	int used;

	if (open_map(words, n, &m))
		return EXIT_FAILURE;
	used = parse_key(&m, words + 2, n - 2);
	if (used < 0)
		return -used;
	return bpf_map_delete_elem(m.fd, m.key) ? element_error(&m, errno) : EXIT_SUCCESS;
}

/* --- queues and stacks --- */

static int take_next(const struct open_map *m, bool keep)
{
	int err = keep ? bpf_map_lookup_elem(m->fd, NULL, m->value)
		       : bpf_map_lookup_and_delete_elem(m->fd, NULL, m->value);

	if (err)
		return errno == ENOENT ? out_error("the map is empty") : element_error(m, errno);
	if (out_json_on(&config.json)) {
		struct json_object *o = json_object_new_object();

		out_add(o, "value", value_bytes_json(m->value, m->view.info.value_size));
		out_json_put(&config.json, o);
		return EXIT_SUCCESS;
	}
	print_bytes("value", m->value, m->view.info.value_size);
	putchar('\n');
	return EXIT_SUCCESS;
}

static int open_fifo(char **words, int n, struct open_map *m)
{
	int err = open_map(words, n, m);

	if (err || map_is_fifo(m->view.info.type))
		return err;
	return out_error("a map of type %s is neither a queue nor a stack",
			 type_name(m->view.info.type));
}

static int peek(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};

	return open_fifo(words, n, &m) ? EXIT_FAILURE : take_next(&m, true);
}

static int pop(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};

	return open_fifo(words, n, &m) ? EXIT_FAILURE : take_next(&m, false);
}

static int push(char **words, int n)
{
	_cleanup_(close_map) struct open_map m = {.fd = -1};
	char why[256];

	if (open_fifo(words, n, &m))
		return EXIT_FAILURE;
	if (n < 4 || strcmp(words[2], "value"))
		return opt_usage_error("map", "which value? value DATA");
	if (value_parse(m.view.btf, m.view.value_type, words + 3, n - 3, m.value,
			m.view.info.value_size, why, sizeof(why)))
		return out_error("the value: %s", why);
	return bpf_map_update_elem(m.fd, NULL, m.value, BPF_ANY) ? element_error(&m, errno)
								 : EXIT_SUCCESS;
}

static int pin_error(const char *path, int err)
{
	if (err == EEXIST)
		return out_error("there is something at %s already; choose another name", path);
	if (err == EPERM)
		return out_error("cannot pin to %s: pins are names below /sys/fs/bpf", path);
	return out_error("cannot pin to %s: %s", path, strerror(err));
}

static int pin(char **words, int n)
{
	_cleanup_close_ int fd = select_object(SELECT_MAP, words, n);

	if (fd < 0)
		return EXIT_FAILURE;
	if (n != 3)
		return opt_usage_error("map", "where? pin MAP FILE, below /sys/fs/bpf");
	if (bpf_obj_pin(fd, words[2]))
		return pin_error(words[2], errno);
	return EXIT_SUCCESS;
}

static int run(const struct args *args)
{
	static const struct verb verbs[] = {{"show", show},
					    {"list", show},
					    {"dump", dump},
					    {"lookup", lookup},
					    {"update", update},
					    {"delete", delete},
					    {"pin", pin},
					    {"peek", peek},
					    {"pop", pop},
					    {"dequeue", pop},
					    {"push", push},
					    {"enqueue", push},
					    {0}};

	return select_verb("map", verbs, args->v, args->n);
}

static const struct opt opts[] = {
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_map = {
	.name = "map",
	.usage = "{show|list} [MAP]\ndump MAP\nlookup MAP key DATA\nupdate MAP key DATA value DATA "
		 "[any|exist|noexist]\ndelete MAP key DATA\npeek MAP\n{pop|dequeue} MAP\n"
		 "{push|enqueue} MAP value DATA\npin MAP FILE",
	.summary = "show, read and write maps",
	.details = "MAP is id N, name NAME or pinned FILE. DATA is one typed value (2, abc,\n"
		   "'{\"pid\": 1}'), bytes (1 0 0 0), or hex and bytes (hex 01 00 00 00).\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
