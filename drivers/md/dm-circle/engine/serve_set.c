// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_set: the foreign sets that this node stores replicas for, and which (generation,
 * activation) of each is rightful (R5). It must never forget one that it has answered for, while
 * it has anything of it or is connected: FENCE is answered when the superblock that names it is
 * durable and nothing of an older epoch is under way, so that what the fencer then lists does not
 * change behind its back.
 *
 * set[] in memory is ahead of the superblock while a FENCE is under way: that only refuses more.
 */
#include "session.h"

#include <linux/slab.h>
#include <linux/string.h>
#include "../log.h"

#define LIST_ITEMS	1024
#define LIST_ITEMS_POOR	100		/* when there is no memory for more */
#define LIST_SCAN	BIT(20)	/* slots looked at for one request */
#define DRAIN_POLL	(HZ / 10 + 1)	/* to see that the connection is gone */

static bool is_free(const struct circle_set *set)
{
	return !memchr_inv(set->o.uuid, 0, CIRCLE_UUID_SIZE);
}

/* Of which sets there is a slot. */
static u64 sets_in_slots(struct circle_slots *s)
{
	u64 mask = 0;
	u32 n;

	static_assert(CIRCLE_MAX_OWNERS <= 64);
	for (n = 0; n < s->nr; n++) {
		u8 owner = READ_ONCE(s->slot[n].owner);

		if (owner)
			mask |= 1ull << (owner - 1);
		if (!(n & 0xfff))
			cond_resched();
	}
	return mask;
}

/*
 * Lest sets that are no more fill the table for good: when many are known, those of which nothing
 * was loaded are forgotten. No connection is left from before. An owner that comes back, of any
 * generation, counts on us only after a label that it wrote without us, for which it has looked at
 * all others: so a stale one finds out there (R3, R5).
 */
static void forget_some(struct circle_server *srv)
{
	struct circle_node *node = srv->node;
	u32 i, known = 0;
	u64 there;

	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		known += !is_free(&srv->set[i]);
	/* What the device says of slots is what we see: no index may mean two sets there. */
	if (known <= CIRCLE_MAX_OWNERS / 2 || !circle_meta_settled(node->meta))
		return;
	there = sets_in_slots(node->slots);
	mutex_lock(&node->meta->lock);
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		if (!(there >> i & 1)) {
			memset(&srv->set[i].o, 0, sizeof(srv->set[i].o));
			node->meta->sb.owner[i] = srv->set[i].o;
		}
	mutex_unlock(&node->meta->lock);
}

void circle_set_load(struct circle_server *srv)
{
	struct circle_meta *m = srv->node->meta;
	u32 i;

	mutex_lock(&m->lock);
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		srv->set[i].o = m->sb.owner[i];
	mutex_unlock(&m->lock);
	forget_some(srv);
}

u16 __circle_set_find(struct circle_server *srv, const u8 *uuid)
{
	u16 i;

	lockdep_assert_held(&srv->lock);
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		if (!memcmp(srv->set[i].o.uuid, uuid, CIRCLE_UUID_SIZE))
			return i + 1;
	return 0;
}

static u16 __find_free(struct circle_server *srv)
{
	u16 i;

	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		if (is_free(&srv->set[i]))
			return i + 1;
	return 0;
}

bool __circle_set_room(struct circle_server *srv)
{
	lockdep_assert_held(&srv->lock);
	return __find_free(srv);
}

bool circle_set_enter(struct circle_req *req)
{
	struct circle_session *s = req->s;
	struct circle_server *srv = s->srv;
	struct circle_set *set;
	bool ok = false;

	spin_lock_irq(&srv->lock);
	if (!s->epoch)
		goto out;
	set = &srv->set[s->owner - 1];
	ok = s->epoch == set->epoch && req->f.generation == set->o.generation &&
	     req->f.activation == set->o.activation;
	if (ok) {
		req->owner = s->owner;
		req->epoch = set->epoch;
		set->writes++;
	}
out:
	spin_unlock_irq(&srv->lock);
	return ok;
}

