// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_park: what is left of replicas that count no more, since their owner lost the connection.
 * RELEASE of all with KEEP parks them instead of dropping them; REVIVE makes one a replica again,
 * if the owner's block has the same tag, so that its data need not be sent.
 *
 * It must never keep what may lack a write that its tag covers: all that a session received is
 * carried out, in a block's order, also when its owner fences anew meanwhile
 * (circle_set_current()); a replica of which a write failed is LOST. What was loaded is kept only
 * if it is tidy, since before a crash a later write may have been stored, and its tag, without an
 * earlier one. Nor is anything once the cache device may have dropped data. And on disk nothing
 * parked exists.
 */
#include "session.h"

#include "circle.h"

u32 circle_serve_parked(const struct circle_req *req)
{
	return max(atomic_read(&req->s->srv->node->slots->parked_of[req->owner - 1]), 0);
}

/* The cache device may have dropped what it had taken. */
static bool in_doubt(const struct circle_server *srv)
{
	return READ_ONCE(srv->renounced) || circle_meta_data_bad(srv->node->meta);
}

/* shard->lock held. Is its content what its tag says, if the cache device did its part? */
static bool __trusted(const struct circle_node *node, const struct circle_slot *sl)
{
	bool loaded = !sl->holders;		/* no ticket */

	return !(sl->flags & (CIRCLE_SLOT_FILLING | CIRCLE_SLOT_LOST)) &&
	       (!loaded || node->circle->tidy);
}

/* Its tag is to be durable. False: it was not tidy when it was loaded, and is here still. */
static bool tidy_slot(struct circle_node *node, u32 n)
{
	struct circle_slot *sl = &node->slots->slot[n];
	struct circle_shard *sh;
	unsigned long flags;
	bool tidy = true;

	if (!READ_ONCE(sl->owner) || !circle_slot_lock(node->slots, n, &sh, &flags))
		return true;
	if (sl->owner && !(sl->flags & (CIRCLE_SLOT_FILLING | CIRCLE_SLOT_LOST))) {
		tidy = __trusted(node, sl);
		if (sl->flags & CIRCLE_SLOT_TAGGED)
			circle_slot_changed(node->slots, n);
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return tidy;
}

bool circle_serve_tidy(struct circle_node *node)
{
	bool tidy = true;
	u32 n;

	for (n = 0; n < node->slots->nr; n++) {
		tidy &= tidy_slot(node, n);
		if (!(n & 0xfff))
			cond_resched();
	}
	return tidy;
}

bool __circle_serve_park(struct circle_req *req, struct circle_shard *sh, u32 n)
{
	struct circle_server *srv = req->s->srv;
	struct circle_slots *slots = srv->node->slots;
	struct circle_slot *sl = &slots->slot[n];

	if (!(req->f.flags & CIRCLE_WF_KEEP) || sl->gen != req->f.generation)
		return false;
	if (circle_slot_parked(sl))
		return true;
	if (!circle_slot_valid(slots, n) || in_doubt(srv) || !__trusted(srv->node, sl))
		return false;
	__circle_slot_park(slots, sh, n);
	return true;
}

/* shard->lock held. One with another tag will never be asked for again. */
static u16 __revive(struct circle_req *req, struct circle_shard *sh, u32 n)
{
	struct circle_server *srv = req->s->srv;
	struct circle_slots *slots = srv->node->slots;
	struct circle_tag want = { req->f.generation, req->f.seq };

	if (n == CIRCLE_NO_SLOT || !circle_slot_parked(&slots->slot[n]))
		return CIRCLE_WS_NOT_FOUND;
	if (circle_tag_cmp(circle_slot_tag(&slots->slot[n]), want) ||
	    (req->f.pages & ~circle_slot_valid(slots, n)) || in_doubt(srv)) {
		__circle_slot_unmap(slots, sh, n);
		return CIRCLE_WS_NOT_FOUND;
	}
	if (atomic_read(&slots->nr_lent) >= (int)circle_serve_limit(srv) ||
	    circle_serve_wanted(srv) || circle_reclaim_starves(srv->node))
		return CIRCLE_WS_NO_SPACE;
	__circle_slot_unpark(slots, sh, n, req->f.pages);
	__circle_serve_stamp(srv, n);
	return CIRCLE_WS_OK;
}

static void revive_step(struct circle_req *req)
{
	struct circle_node *node = req->s->srv->node;
	struct circle_shard *sh = req->range.shard;
	u16 status = CIRCLE_WS_FENCED;

	spin_lock_irq(&sh->lock);
	if (READ_ONCE(node->meta->failed))
		status = CIRCLE_WS_IO;
	else if (circle_set_current(req))
		status = __revive(req, sh, __circle_slot_find(node->slots, sh, req->owner,
							      req->f.block));
	spin_unlock_irq(&sh->lock);
	req->msg.f.pages = circle_serve_parked(req);
	circle_range_unlock(&req->range);
	circle_req_answer(req, status);
}

void circle_serve_revive(struct circle_req *req)
{
	if (!req->f.pages || (req->f.pages & ~req->s->srv->node->geom.all) ||
	    req->f.block > CIRCLE_MAX_BLOCK || !req->f.seq || req->f.seq > CIRCLE_MAX_SEQ)
		circle_req_bad(req);
	else if (!circle_set_enter(req))
		circle_req_answer(req, CIRCLE_WS_FENCED);
	else
		circle_serve_range(req, ~0ull, true, revive_step);
}
