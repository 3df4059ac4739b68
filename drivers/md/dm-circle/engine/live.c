// SPDX-License-Identifier: GPL-2.0-only
/*
 * live: see live.h. What was found (recover_impl.h: all copies, in order) stays as it is; each
 * block that has a winner has a state. A read waits until its block is drained, and finds it at
 * the origin; where its copies differ, until it is gone. A write or a discard waits until it is
 * gone: at the origin, flushed, and durably released by every peer that the label counts, so that
 * nothing older comes back over it (R4).
 *
 * It must never let a request pass before that, nor write the label that counts no peer before all
 * is drained and flushed (R6) and no drainer is at work, nor take for durable what a FLUSH that
 * failed may have lost.
 */
#include "live_impl.h"

#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "io.h"
#include "replicate.h"
#include "steward.h"

#define CHUNK	4096	/* states changed under one lock */
#define RETRY	HZ
#define REREAD	(10 * HZ)

static struct circle_io *io_of(struct circle_waiter *w)
{
	return container_of(w, struct circle_io, waiter);
}

static bool valid(const struct circle_live *l)
{
	return !READ_ONCE(l->renewing) &&
	       READ_ONCE(l->errors) == atomic_read(&l->r.node->origin_errors);
}

static bool may_pass(const struct circle_live *l, struct circle_io *io, u8 state)
{
	if ((state & LIVE_BASE) == LIVE_GONE)
		return true;
	return bio_op(circle_io_bio(io)) == REQ_OP_READ && (state & LIVE_BASE) == LIVE_DRAINED &&
	       !(state & LIVE_UNEVEN) && ((state & LIVE_DURABLE) || valid(l));
}

/* Index of the block's winner, or nr. The copies do not change. */
static u32 find(const struct circle_live *l, u64 block)
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

static void __kick(struct circle_live *l)
{
	u32 i;

	lockdep_assert_held(&l->lock);
	for (i = 0; i < l->nr_drainers && !l->stopped; i++)
		queue_work(l->r.node->bg_wq, &l->drainer[i].work);
}

bool circle_live_gate(struct circle_io *io)
{
	struct circle_live *l = io->node->live;
	u32 i = find(l, io->block);
	unsigned long flags;
	bool wait, error;

	/* pairs with the release in __set() */
	if (i == l->r.nr || may_pass(l, io, smp_load_acquire(&l->state[i])))
		return true;
	spin_lock_irqsave(&l->lock, flags);
	error = (l->state[i] & LIVE_BASE) == LIVE_UNREADABLE;
	wait = !error && READ_ONCE(io->node->recovering) && !may_pass(l, io, l->state[i]);
	if (wait) {
		io->covers = i;
		list_add_tail(&io->waiter.link, &l->waiters);
		__kick(l);
	}
	spin_unlock_irqrestore(&l->lock, flags);
	if (error) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	}
	return !wait && !error;
}

/* Takes those off that may pass now, of copy i or, any, of all; failed: all of copy i. */
static void __take(struct circle_live *l, bool any, u32 i, bool failed, struct list_head *out)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, &l->waiters, link)
		if ((any || io_of(w)->covers == i) &&
		    (failed || may_pass(l, io_of(w), l->state[io_of(w)->covers])))
			list_move_tail(&w->link, out);
}

static void let_go(struct list_head *list)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, list, link) {
		list_del(&w->link);
		circle_io_queue(io_of(w), circle_io_enter);
	}
}

static void fail(struct list_head *list)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, list, link) {
		list_del(&w->link);
		io_of(w)->status = BLK_STS_IOERR;
		circle_io_end(io_of(w));
	}
}

static bool not_drained(u8 state)
{
	return (state & LIVE_BASE) == LIVE_PENDING || (state & LIVE_BASE) == LIVE_UNREADABLE;
}

