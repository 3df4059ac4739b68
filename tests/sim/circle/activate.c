// SPDX-License-Identifier: GPL-2.0-only
/*
 * activate: how a head becomes the owner, as engine/plan.c and activate.c: what metadata and label
 * mean together, who is asked, two labels that say taking, the lease of the old owner. It must
 * never act on a label of its own before it has read all others behind it.
 */
#include "sim.h"

/* All that is in memory is gone; SSD and the peers' ends of the links stay. */
static void forget(struct head *h)
{
	memset(&h->phase, 0, sizeof(*h) - offsetof(struct head, phase));
}

void stop(struct head *h, const char *why)
{
	u32 i;

	say("node %u: %s", HEAD_ID(h), why);
	for (i = 0; i < w.nr_peers; i++)
		link_close(h, i);
	area_abandon(h);
	forget(h);
}

static bool refuse(struct head *h, const char *why)
{
	stop(h, why);
	return false;
}

static bool ours(const struct head *h, const struct circle_label *l)
{
	return (h->sb_gen == l->generation && h->sb_act == l->activation) ||
	       (h->sb_next_gen == l->generation && h->sb_next_act == l->activation);
}

/* circle_activate_plan(). NULL, or why not. */
static const char *plan(struct head *h, bool recover)
{
	struct circle_label_view v;
	const struct circle_label *l = &h->seen;
	int r = area_judge(h, &v, &h->seen);

	h->label_copy = v.my_copy;
	h->label.seq = v.max_seq;
	h->start = FRESH;
	if (r == -ENODATA)
		return recover || h->sb_gen ? "no label: refused" : NULL;
	if (h->blank || (!h->sb_gen && !ours(h, l))) {
		h->start = recover ? TAKE : ADOPT;
		return recover || l->state == CIRCLE_LS_CLEAN ? NULL : "not clean: refused";
	}
	h->start = RESTART;
	if (recover)
		return "recover wants blank metadata: refused";
	if (!ours(h, l)) {
		meet(STALE);
		return "the label is not of these metadata: refused";
	}
	return l->flags & CIRCLE_LBF_VOID && rule(R3_VOID) ? "void: refused" : NULL;
}

static bool beats(const struct circle_label *a, const struct circle_label *b)
{
	bool ta = a->state == CIRCLE_LS_TAKING, tb = b->state == CIRCLE_LS_TAKING;

	if (a->generation != b->generation)
		return a->generation > b->generation;
	return ta != tb ? tb : a->activation > b->activation;
}

/* A taker got no further than its first label: what counts is the label of the owner before. */
static bool last_owner(struct head *h)
{
	static struct circle_label l;
	bool got = false;
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		if (!area_newest(i + 1, CIRCLE_LBF_UNSEEN, &l) || (got && !beats(&l, &h->found)))
			continue;
		h->found = l;
		got = true;
	}
	h->start = TAKE;
	meet(UNSEEN);
	return got;
}

static void add_label_peers(struct head *h)
{
	u32 i;

	h->old_view = 0;
	for (i = 0; i < CIRCLE_MAX_PEERS; i++) {
		const struct circle_peer_rec *rec = &h->found.peer[i];
		u32 peer = rec->id - PEER_ID(0);

		if (!rec->id)
			continue;
		if (rec->in_view == CIRCLE_IN_VIEW_COUNTS)
			h->old_view |= bit(peer);
		h->link[peer].counted = rec->instance;
	}
}

static bool taking_over(const struct head *h)
{
	return h->start == TAKE || (h->start == RESTART && h->found.state == CIRCLE_LS_TAKING);
}

