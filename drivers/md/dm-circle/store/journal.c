// SPDX-License-Identifier: GPL-2.0-only
/*
 * journal: commits (many slots' new states in one sequential write) and checkpoints (the table
 * brought up to date, so that the journal's space is free again). Local I/O alone: it must never
 * wait for a peer, the origin or the label (R13).
 *
 * A table page's image is taken from memory, so it may be newer than the last commit; its lsn says
 * which records are already in it. That two slots of one block are never both believed is the
 * loader's duty (the higher tag wins), so pages need not be written atomically with one another.
 */
#include "meta.h"

#include <linux/lockdep.h>

void circle_meta_capture(struct circle_meta *m, u32 n, struct circle_slot_state *st)
{
	struct circle_slot *sl = &m->slots->slot[n];
	unsigned long flags;
	struct circle_shard *sh;

	/* A free slot belongs to no shard; whoever maps it marks it as changed afterwards. */
	if (!circle_slot_lock(m->slots, n, &sh, &flags)) {
		memset(st, 0, sizeof(*st));
		st->flags = READ_ONCE(sl->flags) & CIRCLE_SLOT_RETIRED;
		return;
	}
	circle_slot_state(m->slots, n, st);
	if ((st->flags & CIRCLE_SLOT_MAPPED) && !(st->flags & CIRCLE_SLOT_INTENT))
		sl->flags &= ~CIRCLE_SLOT_WRITABLE;
	if (sl->owner)
		sl->flags &= ~CIRCLE_SLOT_TAGGED;	/* or nothing is durable any more */
	spin_unlock_irqrestore(&sh->lock, flags);
}

/* Room for one full commit, and never the whole ring: an empty and a full one must differ. */
static bool room(const struct circle_meta *m)
{
	return m->next_lsn - m->sb.tail_lsn + CIRCLE_COMMIT_MAX + 1 <= m->sb.journal_blocks;
}

static void *mb_at(struct circle_meta *m, u32 i)
{
	return (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;
}

/* Fills buf with records of changed slots; returns the number of blocks. */
static u32 capture(struct circle_meta *m, u32 *cursor)
{
	struct circle_record rec;
	u32 max = CIRCLE_COMMIT_MAX * CIRCLE_RECORDS_PER_MB, n = 0, blocks, i;
	u32 *slot = m->captured;

	while (n < max) {
		u32 s = circle_slot_next_changed(m->slots, cursor);

		if (s == CIRCLE_NO_SLOT)
			break;
		slot[n++] = s;
	}
	m->nr_captured = n;
	blocks = DIV_ROUND_UP(n, CIRCLE_RECORDS_PER_MB);
	for (i = 0; i < blocks; i++) {
		struct circle_jhead h = {
			.lsn = m->next_lsn + i,
			.commit = m->next_lsn,
			.commit_blocks = blocks,
			.nr_records = min_t(u32, n - i * CIRCLE_RECORDS_PER_MB,
					    CIRCLE_RECORDS_PER_MB),
		};
		u32 k;

		circle_jblock_start(mb_at(m, i), m->sb.meta_uuid, &h);
		for (k = 0; k < h.nr_records; k++) {
			rec.slot = slot[i * CIRCLE_RECORDS_PER_MB + k];
			circle_meta_capture(m, rec.slot, &rec.state);
			__set_bit(rec.slot / CIRCLE_SLOTS_PER_MB, m->stale);
			circle_jblock_put(mb_at(m, i), k, &rec);
		}
		circle_jblock_seal(mb_at(m, i), circle_crc);
	}
	return blocks;
}

/* The captured states are durable: free what was freed, allow what was intended. */
static void captured_durable(struct circle_meta *m)
{
	struct circle_slots *s = m->slots;
	struct circle_record rec;
	unsigned long flags;
	u32 i;

	for (i = 0; i < m->nr_captured; i++) {
		struct circle_slot *sl;
		struct circle_shard *sh;

		circle_jblock_get(mb_at(m, i / CIRCLE_RECORDS_PER_MB), i % CIRCLE_RECORDS_PER_MB,
				  &rec);
		sl = &s->slot[rec.slot];
		sh = circle_shard_of(s, rec.state.owner, rec.state.block);
		if (!(rec.state.flags & CIRCLE_SLOT_MAPPED)) {
			if (READ_ONCE(sl->flags) & CIRCLE_SLOT_FREEING)
				circle_slot_freed(s, rec.slot);
			continue;
		}
		if (!(rec.state.flags & CIRCLE_SLOT_INTENT))
			continue;
		spin_lock_irqsave(&sh->lock, flags);
		if ((sl->flags & CIRCLE_SLOT_INTENT) && sl->owner == rec.state.owner &&
		    circle_slot_block(sl) == rec.state.block)
			sl->flags |= CIRCLE_SLOT_WRITABLE;
		spin_unlock_irqrestore(&sh->lock, flags);
	}
}

static int write_ring(struct circle_meta *m, u32 blocks)
{
	u64 ring = m->sb.journal_blocks, pos, first;
	int r;

	div64_u64_rem(m->next_lsn, ring, &pos);
	first = min_t(u64, blocks, ring - pos);
	r = circle_meta_write(m, CIRCLE_WRITE_DURABLY, m->sb.journal_start + pos, m->buf, first);
	if (!r && first < blocks)
		r = circle_meta_write(m, REQ_OP_WRITE | REQ_SYNC | REQ_FUA, m->sb.journal_start,
				      mb_at(m, first), blocks - first);
	return r;
}

static int fail(struct circle_meta *m, int r)
{
	if (r)
		__circle_meta_fail(m);
	return r;
}

/* Also another's that failed meanwhile counts: it may have taken what this one was to cover. */
static int flush_data(struct circle_meta *m)
{
	if (circle_bdev_flush(m->data))
		circle_meta_data_lost(m);
	return circle_meta_data_bad(m) ? -EIO : 0;
}

static int commit(struct circle_meta *m, bool flush)
{
	u32 cursor = 0, blocks;
	int r;

	lockdep_assert_held(&m->lock);
	if (m->failed)
		return -EIO;
	if (circle_meta_data_bad(m))
		return fail(m, -EIO);
	do {
		/* Behind a torn commit a load would take it for one whose beginning was lost. */
		if (!room(m) || !m->joins) {
			r = __circle_meta_checkpoint(m);
			if (r)
				return r;
		}
		blocks = capture(m, &cursor);
		if (!blocks)
			break;
		flush = false;
		r = flush_data(m);
		if (!r)
			r = write_ring(m, blocks);
		if (r)
			return fail(m, r);
		m->next_lsn += blocks;
		m->nr_commits++;
		m->nr_records += m->nr_captured;
		captured_durable(m);
	} while (blocks == CIRCLE_COMMIT_MAX);
	return flush ? fail(m, flush_data(m)) : 0;
}

int __circle_meta_commit(struct circle_meta *m, bool flush)
{
	int r;

	/* A slot's mark is cleared before it is durable: who sees no marks is to see this. */
	WRITE_ONCE(m->committing, true);
	smp_mb();		/* before the first mark is cleared; circle_meta_settled() */
	r = commit(m, flush);
	smp_mb();		/* after the last is durable */
	WRITE_ONCE(m->committing, false);
	return r;
}

int circle_meta_commit(struct circle_meta *m, bool flush)
{
	int r;

	mutex_lock(&m->lock);
	r = __circle_meta_commit(m, flush);
	mutex_unlock(&m->lock);
	return r;
}

void __circle_meta_image(struct circle_meta *m, void *mb, u32 page, u64 lsn)
{
	u32 first = page * CIRCLE_SLOTS_PER_MB, i;
	struct circle_slot_state st;

	circle_page_start(mb, m->sb.meta_uuid, page, lsn);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < m->slots->nr; i++) {
		circle_meta_capture(m, first + i, &st);
		circle_page_put(mb, i, &st);
	}
	circle_page_seal(mb, circle_crc);
}

