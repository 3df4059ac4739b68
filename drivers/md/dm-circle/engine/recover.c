// SPDX-License-Identifier: GPL-2.0-only
/*
 * recover: what is dirty of this set, wherever it is, goes to the origin before anything is served
 * (R6): lists from all peers of the view that can be reached and the own SSD; the copies that the
 * verdict believes; for each block the one with the highest tag; origin FLUSH; then all copies are
 * dropped. A crash at any point just starts it again: nothing is dropped before all is drained,
 * but what is at the origin already; and never the newest copy of a block while others count.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "live.h"
#include "peer.h"
#include "steward.h"

#define LIST_BYTES	(1024 * sizeof(struct circle_wire_item))

static int add(struct circle_recovery *r, const struct circle_copy *copy)
{
	if (r->nr == r->room) {
		u32 room = r->room ? r->room * 2 : 4096;
		struct circle_copy *more = vmalloc(array_size(room, sizeof(*more)));

		if (!more)
			return -ENOMEM;
		if (r->nr)
			memcpy(more, r->copy, r->nr * sizeof(*more));
		vfree(r->copy);
		r->copy = more;
		r->room = room;
	}
	r->copy[r->nr++] = *copy;
	return 0;
}

static bool reachable(const struct circle_peer *p)
{
	return READ_ONCE(p->state) >= CIRCLE_PEER_UP;
}

/* Still the one that the verdict counted on? */
static bool as_judged(const struct circle_recovery *r, const struct circle_peer *p)
{
	return reachable(p) && READ_ONCE(p->instance) == r->instance[p->nr];
}

/* One page of a peer's list; *cursor U64_MAX at its end. */
static int list_page(struct circle_recovery *r, struct circle_peer *p, struct circle_call *call,
		     u64 *cursor)
{
	u64 nr_blocks = r->node->nr_blocks;
	struct circle_item item;
	u32 i, n;
	int err;

	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_LIST;
	call->msg.f.block = *cursor;
	call->rx.buf = r->buf;
	call->rx_len = LIST_BYTES;
	if (circle_call_wait(p, call))
		return -EAGAIN;
	if (call->answer.status)
		return -EREMOTEIO;
	n = call->answer.length / sizeof(struct circle_wire_item);
	for (i = 0; i < n; i++) {
		struct circle_copy copy = { .from = p->nr };

		circle_item_decode((char *)r->buf + i * sizeof(struct circle_wire_item), &item);
		if (item.block >= nr_blocks || (item.pages & ~r->node->geom.all) || !item.pages ||
		    (r->node->circle->may_fence && item.gen > r->node->gen))
			return -EPROTO;
		copy.block = item.block;
		copy.seq = item.seq;
		copy.gen = item.gen;
		copy.pages = item.pages;
		copy.believed = r->instance[p->nr] == p->counted ||
				(r->verdict == CIRCLE_WEAK &&
				 (r->node->conf.force ||
				  circle_same_store(r->instance[p->nr], p->counted)));
		err = add(r, &copy);
		if (err)
			return err;
	}
	if (call->answer.seq <= *cursor || r->nr - r->before > nr_blocks ||
	    (call->answer.seq != U64_MAX && call->answer.seq > CIRCLE_MAX_SLOTS))
		return -EPROTO;
	*cursor = call->answer.seq;
	return 0;
}

static int list_peer(struct circle_recovery *r, struct circle_peer *p)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_KERNEL);
	u64 cursor = 0;
	int err = call ? 0 : -ENOMEM;

	r->before = r->nr;
	while (!err && cursor != U64_MAX)
		err = fatal_signal_pending(current) ? -EINTR : list_page(r, p, call, &cursor);
	kfree(call);
	if (err)
		CIRCLE_ERR("recovery: peer %u did not give its list (%d)", p->id, err);
	return err;
}

/*
 * What is clean on our SSD is at the origin, durably, up to its tag: who has that, or something
 * older, since it lost power before the release, would undo what is newer there. A slot with
 * nothing valid says nothing: the first write to it may have been under way.
 */
