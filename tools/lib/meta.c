// SPDX-License-Identifier: GPL-2.0-only
/*
 * meta: see meta.h. Superblock, table and journal; what the slots say is judged in slots.c. Nothing
 * that was read is believed before core/ has checked it, and no size before the device has it.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "meta.h"
#include "scan.h"
#include "tool.h"

#define PRINTED_MAX	25	/* complaints */

static const u64 super_mb[2] = { 0, CIRCLE_SB_COPY1_MB };

void meta_complain(struct meta *m, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if (m->damage++ >= PRINTED_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tool_err("%s", text);
}

void meta_complain_end(struct meta *m)
{
	if (m->damage > PRINTED_MAX)
		tool_err("and %llu more", m->damage - PRINTED_MAX);
}

static int read_mbs(const struct meta *m, u64 mb, u32 nr, void *buf)
{
	if (mb >= m->mbs || nr > m->mbs - mb)
		return -ENXIO;
	return dev_read(m->dev, mb * CIRCLE_MB_SECTORS, buf, nr * CIRCLE_MB_SECTORS);
}

/* Others keep their superblocks behind the first block: all before the table must be zero. */
static int say_blank(struct meta *m)
{
	int err = read_mbs(m, 0, CIRCLE_TABLE_START_MB, m->buf);

	if (err) {
		tool_err("%s cannot be read: %s", m->dev->path, strerror(-err));
		return err;
	}
	if (memchr_inv(m->buf, 0, CIRCLE_TABLE_START_MB * CIRCLE_MB_SIZE)) {
		tool_err("%s holds something else", m->dev->path);
		return -EINVAL;
	}
	tool_err("%s is blank", m->dev->path);
	return -ENODATA;
}

static void say_super(const struct meta *m, unsigned int i)
{
	switch (m->super_status[i]) {
	case 0:
		return;
	case -EPROTONOSUPPORT:
		tool_err("superblock %u was written by a newer version", i);
		return;
	case -EINVAL:
		tool_err("superblock %u is something else's", i);
		return;
	case -EBADMSG:
		tool_note("superblock %u is torn or damaged", i);
		return;
	case -ENODATA:
		tool_note("superblock %u is blank", i);
		return;
	}
	tool_err("superblock %u cannot be read: %s", i, strerror(-m->super_status[i]));
}

/* The same order of cases as in the kernel, so that what is refused there is refused here. */
static int judge_supers(struct meta *m, int best)
{
	const int *st = m->super_status;
	unsigned int i;

	for (i = 0; i < 2; i++)
		say_super(m, i);
	for (i = 0; i < 2; i++)
		if (st[i] && st[i] != -EBADMSG && st[i] != -ENODATA)
			return st[i];
	if (st[0] == -ENODATA && st[1] != -ENODATA) {
		tool_err("the first superblock was wiped, but not the second");
		return -EUCLEAN;
	}
	if (best >= 0)
		return 0;
	if (st[0] == -ENODATA && st[1] == -ENODATA)
		return say_blank(m);
	tool_err("the superblock is damaged in both copies");
	return -EBADMSG;
}

static int find_super(struct meta *m)
{
	struct circle_super sb;
	int best = -1, i;

	for (i = 0; i < 2; i++) {
		m->super_status[i] = read_mbs(m, super_mb[i], 1, m->buf);
		if (!m->super_status[i])
			m->super_status[i] = circle_super_decode(m->buf, &sb, tool_crc);
		if (m->super_status[i])
			continue;
		m->super_seq[i] = sb.seq;
		if (best >= 0 && sb.seq <= m->sb.seq)
			continue;
		m->sb = sb;
		best = i;
	}
	m->super_copy = best < 0 ? 0 : best;
	return judge_supers(m, best);
}

int meta_open(struct meta *m, const struct dev *dev)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->dev = dev;
	m->mbs = dev->sectors / CIRCLE_MB_SECTORS;
	if (m->mbs < CIRCLE_TABLE_START_MB) {
		tool_err("%s is too small to be a metadata device", dev->path);
		return -ENOSPC;
	}
	m->buf = dev_alloc(META_CHUNK * CIRCLE_MB_SIZE);
	if (!m->buf)
		return -ENOMEM;
	err = find_super(m);
	if (err)
		return err;
	m->unclean = !(m->sb.flags & CIRCLE_SBF_CLEAN);
	circle_geom_init(&m->geom, m->sb.block_sectors);
	m->nr_blocks = m->sb.origin_sectors / m->sb.block_sectors +
		       (m->sb.origin_sectors % m->sb.block_sectors != 0);
	if (m->sb.journal_start + m->sb.journal_blocks > m->mbs) {
		tool_err("the metadata device is smaller than it was when formatted: %llu metadata blocks, %llu are needed",
			 m->mbs, m->sb.journal_start + m->sb.journal_blocks);
		return -ENOSPC;
	}
	return 0;
}

void meta_close(struct meta *m)
{
	free(m->slot);
	free(m->dropped);
	free(m->page);
	free(m->buf);
	memset(m, 0, sizeof(*m));
}

static int alloc_table(struct meta *m)
{
	m->slot = calloc(m->sb.nr_slots, sizeof(*m->slot));
	m->dropped = calloc(m->sb.nr_slots, sizeof(*m->dropped));
	m->page = calloc(m->sb.table_pages, sizeof(*m->page));
	if (m->slot && m->dropped && m->page)
		return 0;
	tool_err("out of memory for %llu slots", m->sb.nr_slots);
	return -ENOMEM;
}

