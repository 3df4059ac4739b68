// SPDX-License-Identifier: GPL-2.0-only
/*
 * discard: of whole pages only; what a discard covers in part is left alone. The order is R4's, as
 * for a write-through: clean copies are dropped durably first; then the origin is told; then, if a
 * dirty version was cached or held, origin FLUSH, and only then that version is dropped, here and
 * with the holders. It must never drop the only copy of something flushed before the origin has
 * durably forgotten the older one. Where it cannot be passed down, dirty pages are kept.
 */
#include <linux/device-mapper.h>
#include "io.h"
#include "replicate.h"

static bool passes_down(const struct circle_node *node)
{
	return !node->conf.no_discard_passdown && bdev_max_discard_sectors(node->origin);
}

static void passed(struct circle_io *io)
{
	circle_origin_wrote(io->node);
	if (io->status) {
		circle_io_end(io);	/* what is dirty stays so */
		return;
	}
	io->touched = io->whole;	/* within the range that is held */
	circle_through_landed(io);
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

	if (err)
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	circle_io_part_done(io);
}

/* Clean ones. Returns whether the journal has to hear of it first. */
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
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return gone || atomic_read(&s->nr_freeing);
}

void circle_discard_step(struct circle_io *io)
{
	if (!io->whole) {
		circle_io_end(io);
		return;
	}
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
