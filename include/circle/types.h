/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * types: the words and limits that every layer shares.
 *
 * Units: "sector" is 512 bytes; "page" is the unit of validity and dirtiness, 4 KiB or 1/64 of a
 * block rounded up to a power of two; "block" is the unit of allocation; "slot" is a block-sized
 * place on the cache device; "metadata block" is 4 KiB of the metadata device.
 */
#ifndef CIRCLE_TYPES_H
#define CIRCLE_TYPES_H

#include <linux/types.h>
#include <linux/build_bug.h>

#define CIRCLE_SECTOR_SHIFT	9
#define CIRCLE_MB_SIZE		4096u	/* metadata block, label copy: bytes */
#define CIRCLE_MB_SECTORS	8u
#define CIRCLE_UUID_SIZE	16
#define CIRCLE_DOMAIN_SIZE	16	/* bytes, zero padded, need not be terminated */

#define CIRCLE_MIN_BLOCK_SECTORS	8u		/* 4 KiB */
#define CIRCLE_MAX_BLOCK_SECTORS	2097152u	/* 1 GiB */
#define CIRCLE_MAX_PAGES	64	/* pages of a block: one 64-bit mask */

#define CIRCLE_MAX_NODE_ID	127	/* ids are 1..127: also the place in the label */
#define CIRCLE_MAX_PEERS	32	/* of one owner: one 32-bit mask of holders */
#define CIRCLE_MAX_OWNERS	32	/* foreign sets that one node lends space to */
#define CIRCLE_MAX_DEGREE	8

#define CIRCLE_MAX_BLOCK	0xffffffffffffull	/* number of a block: 1 EiB of 4 KiB */
#define CIRCLE_MAX_SEQ		0xffffffffffffull	/* 89 years at 100000 writes a second */
#define CIRCLE_MAX_GEN		0xffffffffull

#define CIRCLE_NO_SLOT		0xffffffffu
#define CIRCLE_MAX_SLOTS	0xfffffff0u

/* A write is named by (generation, sequence); a sequence alone names nothing. */
struct circle_tag {
	u64 gen;
	u64 seq;
};

static inline int circle_tag_cmp(struct circle_tag a, struct circle_tag b)
{
	if (a.gen != b.gen)
		return a.gen < b.gen ? -1 : 1;
	if (a.seq != b.seq)
		return a.seq < b.seq ? -1 : 1;
	return 0;
}

/* crc32c in the kernel's convention: no inversion of its own; seed with ~0. Handed to core/. */
typedef u32 (*circle_crc_fn)(u32 crc, const void *data, unsigned int len);

#endif
