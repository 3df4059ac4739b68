// SPDX-License-Identifier: GPL-2.0-only
/*
 * fault: what breaks, what an administrator does about it, and how all is mended at the end. Who is
 * said to be fenced is stopped here first: it must never be a lie.
 */
#include "sim.h"

static struct head *any_head(void)
{
	return &w.head[below(w.nr_heads)];
}

static struct peer *any_peer(void)
{
	return &w.peer[below(w.nr_peers)];
}

/* Power loss: what it had sent may arrive still. */
void crash_head(struct head *h)
{
	u32 i;

	if (h->phase == OFF)
		return;
	say("node %u: power loss", HEAD_ID(h));
	if (h->owner)
		w.failed |= BIT(FAIL_HOST);
	ssd_crash(h);
	area_abandon(h);
	memset(&h->phase, 0, sizeof(*h) - offsetof(struct head, phase));
	h->paused = false;
	h->tidy = false;
	for (i = 0; i < w.nr_peers; i++) {
		struct link *l = &h->link[i];

		l->state = DOWN;
		l->ans.nr = 0;
		l->req.nr = l->req.nr ? below(l->req.nr + 1) : 0;
		if (l->broken)
			l->conn = false;
		l->broken = false;
		l->greeted = false;
	}
}

static bool crash_owner(void)
{
	struct head *h = any_head();
	u32 i;

	if (h->phase == OFF)
		return false;
	for (i = 0; i < w.nr_peers; i++)
		if (w.peer[i].host == h->host && w.peer[i].up)
			peer_crash(&w.peer[i]);
	crash_head(h);
	return true;
}

static bool crash_peer(void)
{
	struct peer *p = any_peer();
	u32 i;

	if (!p->up)
		return false;
	for (i = 0; i < w.nr_heads; i++)
		if (w.head[i].host == p->host)
			crash_head(&w.head[i]);
	peer_crash(p);
	meet(PEER_CRASH);
	return true;
}

static bool tidy_peer(void)
{
	struct peer *p = any_peer();

	if (!p->up)
		return false;
	peer_commit(p);
	peer_crash(p);
	peer_start(p);
	meet(PEER_TIDY);
	return true;
}

static bool peer_back(void)
{
	struct peer *p = any_peer();

	if (p->up)
		return false;
	if (chance(10)) {
		peer_forget(p);
		meet(STORE_LOST);
	}
	peer_start(p);
	return true;
}

static bool cut_link(void)
{
	struct head *h = any_head();
	u32 peer = below(w.nr_peers);
	struct link *l = &h->link[peer];

	l->cut = !l->cut;
	say("node %u and peer %u: link %s", HEAD_ID(h), peer, l->cut ? "cut" : "mended");
	if (!l->cut)
		return true;
	meet(CUT);
	w.failed |= bit(peer);
	if (chance(50))
		link_break(h, peer);
	else if (l->conn)
		l->broken = true;	/* the peer does not know */
	return true;
}

static bool reset_link(void)
{
	struct head *h = any_head();
	u32 peer = below(w.nr_peers);

	if (!h->link[peer].conn)
		return false;
	say("node %u and peer %u: connection reset", HEAD_ID(h), peer);
	link_break(h, peer);
	return true;
}

/* Its SSD, after it has gone; or its metadata, in use. */
static bool lose_ssd(void)
{
	struct head *h = any_head();

	if (h->phase == LIVE && !h->failed) {
		say("node %u: its metadata fail", HEAD_ID(h));
		h->failed = true;
		w.failed |= BIT(FAIL_SSD);
		return true;
	}
	if (h->phase != OFF || h->blank)
		return false;
	say("node %u: its SSD is lost", HEAD_ID(h));
	meet(SSD_LOST);
	w.failed |= BIT(FAIL_SSD);
	ssd_lose(h);
	return true;
}

