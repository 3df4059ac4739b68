// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_peers: the label of a live recovery, and the peers that it counts. One that stays away is
 * taken out of the label if all that is not at the origin has another holder; else what it alone
 * has gives errors until it is back. What no peer can read any more is lost: a slot, durable, and
 * the label say so before any holder is told to forget the block.
 *
 * The steward's thread alone. It must never write a label that promises more copies than there are.
 */
#include "live_impl.h"

#include <linux/kthread.h>
#include "../log.h"
#include "replicate.h"
#include "steward.h"

#define PATIENCE	(30 * HZ)	/* as long as a start waits for a peer that is needed */
#define AT_ONCE		64		/* blocks said to be lost in a round: each is a message */

/* As it was: all that it had was made durable there when the recovery went live. */
static bool has_its_store(const struct circle_live *l, unsigned int nr)
{
	const struct circle_peer *p = &l->r.node->circle->peer[nr];

	return READ_ONCE(p->state) >= CIRCLE_PEER_UP &&
	       circle_same_store(READ_ONCE(p->instance), l->r.instance[nr]);
}

bool circle_live_reachable(const struct circle_live *l, const struct circle_copy *c)
{
	return c->from != CIRCLE_FROM_SSD && has_its_store(l, c->from);
}

bool circle_live_is_there(const struct circle_live *l, unsigned int nr)
{
	return has_its_store(l, nr) &&
	       (!(READ_ONCE(l->bad) >> nr & 1) || READ_ONCE(l->bad_instance[nr]) !=
		READ_ONCE(l->r.node->circle->peer[nr].instance));
}

u32 circle_live_there(const struct circle_live *l, u32 peers)
{
	unsigned int i;

	for (i = 0; i < l->r.node->circle->nr_peers; i++)
		if (!circle_live_is_there(l, i))
			peers &= ~(1u << i);
	return peers;
}

u32 circle_live_holders(const struct circle_live *l, u32 won, u32 peers)
{
	const struct circle_copy *w = &l->r.copy[won], *c;
	u32 n = 0;

	for (c = w; c < l->r.copy + l->r.nr && c->block == w->block; c++)
		n += c->from != CIRCLE_FROM_SSD && (peers >> c->from & 1) &&
		     !READ_ONCE(c->bad) && circle_live_same(w, c);
	return n;
}

/* Who does not count is remembered: what only it can still give is not lost. */
static u8 in_view(const struct circle_live *l, unsigned int nr, u32 peers)
{
	const struct circle_circle *c = l->r.node->circle;

	if (!peers && (l->flags & CIRCLE_LBF_EMPTY))
		return CIRCLE_IN_VIEW_NOT;
	if (peers >> nr & 1)
		return CIRCLE_IN_VIEW_COUNTS;
	return (c->old_view | c->asked) >> nr & 1 ? CIRCLE_IN_VIEW_ASKED : CIRCLE_IN_VIEW_NOT;
}

int circle_live_label(struct circle_live *l, u32 peers, u32 floor)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned int i, k;
	int err;

	memcpy(c->label.peer, c->found.peer, sizeof(c->label.peer));
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		for (k = 0; k < c->nr_peers; k++)
			if (c->label.peer[i].id == c->peer[k].id)
				c->label.peer[i].in_view = in_view(l, k, peers);
	c->label.state = CIRCLE_LS_RECOVERING;
	c->label.flags = l->flags;
	c->label.floor = floor;
	/* One that could not be written, or not be looked behind, may be durable. */
	WRITE_ONCE(l->promised, l->promised & peers);
	l->unsure = true;
	err = circle_label_store(l->r.node);
	if (err)
		return err;
	l->unsure = false;
	WRITE_ONCE(l->promised, peers);
	return 0;
}

int circle_live_label_empty(struct circle_live *l)
{
	u32 flags = l->flags;
	int err;

	if (l->empty || atomic_read(&l->r.node->slots->nr_lost))
		return 0;
	l->flags = (flags & CIRCLE_LBF_VOID) | CIRCLE_LBF_EMPTY;
	err = circle_live_label(l, 0, 0);
	if (err) {
		l->flags = flags;	/* it may be durable: nothing was dropped by it */
		return err;
	}
	WRITE_ONCE(l->r.counted, 0);
	WRITE_ONCE(l->floor, 0);
	WRITE_ONCE(l->gone, 0);
	l->empty = true;
	return 0;
}

