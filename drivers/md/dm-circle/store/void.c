// SPDX-License-Identifier: GPL-2.0-only
/*
 * void: what keeps metadata that failed from being believed later. They still call pages dirty or
 * valid of which the origin will get newer versions; so before the first of these is written, one
 * of two witnesses must be durable: the mark on the cache device, behind the last slot, or the flag
 * in both superblocks. It must never say that one is durable which is not.
 */
#include "meta.h"

/* Sector of the mark; 0: formatted when no room was left for it. */
static u64 mark_sector(const struct circle_meta *m)
{
	u64 at = m->sb.nr_slots * m->sb.block_sectors;

	return at + CIRCLE_MB_SECTORS <= bdev_nr_sectors(m->data) ? at : 0;
}

u64 circle_meta_slots(u64 sectors, u32 block_sectors)
{
	if (sectors < CIRCLE_MB_SECTORS)
		return 0;
	return min_t(u64, div_u64(sectors - CIRCLE_MB_SECTORS, block_sectors), CIRCLE_MAX_SLOTS);
}

/* Scratch: a metadata block of m->buf. */
static int write_mark(struct circle_meta *m, u16 state)
{
	struct circle_mark mark = { .state = state, .reason = EIO };
	u64 at = mark_sector(m);

	if (!at)
		return -ENOSPC;
	if (m->half_sized)
		return -ESTALE;
	memcpy(mark.meta_uuid, m->sb.meta_uuid, CIRCLE_UUID_SIZE);
	circle_mark_encode(&mark, m->buf, circle_crc);
	return circle_bdev_rw(m->io, m->data, CIRCLE_WRITE_DURABLY, at, m->buf, CIRCLE_MB_SECTORS);
}

/* Both copies: a single one might be the one that goes bad. */
static int flag_supers(struct circle_meta *m)
{
	int r;

	if (m->half_sized)
		return -ESTALE;
	m->sb.flags |= CIRCLE_SBF_VOID;
	m->sb.flags &= ~CIRCLE_SBF_CLEAN;
	r = __circle_meta_write_super(m);
	return r ?: __circle_meta_write_super(m);
}

int circle_meta_void(struct circle_meta *m, bool drained)
{
	u16 state = drained ? CIRCLE_MARK_DRAINED : CIRCLE_MARK_UNDRAINED;
	bool first, sure;

	mutex_lock(&m->lock);
	first = !m->voided;
	sure = !write_mark(m, state);
	if (sure)
		m->mark = state;
	if (first && !flag_supers(m))
		sure = true;
	if (sure)
		WRITE_ONCE(m->voided, true);
	mutex_unlock(&m->lock);
	return sure ? 0 : -EIO;
}

enum circle_void circle_meta_is_void(struct circle_meta *m)
{
	struct circle_mark mark;
	u64 at = mark_sector(m);
	int r = -EINVAL;

	mutex_lock(&m->lock);
	if (at)
		r = circle_bdev_rw(m->io, m->data, REQ_OP_READ, at, m->buf, CIRCLE_MB_SECTORS);
	if (at && !r)
		r = circle_mark_decode(m->buf, &mark, circle_crc);
	mutex_unlock(&m->lock);
	return circle_mark_judge(m->sb.flags, m->sb.meta_uuid, r, &mark);
}

int circle_meta_unvoid(struct circle_meta *m)
{
	u64 at = mark_sector(m);
	int r = 0;

	mutex_lock(&m->lock);
	memset(m->buf, 0, CIRCLE_MB_SIZE);
	if (at)
		r = circle_bdev_rw(m->io, m->data, CIRCLE_WRITE_DURABLY, at, m->buf,
				   CIRCLE_MB_SECTORS);
	m->sb.flags &= ~(CIRCLE_SBF_VOID | CIRCLE_SBF_NEEDS_CHECK);
	if (!r)
		r = __circle_meta_write_super(m);
	if (!r)
		r = __circle_meta_write_super(m);
	mutex_unlock(&m->lock);
	return r;
}
