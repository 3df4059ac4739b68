// SPDX-License-Identifier: GPL-2.0-only
/*
 * release: telling holders that they may forget (R4), and asking them to make durable (R12). A
 * release is sent only after an origin FLUSH that covers the write-back, and only while no write to
 * those pages is under way. A holder is struck off a block when its answer says that nothing of the
 * block is left there, and nothing was sent to it since.
 */
#include "degrade.h"
#include "replicate.h"

#include <linux/slab.h>
#include "../trace.h"

#define MAX_RELEASING	256	/* in the background, at a time */

struct circle_request {
	struct circle_multi multi;
	struct circle_io *io;		/* one pending part of it; NULL: nobody waits */
	bool pooled;
	struct circle_call call[CIRCLE_MAX_PEERS];
};

size_t circle_request_size(void)
{
	return sizeof(struct circle_request);
}

static void gone(struct circle_multi *m)
{
	struct circle_request *r = container_of(m, struct circle_request, multi);

	if (r->pooled)
		mempool_free(r, &m->node->circle->multi_pool);
	else
		kfree(r);
}

/* A holder may still have, and be believed on, what the origin has a newer version of. */
static void unsure(struct circle_io *io, u32 answered)
{
	struct circle_slot *sl = &io->node->slots->slot[io->slot];
	struct circle_shard *sh = io->range.shard;
	unsigned long flags;

	spin_lock_irqsave(&sh->lock, flags);
	if (sl->holders & ~answered)
		sl->flags |= CIRCLE_SLOT_UNSURE;	/* until strike_off() */
	spin_unlock_irqrestore(&sh->lock, flags);
}

static void over(struct circle_multi *m)
{
	struct circle_request *r = container_of(m, struct circle_request, multi);
	struct circle_circle *c = m->node->circle;

	if (r->io) {
		if (m->ended && m->req.type == CIRCLE_WT_RELEASE)
			unsure(r->io, m->ok | m->rejected);
		if (m->rejected || m->ended || READ_ONCE(c->role) != CIRCLE_ROLE_OWNER)
			WRITE_ONCE(r->io->status, m->ended && c->requeue ?
				   BLK_STS_DM_REQUEUE : BLK_STS_IOERR);
		circle_io_part_done(r->io);
	} else if (atomic_dec_and_test(&c->releasing)) {
		wake_up_all(&c->idle);
		circle_reclaim_anew(m->node);
		if (READ_ONCE(m->node->wb.giving))
			circle_writeback_go_on(m->node);
	}
}

static void released(struct circle_multi *m, struct circle_peer *peer,
		     const struct circle_frame *req, const struct circle_frame *ans)
{
	struct circle_slots *s = m->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, req->block);
	unsigned long flags;
	u32 n;

	if (ans->pages)
		return;
	spin_lock_irqsave(&sh->lock, flags);
	n = __circle_slot_find(s, sh, 0, req->block);
	if (n != CIRCLE_NO_SLOT && s->slot[n].gen == req->generation &&
	    circle_slot_seq(&s->slot[n]) == req->seq)
		s->slot[n].holders &= ~(1u << peer->nr);
	spin_unlock_irqrestore(&sh->lock, flags);
}

static void flushed(struct circle_multi *m, struct circle_peer *peer,
		    const struct circle_frame *req, const struct circle_frame *ans)
{
	struct circle_call *call = container_of(req, struct circle_call, msg.f);
	unsigned long flags;

	spin_lock_irqsave(&peer->lock, flags);
	peer->flushed = max(peer->flushed, call->covers);
	spin_unlock_irqrestore(&peer->lock, flags);
}

/* With an io from the reserve; without, nobody waits, and it may fail. */
static struct circle_request *request(struct circle_node *node, struct circle_io *io)
{
	struct circle_request *r;

	if (io)
		r = mempool_alloc(&node->circle->multi_pool, GFP_NOIO);
	else
		r = kmalloc(sizeof(*r), GFP_NOWAIT | __GFP_NOWARN);
	if (!r)
		return NULL;
	circle_multi_init(&r->multi, node, r->call, CIRCLE_MAX_PEERS);
	r->multi.over = over;
	r->multi.gone = gone;
	r->io = io;
	r->pooled = io;
	return r;
}

