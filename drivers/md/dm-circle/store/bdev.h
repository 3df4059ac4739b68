/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bdev: synchronous I/O of small areas (metadata, label). Process context only; never in the map
 * path. Memory is vmalloc'ed or kmalloc'ed; buffers belong to the caller.
 */
#ifndef CIRCLE_STORE_BDEV_H
#define CIRCLE_STORE_BDEV_H

#include <linux/blkdev.h>
#include <linux/dm-io.h>

/* All that was written before is durable first, and so is this when it completes. */
#define CIRCLE_WRITE_DURABLY	(REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH | REQ_FUA)

/* Sleeps. sectors of 512 bytes at sector, vmem as above. opf: REQ_OP_READ or WRITE with flags.
 * 0 or -EIO.
 */
int circle_bdev_rw(struct dm_io_client *io, struct block_device *bdev, blk_opf_t opf, u64 sector,
		   void *vmem, u32 sectors);

/* Sleeps. All that was written before is durable. Nothing to do on devices without a volatile
 * cache.
 */
int circle_bdev_flush(struct block_device *bdev);

/* crc32c in core's convention. */
u32 circle_crc(u32 crc, const void *data, unsigned int len);

#endif
