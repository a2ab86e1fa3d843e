/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and printing maps: see maps.h for what is printed how. */
#include "cli/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define SLOTS_MAX 64

bool map_is_percpu(u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

bool map_is_outer(u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

bool map_is_fifo(u32 type)
{
	return type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK;
}

int map_view_init(struct map_view *view, int fd)
{
	u32 len = sizeof(view->info);
	int err;

	*view = (struct map_view){.fd = fd};
	err = bpf_obj_get_info_by_fd(fd, &view->info, &len);
	if (err)
		return -errno;
	view->user_value_size = view->info.value_size;
	if (map_is_percpu(view->info.type))
		view->user_value_size =
			ALIGN_UP((size_t)view->info.value_size, 8) * libbpf_num_possible_cpus();
	return 0;
}

int map_each(const struct map_view *view,
	     int (*fn)(const struct map_view *view, const void *key, const void *value,
		       void *cookie),
	     void *cookie)
{
	size_t ks = MAX(view->info.key_size, 1u);
	_cleanup_free_ u8 *key = calloc(2, ks);
	_cleanup_free_ u8 *value = calloc(1, MAX(view->user_value_size, (size_t)8));
	u8 *prev = NULL;
	u64 seen = 0;
	int err;

	if (!key || !value)
		return -ENOMEM;
	/* a map that changes while it is walked may start over: the count bounds that */
	while (seen <= 2ULL * view->info.max_entries) {
		if (bpf_map_get_next_key(view->fd, prev, key + ks))
			return errno == ENOENT ? 0 : -errno;
		memcpy(key, key + ks, ks);
		prev = key;
		seen++;
		if (bpf_map_lookup_elem(view->fd, key, value)) {
			if (errno == ENOENT)
				continue;
			return -errno;
		}
		err = fn(view, key, value, cookie);
		if (err)
			return err;
	}
	return 0;
}

struct json_object *map_value_json(const struct map_view *view, const void *value)
{
	size_t stride = ALIGN_UP((size_t)view->info.value_size, 8);
	struct json_object *rows;

	if (!map_is_percpu(view->info.type))
		return value_json(view->btf, view->value_type, value, view->info.value_size);
	rows = json_object_new_array();
	for (size_t cpu = 0; (cpu + 1) * stride <= view->user_value_size; cpu++) {
		struct json_object *row = json_object_new_object();

		out_add_u64(row, "cpu", cpu);
		out_add(row, "value",
			value_json(view->btf, view->value_type, (const u8 *)value + cpu * stride,
				   view->info.value_size));
		out_push(rows, row);
	}
	return rows;
}

/* --- at the end of a session --- */

struct printer {
	FILE *stream;
	const char *name;
	struct json_object *json; /* NULL: text */
	u64 slots[SLOTS_MAX];
	u32 nslots;
	bool ok;
};

static bool all_zero(const u8 *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i])
			return false;
	}
	return true;
}

static bool is_array(u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* A count: an integer, summed over CPUs where the map is per CPU. */
static bool count_of(const struct map_view *view, const u8 *value, u64 *out)
{
	size_t stride = ALIGN_UP((size_t)view->info.value_size, 8);
	u64 sum = 0, v;

	if (!map_is_percpu(view->info.type))
		return value_u64(view->btf, view->value_type, value, view->info.value_size, out);
	for (size_t at = 0; at + stride <= view->user_value_size; at += stride) {
		if (!value_u64(view->btf, view->value_type, value + at, view->info.value_size, &v))
			return false;
		sum += v;
	}
	*out = sum;
	return true;
}

static bool named_like_histogram(const char *name)
{
	return strstr(name, "hist") || strstr(name, "lat") || strstr(name, "dist");
}

static int take_slot(const struct map_view *view, const void *key, const void *value, void *cookie)
{
	struct printer *p = cookie;
	u64 slot, count;

	p->ok = value_u64(view->btf, view->key_type, key, view->info.key_size, &slot) &&
		count_of(view, value, &count) && slot < SLOTS_MAX;
	if (!p->ok)
		return 1;
	p->slots[slot] = count;
	p->nslots = MAX(p->nslots, (u32)slot + 1);
	return 0;
}

static struct json_object *hist_json(const u64 *slots, u32 n)
{
	struct json_object *a = json_object_new_array();

	for (u32 i = 0; i < n; i++) {
		struct json_object *row;

		if (!slots[i])
			continue;
		row = json_object_new_object();
		out_add_u64(row, "min", i ? 1ULL << i : 0);
		out_add_u64(row, "max", i < 63 ? (2ULL << i) - 1 : UINT64_MAX);
		out_add_u64(row, "count", slots[i]);
		out_push(a, row);
	}
	return a;
}

static void json_named(FILE *stream, const char *type, const char *name, struct json_object *data)
{
	struct json_object *o = json_object_new_object();
	char at[64];

	snprintf(at, sizeof(at), "@%s", name);
	out_add(o, at, data);
	out_json_event(stream, type, o);
}

/* True when it was one, and is printed. */
static bool print_histogram(const struct map_view *view, const char *name, FILE *stream, bool json)
{
	struct printer p = {.ok = true};

	if (!named_like_histogram(name))
		return false;
	map_each(view, take_slot, &p);
	if (!p.ok)
		return false;
	while (p.nslots && !p.slots[p.nslots - 1])
		p.nslots--;
	if (!p.nslots)
		return true;
	if (json)
		json_named(stream, "hist", name, hist_json(p.slots, p.nslots));
	else
		hist_print(stream, name, p.slots, p.nslots);
	return true;
}

static char *element_text(const struct map_view *view, const void *value)
{
	struct json_object *rows;
	char *text = NULL;
	u64 count;

	if (!map_is_percpu(view->info.type))
		return value_text(view->btf, view->value_type, value, view->info.value_size);
	if (count_of(view, value, &count)) {
		if (asprintf(&text, "%llu", (unsigned long long)count) < 0)
			return NULL;
		return text;
	}
	rows = map_value_json(view, value);
	text = strdup(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_SPACED));
	json_object_put(rows);
	return text;
}

