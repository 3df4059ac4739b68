// SPDX-License-Identifier: GPL-2.0-only
/*
 * steward: the owner's looks at the label and its changes of it, as engine/steward.c: view, floor,
 * degree, flags; each write has a begin, an end and a look at all places. It must never let go of a
 * peer before a label without it is durable.
 */
#include "sim.h"

#define APART	9	/* as if there were more peers: their records are in sectors of their own */

/* circle_fenced() */
void fenced(struct head *h, u64 gen)
{
	if (!h->owner || !rule(R5_STOP))
		return;
	say("node %u: generation %llu exists, ours is %llu: it stops", HEAD_ID(h),
	    (unsigned long long)gen, (unsigned long long)h->gen);
	meet(OVERTAKEN);
	h->owner = false;
	h->phase = FENCED;
	area_abandon(h);
	h->lstep = L_IDLE;
}

/* The label is on a device of its own, which may be away. */
bool is_blind(const struct head *h)
{
	return w.now < h->blind;
}

/* circle_label_look() */
int look(struct head *h)
{
	struct circle_label_view v;
	struct circle_label *cur = &h->seen;
	bool ours;

	if (is_blind(h) || area_judge(h, &v, cur))
		return -EIO;
	ours = cur->generation == h->label.generation && cur->activation == h->label.activation &&
	       !v.tie;
	if (!ours && (rule(R5_STOP) || !h->owner)) {
		fenced(h, cur->generation);
		return -ESTALE;
	}
	h->label_copy = v.my_copy;
	h->lease = w.now + LEASE;
	return 0;
}

/* circle_label_store(): the end calls view_changed() or activate_stored(). */
void label_store(struct head *h)
{
	h->label.seq++;
	area_write(h);
	h->lstep = L_WRITING;
	say("node %u: label seq %llu gen %llu state %u floor %u degree %u flags %x view %x",
	    HEAD_ID(h), (unsigned long long)h->label.seq,
	    (unsigned long long)h->label.generation, h->label.state, h->label.floor,
	    h->label.degree, h->label.flags, h->want_view);
}

static void label_over(struct head *h, int err)
{
	h->lstep = L_IDLE;
	say("node %u: label %s", HEAD_ID(h), err ? "not written" : "durable");
	if (h->phase == LIVE)
		view_changed(h, err);
	else
		activate_stored(h, err);
}

bool label_step(struct head *h)
{
	int err;

	if (h->lstep == L_WRITING) {
		err = area_written(h);
		if (err) {
			label_over(h, err);
			return true;
		}
		h->label_copy ^= 1;
		h->lstep = L_LOOK;
		return true;
	}
	err = rule(R5_READ) ? look(h) : 0;
	if (h->lstep == L_LOOK)		/* not fenced by the look */
		label_over(h, err);
	return true;
}

u32 exposed(const struct head *h, u8 view, u8 degree)
{
	u32 b, n = 0;

	for (b = 0; b < w.nr_blocks; b++)
		if (hweight8(h->slot[b].holders & view) < degree)
			n += hweight8(h->slot[b].dirty);
	return n;
}

u32 at_risk(const struct head *h)
{
	u8 view = rule(P4_RISK) ? h->view & links_at_least(h, READY) : 0xff;

	return exposed(h, view, h->degree);
}

/* Every dirty page has `degree` durable holders in view (R7). */
static bool may_raise(struct head *h, u8 view, u8 degree)
{
	u32 i;

	if (hweight8(view) < degree || (exposed(h, view, degree) && rule(R7_RAISE)))
		return false;
	for (i = 0; i < w.nr_peers && rule(R7_DURABLE); i++) {
		struct link *l = &h->link[i];

		if (!(view >> i & 1) || l->undurable == l->flushed)
			continue;
		if (l->broken || l->cut || !l->admitted)
			return false;
		peer_commit(&w.peer[i]);
		l->flushed = l->undurable;
	}
	return true;
}

static u32 label_flags(const struct head *h, u8 view, u8 degree)
{
	u32 now = h->label.flags;

	if (h->failed)
		return CIRCLE_LBF_VOID | (now & CIRCLE_LBF_EMPTY);
	if (!degree || view || (now & CIRCLE_LBF_SSD))
		return CIRCLE_LBF_SSD;
	return now & CIRCLE_LBF_EMPTY;
}

