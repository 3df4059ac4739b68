/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slots: the cache device's slots, own and lent ones, in one table in memory; the index from
 * (owner, block) to slot; the queues and the list that eviction and write-back pick from; and the
 * locks on page ranges (R11). All of it is divided into shards by a hash of (owner, block).
 *
 * Locks: shard->lock (irq-safe, a leaf but for slots->stock_lock) covers
 * the index chains, the lists, the ranges of its blocks, and every slot that is mapped in it.
 * slots->stock_lock covers the list of free slots. A free slot belongs to whoever popped it.
 *
 * A slot goes round: free (durably so) -> mapped -> freeing (unmapped, its old meaning still on the
 * metadata device) -> committed -> free. Only a free slot is reused (R1).
 */
#ifndef CIRCLE_STORE_SLOTS_H
#define CIRCLE_STORE_SLOTS_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include "slot.h"

struct circle_list {		/* of slots, by number; head is the newest */
	u32 head, tail, nr;
};

#define CIRCLE_RANGE_LISTS	16

struct circle_shard {
	spinlock_t lock;	/* irq-safe; covers what is mapped in this shard */
	u32 *bucket;		/* hash chains: slots->per_shard of them */
	struct circle_list queue[2];	/* clean own blocks: small, main (core/policy.h) */
	struct circle_list dirty;	/* own ones; replicas are on no list, */
	struct circle_list parked;	/* but what is left of one is */
	struct list_head range[CIRCLE_RANGE_LISTS];
} ____cacheline_aligned_in_smp;

/* RAM per block, at 64 KiB: record 36, masks 6, chains 2, changed 1/8; see meta.h, policy.h too. */
struct circle_slots {
	struct circle_geom geom;
	u32 nr;
	struct circle_slot *slot;
	struct circle_masks masks;
	u32 nr_shards, per_shard;
	struct circle_shard *shard;
	u32 *bucket;			/* all shards' chains, one allocation */
	unsigned long *changed;		/* slots whose durable state is behind */
	unsigned long *changed_sum;	/* words of changed[] that may be nonzero */
	spinlock_t stock_lock;
	u32 free_head, nr_free;
	atomic_t nr_changed, nr_dirty, nr_mapped, nr_lent, nr_freeing;
	atomic_t nr_parked;		/* not within nr_lent */
	atomic_t parked_of[CIRCLE_MAX_OWNERS];
	atomic_t nr_retired, nr_lost;	/* nr_lost: own slots with LOST, within nr_dirty */
	atomic_t nr_old;		/* own slots with OLD, not within nr_dirty */
	bool cleaned;			/* the last dirty one became clean; who tells resets it */
	atomic64_t dirty_pages, lost_pages;	/* own; lost ones are dirty */
	size_t bytes;			/* of all that grows with nr */
};

/* Any context. A glance at a mask: it stays true only while shard->lock or its range is held. */
static inline u64 circle_slot_valid(const struct circle_slots *s, u32 n)
{
	return circle_mask_get(&s->masks, n, CIRCLE_MASK_VALID);
}

static inline u64 circle_slot_dirty(const struct circle_slots *s, u32 n)
{
	return circle_mask_get(&s->masks, n, CIRCLE_MASK_DIRTY);
}

static inline u64 circle_slot_wb(const struct circle_slots *s, u32 n)
{
	return circle_mask_get(&s->masks, n, CIRCLE_MASK_WB);
}

/* Any context: slots that may be evicted, but for some that are in use. */
static inline int circle_slots_clean(const struct circle_slots *s)
{
	int others = atomic_read(&s->nr_dirty) + atomic_read(&s->nr_old);

	smp_rmb();		/* what is mapped and made dirty meanwhile hides none */
	return atomic_read(&s->nr_mapped) + atomic_read(&s->nr_parked) - others;
}

/* Any context: more than keep are free; or a commit may free one, perhaps after an eviction. */
bool circle_slots_room(const struct circle_slots *s, u32 keep);

/* An operation's hold on pages of one block. Embedded in the operation; owner: the operation. */
struct circle_range {
	struct list_head link;		/* shard's list, in order of arrival */
	struct list_head wake;		/* from granting to grant() */
	struct circle_shard *shard;
	u64 block, mask;
	u16 owner;
	bool excl, granted;
	void (*grant)(struct circle_range *r);	/* any context, no lock held */
};

/* Process context. Memory for nr slots of the given geometry, all free. ERR_PTR(-ENOMEM). */
struct circle_slots *circle_slots_create(u32 nr, u32 block_sectors);
void circle_slots_destroy(struct circle_slots *s);

struct circle_shard *circle_shard_of(struct circle_slots *s, u16 owner, u64 block);

/* shard->lock held. Slot number or CIRCLE_NO_SLOT. */
u32 __circle_slot_find(struct circle_slots *s, struct circle_shard *sh, u16 owner, u64 block);

