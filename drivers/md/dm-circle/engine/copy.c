// SPDX-License-Identifier: GPL-2.0-only
/*
 * copy: see copy.h. Piece by piece, as large as there is memory for, each read and then written.
 * Its queue is its own: nobody on it waits for anything but devices, so that who waits for memory
 * on another one gets it.
 */
#include "copy.h"

#include <linux/slab.h>
#include "degrade.h"
#include "origin.h"
#include "stash.h"

#define PIECE_PAGES	128u	/* at most */
#define SPARE_PAGES	16u	/* of the one that is always there */
#define POLL		(HZ / 50 + 1)	/* memory may be there again, for which nobody wakes us */

struct copy {
	struct circle_copier *cr;
	u64 block;
	u32 slot, at, to, len;		/* sectors; len: of the piece from `at` on */
	void (*over)(void *priv, enum circle_copy_end end);
	void *priv;
	blk_status_t status;
	struct work_struct work;
	struct bio bio;
	u32 nr;
	struct bio_vec bv[];
};

struct circle_copier {
	struct circle_node *node;
	struct workqueue_struct *wq;
	struct circle_stash stash;
	struct copy *reserve, *spare;	/* spare: the same, while nobody has it; xchg */
	wait_queue_head_t wait;		/* for it */
};

static void read_piece(struct copy *c);

static struct copy *alloc(struct circle_copier *cr, u32 pages, gfp_t gfp)
{
	struct copy *c = kmalloc(struct_size(c, bv, pages), gfp);
	u32 i;

	if (!c)
		return NULL;
	c->cr = cr;
	c->nr = circle_stash_get(&cr->stash, c->bv, pages, gfp);
	for (i = 0; i < c->nr; i++) {
		c->bv[i].bv_offset = 0;
		c->bv[i].bv_len = PAGE_SIZE;
	}
	if (c->nr)		/* fewer will do */
		return c;
	kfree(c);
	return NULL;
}

static struct copy *get(struct circle_copier *cr, u32 pages)
{
	const gfp_t gfp = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN | __GFP_NOMEMALLOC;
	struct copy *c;

	for (;;) {
		c = alloc(cr, min(pages, PIECE_PAGES), gfp) ?: xchg(&cr->spare, NULL);
		if (c)
			return c;
		wait_event_timeout(cr->wait, READ_ONCE(cr->spare), POLL);
	}
}

static void put(struct copy *c)
{
	struct circle_copier *cr = c->cr;

	if (c == cr->reserve) {
		xchg(&cr->spare, c);
		wake_up(&cr->wait);
		return;
	}
	circle_stash_put(&cr->stash, c->bv, c->nr);
	kfree(c);
}

/* On the queue, which destroy() empties: what over() wakes may have the node go. */
static void end(struct copy *c, enum circle_copy_end how)
{
	void (*over)(void *priv, enum circle_copy_end end) = c->over;
	void *priv = c->priv;

	put(c);
	over(priv, how);
}

static void submit(struct copy *c, struct block_device *bdev, u64 sector, enum req_op op,
		   bio_end_io_t *ended)
{
	bio_init(&c->bio, bdev, c->bv, c->nr, op);
	c->bio.bi_vcnt = DIV_ROUND_UP(c->len << SECTOR_SHIFT, PAGE_SIZE);
	c->bio.bi_iter.bi_size = c->len << SECTOR_SHIFT;
	c->bio.bi_iter.bi_sector = sector;
	c->bio.bi_private = c;
	c->bio.bi_end_io = ended;
	submit_bio(&c->bio);
}

static void written_work(struct work_struct *work)
{
	struct copy *c = container_of(work, struct copy, work);
	struct circle_node *node = c->cr->node;

	c->at += c->len;
	if (c->status) {
		circle_origin_place_refused(node, REQ_OP_WRITE,
					    circle_block_sector(node, c->block, 0), c->status);
		end(c, CIRCLE_COPY_REFUSED);
	} else if (c->at == c->to) {
		end(c, CIRCLE_COPY_DONE);
	} else {
		read_piece(c);
	}
}

static void written(struct bio *bio)
{
	struct copy *c = bio->bi_private;

	c->status = bio->bi_status;
	bio_uninit(bio);
	INIT_WORK(&c->work, written_work);
	queue_work(c->cr->wq, &c->work);
}

static void write_work(struct work_struct *work)
{
	struct copy *c = container_of(work, struct copy, work);
	struct circle_node *node = c->cr->node;

	if (c->status)
		end(c, CIRCLE_COPY_UNREAD);
	else if (node->circle && !circle_may_go(node))
		end(c, CIRCLE_COPY_LATE);
	else
		submit(c, node->origin, circle_block_sector(node, c->block, c->at), REQ_OP_WRITE,
		       written);
}

static void was_read(struct bio *bio)
{
	struct copy *c = bio->bi_private;

	c->status = bio->bi_status;
	bio_uninit(bio);
	INIT_WORK(&c->work, write_work);
	queue_work(c->cr->wq, &c->work);
}

static void read_piece(struct copy *c)
{
	struct circle_node *node = c->cr->node;

	c->len = min_t(u32, c->to - c->at, c->nr << PAGE_SECTORS_SHIFT);
	submit(c, node->cache, circle_slot_sector(node, c->slot, c->at), REQ_OP_READ, was_read);
}

void circle_copy_out(struct circle_node *node, u64 block, u32 slot, u32 from, u32 to,
		     void (*over)(void *priv, enum circle_copy_end end), void *priv)
{
	struct copy *c = get(node->copier, DIV_ROUND_UP((to - from) << SECTOR_SHIFT, PAGE_SIZE));

	c->block = block;
	c->slot = slot;
	c->at = from;
	c->to = to;
	c->over = over;
	c->priv = priv;
	read_piece(c);
}

struct circle_copier *circle_copier_create(struct circle_node *node)
{
	struct circle_copier *cr = kzalloc(sizeof(*cr), GFP_KERNEL);

	if (!cr)
		return NULL;
	cr->node = node;
	circle_stash_init(&cr->stash);
	init_waitqueue_head(&cr->wait);
	cr->wq = alloc_workqueue("circle_copyout", WQ_MEM_RECLAIM, 0);
	cr->reserve = alloc(cr, SPARE_PAGES, GFP_KERNEL);
	cr->spare = cr->reserve;
	if (cr->wq && cr->reserve)
		return cr;
	circle_copier_destroy(cr);
	return NULL;
}

void circle_copier_destroy(struct circle_copier *cr)
{
	if (!cr)
		return;
	if (cr->wq)
		destroy_workqueue(cr->wq);
	if (cr->reserve) {
		circle_stash_put(&cr->stash, cr->reserve->bv, cr->reserve->nr);
		kfree(cr->reserve);
	}
	circle_stash_empty(&cr->stash);
	kfree(cr);
}
