// SPDX-License-Identifier: GPL-2.0-only
/*
 * heal_copy: one block to one more peer. Writes to the block wait while its dirty pages are read
 * from the SSD and sent, as parts of a new replica (FILL), which exists when the last has come
 * (R2). Then that peer is a holder as any other. Both have the same content, so the same tag. What
 * becomes clean meanwhile is released afterwards.
 *
 * A peer that was a holder before it was lost may have it parked: it is asked to revive it first.
 * That its tag is the block's is the proof that nothing was written since, as each write gives the
 * block a new one, whether it is sent to anybody or not. Only tags of this generation, though: an
 * older owner's is not known to be so.
 *
 * It must never make a holder of a peer that may not have all: one that left the view since, even
 * if it is back. Nor forget one that may: if the answer to the last part did not come, the peer is
 * a holder, and lost, until a label without it is durable (R3). And none is to keep a part of a
 * replica when the block is given back; so no block is copied twice at a time.
 */
#include "heal_impl.h"

#include "../core/place.h"
#include "../trace.h"
#include "degrade.h"
#include "peer.h"
#include "repair.h"
#include "replicate.h"

#define PATIENCE	(HZ / 4)	/* so long may a copy be in the way of a write */

enum outcome { NOTHING, HOLDS, MAY_HOLD };

/* circle->lock held. */
static u32 __keepers(const struct circle_circle *c)
{
	u32 mask = 0;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if (READ_ONCE(c->peer[i].kept))
			mask |= 1u << i;
	return mask;
}

/* circle->lock held: one of `able`, or 0. */
static u32 __place(struct circle_circle *c, u32 able, u32 holders)
{
	struct circle_cand cand[CIRCLE_MAX_PEERS];

	__circle_candidates(c, able, cand);
	return circle_place_add(cand, c->nr_peers, holders, c->domain, c->place_next++);
}

/* circle->lock held. One that fails with us is taken only if there is no other. */
static bool __in_own_domain(const struct circle_circle *c, u32 one)
{
	return !memcmp(c->peer[__ffs(one)].domain, c->domain, CIRCLE_DOMAIN_SIZE);
}

/* shard->lock and circle->lock held: one more holder for it. False: there is none, or no need. */
static bool __choose(struct circle_heal_op *op, const struct circle_slot *sl)
{
	const struct circle_node *node = op->node;
	struct circle_circle *c = node->circle;
	u32 able = c->view & c->wait, got, keeper = 0;

	if (c->role != CIRCLE_ROLE_OWNER || (sl->holders & ~able) ||
	    hweight32(sl->holders) >= min(c->degree_now, CIRCLE_MAX_HOLDERS + 0u))
		return false;
	able &= ~node->heal->full;
	got = __place(c, able, sl->holders);
	if (!got)
		return false;
	op->revive = false;
	if (!op->copy && sl->gen == node->gen && circle_slot_seq(sl)) {
		keeper = __place(c, able & __keepers(c), sl->holders);
		op->revive = keeper && (__in_own_domain(c, got) || !__in_own_domain(c, keeper));
	}
	if (op->revive)
		got = keeper;
	op->peer = &c->peer[__ffs(got)];
	return true;
}

/* shard->lock held. */
static bool __to_be_copied(const struct circle_node *node, u32 n)
{
	const struct circle_slots *s = node->slots;

	return n != CIRCLE_NO_SLOT && circle_slot_dirty(s, n) &&
	       !(s->slot[n].flags & CIRCLE_HEAL_ASIDE) && !circle_meta_data_bad(node->meta);
}

/* shard->lock held, and the block's range: what is to be sent, and to whom. */
static bool __prepare(struct circle_heal_op *op)
{
	struct circle_node *node = op->node;
	struct circle_circle *c = node->circle;
	struct circle_slot *sl = &node->slots->slot[op->slot];
	bool found;

	spin_lock(&c->lock);
	found = __choose(op, sl);
	if (found) {
		spin_lock(&op->peer->lock);
		op->turn = op->peer->turn;
		spin_unlock(&op->peer->lock);
	}
	spin_unlock(&c->lock);
	if (!found)
		return false;
	/* Before we were the owner it may have been written without a tag of its own. */
	if (!sl->holders && sl->gen != node->gen)
		__circle_slot_set_tag(sl, node->gen, atomic64_inc_return(&node->seq));
	op->seq = circle_slot_seq(sl);
	op->dirty = circle_slot_dirty(node->slots, op->slot);
	op->doubts = atomic_read(&node->meta->data_errors);
	op->sent = false;
	op->held = sl->holders;
	op->begun = jiffies;
	return true;
}

