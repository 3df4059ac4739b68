// SPDX-License-Identifier: GPL-2.0-only
/*
 * map: entry and exit of host requests. It must never sleep, allocate, or wait here: what
 * cannot be done at once is queued to node->wq, or waits on its page range.
 */
#include "map.h"

#include <linux/device-mapper.h>
#include "../trace.h"
#include "degrade.h"
#include "live.h"
#include "origin.h"
#include "replicate.h"

struct bio *circle_io_bio(struct circle_io *io)
{
	return dm_bio_from_per_bio_data(io, sizeof(*io));
}

size_t circle_io_size(void)
{
	return sizeof(struct circle_io);
}

static void run_step(struct work_struct *work)
{
	struct circle_io *io = container_of(work, struct circle_io, work);

	io->step(io);
}

void circle_io_queue_on(struct circle_io *io, struct workqueue_struct *wq,
			void (*step)(struct circle_io *io))
{
	io->step = step;
	INIT_WORK(&io->work, run_step);
	queue_work(wq, &io->work);
}

void circle_io_queue(struct circle_io *io, void (*step)(struct circle_io *io))
{
	circle_io_queue_on(io, io->node->wq, step);
}

void circle_io_continue(struct circle_io *io, void (*step)(struct circle_io *io))
{
	circle_io_queue_on(io, io->node->next_wq, step);
}

void circle_io_end(struct circle_io *io)
{
	struct bio *bio = circle_io_bio(io);

	io->ended = NULL;
	io->failed = NULL;
	bio->bi_status = io->status;
	bio_endio(bio);
}

static void start_step(struct circle_io *io)
{
	struct bio *bio = circle_io_bio(io);

	if (bio_op(bio) == REQ_OP_READ)
		circle_read_step(io);
	else if (bio_op(bio) == REQ_OP_DISCARD)
		circle_discard_step(io);
	else
		circle_write_step(io);
}

static void granted(struct circle_range *r)
{
	struct circle_io *io = container_of(r, struct circle_io, range);

	circle_io_queue(io, start_step);
}

/* Where a data request goes: block, pages and limits. It is cut at the block's end. */
static __always_inline void aim(struct circle_io *io, struct bio *bio, u64 sector, u32 len)
{
	const struct circle_node *node = io->node;
	u32 start, left;

	io->block = div_u64_rem(sector, node->geom.block_sectors, &start);
	left = node->geom.block_sectors - start;
	if (node->circle && bio_op(bio) == REQ_OP_WRITE)
		left = min_t(u32, left, CIRCLE_WRITE_SECTORS);
	if (len > left) {
		dm_accept_partial_bio(bio, left);
		len = left;
	}
	io->start = start;
	io->len = len;
	bio->bi_iter.bi_sector = sector;
	io->iter = bio->bi_iter;
	io->touched = circle_pages_touched(&node->geom, start, len);
	if (!((start | len) & (node->geom.page_sectors - 1)))
		io->whole = io->touched;
	else if (bio_op(bio) != REQ_OP_READ)
		io->whole = circle_pages_whole(&node->geom, start, len,
					       circle_block_limit(node, io->block));
	else
		io->whole = 0;
}

static void init(struct circle_io *io, struct circle_node *node, struct bio *bio, u64 sector)
{
	u32 sectors = bio_sectors(bio);

	io->node = node;
	io->ended = NULL;
	io->failed = NULL;
	io->status = BLK_STS_OK;
	io->locked = false;
	io->hit = false;
	io->tries = 0;
	io->again = 0;
	io->saves = 0;
	io->believed = false;
	io->cold = false;
	io->direct = false;
	io->uncommitted = false;
	io->cache_failed = false;
	io->at_origin = false;
	io->settled = false;
	io->undo = 0;
	io->undo_clean = 0;
	io->slot = CIRCLE_NO_SLOT;
	io->write = NULL;
	io->fua = bio->bi_opf & REQ_FUA;
	io->flush_behind = false;
	bio->bi_opf &= ~REQ_POLLED;	/* parts and resubmissions could not be polled */
	if (sectors) {
		aim(io, bio, sector, sectors);
		return;
	}
	io->block = 0;
	io->whole = 0;
	io->start = 0;
	io->len = 0;
}

bool __circle_io_lock(struct circle_io *io, struct circle_shard *sh, bool excl)
{
	io->range.owner = 0;
	io->range.block = io->block;
	io->range.mask = io->touched;
	io->range.excl = excl;
	io->range.grant = granted;
	io->locked = true;
	return __circle_range_lock_in(sh, &io->range, false);
}

