// SPDX-License-Identifier: GPL-2.0-only
/*
 * scan: every way a journal can stand after a crash, and the ways that no crash leaves behind.
 * The ring is a model of verdicts: an entry is absent, or the head of a valid block.
 */
#include "t.h"
#include "scan.h"

#define RING	64

static struct {
	bool there;
	struct circle_jhead h;
} ring[RING];

static struct circle_scan s;

static void clear(void)
{
	memset(ring, 0, sizeof(ring));
}

static void write_block(u64 lsn, u64 commit, u32 blocks)
{
	ring[lsn % RING].there = true;
	ring[lsn % RING].h.lsn = lsn;
	ring[lsn % RING].h.commit = commit;
	ring[lsn % RING].h.commit_blocks = blocks;
}

static u64 write_commit(u64 lsn, u32 blocks)
{
	u32 i;

	for (i = 0; i < blocks; i++)
		write_block(lsn + i, lsn, blocks);
	return lsn + blocks;
}

static void lose(u64 lsn)
{
	ring[lsn % RING].there = false;
}

static int scan(u64 tail)
{
	u64 i;
	int ret;

	circle_scan_init(&s, tail, RING);
	for (i = tail; i < tail + RING; i++) {
		ret = circle_scan_feed(&s, i, ring[i % RING].there ? 0 : -EBADMSG,
				       &ring[i % RING].h);
		if (ret)
			return ret;
	}
	return 0;
}

TEST(scan, empty)
{
	clear();
	CHECK_EQ(scan(1), 0);
	CHECK_EQ(s.end, 1);
	CHECK_EQ(s.max_lsn, 0);
	CHECK_EQ(scan(1000), 0);
	CHECK_EQ(s.end, 1000);
	CHECK_EQ(s.max_lsn, 999);
	CHECK_EQ(scan(0), 0);
	CHECK_EQ(s.end, 0);
}

TEST(scan, some_commits)
{
	u64 end;

	clear();
	end = write_commit(write_commit(write_commit(5, 1), 3), 2);
	CHECK_EQ(scan(5), 0);
	CHECK_EQ(s.end, end);
	CHECK_EQ(s.max_lsn, end - 1);
}

TEST(scan, full_ring_at_every_tail)
{
	u64 tail, lsn;

	for (tail = 1; tail < 3 * RING; tail++) {
		clear();
		for (lsn = tail; lsn < tail + RING; )
			lsn = write_commit(lsn, min_t(u64, 1 + lsn % 5, tail + RING - lsn));
		CHECK_EQ(scan(tail), 0);
		CHECK_EQ(s.end, tail + RING);
		CHECK_EQ(s.max_lsn, tail + RING - 1);
	}
}

TEST(scan, one_commit_fills_the_ring)
{
	clear();
	write_commit(77, RING);
	CHECK_EQ(scan(77), 0);
	CHECK_EQ(s.end, 77 + RING);
}

/* The last commit, of n blocks, has lost any subset of its blocks: it is dropped, no more. */
TEST(scan, torn_commit_every_subset)
{
	u64 tail, start;
	unsigned int n, lost, i;

	for (tail = 100; tail < 100 + RING; tail += 7) {
		for (n = 1; n <= 8; n++) {
			for (lost = 1; lost < 1u << n; lost++) {
				clear();
				start = write_commit(write_commit(tail, 3), 4);
				write_commit(start, n);
				for (i = 0; i < n; i++)
					if (lost >> i & 1)
						lose(start + i);
				CHECK_EQ(scan(tail), 0);
				CHECK_EQ(s.end, start);
				CHECK(s.gap);
				CHECK_EQ(s.gap_commit, start);
				for (i = n; i && (lost >> (i - 1) & 1); i--)
					;
				CHECK_EQ(s.max_lsn, start + i - 1);
			}
		}
	}
}

TEST(scan, only_commit_is_torn)
{
	clear();
	write_commit(9, 3);
	lose(10);
	CHECK_EQ(scan(9), 0);
	CHECK_EQ(s.end, 9);
	CHECK_EQ(s.max_lsn, 11);
}

TEST(scan, torn_across_the_rings_end)
{
	u64 start;

	clear();
	start = write_commit(RING - 4, 2);
	write_commit(start, 5);
	lose(RING);
	CHECK_EQ(scan(RING - 4), 0);
	CHECK_EQ(s.end, start);
}

/* Any block of any commit but the last is lost: refused, whatever else stands. */
TEST(scan, lost_write_in_the_middle)
{
	u64 lsn, end;

	for (lsn = 200; ; lsn++) {
		clear();
		end = write_commit(write_commit(write_commit(200, 3), 1), 4);
		if (lsn >= end)
			break;
		write_commit(end, 2);
		lose(lsn);
		CHECK_EQ(scan(200), -EIO);
	}
}

TEST(scan, lost_write_before_a_torn_commit)
{
	u64 mid, last;

	clear();
	mid = write_commit(300, 2);
	last = write_commit(mid, 2);
	write_commit(last, 3);
	lose(mid);
	lose(last);
	CHECK_EQ(scan(300), -EIO);
}

TEST(scan, whole_commit_lost)
{
	u64 mid, last;

	clear();
	mid = write_commit(300, 2);
	last = write_commit(mid, 2);
	write_commit(last, 1);
	lose(mid);
	lose(mid + 1);
	CHECK_EQ(scan(300), -EIO);
}

