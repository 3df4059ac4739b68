// SPDX-License-Identifier: GPL-2.0-only
/*
 * reclaim: keeps a stock of free slots ahead of need, so that no write waits for one. Evicts what
 * is parked, then clean own blocks, which ones is for core/policy.c to say. It must never take a
 * dirty block, one that a holder still has a replica of, one that is BUSY, or a replica.
 */
#include "pace.h"

#include <linux/random.h>

#define MAX_TRIES	32	/* slots looked at under one lock */
#define STARVES		(2 * HZ)	/* since the host last found no slot */

static u32 have(const struct circle_node *node)
{
	return READ_ONCE(node->slots->nr_free) + atomic_read(&node->slots->nr_freeing);
}

/* shard->lock held. In which queue to look first. */
static bool main_first(const struct circle_shard *sh)
{
	return !circle_policy_small_first(sh->queue[0].nr, sh->queue[1].nr);
}

static bool pinned(const struct circle_slot *sl)
{
	return (sl->flags & CIRCLE_SLOT_BUSY) || sl->holders;
}

/* shard->lock held. True: the queue's oldest may go; else it is not the oldest any more. */
static bool may_go(struct circle_slots *s, struct circle_shard *sh, u32 n, bool main)
{
	u32 uses = __circle_slot_uses(s, n);
	enum circle_fate fate = circle_policy_fate(main, &uses);

	__circle_slot_set_uses(s, n, uses);
	if (fate == CIRCLE_FATE_MAIN)
		__circle_slot_to_main(s, sh, n);
	else if (fate == CIRCLE_FATE_AGAIN)
		circle_slot_rotate(s, sh, n);
	return fate == CIRCLE_FATE_EVICT;
}

/*
 * shard->lock held. The other queue's turn comes too, should one hold nothing but pinned slots.
 * hard: uses do not count.
 */
static u32 pick(struct circle_slots *s, struct circle_shard *sh, bool hard)
{
	u32 tries, stuck = 0, n;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		bool main = main_first(sh) ^ (stuck >= MAX_TRIES / 2);

		if (!sh->queue[main].nr)
			main = !main;
		n = sh->queue[main].tail;
		if (n == CIRCLE_NO_SLOT)
			break;
		if (pinned(&s->slot[n])) {
			circle_slot_rotate(s, sh, n);
			stuck++;
		} else if (hard || may_go(s, sh, n, main)) {
			return n;
		}
	}
	return CIRCLE_NO_SLOT;
}

bool circle_reclaim_yields(struct circle_node *node, u64 block)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	unsigned long flags;
	bool yes = true;
	u32 n, uses;

	if (atomic_read(&s->nr_parked) > 0)
		return true;
	spin_lock_irqsave(&sh->lock, flags);
	n = sh->queue[1].tail;
	if (n != CIRCLE_NO_SLOT && main_first(sh)) {
		uses = __circle_slot_uses(s, n);
		yes = circle_policy_wins(&uses);
		__circle_slot_set_uses(s, n, uses);
		if (!yes)
			circle_slot_rotate(s, sh, n);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return yes;
}

bool __circle_reclaim_makes_way(struct circle_slots *s, struct circle_shard *sh)
{
	u32 n = sh->dirty.tail, uses;
	bool yes;

	lockdep_assert_held(&sh->lock);
	if (n == CIRCLE_NO_SLOT)
		return true;
	uses = __circle_slot_uses(s, n);
	yes = circle_policy_wins(&uses);
	__circle_slot_set_uses(s, n, uses);
	/* What is due stays where write-back looks first. */
	if (!yes && circle_slot_age(&s->slot[n]) < CIRCLE_AGE)
		circle_slot_rotate(s, sh, n);
	return yes;
}