/* False: there is nothing to do, or not now: the block is in use. */
static bool begin(struct circle_heal_op *op, u64 block)
{
	struct circle_slots *s = op->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	bool got = false;
	LIST_HEAD(wake);

	op->range = (struct circle_range){ .block = block, .mask = ~0ull };
	op->copy = false;
	spin_lock_irq(&sh->lock);
	op->slot = __circle_slot_find(s, sh, 0, block);
	if (__to_be_copied(op->node, op->slot) && __circle_range_lock(s, &op->range, true)) {
		got = __prepare(op);
		if (!got)
			__circle_range_unlock(&op->range, &wake);
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	return got;
}

/* 0 and an answer in op->call, or -errno; -ENOTCONN: nothing was sent. */
static int ask(struct circle_heal_op *op, u16 type, u64 pages)
{
	struct circle_call *call = &op->call;

	call->turn = op->turn;
	call->msg.f.type = type;
	call->msg.f.block = op->range.block;
	call->msg.f.pages = pages;
	call->msg.f.seq = op->seq;
	return circle_call_wait_ready(op->peer, call);
}

/* Sectors [from, to) of the block. */
static int send(struct circle_heal_op *op, u32 from, u32 to, bool last)
{
	struct circle_frame *f = &op->call.msg.f;

	memset(&op->call, 0, sizeof(op->call));
	f->flags = last ? 0 : CIRCLE_WF_FILL;
	f->sector = from;
	f->sectors = to - from;
	f->length = (to - from) << SECTOR_SHIFT;
	op->call.msg.buf = op->buf;
	op->sent = true;
	return ask(op, CIRCLE_WT_REPLICATE,
		   circle_pages_touched(&op->node->geom, from, to - from));
}

/*
 * What it has of it goes, so that nothing is there when the block is given back. False: that is not
 * known. A part of a replica is nothing then, since a peer that is gone comes back without it.
 */
static bool take_back(struct circle_heal_op *op)
{
	int err;

	if (!op->sent)
		return true;
	memset(&op->call, 0, sizeof(op->call));
	err = ask(op, CIRCLE_WT_RELEASE, ~0ull);
	if (!err && op->call.answer.status)
		circle_peer_lost(op->peer, "could not release");
	return !err && !op->call.answer.status;
}

/* The answer to one part. */
static enum outcome judge(struct circle_heal_op *op, int err, bool last)
{
	u16 status = op->call.answer.status;

	if (err)		/* before the last part a replica does not exist */
		return last && err != -ENOTCONN ? MAY_HOLD : NOTHING;
	if (!status)
		return HOLDS;
	if (status == CIRCLE_WS_NO_SPACE) {
		set_bit(op->peer->nr, &op->node->heal->full);
		take_back(op);
		return NOTHING;
	}
	circle_peer_lost(op->peer, "could not store");
	return last ? MAY_HOLD : NOTHING;
}

/* What a cache device may have dropped must not reach a holder. */
static bool still_good(const struct circle_heal_op *op)
{
	return op->doubts == atomic_read(&op->node->meta->data_errors);
}

static bool read_part(struct circle_heal_op *op, u32 from, u32 to)
{
	struct circle_node *node = op->node;

	if (circle_bdev_rw(node->meta->io, node->cache, REQ_OP_READ,
			   circle_slot_sector(node, op->slot, from), op->buf, to - from)) {
		circle_cache_error(node, op->slot);
		return false;
	}
	return still_good(op);
}

/*
 * Not any more: somebody has waited for too long. Not while the origin is away: who waits would
 * have to wait for that, and can go on when the block has its holders (R9).
 */
static bool gives_way(struct circle_heal_op *op)
{
	return time_after(jiffies, op->begun + PATIENCE) && circle_lease_ok(op->node) &&
	       !READ_ONCE(op->node->origin_bad) && circle_range_contended(&op->range);
}

/*
 * Before the last part: a device that dropped what was read is to say so now. And before a revival:
 * a restart may take a tag in our journal, and the peer's, which is the same, for the same content;
 * but if somebody holds the block, that copy is believed instead of what is lost.
 */
static bool flush_first(struct circle_heal_op *op)
{
	return circle_cache_flush(op->node) && still_good(op);
}

static enum outcome copy(struct circle_heal_op *op)
{
	const struct circle_geom *g = &op->node->geom;
	u32 limit = circle_block_limit(op->node, op->range.block), from, to;
	enum outcome got = NOTHING;
	u64 left = op->dirty;
	bool set;

	while (left) {
		from = __ffs64(left) << g->page_shift;
		to = min(circle_pages_run(g, left, from, limit, &set), from + CIRCLE_HEAL_CHUNK);
		left &= ~circle_pages_touched(g, from, to - from);
		if (!circle_heal_wanted(op->node) || gives_way(op) || !read_part(op, from, to) ||
		    (!left && !flush_first(op))) {
			take_back(op);
			return NOTHING;
		}
		got = judge(op, send(op, from, to, !left), !left);
		if (got != HOLDS)
			return got;
	}
	return got;
}

/* True: that is it. False: its data are to be sent. */
static bool revived(struct circle_heal_op *op, enum outcome *got)
{
	const struct circle_frame *ans = &op->call.answer;
	int err;

	memset(&op->call, 0, sizeof(op->call));
	err = ask(op, CIRCLE_WT_REVIVE, op->dirty);
	if (!err)
		circle_peer_keeps(op->peer, ans->pages, ans->status == CIRCLE_WS_OK);
	if (!err && ans->status == CIRCLE_WS_NOT_FOUND)
		return false;
	*got = judge(op, err, true);
	op->sent = *got == HOLDS;
	return true;
}

/* The block is still ours: whom it is to be sent to, if it could not be revived. */
static bool choose_again(struct circle_heal_op *op)
{
	struct circle_shard *sh = op->range.shard;
	bool got;

	op->copy = true;
	spin_lock_irq(&sh->lock);
	got = __to_be_copied(op->node, op->slot) && __prepare(op);
	spin_unlock_irq(&sh->lock);
	return got;
}

static enum outcome bring(struct circle_heal_op *op)
{
	enum outcome got;

	if (op->revive) {
		if (!op->held && !flush_first(op))
			return NOTHING;
		if (revived(op, &got))
			return got;
		if (!choose_again(op))
			return NOTHING;
	}
	return copy(op);
}

/* It counts for the next FLUSH before it counts as a holder. */
static void note_undurable(struct circle_heal_op *op)
{
	if (op->call.answer.flags & CIRCLE_WF_DURABLE)
		return;
	spin_lock_irq(&op->peer->lock);
	op->peer->undurable++;
	spin_unlock_irq(&op->peer->lock);
}

/*
 * shard->lock held. A peer of this turn that is in the view has not left it since. MAY_HOLD: it is
 * not READY any more (circle_peer_down()), so that no label counts it as one that has the block.
 * Under circle->lock, as in replicate.c: strike_off() takes a glance at the bit without the shard's
 * lock, after the view has changed.
 */
static bool __make_holder(struct circle_heal_op *op)
{
	struct circle_circle *c = op->node->circle;
	bool there;

	spin_lock(&c->lock);
	spin_lock(&op->peer->lock);
	there = (c->view >> op->peer->nr & 1) && op->peer->turn == op->turn;
	spin_unlock(&op->peer->lock);
	if (there)
		op->node->slots->slot[op->slot].holders |= 1u << op->peer->nr;
	spin_unlock(&c->lock);
	return there;
}

/* The block is given back. True: the peer holds it. */
static bool end(struct circle_heal_op *op, enum outcome got)
{
	struct circle_node *node = op->node;
	struct circle_shard *sh = op->range.shard;
	bool holds = false, clean;
	LIST_HEAD(wake);

	/* It would be asked first, and believed; so it may, if it does not come from here. */
	if (got == HOLDS && !op->revive && !still_good(op))
		got = take_back(op) ? NOTHING : MAY_HOLD;
	if (got == HOLDS)
		note_undurable(op);
	else if (got == MAY_HOLD)
		circle_peer_down(op->peer, op->turn);
	spin_lock_irq(&sh->lock);
	if (got != NOTHING)
		holds = __make_holder(op) && got == HOLDS;
	clean = !circle_slot_dirty(node->slots, op->slot);	/* a batch was settled meanwhile */
	__circle_range_unlock(&op->range, &wake);
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (clean)
		circle_release_block(node, op->range.block);
	if (holds)
		circle_stat_add(node->stats, CIRCLE_STAT_HEALED, 1);
	if (holds && op->revive)
		circle_stat_add(node->stats, CIRCLE_STAT_REVIVED, 1);
	return holds;
}

bool circle_heal_copy(struct circle_heal_op *op, u64 block)
{
	return begin(op, block) && end(op, bring(op));
}
