/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target with thousands of links: what an exchange looks at are those it is about, however many
 * are attached already; nor is what one has counted looked for among all.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "daemon/exchange.h"

#define MANY 4000u

/* main.c's */
void daemon_check_idle(struct daemon *daemon)
{
}

void daemon_leave(struct daemon *daemon)
{
}

static struct daemon d;
static struct target t;
static struct ebpf_link_obj links[MANY];
static struct attach attaches[MANY];
static struct tlink *tls[MANY];

static void setup(void)
{
	list_init(&d.waiting);
	list_init(&d.clients);
	list_init(&d.gone_tallies);
	t.d = &d;
	t.gone = true; /* nobody is to be told anything */
	list_init(&t.links);
	list_init(&t.open);
	for (u32 i = 0; i < MANY; i++) {
		links[i].obj.id = 1000 + i;
		links[i].nsites = 1;
		links[i].is_ret = i % 2;
		attaches[i] = (struct attach){.d = &d, .l = &links[i]};
		list_init(&attaches[i].tlinks);
		list_init(&attaches[i].in_waiting);
		tls[i] = tlink_new(&t, &attaches[i]);
		cr_assert(tls[i]);
	}
}

TestSuite(links, .init = setup);

static u32 count(bool all)
{
	u32 n = 0;

	for (struct tlink *tl = tlink_next(&t, NULL, all); tl; tl = tlink_next(&t, tl, all))
		n++;
	return n;
}

Test(links, only_what_is_to_be_done_is_looked_at)
{
	cr_assert_eq(count(false), MANY);
	for (u32 i = 0; i < MANY; i++) {
		tlink_become(tls[i], TLINK_FLYING);
		tlink_become(tls[i], i % 3 ? TLINK_DONE : TLINK_PENDING);
		cr_assert_eq(count(false) + i + 1, MANY);
		if (i == 100)
			break;
	}
	for (u32 i = 0; i < MANY; i++)
		tlink_become(tls[i], TLINK_DONE);
	cr_assert_eq(count(false), 0);
	cr_assert_eq(count(true), MANY);
	cr_assert_not(target_has_work(&t));

	tlink_update(tls[7], true);
	tlink_become(tls[9], TLINK_WANT);
	cr_assert_eq(count(false), 2);
	tlink_become(tls[7], TLINK_FLYING);
	tlink_update(tls[7], false);
	cr_assert_eq(count(false), 2, "still in the air");
	tlink_free(tls[9]);
	tlink_become(tls[7], TLINK_FAILED);
	cr_assert_eq(count(false), 0);
	cr_assert_eq(count(true), MANY - 1);
	cr_assert_eq(t.nreturns, MANY / 2 - 1);
}

/* An agent's answers come in the order in which the links were sent: each is the next one. */
Test(links, the_one_that_an_answer_is_about_is_the_next_one)
{
	for (u32 i = 0; i < MANY; i++) {
		cr_assert_eq(deliver_find(&t, 1000 + i), tls[i]);
		cr_assert_eq(t.next_open, i + 1 < MANY ? tls[i + 1] : NULL);
	}
	cr_assert_eq(deliver_find(&t, 1000), tls[0]);
	cr_assert_null(deliver_find(&t, 999));
	cr_assert_eq(deliver_find(&t, 1000 + MANY - 1), tls[MANY - 1], "from anywhere");
	cr_assert_eq(deliver_find(&t, 1005), tls[5]);
	tlink_free(tls[6]);
	cr_assert_eq(deliver_find(&t, 1007), tls[7], "the next one has gone");
	for (u32 i = 0; i < MANY; i++)
		if (i != 6)
			tlink_become(tls[i], TLINK_DONE);
	cr_assert_null(deliver_find(&t, 1001));
	cr_assert_null(t.next_open);
}

#define TALLIES 10000u

static u32 longest_chain(void)
{
	u32 most = 0;

	for (u32 i = 0; i < DAEMON_TALLY_CHAINS; i++) {
		u32 n = 0;

		for (struct tally *y = d.tally_chains[i]; y; y = y->next)
			n++;
		most = MAX(most, n);
	}
	return most;
}

Test(links, what_one_has_counted_is_found_at_once)
{
	static struct ebpf_prog_obj prog;
	struct client client = {.session = 1, .hello = true};
	struct ebpf_link_obj l = {.prog = &prog, .session = 1};

	list_add_tail(&client.node, &d.clients);
	for (l.obj.id = 1; l.obj.id <= TALLIES; l.obj.id++)
		tally_new(&d, &l);
	cr_assert_eq(d.ntallies, TALLIES, "none of a link that is there is given up");
	cr_expect_leq(longest_chain(), 16);
	for (u32 id = 1; id <= TALLIES; id++)
		cr_assert_eq(tally_find(&d, id)->link, id);
	cr_assert_null(tally_find(&d, TALLIES + 1));

	/* there are too many: the one whose link went first makes room */
	tally_link_gone(&d, 700);
	tally_link_gone(&d, 5);
	cr_assert(tally_find(&d, 700)->gone, "its client may ask for it");
	tally_new(&d, &l);
	cr_assert_null(tally_find(&d, 700));
	cr_assert(tally_find(&d, 5)->gone);
	cr_assert_eq(d.ntallies, TALLIES);
	tally_session_gone(&d, 2);
	cr_assert(tally_find(&d, 5), "it is another client's");
	tally_session_gone(&d, 1);
	cr_assert_null(tally_find(&d, 5));
	cr_assert(list_empty(&d.gone_tallies));
	cr_assert_eq(d.ntallies, TALLIES - 1);

	/* nobody could ask for it any more */
	list_del_init(&client.node);
	tally_link_gone(&d, 6);
	cr_assert_null(tally_find(&d, 6));
}
