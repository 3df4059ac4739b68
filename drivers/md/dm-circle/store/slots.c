// SPDX-License-Identifier: GPL-2.0-only
/*
 * slots: see slots.h. Memory only: this file never does I/O and never sleeps but to allocate in
 * create(). Each function says which lock it needs; the shard's lock owns what is mapped in it.
 */
#include "slots.h"

#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/lockdep.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../core/policy.h"

#define MAX_SHARDS	64

static u32 key_hash(u16 owner, u64 block)
{
	return hash_64(block ^ ((u64)owner << 56) ^ ((u64)owner << 17), 32);
}

struct circle_shard *circle_shard_of(struct circle_slots *s, u16 owner, u64 block)
{
	return &s->shard[key_hash(owner, block) & (s->nr_shards - 1)];
}

static u32 *bucket_of(struct circle_shard *sh, u16 owner, u64 block)
{
	return &sh->bucket[(key_hash(owner, block) >> 6) & sh->bucket_mask];
}

static void list_init(struct circle_list *l)
{
	l->head = CIRCLE_NO_SLOT;
	l->tail = CIRCLE_NO_SLOT;
	l->nr = 0;
}

static void shards_init(struct circle_slots *s, u32 per_shard)
{
	u32 i, j;

	for (i = 0; i < s->nr_shards; i++) {
		struct circle_shard *sh = &s->shard[i];

		spin_lock_init(&sh->lock);
		sh->bucket = s->bucket + (size_t)i * per_shard;
		sh->bucket_mask = per_shard - 1;
		list_init(&sh->queue[0]);
		list_init(&sh->queue[1]);
		list_init(&sh->dirty);
		for (j = 0; j < CIRCLE_RANGE_LISTS; j++)
			INIT_LIST_HEAD(&sh->range[j]);
		for (j = 0; j < per_shard; j++)
			sh->bucket[j] = CIRCLE_NO_SLOT;
	}
}

struct circle_slots *circle_slots_create(u32 nr, u32 block_sectors)
{
	struct circle_slots *s = kzalloc(sizeof(*s), GFP_KERNEL);
	size_t words = BITS_TO_LONGS(nr);
	u32 per_shard;

	if (!s)
		return ERR_PTR(-ENOMEM);
	circle_geom_init(&s->geom, block_sectors);
	s->nr = nr;
	s->nr_shards = MAX_SHARDS;
	per_shard = roundup_pow_of_two(max(nr / s->nr_shards, 4u));
	spin_lock_init(&s->stock_lock);
	s->free_head = CIRCLE_NO_SLOT;
	s->slot = __vmalloc(array_size(nr, sizeof(*s->slot)), GFP_KERNEL | __GFP_ZERO);
	s->shard = kvcalloc(s->nr_shards, sizeof(*s->shard), GFP_KERNEL);
	s->bucket = __vmalloc(array3_size(s->nr_shards, per_shard, sizeof(u32)), GFP_KERNEL);
	s->changed = kvcalloc(words, sizeof(long), GFP_KERNEL);
	s->changed_sum = kvcalloc(BITS_TO_LONGS(words), sizeof(long), GFP_KERNEL);
	if (!s->slot || !s->shard || !s->bucket || !s->changed || !s->changed_sum) {
		circle_slots_destroy(s);
		return ERR_PTR(-ENOMEM);
	}
	shards_init(s, per_shard);
	return s;
}

void circle_slots_destroy(struct circle_slots *s)
{
	if (IS_ERR_OR_NULL(s))
		return;
	kvfree(s->changed_sum);
	kvfree(s->changed);
	vfree(s->bucket);
	kvfree(s->shard);
	vfree(s->slot);
	kfree(s);
}

u32 __circle_slot_find(struct circle_slots *s, struct circle_shard *sh, u16 owner, u64 block)
{
	u32 n;

	lockdep_assert_held(&sh->lock);
	for (n = *bucket_of(sh, owner, block); n != CIRCLE_NO_SLOT; n = s->slot[n].hnext)
		if (s->slot[n].block == block && s->slot[n].owner == owner)
			return n;
	return CIRCLE_NO_SLOT;
}

