// SPDX-License-Identifier: GPL-2.0-only
/*
 * steward: the one thread that looks at the label and changes it: views, floor, state. Every change
 * follows R3: a peer is waited for from before a label with it is written until a label without
 * it is durable; only then are writes rid of it.
 *
 * It must never act on a label that is not durable, and never write one without a young lease.
 */
#include "steward.h"

#include <linux/kthread.h>
#include "../log.h"
#include "../store/label.h"
#include "../trace.h"
#include "away.h"
#include "degrade.h"
#include "heal.h"
#include "live.h"
#include "origin.h"
#include "peer.h"
#include "replicate.h"

#define LOOK		HZ		/* between looks at the label */
#define PERIOD		(HZ / 5)
#define LOOKS		3		/* in a row, if peers are lost meanwhile */

static bool same_activation(const struct circle_circle *c, const struct circle_label *l)
{
	return l->generation == c->label.generation && l->activation == c->label.activation;
}

void circle_fenced(struct circle_node *node, u64 gen)
{
	struct circle_circle *c = node->circle;
	unsigned long flags;
	bool first;

	spin_lock_irqsave(&c->lock, flags);
	first = c->role == CIRCLE_ROLE_OWNER;
	if (first)
		c->role = CIRCLE_ROLE_FENCED;
	spin_unlock_irqrestore(&c->lock, flags);
	if (!first)
		return;
	CIRCLE_ERR("generation %llu exists, ours is %u: another node has taken over; all I/O ends. Wipe the metadata device to rejoin",
		   gen, node->gen);
	circle_steward_kick(node);
}

/* On the origin's disk that may be the sign that it was away; one that fails for ever is none. */
static void label_answered(struct circle_node *node, bool write, bool error)
{
	struct circle_circle *c = node->circle;

	if (error && !c->label_refused[write] &&
	    c->label_dev->bd_disk == node->origin->bd_disk)
		atomic_inc(&node->origin_away);
	c->label_refused[write] = error;
}

/* own: the label of our place is this one, and not an older one that the device fell back to. */
static int look(struct circle_node *node, bool own)
{
	struct circle_circle *c = node->circle;
	struct circle_label *cur = &c->seen;
	u32 losses = READ_ONCE(c->losses);
	unsigned long begin = jiffies;
	struct circle_label_view v;
	bool tie;
	int r;

	r = circle_label_read(node->meta->io, c->label_dev, c->label_sector, c->area);
	label_answered(node, false, r);
	if (r)
		return -EIO;
	circle_label_judge(c->area, node->conf.id, &v, cur, circle_crc);
	if (v.status)
		return -EIO;
	if (own && (!v.my_valid || v.max_seq != c->label.seq)) {
		c->label_copy = v.my_copy;
		return -EIO;
	}
	/*
	 * One that wrote behind the look that made us the owner has yet to look, and withdraws: it
	 * must not end us too.
	 */
	tie = READ_ONCE(c->role) == CIRCLE_ROLE_OWNER ? v.rival : v.tie;
	if (!same_activation(c, cur) || tie) {
		circle_fenced(node, cur->generation);
		return -ESTALE;
	}
	/* One that may not be durable is not the one to keep. */
	if (!c->copy_unsure)
		c->label_copy = v.my_copy;
	if (!circle_lease_renew(node, losses, begin))
		return -EAGAIN;
	circle_lease_wake(node);
	return 0;
}

static int look_some(struct circle_node *node, bool own)
{
	unsigned int tries;
	int r = -EAGAIN;

	for (tries = 0; tries < LOOKS && r == -EAGAIN; tries++)
		r = look(node, own);
	return r == -EAGAIN ? -EIO : r;
}

/* Everything that another place says. 0: we are the rightful owner; -ESTALE; -EIO. */
int circle_label_look(struct circle_node *node)
{
	return look_some(node, false);
}

/* On the origin's disk: another's FLUSH that fails, or an outage, may take the label with it. */
static int losses_there(const struct circle_node *node)
{
	return atomic_read(&node->origin_errors) + atomic_read(&node->origin_gone);
}

/* On the origin's disk a FLUSH that fails may take what others wrote there: it is counted. */
static int write_label(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	bool shared = c->label_dev->bd_disk == node->origin->bd_disk;
	int r = shared ? circle_origin_flush(node) : 0;
	int losses = losses_there(node);

	if (!r) {
		r = circle_label_write(node->meta->io, c->label_dev,
				       shared ? REQ_OP_WRITE | REQ_SYNC : CIRCLE_WRITE_DURABLY,
				       c->label_sector, &c->label, c->label_copy, c->area);
		label_answered(node, true, r);
		if (r && c->label_dev->bd_disk == node->cache->bd_disk &&
		    !READ_ONCE(node->meta->failed))
			circle_cache_doubt(node);
	}
	if (!r && shared)
		r = circle_origin_flush(node);
	/* An outage that was an I/O error to us is seen by who looks at the label next. */
	return r || (shared && losses != losses_there(node)) ? -EIO : 0;
}

