// SPDX-License-Identifier: GPL-2.0-only
/*
 * lease: an owner writes to the origin only while its last look at the label is young (R5). What
 * comes while it is not waits here: for the next look, or for the news that it is fenced. So does a
 * read, unless so many peers are there that nobody can have taken over without one of them. (One
 * that has begun before may end with what was there then: the new owner's writes are no older.) It
 * must never let a request wait that nobody wakes: the steward wakes at each look and at its end,
 * and a peer that has come wakes readers.
 */
#include "degrade.h"
#include "replicate.h"

void circle_lease_doubt(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned long flags;

	spin_lock_irqsave(&c->lease_lock, flags);
	WRITE_ONCE(c->losses, c->losses + 1);
	WRITE_ONCE(c->lease_until, jiffies - 1);
	spin_unlock_irqrestore(&c->lease_lock, flags);
}

bool circle_lease_renew(struct circle_node *node, u32 losses, unsigned long since)
{
	struct circle_circle *c = node->circle;
	unsigned long flags;
	bool renewed;

	spin_lock_irqsave(&c->lease_lock, flags);
	renewed = losses == c->losses;
	if (renewed)
		WRITE_ONCE(c->lease_until, since + msecs_to_jiffies(CIRCLE_LEASE_MS));
	spin_unlock_irqrestore(&c->lease_lock, flags);
	return renewed;
}

void circle_io_give_up(struct circle_io *io)
{
	io->status = io->node->circle->requeue ? BLK_STS_DM_REQUEUE : BLK_STS_IOERR;
	circle_io_end(io);
}

static void resume(struct circle_waiter *waiter, int err)
{
	struct circle_io *io = container_of(waiter, struct circle_io, waiter);

	if (err == -EAGAIN) {
		circle_io_give_up(io);
	} else if (err) {
		io->status = BLK_STS_IOERR;
		circle_io_end(io);
	} else {
		circle_io_continue(io, io->step);
	}
}

bool circle_may_go(const struct circle_node *node)
{
	return circle_lease_ok(node) && !circle_voiding(node);
}

bool circle_lease_wait(struct circle_io *io, void (*step)(struct circle_io *io))
{
	struct circle_node *node = io->node;	/* io may be gone once it is on the list */
	struct circle_circle *c = node->circle;

	if (!c || circle_may_go(node))
		return true;
	io->step = step;
	io->waiter.done = resume;
	spin_lock_irq(&c->lease_lock);
	list_add_tail(&io->waiter.link, &c->lease_waiters);
	spin_unlock_irq(&c->lease_lock);
	/* What would have woken it may have looked before it was on the list. */
	if (READ_ONCE(c->role) == CIRCLE_ROLE_FENCED || circle_ending(c) || circle_may_go(node))
		circle_lease_wake(node);
	else
		circle_steward_kick(node);
	return false;
}

/*
 * A taker does without the SSD, so all but `floor` - 1 of the view have to tell it what they have,
 * and end our sessions first (R5, R6): of `floor` that have accepted our FENCE, and answered since
 * we could renew the lease, one would not have. With nothing dirty it needs none; then one that is
 * there tells that we are not cut off alone. Who takes over by force may have asked fewer.
 */
static bool holders_there(const struct circle_circle *c)
{
	u32 view = READ_ONCE(c->view), need = max(READ_ONCE(c->floor), 1u), n = 0;
	const unsigned long since = jiffies - msecs_to_jiffies(CIRCLE_LEASE_MS);

	if (READ_ONCE(c->label_unsure))		/* what it says may be more */
		need = max(need, READ_ONCE(c->degree_now));
	for (; view; view &= view - 1) {
		const struct circle_peer *p = &c->peer[__ffs(view)];

		n += READ_ONCE(p->state) >= CIRCLE_PEER_UP &&
		     READ_ONCE(p->instance) == READ_ONCE(p->ready_instance) &&
		     time_after(READ_ONCE(p->answered), since);
	}
	return READ_ONCE(c->role) == CIRCLE_ROLE_OWNER && n >= need;
}

static bool may_show(const struct circle_node *node)
{
	return circle_lease_ok(node) || holders_there(node->circle);
}

static void show(struct circle_io *io)
{
	if (circle_show_wait(io))
		circle_io_enter(io);
}

bool circle_show_wait(struct circle_io *io)
{
	struct circle_node *node = io->node;	/* io may be gone once it is on the list */
	struct circle_circle *c = node->circle;

	if (may_show(node))
		return true;
	io->step = show;
	io->waiter.done = resume;
	spin_lock_irq(&c->lease_lock);
	list_add_tail(&io->waiter.link, &c->readers);
	spin_unlock_irq(&c->lease_lock);
	if (READ_ONCE(c->role) == CIRCLE_ROLE_FENCED || circle_ending(c) || may_show(node))
		circle_lease_wake(node);
	else
		circle_steward_kick(node);
	return false;
}

static void look_again(struct circle_waiter *waiter, int err)
{
	struct circle_io *io = container_of(waiter, struct circle_io, waiter);

	resume(waiter, !err && circle_ending(io->node->circle) ? -EAGAIN : err);
}

void circle_unsure_wait(struct circle_io *io, void (*step)(struct circle_io *io))
{
	struct circle_node *node = io->node;	/* io may be gone once it is on the list */
	struct circle_circle *c = node->circle;

	io->step = step;
	io->waiter.done = look_again;
	spin_lock_irq(&c->lease_lock);
	list_add_tail(&io->waiter.link, &c->lease_waiters);
	spin_unlock_irq(&c->lease_lock);
	/* The steward wakes at each look at the label; while waits end, it or end_work() does. */
	if (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER)
		circle_lease_wake(node);
	else
		circle_steward_kick(node);
}

static void wake(struct circle_node *node, struct list_head *from,
		 bool (*may)(const struct circle_node *node))
{
	struct circle_circle *c = node->circle;
	struct circle_waiter *w, *tmp;
	unsigned long flags;
	int err = 0;
	LIST_HEAD(all);

	spin_lock_irqsave(&c->lease_lock, flags);
	/* Under the lock, as a suspend's end: circle_steward_go_on(). */
	if (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER)
		err = -ESTALE;
	else if (!may(node))
		err = circle_ending(c) ? -EAGAIN : -EBUSY;
	if (err != -EBUSY)		/* else nothing has changed */
		list_splice_init(from, &all);
	spin_unlock_irqrestore(&c->lease_lock, flags);
	list_for_each_entry_safe(w, tmp, &all, link) {
		list_del(&w->link);
		w->done(w, err);
	}
}

void circle_lease_wake(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	wake(node, &c->lease_waiters, circle_may_go);
	wake(node, &c->readers, may_show);
}
