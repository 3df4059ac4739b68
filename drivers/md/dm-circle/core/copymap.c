// SPDX-License-Identifier: GPL-2.0-only
/*
 * copymap: which of the two copies of each table page counts, so that a load reads one of them. It
 * is only a hint: it must never be what makes a page believed; the superblock's digest is.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "copymap.h"
#include "sum.h"

u32 circle_map_mbs(u64 pages)
{
	if (pages > CIRCLE_MAP_MAX_MBS * CIRCLE_MAP_BITS)
		return 0;
	return ((u32)pages + CIRCLE_MAP_BITS - 1) / CIRCLE_MAP_BITS;
}

static u32 map_sum(const void *mb, circle_crc_fn crc)
{
	return circle_sum(mb, CIRCLE_MB_SIZE, offsetof(struct circle_disk_map, crc), crc);
}

void circle_map_start(void *mb, const u8 *meta_uuid, u64 index, u64 lsn)
{
	struct circle_disk_map *d = mb;

	memset(d, 0, sizeof(*d));
	d->magic = cpu_to_le32(CIRCLE_MAP_MAGIC);
	d->index = cpu_to_le64(index);
	d->lsn = cpu_to_le64(lsn);
	memcpy(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE);
}

void circle_map_put(void *mb, unsigned int i, bool copy)
{
	struct circle_disk_map *d = mb;

	if (i < CIRCLE_MAP_BITS && copy)
		d->bit[i / 8] |= 1 << (i % 8);
}

bool circle_map_get(const void *mb, unsigned int i)
{
	const struct circle_disk_map *d = mb;

	return i < CIRCLE_MAP_BITS && (d->bit[i / 8] >> (i % 8) & 1);
}

void circle_map_seal(void *mb, circle_crc_fn crc)
{
	struct circle_disk_map *d = mb;

	d->crc = cpu_to_le32(map_sum(d, crc));
}

int circle_map_check(const void *mb, const u8 *meta_uuid, u64 index, u64 lsn, circle_crc_fn crc)
{
	const struct circle_disk_map *d = mb;

	if (!memchr_inv(d, 0, CIRCLE_MB_SIZE))
		return -ENODATA;
	if (!circle_map_is(d) || memcmp(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE))
		return -EINVAL;
	if (le32_to_cpu(d->crc) != map_sum(d, crc))
		return -EBADMSG;
	return le64_to_cpu(d->index) == index && le64_to_cpu(d->lsn) == lsn ? 0 : -EBADMSG;
}

bool circle_map_is(const void *mb)
{
	const struct circle_disk_map *d = mb;

	return le32_to_cpu(d->magic) == CIRCLE_MAP_MAGIC;
}
