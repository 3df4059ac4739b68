// SPDX-License-Identifier: GPL-2.0-only
/*
 * write: a write into the cache. A write of whole pages never reads the origin; one that touches
 * part of a page that is not valid fills the rest of that page first. The page's dirty mark is set
 * when the data are there, before the write completes.
 *
 * It must never overwrite in place what durable metadata call clean (R1a): a slot that is not
 * WRITABLE first has its intent committed.
 */
#include <linux/device-mapper.h>
#include "../trace.h"
#include "io.h"
#include "repair.h"
#include "replicate.h"

/* trace.h has their names */
enum plan { PLAN_GO, PLAN_FILL, PLAN_INTENT, PLAN_THROUGH, PLAN_SHARE, PLAN_ROOM, PLAN_BEHIND };

#define ROOM_TRIES	3	/* commits that a write waits for to find a free slot */

/* shard->lock held. */
static u32 find_or_map(struct circle_io *io, struct circle_shard *sh, bool behind)
{
	struct circle_node *node = io->node;
	struct circle_slots *s = node->slots;
	u32 n = __circle_slot_find(s, sh, 0, io->block);
	u16 flags = CIRCLE_SLOT_INTENT | CIRCLE_SLOT_WRITABLE;
	enum circle_admit admit;
	bool crowded;

	io->hit = n != CIRCLE_NO_SLOT;
	if (io->hit || io->cold || behind || circle_node_through(node))
		return n;
	crowded = !io->tries && circle_writeback_behind(node);
	admit = circle_policy_write(&node->policy, io->block, crowded);
	if (crowded && admit == CIRCLE_ADMIT_MAIN && !__circle_reclaim_makes_way(s, sh)) {
		circle_policy_remember(&node->policy, io->block);
		admit = CIRCLE_ADMIT_NOT;
	}
	if (admit == CIRCLE_ADMIT_NOT) {
		io->cold = true;
		return CIRCLE_NO_SLOT;
	}
	n = circle_slot_pop(s, 0);
	if (n == CIRCLE_NO_SLOT) {
		if (admit == CIRCLE_ADMIT_MAIN)
			circle_policy_remember(&node->policy, io->block);
		return n;
	}
	if (admit == CIRCLE_ADMIT_MAIN)
		flags |= CIRCLE_SLOT_MAIN;
	__circle_slot_map(s, sh, n, 0, io->block, flags);
	__circle_slot_set_tag(&s->slot[n], node->gen, atomic64_inc_return(&node->seq));
	circle_reclaim_kick(node);
	return n;
}

bool circle_write_hopes(const struct circle_io *io)
{
	return !io->cold && io->tries < ROOM_TRIES && !circle_node_through(io->node) &&
	       circle_slots_room(io->node->slots, 0);
}

/* While clean blocks are being loaded: only what may durably be dirty is written over. */
static bool has_to_wait(const struct circle_io *io)
{
	const struct circle_slot *sl;

	if (io->slot == CIRCLE_NO_SLOT || circle_node_through(io->node))
		return true;
	sl = &io->node->slots->slot[io->slot];
	return !(sl->flags & CIRCLE_SLOT_WRITABLE) ||
	       (sl->flags & (CIRCLE_SLOT_LOST | CIRCLE_SLOT_SICK | CIRCLE_SLOT_UNSURE));
}

/* The lock of io's shard held. */
static enum plan __plan(struct circle_io *io)
{
	struct circle_node *node = io->node;
	struct circle_slots *s = node->slots;
	bool behind = circle_is_behind(node);	/* first */
	struct circle_slot *sl;

	io->slot = find_or_map(io, io->range.shard, behind);
	if (behind && has_to_wait(io))
		return PLAN_BEHIND;
	if (io->slot == CIRCLE_NO_SLOT && circle_write_hopes(io))
		return PLAN_ROOM;
	if (io->slot == CIRCLE_NO_SLOT && !io->cold && !circle_node_through(node))
		WRITE_ONCE(node->starved, jiffies);
	if (io->slot == CIRCLE_NO_SLOT || circle_node_through(node))
		return PLAN_THROUGH;
	sl = &s->slot[io->slot];
	if (sl->flags & (CIRCLE_SLOT_LOST | CIRCLE_SLOT_SICK))
		return PLAN_THROUGH;	/* nothing new becomes dirty there */
	if (!(sl->flags & CIRCLE_SLOT_WRITABLE)) {
		sl->flags |= CIRCLE_SLOT_INTENT;
		circle_slot_changed(s, io->slot);
		return PLAN_INTENT;
	}
	sl->flags |= CIRCLE_SLOT_INTENT;	/* no commit: nothing durable calls it clean yet */
	if (__circle_write_is_shared(node, sl))
		return PLAN_SHARE;
	if (node->circle)	/* a peer that is not here may have it parked as it was */
		__circle_slot_set_tag(sl, node->gen, atomic64_inc_return(&node->seq));
	return io->touched & ~io->whole & ~circle_slot_valid(s, io->slot) ? PLAN_FILL : PLAN_GO;
}

static enum plan plan(struct circle_io *io)
{
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	enum plan p;

	spin_lock_irqsave(&sh->lock, flags);
	p = __plan(io);
	spin_unlock_irqrestore(&sh->lock, flags);
	trace_circle_plan(io->node, io->block, io->slot, io->hit, p);
	return p;
}

static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err)		/* the journal cannot say it: the origin can */
		circle_io_continue(io, circle_through_step);
	else
		circle_io_end(io);
}

