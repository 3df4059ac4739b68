// SPDX-License-Identifier: GPL-2.0-only
/*
 * commit: one committer for all that wait (group commit). It does local I/O alone: it must never
 * wait for a peer, the origin or the label, since those may wait for it (R13). When the metadata
 * fail it first has that said durably (degrade.c); only then those that wait hear of it. A FLUSH
 * of data alone goes without it (circle_commit_fast()), but never while it works. Those that map()
 * sends on as they are, and write-back's, are in no order with either; see design.rst.
 */
#include "degrade.h"
#include "../trace.h"

#define TICK	HZ
#define SLICE	(30 * HZ)	/* a device may hang for long, and that is not our fault */

static void commit_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, commit.work);
	struct circle_committer *c = &node->commit;
	struct circle_waiter *w, *tmp;
	bool flush = false;
	LIST_HEAD(all);
	u32 changed;
	int r;

	spin_lock_irq(&c->lock);
	c->working = true;
	spin_unlock_irq(&c->lock);
	/* Not both at once: one could be believed before it is known that the other failed. */
	while (!wait_event_timeout(c->landed, !READ_ONCE(c->flying), SLICE))
		;
	spin_lock_irq(&c->lock);
	list_splice_init(&c->waiters, &all);
	spin_unlock_irq(&c->lock);
	list_for_each_entry(w, &all, link)
		flush |= w->flush;
	changed = atomic_read(&node->slots->nr_changed);
	r = circle_meta_commit(node->meta, flush);
	trace_circle_commit(node, changed, flush, r);
	if (r)
		circle_degrade(node);
	spin_lock_irq(&c->lock);
	c->working = false;
	spin_unlock_irq(&c->lock);
	list_for_each_entry_safe(w, tmp, &all, link) {
		list_del(&w->link);
		w->done(w, r);
	}
}

static void tick_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, commit.tick.work);

	if (READ_ONCE(node->bg_stop))
		return;
	circle_event_tick(node);
	if (atomic_read(&node->slots->nr_changed))
		circle_commit_kick(node);
	queue_delayed_work(node->bg_wq, &node->commit.tick, TICK);
}

void circle_commit_init(struct circle_node *node)
{
	spin_lock_init(&node->commit.lock);
	INIT_LIST_HEAD(&node->commit.waiters);
	INIT_LIST_HEAD(&node->commit.drainers);
	init_waitqueue_head(&node->commit.landed);
	INIT_WORK(&node->commit.work, commit_work);
	INIT_DELAYED_WORK(&node->commit.tick, tick_work);
}

void circle_commit_wait(struct circle_node *node, struct circle_waiter *w)
{
	unsigned long flags;

	spin_lock_irqsave(&node->commit.lock, flags);
	list_add_tail(&w->link, &node->commit.waiters);
	spin_unlock_irqrestore(&node->commit.lock, flags);
	queue_work(node->commit_wq, &node->commit.work);
}

/* Any context: a FLUSH without the committer has ended. If it failed that one goes on with it. */
static void landed(struct bio *bio)
{
	struct circle_node *node = bio->bi_private;
	struct circle_committer *c = &node->commit;
	struct circle_waiter *w = c->rider;
	unsigned long flags;
	bool bad;

	if (bio->bi_status)
		circle_cache_doubt(node);
	bio_uninit(bio);
	bad = circle_meta_data_bad(node->meta);		/* also another's */
	spin_lock_irqsave(&c->lock, flags);
	WRITE_ONCE(c->flying, false);
	if (bad)
		list_add_tail(&w->link, &c->waiters);
	if (!list_empty(&c->waiters))
		queue_work(node->commit_wq, &c->work);
	wake_up(&c->landed);
	spin_unlock_irqrestore(&c->lock, flags);
	if (!bad)
		w->done(w, 0);		/* the node may go with it */
}

void circle_commit_fast(struct circle_node *node, struct circle_waiter *w)
{
	struct circle_committer *c = &node->commit;
	bool settled;

	spin_lock_irq(&c->lock);
	settled = !c->working && !c->flying && list_empty(&c->waiters) &&
		  circle_meta_settled(node->meta);
	if (settled && w->flush)
		c->flying = true;
	spin_unlock_irq(&c->lock);
	if (!settled) {
		circle_commit_wait(node, w);
		return;
	}
	if (!w->flush) {
		w->done(w, 0);
		return;
	}
	c->rider = w;
	bio_init(&c->bio, node->cache, NULL, 0, REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH);
	c->bio.bi_private = node;
	c->bio.bi_end_io = landed;
	submit_bio(&c->bio);
}

struct now {
	struct circle_waiter waiter;
	struct completion over;
	int err;
};

static void now_over(struct circle_waiter *w, int err)
{
	struct now *now = container_of(w, struct now, waiter);

	now->err = err;
	complete(&now->over);
}

int circle_commit_now(struct circle_node *node)
{
	struct now now = { .waiter.flush = true, .waiter.done = now_over };

	init_completion(&now.over);
	circle_commit_wait(node, &now.waiter);
	while (!wait_for_completion_io_timeout(&now.over, SLICE))
		;
	return now.err;
}

void circle_commit_kick(struct circle_node *node)
{
	queue_work(node->commit_wq, &node->commit.work);
}