static bool at_origin(u16 state)
{
	return (state & LIVE_DURABLE) || (state & LIVE_BASE) == LIVE_GONE;
}

static bool has(const struct circle_live *l, u32 won, unsigned int nr)
{
	const struct circle_copy *w = &l->r.copy[won], *c;

	for (c = w; c < l->r.copy + l->r.nr && c->block == w->block; c++)
		if (c->from == nr)
			return true;
	return false;
}

/*
 * Of what a peer has, and is not durable at the origin, the copies among those that are there; at
 * most so many. What it has not loses nothing by its going.
 */
static u32 least_held(const struct circle_live *l, unsigned int nr, u32 peers, u32 least)
{
	u32 i;

	for (i = 0; i < l->r.nr && least; i++) {
		if (!(i & 0xfff))
			cond_resched();
		if (circle_recover_wins(&l->r, i) && !at_origin(READ_ONCE(l->state[i])) &&
		    has(l, i, nr))
			least = min(least, circle_live_holders(l, i, peers));
	}
	return least;
}

/*
 * Goes on without the peer, if the label can still promise a copy of all that is dirty. The floor
 * alone does not prove it: another may be away as well, or have a copy that cannot be read.
 */
static bool leave(struct circle_live *l, const struct circle_peer *p)
{
	u32 rest = l->r.counted & ~(1u << p->nr), floor;

	floor = least_held(l, p->nr, circle_live_there(l, rest), max(l->floor, 2u) - 1);
	if (!floor)
		return false;
	if (l->own)
		floor = min(floor, l->floor);	/* 0: there may be blocks that no peer has */
	if (circle_live_label(l, rest, floor))
		return false;
	WRITE_ONCE(l->r.counted, rest);
	WRITE_ONCE(l->floor, floor);
	WRITE_ONCE(l->gone, l->gone & ~(1u << p->nr));
	CIRCLE_WARN("recovery: going on without peer %u, floor %u", p->id, floor);
	circle_live_read_again(l);
	return true;
}

/* Has it a block that no other has, but those that stay away, too? */
static bool nobody_else_has(const struct circle_live *l, unsigned int nr)
{
	u32 rest = l->r.counted;
	unsigned int i;

	for (i = 0; i < l->r.node->circle->nr_peers; i++)
		if (i == nr || time_after(jiffies, l->seen[i] + PATIENCE))
			rest &= ~(1u << i);
	return !least_held(l, nr, rest, 1);
}

/*
 * Goes on without the peer, although it has blocks that no other has: the own SSD has what was
 * flushed of them (R6), and the label says so.
 */
static void leave_to_own(struct circle_live *l, const struct circle_peer *p)
{
	u32 rest = l->r.counted & ~(1u << p->nr);

	l->flags |= CIRCLE_LBF_WEAK;
	if (circle_live_label(l, rest, 0))
		return;			/* tried again */
	WRITE_ONCE(l->weak_said, true);
	WRITE_ONCE(l->r.counted, rest);
	WRITE_ONCE(l->floor, 0);
	WRITE_ONCE(l->gone, l->gone & ~(1u << p->nr));
	CIRCLE_WARN("recovery: peer %u does not come back: what no other peer has comes from the own SSD, complete up to the last FLUSH",
		    p->id);
	circle_live_read_again(l);
	circle_event_post(l->r.node);
}

/* Blocks that are not drained, of which no copy can be asked for. */
static u32 count_missing(const struct circle_live *l)
{
	const struct circle_copy *c, *end = l->r.copy + l->r.nr;
	u32 i, n = 0;

	for (i = 0; i < l->r.nr; i++) {
		u16 base = READ_ONCE(l->state[i]) & LIVE_BASE;

		if (!(i & 0xfff))
			cond_resched();
		if (!circle_recover_wins(&l->r, i) || base == LIVE_DRAINED || base == LIVE_GONE)
			continue;
		for (c = &l->r.copy[i]; c < end && c->block == l->r.copy[i].block; c++)
			if (circle_live_can_be_asked(l, c))
				break;
		n += c == end || c->block != l->r.copy[i].block;
	}
	return n;
}

