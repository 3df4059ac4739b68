// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decisions of core/: who shall hold a block, what a recovery may claim, which copy wins.
 */
#include "t.h"
#include "../../drivers/md/dm-circle/core/place.h"
#include "../../drivers/md/dm-circle/core/recover.h"

static const u8 dom[4][CIRCLE_DOMAIN_SIZE] = { "own", "a", "b", "c" };

static void fill(struct circle_cand *c, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		c[i] = (struct circle_cand){ true, 10, dom[1 + i % 3] };
}

TEST(place, rotates)
{
	struct circle_cand c[3];

	fill(c, 3);
	CHECK_EQ(circle_place_choose(c, 3, 1, dom[0], 0), 1);
	CHECK_EQ(circle_place_choose(c, 3, 1, dom[0], 1), 2);
	CHECK_EQ(circle_place_choose(c, 3, 1, dom[0], 5), 4);
	CHECK_EQ(circle_place_choose(c, 3, 2, dom[0], 2), 5);
	CHECK_EQ(circle_place_choose(c, 3, 3, dom[0], 1), 7);
}

TEST(place, too_few_is_none)
{
	struct circle_cand c[3];

	fill(c, 3);
	CHECK_EQ(circle_place_choose(c, 0, 1, dom[0], 0), 0);
	CHECK_EQ(circle_place_choose(c, 2, 3, dom[0], 0), 0);
	c[1].able = false;
	c[2].space = 0;
	CHECK_EQ(circle_place_choose(c, 3, 1, dom[0], 1), 1);
	CHECK_EQ(circle_place_choose(c, 3, 2, dom[0], 1), 0);
}

TEST(place, never_two_in_a_domain)
{
	struct circle_cand c[6];
	u32 got;

	fill(c, 6);
	got = circle_place_choose(c, 6, 3, dom[0], 4);
	CHECK_EQ(__builtin_popcount(got), 3);
	CHECK(!((got & 1) && (got & 8)));
	CHECK(!((got & 2) && (got & 16)));
	CHECK_EQ(circle_place_choose(c, 6, 4, dom[0], 0), 0);
}

TEST(place, own_domain_last)
{
	struct circle_cand c[2];

	fill(c, 2);
	c[0].domain = dom[0];
	CHECK_EQ(circle_place_choose(c, 2, 1, dom[0], 0), 2);
	c[1].able = false;
	CHECK_EQ(circle_place_choose(c, 2, 1, dom[0], 0), 1);
}

TEST(place, one_more_holder)
{
	struct circle_cand c[6];

	fill(c, 6);
	CHECK_EQ(circle_place_add(c, 3, 1, dom[0], 0), 2);
	fill(c, 6);	/* 3 is in the domain of 0, 4 in that of 1 */
	CHECK_EQ(circle_place_add(c, 6, 1 | 2, dom[0], 3), 1 << 5);
	fill(c, 6);
	CHECK_EQ(circle_place_add(c, 6, 1 | 2 | 4, dom[0], 0), 0);
	fill(c, 6);
	CHECK_EQ(circle_place_add(c, 6, 0, dom[0], 4), 1 << 4);
	fill(c, 3);
	c[1].space = 0;
	CHECK_EQ(circle_place_add(c, 3, 1, dom[0], 0), 4);
	fill(c, 3);	/* a holder in our own domain is a holder */
	c[0].domain = dom[0];
	CHECK_EQ(circle_place_add(c, 3, 2, dom[0], 0), 4);
	fill(c, 2);
	c[0].domain = dom[0];
	CHECK_EQ(circle_place_add(c, 2, 2, dom[0], 0), 1);
}

TEST(recover, verdicts)
{
	static const struct {
		struct circle_evidence e;
		enum circle_verdict want;
	} t[] = {
		{ { .empty = true }, CIRCLE_COMPLETE },
		{ { .floor = 1 }, CIRCLE_COMPLETE },
		{ { .floor = 1, .unreachable = 1 }, CIRCLE_REFUSED },
		{ { .floor = 1, .unreachable = 1, .ssd = true }, CIRCLE_WEAK },
		{ { .floor = 1, .restarted = 1 }, CIRCLE_WEAK },
		{ { .floor = 2, .restarted = 1 }, CIRCLE_COMPLETE },
		{ { .floor = 2, .unreachable = 1 }, CIRCLE_COMPLETE },
		{ { .floor = 2, .unreachable = 1, .restarted = 1 }, CIRCLE_WEAK },
		{ { .floor = 2, .unreachable = 2 }, CIRCLE_REFUSED },
		{ { .floor = 2, .weak = true }, CIRCLE_WEAK },	/* begun weak stays weak */
		{ { .floor = 0 }, CIRCLE_REFUSED },
		{ { .floor = 0, .ssd = true }, CIRCLE_WEAK },
		{ { .floor = 2, .lost = true }, CIRCLE_REFUSED },
		{ { .empty = true, .lost = true }, CIRCLE_REFUSED },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK_EQ(circle_recover_judge(&t[i].e), t[i].want);
}

TEST(recover, instances)
{
	CHECK_EQ(circle_instance(0x12345678, 0x9abcdef0), 0x123456789abcdef0);
	CHECK_EQ(circle_same_store(0x123456789abcdef0, 0x1234567800000000), true);
	CHECK_EQ(circle_same_store(0x123456789abcdef0, 0x123456799abcdef0), false);
}

TEST(recover, the_best_copy_comes_first)
{
	struct circle_copy lo = { .block = 1, .gen = 1, .seq = 9, .from = 1, .believed = 1 };
	struct circle_copy hi = { .block = 1, .gen = 2, .seq = 1, .from = 2, .believed = 1 };
	struct circle_copy ssd = { .block = 1, .gen = 2, .seq = 1, .from = CIRCLE_FROM_SSD,
				   .believed = 1 };
	struct circle_copy lie = { .block = 1, .gen = 9, .seq = 9, .from = 0, .believed = 0 };
	struct circle_copy next = { .block = 2, .gen = 9, .seq = 9, .believed = 1 };

	CHECK(circle_copy_order(&hi, &lo) < 0);
	CHECK(circle_copy_order(&lo, &hi) > 0);
	CHECK(circle_copy_order(&hi, &ssd) < 0);
	CHECK(circle_copy_order(&lo, &lie) < 0);
	CHECK(circle_copy_order(&lie, &next) < 0);
	CHECK_EQ(circle_copy_order(&hi, &hi), 0);
}
