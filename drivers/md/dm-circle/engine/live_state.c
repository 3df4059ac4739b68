// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_state: the state of each block of a live recovery, and what is to be done next: what is
 * waited for first, then one after the other, a FLUSH now and then.
 *
 * It must never take for durable what a FLUSH that failed, or an origin that was away, may have
 * lost.
 */
#include "live_impl.h"

#include "origin.h"
#include "steward.h"

#define CHUNK		4096		/* states changed under one lock */
#define FLUSH_PERIOD	(2 * HZ)	/* at worst what was drained since is drained again */
#define VAIN		10		/* FLUSHes in a row */
#define SPARE		2		/* drainers, for what is waited for */
#define SEARCH		64		/* requests looked at under one lock */

static bool not_drained(u16 state)
{
	return (state & LIVE_BASE) == LIVE_PENDING || (state & LIVE_BASE) == LIVE_UNREADABLE;
}

static bool is_fresh(u16 state)
{
	return (state & (LIVE_BASE | LIVE_DURABLE)) == LIVE_DRAINED;
}

static void __put(struct circle_live *l, u32 i, u16 new)
{
	u16 old = l->state[i];

	l->left += not_drained(new);
	l->left -= not_drained(old);
	l->fresh += is_fresh(new);
	l->fresh -= is_fresh(old);
	if (is_fresh(new)) {
		l->fresh_from = min(l->fresh_from, i);
		l->fresh_to = max(l->fresh_to, i + 1);
	}
	/* pairs with the acquire in circle_live_gate() */
	smp_store_release(&l->state[i], new);
}

/* Also if nobody waits for it. */
static bool to_be_done(u16 state)
{
	u16 base = state & LIVE_BASE;

	return base == LIVE_PENDING || (base == LIVE_DRAINED && (state & LIVE_ASKED));
}

void __circle_live_set(struct circle_live *l, u32 i, u16 base, u16 flags)
{
	u16 keep = LIVE_UNEVEN | LIVE_DURABLE | LIVE_VAINS | LIVE_ASKED;

	lockdep_assert_held(&l->lock);
	if (base == LIVE_DRAINED)
		keep |= LIVE_COVERED;
	if (base == LIVE_PENDING)
		keep |= LIVE_TRIES | LIVE_AWAY;
	l->later |= !!(flags & LIVE_LATER);
	l->unreadable |= base == LIVE_UNREADABLE;
	l->lose |= !!(flags & LIVE_LOSE);
	__put(l, i, (l->state[i] & keep) | base | flags);
	if (!to_be_done(l->state[i]) || (flags & (LIVE_BUSY | LIVE_LATER)))
		return;
	if (l->careful)		/* else those behind what is refused would never have their turn */
		l->again = min(l->again, i);
	else
		l->next = min(l->next, i);
}

void __circle_live_kick(struct circle_live *l)
{
	u32 i;

	lockdep_assert_held(&l->lock);
	for (i = 0; i < l->nr_drainers && !l->stopped; i++)
		queue_work(l->r.node->bg_wq, &l->drainer[i].work);
}

/* lock held: nothing was lost, as far as is known. */
static bool __valid(const struct circle_live *l)
{
	return !l->renewing && l->errors == circle_live_errors(l);
}

static bool __workable(const struct circle_live *l, u32 i)
{
	u16 state = l->state[i];

	return !(state & (LIVE_BUSY | LIVE_LATER)) &&
	       ((state & LIVE_BASE) == LIVE_PENDING || (state & LIVE_BASE) == LIVE_DRAINED);
}

static void __begin(struct circle_live *l, u32 i, struct circle_live_job *job)
{
	u16 base = l->state[i] & LIVE_BASE;

	job->i = i;
	job->type = base == LIVE_PENDING ? LIVE_DRAIN : LIVE_RELEASE;
	__circle_live_set(l, i, base, LIVE_BUSY);
}