/* A structure of one member is written as that member: @totals[bash], not { "name": "bash" }. */
static char *key_text(const struct map_view *view, const void *key)
{
	u32 id = view->btf ? value_strip(view->btf, view->key_type) : 0;
	const struct btf_type *t = id ? btf__type_by_id(view->btf, id) : NULL;

	if (t && btf_is_struct(t) && btf_vlen(t) == 1 && !btf_member_bitfield_size(t, 0))
		id = btf_members(t)[0].type;
	else
		id = view->key_type;
	return value_text(view->btf, id, key, view->info.key_size);
}

static int print_element(const struct map_view *view, const void *key, const void *value,
			 void *cookie)
{
	struct printer *p = cookie;
	_cleanup_free_ char *k = NULL, *v = NULL;

	if (is_array(view->info.type) && all_zero(value, view->user_value_size))
		return 0;
	k = key_text(view, key);
	if (!k)
		return -ENOMEM;
	if (p->json) {
		out_add(p->json, k, map_value_json(view, value));
		return 0;
	}
	v = element_text(view, value);
	fprintf(p->stream, "@%s[%s]: %s\n", p->name, k, v ? v : "?");
	return 0;
}

static void print_map(const struct map_view *view, const char *name, FILE *stream, bool json)
{
	struct printer p = {.stream = stream, .name = name};

	if (print_histogram(view, name, stream, json))
		return;
	p.json = json ? json_object_new_object() : NULL;
	map_each(view, print_element, &p);
	if (!json)
		return;
	if (json_object_object_length(p.json))
		json_named(stream, "map", name, p.json);
	else
		json_object_put(p.json);
}

/* Global variables that are not zero. */
static void print_globals(const struct map_view *view, FILE *stream, bool json)
{
	_cleanup_free_ u8 *value = calloc(1, view->user_value_size);
	struct json_object *vars;
	u32 zero = 0;

	if (!value || !view->btf || bpf_map_lookup_elem(view->fd, &zero, value))
		return;
	vars = value_json(view->btf, view->value_type, value, view->info.value_size);
	if (json_object_is_type(vars, json_type_object)) {
		json_object_object_foreach(vars, name, v)
		{
			if (json_object_is_type(v, json_type_int) && !json_object_get_uint64(v))
				continue;
			if (json)
				json_named(stream, "map", name, json_object_get(v));
			else
				fprintf(stream, "@%s: %s\n", name,
					json_object_to_json_string_ext(v, JSON_C_TO_STRING_SPACED));
		}
	}
	json_object_put(vars);
}

static bool holds_elements(u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return true;
	default:
		return false;
	}
}

static const char *section_of(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot : name;
}

void maps_print(struct bpf_object *bpf, FILE *stream, bool json)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, bpf) {
		const char *name = bpf_map__name(map);
		struct map_view view;

		if (bpf_map__fd(map) < 0 || !strncmp(name, "__bpf_usdt", 10) ||
		    !holds_elements(bpf_map__type(map)) || map_view_init(&view, bpf_map__fd(map)))
			continue;
		view.btf = bpf_object__btf(bpf);
		view.key_type = bpf_map__btf_key_type_id(map);
		view.value_type = bpf_map__btf_value_type_id(map);
		if (!bpf_map__is_internal(map))
			print_map(&view, name, stream, json);
		else if (strncmp(section_of(name), ".rodata", 7) &&
			 strncmp(section_of(name), ".kconfig", 8))
			print_globals(&view, stream, json);
	}
	fflush(stream);
}
