/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * replicate: the write path of a circle, and the requests to holders that are no writes.
 */
#ifndef CIRCLE_ENGINE_REPLICATE_H
#define CIRCLE_ENGINE_REPLICATE_H

#include "circle.h"
#include "io.h"

struct circle_cand;

#define CIRCLE_WRITE_PAGES	64	/* 4 KiB pages of one write, with its margins */
#define CIRCLE_WRITE_SECTORS	256	/* of the host's request at most: longer ones are cut */

size_t circle_write_size(void);
size_t circle_request_size(void);

/* Does this write have to go to holders? shard->lock held. */
bool __circle_write_is_shared(struct circle_node *node, const struct circle_slot *sl);

/* circle->lock held: who of `able` could hold a block more, one entry for each peer. */
void __circle_candidates(const struct circle_circle *c, u32 able, struct circle_cand *cand);

/* Process context; the range is held, the slot WRITABLE. Continues io's chain to its end. */
void circle_replicate_step(struct circle_io *io);
/* The same for map(): neither sleeps nor waits. False: not possible now, use the step. */
bool circle_replicate_map(struct circle_io *io);

/* Any context: has a holder stored what it did not call durable, and not flushed since? */
bool circle_holders_undurable(struct circle_node *node);
/* Process context: asks the holders with undurable writes to flush, as one pending part of io. */
void circle_flush_holders(struct circle_io *io);

/* Process context, io's range held exclusively: every holder of io->slot durably forgets `pages`,
 * as one pending part of io.
 */
void circle_release_pages(struct circle_io *io, u64 pages);

/* Process context: the block is clean and the origin flushed: its holders may forget it. Does it
 * if the block is idle; whoever finds it undone later calls again.
 */
void circle_release_block(struct circle_node *node, u64 block);

bool circle_release_may(struct circle_node *node);	/* any context: more would be too many */

/* lease.c, process context: true if io may go on now; else it will be queued with `step` when the
 * lease is renewed, or ended with an error when the owner is fenced.
 */
bool circle_lease_wait(struct circle_io *io, void (*step)(struct circle_io *io));
/* The same of a read that has not begun: while nobody can have taken over, it need not wait. */
bool circle_show_wait(struct circle_io *io);
void circle_lease_wake(struct circle_node *node);	/* any context */
/*
 * Process context. What io touches is UNSURE: step runs again when the label may have settled that,
 * or io ends, if a suspend ends waits.
 */
void circle_unsure_wait(struct circle_io *io, void (*step)(struct circle_io *io));
/* Any context: a look at the label that began before this does not renew the lease. */
void circle_lease_doubt(struct circle_node *node);
/* Any context. A look that began at `since` (jiffies), at so many losses. False: it counts not. */
bool circle_lease_renew(struct circle_node *node, u32 losses, unsigned long since);
/* Any context, circle_ending(): io is tried again after the suspend, or fails. */
void circle_io_give_up(struct circle_io *io);

#endif
