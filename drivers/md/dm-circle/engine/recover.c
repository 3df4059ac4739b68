// SPDX-License-Identifier: GPL-2.0-only
/*
 * recover: what is dirty of this set, wherever it is, goes to the origin before anything is served
 * (R6): lists from all peers of the view that can be reached and the own SSD; the copies that the
 * verdict believes; for each block the one with the highest tag; origin FLUSH; then all copies are
 * dropped. A crash at any point just starts it again: nothing is dropped before all is drained.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include "../core/recover.h"
#include "../log.h"
#include "activate.h"
#include "steward.h"

#define LIST_BYTES	(1024 * sizeof(struct circle_wire_item))
#define CHUNK_SECTORS	256

struct recovery {
	struct circle_node *node;
	struct circle_copy *copy;
	u32 nr, room;
	enum circle_verdict verdict;
	u32 counted;			/* peers that the verdict counts on */
	u64 instance[CIRCLE_MAX_PEERS];	/* which they were then */
	u32 before;			/* copies that others listed */
	void *buf;			/* LIST_BYTES or CHUNK_SECTORS, kmalloc'ed */
	u64 blocks, pages, from_peers;
};

static int add(struct recovery *r, const struct circle_copy *copy)
{
	if (r->nr == r->room) {
		u32 room = r->room ? r->room * 2 : 4096;
		struct circle_copy *more = vmalloc(array_size(room, sizeof(*more)));

		if (!more)
			return -ENOMEM;
		if (r->nr)
			memcpy(more, r->copy, r->nr * sizeof(*more));
		vfree(r->copy);
		r->copy = more;
		r->room = room;
	}
	r->copy[r->nr++] = *copy;
	return 0;
}

static bool reachable(const struct circle_peer *p)
{
	return READ_ONCE(p->state) >= CIRCLE_PEER_UP;
}

/* Still the one that the verdict counted on? */
static bool as_judged(const struct recovery *r, const struct circle_peer *p)
{
	return reachable(p) && READ_ONCE(p->instance) == r->instance[p->nr];
}

/* One page of a peer's list; *cursor U64_MAX at its end. */
static int list_page(struct recovery *r, struct circle_peer *p, struct circle_call *call,
		     u64 *cursor)
{
	u64 nr_blocks = r->node->nr_blocks;
	struct circle_item item;
	u32 i, n;
	int err;

	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_LIST;
	call->msg.f.block = *cursor;
	call->rx.buf = r->buf;
	call->rx_len = LIST_BYTES;
	err = circle_call_wait(p, call);
	if (err || call->answer.status)
		return err ?: -EREMOTEIO;
	n = call->answer.length / sizeof(struct circle_wire_item);
	for (i = 0; i < n; i++) {
		struct circle_copy copy = { .from = p->nr };

		circle_item_decode((char *)r->buf + i * sizeof(struct circle_wire_item), &item);
		if (item.block >= nr_blocks || (item.pages & ~r->node->geom.all) || !item.pages ||
		    item.gen > r->node->gen)
			return -EPROTO;
		copy.block = item.block;
		copy.seq = item.seq;
		copy.gen = item.gen;
		copy.pages = item.pages;
		copy.believed = r->instance[p->nr] == p->counted ||
				(r->verdict == CIRCLE_WEAK &&
				 (r->node->conf.force ||
				  circle_same_store(r->instance[p->nr], p->counted)));
		err = add(r, &copy);
		if (err)
			return err;
	}
	if (call->answer.seq <= *cursor || r->nr - r->before > nr_blocks ||
	    (call->answer.seq != U64_MAX && call->answer.seq > CIRCLE_MAX_SLOTS))
		return -EPROTO;
	*cursor = call->answer.seq;
	return 0;
}

static int list_peer(struct recovery *r, struct circle_peer *p)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_KERNEL);
	u64 cursor = 0;
	int err = call ? 0 : -ENOMEM;

	r->before = r->nr;
	while (!err && cursor != U64_MAX)
		err = fatal_signal_pending(current) ? -EINTR : list_page(r, p, call, &cursor);
	kfree(call);
	if (err)
		CIRCLE_ERR("recovery: peer %u did not give its list (%d)", p->id, err);
	return err;
}