static bool evict_one(struct circle_node *node, struct circle_shard *sh, bool hard)
{
	struct circle_slots *s = node->slots;
	struct circle_range range = { .excl = true, .mask = ~0ull };
	LIST_HEAD(wake);
	bool done = false;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = pick(s, sh, hard);
	if (n == CIRCLE_NO_SLOT)
		goto out;
	range.block = circle_slot_block(&s->slot[n]);
	if (__circle_range_lock(s, &range, true)) {
		if (!(s->slot[n].flags & CIRCLE_SLOT_MAIN))
			circle_policy_remember(&node->policy, range.block);
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

static bool evict_parked(struct circle_slots *s, struct circle_shard *sh)
{
	struct circle_range range = { .excl = true, .mask = ~0ull };
	LIST_HEAD(wake);
	bool done = false;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = sh->parked.tail;
	if (n != CIRCLE_NO_SLOT) {
		range.owner = s->slot[n].owner;
		range.block = circle_slot_block(&s->slot[n]);
		done = __circle_range_lock(s, &range, true);
		if (done) {
			__circle_slot_unmap(s, sh, n);
			__circle_range_unlock(&range, &wake);
		} else {
			circle_slot_rotate(s, sh, n);
		}
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	return done;
}

bool circle_reclaim_parked(struct circle_node *node)
{
	struct circle_slots *s = node->slots;
	u32 i, first = get_random_u32() % s->nr_shards;

	for (i = 0; i < s->nr_shards && atomic_read(&s->nr_parked) > 0; i++)
		if (evict_parked(s, &s->shard[(first + i) % s->nr_shards]))
			return true;
	return false;
}

/* Nothing may go, wherever one looks: what is dirty has to become clean. */
static void ran_dry(struct circle_node *node)
{
	int dirty = atomic_read(&node->slots->nr_dirty);

	WRITE_ONCE(node->dry, jiffies);
	WRITE_ONCE(node->wb.pressure, true);
	if (!circle_pace_futile(node) && dirty > atomic_read(&node->slots->nr_lost) &&
	    dirty != READ_ONCE(node->wb.vain))
		circle_writeback_kick(node);
}

static void reclaim_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, reclaim);
	struct circle_slots *s = node->slots;
	u32 idle = 0, i = get_random_u32() % s->nr_shards;
	bool any = false;

	if (circle_is_behind(node) || READ_ONCE(node->bg_stop))
		return;			/* it is begun again at the end of that */
	while (have(node) < node->stock && idle < 2 * s->nr_shards) {
		/* A whole round brought none: all are in use, and any is as good. */
		bool hard = idle >= s->nr_shards;

		if (circle_reclaim_parked(node) ||
		    evict_one(node, &s->shard[i++ % s->nr_shards], hard)) {
			idle = 0;
			any = true;
		} else {
			idle++;
		}
		cond_resched();
	}
	if (any || atomic_read(&s->nr_freeing))
		circle_commit_kick(node);
	/* A stock that was filled, and is used up again by now, is not dry: see the next kick. */
	if (idle == 2 * s->nr_shards)
		ran_dry(node);
}

/* Within this jiffy a look at each shard, up to MAX_TRIES slots, found none that may go. */
static bool dry(const struct circle_node *node)
{
	unsigned long then = READ_ONCE(node->dry);

	return time_in_range(jiffies, then, then);
}

bool circle_reclaim_starves(const struct circle_node *node)
{
	return time_in_range(READ_ONCE(node->starved), jiffies - STARVES, jiffies);
}

static bool wants(const struct circle_node *node)
{
	return !READ_ONCE(node->bg_stop) && have(node) < node->stock;
}

void circle_reclaim_one(struct circle_node *node, bool insist)
{
	struct circle_slots *s = node->slots;
	u32 i, first = get_random_u32() % s->nr_shards;

	if (circle_is_behind(node) || atomic_read(&s->nr_freeing) >= node->stock ||
	    circle_reclaim_parked(node) || (dry(node) && !insist))
		return;
	for (i = 0; i < 2 * s->nr_shards; i++) {
		if (evict_one(node, &s->shard[(first + i) % s->nr_shards], i >= s->nr_shards))
			return;
		cond_resched();
	}
	ran_dry(node);
}

void circle_reclaim_init(struct circle_node *node)
{
	INIT_WORK(&node->reclaim, reclaim_work);
	node->dry = jiffies - 1;
	node->starved = jiffies - STARVES - 1;
}

void circle_reclaim_kick(struct circle_node *node)
{
	if (wants(node) && !dry(node))
		queue_work(node->bg_wq, &node->reclaim);
}

void circle_reclaim_anew(struct circle_node *node)
{
	/* It may run just now, and say that it is dry of what it saw before: then once more. */
	WRITE_ONCE(node->dry, jiffies - 1);
	if (wants(node))
		queue_work(node->bg_wq, &node->reclaim);
}
