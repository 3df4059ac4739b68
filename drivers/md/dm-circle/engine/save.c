// SPDX-License-Identifier: GPL-2.0-only
/*
 * save: dirty pages whose place on the cache device failed, or may have, go to the origin, from the
 * device or else from a holder; then the origin is flushed, and they are clean. As many as lie next
 * to one another go together; where that fails each is tried alone.
 *
 * It must never unmark a page that was not saved and flushed, nor blame a holder that was told to
 * forget a page which another saved meanwhile.
 */
#include <linux/slab.h>
#include "degrade.h"
#include "origin.h"
#include "peer.h"
#include "repair.h"
#include "replicate.h"

#define CHUNK		256u		/* sectors at a time; FETCH carries them too */
#define CHUNK_MIN	(PAGE_SIZE >> SECTOR_SHIFT)	/* with the reserve */

struct saver {
	struct circle_node *node;
	u64 block;
	u32 slot;
	u64 seq;		/* of the newest write to the block */
	void *buf;		/* chunk sectors */
	u32 chunk;
	bool spare;		/* buf and call are the node's reserve */
	u64 saved, unreadable;
	u64 not_taken;		/* by the origin */
	bool shaken;		/* it refused something: if it was away, it has lost the rest */
	u64 under_way;		/* of which nothing is known yet */
	bool background;	/* to end when a suspend begins */
	bool alone;		/* the range is exclusive */
	bool doubted;		/* the holders first */
	int doubts;		/* FLUSHes of the cache device that had failed before */
	u32 holders, refused;	/* peers that have the block; that could not give it back */
	struct circle_call *call;
};

/*
 * Is the answer what is dirty here? Writes to other pages of the block, whose range is not held,
 * may go on. 0; -EALREADY: another saved a page meanwhile, and its replica may be gone since;
 * -ENODATA: all are still dirty, and this holder has not all of them.
 */
static int judge(struct saver *v, u64 pages, u32 bytes)
{
	struct circle_slots *s = v->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, v->block);
	const struct circle_frame *a = &v->call->answer;
	int r = -EALREADY;

	spin_lock_irq(&sh->lock);
	if (!(pages & ~circle_slot_dirty(s, v->slot)))
		r = !a->status && a->seq <= circle_slot_seq(&s->slot[v->slot]) &&
		    a->generation == v->node->gen && a->length == bytes ? 0 : -ENODATA;
	spin_unlock_irq(&sh->lock);
	return r;
}

/* Sectors [from, to) of the block from a holder, whose replica is never older (R2). */
static int fetch(struct saver *v, u32 from, u32 to)
{
	struct circle_circle *c = v->node->circle;
	u32 mask = c ? v->holders & READ_ONCE(c->wait) & ~v->refused : 0;
	u64 pages = circle_pages_touched(&v->node->geom, from, to - from);
	unsigned int i;
	int r = -EIO, err;

	for (i = 0; mask && i < c->nr_peers; i++) {
		struct circle_call *call = v->call;
		struct circle_frame *f = &call->msg.f;

		if (!(mask >> i & 1))
			continue;
		memset(call, 0, sizeof(*call));
		f->type = CIRCLE_WT_FETCH;
		f->block = v->block;
		f->seq = v->seq;
		f->pages = pages;
		f->sector = from;
		f->sectors = to - from;
		call->rx.buf = v->buf;
		call->rx_len = v->chunk << SECTOR_SHIFT;
		if (circle_call_wait_ready(&c->peer[i], call)) {
			r = -EAGAIN;	/* it may have it yet */
			continue;
		}
		err = judge(v, pages, (to - from) << SECTOR_SHIFT);
		if (err != -ENODATA)
			return err;
		if (hweight64(pages) == 1)	/* of several, one may be to blame */
			v->refused |= 1u << i;
	}
	return r;
}

static int read_cache(struct saver *v, u32 from, u32 to)
{
	struct circle_node *node = v->node;

	return circle_bdev_rw(node->meta->io, node->cache, REQ_OP_READ,
			      circle_slot_sector(node, v->slot, from), v->buf, to - from) ?
	       -EIO : 0;
}