static int list_ssd(struct recovery *r)
{
	struct circle_slots *s = r->node->slots;
	struct circle_circle *c = r->node->circle;
	bool believed = r->verdict == CIRCLE_WEAK && c->start == CIRCLE_START_RESTART &&
			(c->found.flags & (CIRCLE_LBF_SSD | CIRCLE_LBF_VOID));	/* by force */
	int err = 0;
	u32 n;

	for (n = 0; n < s->nr && !err; n++) {
		struct circle_slot *sl = &s->slot[n];
		struct circle_copy copy = {
			.block = circle_slot_block(sl), .seq = circle_slot_seq(sl), .gen = sl->gen,
			.pages = circle_slot_dirty(s, n),
			.from = CIRCLE_FROM_SSD, .believed = believed,
		};

		/* What is lost stays so, whoever may have older versions of it. */
		if (!sl->owner && copy.pages && !(sl->flags & CIRCLE_SLOT_LOST))
			err = add(r, &copy);
	}
	return err;
}

/* What is known of the label's view; no r: from hellos alone, before anybody is told. */
static void gather(struct circle_node *node, const struct recovery *r,
		   struct circle_evidence *e)
{
	struct circle_circle *c = node->circle;
	const struct circle_label *l = &c->found;
	unsigned int i;

	e->floor = l->floor;
	e->unreachable = 0;
	e->restarted = 0;
	e->ssd = (l->flags & CIRCLE_LBF_SSD) && c->start == CIRCLE_START_RESTART;
	e->weak = l->flags & CIRCLE_LBF_WEAK;
	e->empty = c->start == CIRCLE_START_FRESH ||
		   (!c->old_view && (l->flags & CIRCLE_LBF_EMPTY));
	for (i = 0; i < c->nr_peers; i++) {
		const struct circle_peer *p = &c->peer[i];

		if (!(c->old_view >> i & 1))
			continue;
		if (r ? !(r->counted >> i & 1) : !READ_ONCE(p->greeted)) {
			CIRCLE_WARN("recovery: peer %u of the view cannot be reached", p->id);
			e->unreachable++;
		} else if (!circle_same_store(r ? r->instance[i] : p->instance, p->counted)) {
			CIRCLE_WARN("recovery: peer %u has not all that it had: its metadata are new, or it lost a replica to its disk",
				    p->id);
			e->unreachable++;
		} else if ((r ? r->instance[i] : p->instance) != p->counted) {
			CIRCLE_WARN("recovery: peer %u has restarted", p->id);
			e->restarted++;
		}
	}
}

static int judge(struct circle_node *node, const struct recovery *r,
		 enum circle_verdict *verdict)
{
	struct circle_evidence e;

	gather(node, r, &e);
	*verdict = circle_recover_judge(&e);
	if (*verdict != CIRCLE_REFUSED)
		return 0;
	if (node->conf.force) {
		CIRCLE_WARN("recovery forced: completed writes may be lost");
		*verdict = CIRCLE_WEAK;
		return 0;
	}
	CIRCLE_ERR("recovery refused: each dirty page has %u holders at least, but %u peers of the view cannot be reached or have not all, and %u restarted: completed writes may be missing. Bring them back, or say force",
		   e.floor, e.unreachable, e.restarted);
	return -ENODATA;
}

/* Reachability is looked at once: verdict and lists must mean the same peers. */
static void count_on(struct recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		if (!(c->old_view >> i & 1) || !reachable(&c->peer[i]))
			continue;
		r->counted |= 1u << i;
		r->instance[i] = READ_ONCE(c->peer[i].instance);
	}
}

int circle_recover_check(struct circle_node *node)
{
	enum circle_verdict verdict;

	return judge(node, NULL, &verdict);
}

static int still_ours(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (time_before(jiffies + msecs_to_jiffies(CIRCLE_LEASE_MS / 2), c->lease_until))
		return 0;
	return circle_label_look(node);
}

static int fetch(struct recovery *r, const struct circle_copy *copy, u32 from, u32 to,
		 struct circle_call *call)
{
	struct circle_peer *p = &r->node->circle->peer[copy->from];
	int err;

	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_FETCH;
	call->msg.f.block = copy->block;
	call->msg.f.seq = copy->seq;
	call->msg.f.pages = circle_pages_touched(&r->node->geom, from, to - from);
	call->msg.f.sector = from;
	call->msg.f.sectors = to - from;
	call->rx.buf = r->buf;
	call->rx_len = CHUNK_SECTORS << SECTOR_SHIFT;
	err = circle_call_wait(p, call);
	if (!err && call->answer.status)
		err = -ENODATA;
	else if (!err && (call->answer.seq != copy->seq ||
			  call->answer.length != (to - from) << SECTOR_SHIFT))
		err = -EREMOTEIO;
	return err;
}

