/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recover: what a recovery may claim (R6), and which copy of a block is the one. Pure.
 */
#ifndef CIRCLE_CORE_RECOVER_H
#define CIRCLE_CORE_RECOVER_H

#include <circle/types.h>

enum circle_verdict {
	CIRCLE_REFUSED = 0,	/* what was completed cannot be proved to be there */
	CIRCLE_WEAK,		/* complete up to the last FLUSH: all copies are believed */
	CIRCLE_COMPLETE,	/* only continuous peers are believed */
};

struct circle_evidence {
	u32 floor;		/* of the label: holders in view that every dirty page has */
	u32 unreachable;	/* peers in view that do not answer, or have another store */
	u32 restarted;		/* peers in view that answer, but restarted since the label */
	bool ssd;		/* the owner's SSD is in the label, and here */
	bool weak;		/* the label says that a weak recovery has begun */
	bool empty;		/* view empty and no SSD in the label: nothing is dirty */
	bool lost;		/* pages are lost, and the metadata that name them are not here */
};

enum circle_verdict circle_recover_judge(const struct circle_evidence *e);

/*
 * An instance names a load of a node (its low half, random) and what that keeps (its high half: of
 * the metadata as formatted, and of how often a replica was lost to the disk since). The same store
 * in another load has all that was ever flushed; another store may have nothing.
 */
static inline u64 circle_instance(u32 store, u32 load)
{
	return (u64)store << 32 | load;
}

static inline bool circle_same_store(u64 a, u64 b)
{
	return a >> 32 == b >> 32;
}

#define CIRCLE_FROM_SSD	255	/* source of a copy that is on our own SSD */

struct circle_copy {		/* one replica, as listed */
	u64 block, seq, pages;
	u64 lost;		/* pages that could not be read */
	u32 gen;
	u8 from;		/* peer number, or CIRCLE_FROM_SSD */
	u8 believed;
	u8 noted;		/* lost: enum circle_lost */
	u8 bad;			/* some of it could not be read there: no copy to count on */
};

enum circle_lost {
	CIRCLE_LOST_NOT = 0,
	CIRCLE_LOST_NOTED,	/* a slot says so */
	CIRCLE_LOST_SAID,	/* durably, and the label too */
};

/* For sort(): by block, the one to be taken first: believed before not, then the higher tag, then
 * a peer's before the SSD's.
 */
int circle_copy_order(const void *a, const void *b);

#endif
