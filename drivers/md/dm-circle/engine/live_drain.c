// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_drain: a drainer of a live recovery (live.c): brings a block to the origin, or makes it
 * durable there and has it released. It must never have a block released that a FLUSH which failed
 * may have lost, nor call a page lost while a peer that counts, and may have it, cannot be asked.
 */
#include "live_impl.h"

#include <linux/sched/mm.h>
#include "../log.h"
#include "replicate.h"
#include "steward.h"

#define RUN	64	/* jobs of a drainer before others may have its thread */
#define PROBE	(10 * HZ)	/* a peer that refused a release is asked again */

static bool is_durable(const struct circle_live *l, u32 i)
{
	return READ_ONCE(l->state[i]) & LIVE_DURABLE;
}

/* i of r.nr: for all; else only if that block is not covered, maybe by another's just now. */
static int flush(struct circle_live *l, u32 i)
{
	bool done = false;
	int err = 0;
	LIST_HEAD(go);

	mutex_lock(&l->flush);
	if (READ_ONCE(l->r.err)) {
		err = -ECANCELED;	/* a suspend waits for what is under way only */
	} else if (READ_ONCE(l->fresh) && (i == l->r.nr || !is_durable(l, i))) {
		err = __circle_live_flush(l);
		done = !err;
	}
	mutex_unlock(&l->flush);
	if (done)	/* whoever reads what it covered, and not for this job alone */
		circle_live_take_each(l, false, &go);
	circle_live_let_go(&go);
	return err;
}

/* The job's block is DURABLE, or 0 is not returned. */
static int make_durable(struct circle_live *l, const struct circle_live_job *job)
{
	int err;

	if (is_durable(l, job->i))
		return 0;
	err = flush(l, job->i);
	return err ?: (is_durable(l, job->i) ? 0 : -EIO);
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
	err = circle_call_wait_up(p, call);
	if (err)
		return err == -ENOTCONN ? err : -ETIMEDOUT;
	if (!circle_same_store(call->instance, l->r.instance[c->from]))
		return -ENOTCONN;	/* it was not that one that answered */
	if (call->answer.status == CIRCLE_WS_NOT_ADMITTED)
		return -ETIMEDOUT;	/* it was not told who is rightful: not its fault */
	err = call->answer.status || call->answer.pages ? -EACCES : 0;
	if (!err && !(READ_ONCE(l->bad) >> c->from & 1))
		return 0;
	spin_lock_irq(&l->lock);
	l->bad &= ~(1u << c->from);
	if (err) {	/* a holder that does not do as it is told (R3) */
		WRITE_ONCE(l->bad_instance[c->from], call->instance);
		WRITE_ONCE(l->bad_since[c->from], jiffies);
		l->bad |= 1u << c->from;
	}
	spin_unlock_irq(&l->lock);
	return err;
}

/* What is in the way of a release by this holder. */
static int blocked(const struct circle_live *l, const struct circle_copy *c)
{
	if (!circle_recover_counts(&l->r, c))
		return 0;
	if ((READ_ONCE(l->bad) >> c->from & 1) && circle_live_reachable(l, c) &&
	    time_after(jiffies, READ_ONCE(l->bad_since[c->from]) + PROBE))
		return 0;
	if (READ_ONCE(l->gone) >> c->from & 1)
		return -EHOSTDOWN;
	return circle_live_is_there(l, c->from) ? 0 : -ENOTCONN;
}

static int any_blocked(const struct circle_live *l, const struct circle_copy *won)
{
	const struct circle_copy *c, *end = l->r.copy + l->r.nr;
	int err = 0;

	for (c = won; !err && c < end && c->block == won->block; c++)
		err = blocked(l, c);
	return err;
}

/*
 * Every peer that the label counts, and the own SSD, has forgotten the block, durably; the newest
 * copy last: who starts again in between must not take an older one for it (R6).
 */