/* Sectors [from, to) of a block, from its copy to the origin. -ENODATA: the copy cannot be read. */
static int drain_run(struct recovery *r, const struct circle_copy *copy, u32 from, u32 to,
		     struct circle_call *call)
{
	struct circle_node *node = r->node;
	u32 slot, end;
	int err = 0;

	for (; from < to && !err; from = end) {
		end = min(to, from + CHUNK_SECTORS);
		if (copy->from != CIRCLE_FROM_SSD) {
			err = fetch(r, copy, from, end, call);
		} else {
			struct circle_shard *sh = circle_shard_of(node->slots, 0, copy->block);

			spin_lock_irq(&sh->lock);
			slot = __circle_slot_find(node->slots, sh, 0, copy->block);
			spin_unlock_irq(&sh->lock);
			err = circle_bdev_rw(node->meta->io, node->cache, REQ_OP_READ,
					     circle_slot_sector(node, slot, from), r->buf,
					     end - from);
			if (err)
				return -ENODATA;
		}
		if (!err)
			err = still_ours(node);
		if (!err)
			err = circle_bdev_rw(node->meta->io, node->origin, REQ_OP_WRITE,
					     circle_block_sector(node, copy->block, from), r->buf,
					     end - from);
	}
	return err;
}

static int drain_copy(struct recovery *r, const struct circle_copy *copy, struct circle_call *call)
{
	const struct circle_geom *g = &r->node->geom;
	u32 limit = circle_block_limit(r->node, copy->block), pos, stop;
	int err = 0;
	bool set;

	for (pos = 0; pos < limit && !err; pos = stop) {
		stop = circle_pages_run(g, copy->pages, pos, limit, &set);
		if (set)
			err = drain_run(r, copy, pos, stop, call);
	}
	r->blocks++;
	r->pages += hweight64(copy->pages);
	r->from_peers += copy->from != CIRCLE_FROM_SSD;
	return err;
}

/* Can it be said of the block that a part of it is lost? Then reads of that fail (P4). */
static bool may_say_lost(struct circle_node *node, u64 block)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	bool yes;

	spin_lock_irq(&sh->lock);
	yes = __circle_slot_find(node->slots, sh, 0, block) != CIRCLE_NO_SLOT;
	spin_unlock_irq(&sh->lock);
	return yes;
}

static int lose(struct recovery *r, struct circle_copy *won, u64 lost)
{
	const char *how = "they read as errors until overwritten";
	u32 missing = r->node->circle->old_view & ~r->counted;

	if (r->verdict == CIRCLE_COMPLETE)
		return -ENODATA;	/* the others are to be asked */
	if (missing && !r->node->conf.force) {
		CIRCLE_ERR("recovery: pages %#llx of block %llu cannot be read, and %u peers of the view cannot be reached: bring them back, or say force to give the pages up",
			   lost, won->block, hweight32(missing));
		return -EIO;
	}
	if (!may_say_lost(r->node, won->block)) {
		if (!r->node->conf.force) {
			CIRCLE_ERR("recovery: pages %#llx of block %llu cannot be read from any peer: bring back another holder, or say force to give them up",
				   lost, won->block);
			return -EIO;
		}
		how = "given up by force, the origin keeps what it has";
	}
	CIRCLE_ERR("recovery: pages %#llx of block %llu (at sector %llu) are lost: %s", lost,
		   won->block, circle_block_sector(r->node, won->block, 0), how);
	won->lost = lost;
	return 0;
}

/*
 * The winner cannot all be read. Each of its pages comes from the first copy behind it that has it
 * and is believed: a copy that is believed has all that the verdict calls complete.
 */
static int drain_pages(struct recovery *r, struct circle_copy *won, struct circle_call *call)
{
	const struct circle_geom *g = &r->node->geom;
	u32 limit = circle_block_limit(r->node, won->block), page, from, to;
	const struct circle_copy *c, *end = r->copy + r->nr;
	u64 lost = 0;
	int err = 0;

	for (page = 0; page < g->nr_pages && !err; page++) {
		if (!(won->pages >> page & 1))
			continue;
		from = page << g->page_shift;
		to = min(from + g->page_sectors, limit);
		err = -ENODATA;
		for (c = won; err == -ENODATA && c < end && c->block == won->block; c++)
			if (c->believed && (c->pages >> page & 1))
				err = drain_run(r, c, from, to, call);
		if (err != -ENODATA)
			continue;
		lost |= 1ull << page;
		err = 0;
	}
	return !err && lost ? lose(r, won, lost) : err;
}

