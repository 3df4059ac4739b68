// SPDX-License-Identifier: GPL-2.0-only
/*
 * meta: opening, formatting and loading the metadata device. Nothing read here is believed before
 * core/ has checked it. Opening only reads; formatting never touches a device that is not blank
 * (the caller asks open() first).
 */
#include "meta.h"

#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../core/scan.h"
#include "../log.h"

struct circle_meta *circle_meta_create(struct block_device *bdev, struct block_device *data)
{
	struct circle_meta *m = kzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return ERR_PTR(-ENOMEM);
	mutex_init(&m->lock);
	m->bdev = bdev;
	m->data = data;
	m->buf = vmalloc(CIRCLE_COMMIT_MBS * CIRCLE_MB_SIZE);
	m->captured = vmalloc(CIRCLE_COMMIT_MAX * CIRCLE_RECORDS_PER_MB * sizeof(u32));
	m->io = dm_io_client_create();
	if (IS_ERR(m->io))
		m->io = NULL;
	if (m->buf && m->captured && m->io)
		return m;
	circle_meta_destroy(m);
	return ERR_PTR(-ENOMEM);
}

void circle_meta_destroy(struct circle_meta *m)
{
	if (IS_ERR_OR_NULL(m))
		return;
	circle_slots_destroy(m->slots);
	kvfree(m->page_lsn);
	kvfree(m->copy);
	kvfree(m->stale);
	if (m->io)
		dm_io_client_destroy(m->io);
	vfree(m->captured);
	vfree(m->buf);
	kfree(m);
}

static int read_mbs(struct circle_meta *m, u64 mb, u32 nr, void *buf)
{
	return circle_bdev_rw(m->io, m->bdev, REQ_OP_READ, mb * CIRCLE_MB_SECTORS, buf,
			      nr * CIRCLE_MB_SECTORS);
}

/*
 * The first block is zero. Others keep their superblocks behind it: all before the table must be
 * zero too, or left of metadata whose first block somebody wiped, as is done with dm-cache's.
 */
static int left_over(struct circle_meta *m, bool damaged)
{
	bool any = false;
	u32 i;
	int r = read_mbs(m, 0, CIRCLE_TABLE_START_MB, m->buf);

	for (i = 1; !r && i < CIRCLE_TABLE_START_MB; i++) {
		void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

		if (!memchr_inv(mb, 0, CIRCLE_MB_SIZE))
			continue;
		any = true;
		if (i != CIRCLE_SB_COPY1_MB || !circle_super_is(mb))
			r = circle_dm_block_check(mb, i, circle_crc);
	}
	if (r || !any)
		return r ?: -ENODATA;
	m->left_over = !damaged && !(m->sb.flags & CIRCLE_SBF_CIRCLE);
	return -EUCLEAN;
}

static int read_super(struct circle_meta *m, u64 mb, struct circle_super *sb)
{
	int r = read_mbs(m, mb, 1, m->buf);

	return r ?: circle_super_decode(m->buf, sb, circle_crc);
}

/* Newest valid copy of the superblock. One copy may be torn; both damaged, or one foreign or newer
 * than us, is an error. Blank only when both are.
 */
int circle_meta_open(struct circle_meta *m)
{
	static const u64 where[2] = { 0, CIRCLE_SB_COPY1_MB };
	struct circle_super *sb = kmalloc(sizeof(*sb), GFP_KERNEL);
	int r[2], i, best = -1;

	if (!sb)
		return -ENOMEM;
	if (bdev_nr_sectors(m->bdev) < CIRCLE_TABLE_START_MB * CIRCLE_MB_SECTORS) {
		kfree(sb);
		return -ENOSPC;
	}
	for (i = 0; i < 2; i++) {
		r[i] = read_super(m, where[i], sb);
		if (!r[i] && (best < 0 || sb->seq > m->sb.seq)) {
			m->sb = *sb;
			best = i;
		}
	}
	kfree(sb);
	for (i = 0; i < 2; i++)
		if (r[i] == -EPROTONOSUPPORT || r[i] == -EIO ||
		    (r[i] == -EINVAL && r[0] != -ENODATA))
			return r[i];
	if (r[0] == -ENODATA)
		return left_over(m, r[1] == -EBADMSG);
	if (best < 0)
		return -EBADMSG;
	if (m->sb.flags & CIRCLE_SBF_VOID)
		return 0;		/* which is worse; the caller asks circle_meta_is_void() */
	return m->sb.flags & CIRCLE_SBF_NEEDS_CHECK ? -EUNATCH : 0;
}