/* Those of mask that have stored what they did not call durable. */
static u32 undurable(struct circle_circle *c, u32 mask)
{
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if (READ_ONCE(c->peer[i].undurable) == READ_ONCE(c->peer[i].flushed))
			mask &= ~(1u << i);
	return mask;
}

bool circle_holders_undurable(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	return c && undurable(c, READ_ONCE(c->wait));
}

void circle_flush_holders(struct circle_io *io)
{
	struct circle_circle *c = io->node->circle;
	struct circle_request *r;
	u32 mask;

	if (!c)
		return;
	r = request(io->node, io);
	r->multi.answered = flushed;
	r->multi.req.type = CIRCLE_WT_FLUSH;
	spin_lock_irq(&c->lock);
	mask = undurable(c, c->wait);
	if (mask)			/* before anybody can end it */
		atomic_inc(&io->pending);
	__circle_multi_await(&r->multi, mask);
	spin_unlock_irq(&c->lock);
	if (mask)
		circle_multi_send(&r->multi, NULL, 0, true);
	circle_multi_put(&r->multi);
	circle_multi_push(io->node, mask);
}

/* shard->lock held: the request goes to all holders of slot n. False: there are none. */
static bool send_release(struct circle_request *r, u32 n, u64 pages)
{
	struct circle_node *node = r->multi.node;
	struct circle_circle *c = node->circle;
	struct circle_slot *sl = &node->slots->slot[n];
	struct circle_frame *f = &r->multi.req;
	u32 mask = sl->holders;

	if (!mask)
		return false;
	f->type = CIRCLE_WT_RELEASE;
	f->block = circle_slot_block(sl);
	f->pages = pages;
	f->seq = circle_slot_seq(sl);
	r->multi.answered = released;
	spin_lock(&c->lock);
	/* One that left the view between forgetting and clearing its bit is not waited for. */
	mask &= c->wait;
	if (mask)
		atomic_inc(r->io ? &r->io->pending : &c->releasing);
	__circle_multi_await(&r->multi, mask);
	spin_unlock(&c->lock);
	if (!mask)
		return false;
	trace_circle_release(node, f->block, f->seq, mask);
	circle_multi_send(&r->multi, NULL, 0, false);
	return true;
}

void circle_release_pages(struct circle_io *io, u64 pages)
{
	struct circle_shard *sh = io->range.shard;
	struct circle_request *r;

	if (!io->node->circle || io->slot == CIRCLE_NO_SLOT)
		return;
	r = request(io->node, io);
	spin_lock_irq(&sh->lock);
	send_release(r, io->slot, pages);
	spin_unlock_irq(&sh->lock);
	circle_multi_put(&r->multi);
}

/* A release to a peer that is lost would only wait for a label. */
static bool all_ready(struct circle_circle *c, u32 mask)
{
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if ((mask & c->wait) >> i & 1 && READ_ONCE(c->peer[i].state) != CIRCLE_PEER_READY)
			return false;
	return true;
}

bool circle_release_may(struct circle_node *node)
{
	return atomic_read(&node->circle->releasing) < MAX_RELEASING && !circle_voiding(node);
}

void circle_release_block(struct circle_node *node, u64 block)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	struct circle_range range = { .block = block, .mask = ~0ull };
	struct circle_request *r;
	LIST_HEAD(wake);
	u32 n;

	if (!circle_release_may(node))
		return;
	r = request(node, NULL);
	if (!r)
		return;
	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, block);
	/* Shared: no write is under way, so none is between its answer and its dirty mark. */
	if (n != CIRCLE_NO_SLOT && !circle_slot_dirty(s, n) && s->slot[n].holders &&
	    all_ready(node->circle, s->slot[n].holders) &&
	    __circle_range_lock(s, &range, true)) {
		send_release(r, n, ~0ull);
		__circle_range_unlock(&range, &wake);
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	circle_multi_put(&r->multi);
}