/* copy[i] wins its block. */
static int drain_block(struct recovery *r, u32 i, struct circle_call *call)
{
	struct circle_copy *won = &r->copy[i];
	int err = drain_copy(r, won, call);

	if (err == -ENODATA)
		err = drain_pages(r, won, call);
	if (err)
		CIRCLE_ERR("recovery: block %llu could not be drained (%d)", won->block, err);
	return err;
}

/* What is lost stays dirty; a slot that has it already stays as it is. */
static void drop_slot(struct circle_node *node, u64 block, u64 lost)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(node->slots, sh, 0, block);
	if (n != CIRCLE_NO_SLOT && !(node->slots->slot[n].flags & CIRCLE_SLOT_LOST)) {
		if (lost)
			__circle_slot_lose(node->slots, sh, n, lost);
		else
			__circle_slot_unmap(node->slots, sh, n);
	}
	spin_unlock_irq(&sh->lock);
}

/* Millions take seconds. */
static int order(const void *a, const void *b, const void *priv)
{
	u32 *calls = (u32 *)priv;

	if (!(++*calls & 0xffff))
		cond_resched();
	return circle_copy_order(a, b);
}

/* The winner of each block to the origin, if it is believed. */
static int drain(struct recovery *r)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_KERNEL);
	int err = call ? 0 : -ENOMEM;
	u32 i, calls = 0;

	sort_r(r->copy, r->nr, sizeof(*r->copy), order, NULL, &calls);
	for (i = 0; i < r->nr && !err; i++)
		if ((!i || r->copy[i].block != r->copy[i - 1].block) && r->copy[i].believed)
			err = drain_block(r, i, call);
	kfree(call);
	if (!err)
		err = circle_bdev_flush(r->node->origin);
	return err;
}

/* Every copy is level now, with the origin: forget them, here and at the peers. */
static int drop_all(struct recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;
	int err;
	u32 k;

	for (k = 0; k < r->nr; k++)
		if (!k || r->copy[k].block != r->copy[k - 1].block)	/* the winner */
			drop_slot(r->node, r->copy[k].block, r->copy[k].lost);
	err = circle_meta_commit(r->node->meta, true);
	for (i = 0; i < c->nr_peers && !err; i++)
		if (reachable(&c->peer[i]) &&
		    circle_peer_release_all(&c->peer[i]))
			CIRCLE_WARN("recovery: peer %u did not drop its replicas; it will before it counts again",
				    c->peer[i].id);
	return err;
}

static int collect(struct recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;
	int err;

	c->label.state = CIRCLE_LS_RECOVERING;
	if (r->verdict == CIRCLE_WEAK)
		c->label.flags |= CIRCLE_LBF_WEAK;
	err = circle_label_store(r->node);
	for (i = 0; i < c->nr_peers && !err; i++)
		if (r->counted >> i & 1)
			err = list_peer(r, &c->peer[i]);
	for (i = 0; i < c->nr_peers && !err; i++)
		if ((r->counted >> i & 1) && !as_judged(r, &c->peer[i]))
			err = -EAGAIN;
	if (err == -EAGAIN)
		CIRCLE_ERR("recovery: a peer went away or restarted meanwhile; start again");
	return err ?: list_ssd(r);
}

int circle_recover(struct circle_node *node)
{
	struct recovery r = { .node = node };
	int err;

	count_on(&r);
	err = judge(node, &r, &r.verdict);
	if (err)
		return err;
	r.buf = kmalloc(max_t(size_t, LIST_BYTES, CHUNK_SECTORS << SECTOR_SHIFT), GFP_KERNEL);
	if (!r.buf)
		return -ENOMEM;
	err = collect(&r);
	if (!err)
		err = drain(&r);
	if (err == -ENODATA && r.verdict == CIRCLE_COMPLETE) {
		CIRCLE_WARN("recovery: a peer that is believed cannot read all: going on with all copies");
		r.verdict = CIRCLE_WEAK;
		r.nr = 0;
		r.blocks = 0;
		r.pages = 0;
		r.from_peers = 0;
		err = collect(&r);
		if (!err)
			err = drain(&r);
	}
	if (!err)
		err = drop_all(&r);
	if (!err && r.nr)
		CIRCLE_INFO("recovery %s: %llu blocks (%llu from peers), %llu pages drained to the origin",
			    r.verdict == CIRCLE_COMPLETE ? "complete" : "complete up to the last FLUSH",
			    r.blocks, r.from_peers, r.pages);
	vfree(r.copy);
	kfree(r.buf);
	return err;
}
