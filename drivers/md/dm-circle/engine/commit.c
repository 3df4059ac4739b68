// SPDX-License-Identifier: GPL-2.0-only
/*
 * commit: one committer for all that wait (group commit). It does local I/O alone: it must never
 * wait for a peer, the origin or the label, since those may wait for it (R13). When the metadata
 * fail it first has that said durably (degrade.c); only then those that wait hear of it.
 */
#include "degrade.h"
#include "../trace.h"

#define TICK	HZ

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
	list_splice_init(&c->waiters, &all);
	spin_unlock_irq(&c->lock);
	list_for_each_entry(w, &all, link)
		flush |= w->flush;
	changed = atomic_read(&node->slots->nr_changed);
	r = circle_meta_commit(node->meta, flush);
	trace_circle_commit(node, changed, flush, r);
	if (r)
		circle_degrade(node);
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

void circle_commit_kick(struct circle_node *node)
{
	queue_work(node->commit_wq, &node->commit.work);
}
