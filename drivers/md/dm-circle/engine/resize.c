// SPDX-License-Identifier: GPL-2.0-only
/*
 * resize: see resize.h. What a smaller device no longer has must be clean; it leaves the cache
 * first, durably, and then the metadata learn the new size. The origin's last page may be cut off
 * by its end: when the origin grows, such a page leaves the cache, since the rest is not there.
 */
#include "resize.h"

#include "../log.h"
#include "origin.h"

u64 circle_slots_of(const struct circle_devices *dev, const struct circle_config *conf)
{
	return circle_meta_slots(bdev_nr_sectors(dev->cache), conf->block_sectors);
}

/* Pages of a block that begin at or behind the origin's new end. */
static u64 beyond(const struct circle_geom *g, u64 block, u64 sectors)
{
	u64 first = block * g->block_sectors;
	u32 page;

	if (first >= sectors)
		return ~0ull;
	if (sectors - first >= g->block_sectors)
		return 0;
	page = DIV_ROUND_UP((u32)(sectors - first), g->page_sectors);
	return page < CIRCLE_MAX_PAGES ? ~0ull << page : 0;
}

/* Nothing else looks at slots now, so that reading one needs no lock. */
static bool is_own(const struct circle_slot *sl)
{
	return (sl->flags & CIRCLE_SLOT_MAPPED) && !sl->owner;
}

/* Unmarks clean pages; all of them: the slot is freed. */
static void drop(struct circle_slots *s, u32 n, u64 pages)
{
	struct circle_slot *sl = &s->slot[n];
	struct circle_shard *sh = circle_shard_of(s, sl->owner, circle_slot_block(sl));

	spin_lock_irq(&sh->lock);
	if (pages == ~0ull)
		__circle_slot_unmap(s, sh, n);
	else
		__circle_slot_set(s, sh, n, circle_slot_valid(s, n) & ~pages,
				  circle_slot_dirty(s, n) & ~pages);
	spin_unlock_irq(&sh->lock);
}

static int shrink_origin(struct circle_node *node, u64 sectors)
{
	struct circle_slots *s = node->slots;
	u64 gone;
	u32 n;

	for (n = 0; n < s->nr; n++)
		if (is_own(&s->slot[n]) &&
		    (circle_slot_dirty(s, n) &
		     beyond(&node->geom, circle_slot_block(&s->slot[n]), sectors))) {
			CIRCLE_ERR("unable to shrink origin; cache block %u is dirty: go back to the old length and drain first",
				   n);
			return -EFBIG;
		}
	for (n = 0; n < s->nr; n++) {
		gone = is_own(&s->slot[n]) ?
		       beyond(&node->geom, circle_slot_block(&s->slot[n]), sectors) : 0;
		if (gone)
			drop(s, n, gone);
	}
	return circle_meta_commit(node->meta, false);
}

/* The cut-off page, dirty, to the origin. */
static int write_out(struct circle_node *node, const struct circle_devices *dev, u64 from, u64 to,
		     u64 sectors)
{
	s64 flushed = atomic64_read(&node->origin_flushed);
	struct circle_meta *m = node->meta;
	u32 chunk;
	int r = 0;

	mutex_lock(&m->lock);
	for (; sectors && !r; sectors -= chunk, from += chunk, to += chunk) {
		chunk = min_t(u64, sectors, CIRCLE_COMMIT_MBS * CIRCLE_MB_SECTORS);
		r = circle_bdev_rw(m->io, dev->cache, REQ_OP_READ, from, m->buf, chunk);
		if (!r)
			r = circle_bdev_rw(m->io, dev->origin, REQ_OP_WRITE | REQ_SYNC, to, m->buf,
					   chunk);
	}
	mutex_unlock(&m->lock);
	if (!r && circle_bdev_flush(dev->origin)) {
		circle_origin_failed(node, flushed);
		r = -EIO;
	}
	return r;
}

static u32 find_own(struct circle_slots *s, u64 block)
{
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, block);
	spin_unlock_irq(&sh->lock);
	return n;
}

