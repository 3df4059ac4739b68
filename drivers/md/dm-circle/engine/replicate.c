// SPDX-License-Identifier: GPL-2.0-only
/*
 * replicate: a write in a circle. The data are copied once, into whole pages (what the write leaves
 * out of its first and last page is read first), and go to the SSD and to every holder of the block
 * at the same time. It completes when all have answered; what could not be stored by enough
 * holders goes through to the origin before it completes (P4).
 *
 * It must never mark a page dirty that has fewer than `degree` holders, nor miss a holder (R2):
 * holders are chosen, and the write is registered with them, under shard->lock and circle->lock,
 * and it is queued to all of them before shard->lock is released, so that each peer sees one
 * block's writes in the order of their sequence (R10).
 */
#include "replicate.h"

#include <linux/device-mapper.h>
#include "../core/place.h"
#include "../trace.h"
#include "away.h"
#include "repair.h"

#define DIRECT_SECTORS	64	/* longer writes are copied and sent by a worker */

struct circle_write {
	struct circle_multi multi;
	struct circle_io *io;
	struct circle_call *call;	/* behind this structure, max_calls of them */
	struct bio_vec *bv;		/* behind those, max_pages of them: the data */
	struct bio *ssd;	/* made before anything is sent; NULL: not yet */
	unsigned int max_calls, max_pages, nr_pages;
	bool pooled;
	unsigned int counted;	/* pages, in circle->pages_out */
	u32 start, end;		/* sectors of the block */
	u32 degree;		/* that it must reach */
	u32 departures;		/* when it was sent: an answer from before a departure is void */
};

static size_t write_size(unsigned int calls, unsigned int pages)
{
	return sizeof(struct circle_write) + calls * sizeof(struct circle_call) +
	       pages * sizeof(struct bio_vec);
}

size_t circle_write_size(void)
{
	return write_size(CIRCLE_MAX_HOLDERS, CIRCLE_WRITE_PAGES);
}

bool __circle_write_is_shared(struct circle_node *node, const struct circle_slot *sl)
{
	return node->circle && (READ_ONCE(node->circle->degree_now) || sl->holders);
}

/* Copies of writes under way have a limit, or they would take all memory when a peer is slow. */
static bool count_pages(struct circle_write *w)
{
	struct circle_circle *c = w->multi.node->circle;
	int old = atomic_read(&c->pages_out);

	do {
		if (old && old + w->max_pages > c->pages_max)
			return false;
	} while (!atomic_try_cmpxchg(&c->pages_out, &old, old + w->max_pages));
	w->counted = w->max_pages;
	return true;
}

/* The reserve's pages go back to it first. */
static void free_pages_of(struct circle_write *w)
{
	struct circle_circle *c = w->multi.node->circle;
	unsigned int counted = w->counted;

	while (w->nr_pages && READ_ONCE(c->page_pool.curr_nr) < c->page_pool.min_nr)
		mempool_free(w->bv[--w->nr_pages].bv_page, &c->page_pool);
	circle_stash_put(&c->stash, w->bv, w->nr_pages);
	w->nr_pages = 0;
	w->counted = 0;
	atomic_sub(counted, &c->pages_out);
	if (counted && wq_has_sleeper(&c->page_wait))
		wake_up(&c->page_wait);
}

static void gone(struct circle_multi *m)
{
	struct circle_write *w = container_of(m, struct circle_write, multi);

	free_pages_of(w);
	if (w->pooled)
		mempool_free(w, &m->node->circle->write_pool);
	else
		kfree(w);
}

/* All or none. */
static bool try_pages(struct circle_write *w, gfp_t gfp)
{
	if (!count_pages(w))
		return false;
	w->nr_pages = circle_stash_get(&w->multi.node->circle->stash, w->bv, w->max_pages,
				       gfp | __GFP_NOWARN | __GFP_NOMEMALLOC);
	if (w->nr_pages == w->max_pages)
		return true;
	free_pages_of(w);
	return false;
}

