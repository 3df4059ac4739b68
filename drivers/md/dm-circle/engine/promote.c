// SPDX-License-Identifier: GPL-2.0-only
/*
 * promote: copies the pages of a block that are not valid from the origin into the cache, in the
 * background. It may always give up; it never touches a valid page, never takes the last of the
 * stock, and never makes a page valid that the origin could still lose (R1a).
 */
#include "copy.h"
#include "op.h"
#include "origin.h"
#include "repair.h"

#define MAX_PROMOTING	16

size_t circle_op_size(void)
{
	return sizeof(struct circle_op);
}

static void part_over(struct circle_op *op, int err, bool cache_failed)
{
	if (err == -EAGAIN)
		cmpxchg(&op->err, 0, err);
	else if (err)
		WRITE_ONCE(op->err, err);
	if (cache_failed)
		WRITE_ONCE(op->cache_failed, true);
	if (atomic_dec_and_test(&op->pending))
		op->copied(op);
}

static void copied_out(void *priv, enum circle_copy_end end)
{
	int err = end == CIRCLE_COPY_DONE ? 0 : end == CIRCLE_COPY_LATE ? -EAGAIN : -EIO;

	part_over(priv, err, end == CIRCLE_COPY_UNREAD);
}

static void copied_in(int read_err, unsigned long write_err, void *context)
{
	struct circle_op *op = context;

	if (read_err)		/* which status it had kcopyd does not say */
		circle_origin_place_refused(op->node, REQ_OP_READ,
					    circle_block_sector(op->node, op->range.block, 0),
					    BLK_STS_IOERR);
	part_over(context, read_err || write_err ? -EIO : 0, write_err);
}

static void copy_in(struct circle_op *op, u32 pos, u32 stop)
{
	struct circle_node *node = op->node;
	struct dm_io_region origin = {
		.bdev = node->origin,
		.sector = circle_block_sector(node, op->range.block, pos),
		.count = stop - pos,
	};
	struct dm_io_region slot = {
		.bdev = node->cache,
		.sector = circle_slot_sector(node, op->slot, pos),
		.count = stop - pos,
	};

	dm_kcopyd_copy(node->kc, &origin, 1, &slot, 0, copied_in, op);
}

void circle_op_copy(struct circle_op *op, bool to_origin)
{
	struct circle_node *node = op->node;
	u64 block = op->range.block;
	u32 pos, stop, limit = circle_block_limit(node, block);
	bool set;

	atomic_set(&op->pending, 1);
	for (pos = 0; pos < limit; pos = stop) {
		stop = circle_pages_run(&node->geom, op->mask, pos, limit, &set);
		if (!set)
			continue;
		atomic_inc(&op->pending);
		if (to_origin)
			circle_copy_out(node, block, op->slot, pos, stop, copied_out, op);
		else
			copy_in(op, pos, stop);
	}
	part_over(op, 0, false);
}

static void finish(struct circle_op *op)
{
	struct circle_node *node = op->node;

	mempool_free(op, &node->op_pool);
	if (atomic_dec_and_test(&node->promoting))
		wake_up_all(&node->wb.idle);
}

static void promoted(struct circle_op *op)
{
	struct circle_slots *s = op->node->slots;
	struct circle_shard *sh = op->range.shard;
	struct circle_slot *sl = &s->slot[op->slot];
	LIST_HEAD(wake);

	spin_lock_irq(&sh->lock);
	if (!(sl->flags & CIRCLE_SLOT_SICK))	/* which repair.c keeps busy */
		sl->flags &= ~CIRCLE_SLOT_BUSY;
	if (!op->err)
		__circle_slot_set(s, sh, op->slot, circle_slot_valid(s, op->slot) | op->mask,
				  circle_slot_dirty(s, op->slot));
	if (op->cache_failed)
		__circle_cache_error(op->node, op->slot);
	__circle_range_unlock(&op->range, &wake);
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (!op->err)
		circle_stat_add(op->node->stats, CIRCLE_STAT_PROMOTION, 1);
	finish(op);
}

/* What was read is durable there, unless something was lost since. */
static void settle(struct circle_op *op)
{
	smp_rmb();		/* covered by a FLUSH behind one that failed: then that is seen */
	if (op->losses != circle_origin_losses(op->node))
		op->err = -EIO;
	promoted(op);
}

