/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * degrade: how a node goes on when its metadata cannot be written any more. Process context unless
 * it says otherwise; without locks of its own but for the waiters, which are the committer's.
 */
#ifndef CIRCLE_ENGINE_DEGRADE_H
#define CIRCLE_ENGINE_DEGRADE_H

#include "io.h"

/* Of the metadata, as far as the write path is concerned. */
enum circle_health {
	CIRCLE_WELL = 0,
	CIRCLE_FAILING,		/* a write failed, nothing durable says so yet: writes wait */
	CIRCLE_DRAINING,	/* something says so: writes go through, dirty pages drain */
	CIRCLE_BARE,		/* ... and nothing is dirty any more */
};

/* Metadata failed, or are about to, and nothing durable says so: nothing may supersede them. */
static inline bool circle_voiding(const struct circle_node *node)
{
	return (READ_ONCE(node->meta->failed) || circle_meta_data_bad(node->meta)) &&
	       !READ_ONCE(node->meta->voided);
}

/* Any context: the origin may be written, and a write be called complete that is nowhere else: the
 * lease is young (R5), and nothing supersedes failed metadata before the label calls them void.
 */
bool circle_may_go(const struct circle_node *node);

/* Any context: nothing durable that is believed is behind what memory says. */
static inline bool circle_node_settled(const struct circle_node *node)
{
	return READ_ONCE(node->meta->voided) || circle_meta_settled(node->meta);
}

/*
 * Any context, of a block that was seen to have no slot, and gets none: nothing durable that is
 * believed says that it has one. A slot counts as being freed from its unmapping, under the lock of
 * its shard, until that is durable.
 */
static inline bool circle_slotless_settled(const struct circle_node *node)
{
	return READ_ONCE(node->meta->voided) ||
	       (!atomic_read(&node->slots->nr_freeing) && !READ_ONCE(node->meta->failed) &&
		!circle_meta_data_bad(node->meta));
}

/* Any context. */
bool circle_all_drained(const struct circle_node *node);	/* but for what is lost */
enum circle_health circle_node_health(const struct circle_node *node);
/* Any context. w->done(0) when all that is dirty now is at the origin, flushed there; -EIO: the
 * origin fails; -EAGAIN: a suspend ends the wait.
 */
void circle_drain_wait(struct circle_node *node, struct circle_waiter *w);
void circle_drain_end(struct circle_node *node, int err);
bool circle_drain_waited(struct circle_node *node);	/* process context: somebody does */
/* The committer, or suspend when that is idle: the metadata failed. Local I/O alone (R13). */
void circle_degrade(struct circle_node *node);
void circle_degrade_idle(struct circle_node *node);
void circle_degrade_presuspend(struct circle_node *node, bool requeue);
void circle_degrade_stopped(struct circle_node *node);
void circle_degrade_suspend(struct circle_node *node, bool drain);
/*
 * What was written to the cache device is durable, or is not relied on any more. Before an origin
 * FLUSH: what a power cut takes from the SSD must not be older there than at the origin.
 */
bool circle_cache_flush(struct circle_node *node);
/* Any context: a FLUSH of the cache device failed: what it acknowledged before may be gone. */
void circle_cache_doubt(struct circle_node *node);
/* Process context: if so, and something dirty has no holder, a FLUSH of the host says it. */
void circle_cache_loss(struct circle_node *node);
/* Any context: nor does the origin take writes: nothing is left. */
bool circle_node_failed(const struct circle_node *node);

/*
 * True if io may go on, as far as the metadata are concerned. Else it is queued with step when it
 * may, or ended with an error. In a circle it is circle_lease_wait() that waits.
 */
bool circle_degrade_wait(struct circle_io *io, void (*step)(struct circle_io *io));

#endif
