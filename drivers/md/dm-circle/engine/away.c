// SPDX-License-Identifier: GPL-2.0-only
/*
 * away: see away.h. It only puts off healing: a peer that leaves goes out of the view by the same
 * steps as one whose connection is lost (R3), and comes back by the same (peer.c, heal_copy.c).
 *
 * It must never let a peer go that may be asked for the only copy of something, and never put off
 * healing for a holder that was lost otherwise.
 */
#include "away.h"

#include "../log.h"
#include "circle.h"
#include "heal.h"
#include "peer.h"
#include "steward.h"

/* Whose content is not sure to be on the cache device; repair.c and the label see to these. */
#define NEEDS_HOLDERS	(CIRCLE_SLOT_SICK | CIRCLE_SLOT_UNSURE | CIRCLE_SLOT_OLD)

void circle_away_leave(struct circle_node *node, u32 seconds)
{
	struct circle_circle *c = node->circle;

	spin_lock_irq(&c->lock);
	c->leave_until = jiffies + (unsigned long)seconds * HZ;
	WRITE_ONCE(c->leaving, !!seconds);
	spin_unlock_irq(&c->lock);
}

static u32 seconds_to(unsigned long when)
{
	unsigned long now = jiffies;

	return time_before(now, when) ? DIV_ROUND_UP(when - now, HZ) : 0;
}

u32 circle_away_left(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned long flags;
	u32 left = 0;

	if (!READ_ONCE(c->leaving))
		return 0;
	spin_lock_irqsave(&c->lock, flags);
	if (c->leaving)
		left = seconds_to(c->leave_until);
	WRITE_ONCE(c->leaving, !!left);
	spin_unlock_irqrestore(&c->lock, flags);
	return left;
}

void __circle_away_heard(struct circle_peer *p, u32 seconds)
{
	lockdep_assert_held(&p->lock);
	seconds = min(seconds, CIRCLE_LEAVE_MAX);
	/* It does not get more time by asking again. */
	if (seconds && !(READ_ONCE(p->node->circle->away) >> p->nr & 1))
		WRITE_ONCE(p->away_until, jiffies + (unsigned long)seconds * HZ);
	WRITE_ONCE(p->leaves, !!seconds);
}

/* One round over our blocks: nobody else may have them. */
static bool is_needed(struct circle_peer *p)
{
	struct circle_slots *s = p->node->slots;
	u32 n;

	for (n = 0; n < s->nr; n++) {
		struct circle_slot *sl = &s->slot[n];

		if (!(n & 0xfff))
			cond_resched();
		if ((READ_ONCE(sl->flags) & NEEDS_HOLDERS) && !READ_ONCE(sl->owner) &&
		    (READ_ONCE(sl->holders) >> p->nr & 1))
			return true;
	}
	return false;
}

/* Dirty blocks may be with holders alone: the SSD is not well, or a recovery under way. */
static bool holders_count(const struct circle_node *node)
{
	if (READ_ONCE(node->recovering))
		return true;
	return (READ_ONCE(node->meta->failed) || READ_ONCE(node->ssd_bad) ||
		circle_meta_data_bad(node->meta)) &&
	       atomic_read(&node->slots->nr_dirty) > atomic_read(&node->slots->nr_lost);
}

bool circle_away_let_go(struct circle_peer *p)
{
	return READ_ONCE(p->leaves) && READ_ONCE(p->node->circle->role) == CIRCLE_ROLE_OWNER &&
	       !holders_count(p->node);
}

static void see_to_time(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	if (!READ_ONCE(c->away) || circle_away_expected(node))
		return;
	spin_lock_irq(&c->lock);
	__circle_away_forget(c);
	spin_unlock_irq(&c->lock);
	if (c->floor < c->degree_now)
		CIRCLE_INFO("a peer that left in order is not back in time: what is missing is healed");
	circle_heal_anew(node);
}

/*
 * What waits for the peer must be rid of it soon; what the last one had is to be there again first.
 */
static bool may_let_go(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	return !c->label_unsure && !circle_ending(c) && circle_lease_ok(node) &&
	       !circle_heal_tries(node);
}

void circle_away_round(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned int i;

	see_to_time(node);
	for (i = 0; i < c->nr_peers; i++) {
		struct circle_peer *p = &c->peer[i];

		if (READ_ONCE(p->state) == CIRCLE_PEER_READY && circle_away_let_go(p) &&
		    may_let_go(node) && !is_needed(p))
			circle_peer_let_go(p);
	}
}

void __circle_away_forget(struct circle_circle *c)
{
	lockdep_assert_held(&c->lock);
	WRITE_ONCE(c->away, 0);
}

void __circle_away_view(struct circle_circle *c, u32 view, u32 gone)
{
	bool in_order = true;
	u32 mask;

	lockdep_assert_held(&c->lock);
	if (view & c->away)
		__circle_away_forget(c);
	if (!gone)
		return;
	for (mask = gone; mask; mask &= mask - 1) {
		const struct circle_peer *p = &c->peer[__ffs(mask)];

		in_order &= READ_ONCE(p->let_go) && seconds_to(READ_ONCE(p->away_until));
	}
	if (in_order && (c->floor >= c->degree_now || circle_away_expected(c->node)))
		WRITE_ONCE(c->away, c->away | gone);
	else
		__circle_away_forget(c);
}

u32 circle_away_due(const struct circle_peer *p)
{
	if (!(READ_ONCE(p->node->circle->away) >> p->nr & 1))
		return 0;
	return seconds_to(READ_ONCE(p->away_until));
}

bool circle_away_expected(const struct circle_node *node)
{
	const struct circle_circle *c = node->circle;
	u32 mask = READ_ONCE(c->away);

	if (!mask)
		return false;
	for (; mask; mask &= mask - 1)
		if (!circle_away_due(&c->peer[__ffs(mask)]))
			return false;
	return true;
}
