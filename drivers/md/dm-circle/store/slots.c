// SPDX-License-Identifier: GPL-2.0-only
/*
 * slots: see slots.h. Memory only: this file never does I/O and never sleeps but to allocate in
 * create(). Each function says which lock it needs; the shard's lock owns what is mapped in it.
 */
#include "slots_impl.h"

#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>
#include "../core/policy.h"

#define MAX_SHARDS	64
#define HUGE_FROM	SZ_32M	/* from here on at most 6 % are wasted for fewer, larger pages */
#define PER_CHAIN	2	/* slots of a full cache */

struct circle_shard *circle_shard_of(struct circle_slots *s, u16 owner, u64 block)
{
	struct circle_shard *sh;

	circle_slot_chain(s, owner, block, &sh);
	return sh;
}

static void list_init(struct circle_list *l)
{
	l->head = CIRCLE_NO_SLOT;
	l->tail = CIRCLE_NO_SLOT;
	l->nr = 0;
}

static void shards_init(struct circle_slots *s)
{
	u32 i, j;

	memset32(s->bucket, CIRCLE_NO_SLOT, s->nr_shards * s->per_shard);
	for (i = 0; i < s->nr_shards; i++) {
		struct circle_shard *sh = &s->shard[i];

		spin_lock_init(&sh->lock);
		sh->bucket = s->bucket + (size_t)i * s->per_shard;
		list_init(&sh->queue[0]);
		list_init(&sh->queue[1]);
		list_init(&sh->dirty);
		list_init(&sh->parked);
		for (j = 0; j < CIRCLE_RANGE_LISTS; j++)
			INIT_LIST_HEAD(&sh->range[j]);
	}
}

static void *take(struct circle_slots *s, size_t nr, size_t size)
{
	size_t bytes = array_size(nr, size);
	void *mem = NULL;

	if (bytes >= HUGE_FROM) {	/* if there are such pages at hand */
		mem = vmalloc_huge(bytes, GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN);
		if (mem)
			bytes = ALIGN(bytes, PMD_SIZE);
	}
	s->bytes += PAGE_ALIGN(bytes);
	return mem ?: __vmalloc(bytes, GFP_KERNEL | __GFP_ZERO);
}

struct circle_slots *circle_slots_create(u32 nr, u32 block_sectors)
{
	struct circle_slots *s = kzalloc(sizeof(*s), GFP_KERNEL);
	size_t words = BITS_TO_LONGS(nr);

	if (!s)
		return ERR_PTR(-ENOMEM);
	circle_geom_init(&s->geom, block_sectors);
	s->nr = nr;
	s->nr_shards = MAX_SHARDS;
	s->per_shard = max(nr / s->nr_shards / PER_CHAIN, 4u);
	spin_lock_init(&s->stock_lock);
	s->free_head = CIRCLE_NO_SLOT;
	s->masks.width = circle_mask_width(s->geom.nr_pages);
	s->slot = take(s, nr, sizeof(*s->slot));
	s->masks.at = take(s, nr, CIRCLE_NR_MASKS * s->masks.width);
	s->shard = take(s, s->nr_shards, sizeof(*s->shard));
	s->bucket = take(s, s->nr_shards, s->per_shard * sizeof(u32));
	s->changed = take(s, words, sizeof(long));
	s->changed_sum = take(s, BITS_TO_LONGS(words), sizeof(long));
	if (!s->slot || !s->masks.at || !s->shard || !s->bucket || !s->changed ||
	    !s->changed_sum) {
		circle_slots_destroy(s);
		return ERR_PTR(-ENOMEM);
	}
	shards_init(s);
	return s;
}

void circle_slots_destroy(struct circle_slots *s)
{
	if (IS_ERR_OR_NULL(s))
		return;
	vfree(s->changed_sum);
	vfree(s->changed);
	vfree(s->bucket);
	vfree(s->shard);
	vfree(s->masks.at);
	vfree(s->slot);
	kfree(s);
}

