// SPDX-License-Identifier: GPL-2.0-only
/*
 * bdev: synchronous I/O for those who may sleep: load, commit, checkpoint, label. It must never be
 * called from the map path or from a completion.
 */
#include "bdev.h"

#include <linux/crc32c.h>

int circle_bdev_rw(struct dm_io_client *io, struct block_device *bdev, blk_opf_t opf, u64 sector,
		   void *vmem, u32 sectors)
{
	struct dm_io_region region = { .bdev = bdev, .sector = sector, .count = sectors };
	struct dm_io_request req = {
		.bi_opf = opf | REQ_META,
		.mem.type = is_vmalloc_addr(vmem) ? DM_IO_VMA : DM_IO_KMEM,
		.mem.ptr.vma = vmem,
		.client = io,
	};
	unsigned long bits = 0;
	int r = dm_io(&req, 1, &region, &bits, IOPRIO_DEFAULT);

	return r || bits ? -EIO : 0;
}

int circle_bdev_flush(struct block_device *bdev)
{
	return bdev_write_cache(bdev) ? blkdev_issue_flush(bdev) : 0;
}

u32 circle_crc(u32 crc, const void *data, unsigned int len)
{
	return crc32c(crc, data, len);
}
