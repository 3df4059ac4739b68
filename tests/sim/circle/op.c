// SPDX-License-Identifier: GPL-2.0-only
/*
 * op: requests under way at a head, which pages of a block each has (R11), who is waited for
 * (engine/call.c), and releases that nobody waits for (engine/release.c). It must never give two
 * writes the same page.
 */
#include "sim.h"

bool op_busy(const struct head *h, u8 block, u8 pages, bool shared)
{
	u32 i;

	for (i = 0; i < OPS; i++) {
		const struct op *o = &h->op[i];

		if (!o->kind || o->kind == FLUSHING || o->block != block || !(o->pages & pages))
			continue;
		if (!shared || o->kind == WRITE)
			return true;
	}
	return false;
}

struct op *op_new(struct head *h, enum op_kind kind, u8 block, u8 pages, bool shared)
{
	u32 i;

	if (kind != FLUSHING && op_busy(h, block, pages, shared))
		return NULL;
	for (i = 0; i < OPS; i++)
		if (!h->op[i].kind)
			break;
	if (i == OPS)
		return NULL;
	h->op[i] = (struct op){ .kind = kind, .block = block, .pages = pages, .id = ++w.ids };
	return &h->op[i];
}

void op_end(struct op *op)
{
	op->kind = NO_OP;
}

/* circle_may_go() */
bool may_go(const struct head *h)
{
	bool young = w.now < h->lease || !rule(R5_LEASE);

	return young && !ssd_voiding(h);
}

void op_send(struct head *h, struct op *op, u8 mask, const struct msg *m)
{
	u8 i;

	op->await = mask;
	op->ok = 0;
	op->rejected = 0;
	for (i = 0; i < w.nr_peers; i++)
		if (mask >> i & 1)
			link_send(h, i, m);
}

/* released() of engine/release.c */
static void released(struct head *h, u8 peer, const struct msg *ans)
{
	struct slot *s = &h->slot[ans->block];
	bool same = (s->gen == ans->gen && s->seq == ans->seq) || !rule(R4_ANSWER);

	if (s->mapped && same && !ans->pages)
		s->holders &= ~bit(peer);
}

static bool ordinary(const struct msg *ans)
{
	return ans->status == OK || ans->status == NO_SPACE ||
	       (ans->type == REVIVE && ans->status == NOT_FOUND);
}

static void note(struct head *h, u8 peer, const struct msg *ans)
{
	struct link *l = &h->link[peer];

	if (ans->status)
		return;
	if (ans->type == RELEASE)
		released(h, peer, ans);
	else if (ans->type == FLUSH)
		l->flushed = max(l->flushed, ans->covers);
	else
		l->undurable++;
}

void op_answer(struct head *h, u8 peer, const struct msg *ans)
{
	struct op *op = ans->op < 0 ? NULL : &h->op[ans->op];

	if (ans->status == FENCED_OFF && ans->gen >= h->gen)
		fenced(h, ans->gen);
	note(h, peer, ans);
	if (!ordinary(ans)) {
		link_break(h, peer);
		link_lost(h, peer);
		return;
	}
	if (!op || !op->kind || op->id != ans->op_id || !(op->await & bit(peer)))
		return;
	op->await &= ~bit(peer);
	if (ans->status)
		op->rejected |= bit(peer);
	else
		op->ok |= bit(peer);
	if (ans->status == NO_SPACE)
		meet(NO_ROOM);
}

/* They are out of the durable view. */
void ops_forget(struct head *h, u8 mask)
{
	u32 i;

	for (i = 0; i < BLOCKS; i++)
		h->slot[i].holders &= ~mask;
	for (i = 0; i < OPS; i++)
		h->op[i].await &= ~mask;
}

void release_block(struct head *h, u8 block)
{
	struct slot *s = &h->slot[block];
	u8 ready = links_at_least(h, READY), i;
	struct msg m = { .type = RELEASE, .block = block, .pages = 0xff, .op = -1,
			 .seq = s->seq };

	if (!s->mapped || s->dirty || !s->holders || (s->holders & h->wait & ~ready) ||
	    ssd_voiding(h) || op_busy(h, block, 0xff, true))
		return;
	for (i = 0; i < w.nr_peers; i++)
		if ((s->holders & h->wait) >> i & 1 && h->link[i].req.nr < QUEUE / 4)
			link_send(h, i, &m);
}

/* Clean blocks that holders still have. */
void sweep(struct head *h)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++)
		release_block(h, b);
}

bool op_step(struct head *h, struct op *op)
{
	if (!h->owner && op->kind != NO_OP) {	/* fenced: all of it fails */
		op_end(op);
		return true;
	}
	switch (op->kind) {
	case WRITE:
		return op->step < THROUGH ? write_step(h, op) : through_step(h, op);
	case FLUSHING:
		return flush_step(h, op);
	case WRITEBACK:
		return writeback_step(h, op);
	case HEALING:
		return heal_step(h, op);
	case NO_OP:
		break;
	}
	return false;
}
