// SPDX-License-Identifier: GPL-2.0-only
/*
 * ssd: a head's cache and metadata device: slots as in memory and as committed, data as written and
 * as flushed. A block has one place. It must never keep more over a power loss than was flushed or
 * happened to get out by itself.
 */
#include "sim.h"

/* SLOT_WRITABLE: nothing durable calls it mapped without INTENT. */
bool ssd_writable(const struct head *h, u8 block)
{
	const struct slot *d = &h->dur[block];

	return !d->mapped || d->intent || !rule(R1A_INTENT);
}

/* Something was evicted, and stands in the durable metadata. */
bool ssd_freeing(const struct head *h)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++)
		if (h->dur[b].mapped && !h->slot[b].mapped)
			return true;
	return false;
}

void ssd_flush(struct head *h)
{
	memcpy(h->sdur, h->vis, sizeof(h->sdur));
}

/* What is written now must not be called clean by what becomes durable. */
static bool in_use(const struct head *h, u8 block)
{
	u32 i;

	for (i = 0; i < OPS; i++)
		if (h->op[i].kind == WRITE && h->op[i].block == block)
			return true;
	return false;
}

/* circle_meta_capture(), the FLUSH of the data, the journal. False: the metadata have failed. */
bool ssd_commit(struct head *h)
{
	u32 b;

	if (h->failed)
		return false;
	if (rule(R1_ORDER))
		ssd_flush(h);
	for (b = 0; b < w.nr_blocks; b++) {
		struct slot *s = &h->slot[b];

		if (s->intent && !s->dirty && !in_use(h, b))
			s->intent = false;
		h->dur[b] = *s;
	}
	return true;
}

void ssd_put(struct head *h, u8 block, u8 pages, const ver *v)
{
	u32 p;

	for (p = 0; p < w.nr_pages; p++) {
		if (!(pages >> p & 1))
			continue;
		if (chance(50))
			h->sdur[block][p] = h->vis[block][p];
		h->vis[block][p] = v[p];
	}
}

void ssd_crash(struct head *h)
{
	u32 b, p;

	if (h->phase >= LIVE && chance(30))
		ssd_commit(h);
	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++) {
			if (chance(50))
				h->vis[b][p] = h->sdur[b][p];
			h->sdur[b][p] = h->vis[b][p];
		}
}

/* settle_intent(): after an unclean stop all that may be dirty is so. */
void ssd_load(struct head *h, bool unclean)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++) {
		struct slot *s = &h->slot[b];

		*s = h->dur[b];
		s->holders = 0;
		if (!s->mapped)
			*s = (struct slot){ };
		else if (unclean && s->intent)
			s->dirty = s->valid;
	}
}

void ssd_lose(struct head *h)
{
	h->blank = true;
	h->sb_gen = 0;
	h->sb_act = 0;
	h->sb_next_gen = 0;
	h->sb_next_act = 0;
	memset(h->dur, 0, sizeof(h->dur));
	memset(h->slot, 0, sizeof(h->slot));
}

/* circle_voiding() */
bool ssd_voiding(const struct head *h)
{
	return h->failed && !h->voided && rule(R3_VOID);
}

ver head_shows(const struct head *h, u8 block, u8 page)
{
	const struct slot *s = &h->slot[block];

	return s->mapped && (s->valid >> page & 1) ? h->vis[block][page] : w.vis[block][page];
}
