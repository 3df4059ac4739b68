// SPDX-License-Identifier: GPL-2.0-only
/*
 * oracle: what is promised of each page, and whether it is kept (P2, P3, P4 of
 * Documentation/design.rst). It knows what happened, and nothing of how the circle decides; it must
 * never lower a promise but where the design allows it.
 */
#include "sim.h"

/* Nobody who goes on knows better. */
bool rightful(const struct head *h)
{
	return h->owner && h->gen >= w.top_gen;
}

static void raise(ver *v, ver to)
{
	*v = max(*v, to);
}

/*
 * A write of somebody who was replaced, by a recovery that was complete up to the last FLUSH, may
 * be lost although it completes later. Nor is one through promised before a FLUSH if the origin
 * lost its cache meanwhile.
 */
static bool promised(const struct head *h, const struct op *op, bool through)
{
	if (through && op->resets != w.resets)
		return false;
	return h->gen >= w.top_gen || op->id > w.weak_id;
}

void oracle_ack(const struct head *h, const struct op *op, bool through)
{
	u32 p;

	for (p = 0; p < w.nr_pages && promised(h, op, through); p++) {
		struct truth *t = &w.truth[op->block][p];

		if (!(op->pages >> p & 1))
			continue;
		say("block %u page %u: %u completes%s", op->block, p, op->v[p],
		    through ? " through" : "");
		raise(&t->floor, op->v[p]);
		if (!through)
			raise(&t->sure, op->v[p]);
	}
}

static void make_sure(struct truth *t, ver v)
{
	raise(&t->floor, v);
	raise(&t->sure, v);
	raise(&t->flushed, v);
}

void oracle_flushed_pages(u8 block, u8 pages, const ver *v)
{
	u32 p;

	for (p = 0; p < w.nr_pages; p++)
		if (pages >> p & 1)
			make_sure(&w.truth[block][p], v[p]);
}

void oracle_covers(struct op *op)
{
	u32 b, p;

	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++) {
			op->covers[b][p] = w.truth[b][p].floor;
			op->kept[b][p] = w.truth[b][p].sure;
		}
}

void oracle_flushed(const ver covers[][PAGES])
{
	u32 b;

	say("FLUSH completes");
	for (b = 0; b < w.nr_blocks; b++)
		oracle_flushed_pages(b, 0xff, covers[b]);
}

/* Is what a page shows there whatever the origin's cache forgets? */
static bool kept(const struct head *h, u8 block, u8 page)
{
	const struct slot *s = &h->slot[block];
	ver shows = head_shows(h, block, page);

	return (s->mapped && (s->dirty >> page & 1)) ||
	       (w.vis[block][page] == shows && w.dur[block][page] == shows);
}

void oracle_show(struct head *h, u8 block, u8 page)
{
	struct truth *t = &w.truth[block][page];
	ver shows = head_shows(h, block, page);

	if (!rightful(h))
		return;
	must(shows >= t->floor,
	     "P3: node %u reads %u in block %u page %u, where %u was completed or shown",
	     HEAD_ID(h), shows, block, page, t->floor);
	raise(&t->floor, shows);
	if (kept(h, block, page))
		raise(&t->sure, shows);
}

void oracle_landing(const struct flight *f, u8 page)
{
	const struct truth *t = &w.truth[f->block][page];
	ver least = f->weak ? t->flushed : t->floor;

	must(f->v[page] >= least,
	     "P3: %u of block %u page %u comes to the origin from node %u, %u was there before",
	     f->v[page], f->block, page, f->head + 1, least);
}

static void forget_unflushed(struct head *h)
{
	u32 i;

	for (i = 0; i < OPS; i++)
		if (h->op[i].kind == FLUSHING)
			memcpy(h->op[i].covers, h->op[i].kept, sizeof(h->op[i].covers));
}

/* What was completed through, or shown from its cache, the origin may have lost. */
void oracle_power_loss(void)
{
	u32 b, p, i;

	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++)
			w.truth[b][p].floor = w.truth[b][p].sure;
	for (i = 0; i < w.nr_heads; i++)
		forget_unflushed(&w.head[i]);
}

/* Does it say, or did one before it that got to its last label, that not all may be there? */
static bool told(const struct head *h)
{
	return h->verdict != CIRCLE_COMPLETE ||
	       (w.weak_open && !h->old_view && (h->found.flags & CIRCLE_LBF_EMPTY));
}

