// SPDX-License-Identifier: GPL-2.0-only
/*
 * through: a write that goes to the origin before it completes (P4): no slot is free, the mode
 * asks for it, or the cache or its metadata failed. The order is R4's: what else is dirty in a
 * page touched in part is written back first; origin write; origin FLUSH if an older dirty version
 * is cached or held; every copy unmarked, durably, here and with the holders; then the write
 * completes. It must never leave a copy behind that could be believed later.
 */
#include <linux/device-mapper.h>
#include "../trace.h"
#include "io.h"
#include "replicate.h"

/* Process context: acknowledged only while the lease is young. */
static void acknowledge(struct circle_io *io)
{
	if (io->status || circle_lease_wait(io, acknowledge))
		circle_io_end(io);
}

static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err)
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	circle_io_part_done(io);
}

/* No copy is left: neither here, durably, nor with a holder, durably. */
static void unmark(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;

	if (io->status) {		/* the FLUSH failed: the older version stays dirty */
		circle_io_end(io);
		return;
	}
	spin_lock_irqsave(&sh->lock, flags);
	__circle_slot_set(s, sh, io->slot, circle_slot_valid(s, io->slot) & ~io->touched,
			  circle_slot_dirty(s, io->slot) & ~io->touched);
	spin_unlock_irqrestore(&sh->lock, flags);
	atomic_set(&io->pending, 2);
	io->step = acknowledge;
	io->waiter.flush = false;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
	circle_release_pages(io, io->touched);
	circle_io_part_done(io);
}

static bool copies_left(const struct circle_io *io)
{
	const struct circle_slots *s = io->node->slots;

	if (io->slot == CIRCLE_NO_SLOT)
		return false;
	return (circle_slot_valid(s, io->slot) & io->touched) ||
	       READ_ONCE(s->slot[io->slot].holders);
}

/* Its slot may have been evicted just now, and still stand in the durable metadata. */
static void wait_for_freeing(struct circle_io *io)
{
	atomic_set(&io->pending, 1);
	io->step = acknowledge;
	io->waiter.flush = false;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
}

/* Process context: the origin has the data. */
static void at_origin(struct circle_io *io)
{
	const struct circle_slots *s = io->node->slots;

	if (!copies_left(io)) {
		wait_for_freeing(io);
		return;
	}
	atomic_set(&io->pending, 1);
	io->step = unmark;
	if ((circle_slot_dirty(s, io->slot) & io->touched) ||
	    READ_ONCE(s->slot[io->slot].holders))
		circle_io_flush_origin(io);
	circle_io_part_done(io);
}

/* The cache may have the data already, the origin has not: no clean copy of them may stay. */
static void failed(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;

	if (io->slot != CIRCLE_NO_SLOT) {
		u64 valid, dirty;

		spin_lock_irqsave(&sh->lock, flags);
		valid = circle_slot_valid(s, io->slot);
		dirty = circle_slot_dirty(s, io->slot);
		__circle_slot_set(s, sh, io->slot, valid & ~(io->touched & ~dirty), dirty);
		spin_unlock_irqrestore(&sh->lock, flags);
	}
	circle_io_end(io);
}

/* Any context. */
static void written(struct circle_io *io)
{
	struct circle_node *node = io->node;

	circle_origin_wrote(node);
	circle_stat_add(node->stats, CIRCLE_STAT_THROUGH, 1);
	if (io->status)
		failed(io);
	else
		circle_through_landed(io);
}

/* Any context. */
void circle_through_landed(struct circle_io *io)
{
	struct circle_node *node = io->node;

	if (!node->circle && !copies_left(io) &&
	    !atomic_read(&node->slots->nr_freeing) && !node->meta->failed)
		circle_io_end(io);
	else
		circle_io_continue(io, at_origin);
}

static void write_origin(struct circle_io *io)
{
	if (io->status) {		/* a part of a page could not be saved */
		circle_io_end(io);
		return;
	}
	if (!circle_lease_wait(io, write_origin))
		return;
	circle_io_submit(io, io->node->origin, circle_block_sector(io->node, io->block, io->start),
			 written);
}

/* Dirty pages that the write touches in part go to the origin whole, before it. */
static void save_parts(struct circle_io *io)
{
	const struct circle_geom *g = &io->node->geom;
	u32 limit = circle_block_limit(io->node, io->block), page, start;
	u64 parts = io->touched & ~io->whole;

	if (!circle_lease_wait(io, save_parts))
		return;
	parts &= circle_slot_dirty(io->node->slots, io->slot);
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

	trace_circle_through(io->node, io->block, io->start, io->len);
	if (READ_ONCE(io->node->meta->failed)) {
		/* What is unmarked now could not be unmarked durably, and would come back. */
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
		return;
	}
	spin_lock_irqsave(&sh->lock, flags);
	io->slot = __circle_slot_find(s, sh, 0, io->block);
	if (io->slot != CIRCLE_NO_SLOT) {
		parts = io->touched & ~io->whole & circle_slot_dirty(s, io->slot);
		if (parts && (s->slot[io->slot].flags & CIRCLE_SLOT_LOST))
			io->status = BLK_STS_IOERR;
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	if (parts && !io->status)
		save_parts(io);
	else
		write_origin(io);
}
