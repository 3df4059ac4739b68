// SPDX-License-Identifier: GPL-2.0-only
/*
 * through: a write that goes to the origin before it completes (P4): no slot is free, the mode
 * asks for it, or the cache or its metadata failed. The order is R1a's and R4's: clean copies are
 * dropped, durably, so that no crash finds them older than the origin; what else is dirty in a
 * page touched in part is written back; origin write; origin FLUSH if an older dirty version is
 * cached or held; every copy unmarked, durably, here and with the holders; then the write
 * completes. It must never leave a copy behind that could be believed later, nor, when it fails, a
 * clean one of which the cache may have the new data.
 */
#include <linux/device-mapper.h>
#include "../trace.h"
#include "degrade.h"
#include "io.h"
#include "origin.h"
#include "repair.h"
#include "replicate.h"

static void save_parts(struct circle_io *io);

/* Any context, circle_may_go(). */
static void finished(struct circle_io *io)
{
	struct circle_node *node = io->node;

	if (!io->status) {
		circle_raise(&node->acked_through, atomic64_read(&node->origin_written));
		/* A FLUSH that fails: we see it here, or it sees what we have set. */
		smp_mb();
		if (!io->settled && io->origin_errors != atomic_read(&node->origin_errors))
			io->status = BLK_STS_IOERR;
		else if (!io->settled && io->origin_gone != atomic_read(&node->origin_gone))
			WRITE_ONCE(node->loss_untold, true);
	}
	circle_io_end(io);
}

/* Process context: acknowledged only while the lease is young. */
static void acknowledge(struct circle_io *io)
{
	if (io->status || circle_lease_wait(io, acknowledge))
		finished(io);
}

/*
 * Nothing durable says that they are not dirty any more: they stay so, and the write fails. Clean
 * ones that stand there as dirty are: the origin has what failed by now, and a crash would undo
 * that; not beside pages that are lost, which would be dirty, too.
 */
static void unmarked_in_vain(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	u64 pages = io->undo | io->undo_clean, dirty = pages;
	unsigned long flags;

	if (!pages)
		return;
	spin_lock_irqsave(&sh->lock, flags);
	if (__circle_slot_find(s, sh, 0, io->block) == io->slot) {
		if (s->slot[io->slot].flags & CIRCLE_SLOT_LOST)
			dirty = io->undo;
		__circle_slot_set(s, sh, io->slot, circle_slot_valid(s, io->slot) | pages,
				  circle_slot_dirty(s, io->slot) | dirty);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
}

/* Metadata that failed: void by now, or nothing says so. In a circle the label is waited for. */
static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err && !io->node->circle && circle_voiding(io->node)) {
		unmarked_in_vain(io);
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	}
	circle_io_part_done(io);
}

/* No copy is left: neither here, durably, nor with a holder, durably. */
static void unmark(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;

	/* Another's FLUSH that failed may have taken our write with it. */
	if (io->origin_errors != atomic_read(&io->node->origin_errors))
		io->status = BLK_STS_IOERR;
	if (io->status) {		/* the FLUSH failed: the older version stays dirty */
		circle_io_end(io);
		return;
	}
	/*
	 * The rest of a page may have come from a cache device that had just dropped it; or what
	 * was written may be lost, if the origin was away before its FLUSH.
	 */
	if (io->origin_away != atomic_read(&io->node->origin_away) &&
	    io->again++ == CIRCLE_IO_AGAIN) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
		return;
	}
	if (io->doubts != atomic_read(&io->node->meta->data_errors) ||
	    io->origin_away != atomic_read(&io->node->origin_away)) {
		if (circle_degrade_wait(io, save_parts))
			circle_io_continue(io, save_parts);
		return;
	}
	spin_lock_irqsave(&sh->lock, flags);
	io->undo = s->slot[io->slot].flags & CIRCLE_SLOT_LOST ? 0 :
		   circle_slot_dirty(s, io->slot) & io->touched;
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

/* Any context: no copy is left, durably. */
static bool settled(const struct circle_io *io)
{
	if (io->slot == CIRCLE_NO_SLOT)
		return circle_slotless_settled(io->node);
	return !copies_left(io) && circle_node_settled(io->node);
}

/* FUA: what was written may be lost, if the origin was away before its FLUSH. */
static void freed(struct circle_io *io)
{
	if (io->status || !io->flush_behind ||
	    io->origin_away == atomic_read(&io->node->origin_away)) {
		if (!io->status && io->flush_behind)
			io->settled = io->origin_errors == atomic_read(&io->node->origin_errors);
		acknowledge(io);
	} else if (io->again++ < CIRCLE_IO_AGAIN) {
		circle_io_continue(io, save_parts);
	} else {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	}
}