static void settle_work(struct work_struct *work)
{
	settle(container_of(work, struct circle_op, work));
}

/* Any context. Its end is on a queue that is waited for before the node goes. */
static void flushed(struct circle_flush_wait *w, blk_status_t status)
{
	struct circle_op *op = container_of(w, struct circle_op, flush);

	if (status)
		op->err = -EIO;
	INIT_WORK(&op->work, settle_work);
	queue_work(op->node->next_wq, &op->work);
}

/*
 * The origin may have what was read in its volatile cache alone. A power cut would take it there
 * and leave the copy, which is shown until it is evicted, and then something older is.
 */
static void copied(struct circle_op *op)
{
	if (op->err) {
		promoted(op);
		return;
	}
	if (!circle_origin_mark(op->node)) {
		settle(op);
		return;
	}
	op->flush.done = flushed;
	circle_origin_flush_wait(op->node, &op->flush);
}

/* shard->lock held, range ours. False: nothing to do. */
static bool prepare(struct circle_op *op, struct circle_shard *sh)
{
	struct circle_node *node = op->node;
	struct circle_slots *s = node->slots;
	u64 block = op->range.block;
	u32 limit = circle_block_limit(node, block);
	struct circle_slot *sl;

	op->slot = __circle_slot_find(s, sh, 0, block);
	if (op->slot == CIRCLE_NO_SLOT) {
		op->slot = circle_slot_pop(s, node->stock / 2);
		if (op->slot == CIRCLE_NO_SLOT) {
			circle_reclaim_kick(node);	/* with nothing dirty nobody else does */
			return false;
		}
		__circle_slot_map(s, sh, op->slot, 0, block,
				  CIRCLE_SLOT_WRITABLE | (op->main ? CIRCLE_SLOT_MAIN : 0));
		__circle_slot_set_tag(&s->slot[op->slot], node->gen,
				      atomic64_inc_return(&node->seq));
		circle_reclaim_kick(node);
	}
	sl = &s->slot[op->slot];
	op->mask = circle_pages_touched(&node->geom, 0, limit) & ~circle_slot_valid(s, op->slot);
	/* What durable metadata may still call valid must not be refilled in place. */
	if (!op->mask || (sl->flags & CIRCLE_SLOT_BUSY) || !(sl->flags & CIRCLE_SLOT_WRITABLE))
		return false;
	if (sl->flags & CIRCLE_SLOT_LOST)	/* nothing else is kept there */
		return false;
	sl->flags |= CIRCLE_SLOT_BUSY;
	op->losses = circle_origin_losses(node);
	return true;
}

static void promote_work(struct work_struct *work)
{
	struct circle_op *op = container_of(work, struct circle_op, work);
	struct circle_node *node = op->node;
	struct circle_shard *sh = circle_shard_of(node->slots, 0, op->range.block);
	LIST_HEAD(wake);
	bool go;

	spin_lock_irq(&sh->lock);
	go = !READ_ONCE(node->bg_stop) && __circle_range_lock(node->slots, &op->range, true);
	if (go && !prepare(op, sh)) {
		__circle_range_unlock(&op->range, &wake);
		go = false;
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (go)
		circle_op_copy(op, false);
	else
		finish(op);
}

void circle_promote(struct circle_node *node, u64 block, bool main)
{
	struct circle_op *op;

	/* What was drained while live may be lost by a FLUSH, and drained again. */
	if (READ_ONCE(node->bg_stop) || READ_ONCE(node->recovering))
		return;
	if (atomic_inc_return(&node->promoting) > MAX_PROMOTING)
		goto no;
	op = mempool_alloc(&node->op_pool, GFP_NOWAIT | __GFP_NOWARN);
	if (!op)
		goto no;
	memset(op, 0, sizeof(*op));
	op->node = node;
	op->range.block = block;
	op->range.mask = ~0ull;
	op->main = main;
	op->copied = copied;
	INIT_WORK(&op->work, promote_work);
	queue_work(node->bg_wq, &op->work);
	return;
no:
	if (atomic_dec_and_test(&node->promoting))
		wake_up_all(&node->wb.idle);
}
