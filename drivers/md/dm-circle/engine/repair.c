// SPDX-License-Identifier: GPL-2.0-only
/*
 * repair: slots of our own whose place on the cache device failed. Such a slot is SICK: nothing new
 * becomes dirty in it, write-back and eviction leave it alone. Here what is dirty in it is saved to
 * the origin (save.c); then the block is unmapped and the slot retired, for ever. A page that could
 * not be saved after some tries is lost: it reads as an error until it is overwritten (P4). Too
 * many errors: nothing more is cached.
 *
 * It must never drop a dirty page that was not saved and flushed at the origin, and never call one
 * lost because the origin failed.
 */
#include "../log.h"
#include "degrade.h"
#include "repair.h"
#include "replicate.h"

#define FIRST		(HZ / 10)
#define AGAIN		(5 * HZ)
#define WINDOW		(10 * HZ)
#define ERRORS_MAX	64		/* in a window */

/* Retired slots are gone for ever: so many in one run, then the device is left alone. */
static u32 retire_limit(const struct circle_node *node)
{
	return max(8u, node->slots->nr / 1024);
}

static void stop_caching(struct circle_node *node)
{
	if (READ_ONCE(node->ssd_bad))
		return;
	WRITE_ONCE(node->ssd_bad, true);
	CIRCLE_ERR("the cache device has too many errors: nothing more is cached, dirty blocks are written back; a table reload tries again");
}

static void count_error(struct circle_node *node)
{
	struct circle_repair *rep = &node->repair;

	circle_stat_add(node->stats, CIRCLE_STAT_CACHE_ERROR, 1);
	if (time_after(jiffies, READ_ONCE(rep->since) + WINDOW)) {
		WRITE_ONCE(rep->since, jiffies);
		atomic_set(&rep->errors, 0);
	}
	if (atomic_inc_return(&rep->errors) == ERRORS_MAX)
		stop_caching(node);
}

void __circle_cache_error(struct circle_node *node, u32 n)
{
	struct circle_slot *sl = &node->slots->slot[n];

	count_error(node);
	if ((sl->flags & CIRCLE_SLOT_MAPPED) && !sl->owner && !(sl->flags & CIRCLE_SLOT_LOST))
		__circle_slot_sick(node, n);
}

void __circle_slot_sick(struct circle_node *node, u32 n)
{
	/* BUSY: eviction and promotion leave it alone */
	node->slots->slot[n].flags |= CIRCLE_SLOT_SICK | CIRCLE_SLOT_BUSY;
	WRITE_ONCE(node->repair.active, true);
	if (!READ_ONCE(node->bg_stop))
		queue_delayed_work(node->bg_wq, &node->repair.work, FIRST);
}

void circle_cache_error(struct circle_node *node, u32 n)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh;
	unsigned long flags;

	if (n == CIRCLE_NO_SLOT) {
		count_error(node);
		return;
	}
	if (!circle_slot_lock(s, n, &sh, &flags)) {
		count_error(node);
		return;
	}
	__circle_cache_error(node, n);
	spin_unlock_irqrestore(&sh->lock, flags);
}

bool __circle_slot_give_up(struct circle_node *node, struct circle_shard *sh, u32 n)
{
	bool lent = node->slots->slot[n].owner;

	if (circle_meta_data_bad(node->meta) ||
	    (u32)atomic_inc_return(&node->repair.retired[lent]) > retire_limit(node))
		return false;
	__circle_slot_retire(node->slots, sh, n);
	return true;
}

/* shard->lock held, whole block ours alone. True: the slot is dealt with. */
static bool __finish(struct circle_node *node, struct circle_shard *sh, u32 n)
{
	struct circle_slot *sl = &node->slots->slot[n];

	if (sl->holders)
		return false;		/* the steward has them forget it first */
	if (__circle_slot_give_up(node, sh, n))
		return true;
	stop_caching(node);
	sl->flags &= ~(CIRCLE_SLOT_SICK | CIRCLE_SLOT_BUSY | CIRCLE_SLOT_TRIES);
	return true;
}