static void __begin_flush(struct circle_live *l, struct circle_live_job *job)
{
	l->flushing = true;
	job->type = LIVE_FLUSH;
}

/* Who waits for what can be had? */
static bool __pick_for(struct circle_live *l, struct circle_io *io, struct circle_live_job *job)
{
	u16 state = l->state[io->awaits];

	if (!__workable(l, io->awaits))
		return false;
	if (!is_fresh(state) || (state & LIVE_UNEVEN) || bio_op(circle_io_bio(io)) != REQ_OP_READ)
		__begin(l, io->awaits, job);
	else if (!l->flushing)
		__begin_flush(l, job);
	else
		return false;
	return true;
}

/* Something that is waited for and can be had. True: found, or look again. */
static bool __pick_waited(struct circle_live *l, struct circle_live_search *s,
			  struct circle_live_job *job)
{
	struct circle_waiter *w;
	u32 n;

	if (!s->queues) {
		l->turn = (l->turn + 1) % LIVE_QUEUES;
		s->at = l->turn;
	}
	for (n = 0; n < SEARCH && l->waiting; n++) {
		struct circle_live_queue *q = &l->queue[s->at];

		if (!s->rest || list_empty(&q->list)) {
			if (s->queues == LIVE_QUEUES)
				return false;
			if (s->queues++)
				s->at = (s->at + 1) % LIVE_QUEUES;
			s->rest = l->queue[s->at].nr;
			continue;
		}
		s->rest--;
		w = list_first_entry(&q->list, struct circle_waiter, link);
		if (__pick_for(l, container_of(w, struct circle_io, waiter), job))
			return true;
		list_move_tail(&w->link, &q->list);
	}
	return l->waiting;
}

static void __pick_next(struct circle_live *l, struct circle_live_job *job)
{
	bool flush = l->fresh && !l->flushing;
	u32 n;

	if (flush && (l->careful || time_after_eq(jiffies, l->flushed + FLUSH_PERIOD))) {
		__begin_flush(l, job);
		return;
	}
	if (l->next >= l->r.nr) {
		l->next = l->again;
		l->again = l->r.nr;
	}
	for (n = 0; l->next < l->r.nr && n < CHUNK; n++, l->next++)
		if (to_be_done(l->state[l->next]) && __workable(l, l->next) &&
		    circle_recover_wins(&l->r, l->next)) {
			__begin(l, l->next++, job);
			return;
		}
	if (flush && l->next >= l->r.nr)
		__begin_flush(l, job);
}

bool circle_live_pick(struct circle_live *l, struct circle_live_search *s,
		      struct circle_live_job *job)
{
	u32 spare = l->nr_drainers > 2 * SPARE ? SPARE : 0;
	bool more = false, run;

	job->type = LIVE_NOTHING;
	job->i = 0;
	spin_lock_irq(&l->lock);
	run = !l->stopped && !l->over && __valid(l);	/* else the steward renews, and kicks */
	run &= !(l->careful && l->busy) && circle_lease_ok(l->r.node);	/* the steward looks */
	if (run && !(l->careful && l->fresh && !l->paused))
		more = __pick_waited(l, s, job);
	if (run && !more && !l->paused && l->busy + spare < l->nr_drainers) {
		__pick_next(l, job);
		more = l->next < l->r.nr;
	}
	job->errors = l->errors;
	l->busy += job->type != LIVE_NOTHING;
	more &= job->type == LIVE_NOTHING;
	spin_unlock_irq(&l->lock);
	return more;
}

/* lock held: nothing was lost since the job began. */
static bool __good(const struct circle_live *l, const struct circle_live_job *job)
{
	return job->errors == l->errors && job->errors == circle_live_errors(l);
}

