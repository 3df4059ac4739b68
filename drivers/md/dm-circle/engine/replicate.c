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

struct circle_write {
	struct circle_multi multi;
	struct circle_io *io;
	struct circle_call call[CIRCLE_MAX_HOLDERS];
	struct page *page[CIRCLE_WRITE_PAGES];
	struct bio_vec bv[CIRCLE_WRITE_PAGES];
	unsigned int nr_pages;
	u32 start, end;		/* sectors of the block */
	u32 degree;		/* that it must reach */
	u32 departures;		/* when it was sent: an answer from before a departure is void */
};

size_t circle_write_size(void)
{
	return sizeof(struct circle_write);
}

bool __circle_write_is_shared(struct circle_node *node, const struct circle_slot *sl)
{
	return node->circle && (READ_ONCE(node->circle->degree_now) || sl->holders);
}

static void free_pages_of(struct circle_write *w)
{
	struct circle_circle *c = w->io->node->circle;

	while (w->nr_pages)
		mempool_free(w->page[--w->nr_pages], &c->page_pool);
}

static void gone(struct circle_multi *m)
{
	struct circle_write *w = container_of(m, struct circle_write, multi);
	struct circle_circle *c = m->node->circle;

	while (w->nr_pages)
		mempool_free(w->page[--w->nr_pages], &c->page_pool);
	mempool_free(w, &c->write_pool);
}

/* All pages or none are taken without the pool; with it one writer at a time, which then waits
 * only for writes that hold all of theirs.
 */
static void alloc_pages_of(struct circle_write *w)
{
	struct circle_circle *c = w->io->node->circle;
	unsigned int want = DIV_ROUND_UP((w->end - w->start) << SECTOR_SHIFT, PAGE_SIZE);

	while (w->nr_pages < want) {
		struct page *page = alloc_page(GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN);

		if (!page)
			break;
		w->page[w->nr_pages++] = page;
	}
	if (w->nr_pages == want)
		return;
	free_pages_of(w);
	mutex_lock(&c->page_mutex);
	while (w->nr_pages < want)
		w->page[w->nr_pages++] = mempool_alloc(&c->page_pool, GFP_NOIO);
	mutex_unlock(&c->page_mutex);
}

static void set_vecs(struct circle_write *w)
{
	u32 left = (w->end - w->start) << SECTOR_SHIFT;
	unsigned int i;

	for (i = 0; i < w->nr_pages; i++) {
		u32 len = min_t(u32, left, PAGE_SIZE);

		bvec_set_page(&w->bv[i], w->page[i], len, 0);
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

			memcpy_page(w->page[at >> PAGE_SHIFT], offset_in_page(at), bv.bv_page,
				    bv.bv_offset + done, n);
			done += n;
			at += n;
		}
	}
}

static void part_ended(struct bio *bio)
{
	struct circle_io *io = bio->bi_private;

	if (bio->bi_status)
		WRITE_ONCE(io->status, bio->bi_status);
	bio_put(bio);
	circle_io_part_done(io);
}

/* Sectors [from, to) of the block between our pages and a device, as one pending part of io. */
static void page_io(struct circle_write *w, struct block_device *bdev, u64 sector, blk_opf_t opf,
		    u32 from, u32 to)
{
	struct circle_io *io = w->io;
	u32 at = (from - w->start) << SECTOR_SHIFT, end = (to - w->start) << SECTOR_SHIFT;
	struct bio *bio = bio_alloc_bioset(bdev, w->nr_pages, opf, GFP_NOIO, &io->node->bios);

	bio->bi_iter.bi_sector = sector;
	bio->bi_private = io;
	bio->bi_end_io = part_ended;
	while (at < end) {
		u32 n = min_t(u32, end - at, PAGE_SIZE - offset_in_page(at));

		__bio_add_page(bio, w->page[at >> PAGE_SHIFT], n, offset_in_page(at));
		at += n;
	}
	atomic_inc(&io->pending);
	submit_bio(bio);
}

static void give_up(struct circle_io *io)
{
	struct circle_write *w = io->write;

	io->write = NULL;
	io->status = BLK_STS_OK;
	circle_multi_put(&w->multi);
	circle_through_step(io);
}

static void durable(struct circle_io *io)
{
	circle_io_end(io);
}

static void committed(struct circle_waiter *waiter, int err)
{
	struct circle_io *io = container_of(waiter, struct circle_io, waiter);

	if (err)
		WRITE_ONCE(io->status, BLK_STS_IOERR);
	circle_io_part_done(io);
}

/* FUA: the SSD had it; the metadata and the holders are asked. */
static void make_durable(struct circle_io *io)
{
	atomic_set(&io->pending, 2);
	io->step = durable;
	io->waiter.flush = false;
	io->waiter.done = committed;
	circle_commit_wait(io->node, &io->waiter);
	circle_flush_holders(io);
	circle_io_part_done(io);
}

