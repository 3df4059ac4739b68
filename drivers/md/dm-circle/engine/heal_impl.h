/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * heal_impl: what heal.c, which finds the blocks, and heal_copy.c, which copies one, share. Nobody
 * else's. A batch is one work's, with those of its operations; none of it has a lock.
 */
#ifndef CIRCLE_ENGINE_HEAL_IMPL_H
#define CIRCLE_ENGINE_HEAL_IMPL_H

#include "circle.h"
#include "heal.h"

#define CIRCLE_HEAL_WIDTH	4	/* copies under way */
#define CIRCLE_HEAL_BATCH	64	/* blocks looked for at a time */
#define CIRCLE_HEAL_CHUNK	128u	/* sectors of a frame; no page is larger in a circle */

/* repair.c, save.c and live_own.c deal with these */
#define CIRCLE_HEAL_ASIDE	(CIRCLE_SLOT_LOST | CIRCLE_SLOT_SICK | CIRCLE_SLOT_UNSURE | \
				 CIRCLE_SLOT_OLD)

struct circle_heal_op {
	struct work_struct work;
	struct circle_node *node;
	struct circle_range range;
	struct circle_peer *peer;	/* who is to hold it, */
	u32 turn;			/* as long as it is what it is now */
	u32 slot;
	u64 dirty, seq;
	int doubts;			/* FLUSHes of the cache device that had failed */
	bool sent, held;		/* it may have a part of it; another holds the block */
	bool revive, copy;		/* it may have it parked; that was asked for already */
	unsigned long begun;		/* jiffies */
	struct circle_call call;
	void *buf;			/* CIRCLE_HEAL_CHUNK sectors */
};

struct circle_heal {
	struct circle_node *node;
	struct delayed_work work;
	struct circle_heal_op op[CIRCLE_HEAL_WIDTH];
	u64 block[CIRCLE_HEAL_BATCH];	/* of this batch */
	u32 nr;
	atomic_t next;			/* of these to be copied */
	atomic_t copied;		/* blocks of it that were, */
	u32 round;			/* and those before in this round over all slots */
	u32 level, cursor;		/* holders that it looks for, from which slot on */
	unsigned long full;		/* bits of peers that had no room, in this round */
	unsigned long backoff;		/* jiffies */
	bool anew;			/* a new round; WRITE_ONCE */
	bool able;			/* READ_ONCE */
	bool tries;			/* not known yet to be in vain; READ_ONCE */
};

/* Any context. Holders are missing, and what is dirty is not drained anyway. */
bool circle_heal_wanted(const struct circle_node *node);

/* Process context, sleeps; op->buf is there. True: the block has one more holder. False: there is
 * nothing to do, or it is not possible now.
 */
bool circle_heal_copy(struct circle_heal_op *op, u64 block);

#endif
