// SPDX-License-Identifier: GPL-2.0-only
/*
 * writeback: dirty pages go to the origin by age, under pressure, when the host is idle, and when
 * asked to drain. One batch at a time: pick old blocks and their dirty neighbours in order, copy,
 * one origin FLUSH for the batch, then clear the marks of what was not written again meanwhile.
 *
 * It must never clear a dirty mark before the origin FLUSH (R4), nor write while metadata have
 * failed that may still be believed: they may name an older version, in another slot, of a block
 * that has moved. After an error everything of the batch stays dirty and is written again, ever
 * later.
 */
#include "op.h"
#include "degrade.h"
#include "heal.h"
#include "origin.h"
#include "pace.h"
#include "repair.h"
#include "replicate.h"

#include <linux/sort.h>
#include "../log.h"
#include "../trace.h"

#define ASIDE_MAX	1024u		/* such slots are passed over, to find one that is not */
#define BATCH_SECTORS	32768u		/* so much, so that suspend does not wait for long */
#define NEIGHBOURS	16		/* blocks on either side of a picked one */
#define IDLE		(HZ)		/* without host I/O for that long: all is */
#define PERIOD		(HZ)
#define BACKOFF_MAX_MS	30000u
/* LOST and SICK are repair.c's. */
#define ASIDE		(CIRCLE_SLOT_LOST | CIRCLE_SLOT_SICK | CIRCLE_SLOT_UNSURE)

struct circle_batch {
	u64 block[CIRCLE_BATCH];
	u32 nr, max;
	u32 whole;			/* what max would be for a host that is not busy */
};

static bool want_all(struct circle_node *node)
{
	return READ_ONCE(node->wb.drain) || circle_node_through(node) ||
	       !strcmp(node->conf.policy, "cleaner") ||
	       time_after(jiffies, READ_ONCE(node->last_io) + IDLE);
}

static bool add(struct circle_batch *b, u64 block)
{
	u32 i;

	for (i = 0; i < b->nr; i++)
		if (b->block[i] == block)
			return true;
	if (b->nr == b->max)
		return false;
	b->block[b->nr++] = block;
	return true;
}

static bool is_dirty(struct circle_node *node, u64 block)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	bool dirty = false;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, block);
	if (n != CIRCLE_NO_SLOT && !(s->slot[n].flags & ASIDE))
		dirty = circle_slot_dirty(s, n) & ~circle_slot_wb(s, n);
	spin_unlock_irq(&sh->lock);
	return dirty;
}

static void add_neighbours(struct circle_node *node, struct circle_batch *b, u64 block)
{
	u64 n;

	for (n = block + 1; n <= block + NEIGHBOURS && is_dirty(node, n); n++)
		if (!add(b, n))
			return;
	for (n = block; n-- > 0 && n + NEIGHBOURS >= block && is_dirty(node, n);)
		if (!add(b, n))
			return;
}

/* Fewer holders than the degree asks for (R7), and nobody copies it: written back first. */
static bool exposed(struct circle_node *node, const struct circle_slot *sl)
{
	struct circle_circle *c = node->circle;

	return c && hweight32(sl->holders & READ_ONCE(c->view)) < READ_ONCE(c->degree_now) &&
	       circle_heal_unable(node);
}

/*
 * Peers that want space back (R8), as their last answers say: those to the releases of what was
 * given back before are in.
 */
static u32 revokers(struct circle_node *node)
{
	const struct circle_circle *c = node->circle;
	u32 mask = 0, i;

	if (!c || (node->wb.giving && atomic_read(&c->releasing) &&
		   time_before(jiffies, node->wb.gave + HZ)))
		return 0;
	WRITE_ONCE(node->wb.giving, false);
	for (i = 0; i < c->nr_peers; i++)
		if (READ_ONCE(c->peer[i].wanted))
			mask |= 1u << i;
	return mask;
}

/* shard->lock held. A peer that holds it wants space back: one slot of that is this one's. */
static bool __gives_back(struct circle_node *node, const struct circle_slot *sl)
{
	u32 mask = sl->holders & node->wb.revokers;
	bool yes = false;

	for (; mask; mask &= mask - 1) {
		struct circle_peer *p = &node->circle->peer[__ffs(mask)];
		u32 wanted = READ_ONCE(p->wanted);

		/* else another number has just been heard */
		if (wanted && cmpxchg(&p->wanted, wanted, wanted - 1) == wanted)
			yes = true;
	}
	if (yes) {
		WRITE_ONCE(node->wb.giving, true);
		node->wb.gave = jiffies;
	}
	return yes;
}

