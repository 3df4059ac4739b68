// SPDX-License-Identifier: GPL-2.0-only
/*
 * target: the operations that device-mapper calls, and the module. It must never hold logic of
 * its own: each operation checks what the kernel hands in and passes it to the engine.
 */
#include "face.h"

#include <linux/module.h>
#include <circle/compat.h>
#include "../engine/hung.h"
#include "../engine/map.h"
#include "../log.h"
#include "sysfs.h"

static int target_map(struct dm_target *ti, struct bio *bio)
{
	struct circle_table *t = ti->private;

	return circle_map(t->node, bio, dm_target_offset(ti, bio->bi_iter.bi_sector));
}

static int target_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *status)
{
	return circle_end_io(bio, status);
}

static int target_preresume(struct dm_target *ti)
{
	struct circle_table *t = ti->private;
	struct circle_devices dev;
	int r;

	circle_table_devices(t, &dev);
	r = circle_node_resume(t->node, &dev, &t->conf);
	if (!r)
		circle_config_acted(&t->conf);
	return r;
}

static void target_resume(struct dm_target *ti)
{
	struct circle_table *t = ti->private;

	t->resumed = true;
	circle_event_table(t->node, ti->table);
	circle_node_live(t->node);
	circle_sysfs_add(t->node);
}

static void target_presuspend(struct dm_target *ti)
{
	struct circle_table *t = ti->private;

	circle_node_presuspend(t->node, dm_noflush_suspending(ti));
}

static void target_presuspend_undo(struct dm_target *ti)
{
	struct circle_table *t = ti->private;

	if (t->resumed)
		circle_node_live(t->node);
}

static void target_postsuspend(struct dm_target *ti)
{
	struct circle_table *t = ti->private;

	circle_node_suspend(t->node);
	circle_event_table(t->node, NULL);
}

/* The origin alone, as other caches do: persistent reservations must reach it. */
static int target_iterate(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct circle_table *t = ti->private;

	return fn(ti, t->origin, 0, ti->len, data);
}

/* As dm-cache does: what is not passed down is not promised, and status says so. */
static void judge_passdown(struct circle_table *t)
{
	if (t->conf.no_discard_passdown || bdev_max_discard_sectors(t->origin->bdev))
		return;
	CIRCLE_WARN("origin %pg does not support discards: they are not passed down",
		    t->origin->bdev);
	t->conf.no_discard_passdown = true;
}

static void discard_hints(struct circle_table *t, struct queue_limits *limits)
{
	u32 page = circle_page_sectors(t->conf.block_sectors) << SECTOR_SHIFT;
	struct block_device *origin = t->origin->bdev;

	judge_passdown(t);
	if (t->conf.no_discard_passdown)
		circle_compat_limit_discard(limits, page, UINT_MAX >> SECTOR_SHIFT);
	else
		circle_compat_limit_discard(limits, max(page, bdev_discard_granularity(origin)),
					    bdev_max_discard_sectors(origin));
}

static void target_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct circle_table *t = ti->private;
	struct block_device *ssd = t->cache->bdev;
	u32 block = t->conf.block_sectors << SECTOR_SHIFT;

	/* iterate_devices names the origin alone, but the SSD has limits too. */
	blk_stack_limits(limits, &bdev_get_queue(ssd)->limits, get_start_sect(ssd));
	/* dm-cache's rule: the block, unless the devices ask for a multiple of it */
	if (limits->io_opt < block || limits->io_opt % block) {
		limits->io_min = block;
		limits->io_opt = block;
	}
	discard_hints(t, limits);
}

static int target_prepare_ioctl(struct dm_target *ti, struct block_device **bdev)
{
	struct circle_table *t = ti->private;

	*bdev = t->origin->bdev;
	return ti->len != bdev_nr_sectors(*bdev);
}

static struct target_type circle_target = {
	.name = "circle",
	.features = DM_TARGET_SINGLETON,
	.version = { 0, 1, 0 },
	.module = THIS_MODULE,
	.ctr = circle_ctr,
	.dtr = circle_dtr,
	.map = target_map,
	.end_io = target_end_io,
	.preresume = target_preresume,
	.resume = target_resume,
	.presuspend = target_presuspend,
	.presuspend_undo = target_presuspend_undo,
	.postsuspend = target_postsuspend,
	.status = circle_status,
	.message = circle_message,
	.iterate_devices = target_iterate,
	.io_hints = target_io_hints,
	.prepare_ioctl = target_prepare_ioctl,
};

static int __init circle_init(void)
{
	int r = circle_hung_setup();

	if (r)
		return r;
	r = dm_register_target(&circle_target);
	if (r)
		circle_hung_teardown();
	return r;
}

static void __exit circle_exit(void)
{
	dm_unregister_target(&circle_target);
	circle_hung_teardown();
}

module_init(circle_init);
module_exit(circle_exit);

MODULE_DESCRIPTION("device-mapper write-back cache replicated to peer hosts");
MODULE_LICENSE("GPL");
