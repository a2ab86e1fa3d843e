// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compresses with one release of zlib, built with that one's own deflate.h: for each line on standard input it says what the
 * stream's state is, as releases.bpf.c should find it, then calls deflate() once; "q" ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deflate.h"

int main(void)
{
	static Bytef in[40000], out[80000];
	z_stream z = {0};
	char line[64];
	uint32_t x = 1;

	if (deflateInit(&z, 5) != Z_OK)
		return 1;
	printf("ready %d %s\n", (int)getpid(), zlibVersion());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && line[0] != 'q') {
		const deflate_state *s = (const deflate_state *)z.state;

		for (size_t i = 0; i < sizeof(in); i++) {
			x = x * 1103515245 + 12345;
			in[i] = "abcdefgh"[x >> 29];
		}
		z.next_in = in;
		z.avail_in = sizeof(in) - x % 1000;
		z.next_out = out;
		z.avail_out = sizeof(out);
		printf("{ \"total_in\": %lu, \"high_water\": %lu, \"strstart\": %u, \"sym_next\": %u, \"matches\": %u, "
		       "\"insert\": %u, \"level\": %d, \"bi_valid\": %d }\n",
		       z.total_in, (unsigned long)s->high_water, s->strstart, s->sym_next, s->matches, s->insert, s->level,
		       s->bi_valid);
		fflush(stdout);
		if (deflate(&z, Z_NO_FLUSH) != Z_OK)
			return 2;
	}
	deflateEnd(&z);
	return 0;
}
