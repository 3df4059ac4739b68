// SPDX-License-Identifier: GPL-2.0-only
/*
 * mark: see mark.h. It must never let metadata pass that a durable mark names, and never take
 * anything else that stands on a cache device for a mark.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "mark.h"
#include "sum.h"

static u32 mark_sum(const void *mb, circle_crc_fn crc)
{
	return circle_sum(mb, CIRCLE_MB_SIZE, offsetof(struct circle_disk_mark, crc), crc);
}

void circle_mark_encode(const struct circle_mark *mark, void *mb, circle_crc_fn crc)
{
	struct circle_disk_mark *d = mb;

	memset(d, 0, sizeof(*d));
	memcpy(d->magic, CIRCLE_MARK_MAGIC, sizeof(d->magic));
	d->version = cpu_to_le16(CIRCLE_MARK_VERSION);
	d->state = cpu_to_le16(mark->state);
	memcpy(d->meta_uuid, mark->meta_uuid, CIRCLE_UUID_SIZE);
	d->reason = cpu_to_le32(mark->reason);
	d->crc = cpu_to_le32(mark_sum(d, crc));
}

int circle_mark_decode(const void *mb, struct circle_mark *out, circle_crc_fn crc)
{
	const struct circle_disk_mark *d = mb;
	u16 state = le16_to_cpu(d->state);

	if (memcmp(d->magic, CIRCLE_MARK_MAGIC, sizeof(d->magic)))
		return -EINVAL;
	if (le32_to_cpu(d->crc) != mark_sum(d, crc) || !d->version)
		return -EBADMSG;
	if (le16_to_cpu(d->version) > CIRCLE_MARK_VERSION)
		return -EPROTONOSUPPORT;
	if (state != CIRCLE_MARK_UNDRAINED && state != CIRCLE_MARK_DRAINED)
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	memcpy(out->meta_uuid, d->meta_uuid, CIRCLE_UUID_SIZE);
	out->state = state;
	out->reason = le32_to_cpu(d->reason);
	return 0;
}

enum circle_void circle_mark_judge(u32 sb_flags, const u8 *meta_uuid, int ret,
				   const struct circle_mark *mark)
{
	bool ours = !ret && !memcmp(mark->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE);

	if (ours)
		return mark->state == CIRCLE_MARK_DRAINED ? CIRCLE_VOID_DRAINED :
							    CIRCLE_VOID_DIRTY;
	if (sb_flags & CIRCLE_SBF_VOID)
		return CIRCLE_VOID_DIRTY;
	return !ret || ret == -EINVAL ? CIRCLE_VOID_NO : CIRCLE_VOID_UNKNOWN;
}