/* Writes c->label to our place, then reads all the others. 0: it is durable and we are rightful. */
int circle_label_store(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	int r;

	c->label.seq++;
	c->copy_unsure = true;
	r = write_label(node);
	if (r)
		return r;
	c->copy_unsure = false;
	c->label_copy ^= 1;
	return look_some(node, true);
}

static void fill_peers(struct circle_circle *c, u32 view)
{
	unsigned int i;

	memset(c->label.peer, 0, sizeof(c->label.peer));
	for (i = 0; i < c->nr_peers; i++) {
		struct circle_peer_rec *rec = &c->label.peer[i];
		struct circle_peer *p = &c->peer[i];

		rec->id = p->id;
		rec->family = p->addr.family;
		rec->port = p->addr.port;
		memcpy(rec->addr, p->addr.addr, sizeof(rec->addr));
		memcpy(rec->domain, p->domain, CIRCLE_DOMAIN_SIZE);
		rec->instance = p->ready_instance;
		rec->in_view = view >> i & 1;
	}
}

u32 circle_ready_peers(const struct circle_circle *c)
{
	u32 mask = 0;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if (READ_ONCE(c->peer[i].state) == CIRCLE_PEER_READY)
			mask |= 1u << i;
	return mask;
}

/* Strikes peers off all blocks: they are out of the durable view. */
static void strike_off(struct circle_node *node, u32 mask)
{
	struct circle_slots *s = node->slots;
	u32 n, ready = circle_ready_peers(node->circle);

	for (n = 0; mask && n < s->nr; n++) {
		struct circle_slot *sl = &s->slot[n];
		struct circle_shard *sh;
		unsigned long flags;

		if (!(n & 0xfff))
			cond_resched();
		if (!(READ_ONCE(sl->holders) & mask) || READ_ONCE(sl->owner))
			continue;
		if (!circle_slot_lock(s, n, &sh, &flags))
			continue;
		if (!sl->owner) {
			sl->holders &= ~mask;
			if (!(sl->holders & ~ready))
				sl->flags &= ~CIRCLE_SLOT_UNSURE;
		}
		spin_unlock_irqrestore(&sh->lock, flags);
	}
	if (mask)
		circle_cache_loss(node);
}

/* Pages of one slot that are dirty and not held by `degree` peers of the view. */
static u32 exposed(struct circle_slots *s, u32 n, u32 view, u32 degree, bool *any_dirty)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_shard *sh;
	unsigned long flags;
	u64 dirty = 0;

	if (!circle_slot_lock(s, n, &sh, &flags))
		return 0;
	if (!sl->owner)
		dirty = circle_slot_dirty(s, n);
	*any_dirty |= !!dirty;
	if (hweight32(sl->holders & view) >= degree)
		dirty = 0;
	spin_unlock_irqrestore(&sh->lock, flags);
	return hweight64(dirty);
}

/* One round over our blocks, until so many were found. */
static u64 count_exposed(struct circle_node *node, u32 view, u32 degree, u64 enough, bool *dirty)
{
	struct circle_slots *s = node->slots;
	u64 pages = 0;
	u32 n;

	*dirty = false;
	for (n = 0; n < s->nr && pages < enough; n++) {
		if (!READ_ONCE(s->slot[n].owner))
			pages += exposed(s, n, view, degree, dirty);
		if (!(n & 0xfff))
			cond_resched();
	}
	return pages;
}

u64 circle_exposed_pages(struct circle_node *node, u32 view, u32 degree, bool *dirty)
{
	return count_exposed(node, view, degree, U64_MAX, dirty);
}

u64 circle_at_risk(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	bool dirty;

	return (circle_exposed_pages(node, READ_ONCE(c->view) & circle_ready_peers(c),
				     READ_ONCE(c->degree), &dirty) +
		circle_live_exposed(node, READ_ONCE(c->degree))) *
	       (node->geom.page_sectors << SECTOR_SHIFT);
}

/* Every dirty page has `degree` durable holders in view: the floor may be raised to it (R7). */
static bool may_raise(struct circle_node *node, u32 view, u32 degree)
{
	struct circle_circle *c = node->circle;
	unsigned int i;
	bool dirty;

	if (hweight32(view) < degree || count_exposed(node, view, degree, 1, &dirty))
		return false;
	for (i = 0; dirty && i < c->nr_peers; i++)
		if ((view >> i & 1) && circle_peer_flush(&c->peer[i]))
			return false;
	return true;
}

/*
 * The SSD holds what is dirty: from the first label after which something may be, until its
 * metadata fail (R3): then nothing goes through, and nothing is released, before one says VOID.
 */
