/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz: what the harnesses share. An assertion that fails is a finding.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdlib.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/byteorder.h>
#include <circle/types.h>

#define HOLDS(cond)	do { if (!(cond)) __builtin_trap(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* crc32c, kernel convention. */
__attribute__((__no_sanitize__("address", "undefined", "coverage")))
static inline u32 fuzz_crc(u32 crc, const void *data, unsigned int len)
{
	static u32 table[256];
	const u8 *p = data;
	u32 i, k, v;

	for (i = 1; !table[255] && i < 256; i++) {
		for (v = i, k = 0; k < 8; k++)
			v = v & 1 ? v >> 1 ^ 0x82f63b78 : v >> 1;
		table[i] = v;
	}
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

/* Makes the checksum at field right, so that what stands behind it is reached. */
static inline void fuzz_seal(void *buf, unsigned int len, unsigned int field)
{
	u8 *p = buf;
	__le32 crc = 0;

	memcpy(p + field, &crc, sizeof(crc));
	crc = cpu_to_le32(fuzz_crc(~0u, p, len));
	memcpy(p + field, &crc, sizeof(crc));
}

static inline u8 fuzz_byte(const u8 **data, size_t *size)
{
	if (!*size)
		return 0;
	--*size;
	return *(*data)++;
}

/* Writes pieces of the input over buf: offset (2 bytes), length (1 byte), bytes. */
static inline void fuzz_patch(u8 *buf, size_t len, const u8 **data, size_t *size)
{
	size_t at, n;

	at = fuzz_byte(data, size);
	at = (at << 8 | fuzz_byte(data, size)) % len;
	for (n = fuzz_byte(data, size); n && *size && at < len; n--)
		buf[at++] = fuzz_byte(data, size);
}

#endif