void circle_set_leave(struct circle_req *req)
{
	struct circle_server *srv = req->s->srv;
	struct circle_set *set;

	if (!req->epoch)
		return;
	spin_lock_irq(&srv->lock);
	set = &srv->set[req->owner - 1];
	if (req->epoch == set->epoch)
		set->writes--;
	else if (!--set->old)
		wake_up_all(&srv->drained);
	spin_unlock_irq(&srv->lock);
	req->epoch = 0;
}

bool circle_set_current(struct circle_req *req)
{
	struct circle_server *srv = req->s->srv;
	unsigned long flags;
	const struct circle_owner *o = &srv->set[req->owner - 1].o;
	bool ok;

	spin_lock_irqsave(&srv->lock, flags);
	ok = o->generation == req->f.generation && o->activation == req->f.activation;
	spin_unlock_irqrestore(&srv->lock, flags);
	return ok;
}

/* server->lock held. Nobody but the rightful owner is served from here on. */
static void __new_epoch(struct circle_session *s, u16 owner, const struct circle_frame *f)
{
	struct circle_server *srv = s->srv;
	struct circle_set *set = &srv->set[owner - 1];
	struct circle_session *q;

	memcpy(set->o.uuid, s->uuid, CIRCLE_UUID_SIZE);
	set->o.generation = f->generation;
	set->o.activation = f->activation;
	set->o.node_id = s->node_id;
	set->epoch++;
	set->old += set->writes;
	set->writes = 0;
	s->owner = owner;
	s->epoch = 0;
	list_for_each_entry(q, &srv->sessions, link)
		if (q != s && q->epoch && q->owner == owner)
			circle_conn_close(q->conn, -ESTALE);
}

static u16 claim(struct circle_session *s, const struct circle_frame *f)
{
	struct circle_server *srv = s->srv;
	u16 status = CIRCLE_WS_OK, owner;
	const struct circle_owner *o;

	spin_lock_irq(&srv->lock);
	owner = __circle_set_find(srv, s->uuid) ?: __find_free(srv);
	if (!owner || circle_conn_closing(s->conn)) {	/* a late FENCE of a dead session */
		status = CIRCLE_WS_NOT_ADMITTED;
		goto out;
	}
	o = &srv->set[owner - 1].o;
	if (o->generation > f->generation ||
	    (o->generation == f->generation && o->activation != f->activation)) {
		s->owner = owner;	/* so that the answer names the rightful one */
		status = CIRCLE_WS_FENCED;
		goto out;
	}
	__new_epoch(s, owner, f);
out:
	spin_unlock_irq(&srv->lock);
	return status;
}

static bool same(const struct circle_owner *a, const struct circle_owner *b)
{
	return !memcmp(a->uuid, b->uuid, CIRCLE_UUID_SIZE) && a->generation == b->generation &&
	       a->activation == b->activation && a->node_id == b->node_id;
}

/* server->fencing held, which keeps set[].o as it is. */
static u16 remember(struct circle_server *srv, u16 owner)
{
	struct circle_meta *m = srv->node->meta;
	const struct circle_owner *o = &srv->set[owner - 1].o;
	int err = 0;

	mutex_lock(&m->lock);
	if (m->failed) {
		err = -EIO;
	} else if (!same(&m->sb.owner[owner - 1], o)) {
		/* No copy may say of a slot that it is another set's. */
		bool both = memcmp(m->sb.owner[owner - 1].uuid, o->uuid, CIRCLE_UUID_SIZE);

		m->sb.owner[owner - 1] = *o;
		err = __circle_meta_write_super(m);
		if (!err && both)
			err = __circle_meta_write_super(m);
	}
	mutex_unlock(&m->lock);
	return err ? CIRCLE_WS_IO : CIRCLE_WS_OK;
}

