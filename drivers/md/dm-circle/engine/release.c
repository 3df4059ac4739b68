// SPDX-License-Identifier: GPL-2.0-only
/*
 * release: telling holders that they may forget (R4), and asking them to make durable (R12). A
 * release is sent only after an origin FLUSH that covers the write-back, and only while no write to
 * those pages is under way. A holder is struck off a block when its answer says that nothing of the
 * block is left there, and nothing was sent to it since.
 */
#include "replicate.h"

#include <linux/slab.h>

struct circle_request {
	struct circle_multi multi;
	struct circle_io *io;		/* one pending part of it; NULL: nobody waits */
	struct circle_call call[CIRCLE_MAX_PEERS];
};

size_t circle_request_size(void)
{
	return sizeof(struct circle_request);
}

static void gone(struct circle_multi *m)
{
	mempool_free(container_of(m, struct circle_request, multi), &m->node->circle->multi_pool);
}

static void over(struct circle_multi *m)
{
	struct circle_request *r = container_of(m, struct circle_request, multi);
	struct circle_circle *c = m->node->circle;

	if (r->io) {
		if (m->rejected)
			WRITE_ONCE(r->io->status, BLK_STS_IOERR);
		circle_io_part_done(r->io);
	} else if (atomic_dec_and_test(&c->releasing)) {
		wake_up_all(&c->idle);
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
	if (n != CIRCLE_NO_SLOT && s->slot[n].seq == req->seq && s->slot[n].gen == req->generation)
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

static struct circle_request *request(struct circle_node *node, struct circle_io *io, gfp_t gfp)
{
	struct circle_request *r = mempool_alloc(&node->circle->multi_pool, gfp);

	if (!r)
		return NULL;
	circle_multi_init(&r->multi, node, r->call, CIRCLE_MAX_PEERS);
	r->multi.over = over;
	r->multi.gone = gone;
	r->io = io;
	return r;
}

void circle_flush_holders(struct circle_io *io)
{
	struct circle_circle *c = io->node->circle;
	struct circle_request *r;
	u32 mask = 0;
	unsigned int i;

	if (!c)
		return;
	r = request(io->node, io, GFP_NOIO);
	r->multi.answered = flushed;
	r->multi.req.type = CIRCLE_WT_FLUSH;
	spin_lock_irq(&c->lock);
	for (i = 0; i < c->nr_peers; i++)
		if ((c->wait >> i & 1) &&
		    READ_ONCE(c->peer[i].undurable) != READ_ONCE(c->peer[i].flushed))
			mask |= 1u << i;
	__circle_multi_await(&r->multi, mask);
	spin_unlock_irq(&c->lock);
	if (mask) {
		atomic_inc(&io->pending);
		circle_multi_send(&r->multi, NULL, 0);
	}
	circle_multi_put(&r->multi);
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
	f->block = sl->block;
	f->pages = pages;
	f->seq = sl->seq;
	r->multi.answered = released;
	spin_lock(&c->lock);
	/* One that left the view between forgetting and clearing its bit is not waited for. */
	mask &= c->wait;
	__circle_multi_await(&r->multi, mask);
	spin_unlock(&c->lock);
	if (!mask)
		return false;
	if (r->io)
		atomic_inc(&r->io->pending);
	else
		atomic_inc(&c->releasing);
	circle_multi_send(&r->multi, NULL, 0);
	return true;
}

void circle_release_pages(struct circle_io *io, u64 pages)
{
	struct circle_shard *sh = io->range.shard;
	struct circle_request *r;

	if (!io->node->circle || io->slot == CIRCLE_NO_SLOT)
		return;
	r = request(io->node, io, GFP_NOIO);
	spin_lock_irq(&sh->lock);
	send_release(r, io->slot, pages);
	spin_unlock_irq(&sh->lock);
	circle_multi_put(&r->multi);
}

void circle_release_block(struct circle_node *node, u64 block)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, block);
	struct circle_range range = { .block = block, .mask = ~0ull };
	struct circle_request *r = request(node, NULL, GFP_NOWAIT | __GFP_NOWARN);
	LIST_HEAD(wake);
	u32 n;

	if (!r)
		return;
	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, block);
	/* Shared: no write is under way, so none is between its answer and its dirty mark. */
	if (n != CIRCLE_NO_SLOT && !s->slot[n].dirty && s->slot[n].holders &&
	    __circle_range_lock(s, &range, true)) {
		send_release(r, n, ~0ull);
		__circle_range_unlock(&range, &wake);
	}
	spin_unlock_irq(&sh->lock);
	circle_range_wake(&wake);
	circle_multi_put(&r->multi);
}
