/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mark: the void mark, which stands on the cache device and says that the metadata device is not to
 * be believed any more. Pure. Drawn in Documentation/format.rst.
 */
#ifndef CIRCLE_CORE_MARK_H
#define CIRCLE_CORE_MARK_H

#include <circle/format/disk.h>

struct circle_mark {			/* host-endian circle_disk_mark */
	u8 meta_uuid[CIRCLE_UUID_SIZE];
	u16 state;
	u32 reason;
};

void circle_mark_encode(const struct circle_mark *mark, void *mb, circle_crc_fn crc);

/* 0; -EINVAL: no mark is there; -EBADMSG: one that is damaged; -EPROTONOSUPPORT: a newer one. */
int circle_mark_decode(const void *mb, struct circle_mark *out, circle_crc_fn crc);

enum circle_void {
	CIRCLE_VOID_NO = 0,	/* nothing speaks against the metadata */
	CIRCLE_VOID_DRAINED,	/* void; the origin has everything */
	CIRCLE_VOID_DIRTY,	/* void; what was dirty may not all be at the origin */
	CIRCLE_VOID_UNKNOWN,	/* cannot be told: the mark is damaged, newer or unreadable */
};

/*
 * Are metadata of this uuid, with these superblock flags, to be believed? ret: of reading and
 * decoding the mark, which is valid when it is 0. Either witness is enough against them.
 */
enum circle_void circle_mark_judge(u32 sb_flags, const u8 *meta_uuid, int ret,
				   const struct circle_mark *mark);

#endif
