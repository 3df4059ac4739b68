// SPDX-License-Identifier: GPL-2.0-only
/*
 * through: a write that goes to the origin before it completes, in the order of engine/through.c:
 * clean copies dropped durably, origin written, FLUSHed if something older is dirty or held,
 * unmarked here and at all holders durably, completed while the lease is young. It must never leave
 * a copy behind that may be believed later.
 */
#include "sim.h"

/* __drop_clean(), and the commit behind it. */
static bool drop_clean(struct head *h, struct op *op)
{
	struct slot *s = &h->slot[op->block];
	u8 clean = op->pages & s->valid & ~s->dirty;
	bool believed = ssd_freeing(h);

	if (ssd_voiding(h))
		return false;
	op->step = T_WRITE;
	meet(WENT_THROUGH);
	if (s->mapped && clean) {
		s->valid &= ~clean;
		believed |= !ssd_writable(h, op->block);
		s->intent = true;
	}
	if (believed)
		ssd_commit(h);
	return true;
}

static bool write_origin(struct head *h, struct op *op)
{
	if (!may_go(h))
		return false;
	op->away = h->away;
	op->resets = w.resets;
	op->step = T_FLYING;
	return origin_fly(h, op - h->op, op->block, op->pages, op->v);
}

static bool copies_left(const struct head *h, const struct op *op)
{
	const struct slot *s = &h->slot[op->block];

	return s->mapped && ((s->valid & op->pages) || s->holders);
}

static bool landed(struct head *h, struct op *op)
{
	const struct slot *s = &h->slot[op->block];

	if (!copies_left(h, op)) {
		op->step = T_ACK;
		return true;
	}
	op->older = s->dirty & op->pages;
	if (op->older) {
		if (!h->failed)
			ssd_flush(h);
		meet(THROUGH_OLDER);
	}
	if ((op->older || s->holders) && rule(R4_THROUGH))
		origin_flush();
	op->step = T_UNMARK;
	return true;
}

static bool unmark(struct head *h, struct op *op)
{
	struct slot *s = &h->slot[op->block];
	struct msg m = { .type = RELEASE, .block = op->block, .pages = op->pages,
			 .op = op - h->op, .op_id = op->id, .seq = s->seq };

	if (ssd_voiding(h))
		return false;
	if (op->away != h->away) {	/* it may be lost: written once more */
		meet(AWAY_REDONE);
		op->step = T_WRITE;
		return true;
	}
	if (rule(R4_THROUGH))
		op->resets = w.resets;	/* which the FLUSH has covered */
	s->valid &= ~op->pages;
	s->dirty &= ~op->pages;
	op_send(h, op, s->holders & h->wait, &m);
	op->step = T_RELEASED;
	return true;
}

static bool released(struct head *h, struct op *op)
{
	if (op->await && rule(R4_RELEASED))
		return false;
	if (op->rejected)
		op_end(op);
	op->step = T_ACK;
	return true;
}

/* A FUA: its own FLUSH, which must cover what was written. */
static bool flushed(struct head *h, struct op *op)
{
	origin_flush();
	if (op->away == h->away || op->resets == w.resets || !rule(R4_FUA))
		return true;
	meet(AWAY_REDONE);
	op->step = T_WRITE;
	return false;
}

static bool acknowledge(struct head *h, struct op *op)
{
	if (!may_go(h))
		return false;
	if (!h->failed)
		ssd_commit(h);
	if (op->fua && !flushed(h, op))
		return true;
	oracle_ack(h, op, true);
	if (op->fua)
		oracle_flushed_pages(op->block, op->pages, op->v);
	op_end(op);
	return true;
}

bool through_step(struct head *h, struct op *op)
{
	switch (op->step) {
	case THROUGH:
		return drop_clean(h, op);
	case T_WRITE:
		return write_origin(h, op);
	case T_LANDED:
		return landed(h, op);
	case T_UNMARK:
		return unmark(h, op);
	case T_RELEASED:
		return released(h, op);
	case T_ACK:
		return acknowledge(h, op);
	default:
		return false;		/* T_FLYING */
	}
}
