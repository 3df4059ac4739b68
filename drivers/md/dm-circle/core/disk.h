/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk: encode, decode and validate what stands on the metadata device. Pure: no lock, no
 * allocation, no clock. Drawn in Documentation/format.rst.
 *
 * Decoders copy out of the buffer (which is always CIRCLE_MB_SIZE bytes) and never believe it
 * before magic, checksum, version and ranges are right.
 * Returns: 0; -ENODATA all zero (blank); -EINVAL not ours (foreign magic or meta_uuid);
 * -EBADMSG checksum wrong or fields out of range (torn or damaged); -EPROTONOSUPPORT newer
 * version or unknown feature.
 */
#ifndef CIRCLE_CORE_DISK_H
#define CIRCLE_CORE_DISK_H

#include <linux/string.h>
#include <asm/byteorder.h>
#include <circle/format/disk.h>

struct circle_owner {
	u8 uuid[CIRCLE_UUID_SIZE];	/* all zero: free */
	u64 generation, activation;
	u32 node_id;
};

struct circle_super {			/* host-endian circle_disk_super */
	u32 flags;
	u64 seq;
	u8 meta_uuid[CIRCLE_UUID_SIZE];
	u8 set_uuid[CIRCLE_UUID_SIZE];
	u64 generation, activation;
	u32 node_id;
	u32 block_sectors, page_sectors;
	u32 label_kind;
	u64 label_sector;
	u64 nr_slots, origin_sectors;
	u64 table_start, table_pages, journal_start, journal_blocks;
	u64 tail_lsn;
	u32 renounced;
	u64 max_seq;
	u64 next_generation, next_activation;
	u64 table_digest;
	u64 map_lsn;			/* 0: no copy map is to be looked at */
	u64 counter[4];			/* read hits, read misses, write hits, write misses */
	bool tidy;			/* replicas have all that their tags cover */
	struct circle_owner owner[CIRCLE_MAX_OWNERS];
};

struct circle_slot_state {		/* host-endian circle_disk_slot */
	u64 block, valid, dirty, seq, gen;
	u16 owner, flags;
};

struct circle_record {
	u32 slot;
	struct circle_slot_state state;
};

struct circle_jhead {			/* head of a journal block */
	u64 lsn, commit;
	u32 commit_blocks;
	u16 nr_records;
};

/* Geometry: fills table_* and journal_* for nr_slots slots on a device of dev_mbs metadata
 * blocks. -ENOSPC when too small; *need (MBs, may be NULL) says how many are needed at least.
 * Journal: at least 64 MBs, at most 32768, else what is left over.
 */
int circle_disk_layout(struct circle_super *sb, u64 dev_mbs, u64 *need);

/* The same for a table that is there and is to have nr_slots: it stays where it begins; the journal
 * moves behind it when it must.
 */
int circle_disk_resize(struct circle_super *sb, u64 nr_slots, u64 dev_mbs, u64 *need);

/* Page size of a block: 8 sectors, or 1/64 of the block rounded up to a power of two. */
u32 circle_page_sectors(u32 block_sectors);

void circle_super_encode(const struct circle_super *sb, void *mb, circle_crc_fn crc);
int circle_super_decode(const void *mb, struct circle_super *out, circle_crc_fn crc);

/* Has it a superblock's magic, whatever else? */
bool circle_super_is(const void *mb);

/* Is this block, the index-th of its device, one of dm-cache's metadata behind its superblock (a
 * block of the kernel's persistent-data library)? 0, or -EINVAL.
 */
int circle_dm_block_check(const void *mb, u64 index, circle_crc_fn crc);

/* A table page: encode starts an empty page, put/get access one entry, seal computes the crc. */
void circle_page_start(void *mb, const u8 *meta_uuid, u64 index, u64 lsn);
void circle_page_put(void *mb, unsigned int i, const struct circle_slot_state *s);
void circle_page_seal(void *mb, circle_crc_fn crc);
int circle_page_check(const void *mb, const u8 *meta_uuid, u64 index, u64 *lsn, circle_crc_fn crc);
/*
 * What one page adds to the superblock's table_digest: the sum over all pages, modulo 2^64, of the
 * lsn that each had at the last checkpoint. An older copy that is valid by itself is found out so.
 */
u64 circle_page_digest(u64 index, u64 lsn);

