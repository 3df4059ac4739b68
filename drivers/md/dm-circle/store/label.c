// SPDX-License-Identifier: GPL-2.0-only
/*
 * label: see label.h. A write that is durable is so when circle_label_write() returns 0; before
 * that, each outcome is possible.
 */
#include "label.h"

#define AREA_SECTORS	(CIRCLE_LABEL_AREA >> CIRCLE_SECTOR_SHIFT)

int circle_label_read(struct dm_io_client *io, struct block_device *bdev, u64 sector, void *area)
{
	return circle_bdev_rw(io, bdev, REQ_OP_READ, sector, area, AREA_SECTORS);
}

int circle_label_write(struct dm_io_client *io, struct block_device *bdev, blk_opf_t opf,
		       u64 sector, const struct circle_label *l, unsigned int copy, void *mb)
{
	sector += circle_label_offset(l->node_id, copy) >> CIRCLE_SECTOR_SHIFT;
	circle_label_encode(l, mb, circle_crc);
	return circle_bdev_rw(io, bdev, opf, sector, mb, CIRCLE_MB_SECTORS);
}

u64 circle_label_tail(struct block_device *bdev)
{
	u64 end = round_down(bdev_nr_sectors(bdev), AREA_SECTORS);

	return end > AREA_SECTORS ? end - AREA_SECTORS : 0;
}
