/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slot: what is remembered of one slot, packed: there are millions. The record is 36 bytes; its
 * three page masks stand apart, each as wide as a block of this cache has pages.
 *
 * Whoever changes anything holds the lock of the shard that the slot is mapped in, or owns the slot
 * (store/slots.h). Without it a record may be looked at, but may be another block's by then, and
 * its block number a mix of two: look again under the lock, or take circle_slot_lock().
 */
#ifndef CIRCLE_STORE_SLOT_H
#define CIRCLE_STORE_SLOT_H

#include <linux/compiler.h>
#include "../core/disk.h"
#include "../core/pages.h"

/* slot flags beyond CIRCLE_SLOT_* (which stand in the low bits and go to disk) */
#define CIRCLE_SLOT_WRITABLE	0x10	/* nothing durable, or on its way there, calls it mapped
					 * without INTENT: data may be overwritten in place (R1a)
					 */
#define CIRCLE_SLOT_FREEING	0x20	/* unmapped, awaits a commit */
#define CIRCLE_SLOT_BUSY	0x40	/* a promotion, write-back or release is under way */
#define CIRCLE_SLOT_MAIN	0x80	/* its place is in the main queue, not the small one */
#define CIRCLE_SLOT_FILLING	0x100	/* replica without a tag yet: does not exist (R2) */
#define CIRCLE_SLOT_USES	0x600	/* how often it was used since its queue came round */
#define CIRCLE_SLOT_USES_SHIFT	9
#define CIRCLE_SLOT_UNSURE	0x800	/* a write ended before all holders answered: until a label
					 * without them is durable, either version may win
					 */
#define CIRCLE_SLOT_SICK	0x1000	/* own: the device failed there; see engine/repair.c */
#define CIRCLE_SLOT_PARKED	0x1000	/* another's, with FILLING: what is left of a replica, with
					 * its tag; it may go, or become a replica again
					 */
#define CIRCLE_SLOT_TRIES	0x6000	/* how often it was tried again to save what is dirty */
#define CIRCLE_SLOT_TRY		0x2000
#define CIRCLE_SLOT_TAGGED	0x2000	/* another's: the metadata device has an older tag */
#define CIRCLE_SLOT_OLD		0x8000	/* own: what is valid is dirty, but on disk alone; see
					 * engine/live_own.c
					 */
#define CIRCLE_SLOT_DISK	CIRCLE_SLOT_ALL

struct circle_slot {
	u32 block_low;		/* block: 48 bits */
	u16 block_high;
	u8 owner;		/* 0: our own; n: the superblock's owner[n - 1] */
	u8 stamp;		/* second when it was mapped, or became dirty or clean */
	u32 hnext;		/* chain of the index; next free slot */
	u16 flags;
	u16 seq_high;		/* seq: 48 bits */
	u32 seq_low;
	u32 gen;
	u32 prev, next;		/* one of the shard's queues, or its dirty list */
	u32 holders;		/* own block: peers with a replica, or releasing it; replica: when a
				 * commit was last asked for (engine/serve.c)
				 */
};

static_assert(sizeof(struct circle_slot) == 36);
static_assert(CIRCLE_MAX_OWNERS <= 0xff);
static_assert(CIRCLE_MAX_BLOCK == (1ull << 48) - 1 && CIRCLE_MAX_SEQ == (1ull << 48) - 1);

static inline u64 circle_slot_block(const struct circle_slot *sl)
{
	return (u64)READ_ONCE(sl->block_high) << 32 | READ_ONCE(sl->block_low);
}

static inline void __circle_slot_set_key(struct circle_slot *sl, u16 owner, u64 block)
{
	WRITE_ONCE(sl->owner, owner);
	WRITE_ONCE(sl->block_high, block >> 32);
	WRITE_ONCE(sl->block_low, block);
}

static inline u64 circle_slot_seq(const struct circle_slot *sl)
{
	return (u64)sl->seq_high << 32 | sl->seq_low;
}

static inline struct circle_tag circle_slot_tag(const struct circle_slot *sl)
{
	return (struct circle_tag){ sl->gen, circle_slot_seq(sl) };
}

/* gen <= CIRCLE_MAX_GEN, seq <= CIRCLE_MAX_SEQ: what comes from outside is checked on entry. */
static inline void __circle_slot_set_tag(struct circle_slot *sl, u64 gen, u64 seq)
{
	sl->gen = gen;
	sl->seq_high = seq >> 32;
	sl->seq_low = seq;
}

/* Seconds since it was mapped, or became dirty or clean; modulo 256. */
u32 circle_slot_age(const struct circle_slot *sl);

enum circle_mask {
	CIRCLE_MASK_VALID,
	CIRCLE_MASK_DIRTY,	/* within valid */
	CIRCLE_MASK_WB,		/* within dirty: written to the origin, or being so, not flushed */
	CIRCLE_NR_MASKS
};

struct circle_masks {
	void *at;
	u32 width;		/* bytes of one: 1, 2, 4, 8 */
};

static inline u32 circle_mask_width(u32 nr_pages)
{
	return nr_pages <= 8 ? 1 : nr_pages <= 16 ? 2 : nr_pages <= 32 ? 4 : 8;
}

static inline u64 circle_mask_get(const struct circle_masks *m, u32 n, enum circle_mask which)
{
	size_t i = (size_t)n * CIRCLE_NR_MASKS + which;

	switch (m->width) {
	case 1:
		return READ_ONCE(((u8 *)m->at)[i]);
	case 2:
		return READ_ONCE(((u16 *)m->at)[i]);
	case 4:
		return READ_ONCE(((u32 *)m->at)[i]);
	default:
		return READ_ONCE(((u64 *)m->at)[i]);
	}
}

static inline void circle_mask_put(struct circle_masks *m, u32 n, enum circle_mask which, u64 v)
{
	size_t i = (size_t)n * CIRCLE_NR_MASKS + which;

	switch (m->width) {
	case 1:
		WRITE_ONCE(((u8 *)m->at)[i], v);
		break;
	case 2:
		WRITE_ONCE(((u16 *)m->at)[i], v);
		break;
	case 4:
		WRITE_ONCE(((u32 *)m->at)[i], v);
		break;
	default:
		WRITE_ONCE(((u64 *)m->at)[i], v);
	}
}

/* All masks of a slot at once; none is written to the origin. */
static inline void circle_masks_put(struct circle_masks *m, u32 n, u64 valid, u64 dirty)
{
	size_t i = (size_t)n * CIRCLE_NR_MASKS;

	static_assert(!CIRCLE_MASK_VALID && CIRCLE_MASK_DIRTY == 1 && CIRCLE_NR_MASKS == 3);
	switch (m->width) {
#define PUT(type) do {					\
		type *p = (type *)m->at + i;		\
		WRITE_ONCE(p[0], valid);		\
		WRITE_ONCE(p[1], dirty);		\
		WRITE_ONCE(p[2], 0);			\
	} while (0)
	case 1:
		PUT(u8);
		break;
	case 2:
		PUT(u16);
		break;
	case 4:
		PUT(u32);
		break;
	default:
		PUT(u64);
#undef PUT
	}
}

#endif
