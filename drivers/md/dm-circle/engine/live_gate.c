// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_gate: the host's requests during a live recovery. A read waits until its block is drained
 * and flushed; where copies differ, until it is gone. A write or a discard waits until it is gone
 * (live.h). What touches no page that any copy has need not wait: no recovery writes there.
 *
 * It must never let a request pass before that.
 */
#include "live_impl.h"

#include "replicate.h"

static struct circle_io *io_of(struct circle_waiter *w)
{
	return container_of(w, struct circle_io, waiter);
}

/* Not before it is durable: what a reader has seen stays, also when the origin loses its cache. */
static bool may_pass(struct circle_io *io, u16 state)
{
	if ((state & LIVE_BASE) == LIVE_GONE)
		return true;
	return bio_op(circle_io_bio(io)) == REQ_OP_READ && (state & LIVE_BASE) == LIVE_DRAINED &&
	       (state & LIVE_DURABLE) && !(state & LIVE_UNEVEN);
}

u32 circle_live_find(const struct circle_live *l, u64 block)
{
	const struct circle_copy *copy = l->r.copy;
	u32 lo = 0, hi = l->r.nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (copy[mid].block < block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->r.nr && copy[lo].block == block && copy[lo].believed ? lo : l->r.nr;
}

/* Pages that any copy has of the block that copy i wins. */
static u64 all_pages(const struct circle_live *l, u32 i)
{
	const struct circle_copy *c = &l->r.copy[i], *end = l->r.copy + l->r.nr;
	u64 block = c->block, pages = 0;

	for (; c < end && c->block == block; c++)
		pages |= c->pages;
	return pages;
}

/* Copy i is in the way. False: it waits, or is to fail. */
static bool pass(struct circle_live *l, struct circle_io *io, u32 i, bool *error)
{
	unsigned long flags;
	bool wait, end;

	/* pairs with the release in __put(), live_state.c */
	if (may_pass(io, smp_load_acquire(&l->state[i])))
		return true;
	spin_lock_irqsave(&l->lock, flags);
	*error = (l->state[i] & (LIVE_BASE | LIVE_LOSE)) == LIVE_UNREADABLE;
	wait = !*error && READ_ONCE(l->r.node->recovering) && !may_pass(io, l->state[i]);
	end = wait && circle_ending(l->r.node->circle) && l->r.node->circle->requeue;
	if (wait && !end) {
		struct circle_live_queue *q = &l->queue[i % LIVE_QUEUES];

		io->awaits = i;
		list_add_tail(&io->waiter.link, &q->list);
		q->nr++;
		WRITE_ONCE(l->waiting, l->waiting + 1);
		if (l->busy < l->nr_drainers)	/* else who ends a job looks for the next */
			__circle_live_kick(l);
	}
	spin_unlock_irqrestore(&l->lock, flags);
	if (end)		/* nothing is lost by it; others wait for the steward's next look */
		circle_io_give_up(io);
	return !wait && !*error;
}

bool circle_live_gate(struct circle_io *io)
{
	struct circle_live *l = circle_live_get(io->node);
	bool error = false, ok = true;
	u32 i;

	if (!l)
		return true;
	i = circle_live_find(l, io->block);
	if (i < l->r.nr && (io->touched & all_pages(l, i)))
		ok = pass(l, io, i, &error);
	circle_live_put(l);
	if (error) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	}
	return ok;
}

/* lock held; i of r.nr: of any copy. */
static void __take(struct circle_live *l, struct circle_live_queue *q, u32 i, bool all,
		   struct list_head *out)
{
	struct circle_waiter *w, *tmp;

	lockdep_assert_held(&l->lock);
	list_for_each_entry_safe(w, tmp, &q->list, link) {
		if ((i != l->r.nr && io_of(w)->awaits != i) ||
		    (!all && !may_pass(io_of(w), l->state[io_of(w)->awaits])))
			continue;
		list_move_tail(&w->link, out);
		q->nr--;
		WRITE_ONCE(l->waiting, l->waiting - 1);
	}
}

void __circle_live_take(struct circle_live *l, u32 i, bool all, struct list_head *out)
{
	__take(l, &l->queue[i % LIVE_QUEUES], i, all, out);
}

void __circle_live_take_all(struct circle_live *l, struct list_head *out)
{
	u32 k;

	lockdep_assert_held(&l->lock);
	for (k = 0; k < LIVE_QUEUES; k++) {
		list_splice_tail_init(&l->queue[k].list, out);
		l->queue[k].nr = 0;
	}
	WRITE_ONCE(l->waiting, 0);
}

void circle_live_take_each(struct circle_live *l, bool all, struct list_head *out)
{
	u32 k;

	for (k = 0; k < LIVE_QUEUES && READ_ONCE(l->waiting); k++) {
		spin_lock_irq(&l->lock);
		__take(l, &l->queue[k], l->r.nr, all, out);
		spin_unlock_irq(&l->lock);
	}
}

void circle_live_let_go(struct list_head *list)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, list, link) {
		list_del(&w->link);
		circle_io_queue(io_of(w), circle_io_enter);
	}
}

void circle_live_fail(struct list_head *list)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, list, link) {
		list_del(&w->link);
		io_of(w)->status = BLK_STS_IOERR;
		circle_io_end(io_of(w));
	}
}

void circle_live_end_waits(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);
	struct circle_circle *c = node->circle;
	struct circle_waiter *w, *tmp;
	LIST_HEAD(fenced);
	LIST_HEAD(end);

	if (!l)
		return;
	spin_lock_irq(&l->lock);	/* what comes after a resume waits for it */
	if (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER) {
		__circle_live_take_all(l, &fenced);
	} else if (circle_ending(c)) {
		__circle_live_take_all(l, &end);
		if (c->requeue) {	/* until circle_live_go_on() nobody waits for more */
			l->paused = true;
			l->stopped = true;
			WRITE_ONCE(l->r.err, -ECANCELED);
		}
	}
	spin_unlock_irq(&l->lock);
	circle_live_put(l);
	circle_live_fail(&fenced);
	list_for_each_entry_safe(w, tmp, &end, link) {
		list_del(&w->link);
		circle_io_give_up(io_of(w));
	}
}
