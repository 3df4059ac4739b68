// SPDX-License-Identifier: GPL-2.0-only
/*
 * live: see live.h. What was found (recover_impl.h: all copies, in order) stays as it is; each
 * block that has a winner has a state: pending; drained; gone: at the origin, flushed, and durably
 * released by every peer that the label counts, and by the own SSD, so that nothing older comes
 * back over it (R4).
 *
 * It must never write the label that counts no peer before all is drained and flushed (R6) and no
 * drainer is at work.
 */
#include "live_impl.h"

#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "degrade.h"
#include "origin.h"
#include "replicate.h"
#include "steward.h"

#define CHUNK	4096
#define RETRY	HZ
#define AFTER	(4 * HZ)	/* more, when the origin refused something */
#define REREAD	(10 * HZ)
#define STANDS	(30 * HZ)	/* so long nothing got on */
#define CAREFUL	(10 * HZ)	/* after the last refusal: longer than to the next try */

/* lock held */
static bool __all_over(const struct circle_live *l)
{
	return !l->left && !l->fresh && !l->busy && !l->renewing &&
	       l->errors == circle_live_errors(l);
}

static bool write_last_label(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	bool ready;

	spin_lock_irq(&l->lock);
	ready = __all_over(l) && !l->stopped;
	l->over = ready;
	spin_unlock_irq(&l->lock);
	if (!ready)
		return false;
	if (circle_lease_ok(node) && !circle_live_label_empty(l) && !circle_live_own_end(l) &&
	    circle_lease_ok(node) && !circle_label_open(node))
		return true;		/* else again: what was reached is remembered */
	spin_lock_irq(&l->lock);
	l->over = false;
	spin_unlock_irq(&l->lock);
	return false;
}

/* True: it is over, and l is gone. */
static bool finish(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	struct circle_circle *c = node->circle;
	unsigned int i;
	LIST_HEAD(go);

	if (!write_last_label(l))
		return false;
	circle_label_voided(node);
	spin_lock_irq(&c->lock);
	c->wait = 0;
	/* Raised by a reload meanwhile: the label is EMPTY by that, so no write may be alone. */
	WRITE_ONCE(c->degree_now, max(c->degree_now, READ_ONCE(c->degree)));
	spin_unlock_irq(&c->lock);
	spin_lock_irq(&l->lock);
	WRITE_ONCE(node->recovering, false);
	__circle_live_take_all(l, &go);
	spin_unlock_irq(&l->lock);
	circle_live_let_go(&go);
	CIRCLE_INFO("recovery complete%s: %u blocks (%u from peers), %llu pages drained to the origin",
		    l->weak ? " up to the last FLUSH" : "", l->winners,
		    l->winners - l->own_winners, l->pages);
	circle_live_free(node);
	circle_commit_kick(node);		/* metadata that failed: nothing is dirty now */
	circle_writeback_kick(node);		/* a FLUSH may wait for that */
	for (i = 0; i < c->nr_peers; i++)	/* may be resynchronised now */
		wake_up_all(&c->peer[i].wait);
	circle_event_post(node);
	return true;
}

static bool due(unsigned long *last, unsigned long period)
{
	if (time_before(jiffies, *last + period))
		return false;
	*last = jiffies;
	return true;
}

static void be_careful(struct circle_live *l, bool careful)
{
	if (l->careful == careful)
		return;
	spin_lock_irq(&l->lock);
	l->careful = careful;
	spin_unlock_irq(&l->lock);
}

/*
 * Only a part of the origin may refuse, and each refusal takes all back that is fresh. So that the
 * rest gets on, little is fresh then; and what was refused is tried again, however many others are.
 */
static void note_refusal(struct circle_live *l)
{
	l->refused_at = jiffies;
	be_careful(l, true);
	if (l->postponed)
		return;
	l->postponed = true;		/* once a try: others may be refused all the time */
	l->retried = jiffies + AFTER;
}