static u32 label_flags(struct circle_node *node, u32 view, u32 degree)
{
	u32 now = node->circle->label.flags;

	if (READ_ONCE(node->meta->failed))
		return CIRCLE_LBF_VOID | (now & CIRCLE_LBF_EMPTY);
	if (!degree || view || (now & CIRCLE_LBF_SSD))
		return CIRCLE_LBF_SSD;
	return now & CIRCLE_LBF_EMPTY;
}

/* The label with VOID is durable, and no other is in flight: the SSD's metadata count no more. */
void circle_label_voided(struct circle_node *node)
{
	if (!(node->circle->label.flags & CIRCLE_LBF_VOID) || READ_ONCE(node->meta->voided))
		return;
	WRITE_ONCE(node->meta->voided, true);
	circle_lease_wake(node);
	circle_commit_kick(node);	/* which tells */
}

static void change_view(struct circle_node *node, u32 view, u32 floor, u32 degree, u32 flags)
{
	struct circle_circle *c = node->circle;
	u32 gone;
	int r;

	if (view & ~circle_ready_peers(c))
		return;			/* lost meanwhile; it may be another instance by now */
	spin_lock_irq(&c->lock);
	c->wait |= view;		/* both outcomes of the write are true meanwhile */
	spin_unlock_irq(&c->lock);
	fill_peers(c, view);
	c->label.degree = degree;
	c->label.floor = floor;
	c->label.state = CIRCLE_LS_ACTIVE;
	c->label.flags = flags;
	WRITE_ONCE(c->label_unsure, true);
	r = circle_label_store(node);
	if (r) {
		CIRCLE_WARN_LIMIT("the label cannot be written (%d): the view stays as it is", r);
		return;
	}
	circle_label_voided(node);
	spin_lock_irq(&c->lock);
	gone = c->wait & ~view;
	if (gone)
		c->departures++;
	__circle_away_view(c, view, gone);
	c->view = view;
	c->floor = floor;
	c->degree_now = degree;
	WRITE_ONCE(c->label_unsure, false);
	spin_unlock_irq(&c->lock);
	CIRCLE_INFO("view %#x, floor %u, degree %u", view, floor, degree);
	trace_circle_view(node, view, floor, degree);
	/* They may come back only when no block knows them any more: may_resync() looks at wait. */
	strike_off(node, gone);
	spin_lock_irq(&c->lock);
	c->wait = view;
	spin_unlock_irq(&c->lock);
	if (gone)
		circle_multi_forget(node, gone);
	circle_lease_wake(node);	/* what waited for strike_off(); readers */
	circle_heal_anew(node);
	for (r = 0; r < c->nr_peers; r++)
		wake_up_all(&c->peer[r].wait);
}

/* What the label should say now; writes it if it says something else. */
static void keep_view(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	u32 ready = circle_ready_peers(c), view = ready, floor, degree = READ_ONCE(c->degree);
	u32 gone = c->view & ~ready, flags;

	if (degree > c->degree_now) {
		spin_lock_irq(&c->lock);
		WRITE_ONCE(c->degree_now, degree);	/* asked of new writes at once */
		__circle_away_forget(c);
		spin_unlock_irq(&c->lock);
		circle_heal_anew(node);
	}
	floor = c->floor > hweight32(gone) ? c->floor - hweight32(gone) : 0;
	floor = min(floor, degree);
	/* Never in the label that removes a holder: some of it is not marked dirty yet. */
	if (floor < degree && view == c->view && view == c->wait &&
	    may_raise(node, view, degree))
		floor = degree;
	flags = label_flags(node, view, degree);
	if (!c->label_unsure && view == c->view && view == c->wait && floor == c->floor &&
	    degree == c->label.degree && flags == c->label.flags)
		return;
	change_view(node, view, floor, degree, flags);
}

/* Clean blocks that holders still have: their release was not possible, or not answered. */
static void sweep(struct circle_node *node)
{
	struct circle_slots *s = node->slots;
	u32 n;

	for (n = 0; n < s->nr && circle_lease_ok(node) && circle_release_may(node); n++) {
		struct circle_slot *sl = &s->slot[n];

		if (!(n & 0xfff))
			cond_resched();
		if (READ_ONCE(sl->holders) && !circle_slot_dirty(s, n) && !READ_ONCE(sl->owner))
			circle_release_block(node, circle_slot_block(sl));
	}
}

bool circle_holders_left(const struct circle_node *node)
{
	const struct circle_slots *s = node->slots;
	u32 n;

	for (n = 0; n < s->nr; n++) {
		if (!(n & 0xfff))
			cond_resched();
		if (!s->slot[n].owner && READ_ONCE(s->slot[n].holders))
			return true;
	}
	return false;
}

