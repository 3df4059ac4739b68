// SPDX-License-Identifier: GPL-2.0-only
/*
 * read: valid pages come from the cache device, the others from the origin, in one pass. It must
 * never show a page of the origin that is dirty here: the range lock keeps the masks still from
 * lookup to completion.
 */
#include <linux/device-mapper.h>
#include "io.h"
#include "repair.h"
#include "replicate.h"

struct source {
	u64 valid, dirty;	/* of the touched pages */
	u32 slot;
	enum { NONE, LOST, UNSURE, DOUBTED } trouble;
};

static void cache_failed(struct circle_io *io);

/* The lock of sh, which is io's shard, held. */
static __always_inline void __look_up(const struct circle_io *io, struct circle_shard *sh,
				      struct source *src)
{
	struct circle_slots *s = io->node->slots;
	u32 n = __circle_slot_find(s, sh, 0, io->block);
	u16 flags;

	*src = (struct source){ .slot = n };
	if (n == CIRCLE_NO_SLOT)
		return;
	flags = s->slot[n].flags;
	src->dirty = circle_slot_dirty(s, n) & io->touched;
	src->valid = circle_slot_valid(s, n) & io->touched;
	if (io->node->conf.mode == CIRCLE_PASSTHROUGH || READ_ONCE(io->node->ssd_bad) ||
	    circle_meta_data_bad(io->node->meta) || (flags & CIRCLE_SLOT_SICK)) {
		src->valid = src->dirty;	/* is a clean one? */
		if (src->dirty && circle_slot_doubted(io->node, &s->slot[n]))
			src->trouble = DOUBTED;
	}
	if (flags & (CIRCLE_SLOT_LOST | CIRCLE_SLOT_UNSURE)) {
		if ((flags & CIRCLE_SLOT_LOST) && src->dirty)
			src->trouble = LOST;
		else if (flags & CIRCLE_SLOT_UNSURE)
			src->trouble = UNSURE;
	}
	__circle_slot_touch(s, sh, n);
}

static struct source look_up(struct circle_io *io)
{
	struct circle_shard *sh = io->range.shard;
	struct source src;
	unsigned long flags;

	spin_lock_irqsave(&sh->lock, flags);
	__look_up(io, sh, &src);
	spin_unlock_irqrestore(&sh->lock, flags);
	return src;
}

/* Slots that nobody needs. Large blocks have to come back first: copying one is dear. */
static bool room(const struct circle_node *node)
{
	const struct circle_slots *s = node->slots;

	return READ_ONCE(s->nr_free) + (u32)max(atomic_read(&s->nr_parked), 0) > node->stock &&
	       node->geom.block_sectors <= CIRCLE_STREAM_SECTORS;
}

/* The block is not in the cache, or not the pages that were asked for. */
static void missed(struct circle_io *io, u32 slot)
{
	struct circle_node *node = io->node;
	u64 sector = circle_block_sector(node, io->block, io->start);
	enum circle_admit admit;
	bool stream;

	circle_stat_add(node->stats, CIRCLE_STAT_READ_MISS, 1);
	if (node->conf.mode == CIRCLE_PASSTHROUGH || READ_ONCE(node->meta->failed) ||
	    READ_ONCE(node->ssd_bad) || circle_is_behind(node))
		return;
	stream = circle_policy_sequential(&node->policy, sector, io->len);
	if (slot != CIRCLE_NO_SLOT) {
		if (!stream)
			circle_promote(node, io->block, false);
		return;
	}
	admit = circle_policy_read(&node->policy, io->block, stream, room(node));
	if (admit == CIRCLE_ADMIT_MAIN && !circle_reclaim_yields(node, io->block))
		circle_policy_remember(&node->policy, io->block);
	else if (admit != CIRCLE_ADMIT_NOT)
		circle_promote(node, io->block, admit == CIRCLE_ADMIT_MAIN);
}

/* True: the whole request has one source, and the bio points at it. */
static bool aim(struct circle_io *io, struct bio *bio, const struct source *src)
{
	struct circle_node *node = io->node;

	if (src->valid == io->touched) {
		circle_stat_add(node->stats, CIRCLE_STAT_READ_HIT, 1);
		io->slot = src->slot;
		io->failed = cache_failed;
		bio_set_dev(bio, node->cache);
		bio->bi_iter.bi_sector = circle_slot_sector(node, src->slot, io->start);
		return true;
	}
	if (src->valid)
		return false;
	missed(io, src->slot);
	io->at_origin = true;
	bio_set_dev(bio, node->origin);
	bio->bi_iter.bi_sector = circle_block_sector(node, io->block, io->start);
	return true;
}