/* Oldest dirty block of a shard, if it is due; *alone: without its neighbours. */
static bool pick(struct circle_node *node, struct circle_shard *sh, bool all, u64 *block,
		 bool *alone)
{
	struct circle_writeback *wb = &node->wb;
	struct circle_slots *s = node->slots;
	bool got = false, due;
	u32 n, tries, i;

	spin_lock_irq(&sh->lock);
	for (i = min(sh->dirty.nr, ASIDE_MAX), tries = 8; i && tries && !got; i--) {
		struct circle_slot *sl;

		n = sh->dirty.tail;
		sl = &s->slot[n];
		tries -= !(sl->flags & ASIDE);
		due = all || exposed(node, sl) || circle_slot_age(sl) >= CIRCLE_AGE;
		*alone = !due;
		if (!(sl->flags & ASIDE) && (due || __gives_back(node, sl))) {
			*block = circle_slot_block(sl);
			wb->oldest = max_t(u32, wb->oldest, circle_slot_age(sl));
			got = true;
		}
		circle_slot_rotate(s, sh, n);
	}
	spin_unlock_irq(&sh->lock);
	return got;
}

static int by_block(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void collect(struct circle_node *node, struct circle_batch *b, bool all)
{
	struct circle_slots *s = node->slots;
	u32 misses = 0, before;
	bool alone;
	u64 block;

	b->nr = 0;
	b->whole = clamp(BATCH_SECTORS / node->geom.block_sectors, 1u, node->wb.limit);
	b->max = b->whole;
	if (circle_pace_can_wait(node))		/* as far as the last batch told */
		b->max = min_t(u32, b->max, circle_pace_width(node));
	node->wb.oldest = 0;
	node->wb.revokers = revokers(node);
	while (b->nr < b->max && misses < s->nr_shards) {
		struct circle_shard *sh = &s->shard[node->wb.next_shard++ % s->nr_shards];

		if (!pick(node, sh, all, &block, &alone) || !is_dirty(node, block)) {
			misses++;
			continue;
		}
		before = b->nr;
		if (!add(b, block))
			break;
		if (!alone)
			add_neighbours(node, b, block);
		misses = b->nr > before ? 0 : misses + 1;	/* had it already */
	}
	sort(b->block, b->nr, sizeof(u64), by_block, NULL);
}

static void op_over(struct circle_op *op)
{
	struct circle_node *node = op->node;

	circle_range_unlock(&op->range);
	if (atomic_dec_return(&node->wb.running) < READ_ONCE(node->wb.width))
		wake_up_all(&node->wb.idle);
}

static void copied(struct circle_op *op)
{
	circle_origin_wrote(op->node);
	op_over(op);
}

/* The range is ours: take what is dirty now. */
static void op_work(struct work_struct *work)
{
	struct circle_op *op = container_of(work, struct circle_op, work);
	struct circle_slots *s = op->node->slots;
	struct circle_shard *sh = op->range.shard;

	spin_lock_irq(&sh->lock);
	op->slot = __circle_slot_find(s, sh, 0, op->range.block);
	if (op->slot != CIRCLE_NO_SLOT && circle_lease_ok(op->node)) {
		if (circle_slot_doubted(op->node, &s->slot[op->slot]))
			__circle_slot_sick(op->node, op->slot);
		if (!(s->slot[op->slot].flags & ASIDE))
			op->mask = circle_slot_dirty(s, op->slot);
		__circle_slot_set_wb(s, sh, op->slot, circle_slot_wb(s, op->slot) | op->mask);
	}
	spin_unlock_irq(&sh->lock);
	if (op->mask)
		circle_op_copy(op, true);
	else
		op_over(op);
}

static void granted(struct circle_range *r)
{
	struct circle_op *op = container_of(r, struct circle_op, range);

	queue_work(op->node->next_wq, &op->work);
}

static void start_op(struct circle_node *node, u64 block, struct list_head *ops)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	struct circle_op *op = mempool_alloc(&node->op_pool, GFP_NOIO);
	bool got;

	memset(op, 0, sizeof(*op));
	op->node = node;
	op->range.block = block;
	op->range.mask = ~0ull;
	op->range.grant = granted;
	op->copied = copied;
	INIT_WORK(&op->work, op_work);
	list_add_tail(&op->link, ops);
	atomic_inc(&node->wb.running);
	spin_lock_irq(&sh->lock);
	got = __circle_range_lock(node->slots, &op->range, false);
	spin_unlock_irq(&sh->lock);
	if (got)
		op_work(&op->work);
}