/* Here it is one writer at a time, which waits only for writes that hold all of theirs. */
static void alloc_pages_of(struct circle_write *w)
{
	struct circle_circle *c = w->io->node->circle;

	if (try_pages(w, GFP_NOIO | __GFP_NORETRY))
		return;
	mutex_lock(&c->page_mutex);
	wait_event(c->page_wait, count_pages(w));
	while (w->nr_pages < w->max_pages)
		w->bv[w->nr_pages++].bv_page = mempool_alloc(&c->page_pool, GFP_NOIO);
	mutex_unlock(&c->page_mutex);
}

static void set_vecs(struct circle_write *w)
{
	u32 left = (w->end - w->start) << SECTOR_SHIFT;
	unsigned int i;

	for (i = 0; i < w->nr_pages; i++) {
		u32 len = min_t(u32, left, PAGE_SIZE);

		bvec_set_page(&w->bv[i], w->bv[i].bv_page, len, 0);
		left -= len;
	}
}

/* The host's data into our pages, at their place. */
static void copy_data(struct circle_write *w)
{
	struct circle_io *io = w->io;
	struct bio *bio = circle_io_bio(io);
	u32 at = (io->start - w->start) << SECTOR_SHIFT;
	struct bvec_iter iter;
	struct bio_vec bv;

	__bio_for_each_segment(bv, bio, iter, io->iter) {
		u32 done = 0;

		while (done < bv.bv_len) {
			u32 n = min_t(u32, bv.bv_len - done, PAGE_SIZE - offset_in_page(at));

			memcpy_page(w->bv[at >> PAGE_SHIFT].bv_page, offset_in_page(at), bv.bv_page,
				    bv.bv_offset + done, n);
			done += n;
			at += n;
		}
	}
}

static void part_ended(struct bio *bio)
{
	struct circle_io *io = bio->bi_private;

	if (bio->bi_status) {
		WRITE_ONCE(io->status, bio->bi_status);
		if (bio_op(bio) == REQ_OP_WRITE)	/* to the SSD; reads are of either */
			WRITE_ONCE(io->cache_failed, true);
		else if (bio->bi_bdev == io->node->origin)
			circle_origin_place_refused(io->node, REQ_OP_READ,
						    circle_block_sector(io->node, io->block, 0),
						    bio->bi_status);
	}
	bio_put(bio);
	circle_io_part_done(io);
}

/* Sectors [from, to) of the block between our pages and a device. NULL only if gfp lets it. */
static struct bio *make_bio(struct circle_write *w, struct block_device *bdev, u64 sector,
			    blk_opf_t opf, u32 from, u32 to, gfp_t gfp)
{
	struct circle_io *io = w->io;
	u32 at = (from - w->start) << SECTOR_SHIFT, end = (to - w->start) << SECTOR_SHIFT;
	struct bio *bio = bio_alloc_bioset(bdev, w->nr_pages, opf, gfp, &io->node->bios);

	if (!bio)
		return NULL;
	bio->bi_iter.bi_sector = sector;
	bio->bi_private = io;
	bio->bi_end_io = part_ended;
	while (at < end) {
		u32 n = min_t(u32, end - at, PAGE_SIZE - offset_in_page(at));

		__bio_add_page(bio, w->bv[at >> PAGE_SHIFT].bv_page, n, offset_in_page(at));
		at += n;
	}
	return bio;
}

static struct bio *ssd_bio(struct circle_write *w, gfp_t gfp)
{
	struct circle_io *io = w->io;
	struct circle_node *node = io->node;
	blk_opf_t opf = REQ_OP_WRITE | (circle_io_bio(io)->bi_opf & (REQ_SYNC | REQ_IDLE));

	circle_io_goes_to(io, node->cache);
	return make_bio(w, node->cache, circle_slot_sector(node, io->slot, w->start), opf,
			w->start, w->end, gfp);
}

/* Process context. */
static void give_up(struct circle_io *io)
{
	struct circle_write *w = io->write;
	/* Of what was sent the SSD may have the new data: its copy goes first, there. */
	bool in_vain = w->ssd && w->multi.ended;

	io->write = NULL;
	io->status = BLK_STS_OK;
	if (w->ssd)
		bio_put(w->ssd);
	circle_multi_put(&w->multi);
	if (in_vain && circle_ending(io->node->circle))
		circle_io_give_up(io);
	else
		circle_through_step(io);
}

