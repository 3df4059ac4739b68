/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pace: how much write-back takes at a time, how long it then leaves the host alone, and how fast
 * it gets on. The work of write-back alone, unless said otherwise.
 */
#ifndef CIRCLE_ENGINE_PACE_H
#define CIRCLE_ENGINE_PACE_H

#include "node.h"

#define CIRCLE_BATCH		64	/* blocks at most */
#define CIRCLE_BATCH_MIN	2	/* each batch costs a FLUSH */
#define CIRCLE_BATCH_FIRST	8	/* until it is known how fast the origin is */
#define CIRCLE_AGE		10	/* seconds; dirty for longer than this is written back */

void circle_pace_init(struct circle_writeback *wb);

/* So much is dirty, or reclaim found so little that is clean, that any dirty block is due. */
bool circle_pace_pressed(struct circle_node *node);
/* Any context: the host has use for what we would take of CPUs and devices. */
bool circle_pace_busy(const struct circle_node *node);
/* A busy host is to be left room: small batches. */
bool circle_pace_can_wait(struct circle_node *node);
/* Blocks under way at a time: writes to these wait. */
int circle_pace_width(struct circle_node *node);

/* A batch of so many blocks has been copied since wb->begun: how large may the next be? */
void circle_pace_fit(struct circle_node *node, u32 nr);
/* Jiffies until the next batch, after one of so many us. */
unsigned long circle_pace_room(struct circle_node *node, u64 us);
/*
 * What a batch achieved in so many us. large: as a drain has them. Small ones, which are slow for
 * what they do, count until there was one of those.
 */
void circle_pace_keep(struct circle_writeback *wb, bool large, u64 pages, u64 us);
void circle_pace_none(struct circle_writeback *wb);	/* it is not known: the origin fails */
/* So many blocks are clean: is haste any use against what the host writes? */
void circle_pace_judge(struct circle_node *node, u32 blocks);
bool circle_pace_futile(const struct circle_node *node);	/* any context: it was not */

#endif
