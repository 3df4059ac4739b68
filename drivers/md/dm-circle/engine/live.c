// SPDX-License-Identifier: GPL-2.0-only
/*
 * live: see live.h. What was found (recover_impl.h: all copies, in order) stays as it is; each block
 * that has a winner has a state, which only grows but for failures: drained, then gone. A read waits
 * until its block is drained, and finds it at the origin; where copies differ, until it is gone. A write or a discard waits until it is
 * gone: at the origin, flushed, and durably released by every peer that the label counts, so that
 * nothing older comes back over it (R4).
 *
 * It must never let a request pass before that, nor write the label that counts no peer before all
 * is drained and flushed (R6), nor call drained what a FLUSH that failed may have lost.
 */
#include "live.h"

#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "io.h"
#include "origin.h"
#include "replicate.h"
#include "steward.h"

enum { PENDING = 0, DRAINING, DRAINED, RELEASING, GONE, UNREADABLE, STATE = 15 };

#define UNEVEN	0x80	/* its copies differ: another could win later, so reads wait until it is gone */

struct circle_live {
	struct circle_recovery r;
	struct circle_drainer *drainer;
	u32 nr_drainers;

	spinlock_t lock;		/* irq-safe; covers what follows; a leaf */
	u8 *state;			/* of each copy; of winners. Written under lock, released */
	struct list_head waiters;	/* circle_io.waiter.link; their copy is io->covers */
	u32 next;			/* to be drained when nobody waits */
	u32 left;			/* winners that are not drained */
	u64 left_pages;
	bool paused;			/* only what is waited for */
	bool stopped;			/* nothing is queued */
	int errors;			/* node->origin_errors when `drained` began to count */

	u32 peers, floor;		/* of the label; the steward's own. READ_ONCE */
	unsigned long away[CIRCLE_MAX_PEERS];	/* jiffies: seen last; the steward's own */
};

static bool is_read(const struct circle_io *io)
{
	return bio_op(circle_io_bio((struct circle_io *)io)) == REQ_OP_READ;
}

static bool may_pass(const struct circle_io *io, u8 state)
{
	return (state & STATE) == GONE ||
	       (is_read(io) && (state == DRAINED || state == RELEASING));	/* and even */
}

static bool drained(u8 state)
{
	return (state & STATE) == DRAINED || (state & STATE) == RELEASING ||
	       (state & STATE) == GONE;
}

/* Index of the block's winner, or nr. The copies do not change. */
static u32 find(const struct circle_live *l, u64 block)
{
	u32 lo = 0, hi = l->r.nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (l->r.copy[mid].block < block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->r.nr && l->r.copy[lo].block == block && l->r.copy[lo].believed ? lo : l->r.nr;
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
	u8 state;

	if (i == l->r.nr || may_pass(io, smp_load_acquire(&l->state[i])))
		return true;
	spin_lock_irqsave(&l->lock, flags);
	state = READ_ONCE(io->node->recovering) ? l->state[i] : GONE;
	if ((state & STATE) != UNREADABLE && !may_pass(io, state)) {
		io->covers = i;
		list_add_tail(&io->waiter.link, &l->waiters);
		__kick(l);
		spin_unlock_irqrestore(&l->lock, flags);
		return false;
	}
	spin_unlock_irqrestore(&l->lock, flags);
	if ((state & STATE) != UNREADABLE)
		return true;
	io->status = BLK_STS_IOERR;
	circle_io_end(io);
	return false;
}

/* Takes those off that the state of copy i lets go, or fails. */
static void __take(struct circle_live *l, u32 i, struct list_head *out)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, &l->waiters, link) {
		struct circle_io *io = container_of(w, struct circle_io, waiter);

		if (io->covers == i &&
		    ((l->state[i] & STATE) == UNREADABLE || may_pass(io, l->state[i])))
			list_move_tail(&w->link, out);
	}
}