static void durable(struct circle_io *io)
{
	if (!io->status && io->uncommitted)
		circle_through_step(io);	/* the journal cannot say it: the origin can */
	else
		circle_io_end(io);
}

static void committed(struct circle_waiter *waiter, int err)
{
	struct circle_io *io = container_of(waiter, struct circle_io, waiter);

	io->uncommitted = err;
	circle_io_part_done(io);
}

/* FUA: SSD, metadata and holders are asked. */
static void make_durable(struct circle_io *io)
{
	atomic_set(&io->pending, 2);
	io->step = durable;
	io->waiter.flush = io->flush_behind;
	io->waiter.done = committed;
	circle_flush_holders(io);
	circle_commit_fast(io->node, &io->waiter);
	circle_io_part_done(io);
}

/* Marks the pages dirty if the SSD and enough holders have them. */
static bool mark_stored(struct circle_write *w)
{
	struct circle_io *io = w->io;
	struct circle_node *node = io->node;
	struct circle_circle *c = node->circle;
	struct circle_shard *sh = io->range.shard;
	struct circle_slot *sl = &node->slots->slot[io->slot];
	unsigned long flags;
	bool enough;
	u32 good;

	spin_lock_irqsave(&sh->lock, flags);
	spin_lock(&c->lock);
	good = w->multi.ok & sl->holders & c->view & c->wait;
	enough = !io->status && hweight32(good) >= max(c->degree_now, 1u) && !w->multi.rejected &&
		 w->departures == c->departures && c->role == CIRCLE_ROLE_OWNER &&
		 !w->multi.ended;
	/* as filled() says: if that is known by now, the origin gets no more than the host wrote */
	if ((io->touched & ~io->whole) && circle_meta_data_bad(node->meta)) {
		enough = false;
		if (io->touched & ~io->whole & circle_slot_dirty(node->slots, io->slot))
			WRITE_ONCE(node->loss_untold, true);	/* the holders' may be mixed */
	}
	spin_unlock(&c->lock);
	if (w->multi.ended && (sl->holders & ~(w->multi.ok | w->multi.rejected)))
		sl->flags |= CIRCLE_SLOT_UNSURE;	/* until strike_off() */
	if (enough) {
		if (io->hit)
			__circle_slot_touch(node->slots, sh, io->slot);
		__circle_slot_written(node->slots, sh, io->slot, io->touched);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return enough;
}

/* SSD and holders have answered, or are out of the view. Any context. */
static void stored(struct circle_io *io)
{
	struct circle_write *w = io->write;
	bool fua = io->fua;

	trace_circle_stored(io->node, io->block, w->multi.req.seq, w->multi.ok);
	if (io->cache_failed)
		circle_cache_error(io->node, io->slot);
	if (!mark_stored(w)) {
		circle_io_continue(io, give_up);
		return;
	}
	io->write = NULL;
	circle_stat_add(io->node->stats,
			io->hit ? CIRCLE_STAT_WRITE_HIT : CIRCLE_STAT_WRITE_MISS, 1);
	circle_stat_add(io->node->stats, CIRCLE_STAT_REPLICATED, 1);
	circle_multi_put(&w->multi);
	if (fua)
		circle_io_continue(io, make_durable);
	else
		circle_io_end(io);
}

static void all_answered(struct circle_multi *m)
{
	circle_io_part_done(container_of(m, struct circle_write, multi)->io);
}

static void answered(struct circle_multi *m, struct circle_peer *peer,
		     const struct circle_frame *req, const struct circle_frame *ans)
{
	unsigned long flags;

	if (ans->flags & CIRCLE_WF_DURABLE)
		return;
	spin_lock_irqsave(&peer->lock, flags);
	peer->undurable++;
	spin_unlock_irqrestore(&peer->lock, flags);
}

void __circle_candidates(const struct circle_circle *c, u32 able, struct circle_cand *cand)
{
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		const struct circle_peer *p = &c->peer[i];

		cand[i].able = (able >> i & 1) && READ_ONCE(p->state) == CIRCLE_PEER_READY;
		cand[i].space = READ_ONCE(p->space);
		cand[i].domain = p->domain;
	}
}

