/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * meta: the metadata device: superblock, slot table, journal. One object per node.
 *
 * Rules it keeps (R1): data are flushed between the capture of a slot's state and the write that
 * makes this state durable; a slot becomes free for reuse only when its freeing is durable; data
 * may be overwritten in place (CIRCLE_SLOT_WRITABLE) only while nothing durable calls them clean.
 *
 * Locks: meta->lock (mutex, held across device I/O) covers everything but `slots`, which has its
 * own. Functions marked __ want it held. All functions sleep.
 */
#ifndef CIRCLE_STORE_META_H
#define CIRCLE_STORE_META_H

#include <linux/mutex.h>
#include "../core/disk.h"
#include "../core/mark.h"
#include "bdev.h"
#include "slots.h"

#define CIRCLE_COMMIT_MBS	64	/* size of the buffer */
#define CIRCLE_COMMIT_MAX	16	/* blocks of one commit; the smallest journal holds four */

struct circle_meta {
	struct mutex lock;		/* held across device I/O; covers all but slots */
	struct block_device *bdev;	/* metadata */
	struct block_device *data;	/* cache */
	struct dm_io_client *io;
	struct circle_super sb;
	struct circle_slots *slots;
	void *buf;			/* CIRCLE_COMMIT_MBS metadata blocks */
	u32 *captured;			/* slots in buf */
	u32 nr_captured;
	u64 *page_lsn;			/* of the newest durable copy of each table page */
	unsigned long *copy;		/* which copy that is */
	unsigned long *stale;		/* pages with records in the journal only */
	unsigned long *known;		/* slots whose state is in memory; NULL: all, see load.c */
	u32 rest;			/* table page from which the others are still to be read */
	u8 map_at;			/* which place has the copy map of the superblock */
	bool mapless;			/* no copy map is written: the table is being moved */
	bool map_is_named;		/* on disk, by a superblock that was loaded without it */
	bool joins;			/* commits may follow the journal's end: none is torn */
	u64 next_lsn;
	u64 newest_lsn;			/* loading: of any copy of a page, does it count or not */
	bool left_over;			/* what stands behind the first block may be wiped */
	bool failed;			/* a write failed: nothing is made durable any more */
	bool committing;		/* see circle_meta_settled() */
	bool dirtied;			/* loading: the journal has a record of an own dirty page */
	bool voided;			/* ... and something durable elsewhere says so */
	bool half_sized;		/* a resize failed: not known of which size they are */
	u16 mark;			/* CIRCLE_MARK_ that is durable, or 0 */
	atomic_t data_errors;		/* FLUSHes of the cache device that failed */
	bool bad;			/* ... and it was this device that failed */
	bool lost;			/* ... and it can be neither written nor read */
	void (*on_failed)(struct circle_meta *m);	/* lock held; must not sleep */
	void *owner;			/* of on_failed: its own */
	u64 nr_commits, nr_records, nr_checkpoints;
};

/* Allocates; io client and buffer. */
struct circle_meta *circle_meta_create(struct block_device *bdev, struct block_device *data);
void circle_meta_destroy(struct circle_meta *m);

/* Reads the superblock into m->sb. 0; -ENODATA: blank device; -EUCLEAN: the first block was wiped
 * and more is there: only ours, a local cache's, or dm-cache's if m->left_over; -EUNATCH: a check
 * is asked for; else as core/disk.h says, or -EIO.
 */
int circle_meta_open(struct circle_meta *m);

/* Writes a new superblock, an empty table and an empty journal, as m->sb's geometry says. */
int circle_meta_format(struct circle_meta *m);

/*
 * load.c: reads table and journal into a new m->slots. unclean tells whether intents were believed.
 * behind: the plain slots, clean ones of our own, are left for circle_meta_load_rest().
 */
int circle_meta_load(struct circle_meta *m, bool behind, bool *unclean);

/*
 * Some of what is left; or all. 1: there is more; 0: there is no more; else the metadata have
 * failed, and what was left is not in the cache. Whoever frees a slot, calls one clean, or writes a
 * table page has to wait for the end.
 */
int circle_meta_load_rest(struct circle_meta *m, bool all);
int __circle_meta_load_rest(struct circle_meta *m, bool all);

/* Any context. To be asked before the index: who sees no more here finds everything there. */
static inline bool circle_meta_is_behind(const struct circle_meta *m)
{
	return smp_load_acquire(&m->known);	/* pairs with end() in load.c */
}

/* copies.c: m->copy, from the copy map that the superblock names; or -ENODATA: there is none. */
int circle_meta_read_map(struct circle_meta *m);
/*
 * Writes it to the other place; the superblock is to follow. One that would not fit, or cannot be
 * written, is none.
 */
