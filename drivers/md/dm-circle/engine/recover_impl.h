/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recover_impl: what recover.c, which knows what is to be drained, and recover_drain.c, which does
 * it, share. Process context, sleeps; one recovery of a node at a time.
 */
#ifndef CIRCLE_ENGINE_RECOVER_IMPL_H
#define CIRCLE_ENGINE_RECOVER_IMPL_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/rwsem.h>
#include "../core/recover.h"
#include "activate.h"

struct circle_recovery {
	struct circle_node *node;
	struct circle_copy *copy;	/* vmalloc'ed; drain: by circle_copy_order() */
	u32 nr, room;
	enum circle_verdict verdict;
	u32 counted;			/* peers that the verdict counts on */
	u64 instance[CIRCLE_MAX_PEERS];	/* which they were then */
	u32 before;			/* copies that others listed */
	void *buf;			/* a page of a list */
	atomic64_t blocks, pages, from_peers;	/* drained */

	/* while it drains */
	struct rw_semaphore origin;	/* shared: who writes there; else: who looks at the label */
	atomic_t next;			/* copy to be looked at */
	atomic_t running;		/* drainers */
	struct completion over;		/* none is left */
	int err;			/* of the first that failed; cmpxchg */
};

/*
 * The winner of each block to the origin, if it is believed, several blocks at a time; then an
 * origin FLUSH. Sets lost of winners that cannot all be read. -ENODATA, verdict COMPLETE only: what
 * is believed cannot be read. -EINTR, -ESTALE (fenced), -EIO, -ENOMEM. Nothing is under way when it
 * returns.
 */
int circle_recover_drain(struct circle_recovery *r);

#endif