void circle_io_enter(struct circle_io *io)
{
	struct circle_shard *sh = circle_shard_of(io->node->slots, 0, io->block);
	bool got;

	spin_lock_irq(&sh->lock);
	got = __circle_io_lock(io, sh, bio_op(circle_io_bio(io)) != REQ_OP_READ);
	spin_unlock_irq(&sh->lock);
	if (got)
		start_step(io);
}

static int map_discard(struct circle_io *io)
{
	struct circle_shard *sh = circle_shard_of(io->node->slots, 0, io->block);
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&sh->lock, flags);
	got = __circle_io_lock(io, sh, true);
	spin_unlock_irqrestore(&sh->lock, flags);
	if (got)
		circle_io_queue(io, circle_discard_step);
	return DM_MAPIO_SUBMITTED;
}

/* The cache device's: the metadata fail with it, and the FLUSH is kept otherwise. */
static void plain_flush_failed(struct circle_io *io)
{
	if (io->status)
		circle_cache_doubt(io->node);
	io->status = BLK_STS_OK;
	circle_io_queue(io, circle_flush_step);
}

/* What is to be dealt with here. A plain FLUSH also when another one failed meanwhile. */
static bool failed(const struct circle_io *io, blk_status_t status)
{
	return io->failed && (status || (io->failed == plain_flush_failed &&
					 circle_meta_data_bad(io->node->meta)));
}

int circle_map(struct circle_node *node, struct bio *bio, u64 sector)
{
	struct circle_io *io = dm_per_bio_data(bio, sizeof(*io));
	unsigned long now = jiffies;

	init(io, node, bio, sector);
	trace_circle_map(node, (__force u32)bio_op(bio), io->block, io->start, io->len);
	if ((node->circle && READ_ONCE(node->circle->role) != CIRCLE_ROLE_OWNER) ||
	    (unlikely(io->fua) && circle_flush_failed(node))) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
		return DM_MAPIO_SUBMITTED;
	}
	if (READ_ONCE(node->last_io) != now)	/* all CPUs share its cache line */
		WRITE_ONCE(node->last_io, now);
	if (!bio_sectors(bio)) {
		if (circle_flush_is_plain(node)) {
			io->failed = plain_flush_failed;
			bio_set_dev(bio, node->cache);
			return DM_MAPIO_REMAPPED;
		}
		circle_io_queue(io, circle_flush_step);
		return DM_MAPIO_SUBMITTED;
	}
	if (unlikely(READ_ONCE(node->recovering)) && !circle_live_gate(io))
		return DM_MAPIO_SUBMITTED;
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		if (node->circle && unlikely(!circle_lease_ok(node)) && !circle_show_wait(io))
			return DM_MAPIO_SUBMITTED;
		return circle_read_map(io, bio);
	case REQ_OP_WRITE:
		return circle_write_map(io, bio);
	case REQ_OP_DISCARD:
		return map_discard(io);
	default:
		io->status = BLK_STS_NOTSUPP;
		circle_io_end(io);
		return DM_MAPIO_SUBMITTED;
	}
}

int circle_end_io(struct bio *bio, blk_status_t *status)
{
	struct circle_io *io = dm_per_bio_data(bio, sizeof(*io));
	bool (*ended)(struct circle_io *io) = io->ended;

	if (ended) {
		io->ended = NULL;
		io->status = *status;
		if (!ended(io))
			return DM_ENDIO_INCOMPLETE;
		*status = io->status;
	} else if (unlikely(failed(io, *status))) {
		void (*on_failure)(struct circle_io *io) = io->failed;

		io->failed = NULL;
		io->status = *status;
		on_failure(io);
		return DM_ENDIO_INCOMPLETE;
	}
	if (unlikely(*status) && io->at_origin)
		circle_origin_place_refused(io->node, REQ_OP_READ,
					    circle_block_sector(io->node, io->block, io->start),
					    *status);
	if (unlikely(*status) && !io->len && *status != BLK_STS_DM_REQUEUE)
		WRITE_ONCE(io->node->flush_failed, jiffies ?: 1);	/* flush.c */
	trace_circle_done(io->node, (__force u32)bio_op(bio), io->block, io->start, io->len,
			  (__force u8)*status);
	if (io->locked) {
		io->locked = false;
		circle_range_unlock(&io->range);
	}
	return DM_ENDIO_DONE;
}
