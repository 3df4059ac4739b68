// SPDX-License-Identifier: GPL-2.0-only
/*
 * heal: see heal.h. It finds the blocks that have too few holders, batch by batch, and how many may
 * be copied at a time; heal_copy.c copies them. A round over all slots that copied something is
 * followed by another, since blocks that are in use are passed over; one in vain by a rest.
 *
 * It must never keep write-back from what it does not get on with itself.
 */
#include "heal_impl.h"

#include <linux/slab.h>
#include "away.h"
#include "pace.h"
#include "steward.h"

#define BATCH_BUSY	16		/* one by one, while the host is busy */
#define ROOM_MAX	(HZ / 10)	/* for a busy host, after a batch */
#define BACKOFF		HZ		/* after a round in vain; each time twice as long, */
#define BACKOFF_MAX	(30 * HZ)	/* but no longer, and anew when the view changes */

bool circle_heal_tries(const struct circle_node *node)
{
	return node->heal && READ_ONCE(node->heal->tries);
}

bool circle_heal_unable(const struct circle_node *node)
{
	return !(node->heal && READ_ONCE(node->heal->able)) && !circle_away_expected(node);
}

/* Any context. Has anybody room for a copy, as far as is known? */
static bool any_takes(const struct circle_heal *h)
{
	const struct circle_circle *c = h->node->circle;
	u32 view = READ_ONCE(c->view) & READ_ONCE(c->wait) & ~READ_ONCE(h->full);

	for (; view; view &= view - 1) {
		const struct circle_peer *p = &c->peer[__ffs(view)];

		if (READ_ONCE(p->state) == CIRCLE_PEER_READY && READ_ONCE(p->space))
			return true;
	}
	return false;
}

static bool too_few(const struct circle_circle *c)
{
	return READ_ONCE(c->floor) < READ_ONCE(c->degree_now);
}

bool circle_heal_wanted(const struct circle_node *node)
{
	return !READ_ONCE(node->bg_stop) && READ_ONCE(node->circle->role) == CIRCLE_ROLE_OWNER &&
	       !circle_node_through(node) && !circle_is_behind(node) &&
	       !READ_ONCE(node->wb.drain) && strcmp(node->conf.policy, "cleaner") &&
	       too_few(node->circle) && !circle_away_expected(node);
}

static bool may_heal(const struct circle_node *node)
{
	return circle_heal_wanted(node) && any_takes(node->heal) &&
	       atomic_read(&node->slots->nr_dirty) > atomic_read(&node->slots->nr_lost);
}

/* Of the batch, until none is left. */
static void copy_some(struct circle_heal_op *op)
{
	struct circle_heal *h = op->node->heal;
	u32 i;

	while ((i = atomic_inc_return(&h->next) - 1) < h->nr && may_heal(op->node))
		if (circle_heal_copy(op, h->block[i]))
			atomic_inc(&h->copied);
}

static void op_work(struct work_struct *work)
{
	copy_some(container_of(work, struct circle_heal_op, work));
}

/* Any context: at a glance. */
static bool exposed(const struct circle_node *node, u32 n, u32 level)
{
	const struct circle_slot *sl = &node->slots->slot[n];
	u16 flags = READ_ONCE(sl->flags);

	return (flags & CIRCLE_SLOT_MAPPED) && !(flags & CIRCLE_HEAL_ASIDE) &&
	       !READ_ONCE(sl->owner) && circle_slot_dirty(node->slots, n) &&
	       hweight32(READ_ONCE(sl->holders) & READ_ONCE(node->circle->view)) == level;
}

/* A block that moves while we look may be seen twice. */
static void add(struct circle_heal *h, u64 block)
{
	u32 i;

	for (i = 0; i < h->nr; i++)
		if (h->block[i] == block)
			return;
	h->block[h->nr++] = block;
}

/* From the cursor on, those of one level. */
static void collect_level(struct circle_heal *h, u32 max)
{
	const struct circle_node *node = h->node;
	const struct circle_slots *s = node->slots;

	for (; h->cursor < s->nr && h->nr < max; h->cursor++) {
		if (exposed(node, h->cursor, h->level))
			add(h, circle_slot_block(&s->slot[h->cursor]));
		if (h->cursor & 0xfff)
			continue;
		if (READ_ONCE(node->bg_stop))
			return;
		cond_resched();
	}
}

static void begin_round(struct circle_heal *h)
{
	h->level = 0;
	h->cursor = 0;
	h->round = 0;
	h->full = 0;
}

/*
 * The next blocks, those with the fewest holders first. False: the round over all slots is over.
 * What each of the view holds cannot have another holder.
 */
static bool collect(struct circle_heal *h, u32 max)
{
	const struct circle_circle *c = h->node->circle;
	u32 degree = READ_ONCE(c->degree_now), view = READ_ONCE(c->view);
	u32 levels = min(degree, hweight32(view));

	h->nr = 0;
	for (; h->level < levels; h->level++) {
		collect_level(h, max);
		if (h->nr || READ_ONCE(h->node->bg_stop))
			break;
		h->cursor = 0;
	}
	return h->nr;
}