static void judge_page(struct head *h, u8 b, u8 p)
{
	struct truth *t = &w.truth[b][p];
	ver is = head_shows(h, b, p);

	must(is >= t->flushed, "P2: block %u page %u: %u, and %u was flushed, verdict %u", b, p, is,
	     t->flushed, h->verdict);
	must(told(h) || is >= t->floor,
	     "P2: block %u page %u: %u, and %u was completed; it was called complete", b, p, is,
	     t->floor);
	must(!w.protect || hweight32(w.failed) > w.protect || is >= t->floor,
	     "P2: block %u page %u: %u, and %u was completed; only %x failed, degree %u", b, p, is,
	     t->floor, w.failed, w.protect);
	t->floor = min(t->floor, is);
	t->sure = min(t->sure, is);
}

/* All is drained. What was not acknowledged by now may be gone. */
void oracle_drained(struct head *h)
{
	if (h->verdict == CIRCLE_COMPLETE)
		return;
	w.weak_open = true;
	w.weak_id = w.ids;
}

/* It serves from now on; with a verdict that is not complete it has said what may be gone. */
void oracle_live(struct head *h)
{
	u32 b, p;

	if (h->verdict == CIRCLE_COMPLETE)
		meet(COMPLETE);
	else
		meet(WEAK);
	if (w.protect && w.failed && hweight32(w.failed) <= w.protect)
		meet(LEVEL);
	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++)
			judge_page(h, b, p);
	w.protect = 0;
	w.weak_open = false;
}

static bool clashes(u8 holders)
{
	u32 i, k;

	for (i = 0; i < w.nr_peers; i++)
		for (k = 0; k < i; k++)
			if ((holders >> i & 1) && (holders >> k & 1) &&
			    w.peer[i].host == w.peer[k].host)
				return true;
	return false;
}

static bool has_it(const struct head *h, u8 peer, u8 block)
{
	const struct replica *r = &w.peer[peer].rep[block];
	const struct slot *s = &h->slot[block];
	u32 p;

	if (!r->here || r->gen != s->gen || (s->dirty & ~r->pages))
		return false;
	for (p = 0; p < w.nr_pages; p++)
		if ((s->dirty >> p & 1) && r->v[p] != h->vis[block][p])
			return false;
	return true;
}

/* Who has the block, or is lost without that anybody can know it yet. */
static u8 really_held(const struct head *h, u8 block)
{
	u8 mask = 0, i;

	for (i = 0; i < w.nr_peers; i++) {
		const struct link *l = &h->link[i];

		if (l->state == READY && (l->broken || l->cut || has_it(h, i, block)))
			mask |= bit(i);
	}
	return mask;
}

/* P4: what at_risk does not count has its holders, in as many domains. */
static void judge_risk(const struct head *h)
{
	u32 b, there = 0;

	for (b = 0; b < w.nr_blocks; b++) {
		const struct slot *s = &h->slot[b];
		u8 held = s->holders & really_held(h, b);

		if (!s->dirty || op_busy(h, b, 0xff, true))
			return;		/* some of it is just changing */
		if (hweight8(held) < h->degree)
			there += hweight8(s->dirty);
		must(!clashes(s->holders), "P4: block %u has holders %x in one domain", b,
		     s->holders);
	}
	must(at_risk(h) >= there, "P4: node %u: at_risk says %u pages, it is %u", HEAD_ID(h),
	     at_risk(h), there);
}

static bool all_well(const struct head *h)
{
	u8 view = h->view;
	u32 i;

	if (h->floor != h->degree || h->degree_now != h->degree || h->lstep || h->label_unsure ||
	    h->failed || h->gen < w.claimed || at_risk(h) || hweight8(view) < h->degree)
		return false;
	for (i = 0; i < w.nr_peers; i++) {
		const struct link *l = &h->link[i];

		if ((view >> i & 1) && (l->state != READY || l->broken || l->cut))
			return false;
	}
	return true;
}

void oracle_step(void)
{
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		struct head *h = &w.head[i];

		if (!rightful(h))
			continue;
		judge_risk(h);
		if (h->paused || !all_well(h))
			continue;
		w.failed = 0;
		w.protect = h->degree;
	}
}

/* The origin stands alone: all is there, durably. */
void oracle_end(void)
{
	u32 b, p;

	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++)
			must(w.dur[b][p] >= w.truth[b][p].floor,
			     "P2: all is clean, the origin has %u in block %u page %u and not %u",
			     w.dur[b][p], b, p, w.truth[b][p].floor);
	meet(ALL_READ);
}
