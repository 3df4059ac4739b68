// SPDX-License-Identifier: GPL-2.0-only
/*
 * dev: see dev.h. No byte outside of what the device has is ever asked for.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/fs.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <circle/types.h>
#include "dev.h"
#include "tool.h"

#define ALIGNMENT		4096

static int open_error(const struct dev *d, int err)
{
	if (err == EBUSY || err == EWOULDBLOCK)
		tool_err("%s is in use: it can be worked on only while nobody else has it",
			 d->path);
	else
		tool_err("%s cannot be opened: %s", d->path, strerror(err));
	return -err;
}

static int find_size(struct dev *d)
{
	u64 bytes = d->st.st_size;

	if (S_ISBLK(d->st.st_mode) && ioctl(d->fd, BLKGETSIZE64, &bytes))
		return -errno;
	d->sectors = bytes >> CIRCLE_SECTOR_SHIFT;
	return 0;
}

static int open_as(struct dev *d, unsigned int how)
{
	int flags = O_CLOEXEC | (how & DEV_WRITE ? O_RDWR : O_RDONLY);
	bool block = S_ISBLK(d->st.st_mode);

	if (block)
		flags |= O_DIRECT | (how & DEV_EXCL ? O_EXCL : 0);
	d->fd = open(d->path, flags);
	if (d->fd < 0)
		return -errno;
	if (fstat(d->fd, &d->st))
		return -errno;
	if (S_ISBLK(d->st.st_mode) != block)
		return -EAGAIN;
	if (!block && (how & DEV_EXCL) && flock(d->fd, LOCK_EX | LOCK_NB))
		return -errno;
	return find_size(d);
}

int dev_open(struct dev *d, const char *path, unsigned int how)
{
	int err;

	memset(d, 0, sizeof(*d));
	d->path = path;
	d->fd = -1;
	if (stat(path, &d->st))
		return open_error(d, errno);
	if (!S_ISBLK(d->st.st_mode) && !S_ISREG(d->st.st_mode)) {
		tool_err("%s is neither a block device nor a file", path);
		return -ENOTBLK;
	}
	err = open_as(d, how);
	if (!err)
		return 0;
	dev_close(d);
	return open_error(d, -err);
}

void dev_close(struct dev *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

bool dev_same(const struct dev *a, const struct dev *b)
{
	if (S_ISBLK(a->st.st_mode) != S_ISBLK(b->st.st_mode))
		return false;
	if (S_ISBLK(a->st.st_mode))
		return a->st.st_rdev == b->st.st_rdev;
	return a->st.st_dev == b->st.st_dev && a->st.st_ino == b->st.st_ino;
}

void *dev_alloc(size_t bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, ALIGNMENT, bytes)) {
		tool_err("out of memory");
		return NULL;
	}
	memset(p, 0, bytes);
	return p;
}

static bool within(const struct dev *d, u64 sector, u32 sectors)
{
	return sectors <= d->sectors && sector <= d->sectors - sectors;
}

int dev_read(const struct dev *d, u64 sector, void *buf, u32 sectors)
{
	size_t len = (size_t)sectors << CIRCLE_SECTOR_SHIFT, done = 0;
	off_t at = sector << CIRCLE_SECTOR_SHIFT;
	ssize_t n;

	if (!within(d, sector, sectors))
		return -ENXIO;
	while (done < len) {
		n = pread(d->fd, (char *)buf + done, len - done, at + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return 0;
}

int dev_write(const struct dev *d, u64 sector, const void *buf, u32 sectors)
{
	size_t len = (size_t)sectors << CIRCLE_SECTOR_SHIFT, done = 0;
	off_t at = sector << CIRCLE_SECTOR_SHIFT;
	ssize_t n;

	if (!within(d, sector, sectors))
		return -ENXIO;
	while (done < len) {
		n = pwrite(d->fd, (const char *)buf + done, len - done, at + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return 0;
}

int dev_flush(const struct dev *d)
{
	return fdatasync(d->fd) ? -errno : 0;
}

int dev_write_durably(const struct dev *d, u64 sector, const void *buf, u32 sectors)
{
	int err = dev_flush(d);

	if (!err)
		err = dev_write(d, sector, buf, sectors);
	return err ?: dev_flush(d);
}