int circle_read_map(struct circle_io *io, struct bio *bio)
{
	struct circle_shard *sh = circle_shard_of(io->node->slots, 0, io->block);
	struct source src;
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&sh->lock, flags);
	got = __circle_io_lock(io, sh, false);
	if (got)
		__look_up(io, sh, &src);
	spin_unlock_irqrestore(&sh->lock, flags);
	if (!got)
		return DM_MAPIO_SUBMITTED;
	if (src.trouble == NONE && aim(io, bio, &src))
		return DM_MAPIO_REMAPPED;
	circle_io_queue(io, circle_read_step);
	return DM_MAPIO_SUBMITTED;
}

static void read_part_over(struct circle_io *io)
{
	void (*failed)(struct circle_io *io) = io->failed;

	if (!atomic_dec_and_test(&io->pending))
		return;
	io->failed = NULL;
	if (io->status && failed && io->cache_failed)
		failed(io);
	else
		circle_io_end(io);
}

static void part_ended(struct bio *part)
{
	struct circle_io *io = part->bi_private;

	if (part->bi_status)
		WRITE_ONCE(io->status, part->bi_status);
	bio_put(part);
	read_part_over(io);
}

static void origin_part_ended(struct bio *part)
{
	struct circle_io *io = part->bi_private;

	if (part->bi_status)
		circle_origin_place_refused(io->node, REQ_OP_READ,
					    circle_block_sector(io->node, io->block, io->start),
					    part->bi_status);
	part_ended(part);
}

static void cached_part_ended(struct bio *part)
{
	struct circle_io *io = part->bi_private;

	if (part->bi_status)
		WRITE_ONCE(io->cache_failed, true);
	part_ended(part);
}

/* One clone for each run of pages with the same source. */
static void read_parts(struct circle_io *io, struct bio *bio, const struct source *src)
{
	struct circle_node *node = io->node;
	u32 pos = io->start, end = io->start + io->len, stop;
	bool cached;

	atomic_set(&io->pending, 1);
	for (; pos < end; pos = stop) {
		struct block_device *bdev;
		struct bio *part;
		u64 sector;

		stop = circle_pages_run(&node->geom, src->valid, pos, end, &cached);
		bdev = cached ? node->cache : node->origin;
		sector = cached ? circle_slot_sector(node, src->slot, pos) :
				  circle_block_sector(node, io->block, pos);
		part = bio_alloc_clone(bdev, bio, GFP_NOIO, &node->bios);
		part->bi_iter = io->iter;
		bio_trim(part, pos - io->start, stop - pos);
		part->bi_iter.bi_sector = sector;
		part->bi_private = io;
		part->bi_end_io = cached ? cached_part_ended : origin_part_ended;
		atomic_inc(&io->pending);
		submit_bio_noacct(part);
	}
	read_part_over(io);
}

static void from_origin(struct circle_io *io)
{
	io->at_origin = true;
	circle_io_submit(io, io->node->origin,
			 circle_block_sector(io->node, io->block, io->start), NULL);
}

/* What is dirty could not be read twice, or is not to be believed: the holders have it. */
static void from_holders(struct circle_io *io)
{
	struct circle_node *node = io->node;
	u64 lost, refused;

	if (!circle_lease_wait(io, from_holders))
		return;
	if (!node->circle) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	} else if (!circle_save(node, io->block, io->touched, 0, &lost, &refused)) {
		from_origin(io);
	} else if (circle_io_save_again(io, lost, refused)) {
		circle_io_continue(io, from_holders);
	} else if (lost | refused) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	} else {	/* a write-back has to end first, or a label has to say something */
		circle_unsure_wait(io, circle_read_step);
	}
}

static void again_failed(struct circle_io *io)
{
	circle_io_queue(io, from_holders);
}

/* Clean pages come from the origin now; for dirty ones the cache device is asked once more. */
static void read_again(struct circle_io *io)
{
	struct bio *bio = circle_io_bio(io);
	struct source src = look_up(io);

	src.valid = src.dirty;
	io->status = BLK_STS_OK;
	io->cache_failed = false;
	if (src.trouble != NONE) {
		circle_read_step(io);
		return;
	}
	if (!src.valid) {
		from_origin(io);
		return;
	}
	io->failed = again_failed;
	if (src.valid == io->touched)
		circle_io_submit(io, io->node->cache,
				 circle_slot_sector(io->node, src.slot, io->start), NULL);
	else
		read_parts(io, bio, &src);
}

/* Any context. */
static void cache_failed(struct circle_io *io)
{
	circle_cache_error(io->node, io->slot);
	circle_io_continue(io, read_again);
}

void circle_read_step(struct circle_io *io)
{
	struct bio *bio = circle_io_bio(io);
	struct source src = look_up(io);

	if (src.trouble == LOST) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	} else if (src.trouble == UNSURE) {
		circle_unsure_wait(io, circle_read_step);
	} else if (src.trouble == DOUBTED) {
		from_holders(io);
	} else if (aim(io, bio, &src)) {
		submit_bio_noacct(bio);
	} else {
		missed(io, src.slot);
		io->slot = src.slot;
		io->failed = cache_failed;
		read_parts(io, bio, &src);
	}
}
