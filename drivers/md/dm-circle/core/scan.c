// SPDX-License-Identifier: GPL-2.0-only
/*
 * scan: decides which part of a journal counts. It is told of every block of the ring once, in
 * order, and holds a few numbers only. It must never read or apply a record, and must never let a
 * journal pass in which a commit that was durable is missing.
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "scan.h"

void circle_scan_init(struct circle_scan *s, u64 tail, u64 ring)
{
	memset(s, 0, sizeof(*s));
	s->tail = tail;
	s->ring = ring;
	s->next = tail;
	s->end = tail;
	s->max_lsn = tail ? tail - 1 : 0;
}

/*
 * The expected block does not stand here: the journal ends, its last commit may be torn. A commit
 * that began before the tail is in the table already, so it was durable and cannot be torn.
 */
static int feed_absent(struct circle_scan *s, u64 lsn)
{
	if (s->gap)
		return 0;
	s->gap = true;
	s->gap_commit = s->commit_blocks ? s->commit : lsn;
	return s->gap_commit < s->tail ? -EIO : 0;
}

static int begin_commit(struct circle_scan *s, u64 lsn, const struct circle_jhead *h)
{
	if (h->commit != lsn && lsn != s->tail)
		return -EIO;
	if (h->commit + h->commit_blocks > s->tail + s->ring)
		return -EIO;
	s->commit = h->commit;
	s->commit_blocks = h->commit_blocks;
	return 0;
}

static int feed_block(struct circle_scan *s, u64 lsn, const struct circle_jhead *h)
{
	int ret;

	if (s->gap)
		return h->commit == s->gap_commit ? 0 : -EIO;
	if (!s->commit_blocks) {
		ret = begin_commit(s, lsn, h);
		if (ret)
			return ret;
	}
	if (h->commit != s->commit || h->commit_blocks != s->commit_blocks)
		return -EIO;
	if (lsn + 1 == s->commit + s->commit_blocks) {
		s->end = lsn + 1;
		s->commit_blocks = 0;
	}
	return 0;
}

int circle_scan_feed(struct circle_scan *s, u64 lsn, int ret, const struct circle_jhead *h)
{
	if (lsn != s->next || lsn - s->tail >= s->ring)
		return -EINVAL;
	s->next++;
	if (ret)
		return feed_absent(s, lsn);
	if (h->lsn > s->max_lsn)
		s->max_lsn = h->lsn;
	if (h->lsn < s->tail)
		return feed_absent(s, lsn);
	if (h->lsn != lsn)
		return -EIO;
	return feed_block(s, lsn, h);
}
