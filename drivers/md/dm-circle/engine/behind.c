// SPDX-License-Identifier: GPL-2.0-only
/*
 * behind: while clean blocks are still being loaded (store/load.c), one that is not in the index
 * may have a copy on the SSD that is clean, and must not get older than the origin, nor a second
 * one. So until the end only two things are done: reads, of which those that find nothing go to the
 * origin and promote nothing; and writes over what is dirty, or may durably be so. All else waits:
 * other writes and discards here; write-back, eviction, repair and resizing are not begun.
 *
 * It must never let a request wait that nobody wakes: the load ends, by itself or by an error of
 * the metadata device, and a suspend waits for that.
 */
#include "io.h"
#include "repair.h"

bool circle_is_behind(const struct circle_node *node)
{
	return circle_meta_is_behind(node->meta);
}

static void go_on(struct circle_node *node)
{
	struct circle_waiter *w, *tmp;
	LIST_HEAD(all);

	spin_lock_irq(&node->behind.lock);
	list_splice_init(&node->behind.waiters, &all);
	spin_unlock_irq(&node->behind.lock);
	list_for_each_entry_safe(w, tmp, &all, link) {
		list_del(&w->link);
		w->done(w, 0);
	}
	circle_repair_start(node);
	circle_writeback_start(node);
	circle_reclaim_kick(node);
}

static void behind_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, behind.work);
	int r;

	do {
		r = circle_meta_load_rest(node->meta, false);
		cond_resched();
	} while (r > 0);
	circle_commit_kick(node);	/* slots that turned out to be free; or it has failed */
	go_on(node);
}

static void queue_first(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	circle_io_queue(io, io->step);
}

static void queue_later(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	circle_io_continue(io, io->step);
}

bool circle_behind_wait(struct circle_io *io, void (*step)(struct circle_io *io), bool first)
{
	struct circle_node *node = io->node;
	unsigned long flags;
	bool wait;

	if (!circle_is_behind(node))
		return true;
	io->step = step;
	io->waiter.done = first ? queue_first : queue_later;
	spin_lock_irqsave(&node->behind.lock, flags);
	/* The work looks at the list when the load is over. */
	wait = circle_is_behind(node);
	if (wait)
		list_add_tail(&io->waiter.link, &node->behind.waiters);
	spin_unlock_irqrestore(&node->behind.lock, flags);
	return !wait;
}

void circle_behind_init(struct circle_node *node)
{
	spin_lock_init(&node->behind.lock);
	INIT_LIST_HEAD(&node->behind.waiters);
	INIT_WORK(&node->behind.work, behind_work);
}

void circle_behind_start(struct circle_node *node)
{
	if (circle_is_behind(node))
		queue_work(node->bg_wq, &node->behind.work);
}

void circle_behind_finish(struct circle_node *node)
{
	flush_work(&node->behind.work);
}
