// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire: frames between nodes, encoded, decoded and judged. What a peer sends is not trusted: no
 * length, count or range leaves here that its type does not allow. It must never touch a socket,
 * allocate, or keep state between frames; versions and generations are judged by the session.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "disk.h"
#include "sum.h"
#include "wire.h"

#define MAX_FRAME_SECTORS	(CIRCLE_WIRE_MAX_DATA >> CIRCLE_SECTOR_SHIFT)

/* What a frame carries. */
enum load {
	LOAD_NONE = 0,
	LOAD_HELLO,
	LOAD_SECTORS,	/* the data of `sectors` */
	LOAD_ITEMS,	/* LIST's */
	LOAD_PING,
	LOAD_RANGE,	/* nothing, but `sectors` says how much is asked for */
};

static const u8 loads[CIRCLE_WT_NR][2] = {	/* of the request, of the answer */
	[CIRCLE_WT_HELLO] = { LOAD_HELLO, LOAD_HELLO },
	[CIRCLE_WT_REPLICATE] = { LOAD_SECTORS, LOAD_NONE },
	[CIRCLE_WT_LIST] = { LOAD_NONE, LOAD_ITEMS },
	[CIRCLE_WT_FETCH] = { LOAD_RANGE, LOAD_SECTORS },
	[CIRCLE_WT_PING] = { LOAD_PING, LOAD_NONE },
};

/* As circle_sum(), but in one call: each costs more than the copy. */
static u32 header_sum(const void *buf, circle_crc_fn crc)
{
	struct circle_wire_header h;

	memcpy(&h, buf, sizeof(h));
	h.crc = 0;
	return crc(~0u, &h, sizeof(h));
}

void circle_frame_encode(const struct circle_frame *f, void *buf96, circle_crc_fn crc)
{
	struct circle_wire_header *d = buf96;

	memset(d, 0, sizeof(*d));
	d->magic = cpu_to_le32(CIRCLE_WIRE_MAGIC);
	d->version = cpu_to_le16(f->version);
	d->type = cpu_to_le16(f->type);
	d->flags = cpu_to_le16(f->flags);
	d->status = cpu_to_le16(f->status);
	d->length = cpu_to_le32(f->length);
	d->data_crc = cpu_to_le32(f->data_crc);
	d->id = cpu_to_le64(f->id);
	d->generation = cpu_to_le64(f->generation);
	d->activation = cpu_to_le64(f->activation);
	d->block = cpu_to_le64(f->block);
	d->seq = cpu_to_le64(f->seq);
	d->pages = cpu_to_le64(f->pages);
	d->sector = cpu_to_le32(f->sector);
	d->sectors = cpu_to_le32(f->sectors);
	d->space = cpu_to_le32(f->space);
	d->away = cpu_to_le32(f->away);
	d->aux = cpu_to_le64(f->aux);
	d->crc = cpu_to_le32(header_sum(d, crc));
}

static void header_decode(const struct circle_wire_header *d, struct circle_frame *f)
{
	memset(f, 0, sizeof(*f));
	f->version = le16_to_cpu(d->version);
	f->type = le16_to_cpu(d->type);
	f->flags = le16_to_cpu(d->flags);
	f->status = le16_to_cpu(d->status);
	f->length = le32_to_cpu(d->length);
	f->data_crc = le32_to_cpu(d->data_crc);
	f->id = le64_to_cpu(d->id);
	f->generation = le64_to_cpu(d->generation);
	f->activation = le64_to_cpu(d->activation);
	f->block = le64_to_cpu(d->block);
	f->seq = le64_to_cpu(d->seq);
	f->pages = le64_to_cpu(d->pages);
	f->sector = le32_to_cpu(d->sector);
	f->sectors = le32_to_cpu(d->sectors);
	f->space = le32_to_cpu(d->space);
	f->away = le32_to_cpu(d->away);
	f->aux = le64_to_cpu(d->aux);
}

static bool range_ok(const struct circle_frame *f)
{
	return f->sectors >= 1 && f->sectors <= MAX_FRAME_SECTORS &&
	       f->sector <= CIRCLE_MAX_BLOCK_SECTORS - f->sectors;
}

static bool items_ok(u32 length)
{
	return !(length % sizeof(struct circle_wire_item)) &&
	       length <= CIRCLE_WIRE_MAX_ITEMS * sizeof(struct circle_wire_item);
}

static enum load load_of(const struct circle_frame *f)
{
	bool answer = f->flags & CIRCLE_WF_ANSWER;
	enum load load = loads[f->type][answer];

	return f->status == CIRCLE_WS_OK || load == LOAD_HELLO ? load : LOAD_NONE;
}

