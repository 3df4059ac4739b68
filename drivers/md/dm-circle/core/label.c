// SPDX-License-Identifier: GPL-2.0-only
/*
 * label: the record at the origin, encoded, decoded and judged: where each node's place is, which
 * copy of a place counts and which place is the current label. It must never do I/O and must never
 * pass over a byte of the area that is neither ours nor zero: it may be somebody's data.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "label.h"
#include "sum.h"

#define STRIPE_BYTES	65536u
#define STRIPE_ROWS	16u
#define NO_COPY		2u

/* What one copy is, as judged. */
enum verdict {
	COPY_BLANK = 0,
	COPY_VALID,
	COPY_TORN,	/* begins as ours, checksum wrong */
	COPY_HEADLESS,	/* first sector zero, then not: a torn first write, or not ours */
	COPY_WRONG,	/* checksum right, content not possible here */
	COPY_NEWER,	/* of a newer version */
	COPY_FOREIGN,
};

u32 circle_label_offset(u32 node_id, unsigned int copy)
{
	u32 stripe = 2 * (node_id / STRIPE_ROWS) + copy;

	return stripe * STRIPE_BYTES + node_id % STRIPE_ROWS * CIRCLE_MB_SIZE;
}

static bool node_id_ok(u32 id)
{
	return id >= 1 && id <= CIRCLE_MAX_NODE_ID;
}

static u32 label_sum(const void *mb, circle_crc_fn crc)
{
	return circle_sum(mb, CIRCLE_MB_SIZE, offsetof(struct circle_disk_label, crc), crc);
}

static void peer_encode(const struct circle_peer_rec *p, struct circle_disk_peer *d)
{
	if (!p->id)
		return;
	d->id = cpu_to_le32(p->id);
	d->family = cpu_to_le16(p->family);
	d->port = cpu_to_le16(p->port);
	memcpy(d->addr, p->addr, sizeof(d->addr));
	memcpy(d->domain, p->domain, CIRCLE_DOMAIN_SIZE);
	d->instance = cpu_to_le64(p->instance);
	d->in_view = cpu_to_le32(p->in_view);
}

static void peer_decode(const struct circle_disk_peer *d, struct circle_peer_rec *p)
{
	if (!d->id)
		return;
	p->id = le32_to_cpu(d->id);
	p->family = le16_to_cpu(d->family);
	p->port = le16_to_cpu(d->port);
	memcpy(p->addr, d->addr, sizeof(p->addr));
	memcpy(p->domain, d->domain, CIRCLE_DOMAIN_SIZE);
	p->instance = le64_to_cpu(d->instance);
	p->in_view = le32_to_cpu(d->in_view);
}

void circle_label_encode(const struct circle_label *l, void *mb, circle_crc_fn crc)
{
	struct circle_disk_label *d = mb;
	unsigned int i;

	memset(d, 0, sizeof(*d));
	memcpy(d->magic, CIRCLE_LABEL_MAGIC, sizeof(d->magic));
	d->version = cpu_to_le16(CIRCLE_LABEL_VERSION);
	d->state = cpu_to_le16(l->state);
	d->flags = cpu_to_le32(l->flags);
	d->seq = cpu_to_le64(l->seq);
	memcpy(d->set_uuid, l->set_uuid, CIRCLE_UUID_SIZE);
	d->generation = cpu_to_le64(l->generation);
	d->activation = cpu_to_le64(l->activation);
	d->node_id = cpu_to_le32(l->node_id);
	d->degree = cpu_to_le32(l->degree);
	d->floor = cpu_to_le32(l->floor);
	d->block_sectors = cpu_to_le32(l->block_sectors);
	d->origin_sectors = cpu_to_le64(l->origin_sectors);
	memcpy(d->domain, l->domain, CIRCLE_DOMAIN_SIZE);
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		peer_encode(&l->peer[i], &d->peer[i]);
	d->crc = cpu_to_le32(label_sum(d, crc));
}

static bool peers_ok(const struct circle_disk_label *d)
{
	u64 seen[2] = { 0, 0 };
	unsigned int i;
	u32 id, family;

	for (i = 0; i < CIRCLE_MAX_PEERS; i++) {
		id = le32_to_cpu(d->peer[i].id);
		family = le16_to_cpu(d->peer[i].family);
		if (!id)
			continue;
		if (!node_id_ok(id) || (seen[id / 64] >> (id % 64) & 1))
			return false;
		seen[id / 64] |= BIT_ULL(id % 64);
		if ((family != 4 && family != 6) ||
		    le32_to_cpu(d->peer[i].in_view) > CIRCLE_IN_VIEW_ASKED)
			return false;
	}
	return true;
}