static bool drained(struct circle_server *srv, u16 owner)
{
	bool yes;

	spin_lock_irq(&srv->lock);
	yes = !srv->set[owner - 1].old;
	spin_unlock_irq(&srv->lock);
	return yes;
}

/* Bounded by local I/O. */
static u16 drain(struct circle_session *s)
{
	while (!drained(s->srv, s->owner)) {
		if (circle_conn_lost(s->conn))
			return CIRCLE_WS_IO;
		wait_event_idle_timeout(s->srv->drained, drained(s->srv, s->owner), DRAIN_POLL);
	}
	return CIRCLE_WS_OK;
}

u16 circle_set_fence(struct circle_session *s, const struct circle_frame *f)
{
	struct circle_server *srv = s->srv;
	u16 status;

	mutex_lock(&srv->fencing);
	status = claim(s, f);
	if (status == CIRCLE_WS_OK)
		status = remember(srv, s->owner);
	if (status == CIRCLE_WS_OK)
		status = drain(s);
	if (status == CIRCLE_WS_OK) {
		spin_lock_irq(&srv->lock);
		s->epoch = srv->set[s->owner - 1].epoch;
		spin_unlock_irq(&srv->lock);
	}
	mutex_unlock(&srv->fencing);
	return status;
}

/* Is slot n a replica of this owner's that exists? Fills in the item. */
static bool item_of(struct circle_server *srv, u16 owner, u32 n, struct circle_item *it)
{
	const u16 hidden = CIRCLE_SLOT_FILLING | CIRCLE_SLOT_LOST;
	struct circle_slots *slots = srv->node->slots;
	struct circle_slot *sl = &slots->slot[n];
	struct circle_shard *sh;
	unsigned long flags;
	u64 pages;
	bool yes;

	if (READ_ONCE(sl->owner) != owner)
		return false;
	if (!circle_slot_lock(slots, n, &sh, &flags))
		return false;
	pages = circle_slot_valid(slots, n);
	yes = sl->owner == owner && !(sl->flags & hidden) && pages;
	if (yes) {
		*it = (struct circle_item){
			.block = circle_slot_block(sl), .gen = sl->gen, .seq = circle_slot_seq(sl),
			.pages = pages,
		};
		if (__circle_serve_durable(srv, n) && !test_bit(n, slots->changed))
			it->flags = CIRCLE_WI_DURABLE;
	}
	spin_unlock_irqrestore(&sh->lock, flags);
	return yes;
}

/* Slots from `from` on; returns the next one to look at. */
static u64 collect(struct circle_req *req, u32 from, u32 max, u32 *nr)
{
	struct circle_server *srv = req->s->srv;
	u32 end = srv->node->slots->nr, n;
	u8 *at = req->items;
	struct circle_item it;

	if (end - from > LIST_SCAN)
		end = from + LIST_SCAN;
	for (n = from; n < end && *nr < max; n++) {
		if (item_of(srv, req->s->owner, n, &it)) {
			circle_item_encode(&it, at + *nr * sizeof(struct circle_wire_item));
			++*nr;
		}
		if (!(n & 0xfff))
			cond_resched();
	}
	return n < srv->node->slots->nr ? n : U64_MAX;
}

void circle_serve_list(struct circle_req *req)
{
	u32 max = LIST_ITEMS, nr = 0;
	u64 next = U64_MAX;

	req->items = kmalloc_array(max, sizeof(struct circle_wire_item),
				   GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN);
	if (!req->items) {
		max = LIST_ITEMS_POOR;
		req->items = kmalloc_array(max, sizeof(struct circle_wire_item), GFP_NOIO);
	}
	if (!req->items) {
		circle_req_answer(req, CIRCLE_WS_IO);
		return;
	}
	if (req->s->owner && req->f.block < req->s->srv->node->slots->nr)
		next = collect(req, req->f.block, max, &nr);
	req->msg.f.seq = next;
	req->msg.f.length = nr * sizeof(struct circle_wire_item);
	req->msg.buf = req->items;
	circle_req_answer(req, CIRCLE_WS_OK);
}