/* Its slot may have been evicted just now, and still stand in the durable metadata. */
static void wait_for_freeing(struct circle_io *io)
{
	atomic_set(&io->pending, 1);
	io->step = freed;
	if (io->flush_behind)
		circle_io_flush_origin(io);
	io->waiter.flush = false;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
}

/* Process context: the origin has the data. */
static void at_origin(struct circle_io *io)
{
	const struct circle_slots *s = io->node->slots;
	bool older;

	if (!copies_left(io)) {
		wait_for_freeing(io);
		return;
	}
	older = circle_slot_dirty(s, io->slot) & io->touched;
	/*
	 * First the cache device, lest a power cut leave there something older than at the origin;
	 * one that fails it is not believed any more.
	 */
	if (older)
		circle_cache_flush(io->node);
	atomic_set(&io->pending, 1);
	io->step = unmark;
	if (older || READ_ONCE(s->slot[io->slot].holders) || io->flush_behind) {
		io->settled = true;
		circle_io_flush_origin(io);
	}
	circle_io_part_done(io);
}

/* The cache may have room for it (R9): it was not wanted there, or found none in time. */
static bool try_cache(struct circle_io *io)
{
	bool cold = io->cold;

	io->cold = false;
	io->tries = 1;
	if (cold)
		return true;
	if (io->slot != CIRCLE_NO_SLOT || io->again == CIRCLE_IO_AGAIN ||
	    READ_ONCE(io->node->bg_stop))
		return false;
	io->again++;
	return circle_write_hopes(io);
}

/* Any context. It goes on. */
static bool written(struct circle_io *io)
{
	struct circle_node *node = io->node;

	circle_origin_wrote(node);
	circle_origin_answered(node, io->status);
	if (io->again)			/* one bad place is no origin that is away so often */
		circle_origin_place_refused(node, REQ_OP_WRITE,
					    circle_block_sector(node, io->block, io->start),
					    io->status);
	else
		circle_origin_refused(node, REQ_OP_WRITE, io->status);
	if (!io->status)
		circle_stat_add(node->stats, CIRCLE_STAT_THROUGH, 1);
	if (io->status && try_cache(io)) {
		io->status = BLK_STS_OK;
		io->undo = 0;
		io->undo_clean = 0;
		circle_io_queue(io, circle_write_step);
	} else if (io->status) {
		circle_io_end(io);
	} else if (settled(io) && !io->flush_behind && circle_may_go(node)) {
		finished(io);
	} else {
		circle_io_continue(io, at_origin);
	}
	return false;
}

/* A part of a page could not be saved from the cache device: perhaps a holder has it. */
static void from_holders(struct circle_io *io)
{
	u64 parts = io->touched & ~io->whole, lost, refused;

	if (!circle_lease_wait(io, from_holders))
		return;
	if (!circle_save(io->node, io->block, parts, CIRCLE_SAVE_ALONE, &lost, &refused)) {
		io->status = BLK_STS_OK;
		save_parts(io);		/* nothing is left to save: for lease and losses */
	} else if (circle_io_save_again(io, lost, refused)) {
		circle_io_continue(io, from_holders);
	} else if (lost | refused) {
		circle_io_end(io);
	} else {			/* a label has to say something */
		circle_unsure_wait(io, from_holders);
	}
}

static void write_origin(struct circle_io *io)
{
	if (io->status && io->late && !io->cache_failed) {
		io->status = BLK_STS_OK;
		save_parts(io);		/* which waits for the lease */
	} else if (io->status) {
		if (io->cache_failed)
			circle_cache_error(io->node, io->slot);
		if (io->cache_failed && io->node->circle)
			from_holders(io);
		else
			circle_io_end(io);
	} else if (circle_lease_wait(io, write_origin)) {
		circle_io_submit(io, io->node->origin,
				 circle_block_sector(io->node, io->block, io->start), written);
	}
}