static void __set(struct circle_live *l, u32 i, u8 base, u8 flags)
{
	u8 old = l->state[i];

	lockdep_assert_held(&l->lock);
	l->left += not_drained(base);
	l->left -= not_drained(old);
	if (base == LIVE_GONE)
		l->exposed -= hweight64(l->r.copy[i].pages);
	if (base == LIVE_PENDING) {
		l->next = min(l->next, i);
		l->flushed = false;
	}
	if (flags & LIVE_LATER)
		l->later = true;
	if (base == LIVE_UNREADABLE)
		l->unreadable = true;
	/* pairs with the acquire in circle_live_gate() */
	smp_store_release(&l->state[i], (old & (LIVE_UNEVEN | LIVE_DURABLE)) | base | flags);
}

static bool __workable(const struct circle_live *l, u32 i)
{
	u8 state = l->state[i];

	return !(state & (LIVE_BUSY | LIVE_LATER)) &&
	       ((state & LIVE_BASE) == LIVE_PENDING || (state & LIVE_BASE) == LIVE_DRAINED);
}

static void __begin(struct circle_live *l, u32 i, struct circle_live_job *job)
{
	job->i = i;
	job->type = (l->state[i] & LIVE_BASE) == LIVE_PENDING ? LIVE_DRAIN : LIVE_RELEASE;
	__set(l, i, l->state[i] & LIVE_BASE, LIVE_BUSY);
}

/* What is waited for, then what is next, then the FLUSH of all. */
static void __pick(struct circle_live *l, struct circle_live_job *job)
{
	struct circle_waiter *w;
	u32 n = 0;

	list_for_each_entry(w, &l->waiters, link)
		if (__workable(l, io_of(w)->covers)) {
			__begin(l, io_of(w)->covers, job);
			return;
		}
	for (; !l->paused && l->next < l->r.nr && n < CHUNK; n++, l->next++)
		if (circle_recover_wins(&l->r, l->next) && __workable(l, l->next) &&
		    (l->state[l->next] & LIVE_BASE) == LIVE_PENDING) {
			__begin(l, l->next++, job);
			return;
		}
	if (!l->paused && !l->left && !l->flushed && !l->busy)
		job->type = LIVE_FLUSH;
}

/* True: more may be found by looking again. */
bool circle_live_pick(struct circle_live *l, struct circle_live_job *job)
{
	bool more, run;

	job->type = LIVE_NOTHING;
	job->i = 0;
	spin_lock_irq(&l->lock);
	run = !l->stopped && !l->over && valid(l);	/* else the steward renews, and kicks */
	if (run)
		__pick(l, job);
	job->errors = l->errors;
	l->busy += job->type != LIVE_NOTHING;
	more = run && job->type == LIVE_NOTHING && !l->paused && l->next < l->r.nr;
	spin_unlock_irq(&l->lock);
	return more;
}

bool __circle_live_good(const struct circle_live *l, const struct circle_live_job *job)
{
	return job->errors == l->errors &&
	       job->errors == atomic_read(&l->r.node->origin_errors);
}

static void __done(struct circle_live *l, const struct circle_live_job *job, int err)
{
	bool kept = (l->state[job->i] & LIVE_DURABLE) || __circle_live_good(l, job);

	if (job->type == LIVE_FLUSH)
		l->flushed = !err && !l->left && __circle_live_good(l, job);
	else if (err == -ENODATA)
		__set(l, job->i, LIVE_UNREADABLE, 0);
	else if (job->type == LIVE_DRAIN)
		__set(l, job->i, !err && __circle_live_good(l, job) ? LIVE_DRAINED : LIVE_PENDING,
		      err ? LIVE_LATER : 0);
	else if (!err)
		__set(l, job->i, LIVE_GONE, 0);
	else	/* what its FLUSH did not cover may be lost */
		__set(l, job->i, kept ? LIVE_DRAINED : LIVE_PENDING, LIVE_LATER);
}