static void renew(struct circle_live *l)
{
	int refused = atomic_read(&l->r.node->origin_away);

	if (time_after(jiffies, l->refused_at + CAREFUL)) {
		be_careful(l, false);
		l->postponed = false;
	}
	if (READ_ONCE(l->errors) == circle_live_errors(l) || !due(&l->renewed, RETRY))
		return;
	if (refused != l->refused)
		note_refusal(l);
	l->refused = refused;
	circle_live_renew(l);
}

/*
 * Metadata that failed: a FLUSH waits until nothing is left that only slots and holders have. As
 * for write-back it fails if that does not come: an origin, or a peer, that is away.
 */
static void end_drains(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	u32 left = READ_ONCE(l->left) + READ_ONCE(l->fresh) + atomic_read(&node->slots->nr_old) +
		   atomic_read(&node->slots->nr_dirty);

	if (left != l->left_before || !circle_drain_waited(node)) {
		l->left_before = left;
		l->stands = jiffies;
	} else if (time_after(jiffies, l->stands + STANDS)) {
		circle_drain_end(node, -EIO);
	}
}

void circle_live_round(struct circle_node *node)
{
	struct circle_live *l = node->live;

	renew(l);
	if (due(&l->looked, HZ / 2))
		circle_live_look_after_peers(l);
	/* What counts is to be durable; but an origin that fails that stops the drainers, too. */
	if (l->unsure && circle_lease_ok(node) && !kthread_should_stop() &&
	    due(&l->assured, AFTER))
		circle_live_label(l, l->r.counted, l->floor);
	circle_live_say_void(l);
	circle_live_say_weak(l);
	circle_live_say_lost(l);
	circle_live_own_sweep(l);
	if (kthread_should_stop())
		return;
	if (READ_ONCE(l->later) && due(&l->retried, RETRY)) {
		l->postponed = false;
		circle_live_try_again(l);
	}
	if (READ_ONCE(l->unreadable) && due(&l->reread, REREAD))
		circle_live_read_again(l);
	if (finish(l))
		return;
	end_drains(l);
	spin_lock_irq(&l->lock);
	__circle_live_kick(l);
	spin_unlock_irq(&l->lock);
}

static void set_run(struct circle_live *l, bool paused, bool stopped)
{
	spin_lock_irq(&l->lock);
	l->paused = paused;
	l->stopped = stopped;
	WRITE_ONCE(l->r.err, stopped ? -ECANCELED : 0);
	if (!paused && READ_ONCE(l->r.node->recovering))
		__circle_live_kick(l);
	spin_unlock_irq(&l->lock);
}

void circle_live_pause(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);

	if (!l)
		return;
	set_run(l, true, false);
	circle_live_put(l);
}

void circle_live_go_on(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);

	if (!l)
		return;
	set_run(l, false, false);
	circle_live_put(l);
}

static void stop(struct circle_live *l)
{
	u32 i;

	set_run(l, true, true);
	for (i = 0; i < l->nr_drainers; i++)
		cancel_work_sync(&l->drainer[i].work);
}

void circle_live_stop(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);

	if (!l)
		return;
	stop(l);
	circle_live_put(l);
}

struct circle_live *circle_live_get(struct circle_node *node)
{
	struct circle_live *l;
	unsigned long flags;

	if (!node->circle)
		return NULL;
	spin_lock_irqsave(&node->circle->lock, flags);
	l = node->live;
	if (l)
		atomic_inc(&l->users);
	spin_unlock_irqrestore(&node->circle->lock, flags);
	return l;
}

static void set(struct circle_node *node, struct circle_live *l)
{
	spin_lock_irq(&node->circle->lock);
	node->live = l;
	spin_unlock_irq(&node->circle->lock);
}

static void destroy(struct circle_live *l)
{
	if (l->drainer)
		circle_drainers_free(l->drainer, l->nr_drainers);
	vfree(l->state);
	vfree(l->r.copy);
	kfree(l);
}