void __circle_meta_write_map(struct circle_meta *m);

/* Names what is kept here: another once formatted anew, or renounced. After open or format. */
u32 circle_meta_store_id(const struct circle_meta *m);
/*
 * Process context, before anything else tells it: a replica is lost to the disk, so what this store
 * has promised is void. Durably so, if the metadata can be written.
 */
void circle_meta_renounce(struct circle_meta *m);

/* RAM that grows with the number of slots: theirs, and what is kept of table pages. */
size_t circle_meta_bytes(const struct circle_meta *m);

/* Makes all durable that is changed now; flush: the data of the cache device too, even if nothing
 * is. 0 or -EIO, also for ever after a failure.
 */
int circle_meta_commit(struct circle_meta *m, bool flush);

/*
 * void.c, for metadata that failed: something that does not depend on what failed says durably
 * that they are not to be believed: the mark on the cache device, or both superblocks. Sets
 * voided. 0; -EIO: neither could be written.
 */
int circle_meta_void(struct circle_meta *m, bool drained);
/* What speaks against the metadata that were opened? Only reads. */
enum circle_void circle_meta_is_void(struct circle_meta *m);
/* force: they are believed all the same: mark and flags go. Before anything relies on them. */
int circle_meta_unvoid(struct circle_meta *m);
/* Slots on a cache device of so many sectors: room is left for the mark. */
u64 circle_meta_slots(u64 sectors, u32 block_sectors);

/* Any context: is all that was changed before durable? False also when that is not sure. */
static inline bool circle_meta_settled(const struct circle_meta *m)
{
	if (atomic_read(&m->slots->nr_changed) || atomic_read(&m->slots->nr_freeing))
		return false;
	smp_rmb();	/* pairs with the barriers in __circle_meta_commit() */
	if (READ_ONCE(m->committing))
		return false;
	smp_rmb();	/* a commit that failed has said so before it ended */
	return !READ_ONCE(m->failed) && !atomic_read(&m->data_errors);
}

int __circle_meta_commit(struct circle_meta *m, bool flush);
int __circle_meta_checkpoint(struct circle_meta *m);
int __circle_meta_write_super(struct circle_meta *m);
/* One page of the table as it is in memory. */
void __circle_meta_image(struct circle_meta *m, void *mb, u32 page, u64 lsn);

/* resize.c. While nothing else looks at m->slots' entries; those that go must be free, durably. The
 * table gets nr slots, on the device and in memory: m->slots stays the same object. -ENOSPC: the
 * device needs *need metadata blocks; -ENOMEM; or -EIO, which is as any other failed write.
 */
int circle_meta_resize(struct circle_meta *m, u64 nr, u64 *need);

/* mode.c. A write failed: from now on nothing is made durable. If it was the metadata device's, the
 * superblock asks for a check, when it can be written. Once; later calls do nothing.
 */
void __circle_meta_fail(struct circle_meta *m);

/*
 * Any context: a FLUSH of the cache device failed, and may have dropped what they call valid; that
 * the next one succeeds says nothing. The next commit fails.
 */
static inline void circle_meta_data_lost(struct circle_meta *m)
{
	atomic_inc(&m->data_errors);
}

static inline bool circle_meta_data_bad(const struct circle_meta *m)
{
	return atomic_read(&m->data_errors);
}

/* A write to the metadata device failed; flush: or a FLUSH, which on the disk that the cache device
 * is on, too, may have dropped what was written there.
 */
void __circle_meta_refused(struct circle_meta *m, bool flush);

int circle_meta_read(struct circle_meta *m, u64 mb, u32 nr, void *buf);
/* A synchronous write to the metadata device; notes that it is bad. */
int circle_meta_write(struct circle_meta *m, blk_opf_t opf, u64 mb, void *buf, u32 nr);

enum circle_meta_mode { CIRCLE_META_RW, CIRCLE_META_RO, CIRCLE_META_FAIL };

/* Any context; dm-cache's. RO: metadata do not change any more; FAIL: nor can they be read. */
static inline enum circle_meta_mode circle_meta_mode(const struct circle_meta *m)
{
	if (!READ_ONCE(m->failed))
		return CIRCLE_META_RW;
	return READ_ONCE(m->lost) ? CIRCLE_META_FAIL : CIRCLE_META_RO;
}

/* For commit and checkpoint; the shard lock is taken inside. Captures slot n's state as it is to be
 * made durable.
 */
void circle_meta_capture(struct circle_meta *m, u32 n, struct circle_slot_state *st);

#endif