u32 circle_slot_pop(struct circle_slots *s, u32 keep)
{
	unsigned long flags;
	u32 n = CIRCLE_NO_SLOT;

	spin_lock_irqsave(&s->stock_lock, flags);
	if (s->nr_free > keep) {
		n = s->free_head;
		s->free_head = s->slot[n].hnext;
		s->nr_free--;
	}
	spin_unlock_irqrestore(&s->stock_lock, flags);
	return n;
}

void circle_slot_push(struct circle_slots *s, u32 n)
{
	unsigned long flags;

	spin_lock_irqsave(&s->stock_lock, flags);
	s->slot[n].hnext = s->free_head;
	s->free_head = n;
	s->nr_free++;
	spin_unlock_irqrestore(&s->stock_lock, flags);
}

static void list_out(struct circle_slots *s, struct circle_list *l, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	if (sl->prev != CIRCLE_NO_SLOT)
		s->slot[sl->prev].next = sl->next;
	else
		l->head = sl->next;
	if (sl->next != CIRCLE_NO_SLOT)
		s->slot[sl->next].prev = sl->prev;
	else
		l->tail = sl->prev;
	l->nr--;
}

static void list_in(struct circle_slots *s, struct circle_list *l, u32 n)
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

static struct circle_list *list_of(struct circle_shard *sh, const struct circle_slot *sl)
{
	return sl->dirty ? &sh->dirty : &sh->queue[!!(sl->flags & CIRCLE_SLOT_MAIN)];
}

void circle_slot_rotate(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_list *l = list_of(sh, &s->slot[n]);

	lockdep_assert_held(&sh->lock);
	list_out(s, l, n);
	list_in(s, l, n);
}

void __circle_slot_to_main(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	list_out(s, list_of(sh, sl), n);
	sl->flags |= CIRCLE_SLOT_MAIN;
	list_in(s, list_of(sh, sl), n);
}

static void index_in(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];
	u32 *b = bucket_of(sh, sl->owner, sl->block);

	sl->hnext = *b;
	*b = n;
}

static void index_out(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];
	u32 *p = bucket_of(sh, sl->owner, sl->block);

	while (*p != n) {
		if (WARN_ON_ONCE(*p == CIRCLE_NO_SLOT))
			return;
		p = &s->slot[*p].hnext;
	}
	*p = sl->hnext;
}

static void count_map(struct circle_slots *s, const struct circle_slot *sl, int by)
{
	atomic_add(by, sl->owner ? &s->nr_lent : &s->nr_mapped);
}

void __circle_slot_map(struct circle_slots *s, struct circle_shard *sh, u32 n, u16 owner,
		       u64 block, u16 flags)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	memset(sl, 0, sizeof(*sl));
	sl->block = block;
	sl->owner = owner;
	sl->flags = flags | CIRCLE_SLOT_MAPPED;
	sl->stamp = (u32)jiffies;
	index_in(s, sh, n);
	if (!owner)
		list_in(s, list_of(sh, sl), n);
	count_map(s, sl, 1);
}

void __circle_slot_unmap(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	__circle_slot_set(s, sh, n, 0, 0);
	index_out(s, sh, n);
	if (!sl->owner)
		list_out(s, list_of(sh, sl), n);
	count_map(s, sl, -1);
	memset(sl, 0, sizeof(*sl));
	sl->flags = CIRCLE_SLOT_FREEING;
	atomic_inc(&s->nr_freeing);
	circle_slot_changed(s, n);
}

void __circle_slot_set(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 valid, u64 dirty)
{
	struct circle_slot *sl = &s->slot[n];
	bool was = sl->dirty, is = dirty;

	lockdep_assert_held(&sh->lock);
	WARN_ON_ONCE(dirty & ~valid);
	if (valid == sl->valid && dirty == sl->dirty)
		return;
	if (!sl->owner) {
		atomic64_add((int)hweight64(dirty) - (int)hweight64(sl->dirty), &s->dirty_pages);
		if (was != is) {
			list_out(s, list_of(sh, sl), n);
			atomic_add(is ? 1 : -1, &s->nr_dirty);
		}
	}
	sl->valid = valid;
	sl->dirty = dirty;
	sl->wb &= dirty;
	if (!sl->owner && was != is) {
		sl->stamp = (u32)jiffies;
		list_in(s, list_of(sh, sl), n);
	}
	circle_slot_changed(s, n);
}

