// SPDX-License-Identifier: GPL-2.0-only
/*
 * open: may this metadata device be used with this table line? One is formatted only when it is
 * blank; one that does not fit is refused, with the reason, and so is one that is void. Nothing is
 * written before preresume.
 */
#include "bringup.h"

#include <linux/slab.h>
#include "../log.h"
#include "activate.h"
#include "resize.h"

#define MIN_SLOTS	8

static const char *open_error(int r)
{
	switch (r) {
	case -EINVAL:
		return "metadata device holds something else: wipe its first 128 KiB to use it";
	case -EBADMSG:
		return "metadata superblock is damaged in both copies";
	case -EUCLEAN:
		return "first superblock wiped but not the second: wipe the first 128 KiB";
	case -EPROTONOSUPPORT:
		return "metadata was written by a newer version: load that one";
	case -EUNATCH:
		return "metadata need a check: see circle_check --clear-needs-check-flag";
	case -ENOSPC:
		return "metadata device is too small";
	case -ENOMEM:
		return "out of memory";
	default:
		return "metadata device cannot be read";
	}
}

static bool too_many_blocks(const struct circle_devices *dev, u32 block_sectors)
{
	return div_u64(dev->origin_sectors - 1, block_sectors) > CIRCLE_MAX_BLOCK;
}

/* Geometry of a new metadata device. */
static int lay_out(struct circle_meta *m, const struct circle_devices *dev,
		   const struct circle_config *conf, const char **error)
{
	struct circle_super *sb = &m->sb;
	u64 need;

	memset(sb, 0, sizeof(*sb));
	sb->block_sectors = conf->block_sectors;
	sb->page_sectors = circle_page_sectors(conf->block_sectors);
	sb->nr_slots = circle_slots_of(dev, conf);
	sb->origin_sectors = dev->origin_sectors;
	if (too_many_blocks(dev, conf->block_sectors)) {
		*error = "origin has too many blocks: choose larger ones";
		return -EINVAL;
	}
	if (sb->nr_slots < MIN_SLOTS) {
		*error = "cache device holds fewer than 8 blocks";
		return -EINVAL;
	}
	if (circle_disk_layout(sb, div_u64(bdev_nr_sectors(dev->meta), CIRCLE_MB_SECTORS), &need)) {
		CIRCLE_ERR("metadata device needs at least %llu sectors",
			   need * CIRCLE_MB_SECTORS);
		*error = "metadata device is too small for this cache";
		return -EINVAL;
	}
	return 0;
}

/* Is there room in the metadata for the slots of the cache device, if it has grown? */
static int check_size(const struct circle_super *sb, const struct circle_devices *dev,
		      const struct circle_config *conf, const char **error)
{
	struct circle_super *to = kmemdup(sb, sizeof(*sb), GFP_KERNEL);
	u64 nr = circle_slots_of(dev, conf), need;
	int r;

	if (!to) {
		*error = "out of memory";
		return -ENOMEM;
	}
	r = circle_disk_resize(to, nr, div_u64(bdev_nr_sectors(dev->meta), CIRCLE_MB_SECTORS),
			       &need);
	kfree(to);
	if (!r && nr >= MIN_SLOTS)
		return 0;
	if (r == -ENOSPC)
		CIRCLE_ERR("for %llu blocks the metadata device needs at least %llu sectors", nr,
			   need * CIRCLE_MB_SECTORS);
	*error = r == -ENOSPC ?
		"metadata device is too small for the cache that has grown, see the kernel's log" :
		"cache device holds fewer than 8 blocks";
	return -EINVAL;
}

int circle_node_fits(const struct circle_super *sb, const struct circle_devices *dev,
		     const struct circle_config *conf, const char **error)
{
	if (sb->block_sectors != conf->block_sectors)
		*error = "block size differs from the metadata's";
	else if (too_many_blocks(dev, conf->block_sectors))
		*error = "origin has too many blocks: choose larger ones";
	else if (conf->circle && sb->origin_sectors != dev->origin_sectors)
		*error = "the length of a circle device cannot be changed yet";
	else if ((sb->journal_start + sb->journal_blocks) * CIRCLE_MB_SECTORS >
		 bdev_nr_sectors(dev->meta))
		*error = "metadata device is smaller than it was when formatted";
	else if (!!(sb->flags & CIRCLE_SBF_CIRCLE) != conf->circle)
		*error = conf->circle ?
			"metadata are a local cache's: circle arguments do not fit" :
			"metadata are a circle's: circle arguments are missing";
	else if (conf->circle && sb->node_id != conf->id)
		*error = "circle: id differs from the metadata's";
	else
		return check_size(sb, dev, conf, error);
	return -EINVAL;
}