bool start(struct head *h, bool recover, bool fence)
{
	bool unclean = !h->tidy;
	const char *why;
	u32 i;

	if (is_blind(h))
		return false;
	origin_settle(h);
	for (i = 0; i < w.nr_peers; i++)
		link_close(h, i);
	forget(h);
	why = plan(h, recover);
	if (why)
		return refuse(h, why);
	h->blank = false;
	h->tidy = false;
	h->fenced = fence;
	h->phase = FIND;
	h->degree_now = h->degree;
	h->patience = w.now + PATIENCE;
	h->needed = w.now + NEEDED;
	h->was_unseen = h->start != FRESH && (h->seen.flags & CIRCLE_LBF_UNSEEN);
	h->found = h->seen;
	if (h->was_unseen && rule(R5_UNSEEN) && !last_owner(h))
		return refuse(h, "no owner before: refused");
	if (h->was_unseen && h->found.node_id == HEAD_ID(h) && rule(R5_BETWEEN))
		return refuse(h, "another has begun behind our own label: refused");
	if (h->start != FRESH)
		add_label_peers(h);
	ssd_load(h, unclean);
	say("node %u: starts, %u, label gen %llu of node %u state %u view %x floor %u%s",
	    HEAD_ID(h), h->start, (unsigned long long)h->found.generation, h->found.node_id,
	    h->found.state, h->old_view, h->found.floor, fence ? ", fenced" : "");
	return true;
}

/* Does a peer still hear another owner? */
static bool still_heard(const struct head *h)
{
	u32 i;

	for (i = 0; i < w.nr_peers; i++)
		if (h->link[i].greeted && h->link[i].heard && !h->fenced)
			return true;
	return false;
}

static bool as_found(const struct head *h)
{
	static struct circle_label now;

	return area_newest(h->found.node_id, CIRCLE_LBF_UNSEEN, &now) &&
	       now.generation == h->found.generation && now.seq == h->found.seq;
}

static bool still_as_planned(struct head *h)
{
	static struct circle_label now;
	struct circle_label_view v;
	int r = area_judge(h, &v, &now);

	if (h->start == FRESH || r)
		return h->start == FRESH && r == -ENODATA;
	return now.generation == h->seen.generation && now.activation == h->seen.activation &&
	       !(h->was_unseen && !(now.flags & CIRCLE_LBF_UNSEEN)) && now.seq == h->seen.seq &&
	       (!h->was_unseen || as_found(h));
}

/* take_label(), up to its first write */
static void take_label(struct head *h)
{
	u64 seq = h->label.seq;

	if (h->start == TAKE)
		w.failed |= BIT(FAIL_HOST) | BIT(FAIL_SSD);
	h->sb_next_gen = h->start == FRESH ? 1 : h->seen.generation + 1;
	h->sb_next_act = 1 + below(1u << 30);
	w.claimed = max(w.claimed, h->sb_next_gen);
	if (h->start == FRESH)
		h->label = (struct circle_label){ .flags = CIRCLE_LBF_EMPTY };
	else
		h->label = h->found;
	h->label.seq = seq;
	h->label.state = CIRCLE_LS_TAKING;
	h->label.flags &= ~CIRCLE_LBF_VOID;
	if (h->start != RESTART && rule(R3_SSD))
		h->label.flags &= ~CIRCLE_LBF_SSD;
	if (h->start != FRESH && h->found.node_id != HEAD_ID(h) && rule(R5_UNSEEN))
		h->label.flags |= CIRCLE_LBF_UNSEEN;
	memset(h->label.set_uuid, 7, CIRCLE_UUID_SIZE);
	memcpy(h->label.domain, domain_of(h->host), CIRCLE_DOMAIN_SIZE);
	h->label.generation = h->sb_next_gen;
	h->label.activation = h->sb_next_act;
	h->label.node_id = HEAD_ID(h);
	h->label.degree = h->degree;
	h->label.block_sectors = 8 * PAGES;
	h->label.origin_sectors = 8 * PAGES * BLOCKS;
	h->want_view = h->old_view;
	h->phase = CLAIM;
	label_store(h);
}

static void find(struct head *h)
{
	if (taking_over(h) && still_heard(h)) {
		meet(HEARD_OWNER);
		stop(h, "a peer still hears the old owner: refused");
	} else if (recover_check(h, false) == CIRCLE_REFUSED) {
		meet(REFUSED);
		stop(h, "recovery refused");
	} else if (!still_as_planned(h)) {
		meet(WITHDREW);
		stop(h, "the label has changed: withdrawn");
	} else {
		take_label(h);
	}
}