/*
 * `nr` pages from `page` on, that fit the buffer. 0; -EIO: no copy can be read;
 * -EROFS: the origin does not take it; -EALREADY: another has saved it; -EAGAIN: not now: a holder
 * cannot be asked, the lease is over, nothing says yet that the metadata are void, or the cache
 * device came to be in doubt meanwhile.
 */
static int save_run(struct saver *v, u32 page, u32 nr)
{
	struct circle_node *node = v->node;
	u32 from = page << node->geom.page_shift, end;
	u32 to = min(from + (nr << node->geom.page_shift), circle_block_limit(node, v->block));
	int r = 0;

	for (; from < to && !r; from = end) {
		end = min(to, from + v->chunk);
		r = v->doubted ? fetch(v, from, end) : read_cache(v, from, end);
		if (r == -EIO && !v->doubted) {
			r = fetch(v, from, end);
		} else if (r == -EIO && nr == 1) {
			r = read_cache(v, from, end);
			if (!r)		/* perhaps not what was written last */
				WRITE_ONCE(node->loss_untold, true);
		}
		if (r)
			return r;
		/* The lease is in doubt whenever a holder is lost. */
		if (circle_voiding(node) || !circle_lease_ok(node) ||
		    v->doubts != atomic_read(&node->meta->data_errors))
			return -EAGAIN;
		r = circle_bdev_rw(node->meta->io, node->origin, REQ_OP_WRITE,
				   circle_block_sector(node, v->block, from), v->buf, end - from);
		circle_origin_wrote(node);
		circle_origin_answered(node, r);
		if (r) {
			v->shaken = true;
			circle_origin_place_refused(node, REQ_OP_WRITE,
						    circle_block_sector(node, v->block, 0),
						    BLK_STS_IOERR);
		}
	}
	return r ? -EROFS : 0;
}

/* As in write-back: the cache device first, then the origin, and no FLUSH failed meanwhile. */
static bool flush_saved(struct circle_node *node, int losses, int doubts)
{
	return circle_cache_flush(node) && !circle_origin_flush(node) &&
	       losses == circle_origin_losses(node) &&
	       doubts == atomic_read(&node->meta->data_errors);
}

static u64 find(struct saver *v)
{
	struct circle_slots *s = v->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, v->block);
	u64 dirty = 0;

	spin_lock_irq(&sh->lock);
	v->slot = __circle_slot_find(s, sh, 0, v->block);
	if (v->slot != CIRCLE_NO_SLOT) {
		const struct circle_slot *sl = &s->slot[v->slot];

		v->seq = circle_slot_seq(sl);
		v->holders = sl->holders;
		v->doubted = circle_slot_doubted(v->node, sl);
		dirty = circle_slot_dirty(s, v->slot);
		/* A write-back that began before may be copying what the cache device has. */
		if (v->doubted && !v->alone)
			v->under_way = dirty & circle_slot_wb(s, v->slot);
		dirty &= ~v->under_way;
		if (sl->flags & CIRCLE_SLOT_LOST) {
			v->unreadable = dirty;
			dirty = 0;
		}
	}
	spin_unlock_irq(&sh->lock);
	return dirty;
}

/*
 * As in write-back: a slot that the block had before may have been evicted and still be durably
 * valid; it would be older than the origin.
 */
static bool none_older(struct circle_node *node)
{
	if (READ_ONCE(node->meta->voided) || !atomic_read(&node->slots->nr_freeing) ||
	    !circle_meta_commit(node->meta, false))
		return true;
	circle_commit_kick(node);
	return false;
}

/* How many of `pages` there are from `page` on that the buffer has room for. */
static u32 run_of(const struct saver *v, u64 pages, u32 page)
{
	const struct circle_geom *g = &v->node->geom;
	u32 most = min(v->chunk >> g->page_shift, g->nr_pages - page), nr = 1;

	while (nr < most && pages >> (page + nr) & 1)
		nr++;
	return nr;
}

/* Those below `alone` one by one; so are others, if together it fails. */
static void save_pages(struct saver *v, u64 dirty, u32 alone)
{
	u32 page, nr;
	int r;

	for (page = 0; page < v->node->geom.nr_pages; page += nr) {
		nr = 1;
		if (!(dirty >> page & 1) || (v->background && READ_ONCE(v->node->bg_stop)))
			continue;
		if (page >= alone)
			nr = run_of(v, dirty, page);
		r = save_run(v, page, nr);
		if (!r) {
			v->saved |= GENMASK_ULL(page + nr - 1, page);
		} else if (nr > 1) {
			alone = page + nr;
			nr = 0;
		} else if (r == -EIO) {
			v->unreadable |= 1ull << page;
		} else if (r == -EROFS) {
			v->not_taken |= 1ull << page;
		}
	}
}