void circle_live_done(struct circle_live *l, const struct circle_live_job *job, int err)
{
	LIST_HEAD(go);
	LIST_HEAD(bad);

	spin_lock_irq(&l->lock);
	l->busy--;
	__done(l, job, err);
	if (job->type != LIVE_FLUSH)
		__take(l, false, job->i, false, &go);
	if (err == -ENODATA)
		__take(l, false, job->i, true, &bad);
	if (!l->left && !l->busy)
		circle_steward_kick(l->r.node);
	spin_unlock_irq(&l->lock);
	let_go(&go);
	fail(&bad);
}

/* The steward: to all winners, a part at a time. */
static void each(struct circle_live *l, void (*what)(struct circle_live *l, u32 i))
{
	u32 i, end;

	for (i = 0; i < l->r.nr; i = end) {
		end = min(l->r.nr, i + CHUNK);
		spin_lock_irq(&l->lock);
		for (; i < end; i++)
			if (circle_recover_wins(&l->r, i))
				what(l, i);
		spin_unlock_irq(&l->lock);
		cond_resched();
	}
}

static void __to_be_drained(struct circle_live *l, u32 i)
{
	if ((l->state[i] & (LIVE_BASE | LIVE_DURABLE | LIVE_BUSY)) == LIVE_DRAINED)
		__set(l, i, LIVE_PENDING, l->state[i] & LIVE_LATER);
}

static void __to_be_tried(struct circle_live *l, u32 i)
{
	if (l->state[i] & LIVE_LATER)
		__set(l, i, l->state[i] & LIVE_BASE, 0);
}

static void __to_be_read(struct circle_live *l, u32 i)
{
	if ((l->state[i] & LIVE_BASE) == LIVE_UNREADABLE)
		__set(l, i, LIVE_PENDING, 0);
}

/* A FLUSH failed: what was drained before it is drained again. Jobs under way see it by errors. */
static void renew(struct circle_live *l)
{
	LIST_HEAD(go);

	spin_lock_irq(&l->lock);
	WRITE_ONCE(l->renewing, true);
	WRITE_ONCE(l->errors, atomic_read(&l->r.node->origin_errors));
	l->flushed = false;
	spin_unlock_irq(&l->lock);
	each(l, __to_be_drained);
	spin_lock_irq(&l->lock);
	WRITE_ONCE(l->renewing, false);
	__take(l, true, 0, false, &go);
	spin_unlock_irq(&l->lock);
	let_go(&go);
}

/* The durable label counts these, and no SSD. */
static int write_label(struct circle_live *l, u32 peers, u32 floor)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i, k;

	memcpy(c->label.peer, c->found.peer, sizeof(c->label.peer));
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		for (k = 0; k < c->nr_peers; k++)
			if (c->label.peer[i].id == c->peer[k].id)
				c->label.peer[i].in_view = peers >> k & 1;
	c->label.state = CIRCLE_LS_RECOVERING;
	c->label.flags = l->flags;
	c->label.floor = floor;
	return circle_label_store(l->r.node);
}

/* Not there, or not the one that was counted, or refuses; and somebody waits. */
static bool to_be_left(struct circle_live *l, const struct circle_peer *p)
{
	struct circle_circle *c = p->node->circle;
	bool there = READ_ONCE(p->state) >= CIRCLE_PEER_UP &&
		     READ_ONCE(p->instance) == l->r.instance[p->nr] && !(l->bad >> p->nr & 1);

	if (there)
		l->seen[p->nr] = jiffies;
	return (l->r.counted >> p->nr & 1) && !list_empty_careful(&l->waiters) &&
	       time_after(jiffies,
			  l->seen[p->nr] + msecs_to_jiffies(READ_ONCE(c->timeout_ms)));
}

/* With a floor above one, so that releases go on. */
static void look_after_peers(struct circle_live *l)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		u32 rest = l->r.counted & ~(1u << i);

		if (!to_be_left(l, &c->peer[i]) || l->floor < 2)
			continue;
		if (write_label(l, rest, l->floor - 1))
			return;
		WRITE_ONCE(l->r.counted, rest);
		WRITE_ONCE(l->floor, l->floor - 1);
		CIRCLE_WARN("recovery: going on without peer %u", c->peer[i].id);
	}
}

