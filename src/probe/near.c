/* SPDX-License-Identifier: BSD-2-Clause */
/* Function names that resemble a misspelt one: few letters apart, or one inside the other. */
#include "probe_priv.h"

#include <stdio.h>
#include <string.h>

#define BEST 3
#define NAME_LEN 64
#define FAR 1000

/* Levenshtein's distance, but no more than @limit is of interest. Two rows of the matrix. */
static u32 edit_distance(const char *a, const char *b, u32 limit)
{
	size_t na = strlen(a), nb = strlen(b);
	u32 row[NAME_LEN + 1];

	if (na > NAME_LEN || nb > NAME_LEN || MAX(na, nb) - MIN(na, nb) > limit)
		return FAR;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (u32)j;
	for (size_t i = 1; i <= na; i++) {
		u32 diagonal = row[0], least = row[0] = (u32)i;

		for (size_t j = 1; j <= nb; j++) {
			u32 above = row[j], cost = diagonal + (a[i - 1] != b[j - 1]);

			row[j] = MIN(cost, MIN(above, row[j - 1]) + 1);
			diagonal = above;
			least = MIN(least, row[j]);
		}
		if (least > limit)
			return FAR;
	}
	return row[nb];
}

/* Lower is nearer. */
static u32 score(const char *name, size_t len, const char *candidate)
{
	u32 limit = len < 4 ? 1 : len < 9 ? 2 : 3, d = edit_distance(name, candidate, limit);

	if (d <= limit)
		return d * 8;
	if (len >= 4 && strstr(candidate, name))
		return 32 + (u32)MIN(strlen(candidate) - len, (size_t)200);
	if (strlen(candidate) >= 4 && strstr(name, candidate))
		return 64 + (u32)MIN(len - strlen(candidate), (size_t)200);
	return FAR;
}

struct miss {
	const char *name;
	u32 score;
};

static void keep(struct miss best[BEST], struct miss m)
{
	for (size_t i = 0; i < BEST; i++)
		if (best[i].name && !strcmp(best[i].name, m.name))
			return;
	for (size_t i = 0; i < BEST; i++) {
		if (m.score < best[i].score) {
			struct miss down = best[i];

			best[i] = m;
			m = down;
		}
	}
}

void probe_near_misses(const struct probe_elf *elf, const char *name, char why[PROBE_WHY_MAX])
{
	struct miss best[BEST] = {{0, FAR}, {0, FAR}, {0, FAR}};
	size_t len = strcspn(name, "@");
	char base[NAME_LEN + 1];
	bool first = true;

	if (len > NAME_LEN)
		return;
	memcpy(base, name, len);
	base[len] = 0;
	for (size_t i = 0; i < elf->nfunctions; i++) {
		const struct probe_function *f = &elf->functions[i];
		struct miss m = {name[len] ? probe_function_name(f) : f->name,
				 score(base, len, f->name)};

		if (m.score < FAR)
			keep(best, m);
	}
	for (size_t i = 0; i < BEST && best[i].name; i++) {
		size_t used = strlen(why);

		if (used + strlen(best[i].name) + 20 > PROBE_WHY_MAX)
			break;
		snprintf(why + used, PROBE_WHY_MAX - used, "%s%s", first ? " (did you mean " : ", ",
			 best[i].name);
		first = false;
	}
	if (!first)
		strcat(why, "?)");
}
