// SPDX-License-Identifier: GPL-2.0-only
/*
 * load: the slot table and the journal into memory, in two steps. First what may be newer than the
 * origin, what is not our own, and what is not in use: after that reads can be served, and writes
 * to such blocks. Then, perhaps behind, the rest: the clean blocks of our own, called plain.
 *
 * Until the rest is there it must not be overlooked that a block which is not in the index may
 * have a plain copy, nor may durable metadata call anything plain that this load did not find so:
 * of two slots for one block the plain one loses, whatever its tag (core/disk.h). So nothing leaves
 * the cache meanwhile, nothing is written back, and nothing goes through (engine/behind.c).
 */
#include "meta.h"

#include <linux/delay.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "../core/copymap.h"
#include "../core/scan.h"
#include "../log.h"
#include "slots_impl.h"

#define AT_ONCE		(CIRCLE_COMMIT_MBS / 2)		/* pages, of both copies */
#define READ_TRIES	5	/* of what was read at the start; then the metadata have failed */
#define READ_PAUSE_MS	200

static int alloc_table(struct circle_meta *m)
{
	size_t pages = m->sb.table_pages;

	m->newest_lsn = 0;
	circle_slots_destroy(m->slots);
	kvfree(m->page_lsn);
	kvfree(m->copy);
	kvfree(m->stale);
	kvfree(m->known);
	m->page_lsn = kvcalloc(pages, sizeof(u64), GFP_KERNEL);
	m->copy = kvcalloc(BITS_TO_LONGS(pages), sizeof(long), GFP_KERNEL);
	m->stale = kvcalloc(BITS_TO_LONGS(pages), sizeof(long), GFP_KERNEL);
	m->known = kvcalloc(BITS_TO_LONGS(m->sb.nr_slots), sizeof(long), GFP_KERNEL);
	m->slots = circle_slots_create(m->sb.nr_slots, m->sb.block_sectors);
	if (IS_ERR(m->slots)) {
		m->slots = NULL;
		return -ENOMEM;
	}
	return m->page_lsn && m->copy && m->stale && m->known ? 0 : -ENOMEM;
}

static int bad_entry(u32 n)
{
	CIRCLE_ERR("metadata: slot %u has an impossible entry", n);
	return -EBADMSG;
}

static u32 slots_in(const struct circle_meta *m, u32 page)
{
	return min_t(u32, m->slots->nr - page * CIRCLE_SLOTS_PER_MB, CIRCLE_SLOTS_PER_MB);
}

/* One load: what all that is entered is asked. */
struct load {
	struct circle_meta *m;
	u64 nr_blocks;
	bool all;			/* the plain ones too */
	bool unclean;			/* what may be dirty is so */
	u8 stamp;
	struct circle_tally tally;
};

/* Of two slots with one block only one is real: the other was being freed. */
static void judge_double(struct circle_meta *m, u32 n, u32 other)
{
	struct circle_slot_state a, b;
	struct circle_shard *sh;
	unsigned long flags;

	circle_slot_state(m->slots, n, &a);
	circle_slot_state(m->slots, other, &b);
	if (!circle_slot_state_beats(&a, &b)) {
		circle_slot_reject(m->slots, n);
		return;
	}
	if (circle_slot_lock(m->slots, other, &sh, &flags)) {
		__circle_slot_unmap(m->slots, sh, other);
		spin_unlock_irqrestore(&sh->lock, flags);
	}
	circle_slot_enter(m->slots, n, circle_slot_now());
}

/* What was put goes into index and queues. */
static inline void enter(struct load *l, u32 n, u16 owner, u64 block, u64 dirty)
{
	struct circle_slots *s = l->m->slots;
	struct circle_shard *sh;
	u32 *chain = circle_slot_chain(s, owner, block, &sh);
	u32 other = __circle_slot_enter(s, chain, sh, n, dirty, l->stamp, &l->tally);

	if (other != CIRCLE_NO_SLOT)
		judge_double(l->m, n, other);
}

/* After an unclean stop all that may be dirty is so. */
static inline u64 settle_intent(struct load *l, u32 n, u16 flags, u64 valid, u64 dirty)
{
	if (!l->unclean || !(flags & CIRCLE_SLOT_INTENT) || dirty == valid ||
	    (flags & CIRCLE_SLOT_LOST))
		return dirty;
	circle_slot_changed(l->m->slots, n);	/* lest a clean stop forgets it */
	return valid;
}

