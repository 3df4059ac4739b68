// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_io: a replica's data: REPLICATE stores them, FETCH reads them back. A request holds its
 * page range from before the slot is looked up until its I/O is over (R10, R11), so nobody takes
 * the slot away meanwhile: whoever unmaps holds the whole block.
 *
 * It must never let a replica exist that lacks a page which its owner believes to be in it:
 * - a slot is FILLING (not listed, not on disk) until the first frame without FILL is stored, and
 *   that frame waits for all before it;
 * - a replica of which a write failed is LOST: neither read, written nor listed until released;
 * - what the cache device may have dropped is given to nobody who does not know of it yet;
 * - a block that was refused is refused for a while, or until released, since the owner may have
 *   sent more of it before it heard of the refusal.
 */
#include "session.h"

#include "../log.h"
#include "away.h"
#include "circle.h"

#define SPACE_TRIES	3
#define FORGIVE_TIME	(5 * HZ)	/* above twice the time after which a peer is lost */
#define TRY_AGAIN	CIRCLE_WS_NR	/* internal: after a commit */

/* False: so many are remembered that nothing may be begun. shard->lock of any block is held. */
static bool refused(struct circle_session *s, u64 block)
{
	unsigned long flags;
	u32 i, used = 0;
	bool yes = false;

	if (!READ_ONCE(s->nr_refused))	/* the receiving thread alone adds */
		return false;
	spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < CIRCLE_SESSION_REFUSED; i++) {
		struct circle_refused *r = &s->refused[i];

		if (r->used && time_after(jiffies, r->when + FORGIVE_TIME))
			r->used = false;
		used += r->used;
		yes |= r->used && r->block == block;
	}
	WRITE_ONCE(s->nr_refused, used);
	spin_unlock_irqrestore(&s->lock, flags);
	return yes || used == CIRCLE_SESSION_REFUSED;
}

static void refuse(struct circle_session *s, u64 block)
{
	unsigned long flags;
	u32 i;

	spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < CIRCLE_SESSION_REFUSED; i++) {
		if (s->refused[i].used)
			continue;
		s->refused[i] = (struct circle_refused){ block, jiffies, true };
		WRITE_ONCE(s->nr_refused, s->nr_refused + 1);
		break;
	}
	spin_unlock_irqrestore(&s->lock, flags);
}

void circle_session_forgive(struct circle_session *s, u64 block)
{
	unsigned long flags;
	u32 i;

	spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < CIRCLE_SESSION_REFUSED; i++)
		if (block == U64_MAX || s->refused[i].block == block)
			s->refused[i].used = false;
	spin_unlock_irqrestore(&s->lock, flags);
}

static void bio_done(struct bio *bio)
{
	struct circle_req *req = bio->bi_private;

	req->err = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	circle_req_ended(req);
}

/* Process context; step runs on the queue afterwards, with req->err. */
static void submit(struct circle_req *req, blk_opf_t opf, void (*step)(struct circle_req *req))
{
	struct circle_node *node = req->s->srv->node;
	struct circle_serve_buf *buf = req->buf;
	struct bio *bio = &buf->bio;

	req->step = step;
	bio_init(bio, node->cache, buf->bv, buf->nr, opf);
	bio->bi_vcnt = buf->nr;
	bio->bi_iter.bi_size = buf->len;
	bio->bi_iter.bi_sector = circle_slot_sector(node, req->slot, req->f.sector);
	bio->bi_private = req;
	bio->bi_end_io = bio_done;
	submit_bio(bio);
}

/* The end of an origin whose length is no multiple of the sectors here: it cannot be kept. */
static bool is_odd(const struct circle_req *req)
{
	u32 mult = bdev_logical_block_size(req->s->srv->node->cache) >> SECTOR_SHIFT;

	return (req->f.sector | req->f.sectors) & (mult - 1);
}

static bool range_ok(const struct circle_geom *g, const struct circle_frame *f)
{
	return f->sector < g->block_sectors && f->sectors &&
	       f->sectors <= g->block_sectors - f->sector &&
	       f->pages == circle_pages_touched(g, f->sector, f->sectors);
}

static void unlock_and_answer(struct circle_req *req, u16 status)
{
	circle_range_unlock(&req->range);
	circle_req_answer(req, status);
}