static bool another_went_on(const struct head *h)
{
	static struct circle_label l;
	u32 i;

	for (i = 0; i < w.nr_heads; i++)
		if (i != h->nr && area_newest(i + 1, CIRCLE_LBF_UNSEEN, &l) &&
		    l.state != CIRCLE_LS_TAKING && l.generation > h->found.generation)
			return true;
	return false;
}

/* What the old owner's label says now is what counts: it does not change any more. */
static const char *look_back(struct head *h)
{
	static struct circle_label l;

	if (h->start == FRESH)
		return NULL;
	if (another_went_on(h))
		return "another went on: withdrawn";
	h->label.flags &= ~CIRCLE_LBF_UNSEEN;
	if (h->found.node_id == HEAD_ID(h) || !rule(R5_BACK) ||
	    !area_newest(h->found.node_id, 0, &l) || l.generation != h->found.generation ||
	    l.seq <= h->found.seq)
		return NULL;
	meet(NEWER_LABEL);
	h->found = l;
	add_label_peers(h);
	memcpy(h->label.peer, l.peer, sizeof(l.peer));
	h->label.floor = l.floor;
	h->label.flags = l.flags & ~(CIRCLE_LBF_SSD | CIRCLE_LBF_VOID);
	return recover_check(h, false) == CIRCLE_REFUSED ? "recovery refused" : NULL;
}

static void claimed(struct head *h)
{
	bool clean = h->found.state == CIRCLE_LS_CLEAN && !h->was_unseen;

	h->sb_gen = h->sb_next_gen;
	h->sb_act = h->sb_next_act;
	h->gen = h->sb_gen;
	h->act = h->sb_act;
	h->may_fence = true;
	h->phase = WAIT;
	h->until = w.now;
	if (taking_over(h) && !h->fenced && !clean && rule(R5_TAKER))
		h->until += LEASE + IO_TIME;
	h->patience = h->until + PATIENCE;
	h->needed = max(h->needed, h->patience);
}

static void go_live(struct head *h)
{
	h->phase = LIVE;
	h->owner = true;
	say("node %u: live, generation %llu", HEAD_ID(h), (unsigned long long)h->gen);
	if (h->start == TAKE)
		meet(TAKEOVER);
	if (h->start == TAKE && h->fenced)
		meet(TOLD_FENCED);
	if (h->start == RESTART)
		meet(RESTARTED);
	if (h->start == ADOPT)
		meet(ADOPTED);
	oracle_live(h);
}

/* A label of the activation is durable, and looked at. */
void activate_stored(struct head *h, int err)
{
	const char *why = NULL;

	if (err == -ESTALE)
		meet(WITHDREW);
	if (err) {
		stop(h, err == -ESTALE ? "another has claimed: withdrawn" : "label: error");
		return;
	}
	switch (h->phase) {
	case CLAIM:
		why = look_back(h);
		if (why) {
			meet(WITHDREW);
			stop(h, why);
			break;
		}
		h->phase = CLAIM2;
		label_store(h);
		break;
	case CLAIM2:
		claimed(h);
		break;
	case SAY:
		h->phase = LIST;
		break;
	case EMPTY:
		h->phase = GONE;
		break;
	default:
		go_live(h);
	}
}

bool activate_step(struct head *h)
{
	bool fence = h->phase == WAIT;

	if (h->lstep)
		return label_step(h);
	if (is_blind(h))
		return false;
	if (h->phase != FIND && h->phase != WAIT)
		return recover_step(h);
	if (w.now < h->until)
		return false;
	if (w.now < h->patience && (h->old_view & ~links_at_least(h, UP)) && fence)
		return false;
	if (!fence && w.now < h->patience && recover_wants(h, false))
		return false;
	if (w.now < h->needed && recover_wants(h, fence))
		return false;
	if (!fence)
		find(h);
	else if (look(h))
		stop(h, "another has claimed: withdrawn");
	else
		recover_begin(h);
	return true;
}