/* What version 1 could not say. */
static bool as_version(const struct circle_disk_label *d)
{
	unsigned int i;

	if (le16_to_cpu(d->version) > 1)
		return true;
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		if (d->peer[i].id && le32_to_cpu(d->peer[i].in_view) > CIRCLE_IN_VIEW_COUNTS)
			return false;
	return !(le32_to_cpu(d->flags) & CIRCLE_LBF_LOST);
}

static bool fields_ok(const struct circle_disk_label *d, u32 node_id)
{
	u32 state = le16_to_cpu(d->state);
	u32 block_sectors = le32_to_cpu(d->block_sectors);

	if (!node_id_ok(node_id) || le32_to_cpu(d->node_id) != node_id)
		return false;
	if (state < CIRCLE_LS_TAKING || state > CIRCLE_LS_CLEAN)
		return false;
	if (le32_to_cpu(d->degree) > CIRCLE_MAX_DEGREE || le32_to_cpu(d->floor) > CIRCLE_MAX_DEGREE)
		return false;
	if (block_sectors < CIRCLE_MIN_BLOCK_SECTORS || block_sectors > CIRCLE_MAX_BLOCK_SECTORS ||
	    block_sectors % CIRCLE_MIN_BLOCK_SECTORS || !d->origin_sectors)
		return false;
	return peers_ok(d);
}

static bool version_known(const struct circle_disk_label *d)
{
	return le16_to_cpu(d->version) <= CIRCLE_LABEL_VERSION && !d->incompat &&
	       !(le32_to_cpu(d->flags) & ~CIRCLE_LBF_ALL);
}

static enum verdict judge_copy(const struct circle_disk_label *d, u32 node_id, circle_crc_fn crc)
{
	if (!memchr_inv(d, 0, CIRCLE_MB_SIZE))
		return COPY_BLANK;
	if (!memchr_inv(d, 0, 1 << CIRCLE_SECTOR_SHIFT))
		return COPY_HEADLESS;
	if (memcmp(d->magic, CIRCLE_LABEL_MAGIC, sizeof(d->magic)))
		return COPY_FOREIGN;
	if (le32_to_cpu(d->crc) != label_sum(d, crc))
		return COPY_TORN;
	if (!version_known(d))
		return COPY_NEWER;
	return d->version && as_version(d) && fields_ok(d, node_id) ? COPY_VALID : COPY_WRONG;
}

static int verdict_errno(enum verdict v)
{
	switch (v) {
	case COPY_VALID:
		return 0;
	case COPY_BLANK:
		return -ENODATA;
	case COPY_HEADLESS:
	case COPY_FOREIGN:
		return -EINVAL;
	case COPY_NEWER:
		return -EPROTONOSUPPORT;
	case COPY_TORN:
	case COPY_WRONG:
		break;
	}
	return -EBADMSG;
}

static void copy_out(const struct circle_disk_label *d, struct circle_label *out)
{
	unsigned int i;

	memset(out, 0, sizeof(*out));
	out->state = le16_to_cpu(d->state);
	out->flags = le32_to_cpu(d->flags);
	out->seq = le64_to_cpu(d->seq);
	memcpy(out->set_uuid, d->set_uuid, CIRCLE_UUID_SIZE);
	out->generation = le64_to_cpu(d->generation);
	out->activation = le64_to_cpu(d->activation);
	out->node_id = le32_to_cpu(d->node_id);
	out->degree = le32_to_cpu(d->degree);
	out->floor = le32_to_cpu(d->floor);
	out->block_sectors = le32_to_cpu(d->block_sectors);
	out->origin_sectors = le64_to_cpu(d->origin_sectors);
	memcpy(out->domain, d->domain, CIRCLE_DOMAIN_SIZE);
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		peer_decode(&d->peer[i], &out->peer[i]);
}

int circle_label_decode(const void *mb, u32 node_id, struct circle_label *out, circle_crc_fn crc)
{
	int ret;

	ret = verdict_errno(judge_copy(mb, node_id, crc));
	if (!ret)
		copy_out(mb, out);
	return ret;
}

/* The whole area */

struct judge {
	const u8 *area;
	u32 my_id;
	circle_crc_fn crc;
	struct circle_label_view *v;
	const struct circle_disk_label *current;	/* newest copy of the current place */
	bool headless;
	u32 headless_at;
};

static const struct circle_disk_label *copy_at(const struct judge *j, u32 id, unsigned int copy)
{
	return (const void *)(j->area + circle_label_offset(id, copy));
}

static int offend(struct judge *j, int status, u32 where)
{
	j->v->status = status;
	j->v->where = where;
	return status;
}