/*
 * shard->lock held. Is this the frame that brings a replica into being, or replaces one of an
 * older generation? Then it waits for all others of the block.
 */
static bool __wants_all(struct circle_req *req, struct circle_shard *sh)
{
	struct circle_slots *slots = req->s->srv->node->slots;
	bool fill = req->f.flags & CIRCLE_WF_FILL;
	u32 n = __circle_slot_find(slots, sh, req->owner, req->f.block);

	if (n == CIRCLE_NO_SLOT)
		return !fill;
	if (slots->slot[n].gen < req->f.generation || circle_slot_parked(&slots->slot[n]))
		return true;
	return (slots->slot[n].flags & CIRCLE_SLOT_FILLING) && !fill;
}

/* Of the stock the host has the larger part to itself. */
static u32 keep(const struct circle_req *req)
{
	return req->s->srv->node->stock / 4;
}

/* shard->lock held. Is there hope that a commit or eviction brings a free slot? */
static bool __hope(struct circle_req *req)
{
	struct circle_slots *slots = req->s->srv->node->slots;

	return req->tries++ < SPACE_TRIES && circle_slots_room(slots, keep(req));
}

/*
 * shard->lock held. The limit may be passed by as many slots as there are CPUs, since it is looked
 * at without a lock that all shards share.
 */
static u16 __new_slot(struct circle_req *req, struct circle_shard *sh)
{
	struct circle_server *srv = req->s->srv;
	struct circle_node *node = srv->node;
	struct circle_slots *slots = node->slots;
	u64 block = req->f.block;
	u32 n;

	if (refused(req->s, block))
		return CIRCLE_WS_NO_SPACE;
	if (atomic_read(&slots->nr_lent) >= (int)circle_serve_limit(srv) ||
	    circle_serve_wanted(srv) || circle_reclaim_starves(node) || circle_away_left(node))
		goto no;
	n = circle_slot_pop(slots, keep(req));
	if (n == CIRCLE_NO_SLOT) {
		if (__hope(req))
			return TRY_AGAIN;
		goto no;
	}
	__circle_slot_map(slots, sh, n, req->owner, block, CIRCLE_SLOT_FILLING);
	__circle_slot_set_tag(&slots->slot[n], req->f.generation, 0);
	req->slot = n;
	return CIRCLE_WS_OK;
no:
	refuse(req->s, block);
	return CIRCLE_WS_NO_SPACE;
}

/*
 * shard->lock held. A rightful owner releases its older replicas first; one that does not gets a
 * new slot, as the old one's data must not be overwritten under the old tag.
 */
static u16 __replace(struct circle_req *req, struct circle_shard *sh, u32 n)
{
	struct circle_node *node = req->s->srv->node;

	if (req->range.mask != ~0ull)
		return CIRCLE_WS_IO;
	CIRCLE_WARN_LIMIT("node %u: block %llu is written over a replica of an older generation",
			  req->s->node_id, req->f.block);
	__circle_slot_unmap(node->slots, sh, n);
	return __new_slot(req, sh);
}

/*
 * shard->lock held. What is parked has no part in the new replica. We have the whole block: whoever
 * parks has it too, so it was parked before we queued for it.
 */
static u16 __anew(struct circle_req *req, struct circle_shard *sh, u32 n)
{
	if (WARN_ON_ONCE(req->range.mask != ~0ull))
		return CIRCLE_WS_IO;
	__circle_slot_unmap(req->s->srv->node->slots, sh, n);
	return __new_slot(req, sh);
}

/*
 * What was let in is carried out, also if another owner's FENCE waits for it: were one frame of two
 * refused, the other would be a replica with a hole.
 */
static u16 take_slot(struct circle_req *req)
{
	struct circle_slots *slots = req->s->srv->node->slots;
	struct circle_shard *sh = req->range.shard;
	u16 status = CIRCLE_WS_OK;
	struct circle_slot *sl;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(slots, sh, req->owner, req->f.block);
	sl = n == CIRCLE_NO_SLOT ? NULL : &slots->slot[n];
	req->slot = n;
	if (!sl)
		status = __new_slot(req, sh);
	else if (circle_slot_parked(sl))
		status = __anew(req, sh, n);
	else if (sl->gen < req->f.generation)
		status = __replace(req, sh, n);
	else if (sl->gen > req->f.generation)
		status = CIRCLE_WS_FENCED;
	else if (sl->flags & CIRCLE_SLOT_LOST)
		status = CIRCLE_WS_IO;
	spin_unlock_irq(&sh->lock);
	return status;
}

