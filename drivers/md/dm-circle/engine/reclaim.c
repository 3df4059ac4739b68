// SPDX-License-Identifier: GPL-2.0-only
/*
 * reclaim: keeps a stock of free slots ahead of need, so that no write waits for one. Evicts clean
 * own blocks, those not used since it looked last first. It must never take a dirty block, one
 * that a holder still has a replica of, or a replica.
 */
#include "node.h"

#include <linux/random.h>

static u32 have(const struct circle_node *node)
{
	return READ_ONCE(node->slots->nr_free) + atomic_read(&node->slots->nr_freeing);
}

/* shard->lock held. Second chance: a slot that was used goes round once more. */
static u32 pick(struct circle_slots *s, struct circle_shard *sh)
{
	u32 tries = min(sh->clean.nr, 32u), n;

	while (tries--) {
		struct circle_slot *sl;

		n = sh->clean.tail;
		sl = &s->slot[n];
		if (!(sl->flags & (CIRCLE_SLOT_REF | CIRCLE_SLOT_BUSY)) && !sl->holders)
			return n;
		sl->flags &= ~CIRCLE_SLOT_REF;
		circle_slot_rotate(s, sh, n);
	}
	return CIRCLE_NO_SLOT;
}

static bool evict_one(struct circle_node *node, struct circle_shard *sh)
{
	struct circle_slots *s = node->slots;
	struct circle_range range = { .excl = true, .mask = ~0ull };
	LIST_HEAD(wake);
	bool done = false;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = pick(s, sh);
	if (n == CIRCLE_NO_SLOT)
		goto out;
	range.block = s->slot[n].block;
	if (__circle_range_lock(s, &range, true)) {
		__circle_slot_unmap(s, sh, n);
		__circle_range_unlock(&range, &wake);
		done = true;
	} else {
		circle_slot_rotate(s, sh, n);
	}
out:
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (done)
		circle_stat_add(node->stats, CIRCLE_STAT_DEMOTION, 1);
	return done;
}

static void reclaim_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, reclaim);
	struct circle_slots *s = node->slots;
	u32 idle = 0, i = get_random_u32() % s->nr_shards;
	bool any = false;

	while (have(node) < node->stock && idle < 2 * s->nr_shards) {
		if (evict_one(node, &s->shard[i++ % s->nr_shards])) {
			idle = 0;
			any = true;
		} else {
			idle++;
		}
		cond_resched();
	}
	if (any || atomic_read(&s->nr_freeing))
		circle_commit_kick(node);
	if (have(node) < node->stock) {
		WRITE_ONCE(node->wb.pressure, true);
		circle_writeback_kick(node);
	}
}

void circle_reclaim_init(struct circle_node *node)
{
	INIT_WORK(&node->reclaim, reclaim_work);
}

void circle_reclaim_kick(struct circle_node *node)
{
	if (!READ_ONCE(node->bg_stop) && have(node) < node->stock)
		queue_work(node->bg_wq, &node->reclaim);
}