u32 __circle_slot_find(struct circle_slots *s, struct circle_shard *sh, u16 owner, u64 block)
{
	u32 n = *circle_slot_chain(s, owner, block, &sh);

	lockdep_assert_held(&sh->lock);
	for (; n != CIRCLE_NO_SLOT; n = s->slot[n].hnext)
		if (circle_slot_block(&s->slot[n]) == block && s->slot[n].owner == owner)
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

void circle_slot_freed(struct circle_slots *s, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	sl->flags &= CIRCLE_SLOT_RETIRED;
	if (!sl->flags)
		circle_slot_push(s, n);
	smp_mb__before_atomic();	/* pairs with circle_slots_room(): free before that */
	atomic_dec(&s->nr_freeing);
}

bool circle_slots_room(const struct circle_slots *s, u32 keep)
{
	if (circle_slots_clean(s) > 0)
		return true;
	smp_rmb();		/* as they go, lest one be missed on its way; see being_freed() */
	if (atomic_read(&s->nr_freeing))
		return true;
	smp_rmb();		/* pairs with circle_slot_freed() */
	return READ_ONCE(s->nr_free) > keep;
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

static struct circle_list *list_of(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	if (s->slot[n].owner)
		return &sh->parked;
	if (circle_slot_dirty(s, n))
		return &sh->dirty;
	return &sh->queue[!!(s->slot[n].flags & CIRCLE_SLOT_MAIN)];
}

void circle_slot_rotate(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_list *l = list_of(s, sh, n);

	lockdep_assert_held(&sh->lock);
	list_out(s, l, n);
	circle_list_in(s, l, n);
}

void __circle_slot_to_main(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	lockdep_assert_held(&sh->lock);
	list_out(s, list_of(s, sh, n), n);
	s->slot[n].flags |= CIRCLE_SLOT_MAIN;
	circle_list_in(s, list_of(s, sh, n), n);
}

static void index_in(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];
	u32 *b = circle_slot_chain(s, sl->owner, circle_slot_block(sl), &sh);

	sl->hnext = *b;
	*b = n;
}

static void index_out(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];
	u32 *p = circle_slot_chain(s, sl->owner, circle_slot_block(sl), &sh);

	while (*p != n) {
		if (WARN_ON_ONCE(*p == CIRCLE_NO_SLOT))
			return;
		p = &s->slot[*p].hnext;
	}
	*p = sl->hnext;
}

static void count_map(struct circle_slots *s, const struct circle_slot *sl, int by)
{
	if (circle_slot_parked(sl)) {
		atomic_add(by, &s->nr_parked);
		atomic_add(by, &s->parked_of[sl->owner - 1]);
	} else {
		atomic_add(by, sl->owner ? &s->nr_lent : &s->nr_mapped);
	}
}

void __circle_slot_clear(struct circle_slots *s, u32 n)
{
	memset(&s->slot[n], 0, sizeof(s->slot[n]));
	circle_masks_put(&s->masks, n, 0, 0);
}

u8 circle_slot_now(void)
{
	return (u8)ktime_get_seconds();
}

u32 circle_slot_age(const struct circle_slot *sl)
{
	return (u8)(circle_slot_now() - sl->stamp);
}

void __circle_slot_map(struct circle_slots *s, struct circle_shard *sh, u32 n, u16 owner,
		       u64 block, u16 flags)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	__circle_slot_clear(s, n);
	__circle_slot_set_key(sl, owner, block);
	sl->flags = flags | CIRCLE_SLOT_MAPPED;
	sl->stamp = circle_slot_now();
	index_in(s, sh, n);
	if (!owner)
		circle_list_in(s, list_of(s, sh, n), n);
	count_map(s, sl, 1);
}

/*
 * Before the slot says FREEING: a committer that captured it when it was free the last time takes
 * that for its own, and counts it off again. Too many for a while is no harm; too few would be,
 * since none means that nothing durable speaks of a block that has no slot (engine/degrade.h).
 */
static void being_freed(struct circle_slots *s)
{
	atomic_inc(&s->nr_freeing);
	smp_mb__after_atomic();		/* whoever sees FREEING sees the count */
}

void __circle_slot_unmap(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	being_freed(s);
	__circle_slot_set(s, sh, n, 0, 0);
	index_out(s, sh, n);
	if (!sl->owner || circle_slot_parked(sl))
		list_out(s, list_of(s, sh, n), n);
	count_map(s, sl, -1);
	if (sl->flags & CIRCLE_SLOT_OLD)
		atomic_dec(&s->nr_old);
	__circle_slot_clear(s, n);
	sl->flags = CIRCLE_SLOT_FREEING;
	circle_slot_changed(s, n);
}

void __circle_slot_retire(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	__circle_slot_unmap(s, sh, n);
	s->slot[n].flags |= CIRCLE_SLOT_RETIRED;
	circle_slot_changed(s, n);	/* again: no lock keeps a committer off an unmapped one */
	atomic_inc(&s->nr_retired);
}

void __circle_slot_lose(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages)
{
	struct circle_slot *sl = &s->slot[n];

	__circle_slot_set(s, sh, n, pages, pages);
	if (!(sl->flags & CIRCLE_SLOT_LOST)) {
		atomic64_add(hweight64(pages), &s->lost_pages);
		atomic_inc(&s->nr_lost);
	}
	sl->flags |= CIRCLE_SLOT_LOST;
	circle_slot_changed(s, n);
}

