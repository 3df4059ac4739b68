// SPDX-License-Identifier: GPL-2.0-only
/*
 * meta_write: the two ways to change a metadata device: a checkpoint and the superblock. As in the
 * kernel (store/journal.c) each page goes to the copy that does not count, under an lsn that was
 * never used, and counts only for what it says itself until the superblock follows. So a crash at
 * any moment leaves what was there before, or what is to be there, slot page by slot page.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "meta.h"
#include "tool.h"

static void page_image(struct meta *m, u64 page, u64 lsn)
{
	u64 first = page * CIRCLE_SLOTS_PER_MB;
	u32 i;

	circle_page_start(m->buf, m->sb.meta_uuid, page, lsn);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < m->sb.nr_slots; i++)
		circle_page_put(m->buf, i, &m->slot[first + i]);
	circle_page_seal(m->buf, tool_crc);
}

static int write_page(struct meta *m, u64 page, u64 lsn)
{
	struct meta_page *p = &m->page[page];
	u64 mb = m->sb.table_start + page;
	int err;

	if (!p->copy)
		mb += m->sb.table_pages;
	page_image(m, page, lsn);
	err = dev_write(m->dev, mb * CIRCLE_MB_SECTORS, m->buf, CIRCLE_MB_SECTORS);
	if (err)
		return err;
	p->copy ^= 1;
	p->lsn = lsn;
	p->stale = false;
	return 0;
}

static int failed(const struct meta *m, int err)
{
	if (err)
		tool_err("%s cannot be written: %s", m->dev->path, strerror(-err));
	return err;
}

int meta_write_super(struct meta *m)
{
	u64 mb;

	/* Odd ones stand in copy 1; never where the newest is. */
	m->sb.seq++;
	if ((m->sb.seq & 1) == m->super_copy)
		m->sb.seq++;
	m->super_copy = m->sb.seq & 1;
	mb = m->super_copy ? CIRCLE_SB_COPY1_MB : 0;
	circle_super_encode(&m->sb, m->buf, tool_crc);
	return failed(m, dev_write_durably(m->dev, mb * CIRCLE_MB_SECTORS, m->buf,
					   CIRCLE_MB_SECTORS));
}

/*
 * The lsn of a checkpoint of ours is in no record. Were it to end in the middle, a load that goes
 * by the copy map would not see it and use it for records, which pages that have it would seem to
 * contain.
 */
static int forget_map(struct meta *m)
{
	u32 flags = m->sb.flags;
	int err;

	if (!m->sb.map_lsn)
		return 0;
	m->sb.map_lsn = 0;
	m->sb.flags &= ~CIRCLE_SBF_CLEAN;
	m->sb.tidy = false;
	err = meta_write_super(m);
	m->sb.flags = flags;
	return err;
}

int meta_checkpoint(struct meta *m)
{
	u64 lsn = m->next_lsn++, page;
	int err = forget_map(m);

	for (page = 0; page < m->sb.table_pages && !err; page++)
		if (m->page[page].stale)
			err = write_page(m, page, lsn);
	if (!err)
		err = dev_flush(m->dev);
	if (err)
		return failed(m, err);
	m->sb.tail_lsn = lsn + 1;
	m->sb.table_digest = 0;
	for (page = 0; page < m->sb.table_pages; page++)
		m->sb.table_digest += circle_page_digest(page, m->page[page].lsn);
	return meta_write_super(m);
}
