/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pages: masks of the 1..64 pages of a block. Pure.
 */
#ifndef CIRCLE_CORE_PAGES_H
#define CIRCLE_CORE_PAGES_H

#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include "disk.h"

struct circle_geom {
	u32 block_sectors;
	u32 page_sectors;	/* a power of two, at least 8 */
	u32 page_shift;		/* log2(page_sectors) */
	u32 nr_pages;		/* of a block; the last one may be short */
	u64 all;		/* mask of them */
};

void circle_geom_init(struct circle_geom *g, u32 block_sectors);

/* Bits first .. end - 1; end <= 64. */
static inline u64 circle_pages_mask(u32 first, u32 end)
{
	u64 below;

	if (first >= end)
		return 0;
	below = end >= CIRCLE_MAX_PAGES ? ~0ULL : BIT_ULL(end) - 1;
	return below & (~0ULL << first);
}

/* Pages that sectors [start, start + n) of a block touch; what is not within the block does not
 * count.
 */
static inline u64 circle_pages_touched(const struct circle_geom *g, u32 start, u32 n)
{
	u64 end = (u64)start + n;

	if (!n || start >= g->block_sectors)
		return 0;
	end = min_t(u64, end, g->block_sectors);
	return circle_pages_mask(start >> g->page_shift, ((end - 1) >> g->page_shift) + 1);
}

/* Pages that lie wholly within; limit is the number of sectors of this block that exist (the
 * origin's last block may be short): a page cut off by it counts as whole.
 */
u64 circle_pages_whole(const struct circle_geom *g, u32 start, u32 n, u32 limit);

/* First run of equal bits of mask within [start, end) sectors: returns the run's end in sectors
 * (at most end) and in *set whether its pages are in the mask.
 */
u32 circle_pages_run(const struct circle_geom *g, u64 mask, u32 start, u32 end, bool *set);

#endif