void __circle_slot_found(struct circle_slots *s, struct circle_shard *sh, u32 n, u16 flags)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	if (sl->owner || !(sl->flags & CIRCLE_SLOT_LOST))
		return;
	sl->flags = (sl->flags & ~CIRCLE_SLOT_LOST) | flags;
	atomic64_sub(hweight64(circle_slot_dirty(s, n)), &s->lost_pages);
	atomic_dec(&s->nr_lost);
	circle_slot_changed(s, n);
}

/* On disk nothing changes, so that there is nothing to be committed. */
void __circle_slot_grow_old(struct circle_slots *s, struct circle_shard *sh, u32 n, bool old)
{
	const u16 flags = CIRCLE_SLOT_OLD | CIRCLE_SLOT_BUSY;
	u64 pages = old ? circle_slot_dirty(s, n) : circle_slot_valid(s, n);
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	if (old == !!(sl->flags & CIRCLE_SLOT_OLD) || !pages)
		return;
	list_out(s, list_of(s, sh, n), n);
	atomic_add(old ? -1 : 1, &s->nr_dirty);
	atomic_add(old ? 1 : -1, &s->nr_old);
	atomic64_add(old ? -(int)hweight64(pages) : (int)hweight64(pages), &s->dirty_pages);
	sl->flags = old ? sl->flags | flags : sl->flags & ~flags;
	circle_masks_put(&s->masks, n, pages, old ? 0 : pages);
	circle_list_in(s, list_of(s, sh, n), n);
}

void __circle_slot_set(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 valid, u64 dirty)
{
	struct circle_slot *sl = &s->slot[n];
	u64 old = circle_slot_dirty(s, n);
	bool was = old, is = dirty;

	lockdep_assert_held(&sh->lock);
	WARN_ON_ONCE(dirty & ~valid);
	if (valid == circle_slot_valid(s, n) && dirty == old)
		return;
	if (!sl->owner && (sl->flags & CIRCLE_SLOT_LOST))
		atomic64_add((int)hweight64(dirty) - (int)hweight64(old), &s->lost_pages);
	if (!sl->owner && !is && (sl->flags & CIRCLE_SLOT_LOST)) {
		sl->flags &= ~CIRCLE_SLOT_LOST;		/* overwritten */
		atomic_dec(&s->nr_lost);	/* first: who finds both equal calls all drained */
	}
	if (!sl->owner) {
		atomic64_add((int)hweight64(dirty) - (int)hweight64(old), &s->dirty_pages);
		if (was != is) {
			list_out(s, list_of(s, sh, n), n);
			if (is)
				atomic_inc(&s->nr_dirty);
			else if (atomic_dec_and_test(&s->nr_dirty))
				WRITE_ONCE(s->cleaned, true);
		}
	}
	circle_mask_put(&s->masks, n, CIRCLE_MASK_VALID, valid);
	circle_mask_put(&s->masks, n, CIRCLE_MASK_DIRTY, dirty);
	circle_mask_put(&s->masks, n, CIRCLE_MASK_WB, circle_slot_wb(s, n) & dirty);
	if (!sl->owner && was != is) {
		sl->stamp = circle_slot_now();
		circle_list_in(s, list_of(s, sh, n), n);
	}
	circle_slot_changed(s, n);
}

void __circle_slot_park(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	count_map(s, sl, -1);
	sl->flags |= CIRCLE_SLOT_FILLING | CIRCLE_SLOT_PARKED;
	count_map(s, sl, 1);
	circle_list_in(s, list_of(s, sh, n), n);
	circle_slot_changed(s, n);
}

void __circle_slot_unpark(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages)
{
	struct circle_slot *sl = &s->slot[n];

	lockdep_assert_held(&sh->lock);
	list_out(s, list_of(s, sh, n), n);
	count_map(s, sl, -1);
	sl->flags &= ~(CIRCLE_SLOT_FILLING | CIRCLE_SLOT_PARKED);
	count_map(s, sl, 1);
	__circle_slot_set(s, sh, n, pages, pages);
	circle_slot_changed(s, n);
}

void __circle_slot_renew(struct circle_slots *s, struct circle_shard *sh, u32 n)
{
	lockdep_assert_held(&sh->lock);
	s->slot[n].stamp = circle_slot_now();
	circle_slot_rotate(s, sh, n);
}

void __circle_slot_set_wb(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 wb)
{
	lockdep_assert_held(&sh->lock);
	WARN_ON_ONCE(wb & ~circle_slot_dirty(s, n));
	circle_mask_put(&s->masks, n, CIRCLE_MASK_WB, wb);
}

void __circle_slot_written(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages)
{
	u64 dirty = circle_slot_dirty(s, n), wb = circle_slot_wb(s, n);

	lockdep_assert_held(&sh->lock);
	if (wb & pages)
		__circle_slot_set_wb(s, sh, n, wb & ~pages);
	if (pages & ~dirty)		/* which is within valid */
		__circle_slot_set(s, sh, n, circle_slot_valid(s, n) | pages, dirty | pages);
}

