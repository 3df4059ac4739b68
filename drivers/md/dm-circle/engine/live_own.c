// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_own: what the own SSD has, when its owner restarts and is live at once. What is dirty there
 * is a copy like that of a peer that restarted: of all that was flushed, not of all that was
 * completed. With the verdict COMPLETE it is what the recovery falls back on, and then the label
 * says WEAK before; with WEAK it is believed like all others (R6).
 *
 * Until its block is at the origin, flushed, such a slot is OLD: pinned, and dirty on disk alone,
 * so that neither host, write-back nor eviction finds anything in it. It must never be forgotten
 * before that, nor while a peer that counts has an older copy (R6), nor stand in durable metadata
 * when its block gets newer (R4).
 */
#include "live_impl.h"

#include "../log.h"
#include "steward.h"

#define SWEEP	65536u		/* copies looked at in a round */
#define AT_ONCE	4096u

/* The copies of one block: [i, end). */
static u32 end_of(const struct circle_recovery *r, u32 i)
{
	u64 block = r->copy[i].block;

	while (i < r->nr && r->copy[i].block == block)
		i++;
	return i;
}

static const struct circle_copy *own_copy(const struct circle_recovery *r, u32 won)
{
	u32 i, end = end_of(r, won);

	for (i = won; i < end; i++)
		if (r->copy[i].from == CIRCLE_FROM_SSD)
			return &r->copy[i];
	return NULL;
}

bool circle_live_own_can(const struct circle_recovery *r)
{
	const struct circle_node *node = r->node;
	u32 i;

	if (node->circle->start != CIRCLE_START_RESTART || READ_ONCE(node->meta->failed) ||
	    !(node->circle->found.flags & CIRCLE_LBF_SSD) ||
	    (node->circle->found.flags & CIRCLE_LBF_VOID) || atomic_read(&node->slots->nr_lost))
		return false;
	for (i = 0; i < r->nr; i++) {
		if (circle_recover_wins(r, i))
			return true;
		if (!(i % AT_ONCE))
			cond_resched();
	}
	return false;
}

bool circle_live_own_counts(const struct circle_live *l)
{
	return l->own && !READ_ONCE(l->r.node->meta->failed);
}

u32 circle_live_copies(const struct circle_live *l, u32 won)
{
	return end_of(&l->r, won) - won;
}

/*
 * COMPLETE: a block that only the SSD has is not dirty, since no peer that counts has it (R6). What
 * stays is never newer than a peer's then, whatever its tag says: that of the peer may be durable
 * in an older state than its data, and a recovery up to the last FLUSH goes by durable tags.
 */
static void drop_block(const struct circle_recovery *r, u32 i)
{
	struct circle_node *node = r->node;
	struct circle_shard *sh = circle_shard_of(node->slots, 0, r->copy[i].block);
	bool wins = circle_recover_wins(r, i);
	u64 dirty;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(node->slots, sh, 0, r->copy[i].block);
	if (n != CIRCLE_NO_SLOT && !__circle_recover_stays(r, i, n)) {
		dirty = wins ? circle_slot_dirty(node->slots, n) : 0;
		/* What is clean in it nobody will look after. */
		if (dirty)
			__circle_slot_set(node->slots, sh, n, dirty, dirty);
		else
			__circle_slot_unmap(node->slots, sh, n);
		if (dirty && r->verdict == CIRCLE_COMPLETE) {
			__circle_slot_set_tag(&node->slots->slot[n], 0, 1);
			circle_slot_changed(node->slots, n);
		}
	}
	spin_unlock_irq(&sh->lock);
}

int circle_live_own_prepare(struct circle_recovery *r)
{
	u32 i, end, looks = 0;

	for (i = 0; i < r->nr; i = end) {
		end = end_of(r, i);
		drop_block(r, i);
		if (!(++looks % AT_ONCE))
			cond_resched();
	}
	return circle_meta_commit(r->node->meta, true);
}

static void grow_old(struct circle_live *l, bool old)
{
	struct circle_slots *s = l->r.node->slots;
	u32 i, n;

	for (i = 0; i < l->r.nr; i++) {
		struct circle_shard *sh = circle_shard_of(s, 0, l->r.copy[i].block);

		if (!(i % AT_ONCE))
			cond_resched();
		if (l->r.copy[i].from != CIRCLE_FROM_SSD)
			continue;
		spin_lock_irq(&sh->lock);
		n = __circle_slot_find(s, sh, 0, l->r.copy[i].block);
		if (n != CIRCLE_NO_SLOT)
			__circle_slot_grow_old(s, sh, n, old);
		spin_unlock_irq(&sh->lock);
	}
	l->own = old;
}

void circle_live_own_keep(struct circle_live *l)
{
	grow_old(l, true);
}

void circle_live_own_undo(struct circle_live *l)
{
	if (l->own)
		grow_old(l, false);
}

static void forget(struct circle_node *node, u64 block)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(node->slots, sh, 0, block);
	if (n != CIRCLE_NO_SLOT && (node->slots->slot[n].flags & CIRCLE_SLOT_OLD))
		__circle_slot_unmap(node->slots, sh, n);
	spin_unlock_irq(&sh->lock);
}

