// SPDX-License-Identifier: GPL-2.0-only
/*
 * plan: what label, metadata and table mean together: a new set, a restart, an adoption, a takeover
 * or what is refused, with what to do about it. It only reads; nothing is written here.
 */
#include "activate.h"

#include <linux/uuid.h>
#include "../log.h"
#include "../store/label.h"

static int find_label(struct circle_node *node, const struct circle_devices *dev,
		      const struct circle_config *conf, bool unlabelled)
{
	struct circle_circle *c = node->circle;
	struct circle_super *sb = &node->meta->sb;

	if (!unlabelled && sb->label_kind == CIRCLE_LABEL_TAIL && dev->label) {
		CIRCLE_ERR("the label is at the origin's end: remove the device, and leave label <dev> out of the table line");
		return -EINVAL;
	}
	if (!unlabelled) {
		c->label_dev = sb->label_kind == CIRCLE_LABEL_DEV ? dev->label : dev->origin;
		c->label_sector = sb->label_sector;
	} else {
		c->label_dev = dev->label ?: dev->origin;
		c->label_sector = dev->label ? 0 : circle_label_tail(dev->origin);
		sb->label_kind = dev->label ? CIRCLE_LABEL_DEV : CIRCLE_LABEL_TAIL;
		sb->label_sector = c->label_sector;
	}
	if (!c->label_dev) {
		CIRCLE_ERR("the label is on a device of its own: the table line must name it (label <dev>)");
		return -EINVAL;
	}
	if (sb->label_kind == CIRCLE_LABEL_TAIL && c->label_sector < dev->origin_sectors) {
		CIRCLE_ERR("no room for the label: the target must end at sector %llu of the origin, or the line must name a label device",
			   c->label_sector);
		return -EINVAL;
	}
	return 0;
}

static int read_label(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	struct circle_label_view v;

	if (circle_label_read(node->meta->io, c->label_dev, c->label_sector, c->area)) {
		CIRCLE_ERR("the label cannot be read");
		return -EIO;
	}
	circle_label_judge(c->area, conf->id, &v, &c->seen, circle_crc);
	c->label_copy = v.my_copy;
	c->label.seq = v.max_seq;
	switch (v.status) {
	case 0:
	case -ENODATA:
		return v.status;
	case -EPROTONOSUPPORT:
		CIRCLE_ERR("the label was written by a newer version");
		return -EINVAL;
	default:
		CIRCLE_ERR("label area at sector %llu, byte %u: %s; it is not overwritten",
			   c->label_sector, v.where,
			   v.status == -EBADMSG ? "damaged" : "neither blank nor a label");
		return -EINVAL;
	}
}

/*
 * Blank metadata, and no label at the origin's end: the origin may have grown since, and the label
 * stands where the target ends. Only a label is believed there; anything else is somebody's data.
 */
static int find_older_label(struct circle_node *node, const struct circle_devices *dev,
			    const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	u64 sectors = CIRCLE_LABEL_AREA >> CIRCLE_SECTOR_SHIFT;
	u64 there = DIV_ROUND_UP_ULL(dev->origin_sectors, sectors) * sectors;
	struct circle_label_view v;

	if (dev->label || there >= c->label_sector ||
	    circle_label_read(node->meta->io, c->label_dev, there, c->area))
		return -ENODATA;
	circle_label_judge(c->area, conf->id, &v, &c->seen, circle_crc);
	if (v.status)
		return -ENODATA;
	CIRCLE_INFO("the origin has grown: its label is at sector %llu", there);
	c->label_sector = there;
	node->meta->sb.label_sector = there;
	return read_label(node, conf);
}

/*
 * A new set whose label has a device of its own: nobody else may have one at the origin's end, whom
 * we would not see, nor he us.
 */
static int label_at_end(struct circle_node *node, const struct circle_devices *dev,
			const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	u64 tail = circle_label_tail(dev->origin);
	struct circle_label_view v;

	if (!dev->label || tail < dev->origin_sectors)
		return 0;
	if (circle_label_read(node->meta->io, dev->origin, tail, c->area)) {
		CIRCLE_ERR("the end of the origin, where a label may be, cannot be read");
		return -EIO;
	}
	circle_label_judge(c->area, conf->id, &v, &c->seen, circle_crc);
	if (v.status || c->seen.state == CIRCLE_LS_CLEAN) {
		memset(&c->seen, 0, sizeof(c->seen));
		return 0;
	}
	CIRCLE_ERR("the label device is blank, but at the origin's end is a label of node %u, generation %llu, that is not clean: remove the device, and leave label <dev> out of the table line, or stop that node first",
		   c->seen.node_id, c->seen.generation);
	return -EINVAL;
}

static bool ours(const struct circle_super *sb, const struct circle_label *l)
{
	return (sb->generation == l->generation && sb->activation == l->activation) ||
	       (sb->next_generation == l->generation && sb->next_activation == l->activation);
}

