/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * origin: counts writes to the origin and the FLUSHes that cover them, so that it is known what a
 * FLUSH that failed may have taken with it (R4, R12).
 */
#ifndef CIRCLE_ENGINE_ORIGIN_H
#define CIRCLE_ENGINE_ORIGIN_H

#include "node.h"

/* Origin writes and the FLUSHes that cover them: a FLUSH covers what had completed when it was
 * issued. mark: what a FLUSH issued now would cover, 0 if that is covered already. Any context.
 */
static inline void circle_origin_wrote(struct circle_node *node)
{
	atomic64_inc(&node->origin_written);
}

/* Of a write: counts and remembers how it went. */
static inline void circle_origin_answered(struct circle_node *node, bool error)
{
	if (error)
		circle_stat_add(node->stats, CIRCLE_STAT_ORIGIN_ERROR, 1);
	if (READ_ONCE(node->origin_bad) != error)
		WRITE_ONCE(node->origin_bad, error);
}

/* Any context: it is not there, and what the host was told is may be lost with its volatile cache.
 * IOERR is most often about a place: that alone does not make a FLUSH of the host fail.
 */
static inline void circle_origin_gone(struct circle_node *node)
{
	if (!bdev_write_cache(node->origin))
		return;
	atomic_inc(&node->origin_gone);
	smp_mb__after_atomic();		/* pairs with the one in finished(), through.c */
	if (atomic64_read(&node->acked_through) > atomic64_read(&node->origin_flushed))
		WRITE_ONCE(node->loss_untold, true);
}

/* Any context: how a request to the origin ended. One that was away may have lost what was not
 * flushed (R4); an error that is about the place or the request says nothing of that. TARGET may be
 * said of a read or a discard that a device does not know, but not of a write.
 */
static inline void circle_origin_refused(struct circle_node *node, enum req_op op,
					 blk_status_t status)
{
	switch (status) {
	case BLK_STS_OFFLINE:
	case BLK_STS_TRANSPORT:
	case BLK_STS_TIMEOUT:
		circle_origin_gone(node);
		fallthrough;
	default:
		atomic_inc(&node->origin_away);
		return;
	case BLK_STS_OK:
	case BLK_STS_NOTSUPP:
	case BLK_STS_NOSPC:
	case BLK_STS_MEDIUM:
	case BLK_STS_PROTECTION:
	case BLK_STS_AGAIN:
		return;
	case BLK_STS_TARGET:
		if (op == REQ_OP_WRITE)
			atomic_inc(&node->origin_away);
	}
}

/* Any context: the same, of a read or write at this sector of the origin. A place that fails again
 * and again says nothing of the rest: it counts once a minute. IOERR: what it was is not known.
 */
void circle_origin_place_refused(struct circle_node *node, enum req_op op, u64 sector,
				 blk_status_t status);

/* Any context. What was written, and then flushed, while this stayed as it was, is there (R4):
 * FLUSHes that failed, and requests that were refused as by one that is away.
 */
static inline int circle_origin_losses(const struct circle_node *node)
{
	return atomic_read(&node->origin_errors) + atomic_read(&node->origin_away);
}

static inline u64 circle_origin_mark(struct circle_node *node)
{
	u64 written = atomic64_read(&node->origin_written);

	return written > atomic64_read(&node->origin_flushed) ? written : 0;
}

/* Any context: a FLUSH failed, and what the host was told is there may not be. flushed:
 * origin_flushed when it was issued, since another that succeeds behind it proves nothing.
 */
static inline void circle_origin_failed(struct circle_node *node, s64 flushed)
{
	atomic_inc(&node->origin_errors);
	smp_mb__after_atomic();		/* pairs with the one in finished(), through.c */
	circle_origin_answered(node, true);
	if (atomic64_read(&node->acked_through) > flushed)
		WRITE_ONCE(node->loss_untold, true);
}

/* Any context: never lowers it. */
static inline void circle_raise(atomic64_t *v, s64 to)
{
	s64 old = atomic64_read(v);

	while (old < to && !atomic64_try_cmpxchg(v, &old, to))
		;
}

static inline void circle_origin_covered(struct circle_node *node, s64 mark)
{
	circle_raise(&node->origin_flushed, mark);
}

/* Who waits for a FLUSH. done: any context; w is the caller's again. */
struct circle_flush_wait {
	struct list_head link;
	void (*done)(struct circle_flush_wait *w, blk_status_t status);
};

void circle_origin_init(struct circle_node *node);

/* Process context. A FLUSH that is issued from now on: done(OK): what had completed is durable,
 * unless something was lost between the first of these writes and done: who asks this for compares
 * circle_origin_losses(). Else it failed, and has been counted.
 */
void circle_origin_flush_wait(struct circle_node *node, struct circle_flush_wait *w);

/* Sleeps: the same, as 0 or -errno. */
int circle_origin_flush(struct circle_node *node);

#endif
