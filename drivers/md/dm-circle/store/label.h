/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * label: reading and writing the label area. Process context, sleeps. Who may write, and when, is
 * the engine's to decide; this file never writes any place but the one of the given node.
 */
#ifndef CIRCLE_STORE_LABEL_H
#define CIRCLE_STORE_LABEL_H

#include "../core/label.h"
#include "bdev.h"

/* Reads the area (CIRCLE_LABEL_AREA bytes, vmalloc'ed) at sector. */
int circle_label_read(struct dm_io_client *io, struct block_device *bdev, u64 sector, void *area);

/* Writes one copy of l->node_id's place. mb: 4 KiB of scratch. opf: CIRCLE_WRITE_DURABLY, or
 * without its flags if the caller flushes, before and behind.
 */
int circle_label_write(struct dm_io_client *io, struct block_device *bdev, blk_opf_t opf,
		       u64 sector, const struct circle_label *l, unsigned int copy, void *mb);

/* Where a tail label of this device stands, in sectors; 0 if the device is too small. */
u64 circle_label_tail(struct block_device *bdev);

#endif
