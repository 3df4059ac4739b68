/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io: one host request, from map() to its completion. Lives in device-mapper's per-bio data; it
 * is one operation in the sense of R11 from circle_io_start() to circle_io_end().
 *
 * A request is a chain of steps. A step either submits I/O whose completion continues the chain,
 * or queues the next step to node->wq. Steps that allocate run on the queue, never in map().
 */
#ifndef CIRCLE_ENGINE_IO_H
#define CIRCLE_ENGINE_IO_H

#include "node.h"
#include "origin.h"

struct circle_io {
	struct circle_node *node;
	struct circle_range range;
	struct circle_waiter waiter;
	struct work_struct work;
	void (*step)(struct circle_io *io);	/* what the work runs */
	bool (*ended)(struct circle_io *io);	/* at the bio's completion; NULL or true: the end */
	void (*failed)(struct circle_io *io);	/* instead of the end, if it is an error */
	struct bvec_iter iter;		/* of the bio, before the first submission */
	u64 block;
	u64 touched, whole;		/* pages; whole: of a read maybe not all */
	u32 start, len;			/* sectors within the block */
	u32 slot;			/* CIRCLE_NO_SLOT: none */
	u32 awaits;			/* live.h: the copy that is in its way */
	atomic_t pending;
	blk_status_t status;		/* from here to settled: cleared by one store */
	bool locked;
	bool hit;
	u8 tries;			/* a write's, to find a free slot */
	u8 again;			/* tried anew, since the origin was away or refused it */
	u8 saves;			/* the same, of circle_save() */
	bool believed;			/* durable metadata may call what it dropped valid */
	bool cold;			/* the policy does not want it cached */
	bool direct;			/* step may run where the last part ends: any context */
	bool uncommitted;	/* its commit failed */
	bool cache_failed;	/* a copy failed at the cache device's end */
	bool at_origin;		/* a read of it, and nothing else, was sent to the origin */
	bool settled;		/* a FLUSH of its own covered what it wrote to the origin */
	bool fua;		/* as the host asked; the block layer clears the bio's own mark */
	bool flush_behind;	/* and its last device has a volatile cache */
	bool late;		/* a write through: a copy was not written, for want of a lease */
	u64 undo, undo_clean;	/* dirty pages that a write through unmarked; clean ones dropped */
	int origin_errors, origin_away, origin_gone;	/* when it wrote to the origin */
	int doubts;		/* FLUSHes of the cache device that had failed then */
	struct circle_flush_wait flush;
	void *write;			/* replicate.c's part */
};

struct bio *circle_io_bio(struct circle_io *io);

/* How often a request is begun anew on account of an origin that fails, or comes and goes. */
#define CIRCLE_IO_AGAIN	8

#define CIRCLE_IO_SAVES	2	/* and its circle_save(), which may take long each time */

/*
 * Any context. circle_save() was in vain: nothing is lost, but the origin refused something, or was
 * away for anybody meanwhile. To be tried anew?
 */
static inline bool circle_io_save_again(struct circle_io *io, u64 lost, u64 refused)
{
	if (lost || !refused || io->saves == CIRCLE_IO_SAVES)
		return false;
	io->saves++;
	return true;
}

/* Any context: a write that has no slot may get one by a commit, or an eviction and a commit. */
bool circle_write_hopes(const struct circle_io *io);

/* Any context, before a write's data go to bdev; they go without REQ_FUA. Some device below may
 * have none of its own, whatever bdev says, and get a FLUSH from the block layer; if that failed
 * nobody would know what else it took with it. So the FLUSH behind the write is always ours.
 */
static inline void circle_io_goes_to(struct circle_io *io, struct block_device *bdev)
{
	io->flush_behind = io->fua && bdev_write_cache(bdev);
}

/* Lock of sh, io->block's, held: takes the range. False: later, and io is not ours any more. */
bool __circle_io_lock(struct circle_io *io, struct circle_shard *sh, bool excl);

/* Process context: what waited before it began (live.h) begins. */
void circle_io_enter(struct circle_io *io);

/* Any context: run step on node->wq. */
void circle_io_queue(struct circle_io *io, void (*step)(struct circle_io *io));

/* Any context: the same, on a queue of the caller's, which is flushed in postsuspend. */
void circle_io_queue_on(struct circle_io *io, struct workqueue_struct *wq,
			void (*step)(struct circle_io *io));

/*
 * The same for a later step, on a queue where nothing waits for a reserve that only later steps of
 * others give back.
 */
void circle_io_continue(struct circle_io *io, void (*step)(struct circle_io *io));

/* Any context: complete the bio with io->status; its end_io releases the range. */
void circle_io_end(struct circle_io *io);

/* Process context: send the bio to a device, without FUA; `ended` runs at its completion (maybe in
 * irq).
 */
void circle_io_submit(struct circle_io *io, struct block_device *bdev, u64 sector,
		      bool (*ended)(struct circle_io *io));

/* Copies sectors of the block from the slot to the origin, or the reverse, as one pending part of
 * io; the last part to end runs step: on the queue, or at once if io->direct. Process context.
 * late, and a status: it was not written, since there was no lease.
 */
void circle_io_copy_out(struct circle_io *io, u32 start, u32 end);
void circle_io_copy_in(struct circle_io *io, u32 start, u32 end);
void circle_io_part_done(struct circle_io *io);

/* Process context: FLUSH to the origin as one pending part of io. Nothing to do: done at once. */
void circle_io_flush_origin(struct circle_io *io);

/* read.c */
int circle_read_map(struct circle_io *io, struct bio *bio);
void circle_read_step(struct circle_io *io);

/* write.c: from map() only what needs no allocation and no wait. */
int circle_write_map(struct circle_io *io, struct bio *bio);
void circle_write_step(struct circle_io *io);

/* through.c, process context: to the origin, and no cached copy is left (P4, R4, R11). */
void circle_through_step(struct circle_io *io);
/* map(), range held, planned: true: the bio is remapped, and it is the same; it needs no more. */
bool circle_through_map(struct circle_io *io, struct bio *bio);

/* discard.c, flush.c, process context */
void circle_discard_step(struct circle_io *io);
void circle_flush_step(struct circle_io *io);
/* Any context: is the cache device's own FLUSH all that a FLUSH now takes? */
bool circle_flush_is_plain(struct circle_node *node);
/* Any context: a write with FUA that comes now comes right behind a FLUSH that failed. */
bool circle_flush_failed(struct circle_node *node);

#endif
