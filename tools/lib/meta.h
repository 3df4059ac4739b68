/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * meta: the metadata device in memory: superblock, slot table with the journal applied, and what
 * is wrong with them. Reads as the kernel does at load (drivers/md/dm-circle/store/load.c), but
 * goes on behind damage, so that all of it is named.
 */
#ifndef CIRCLE_TOOL_META_H
#define CIRCLE_TOOL_META_H

#include "disk.h"
#include "pages.h"
#include "dev.h"

struct meta_page {		/* of the slot table */
	u64 lsn;		/* of the copy that counts */
	bool seen;		/* there is one: valid, and older than the journal's tail */
	u8 copy;		/* which of them counts */
	bool stale;		/* what counts is not, or not only, in that copy */
};

struct meta_sum {		/* of what a load would find */
	u64 own, own_dirty, own_dirty_pages;
	u64 lent, lent_pages;
	u64 free, retired, lost;
	u64 intents;		/* own, dirty only because they may be */
	u64 doubles;		/* superseded by another slot of the block */
	u64 newer;		/* own, of a later generation than the superblock that is left */
};

struct meta {
	const struct dev *dev;
	u64 mbs;		/* that the device has */
	struct circle_super sb;
	int super_status[2];	/* of each copy, as core/disk.h says */
	u64 super_seq[2];
	unsigned int super_copy;	/* which counts */
	struct circle_geom geom;
	u64 nr_blocks;		/* of the own origin */
	struct circle_slot_state *slot;
	u8 *dropped;		/* by slot: another one has this block, newer */
	struct meta_page *page;
	void *buf;		/* META_CHUNK metadata blocks */
	u64 journal_end;	/* first lsn behind the last complete commit */
	u64 next_lsn;
	u64 newest_lsn;		/* of any copy of a page */
	u64 records;		/* of the journal that were applied */
	bool unclean;
	struct meta_sum sum;
	u64 damage;		/* complaints */
};

#define META_CHUNK	64	/* metadata blocks read at once */

/* Superblock: 0, else -errno after a message; the same cases as circle_meta_open()'s. */
int meta_open(struct meta *m, const struct dev *dev);

/* Table and journal; m->damage counts what is wrong, each after a message. -ENOMEM. */
int meta_load(struct meta *m);

/* Every slot, and doubles; fills m->dropped and m->sum. Needed before the two below. */
int meta_judge_slots(struct meta *m);

/* As the kernel would have it after the load: pages of an own slot that are dirty, or may be. */
u64 meta_dirty(const struct meta *m, u32 n);
bool meta_is_own(const struct meta *m, u32 n);	/* mapped, the own origin's, and counts */

void meta_close(struct meta *m);

/* Damage: a message, of which the first ones of a run are printed, and one more to m->damage. */
void meta_complain(struct meta *m, const char *fmt, ...) __printf(2, 3);
void meta_complain_end(struct meta *m);		/* says how many were not printed */

/* meta_write.c. All of m->slot that is in stale pages into the table, the journal emptied; then the
 * superblock, as m->sb is. 0 or -errno after a message: a load then finds the state before.
 */
int meta_checkpoint(struct meta *m);
int meta_write_super(struct meta *m);

#endif
