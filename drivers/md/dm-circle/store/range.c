// SPDX-License-Identifier: GPL-2.0-only
/*
 * range: overlapping operations on a block's pages, one at a time (R11). First come, first
 * served: an operation waits for every earlier one that it conflicts with, waiting ones too, so
 * none starves. Shared holders (reads, write-back) do not conflict with one another.
 *
 * Everything is under the shard's lock; nothing here sleeps or does I/O.
 */
#include "slots.h"

#include <linux/hash.h>
#include <linux/lockdep.h>

static struct list_head *list_of(struct circle_shard *sh, u64 block)
{
	return &sh->range[hash_64(block, 4)];
}

static bool conflict(const struct circle_range *a, const struct circle_range *b)
{
	return a->block == b->block && a->owner == b->owner && (a->mask & b->mask) &&
	       (a->excl || b->excl);
}

static bool must_wait(struct list_head *l, const struct circle_range *r)
{
	struct circle_range *q;

	list_for_each_entry(q, l, link) {
		if (q == r)
			return false;
		if (conflict(q, r))
			return true;
	}
	return false;
}

bool __circle_range_lock(struct circle_slots *s, struct circle_range *r, bool try)
{
	return __circle_range_lock_in(circle_shard_of(s, r->owner, r->block), r, try);
}

bool __circle_range_lock_in(struct circle_shard *sh, struct circle_range *r, bool try)
{
	struct list_head *l = list_of(sh, r->block);

	lockdep_assert_held(&sh->lock);
	r->shard = sh;
	r->granted = !must_wait(l, r);
	if (r->granted || !try)
		list_add_tail(&r->link, l);
	return r->granted;
}

void __circle_range_unlock(struct circle_range *r, struct list_head *out)
{
	struct list_head *l = list_of(r->shard, r->block);
	struct circle_range *q;

	lockdep_assert_held(&r->shard->lock);
	list_del(&r->link);
	list_for_each_entry(q, l, link)
		if (!q->granted && q->block == r->block && !must_wait(l, q)) {
			q->granted = true;
			list_add_tail(&q->wake, out);
		}
}

void circle_range_wake(struct list_head *out)
{
	struct circle_range *q, *tmp;

	list_for_each_entry_safe(q, tmp, out, wake) {
		list_del(&q->wake);
		q->grant(q);
	}
}

void circle_range_unlock(struct circle_range *r)
{
	struct circle_shard *sh = r->shard;
	unsigned long flags;
	LIST_HEAD(out);

	spin_lock_irqsave(&sh->lock, flags);
	__circle_range_unlock(r, &out);
	spin_unlock_irqrestore(&sh->lock, flags);
	circle_range_wake(&out);
}

bool circle_range_contended(const struct circle_range *r)
{
	struct circle_range *q;
	unsigned long flags;
	bool waits = false;

	spin_lock_irqsave(&r->shard->lock, flags);
	list_for_each_entry(q, list_of(r->shard, r->block), link)
		waits |= !q->granted && conflict(q, r);
	spin_unlock_irqrestore(&r->shard->lock, flags);
	return waits;
}