static bool is_at_origin(const struct circle_recovery *r, const struct circle_copy *copy)
{
	struct circle_slots *s = r->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, copy->block);
	struct circle_tag tag = { copy->gen, copy->seq };
	bool yes;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, copy->block);
	yes = n != CIRCLE_NO_SLOT && circle_slot_valid(s, n) && !circle_slot_dirty(s, n) &&
	      circle_tag_cmp(tag, circle_slot_tag(&s->slot[n])) <= 0;
	spin_unlock_irq(&sh->lock);
	return yes;
}

/* 0: it has it no more, durably. -EAGAIN: it went away. -EACCES: it does not do as it is told. */
static int release_copy(const struct circle_recovery *r, struct circle_call *call,
			const struct circle_copy *copy)
{
	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_RELEASE;
	call->msg.f.block = copy->block;
	call->msg.f.pages = U64_MAX;	/* seq 0 of our generation: all that is older */
	if (circle_call_wait_up(&r->node->circle->peer[copy->from], call) ||
	    call->instance != r->instance[copy->from])
		return -EAGAIN;
	return call->answer.status || call->answer.pages ? -EACCES : 0;
}

/*
 * The release that they did not get, before the slot that proves it may go, and before the host
 * may write anything newer; then they are not in the list any more.
 */
static int release_old(struct circle_recovery *r)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_KERNEL);
	u32 i, kept = 0;
	int err = call ? 0 : -ENOMEM;

	for (i = 0; !err && i < r->nr; i++) {
		struct circle_copy *copy = &r->copy[i];

		if (!(i & 0xfff))
			cond_resched();
		if (is_at_origin(r, copy)) {
			err = fatal_signal_pending(current) ? -EINTR : release_copy(r, call, copy);
			if (!err)
				continue;
			if (err != -EACCES)
				break;
			copy->believed = false;
			r->unreleased = true;
			err = 0;
		}
		r->copy[kept++] = *copy;
	}
	kfree(call);
	if (!err)
		r->nr = kept;
	return err;
}

static int list_ssd(struct circle_recovery *r)
{
	struct circle_slots *s = r->node->slots;
	struct circle_circle *c = r->node->circle;
	bool believed = r->verdict == CIRCLE_WEAK && c->start == CIRCLE_START_RESTART &&
			(c->found.flags & (CIRCLE_LBF_SSD | CIRCLE_LBF_VOID));	/* by force */
	int err = believed ? release_old(r) : 0;
	u32 n;

	for (n = 0; n < s->nr && !err; n++) {
		struct circle_slot *sl = &s->slot[n];
		struct circle_copy copy = {
			.block = circle_slot_block(sl), .seq = circle_slot_seq(sl), .gen = sl->gen,
			.pages = circle_slot_dirty(s, n),
			.from = CIRCLE_FROM_SSD, .believed = believed,
		};

		/* What is lost stays so, whoever may have older versions of it. */
		if (!sl->owner && copy.pages && !(sl->flags & CIRCLE_SLOT_LOST))
			err = add(r, &copy);
	}
	return err;
}

/* What the label says, of peers that are all there and as they were. */
static void from_label(struct circle_circle *c, struct circle_evidence *e)
{
	const struct circle_label *l = &c->found;

	e->floor = l->floor;
	e->unreachable = 0;
	e->restarted = 0;
	e->ssd = (l->flags & CIRCLE_LBF_SSD) && c->start == CIRCLE_START_RESTART;
	e->weak = (l->flags & CIRCLE_LBF_WEAK) ||
		  (c->may_fence && (c->label.flags & CIRCLE_LBF_WEAK));	/* tried before */
	e->empty = c->start == CIRCLE_START_FRESH ||
		   (!c->old_view && (l->flags & CIRCLE_LBF_EMPTY));
	e->lost = (l->flags & CIRCLE_LBF_LOST) && c->start != CIRCLE_START_RESTART;
}

