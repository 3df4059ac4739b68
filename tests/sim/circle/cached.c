// SPDX-License-Identifier: GPL-2.0-only
/*
 * cached: reads, and what touches clean pages alone: promotion, eviction, discard. A read shows
 * what the head has, and the oracle judges it; the others may not change what a page shows, but a
 * discard.
 */
#include "sim.h"

bool read_any(struct head *h)
{
	u8 block = below(w.nr_blocks), page = below(w.nr_pages);

	if (op_busy(h, block, bit(page), true))
		return false;
	oracle_show(h, block, page);
	meet(READ);
	return true;
}

/* engine/promote.c: with a FLUSH of the origin before the pages are valid. */
bool promote(struct head *h)
{
	u8 block = below(w.nr_blocks), page = below(w.nr_pages);
	struct slot *s = &h->slot[block];

	if (h->failed || op_busy(h, block, 0xff, false) || (s->valid >> page & 1) ||
	    (!s->mapped && h->dur[block].mapped))
		return false;
	if (!s->mapped)
		*s = (struct slot){ .mapped = true, .gen = h->gen, .seq = ++h->seq };
	origin_flush();
	ssd_put(h, block, bit(page), w.vis[block]);
	s->valid |= bit(page);
	say("node %u: page %u of block %u is promoted: %u", HEAD_ID(h), page, block,
	    h->vis[block][page]);
	meet(PROMOTED);
	return true;
}

bool evict(struct head *h)
{
	u8 block = below(w.nr_blocks);
	struct slot *s = &h->slot[block];

	if (h->failed || !s->mapped || s->dirty || s->holders || op_busy(h, block, 0xff, false))
		return false;
	*s = (struct slot){ };
	say("node %u: block %u is evicted", HEAD_ID(h), block);
	meet(EVICTED);
	return true;
}

/* engine/discard.c: of what nobody holds; the origin may ignore it. */
bool discard(struct head *h)
{
	u8 block = below(w.nr_blocks), pages = bit(below(w.nr_pages)), p;
	struct slot *s = &h->slot[block];
	u8 gone = pages & s->valid & ~s->dirty;

	if (s->holders || !may_go(h) || op_busy(h, block, 0xff, false))
		return false;
	s->valid &= ~gone;
	if (gone || ssd_freeing(h))
		ssd_commit(h);
	w.next_ver++;
	for (p = 0; p < w.nr_pages; p++) {
		if (!(pages >> p & 1) || chance(30))
			continue;
		if (chance(50))
			w.dur[block][p] = w.vis[block][p];
		w.vis[block][p] = w.next_ver;
	}
	say("node %u: discard of block %u pages %x, %u", HEAD_ID(h), block, pages, w.next_ver);
	meet(DISCARDED);
	return true;
}