static void give_up(struct circle_live *l, const struct circle_peer *p)
{
	WRITE_ONCE(l->gone, l->gone | 1u << p->nr);
	CIRCLE_ERR("recovery: peer %u does not come back: %u blocks that no other peer has give errors until it does. To give them up remove the device and create it again with force",
		   p->id, count_missing(l));
	circle_event_post(l->r.node);
}

static void came_back(struct circle_live *l, const struct circle_peer *p)
{
	WRITE_ONCE(l->gone, l->gone & ~(1u << p->nr));
	CIRCLE_INFO("recovery: peer %u is back", p->id);
	circle_live_read_again(l);
	circle_event_post(l->r.node);
}

void circle_live_look_after_peers(struct circle_live *l)
{
	struct circle_circle *c = l->r.node->circle;
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(c->timeout_ms));
	unsigned long wait = READ_ONCE(l->waiting) ? min(timeout, PATIENCE) : PATIENCE;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		struct circle_peer *p = &c->peer[i];
		bool gone = l->gone >> i & 1;

		if (!(l->r.counted >> i & 1) || kthread_should_stop())
			continue;
		if (circle_live_is_there(l, i))
			l->seen[i] = jiffies;
		if (circle_live_is_there(l, i) && gone)
			came_back(l, p);
		else if (time_before(jiffies, l->seen[i] + wait) || leave(l, p) ||
			 time_before(jiffies, l->seen[i] + PATIENCE))
			continue;
		else if (!circle_live_own_counts(l) && !gone)
			give_up(l, p);
		else if (circle_live_own_counts(l) && nobody_else_has(l, i))
			leave_to_own(l, p);
	}
}

/* The metadata failed: what goes through waits for a label that says so. */
void circle_live_say_void(struct circle_live *l)
{
	struct circle_node *node = l->r.node;

	if (!READ_ONCE(node->meta->failed) || READ_ONCE(node->meta->voided))
		return;
	l->flags = (l->flags | CIRCLE_LBF_VOID) & ~CIRCLE_LBF_SSD;
	if (!circle_live_label(l, l->r.counted, l->floor))
		circle_label_voided(node);
}

/*
 * What a drainer is to write is complete up to the last FLUSH only: first the label says so (R6).
 * It goes on saying so, also if this attempt fails, and may be durable.
 */
void circle_live_say_weak(struct circle_live *l)
{
	if (!READ_ONCE(l->want_weak) || READ_ONCE(l->weak_said))
		return;
	l->flags |= CIRCLE_LBF_WEAK;
	if (circle_live_label(l, l->r.counted, l->floor))
		return;
	WRITE_ONCE(l->weak_said, true);
	circle_live_try_again(l);
}

/* A slot for what is lost of a block, which never had data: no write has sequence 0. */
static bool map_lost(struct circle_node *node, struct circle_copy *won)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, won->block);
	u32 spare = circle_slot_pop(s, 0), n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, won->block);
	if (n == CIRCLE_NO_SLOT && spare != CIRCLE_NO_SLOT) {
		n = spare;
		spare = CIRCLE_NO_SLOT;
		__circle_slot_map(s, sh, n, 0, won->block, CIRCLE_SLOT_INTENT);
		__circle_slot_set_tag(&s->slot[n], node->gen, 0);
	}
	if (n != CIRCLE_NO_SLOT) {
		if (s->slot[n].flags & CIRCLE_SLOT_OLD) {
			__circle_slot_grow_old(s, sh, n, false);
			__circle_slot_set_tag(&s->slot[n], node->gen, 0);
		}
		__circle_slot_lose(s, sh, n, won->lost);
		won->noted = CIRCLE_LOST_NOTED;
	}
	spin_unlock_irq(&sh->lock);
	if (spare != CIRCLE_NO_SLOT)
		circle_slot_push(s, spare);
	return n != CIRCLE_NO_SLOT;
}

