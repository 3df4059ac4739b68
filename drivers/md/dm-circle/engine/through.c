// SPDX-License-Identifier: GPL-2.0-only
/*
 * through: a write that goes to the origin before it completes (P4): no slot is free, the mode
 * asks for it, or the cache or its metadata failed. The order is R4's: what else is dirty in a
 * page touched in part is written back first; origin write; origin FLUSH if an older dirty version
 * is cached; every cached copy unmarked, durably; then the write completes. It must never leave a
 * copy behind that could be believed later.
 */
#include <linux/device-mapper.h>
#include "io.h"

static void unmarked(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err)
		io->status = BLK_STS_IOERR;
	circle_io_end(io);
}

static void unmark(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	struct circle_slot *sl = &s->slot[io->slot];
	unsigned long flags;

	if (io->status) {		/* the FLUSH failed: the older version stays dirty */
		circle_io_end(io);
		return;
	}
	spin_lock_irqsave(&sh->lock, flags);
	__circle_slot_set(s, sh, io->slot, sl->valid & ~io->touched, sl->dirty & ~io->touched);
	spin_unlock_irqrestore(&sh->lock, flags);
	io->waiter.flush = false;
	io->waiter.done = unmarked;
	circle_commit_wait(io->node, &io->waiter);
}

/* Process context: the origin has the data. */
static void at_origin(struct circle_io *io)
{
	struct circle_slot *sl = &io->node->slots->slot[io->slot];

	atomic_set(&io->pending, 1);
	io->step = unmark;
	if (READ_ONCE(sl->dirty) & io->touched)
		circle_io_flush_origin(io);
	circle_io_part_done(io);
}

/* Any context. */
static void written(struct circle_io *io)
{
	struct circle_node *node = io->node;

	circle_origin_wrote(node);
	circle_stat_add(node->stats, CIRCLE_STAT_THROUGH, 1);
	if (io->status || io->slot == CIRCLE_NO_SLOT ||
	    !(READ_ONCE(node->slots->slot[io->slot].valid) & io->touched))
		circle_io_end(io);
	else
		circle_io_queue(io, at_origin);
}

static void write_origin(struct circle_io *io)
{
	if (io->status) {		/* a part of a page could not be saved */
		circle_io_end(io);
		return;
	}
	circle_io_submit(io, io->node->origin, circle_block_sector(io->node, io->block, io->start),
			 written);
}

/* Dirty pages that the write touches in part go to the origin whole, before it. */
static void save_parts(struct circle_io *io, u64 parts)
{
	const struct circle_geom *g = &io->node->geom;
	u32 limit = circle_block_limit(io->node, io->block), page, start;

	atomic_set(&io->pending, 1);
	io->step = write_origin;
	for (page = 0; page < g->nr_pages; page++) {
		start = page << g->page_shift;
		if (parts >> page & 1)
			circle_io_copy(io, true, start, min(start + g->page_sectors, limit));
	}
	circle_io_part_done(io);
}

void circle_through_step(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	u64 parts = 0;

	spin_lock_irqsave(&sh->lock, flags);
	io->slot = __circle_slot_find(s, sh, 0, io->block);
	if (io->slot != CIRCLE_NO_SLOT) {
		struct circle_slot *sl = &s->slot[io->slot];

		parts = io->touched & ~io->whole & sl->dirty;
		if (parts && (sl->flags & CIRCLE_SLOT_LOST))
			io->status = BLK_STS_IOERR;
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	if (parts && !io->status)
		save_parts(io, parts);
	else
		write_origin(io);
}