static int grow_origin(struct circle_node *node, const struct circle_devices *dev, u64 old)
{
	const struct circle_geom *g = &node->geom;
	struct circle_slots *s = node->slots;
	u32 start, page, n;
	u64 block;
	int r = 0;

	block = div_u64_rem(old, g->block_sectors, &start);
	page = start >> g->page_shift;
	start = start & (g->page_sectors - 1);	/* sectors of the cut-off page */
	n = start ? find_own(s, block) : CIRCLE_NO_SLOT;
	if (n == CIRCLE_NO_SLOT || !(circle_slot_valid(s, n) >> page & 1))
		return 0;
	if (circle_slot_dirty(s, n) >> page & 1)
		r = write_out(node, dev,
			      (u64)n * g->block_sectors + ((u64)page << g->page_shift),
			      old - start, start);
	if (r) {
		CIRCLE_ERR("unable to grow origin: its last page cannot be written back");
		return r;
	}
	drop(s, n, 1ull << page);
	return circle_meta_commit(node->meta, false);
}

static int origin_size(struct circle_node *node, const struct circle_devices *dev)
{
	u64 old = node->meta->sb.origin_sectors, now = dev->origin_sectors;

	if (old == now)
		return 0;
	return now < old ? shrink_origin(node, now) : grow_origin(node, dev, old);
}

/* The slots from nr on. */
static int empty_tail(struct circle_node *node, u32 nr)
{
	struct circle_slots *s = node->slots;
	const struct circle_slot *sl;
	u32 n;

	for (n = nr; n < s->nr; n++) {
		sl = &s->slot[n];
		if (!(sl->flags & CIRCLE_SLOT_MAPPED))
			continue;
		if (circle_slot_dirty(s, n) || sl->holders || sl->owner) {
			CIRCLE_ERR("unable to shrink cache; cache block %u is %s: go back to the old size %s",
				   n, sl->owner ? "a peer's" : "dirty",
				   sl->owner ? "until its owner has written it back" :
				   "and drain first");
			return -EFBIG;
		}
	}
	for (n = nr; n < s->nr; n++)
		if (s->slot[n].flags & CIRCLE_SLOT_MAPPED)
			drop(s, n, ~0ull);
	return circle_meta_commit(node->meta, false);
}

static int cache_size(struct circle_node *node, const struct circle_devices *dev, u64 nr)
{
	u64 old = node->slots->nr, need = 0;
	int r = 0;

	/* Not for less than what made it as large as it is. */
	if (nr == old || (nr < old && old * node->geom.block_sectors <=
			  bdev_nr_sectors(dev->cache)))
		return 0;
	if (nr < old)
		r = empty_tail(node, nr);
	if (!r)
		r = circle_meta_resize(node->meta, nr, &need);
	if (r == -ENOSPC)
		CIRCLE_ERR("unable to grow cache to %llu blocks: the metadata device needs at least %llu sectors",
			   nr, need * CIRCLE_MB_SECTORS);
	else if (r && r != -EFBIG)
		CIRCLE_ERR("unable to resize cache to %llu blocks (%d)", nr, r);
	else if (!r)
		CIRCLE_INFO("cache resized from %llu to %llu blocks", old, nr);
	return r;
}

int circle_resize(struct circle_node *node, const struct circle_devices *dev,
		  const struct circle_config *conf)
{
	u64 nr = circle_slots_of(dev, conf);
	int r;

	if ((node->meta->failed || node->meta->voided) &&
	    (node->meta->sb.origin_sectors != dev->origin_sectors || nr > node->slots->nr)) {
		CIRCLE_ERR("unable to resize: the metadata are void; go back to the old sizes");
		return -EINVAL;
	}
	if (READ_ONCE(node->recovering) && node->meta->sb.origin_sectors != dev->origin_sectors) {
		CIRCLE_ERR("unable to resize the origin while a recovery goes on; go back to the old size, until \"recovering\" is 0");
		return -EBUSY;
	}
	r = origin_size(node, dev);
	return r ?: cache_size(node, dev, nr);
}