static int release_block(struct circle_live *l, struct circle_call *call,
			 const struct circle_live_job *job)
{
	const struct circle_copy *won = &l->r.copy[job->i];
	int err = any_blocked(l, won);	/* before a FLUSH for nothing */
	u32 i;

	if (!err)
		err = make_durable(l, job) ?: any_blocked(l, won);	/* that may take long */
	for (i = circle_live_copies(l, job->i); !err && i--;) {
		if (READ_ONCE(l->r.err))
			err = -ECANCELED;
		else if (won[i].from == CIRCLE_FROM_SSD)
			err = circle_live_own_forget(l, job->i);
		else if (circle_recover_counts(&l->r, &won[i]))
			err = release(l, call, &won[i]);
	}
	return err;
}

bool circle_live_same(const struct circle_copy *a, const struct circle_copy *b)
{
	return a->gen == b->gen && a->seq == b->seq;
}

bool circle_live_alike(const struct circle_copy *a, const struct circle_copy *b)
{
	return circle_live_same(a, b) && a->pages == b->pages;
}

bool circle_live_can_be_asked(const struct circle_live *l, const struct circle_copy *c)
{
	return c->from == CIRCLE_FROM_SSD ? c->believed && l->own :
					    circle_live_reachable(l, c);
}

/* -ENOTCONN: its peer may be back soon. -EHOSTDOWN: nobody waits for that one any more. */
static int drain_copy(struct circle_live *l, struct circle_drainer *d, const struct circle_copy *c)
{
	if (!circle_live_can_be_asked(l, c))
		return READ_ONCE(l->gone) >> c->from & 1 ? -EHOSTDOWN : -ENOTCONN;
	return circle_recover_copy(d, c);
}

/* A copy that is there and cannot be read is none, for at_risk and the label. */
static void note_bad(struct circle_live *l, const struct circle_copy *c, bool bad)
{
	struct circle_copy *copy = &l->r.copy[c - l->r.copy];

	if (READ_ONCE(copy->bad) != bad)
		WRITE_ONCE(copy->bad, bad);	/* this drainer's, as the block is */
}

static bool is_over(int err)
{
	return !err || err == -EIO || err == -ECANCELED;
}

/* Is there a copy in its list? */
static bool listed(const struct circle_live *l, const struct circle_copy *won, u32 page,
		   unsigned int nr)
{
	const struct circle_copy *c, *end = l->r.copy + l->r.nr;

	for (c = won; c < end && c->block == won->block; c++)
		if (c->from == nr && (c->pages >> page & 1))
			return true;
	return false;
}

/*
 * Its readers see it only when no other version can come back, and it may not be the last one. It
 * is released at once: that who had it may be gone when it is asked for once more.
 */
static void note_asked(struct circle_live *l, const struct circle_copy *won,
		       const struct circle_peer *p, bool weak)
{
	spin_lock_irq(&l->lock);
	l->state[won - l->r.copy] |= LIVE_UNEVEN | LIVE_ASKED;
	l->weak |= weak;
	spin_unlock_irq(&l->lock);
	if (weak)
		CIRCLE_WARN_LIMIT("recovery: pages of block %llu can be read from peer %u alone, which has restarted: they are complete up to the last FLUSH",
				  won->block, p->id);
}

/* It has what was flushed, and may not have all that was completed. */
static bool has_restarted(const struct circle_live *l, const struct circle_peer *p, u64 instance)
{
	return !(l->whole >> p->nr & 1) && instance != p->counted;
}

int circle_live_may_be_weak(struct circle_live *l)
{
	if (READ_ONCE(l->weak_said))
		return 0;
	WRITE_ONCE(l->want_weak, true);
	circle_steward_kick(l->r.node);
	return -EAGAIN;
}