/* Its clock goes on, and others may take over. */
static bool pause_head(void)
{
	struct head *h = chance(70) ? any_owner() : any_head();

	if (!h || h->phase == OFF || h->paused)
		return false;
	h->paused = true;
	h->wakes = w.now + below(8 * LEASE);
	say("node %u: paused", HEAD_ID(h));
	return true;
}

void wake_up(void)
{
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		struct head *h = &w.head[i];

		if (!h->paused || w.now < h->wakes)
			continue;
		h->paused = false;
		say("node %u: goes on", HEAD_ID(h));
		if (h->owner && h->gen < w.top_gen)
			meet(ZOMBIE);
	}
}

static bool change_degree(void)
{
	struct head *h = any_owner();

	if (!h)
		return false;
	h->degree = 1 + below(min_t(u32, w.nr_peers, 2));
	say("node %u: degree %u", HEAD_ID(h), h->degree);
	return true;
}

/* Stonith: then it is true. */
static void stop_others(const struct head *h)
{
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		if (i == h->nr)
			continue;
		crash_head(&w.head[i]);
		origin_settle(&w.head[i]);
	}
}

bool start_any(void)
{
	struct head *h = any_head();
	bool fence = chance(30), recover = h->blank || !h->sb_gen;

	if (h->phase == FENCED && !h->paused) {
		stop(h, "wiped");
		ssd_lose(h);
		return true;
	}
	if (h->phase != OFF)
		return false;
	if (recover && chance(10))
		recover = false;
	if (recover && fence)
		stop_others(h);
	return start(h, recover, recover && fence);
}

static bool wipe(void)
{
	struct head *h = any_head();

	if (h->phase != OFF || h->blank || !chance(20))
		return false;
	say("node %u: wiped", HEAD_ID(h));
	w.failed |= BIT(FAIL_SSD);
	ssd_lose(h);
	return true;
}

static bool label_away(void)
{
	struct head *h = any_head();

	h->blind = w.now + below(4 * LEASE);
	say("node %u: the label's device is away", HEAD_ID(h));
	meet(LABEL_AWAY);
	return true;
}

/* A copy is on its way just then. */
static bool break_healing(void)
{
	struct head *h = any_owner();
	u32 i;

	for (i = 0; h && i < OPS; i++) {
		const struct op *op = &h->op[i];

		if (op->kind != HEALING || !op->await)
			continue;
		say("node %u and peer %u: connection reset in a copy", HEAD_ID(h), op->peer);
		link_break(h, op->peer);
		return true;
	}
	return false;
}

/* All hosts at once. */
static bool power_cut(void)
{
	u32 i;

	say("power cut");
	for (i = 0; i < w.nr_heads; i++)
		crash_head(&w.head[i]);
	for (i = 0; i < w.nr_peers; i++)
		if (w.peer[i].up)
			peer_crash(&w.peer[i]);
	return true;
}

bool fault(void)
{
	u32 kind = below(FAULTS);

	if (!(w.faults >> kind & 1))
		return false;
	switch (kind) {
	case 0:
		return crash_owner();
	case 1:
		return crash_peer();
	case 2:
		return chance(30) && tidy_peer();
	case 3:
	case 4:
		return peer_back();
	case 5:
		return cut_link();
	case 6:
		return reset_link();
	case 7:
		return chance(40) && lose_ssd();
	case 8:
	case 9:
		return pause_head();
	case 10:
		return chance(50) && change_degree();
	case 11:
	case 12:
	case 13:
		return start_any();
	case 14:
		return wipe();
	case 15:
		return power_cut();
	case 16:
		return label_away();
	case 17:
		return break_healing();
	default:
		origin_power_loss();
		return true;
	}
}

/* Peers and links are well; whoever can be the owner is started. */
void mend(void)
{
	u32 i, k;

	for (i = 0; i < w.nr_heads; i++) {
		w.head[i].paused = false;
		w.head[i].blind = 0;
		for (k = 0; k < w.nr_peers; k++)
			w.head[i].link[k].cut = false;
	}
	for (i = 0; i < w.nr_peers; i++)
		if (!w.peer[i].up)
			peer_start(&w.peer[i]);
}