static int fit_blank(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	const struct circle_label *l = &c->seen;

	memcpy(node->meta->sb.set_uuid, l->set_uuid, CIRCLE_UUID_SIZE);
	if (conf->recover) {
		c->start = CIRCLE_START_TAKE;
		return 0;
	}
	if (l->state != CIRCLE_LS_CLEAN) {
		CIRCLE_ERR("the origin belongs to node %u, generation %llu, and is not clean: the metadata device is blank, so say recover to take it over",
			   l->node_id, l->generation);
		return -EINVAL;
	}
	c->start = CIRCLE_START_ADOPT;
	return 0;
}

bool circle_label_newest(struct circle_circle *c, u32 id, u32 but, struct circle_label *l,
			 struct circle_label *scratch)
{
	bool got = false;
	u32 copy;

	for (copy = 0; copy < 2; copy++) {
		char *at = (char *)c->area + circle_label_offset(id, copy);

		if (circle_label_decode(at, id, scratch, circle_crc) || (scratch->flags & but) ||
		    (got && scratch->seq <= l->seq))
			continue;
		*l = *scratch;
		got = true;
	}
	return got;
}

static int fit(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	const struct circle_super *sb = &node->meta->sb;
	const struct circle_label *l = &c->seen;

	if (memcmp(sb->set_uuid, l->set_uuid, CIRCLE_UUID_SIZE)) {
		CIRCLE_ERR("the metadata belong to another origin (their set differs from the label's)");
		return -EINVAL;
	}
	if (ours(sb, l)) {
		if (conf->recover) {
			CIRCLE_ERR("recover: these metadata are the label's generation already; leave recover out");
			return -EINVAL;
		}
		c->start = CIRCLE_START_RESTART;
		return 0;
	}
	/* It has drained nothing yet, so what is dirty on this SSD may be nowhere else. */
	if (l->generation >= sb->generation && l->state == CIRCLE_LS_TAKING) {
		CIRCLE_ERR("node %u has begun to take over (generation %llu), these metadata are of generation %llu: refused. It has to go on, or another one with recover; keep these devices as they are until one has",
			   l->node_id, l->generation, sb->generation);
		return -ESTALE;
	}
	if (l->generation >= sb->generation)
		CIRCLE_ERR("node %u has taken over at generation %llu, these metadata are of generation %llu: refused. Wipe the metadata device (first 128 KiB) to rejoin; what was dirty here %s from the peers",
			   l->node_id, l->generation, sb->generation,
			   l->state == CIRCLE_LS_RECOVERING ? "is being recovered" : "was recovered");
	else
		CIRCLE_ERR("the label is older than the metadata (generation %llu, metadata %llu): was the origin rolled back? Refused; wipe the metadata and say recover only if the origin's state is wanted",
			   l->generation, sb->generation);
	return -ESTALE;
}

int circle_activate_plan(struct circle_node *node, const struct circle_devices *dev,
			 const struct circle_config *conf, bool blank)
{
	struct circle_circle *c = node->circle;
	struct circle_super *sb = &node->meta->sb;
	/* no label was ever written for them */
	bool unlabelled = blank || (!sb->generation && !sb->next_generation);
	int r = find_label(node, dev, conf, unlabelled);

	if (r)
		return r;
	c->start = CIRCLE_START_RESTART;
	r = read_label(node, conf);
	if (r == -ENODATA && unlabelled)
		r = find_older_label(node, dev, conf);
	if (r == -ENODATA) {
		if (conf->recover || (!blank && sb->generation)) {
			CIRCLE_ERR("there is no label at the origin, but %s: refused",
				   conf->recover ? "recover needs one" :
				   "the metadata have been in use");
			return -EINVAL;
		}
		r = label_at_end(node, dev, conf);
		if (r)
			return r;
		if (blank)
			generate_random_uuid(sb->set_uuid);
		c->start = CIRCLE_START_FRESH;
		return 0;
	}
	if (r)
		return r;
	if (c->seen.block_sectors != conf->block_sectors ||
	    c->seen.origin_sectors != dev->origin_sectors) {
		CIRCLE_ERR("the label says block size %u and %llu sectors, the table %u and %llu",
			   c->seen.block_sectors, c->seen.origin_sectors, conf->block_sectors,
			   dev->origin_sectors);
		return -EINVAL;
	}
	/* Formatted by an attempt that was refused: never used. */
	if (blank || (!sb->generation && !ours(sb, &c->seen)))
		return fit_blank(node, conf);
	if (conf->recover && !ours(sb, &c->seen)) {
		CIRCLE_ERR("recover wants a blank metadata device: wipe its first 128 KiB");
		return -EINVAL;
	}
	return fit(node, conf);
}
