/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * copymap: encode, decode and judge the copy map of the metadata device. Pure; as core/disk.h.
 */
#ifndef CIRCLE_CORE_COPYMAP_H
#define CIRCLE_CORE_COPYMAP_H

#include <circle/format/disk.h>

/* How many MBs for the map of so many table pages; 0: there is no room for it. */
u32 circle_map_mbs(u64 pages);

/* start an empty MB (all: copy A), put/get access the bit of a page in it, seal sums it. */
void circle_map_start(void *mb, const u8 *meta_uuid, u64 index, u64 lsn);
void circle_map_put(void *mb, unsigned int i, bool copy);
bool circle_map_get(const void *mb, unsigned int i);
void circle_map_seal(void *mb, circle_crc_fn crc);
/* 0; as core/disk.h says; -EBADMSG also for another index or lsn. */
int circle_map_check(const void *mb, const u8 *meta_uuid, u64 index, u64 lsn, circle_crc_fn crc);

/* Has it a copy map's magic, whatever else? */
bool circle_map_is(const void *mb);

#endif