/* Id 0 has no place: what would be its two copies must be zero. */
static int judge_reserved(struct judge *j)
{
	unsigned int c;

	for (c = 0; c < 2; c++)
		if (memchr_inv(copy_at(j, 0, c), 0, CIRCLE_MB_SIZE))
			return offend(j, -EINVAL, circle_label_offset(0, c));
	return 0;
}

static bool damaged(enum verdict v)
{
	return v == COPY_TORN || v == COPY_HEADLESS;
}

/* Both copies are judged: is there what no crash of ours leaves behind? */
static int judge_pair(struct judge *j, u32 id, const enum verdict *is)
{
	unsigned int c;
	int status;

	for (c = 0; c < 2; c++)
		if (is[c] >= COPY_WRONG)
			return offend(j, verdict_errno(is[c]), circle_label_offset(id, c));
	if (damaged(is[0]) && damaged(is[1])) {
		status = is[0] == COPY_TORN || is[1] == COPY_TORN ? -EBADMSG : -EINVAL;
		return offend(j, status, circle_label_offset(id, 0));
	}
	for (c = 0; c < 2; c++) {
		if (is[c] != COPY_HEADLESS || j->headless)
			continue;
		j->headless = true;
		j->headless_at = circle_label_offset(id, c);
	}
	return 0;
}

static unsigned int newest_copy(const struct judge *j, u32 id, const enum verdict *is)
{
	if (is[0] == COPY_VALID && is[1] == COPY_VALID)
		return le64_to_cpu(copy_at(j, id, 1)->seq) > le64_to_cpu(copy_at(j, id, 0)->seq);
	if (is[0] == COPY_VALID)
		return 0;
	return is[1] == COPY_VALID ? 1 : NO_COPY;
}

/* A damaged copy is written over first, so that never both are. */
static void note_mine(struct judge *j, unsigned int newest, const enum verdict *is)
{
	struct circle_label_view *v = j->v;

	if (newest == NO_COPY) {
		v->my_copy = damaged(is[1]);
		return;
	}
	v->my_valid = true;
	v->my_copy = 1 - newest;
	v->max_seq = le64_to_cpu(copy_at(j, j->my_id, newest)->seq);
}

static bool taking(const struct circle_disk_label *d)
{
	return le16_to_cpu(d->state) == CIRCLE_LS_TAKING;
}

/*
 * Of two labels of one generation: one that is only taking has withdrawn, or will; it must not hide
 * what the other, which went on, says of its view.
 */
static bool beats(const struct circle_disk_label *a, const struct circle_disk_label *b)
{
	if (taking(a) != taking(b))
		return taking(b);
	return le64_to_cpu(a->activation) > le64_to_cpu(b->activation);
}

static int note_valid(struct judge *j, u32 id, unsigned int copy)
{
	const struct circle_disk_label *d = copy_at(j, id, copy);
	const struct circle_disk_label *c = j->current;
	u64 gen = le64_to_cpu(d->generation);

	if (c) {
		if (memcmp(c->set_uuid, d->set_uuid, CIRCLE_UUID_SIZE))
			return offend(j, -EINVAL, circle_label_offset(id, copy));
		if (gen < le64_to_cpu(c->generation))
			return 0;
		j->v->tie = gen == le64_to_cpu(c->generation);
		j->v->rival = j->v->tie && (j->v->rival || (!taking(d) && !taking(c)));
		if (j->v->tie && !beats(d, c))
			return 0;
	}
	j->current = d;
	j->v->current_id = id;
	return 0;
}

static int judge_place(struct judge *j, u32 id)
{
	enum verdict is[2];
	unsigned int newest;
	int ret;

	is[0] = judge_copy(copy_at(j, id, 0), id, j->crc);
	is[1] = judge_copy(copy_at(j, id, 1), id, j->crc);
	ret = judge_pair(j, id, is);
	if (ret)
		return ret;
	newest = newest_copy(j, id, is);
	if (id == j->my_id)
		note_mine(j, newest, is);
	return newest == NO_COPY ? 0 : note_valid(j, id, newest);
}

void circle_label_judge(const void *area, u32 my_id, struct circle_label_view *v,
			struct circle_label *cur, circle_crc_fn crc)
{
	struct judge j = { .area = area, .my_id = my_id, .crc = crc, .v = v };
	u32 id;

	memset(v, 0, sizeof(*v));
	if (judge_reserved(&j))
		return;
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++)
		if (judge_place(&j, id))
			return;
	if (j.current)
		copy_out(j.current, cur);
	else if (j.headless)
		offend(&j, -EINVAL, j.headless_at);
	else
		v->status = -ENODATA;
}