static void let_go(struct list_head *list, bool error)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, list, link) {
		struct circle_io *io = container_of(w, struct circle_io, waiter);

		list_del(&w->link);
		if (error) {
			io->status = BLK_STS_IOERR;
			circle_io_end(io);
		} else {
			circle_io_queue(io, circle_io_enter);
		}
	}
}

static void __set(struct circle_live *l, u32 i, u8 state)
{
	u64 pages = hweight64(l->r.copy[i].pages);

	lockdep_assert_held(&l->lock);
	if (drained(l->state[i]) && !drained(state)) {
		l->left++;
		l->left_pages += pages;
	} else if (!drained(l->state[i]) && drained(state)) {
		l->left--;
		l->left_pages -= pages;
	}
	smp_store_release(&l->state[i], (l->state[i] & UNEVEN) | state);
	if (state == PENDING)
		l->next = min(l->next, i);
}

/* Next thing to do, what is waited for first. False: nothing. */
static bool pick(struct circle_live *l, u32 *i, bool *release)
{
	struct circle_waiter *w;
	bool got = false;

	spin_lock_irq(&l->lock);
	list_for_each_entry(w, &l->waiters, link) {
		*i = container_of(w, struct circle_io, waiter)->covers;
		got = (l->state[*i] & STATE) == PENDING || (l->state[*i] & STATE) == DRAINED;
		if (got)
			break;
	}
	while (!got && !l->paused && l->next < l->r.nr) {
		*i = l->next++;
		got = circle_recover_wins(&l->r, *i) && (l->state[*i] & STATE) == PENDING;
	}
	if (l->stopped)
		got = false;
	if (got) {
		*release = (l->state[*i] & STATE) == DRAINED;
		__set(l, *i, *release ? RELEASING : DRAINING);
	}
	spin_unlock_irq(&l->lock);
	return got;
}

/* errors: node->origin_errors before it was begun. A FLUSH that failed since may have lost it. */
static void set_state(struct circle_live *l, u32 i, u8 state, int errors)
{
	LIST_HEAD(go);

	spin_lock_irq(&l->lock);
	if (state == DRAINED && errors != atomic_read(&l->r.node->origin_errors))
		state = PENDING;
	__set(l, i, state);
	__take(l, i, &go);
	if (!l->left)
		circle_steward_kick(l->r.node);
	spin_unlock_irq(&l->lock);
	let_go(&go, state == UNREADABLE);
}

/* A FLUSH failed: what was drained before it is to be drained again. */
static void again(struct circle_live *l)
{
	u32 i;

	spin_lock_irq(&l->lock);
	WRITE_ONCE(l->errors, atomic_read(&l->r.node->origin_errors));
	for (i = 0; i < l->r.nr; i++)
		if ((l->state[i] & STATE) == DRAINED)
			__set(l, i, PENDING);
	spin_unlock_irq(&l->lock);
}

/* What is drained by now is durable. */
static int flush(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	s64 flushed = atomic64_read(&node->origin_flushed);
	u64 covers = circle_origin_mark(node);
	int err = circle_bdev_flush(node->origin);

	if (err)
		circle_origin_failed(node, flushed);
	if (READ_ONCE(l->errors) != atomic_read(&node->origin_errors)) {
		again(l);
		return -EIO;
	}
	if (covers)
		circle_origin_covered(node, covers);
	return 0;
}

static bool counts(const struct circle_live *l, const struct circle_copy *c)
{
	return c->from != CIRCLE_FROM_SSD && (READ_ONCE(l->peers) >> c->from & 1);
}

static int release(struct circle_live *l, struct circle_call *call, const struct circle_copy *c)
{
	struct circle_peer *p = &l->r.node->circle->peer[c->from];
	int err;

	if (READ_ONCE(p->state) < CIRCLE_PEER_UP)
		return -ENOTCONN;
	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_RELEASE;
	call->msg.f.flags = CIRCLE_WF_ALL_GENS;
	call->msg.f.block = c->block;
	call->msg.f.pages = U64_MAX;
	err = circle_call_wait(p, call);
	return err ?: (call->answer.status || call->answer.pages ? -EACCES : 0);
}

