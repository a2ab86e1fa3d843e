/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a spec: text to struct spec. Grammar in spec.h; the wording of errors names the part. */
#include "cli/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spec_word {
	const char *word; /* with .s: a program that may sleep */
	enum spec_kind kind;
	bool ret, session, typed;
};

static const struct spec_word words[] = {
	{"uprobe", SPEC_UPROBE, false, false, false},
	{"uprobe.s", SPEC_UPROBE, false, false, false},
	{"u", SPEC_UPROBE, false, false, false},
	{"p", SPEC_UPROBE, false, false, false},
	{"uretprobe", SPEC_UPROBE, true, false, false},
	{"uretprobe.s", SPEC_UPROBE, true, false, false},
	{"ur", SPEC_UPROBE, true, false, false},
	{"r", SPEC_UPROBE, true, false, false},
	{"uprobe.multi", SPEC_MULTI, false, false, false},
	{"uprobe.multi.s", SPEC_MULTI, false, false, false},
	{"uretprobe.multi", SPEC_MULTI, true, false, false},
	{"uretprobe.multi.s", SPEC_MULTI, true, false, false},
	{"uprobe.session", SPEC_MULTI, false, true, false},
	{"uprobe.session.s", SPEC_MULTI, false, true, false},
	{"usdt", SPEC_USDT, false, false, false},
	{"usdt.s", SPEC_USDT, false, false, false},
	{"U", SPEC_USDT, false, false, false},
	{"uentry", SPEC_UPROBE, false, false, true},
	{"uexit", SPEC_UPROBE, true, false, true},
};

static const struct spec_word *find_word(const char *text, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) == n && !strncmp(words[i].word, text, n))
			return &words[i];
	}
	return NULL;
}

const char *spec_kind_name(const struct spec *spec)
{
	switch (spec->kind) {
	case SPEC_MULTI:
		if (spec->session)
			return "uprobe.session";
		return spec->ret ? "uretprobe.multi" : "uprobe.multi";
	case SPEC_USDT:
		return "usdt";
	default:
		if (spec->typed)
			return spec->ret ? "uexit" : "uentry";
		return spec->ret ? "uretprobe" : "uprobe";
	}
}

static int copy(char *to, size_t size, const char *from, size_t n, char *why)
{
	if (n >= size) {
		snprintf(why, SPEC_WHY_MAX, "'%.40s...' is too long", from);
		return -EINVAL;
	}
	memcpy(to, from, n);
	to[n] = 0;
	return 0;
}

/* "func+0x10": the offset, only when it ends the text. */
static int split_offset(struct spec *out, const char *text, char *why)
{
	char *plus = strrchr(out->func, '+'), *end;

	if (!plus || plus == out->func)
		return 0;
	errno = 0;
	out->offset = strtoull(plus + 1, &end, 0);
	if (errno || *end || end == plus + 1)
		return 0; /* part of the name */
	*plus = 0;
	if ((out->ret || out->typed) && out->offset) {
		snprintf(why, SPEC_WHY_MAX, "'%s': %s take no offset", text,
			 out->typed ? "typed probes" : "return probes");
		return -EINVAL;
	}
	return 0;
}

static int parse_function(const char *text, const char *rest, struct spec *out, char *why)
{
	const char *colon = strchr(rest, ':');
	int err;

	if (!colon || !colon[1] || (colon == rest && out->kind == SPEC_MULTI)) {
		snprintf(why, SPEC_WHY_MAX, "'%s' names no function: write %s/FILE:FUNCTION", text,
			 spec_kind_name(out));
		return -EINVAL;
	}
	err = copy(out->path, sizeof(out->path), rest, colon - rest, why);
	if (!err)
		err = copy(out->func, sizeof(out->func), colon + 1, strlen(colon + 1), why);
	if (err || out->kind == SPEC_MULTI)
		return err;
	return split_offset(out, text, why);
}

static int parse_usdt(const char *text, const char *rest, struct spec *out, char *why)
{
	const char *a = strchr(rest, ':'), *b = a ? strchr(a + 1, ':') : NULL;
	int err;

	if (!b || a == rest || b == a + 1 || !b[1]) {
		snprintf(why, SPEC_WHY_MAX, "'%s' is not complete: write usdt/FILE:PROVIDER:NAME",
			 text);
		return -EINVAL;
	}
	err = copy(out->path, sizeof(out->path), rest, a - rest, why);
	if (!err)
		err = copy(out->provider, sizeof(out->provider), a + 1, b - a - 1, why);
	if (!err)
		err = copy(out->func, sizeof(out->func), b + 1, strlen(b + 1), why);
	return err;
}

int spec_parse(const char *text, struct spec *out, char why[SPEC_WHY_MAX])
{
	size_t n = strcspn(text, "/:");
	const struct spec_word *word = find_word(text, n);
	struct spec spec = {.kind = SPEC_OTHER};
	int err = 0;

	if (word) {
		spec.kind = text[n] ? word->kind : SPEC_NONE;
		spec.ret = word->ret;
		spec.multi = word->kind == SPEC_MULTI;
		spec.session = word->session;
		spec.typed = word->typed;
		spec.sleepable = strstr(word->word, ".s") && word->word[n - 1] == 's';
	}
	if (spec.kind == SPEC_USDT)
		err = parse_usdt(text, text + n + 1, &spec, why);
	else if (spec.kind == SPEC_UPROBE || spec.kind == SPEC_MULTI)
		err = parse_function(text, text + n + 1, &spec, why);
	if (!err)
		*out = spec;
	return err;
}
