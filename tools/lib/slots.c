// SPDX-License-Identifier: GPL-2.0-only
/*
 * slots: what the slot entries say, one by one and together: is each possible, which of two for
 * one block counts, what is dirty. It follows enter_known() of the kernel's store/load.c, and is
 * stricter: it also asks whether tags and owners can be right.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "meta.h"
#include "tool.h"

static bool mapped(const struct meta *m, u32 n)
{
	return m->slot[n].flags & CIRCLE_SLOT_MAPPED;
}

bool meta_is_own(const struct meta *m, u32 n)
{
	return mapped(m, n) && !m->slot[n].owner && !m->dropped[n];
}

u64 meta_dirty(const struct meta *m, u32 n)
{
	const struct circle_slot_state *s = &m->slot[n];

	if (!meta_is_own(m, n))
		return 0;
	if (!m->unclean || !(s->flags & CIRCLE_SLOT_INTENT) || (s->flags & CIRCLE_SLOT_LOST))
		return s->dirty;
	return s->valid;
}

static void check_lent(struct meta *m, u32 n)
{
	const struct circle_slot_state *s = &m->slot[n];
	const struct circle_owner *o = &m->sb.owner[s->owner - 1];

	if (!memchr_inv(o->uuid, 0, CIRCLE_UUID_SIZE))
		meta_complain(m, "slot %u is lent to owner %u, whom the superblock does not name",
			      n, s->owner);
	else if (s->gen > o->generation)
		meta_complain(m, "slot %u has generation %llu of owner %u, who is at %llu", n,
			      s->gen, s->owner, o->generation);
}

/* With one superblock damaged an older one may count, which a load takes: no tag is used twice. */
static void check_own(struct meta *m, u32 n)
{
	u64 gen = m->slot[n].gen;

	if (gen <= max(m->sb.generation, m->sb.next_generation))
		return;
	if (m->super_status[!m->super_copy] == -EBADMSG)
		m->sum.newer++;
	else
		meta_complain(m, "slot %u has generation %llu, the superblock %llu", n, gen,
			      m->sb.generation);
}

static void check_slot(struct meta *m, u32 n)
{
	const struct circle_slot_state *s = &m->slot[n];

	if (!circle_slot_state_ok(s, m->geom.all, m->nr_blocks)) {
		meta_complain(m, "slot %u has an impossible entry: owner %u, block %llu, valid %#llx, dirty %#llx, flags %#x, generation %llu, sequence %llu",
			      n, s->owner, s->block, s->valid, s->dirty, s->flags, s->gen, s->seq);
		memset(&m->slot[n], 0, sizeof(m->slot[n]));	/* nothing of it is used */
		return;
	}
	if (!mapped(m, n))
		return;
	if (s->owner)
		check_lent(m, n);
	else
		check_own(m, n);
}

static const struct meta *sorted;	/* for by_block() */

/* By owner and block, then the one that counts first, then lower number. */
static int by_block(const void *a, const void *b)
{
	u32 i = *(const u32 *)a, j = *(const u32 *)b;
	const struct circle_slot_state *x = &sorted->slot[i], *y = &sorted->slot[j];

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	if (circle_slot_state_beats(x, y))
		return -1;
	if (circle_slot_state_beats(y, x))
		return 1;
	return i < j ? -1 : i > j;
}

static void judge_double(struct meta *m, u32 first, u32 n)
{
	const struct circle_slot_state *x = &m->slot[first], *y = &m->slot[n];
	struct circle_tag s = { x->gen, x->seq }, t = { y->gen, y->seq };

	m->dropped[n] = true;
	m->sum.doubles++;
	if (!circle_tag_cmp(s, t))	/* no tag is given twice */
		meta_complain(m, "slots %u and %u both have block %llu of owner %u, and the same tag: which is newer cannot be told",
			      first, n, x->block, x->owner);
	else if (!m->unclean && !x->owner)
		tool_note("slots %u and %u both have block %llu: the first counts, a load frees the other",
			  first, n, x->block);
}

static int find_doubles(struct meta *m)
{
	u32 *order = malloc(max(m->sb.nr_slots, 1ull) * sizeof(u32)), nr = 0, n, first = 0;

	if (!order) {
		tool_err("out of memory for %llu slots", m->sb.nr_slots);
		return -ENOMEM;
	}
	for (n = 0; n < m->sb.nr_slots; n++)
		if (mapped(m, n))
			order[nr++] = n;
	sorted = m;
	qsort(order, nr, sizeof(*order), by_block);
	for (n = 1; n < nr; n++) {
		const struct circle_slot_state *x = &m->slot[order[first]];
		const struct circle_slot_state *y = &m->slot[order[n]];

		if (x->owner == y->owner && x->block == y->block)
			judge_double(m, order[first], order[n]);
		else
			first = n;
	}
	free(order);
	return 0;
}

static void count(struct meta *m, u32 n)
{
	const struct circle_slot_state *s = &m->slot[n];
	struct meta_sum *sum = &m->sum;
	u64 dirty;

	if (s->flags & CIRCLE_SLOT_RETIRED)
		sum->retired++;
	else if (!mapped(m, n) || m->dropped[n])
		sum->free++;
	if (!mapped(m, n) || m->dropped[n])
		return;
	if (s->flags & CIRCLE_SLOT_LOST)
		sum->lost++;
	if (s->owner) {
		sum->lent++;
		sum->lent_pages += hweight64(s->valid);
		return;
	}
	dirty = meta_dirty(m, n);
	sum->own++;
	sum->own_dirty += !!dirty;
	sum->own_dirty_pages += hweight64(dirty);
	sum->intents += dirty != s->dirty;
}

int meta_judge_slots(struct meta *m)
{
	u32 n;
	int err;

	for (n = 0; n < m->sb.nr_slots; n++)
		check_slot(m, n);
	err = find_doubles(m);
	if (err)
		return err;
	for (n = 0; n < m->sb.nr_slots; n++)
		count(m, n);
	return 0;
}