void circle_live_free(struct circle_node *node)
{
	struct circle_live *l = node->live;

	if (!l)
		return;
	WRITE_ONCE(node->recovering, false);
	set(node, NULL);
	stop(l);
	while (atomic_read(&l->users))	/* they look at it, or at a part of it */
		schedule_timeout_uninterruptible(1);
	smp_mb();		/* pairs with the barrier in circle_live_put() */
	circle_live_own_undo(l);	/* who recovers next looks for it */
	destroy(l);
}

u32 circle_live_left(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);
	u32 left;

	if (!l)
		return 0;
	left = max(READ_ONCE(l->left), 1u);
	circle_live_put(l);
	return left;
}

s64 circle_live_eta(struct circle_node *node)
{
	struct circle_live *l = circle_live_get(node);
	u32 left, done;
	s64 eta = -1;

	if (!l)
		return 0;
	left = READ_ONCE(l->left);
	done = l->winners - min(left, l->winners);
	if (done)
		eta = div_u64((u64)(jiffies - l->began) / HZ * left, done) + 1;
	circle_live_put(l);
	return eta;
}

u64 circle_live_exposed(struct circle_node *node, u32 degree)
{
	struct circle_live *l = circle_live_get(node);
	u64 pages = 0;
	u32 i, peers;

	if (!l)
		return 0;
	peers = circle_live_there(l, READ_ONCE(l->r.counted) & READ_ONCE(l->promised));
	for (i = 0; i < l->r.nr; i++) {
		u16 state = READ_ONCE(l->state[i]);

		if (!(i % CHUNK))
			cond_resched();
		if (circle_recover_wins(&l->r, i) && (state & LIVE_BASE) != LIVE_GONE &&
		    !(state & LIVE_DURABLE) && circle_live_holders(l, i, peers) < degree)
			pages += hweight64(l->r.copy[i].pages);
	}
	circle_live_put(l);
	return pages;
}

/* Copies of the block that counts differ, or are fewer than the floor? */
static void judge_block(struct circle_live *l, u32 won)
{
	const struct circle_copy *w = &l->r.copy[won], *c;
	u32 same = circle_live_holders(l, won, l->r.counted);
	/*
	 * Who was not there has other versions, maybe; who restarted may turn out to have one, also
	 * of the same tag, which is not sure to be durable with what it names.
	 */
	bool other = l->weak ||
		     ((l->r.node->circle->old_view | l->r.node->circle->asked) & ~l->r.counted);

	for (c = w; c < l->r.copy + l->r.nr && c->block == w->block; c++)
		other |= !circle_live_alike(w, c) || c->from == CIRCLE_FROM_SSD;
	if (other || same < l->floor)
		l->state[won] |= LIVE_UNEVEN;
	l->winners++;
	l->own_winners += w->from == CIRCLE_FROM_SSD;
	l->left++;
	l->pages += hweight64(w->pages);
}

static struct circle_live *create(const struct circle_recovery *r)
{
	struct circle_live *l = kzalloc(sizeof(*l), GFP_KERNEL);
	u32 i;

	if (!l)
		return NULL;
	l->r.node = r->node;
	l->r.nr = r->nr;
	l->r.verdict = r->verdict;
	l->r.counted = r->counted;
	memcpy(l->r.instance, r->instance, sizeof(l->r.instance));
	l->r.live = true;
	l->weak = r->verdict == CIRCLE_WEAK;	/* which the label says already */
	l->weak_said = l->weak;
	mutex_init(&l->flush);
	spin_lock_init(&l->lock);
	for (i = 0; i < LIVE_QUEUES; i++)
		INIT_LIST_HEAD(&l->queue[i].list);
	l->paused = true;		/* until the node is live */
	l->stopped = true;
	l->errors = circle_live_errors(l);
	l->refused = atomic_read(&r->node->origin_away);
	l->fresh_from = r->nr;
	l->again = r->nr;
	l->flushed = jiffies;
	l->began = jiffies;
	l->retried = jiffies;
	l->reread = jiffies;
	l->refused_at = jiffies;
	l->assured = jiffies;
	l->state = vzalloc(array_size(r->nr, sizeof(*l->state)));
	l->drainer = circle_drainers_alloc(&l->r, &l->nr_drainers);
	for (i = 0; l->drainer && i < l->nr_drainers; i++)
		INIT_WORK(&l->drainer[i].work, circle_live_drain);
	if (l->state && l->drainer)
		return l;
	destroy(l);
	return NULL;
}