/* Images of pages[0..nr), then the data they speak of, then the images to the other copies. */
static int write_pages(struct circle_meta *m, const u32 *page, u32 nr, u64 lsn)
{
	u32 i;
	int r;

	for (i = 0; i < nr; i++)
		__circle_meta_image(m, mb_at(m, i), page[i], lsn);
	r = flush_data(m);
	for (i = 0; i < nr && !r; i++) {
		u64 mb = m->sb.table_start + page[i];

		if (!test_bit(page[i], m->copy))
			mb += m->sb.table_pages;
		r = circle_meta_write(m, REQ_OP_WRITE, mb, mb_at(m, i), 1);
		change_bit(page[i], m->copy);
		m->page_lsn[page[i]] = lsn;
	}
	return r;
}

/*
 * A load that could not go by the map may have found an lsn that is in no record, and pages are to
 * get that one. Were this to end in the middle, a load by the map would not see it.
 */
static int forget_map(struct circle_meta *m)
{
	return m->map_is_named ? __circle_meta_write_super(m) : 0;
}

int __circle_meta_checkpoint(struct circle_meta *m)
{
	u64 lsn = m->next_lsn - 1;
	u32 page[CIRCLE_COMMIT_MBS], nr = 0;
	unsigned long b;
	int r = 0;

	lockdep_assert_held(&m->lock);
	if (m->failed)
		return -EIO;
	r = __circle_meta_load_rest(m, true);	/* else images of slots that are not here */
	if (!r)
		r = forget_map(m);
	if (r)
		return r;
	for_each_set_bit(b, m->stale, m->sb.table_pages) {
		__clear_bit(b, m->stale);
		page[nr++] = b;
		if (nr < CIRCLE_COMMIT_MBS)
			continue;
		r = write_pages(m, page, nr, lsn);
		nr = 0;
		if (r)
			return fail(m, r);
	}
	if (nr)
		r = write_pages(m, page, nr, lsn);
	if (!r) {
		r = circle_bdev_flush(m->bdev);
		if (r)
			__circle_meta_refused(m, true);
	}
	if (r)
		return fail(m, r);
	m->sb.tail_lsn = lsn + 1;
	m->sb.table_digest = 0;
	for (b = 0; b < m->sb.table_pages; b++)
		m->sb.table_digest += circle_page_digest(b, m->page_lsn[b]);
	m->joins = true;
	m->nr_checkpoints++;
	__circle_meta_write_map(m);
	return __circle_meta_write_super(m);
}