/* Counts a try; after the last one what is unreadable, and nothing else is dirty, is lost. */
static bool __give_up(struct circle_node *node, struct circle_shard *sh, u32 n, u64 unreadable)
{
	struct circle_slots *s = node->slots;
	struct circle_slot *sl = &s->slot[n];
	u64 sector = circle_block_sector(node, circle_slot_block(sl), 0);
	u32 first, last;

	if (!unreadable || circle_slot_dirty(s, n) != unreadable)
		return false;
	if ((sl->flags & CIRCLE_SLOT_TRIES) != CIRCLE_SLOT_TRIES) {
		sl->flags += CIRCLE_SLOT_TRY;
		return false;
	}
	first = __ffs64(unreadable) << s->geom.page_shift;
	last = min_t(u32, fls64(unreadable) << s->geom.page_shift,
		     circle_block_limit(node, circle_slot_block(sl)));
	__circle_slot_lose(s, sh, n, unreadable);
	WRITE_ONCE(node->loss_untold, true);	/* the next FLUSH is to say so */
	sl->flags &= ~(CIRCLE_SLOT_SICK | CIRCLE_SLOT_BUSY | CIRCLE_SLOT_TRIES);
	CIRCLE_ERR("lost: %u pages in sectors %llu+%u have no copy that can be read; they read as errors until overwritten",
		   (u32)hweight64(unreadable), sector + first, last - first);
	return true;
}

/* Reads go on meanwhile, writes wait, as for a write-back. False: one is under way. */
static bool save_shared(struct circle_node *node, u64 block, u64 *unreadable, u64 *refused)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	struct circle_range range = { .block = block, .mask = ~0ull };
	bool got;

	spin_lock_irq(&sh->lock);
	got = __circle_range_lock(node->slots, &range, true);
	spin_unlock_irq(&sh->lock);
	if (!got)
		return false;
	circle_save(node, block, ~0ull, CIRCLE_SAVE_BACKGROUND, unreadable, refused);
	if (*refused)		/* once more: it may have been away for somebody else */
		circle_save(node, block, ~0ull, CIRCLE_SAVE_BACKGROUND, unreadable, refused);
	circle_range_unlock(&range);
	return true;
}

/* Alone on the block, if that is possible at once. True: the slot is not sick any more. */
static bool conclude(struct circle_node *node, u64 block, u64 unreadable)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	struct circle_range range = { .excl = true, .block = block, .mask = ~0ull };
	struct circle_slots *s = node->slots;
	bool done = false, held = false;
	LIST_HEAD(wake);
	u32 n;

	spin_lock_irq(&sh->lock);
	if (__circle_range_lock(s, &range, true)) {
		n = __circle_slot_find(s, sh, 0, block);
		if (n == CIRCLE_NO_SLOT || !(s->slot[n].flags & CIRCLE_SLOT_SICK))
			done = true;
		else if (circle_slot_dirty(s, n))
			done = __give_up(node, sh, n, unreadable);
		else
			done = __finish(node, sh, n);
		held = !done && !circle_slot_dirty(s, n);
		__circle_range_unlock(&range, &wake);
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (held)
		circle_release_block(node, block);
	return done;
}

enum treated { CURED, BUSY, ILL };

/* *origin_failed is set if it did not take something. */
static enum treated treat(struct circle_node *node, u32 n, bool *origin_failed)
{
	u64 block = circle_slot_block(&node->slots->slot[n]);	/* looked at again */
	u64 unreadable, refused;

	if (block >= node->nr_blocks)
		return CURED;
	if (!save_shared(node, block, &unreadable, &refused))
		return BUSY;
	*origin_failed |= refused;
	return conclude(node, block, unreadable) ? CURED : ILL;
}

