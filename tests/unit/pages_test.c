// SPDX-License-Identifier: GPL-2.0-only
/*
 * pages: every function against a plain reading of its definition, sector by sector.
 */
#include "t.h"
#include "pages.h"

static const u32 kib[] = { 4, 12, 64, 256, 260, 1024, 1048576 };

static u64 slow_touched(const struct circle_geom *g, u32 start, u32 n)
{
	u64 mask = 0, p, from, to;

	for (p = 0; p < g->nr_pages; p++) {
		from = p * g->page_sectors;
		to = from + g->page_sectors;
		if (start < to && (u64)start + n > from)
			mask |= 1ULL << p;
	}
	return mask;
}

static u64 slow_whole(const struct circle_geom *g, u32 start, u32 n, u32 limit)
{
	u64 mask = 0, p, from, to;

	for (p = 0; p < g->nr_pages; p++) {
		from = p * g->page_sectors;
		to = min_t(u64, from + g->page_sectors, min(limit, g->block_sectors));
		if (from < to && start <= from && (u64)start + n >= to)
			mask |= 1ULL << p;
	}
	return mask;
}

static u32 slow_run(const struct circle_geom *g, u64 mask, u32 start, u32 end, bool *set)
{
	u32 s;

	*set = mask >> (start / g->page_sectors) & 1;
	for (s = start; s < end; s++)
		if ((mask >> (s / g->page_sectors) & 1) != *set)
			return s;
	return end;
}

/* Sectors worth trying: around the page boundaries; all of them in a small block. */
static u32 next_try(const struct circle_geom *g, u32 s)
{
	u32 in = s & (g->page_sectors - 1);

	if (g->page_sectors <= 16 && g->block_sectors <= 128)
		return s + 1;
	if (in == 0 || in == g->page_sectors - 1)
		return s + 1;
	if (in == 1)
		return s + g->page_sectors / 2 - 1;
	return s - in + g->page_sectors - 1;
}

TEST(pages, geometry)
{
	static const struct {
		u32 page, shift, nr;
	} want[] = {
		{ 8, 3, 1 }, { 8, 3, 3 }, { 8, 3, 16 }, { 8, 3, 64 }, { 16, 4, 33 }, { 32, 5, 64 },
		{ 32768, 15, 64 },
	};
	struct circle_geom g;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kib); i++) {
		circle_geom_init(&g, kib[i] * 2);
		CHECK_EQ(g.block_sectors, kib[i] * 2);
		CHECK_EQ(g.page_sectors, want[i].page);
		CHECK_EQ(g.page_shift, want[i].shift);
		CHECK_EQ(g.nr_pages, want[i].nr);
		CHECK_EQ(g.all, want[i].nr == 64 ? ~0ULL : (1ULL << want[i].nr) - 1);
	}
}

TEST(pages, geometry_of_every_block_size)
{
	struct circle_geom g;
	u32 n;

	for (n = 8; n <= 2097152; n += 8) {
		circle_geom_init(&g, n);
		if (g.nr_pages < 1 || g.nr_pages > 64 || g.page_sectors != 1u << g.page_shift ||
		    (u64)g.nr_pages * g.page_sectors < n ||
		    (u64)(g.nr_pages - 1) * g.page_sectors >= n)
			CHECK_EQ(n, 0);
	}
}

static void check_ranges(u32 block_kib)
{
	struct circle_geom g;
	u32 start, end, limit;

	circle_geom_init(&g, block_kib * 2);
	for (start = 0; start < g.block_sectors; start = next_try(&g, start)) {
		for (end = start + 1; end <= g.block_sectors; end = next_try(&g, end)) {
			CHECK_EQ(circle_pages_touched(&g, start, end - start),
				 slow_touched(&g, start, end - start));
			CHECK_EQ(circle_pages_whole(&g, start, end - start, g.block_sectors),
				 slow_whole(&g, start, end - start, g.block_sectors));
			limit = end;
			CHECK_EQ(circle_pages_whole(&g, start, end - start, limit),
				 slow_whole(&g, start, end - start, limit));
		}
	}
}

TEST(pages, ranges_4k)		{ check_ranges(4); }
TEST(pages, ranges_12k)		{ check_ranges(12); }
TEST(pages, ranges_64k)		{ check_ranges(64); }
TEST(pages, ranges_256k)	{ check_ranges(256); }
TEST(pages, ranges_260k)	{ check_ranges(260); }
TEST(pages, ranges_1m)		{ check_ranges(1024); }
TEST(pages, ranges_1g)		{ check_ranges(1048576); }