static inline void circle_slot_decode(const struct circle_disk_slot *d, struct circle_slot_state *s)
{
	s->block = le64_to_cpu(d->block);
	s->valid = le64_to_cpu(d->valid);
	s->dirty = le64_to_cpu(d->dirty);
	s->seq = le64_to_cpu(d->seq);
	s->gen = le64_to_cpu(d->gen);
	s->owner = le16_to_cpu(d->owner);
	s->flags = le16_to_cpu(d->flags);
}

static inline void circle_page_get(const void *mb, unsigned int i, struct circle_slot_state *s)
{
	const struct circle_disk_page *d = mb;

	if (i < CIRCLE_SLOTS_PER_MB)
		circle_slot_decode(&d->slot[i], s);
	else
		memset(s, 0, sizeof(*s));
}

static inline bool circle_entry_plain(const struct circle_disk_slot *e)
{
	__le32 owner_flags;

	memcpy(&owner_flags, (const u8 *)e + offsetof(struct circle_disk_slot, owner), 4);
	return !e->dirty && owner_flags == cpu_to_le32(CIRCLE_SLOT_MAPPED << 16);
}

/* What is to be judged of plain entries, all together. */
struct circle_plain {
	u64 valid, seq, gen;	/* bits that any of them has */
	u64 block;		/* the highest */
};

/* Is each of them circle_slot_state_ok()? */
static inline bool circle_plain_ok(const struct circle_plain *p, u64 all_pages, u64 nr_blocks)
{
	return !(p->valid & ~all_pages) && p->seq <= CIRCLE_MAX_SEQ && p->gen <= CIRCLE_MAX_GEN &&
	       p->block <= CIRCLE_MAX_BLOCK && p->block < nr_blocks;
}

/*
 * The numbers, into odd[], of those of the first nr entries (up to CIRCLE_SLOTS_PER_MB) that are
 * anything but plain: mapped, our own, nothing dirty, no intent, not lost. Returns how many. The
 * plain ones are noted. Millions are looked at in a start, so each costs a few instructions.
 */
unsigned int circle_page_odd(const void *mb, unsigned int nr, u8 *odd, struct circle_plain *plain);

void circle_jblock_start(void *mb, const u8 *meta_uuid, const struct circle_jhead *h);
void circle_jblock_put(void *mb, unsigned int i, const struct circle_record *r);
void circle_jblock_seal(void *mb, circle_crc_fn crc);
int circle_jblock_check(const void *mb, const u8 *meta_uuid, struct circle_jhead *h,
			circle_crc_fn crc);
/* Whatever its checksum: no block of this lsn or a later one stands there. */
bool circle_jblock_is_older(const void *mb, u64 lsn);
void circle_jblock_get(const void *mb, unsigned int i, struct circle_record *r);

/* Is a slot's state possible: masks within all_pages (mask of the block's pages), dirty within
 * valid, known flags, owner <= CIRCLE_MAX_OWNERS, owner 0's block < nr_blocks, block, seq and gen
 * within their limits (circle/types.h); an entry that is not mapped is all zero but for
 * CIRCLE_SLOT_RETIRED?
 */
static inline bool circle_slot_state_ok(const struct circle_slot_state *s, u64 all_pages,
					u64 nr_blocks)
{
	if ((s->flags & ~CIRCLE_SLOT_ALL) || s->owner > CIRCLE_MAX_OWNERS)
		return false;
	if (!(s->flags & CIRCLE_SLOT_MAPPED))
		return !(s->flags & ~CIRCLE_SLOT_RETIRED) && !s->owner && !s->block && !s->valid &&
		       !s->dirty && !s->seq && !s->gen;
	if ((s->valid & ~all_pages) || (s->dirty & ~s->valid))
		return false;
	if ((s->flags & CIRCLE_SLOT_LOST) && (s->owner || !s->dirty))
		return false;
	if (s->block > CIRCLE_MAX_BLOCK || s->seq > CIRCLE_MAX_SEQ || s->gen > CIRCLE_MAX_GEN)
		return false;
	return s->owner || s->block < nr_blocks;
}

/* Mapped, our own, not newer than the origin in any page: what circle_page_odd() passes over. */
bool circle_slot_state_plain(const struct circle_slot_state *s);

/*
 * Two slots have the same block: does a count and b not? What may be newer than the origin wins
 * over what is plain; else the higher tag.
 */
bool circle_slot_state_beats(const struct circle_slot_state *a, const struct circle_slot_state *b);

#endif