TEST(scan, stale_blocks_of_an_earlier_lap)
{
	u64 lsn, tail = 5 * RING + 20, end;

	clear();
	for (lsn = 4 * RING + 20; lsn < tail; )
		lsn = write_commit(lsn, 4);
	end = write_commit(write_commit(tail, 4), 4);
	CHECK_EQ(scan(tail), 0);
	CHECK_EQ(s.end, end);
	CHECK_EQ(s.max_lsn, end - 1);
	/* the same with the last commit torn: the old block stands where the new one should */
	write_block(end - 3 - RING, end - 4 - RING, 4);
	CHECK_EQ(scan(tail), 0);
	CHECK_EQ(s.end, end - 4);
	CHECK_EQ(s.max_lsn, end - 1);
}

TEST(scan, nothing_new_behind_the_tail)
{
	u64 lsn;

	clear();
	for (lsn = RING; lsn < 2 * RING; )
		lsn = write_commit(lsn, 8);
	CHECK_EQ(scan(2 * RING), 0);
	CHECK_EQ(s.end, 2 * RING);
	CHECK_EQ(s.max_lsn, 2 * RING - 1);
}

TEST(scan, after_recovery_lsns_go_on_behind_torn_ones)
{
	u64 next;

	clear();
	write_commit(write_commit(10, 2), 5);
	lose(14);
	CHECK_EQ(scan(10), 0);
	next = s.max_lsn + 1;
	CHECK_EQ(next, 17);
	CHECK_EQ(scan(next), 0);
	CHECK_EQ(s.end, next);
	CHECK_EQ(write_commit(next, 3), 20);
	CHECK_EQ(scan(next), 0);
	CHECK_EQ(s.end, 20);
}

TEST(scan, later_lap_than_the_tail_allows)
{
	clear();
	write_commit(10, 2);
	write_block(12 + RING, 12 + RING, 1);
	CHECK_EQ(scan(10), -EIO);
}

TEST(scan, misplaced_block)
{
	clear();
	write_commit(10, 2);
	ring[12] = ring[11];
	CHECK_EQ(scan(10), -EIO);
	clear();
	write_commit(10, 4);
	ring[20] = ring[12];
	CHECK_EQ(scan(10), -EIO);
}

TEST(scan, block_of_another_commit_within_a_commit)
{
	clear();
	write_commit(10, 4);
	write_block(12, 12, 2);
	CHECK_EQ(scan(10), -EIO);
	write_block(12, 10, 3);
	CHECK_EQ(scan(10), -EIO);
	clear();
	write_commit(10, 2);
	write_block(12, 11, 3);
	CHECK_EQ(scan(10), -EIO);
}

TEST(scan, commit_longer_than_the_ring)
{
	clear();
	write_block(10, 10, RING + 1);
	CHECK_EQ(scan(10), -EIO);
}

TEST(scan, tail_within_a_commit)
{
	clear();
	CHECK_EQ(write_commit(10, 4), 14);
	write_commit(14, 2);
	lose(10);
	CHECK_EQ(scan(12), 0);
	CHECK_EQ(s.end, 16);
	lose(13);
	CHECK_EQ(scan(12), -EIO);
	write_block(13, 10, 4);
	lose(12);
	CHECK_EQ(scan(12), -EIO);
}

TEST(scan, tail_within_the_last_commit_and_it_is_torn)
{
	clear();
	write_commit(10, 4);
	lose(13);
	CHECK_EQ(scan(12), -EIO);
	write_block(13, 10, 4);
	CHECK_EQ(scan(12), 0);
	CHECK_EQ(s.end, 14);
	CHECK_EQ(s.max_lsn, 13);
}

TEST(scan, fed_out_of_order)
{
	struct circle_jhead h = { .lsn = 6, .commit = 6, .commit_blocks = 1 };

	circle_scan_init(&s, 5, RING);
	CHECK_EQ(circle_scan_feed(&s, 6, 0, &h), -EINVAL);
	h.lsn = 5;
	h.commit = 5;
	CHECK_EQ(circle_scan_feed(&s, 5, 0, &h), 0);
	CHECK_EQ(circle_scan_feed(&s, 5, 0, &h), -EINVAL);
}

TEST(scan, fed_beyond_the_ring)
{
	clear();
	CHECK_EQ(scan(5), 0);
	CHECK_EQ(circle_scan_feed(&s, 5 + RING, -EBADMSG, &ring[0].h), -EINVAL);
}

/*
 * A random writer: commits, tails that follow, a crash in the midst of a commit; then the scan
 * must end exactly behind the last commit that was complete.
 */
TEST(scan, random_crashes)
{
	u64 seed = 1, round, tail, next, done, i;
	u32 n;

	for (round = 0; round < 3000; round++) {
		clear();
		tail = next = done = 1 + t_random(&seed) % 200;
		for (i = t_random(&seed) % 60; i; i--) {
			n = 1 + t_random(&seed) % 9;
			while (next + n > tail + RING)
				tail = ring[tail % RING].h.commit + ring[tail % RING].h.commit_blocks;
			next = write_commit(next, n);
			done = next;
		}
		n = 1 + t_random(&seed) % 9;
		if (next + n <= tail + RING) {
			for (i = 0; i < n; i++)
				if (t_random(&seed) & 1)
					write_block(next + i, next, n);
				else if (t_random(&seed) & 1)
					lose(next + i);
			for (i = 0; i < n; i++)
				if (!ring[(next + i) % RING].there ||
				    ring[(next + i) % RING].h.lsn != next + i)
					break;
			if (i == n)
				done = next + n;
		}
		CHECK_EQ(scan(tail), 0);
		CHECK_EQ(s.end, done);
	}
}