/* Every peer that the label counts has forgotten the block, durably. */
static int release_block(struct circle_live *l, struct circle_call *call, u32 i)
{
	u64 block = l->r.copy[i].block;
	int err = flush(l);

	for (; !err && i < l->r.nr && l->r.copy[i].block == block; i++)
		if (counts(l, &l->r.copy[i]))
			err = release(l, call, &l->r.copy[i]);
	return err;
}

static bool same_tag(const struct circle_copy *a, const struct circle_copy *b)
{
	return a->gen == b->gen && a->seq == b->seq;
}

/*
 * From the first peer that the label counts, or, if that one is away, from another that has the
 * same. What only a higher copy had is lost with its peer when the label is without it.
 */
static int drain_block(struct circle_live *l, struct circle_drainer *d, u32 i)
{
	const struct circle_copy *first = NULL, *c;
	int err = -ENOTCONN;

	for (c = &l->r.copy[i]; err && c < l->r.copy + l->r.nr &&
	     c->block == l->r.copy[i].block && c->believed; c++) {
		if (!counts(l, c) || (first && !same_tag(first, c)))
			continue;
		first = first ?: c;
		err = circle_recover_block(d, c - l->r.copy);
		if (err == -ENODATA || err == -ECANCELED)
			break;
	}
	return err;
}

static void drain_some(struct work_struct *work)
{
	struct circle_drainer *d = container_of(work, struct circle_drainer, work);
	struct circle_live *l = container_of(d->r, struct circle_live, r);
	bool released;
	int err = 0, errors;
	u32 i;

	while (!err && pick(l, &i, &released)) {
		errors = atomic_read(&l->r.node->origin_errors);
		err = released ? release_block(l, &d->call, i) : drain_block(l, d, i);
		if (err == -ENODATA) {
			CIRCLE_ERR("recovery: block %llu cannot be read from any peer that is believed; remove the device and create it again to go on with all copies",
				   l->r.copy[i].block);
			set_state(l, i, UNREADABLE, errors);
			err = 0;
		} else if (err) {	/* the steward begins again */
			set_state(l, i, released ? DRAINED : PENDING, errors);
		} else {
			set_state(l, i, released ? GONE : DRAINED, errors);
		}
		cond_resched();
	}
}

/* The durable label counts these, and no SSD. */
static int write_label(struct circle_live *l, u32 peers, u32 floor)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i, k;

	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		for (k = 0; k < c->nr_peers; k++)
			if (c->label.peer[i].id == c->peer[k].id)
				c->label.peer[i].in_view &= peers >> k & 1;
	c->label.state = CIRCLE_LS_RECOVERING;
	c->label.floor = floor;
	return circle_label_store(l->r.node);
}

/* With more holders than one a peer that stays away is given up, so that releases go on. */
static void look_after_peers(struct circle_live *l)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		if (READ_ONCE(c->peer[i].state) >= CIRCLE_PEER_UP)
			l->away[i] = jiffies;
		if (!(l->peers >> i & 1) || l->floor < 2 ||
		    time_before(jiffies, l->away[i] + msecs_to_jiffies(READ_ONCE(c->timeout_ms))))
			continue;
		if (write_label(l, l->peers & ~(1u << i), l->floor - 1))
			return;
		WRITE_ONCE(l->peers, l->peers & ~(1u << i));
		WRITE_ONCE(l->floor, l->floor - 1);
		CIRCLE_WARN("recovery: going on without peer %u", c->peer[i].id);
	}
}

static void finish(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	struct circle_circle *c = node->circle;
	LIST_HEAD(go);
	unsigned int i;

	if (flush(l) || READ_ONCE(l->left) || circle_label_open(node))
		return;
	spin_lock_irq(&c->lock);
	c->wait = 0;
	spin_unlock_irq(&c->lock);
	spin_lock_irq(&l->lock);
	WRITE_ONCE(node->recovering, false);
	list_splice_init(&l->waiters, &go);
	spin_unlock_irq(&l->lock);
	let_go(&go, false);
	CIRCLE_INFO("recovery complete: %llu blocks (%llu from peers), %llu pages drained to the origin",
		    (u64)atomic64_read(&l->r.blocks), (u64)atomic64_read(&l->r.from_peers),
		    (u64)atomic64_read(&l->r.pages));
	for (i = 0; i < c->nr_peers; i++)	/* may be resynchronised now */
		wake_up_all(&c->peer[i].wait);
	circle_event_post(node);
}