/*
 * The origin refused a write. If it was away then, it has lost the others (R4): once more what it
 * took, page by page, so that what it refuses now has a name. Returns circle_origin_losses() before
 * that.
 */
static int save_anew(struct saver *v)
{
	int losses = circle_origin_losses(v->node);
	u64 refused = v->not_taken, again = v->saved;

	v->not_taken = 0;
	v->saved = 0;
	save_pages(v, again, v->node->geom.nr_pages);
	if (v->not_taken)
		v->saved = 0;
	v->not_taken |= refused;
	return losses;
}

/* What a holder could not give back is not held: it is lost, as one that does not answer (R3). */
static void lose_refusers(struct saver *v)
{
	struct circle_circle *c = v->node->circle;
	unsigned int i;

	for (i = 0; c && i < c->nr_peers; i++)
		if (v->refused >> i & 1)
			circle_peer_lost(&c->peer[i], "could not give a block back");
}

/* Who may be in the way of reclaim must not wait for memory: then one at a time has the reserve. */
static void get_buf(struct saver *v)
{
	struct circle_repair *rep = &v->node->repair;
	const gfp_t gfp = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN | __GFP_NOMEMALLOC;

	v->chunk = CHUNK;
	v->buf = kmalloc(v->chunk << SECTOR_SHIFT, gfp);
	v->call = kzalloc(sizeof(*v->call), gfp);
	if (v->buf && v->call)
		return;
	kfree(v->call);
	kfree(v->buf);
	mutex_lock(&rep->spare_lock);
	v->spare = true;
	v->chunk = CHUNK_MIN;
	v->buf = rep->spare_buf;
	v->call = rep->spare_call;
}

static void put_buf(struct saver *v)
{
	if (v->spare) {
		mutex_unlock(&v->node->repair.spare_lock);
		return;
	}
	kfree(v->call);
	kfree(v->buf);
}

u64 circle_save(struct circle_node *node, u64 block, u64 pages, unsigned int how, u64 *unreadable,
		u64 *refused)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	struct saver v = {
		.node = node,
		.block = block,
		.background = how & CIRCLE_SAVE_BACKGROUND,
		.alone = how & CIRCLE_SAVE_ALONE,
		.doubts = atomic_read(&node->meta->data_errors),
	};
	int losses = circle_origin_losses(node);
	u64 dirty = find(&v) & pages, left;

	*unreadable = v.unreadable & pages;
	*refused = 0;
	if (!dirty)
		return *unreadable | (v.under_way & pages);
	get_buf(&v);
	if (none_older(node)) {
		save_pages(&v, dirty, 0);
		if (v.shaken && v.saved)
			losses = save_anew(&v);
	}
	put_buf(&v);
	lose_refusers(&v);
	if (v.saved && !flush_saved(node, losses, v.doubts)) {
		if (losses != circle_origin_losses(node))
			v.not_taken |= v.saved;
		v.saved = 0;
	}
	spin_lock_irq(&sh->lock);
	__circle_slot_set(s, sh, v.slot, circle_slot_valid(s, v.slot),
			  circle_slot_dirty(s, v.slot) & ~v.saved);
	left = circle_slot_dirty(s, v.slot) & pages;
	spin_unlock_irq(&sh->lock);
	*unreadable = v.unreadable & left;
	*refused = v.not_taken & left;
	return left;
}

int circle_save_init(struct circle_node *node)
{
	struct circle_repair *rep = &node->repair;

	mutex_init(&rep->spare_lock);
	rep->spare_buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	rep->spare_call = kzalloc(sizeof(*rep->spare_call), GFP_KERNEL);
	return rep->spare_buf && rep->spare_call ? 0 : -ENOMEM;
}

void circle_save_exit(struct circle_node *node)
{
	kfree(node->repair.spare_call);
	kfree(node->repair.spare_buf);
}
