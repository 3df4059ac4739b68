// SPDX-License-Identifier: GPL-2.0-only
/*
 * discard: of whole pages only; what a discard covers in part is left alone. Clean copies are
 * dropped durably, then the origin is told. Dirty pages are kept, and written back again if they
 * were: a discard is advice, which an origin may ignore or lose, and what it then shows must not be
 * older than what was dirty here. A block that holders have is left alone: what they hold of it
 * would come back in a recovery. It must never drop the only copy of anything.
 */
#include <linux/device-mapper.h>
#include "degrade.h"
#include "io.h"
#include "origin.h"
#include "replicate.h"

static bool passes_down(const struct circle_node *node)
{
	return !node->conf.no_discard_passdown && bdev_max_discard_sectors(node->origin);
}

static bool passed(struct circle_io *io)
{
	circle_origin_wrote(io->node);
	circle_origin_answered(io->node, io->status && io->status != BLK_STS_NOTSUPP);
	circle_origin_refused(io->node, REQ_OP_DISCARD, io->status);
	return true;
}

static void pass_down(struct circle_io *io)
{
	const struct circle_geom *g = &io->node->geom;
	u32 first = max_t(u32, io->start, __ffs64(io->whole) << g->page_shift);
	u32 end = min_t(u32, io->start + io->len, fls64(io->whole) << g->page_shift);

	if (io->status || !passes_down(io->node)) {
		circle_io_end(io);
		return;
	}
	if (!circle_lease_wait(io, pass_down))
		return;
	io->iter.bi_size = (end - first) << SECTOR_SHIFT;
	circle_io_submit(io, io->node->origin, circle_block_sector(io->node, io->block, first),
			 passed);
}

static void dropped(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err && !io->node->circle && circle_voiding(io->node))
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	circle_io_part_done(io);
}

/* A write of the block may be under way to holders, or a release. */
static bool held(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	bool yes;
	u32 n;

	spin_lock_irqsave(&sh->lock, flags);
	n = __circle_slot_find(s, sh, 0, io->block);
	yes = n != CIRCLE_NO_SLOT && s->slot[n].holders;
	spin_unlock_irqrestore(&sh->lock, flags);
	return yes;
}

/* The clean ones. Returns whether the journal has to hear of it first. */
static bool drop_pages(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	u64 gone = 0;
	u32 n;

	spin_lock_irqsave(&sh->lock, flags);
	n = __circle_slot_find(s, sh, 0, io->block);
	io->slot = n;
	if (n != CIRCLE_NO_SLOT) {
		u64 valid = circle_slot_valid(s, n), dirty = circle_slot_dirty(s, n);

		gone = io->whole & valid & ~dirty;
		__circle_slot_set(s, sh, n, valid & ~gone, dirty);
		/* The origin may forget what was written back. */
		__circle_slot_set_wb(s, sh, n, circle_slot_wb(s, n) & ~io->whole);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return gone || atomic_read(&s->nr_freeing);
}

void circle_discard_step(struct circle_io *io)
{
	if (!io->whole || held(io)) {
		circle_io_end(io);
		return;
	}
	if (!circle_behind_wait(io, circle_discard_step, false) ||
	    !circle_degrade_wait(io, circle_discard_step))
		return;
	if (!drop_pages(io)) {
		pass_down(io);
		return;
	}
	atomic_set(&io->pending, 1);
	io->step = pass_down;
	io->waiter.flush = false;
	io->waiter.done = dropped;
	circle_commit_wait(io->node, &io->waiter);
}