/*
 * Inline, lest what is decoded goes through memory: there are millions of them. st is the caller's,
 * since compilers are told to clear what is declared here.
 */
static __always_inline int enter_entry(struct load *l, const void *mb, u32 i, u32 n,
				       struct circle_slot_state *st)
{
	const struct circle_disk_page *d = mb;
	struct circle_slots *s = l->m->slots;

	circle_slot_decode(&d->slot[i], st);
	if (!circle_slot_state_ok(st, s->geom.all, l->nr_blocks))
		return bad_entry(n);
	if (!(st->flags & CIRCLE_SLOT_MAPPED)) {
		circle_slot_put(s, n, st);
		circle_slot_enter_unmapped(s, n);
		return 0;
	}
	if (!st->owner)
		st->dirty = settle_intent(l, n, st->flags, st->valid, st->dirty);
	circle_slot_put(s, n, st);
	enter(l, n, st->owner, st->block, st->dirty);
	return 0;
}

/* One of these entries is impossible; or was possible, and the journal is newer. */
static noinline int judge_plain(struct load *l, const void *mb, u32 first, u32 nr)
{
	struct circle_slot_state st;
	u32 i;

	for (i = 0; i < nr; i++) {
		circle_page_get(mb, i, &st);
		if (!test_bit(first + i, l->m->known) &&
		    !circle_slot_state_ok(&st, l->m->slots->geom.all, l->nr_blocks))
			return bad_entry(first + i);
	}
	return 0;
}

/* What is not plain, or all; but not what the journal has, which is newer. */
static int take_page(struct load *l, const void *mb, u32 page)
{
	u32 first = page * CIRCLE_SLOTS_PER_MB, nr = slots_in(l->m, page), todo = nr, i, at;
	struct circle_plain plain = { };
	struct circle_slot_state st;
	u8 odd[CIRCLE_SLOTS_PER_MB];
	int r = 0;

	if (!l->all)
		todo = circle_page_odd(mb, nr, odd, &plain);
	for (i = 0; i < todo && !r; i++) {
		at = l->all ? i : odd[i];
		if (!test_bit(first + at, l->m->known))
			r = enter_entry(l, mb, at, first + at, &st);
	}
	if (!r && !circle_plain_ok(&plain, l->m->slots->geom.all, l->nr_blocks))
		r = judge_plain(l, mb, first, nr);
	return r;
}

/*
 * Reads some pages from `page` on, of the copy that counts, into buf; where that changes from page
 * to page it reads both. Returns how many, or an error.
 */
static int read_pages(struct circle_meta *m, u32 page, bool *both)
{
	u32 end = min_t(u64, (u64)page + CIRCLE_COMMIT_MBS, m->sb.table_pages), nr, same;
	u64 at = m->sb.table_start + page, b = at + m->sb.table_pages;
	bool copy = test_bit(page, m->copy);
	int r;

	same = (copy ? find_next_zero_bit(m->copy, end, page) :
		       find_next_bit(m->copy, end, page)) - page;
	nr = min(end - page, AT_ONCE);
	*both = same < nr;
	if (!*both)
		return circle_meta_read(m, copy ? b : at, same, m->buf) ?: same;
	r = circle_meta_read(m, at, nr, m->buf) ?:
	    circle_meta_read(m, b, nr, m->buf + AT_ONCE * CIRCLE_MB_SIZE);
	if (!r)
		return nr;
	*both = false;			/* what cannot be read may not count */
	return circle_meta_read(m, copy ? b : at, same, m->buf) ?: same;
}

/* Where read_pages() put the i-th of the pages from `page` on. */
static const void *page_in(const struct circle_meta *m, u32 page, u32 i, bool both)
{
	if (both && test_bit(page + i, m->copy))
		i += AT_ONCE;
	return m->buf + (size_t)i * CIRCLE_MB_SIZE;
}

/*
 * As m->copy says. *sum: the digest of what was there. All are older than the journal's tail, so no
 * record is older than a page.
 */