void circle_steward_end_waits(struct circle_node *node, bool requeue)
{
	struct circle_circle *c = node->circle;

	if (!c)
		return;
	c->requeue = requeue;
	c->ending_at = jiffies + (requeue ? 0 : msecs_to_jiffies(CIRCLE_END_MS));
	smp_store_release(&c->ending, true);	/* who sees it sees these */
	queue_delayed_work(node->bg_wq, &c->end_work, PERIOD);
	circle_steward_kick(node);
}

void circle_steward_go_on(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	cancel_delayed_work_sync(&c->end_work);
	/* Both locks: who decides under one of them to end a wait, does so before or not at all. */
	spin_lock_irq(&c->lease_lock);
	spin_lock(&c->lock);
	WRITE_ONCE(c->ending, false);
	c->in_vain = 0;
	spin_unlock(&c->lock);
	spin_unlock_irq(&c->lease_lock);
}

/* Suspend does not wait for label or peers (P7). Those that are READY answer, or get lost. */
static void end_waits(struct circle_node *node, u32 away)
{
	if (!circle_ending(node->circle))
		return;
	circle_lease_wake(node);
	circle_multi_end(node, away);
	circle_live_end_waits(node);
}

/* The steward has the first try: a label that can be written ends waits without an error. */
static void end_work(struct work_struct *work)
{
	struct circle_circle *c = container_of(work, struct circle_circle, end_work.work);

	if (!READ_ONCE(c->ending))
		return;
	if (READ_ONCE(c->at_label) &&
	    (c->requeue || time_after(jiffies, READ_ONCE(c->at_label_since) + HZ))) {
		CIRCLE_WARN_LIMIT("the label's device does not answer: what waits for the label ends");
		end_waits(c->node, ~circle_ready_peers(c));
	}
	queue_delayed_work(c->node->bg_wq, &c->end_work, PERIOD);
}

/* One look at the label, and what follows from it. */
static void round_of(struct circle_node *node, unsigned long *looked)
{
	struct circle_circle *c = node->circle;

	WRITE_ONCE(c->at_label_since, jiffies);
	WRITE_ONCE(c->at_label, true);
	if (!circle_lease_ok(node) || time_after(jiffies, *looked + LOOK)) {
		*looked = jiffies;
		if (circle_label_look(node))
			goto out;
		sweep(node);
	}
	if (READ_ONCE(node->recovering))
		circle_live_round(node);
	else
		keep_view(node);
	circle_away_round(node);
out:
	WRITE_ONCE(c->at_label, false);
}

static int steward(void *data)
{
	struct circle_node *node = data;
	struct circle_circle *c = node->circle;
	unsigned long looked = jiffies;
	u32 away;

	while (!kthread_should_stop()) {
		wait_event_idle_timeout(c->steward_wait, READ_ONCE(c->steward_kick) ||
					kthread_should_stop(), PERIOD);
		WRITE_ONCE(c->steward_kick, false);
		if (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER) {
			circle_lease_wake(node);
			circle_multi_forget(node, ~0u);
			circle_live_end_waits(node);
			continue;
		}
		away = ~circle_ready_peers(c);
		round_of(node, &looked);
		end_waits(node, away);
	}
	return 0;
}

int circle_steward_start(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	INIT_DELAYED_WORK(&c->end_work, end_work);
	c->steward = kthread_run(steward, node, "circle_steward");
	if (IS_ERR(c->steward)) {
		int r = PTR_ERR(c->steward);

		c->steward = NULL;
		return r;
	}
	return 0;
}

void circle_steward_kick(struct circle_node *node)
{
	if (!node->circle)
		return;
	WRITE_ONCE(node->circle->steward_kick, true);
	wake_up(&node->circle->steward_wait);
}

/* Nothing dirty, nothing held: the label says so, and the origin stands alone (R7). */
static void say_clean(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	if (c->role != CIRCLE_ROLE_OWNER || node->recovering || circle_label_look(node) ||
	    atomic_read(&node->slots->nr_dirty) || circle_holders_left(node) ||
	    (circle_origin_mark(node) && circle_origin_flush(node)))
		return;
	fill_peers(c, 0);
	c->label.state = CIRCLE_LS_CLEAN;
	c->label.flags = CIRCLE_LBF_EMPTY | (node->meta->failed ? CIRCLE_LBF_VOID : 0);
	c->label.floor = 0;
	if (!circle_label_store(node))
		return;
	c->label.state = CIRCLE_LS_ACTIVE;	/* as far as is known */
	CIRCLE_WARN("the label could not be marked clean");
}

void circle_steward_stop(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	if (!c->steward)
		return;
	WRITE_ONCE(c->ending, false);	/* it would queue itself again */
	cancel_delayed_work_sync(&c->end_work);
	kthread_stop(c->steward);
	c->steward = NULL;
	say_clean(node);
}
