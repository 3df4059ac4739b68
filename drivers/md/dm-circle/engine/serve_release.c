// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_release: RELEASE, of pages of one block or of everything old, and FLUSH. An answer OK says
 * that it is durable (R4). It must never drop what is newer than the tag that was named.
 *
 * A release takes the whole block, not only its pages: it may unmap the slot, under which nobody's
 * I/O may be. It keeps it until its commit, so that nothing is stored between drop and answer.
 */
#include "session.h"

#include <linux/delay.h>
#include "repair.h"

#define BUSY_PAUSE_MS	10
#define BUSY_TRIES	300	/* a block that is busy for longer: the device hangs */

static bool named(const struct circle_frame *f, const struct circle_slot *sl)
{
	struct circle_tag have = circle_slot_tag(sl), limit = { f->generation, f->seq };

	if (f->flags & CIRCLE_WF_ALL_GENS)
		return sl->gen <= f->generation;
	return circle_tag_cmp(have, limit) <= 0;
}

/*
 * shard->lock and the whole block held. A place that could not be written is not used again, or the
 * next one who gets it has everybody's replicas thrown away once more.
 */
static void __unmap(struct circle_server *srv, struct circle_shard *sh, u32 n)
{
	struct circle_slots *slots = srv->node->slots;

	if (!(slots->slot[n].flags & CIRCLE_SLOT_LOST) ||
	    !__circle_slot_give_up(srv->node, sh, n))
		__circle_slot_unmap(slots, sh, n);
}

/* shard->lock and the whole block held. What is not there for anybody goes as a whole. */
static void __drop(struct circle_server *srv, struct circle_shard *sh, u32 n, u64 pages)
{
	struct circle_slots *slots = srv->node->slots;
	u64 valid = circle_slot_valid(slots, n), left = valid & ~pages;

	if (!left || (slots->slot[n].flags & CIRCLE_SLOT_LOST) ||
	    circle_slot_parked(&slots->slot[n])) {
		__unmap(srv, sh, n);
		return;
	}
	if (left == valid)
		return;
	__circle_slot_set(slots, sh, n, left, left);
	__circle_serve_stamp(srv, n);
}

static void released(struct circle_req *req)
{
	circle_range_unlock(&req->range);
	circle_req_answer(req, req->err ? CIRCLE_WS_IO : CIRCLE_WS_OK);
}

/* Status; held: what is left afterwards. */
static u16 drop(struct circle_req *req, u64 *held)
{
	struct circle_server *srv = req->s->srv;
	struct circle_slots *slots = srv->node->slots;
	struct circle_shard *sh = req->range.shard;
	u16 status = CIRCLE_WS_OK;
	u32 n;

	*held = 0;
	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(slots, sh, req->owner, req->f.block);
	if (!circle_set_current(req)) {
		status = CIRCLE_WS_FENCED;
	} else if (n != CIRCLE_NO_SLOT) {
		if (named(&req->f, &slots->slot[n]))
			__drop(srv, sh, n, req->f.pages);
		else
			status = CIRCLE_WS_NEWER;
		*held = circle_slot_valid(slots, n);	/* of a slot that was unmapped: 0 */
	}
	spin_unlock_irq(&sh->lock);
	return status;
}

static void release_step(struct circle_req *req)
{
	u16 status = drop(req, &req->msg.f.pages);

	if (status == CIRCLE_WS_OK) {
		circle_session_forgive(req->s, req->f.block);
		circle_serve_commit(req, false, released);
		return;
	}
	circle_range_unlock(&req->range);
	circle_req_answer(req, status);
}

/* False: the block is busy. */
static bool drop_slot(struct circle_req *req, u32 n)
{
	struct circle_server *srv = req->s->srv;
	struct circle_slots *slots = srv->node->slots;
	struct circle_slot *sl = &slots->slot[n];
	struct circle_range range = { .owner = req->owner, .mask = ~0ull, .excl = true };
	struct circle_shard *sh;
	unsigned long flags;
	bool got = true;
	LIST_HEAD(wake);

	if (READ_ONCE(sl->owner) != req->owner)
		return true;
	if (!circle_slot_lock(slots, n, &sh, &flags))
		return true;
	range.block = circle_slot_block(sl);
	if (sl->owner == range.owner && sl->gen <= req->f.generation) {
		got = __circle_range_lock(slots, &range, true);
		if (got) {
			if (!__circle_serve_park(req, sh, n))
				__unmap(srv, sh, n);
			__circle_range_unlock(&range, &wake);
		}
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	circle_range_wake(&wake);
	return got;
}

/* False: some were busy. */
static bool drop_all(struct circle_req *req)
{
	u32 n, nr = req->s->srv->node->slots->nr;
	bool all = true;

	for (n = 0; n < nr; n++) {
		all &= drop_slot(req, n);
		if (!(n & 0xfff))
			cond_resched();
	}
	return all;
}

static void all_released(struct circle_req *req)
{
	if (req->f.flags & CIRCLE_WF_KEEP)
		req->msg.f.pages = circle_serve_parked(req);
	circle_req_answer(req, req->err ? CIRCLE_WS_IO : CIRCLE_WS_OK);
}

/* Runs on the queue: many slots to look at. */
static void release_all_step(struct circle_req *req)
{
	unsigned int tries;

	req->msg.f.pages = 0;
	for (tries = 0; !drop_all(req); tries++) {
		if (!circle_set_current(req)) {
			circle_req_answer(req, CIRCLE_WS_FENCED);
			return;
		}
		if (tries == BUSY_TRIES || circle_conn_closing(req->s->conn)) {
			circle_req_answer(req, CIRCLE_WS_BUSY);
			return;
		}
		msleep(BUSY_PAUSE_MS);
	}
	circle_session_forgive(req->s, U64_MAX);
	circle_serve_commit(req, false, all_released);
}

void circle_serve_release(struct circle_req *req)
{
	const struct circle_geom *g = &req->s->srv->node->geom;
	bool all = req->f.block == U64_MAX;

	req->f.pages &= g->all;
	if (all ? !(req->f.flags & CIRCLE_WF_ALL_GENS) :
		  !req->f.pages || (req->f.flags & CIRCLE_WF_KEEP)) {
		circle_req_bad(req);
		return;
	}
	if (!circle_set_enter(req))
		circle_req_answer(req, CIRCLE_WS_FENCED);
	else if (all)
		circle_serve_queue(req, release_all_step);
	else
		circle_serve_range(req, ~0ull, true, release_step);
}

static void flushed(struct circle_req *req)
{
	circle_req_answer(req, req->err ? CIRCLE_WS_IO : CIRCLE_WS_OK);
}

void circle_serve_flush(struct circle_req *req)
{
	if (!circle_set_enter(req))
		circle_req_answer(req, CIRCLE_WS_FENCED);
	else
		circle_serve_commit(req, true, flushed);
}