static void __drained(struct circle_live *l, const struct circle_live_job *job, int err)
{
	bool unread = err == -ENODATA || err == -ENOMEDIUM;
	/* Not if the rest of it, which this job wrote, may be lost at the origin. */
	bool sure = err != -ENODATA || __good(l, job);
	u16 tries;

	/* It is lost when all that may have it were there, and failed so often. */
	if (err == -ENODATA && (l->state[job->i] & LIVE_AWAY))
		l->state[job->i] &= ~(LIVE_TRIES | LIVE_AWAY);
	if (err == -ENOMEDIUM)
		l->state[job->i] |= LIVE_AWAY;
	tries = l->state[job->i] & LIVE_TRIES;
	if (!err)
		__circle_live_set(l, job->i, __good(l, job) ? LIVE_DRAINED : LIVE_PENDING, 0);
	else if (err == -EHOSTDOWN || (unread && tries == LIVE_TRIES && sure))
		__circle_live_set(l, job->i, LIVE_UNREADABLE, err == -ENODATA ? LIVE_LOSE : 0);
	else
		__circle_live_set(l, job->i, LIVE_PENDING, LIVE_LATER);
	if (unread && tries != LIVE_TRIES)
		l->state[job->i] += LIVE_TRY;
}

/*
 * True: who waits for it is told so, rather than kept: the origin or a peer failed for the fourth
 * time, or what was written may be lost again, or a peer is gone.
 */
static bool __in_vain(struct circle_live *l, const struct circle_live_job *job, int err, u16 before)
{
	u16 vains = before & LIVE_VAINS;
	bool again = job->type == LIVE_DRAIN && !err && not_drained(l->state[job->i]);
	bool gone_and_back = err == -ENODATA && (before & LIVE_AWAY);	/* tries begin anew */

	if (job->type == LIVE_FLUSH)
		return false;
	if ((l->state[job->i] & (LIVE_BASE | LIVE_LOSE)) == LIVE_UNREADABLE)
		return true;
	if (!again && !gone_and_back && err != -EIO && err != -ETIMEDOUT)
		return err == -EHOSTDOWN;
	if (vains != LIVE_VAINS)
		vains += LIVE_VAIN;
	l->state[job->i] = (l->state[job->i] & ~LIVE_VAINS) | vains;
	return (before & LIVE_VAINS) == LIVE_VAINS;
}

void circle_live_done(struct circle_live *l, const struct circle_live_job *job, int err)
{
	u32 i = job->i;
	u16 before, base;
	bool vain, all;
	LIST_HEAD(go);
	LIST_HEAD(bad);

	spin_lock_irq(&l->lock);
	l->busy--;
	before = l->state[job->i];
	if (job->type == LIVE_FLUSH) {
		l->flushing = false;
	} else if (job->type == LIVE_DRAIN) {
		__drained(l, job, err);
	} else if (!err) {
		__circle_live_set(l, i, LIVE_GONE, 0);
	} else {	/* what its FLUSH did not cover may be lost; renew() may have seen that */
		base = (before & LIVE_DURABLE) || __good(l, job) ? before & LIVE_BASE :
								   LIVE_PENDING;
		__circle_live_set(l, i, base, LIVE_LATER);
	}
	vain = __in_vain(l, job, err, before);
	all = err && err != -ECANCELED && err != -EAGAIN && l->vain >= VAIN;
	if (job->type != LIVE_FLUSH) {
		__circle_live_take(l, i, false, &go);
		if (vain)
			__circle_live_take(l, i, true, &bad);
	}
	if (l->lose || (!l->left && !l->fresh && !l->busy))
		circle_steward_kick(l->r.node);
	spin_unlock_irq(&l->lock);
	if (all)
		circle_live_take_each(l, true, &bad);
	circle_live_let_go(&go);
	circle_live_fail(&bad);
}

void circle_live_each(struct circle_live *l, u32 from, u32 to,
		      void (*what)(struct circle_live *l, u32 i))
{
	u32 i, end;

	for (i = from; i < to; i = end) {
		end = min(to, i + CHUNK);
		spin_lock_irq(&l->lock);
		for (; i < end; i++)
			if (l->state[i])
				what(l, i);
		spin_unlock_irq(&l->lock);
		cond_resched();
	}
}

