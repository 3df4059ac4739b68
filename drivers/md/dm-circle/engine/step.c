// SPDX-License-Identifier: GPL-2.0-only
/*
 * step: the small pieces of I/O that a request's chain of steps is made of. Completions only
 * count and queue; they never submit.
 */
#include <linux/device-mapper.h>
#include "copy.h"
#include "io.h"
#include "origin.h"

void circle_io_submit(struct circle_io *io, struct block_device *bdev, u64 sector,
		      bool (*ended)(struct circle_io *io))
{
	struct bio *bio = circle_io_bio(io);

	io->ended = ended;
	bio->bi_status = BLK_STS_OK;
	/* Submitted before, to a device that split it, it was left at 0: see dm-bio-record.h. */
	atomic_set(&bio->__bi_remaining, 1);
	bio->bi_opf &= ~REQ_FUA;
	circle_io_goes_to(io, bdev);
	bio->bi_iter = io->iter;
	bio->bi_iter.bi_sector = sector;
	bio_set_dev(bio, bdev);
	submit_bio_noacct(bio);
}

void circle_io_part_done(struct circle_io *io)
{
	if (!atomic_dec_and_test(&io->pending))
		return;
	if (!io->direct) {
		circle_io_continue(io, io->step);
		return;
	}
	io->direct = false;
	io->step(io);
}

static void copied(struct circle_io *io, bool failed, bool cache_failed)
{
	if (failed)
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	if (cache_failed)
		WRITE_ONCE(io->cache_failed, true);
	circle_io_part_done(io);
}

static void copied_out(void *priv, enum circle_copy_end end)
{
	struct circle_io *io = priv;

	if (end == CIRCLE_COPY_LATE)
		io->late = true;
	copied(io, end != CIRCLE_COPY_DONE, end == CIRCLE_COPY_UNREAD);
}

static void copied_in(int read_err, unsigned long write_err, void *context)
{
	struct circle_io *io = context;

	if (read_err)		/* which status it had kcopyd does not say */
		circle_origin_place_refused(io->node, REQ_OP_READ,
					    circle_block_sector(io->node, io->block, 0),
					    BLK_STS_IOERR);
	copied(context, read_err || write_err, write_err);
}

void circle_io_copy_out(struct circle_io *io, u32 start, u32 end)
{
	atomic_inc(&io->pending);
	circle_copy_out(io->node, io->block, io->slot, start, end, copied_out, io);
}

void circle_io_copy_in(struct circle_io *io, u32 start, u32 end)
{
	struct circle_node *node = io->node;
	struct dm_io_region origin = {
		.bdev = node->origin,
		.sector = circle_block_sector(node, io->block, start),
		.count = end - start,
	};
	struct dm_io_region slot = {
		.bdev = node->cache,
		.sector = circle_slot_sector(node, io->slot, start),
		.count = end - start,
	};

	atomic_inc(&io->pending);
	dm_kcopyd_copy(node->kc, &origin, 1, &slot, 0, copied_in, io);
}

static void origin_flushed(struct circle_flush_wait *w, blk_status_t status)
{
	struct circle_io *io = container_of(w, struct circle_io, flush);

	if (status)
		WRITE_ONCE(io->status, status);
	circle_io_part_done(io);
}

void circle_io_flush_origin(struct circle_io *io)
{
	if (!circle_origin_mark(io->node))
		return;
	io->flush.done = origin_flushed;
	atomic_inc(&io->pending);
	circle_origin_flush_wait(io->node, &io->flush);
}
