/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * repair: errors of the cache device: slots that are retired, pages that are lost.
 */
#ifndef CIRCLE_ENGINE_REPAIR_H
#define CIRCLE_ENGINE_REPAIR_H

#include "node.h"

void circle_repair_init(struct circle_node *node);
void circle_repair_start(struct circle_node *node);	/* live again */
void circle_repair_stop(struct circle_node *node);
/* Any context: I/O to slot n failed, which is mapped: its block's range is held, or __: the shard's
 * lock.
 */
void circle_cache_error(struct circle_node *node, u32 n);
void __circle_cache_error(struct circle_node *node, u32 n);
/* Process context, the range of these pages held: tries to save what is dirty in them, from the
 * device or the holders, to the origin. Returns which of them are dirty still.
 */
u64 circle_repair_save(struct circle_node *node, u64 block, u64 pages);
/* node->admin held, so that the slots stay. The next run of lost sectors at or behind slot *n, page
 * *page; both go on. False: no more.
 */
bool circle_lost_next(struct circle_node *node, u32 *n, u32 *page, u64 *sector, u32 *sectors);
/* node->admin held: what is lost is tried again. */
void circle_repair_retry(struct circle_node *node);

#endif
