// SPDX-License-Identifier: GPL-2.0-only
/*
 * resize: the slot table gets longer or shorter where it stands, so that a crash at any time leaves
 * metadata that load, of the old size or the new.
 *
 * The table begins at T, with p pages before and q after; A and B are its copies.
 *
 *	before	T: A0 .. Ap-1  B0 .. Bp-1  journal
 *	after	T: A0 .. Aq-1  B0 .. Bq-1  journal
 *
 *  1. All pages are brought up to date in both copies, which empties the journal.
 *  2. Longer: the journal moves behind where the table will end.
 *  3. The new B is written. Longer: it lies behind the old A. Shorter: it lies over the end of
 *     the old A, whose pages the old B still has, and before that. So the old table stays whole.
 *  4. The superblock says q. The new B is whole.
 *  5. Longer: the end of the new A is written.
 *
 * There is no copy map meanwhile. The superblock is written to both its copies, so that none of
 * them speaks of what was.
 */
#include "meta.h"
#include "slots_impl.h"

#include <linux/lockdep.h>
#include <linux/slab.h>

/* Both copies of the superblock. */
static int write_supers(struct circle_meta *m)
{
	int r = __circle_meta_write_super(m);

	return r ?: __circle_meta_write_super(m);
}

static int flush(struct circle_meta *m)
{
	int r = circle_bdev_flush(m->bdev);

	if (r)
		__circle_meta_refused(m, true);
	return r;
}

/* Pages [page, end) of the table, to the copy that begins at `start`. */
static int write_copy(struct circle_meta *m, u64 start, u32 page, u32 end, u64 lsn)
{
	u32 nr, i;
	int r = 0;

	for (; page < end && !r; page += nr) {
		nr = min_t(u32, CIRCLE_COMMIT_MBS, end - page);
		for (i = 0; i < nr; i++)
			__circle_meta_image(m, (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE,
					    page + i, lsn);
		r = circle_meta_write(m, REQ_OP_WRITE, start + page, m->buf, nr);
	}
	return r;
}

/*
 * Before step 1: pages are to get an lsn that no record ever has. If that ended in the middle, a
 * load that goes by the map would not see them, and use that lsn again.
 */
static int forget_map(struct circle_meta *m)
{
	int r = __circle_meta_load_rest(m, true);

	m->sb.map_lsn = 0;
	return r ?: write_supers(m);
}

/* Step 1. In one checkpoint all pages get one lsn, which no record of the journal has. */
static int level(struct circle_meta *m, u64 *lsn)
{
	u32 page, end, pages = m->sb.table_pages;
	int r = __circle_meta_commit(m, false);
	bool b;

	if (r)
		return r;
	*lsn = m->next_lsn++;
	bitmap_fill(m->stale, pages);
	r = __circle_meta_checkpoint(m);
	for (page = 0; page < pages && !r; page = end) {
		b = test_bit(page, m->copy);
		end = b ? find_next_zero_bit(m->copy, pages, page) :
			  find_next_bit(m->copy, pages, page);
		r = write_copy(m, m->sb.table_start + (b ? 0 : pages), page, end, *lsn);
	}
	return r ?: flush(m);
}

/* Steps 2 to 5. */
static int rewrite(struct circle_meta *m, const struct circle_super *to, u64 lsn)
{
	u32 before = m->sb.table_pages, after = to->table_pages, page;
	u64 start = m->sb.table_start;
	int r = 0;

	if (to->journal_start != m->sb.journal_start) {
		m->sb.journal_start = to->journal_start;
		m->sb.journal_blocks = to->journal_blocks;
		r = write_supers(m);
	}
	if (!r && after != before)
		r = write_copy(m, start + after, 0, after, lsn);
	if (!r)
		r = flush(m);
	if (r)
		return r;
	m->half_sized = true;
	m->sb.nr_slots = to->nr_slots;
	m->sb.table_pages = after;
	m->sb.table_digest = 0;
	for (page = 0; page < after; page++)
		m->sb.table_digest += circle_page_digest(page, lsn);
	r = write_supers(m);
	if (!r && after > before)
		r = write_copy(m, start, before, after, lsn);
	if (!r)
		r = flush(m);
	m->half_sized = r;
	return r;
}

/* What is known of the table in memory. */
struct table {
	struct circle_slots *slots;
	u64 *page_lsn;
	unsigned long *copy, *stale;
};

static void table_free(struct table *t)
{
	kvfree(t->stale);
	kvfree(t->copy);
	kvfree(t->page_lsn);
	circle_slots_destroy(t->slots);
}

static int table_alloc(struct table *t, const struct circle_super *sb)
{
	t->page_lsn = kvcalloc(sb->table_pages, sizeof(u64), GFP_KERNEL);
	t->copy = kvcalloc(BITS_TO_LONGS(sb->table_pages), sizeof(long), GFP_KERNEL);
	t->stale = kvcalloc(BITS_TO_LONGS(sb->table_pages), sizeof(long), GFP_KERNEL);
	t->slots = circle_slots_create(sb->nr_slots, sb->block_sectors);
	if (IS_ERR(t->slots))
		t->slots = NULL;
	return t->slots && t->page_lsn && t->copy && t->stale ? 0 : -ENOMEM;
}

/* Whoever shows counters without a lock may look at m->slots meanwhile: the object stays. */
static void take_over(struct circle_meta *m, struct table *t, u64 lsn)
{
	bool cleaned = READ_ONCE(m->slots->cleaned);	/* not told yet */
	struct circle_slot_state st;
	u8 stamp = circle_slot_now();
	u32 n, page;

	for (n = 0; n < t->slots->nr; n++) {
		memset(&st, 0, sizeof(st));
		if (n < m->slots->nr)
			circle_slot_state(m->slots, n, &st);
		circle_slot_put(t->slots, n, &st);
		circle_slot_enter(t->slots, n, stamp);
		if (!(n & 0xffff))
			cond_resched();
	}
	for (page = 0; page < m->sb.table_pages; page++)
		t->page_lsn[page] = lsn;
	swap(*m->slots, *t->slots);
	m->slots->cleaned |= cleaned;
	swap(m->page_lsn, t->page_lsn);
	swap(m->copy, t->copy);
	swap(m->stale, t->stale);
}

static int resize(struct circle_meta *m, const struct circle_super *to)
{
	struct table t = { };
	u64 lsn = 0;
	int r;

	lockdep_assert_held(&m->lock);
	if (m->failed)
		return -EIO;
	r = table_alloc(&t, to);
	if (!r) {
		m->mapless = true;
		r = forget_map(m);
		if (!r)
			r = level(m, &lsn);
		if (!r)
			r = rewrite(m, to, lsn);
		if (r)
			__circle_meta_fail(m);
		else
			take_over(m, &t, lsn);
		m->mapless = false;
	}
	table_free(&t);
	return r;
}

int circle_meta_resize(struct circle_meta *m, u64 nr, u64 *need)
{
	struct circle_super *to = kmalloc(sizeof(*to), GFP_KERNEL);
	int r;

	if (!to)
		return -ENOMEM;
	mutex_lock(&m->lock);
	*to = m->sb;
	r = circle_disk_resize(to, nr, div_u64(bdev_nr_sectors(m->bdev), CIRCLE_MB_SECTORS), need);
	if (!r)
		r = resize(m, to);
	mutex_unlock(&m->lock);
	kfree(to);
	return r;
}
