/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recover_impl: what recover.c, which knows what is to be drained, recover_drain.c, which does it,
 * and live.c, which does it while the host's I/O goes on, share. Process context, sleeps; one
 * recovery of a node at a time.
 */
#ifndef CIRCLE_ENGINE_RECOVER_IMPL_H
#define CIRCLE_ENGINE_RECOVER_IMPL_H

#include <linux/atomic.h>
#include <linux/bio.h>
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
	bool unreleased;		/* a peer does not let go what is at the origin */
	bool forced;			/* it would have been refused, */
	u32 missing;			/* since these have not all */
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
	bool live;			/* the steward looks at the label; err stops all */
};

#define CIRCLE_SEQ_ANY	U64_MAX		/* of a copy, while live: whatever its peer has now */
#define CIRCLE_DRAINERS	8		/* blocks at a time */
#define CIRCLE_DRAIN_SECTORS	256	/* of a block at a time */
#define CIRCLE_DRAIN_VECS	(CIRCLE_DRAIN_SECTORS * 512 / PAGE_SIZE + 1)

struct circle_drainer {
	struct work_struct work;
	struct circle_recovery *r;
	struct circle_call call;
	void *buf;			/* CIRCLE_DRAIN_SECTORS */
	struct bio bio;			/* while live: of a write to the origin, */
	struct completion written;	/* and its end */
	struct bio_vec vec[CIRCLE_DRAIN_VECS];
};

/* GFP_KERNEL, fewer than wanted will do; NULL: not even one. work is the caller's to set. */
struct circle_drainer *circle_drainers_alloc(struct circle_recovery *r, u32 *nr);
void circle_drainers_free(struct circle_drainer *d, u32 nr);

/* A peer's that counts still. READ_ONCE: while live the steward may take one out. */
bool circle_recover_counts(const struct circle_recovery *r, const struct circle_copy *copy);

/* copy[i] wins its block, and is believed. */
bool circle_recover_wins(const struct circle_recovery *r, u32 i);

/*
 * Writes a copy to the origin, or its sectors [from, to). -ENODATA: it cannot be read. While live
 * also -EIO: the origin; -ENOTCONN: the peer is away; -ETIMEDOUT: it went, or did not answer;
 * -ECANCELED: no lease, or stopped.
 */
int circle_recover_copy(struct circle_drainer *d, const struct circle_copy *copy);
int circle_recover_run(struct circle_drainer *d, const struct circle_copy *copy, u32 from, u32 to);

/*
 * shard->lock of slot n held, which has the block whose copies begin at i: it is clean, none of
 * them is believed, and none is newer. So it is right, and says so.
 */
bool __circle_recover_stays(const struct circle_recovery *r, u32 i, u32 n);

/*
 * What peers that count have is durable there. -EAGAIN: one went away; -EINTR: killed; -EACCES: one
 * cannot do it. all: then the others are not asked.
 */
int circle_recover_flush_peers(const struct circle_recovery *r, struct circle_call *call, bool all);

/* The list of copies is complete: bring it into order. */
void circle_recover_sort(struct circle_recovery *r);

/*
 * The winner of each block to the origin, if it is believed, several blocks at a time; then an
 * origin FLUSH. Sets lost of winners that cannot all be read. -ENODATA, verdict COMPLETE only: what
 * is believed cannot be read. -EAGAIN: a peer went away. -EINTR, -ESTALE (fenced), -EIO, -ENOMEM.
 * Nothing is under way when it returns.
 */
int circle_recover_drain(struct circle_recovery *r);

#endif