/* The metadata failed: what goes through waits for a label that says so. */
static void say_void(struct circle_live *l)
{
	struct circle_node *node = l->r.node;

	if (!READ_ONCE(node->meta->failed) || READ_ONCE(node->meta->voided))
		return;
	l->flags |= CIRCLE_LBF_VOID;
	if (!write_label(l, l->r.counted, l->floor))
		circle_label_voided(node);
}

static void finish(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	struct circle_circle *c = node->circle;
	unsigned int i;
	LIST_HEAD(go);
	bool ready;

	spin_lock_irq(&l->lock);
	ready = !l->left && !l->busy && l->flushed && !l->stopped;
	l->over = ready;
	spin_unlock_irq(&l->lock);
	if (!ready)
		return;
	if (!valid(l) || !circle_lease_ok(node) || circle_label_open(node)) {
		spin_lock_irq(&l->lock);
		l->over = false;
		spin_unlock_irq(&l->lock);
		return;
	}
	spin_lock_irq(&c->lock);
	c->wait = 0;
	spin_unlock_irq(&c->lock);
	spin_lock_irq(&l->lock);
	WRITE_ONCE(node->recovering, false);
	list_splice_init(&l->waiters, &go);
	spin_unlock_irq(&l->lock);
	let_go(&go);
	CIRCLE_INFO("recovery complete: %u blocks (%u from peers), %llu pages drained to the origin",
		    l->winners, l->winners, l->pages);
	for (i = 0; i < c->nr_peers; i++)	/* may be resynchronised now */
		wake_up_all(&c->peer[i].wait);
	circle_event_post(node);
}

static bool due(unsigned long *last, unsigned long period)
{
	if (time_before(jiffies, *last + period))
		return false;
	*last = jiffies;
	return true;
}

void circle_live_round(struct circle_node *node)
{
	struct circle_live *l = node->live;

	if (l->errors != atomic_read(&node->origin_errors) && due(&l->renewed, RETRY))
		renew(l);
	look_after_peers(l);
	say_void(l);
	if (READ_ONCE(l->later) && due(&l->retried, RETRY)) {
		WRITE_ONCE(l->later, false);
		each(l, __to_be_tried);
	}
	if (READ_ONCE(l->unreadable) && due(&l->reread, REREAD)) {
		WRITE_ONCE(l->unreadable, false);
		each(l, __to_be_read);
	}
	finish(l);
	spin_lock_irq(&l->lock);
	if (READ_ONCE(node->recovering))
		__kick(l);
	spin_unlock_irq(&l->lock);
}

void circle_live_end_waits(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_live *l = node->live;
	struct circle_waiter *w, *tmp;
	LIST_HEAD(fenced);
	LIST_HEAD(end);

	if (!l)
		return;
	spin_lock_irq(&l->lock);	/* what comes after a resume waits for it */
	if (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER)
		list_splice_init(&l->waiters, &fenced);
	else if (circle_ending(c))
		list_splice_init(&l->waiters, &end);
	spin_unlock_irq(&l->lock);
	fail(&fenced);
	list_for_each_entry_safe(w, tmp, &end, link) {
		list_del(&w->link);
		circle_io_give_up(io_of(w));
	}
}

static void set_run(struct circle_live *l, bool paused, bool stopped)
{
	if (!l)
		return;
	spin_lock_irq(&l->lock);
	l->paused = paused;
	l->stopped = stopped;
	WRITE_ONCE(l->r.err, stopped ? -ECANCELED : 0);
	if (!paused && READ_ONCE(l->r.node->recovering))
		__kick(l);
	spin_unlock_irq(&l->lock);
}

void circle_live_pause(struct circle_node *node)
{
	set_run(node->live, true, false);
}

void circle_live_go_on(struct circle_node *node)
{
	set_run(node->live, false, false);
}

void circle_live_stop(struct circle_node *node)
{
	u32 i;

	set_run(node->live, true, true);
	for (i = 0; node->live && i < node->live->nr_drainers; i++)
		cancel_work_sync(&node->live->drainer[i].work);
}

