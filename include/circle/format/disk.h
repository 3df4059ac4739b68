/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk format: the metadata device, byte for byte. Drawn in Documentation/format.rst.
 *
 * Everything is little-endian. A metadata block (MB) is 4096 bytes. Layout, in MBs:
 *	0, 16			superblock, two copies written in turn (newest valid seq wins)
 *	1, 17			which copy of each table page counts: a hint, two places in turn
 *	table_start		slot table, copy A: table_pages MBs
 *	+ table_pages		slot table, copy B
 *	journal_start		journal: ring of journal_blocks MBs; lsn n is at n % journal_blocks
 *
 * Every MB carries a crc32c (seed ~0, its own field taken as zero) over all 4096 bytes, and the
 * random meta_uuid of the formatting, so that blocks of an older formatting are never believed.
 */
#ifndef CIRCLE_FORMAT_DISK_H
#define CIRCLE_FORMAT_DISK_H

#include <circle/types.h>

#define CIRCLE_DISK_MAGIC	"dmcircle"
#define CIRCLE_DISK_VERSION	2
#define CIRCLE_SB_COPY1_MB	16
#define CIRCLE_TABLE_START_MB	32

/* superblock flags */
#define CIRCLE_SBF_CLEAN	0x1	/* stopped in order: intents need not be believed */
#define CIRCLE_SBF_NEEDS_CHECK	0x2
#define CIRCLE_SBF_CIRCLE	0x4	/* formatted with circle arguments: has a label */
#define CIRCLE_SBF_VOID		0x8	/* writing failed: nothing here is to be believed */
#define CIRCLE_SBF_ALL		0xf

/* what the superblock's compat word may have: a version that does not know it loses it */
#define CIRCLE_SBC_COUNTERS	0x1	/* counter[] is there */
#define CIRCLE_SBC_TIDY		0x2	/* stopped in order: replicas have all that tags cover */
#define CIRCLE_SBR_RENOUNCED	0x1	/* of ro_compat */

#define CIRCLE_LABEL_NONE	0
#define CIRCLE_LABEL_TAIL	1	/* last aligned MiB of the origin as formatted */
#define CIRCLE_LABEL_DEV	2	/* a device of its own, from sector 0 */

struct circle_disk_owner {		/* a foreign set that this node lends slots to */
	u8	uuid[CIRCLE_UUID_SIZE];	/* all zero: entry free */
	__le64	generation;		/* newest that was seen: older ones are refused */
	__le64	activation;
	__le32	node_id;		/* of the owner at that generation */
	__le32	reserved;
	__le64	reserved2;
} __packed;

struct circle_disk_super {
	u8	magic[8];
	__le32	crc;
	__le16	version;
	__le16	reserved0;
	__le32	compat;			/* unknown bits: ignored */
	__le32	ro_compat;		/* unknown bits: refused too (we never load read-only) */
	__le32	incompat;		/* unknown bits: refused */
	__le32	flags;			/* CIRCLE_SBF_ */
	__le64	seq;			/* of superblock writes */
	u8	meta_uuid[CIRCLE_UUID_SIZE];
	u8	set_uuid[CIRCLE_UUID_SIZE];
	__le64	generation;
	__le64	activation;
	__le32	node_id;		/* 0: local cache */
	__le32	block_sectors;
	__le32	page_sectors;
	__le32	label_kind;
	__le64	label_sector;
	__le64	nr_slots;
	__le64	origin_sectors;
	__le64	table_start;		/* MB */
	__le64	table_pages;		/* of one copy */
	__le64	journal_start;		/* MB */
	__le64	journal_blocks;
	__le64	tail_lsn;		/* first lsn that a replay needs */
	__le16	nr_owners;		/* always CIRCLE_MAX_OWNERS in versions 1 and 2 */
	__le16	reserved1;
	__le32	renounced;		/* how often a replica was lost to the disk (RENOUNCED) */
	__le64	max_seq;		/* no write of this generation is above it; 0: unknown */
	__le64	next_generation;	/* activation under way: its label may stand already */
	__le64	next_activation;
	__le64	table_digest;		/* of the table's page lsns, see circle_page_digest() */
	__le64	counter[4];		/* hits, misses: of reads, of writes (COUNTERS) */
	__le64	map_lsn;		/* of the copy map that fits; 0: none */
	u8	reserved3[8];		/* pads to 256 */
	struct circle_disk_owner owner[CIRCLE_MAX_OWNERS];
	u8	reserved4[CIRCLE_MB_SIZE - 256 - CIRCLE_MAX_OWNERS * 48];
} __packed;

