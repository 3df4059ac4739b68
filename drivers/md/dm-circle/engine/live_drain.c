// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_drain: a drainer of a live recovery (live.c): brings a block to the origin, or makes it
 * durable there and has it released. It must never have a block released that a FLUSH which failed
 * may have lost.
 */
#include "live_impl.h"

#include <linux/sched/mm.h>
#include "../log.h"
#include "origin.h"

#define RUN	64	/* jobs of a drainer before others may have its thread */

static int flush_origin(struct circle_node *node)
{
	s64 flushed = atomic64_read(&node->origin_flushed);
	u64 covers = circle_origin_mark(node);
	int err = circle_bdev_flush(node->origin);

	if (err)
		circle_origin_failed(node, flushed);
	else if (covers)
		circle_origin_covered(node, covers);
	return err;
}

/* The job's block is DURABLE, or 0 is not returned. */
static int make_durable(struct circle_live *l, const struct circle_live_job *job)
{
	int err;

	if (READ_ONCE(l->state[job->i]) & LIVE_DURABLE)
		return 0;
	err = flush_origin(l->r.node);
	spin_lock_irq(&l->lock);
	if (!err && __circle_live_good(l, job))
		WRITE_ONCE(l->state[job->i], l->state[job->i] | LIVE_DURABLE);
	else
		err = -EIO;
	spin_unlock_irq(&l->lock);
	return err;
}

static bool reachable(const struct circle_live *l, const struct circle_copy *c)
{
	return READ_ONCE(l->r.node->circle->peer[c->from].state) >= CIRCLE_PEER_UP;
}

/*
 * Own generation, sequence 0: everything older than this activation, and nothing that it will have.
 */
static int release(struct circle_live *l, struct circle_call *call, const struct circle_copy *c)
{
	struct circle_peer *p = &l->r.node->circle->peer[c->from];
	int err;

	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_RELEASE;
	call->msg.f.block = c->block;
	call->msg.f.pages = U64_MAX;
	err = circle_call_wait(p, call);
	if (err || (!call->answer.status && !call->answer.pages))
		return err;
	spin_lock_irq(&l->lock);
	l->bad |= 1u << c->from;	/* a holder that does not do as it is told (R3) */
	spin_unlock_irq(&l->lock);
	return -EACCES;
}

/* Every peer that the label counts has forgotten the block, durably. */
static int release_block(struct circle_live *l, struct circle_call *call,
			 const struct circle_live_job *job)
{
	const struct circle_copy *c, *won = &l->r.copy[job->i], *end = l->r.copy + l->r.nr;
	int err = 0;

	for (c = won; c < end && c->block == won->block; c++)
		if (circle_recover_counts(&l->r, c) && !reachable(l, c))
			return -ENOTCONN;	/* before a FLUSH for nothing */
	err = make_durable(l, job);
	for (c = won; !err && c < end && c->block == won->block; c++)
		if (circle_recover_counts(&l->r, c))
			err = READ_ONCE(l->r.err) ? -ECANCELED : release(l, call, c);
	return err;
}

bool circle_live_alike(const struct circle_copy *a, const struct circle_copy *b)
{
	return a->gen == b->gen && a->seq == b->seq && a->pages == b->pages;
}

/*
 * From the first peer that the label counts, or, if that one is away, from another that has the
 * same. If none has it that counts, nothing that was completed is there.
 */
static int drain_block(struct circle_live *l, struct circle_drainer *d, u32 i)
{
	const struct circle_copy *first = NULL, *c, *end = l->r.copy + l->r.nr;
	int err = 0;

	for (c = &l->r.copy[i]; c < end && c->block == l->r.copy[i].block && c->believed; c++) {
		if (!circle_recover_counts(&l->r, c) || (first && !circle_live_alike(first, c)))
			continue;
		first = first ?: c;
		err = circle_recover_block(d, c - l->r.copy);
		if (!err || err == -ENODATA || err == -ECANCELED)
			break;
	}
	return err;
}

static void complain(struct circle_live *l, const struct circle_live_job *job, int err)
{
	u64 block = l->r.copy[job->i].block;

	if (err == -ENODATA)
		CIRCLE_WARN_LIMIT("recovery: block %llu cannot be read from any peer that is believed: it gives errors, and is tried again",
				  block);
	else if (err && err != -ECANCELED)
		CIRCLE_WARN_LIMIT("recovery: block %llu waits: %s (%d)", block,
				  job->type == LIVE_DRAIN ? "it cannot be brought to the origin" :
							   "a holder has not released it", err);
}

void circle_live_drain(struct work_struct *work)
{
	struct circle_drainer *d = container_of(work, struct circle_drainer, work);
	struct circle_live *l = container_of(d->r, struct circle_live, r);
	unsigned int noio = memalloc_noio_save();
	struct circle_live_job job;
	u32 n;
	int err;

	for (n = 0; n < RUN; n++) {
		while (circle_live_pick(l, &job))
			cond_resched();
		if (job.type == LIVE_NOTHING)
			break;
		if (job.type == LIVE_FLUSH)
			err = flush_origin(l->r.node);
		else if (job.type == LIVE_DRAIN)
			err = drain_block(l, d, job.i);
		else
			err = release_block(l, &d->call, &job);
		if (job.type != LIVE_FLUSH)
			complain(l, &job, err);
		circle_live_done(l, &job, err);
		cond_resched();
	}
	memalloc_noio_restore(noio);
	if (n == RUN) {
		spin_lock_irq(&l->lock);
		if (!l->stopped)
			queue_work(l->r.node->bg_wq, &d->work);
		spin_unlock_irq(&l->lock);
	}
}

int circle_live_flush_peers(struct circle_live *l, struct circle_call *call)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i;
	int err = 0;

	for (i = 0; i < c->nr_peers && !err; i++) {
		if (!(l->r.counted >> i & 1))
			continue;
		memset(call, 0, sizeof(*call));
		call->msg.f.type = CIRCLE_WT_FLUSH;
		err = circle_call_wait(&c->peer[i], call);
		if (!err && call->answer.status)
			err = -EACCES;
		if (!err && READ_ONCE(c->peer[i].instance) != l->r.instance[i])
			err = -EAGAIN;
	}
	return err;
}