/* Marks the pages dirty if enough holders have them. */
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
	enough = hweight32(good) >= max(c->degree_now, 1u) && !w->multi.rejected &&
		 w->departures == c->departures && c->role == CIRCLE_ROLE_OWNER &&
		 !w->multi.ended;
	spin_unlock(&c->lock);
	if (enough) {
		if (io->hit)
			__circle_slot_touch(node->slots, sh, io->slot);
		__circle_slot_written(node->slots, sh, io->slot, io->touched);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return enough;
}

/* SSD and holders have answered, or are out of the view. */
static void stored(struct circle_io *io)
{
	struct circle_write *w = io->write;
	bool fua = io->fua;

	trace_circle_stored(io->node, io->block, w->multi.req.seq, w->multi.ok);
	if (io->status || !mark_stored(w)) {
		give_up(io);
		return;
	}
	io->write = NULL;
	circle_stat_add(io->node->stats,
			io->hit ? CIRCLE_STAT_WRITE_HIT : CIRCLE_STAT_WRITE_MISS, 1);
	circle_stat_add(io->node->stats, CIRCLE_STAT_REPLICATED, 1);
	circle_multi_put(&w->multi);
	if (fua)
		make_durable(io);
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

/* shard->lock and circle->lock held. The holders that this write must reach; 0: too few. */
static u32 choose(struct circle_write *w, const struct circle_slot *sl, bool dirty)
{
	struct circle_circle *c = w->io->node->circle;
	struct circle_cand cand[CIRCLE_MAX_PEERS];
	u32 able = c->view & c->wait, i;

	if (sl->holders)
		return hweight32(sl->holders & able) >= w->degree &&
		       hweight32(sl->holders) <= CIRCLE_MAX_HOLDERS ? sl->holders : 0;
	if (dirty || c->floor < w->degree)
		return 0;
	for (i = 0; i < c->nr_peers; i++) {
		struct circle_peer *p = &c->peer[i];

		cand[i].able = (able >> i & 1) && READ_ONCE(p->state) == CIRCLE_PEER_READY;
		cand[i].space = READ_ONCE(p->space);
		cand[i].domain = p->domain;
	}
	return circle_place_choose(cand, c->nr_peers, w->degree, c->domain, c->place_next++);
}

/* Returns false if it must go through. Queued to the holders when it returns true. */
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
	if (!hs) {
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
	circle_multi_send(&w->multi, w->bv, w->nr_pages);
	spin_unlock_irqrestore(&sh->lock, flags);
	return true;
}

/* The margins are in: the pages are whole. */
static void filled(struct circle_io *io)
{
	struct circle_write *w = io->write;
	struct circle_node *node = io->node;
	blk_opf_t opf = REQ_OP_WRITE | (circle_io_bio(io)->bi_opf & (REQ_SYNC | REQ_IDLE)) |
			(io->fua ? REQ_FUA : 0);

	if (io->status) {
		give_up(io);
		return;
	}
	copy_data(w);
	atomic_set(&io->pending, 2);
	io->step = stored;
	if (!send(w)) {
		give_up(io);
		return;
	}
	page_io(w, node->cache, circle_slot_sector(node, io->slot, w->start), opf, w->start,
		w->end);
	circle_io_part_done(io);
}

/* One margin page, from where its truth is. */
static void read_page(struct circle_write *w, u32 page, u64 valid)
{
	struct circle_io *io = w->io;
	struct circle_node *node = io->node;
	u32 from = page << node->geom.page_shift;
	u32 to = min(from + node->geom.page_sectors, w->end);

	if (valid >> page & 1)
		page_io(w, node->cache, circle_slot_sector(node, io->slot, from), REQ_OP_READ,
			from, to);
	else
		page_io(w, node->origin, circle_block_sector(node, io->block, from), REQ_OP_READ,
			from, to);
}

void circle_replicate_step(struct circle_io *io)
{
	struct circle_node *node = io->node;
	const struct circle_geom *g = &node->geom;
	u64 valid = circle_slot_valid(node->slots, io->slot), part = io->touched & ~io->whole;
	u32 first = io->start >> g->page_shift, last = (io->start + io->len - 1) >> g->page_shift;
	struct circle_write *w = mempool_alloc(&node->circle->write_pool, GFP_NOIO);

	circle_multi_init(&w->multi, node, w->call, CIRCLE_MAX_HOLDERS);
	w->multi.over = all_answered;
	w->multi.gone = gone;
	w->multi.answered = answered;
	w->io = io;
	w->nr_pages = 0;
	w->start = first << g->page_shift;
	w->end = min((last + 1) << g->page_shift, circle_block_limit(node, io->block));
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
