/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sum: the one rule of all formats for a checksum that stands within what it covers: crc32c with
 * seed ~0, its own four bytes taken as zero. Pure.
 */
#ifndef CIRCLE_CORE_SUM_H
#define CIRCLE_CORE_SUM_H

#include <circle/types.h>

/* Checksum of len bytes; field is the offset of the checksum's own four bytes. */
static inline u32 circle_sum(const void *buf, unsigned int len, unsigned int field,
			     circle_crc_fn crc)
{
	static const u8 zero[4];
	const u8 *p = buf;
	u32 sum;

	sum = crc(~0u, p, field);
	sum = crc(sum, zero, sizeof(zero));
	field += sizeof(zero);
	return crc(sum, p + field, len - field);
}

#endif