void circle_live_round(struct circle_node *node)
{
	struct circle_live *l = node->live;

	look_after_peers(l);
	if (!READ_ONCE(l->left)) {
		finish(l);
		return;
	}
	spin_lock_irq(&l->lock);
	__kick(l);
	spin_unlock_irq(&l->lock);
}

void circle_live_end_waits(struct circle_node *node)
{
	struct circle_live *l = node->live;
	struct circle_waiter *w, *tmp;
	LIST_HEAD(all);

	if (!l)
		return;
	spin_lock_irq(&l->lock);
	list_splice_init(&l->waiters, &all);
	spin_unlock_irq(&l->lock);
	list_for_each_entry_safe(w, tmp, &all, link) {
		list_del(&w->link);
		circle_io_give_up(container_of(w, struct circle_io, waiter));
	}
}

static void set_run(struct circle_live *l, bool paused, bool stopped)
{
	if (!l)
		return;
	spin_lock_irq(&l->lock);
	l->paused = paused;
	l->stopped = stopped;
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
	return READ_ONCE(node->recovering) ? READ_ONCE(node->live->left) : 0;
}

u64 circle_live_exposed(struct circle_node *node, u32 degree)
{
	if (!READ_ONCE(node->recovering) || READ_ONCE(node->live->floor) >= degree)
		return 0;
	return READ_ONCE(node->live->left_pages);
}

u32 circle_live_peers(struct circle_node *node)
{
	return node->live ? node->live->peers : 0;
}

/* Those that are believed, and what the floor is with them alone. */
static void count(struct circle_live *l)
{
	struct circle_circle *c = l->r.node->circle;
	u32 i, won = 0;

	for (i = 0; i < c->nr_peers; i++) {
		l->away[i] = jiffies;
		if ((l->r.counted >> i & 1) && l->r.instance[i] == c->peer[i].counted)
			l->peers |= 1u << i;
	}
	l->floor = c->found.floor - min(c->found.floor, hweight32(c->old_view & ~l->peers));
	for (i = 0; i < l->r.nr; i++) {
		if (circle_recover_wins(&l->r, i)) {
			won = i;
			l->left++;
			l->left_pages += hweight64(l->r.copy[i].pages);
		} else if (l->r.copy[i].believed && !same_tag(&l->r.copy[won], &l->r.copy[i])) {
			l->state[won] |= UNEVEN;
		}
	}
}

static struct circle_live *create(struct circle_recovery *r)
{
	struct circle_live *l = kzalloc(sizeof(*l), GFP_KERNEL);
	u32 i;

	if (!l)
		return NULL;
	l->r = *r;
	l->r.live = true;
	spin_lock_init(&l->lock);
	INIT_LIST_HEAD(&l->waiters);
	l->paused = true;		/* until the node is live */
	l->stopped = true;
	l->errors = atomic_read(&r->node->origin_errors);
	l->state = vzalloc(r->nr);
	l->drainer = circle_drainers_alloc(&l->r, &l->nr_drainers);
	for (i = 0; l->drainer && i < l->nr_drainers; i++)
		INIT_WORK(&l->drainer[i].work, drain_some);
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
	int err;

	if (!l)
		return -ENOMEM;
	count(l);
	err = l->floor ? write_label(l, l->peers, l->floor) : -ENODATA;
	node->live = l;
	if (err) {
		l->r.copy = NULL;	/* still the caller's */
		circle_live_free(node);
		return err;
	}
	r->copy = NULL;
	WRITE_ONCE(node->recovering, true);
	CIRCLE_INFO("recovery: live, %u blocks are still to be drained", l->left);
	return 0;
}
