// SPDX-License-Identifier: GPL-2.0-only
/*
 * pages: arithmetic between sectors of one block and masks of its 1..64 pages. It knows nothing of
 * slots, requests or devices, and must never name a page that the block does not have.
 */
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/minmax.h>

#include "disk.h"
#include "pages.h"

void circle_geom_init(struct circle_geom *g, u32 block_sectors)
{
	g->block_sectors = block_sectors;
	g->page_sectors = circle_page_sectors(block_sectors);
	g->page_shift = 0;
	while ((1u << g->page_shift) < g->page_sectors)
		g->page_shift++;
	g->nr_pages = ((u64)block_sectors + g->page_sectors - 1) >> g->page_shift;
	g->all = circle_pages_mask(0, g->nr_pages);
}

u64 circle_pages_whole(const struct circle_geom *g, u32 start, u32 n, u32 limit)
{
	u64 end = (u64)start + n;
	u32 first, behind;

	limit = min(limit, g->block_sectors);
	if (!n || start >= limit)
		return 0;
	first = ((u64)start + g->page_sectors - 1) >> g->page_shift;
	if (end >= limit)
		behind = ((u64)limit + g->page_sectors - 1) >> g->page_shift;
	else
		behind = end >> g->page_shift;
	return circle_pages_mask(first, behind);
}

u32 circle_pages_run(const struct circle_geom *g, u64 mask, u32 start, u32 end, bool *set)
{
	u32 page = start >> g->page_shift;
	u64 at;

	*set = page < CIRCLE_MAX_PAGES && (mask >> page & 1);
	for (page++; page < g->nr_pages; page++) {
		at = (u64)page << g->page_shift;
		if (at >= end)
			return end;
		if ((mask >> page & 1) != *set)
			return at;
	}
	return end;
}
