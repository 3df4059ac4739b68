/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * copy: pages on their way from the cache device to the origin. The lease is looked at again when
 * they have been read (R5): a cache device may take longer to give them than a taker waits, and
 * kcopyd would write them all the same.
 */
#ifndef CIRCLE_ENGINE_COPY_H
#define CIRCLE_ENGINE_COPY_H

#include "node.h"

struct circle_copier;

enum circle_copy_end {
	CIRCLE_COPY_DONE,
	CIRCLE_COPY_UNREAD,	/* the cache device failed */
	CIRCLE_COPY_REFUSED,	/* the origin did, and was told to origin.h as such */
	CIRCLE_COPY_LATE,	/* not written: the lease was over, or metadata failed */
};

/* NULL: no memory. destroy: nothing is under way; NULL is allowed. */
struct circle_copier *circle_copier_create(struct circle_node *node);
void circle_copier_destroy(struct circle_copier *cr);

/*
 * Process context; waits, if there is no memory, for what another copy gives back. Sectors [from,
 * to) of the block, from the slot, both of which the caller keeps as they are until over() is
 * called, once: process context, must not wait.
 */
void circle_copy_out(struct circle_node *node, u64 block, u32 slot, u32 from, u32 to,
		     void (*over)(void *priv, enum circle_copy_end end), void *priv);

#endif