static void take_page(struct meta *m, const void *mb, u64 page)
{
	u64 first = page * CIRCLE_SLOTS_PER_MB;
	u32 i;

	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < m->sb.nr_slots; i++)
		circle_page_get(mb, i, &m->slot[first + i]);
}

static void load_page(struct meta *m, const void *mb, u64 page, unsigned int copy)
{
	struct meta_page *p = &m->page[page];
	u64 lsn;

	if (circle_page_check(mb, m->sb.meta_uuid, page, &lsn, tool_crc))
		return;
	m->newest_lsn = max(m->newest_lsn, lsn);
	if (lsn >= m->sb.tail_lsn) {	/* of a checkpoint that did not end: it never counts, */
		p->stale = true;	/* and is not to be left there by the next one */
		return;
	}
	if (p->seen && lsn <= p->lsn)
		return;
	p->seen = true;
	p->lsn = lsn;
	p->copy = copy;
	take_page(m, mb, page);
}

/* Reads nr blocks into the buffer. What cannot be read is damage, and becomes zeros. */
static void read_chunk(struct meta *m, u64 mb, u32 nr)
{
	char *to = m->buf;
	u32 i;
	int err;

	if (!read_mbs(m, mb, nr, m->buf))
		return;
	for (i = 0; i < nr; i++, to += CIRCLE_MB_SIZE) {
		err = read_mbs(m, mb + i, 1, to);
		if (!err)
			continue;
		memset(to, 0, CIRCLE_MB_SIZE);
		meta_complain(m, "metadata block %llu cannot be read: %s", mb + i, strerror(-err));
	}
}

static void load_copy(struct meta *m, unsigned int copy)
{
	u64 start = m->sb.table_start + copy * m->sb.table_pages, page;
	u32 nr, i;

	for (page = 0; page < m->sb.table_pages; page += nr) {
		nr = min_t(u64, META_CHUNK, m->sb.table_pages - page);
		read_chunk(m, start + page, nr);
		for (i = 0; i < nr; i++)
			load_page(m, (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE, page + i, copy);
	}
}

/* A newest copy that is damaged must not let an older one be taken for it. */
static void check_digest(struct meta *m)
{
	u64 sum = 0, page;

	for (page = 0; page < m->sb.table_pages; page++)
		sum += circle_page_digest(page, m->page[page].lsn);
	if (sum != m->sb.table_digest)
		meta_complain(m, "a page of the slot table is older than it should be: a write was lost, or its newest copy is damaged");
}

static void load_table(struct meta *m)
{
	bool all = true;
	u64 page;

	load_copy(m, 0);
	load_copy(m, 1);
	for (page = 0; page < m->sb.table_pages; page++) {
		if (m->page[page].seen)
			continue;
		all = false;
		meta_complain(m, "page %llu of the slot table (slots %llu..) is damaged in both copies",
			      page, page * CIRCLE_SLOTS_PER_MB);
	}
	if (all)
		check_digest(m);
}

static void apply(struct meta *m, const struct circle_record *rec, u64 lsn)
{
	struct meta_page *p;

	if (rec->slot >= m->sb.nr_slots) {
		meta_complain(m, "journal: lsn %llu speaks of slot %u, which does not exist", lsn,
			      rec->slot);
		return;
	}
	p = &m->page[rec->slot / CIRCLE_SLOTS_PER_MB];
	if (!p->seen)
		return;
	m->slot[rec->slot] = rec->state;
	p->stale = true;
	m->records++;
}

static void apply_block(struct meta *m, const void *mb)
{
	struct circle_record rec;
	struct circle_jhead h;
	u32 k;

	if (circle_jblock_check(mb, m->sb.meta_uuid, &h, tool_crc))
		return;			/* it was there in the first pass: a device that changes */
	for (k = 0; k < h.nr_records; k++) {
		circle_jblock_get(mb, k, &rec);
		apply(m, &rec, h.lsn);
	}
}

/* Lsn tail up to end. With scan: only judges; else applies. */
static int walk_journal(struct meta *m, struct circle_scan *scan, u64 end)
{
	u64 ring = m->sb.journal_blocks, lsn, pos;
	struct circle_jhead h;
	u32 nr, i;
	int err;

	for (lsn = m->sb.tail_lsn; lsn < end; lsn += nr) {
		pos = lsn % ring;
		nr = min3((u64)META_CHUNK, ring - pos, end - lsn);
		read_chunk(m, m->sb.journal_start + pos, nr);
		for (i = 0; i < nr; i++) {
			void *mb = (char *)m->buf + (size_t)i * CIRCLE_MB_SIZE;

			if (!scan) {
				apply_block(m, mb);
				continue;
			}
			err = circle_jblock_check(mb, m->sb.meta_uuid, &h, tool_crc);
			err = circle_scan_feed(scan, lsn + i, err, &h);
			if (!err)
				continue;
			meta_complain(m, "journal: a write in its middle was lost: at lsn %llu (metadata block %llu), behind the gap of a torn or missing commit, or misplaced",
				      lsn + i, m->sb.journal_start + pos + i);
			return err;
		}
	}
	return 0;
}

static void replay(struct meta *m)
{
	struct circle_scan scan;
	int err;

	circle_scan_init(&scan, m->sb.tail_lsn, m->sb.journal_blocks);
	err = walk_journal(m, &scan, m->sb.tail_lsn + m->sb.journal_blocks);
	m->journal_end = scan.end;
	if (!err)
		walk_journal(m, NULL, scan.end);
	m->next_lsn = max3(scan.max_lsn + 1, m->sb.tail_lsn, m->newest_lsn + 1);
}

int meta_load(struct meta *m)
{
	int err = alloc_table(m);

	if (err)
		return err;
	load_table(m);
	replay(m);
	return 0;
}
