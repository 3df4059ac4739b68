/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scan: the verdict on a journal, fed block by block in ring order from the superblock's tail.
 * Pure. Two passes: the first finds the last complete commit, the second (the caller's) applies.
 *
 * Torn-write rule: commit n+1 is issued only after commit n is durable. So the journal is what
 * stands from tail up to the first block that is not the expected one; an incomplete last commit
 * is dropped. A valid block of a *later* commit behind that gap is a lost write: -EIO, refuse.
 */
#ifndef CIRCLE_CORE_SCAN_H
#define CIRCLE_CORE_SCAN_H

#include "disk.h"

struct circle_scan {
	u64 tail;		/* lsn that is expected first */
	u64 ring;		/* journal_blocks */
	u64 next;		/* lsn expected next */
	u64 end;		/* result: first lsn behind the last complete commit */
	u64 gap_commit;		/* commit that is torn, 0 while there is no gap */
	u64 commit;		/* commit being read */
	u32 commit_blocks;
	u64 max_lsn;		/* of any valid block, also of torn commits; >= tail - 1 */
	bool gap;
};

void circle_scan_init(struct circle_scan *s, u64 tail, u64 ring);

/* Feed the block that stands where lsn would be, lsn = tail, tail + 1, ... tail + ring - 1;
 * ret is circle_jblock_check()'s verdict and h valid when it is 0. Blocks of an earlier lap
 * (h->lsn < tail) are as good as absent. Returns 0, or -EIO for a lost or misplaced write (also a
 * block of a later lap than tail allows); -EINVAL if lsn is not the next one or outside the ring.
 * Lsns are never used twice: go on behind max_lsn, with a tail that says so.
 */
int circle_scan_feed(struct circle_scan *s, u64 lsn, int ret, const struct circle_jhead *h);

#endif