static int ask(struct circle_live *l, struct circle_drainer *d, const struct circle_copy *won,
	       const struct circle_copy *any, u32 from, u32 to)
{
	const struct circle_peer *p = &l->r.node->circle->peer[any->from];
	int err = 0;
	bool weak;

	if (has_restarted(l, p, READ_ONCE(p->instance)))
		err = circle_live_may_be_weak(l);
	if (!err)
		err = circle_recover_run(d, any, from, to);
	if (err)
		return err;
	weak = has_restarted(l, p, d->call.instance);	/* it may have done so just now */
	if (weak)
		err = circle_live_may_be_weak(l);
	if (!err)
		note_asked(l, won, p, weak);
	return err;
}

/*
 * Nobody who counts can read the page: others of the old views may. What one has that did not
 * restart is complete; who did has what was flushed (R6), and is asked when all others have been,
 * so often that what is wrong there is not just passing.
 * -ENOMEDIUM: one is away that may have it. -EAGAIN: as circle_live_may_be_weak().
 */
static int ask_others(struct circle_live *l, struct circle_drainer *d,
		      const struct circle_copy *won, u32 page, u32 from, u32 to)
{
	struct circle_copy any = { .block = won->block, .gen = won->gen, .seq = CIRCLE_SEQ_ANY };
	bool late = (READ_ONCE(l->state[won - l->r.copy]) & LIVE_TRIES) >= LIVE_TRIES_LATE;
	struct circle_circle *c = l->r.node->circle;
	unsigned int i, restarted;
	bool away = false;
	int err;

	for (restarted = 0; restarted < 1 + late && !away; restarted++) {
		for (i = 0; i < c->nr_peers; i++) {
			const struct circle_peer *p = &c->peer[i];

			any.from = i;
			if (!((c->old_view | c->asked) >> i & 1) ||
			    circle_recover_counts(&l->r, &any) ||
			    ((l->listed >> i & 1) && !listed(l, won, page, i)))
				continue;
			if (!circle_live_reachable(l, &any)) {
				away = true;
				continue;
			}
			if (restarted != has_restarted(l, p, READ_ONCE(p->instance)))
				continue;
			err = ask(l, d, won, &any, from, to);
			if (is_over(err) || err == -EAGAIN)
				return err;
			away |= err != -ENODATA;
		}
	}
	return away ? -ENOMEDIUM : -ENODATA;
}

/* Who may have more counts no more, and is away; or nobody could read it, often. */
static bool own_may_be_asked(const struct circle_live *l, const struct circle_copy *won, u32 page,
			     int err)
{
	u16 tries = READ_ONCE(l->state[won - l->r.copy]) & LIVE_TRIES;
	const struct circle_copy *c, *end = l->r.copy + l->r.nr;

	if (err != -ENODATA && err != -ENOMEDIUM)
		return false;
	if (tries >= LIVE_TRIES_LATE)
		return true;
	for (c = won; c < end && c->block == won->block; c++)
		if (circle_recover_counts(&l->r, c) && (c->pages >> page & 1))
			return false;
	return err == -ENOMEDIUM && READ_ONCE(l->weak_said);
}

/*
 * One page, of any copy, also of a peer that counts no more: what it answers has the tag that it
 * listed. -ENODATA: nobody of the old view has it.
 */
static int drain_page(struct circle_live *l, struct circle_drainer *d,
		      const struct circle_copy *won, u32 page)
{
	const struct circle_geom *g = &l->r.node->geom;
	u32 from = page << g->page_shift;
	u32 to = min(from + g->page_sectors, circle_block_limit(l->r.node, won->block));
	const struct circle_copy *c, *end = l->r.copy + l->r.nr;
	int err, worst = -ENODATA;

	for (c = won; c < end && c->block == won->block; c++) {
		if (!c->believed || !(c->pages >> page & 1))
			continue;
		err = -ENOTCONN;
		if (circle_live_can_be_asked(l, c))
			err = circle_recover_run(d, c, from, to);
		if (is_over(err))
			return err;
		if (err == -ENODATA)
			note_bad(l, c, true);
		if (err == -ENODATA || !circle_recover_counts(&l->r, c))
			continue;
		if (!(READ_ONCE(l->gone) >> c->from & 1))
			worst = -ENOTCONN;
		else if (worst == -ENODATA)
			worst = -EHOSTDOWN;
	}
	if (worst == -ENODATA)
		worst = ask_others(l, d, won, page, from, to);
	if (!own_may_be_asked(l, won, page, worst))
		return worst;
	err = circle_live_own_page(l, d, won - l->r.copy, page, from, to);
	return err == -ENODATA ? worst : err;
}