/* shard->lock and circle->lock held. The holders that this write must reach; 0: too few. */
static u32 choose(struct circle_write *w, const struct circle_slot *sl, bool dirty)
{
	struct circle_circle *c = w->io->node->circle;
	struct circle_cand cand[CIRCLE_MAX_PEERS];
	u32 able = c->view & c->wait;

	if (sl->holders)
		return hweight32(sl->holders & able) >= w->degree &&
		       hweight32(sl->holders) <= w->max_calls ? sl->holders : 0;
	if (dirty || w->degree > w->max_calls ||
	    (c->floor < w->degree && !circle_away_expected(w->io->node)))
		return 0;
	__circle_candidates(c, able, cand);
	return circle_place_choose(cand, c->nr_peers, w->degree, c->domain, c->place_next++);
}

/* circle->lock held. A suspend has ended other waits for one of these already. */
static bool __in_vain(const struct circle_circle *c, u32 holders)
{
	return circle_ending(c) && (holders & c->wait & c->in_vain);
}

/* Returns false if it must go through. On its way to the holders when it returns true. */
static bool send(struct circle_write *w)
{
	struct circle_io *io = w->io;
	struct circle_node *node = io->node;
	struct circle_circle *c = node->circle;
	struct circle_shard *sh = io->range.shard;
	struct circle_slot *sl = &node->slots->slot[io->slot];
	struct circle_frame *f = &w->multi.req;
	unsigned long flags;
	u32 hs;

	f->type = CIRCLE_WT_REPLICATE;
	f->block = io->block;
	f->pages = io->touched;
	f->sector = w->start;
	f->sectors = w->end - w->start;
	spin_lock_irqsave(&sh->lock, flags);
	spin_lock(&c->lock);
	w->degree = max(c->degree_now, 1u);
	hs = choose(w, sl, circle_slot_dirty(node->slots, io->slot));
	w->multi.ended = __in_vain(c, hs);
	if (!hs || w->multi.ended) {
		spin_unlock(&c->lock);
		spin_unlock_irqrestore(&sh->lock, flags);
		return false;
	}
	sl->holders |= hs;
	w->departures = c->departures;
	__circle_multi_await(&w->multi, hs);
	spin_unlock(&c->lock);
	f->seq = atomic64_inc_return(&node->seq);
	__circle_slot_set_tag(sl, node->gen, f->seq);
	trace_circle_send(node, io->block, f->seq, hs);
	circle_multi_send(&w->multi, w->bv, w->nr_pages, true);
	spin_unlock_irqrestore(&sh->lock, flags);
	circle_multi_push(node, hs);
	return true;
}

/* Process context, or map(): the pages are whole, and w->ssd is made. Does not sleep. */
static bool submit(struct circle_write *w)
{
	struct circle_io *io = w->io;
	struct bio *bio = w->ssd;

	copy_data(w);
	atomic_set(&io->pending, 3);
	io->step = stored;
	io->direct = true;
	if (!send(w)) {
		io->direct = false;
		return false;
	}
	w->ssd = NULL;
	submit_bio(bio);
	circle_io_part_done(io);
	return true;
}

/* The margins are in. */
static void filled(struct circle_io *io)
{
	struct circle_write *w = io->write;

	if (!io->status)
		w->ssd = ssd_bio(w, GFP_NOIO);
	/* A margin that was read from a cache device that dropped it must not reach a holder. */
	if (io->status || circle_meta_data_bad(io->node->meta) || !submit(w))
		give_up(io);
}

/* One margin page, from where its truth is. */
static void read_page(struct circle_write *w, u32 page, u64 valid)
{
	struct circle_io *io = w->io;
	struct circle_node *node = io->node;
	u32 from = page << node->geom.page_shift;
	u32 to = min(from + node->geom.page_sectors, w->end);
	bool here = valid >> page & 1;
	u64 sector = here ? circle_slot_sector(node, io->slot, from) :
			    circle_block_sector(node, io->block, from);

	atomic_inc(&io->pending);
	submit_bio(make_bio(w, here ? node->cache : node->origin, sector, REQ_OP_READ, from, to,
			    GFP_NOIO));
}