bool circle_slot_lock_unannotated(struct circle_slots *s, u32 n, struct circle_shard **sh,
				  unsigned long *flags)
{
	const struct circle_slot *sl = &s->slot[n];

	while (READ_ONCE(sl->flags) & CIRCLE_SLOT_MAPPED) {
		u16 owner = READ_ONCE(sl->owner);
		u64 block = circle_slot_block(sl);

		*sh = circle_shard_of(s, owner, block);
		spin_lock_irqsave(&(*sh)->lock, *flags);
		if ((sl->flags & CIRCLE_SLOT_MAPPED) && sl->owner == owner &&
		    circle_slot_block(sl) == block) {
			__release(&(*sh)->lock);	/* circle_slot_lock() tells sparse */
			return true;
		}
		spin_unlock_irqrestore(&(*sh)->lock, *flags);	/* remapped meanwhile */
	}
	return false;
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

void circle_tally_add(struct circle_slots *s, const struct circle_tally *t)
{
	atomic_add(t->mapped, &s->nr_mapped);
	atomic_add(t->lent, &s->nr_lent);
	atomic_add(t->dirty, &s->nr_dirty);
	atomic64_add(t->dirty_pages, &s->dirty_pages);
	atomic64_add(t->lost_pages, &s->lost_pages);
	atomic_add(t->lost, &s->nr_lost);
}

void circle_slot_enter_unmapped(struct circle_slots *s, u32 n)
{
	struct circle_slot *sl = &s->slot[n];

	sl->flags &= CIRCLE_SLOT_RETIRED;
	if (!sl->flags)
		circle_slot_push(s, n);
	else
		atomic_inc(&s->nr_retired);
}

u32 circle_slot_enter(struct circle_slots *s, u32 n, u8 stamp)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_tally t = {};
	struct circle_shard *sh;
	unsigned long flags;
	u32 *chain, other;

	if (!(sl->flags & CIRCLE_SLOT_MAPPED)) {
		circle_slot_enter_unmapped(s, n);
		return CIRCLE_NO_SLOT;
	}
	chain = circle_slot_chain(s, sl->owner, circle_slot_block(sl), &sh);
	spin_lock_irqsave(&sh->lock, flags);
	other = __circle_slot_enter(s, chain, sh, n, circle_slot_dirty(s, n), stamp, &t);
	circle_tally_add(s, &t);
	spin_unlock_irqrestore(&sh->lock, flags);
	return other;
}

void circle_slot_reject(struct circle_slots *s, u32 n)
{
	being_freed(s);
	__circle_slot_clear(s, n);
	s->slot[n].flags = CIRCLE_SLOT_FREEING;
	circle_slot_changed(s, n);
}

void circle_slot_state(const struct circle_slots *s, u32 n, struct circle_slot_state *st)
{
	const struct circle_slot *sl = &s->slot[n];

	memset(st, 0, sizeof(*st));
	st->flags = sl->flags & CIRCLE_SLOT_DISK;
	if (!(sl->flags & CIRCLE_SLOT_MAPPED))
		return;
	if (sl->flags & CIRCLE_SLOT_FILLING) {
		st->flags = 0;
		return;
	}
	st->block = circle_slot_block(sl);
	st->owner = sl->owner;
	st->valid = circle_slot_valid(s, n);
	st->dirty = sl->flags & CIRCLE_SLOT_OLD ? st->valid : circle_slot_dirty(s, n);
	st->seq = circle_slot_seq(sl);
	st->gen = sl->gen;
}

/*
 * Pairs with next_changed(): bit first, then summary; the reader clears in the other order. Counted
 * before it can be committed: who is in between would make all look settled.
 */
void circle_slot_changed(struct circle_slots *s, u32 n)
{
	smp_mb();		/* what changed; next_changed() captures it, or is told again */
	if (!test_bit(n, s->changed)) {
		atomic_inc(&s->nr_changed);
		if (test_and_set_bit(n, s->changed))
			atomic_dec(&s->nr_changed);
	}
	smp_mb__after_atomic();	/* pairs with next_changed() */
	set_bit(n / BITS_PER_LONG, s->changed_sum);
}

u32 circle_slot_next_changed(struct circle_slots *s, u32 *cursor)
{
	u32 words = BITS_TO_LONGS(s->nr), w, n;

	for (w = *cursor / BITS_PER_LONG; w < words; w++) {
		/* Others only set bits: one that it does not see yet is for the next commit. */
		w = data_race(find_next_bit(s->changed_sum, words, w));
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
		smp_mb__after_atomic();	/* the mark, before the state; circle_slot_changed() */
		*cursor = w * BITS_PER_LONG;
		return n;
	}
	*cursor = s->nr;
	return CIRCLE_NO_SLOT;
}
