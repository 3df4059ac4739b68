/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * live_impl: what live.c, which has the states of blocks and decides, and live_drain.c, which does
 * it, share.
 */
#ifndef CIRCLE_ENGINE_LIVE_IMPL_H
#define CIRCLE_ENGINE_LIVE_IMPL_H

#include "live.h"

/* Of a winner. PENDING, UNREADABLE: not drained. */
enum { LIVE_PENDING = 0, LIVE_DRAINED, LIVE_GONE, LIVE_UNREADABLE, LIVE_BASE = 3 };

#define LIVE_BUSY	0x10	/* a drainer has it */
#define LIVE_DURABLE	0x20	/* a FLUSH covered it: it never goes back to PENDING */
#define LIVE_LATER	0x40	/* failed: not before the steward says so */
#define LIVE_UNEVEN	0x80	/* copies differ, or are fewer than the floor: wait for GONE */

enum circle_live_type { LIVE_NOTHING, LIVE_DRAIN, LIVE_RELEASE, LIVE_FLUSH };

struct circle_live_job {
	enum circle_live_type type;
	u32 i;
	int errors;			/* live->errors when it began */
};

struct circle_live {
	struct circle_recovery r;	/* counted: by the label; the steward's own */
	struct circle_drainer *drainer;
	u32 nr_drainers;
	u32 winners;
	u64 pages;			/* theirs */

	spinlock_t lock;		/* irq-safe; covers what follows; a leaf */
	u8 *state;			/* of each copy; of winners. READ_ONCE, released */
	struct list_head waiters;	/* circle_io.waiter.link; their copy is io->covers */
	u32 next;			/* to be drained when nobody waits */
	u32 left;			/* winners that are not drained */
	u64 exposed;			/* pages of those that are not GONE */
	u32 busy;			/* jobs under way */
	bool paused;			/* only what is waited for */
	bool stopped;			/* nothing is begun */
	bool over;			/* the same: the last label is being written */
	bool renewing;			/* what is DRAINED may not be */
	bool flushed;			/* all is DRAINED, and durable */
	bool later, unreadable;		/* some are */
	int errors;			/* node->origin_errors that DRAINED goes by */

	u32 floor;			/* of the label; the steward's own; READ_ONCE */
	u32 bad;			/* peers that refused a release; lock */
	u32 flags;			/* of the label */
	unsigned long seen[CIRCLE_MAX_PEERS];	/* jiffies; the steward's own */
	unsigned long retried, reread, renewed;	/* jiffies; the steward's own */
};

/* Process context. What to do; the caller is to say circle_live_done(), unless it is nothing. True:
 * nothing was found yet, look again.
 */
bool circle_live_pick(struct circle_live *l, struct circle_live_job *job);
void circle_live_done(struct circle_live *l, const struct circle_live_job *job, int err);

/* live->lock held: no FLUSH has failed since the job began. */
bool __circle_live_good(const struct circle_live *l, const struct circle_live_job *job);

/* live_drain.c. The same version of a block, and of the same pages. */
bool circle_live_alike(const struct circle_copy *a, const struct circle_copy *b);
void circle_live_drain(struct work_struct *work);	/* a drainer's */
/* Sleeps. What the old owner completed is durable at the peers: before a FLUSH of ours says so. */
int circle_live_flush_peers(struct circle_live *l, struct circle_call *call);

#endif
