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
#include "degrade.h"
#include "io.h"
#include "repair.h"
#include "replicate.h"

/* Process context: acknowledged only while the lease is young. */
static void acknowledge(struct circle_io *io)
{
	if (io->status || circle_lease_wait(io, acknowledge))
		circle_io_end(io);
}

/* Nothing durable says that they are not dirty any more: they stay so, and the write fails. */
static void unmarked_in_vain(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;

	if (!io->undo)
		return;
	spin_lock_irqsave(&sh->lock, flags);
	__circle_slot_set(s, sh, io->slot, s->slot[io->slot].valid | io->undo,
			  s->slot[io->slot].dirty | io->undo);
	spin_unlock_irqrestore(&sh->lock, flags);
}

static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err && !io->node->circle && circle_voiding(io->node)) {
		unmarked_in_vain(io);
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	}
	circle_io_part_done(io);	/* in a circle acknowledge() waits for the label */
}

/* No copy is left: neither here, durably, nor with a holder, durably. */
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
	io->undo = sl->flags & CIRCLE_SLOT_LOST ? 0 : sl->dirty & io->touched;
	__circle_slot_set(s, sh, io->slot, sl->valid & ~io->touched, sl->dirty & ~io->touched);
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
	const struct circle_slot *sl;

	if (io->slot == CIRCLE_NO_SLOT)
		return false;
	sl = &io->node->slots->slot[io->slot];
	return (READ_ONCE(sl->valid) & io->touched) || READ_ONCE(sl->holders);
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
	struct circle_slot *sl;

	if (!copies_left(io)) {
		wait_for_freeing(io);
		return;
	}
	sl = &io->node->slots->slot[io->slot];
	atomic_set(&io->pending, 1);
	io->step = unmark;
	if ((READ_ONCE(sl->dirty) & io->touched) || READ_ONCE(sl->holders))
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
		struct circle_slot *sl = &s->slot[io->slot];

		spin_lock_irqsave(&sh->lock, flags);
		__circle_slot_set(s, sh, io->slot, sl->valid & ~(io->touched & ~sl->dirty),
				  sl->dirty);
		spin_unlock_irqrestore(&sh->lock, flags);
	}
	circle_io_end(io);
}

/* Any context. */
static void written(struct circle_io *io)
{
	struct circle_node *node = io->node;

	circle_origin_wrote(node);
	circle_origin_answered(node, io->status);
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

	if (!node->circle && !copies_left(io) && !circle_voiding(node) &&
	    (node->meta->failed || !atomic_read(&node->slots->nr_freeing)))
		circle_io_end(io);	/* nothing durable that is believed has a copy */
	else
		circle_io_continue(io, at_origin);
}

/* A part of a page could not be saved from the cache device: perhaps from a holder? */
static bool saved_otherwise(struct circle_io *io)
{
	if (!io->cache_failed)
		return false;
	circle_cache_error(io->node, io->slot);
	if (!io->node->circle || circle_repair_save(io->node, io->block, io->touched))
		return false;
	io->status = BLK_STS_OK;
	return true;
}

static void write_origin(struct circle_io *io)
{
	if (io->status && !saved_otherwise(io)) {
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
	parts &= READ_ONCE(io->node->slots->slot[io->slot].dirty);
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
	/* What is unmarked now could not be unmarked durably, and would come back. */
	if (!circle_degrade_wait(io, circle_through_step))
		return;
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
		save_parts(io);
	else
		write_origin(io);
}