/* Clears the marks of what the FLUSH covered (ok), or takes the claim back. Pages made clean. */
static unsigned int settle(struct circle_node *node, struct circle_op *op, bool flushed)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, op->range.block);
	bool held = false, ok = flushed && !op->err;
	u64 done = 0;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, op->range.block);
	if (n != CIRCLE_NO_SLOT && n == op->slot) {
		done = circle_slot_wb(s, n) & op->mask;
		__circle_slot_set_wb(s, sh, n, circle_slot_wb(s, n) & ~op->mask);
		if (ok)
			__circle_slot_set(s, sh, n, circle_slot_valid(s, n),
					  circle_slot_dirty(s, n) & ~done);
		if (op->cache_failed)
			__circle_cache_error(node, n);
		if (ok && op->mask && circle_slot_dirty(s, n))
			__circle_slot_renew(s, sh, n);
		held = s->slot[n].holders && !circle_slot_dirty(s, n);
	}
	spin_unlock_irq(&sh->lock);
	if (held)
		circle_release_block(node, op->range.block);
	if (ok)
		circle_stat_add(node->stats, CIRCLE_STAT_WRITEBACK, hweight64(done));
	return ok ? hweight64(done) : 0;
}

/*
 * Which of the blocks the origin refused are taken out of the batch. True: there are some, so that
 * it may have been away, and have lost the others.
 */
static bool take_out_refused(struct circle_node *node, struct circle_batch *b,
			     const struct list_head *ops)
{
	const struct circle_op *op;
	u32 nr = 0;

	list_for_each_entry(op, ops, link) {
		if (!op->err || op->cache_failed || op->err == -EAGAIN)
			b->block[nr++] = op->range.block;
		if (op->mask && !op->cache_failed && op->err != -EAGAIN)
			circle_origin_answered(node, op->err);
	}
	swap(b->nr, nr);
	return b->nr < nr;
}

/*
 * False: nothing is settled. *refused: since the origin refused some blocks, which are in the batch
 * no more. A block whose slot cannot be read is left to repair.c.
 */
static bool write_once(struct circle_node *node, struct circle_batch *b, bool *refused)
{
	struct circle_op *op, *tmp;
	LIST_HEAD(ops);
	int losses = circle_origin_losses(node);
	int doubts = atomic_read(&node->meta->data_errors);
	u64 pages = 0, us;
	u32 i, nr = b->nr;
	bool ok, any = false;

	*refused = false;
	/*
	 * A slot of one of these blocks may have been evicted, and still be durably valid: it would
	 * be older than the origin.
	 */
	if (!READ_ONCE(node->meta->voided) &&
	    atomic_read(&node->slots->nr_freeing) && circle_meta_commit(node->meta, false)) {
		circle_pace_none(&node->wb);
		circle_commit_kick(node);	/* goes on in circle_degrade() */
		return false;
	}
	node->wb.begun = ktime_get();
	for (i = 0; i < b->nr; i++) {
		WRITE_ONCE(node->wb.width, circle_pace_width(node));
		wait_event(node->wb.idle, atomic_read(&node->wb.running) < node->wb.width);
		start_op(node, b->block[i], &ops);
	}
	WRITE_ONCE(node->wb.width, 1);
	wait_event(node->wb.idle, !atomic_read(&node->wb.running));
	circle_pace_fit(node, nr);
	*refused = take_out_refused(node, b, &ops);
	ok = !*refused && circle_cache_flush(node) && !circle_origin_flush(node);
	/*
	 * Another's FLUSH that failed may have taken what we wrote with it, as an origin that was
	 * away (R4); one of the cache device what we read, and then older data came.
	 */
	ok = ok && losses == circle_origin_losses(node) &&
	     doubts == atomic_read(&node->meta->data_errors);
	list_for_each_entry_safe(op, tmp, &ops, link) {
		pages += settle(node, op, ok);
		any |= !op->err && op->mask;
		list_del(&op->link);
		mempool_free(op, &node->op_pool);
	}
	if (ok && any)
		WRITE_ONCE(node->wb.good, jiffies);
	circle_pace_judge(node, ok && any ? nr : 0);
	us = ktime_us_delta(ktime_get(), node->wb.begun);
	WRITE_ONCE(node->wb.room, circle_pace_room(node, us));
	if (ok && (pages || !circle_meta_data_bad(node->meta)))
		circle_pace_keep(&node->wb, nr * 2 >= b->whole, pages, us);
	else
		circle_pace_none(&node->wb);
	trace_circle_writeback(node, nr, ok);
	return ok;
}

/* False: nothing of it is at the origin, as far as is known. */
static bool write_batch(struct circle_node *node, struct circle_batch *b)
{
	bool refused, ok = write_once(node, b, &refused);

	if (!refused || !b->nr)
		return ok;
	CIRCLE_WARN_LIMIT("write-back to the origin failed for some blocks, which stay dirty");
	return write_once(node, b, &refused);	/* the others once more */
}