static int alloc_table(struct circle_meta *m)
{
	size_t pages = m->sb.table_pages;

	circle_slots_destroy(m->slots);
	kvfree(m->page_lsn);
	kvfree(m->copy);
	kvfree(m->stale);
	m->page_lsn = kvcalloc(pages, sizeof(u64), GFP_KERNEL);
	m->copy = kvcalloc(BITS_TO_LONGS(pages), sizeof(long), GFP_KERNEL);
	m->stale = kvcalloc(BITS_TO_LONGS(pages), sizeof(long), GFP_KERNEL);
	m->slots = circle_slots_create(m->sb.nr_slots, m->sb.block_sectors);
	if (IS_ERR(m->slots)) {
		m->slots = NULL;
		return -ENOMEM;
	}
	return m->page_lsn && m->copy && m->stale ? 0 : -ENOMEM;
}

u32 circle_meta_store_id(const struct circle_meta *m)
{
	__le32 renounced = cpu_to_le32(READ_ONCE(m->sb.renounced));
	u32 id = circle_crc(~0, m->sb.meta_uuid, CIRCLE_UUID_SIZE);

	return circle_crc(id, &renounced, sizeof(renounced));
}

void circle_meta_renounce(struct circle_meta *m)
{
	mutex_lock(&m->lock);
	WRITE_ONCE(m->sb.renounced, m->sb.renounced + 1);
	if (!m->failed && !__circle_meta_write_super(m))
		__circle_meta_write_super(m);	/* no copy says less */
	mutex_unlock(&m->lock);
}

size_t circle_meta_bytes(const struct circle_meta *m)
{
	size_t pages = m->sb.table_pages;

	return m->slots->bytes + PAGE_ALIGN(pages * sizeof(u64)) +
	       2 * PAGE_ALIGN(BITS_TO_LONGS(pages) * sizeof(long));
}

/* A second superblock that is left over would be the newer one. */
static int wipe(struct circle_meta *m)
{
	if (!m->left_over)
		return 0;
	memset(m->buf, 0, CIRCLE_TABLE_START_MB * CIRCLE_MB_SIZE);
	return circle_meta_write(m, CIRCLE_WRITE_DURABLY, 0, m->buf, CIRCLE_TABLE_START_MB);
}

/* Table first, superblock last: a crash in between leaves a device that is still blank at 0, or
 * is formatted.
 */
int circle_meta_format(struct circle_meta *m)
{
	u64 page;
	int r;

	get_random_bytes(m->sb.meta_uuid, sizeof(m->sb.meta_uuid));
	m->sb.seq = 1;
	m->sb.tail_lsn = 1;
	m->sb.table_digest = 0;
	for (page = 0; page < m->sb.table_pages; page++)
		m->sb.table_digest += circle_page_digest(page, 0);
	m->sb.flags |= CIRCLE_SBF_CLEAN;
	mutex_lock(&m->lock);
	r = wipe(m);
	for (page = 0; page < m->sb.table_pages && !r; page += CIRCLE_COMMIT_MBS) {
		u32 nr = min_t(u64, CIRCLE_COMMIT_MBS, m->sb.table_pages - page), i;

		for (i = 0; i < nr; i++) {
			void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

			circle_page_start(mb, m->sb.meta_uuid, page + i, 0);
			circle_page_seal(mb, circle_crc);
		}
		r = circle_meta_write(m, REQ_OP_WRITE, m->sb.table_start + page, m->buf, nr);
	}
	if (!r)
		r = circle_bdev_flush(m->bdev);
	if (!r)
		r = __circle_meta_write_super(m);
	if (!r)
		r = __circle_meta_write_super(m);	/* both copies */
	mutex_unlock(&m->lock);
	return r;
}