/* Nothing that was forgotten stands in durable metadata that can be believed. */
static int make_forgotten_durable(struct circle_node *node)
{
	if (atomic_read(&node->slots->nr_freeing) && circle_commit_now(node) &&
	    !READ_ONCE(node->meta->voided))
		return -EAGAIN;		/* the label is to say that they are void */
	return READ_ONCE(node->meta->failed) && !READ_ONCE(node->meta->voided) ? -EAGAIN : 0;
}

int circle_live_own_forget(struct circle_live *l, u32 won)
{
	if (!l->own)
		return 0;
	forget(l->r.node, l->r.copy[won].block);
	return make_forgotten_durable(l->r.node);
}

/* A holder that counts has an older version: what is newer here keeps it from being taken (R6). */
static bool has_older(const struct circle_live *l, u32 won, const struct circle_copy *own)
{
	struct circle_tag tag = { own->gen, own->seq };
	u32 i, end = end_of(&l->r, won);

	for (i = won; i < end; i++) {
		struct circle_tag other = { l->r.copy[i].gen, l->r.copy[i].seq };

		if (circle_recover_counts(&l->r, &l->r.copy[i]) && circle_tag_cmp(other, tag) < 0)
			return true;
	}
	return false;
}

/* By the label nothing but that may be newer than the origin counts. */
static bool proves_nothing(const struct circle_live *l)
{
	return l->empty || READ_ONCE(l->r.node->meta->voided);
}

/* What is to be GONE soon is forgotten then: a holder may have it still, and not be readable. */
static bool may_go(const struct circle_live *l, u32 won, u16 state)
{
	bool gone = (state & LIVE_BASE) == LIVE_GONE;
	const struct circle_copy *own;

	if (!gone && (state & (LIVE_DURABLE | LIVE_ASKED)) != LIVE_DURABLE)
		return false;
	own = own_copy(&l->r, won);
	return own && (gone || proves_nothing(l) || !has_older(l, won, own));
}

/* Its slot is needed, and may not be forgotten before the block is released. */
static void want_gone(struct circle_live *l, u32 won)
{
	const u16 what = LIVE_BASE | LIVE_DURABLE | LIVE_ASKED | LIVE_BUSY | LIVE_LATER;

	spin_lock_irq(&l->lock);
	if ((l->state[won] & what) == (LIVE_DRAINED | LIVE_DURABLE))
		__circle_live_set(l, won, LIVE_DRAINED, LIVE_ASKED);
	spin_unlock_irq(&l->lock);
}

void circle_live_own_sweep(struct circle_live *l)
{
	struct circle_slots *s = l->r.node->slots;
	bool full = !circle_slots_room(s, 0);
	u32 n, i = l->own_next, end;

	if (!l->own)
		return;
	for (n = 0; n < SWEEP && i < l->r.nr; n += end - i, i = end) {
		end = end_of(&l->r, i);
		if (may_go(l, i, READ_ONCE(l->state[i])))
			forget(l->r.node, l->r.copy[i].block);
		else if (full && own_copy(&l->r, i))
			want_gone(l, i);
		if (!(n % AT_ONCE))
			cond_resched();
	}
	l->own_next = i < l->r.nr ? i : 0;
	if (atomic_read(&s->nr_freeing) && !READ_ONCE(l->r.node->meta->failed))
		circle_commit_kick(l->r.node);	/* what goes through would wait for it */
}

int circle_live_own_end(struct circle_live *l)
{
	int err;
	u32 i;

	if (!l->own)
		return 0;
	for (i = 0; i < l->r.nr; i++) {
		if (!(i % AT_ONCE))
			cond_resched();
		if (l->r.copy[i].from == CIRCLE_FROM_SSD)
			forget(l->r.node, l->r.copy[i].block);
	}
	err = make_forgotten_durable(l->r.node);
	if (!err)
		l->own = false;
	return err;
}

static void note(struct circle_live *l, u32 won, const struct circle_copy *own)
{
	bool weak = !own || !circle_live_alike(own, &l->r.copy[won]);

	spin_lock_irq(&l->lock);
	l->state[won] |= LIVE_UNEVEN | LIVE_ASKED;
	l->weak |= weak;
	spin_unlock_irq(&l->lock);
	CIRCLE_WARN_LIMIT("recovery: no peer has pages of block %llu any more, they come from %s%s",
			  l->r.copy[won].block, own ? "the own SSD" : "the origin",
			  weak ? ": they are complete up to the last FLUSH" : "");
	if (weak)		/* a FLUSH since we are live said that they are durable */
		WRITE_ONCE(l->r.node->loss_untold, true);
}

/* What was flushed it has, or else it is at the origin (R6). */
int circle_live_own_block(struct circle_live *l, struct circle_drainer *d, u32 won)
{
	const struct circle_copy *own = own_copy(&l->r, won);
	int err = circle_live_may_be_weak(l);

	if (!err && own)
		err = circle_recover_copy(d, own);
	if (!err)
		note(l, won, own);
	return err;
}

int circle_live_own_page(struct circle_live *l, struct circle_drainer *d, u32 won, u32 page,
			 u32 from, u32 to)
{
	const struct circle_copy *own = own_copy(&l->r, won);
	int err;

	if (!l->own)
		return -ENODATA;
	err = circle_live_may_be_weak(l);
	if (!err && own && (own->pages >> page & 1))
		err = circle_recover_run(d, own, from, to);
	if (!err)
		note(l, won, own);
	return err;
}
