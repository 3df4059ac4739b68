// SPDX-License-Identifier: GPL-2.0-only
/*
 * meta: opening and formatting the metadata device. Nothing read here is believed before core/ has
 * checked it. Opening only reads; formatting never touches a device that is not blank (the caller
 * asks open() first).
 */
#include "meta.h"

#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../core/copymap.h"

struct circle_meta *circle_meta_create(struct block_device *bdev, struct block_device *data)
{
	struct circle_meta *m = kzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return ERR_PTR(-ENOMEM);
	mutex_init(&m->lock);
	m->bdev = bdev;
	m->data = data;
	/* In one piece if there is one: a read or write of it takes fewer instructions. */
	m->buf = kvmalloc(CIRCLE_COMMIT_MBS * CIRCLE_MB_SIZE, GFP_KERNEL);
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
	kvfree(m->known);
	if (m->io)
		dm_io_client_destroy(m->io);
	vfree(m->captured);
	kvfree(m->buf);
	kfree(m);
}

int circle_meta_read(struct circle_meta *m, u64 mb, u32 nr, void *buf)
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
	int r = circle_meta_read(m, 0, CIRCLE_TABLE_START_MB, m->buf);

	for (i = 1; !r && i < CIRCLE_TABLE_START_MB; i++) {
		void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

		if (!memchr_inv(mb, 0, CIRCLE_MB_SIZE))
			continue;
		any = true;
		if ((i != CIRCLE_SB_COPY1_MB || !circle_super_is(mb)) && !circle_map_is(mb))
			r = circle_dm_block_check(mb, i, circle_crc);
	}
	if (r || !any)
		return r ?: -ENODATA;
	m->left_over = !damaged && !(m->sb.flags & CIRCLE_SBF_CIRCLE);
	return -EUCLEAN;
}

static int read_super(struct circle_meta *m, u64 mb, struct circle_super *sb)
{
	int r = circle_meta_read(m, mb, 1, m->buf);

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
	/* Also when the cache device alone has failed. */
	if ((!m->failed || !m->bad) && !__circle_meta_write_super(m))
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
	m->sb.map_lsn = 0;
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