static void copy_batch(struct circle_heal *h, unsigned int width)
{
	unsigned int i;

	atomic_set(&h->next, 0);
	atomic_set(&h->copied, 0);
	for (i = 1; i < width; i++)
		queue_work(h->node->bg_wq, &h->op[i].work);
	copy_some(&h->op[0]);
	/* One that has not begun has nothing left to do. */
	for (i = 1; i < width; i++)
		cancel_work_sync(&h->op[i].work);
}

static void free_bufs(struct circle_heal *h)
{
	unsigned int i;

	for (i = 0; i < CIRCLE_HEAL_WIDTH; i++) {
		kfree(h->op[i].buf);
		h->op[i].buf = NULL;
	}
}

/* How many can be copied at a time. */
static unsigned int get_bufs(struct circle_heal *h)
{
	const gfp_t gfp = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN | __GFP_NOMEMALLOC;
	unsigned int i;

	for (i = 0; i < CIRCLE_HEAL_WIDTH; i++) {
		if (!h->op[i].buf)
			h->op[i].buf = kmalloc(CIRCLE_HEAL_CHUNK << SECTOR_SHIFT, gfp);
		if (!h->op[i].buf)
			break;
	}
	return i;
}

/* Whether it gets on; else what is exposed is write-back's. */
static void set_able(struct circle_heal *h, bool able)
{
	bool was = READ_ONCE(h->able);

	WRITE_ONCE(h->able, able);
	if (was && !able)
		circle_writeback_kick(h->node);
}

static void queue(struct circle_heal *h, unsigned long delay)
{
	if (!READ_ONCE(h->node->bg_stop))
		queue_delayed_work(h->node->bg_wq, &h->work, delay);
}

/* Nothing can be done now; the next look is ever later, as long as holders are missing. */
static void rest(struct circle_heal *h)
{
	WRITE_ONCE(h->able, false);
	WRITE_ONCE(h->tries, false);
	circle_writeback_kick(h->node);
	begin_round(h);
	free_bufs(h);
	if (too_few(h->node->circle))
		queue(h, h->backoff);
	h->backoff = min_t(unsigned long, h->backoff * 2, BACKOFF_MAX);
}

static void heal_work(struct work_struct *work)
{
	struct circle_heal *h = container_of(work, struct circle_heal, work.work);
	bool busy = circle_pace_busy(h->node);
	unsigned long since = jiffies;
	unsigned int width, copied;

	if (xchg(&h->anew, false)) {
		begin_round(h);
		h->backoff = BACKOFF;
	}
	if (!may_heal(h->node)) {
		rest(h);
		return;
	}
	if (!collect(h, busy ? BATCH_BUSY : CIRCLE_HEAL_BATCH)) {
		/* All were seen; some may have been in use. */
		circle_steward_kick(h->node);
		if (!h->round) {
			rest(h);
			return;
		}
		begin_round(h);
		queue(h, 0);
		return;
	}
	width = min(get_bufs(h), busy ? 1 : h->nr);
	if (!width) {
		rest(h);
		return;
	}
	copy_batch(h, width);
	copied = atomic_read(&h->copied);
	h->round += copied;
	set_able(h, copied * 2 >= h->nr);
	if (copied) {
		h->backoff = BACKOFF;
		WRITE_ONCE(h->tries, true);
	}
	/* A busy host has as much time as it took. */
	queue(h, busy ? min_t(unsigned long, jiffies - since + 1, ROOM_MAX) : 0);
}

void circle_heal_start(struct circle_node *node)
{
	if (node->heal)
		queue(node->heal, 0);
}

void circle_heal_anew(struct circle_node *node)
{
	if (!node->heal)
		return;
	WRITE_ONCE(node->heal->anew, true);
	WRITE_ONCE(node->heal->tries, true);
	if (!READ_ONCE(node->bg_stop))
		mod_delayed_work(node->bg_wq, &node->heal->work, 0);
}

void circle_heal_stop(struct circle_node *node)
{
	if (!node->heal)
		return;
	cancel_delayed_work_sync(&node->heal->work);
	WRITE_ONCE(node->heal->able, false);
	WRITE_ONCE(node->heal->anew, true);
}

int circle_heal_init(struct circle_node *node)
{
	struct circle_heal *h = kzalloc(sizeof(*h), GFP_KERNEL);
	unsigned int i;

	if (!h)
		return -ENOMEM;
	h->node = node;
	h->anew = true;
	INIT_DELAYED_WORK(&h->work, heal_work);
	for (i = 0; i < CIRCLE_HEAL_WIDTH; i++) {
		h->op[i].node = node;
		INIT_WORK(&h->op[i].work, op_work);
	}
	node->heal = h;
	return 0;
}

void circle_heal_exit(struct circle_node *node)
{
	if (node->heal)
		free_bufs(node->heal);
	kfree(node->heal);
}