static int load_pages(struct load *l, u64 *sum)
{
	struct circle_meta *m = l->m;
	u64 lsn;
	u32 page, i;
	bool both;
	int nr, r;

	*sum = 0;
	for (page = 0; page < m->sb.table_pages; page += nr) {
		nr = read_pages(m, page, &both);
		if (nr < 0)
			return nr;
		for (i = 0; i < nr; i++) {
			const void *mb = page_in(m, page, i, both);

			r = circle_page_check(mb, m->sb.meta_uuid, page + i, &lsn, circle_crc);
			if (!r && lsn >= m->sb.tail_lsn)
				r = -EBADMSG;
			if (!r)
				r = take_page(l, mb, page + i);
			if (r)
				return r;
			m->page_lsn[page + i] = lsn;
			*sum += circle_page_digest(page + i, lsn);
		}
		cond_resched();
	}
	return 0;
}

/*
 * Which copy of each page counts, and its lsn: the newest that is older than the journal's tail, of
 * which `seen` collects those that there are. A later one is of a checkpoint that did not end. It
 * never counts: a session that went by the map may have served without looking at it, and what was
 * written over in place since is dirty here and perhaps clean there. The next checkpoint is to
 * write over it, lest it look older than that one's tail; and no record may have its lsn.
 */
static int judge_copy(struct circle_meta *m, int copy, unsigned long *seen)
{
	u64 start = m->sb.table_start + copy * m->sb.table_pages, page, lsn;
	u32 nr, i;
	int r;

	for (page = 0; page < m->sb.table_pages; page += nr) {
		nr = min_t(u64, CIRCLE_COMMIT_MBS, m->sb.table_pages - page);
		r = circle_meta_read(m, start + page, nr, m->buf);
		if (r)
			return r;
		for (i = 0; i < nr; i++) {
			void *mb = m->buf + (size_t)i * CIRCLE_MB_SIZE;

			if (circle_page_check(mb, m->sb.meta_uuid, page + i, &lsn, circle_crc))
				continue;
			m->newest_lsn = max(m->newest_lsn, lsn);
			if (lsn >= m->sb.tail_lsn) {
				__set_bit(page + i, m->stale);
				continue;
			}
			if (test_bit(page + i, seen) && lsn <= m->page_lsn[page + i])
				continue;
			__set_bit(page + i, seen);
			m->page_lsn[page + i] = lsn;
			if (copy)
				__set_bit(page + i, m->copy);
		}
		cond_resched();
	}
	return 0;
}

/* A newest copy that is damaged must not let an older one be taken for it. */
static int check_digest(const struct circle_meta *m)
{
	u64 sum = 0, page;

	for (page = 0; page < m->sb.table_pages; page++)
		sum += circle_page_digest(page, m->page_lsn[page]);
	if (sum == m->sb.table_digest)
		return 0;
	CIRCLE_ERR("metadata: a page of the slot table is older than it should be: a write was lost, or its newest copy is damaged");
	return -EBADMSG;
}

/* Without a map. */
static int judge_copies(struct circle_meta *m)
{
	unsigned long *seen = kvcalloc(BITS_TO_LONGS(m->sb.table_pages), sizeof(long), GFP_KERNEL);
	int r = seen ? judge_copy(m, 0, seen) : -ENOMEM;

	if (!r)
		r = judge_copy(m, 1, seen);
	if (!r && !bitmap_full(seen, m->sb.table_pages)) {
		CIRCLE_ERR("metadata: page %lu of the slot table is damaged in both copies",
			   find_first_zero_bit(seen, m->sb.table_pages));
		r = -EBADMSG;
	}
	if (!r)
		r = check_digest(m);
	kvfree(seen);
	return r;
}

/*
 * A record in memory has no room for everything that is on disk: what is kept must fit. It may be
 * older than the newest, and of an origin that has shrunk since.
 */
static int keep(struct circle_meta *m, u32 n, const struct circle_slot_state *st)
{
	if (!circle_slot_state_ok(st, m->slots->geom.all, CIRCLE_MAX_BLOCK + 1))
		return bad_entry(n);
	circle_slot_put(m->slots, n, st);
	__set_bit(n, m->known);
	return 0;
}

static int apply(struct circle_meta *m, const struct circle_record *rec)
{
	u32 page = rec->slot / CIRCLE_SLOTS_PER_MB;

	if (rec->slot >= m->slots->nr)
		return -EBADMSG;
	m->dirtied |= !rec->state.owner && rec->state.dirty;
	__set_bit(page, m->stale);	/* which is older: see load_pages(), judge_copy() */
	return keep(m, rec->slot, &rec->state);
}

