// SPDX-License-Identifier: GPL-2.0-only
/*
 * area: see area.h. The cases and their order follow the kernel's engine/activate.c, so that what
 * fits here fits there.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "area.h"
#include "tool.h"

int area_init(struct area *a, const struct dev *dev)
{
	memset(a, 0, sizeof(*a));
	a->dev = dev;
	a->buf = dev_alloc(CIRCLE_LABEL_AREA);
	return a->buf ? 0 : -ENOMEM;
}

void area_exit(struct area *a)
{
	free(a->buf);
	a->buf = NULL;
}

u64 area_tail(const struct dev *dev)
{
	u64 end = round_down(dev->sectors, (u64)AREA_SECTORS);

	return end > AREA_SECTORS ? end - AREA_SECTORS : AREA_NOWHERE;
}

int area_read(struct area *a, u32 my_id)
{
	int err = dev_read(a->dev, a->sector, a->buf, AREA_SECTORS);

	if (!err)
		circle_label_judge(a->buf, my_id, &a->view, &a->cur, tool_crc);
	return err;
}

bool area_has_magic(const struct area *a)
{
	unsigned int copy;
	u32 id;

	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++)
		for (copy = 0; copy < 2; copy++)
			if (!memcmp(a->buf + circle_label_offset(id, copy), CIRCLE_LABEL_MAGIC,
				    strlen(CIRCLE_LABEL_MAGIC)))
				return true;
	return false;
}

static int find_at(struct area *a, u64 sector)
{
	int err;

	if (sector == AREA_NOWHERE || a->dev->sectors < AREA_SECTORS)
		return -ENODATA;
	a->sector = sector;
	err = area_read(a, 0);
	if (err)
		return err;
	return !a->view.status || area_has_magic(a) ? 0 : -ENODATA;
}

int area_find(struct area *a)
{
	int err = find_at(a, area_tail(a->dev));

	return err == -ENODATA ? find_at(a, 0) : err;
}

int area_place(struct area *a, const struct circle_super *sb)
{
	a->sector = sb->label_sector;
	if (sb->label_kind == CIRCLE_LABEL_TAIL && sb->label_sector < sb->origin_sectors) {
		tool_err("the superblock puts the label at sector %llu, within the %llu of the device",
			 sb->label_sector, sb->origin_sectors);
		return -EINVAL;
	}
	if (a->dev->sectors >= AREA_SECTORS && a->sector <= a->dev->sectors - AREA_SECTORS)
		return 0;
	tool_err("%s ends before its label, which is at sector %llu", a->dev->path, a->sector);
	return -EINVAL;
}

int area_write(const struct area *a, const struct circle_label *l, unsigned int copy, void *mb)
{
	u64 sector = a->sector + (circle_label_offset(l->node_id, copy) >> CIRCLE_SECTOR_SHIFT);

	circle_label_encode(l, mb, tool_crc);
	return dev_write_durably(a->dev, sector, mb, CIRCLE_MB_SECTORS);
}

static bool ours(const struct circle_super *sb, const struct circle_label *l)
{
	return (sb->generation == l->generation && sb->activation == l->activation) ||
	       (sb->next_generation == l->generation && sb->next_activation == l->activation);
}

enum area_fit area_fit(const struct area *a, const struct circle_super *sb)
{
	const struct circle_label *l = &a->cur;

	if (a->view.status == -ENODATA)
		return sb->generation ? AREA_GONE : AREA_FRESH;
	if (a->view.status)
		return AREA_BAD;
	if (l->block_sectors != sb->block_sectors || l->origin_sectors != sb->origin_sectors)
		return AREA_OTHER_SIZE;
	if (!sb->generation && !ours(sb, l))
		return AREA_UNUSED;
	if (memcmp(l->set_uuid, sb->set_uuid, CIRCLE_UUID_SIZE))
		return AREA_OTHER_SET;
	if (ours(sb, l))
		return a->view.tie || l->node_id != sb->node_id ? AREA_TIE : AREA_OURS;
	return l->generation >= sb->generation ? AREA_OVERTAKEN : AREA_ROLLED_BACK;
}

static const char *bad_text(int status)
{
	switch (status) {
	case -EPROTONOSUPPORT:
		return "was written by a newer version";
	case -EBADMSG:
		return "is damaged";
	}
	return "is neither blank nor a label";
}

void area_fit_text(enum area_fit fit, const struct area *a, const struct circle_super *sb,
		   char *text, size_t len)
{
	const struct circle_label *l = &a->cur;

	*text = '\0';
	switch (fit) {
	case AREA_OURS:
	case AREA_FRESH:
	case AREA_UNUSED:
		break;
	case AREA_GONE:
		snprintf(text, len, "there is no label, but the metadata have been in use");
		break;
	case AREA_BAD:
		snprintf(text, len, "label area at sector %llu, byte %u: %s", a->sector,
			 a->view.where, bad_text(a->view.status));
		break;
	case AREA_OTHER_SET:
		snprintf(text, len, "the metadata belong to another origin: their set differs from the label's");
		break;
	case AREA_OTHER_SIZE:
		snprintf(text, len, "the label says block size %u and %llu sectors, the metadata %u and %llu",
			 l->block_sectors, l->origin_sectors, sb->block_sectors,
			 sb->origin_sectors);
		break;
	case AREA_TIE:
		snprintf(text, len, "another node has generation %llu too: a takeover is under way",
			 l->generation);
		break;
	case AREA_OVERTAKEN:
		if (l->state == CIRCLE_LS_TAKING) {
			snprintf(text, len, "node %u is about to take over at generation %llu, or gave up: it has written nothing yet; keep these devices as they are",
				 l->node_id, l->generation);
			break;
		}
		snprintf(text, len, "node %u has taken over at generation %llu, these metadata are of generation %llu",
			 l->node_id, l->generation, sb->generation);
		break;
	case AREA_ROLLED_BACK:
		snprintf(text, len, "the label is older than the metadata (generation %llu, metadata %llu): was the origin rolled back?",
			 l->generation, sb->generation);
		break;
	}
}

unsigned int area_in_view(const struct circle_label *l)
{
	unsigned int i, n = 0;

	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		n += l->peer[i].id && l->peer[i].in_view == CIRCLE_IN_VIEW_COUNTS;
	return n;
}

bool area_says_empty(const struct circle_label *l)
{
	return (l->flags & CIRCLE_LBF_EMPTY) && !area_in_view(l);
}
