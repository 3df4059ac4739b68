/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slots_impl: what slots.c shares with those that fill a table (load, resize). Millions of slots go
 * through it before a start is over, hence inline.
 */
#ifndef CIRCLE_STORE_SLOTS_IMPL_H
#define CIRCLE_STORE_SLOTS_IMPL_H

#include <linux/bitops.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include "slots.h"

static inline u32 circle_slot_hash(u16 owner, u64 block)
{
	return hash_64(block ^ ((u64)owner << 56) ^ ((u64)owner << 17), 32);
}

/* The head of the chain that a block is in, and its shard. */
static inline u32 *circle_slot_chain(struct circle_slots *s, u16 owner, u64 block,
				     struct circle_shard **sh)
{
	u32 hash = circle_slot_hash(owner, block);

	*sh = &s->shard[hash & (s->nr_shards - 1)];
	return &(*sh)->bucket[reciprocal_scale(hash, s->per_shard)];
}

static inline void circle_list_in(struct circle_slots *s, struct circle_list *l, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	sl->prev = CIRCLE_NO_SLOT;
	sl->next = l->head;
	if (l->head != CIRCLE_NO_SLOT)
		s->slot[l->head].prev = n;
	else
		l->tail = n;
	l->head = n;
	l->nr++;
}

/*
 * For a slot that nobody else knows of: keeps a state, one that is circle_slot_state_ok(), which
 * is to be entered.
 */
static inline void circle_slot_put(struct circle_slots *s, u32 n,
				   const struct circle_slot_state *st)
{
	s->slot[n] = (struct circle_slot){
		.block_low = st->block,
		.block_high = st->block >> 32,
		.owner = st->owner,
		.flags = st->flags,
		.seq_high = st->seq >> 32,
		.seq_low = st->seq,
		.gen = st->gen,
	};
	circle_masks_put(&s->masks, n, st->valid, st->dirty);
}

/* What was entered and is not yet in the counters of the table. */
struct circle_tally {
	u32 mapped, lent, dirty, lost;
	u64 dirty_pages, lost_pages;
};

/*
 * The shard's lock held, or nobody else knows of the table. A mapped slot that was put goes into
 * index and queue; chain and shard: of its block; dirty: its mask. Returns the slot that has the
 * block already, and then nothing was done; or CIRCLE_NO_SLOT.
 */
static __always_inline u32 __circle_slot_enter(struct circle_slots *s, u32 *chain,
					       struct circle_shard *sh, u32 n, u64 dirty, u8 stamp,
					       struct circle_tally *t)
{
	struct circle_slot *sl = &s->slot[n], *o;
	u32 other;

	for (other = *chain; other != CIRCLE_NO_SLOT; other = o->hnext) {
		o = &s->slot[other];
		if (o->block_low == sl->block_low && o->block_high == sl->block_high &&
		    o->owner == sl->owner)
			return other;
	}
	sl->flags |= CIRCLE_SLOT_MAIN;
	if (sl->flags & CIRCLE_SLOT_INTENT)
		sl->flags |= CIRCLE_SLOT_WRITABLE;
	sl->stamp = stamp;
	sl->hnext = *chain;
	*chain = n;
	if (sl->owner) {
		t->lent++;
		return CIRCLE_NO_SLOT;
	}
	t->mapped++;
	if (!dirty) {
		circle_list_in(s, &sh->queue[1], n);
		return CIRCLE_NO_SLOT;
	}
	circle_list_in(s, &sh->dirty, n);
	t->dirty++;
	t->dirty_pages += hweight64(dirty);
	if (sl->flags & CIRCLE_SLOT_LOST) {
		t->lost++;
		t->lost_pages += hweight64(dirty);
	}
	return CIRCLE_NO_SLOT;
}

/* Into the counters. */
void circle_tally_add(struct circle_slots *s, const struct circle_tally *t);

/* A slot that is not mapped: into the stock, or it is a retired one. */
void circle_slot_enter_unmapped(struct circle_slots *s, u32 n);

/* The same for one slot of either kind, with the lock. */
u32 circle_slot_enter(struct circle_slots *s, u32 n, u8 stamp);

/* For a slot that was put and is not entered: it is to be freed, durably. */
void circle_slot_reject(struct circle_slots *s, u32 n);

void __circle_slot_clear(struct circle_slots *s, u32 n);	/* its record and masks */
u8 circle_slot_now(void);					/* as a stamp */

#endif
