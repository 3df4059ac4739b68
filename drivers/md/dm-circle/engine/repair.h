/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * repair: errors of the cache device: pages that are saved, slots retired, pages that are lost.
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
/* shard->lock and the whole block held: slot n, also another's, is retired. False: too many are. */
bool __circle_slot_give_up(struct circle_node *node, struct circle_shard *sh, u32 n);
/* shard->lock held: the slot, which is ours and mapped, is to be saved and given up. */
void __circle_slot_sick(struct circle_node *node, u32 n);

/* What is dirty there is to be had from its holders first: the cache device may have dropped it. */
static inline bool circle_slot_doubted(const struct circle_node *node, const struct circle_slot *sl)
{
	return circle_meta_data_bad(node->meta) && READ_ONCE(sl->holders);
}

/*
 * save.c. Process context, the range of these pages held, so that nothing is written to them;
 * others may save them at the same time. Tries to bring what is dirty in them to the origin, from
 * the device or the holders. Returns which of them are dirty still; *unreadable: of which no copy
 * can be read; *refused: of which the origin did not take one, or may have lost it since: it was
 * away, perhaps for somebody else. The others may be saved later: ask again. Waits for local I/O,
 * the origin, and holders (bounded). how: CIRCLE_SAVE_
 */
u64 circle_save(struct circle_node *node, u64 block, u64 pages, unsigned int how, u64 *unreadable,
		u64 *refused);
#define CIRCLE_SAVE_BACKGROUND	1u	/* ends early when a suspend begins */
#define CIRCLE_SAVE_ALONE	2u	/* the range is exclusive: no write-back goes on */
int circle_save_init(struct circle_node *node);		/* -ENOMEM */
void circle_save_exit(struct circle_node *node);	/* also after it failed */
/* node->admin held, so that the slots stay. The next run of lost sectors at or behind slot *n, page
 * *page; both go on. False: no more.
 */
bool circle_lost_next(struct circle_node *node, u32 *n, u32 *page, u64 *sector, u32 *sectors);
/* node->admin held: what is lost is tried again. */
void circle_repair_retry(struct circle_node *node);

#endif