/* The origin ends within the block, at any sector. */
TEST(pages, short_last_block)
{
	static const u32 sizes[] = { 4, 12, 64 };
	u32 start, n, limit;
	struct circle_geom g;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		circle_geom_init(&g, sizes[i] * 2);
		for (limit = 1; limit <= g.block_sectors; limit++)
			for (start = 0; start < limit; start++)
				for (n = 1; start + n <= limit; n++)
					CHECK_EQ(circle_pages_whole(&g, start, n, limit),
						 slow_whole(&g, start, n, limit));
	}
}

TEST(pages, short_last_page_of_a_260k_block)
{
	struct circle_geom g;

	circle_geom_init(&g, 520);
	CHECK_EQ(circle_pages_whole(&g, 512, 8, 520), 1ULL << 32);
	CHECK_EQ(circle_pages_whole(&g, 512, 7, 520), 0);
	CHECK_EQ(circle_pages_whole(&g, 512, 7, 519), 1ULL << 32);
	CHECK_EQ(circle_pages_touched(&g, 519, 1), 1ULL << 32);
	CHECK_EQ(circle_pages_whole(&g, 0, 520, 520), g.all);
}

TEST(pages, outside_of_the_block_is_nothing)
{
	struct circle_geom g;

	circle_geom_init(&g, 24);
	CHECK_EQ(circle_pages_touched(&g, 0, 0), 0);
	CHECK_EQ(circle_pages_touched(&g, 24, 8), 0);
	CHECK_EQ(circle_pages_touched(&g, 16, U32_MAX), 4);
	CHECK_EQ(circle_pages_whole(&g, 0, 0, 24), 0);
	CHECK_EQ(circle_pages_whole(&g, 24, 8, 24), 0);
	CHECK_EQ(circle_pages_whole(&g, 0, U32_MAX, U32_MAX), 7);
	CHECK_EQ(circle_pages_whole(&g, 0, 24, 0), 0);
	CHECK_EQ(circle_pages_touched(&g, 8, 0), 0);
	CHECK_EQ(circle_pages_whole(&g, 8, 0, 24), 0);
	CHECK_EQ(circle_pages_whole(&g, 12, 1, 12), 0);
	circle_geom_init(&g, 520);
	CHECK_EQ(circle_pages_touched(&g, 520, 8), 0);
	CHECK_EQ(circle_pages_whole(&g, 519, 8, 519), 0);
}

static void check_runs(const struct circle_geom *g, u64 mask)
{
	u32 start, end, is, want;
	bool set, set2;

	for (start = 0; start < g->block_sectors; start = next_try(g, start)) {
		for (end = start + 1; end <= g->block_sectors; end = next_try(g, end)) {
			is = circle_pages_run(g, mask, start, end, &set);
			want = slow_run(g, mask, start, end, &set2);
			CHECK_EQ(is, want);
			CHECK_EQ(set, set2);
		}
	}
}

TEST(pages, runs_every_mask_of_small_blocks)
{
	struct circle_geom g;
	u64 mask;

	circle_geom_init(&g, 8);
	for (mask = 0; mask < 2; mask++)
		check_runs(&g, mask);
	circle_geom_init(&g, 24);
	for (mask = 0; mask < 8; mask++)
		check_runs(&g, mask);
}

TEST(pages, runs_random_masks)
{
	static const u32 sizes[] = { 128, 512, 520, 2048 };
	u64 seed = 3, mask;
	struct circle_geom g;
	unsigned int i, k, n;
	u32 start, end;
	bool set, set2;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		circle_geom_init(&g, sizes[i]);
		for (k = 0; k < 20000; k++) {
			mask = t_random(&seed);
			for (n = t_random(&seed) % 3; n; n--)
				mask &= t_random(&seed);
			if (k % 4 == 0)
				mask = ~mask;
			mask &= g.all;
			start = t_random(&seed) % sizes[i];
			end = start + 1 + t_random(&seed) % (sizes[i] - start);
			CHECK_EQ(circle_pages_run(&g, mask, start, end, &set),
				 slow_run(&g, mask, start, end, &set2));
			CHECK_EQ(set, set2);
		}
	}
}

TEST(pages, runs_cover_a_range_once)
{
	struct circle_geom g;
	u64 seed = 5, mask, got;
	u32 at, next;
	bool set;
	int k;

	circle_geom_init(&g, 2097152);
	for (k = 0; k < 1000; k++) {
		mask = t_random(&seed) & t_random(&seed);
		got = 0;
		for (at = 0; at < g.block_sectors; at = next) {
			next = circle_pages_run(&g, mask, at, g.block_sectors, &set);
			MUST(next > at);
			if (set)
				got |= circle_pages_whole(&g, at, next - at, g.block_sectors);
		}
		CHECK_EQ(got, mask);
	}
}
