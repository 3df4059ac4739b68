// SPDX-License-Identifier: GPL-2.0-only
/*
 * recover: what is dirty goes to the origin before anything is served, as engine/recover.c: the
 * verdict and the order of copies are core/recover.c's. It must never drop anything before all is
 * drained and flushed. A live recovery (engine/live*.c) is not in here.
 */
#include <stdlib.h>

#include "sim.h"

static void from_label(const struct head *h, struct circle_evidence *e)
{
	const struct circle_label *l = &h->found;

	*e = (struct circle_evidence){
		.floor = rule(R6_FLOOR) ? l->floor : l->degree,
		.ssd = (l->flags & CIRCLE_LBF_SSD) && h->start == RESTART,
		.weak = (l->flags & CIRCLE_LBF_WEAK) ||
			(h->may_fence && (h->label.flags & CIRCLE_LBF_WEAK)),
		.empty = h->start == FRESH || (!h->old_view && (l->flags & CIRCLE_LBF_EMPTY)),
	};
}

static bool is_here(const struct head *h, u32 peer, bool fence)
{
	const struct link *l = &h->link[peer];

	return fence ? l->state >= UP : l->greeted;
}

static void count(const struct head *h, u32 peer, struct circle_evidence *e)
{
	const struct link *l = &h->link[peer];

	if (!circle_same_store(l->instance, l->counted))
		*(rule(R6_STORE) ? &e->unreachable : &e->restarted) += 1;
	else if (l->instance != l->counted)
		e->restarted += rule(R6_RESTARTED);
}

/* Of those that are here, and with those that are not: as if they came, or as if not. */
static enum circle_verdict judge(const struct head *h, bool fence, bool hoping)
{
	struct circle_evidence e;
	u32 i;

	from_label(h, &e);
	for (i = 0; i < w.nr_peers; i++) {
		if (!(h->old_view >> i & 1))
			continue;
		if (is_here(h, i, fence))
			count(h, i, &e);
		else
			e.unreachable += !hoping;
	}
	return circle_recover_judge(&e);
}

enum circle_verdict recover_check(struct head *h, bool fence)
{
	enum circle_verdict v = judge(h, fence, false);

	return v == CIRCLE_REFUSED && !rule(R6_REFUSE) ? CIRCLE_COMPLETE : v;
}

/* circle_recover_wants() */
bool recover_wants(struct head *h, bool fence)
{
	u32 i;
	bool all = true;

	for (i = 0; i < w.nr_peers; i++)
		all &= !(h->old_view >> i & 1) || is_here(h, i, fence);
	return !all && judge(h, fence, false) != CIRCLE_COMPLETE &&
	       judge(h, fence, true) != CIRCLE_REFUSED;
}

bool recover_begin(struct head *h)
{
	u32 i;

	h->counted = h->old_view & links_at_least(h, UP);
	w.failed |= h->old_view & ~h->counted;	/* for the oracle: it did not come in time */
	for (i = 0; i < w.nr_peers; i++)
		h->judged[i] = h->link[i].instance;
	h->verdict = recover_check(h, true);
	say("node %u: verdict %u, counts on %x", HEAD_ID(h), h->verdict, h->counted);
	if (h->verdict == CIRCLE_REFUSED) {
		meet(REFUSED);
		stop(h, "recovery refused");
		return true;
	}
	h->label.state = CIRCLE_LS_RECOVERING;
	if (h->verdict == CIRCLE_WEAK && rule(R6_WEAK))
		h->label.flags |= CIRCLE_LBF_WEAK;
	h->phase = SAY;
	label_store(h);
	return true;
}

static void add(struct head *h, const struct circle_copy *c)
{
	h->copy[h->nr_copies++] = *c;
}

static void list_peer(struct head *h, u32 peer)
{
	const struct link *l = &h->link[peer];
	u32 b;

	for (b = 0; b < w.nr_blocks; b++) {
		const struct replica *r = &w.peer[peer].rep[b];
		struct circle_copy c = { .block = b, .seq = r->seq, .gen = r->gen,
					 .pages = r->pages, .from = peer };

		c.believed = h->judged[peer] == l->counted || !rule(R6_BELIEVE) ||
			     (h->verdict == CIRCLE_WEAK &&
			      circle_same_store(h->judged[peer], l->counted));
		if (r->here)
			add(h, &c);
	}
}

