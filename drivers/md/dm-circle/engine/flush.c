// SPDX-License-Identifier: GPL-2.0-only
/*
 * flush: a FLUSH of the host (R12): the cache device's data and the journal, the origin's
 * volatile cache, and the holders, in parallel. Never completes before.
 */
#include "replicate.h"

static void committed(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (err)
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	circle_io_part_done(io);
}

bool circle_flush_is_plain(struct circle_node *node)
{
	return circle_meta_settled(node->meta) && !circle_origin_mark(node) &&
	       !READ_ONCE(node->through_lost) && !circle_holders_undurable(node);
}

void circle_flush_step(struct circle_io *io)
{
	/* Once, as fsync does: a FLUSH that we issued ourselves lost what had been completed. */
	if (READ_ONCE(io->node->through_lost) && xchg(&io->node->through_lost, false))
		io->status = BLK_STS_IOERR;
	atomic_set(&io->pending, 2);
	io->step = circle_io_end;
	io->waiter.flush = true;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
	circle_io_flush_origin(io);
	circle_flush_holders(io);
	circle_io_part_done(io);
}