static int bad_entry(u32 n)
{
	CIRCLE_ERR("metadata: slot %u has an impossible entry", n);
	return -EBADMSG;
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
	return 0;
}

static int take_page(struct circle_meta *m, const void *mb, u32 page)
{
	u32 first = page * CIRCLE_SLOTS_PER_MB, i;
	struct circle_slot_state st;
	int r = 0;

	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < m->slots->nr && !r; i++) {
		circle_page_get(mb, i, &st);
		r = keep(m, first + i, &st);
	}
	return r;
}

/*
 * One copy of the table; `seen` collects pages of which a valid copy was found, `then` the newest
 * lsn that a page had at the last checkpoint (a later one is of a checkpoint that did not end).
 */
static int load_copy(struct circle_meta *m, int copy, unsigned long *seen, u64 *then)
{
	u64 start = m->sb.table_start + copy * m->sb.table_pages, page, lsn;
	u32 nr, i;
	int r;

	for (page = 0; page < m->sb.table_pages; page += nr) {
		nr = min_t(u64, CIRCLE_COMMIT_MBS, m->sb.table_pages - page);
		r = read_mbs(m, start + page, nr, m->buf);
		if (r)
			return r;
		for (i = 0; i < nr; i++) {
			void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

			if (circle_page_check(mb, m->sb.meta_uuid, page + i, &lsn, circle_crc))
				continue;
			if (lsn < m->sb.tail_lsn && lsn >= then[page + i])
				then[page + i] = lsn + 1;
			if (test_bit(page + i, seen) && lsn <= m->page_lsn[page + i])
				continue;
			__set_bit(page + i, seen);
			m->page_lsn[page + i] = lsn;
			if (copy)
				__set_bit(page + i, m->copy);
			r = take_page(m, mb, page + i);
			if (r)
				return r;
		}
	}
	return 0;
}

/* A newest copy that is damaged must not let an older one be taken for it. */
static int check_digest(struct circle_meta *m, const u64 *then)
{
	u64 sum = 0, page;

	for (page = 0; page < m->sb.table_pages; page++) {
		if (!then[page])
			return 0;	/* only a newer one is left, which is as good */
		sum += circle_page_digest(page, then[page] - 1);
	}
	if (sum == m->sb.table_digest)
		return 0;
	CIRCLE_ERR("metadata: a page of the slot table is older than it should be: a write was lost, or its newest copy is damaged");
	return -EBADMSG;
}

static int load_table(struct circle_meta *m)
{
	unsigned long *seen = kvcalloc(BITS_TO_LONGS(m->sb.table_pages), sizeof(long), GFP_KERNEL);
	u64 *then = kvcalloc(m->sb.table_pages, sizeof(u64), GFP_KERNEL);
	int r = seen && then ? 0 : -ENOMEM;

	if (!r)
		r = load_copy(m, 0, seen, then);
	if (!r)
		r = load_copy(m, 1, seen, then);
	if (!r && !bitmap_full(seen, m->sb.table_pages)) {
		CIRCLE_ERR("metadata: page %lu of the slot table is damaged in both copies",
			   find_first_zero_bit(seen, m->sb.table_pages));
		r = -EBADMSG;
	}
	if (!r)
		r = check_digest(m, then);
	kvfree(then);
	kvfree(seen);
	return r;
}

