/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection: what comes unasked while an answer is waited for is kept, or counted. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "fake.h"
#include "surface/surface.h"

TestSuite(conn, .init = fake_start, .fini = fake_stop, .timeout = 20);

struct heard {
	u32 frames, lines, lost;
};

/* Everything that waits, until there is nothing. */
static struct heard hear(void)
{
	struct heard h = {0};

	for (;;) {
		_cleanup_frame_ struct frame f = FRAME_INIT;
		struct msg_log_line line;

		if (surface_next_event(0, &f))
			return h;
		cr_assert_eq(f.hdr.type, MSG_LOG_LINES);
		cr_assert_geq(f.len, sizeof(line));
		memcpy(&line, f.body, sizeof(line));
		h.frames++;
		h.lines += !!line.len;
		h.lost += line.lost;
	}
}

static void answer_after(u32 lines)
{
	fake->chatter = lines;
	fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
}

Test(conn, lines_that_come_before_an_answer_are_kept)
{
	struct heard h;

	answer_after(0);
	answer_after(100);
	h = hear();
	cr_assert_eq(h.lines, 100);
	cr_assert_eq(h.lost, 200);
}

Test(conn, lines_for_which_there_is_no_room_are_counted)
{
	struct heard h;

	answer_after(0);
	answer_after(20000);
	h = hear();
	cr_assert_lt(h.lines, 20000, "more than anybody wants to keep");
	cr_assert_eq(h.lines + h.lost, 3 * 20000);
	h = hear();
	cr_assert_eq(h.frames, 0, "told once");
}