/*
 * What the write takes, sized for the holders that it will probably have; if gfp allows waiting, of
 * the reserve when there is no memory. NULL only if it does not.
 */
static struct circle_write *new_write(struct circle_io *io, gfp_t gfp)
{
	struct circle_node *node = io->node;
	struct circle_circle *c = node->circle;
	const struct circle_geom *g = &node->geom;
	u32 first = io->start >> g->page_shift, last = (io->start + io->len - 1) >> g->page_shift;
	u32 start = first << g->page_shift;
	u32 end = min((last + 1) << g->page_shift, circle_block_limit(node, io->block));
	u32 pages = DIV_ROUND_UP((end - start) << SECTOR_SHIFT, PAGE_SIZE);
	u32 held = hweight32(READ_ONCE(node->slots->slot[io->slot].holders));
	u32 calls = max(max(held, 1u), READ_ONCE(c->degree_now));
	struct circle_write *w = NULL;
	bool pooled = false;

	if (calls <= CIRCLE_MAX_HOLDERS)
		w = kmalloc(write_size(calls, pages), gfp | __GFP_NORETRY | __GFP_NOWARN |
			    __GFP_NOMEMALLOC);
	if (!w && !gfpflags_allow_blocking(gfp))
		return NULL;
	if (!w) {
		w = mempool_alloc(&c->write_pool, gfp);
		calls = CIRCLE_MAX_HOLDERS;
		pooled = true;
	}
	w->call = (struct circle_call *)(w + 1);
	w->bv = (struct bio_vec *)(w->call + calls);
	circle_multi_init(&w->multi, node, w->call, calls);
	w->multi.over = all_answered;
	w->multi.gone = gone;
	w->multi.answered = answered;
	w->io = io;
	w->ssd = NULL;
	w->max_calls = calls;
	w->max_pages = pages;
	w->nr_pages = 0;
	w->counted = 0;
	w->pooled = pooled;
	w->start = start;
	w->end = end;
	return w;
}

bool circle_replicate_map(struct circle_io *io)
{
	struct circle_write *w;

	if (io->len > DIRECT_SECTORS || (io->touched & ~io->whole))
		return false;
	w = new_write(io, GFP_NOWAIT);
	if (!w)
		return false;
	if (!try_pages(w, GFP_NOWAIT))
		goto no;
	set_vecs(w);
	w->ssd = ssd_bio(w, GFP_NOWAIT | __GFP_NOWARN);
	if (!w->ssd)
		goto no;
	io->write = w;
	if (!submit(w))
		circle_io_continue(io, give_up);	/* it has what first steps may wait for */
	return true;
no:
	circle_multi_put(&w->multi);
	return false;
}

static void replicate(struct circle_io *io)
{
	struct circle_node *node = io->node;
	const struct circle_geom *g = &node->geom;
	u64 valid = circle_slot_valid(node->slots, io->slot), part = io->touched & ~io->whole;
	u32 first = io->start >> g->page_shift, last = (io->start + io->len - 1) >> g->page_shift;
	struct circle_write *w = new_write(io, GFP_NOIO);

	alloc_pages_of(w);
	set_vecs(w);
	io->write = w;
	atomic_set(&io->pending, 1);
	io->step = filled;
	if (part >> first & 1)
		read_page(w, first, valid);
	if (last != first && (part >> last & 1))
		read_page(w, last, valid);
	circle_io_part_done(io);
}

/* Who waits for others' pages must not keep the workers from what needs none. */
void circle_replicate_step(struct circle_io *io)
{
	struct circle_circle *c = io->node->circle;

	if (atomic_read(&c->pages_out) + CIRCLE_WRITE_PAGES > c->pages_max)
		circle_io_queue_on(io, c->copy_wq, replicate);
	else
		replicate(io);
}