bool circle_recover_wants(struct circle_node *node, u32 here)
{
	struct circle_circle *c = node->circle;
	struct circle_evidence now, best;
	unsigned int i;

	from_label(c, &best);
	for (i = 0; i < c->nr_peers; i++) {
		const struct circle_peer *p = &c->peer[i];

		if (!(c->old_view & here & 1u << i))
			continue;
		if (!circle_same_store(p->instance, p->counted))
			best.unreachable++;
		else
			best.restarted += p->instance != p->counted;
	}
	now = best;
	now.unreachable += hweight32(c->old_view & ~here);
	return (c->old_view & ~here) && circle_recover_judge(&now) != CIRCLE_COMPLETE &&
	       circle_recover_judge(&best) != CIRCLE_REFUSED;
}

/*
 * What is known of the label's view; no r: from hellos alone, before anybody is told. Returns which
 * peers are missing, or have not all.
 */
static u32 gather(struct circle_node *node, const struct circle_recovery *r,
		  struct circle_evidence *e)
{
	struct circle_circle *c = node->circle;
	unsigned int i;
	u32 bad = 0;

	from_label(c, e);
	for (i = 0; i < c->nr_peers; i++) {
		struct circle_peer *p = &c->peer[i];

		if (!(c->old_view >> i & 1))
			continue;
		if (r ? !(r->counted >> i & 1) : !circle_peer_here(p)) {
			CIRCLE_WARN("recovery: peer %u of the view cannot be reached", p->id);
			e->unreachable++;
		} else if (!circle_same_store(r ? r->instance[i] : p->instance, p->counted)) {
			CIRCLE_WARN("recovery: peer %u has not all that it had: its metadata are new, or it lost a replica to its disk",
				    p->id);
			e->unreachable++;
		} else if ((r ? r->instance[i] : p->instance) != p->counted) {
			CIRCLE_WARN("recovery: peer %u has restarted", p->id);
			e->restarted++;
			continue;
		} else {
			continue;
		}
		bad |= 1u << i;
	}
	return bad;
}

/* What the peers have that are there. */
static void list_here(struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;

	r->buf = kvmalloc(LIST_BYTES, GFP_KERNEL);
	for (i = 0; r->buf && i < c->nr_peers; i++) {
		if (!(c->old_view >> i & 1) || !circle_peer_here(&c->peer[i]))
			continue;
		r->instance[i] = READ_ONCE(c->peer[i].instance);
		if (list_peer(r, &c->peer[i]))
			break;
	}
	circle_recover_sort(r);
	kvfree(r->buf);
	r->buf = NULL;
}

/* Of the blocks that were listed: how many are complete, and how many may not be. */
static void say_what_may_be_lost(const struct circle_recovery *r, u32 missing)
{
	struct circle_circle *c = r->node->circle;
	u32 i, sure = 0, unsure = 0;
	char ids[128] = "";
	bool all = true;
	int len = 0;

	for (i = 0; i < c->nr_peers; i++)
		if (missing >> i & 1)
			len += scnprintf(ids + len, sizeof(ids) - len, " %u", c->peer[i].id);
	for (i = 0; i < r->nr; i++) {
		const struct circle_copy *copy = &r->copy[i];
		bool first = !i || copy->block != copy[-1].block;

		all = (!first && all) || (copy->from != CIRCLE_FROM_SSD &&
					  r->instance[copy->from] == c->peer[copy->from].counted);
		if (i + 1 == r->nr || copy->block != copy[1].block) {
			sure += all;
			unsure += !all;
		}
	}
	CIRCLE_WARN("recovery: missing peers:%s, which may have blocks that nobody else has; of those that the others have %u may be older than what was completed, %u are complete",
		    ids[0] ? ids : " none", unsure, sure);
}

static void refuse(struct circle_node *node, u32 missing)
{
	struct circle_recovery r = { .node = node, .verdict = CIRCLE_COMPLETE };

	list_here(&r);
	say_what_may_be_lost(&r, missing);
	vfree(r.copy);
}

static int judge(struct circle_node *node, struct circle_recovery *r,
		 enum circle_verdict *verdict)
{
	struct circle_evidence e;
	u32 missing = gather(node, r, &e);