/* The copies are its own now. */
static void take_copies(struct circle_live *l, struct circle_recovery *r)
{
	u32 i;

	l->r.copy = r->copy;
	r->copy = NULL;
	for (i = 0; i < l->r.nr; i++) {
		if (circle_recover_wins(&l->r, i))
			judge_block(l, i);
		if (!(i % CHUNK))
			cond_resched();
	}
}

/* So many of those that count have each block as it will be: none, if the own SSD alone has it. */
static u32 least_held(const struct circle_live *l, const struct circle_recovery *r, u32 floor)
{
	const struct circle_copy *w = r->copy, *c;
	u32 i, n = 0;

	for (i = 0; i < r->nr; i++) {
		c = &r->copy[i];
		if (circle_recover_wins(r, i)) {
			w = c;
			n = 0;
		}
		n += c->block == w->block && c->from != CIRCLE_FROM_SSD &&
		     (l->r.counted >> c->from & 1) && circle_live_alike(w, c);
		if (c->block == w->block && (i + 1 == r->nr || c[1].block != c->block))
			floor = min(floor, n);
		if (!(i % CHUNK))
			cond_resched();
	}
	return floor;
}

/*
 * Those of the old view that are believed, and the copies that they have at least. With the own
 * SSD that may be none (R6).
 */
static int count_on(struct circle_live *l, bool own)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i, missing;
	bool same;

	l->listed = l->r.counted;
	for (i = 0; i < c->nr_peers; i++) {
		l->seen[i] = jiffies;
		same = circle_same_store(l->r.instance[i], c->peer[i].counted);
		if (l->r.instance[i] == c->peer[i].counted || (same && l->weak))
			continue;
		if (!same)
			l->listed &= ~(1u << i);	/* that was another store's list */
		l->r.counted &= ~(1u << i);
		l->r.instance[i] = c->peer[i].counted;	/* may be asked when that store is there */
	}
	l->whole = l->r.counted;
	missing = hweight32(c->old_view & ~l->r.counted);
	if (c->found.floor <= missing && !own)
		return -EACCES;
	l->floor = c->found.floor - min_t(u32, missing, c->found.floor);
	l->flags = c->label.flags & ~CIRCLE_LBF_LOST;	/* nothing is mapped: all was overwritten */
	return 0;
}

int circle_live_begin(struct circle_node *node, struct circle_recovery *r)
{
	bool own = node->circle->start == CIRCLE_START_RESTART && circle_live_own_can(r);
	struct circle_live *l = create(r);
	int err;

	if (!l)
		return -ENOMEM;
	err = count_on(l, own);
	if (own && l->weak)
		l->floor = least_held(l, r, l->floor);
	if (!err)
		err = circle_recover_flush_peers(&l->r, &l->drainer[0].call, true);
	/* What the old owner wrote through may be in the origin's cache alone: no list has it. */
	if (!err && circle_origin_flush(node))
		err = -EIO;
	if (!err)
		err = circle_live_label(l, l->r.counted, l->floor);
	if (!err && own && circle_live_own_prepare(r))
		err = -EACCES;
	if (err) {
		destroy(l);
		return err;
	}
	take_copies(l, r);
	if (own)
		circle_live_own_keep(l);
	set(node, l);
	spin_lock_irq(&node->circle->lock);
	/* nobody resynchronises them */
	WRITE_ONCE(node->circle->wait, node->circle->old_view | node->circle->asked);
	spin_unlock_irq(&node->circle->lock);
	WRITE_ONCE(node->recovering, true);
	CIRCLE_INFO("recovery: live%s, %u blocks are still to be drained",
		    l->weak ? ", up to the last FLUSH" : "", l->left);
	return 0;
}
