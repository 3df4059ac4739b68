// SPDX-License-Identifier: GPL-2.0-only
/*
 * origin: see origin.h. What a FLUSH says is counted in its completion and not by whoever waited
 * for it: another FLUSH, issued behind that end, must not be believed before it is known.
 */
#include "origin.h"

#define SLICE	(30 * HZ)	/* a device may hang for long, and that is not our fault */

struct waited {
	struct circle_node *node;
	struct completion over;
	s64 flushed;
	u64 covers;
};

static void ended(struct bio *bio)
{
	struct waited *w = bio->bi_private;

	if (bio->bi_status)
		circle_origin_failed(w->node, w->flushed);
	else
		circle_origin_covered(w->node, w->covers);
	complete(&w->over);
}

int circle_origin_flush(struct circle_node *node)
{
	struct waited w = {
		.node = node,
		.flushed = atomic64_read(&node->origin_flushed),
		.covers = circle_origin_mark(node),
	};
	struct bio bio;
	int r;

	init_completion(&w.over);
	bio_init(&bio, node->origin, NULL, 0, REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH);
	bio.bi_private = &w;
	bio.bi_end_io = ended;
	submit_bio(&bio);
	while (!wait_for_completion_io_timeout(&w.over, SLICE))
		;
	r = blk_status_to_errno(bio.bi_status);
	bio_uninit(&bio);
	return r;
}