/* slot entry flags */
#define CIRCLE_SLOT_MAPPED	0x1
#define CIRCLE_SLOT_INTENT	0x2	/* valid pages may be dirty although not marked so (R1a) */
#define CIRCLE_SLOT_RETIRED	0x4	/* bad place on the cache device: never used again */
#define CIRCLE_SLOT_LOST	0x8	/* only copy of its dirty pages is gone: reads fail */
#define CIRCLE_SLOT_ALL		0xf

struct circle_disk_slot {		/* 48 bytes; all zero = free */
	__le64	block;			/* in the owner's origin, in blocks */
	__le64	valid;			/* page masks */
	__le64	dirty;			/* subset of valid */
	__le64	seq;
	__le64	gen;
	__le16	owner;			/* 0: own origin; n: superblock's owner[n - 1] */
	__le16	flags;
	__le32	reserved;
} __packed;

#define CIRCLE_PAGE_MAGIC	0x47504363u	/* "cCPG" */
#define CIRCLE_SLOTS_PER_MB	84

struct circle_disk_page {
	__le32	magic;
	__le32	crc;
	__le64	index;			/* page of the table: slots index * 84 ... */
	__le64	lsn;			/* records with this lsn or less are already in it */
	u8	meta_uuid[CIRCLE_UUID_SIZE];
	u8	reserved[24];
	struct circle_disk_slot slot[CIRCLE_SLOTS_PER_MB];
} __packed;

/*
 * The copy map: a bit for each table page, 0: copy A counts, 1: copy B. It is a hint, which the
 * superblock's table_digest proves. In MB 1 and behind, or in 17 and behind.
 */
#define CIRCLE_MAP_MAGIC	0x504d4363u	/* "cCMP" */
#define CIRCLE_MAP_BITS		32256u		/* table pages that one MB speaks of */
#define CIRCLE_MAP_MAX_MBS	15u

struct circle_disk_map {
	__le32	magic;
	__le32	crc;
	__le64	index;			/* of this MB: table pages index * 32256 ... */
	__le64	lsn;			/* the superblock's map_lsn */
	u8	meta_uuid[CIRCLE_UUID_SIZE];
	u8	reserved[24];
	u8	bit[CIRCLE_MAP_BITS / 8];	/* page i: bit i % 8 of byte i / 8 */
} __packed;

#define CIRCLE_JBLOCK_MAGIC	0x424a4363u	/* "cCJB" */
#define CIRCLE_RECORDS_PER_MB	72

struct circle_disk_record {		/* the whole new state of one slot */
	__le32	slot;
	__le32	reserved;
	struct circle_disk_slot state;
} __packed;

struct circle_disk_jblock {
	__le32	magic;
	__le32	crc;
	__le64	lsn;			/* of this block, one more than that of the block before */
	__le64	commit;			/* lsn of the first block of this commit */
	__le32	commit_blocks;		/* blocks of this commit: all of them, or none, count */
	__le16	nr_records;
	__le16	reserved0;
	u8	meta_uuid[CIRCLE_UUID_SIZE];
	u8	reserved[16];
	struct circle_disk_record record[CIRCLE_RECORDS_PER_MB];
} __packed;

/*
 * The void mark, on the cache device in the first metadata block behind the last slot: the metadata
 * of this meta_uuid failed and are not to be believed any more. Nothing else ever stands there.
 */
#define CIRCLE_MARK_MAGIC	"dmCirVod"
#define CIRCLE_MARK_VERSION	1
#define CIRCLE_MARK_UNDRAINED	1	/* dirty pages may be left on the cache device */
#define CIRCLE_MARK_DRAINED	2	/* the origin has all that was ever flushed */

struct circle_disk_mark {
	u8	magic[8];
	__le32	crc;
	__le16	version;
	__le16	state;			/* CIRCLE_MARK_ */
	u8	meta_uuid[CIRCLE_UUID_SIZE];
	__le32	reason;			/* errno of the first failure, positive */
	u8	reserved[CIRCLE_MB_SIZE - 36];
} __packed;

static_assert(sizeof(struct circle_disk_mark) == CIRCLE_MB_SIZE);
static_assert(sizeof(struct circle_disk_owner) == 48);
static_assert(sizeof(struct circle_disk_super) == CIRCLE_MB_SIZE);
static_assert(sizeof(struct circle_disk_slot) == 48);
static_assert(sizeof(struct circle_disk_page) == CIRCLE_MB_SIZE);
static_assert(sizeof(struct circle_disk_map) == CIRCLE_MB_SIZE);
static_assert(sizeof(struct circle_disk_record) == 56);
static_assert(sizeof(struct circle_disk_jblock) == CIRCLE_MB_SIZE);

#endif
