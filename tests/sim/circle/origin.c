// SPDX-License-Identifier: GPL-2.0-only
/*
 * origin: a disk with a volatile cache, and what is on its way to it: a write that was sent lands
 * within IO_TIME, also of a host that was stopped meanwhile; of one that died it may get lost. It
 * must never know who is rightful: that is what lease and fencing are for.
 */
#include "sim.h"

bool origin_fly(struct head *h, s8 op, u8 block, u8 pages, const ver *v)
{
	struct flight *f = w.flight;
	u32 i;

	for (i = 0; i < FLIGHTS && f->used; i++)
		f++;
	if (i == FLIGHTS)
		return false;
	*f = (struct flight){ .used = true, .op = op, .head = h->nr, .block = block,
			      .pages = pages, .gen = h->gen, .until = w.now + IO_TIME,
			      .weak = op < 0 && h->verdict == CIRCLE_WEAK,
			      .op_id = op < 0 ? 0 : h->op[op].id };
	memcpy(f->v, v, sizeof(f->v));
	return true;
}

/* Whoever sent it may be gone, or be somebody else by now. */
static void answer(const struct flight *f)
{
	struct head *h = &w.head[f->head];

	if (h->phase == OFF || h->gen != f->gen)
		return;
	if (f->op < 0) {
		if (h->phase == DRAIN)
			h->flying &= ~bit(f->block);
	} else if (h->op[f->op].kind && h->op[f->op].id == f->op_id) {
		h->op[f->op].step++;	/* ..._FLYING */
	}
}

static bool orphan(const struct flight *f)
{
	const struct head *h = &w.head[f->head];

	return h->phase == OFF || h->gen != f->gen;
}

static void land(struct flight *f)
{
	u32 p;

	f->used = false;
	if (orphan(f)) {
		if (chance(50))
			return;
		meet(LATE);
	}
	say("origin: block %u pages %x of node %u land%s", f->block, f->pages, f->head + 1,
	    orphan(f) ? " late" : "");
	for (p = 0; p < w.nr_pages; p++) {
		if (!(f->pages >> p & 1))
			continue;
		oracle_landing(f, p);
		if (chance(50))
			w.dur[f->block][p] = w.vis[f->block][p];
		w.vis[f->block][p] = f->v[p];
	}
	answer(f);
}

void origin_land_any(void)
{
	struct flight *f = &w.flight[below(FLIGHTS)];
	u32 i;

	for (i = 0; i < FLIGHTS && !f->used; i++)
		f = f == &w.flight[FLIGHTS - 1] ? w.flight : f + 1;
	if (f->used)
		land(f);
	for (i = 0; i < w.nr_heads; i++)
		area_late(&w.head[i], false);
}

void origin_overdue(void)
{
	u32 i;

	for (i = 0; i < FLIGHTS; i++)
		if (w.flight[i].used && w.flight[i].until <= w.now)
			land(&w.flight[i]);
}

/* The host has been stopped for sure: nothing of it is on its way any more. */
void origin_settle(const struct head *h)
{
	u32 i;

	for (i = 0; i < FLIGHTS; i++)
		if (w.flight[i].used && w.flight[i].head == h->nr)
			land(&w.flight[i]);
	area_late(h, true);
}

void origin_flush(void)
{
	memcpy(w.dur, w.vis, sizeof(w.dur));
	area_flush();
}

void origin_power_loss(void)
{
	u32 b, p, i;

	say("origin: power loss");
	meet(ORIGIN_LOSS);
	w.resets++;
	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++) {
			if (chance(60))
				w.vis[b][p] = w.dur[b][p];
			w.dur[b][p] = w.vis[b][p];
		}
	area_power_loss();
	for (i = 0; i < w.nr_heads; i++)
		w.head[i].away += rule(R4_AWAY);
	oracle_power_loss();
}
