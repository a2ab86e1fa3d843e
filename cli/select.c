/* SPDX-License-Identifier: BSD-2-Clause */
/* Selectors and walks over the objects of the runtime: see select.h. */
#include "cli/select.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/opt.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

struct kind {
	const char *word;
	int (*next)(u32 id, u32 *next);
	int (*open)(u32 id);
};

static const struct kind kinds[] = {
	[SELECT_PROG] = {"program", bpf_prog_get_next_id, bpf_prog_get_fd_by_id},
	[SELECT_MAP] = {"map", bpf_map_get_next_id, bpf_map_get_fd_by_id},
	[SELECT_LINK] = {"link", bpf_link_get_next_id, bpf_link_get_fd_by_id},
	[SELECT_BTF] = {"BTF object", bpf_btf_get_next_id, bpf_btf_get_fd_by_id},
};

int select_connect(void)
{
	int err = ebpfrt_connect();

	if (err)
		out_error("%s", ebpfrt_error());
	return err;
}

int select_each(enum select_kind kind, int (*fn)(u32 id, int fd, void *cookie), void *cookie)
{
	const struct kind *k = &kinds[kind];
	u32 id = 0;

	while (!k->next(id, &id)) {
		_cleanup_close_ int fd = k->open(id);
		int err;

		if (fd < 0 && errno == ENOENT)
			continue; /* gone meanwhile */
		if (fd < 0)
			return out_error("cannot open %s %u: %s", k->word, id, strerror(errno)),
			       -errno;
		err = fn(id, fd, cookie);
		if (err)
			return err;
	}
	if (errno != ENOENT)
		return out_error("cannot list: %s", strerror(errno)), -errno;
	return 0;
}

struct search {
	enum select_kind kind;
	const char *name, *tag;
	int found;
	u32 id;
	char ids[160];
};

static int match(u32 id, int fd, void *cookie)
{
	struct search *s = cookie;
	char name[BPF_OBJ_NAME_LEN] = "", tag[2 * BPF_TAG_SIZE + 1] = "", buf[64] = "";
	u32 len;

	if (s->kind == SELECT_PROG) {
		struct bpf_prog_info info = {0};

		len = sizeof(info);
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			return 0;
		memcpy(name, info.name, sizeof(name));
		for (int i = 0; i < BPF_TAG_SIZE; i++)
			snprintf(tag + 2 * i, 3, "%02x", info.tag[i]);
	} else if (s->kind == SELECT_MAP) {
		struct bpf_map_info info = {0};

		len = sizeof(info);
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			return 0;
		memcpy(name, info.name, sizeof(name));
	}
	name[BPF_OBJ_NAME_LEN - 1] = 0;
	/* names are cut to what the kernel keeps */
	if (s->name ? strncmp(name, s->name, BPF_OBJ_NAME_LEN - 1) : strcmp(tag, s->tag))
		return 0;
	s->found++;
	s->id = id;
	snprintf(buf, sizeof(buf), " %u", id);
	strncat(s->ids, buf, sizeof(s->ids) - strlen(s->ids) - 1);
	return 0;
}

static int open_id(enum select_kind kind, u32 id)
{
	int fd = kinds[kind].open(id), err = -errno;

	if (fd >= 0)
		return fd;
	if (err == -ENOENT)
		out_error("there is no %s %u; `list` shows which there are", kinds[kind].word, id);
	else
		out_error("cannot open %s %u: %s", kinds[kind].word, id, strerror(-err));
	return err;
}

static int select_named(struct search *s)
{
	const char *what = s->name ? s->name : s->tag, *how = s->name ? "called" : "tagged";
	int err = select_each(s->kind, match, s);

	if (err)
		return err;
	if (!s->found) {
		out_error("there is no %s %s '%s'; `list` shows which there are",
			  kinds[s->kind].word, how, what);
		return -ENOENT;
	}
	if (s->found > 1) {
		out_error("%d %ss are %s '%s': choose one with id:%s", s->found,
			  kinds[s->kind].word, how, what, s->ids);
		return -ENOTUNIQ;
	}
	return open_id(s->kind, s->id);
}

static int open_pinned(const char *path)
{
	int fd = bpf_obj_get(path), err = -errno;

	if (fd < 0)
		return out_error("nothing is pinned at %s: %s", path, strerror(-err)), err;
	return fd;
}

int select_object(enum select_kind kind, char *const *words, int n)
{
	struct search s = {.kind = kind};
	char *end;
	unsigned long id;

	if (n < 2) {
		out_error("which %s? id N, name NAME%s or pinned FILE", kinds[kind].word,
			  kind == SELECT_PROG ? ", tag TAG" : "");
		return -EINVAL;
	}
	if (!strcmp(words[0], "id")) {
		id = strtoul(words[1], &end, 10);
		if (*end || end == words[1] || id > UINT32_MAX)
			return out_error("'%s' is not an id", words[1]), -EINVAL;
		return open_id(kind, (u32)id);
	}
	if (!strcmp(words[0], "pinned"))
		return open_pinned(words[1]);
	if (!strcmp(words[0], "name") && kind != SELECT_LINK && kind != SELECT_BTF)
		s.name = words[1];
	else if (!strcmp(words[0], "tag") && kind == SELECT_PROG)
		s.tag = words[1];
	else
		return out_error("'%s' selects no %s", words[0], kinds[kind].word), -EINVAL;
	return select_named(&s);
}

int select_verb(const char *noun, const struct verb *verbs, char **words, int n)
{
	const struct verb *v = verbs;

	for (; n && v->word && strcmp(v->word, words[0]); v++)
		;
	if (!v->word)
		return opt_usage_error(noun, "'%s' is nothing to do with a %s", words[0], noun);
	if (select_connect())
		return EXIT_FAILURE;
	return n ? v->run(words + 1, n - 1) : v->run(words, 0);
}
