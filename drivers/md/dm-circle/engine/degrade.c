// SPDX-License-Identifier: GPL-2.0-only
/*
 * degrade: how a node goes on when its metadata cannot be written any more. What stands on the
 * metadata device then calls pages dirty or valid for ever; once a newer version of such a page is
 * at the origin, a later load would bring the old one back. So the first write waits until
 * something durable elsewhere says that these metadata are void: in a local cache the mark
 * (store/void.c), in a circle a label with VOID (steward.c). From then on writes go through, what
 * is dirty drains, and a FLUSH completes when all of it is at the origin.
 *
 * Before that it must never let anything reach the origin that they may contradict, be it a write
 * through or a write-back, nor let a FLUSH complete.
 */
#include <linux/delay.h>
#include "../log.h"
#include "circle.h"
#include "degrade.h"
#include "repair.h"
#include "session.h"

#define PAUSE_MS	200

bool circle_all_drained(const struct circle_node *node)
{
	return atomic_read(&node->slots->nr_dirty) == atomic_read(&node->slots->nr_lost) &&
	       !atomic_read(&node->slots->nr_old);
}

enum circle_health circle_node_health(const struct circle_node *node)
{
	if (!READ_ONCE(node->meta->failed))
		return CIRCLE_WELL;
	if (!READ_ONCE(node->meta->voided))
		return CIRCLE_FAILING;
	return atomic_read(&node->slots->nr_dirty) || READ_ONCE(node->recovering) ?
	       CIRCLE_DRAINING : CIRCLE_BARE;
}

bool circle_node_failed(const struct circle_node *node)
{
	return circle_node_health(node) && READ_ONCE(node->origin_bad);
}

/* Once for each state; never back. */
static void say(struct circle_node *node)
{
	enum circle_health now = circle_node_health(node);

	if (now <= node->told)
		return;
	node->told = now;
	if (now == CIRCLE_FAILING)
		CIRCLE_ERR("nothing more is cached; writes wait until %s says that the metadata are void",
			   node->circle ? "the label" : "a mark");
	else if (now == CIRCLE_DRAINING)
		CIRCLE_ERR("metadata are void: writes go through, %d dirty blocks are written back",
			   atomic_read(&node->slots->nr_dirty));
	else
		CIRCLE_ERR("metadata are void, nothing is dirty: the origin has everything; replace or wipe the metadata device");
	circle_event_post(node);
}

/* Local cache. Tried for a while after the failure, later once each time that it is asked for. */
static void void_metadata(struct circle_node *node)
{
	struct circle_meta *m = node->meta;

	while (circle_meta_void(m, false)) {
		if (READ_ONCE(node->bg_stop) ||
		    time_after(jiffies, node->failed_at + msecs_to_jiffies(CIRCLE_END_MS))) {
			CIRCLE_WARN_LIMIT("the cache device cannot be written either, to say that the metadata are void: writes fail");
			return;
		}
		msleep(PAUSE_MS);
	}
}

/* Is anything dirty that no holder has? */
static bool alone(struct circle_node *node)
{
	const struct circle_slots *s = node->slots;
	u32 n;

	for (n = 0; n < s->nr; n++) {
		const struct circle_slot *sl = &s->slot[n];

		if (!(n & 0xfff))
			cond_resched();
		if ((READ_ONCE(sl->flags) & (CIRCLE_SLOT_MAPPED | CIRCLE_SLOT_LOST)) ==
		    CIRCLE_SLOT_MAPPED && !READ_ONCE(sl->owner) &&
		    circle_slot_dirty(s, n) && !READ_ONCE(sl->holders))
			return true;
	}
	return false;
}

/* The cache device may have dropped completed writes: with no other copy they are lost. */
static void doubt(struct circle_node *node)
{
	int errors = atomic_read(&node->meta->data_errors);

	if (errors == node->data_errors_told)
		return;
	node->data_errors_told = errors;
	WRITE_ONCE(node->ssd_bad, true);
	if (node->circle) {	/* replicas may be gone too: what we said that we have is void */
		struct circle_server *srv = READ_ONCE(node->circle->server);

		circle_meta_renounce(node->meta);
		if (srv)
			circle_serve_renounce(srv);
	}
	circle_cache_loss(node);
}

void circle_cache_loss(struct circle_node *node)
{
	if (!circle_meta_data_bad(node->meta))
		return;
	smp_mb();	/* pairs with the one in mark_dirty(), write.c */
	if (!alone(node))
		return;
	CIRCLE_ERR("a FLUSH of the cache device failed: what was written to it since the one before may be lost");
	WRITE_ONCE(node->loss_untold, true);	/* the next FLUSH is to say so */
}

void circle_degrade(struct circle_node *node)
{
	doubt(node);
	if (node->told == CIRCLE_WELL)
		node->failed_at = jiffies;
	say(node);
	if (!READ_ONCE(node->meta->voided)) {
		if (node->circle)
			circle_steward_kick(node);
		else
			void_metadata(node);
		if (READ_ONCE(node->meta->voided))
			circle_writeback_kick(node);
	}
	say(node);
}

void circle_cache_doubt(struct circle_node *node)
{
	circle_meta_data_lost(node->meta);
	WRITE_ONCE(node->ssd_bad, true);	/* what is clean there, too */
	circle_commit_kick(node);		/* goes on in circle_degrade() */
}

bool circle_cache_flush(struct circle_node *node)
{
	if (READ_ONCE(node->meta->voided) || !circle_bdev_flush(node->cache))
		return true;
	circle_stat_add(node->stats, CIRCLE_STAT_CACHE_ERROR, 1);
	circle_cache_doubt(node);
	return false;
}

