/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sum: the one rule of all formats for a checksum that stands within what it covers: crc32c with
 * seed ~0, its own four bytes taken as zero. Pure.
 */
#ifndef CIRCLE_CORE_SUM_H
#define CIRCLE_CORE_SUM_H

#include <linux/string.h>
#include <circle/types.h>

/*
 * Checksum of len bytes; field, up to 12, is the offset of the checksum's own four bytes. In two
 * calls: each costs more than the copy.
 */
static inline u32 circle_sum(const void *buf, unsigned int len, unsigned int field,
			     circle_crc_fn crc)
{
	unsigned int behind = field + 4;
	u8 head[16] = {};

	memcpy(head, buf, field);
	return crc(crc(~0u, head, behind), (const u8 *)buf + behind, len - behind);
}

#endif