static bool own_is_believed(const struct head *h)
{
	return h->verdict == CIRCLE_WEAK && h->start == RESTART &&
	       (h->found.flags & (CIRCLE_LBF_SSD | CIRCLE_LBF_VOID));
}

static void list_ssd(struct head *h)
{
	bool believed = own_is_believed(h);
	u32 b;

	for (b = 0; b < w.nr_blocks; b++) {
		const struct slot *s = &h->slot[b];
		struct circle_copy c = { .block = b, .seq = s->seq, .gen = s->gen,
					 .pages = s->dirty, .from = CIRCLE_FROM_SSD,
					 .believed = believed };

		if (s->mapped && s->dirty)
			add(h, &c);
	}
}

/* One that counted is not as it was: judged anew. */
static bool again(struct head *h)
{
	if (w.now > h->needed) {
		stop(h, "a peer went away meanwhile");
		return true;
	}
	h->phase = WAIT;
	h->patience = w.now + PATIENCE / 2;
	h->nr_copies = 0;
	h->drained = 0;
	return true;
}

static bool as_judged(const struct head *h, u32 peer)
{
	const struct link *l = &h->link[peer];

	return l->state >= UP && !l->broken && !l->cut && l->admitted &&
	       l->instance == h->judged[peer];
}

static bool wins(const struct head *h, u32 i)
{
	return (!i || h->copy[i].block != h->copy[i - 1].block) && h->copy[i].believed;
}

static void note_lists(const struct head *h)
{
	u32 i;

	for (i = 0; i < h->nr_copies; i++) {
		const struct circle_copy *c = &h->copy[i];

		say("node %u: block %llu tag %u.%llu pages %llx from %u%s", HEAD_ID(h),
		    (unsigned long long)c->block, c->gen, (unsigned long long)c->seq,
		    (unsigned long long)c->pages, c->from, c->believed ? "" : ", not believed");
		if (wins(h, i))
			meet(FOUND);
		if (i && c->block == c[-1].block && c->seq < c[-1].seq) {
			meet(OLDER_COPY);
			if (c->from == CIRCLE_FROM_SSD)
				meet(PEER_NEWER);
		}
	}
}

static bool list(struct head *h)
{
	u32 i;

	for (i = 0; i < w.nr_peers; i++)
		if ((h->counted >> i & 1) && !as_judged(h, i))
			return again(h);
	h->nr_copies = 0;
	for (i = 0; i < w.nr_peers; i++)
		if (h->counted >> i & 1)
			list_peer(h, i);
	h->phase = OLD;
	return true;
}

/* What is clean here is at the origin up to its tag. */
static bool is_at_origin(const struct head *h, const struct circle_copy *c)
{
	const struct slot *s = &h->slot[c->block];
	struct circle_tag tag = { c->gen, c->seq }, own = { s->gen, s->seq };

	return s->mapped && s->valid && !s->dirty && circle_tag_cmp(tag, own) <= 0;
}

/* release_old(): a copy a step */
static bool release_old(struct head *h)
{
	u32 i;

	for (i = 0; own_is_believed(h) && rule(R6_OWN_CLEAN) && i < h->nr_copies; i++) {
		struct circle_copy *c = &h->copy[i];

		if (!is_at_origin(h, c))
			continue;
		if (!as_judged(h, c->from) || chance(5))
			return again(h);
		meet(RELEASED_OLD);
		if (!peer_release_old(&w.peer[c->from], h, c->block))
			return again(h);
		*c = h->copy[--h->nr_copies];
		return true;
	}
	for (i = 0; i < w.nr_peers; i++)
		if ((h->counted >> i & 1) && !as_judged(h, i))
			return again(h);
	list_ssd(h);
	for (i = 0; i < w.nr_peers && h->nr_copies; i++)
		if (h->counted >> i & 1)
			peer_commit(&w.peer[i]);
	qsort(h->copy, h->nr_copies, sizeof(*h->copy), circle_copy_order);
	note_lists(h);
	h->drained = 0;
	h->flying = 0;
	h->drain_away = h->away;
	h->phase = DRAIN;
	w.top_gen = max(w.top_gen, h->gen);
	return true;
}