/* Walks lsn tail .. tail + ring - 1. With scan: only judges; else applies up to `end`. */
static int walk_journal(struct circle_meta *m, struct circle_scan *scan, u64 end)
{
	u64 ring = m->sb.journal_blocks, lsn, pos;
	struct circle_record rec;
	struct circle_jhead h;
	u32 nr, i, k;
	int r;

	for (lsn = m->sb.tail_lsn; lsn < end; lsn += nr) {
		div64_u64_rem(lsn, ring, &pos);
		nr = min3((u64)CIRCLE_COMMIT_MBS, ring - pos, end - lsn);
		r = circle_meta_read(m, m->sb.journal_start + pos, nr, m->buf);
		if (r)
			return r;
		for (i = 0; i < nr; i++) {
			void *mb = m->buf + (size_t)i * CIRCLE_MB_SIZE;

			/* Most is of the round before, and need not be summed to say so. */
			if (circle_jblock_is_older(mb, m->sb.tail_lsn))
				r = -ENODATA;
			else
				r = circle_jblock_check(mb, m->sb.meta_uuid, &h, circle_crc);
			if (scan)
				r = circle_scan_feed(scan, lsn + i, r, &h);
			for (k = 0; !scan && !r && k < h.nr_records; k++) {
				circle_jblock_get(mb, k, &rec);
				r = apply(m, &rec);
			}
			if (r)
				return r;
		}
	}
	return 0;
}

static int replay(struct circle_meta *m)
{
	struct circle_scan scan;
	int r;

	m->dirtied = false;
	circle_scan_init(&scan, m->sb.tail_lsn, m->sb.journal_blocks);
	r = walk_journal(m, &scan, m->sb.tail_lsn + m->sb.journal_blocks);
	if (r == -EIO)
		CIRCLE_ERR("metadata: the journal cannot be read, or a write in its middle was lost");
	if (!r)
		r = walk_journal(m, NULL, scan.end);
	m->next_lsn = max3(scan.max_lsn, m->sb.tail_lsn - 1, m->newest_lsn) + 1;
	m->joins = m->next_lsn == scan.end;
	return r;
}

/* The load is over: all is there, or the rest never will be. */
static void end(struct circle_meta *m)
{
	unsigned long *known = m->known;

	/* Who sees this sees the whole index; pairs with circle_meta_is_behind(). */
	smp_store_release(&m->known, NULL);
	kvfree(known);
}

/* The newest records of the journal, which were put. */
static int enter_known(struct load *l)
{
	struct circle_slots *s = l->m->slots;
	u64 valid, dirty, was;
	unsigned long n;
	u32 nr = 0;

	for_each_set_bit(n, l->m->known, s->nr) {
		const struct circle_slot *sl = &s->slot[n];

		if (!(++nr & 0xfff))
			cond_resched();

		if (!(sl->flags & CIRCLE_SLOT_MAPPED)) {
			circle_slot_enter_unmapped(s, n);
			continue;
		}
		dirty = circle_slot_dirty(s, n);
		if (!sl->owner) {
			if (circle_slot_block(sl) >= l->nr_blocks)
				return bad_entry(n);
			was = dirty;
			valid = circle_slot_valid(s, n);
			dirty = settle_intent(l, n, sl->flags, valid, was);
			if (dirty != was)
				circle_masks_put(&s->masks, n, valid, dirty);
		}
		enter(l, n, sl->owner, circle_slot_block(sl), dirty);
	}
	return 0;
}

/* From the copies that m->copy names. */
static int load_copies(struct load *l)
{
	struct circle_meta *m = l->m;
	u64 sum;
	int r = replay(m);

	/*
	 * CLEAN with something dirty behind it: an older copy (the newer one is damaged). A server
	 * that went on after a suspend, or a resize, makes no page of ours dirty.
	 */
	l->unclean = !(m->sb.flags & CIRCLE_SBF_CLEAN) || m->dirtied;
	if (!r)
		r = enter_known(l);
	if (!r)
		r = load_pages(l, &sum);
	circle_tally_add(m->slots, &l->tally);
	m->slots->cleaned = false;
	memset(&l->tally, 0, sizeof(l->tally));
	return r ?: sum == m->sb.table_digest ? 0 : -EIO;
}