static void repair_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, repair.work.work);
	struct circle_slots *s = node->slots;
	enum treated worst = CURED;
	bool origin_failed = false;
	u32 n;

	if (circle_is_behind(node))
		return;			/* active as it is: behind.c begins it again */
	WRITE_ONCE(node->repair.active, false);
	for (n = 0; n < s->nr && !READ_ONCE(node->bg_stop); n++) {
		if (!READ_ONCE(s->slot[n].owner) &&
		    (READ_ONCE(s->slot[n].flags) & CIRCLE_SLOT_SICK))
			worst = max(worst, treat(node, n, &origin_failed));
		if (!(n & 0xfff))
			cond_resched();
	}
	/* As after a write-back that failed. */
	if (origin_failed && READ_ONCE(node->meta->voided))
		circle_drain_end(node, -EIO);
	circle_commit_kick(node);
	circle_event_post(node);
	if (worst == CURED && n == s->nr)
		return;
	WRITE_ONCE(node->repair.active, true);
	if (!READ_ONCE(node->bg_stop))
		queue_delayed_work(node->bg_wq, &node->repair.work, worst == BUSY ? FIRST : AGAIN);
}

void circle_repair_init(struct circle_node *node)
{
	INIT_DELAYED_WORK(&node->repair.work, repair_work);
}

void circle_repair_start(struct circle_node *node)
{
	if (READ_ONCE(node->repair.active))
		queue_delayed_work(node->bg_wq, &node->repair.work, FIRST);
}

void circle_repair_stop(struct circle_node *node)
{
	cancel_delayed_work_sync(&node->repair.work);
}

static u64 lost_in(const struct circle_slots *s, u32 n)
{
	const struct circle_slot *sl = &s->slot[n];

	return !READ_ONCE(sl->owner) && (READ_ONCE(sl->flags) & CIRCLE_SLOT_LOST) ?
	       circle_slot_dirty(s, n) : 0;
}

bool circle_lost_next(struct circle_node *node, u32 *n, u32 *page, u64 *sector, u32 *sectors)
{
	struct circle_slots *s = node->slots;
	const struct circle_geom *g = &s->geom;

	for (; *n < s->nr && atomic_read(&s->nr_lost); (*n)++, *page = 0) {
		u64 lost = lost_in(s, *n), block = circle_slot_block(&s->slot[*n]);
		u32 limit, pos = *page << g->page_shift, stop;
		bool set = false;

		if (!(*n & 0xfff))
			cond_resched();
		if (!lost || block >= node->nr_blocks)
			continue;
		limit = circle_block_limit(node, block);
		for (; pos < limit; pos = stop) {
			stop = circle_pages_run(g, lost, pos, limit, &set);
			if (set)
				break;
		}
		if (pos >= limit)
			continue;
		*sector = circle_block_sector(node, block, pos);
		*sectors = stop - pos;
		*page = DIV_ROUND_UP(stop, g->page_sectors);
		return true;
	}
	return false;
}

void circle_repair_retry(struct circle_node *node)
{
	struct circle_slots *s = node->slots;
	u32 n;

	for (n = 0; n < s->nr; n++) {
		struct circle_shard *sh;
		unsigned long flags;

		if (!(n & 0xfff))
			cond_resched();
		if (!lost_in(s, n) || !circle_slot_lock(s, n, &sh, &flags))
			continue;
		/* Without one a recovery noted the loss there, and there never were data. */
		if (circle_slot_seq(&s->slot[n]))
			__circle_slot_found(s, sh, n, CIRCLE_SLOT_SICK | CIRCLE_SLOT_BUSY);
		spin_unlock_irqrestore(&sh->lock, flags);
	}
	WRITE_ONCE(node->repair.active, true);
	if (!READ_ONCE(node->bg_stop))
		mod_delayed_work(node->bg_wq, &node->repair.work, 0);
}
