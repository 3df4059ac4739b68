/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every written 512-byte sector carries: who wrote it, where it belongs, which version it is, and
 * a pattern made from these over the whole sector, so that each word is checked. Host byte order.
 */
#ifndef HISTORY_SECTOR_H
#define HISTORY_SECTOR_H

#include <stdint.h>

#define SECTOR		512
#define SECTOR_WORDS	64
#define SECTOR_MAGIC	0x7972747369486343ull
#define SECTOR_STEP	0x9e3779b97f4a7c15ull

/* What a sector may hold instead of a version (a version is below 2^32). */
#define FOUND_ZERO	0ull
#define FOUND_ERROR	(~0ull)		/* could not be read */
#define FOUND_GARBAGE	(~1ull)		/* nothing of ours */
#define FOUND_TORN	(~2ull)		/* begins or ends as ours, is not whole */
#define FOUND_MISPLACED	(~3ull)		/* whole, but belongs to another sector */
#define FOUND_FOREIGN	(~4ull)		/* whole, but of another set (seed) */
#define FOUND_SPECIAL	(~15ull)	/* this and above are not versions */

static inline uint64_t sector_mix(uint64_t set, uint64_t sector, uint64_t version)
{
	uint64_t h = set * 0xff51afd7ed558ccdull + sector;

	h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53ull + version;
	h = (h ^ h >> 29) * SECTOR_STEP;
	return h ^ h >> 32;
}

static inline void sector_fill(uint64_t *w, uint64_t set, uint64_t sector, uint64_t version, uint64_t worker)
{
	uint64_t sum = sector_mix(set, sector, version), x = sum;
	int i;

	w[0] = SECTOR_MAGIC;
	w[1] = set;
	w[2] = sector;
	w[3] = version;
	w[4] = worker;
	for (i = 5; i < 62; i++)
		w[i] = x += SECTOR_STEP;
	w[61] ^= worker;
	w[62] = version;
	w[63] = sum;
}

/* Is it whole, whatever set and sector it says it is of? */
static inline int sector_whole(const uint64_t *w)
{
	uint64_t sum = sector_mix(w[1], w[2], w[3]), x = sum, bad;
	int i;

	bad = (w[0] ^ SECTOR_MAGIC) | (w[62] ^ w[3]) | (w[63] ^ sum);
	for (i = 5; i < 61; i++)
		bad |= w[i] ^ (x += SECTOR_STEP);
	bad |= w[61] ^ w[4] ^ (x + SECTOR_STEP);
	return !bad;
}

/* The version a sector shows, or FOUND_*. */
static inline uint64_t sector_read(const uint64_t *w, uint64_t set, uint64_t sector)
{
	uint64_t any = 0;
	int i;

	if (!w[0] && !w[63]) {
		for (i = 0; i < SECTOR_WORDS; i++)
			any |= w[i];
		if (!any)
			return FOUND_ZERO;
	}
	if (sector_whole(w)) {
		if (w[1] != set)
			return FOUND_FOREIGN;
		if (w[2] != sector)
			return FOUND_MISPLACED;
		/* whole, but a version we can never have made */
		return w[3] && w[3] < 0xffffffffull ? w[3] : FOUND_GARBAGE;
	}
	if (w[0] == SECTOR_MAGIC && w[1] == set)
		return FOUND_TORN;
	if (w[63] && w[63] == sector_mix(set, sector, w[62]))
		return FOUND_TORN;
	return FOUND_GARBAGE;
}

#endif
