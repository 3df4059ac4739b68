// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle-forge: the metadata of a full local cache after a crash, written in seconds.
 *
 *	circle-forge DEV SLOTS BLOCK_SECTORS ORIGIN_SECTORS DIRTY_PERCENT COPIES JOURNAL_BLOCKS \
 *		[nomap|interrupted]
 *
 * DEV is zero. Each slot has a block of its own, chosen by a hash, as is which ones are dirty. Of the
 * dirty ones a quarter hold clean pages too. COPIES is a (copy A of each table page counts) or mixed
 * (a hash chooses; the other copy is valid and older). The journal has so many commits of one block,
 * each with 72 slots that became dirty since the checkpoint. nomap: without a copy map. interrupted: the
 * crash was in another checkpoint: the copies that do not count, of pages with slots in the journal,
 * are newer, and nothing is dirty there. The journal has one more commit then, for some pages at both ends.
 *
 * Some blocks have a second slot, a twin, which is plain, with a higher tag: it was to be freed.
 *
 * On stdout: some "dirty SLOT BLOCK", "clean SLOT BLOCK" and, of dirty ones, "twin SLOT BLOCK" with
 * early or late and the twin's slot; at last "twins NUMBER".
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "copymap.h"
#include "crc.h"
#include "disk.h"

#define CHUNK	256		/* metadata blocks */
#define LSN	1000		/* of the checkpoint */
#define SHOW	3
#define TWINS	512		/* so many slots are apart */
#define ENDS	32		/* pages; at most half of the records of a journal block */
#define TWIN_OF	300		/* a slot so far below has the block already */

static struct circle_super sb;
static u64 nr_blocks, percent;
static bool mixed, interrupted;
static u8 *in_journal;		/* by page */
static u8 buf[2][CHUNK * CIRCLE_MB_SIZE] __attribute__((aligned(4096)));
static int fd;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static u32 hash(u64 v)
{
	v *= 0x9e3779b97f4a7c15ull;
	v ^= v >> 29;
	v *= 0xbf58476d1ce4e5b9ull;
	return v >> 32;
}

static void put(u64 mb, const void *data, u32 nr)
{
	size_t len = (size_t)nr * CIRCLE_MB_SIZE;

	if (pwrite(fd, data, len, mb * CIRCLE_MB_SIZE) != (ssize_t)len)
		die("write");
}

/* No two slots have the same: a multiple of an odd number that shares no factor with the size. */
static u64 block_of(u64 n)
{
	return (n * 2654435761u + 12345) % nr_blocks;
}

/* In the first and the last quarter, which the journal leaves alone. */
static bool twin(u64 n)
{
	return n % TWINS == TWINS - 1 && (n < sb.nr_slots / 4 || n >= sb.nr_slots / 4 * 3 + TWINS);
}

/* Has another slot its block? */
static bool has_twin(u64 n)
{
	return n + TWIN_OF < sb.nr_slots && twin(n + TWIN_OF);
}

static bool dirty(u64 n)
{
	return !twin(n) && hash(n) % 100 < percent;
}

static void state(u64 n, bool is_dirty, struct circle_slot_state *s)
{
	u64 all = circle_page_sectors(sb.block_sectors), h = hash(n + 77);

	all = sb.block_sectors / all >= 64 ? ~0ull : (1ull << sb.block_sectors / all) - 1;
	memset(s, 0, sizeof(*s));
	s->block = block_of(twin(n) ? n - TWIN_OF : n);
	s->valid = all;
	s->seq = n + 1;
	s->gen = 1;
	s->flags = CIRCLE_SLOT_MAPPED;
	if (!is_dirty)
		return;
	s->flags |= CIRCLE_SLOT_INTENT;
	s->dirty = (all & ~(h & 0xfffe)) | 1;
	if (h >> 16 & 3)
		s->valid = s->dirty;
}

static void page(void *mb, u64 index, u64 lsn, bool as_it_was)
{
	u64 first = index * CIRCLE_SLOTS_PER_MB;
	struct circle_slot_state s;
	u32 i;

	circle_page_start(mb, sb.meta_uuid, index, lsn);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < sb.nr_slots; i++) {
		state(first + i, dirty(first + i), &s);
		if (!as_it_was) {
			s.flags = CIRCLE_SLOT_MAPPED;
			s.dirty = 0;
		}
		circle_page_put(mb, i, &s);
	}
	circle_page_seal(mb, crc);
}

static bool in_b(u64 index)
{
	return mixed && (hash(index + 99) & 1);
}

static void table(void)
{
	u64 at, i, nr;

	for (at = 0; at < sb.table_pages; at += nr) {
		nr = min_t(u64, CHUNK, sb.table_pages - at);
		for (i = 0; i < nr; i++) {
			u8 *new = buf[in_b(at + i)] + i * CIRCLE_MB_SIZE;
			u8 *old = buf[!in_b(at + i)] + i * CIRCLE_MB_SIZE;

			page(new, at + i, LSN, true);
			if (mixed) {
				memcpy(old, new, CIRCLE_MB_SIZE);
				((struct circle_disk_page *)old)->lsn = LSN - 1;
				circle_page_seal(old, crc);
			}
			sb.table_digest += circle_page_digest(at + i, LSN);
		}
		put(sb.table_start + at, buf[0], nr);
		if (mixed)
			put(sb.table_start + sb.table_pages + at, buf[1], nr);
	}
}