	*verdict = circle_recover_judge(&e);
	if (*verdict != CIRCLE_REFUSED)
		return 0;
	if (node->conf.force) {
		CIRCLE_WARN("recovery forced: completed writes may be lost");
		if (e.lost)
			CIRCLE_WARN("recovery forced: pages that node %u knew to be lost read as what the origin has",
				    node->circle->found.node_id);
		*verdict = CIRCLE_WEAK;
		if (r) {
			r->forced = true;
			r->missing = missing;
		}
		return 0;
	}
	refuse(node, missing);
	if (e.lost)
		CIRCLE_ERR("recovery refused: pages are lost, and only the metadata of node %u say which. Create that node again with them, or say force: then these pages have what the origin has",
			   node->circle->found.node_id);
	else
		CIRCLE_ERR("recovery refused: each dirty page has %u holders at least, but %u peers of the view cannot be reached or have not all, and %u restarted: completed writes may be missing. Bring them back, or say force",
			   e.floor, e.unreachable, e.restarted);
	return -ENODATA;
}

/* Reachability is looked at once: verdict and lists must mean the same peers. */
static void count_on(struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++) {
		if (c->asked >> i & 1)
			r->instance[i] = c->peer[i].counted;	/* its store; it does not count */
		if (!(c->old_view >> i & 1) || !reachable(&c->peer[i]))
			continue;
		r->counted |= 1u << i;
		r->instance[i] = READ_ONCE(c->peer[i].instance);
	}
}

int circle_recover_check(struct circle_node *node)
{
	enum circle_verdict verdict;

	return judge(node, NULL, &verdict);
}

bool __circle_recover_stays(const struct circle_recovery *r, u32 i, u32 n)
{
	struct circle_slots *s = r->node->slots;
	const struct circle_copy *first = &r->copy[i];
	struct circle_tag tag = { first->gen, first->seq };

	/* if it is not believed no other is, and none has a higher tag */
	return !first->believed && circle_slot_valid(s, n) && !circle_slot_dirty(s, n) &&
	       circle_tag_cmp(tag, circle_slot_tag(&s->slot[n])) <= 0;
}

/* What is lost stays dirty, as does what a slot said before; and all that is, if that is kept. */
static void drop_slot(const struct circle_recovery *r, u32 i, bool keep_dirty)
{
	const struct circle_copy *first = &r->copy[i];
	struct circle_slots *s = r->node->slots;
	struct circle_shard *sh = circle_shard_of(s, 0, first->block);
	u64 lost = first->lost;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(s, sh, 0, first->block);
	if (n != CIRCLE_NO_SLOT && !__circle_recover_stays(r, i, n) &&
	    !(keep_dirty && circle_slot_dirty(s, n))) {
		if (s->slot[n].flags & CIRCLE_SLOT_LOST)
			lost |= circle_slot_dirty(s, n);
		if (lost)
			__circle_slot_lose(s, sh, n, lost);
		else
			__circle_slot_unmap(s, sh, n);
	}
	spin_unlock_irq(&sh->lock);
}

static int drop_slots(const struct circle_recovery *r, bool keep_dirty)
{
	u32 i;

	for (i = 0; i < r->nr; i++) {
		if (!i || r->copy[i].block != r->copy[i - 1].block)
			drop_slot(r, i, keep_dirty);
		if (!(i & 0xfff))
			cond_resched();
	}
	return circle_meta_commit(r->node->meta, true);
}

static bool any_lost(const struct circle_recovery *r)
{
	bool any = atomic_read(&r->node->slots->nr_lost);
	u32 i;

	for (i = 0; i < r->nr && !any; i++) {
		any = r->copy[i].lost;
		if (!(i & 0xfff))
			cond_resched();
	}
	return any;
}

/*
 * Before the newest copy of anything is dropped: else who starts again in between takes an older
 * one, which a holder still has, for the newest, and writes it over what is at the origin (R4).
 * What is clean here, of blocks that were drained, goes before: by that label nobody would look for
 * it.
 */
static int count_nobody(struct circle_recovery *r)
{
	return drop_slots(r, true) ?: circle_label_empty(r->node);
}

