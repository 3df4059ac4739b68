/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * crc: crc32c by an instruction of the CPU, for what core/ wants one for: in an emulator millions
 * of pages are summed.
 */
#ifndef TOOLS_CRC_H
#define TOOLS_CRC_H

#include <linux/types.h>
#include <nmmintrin.h>
#include <string.h>

__attribute__((target("sse4.2"))) static inline u32 crc(u32 sum, const void *data, unsigned int len)
{
	const u8 *p = data;
	u64 v;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		sum = _mm_crc32_u64(sum, v);
	}
	for (; len; len--)
		sum = _mm_crc32_u8(sum, *p++);
	return sum;
}

#endif