void circle_live_free(struct circle_node *node)
{
	struct circle_live *l = node->live;

	if (!l)
		return;
	circle_live_stop(node);
	WRITE_ONCE(node->recovering, false);
	node->live = NULL;
	circle_drainers_free(l->drainer, l->nr_drainers);
	vfree(l->state);
	vfree(l->r.copy);
	kfree(l);
}

u32 circle_live_left(struct circle_node *node)
{
	return READ_ONCE(node->recovering) ? max(READ_ONCE(node->live->left), 1u) : 0;
}

u64 circle_live_exposed(struct circle_node *node, u32 degree)
{
	if (!READ_ONCE(node->recovering) || READ_ONCE(node->live->floor) >= degree)
		return 0;
	return READ_ONCE(node->live->exposed);
}

/* Of block won's copies that count those that are like it, and whether others are not. */
static void judge_block(struct circle_live *l, u32 won)
{
	const struct circle_copy *w = &l->r.copy[won], *c;
	u32 same = 0, other = 0;

	for (c = w; c < l->r.copy + l->r.nr && c->block == w->block; c++) {
		if (!circle_recover_counts(&l->r, c))
			continue;
		if (circle_live_alike(w, c))
			same++;
		else
			other++;
	}
	if (other || same < l->floor)
		l->state[won] |= LIVE_UNEVEN;
	l->winners++;
	l->left++;
	l->pages += hweight64(w->pages);
	l->exposed += hweight64(w->pages);
}

static struct circle_live *create(const struct circle_recovery *r)
{
	struct circle_live *l = kzalloc(sizeof(*l), GFP_KERNEL);
	u32 i;

	if (!l)
		return NULL;
	l->r.node = r->node;
	l->r.copy = r->copy;
	l->r.nr = r->nr;
	l->r.verdict = r->verdict;
	l->r.counted = r->counted;
	memcpy(l->r.instance, r->instance, sizeof(l->r.instance));
	l->r.live = true;
	spin_lock_init(&l->lock);
	INIT_LIST_HEAD(&l->waiters);
	l->paused = true;		/* until the node is live */
	l->stopped = true;
	l->errors = atomic_read(&r->node->origin_errors);
	l->state = vzalloc(r->nr);
	l->drainer = circle_drainers_alloc(&l->r, &l->nr_drainers);
	for (i = 0; l->drainer && i < l->nr_drainers; i++)
		INIT_WORK(&l->drainer[i].work, circle_live_drain);
	if (l->state && l->drainer)
		return l;
	if (l->drainer)
		circle_drainers_free(l->drainer, l->nr_drainers);
	vfree(l->state);
	kfree(l);
	return NULL;
}

int circle_live_begin(struct circle_node *node, struct circle_recovery *r)
{
	struct circle_live *l = create(r);
	u32 i;
	int err;

	if (!l)
		return -ENOMEM;
	l->floor = node->circle->found.floor;
	l->flags = node->circle->label.flags;
	for (i = 0; i < l->r.nr; i++) {
		if (circle_recover_wins(&l->r, i))
			judge_block(l, i);
		if (!(i % CHUNK))
			cond_resched();
	}
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		l->seen[i] = jiffies;
	node->live = l;
	err = circle_live_flush_peers(l, &l->drainer[0].call);
	if (err)
		CIRCLE_ERR("recovery: a peer went away or restarted meanwhile; start again");
	else
		err = write_label(l, l->r.counted, l->floor);
	if (err) {
		l->r.copy = NULL;	/* still the caller's */
		circle_live_free(node);
		return err;
	}
	r->copy = NULL;
	spin_lock_irq(&node->circle->lock);
	WRITE_ONCE(node->circle->wait, l->r.counted);	/* nobody resynchronises them */
	spin_unlock_irq(&node->circle->lock);
	WRITE_ONCE(node->recovering, true);
	CIRCLE_INFO("recovery: live, %u blocks are still to be drained", l->left);
	return 0;
}