/* Any context. A free slot off the stock, leaving at least `keep` there; or CIRCLE_NO_SLOT. */
u32 circle_slot_pop(struct circle_slots *s, u32 keep);
void circle_slot_push(struct circle_slots *s, u32 n);		/* any context: n is durably free */

/* The committer: the freeing of n is durable. A retired slot never goes back to the stock. */
void circle_slot_freed(struct circle_slots *s, u32 n);

/* shard->lock held: enter a popped slot with no valid pages; or take one out (-> freeing). */
void __circle_slot_map(struct circle_slots *s, struct circle_shard *sh, u32 n, u16 owner,
		       u64 block, u16 flags);
void __circle_slot_unmap(struct circle_slots *s, struct circle_shard *sh, u32 n);

/* shard->lock held, no valid page left: the same, and it is never used again. */
void __circle_slot_retire(struct circle_slots *s, struct circle_shard *sh, u32 n);
/* shard->lock held: no copy is left of `pages`, which are all that is dirty in slot n. */
void __circle_slot_lose(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages);
/* shard->lock held: that is taken back; `flags` are set instead. */
void __circle_slot_found(struct circle_slots *s, struct circle_shard *sh, u32 n, u16 flags);
/* shard->lock held, own slot, if it is not so: OLD and BUSY: what is dirty is so on disk alone, and
 * nothing else is valid; or, not old, back. __circle_slot_unmap() ends it, too.
 */
void __circle_slot_grow_old(struct circle_slots *s, struct circle_shard *sh, u32 n, bool old);

/*
 * shard->lock and the whole block held, another owner's slot. park: a replica exists no more, and
 * that is durable after a commit; its data and tag stay for as long as the slot is not evicted.
 * unpark: it is a replica again, of these pages, which are valid.
 */
void __circle_slot_park(struct circle_slots *s, struct circle_shard *sh, u32 n);
void __circle_slot_unpark(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages);
static inline bool circle_slot_parked(const struct circle_slot *sl)
{
	return sl->owner && (sl->flags & CIRCLE_SLOT_PARKED);
}

bool circle_slot_lock_unannotated(struct circle_slots *s, u32 n, struct circle_shard **sh,
				  unsigned long *flags);

/*
 * Any context, no shard lock held. True: slot n is mapped, in *sh, which is locked now. False: it
 * is not mapped, nothing is locked.
 */
static inline bool circle_slot_lock(struct circle_slots *s, u32 n, struct circle_shard **sh,
				    unsigned long *flags)
{
	return __cond_lock(&(*sh)->lock, circle_slot_lock_unannotated(s, n, sh, flags));
}

/* shard->lock held: the only way to change valid and dirty. Keeps counters and lists right, and
 * marks the slot as changed when something changed that the metadata device should know.
 */
void __circle_slot_set(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 valid,
		       u64 dirty);
/* shard->lock held: these pages were written: they are valid and dirty, and not at the origin. */
void __circle_slot_written(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 pages);
/* shard->lock held: wb, which is within dirty. */
void __circle_slot_set_wb(struct circle_slots *s, struct circle_shard *sh, u32 n, u64 wb);
/* shard->lock held: all that was dirty is at the origin, and what is dirty became so since. */
void __circle_slot_renew(struct circle_slots *s, struct circle_shard *sh, u32 n);
/* shard->lock held: within its list to the head. */
void circle_slot_rotate(struct circle_slots *s, struct circle_shard *sh, u32 n);
/* shard->lock held: to the main queue, for good; a clean one to its head. */
void __circle_slot_to_main(struct circle_slots *s, struct circle_shard *sh, u32 n);
/* shard->lock held: one use more. Moves nothing. */
void __circle_slot_touch(struct circle_slots *s, struct circle_shard *sh, u32 n);
u32 __circle_slot_uses(const struct circle_slots *s, u32 n);
void __circle_slot_set_uses(struct circle_slots *s, u32 n, u32 uses);

/* shard->lock held or single-threaded. */
void circle_slot_state(const struct circle_slots *s, u32 n, struct circle_slot_state *st);

/* Any context. */
void circle_slot_changed(struct circle_slots *s, u32 n);

/* The committer alone: next changed slot at or behind *cursor, its mark cleared; or NO_SLOT. */
u32 circle_slot_next_changed(struct circle_slots *s, u32 *cursor);

/* shard->lock held. True: granted now. False: r->grant will be called later (or, with try, not). */
bool __circle_range_lock(struct circle_slots *s, struct circle_range *r, bool try);
/* The same, if the caller knows the shard. */
bool __circle_range_lock_in(struct circle_shard *sh, struct circle_range *r, bool try);
/* Any context, shard lock not held. contended: somebody waits for what we were granted. */
void circle_range_unlock(struct circle_range *r);
bool circle_range_contended(const struct circle_range *r);
/* shard->lock held: takes it off; granted waiters are put on out, for circle_range_wake(). */
void __circle_range_unlock(struct circle_range *r, struct list_head *out);
void circle_range_wake(struct list_head *out);

#endif