static void __cover(struct circle_live *l, u32 i)
{
	if (is_fresh(l->state[i]))
		__put(l, i, l->state[i] | LIVE_COVERED);
}

static void __covered(struct circle_live *l, u32 i)
{
	u16 state = l->state[i];

	if (is_fresh(state) && (state & LIVE_COVERED))
		__put(l, i, (state & ~(LIVE_COVERED | LIVE_VAINS)) | LIVE_DURABLE);
}

static void __uncover(struct circle_live *l, u32 i)
{
	__put(l, i, l->state[i] & ~LIVE_COVERED);	/* what is fresh is in the range again */
}

int __circle_live_flush(struct circle_live *l)
{
	u32 from, to;
	int errors;
	bool ok;

	lockdep_assert_held(&l->flush);
	spin_lock_irq(&l->lock);
	ok = __valid(l);		/* else fresh is not what it says */
	errors = l->errors;
	from = l->fresh_from;
	to = l->fresh_to;
	if (ok) {
		l->fresh_from = l->r.nr;
		l->fresh_to = 0;
	}
	spin_unlock_irq(&l->lock);
	if (!ok)
		return -EAGAIN;
	circle_live_each(l, from, to, __cover);
	ok = !circle_origin_flush(l->r.node) && errors == circle_live_errors(l);
	circle_live_each(l, from, to, ok ? __covered : __uncover);
	spin_lock_irq(&l->lock);
	l->vain = ok ? 0 : l->vain + 1;
	l->flushed = jiffies;
	spin_unlock_irq(&l->lock);
	return ok ? 0 : -EIO;
}

/* A job that is at it stays so: it sees by l->errors that what it began with is no more. */
static void __to_be_drained(struct circle_live *l, u32 i)
{
	const u16 to_lose = LIVE_UNREADABLE | LIVE_LOSE;
	u16 state = l->state[i];

	/* Or the rest of it is, of which a part is to be called lost. */
	if (is_fresh(state) ||
	    ((state & (LIVE_BASE | LIVE_LOSE)) == to_lose && !l->r.copy[i].noted))
		__circle_live_set(l, i, LIVE_PENDING, state & (LIVE_LATER | LIVE_BUSY));
}

static void __to_be_tried(struct circle_live *l, u32 i)
{
	u16 state = l->state[i];

	if (state & LIVE_LATER)
		__circle_live_set(l, i, state & LIVE_BASE, state & LIVE_BUSY);
}

static void __to_be_read(struct circle_live *l, u32 i)
{
	u16 state = l->state[i];

	if ((state & (LIVE_BASE | LIVE_LOSE)) == LIVE_UNREADABLE)
		__circle_live_set(l, i, LIVE_PENDING, state & LIVE_BUSY);
}

void circle_live_renew(struct circle_live *l)
{
	spin_lock_irq(&l->lock);
	l->renewing = true;
	l->errors = circle_live_errors(l);	/* jobs under way see it by theirs */
	spin_unlock_irq(&l->lock);
	circle_live_each(l, 0, l->r.nr, __to_be_drained);
	spin_lock_irq(&l->lock);
	l->renewing = false;
	spin_unlock_irq(&l->lock);
}

void circle_live_try_again(struct circle_live *l)
{
	spin_lock_irq(&l->lock);
	l->later = false;
	spin_unlock_irq(&l->lock);
	circle_live_each(l, 0, l->r.nr, __to_be_tried);
}

void circle_live_read_again(struct circle_live *l)
{
	spin_lock_irq(&l->lock);
	l->unreadable = false;
	spin_unlock_irq(&l->lock);
	circle_live_each(l, 0, l->r.nr, __to_be_read);
}
