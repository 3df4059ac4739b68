// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode: what becomes of the metadata when a write of theirs fails: they are read-only from then on,
 * and the superblock asks for a check, if it can be written; when the device cannot even be read
 * they are given up. One way only: nothing here ever makes them writable again.
 */
#include "meta.h"

#include <linux/lockdep.h>
#include "../log.h"

int circle_meta_write(struct circle_meta *m, blk_opf_t opf, u64 mb, void *buf, u32 nr)
{
	int r = circle_bdev_rw(m->io, m->bdev, opf, mb * CIRCLE_MB_SECTORS, buf,
			       nr * CIRCLE_MB_SECTORS);

	if (r)
		__circle_meta_refused(m, opf & (REQ_PREFLUSH | REQ_FUA));
	return r;
}

void __circle_meta_refused(struct circle_meta *m, bool flush)
{
	m->bad = true;
	if (flush && !m->failed && m->bdev->bd_disk == m->data->bd_disk)
		circle_meta_data_lost(m);
}

static bool readable(struct circle_meta *m)
{
	return !circle_bdev_rw(m->io, m->bdev, REQ_OP_READ, 0, m->buf, CIRCLE_MB_SECTORS);
}

/* Never over the only copy that is whole: after a write that failed, the same copy again. */
static int write_super(struct circle_meta *m)
{
	u64 seq = m->sb.seq + 1;
	int r;

	swap(m->sb.seq, seq);
	circle_super_encode(&m->sb, m->buf, circle_crc);
	r = circle_meta_write(m, CIRCLE_WRITE_DURABLY, m->sb.seq & 1 ? CIRCLE_SB_COPY1_MB : 0,
			      m->buf, 1);
	if (r)
		m->sb.seq = seq;
	else
		m->map_is_named = false;
	return r;
}

int __circle_meta_write_super(struct circle_meta *m)
{
	int r;

	lockdep_assert_held(&m->lock);
	r = write_super(m);
	if (r)
		__circle_meta_fail(m);
	return r;
}

void __circle_meta_fail(struct circle_meta *m)
{
	lockdep_assert_held(&m->lock);
	if (m->failed)
		return;
	WRITE_ONCE(m->failed, true);
	m->sb.flags &= ~CIRCLE_SBF_CLEAN;
	if (m->bad) {
		m->sb.flags |= CIRCLE_SBF_NEEDS_CHECK;
		WRITE_ONCE(m->lost, write_super(m) && !readable(m));
	}
	CIRCLE_ERR("the %s device failed a write: metadata are %s from now on%s",
		   m->bad ? "metadata" : "cache", m->lost ? "given up" : "read-only",
		   m->bad && !m->lost ? ", and need a check" : "");
	if (m->on_failed)
		m->on_failed(m);
}
