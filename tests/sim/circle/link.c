// SPDX-License-Identifier: GPL-2.0-only
/*
 * link: a head's connection to a peer, as engine/peer.c and net/ make it: requests and answers in
 * order, up to where the connection breaks; greeted, fenced (UP), with nothing left of an earlier
 * time (READY). A head learns late that a connection is gone. It must never bring a message of one
 * connection into the next.
 */
#include "sim.h"

static bool put(struct queue *q, const struct msg *m)
{
	if (q->nr == QUEUE)
		return false;
	q->m[(q->at + q->nr++) % QUEUE] = *m;
	return true;
}

static struct msg *first(struct queue *q)
{
	return &q->m[q->at];
}

static void drop_first(struct queue *q)
{
	q->at = (q->at + 1) % QUEUE;
	q->nr--;
}

void link_send(struct head *h, u8 peer, const struct msg *m)
{
	struct link *l = &h->link[peer];
	struct msg copy = *m;

	copy.gen = h->gen;
	copy.act = h->act;
	copy.covers = l->undurable;
	if (l->state == READY && !l->broken && !put(&l->req, &copy))
		link_break(h, peer);
}

u8 links_at_least(const struct head *h, enum link_state state)
{
	u8 i, mask = 0;

	for (i = 0; i < w.nr_peers; i++)
		if (h->link[i].state >= state)
			mask |= bit(i);
	return mask;
}

/* closed() of engine/peer.c: what was sent is lost, and is waited for still (R3). */
void link_lost(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];

	say("node %u: peer %u is lost", HEAD_ID(h), peer);
	l->state = DOWN;
	l->conn = false;
	l->broken = false;
	l->greeted = false;
	l->req.nr = 0;
	l->ans.nr = 0;
	h->losses++;
	if ((h->wait & bit(peer)) || !h->owner)
		h->lease = 0;
	heal_lost(h, peer);
	if (!rule(R3_WAIT)) {
		h->wait &= ~bit(peer);
		h->view &= ~bit(peer);
		ops_forget(h, bit(peer));
	}
}

/* What of it had arrived by then the peer carries out. */
static void carry_out(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];
	struct peer *p = &w.peer[peer];
	u32 n = l->req.nr ? below(l->req.nr + 1) : 0;

	while (n-- && p->up) {
		peer_serve(p, h, first(&l->req));
		drop_first(&l->req);
	}
	l->req.nr = 0;
}

void link_break(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];

	if (h->owner && ((h->wait | h->view) & bit(peer)))
		w.failed |= bit(peer);
	if (!l->conn || l->broken)
		return;
	l->broken = true;
	carry_out(h, peer);
	l->admitted = false;
	if (h->phase == OFF) {
		l->conn = false;
		l->broken = false;
	}
	while (l->ans.nr && chance(50))
		l->ans.nr--;
}

/* The head starts anew: what it had sent before is carried out by now, or lost. */
void link_close(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];

	if (l->conn && !l->broken)
		carry_out(h, peer);
	l->req.nr = 0;
	l->ans.nr = 0;
	l->conn = false;
	l->broken = false;
	l->admitted = false;
	l->greeted = false;
	l->state = DOWN;
}

/* Does the peer hear another owner? */
static u8 hears(const struct head *h, u8 peer)
{
	const struct peer *p = &w.peer[peer];
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		const struct head *o = &w.head[i];
		const struct link *l = &o->link[peer];

		if (i != h->nr && l->admitted && p->fence_head == HEAD_ID(o) &&
		    w.now < l->heard_at + HEARD)
			return HEAD_ID(o);
	}
	return 0;
}

static bool greet(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];
	struct peer *p = &w.peer[peer];

	if (!p->up || l->cut)
		return false;
	l->conn = true;
	l->broken = false;
	l->admitted = false;
	l->greeted = true;
	l->instance = peer_instance(p);
	l->heard = hears(h, peer);
	l->room = peer_room(p);
	if (p->fence_gen > h->gen && h->gen)
		fenced(h, p->fence_gen);
	return true;
}

static bool fence(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];

	if (!h->may_fence)
		return false;
	if (!peer_fence(&w.peer[peer], h)) {
		fenced(h, w.peer[peer].fence_gen);
		link_break(h, peer);
		return true;
	}
	l->state = UP;
	say("node %u: peer %u is up", HEAD_ID(h), peer);
	return true;
}

/* False: no answer came; it may have done it. */
bool link_release_all(struct head *h, u8 peer, bool keep)
{
	struct link *l = &h->link[peer];
	struct peer *p = &w.peer[peer];

	if (!l->conn || l->broken || !l->admitted || p->fence_gen != h->gen)
		return false;
	peer_release_all(p, h->gen, keep);
	if (w.calm || !chance(10))
		return true;
	link_break(h, peer);
	return false;
}

/* may_resync(), and what comes behind it. */
static bool resync(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];

	if (!h->owner || ((h->view | h->wait) & bit(peer)))
		return false;
	if (rule(R3_NOTHING) && !link_release_all(h, peer, true))
		return false;
	l->state = READY;
	l->ready_instance = l->instance;
	l->turn = ++w.ids;
	l->undurable = 0;
	l->flushed = 0;
	l->kept = peer_kept(&w.peer[peer]);
	l->room = peer_room(&w.peer[peer]);
	meet(RESYNC);
	say("node %u: peer %u is ready, keeps %u", HEAD_ID(h), peer, l->kept);
	return true;
}

static bool serve_one(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];
	struct msg m = *first(&l->req);

	drop_first(&l->req);
	peer_serve(&w.peer[peer], h, &m);
	put(&l->ans, &m);
	return true;
}

/* Calls are found by their number: answers need not come in order. */
static bool answer_one(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];
	u32 k = below(l->ans.nr);
	struct msg *m = &l->ans.m[(l->ans.at + k) % QUEUE], copy = *m;

	*m = *first(&l->ans);
	drop_first(&l->ans);
	l->room = peer_room(&w.peer[peer]);
	op_answer(h, peer, &copy);
	return true;
}

/* One thing that can happen there now. */
bool link_step(struct head *h, u8 peer)
{
	struct link *l = &h->link[peer];
	bool here = h->phase != OFF && !h->paused;

	if (l->cut)
		return false;
	if (l->broken)
		return here && chance(40) && (link_lost(h, peer), true);
	if (!l->conn)
		return here && h->phase != FENCED && greet(h, peer);
	if (l->req.nr && w.peer[peer].up && chance(60))
		return serve_one(h, peer);
	if (!here)
		return false;
	if (l->ans.nr)
		return answer_one(h, peer);
	if (l->state == DOWN)
		return fence(h, peer);
	return l->state == UP && resync(h, peer);
}