/* What is fetched must have the tag that was listed. */
static bool drain_one(struct head *h, const struct circle_copy *c)
{
	const ver *v = h->vis[c->block];

	if (c->from != CIRCLE_FROM_SSD) {
		const struct replica *r = &w.peer[c->from].rep[c->block];

		if (!as_judged(h, c->from) || !r->here || r->seq != c->seq ||
		    (c->pages & ~r->pages))
			return !h->flying && again(h);
		v = r->v;
	}
	if (!origin_fly(h, -1, c->block, c->pages, v))
		return false;
	h->flying |= bit(c->block);
	h->drained |= bit(c->block);
	return true;
}

static bool drain(struct head *h)
{
	u32 i;

	if (h->drain_away != h->away) {
		stop(h, "the origin was away");
		return true;
	}
	if (w.now >= h->lease) {
		if (look(h)) {
			meet(WITHDREW);
			stop(h, "another has claimed: withdrawn");
		}
		return true;
	}
	for (i = 0; i < h->nr_copies; i++)
		if (wins(h, i) && !(h->drained >> h->copy[i].block & 1))
			return drain_one(h, &h->copy[i]);
	if (h->flying)
		return false;
	if (rule(R6_FLUSH))
		origin_flush();
	h->phase = DROP;
	return true;
}

static bool wins_block(const struct head *h, u8 block)
{
	u32 k;

	for (k = 0; k < h->nr_copies; k++)
		if (h->copy[k].block == block && wins(h, k))
			return true;
	return false;
}

/* Nobody has anything newer, or that is believed: it stays, as what is there has been drained. */
static bool stays(const struct head *h, u8 block)
{
	const struct slot *s = &h->slot[block];
	struct circle_tag own = { s->gen, s->seq };
	u32 k;

	if (s->dirty || !s->valid || wins_block(h, block))
		return false;
	for (k = 0; k < h->nr_copies; k++) {
		struct circle_tag tag = { h->copy[k].gen, h->copy[k].seq };

		if (h->copy[k].block == block && circle_tag_cmp(tag, own) > 0)
			return false;
	}
	return true;
}

/* Slots of what was listed, but for what is dirty there if that is to be kept. */
static void drop_slots(struct head *h, bool dirty)
{
	u32 i;

	for (i = 0; i < h->nr_copies; i++) {
		struct slot *s = &h->slot[h->copy[i].block];

		if ((dirty || !s->dirty) && !(rule(R6_KEEP) && stays(h, h->copy[i].block)))
			*s = (struct slot){ };
	}
	ssd_commit(h);
}

static void say_empty(struct head *h)
{
	memset(h->label.peer, 0, sizeof(h->label.peer));
	h->label.state = CIRCLE_LS_RECOVERING;
	h->label.flags = (h->label.flags & CIRCLE_LBF_VOID) | CIRCLE_LBF_EMPTY;
	h->label.floor = 0;
	h->phase = EMPTY;
	label_store(h);
}

/* drop_all(): what is older than what was drained; then a label by which nobody has anything. */
static bool drop(struct head *h)
{
	if (h->gen >= w.top_gen)
		oracle_drained(h);
	h->told = 0;
	h->phase = GONE;
	if (!rule(R6_EMPTY) || !h->nr_copies)
		return true;
	drop_slots(h, false);
	say_empty(h);
	return true;
}

static bool drop_rest(struct head *h)
{
	drop_slots(h, true);
	h->phase = TELL;
	return true;
}

static bool tell_one(struct head *h)
{
	u32 i = h->told++;

	if (i < w.nr_peers) {
		if (h->link[i].state >= UP)
			link_release_all(h, i, false);
		return true;
	}
	memset(h->label.peer, 0, sizeof(h->label.peer));
	h->label.state = CIRCLE_LS_ACTIVE;
	h->label.flags = (h->label.flags & CIRCLE_LBF_VOID) | CIRCLE_LBF_EMPTY;
	h->label.floor = 0;
	h->want_view = 0;
	h->phase = OPEN;
	label_store(h);
	return true;
}

bool recover_step(struct head *h)
{
	switch (h->phase) {
	case LIST:
		return list(h);
	case OLD:
		return release_old(h);
	case DRAIN:
		return drain(h);
	case DROP:
		return drop(h);
	case GONE:
		return drop_rest(h);
	case TELL:
		return tell_one(h);
	default:
		return false;
	}
}
