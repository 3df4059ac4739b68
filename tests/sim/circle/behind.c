// SPDX-License-Identifier: GPL-2.0-only
/*
 * behind: a FLUSH of the host (engine/flush.c), write-back (engine/writeback.c) and healing
 * (engine/heal_copy.c). Nothing is clean before a FLUSH of the origin that covers it, no peer a
 * holder before it has all that is dirty of the block.
 */
#include "sim.h"

/* Those that wait counts which have stored what they did not call durable. */
u8 undurable(const struct head *h)
{
	u8 mask = 0, i;

	for (i = 0; i < w.nr_peers; i++)
		if (h->link[i].undurable != h->link[i].flushed)
			mask |= bit(i);
	return mask & h->wait;
}

bool flush_begin(struct head *h)
{
	struct op *op = op_new(h, FLUSHING, 0, 0, true);
	struct msg m = { .type = FLUSH };

	if (!op)
		return false;
	m.op = op - h->op;
	m.op_id = op->id;
	oracle_covers(op);
	op_send(h, op, undurable(h), &m);
	op->step = F_HOLDERS;
	say("node %u: FLUSH, asks %x", HEAD_ID(h), op->await);
	return true;
}

static bool any_dirty(const struct head *h)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++)
		if (h->slot[b].dirty)
			return true;
	return false;
}

bool flush_step(struct head *h, struct op *op)
{
	if (op->await)
		return false;
	if (!ssd_commit(h) && (ssd_voiding(h) || !may_go(h) || any_dirty(h)))
		return false;
	origin_flush();
	oracle_flushed(op->covers);
	op_end(op);
	meet(FLUSHED);
	return true;
}

/* A block is in one batch, once. */
static bool in_batch(const struct head *h, enum op_kind kind, u8 block)
{
	u32 i;

	for (i = 0; i < OPS; i++)
		if (h->op[i].kind == kind && h->op[i].block == block)
			return true;
	return false;
}

bool writeback_begin(struct head *h)
{
	u32 b = below(w.nr_blocks);
	struct slot *s = &h->slot[b];
	struct op *op;

	if (!s->dirty || in_batch(h, WRITEBACK, b))
		return false;
	op = op_new(h, WRITEBACK, b, s->dirty, true);
	if (!op)
		return false;
	op->step = B_WRITE;
	say("node %u: write-back of block %u pages %x", HEAD_ID(h), b, op->pages);
	return true;
}

static bool write_origin(struct head *h, struct op *op)
{
	if (!may_go(h))
		return false;
	if (ssd_freeing(h) && !h->voided && !ssd_commit(h)) {
		op_end(op);
		return true;
	}
	op->away = h->away;
	op->step = B_FLYING;
	memcpy(op->v, h->vis[op->block], sizeof(op->v));
	return origin_fly(h, op - h->op, op->block, op->pages, op->v);
}

/* settle() */
static bool settle(struct head *h, struct op *op)
{
	struct slot *s = &h->slot[op->block];

	if (op->away != h->away) {	/* some of it may be lost: all stays dirty */
		meet(AWAY_REDONE);
		op_end(op);
		return true;
	}
	s->dirty &= ~op->pages;
	meet(WROTE_BACK);
	op_end(op);
	release_block(h, op->block);
	return true;
}

bool writeback_step(struct head *h, struct op *op)
{
	switch (op->step) {
	case B_WRITE:
		return write_origin(h, op);
	case B_FLUSH:
		if (!rule(R4_MARK)) {
			h->slot[op->block].dirty &= ~op->pages;
			release_block(h, op->block);
		}
		if (ssd_voiding(h))
			return false;
		if (!h->failed)
			ssd_flush(h);
		if (rule(R4_FLUSH))
			origin_flush();
		op->step = B_SETTLE;
		return true;
	case B_SETTLE:
		return settle(h, op);
	default:
		return false;		/* B_FLYING */
	}
}

/* __choose() of engine/heal_copy.c: who is asked to revive it, or given it; -1: nobody. */
static int choose(struct head *h, const struct slot *s, bool *reviving)
{
	struct circle_cand cand[PEERS];
	u8 able = h->view & h->wait, keepers = 0, i;
	u32 got;

	if ((s->holders & ~able) || hweight8(s->holders) >= h->degree_now)
		return -1;
	for (i = 0; i < w.nr_peers; i++)
		if (h->link[i].kept)
			keepers |= bit(i);
	candidates(h, able & keepers, cand);
	got = circle_place_add(cand, w.nr_peers, s->holders, domain_of(h->host), h->place_next);
	*reviving = got && s->gen == h->gen;
	if (!*reviving) {
		candidates(h, able, cand);
		got = circle_place_add(cand, w.nr_peers, s->holders, domain_of(h->host),
				       h->place_next);
	}
	return got ? __builtin_ctz(got) : -1;
}

static bool heal_block(struct head *h, u8 b)
{
	struct slot *s = &h->slot[b];
	struct msg m = { .type = COPY, .block = b };
	bool reviving;
	struct op *op;
	int peer;

	if (!s->dirty || h->failed || h->floor >= h->degree || in_batch(h, HEALING, b))
		return false;
	peer = choose(h, s, &reviving);
	op = peer < 0 ? NULL : op_new(h, HEALING, b, 0xff, true);
	if (!op)
		return false;
	if (!s->holders && s->gen != h->gen) {
		s->gen = h->gen;
		s->seq = ++h->seq;
	}
	if (!s->holders)
		ssd_flush(h);
	m.type = reviving ? REVIVE : COPY;
	m.pages = s->dirty;
	m.op = op - h->op;
	m.op_id = op->id;
	m.seq = s->seq;
	memcpy(m.v, h->vis[b], sizeof(m.v));
	op->peer = peer;
	op->turn = h->link[peer].turn;
	op->fua = reviving;
	op->step = H_WAIT;
	op_send(h, op, bit(peer), &m);
	say("node %u: %s of block %u to peer %d", HEAD_ID(h), reviving ? "revival" : "copy", b,
	    peer);
	return true;
}

bool heal_begin(struct head *h)
{
	u32 i, at = below(w.nr_blocks);

	for (i = 0; i < w.nr_blocks; i++)
		if (heal_block(h, (at + i) % w.nr_blocks))
			return true;
	return false;
}

/* __make_holder() */
static void make_holder(struct head *h, const struct op *op)
{
	if ((h->view >> op->peer & 1) && h->link[op->peer].turn == op->turn)
		h->slot[op->block].holders |= bit(op->peer);
}

bool heal_step(struct head *h, struct op *op)
{
	u8 block = op->block;

	if (op->await)
		return false;
	h->link[op->peer].kept = peer_kept(&w.peer[op->peer]);
	if (op->ok) {
		make_holder(h, op);
		if (op->fua)
			meet(REVIVED);
		else
			meet(HEALED);
	}
	op_end(op);
	release_block(h, block);
	return true;
}

/* The answer to a copy will not come: it may have it (R7). */
void heal_lost(struct head *h, u8 peer)
{
	u32 i;

	for (i = 0; i < OPS; i++) {
		struct op *op = &h->op[i];

		if (op->kind != HEALING || op->peer != peer || !op->await)
			continue;
		meet(MAY_HOLD);
		if (rule(R7_MAY_HOLD))
			make_holder(h, op);
		op_end(op);
	}
}
