/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dev: a block device, or a file with the image of one. Block devices are read and written past
 * the page cache, which may be older than what the kernel's target wrote.
 */
#ifndef CIRCLE_TOOL_DEV_H
#define CIRCLE_TOOL_DEV_H

#include <linux/types.h>
#include <sys/stat.h>

#define DEV_WRITE	0x1
#define DEV_EXCL	0x2	/* nobody else has it: no dm table, no mount, no other tool */

struct dev {
	const char *path;
	int fd;
	u64 sectors;
	struct stat st;
};

/* 0 or -errno, after a message. */
int dev_open(struct dev *d, const char *path, unsigned int how);
void dev_close(struct dev *d);
bool dev_same(const struct dev *a, const struct dev *b);

/* Buffers of dev_alloc(); whole sectors within the device, else -ENXIO. 0 or -errno, silently. */
void *dev_alloc(size_t bytes);		/* free(); zeroed; NULL after a message */
int dev_read(const struct dev *d, u64 sector, void *buf, u32 sectors);
int dev_write(const struct dev *d, u64 sector, const void *buf, u32 sectors);
int dev_flush(const struct dev *d);

/* All that was written before is durable first, and so is this when it returns 0. */
int dev_write_durably(const struct dev *d, u64 sector, const void *buf, u32 sectors);

#endif