/* No place is left to say it: then the whole block gives errors, and the recovery does not end. */
static void cannot_say(struct circle_live *l, u32 i)
{
	LIST_HEAD(bad);

	CIRCLE_WARN_LIMIT("recovery: block %llu cannot be read from any peer, and that cannot be noted: it gives errors, and is tried again",
			  l->r.copy[i].block);
	spin_lock_irq(&l->lock);
	__circle_live_set(l, i, LIVE_UNREADABLE, 0);
	l->state[i] |= LIVE_TRIES;
	__circle_live_take(l, i, true, &bad);
	spin_unlock_irq(&l->lock);
	circle_live_fail(&bad);
}

static bool to_lose(const struct circle_live *l, u32 i)
{
	const u16 what = LIVE_UNREADABLE | LIVE_LOSE;

	/* pairs with the release in __put(), live_state.c: with what is lost */
	return circle_recover_wins(&l->r, i) && (smp_load_acquire(&l->state[i]) & what) == what;
}

/* Slots and label are durable: the rest of the block is drained now. */
static void lose(struct circle_live *l, u32 i)
{
	struct circle_node *node = l->r.node;
	struct circle_copy *won = &l->r.copy[i];
	u32 first = __ffs64(won->lost) << node->geom.page_shift;
	u32 end = min_t(u32, fls64(won->lost) << node->geom.page_shift,
			circle_block_limit(node, won->block));

	won->noted = CIRCLE_LOST_SAID;
	CIRCLE_ERR("lost: %u pages in sectors %llu+%u have no copy that can be read; they read as errors until overwritten",
		   (u32)hweight64(won->lost), circle_block_sector(node, won->block, first),
		   end - first);
	spin_lock_irq(&l->lock);
	__circle_live_set(l, i, LIVE_PENDING, 0);
	l->state[i] &= ~LIVE_TRIES;
	spin_unlock_irq(&l->lock);
}

static int make_lost_durable(struct circle_live *l)
{
	int err = circle_commit_now(l->r.node);

	if (err || (l->flags & CIRCLE_LBF_LOST))
		return err;
	l->flags |= CIRCLE_LBF_LOST;
	err = circle_live_label(l, l->r.counted, l->floor);
	if (err)
		l->flags &= ~CIRCLE_LBF_LOST;
	return err;
}

static void __cover(struct circle_live *l, u32 i)
{
	const u16 what = LIVE_UNREADABLE | LIVE_LOSE;

	if ((l->state[i] & what) == what)
		l->state[i] |= LIVE_COVERED;
}

/* The rest of what is COVERED then has been written there, and no slot will have it any more. */
static bool rest_is_durable(struct circle_live *l)
{
	int errors = READ_ONCE(l->errors);

	circle_live_each(l, 0, l->r.nr, __cover);
	return !circle_origin_flush(l->r.node) && errors == circle_live_errors(l);
}

void circle_live_say_lost(struct circle_live *l)
{
	struct circle_node *node = l->r.node;
	bool ok, again = false;
	u32 i, some = 0;

	if (!READ_ONCE(l->lose) || (l->own && !rest_is_durable(l)))
		return;
	spin_lock_irq(&l->lock);	/* what is marked from now on says so anew */
	l->lose = false;
	spin_unlock_irq(&l->lock);
	for (i = 0; i < l->r.nr && some < AT_ONCE; i++) {
		if (!(i & 0xfff))
			cond_resched();
		if (!to_lose(l, i))
			continue;
		if (l->own && !(READ_ONCE(l->state[i]) & LIVE_COVERED))
			again = true;
		else if (READ_ONCE(node->meta->failed) || !map_lost(node, &l->r.copy[i]))
			cannot_say(l, i);
		else
			some++;
	}
	ok = !some || !make_lost_durable(l);
	for (i = 0; some && i < l->r.nr; i++) {
		if (!(i & 0xfff))
			cond_resched();
		if (ok && to_lose(l, i) && l->r.copy[i].noted == CIRCLE_LOST_NOTED)
			lose(l, i);
	}
	if (!ok || again || some == AT_ONCE) {
		spin_lock_irq(&l->lock);
		l->lose = true;
		spin_unlock_irq(&l->lock);
	}
	if (ok && some)
		circle_event_post(node);
}