/* The winner's pages, from wherever they can be had. -ENODATA: won->lost says of which none is. */
static int drain_pages(struct circle_live *l, struct circle_drainer *d, struct circle_copy *won)
{
	u64 was = won->noted == CIRCLE_LOST_SAID ? won->lost : 0, lost = was;
	int err, worst = 0;
	u32 page;

	for (page = 0; page < l->r.node->geom.nr_pages; page++) {
		if (!(won->pages >> page & 1) || (was >> page & 1))
			continue;
		err = drain_page(l, d, won, page);
		if (err == -EIO || err == -ECANCELED || err == -EAGAIN)
			return err;
		if (err == -ENODATA)
			lost |= 1ull << page;
		if (err && worst != -ENOTCONN)
			worst = err == -ENODATA && worst ? worst : err;
	}
	if (worst == -ENODATA)
		won->lost = lost;
	return worst;
}

/*
 * The newest version first, from the peers that the label counts, and from one that it counts no
 * more, if that is back: what it listed it has still. An older version only if nobody waits any
 * more for those that have the newer one: a holder that counts has all that was completed (R2). If
 * none counts that has the block, nothing that was completed is in it.
 */
static int drain_block(struct circle_live *l, struct circle_drainer *d, u32 i)
{
	const struct circle_copy *c, *end = l->r.copy + l->r.nr, *last = NULL;
	struct circle_copy *won = &l->r.copy[i];
	bool bad = false, counts = false;
	int err = 0, wait = 0;

	if (won->noted == CIRCLE_LOST_SAID)
		return drain_pages(l, d, won);
	for (c = won; c < end && c->block == won->block && c->believed; c++) {
		if (!circle_recover_counts(&l->r, c) && !circle_live_can_be_asked(l, c))
			continue;
		if (last && !circle_live_same(last, c) && (wait || bad))
			break;
		last = c;
		counts |= circle_recover_counts(&l->r, c);
		err = drain_copy(l, d, c);
		if (!err || err == -ENODATA)
			note_bad(l, c, err);
		if (is_over(err))
			return err;
		if (err == -ENODATA)
			bad = true;
		else if (err != -EHOSTDOWN && wait != -ETIMEDOUT)
			wait = err;
	}
	/* Without the SSD only who has nothing that nobody else has is taken out of the label. */
	if (!counts && l->own) {
		err = circle_live_own_block(l, d, i);
		bad = err == -ENODATA;
		wait = 0;
	}
	return bad ? drain_pages(l, d, won) : wait ?: err;
}

static void complain(struct circle_live *l, const struct circle_live_job *job, int err)
{
	u64 block = l->r.copy[job->i].block;

	if (err == -ENODATA || err == -ENOMEDIUM)
		CIRCLE_WARN_LIMIT("recovery: block %llu cannot be read from any peer%s: it is tried again",
				  block, err == -ENODATA ? "" : " that is there");
	else if (err && err != -ECANCELED && err != -EHOSTDOWN && err != -ENOTCONN &&
		 err != -EAGAIN)
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
		struct circle_live_search search = { };

		while (circle_live_pick(l, &search, &job))
			cond_resched();
		if (job.type == LIVE_NOTHING)
			break;
		if (job.type == LIVE_FLUSH)
			err = flush(l, l->r.nr);
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
