// SPDX-License-Identifier: GPL-2.0-only
/*
 * origin: see origin.h. What a FLUSH says is counted in its completion and not by whoever waited
 * for it, and the next one is issued behind that: none must be believed before it is known how
 * those before it ended.
 */
#include "origin.h"

#define AGAIN	(60 * HZ)	/* a place that failed before is news then */
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
	memset(f->bad_place, 0xff, sizeof(f->bad_place));
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

/* Two at once may take the same entry: then one is forgotten. */
static bool known(struct circle_flusher *f, u64 place)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(f->bad_place); i++)
		if (READ_ONCE(f->bad_place[i]) == place)
			break;
	if (i < ARRAY_SIZE(f->bad_place) &&
	    time_before(jiffies, READ_ONCE(f->bad_since[i]) + AGAIN))
		return true;
	if (i == ARRAY_SIZE(f->bad_place)) {
		i = READ_ONCE(f->bad_next) % ARRAY_SIZE(f->bad_place);
		WRITE_ONCE(f->bad_next, i + 1);
	}
	WRITE_ONCE(f->bad_since[i], jiffies);
	WRITE_ONCE(f->bad_place[i], place);
	return false;
}

void circle_origin_place_refused(struct circle_node *node, enum req_op op, u64 sector,
				 blk_status_t status)
{
	u64 place = sector << 1;

	if (op == REQ_OP_WRITE)
		place++;
	if (status != BLK_STS_IOERR || !known(&node->flusher, place))
		circle_origin_refused(node, op, status);
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
