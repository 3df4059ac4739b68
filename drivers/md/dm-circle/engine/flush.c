// SPDX-License-Identifier: GPL-2.0-only
/*
 * flush: a FLUSH of the host (R12): the cache device's data and the journal, the origin's
 * volatile cache, and the holders, in parallel. Never completes before. When the journal cannot be
 * written, what is dirty is written back instead, and then the origin is flushed.
 *
 * device-mapper makes a FLUSH of its own of one that comes with data, as a journal's last block
 * does, and drops its error. So that this is not taken for durable, what is written with FUA within
 * 5 s behind a FLUSH that failed fails too.
 */
#include <linux/device-mapper.h>
#include "degrade.h"
#include "origin.h"
#include "replicate.h"

#define RIGHT_BEHIND	(5 * HZ)

/* Not used up: it may be anybody's. */
bool circle_flush_failed(struct circle_node *node)
{
	unsigned long when = READ_ONCE(node->flush_failed);

	if (!when)
		return false;
	if (time_before(jiffies, when + RIGHT_BEHIND))
		return true;
	return cmpxchg(&node->flush_failed, when, 0) != when;	/* else it is another's, just now */
}

/* Once, as fsync does: what had been completed was lost, by somebody's FLUSH or by the SSD. */
static void tell_loss(struct circle_io *io)
{
	if (READ_ONCE(io->node->loss_untold) && xchg(&io->node->loss_untold, false))
		io->status = BLK_STS_IOERR;
}

static void over(struct circle_io *io)
{
	if (!io->status || io->status == BLK_STS_DM_REQUEUE)	/* who fails anyway leaves it */
		tell_loss(io);
	circle_io_end(io);
}

static void flush_origin(struct circle_io *io)
{
	atomic_set(&io->pending, 1);
	io->step = over;
	circle_io_flush_origin(io);
	circle_io_part_done(io);
}

static void drained(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (!err) {
		circle_io_continue(io, flush_origin);
		return;
	}
	io->status = err == -EAGAIN && io->node->requeue ? BLK_STS_DM_REQUEUE : BLK_STS_IOERR;
	circle_io_end(io);
}

static void parts_over(struct circle_io *io)
{
	if (io->status || !io->uncommitted) {
		over(io);
		return;
	}
	/* Void, or else they would be believed after a crash, and not what is at the origin. */
	if (!circle_degrade_wait(io, parts_over) || !circle_lease_wait(io, parts_over))
		return;
	io->waiter.done = drained;
	circle_drain_wait(io->node, &io->waiter);
}

/* Any context. */
static void parts_ended(struct circle_io *io)
{
	if (io->status || !io->uncommitted)
		over(io);
	else
		circle_io_continue(io, parts_over);
}

static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	io->uncommitted = err;
	circle_io_part_done(io);
}

bool circle_flush_is_plain(struct circle_node *node)
{
	if (!circle_meta_settled(node->meta) || circle_origin_mark(node))
		return false;
	smp_rmb();		/* covered by a FLUSH behind one that failed: then that is seen */
	return !READ_ONCE(node->loss_untold) && !circle_holders_undurable(node);
}

void circle_flush_step(struct circle_io *io)
{
	atomic_set(&io->pending, 2);
	io->step = parts_ended;
	io->direct = true;
	io->waiter.flush = bdev_write_cache(io->node->cache);
	io->waiter.done = committed;
	circle_flush_holders(io);	/* which takes longest */
	circle_commit_fast(io->node, &io->waiter);
	circle_io_flush_origin(io);
	circle_io_part_done(io);
}
