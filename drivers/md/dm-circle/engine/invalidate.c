// SPDX-License-Identifier: GPL-2.0-only
/*
 * invalidate: takes blocks out of the cache by the number of their slot, durably, without writing
 * them back. It must never take a dirty block, one that a peer holds, or a peer's replica.
 */
#include "invalidate.h"

#include <linux/delay.h>
#include <linux/jiffies.h>

#define PATIENCE	(5 * HZ)	/* for requests that are under way on a block */
#define AT_ONCE		256		/* slots between two looks at whether we may go on */

/* shard->lock held, irqs off. */
static int take_out(struct circle_slots *s, struct circle_shard *sh, u32 n, struct list_head *wake)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_range range = {
		.block = circle_slot_block(sl), .mask = ~0ull, .excl = true,
	};

	if (circle_slot_dirty(s, n) || sl->holders ||
	    (sl->flags & (CIRCLE_SLOT_UNSURE | CIRCLE_SLOT_OLD)))
		return -EBUSY;
	if ((sl->flags & CIRCLE_SLOT_BUSY) || !__circle_range_lock(s, &range, true))
		return -EAGAIN;
	__circle_slot_unmap(s, sh, n);
	__circle_range_unlock(&range, wake);
	return 0;
}

/* 0: it is gone, or there was nothing of ours. */
static int one(struct circle_slots *s, u32 n)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_shard *sh;
	unsigned long flags;
	LIST_HEAD(wake);
	int r = 0;

	if (READ_ONCE(sl->owner) || !circle_slot_lock(s, n, &sh, &flags))
		return 0;
	if (!sl->owner)
		r = take_out(s, sh, n, &wake);
	spin_unlock_irqrestore(&sh->lock, flags);
	circle_range_wake(&wake);
	return r;
}

/* node->admin held. Stops before the first that is used right now. */
static int some(struct circle_node *node, u32 *n, u32 end, u32 *refused)
{
	u32 stop = min_t(u64, end, (u64)*n + AT_ONCE);
	int r;

	if (node->state != CIRCLE_NODE_LIVE)
		return -ENODEV;
	if (end > node->slots->nr)
		return -ERANGE;
	r = circle_meta_load_rest(node->meta, true);	/* else a slot may seem to be free */
	if (r)
		return r;
	for (; *n < stop; ++*n) {
		r = one(node->slots, *n);
		if (r == -EAGAIN)
			return r;
		if (!r)
			continue;
		if (!*refused)
			*refused = *n + 1;
	}
	return 0;
}

int circle_invalidate(struct circle_node *node, u32 begin, u32 end, u32 *refused)
{
	unsigned long give_up = jiffies + PATIENCE;
	u32 n = begin, last;
	int r = 0;

	*refused = 0;
	while (n < end) {
		last = n;
		mutex_lock(&node->admin);
		r = some(node, &n, end, refused);
		mutex_unlock(&node->admin);
		if (n > last)
			give_up = jiffies + PATIENCE;
		if (r == -EAGAIN && time_before(jiffies, give_up)) {
			msleep(20);
			continue;
		}
		if (r == -EAGAIN && !*refused)
			*refused = n + 1;
		if (r)
			break;
	}
	mutex_lock(&node->admin);
	if (node->state == CIRCLE_NODE_LIVE && circle_meta_commit(node->meta, false) && !r)
		r = -EIO;
	mutex_unlock(&node->admin);
	return !r && *refused ? -EBUSY : r;
}