/* The slot of a record: not one that is shown; of the last block, the first of a page at an end. */
static u32 slot_in_journal(u64 lsn, u32 k, bool last)
{
	u64 middle = sb.nr_slots / 4 + hash(lsn << 8 | k) % (sb.nr_slots / 2);

	if (!last)
		return middle;
	return (k < ENDS ? k : sb.table_pages - 1 - k % ENDS) * CIRCLE_SLOTS_PER_MB;
}

static void journal(u64 blocks)
{
	struct circle_record r;
	u64 lsn, end = sb.tail_lsn + blocks;
	bool last;
	u32 k;

	for (lsn = sb.tail_lsn; lsn < end + interrupted; lsn++) {
		struct circle_jhead h = {
			.lsn = lsn, .commit = lsn, .commit_blocks = 1,
			.nr_records = CIRCLE_RECORDS_PER_MB,
		};

		circle_jblock_start(buf[0], sb.meta_uuid, &h);
		for (k = 0; k < h.nr_records; k++) {
			last = lsn == end;
			r.slot = slot_in_journal(lsn, k, last);
			state(r.slot, !last || dirty(r.slot), &r.state);
			in_journal[r.slot / CIRCLE_SLOTS_PER_MB] = 1;
			circle_jblock_put(buf[0], k, &r);
		}
		circle_jblock_seal(buf[0], crc);
		put(sb.journal_start + lsn % sb.journal_blocks, buf[0], 1);
	}
}

/* What a checkpoint left that did not end: from memory, where all had been written back. */
static void other_copies(u64 lsn)
{
	u64 index;

	for (index = 0; index < sb.table_pages; index++) {
		if (!in_journal[index])
			continue;
		page(buf[0], index, lsn, false);
		put(sb.table_start + (in_b(index) ? 0 : sb.table_pages) + index, buf[0], 1);
	}
}

static void map(void)
{
	u32 mbs = circle_map_mbs(sb.table_pages), i;
	u64 index;

	for (i = 0; i < mbs; i++)
		circle_map_start(buf[0] + i * CIRCLE_MB_SIZE, sb.meta_uuid, i, sb.tail_lsn);
	for (index = 0; index < sb.table_pages; index++)
		circle_map_put(buf[0] + index / CIRCLE_MAP_BITS * CIRCLE_MB_SIZE,
			       index % CIRCLE_MAP_BITS, in_b(index));
	for (i = 0; i < mbs; i++)
		circle_map_seal(buf[0] + i * CIRCLE_MB_SIZE, crc);
	put(1, buf[0], mbs);
	sb.map_lsn = mbs ? sb.tail_lsn : 0;
}

static const char *kind(u64 n)
{
	if (twin(n) || (has_twin(n) && !dirty(n)))
		return NULL;
	return has_twin(n) ? "twin" : dirty(n) ? "dirty" : "clean";
}

/* The first ones of a kind, from one end or the other. */
static void show(const char *what, bool late)
{
	u64 i, n, left = SHOW;

	for (i = 0; i < sb.nr_slots && left; i++) {
		n = late ? sb.nr_slots - 1 - i : i;
		if (!kind(n) || strcmp(kind(n), what))
			continue;
		printf("%s %llu %llu %s %llu\n", what, n, block_of(n), late ? "late" : "early",
		       n + TWIN_OF);
		left--;
	}
}

static void show_all(void)
{
	static const char *const what[] = { "dirty", "clean", "twin" };
	u64 n, twins = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(what); i++) {
		show(what[i], false);
		show(what[i], true);
	}
	for (n = 0; n < sb.nr_slots; n++)
		twins += twin(n);
	printf("twins %llu\n", twins);
}

static u64 number(const char *text)
{
	return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
	off_t size;

	if (argc < 8)
		die("usage: circle-forge DEV SLOTS BLOCK_SECTORS ORIGIN_SECTORS DIRTY_PERCENT a|mixed JOURNAL_BLOCKS [nomap|interrupted]");
	fd = open(argv[1], O_RDWR | O_DIRECT);
	size = lseek(fd, 0, SEEK_END);
	if (fd < 0 || size <= 0)
		die(argv[1]);
	sb.nr_slots = number(argv[2]);
	sb.block_sectors = number(argv[3]);
	sb.page_sectors = circle_page_sectors(sb.block_sectors);
	sb.origin_sectors = number(argv[4]);
	nr_blocks = sb.origin_sectors / sb.block_sectors;
	percent = number(argv[5]);
	mixed = !strcmp(argv[6], "mixed");
	sb.meta_uuid[0] = 0x77;
	sb.seq = 10;
	sb.generation = 1;
	sb.tail_lsn = LSN + 1;
	if (nr_blocks < sb.nr_slots || circle_disk_layout(&sb, size / CIRCLE_MB_SIZE, NULL))
		die("no such layout");
	interrupted = argc > 8 && !strcmp(argv[8], "interrupted");
	in_journal = calloc(sb.table_pages, 1);
	if (!in_journal)
		die("memory");
	table();
	journal(number(argv[7]));
	if (interrupted)
		other_copies(sb.tail_lsn + number(argv[7]));
	if (argc < 9 || interrupted)
		map();
	circle_super_encode(&sb, buf[0], crc);
	put(0, buf[0], 1);
	sb.seq--;
	circle_super_encode(&sb, buf[0], crc);
	put(CIRCLE_SB_COPY1_MB, buf[0], 1);
	if (fsync(fd))
		die("fsync");
	show_all();
	return 0;
}