/* Dirty pages that the write touches in part go to the origin whole, before it. */
static void save_parts(struct circle_io *io)
{
	const struct circle_geom *g = &io->node->geom;
	u32 limit = circle_block_limit(io->node, io->block), page, start;
	u64 parts = io->touched & ~io->whole, lost, refused;

	if (io->status) {
		circle_io_end(io);
		return;
	}
	if (!circle_lease_wait(io, save_parts))
		return;
	io->origin_errors = atomic_read(&io->node->origin_errors);	/* before the first write */
	io->origin_away = atomic_read(&io->node->origin_away);
	io->origin_gone = atomic_read(&io->node->origin_gone);
	io->doubts = atomic_read(&io->node->meta->data_errors);
	io->settled = false;
	io->cache_failed = false;
	io->late = false;
	parts &= io->slot == CIRCLE_NO_SLOT ? 0 : circle_slot_dirty(io->node->slots, io->slot);
	if (parts && circle_slot_doubted(io->node, &io->node->slots->slot[io->slot])) {
		if (circle_save(io->node, io->block, parts, CIRCLE_SAVE_ALONE, &lost, &refused)) {
			if (!(lost | refused)) {
				circle_unsure_wait(io, save_parts);
				return;
			}
			if (circle_io_save_again(io, lost, refused)) {
				circle_io_continue(io, save_parts);
				return;
			}
			io->status = BLK_STS_IOERR;
		}
		parts = 0;
	}
	atomic_set(&io->pending, 1);
	io->step = write_origin;
	for (page = 0; page < g->nr_pages; page++) {
		start = page << g->page_shift;
		if (parts >> page & 1)
			circle_io_copy_out(io, start, min(start + g->page_sectors, limit));
	}
	circle_io_part_done(io);
}

/*
 * shard->lock held. Drops the clean copies of what is written. True: durable metadata may call one
 * valid, here or in a slot that was evicted just now, and would after a crash.
 */
static bool __drop_clean(struct circle_io *io, struct circle_shard *sh)
{
	struct circle_slots *s = io->node->slots;
	bool believed = atomic_read(&s->nr_freeing);
	u64 valid, dirty, clean, parts = io->touched & ~io->whole;
	struct circle_slot *sl;

	if (io->slot == CIRCLE_NO_SLOT)
		return believed;
	sl = &s->slot[io->slot];
	valid = circle_slot_valid(s, io->slot);
	dirty = circle_slot_dirty(s, io->slot);
	clean = io->touched & valid & ~dirty;
	if (clean) {
		__circle_slot_set(s, sh, io->slot, valid & ~clean, dirty);
		believed |= !(sl->flags & CIRCLE_SLOT_WRITABLE);
		sl->flags |= CIRCLE_SLOT_INTENT;	/* durable as clean it shall not become */
		if (sl->flags & CIRCLE_SLOT_WRITABLE)	/* durably dirty: it would come back */
			io->undo_clean = clean;
	}
	if ((sl->flags & CIRCLE_SLOT_LOST) && (parts & dirty))
		io->status = BLK_STS_IOERR;	/* the rest of the page is not known */
	return believed;
}

/* shard->lock held: not known yet is the rest of a page that it touches in part. */
static bool __unsure(const struct circle_io *io)
{
	return io->slot != CIRCLE_NO_SLOT && (io->touched & ~io->whole) &&
	       (io->node->slots->slot[io->slot].flags & CIRCLE_SLOT_UNSURE);
}

bool circle_through_map(struct circle_io *io, struct bio *bio)
{
	struct circle_node *node = io->node;

	/* In this order: an eviction of its block that the plan did not see is none, or is seen. */
	if (io->slot != CIRCLE_NO_SLOT || io->fua || circle_is_behind(node) ||
	    !circle_slotless_settled(node) || !circle_may_go(node))
		return false;
	trace_circle_through(node, io->block, io->start, io->len);
	io->origin_errors = atomic_read(&node->origin_errors);	/* before the write */
	io->origin_gone = atomic_read(&node->origin_gone);
	io->doubts = atomic_read(&node->meta->data_errors);
	io->settled = false;
	io->ended = written;
	bio_set_dev(bio, node->origin);
	bio->bi_iter.bi_sector = circle_block_sector(node, io->block, io->start);
	return true;
}

void circle_through_step(struct circle_io *io)
{
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	bool unsure;

	trace_circle_through(io->node, io->block, io->start, io->len);
	if (!circle_behind_wait(io, circle_through_step, false))
		return;
	/* What is unmarked now could not be unmarked durably, and would come back. */
	if (!circle_degrade_wait(io, circle_through_step))
		return;
	spin_lock_irqsave(&sh->lock, flags);
	io->slot = __circle_slot_find(io->node->slots, sh, 0, io->block);
	/* It has nothing of these pages, or they would wait; and it may go at any time. */
	if (io->slot != CIRCLE_NO_SLOT &&
	    (io->node->slots->slot[io->slot].flags & CIRCLE_SLOT_OLD))
		io->slot = CIRCLE_NO_SLOT;
	unsure = __unsure(io);		/* also then: what is clean there may be newer by now */
	io->believed |= __drop_clean(io, sh);
	spin_unlock_irqrestore(&sh->lock, flags);
	if (unsure && !io->status) {
		circle_unsure_wait(io, circle_through_step);
		return;
	}
	if (!io->believed || io->status) {
		save_parts(io);
		return;
	}
	atomic_set(&io->pending, 1);
	io->step = save_parts;
	io->waiter.flush = false;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
}