static void fill_peers(struct head *h, u8 view)
{
	u32 i;

	memset(h->label.peer, 0, sizeof(h->label.peer));
	for (i = 0; i < w.nr_peers; i++) {
		struct circle_peer_rec *rec = &h->label.peer[i * APART];

		rec->id = PEER_ID(i);
		rec->family = 4;
		rec->port = 7000;
		memcpy(rec->domain, domain_of(w.peer[i].host), CIRCLE_DOMAIN_SIZE);
		rec->instance = h->link[i].ready_instance;
		rec->in_view = view >> i & 1;
	}
}

/* change_view(), up to the write */
static bool change_view(struct head *h, u8 view, u8 floor, u8 degree, u32 flags)
{
	if (view & ~links_at_least(h, READY))
		return false;
	h->wait |= view;
	fill_peers(h, view);
	h->label.degree = degree;
	h->label.floor = floor;
	h->label.state = CIRCLE_LS_ACTIVE;
	h->label.flags = flags;
	h->label_unsure = true;
	h->want_view = view;
	h->want_floor = floor;
	h->want_degree = degree;
	label_store(h);
	return true;
}

/* ... and behind it */
void view_changed(struct head *h, int err)
{
	u8 gone;

	if (h->stopping) {
		if (!err)
			meet(CLEAN);
		stop(h, "stopped");
		return;
	}
	if (err)
		return;
	h->label_unsure = false;
	if (h->label.flags & CIRCLE_LBF_VOID) {
		h->voided = true;
		meet(VOID);
	}
	meet(VIEW);
	if (h->want_floor > h->floor)
		meet(RAISED);
	if (h->want_degree < h->degree_now)
		meet(DEGREE_DOWN);
	gone = h->wait & ~h->want_view;
	h->departures += !!gone;
	h->view = h->want_view;
	h->floor = h->want_floor;
	h->degree_now = h->want_degree;
	ops_forget(h, gone);
	h->wait = h->want_view;
}

static bool keep_view(struct head *h)
{
	u8 view = links_at_least(h, READY), gone = h->view & ~view, floor, degree = h->degree;
	u32 flags;

	if (degree > h->degree_now) {
		h->degree_now = degree;
		meet(DEGREE_UP);
	}
	if (!rule(R7_DEGREE))
		h->degree_now = degree;
	if (!rule(R7_FLOOR))
		gone = 0;
	floor = h->floor > hweight8(gone) ? h->floor - hweight8(gone) : 0;
	floor = min(floor, degree);
	if (floor < degree && view == h->view && view == h->wait && may_raise(h, view, degree))
		floor = degree;
	flags = label_flags(h, view, degree);
	if (!h->label_unsure && view == h->view && view == h->wait && floor == h->floor &&
	    degree == h->label.degree && flags == h->label.flags)
		return false;
	return change_view(h, view, floor, degree, flags);
}

bool steward(struct head *h)
{
	if (h->lstep)
		return label_step(h);
	if (w.now >= h->lease || chance(20)) {
		if (!look(h))
			sweep(h);
		return true;
	}
	return !is_blind(h) && keep_view(h);
}

static bool anything_left(const struct head *h)
{
	u32 b;

	for (b = 0; b < w.nr_blocks && rule(R7_CLEAN); b++)
		if (h->slot[b].dirty || h->slot[b].holders)
			return true;
	return false;
}

/* Removal: suspend, then say_clean() if nothing is dirty or held. */
bool stop_in_order(struct head *h)
{
	u32 i;

	for (i = 0; i < OPS; i++)
		if (h->op[i].kind)
			return false;
	if (h->lstep || look(h))
		return false;
	say("node %u: removed", HEAD_ID(h));
	h->tidy = ssd_commit(h);
	if (anything_left(h)) {
		stop(h, "removed, not clean");
		return true;
	}
	origin_flush();
	h->stopping = true;
	fill_peers(h, 0);
	h->label.state = CIRCLE_LS_CLEAN;
	h->label.flags = CIRCLE_LBF_EMPTY | (h->failed ? CIRCLE_LBF_VOID : 0);
	h->label.floor = 0;
	h->want_view = 0;
	label_store(h);
	return true;
}
