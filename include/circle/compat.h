/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat: what differs between the kernels we build for (6.1 and 6.12). The only file that may
 * look at a version. Reproduces what the newer kernel offers, under a circle_compat_ name.
 */
#ifndef CIRCLE_COMPAT_H
#define CIRCLE_COMPAT_H

#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/file.h>
#include <linux/version.h>
#include <net/net_namespace.h>
#include <net/sock.h>

/*
 * A socket of the kernel's own does not hold its network namespace, and TCP goes on with it (its
 * timers, its last packets) after it was released. Make it hold the namespace until it is
 * really freed, as a socket of user space does; what it accepts inherits that. To be called
 * once, right after sock_create_kern(), by somebody who holds the namespace.
 */
static inline void circle_compat_sk_hold_net(struct sock *sk)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	sk_net_refcnt_upgrade(sk);
#else
	/* up to 6.1 such a socket has neither a passive reference nor a tracker to give back */
	WARN_ON_ONCE(sk->sk_net_refcnt);
	sk->sk_net_refcnt = 1;
	get_net_track(sock_net(sk), &sk->ns_tracker, GFP_KERNEL);
	sock_inuse_add(sock_net(sk), 1);
#endif
}

/* What dm_get_device() wants for reading and writing: fmode_t until 6.4, then blk_mode_t. */
#ifdef BLK_OPEN_READ
#define CIRCLE_COMPAT_RW	(BLK_OPEN_READ | BLK_OPEN_WRITE)
#else
#define CIRCLE_COMPAT_RW	(FMODE_READ | FMODE_WRITE)
#endif

/*
 * Opens a device for reading, beside whoever has it, by number; process context, may sleep. Close
 * it in a kernel thread: it is closed on return. 6.9 has files for it.
 */
struct circle_compat_bdev {
	struct block_device *bdev;
	struct file *file;
};

static inline int circle_compat_bdev_open(struct circle_compat_bdev *b, dev_t dev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	b->file = bdev_file_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(b->file))
		return PTR_ERR(b->file);
	b->bdev = file_bdev(b->file);
#else
	b->bdev = blkdev_get_by_dev(dev, FMODE_READ, NULL);
	if (IS_ERR(b->bdev))
		return PTR_ERR(b->bdev);
#endif
	return 0;
}

static inline void circle_compat_bdev_close(struct circle_compat_bdev *b)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	__fput_sync(b->file);
#else
	blkdev_put(b->bdev, FMODE_READ);
#endif
}

/* 6.5 can send a page without copying it; some older ones have the name alone. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define CIRCLE_COMPAT_SPLICE	MSG_SPLICE_PAGES
#else
#define CIRCLE_COMPAT_SPLICE	0
#endif

/* 6.12 derives max_discard_sectors from max_hw_discard_sectors, 6.1 wants both. */
static inline void circle_compat_limit_discard(struct queue_limits *limits,
					       unsigned int granularity,
					       unsigned int sectors)
{
	limits->discard_granularity = granularity;
	limits->max_hw_discard_sectors = sectors;
	limits->max_discard_sectors = sectors;
}

#endif