static int apply(struct circle_meta *m, const struct circle_record *rec, u64 lsn)
{
	u32 page = rec->slot / CIRCLE_SLOTS_PER_MB;

	if (rec->slot >= m->slots->nr)
		return -EBADMSG;
	m->dirtied |= !rec->state.owner && rec->state.dirty;
	if (lsn <= m->page_lsn[page])
		return 0;
	__set_bit(page, m->stale);
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
		r = read_mbs(m, m->sb.journal_start + pos, nr, m->buf);
		if (r)
			return r;
		for (i = 0; i < nr; i++) {
			void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

			r = circle_jblock_check(mb, m->sb.meta_uuid, &h, circle_crc);
			if (scan)
				r = circle_scan_feed(scan, lsn + i, r, &h);
			for (k = 0; !scan && !r && k < h.nr_records; k++) {
				circle_jblock_get(mb, k, &rec);
				r = apply(m, &rec, h.lsn);
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
	u64 lsn;
	u32 i;
	int r;

	circle_scan_init(&scan, m->sb.tail_lsn, m->sb.journal_blocks);
	r = walk_journal(m, &scan, m->sb.tail_lsn + m->sb.journal_blocks);
	if (r == -EIO)
		CIRCLE_ERR("metadata: the journal cannot be read, or a write in its middle was lost");
	if (!r)
		r = walk_journal(m, NULL, scan.end);
	lsn = max(scan.max_lsn, m->sb.tail_lsn - 1);
	for (i = 0; i < m->sb.table_pages; i++)
		lsn = max(lsn, m->page_lsn[i]);
	m->next_lsn = lsn + 1;
	return r;
}

/* Of two slots with one block only the newer is real: the older one was being freed. */
static void drop_double(struct circle_meta *m, u32 n, const struct circle_slot_state *st)
{
	struct circle_shard *sh = circle_shard_of(m->slots, st->owner, st->block);
	u32 other;

	spin_lock_irq(&sh->lock);
	other = __circle_slot_find(m->slots, sh, st->owner, st->block);
	if (other != CIRCLE_NO_SLOT) {
		struct circle_tag a = circle_slot_tag(&m->slots->slot[other]);
		struct circle_tag b = { st->gen, st->seq };

		if (circle_tag_cmp(a, b) < 0) {
			__circle_slot_unmap(m->slots, sh, other);
		} else {
			m->slots->slot[n].flags = CIRCLE_SLOT_FREEING;
			atomic_inc(&m->slots->nr_freeing);
			circle_slot_changed(m->slots, n);
		}
	}
	spin_unlock_irq(&sh->lock);
}

static int enter_slots(struct circle_meta *m, bool unclean)
{
	u64 nr_blocks = DIV_ROUND_UP_ULL(m->sb.origin_sectors, m->sb.block_sectors);
	static const struct circle_slot_state none;
	struct circle_slot_state st;
	bool intent;
	u32 n;

	for (n = 0; n < m->slots->nr; n++) {
		struct circle_slot *sl = &m->slots->slot[n];

		circle_slot_state(m->slots, n, &st);
		if (!circle_slot_state_ok(&st, m->slots->geom.all, nr_blocks))
			return bad_entry(n);
		intent = unclean && !st.owner && (st.flags & CIRCLE_SLOT_INTENT) &&
			 st.dirty != st.valid;
		if (intent)
			st.dirty = st.valid;
		circle_slot_put(m->slots, n, &none);
		if (st.flags & CIRCLE_SLOT_MAPPED)
			drop_double(m, n, &st);
		if (!(sl->flags & CIRCLE_SLOT_FREEING))
			circle_slot_load(m->slots, n, &st);
		if (intent)
			circle_slot_changed(m->slots, n);	/* lest a clean stop forgets it */
		if (!(n & 0xffff))
			cond_resched();
	}
	return 0;
}

int circle_meta_load(struct circle_meta *m, bool *unclean)
{
	int r;

	mutex_lock(&m->lock);
	m->dirtied = false;
	r = alloc_table(m);
	if (!r)
		r = load_table(m);
	if (!r)
		r = replay(m);
	/*
	 * CLEAN with something dirty behind it: an older copy (the newer one is damaged). A server
	 * that went on after a suspend, or a resize, makes no page of ours dirty.
	 */
	*unclean = !(m->sb.flags & CIRCLE_SBF_CLEAN) || m->dirtied;
	if (!r)
		r = enter_slots(m, *unclean);
	mutex_unlock(&m->lock);
	return r;
}