/* In a suspend only for FLUSHes that wait for it, and not for long. */
static bool may_run(struct circle_node *node)
{
	bool waits;

	if (!READ_ONCE(node->bg_stop))
		return true;
	waits = circle_drain_waited(node);
	if (!waits || time_before(jiffies, node->wb.end))
		return waits;
	circle_drain_end(node, -EAGAIN);
	return false;
}

static void writeback_work(struct work_struct *work)
{
	struct circle_node *node = container_of(work, struct circle_node, wb.work.work);
	struct circle_writeback *wb = &node->wb;
	unsigned long delay = PERIOD;
	struct circle_batch *b = wb->batch;
	bool press, voided, all;
	int doubts;
	u32 nr;

	if (!may_run(node) || circle_is_behind(node))
		return;			/* behind.c begins it again */
	if (!circle_lease_ok(node) || circle_voiding(node)) {
		circle_steward_kick(node);
		if (circle_voiding(node))
			circle_commit_kick(node);	/* which tries again to have it said */
		if (node->circle && READ_ONCE(node->circle->role) == CIRCLE_ROLE_FENCED)
			circle_drain_end(node, -EIO);
		queue_delayed_work(node->bg_wq, &wb->work, circle_lease_ok(node) ? HZ : HZ / 10);
		return;
	}
	doubts = atomic_read(&node->meta->data_errors);
	voided = READ_ONCE(node->meta->voided);
	press = circle_pace_pressed(node);
	wb->pressed = press;
	WRITE_ONCE(wb->pressure, false);
	all = press || want_all(node);
	collect(node, b, all);
	nr = b->nr;
	WRITE_ONCE(wb->vain, all && !nr ? atomic_read(&node->slots->nr_dirty) : 0);
	if (!nr)
		circle_degrade_idle(node);
	if (nr && !write_batch(node, b)) {
		/* else it may be the cache device that failed */
		if (voided && doubts == atomic_read(&node->meta->data_errors))
			circle_drain_end(node, -EIO);
		wb->backoff_ms = clamp(wb->backoff_ms * 2, 100u, BACKOFF_MAX_MS);
		CIRCLE_WARN_LIMIT("write-back to the origin failed, %u blocks stay dirty; next try in %u ms",
				  nr, wb->backoff_ms);
		delay = msecs_to_jiffies(wb->backoff_ms);
	} else {
		wb->backoff_ms = 0;
		if (nr)
			delay = wb->room;
		circle_reclaim_anew(node);	/* also for what peers let go meanwhile */
	}
	wake_up_all(&wb->idle);
	if (may_run(node))
		queue_delayed_work(node->bg_wq, &wb->work, delay);
}

void circle_writeback_drain(struct circle_node *node, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	struct circle_batch *b = node->wb.batch;

	while (!circle_all_drained(node) && circle_lease_ok(node) && !circle_voiding(node) &&
	       time_before(jiffies, end)) {
		collect(node, b, true);
		if (!b->nr || !write_batch(node, b))
			return;
	}
}

int circle_writeback_init(struct circle_node *node)
{
	node->wb.batch = kzalloc(sizeof(*node->wb.batch), GFP_KERNEL);
	circle_pace_init(&node->wb);
	INIT_DELAYED_WORK(&node->wb.work, writeback_work);
	init_waitqueue_head(&node->wb.idle);
	return node->wb.batch ? 0 : -ENOMEM;
}

void circle_writeback_kick(struct circle_node *node)
{
	if (!READ_ONCE(node->bg_stop) && !READ_ONCE(node->wb.backoff_ms))
		mod_delayed_work(node->bg_wq, &node->wb.work, 0);
}

void circle_writeback_go_on(struct circle_node *node)
{
	struct circle_writeback *wb = &node->wb;
	bool haste = READ_ONCE(wb->drain) || READ_ONCE(wb->pressure);
	unsigned long room = haste ? 0 : READ_ONCE(wb->room);

	if (!READ_ONCE(node->bg_stop) && !READ_ONCE(node->wb.backoff_ms))
		mod_delayed_work(node->bg_wq, &node->wb.work, room);
}

void circle_writeback_start(struct circle_node *node)
{
	WRITE_ONCE(node->wb.backoff_ms, 0);	/* its work has been stopped */
	circle_writeback_kick(node);
}

void circle_writeback_stop(struct circle_node *node)
{
	cancel_delayed_work_sync(&node->wb.work);
	wait_event(node->wb.idle, !atomic_read(&node->promoting));
}