/* shard->lock held. The replica is not whole any more: it does not exist for anybody. */
static void __lose(struct circle_req *req, struct circle_shard *sh)
{
	struct circle_slots *slots = req->s->srv->node->slots;
	struct circle_slot *sl = &slots->slot[req->slot];
	u64 valid = circle_slot_valid(slots, req->slot) & ~req->f.pages;

	sl->flags |= CIRCLE_SLOT_FILLING | CIRCLE_SLOT_LOST;
	__circle_slot_set(slots, sh, req->slot, valid, valid);
	circle_slot_changed(slots, req->slot);
	__circle_serve_stamp(req->s->srv, req->slot);
}

/* shard->lock held. True: it was durable before this frame, and this frame's data are. */
static bool __store(struct circle_req *req, struct circle_shard *sh)
{
	struct circle_server *srv = req->s->srv;
	struct circle_slots *slots = srv->node->slots;
	struct circle_slot *sl = &slots->slot[req->slot];
	struct circle_tag old = circle_slot_tag(sl), new = { req->f.generation, req->f.seq };
	bool safe = !bdev_write_cache(srv->node->cache);
	bool fill = req->f.flags & CIRCLE_WF_FILL;
	u64 had = circle_slot_valid(slots, req->slot), valid = had | req->f.pages;
	bool same = valid == had;

	__circle_slot_set(slots, sh, req->slot, valid, valid);
	if (!fill && circle_tag_cmp(old, new) < 0) {
		__circle_slot_set_tag(sl, sl->gen, req->f.seq);
		sl->flags |= CIRCLE_SLOT_TAGGED;
	}
	if (!fill && (sl->flags & CIRCLE_SLOT_FILLING) && !(sl->flags & CIRCLE_SLOT_LOST)) {
		sl->flags &= ~CIRCLE_SLOT_FILLING;
		circle_slot_changed(slots, req->slot);
		same = false;
	}
	if (!same || !safe)
		__circle_serve_stamp(srv, req->slot);
	return same && safe && !(sl->flags & CIRCLE_SLOT_FILLING) &&
	       !test_bit(req->slot, slots->changed) && __circle_serve_durable(srv, req->slot);
}

static void stored(struct circle_req *req)
{
	struct circle_server *srv = req->s->srv;
	struct circle_node *node = srv->node;
	struct circle_shard *sh = req->range.shard;
	LIST_HEAD(wake);
	bool bad;

	if (req->err)	/* before a commit can say that the replica is not there */
		circle_meta_renounce(node->meta);
	spin_lock_irq(&sh->lock);
	if (req->err)
		__lose(req, sh);
	else if (__store(req, sh))
		req->msg.f.flags |= CIRCLE_WF_DURABLE;
	bad = node->slots->slot[req->slot].flags & CIRCLE_SLOT_LOST;
	__circle_range_unlock(&req->range, &wake);
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	if (req->err) {
		CIRCLE_WARN_LIMIT("a replica of node %u could not be written (%d)", req->s->node_id,
				  req->err);
		circle_commit_kick(node);
		circle_serve_renounce(req->s->srv);
	}
	bad |= circle_session_doubted(req->s);
	if (!bad)
		circle_stat_add(node->stats, CIRCLE_STAT_SERVED, 1);
	circle_req_answer(req, bad ? CIRCLE_WS_IO : CIRCLE_WS_OK);
}

static void replicate_step(struct circle_req *req);

/*
 * The reclaimer may not run before the commit, and does not at all while we are suspended. But
 * before we are the owner, a recovery of our own relies on what is there.
 */
static void make_space(struct circle_req *req)
{
	struct circle_node *node = req->s->srv->node;

	/* pairs with circle_activate() */
	if (smp_load_acquire(&node->circle->role) == CIRCLE_ROLE_OWNER)
		circle_reclaim_one(node, false);
	else
		circle_reclaim_parked(node);
	circle_serve_commit(req, false, replicate_step);
}

