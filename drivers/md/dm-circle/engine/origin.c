// SPDX-License-Identifier: GPL-2.0-only
/*
 * origin: see origin.h. What a FLUSH says is counted in its completion and not by whoever waited
 * for it, and the next one is issued behind that: none must be believed before it is known how
 * those before it ended.
 */
#include "origin.h"

#define SLICE	(30 * HZ)	/* a device may hang for long, and that is not our fault */

static void ended(struct bio *bio)
{
	struct circle_node *node = bio->bi_private;
	struct circle_flusher *f = &node->flusher;
	struct circle_flush_wait *w, *tmp;
	blk_status_t status = bio->bi_status;
	unsigned long flags;
	LIST_HEAD(all);

	if (status)
		circle_origin_failed(node, f->flushed);
	else
		circle_origin_covered(node, f->covers);
	bio_uninit(bio);
	list_splice_init(&f->now, &all);
	spin_lock_irqsave(&f->lock, flags);
	f->busy = !list_empty(&f->next);
	if (f->busy)
		queue_work(node->flush_wq, &f->work);
	spin_unlock_irqrestore(&f->lock, flags);
	/* The node may go with the last of them. */
	list_for_each_entry_safe(w, tmp, &all, link) {
		list_del(&w->link);
		w->done(w, status);
	}
}

/* Process context; busy is ours. */
static void issue(struct circle_node *node)
{
	struct circle_flusher *f = &node->flusher;

	spin_lock_irq(&f->lock);
	list_splice_init(&f->next, &f->now);
	spin_unlock_irq(&f->lock);
	f->flushed = atomic64_read(&node->origin_flushed);
	f->covers = circle_origin_mark(node);
	bio_init(&f->bio, node->origin, NULL, 0, REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH);
	f->bio.bi_private = node;
	f->bio.bi_end_io = ended;
	submit_bio(&f->bio);
}

static void issue_work(struct work_struct *work)
{
	issue(container_of(work, struct circle_node, flusher.work));
}

void circle_origin_init(struct circle_node *node)
{
	struct circle_flusher *f = &node->flusher;

	spin_lock_init(&f->lock);
	INIT_LIST_HEAD(&f->next);
	INIT_LIST_HEAD(&f->now);
	INIT_WORK(&f->work, issue_work);
}

void circle_origin_flush_wait(struct circle_node *node, struct circle_flush_wait *w)
{
	struct circle_flusher *f = &node->flusher;
	bool first;

	spin_lock_irq(&f->lock);
	list_add_tail(&w->link, &f->next);
	first = !f->busy;
	f->busy = true;
	spin_unlock_irq(&f->lock);
	if (first)
		issue(node);
}

struct waited {
	struct circle_flush_wait wait;
	struct completion over;
	blk_status_t status;
};

static void over(struct circle_flush_wait *wait, blk_status_t status)
{
	struct waited *w = container_of(wait, struct waited, wait);

	w->status = status;
	complete(&w->over);
}

int circle_origin_flush(struct circle_node *node)
{
	struct waited w = { .wait.done = over };

	init_completion(&w.over);
	circle_origin_flush_wait(node, &w.wait);
	while (!wait_for_completion_io_timeout(&w.over, SLICE))
		;
	return blk_status_to_errno(w.status);
}
