/* SPDX-License-Identifier: BSD-2-Clause */
/* Histograms in powers of two, drawn as bars. */
#include <string.h>

#include "cli/maps.h"

#define BAR_WIDTH 52

const char *hist_bound(u32 slot, char buf[16])
{
	static const char units[] = "\0KMGTPE";
	u32 unit = slot / 10;

	if (unit >= sizeof(units) - 1)
		snprintf(buf, 16, "2^%u", slot);
	else
		snprintf(buf, 16, "%llu%.1s", 1ULL << (slot % 10), units + unit);
	return buf;
}

static void print_bar(FILE *stream, u32 slot, u64 count, u64 most)
{
	char lo[16], hi[16], range[40], bar[BAR_WIDTH + 1];
	u32 n = most ? (u32)((long double)count * BAR_WIDTH / most) : 0;

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '@', n);
	bar[BAR_WIDTH] = 0;
	snprintf(range, sizeof(range), "[%s, %s)", slot ? hist_bound(slot, lo) : "0",
		 hist_bound(slot + 1, hi));
	fprintf(stream, "%-16s %10llu |%s|\n", range, (unsigned long long)count, bar);
}

void hist_print(FILE *stream, const char *name, const u64 *slots, u32 n)
{
	u32 first = 0, last = n;
	u64 most = 0;

	while (first < n && !slots[first])
		first++;
	while (last > first && !slots[last - 1])
		last--;
	for (u32 i = first; i < last; i++)
		most = MAX(most, slots[i]);
	fprintf(stream, "@%s:\n", name);
	for (u32 i = first; i < last; i++)
		print_bar(stream, i, slots[i], most);
}