/* Metadata whose first block was wiped, as scripts for dm-cache do, are to be formatted. Not what
 * may have been a circle's: others' data may be in there.
 */
static int open_meta(struct circle_meta *m, const struct circle_config *conf)
{
	int r = circle_meta_open(m);

	return r == -EUCLEAN && m->left_over && !conf->circle ? -ENODATA : r;
}

int circle_node_check(const struct circle_devices *dev, const struct circle_config *conf,
		      struct circle_outlook *out, const char **error)
{
	struct circle_meta *m = circle_meta_create(dev->meta, dev->cache);
	int r;

	if (IS_ERR(m)) {
		*error = "out of memory";
		return PTR_ERR(m);
	}
	r = open_meta(m, conf);
	out->blank = r == -ENODATA;
	if (!r) {
		r = circle_node_fits(&m->sb, dev, conf, error);
	} else if (r == -ENODATA) {
		r = lay_out(m, dev, conf, error);
	} else {
		*error = open_error(r);
		r = r == -ENOMEM ? r : -EINVAL;
	}
	out->slots = m->sb.nr_slots;
	out->meta_used = m->sb.table_start + 2 * m->sb.table_pages;
	out->meta_blocks = m->sb.journal_start + m->sb.journal_blocks;
	circle_meta_destroy(m);
	return r;
}

/* In a circle the label is the witness; others may have what these metadata call dirty. */
static int check_label(struct circle_node *node, const struct circle_config *conf)
{
	const struct circle_circle *c = node->circle;

	if (c->start != CIRCLE_START_RESTART || !(c->seen.flags & CIRCLE_LBF_VOID))
		return 0;
	if (conf->force) {
		CIRCLE_WARN("void metadata are believed by force: what only they call dirty is written over the origin, though it may be older");
		node->meta->voided = true;
		return 0;
	}
	CIRCLE_ERR("these metadata failed in use, the label says that they are void: wipe them (first 128 KiB), then recover; or, to write what only they call dirty over the origin, older or not, say force");
	return -EINVAL;
}

/* Metadata that failed in use are not believed, but by force in a local cache (P3). */
static int check_void(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_meta *m = node->meta;
	enum circle_void v;

	if (conf->circle)
		return check_label(node, conf);
	v = circle_meta_is_void(m);
	if (v == CIRCLE_VOID_NO)
		return 0;
	if (conf->force && v != CIRCLE_VOID_DRAINED) {
		CIRCLE_WARN("void metadata are believed by force: what they call dirty is written over the origin, though it may be older");
		m->voided = true;
		return 0;
	}
	if (v == CIRCLE_VOID_DRAINED)
		CIRCLE_ERR("these metadata failed in use, or another cache took their place, and are void; the origin has everything: wipe them (first 128 KiB) to use the device again");
	else if (v == CIRCLE_VOID_DIRTY)
		CIRCLE_ERR("these metadata failed in use and are void; what was dirty then may not all be at the origin. To give that up, wipe them (first 128 KiB); to write it over the origin, older or not, say force");
	else
		CIRCLE_ERR("the cache device's void mark is damaged or cannot be read, so it is not known whether these metadata count; to believe them, say force");
	return -EINVAL;
}

int circle_node_open(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf)
{
	const char *error = NULL;
	int r = open_meta(node->meta, conf);

	if (r == -ENODATA) {
		r = lay_out(node->meta, dev, conf, &error);
		if (!r && conf->circle) {
			node->meta->sb.flags |= CIRCLE_SBF_CIRCLE;
			node->meta->sb.node_id = conf->id;
			r = circle_activate_plan(node, dev, conf, true);
		}
		if (!r)
			r = circle_meta_format(node->meta);
		if (!r)
			CIRCLE_INFO("metadata formatted: %llu blocks of %u sectors",
				    node->meta->sb.nr_slots, conf->block_sectors);
	} else if (!r) {
		r = circle_node_fits(&node->meta->sb, dev, conf, &error);
		if (!r && conf->circle)
			r = circle_activate_plan(node, dev, conf, false);
		if (!r)
			r = check_void(node, conf);
	} else {
		error = open_error(r);
	}
	if (error)
		CIRCLE_ERR("%s", error);
	return r;
}