/* Every copy is level now, with the origin: forget them, here and at the peers. */
static int drop_all(struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	int err = r->nr && !any_lost(r) ? count_nobody(r) : 0;
	unsigned int i;

	err = err ?: drop_slots(r, false);
	/* A kill makes it short, but does not end it here: the label is to say what was dropped. */
	for (i = 0; i < c->nr_peers && !err && !fatal_signal_pending(current); i++)
		if (reachable(&c->peer[i]) && circle_peer_release_all(&c->peer[i], false))
			CIRCLE_WARN("recovery: peer %u did not drop its replicas; it will before it counts again",
				    c->peer[i].id);
	return err;
}

static int collect(struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;
	int err;

	c->label.state = CIRCLE_LS_RECOVERING;
	if (r->verdict == CIRCLE_WEAK)
		c->label.flags |= CIRCLE_LBF_WEAK;
	err = circle_label_store(r->node);
	for (i = 0; i < c->nr_peers && !err; i++)
		if (r->counted >> i & 1)
			err = list_peer(r, &c->peer[i]);
	for (i = 0; i < c->nr_peers && !err; i++)
		if ((r->counted >> i & 1) && !as_judged(r, &c->peer[i]))
			err = -EAGAIN;
	if (!err)
		err = list_ssd(r);
	if (!err)
		circle_recover_sort(r);
	return err;
}

/*
 * Whoever takes over has nothing of its own, nor has who was in the middle of that: without an SSD
 * what is not complete is served when it is at the origin. An owner that restarts has its SSD.
 */
static bool may_be_live(const struct circle_recovery *r)
{
	const struct circle_node *node = r->node;

	if (!r->nr || node->conf.force || r->unreleased)
		return false;
	if (node->circle->start != CIRCLE_START_TAKE &&
	    (node->circle->start != CIRCLE_START_RESTART ||
	     (node->circle->found.flags & CIRCLE_LBF_SSD)))
		return circle_live_own_can(r);
	return r->verdict == CIRCLE_COMPLETE && !atomic_read(&node->slots->nr_mapped);
}

/*
 * What is drained is durable at its holders, too, so that they still have it when a slot here that
 * is older, but newer than what they had durably, is dropped.
 */
static int drain(struct circle_recovery *r)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_KERNEL);
	int err = call ? 0 : -ENOMEM;

	if (!err && r->nr)
		err = circle_recover_flush_peers(r, call, false);
	kfree(call);
	if (err == -EACCES)
		err = 0;	/* what it cannot keep it had better give */
	return err ?: circle_recover_drain(r);
}

int circle_recover(struct circle_node *node)
{
	struct circle_recovery r = { .node = node };
	int err;

	count_on(&r);
	err = judge(node, &r, &r.verdict);
	if (err)
		return err;
	r.buf = kvmalloc(LIST_BYTES, GFP_KERNEL);
	if (!r.buf)
		return -ENOMEM;
	err = collect(&r);
	if (!err && r.forced)
		say_what_may_be_lost(&r, r.missing);
	if (!err && may_be_live(&r)) {
		err = circle_live_begin(node, &r);
		if (err == -ENOMEM || err == -EACCES)
			err = 0;	/* not live, then */
	}
	if (node->recovering)
		goto out;
	if (!err)
		err = drain(&r);
	if (err == -ENODATA && r.verdict == CIRCLE_COMPLETE) {
		CIRCLE_WARN("recovery: a peer that is believed cannot read all: going on with all copies");
		r.verdict = CIRCLE_WEAK;
		r.nr = 0;
		atomic64_set(&r.blocks, 0);
		atomic64_set(&r.pages, 0);
		atomic64_set(&r.from_peers, 0);
		err = collect(&r);
		if (!err)
			err = drain(&r);
	}
	if (!err && r.nr)	/* a start behind this one may find nothing left to tell of */
		CIRCLE_INFO("recovery %s: %llu blocks (%llu from peers), %llu pages drained to the origin",
			    r.verdict == CIRCLE_COMPLETE ? "complete" : "complete up to the last FLUSH",
			    (u64)atomic64_read(&r.blocks), (u64)atomic64_read(&r.from_peers),
			    (u64)atomic64_read(&r.pages));
	if (!err)
		err = drop_all(&r);
out:
	vfree(r.copy);
	kvfree(r.buf);
	return err;
}
