// SPDX-License-Identifier: GPL-2.0-only
/*
 * build: the constructor and destructor of a table. The constructor parses, opens and only reads;
 * whatever writes happens in preresume. The destructor takes half-built tables, and ones that were
 * never resumed.
 */
#include "face.h"

#include <linux/slab.h>
#include <circle/compat.h>
#include "../engine/circle.h"
#include "../engine/map.h"

void circle_table_devices(const struct circle_table *t, struct circle_devices *dev)
{
	dev->meta = t->meta->bdev;
	dev->cache = t->cache->bdev;
	dev->origin = t->origin->bdev;
	dev->label = t->label ? t->label->bdev : NULL;
	dev->origin_sectors = t->ti->len;
}

void circle_dtr(struct dm_target *ti)
{
	struct circle_table *t = ti->private;

	if (!t)
		return;
	if (t->node)
		circle_node_put(t->node);
	if (t->label)
		dm_put_device(ti, t->label);
	if (t->origin)
		dm_put_device(ti, t->origin);
	if (t->cache)
		dm_put_device(ti, t->cache);
	if (t->meta)
		dm_put_device(ti, t->meta);
	kfree(t);
	ti->private = NULL;
}

static int open_devices(struct circle_table *t)
{
	struct dm_target *ti = t->ti;
	int r;

	r = dm_get_device(ti, t->conf.metadata_dev, CIRCLE_COMPAT_RW, &t->meta);
	if (r) {
		ti->error = "Error opening metadata device";
		return r;
	}
	r = dm_get_device(ti, t->conf.cache_dev, CIRCLE_COMPAT_RW, &t->cache);
	if (r) {
		ti->error = "Error opening cache device";
		return r;
	}
	r = dm_get_device(ti, t->conf.origin_dev, CIRCLE_COMPAT_RW, &t->origin);
	if (r) {
		ti->error = "Error opening origin device";
		return r;
	}
	if (t->conf.label_dev[0]) {
		r = dm_get_device(ti, t->conf.label_dev, CIRCLE_COMPAT_RW, &t->label);
		if (r) {
			ti->error = "Error opening label device";
			return r;
		}
	}
	if (t->meta->bdev == t->cache->bdev || t->meta->bdev == t->origin->bdev ||
	    t->cache->bdev == t->origin->bdev) {
		ti->error = "metadata, cache and origin must be three devices";
		return -EINVAL;
	}
	if (t->label && (t->label->bdev == t->meta->bdev || t->label->bdev == t->cache->bdev ||
			 t->label->bdev == t->origin->bdev)) {
		ti->error = "circle: label must be a device of its own";
		return -EINVAL;
	}
	if (t->conf.key[0]) {
		ti->error = "circle: key: authentication is not built in yet, leave it out";
		return -EINVAL;
	}
	if (bdev_nr_sectors(t->origin->bdev) < ti->len) {
		ti->error = "Device size larger than origin device";
		return -EINVAL;
	}
	return 0;
}

static const char *node_error(int r)
{
	switch (r) {
	case -EBUSY:
		return "metadata or cache device is in use by another circle device";
	case -EXDEV:
		return "metadata and cache device cannot be exchanged one alone: remove the device";
	case -EINVAL:
		return "circle arguments cannot come or go by a reload: remove the device";
	default:
		return "out of memory";
	}
}

static int find_node(struct circle_table *t)
{
	struct circle_devices dev;
	struct dm_target *ti = t->ti;
	struct circle_node *node;
	bool exchange = false;
	int r;

	node = circle_node_get(dm_table_get_md(ti->table), t->meta->bdev->bd_dev,
			       t->cache->bdev->bd_dev, t->conf.circle);
	if (IS_ERR(node)) {
		ti->error = (char *)node_error(PTR_ERR(node));
		return PTR_ERR(node);
	}
	t->node = node;
	if (!circle_node_place(node, t->origin->bdev->bd_dev,
			       t->label ? t->label->bdev->bd_dev : 0)) {
		ti->error = "origin and label of a circle cannot be changed by a reload";
		return -EINVAL;
	}
	if (node->circle && node->state != CIRCLE_NODE_NEW &&
	    t->conf.degree > circle_peers_configured(node->circle)) {
		ti->error = "degree is above the number of peers, which stay by a reload";
		return -EINVAL;
	}
	if (node->state != CIRCLE_NODE_NEW && node->meta->failed)
		return 0;		/* preresume looks at what is in memory */
	circle_table_devices(t, &dev);
	if (node->state == CIRCLE_NODE_NEW) {
		ti->error = (char *)circle_node_follows(node, &dev, &t->conf, &exchange);
		if (ti->error)
			return -EBUSY;
	}
	r = circle_node_check(&dev, &t->conf, &t->outlook, (const char **)&ti->error);
	if (!r && exchange && !t->outlook.blank) {	/* it may be older than the origin */
		ti->error = "the metadata of another cache must be blank: wipe their first 128 KiB";
		r = -EINVAL;
	}
	return r;
}

static void set_up(struct dm_target *ti)
{
	ti->num_flush_bios = 1;
	ti->flush_supported = true;
	ti->num_discard_bios = 1;
	ti->discards_supported = true;
	ti->per_io_data_size = circle_io_size();
}

int circle_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct circle_table *t = kzalloc(sizeof(*t), GFP_KERNEL);
	int r;

	if (!t) {
		ti->error = "out of memory";
		return -ENOMEM;
	}
	t->ti = ti;
	ti->private = t;
	r = circle_config_parse(&t->conf, argc, argv, (const char **)&ti->error);
	if (!r)
		r = open_devices(t);
	if (!r)
		r = find_node(t);
	if (r) {
		circle_dtr(ti);
		return r;
	}
	set_up(ti);
	return 0;
}
