// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is taken into the cache, and what goes.
 */
#include "t.h"
#include "../../drivers/md/dm-circle/core/policy.h"

#define SETS	64

static u64 ghost[SETS];

static void init(struct circle_policy *p)
{
	circle_policy_init(p, ghost, SETS);
}

TEST(policy, a_read_is_promoted_when_it_comes_back)
{
	struct circle_policy p;

	init(&p);
	CHECK_EQ(circle_policy_read(&p, 7, false, false), CIRCLE_ADMIT_NOT);
	CHECK_EQ(circle_policy_read(&p, 7, false, false), CIRCLE_ADMIT_MAIN);
	CHECK_EQ(circle_policy_read(&p, 7, false, false), CIRCLE_ADMIT_NOT);
}

TEST(policy, room_is_for_anybody)
{
	struct circle_policy p;

	init(&p);
	CHECK_EQ(circle_policy_read(&p, 7, true, true), CIRCLE_ADMIT_SMALL);
	CHECK(!circle_policy_recall(&p, 7));
}

TEST(policy, a_stream_is_not_remembered)
{
	struct circle_policy p;

	init(&p);
	CHECK_EQ(circle_policy_read(&p, 7, true, false), CIRCLE_ADMIT_NOT);
	CHECK_EQ(circle_policy_read(&p, 7, true, false), CIRCLE_ADMIT_NOT);
	circle_policy_remember(&p, 7);
	CHECK_EQ(circle_policy_read(&p, 7, true, false), CIRCLE_ADMIT_MAIN);
}

TEST(policy, writes)
{
	struct circle_policy p;

	init(&p);
	CHECK_EQ(circle_policy_write(&p, 9, false), CIRCLE_ADMIT_SMALL);
	CHECK_EQ(circle_policy_write(&p, 9, false), CIRCLE_ADMIT_SMALL);
	circle_policy_remember(&p, 9);
	CHECK_EQ(circle_policy_write(&p, 9, false), CIRCLE_ADMIT_MAIN);
	/* crowded: at the second time, as a read */
	CHECK_EQ(circle_policy_write(&p, 9, true), CIRCLE_ADMIT_NOT);
	CHECK_EQ(circle_policy_write(&p, 9, true), CIRCLE_ADMIT_MAIN);
	CHECK_EQ(circle_policy_write(&p, 9, true), CIRCLE_ADMIT_NOT);
}

TEST(policy, ghosts_remember_as_many_as_they_have_room_for)
{
	struct circle_policy p;
	u32 b, kept = 0, n = SETS * CIRCLE_GHOSTS;

	init(&p);
	for (b = 0; b < n; b++)
		circle_policy_remember(&p, b);
	for (b = 0; b < n; b++)
		kept += circle_policy_recall(&p, b);
	CHECK(kept > n * 7 / 10);
	for (b = 0; b < n; b++)
		CHECK(!circle_policy_recall(&p, b));
}

/* Blocks that were never seen are taken for known only where tags of 16 bits are the same. */
TEST(policy, ghosts_do_not_make_up_things)
{
	struct circle_policy p;
	u32 b, wrong = 0;

	init(&p);
	for (b = 0; b < SETS * CIRCLE_GHOSTS; b++)
		circle_policy_remember(&p, b);
	for (b = 1000000; b < 1100000; b++)
		wrong += circle_policy_recall(&p, b);
	CHECK(wrong < 30);
}

/* More in one set than it has tags, again and again: some are known when they come back. */
TEST(policy, a_full_set_is_not_useless)
{
	struct circle_policy p;
	u64 one;
	u32 round, b, known = 0;

	circle_policy_init(&p, &one, 1);
	for (round = 0; round < 100; round++)
		for (b = 0; b < 6; b++) {
			known += circle_policy_recall(&p, b);
			circle_policy_remember(&p, b);
		}
	CHECK(known > 100);
}

TEST(policy, contest)
{
	u32 uses = 2;

	CHECK(!circle_policy_wins(&uses));
	CHECK(!circle_policy_wins(&uses));
	CHECK_EQ(uses, 0);
	CHECK(circle_policy_wins(&uses));
	CHECK_EQ(uses, 0);
}

TEST(policy, fates)
{
	u32 uses = 0;

	CHECK_EQ(circle_policy_fate(false, &uses), CIRCLE_FATE_EVICT);
	CHECK_EQ(circle_policy_fate(true, &uses), CIRCLE_FATE_EVICT);
	uses = 3;
	CHECK_EQ(circle_policy_fate(true, &uses), CIRCLE_FATE_AGAIN);
	CHECK_EQ(uses, 2);
	CHECK_EQ(circle_policy_fate(false, &uses), CIRCLE_FATE_MAIN);
	CHECK_EQ(uses, 0);
}

TEST(policy, small_is_a_tenth)
{
	CHECK(!circle_policy_small_first(0, 0));
	CHECK(circle_policy_small_first(1, 0));
	CHECK(circle_policy_small_first(1, 9));
	CHECK(!circle_policy_small_first(1, 10));
	CHECK(!circle_policy_small_first(0, 5));
	CHECK(circle_policy_small_first(0x20000000, 0xd0000000));
}

TEST(policy, streams)
{
	struct circle_policy p;
	u64 s;

	init(&p);
	for (s = 0; s < CIRCLE_STREAM_SECTORS; s += 256)
		CHECK(!circle_policy_sequential(&p, s, 256));
	CHECK(circle_policy_sequential(&p, s, 256));
	CHECK(!circle_policy_sequential(&p, 1 << 20, 8));
	CHECK(circle_policy_sequential(&p, s + 256, 8));
}