static void tried(struct circle_waiter *w, int err)
{
	struct circle_io *io = container_of(w, struct circle_io, waiter);

	if (READ_ONCE(io->node->meta->voided)) {
		circle_io_continue(io, io->step);
	} else {
		/* pairs with presuspend */
		io->status = smp_load_acquire(&io->node->bg_stop) && io->node->requeue ?
			     BLK_STS_DM_REQUEUE : BLK_STS_IOERR;
		circle_io_end(io);
	}
}

bool circle_degrade_wait(struct circle_io *io, void (*step)(struct circle_io *io))
{
	struct circle_node *node = io->node;

	if (node->circle || !circle_voiding(node))
		return true;
	io->step = step;
	io->waiter.flush = false;
	io->waiter.done = tried;
	circle_commit_wait(node, &io->waiter);
	return false;
}

void circle_drain_wait(struct circle_node *node, struct circle_waiter *w)
{
	bool drained = circle_all_drained(node), stop;
	unsigned long flags;

	spin_lock_irqsave(&node->commit.lock, flags);
	/* pairs with presuspend */
	stop = drained || (smp_load_acquire(&node->bg_stop) && node->requeue);
	if (!stop)
		list_add_tail(&w->link, &node->commit.drainers);
	spin_unlock_irqrestore(&node->commit.lock, flags);
	if (stop)
		w->done(w, drained ? 0 : -EAGAIN);
	else
		mod_delayed_work(node->bg_wq, &node->wb.work, 0);
}

static void take_drainers(struct circle_node *node, struct list_head *all)
{
	spin_lock_irq(&node->commit.lock);
	list_splice_init(&node->commit.drainers, all);
	spin_unlock_irq(&node->commit.lock);
}

static void tell_drainers(struct list_head *all, int err)
{
	struct circle_waiter *w, *tmp;

	list_for_each_entry_safe(w, tmp, all, link) {
		list_del(&w->link);
		w->done(w, err);
	}
}

bool circle_drain_waited(struct circle_node *node)
{
	bool waits;

	spin_lock_irq(&node->commit.lock);
	waits = !list_empty(&node->commit.drainers);
	spin_unlock_irq(&node->commit.lock);
	return waits;
}

void circle_drain_end(struct circle_node *node, int err)
{
	LIST_HEAD(all);

	take_drainers(node, &all);
	tell_drainers(&all, err);
}

/* For those that waited before it was looked: who comes later may wait for what came meanwhile. */
static bool drain_settle(struct circle_node *node)
{
	LIST_HEAD(all);
	bool drained;

	take_drainers(node, &all);
	drained = circle_all_drained(node);
	if (drained) {
		/* What was lost meanwhile was not to be lost any more. */
		tell_drainers(&all, !list_empty(&all) && xchg(&node->loss_untold, false) ?
				    -EIO : 0);
	} else {
		spin_lock_irq(&node->commit.lock);
		list_splice(&all, &node->commit.drainers);
		spin_unlock_irq(&node->commit.lock);
	}
	return drained;
}

/* The write-back: nothing is left for it to do. */
void circle_degrade_idle(struct circle_node *node)
{
	struct circle_meta *m = node->meta;

	if (!READ_ONCE(m->failed) || !drain_settle(node))
		return;
	if (!node->circle && m->mark == CIRCLE_MARK_UNDRAINED &&
	    !atomic_read(&node->slots->nr_dirty))
		circle_meta_void(m, true);
	circle_commit_kick(node);	/* which tells */
}

void circle_degrade_presuspend(struct circle_node *node, bool requeue)
{
	node->requeue = requeue;
	node->wb.end = jiffies + msecs_to_jiffies(CIRCLE_END_MS);
	if (!READ_ONCE(node->meta->failed) || requeue)
		return;
	circle_writeback_kick(node);
	wait_event_timeout(node->wb.idle,
			   circle_all_drained(node) || READ_ONCE(node->wb.backoff_ms) ||
			   (!node->circle && circle_voiding(node)),
			   msecs_to_jiffies(CIRCLE_END_MS));
}

/* Background work has ended, but not for FLUSHes: a filesystem is synced now. */
void circle_degrade_stopped(struct circle_node *node)
{
	bool waits;

	if (node->requeue) {
		if (!drain_settle(node))
			circle_drain_end(node, -EAGAIN);
		return;
	}
	spin_lock_irq(&node->commit.lock);
	waits = !list_empty(&node->commit.drainers);
	spin_unlock_irq(&node->commit.lock);
	if (waits)
		mod_delayed_work(node->bg_wq, &node->wb.work, 0);
}

void circle_degrade_suspend(struct circle_node *node, bool drain)
{
	unsigned int ms = drain ? CIRCLE_END_MS : 0;
	bool clean;

	circle_degrade(node);
	if (!drain && time_before(jiffies, node->wb.end))	/* what came since presuspend */
		ms = jiffies_to_msecs(node->wb.end - jiffies);
	if (ms)
		circle_writeback_drain(node, ms);
	clean = !atomic_read(&node->slots->nr_dirty);
	if (!node->circle && node->meta->voided &&
	    node->meta->mark != (clean ? CIRCLE_MARK_DRAINED : CIRCLE_MARK_UNDRAINED))
		circle_meta_void(node->meta, clean);
	if (!clean)
		CIRCLE_ERR("suspended with void metadata and %d dirty blocks, which only this device knows of: resume it to write them back",
			   atomic_read(&node->slots->nr_dirty));
	say(node);
}
