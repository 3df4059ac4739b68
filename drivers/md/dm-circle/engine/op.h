/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * op: one background operation on a block: a promotion or a write-back. From node->op_pool; owner:
 * the file that made it. It holds its range shared from grant to the last copy's completion, a
 * promotion to the end of the origin's FLUSH, so that reads go on and writes wait (R11).
 */
#ifndef CIRCLE_ENGINE_OP_H
#define CIRCLE_ENGINE_OP_H

#include "origin.h"

struct circle_op {
	struct circle_range range;
	struct work_struct work;
	struct list_head link;
	struct circle_node *node;
	u64 mask;		/* pages that are copied */
	u32 slot;
	bool main;		/* promotion: enters the main queue */
	atomic_t pending;
	int err;		/* -EAGAIN: not written, since there was no lease */
	int losses;		/* promotion: circle_origin_losses() when it began to read */
	struct circle_flush_wait flush;
	bool cache_failed;	/* at the cache device's end */
	void (*copied)(struct circle_op *op);	/* all parts are over; kcopyd's or our thread */
};

/* Process context: copies every run of op->mask within the block; op->copied at the end. */
void circle_op_copy(struct circle_op *op, bool to_origin);

#endif