static int load_table(struct load *l)
{
	struct circle_meta *m = l->m;
	int r = alloc_table(m);

	if (r)
		return r;
	if (!circle_meta_read_map(m) && !load_copies(l))
		return 0;
	/* No map, or what it led to is not what stood there at the last checkpoint. */
	m->map_is_named = m->sb.map_lsn;
	m->sb.map_lsn = 0;
	r = alloc_table(m);
	if (!r)
		r = judge_copies(m);
	return r ?: load_copies(l);
}

int circle_meta_load(struct circle_meta *m, bool behind, bool *unclean)
{
	struct load l = {
		.m = m,
		.nr_blocks = DIV_ROUND_UP_ULL(m->sb.origin_sectors, m->sb.block_sectors),
		.all = !behind,
		.stamp = circle_slot_now(),
	};
	int r;

	mutex_lock(&m->lock);
	r = load_table(&l);
	*unclean = l.unclean;
	if (l.unclean)		/* so says any superblock from here on */
		m->sb.flags &= ~CIRCLE_SBF_CLEAN;
	m->rest = 0;
	if (!r && !behind)
		end(m);
	mutex_unlock(&m->lock);
	return r;
}

/*
 * A plain slot. Its block may have another: then this one was being freed, or that one may be newer
 * than the origin. That one is in use by now.
 */
static int enter_plain(struct circle_meta *m, const void *mb, u32 i, u32 n, u64 nr_blocks, u8 stamp)
{
	struct circle_slot_state st;

	if (test_bit(n, m->known))
		return 0;		/* the journal is newer */
	circle_page_get(mb, i, &st);
	if (!circle_slot_state_ok(&st, m->slots->geom.all, nr_blocks))
		return bad_entry(n);
	circle_slot_put(m->slots, n, &st);
	if (circle_slot_enter(m->slots, n, stamp) != CIRCLE_NO_SLOT)
		circle_slot_reject(m->slots, n);
	return 0;
}

static int enter_page(struct circle_meta *m, const void *mb, u32 page)
{
	u64 nr_blocks = DIV_ROUND_UP_ULL(m->sb.origin_sectors, m->sb.block_sectors);
	u32 first = page * CIRCLE_SLOTS_PER_MB, nr = slots_in(m, page), i;
	const struct circle_disk_page *d = mb;
	u8 stamp = circle_slot_now();
	int r = 0;

	for (i = 0; i < nr && !r; i++)
		if (circle_entry_plain(&d->slot[i]))
			r = enter_plain(m, mb, i, first + i, nr_blocks, stamp);
	return r;
}

/* As read_pages(), of what was read before. */
static int read_again(struct circle_meta *m, u32 page, bool *both)
{
	int nr = read_pages(m, page, both), i;
	u64 lsn;

	for (i = 0; i < nr; i++)
		if (circle_page_check(page_in(m, page, i, *both), m->sb.meta_uuid, page + i, &lsn,
				      circle_crc) || lsn != m->page_lsn[page + i])
			return -EIO;
	return nr;
}

/* Some more pages. They are as they were: no checkpoint has been since. */
static int enter_some(struct circle_meta *m)
{
	int nr = -EIO, tries, i, r = 0;
	bool both;

	for (tries = 0; nr < 0 && tries < READ_TRIES; tries++) {
		if (tries)
			msleep(READ_PAUSE_MS);
		nr = read_again(m, m->rest, &both);
	}
	if (nr < 0)
		CIRCLE_ERR("metadata: the slot table cannot be read any more, from page %u on",
			   m->rest);
	for (i = 0; i < nr && !r; i++)
		r = enter_page(m, page_in(m, m->rest, i, both), m->rest + i);
	if (nr < 0 || r) {
		m->bad = true;
		__circle_meta_fail(m);
		return nr < 0 ? nr : r;
	}
	m->rest += nr;
	return 0;
}

int __circle_meta_load_rest(struct circle_meta *m, bool all)
{
	int r = 0;

	lockdep_assert_held(&m->lock);
	if (!m->known)
		return 0;
	do {
		/* What stands there may be void soon; nothing that is not here is ever believed. */
		if (m->failed)
			r = -EIO;
		if (!r && m->rest < m->sb.table_pages)
			r = enter_some(m);
		if (r || m->rest >= m->sb.table_pages) {
			end(m);
			return r;
		}
		cond_resched();
	} while (all);
	return 1;
}

int circle_meta_load_rest(struct circle_meta *m, bool all)
{
	int r;

	mutex_lock(&m->lock);
	r = __circle_meta_load_rest(m, all);
	mutex_unlock(&m->lock);
	return r;
}