/* False: a degree was asked for meanwhile, which this write has not (R7), or a FLUSH of the cache
 * device failed: it may have dropped what was filled in beside this write, and then the whole page
 * would go to the origin. True: without FUA its range is given back too.
 */
static bool mark_dirty(struct circle_io *io)
{
	struct circle_slots *s = io->node->slots;
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;
	LIST_HEAD(wake);
	bool alone;

	spin_lock_irqsave(&sh->lock, flags);
	alone = !__circle_write_is_shared(io->node, &s->slot[io->slot]) &&
		!circle_meta_data_bad(io->node->meta);
	if (alone) {
		if (io->hit)
			__circle_slot_touch(s, sh, io->slot);
		__circle_slot_written(s, sh, io->slot, io->touched);
		/* It fails just now: circle_cache_loss() sees the mark, or we see the failure. */
		smp_mb();
		if (circle_meta_data_bad(io->node->meta))
			WRITE_ONCE(io->node->loss_untold, true);
	}
	if (alone && !io->fua) {
		io->locked = false;
		__circle_range_unlock(&io->range, &wake);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	circle_range_wake(&wake);
	return alone;
}

/* Any context. True: it is over. */
static bool written(struct circle_io *io)
{
	struct circle_node *node = io->node;

	if (io->status)
		circle_cache_error(node, io->slot);
	if (io->status || !mark_dirty(io)) {
		io->status = BLK_STS_OK;
		circle_io_continue(io, circle_through_step);
		return false;
	}
	circle_stat_add(node->stats, io->hit ? CIRCLE_STAT_WRITE_HIT : CIRCLE_STAT_WRITE_MISS, 1);
	if (!io->fua)
		return true;
	io->waiter.flush = io->flush_behind;
	io->waiter.done = committed;
	circle_commit_wait(node, &io->waiter);
	return false;
}

static void planned_again(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	circle_io_queue(io, err ? circle_through_step : circle_write_step);
}

static void plan_after_commit(struct circle_io *io)
{
	io->waiter.flush = false;
	io->waiter.done = planned_again;
	circle_commit_wait(io->node, &io->waiter);
}

static void submit_data(struct circle_io *io)
{
	circle_io_submit(io, io->node->cache, circle_slot_sector(io->node, io->slot, io->start),
			 written);
}

static void filled(struct circle_io *io)
{
	if (io->status) {
		if (io->cache_failed)
			circle_cache_error(io->node, io->slot);
		io->status = BLK_STS_OK;
		circle_through_step(io);
	} else {
		submit_data(io);
	}
}

/* The parts of the first and last page that this write leaves out, where they are not valid. */
static void fill(struct circle_io *io)
{
	const struct circle_geom *g = &io->node->geom;
	u64 valid = circle_slot_valid(io->node->slots, io->slot);	/* still: our range */
	u32 end = io->start + io->len, limit = circle_block_limit(io->node, io->block);
	u32 head = round_down(io->start, g->page_sectors);
	u32 tail = min(round_up(end, g->page_sectors), limit);

	atomic_set(&io->pending, 1);
	io->step = filled;
	if (head < io->start && !(valid >> (head >> g->page_shift) & 1))
		circle_io_copy_in(io, head, io->start);
	if (tail > end && !(valid >> (end >> g->page_shift) & 1))
		circle_io_copy_in(io, end, tail);
	circle_io_part_done(io);
}

int circle_write_map(struct circle_io *io, struct bio *bio)
{
	struct circle_shard *sh = circle_shard_of(io->node->slots, 0, io->block);
	enum plan p = PLAN_GO;
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&sh->lock, flags);
	got = __circle_io_lock(io, sh, true);
	if (got)
		p = __plan(io);
	spin_unlock_irqrestore(&sh->lock, flags);
	if (!got)
		return DM_MAPIO_SUBMITTED;
	trace_circle_plan(io->node, io->block, io->slot, io->hit, p);
	if (p == PLAN_SHARE && circle_replicate_map(io))
		return DM_MAPIO_SUBMITTED;
	if (p == PLAN_THROUGH && circle_through_map(io, bio)) {
		circle_reclaim_kick(io->node);
		return DM_MAPIO_REMAPPED;
	}
	if (p != PLAN_GO) {
		circle_io_queue(io, circle_write_step);
		return DM_MAPIO_SUBMITTED;
	}
	io->ended = written;
	bio->bi_opf &= ~REQ_FUA;
	circle_io_goes_to(io, io->node->cache);
	bio_set_dev(bio, io->node->cache);
	bio->bi_iter.bi_sector = circle_slot_sector(io->node, io->slot, io->start);
	return DM_MAPIO_REMAPPED;
}

void circle_write_step(struct circle_io *io)
{
	struct circle_node *node = io->node;

	switch (plan(io)) {
	case PLAN_GO:
		submit_data(io);
		break;
	case PLAN_FILL:
		fill(io);
		break;
	case PLAN_INTENT:
		plan_after_commit(io);
		break;
	case PLAN_ROOM:
		io->tries++;
		/* the reclaimer may not run before the commit */
		circle_reclaim_one(node, io->again);
		circle_reclaim_kick(node);
		plan_after_commit(io);
		break;
	case PLAN_BEHIND:
		if (circle_behind_wait(io, circle_write_step, true))
			circle_io_queue(io, circle_write_step);
		break;
	case PLAN_SHARE:
		circle_replicate_step(io);
		break;
	case PLAN_THROUGH:
		circle_reclaim_kick(node);
		circle_through_step(io);
		break;
	}
}