static bool length_ok(const struct circle_frame *f)
{
	switch (load_of(f)) {
	case LOAD_HELLO:
		return f->length == sizeof(struct circle_wire_hello);
	case LOAD_SECTORS:
		return range_ok(f) && f->length == f->sectors << CIRCLE_SECTOR_SHIFT;
	case LOAD_ITEMS:
		return items_ok(f->length);
	case LOAD_PING:
		return !f->length || f->length == CIRCLE_WIRE_PING_DATA;
	case LOAD_RANGE:
		return range_ok(f) && !f->length;
	case LOAD_NONE:
		break;
	}
	return !f->length;
}

static bool frame_ok(const struct circle_frame *f)
{
	if (f->type == 0 || f->type >= CIRCLE_WT_NR)
		return false;
	if ((f->flags & ~CIRCLE_WF_ALL) || f->status >= CIRCLE_WS_NR)
		return false;
	if (f->status != CIRCLE_WS_OK && !(f->flags & CIRCLE_WF_ANSWER))
		return false;
	if (!f->length && f->data_crc)
		return false;
	return length_ok(f);
}

int circle_frame_decode(const void *buf96, struct circle_frame *out, circle_crc_fn crc)
{
	const struct circle_wire_header *d = buf96;

	if (le32_to_cpu(d->magic) != CIRCLE_WIRE_MAGIC)
		return -EBADMSG;
	if (le32_to_cpu(d->crc) != header_sum(d, crc))
		return -EBADMSG;
	header_decode(d, out);
	return frame_ok(out) ? 0 : -EPROTO;
}

void circle_hello_encode(const struct circle_hello *h, void *buf128)
{
	struct circle_wire_hello *d = buf128;

	memset(d, 0, sizeof(*d));
	d->version_min = cpu_to_le16(h->version_min);
	d->version_max = cpu_to_le16(h->version_max);
	d->features = cpu_to_le32(h->features);
	memcpy(d->set_uuid, h->set_uuid, CIRCLE_UUID_SIZE);
	memcpy(d->domain, h->domain, CIRCLE_DOMAIN_SIZE);
	d->node_id = cpu_to_le32(h->node_id);
	d->peer_id = cpu_to_le32(h->peer_id);
	d->instance = cpu_to_le64(h->instance);
	d->block_sectors = cpu_to_le32(h->block_sectors);
	d->page_sectors = cpu_to_le32(h->page_sectors);
	d->origin_sectors = cpu_to_le64(h->origin_sectors);
}

static bool node_id_ok(u32 id)
{
	return id >= 1 && id <= CIRCLE_MAX_NODE_ID;
}

static bool hello_ok(const struct circle_hello *h)
{
	if (!h->version_min || h->version_min > h->version_max)
		return false;
	if (!node_id_ok(h->node_id) || !node_id_ok(h->peer_id))
		return false;
	if (h->block_sectors < CIRCLE_MIN_BLOCK_SECTORS ||
	    h->block_sectors > CIRCLE_MAX_BLOCK_SECTORS ||
	    h->block_sectors % CIRCLE_MIN_BLOCK_SECTORS)
		return false;
	return h->page_sectors == circle_page_sectors(h->block_sectors);
}

int circle_hello_decode(const void *buf128, struct circle_hello *out)
{
	const struct circle_wire_hello *d = buf128;

	memset(out, 0, sizeof(*out));
	out->version_min = le16_to_cpu(d->version_min);
	out->version_max = le16_to_cpu(d->version_max);
	out->features = le32_to_cpu(d->features);
	memcpy(out->set_uuid, d->set_uuid, CIRCLE_UUID_SIZE);
	memcpy(out->domain, d->domain, CIRCLE_DOMAIN_SIZE);
	out->node_id = le32_to_cpu(d->node_id);
	out->peer_id = le32_to_cpu(d->peer_id);
	out->instance = le64_to_cpu(d->instance);
	out->block_sectors = le32_to_cpu(d->block_sectors);
	out->page_sectors = le32_to_cpu(d->page_sectors);
	out->origin_sectors = le64_to_cpu(d->origin_sectors);
	return hello_ok(out) ? 0 : -EPROTO;
}

void circle_item_encode(const struct circle_item *i, void *buf40)
{
	struct circle_wire_item *d = buf40;

	d->block = cpu_to_le64(i->block);
	d->gen = cpu_to_le64(i->gen);
	d->seq = cpu_to_le64(i->seq);
	d->pages = cpu_to_le64(i->pages);
	d->flags = cpu_to_le32(i->flags);
	d->reserved = 0;
}

void circle_item_decode(const void *buf40, struct circle_item *out)
{
	const struct circle_wire_item *d = buf40;

	out->block = le64_to_cpu(d->block);
	out->gen = le64_to_cpu(d->gen);
	out->seq = le64_to_cpu(d->seq);
	out->pages = le64_to_cpu(d->pages);
	out->flags = le32_to_cpu(d->flags);
}

u16 circle_wire_agree(u16 amin, u16 amax, u16 bmin, u16 bmax)
{
	u16 newest = min(amax, bmax);

	return newest >= amin && newest >= bmin ? newest : 0;
}