static void replicate_step(struct circle_req *req)
{
	struct circle_node *node = req->s->srv->node;
	u16 status = CIRCLE_WS_IO;

	if (!READ_ONCE(node->meta->failed) && !circle_meta_data_bad(node->meta))
		status = take_slot(req);
	circle_reclaim_kick(node);
	if (status == CIRCLE_WS_OK)
		submit(req, REQ_OP_WRITE | REQ_SYNC, stored);
	else if (status == TRY_AGAIN)
		make_space(req);
	else
		unlock_and_answer(req, status);
}

void circle_serve_replicate(struct circle_req *req)
{
	struct circle_node *node = req->s->srv->node;
	const struct circle_geom *g = &node->geom;
	struct circle_shard *sh;
	bool got;

	if (!range_ok(g, &req->f) || req->f.sector & (g->page_sectors - 1) ||
	    req->f.block > CIRCLE_MAX_BLOCK || req->f.seq > CIRCLE_MAX_SEQ) {
		circle_req_bad(req);
		return;
	}
	if (!circle_set_enter(req)) {
		circle_req_answer(req, CIRCLE_WS_FENCED);
		return;
	}
	if (is_odd(req)) {
		refuse(req->s, req->f.block);
		circle_req_answer(req, CIRCLE_WS_NO_SPACE);
		return;
	}
	req->step = replicate_step;
	req->range.owner = req->owner;
	req->range.block = req->f.block;
	req->range.excl = true;
	req->range.grant = circle_serve_granted;
	sh = circle_shard_of(node->slots, req->owner, req->f.block);
	spin_lock_irq(&sh->lock);
	req->range.mask = __wants_all(req, sh) ? ~0ull : req->f.pages;
	got = __circle_range_lock(node->slots, &req->range, false);
	spin_unlock_irq(&sh->lock);
	if (got)
		replicate_step(req);
}

static void fetched(struct circle_req *req)
{
	if (circle_session_doubted(req->s)) {	/* it is to ask again, and of another instance */
		circle_conn_close(req->s->conn, -ESHUTDOWN);
		req->err = -EIO;
	}
	if (req->err) {
		unlock_and_answer(req, CIRCLE_WS_IO);
		return;
	}
	req->msg.bv = req->buf->bv;
	req->msg.nr_bv = req->buf->nr;
	unlock_and_answer(req, CIRCLE_WS_OK);
}

static void fetch_step(struct circle_req *req)
{
	const u16 hidden = CIRCLE_SLOT_FILLING | CIRCLE_SLOT_LOST;
	struct circle_slots *slots = req->s->srv->node->slots;
	struct circle_shard *sh = req->range.shard;
	struct circle_slot *sl;
	bool there;

	spin_lock_irq(&sh->lock);
	req->slot = __circle_slot_find(slots, sh, req->owner, req->f.block);
	there = req->slot != CIRCLE_NO_SLOT;
	if (there) {
		sl = &slots->slot[req->slot];
		there = !(sl->flags & hidden) &&
			!(req->f.pages & ~circle_slot_valid(slots, req->slot));
		req->msg.f.generation = sl->gen;
		req->msg.f.seq = circle_slot_seq(sl);
	}
	spin_unlock_irq(&sh->lock);
	if (there)
		submit(req, REQ_OP_READ, fetched);
	else
		unlock_and_answer(req, CIRCLE_WS_NOT_FOUND);
}

void circle_serve_fetch(struct circle_req *req)
{
	if (!range_ok(&req->s->srv->node->geom, &req->f)) {
		circle_req_bad(req);
		return;
	}
	req->owner = req->s->owner;
	if (!req->owner || is_odd(req)) {
		circle_req_answer(req, CIRCLE_WS_NOT_FOUND);
		return;
	}
	req->buf = circle_serve_buf_get(req->s, req->f.sectors << CIRCLE_SECTOR_SHIFT);
	if (!req->buf) {
		circle_req_answer(req, CIRCLE_WS_IO);
		return;
	}
	circle_serve_range(req, req->f.pages, false, fetch_step);
}