void __circle_slot_touch(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	u32 uses = __circle_slot_uses(s, n);

	lockdep_assert_held(&sh->lock);
	if (uses < CIRCLE_USES_MAX)
		__circle_slot_set_uses(s, n, uses + 1);
}

u32 __circle_slot_uses(const struct circle_slots *s, u32 n)
{
	return (s->slot[n].flags & CIRCLE_SLOT_USES) >> CIRCLE_SLOT_USES_SHIFT;
}

void __circle_slot_set_uses(struct circle_slots *s, u32 n, u32 uses)
{
	struct circle_slot *sl = &s->slot[n];

	sl->flags = (sl->flags & ~CIRCLE_SLOT_USES) | uses << CIRCLE_SLOT_USES_SHIFT;
}

void circle_slot_load(struct circle_slots *s, u32 n, const struct circle_slot_state *st)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_shard *sh;

	memset(sl, 0, sizeof(*sl));
	if (!(st->flags & CIRCLE_SLOT_MAPPED)) {
		sl->flags = st->flags & CIRCLE_SLOT_RETIRED;
		if (!sl->flags)
			circle_slot_push(s, n);
		return;
	}
	sl->block = st->block;
	sl->owner = st->owner;
	sl->valid = st->valid;
	sl->dirty = st->dirty;
	sl->seq = st->seq;
	sl->gen = (u32)st->gen;
	sl->flags = st->flags | CIRCLE_SLOT_MAIN;
	if (st->flags & CIRCLE_SLOT_INTENT)
		sl->flags |= CIRCLE_SLOT_WRITABLE;
	sl->stamp = (u32)jiffies;
	sh = circle_shard_of(s, sl->owner, sl->block);
	index_in(s, sh, n);
	count_map(s, sl, 1);
	if (sl->owner)
		return;
	list_in(s, list_of(sh, sl), n);
	if (sl->dirty)
		atomic_inc(&s->nr_dirty);
	atomic64_add(hweight64(sl->dirty), &s->dirty_pages);
}

void circle_slot_state(const struct circle_slot *sl, struct circle_slot_state *st)
{
	memset(st, 0, sizeof(*st));
	st->flags = sl->flags & CIRCLE_SLOT_DISK;
	if (!(sl->flags & CIRCLE_SLOT_MAPPED))
		return;
	if (sl->flags & CIRCLE_SLOT_FILLING) {
		st->flags = 0;
		return;
	}
	st->block = sl->block;
	st->owner = sl->owner;
	st->valid = sl->valid;
	st->dirty = sl->dirty;
	st->seq = sl->seq;
	st->gen = sl->gen;
}

/* Pairs with next_changed(): bit first, then summary; the reader clears in the other order. */
void circle_slot_changed(struct circle_slots *s, u32 n)
{
	if (!test_and_set_bit(n, s->changed))
		atomic_inc(&s->nr_changed);
	smp_mb__after_atomic();	/* pairs with next_changed() */
	set_bit(n / BITS_PER_LONG, s->changed_sum);
}

u32 circle_slot_next_changed(struct circle_slots *s, u32 *cursor)
{
	u32 words = BITS_TO_LONGS(s->nr), w, n;

	for (w = *cursor / BITS_PER_LONG; w < words; w++) {
		w = find_next_bit(s->changed_sum, words, w);
		if (w >= words)
			break;
		if (!READ_ONCE(s->changed[w])) {
			clear_bit(w, s->changed_sum);
			smp_mb__after_atomic();	/* pairs with circle_slot_changed() */
			if (!READ_ONCE(s->changed[w]))
				continue;
			set_bit(w, s->changed_sum);
		}
		n = w * BITS_PER_LONG + __ffs(READ_ONCE(s->changed[w]));
		clear_bit(n, s->changed);
		atomic_dec(&s->nr_changed);
		*cursor = w * BITS_PER_LONG;
		return n;
	}
	*cursor = s->nr;
	return CIRCLE_NO_SLOT;
}
