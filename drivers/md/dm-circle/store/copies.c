// SPDX-License-Identifier: GPL-2.0-only
/*
 * copies: the copy map, which says of each table page which of its copies counted at the last
 * checkpoint, so that a load reads only that. It stands behind either superblock, and is written,
 * as they are, where the one that counts is not. A load believes it only when the pages it leads to
 * add up to the superblock's digest.
 */
#include "meta.h"

#include <linux/lockdep.h>
#include "../core/copymap.h"
#include "../log.h"

static u64 place(u8 at)
{
	return 1 + (at ? CIRCLE_SB_COPY1_MB : 0);
}

static int read_map(struct circle_meta *m, u8 at)
{
	u32 mbs = circle_map_mbs(m->sb.table_pages), i;
	u64 page;
	int r = circle_meta_read(m, place(at), mbs, m->buf);

	for (i = 0; i < mbs && !r; i++)
		r = circle_map_check(m->buf + (size_t)i * CIRCLE_MB_SIZE, m->sb.meta_uuid, i,
				     m->sb.map_lsn, circle_crc);
	for (page = 0; page < m->sb.table_pages && !r; page++)
		if (circle_map_get(m->buf + page / CIRCLE_MAP_BITS * CIRCLE_MB_SIZE,
				   page % CIRCLE_MAP_BITS))
			__set_bit(page, m->copy);
	return r;
}

int circle_meta_read_map(struct circle_meta *m)
{
	lockdep_assert_held(&m->lock);
	if (!m->sb.map_lsn || !circle_map_mbs(m->sb.table_pages))
		return -ENODATA;
	for (m->map_at = 0; m->map_at < 2; m->map_at++)
		if (!read_map(m, m->map_at))
			return 0;
	m->map_at = 0;
	return -ENODATA;
}

void __circle_meta_write_map(struct circle_meta *m)
{
	u32 mbs = circle_map_mbs(m->sb.table_pages), i;
	unsigned long page;
	int r;

	lockdep_assert_held(&m->lock);
	m->sb.map_lsn = 0;
	if (!mbs || m->mapless)
		return;
	for (i = 0; i < mbs; i++)
		circle_map_start(m->buf + (size_t)i * CIRCLE_MB_SIZE, m->sb.meta_uuid, i,
				 m->sb.tail_lsn);
	for_each_set_bit(page, m->copy, m->sb.table_pages)
		circle_map_put(m->buf + page / CIRCLE_MAP_BITS * CIRCLE_MB_SIZE,
			       page % CIRCLE_MAP_BITS, true);
	for (i = 0; i < mbs; i++)
		circle_map_seal(m->buf + (size_t)i * CIRCLE_MB_SIZE, circle_crc);
	r = circle_bdev_rw(m->io, m->bdev, REQ_OP_WRITE, place(!m->map_at) * CIRCLE_MB_SECTORS,
			   m->buf, mbs * CIRCLE_MB_SECTORS);
	if (r) {		/* a hint is not worth what is kept here */
		CIRCLE_WARN("the metadata device failed a write of the copy map: the next start takes longer");
		return;
	}
	m->map_at = !m->map_at;
	m->sb.map_lsn = m->sb.tail_lsn;
}
